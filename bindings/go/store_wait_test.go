package trimtab

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// holdPlaces waits until so many calls of a store are under way.
func holdPlaces(t *testing.T, store *Store, count int) {
	t.Helper()
	eventually(t, "all wait", func() bool {
		queue := store.core.calls
		queue.mutex.Lock()
		defer queue.mutex.Unlock()
		return queue.awaited == count
	})
}

// Reads that wait cost a goroutine each and no thread; when their contexts end they do, and their places are free at once.
func TestReadsThatWaitHoldNoThread(t *testing.T) {
	store, key := openLonely(t), []byte("key")
	reads := []func(context.Context) error{
		func(ctx context.Context) error { _, err := store.Get(ctx, key); return err },
		func(ctx context.Context) error { _, err := store.GetEntry(ctx, key); return err },
		func(ctx context.Context) error { _, _, err := store.GetAppend(ctx, nil, key); return err },
		func(ctx context.Context) error { _, err := store.Get(ctx, key, WithAgeMax(0)); return err },
		func(ctx context.Context) error { _, err := store.Count(ctx, AllKeys()); return err },
		func(ctx context.Context) error { _, err := store.Range(ctx, AllKeys()); return err },
		func(ctx context.Context) error { _, err := store.Lease(ctx, 1); return err },
		func(ctx context.Context) error { return store.KeepAlive(ctx, 1) },
		func(ctx context.Context) error {
			_, err := store.Get(ctx, key, WithReadLevel(ReadLocal), WithPosition(Position{Epoch: 9, Entry: 9}))
			return err
		},
		func(ctx context.Context) error {
			_, err := store.Outcome(ctx, Request{Client: ClientID{1}, Number: 1})
			return err
		},
		func(ctx context.Context) error { _, err := store.WaitDurable(ctx, 1<<60); return err },
	}
	before := threads(t)
	const each = 100
	for range 3 {
		ctx, cancel := context.WithCancel(patient(t))
		ended := make(chan error, each*len(reads))
		for _, read := range reads {
			for range each {
				go func() { ended <- read(ctx) }()
			}
		}
		holdPlaces(t, store, cap(ended))
		if now := threads(t); now > before+each {
			t.Errorf("%d reads wait with %d threads, %d before", cap(ended), now, before)
		}
		cancel()
		for range cap(ended) {
			if err := <-ended; err != context.Canceled {
				t.Fatal(err)
			}
		}
		if left := len(store.core.calls.places); left != 0 {
			t.Fatalf("%d places are still taken", left)
		}
	}
}

// More waits than there are places, given up one after another, leave room for what comes behind them.
func TestWaitsThatWereGivenUpHaveNoPlace(t *testing.T) {
	options := smallStore()
	options.QueueMax, options.WaitingMax = 4, 4
	store := openStore(t, options)
	for range 20 {
		ctx, cancel := context.WithTimeout(patient(t), time.Millisecond)
		if _, err := store.WaitDurable(ctx, 1<<60); err != context.DeadlineExceeded {
			t.Fatal(err)
		}
		cancel()
	}
	put(t, store, "k", "v")

	// One that may be answered at the same moment is either answered or given up.
	for range 200 {
		result, err := store.Put(patient(t), []byte("k"), nil, WithDurability(DurabilityMemory))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(patient(t))
		synced := make(chan error, 1)
		go func() {
			_, err := store.Sync(patient(t))
			cancel()
			synced <- err
		}()
		if _, err := store.WaitDurable(ctx, result.Sequence); err != nil && err != context.Canceled {
			t.Fatal(err)
		}
		if err := <-synced; err != nil {
			t.Fatal(err)
		}
	}
	if left := len(store.core.calls.places); left != 0 {
		eventually(t, "what was done is brought", func() bool { return len(store.core.calls.places) == 0 })
	}
}

func TestReadsThatWaitAreToldOfTheEnd(t *testing.T) {
	store := openLonely(t)
	ended := make(chan error, 3)
	go func() { _, err := store.Get(patient(t), []byte("k")); ended <- err }()
	go func() { _, err := store.Scan(patient(t), AllKeys()); ended <- err }()
	go func() { _, err := store.WaitDurable(patient(t), 1<<60); ended <- err }()
	holdPlaces(t, store, cap(ended))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for range cap(ended) {
		wantError(t, <-ended, ErrClosed)
	}
	_, err := store.Get(patient(t), []byte("k"))
	wantError(t, err, ErrClosed)
	_, err = store.Lease(patient(t), 1)
	wantError(t, err, ErrClosed)
}

// A handle of a server's store that is given back waits for nobody who only waits.
func TestAServersStoreIsLetGoBesideWaits(t *testing.T) {
	_, store := startedStore(t, t.TempDir())
	ended := make(chan error, 10)
	for range cap(ended) {
		go func() { _, err := store.WaitDurable(patient(t), 1<<60); ended <- err }()
	}
	holdPlaces(t, store, cap(ended))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for range cap(ended) {
		wantError(t, <-ended, ErrClosed)
	}
}

