package trimtab

import (
	"context"
	"testing"
	"time"
)

func TestATransactionDoesOneBranch(t *testing.T) {
	store := openStore(t, smallStore())
	first := put(t, store, "a", "1")
	commit := must[TxnResult](t)
	txn := Txn{
		If: []Comparison{
			CompareVersion([]byte("a"), RelationEqual, first.Version),
			CompareValue([]byte("a"), RelationLess, []byte("2")),
			CompareChanges([]byte("a"), RelationGreater, 0),
			CompareCreated([]byte("a"), RelationEqual, first.Version),
			CompareLease([]byte("a"), RelationNotEqual, 7),
			CompareVersion([]byte("b"), RelationEqual, 0),
		},
		Then: []Operation{
			OpPut([]byte("a"), []byte("2"), WithPrevious()),
			OpIncrement([]byte("n"), 5),
			OpRange(AllKeys()),
			OpAppend([]byte("a"), []byte("3")),
			OpGet([]byte("a")),
			OpDelete([]byte("nothing")),
		},
		Else: []Operation{OpGet([]byte("a")), OpGet([]byte("nothing"))},
	}
	done := commit(store.Commit(bg, txn))
	if !done.Done || len(done.Steps) != 6 || done.Durability != DurabilityLocal {
		t.Fatalf("came to %+v", done)
	}
	for at, step := range done.Steps {
		if step.Err != nil {
			t.Errorf("step %d: %v", at, step.Err)
		}
	}
	if previous, had := done.Steps[0].Previous(); !had || string(previous.Value) != "1" {
		t.Errorf("the put came to %+v", done.Steps[0])
	}
	if done.Steps[1].Number != 5 || done.Steps[3].Count != 2 || done.Steps[5].Done {
		t.Errorf("the steps came to %+v", done.Steps)
	}
	if pairs := pairsOf(done.Steps[2].Entries); pairs != "a=2 n=5 " {
		t.Errorf("the range was %q", pairs)
	}
	if got := done.Steps[4].Entries; len(got) != 1 || string(got[0].Value) != "23" {
		t.Errorf("the value was %+v", got)
	}
	again := commit(store.Commit(bg, txn))
	if again.Done || len(again.Steps) != 2 || !again.Steps[0].Done || again.Steps[1].Done {
		t.Errorf("again it came to %+v", again)
	}
	empty := commit(store.Commit(bg, Txn{}))
	if !empty.Done || len(empty.Steps) != 0 {
		t.Errorf("nothing came to %+v", empty)
	}
}

func TestARefusedStep(t *testing.T) {
	store := openStore(t, smallStore())
	put(t, store, "text", "x")
	txn := Txn{Then: []Operation{OpPut([]byte("a"), []byte("1")), OpIncrement([]byte("text"), 1)}}
	_, err := store.Commit(bg, txn)
	wantError(t, err, ErrInvalidArgument)
	wantAbsent(t, store, "a")
	txn.Continue = true
	done := must[TxnResult](t)(store.Commit(bg, txn))
	if done.Steps[0].Err != nil {
		t.Error(done.Steps[0].Err)
	}
	wantError(t, done.Steps[1].Err, ErrInvalidArgument)
	wantValue(t, store, "a", "1")
	_, err = store.Commit(bg, Txn{Then: []Operation{OpLeaseRevoke(1)}})
	wantError(t, err, ErrInvalidArgument)
}

func TestARequestSentAgainIsDoneOnce(t *testing.T) {
	path := t.TempDir()
	store := openStoreIn(t, path, smallStore())
	client := NewClientID()
	request := WithRequest(Request{Client: client, Number: 1})
	call := must[Result](t)
	first := call(store.Increment(bg, []byte("n"), 1, request))
	if first.Repeated || first.Number != 1 {
		t.Errorf("first: %+v", first)
	}
	store.Close()
	store = openStoreIn(t, path, smallStore())
	outcome := must[RequestOutcome](t)(store.Outcome(bg, Request{Client: client, Number: 1}))
	if outcome.State != RequestApplied || outcome.Result.Sequence != first.Sequence || !outcome.Result.Repeated {
		t.Errorf("the first: %+v", outcome)
	}
	outcome = must[RequestOutcome](t)(store.Outcome(bg, Request{Client: client, Number: 2}))
	if outcome.State != RequestNotApplied || outcome.Result.Sequence != 0 {
		t.Errorf("one never sent: %+v", outcome)
	}
	again := call(store.Increment(bg, []byte("n"), 1, request, WithDurability(DurabilityMemory)))
	if !again.Repeated || again.Number != 1 || again.Sequence != first.Sequence {
		t.Errorf("again: %+v", again)
	}
	wantValue(t, store, "n", "1")
	txn := Txn{Then: []Operation{OpIncrement([]byte("n"), 1)}}
	request = WithRequest(Request{Client: client, Number: 2})
	must[TxnResult](t)(store.Commit(bg, txn, request))
	repeated := must[TxnResult](t)(store.Commit(bg, txn, request))
	if !repeated.Repeated || len(repeated.Steps) != 1 || repeated.Steps[0].Number != 2 {
		t.Errorf("the transaction again: %+v", repeated)
	}
	for number := range uint64(40) {
		call(store.Increment(bg, []byte("n"), 1, WithRequest(Request{Client: client, Number: 3 + number})))
	}
	_, err := store.Increment(bg, []byte("n"), 1, WithRequest(Request{Client: client, Number: 1}))
	wantError(t, err, ErrState)
	outcome = must[RequestOutcome](t)(store.Outcome(bg, Request{Client: client, Number: 1}))
	if outcome.State != RequestForgotten {
		t.Errorf("one long ago: %+v", outcome)
	}
	call(store.Append(bg, []byte("long"), make([]byte, 10_000), WithRequest(Request{Client: client, Number: 50})))
	_, err = store.Commit(bg, txn, WithRequest(Request{Client: client, Number: 50}))
	wantError(t, err, ErrState)
}

