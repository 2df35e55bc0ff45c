"""The changes of a range, as they come: to iterate over, in asyncio too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, final

from ._readable import Readable
from ._store_types import BytesLike
from ._trimtab import _Watch

if TYPE_CHECKING:

    from ._store import Store
    from ._trimtab import Change, Compacted


@final
class StoreWatch(_Watch):
    """Follows the keys of a range; ``Store.watch`` makes one.

        with store.watch(prefix=b"user/") as watch:
            for change in watch:
                if isinstance(change, trimtab.Compacted):
                    break
                print(change.kind.name, change.key, change.value)

    It gives each change as a ``Change``, in order and without a gap. Those of one command are seen
    together: all but the last say ``more``. When what comes next is not kept any more it gives a
    ``Compacted``, and nothing behind it. Iterating waits for the next change, until the watch is closed (by
    any thread) or Ctrl-C comes; ``async for`` does so without holding up the loop; ``poll`` and ``take``
    wait for a time. When the store is closed they raise ``ClosedError``. One thread, or task, at a time may
    wait in it.

    It holds a position and a descriptor: one that is slow costs no memory and delays nobody. A selector
    takes it.
    """

    __slots__ = ("_readable",)

    _readable: Readable

    def __new__(
        cls,
        store: Store,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        sequence: int | None = None,
    ) -> StoreWatch:
        self = super().__new__(cls, store, start, end, prefix, sequence)
        self._readable = Readable("the watch is")
        return self

    def close(self) -> None:
        """Ends it; a wait on another thread, or in a task, ends too. Once is enough, and more does no
        harm."""
        super().close()
        self._readable.wake()

    def __aiter__(self) -> StoreWatch:
        return self

    async def __anext__(self) -> Change | Compacted:
        # Each new batch lets others run first, also when there is always one.
        may_read = self._is_buffered or self.is_over
        while True:
            if not may_read:
                await asyncio.sleep(0)
            change = self.poll()
            if change is not None:
                return change
            if self.is_over:
                raise StopAsyncIteration
            await self._readable.wait(self._duplicate)
            may_read = True
