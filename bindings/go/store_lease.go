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

const opReadLease = "read lease"

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

// Lease tells of a lease; ErrNotFound when it is not alive. It waits in a cluster alone, as Get does.
func (s *Store) Lease(ctx context.Context, lease LeaseID) (LeaseState, error) {
	defer runtime.KeepAlive(s)
	core, err := s.reads(ctx, opReadLease)
	if err != nil {
		return LeaseState{}, err
	}
	if core.isMember {
		return waiting(ctx, core, func(timeoutMS int64) (LeaseState, error) { return core.native.leaseAt(lease, timeoutMS) })
	}
	state, err := core.native.lease(lease)
	return state, core.closedNow(err)
}

// KeepAlive keeps a lease alive until ctx is done, and returns ctx.Err() then; run it on a goroutine of its own. It
// prolongs the lease at once, and whenever a third of its time is over. Before that it returns when there is no more
// to keep: ErrNotFound when the lease has ended, ErrClosed, or, when prolonging fails for as long as the lease lives,
// what it failed with. The lease is not revoked.
func (s *Store) KeepAlive(ctx context.Context, lease LeaseID, options ...CallOption) error {
	state, err := s.Lease(ctx, lease)
	if err != nil {
		return err
	}
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next.C:
		}
		prolonged, err := s.LeaseKeepAlive(ctx, lease, options...)
		switch {
		case err == nil:
			state.Deadline = prolonged.Deadline
			next.Reset(state.TTL / 3)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrNotFound), errors.Is(err, ErrClosed), !time.Now().Before(state.Deadline):
			return err
		default:
			// A full disk has room again, one that hung goes on.
			next.Reset(max(state.TTL/10, time.Millisecond))
		}
	}
}
