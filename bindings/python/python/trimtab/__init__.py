"""trimtab: load balancing, linked in. A :class:`Pool` says which backend takes the next connection.

    with trimtab.Pool(policy="least-connections") as pool:
        pool.add("10.0.0.7:8080", weight=2)
        with pool.pick() as pick:
            connect(pick.host, pick.port)

A :class:`Server` listens, picks and relays by itself; :mod:`trimtab.aio` runs one in asyncio.

    with trimtab.Server(configuration) as server:
        server.wait()
"""

from ._enums import (
    Admin,
    Backups,
    EventKind,
    Family,
    Formula,
    Hash,
    Observed,
    Outcome,
    Policy,
    ServerState,
)
from ._errors import (
    CapacityError,
    ClosedError,
    ConfigError,
    ExistsError,
    ForkedError,
    InvalidArgumentError,
    IoError,
    NoBackendError,
    NotFoundError,
    PanicError,
    StalePickError,
    StateError,
    TimedOutError,
    TrimtabError,
)
from ._trimtab import (
    BACKENDS_MAX,
    KEY_MAX,
    MAXCONN_MAX,
    WEIGHT_MAX,
    Pick,
    Pool,
    Server,
    __version__,
    features,
)
from ._types import (
    AdminStatus,
    Backend,
    BackendStatistics,
    BackendStatus,
    Draw,
    Event,
    Explained,
    Explanation,
    ListenerStatistics,
    ListenerStatus,
    Outcomes,
    PoolStatistics,
    PoolStatus,
    Problem,
    ServerStatistics,
    Status,
    Totals,
)

__all__ = [
    "BACKENDS_MAX",
    "KEY_MAX",
    "MAXCONN_MAX",
    "WEIGHT_MAX",
    "Admin",
    "AdminStatus",
    "Backend",
    "BackendStatistics",
    "BackendStatus",
    "Backups",
    "CapacityError",
    "ClosedError",
    "ConfigError",
    "Draw",
    "Event",
    "EventKind",
    "ExistsError",
    "Explained",
    "Explanation",
    "Family",
    "ForkedError",
    "Formula",
    "Hash",
    "InvalidArgumentError",
    "IoError",
    "ListenerStatistics",
    "ListenerStatus",
    "NoBackendError",
    "NotFoundError",
    "Observed",
    "Outcome",
    "Outcomes",
    "PanicError",
    "Pick",
    "Policy",
    "Pool",
    "PoolStatistics",
    "PoolStatus",
    "Problem",
    "Server",
    "ServerState",
    "ServerStatistics",
    "StalePickError",
    "StateError",
    "Status",
    "TimedOutError",
    "Totals",
    "TrimtabError",
    "__version__",
    "features",
]
