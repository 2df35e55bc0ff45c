"""The stores: each is started in a folder of its own, and is asked on 127.0.0.1 in its own language."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from system import Failure, Server, find, free_ports

CONNECTIONS = 50
VALUE_BYTES = 128
# etcd keeps the history of all keys; redis-benchmark's name for the first of them.
ETCD_KEY = b"key:000000000001"
SETUP = "install the packages in benches/stores/apt.txt"

Figures = dict[str, float]


@dataclass(frozen=True)
class Store:
    """One store that runs. `pid` is the process that is counted."""

    server: Server
    port: int
    is_resp: bool

    @property
    def pid(self) -> int:
        return self.server.pid


def binary(variable: str, command: str) -> str:
    """The program: what the environment names, or the one on the PATH."""
    return os.environ.get(variable) or find(command, SETUP)


def command(port: int, *words: str) -> bytes:
    """Sends one command to a store that speaks RESP; gives the first line of its answer."""
    text = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(text.encode())
        return connection.makefile("rb").readline().strip()


def redis(fsync: str) -> Callable[[Path], Store]:
    def start(folder: Path) -> Store:
        port = free_ports(1)[0]
        argv = [binary("REDIS", "redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
        argv += ["--dir", str(folder), "--save", "", "--appendonly", "yes", "--appendfsync", fsync]
        # What is measured is the log and not its rewriting.
        argv += ["--auto-aof-rewrite-percentage", "0"]
        return resp(argv, folder, port)

    return start


def trimtab(durability: str, workers: int) -> Callable[[Path], Store]:
    def start(folder: Path) -> Store:
        port = free_ports(1)[0]
        path = folder / "trimtab.toml"
        path.write_text(
            f"""[runtime]
