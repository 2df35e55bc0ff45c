from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from os import PathLike
from types import EllipsisType, TracebackType
from typing import Final, Generic, Literal, Protocol, TypeVar, final, overload, type_check_only

from typing_extensions import Self, disjoint_base

from ._cluster_types import AtLeast, ClusterEvent, ClusterStatus, Promoted
from ._enums import (
    Admin,
    Backups,
    ChangeKind,
    Durability,
    Family,
    Formula,
    Hash,
    LifetimeCondition,
    Observed,
    Outcome,
    Policy,
    ReadLevel,
    Relation,
    ServerState,
)
from ._errors import TrimtabError
from ._store import Store
from ._store_types import BackupReport, BytesLike, Request, Restored, StoreReport, StoreStatus, Submission
from ._types import (
    Adaptive,
    Backend,
    BackendStatistics,
    CheckState,
    CheckStep,
    Event,
    Explanation,
    ListenerStatistics,
    Outlier,
    PoolEvent,
    PoolStatistics,
    ServerStatistics,
    Status,
)

__all__ = [
    "BACKENDS_MAX",
    "CONNECTION_RATE_MAX",
    "KEY_MAX",
    "MAXCONN_MAX",
    "RETRIES_MAX",
    "WEIGHT_MAX",
    "Change",
    "Check",
    "ClusterEvents",
    "Compacted",
    "Completion",
    "Entry",
    "Operation",
    "Pick",
    "Pool",
    "Server",
    "StoreQueue",
    "StoreResult",
    "StoreScan",
    "StoreView",
    "_Store",
    "_Watch",
    "__version__",
    "backup_closed",
    "backup_verify",
    "features",
    "promote_directory",
    "restore",
]

__version__: Final[str]
BACKENDS_MAX: Final[int]
CONNECTION_RATE_MAX: Final[int]
KEY_MAX: Final[int]
MAXCONN_MAX: Final[int]
RETRIES_MAX: Final[int]
WEIGHT_MAX: Final[int]

def features() -> frozenset[str]: ...
def backup_closed(
    path: str | PathLike[str], to: str | PathLike[str], *, full: bool = False
) -> BackupReport: ...
def backup_verify(backup: str | PathLike[str]) -> BackupReport: ...
def promote_directory(path: str | PathLike[str]) -> Promoted: ...
def restore(
    backup: str | PathLike[str],
    to: str | PathLike[str],
    *,
    sequence: int | None = None,
    at: float | datetime | None = None,
    same_identity: bool = False,
) -> Restored: ...
@type_check_only
class _Block:
    """What a ``with`` block ends."""

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
        /,
    ) -> None: ...

