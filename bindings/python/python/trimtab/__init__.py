"""trimtab: load balancing, linked in. A :class:`Pool` says which backend takes the next connection.

    with trimtab.Pool(policy="least-connections") as pool:
        pool.add("10.0.0.7:8080", weight=2)
        with pool.pick() as pick:
            connect(pick.host, pick.port)
"""

from ._enums import Admin, Backups, Family, Formula, Hash, Observed, Outcome, Policy
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
    __version__,
    features,
)
from ._types import Backend, BackendStatistics, Draw, Explained, Explanation, PoolStatistics

__all__ = [
    "Admin",
    "BACKENDS_MAX",
    "Backend",
    "BackendStatistics",
    "Backups",
    "CapacityError",
    "ClosedError",
    "ConfigError",
    "Draw",
    "ExistsError",
    "Explained",
    "Explanation",
    "Family",
    "ForkedError",
    "Formula",
    "Hash",
    "InvalidArgumentError",
    "IoError",
    "KEY_MAX",
    "MAXCONN_MAX",
    "NoBackendError",
    "NotFoundError",
    "Observed",
    "Outcome",
    "PanicError",
    "Pick",
    "Policy",
    "Pool",
    "PoolStatistics",
    "StalePickError",
    "StateError",
    "TimedOutError",
    "TrimtabError",
    "WEIGHT_MAX",
    "__version__",
    "features",
]
