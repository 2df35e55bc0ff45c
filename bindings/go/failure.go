package trimtab

import (
	"fmt"
	"strings"
	"time"
)

// OutlierOptions is when a backend that fails more than others is ejected, and for how long. The zero value of
// a field means its default.
type OutlierOptions struct {
	// ConsecutiveErrors is how many errors in a row eject: 1 to 10,000; Ptr of 0 for any number. Default 5.
	ConsecutiveErrors *uint32
	// Interval is how often rates are compared: 100 ms to 1 h. Default 10 s.
	Interval time.Duration
	// EjectionTime is how long the first ejection lasts: 100 ms to 24 h. Default 30 s. The next in a row lasts
	// twice as long, and so on.
	EjectionTime time.Duration
	// EjectionTimeMax is how long one lasts at most: EjectionTime to 24 h. Default 300 s.
	EjectionTimeMax time.Duration
	// EjectionJitter is how much longer one may last, at random: 0 to 1 h. Default 1 s.
	EjectionJitter *time.Duration
	// EjectionPercentMax is how many of the backends may be ejected, in percent: 0 (never one) to 100. One may
	// be from 1 on. Default 10.
	EjectionPercentMax *uint32
	// SuccessRateOff leaves success rates uncompared.
	SuccessRateOff bool
	// SuccessRateFactor is how many standard deviations below the mean are too many: 0 to 10. Default 1.9.
	SuccessRateFactor *float64
	// SuccessRateHostsMin is how many backends must have had enough outcomes: 2 to 65,536. Default 5.
	SuccessRateHostsMin uint32
	// SuccessRateRequestsMin is how many outcomes in an interval are enough. Default 100.
	SuccessRateRequestsMin uint32
	// FailurePercent is which share of failures in an interval is too much: 1 to 100. Default off.
	FailurePercent uint32
	// FailureHostsMin is how many backends must have had enough outcomes: 1 to 65,536. Default 5.
	FailureHostsMin uint32
	// FailureRequestsMin is how many outcomes in an interval are enough. Default 50.
	FailureRequestsMin uint32
}

// Scope is whose picks an adaptive limit is for. The zero value is each backend's.
type Scope int32

const (
	// ScopeBackend: each backend has a limit of its own.
	ScopeBackend Scope = 0
	// ScopePool: the pool has one.
	ScopePool Scope = 1
)

// AdaptiveOptions is how the most picks in flight are found by response times. The zero value of a field means
// its default.
type AdaptiveOptions struct {
	// Scope is whose picks are limited. Default ScopeBackend.
	Scope Scope
	// Min is the least the limit is, and where it starts: 1 to 1,000,000 picks. Default 3.
	Min uint32
	// Max is the most it is: Min to 1,000,000 picks. Default 1000.
	Max uint32
	// Window is how often it is set anew: 10 ms to 60 s. Default 100 ms.
	Window time.Duration
	// Percentile is which of a window's response times stands for them: 0.01 to 1. Default 0.5.
	Percentile float64
	// RTTInterval is how often the response time of a backend that is hardly used is measured: 1 s to 24 h.
	// Default 60 s.
	RTTInterval time.Duration
	// RTTJitter is how much later than that it may be, at random: 0 to 1. Default 0.15.
	RTTJitter *float64
	// RTTRequests is how many response times that takes: 1 to 1,000,000. Default 50.
	RTTRequests uint32
	// RTTBuffer is how much slower than that is no reason for a lower limit: 0 to 10. Default 0.25.
	RTTBuffer *float64
	// RTTPins is whether the limit is Min meanwhile. Default true.
	RTTPins *bool
}

// Retry names one retry in flight of one pool; good for one RetryEnd.
type Retry uint64

// PoolEvent is something that happened in a pool. A text is empty where there is nothing to say.
type PoolEvent struct {
	// Kind is what happened. Later releases have more of them.
	Kind EventKind
	// Backend is the backend that it happened to, 0 where it is none.
	Backend BackendID
	// Name is that backend's name.
	Name string
	// Number is what there is now, as the kind tells.
	Number uint64
	// Reason is why, in one line, when that was said.
	Reason string
}

// String is the event in one line: its number and key=value facts.
func (e PoolEvent) String() string {
	var line strings.Builder
	fmt.Fprintf(&line, "event=%d", e.Kind)
	if e.Name != "" {
		fmt.Fprintf(&line, " backend=%s", e.Name)
	}
	fmt.Fprintf(&line, " number=%d", e.Number)
	if e.Reason != "" {
		fmt.Fprintf(&line, " reason=%q", e.Reason)
	}
	return line.String()
}

// SetConnectionRate changes the most picks a second, and how many may come at once: up to 1,000,000, 0 for no
// limit and for one second's. Another rate than before begins with all that may come at once.
func (p *Pool) SetConnectionRate(id BackendID, rate, burst uint32) error {
	return p.native.setConnectionRate(id, rate, burst)
}

// SetObservedWith takes note of what was observed, why and when: the program's own verdict. Of reason one line
// of 200 bytes is kept. 0 means now.
func (p *Pool) SetObservedWith(id BackendID, state ObservedState, reason string, now Instant) error {
	return p.native.setObservedWith(id, state, reason, now)
}

// RetryBegin begins a retry: another pick, or another try at a connection, for what failed. It is in flight
// until it is given to RetryEnd, and so many may be as the retry budget has. 0 means now. An ErrCapacity
// names the limit: do not try again then.
func (p *Pool) RetryBegin(now Instant) (Retry, error) {
	return p.native.retryBegin(now)
}

// RetryEnd ends a retry, however it went. ErrStalePick when it ended before or is none of this pool's.
func (p *Pool) RetryEnd(retry Retry) error {
	return p.native.retryEnd(retry)
}

// MayRetry tells whether RetryBegin would find room in the budget now. Nothing is taken. 0 means now.
func (p *Pool) MayRetry(now Instant) (bool, error) {
	return p.native.mayRetry(now)
}

// TryWant says that one more waits for a place below a limit: it counts for the retry budget, and EventRoom is
// told when one may have come free. Pick once more after this. ErrCapacity when PendingMax wait already.
func (p *Pool) TryWant() error {
	return p.native.want(false)
}

// Unwant says that one less waits. ErrState when nobody does.
func (p *Pool) Unwant() error {
	return p.native.want(true)
}

// durations are those of a pool's options, checked to be whole milliseconds.
type durations struct {
	err error
}

func (d *durations) of(option string, value time.Duration) uint64 {
	count, err := milliseconds(option, value)
	if d.err == nil {
		d.err = err
	}
	return count
}
