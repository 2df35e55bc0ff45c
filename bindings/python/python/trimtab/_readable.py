"""Waiting in asyncio until a descriptor is readable: what a watch and a cluster's events do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import final

from ._errors import StateError


@final
class Readable:
    """Has one task at a time wait until a descriptor is readable, or until ``wake``."""

    __slots__ = ("_waiter", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None

    async def wait(self, duplicate: Callable[[], int]) -> None:
        """Waits until what ``duplicate`` gives is readable, and closes it: a descriptor, or -1 when it is
        closed already."""
        if self._waiter is not None:
            raise StateError(f"{self._what} waited in by another task; make one for each task")
        loop, pid = asyncio.get_running_loop(), os.getpid()
        future: asyncio.Future[None] = loop.create_future()
        # From here on a close wakes it; one of before is seen by what is duplicated.
        self._waiter = (loop, future)
        try:
            descriptor = duplicate()
            if descriptor < 0:
                return
            try:
                loop.add_reader(descriptor, _wake, future)
                try:
                    await future
                finally:
                    # The selector is one for a parent and its children: what a child takes out of it is gone.
                    if pid == os.getpid() and not loop.is_closed():
                        loop.remove_reader(descriptor)
            finally:
                os.close(descriptor)
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Ends the wait, if there is one, from any thread."""
        # Read once: it may end at any time.
        waiter = self._waiter
        if waiter is None:
            return
        loop, future = waiter
        try:
            is_here = asyncio.get_running_loop() is loop
        except RuntimeError:
            is_here = False
        if is_here:
            _wake(future)
        elif not loop.is_closed():
            # Unless it is closed at this moment, and nobody waits any more.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_wake, future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
