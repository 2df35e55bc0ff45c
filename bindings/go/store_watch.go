package trimtab

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Watch follows the keys of a range from a sequence on, in order and without a gap. It holds a position and
// descriptors: a slow one delays nobody, and is told with an ErrCompacted when what it has not seen is not kept any
// more. It waits in Go's own poller, so no thread waits with it. Store.Watch makes one.
//
// One goroutine at a time calls Next or ranges over Changes; any may Close it meanwhile.
type Watch struct {
	store    *Store
	file     *os.File
	isClosed atomic.Bool
	cleanup  runtime.Cleanup

	// mutex is held by who is in Next.
	mutex  sync.Mutex
	native nativeWatch
	at     int
	// next is where to watch on from, of the changes told of this batch.
	next uint64
	last error
}

// ChangeKind is what happened to a key.
type ChangeKind int32

const (
	// ChangePut: a value was put.
	ChangePut ChangeKind = 1
	// ChangeIncremented: a number was added to.
	ChangeIncremented ChangeKind = 2
	// ChangeAppended: a value was appended to.
	ChangeAppended ChangeKind = 3
	// ChangeLifetimeSet: the lifetime was changed, the value not.
	ChangeLifetimeSet ChangeKind = 4
	// ChangeDeleted: the key was deleted.
	ChangeDeleted ChangeKind = 5
	// ChangeExpired: the key, or its lease, has expired.
	ChangeExpired ChangeKind = 6
	// ChangeEvicted: the key was taken out to make room.
	ChangeEvicted ChangeKind = 7
	// ChangeRevoked: the lease of the key was revoked.
	ChangeRevoked ChangeKind = 8

	// A CompactedError tells of it.
	changeCompacted ChangeKind = 0
)

// String gives the kind's name.
func (k ChangeKind) String() string {
	switch k {
	case ChangePut:
		return "put"
	case ChangeIncremented:
		return "incremented"
	case ChangeAppended:
		return "appended"
	case ChangeLifetimeSet:
		return "lifetime-set"
	case ChangeDeleted:
		return "deleted"
	case ChangeExpired:
		return "expired"
	case ChangeEvicted:
		return "evicted"
	case ChangeRevoked:
		return "revoked"
	}
	return fmt.Sprintf("change %d", int32(k))
}

// Change is one change of one key.
type Change struct {
	// Kind is what happened. Later releases may have more of them.
	Kind ChangeKind
	Key  []byte
	// Value is what the key has then; nil if it is gone.
	Value []byte
	// Sequence is where in the log it is: the version the key has then. Changes of one command have the same.
	Sequence uint64
	// Created is the sequence that created the key.
	Created uint64
	// More is whether the next change is of the same command, and seen together with this one.
	More bool
}

// ErrCompacted is matched by the error of a Watch when what comes next is not kept any more.
var ErrCompacted = errors.New("trimtab: what comes next is not kept any more")

// CompactedError tells that what comes next is not kept any more. The watch stays where it is, and says so again: close
// it, read the range in a Scan, and watch from behind Scan.Sequence.
type CompactedError struct {
	// First is the first sequence that can still be watched from.
	First uint64
}

// Error is one line.
func (e *CompactedError) Error() string {
	return fmt.Sprintf("%v; the first sequence to watch from is %d: read the range in a Scan, and watch on from behind its Sequence",
		ErrCompacted, e.First)
}

// Is has errors.Is match ErrCompacted.
func (e *CompactedError) Is(target error) bool {
	return target == ErrCompacted
}

// Watch begins to follow a range. The change at the sequence from is the first it tells; 0: what comes from now on. It
// goes on over restarts, as far as the log reaches. Beyond the one that comes next it is of writes that a crash took, and the
// watch is compacted at once; a replica may be behind, and waits for it. Close it. ErrIO when there is no descriptor.
func (s *Store) Watch(ctx context.Context, keys KeyRange, from uint64) (*Watch, error) {
	defer runtime.KeepAlive(s)
	core, err := s.reads(ctx, opWatch)
	if err != nil {
		return nil, err
	}
	native, file, err := core.native.watch(keys, from)
	if err != nil {
		return nil, core.closedNow(err)
	}
	watch := &Watch{store: s, file: file, native: native}
	// The file closes itself when it is dropped.
	watch.cleanup = runtime.AddCleanup(watch, nativeWatch.free, native)
	return watch, nil
}

