"""After a fork the server is the parent's. A child is told so, never hangs, and can make its own."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import pytest
import trimtab
from peers import STRICT, TIMEOUT, Echo, config, connect, eventually, exchange, script, session, waited
from trimtab import ForkedError, Pool, Server

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


@pytest.fixture(autouse=True)
def forks() -> Iterator[None]:
    """From 3.12 on Python warns of a fork beside threads; that there are some is what is tested here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        yield


def calls(server: Server, pool: Pool, pick: trimtab.Pick) -> list[Callable[[], object]]:
    """Whatever can be called but what ends it."""
    return [
        server.start,
        server.start_hosted,
        server.fileno,
        server.turn,
        server.next_deadline,
        server.next_timeout,
        server.drain,
        server.stop,
        server.wait,
        server.statistics,
        server.status,
        server.__enter__,
        lambda: server.state,
        lambda: server.admin_address,
        lambda: server.address("web"),
        lambda: server.listener_statistics("web"),
        lambda: server.pool("app"),
        lambda: server.adopt("web", 0),
        lambda: pool.add("10.0.0.9:80"),
        lambda: pool.set_weight(1, 2),
        lambda: pool.set_admin(1, "drain"),
        lambda: pool.remove(1),
        lambda: pool.done(pick),
        pool.pick,
        pool.explain,
        pool.statistics,
        pool.backends,
        pool.ids,
    ]


def refuse_all(server: Server, pool: Pool, pick: trimtab.Pick) -> None:
    for call in calls(server, pool, pick):
        try:
            call()
        except ForkedError as error:
            assert "belongs to the process that made it" in str(error) and error.status == -16
        else:
            raise AssertionError(f"{call} was not refused")
    # Leaving blocks raises nothing.
    with pick:
        pass
    assert repr(server) == "<trimtab.Server of another process>" and not server.closed
    server.close()
    server.close()
    assert server.closed
    pool.close()


def make_ones_own() -> None:
    with Echo() as echo, Server(config(echo.address)) as server:
        assert exchange(server.address("web"), b"x" * 100_000) == b"x" * 100_000
        with server.pool("app").pick():
            pass


