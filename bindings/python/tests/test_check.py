"""Checks in a loop that Python has: TCP, HTTP and Redis against real servers, in selectors and in asyncio."""

from __future__ import annotations

import asyncio
import http.server
import selectors
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trimtab
from trimtab import Admin, Check, CheckState, Observed, Pool, Role, Step

TIMES = 'interval = "50ms", timeout = "200ms", rise = 2, fall = 2'
PATIENCE = 20.0


def note(pool: Pool, backend: int, check: Check) -> CheckState:
    """Brings a verdict to the pool."""
    state = check.status()
    pool.set_observed(backend, state.observed, reason=state.reason, now=state.since)
    told = pool.backend(backend)
    assert (told.observed, told.reason, told.observed_since) == (state.observed, state.reason, state.since)
    return state


def probe(check: Check, pool: Pool, backend: int, until: Observed) -> CheckState:
    """A plain loop of selectors, until the backend is observed so."""
    give_up = time.monotonic() + PATIENCE
    family = socket.AF_UNIX if check.family is trimtab.Family.UNIX else socket.AF_INET
    address = check.host if check.family is trimtab.Family.UNIX else (check.host, check.port)
    conn: socket.socket | None = None
    is_connected = False
    with selectors.DefaultSelector() as selector:
        while time.monotonic() < give_up:
            step = check.take_step()
            if step.kind is Step.CONNECT:
                conn, is_connected = socket.socket(family), False
                conn.setblocking(False)
                selector.register(conn, selectors.EVENT_WRITE)
                try:
                    conn.connect(address)
                except BlockingIOError:
                    pass
                except OSError as error:
                    check.handle_failed(str(error))
            elif step.kind is Step.WRITE:
                assert conn is not None
                check.handle_written(conn.send(step.data[:3]))
            elif step.kind is Step.CLOSE:
                assert conn is not None
                selector.unregister(conn)
                conn.close()
                conn = None
            elif step.kind is Step.CHANGE:
                state = note(pool, backend, check)
                if state.observed is until:
                    assert conn is None
                    return state
            elif step.kind is Step.WAIT:
                assert step.deadline is not None
                ready = selector.select(max(step.deadline - time.monotonic(), 0))
                if not ready or conn is None:
                    continue
                if not is_connected:
                    number = conn.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if number:
                        check.handle_failed(f"errno {number}")
                    else:
                        is_connected = True
                        selector.modify(conn, selectors.EVENT_READ)
                        check.handle_connected()
                    continue
                try:
                    came = conn.recv(5)
                except OSError as error:
                    check.handle_failed(str(error))
                    continue
                if came:
                    check.handle_bytes(came)
                else:
                    check.handle_end()
    raise AssertionError(f"not {until!r} within {PATIENCE} s: {check.status()}")


@contextmanager
def checked(config: str, address: str) -> Iterator[tuple[Check, Pool, int]]:
    with Pool() as pool:
        backend = pool.add(address)
        check = Check(config, address)
        assert check.target == address
        yield check, pool, backend


def test_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with checked(f'check = {{ kind = "tcp", {TIMES} }}', address) as (check, pool, backend):
            state = probe(check, pool, backend, Observed.UP)
            assert (state.reason, state.failure, state.role) == ("2 good probes in a row", "", Role.UNKNOWN)
            assert (state.failed, state.lag, state.lag_bytes) == (0, None, None)
            pool.pick().done()
            listener.close()
            state = probe(check, pool, backend, Observed.DOWN)
            assert "cannot connect" in state.reason
            assert (state.failed, state.bad_in_a_row) == (2, 2)
            with pytest.raises(trimtab.NoBackendError):
                pool.pick()


