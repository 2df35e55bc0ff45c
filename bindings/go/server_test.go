package trimtab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// client makes a connection for each request, which is a session each.
func client(t testing.TB) *http.Client {
	transport := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// post sends a body there and back, and tells who answered.
func post(client *http.Client, address string, body []byte) (string, error) {
	response, err := client.Post("http://"+address+"/", "application/octet-stream", strings.NewReader(string(body)))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	heard, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || string(heard) != string(body)) {
		err = fmt.Errorf("status %d, and %d bytes came back of %d", response.StatusCode, len(heard), len(body))
	}
	return response.Header.Get("X-Backend"), err
}

func TestAServerRelays(t *testing.T) {
	server := startServer(t, configOf(2, "", httpBackend(t, "a"), httpBackend(t, "b"), httpBackend(t, "c")))
	if state := server.State(); state != ServerRunning {
		t.Fatal(state)
	}
	// A thread gives itself its name.
	eventually(t, "there is a thread for each worker", func() bool { return ownThreads(t) == 2 })
	address, http := addressOf(t, server), client(t)
	const requests = 150
	answered := map[string]int{}
	var sent uint64
	var lock sync.Mutex
	var all sync.WaitGroup
	for worker := range 3 {
		all.Add(1)
		go func() {
			defer all.Done()
			random := rand.NewChaCha8([32]byte{byte(worker)})
			for request := range requests / 3 {
				// From nothing to more than the relay keeps.
				body := make([]byte, request*request*160)
				random.Read(body)
				letter, err := post(http, address, body)
				if err != nil {
					t.Errorf("request %d: %v", request, err)
				}
				lock.Lock()
				answered[letter]++
				sent += uint64(len(body))
				lock.Unlock()
			}
		}()
	}
	all.Wait()
	for _, letter := range []string{"a", "b", "c"} {
		if answered[letter] < requests/3-3 || answered[letter] > requests/3+3 {
			t.Errorf("not in turn: %v", answered)
		}
	}

	eventually(t, "every session has ended", func() bool {
		statistics, err := server.Statistics()
		return err == nil && statistics.Sessions == 0
	})
	total, err := server.Statistics()
	if err != nil {
		t.Fatal(err)
	}
	web, err := server.ListenerStatistics("web")
	if err != nil {
		t.Fatal(err)
	}
	if total.Accepted != requests || total.Finished+total.Failed != requests || total.Waiting != 0 || total.Retries != 0 ||
		total.BytesToBackends < sent || total.BytesToClients < sent {
		t.Errorf("%+v after %d requests of %d bytes", total, requests, sent)
	}
	if web.Accepted != requests || web.BytesToClients != total.BytesToClients || web.Closed.Finished != total.Finished ||
		web.Closed.ConnectFailed != 0 || web.Closed.NoBackend != 0 || web.Maxconn != 0 {
		t.Errorf("%+v, of %+v", web, total)
	}
	if _, err := server.ListenerStatistics("nope"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}

	status, err := server.Status()
	if err != nil {
		t.Fatal(err)
	}
	if status.Version != Version() || status.State != ServerRunning.String() || status.PID != os.Getpid() ||
		status.Workers != 2 || status.Totals != total || len(status.Listeners) != 1 || len(status.Pools) != 1 {
		t.Errorf("%+v", status)
	}
	if listener := status.Listeners[0]; listener.Name != "web" || listener.Address != address || listener.Pool != "app" ||
		listener.ListenerStatistics != web {
		t.Errorf("%+v, and asked alone %+v", listener, web)
	}
	pool := status.Pools[0]
	if pool.Name != "app" || pool.Policy != "round-robin" || pool.Serving != 3 || pool.Picks != requests || len(pool.Backends) != 3 {
		t.Errorf("%+v", pool)
	}
	backends, err := poolNamed(t, server, "app").Backends()
	if err != nil {
		t.Fatal(err)
	}
	for at, is := range backends {
		told := pool.Backends[at]
		same := BackendStatus{
			ID: is.ID, Name: is.Name, Address: is.Address, Weight: is.Weight, Maxconn: is.Maxconn, Limit: is.Maxconn, Tier: is.Tier, Tag: is.Tag,
			Admin: "ready", Observed: "unknown", Serving: is.Serving, Picks: is.Picks, InFlight: is.InFlight,
			Outcomes:     Outcomes{is.Success, is.ConnectFailed, is.Failed, is.TimedOut, is.Cancelled},
			ResponseMean: is.ResponseMean, Share: is.Share, SlowStart: 1,
		}
		if told != same {
			t.Errorf("%+v, and asked alone %+v", told, same)
		}
	}
	raw, err := server.StatusJSON()
	if err != nil || !json.Valid(raw) {
		t.Errorf("%s %v", raw, err)
	}
	if known := statusIn(t, strings.NewReader(string(raw))); known.Totals != total || known.Admin != status.Admin {
		t.Errorf("%+v, and read before %+v", known, status)
	}
}

