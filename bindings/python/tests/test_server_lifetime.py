"""Servers leave nothing behind: no descriptor, no thread, no memory."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
import weakref

import pytest
import trimtab
import trimtab.aio
from peers import Echo, config, descriptors, eventually, exchange, threads, workers
from test_lifetime import on_linux, resident_bytes
from trimtab import Server


def use(echo: Echo, number: int) -> None:
    """One server, in one of the ways there are to make one and to let it go."""
    way = number % 10
    server = Server(config(echo.address), on_event=(lambda event: None) if number % 3 else None)
    if way == 0:
        return
    if way in (1, 2, 3):
        server.start_hosted()
    elif way != 4:
        server.start()
        assert exchange(server.address("web")) == b"hello"
    if way in (2, 5):
        server.close()
    elif way == 3:
        server.stop()
        server.turn(None)
    elif way in (6, 7):
        server.drain()
        server.wait()
    elif way == 8:
        with server:
            server.pool("app").pick().done()


@on_linux
def test_a_thousand_servers_leave_nothing_behind() -> None:
    with Echo() as echo, warnings.catch_warnings():
        # Some are dropped while they run.
        warnings.filterwarnings("ignore", "a trimtab.Server that runs was dropped", ResourceWarning)
        before = descriptors(), threads()
        # What is made once is made by these.
        for number in range(200):
            use(echo, number)
        gc.collect()
        resident = resident_bytes()
        for number in range(1000):
            use(echo, number)
        gc.collect()
        grown = resident_bytes() - resident
        # What tests before this one left may end meanwhile.
        eventually(lambda: workers() == 0 and descriptors() <= before[0] and threads() <= before[1])
        assert grown < 8 << 20, f"{grown} bytes more after 1000 servers"


@on_linux
def test_a_thousand_hosted_one_after_the_other_in_asyncio_leave_nothing_behind() -> None:
    async def main(count: int) -> None:
        for number in range(count):
            async with trimtab.aio.serve(Server(text, on_event=lambda event: None)) as hosted:
                if number % 2:
                    await hosted.drain()

    text = config("10.0.0.1:80")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main(200))
    gc.collect()
    before = descriptors(), threads(), resident_bytes()
    loop.run_until_complete(main(1000))
    gc.collect()
    grown = resident_bytes() - before[2]
    assert workers() == 0 and descriptors() <= before[0] and threads() <= before[1]
    assert grown < 8 << 20, f"{grown} bytes more after 1000 servers"
    loop.close()


@on_linux
def test_thousands_of_servers_that_do_little_leave_no_memory_behind() -> None:
    text = config(*(f"10.0.0.{n}:80" for n in range(1, 20)))

    def make(count: int) -> None:
        for number in range(count):
            server = Server(text, on_event=lambda event: None)
            if number % 2:
                server.start_hosted()
            server.status()
            try:
                server.address("wep")
            except trimtab.NotFoundError:
                pass
            server.close()
            with pytest.raises(trimtab.ConfigError):
                Server("listener = 1")

    make(300)
    gc.collect()
    before = resident_bytes()
    make(2000)
    gc.collect()
    grown = resident_bytes() - before
    assert grown < 8 << 20, f"{grown} bytes more after 2000 servers"


def test_a_server_that_runs_and_is_dropped_is_warned_of_and_stopped() -> None:
    with Echo() as echo:
        server = Server(config(echo.address))
        server.start()
        address = server.address("web")
        with pytest.warns(ResourceWarning, match="a trimtab.Server that runs was dropped, which stops it"):
            del server
        with pytest.raises(ConnectionRefusedError):
            exchange(address)
    assert workers() == 0


def test_an_exception_on_its_way_is_not_disturbed_by_a_server_that_goes() -> None:
    def leave() -> None:
        server = Server(config())
        server.start()
        raise KeyError("mine")

    with pytest.warns(ResourceWarning), pytest.raises(KeyError, match="mine"):
        try:
            leave()
        except KeyError as error:
            # The frame goes while the exception is on its way again.
            raise error.with_traceback(None) from None


def test_references_are_given_back() -> None:
    def hear(event: trimtab.Event) -> None: ...

    text, name = config("10.0.0.1:80"), "a name that is nobody's"
    server = Server(text, source=name, on_event=hear)
    watched = [text, name, server]
    before = [sys.getrefcount(one) for one in watched]
    for _ in range(1000):
        for call in (server.address, server.pool, server.listener_statistics):
            with pytest.raises(trimtab.TrimtabError):
                call(name)
        del call
        server.pool("app").set_weight(1, 2)
        server.statistics()
        server.status()
        assert server.state is trimtab.ServerState.NEW and repr(server)
    gc.collect()
    assert [sys.getrefcount(one) for one in watched] == before
    holders, gone = sys.getrefcount(hear), weakref.ref(hear)
    server.close()
    assert sys.getrefcount(hear) == holders - 1
    del hear
    assert gone() is None
