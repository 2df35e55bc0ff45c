package trimtab

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func newPool(t testing.TB, options PoolOptions, backends ...Backend) (*Pool, []BackendID) {
	t.Helper()
	pool, err := NewPool(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	ids, err := pool.AddAll(backends)
	if err != nil {
		t.Fatal(err)
	}
	return pool, ids
}

func manyBackends(count int) []Backend {
	backends := make([]Backend, count)
	for at := range backends {
		backends[at] = Backend{Address: fmt.Sprintf("10.%d.%d.%d:80", at>>16, at>>8&255, at&255), Tag: uint64(at)}
	}
	return backends
}

func mustPick(t testing.TB, pool *Pool, key string, avoid ...BackendID) Pick {
	t.Helper()
	pick, err := pool.PickAvoiding([]byte(key), avoid...)
	if err != nil {
		t.Fatal(err)
	}
	return pick
}

func mustDone(t testing.TB, pool *Pool, pick Pick, outcome Outcome, timings Timings) {
	t.Helper()
	if err := pool.Done(pick, outcome, timings); err != nil {
		t.Fatal(err)
	}
}

// wants fails unless err is of the kind, names the operation and holds the part.
func wants(t testing.TB, err, kind error, operation, part string) {
	t.Helper()
	var typed *Error
	if !errors.As(err, &typed) || !errors.Is(err, kind) {
		t.Errorf("%v: expected %v", err, kind)
		return
	}
	if typed.Operation != operation || !strings.Contains(typed.Detail, part) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q: expected operation %q and %q in one line", err, operation, part)
	}
}

func TestSmoothOrderByWeight(t *testing.T) {
	pool, ids := newPool(t, PoolOptions{Seed: Ptr(uint64(0)), Lanes: 1},
		Backend{Address: "10.0.0.1:80", Weight: 5}, Backend{Address: "10.0.0.2:80"}, Backend{Address: "10.0.0.3:80"})
	// Each thread walks the order from a start of its own.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var order string
	for range 14 {
		pick := mustPick(t, pool, "")
		order += string(rune('a' + slices.Index(ids, pick.Backend)))
		mustDone(t, pool, pick, Success, Timings{})
	}
	if want := "aabacaa"; !strings.Contains(want+want+want, order) {
		t.Errorf("picked %s, expected %s over and over", order, want)
	}
}

func TestEveryPolicyPicksEveryBackend(t *testing.T) {
	for _, policy := range policies {
		for _, options := range []PoolOptions{{Policy: policy}, {PolicyName: policy.String()}} {
			pool, _ := newPool(t, options, manyBackends(3)...)
			explanation, err := pool.Explain(nil)
			if err != nil || explanation.Policy != policy.String() {
				t.Errorf("%v: the library calls it %q, %v", policy, explanation.Policy, err)
			}
			seen := map[uint64]int{}
			for request := range 300 {
				pick := mustPick(t, pool, fmt.Sprint(request))
				seen[pick.Tag]++
				mustDone(t, pool, pick, Success, Timings{})
			}
			if want := 3; len(seen) != want && policy != First {
				t.Errorf("%v: picked %v", policy, seen)
			}
		}
	}
}

func TestOptionsReachTheLibrary(t *testing.T) {
	for name, options := range map[string]PoolOptions{
		"all": {
			Policy: Predictive, Backups: BackupsAll, Formula: FormulaF5K6406, Tick: 20e6, Blend: Ptr(0.0),
			Gain: Ptr(0.0), History: 2, Floor: 0.2, Stale: 100e6, Decay: 1e6, Seed: Ptr(uint64(math.MaxUint64)),
			HashSeed: math.MaxUint64, Lanes: 64, PicksMax: 1,
		},
		"ring":       {Policy: Hash, Hash: HashRing, BoundedLoad: 1.01},
		"maglev":     {Policy: Source, Hash: HashMaglev, BoundedLoad: 10},
		"rendezvous": {Policy: Hash, Hash: HashRendezvous},
	} {
		t.Run(name, func(t *testing.T) {
			newPool(t, options)
		})
	}
}

