package trimtab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// eachOfServer calls every method that may fail once.
func eachOfServer(server *Server) map[string]error {
	errs := map[string]error{}
	past, cancel := context.WithCancel(context.Background())
	cancel()
	errs["start"] = server.Start()
	errs["start hosted"] = server.StartHosted()
	errs["drain"] = server.Drain()
	errs["drain within"] = server.DrainWithin(time.Hour)
	errs["stop"] = server.Stop()
	errs["wait"] = server.Wait(past)
	errs["adopt file"] = server.AdoptFile("web", os.Stdin)
	errs["wait turn"] = server.WaitTurn(past)
	_, errs["turn"] = server.Turn()
	_, errs["poll fd"] = server.PollFD()
	_, _, errs["next deadline"] = server.NextDeadline()
	_, errs["address"] = server.Address("web")
	_, errs["admin address"] = server.AdminAddress()
	_, errs["pool"] = server.Pool("app")
	_, errs["statistics"] = server.Statistics()
	_, errs["listener statistics"] = server.ListenerStatistics("web")
	_, errs["status"] = server.Status()
	_, errs["status JSON"] = server.StatusJSON()
	return errs
}

func TestAServerAfterClose(t *testing.T) {
	for name, begin := range map[string]func(*Server) error{
		"new":     func(*Server) error { return nil },
		"started": (*Server).Start,
		"hosted":  (*Server).StartHosted,
	} {
		server := newServer(t, ServerOptions{Config: configOf(2, "", "10.0.0.1:80")})
		if err := begin(server); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := server.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for method, err := range eachOfServer(server) {
			if !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "the server is closed") {
				t.Errorf("%s, %s: %v", name, method, err)
			}
		}
		if state := server.State(); state != ServerStopped {
			t.Errorf("%s: %v", name, state)
		}
	}
}

