"""What goes into ``Pool.add_all`` and what statistics, explanations, events and problems come in. Fields are
added at the end only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, TypedDict

from ._enums import Admin, EventKind, NodeRole, Observed, Role, Scope, Step


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
    connection_rate: int = 0
    connection_burst: int = 0


@dataclass(frozen=True)
class SuccessRate:
    """How success rates are compared with each other; part of ``Outlier``."""

    factor: float = 1.9
    """How many standard deviations below the mean are too many: 0 to 10."""
    hosts_min: int = 5
    """How many backends must have had enough outcomes: 2 to 65,536."""
    requests_min: int = 100
    """How many outcomes in an interval are enough: from 1 on."""


@dataclass(frozen=True)
class FailurePercentage:
    """How failures are compared with a fixed share; part of ``Outlier``."""

    percent: int = 85
    """Which share of failures in an interval is too much: 1 to 100."""
    hosts_min: int = 5
    """How many backends must have had enough outcomes: 1 to 65,536."""
    requests_min: int = 50
    """How many outcomes in an interval are enough: from 1 on."""


@dataclass(frozen=True)
class Outlier:
    """When a backend that fails more than others is ejected, and for how long; for ``Pool``. Times are
    seconds or timedelta."""

    consecutive_errors: int | None = 5
    """How many errors in a row eject: 1 to 10,000; None for any number."""
    interval: float | timedelta = 10.0
    """How often rates are compared: 0.1 to 3600 seconds."""
    ejection_time: float | timedelta = 30.0
    """How long the first ejection lasts: 0.1 to 86,400 seconds. The next in a row lasts twice as long, and
    so on."""
    ejection_time_max: float | timedelta = 300.0
    """How long one lasts at most: ejection_time to 86,400 seconds."""
    ejection_jitter: float | timedelta = 1.0
    """How much longer one may last, at random: 0 to 3600 seconds."""
    ejection_percent_max: int = 10
    """How many of the backends may be ejected, in percent: 0 (never one) to 100. One may be from 1 on."""
    success_rate: SuccessRate | None = SuccessRate()
    """None for not at all."""
    failure_percentage: FailurePercentage | None = None
    """None for not at all."""


@dataclass(frozen=True)
class Adaptive:
    """How the most picks in flight are found by response times; for ``Pool``. Times are seconds or
    timedelta."""

    scope: Scope | int | str = Scope.BACKEND
    """Whose picks are limited."""
    min: int = 3
    """The least the limit is, and where it starts: 1 to 1,000,000 picks."""
    max: int = 1000
    """The most it is: min to 1,000,000 picks."""
    window: float | timedelta = 0.1
    """How often it is set anew: 0.01 to 60 seconds."""
    percentile: float = 0.5
    """Which of a window's response times stands for them: 0.01 to 1."""
    rtt_interval: float | timedelta = 60.0
    """How often the response time of a backend that is hardly used is measured: 1 to 86,400 seconds."""
    rtt_jitter: float = 0.15
    """How much later than that it may be, at random: 0 to 1."""
    rtt_requests: int = 50
    """How many response times that takes: 1 to 1,000,000."""
    rtt_buffer: float = 0.25
    """How much slower than that is no reason for a lower limit: 0 to 10."""
    rtt_pins: bool = True
    """Whether the limit is min meanwhile."""


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
    limit: int = 0
    """The most picks in flight now: maxconn, or a lower limit found by response times; 0 for none."""
    panic: bool = False
    """Whether a tier panics: it serves whatever is observed of its backends. Explain tells which."""
    pending: int = 0
    """How many wait for a place."""
    retries: int = 0
    """Retries in flight."""
    ejected: int = 0
    """Backends that are ejected now, by whoever it was."""
    retries_refused: int = 0
    """Retries that were not within the budget."""
    ejections: int = 0
    """How often a backend was ejected as an outlier."""


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
    limit: int = 0
    """The most picks in flight now: its maxconn, or a lower one found by response times; 0 for none."""
    consecutive_errors: int = 0
    """Errors in a row, where outliers are ejected."""
    connection_rate: int = 0
    """The most picks a second; 0 for no limit."""
    connection_burst: int = 0
    """How many of them may come at once; 0 for one second's."""
    observed_since: float | None = None
    """When it came to be observed so, in seconds on the pool's clock; None while nobody has said."""
    slow_start: float = 1.0
    """The part of its weight that counts: below 1 while it starts slowly."""
    reason: str | None = None
    """Why it is observed so, in one line, when that was said."""


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
    observed_since_ns: int | None
    reason: str | None
    """Why it is observed so, in one line, when that was said."""


