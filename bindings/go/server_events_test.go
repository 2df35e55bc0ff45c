package trimtab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// record keeps events.
type record struct {
	lock   sync.Mutex
	events []Event
}

func (r *record) add(event Event) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.events = append(r.events, event)
}

func (r *record) has(kind EventKind) bool {
	r.lock.Lock()
	defer r.lock.Unlock()
	for _, event := range r.events {
		if event.Kind == kind {
			return true
		}
	}
	return false
}

func TestEventsInOrder(t *testing.T) {
	var told record
	server := newServer(t, ServerOptions{Config: configOf(1, "", echoBackend(t, "a"), echoBackend(t, "b")), OnEvent: told.add})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	pool := poolNamed(t, server, "app")
	a := idOf(t, pool, "a")
	dialSession(t, "tcp", addressOf(t, server)).Close()
	added, err := pool.Add(Backend{Address: "10.9.9.9:9"})
	if err := errors.Join(err,
		pool.SetAdmin(a, AdminDrain),
		pool.SetAdmin(a, AdminDrain), // changes nothing
		pool.SetObserved(a, ObservedDown),
		pool.SetWeight(a, 7),
		pool.SetMaxconn(a, 9),
		pool.SetTier(a, 3),
		pool.Remove(added),
		server.Drain(),
	); err != nil {
		t.Fatal(err)
	}
	mustWait(t, server)
	if err := pool.SetWeight(a, 8); err != nil {
		t.Fatal(err)
	}
	server.Close()
	// Nobody is told any more.
	if err := pool.SetWeight(a, 9); err != nil {
		t.Fatal(err)
	}
	want := []struct {
		kind EventKind
		line string
	}{
		{EventStarted, fmt.Sprintf("started detail=%q", "web on "+addressText(t, told.events))},
		{EventBackendAdded, "backend-added pool=app backend=10.9.9.9:9"},
		{EventBackendAdmin, "backend-admin pool=app backend=a value=drain"},
		{EventBackendObserved, "backend-observed pool=app backend=a value=down"},
		{EventBackendWeight, "backend-weight pool=app backend=a value=7"},
		{EventBackendMaxconn, "backend-maxconn pool=app backend=a value=9"},
		{EventBackendTier, "backend-tier pool=app backend=a value=3"},
		{EventBackendRemoved, "backend-removed pool=app backend=10.9.9.9:9"},
		{EventDraining, "draining"},
		{EventStopped, "stopped"},
		{EventBackendWeight, "backend-weight pool=app backend=a value=8"},
	}
	if len(told.events) != len(want) {
		t.Fatalf("%d events, expected %d: %v", len(told.events), len(want), told.events)
	}
	for at, event := range told.events {
		if event.Kind != want[at].kind || event.String() != want[at].line {
			t.Errorf("event %d is %d, %s; expected %d, %s", at, event.Kind, event, want[at].kind, want[at].line)
		}
	}
	for at, number := range map[int]uint64{2: uint64(AdminDrain), 3: uint64(ObservedDown), 4: 7, 5: 9, 6: 3} {
		if told.events[at].Number != number {
			t.Errorf("%s has the number %d", told.events[at], told.events[at].Number)
		}
	}
}

// addressText is where the first event says that the server listens.
func addressText(t *testing.T, events []Event) string {
	t.Helper()
	address, ok := strings.CutPrefix(events[0].Detail, "web on 127.0.0.1:")
	if !ok || address == "0" {
		t.Fatal(events[0])
	}
	return "127.0.0.1:" + address
}

func TestPanicIsTold(t *testing.T) {
	var told record
	config := configOf(1, "") + "panic_threshold = 60\nbackend = [{ name = \"a\", address = \"10.9.9.9:9\" }, " +
		"{ name = \"b\", address = \"10.9.9.9:10\" }]\n"
	server := newServer(t, ServerOptions{Config: config, OnEvent: told.add})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	pool := poolNamed(t, server, "app")
	a := idOf(t, pool, "a")
	if err := errors.Join(pool.SetObserved(a, ObservedDown), pool.SetObserved(a, ObservedUp)); err != nil {
		t.Fatal(err)
	}
	server.Close()
	var lines []string
	for _, event := range told.events {
		if event.Kind == EventPanicBegan || event.Kind == EventPanicEnded {
			lines = append(lines, event.String())
		}
	}
	if !slices.Equal(lines, []string{"panic-began pool=app value=0", "panic-ended pool=app value=0"}) {
		t.Error(told.events)
	}
}

