"""What happens to a cluster, as it comes: to iterate over, in asyncio too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, final

from ._readable import Readable
from ._trimtab import _ClusterEvents

if TYPE_CHECKING:
    from ._cluster_types import ClusterEvent
    from ._store import Store


@final
class ClusterEvents(_ClusterEvents):
    """Follows what happens to the cluster of a store; ``Store.cluster_events`` makes one.

        with store.cluster_events() as events:
            for event in events:
                print(event.kind.name, event.node, event.detail)

    It gives each ``ClusterEvent``, from what is kept of them on. Iterating waits for the next one, until
    it is closed (by any thread) or Ctrl-C comes; ``async for`` does so without holding up the loop; ``poll``
    waits for a time. When the store is closed they raise ``ClosedError``. One thread, or task, at a time may
    wait in it. A selector takes it; a slow one delays nobody, and is told how many events it has missed.
    """

    __slots__ = ("_readable",)

    _readable: Readable

    def __new__(cls, store: Store) -> ClusterEvents:
        self = super().__new__(cls, store)
        self._readable = Readable("the events are")
        return self

    def close(self) -> None:
        """Ends it; a wait on another thread, or in a task, ends too. Once is enough, and more does no
        harm."""
        super().close()
        self._readable.wake()

    def __aiter__(self) -> ClusterEvents:
        return self

    async def __anext__(self) -> ClusterEvent:
        while True:
            # Others run first, also when there is always one.
            await asyncio.sleep(0)
            event = self.poll()
            if event is not None:
                return event
            if self.closed:
                raise StopAsyncIteration
            await self._readable.wait(self._duplicate)
