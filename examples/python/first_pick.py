"""The first pick."""

import trimtab

with trimtab.Pool() as pool:
    pool.add("10.0.0.7:8080", weight=2)
    pool.add("10.0.0.8:8080")
    for _ in range(3):
        with pool.pick() as pick:  # leaving the block reports how it went
            print("connect to", pick.host, pick.port)
