package trimtab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAStoreKeepsWhatWasPut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	store := openStoreIn(t, path, smallStore())
	result := put(t, store, "name", "trim")
	if !result.Done || result.Durability != DurabilityLocal || result.Version != result.Sequence || result.Sequence == 0 {
		t.Errorf("put came to %+v", result)
	}
	put(t, store, "", "the empty key")
	put(t, store, "empty", "")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	again := openStoreIn(t, path, smallStore())
	wantValue(t, again, "name", "trim")
	wantValue(t, again, "", "the empty key")
	wantValue(t, again, "empty", "")
	wantAbsent(t, again, "nothing")
	entry := must[Entry](t)(again.GetEntry(bg, []byte("name")))
	if string(entry.Value) != "trim" || entry.Version != result.Version || entry.Created != result.Version || entry.Changes != 1 ||
		!entry.Deadline.IsZero() || entry.Lease != 0 {
		t.Errorf("the entry is %+v", entry)
	}
}

func TestConditionsDecideWhetherItIsPut(t *testing.T) {
	store := openStore(t, smallStore())
	key := []byte("key")
	call := must[Result](t)
	if result := call(store.Put(bg, key, []byte("1"), IfPresent())); result.Done || result.Version != 0 {
		t.Errorf("put over nothing: %+v", result)
	}
	first := call(store.Put(bg, key, []byte("1"), IfAbsent()))
	if !first.Done {
		t.Errorf("put where there is nothing: %+v", first)
	}
	if result := call(store.Put(bg, key, []byte("2"), IfAbsent())); result.Done || result.Version != first.Version {
		t.Errorf("put where there is something: %+v", result)
	}
	second := call(store.CompareAndSet(bg, key, first.Version, []byte("2")))
	if !second.Done || second.Version <= first.Version {
		t.Errorf("compared and set: %+v", second)
	}
	if result := call(store.CompareAndSet(bg, key, first.Version, []byte("3"))); result.Done || result.Version != second.Version {
		t.Errorf("compared with an old version: %+v", result)
	}
	wantValue(t, store, "key", "2")
	if result := call(store.Delete(bg, key, IfVersion(first.Version))); result.Done {
		t.Errorf("deleted another version: %+v", result)
	}
	result := call(store.Delete(bg, key, WithPrevious()))
	if previous, had := result.Previous(); !result.Done || !had || string(previous.Value) != "2" {
		t.Errorf("deleted: %+v", result)
	}
	if result := call(store.Delete(bg, key)); result.Done {
		t.Errorf("deleted nothing: %+v", result)
	}
	if result := call(store.CompareAndSet(bg, key, 0, []byte("4"))); !result.Done {
		t.Errorf("compared with absence: %+v", result)
	}
}

func TestGetAndSetGivesWhatWasThere(t *testing.T) {
	store := openStore(t, smallStore())
	result := must[Result](t)(store.GetAndSet(bg, []byte("key"), []byte("1")))
	if _, had := result.Previous(); had {
		t.Errorf("there was something: %+v", result)
	}
	long := strings.Repeat("v", 10_000)
	put(t, store, "key", long)
	result = must[Result](t)(store.GetAndSet(bg, []byte("key"), []byte("3")))
	if previous, had := result.Previous(); !had || string(previous.Value) != long {
		t.Errorf("what was there is not told: %v, %d bytes", had, len(previous.Value))
	}
	wantValue(t, store, "key", "3")
}

func TestNumbersAndAppends(t *testing.T) {
	store := openStore(t, smallStore())
	call := must[Result](t)
	if result := call(store.Increment(bg, []byte("n"), 40)); result.Number != 40 {
		t.Errorf("incremented: %+v", result)
	}
	if result := call(store.Increment(bg, []byte("n"), -42)); result.Number != -2 {
		t.Errorf("incremented: %+v", result)
	}
	wantValue(t, store, "n", "-2")
	put(t, store, "text", "a")
	_, err := store.Increment(bg, []byte("text"), 1)
	wantError(t, err, ErrInvalidArgument)
	put(t, store, "max", "9223372036854775807")
	_, err = store.Increment(bg, []byte("max"), 1)
	wantError(t, err, ErrInvalidArgument)
	if result := call(store.Append(bg, []byte("text"), []byte("bc"))); result.Count != 3 {
		t.Errorf("appended: %+v", result)
	}
	wantValue(t, store, "text", "abc")
	if result := call(store.Append(bg, []byte("new"), []byte("x"))); result.Count != 1 {
		t.Errorf("appended to nothing: %+v", result)
	}
}

