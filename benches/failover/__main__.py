"""How long is a cluster of three nodes without a primary, and what does it cost its clients?

- `kill`: the primary is killed with -9 while clients write. From then until another node has answered a
  write that was begun after it, in milliseconds. Each acknowledged write is looked for when all are back.
- `transfer`: the primary hands over while clients write. The longest time between two answers, in
  milliseconds, and how many writes were refused.
- `restart`: all nodes are ended in good order and started again, one after the other, while clients write
  through nodes that stay up. Writes that failed.
- `split-kill`: the primary is killed while clients write and read through one address, that of a listener
  that splits reads from writes. How often a client has to write again, how long a write takes, reads that
  show less than they have to.
- `split-restart`: all nodes but the one with the listener are restarted in turn meanwhile. Writes that
  failed.
- `catch-up`: a replica is down while so many bytes are written, and comes back while clients go on.
  Megabytes a second until it has all, what part of their rate the clients keep meanwhile, and by how many
  megabytes the primary grows.

TRIMTAB names the program when it is not on the PATH. Figures are medians (least to greatest).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import through
from cluster import PATIENCE, Client, Cluster, Refused
from system import Failure, memory_kib

CLIENTS = 8
VALUE_BYTES = 128
# Of the catch-up.
LONG_VALUE_BYTES = 16 << 10


class Writer(threading.Thread):
    """Writes numbers to a key of its own, one after the other, through nodes that answer."""

    def __init__(self, cluster: Cluster, number: int, nodes: Callable[[], Sequence[int]]) -> None:
        super().__init__(daemon=True)
        self.cluster, self.key, self.nodes = cluster, b"writer:%d" % number, nodes
        self.node = number
        self.is_over = False
        self.acknowledged = 0
        self.failed = 0
        # When each write was begun and answered.
        self.answers: list[tuple[float, float]] = []

    def run(self) -> None:
        client: Client | None = None
        value = 0
        while not self.is_over:
            nodes = self.nodes()
            value += 1
            begun = time.monotonic()
            try:
                if client is None or self.node not in nodes:
                    self.node = nodes[value % len(nodes)]
                    client = self.cluster.client(self.node)
                client.ask(b"SET", self.key, b"%d" % value)
            except (OSError, Refused):
                self.failed += 1
                client = None
                continue
            self.answers.append((begun, time.monotonic()))
            self.acknowledged = value


class Load:
    def __init__(self, cluster: Cluster, nodes: Callable[[], Sequence[int]]) -> None:
        self.writers = [Writer(cluster, number, nodes) for number in range(CLIENTS)]
        for writer in self.writers:
            writer.start()

    def count(self) -> int:
        return sum(len(writer.answers) for writer in self.writers)

    def failed(self) -> int:
        return sum(writer.failed for writer in self.writers)

    def until_more(self, count: int) -> None:
        end, wanted = time.monotonic() + PATIENCE, self.count() + count
        while self.count() < wanted:
            if time.monotonic() > end:
                raise Failure("writes are not acknowledged any more")
            time.sleep(0.005)

    def answers(self, since: float) -> list[tuple[float, float]]:
        """Since a moment, in the order in which they were answered."""
        found = [each for writer in self.writers for each in list(writer.answers) if each[1] >= since]
        return sorted(found, key=lambda each: each[1])

    def end(self) -> None:
        for writer in self.writers:
            writer.is_over = True
        for writer in self.writers:
            writer.join(PATIENCE)

    def lost(self, cluster: Cluster) -> int:
        """Writers whose last acknowledged write is not there; by a read of the primary."""
        client = cluster.client(cluster.primary())
        lost = 0
        for writer in self.writers:
            found = client.ask(b"GET", writer.key)
            has = int(found) if isinstance(found, bytes) else 0
            lost += has < writer.acknowledged
        client.close()
        return lost


def shown(values: Sequence[float], unit: str) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g}) {unit}"


def kill(folder: Path, rounds: int) -> str:
    cluster = Cluster(folder)
    times, lost = [], 0
    try:
        for turn in range(rounds):
            load = Load(
                cluster, lambda: [n for n, server in enumerate(cluster.servers) if server is not None]
            )
            load.until_more(100)
            victim = cluster.primary()
            since = time.monotonic()
            cluster.kill(victim)
            load.until_more(200)
            after = [end for begun, end in load.answers(since) if begun >= since]
            times.append((after[0] - since) * 1e3)
            cluster.start(victim)
            load.until_more(100)
            load.end()
            lost += load.lost(cluster)
            print(f"kill {turn + 1}/{rounds}: {times[-1]:.0f} ms", file=sys.stderr, flush=True)
    finally:
        cluster.stop()
    away = shown(times, "ms")
    return f"kill -9 of the primary, {rounds} rounds: {away} without one; {lost} writers lost a write"


def transfer(folder: Path, rounds: int) -> str:
    cluster = Cluster(folder)
    gaps, failed = [], 0
    try:
        load = Load(cluster, lambda: range(3))
        for turn in range(rounds):
            load.until_more(300)
            primary = cluster.primary()
            since = time.monotonic()
            cluster.run(primary, "transfer", f"n{(primary + 1) % 3}")
            load.until_more(300)
            ends = [end for _, end in load.answers(since)]
            gaps.append(max(b - a for a, b in zip([since, *ends], ends, strict=False)) * 1e3)
            print(f"transfer {turn + 1}/{rounds}: {gaps[-1]:.0f} ms", file=sys.stderr, flush=True)
        load.end()
        failed = load.failed()
        lost = load.lost(cluster)
    finally:
        cluster.stop()
    return f"transfer: {shown(gaps, 'ms')} between answers at most; {failed} writes failed, {lost} lost"


def restart(folder: Path, rounds: int) -> str:
    cluster = Cluster(folder)
    leaving: list[int] = []
    try:
        load = Load(cluster, lambda: [node for node in range(3) if node not in leaving])
        for turn in range(rounds):
            for node in range(3):
                leaving[:] = [node]
                load.until_more(200)
                cluster.end(node)
                load.until_more(200)
                cluster.start(node)
                leaving.clear()
                load.until_more(200)
            print(f"restart {turn + 1}/{rounds}: {load.failed()} failed", file=sys.stderr, flush=True)
        load.end()
        failed, count, lost = load.failed(), load.count(), load.lost(cluster)
    finally:
        cluster.stop()
    return f"restart of all nodes, {rounds} rounds: {failed} of {count} writes failed, {lost} lost"


def catch_up(folder: Path, rounds: int, megabytes: int = 200) -> str:
    rates, kept, grown = [], [], []
    for turn in range(rounds):
        place = folder / str(turn)
        place.mkdir()
        cluster = Cluster(place)
        try:
            primary = cluster.primary()
            replica = (primary + 1) % 3
            cluster.kill(replica)
            client = cluster.client(primary, PATIENCE)
            value = b"x" * LONG_VALUE_BYTES
            count = megabytes * 1_000_000 // LONG_VALUE_BYTES
            for first in range(0, count, 64):
                batch = range(first, min(first + 64, count))
                for number in batch:
                    client.send(b"SET", b"long:%d" % number, value)
                for _ in batch:
                    client.receive()
            load = Load(cluster, partial(list, [primary]))
            load.until_more(500)
            server = cluster.servers[primary]
            last = b"long:%d" % (count - 1)
            # Looking takes from the clients, too, which are of this process: it is done before as it is then.
            since, before = time.monotonic(), load.count()
            memory = 0
            while time.monotonic() - since < 1:
                offset(cluster, primary)
                offset(cluster, primary)
                client.ask(b"GET", last)
                memory = memory_kib([server.pid]) if server is not None else 0
                time.sleep(0.01)
            rate = (load.count() - before) / (time.monotonic() - since)
            cluster.start(replica)
            since, before = time.monotonic(), load.count()
            reader = cluster.client(replica, PATIENCE)
            most = memory
            # What it shows by itself has all when it has what was written last.
            reader.ask(b"READONLY")
            while (
                offset(cluster, replica) < offset(cluster, primary) - 1_000
                or reader.ask(b"GET", last) is None
            ):
                if server is not None:
                    most = max(most, memory_kib([server.pid]))
                if time.monotonic() - since > PATIENCE:
                    raise Failure("the replica does not catch up")
                time.sleep(0.01)
            took = time.monotonic() - since
            kept.append((load.count() - before) / took / rate)
            rates.append(megabytes / took)
            grown.append((most - memory) / 1024)
            load.end()
            print(f"catch-up {turn + 1}/{rounds}: {rates[-1]:.0f} MB/s", file=sys.stderr, flush=True)
        finally:
            cluster.stop()
    return (
        f"catch-up of {megabytes} MB: {shown(rates, 'MB/s')}; clients keep {shown(kept, 'of their rate')}; "
        f"the primary grows by {shown(grown, 'MB')}"
    )


def offset(cluster: Cluster, node: int) -> int:
    """How far a node's log goes, as ROLE says."""
    role = cluster.role(node)
    told = role[1] if role[:1] == [b"master"] else role[-1]
    return told if isinstance(told, int) else -1


CASES: dict[str, tuple[Callable[[Path, int], str], int]] = {
    "kill": (kill, 50),
    "transfer": (transfer, 20),
    "restart": (restart, 3),
    "split-kill": (through.kill, 20),
    "split-restart": (through.restart, 3),
    "catch-up": (catch_up, 5),
}


def main() -> None:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("--only", choices=list(CASES))
    parser.add_argument(
        "--rounds", type=int, help="default: " + ", ".join(f"{n} {c[1]}" for n, c in CASES.items())
    )
    parser.add_argument("--dir", help="where the nodes keep their data (default: the temporary folder)")
    parser.add_argument("--smoke", action="store_true", help="each case once")
    arguments = parser.parse_args()
    for name, (case, rounds) in CASES.items():
        if arguments.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="trimtab-failover-", dir=arguments.dir) as folder:
                print(case(Path(folder), 1 if arguments.smoke else arguments.rounds or rounds), flush=True)


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"bench-failover: {failure}")
