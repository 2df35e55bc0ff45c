"""What a server tells, on which thread, and that nobody waits for anybody who waits for him."""

from __future__ import annotations

import dataclasses
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trimtab
from peers import TIMEOUT, Echo, config, connect, eventually, exchange, script, workers
from trimtab import Admin, Event, EventKind, Observed, Server, ServerState


def test_the_life_of_a_server_is_told() -> None:
    told: list[tuple[Event, int]] = []
    with Server(config(), on_event=lambda event: told.append((event, threading.get_ident()))) as server:
        address, here = server.address("web"), threading.get_ident()
        server.drain()
        server.wait(TIMEOUT)
    kinds = [event.kind for event, _ in told]
    assert kinds == [EventKind.STARTED, EventKind.DRAINING, EventKind.STOPPED]
    assert [thread == here for _, thread in told] == [True, True, False]
    started = told[0][0]
    assert started == Event(EventKind.STARTED, None, None, None, None, f"web on {address}")
    assert str(started) == f"started detail='web on {address}'"
    with pytest.raises(dataclasses.FrozenInstanceError):
        started.detail = ""  # type: ignore[misc]


def test_sessions_that_are_cut_are_told_with_how_many() -> None:
    told: list[Event] = []
    with (
        Echo() as echo,
        Server(config(echo.address, more='on_down = "close"', workers=1), on_event=told.append) as server,
    ):
        with connect(server.address("web")) as one, connect(server.address("web")) as other:
            for client in (one, other):
                client.sendall(b"hello")
                assert client.recv(5) == b"hello"
            server.pool("app").set_observed(1, "down")
            for client in (one, other):
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
        cut = Event(EventKind.SESSIONS_CUT, None, "app", "b1", 2, "")
        eventually(lambda: cut in told)
        assert str(cut) == "sessions-cut pool=app backend=b1 value=2"


def test_changes_of_pools_are_told_with_what_they_are_to() -> None:
    told: list[Event] = []
    with Server(config("10.0.0.1:80"), on_event=told.append) as server:
        pool = server.pool("app")
        told.clear()
        id = pool.add("10.0.0.2:80", name="two")
        pool.set_admin(id, Admin.DRAIN)
        pool.set_observed(id, "down")
        pool.set_weight(id, 7)
        pool.set_maxconn(id, 9)
        pool.set_tier(id, 1)
        pool.remove(id)
        pool.set_weight(1, 1)
        values = [
            (EventKind.BACKEND_ADDED, None),
            (EventKind.BACKEND_ADMIN, Admin.DRAIN),
            (EventKind.BACKEND_OBSERVED, Observed.DOWN),
            (EventKind.BACKEND_WEIGHT, 7),
            (EventKind.BACKEND_MAXCONN, 9),
            (EventKind.BACKEND_TIER, 1),
            (EventKind.BACKEND_REMOVED, None),
        ]
        assert told == [Event(kind, None, "app", "two", value, "") for kind, value in values]
        assert told[1].value is Admin.DRAIN and told[2].value is Observed.DOWN
        assert str(told[1]) == "backend-admin pool=app backend=two value=drain"
        assert str(told[3]) == "backend-weight pool=app backend=two value=7"
        assert str(told[0]) == "backend-added pool=app backend=two"
    # After the end nothing is told.
    told.clear()
    pool.set_weight(1, 2)
    assert told == []


def test_panic_is_told_when_it_begins_and_when_it_ends() -> None:
    told: list[Event] = []
    server = Server(config("10.0.0.1:80", "10.0.0.2:80", more="panic_threshold = 60"), on_event=told.append)
    with server:
        pool = server.pool("app")
        pool.set_observed(1, "down")
        pool.set_observed(1, "up")
    panic = [event for event in told if event.kind in (EventKind.PANIC_BEGAN, EventKind.PANIC_ENDED)]
    kinds = (EventKind.PANIC_BEGAN, EventKind.PANIC_ENDED)
    assert panic == [Event(kind, None, "app", None, 0, "") for kind in kinds]
    assert [str(event) for event in panic] == ["panic-began pool=app value=0", "panic-ended pool=app value=0"]