// Next gives the next change, and waits for it. When ctx is done first it returns ctx.Err(), and nothing is missed:
// the next call goes on. A CompactedError when what comes next is not kept; ErrClosed after Close of the watch or the
// store; ErrState while another goroutine is in it.
func (w *Watch) Next(ctx context.Context) (Change, error) {
	if !w.mutex.TryLock() {
		return Change{}, &Error{
			Code:      CodeState,
			Operation: opWatch,
			Detail:    "another goroutine waits for the next change already; each takes a watch of its own",
		}
	}
	defer w.mutex.Unlock()
	if err := w.fill(ctx); err != nil {
		return Change{}, err
	}
	change := w.native.batch.change(w.at)
	w.at++
	if change.Kind == changeCompacted {
		w.next = w.native.batch.sequence()
		return Change{}, &CompactedError{First: change.Sequence}
	}
	w.next = change.Sequence
	if !change.More {
		w.next++
	}
	return change, nil
}

// Changes gives one change after the other, until the loop is left or there is an error, which is the last that it
// gives: those of Next. The watch is not closed.
func (w *Watch) Changes(ctx context.Context) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		for {
			change, err := w.Next(ctx)
			if !yield(change, err) || err != nil {
				return
			}
		}
	}
}

// Sequence is where to watch on from later: everything before it was told. Amidst the changes of one command it is
// that command's, so that none is missed. ErrState while another goroutine is in Next; ErrClosed after Close.
func (w *Watch) Sequence() (uint64, error) {
	if !w.mutex.TryLock() {
		return 0, &Error{Code: CodeState, Operation: opWatch, Detail: "another goroutine waits for the next change"}
	}
	defer w.mutex.Unlock()
	switch {
	case w.isClosed.Load():
		return 0, w.closed()
	case w.at < w.native.batch.count():
		return w.next, nil
	}
	sequence, err := w.native.sequence()
	return sequence, w.store.core.closedNow(err)
}

// Close ends the watch, and whoever is in Next gets ErrClosed. It always returns nil, and may be called more than once.
func (w *Watch) Close() error {
	if w.isClosed.CompareAndSwap(false, true) {
		// Has Next come out.
		w.file.Close()
		w.mutex.Lock()
		defer w.mutex.Unlock()
		w.cleanup.Stop()
		w.native.free()
	}
	return nil
}

func (w *Watch) closed() error {
	return &Error{Code: CodeClosed, Operation: opWatch, Detail: "the watch is closed"}
}

// fill waits until there is a change to tell.
func (w *Watch) fill(ctx context.Context) error {
	if w.isClosed.Load() {
		return w.closed()
	}
	if w.at < w.native.batch.count() {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.take(0) {
		return w.last
	}
	if err := w.wait(ctx); err != nil {
		return err
	}
	return w.last
}

// take takes what there is; true when that is something, be it an error.
func (w *Watch) take(uintptr) bool {
	w.at = 0
	w.last = w.store.core.closedNow(w.native.next())
	w.next = w.native.batch.sequence()
	return w.last != nil || w.native.batch.count() > 0
}

// wait has take look whenever the descriptor is readable.
func (w *Watch) wait(ctx context.Context) error {
	if err := w.file.SetReadDeadline(time.Time{}); err != nil {
		return w.noWait(err)
	}
	cancelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		w.file.SetReadDeadline(time.Unix(0, 1))
		close(cancelled)
	})
	conn, err := w.file.SyscallConn()
	if err == nil {
		err = conn.Read(w.take)
	}
	if !stop() {
		// So that it does not cut the next wait short.
		<-cancelled
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ctx.Err()
	}
	return w.noWait(err)
}

func (w *Watch) noWait(err error) error {
	if w.isClosed.Load() {
		return w.closed()
	}
	return &Error{Code: CodeIO, Operation: opWatch, Detail: "wait for the watch's descriptor: " + err.Error()}
}
