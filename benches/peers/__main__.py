"""How does trimtab do beside HAProxy and nginx? TCP through each of them on the loopback interface.

Rounds are interleaved, and each run has a proxy process of its own. A table gives medians, the range, and
ratios to the best peer with as many threads: the median of the ratios round by round. Client, proxy and
servers share the machine's cores, so the processor time of the proxy (cost) is the steadier figure. other% is
what programs outside the test and the kernel's own threads took, steal% what the machine's host took, of all
cores, in the worst round.

Needs the packages in apt.txt. TRIMTAB, HAPROXY, NGINX and ENVOY name programs that are not on the PATH.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import report
from contestants import CONTESTANTS, OURS, Setup
from system import Failure, Server, find, free_ports, raise_descriptors
from workloads import IDLE_SESSIONS, WORKLOADS, Backends, Figures, Target, answers, check, system_calls

DEFAULT = f"{OURS},haproxy,nginx,nginx-128k"
TRACED = {"keepalive": False, "connections": True}
# What connections use unless a program asks for another. Some pace what they send, which costs a multiple of
# the processor time in bulk; so a proxy that asks and one that does not differ in this too.
CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")
T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    name: str
    threads: int

    @property
    def label(self) -> str:
        return f"{self.name}@{self.threads}"

    def does(self, workload: str) -> bool:
        only = CONTESTANTS[self.name].only
        return not only or workload in only


class Bench:
    """The servers of one run of this program, and the proxies before them."""

    def __init__(self, folder: Path, seconds: int, sessions: int, warm: bool) -> None:
        descriptors = raise_descriptors()
        self.folder = folder
        self.seconds = seconds
        self.warm = warm
        self.descriptors = descriptors
        # The client holds one descriptor for each session, the proxy two.
        self.sessions = min(sessions, (descriptors - 1_500) // 2)
        if self.sessions < min(sessions, 100):
            raise Failure(f"{descriptors} open files are too few; raise the limit to 20000 (ulimit -n)")
        self.backends = Backends(folder, descriptors)
        self.count = 0

    def target(self, port: int, pid: int | None, folder: Path) -> Target:
        return Target(port, pid, self.backends, folder, self.seconds, self.sessions, self.warm)

    def through(self, entry: Entry, run: Callable[[Target], T]) -> T:
        """Starts a proxy, has `run` use it, and ends it."""
        self.count += 1
        folder = self.folder / f"{self.count}-{entry.name}"
        folder.mkdir()
        port = free_ports(1)[0]
        contestant = CONTESTANTS[entry.name]
        setup = Setup(
            contestant.binary(), folder, port, self.backends.ports, entry.threads, self.descriptors
        )
        server = Server(contestant.argv(setup), folder / "log")
        try:
            server.wait_until(partial(answers, port), "ready")
            return run(self.target(port, server.pid, folder))
        except (Failure, OSError) as error:
            raise Failure(f"{entry.label}: {error}; it said: {server.last_words()}") from error
        finally:
            server.stop()

    def direct(self, workload: str) -> Figures:
        """The backends without a proxy: what the client can do at most."""
        figures = WORKLOADS[workload].run(self.target(self.backends.direct, None, self.folder))
        del figures["cost"]
        return figures


def smoke(bench: Bench, entries: Sequence[Entry]) -> None:
    """Everything once, each contestant in one process; fails on a wrong answer or an error."""

    def everything(target: Target) -> None:
        check(target)
        for name, workload in WORKLOADS.items():
            if entry.does(name):
                figures = workload.run(target)
                if figures.get("errors"):
                    raise Failure(f"{name}: {figures['errors']:.0f} errors")
                print(f"  {name}: {report.number(figures['rate'])} {workload.unit}", flush=True)
        for name, close in TRACED.items():
            if entry.does(name):
                calls = system_calls(target, close)
                print(f"  {name}: {sum(calls.values()):.2f} system calls each", flush=True)

    for entry in entries:
        print(entry.label, flush=True)
        bench.through(entry, everything)


def rounds(bench: Bench, entries: Sequence[Entry], workload: str, count: int) -> dict[str, list[Figures]]:
    results: dict[str, list[Figures]] = {}
    field = [entry for entry in entries if entry.does(workload)]
    for turn in range(count):
        if workload != "idle":
            results.setdefault("direct", []).append(bench.direct(workload))
        # Every other round goes backwards, so that nobody always follows the same one.
        for entry in field if turn % 2 == 0 else field[::-1]:
            figures = bench.through(entry, WORKLOADS[workload].run)
            results.setdefault(entry.label, []).append(figures)
            rate, cost = report.number(figures["rate"]), report.number(figures["cost"])
            units = WORKLOADS[workload]
            line = f"{workload} {turn + 1}/{count} {entry.label}: {rate} {units.unit}, {cost} {units.cost}"
            print(line, file=sys.stderr, flush=True)
    return results


def measure(bench: Bench, entries: Sequence[Entry], arguments: argparse.Namespace) -> dict[str, object]:
    """Prints a table for each workload, and gives all figures."""
    for entry in entries:
        bench.through(entry, check)
    measured: dict[str, object] = {}
    for workload in arguments.workloads:
        results = rounds(bench, entries, workload, arguments.rounds)
        measured[workload] = results
        print(report.table(workload, results), flush=True)
    traced: dict[str, dict[str, Figures]] = {}
    for workload, close in TRACED.items():
        if workload in arguments.workloads:
            count = partial(system_calls, close=close)
            field = [entry for entry in entries if entry.does(workload)]
            traced[workload] = {entry.label: bench.through(entry, count) for entry in field}
            title = f"{workload}: system calls for each, with strace"
            print(report.calls_table(title, traced[workload]), flush=True)
    return {"results": measured, "system_calls": traced}


def names_of(known: Collection[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return parse


def whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return parse


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--smoke", action="store_true", help="everything once for a moment, answers checked")
    add("--contestants", type=names_of(CONTESTANTS), default=DEFAULT, help=f"of {', '.join(CONTESTANTS)}")
    add("--workloads", type=names_of(WORKLOADS), default=",".join(WORKLOADS), help="default all: %(default)s")
    add("--threads", type=names_of(("1", "2", "4", "8")), default="1,2", help="default 1,2")
    add("--rounds", type=whole(1, 100), default=5, help="default 5")
    add("--seconds", type=whole(1, 600), default=5, help="of a run after its warm-up; default 5")
    add("--json", type=Path, metavar="FILE", help="write all figures of all runs")
    return parser.parse_args()


def main() -> int:
    arguments = options()
    entries = [Entry(name, int(threads)) for name in arguments.contestants for threads in arguments.threads]
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        for tool in ("wrk", "strace"):
            find(tool, f"apt-get install {tool}")
        versions = {name: CONTESTANTS[name].says() for name in arguments.contestants}
        for name, version in versions.items():
            print(f"{name}: {version}")
        load, congestion = os.getloadavg()[0], CONGESTION.read_text().strip()
        system = f"{os.cpu_count()} cores, Linux {platform.release()}, {congestion}"
        print(f"{system}, load {load:.2f}", flush=True)
        with tempfile.TemporaryDirectory(prefix="peers-") as folder:
            # nginx looks at it as another user when it was not started by root.
            os.chmod(folder, 0o755)
            seconds, sessions = (1, 200) if arguments.smoke else (arguments.seconds, IDLE_SESSIONS)
            bench = Bench(Path(folder), seconds, sessions, warm=not arguments.smoke)
            try:
                if arguments.smoke:
                    smoke(bench, entries)
                    print(f"peers: {len(entries)} contestants answered right")
                    return 0
                figures = measure(bench, entries, arguments)
            finally:
                bench.backends.stop()
        if arguments.json is not None:
            about = {"versions": versions, "cores": os.cpu_count(), "kernel": platform.release()}
            about |= {"congestion_control": congestion}
            about |= {"rounds": arguments.rounds, "seconds": arguments.seconds, "sessions": bench.sessions}
            arguments.json.write_text(json.dumps(about | figures, indent=1) + "\n")
    except Failure as failure:
        print(f"peers: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
