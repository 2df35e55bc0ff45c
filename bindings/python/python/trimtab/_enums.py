"""The enumerations of the interface. The numbers are those of C and never change; wherever a member is
taken, its number and its name in configuration (``"least-connections"``) are too."""

from enum import IntEnum


class Policy(IntEnum):
    """How a pool picks."""

    ROUND_ROBIN = 0
    """Smooth weighted round robin; weights may change while in use."""
    STATIC = 1
    """The same over the weights backends were added with; a change of weight is refused."""
    FIRST = 2
    """The first backend, in the order added, that has room below its maxconn."""
    RANDOM = 3
    """At random, by weight."""
    LEAST_CONNECTIONS = 4
    """Fewest connections in flight for its weight."""
    POWER_OF_TWO = 5
    """The less loaded of two drawn at random, by weight."""
    PEAK_EWMA = 6
    """Two choices by peak EWMA of response time, times connections in flight."""
    FASTEST = 7
    """Shortest response time, with a floor share for every other backend."""
    OBSERVED = 8
    """Shares in proportion to connections and response time together."""
    PREDICTIVE = 9
    """Observed, and the trend of the ranking."""
    SOURCE = 10
    """By hash of the client's address, given as the key."""
    HASH = 11
    """By hash of the key."""


class Hash(IntEnum):
    """How the policies source and hash place keys."""

    RING = 0
    MAGLEV = 1
    RENDEZVOUS = 2


class Backups(IntEnum):
    """Which backends of a tier above 0 serve when the tiers below have none usable."""

    ONE = 0
    ALL = 1
    SPILL = 2
    """All of every tier, which share by how many of its backends each has usable."""


class Formula(IntEnum):
    """Which reading of observed and predictive is meant."""

    TRIMTAB = 0
    F5_K6406 = 1


class Scope(IntEnum):
    """Whose picks an adaptive limit is for."""

    BACKEND = 0
    """Each backend has one of its own."""
    POOL = 1
    """The pool has one."""


class Admin(IntEnum):
    """What an operator ordered."""

    READY = 0
    DRAIN = 1
    MAINTENANCE = 2


class Observed(IntEnum):
    """What probes or traffic showed."""

    UNKNOWN = 0
    UP = 1
    DOWN = 2
    EJECTED = 3


class Outcome(IntEnum):
    """How a pick went."""

    SUCCESS = 0
    CONNECT_FAILED = 1
    FAILED = 2
    TIMED_OUT = 3
    CANCELLED = 4


class Family(IntEnum):
    """What kind of address a backend has."""

    UNIX = 0
    INET = 4
    INET6 = 6


class Step(IntEnum):
    """What a check wants done; see ``Check``."""

    WAIT = 0
    """Nothing, until something happens to the connection, or the deadline is there."""
    CONNECT = 1
    """Connect to the check's target, without waiting for it, and tell how that went."""
    WRITE = 2
    """Write the data as far as the socket takes it, and tell how far."""
    CLOSE = 3
    """Close the connection, or give up making it. If there are data they may be written before, should the
    socket take them at once."""
    CHANGE = 4
    """The backend is observed to be something else: ``Check.status`` tells what and why."""
    LEARN = 5
    """A good probe learnt something new of the backend, its role or its lag."""


class Role(IntEnum):
    """Who orders writes and who follows."""

    UNKNOWN = 0
    PRIMARY = 1
    """It takes writes."""
    REPLICA = 2
    """It follows a primary."""


class ServerState(IntEnum):
    """What a server does."""

    NEW = 0
    """Made, not started."""
    RUNNING = 1
    """Accepts and relays."""
    DRAINING = 2
    """Accepts nothing new; its sessions go on."""
    STOPPED = 3
    """Ended."""