@final
class Pool(_Block):
    def __new__(
        cls,
        policy: Policy | int | str = ...,
        *,
        hash: Hash | int | str = ...,
        bounded_load: float | None = None,
        backups: Backups | int | str = ...,
        formula: Formula | int | str = ...,
        tick: float | timedelta = 1.0,
        blend: float = 0.5,
        gain: float = 1.0,
        history: int = 8,
        floor: float = 0.02,
        stale: float | timedelta = 10.0,
        decay: float | timedelta = 10.0,
        seed: int | None = None,
        hash_seed: int = 0,
        lanes: int = 0,
        picks_max: int = 262144,
        panic_threshold: int = 0,
        fail_open: bool = False,
        slow_start: float | timedelta = 0.0,
        slow_start_aggression: float = 1.0,
        slow_start_min: float = 0.1,
        maxconn: int = 0,
        connection_rate: int = 0,
        connection_burst: int = 0,
        pending_max: int = 0,
        retry_budget: float | None = 0.2,
        retry_min: int = 100,
        retries_max: int = 0,
        outlier: Outlier | None = None,
        adaptive: Adaptive | None = None,
        on_event: Callable[[PoolEvent], object] | None = None,
    ) -> Pool: ...
    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def __enter__(self) -> Pool: ...
    def add(
        self,
        address: str,
        *,
        name: str | None = None,
        weight: int = 1,
        maxconn: int = 0,
        tier: int = 0,
        tag: int = 0,
        admin: Admin | int | str = ...,
        observed: Observed | int | str = ...,
        connection_rate: int = 0,
        connection_burst: int = 0,
    ) -> int: ...
    def add_all(self, backends: Iterable[Backend]) -> list[int]: ...
    def remove(self, id: int) -> None: ...
    def set_weight(self, id: int, weight: int) -> None: ...
    def set_maxconn(self, id: int, maxconn: int) -> None: ...
    def set_tier(self, id: int, tier: int) -> None: ...
    def set_tag(self, id: int, tag: int) -> None: ...
    def set_admin(self, id: int, admin: Admin | int | str) -> None: ...
    def set_observed(
        self,
        id: int,
        observed: Observed | int | str,
        *,
        reason: str | None = None,
        now: float | None = None,
    ) -> None: ...
    def set_connection_rate(self, id: int, rate: int, burst: int = 0) -> None: ...
    def retry_begin(self, now: float | None = None) -> int: ...
    def retry_end(self, retry: int) -> None: ...
    def may_retry(self, now: float | None = None) -> bool: ...
    def try_want(self) -> None: ...
    def unwant(self) -> None: ...
    def find(self, name: str) -> int: ...
    def ids(self) -> list[int]: ...
    def pick(
        self,
        key: bytes | bytearray | memoryview = b"",
        *,
        now: float | None = None,
        avoid: Iterable[int] = (),
    ) -> Pick: ...
    def done(
        self,
        pick: Pick | int,
        outcome: Outcome | int | str = ...,
        *,
        connect: float | timedelta | None = None,
        first_byte: float | timedelta | None = None,
        total: float | timedelta | None = None,
        now: float | None = None,
    ) -> None: ...
    def explain(
        self,
        key: bytes | bytearray | memoryview = b"",
        *,
        now: float | None = None,
        avoid: Iterable[int] = (),
    ) -> Explanation: ...
    def statistics(self) -> PoolStatistics: ...
    def backend(self, id: int) -> BackendStatistics: ...
    def backends(self) -> list[BackendStatistics]: ...
    def handle_timeout(self, now: float | None = None) -> None: ...
    def next_deadline(self) -> float | None: ...

@final
class Pick(_Block):
    @property
    def backend(self) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def family(self) -> Family: ...
    @property
    def tag(self) -> int: ...
    @property
    def token(self) -> int: ...
    def done(
        self,
        outcome: Outcome | int | str = ...,
        *,
        connect: float | timedelta | None = None,
        first_byte: float | timedelta | None = None,
        total: float | timedelta | None = None,
        now: float | None = None,
    ) -> None: ...
    def __enter__(self) -> Pick: ...

