"""What goes into ``Pool.add_all`` and what statistics and explanations come in. Fields are added at the
end only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypedDict

from ._enums import Admin, Observed


@dataclass(frozen=True)
class Backend:
    """A backend to add to a pool; see ``Pool.add``. Its values are checked when it is added."""

    address: str
    name: str | None = None
    weight: int = 1
    maxconn: int = 0
    tier: int = 0
    tag: int = 0
    admin: Admin | int | str = Admin.READY
    observed: Observed | int | str = Observed.UNKNOWN


class PoolStatistics(NamedTuple):
    """What a pool counted. Figures are read one after another; under load they may differ by what happened
    in between."""

    backends: int
    """Backends in the pool."""
    serving: int
    """Backends that may be picked now."""
    picks: int
    """Picks made of the backends now in the pool."""
    in_flight: int
    """Of these, not reported done."""
    refused: int
    """Picks that found no backend."""


class BackendStatistics(NamedTuple):
    """What is known of one backend, and what was counted since it was added."""

    id: int
    name: str
    address: str
    weight: int
    maxconn: int
    """Its limit; 0 for none."""
    tier: int
    tag: int
    admin: Admin
    observed: Observed
    serving: bool
    """Whether it may be picked now, its maxconn aside."""
    picks: int
    in_flight: int
    success: int
    connect_failed: int
    failed: int
    timed_out: int
    cancelled: int
    response_mean: float | None
    """The mean of the response times reported, in seconds; None when there was none."""
    share: float
    """The part of new picks it is due, 0 to 1."""


class Draw(TypedDict):
    """One step of a choice: what was drawn or computed."""

    what: str
    value: int


class Explained(TypedDict):
    """One backend's part in a choice."""

    id: int
    name: str
    verdict: str
    """picked, passed, standby, drain, maintenance, down, ejected, full or avoided."""
    score: float | None
    """What the policy compared, where it does: lower is better, except for rendezvous."""
    in_flight: int
    share: float


class Explanation(TypedDict):
    """What ``Pool.explain`` returns."""

    policy: str
    picked: int | None
    refused: str | None
    """Why nobody would be picked, when nobody would."""
    tier: int | None
    draws: list[Draw]
    backends: list[Explained]