def test_what_it_raises_is_nobodys_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)

    def refuse(event: Event) -> None:
        raise KeyError(event.kind.name)

    with Echo() as echo, Server(config(echo.address), on_event=refuse) as server:
        assert exchange(server.address("web")) == b"hello"
        server.pool("app").set_weight(1, 2)
    assert [type(it.exc_value) for it in seen] == [KeyError] * 3
    assert [it.exc_value.args for it in seen] == [("STARTED",), ("BACKEND_WEIGHT",), ("STOPPED",)]
    assert all(it.object is refuse for it in seen)
    seen.clear()


def test_a_function_that_takes_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    with Server(config(), on_event=lambda: None):  # type: ignore[misc, arg-type]
        pass
    assert [it.exc_type for it in seen] == [TypeError, TypeError]
    seen.clear()


@pytest.mark.parametrize("hosted", [False, True])
def test_it_may_call_the_server(hosted: bool) -> None:
    answers: dict[str, list[object]] = {}

    def ask(event: Event) -> None:
        calls: dict[str, Callable[[], object]] = {
            "state": lambda: server.state,
            "statistics": server.statistics,
            "status": server.status,
            "address": lambda: server.address("web"),
            "pool": lambda: server.pool("app").ids(),
            "fileno": server.fileno,
            "stop": server.stop,
            "repr": lambda: repr(server),
        }
        for name, call in calls.items():
            try:
                answers.setdefault(name, []).append(call())
            except trimtab.StateError as error:
                answers.setdefault(name, []).append(error)

    server = Server(config(), on_event=ask)
    if hosted:
        server.start_hosted()
        while server.state is not ServerState.STOPPED:
            server.turn(None)
    else:
        server.start()
        server.wait(TIMEOUT)
    server.close()
    # The start was told, which stopped it, which was told too.
    for name in ("state", "statistics", "status", "address", "pool", "stop", "repr"):
        assert len(answers[name]) >= 2, name
        assert not any(isinstance(answer, Exception) for answer in answers[name]), name


def test_it_cannot_wait_for_its_own_thread() -> None:
    refused: list[trimtab.StateError] = []

    def wait(event: Event) -> None:
        if event.kind is EventKind.STOPPED:
            with pytest.raises(trimtab.StateError) as caught:
                server.wait()
            refused.append(caught.value)

    with Server(config(), on_event=wait) as server:
        pass
    assert "by one of its own threads" in str(refused[0])


def test_it_may_close_the_server_even_on_its_own_thread() -> None:
    def close(event: Event) -> None:
        if event.kind is EventKind.STOPPED:
            server.close()
            closed.set()

    closed = threading.Event()
    server = Server(config(workers=4), on_event=close)
    server.start()
    server.stop()
    assert closed.wait(TIMEOUT) and server.closed
    eventually(lambda: workers() == 0)


def test_it_may_turn_a_hosted_server_no_further() -> None:
    # The end of a drain is told in a turn.
    seen: list[object] = []

    def turn(event: Event) -> None:
        if event.kind is EventKind.STOPPED:
            try:
                seen.append(server.turn())
            except trimtab.StateError as error:
                seen.append(error)

    server = Server(config(), on_event=turn)
    server.start_hosted()
    server.drain()
    while server.state is not ServerState.STOPPED:
        server.turn(None)
    server.close()
    assert len(seen) == 1 and isinstance(seen[0], trimtab.StateError)


def test_events_inside_a_turn() -> None:
    # Without a descriptor left for the next client a listener pauses, in the middle of a turn.
    output = script(
        """
        import resource, socket, trimtab
        from peers import config, connect

        answers = []
        def ask(event):
            if event.kind is not trimtab.EventKind.ACCEPT_PAUSED:
                return
            assert event.listener == "web" and event.detail, event
            answers.append(server.fileno() >= 0)
            answers.append(server.state.name)
            answers.append(server.address("web") == address)
            for call in (server.turn, server.next_deadline, server.next_timeout):
                try:
                    call()
                    answers.append(call.__name__)
                except trimtab.StateError:
                    answers.append("refused")
            server.stop()

        server = trimtab.Server(config(), on_event=ask)
        server.start_hosted()
        address = server.address("web")
        client = connect(address)
        held = [socket.socket()]
        taken = max(client.fileno(), held[0].fileno())
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        while True:
            try:
                held.append(socket.socket())
            except OSError:
                break
        while server.state is not trimtab.ServerState.STOPPED:
            server.turn(5)
        print(*answers[:4])
        """
    )
    assert output.split() == ["True", "RUNNING", "True", "refused"]