@final
class Check:
    def __new__(cls, config: str, address: str, *, now: float | None = None) -> Check: ...
    @property
    def target(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def family(self) -> Family: ...
    def take_step(self, now: float | None = None) -> CheckStep: ...
    def handle_connected(self, now: float | None = None) -> None: ...
    def handle_written(self, count: int) -> None: ...
    def handle_bytes(
        self, data: bytes | bytearray | memoryview, now: float | None = None
    ) -> None: ...
    def handle_end(self, now: float | None = None) -> None: ...
    def handle_failed(self, why: str, now: float | None = None) -> None: ...
    def handle_abandoned(self, now: float | None = None) -> None: ...
    def handle_suspicion(self, now: float | None = None) -> None: ...
    def status(self) -> CheckState: ...

class _HasFileno(Protocol):
    def fileno(self) -> int: ...

@final
class Server(_Block):
    def __new__(
        cls,
        config: str,
        *,
        source: str = "<string>",
        on_event: Callable[[Event], object] | None = None,
    ) -> Server: ...
    @staticmethod
    def from_file(
        path: str | PathLike[str], *, on_event: Callable[[Event], object] | None = None
    ) -> Server: ...
    def start(self) -> None: ...
    def start_hosted(self) -> None: ...
    def fileno(self) -> int: ...
    def turn(self, timeout: float | timedelta | None = 0.0) -> int: ...
    def next_deadline(self) -> float | None: ...
    def next_timeout(self) -> float | None: ...
    def drain(self, timeout: float | timedelta | None = None) -> None: ...
    def stop(self) -> None: ...
    def wait(self, timeout: float | timedelta | None = None) -> None: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    def __enter__(self) -> Server: ...
    @property
    def state(self) -> ServerState: ...
    def address(self, listener: str) -> str: ...
    @property
    def admin_address(self) -> str | None: ...
    def pool(self, name: str) -> Pool: ...
    @property
    def store(self) -> Store: ...
    def adopt(self, listener: str, socket: int | _HasFileno) -> None: ...
    def statistics(self) -> ServerStatistics: ...
    def listener_statistics(self, name: str) -> ListenerStatistics: ...
    def status(self) -> Status: ...
    def _set_host(self, host: Callable[[], object] | None) -> None: ...

_T = TypeVar("_T")

class _HasId(Protocol):
    @property
    def id(self) -> int: ...

@final
class Entry:
    @property
    def key(self) -> bytes: ...
    @property
    def value(self) -> bytes: ...
    @property
    def version(self) -> int: ...
    @property
    def created(self) -> int: ...
    @property
    def changes(self) -> int: ...
    @property
    def deadline(self) -> float | None: ...
    @property
    def lease(self) -> int | None: ...

@final
class StoreResult:
    @property
    def is_done(self) -> bool: ...
    def __bool__(self) -> bool: ...
    @property
    def durability(self) -> Durability: ...
    @property
    def sequence(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def number(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def deadline(self) -> float | None: ...
    @property
    def is_repeated(self) -> bool: ...
    @property
    def nodes(self) -> int: ...
    @property
    def is_degraded(self) -> bool: ...
    @property
    def position(self) -> tuple[int, int]: ...
    @property
    def more(self) -> bool: ...
    @property
    def previous(self) -> Entry | None: ...
    @property
    def entry(self) -> Entry | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def entries(self) -> tuple[Entry, ...]: ...
    @property
    def steps(self) -> tuple[StoreResult, ...]: ...
    @property
    def error(self) -> TrimtabError | None: ...

@final
class Operation:
    @staticmethod
    def put(
        key: BytesLike,
        value: BytesLike,
        *,
        version: int | None = None,
        absent: bool = False,
        present: bool = False,
        ttl: float | timedelta | None = None,
        at: float | datetime | None = None,
        lease: _HasId | int | None = None,
        keep_lifetime: bool = False,
        previous: bool = False,
    ) -> Operation: ...
    @staticmethod
    def delete(
        key: BytesLike,
        *,
        version: int | None = None,
        present: bool = False,
        previous: bool = False,
    ) -> Operation: ...
    @staticmethod
    def increment(key: BytesLike, by: int = 1) -> Operation: ...
    @staticmethod
    def append(key: BytesLike, value: BytesLike) -> Operation: ...
    @staticmethod
    def set_lifetime(
        key: BytesLike,
        *,
        ttl: float | timedelta | None = None,
        at: float | datetime | None = None,
        lease: _HasId | int | None = None,
        condition: LifetimeCondition | int | str = ...,
    ) -> Operation: ...
    @staticmethod
    def delete_range(
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        limit: int | None = None,
    ) -> Operation: ...
    @staticmethod
    def get(key: BytesLike) -> Operation: ...
    @staticmethod
    def range(
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Operation: ...
    @staticmethod
    def lease_grant(id: _HasId | int, ttl: float | timedelta) -> Operation: ...
    @staticmethod
    def lease_keep_alive(id: _HasId | int) -> Operation: ...
    @staticmethod
    def lease_revoke(id: _HasId | int) -> Operation: ...
    @staticmethod
    def _transaction(
        conditions: list[tuple[BytesLike, Relation | int | str, str, BytesLike | int]],
        then: list[Operation],
        otherwise: list[Operation],
        *,
        proceed: bool = False,
    ) -> Operation: ...

@final
class StoreScan(Generic[_T]):
    def __iter__(self) -> Iterator[_T]: ...
    def __next__(self) -> _T: ...
    @property
    def sequence(self) -> int: ...

@type_check_only
class _Reads:
    """What a store and a view of it have both."""

    @overload
    def get(self, key: BytesLike, default: None = None) -> bytes | None: ...
    @overload
    def get(self, key: BytesLike, default: _T) -> bytes | _T: ...
    def entry(self, key: BytesLike) -> Entry | None: ...
    def __getitem__(self, key: BytesLike, /) -> bytes: ...
    def __contains__(self, key: BytesLike, /) -> bool: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __iter__(self) -> StoreScan[bytes]: ...
    def count(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
    ) -> int: ...

@final
class StoreView(_Block, _Reads):
    @property
    def sequence(self) -> int: ...
    def keys(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> StoreScan[bytes]: ...
    def values(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> StoreScan[bytes]: ...
    def items(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> StoreScan[tuple[bytes, bytes]]: ...
    def entries(
        self,
        start: BytesLike | None = None,
        end: BytesLike | None = None,
        *,
        prefix: BytesLike | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> StoreScan[Entry]: ...
    def close(self) -> None: ...
    def __enter__(self) -> StoreView: ...

@final
class Completion:
    @property
    def user_data(self) -> int: ...
    @property
    def result(self) -> StoreResult | None: ...
    @property
    def error(self) -> TrimtabError | None: ...

@final
class StoreQueue(_Block):
    def submit(
        self,
        operation: Operation,
        user_data: int = 0,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> None: ...
    def submit_all(
        self,
        submissions: Iterable[
            Submission | tuple[Operation, int, Durability | AtLeast | int | str | None, Request | None]
        ],
    ) -> int: ...
    def submit_durable(self, sequence: int, user_data: int = 0) -> None: ...
    def take(self, max: int = 256) -> list[Completion]: ...
    def wait(self, max: int = 256, timeout: float | timedelta | None = None) -> list[Completion]: ...
    @property
    def under_way(self) -> int: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    def __enter__(self) -> StoreQueue: ...

@final
class Change:
    @property
    def kind(self) -> ChangeKind: ...
    @property
    def sequence(self) -> int: ...
    @property
    def created(self) -> int: ...
    @property
    def key(self) -> bytes: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def more(self) -> bool: ...

@final
class Compacted:
    @property
    def kind(self) -> Literal[ChangeKind.COMPACTED]: ...
    @property
    def first(self) -> int: ...

@disjoint_base
class _Watch(_Block):
    def __new__(
        cls,
        store: _Store,
        start: BytesLike | None,
        end: BytesLike | None,
        prefix: BytesLike | None,
        sequence: int | None,
    ) -> Self: ...
    def poll(self, timeout: float | timedelta | None = 0.0) -> Change | Compacted | None: ...
    def take(self, timeout: float | timedelta | None = 0.0) -> list[Change | Compacted]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Change | Compacted: ...
    @property
    def next_sequence(self) -> int: ...
    @property
    def is_over(self) -> bool: ...
    @property
    def _is_buffered(self) -> bool: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    def __enter__(self) -> Self: ...

@final
class ClusterEvents(_Block):
    def poll(self, timeout: float | timedelta | None = 0.0) -> ClusterEvent | None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> ClusterEvent: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    def __enter__(self) -> Self: ...

@disjoint_base
class _Store(_Block, _Reads):
    def __new__(cls, path: str | PathLike[str] | Server, **options: object) -> Self: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    def __setitem__(self, key: BytesLike, value: BytesLike, /) -> None: ...
    def __delitem__(self, key: BytesLike, /) -> None: ...
    @overload
    def _scan(
        self,
        gives: Literal["keys", "values"],
        start: BytesLike | None,
        end: BytesLike | None,
        prefix: BytesLike | None,
        reverse: bool,
        limit: int | None,
    ) -> StoreScan[bytes]: ...
    @overload
    def _scan(
        self,
        gives: Literal["items"],
        start: BytesLike | None,
        end: BytesLike | None,
        prefix: BytesLike | None,
        reverse: bool,
        limit: int | None,
    ) -> StoreScan[tuple[bytes, bytes]]: ...
    @overload
    def _scan(
        self,
        gives: Literal["entries"],
        start: BytesLike | None,
        end: BytesLike | None,
        prefix: BytesLike | None,
        reverse: bool,
        limit: int | None,
    ) -> StoreScan[Entry]: ...
    def put(
        self,
        key: BytesLike,
        value: BytesLike,
        *,
        version: int | None = None,
        absent: bool = False,
        present: bool = False,
        ttl: float | timedelta | None = None,
        at: float | datetime | None = None,
        lease: _HasId | int | None = None,
        keep_lifetime: bool = False,
        previous: bool = False,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> StoreResult: ...
    def delete(
        self,
        key: BytesLike,
        *,
        version: int | None = None,
        present: bool = False,
        previous: bool = False,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> StoreResult: ...
    def increment(
        self,
        key: BytesLike,
        by: int = 1,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> StoreResult: ...
    def execute(
        self,
        operation: Operation,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> StoreResult: ...
    def sync(self, *, timeout: float | timedelta | EllipsisType | None = ...) -> int: ...
    def wait_durable(
        self, sequence: int, *, timeout: float | timedelta | EllipsisType | None = ...
    ) -> int: ...
    def snapshot(self, *, timeout: float | timedelta | EllipsisType | None = ...) -> int: ...
    def backup(self, to: str | PathLike[str], *, full: bool = False) -> BackupReport: ...
    def scrub(self, *, timeout: float | timedelta | EllipsisType | None = ...) -> None: ...
    def _lease(self, id: _HasId | int) -> tuple[float, float] | None: ...
    def status(self) -> StoreStatus: ...
    @property
    def report(self) -> StoreReport: ...
    @property
    def identity(self) -> tuple[bytes, int]: ...
    def view(
        self,
        *,
        level: ReadLevel | int | str | None = None,
        age_max: float | timedelta | None = None,
        position: tuple[int, int] | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
    ) -> StoreView: ...
    def cluster(self) -> ClusterStatus: ...
    def cluster_events(self) -> ClusterEvents: ...
    def transfer(self, to: str, *, timeout: float | timedelta | EllipsisType | None = ...) -> None: ...
    def reload_certificates(self) -> None: ...
    def add_node(
        self,
        name: str,
        address: str | None = None,
        *,
        timeout: float | timedelta | EllipsisType | None = ...,
    ) -> None: ...
    def promote_learner(
        self, name: str, *, timeout: float | timedelta | EllipsisType | None = ...
    ) -> None: ...
    def remove_node(self, name: str, *, timeout: float | timedelta | EllipsisType | None = ...) -> None: ...
    def replace_node(
        self, lost: str, learner: str, *, timeout: float | timedelta | EllipsisType | None = ...
    ) -> None: ...
    @property
    def hosted(self) -> bool: ...
    def fileno(self) -> int: ...
    def turn(self, timeout: float | timedelta | None = 0.0) -> int: ...
    def next_deadline(self) -> float | None: ...
    def next_timeout(self) -> float | None: ...
    def _take_turns(self) -> None: ...
    def _give_turns_back(self) -> None: ...
    def queue(self, capacity: int = 1024) -> StoreQueue: ...
