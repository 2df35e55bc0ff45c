"""Three nodes of trimtab's store as processes on 127.0.0.1, and what can be asked of them."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

from pairs import encode
from system import Failure, Server, find, free_ports

SETUP = "build it with `make build`"
# After this long nothing will come any more.
PATIENCE = 60.0


class Refused(Exception):
    """The store answered with an error."""


class Client:
    """A connection that speaks RESP, as far as it takes."""

    def __init__(self, port: int, patience: float = 5.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")

    def send(self, *words: bytes) -> None:
        self.socket.sendall(encode(*words))

    def ask(self, *words: bytes) -> object:
        self.send(*words)
        return self.receive()

    def receive(self) -> object:
        """The next answer: bytes, a number, a list or nothing."""
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the node has closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"-":
            raise Refused(rest.decode())
        if kind == b"*":
            return [self.receive() for _ in range(int(rest))]
        if int(rest) < 0:
            return None
        return self.stream.read(int(rest) + 2)[:-2]

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


class Cluster:
    """The nodes, numbered from 0."""

    def __init__(self, folder: Path, voters: int = 3, *, splits: bool = False) -> None:
        # With a learner that has a listener for clients who know one address.
        nodes = voters + splits
        self.binary = os.environ.get("TRIMTAB") or find("trimtab", SETUP)
        free = free_ports(nodes + voters + 1)
        self.ports, links, self.split = free[:nodes], free[nodes:-1], free[-1]
        learner = f'learners = ["n{voters}"]' if splits else ""
        listener = f'[[listener]]\nname = "split"\nmode = "resp-split"\nbind = "127.0.0.1:{self.split}"\n'
        self.voters = voters
        peers = ", ".join(f'n{node} = "127.0.0.1:{link}"' for node, link in enumerate(links))
        self.places = [folder / f"n{node}" for node in range(nodes)]
        self.servers: list[Server | None] = [None] * nodes
        for node, place in enumerate(self.places):
            place.mkdir()
            (place / "trimtab.toml").write_text(
                f"""[runtime]
workers = 1
[admin]
bind = "unix:{place / "admin"}"
[store]
dir = "{place / "data"}"
resp = "127.0.0.1:{self.ports[node]}"
node = "n{node}"
peers = {{ {peers} }}
peer_tls = "insecure-plaintext"
{learner}
{listener if node == voters else ""}"""
            )
        try:
            for node in range(nodes):
                self.start(node)
            self.primary()
            self.until_all_vote()
        except Failure:
            self.stop()
            raise

    def start(self, node: int) -> None:
        """Starts a node; returns when it takes clients."""
        argv = [self.binary, "run", str(self.places[node] / "trimtab.toml")]
        server = Server(argv, self.places[node] / "log")
        self.servers[node] = server
        server.wait_until(lambda: self.client(node).ask(b"PING") == b"PONG", "ready")

    def kill(self, node: int) -> None:
        server = self.servers[node]
        if server is not None:
            server.stop()
            self.servers[node] = None

    def end(self, node: int) -> None:
        """Ends a node in good order."""
        server = self.servers[node]
        if server is not None:
            server.process.terminate()
            if server.process.wait(PATIENCE) != 0:
                raise Failure(f"node {node} did not end well: {server.last_words()}")
            self.servers[node] = None

    def stop(self) -> None:
        for node in range(len(self.servers)):
            self.kill(node)

    def running(self) -> list[int]:
        return [node for node, server in enumerate(self.servers) if server is not None]

    def client(self, node: int, patience: float = 5.0) -> Client:
        return Client(self.ports[node], patience)

    def split_client(self, patience: float = 5.0) -> Client:
        return Client(self.split, patience)

    def until_all_vote(self) -> None:
        """One that comes after the first election is taken in without a vote, and has it later."""
        wanted = b"\r\nvoters_linked:%d\r\n" % self.voters
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for node in self.running():
                client = self.client(node)
                try:
                    answer = client.ask(b"INFO", b"replication")
                except (OSError, Refused):
                    continue
                finally:
                    client.close()
                # Only the primary has heard of each.
                told = answer + b"\r\n" if isinstance(answer, bytes) else b""
                if b"\r\nrole:master\r\n" in told and wanted in told:
                    return
            time.sleep(0.01)
        raise Failure("not all nodes vote")

    def role(self, node: int) -> list[object]:
        client = self.client(node)
        try:
            answer = client.ask(b"ROLE")
        finally:
            client.close()
        return answer if isinstance(answer, list) else []

    def primary(self) -> int:
        """The one that says so, once one does."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = []
            for node, server in enumerate(self.servers):
                try:
                    if server is not None and self.role(node)[:1] == [b"master"]:
                        found.append(node)
                except (OSError, Refused):
                    continue
            if len(found) == 1:
                return found[0]
            time.sleep(0.01)
        raise Failure("no node becomes primary")

    def run(self, node: int, *words: str) -> None:
        """Has `trimtab store` do something at a running node."""
        argv = [self.binary, "store", *words, "--admin", f"unix:{self.places[node] / 'admin'}"]
        done = subprocess.run(argv, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(f"{' '.join(argv[1:])}: {done.stderr.strip() or done.stdout.strip()}")
