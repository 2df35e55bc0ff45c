"""The life of a server on threads of its own, and what it relays."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import trimtab
from peers import TIMEOUT, Echo, assert_cut, config, connect, eventually, exchange, read_all, session, state
from trimtab import Admin, AdminStatus, Server, ServerState, StateError


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as made:
        yield made


def test_bytes_arrive_unchanged_and_are_counted(echo: Echo) -> None:
    payload = os.urandom(3 << 20)
    with Server(config(echo.address)) as server:
        address = server.address("web")
        with ThreadPoolExecutor(8) as executor:
            for got in executor.map(lambda _: exchange(address, payload), range(16)):
                assert got == payload
        eventually(lambda: server.statistics().sessions == 0)
        counted = server.statistics()
        moved = 16 * len(payload)
        assert counted == (0, 0, 16, 16, 0, 0, moved, moved)
        of_listener = server.listener_statistics("web")
        assert of_listener[:5] == ("web", address, "app", 0, 0)
        assert (of_listener.accepted, of_listener.closed["finished"]) == (16, 16)
        assert sum(of_listener.closed.values()) == 16
        status = server.status()
        assert status["totals"] == counted._asdict()
        assert status["listeners"] == [of_listener._asdict()]
        assert (status["state"], status["workers"], status["pid"]) == ("running", 2, os.getpid())
        assert set(status["admin"]) == set(AdminStatus.__annotations__) and status["admin"]["events"] == 1
        (pool,) = status["pools"]
        (backend,) = pool["backends"]
        assert (pool["name"], pool["picks"], backend["name"]) == ("app", 16, "b1")
        assert backend["outcomes"]["success"] == 16


def test_a_half_that_ends_leaves_the_other_open() -> None:
    with Echo(last=b"and that was all") as echo, Server(config(echo.address)) as server:
        assert exchange(server.address("web"), b"x" * 100) == b"x" * 100 + b"and that was all"


def test_the_life_of_a_server(echo: Echo) -> None:
    server = Server(config(echo.address))
    assert server.state is ServerState.NEW and not server.closed
    assert server.statistics() == (0,) * 8
    before: list[Callable[[], object]] = [
        server.wait,
        server.drain,
        server.fileno,
        server.turn,
        server.next_deadline,
        server.next_timeout,
        lambda: server.address("web"),
        lambda: server.listener_statistics("web"),
    ]
    for call in before:
        with pytest.raises(StateError, match="^the server is not started"):
            call()
    server.start()
    assert state(server) is ServerState.RUNNING
    assert repr(server) == "<trimtab.Server state=running listeners=web>"
    started: list[Callable[[], object]] = [
        server.start,
        server.start_hosted,
        lambda: server.adopt("web", 0),
    ]
    for call in started:
        with pytest.raises(StateError, match="^the server is started already$"):
            call()
    for call in (server.fileno, server.turn, server.next_deadline, server.next_timeout):
        with pytest.raises(StateError, match="runs on threads of its own"):
            call()
    assert exchange(server.address("web")) == b"hello"
    server.stop()
    server.stop()
    server.wait(TIMEOUT)
    server.wait()
    server.drain()
    assert state(server) is ServerState.STOPPED
    with pytest.raises(StateError, match="has ended; make another"):
        server.start()
    with pytest.raises(StateError), server:
        pass
    # What it counted is still there.
    assert server.statistics().accepted == 1
    server.close()
    server.close()
    assert server.closed and repr(server) == "<trimtab.Server closed>"


def test_a_server_that_is_stopped_before_it_starts_never_does(echo: Echo) -> None:
    server = Server(config(echo.address))
    server.stop()
    assert server.state is ServerState.STOPPED
    server.wait()
    with pytest.raises(StateError, match="has ended"):
        server.start()


def test_a_with_block_starts_and_closes(echo: Echo) -> None:
    with pytest.raises(KeyError), Server(config(echo.address)) as server:
        assert server.state is ServerState.RUNNING
        address = server.address("web")
        assert exchange(address) == b"hello"
        raise KeyError
    assert server.closed
    with pytest.raises(ConnectionRefusedError):
        connect(address)
    with pytest.raises(trimtab.ClosedError), server:
        pass
    with Server(config(echo.address)) as server:
        server.close()
    started = Server(config(echo.address))
    started.start()
    with started:
        assert exchange(started.address("web")) == b"hello"


def test_a_with_block_leaves_a_hosted_server_to_its_host(echo: Echo) -> None:
    server = Server(config(echo.address))
    server.start_hosted()
    with server as entered:
        assert entered is server and server.fileno() >= 0 and server.status()["workers"] == 0
    assert server.closed and server.fileno() == -1


def test_whatever_is_called_on_a_closed_server(echo: Echo) -> None:
    server = Server(config(echo.address))
    server.close()
    calls: list[Callable[[], object]] = [
        server.start,
        server.start_hosted,
        server.turn,
        server.next_deadline,
        server.next_timeout,
        server.drain,
        server.stop,
        server.wait,
        server.__enter__,
        server.statistics,
        server.status,
        lambda: server.state,
        lambda: server.admin_address,
        lambda: server.address("web"),
        lambda: server.pool("app"),
        lambda: server.adopt("web", 0),
        lambda: server.listener_statistics("web"),
    ]
    for call in calls:
        with pytest.raises(trimtab.ClosedError, match="^the server is closed$"):
            call()
    assert server.fileno() == -1


def test_a_file(echo: Echo, tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text(config(echo.address), encoding="utf-8")
    for given in (path, str(path)):
        with Server.from_file(given) as server:
            assert exchange(server.address("web")) == b"hello"
    told: list[trimtab.Event] = []
    with Server.from_file(path, on_event=told.append):
        pass
    assert told[0].kind is trimtab.EventKind.STARTED


def test_where_it_listens(echo: Echo, tmp_path: Path) -> None:
    path = f"unix:{tmp_path}/web.sock"
    for bind in ("127.0.0.1:0", path, f"unix:@trimtab-test-{os.getpid()}", "[::1]:0"):
        if bind.startswith("[") and not socket.has_ipv6:
            continue
        admin = f'[admin]\nbind = "unix:{tmp_path}/admin.sock"'
        with Server(config(echo.address, bind=bind, more=admin)) as server:
            address = server.address("web")
            assert address == bind or address.rpartition(":")[2] != "0"
            assert address.rpartition(":")[0] == bind.rpartition(":")[0]
            assert exchange(address) == b"hello"
            assert server.admin_address == f"unix:{tmp_path}/admin.sock"
    assert list(tmp_path.iterdir()) == [], "a unix socket's file goes with it"


def test_the_admin_socket_is_there_once_it_is_started(echo: Echo) -> None:
    admin = '[admin]\nbind = "127.0.0.1:0"'
    with Server(config(echo.address)) as server:
        assert server.admin_address is None
    server = Server(config(echo.address, more=admin))
    with pytest.raises(StateError, match="is not started"):
        server.admin_address  # noqa: B018
    with server:
        assert server.admin_address is not None
        connect(server.admin_address).close()


def test_what_is_not_there(echo: Echo) -> None:
    with Server(config(echo.address)) as server:
        with pytest.raises(trimtab.NotFoundError, match='^there is no listener "wep"$'):
            server.address("wep")
        with pytest.raises(trimtab.NotFoundError, match='^there is no listener "wep"$'):
            server.listener_statistics("wep")
        with pytest.raises(trimtab.NotFoundError, match='^there is no pool "ap"$'):
            server.pool("ap")
        for call in (server.address, server.listener_statistics, server.pool):
            with pytest.raises(TypeError, match="str wanted, not int"):
                call(1)  # type: ignore[arg-type]
            with pytest.raises(trimtab.InvalidArgumentError, match="surrogate"):
                call("\ud800")


def test_what_cannot_be_bound_can_be_tried_again(echo: Echo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        server = Server(config(echo.address, bind=bind), source="web.toml")
        with pytest.raises(trimtab.IoError) as caught:
            server.start()
        error = caught.value
        assert isinstance(error, OSError) and error.errno == errno.EADDRINUSE and error.status == -13
        assert f"cannot bind {bind} for the listener web (web.toml:5:8): " in str(error)
        assert server.state is ServerState.NEW
    with server:
        assert exchange(bind) == b"hello"


def test_times_and_their_types(echo: Echo) -> None:
    with Server(config(echo.address)) as server:
        for timeout in (0, 0.01, timedelta(milliseconds=10)):
            with pytest.raises(trimtab.TimedOutError, match="waiting for the server to end$") as caught:
                server.wait(timeout)
            assert isinstance(caught.value, TimeoutError) and caught.value.status == -12
        before = time.monotonic()
        with pytest.raises(TimeoutError):
            server.wait(0.2)
        assert 0.2 <= time.monotonic() - before < TIMEOUT
        for call in (server.wait, server.drain, server.turn):
            for bad in (-1, float("nan"), float("inf"), timedelta(seconds=-1)):
                with pytest.raises(trimtab.InvalidArgumentError, match="^invalid timeout: "):
                    call(bad)
            with pytest.raises(TypeError, match="argument 'timeout': seconds wanted, not str"):
                call("1")  # type: ignore[arg-type]
        assert server.state is ServerState.RUNNING
        # A time that no clock reaches is as good as none.
        waiter = threading.Thread(target=server.wait, args=(1e18,))
        waiter.start()
        server.stop()
        waiter.join(TIMEOUT)
        assert not waiter.is_alive()


def test_many_wait_at_once(echo: Echo) -> None:
    with Server(config(echo.address)) as server, ThreadPoolExecutor(8) as executor:
        waits = [executor.submit(server.wait, timeout) for timeout in (None, TIMEOUT) * 4]
        assert not any(wait.done() for wait in waits)
        server.stop()
        for wait in waits:
            wait.result(TIMEOUT)


def test_a_drain_lets_sessions_end_by_themselves(echo: Echo) -> None:
    with Server(config(echo.address)) as server:
        address = server.address("web")
        with session(address) as client:
            server.drain()
            assert server.state is ServerState.DRAINING
            eventually(lambda: not is_open(address))
            with pytest.raises(trimtab.TimedOutError):
                server.wait(0.05)
            client.sendall(b"still here")
            assert client.recv(100) == b"still here"
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b""
        server.wait(TIMEOUT)
        assert state(server) is ServerState.STOPPED
        # Looking whether it is open may have been a session too.
        assert server.statistics().finished >= 1 and server.statistics().failed == 0
        server.drain(0)


def test_a_drain_ends_in_time(echo: Echo) -> None:
    usual = 'timeouts = { drain = "100ms" }'
    for listener, timeout in ((usual, None), ("", 0.1), ("", timedelta(milliseconds=100)), ("", 0)):
        text = config(echo.address, listener=listener)
        with Server(text) as server, session(server.address("web")) as client:
            server.drain(3600)
            server.drain(timeout)
            server.wait(TIMEOUT)
            assert_cut(client)
            assert server.listener_statistics("web").closed["stopped"] == 1


def test_a_stop_cuts(echo: Echo) -> None:
    with Server(config(echo.address)) as server, session(server.address("web")) as client:
        server.stop()
        server.wait(TIMEOUT)
        assert_cut(client)
        assert server.statistics().failed == 1


def test_changes_of_a_pool_hold_for_the_relay() -> None:
    with Echo(b"one") as one, Echo(b"two") as two, Echo(b"three") as three:
        with Server(config(one.address, two.address)) as server:
            address, pool = server.address("web"), server.pool("app")
            # Each worker takes turns of its own.
            assert {exchange(address, b"") for _ in range(32)} == {b"one", b"two"}
            pool.set_admin(pool.find("b1"), Admin.DRAIN)
            assert {exchange(address, b"") for _ in range(8)} == {b"two"}
            id = pool.add(three.address)
            pool.remove(pool.find("b2"))
            assert {exchange(address, b"") for _ in range(8)} == {b"three"}
            assert pool.backend(id).success == 8
            pool.remove(id)
            assert connect_and_read(address) == b""
            assert server.listener_statistics("web").closed["no_backend"] == 1


def test_a_pool_is_one_whoever_picks(echo: Echo) -> None:
    other = trimtab.Pool()
    other.add("10.0.0.1:80")
    with Server(config(echo.address)) as server:
        one, two = server.pool("app"), server.pool("app")
        assert one is not two
        pick = one.pick()
        assert two.statistics()[:5] == one.statistics()[:5] == (1, 1, 1, 1, 0)
        two.done(pick)
        with pytest.raises(trimtab.StalePickError):
            one.done(pick)
        with pytest.raises(trimtab.StalePickError):
            one.done(other.pick())
        with pytest.raises(trimtab.StalePickError):
            other.done(one.pick())
        # A door that is shut is not the pool's.
        with two.pick() as pick:
            two.close()
        with pytest.raises(trimtab.ClosedError):
            two.ids()
        with pytest.raises(trimtab.ClosedError):
            two.done(pick)
        one.done(pick)
        assert exchange(server.address("web")) == b"hello"
    # It is good beyond the server.
    with one.pick():
        pass
    assert one.statistics().in_flight == 1


def test_python_and_the_relay_pick_from_one_pool_and_lose_no_count(echo: Echo) -> None:
    with Server(config(echo.address, workers=4)) as server:
        address, picks = server.address("web"), 5000

        def pick(_: int) -> None:
            pool = server.pool("app")
            for _ in range(picks):
                with pool.pick():
                    pass

        def relay(_: int) -> None:
            for _ in range(50):
                assert exchange(address) == b"hello"

        with ThreadPoolExecutor(8) as executor:
            for done in [*executor.map(pick, range(4)), *executor.map(relay, range(4))]:
                assert done is None
        pool = server.pool("app")
        eventually(lambda: server.statistics().sessions == 0)
        assert pool.statistics()[:5] == (1, 1, 4 * picks + 200, 0, 0)
        assert pool.backend(1).success == 4 * picks + 200


def test_the_pools_of_a_server_know_what_time_it_is() -> None:
    with Echo() as echo:
        text = config(echo.address).replace('name = "app"', 'name = "app"\npolicy = "least-connections"')
        with Server(text) as server:
            pool = server.pool("app")
            with pool.pick():
                assert pool.explain()["policy"] == "least-connections"
            assert exchange(server.address("web")) == b"hello"


def test_a_closed_backend_is_gone_around(echo: Echo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"127.0.0.1:{gone.getsockname()[1]}"
    with Server(config(address, echo.address)) as server:
        for _ in range(8):
            assert exchange(server.address("web")) == b"hello"
        assert server.statistics().retries >= 1
        assert server.pool("app").backend(1).connect_failed >= 1


def test_limits_of_the_configuration_hold(echo: Echo) -> None:
    with Server(config(echo.address, listener="maxconn = 1")) as server:
        address = server.address("web")
        assert server.listener_statistics("web").maxconn == 1
        with session(address), connect(address) as second:
            second.sendall(b"x")
            second.settimeout(0.1)
            with pytest.raises(TimeoutError):
                second.recv(1)
        second = connect(address)
        with second:
            second.sendall(b"x")
            assert second.recv(1) == b"x"


class Descriptor:
    """Not a socket, but like one."""

    def __init__(self, number: object) -> None:
        self.number = number

    def fileno(self) -> object:
        return self.number


@pytest.mark.parametrize("how", ["socket", "number", "object"])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_listening_socket_of_pythons(echo: Echo, how: str, workers: int) -> None:
    mine = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{mine.getsockname()[1]}"
    # An address that this machine does not have.
    server = Server(config(echo.address, bind="192.0.2.1:1", workers=workers))
    given = {"socket": mine, "number": mine.fileno(), "object": Descriptor(mine.fileno())}[how]
    server.adopt("web", given)  # type: ignore[arg-type]
    with server:
        assert server.address("web") == address
        for _ in range(8):
            assert exchange(address) == b"hello"
    # What is mine stays mine.
    with mine, connect(address) as client:
        mine.setblocking(True)
        accepted, _ = mine.accept()
        with accepted:
            accepted.sendall(b"me")
        assert read_all(client) == b"me"


def test_an_adopted_socket_may_be_closed_at_once(echo: Echo) -> None:
    server = Server(config(echo.address, bind="192.0.2.1:1"))
    with socket.create_server(("127.0.0.1", 0)) as mine:
        address = f"127.0.0.1:{mine.getsockname()[1]}"
        server.adopt("web", mine)
    with server:
        assert exchange(address) == b"hello"
    with pytest.raises(ConnectionRefusedError):
        connect(address)


def test_sockets_that_cannot_be_adopted(echo: Echo) -> None:
    server = Server(config(echo.address))
    with socket.socket() as mute, socket.create_server(("127.0.0.1", 0)) as mine:
        with pytest.raises(trimtab.IoError, match="a socket for web: it is no stream socket that"):
            server.adopt("web", mute)
        with pytest.raises(trimtab.NotFoundError, match='there is no listener "wep"'):
            server.adopt("wep", mine)
        for bad in ("3", 3.5, None, b"3"):
            with pytest.raises(TypeError, match="argument 'socket': a socket or its descriptor wanted, not"):
                server.adopt("web", bad)  # type: ignore[arg-type]
        with pytest.raises(trimtab.InvalidArgumentError, match="invalid socket: x is no descriptor"):
            server.adopt("web", Descriptor("x"))  # type: ignore[arg-type]
    with pytest.raises(trimtab.InvalidArgumentError, match="socket: -1 is no descriptor; was it closed"):
        server.adopt("web", mine)
    with pytest.raises(trimtab.IoError, match="cannot adopt a socket for web: ") as caught:
        server.adopt("web", 1_000_000)
    assert caught.value.errno == errno.EBADF
    with pytest.raises(trimtab.InvalidArgumentError, match="no descriptor"):
        server.adopt("web", 2**70)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        with pytest.raises(trimtab.IoError):
            server.adopt("web", datagrams)
    # None of that did any harm.
    with server:
        assert exchange(server.address("web")) == b"hello"
    server.close()


def is_open(address: str) -> bool:
    try:
        connect(address).close()
    except ConnectionRefusedError:
        return False
    return True


def connect_and_read(address: str) -> bytes:
    with connect(address) as client:
        try:
            return read_all(client)
        except ConnectionResetError:
            return b""
