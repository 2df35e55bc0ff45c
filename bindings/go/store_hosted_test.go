package trimtab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// openHosted opens a store without threads, on small files.
func openHosted(t testing.TB, path string) *Store {
	t.Helper()
	store, err := OpenStore(path, StoreOptions{Hosted: true, SegmentBytes: 1 << 20, ValueMax: 1 << 16, FlushInterval: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// turnAll turns it on a goroutine until it is closed, with the test at the latest.
func turnAll(t testing.TB, store *Store) {
	t.Helper()
	ended := make(chan struct{})
	t.Cleanup(func() {
		store.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		for {
			err := store.WaitTurn(context.Background())
			if err == nil {
				_, err = store.Turn()
			}
			if errors.Is(err, ErrClosed) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
}

// storeThreads counts those that stores have of their own.
func storeThreads(t testing.TB) int {
	t.Helper()
	names, err := filepath.Glob("/proc/self/task/*/comm")
	if err != nil || len(names) == 0 {
		t.Fatal("no threads in /proc", err)
	}
	count := 0
	for _, name := range names {
		// One that is gone since is none.
		comm, err := os.ReadFile(name)
		if err == nil && strings.HasPrefix(string(comm), "trimtab-") {
			count++
		}
	}
	return count
}

func TestAHostedStore(t *testing.T) {
	ctx, before := patient(t), storeThreads(t)
	store := openHosted(t, t.TempDir())
	turnAll(t, store)
	watch, err := store.Watch(ctx, Prefix([]byte("7/")), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	var writers sync.WaitGroup
	for writer := range 20 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			for at := range 50 {
				if _, err := store.Put(ctx, fmt.Appendf(nil, "%d/%d", writer, at), []byte("v")); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	for at := range 50 {
		change, err := watch.Next(ctx)
		if want := fmt.Sprintf("7/%d", at); err != nil || string(change.Key) != want {
			t.Fatalf("%+v %v, want %s", change, err, want)
		}
	}
	writers.Wait()
	if own := storeThreads(t); own != before {
		t.Errorf("%d threads of the store's have appeared", own-before)
	}
	if count, err := store.Count(ctx, AllKeys()); err != nil || count != 1000 {
		t.Errorf("%d %v", count, err)
	}
	// By its deadline alone, for nothing else happens.
	if _, err := store.Put(ctx, []byte("m"), nil, WithDurability(DurabilityMemory)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is on disk", func() bool {
		status, err := store.Status()
		return err == nil && status.Durable == status.Sequence
	})
	if _, err := store.Snapshot(ctx); err != nil {
		t.Error(err)
	}
	if err := store.Scrub(ctx); err != nil {
		t.Error(err)
	}
}

// Each step of a loop of the caller's.
func TestAHostedStoreStepByStep(t *testing.T) {
	ctx := patient(t)
	store := openHosted(t, t.TempDir())
	put := make(chan error, 1)
	go func() {
		_, err := store.Put(ctx, []byte("k"), []byte("v"))
		put <- err
	}()
	descriptor, err := store.PollFD()
	if err != nil || descriptor < 0 {
		t.Fatalf("%d %v", descriptor, err)
	}
	for isDone := false; !isDone; {
		if err := store.WaitTurn(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Turn(); err != nil {
			t.Fatal(err)
		}
		_, err = store.Get(ctx, []byte("k"))
		isDone = err == nil
	}
	if err := <-put; err != nil {
		t.Fatal(err)
	}
	for count := 1; count > 0; {
		if count, err = store.Turn(); err != nil {
			t.Fatal(err)
		}
	}
	// At rest the next thing to do is a later day's reading.
	deadline, isDue, err := store.NextDeadline()
	if left := deadline.Sub(Now()); err != nil || !isDue || left < time.Hour {
		t.Errorf("%v until the deadline, %v %v", left, isDue, err)
	}
	soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := store.WaitTurn(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	// Without turns a write is not done in its time, and may be done later.
	soon, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = store.Put(soon, []byte("late"), nil)
	if !errors.Is(err, ErrOutcomeUnknown) {
		t.Error(err)
	}
	if _, err := store.Turn(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Get(ctx, []byte("late")); err != nil {
		t.Error(err)
	}
}

// Whatever is submitted by whom must end the wait, each time.
func TestAHostedStoreIsWokenByWrites(t *testing.T) {
	ctx := patient(t)
	store := openHosted(t, t.TempDir())
	turnAll(t, store)
	for at := range 300 {
		if _, err := store.Increment(ctx, []byte("n"), 1); err != nil {
			t.Fatalf("%d: %v", at, err)
		}
	}
}

func TestClosingAHostedStore(t *testing.T) {
	ctx, path := patient(t), filepath.Join(t.TempDir(), "store")
	store := openHosted(t, path)
	waited := make(chan error, 1)
	go func() { waited <- store.WaitTurn(ctx) }()
	put := make(chan error, 1)
	first, err := store.Put(ctx, []byte("m"), nil, WithDurability(DurabilityMemory))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := store.Put(ctx, []byte("k"), nil)
		put <- err
	}()
	eventually(t, "it is under way", func() bool {
		status, err := store.Status()
		return err == nil && status.Sequence > first.Sequence
	})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-put; err != nil {
		t.Error(err)
	}
	// It may have been told that there was something to do before.
	if err := <-waited; err != nil && !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	_, err = store.Turn()
	wants(t, err, ErrClosed, "turn", "closed")
	wants(t, store.WaitTurn(ctx), ErrClosed, "wait turn", "closed")
	_, err = store.PollFD()
	wants(t, err, ErrClosed, "poll fd", "closed")
	_, _, err = store.NextDeadline()
	wants(t, err, ErrClosed, "next deadline", "closed")
	again := openHosted(t, path)
	if count, err := again.Count(ctx, AllKeys()); err != nil || count != 2 {
		t.Errorf("%d %v", count, err)
	}
}

func TestOnlyAHostedStoreIsTurned(t *testing.T) {
	store := openStore(t, smallStore())
	_, err := store.Turn()
	wants(t, err, ErrState, "turn", "open it hosted")
	wants(t, store.WaitTurn(patient(t)), ErrState, "wait turn", "open it hosted")
	_, err = store.PollFD()
	wants(t, err, ErrState, "poll fd", "open it hosted")
	_, _, err = store.NextDeadline()
	wants(t, err, ErrState, "next deadline", "open it hosted")
	_, err = new(Store).Turn()
	wants(t, err, ErrNull, "turn", "OpenStore")

	// What a new store writes of itself would end the wait.
	hosted := openHosted(t, t.TempDir())
	if _, err := hosted.Sync(patient(t)); err != nil {
		t.Fatal(err)
	}
	for count := 1; count > 0; {
		if count, err = hosted.Turn(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	waited := make(chan error, 1)
	go func() {
		var err error = ErrState
		for errors.Is(err, ErrState) {
			// Until the other is not amidst its own.
			err = hosted.WaitTurn(ctx)
		}
		waited <- err
	}()
	eventually(t, "another is refused", func() bool { return errors.Is(hosted.WaitTurn(ended()), ErrState) })
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// ended is a context that is over.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