workers = {workers}
[store]
dir = "{folder / "data"}"
resp = "127.0.0.1:{port}"
durability = "{durability}"
"""
        )
        return resp([binary("TRIMTAB", "trimtab"), "run", str(path)], folder, port)

    return start


def resp(argv: list[str], folder: Path, port: int) -> Store:
    server = Server(argv, folder / "log")
    try:
        server.wait_until(lambda: command(port, "PING") == b"+PONG", "ready")
    except Failure:
        server.stop()
        raise
    return Store(server, port, is_resp=True)


def etcd(folder: Path) -> Store:
    port, peer = free_ports(2)
    client, other = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    argv = [binary("ETCD", "etcd"), "--name", "n", "--data-dir", str(folder / "data")]
    argv += ["--listen-client-urls", client, "--advertise-client-urls", client]
    argv += ["--listen-peer-urls", other, "--initial-advertise-peer-urls", other]
    argv += ["--initial-cluster", f"n={other}", "--quota-backend-bytes", str(8 << 30), "--log-level", "error"]
    server = Server(argv, folder / "log")
    try:
        server.wait_until(lambda: revision(port) is not None, "ready")
    except Failure:
        server.stop()
        raise
    return Store(server, port, is_resp=False)


def revision(port: int) -> int | None:
    """How many changes etcd has made; `None` while it has no leader."""
    argv = [binary("ETCDCTL", "etcdctl"), "--endpoints", f"127.0.0.1:{port}"]
    argv += ["endpoint", "status", "-w", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "ETCDCTL_API": "3"})
    if done.returncode != 0 or not done.stdout:
        return None
    status = json.loads(done.stdout)[0]["Status"]
    return int(status["header"]["revision"]) if status.get("leader") else None


def redis_benchmark(store: Store, test: str, count: int, keys: int, pipeline: int) -> Figures:
    """Requests a second and latencies in milliseconds of `count` requests."""
    argv = [binary("REDIS_BENCHMARK", "redis-benchmark"), "-p", str(store.port), "-c", str(CONNECTIONS)]
    argv += ["-P", str(pipeline), "-n", str(count), "-r", str(keys), "-d", str(VALUE_BYTES)]
    argv += ["-t", test, "--csv"]
    done = subprocess.run(argv, capture_output=True, text=True)
    start = done.stdout.find('"test"')
    if done.returncode != 0 or start < 0 or "Error" in done.stderr:
        raise Failure(f"redis-benchmark: {(done.stderr or done.stdout)[-300:].strip()}")
    row = next(csv.DictReader(io.StringIO(done.stdout[start:])))
    names = {"rate": "rps", "p50": "p50_latency_ms", "p99": "p99_latency_ms"}
    return {ours: float(row[theirs]) for ours, theirs in names.items()}


def h2load(store: Store, method: str, message: bytes, count: int, streams: int, folder: Path) -> Figures:
    """Likewise for calls to etcd, all of them with the same message."""
    body, log = folder / "body", folder / "calls"
    body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    log.unlink(missing_ok=True)
    argv = [find("h2load", SETUP), f"-c{CONNECTIONS}", f"-m{streams}", "-t1", f"-n{count}", "-d", str(body)]
    argv += ["--log-file", str(log), "-H", "content-type: application/grpc", "-H", "te: trailers"]
    argv += [f"http://127.0.0.1:{store.port}/etcdserverpb.KV/{method}"]
    before = revision(store.port) or 0
    done = subprocess.run(argv, capture_output=True, text=True)
    rate = re.search(r"([\d.]+) req/s", done.stdout)
    calls = [line.split("\t") for line in log.read_text().splitlines()] if log.exists() else []
    times = sorted(int(microseconds) / 1e3 for _, status, microseconds in calls if status == "200")
    # An answer that says 200 may still be an error of the store's.
    changed = (revision(store.port) or 0) - before
    if rate is None or len(times) != count or (method == "Put" and changed != count):
        said = done.stdout[-300:].strip()
        raise Failure(f"h2load: {len(times)} of {count} answered, {changed} changes: {said}")
    return {"rate": float(rate[1]), "p50": times[count // 2], "p99": times[int(count * 0.99)]}


def put_message(key: bytes, value: bytes) -> bytes:
    """etcd's PutRequest, whose fields are short enough for lengths of one and two bytes."""
    size = len(value)
    return b"\x0a" + bytes([len(key)]) + key + b"\x12" + bytes([size & 0x7F | 0x80, size >> 7]) + value


def get_message(key: bytes) -> bytes:
    """etcd's RangeRequest for one key."""
    return b"\x0a" + bytes([len(key)]) + key


CONTESTANTS: dict[str, Callable[[Path], Store]] = {
    "trimtab-local@1": trimtab("local", 1),
    "trimtab-local@2": trimtab("local", 2),
    "trimtab-memory@1": trimtab("memory", 1),
    "trimtab-memory@2": trimtab("memory", 2),
    "redis-always": redis("always"),
    "redis-everysec": redis("everysec"),
    "etcd": etcd,
}

# What each needs; who lacks something is left out unless it was asked for by name.
PROGRAMS: dict[str, tuple[tuple[str, str], ...]] = {
    "redis": (("REDIS", "redis-server"), ("REDIS_BENCHMARK", "redis-benchmark")),
    "trimtab": (("TRIMTAB", "trimtab"), ("REDIS_BENCHMARK", "redis-benchmark")),
    "etcd": (("ETCD", "etcd"), ("ETCDCTL", "etcdctl"), ("", "h2load")),
}


def missing(name: str) -> str | None:
    """Why a contestant cannot run here, if so."""
    for variable, program in PROGRAMS[name.partition("-")[0]]:
        try:
            binary(variable, program)
        except Failure as failure:
            return str(failure)
    return None


# Whom each is compared with: the one that promises as much.
PEERS = {
    "trimtab-local@1": "redis-always",
    "trimtab-local@2": "redis-always",
    "trimtab-memory@1": "redis-everysec",
    "trimtab-memory@2": "redis-everysec",
    "etcd": "redis-always",
}