// What is told of a backend only where there is a check, a limit or an outlier.
func TestStatusOfBackends(t *testing.T) {
	config := strings.Replace(configOf(1, "", addressOfNobody(t), echoBackend(t, "b")), "seed = 0\n",
		"seed = 0\ncheck = { interval = \"50ms\" }\noutlier = { consecutive_errors = 5 }\n", 1)
	before := Now()
	server := startServer(t, config)
	pool := poolNamed(t, server, "app")
	var a, b BackendStatus
	look := func() Status {
		raw, err := server.StatusJSON()
		if err != nil {
			t.Fatal(err)
		}
		status := statusIn(t, strings.NewReader(string(raw)))
		a, b = status.Pools[0].Backends[0], status.Pools[0].Backends[1]
		return status
	}
	eventually(t, "the checks have told", func() bool {
		look()
		return a.Observed == "down" && b.Observed == "up"
	})
	for _, each := range []BackendStatus{a, b} {
		if each.Check == nil || each.Check.Kind != "tcp" || each.Check.State != each.Observed || each.Check.Probes == 0 ||
			each.Reason == "" || each.ObservedSince < before || each.ObservedSince > Now() || each.Limit != 0 {
			t.Errorf("%+v, its check %+v", each, each.Check)
		}
	}
	if a.Check.Failed == 0 || a.Check.FailureSource != "connection" || a.Check.Failure == "" {
		t.Errorf("%+v", a.Check)
	}

	told := look().Admin.Events
	if err := pool.SetMaxconn(b.ID, 9); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		mustDone(t, pool, mustPick(t, pool, ""), Failed, Timings{})
	}
	status := look()
	if b.Maxconn != 9 || b.Limit != 9 || b.ConsecutiveErrors != 2 || b.Outcomes.Failed != 2 {
		t.Errorf("%+v", b)
	}
	if want := (AdminStatistics{Events: told + 1}); status.Admin != want {
		t.Errorf("%+v, expected %+v", status.Admin, want)
	}
}