class ExplainedTier(TypedDict):
    """One tier's part in a choice."""

    tier: int
    ready: int
    usable: int
    load: float
    """Its part of the picks, 0 to 1."""
    panic: bool
    """Whether it serves whatever is observed of its backends."""


class Explanation(TypedDict):
    """What ``Pool.explain`` returns."""

    policy: str
    picked: int | None
    refused: str | None
    """Why nobody would be picked, when nobody would."""
    tier: int | None
    panic: bool
    tiers: list[ExplainedTier]
    draws: list[Draw]
    backends: list[Explained]


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a configuration."""

    source: str
    """The file, or what the caller named the text."""
    line: int
    """From 1; 0 when it is about no place of the text."""
    column: int
    """In characters, from 1; 0 with line 0."""
    message: str
    """What is wrong, in one line."""
    hint: str
    """What to do instead; empty when the message says it."""

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}:{self.column}" if self.line else self.source
        return f"{place}: {self.message}" + (f"; {self.hint}" if self.hint else "")


@dataclass(frozen=True)
class Event:
    """Something an operator would want to know of a server. Nothing is told per connection. As text it is one
    line for a log."""

    kind: EventKind
    """What happened."""
    listener: str | None
    """The name of the listener that it happened to."""
    pool: str | None
    """The name of the pool that it happened in."""
    backend: str | None
    """The name of the backend that it happened to."""
    value: Admin | Observed | NodeRole | int | None
    """What a backend or a node changed to, how many, or an entry of the log; the kind tells which."""
    detail: str
    """More in words, one line; empty when there is no more."""
    node: str | None = None
    """The name of the node of the store's cluster that it is about."""

    def __str__(self) -> str:
        value = self.value.name.lower() if isinstance(self.value, Admin | Observed | NodeRole) else self.value
        places = {"listener": self.listener, "pool": self.pool, "backend": self.backend, "node": self.node}
        facts = {**places, "value": value}
        words = [self.kind.name.lower().replace("_", "-")]
        words += [f"{key}={fact}" for key, fact in facts.items() if fact is not None]
        if self.detail:
            words.append(f"detail={self.detail!r}")
        return " ".join(words)


@dataclass(frozen=True)
class PoolEvent:
    """Something that happened in a pool; see ``Pool``'s on_event. As text it is one line for a log."""

    kind: EventKind
    """What happened."""
    backend: int | None
    """The id of the backend that it happened to."""
    name: str | None
    """That backend's name."""
    value: Admin | Observed | int | None
    """What there is now; the kind tells which of these it is."""
    reason: str | None
    """Why, in one line, when that was said."""

    def __str__(self) -> str:
        value = self.value.name.lower() if isinstance(self.value, Admin | Observed) else self.value
        facts = {"backend": self.name, "value": value}
        words = [self.kind.name.lower().replace("_", "-")]
        words += [f"{key}={fact}" for key, fact in facts.items() if fact is not None]
        if self.reason:
            words.append(f"reason={self.reason!r}")
        return " ".join(words)


class CheckStep(NamedTuple):
    """What a ``Check`` wants done."""

    kind: Step
    deadline: float | None
    """When to take the next step if nothing happens before, in seconds on the check's clock; None: never."""
    data: bytes
    """What is to be written."""


class CheckState(NamedTuple):
    """How a backend stands by its ``Check``."""

    observed: Observed
    """UNKNOWN, UP or DOWN."""
    since: float
    """Since when, in seconds on the check's clock."""
    good_in_a_row: int
    bad_in_a_row: int
    probes: int
    """Probes begun."""
    failed: int
    """Bad ones, timeouts included."""
    role: Role
    """What the last good probe learnt."""
    lag: float | None
    """How far a replica is behind, in seconds; None where that is not told."""
    lag_bytes: int | None
    """How far it is behind what it has received, in bytes of log."""
    reason: str
    """Why it is observed so, in one line; empty while nothing is known."""
    failure: str
    """Why the last bad probe was bad; empty when there was none."""
    ordered_admin: Admin | None
    """What the last answer of an agent ordered, for ``Pool.set_admin``; None for nothing. The three orders
    are the program's to carry out."""
    ordered_weight_percent: int | None
    """The weight it ordered, in percent of the configured one: 0 (a server takes it for drain) to 10,000."""
    ordered_maxconn: int | None
    """The most connections it ordered, 0 for no limit."""