func TestLifetimes(t *testing.T) {
	store := openStore(t, smallStore())
	call, look := must[Result](t), must[Entry](t)
	far := wholeMillis(time.Now().Add(time.Hour))
	put(t, store, "until", "1", WithDeadline(far))
	if entry := look(store.GetEntry(bg, []byte("until"))); !entry.Deadline.Equal(far) {
		t.Errorf("expires at %v, want %v", entry.Deadline, far)
	}
	put(t, store, "until", "2", WithKeptLifetime())
	if entry := look(store.GetEntry(bg, []byte("until"))); !entry.Deadline.Equal(far) {
		t.Errorf("kept, it expires at %v, want %v", entry.Deadline, far)
	}
	put(t, store, "until", "3")
	if entry := look(store.GetEntry(bg, []byte("until"))); !entry.Deadline.IsZero() {
		t.Errorf("put anew, it expires at %v", entry.Deadline)
	}
	before := time.Now()
	put(t, store, "for", "1", WithTTL(time.Hour))
	if entry := look(store.GetEntry(bg, []byte("for"))); entry.Deadline.Before(before.Add(time.Hour-time.Second)) ||
		entry.Deadline.After(time.Now().Add(time.Hour+time.Second)) {
		t.Errorf("put for an hour, it expires at %v", entry.Deadline)
	}
	if result := call(store.Persist(bg, []byte("for"))); !result.Done {
		t.Errorf("persisted: %+v", result)
	}
	if result := call(store.ExpireAt(bg, []byte("for"), far, IfDeadline())); result.Done {
		t.Errorf("it had no deadline: %+v", result)
	}
	if result := call(store.ExpireAt(bg, []byte("for"), far, IfNoDeadline())); !result.Done {
		t.Errorf("it had no deadline: %+v", result)
	}
	if result := call(store.ExpireAt(bg, []byte("for"), far.Add(-time.Minute), IfLater())); result.Done {
		t.Errorf("it is not later: %+v", result)
	}
	if result := call(store.ExpireAt(bg, []byte("for"), far.Add(-time.Minute), IfEarlier())); !result.Done {
		t.Errorf("it is earlier: %+v", result)
	}
	if result := call(store.Expire(bg, []byte("nothing"), time.Hour)); result.Done {
		t.Errorf("nothing expires: %+v", result)
	}
	for _, at := range []time.Duration{0, -time.Second} {
		put(t, store, "gone", "1")
		if result := call(store.Expire(bg, []byte("gone"), at)); !result.Done {
			t.Errorf("expired at once: %+v", result)
		}
		wantAbsent(t, store, "gone")
	}
	put(t, store, "over", "1", WithTTL(-time.Second))
	wantAbsent(t, store, "over")
	put(t, store, "soon", "1", WithTTL(20*time.Millisecond))
	eventually(t, "expired", func() bool {
		_, err := store.Get(bg, []byte("soon"))
		return errors.Is(err, ErrNotFound)
	})
}

func TestRanges(t *testing.T) {
	store := openStore(t, smallStore())
	for _, key := range []string{"a/1", "a/2", "a/3", "b/1", "c/1"} {
		put(t, store, key, "v"+key)
	}
	look := must[[]Entry](t)
	for _, each := range []struct {
		keys    KeyRange
		options []CallOption
		want    string
	}{
		{AllKeys(), nil, "a/1 a/2 a/3 b/1 c/1"},
		{Prefix([]byte("a/")), nil, "a/1 a/2 a/3"},
		{Prefix([]byte("a/")), []CallOption{WithLimit(2)}, "a/1 a/2"},
		{Prefix([]byte("a/")), []CallOption{WithLimit(2), WithReverse()}, "a/3 a/2"},
		{Between([]byte("a/2"), []byte("b/2")), nil, "a/2 a/3 b/1"},
		{Between([]byte("a/3"), nil), nil, "a/3 b/1 c/1"},
		{Prefix([]byte("x")), nil, ""},
	} {
		var keys []string
		for _, entry := range look(store.Range(bg, each.keys, each.options...)) {
			keys = append(keys, string(entry.Key))
			if string(entry.Value) != "v"+string(entry.Key) {
				t.Errorf("%s is %q", entry.Key, entry.Value)
			}
		}
		if got := strings.Join(keys, " "); got != each.want {
			t.Errorf("got %q, want %q", got, each.want)
		}
		read := must[Result](t)(store.Execute(bg, OpRange(each.keys, each.options...)))
		if len(read.Entries) != len(keys) {
			t.Errorf("read in its place it has %d, want %d", len(read.Entries), len(keys))
		}
	}
	if count := must[uint64](t)(store.Count(bg, Prefix([]byte("a/")))); count != 3 {
		t.Errorf("counted %d", count)
	}
	result := must[Result](t)(store.DeleteRange(bg, Prefix([]byte("a/")), WithLimit(2)))
	if result.Count != 2 || !result.More || !result.Done {
		t.Errorf("deleted two: %+v", result)
	}
	result = must[Result](t)(store.DeleteRange(bg, AllKeys()))
	if result.Count != 3 || result.More {
		t.Errorf("deleted all: %+v", result)
	}
	if count := must[uint64](t)(store.Count(bg, AllKeys())); count != 0 {
		t.Errorf("%d are left", count)
	}
}

