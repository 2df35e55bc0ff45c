package trimtab

import (
	"net/netip"
	"time"
)

// ReadLevel is how fresh what a read sees is to be, in a cluster.
type ReadLevel int32

const (
	// ReadDefault: what ClusterOptions said.
	ReadDefault ReadLevel = 0
	// ReadPrimary: all that was answered at DurabilityQuorum before the read, whichever node it is asked of.
	ReadPrimary ReadLevel = 1
	// ReadReplica: what is on this node, no older than a bound.
	ReadReplica ReadLevel = 2
	// ReadLocal: what is on this node, however old.
	ReadLocal ReadLevel = 3
)

// Beginning is what a node of a cluster does whose directory is empty.
type Beginning int32

const (
	// BeginningNew: it begins a new cluster, with all others that are told so.
	BeginningNew Beginning = 0
	// BeginningJoin: the cluster is there already. It waits to be added or, as a member whose directory was lost, to be
	// taken in again.
	BeginningJoin Beginning = 1
	// BeginningAdopt: the directory has a store of one node, which becomes the first node of a new cluster, with all it
	// has. The others are added to it, and opened with BeginningJoin. Of no account later on.
	BeginningAdopt Beginning = 2
)

// Directory is what is known of the directory of a node of a cluster.
type Directory int32

const (
	// DirectoryDetect: the file system says whether it was copied.
	DirectoryDetect Directory = 0
	// DirectoryOriginal: it is as the node left it, though it was moved.
	DirectoryOriginal Directory = 1
	// DirectoryCopy: it was put back from a copy. The node votes for nobody until the others have taken it in again.
	DirectoryCopy Directory = 2
	// DirectoryPromoted: the node is to be the primary, by force, with what is in it. For when the others are gone for
	// good, and once.
	DirectoryPromoted Directory = 3
)

// Plaintext is whether the links between nodes are left unsecured, and where.
type Plaintext int32

const (
	// PlaintextNone: they are not; ClusterOptions.TLS is needed.
	PlaintextNone Plaintext = 0
	// PlaintextLoopback: on loopback addresses alone.
	PlaintextLoopback Plaintext = 1
	// PlaintextAnywhere: on any, for networks that are secured otherwise.
	PlaintextAnywhere Plaintext = 2
)

// Member is a node of a cluster, as it is configured.
type Member struct {
	// Name has 1 to 63 bytes of a to z, 0 to 9, '-', '_' and '.', like db-1.
	Name string
	// Address is where it listens; the zero value: nowhere, so that it dials the others.
	Address netip.AddrPort
	// Learner is whether it follows without a vote.
	Learner bool
}

// ClusterTLS is mutual TLS 1.3 between the nodes of a cluster, by PEM files.
type ClusterTLS struct {
	Certificate string // this node's, for its name, and what leads from it to the authority
	Key         string // its key; empty: it stands beside the certificate
	CA          string // the authorities
}