class ServerStatistics(NamedTuple):
    """What a server counted since it was started, all listeners together. Figures are read one after another;
    under load they may differ by what happened in between."""

    sessions: int
    """Sessions at present."""
    waiting: int
    """Clients that wait for a place at a backend at present."""
    accepted: int
    """Connections accepted."""
    finished: int
    """Sessions that ended after both sides had."""
    failed: int
    """Sessions that ended otherwise; ``ListenerStatistics.closed`` tells how."""
    retries: int
    """Attempts at another backend after one could not be reached."""
    bytes_to_backends: int
    """Bytes delivered to backends."""
    bytes_to_clients: int
    """Bytes delivered to clients."""


class ListenerStatistics(NamedTuple):
    """What a server counted of one listener since it was started."""

    name: str
    address: str
    """Where it listens, with the port that the system chose where it was asked to."""
    pool: str
    """The pool it sends connections to."""
    maxconn: int
    """Its limit; 0 for none."""
    sessions: int
    """Sessions at present."""
    accepted: int
    """Connections accepted."""
    accept_errors: int
    """Attempts to accept that failed: aborted connections, and each time no descriptor was free."""
    retries: int
    """Attempts at another backend after one could not be reached."""
    queued: int
    """Sessions that had to wait for a place at a backend."""
    bytes_to_backends: int
    """Bytes delivered to backends."""
    bytes_to_clients: int
    """Bytes delivered to clients."""
    closed: dict[str, int]
    """Sessions that ended, by cause, like ``"finished"`` or ``"client_reset"``."""


class Totals(TypedDict):
    """The fields of ``ServerStatistics``."""

    sessions: int
    waiting: int
    accepted: int
    finished: int
    failed: int
    retries: int
    bytes_to_backends: int
    bytes_to_clients: int


class ListenerStatus(TypedDict):
    """The fields of ``ListenerStatistics``."""

    name: str
    address: str
    pool: str
    maxconn: int
    sessions: int
    accepted: int
    accept_errors: int
    retries: int
    queued: int
    bytes_to_backends: int
    bytes_to_clients: int
    closed: dict[str, int]


class Outcomes(TypedDict):
    """Picks of a backend reported done, by how they went."""

    success: int
    connect_failed: int
    failed: int
    timed_out: int
    cancelled: int


class _CheckFacts(TypedDict, total=False):
    failure_source: str
    """Where the last bad verdict came from: connection, timeout, answer, requirement or agent."""
    failure: str
    failure_ago_ms: int
    role: str
    """primary or replica."""
    lag_ms: int
    lag_bytes: int


class CheckStatus(_CheckFacts):
    """How one backend's check stands."""

    kind: str
    state: str
    """unknown, up or down."""
    since_ms: int
    good_in_a_row: int
    bad_in_a_row: int
    probes: int
    failed: int
    """Of the probes, timeouts included."""


class _Checked(TypedDict, total=False):
    check: CheckStatus
    """Not before the first verdict, and not without a check."""


class BackendStatus(_Checked):
    """One backend of a ``PoolStatus``."""

    id: int
    name: str
    address: str
    weight: int
    maxconn: int
    limit: int
    """The most picks in flight now: its maxconn, or a lower one found by response times; 0 for none."""
    connection_rate: int
    connection_burst: int
    tier: int
    tag: int
    admin: str
    observed: str
    observed_since_ns: int | None
    reason: str | None
    """Why, in one line, when that was said."""
    serving: bool
    slow_start: float
    """The part of its weight that counts: below 1 while it starts slowly."""
    consecutive_errors: int
    picks: int
    in_flight: int
    outcomes: Outcomes
    response_mean_ns: int
    share: float


class PoolStatus(TypedDict):
    """One pool of a ``Status``."""

    name: str
    policy: str
    waiting: int
    backends: list[BackendStatus]
    serving: int
    picks: int
    in_flight: int
    refused: int


class AdminStatus(TypedDict):
    """What the admin interface of a ``Status`` came to."""

    clients: int
    followers: int
    """Clients that follow events."""
    accepted: int
    displaced: int
    """Idle clients that were ended to make room for others."""
    late: int
    """Clients whose request did not come to its end in time."""
    stalled: int
    """Clients that did not take what they were answered."""
    events: int
    """Events so far; also the number of the latest."""
    events_lost: int
    """Events that followers were too slow for."""


