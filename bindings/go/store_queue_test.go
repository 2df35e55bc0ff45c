package trimtab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// late is a context that is done as soon as somebody waits for it, and not before.
type late struct {
	context.Context
	looks atomic.Int32
}

func (l *late) Err() error {
	if l.looks.Add(1) == 1 {
		return nil
	}
	return context.Canceled
}

func (l *late) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

func TestAnUnknownOutcomeIsFoundOut(t *testing.T) {
	store := openStore(t, smallStore())
	client := NewClientID()
	key := []byte("n")
	unknown := 0
	const calls = 50
	for number := range uint64(calls) {
		request := Request{Client: client, Number: number}
		_, err := store.Increment(&late{Context: bg}, key, 1, WithRequest(request))
		if err != nil {
			wantError(t, err, ErrOutcomeUnknown)
			wantError(t, err, context.Canceled)
			var is *OutcomeUnknownError
			if !errors.As(err, &is) || is.Request != request || is.Operation != "increment" {
				t.Errorf("got %#v", err)
			}
			unknown++
		}
		must[Result](t)(store.Increment(bg, key, 1, WithRequest(request)))
	}
	wantValue(t, store, "n", fmt.Sprint(calls))
	if unknown == 0 {
		t.Error("no disk writes before a goroutine looks at its context")
	}
	sum := calls
	untilUnknown(t, func() error {
		sum++
		_, err := store.Commit(&late{Context: bg}, Txn{Then: []Operation{OpIncrement(key, 1)}})
		return err
	})
	untilUnknown(t, func() error {
		sum += 2
		answers, err := store.Batch(&late{Context: bg}, []Operation{OpIncrement(key, 1), OpIncrement(key, 1)})
		if len(answers) != 2 {
			t.Fatalf("%d answers", len(answers))
		}
		return err
	})
	must[uint64](t)(store.Sync(bg))
	eventually(t, "all places are given back", func() bool { return len(store.core.calls.places) == 0 })
	wantValue(t, store, "n", fmt.Sprint(sum))
}

// untilUnknown has a call made until the disk has not written before the goroutine looks at its context.
func untilUnknown(t *testing.T, call func() error) {
	t.Helper()
	for range 50 {
		if err := call(); err != nil {
			wantError(t, err, ErrOutcomeUnknown)
			return
		}
	}
	t.Error("no disk writes before a goroutine looks at its context")
}

func TestACallThatHasNotBegunDoesNothing(t *testing.T) {
	store := openStore(t, smallStore())
	ctx, cancel := context.WithCancel(bg)
	cancel()
	_, err := store.Put(ctx, []byte("key"), nil)
	wantNothingDone(t, err, context.Canceled)
	_, err = store.Batch(ctx, []Operation{OpPut([]byte("key"), nil)})
	wantNothingDone(t, err, context.Canceled)
	_, err = store.Commit(ctx, Txn{})
	wantNothingDone(t, err, context.Canceled)
	_, err = store.Get(ctx, []byte("key"))
	wantNothingDone(t, err, context.Canceled)
	wantAbsent(t, store, "key")
}

func wantNothingDone(t testing.TB, err, want error) {
	t.Helper()
	wantError(t, err, want)
	if errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("nothing was done, and it says %v", err)
	}
}

// Whoever finds the queue full waits for a place, as long as the context or the store's timeout allows.
func TestAFullQueueIsWaitedFor(t *testing.T) {
	options := smallStore()
	options.QueueMax = 1
	options.Timeout = 10 * time.Millisecond
	store := openStore(t, options)
	places := store.core.calls.places
	places <- struct{}{}
	ctx, cancel := context.WithTimeout(bg, 5*time.Millisecond)
	defer cancel()
	_, err := store.Put(ctx, []byte("key"), nil)
	wantNothingDone(t, err, context.DeadlineExceeded)
	_, err = store.Put(bg, []byte("key"), nil)
	wantNothingDone(t, err, ErrTimedOut)
	answers, err := store.Batch(ctx, []Operation{OpPut([]byte("key"), nil)})
	wantNothingDone(t, err, context.DeadlineExceeded)
	if answers != nil {
		wantError(t, answers[0].Err, context.DeadlineExceeded)
	}
	wantAbsent(t, store, "key")
	done := make(chan error)
	go func() {
		_, err := store.Put(patient(t), []byte("key"), nil)
		done <- err
	}()
	<-places
	if err := <-done; err != nil {
		t.Error(err)
	}
	wantValue(t, store, "key", "")
}

