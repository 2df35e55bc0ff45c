package trimtab

import (
	"context"
	"runtime"
)

// Turn does what is due on a hosted store, a bounded piece of each kind, and tells how many there were: one write and one
// sync for all that was taken; what expires; a step of making a segment; a chunk of a snapshot; a MiB read again. Whoever
// waits for a write is told. It does not wait for something to do, but for the disk, which holds a thread.
//
// ErrState when the store is not hosted. What fails on the disk is told to those who wait for it, and stands in Status.
func (s *Store) Turn() (int, error) {
	defer runtime.KeepAlive(s)
	core, err := s.live("turn")
	if err != nil {
		return 0, err
	}
	core.hosted.turning.Lock()
	defer core.hosted.turning.Unlock()
	count, err := core.native.ask("turn", askStoreTurn)
	return int(count), core.closedNow(err)
}

// WaitTurn waits until a turn has something to do, or ctx is done: then it returns ctx.Err(). A context without a deadline
// waits for as long as it takes. It waits in Go's own poller, so no thread waits with it. One goroutine does so at a time.
// ErrState when the store is not hosted.
func (s *Store) WaitTurn(ctx context.Context) error {
	defer runtime.KeepAlive(s)
	core, err := s.live("wait turn")
	if err != nil {
		return err
	}
	return core.closedNow(core.hosted.wait(ctx, "wait turn", "store", core.native))
}

// PollFD is the descriptor of a hosted store, for an event loop of the caller's: it is readable when a turn has something
// to do. It stays the store's: neither read nor close it, nor make a file of it. It is closed in Close, or when the last
// Watch of the store is closed, if that is later. ErrState as Turn.
func (s *Store) PollFD() (int, error) {
	defer runtime.KeepAlive(s)
	core, err := s.live("poll fd")
	if err != nil {
		return 0, err
	}
	descriptor, err := core.native.ask("poll fd", askStorePollFD)
	return int(descriptor), core.closedNow(err)
}

// NextDeadline is when Turn is needed even if the descriptor is not readable; in the past for at once, and false while
// nothing is pending. Ask again after each turn; what other goroutines do in between makes the descriptor readable.
// ErrState as Turn.
func (s *Store) NextDeadline() (Instant, bool, error) {
	defer runtime.KeepAlive(s)
	core, err := s.live("next deadline")
	if err != nil {
		return 0, false, err
	}
	deadline, isDue, err := nextDeadline("next deadline", core.native)
	return deadline, isDue, core.closedNow(err)
}
