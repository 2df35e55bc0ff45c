"""How does trimtab's store do beside redis-server and etcd, over sockets on the loopback interface?

redis-benchmark asks trimtab and redis-server: 50 connections, values of 128 bytes, keys at random. h2load
asks etcd for one key, since it cannot make up others. All servers stay up and wait while another is asked;
the rounds go round them, and every other one goes backwards. A table gives the medians, the range, the ratio
to the peer that promises as much (the median of the ratios round by round), latencies, and what the server's
processes took of the processor for each request. other% is what programs outside the test took of all cores
in the worst round.

`quorum` asks stores of several nodes for writes that are on the disks of two of them before they are
answered. redis is asked by a WAIT behind each SET, which takes another client; trimtab is asked for a PING
there.

`replica-reads` has three clients, each a process, read a cluster of three: all by its primary, or each by
another node. Where there are six cores or more, each node and each client has one.

`memory` tells what each server grew by for each key when the keys were put, before all else.

Needs the packages in apt.txt; who lacks a program is left out, and with --smoke that is a failure. TRIMTAB,
REDIS, REDIS_BENCHMARK, ETCD and ETCDCTL name programs that are not on the PATH.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import spread
from contestants import (
    CLUSTERS,
    CONNECTIONS,
    CONTESTANTS,
    ETCD_KEY,
    PEERS,
    SPREAD,
    Figures,
    Store,
    get_message,
    h2load,
    missing,
    put_message,
    redis_benchmark,
)
from pairs import VALUE_BYTES, Unanswered, encode, pairs
from system import Failure, Meter, memory_kib, tree

# What each workload asks: of stores that speak RESP, and of etcd; and how many at once on a connection.
WORKLOADS = {
    "set": ("set", "Put", 1),
    "get": ("get", "Range", 1),
    "set-P16": ("set", "Put", 16),
    "get-P16": ("get", "Range", 16),
}
QUORUM = "quorum"
REPLICA_READS = "replica-reads"


class Bench:
    """The servers that run, and how long each of them is asked."""

    def __init__(self, folder: Path, names: Sequence[str], keys: int, seconds: float) -> None:
        self.folder = folder
        self.keys = keys
        self.seconds = seconds
        self.stores: dict[str, Store] = {}
        try:
            for name in names:
                place = folder / name
                place.mkdir()
                self.stores[name] = CONTESTANTS[name](place)
        except Failure as error:
            self.stop()
            raise Failure(f"{name}: {error}") from error

    def stop(self) -> None:
        for store in self.stores.values():
            store.stop()

    def ask(self, name: str, workload: str, count: int) -> Figures:
        store = self.stores[name]
        test, method, pipeline = WORKLOADS[workload]
        if store.is_resp:
            return redis_benchmark(store, test, count, self.keys, pipeline)
        message = put_message(ETCD_KEY, b"x" * VALUE_BYTES) if method == "Put" else get_message(ETCD_KEY)
        return h2load(store, method, message, count, pipeline, self.folder / name)

    def fill(self) -> dict[str, float]:
        """Puts keys at random, as many as there are; gives bytes for each key that is there then."""
        grown = {}
        for name, store in self.stores.items():
            if not store.is_resp:
                self.ask(name, "set", 100)
                continue
            if name in CLUSTERS:
                continue
            before = memory_kib(tree(store.pids[0]))
            redis_benchmark(store, "set", self.keys, self.keys, 64)
            # Of n keys drawn n times this part comes up.
            grown[name] = (memory_kib(tree(store.pids[0])) - before) * 1024 / (self.keys * 0.632)
        return grown

    def run(self, name: str, workload: str) -> Figures:
        """A round: first a short one, by which the other is made to take its seconds."""
        store = self.stores[name]
        if workload == QUORUM and store.is_resp:
            meter = Meter(store.pids[0], store.pids[1:])
            tail = encode(*store.question)
            try:
                figures = pairs(store.port, tail, self.keys, self.seconds, CONNECTIONS)
            except Unanswered as error:
                raise Failure(f"{name}: {error}") from error
            count = int(figures["count"])
        else:
            asked = "set" if workload == QUORUM else workload
            count = max(2_000, int(self.ask(name, asked, 2_000)["rate"] * self.seconds))
            meter = Meter(store.pids[0], store.pids[1:])
            figures = self.ask(name, asked, count)
        used = meter.stop()
        seconds = used["cpu_seconds"] + used["backend_cpu_seconds"]
        return {
            **figures,
            "cost": seconds * 1e6 / count,
            "foreign_percent": used["foreign_percent"],
        }


def number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(workload: str, results: dict[str, list[Figures]]) -> str:
    rows = [["", "requests/s", "min..max", "ratio", "p50 ms", "p99 ms", "min..max", "ratio"]]
    rows[0] += ["us CPU", "min..max", "ratio", "other%"]

    def cells(name: str, key: str) -> list[str]:
        values = [run[key] for run in results[name]]
        peer = results.get(PEERS.get(name, ""))
        ratio = "-"
        if peer:
            pairs = zip(values, (run[key] for run in peer), strict=True)
            ratios = [ours / theirs for ours, theirs in pairs if theirs]
            ratio = f"{statistics.median(ratios):.2f}" if ratios else "-"
        return [number(statistics.median(values)), f"{number(min(values))}..{number(max(values))}", ratio]

    for name, runs in results.items():
        p50 = number(statistics.median(run["p50"] for run in runs))
        foreign = number(max(run["foreign_percent"] for run in runs))
        rows.append([name, *cells(name, "rate"), p50, *cells(name, "p99"), *cells(name, "cost"), foreign])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return f"{workload}\n" + "\n".join(lines) + "\n"


def measure(bench: Bench, workloads: Sequence[str], rounds: int) -> dict[str, object]:
    measured: dict[str, object] = {}
    memory = bench.fill()
    measured["memory"] = memory
    sizes = ", ".join(f"{name} {size:.0f}" for name, size in memory.items())
    print(f"memory, bytes a key: {sizes}\n", flush=True)
    for workload in workloads:
        if workload == REPLICA_READS:
            if SPREAD in bench.stores:
                measured[workload] = replica_reads(bench, rounds)
            continue
        asked = [name for name in bench.stores if (name in CLUSTERS) == (workload == QUORUM)]
        if not asked:
            continue
        results: dict[str, list[Figures]] = {name: [] for name in asked}
        for turn in range(rounds):
            for name in asked[:: 1 if turn % 2 == 0 else -1]:
                figures = bench.run(name, workload)
                results[name].append(figures)
                line = f"{workload} {turn + 1}/{rounds} {name}: {number(figures['rate'])} requests/s"
                print(line, file=sys.stderr, flush=True)
        measured[workload] = results
        print(table(workload, results), flush=True)
    return measured


def replica_reads(bench: Bench, rounds: int) -> dict[str, list[Figures]]:
    store = bench.stores[SPREAD]
    spread.pin(store)
    keys = min(bench.keys, 100_000)
    spread.fill(store, keys)
    asked = {"one node": (store.port,), "three nodes": store.ports}
    results: dict[str, list[Figures]] = {name: [] for name in asked}
    for turn in range(rounds):
        for name in list(asked)[:: 1 if turn % 2 == 0 else -1]:
            figures = spread.reads(store, asked[name], keys, bench.seconds)
            results[name].append(figures)
            line = f"{REPLICA_READS} {turn + 1}/{rounds} {name}: {number(figures['rate'])} requests/s"
            print(line, file=sys.stderr, flush=True)
    print(table(REPLICA_READS, results), flush=True)
    return results


def listed(known: Sequence[str]) -> Callable[[str], list[str]]:
    def split(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return names

    return split


def main() -> None:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    contestants, workloads = list(CONTESTANTS), [*WORKLOADS, QUORUM, REPLICA_READS]
    parser.add_argument("--stores", type=listed(contestants), help=f"default: {','.join(contestants)}")
    parser.add_argument("--workloads", type=listed(workloads), default=workloads, help=",".join(workloads))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of each store in each round")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--dir", help="where the stores keep their data (default: the temporary folder)")
    parser.add_argument("--json", help="a file for all figures")
    parser.add_argument("--smoke", action="store_true", help="each store once and briefly")
    arguments = parser.parse_args()
    if arguments.stores is None:
        reasons = {name: missing(name) for name in contestants}
        arguments.stores = [name for name in contestants if reasons[name] is None]
        for name, reason in reasons.items():
            if reason is not None and arguments.smoke:
                raise Failure(f"{name} cannot be asked: {reason}")
            if reason is not None:
                print(f"{name} is left out: {reason}", file=sys.stderr)
    if arguments.smoke:
        arguments.rounds, arguments.seconds, arguments.keys = 1, 0.1, 2_000
    with tempfile.TemporaryDirectory(prefix="trimtab-stores-", dir=arguments.dir) as folder:
        bench = Bench(Path(folder), arguments.stores, arguments.keys, arguments.seconds)
        try:
            measured = measure(bench, arguments.workloads, arguments.rounds)
        finally:
            bench.stop()
    if arguments.json:
        measured["machine"] = {"cores": os.cpu_count(), "kernel": platform.release()}
        Path(arguments.json).write_text(json.dumps(measured, indent=1))


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"bench-stores: {failure}")
