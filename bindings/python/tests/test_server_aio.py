"""A server in asyncio, on its own loop and on uvloop's."""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import os
import socket
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trimtab
import trimtab.aio
from peers import TIMEOUT, Echo, config, connect, descriptors, eventually, read_all, state, workers
from trimtab import Server, ServerState, StateError

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
# test.sh installs it.
if importlib.util.find_spec("uvloop"):
    LOOPS["uvloop"] = importlib.import_module("uvloop").new_event_loop

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture(params=list(LOOPS))
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs one coroutine function on a loop of its own, and sees that nothing is left in it."""

    def run_one(main: Callable[[], Awaitable[object]]) -> None:
        loop = LOOPS[request.param]()
        problems: list[object] = []
        loop.set_exception_handler(lambda _, context: problems.append(context))
        try:
            loop.run_until_complete(asyncio.wait_for(main(), TIMEOUT))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
        gc.collect()
        assert problems == []

    yield run_one


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as made:
        yield made


async def opened(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def exchange(address: str, payload: bytes = b"hello") -> bytes:
    reader, writer = await opened(address)

    async def send() -> None:
        writer.write(payload)
        await writer.drain()
        writer.write_eof()

    try:
        got, _ = await asyncio.gather(reader.read(-1), send())
        return got
    finally:
        writer.close()


async def session(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await opened(address)
    writer.write(b"?")
    assert await reader.readexactly(1) == b"?"
    return reader, writer


async def descriptors_at_first() -> int:
    """Those there are before a test, with the one that uvloop keeps in reserve from its first stream on."""
    one, two = socket.socketpair()
    with two:
        _, writer = await asyncio.open_connection(sock=one)
        writer.close()
        await writer.wait_closed()
    return descriptors()


async def back_to(before: int) -> None:
    """Until there are no more descriptors than that; clients and backends close theirs when they please."""
    while descriptors() > before:
        await asyncio.sleep(0.01)


async def is_cut(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read(1) == b""
    except ConnectionResetError:
        return True


def test_bytes_arrive_and_no_thread_is_made(run: Run, echo: Echo) -> None:
    async def main() -> None:
        payload = os.urandom(1 << 20)
        async with trimtab.aio.serve(Server(config(echo.address))) as hosted:
            server = hosted.server
            assert server.state is ServerState.RUNNING and server.status()["workers"] == 0
            assert workers() == 0
            address = server.address("web")
            answers = await asyncio.gather(*(exchange(address, payload) for _ in range(16)))
            assert answers == [payload] * 16
            while server.statistics().sessions:
                await asyncio.sleep(0)
            assert server.statistics().finished == 16
        assert server.closed

    run(main)


def test_several_servers_on_one_loop(run: Run, echo: Echo) -> None:
    async def serve_one(ready: asyncio.Event, count: list[int]) -> None:
        async with trimtab.aio.serve(Server(config(echo.address))) as hosted:
            for _ in range(5):
                assert await exchange(hosted.server.address("web")) == b"hello"
            count.append(1)
            if len(count) == 10:
                ready.set()
            await ready.wait()
            await hosted.drain()

    async def main() -> None:
        before = await descriptors_at_first()
        ready, count = asyncio.Event(), list[int]()
        await asyncio.gather(*(serve_one(ready, count) for _ in range(10)))
        await back_to(before)

    run(main)


def test_one_after_the_other_leave_nothing_behind(run: Run, echo: Echo) -> None:
    async def main() -> None:
        before = await descriptors_at_first()
        for number in range(200):
            async with trimtab.aio.serve(Server(config(echo.address))) as hosted:
                if number % 4 == 0:
                    assert await exchange(hosted.server.address("web")) == b"hello"
                elif number % 4 == 1:
                    await hosted.stop()
                elif number % 4 == 2:
                    hosted.server.close()
        await back_to(before)

    run(main)


def test_a_drain_waits_for_sessions_and_no_longer_than_told(run: Run, echo: Echo) -> None:
    async def main() -> None:
        async with trimtab.aio.serve(Server(config(echo.address))) as hosted:
            server = hosted.server
            reader, writer = await session(server.address("web"))
            draining = asyncio.ensure_future(hosted.drain(TIMEOUT))
            await asyncio.sleep(0.05)
            assert server.state is ServerState.DRAINING and not draining.done()
            with pytest.raises(ConnectionRefusedError):
                await opened(server.address("web"))
            writer.write(b"more")
            assert await reader.readexactly(4) == b"more"
            writer.write_eof()
            assert await reader.read(-1) == b""
            await draining
            assert state(server) is ServerState.STOPPED and server.statistics().finished >= 1
            writer.close()
        async with trimtab.aio.serve(Server(config(echo.address))) as hosted:
            reader, writer = await session(hosted.server.address("web"))
            before = time.monotonic()
            await hosted.drain(0.1)
            assert 0.1 <= time.monotonic() - before < TIMEOUT / 2
            assert await is_cut(reader)
            writer.close()

    run(main)


def test_deadlines_come_without_events(run: Run, echo: Echo) -> None:
    async def main() -> None:
        text = config(echo.address, listener='timeouts = { idle = "1s" }')
        async with trimtab.aio.serve(Server(text)) as hosted:
            before = time.monotonic()
            reader, writer = await session(hosted.server.address("web"))
            assert await is_cut(reader)
            assert 1 <= time.monotonic() - before < TIMEOUT / 2
            writer.close()
            # One that is put off by traffic again and again.
            reader, writer = await session(hosted.server.address("web"))
            before = time.monotonic()
            while time.monotonic() - before < 2:
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
                await asyncio.sleep(0.01)
            assert await is_cut(reader)
            writer.close()
            assert hosted.server.listener_statistics("web").closed["idle_timeout"] == 2

    run(main)


def test_much_to_do_does_not_keep_the_loop_from_the_rest(run: Run, echo: Echo) -> None:
    async def main() -> None:
        beats, longest = 0, 0.0
        async with trimtab.aio.serve(Server(config(echo.address))) as hosted:
            # In a process of their own, so that nothing but the server is busy here; until they are told.
            clients = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                FLOOD,
                hosted.server.address("web"),
                cwd=Path(__file__).parent,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            assert clients.stdin is not None and clients.stdout is not None
            assert await clients.stdout.readline() == b"begun\n"
            counted = hosted.server.statistics().bytes_to_clients
            began = time.monotonic()
            # A turn that went on for as long as there is something to do would never come to its end.
            while hosted.server.statistics().bytes_to_clients - counted < 512 << 20:
                before = time.monotonic()
                await asyncio.sleep(0)
                longest = max(longest, time.monotonic() - before)
                beats += 1
            took = time.monotonic() - began
            clients.stdin.close()
            await clients.wait()
        assert beats >= 4, f"{beats} beats in {took} s"
        assert longest < took / 2, f"{longest} s of {took}"

    run(main)


# Four sessions at full speed, each with a thread that writes and one that reads, until the end of stdin;
# after TIMEOUT at the latest, so that a loop that is kept from everything fails in the end.
FLOOD = """
import os, sys, threading
from peers import TIMEOUT, connect

