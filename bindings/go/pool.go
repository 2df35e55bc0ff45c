// Package trimtab picks backends: load balancing linked into the program, without a hop in between.
//
//	pool, err := trimtab.NewPool(trimtab.PoolOptions{Policy: trimtab.LeastConnections})
//	if err != nil {
//		return err
//	}
//	defer pool.Close()
//	pool.Add(trimtab.Backend{Address: "10.0.0.7:8080", Weight: 2})
//
//	pick, err := pool.Pick(nil)
//	if err != nil {
//		return err // errors.Is(err, trimtab.ErrNoBackend)
//	}
//	conn, err := net.Dial(pick.Network(), pick.AddressString())
//	// ...
//	pool.Done(pick, trimtab.Success, trimtab.Timings{Total: elapsed})
//
// A Server listens and relays to such pools, on threads of its own or in the caller's hands:
//
//	server, err := trimtab.NewServer(trimtab.ServerOptions{File: "trimtab.toml"})
//	if err != nil {
//		return err // errors.Is(err, trimtab.ErrConfig): the line, the column and what to write instead
//	}
//	defer server.Close()
//	if err := server.Start(); err != nil {
//		return err
//	}
//	<-ctx.Done()
//	server.Drain()
//	return server.Wait(context.Background())
//
// The package is a thin layer over trimtab's C interface: no policy, no retries and no caches of its own.
// Every method may be called from any goroutine at any time. None of them waits for the network or for a
// lock held over I/O, except those that take a context, and Close of a Server.
package trimtab

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// Pool is a set of backends and the policy that picks from it. Make one with NewPool. It must not be
// copied.
//
// A Pool that is dropped without Close is freed when the garbage collector finds it, but the collector
// does not see how much memory it holds: call Close.
type Pool struct {
	native  native
	close   sync.Once
	cleanup runtime.Cleanup
	// events is nil without an OnEvent.
	events *events
}

// NewPool makes an empty pool. An option that is out of range is an ErrInvalidArgument that names it.
func NewPool(options PoolOptions) (*Pool, error) {
	if options.PolicyName != "" && options.Policy != RoundRobin {
		return nil, &Error{
			Code:      CodeInvalidArgument,
			Operation: "new pool",
			Detail:    fmt.Sprintf("invalid policy: both Policy %v and PolicyName %q are given; leave one out", options.Policy, options.PolicyName),
		}
	}
	ticks, err := milliseconds("tick", options.Tick)
	if err != nil {
		return nil, err
	}
	stale, err := milliseconds("stale", options.Stale)
	if err != nil {
		return nil, err
	}
	decay, err := milliseconds("decay", options.Decay)
	if err != nil {
		return nil, err
	}
	made, err := newNative(&options, ticks, stale, decay)
	if err != nil {
		return nil, err
	}
	pool := poolOf(made)
	if options.OnEvent == nil {
		return pool, nil
	}
	onEvent := options.OnEvent
	told, err := newEvents("new pool", func(e Event) {
		onEvent(PoolEvent{Kind: e.Kind, Backend: e.id, Name: e.Backend, Number: e.Number, Reason: e.Detail})
	})
	if err != nil {
		pool.Close()
		return nil, err
	}
	go told.read()
	if err := pool.observe(told); err != nil {
		told.end()
		<-told.over
		return nil, err
	}
	return pool, nil
}

// Close frees the pool and always returns nil. It may be called more than once and while other goroutines
// use the pool: their calls that have begun come to their end first, later ones return ErrClosed. Picks in
// flight are forgotten.
func (p *Pool) Close() error {
	isTelling := p.events != nil && p.events.isTellingHere()
	if isTelling {
		p.events.isDeaf.Store(true)
	}
	p.close.Do(func() {
		shut(&p.native.gate)
		if p.native.pool != nil {
			p.cleanup.Stop()
			freeNative(p.native.pool)
		}
		if p.events != nil {
			p.events.end()
		}
	})
	if p.events != nil && !isTelling {
		<-p.events.over
	}
	return nil
}

// Add adds a backend and gives its id. Errors: ErrInvalidArgument, ErrUTF8, ErrExists when its name or
// address is in the pool already, ErrCapacity at BackendsMax.
func (p *Pool) Add(backend Backend) (BackendID, error) {
	return p.native.add(&backend)
}

// AddAll adds all of these or none, in one change, which is far quicker than one by one. The ids are in the
// order given.
func (p *Pool) AddAll(backends []Backend) ([]BackendID, error) {
	return p.native.addAll(backends)
}

// Remove takes a backend out: it gets no new picks once this has returned. Its picks in flight may still be
// reported done.
func (p *Pool) Remove(id BackendID) error {
	return p.native.change("remove", changeRemove, id, 0)
}

// SetWeight changes a weight: 1 to 65,535. 0 is refused; drain the backend instead.
func (p *Pool) SetWeight(id BackendID, weight uint32) error {
	return p.native.change("set weight", changeWeight, id, uint64(weight))
}

// SetMaxconn changes the most picks in flight; 0 for no limit.
func (p *Pool) SetMaxconn(id BackendID, maxconn uint32) error {
	return p.native.change("set maxconn", changeMaxconn, id, uint64(maxconn))
}

// SetTier moves a backend to another tier.
func (p *Pool) SetTier(id BackendID, tier uint8) error {
	return p.native.change("set tier", changeTier, id, uint64(tier))
}

// SetTag changes the owner's own number for a backend.
func (p *Pool) SetTag(id BackendID, tag uint64) error {
	return p.native.change("set tag", changeTag, id, tag)
}

