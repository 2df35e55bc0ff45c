"""What goes into a store's calls, and what its status comes in. Fields are added at the end only."""

from __future__ import annotations

import itertools
import operator
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, final

from ._errors import InvalidArgumentError

if TYPE_CHECKING:
    from ._cluster_types import AtLeast
    from ._enums import Durability
    from ._errors import TrimtabError
    from ._trimtab import Operation

BytesLike: TypeAlias = bytes | bytearray | memoryview
"""What keys and values may be."""


class HasEntries(Protocol):
    """What ``dict.update`` takes beside pairs: it says its keys, and what each of them has."""

    def keys(self) -> Iterable[bytes]: ...
    def __getitem__(self, key: bytes, /) -> BytesLike: ...


class Request(NamedTuple):
    """A request that may be sent again without being done twice; see ``Requests``."""

    client: bytes
    """Any 16 bytes that no other client uses."""
    number: int
    """Counted up by the client, one for each request, 0 to 2^64 - 1. It names that one request for good."""


@final
class Requests:
    """The requests of one client: ``next`` gives one after the other, to any thread.

        request = next(requests)
        try:
            store.increment(b"visits", request=request)
        except trimtab.TimedOutError:
            store.increment(b"visits", request=request)     # not done twice

    - client: 16 bytes that no other client uses, not all zero; None (default) draws them at random.
    - number: the first one, 0 to 2^64 - 1. Who goes on with a client of before goes on behind its last
      number.

    The store remembers the answers to the last 32 numbers of each client, over restarts too. A number names
    one request: sent again it has to be with the same operation. The store compares no more than what kind
    of answer it has, and raises ``StateError`` where that is another operation's; a put of another key
    under a number that was used is answered with what came of the first one, ``is_repeated``, and not done.
    """

    def __init__(self, client: bytes | None = None, number: int = 1) -> None:
        self._client = os.urandom(16) if client is None else bytes(memoryview(client))
        if len(self._client) != 16:
            raise InvalidArgumentError(f"invalid client: it has {len(self._client)} bytes, and 16 are wanted")
        if not any(self._client):
            raise InvalidArgumentError("invalid client: all zero is no client; take 16 random bytes")
        first = operator.index(number)
        if not 0 <= first < 1 << 64:
            raise InvalidArgumentError(f"invalid number: {first} is outside 0 to {(1 << 64) - 1}")
        self._numbers = itertools.count(first)

    @property
    def client(self) -> bytes:
        """The client's 16 bytes."""
        return self._client

    def __iter__(self) -> Requests:
        return self

    def __next__(self) -> Request:
        return Request(self._client, next(self._numbers))


class Submission(NamedTuple):
    """Something to submit to a ``StoreQueue``."""

    operation: Operation
    user_data: int = 0
    """Comes back with the completion; 0 to 2^64 - 1."""
    durability: Durability | AtLeast | int | str | None = None
    """What is to be reached; None for the store's default."""
    request: Request | None = None
    """So that it may be sent again."""


class StoreCounts(NamedTuple):
    """What a store has counted since it was opened."""

    submitted: int
    """Commands taken."""
    joined: int
    """Commands that joined the same request on its way."""
    refused: int
    """Commands refused at once."""
    applied: int
    """Entries of the log that were applied."""
    flushes: int
    """Writes to disk, each with a sync."""
    flushed_bytes: int
    """Bytes of them."""
    clock_steps: int
    """Commands for which the clock had gone back, and stood still instead."""
    expiries: int
    """Commands that took out what had expired."""
    evictions: int
    """Commands that made room."""
    snapshots: int
    """Snapshots written."""
    snapshots_failed: int
    """Snapshots that failed."""


class StoreStatus(NamedTuple):
    """How a store is."""

    failure: TrimtabError | None
    """Why nothing is taken any more; None while all is well."""
    problem: TrimtabError | None
    """Why there is no room for more at present; None while there is."""
    snapshot_failure: TrimtabError | None
    """What the last snapshot failed with; None if it did not."""
    sequence: int
    """The last entry of the log."""
    durable: int
    """The last one on disk."""
    applied: int
    """The last one that readers see."""
    snapshot: int
    """The sequence of the last snapshot; 0: none."""
    keys: int
    """Keys, those included that have expired and not been taken out."""
    memory_bytes: int
    """Bytes of keys, values and what belongs to them, as ``memory_max`` bounds them."""
    disk_bytes: int
    """Bytes of segments and snapshots."""
    pending_bytes: int
    """Bytes that wait to be on disk."""
    counts: StoreCounts
    """What was counted since it was opened."""
    scrub_passes: int
    """Passes over all that lies on disk that came to their end."""
    scrub_bytes: int
    """Bytes found good by them."""
    scrub_finished: float | None
    """When the last one ended, in seconds since 1970; None if none has."""
    scrub_damages: int
    """How often something was found damaged, or could not be read."""
    scrub_failure: TrimtabError | None
    """What was found last, with file and offset; None once a later pass has found all good."""
    scrub_mended: int
    """How often a snapshot took the place of what was found damaged, or opening did without it."""


class BackupReport(NamedTuple):
    """What a backup holds, and what was added to it."""

    stretches: int
    """Into how many it falls, between which something is missing; 0: it holds nothing."""
    first_sequence: int
    """The first entry of the last stretch that can be gone back to."""
    last_sequence: int
    """The last entry."""
    first_time: float | None
    """The earliest time of the last stretch, in seconds since 1970; None if it holds nothing."""
    last_time: float | None
    """The latest."""
    total_bytes: int
    """The length of all its files."""
    bytes: int
    """Bytes that were added."""
    entries: int
    """Entries that were added."""
    snapshot: int
    """The sequence of the snapshot that was added; 0: none."""


class Restored(NamedTuple):
    """What was restored."""

    sequence: int
    """The last entry of the restored store."""
    time: float
    """When it was written, in seconds since 1970."""
    snapshot: int
    """The sequence of the snapshot it begins with; 0: none."""
    entries: int
    """How many entries came on top of that."""
    identity: tuple[bytes, int]
    """Whose it is: the 16 bytes of the cluster, and the number of the node."""


class StoreReport(NamedTuple):
    """What opening a store found."""

    segments: int
    """How many segments hold records."""
    records: int
    """How many records they hold."""
    bytes: int
    """The bytes of these."""
    first: int | None
    """The first entry of the log that can be read, when there is one."""
    last: int
    """The last entry, whether in the log or only in the snapshot."""
    snapshot: int | None
    """The snapshot's sequence, when there is one."""
    torn: tuple[str, int] | None
    """A batch that never became durable and was cut off: the file, and the byte where the log ends now."""
    is_closed: bool
    """The store had been closed in order."""
    replayed: int
    """Entries that were applied on top of the snapshot."""
    ahead: float
    """By how much the latest time in the store is ahead of the clock, in seconds: until the clock has come
    there, time stands still in the store."""
    settings_refused: TrimtabError | None
    """Why the settings asked for are not in force, if so: those of before are."""
    torn_bytes: int
    """How many bytes behind ``torn`` were recognised as the batch's; 0 if nothing was cut off."""
    covered: tuple[str, int] | None
    """Damage that the snapshot stands for, so that nothing is lost: the first file that has it, and where."""
    covered_segments: int
    """How many segments were left out for it; 0 if none were."""
