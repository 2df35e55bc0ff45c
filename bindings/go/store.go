package trimtab

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Store is keys and values in memory, every change in a write-ahead log first, in a directory. Open one with
// OpenStore, or have that of a server by Server.Store. It must not be copied.
//
// A key has 0 to 65,536 bytes, a value 0 to StoreOptions.ValueMax. Keys are in the order of their bytes.
//
// Any goroutine may call anything at any time. Reads never wait for the disk; where nobody has read for a while, for the
// short writes in hand; in a cluster for other nodes, see Get. Whatever else waits takes a context first, and holds
// no thread: writes are submitted, and one goroutine of the store's brings what came of them. A context without a
// deadline waits for StoreOptions.Timeout at most.
//
// A write is told to be done, refused (nothing was done), or an ErrOutcomeUnknown: its context ended first, and what was
// submitted goes on; or, in a cluster, its primary was lost before it said. It may have been done then. A context that is done
// before a call begins is an error of its own: nothing was done.
//
// Errors of whatever writes, beside what it lists: ErrInvalidArgument, for a key or value that is too long and the
// like; ErrUnsupported, for a durability that needs replication; ErrCapacity when MemoryMax, DiskBytesMax or
// WaitingMax is reached; ErrNotFound for a lease that has ended; in a cluster ErrNotPrimary from a node that does not forward,
// ErrNoQuorum and ErrSuperseded: nothing was done in these cases. ErrIO: the disk
// is full, and nothing was done; or it has failed, nothing more is taken, and whether this was done is known when
// the store is opened again. ErrState: the answer to a Request is forgotten, or is none of this kind of operation.
// ErrClosed after Close, and of a call that Close came before: this call did nothing.
//
// Call Close. A store that is dropped without is closed when the garbage collector finds it so, which it does not
// while a call, a Scan or a Watch of it is under way.
type Store struct {
	core    *storeCore
	timeout time.Duration
	cleanup runtime.Cleanup
}

// storeCore is what is left of a Store that was dropped.
type storeCore struct {
	native    *nativeStore
	calls     *storeQueue
	syncs     rounds
	snapshots rounds
	scrubs    rounds
	isClosed  atomic.Bool
	closing   sync.Once
	closed    error
	// usual is the durability of what does not say so.
	usual Durability
	// isLent is whether it is a server's, which closes it.
	isLent bool
	// isMember is whether reads may have to wait for other nodes.
	isMember bool
	// report is what opening found; asked for the last time when the store is closed.
	report func() (StoreReport, error)
	hosted hosted
	stays  stays
}

const (
	opOpen  = "open store"
	opGet   = "get"
	opCount = "count"
	opScan  = "scan"
	opWatch = "watch"
)

// OpenStore opens the store in a directory, or makes one there; the directory and what is above it is made if it is
// not there. It reads the log, and waits for that.
//
// ErrState when it is open already, here or in another process; ErrInvalidArgument for an option out of range and for
// a directory of another cluster, node or segment length; ErrUnsupported when a later release wrote it; ErrCorrupt
// when something that was durable is damaged: the detail says where, and what to do; ErrIO.
func OpenStore(path string, options StoreOptions) (*Store, error) {
	if err := options.check(); err != nil {
		return nil, err
	}
	native, bell, err := openNative(path, &options)
	if err != nil {
		return nil, err
	}
	core := newStoreCore(native, bell, options.queueMax())
	core.usual, core.isMember = options.Durability, options.Cluster != nil
	if core.isMember {
		core.usual = options.Cluster.Durability
	}
	if core.usual == DurabilityDefault {
		core.usual = DurabilityLocal
	}
	return newStore(core, options.timeout()), nil
}

func newStoreCore(native *nativeStore, bell bell, queueMax int) *storeCore {
	core := &storeCore{native: native, calls: newStoreQueue(native.queue, bell, queueMax)}
	waits := func(operation string, what int) func() (uint64, error) {
		return func() (uint64, error) {
			core.stays.begin()
			defer core.stays.end()
			return native.wait(operation, what)
		}
	}
	core.report = sync.OnceValues(native.report)
	core.syncs.run = waits("sync", waitSync)
	core.snapshots.run = waits("snapshot", waitSnapshot)
	core.scrubs.run = waits("scrub", waitScrub)
	return core
}

