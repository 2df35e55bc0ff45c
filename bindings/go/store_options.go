package trimtab

import (
	"fmt"
	"time"
)

// Durability is what a write is to reach before it is answered, and what it has reached.
type Durability int32

const (
	// DurabilityDefault: what the store was opened with.
	DurabilityDefault Durability = 0
	// DurabilityMemory: in memory, and on its way to disk. A crash may take it, and what came later, but none of
	// what came before.
	DurabilityMemory Durability = 1
	// DurabilityLocal: on this disk, so there after a crash.
	DurabilityLocal Durability = 2
	// DurabilityQuorum: on the disks of more than half of the voters of a cluster. ErrUnsupported in a store of one node.
	DurabilityQuorum Durability = 3
	// DurabilityAll: on the disks of all voters of a cluster. ErrUnsupported in a store of one node.
	DurabilityAll Durability = 4
)

// String gives the durability's name.
func (d Durability) String() string {
	switch d {
	case DurabilityDefault:
		return "default"
	case DurabilityMemory:
		return "memory"
	case DurabilityLocal:
		return "local"
	case DurabilityQuorum:
		return "quorum"
	case DurabilityAll:
		return "all"
	}
	return fmt.Sprintf("durability %d", int32(d))
}

// Eviction is what goes when MemoryMax is reached.
type Eviction int32

const (
	// EvictionRefuse: nothing goes; the write is refused.
	EvictionRefuse Eviction = 0
	// EvictionLRU: keys go that were not used for long; those of leases stay.
	EvictionLRU Eviction = 1
	// EvictionTTL: keys with a deadline go, the next due first; others stay.
	EvictionTTL Eviction = 2
)

// Limits of a store.
const (
	StoreKeyMax   = 1 << 16 // bytes of a key
	StoreQueueMax = 1 << 24 // calls under way
)

// StoreIdentity is whose store a directory is.
type StoreIdentity struct {
	// Cluster is the same on all nodes of a cluster.
	Cluster [16]byte
	// Node is the node's number, from 1.
	Node uint64
}

