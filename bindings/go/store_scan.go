package trimtab

import (
	"context"
	"runtime"
	"sync"
)

// Scan goes through the keys of a range, one after the other, as they were when it was made, whatever is written
// meanwhile. What has been replaced since stays in memory until it is closed. Store.Scan makes one:
//
//	scan, err := store.Scan(ctx, trimtab.Prefix([]byte("user/")))
//	if err != nil {
//		return err
//	}
//	defer scan.Close()
//	for scan.Next() {
//		... scan.Entry() ...
//	}
//	return scan.Err()
//
// Any goroutine may call anything at any time, but only one at a time makes sense. What it gives is the caller's.
type Scan struct {
	store   *Store
	ctx     context.Context
	mutex   sync.Mutex
	native  nativeScan
	at      int
	entry   Entry
	err     error
	isOver  bool
	cleanup runtime.Cleanup
}

// Scan begins to go through the keys of a range: WithLimit, WithReverse, and as Get. It ends when ctx is done, with ctx.Err().
// Close it.
func (s *Store) Scan(ctx context.Context, keys KeyRange, options ...CallOption) (*Scan, error) {
	defer runtime.KeepAlive(s)
	core, err := s.reads(ctx, opScan)
	if err != nil {
		return nil, err
	}
	fresh, rest := freshOf(options)
	read := rangeOperation(kindRange, keys, rest)
	if read.err != nil {
		return nil, read.err
	}
	limit, isReverse := read.options.limit, read.options.reverse
	var native nativeScan
	if core.mayWait(fresh) {
		var isFresh bool
		native, isFresh, err = core.native.scanAt(keys, limit, isReverse, fresh)
		if err == nil && !isFresh {
			if _, err = s.readAwaited(ctx, opScan, awaited{what: awaitFresh}, fresh); err == nil {
				native, _, err = core.native.scanAt(keys, limit, isReverse, fresh.here())
			}
		}
	} else {
		native, err = core.native.scan(keys, limit, isReverse)
	}
	if err != nil {
		return nil, core.closedNow(err)
	}
	scan := &Scan{store: s, ctx: ctx, native: native}
	scan.cleanup = runtime.AddCleanup(scan, nativeScan.free, native)
	return scan, nil
}

// Next goes to the next key; false behind the last, after an error, and once it is closed.
func (s *Scan) Next() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.entry = Entry{}
	if s.isOver || s.err != nil {
		return false
	}
	if s.at == s.native.batch.count() {
		s.at = 0
		if s.err = s.ctx.Err(); s.err == nil {
			s.err = s.store.core.closedNow(s.native.next())
		}
		if s.err != nil {
			return false
		}
		if s.native.batch.count() == 0 {
			s.end()
			return false
		}
	}
	s.entry = s.native.batch.entry(s.at)
	s.at++
	return true
}

// Entry is the key that Next went to, and what it has.
func (s *Scan) Entry() Entry {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.entry
}

// Err is why Next came to no key but the end: nil when that was all.
func (s *Scan) Err() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.err
}

// Sequence is that of what it sees: a Watch from the one behind it misses nothing that came later.
func (s *Scan) Sequence() uint64 {
	return s.native.sequence
}

// Close lets go of what it saw, and always returns nil. It may be called more than once.
func (s *Scan) Close() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.end()
	return nil
}

func (s *Scan) end() {
	if !s.isOver {
		s.isOver = true
		s.cleanup.Stop()
		s.native.free()
	}
}