func TestOptionsOutOfRange(t *testing.T) {
	for part, options := range map[string]PoolOptions{
		"policy":          {Policy: 12},
		"policy ":         {Policy: -1},
		"both":            {Policy: Hash, PolicyName: "hash"},
		"round robin":     {PolicyName: "round robin"},
		"hash":            {Hash: 3},
		"backups":         {Backups: 3},
		"formula":         {Formula: -7},
		"bounded_load":    {Policy: Hash, BoundedLoad: 1},
		"bounded_load ":   {Policy: Hash, BoundedLoad: math.NaN()},
		"source and hash": {Policy: Random, BoundedLoad: 2},
		"tick":            {Tick: 9e6},
		"tick ":           {Tick: -1e9},
		"whole":           {Tick: 10e6 + 1},
		"stale":           {Stale: 99e6},
		"decay":           {Decay: 601e9},
		"blend":           {Blend: Ptr(1.1)},
		"gain":            {Gain: Ptr(math.Inf(1))},
		"history":         {History: 33},
		"floor":           {Floor: -0.1},
		"lanes":           {Lanes: 65},
		"picks_max":       {PicksMax: 1<<24 + 1},
	} {
		pool, err := NewPool(options)
		wants(t, err, ErrInvalidArgument, "new pool", strings.TrimSpace(part))
		if pool != nil {
			t.Errorf("%s: got a pool beside the error", part)
		}
	}
	_, err := NewPool(PoolOptions{PolicyName: "a\xff"})
	wants(t, err, ErrUTF8, "new pool", "UTF-8")
}

func TestBackendsOutOfRange(t *testing.T) {
	pool, _ := newPool(t, PoolOptions{})
	for _, test := range []struct {
		backend Backend
		kind    error
		part    string
	}{
		{Backend{}, ErrInvalidArgument, "address"},
		{Backend{Address: "10.0.0.1"}, ErrInvalidArgument, "port"},
		{Backend{Address: "app.internal:80"}, ErrInvalidArgument, "host"},
		{Backend{Address: "10.0.0.1:0"}, ErrInvalidArgument, "port 0"},
		{Backend{Address: "unix:"}, ErrInvalidArgument, "path"},
		{Backend{Address: strings.Repeat("x", 1<<20)}, ErrInvalidArgument, "address"},
		{Backend{Address: "10.0.0.1:\xff"}, ErrUTF8, "UTF-8"},
		{Backend{Address: "10.0.0.1:80", Name: "\xff"}, ErrUTF8, "UTF-8"},
		{Backend{Address: "10.0.0.1:80", Name: strings.Repeat("n", 256)}, ErrInvalidArgument, "name"},
		{Backend{Address: "10.0.0.1:80", Name: "a\nb"}, ErrInvalidArgument, "name"},
		{Backend{Address: "10.0.0.1:80", Weight: WeightMax + 1}, ErrInvalidArgument, "weight"},
		{Backend{Address: "10.0.0.1:80", Maxconn: MaxconnMax + 1}, ErrInvalidArgument, "maxconn"},
		{Backend{Address: "10.0.0.1:80", Admin: 3}, ErrInvalidArgument, "admin"},
		{Backend{Address: "10.0.0.1:80", Observed: -1}, ErrInvalidArgument, "observed"},
	} {
		id, err := pool.Add(test.backend)
		wants(t, err, test.kind, "add", test.part)
		if id != 0 {
			t.Errorf("%+v: got the id %d beside the error", test.backend, id)
		}
		_, err = pool.AddAll([]Backend{{Address: "10.0.0.9:80"}, test.backend})
		wants(t, err, test.kind, "add all", test.part)
	}
	if statistics, err := pool.Statistics(); err != nil || statistics.Backends != 0 {
		t.Errorf("a refused backend stayed: %+v, %v", statistics, err)
	}
}

func TestDuplicates(t *testing.T) {
	pool, ids := newPool(t, PoolOptions{}, Backend{Address: "10.0.0.1:80", Name: "one"})
	_, err := pool.Add(Backend{Address: "10.0.0.1:80", Name: "two"})
	wants(t, err, ErrExists, "add", "address")
	_, err = pool.Add(Backend{Address: "10.0.0.2:80", Name: "one"})
	wants(t, err, ErrExists, "add", "name")
	_, err = pool.AddAll([]Backend{{Address: "10.0.0.3:80"}, {Address: "10.0.0.3:80"}})
	wants(t, err, ErrExists, "add all", "10.0.0.3:80")
	if all, err := pool.IDs(); err != nil || !slices.Equal(all, ids) {
		t.Errorf("%v, %v: expected %v alone", all, err, ids)
	}
}

func TestAsManyBackendsAsFit(t *testing.T) {
	pool, ids := newPool(t, PoolOptions{}, manyBackends(BackendsMax)...)
	_, err := pool.Add(Backend{Address: "192.0.2.1:80"})
	wants(t, err, ErrCapacity, "add", "")
	if all, err := pool.IDs(); err != nil || !slices.Equal(all, ids) {
		t.Errorf("%d ids, %v", len(all), err)
	}
	if pick := mustPick(t, pool, ""); pick.Backend != ids[pick.Tag] {
		t.Errorf("%+v is not in its place", pick)
	}
	explanation, err := pool.Explain(nil)
	if err != nil || len(explanation.Backends) != BackendsMax {
		t.Errorf("%d backends explained, %v", len(explanation.Backends), err)
	}
}