// StoreOptions is how to open a store. The zero value of a field means its default; where zero is a value of its
// own the field is a pointer, see Ptr. Times are whole milliseconds. What is out of range is refused by OpenStore.
type StoreOptions struct {
	// Identity is whose store it is; a directory of another is refused. Default nil: a directory keeps what it
	// says, and a new one gets a cluster at random and node 1.
	Identity *StoreIdentity
	// Durability is that of a write that does not say so itself: DurabilityMemory or DurabilityLocal. Default
	// DurabilityLocal: what was answered is there after a crash.
	Durability Durability
	// Timeout is how long a call waits whose context has no deadline: 1 ms to 24 h. Default 30 s: who waits for a
	// disk that hangs is told so.
	Timeout time.Duration
	// QueueMax is how many calls may be under way at once, writes, reads of a cluster that wait, and WaitDurable: 1 to
	// StoreQueueMax. Default WaitingMax. More wait for a place, for as long as their context allows.
	QueueMax int
	// WaitingMax is how many writes may wait until the log takes them; more, which there are only if QueueMax is
	// higher, are refused with ErrCapacity: 1 to 16,777,216. Default 65,536.
	WaitingMax int
	// FlushInterval is after how long writes in memory go to disk at the latest: 1 ms to 1 h. Default 1 s.
	FlushInterval time.Duration
	// FlushBytes is how much of them may come together before that: 4 KiB to 4 GiB. Default 8 MiB.
	FlushBytes uint64
	// SnapshotBytes is how long the log may get, beyond the length of the last snapshot, before a snapshot is
	// written: 64 KiB to 2^48. Default 256 MiB.
	SnapshotBytes uint64
	// SnapshotRetry is how long after a snapshot that failed the next one is tried: 1 ms to 24 h. Default 10 s.
	SnapshotRetry time.Duration
	// Eviction is what goes when MemoryMax is reached. Default EvictionRefuse.
	Eviction Eviction
	// EvictionPlaces is of how many keys EvictionLRU remembers when they were used, in four bytes each: 1 to
	// 268,435,456. Default 1,048,576.
	EvictionPlaces int
	// MemoryMax is how many bytes keys, values and what belongs to them may come to: from 64 KiB. Default 0, no
	// limit.
	MemoryMax uint64
	// ValueMax is how many bytes a value may have: 1 to 512 MiB, and no more than three quarters of a segment.
	// Default 16 MiB.
	ValueMax uint64
	// OperationsMax is how many comparisons and operations a transaction may have: 1 to 1,048,576. Default 10,000.
	OperationsMax uint64
	// ClientsMax is of how many clients the answers are remembered, see WithRequest: 1 to 16,777,216. Default
	// 10,000.
	ClientsMax uint64
	// ClientBytesMax is how much the remembered answers may come to: 1 KiB to 2^48. Default 64 MiB.
	ClientBytesMax uint64
	// SegmentBytes is the length of a segment's file: 16 KiB to 1 GiB, a multiple of 4096. Default 64 MiB. A
	// directory keeps the one it was made with: opening it with another is refused.
	SegmentBytes uint64
	// PendingBytesMax is how much may be taken and not be on disk yet: 64 KiB to 4 GiB. Default 64 MiB. Then calls
	// wait for their turn.
	PendingBytesMax uint64
	// DiskBytesMax is how much segments and snapshots may take together: from three segments. Default 0, no limit.
	DiskBytesMax uint64
	// KeptBytes is how much of the log is kept though a snapshot stands for it, in whole segments, so that an
	// incremental backup goes on from the last one: up to 2^48. Where there is no room it goes first. Default 0.
	KeptBytes uint64
	// DiskRetry is how soon it is seen that a full disk has room again: 1 ms to 1 h. Default 1 s.
	DiskRetry time.Duration
	// HistoryBytesMax is how much is kept of changes for watches that are behind, 128 bytes for a change counted
	// beside its key and value. Default 16 MiB.
	HistoryBytesMax *uint64
	// ScrubInterval is how long after one pass over all that lies on disk, which finds what has rotted, the next one
	// begins: 1 ms to 366 days, or 0: only when it is asked for. Default 24 h.
	ScrubInterval *time.Duration
	// ScrubBytesPerSecond is how much of it is read in a second: 64 KiB to 2^40. Default 8 MiB: a gigabyte in two
	// minutes, and a disk hardly notices.
	ScrubBytesPerSecond uint64
	// Cluster has the store be a member of a cluster: a node that takes reads and writes like any other, whichever is
	// primary. Reads may wait for the primary then, for as long as their context allows, and hold no thread meanwhile; Close
	// of a primary hands over before. Default nil: a store of one node.
	Cluster *ClusterOptions
	// Hosted has it make no thread: whatever is to be done is done in Turn, by a loop on a goroutine of the caller's.
	//
	//	for {
	//		if err := store.WaitTurn(ctx); err != nil {
	//			return err
	//		}
	//		if _, err := store.Turn(); err != nil {
	//			return err
	//		}
	//	}
	//
	// Calls that wait wait for such turns, but for Sync, Snapshot, Scrub, Backup and Close, which do the work themselves.
	// Default false: threads of its own, none of which runs Go code.
	Hosted bool
}

const (
	timeoutDefault    = 30 * time.Second
	waitingMaxDefault = 65_536
)

// queueMax is how many calls may be under way.
func (o *StoreOptions) queueMax() int {
	switch {
	case o.QueueMax != 0:
		return o.QueueMax
	case o.WaitingMax != 0:
		return o.WaitingMax
	}
	return waitingMaxDefault
}

func (o *StoreOptions) timeout() time.Duration {
	if o.Timeout != 0 {
		return o.Timeout
	}
	return timeoutDefault
}

// check refuses what C could not be told.
func (o *StoreOptions) check() error {
	for _, given := range [...]struct {
		option string
		value  time.Duration
	}{
		{"Timeout", o.Timeout}, {"FlushInterval", o.FlushInterval}, {"SnapshotRetry", o.SnapshotRetry},
		{"DiskRetry", o.DiskRetry}, {"ScrubInterval", orZero(o.ScrubInterval)},
	} {
		if given.value < 0 || given.value%time.Millisecond != 0 {
			return invalidOption("%s: %v is not a whole, positive number of milliseconds", given.option, given.value)
		}
	}
	if o.Cluster != nil {
		if err := o.Cluster.check(); err != nil {
			return err
		}
	}
	if max := o.queueMax(); max < 1 || max > StoreQueueMax {
		return invalidOption("QueueMax: %d is outside 1 to %d", max, StoreQueueMax)
	}
	if o.WaitingMax < 0 {
		return invalidOption("WaitingMax: %d is negative", o.WaitingMax)
	}
	if o.EvictionPlaces < 0 {
		return invalidOption("EvictionPlaces: %d is negative", o.EvictionPlaces)
	}
	return nil
}

func orZero(given *time.Duration) time.Duration {
	if given == nil {
		return 0
	}
	return *given
}

func invalidOption(format string, arguments ...any) error {
	return &Error{
		Code:      CodeInvalidArgument,
		Operation: opOpen,
		Detail:    "invalid " + fmt.Sprintf(format, arguments...),
	}
}