limit = threading.Timer(TIMEOUT, os._exit, [1])
limit.daemon = True
limit.start()

def write(client):
    try:
        while True:
            client.sendall(b"x" * (1 << 18))
    except OSError:
        pass

def read(client):
    while client.recv(1 << 18):
        pass

clients = [connect(sys.argv[1]) for _ in range(4)]
for client in clients:
    threading.Thread(target=write, args=(client,), daemon=True).start()
    threading.Thread(target=read, args=(client,), daemon=True).start()
print("begun", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("order", ["stop", "drain", "close"])
@pytest.mark.parametrize("where", ["here", "thread"])
def test_whoever_ends_it_it_comes_to_its_end_here(run: Run, echo: Echo, order: str, where: str) -> None:
    async def main() -> None:
        server = Server(config(echo.address))
        async with trimtab.aio.serve(server) as hosted:
            waiting = [asyncio.ensure_future(hosted.wait_stopped()) for _ in range(3)]
            await asyncio.sleep(0)
            call = getattr(server, order)
            if where == "here":
                call()
            else:
                thread = threading.Thread(target=call)
                thread.start()
            await asyncio.gather(*waiting)
            await hosted.wait_stopped()
            if where == "thread":
                thread.join(TIMEOUT)
            assert server.closed or server.state is ServerState.STOPPED
            # Its number may be somebody else's now, and the loop takes it.
            one, two = socket.socketpair()
            with one, two:
                loop, seen = asyncio.get_running_loop(), asyncio.Event()
                loop.add_reader(one, seen.set)
                two.send(b".")
                await seen.wait()
                loop.remove_reader(one)

    run(main)


@pytest.mark.parametrize("order", ["stop", "drain", "close"])
def test_an_end_by_another_thread_amid_turns_is_no_failure(run: Run, echo: Echo, order: str) -> None:
    async def keep_busy(address: str) -> None:
        writer = None
        try:
            reader, writer = await opened(address)
            while True:
                writer.write(b"x")
                if not await reader.read(1):
                    return
        except OSError:
            pass
        finally:
            if writer is not None:
                writer.close()

    async def main() -> None:
        for _ in range(50):
            server = Server(config(echo.address, listener='timeouts = { drain = "1ms" }'))
            async with trimtab.aio.serve(server) as hosted:
                busy = [asyncio.ensure_future(keep_busy(server.address("web"))) for _ in range(4)]
                while server.statistics().bytes_to_clients < 4:
                    await asyncio.sleep(0)
                thread = threading.Thread(target=getattr(server, order))
                thread.start()
                await hosted.wait_stopped()
                thread.join(TIMEOUT)
                await asyncio.gather(*busy)

    run(main)


def test_being_cancelled_closes_it(run: Run, echo: Echo) -> None:
    async def main() -> None:
        server = Server(config(echo.address))
        entered = asyncio.Event()

        async def serve() -> None:
            async with trimtab.aio.serve(server) as hosted:
                entered.set()
                await hosted.wait_stopped()

        task = asyncio.ensure_future(serve())
        await entered.wait()
        reader, writer = await session(server.address("web"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert server.closed and await is_cut(reader)
        writer.close()

    run(main)


def test_cancelling_a_wait_cancels_nothing_else(run: Run, echo: Echo) -> None:
    async def main() -> None:
        async with trimtab.aio.serve(Server(config(echo.address))) as hosted:
            _, writer = await session(hosted.server.address("web"))
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(hosted.wait_stopped(), 0.01)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(hosted.drain(TIMEOUT), 0.01)
            assert hosted.server.state is ServerState.DRAINING
            waiting = asyncio.ensure_future(hosted.wait_stopped())
            await asyncio.sleep(0)
            writer.close()
            await waiting

    run(main)


def test_what_the_block_raises_comes_out(run: Run, echo: Echo) -> None:
    async def main() -> None:
        server = Server(config(echo.address))
        with pytest.raises(KeyError):
            async with trimtab.aio.serve(server):
                raise KeyError
        assert server.closed

    run(main)


def test_what_cannot_be_started(run: Run, echo: Echo) -> None:
    async def main() -> None:
        before = await descriptors_at_first()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            server = Server(config(echo.address, bind=f"127.0.0.1:{taken.getsockname()[1]}"))
            with pytest.raises(trimtab.IoError):
                async with trimtab.aio.serve(server):
                    pass
        own = Server(config(echo.address))
        own.start()
        with pytest.raises(StateError, match="runs on threads of its own"):
            async with trimtab.aio.serve(own):
                pass
        own.close()
        with pytest.raises(trimtab.ClosedError):
            trimtab.aio.serve(own).start()
        hosted = trimtab.aio.serve(Server(config(echo.address)))
        with pytest.raises(RuntimeError, match="was not started here"):
            await hosted.wait_stopped()
        async with hosted:
            with pytest.raises(StateError, match="started already"):
                hosted.start()
            assert await exchange(hosted.server.address("web")) == b"hello"
        await back_to(before)

    run(main)


def test_a_server_that_was_started_hosted_before(run: Run, echo: Echo) -> None:
    async def main() -> None:
        server = Server(config(echo.address))
        server.start_hosted()
        async with trimtab.aio.serve(server):
            assert await exchange(server.address("web")) == b"hello"

    run(main)


def test_without_a_block(run: Run, echo: Echo) -> None:
    async def main() -> None:
        hosted = trimtab.aio.Hosted(Server(config(echo.address)))
        hosted.start()
        assert await exchange(hosted.server.address("web")) == b"hello"
        await hosted.stop()
        assert hosted.server.state is ServerState.STOPPED and hosted.server.statistics().accepted == 1
        hosted.server.close()

    run(main)


def test_who_turns_it_beside_the_loop_is_told_off_not_hung(run: Run, echo: Echo) -> None:
    async def main() -> None:
        server, over = Server(config(echo.address)), threading.Event()

        def interfere() -> None:
            while not over.is_set():
                try:
                    server.turn(0.05)
                except (StateError, trimtab.ClosedError):
                    pass

        hosted = trimtab.aio.serve(server)
        hosted.start()
        rival = threading.Thread(target=interfere)
        rival.start()
        try:
            while not over.is_set():
                try:
                    await exchange(server.address("web"))
                except OSError:
                    pass
                if server.state is ServerState.STOPPED:
                    over.set()
            with pytest.raises(StateError, match="is being turned already"):
                await hosted.wait_stopped()
        finally:
            over.set()
            rival.join(TIMEOUT)
            server.close()

    run(main)


def test_a_loop_that_goes_first_leaves_no_descriptor(echo: Echo) -> None:
    gc.collect()
    before = descriptors()
    for make in LOOPS.values():
        loop = make()
        server = Server(config(echo.address))

        async def main(server: Server = server) -> weakref.ref[object]:
            hosted = trimtab.aio.serve(server)
            hosted.start()
            return weakref.ref(hosted)

        gone = loop.run_until_complete(main())
        loop.close()
        # Its host is told, and finds the loop closed.
        server.close()
        del server, main, loop
        gc.collect()
        assert gone() is None
    eventually(lambda: descriptors() <= before)


def test_events_come_on_the_loops_thread(run: Run, echo: Echo) -> None:
    async def main() -> None:
        told: list[tuple[str, bool]] = []
        here = threading.get_ident()
        server = Server(
            config(echo.address),
            on_event=lambda event: told.append((event.kind.name, threading.get_ident() == here)),
        )
        async with trimtab.aio.serve(server) as hosted:
            await hosted.drain()
        assert told == [("STARTED", True), ("DRAINING", True), ("STOPPED", True)]

    run(main)


def test_clients_in_threads_do_too(run: Run, echo: Echo) -> None:
    async def main() -> None:
        async with trimtab.aio.serve(Server(config(echo.address))) as hosted:
            address = hosted.server.address("web")

            def client() -> bytes:
                with connect(address) as end:
                    end.sendall(b"x" * 10)
                    end.shutdown(socket.SHUT_WR)
                    return read_all(end)

            loop = asyncio.get_running_loop()
            answers = await asyncio.gather(*(loop.run_in_executor(None, client) for _ in range(8)))
            assert answers == [b"x" * 10] * 8
            await loop.shutdown_default_executor()

    run(main)
