"""After a fork the server is the parent's. A child is told so, never hangs, and can make its own."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from http.client import HTTPConnection
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import pytest
import trimtab
from peers import (
    STRICT,
    TIMEOUT,
    Echo,
    config,
    connect,
    eventually,
    exchange,
    line,
    read_all,
    running,
    script,
    session,
    waited,
)
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
    hear = told.append
    with Echo() as echo, Server(config(echo.address), on_event=lambda event: hear(event.kind)) as server:
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


def test_what_a_backend_breaks_off_the_client_sees_broken_off_though_a_child_has_a_copy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as backend:
        host, port = backend.getsockname()
        with Server(config(f"{host}:{port}")) as server, connect(server.address("web")) as client:
            client.sendall(b"?")
            accepted, _ = backend.accept()
            here, there = socket.socketpair()

            def hold() -> None:
                # Of these two it has no copies, only of the server's.
                accepted.close()
                client.close()
                here.close()
                there.sendall(b".")
                there.recv(1)

            with here:
                pid = child(hold)
                there.close()
                assert here.recv(1) == b"."
                accepted.sendall(b"half of it")
                assert client.recv(100) == b"half of it"
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                accepted.close()
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
            assert waited(pid) == 0
            assert server.listener_statistics("web").closed["backend_reset"] == 1


def test_the_admin_socket_ends_though_a_child_has_a_copy() -> None:
    with Server(config(more='[admin]\nbind = "127.0.0.1:0"')) as server:
        address = server.admin_address
        assert address is not None
        here, there = socket.socketpair()

        def hold() -> None:
            client.close()
            here.close()
            there.sendall(b".")
            there.recv(1)

        with here, connect(address) as client:
            # With an answer, the connection is one that the child gets a copy of.
            request = f"GET / HTTP/1.1\r\nHost: {address}\r\n"
            client.sendall(f"{request}\r\n".encode())
            assert client.recv(1) == b"H"
            pid = child(hold)
            there.close()
            assert here.recv(1) == b"."
            client.sendall(f"{request}Connection: close\r\n\r\n".encode())
            assert read_all(client).count(b"HTTP/1.1 ") == 1
            server.stop()
            server.wait(TIMEOUT)
            with pytest.raises(ConnectionRefusedError):
                connect(address)
        assert waited(pid) == 0


@pytest.mark.parametrize("how", ["own threads", "hosted"])
def test_sessions_that_end_while_the_process_forks_end_for_the_clients_too(how: str) -> None:
    # Each child lives on and has copies of whatever was open when it was made. Clients and backends are of
    # another process, so that nothing of theirs is copied.
    code = """
        import os, sys, threading, time, warnings
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        import trimtab
        from peers import TIMEOUT, config

        until = time.monotonic() + TIMEOUT
        server = trimtab.Server(config(sys.argv[1]))
        if sys.argv[2] == "hosted":
            def turn():
                while server.state is not trimtab.ServerState.STOPPED:
                    server.turn(None)
            server.start_hosted()
            turner = threading.Thread(target=turn)
            turner.start()
        else:
            server.start()
        print(server.address("web"), flush=True)
        sys.stdin.readline()
        reading, writing = os.pipe()
        for count in range(100):
            # Sessions that began after the last one.
            while server.statistics().accepted <= 2 * count and time.monotonic() < until:
                time.sleep(0.001)
            if not os.fork():
                os.close(writing)
                os.read(reading, 1)
                os._exit(0)
        print("forked", flush=True)
        sys.stdin.readline()
        os.close(writing)
        for _ in range(100):
            os.wait()
        server.stop()
        if sys.argv[2] == "hosted":
            turner.join()
        server.close()
        """
    with Echo() as echo, running(code, echo.address, how) as process, ThreadPoolExecutor(4) as executor:
        address, over = line(process), threading.Event()

        def relay() -> int:
            count = 0
            while not over.is_set():
                assert exchange(address) == b"hello"
                count += 1
            return count

        relays = [executor.submit(relay) for _ in range(4)]
        try:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
            assert line(process) == "forked"
        finally:
            over.set()
        assert sum(relayed.result(TIMEOUT) for relayed in relays) > 2 * 99
        _, errors = process.communicate("\n", timeout=TIMEOUT)
        assert process.returncode == 0 and errors == ""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_child_that_leaves_the_block_takes_nothing_out_of_its_parents_loop(loop: str) -> None:
    # The loop's selector is one for both after the fork.
    if loop == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed here; test.sh installs it")
    output = script(
        """
        import asyncio, os, sys, warnings
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        import trimtab, trimtab.aio
        from peers import Echo, config, exchange, waited

        async def main():
            echo = Echo()
            async with trimtab.aio.serve(trimtab.Server(config(echo.address))) as hosted:
                address = hosted.server.address("web")
                if not os.fork():
                    for call in (hosted.drain, hosted.stop, hosted.wait_stopped):
                        try:
                            await call()
                        except trimtab.ForkedError as error:
                            assert "belongs to the process that made it" in str(error)
                        else:
                            os._exit(1)
                    raise KeyError("child")
                loop = asyncio.get_running_loop()
                assert await loop.run_in_executor(None, lambda: waited(-1)) == 7
                for _ in range(3):
                    print((await loop.run_in_executor(None, exchange, address)).decode())
                await hosted.drain(10)
                await loop.shutdown_default_executor()
            echo.close()

        async def guarded():
            try:
                await main()
            except KeyError:
                os._exit(7)

        if sys.argv[1] == "uvloop":
            import uvloop
            loop = uvloop.new_event_loop()
        else:
            loop = asyncio.new_event_loop()
        loop.run_until_complete(guarded())
        loop.close()
        """,
        loop,
    )
    assert output.split() == ["hello"] * 3


def in_process(answers: SimpleQueue[object], *made: Any) -> None:
    """``made``: what the parent made, where a child can be given that: server, pool and pick."""
    try:
        if made:
            refuse_all(*made)
        make_ones_own()
        answers.put("good")
    except BaseException:
        answers.put(traceback.format_exc())


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing(method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    with Echo() as echo, Server(config(echo.address), on_event=lambda event: None) as server:
        pool = server.pool("app")
        answers: SimpleQueue[object] = context.SimpleQueue()
        if method == "fork":
            given: list[tuple[object, ...]] = [(server, pool, pool.pick()) for _ in range(4)]
        else:
            # These send what they give, and a server stays where it is.
            for what in (server, pool):
                process = context.Process(target=in_process, args=(answers, what))
                with pytest.raises(TypeError, match="stays in the process that made it; make one in each"):
                    process.start()
            given = [()] * 2
        workers = [context.Process(target=in_process, args=(answers, *made)) for made in given]
        for worker in workers:
            worker.start()
        assert [answers.get() for _ in workers] == ["good"] * len(workers)
        for worker in workers:
            worker.join(TIMEOUT)
            assert worker.exitcode == 0
        answers.close()
        assert exchange(server.address("web")) == b"hello"
        assert pool.statistics().in_flight == sum(1 for made in given if made)


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_pool_of_processes(method: str) -> None:
    # What a program has that shares its work out: workers that each relay by a server of their own.
    context = multiprocessing.get_context(method)
    with Echo() as echo, Server(config(echo.address)) as server:
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            for done in executor.map(relayed, [echo.address] * 6):
                assert done == b"hello"
        assert exchange(server.address("web")) == b"hello"


def relayed(backend: str) -> bytes:
    with Server(config(backend)) as server:
        return exchange(server.address("web"))


def test_neither_servers_nor_pools_can_be_copied() -> None:
    server = Server(config())
    pools = [Pool(), server.pool("app")]
    for what in (server, *pools):
        for call in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="stays in the process that made it; make one in each"):
                call(what)
    server.close()


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


def ask(address: str) -> list[str]:
    """One request to where gunicorn says that it listens."""
    connection = HTTPConnection("site", timeout=TIMEOUT)
    connection.sock = connect(address.removeprefix("http://"))
    connection.request("GET", "/")
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    assert response.status == 200, body
    return body.split()


@pytest.mark.parametrize(("workers", "bind"), [("sync", "127.0.0.1:0"), ("gthread", "unix:site.sock")])
def test_gunicorn_with_a_preloaded_application(tmp_path: Path, workers: str, bind: str) -> None:
    pytest.importorskip("gunicorn", reason="gunicorn is not installed here; test.sh installs it")
    (tmp_path / "site_application.py").write_text(APPLICATION, encoding="utf-8")
    address, log = tmp_path / "address", tmp_path / "log"
    # The control socket would lie in the home of whoever runs this.
    command = ["--no-control-socket", "--preload", "--workers", "2", "--worker-class", workers]
    command += ["--bind", bind]
    with Echo() as echo, log.open("wb") as output:
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
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            until = time.monotonic() + TIMEOUT
            while not (found := re.search(r"Listening at: (\S+)", log.read_text())):
                assert master.poll() is None and time.monotonic() < until, log.read_text()
                time.sleep(0.01)
            listen = found[1].replace("unix:", f"unix:{tmp_path}/")
            pid, of_master = address.read_text().split()
            assert int(pid) == master.pid
            seen = set()
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
            # It gives its workers 30 s.
            master.wait(6 * TIMEOUT)
        finally:
            if master.poll() is None:
                master.kill()
                master.wait()
        text = log.read_text()
        assert master.returncode == 0, text
        assert "Shutting down: Master" in text and not re.search("Traceback|Error|Exception", text), text
        with pytest.raises(ConnectionRefusedError):
            connect(of_master)
