package trimtab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// reopened gives what a directory has, as "key=value".
func reopened(t *testing.T, path string) string {
	t.Helper()
	store := must[*Store](t)(OpenStore(path, smallStore()))
	defer store.Close()
	var entries []Entry
	for entry, err := range store.All(bg, Prefix(nil)) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	return pairsOf(entries)
}

func TestAStoreThatIsOpenIsBackedUpAndRestored(t *testing.T) {
	directory := t.TempDir()
	backup, end, then := filepath.Join(directory, "backup"), filepath.Join(directory, "end"), filepath.Join(directory, "then")
	store := openStoreIn(t, filepath.Join(directory, "data"), smallStore())
	put(t, store, "k", "1")
	result := put(t, store, "k", "2")
	first := must[BackupReport](t)(store.Backup(bg, backup, BackupOptions{}))
	if first.LastSequence != result.Sequence || first.Entries != result.Sequence || first.Snapshot != 0 ||
		first.Stretches != 1 || first.FirstSequence != 1 || first.Bytes == 0 || first.Bytes != first.TotalBytes {
		t.Errorf("the first backup came to %+v", first)
	}
	if age := time.Since(first.Last); age < -time.Second || age > time.Minute || first.First.After(first.Last) {
		t.Errorf("it is of %v to %v", first.First, first.Last)
	}
	put(t, store, "k", "3")
	// What did not wait for the disk is in it too.
	last := put(t, store, "m", "4", WithDurability(DurabilityMemory))
	second := must[BackupReport](t)(store.Backup(bg, backup, BackupOptions{Full: true}))
	if second.LastSequence != last.Sequence || second.Entries != 2 || second.Snapshot != last.Sequence {
		t.Errorf("the second backup came to %+v", second)
	}
	held := must[BackupReport](t)(VerifyBackup(bg, backup))
	if held.LastSequence != last.Sequence || held.Entries != 0 || held.Bytes != 0 || held.TotalBytes != second.TotalBytes {
		t.Errorf("the backup holds %+v", held)
	}

	restored := must[Restored](t)(Restore(bg, backup, end, RestoreOptions{}))
	if restored.Sequence != last.Sequence || restored.Identity.Node != 1 || restored.Time.After(held.Last) {
		t.Errorf("what was restored is %+v", restored)
	}
	if got := reopened(t, end); got != "k=3 m=4 " {
		t.Errorf("it has %s", got)
	}
	restored = must[Restored](t)(Restore(bg, backup, then, RestoreOptions{Sequence: Ptr(result.Sequence)}))
	if restored.Sequence != result.Sequence || restored.Snapshot != 0 || restored.Entries != result.Sequence {
		t.Errorf("what was restored is %+v", restored)
	}
	if got := reopened(t, then); got != "k=2 " {
		t.Errorf("it has %s", got)
	}
	// A store that was restored is one of its own.
	other := openStoreIn(t, end, smallStore())
	_, err := other.Backup(bg, backup, BackupOptions{})
	wantError(t, err, ErrInvalidArgument)
}

func TestRestoringToATime(t *testing.T) {
	directory := t.TempDir()
	backup, then := filepath.Join(directory, "backup"), filepath.Join(directory, "then")
	store := openStoreIn(t, filepath.Join(directory, "data"), smallStore())
	put(t, store, "k", "before")
	between := must[BackupReport](t)(store.Backup(bg, backup, BackupOptions{})).Last
	for time.Since(between) < 2*time.Millisecond {
		time.Sleep(time.Millisecond)
	}
	put(t, store, "k", "after")
	must[BackupReport](t)(store.Backup(bg, backup, BackupOptions{}))
	restored := must[Restored](t)(Restore(bg, backup, then, RestoreOptions{Time: between}))
	if restored.Time.After(between) {
		t.Errorf("it is of %v, and %v was asked for", restored.Time, between)
	}
	if got := reopened(t, then); got != "k=before " {
		t.Errorf("it has %s", got)
	}
}