// ClusterOptions is how a store is a member of a cluster, for StoreOptions.Cluster. The zero value of a field means its
// default. What is out of range, or does not fit together, is refused by OpenStore. docs/cluster.md says what a cluster
// promises.
type ClusterOptions struct {
	// Node is the name of this node, one of Members. A name is used once: what was removed comes back under another.
	Node string
	// Members is all nodes, this one too. A new cluster begins with them, and all of them are told the same; later on
	// who is in the cluster is in its log, and these are where the others are found.
	Members []Member
	// TLS is how links are secured; without it InsecurePlaintext has to be said.
	TLS *ClusterTLS
	// InsecurePlaintext leaves links unsecured. Default PlaintextNone.
	InsecurePlaintext Plaintext
	// Cluster is the cluster's name, the same on all its nodes; those of another are refused. Default "trimtab".
	Cluster string
	// Listen is where this node listens. Default: at its address among the members.
	Listen netip.AddrPort
	// Beginning is what it does when its directory is empty. Default BeginningNew.
	Beginning Beginning
	// Directory is what is known of the directory. Default DirectoryDetect.
	Directory Directory
	// Durability is that of a write that does not say so itself. Default DurabilityQuorum: what was answered stays,
	// whichever node is lost.
	Durability Durability
	// Nodes is on how many nodes' disks such a write is to be, learners among them, beside those of a quorum: up to 64.
	// Default 0: as Durability says.
	Nodes uint32
	// Read is how fresh what a read sees is that does not say so itself. Default ReadPrimary.
	Read ReadLevel
	// AgeMax is, with ReadReplica, how old it may be at most.
	AgeMax time.Duration
	// NoForward has a node that is not primary refuse writes, and reads of the primary's, with ErrNotPrimary. Default
	// false: they are passed on to the primary.
	NoForward bool
	// Patience is how long a call waits for a primary before it is refused with ErrNoQuorum: up to an hour. Default 3 s.
	Patience time.Duration
	// ForwardMax is how many calls may wait for a primary or be passed on: 1 to 16,777,216. Default 65,536.
	ForwardMax uint32
	// ClientAddress is where clients of this node reach it, for the other nodes to tell theirs. Default: none.
	ClientAddress string
	// DegradeAfter is after how long a write that is committed is answered although fewer nodes have it than were asked
	// for. Default: never.
	DegradeAfter time.Duration
	// FeedFrom names nodes by which this one is fed as long as it is a learner, instead of by the primary: the best first, at
	// most eight. When none of them is up to date the primary feeds it. Default: none.
	FeedFrom []string
	// FeedTimeout is after how long without anything new from there the primary feeds it again: 400 ms to an hour. Default
	// 2 s.
	FeedTimeout time.Duration
	// TransferTimeout is after how long a handover is called off: 10 ms to an hour. Default 2 s.
	TransferTimeout time.Duration
	// MessageBytes is bytes of entries in one message to another node: 1 KiB to 16 MiB, and no more than an eighth of a
	// segment. Default 256 KiB.
	MessageBytes uint64
	// KeptBytesMax is bytes of the log that a snapshot stands for, kept for nodes that are behind: up to 2^48, see Ptr.
	// Default nil: 256 MiB.
	KeptBytesMax *uint64
	// SnapshotRate is bytes of snapshots sent in a second to nodes that catch up, to all together. Default: no limit.
	SnapshotRate uint64
	// SlowFlush is how long a write to the primary's disk may take before it hands over: 10 ms to an hour, or 0 for as long
	// as it takes, see Ptr. Default nil: 1 s.
	SlowFlush *time.Duration
	// ElectionTicks times 20 ms without a word of the primary begin an election, twice as many at the latest: 10 to
	// 10,000, the same on all nodes, and FeedTimeout is no less. Default 20.
	ElectionTicks uint32
}

// check refuses what C could not be told.
func (o *ClusterOptions) check() error {
	for _, given := range [...]struct {
		option string
		value  time.Duration
	}{
		{"Patience", o.Patience}, {"DegradeAfter", o.DegradeAfter}, {"TransferTimeout", o.TransferTimeout},
		{"FeedTimeout", o.FeedTimeout}, {"SlowFlush", valueOf(o.SlowFlush)},
	} {
		if given.value < 0 || given.value%time.Millisecond != 0 {
			return invalidOption("Cluster.%s: %v is not a whole, positive number of milliseconds", given.option, given.value)
		}
	}
	if o.InsecurePlaintext < PlaintextNone || o.InsecurePlaintext > PlaintextAnywhere {
		return invalidOption("Cluster.InsecurePlaintext: %d is none of its constants", o.InsecurePlaintext)
	}
	if o.TLS != nil && o.InsecurePlaintext != PlaintextNone {
		return invalidOption("Cluster.InsecurePlaintext: TLS is given too; leave one out")
	}
	return nil
}

// valueOf is what a pointer leads to; nothing for nil.
func valueOf[T any](pointer *T) T {
	if pointer == nil {
		var none T
		return none
	}
	return *pointer
}
