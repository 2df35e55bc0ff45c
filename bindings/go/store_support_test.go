package trimtab

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// smallStore is options of a store that is made and opened quickly.
func smallStore() StoreOptions {
	return StoreOptions{SegmentBytes: 1 << 20, ValueMax: 256 << 10}
}

// openStore opens one in a directory of its own, and closes it with the test.
func openStore(t testing.TB, options StoreOptions) *Store {
	t.Helper()
	return openStoreIn(t, t.TempDir(), options)
}

func openStoreIn(t testing.TB, path string, options StoreOptions) *Store {
	t.Helper()
	store, err := OpenStore(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// bg is a context without an end.
var bg = context.Background()

// must fails the test on an error, and gives the value.
func must[T any](t testing.TB) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func put(t testing.TB, store *Store, key, value string, options ...CallOption) Result {
	t.Helper()
	return must[Result](t)(store.Put(bg, []byte(key), []byte(value), options...))
}

func wantValue(t testing.TB, store *Store, key, want string) {
	t.Helper()
	if got := must[[]byte](t)(store.Get(bg, []byte(key))); string(got) != want {
		t.Errorf("%s is %q, want %q", key, got, want)
	}
}

func wantAbsent(t testing.TB, store *Store, key string) {
	t.Helper()
	value, err := store.Get(bg, []byte(key))
	wantError(t, err, ErrNotFound)
	if value != nil {
		t.Errorf("%s is %q, want nothing", key, value)
	}
}

// keysOf gives keys and values as "key=value".
func pairsOf(entries []Entry) string {
	text := ""
	for _, entry := range entries {
		text += fmt.Sprintf("%s=%s ", entry.Key, entry.Value)
	}
	return text
}

// wholeMillis is a moment that a store tells as it was told.
func wholeMillis(moment time.Time) time.Time {
	return moment.Truncate(time.Millisecond)
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}