// A scan sees one moment, over many crossings, and values longer than what one brings.
func TestAScanSeesOneMoment(t *testing.T) {
	store := openStore(t, smallStore())
	long := strings.Repeat("v", 200<<10)
	var puts []Operation
	for at := range 1000 {
		value := fmt.Sprint(at)
		if at%300 == 0 {
			value = long
		}
		puts = append(puts, OpPut(fmt.Appendf(nil, "%04d", at), []byte(value)))
	}
	must[[]Answer](t)(store.Batch(bg, puts, WithDurability(DurabilityMemory)))
	scan := must[*Scan](t)(store.Scan(bg, AllKeys()))
	must[Result](t)(store.DeleteRange(bg, AllKeys()))
	at := 0
	for scan.Next() {
		entry := scan.Entry()
		want := fmt.Sprint(at)
		if at%300 == 0 {
			want = long
		}
		if string(entry.Key) != fmt.Sprintf("%04d", at) || string(entry.Value) != want {
			t.Fatalf("at %d there is %s with %d bytes", at, entry.Key, len(entry.Value))
		}
		at++
	}
	if err := scan.Err(); err != nil || at != 1000 {
		t.Fatalf("saw %d, %v", at, err)
	}
	scan.Close()
	if scan.Next() {
		t.Error("closed, and goes on")
	}
	left := 0
	for _, err := range store.All(bg, AllKeys()) {
		if err != nil {
			t.Fatal(err)
		}
		left++
	}
	if left != 0 {
		t.Errorf("%d are left", left)
	}
}

func TestAScanEndsWithItsContextAndItsStore(t *testing.T) {
	store := openStore(t, smallStore())
	for at := range 200 {
		put(t, store, fmt.Sprintf("%04d", at), "v", WithDurability(DurabilityMemory))
	}
	ctx, cancel := context.WithCancel(bg)
	scan := must[*Scan](t)(store.Scan(ctx, AllKeys()))
	defer scan.Close()
	scan.Next()
	cancel()
	for scan.Next() {
	}
	wantError(t, scan.Err(), context.Canceled)
	other := must[*Scan](t)(store.Scan(bg, AllKeys()))
	defer other.Close()
	other.Next()
	store.Close()
	for other.Next() {
	}
	wantError(t, other.Err(), ErrClosed)
	for _, err := range store.All(bg, AllKeys()) {
		wantError(t, err, ErrClosed)
	}
	for entry, err := range openStore(t, smallStore()).All(ctx, AllKeys()) {
		t.Log(entry)
		wantError(t, err, context.Canceled)
	}
}

func TestGetAppendsWithoutAllocating(t *testing.T) {
	store := openStore(t, smallStore())
	long := []byte(strings.Repeat("v", 100<<10))
	result := must[Result](t)(store.Put(bg, []byte("long"), long))
	got, version, err := store.GetAppend(bg, []byte("before "), []byte("long"))
	if err != nil || version != result.Version || string(got) != "before "+string(long) {
		t.Errorf("got %d bytes of version %d, %v", len(got), version, err)
	}
	if got := must[[]byte](t)(store.Get(bg, []byte("long"))); string(got) != string(long) {
		t.Errorf("got %d bytes", len(got))
	}
	same := []byte("same")
	got, _, err = store.GetAppend(bg, same, []byte("nothing"))
	wantError(t, err, ErrNotFound)
	if string(got) != "same" {
		t.Errorf("without a value there is %q", got)
	}
	room, key := make([]byte, 0, len(long)), []byte("long")
	if allocated := testing.AllocsPerRun(100, func() {
		if _, _, err := store.GetAppend(bg, room, key); err != nil {
			t.Fatal(err)
		}
	}); allocated != 0 {
		t.Errorf("allocates %v times", allocated)
	}
}

