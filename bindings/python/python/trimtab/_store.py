"""The store, as Python likes to have it; what it is made of is in the extension module."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from os import PathLike
from types import EllipsisType
from typing import Any, TypeVar, cast, final, overload

from ._cluster_events import ClusterEvents
from ._cluster_types import AtLeast, ClusterOptions
from ._enums import Durability, Eviction, LifetimeCondition
from ._lease import Lease
from ._store_types import BytesLike, HasEntries, Request
from ._transaction import Transaction
from ._trimtab import Entry, Operation, Server, StoreResult, StoreScan, StoreView, _Store
from ._watch import StoreWatch

_T = TypeVar("_T")

# What stands for no default.
_NONE: Any = object()


@final
class Store(_Store):
    """Keys and values in memory, every change in a write-ahead log in the directory ``path`` first.

        with trimtab.Store("data") as store:
            store[b"greeting"] = b"hello"
            print(store[b"greeting"], len(store))

    It is like a dict of bytes, in the order of the keys; leaving the block, or ``close``, writes everything
    and frees the directory. Opening blocks while it reads the log. Keys and values are bytes-like, a str is
    refused; what comes out is bytes. Any thread may call anything at any time. Reads never wait for the
    disk; what writes or waits for it lets other threads run. ``trimtab.aio.attach`` has it in asyncio. All
    are keywords but the path; None is the default:

    - durability: what a write gets that asks for nothing: ``"memory"`` or ``"local"`` (default). Of a member
      of a cluster ``ClusterOptions`` says it.
    - timeout: how long a call waits that does not say so itself, 1 ms to 24 h, in seconds or as a timedelta
      (30).
    - flush_interval: after how long memory writes go to disk at the latest, 1 ms to 1 h (1 s); flush_bytes:
      how much of them may come together before that, 4 KiB to 4 GiB (8 MiB).
    - memory_max: the most bytes of keys, values and what belongs to them, from 65,536; 0 (default) for no
      limit. eviction: what goes then: ``"refuse"`` (default), ``"lru"``, ``"ttl"``; eviction_places: of how
      many keys it is remembered when they were used, with lru (1,048,576).
    - value_max: bytes, 1 to 512 MiB (16 MiB); operations_max: steps and conditions of a transaction, up to
      2^20 (10,000); clients_max (10,000) and client_bytes_max (64 MiB): what is remembered for requests
      sent again.
    - snapshot_bytes: how long the log may get before a snapshot is written (256 MiB); snapshot_retry: how
      long after one that failed the next is tried (10 s).
    - segment_bytes: the length of a segment's file, 16 KiB to 1 GiB (64 MiB); disk_bytes_max: of all files,
      three segments or more; None for no limit. disk_retry: how soon it is seen that a full disk has room
      again (1 s). kept_bytes: how much of the log is kept though a snapshot stands for it, so that an
      incremental backup goes on from the last one; where there is no room it goes first (0).
    - pending_bytes_max: what may wait to be on disk (64 MiB); waiting_max: how many calls may wait until
      then (65,536).
    - history_bytes_max: bytes of changes kept for watches (16 MiB).
    - scrub_interval: how long after one pass over all that lies on disk, to find what has rotted, the next
      one begins, 1 ms to 366 days (24 h); 0 for none. scrub_bytes_per_second: how much of it is read in a
      second, 64 KiB to 2^40 (8 MiB).
    - identity: 16 bytes of the cluster and the number of the node, from 1; None takes what the directory
      says.
    - hosted: whether it makes no thread, and runs in a loop of yours (False). A selector takes the store
      itself; wait until it is readable, for ``next_timeout`` at most, and call ``turn``. Calls that wait do
      the work themselves, on their own thread. ``trimtab.aio.attach`` turns it in asyncio.
    - cluster: ``ClusterOptions`` of a store that is a member of a cluster (None): a node that takes reads and
      writes like any other, whichever is primary. Reads may wait for the primary then; ``close`` of a
      primary hands over before.

    Raises InvalidArgumentError, StateError when it is open already, here or in another process, CorruptError,
    UnsupportedError when a later release wrote it, IoError.

    After a fork the store is the parent's: in the child everything but close, closed and repr raises
    ForkedError, and nothing waits; it opens one of its own. What is open at the interpreter's exit is
    closed then, which ends the waits of daemon threads; Python waits for all others before.
    """

    __slots__ = ()

    def __new__(
        cls,
        path: str | PathLike[str],
        *,
        durability: Durability | int | str | None = None,
        timeout: float | timedelta | None = None,
        flush_interval: float | timedelta | None = None,
        flush_bytes: int | None = None,
        memory_max: int | None = None,
        eviction: Eviction | int | str | None = None,
        eviction_places: int | None = None,
        value_max: int | None = None,
        operations_max: int | None = None,
        clients_max: int | None = None,
        client_bytes_max: int | None = None,
        snapshot_bytes: int | None = None,
        snapshot_retry: float | timedelta | None = None,
        segment_bytes: int | None = None,
        disk_bytes_max: int | None = None,
        disk_retry: float | timedelta | None = None,
        kept_bytes: int | None = None,
        pending_bytes_max: int | None = None,
        waiting_max: int | None = None,
        history_bytes_max: int | None = None,
        scrub_interval: float | timedelta | None = None,
        scrub_bytes_per_second: int | None = None,
        identity: tuple[BytesLike, int] | None = None,
        hosted: bool | None = None,
        cluster: ClusterOptions | None = None,
    ) -> Store:
        options: dict[str, Any] = {
            "durability": durability,
            "timeout": timeout,
            "flush_interval": flush_interval,
            "flush_bytes": flush_bytes,
            "memory_max": memory_max,
            "eviction": eviction,
            "eviction_places": eviction_places,
            "value_max": value_max,
            "operations_max": operations_max,
            "clients_max": clients_max,
            "client_bytes_max": client_bytes_max,
            "snapshot_bytes": snapshot_bytes,
            "snapshot_retry": snapshot_retry,
            "segment_bytes": segment_bytes,
            "disk_bytes_max": disk_bytes_max,
            "disk_retry": disk_retry,
            "kept_bytes": kept_bytes,
            "pending_bytes_max": pending_bytes_max,
            "waiting_max": waiting_max,
            "history_bytes_max": history_bytes_max,
            "scrub_interval": scrub_interval,
            "scrub_bytes_per_second": scrub_bytes_per_second,
            "identity": identity,
            "hosted": hosted,
            "cluster": cluster,
        }
        return super().__new__(cls, path, **options)

    @classmethod
    def _of_server(cls, server: Server) -> Store:
        return super().__new__(cls, server)

    def __enter__(self) -> Store:
        return self

    def keys(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> StoreScan[bytes]:
        """The keys of a range. See ``items``."""
        return self._scan("keys", start, end, prefix, reverse, limit)

    def values(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> StoreScan[bytes]:
        """The values of a range, in the order of the keys. See ``items``."""
        return self._scan("values", start, end, prefix, reverse, limit)

    def items(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> StoreScan[tuple[bytes, bytes]]:
        """Keys and values of a range, as they were when this was called, whatever is written meanwhile.

        - start, end: the keys from start on and before end; or prefix: those that begin with it. All
          (default).
        - reverse: from the last to the first. limit: the most; None (default) for all.
        """
        return self._scan("items", start, end, prefix, reverse, limit)

    def entries(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> StoreScan[Entry]:
        """Keys of a range with all that they have, each an ``Entry``. See ``items``."""
        return self._scan("entries", start, end, prefix, reverse, limit)

    def compare_and_set(
        self,
        key: BytesLike,
        version: int,
        value: BytesLike,
        *,
        ttl: float | timedelta | None = None,
        at: float | datetime | None = None,
        lease: Lease | int | None = None,
        keep_lifetime: bool = False,
        previous: bool = False,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> StoreResult:
        """Puts a value if the key has this version; 0: if it is not there. The result is true if it was
        done; its ``version`` is the key's now. Keywords, and what it raises, as for ``put``."""
        return self.put(
            key,
            value,
            version=version,
            ttl=ttl,
            at=at,
            lease=lease,
            keep_lifetime=keep_lifetime,
            previous=previous,
            durability=durability,
            timeout=timeout,
            request=request,
        )

    def get_and_set(
        self,
        key: BytesLike,
        value: BytesLike,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> StoreResult:
        """Puts a value; the result's ``previous`` is the Entry of before, or None. As ``put`` otherwise."""
        return self.put(
            key, value, previous=True, durability=durability, timeout=timeout, request=request
        )

    @overload
    def pop(
        self,
        key: BytesLike,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> bytes: ...
    @overload
    def pop(
        self,
        key: BytesLike,
        default: _T,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> bytes | _T: ...
    def pop(
        self,
        key: BytesLike,
        default: Any = _NONE,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> Any:
        """Deletes a key and gives its value, in one step: of several that pop a key, one has it. ``default``
        when it is not there; without one it raises KeyError. Keywords as for ``put``."""
        result = self.delete(key, previous=True, durability=durability, timeout=timeout, request=request)
        return popped(result, key, default)

    def setdefault(
        self,
        key: BytesLike,
        default: BytesLike,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> bytes:
        """The value of a key, which is put if it is not there, in one step: of several that do so, all have
        the same. Keywords as for ``put``."""
        result = self.put(
            key,
            default,
            absent=True,
            previous=True,
            durability=durability,
            timeout=timeout,
            request=request,
        )
        return settled(result, default)

    def update(
        self,
        entries: HasEntries | Iterable[tuple[BytesLike, BytesLike]],
        *,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> StoreResult:
        """Puts all entries of whatever has ``keys()``, as a dict takes them, or pairs of key and value, as
        one transaction: all are seen, or none. It is no longer than ``operations_max`` and what a transaction
        may have allow. Keywords, and what it raises, as for ``put``."""
        return self.execute(
            puts(entries), durability=durability, timeout=timeout, request=request
        )

    def append(
        self,
        key: BytesLike,
        value: BytesLike,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> StoreResult:
        """Appends to a value; no value is an empty one. The result's ``count`` is its length. A key that is
        there keeps its lifetime. As ``put`` otherwise."""
        operation = Operation.append(key, value)
        return self.execute(operation, durability=durability, timeout=timeout, request=request)

    def delete_range(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        limit: int | None = None,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> StoreResult:
        """Deletes the keys of a range: those from start on and before end, or those that begin with prefix;
        one of them must be said, and ``start=b""`` is all keys.

        - limit: the most, the first ones; None (default) for all.

        The result's ``count`` says how many, its ``more`` whether the limit left some. As ``put``
        otherwise."""
        operation = Operation.delete_range(start, end, prefix=prefix, limit=limit)
        return self.execute(operation, durability=durability, timeout=timeout, request=request)

    def set_lifetime(
        self,
        key: BytesLike,
        *,
        ttl: float | timedelta | None = None,
        at: float | datetime | None = None,
        lease: Lease | int | None = None,
        condition: LifetimeCondition | int | str = LifetimeCondition.ALWAYS,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> StoreResult:
        """Changes how long a key lives, and nothing else but its version; the result is true if that was
        done: it is there, and the condition holds.

        - ttl, at, lease: as for ``put``; none: until it is deleted.
        - condition: a LifetimeCondition or its name.

        As ``put`` otherwise."""
        operation = Operation.set_lifetime(key, ttl=ttl, at=at, lease=lease, condition=condition)
        return self.execute(operation, durability=durability, timeout=timeout, request=request)

    def expire(
        self,
        key: BytesLike,
        ttl: float | timedelta | None = None,
        *,
        at: float | datetime | None = None,
        condition: LifetimeCondition | int | str = LifetimeCondition.ALWAYS,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> StoreResult:
        """Has a key expire after ``ttl``, or at a moment. See ``set_lifetime``."""
        if (ttl is None) == (at is None):
            raise TypeError("expire() wants one of ttl and at; persist() has a key live on")
        return self.set_lifetime(
            key,
            ttl=ttl,
            at=at,
            condition=condition,
            durability=durability,
            timeout=timeout,
            request=request,
        )

    def persist(
        self,
        key: BytesLike,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> StoreResult:
        """Has a key live until it is deleted. See ``set_lifetime``."""
        return self.set_lifetime(key, durability=durability, timeout=timeout, request=request)

    def transaction(self) -> Transaction:
        """Begins to say what is to be done as one; see ``Transaction``."""
        return Transaction(self)

    def lease_grant(
        self,
        ttl: float | timedelta,
        *,
        id: int | None = None,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> Lease:
        """Begins a lease that lives for ``ttl`` (1 ms to 2^48 ms) without a keep-alive; see ``Lease``.

        - id: from 1, and none that is alive; None (default) draws one. With a request it has to be said:
          sent again, it is the same.

        As ``put`` otherwise."""
        number = new_lease_id(request) if id is None else id
        operation = Operation.lease_grant(number, ttl)
        self.execute(operation, durability=durability, timeout=timeout, request=request)
        return Lease(self, number)

    def lease(self, id: int) -> Lease | None:
        """The lease of this id; None when it is not alive."""
        return None if self._lease(id) is None else Lease(self, id)

    def cluster_events(self) -> ClusterEvents:
        """Follows what happens to the cluster; see ``ClusterEvents``. Raises StateError when it is in
        none."""
        return ClusterEvents(self)

    def watch(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        sequence: int | None = None,
    ) -> StoreWatch:
        """Follows the keys of a range; see ``StoreWatch``, and ``items`` for the range.

        - sequence: the change at this sequence is the first it gives; None (default): what comes from now
          on. It may be one of before the store was opened, as far as the log reaches. Beyond the one that
          comes next it is of writes that a crash took, and a ``Compacted`` is told at once; a replica waits
          for it."""
        return StoreWatch(self, start, end, prefix=prefix, sequence=sequence)


def new_lease_id(request: Request | None) -> int:
    """One that no lease has, in all likelihood."""
    if request is not None:
        raise TypeError("lease_grant() with a request wants an id: what is sent again begins the same lease")
    return secrets.randbits(63) or 1


def popped(result: StoreResult, key: BytesLike, default: Any) -> Any:
    """What was deleted."""
    if result.previous is not None:
        return result.previous.value
    if default is _NONE:
        raise KeyError(bytes(key))
    return default


def settled(result: StoreResult, default: BytesLike) -> bytes:
    """What a key has that was put if it was not there."""
    return bytes(default) if result.previous is None else result.previous.value


def puts(entries: HasEntries | Iterable[tuple[BytesLike, BytesLike]]) -> Operation:
    """All of them as one."""
    pairs: Iterable[tuple[BytesLike, BytesLike]]
    if isinstance(entries, (Mapping, Store, StoreView)):
        # One moment of each, also of what others write to meanwhile.
        pairs = entries.items()
    elif hasattr(entries, "keys"):
        has = cast(HasEntries, entries)
        keys = has.keys()
        pairs = ((key, has[key]) for key in keys)
    else:
        pairs = entries
    return Operation._transaction([], [Operation.put(key, value) for key, value in pairs], [])