func TestDrainKeepsASessionUntilItEnds(t *testing.T) {
	server := startServer(t, configOf(2, `drain = "10m"`, echoBackend(t, "a")))
	address := addressOf(t, server)
	open := dialSession(t, "tcp", address)
	if err := server.Drain(); err != nil {
		t.Fatal(err)
	}
	if state := server.State(); state != ServerDraining {
		t.Error(state)
	}
	eventually(t, "nothing new is accepted", func() bool { return isRefused(address) })
	soon, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := server.Wait(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	for range 10 {
		if err := open.echo("still served"); err != nil {
			t.Fatal(err)
		}
	}
	open.Close()
	mustWait(t, server)
	if err := server.Drain(); err != nil {
		t.Errorf("drained after its end: %v", err)
	}
	if own := ownThreads(t); own != 0 {
		t.Errorf("waited for, and %d threads", own)
	}
}

func TestDrainCutsAtItsEnd(t *testing.T) {
	server := startServer(t, configOf(2, `drain = "10m"`, echoBackend(t, "a")))
	open := dialSession(t, "tcp", addressOf(t, server))
	const within = 150 * time.Millisecond
	began := time.Now()
	if err := server.DrainWithin(within); err != nil {
		t.Fatal(err)
	}
	if err := open.echo("still served"); err != nil {
		t.Error(err)
	}
	if _, err := open.hear(); err == nil {
		t.Error("heard something else than the end")
	}
	if after := time.Since(began); after < within-time.Millisecond {
		t.Errorf("cut after %v", after)
	}
	mustWait(t, server)
	if web, err := server.ListenerStatistics("web"); err != nil || web.Closed.Stopped != 1 {
		t.Errorf("%+v %v", web, err)
	}

	// No time is no time, and not the configured one; nor is less than none.
	for _, none := range []time.Duration{0, -time.Hour} {
		server := startServer(t, configOf(1, `drain = "10m"`, echoBackend(t, "a")))
		dialSession(t, "tcp", addressOf(t, server))
		if err := server.DrainWithin(none); err != nil {
			t.Fatal(err)
		}
		mustWait(t, server)
	}
	for given, want := range map[time.Duration]int64{0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, -1: 0, -time.Hour: 0} {
		if whole := wholeMilliseconds(given); whole != want {
			t.Errorf("%v is %d ms, expected %d", given, whole, want)
		}
	}
}

// Backends are added, drained and removed while requests run: none is lost, and the drained get nothing new.
func TestBackendsComeAndGo(t *testing.T) {
	// One that nobody can reach, so that connects are tried again.
	server := startServer(t, configOf(2, `queue = "20s"`, httpBackend(t, "a"), addressOfNobody(t), httpBackend(t, "c")))
	pool, address, spare := poolNamed(t, server, "app"), addressOf(t, server), httpBackend(t, "spare")
	var stop atomic.Bool
	var requests atomic.Uint64
	var all sync.WaitGroup
	for range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			http, body := client(t), []byte(strings.Repeat("word", 10_000))
			for !stop.Load() {
				if _, err := post(http, address, body); err != nil {
					t.Errorf("request %d: %v", requests.Load(), err)
					return
				}
				requests.Add(1)
			}
		}()
	}
	drained := idOf(t, pool, "a")
	for round := range 40 {
		id, err := pool.Add(Backend{Address: spare, Name: "spare", Weight: uint32(1 + round%3)})
		if err != nil {
			t.Fatal(err)
		}
		if err := pool.SetAdmin(drained, AdminDrain); err != nil {
			t.Fatal(err)
		}
		before, err := pool.Backend(drained)
		if err != nil {
			t.Fatal(err)
		}
		let := requests.Load() + 8
		eventually(t, "requests go on", func() bool { return requests.Load() >= let || t.Failed() })
		after, err := pool.Backend(drained)
		if err != nil {
			t.Fatal(err)
		}
		if after.Picks != before.Picks {
			t.Errorf("%d picks of a drained backend", after.Picks-before.Picks)
		}
		if err := errors.Join(pool.SetAdmin(drained, AdminReady), pool.SetMaxconn(drained, 1), pool.Remove(id), pool.SetMaxconn(drained, 0)); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	all.Wait()
	web, err := server.ListenerStatistics("web")
	if err != nil {
		t.Fatal(err)
	}
	if web.Closed.NoBackend+web.Closed.ConnectFailed+web.Closed.QueueFull+web.Closed.QueueTimeout+web.Closed.BackendReset != 0 {
		t.Errorf("%+v", web)
	}
	if web.Retries == 0 || web.Accepted < requests.Load() {
		t.Errorf("%+v after %d requests", web, requests.Load())
	}
	eventually(t, "nothing is in flight", func() bool {
		statistics, err := pool.Statistics()
		return err == nil && statistics.InFlight == 0
	})
}