func TestLimitsAtTheLimit(t *testing.T) {
	options := smallStore()
	options.ValueMax = 1000
	options.OperationsMax = 4
	store := openStore(t, options)
	put(t, store, strings.Repeat("k", StoreKeyMax), strings.Repeat("v", 1000))
	_, err := store.Put(bg, []byte(strings.Repeat("k", StoreKeyMax+1)), nil)
	wantError(t, err, ErrInvalidArgument)
	_, err = store.Put(bg, []byte("k"), make([]byte, 1001))
	wantError(t, err, ErrInvalidArgument)
	put(t, store, "k", strings.Repeat("v", 1000))
	_, err = store.Append(bg, []byte("k"), []byte("v"))
	wantError(t, err, ErrInvalidArgument)
	four := []Operation{OpGet(nil), OpGet(nil), OpGet(nil), OpGet(nil)}
	must[TxnResult](t)(store.Commit(bg, Txn{Then: four}))
	_, err = store.Commit(bg, Txn{If: []Comparison{CompareVersion(nil, RelationEqual, 0)}, Then: four})
	wantError(t, err, ErrInvalidArgument)
}

func TestOptionsThatAreOutOfRange(t *testing.T) {
	for _, options := range []StoreOptions{
		{Timeout: time.Microsecond},
		{Timeout: -time.Second},
		{Timeout: 25 * time.Hour},
		{FlushInterval: 2 * time.Hour},
		{FlushBytes: 1},
		{SnapshotBytes: 1},
		{SnapshotRetry: 25 * time.Hour},
		{DiskRetry: 2 * time.Hour},
		{Eviction: 9},
		{EvictionPlaces: -1},
		{EvictionPlaces: 1<<28 + 1},
		{MemoryMax: 1},
		{ValueMax: 1 << 30},
		{OperationsMax: 1<<20 + 1},
		{ClientsMax: 1<<24 + 1},
		{ClientBytesMax: 1},
		{SegmentBytes: 5000},
		{PendingBytesMax: 1},
		{DiskBytesMax: 1},
		{KeptBytes: 1<<48 + 1},
		{WaitingMax: -1},
		{WaitingMax: 1<<24 + 1},
		{QueueMax: -1},
		{QueueMax: StoreQueueMax + 1},
		{Durability: 9},
		{Identity: &StoreIdentity{}},
	} {
		path := filepath.Join(t.TempDir(), "store")
		store, err := OpenStore(path, options)
		wantError(t, err, ErrInvalidArgument)
		if store != nil {
			store.Close()
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%+v: a directory was made", options)
		}
	}
	_, err := OpenStore(t.TempDir(), StoreOptions{Durability: DurabilityQuorum})
	wantError(t, err, ErrUnsupported)
}

func TestEveryOptionIsTaken(t *testing.T) {
	path := t.TempDir()
	options := StoreOptions{
		Identity:        &StoreIdentity{Cluster: [16]byte{1, 2, 3}, Node: 7},
		Durability:      DurabilityMemory,
		Timeout:         time.Second,
		QueueMax:        10,
		WaitingMax:      20,
		FlushInterval:   50 * time.Millisecond,
		FlushBytes:      1 << 16,
		SnapshotBytes:   1 << 20,
		SnapshotRetry:   time.Second,
		Eviction:        EvictionLRU,
		EvictionPlaces:  1024,
		MemoryMax:       1 << 20,
		ValueMax:        1000,
		OperationsMax:   100,
		ClientsMax:      10,
		ClientBytesMax:  10_000,
		SegmentBytes:    1 << 16,
		PendingBytesMax: 1 << 20,
		DiskBytesMax:    1 << 22,
		KeptBytes:       1 << 17,
		DiskRetry:       time.Second,
		HistoryBytesMax: Ptr(uint64(0)),
	}
	store := openStoreIn(t, path, options)
	put(t, store, "key", "value")
	store.Close()
	other := options
	other.Identity = &StoreIdentity{Cluster: [16]byte{1, 2, 3}, Node: 8}
	_, err := OpenStore(path, other)
	wantError(t, err, ErrInvalidArgument)
	other = options
	other.SegmentBytes = 1 << 17
	_, err = OpenStore(path, other)
	wantError(t, err, ErrInvalidArgument)
	wantValue(t, openStoreIn(t, path, options), "key", "value")
}

