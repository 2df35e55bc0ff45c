package trimtab

import (
	"context"
	"encoding/hex"
	"fmt"
	"runtime"
	"time"
)

// Entry is what a key has.
type Entry struct {
	Key      []byte // nil where whoever asked named it
	Value    []byte
	Version  uint64    // the sequence of its last change
	Created  uint64    // the sequence that created it
	Changes  uint64    // how often it was changed, its creation included
	Deadline time.Time // when it expires; zero: not by itself
	Lease    LeaseID   // the lease it goes with; 0: none
}

// Result is what came of an operation.
type Result struct {
	// Done is whether the condition held and it was done. Of a deletion: whether there was something to delete; of
	// a transaction: whether all comparisons held; of what reads a key: whether it is there.
	Done bool
	// Repeated is whether it had been done before, by an earlier sending of the same request; this is its answer.
	Repeated bool
	// More is whether a limit left some of the range.
	More bool
	// Durability is what was reached, what was asked for or more.
	Durability Durability
	// Sequence is where in the log it is; for a request sent again, that of the first time.
	Sequence uint64
	// Version is the key's now, which is the sequence of its last change; 0: it is not there.
	Version uint64
	// Number is the sum, of an increment.
	Number int64
	// Count is how many keys were deleted, or went with a lease; how many bytes the value has, after appending; how
	// many steps of a transaction were done.
	Count uint64
	// Deadline is when a lease ends without a keep-alive.
	Deadline time.Time
	// Entries are what was there before, or what was read.
	Entries []Entry
	// Nodes is on how many nodes' disks it is known to be; 0 for what is in memory.
	Nodes uint32
	// Degraded is whether it is, in a cluster, on fewer nodes than was asked for, since the others did not answer in
	// time.
	Degraded bool
	// Position is where it is, in a cluster, for reads that are to see it.
	Position Position
}

// Previous is what was there before, of a put and a deletion WithPrevious; false if nothing was.
func (r Result) Previous() (Entry, bool) {
	if len(r.Entries) == 0 {
		return Entry{}, false
	}
	return r.Entries[0], true
}

// Answer is what came of one operation among several: a Result, or why it was refused.
type Answer struct {
	Result
	Err error
}

// ErrOutcomeUnknown is matched by the error of a write of which nobody knows whether it was done: its context was done, or its
// time over, before it was answered, or its primary was lost before it said so. It is ErrUnknownOutcome by another name.
var ErrOutcomeUnknown = ErrUnknownOutcome

// OutcomeUnknownError tells of a write that was submitted and not answered in time, or by nobody who knows. It may be done, be
// done later, or never. Store.Outcome tells by its Request, if it had one, and so does sending it again; else only the store's
// keys do. It matches ErrOutcomeUnknown, and its cause: the context's error or ErrTimedOut, if it was not waited for.
type OutcomeUnknownError struct {
	Operation string
	// Request is what it was sent with; its Client is zero if there was none.
	Request Request
	// Cause is why nobody waited on, or what the cluster said.
	Cause error
}

// Error is one line.
func (e *OutcomeUnknownError) Error() string {
	how := "read what it was to change, or name such calls WithRequest, to find out"
	if e.Request.Client != (ClientID{}) {
		how = fmt.Sprintf("send it again with request %d of client %s to find out", e.Request.Number,
			hex.EncodeToString(e.Request.Client[:]))
	}
	if told, ok := e.Cause.(*Error); ok && told.Code == CodeUnknownOutcome {
		return fmt.Sprintf("%v; %s", told, how)
	}
	return fmt.Sprintf("trimtab: %s: it may be done, be done later, or never, for it was not waited for: %v; %s",
		e.Operation, e.Cause, how)
}

// Is has errors.Is match ErrOutcomeUnknown, whatever the cause.
func (e *OutcomeUnknownError) Is(target error) bool { return target == ErrOutcomeUnknown }

// Unwrap has errors.Is match the cause.
func (e *OutcomeUnknownError) Unwrap() error { return e.Cause }

// Put puts a value: under a condition (IfAbsent, IfPresent, IfVersion), with a lifetime (WithTTL, WithDeadline,
// WithLease, WithKeptLifetime; until it is deleted without), WithPrevious, WithDurability, WithRequest. Done of the
// result tells whether the condition held, Version which one the key has now.
func (s *Store) Put(ctx context.Context, key, value []byte, options ...CallOption) (Result, error) {
	call, rest := split(options)
	operation := operation(kindPut, key, value, rest)
	return s.do(ctx, &operation, call)
}