// What is here is read without a wait where that is asked for, leases too.
func TestWhatIsHereIsNotWaitedFor(t *testing.T) {
	ctx, store := patient(t), openLonely(t)
	local := WithReadLevel(ReadLocal)
	_, err := store.Get(ctx, []byte("k"), local)
	wantError(t, err, ErrNotFound)
	_, err = store.Lease(ctx, 1, local)
	wantError(t, err, ErrNotFound)
	if count, err := store.Count(ctx, AllKeys(), local); err != nil || count != 0 {
		t.Error(count, err)
	}
	if entries, err := store.Range(ctx, AllKeys(), local); err != nil || len(entries) != 0 {
		t.Error(entries, err)
	}
	_, err = store.Lease(ctx, 1, IfAbsent())
	wantError(t, err, ErrInvalidArgument)
	_, err = store.Lease(ctx, 1, WithReadLevel(17))
	wantError(t, err, ErrInvalidArgument)

	alone := openStore(t, smallStore())
	if _, err := alone.LeaseGrant(ctx, 7, time.Minute); err != nil {
		t.Fatal(err)
	}
	if state, err := alone.Lease(ctx, 7, WithReadLevel(ReadPrimary)); err != nil || state.TTL != time.Minute {
		t.Error(state, err)
	}
}

func TestKeepAliveIsNoOneRequest(t *testing.T) {
	ctx, store := patient(t), openStore(t, smallStore())
	if _, err := store.LeaseGrant(ctx, 7, time.Minute); err != nil {
		t.Fatal(err)
	}
	wantError(t, store.KeepAlive(ctx, 7, WithRequest(Request{Client: NewClientID(), Number: 1})), ErrInvalidArgument)
	wantError(t, store.KeepAlive(ctx, 7, IfAbsent()), ErrInvalidArgument)
}

// When the quorum is lost nobody answers for longer than the lease lives, and its keeper is told then.
func TestKeepAliveEndsWithTheLease(t *testing.T) {
	ctx := patient(t)
	stores := openVoters(t)
	if _, err := stores[0].LeaseGrant(ctx, 7, time.Second); err != nil {
		t.Fatal(err)
	}
	kept := make(chan error, 1)
	go func() { kept <- stores[0].KeepAlive(ctx, 7) }()
	stores[1].Close()
	stores[2].Close()
	err := <-kept
	var own *Error
	if !errors.As(err, &own) || own.Code != CodeTimedOut || own.Operation != opKeepAlive {
		t.Fatalf("%v, not that the lease's time is over", err)
	}
}

func TestAKeeperCountsItsOwnTime(t *testing.T) {
	start, fault := time.Now(), errors.New("full")
	k := keeper{ttl: 10 * time.Second}
	// A deadline of another clock is believed as far as it can be.
	for _, told := range []struct{ deadline, until time.Duration }{{4, 4}, {-3, 10}, {0, 10}, {11, 10}} {
		k.found(start, start.Add(told.deadline*time.Second))
		if got := k.until.Sub(start); got != told.until*time.Second {
			t.Errorf("told %v, it lives for %v", told.deadline, got)
		}
	}
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	// Prolonged from when that was asked for, since that is what is known.
	if wait, isOver := k.told(at(1), at(3), nil); wait != k.ttl/3 || isOver || !k.until.Equal(at(11)) {
		t.Error(wait, isOver, k.until)
	}
	if wait, isOver := k.told(at(6), at(7), fault); wait != time.Second || isOver || k.begins(at(8)) {
		t.Error(wait, isOver)
	}
	// Not beyond its end.
	if wait, isOver := k.told(at(8), at(10.5), fault); wait != 500*time.Millisecond || isOver || !k.begins(at(11)) {
		t.Error(wait, isOver)
	}
	if _, isOver := k.told(at(10), at(11), fault); !isOver {
		t.Error("its time is over")
	}
	// Who slept asks once more.
	k.told(at(20), at(20), nil)
	if k.begins(at(40)) || !k.until.After(at(40)) {
		t.Error(k.until)
	}
}

// openVoters opens three voters, and has them agree on a primary.
func openVoters(t *testing.T) [3]*Store {
	t.Helper()
	var members []Member
	for _, name := range []string{"a", "b", "c"} {
		members = append(members, Member{Name: name, Address: freeAddress()})
	}
	var stores [3]*Store
	for at, member := range members {
		options := smallStore()
		options.Timeout = patience
		options.Cluster = &ClusterOptions{
			Node:              member.Name,
			Members:           members,
			InsecurePlaintext: PlaintextLoopback,
			Patience:          patience,
			MessageBytes:      16 << 10,
		}
		store, err := OpenStore(filepath.Join(t.TempDir(), member.Name), options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		stores[at] = store
	}
	if _, err := stores[0].Put(patient(t), []byte("first"), nil, WithDurability(DurabilityAll)); err != nil {
		t.Fatal(err)
	}
	return stores
}