// What happens on a thread of trimtab's own is told like the rest.
func TestEventsOfItsOwnThreads(t *testing.T) {
	stopped := make(chan Event, 1)
	server := newServer(t, ServerOptions{
		Config: configOf(2, "", echoBackend(t, "a")) + "[admin]\nbind = \"127.0.0.1:0\"\n",
		OnEvent: func(event Event) {
			if event.Kind == EventStopped {
				stopped <- event
			}
		},
	})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	admin, err := server.AdminAddress()
	if err != nil {
		t.Fatal(err)
	}
	response, err := client(t).Post("http://"+admin.String()+"/v1/stop", "application/json", strings.NewReader("{}"))
	if err != nil || response.StatusCode != http.StatusAccepted {
		t.Fatal(response, err)
	}
	response.Body.Close()
	select {
	case <-stopped:
	case <-time.After(patience):
		t.Fatal("not told of the end")
	}
	mustWait(t, server)
}

// OnEvent may call everything, and another event comes of what it does.
func TestWhatOnEventMayCall(t *testing.T) {
	var server *Server
	var pool *Pool
	over := make(chan error, 1)
	onEvent := func(event Event) {
		switch event.Kind {
		case EventBackendWeight:
			var err error
			if event.Number > 1 {
				err = pool.SetWeight(1, uint32(event.Number-1))
			} else {
				err = server.Drain()
			}
			if err != nil {
				t.Error(err)
			}
		case EventDraining:
			_, statisticsErr := server.Statistics()
			_, statusErr := server.Status()
			_, addressErr := server.Address("web")
			// It waits in the middle of an event, for an end that the next event tells of.
			over <- errors.Join(statisticsErr, statusErr, addressErr, server.Stop(), server.Wait(context.Background()))
		}
	}
	server = newServer(t, ServerOptions{Config: configOf(1, "", echoBackend(t, "a")), OnEvent: onEvent})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	pool = poolNamed(t, server, "app")
	dialSession(t, "tcp", addressOf(t, server))
	if err := pool.SetWeight(1, 6); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-over:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
}