// CompareAndSet puts a value if the key has a version, 0 for if it is not there; else as Put.
func (s *Store) CompareAndSet(ctx context.Context, key []byte, version uint64, value []byte, options ...CallOption) (Result, error) {
	call, rest := split(options)
	operation := operation(kindPut, key, value, rest)
	IfVersion(version).apply(&operation.options)
	return s.do(ctx, &operation, call)
}

// GetAndSet puts a value, and Previous of the result is what was there; else as Put.
func (s *Store) GetAndSet(ctx context.Context, key, value []byte, options ...CallOption) (Result, error) {
	call, rest := split(options)
	operation := operation(kindPut, key, value, rest)
	operation.options.previous = true
	return s.do(ctx, &operation, call)
}

// Delete deletes a key: under a condition, WithPrevious, WithDurability, WithRequest. Done of the result tells
// whether it was there.
func (s *Store) Delete(ctx context.Context, key []byte, options ...CallOption) (Result, error) {
	call, rest := split(options)
	operation := operation(kindDelete, key, nil, rest)
	return s.do(ctx, &operation, call)
}

// DeleteRange deletes the keys of a range, seen whole or not at all: the first ones WithLimit, WithDurability,
// WithRequest. Count of the result tells how many, More whether a limit left some.
func (s *Store) DeleteRange(ctx context.Context, keys KeyRange, options ...CallOption) (Result, error) {
	call, rest := split(options)
	operation := rangeOperation(kindDeleteRange, keys, rest)
	return s.do(ctx, &operation, call)
}

// Increment adds to a number, see OpIncrement; Number of the result is the sum. The key lives as long as before. A
// sum beyond 64 bits, and a value that is no number, is ErrInvalidArgument. Takes WithDurability and WithRequest.
func (s *Store) Increment(ctx context.Context, key []byte, by int64, options ...CallOption) (Result, error) {
	call, rest := split(options)
	operation := operation(kindIncrement, key, nil, rest)
	operation.by = by
	return s.do(ctx, &operation, call)
}

// Append appends to a value; no value is an empty one. Count of the result is its length. The key lives as long as
// before. Takes WithDurability and WithRequest.
func (s *Store) Append(ctx context.Context, key, value []byte, options ...CallOption) (Result, error) {
	call, rest := split(options)
	operation := operation(kindAppend, key, value, rest)
	return s.do(ctx, &operation, call)
}

// Expire has a key expire a while from now, at once for none or less: under a condition (IfVersion, IfDeadline,
// IfNoDeadline, IfLater, IfEarlier), WithDurability, WithRequest. Done of the result tells whether it was there.
func (s *Store) Expire(ctx context.Context, key []byte, ttl time.Duration, options ...CallOption) (Result, error) {
	call, rest := split(options)
	operation := OpExpire(key, ttl, rest...)
	return s.do(ctx, &operation, call)
}

// ExpireAt has a key expire at a moment, as WithDeadline counts it, else as Expire.
func (s *Store) ExpireAt(ctx context.Context, key []byte, deadline time.Time, options ...CallOption) (Result, error) {
	call, rest := split(options)
	operation := OpExpireAt(key, deadline, rest...)
	return s.do(ctx, &operation, call)
}

// Persist has a key live until it is deleted, else as Expire.
func (s *Store) Persist(ctx context.Context, key []byte, options ...CallOption) (Result, error) {
	call, rest := split(options)
	operation := OpPersist(key, rest...)
	return s.do(ctx, &operation, call)
}

// Execute does whatever operation, WithDurability and WithRequest.
func (s *Store) Execute(ctx context.Context, operation Operation, options ...CallOption) (Result, error) {
	call, err := ofCall(operation.kind.String(), options)
	if err != nil {
		return Result{}, err
	}
	return s.do(ctx, &operation, call)
}

// do submits an operation and waits for its answer.
func (s *Store) do(ctx context.Context, operation *Operation, call callOptions) (Result, error) {
	defer runtime.KeepAlive(s)
	name := operation.kind.String()
	core, err := s.live(name)
	if err == nil {
		err = operation.err
	}
	if err == nil {
		err = call.check(name, 1)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return Result{}, err
	}
	queue := core.calls
	if err := s.takePlace(ctx, name); err != nil {
		return Result{}, err
	}
	waits := newPending(1)
	defer waits.drop()
	queue.enter(waits, 0, 1)
	// What need not wait for the disk is done by now.
	isMemory := call.durability == DurabilityMemory || call.durability == DurabilityDefault && core.usual == DurabilityMemory
	var done [1]nativeDone
	isDone, err := core.native.submit(operation, &call, uint64(waits.slots[0]), isMemory, &done[0])
	if err != nil {
		queue.leave(waits, 0)
		return Result{}, core.closedNow(err)
	}
	if isDone && queue.claim(waits, &done[0]) {
		result, err := done[0].read(name)
		return result, core.answered(name, call.request, err)
	}
	if isDone {
		queue.bring(done[:])
	}
	if _, err := queue.wait(ctx, waits, s.timeout, func() error { return s.timedOut(name) }); err != nil {
		return Result{}, &OutcomeUnknownError{Operation: name, Request: call.request, Cause: err}
	}
	result, err := waits.answers[0].read(name)
	return result, core.answered(name, call.request, err)
}

