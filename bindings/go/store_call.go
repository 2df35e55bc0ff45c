package trimtab

import (
	"fmt"
	"math"
	"time"
)

// CallOption is how a call on a store is to go, or an operation. Each With... and If... function says with which it
// goes; with others the call is refused.
type CallOption struct {
	what     optionKind
	number   uint64
	duration time.Duration
	moment   time.Time
	client   ClientID
	epoch    uint64
}

type optionKind uint8

const (
	optionNone optionKind = iota
	optionIfAbsent
	optionIfPresent
	optionIfVersion
	optionIfNoDeadline
	optionIfDeadline
	optionIfLater
	optionIfEarlier
	optionTTL
	optionDeadline
	optionLease
	optionKeptLifetime
	optionPrevious
	optionLimit
	optionReverse
	optionDurability
	optionRequest
	optionReadLevel
	optionAgeMax
	optionPosition
	optionNodes
)

// optionClass is what an option is about.
type optionClass uint8

const (
	classCondition optionClass = 1 << iota
	classLifetime
	classPrevious
	classLimit
	classReverse
	classCall
	classRead
)

var optionKinds = [...]struct {
	name  string
	class optionClass
}{
	optionNone:         {"a CallOption that no function made", 0},
	optionIfAbsent:     {"IfAbsent", classCondition},
	optionIfPresent:    {"IfPresent", classCondition},
	optionIfVersion:    {"IfVersion", classCondition},
	optionIfNoDeadline: {"IfNoDeadline", classCondition},
	optionIfDeadline:   {"IfDeadline", classCondition},
	optionIfLater:      {"IfLater", classCondition},
	optionIfEarlier:    {"IfEarlier", classCondition},
	optionTTL:          {"WithTTL", classLifetime},
	optionDeadline:     {"WithDeadline", classLifetime},
	optionLease:        {"WithLease", classLifetime},
	optionKeptLifetime: {"WithKeptLifetime", classLifetime},
	optionPrevious:     {"WithPrevious", classPrevious},
	optionLimit:        {"WithLimit", classLimit},
	optionReverse:      {"WithReverse", classReverse},
	optionDurability:   {"WithDurability", classCall},
	optionRequest:      {"WithRequest", classCall},
	optionReadLevel:    {"WithReadLevel", classRead},
	optionAgeMax:       {"WithAgeMax", classRead},
	optionPosition:     {"WithPosition", classRead},
	optionNodes:        {"WithNodes", classCall},
}

// IfAbsent does it if the key is not there.
func IfAbsent() CallOption { return CallOption{what: optionIfAbsent} }

// IfPresent does it if the key is there.
func IfPresent() CallOption { return CallOption{what: optionIfPresent} }

// IfVersion does it if the key has this version; 0: if it is not there.
func IfVersion(version uint64) CallOption {
	return CallOption{what: optionIfVersion, number: version}
}

// IfNoDeadline changes a lifetime if the key has no deadline.
func IfNoDeadline() CallOption { return CallOption{what: optionIfNoDeadline} }

// IfDeadline changes a lifetime if the key has a deadline.
func IfDeadline() CallOption { return CallOption{what: optionIfDeadline} }

// IfLater changes a lifetime if the new deadline is later. No deadline is after all others.
func IfLater() CallOption { return CallOption{what: optionIfLater} }

// IfEarlier changes a lifetime if the new deadline is earlier.
func IfEarlier() CallOption { return CallOption{what: optionIfEarlier} }

// WithTTL puts for so long from when the call begins, counted in whole milliseconds, rounded up. None, or less,
// means that it is gone at once.
func WithTTL(ttl time.Duration) CallOption {
	return CallOption{what: optionTTL, duration: ttl}
}

// WithDeadline puts until this moment, counted in whole milliseconds, rounded up. One that is too far away to be counted is never.
func WithDeadline(deadline time.Time) CallOption {
	return CallOption{what: optionDeadline, moment: deadline}
}

// WithLease puts for as long as the lease lives.
func WithLease(lease LeaseID) CallOption {
	return CallOption{what: optionLease, number: uint64(lease)}
}

// WithKeptLifetime puts for as long as the key would have lived; a new key until it is deleted.
func WithKeptLifetime() CallOption { return CallOption{what: optionKeptLifetime} }

// WithPrevious has the Result tell what was there before.
func WithPrevious() CallOption { return CallOption{what: optionPrevious} }

// WithLimit has at most so many keys deleted or read; 0 for no limit.
func WithLimit(keys uint64) CallOption {
	return CallOption{what: optionLimit, number: keys}
}

// WithReverse reads from the last key to the first.
func WithReverse() CallOption { return CallOption{what: optionReverse} }

