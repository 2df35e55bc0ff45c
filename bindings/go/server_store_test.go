package trimtab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// withStore is a configuration with a store in a directory of the test's, which Redis clients reach too.
func withStore(t testing.TB, path string) *Server {
	t.Helper()
	config := fmt.Sprintf("[runtime]\nworkers = 2\n\n[store]\ndir = %q\nresp = \"127.0.0.1:0\"\n", path)
	return newServer(t, ServerOptions{Config: config})
}

func startedStore(t testing.TB, path string) (*Server, *Store) {
	t.Helper()
	server := withStore(t, path)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	return server, storeOf(t, server)
}

func storeOf(t testing.TB, server *Server) *Store {
	t.Helper()
	store, err := server.Store()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// ask says something as a Redis client and hears the answer.
func ask(t testing.TB, server *Server, command, answer string) {
	t.Helper()
	status, err := server.Status()
	if err != nil || status.Store == nil || status.Store.Clients == nil {
		t.Fatalf("%+v %v", status.Store, err)
	}
	opening, scrub := status.Store.Opening, status.Store.Scrub
	if !opening.WasClosed || opening.Torn != nil || opening.SettingsRefused != "" || scrub.Damages != 0 || scrub.Damage != "" {
		t.Fatalf("%+v %+v", opening, scrub)
	}
	conn, err := net.DialTimeout("tcp", status.Store.Clients.Address, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	heard := make([]byte, len(answer))
	_, err = io.WriteString(conn, command+"\r\n")
	if err == nil {
		_, err = io.ReadFull(bufio.NewReader(conn), heard)
	}
	if err != nil || string(heard) != answer {
		t.Fatalf("%q is answered %q %v", command, heard, err)
	}
}

func TestAServersStore(t *testing.T) {
	ctx := patient(t)
	server, store := startedStore(t, t.TempDir())
	watch, err := store.Watch(ctx, AllKeys(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if result, err := store.Put(ctx, []byte("ours"), []byte("1")); err != nil || result.Durability != DurabilityLocal {
		t.Fatalf("%+v %v", result, err)
	}
	ask(t, server, "GET ours", "$1\r\n1\r\n")
	ask(t, server, "SET theirs 2", "+OK\r\n")
	for _, key := range []string{"ours", "theirs"} {
		if change, err := watch.Next(ctx); err != nil || string(change.Key) != key {
			t.Fatalf("%+v %v", change, err)
		}
	}
	other := storeOf(t, server)
	if value, err := other.Get(ctx, []byte("theirs")); err != nil || string(value) != "2" {
		t.Fatalf("%q %v", value, err)
	}
	if result, err := other.Increment(ctx, []byte("theirs"), 1, WithDurability(DurabilityMemory)); err != nil || result.Number != 3 {
		t.Fatalf("%+v %v", result, err)
	}
	done, err := store.Commit(ctx, Txn{Then: []Operation{OpGet([]byte("theirs")), OpPut([]byte("both"), nil)}})
	if err != nil || string(done.Steps[0].Entries[0].Value) != "3" {
		t.Fatalf("%+v %v", done, err)
	}
	if _, err := store.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if status, err := server.Status(); err != nil || status.Store.Keys != 3 || status.Store.Dir == "" {
		t.Errorf("%+v %v", status.Store, err)
	}
	_, err = store.Turn()
	wants(t, err, ErrState, "turn", "hosted")

	// The handle goes; the store, the other handle and what was made of this one go on.
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = store.Put(ctx, []byte("late"), nil)
	wants(t, err, ErrClosed, "put", "closed")
	_, err = store.Get(ctx, []byte("ours"))
	wants(t, err, ErrClosed, "get", "closed")
	ask(t, server, "GET ours", "$1\r\n1\r\n")
	if _, err := other.Put(ctx, []byte("ours"), []byte("2")); err != nil {
		t.Fatal(err)
	}
	for key := ""; key != "ours"; {
		change, err := watch.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		key = string(change.Key)
	}
	watch.Close()
}

func TestAServersStoreLivesAsLongAsItRuns(t *testing.T) {
	ctx, path := patient(t), t.TempDir()
	_, err := startServer(t, configOf(1, "", addressOfNobody(t))).Store()
	wants(t, err, ErrNotFound, "store", "[store]")
	server := withStore(t, path)
	_, err = server.Store()
	wants(t, err, ErrState, "store", "not started")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	store := storeOf(t, server)
	for at := range 100 {
		if _, err := store.Put(ctx, fmt.Append(nil, at), nil, WithDurability(DurabilityMemory)); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	mustWait(t, server)
	_, err = server.Store()
	wants(t, err, ErrState, "store", "ended")
	for range 2 {
		_, err = store.Put(ctx, []byte("late"), nil)
		wants(t, err, ErrState, "put", "closed")
		_, err = store.Get(ctx, []byte("1"))
		wants(t, err, ErrState, "get", "closed")
		server.Close()
	}
	_, err = server.Store()
	wants(t, err, ErrClosed, "store", "closed")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenStore(path, StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if count, err := again.Count(ctx, AllKeys()); err != nil || count != 100 {
		t.Errorf("%d %v", count, err)
	}
}

// Whoever waits is told, by the end of the server or of the handle.
func TestWaitsOnAServersStoreEnd(t *testing.T) {
	for _, byHandle := range []bool{false, true} {
		ctx := patient(t)
		server, store := startedStore(t, t.TempDir())
		watch, err := store.Watch(ctx, Prefix([]byte("never")), 0)
		if err != nil {
			t.Fatal(err)
		}
		var done atomic.Int64
		var workers sync.WaitGroup
		for range 8 {
			workers.Add(1)
			go func() {
				defer workers.Done()
				for {
					_, err := store.Increment(ctx, []byte("n"), 1)
					if err != nil {
						if !errors.Is(err, ErrState) && !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
					done.Add(1)
				}
			}()
		}
		watched := make(chan error, 1)
		go func() {
			_, err := watch.Next(ctx)
			watched <- err
		}()
		eventually(t, "some are done", func() bool { return done.Load() > 50 })
		if byHandle {
			store.Close()
			workers.Wait()
			// All that was answered is there, and nothing is under way any more.
			other := storeOf(t, server)
			result, err := other.Increment(ctx, []byte("n"), 0)
			if err != nil || result.Number != done.Load() {
				t.Errorf("%d were answered, %+v %v", done.Load(), result, err)
			}
		}
		server.Close()
		workers.Wait()
		if err := <-watched; err == nil {
			t.Error("a watch told of something")
		}
		watch.Close()
	}
}

// A handle that is given back while a call holds a thread in C is freed by that call.
func TestAServersStoreIsLetGoBesideLongCalls(t *testing.T) {
	server, store := startedStore(t, t.TempDir())
	ctx, cancel := context.WithCancel(patient(t))
	value := make([]byte, 1<<20)
	for at := range 40 {
		if _, err := store.Put(ctx, fmt.Append(nil, at), value); err != nil {
			t.Fatal(err)
		}
	}
	// At its 8 MiB a second it takes a while.
	scrubbed := make(chan error, 1)
	go func() { scrubbed <- store.Scrub(ctx) }()
	eventually(t, "it reads", func() bool {
		store.core.stays.mutex.Lock()
		defer store.core.stays.mutex.Unlock()
		return store.core.stays.count == 1
	})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-scrubbed; err == nil {
		t.Error("it has read 40 MiB already")
	}
	ask(t, server, "DBSIZE", ":40\r\n")
	server.Close()
	eventually(t, "the call has come out", func() bool {
		store.core.stays.mutex.Lock()
		defer store.core.stays.mutex.Unlock()
		return store.core.stays.count == 0
	})
}

func TestAServersStoreInOnEvent(t *testing.T) {
	ctx := patient(t)
	told := make(chan error, 2)
	var server *Server
	path := t.TempDir()
	config := fmt.Sprintf("[runtime]\nworkers = 1\n\n[store]\ndir = %q\n", path)
	server = newServer(t, ServerOptions{Config: config, OnEvent: func(event Event) {
		if event.Kind == EventStarted {
			store, err := server.Store()
			if err == nil {
				_, err = store.Put(ctx, []byte("begun"), nil)
				store.Close()
			}
			told <- err
		}
	}})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if err := <-told; err != nil {
		t.Fatal(err)
	}
	if value, err := storeOf(t, server).Get(ctx, []byte("begun")); err != nil || len(value) != 0 {
		t.Errorf("%q %v", value, err)
	}
}

func TestAHostedServersStoreIsTurnedWithIt(t *testing.T) {
	ctx := patient(t)
	path := t.TempDir()
	server := withStore(t, path)
	if err := server.StartHosted(); err != nil {
		t.Fatal(err)
	}
	drive(t, server)
	store := storeOf(t, server)
	if _, err := store.Put(ctx, []byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	ask(t, server, "GET k", "$1\r\nv\r\n")
	ask(t, server, "SET red 1", "+OK\r\n")
	if _, err := store.Turn(); !errors.Is(err, ErrState) {
		t.Errorf("it is turned with the server: %v", err)
	}
	server.Close()
	_, store = startedStore(t, path)
	for key, expected := range map[string]string{"k": "v", "red": "1"} {
		if value, err := store.Get(ctx, []byte(key)); err != nil || string(value) != expected {
			t.Errorf("%s: %q %v", key, value, err)
		}
	}
}

func TestAServersStoreLeavesNothingBehind(t *testing.T) {
	path := t.TempDir()
	round := func(turn int) {
		server, store := startedStore(t, path)
		if _, err := store.Put(patient(t), []byte("k"), nil); err != nil {
			t.Fatal(err)
		}
		if turn%2 == 0 {
			store.Close()
		}
		server.Close()
		store.Close()
	}
	round(0)
	before := descriptors(t)
	for turn := range 6 {
		round(turn)
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
