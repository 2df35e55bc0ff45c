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
from functools import partial
from pathlib import Path
from typing import Any

from pairs import VALUE_BYTES, encode
from system import Failure, Server, find, free_ports

CONNECTIONS = 50
# etcd keeps the history of all keys; redis-benchmark's name for the first of them.
ETCD_KEY = b"key:000000000001"
SETUP = "install the packages in benches/stores/apt.txt"

Figures = dict[str, float]


@dataclass(frozen=True)
class Store:
    """One store that runs, on one node or several; `port` is its primary's."""

    servers: tuple[Server, ...]
    port: int
    is_resp: bool
    # Asked behind each write whether it is safe; nothing where the answer of the write says so.
    question: tuple[bytes, ...] = ()
    # Of all nodes, where each of them can be read.
    ports: tuple[int, ...] = ()

    @property
    def pids(self) -> list[int]:
        return [server.pid for server in self.servers]

    def stop(self) -> None:
        for server in self.servers:
            server.stop()


def binary(variable: str, command: str) -> str:
    """The program: what the environment names, or the one on the PATH."""
    return os.environ.get(variable) or find(command, SETUP)


def command(port: int, *words: str, lines: int = 1) -> list[bytes]:
    """Sends one command to a store that speaks RESP; gives the first lines of its answer."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(encode(*(word.encode() for word in words)))
        stream = connection.makefile("rb")
        return [stream.readline().strip() for _ in range(lines)]


def redis(fsync: str, replicas: int = 0) -> Callable[[Path], Store]:
    """A primary, and so many replicas that are kept as it is."""

    def start(folder: Path) -> Store:
        ports = free_ports(1 + replicas)
        runs = []
        for number, port in enumerate(ports):
            place = folder / str(number)
            place.mkdir()
            argv = [binary("REDIS", "redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
            argv += ["--dir", str(place), "--save", "", "--appendonly", "yes", "--appendfsync", fsync]
            # What is measured is the log and not its rewriting.
            argv += ["--auto-aof-rewrite-percentage", "0", "--repl-diskless-sync-delay", "0"]
            argv += ["--replicaof", "127.0.0.1", str(ports[0])] if number else []
            runs.append((argv, place, port))
        servers = resp(runs)
        if replicas:
            wait = ("WAIT", str(replicas), "100")
            ready(servers, lambda: command(ports[0], *wait) == [b":%d" % replicas], "followed")
        question = (b"WAIT", b"%d" % replicas, b"1000") if replicas else ()
        return Store(servers, ports[0], is_resp=True, question=question)

    return start


def trimtab(durability: str, workers: int, nodes: int = 1) -> Callable[[Path], Store]:
    """One node, or a cluster of them."""

    def start(folder: Path) -> Store:
        free = free_ports(2 * nodes)
        ports, links = free[:nodes], free[nodes:]
        peers = ", ".join(f'n{number} = "127.0.0.1:{link}"' for number, link in enumerate(links))
        runs = []
        for number, port in enumerate(ports):
            place = folder / str(number)
            place.mkdir()
            cluster = f'node = "n{number}"\npeers = {{ {peers} }}\npeer_tls = "insecure-plaintext"\n'
            path = place / "trimtab.toml"
            path.write_text(
                f"""[runtime]
workers = {workers}
[store]
dir = "{place / "data"}"
resp = "127.0.0.1:{port}"
durability = "{durability}"
"""
                + (cluster if nodes > 1 else "")
            )
            runs.append(([binary("TRIMTAB", "trimtab"), "run", str(path)], place, port))
        servers = resp(runs)
        primaries: list[int] = []

        def is_led() -> bool:
            primaries[:] = [port for port in ports if command(port, "ROLE", lines=3)[2] == b"master"]
            return len(primaries) == 1

        if nodes > 1:
            ready(servers, is_led, "led")
        # The answer of a write says that a quorum has it; something is to be asked behind it all the same.
        port = primaries[0] if nodes > 1 else ports[0]
        return Store(servers, port, is_resp=True, question=(b"PING",), ports=tuple(ports))

    return start


def resp(runs: list[tuple[list[str], Path, int]]) -> tuple[Server, ...]:
    """Starts servers that speak RESP, each by its own words, in its own folder and on its own port."""
    servers = tuple(Server(argv, folder / "log") for argv, folder, _ in runs)
    for (_, _, port), server in zip(runs, servers, strict=True):
        ready(servers, partial(is_up, port), "ready", server)
    return servers


def is_up(port: int) -> bool:
    return command(port, "PING") == [b"+PONG"]


def ready(
    servers: tuple[Server, ...], is_ready: Callable[[], bool], what: str, server: Server | None = None
) -> None:
    """Waits until they are; none is left when they never are."""
    try:
        (server or servers[0]).wait_until(is_ready, what)
    except Failure:
        for each in servers:
            each.stop()
        raise


def etcd(nodes: int) -> Callable[[Path], Store]:
    def start(folder: Path) -> Store:
        ports = free_ports(2 * nodes)
        clients = [f"http://127.0.0.1:{port}" for port in ports[:nodes]]
        others = [f"http://127.0.0.1:{port}" for port in ports[nodes:]]
        everybody = ",".join(f"n{number}={other}" for number, other in enumerate(others))
        servers = []
        for number, (client, other) in enumerate(zip(clients, others, strict=True)):
            argv = [binary("ETCD", "etcd"), "--name", f"n{number}"]
            argv += ["--data-dir", str(folder / f"data{number}")]
            argv += ["--listen-client-urls", client, "--advertise-client-urls", client]
            argv += ["--listen-peer-urls", other, "--initial-advertise-peer-urls", other]
            argv += ["--initial-cluster", everybody, "--quota-backend-bytes", str(8 << 30)]
            servers.append(Server([*argv, "--log-level", "error"], folder / f"log{number}"))
        leaders: list[int] = []

        def is_led() -> bool:
            leaders[:] = [port for port in ports[:nodes] if is_leader(port)]
            return len(leaders) == 1

        ready(tuple(servers), is_led, "led")
        return Store(tuple(servers), leaders[0], is_resp=False)

    return start


def is_leader(port: int) -> bool:
    status = etcd_status(port)
    return status is not None and status.get("leader") == status["header"]["member_id"]


def revision(port: int) -> int | None:
    """How many changes etcd has made; `None` while it has no leader."""
    status = etcd_status(port)
    return int(status["header"]["revision"]) if status and status.get("leader") else None


def etcd_status(port: int) -> Any:
    argv = [binary("ETCDCTL", "etcdctl"), "--endpoints", f"127.0.0.1:{port}"]
    argv += ["endpoint", "status", "-w", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "ETCDCTL_API": "3"})
    if done.returncode != 0 or not done.stdout:
        return None
    return json.loads(done.stdout)[0]["Status"]


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
    "etcd": etcd(1),
    "trimtab-quorum@1x3": trimtab("quorum", 1, 3),
    "redis-always+1": redis("always", 1),
    "etcd-x3": etcd(3),
}

# Those of more than one node, which are asked for writes that more than one of them has.
CLUSTERS = ("trimtab-quorum@1x3", "redis-always+1", "etcd-x3")

# The one whose nodes are read together.
SPREAD = "trimtab-quorum@1x3"

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
    "trimtab-quorum@1x3": "redis-always+1",
    "etcd-x3": "redis-always+1",
    "three nodes": "one node",
}
