"""Reads of a cluster, all by one node or by all of them, by as many clients, each in a process of its own.

Where there are as many cores as processes each has one to itself. Where there are fewer, nodes and clients
share them: what more nodes come to is then what more of the processor they are given, and what a read takes
of it is the figure.
"""

from __future__ import annotations

import csv
import io
import os
import subprocess
from collections.abc import Sequence

from contestants import CONNECTIONS, Figures, Store, binary, command
from pairs import VALUE_BYTES
from system import Failure, Meter

PIPELINE = 16


def fill(store: Store, keys: int) -> None:
    """Puts keys at random, and waits until all nodes have them."""
    run([store.port], "set", keys, keys, 64)
    # Who writes by a node sees there what was written before it.
    for port in store.ports:
        command(port, "SET", "spread:ready", str(port))
        if command(port, "GET", "spread:ready", lines=2)[1:] != [b"%d" % port]:
            raise Failure(f"the node at {port} does not show what was put")


def reads(store: Store, ports: Sequence[int], keys: int, seconds: float) -> Figures:
    """A round in which these nodes are asked; a short one first tells how many reads there are to be."""
    clients = [ports[number % len(ports)] for number in range(len(store.ports))]
    short = run(clients, "get", 5_000, keys, PIPELINE)
    count = max(5_000, int(short["rate"] * seconds / len(clients)))
    meter = Meter(store.pids[0], store.pids[1:])
    figures = run(clients, "get", count, keys, PIPELINE)
    used = meter.stop()
    taken = used["cpu_seconds"] + used["backend_cpu_seconds"]
    return {
        **figures,
        "cost": taken * 1e6 / (count * len(clients)),
        "foreign_percent": used["foreign_percent"],
    }


def pin(store: Store) -> None:
    """Gives each node a core of its own where there are enough for the clients too."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) >= 2 * len(store.pids):
        for core, pid in zip(cores, store.pids, strict=False):
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), {core})


def run(ports: Sequence[int], test: str, count: int, keys: int, pipeline: int) -> Figures:
    """A client for each port, all at once: their rates together, and the latencies of the slowest."""
    cores = sorted(os.sched_getaffinity(0))
    spare = cores[-len(ports) :] if len(cores) >= 2 * len(ports) else []
    clients = []
    for number, port in enumerate(ports):
        argv = [binary("REDIS_BENCHMARK", "redis-benchmark"), "-p", str(port), "-c", str(CONNECTIONS)]
        argv += ["-P", str(pipeline), "-n", str(count), "-r", str(keys), "-d", str(VALUE_BYTES)]
        argv += ["-t", test, "--csv"]
        argv = [*(["taskset", "-c", str(spare[number])] if spare else []), *argv]
        clients.append(subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    rows = []
    for client in clients:
        out, errors = client.communicate()
        start = out.find('"test"')
        if client.returncode != 0 or start < 0 or "Error" in errors:
            raise Failure(f"redis-benchmark: {(errors or out)[-300:].strip()}")
        rows.append(next(csv.DictReader(io.StringIO(out[start:]))))
    return {
        "rate": sum(float(row["rps"]) for row in rows),
        "p50": max(float(row["p50_latency_ms"]) for row in rows),
        "p99": max(float(row["p99_latency_ms"]) for row in rows),
    }