class EventKind(IntEnum):
    """What happened to a server, or to a pool."""

    STARTED = 0
    """It listens; the detail says where."""
    DRAINING = 1
    """It accepts nothing new and waits for its sessions to end."""
    STOPPED = 2
    """It has ended: no session, no listener."""
    ACCEPT_PAUSED = 3
    """A listener pauses, for the system has no descriptor or memory left; the detail tells which."""
    ACCEPT_RESUMED = 4
    """The listener goes on."""
    WORKER_FAILED = 5
    """A thread of its own ended before it was told to; the detail says why. The others go on."""
    BACKEND_ADDED = 6
    """A backend was added to a pool."""
    BACKEND_REMOVED = 7
    """A backend was taken out."""
    BACKEND_ADMIN = 8
    """An operator's order; the value is an Admin."""
    BACKEND_OBSERVED = 9
    """Something was observed; the value is an Observed."""
    BACKEND_WEIGHT = 10
    """A backend has another weight, the value."""
    BACKEND_MAXCONN = 11
    """A backend has another maxconn, the value; 0 for no limit."""
    BACKEND_TIER = 12
    """A backend has another tier, the value."""
    DISCOVERY_FAILED = 13
    """Members could not be found out, by name or from a file; the detail says why. Those there were stay."""
    SESSIONS_CUT = 14
    """Sessions of a backend that went down were cut, by one of the workers; the value tells how many."""
    STORE_FAILED = 15
    """The store takes no writes any more until it is opened again; the detail says why."""
    STORE_FULL = 16
    """There is no room on disk for the log's next segment, and once the present one is full the store takes no writes;
    the detail says more."""
    STORE_RECOVERED = 17
    """The store takes writes again."""
    STORE_BACKUP_ENDED = 18
    """A backup of the store, the value, has been taken; the detail says what was added."""
    STORE_BACKUP_FAILED = 19
    """A backup of the store, the value, could not be taken and is as it was before; the detail says why."""
    STORE_DAMAGED = 20
    """Something that lies on the store's disk was found damaged; the detail says what, where, and what is
    done about it."""
    STORE_MENDED = 21
    """What was found damaged is not needed any more: a snapshot up to an entry, the value, stands for it."""
    STORE_OPENED = 22
    """The store was opened, and found something to be looked at: a torn tail that was cut off, a clock that is behind,
    settings that are not in force; the detail says which."""
    PANIC_BEGAN = 32
    """A tier, the value, panics: it serves whatever is observed of its backends."""
    PANIC_ENDED = 33
    """A tier, the value, no longer panics."""
    ROOM = 34
    """Of a pool's own events: a place below a limit may have come free, and somebody waits for one."""
    CLUSTER_ROLE = 40
    """This node of the store's cluster has another role, the value."""
    CLUSTER_PRIMARY = 41
    """``node`` is primary, in the epoch that the value is; None: none is known."""
    CLUSTER_MEMBERS = 42
    """Who is in the cluster has changed; the detail has who votes and who learns."""
    CLUSTER_FENCED = 43
    """This node takes no part any more; the detail says why, and what to do."""
    CLUSTER_FORGETFUL = 44
    """This node has forgotten what it promised, and votes for nobody until it is taken in again."""
    CLUSTER_READMITTED = 45
    """It was."""
    CLUSTER_DIFFERS = 46
    """``node`` has come to another state than the others, at an entry, the value, or before."""
    CLUSTER_TWO_PROCESSES = 47
    """Two processes run as ``node``."""
    CLUSTER_SLOW_DISK = 48
    """This primary's disk is slow: it hands over to ``node``."""
    CLUSTER_SOURCE = 49
    """This learner is fed by ``node`` from now on; None: by the primary."""
    CLUSTER_INSTALLED = 50
    """A state from another node has taken the place of this one's, up to an entry, the value."""
    CLUSTER_LINK_UP = 51
    """A link to ``node`` is up."""
    CLUSTER_LINK_DOWN = 52
    """A link to ``node`` is over; the detail says why."""
    CLUSTER_REFUSED = 53
    """``node`` is not let in, does not let this one in or cannot be reached, or what it sends is not taken;
    the detail says why, and what to do."""
    CLUSTER_DEGRADED = 54
    """From an entry, the value, on writes are answered with fewer nodes than they asked for; the detail says
    which lack it."""
    CLUSTER_RECOVERED = 55
    """They are so no longer; the value tells how many were."""
    CLUSTER_MISSED = 56
    """Too much happened to the cluster at once; the value tells how many events of it are not told."""


class Durability(IntEnum):
    """Where a write is when it is answered. Each has what those before it have."""

    MEMORY = 1
    """In memory, and on its way to disk: a crash may take it, and what came later, but none of what came
    before."""
    LOCAL = 2
    """On this disk: it is there after a crash."""
    QUORUM = 3
    """On the disks of more than half of the nodes. Needs replication."""
    ALL = 4
    """On the disks of all nodes. Needs replication."""


class Eviction(IntEnum):
    """What goes when a store's memory_max is reached."""

    REFUSE = 0
    """Nothing: writes are refused."""
    LRU = 1
    """Keys that were not used for long; those of leases stay."""
    TTL = 2
    """Keys with a deadline, the next due first; others stay."""


class LifetimeCondition(IntEnum):
    """When a key's lifetime is changed. A key without a deadline has one after all others."""

    ALWAYS = 0
    NO_DEADLINE = 4
    """If it has no deadline."""
    DEADLINE = 5
    """If it has a deadline."""
    LATER = 6
    """If the new deadline is later."""
    EARLIER = 7
    """If the new deadline is earlier."""


