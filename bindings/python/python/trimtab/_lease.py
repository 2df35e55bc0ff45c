"""Leases: keys that live as long as somebody says so."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, final

from ._enums import Durability
from ._errors import ClosedError, ForkedError, NotFoundError
from ._store_types import Request
from ._trimtab import Operation, StoreResult

if TYPE_CHECKING:
    from ._aio_store import AsyncStore
    from ._cluster_types import AtLeast
    from ._store import Store


@final
class Lease:
    """A lease of a store, by its id; ``Store.lease_grant`` begins one. Keys put with ``lease=`` it go when
    it ends.

        with store.lease_grant(10) as lease:
            store.put(b"workers/7", b"here", lease=lease)
            while working():
                lease.keep_alive()

    Leaving the block ends it. Any thread may use it.
    """

    def __init__(self, store: Store, id: int) -> None:
        self._store = store
        self._id = id

    @property
    def id(self) -> int:
        """Its number."""
        return self._id

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._store._lease(self._id) is not None

    @property
    def ttl(self) -> float:
        """How long it lives without a keep-alive, in seconds. Raises NotFoundError when it has ended."""
        return self._read()[0]

    @property
    def deadline(self) -> float:
        """When it ends without a keep-alive, as ``time.time()`` has it. Raises NotFoundError when it has."""
        return self._read()[1]

    def keep_alive(
        self,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> StoreResult:
        """Prolongs it to its whole time from now; the result's ``deadline`` says until when. Raises
        NotFoundError when it has ended. Keywords as for ``Store.put``."""
        operation = Operation.lease_keep_alive(self._id)
        return self._store.execute(operation, durability=durability, timeout=timeout, request=request)

    def revoke(
        self,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> StoreResult:
        """Ends it and deletes its keys; the result's ``count`` says how many. Raises NotFoundError when it
        has ended. Keywords as for ``Store.put``."""
        operation = Operation.lease_revoke(self._id)
        return self._store.execute(operation, durability=durability, timeout=timeout, request=request)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        # It may have ended by itself; of a closed store, or a parent's, it will.
        with suppress(NotFoundError, ClosedError, ForkedError):
            self.revoke()

    def __repr__(self) -> str:
        return f"<trimtab.Lease {self._id}>"

    def _read(self) -> tuple[float, float]:
        return _alive(self._id, self._store._lease(self._id))


@final
class AsyncLease:
    """A ``Lease`` for asyncio; ``AsyncStore.lease_grant`` begins one."""

    def __init__(self, store: AsyncStore, id: int) -> None:
        self._store = store
        self._id = id

    @property
    def id(self) -> int:
        """Its number."""
        return self._id

    @property
    def lease(self) -> Lease:
        """The same lease, for threads. In a cluster its reads may wait, and the loop with them: use those
        here.
        """
        return Lease(self._store.store, self._id)

    async def alive(self) -> bool:
        """Whether it has not ended."""
        return await self._store._read_lease(self._id) is not None

    async def ttl(self) -> float:
        """How long it lives without a keep-alive, in seconds. Raises NotFoundError when it has ended."""
        return (await self._read())[0]

    async def deadline(self) -> float:
        """When it ends without a keep-alive, as ``time.time()`` has it. Raises NotFoundError when it has."""
        return (await self._read())[1]

    async def keep_alive(
        self,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> StoreResult:
        """As ``Lease.keep_alive``."""
        operation = Operation.lease_keep_alive(self._id)
        return await self._store.execute(operation, durability=durability, request=request)

    async def revoke(
        self,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> StoreResult:
        """As ``Lease.revoke``."""
        operation = Operation.lease_revoke(self._id)
        return await self._store.execute(operation, durability=durability, request=request)

    async def __aenter__(self) -> AsyncLease:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        with suppress(NotFoundError, ClosedError, ForkedError):
            await self.revoke()

    def __repr__(self) -> str:
        return f"<trimtab.aio.AsyncLease {self._id}>"

    async def _read(self) -> tuple[float, float]:
        return _alive(self._id, await self._store._read_lease(self._id))


def _alive(id: int, found: tuple[float, float] | None) -> tuple[float, float]:
    if found is None:
        raise NotFoundError(f"there is no lease {id}: it has ended, or never began")
    return found