func TestADirectoryThatNobodyHasOpenIsBackedUp(t *testing.T) {
	directory := t.TempDir()
	data, backup, same := filepath.Join(directory, "data"), filepath.Join(directory, "backup"), filepath.Join(directory, "same")
	identity := StoreIdentity{Cluster: [16]byte{7, 15: 9}, Node: 3}
	options := smallStore()
	options.Identity = &identity
	store := must[*Store](t)(OpenStore(data, options))
	last := put(t, store, "k", "v")
	_, err := BackupClosed(bg, data, backup, BackupOptions{})
	wantError(t, err, ErrState)
	must[uint64](t)(store.Snapshot(bg))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	report := must[BackupReport](t)(BackupClosed(bg, data, backup, BackupOptions{Full: true}))
	if report.LastSequence != last.Sequence || report.Snapshot != last.Sequence {
		t.Errorf("it came to %+v", report)
	}
	restored := must[Restored](t)(Restore(bg, backup, same, RestoreOptions{SameIdentity: true}))
	if restored.Identity != identity {
		t.Errorf("it is %+v, want %+v", restored.Identity, identity)
	}
	if got := reopened(t, same); got != "k=v " {
		t.Errorf("it has %s", got)
	}
	_, err = VerifyBackup(bg, data)
	wantError(t, err, ErrNotFound)
	_, err = BackupClosed(bg, t.TempDir(), filepath.Join(directory, "other"), BackupOptions{})
	wantError(t, err, ErrNotFound)
}