def child(work: Callable[[], object]) -> int:
    """Forks, does the work there, and ends without looking back."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


@pytest.mark.parametrize("how", ["own threads", "hosted", "new", "stopped"])
def test_a_child_is_refused_and_makes_its_own(how: str) -> None:
    told: list[trimtab.Event] = []
    with Echo() as echo:
        server = Server(config(echo.address), on_event=told.append)
        pool = server.pool("app")
        if how == "hosted":
            server.start_hosted()
        elif how != "new":
            server.start()
        if how == "stopped":
            server.stop()
            server.wait(TIMEOUT)
        before, pick = len(told), pool.pick()

        def work() -> None:
            refuse_all(server, pool, pick)
            assert len(told) == before
            make_ones_own()

        assert waited(child(work)) == 0
        # Nothing of it is seen here.
        assert pool.statistics().in_flight == 1
        pick.done()
        if how == "own threads":
            assert exchange(server.address("web")) == b"hello"
        server.close()


def test_a_child_never_hangs_whatever_the_parents_threads_do() -> None:
    told: list[int] = []
    with Echo() as echo, Server(config(echo.address), on_event=lambda event: told.append(event.kind)) as server:
        address, pool, over = server.address("web"), server.pool("app"), threading.Event()

        def relay() -> None:
            while not over.is_set():
                assert exchange(address) == b"hello"

        def change() -> None:
            weight = 0
            while not over.is_set():
                weight = weight % 100 + 1
                pool.set_weight(1, weight)
                server.status()

        busy = [threading.Thread(target=work) for work in (relay, relay, change)]
        for thread in busy:
            thread.start()
        try:
            for _ in range(60):
                pick = pool.pick()
                assert waited(child(lambda pick=pick: refuse_all(server, pool, pick))) == 0  # type: ignore[misc]
                pick.done()
        finally:
            over.set()
            for thread in busy:
                thread.join(TIMEOUT)
        assert exchange(address) == b"hello"


def test_a_child_that_drops_it_or_ends_as_python_does() -> None:
    # Through the ends of both interpreters: what runs at exit, what is collected, what is left.
    output = script(
        """
        import gc, os, sys, warnings
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        import trimtab
        from peers import Echo, config, exchange, waited

        echo = Echo()
        server = trimtab.Server(config(echo.address), on_event=lambda event: None)
        server.start()
        for end in ("exit", "drop", "own"):
            pid = os.fork()
            if not pid:
                if end == "drop":
                    del server
                    gc.collect()
                elif end == "own":
                    backend = Echo()
                    mine = trimtab.Server(config(backend.address), on_event=lambda event: None)
                    mine.start()
                    assert exchange(mine.address("web")) == b"hello"
                sys.exit(7)
            assert waited(pid) == 7, end
        assert exchange(server.address("web")) == b"hello"
        print("good")
        """
    )
    assert output.split() == ["good"]


def in_process(server: Server, pool: Pool, pick: trimtab.Pick, answers: SimpleQueue[object]) -> None:
    try:
        refuse_all(server, pool, pick)
        make_ones_own()
        answers.put("good")
    except BaseException:
        answers.put(traceback.format_exc())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="the system has no fork")
def test_multiprocessing() -> None:
    context = multiprocessing.get_context("fork")
    with Echo() as echo, Server(config(echo.address), on_event=lambda event: None) as server:
        pool = server.pool("app")
        answers = context.SimpleQueue()
        workers = [
            context.Process(target=in_process, args=(server, pool, pool.pick(), answers)) for _ in range(4)
        ]
        for worker in workers:
            worker.start()
        assert [answers.get() for _ in workers] == ["good"] * 4
        for worker in workers:
            worker.join(TIMEOUT)
            assert worker.exitcode == 0
        assert exchange(server.address("web")) == b"hello"
        assert pool.statistics().in_flight == 4


def test_a_session_of_the_parents_ends_though_a_child_has_its_sockets() -> None:
    with Echo() as echo, Server(config(echo.address)) as server:
        address = server.address("web")
        with session(address) as client:
            reading, writing = os.pipe()
            pid = child(lambda: os.read(reading, 1))
            client.sendall(b"more")
            assert client.recv(4) == b"more"
            server.stop()
            server.wait(TIMEOUT)
            client.settimeout(TIMEOUT)
            assert client.recv(1) == b""
            os.write(writing, b".")
            assert waited(pid) == 0
            os.close(reading)
            os.close(writing)


APPLICATION = '''
"""What a site would write: one server made when the application is loaded, which is before the fork."""
import os
import sys

sys.path.insert(0, os.environ["TESTS"])

import trimtab
from peers import config, exchange

BACKEND = os.environ["BACKEND"]
server = trimtab.Server(config(BACKEND), on_event=lambda event: None)
server.start()
with open(os.environ["ADDRESS"], "w") as file:
    print(os.getpid(), server.address("web"), file=file, flush=True)
own = None


def application(environ, start_response):
    global own
    answers = []
    for call in (server.statistics, server.stop, server.wait, lambda: server.state, server.turn):
        try:
            call()
            answers.append("went through")
        except trimtab.ForkedError:
            answers.append("forked")
    if own is None:
        own = trimtab.Server(config(BACKEND), on_event=lambda event: None)
        own.start()
    answers.append(exchange(own.address("web")).decode())
    body = f"{os.getpid()} {' '.join(answers)}".encode()
    start_response("200 OK", [("Content-Length", str(len(body))), ("Connection", "close")])
    return [body]
'''


def ask(path: str) -> list[str]:
    """One request to a unix socket."""
    connection = HTTPConnection("site", timeout=TIMEOUT)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(TIMEOUT)
    connection.sock.connect(path)
    connection.request("GET", "/")
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    assert response.status == 200, body
    return body.split()


@pytest.mark.parametrize("workers", ["sync", "gthread"])
def test_gunicorn_with_a_preloaded_application(tmp_path: Path, workers: str) -> None:
    pytest.importorskip("gunicorn", reason="gunicorn is not installed here; test.sh installs it")
    (tmp_path / "site_application.py").write_text(APPLICATION, encoding="utf-8")
    listen, address = str(tmp_path / "site.sock"), tmp_path / "address"
    # The control socket would lie in the home of whoever runs this.
    command = ["--no-control-socket", "--preload", "--workers", "2", "--worker-class", workers]
    command += ["--bind", f"unix:{listen}"]
    with Echo() as echo:
        environment = {
            **os.environ,
            "TESTS": str(Path(__file__).parent),
            "BACKEND": echo.address,
            "ADDRESS": str(address),
        }
        master = subprocess.Popen(
            [sys.executable, *STRICT[2:], "-m", "gunicorn", *command, "site_application:application"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            until = time.monotonic() + TIMEOUT
            while not (os.path.exists(listen) and address.exists() and address.read_text().endswith("\n")):
                assert master.poll() is None and time.monotonic() < until, "gunicorn does not start"
                time.sleep(0.01)
            pid, of_master = address.read_text().split()
            assert int(pid) == master.pid
            seen = {ask(listen)[0] for _ in range(20)}
            for _ in range(20):
                worker, *answers = ask(listen)
                seen.add(worker)
                assert answers == ["forked"] * 5 + ["hello"]
                # The master's goes on working, beside its workers.
                assert exchange(of_master, b"x" * 100_000) == b"x" * 100_000
            assert pid not in seen and seen
            # A worker that comes later is a child like the others.
            for worker in seen:
                os.kill(int(worker), signal.SIGKILL)
            eventually(lambda: not any(os.path.exists(f"/proc/{worker}") for worker in seen))
            worker, *answers = ask(listen)
            assert worker not in seen and answers == ["forked"] * 5 + ["hello"]
            assert exchange(of_master) == b"hello"
            master.terminate()
            log = master.communicate(timeout=TIMEOUT)[0]
        finally:
            if master.poll() is None:
                master.kill()
                master.communicate()
        assert master.returncode == 0, log
        assert "Shutting down: Master" in log and not re.search("Traceback|Error|Exception", log), log
        with pytest.raises(ConnectionRefusedError):
            connect(of_master)