@pytest.mark.parametrize("end", ["close", "stop and wait", "with", "drop", "collect", "exit"])
def test_a_thread_that_waits_for_python_is_no_deadlock(end: str) -> None:
    # The session's end makes a thread of the server's own say that it has stopped; but Python runs this one
    # and lets go of the interpreter only where a call does. So that thread waits, and then the end is waited
    # for here.
    output = script(
        """
        import gc, socket, sys, time, trimtab
        from peers import Echo, config, session

        end, told = sys.argv[1], []
        echo = Echo()
        text = config(echo.address, workers=4)
        server = trimtab.Server(text, on_event=lambda event: told.append(event.kind.name))
        server.start()
        clients = [session(server.address("web")) for _ in range(8)]
        server.drain(3600)
        sys.setswitchinterval(1000)
        for client in clients:
            client.shutdown(socket.SHUT_RDWR)
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            pass
        import warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if end == "close":
                server.close()
            elif end == "stop and wait":
                server.stop()
                server.wait()
                server.close()
            elif end == "with":
                # What leaving the block does. To enter it now may be too late, if that thread was quick.
                server.__exit__(None, None, None)
            elif end == "drop":
                del server
            elif end == "collect":
                class Owner: pass
                owner = Owner()
                owner.server, owner.itself = server, owner
                del server, owner
                gc.collect()
            warned = [warning.category for warning in caught]
        sys.setswitchinterval(0.005)
        if end == "exit":
            import atexit
            atexit.register(lambda: told.append("first"))
        print(*told)
        print(*(category.__name__ for category in warned))
        """,
        end,
    )
    told, warned = (line.split() for line in output.splitlines()[:2])
    assert told[0] == "STARTED"
    if end in ("close", "stop and wait", "with"):
        # Whoever waited for the end was waited for.
        assert told == ["STARTED", "DRAINING", "STOPPED"] and warned == []
    else:
        assert set(warned) <= {"ResourceWarning"}


def test_a_function_that_takes_its_time_is_waited_for() -> None:
    begun, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def dawdle(event: Event) -> None:
        if event.kind is EventKind.STOPPED:
            begun.set()
            assert go_on.wait(TIMEOUT)
        seen.append(event.kind.name)

    server = Server(config(), on_event=dawdle)
    server.start()
    server.stop()
    assert begun.wait(TIMEOUT)
    with pytest.raises(trimtab.TimedOutError):
        server.wait(0.05)
    closer = threading.Thread(target=server.close)
    closer.start()
    closer.join(0.1)
    assert closer.is_alive() and seen == ["STARTED"]
    go_on.set()
    closer.join(TIMEOUT)
    assert server.closed and seen == ["STARTED", "STOPPED"]


def test_many_threads_change_while_events_are_told() -> None:
    told: list[int] = []
    count, each = 8, 200
    with Server(config(), on_event=lambda event: told.append(event.kind)) as server:
        pool = server.pool("app")
        ids = [pool.add(f"10.0.0.{n}:80") for n in range(1, count + 1)]

        def work(id: int) -> None:
            for n in range(each):
                pool.set_weight(id, n % 2 + 2)
                server.statistics()

        workers = [threading.Thread(target=work, args=(id,)) for id in ids]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(TIMEOUT)
    assert told.count(EventKind.BACKEND_WEIGHT) == count * each


def test_a_server_that_its_own_function_holds_is_collected() -> None:
    gone: list[weakref.ref[object]] = []

    class Owner:
        def __init__(self) -> None:
            self.events: list[Event] = []
            self.server = Server(config(), on_event=self.handle)
            self.host = SimpleNamespace(owner=self)
            self.server._set_host(lambda host=self.host: host)  # type: ignore[misc]

        def handle(self, event: Event) -> None:
            self.events.append(event)

    for state in ("new", "stopped", "closed", "hosted"):
        owner = Owner()
        if state == "hosted":
            owner.server.start_hosted()
            owner.server.stop()
            while owner.server.state is not ServerState.STOPPED:
                owner.server.turn()
        elif state != "new":
            owner.server.start()
            owner.server.stop()
            owner.server.wait(TIMEOUT)
        if state == "closed":
            owner.server.close()
        gone += [weakref.ref(owner), weakref.ref(owner.server)]
        del owner
    gc.collect()
    assert [ref() for ref in gone] == [None] * 8
    eventually(lambda: workers() == 0)
