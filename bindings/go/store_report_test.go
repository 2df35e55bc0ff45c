package trimtab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const firstSegment = "0000000000000001.wal"

// segmentOf gives the first segment of a store, and where its records end.
func segmentOf(t *testing.T, path string) ([]byte, int) {
	t.Helper()
	segment := must[[]byte](t)(os.ReadFile(filepath.Join(path, firstSegment)))
	return segment, len(strings.TrimRight(string(segment), "\x00"))
}

// directoryOf makes a directory that has this segment alone, as a crash may leave one.
func directoryOf(t *testing.T, segment []byte) string {
	t.Helper()
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, firstSegment), segment, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func reportOn(t *testing.T, store *Store) StoreReport {
	t.Helper()
	return must[StoreReport](t)(store.Report())
}

func TestAReportOfNothingSpecial(t *testing.T) {
	path := t.TempDir()
	store := openStoreIn(t, path, smallStore())
	if report := reportOn(t, store); report != (StoreReport{}) {
		t.Errorf("a new store: %+v", report)
	}
	put(t, store, "a", "1")
	put(t, store, "a", "2")
	snapshot := must[uint64](t)(store.Snapshot(bg))
	put(t, store, "a", "3")
	// The settings of a new store are a command too.
	counts := must[StoreStatus](t)(store.Status()).Counts
	if counts.Submitted != 4 || counts.Applied != 4 || counts.Snapshots != 1 || counts.Flushes < 3 || counts.FlushedBytes == 0 {
		t.Errorf("counts: %+v", counts)
	}
	counts.Submitted, counts.Applied, counts.Snapshots, counts.Flushes, counts.FlushedBytes = 0, 0, 0, 0, 0
	if counts != (StoreCounts{}) {
		t.Errorf("counts of what did not happen: %+v", counts)
	}
	store.Close()

	report := reportOn(t, openStoreIn(t, path, smallStore()))
	if !report.Closed || report.Torn != nil || report.Ahead != 0 || report.SettingsRefused != nil ||
		report.Last != 4 || report.Snapshot != snapshot || report.Replayed != 4-snapshot ||
		report.Segments != 1 || report.Records < 5 || report.Bytes == 0 {
		t.Errorf("%+v", report)
	}
}

func TestATornTailIsTold(t *testing.T) {
	path := t.TempDir()
	store := openStoreIn(t, path, smallStore())
	put(t, store, "a", "1")
	put(t, store, "b", "2")
	segment, end := segmentOf(t, path)
	// The last write came to disk without its end.
	clear(segment[end-10 : end])
	torn := directoryOf(t, segment)
	store = openStoreIn(t, torn, smallStore())
	report := reportOn(t, store)
	if report.Torn == nil || report.Closed || report.First != 1 || report.Last != 2 || report.Replayed != 2 {
		t.Fatalf("%+v", report)
	}
	tail := report.Torn
	if tail.File != filepath.Join(torn, firstSegment) || tail.Offset <= 8192 || tail.Offset >= uint64(end) || tail.Bytes < 44 {
		t.Errorf("%+v, and the records ended at %d", tail, end)
	}
	wantValue(t, store, "a", "1")
	wantAbsent(t, store, "b")
}

func TestDamageThatASnapshotStandsForIsTold(t *testing.T) {
	path := t.TempDir()
	store := openStoreIn(t, path, smallStore())
	for at := range 20 {
		put(t, store, string(rune('a'+at)), strings.Repeat("v", 64<<10))
	}
	segment, _ := segmentOf(t, path)
	must[uint64](t)(store.Snapshot(patient(t)))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	// The process ended before the first segment was gone, and it has rotted since.
	segment[9_000] ^= 1
	first := filepath.Join(path, firstSegment)
	if err := os.WriteFile(first, segment, 0o600); err != nil {
		t.Fatal(err)
	}
	store = openStoreIn(t, path, smallStore())
	report := reportOn(t, store)
	covered := report.Covered
	if covered == nil || covered.File != first || covered.Segments != 1 || covered.Offset < 8_192 || covered.Offset > 9_000 {
		t.Fatalf("%+v, %+v", report, covered)
	}
	if report.Torn != nil || must[uint64](t)(store.Count(patient(t), AllKeys())) != 20 {
		t.Errorf("%+v", report)
	}
}

func TestAClockThatIsBehindTheStore(t *testing.T) {
	if isChild("clock") {
		store := openStoreIn(t, os.Getenv("TRIMTAB_TEST_PATH"), smallStore())
		put(t, store, "a", "1")
		return
	}
	path, tools := t.TempDir(), t.TempDir()
	compiler := os.Getenv("CC")
	if compiler == "" {
		compiler = "cc"
	}
	shim, trigger := filepath.Join(tools, "shim.so"), filepath.Join(tools, "trigger")
	built := exec.Command(compiler, "-shared", "-fPIC", "-O1", "-o", shim, "../../tests/store/faults/clock.c", "-ldl")
	if said, err := built.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	// By so many seconds the child's clock is behind: it is an hour ahead.
	if err := os.WriteFile(trigger, []byte("-3600"), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(patient(t), must[string](t)(os.Executable()), "-test.run=^"+t.Name()+"$", "-test.count=1")
	command.Env = append(os.Environ(), "TRIMTAB_TEST_CHILD=clock", "TRIMTAB_TEST_PATH="+path,
		"LD_PRELOAD="+shim, "TRIMTAB_SHIM="+trigger)
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	store := openStoreIn(t, path, smallStore())
	if report := reportOn(t, store); report.Ahead < 50*time.Minute || report.Ahead > time.Hour {
		t.Errorf("%+v", report)
	}
	put(t, store, "a", "2")
	if counts := must[StoreStatus](t)(store.Status()).Counts; counts.ClockSteps < 1 {
		t.Errorf("%+v", counts)
	}
}

// A segment that is nearly full, and none behind it yet: the command with the settings finds no place.
func TestSettingsThatFindNoRoomAreTold(t *testing.T) {
	path := t.TempDir()
	store := openStoreIn(t, path, smallStore())
	var segment []byte
	for {
		var end int
		segment, end = segmentOf(t, path)
		room := len(segment) - end
		if room < 500 {
			break
		}
		length := 100
		if room > 70_000 {
			length = 60_000
		}
		put(t, store, "k", strings.Repeat("v", length))
	}
	path = directoryOf(t, segment)
	options := smallStore()
	options.ValueMax = 10
	store = openStoreIn(t, path, options)
	refused := reportOn(t, store).SettingsRefused
	wantError(t, refused, ErrCapacity)
	if refused == nil || !strings.Contains(refused.Error(), "segment_bytes") {
		t.Errorf("it says %v", refused)
	}
	put(t, store, "k", "longer than ten bytes")
	store.Close()

	store = openStoreIn(t, path, options)
	if report := reportOn(t, store); report.SettingsRefused != nil {
		t.Errorf("%+v", report)
	}
	_, err := store.Put(bg, []byte("k"), []byte("longer than ten bytes"))
	wantError(t, err, ErrInvalidArgument)
}