func TestABatchTellsOfEach(t *testing.T) {
	store := openStore(t, smallStore())
	put(t, store, "text", "x")
	request := WithRequest(Request{Client: NewClientID(), Number: 10})
	batch := []Operation{
		OpPut([]byte("a"), []byte("1")),
		OpIncrement([]byte("text"), 1),
		OpIncrement([]byte("n"), 3),
		OpPut([]byte("a"), []byte("2"), WithPrevious()),
		OpRange(AllKeys()),
	}
	for _, isAgain := range []bool{false, true} {
		answers, err := store.Batch(bg, batch, request)
		wantError(t, err, ErrInvalidArgument)
		if len(answers) != len(batch) {
			t.Fatalf("%d answers to %d operations", len(answers), len(batch))
		}
		wantError(t, answers[1].Err, ErrInvalidArgument)
		for at, answer := range answers {
			if at != 1 && (answer.Err != nil || answer.Repeated != isAgain) {
				t.Errorf("%d came to %+v", at, answer)
			}
		}
		if previous, had := answers[3].Previous(); !had || string(previous.Value) != "1" || answers[2].Number != 3 {
			t.Errorf("came to %+v", answers)
		}
		if pairs := pairsOf(answers[4].Entries); pairs != "a=2 n=3 text=x " {
			t.Errorf("the range was %q", pairs)
		}
	}
	if answers, err := store.Batch(bg, nil); err != nil || len(answers) != 0 {
		t.Errorf("nothing came to %v, %v", answers, err)
	}
}

// More than there are places for, in order.
func TestABatchLongerThanTheQueue(t *testing.T) {
	options := smallStore()
	options.QueueMax = 7
	store := openStore(t, options)
	var batch []Operation
	for range 5000 {
		batch = append(batch, OpIncrement([]byte("n"), 1))
	}
	for at, answer := range must[[]Answer](t)(store.Batch(bg, batch, WithDurability(DurabilityMemory))) {
		if answer.Number != int64(at+1) {
			t.Fatalf("the sum at %d is %d", at, answer.Number)
		}
	}
}

func TestLeases(t *testing.T) {
	store := openStore(t, smallStore())
	call := must[Result](t)
	lease := NewLeaseID()
	before := time.Now()
	granted := call(store.LeaseGrant(bg, lease, time.Hour))
	if granted.Deadline.Before(before.Add(time.Hour - time.Second)) {
		t.Errorf("granted until %v", granted.Deadline)
	}
	_, err := store.LeaseGrant(bg, lease, time.Hour)
	wantError(t, err, ErrInvalidArgument)
	_, err = store.LeaseGrant(bg, 0, time.Hour)
	wantError(t, err, ErrInvalidArgument)
	_, err = store.LeaseGrant(bg, lease+1, 0)
	wantError(t, err, ErrInvalidArgument)
	state := must[LeaseState](t)(store.Lease(bg, lease))
	if state.TTL != time.Hour || !state.Deadline.Equal(granted.Deadline) {
		t.Errorf("the lease is %+v", state)
	}
	put(t, store, "a", "1", WithLease(lease))
	put(t, store, "b", "1")
	call(store.Execute(bg, OpSetLease([]byte("b"), lease)))
	if entry := must[Entry](t)(store.GetEntry(bg, []byte("b"))); entry.Lease != lease {
		t.Errorf("b is %+v", entry)
	}
	if kept := call(store.LeaseKeepAlive(bg, lease)); kept.Deadline.Before(granted.Deadline) {
		t.Errorf("kept until %v", kept.Deadline)
	}
	if revoked := call(store.LeaseRevoke(bg, lease)); revoked.Count != 2 {
		t.Errorf("revoked: %+v", revoked)
	}
	wantAbsent(t, store, "a")
	_, err = store.LeaseKeepAlive(bg, lease)
	wantError(t, err, ErrNotFound)
	_, err = store.Lease(bg, lease)
	wantError(t, err, ErrNotFound)
	_, err = store.Put(bg, []byte("c"), nil, WithLease(lease))
	wantError(t, err, ErrNotFound)
}

func TestKeepAliveKeepsALeaseAlive(t *testing.T) {
	store := openStore(t, smallStore())
	lease := NewLeaseID()
	// Long enough for a busy machine to come to keep it alive.
	const ttl = 2 * time.Second
	granted := must[Result](t)(store.LeaseGrant(bg, lease, ttl))
	put(t, store, "a", "1", WithLease(lease))
	ctx, cancel := context.WithCancel(bg)
	ended := make(chan error, 1)
	go func() { ended <- store.KeepAlive(ctx, lease) }()
	eventually(t, "the lease outlives its time", func() bool {
		state, err := store.Lease(bg, lease)
		return err == nil && state.Deadline.After(granted.Deadline.Add(2*ttl))
	})
	wantValue(t, store, "a", "1")
	cancel()
	wantError(t, <-ended, context.Canceled)
	eventually(t, "the lease ends with its key", func() bool {
		_, err := store.Get(bg, []byte("a"))
		return err != nil
	})
	wantError(t, store.KeepAlive(bg, lease), ErrNotFound)

	other := NewLeaseID()
	must[Result](t)(store.LeaseGrant(bg, other, time.Minute))
	go func() { ended <- store.KeepAlive(bg, other) }()
	eventually(t, "it is kept", func() bool {
		state, err := store.Lease(bg, other)
		return err == nil && state.TTL == time.Minute
	})
	store.Close()
	wantError(t, <-ended, ErrClosed)
}