def test_what_an_agent_orders() -> None:
    said = [b"up ready 75% maxconn:30\n"]

    def answer(listener: socket.socket) -> None:
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            with conn:
                conn.sendall(said[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        agent = threading.Thread(target=answer, args=(listener,))
        agent.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        try:
            with checked(f'check = {{ kind = "agent", {TIMES} }}', address) as (check, pool, backend):
                state = check.status()
                assert state.ordered_admin is None
                assert state.ordered_weight_percent is None and state.ordered_maxconn is None
                state = probe(check, pool, backend, Observed.UP)
                assert state.ordered_admin is Admin.READY
                assert (state.ordered_weight_percent, state.ordered_maxconn) == (75, 30)
                said[0] = b"down drain 0% # being replaced\n"
                state = probe(check, pool, backend, Observed.DOWN)
                assert state.ordered_admin is Admin.DRAIN and "being replaced" in state.reason
                assert (state.ordered_weight_percent, state.ordered_maxconn) == (0, None)
                pool.set_admin(backend, state.ordered_admin)
                said[0] = b"up maint\n"
                assert probe(check, pool, backend, Observed.UP).ordered_admin is Admin.MAINTENANCE
        finally:
            # Wakes who accepts.
            listener.shutdown(socket.SHUT_RDWR)
            agent.join(PATIENCE)


class Health(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(type(self).status if self.path == "/up" else 404)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None: ...


@contextmanager
def http_server() -> Iterator[str]:
    Health.status = 200
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_http() -> None:
    config = f'check = {{ kind = "http", path = "/up", {TIMES} }}'
    with http_server() as address, checked(config, address) as (check, pool, backend):
        probe(check, pool, backend, Observed.UP)
        Health.status = 503
        assert "503" in probe(check, pool, backend, Observed.DOWN).failure
        Health.status = 200
        probe(check, pool, backend, Observed.UP)


def test_redis(tmp_path: Path) -> None:
    program = shutil.which("redis-server")
    assert program, "redis-server is needed: make setup installs it"
    path = tmp_path / "redis.sock"
    arguments = [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as redis:
        try:
            assert redis.stdout is not None
            assert any("eady to accept connections" in line for line in redis.stdout)
            config = 'role = "primary"\n[pool.check]\nkind = "redis"\ninterval = "50ms"\nfall = 2\n'
            with checked(config, f"unix:{path}") as (check, pool, backend):
                assert probe(check, pool, backend, Observed.UP).role is Role.PRIMARY
                redis.kill()
                assert probe(check, pool, backend, Observed.DOWN).bad_in_a_row == 2
        finally:
            redis.kill()


def test_asyncio() -> None:
    async def run(check: Check, pool: Pool, backend: int, until: Observed) -> CheckState:
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        while True:
            step = check.take_step()
            left = None if step.deadline is None else max(step.deadline - time.monotonic(), 0)
            if step.kind is Step.CONNECT:
                try:
                    connecting = asyncio.open_connection(check.host, check.port)
                    reader, writer = await asyncio.wait_for(connecting, left)
                except asyncio.TimeoutError:
                    continue
                except OSError as error:
                    check.handle_failed(str(error))
                else:
                    check.handle_connected()
            elif step.kind is Step.WRITE:
                assert writer is not None
                writer.write(step.data)
                check.handle_written(len(step.data))
            elif step.kind is Step.CLOSE:
                if writer is not None:
                    writer.close()
                reader = writer = None
            elif step.kind is Step.CHANGE:
                state = note(pool, backend, check)
                if state.observed is until:
                    return state
            elif step.kind is Step.WAIT and reader is None:
                await asyncio.sleep(left or 0)
            elif step.kind is Step.WAIT:
                assert reader is not None
                try:
                    came = await asyncio.wait_for(reader.read(100), left)
                except asyncio.TimeoutError:
                    continue
                if came:
                    check.handle_bytes(came)
                else:
                    check.handle_end()

    config = f'check = {{ kind = "http", path = "/up", {TIMES} }}'
    with http_server() as address, checked(config, address) as (check, pool, backend):
        asyncio.run(asyncio.wait_for(run(check, pool, backend, Observed.UP), PATIENCE))
        Health.status = 500
        state = asyncio.run(asyncio.wait_for(run(check, pool, backend, Observed.DOWN), PATIENCE))
        assert "500" in state.failure


@pytest.mark.parametrize(
    ("config", "address", "error", "says"),
    [
        ('check = { kind = "http", user = "x" }', "10.0.0.1:80", trimtab.ConfigError, "<check>:1:"),
        ("", "10.0.0.1:80", trimtab.InvalidArgumentError, "check"),
        ("check = {}", "nowhere", trimtab.InvalidArgumentError, "nowhere"),
        ('check = { kind = "redis", password_file = "/nowhere" }', "10.0.0.1:8", trimtab.IoError, "/nowhere"),
    ],
)
def test_a_check_that_cannot_be(config: str, address: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Check(config, address)


def test_a_clock_of_ones_own() -> None:
    config = 'check = { initial = "down", interval = "10s", jitter = 0.0 }'
    check = Check(config, "[2001:db8::1]:80", now=100.0)
    assert (check.host, check.port, check.family) == ("2001:db8::1", 80, trimtab.Family.INET6)
    step = check.take_step(100.0)
    assert step.kind is Step.CHANGE
    state = check.status()
    assert (state.observed, state.since, state.reason) == (Observed.DOWN, 100.0, "down until proven up")
    step = check.take_step(100.0)
    assert step.kind is Step.WAIT
    assert step.deadline is not None
    assert 100 <= step.deadline <= 110
    assert step.data == b""
    assert check.take_step(step.deadline).kind is Step.CONNECT
    check.handle_abandoned(step.deadline)
    assert check.take_step(step.deadline).kind is Step.CLOSE
    assert (check.status().probes, check.status().failed) == (1, 0)
    with pytest.raises(trimtab.InvalidArgumentError):
        check.handle_written(-1)
    with pytest.raises(TypeError):
        check.handle_bytes("text")  # type: ignore[arg-type]
