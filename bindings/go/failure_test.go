package trimtab

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestFailureOptionsAtTheirLimits(t *testing.T) {
	for _, test := range []struct {
		name    string
		options PoolOptions
		says    string // empty for what is fine
	}{
		{"panic_threshold", PoolOptions{PanicThreshold: 100, FailOpen: true}, ""},
		{"panic_threshold", PoolOptions{PanicThreshold: 101}, "101 is outside 0 to 100"},
		{"slow_start", PoolOptions{SlowStart: 100 * time.Millisecond, SlowStartAggression: 10, SlowStartMin: 1}, ""},
		{"slow_start", PoolOptions{SlowStart: 99 * time.Millisecond}, "99ms is outside 100ms to 3600s"},
		{"slow_start", PoolOptions{SlowStart: time.Microsecond}, "whole, positive number of milliseconds"},
		{"slow_start_aggression", PoolOptions{SlowStartAggression: 10.5}, "10.5 is outside 0.1 to 10"},
		{"slow_start_min", PoolOptions{SlowStartMin: 1.5}, "1.5 is outside 0.01 to 1"},
		{"maxconn", PoolOptions{Maxconn: MaxconnMax, PendingMax: MaxconnMax}, ""},
		{"maxconn", PoolOptions{Maxconn: MaxconnMax + 1}, "is outside 0 to 1073741824"},
		{"connection_rate", PoolOptions{ConnectionRate: ConnectionRateMax, ConnectionBurst: ConnectionRateMax}, ""},
		{"connection_rate", PoolOptions{ConnectionRate: ConnectionRateMax + 1}, "is outside 0 to 1000000"},
		{"connection_burst", PoolOptions{ConnectionBurst: ConnectionRateMax + 1}, "is outside 0 to 1000000"},
		{"pending_max", PoolOptions{PendingMax: MaxconnMax + 1}, "is outside 0 to 1073741824"},
		{"retry_budget", PoolOptions{RetryBudget: Ptr(0.0), RetryMin: Ptr(uint32(RetriesMax)), RetriesMax: RetriesMax}, ""},
		{"retry_budget", PoolOptions{RetryBudgetOff: true, RetryMin: Ptr(uint32(0))}, ""},
		{"retry_budget", PoolOptions{RetryBudget: Ptr(1.5)}, "1.5 is outside 0 to 1"},
		{"retry_min", PoolOptions{RetryMin: Ptr(uint32(RetriesMax + 1))}, "65537 is outside 0 to 65536"},
		{"retries_max", PoolOptions{RetriesMax: RetriesMax + 1}, "65537 is outside 0 to 65536"},
		{"backups", PoolOptions{Backups: BackupsSpill}, ""},
		{"backups", PoolOptions{Backups: 3}, "3 is none of its constants, 0 to 2"},
		{"outlier", PoolOptions{Outlier: &OutlierOptions{}}, ""},
		{"outlier", PoolOptions{Outlier: &OutlierOptions{
			ConsecutiveErrors: Ptr(uint32(0)), EjectionJitter: Ptr(time.Duration(0)), EjectionPercentMax: Ptr(uint32(0)),
			SuccessRateOff: true, SuccessRateFactor: Ptr(0.0), FailurePercent: 100, FailureHostsMin: 1, FailureRequestsMin: 1,
		}}, ""},
		{"consecutive_errors", PoolOptions{Outlier: &OutlierOptions{ConsecutiveErrors: Ptr(uint32(10_001))}}, "10001 is outside 1 to 10000"},
		{"interval", PoolOptions{Outlier: &OutlierOptions{Interval: 99 * time.Millisecond}}, "99ms is outside"},
		{"ejection_time", PoolOptions{Outlier: &OutlierOptions{EjectionTime: 25 * time.Hour}}, "90000s is outside"},
		{"ejection_time_max", PoolOptions{Outlier: &OutlierOptions{EjectionTimeMax: time.Second}}, "1s is outside 30s"},
		{"ejection_jitter", PoolOptions{Outlier: &OutlierOptions{EjectionJitter: Ptr(2 * time.Hour)}}, "7200s is outside"},
		{"ejection_percent_max", PoolOptions{Outlier: &OutlierOptions{EjectionPercentMax: Ptr(uint32(101))}}, "101 is outside 0 to 100"},
		{"success_rate.factor", PoolOptions{Outlier: &OutlierOptions{SuccessRateFactor: Ptr(10.5)}}, "10.5 is outside 0 to 10"},
		{"success_rate.hosts_min", PoolOptions{Outlier: &OutlierOptions{SuccessRateHostsMin: 1}}, "1 is outside 2 to 65536"},
		{"failure_percentage.percent", PoolOptions{Outlier: &OutlierOptions{FailurePercent: 101}}, "101 is outside 1 to 100"},
		{"adaptive", PoolOptions{Adaptive: &AdaptiveOptions{Scope: ScopePool, RTTJitter: Ptr(0.0), RTTBuffer: Ptr(0.0), RTTPins: Ptr(false)}}, ""},
		{"adaptive.scope", PoolOptions{Adaptive: &AdaptiveOptions{Scope: 2}}, "2 is none of its constants, 0 to 1"},
		{"adaptive.max", PoolOptions{Adaptive: &AdaptiveOptions{Max: 2}}, "2 is outside 3 to 1000000"},
		{"adaptive.window", PoolOptions{Adaptive: &AdaptiveOptions{Window: 9 * time.Millisecond}}, "9ms is outside 10ms to 60s"},
		{"adaptive.percentile", PoolOptions{Adaptive: &AdaptiveOptions{Percentile: 1.5}}, "1.5 is outside 0.01 to 1"},
		{"adaptive.rtt_interval", PoolOptions{Adaptive: &AdaptiveOptions{RTTInterval: time.Millisecond}}, "1ms is outside 1s"},
		{"adaptive.rtt_jitter", PoolOptions{Adaptive: &AdaptiveOptions{RTTJitter: Ptr(1.5)}}, "1.5 is outside 0 to 1"},
		{"adaptive.rtt_requests", PoolOptions{Adaptive: &AdaptiveOptions{RTTRequests: 1_000_001}}, "1000001 is outside 1 to 1000000"},
		{"adaptive.rtt_buffer", PoolOptions{Adaptive: &AdaptiveOptions{RTTBuffer: Ptr(10.5)}}, "10.5 is outside 0 to 10"},
	} {
		pool, err := NewPool(test.options)
		if err == nil {
			pool.Close()
		}
		switch {
		case test.says == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.says != "" && !errors.Is(err, ErrInvalidArgument):
			t.Errorf("%s, which %s: %v", test.name, test.says, err)
		case test.says != "" && (!strings.Contains(err.Error(), test.name) || !strings.Contains(err.Error(), test.says)):
			t.Errorf("%s, which %s: %v", test.name, test.says, err)
		}
	}
}