// Within OnEvent, Close works and is the last that it hears, also when others close at the same time.
func TestCloseWithinOnEvent(t *testing.T) {
	for round := range 50 {
		var server *Server
		var told record
		closed := make(chan struct{})
		made := make(chan struct{})
		onEvent := func(event Event) {
			<-made
			told.add(event)
			if event.Kind == EventStarted {
				if err := server.Close(); err != nil {
					t.Error(err)
				}
				close(closed)
			}
		}
		server, err := NewServer(ServerOptions{Config: configOf(1, "", "10.0.0.1:80"), OnEvent: onEvent})
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		close(made)
		if round%2 == 0 {
			<-closed
		}
		server.Close()
		if len(told.events) != 1 {
			t.Errorf("told after it was closed: %v", told.events)
		}
		if _, err := server.Statistics(); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

// Close returns after OnEvent has, and OnEvent is not called any more.
func TestNothingIsToldAfterClose(t *testing.T) {
	for range 30 {
		var isClosed, stopped atomic.Bool
		server, err := NewServer(ServerOptions{
			Config: configOf(2, "", "10.0.0.1:80"),
			OnEvent: func(event Event) {
				if event.Kind == EventStopped {
					stopped.Store(true)
				}
				runtime.Gosched()
				if isClosed.Load() {
					t.Errorf("told of %s after Close", event)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		pool := poolNamed(t, server, "app")
		var changing sync.WaitGroup
		var enough atomic.Bool
		changing.Add(1)
		go func() {
			defer changing.Done()
			for weight := uint32(1); !enough.Load(); weight++ {
				if err := pool.SetWeight(1, 1+weight%100); err != nil {
					t.Error(err)
				}
			}
		}()
		server.Close()
		isClosed.Store(true)
		if !stopped.Load() {
			t.Error("closed, and not told of the end")
		}
		runtime.Gosched()
		enough.Store(true)
		changing.Wait()
	}
}

// While OnEvent does not return, events wait for it up to a bound, nobody else does, and it is told how many
// are missing.
func TestEventsThatFindNoRoom(t *testing.T) {
	var told record
	entered, release := make(chan struct{}), make(chan struct{})
	server := newServer(t, ServerOptions{
		Config: configOf(1, "", echoBackend(t, "a")),
		OnEvent: func(event Event) {
			if event.Kind == EventStarted {
				close(entered)
				<-release
			}
			told.add(event)
		},
	})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	<-entered
	pool := poolNamed(t, server, "app")
	const lost = 5
	for at := range eventsMax + lost {
		if err := pool.SetWeight(1, uint32(2+at%1000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := dialSession(t, "tcp", addressOf(t, server)).echo("served meanwhile"); err != nil {
		t.Error(err)
	}
	close(release)
	eventually(t, "it is told of the loss", func() bool { return told.has(EventsLost) })
	if err := pool.SetWeight(1, 60_000); err != nil {
		t.Fatal(err)
	}
	server.Close()
	// started, what found room, the loss, what came afterwards, stopped
	if len(told.events) != 1+eventsMax+3 {
		t.Fatal(len(told.events))
	}
	for at, event := range told.events[1 : 1+eventsMax] {
		if event.Kind != EventBackendWeight || event.Number != uint64(2+at%1000) {
			t.Fatalf("event %d is %s", at, event)
		}
	}
	missing := told.events[1+eventsMax]
	if missing.Kind != EventsLost || missing.Number != lost || !strings.HasPrefix(missing.String(), "events-lost value=5 detail=") {
		t.Errorf("%+v", missing)
	}
	if after := told.events[2+eventsMax]; after.Number != 60_000 {
		t.Error(after)
	}
	if last := told.events[3+eventsMax]; last.Kind != EventStopped {
		t.Error(last)
	}
}

// An OnEvent whose goroutine ends, as t.FailNow does, is told nothing more, and Close does not wait for it.
func TestOnEventThatDoesNotReturn(t *testing.T) {
	var calls atomic.Int32
	server := newServer(t, ServerOptions{Config: configOf(1, "", "10.0.0.1:80"), OnEvent: func(Event) {
		calls.Add(1)
		runtime.Goexit()
	}})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if err := server.Drain(); err != nil {
		t.Fatal(err)
	}
	mustWait(t, server)
	server.Close()
	if calls := calls.Load(); calls != 1 {
		t.Errorf("called %d times", calls)
	}
}

// child runs a test of this binary by itself, with which as what it shall do, and gives what it said.
func child(t *testing.T, which string) (string, error) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, binary, "-test.run=^"+t.Name()+"$", "-test.count=1")
	command.Env = append(os.Environ(), "TRIMTAB_TEST_CHILD="+which)
	said, err := command.CombinedOutput()
	return string(said), err
}

func isChild(which string) bool {
	return os.Getenv("TRIMTAB_TEST_CHILD") == which
}

// A panic of OnEvent ends the program in Go's way: with its message and where it was, and no C below it.
func TestAPanicInOnEvent(t *testing.T) {
	if isChild("panics") {
		server, err := NewServer(ServerOptions{Config: configOf(1, "", "10.0.0.1:80"), OnEvent: func(Event) {
			panic("the owner's mistake")
		}})
		if err != nil {
			t.Fatal(err)
		}
		server.Start()
		select {}
	}
	said, err := child(t, "panics")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(said, "panic: the owner's mistake") ||
		!strings.Contains(said, "TestAPanicInOnEvent") {
		t.Errorf("%v, said %s", err, said)
	}
}
