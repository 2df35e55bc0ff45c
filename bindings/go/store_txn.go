package trimtab

import (
	"context"
	"runtime"
)

// Txn is operations on several keys that are seen whole or not at all: if all comparisons hold, those of Then, in
// order, if not, those of Else. Each sees what those before it have done. It may be committed as often as wanted.
type Txn struct {
	If   []Comparison
	Then []Operation
	Else []Operation
	// Continue is what an operation that is refused (a value that is no number, one that is too long) means for the
	// others: false, nothing of the transaction is done, and the refusal is Commit's error; true, the others are
	// done, and the step's Answer tells the refusal.
	Continue bool
}

// TxnResult is what came of a transaction. Done is whether all comparisons held.
type TxnResult struct {
	Result
	// Steps are what came of each operation of the branch that was done, in its order.
	Steps []Answer
}

// Relation is how what a key has must stand to what is compared with it.
type Relation int32

const (
	// RelationEqual: it is the same.
	RelationEqual Relation = 0
	// RelationNotEqual: it is not the same.
	RelationNotEqual Relation = 1
	// RelationLess: what the key has is less.
	RelationLess Relation = 2
	// RelationGreater: what the key has is greater.
	RelationGreater Relation = 3
)

// Comparison is of what a key has with something. The functions Compare... make one. It refers to the key and the
// value that it was made with.
type Comparison struct {
	key, value []byte
	what       int32
	relation   Relation
	number     uint64
}

// What is compared.
const (
	compareValue   = -1
	compareVersion = 0
	compareCreated = 1
	compareChanges = 2
	compareLease   = 3
)

// CompareVersion is of the sequence of the key's last change; 0: it is not there.
func CompareVersion(key []byte, relation Relation, version uint64) Comparison {
	return Comparison{key: key, what: compareVersion, relation: relation, number: version}
}

// CompareCreated is of the sequence that created the key; 0: it is not there.
func CompareCreated(key []byte, relation Relation, sequence uint64) Comparison {
	return Comparison{key: key, what: compareCreated, relation: relation, number: sequence}
}

// CompareChanges is of how often the key was changed, its creation included; 0: it is not there.
func CompareChanges(key []byte, relation Relation, changes uint64) Comparison {
	return Comparison{key: key, what: compareChanges, relation: relation, number: changes}
}

// CompareLease is of the key's lease; 0: none.
func CompareLease(key []byte, relation Relation, lease LeaseID) Comparison {
	return Comparison{key: key, what: compareLease, relation: relation, number: uint64(lease)}
}

// CompareValue is of the key's value, byte by byte. That of a key that is not there is less than any.
func CompareValue(key []byte, relation Relation, value []byte) Comparison {
	return Comparison{key: key, value: value, what: compareValue, relation: relation}
}

// Commit does a transaction, WithDurability and WithRequest. More comparisons and operations than
// StoreOptions.OperationsMax are ErrInvalidArgument.
func (s *Store) Commit(ctx context.Context, txn Txn, options ...CallOption) (TxnResult, error) {
	defer runtime.KeepAlive(s)
	name := kindTxn.String()
	core, err := s.live(name)
	if err != nil {
		return TxnResult{}, err
	}
	call, err := ofCall(name, options)
	if err != nil {
		return TxnResult{}, err
	}
	for _, branch := range [...][]Operation{txn.Then, txn.Else} {
		for at := range branch {
			if branch[at].err != nil {
				return TxnResult{}, branch[at].err
			}
		}
	}
	if err := call.check(name, 1); err != nil {
		return TxnResult{}, err
	}
	if err := ctx.Err(); err != nil {
		return TxnResult{}, err
	}
	if err := s.takePlace(ctx, name); err != nil {
		return TxnResult{}, err
	}
	queue := core.calls
	waits := newPending(1)
	defer waits.drop()
	queue.enter(waits, 0, 1)
	if err := core.native.submitTxn(&txn, &call, uint64(waits.slots[0])|keep); err != nil {
		queue.leave(waits, 0)
		return TxnResult{}, core.closedNow(err)
	}
	if _, err := queue.wait(ctx, waits, s.timeout, func() error { return s.timedOut(name) }); err != nil {
		return TxnResult{}, &OutcomeUnknownError{Operation: name, Request: call.request, Cause: err}
	}
	result, err := waits.answers[0].readSteps(name, max(len(txn.Then), len(txn.Else)))
	return result, core.answered(name, call.request, err)
}
