"""The servers behind the proxies, and what is asked of them through each proxy.

A workload measures one running proxy. Its rate is what the proxy did per second, its cost the processor time
of the proxy for one unit of work, both as `WORKLOADS` names them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from contestants import Setup, nginx_command
from system import Failure, Meter, Server, find, free_ports, memory_kib, tree

Figures = dict[str, float]

ANSWER = b"x" * 127 + b"\n"
FILE_BYTES = 64 << 20
CONNECTIONS = 64
BULK_CONNECTIONS = 4
IDLE_SESSIONS = 9_000
# The script that has wrk tell its figures as JSON. Its errors are all it has words for.
WRK_SCRIPT = """done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format('\\nJSON{"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"errors":%d}\\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def head(path: str, close: bool = False) -> bytes:
    connection = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{connection}\r\n".encode()


def fetch(port: int, path: str) -> bytes:
    """The body of a 200 answer on a connection of its own, read until its end."""
    with socket.create_connection(("127.0.0.1", port), 5) as stream:
        stream.sendall(head(path, close=True))
        parts = []
        while part := stream.recv(1 << 18):
            parts.append(part)
    status, _, body = b"".join(parts).partition(b"\r\n\r\n")
    if not status.startswith(b"HTTP/1.1 200 "):
        raise Failure(f"GET {path} was answered with {status[:60]!r}")
    return body


def answers(port: int) -> bool:
    """Whether what listens there gives the small answer."""
    return fetch(port, "/") == ANSWER


class Backends:
    """Three alike nginx with one worker each: an answer of 128 bytes, its own port, a file of 64 MiB.

    Beside a port of its own each listens on `direct`, which the kernel spreads over the three.
    """

    def __init__(self, folder: Path, descriptors: int) -> None:
        *self.ports, self.direct = free_ports(4)
        binary = find("nginx", "apt-get install nginx-light")
        content = os.urandom(1 << 20) * (FILE_BYTES >> 20)
        self.digest = hashlib.sha256(content).digest()
        (folder / "64m").write_bytes(content)
        self.servers: list[Server] = []
        for port in self.ports:
            own = folder / f"backend-{port}"
            own.mkdir()
            setup = Setup(binary, own, port, (), 1, descriptors)
            block = f"""http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    keepalive_time 24h;
    client_header_timeout 1h;
    open_file_cache max=10;
    root {folder};
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        listen 127.0.0.1:{self.direct} backlog=4096 reuseport;
        location = / {{ return 200 "{ANSWER.decode().rstrip()}\\n"; }}
        location = /port {{ return 200 "{port}"; }}
    }}
}}
"""
            self.servers.append(Server(nginx_command(setup, block), own / "log"))
        try:
            for port, server in zip(self.ports, self.servers, strict=True):
                server.wait_until(partial(answers, port), "ready")
        except BaseException:
            self.stop()
            raise

    @property
    def pids(self) -> list[int]:
        return [server.pid for server in self.servers]

    def established(self) -> int:
        """Connections to the ports of the three."""
        ours = {f"0100007F:{port:04X}" for port in self.ports}
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        return sum(1 for line in lines if line.split()[3] == "01" and line.split()[1] in ours)

    def stop(self) -> None:
        for server in self.servers:
            server.stop()


@dataclass(frozen=True)
class Target:
    """What is measured: a proxy, or the backends themselves (`pid` is None)."""

    port: int
    pid: int | None
    backends: Backends
    folder: Path
    seconds: int
    sessions: int
    # Whether to let it run before it is measured.
    warm: bool

    def meter(self) -> Meter:
        return Meter(self.pid, self.backends.pids)


def check(target: Target) -> None:
    """Fails unless the proxy answers right, with each of the backends, small and large."""
    turns = 10 * len(target.backends.ports)
    seen = {int(fetch(target.port, "/port")) for _ in range(turns)}
    if seen != set(target.backends.ports):
        raise Failure(f"{turns} connections went to {len(seen)} of {len(target.backends.ports)} backends")
    if fetch(target.port, "/") != ANSWER:
        raise Failure("the answer of 128 bytes came through changed")
    if hashlib.sha256(fetch(target.port, "/64m")).digest() != target.backends.digest:
        raise Failure("the file of 64 MiB came through changed")


def wrk(target: Target, seconds: int, close: bool) -> Figures:
    script = target.folder / "done.lua"
    script.write_text(WRK_SCRIPT)
    argv = [find("wrk", "apt-get install wrk"), "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "5s"]
    argv += ["-s", str(script), *(["-H", "Connection: close"] if close else [])]
    argv.append(f"http://127.0.0.1:{target.port}/")
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    _, _, report = done.stdout.partition("\nJSON")
    if done.returncode != 0 or not report:
        raise Failure(f"wrk ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-200:]}")
    figures: Figures = json.loads(report)
    if figures["requests"] == 0:
        raise Failure(f"wrk had no answer in {seconds} s")
    return figures


def requests(target: Target, close: bool) -> Figures:
    if target.warm:
        wrk(target, 1, close)
    meter = target.meter()
    said = wrk(target, target.seconds, close)
    used = meter.stop()
    return {
        **used,
        "rate": said["requests"] / (said["microseconds"] / 1e6),
        "cost": used["cpu_seconds"] / said["requests"] * 1e6,
        "p50": said["p50"],
        "p99": said["p99"],
        "errors": said["errors"],
    }


def keepalive(target: Target) -> Figures:
    return requests(target, close=False)


def connections(target: Target) -> Figures:
    return requests(target, close=True)


class Download(threading.Thread):
    """Reads the large file again and again on one connection until told to stop."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.received = 0
        self.ending = threading.Event()
        self.trouble: Exception | None = None

    def run(self) -> None:
        try:
            self.read()
        except (OSError, Failure, ValueError) as error:
            self.trouble = error

    def read(self) -> None:
        buffer = bytearray(1 << 18)
        with socket.create_connection(("127.0.0.1", self.port), 5) as stream:
            while not self.ending.is_set():
                stream.sendall(head("/64m"))
                left = -1
                while left != 0 and not self.ending.is_set():
                    count = stream.recv_into(buffer)
                    if count == 0:
                        raise Failure("a download ended early")
                    if left < 0:
                        # On loopback the head comes in one piece.
                        left = FILE_BYTES + buffer.index(b"\r\n\r\n", 0, count) + 4
                    left -= count
                    self.received += count


def bulk(target: Target) -> Figures:
    downloads = [Download(target.port) for _ in range(BULK_CONNECTIONS)]
    for download in downloads:
        download.start()
    # What one waits for here is the time itself.
    if target.warm:
        time.sleep(1)
    meter, before, start = target.meter(), sum(d.received for d in downloads), time.monotonic()
    time.sleep(target.seconds)
    gigabytes = (sum(d.received for d in downloads) - before) / 1e9
    seconds, used = time.monotonic() - start, meter.stop()
    for download in downloads:
        download.ending.set()
    for download in downloads:
        download.join()
        if download.trouble is not None:
            raise Failure(f"a download failed: {download.trouble}")
    if gigabytes == 0:
        raise Failure(f"no download moved in {target.seconds} s")
    return {**used, "rate": gigabytes / seconds, "cost": 1000 * used["cpu_seconds"] / gigabytes}


def steady_memory(pids: list[int]) -> int:
    """The memory once two looks in a row agree, or after some seconds whatever it is."""
    last, end = -1, time.monotonic() + 5
    while (now := memory_kib(pids)) != last and time.monotonic() < end:
        last = now
        time.sleep(0.2)
    return now


def idle(target: Target) -> Figures:
    """The memory that sessions take while nothing is sent, and after one answer on each."""
    if target.pid is None:
        raise Failure("the backends alone are no proxy")
    pids = tree(target.pid)
    before, had = steady_memory(pids), target.backends.established()
    meter = target.meter()
    sessions: list[socket.socket] = []
    try:
        for number in range(target.sessions):
            # Several addresses, so that the ports of one do not run out.
            source = (f"127.0.0.{2 + number % 4}", 0)
            sessions.append(socket.create_connection(("127.0.0.1", target.port), 5, source))
        end = time.monotonic() + 20
        while target.backends.established() - had < target.sessions:
            if time.monotonic() > end:
                joined = target.backends.established() - had
                raise Failure(f"{joined} of {target.sessions} sessions reached a backend within 20 s")
            time.sleep(0.1)
        fresh = steady_memory(pids)
        wrong = 0
        for session in sessions:
            session.sendall(head("/"))
        for session in sessions:
            got = b""
            while not got.endswith(ANSWER) and (part := session.recv(4096)):
                got += part
            wrong += not got.startswith(b"HTTP/1.1 200 ")
        used = steady_memory(pids)
    finally:
        for session in sessions:
            session.close()
    times = meter.stop()
    return {
        **times,
        "rate": (fresh - before) * 1024 / target.sessions,
        "used": (used - before) * 1024 / target.sessions,
        "base_kib": before,
        "cost": times["cpu_seconds"] / target.sessions * 1e6,
        "errors": wrong,
    }


def system_calls(target: Target, close: bool) -> Figures:
    """System calls of the proxy for each request, by name. strace slows it, so nothing else is measured."""
    report = target.folder / "strace.txt"
    pids = tree(target.pid) if target.pid is not None else []
    argv = [find("strace", "apt-get install strace"), "-c", "-f", "-o", str(report)]
    for pid in pids:
        argv += ["-p", str(pid)]
    tracer = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert tracer.stderr is not None
        for pid in pids:
            # It says so, process by process, when it is there.
            line = tracer.stderr.readline()
            if " attached" not in line:
                raise Failure(f"strace may not look at process {pid}; run this as root: {line.strip()}")
        said = wrk(target, target.seconds, close)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()
    calls: Figures = {}
    for line in report.read_text().splitlines():
        # "% time, seconds, usecs/call, calls, errors if any, name".
        found = re.fullmatch(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)\s*", line)
        if found and found[2] != "total":
            calls[found[2]] = int(found[1]) / said["requests"]
    if not calls:
        raise Failure(f"strace counted nothing: {report.read_text()[:200]!r}")
    return calls


@dataclass(frozen=True)
class Workload:
    run: Callable[[Target], Figures]
    unit: str
    cost: str
    question: str
    # For memory, less is better.
    more_is_better: bool = True


WORKLOADS = {
    "keepalive": Workload(keepalive, "req/s", "us/req", f"{CONNECTIONS} connections, requests on each"),
    "connections": Workload(connections, "conn/s", "us/conn", f"{CONNECTIONS} at once, a request each"),
    "bulk": Workload(bulk, "GB/s", "ms/GB", f"64 MiB again and again on {BULK_CONNECTIONS} connections"),
    "idle": Workload(idle, "B/session", "us/session", "memory of a session that waits", False),
}
