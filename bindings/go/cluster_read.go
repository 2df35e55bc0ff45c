package trimtab

import (
	"context"
	"time"
)

// Position is where a write is, in a cluster: of a Result, for reads that are to see it.
type Position struct {
	Epoch uint64
	Entry uint64
}

// WithReadLevel says how fresh what a read sees is to be, in a cluster: in a store of one node it sees all that was written
// whatever is asked.
func WithReadLevel(level ReadLevel) CallOption {
	return CallOption{what: optionReadLevel, number: uint64(level)}
}

// WithAgeMax has a read see what is on this node, no older than this: the level ReadReplica.
func WithAgeMax(age time.Duration) CallOption {
	return CallOption{what: optionAgeMax, duration: age}
}

// WithPosition has a read see the write that has this position, and wait for that if it must.
func WithPosition(position Position) CallOption {
	return CallOption{what: optionPosition, number: position.Entry, epoch: position.Epoch}
}

// WithNodes says on how many nodes' disks a write is to be before it is answered, learners among them, beside those of a
// quorum.
func WithNodes(nodes uint32) CallOption {
	return CallOption{what: optionNodes, number: uint64(nodes)}
}

// freshness is what options say of a read.
type freshness struct {
	level    ReadLevel
	ageMax   time.Duration
	position Position
	isSaid   bool
	// timeoutMS is how long to wait for that.
	timeoutMS int64
	// isHere is whether it was waited for.
	isHere bool
}

// freshOf takes those of the read, and leaves the others.
func freshOf(options []CallOption) (freshness, []CallOption) {
	var fresh freshness
	var rest []CallOption
	for _, option := range options {
		switch option.what {
		case optionReadLevel:
			fresh.level, fresh.isSaid = ReadLevel(int32(option.number)), true
		case optionAgeMax:
			fresh.level, fresh.ageMax, fresh.isSaid = ReadReplica, option.duration, true
		case optionPosition:
			fresh.position, fresh.isSaid = Position{Epoch: option.epoch, Entry: option.number}, true
		default:
			rest = append(rest, option)
		}
	}
	return fresh, rest
}

// readOptions is freshOf for what takes nothing else.
func readOptions(operation string, options []CallOption) (freshness, error) {
	if len(options) == 0 {
		return freshness{}, nil
	}
	fresh, rest := freshOf(options)
	if len(rest) != 0 {
		return fresh, &Error{Code: CodeInvalidArgument, Operation: operation, Detail: "invalid option: " + rest[0].name() + " is not for this"}
	}
	return fresh, nil
}

// mayWait is whether a read may have to wait for another node.
func (c *storeCore) mayWait(fresh freshness) bool {
	return c.isMember || fresh.isSaid
}

// awaited is what a read waits for, in C's terms: of a key, of a range, or of a client's request.
type awaited struct {
	what       int
	keys       int32
	start, end []byte
	number     uint64
}

// tellingTime is for how long behind the end of a read's time the library may tell what there was to wait for. Behind that it is
// hosted, and nobody turns it.
const tellingTime = time.Second

// readAwaited has a read wait: for what is here to be as fresh as was asked, and for what the primary finds. It has a place in the
// queue meanwhile, and no thread; when ctx is done it gives that back at once.
func (s *Store) readAwaited(ctx context.Context, operation string, what awaited, fresh freshness) (Result, error) {
	if fresh.timeoutMS = millisecondsLeft(ctx); fresh.timeoutMS == 0 {
		fresh.timeoutMS = wholeMilliseconds(s.timeout)
	}
	result, err := s.await(ctx, operation, s.timeout+tellingTime, func(userData uint64, done *nativeDone) (bool, error) {
		return s.core.native.await(operation, what, fresh, userData, done)
	})
	if err != nil {
		// Its time was the context's: whichever was looked at first, that is what ended it.
		if over := overOf(ctx); over != nil {
			err = over
		}
	}
	return result, err
}

// await submits what only waits, and gives its answer. When ctx is done first, or the time is over that is for one without a deadline,
// it is taken back.
func (s *Store) await(ctx context.Context, operation string, timeout time.Duration, submit func(userData uint64, done *nativeDone) (bool, error)) (Result, error) {
	if err := s.takePlace(ctx, operation); err != nil {
		return Result{}, err
	}
	core, queue := s.core, s.core.calls
	if err := s.takeTurn(ctx, operation); err != nil {
		queue.givePlaces(1)
		return Result{}, err
	}
	waits := newPending(1)
	defer waits.drop()
	waits.isWait = true
	queue.enter(waits, 0, 1)
	var done [1]nativeDone
	isDone, err := submit(uint64(waits.slots[0]), &done[0])
	<-queue.turns
	if err != nil {
		queue.leave(waits, 0)
		return Result{}, core.closedNow(err)
	}
	if isDone && queue.claim(waits, &done[0]) {
		result, err := done[0].read(operation)
		return result, core.closedNow(err)
	}
	if isDone {
		queue.bring(done[:])
	}
	if _, err := queue.wait(ctx, waits, timeout, func() error { return s.timedOut(operation) }); err != nil {
		return Result{}, err
	}
	result, err := waits.answers[0].read(operation)
	return result, core.closedNow(err)
}

// takeTurn waits for a turn to submit what only waits, no longer than ctx or the store's timeout allows.
func (s *Store) takeTurn(ctx context.Context, operation string) error {
	queue := s.core.calls
	select {
	case queue.turns <- struct{}{}:
		return nil
	default:
	}
	ctx, cancel := s.within(ctx, operation)
	defer cancel()
	select {
	case queue.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return endOf(ctx)
	}
}

// here is how to read what was waited for.
func (f freshness) here() freshness {
	f.isHere = true
	return f
}