func TestBackupsAreRefusedWithAReason(t *testing.T) {
	directory := t.TempDir()
	backup, full, new := filepath.Join(directory, "backup"), filepath.Join(directory, "full"), filepath.Join(directory, "new")
	store := openStoreIn(t, filepath.Join(directory, "data"), smallStore())
	put(t, store, "k", "v")
	must[BackupReport](t)(store.Backup(bg, backup, BackupOptions{}))
	if err := errors.Join(os.Mkdir(full, 0o700), os.WriteFile(filepath.Join(full, "file"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err := store.Backup(bg, full, BackupOptions{})
	wantError(t, err, ErrInvalidArgument)
	_, err = Restore(bg, backup, full, RestoreOptions{})
	wantError(t, err, ErrInvalidArgument)
	_, err = Restore(bg, backup, new, RestoreOptions{Sequence: Ptr(uint64(99))})
	wantError(t, err, ErrInvalidArgument)
	if err == nil || !strings.Contains(err.Error(), "which holds the sequences 1 to ") {
		t.Errorf("it does not say what there is: %v", err)
	}
	_, err = Restore(bg, backup, new, RestoreOptions{Time: time.Unix(1, 0)})
	wantError(t, err, ErrInvalidArgument)
	_, err = Restore(bg, backup, new, RestoreOptions{Sequence: Ptr(uint64(1)), Time: time.Now()})
	wantError(t, err, ErrInvalidArgument)
	_, err = (&Store{}).Backup(bg, backup, BackupOptions{})
	for _, err := range []error{err, (&Store{}).Scrub(bg)} {
		var is *Error
		if !errors.As(err, &is) || is.Code != CodeNull {
			t.Errorf("got %v, want CodeNull", err)
		}
	}

	names, err := filepath.Glob(filepath.Join(backup, "*.entries"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	flip(t, names[0], 100)
	_, err = VerifyBackup(bg, backup)
	wantError(t, err, ErrCorrupt)
	if err == nil || !strings.Contains(err.Error(), filepath.Base(names[0])) {
		t.Errorf("it does not say where: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = store.Backup(bg, full, BackupOptions{})
	wantError(t, err, ErrClosed)
	wantError(t, store.Scrub(bg), ErrClosed)
}

// flip changes a bit in place, as rot does: the store has the file open.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var one [1]byte
	_, readErr := file.ReadAt(one[:], at)
	one[0] ^= 1
	_, writeErr := file.WriteAt(one[:], at)
	if err := errors.Join(readErr, writeErr, file.Sync()); err != nil {
		t.Fatal(err)
	}
}

func TestWhatHasRottedIsTold(t *testing.T) {
	directory := t.TempDir()
	options := smallStore()
	options.ScrubBytesPerSecond = 1 << 30
	options.ScrubInterval = Ptr(time.Duration(0))
	store := openStoreIn(t, directory, options)
	value := strings.Repeat("v", 1000)
	for range 20 {
		put(t, store, "k", value)
	}
	if err := store.Scrub(bg); err != nil {
		t.Fatal(err)
	}
	status := must[StoreStatus](t)(store.Status())
	if status.ScrubPasses != 1 || status.ScrubBytes < 20_000 || status.ScrubDamages != 0 || status.ScrubFailure != nil ||
		time.Since(status.ScrubFinished) > time.Minute {
		t.Errorf("the status is %+v", status)
	}
	segments, err := filepath.Glob(filepath.Join(directory, "*.wal"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	flip(t, segments[0], 9_000)
	err = store.Scrub(bg)
	wantError(t, err, ErrCorrupt)
	status = must[StoreStatus](t)(store.Status())
	wantError(t, status.ScrubFailure, ErrCorrupt)
	if where := filepath.Base(segments[0]) + " is damaged at byte "; status.ScrubDamages != 1 ||
		!strings.Contains(err.Error(), where) || !strings.Contains(status.ScrubFailure.Error(), where) {
		t.Errorf("neither %v nor %+v say where", err, status)
	}
	wantValue(t, store, "k", value)
	put(t, store, "more", "")
}

func TestAScrubEndsForWhoWaitsNoLonger(t *testing.T) {
	options := smallStore()
	options.ScrubBytesPerSecond = 64 << 10
	store := openStore(t, options)
	// Beyond what is read at first.
	value := make([]byte, 200<<10)
	for key := range byte(16) {
		must[Result](t)(store.Put(bg, []byte{key}, value))
	}
	ctx, cancel := context.WithTimeout(bg, 20*time.Millisecond)
	defer cancel()
	wantError(t, store.Scrub(ctx), context.DeadlineExceeded)
	cancelled, cancel := context.WithCancel(bg)
	cancel()
	wantError(t, store.Scrub(cancelled), context.Canceled)
	// Closing does not wait for it.
}

func TestAStoreScrubsByItself(t *testing.T) {
	options := smallStore()
	options.ScrubInterval = Ptr(time.Millisecond)
	// So that each pass is a turn, which can be waited for.
	options.Hosted = true
	store, ctx := openStore(t, options), patient(t)
	for must[StoreStatus](t)(store.Status()).ScrubPasses < 2 {
		if err := store.WaitTurn(ctx); err != nil {
			t.Fatal(err)
		}
		must[int](t)(store.Turn())
	}
	for _, bad := range []StoreOptions{
		{ScrubInterval: Ptr(time.Microsecond)}, {ScrubInterval: Ptr(-time.Second)},
		{ScrubInterval: Ptr(10_000 * time.Hour)}, {ScrubBytesPerSecond: 1},
	} {
		_, err := OpenStore(t.TempDir(), bad)
		wantError(t, err, ErrInvalidArgument)
	}
}

func TestABackupIsWaitedForAsLongAsTheContextAllows(t *testing.T) {
	directory := t.TempDir()
	// A disk that does not answer, until somebody writes.
	pipe := filepath.Join(directory, "manifest.json")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(bg, 20*time.Millisecond)
	defer cancel()
	_, err := VerifyBackup(ctx, directory)
	wantError(t, err, context.DeadlineExceeded)
	// It goes on, and is let go.
	writer, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	writer.Close()
}

func TestBackupsBesideWritesAndClosing(t *testing.T) {
	directory := t.TempDir()
	backup := filepath.Join(directory, "backup")
	store := openStoreIn(t, filepath.Join(directory, "data"), smallStore())
	put(t, store, "n", "0")
	var group sync.WaitGroup
	for range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				if _, err := store.Increment(bg, []byte("n"), 1, WithDurability(DurabilityMemory)); err != nil {
					wantError(t, err, ErrClosed)
					return
				}
			}
		}()
	}
	for turn := range 20 {
		must[BackupReport](t)(store.Backup(bg, backup, BackupOptions{Full: turn%5 == 4}))
	}
	over := make(chan error)
	go func() {
		for {
			if _, err := store.Backup(bg, backup, BackupOptions{Full: true}); err != nil {
				over <- err
				return
			}
		}
	}()
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	wantError(t, <-over, ErrClosed)
	group.Wait()
	must[BackupReport](t)(VerifyBackup(bg, backup))
}

func TestANumberUsedForAnotherOperationIsRefused(t *testing.T) {
	store := openStore(t, smallStore())
	request := WithRequest(Request{Client: NewClientID(), Number: 1})
	put(t, store, "k", "v", request)
	_, err := store.Increment(bg, []byte("n"), 1, request)
	wantError(t, err, ErrState)
	wantAbsent(t, store, "n")
	_, err = store.Commit(bg, Txn{}, request)
	wantError(t, err, ErrState)
}