func TestAStoreIsOpenOnce(t *testing.T) {
	if isChild("opens") {
		_, err := OpenStore(os.Getenv("TRIMTAB_TEST_PATH"), smallStore())
		wantError(t, err, ErrState)
		return
	}
	path := t.TempDir()
	store := openStoreIn(t, path, smallStore())
	_, err := OpenStore(path, smallStore())
	wantError(t, err, ErrState)
	t.Setenv("TRIMTAB_TEST_PATH", path)
	if said, err := child(t, "opens"); err != nil || !strings.Contains(said, "PASS") {
		t.Errorf("another process: %v, said %s", err, said)
	}
	store.Close()
	openStoreIn(t, path, smallStore())
}

func TestWhatIsNoDirectoryIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenStore(file, smallStore())
	wantError(t, err, ErrIO)
	_, err = OpenStore("a\x00b", smallStore())
	if err == nil {
		t.Error("a path with NUL was opened")
	}
}

func TestOptionsThatDoNotGoWithACall(t *testing.T) {
	store := openStore(t, smallStore())
	key := []byte("key")
	call := func(_ Result, err error) error { return err }
	for what, err := range map[string]error{
		"put":       call(store.Put(bg, key, nil, WithLimit(1))),
		"put later": call(store.Put(bg, key, nil, IfLater())),
		"none":      call(store.Put(bg, key, nil, CallOption{})),
		"delete":    call(store.Delete(bg, key, WithTTL(time.Second))),
		"increment": call(store.Increment(bg, key, 1, IfAbsent())),
		"append":    call(store.Append(bg, key, nil, WithPrevious())),
		"expire":    call(store.Expire(bg, key, 1, WithPrevious())),
		"execute":   call(store.Execute(bg, OpPut(key, nil), IfAbsent())),
		"operation": call(store.Execute(bg, OpPut(key, nil, WithDurability(DurabilityMemory)))),
		"unknown":   call(store.Put(bg, key, nil, WithDurability(-3))),
	} {
		if !errors.Is(err, ErrInvalidArgument) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := store.Batch(bg, []Operation{OpGet(key)}, WithLimit(1))
	wantError(t, err, ErrInvalidArgument)
	_, err = store.Batch(bg, []Operation{OpPut(key, nil, WithReverse())})
	wantError(t, err, ErrInvalidArgument)
	_, err = store.Commit(bg, Txn{Else: []Operation{OpPut(key, nil, WithReverse())}})
	wantError(t, err, ErrInvalidArgument)
	_, err = store.Range(bg, AllKeys(), IfAbsent())
	wantError(t, err, ErrInvalidArgument)
	_, err = store.Put(bg, key, nil, WithDurability(DurabilityAll))
	wantError(t, err, ErrUnsupported)
	wantAbsent(t, store, "key")
}

func TestWhatOpenStoreDidNotMakeIsRefused(t *testing.T) {
	var store Store
	_, err := store.Put(bg, nil, nil)
	wantError(t, err, ErrNull)
	_, err = store.Get(bg, nil)
	wantError(t, err, ErrNull)
	_, err = store.Sync(bg)
	wantError(t, err, ErrNull)
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

func TestAClosedStoreSaysSo(t *testing.T) {
	store := openStore(t, smallStore())
	store.Close()
	if err := store.Close(); err != nil {
		t.Error("closed again:", err)
	}
	_, err := store.Put(bg, nil, nil)
	wantError(t, err, ErrClosed)
	_, err = store.Get(bg, nil)
	wantError(t, err, ErrClosed)
	_, err = store.Batch(bg, []Operation{OpGet(nil), OpGet(nil)})
	wantError(t, err, ErrClosed)
	_, err = store.Commit(bg, Txn{})
	wantError(t, err, ErrClosed)
	_, err = store.Scan(bg, AllKeys())
	wantError(t, err, ErrClosed)
	_, err = store.Watch(bg, AllKeys(), 0)
	wantError(t, err, ErrClosed)
	_, err = store.Sync(bg)
	wantError(t, err, ErrClosed)
	_, err = store.Status()
	wantError(t, err, ErrClosed)
	_, err = store.Lease(bg, 1)
	wantError(t, err, ErrClosed)
}

func TestSyncSnapshotAndStatus(t *testing.T) {
	store := openStore(t, smallStore())
	result := put(t, store, "key", "value", WithDurability(DurabilityMemory))
	synced := must[uint64](t)(store.Sync(bg))
	if synced < result.Sequence {
		t.Errorf("synced up to %d, wrote %d", synced, result.Sequence)
	}
	var group sync.WaitGroup
	for range 50 {
		group.Add(1)
		go func() {
			defer group.Done()
			if sequence, err := store.Snapshot(bg); err != nil || sequence < result.Sequence {
				t.Errorf("a snapshot at %d, %v", sequence, err)
			}
			if _, err := store.Sync(bg); err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
	status := must[StoreStatus](t)(store.Status())
	if status.Failure != nil || status.Problem != nil || status.SnapshotFailure != nil || status.Keys != 1 ||
		status.Durable < result.Sequence || status.Snapshot < result.Sequence || status.MemoryBytes == 0 || status.DiskBytes == 0 {
		t.Errorf("the store is %+v", status)
	}
	ctx, cancel := context.WithCancel(bg)
	cancel()
	_, err := store.Sync(ctx)
	wantError(t, err, context.Canceled)
}

func TestMemoryMaxRefusesOrEvicts(t *testing.T) {
	options := smallStore()
	options.MemoryMax = 1 << 16
	options.Durability = DurabilityMemory
	refusing := openStore(t, options)
	options.Eviction = EvictionLRU
	evicting := openStore(t, options)
	value := []byte(strings.Repeat("v", 1000))
	var refused error
	for at := range 200 {
		key := fmt.Appendf(nil, "%04d", at)
		if _, err := refusing.Put(bg, key, value); err != nil {
			refused = err
		}
		must[Result](t)(evicting.Put(bg, key, value))
	}
	wantError(t, refused, ErrCapacity)
	count := must[uint64](t)(evicting.Count(bg, AllKeys()))
	if count == 0 || count > 65 {
		t.Errorf("%d keys of 1000 bytes are within 64 KiB", count)
	}
	wantValue(t, evicting, "0199", string(value))
	must[Result](t)(refusing.Delete(bg, []byte("0000")))
	must[Result](t)(refusing.Put(bg, []byte("0000"), value))
}

// A store that was dropped is closed: its directory is free, its goroutine and descriptors are gone.
func TestADroppedStoreIsClosed(t *testing.T) {
	path := t.TempDir()
	func() {
		store, err := OpenStore(path, smallStore())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Put(bg, []byte("key"), []byte("value"), WithDurability(DurabilityMemory)); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Watch(bg, AllKeys(), 0); err != nil {
			t.Fatal(err)
		}
	}()
	var again *Store
	eventually(t, "the directory is free", func() bool {
		collect()
		var err error
		again, err = OpenStore(path, smallStore())
		return err == nil
	})
	defer again.Close()
	wantValue(t, again, "key", "value")
}

func TestNothingIsLeftBehind(t *testing.T) {
	used := func() {
		store, err := OpenStore(t.TempDir(), smallStore())
		if err != nil {
			t.Fatal(err)
		}
		watch := must[*Watch](t)(store.Watch(bg, AllKeys(), 1))
		put(t, store, "key", "value")
		must[Change](t)(watch.Next(bg))
		ctx, cancel := context.WithTimeout(bg, time.Millisecond)
		defer cancel()
		_, err = watch.Next(ctx)
		wantError(t, err, context.DeadlineExceeded)
		must[[]Entry](t)(store.Range(bg, AllKeys()))
		must[uint64](t)(store.Sync(bg))
		watch.Close()
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	used()
	goroutines, open, own := runtime.NumGoroutine(), descriptors(t), ownThreads(t)
	for range 20 {
		used()
	}
	eventually(t, "no goroutine, descriptor or thread is left", func() bool {
		return runtime.NumGoroutine() <= goroutines && descriptors(t) <= open && ownThreads(t) <= own
	})
}