class StoreClientsStatus(TypedDict):
    """The Redis clients of a ``ServerStoreStatus``."""

    address: str
    """Where they are served."""
    present: int
    maxclients: int
    accepted: int
    refused: int
    """Turned away, for there were as many as may be."""
    accept_errors: int
    commands: int
    errors: int
    """Commands answered with an error."""
    hits: int
    """Keys that commands which only read have looked up, and found."""
    misses: int
    """Likewise, and were not there."""
    protocol_errors: int
    """Cut for what they sent."""
    slow: int
    """Cut for not reading what they had asked for."""
    idle: int
    """Ended for having said nothing for too long."""
    retries: int
    """Writes made up anew, for others had changed what they had read."""


class StoreTornStatus(TypedDict):
    """A torn tail. Nobody was told that what it held is durable."""

    file: str
    offset: int
    """Where the log ended when it was cut off."""
    bytes: int
    """How many bytes behind that were recognised as the batch's."""


class StoreCoveredStatus(TypedDict):
    """Damage in segments that a snapshot stands for: they were left out, and nothing is lost."""

    file: str
    """The first file that is damaged."""
    offset: int
    """Where it is."""
    what: str
    """What is wrong there."""
    segments: int
    """How many segments were left out."""


class _StoreOpeningFacts(TypedDict, total=False):
    torn: StoreTornStatus
    """A batch that never became durable and was cut off."""
    covered: StoreCoveredStatus
    """Damage that cost nothing."""
    settings_refused: str
    """Why the settings asked for are not in force: those of before are."""


class StoreOpeningStatus(_StoreOpeningFacts):
    """What opening a server's store found."""

    was_closed: bool
    """The log had been closed in order, or there was none."""
    segments: int
    """With records."""
    replayed: int
    """Entries that were applied on top of the snapshot."""
    ahead_ms: int
    """By how much the latest time in the store was ahead of the clock."""


class _StoreScrubFacts(TypedDict, total=False):
    damage: str
    """What was found last, until a later pass has found everything good."""


class StoreScrubStatus(_StoreScrubFacts):
    """What reading again what lies on the disk of a server's store has found."""

    passes: int
    """That came to their end."""
    verified_bytes: int
    """Found good, of all passes."""
    finished_ms: int
    """When the last pass ended, in milliseconds since 1970; 0: none has."""
    damages: int
    """How often something was found damaged, or could not be read."""
    mended: int
    """How often a snapshot took the place of what was."""


class _ServerStoreFacts(TypedDict, total=False):
    node: str
    """The name of this node, where the configuration gives one."""
    failure: str
    """Why nothing is taken any more."""
    problem: str
    """Why there is no room for more at present."""
    snapshot_error: str
    """What the last snapshot failed with."""
    backup: dict[str, Any]
    """How its backups stand, as ``GET /v1/status`` has it; not before one was asked for."""
    clients: StoreClientsStatus
    """Not where none are served."""


class ServerStoreStatus(_ServerStoreFacts):
    """The store in a ``Status``; ``Store.status`` tells more of it."""

    dir: str
    durability: str
    nodes: int
    """On how many nodes' disks a write is beside that; 0: as ``durability`` says."""
    sequence: int
    durable: int
    applied: int
    snapshot: int
    keys: int
    memory_bytes: int
    memory_max: int
    """0 for no limit."""
    disk_bytes: int
    pending_bytes: int
    flushes: int
    """Writes to disk, each with a sync."""
    opening: StoreOpeningStatus
    scrub: StoreScrubStatus
    snapshots: int
    """Written."""
    snapshots_failed: int
    clock_steps: int
    """Writes for which the clock had gone back."""
    expiries: int
    """Commands that took out what had expired."""
    evictions: int
    """Commands that made room by letting keys go."""


class _Stored(TypedDict, total=False):
    store: ServerStoreStatus
    """Not without a store, nor when it is closed."""


class Status(_Stored):
    """What ``Server.status`` returns. Later releases may add to it."""

    version: str
    state: str
    pid: int
    workers: int
    """Its threads; 0 when it is hosted."""
    totals: Totals
    listeners: list[ListenerStatus]
    pools: list[PoolStatus]
    admin: AdminStatus