func TestNoBackendsAtOnce(t *testing.T) {
	_, ids := newPool(t, PoolOptions{})
	if len(ids) != 0 {
		t.Errorf("%v", ids)
	}
}

func TestNobodyToPick(t *testing.T) {
	pool, _ := newPool(t, PoolOptions{})
	_, err := pool.Pick(nil)
	wants(t, err, ErrNoBackend, "pick", "empty")

	ids, err := pool.AddAll(manyBackends(4))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []error{
		pool.SetAdmin(ids[0], AdminDrain), pool.SetAdmin(ids[1], AdminMaintenance),
		pool.SetObserved(ids[2], ObservedDown), pool.SetObserved(ids[3], ObservedEjected),
	} {
		if change != nil {
			t.Fatal(change)
		}
	}
	pick, err := pool.Pick(nil)
	wants(t, err, ErrNoBackend, "pick", "none of the 4")
	if pick != (Pick{}) {
		t.Errorf("%+v beside an error", pick)
	}
	explanation, err := pool.Explain(nil)
	if err != nil || explanation.Picked != 0 || !strings.Contains(explanation.Refused, "none of the 4") {
		t.Errorf("%+v, %v", explanation, err)
	}
	for at, verdict := range []Verdict{VerdictDrain, VerdictMaintenance, VerdictDown, VerdictEjected} {
		if explained := explanation.Backends[at]; explained.Verdict != verdict || explained.ID != ids[at] {
			t.Errorf("%+v: expected %s", explained, verdict)
		}
	}
	if statistics, err := pool.Statistics(); err != nil || statistics.Refused != 2 || statistics.Serving != 0 {
		t.Errorf("%+v, %v", statistics, err)
	}
	if err := pool.SetObserved(ids[2], ObservedUp); err != nil {
		t.Fatal(err)
	}
	if pick := mustPick(t, pool, ""); pick.Backend != ids[2] {
		t.Errorf("%+v: only %d is up", pick, ids[2])
	}
}

func TestMaxconn(t *testing.T) {
	pool, ids := newPool(t, PoolOptions{}, Backend{Address: "10.0.0.1:80", Maxconn: 2})
	first, second := mustPick(t, pool, ""), mustPick(t, pool, "")
	_, err := pool.Pick(nil)
	wants(t, err, ErrNoBackend, "pick", "maxconn")
	mustDone(t, pool, first, Success, Timings{})
	third := mustPick(t, pool, "")
	if err := pool.SetMaxconn(ids[0], 3); err != nil {
		t.Fatal(err)
	}
	fourth := mustPick(t, pool, "")
	if explanation, err := pool.Explain(nil); err != nil || explanation.Backends[0].Verdict != VerdictFull {
		t.Errorf("%+v, %v", explanation, err)
	}
	for _, pick := range []Pick{second, third, fourth} {
		mustDone(t, pool, pick, Success, Timings{})
	}
}

func TestTiers(t *testing.T) {
	pool, ids := newPool(t, PoolOptions{},
		Backend{Address: "10.0.0.1:80"}, Backend{Address: "10.0.0.2:80", Tier: 1}, Backend{Address: "10.0.0.3:80", Tier: 255})
	for down, want := range ids {
		if pick := mustPick(t, pool, ""); pick.Backend != want {
			t.Errorf("%+v: expected %d", pick, want)
		}
		if explanation, err := pool.Explain(nil); err != nil || explanation.Tier == nil || *explanation.Tier != []uint8{0, 1, 255}[down] {
			t.Errorf("%+v, %v", explanation, err)
		}
		if err := pool.SetObserved(want, ObservedDown); err != nil {
			t.Fatal(err)
		}
	}
	if explanation, err := pool.Explain(nil); err != nil || explanation.Tier != nil {
		t.Errorf("%+v, %v", explanation, err)
	}
	if err := errors.Join(pool.SetObserved(ids[2], ObservedUp), pool.SetTier(ids[2], 7)); err != nil {
		t.Fatal(err)
	}
	if backend, err := pool.Backend(ids[2]); err != nil || backend.Tier != 7 || !backend.Serving {
		t.Errorf("%+v, %v", backend, err)
	}
}

