"""A server in a loop that Python has: select, selectors, and turn alone."""

from __future__ import annotations

import select
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest
import trimtab
from peers import (
    TIMEOUT,
    Echo,
    assert_cut,
    config,
    connect,
    descriptors,
    exchange,
    script,
    session,
    state,
    workers,
)
from trimtab import Server, ServerState, StateError


class Meanwhile:
    """What a client does while this thread hosts. It is readable when that is over."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.result: object = None
        self.is_over = False
        self._work = work
        self._here, self._there = socket.socketpair()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._work()
        finally:
            self.is_over = True
            self._there.close()

    def fileno(self) -> int:
        return self._here.fileno()

    def over(self) -> bool:
        if self.is_over:
            self._thread.join(TIMEOUT)
            self._here.close()
        return self.is_over


def host(server: Server, *clients: Meanwhile, until: Callable[[], bool] = lambda: True) -> None:
    """The loop of the documentation, with the object itself in a selector: until the server has ended or,
    when there are clients, until all of them are through and it is so."""
    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        waiting = set(clients)
        deadline = time.monotonic() + TIMEOUT
        while server.state is not ServerState.STOPPED and not (clients and not waiting and until()):
            assert time.monotonic() < deadline
            timeout = server.next_timeout()
            for key, _ in selector.select(TIMEOUT if timeout is None else timeout):
                if isinstance(key.fileobj, Meanwhile):
                    selector.unregister(key.fileobj)
                    waiting.remove(key.fileobj)
            server.turn()
        selector.unregister(server)
    assert all([client.over() for client in clients])


def test_a_selector_takes_the_server_itself() -> None:
    payload = b"x" * (1 << 20)
    with Echo() as echo, Server(config(echo.address)) as closed_at_the_end:
        closed_at_the_end.close()
        server = Server(config(echo.address))
        server.start_hosted()
        assert workers() == 0, "no thread is made"
        address = server.address("web")
        clients = [Meanwhile(lambda: exchange(address, payload)) for _ in range(4)]
        host(server, *clients)
        assert [client.result for client in clients] == [payload] * 4
        server.drain()
        host(server)
        assert server.state is ServerState.STOPPED
        assert server.statistics().finished == 4
        server.wait()
        server.close()


def test_select_does_too() -> None:
    with Echo() as echo:
        server = Server(config(echo.address))
        server.start_hosted()
        client = Meanwhile(lambda: exchange(server.address("web")))
        while not client.over():
            ready, _, _ = select.select([server], [], [], server.next_timeout() or 0.05)
            if ready:
                server.turn(0)
        assert client.result == b"hello"
        server.close()


def test_turn_alone_is_a_loop() -> None:
    with Echo() as echo:
        server = Server(config(echo.address))
        server.start_hosted()
        assert server.turn() == 0
        client = Meanwhile(lambda: exchange(server.address("web")))
        handled = 0
        while not client.over():
            handled += server.turn(0.05)
        assert client.result == b"hello" and handled > 0
        server.close()


def test_a_turn_waits_and_is_woken() -> None:
    with Echo() as echo:
        server = Server(config(echo.address))
        server.start_hosted()
        before = time.monotonic()
        assert server.turn(0.2) == 0
        assert time.monotonic() - before >= 0.2
        # By a client, by another thread's order, and by the end.
        with connect(server.address("web")):
            assert server.turn(None) > 0
        timer = threading.Timer(0.1, server.drain, args=(0,))
        timer.start()
        while server.state is not ServerState.STOPPED:
            server.turn(None)
        timer.join(TIMEOUT)
        with pytest.raises(StateError, match="has ended"):
            server.turn(None)
        server.close()


def test_a_stop_by_another_thread_ends_a_turn_that_waits() -> None:
    for _ in range(20):
        server = Server(config())
        server.start_hosted()
        stopper = threading.Timer(0.01, server.stop)
        stopper.start()
        turns = 0
        while server.state is not ServerState.STOPPED:
            try:
                server.turn(None)
            except StateError:
                # It ended between the look at its state and the turn.
                assert state(server) is ServerState.STOPPED
            turns += 1
            assert turns < 100
        stopper.join(TIMEOUT)
        server.close()


def test_deadlines_come_without_events() -> None:
    with Echo() as echo:
        server = Server(config(echo.address, listener='timeouts = { idle = "2s" }'))
        server.start_hosted()
        assert server.next_deadline() is None and server.next_timeout() is None
        with connect(server.address("web")) as client:
            client.sendall(b"x")
            while server.statistics().bytes_to_clients < 1:
                server.turn(0.05)
            deadline, timeout = server.next_deadline(), server.next_timeout()
            assert deadline is not None and timeout is not None
            assert 0 < deadline - time.monotonic() < 2.05 and 0 < timeout < 2.05
            # In one wait of its own, however long it may be.
            while server.statistics().sessions:
                server.turn(None)
            assert time.monotonic() >= deadline
            assert client.recv(1) == b"x"
            assert_cut(client)
        assert server.listener_statistics("web").closed["idle_timeout"] == 1
        server.close()


def test_one_thread_turns_at_a_time() -> None:
    server = Server(config())
    server.start_hosted()
    refused: list[str] = []

    def turn() -> None:
        until = time.monotonic() + TIMEOUT
        while server.state is not ServerState.STOPPED and time.monotonic() < until:
            try:
                server.turn(0.05)
            except StateError as error:
                refused.append(str(error))
                if "is being turned already; one thread turns it at a time" in str(error):
                    server.stop()

    turners = [threading.Thread(target=turn) for _ in range(2)]
    for turner in turners:
        turner.start()
    # Whoever turns it, anybody may look.
    while server.state is not ServerState.STOPPED:
        assert server.statistics().sessions == 0 and server.fileno() >= -1 and server.address("web")
    for turner in turners:
        turner.join(TIMEOUT)
    assert any("is being turned already" in text for text in refused)
    server.close()


def test_waiting_for_a_hosted_server_is_refused_until_it_has_ended() -> None:
    server = Server(config())
    server.start_hosted()
    with pytest.raises(StateError, match="is hosted: turn it until it has stopped"):
        server.wait()
    # A stop is carried out in the next turn, for which the server is readable.
    server.stop()
    with pytest.raises(StateError, match="is hosted: turn it until it has stopped"):
        server.wait()
    assert select.select([server], [], [], 0)[0] == [server] and server.state is ServerState.RUNNING
    server.turn()
    assert state(server) is ServerState.STOPPED
    server.wait()
    server.close()


def test_it_can_be_taken_out_of_a_selector_after_its_end() -> None:
    server = Server(config())
    server.start_hosted()
    before = descriptors()
    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        server.stop()
        assert [key.fileobj for key, _ in selector.select(0)] == [server]
        server.turn()
        assert server.fileno() == -1
        selector.unregister(server)
        assert not selector.get_map()
        with pytest.raises(ValueError, match="Invalid file descriptor"):
            selector.register(server, selectors.EVENT_READ)
    server.close()
    assert server.fileno() == -1 and descriptors() < before


def test_several_in_one_loop() -> None:
    with Echo() as echo:
        servers = [Server(config(echo.address)) for _ in range(5)]
        for server in servers:
            server.start_hosted()
        clients = [Meanwhile(partial(exchange, server.address("web"))) for server in servers]
        with selectors.DefaultSelector() as selector:
            for server in servers:
                selector.register(server, selectors.EVENT_READ)
            while not all([client.over() for client in clients]):
                for key, _ in selector.select(0.05):
                    assert isinstance(key.fileobj, Server)
                    key.fileobj.turn()
        assert [client.result for client in clients] == [b"hello"] * 5
        for server in servers:
            server.close()


def test_a_hosted_server_may_change_threads() -> None:
    with Echo() as echo:
        server = Server(config(echo.address))
        server.start_hosted()
        address = server.address("web")
        for _ in range(8):
            client = Meanwhile(lambda: exchange(address))
            turner = threading.Thread(target=host, args=(server, client))
            turner.start()
            turner.join(TIMEOUT)
            assert client.result == b"hello"
        assert server.pool("app").statistics()[:5] == (1, 1, 8, 0, 0)
        server.close()


def test_signals_of_a_host_stay_the_hosts() -> None:
    # A peer that is gone while much is on its way to it raises SIGPIPE where nobody keeps it off. Python
    # ignores it unless told otherwise; here it ends the process, and last of all does.
    program = """
        import os, signal, socket, sys, threading, trimtab
        from peers import config

        signal.signal(signal.SIGPIPE, signal.SIG_DFL)

        def quietly(work):
            # What these threads write themselves may fail.
            def run():
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPIPE])
                work()
            thread = threading.Thread(target=run)
            thread.start()
            return thread

        listener = socket.create_server(("127.0.0.1", 0))
        server = trimtab.Server(config("127.0.0.1:%d" % listener.getsockname()[1]))
        server.start_hosted()
        address = server.address("web").rsplit(":", 1)

        def vanish():
            for _ in range(40):
                conn, _ = listener.accept()
                conn.recv(1)
                # With bytes unread this is a reset.
                conn.close()

        def push():
            for _ in range(40):
                with socket.create_connection((address[0], int(address[1]))) as client:
                    try:
                        while True:
                            client.sendall(b"x" * (1 << 18))
                    except OSError:
                        pass

        threads = [quietly(vanish), quietly(push)]
        while any(thread.is_alive() for thread in threads) or server.statistics().sessions:
            server.turn(0.05)
        assert server.statistics().finished + server.statistics().failed >= 40, server.statistics()
        server.close()
        assert signal.getsignal(signal.SIGPIPE) is signal.SIG_DFL
        print("survived", flush=True)
        reader, writer = os.pipe()
        os.close(reader)
        os.write(writer, b"x")
        print("no SIGPIPE came", flush=True)
        """
    assert script(program, expect=-signal.SIGPIPE) == "survived\n"


def test_a_session_ends_with_its_hosted_server() -> None:
    with Echo() as echo:
        server = Server(config(echo.address))
        server.start_hosted()
        with connect(server.address("web")) as client:
            client.sendall(b"?")
            while server.statistics().bytes_to_clients < 1:
                server.turn(0.05)
            server.close()
            assert client.recv(1) == b"?"
            assert_cut(client)


def test_an_orderly_end_needs_turns() -> None:
    with Echo() as echo:
        server = Server(config(echo.address))
        server.start_hosted()
        client = Meanwhile(lambda: session(server.address("web")))
        host(server, client)
        open_session = client.result
        assert isinstance(open_session, socket.socket)
        server.drain(0.1)
        assert server.state is ServerState.DRAINING
        host(server)
        assert state(server) is ServerState.STOPPED
        assert_cut(open_session)
        open_session.close()
        with pytest.raises(trimtab.StateError):
            server.next_deadline()
        server.close()
