package trimtab

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"time"
)

const (
	opReadLease = "read lease"
	opKeepAlive = "keep alive"
)

// LeaseID is a lease's number, chosen by who begins it; not 0.
type LeaseID uint64

// NewLeaseID draws one.
func NewLeaseID() LeaseID {
	for {
		var id [8]byte
		// It never fails; the program ends if the system cannot.
		rand.Read(id[:])
		if drawn := binary.NativeEndian.Uint64(id[:]); drawn != 0 {
			return LeaseID(drawn)
		}
	}
}

// LeaseState is a lease that is alive.
type LeaseState struct {
	TTL      time.Duration // how long it lives without a keep-alive
	Deadline time.Time     // when it ends without one
}

// leaseStateOf has the longest Duration there is where a lease lives longer.
func leaseStateOf(ttlMS, deadlineMS uint64) LeaseState {
	ttl := time.Duration(math.MaxInt64)
	if ttlMS <= uint64(math.MaxInt64/time.Millisecond) {
		ttl = time.Duration(ttlMS) * time.Millisecond
	}
	return LeaseState{TTL: ttl, Deadline: momentOf(deadlineMS)}
}

// LeaseGrant begins a lease that lives for ttl without a keep-alive, counted in whole milliseconds, rounded up: 1 ms
// to 2^48 ms. Keys put WithLease go when it ends. Deadline of the result tells when that is. A number that is 0 or
// alive is ErrInvalidArgument. Takes WithDurability and WithRequest, as the other calls on leases.
func (s *Store) LeaseGrant(ctx context.Context, lease LeaseID, ttl time.Duration, options ...CallOption) (Result, error) {
	return s.Execute(ctx, OpLeaseGrant(lease, ttl), options...)
}

// LeaseKeepAlive prolongs a lease to its whole time from now; Deadline of the result tells until when. ErrNotFound
// when it has ended.
func (s *Store) LeaseKeepAlive(ctx context.Context, lease LeaseID, options ...CallOption) (Result, error) {
	return s.Execute(ctx, OpLeaseKeepAlive(lease), options...)
}

// LeaseRevoke ends a lease and deletes its keys; Count of the result tells how many. ErrNotFound when it has ended.
func (s *Store) LeaseRevoke(ctx context.Context, lease LeaseID, options ...CallOption) (Result, error) {
	return s.Execute(ctx, OpLeaseRevoke(lease), options...)
}

// Lease tells of a lease; ErrNotFound when it is not alive. It waits in a cluster alone, and takes what Get does; it is of this node in
// any case, as what Scan gives.
func (s *Store) Lease(ctx context.Context, lease LeaseID, options ...CallOption) (LeaseState, error) {
	defer runtime.KeepAlive(s)
	core, err := s.reads(ctx, opReadLease)
	if err != nil {
		return LeaseState{}, err
	}
	fresh, err := readOptions(opReadLease, options)
	if err != nil {
		return LeaseState{}, err
	}
	if !core.mayWait(fresh) {
		state, err := core.native.lease(lease)
		return state, core.closedNow(err)
	}
	state, isFresh, err := core.native.leaseAt(lease, fresh)
	if err == nil && !isFresh {
		if _, err = s.readAwaited(ctx, opReadLease, awaited{what: awaitFresh}, fresh); err == nil {
			state, _, err = core.native.leaseAt(lease, fresh.here())
		}
	}
	return state, core.closedNow(err)
}

// KeepAlive keeps a lease alive until ctx is done, and returns ctx.Err() then; run it on a goroutine of its own. It
// prolongs the lease at once, and whenever a third of its time is over. Before that it returns when there is no more
// to keep: ErrNotFound when the lease has ended, ErrClosed, or, once the lease's time is over without a keep-alive that was
// answered, what the last one failed with: ErrTimedOut when it was not answered. The lease is not revoked.
//
// Takes WithDurability and WithNodes. WithRequest is ErrInvalidArgument: each keep-alive is a request of its own.
func (s *Store) KeepAlive(ctx context.Context, lease LeaseID, options ...CallOption) error {
	call, err := ofCall(opKeepAlive, options)
	if err != nil {
		return err
	}
	if call.hasRequest {
		return &Error{
			Code:      CodeInvalidArgument,
			Operation: opKeepAlive,
			Detail:    "invalid option: WithRequest names one keep-alive, and these are many; the second would not be done",
		}
	}
	state, err := s.Lease(ctx, lease)
	if err != nil {
		return err
	}
	keeper := keeper{ttl: state.TTL}
	keeper.found(time.Now(), state.Deadline)
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next.C:
		}
		asked := time.Now()
		if keeper.begins(asked) {
			return keeper.why
		}
		_, err := s.keepAliveUntil(ctx, keeper.until, lease, options)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrNotFound), errors.Is(err, ErrClosed):
			return err
		}
		wait, isOver := keeper.told(asked, time.Now(), err)
		if isOver {
			return err
		}
		next.Reset(wait)
	}
}

// keepAliveUntil is LeaseKeepAlive for as long as the lease lives.
func (s *Store) keepAliveUntil(ctx context.Context, until time.Time, lease LeaseID, options []CallOption) (Result, error) {
	ctx, cancel := context.WithDeadlineCause(ctx, until, &Error{
		Code:      CodeTimedOut,
		Operation: opKeepAlive,
		Detail:    "the lease's time is over, and no keep-alive was answered within it",
	})
	defer cancel()
	return s.LeaseKeepAlive(ctx, lease, options...)
}

// keeper is when a lease is to be prolonged, and until when it surely lives. It counts by this machine's clock alone.
type keeper struct {
	ttl   time.Duration
	until time.Time
	// why is what the last keep-alive failed with; nil while it did not.
	why error
}

// found is for a lease that was alive at now. Its deadline is by another clock: one that cannot be is not believed.
func (k *keeper) found(now, deadline time.Time) {
	k.until = now.Add(k.ttl)
	if deadline.After(now) && deadline.Before(k.until) {
		k.until = deadline
	}
}

// begins is for a keep-alive that is about to be asked for: whether it is too late for that, and why is why.
func (k *keeper) begins(now time.Time) bool {
	isLate := !now.Before(k.until)
	if isLate && k.why == nil {
		// This machine was late, not the store, which says whether the lease still lives.
		k.until = now.Add(k.ttl / 3)
		return false
	}
	return isLate
}

// told is for what came at now of a keep-alive that was asked for at asked: when the next one is due, or that there is no more to
// keep.
func (k *keeper) told(asked, now time.Time, err error) (time.Duration, bool) {
	k.why = err
	if err == nil {
		// Its whole time began when it was prolonged, which was later.
		k.until = asked.Add(k.ttl)
		return k.ttl / 3, false
	}
	// A full disk has room again, one that hung goes on; but no longer than it lives.
	return min(max(k.ttl/10, time.Millisecond), max(k.until.Sub(now), 0)), !now.Before(k.until)
}