// SetAdmin carries out an operator's order.
func (p *Pool) SetAdmin(id BackendID, state AdminState) error {
	return p.native.change("set admin", changeAdmin, id, uint64(state))
}

// SetObserved takes note of what was observed.
func (p *Pool) SetObserved(id BackendID, state ObservedState) error {
	return p.native.change("set observed", changeObserved, id, uint64(state))
}

// Find gives the backend of this name, or ErrNotFound.
func (p *Pool) Find(name string) (BackendID, error) {
	return p.native.find(name)
}

// IDs gives all backends, in the order added.
func (p *Pool) IDs() ([]BackendID, error) {
	const spare = 16
	var ids []BackendID
	for {
		// Backends may be added between the two calls; a pool has an upper bound of them.
		count, err := p.native.ids(ids)
		if err != nil {
			return nil, err
		}
		if count <= len(ids) {
			return ids[:count], nil
		}
		ids = make([]BackendID, count+spare)
	}
}

// Pick picks a backend. The key is what Source and Hash place, at most KeyMax bytes; others ignore it, and
// nil is the empty key. Give every pick to Done, whatever became of it.
//
// Errors: ErrNoBackend says why there is none, ErrInvalidArgument for a key too long, ErrCapacity when
// PicksMax picks were never reported done. On success nothing is allocated, unless the address has an IPv6
// zone.
func (p *Pool) Pick(key []byte) (Pick, error) {
	pick := Pick{pool: p}
	if err := p.native.pick(key, 0, nil, &pick); err != nil {
		return Pick{}, err
	}
	return pick, nil
}

// PickAvoiding is Pick for another attempt: one of the backends tried already is picked only when no other
// can be.
func (p *Pool) PickAvoiding(key []byte, avoid ...BackendID) (Pick, error) {
	pick := Pick{pool: p}
	if err := p.native.pick(key, 0, avoid, &pick); err != nil {
		return Pick{}, err
	}
	return pick, nil
}

// PickAt is PickAvoiding at a time of the caller's clock.
func (p *Pool) PickAt(now Instant, key []byte, avoid ...BackendID) (Pick, error) {
	pick := Pick{pool: p}
	if err := p.native.pick(key, now, avoid, &pick); err != nil {
		return Pick{}, err
	}
	return pick, nil
}

// Done reports how a pick went, which takes it out of flight; also for backends removed since. A pick of
// this pool that was reported before, or of another pool, is an ErrStalePick, and nothing is counted.
func (p *Pool) Done(pick Pick, outcome Outcome, timings Timings) error {
	return p.DoneAt(0, pick, outcome, timings)
}

// DoneAt is Done at a time of the caller's clock.
func (p *Pool) DoneAt(now Instant, pick Pick, outcome Outcome, timings Timings) error {
	if timings.Connect < 0 || timings.FirstByte < 0 || timings.Total < 0 {
		return negative(timings)
	}
	return p.native.done(pick.Token, outcome, &timings, now)
}

// Statistics tells what the pool counted.
func (p *Pool) Statistics() (PoolStatistics, error) {
	return p.native.statistics()
}

// Backend tells what was counted of one backend, and how it stands.
func (p *Pool) Backend(id BackendID) (BackendStatistics, error) {
	return p.native.backend(id)
}

// Backends tells it of every backend, in the order added.
func (p *Pool) Backends() ([]BackendStatistics, error) {
	ids, err := p.IDs()
	if err != nil {
		return nil, err
	}
	backends := make([]BackendStatistics, 0, len(ids))
	for _, id := range ids {
		backend, err := p.native.backend(id)
		if errors.Is(err, ErrNotFound) {
			continue // removed since
		}
		if err != nil {
			return nil, err
		}
		backends = append(backends, backend)
	}
	return backends, nil
}

// HandleTimeout does what is due: weighs anew if Fastest, Observed or Predictive have a tick due, takes the next
// step of a slow start, ejects outliers and takes them back, sets adaptive limits anew. Pick and Done do the
// same on their way; a program that calls this at NextDeadline keeps most of it off their path. 0 means now.
func (p *Pool) HandleTimeout(now Instant) error {
	return p.native.handleTimeout(now)
}

// NextDeadline is when HandleTimeout is next of use; false when nothing is to be done.
func (p *Pool) NextDeadline() (Instant, bool, error) {
	deadline, err := p.native.nextDeadline()
	if err != nil || deadline == never {
		return 0, false, err
	}
	return deadline, true, nil
}

// Version is the version of the library linked in.
func Version() string {
	return version()
}

// ABIVersion is the version of its C interface, the number in its soname.
func ABIVersion() uint32 {
	return abiVersion()
}

// Features lists the parts that the library was built with.
func Features() []string {
	var features []string
	for _, name := range featureNames {
		if has, err := hasFeature(name); err == nil && has {
			features = append(features, name)
		}
	}
	return features
}

// HasFeature tells whether the library was built with a part: "balance", "proxy", ... A name it does not
// know is an ErrNotFound.
func HasFeature(name string) (bool, error) {
	return hasFeature(name)
}

var featureNames = [...]string{"balance", "proxy", "tls", "http", "store", "replication", "cli"}

// never is what the library gives for a deadline that does not come.
const never = ^Instant(0)

func negative(timings Timings) error {
	return &Error{
		Code:      CodeInvalidArgument,
		Operation: "done",
		Detail:    fmt.Sprintf("invalid timings: %+v holds a negative time", timings),
	}
}
