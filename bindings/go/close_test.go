package trimtab

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// each calls every method once.
func each(pool *Pool) map[string]error {
	errs := map[string]error{}
	_, errs["add"] = pool.Add(Backend{Address: "10.9.9.9:80"})
	_, errs["add all"] = pool.AddAll(manyBackends(3))
	errs["remove"] = pool.Remove(1)
	errs["set weight"] = pool.SetWeight(1, 1)
	errs["set maxconn"] = pool.SetMaxconn(1, 1)
	errs["set tier"] = pool.SetTier(1, 1)
	errs["set tag"] = pool.SetTag(1, 1)
	errs["set admin"] = pool.SetAdmin(1, AdminReady)
	errs["set observed"] = pool.SetObserved(1, ObservedUp)
	_, errs["find"] = pool.Find("x")
	_, errs["ids"] = pool.IDs()
	_, errs["pick"] = pool.Pick(nil)
	_, errs["pick avoiding"] = pool.PickAvoiding(nil, 1)
	_, errs["pick at"] = pool.PickAt(1, nil)
	errs["done"] = pool.Done(Pick{Token: 1}, Success, Timings{})
	errs["done at"] = pool.DoneAt(1, Pick{Token: 1}, Success, Timings{})
	_, errs["explain"] = pool.Explain(nil)
	_, errs["explain at"] = pool.ExplainAt(nil, 1)
	_, errs["statistics"] = pool.Statistics()
	_, errs["backend"] = pool.Backend(1)
	_, errs["backends"] = pool.Backends()
	errs["handle timeout"] = pool.HandleTimeout(0)
	_, _, errs["next deadline"] = pool.NextDeadline()
	return errs
}

func TestAfterClose(t *testing.T) {
	pool, _ := newPool(t, PoolOptions{}, Backend{Address: "unix:/run/app.sock"})
	pick := mustPick(t, pool, "")
	for range 3 {
		if err := pool.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, err := range each(pool) {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if pick.AddressString() != "" {
		t.Error("a closed pool knows an address")
	}
}

func TestAPoolThatNewPoolDidNotMake(t *testing.T) {
	pool := new(Pool)
	for name, err := range each(pool) {
		if !errors.Is(err, ErrNull) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := pool.Close(); err != nil {
		t.Error(err)
	}
	_, err := pool.Pick(nil)
	wants(t, err, ErrClosed, "pick", "closed")
}

// Goroutines in the middle of everything while two others close the pool: each call works or says closed.
func TestCloseWhileInUse(t *testing.T) {
	for range 50 {
		pool, err := NewPool(PoolOptions{Policy: LeastConnections})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pool.AddAll(manyBackends(50)); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		var begun atomic.Int32
		for worker := range 8 {
			all.Add(1)
			go func() {
				defer all.Done()
				for {
					begun.Add(1)
					var err error
					switch worker {
					case 0:
						_, err = pool.Explain(nil)
					case 1:
						_, err = pool.Backends()
					case 2:
						err = pool.SetWeight(1, 3)
					default:
						var pick Pick
						if pick, err = pool.Pick(nil); err == nil {
							err = pool.Done(pick, Success, Timings{})
						}
					}
					if errors.Is(err, ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
		for begun.Load() < 100 {
			runtime.Gosched()
		}
		for range 2 {
			all.Add(1)
			go func() {
				defer all.Done()
				pool.Close()
				// Whoever's Close returns, the pool is gone.
				if _, err := pool.Pick(nil); !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
			}()
		}
		all.Wait()
	}
}

func TestPoolsThatAreDropped(t *testing.T) {
	for range 200 {
		pool, err := NewPool(PoolOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pool.AddAll(manyBackends(10)); err != nil {
			t.Fatal(err)
		}
		if _, err := pool.Pick(nil); err != nil {
			t.Fatal(err)
		}
	}
	// Frees them; what would be freed twice or too early ends the process. One more thing dropped, after
	// them, tells that cleanups have run.
	cleaned := make(chan struct{})
	runtime.AddCleanup(new([64]byte), func(cleaned chan struct{}) { close(cleaned) }, cleaned)
	deadline := time.After(30 * time.Second)
	for {
		runtime.GC()
		select {
		case <-cleaned:
			return
		case <-deadline:
			t.Fatal("no cleanup ran")
		default:
			runtime.Gosched()
		}
	}
}

func TestThePoolChangesWhileItIsPickedFrom(t *testing.T) {
	for _, policy := range policies {
		pool, ids := newPool(t, PoolOptions{Policy: policy, Tick: 10 * time.Millisecond}, manyBackends(20)...)
		var pickers, changers sync.WaitGroup
		var stop atomic.Bool
		for worker := range 4 {
			pickers.Add(1)
			go func() {
				defer pickers.Done()
				key := []byte{byte(worker), 0, 0, 0}
				for request := range 2000 {
					key[1] = byte(request)
					pick, err := pool.PickAvoiding(key, ids[request%5])
					if err != nil {
						t.Error(err)
						return
					}
					if err := pool.Done(pick, Outcome(request%5), Timings{Total: time.Duration(request + 1)}); err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
		changers.Add(2)
		go func() {
			defer changers.Done()
			for round := 0; !stop.Load(); round++ {
				id, err := pool.Add(Backend{Address: "192.0.2.1:80", Maxconn: 1})
				weigh := pool.SetWeight(ids[1], uint32(1+round%9))
				// The weights of static are those at the start.
				if policy == Static && errors.Is(weigh, ErrInvalidArgument) {
					weigh = nil
				}
				if err := errors.Join(err, weigh, pool.SetAdmin(ids[2], AdminState(round%3)), pool.Remove(id)); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		go func() {
			defer changers.Done()
			for !stop.Load() {
				_, err := pool.Backends()
				_, statisticsErr := pool.Statistics()
				_, explainErr := pool.Explain(nil)
				if err := errors.Join(err, statisticsErr, explainErr); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		pickers.Wait()
		stop.Store(true)
		changers.Wait()
		backends, err := pool.Backends()
		if err != nil {
			t.Fatal(err)
		}
		for _, backend := range backends {
			done := backend.Success + backend.ConnectFailed + backend.Failed + backend.TimedOut + backend.Cancelled
			if backend.InFlight != 0 || backend.Picks != done {
				t.Errorf("%v: %+v", policy, backend)
			}
		}
	}
}
