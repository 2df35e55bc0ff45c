"""What does a call of the store cost from Python, beside a dict (lost with the process) and sqlite3 (WAL and
synchronous=FULL: each commit is on disk, as with durability local)?

Each round runs every case once, so that whatever else the machine does falls on all alike. Prints the least,
median and largest of the rounds, in microseconds per call. Calls that wait for the disk one by one are a
hundredth as many.

    python benches/store.py [--rounds N] [--calls N] [--dir PATH]
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import trimtab
import trimtab.aio

KEYS = [b"key/%09d" % n for n in range(100_000)]
VALUE = b"v" * 100
PIPELINE = 256
"""How many writes are under way at once in asyncio, and in a batch of sqlite3's."""


class Bench:
    """The three, with the same keys."""

    def __init__(self, directory: Path) -> None:
        self.store = trimtab.Store(directory / "store")
        with self.store.queue(len(KEYS)) as queue:
            queue.submit_all((trimtab.Operation.put(key, VALUE), 0, "memory", None) for key in KEYS)
        self.store.sync()
        self.dict = dict.fromkeys(KEYS, VALUE)
        self.sqlite = sqlite3.connect(directory / "sqlite", isolation_level=None)
        self.sqlite.execute("PRAGMA journal_mode=WAL")
        self.sqlite.execute("PRAGMA synchronous=FULL")
        self.sqlite.execute("CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID")
        self.sqlite.execute("BEGIN")
        self.sqlite.executemany("INSERT INTO kv VALUES (?, ?)", ((key, VALUE) for key in KEYS))
        self.sqlite.execute("COMMIT")

    def close(self) -> None:
        self.store.close()
        self.sqlite.close()

    def get_dict(self, keys: list[bytes]) -> None:
        get = self.dict.get
        for key in keys:
            get(key)

    def get_store(self, keys: list[bytes]) -> None:
        get = self.store.get
        for key in keys:
            get(key)

    def get_sqlite(self, keys: list[bytes]) -> None:
        execute = self.sqlite.execute
        for key in keys:
            execute("SELECT v FROM kv WHERE k = ?", (key,)).fetchone()

    def put_dict(self, keys: list[bytes]) -> None:
        own = self.dict
        for key in keys:
            own[key] = VALUE

    def put_store_memory(self, keys: list[bytes]) -> None:
        put = self.store.put
        for key in keys:
            put(key, VALUE, durability="memory")

    def put_store_local(self, keys: list[bytes]) -> None:
        put = self.store.put
        for key in keys:
            put(key, VALUE, durability="local")

    def put_sqlite(self, keys: list[bytes]) -> None:
        execute = self.sqlite.execute
        for key in keys:
            execute("INSERT OR REPLACE INTO kv VALUES (?, ?)", (key, VALUE))

    def put_sqlite_batches(self, keys: list[bytes]) -> None:
        for at in range(0, len(keys), PIPELINE):
            self.sqlite.execute("BEGIN")
            batch = ((key, VALUE) for key in keys[at : at + PIPELINE])
            self.sqlite.executemany("INSERT OR REPLACE INTO kv VALUES (?, ?)", batch)
            self.sqlite.execute("COMMIT")

    def put_asyncio(self, keys: list[bytes], durability: str) -> None:
        async def main() -> None:
            async with trimtab.aio.attach(self.store) as writes:
                left = iter(keys)

                async def work() -> None:
                    for key in left:
                        await writes.put(key, VALUE, durability=durability)

                await asyncio.gather(*(work() for _ in range(min(PIPELINE, len(keys)))))

        asyncio.run(main())

    def put_asyncio_memory(self, keys: list[bytes]) -> None:
        self.put_asyncio(keys, "memory")

    def put_asyncio_local(self, keys: list[bytes]) -> None:
        self.put_asyncio(keys, "local")

    def scan_store(self, keys: list[bytes]) -> None:
        for _ in self.store.items(limit=len(keys)):
            pass

    def scan_sqlite(self, keys: list[bytes]) -> None:
        for _ in self.sqlite.execute("SELECT k, v FROM kv ORDER BY k LIMIT ?", (len(keys),)):
            pass


# What, and how many hundredths of the calls.
CASES: list[tuple[str, Callable[[Bench, list[bytes]], None], int]] = [
    ("get: dict", Bench.get_dict, 100),
    ("get: trimtab", Bench.get_store, 100),
    ("get: sqlite3", Bench.get_sqlite, 100),
    ("scan, a key of it: trimtab", Bench.scan_store, 100),
    ("scan, a key of it: sqlite3", Bench.scan_sqlite, 100),
    ("put in memory: dict", Bench.put_dict, 100),
    ("put in memory: trimtab", Bench.put_store_memory, 100),
    (f"put in memory, {PIPELINE} in asyncio: trimtab", Bench.put_asyncio_memory, 100),
    ("put on disk: trimtab", Bench.put_store_local, 1),
    ("put on disk: sqlite3", Bench.put_sqlite, 1),
    (f"put on disk, {PIPELINE} in asyncio: trimtab", Bench.put_asyncio_local, 100),
    (f"put on disk, {PIPELINE} a commit: sqlite3", Bench.put_sqlite_batches, 100),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--dir", type=Path, help="where the files are made (a temporary directory)")
    arguments = parser.parse_args()
    figures: dict[str, list[float]] = {name: [] for name, _, _ in CASES}
    with tempfile.TemporaryDirectory(dir=arguments.dir) as directory:
        bench = Bench(Path(directory))
        stride = 7_919
        for number in range(arguments.rounds):
            for name, run, part in CASES:
                count = max(1, arguments.calls * part // 100)
                keys = [KEYS[(number + n * stride) % len(KEYS)] for n in range(count)]
                begun = time.perf_counter_ns()
                run(bench, keys)
                figures[name].append((time.perf_counter_ns() - begun) / count / 1e3)
        bench.close()
    print(
        f"trimtab {trimtab.__version__}, Python {sys.version.split()[0]}, sqlite {sqlite3.sqlite_version}, "
        f"{len(KEYS)} keys, values of {len(VALUE)} bytes, {arguments.rounds} rounds"
    )
    print(f"{'microseconds per call':<46}{'min':>10}{'median':>10}{'max':>10}")
    for name, taken in figures.items():
        print(f"{name:<46}{min(taken):>10.2f}{statistics.median(taken):>10.2f}{max(taken):>10.2f}")


if __name__ == "__main__":
    main()
