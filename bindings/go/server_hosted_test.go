package trimtab

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// drive turns a hosted server on a goroutine until it has ended, with the test at the latest.
func drive(t *testing.T, server *Server) {
	t.Helper()
	ended := make(chan struct{})
	t.Cleanup(func() {
		server.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		for server.State() != ServerStopped {
			err := server.WaitTurn(context.Background())
			if err == nil {
				_, err = server.Turn()
			}
			// Another goroutine may close it at any moment.
			if err != nil && !errors.Is(err, ErrClosed) {
				t.Error(err)
				return
			}
		}
	}()
}

func startHosted(t *testing.T, config string) *Server {
	t.Helper()
	server := newServer(t, ServerOptions{Config: config})
	if err := server.StartHosted(); err != nil {
		t.Fatal(err)
	}
	return server
}

func TestHosted(t *testing.T) {
	before := ownThreads(t)
	server := startHosted(t, configOf(4, "", httpBackend(t, "a"), httpBackend(t, "b")))
	if _, isDue, err := server.NextDeadline(); isDue || err != nil {
		t.Errorf("due %v with nothing to do (%v)", isDue, err)
	}
	wants(t, server.Wait(context.Background()), ErrState, "wait", "hosted")
	drive(t, server)
	address, http := addressOf(t, server), client(t)
	answered := map[string]int{}
	for request := range 60 {
		letter, err := post(http, address, make([]byte, request*5000))
		if err != nil {
			t.Fatal(err)
		}
		answered[letter]++
		if own := ownThreads(t); own != before {
			t.Fatalf("%d threads of trimtab's have appeared", own-before)
		}
	}
	// In turn, but for each thread that the goroutine was on.
	if answered["a"] < 20 || answered["b"] < 20 {
		t.Error(answered)
	}
	if status, err := server.Status(); err != nil || status.Workers != 0 {
		t.Errorf("%+v %v", status, err)
	}
	// Another goroutine's order is carried out, by the goroutine that turns.
	if err := server.Drain(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has ended", func() bool { return server.State() == ServerStopped })
	mustWait(t, server)
	_, err := server.Turn()
	wants(t, err, ErrState, "turn", "ended")
	wants(t, server.WaitTurn(context.Background()), ErrState, "wait turn", "ended")
	_, err = server.PollFD()
	wants(t, err, ErrState, "poll fd", "ended")
	_, _, err = server.NextDeadline()
	wants(t, err, ErrState, "next deadline", "ended")
}

// An order of another goroutine must end the wait, each time.
func TestAHostedServerIsWokenByOrders(t *testing.T) {
	for round := range 200 {
		server := startHosted(t, configOf(1, "", "10.0.0.1:80"))
		go func() {
			var err error
			if round%2 == 0 {
				err = server.Stop()
			} else {
				err = server.Drain()
			}
			if err != nil {
				t.Error(err)
			}
		}()
		for server.State() != ServerStopped {
			if err := server.WaitTurn(patient(t)); err != nil {
				t.Fatal(err)
			}
			if _, err := server.Turn(); err != nil {
				t.Fatal(err)
			}
		}
		server.Close()
	}
}

// Deadlines end a wait too: silence is cut by turns alone.
func TestAHostedServersDeadlines(t *testing.T) {
	server := startHosted(t, configOf(1, `idle = "2s"`, echoBackend(t, "a")))
	address := addressOf(t, server)
	greeted := make(chan *session, 1)
	go func() { greeted <- dialSession(t, "tcp", address) }()
	var open *session
	for open == nil {
		if err := server.WaitTurn(patient(t)); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Turn(); err != nil {
			t.Fatal(err)
		}
		select {
		case open = <-greeted:
		default:
		}
		if statistics, err := server.Statistics(); open == nil && (err != nil || statistics.BytesToClients > 0) {
			// It is on its way to the client; what is left is the silence.
			open = <-greeted
		}
	}
	deadline, isDue, err := server.NextDeadline()
	if left := deadline.Sub(Now()); err != nil || !isDue || left > 3*time.Second {
		t.Fatalf("%v until the deadline, %v %v", left, isDue, err)
	}
	began, turns := time.Now(), 0
	for cut := false; !cut; turns++ {
		if err := server.WaitTurn(patient(t)); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Turn(); err != nil {
			t.Fatal(err)
		}
		web, err := server.ListenerStatistics("web")
		if err != nil {
			t.Fatal(err)
		}
		cut = web.Closed.IdleTimeout == 1
	}
	// It waited, and did not spin.
	if took := time.Since(began); took < 50*time.Millisecond || turns > 50 {
		t.Errorf("%d turns in %v", turns, took)
	}
	if _, err := open.hear(); err == nil {
		t.Error("heard something else than the end")
	}
}

// waitForTurn waits on a goroutine of its own, and returns when that does.
func waitForTurn(t *testing.T, ctx context.Context, server *Server) <-chan error {
	t.Helper()
	waited := make(chan error, 1)
	isBusy := func(err error) bool {
		return errors.Is(err, ErrState) && strings.Contains(err.Error(), "already")
	}
	go func() {
		err := server.WaitTurn(ctx)
		for isBusy(err) { // with the question below
			err = server.WaitTurn(ctx)
		}
		waited <- err
	}()
	past, cancel := context.WithCancel(context.Background())
	cancel()
	eventually(t, "it waits", func() bool { return isBusy(server.WaitTurn(past)) })
	return waited
}

func TestAWaitForATurnThatIsCancelled(t *testing.T) {
	server := startHosted(t, configOf(1, "", echoBackend(t, "a")))
	for range 100 {
		ctx, cancel := context.WithCancel(context.Background())
		waited := make(chan error)
		go func() { waited <- server.WaitTurn(ctx) }()
		cancel()
		if err := <-waited; err != context.Canceled {
			t.Fatal(err)
		}
		// Cancelled before.
		if err := server.WaitTurn(ctx); err != context.Canceled {
			t.Fatal(err)
		}
		// They leave nothing behind that would end this one.
		soon, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		if err := server.WaitTurn(soon); err != context.DeadlineExceeded {
			t.Fatal(err)
		}
		cancel()
	}

	// One waits at a time. Who ends the server elsewhere ends the wait.
	ended := waitForTurn(t, context.Background(), server)
	wants(t, server.WaitTurn(context.Background()), ErrState, "wait turn", "already")
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
	for server.State() != ServerStopped {
		if _, err := server.Turn(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; err != nil && !errors.Is(err, ErrState) {
		t.Error(err)
	}

	closed := startHosted(t, configOf(1, "", echoBackend(t, "a")))
	ended = waitForTurn(t, context.Background(), closed)
	closed.Close()
	if err := <-ended; err != nil && !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// Fifty servers wait for their turns, and no thread does.
func TestNoThreadWaitsForATurn(t *testing.T) {
	const servers = 50
	ctx, cancel := context.WithCancel(context.Background())
	before := threads(t)
	var waits [servers]<-chan error
	for at := range waits {
		waits[at] = waitForTurn(t, ctx, startHosted(t, configOf(1, "", "10.0.0.1:80")))
	}
	if more := threads(t) - before; more > servers/2 {
		t.Errorf("%d threads more for %d waits", more, servers)
	}
	cancel()
	for _, waited := range waits {
		if err := <-waited; err != context.Canceled {
			t.Error(err)
		}
	}
}

// No descriptor is free: each call that needs one says so, and works when there is one again. A listener
// pauses meanwhile, and goes on.
func TestNoDescriptorIsFree(t *testing.T) {
	var told record
	server := newServer(t, ServerOptions{Config: configOf(1, "", echoBackend(t, "a")), OnEvent: told.add})
	if err := server.StartHosted(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", addressOf(t, server))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	// The lowest that is free is beyond the limit.
	lowest, err := syscall.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.Close(lowest)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(lowest), Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	_, newErr := NewServer(ServerOptions{Config: configOf(1, "")})
	waitErr := server.WaitTurn(context.Background())
	var turnErr error
	for turnErr == nil && !told.has(EventAcceptPaused) {
		_, turnErr = server.Turn()
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	wants(t, newErr, ErrIO, "new server", "too many open files")
	wants(t, waitErr, ErrIO, "wait turn", "too many open files")
	for turnErr == nil && !told.has(EventAcceptResumed) {
		if err := server.WaitTurn(patient(t)); err != nil {
			t.Fatal(err)
		}
		_, turnErr = server.Turn()
	}
	if turnErr != nil {
		t.Fatal(turnErr)
	}
	server.Close()
	for _, event := range told.events {
		if event.Kind == EventAcceptPaused && (event.Listener != "web" || event.Detail == "") ||
			event.Kind == EventAcceptResumed && event.Listener != "web" {
			t.Error(event)
		}
	}
}

// A loop of the caller's: the descriptor and the deadline are all that it needs.
func TestALoopOfTheCallers(t *testing.T) {
	server := startHosted(t, configOf(1, "", echoBackend(t, "a")))
	address := addressOf(t, server)
	set, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(set)
	descriptor, err := server.PollFD()
	if err != nil {
		t.Fatal(err)
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(descriptor)}
	if err := syscall.EpollCtl(set, syscall.EPOLL_CTL_ADD, descriptor, &event); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		open := dialSession(t, "tcp", address)
		var err error
		for range 20 {
			err = errors.Join(err, open.echo("hello"))
		}
		open.Close()
		done <- errors.Join(err, server.Drain())
	}()
	for server.State() != ServerStopped {
		deadline, isDue, err := server.NextDeadline()
		if err != nil {
			t.Fatal(err)
		}
		timeout := -1
		if isDue {
			timeout = int(wholeMilliseconds(deadline.Sub(Now())))
		}
		var events [4]syscall.EpollEvent
		if _, err := syscall.EpollWait(set, events[:], timeout); err != nil && err != syscall.EINTR {
			t.Fatal(err)
		}
		if _, err := server.Turn(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
