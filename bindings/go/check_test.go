package trimtab

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// probe runs a check in a plain loop and brings its verdicts to the pool, until the backend is observed so.
func probe(t *testing.T, check *Check, pool *Pool, id BackendID, until ObservedState) CheckState {
	t.Helper()
	var conn net.Conn
	defer func() {
		if conn != nil {
			conn.Close()
			if err := check.HandleAbandoned(0); err != nil {
				t.Error(err)
			}
		}
	}()
	give := time.Now().Add(20 * time.Second)
	for time.Now().Before(give) {
		step, err := check.TakeStep(0)
		if err != nil {
			t.Fatal(err)
		}
		left := max(step.Deadline.Sub(Now()), 0)
		switch step.Kind {
		case StepConnect:
			// Its own deadline is the check's.
			if conn, err = net.DialTimeout(check.Network(), check.Target(), max(left, time.Millisecond)); err != nil {
				err = check.HandleFailed(err.Error(), 0)
			} else {
				err = check.HandleConnected(0)
			}
		case StepWrite:
			var count int
			if count, err = conn.Write(step.Data); err != nil {
				err = check.HandleFailed(err.Error(), 0)
			} else {
				err = check.HandleWritten(count)
			}
		case StepClose:
			if conn != nil {
				conn.Close()
				conn = nil
			}
		case StepChange:
			state, err := check.Status()
			if err != nil {
				t.Fatal(err)
			}
			if err := pool.SetObservedWith(id, state.Observed, state.Reason, state.Since); err != nil {
				t.Fatal(err)
			}
			backend, err := pool.Backend(id)
			if err != nil || backend.Reason != state.Reason || backend.ObservedSince != state.Since {
				t.Fatalf("%+v of %+v: %v", backend, state, err)
			}
			if backend.Observed == until {
				return state
			}
		case StepLearn:
		case StepWait:
			if conn == nil {
				<-time.After(left)
				continue
			}
			conn.SetReadDeadline(time.Now().Add(left))
			var buffer [5]byte
			count, readErr := conn.Read(buffer[:])
			switch {
			case count > 0:
				err = check.HandleBytes(buffer[:count], 0)
			case errors.Is(readErr, io.EOF):
				err = check.HandleEnd(0)
			case !errors.Is(readErr, os.ErrDeadlineExceeded):
				err = check.HandleFailed(readErr.Error(), 0)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("not observed to be %v within 20 s", until)
	return CheckState{}
}

// checked is a pool with one backend and a check of it.
func checked(t *testing.T, config, address string) (*Check, *Pool, BackendID) {
	t.Helper()
	pool, err := NewPool(PoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	id, err := pool.Add(Backend{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	check, err := NewCheck(config, address, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check.Close() })
	if check.Target() != address || check.Network() != "tcp" {
		t.Errorf("%s %s", check.Network(), check.Target())
	}
	return check, pool, id
}

const times = `interval = "50ms", timeout = "200ms", rise = 2, fall = 2`

func TestATCPCheckInALoopOfOnesOwn(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	check, pool, id := checked(t, `check = { kind = "tcp", `+times+` }`, listener.Addr().String())
	if state := probe(t, check, pool, id, ObservedUp); state.Reason != "2 good probes in a row" || state.Role != RoleUnknown || state.Lag != nil {
		t.Errorf("%+v", state)
	}
	if _, err := pool.Pick(nil); err != nil {
		t.Error(err)
	}
	listener.Close()
	if state := probe(t, check, pool, id, ObservedDown); !strings.Contains(state.Reason, "cannot connect") || state.Failed != 2 {
		t.Errorf("%+v", state)
	}
	if _, err := pool.Pick(nil); !errors.Is(err, ErrNoBackend) {
		t.Error(err)
	}
}

func TestAnHTTPCheckInALoopOfOnesOwn(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/up" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(status)
	}))
	defer server.Close()
	check, pool, id := checked(t, `check = { kind = "http", path = "/up", `+times+` }`, server.Listener.Addr().String())
	probe(t, check, pool, id, ObservedUp)
	// No probe is under way between the two, and the next begins after this.
	status = http.StatusServiceUnavailable
	if state := probe(t, check, pool, id, ObservedDown); !strings.Contains(state.Failure, "503") {
		t.Errorf("%+v", state)
	}
}

// TestARedisCheckInALoopOfOnesOwn runs against Redis itself, and asks for its role.
func TestARedisCheckInALoopOfOnesOwn(t *testing.T) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is needed: make setup installs it")
	}
	socket := filepath.Join(t.TempDir(), "redis.sock")
	redis := exec.Command(program, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", t.TempDir())
	output, err := redis.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := redis.Start(); err != nil {
		t.Fatal(err)
	}
	defer redis.Wait()
	defer redis.Process.Kill()
	lines := bufio.NewScanner(output)
	for lines.Scan() && !strings.Contains(lines.Text(), "eady to accept connections") {
	}
	address := "unix:" + socket
	pool, err := NewPool(PoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	id, err := pool.Add(Backend{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	check, err := NewCheck("role = \"primary\"\n[pool.check]\nkind = \"redis\"\ninterval = \"50ms\"\nfall = 2", address, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer check.Close()
	if check.Network() != "unix" || check.Target() != socket {
		t.Errorf("%s %s", check.Network(), check.Target())
	}
	if state := probe(t, check, pool, id, ObservedUp); state.Role != RolePrimary {
		t.Errorf("%+v", state)
	}
	redis.Process.Kill()
	probe(t, check, pool, id, ObservedDown)
}

func TestACheckThatCannotBe(t *testing.T) {
	for _, test := range []struct {
		config, address string
		is              error
		says            string
	}{
		{`check = { kind = "http", user = "x" }`, "10.0.0.1:80", ErrConfig, "<check>:1:"},
		{"", "10.0.0.1:80", ErrInvalidArgument, "check"},
		{"check = {}", "nowhere", ErrInvalidArgument, "nowhere"},
		{`check = { kind = "redis", password_file = "/nowhere" }`, "10.0.0.1:80", ErrIO, "/nowhere"},
	} {
		if _, err := NewCheck(test.config, test.address, 0); !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", test.config, err)
		}
	}
	check, err := NewCheck(`check = { initial = "down" }`, "10.0.0.1:80", Instant(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if step, err := check.TakeStep(Instant(time.Second)); err != nil || step.Kind != StepChange {
		t.Errorf("%+v %v", step, err)
	}
	if state, err := check.Status(); err != nil || state.Observed != ObservedDown || state.Since != Instant(time.Second) {
		t.Errorf("%+v %v", state, err)
	}
	for _, err := range []error{
		check.HandleAbandoned(0), check.HandleSuspicion(0), check.HandleEnd(0), check.Close(), check.Close(),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if _, err := check.TakeStep(0); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestWhatAnAgentOrders(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var said atomic.Value
	said.Store("up ready 75% maxconn:30\n")
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, said.Load().(string))
			conn.Close()
		}
	}()
	check, pool, id := checked(t, `check = { kind = "agent", `+times+` }`, listener.Addr().String())
	state, err := check.Status()
	if err != nil || state.OrderedAdmin != nil || state.OrderedWeightPercent != nil || state.OrderedMaxconn != nil {
		t.Errorf("%+v: %v", state, err)
	}
	state = probe(t, check, pool, id, ObservedUp)
	if *state.OrderedAdmin != AdminReady || *state.OrderedWeightPercent != 75 || *state.OrderedMaxconn != 30 {
		t.Errorf("%+v", state)
	}
	said.Store("down drain 0% # being replaced\n")
	state = probe(t, check, pool, id, ObservedDown)
	if *state.OrderedAdmin != AdminDrain || *state.OrderedWeightPercent != 0 || state.OrderedMaxconn != nil ||
		!strings.Contains(state.Reason, "being replaced") {
		t.Errorf("%+v", state)
	}
	said.Store("up maint\n")
	state = probe(t, check, pool, id, ObservedUp)
	if *state.OrderedAdmin != AdminMaintenance || state.OrderedWeightPercent != nil {
		t.Errorf("%+v", state)
	}
}
