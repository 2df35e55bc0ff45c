from collections.abc import Callable, Iterable
from datetime import timedelta
from os import PathLike
from types import TracebackType
from typing import Final, Protocol, final

from ._enums import Admin, Backups, Family, Formula, Hash, Observed, Outcome, Policy, ServerState
from ._types import (
    Backend,
    BackendStatistics,
    Event,
    Explanation,
    ListenerStatistics,
    PoolStatistics,
    ServerStatistics,
    Status,
)

__all__ = [
    "BACKENDS_MAX",
    "KEY_MAX",
    "MAXCONN_MAX",
    "WEIGHT_MAX",
    "Pick",
    "Pool",
    "Server",
    "__version__",
    "features",
]

__version__: Final[str]
BACKENDS_MAX: Final[int]
KEY_MAX: Final[int]
MAXCONN_MAX: Final[int]
WEIGHT_MAX: Final[int]

def features() -> frozenset[str]: ...
@final
class Pool:
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
    ) -> Pool: ...
    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def __enter__(self) -> Pool: ...
    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
        /,
    ) -> None: ...
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
    ) -> int: ...
    def add_all(self, backends: Iterable[Backend]) -> list[int]: ...
    def remove(self, id: int) -> None: ...
    def set_weight(self, id: int, weight: int) -> None: ...
    def set_maxconn(self, id: int, maxconn: int) -> None: ...
    def set_tier(self, id: int, tier: int) -> None: ...
    def set_tag(self, id: int, tag: int) -> None: ...
    def set_admin(self, id: int, admin: Admin | int | str) -> None: ...
    def set_observed(self, id: int, observed: Observed | int | str) -> None: ...
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
class Pick:
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
    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
        /,
    ) -> None: ...

class _HasFileno(Protocol):
    def fileno(self) -> int: ...

@final
class Server:
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
    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
        /,
    ) -> None: ...
    @property
    def state(self) -> ServerState: ...
    def address(self, listener: str) -> str: ...
    @property
    def admin_address(self) -> str | None: ...
    def pool(self, name: str) -> Pool: ...
    def adopt(self, listener: str, socket: int | _HasFileno) -> None: ...
    def statistics(self) -> ServerStatistics: ...
    def listener_statistics(self, name: str) -> ListenerStatistics: ...
    def status(self) -> Status: ...
    def _set_host(self, host: Callable[[], object] | None) -> None: ...
