package trimtab

import (
	"net/netip"
	"strings"
	"time"
)

// Pick is the answer to "which backend?". It counts as in flight there until it is given to Pool.Done.
type Pick struct {
	// Backend is who was picked.
	Backend BackendID
	// Address is where it listens; the zero value when that is a unix socket, see AddressString.
	Address netip.AddrPort
	// Tag is the owner's own number for the backend.
	Tag uint64
	// Token names this one pick; good for one Done.
	Token uint64

	pool *Pool
}

// Network is what net.Dial wants as its network: "tcp", or "unix" for a unix socket.
func (p Pick) Network() string {
	if p.Address.IsValid() {
		return "tcp"
	}
	return "unix"
}

// AddressString is what net.Dial wants as its address: "10.0.0.1:80", or the path of a unix socket. The
// path is asked of the pool, and is empty when the backend was removed since, or the pool closed.
func (p Pick) AddressString() string {
	if p.Address.IsValid() {
		return p.Address.String()
	}
	if p.pool == nil {
		return ""
	}
	address, err := p.pool.native.address(p.Backend)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(address, "unix:")
}

// Outcome is how a pick went.
type Outcome int32

const (
	// Success: the backend answered.
	Success Outcome = 0
	// ConnectFailed: it could not be reached.
	ConnectFailed Outcome = 1
	// Failed: it answered with an error, or broke off.
	Failed Outcome = 2
	// TimedOut: it did not answer in time.
	TimedOut Outcome = 3
	// Cancelled: the client left, which says nothing about the backend.
	Cancelled Outcome = 4
)

// Timings is how long a pick took, from when it began. Zero means not measured: nothing takes no time at
// all. The response time that policies use is the first of FirstByte, Total and Connect that was
// measured. A negative time is refused, and the pick is then still in flight.
type Timings struct {
	Connect   time.Duration // until the connection stood
	FirstByte time.Duration // until the first byte of the answer
	Total     time.Duration // until the last
}

// Instant is a time of the clock that trimtab reads: nanoseconds of CLOCK_MONOTONIC, which is not the wall
// clock. The zero value asks trimtab to read the clock itself. A caller with a clock of its own (a
// simulation) gives its times from 1 up, and uses one clock for a whole pool.
type Instant uint64

// Now reads the clock.
func Now() Instant {
	return now()
}

// Add gives the instant so much later.
func (i Instant) Add(d time.Duration) Instant {
	return i + Instant(d)
}

// Sub gives the time from other to i.
func (i Instant) Sub(other Instant) time.Duration {
	return time.Duration(i - other)
}