// observed is a pool whose events come to a channel.
func observed(t *testing.T, options PoolOptions) (*Pool, <-chan PoolEvent) {
	t.Helper()
	told := make(chan PoolEvent, 100)
	options.OnEvent = func(event PoolEvent) { told <- event }
	options.Seed = Ptr(uint64(0))
	pool, err := NewPool(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	return pool, told
}

// await is the next event of the kind.
func await(t *testing.T, told <-chan PoolEvent, kind EventKind) PoolEvent {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case event := <-told:
			if event.Kind == kind {
				return event
			}
		case <-deadline:
			t.Fatalf("no event %d", kind)
		}
	}
}

func TestOutcomesEjectAndTimeTakesBack(t *testing.T) {
	pool, told := observed(t, PoolOptions{
		PanicThreshold: 60,
		Outlier: &OutlierOptions{
			ConsecutiveErrors: Ptr(uint32(3)), EjectionTime: time.Second, EjectionJitter: Ptr(time.Duration(0)),
		},
	})
	ids, err := pool.AddAll([]Backend{{Address: "10.0.0.1:80"}, {Address: "10.0.0.2:80", Name: "second"}})
	if err != nil {
		t.Fatal(err)
	}
	now := Instant(100 * time.Second)
	for range 6 {
		pick, err := pool.PickAt(now, nil)
		if err != nil {
			t.Fatal(err)
		}
		outcome := Success
		if pick.Backend == ids[1] {
			outcome = TimedOut
		}
		if err := pool.DoneAt(now, pick, outcome, Timings{}); err != nil {
			t.Fatal(err)
		}
		now = now.Add(10 * time.Millisecond)
	}
	if event := await(t, told, EventBackendAdded); event.Backend != ids[0] || event.Name != "10.0.0.1:80" {
		t.Errorf("%+v", event)
	}
	ejected := await(t, told, EventBackendObserved)
	if ejected.Backend != ids[1] || ejected.Name != "second" || ObservedState(ejected.Number) != ObservedEjected {
		t.Errorf("%+v", ejected)
	}
	backend, err := pool.Backend(ids[1])
	if err != nil || backend.Reason == "" || backend.Reason != ejected.Reason || backend.ObservedSince >= now {
		t.Errorf("%+v after %+v: %v", backend, ejected, err)
	}
	if event := await(t, told, EventPanicBegan); event.Number != 0 || event.Backend != 0 {
		t.Errorf("%+v", event)
	}
	explained, err := pool.ExplainAt(nil, now)
	if err != nil || !explained.Panic || len(explained.Tiers) != 1 || !explained.Tiers[0].Panic || explained.Backends[1].Reason != backend.Reason {
		t.Errorf("%+v, %v", explained, err)
	}
	statistics, err := pool.Statistics()
	if err != nil || statistics.Ejected != 1 || statistics.Ejections != 1 || !statistics.Panic {
		t.Errorf("%+v, %v", statistics, err)
	}
	if deadline, is, err := pool.NextDeadline(); err != nil || !is || deadline > now.Add(2*time.Second) {
		t.Errorf("%v %v %v", deadline, is, err)
	}
	if err := pool.HandleTimeout(now.Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if event := await(t, told, EventBackendObserved); ObservedState(event.Number) != ObservedUnknown {
		t.Errorf("%+v", event)
	}
	await(t, told, EventPanicEnded)

	if err := pool.SetObservedWith(ids[0], ObservedDown, "we say so", now.Add(3*time.Second)); err != nil {
		t.Fatal(err)
	}
	backend, err = pool.Backend(ids[0])
	if err != nil || backend.Reason != "we say so" || backend.ObservedSince != now.Add(3*time.Second) || backend.Observed != ObservedDown {
		t.Errorf("%+v, %v", backend, err)
	}
	if err := pool.SetObservedWith(99, ObservedUp, "", 0); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestRetriesStayWithinTheirBudget(t *testing.T) {
	pool, err := NewPool(PoolOptions{RetryMin: Ptr(uint32(1))})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if may, err := pool.MayRetry(0); err != nil || !may {
		t.Fatal(may, err)
	}
	retry, err := pool.RetryBegin(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.RetryBegin(0); !errors.Is(err, ErrCapacity) || !strings.Contains(err.Error(), "retry_budget") {
		t.Error(err)
	}
	if may, err := pool.MayRetry(0); err != nil || may {
		t.Error(may, err)
	}
	if statistics, _ := pool.Statistics(); statistics.Retries != 1 || statistics.RetriesRefused != 1 {
		t.Errorf("%+v", statistics)
	}
	if err := pool.RetryEnd(retry); err != nil {
		t.Error(err)
	}
	if err := pool.RetryEnd(retry); !errors.Is(err, ErrStalePick) {
		t.Error(err)
	}
}

func TestWhoWaitsIsToldOfRoom(t *testing.T) {
	pool, told := observed(t, PoolOptions{Maxconn: 1, PendingMax: 1})
	id, err := pool.Add(Backend{Address: "10.0.0.1:80", ConnectionRate: 1000, ConnectionBurst: 10})
	if err != nil {
		t.Fatal(err)
	}
	pick, err := pool.Pick(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := pool.Unwant(); !errors.Is(err, ErrState) {
		t.Error(err)
	}
	if err := pool.TryWant(); err != nil {
		t.Fatal(err)
	}
	if err := pool.TryWant(); !errors.Is(err, ErrCapacity) {
		t.Error(err)
	}
	if statistics, _ := pool.Statistics(); statistics.Pending != 1 || statistics.Limit != 1 {
		t.Errorf("%+v", statistics)
	}
	if err := pool.Done(pick, Success, Timings{}); err != nil {
		t.Fatal(err)
	}
	await(t, told, EventRoom)
	if err := pool.Unwant(); err != nil {
		t.Error(err)
	}
	if err := pool.SetConnectionRate(id, 1, 2); err != nil {
		t.Error(err)
	}
	if backend, _ := pool.Backend(id); backend.ConnectionRate != 1 || backend.ConnectionBurst != 2 || backend.SlowStart != 1 {
		t.Errorf("%+v", backend)
	}
	if err := pool.SetConnectionRate(id, ConnectionRateMax+1, 0); !errors.Is(err, ErrInvalidArgument) {
		t.Error(err)
	}
}

// OnEvent may close the pool it is told of, and is not called any more after Close.
func TestOnEventMayCloseThePool(t *testing.T) {
	closed := make(chan error, 1)
	calls := 0
	var pool *Pool
	ready := make(chan struct{})
	pool, err := NewPool(PoolOptions{OnEvent: func(PoolEvent) {
		<-ready
		calls++
		closed <- pool.Close()
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.AddAll([]Backend{{Address: "10.0.0.1:80"}, {Address: "10.0.0.2:80"}}); err != nil {
		t.Fatal(err)
	}
	close(ready)
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Close within OnEvent did not return")
	}
	pool.Close()
	if calls != 1 {
		t.Errorf("called %d times, after Close too", calls)
	}
	if _, err := pool.Pick(nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}
