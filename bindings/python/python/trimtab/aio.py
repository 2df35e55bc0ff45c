"""Servers and stores in asyncio, on the loop's own thread: no other thread is made, but for changes of a
cluster.

    async with trimtab.aio.serve(trimtab.Server(configuration)) as hosted:
        await shutdown_asked_for()
        await hosted.drain(30)

    async with trimtab.aio.attach(store) as attached:
        await attached.put(b"greeting", b"hello")
        await attached.get(b"greeting")

As many servers as you like run in one loop. Of the loop only what every asyncio loop with ``add_reader`` has
is used, so uvloop's does as well.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from datetime import timedelta
from types import TracebackType
from typing import final

from ._aio_store import AsyncStore
from ._enums import ServerState
from ._errors import ClosedError, ForkedError, StateError
from ._lease import AsyncLease
from ._store import Store
from ._transaction import AsyncTransaction
from ._trimtab import Server
from ._turns import Turns

__all__ = ["AsyncLease", "AsyncStore", "AsyncTransaction", "Hosted", "attach", "serve"]


def serve(server: Server) -> Hosted:
    """A server for an ``async with`` block: entering starts it, unless it was started hosted already; leaving
    closes it, which cuts what sessions are left. ``await`` its ``drain`` first to let them end by
    themselves."""
    return Hosted(server)


def attach(store: Store, capacity: int = 4096) -> AsyncStore:
    """A store for an ``async with`` block in the running loop: entering makes a queue of its own for
    ``capacity`` writes, and reads that wait; leaving waits for the writes that were begun, and cancels what
    only waits. The store stays open, and goes on to be everybody else's too.

    A hosted store is turned by the loop as long as it is attached, to one loop at a time; a turn waits for
    the disk, and the loop with it."""
    return AsyncStore(store, capacity)


@final
class Hosted:
    """A server that an asyncio loop turns. Use it on that loop's thread; ``Server.drain``, ``Server.stop``
    and ``Server.close`` may also be called directly and by any thread, and what runs here comes to its end
    too. In a child made by fork its methods raise ``ForkedError``; leaving the block disturbs nobody there.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Future[None] | None = None
        self._turns: Turns | None = None

    @property
    def server(self) -> Server:
        """The server itself."""
        return self._server

    def start(self) -> None:
        """Starts the server in the running loop; entering the ``async with`` block does. Raises what
        ``Server.start_hosted`` does, and ``StateError`` when it runs on threads of its own or was started
        here before."""
        loop = asyncio.get_running_loop()
        server = self._server
        if self._loop is not None or server.state in (ServerState.NEW, ServerState.STOPPED):
            server.start_hosted()
        try:
            turns = Turns(loop, server.fileno(), self._turn, server.next_deadline, self._refused)
        except BaseException:
            server.stop()
            raise
        self._loop = loop
        self._stopped = loop.create_future()
        self._turns = turns
        server._set_host(self._handle_end)
        turns.arm()

    async def drain(self, timeout: float | timedelta | None = None) -> None:
        """Accepts nothing new, lets sessions end by themselves, cuts those that have not when ``timeout``
        (seconds or timedelta; None for the longest ``timeouts.drain``) is over, and returns when the server
        has ended. Cancelling this does not cancel the drain."""
        self._server.drain(timeout)
        await self.wait_stopped()

    async def stop(self) -> None:
        """Ends the server: every session is cut."""
        self._server.stop()
        await self.wait_stopped()

    async def wait_stopped(self) -> None:
        """Returns when the server has ended, whoever ended it. Raises what ended it, if it was an error."""
        if self._stopped is None:
            raise RuntimeError("the server was not started here; use async with, or call start")
        if self._is_foreign():
            raise ForkedError(
                "this server belongs to the process that made it; a child made by fork can only leave the "
                "block and make its own"
            )
        # Whoever is cancelled in here is not the only one that waits.
        await asyncio.shield(self._stopped)

    async def __aenter__(self) -> Hosted:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._server.close()
        self._remove()
        # What ended the server by itself is told, unless something else is on its way already.
        stopped = self._stopped
        if stopped is not None and stopped.done() and not stopped.cancelled():
            failure = stopped.exception()
            if failure is not None and kind is None:
                raise failure

    def _is_foreign(self) -> bool:
        """Whether loop and server are the parent's, and this a child made by fork."""
        return self._pid != os.getpid()

    def _turn(self) -> None:
        self._server.turn(0)

    def _refused(self, error: BaseException) -> None:
        if self._has_ended(error):
            self._remove()
        elif self._turns is not None:
            self._remove(error)
            # After a panic it is closed already, and in a child made by fork it is the parent's.
            with suppress(ClosedError, ForkedError):
                self._server.stop()

    def _has_ended(self, error: BaseException) -> bool:
        """Whether a call was refused for no other reason than that another thread has ended the server."""
        try:
            return isinstance(error, ClosedError) or (
                isinstance(error, StateError) and self._server.state is ServerState.STOPPED
            )
        except ClosedError:
            return True

    def _handle_end(self) -> None:
        """The server has ended, by a call on some thread."""
        loop = self._loop
        assert loop is not None, "start sets both"
        try:
            is_here = asyncio.get_running_loop() is loop
        except RuntimeError:
            is_here = False
        if is_here:
            self._remove()
            return
        try:
            loop.call_soon_threadsafe(self._remove)
        except RuntimeError:
            # The loop is closed: nobody watches or waits any more.
            if not loop.is_closed():
                raise

    def _remove(self, error: BaseException | None = None) -> None:
        """Takes everything out of the loop. Once is enough, and more does no harm."""
        turns, self._turns = self._turns, None
        if turns is None:
            return
        turns.end()
        if self._is_foreign():
            return
        loop, stopped = self._loop, self._stopped
        assert loop is not None and stopped is not None, "start sets all three"
        if not stopped.done() and not loop.is_closed():
            if error is None:
                stopped.set_result(None)
            else:
                stopped.set_exception(error)
