"""What servers are tested with: backends, clients, configurations, and other Pythons."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from trimtab import Server, ServerState

TIMEOUT = 10.0
"""How long anything may take that takes no time."""

STRICT = ("-W", "error", "-W", "ignore:unclosed <socket:ResourceWarning")
"""Warnings are errors, but for sockets that a script leaves to its end."""


class Echo:
    """A backend that sends back what it gets and, when its client has ended, ``last``."""

    def __init__(self, last: bytes = b"") -> None:
        self.last = last
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        host, port = self._socket.getsockname()
        self.address = f"{host}:{port}"
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            while got := client.recv(1 << 16):
                client.sendall(got)
            client.sendall(self.last)
        except OSError:
            pass
        finally:
            self._open.discard(client)
            client.close()

    def close(self) -> None:
        # Which wakes whoever accepts.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(TIMEOUT)
        self._socket.close()
        for client in list(self._open):
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self) -> Echo:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def config(
    *backends: str, bind: str = "127.0.0.1:0", workers: int = 2, listener: str = "", more: str = ""
) -> str:
    """One listener, ``web``, that leads to one pool, ``app``, whose backends are b1, b2, ..."""
    described = ", ".join(
        f'{{ name = "b{n}", address = "{address}" }}' for n, address in enumerate(backends, 1)
    )
    return textwrap.dedent(
        f"""\
        [runtime]
        workers = {workers}
        [[listener]]
        name = "web"
        bind = "{bind}"
        pool = "app"
        {listener}
        [[pool]]
        name = "app"
        backend = [{described}]
        {more}
        """
    )


def connect(address: str) -> socket.socket:
    """A connection to what a configuration calls ``address``."""
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(TIMEOUT)
        try:
            client.connect("\0" + path[1:] if path.startswith("@") else path)
        except OSError:
            client.close()
            raise
        return client
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), TIMEOUT)


def read_all(client: socket.socket) -> bytes:
    got = bytearray()
    while more := client.recv(1 << 16):
        got += more
    return bytes(got)


def exchange(address: str, payload: bytes = b"hello") -> bytes:
    """Sends ``payload``, ends that half, and gives all that comes back."""
    with connect(address) as client:

        def send() -> None:
            client.sendall(payload)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        got = read_all(client)
        sender.join(TIMEOUT)
        return got


def assert_cut(client: socket.socket) -> None:
    """Nothing more comes: its other end is closed."""
    try:
        assert client.recv(1) == b""
    except ConnectionResetError:
        pass


def session(address: str) -> socket.socket:
    """A session that stands: a byte went to the backend and came back."""
    client = connect(address)
    client.sendall(b"?")
    assert client.recv(1) == b"?"
    return client


def eventually(condition: Callable[[], bool]) -> None:
    """Looks until it is so; for what tells nobody when it happens."""
    until = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.002)


def state(server: Server) -> ServerState:
    """What it does. mypy takes what an attribute was once for what it still is; a call it makes anew."""
    return server.state


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def threads() -> int:
    """Those of the process, not only Python's."""
    return len(os.listdir("/proc/self/task"))


def workers() -> int:
    """Threads that servers of this process run on; those of other tests' clients and backends, which may end
    at any time, are not counted."""
    count = 0
    for task in os.listdir("/proc/self/task"):
        try:
            count += Path(f"/proc/self/task/{task}/comm").read_text().startswith("trimtab/")
        except (FileNotFoundError, ProcessLookupError):
            # It ended between the two looks.
            pass
    return count


def script(code: str, *arguments: str, expect: int = 0, timeout: float = TIMEOUT) -> str:
    """What a Python of its own prints, which also ends. A deadlock there is a failure here."""
    done = subprocess.run(
        [sys.executable, *STRICT, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == expect, f"{done.returncode}\n{done.stdout}{done.stderr}"
    assert not done.stderr, done.stderr
    return done.stdout


@contextmanager
def running(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python of its own that goes on meanwhile."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def line(process: subprocess.Popen[str]) -> str:
    """The next line it prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def waited(pid: int) -> int:
    """The exit code of a child, which has ``TIMEOUT`` to come to its end."""
    until = time.monotonic() + TIMEOUT
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            pytest.fail("the child hangs")
        time.sleep(0.002)