func newStore(core *storeCore, timeout time.Duration) *Store {
	store := &Store{core: core, timeout: timeout}
	store.cleanup = runtime.AddCleanup(store, func(core *storeCore) {
		// Other cleanups do not wait for the disk.
		go core.close()
	}, core)
	return store
}

// Close takes nothing more, writes what was taken, whatever durability it asked for, and frees the directory. Calls
// under way are answered; later ones return ErrClosed. It may be called more than once, and by several goroutines:
// all return when it is closed. ErrIO when the log has failed: then writes in memory may be lost. Of a server's store it
// gives back the handle alone, see Server.Store.
func (s *Store) Close() error {
	if s.core == nil {
		return nil
	}
	s.cleanup.Stop()
	return s.core.close()
}

func (c *storeCore) close() error {
	c.closing.Do(func() {
		c.isClosed.Store(true)
		_, _ = c.report()
		if c.isLent {
			c.letGo()
			return
		}
		c.closed = c.native.close()
		c.hosted.close()
		shut(&c.native.gate)
		c.calls.end()
		c.native.free()
	})
	return c.closed
}

// live gives what there is of a store that OpenStore made.
func (s *Store) live(operation string) (*storeCore, error) {
	if s.core == nil {
		return nil, &Error{Code: CodeNull, Operation: operation, Detail: "OpenStore did not make this store"}
	}
	return s.core, nil
}

// closedNow has an error say that the store is closed where that is what it means.
func (c *storeCore) closedNow(err error) error {
	if err == nil || !c.isClosed.Load() {
		return err
	}
	var is *Error
	// Of a request the same code may say that its number is used up, which it is in an open store too.
	if errors.As(err, &is) && is.Code == CodeState && !strings.Contains(is.Detail, "the request ") {
		return &Error{Code: CodeClosed, Operation: is.Operation, Detail: "the store is closed"}
	}
	return err
}

// Sync waits until all that was written before is on disk, and gives the last sequence of it. When ctx is done first
// it returns ctx.Err(), and that goes on. ErrIO.
func (s *Store) Sync(ctx context.Context) (uint64, error) {
	return s.waitFor(ctx, "sync", func(core *storeCore) *rounds { return &core.syncs })
}

// WaitDurable waits until the log is on this disk up to a sequence, such as that of a write WithDurability(DurabilityMemory),
// and gives the sequence up to which it is. It hurries nobody: such writes come there within StoreOptions.FlushInterval;
// Sync has them come at once. A sequence that is not written yet is waited for. It holds no thread. In a cluster it is
// this node's log: what a primary that was lost has written there may be replaced by others' entries, what was answered
// at DurabilityQuorum is not. When ctx is done first it returns ctx.Err(). ErrIO when the log has failed, ErrCapacity
// when StoreOptions.WaitingMax wait for that.
func (s *Store) WaitDurable(ctx context.Context, sequence uint64) (uint64, error) {
	const name = "wait durable"
	defer runtime.KeepAlive(s)
	core, err := s.live(name)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return 0, err
	}
	reached, err := s.await(ctx, name, s.timeout, func(userData uint64, _ *nativeDone) (bool, error) {
		return false, core.native.submitDurable(name, sequence, userData)
	})
	return reached.Sequence, err
}

// Snapshot has a snapshot written of what is there now, beside everything else, waits for it, and gives its sequence.
// The log lets go of what it stands for. The store does so by itself when the log grows long. When ctx is done first
// it returns ctx.Err(), and that goes on. ErrIO when the disk is full or has failed.
func (s *Store) Snapshot(ctx context.Context) (uint64, error) {
	return s.waitFor(ctx, "snapshot", func(core *storeCore) *rounds { return &core.snapshots })
}

func (s *Store) waitFor(ctx context.Context, operation string, of func(*storeCore) *rounds) (uint64, error) {
	defer runtime.KeepAlive(s)
	core, err := s.live(operation)
	if err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	ctx, cancel := s.within(ctx, operation)
	defer cancel()
	sequence, err := of(core).wait(ctx)
	return sequence, core.closedNow(err)
}

