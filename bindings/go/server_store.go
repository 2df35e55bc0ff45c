package trimtab

import (
	"runtime"
	"sync"
)

// Store gives the server's own store, the [store] of its configuration: the same keys that Redis clients see. Each call
// gives another *Store; Close gives it back and ends nothing but that handle, whose Scans and Watches go on. Calls of
// other goroutines that have begun come to their end: Close waits for writes, and not for Sync, Snapshot, Scrub and
// Backup. What only waits is told ErrClosed: WaitDurable, and reads in a cluster.
//
// The server closes the store when it ends. Who waits is told then, and everything that is called later says ErrState.
//
// ErrNotFound when the configuration has no [store]; ErrState before the server is started, and once it has ended.
func (s *Server) Store() (*Store, error) {
	defer runtime.KeepAlive(s)
	native, bell, err := s.native.store(waitingMaxDefault)
	if err != nil {
		return nil, err
	}
	core := newStoreCore(native, bell, waitingMaxDefault)
	core.isLent = true
	_, err = native.cluster()
	core.isMember = err == nil
	// It is not known. Whether something is done already may be asked of any.
	core.usual = DurabilityMemory
	return newStore(core, timeoutDefault), nil
}

// letGo is what close is for a server's store.
func (c *storeCore) letGo() {
	closeGate(&c.native.gate)
	c.calls.endWaits()
	// All that was submitted is done when all places are free; it may be that the server ends meanwhile, which does it too.
	for range cap(c.calls.places) {
		c.calls.places <- struct{}{}
	}
	// Who waits for one finds the gate shut.
	c.calls.givePlaces(cap(c.calls.places))
	c.calls.end()
	c.stays.whenNone(func() {
		shut(&c.native.gate)
		c.native.free()
	})
}

// stays counts the calls that are long in C.
type stays struct {
	mutex  sync.Mutex
	count  int
	onNone func()
}

func (s *stays) begin() {
	s.mutex.Lock()
	s.count++
	s.mutex.Unlock()
}

func (s *stays) end() {
	s.mutex.Lock()
	s.count--
	var run func()
	if s.count == 0 {
		run, s.onNone = s.onNone, nil
	}
	s.mutex.Unlock()
	if run != nil {
		run()
	}
}

// whenNone has run called when there is none, once; by who is the last of them, if there are some.
func (s *stays) whenNone(run func()) {
	s.mutex.Lock()
	if s.count > 0 {
		s.onNone = run
		run = nil
	}
	s.mutex.Unlock()
	if run != nil {
		run()
	}
}
