"""trimtab as it is built, and redis-py as it is installed. TRIMTAB names the command. With WITHOUT_HIREDIS
set redis-py does not find hiredis, and reads what it is answered by itself."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

IS_PLAIN = bool(os.environ.get("WITHOUT_HIREDIS"))
if IS_PLAIN:
    sys.modules["hiredis"] = None  # type: ignore[assignment]

import redis  # noqa: E402
import redis.utils  # noqa: E402

# Who is there is used; who is not fails all of this.
assert redis.utils.HIREDIS_AVAILABLE != IS_PLAIN, "make setup installs hiredis"


class Served:
    """A server with a store, which keeps its address from one start to the next."""

    def __init__(self, folder: Path, lines: str) -> None:
        self.folder = folder
        self.lines = lines
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        """Returns when it serves."""
        file = self.folder / "trimtab.toml"
        resp = f"127.0.0.1:{self.port}"
        file.write_text(
            f'[runtime]\nworkers = 2\n[store]\ndir = "{self.folder}/data"\nresp = "{resp}"\n{self.lines}\n'
        )
        command = [os.environ.get("TRIMTAB", "trimtab"), "run", "--json", str(file)]
        self.process = process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr
        told = []
        for line in process.stderr:
            told.append(line)
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("event") == "started":
                self.port = int(event["detail"].rsplit(":", 1)[1])
                # Nobody reads on, so that nothing waits for being read.
                threading.Thread(target=process.stderr.read, daemon=True).start()
                return
        raise AssertionError(f"{command} ended: {told}")

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0


Serve = Callable[[str], Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server with these lines in its `[store]`, which ends gracefully with the test."""
    running: list[Served] = []

    def start(lines: str = "") -> Served:
        running.append(Served(tmp_path, lines))
        return running[-1]

    yield start
    for served in running:
        served.end()


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


class Cluster:
    """Three nodes, each a process, which keep their addresses. They pass no writes on: clients have to find
    the primary. With `listener` there is a learner as well, `n3`, with a listener that splits reads from
    writes, and these lines in it."""

    def __init__(self, folder: Path, lines: str, listener: str | None = None) -> None:
        self.folder = folder
        self.lines = lines
        self.listener = listener
        ports = free_ports(12)
        self.links, self.ports, self.health = ports[:3], ports[3:6], ports[6:9]
        self.learner, self.split, self.learner_health = ports[9:]
        self.processes: list[subprocess.Popen[bytes] | None] = [None] * (3 if listener is None else 4)
        for at in range(len(self.processes)):
            self.start(at)

    def start(self, at: int) -> None:
        peers = ", ".join(f'n{peer} = "127.0.0.1:{port}"' for peer, port in enumerate(self.links))
        more = self.lines
        if self.listener is not None:
            more += '\nlearners = ["n3"]'
        if at == 3:
            bind = f"127.0.0.1:{self.split}"
            more += f'\n[[listener]]\nname = "split"\nbind = "{bind}"\nmode = "resp-split"'
            more += f"\n{self.listener}"
        resp, health = [*self.ports, self.learner][at], [*self.health, self.learner_health][at]
        file = self.folder / f"n{at}.toml"
        file.write_text(
            f'[runtime]\nworkers = 2\n[store]\ndir = "{self.folder}/n{at}"\nnode = "n{at}"\n'
            f'resp = "127.0.0.1:{resp}"\nhealth = "127.0.0.1:{health}"\n'
            f"peers = {{ {peers} }}\n"
            f'peer_tls = "insecure-plaintext"\nforward = false\n{more}\n'
        )
        command = [os.environ.get("TRIMTAB", "trimtab"), "run", "--json", str(file)]
        told = (self.folder / f"n{at}.log").open("ab")
        self.processes[at] = subprocess.Popen(command, stderr=told)

    def all_vote(self) -> None:
        """Waits for that: one that comes after the first election has no vote at first, and each says so of
        itself."""
        end = time.monotonic() + 60
        waiting = list(self.ports)
        while time.monotonic() < end:
            with suppress(redis.RedisError), redis.Redis(port=waiting[0]) as client:
                if client.info("replication").get("voters_linked") == len(self.ports):
                    waiting.pop(0)
                    if not waiting:
                        return
                    continue
            time.sleep(0.02)
        raise AssertionError("not all nodes have a vote")

    def stop(self, at: int) -> None:
        """Ends one gracefully."""
        process = self.processes[at]
        assert process
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        self.processes[at] = None

    def kill(self, at: int) -> None:
        process = self.processes[at]
        assert process
        process.kill()
        process.wait()
        self.processes[at] = None

    def end(self) -> None:
        for process in filter(None, self.processes):
            process.kill()
            process.wait()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [("127.0.0.1", port) for port in self.ports]


Cluster3 = Callable[..., Cluster]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster3]:
    """Starts three nodes with these lines in the `[store]` of each."""
    running: list[Cluster] = []

    def start(lines: str = "", listener: str | None = None) -> Cluster:
        running.append(Cluster(tmp_path, lines, listener))
        running[-1].all_vote()
        return running[-1]

    yield start
    for one in running:
        one.end()
