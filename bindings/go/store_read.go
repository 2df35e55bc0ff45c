package trimtab

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"slices"
)

// Get gives the value that a key has; ErrNotFound when it is not there. In a store of one node it does not wait; ctx is looked
// at once, as in all that reads.
//
// In a cluster reads may wait, for as long as ctx allows (StoreOptions.Timeout, if it has no deadline) and for
// ClusterOptions.Patience for a primary, until what is here is as fresh as was asked: WithReadLevel,
// WithAgeMax, WithPosition. When ctx is done first the error is ctx.Err(), at once and always. When it is not so within half of that time, and 400 ms at most, the primary reads it, unless this
// node does not forward. Their errors then, beside others: ErrNotPrimary when it is not in time and the primary, another
// node, was not reached, or not to be asked; ErrNoQuorum when no primary was found; ErrState when the write that is to be seen was lost with a primary, or this
// node takes no part any more; ErrTimedOut.
func (s *Store) Get(ctx context.Context, key []byte, options ...CallOption) ([]byte, error) {
	defer runtime.KeepAlive(s)
	core, err := s.reads(ctx, opGet)
	if err != nil {
		return nil, err
	}
	if core.isMember || len(options) != 0 {
		entry, err := s.GetEntry(ctx, key, options...)
		return entry.Value, err
	}
	// Most values fit here, and what is allocated is as long as the value.
	var room [512]byte
	length, _, err := core.native.copyValue(key, room[:])
	if err != nil {
		return nil, core.closedNow(err)
	}
	if length <= len(room) {
		value := make([]byte, length)
		copy(value, room[:])
		return value, nil
	}
	value, _, err := core.appendValue(make([]byte, 0, length), key)
	return value, err
}

// GetAppend appends the value that a key has to dst, which it grows if it must, and gives the value's version, for
// CompareAndSet. With room in dst nothing is allocated. ErrNotFound when it is not there; dst is as it was then.
func (s *Store) GetAppend(ctx context.Context, dst, key []byte) ([]byte, uint64, error) {
	defer runtime.KeepAlive(s)
	core, err := s.reads(ctx, opGet)
	if err != nil {
		return dst, 0, err
	}
	if core.isMember {
		entry, err := s.GetEntry(ctx, key)
		return append(dst, entry.Value...), entry.Version, err
	}
	return core.appendValue(dst, key)
}

func (c *storeCore) appendValue(dst, key []byte) ([]byte, uint64, error) {
	for {
		room := dst[len(dst):cap(dst)]
		length, version, err := c.native.copyValue(key, room)
		if err != nil {
			return dst, 0, c.closedNow(err)
		}
		if length <= len(room) {
			return dst[:len(dst)+length], version, nil
		}
		// It may be longer still when it is looked at again.
		dst = slices.Grow(dst, length)
	}
}

// GetEntry gives all that a key has; ErrNotFound when it is not there. Else as Get.
func (s *Store) GetEntry(ctx context.Context, key []byte, options ...CallOption) (Entry, error) {
	defer runtime.KeepAlive(s)
	core, err := s.reads(ctx, opGet)
	if err != nil {
		return Entry{}, err
	}
	fresh, err := readOptions(opGet, options)
	if err != nil {
		return Entry{}, err
	}
	if core.mayWait(fresh) {
		return s.entryAt(ctx, key, fresh)
	}
	entry, err := core.native.entry(key)
	return entry, core.closedNow(err)
}

func (s *Store) entryAt(ctx context.Context, key []byte, fresh freshness) (Entry, error) {
	entry, isFresh, err := s.core.native.entryAt(key, fresh)
	if err != nil || isFresh {
		return entry, s.core.closedNow(err)
	}
	found, err := s.readAwaited(ctx, opGet, awaited{what: awaitGet, start: key}, fresh)
	switch {
	case err != nil:
		return Entry{}, err
	case len(found.Entries) != 0:
		return found.Entries[0], nil
	case !found.Done:
		return Entry{}, &Error{Code: CodeNotFound, Operation: opGet, Detail: fmt.Sprintf("key %.40q not found by the primary", key)}
	}
	entry, _, err = s.core.native.entryAt(key, fresh.here())
	return entry, s.core.closedNow(err)
}

// Count tells how many keys a range has. Else as Get.
func (s *Store) Count(ctx context.Context, keys KeyRange, options ...CallOption) (uint64, error) {
	defer runtime.KeepAlive(s)
	core, err := s.reads(ctx, opCount)
	if err != nil {
		return 0, err
	}
	fresh, err := readOptions(opCount, options)
	if err != nil {
		return 0, err
	}
	if core.mayWait(fresh) {
		return s.countAt(ctx, keys, fresh)
	}
	count, err := core.native.count(keys)
	return count, core.closedNow(err)
}

func (s *Store) countAt(ctx context.Context, keys KeyRange, fresh freshness) (uint64, error) {
	count, isFresh, err := s.core.native.countAt(keys, fresh)
	if err != nil || isFresh {
		return count, s.core.closedNow(err)
	}
	what := awaited{what: awaitCount, keys: keys.number(), start: keys.start, end: keys.end}
	counted, err := s.readAwaited(ctx, opCount, what, fresh)
	if err != nil || counted.Version != 0 {
		return counted.Count, err
	}
	count, _, err = s.core.native.countAt(keys, fresh.here())
	return count, s.core.closedNow(err)
}

// Range gives the keys of a range, all as they were at one moment: WithLimit, WithReverse, and as Get. Scan goes
// through more than is to be in memory at once.
func (s *Store) Range(ctx context.Context, keys KeyRange, options ...CallOption) ([]Entry, error) {
	scan, err := s.Scan(ctx, keys, options...)
	if err != nil {
		return nil, err
	}
	defer scan.Close()
	var entries []Entry
	for scan.Next() {
		entries = append(entries, scan.Entry())
	}
	return entries, scan.Err()
}

// All goes through the keys of a range as they were when the loop began: WithLimit, WithReverse. An error is the last
// it gives:
//
//	for entry, err := range store.All(ctx, trimtab.Prefix([]byte("user/"))) {
//		if err != nil {
//			return err
//		}
//		...
//	}
func (s *Store) All(ctx context.Context, keys KeyRange, options ...CallOption) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		scan, err := s.Scan(ctx, keys, options...)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer scan.Close()
		for scan.Next() {
			if !yield(scan.Entry(), nil) {
				return
			}
		}
		if err := scan.Err(); err != nil {
			yield(Entry{}, err)
		}
	}
}

// reads is live for what reads.
func (s *Store) reads(ctx context.Context, operation string) (*storeCore, error) {
	core, err := s.live(operation)
	if err == nil {
		err = ctx.Err()
	}
	return core, err
}