func TestAServerThatNewServerDidNotMake(t *testing.T) {
	server := new(Server)
	for method, err := range eachOfServer(server) {
		if !errors.Is(err, ErrNull) {
			t.Errorf("%s: %v", method, err)
		}
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	wants(t, server.Start(), ErrClosed, "start", "closed")
}

// A context that is done ends a wait at once; a hundred waits hold no thread, and leave no goroutine.
func TestAWaitThatIsCancelled(t *testing.T) {
	server := startServer(t, configOf(1, "", echoBackend(t, "a")))
	const waits = 100
	goroutines, before := runtime.NumGoroutine(), threads(t)
	ctx, cancel := context.WithCancel(context.Background())
	var entered atomic.Int32
	waited := make(chan error)
	for range waits {
		go func() {
			entered.Add(1)
			waited <- server.Wait(ctx)
		}()
	}
	eventually(t, "all wait", func() bool { return entered.Load() == waits })
	if more := threads(t) - before; more > waits/2 {
		t.Errorf("%d threads more for %d waits", more, waits)
	}
	cancel()
	for range waits {
		if err := <-waited; err != context.Canceled {
			t.Error(err)
		}
	}
	began := time.Now()
	if err := server.Wait(ctx); err != context.Canceled || time.Since(began) > patience/10 {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	if state := server.State(); state != ServerRunning {
		t.Error(state)
	}

	// Stop and Close end a wait, and what it waited for has come then.
	for _, end := range []func(*Server) error{(*Server).Stop, (*Server).Close} {
		server := startServer(t, configOf(2, "", echoBackend(t, "a")))
		dialSession(t, "tcp", addressOf(t, server))
		go func() { waited <- server.Wait(context.Background()) }()
		if err := end(server); err != nil {
			t.Error(err)
		}
		// Whoever only begins to wait when it is closed is told so.
		if err := <-waited; err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
	// A context that is done does not hide that it has ended.
	ended := startServer(t, configOf(1, "", echoBackend(t, "a")))
	if err := ended.Stop(); err != nil {
		t.Error(err)
	}
	mustWait(t, ended)
	if err := ended.Wait(ctx); err != nil {
		t.Error(err)
	}
}

// Goroutines in the middle of everything, with clients on the line, while two others close the server: each
// call works, says closed, or says that it has ended.
func TestCloseOfAServerInUse(t *testing.T) {
	backends := []string{echoBackend(t, "a"), echoBackend(t, "b")}
	for round := range 30 {
		isHosted := round%3 == 2
		var told atomic.Int64
		server, err := NewServer(ServerOptions{Config: configOf(2, "", backends...), OnEvent: func(Event) { told.Add(1) }})
		if err != nil {
			t.Fatal(err)
		}
		begin := server.Start
		if isHosted {
			begin = server.StartHosted
		}
		if err := begin(); err != nil {
			t.Fatal(err)
		}
		address := addressOf(t, server)
		var all sync.WaitGroup
		var begun atomic.Int32
		use := func(call func() error) {
			all.Add(1)
			go func() {
				defer all.Done()
				for {
					begun.Add(1)
					err := call()
					if errors.Is(err, ErrClosed) {
						return
					}
					if err != nil && !errors.Is(err, ErrState) {
						t.Error(err)
						return
					}
				}
			}()
		}
		pool, err := server.Pool("app")
		if err != nil {
			t.Fatal(err)
		}
		if isHosted {
			use(func() error { return server.WaitTurn(context.Background()) })
			use(func() error { _, err := server.Turn(); return err })
		}
		use(func() error { return server.Wait(context.Background()) })
		use(func() error { _, err := server.Status(); return err })
		use(func() error { _, err := server.ListenerStatistics("web"); return err })
		use(func() error {
			again, err := server.Pool("app")
			if err != nil {
				return err
			}
			defer again.Close()
			id, err := again.Add(Backend{Address: fmt.Sprintf("10.0.0.1:%d", 1+begun.Load()%60_000)})
			if errors.Is(err, ErrExists) {
				return nil
			}
			return errors.Join(err, again.SetAdmin(id, AdminMaintenance), again.Remove(id))
		})
		use(func() error {
			if err := pool.SetWeight(1, uint32(1+begun.Load()%100)); err != nil {
				return err
			}
			_, err := server.Statistics()
			return err
		})
		// Clients come and go until nobody listens.
		for range 3 {
			all.Add(1)
			go func() {
				defer all.Done()
				for !isRefused(address) {
					begun.Add(1)
				}
			}()
		}
		for begun.Load() < 200 {
			runtime.Gosched()
		}
		for range 2 {
			all.Add(1)
			go func() {
				defer all.Done()
				server.Close()
				if _, err := server.Statistics(); !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
			}()
		}
		all.Wait()
		pool.Close()
		if told.Load() < 2 {
			t.Errorf("told of %d events", told.Load())
		}
	}
}

// A thousand servers made, started, used and closed in each way leave nothing behind.
func TestAThousandServers(t *testing.T) {
	backends := []string{echoBackend(t, "a"), echoBackend(t, "b")}
	one := func(round int) {
		options := ServerOptions{Config: configOf(1+round%3, "", backends...)}
		var told atomic.Int32
		if round%4 != 3 {
			options.OnEvent = func(Event) { told.Add(1) }
		}
		server, err := NewServer(options)
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if round%10 == 9 {
			return
		}
		pool, err := server.Pool("app")
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		if round%2 == 0 {
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			if address := addressOf(t, server); round%8 == 0 {
				open := dialSession(t, "tcp", address)
				defer open.Close()
			}
		} else {
			if err := server.StartHosted(); err != nil {
				t.Fatal(err)
			}
			soon, cancel := context.WithCancel(context.Background())
			if round%5 == 0 {
				cancel()
			}
			if err := server.Drain(); err != nil {
				t.Fatal(err)
			}
			if err := server.WaitTurn(soon); err != nil && err != context.Canceled {
				t.Fatal(err)
			}
			cancel()
			// Some are never turned to their end.
			if round%3 != 0 {
				if _, err := server.Turn(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := pool.SetWeight(1, 2); err != nil {
			t.Fatal(err)
		}
		switch round / 2 % 4 {
		case 0:
			err = server.Stop()
		case 1:
			err = server.DrainWithin(time.Minute)
		case 2:
			wrong := ServerOptions{Config: "[[pool]]\nname = 3\n", OnEvent: options.OnEvent}
			if _, err := NewServer(wrong); !errors.Is(err, ErrConfig) {
				t.Error(err)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		server.Close()
		if options.OnEvent != nil && told.Load() < 3 {
			t.Errorf("told of %d events", told.Load())
		}
	}
	// What is made once for all is made by the first.
	for round := range 20 {
		one(round)
	}
	eventually(t, "the sessions of the first are gone", func() bool { return ownThreads(t) == 0 })
	// The collector would close what was left open.
	collect()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	goroutines, open := runtime.NumGoroutine(), descriptors(t)
	for round := range 1000 {
		one(round)
	}
	if own := ownThreads(t); own != 0 {
		t.Errorf("%d threads are left", own)
	}
	// The backend's sessions end when their clients have.
	eventually(t, "no descriptor and no goroutine is left", func() bool {
		return descriptors(t) <= open && runtime.NumGoroutine() <= goroutines
	})
}

// A server that is dropped before it was started, or hosted, is freed.
func TestServersThatAreDropped(t *testing.T) {
	goroutines, before := runtime.NumGoroutine(), descriptors(t)
	for round := range 100 {
		server, err := NewServer(ServerOptions{Config: configOf(2, "", "10.0.0.1:80"), OnEvent: func(event Event) {
			if event.Kind == EventStopped {
				t.Error("a server that was dropped tells")
			}
		}})
		if err == nil && round%2 == 0 {
			err = server.StartHosted()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are freed", func() bool {
		collect()
		return descriptors(t) <= before && runtime.NumGoroutine() <= goroutines
	})
}

// One that runs goes on when it is dropped: it is not for the collector to end it.
func TestARunningServerThatIsDropped(t *testing.T) {
	// It could not be ended again here.
	if isChild("drops") {
		address := func() string {
			server, err := NewServer(ServerOptions{Config: configOf(2, "", echoBackend(t, "a"))})
			if err != nil {
				t.Fatal(err)
			}
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			return addressOf(t, server)
		}()
		for range 20 {
			// One more thing dropped, after it, tells that cleanups have run.
			cleaned := make(chan struct{})
			runtime.AddCleanup(new([64]byte), func(cleaned chan struct{}) { close(cleaned) }, cleaned)
			eventually(t, "cleanups have run", func() bool {
				collect()
				select {
				case <-cleaned:
					return true
				default:
					return false
				}
			})
			if err := dialSession(t, "tcp", address).echo("still served"); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	if said, err := child(t, "drops"); err != nil || !strings.Contains(said, "PASS") {
		t.Errorf("%v, said %s", err, said)
	}
}
