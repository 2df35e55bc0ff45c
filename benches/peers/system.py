"""Processes and what the system counts about them."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1
READY_SECONDS = 15.0


class Failure(Exception):
    """Something that ends the benchmark, with a line for the reader."""


def find(command: str, how: str) -> str:
    """The path of a command; Debian keeps daemons where not every user looks."""
    path = shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if path is None:
        raise Failure(f"{command} is missing: {how}")
    return path


def raise_descriptors(wanted: int = 200_000) -> int:
    """Raises the limit of open files as far as allowed, for us and what we start. Gives what it is now."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in (max(hard, wanted), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            return limit
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below the range from which the system gives ports to clients."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(10_000, 30_000)
        if port not in ports:
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
            ports.append(port)
    return ports


class Server:
    """A process in the foreground, in a process group of its own so that its children end with it.

    It stays in our session: the kernel may share out time by session, and then each server would get as
    much as the whole client.
    """

    def __init__(self, argv: Sequence[str], log: Path) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0
            )
        self.pid = self.process.pid

    def wait_until(self, ready: Callable[[], bool], what: str) -> None:
        """Asks again and again until `ready`; an OSError from it means not yet."""
        end = time.monotonic() + READY_SECONDS
        last = ""
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Failure(f"ended with {self.process.returncode}, not {what}: {self.last_words()}")
            try:
                if ready():
                    return
                last = "another answer than expected"
            except OSError as error:
                last = str(error)
            time.sleep(0.02)
        raise Failure(f"not {what} after {READY_SECONDS:.0f} s ({last}): {self.last_words()}")

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-400:].strip() or "it wrote nothing"

    def stop(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def fields_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; the name before them may hold blanks."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def tree(pid: int) -> list[int]:
    """`pid` and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children.setdefault(int(fields_of(int(entry))[1]), []).append(int(entry))
            except OSError:
                continue
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def processor_time(pids: Sequence[int]) -> tuple[float, float]:
    """Seconds of (user, system) time of these processes, all their threads included."""
    user = system = 0
    for pid in pids:
        try:
            fields = fields_of(pid)
        except OSError:
            continue
        user, system = user + int(fields[11]), system + int(fields[12])
    return user / TICKS_PER_SECOND, system / TICKS_PER_SECOND


def memory_kib(pids: Sequence[int]) -> int:
    """Proportional set size: a page that n processes share counts an n-th for each."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total


def machine_time() -> tuple[float, float]:
    """Seconds the whole machine was (busy, kept waiting by its host)."""
    values = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = values
    return (user + nice + system + irq + softirq) / TICKS_PER_SECOND, steal / TICKS_PER_SECOND


class Meter:
    """Processor time between its making and `stop`, of the proxy and of whom the machine worked for else."""

    def __init__(self, proxy: int | None, backends: Sequence[int]) -> None:
        self.proxy = tree(proxy) if proxy is not None else []
        self.backends = [pid for backend in backends for pid in tree(backend)]
        self.start = self.read()

    def read(self) -> list[float]:
        user, system = processor_time(self.proxy)
        ended, own = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
        client = ended.ru_utime + ended.ru_stime + own.ru_utime + own.ru_stime
        return [time.monotonic(), user, system, sum(processor_time(self.backends)), client, *machine_time()]

    def stop(self) -> dict[str, float]:
        seconds, user, system, backends, client, busy, steal = (
            after - before for before, after in zip(self.start, self.read(), strict=True)
        )
        whole = seconds * CORES / 100
        return {
            "cpu_seconds": user + system,
            "user_seconds": user,
            "backend_cpu_seconds": backends,
            "client_cpu_seconds": client,
            # Ticks are coarse: less than nothing means nothing.
            "foreign_percent": max(0.0, busy - user - system - backends - client) / whole,
            "steal_percent": steal / whole,
        }
