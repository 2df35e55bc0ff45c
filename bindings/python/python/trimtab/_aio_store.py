"""A store in asyncio: writes are submitted in batches and completed by a descriptor that the loop watches."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from operator import index
from types import TracebackType
from typing import Any, TypeVar, final, overload

from ._aio_reads import AsyncReads
from ._cluster_types import AtLeast
from ._enums import Durability, LifetimeCondition
from ._errors import ClosedError, ForkedError, TrimtabError
from ._lease import AsyncLease, Lease
from ._store import _NONE, Store, new_lease_id, popped, puts, settled
from ._store_types import BytesLike, HasEntries, Request
from ._transaction import AsyncTransaction
from ._trimtab import Operation, StoreQueue, StoreResult
from ._turns import Turns

_T = TypeVar("_T")
_Submission = tuple[Operation, int, Durability | AtLeast | int | str | None, Request | None]


@final
class AsyncStore(AsyncReads):
    """A store for one asyncio loop: ``trimtab.aio.attach`` makes one, for an ``async with`` block.

    Every write and every read of ``Store`` is here, as a coroutine. The writes of one turn of the loop are
    submitted together, in order; no thread is made for writes and reads, and the loop never waits. On a
    node of a cluster the reads of ``store`` itself may stop the loop until the primary has answered: read
    here. In a store of one node they wait for nobody, and cost less. A ``store.watch(...)`` is its own
    asynchronous iterator.

    A write that is cancelled before it was submitted is not done; one that is under way goes on, and its
    answer is dropped. A read or a ``wait_durable`` that is cancelled is over, and its place is free.
    ``capacity`` writes and reads that wait may be under way; others wait for their turn, in order. Leaving
    the block waits for the writes that were begun, and takes back what only waits, a ``wait_durable`` or a
    read, which is cancelled; what is called meanwhile is refused. The store stays open. Use it on its
    loop's thread; each loop has one of its own.

    A hosted store makes no thread either: the loop turns it as long as it is attached, and waits for the
    disk in each turn that has something to write. One loop at a time does.
    """

    def __init__(self, store: Store, capacity: int = 4096) -> None:
        self._store = store
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: StoreQueue | None = None
        # A duplicate, which nobody else closes while the loop watches it.
        self._descriptor = -1
        # Of a hosted store; and why the loop does not turn it any more.
        self._turns: Turns | None = None
        self._failure: BaseException | None = None
        self._number = 0
        self._batch: list[_Submission] = []
        # What is submitted or about to be, by its number; and which of it only waits, to be taken back.
        self._futures: dict[int, asyncio.Future[StoreResult]] = {}
        self._waits: set[int] = set()
        # The block is being left.
        self._is_leaving = False
        # Places that nobody has, who waits for one, and who waits for all to be done.
        self._free = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle: list[asyncio.Future[None]] = []
        if not hasattr(capacity, "__index__"):
            raise TypeError(f"argument 'capacity': a whole number wanted, not {type(capacity).__name__}")
        self._capacity = self._free = index(capacity)

    @property
    def store(self) -> Store:
        """The store itself."""
        return self._store

    @property
    def under_way(self) -> int:
        """How many writes, and reads that wait, are under way."""
        return len(self._futures)

    async def execute(
        self,
        operation: Operation,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> StoreResult:
        """Does whatever operation, as ``Store.execute``, without a timeout: use ``asyncio.timeout`` or
        ``wait_for``."""
        loop = self._check()
        if not isinstance(operation, Operation):
            raise TypeError(f"argument 'operation': an Operation wanted, not {type(operation).__name__}")
        number, future = await self._begin(loop)
        if not self._batch:
            loop.call_soon(self._submit)
        self._batch.append((operation, number, durability, request))
        return await future

    async def put(
        self,
        key: BytesLike,
        value: BytesLike,
        *,
        version: int | None = None,
        absent: bool = False,
        present: bool = False,
        ttl: float | timedelta | None = None,
        at: float | datetime | None = None,
        lease: Lease | AsyncLease | int | None = None,
        keep_lifetime: bool = False,
        previous: bool = False,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> StoreResult:
        """Puts a value, as ``Store.put``."""
        operation = Operation.put(
            key,
            value,
            version=version,
            absent=absent,
            present=present,
            ttl=ttl,
            at=at,
            lease=lease,
            keep_lifetime=keep_lifetime,
            previous=previous,
        )
        return await self.execute(operation, durability=durability, request=request)

    async def compare_and_set(
        self,
        key: BytesLike,
        version: int,
        value: BytesLike,
        *,
        ttl: float | timedelta | None = None,
        at: float | datetime | None = None,
        lease: Lease | AsyncLease | int | None = None,
        keep_lifetime: bool = False,
        previous: bool = False,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> StoreResult:
        """Puts a value if the key has this version, as ``Store.compare_and_set``."""
        operation = Operation.put(
            key,
            value,
            version=version,
            ttl=ttl,
            at=at,
            lease=lease,
            keep_lifetime=keep_lifetime,
            previous=previous,
        )
        return await self.execute(operation, durability=durability, request=request)

    async def get_and_set(
        self,
        key: BytesLike,
        value: BytesLike,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> StoreResult:
        """Puts a value and gives what was there, as ``Store.get_and_set``."""
        operation = Operation.put(key, value, previous=True)
        return await self.execute(operation, durability=durability, request=request)

    async def delete(
        self,
        key: BytesLike,
        *,
        version: int | None = None,
        present: bool = False,
        previous: bool = False,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> StoreResult:
        """Deletes a key, as ``Store.delete``."""
        operation = Operation.delete(key, version=version, present=present, previous=previous)
        return await self.execute(operation, durability=durability, request=request)

    async def delete_range(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        limit: int | None = None,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> StoreResult:
        """Deletes the keys of a range, as ``Store.delete_range``."""
        operation = Operation.delete_range(start, end, prefix=prefix, limit=limit)
        return await self.execute(operation, durability=durability, request=request)

    async def increment(
        self,
        key: BytesLike,
        by: int = 1,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> StoreResult:
        """Adds to a number, as ``Store.increment``."""
        return await self.execute(
            Operation.increment(key, by), durability=durability, request=request
        )

    @overload
    async def pop(
        self,
        key: BytesLike,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> bytes: ...
    @overload
    async def pop(
        self,
        key: BytesLike,
        default: _T,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> bytes | _T: ...
    async def pop(
        self,
        key: BytesLike,
        default: Any = _NONE,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> Any:
        """Deletes a key and gives its value, as ``Store.pop``."""
        result = await self.delete(key, previous=True, durability=durability, request=request)
        return popped(result, key, default)

    async def setdefault(
        self,
        key: BytesLike,
        default: BytesLike,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> bytes:
        """The value of a key, which is put if it is not there, as ``Store.setdefault``."""
        result = await self.put(
            key, default, absent=True, previous=True, durability=durability, request=request
        )
        return settled(result, default)

    async def update(
        self,
        entries: HasEntries | Iterable[tuple[BytesLike, BytesLike]],
        *,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> StoreResult:
        """Puts all entries as one, as ``Store.update``."""
        return await self.execute(puts(entries), durability=durability, request=request)

    async def append(
        self,
        key: BytesLike,
        value: BytesLike,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> StoreResult:
        """Appends to a value, as ``Store.append``."""
        return await self.execute(
            Operation.append(key, value), durability=durability, request=request
        )

    async def set_lifetime(
        self,
        key: BytesLike,
        *,
        ttl: float | timedelta | None = None,
        at: float | datetime | None = None,
        lease: Lease | AsyncLease | int | None = None,
        condition: LifetimeCondition | int | str = LifetimeCondition.ALWAYS,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> StoreResult:
        """Changes how long a key lives, as ``Store.set_lifetime``."""
        operation = Operation.set_lifetime(key, ttl=ttl, at=at, lease=lease, condition=condition)
        return await self.execute(operation, durability=durability, request=request)

    async def expire(
        self,
        key: BytesLike,
        ttl: float | timedelta | None = None,
        *,
        at: float | datetime | None = None,
        condition: LifetimeCondition | int | str = LifetimeCondition.ALWAYS,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> StoreResult:
        """Has a key expire, as ``Store.expire``."""
        if (ttl is None) == (at is None):
            raise TypeError("expire() wants one of ttl and at; persist() has a key live on")
        return await self.set_lifetime(
            key, ttl=ttl, at=at, condition=condition, durability=durability, request=request
        )

    async def persist(
        self,
        key: BytesLike,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> StoreResult:
        """Has a key live until it is deleted, as ``Store.persist``."""
        return await self.set_lifetime(key, durability=durability, request=request)

    def transaction(self) -> AsyncTransaction:
        """Begins to say what is to be done as one, as ``Store.transaction``; ``await`` its ``commit``."""
        return AsyncTransaction(self)

    async def lease_grant(
        self,
        ttl: float | timedelta,
        *,
        id: int | None = None,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> AsyncLease:
        """Begins a lease, as ``Store.lease_grant``."""
        number = new_lease_id(request) if id is None else id
        operation = Operation.lease_grant(number, ttl)
        await self.execute(operation, durability=durability, request=request)
        return AsyncLease(self, number)

    async def sync(self) -> int:
        """Returns when all that was written before is on disk; gives a sequence that is behind it. It
        writes a record of a few bytes."""
        nothing = Operation._transaction([], [], [])
        return (await self.execute(nothing, durability=Durability.LOCAL)).sequence

    async def wait_durable(self, sequence: int) -> int:
        """Returns when the log is on this disk up to ``sequence``, as ``Store.wait_durable``; gives the
        sequence up to which it is. It takes one of the places for writes under way."""
        return (await self._waited(lambda queue, number: queue.submit_durable(sequence, number))).sequence

    async def join(self) -> None:
        """Returns when nothing is under way."""
        loop = self._check()
        while self.under_way:
            idle = loop.create_future()
            self._idle.append(idle)
            await idle

    async def __aenter__(self) -> AsyncStore:
        if self._loop is not None:
            raise RuntimeError("this was entered before; attach the store once more")
        loop, store = asyncio.get_running_loop(), self._store
        is_hosted = store.hosted
        if is_hosted:
            store._take_turns()
        try:
            self._attach(loop)
            if is_hosted:
                self._turns = Turns(loop, store.fileno(), self._turn, store.next_deadline, self._refused)
        except BaseException:
            if is_hosted:
                store._give_turns_back()
            self._end()
            raise
        if self._turns is not None:
            self._turns.arm()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._is_leaving = True
        try:
            if self._failure is None:
                with suppress(ForkedError):
                    self._take_back_all()
                    await self.join()
        finally:
            self._end()
        # Why the loop could not turn it is told, unless something else is on its way already.
        if self._failure is not None and kind is None:
            raise self._failure

    def __del__(self) -> None:
        # The loop went without it: there is nobody to tell.
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._end_turns()

    def _attach(self, loop: asyncio.AbstractEventLoop) -> None:
        queue = self._store.queue(self._capacity)
        self._descriptor = os.dup(queue.fileno())
        try:
            loop.add_reader(self._descriptor, self._complete)
        except BaseException:
            os.close(self._descriptor)
            self._descriptor = -1
            queue.close()
            raise
        self._queue, self._loop = queue, loop

    def _check(self) -> asyncio.AbstractEventLoop:
        loop = self._loop
        if loop is not None and self._pid != os.getpid():
            raise ForkedError("this store belongs to the process that opened it; open one in each process")
        if self._failure is not None:
            raise self._failure
        if loop is None or self._descriptor < 0:
            raise RuntimeError("the store is not attached here; use async with")
        if loop is not asyncio.get_running_loop():
            raise RuntimeError("the store is attached to another loop; attach it to each that uses it")
        return loop

    def _writes(self) -> AsyncStore:
        return self

    async def _waited(self, submit: Callable[[StoreQueue, int], None]) -> StoreResult:
        """Submits what is only waited for, and waits for it. Cancelled, it is taken back."""
        number, future = await self._begin(self._check())
        queue = self._queue
        assert queue is not None, "what is attached has one"
        if self._is_leaving:
            # It had to wait for its place until now.
            self._settle(number, None, None)
            self._rest()
            raise asyncio.CancelledError
        self._waits.add(number)
        try:
            submit(queue, number)
        except (TrimtabError, TypeError, OverflowError, ValueError) as error:
            self._settle(number, None, error)
            self._rest()
        else:
            # What waits for nothing is there already.
            self._complete()
        try:
            return await future
        except asyncio.CancelledError:
            # What is done already comes as ever; and in a child made by fork nothing is taken back.
            if number in self._futures and self._take_back(queue, number):
                self._settle(number, None, None)
                self._rest()
            raise

    def _take_back_all(self) -> None:
        """Cancels whoever only waits. What is done already comes as ever."""
        queue = self._queue
        if queue is None:
            return
        for number in list(self._waits):
            future = self._futures[number]
            if self._take_back(queue, number):
                future.cancel()
                self._settle(number, None, None)

    def _take_back(self, queue: StoreQueue, number: int) -> bool:
        try:
            return queue.cancel(number) > 0
        except ForkedError:
            return False

    async def _begin(self, loop: asyncio.AbstractEventLoop) -> tuple[int, asyncio.Future[StoreResult]]:
        """Takes a place, for what is submitted under a number of its own."""
        if self._is_leaving:
            raise RuntimeError("the store is not attached here any more; the block is being left")
        if self._free > 0:
            self._free -= 1
        else:
            await self._place(loop)
            if self._descriptor < 0:
                # The block was left meanwhile, which cancels all that wait.
                raise self._failure or asyncio.CancelledError
        self._number += 1
        future: asyncio.Future[StoreResult] = loop.create_future()
        self._futures[self._number] = future
        return self._number, future

    async def _place(self, loop: asyncio.AbstractEventLoop) -> None:
        """Waits for a place, which whoever has done with it hands over."""
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                # It was handed over all the same.
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _submit(self) -> None:
        """Submits what came in this turn of the loop."""
        batch, self._batch = self._batch, []
        left: list[_Submission] = []
        for one in batch:
            if self._futures[one[1]].cancelled():
                self._settle(one[1], None, None)
            else:
                left.append(one)
        queue = self._queue
        if queue is None:
            # The block was left, which cancelled all there was.
            return
        while left:
            try:
                left = left[queue.submit_all(left) :]
            except (TrimtabError, TypeError) as error:
                # Why the first was not taken says nothing of the others.
                self._settle(left.pop(0)[1], None, error)
        # What asked for memory is done already.
        self._complete()

    def _complete(self) -> None:
        """Answers what is done; the loop calls again as long as there is more."""
        queue = self._queue
        if queue is None:
            return
        try:
            done = queue.take(1024)
        except ForkedError as error:
            # The loop goes on in a child, and the store does not.
            self._fail(error)
            return
        for completion in done:
            self._settle(completion.user_data, completion.result, completion.error)
        self._rest()

    def _rest(self) -> None:
        """Tells those who wait for it that nothing is under way."""
        if not self.under_way:
            idle, self._idle = self._idle, []
            for one in idle:
                if not one.done():
                    one.set_result(None)

    def _turn(self) -> None:
        self._store.turn(0)
        self._complete()

    def _refused(self, error: BaseException) -> None:
        """It cannot be turned."""
        if isinstance(error, ClosedError):
            # Another thread has closed it, which completes what was under way.
            self._end_turns()
        else:
            # A child made by fork leaves the block as if nothing had been.
            self._failure = None if isinstance(error, ForkedError) else error
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(error)
        for number in list(self._futures):
            self._settle(number, None, error)
        self._rest()
        self._end()

    def _settle(self, number: int, result: StoreResult | None, error: BaseException | None) -> None:
        future = self._futures.pop(number)
        self._waits.discard(number)
        self._release()
        # Whoever was cancelled does not want to know.
        if not future.done():
            if error is not None:
                future.set_exception(error)
            elif result is not None:
                future.set_result(result)

    def _end_turns(self) -> None:
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.end()
            self._store._give_turns_back()

    def _end(self) -> None:
        """Takes everything out of the loop. Once is enough, and more does no harm."""
        self._end_turns()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        loop, queue = self._loop, self._queue
        assert loop is not None and queue is not None, "entering sets all three"
        # The selector is one for a parent and its children: what a child takes out of it is gone.
        if self._pid == os.getpid() and not loop.is_closed():
            loop.remove_reader(descriptor)
        os.close(descriptor)
        self._queue = None
        queue.close()
        # Whoever still waits, because leaving the block was cancelled, waits for nothing any more.
        left: list[asyncio.Future[Any]] = [*self._futures.values(), *self._waiting, *self._idle]
        for future in left:
            future.cancel()
        self._futures.clear()
        self._waits.clear()
        self._waiting.clear()
        self._idle.clear()
        self._batch.clear()