class Relation(IntEnum):
    """How what a key has is to stand to something, in a transaction."""

    EQUAL = 0
    """Also ``"=="``."""
    NOT_EQUAL = 1
    """Also ``"!="``."""
    LESS = 2
    """Also ``"<"``."""
    GREATER = 3
    """Also ``">"``."""


class ChangeKind(IntEnum):
    """Why a key of a store has changed."""

    COMPACTED = 0
    """Of a ``Compacted``: what comes next is not kept any more."""
    PUT = 1
    """A value was put."""
    INCREMENTED = 2
    """A number was added to."""
    APPENDED = 3
    """A value was appended to."""
    LIFETIME_SET = 4
    """The lifetime was changed, the value not."""
    DELETED = 5
    """The key was deleted."""
    EXPIRED = 6
    """The key, or its lease, has expired."""
    EVICTED = 7
    """The key was taken out to make room."""
    REVOKED = 8
    """The lease of the key was revoked."""


class ReadLevel(IntEnum):
    """How fresh what a read sees is to be, in a cluster."""

    PRIMARY = 1
    """All that was answered at quorum before the read, whichever node it is asked of."""
    REPLICA = 2
    """What is on this node, no older than a bound."""
    LOCAL = 3
    """What is on this node, however old."""


class Beginning(IntEnum):
    """What a node of a cluster does whose directory is empty."""

    NEW = 0
    """It begins a new cluster, with all others that are told so."""
    JOIN = 1
    """The cluster is there already: it waits to be added, or to be taken in again."""
    ADOPT = 2
    """The directory has a store of one node, which becomes the first node of a new cluster."""


class Directory(IntEnum):
    """What is known of the directory of a node of a cluster."""

    DETECT = 0
    """The file system says whether it was copied."""
    ORIGINAL = 1
    """It is as the node left it, though it was moved."""
    COPY = 2
    """It was put back from a copy: the node votes for nobody until it is taken in again."""
    PROMOTED = 3
    """The node is to be the primary, by force. For when the others are gone for good, and once."""


class NodeRole(IntEnum):
    """What a node of a cluster is."""

    PRIMARY = 1
    """It orders the writes."""
    REPLICA = 2
    """It follows, and votes."""
    CANDIDATE = 3
    """It asks for votes."""
    LEARNER = 4
    """It follows without a vote."""
    IDLE = 5
    """It takes no part."""


class Standing(IntEnum):
    """Whether a node of a cluster may be believed."""

    ACTIVE = 1
    FORGETFUL = 2
    """It has forgotten something that it promised, and votes for nobody until it is taken in again."""
    FENCED = 3
    """It takes no part any more, as the others have decided."""
    FAILED = 4
    """Its log has stopped."""
    FOUNDING = 5
    """It begins a new cluster, and does not know yet that enough others are new too: it votes for nobody."""


class ClusterEventKind(IntEnum):
    """What happened to a cluster."""

    ROLE = 1
    """The role, the epoch or the primary (``name``) has changed."""
    MEMBERS = 2
    """Who is in it has changed: ``name`` has those who vote, ``detail`` the learners, with commas."""
    FENCED = 3
    """This node takes no part any more: ``detail`` says why."""
    FORGETFUL = 4
    """This node has forgotten something, and asks to be taken in again."""
    READMITTED = 5
    """It was."""
    DIFFERS = 6
    """A node has come to another state than the others, at the entry ``number`` or before."""
    TWO_PROCESSES = 7
    """Two processes run as one node."""
    SLOW_DISK = 8
    """This primary's disk is slow: it hands over."""
    INSTALLED = 9
    """A state from another node has taken the place of this one's, up to the entry ``number``."""
    LINK_UP = 10
    LINK_DOWN = 11
    REFUSED = 12
    """A node is not let in, or does not let this one in, or its frames are not taken: ``detail`` says why,
    and what to do."""
    MISSED = 13
    """``number`` events that nobody took went by."""
    SOURCE = 14
    """This learner is fed by ``name`` from now on; ``None``: by the primary."""
    DAMAGED = 15
    """The file ``name`` is damaged at the byte ``number``: ``detail`` says what is wrong, what is done."""
    MENDED = 16
    """A snapshot up to the entry ``number`` stands for what was damaged."""
    DEGRADED = 17
    """From the entry ``number`` on writes get fewer nodes than they ask for: ``name`` has those that lack
    it."""
    RECOVERED = 18
    """They do so no longer: ``number`` writes did."""
