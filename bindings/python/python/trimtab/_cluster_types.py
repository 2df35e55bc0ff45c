"""What a member of a cluster is told, and what it tells. Fields are added at the end only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from os import PathLike
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from ._enums import (
        Beginning,
        ClusterEventKind,
        Directory,
        Durability,
        NodeRole,
        ReadLevel,
        Standing,
    )


class AtLeast(NamedTuple):
    """A durability, in a cluster: on the disks of so many nodes, learners among them, beside those of a
    quorum."""

    nodes: int


@dataclass(frozen=True)
class Member:
    """A node of a cluster, as it is configured."""

    name: str
    """1 to 63 bytes of a to z, 0 to 9, ``-``, ``_`` and ``.``, like db-1."""
    address: str | None = None
    """Where it listens, like 10.0.0.5:7400; None: nowhere, so that it dials the others."""
    learner: bool = False
    """It follows without a vote."""


@dataclass(frozen=True)
class Tls:
    """Mutual TLS 1.3 between the nodes of a cluster, by PEM files."""

    certificate: str | PathLike[str]
    """This node's certificate, for its name, and what leads from it to the authority."""
    ca: str | PathLike[str]
    """The authorities."""
    key: str | PathLike[str] | None = None
    """Its key; None: it stands beside the certificate."""


@dataclass(frozen=True)
class ClusterOptions:
    """How a store is a member of a cluster, for ``Store(path, cluster=...)``. What is out of range, or does
    not fit together, is refused there. ``docs/cluster.md`` says what a cluster promises."""

    node: str
    """The name of this node, one of the members'. What was removed comes back under another."""
    members: Sequence[Member]
    """All nodes, this one too. A new cluster begins with them, and all of them are told the same."""
    tls: Tls | None = None
    """How links are secured; else ``insecure_plaintext`` has to be said."""
    insecure_plaintext: bool | Literal["anywhere"] = False
    """Links are not secured: on loopback addresses alone, or anywhere."""
    cluster: str = "trimtab"
    """The cluster's name: nodes of another are refused."""
    listen: str | None = None
    """Where this node listens; None: at its address among the members."""
    beginning: Beginning | int | str = "new"
    directory: Directory | int | str = "detect"
    durability: Durability | AtLeast | int | str = "quorum"
    """What a write gets that asks for nothing: ``AtLeast(2)`` is a quorum, and the disks of two nodes."""
    read: ReadLevel | int | str = "primary"
    """How fresh what a read sees is that asks for nothing."""
    age_max: float | timedelta | None = None
    """Of the level replica: how old it may be at most."""
    forwards: bool = True
    """Whether a node that is not primary passes writes and reads of the primary on to it."""
    patience: float | timedelta = 3.0
    """How long a call waits for a primary, up to an hour."""
    forward_max: int = 65_536
    """How many calls may wait for a primary or be passed on, 1 to 2^24."""
    client_address: str | None = None
    """Where clients of this node reach it, for the other nodes to tell theirs."""
    degrade_after: float | timedelta | None = None
    """After how long a write that is committed is answered although fewer nodes have it than asked for."""
    transfer_timeout: float | timedelta = 2.0
    """After how long a handover is called off, 10 ms to an hour."""
    message_bytes: int = 262_144
    """Bytes of entries in one message, 1 KiB to 16 MiB, and no more than an eighth of a segment."""
    feed_from: Sequence[str] = ()
    """By whom this node is fed as long as it is a learner, instead of by the primary: the best first."""
    feed_timeout: float | timedelta = 2.0
    """After how long without anything new from there the primary feeds it again, 400 ms to an hour."""
    kept_bytes_max: int = 256 << 20
    """Bytes of the log that a snapshot stands for, kept for nodes that are behind, 0 to 2^48."""
    snapshot_rate: int = 0
    """Bytes of snapshots sent in a second to nodes that catch up, to all together; 0: no limit."""
    slow_flush: float | timedelta | None = 1.0
    """How long a write to the primary's disk may take before it hands over, 10 ms to an hour; None: as long as
    it takes."""
    election_ticks: int = 20
    """So many times 20 ms without a word of the primary begin an election, twice as many at the latest; 10 to
    10,000, the same on all nodes, and feed_timeout is no less."""


class Promoted(NamedTuple):
    """What a promotion by force came to."""

    cluster: str
    """The cluster's name."""
    node: str
    """The name of the node that is its primary now."""
    generation: int
    """Counts promotions by force."""
    last: int
    """The last entry that it has."""
    out: tuple[str, ...]
    """Those that voted beside it, and must not run any more."""
    learners: tuple[str, ...]
    """Those that follow it."""


class ClusterNode(NamedTuple):
    """A node of a cluster, as another one sees it."""

    name: str
    number: int
    """Made of its name."""
    address: str | None
    """Where it listens; None: nowhere."""
    client_address: str | None
    """Where its clients reach it, as far as it said."""
    is_voter: bool
    is_primary: bool
    is_linked: bool
    """There is a link to it, or it is this node."""
    matched: int | None
    """The last entry known to be on its disk; on a primary, and of this node, only."""
    lag: int | None
    """How many entries it is behind; on a primary only."""
    source: str | None = None
    """Who feeds it instead of the primary, as far as this node knows."""
    trouble: str | None = None
    """Why there is no link to it, or what was refused last; None once a link has come up since."""


class ClusterStatus(NamedTuple):
    """How a cluster is, as one of its nodes sees it."""

    cluster: str
    """Its name."""
    node: str
    """This node's name."""
    role: NodeRole
    standing: Standing
    trouble: str | None
    """Why this node takes no part, and what to do."""
    epoch: int
    generation: int
    """Counts promotions by force."""
    primary: str | None
    primary_address: str | None
    """Where clients reach the primary, as far as it said."""
    nodes: tuple[ClusterNode, ...]
    """All of them, this one too, in the order of their numbers."""
    last: int
    """The last entry of the log."""
    committed: int
    applied: int
    """The last that this node shows."""
    durable: int
    """The last that is on its disk."""
    age: float | None
    """How old what is applied may be, in seconds; 0 on a primary that holds its quorum."""
    lease: float | None
    """How long nobody else can be primary, in seconds; None when this node is not."""
    held: int
    """Calls that wait for a primary."""
    forwarded: int
    """Calls passed on to the primary and not answered."""
    refused_frames: int
    unsent_frames: int
    refused_peers: int = 0
    """Connections of others that were refused."""
    last_refusal: str | None = None
    """Who was refused last, from where and why."""
    degraded_writes: int = 0
    """Answered with fewer nodes than they asked for, since this node was opened."""
    is_degraded: bool = False
    """That is so at present: the last one is not yet where it asked to be."""


class ClusterEvent(NamedTuple):
    """Something that happened to a cluster; ``ClusterEventKind`` says what its fields have."""

    kind: ClusterEventKind
    role: NodeRole | None
    epoch: int
    number: int
    name: str | None
    detail: str | None