// What nobody waits for any more still has its place, and gives it back when it is done.
func TestWhatWasGivenUpGivesItsPlaceBack(t *testing.T) {
	store := openStore(t, smallStore())
	queue := store.core.calls
	waits := newPending(1)
	if err := queue.place(bg); err != nil {
		t.Fatal(err)
	}
	queue.enter(waits, 0, 1)
	number := waits.slots[0]
	isThere, err := queue.wait(bg, waits, time.Millisecond, func() error { return store.timedOut("put") })
	wantError(t, err, ErrTimedOut)
	if isThere(0) {
		t.Error("it is there, and was not submitted")
	}
	waits.drop()
	operation := OpPut([]byte("key"), []byte("value"), WithPrevious())
	if _, err := store.core.native.submit(&operation, &callOptions{}, uint64(number), false, &nativeDone{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the place is given back", func() bool { return len(queue.places) == 0 })
	wantValue(t, store, "key", "value")
}

func TestTenThousandGoroutinesPut(t *testing.T) {
	store := openStore(t, smallStore())
	const goroutines = 10_000
	before := threads(t)
	var group sync.WaitGroup
	begin := make(chan struct{})
	for at := range goroutines {
		group.Add(1)
		go func() {
			defer group.Done()
			<-begin
			key := fmt.Appendf(nil, "%05d", at)
			result, err := store.Put(bg, key, key)
			if err != nil || !result.Done || result.Durability != DurabilityLocal {
				t.Error(result, err)
			}
		}()
	}
	close(begin)
	group.Wait()
	if made := threads(t) - before; made > 100 {
		t.Errorf("%d threads were made", made)
	}
	if count := must[uint64](t)(store.Count(bg, AllKeys())); count != goroutines {
		t.Errorf("%d keys", count)
	}
}

// Answers in memory come at once, and whoever submits may take another's: each must get its own.
func TestEachGetsItsOwnAnswer(t *testing.T) {
	store := openStore(t, smallStore())
	var group sync.WaitGroup
	for at := range 64 {
		group.Add(1)
		go func() {
			defer group.Done()
			key := fmt.Appendf(nil, "%02d", at)
			for round := range int64(1000) {
				result, err := store.Increment(bg, key, 1, WithDurability(DurabilityMemory))
				if err != nil || result.Number != round+1 {
					t.Errorf("round %d of %s came to %+v, %v", round, key, result, err)
					return
				}
			}
		}()
	}
	group.Wait()
	if used := len(store.core.calls.places); used != 0 {
		t.Errorf("%d places are taken by nobody", used)
	}
}

// Goroutines of all kinds at once, for the race detector; what each did must be there.
func TestGoroutinesOfAllKinds(t *testing.T) {
	options := smallStore()
	options.QueueMax = 16
	store := openStore(t, options)
	watch := must[*Watch](t)(store.Watch(bg, Prefix([]byte("n/")), 0))
	defer watch.Close()
	const goroutines, rounds = 24, 100
	var group sync.WaitGroup
	for at := range goroutines {
		group.Add(1)
		go func() {
			defer group.Done()
			key := fmt.Appendf(nil, "n/%02d", at)
			usual := WithDurability(DurabilityMemory)
			for round := range rounds {
				var err error
				switch round % 5 {
				case 0:
					_, err = store.Increment(bg, key, 1)
				case 1:
					_, err = store.Batch(bg, []Operation{OpIncrement(key, 1), OpGet(key)}, usual)
				case 2:
					_, err = store.Commit(bg, Txn{Then: []Operation{OpIncrement(key, 1), OpRange(AllKeys())}}, usual)
				case 3:
					_, err = store.Increment(&late{Context: bg}, key, 1, usual)
					switch {
					case errors.Is(err, ErrOutcomeUnknown):
						err = nil // it is done all the same, for all goes well
					case errors.Is(err, context.Canceled):
						// There was no place.
						_, err = store.Increment(bg, key, 1, usual)
					}
				case 4:
					if _, err = store.Range(bg, AllKeys()); err == nil {
						_, err = store.Increment(bg, key, 1, usual)
					}
				}
				if err != nil {
					t.Error(round, err)
					return
				}
			}
		}()
	}
	seen := 0
	for change, err := range watch.Changes(patient(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if string(change.Value) == fmt.Sprint(rounds) {
			if seen++; seen == goroutines {
				break
			}
		}
	}
	group.Wait()
	must[uint64](t)(store.Sync(bg))
	for at := range goroutines {
		wantValue(t, store, fmt.Sprintf("n/%02d", at), fmt.Sprint(rounds))
	}
}

// Close answers all who wait; what was acknowledged is there.
func TestClosingWhileCallsWait(t *testing.T) {
	for round := range 5 {
		path := t.TempDir()
		store := openStoreIn(t, path, smallStore())
		const goroutines = 200
		var done [goroutines]int
		var group sync.WaitGroup
		var total atomic.Int64
		for at := range goroutines {
			group.Add(1)
			go func() {
				defer group.Done()
				key := fmt.Appendf(nil, "%03d", at)
				options := []CallOption{WithDurability(Durability(1 + at%2)), {}}
				client := NewClientID()
				for number := uint64(1); ; number++ {
					given := options[:1]
					if at%4 < 2 {
						options[1] = WithRequest(Request{Client: client, Number: number})
						given = options
					}
					result, err := store.Increment(bg, key, 1, given...)
					if err != nil {
						wantError(t, err, ErrClosed)
						return
					}
					done[at] = int(result.Number)
					total.Add(1)
				}
			}()
		}
		eventually(t, "they write", func() bool { return total.Load() > goroutines*int64(1+round) })
		var closing sync.WaitGroup
		for range 3 {
			closing.Add(1)
			go func() {
				defer closing.Done()
				if err := store.Close(); err != nil {
					t.Error(err)
				}
			}()
		}
		closing.Wait()
		group.Wait()
		again := openStoreIn(t, path, smallStore())
		for at, want := range done {
			if want == 0 {
				wantAbsent(t, again, fmt.Sprintf("%03d", at))
				continue
			}
			wantValue(t, again, fmt.Sprintf("%03d", at), fmt.Sprint(want))
		}
		again.Close()
	}
}

func TestWhoWaitsForTheDiskIsToldAndHurriesNobody(t *testing.T) {
	options := smallStore()
	options.FlushInterval = time.Hour
	store := openStore(t, options)
	result := put(t, store, "m", "1", WithDurability(DurabilityMemory))
	soon, cancel := context.WithTimeout(bg, time.Millisecond)
	defer cancel()
	_, err := store.WaitDurable(soon, result.Sequence)
	wantError(t, err, context.DeadlineExceeded)

	told, never := make(chan uint64, 1), make(chan error, 1)
	go func() {
		durable, err := store.WaitDurable(bg, result.Sequence)
		if err != nil {
			t.Error(err)
		}
		told <- durable
	}()
	go func() {
		_, err := store.WaitDurable(bg, result.Sequence+1)
		never <- err
	}()
	must[uint64](t)(store.Sync(bg))
	if durable := <-told; durable != result.Sequence {
		t.Errorf("it is durable up to %d, and %d was waited for", durable, result.Sequence)
	}
	if durable := must[uint64](t)(store.WaitDurable(bg, 1)); durable != result.Sequence {
		t.Errorf("it is durable up to %d", durable)
	}
	store.Close()
	// Nothing more comes to the disk.
	wantError(t, <-never, ErrClosed)
	_, err = store.WaitDurable(bg, 1)
	wantError(t, err, ErrClosed)
}