// WithDurability says what is to be reached before the call is answered.
func WithDurability(durability Durability) CallOption {
	return CallOption{what: optionDurability, number: uint64(durability)}
}

// WithRequest names the call, so that it may be sent again, with the same operation, without being done twice. Of
// a batch it is the first operation's; the next one has the number behind it, and so on: a batch that goes beyond the last
// number there is, and a client of zeros, is ErrInvalidArgument. See Request for what the caller has to keep to.
func WithRequest(request Request) CallOption {
	return CallOption{what: optionRequest, number: request.Number, client: request.Client}
}

func (o CallOption) class() optionClass { return optionKinds[o.what].class }

func (o CallOption) name() string { return optionKinds[o.what].name }

// operationOptions is what options say of an operation, in C's terms.
type operationOptions struct {
	keys      int32
	condition int32
	version   uint64
	lifetime  int32
	ttl       time.Duration
	deadline  time.Time
	lease     LeaseID
	previous  bool
	limit     uint64
	reverse   bool
}

func (o CallOption) apply(to *operationOptions) {
	switch o.what {
	case optionIfAbsent:
		to.condition = conditionAbsent
	case optionIfPresent:
		to.condition = conditionPresent
	case optionIfVersion:
		to.condition, to.version = conditionVersion, o.number
	case optionIfNoDeadline:
		to.condition = conditionNoDeadline
	case optionIfDeadline:
		to.condition = conditionDeadline
	case optionIfLater:
		to.condition = conditionLater
	case optionIfEarlier:
		to.condition = conditionEarlier
	case optionTTL:
		to.lifetime, to.ttl = lifetimeFor, o.duration
	case optionDeadline:
		to.lifetime, to.deadline = lifetimeUntil, o.moment
	case optionLease:
		to.lifetime, to.lease = lifetimeLease, LeaseID(o.number)
	case optionKeptLifetime:
		to.lifetime = lifetimeKeep
	case optionPrevious:
		to.previous = true
	case optionLimit:
		to.limit = o.number
	case optionReverse:
		to.reverse = true
	}
}

// callOptions is what options say of the call itself.
type callOptions struct {
	durability Durability
	nodes      uint32
	request    Request
	hasRequest bool
}

// check refuses what cannot be a request, for a call of so many operations.
func (c *callOptions) check(operation string, count int) error {
	why := ""
	switch {
	case !c.hasRequest:
	case c.request.Client == ClientID{}:
		why = "invalid request: all zero is no client; take NewClientID"
	case uint64(count-1) > math.MaxUint64-c.request.Number:
		why = fmt.Sprintf("invalid request: of %d operations from number %d on the last would be beyond 2^64 - 1", count, c.request.Number)
	}
	if why == "" {
		return nil
	}
	return &Error{Code: CodeInvalidArgument, Operation: operation, Detail: why}
}

// split takes those of the call itself, and leaves the operation's.
func split(options []CallOption) (callOptions, []CallOption) {
	var call callOptions
	at := 0
	for at < len(options) && options[at].class() != classCall {
		at++
	}
	if at == len(options) {
		return call, options
	}
	rest := append([]CallOption(nil), options[:at]...)
	for _, option := range options[at:] {
		switch option.what {
		case optionDurability:
			call.durability = Durability(int32(option.number))
		case optionNodes:
			call.nodes = uint32(option.number)
		case optionRequest:
			call.request, call.hasRequest = Request{Client: option.client, Number: option.number}, true
		default:
			rest = append(rest, option)
		}
	}
	return call, rest
}

// ofCall is split for what takes nothing else.
func ofCall(operation string, options []CallOption) (callOptions, error) {
	call, rest := split(options)
	if len(rest) != 0 {
		return call, &Error{
			Code:      CodeInvalidArgument,
			Operation: operation,
			Detail:    "invalid option: " + rest[0].name() + " belongs to the operations",
		}
	}
	return call, nil
}

// millisecondsUp counts whole milliseconds, rounded up.
func millisecondsUp(ttl time.Duration) uint64 {
	return uint64(wholeMilliseconds(ttl))
}

// unixMilliseconds is the same for a moment; what was before 1970 is over anyway, and what is beyond all milliseconds is never.
func unixMilliseconds(moment time.Time) uint64 {
	switch seconds := moment.Unix(); {
	case seconds < 0:
		return 0
	case seconds >= math.MaxInt64/1000:
		return math.MaxUint64
	}
	millis := moment.UnixMilli()
	if moment.After(time.UnixMilli(millis)) {
		millis++
	}
	return uint64(millis)
}

// momentOf is a deadline as C tells it; the zero Time is none.
func momentOf(millis uint64) time.Time {
	if millis == 0 || millis > 1<<62 {
		return time.Time{}
	}
	return time.UnixMilli(int64(millis))
}
