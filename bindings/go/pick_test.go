package trimtab

import (
	"fmt"
	"math"
	"net"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestAddresses(t *testing.T) {
	for given, want := range map[string][2]string{
		"10.0.0.1:80":          {"tcp", "10.0.0.1:80"},
		"[2001:db8::1]:65535":  {"tcp", "[2001:db8::1]:65535"},
		"[fe80::1%3]:80":       {"tcp", "[fe80::1%3]:80"},
		"[::ffff:10.0.0.1]:80": {"tcp", "[::ffff:10.0.0.1]:80"},
		"unix:/run/app.sock":   {"unix", "/run/app.sock"},
		"unix:@app":            {"unix", "@app"},
	} {
		pool, ids := newPool(t, PoolOptions{}, Backend{Address: given})
		pick := mustPick(t, pool, "")
		if got := [2]string{pick.Network(), pick.AddressString()}; got != want {
			t.Errorf("%s: %v", given, got)
		}
		if pick.Address.IsValid() != (want[0] == "tcp") || pick.Address.IsValid() && pick.Address.String() != want[1] {
			t.Errorf("%s: %v", given, pick.Address)
		}
		if err := pool.Remove(ids[0]); err != nil {
			t.Fatal(err)
		}
		if got := pick.AddressString(); (got == "") != (want[0] == "unix") {
			t.Errorf("%s: after removal %q", given, got)
		}
	}
	if (Pick{}).AddressString() != "" {
		t.Error("the zero pick has an address")
	}
}

func TestDialUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	pool, _ := newPool(t, PoolOptions{}, Backend{Address: "unix:" + path})
	pick := mustPick(t, pool, "")
	conn, err := net.Dial(pick.Network(), pick.AddressString())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestKeysOfAllLengths(t *testing.T) {
	pool, _ := newPool(t, PoolOptions{Policy: Hash}, manyBackends(10)...)
	if mustPick(t, pool, "").Backend != mustPick(t, pool, "").Backend {
		t.Error("the empty key moves")
	}
	long := make([]byte, KeyMax+1)
	pick, err := pool.Pick(long[:KeyMax])
	if err != nil {
		t.Fatal(err)
	}
	mustDone(t, pool, pick, Success, Timings{})
	_, err = pool.Pick(long)
	wants(t, err, ErrInvalidArgument, "pick", "key")
	_, err = pool.Explain(long)
	wants(t, err, ErrInvalidArgument, "explain", "key")
}

func TestKeysStayWhenABackendLeaves(t *testing.T) {
	for _, options := range []PoolOptions{
		{Policy: Hash}, {Policy: Hash, Hash: HashMaglev}, {Policy: Hash, Hash: HashRendezvous},
		{Policy: Source, Hash: HashMaglev, HashSeed: 7},
	} {
		pool, ids := newPool(t, options, manyBackends(10)...)
		const keys = 2000
		var before [keys]BackendID
		for key := range before {
			before[key] = mustPick(t, pool, fmt.Sprint(key)).Backend
		}
		if err := pool.Remove(ids[3]); err != nil {
			t.Fatal(err)
		}
		moved := 0
		for key := range before {
			after := mustPick(t, pool, fmt.Sprint(key)).Backend
			if after != before[key] && before[key] != ids[3] {
				moved++
			}
			if after == ids[3] {
				t.Fatal("picked after its removal")
			}
		}
		// Maglev moves a few more than it must.
		if moved > keys/20 {
			t.Errorf("%+v: %d of %d keys moved between backends that stayed", options, moved, keys)
		}
	}
}

func TestAvoiding(t *testing.T) {
	for _, policy := range policies {
		pool, ids := newPool(t, PoolOptions{Policy: policy}, manyBackends(3)...)
		for range 20 {
			if pick := mustPick(t, pool, "k", ids[0], ids[2]); pick.Backend != ids[1] {
				t.Errorf("%v: %+v", policy, pick)
			}
		}
		mustPick(t, pool, "k", ids...)
		mustPick(t, pool, "k", 0, math.MaxUint64)
	}
}

func TestDoneIsGoodOnce(t *testing.T) {
	pool, ids := newPool(t, PoolOptions{}, manyBackends(2)...)
	other, _ := newPool(t, PoolOptions{}, manyBackends(2)...)
	pick := mustPick(t, pool, "")
	if err := pool.Remove(pick.Backend); err != nil {
		t.Fatal(err)
	}
	wants(t, other.Done(pick, Success, Timings{}), ErrStalePick, "done", "")
	wants(t, pool.Done(Pick{Token: math.MaxUint64}, Success, Timings{}), ErrStalePick, "done", "")
	mustDone(t, pool, pick, Success, Timings{})
	wants(t, pool.Done(pick, Success, Timings{}), ErrStalePick, "done", "")
	if statistics, err := pool.Statistics(); err != nil || statistics.InFlight != 0 || len(ids) != 2 {
		t.Errorf("%+v, %v", statistics, err)
	}
}

func TestARefusedDoneLeavesThePickInFlight(t *testing.T) {
	pool, ids := newPool(t, PoolOptions{}, manyBackends(1)...)
	pick := mustPick(t, pool, "")
	wants(t, pool.Done(pick, 5, Timings{}), ErrInvalidArgument, "done", "outcome")
	wants(t, pool.Done(pick, -1, Timings{}), ErrInvalidArgument, "done", "outcome")
	for _, timings := range []Timings{{Connect: -1}, {FirstByte: math.MinInt64}, {Total: -5e9}} {
		wants(t, pool.Done(pick, Success, timings), ErrInvalidArgument, "done", "negative")
	}
	if backend, err := pool.Backend(ids[0]); err != nil || backend.InFlight != 1 {
		t.Errorf("%+v, %v", backend, err)
	}
	mustDone(t, pool, pick, Success, Timings{})
}

func TestTimingsOfZeroAreNotMeasured(t *testing.T) {
	for timings, want := range map[Timings]time.Duration{
		{}:                                   0,
		{Connect: 3}:                         3,
		{Connect: 3, Total: 5}:               5,
		{Connect: 3, FirstByte: 4, Total: 5}: 4,
		{Total: math.MaxInt64}:               math.MaxInt64,
	} {
		pool, ids := newPool(t, PoolOptions{}, manyBackends(1)...)
		mustDone(t, pool, mustPick(t, pool, ""), Success, timings)
		if backend, err := pool.Backend(ids[0]); err != nil || backend.ResponseMean != want {
			t.Errorf("%+v: %+v, %v", timings, backend, err)
		}
	}
}

func TestPicksThatAreNeverDone(t *testing.T) {
	// The bound is each thread's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pool, _ := newPool(t, PoolOptions{Lanes: 1, PicksMax: 3}, manyBackends(2)...)
	var picks []Pick
	for range 3 {
		picks = append(picks, mustPick(t, pool, ""))
	}
	_, err := pool.Pick(nil)
	wants(t, err, ErrCapacity, "pick", "picks_max")
	mustDone(t, pool, picks[1], Cancelled, Timings{})
	mustPick(t, pool, "")
}

func TestTime(t *testing.T) {
	first := Now()
	if second := Now(); first == 0 || second < first || second.Sub(first) > time.Minute || first.Add(time.Second).Sub(first) != time.Second {
		t.Errorf("%d, then %d", first, second)
	}
	if first.Add(-time.Nanosecond).Sub(first) != -1 {
		t.Error("an instant does not go back")
	}
	still, _ := newPool(t, PoolOptions{}, manyBackends(1)...)
	if deadline, some, err := still.NextDeadline(); some || err != nil || deadline != 0 {
		t.Errorf("round robin waits for %d, %v, %v", deadline, some, err)
	}
	if err := still.HandleTimeout(0); err != nil {
		t.Error(err)
	}

	// A clock of the caller's own, on which nothing happens by itself.
	pool, ids := newPool(t, PoolOptions{Policy: Fastest, Tick: time.Second, Lanes: 1}, manyBackends(2)...)
	clock := Instant(1)
	step := func() {
		t.Helper()
		for range 200 {
			clock = clock.Add(10 * time.Millisecond)
			pick, err := pool.PickAt(clock, nil)
			if err != nil {
				t.Fatal(err)
			}
			took := 50 * time.Millisecond
			if pick.Backend == ids[1] {
				took = time.Millisecond
			}
			if err := pool.DoneAt(clock, pick, Success, Timings{Total: took}); err != nil {
				t.Fatal(err)
			}
		}
	}
	step()
	deadline, some, err := pool.NextDeadline()
	if !some || err != nil || deadline <= clock || deadline.Sub(clock) > time.Second {
		t.Errorf("now %d, next %d, %v, %v", clock, deadline, some, err)
	}
	if err := pool.HandleTimeout(deadline); err != nil {
		t.Error(err)
	}
	if later, _, err := pool.NextDeadline(); err != nil || later <= deadline {
		t.Errorf("%d, then %d, %v", deadline, later, err)
	}
	step()
	if quick, err := pool.Backend(ids[1]); err != nil || quick.Share < 0.9 {
		t.Errorf("the quick one is due %v, %v", quick.Share, err)
	}
	if explanation, err := pool.ExplainAt(nil, clock); err != nil || explanation.Picked == 0 {
		t.Errorf("%+v, %v", explanation, err)
	}
}

func TestPickAndDoneAllocateNothing(t *testing.T) {
	for _, policy := range policies {
		pool, ids := newPool(t, PoolOptions{Policy: policy}, manyBackends(100)...)
		if _, err := pool.Add(Backend{Address: "[2001:db8::1]:80"}); err != nil {
			t.Fatal(err)
		}
		allocations := testing.AllocsPerRun(1000, func() {
			key := []byte("a key on the stack")
			pick, err := pool.Pick(key)
			if err != nil {
				t.Fatal(err)
			}
			if err := pool.Done(pick, Success, Timings{Connect: 1, FirstByte: 2, Total: 3}); err != nil {
				t.Fatal(err)
			}
			again, err := pool.PickAvoiding(key, pick.Backend, ids[7])
			if err != nil {
				t.Fatal(err)
			}
			if err := pool.Done(again, Failed, Timings{}); err != nil {
				t.Fatal(err)
			}
		})
		if allocations != 0 {
			t.Errorf("%v: %v allocations", policy, allocations)
		}
	}
}
