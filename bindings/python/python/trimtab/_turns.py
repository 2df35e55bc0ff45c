"""What an asyncio loop turns: a hosted server, a hosted store."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import final

from ._errors import TrimtabError


@final
class Turns:
    """Has ``turn`` called in ``loop`` whenever ``descriptor`` is readable, and by ``next_deadline`` at the
    latest, until ``end``. What either raises goes to ``refused``, and no turn comes by itself then but for
    what the descriptor says: ``refused`` is to call ``end``, unless the next turn may do better.

    Of the loop only what every asyncio loop with ``add_reader`` has is used. Use it on the loop's thread.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        turn: Callable[[], object],
        next_deadline: Callable[[], float | None],
        refused: Callable[[BaseException], None],
    ) -> None:
        self._loop = loop
        self._work = turn
        self._next_deadline = next_deadline
        self._refused = refused
        self._pid = os.getpid()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._soon: asyncio.Handle | None = None
        # A duplicate, so that the loop never watches a number that is somebody else's by now: whoever is
        # turned closes its own at its end.
        self._descriptor = os.dup(descriptor)
        try:
            loop.add_reader(self._descriptor, self._turn)
        except BaseException:
            os.close(self._descriptor)
            self._descriptor = -1
            raise

    def __del__(self) -> None:
        # The loop went without it: there is nobody to tell.
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def arm(self) -> None:
        """Sees to it that the next turn comes in time. Once after it is made; after a turn it does so by
        itself."""
        if self._descriptor < 0:
            return
        try:
            deadline = self._next_deadline()
        except TrimtabError as error:
            self._refused(error)
            return
        if deadline is None:
            self._disarm()
            return
        # The loop's own clock may be another, and a coarser one.
        delay = deadline - time.monotonic()
        if delay <= 0:
            if self._soon is None:
                self._soon = self._loop.call_soon(self._turn)
        elif self._timer is None or deadline < self._timer_at:
            self._disarm()
            self._timer = self._loop.call_later(delay, self._handle_timeout)
            self._timer_at = deadline
        # Else the timer comes early, which costs a turn less often than a timer each turn would.

    def end(self) -> None:
        """Takes everything out of the loop. Once is enough, and more does no harm."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        self._disarm()
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        # The selector is one for a parent and its children: what a child takes out of it is gone.
        if self._pid == os.getpid() and not self._loop.is_closed():
            self._loop.remove_reader(descriptor)
        os.close(descriptor)

    def _turn(self) -> None:
        """One turn, which is bounded. The loop calls again as long as there is something to do."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if self._descriptor < 0:
            return
        try:
            self._work()
        except (KeyboardInterrupt, SystemExit):
            # It came between; the turn itself is done.
            self.arm()
            raise
        except BaseException as error:
            self._refused(error)
            return
        self.arm()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _handle_timeout(self) -> None:
        self._timer = None
        self._turn()
