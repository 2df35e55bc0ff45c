package trimtab

import (
	"crypto/rand"
	"fmt"
	"time"
)

// Operation is something to do to a store: for Execute, Batch and Txn. The functions Op... make one. It refers to
// the key and the value that it was made with, which must not change before the call that it is passed to has
// returned.
type Operation struct {
	kind       operationKind
	key, value []byte
	options    operationOptions
	by         int64
	lease      LeaseID
	ttl        time.Duration
	// What was said wrongly; whatever the operation is passed to gives it back.
	err error
}

type operationKind int32

const (
	kindPut operationKind = iota
	kindDelete
	kindIncrement
	kindAppend
	kindSetLifetime
	kindDeleteRange
	kindGet
	kindRange
	kindLeaseGrant
	kindLeaseKeepAlive
	kindLeaseRevoke
	kindTxn operationKind = -1
)

// What messages call each, and which options go with it.
var operationKinds = [...]struct {
	name  string
	takes optionClass
}{
	kindPut:            {"put", classCondition | classLifetime | classPrevious},
	kindDelete:         {"delete", classCondition | classPrevious},
	kindIncrement:      {"increment", 0},
	kindAppend:         {"append", 0},
	kindSetLifetime:    {"set lifetime", classCondition},
	kindDeleteRange:    {"delete range", classLimit},
	kindGet:            {"get", 0},
	kindRange:          {"range", classLimit | classReverse},
	kindLeaseGrant:     {"grant lease", 0},
	kindLeaseKeepAlive: {"keep lease alive", 0},
	kindLeaseRevoke:    {"revoke lease", 0},
}

func (k operationKind) String() string {
	if k == kindTxn {
		return "commit"
	}
	return operationKinds[k].name
}

// KeyRange is some of a store's keys, in the order of their bytes. The zero value is all of them.
type KeyRange struct {
	start, end []byte
	isPrefix   bool
}

// AllKeys is every key.
func AllKeys() KeyRange {
	return KeyRange{}
}

// Between is the keys from start on and before end; an empty end is none.
func Between(start, end []byte) KeyRange {
	return KeyRange{start: start, end: end}
}

// Prefix is the keys that begin with prefix.
func Prefix(prefix []byte) KeyRange {
	return KeyRange{start: prefix, isPrefix: true}
}

func (r KeyRange) number() int32 {
	if r.isPrefix {
		return rangePrefix
	}
	return rangeBetween
}

// OpPut puts a value, under a condition (IfAbsent, IfPresent, IfVersion) and with a lifetime (WithTTL, WithDeadline,
// WithLease, WithKeptLifetime) if told; WithPrevious gives what was there.
func OpPut(key, value []byte, options ...CallOption) Operation {
	return operation(kindPut, key, value, options)
}

// OpDelete deletes a key, under a condition if told; WithPrevious gives what was there.
func OpDelete(key []byte, options ...CallOption) Operation {
	return operation(kindDelete, key, nil, options)
}

// OpIncrement adds to a number: a value of decimal digits, with a "-" before it if it is negative. No value is 0.
func OpIncrement(key []byte, by int64) Operation {
	made := operation(kindIncrement, key, nil, nil)
	made.by = by
	return made
}

// OpAppend appends to a value; no value is an empty one.
func OpAppend(key, value []byte) Operation {
	return operation(kindAppend, key, value, nil)
}

// OpExpire has a key expire a while after the operation is submitted, under a condition (IfVersion, IfDeadline,
// IfNoDeadline, IfLater, IfEarlier) if told. None, or less, means at once.
func OpExpire(key []byte, ttl time.Duration, options ...CallOption) Operation {
	made := operation(kindSetLifetime, key, nil, options)
	made.options.lifetime, made.options.ttl = lifetimeFor, max(ttl, 0)
	if ttl <= 0 {
		// What is over long since.
		made.options.lifetime, made.options.deadline = lifetimeUntil, time.UnixMilli(0)
	}
	return made
}

// OpExpireAt has a key expire at a moment, under a condition as OpExpire.
func OpExpireAt(key []byte, deadline time.Time, options ...CallOption) Operation {
	made := operation(kindSetLifetime, key, nil, options)
	made.options.lifetime, made.options.deadline = lifetimeUntil, deadline
	return made
}

// OpPersist has a key live until it is deleted, under a condition as OpExpire.
func OpPersist(key []byte, options ...CallOption) Operation {
	made := operation(kindSetLifetime, key, nil, options)
	made.options.lifetime = lifetimeUnbounded
	return made
}

// OpSetLease has a key live as long as a lease does, under a condition as OpExpire.
func OpSetLease(key []byte, lease LeaseID, options ...CallOption) Operation {
	made := operation(kindSetLifetime, key, nil, options)
	made.options.lifetime, made.options.lease = lifetimeLease, lease
	return made
}

// OpDeleteRange deletes the keys of a range, the first ones WithLimit.
func OpDeleteRange(keys KeyRange, options ...CallOption) Operation {
	return rangeOperation(kindDeleteRange, keys, options)
}

// OpGet reads a key in its place among the writes.
func OpGet(key []byte) Operation {
	return operation(kindGet, key, nil, nil)
}

// OpRange reads a range in its place among the writes: as many keys as have StoreOptions.ValueMax together, or
// WithLimit; WithReverse from the last to the first.
func OpRange(keys KeyRange, options ...CallOption) Operation {
	return rangeOperation(kindRange, keys, options)
}

// OpLeaseGrant begins a lease, see Store.LeaseGrant. Not in a transaction.
func OpLeaseGrant(lease LeaseID, ttl time.Duration) Operation {
	return Operation{kind: kindLeaseGrant, lease: lease, ttl: ttl}
}

// OpLeaseKeepAlive prolongs a lease. Not in a transaction.
func OpLeaseKeepAlive(lease LeaseID) Operation {
	return Operation{kind: kindLeaseKeepAlive, lease: lease}
}

// OpLeaseRevoke ends a lease. Not in a transaction.
func OpLeaseRevoke(lease LeaseID) Operation {
	return Operation{kind: kindLeaseRevoke, lease: lease}
}

// operation makes one of what goes with its kind.
func operation(kind operationKind, key, value []byte, options []CallOption) Operation {
	made := Operation{kind: kind, key: key, value: value}
	for _, option := range options {
		if option.class()&operationKinds[kind].takes == 0 {
			made.err = &Error{
				Code:      CodeInvalidArgument,
				Operation: kind.String(),
				Detail:    fmt.Sprintf("invalid option: %s does not go with it", option.name()),
			}
		}
		option.apply(&made.options)
	}
	return made
}

func rangeOperation(kind operationKind, keys KeyRange, options []CallOption) Operation {
	made := operation(kind, keys.start, keys.end, options)
	made.options.keys = keys.number()
	return made
}

// ClientID tells a client of a store from all others.
type ClientID [16]byte

// NewClientID draws one.
func NewClientID() ClientID {
	var id ClientID
	// It never fails; the program ends if the system cannot.
	rand.Read(id[:])
	return id
}

// Request names a request, so that it may be sent again without being done twice: the store remembers the answers to
// the last 32 numbers of each client, over restarts too. Number is counted up by one for each, and names that one request for
// good: sent again it has to be with the same operation. No more is compared than which kind of answer that has. Where another
// kind is remembered, as of a deletion for an increment, the call fails with ErrState; where it is the same kind, as of a put
// for a put of another key, nothing is done, and the answer is what came of the first one, Repeated. A Client of zeros is
// ErrInvalidArgument.
type Request struct {
	Client ClientID
	Number uint64
}
