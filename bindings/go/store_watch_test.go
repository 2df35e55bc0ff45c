package trimtab

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAWatchTellsEachChange(t *testing.T) {
	store := openStore(t, smallStore())
	watch := must[*Watch](t)(store.Watch(bg, Prefix([]byte("a/")), 0))
	defer watch.Close()
	lease := NewLeaseID()
	must[Result](t)(store.LeaseGrant(bg, lease, time.Hour))
	put(t, store, "a/1", "1")
	put(t, store, "b/1", "not in the range")
	must[Result](t)(store.Increment(bg, []byte("a/1"), 1))
	must[Result](t)(store.Append(bg, []byte("a/1"), []byte("0")))
	must[Result](t)(store.Persist(bg, []byte("a/1")))
	must[Result](t)(store.Delete(bg, []byte("a/1")))
	put(t, store, "a/2", "", WithTTL(time.Millisecond))
	next := func() Change {
		t.Helper()
		return must[Change](t)(watch.Next(patient(t)))
	}
	want := []string{
		"put a/1=1", "incremented a/1=2", "appended a/1=20", "lifetime-set a/1=20", "deleted a/1", "put a/2=", "expired a/2",
		"put a/3=3", "revoked a/3",
	}
	last := uint64(0)
	for at, want := range want {
		if at == 7 {
			put(t, store, "a/3", "3", WithLease(lease))
			must[Result](t)(store.LeaseRevoke(bg, lease))
		}
		change := next()
		got := fmt.Sprintf("%v %s", change.Kind, change.Key)
		if change.Value != nil {
			got += "=" + string(change.Value)
		}
		if got != want || change.Sequence <= last {
			t.Errorf("told %q at %d behind %d, want %q", got, change.Sequence, last, want)
		}
		last = change.Sequence
	}
}

// What a command changes is told together, and a watch from its sequence on misses none of it.
func TestAWatchGoesOnAmidstACommand(t *testing.T) {
	path := t.TempDir()
	store := openStoreIn(t, path, smallStore())
	must[TxnResult](t)(store.Commit(bg, Txn{Then: []Operation{
		OpPut([]byte("a"), []byte("1")), OpPut([]byte("b"), []byte("2")), OpPut([]byte("c"), []byte("3")),
	}}))
	put(t, store, "d", "4")
	for isReopened := range 2 {
		from := uint64(1)
		for told := range 4 {
			watch := must[*Watch](t)(store.Watch(bg, AllKeys(), from))
			if sequence := must[uint64](t)(watch.Sequence()); sequence != from {
				t.Errorf("begins at %d, want %d", sequence, from)
			}
			first := must[Change](t)(watch.Next(patient(t)))
			if told < 3 {
				second := must[Change](t)(watch.Next(patient(t)))
				if !first.More || !second.More || string(first.Key) != "a" || string(second.Key) != "b" {
					t.Errorf("told %+v and %+v", first, second)
				}
				if sequence := must[uint64](t)(watch.Sequence()); sequence != first.Sequence {
					t.Errorf("amidst a command it is to go on from %d, want %d", sequence, first.Sequence)
				}
			}
			if told == 2 {
				third := must[Change](t)(watch.Next(patient(t)))
				if third.More {
					t.Errorf("the last of it is %+v", third)
				}
				from = must[uint64](t)(watch.Sequence())
				if from != third.Sequence+1 {
					t.Errorf("behind a command it is to go on from %d, want %d", from, third.Sequence+1)
				}
			}
			if told == 3 && string(first.Key) != "d" {
				t.Errorf("goes on with %+v", first)
			}
			watch.Close()
		}
		if isReopened == 0 {
			store.Close()
			store = openStoreIn(t, path, smallStore())
		}
	}
}

func TestAWatchMissesNothing(t *testing.T) {
	store := openStore(t, smallStore())
	const changes = 20_000
	watch := must[*Watch](t)(store.Watch(bg, AllKeys(), 0))
	defer watch.Close()
	go func() {
		for at := range changes {
			if _, err := store.Increment(bg, []byte("n"), 1, WithDurability(DurabilityMemory)); err != nil {
				t.Error(at, err)
				return
			}
		}
	}()
	at := 0
	for change, err := range watch.Changes(patient(t)) {
		if err != nil {
			t.Fatal(err)
		}
		at++
		if string(change.Value) != fmt.Sprint(at) {
			t.Fatalf("the value at %d is %s", at, change.Value)
		}
		if at == changes {
			break
		}
	}
}

func TestAWatchBehindWhatIsKept(t *testing.T) {
	options := smallStore()
	options.HistoryBytesMax = Ptr(uint64(10_000))
	store := openStore(t, options)
	watch := must[*Watch](t)(store.Watch(bg, AllKeys(), 1))
	defer watch.Close()
	for at := range 1000 {
		put(t, store, fmt.Sprintf("%d", at%10), strings.Repeat("v", 100), WithDurability(DurabilityMemory))
	}
	for range 2 {
		_, err := watch.Next(patient(t))
		wantError(t, err, ErrCompacted)
		var compacted *CompactedError
		if !errors.As(err, &compacted) || compacted.First == 0 {
			t.Errorf("got %v", err)
		}
	}
	scan := must[*Scan](t)(store.Scan(bg, AllKeys()))
	defer scan.Close()
	on := must[*Watch](t)(store.Watch(bg, AllKeys(), scan.Sequence()+1))
	defer on.Close()
	put(t, store, "next", "")
	if change := must[Change](t)(on.Next(patient(t))); string(change.Key) != "next" {
		t.Errorf("goes on with %+v", change)
	}
	beyond := must[*Watch](t)(store.Watch(bg, AllKeys(), must[uint64](t)(on.Sequence())+1))
	defer beyond.Close()
	if _, err := beyond.Next(patient(t)); !errors.Is(err, ErrCompacted) {
		t.Errorf("beyond what comes next: %v", err)
	}
}

func TestAWaitForAChangeEnds(t *testing.T) {
	store := openStore(t, smallStore())
	watch := must[*Watch](t)(store.Watch(bg, AllKeys(), 0))
	for range 3 {
		ctx, cancel := context.WithTimeout(bg, 5*time.Millisecond)
		_, err := watch.Next(ctx)
		wantError(t, err, context.DeadlineExceeded)
		_, err = watch.Next(ctx)
		wantError(t, err, context.DeadlineExceeded)
		cancel()
	}
	put(t, store, "key", "value")
	if change := must[Change](t)(watch.Next(patient(t))); string(change.Key) != "key" {
		t.Errorf("told %+v", change)
	}
	ended := make(chan error)
	wait := func(watch *Watch) {
		for {
			_, err := watch.Next(bg)
			if !errors.Is(err, ErrState) {
				ended <- err
				return
			}
		}
	}
	go wait(watch)
	eventually(t, "a goroutine is in Next", func() bool {
		_, err := watch.Sequence()
		return errors.Is(err, ErrState)
	})
	_, err := watch.Next(bg)
	wantError(t, err, ErrState)
	watch.Close()
	wantError(t, <-ended, ErrClosed)
	watch.Close()
	_, err = watch.Next(bg)
	wantError(t, err, ErrClosed)
	_, err = watch.Sequence()
	wantError(t, err, ErrClosed)

	other := must[*Watch](t)(store.Watch(bg, AllKeys(), 0))
	defer other.Close()
	go wait(other)
	eventually(t, "a goroutine is in Next", func() bool {
		_, err := other.Sequence()
		return errors.Is(err, ErrState)
	})
	store.Close()
	wantError(t, <-ended, ErrClosed)
}
