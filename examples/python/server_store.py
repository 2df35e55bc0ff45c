"""A server with a store that is part of the program: Redis clients and the program itself have the same keys.

    python server_store.py
"""

from __future__ import annotations

import socket
import tempfile
import threading

import trimtab


def redis(address: str, *commands: str) -> list[str]:
    """What a Redis client would be answered, line by line."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall("".join(f"{command}\r\n" for command in (*commands, "QUIT")).encode())
        with client.makefile("r", newline="\r\n") as answers:
            return [line.rstrip("\r\n") for line in answers][:-1]


def count_visits(store: trimtab.Store, times: int) -> None:
    """Work of the program's own, in its own process: no socket, no copy on the way."""
    for _ in range(times):
        store.increment(b"visits", durability="memory")


with tempfile.TemporaryDirectory() as directory:
    configuration = f'[store]\ndir = "{directory}/data"\nresp = "127.0.0.1:0"\n'
    with trimtab.Server(configuration) as server:
        store = server.store
        address = server.status()["store"]["clients"]["address"]
        threads = [threading.Thread(target=count_visits, args=(store, 1000)) for _ in range(2)]
        with store.watch(prefix=b"order/") as watch:
            for thread in threads:
                thread.start()
            print("a Redis client:", redis(address, "SET order/1 ann")[0])
            redis(address, "INCRBY visits 500")
            change = watch.poll(timeout=10)
            assert isinstance(change, trimtab.Change)
            print("the program was told of", change.key.decode(), "by", (change.value or b"").decode())
        for thread in threads:
            thread.join()
        print("visits:", redis(address, "GET visits")[-1])
    # The server has closed it. What it held is an ordinary store's.
    with trimtab.Store(f"{directory}/data") as again:
        print("opened again:", {key.decode(): value.decode() for key, value in again.items()})