// within is ctx, with the store's timeout if it has no deadline.
func (s *Store) within(ctx context.Context, operation string) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, s.timeout, s.timedOut(operation))
}

// timedOut is what the store's own timeout comes to.
func (s *Store) timedOut(operation string) error {
	return &Error{
		Code:      CodeTimedOut,
		Operation: operation,
		Detail:    "the store's Timeout of " + s.timeout.String() + " is over, and the context has no deadline",
	}
}

// StoreStatus is how a store is.
type StoreStatus struct {
	// Failure is why nothing is taken any more; nil while all is well.
	Failure error
	// Problem is why there is no room for more at present; nil while there is.
	Problem error
	// SnapshotFailure is what the last snapshot failed with; nil if it did not.
	SnapshotFailure error
	Sequence        uint64 // of the last entry of the log
	Durable         uint64 // of the last one on disk
	Applied         uint64 // of the last one that readers see
	Snapshot        uint64 // of the last snapshot; 0: none
	Keys            uint64 // those included that have expired and not been taken out
	MemoryBytes     uint64 // of keys, values and what belongs to them, as MemoryMax bounds them
	DiskBytes       uint64 // of segments and snapshots
	PendingBytes    uint64 // that wait to be on disk

	ScrubPasses   uint64    // over all that lies on disk, that came to their end
	ScrubBytes    uint64    // found good by them
	ScrubFinished time.Time // when the last one ended; zero: none has
	ScrubDamages  uint64    // how often something was found damaged, or could not be read
	ScrubMended   uint64    // how often a snapshot took the place of what was, or opening did without it
	ScrubFailure  error     // what was found last, with file and offset; nil once a later pass has found all good

	// Counts is what was counted since the store was opened.
	Counts StoreCounts
}

// StoreCounts is what a store has counted since it was opened.
type StoreCounts struct {
	Submitted       uint64 // commands taken
	Joined          uint64 // commands that joined the same request on its way
	Refused         uint64 // commands refused at once
	Applied         uint64 // entries of the log that were applied
	Flushes         uint64 // writes to disk, each with a sync
	FlushedBytes    uint64 // of them
	ClockSteps      uint64 // commands for which the clock had gone back, and stood still instead
	Expiries        uint64 // commands that took out what had expired
	Evictions       uint64 // commands that made room
	Snapshots       uint64 // written
	SnapshotsFailed uint64 // that failed
}

// Status tells how the store is.
func (s *Store) Status() (StoreStatus, error) {
	defer runtime.KeepAlive(s)
	core, err := s.live("status")
	if err != nil {
		return StoreStatus{}, err
	}
	status, err := core.native.status()
	return status, core.closedNow(err)
}

// rounds has many wait for one call that holds a thread: whoever comes while it runs waits for the next one, for
// what began before counts for nobody.
type rounds struct {
	run       func() (uint64, error)
	mutex     sync.Mutex
	isRunning bool
	next      *round
}

type round struct {
	over     chan struct{}
	sequence uint64
	err      error
}

func (r *rounds) wait(ctx context.Context) (uint64, error) {
	r.mutex.Lock()
	if r.next == nil {
		r.next = &round{over: make(chan struct{})}
	}
	mine := r.next
	if !r.isRunning {
		r.isRunning = true
		go r.runAll()
	}
	r.mutex.Unlock()
	select {
	case <-mine.over:
		return mine.sequence, mine.err
	case <-ctx.Done():
		return 0, endOf(ctx)
	}
}

func (r *rounds) runAll() {
	for {
		r.mutex.Lock()
		this := r.next
		r.next = nil
		r.isRunning = this != nil
		r.mutex.Unlock()
		if this == nil {
			return
		}
		this.sequence, this.err = r.run()
		close(this.over)
	}
}

// endOf is why a context is done: the store's own timeout, or what the context says.
func endOf(ctx context.Context) error {
	var own *Error
	if cause := context.Cause(ctx); errors.As(cause, &own) && own.Code == CodeTimedOut {
		return cause
	}
	return ctx.Err()
}