// takePlace waits for a place for one call, no longer than ctx or the store's timeout allows: nothing was done then.
func (s *Store) takePlace(ctx context.Context, operation string) error {
	queue := s.core.calls
	if queue.tryPlaces(1) == 1 {
		return nil
	}
	ctx, cancel := s.within(ctx, operation)
	defer cancel()
	return queue.place(ctx)
}

// answered is the error of a write that was submitted and answered: of one that may have been done, however that is said, an
// OutcomeUnknownError.
func (c *storeCore) answered(operation string, request Request, err error) error {
	if told, ok := err.(*Error); ok && (told.Code == CodeUnknownOutcome || told.Code == CodeTimedOut) {
		return &OutcomeUnknownError{Operation: operation, Request: request, Cause: err}
	}
	return c.closedNow(err)
}

// Batch does operations, each by itself, in order, and gives what came of each. They are submitted many at a time,
// which saves crossings, and waited for together. WithDurability and WithRequest go for all: the first operation has the
// request's number, the next the one behind it, and so on; none is submitted when they go beyond 2^64 - 1. The error is that of the
// first that has one; the answers tell of each, those that were not submitted included.
func (s *Store) Batch(ctx context.Context, operations []Operation, options ...CallOption) ([]Answer, error) {
	const name = "batch"
	defer runtime.KeepAlive(s)
	core, err := s.live(name)
	if err != nil {
		return nil, err
	}
	call, err := ofCall(name, options)
	if err != nil {
		return nil, err
	}
	for at := range operations {
		if operations[at].err != nil {
			return nil, operations[at].err
		}
	}
	if err := ctx.Err(); err != nil || len(operations) == 0 {
		return nil, err
	}
	if err := call.check(name, len(operations)); err != nil {
		return nil, err
	}
	waits := newPending(len(operations))
	defer waits.drop()
	submitted, refused := s.submitBatch(ctx, waits, operations, call)
	answers := make([]Answer, len(operations))
	for at := submitted; at < len(answers); at++ {
		answers[at].Err = core.closedNow(refused)
	}
	if submitted > 0 {
		isThere, err := core.calls.wait(ctx, waits, s.timeout, func() error { return s.timedOut(name) })
		for at := range submitted {
			request := call.request
			request.Number += uint64(at)
			if !isThere(at) {
				answers[at].Err = &OutcomeUnknownError{Operation: name, Request: request, Cause: err}
				continue
			}
			result, err := waits.answers[at].read(operations[at].kind.String())
			answers[at] = Answer{result, core.answered(name, request, err)}
		}
	}
	for at := range answers {
		if answers[at].Err != nil {
			return answers, answers[at].Err
		}
	}
	return answers, nil
}

// batchMax is how many operations one crossing takes at most: for so long nobody else is served.
const batchMax = 1024

// submitBatch submits operations as there are places for them; tells how many were, and why not the next one.
func (s *Store) submitBatch(ctx context.Context, waits *pending, operations []Operation, call callOptions) (int, error) {
	core, queue := s.core, s.core.calls
	submitted := 0
	var refused error
	for submitted < len(operations) && refused == nil {
		if refused = s.takePlace(ctx, "batch"); refused != nil {
			break
		}
		count := 1 + queue.tryPlaces(min(len(operations)-submitted, batchMax)-1)
		queue.enter(waits, submitted, submitted+count)
		slots := waits.slots[submitted : submitted+count]
		now := call
		now.request.Number += uint64(submitted)
		var taken int
		taken, refused = core.native.submitAll(operations[submitted:submitted+count], &now,
			func(at int) uint64 { return uint64(slots[at]) })
		if taken < count {
			queue.leave(waits, submitted+taken)
		}
		// Before the next wait for a place, which these are to make.
		queue.listen(waits, submitted)
		submitted += taken
	}
	if submitted < len(operations) {
		queue.notComing(waits, len(operations)-submitted)
	}
	return submitted, refused
}
