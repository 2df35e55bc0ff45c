"""What an ``AsyncStore`` has beside writes: reads, which in a cluster may have to wait, and changes of the
cluster.
"""

from __future__ import annotations

import asyncio
import threading
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from types import EllipsisType
from typing import TYPE_CHECKING, TypeVar, overload

from ._enums import ReadLevel, RequestState
from ._lease import AsyncLease
from ._store_types import BytesLike, Request
from ._trimtab import Entry, StoreQueue, StoreResult, StoreScan, StoreView

if TYPE_CHECKING:
    from ._aio_store import AsyncStore
    from ._store import Store

_T = TypeVar("_T")


class AsyncReads:
    """Reads wait as writes do: by the queue, without a thread, and for the store's ``timeout`` at most.
    What is here is read once it is as fresh as was asked. In a store of one node there is nothing to wait
    for.
    """

    _store: Store

    @overload
    async def get(self, key: BytesLike, default: None = None) -> bytes | None: ...
    @overload
    async def get(self, key: BytesLike, default: _T) -> bytes | _T: ...
    async def get(self, key: BytesLike, default: _T | None = None) -> bytes | _T | None:
        """The value of a key, as ``Store.get``; ``default`` when it is not there."""
        entry = await self.entry(key)
        return default if entry is None else entry.value

    async def entry(self, key: BytesLike) -> Entry | None:
        """All that a key has, as ``Store.entry``; None when it is not there."""
        await self._freshen()
        return self._store._entry_here(key)

    async def count(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
    ) -> int:
        """How many keys a range has, as ``Store.count``."""
        with await self.view() as view:
            return view.count(start, end, prefix=prefix)

    async def keys(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> StoreScan[bytes]:
        """The keys of a range. See ``items``."""
        with await self.view() as view:
            return view.keys(start, end, prefix=prefix, reverse=reverse, limit=limit)

    async def values(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> StoreScan[bytes]:
        """The values of a range. See ``items``."""
        with await self.view() as view:
            return view.values(start, end, prefix=prefix, reverse=reverse, limit=limit)

    async def items(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> StoreScan[tuple[bytes, bytes]]:
        """Keys and values of a range, as ``Store.items``, to be gone through with ``for``: once it is there
        it waits for nothing.

        for key, value in await reads.items(prefix=b"user/"):
            ...
        """
        with await self.view() as view:
            return view.items(start, end, prefix=prefix, reverse=reverse, limit=limit)

    async def entries(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> StoreScan[Entry]:
        """Keys of a range with all that they have. See ``items``."""
        with await self.view() as view:
            return view.entries(start, end, prefix=prefix, reverse=reverse, limit=limit)

    async def view(
        self,
        *,
        level: ReadLevel | int | str | None = None,
        age_max: float | timedelta | None = None,
        position: tuple[int, int] | None = None,
    ) -> StoreView:
        """The store as it is now, as ``Store.view``, as fresh as is asked. Reads of it wait for nothing."""
        await self._freshen(level, age_max, position)
        return self._store.view(level=ReadLevel.LOCAL)

    async def lease(self, id: int) -> AsyncLease | None:
        """The lease of this id, as ``Store.lease``; None when it is not alive."""
        return None if await self._read_lease(id) is None else AsyncLease(self._writes(), id)

    async def outcome(self, request: Request) -> tuple[RequestState, StoreResult | None]:
        """What came of a request, as ``Store.outcome``."""
        self._check()
        if not self._store._is_member:
            return self._store.outcome(request)
        result = await self._waited(lambda queue, number: queue._submit_outcome(number, request))
        return self._store._outcome_of(result)

    async def transfer(self, to: str, *, timeout: float | timedelta | EllipsisType | None = ...) -> None:
        """Hands over to another voter, as ``Store.transfer``. It has a thread while it lasts, as what else
        changes the cluster. Cancelling it ends the wait, not the change.
        """
        await self._aside(lambda: self._store.transfer(to, timeout=timeout))

    async def abort_transfer(self) -> bool:
        """Calls off the handover that is under way, as ``Store.abort_transfer``."""
        return await self._aside(self._store.abort_transfer)

    async def add_node(
        self,
        name: str,
        address: str | None = None,
        *,
        timeout: float | timedelta | EllipsisType | None = ...,
    ) -> None:
        """Takes a node in, as ``Store.add_node``."""
        await self._aside(lambda: self._store.add_node(name, address, timeout=timeout))

    async def promote_learner(
        self, name: str, *, timeout: float | timedelta | EllipsisType | None = ...
    ) -> None:
        """Gives a learner a vote, as ``Store.promote_learner``."""
        await self._aside(lambda: self._store.promote_learner(name, timeout=timeout))

    async def remove_node(self, name: str, *, timeout: float | timedelta | EllipsisType | None = ...) -> None:
        """Takes a node out, as ``Store.remove_node``."""
        await self._aside(lambda: self._store.remove_node(name, timeout=timeout))

    async def replace_node(
        self, lost: str, learner: str, *, timeout: float | timedelta | EllipsisType | None = ...
    ) -> None:
        """Gives the vote of a lost node to a learner, as ``Store.replace_node``."""
        await self._aside(lambda: self._store.replace_node(lost, learner, timeout=timeout))

    async def reload_certificates(self) -> None:
        """Reads the certificates of the links anew, as ``Store.reload_certificates``."""
        await self._aside(self._store.reload_certificates)

    @abstractmethod
    def _check(self) -> asyncio.AbstractEventLoop: ...

    @abstractmethod
    async def _waited(self, submit: Callable[[StoreQueue, int], None]) -> StoreResult: ...

    @abstractmethod
    def _writes(self) -> AsyncStore: ...

    async def _freshen(
        self,
        level: ReadLevel | int | str | None = None,
        age_max: float | timedelta | None = None,
        position: tuple[int, int] | None = None,
    ) -> None:
        """Returns when what is here is as fresh as is asked."""
        self._check()
        if not self._store._is_member:
            # Refuses what cannot be, and waits for nothing.
            if (level, age_max, position) != (None, None, None):
                self._store.view(level=level, age_max=age_max, position=position).close()
            return
        await self._waited(
            lambda queue, number: queue._submit_fresh(number, level, age_max, position)
        )
        if position is not None:
            self._store._check_position(position)

    async def _read_lease(self, id: int) -> tuple[float, float] | None:
        await self._freshen()
        return self._store._lease_here(id)

    async def _aside(self, call: Callable[[], _T]) -> _T:
        """Calls what has no queue, on a thread that nobody waits for: when this is cancelled, or the loop
        or the process ends, it is left to itself. The loop's own threads would be waited for.
        """
        loop = self._check()
        future: asyncio.Future[_T] = loop.create_future()

        def settle(result: _T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)  # type: ignore[arg-type]
            else:
                future.set_exception(error)

        def run() -> None:
            result, failure = None, None
            try:
                result = call()
            except BaseException as error:
                failure = error
            # The loop may be closed by now.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, result, failure)

        threading.Thread(target=run, name="trimtab-change", daemon=True).start()
        return await future
