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

// waiting makes a read that may have to wait, beside, and waits for as long as ctx allows.
func waiting[T any](ctx context.Context, core *storeCore, read func(timeoutMS int64) (T, error)) (T, error) {
	return waitingOr(ctx, core, read, func(T) {})
}

// waitingOr is waiting for what is to be let go of when ctx ends first.
func waitingOr[T any](ctx context.Context, core *storeCore, read func(timeoutMS int64) (T, error), letGo func(T)) (T, error) {
	value, err := asideOr(ctx, func() (T, error) {
		core.stays.begin()
		defer core.stays.end()
		return read(millisecondsLeft(ctx))
	}, letGo)
	return value, core.closedNow(err)
}
