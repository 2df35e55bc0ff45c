"""What does one pick and its done cost from Python?

Prints the least, median and largest of several rounds, in nanoseconds per pick and done, the loop's own
cost taken off. Run it on a quiet machine: ``python benches/pick.py [--rounds N] [--picks N]``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from itertools import repeat

import trimtab

BACKENDS = (3, 100)
KEY = b"a key of usual length"


def empty(_pool: trimtab.Pool, picks: int) -> None:
    for _ in repeat(None, picks):
        pass


def plain(pool: trimtab.Pool, picks: int) -> None:
    pick, done = pool.pick, pool.done
    for _ in repeat(None, picks):
        done(pick())


def keyed(pool: trimtab.Pool, picks: int) -> None:
    pick, done = pool.pick, pool.done
    for _ in repeat(None, picks):
        done(pick(KEY))


def timed(pool: trimtab.Pool, picks: int) -> None:
    pick, done = pool.pick, pool.done
    for _ in repeat(None, picks):
        done(pick(), total=0.001)


def block(pool: trimtab.Pool, picks: int) -> None:
    pick = pool.pick
    for _ in repeat(None, picks):
        with pick():
            pass


def nanos(run: Callable[[trimtab.Pool, int], None], pool: trimtab.Pool, picks: int) -> float:
    start = time.perf_counter_ns()
    run(pool, picks)
    return (time.perf_counter_ns() - start) / picks


def measure(
    name: str, run: Callable[[trimtab.Pool, int], None], pool: trimtab.Pool, rounds: int, picks: int
) -> None:
    run(pool, picks // 10)
    figures = [nanos(run, pool, picks) - nanos(empty, pool, picks) for _ in range(rounds)]
    print(f"{name:<34}{min(figures):>8.1f}{statistics.median(figures):>8.1f}{max(figures):>8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--picks", type=int, default=200_000)
    arguments = parser.parse_args()
    print(f"trimtab {trimtab.__version__}, Python {sys.version.split()[0]}, {arguments.rounds} rounds")
    print(f"{'ns per pick and done':<34}{'min':>8}{'median':>8}{'max':>8}")
    for policy in trimtab.Policy:
        for backends in BACKENDS:
            with trimtab.Pool(policy, seed=0) as pool:
                pool.add_all(trimtab.Backend(f"10.0.{n // 256}.{n % 256}:80") for n in range(backends))
                name = f"{policy.name.lower().replace('_', '-')}, {backends} backends"
                keyed_policy = policy in (trimtab.Policy.SOURCE, trimtab.Policy.HASH)
                measure(name, keyed if keyed_policy else plain, pool, arguments.rounds, arguments.picks)
    with trimtab.Pool(seed=0) as pool:
        pool.add_all(trimtab.Backend(f"10.0.0.{n}:80") for n in range(3))
        measure("round-robin, done with a timing", timed, pool, arguments.rounds, arguments.picks)
        measure("round-robin, in a with block", block, pool, arguments.rounds, arguments.picks)


if __name__ == "__main__":
    main()