func TestChangesOfWhatIsNotThere(t *testing.T) {
	pool, ids := newPool(t, PoolOptions{}, manyBackends(2)...)
	if err := pool.Remove(ids[0]); err != nil {
		t.Fatal(err)
	}
	for operation, err := range map[string]error{
		"remove":       pool.Remove(ids[0]),
		"set weight":   pool.SetWeight(ids[0], 2),
		"set maxconn":  pool.SetMaxconn(0, 2),
		"set tier":     pool.SetTier(math.MaxUint64, 2),
		"set tag":      pool.SetTag(ids[0], 2),
		"set admin":    pool.SetAdmin(ids[0], AdminDrain),
		"set observed": pool.SetObserved(ids[0], ObservedUp),
	} {
		wants(t, err, ErrNotFound, operation, "")
	}
	_, err := pool.Backend(ids[0])
	wants(t, err, ErrNotFound, "backend", "")
	_, err = pool.Find("nobody")
	wants(t, err, ErrNotFound, "find", "nobody")
	_, err = pool.Find("\xff")
	wants(t, err, ErrUTF8, "find", "")

	for operation, err := range map[string]error{
		"set weight":   pool.SetWeight(ids[1], 0),
		"set weight ":  pool.SetWeight(ids[1], WeightMax+1),
		"set maxconn":  pool.SetMaxconn(ids[1], math.MaxUint32),
		"set admin":    pool.SetAdmin(ids[1], 3),
		"set observed": pool.SetObserved(ids[1], -1),
	} {
		wants(t, err, ErrInvalidArgument, strings.TrimSpace(operation), "")
	}
	backend, err := pool.Backend(ids[1])
	if err != nil || backend.Weight != 1 || backend.Maxconn != 0 || backend.Admin != AdminReady || backend.Observed != ObservedUnknown {
		t.Errorf("a refused change changed something: %+v, %v", backend, err)
	}
}

func TestWhatIsToldOfABackend(t *testing.T) {
	given := Backend{
		Address: "[2001:db8::1]:8080", Name: "näme", Weight: WeightMax, Maxconn: 9, Tier: 0, Tag: math.MaxUint64,
		Admin: AdminReady, Observed: ObservedUp,
	}
	pool, ids := newPool(t, PoolOptions{}, given, Backend{Address: "10.0.0.2:80", Tier: 2, Admin: AdminDrain})
	for outcome, count := range map[Outcome]int{Success: 5, ConnectFailed: 4, Failed: 3, TimedOut: 2, Cancelled: 1} {
		for range count {
			mustDone(t, pool, mustPick(t, pool, ""), outcome, Timings{FirstByte: 2e6, Total: 8e6})
		}
	}
	mustPick(t, pool, "")
	want := BackendStatistics{
		ID: ids[0], Name: given.Name, Address: given.Address, Weight: given.Weight, Maxconn: given.Maxconn,
		Tag: given.Tag, Observed: ObservedUp, Serving: true, Picks: 16, InFlight: 1, Success: 5, ConnectFailed: 4,
		Failed: 3, TimedOut: 2, Cancelled: 1, ResponseMean: 2e6, Share: 1, Limit: 9, SlowStart: 1,
	}
	backends, err := pool.Backends()
	if err != nil || len(backends) != 2 || backends[0] != want {
		t.Errorf("%+v, %v: expected first %+v", backends, err, want)
	}
	if second := backends[1]; second.Name != "10.0.0.2:80" || second.Tier != 2 || second.Admin != AdminDrain || second.Serving {
		t.Errorf("%+v", second)
	}
	statistics, err := pool.Statistics()
	if err != nil || statistics != (PoolStatistics{Backends: 2, Serving: 1, Picks: 16, InFlight: 1}) {
		t.Errorf("%+v, %v", statistics, err)
	}
	if id, err := pool.Find("näme"); err != nil || id != ids[0] {
		t.Errorf("%d, %v", id, err)
	}
	if err := errors.Join(pool.SetTag(ids[0], 7), pool.SetWeight(ids[0], 2)); err != nil {
		t.Fatal(err)
	}
	if pick := mustPick(t, pool, ""); pick.Tag != 7 {
		t.Errorf("%+v", pick)
	}
}

func TestExplainTellsTheNextPick(t *testing.T) {
	// Of this thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, policy := range policies {
		pool, _ := newPool(t, PoolOptions{Policy: policy, Lanes: 1}, manyBackends(5)...)
		for request := range 20 {
			key := []byte(fmt.Sprint("key ", request))
			explanation, err := pool.Explain(key)
			if err != nil {
				t.Fatal(err)
			}
			pick := mustPick(t, pool, string(key))
			// Time passes between the two, which only these look at.
			if explanation.Picked != pick.Backend && policy != PeakEWMA {
				t.Errorf("%v: explained %d, picked %d", policy, explanation.Picked, pick.Backend)
			}
			mustDone(t, pool, pick, Success, Timings{})
		}
	}
}

func TestWhatTheLibraryTellsOfItself(t *testing.T) {
	if Version() == "" || strings.Count(Version(), ".") != 2 {
		t.Errorf("version %q", Version())
	}
	if ABIVersion() != 0 {
		t.Errorf("this package is written for ABI 0, the library has %d", ABIVersion())
	}
	if !slices.Contains(Features(), "balance") {
		t.Errorf("features %v", Features())
	}
	_, err := HasFeature("teleport")
	wants(t, err, ErrNotFound, "has feature", "teleport")
}