// The caller picks from a server's pool too, and keeps it beyond the server.
func TestAPoolOutlivesItsServer(t *testing.T) {
	server := startServer(t, configOf(1, "", "10.0.0.1:80", "10.0.0.2:80"))
	pool, second := poolNamed(t, server, "app"), poolNamed(t, server, "app")
	pick := mustPick(t, pool, "")
	if statistics, err := second.Statistics(); err != nil || statistics.InFlight != 1 {
		t.Errorf("%+v %v", statistics, err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := second.Pick(nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	server.Close()
	mustDone(t, pool, pick, Success, Timings{Total: time.Millisecond})
	if err := pool.SetWeight(pick.Backend, 7); err != nil {
		t.Error(err)
	}
	if statistics, err := pool.Statistics(); err != nil || statistics.InFlight != 0 || statistics.Backends != 2 {
		t.Errorf("%+v %v", statistics, err)
	}
	if _, err := newServer(t, ServerOptions{Config: configOf(1, "")}).Pool("nope"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestAConfigurationThatCannotBe(t *testing.T) {
	wrong := strings.Replace(configOf(1, "", "10.0.0.1:80"), `pool = "app"`, `pool = "ap"`, 1)
	line := 1 + strings.Count(wrong[:strings.Index(wrong, `"ap"`)], "\n")
	path := filepath.Join(t.TempDir(), "web.toml")
	if err := os.WriteFile(path, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	where := fmt.Sprintf(":%d:8: there is no pool named \"ap\"; did you mean \"app\"?", line)
	for _, each := range []struct {
		options ServerOptions
		kind    error
		part    string
	}{
		{ServerOptions{Config: wrong}, ErrConfig, "config" + where},
		{ServerOptions{Config: wrong, Source: "edge.toml"}, ErrConfig, "edge.toml" + where},
		{ServerOptions{File: path}, ErrConfig, path + where},
		{ServerOptions{}, ErrConfig, "there is no [[listener]]"},
		{ServerOptions{Config: "\xff"}, ErrUTF8, "UTF-8"},
		{ServerOptions{File: path + ".gone"}, ErrIO, path + ".gone"},
		{ServerOptions{File: path, Config: wrong}, ErrInvalidArgument, "leave one out"},
		{ServerOptions{File: path, Source: "edge.toml"}, ErrInvalidArgument, "leave one out"},
	} {
		server, err := NewServer(each.options)
		if server != nil {
			t.Errorf("%+v was made", each.options)
		}
		wants(t, err, each.kind, "new server", each.part)
	}

	// From a file that can be.
	right := configOf(1, "", echoBackend(t, "a"))
	if err := os.WriteFile(path, []byte(right), 0o600); err != nil {
		t.Fatal(err)
	}
	server := newServer(t, ServerOptions{File: path})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	dialSession(t, "tcp", addressOf(t, server))
}

func TestStates(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	config := strings.Replace(configOf(1, ""), "127.0.0.1:0", taken.Addr().String(), 1)
	server := newServer(t, ServerOptions{Config: config, Source: "test.toml"})
	if state := server.State(); state != ServerNew {
		t.Error(state)
	}
	wants(t, server.Drain(), ErrState, "drain", "not started")
	wants(t, server.Wait(context.Background()), ErrState, "wait", "not started")
	_, err = server.Address("web")
	wants(t, err, ErrState, "address", "not started")
	_, err = server.Address("nope")
	wants(t, err, ErrNotFound, "address", "nope")
	_, err = server.AdminAddress()
	wants(t, err, ErrNotFound, "admin address", "[admin]")
	if total, err := server.Statistics(); err != nil || total != (ServerStatistics{}) {
		t.Errorf("%+v %v", total, err)
	}

	// What could not be bound may be tried again.
	wants(t, server.Start(), ErrIO, "start", "test.toml:")
	if state := server.State(); state != ServerNew {
		t.Error(state)
	}
	taken.Close()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	wants(t, server.Start(), ErrState, "start", "started already")
	wants(t, server.StartHosted(), ErrState, "start hosted", "started already")
	_, err = server.Turn()
	wants(t, err, ErrState, "turn", "threads of its own")
	wants(t, server.WaitTurn(context.Background()), ErrState, "wait turn", "threads of its own")
	for range 2 {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}
	mustWait(t, server)
	wants(t, server.Start(), ErrState, "start", "has ended")

	// Stopped before it was started, it never will be.
	never := newServer(t, ServerOptions{Config: config})
	if err := never.Stop(); err != nil {
		t.Error(err)
	}
	mustWait(t, never)
	wants(t, never.Start(), ErrState, "start", "has ended")
	if text := ServerState(7).String(); text != "state 7" {
		t.Error(text)
	}
}

func TestUnixAndAdminAddresses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.sock")
	config := strings.Replace(configOf(1, "", echoBackend(t, "a")), "127.0.0.1:0", "unix:"+path, 1)
	config += "[admin]\nbind = \"127.0.0.1:0\"\n"
	server := startServer(t, config)
	address, err := server.Address("web")
	if err != nil || address.Network() != "unix" || address.String() != path {
		t.Fatalf("%v %v", address, err)
	}
	if err := dialSession(t, address.Network(), address.String()).echo("hello"); err != nil {
		t.Error(err)
	}
	admin, err := server.AdminAddress()
	if err != nil {
		t.Fatal(err)
	}
	if tcp, ok := admin.(*net.TCPAddr); !ok || tcp.AddrPort().Port() == 0 || !tcp.AddrPort().Addr().IsLoopback() {
		t.Errorf("%#v", admin)
	}
	response, err := client(t).Get("http://" + admin.String() + "/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	status := statusIn(t, response.Body)
	if status.State != "running" || status.Listeners[0].Address != "unix:"+path {
		t.Errorf("%+v", status)
	}
	// Who asks is one of them; started.
	if want := (AdminStatistics{Clients: 1, Accepted: 1, Events: 1}); status.Admin != want {
		t.Errorf("%+v, expected %+v", status.Admin, want)
	}
	for text, want := range map[string]string{
		"127.0.0.1:80": "127.0.0.1:80", "[2001:db8::1]:80": "[2001:db8::1]:80", "[fe80::1%2]:80": "[fe80::1%2]:80",
		"unix:@abstract": "@abstract",
	} {
		if address, err := parseAddress("address", text); err != nil || address.String() != want {
			t.Errorf("%s is %v (%v)", text, address, err)
		}
	}
	if _, err := parseAddress("address", "something new"); !errors.Is(err, ErrStructSize) {
		t.Error(err)
	}
}
