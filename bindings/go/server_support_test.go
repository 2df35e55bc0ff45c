package trimtab

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// configOf is one listener "web" and one pool "app" of these backends, named a, b, c, ...
func configOf(workers int, timeouts string, addresses ...string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "[runtime]\nworkers = %d\n\n", workers)
	fmt.Fprintf(&text, "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\npool = \"app\"\ntimeouts = { %s }\n\n", timeouts)
	fmt.Fprintf(&text, "[[pool]]\nname = \"app\"\nseed = 0\n")
	for at, address := range addresses {
		fmt.Fprintf(&text, "[[pool.backend]]\nname = \"%c\"\naddress = \"%s\"\n", 'a'+at, address)
	}
	return text.String()
}

// newServer makes one that is closed with the test.
func newServer(t testing.TB, options ServerOptions) *Server {
	t.Helper()
	server, err := NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server
}

// startServer is newServer of a configuration, started.
func startServer(t testing.TB, config string) *Server {
	t.Helper()
	server := newServer(t, ServerOptions{Config: config})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	return server
}

func addressOf(t testing.TB, server *Server) string {
	t.Helper()
	address, err := server.Address("web")
	if err != nil {
		t.Fatal(err)
	}
	return address.String()
}

func poolNamed(t testing.TB, server *Server, name string) *Pool {
	t.Helper()
	pool, err := server.Pool(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	return pool
}

func idOf(t testing.TB, pool *Pool, name string) BackendID {
	t.Helper()
	id, err := pool.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// patient is a context that a test may wait with.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func mustWait(t testing.TB, server *Server) {
	t.Helper()
	if err := server.Wait(patient(t)); err != nil {
		t.Fatal(err)
	}
	if state := server.State(); state != ServerStopped {
		t.Fatalf("waited for, and %v", state)
	}
}

// eventually polls a condition that no event tells of.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%v have passed, and not yet: %s", patience, what)
		}
	}
}

// statusIn reads a status, and fails where it tells of what Status does not know.
func statusIn(t testing.TB, from io.Reader) Status {
	t.Helper()
	var status Status
	decoder := json.NewDecoder(from)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&status); err != nil {
		t.Fatal(err)
	}
	return status
}

// httpBackend answers with its letter and the request's body.
func httpBackend(t testing.TB, letter string) string {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Backend", letter)
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, err = w.Write(body)
		}
		if err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(backend.Close)
	return backend.Listener.Addr().String()
}

// echoBackend says its letter to each client, then everything that it hears, line by line.
func echoBackend(t testing.TB, letter string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var sessions sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		sessions.Wait()
	})
	sessions.Add(1)
	go func() {
		defer sessions.Done()
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			sessions.Add(1)
			go func() {
				defer sessions.Done()
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(4 * patience))
				if _, err := io.WriteString(conn, letter+"\n"); err == nil {
					// Not from socket to socket: Go keeps pipes for that, which a test would count as descriptors lost.
					io.Copy(struct{ io.Writer }{conn}, conn)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// addressOfNobody is an address where nothing listens.
func addressOfNobody(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	return listener.Addr().String()
}

// session is a client of an echoBackend.
type session struct {
	net.Conn
	lines  *bufio.Reader
	letter string
}

func dialSession(t testing.TB, network, address string) *session {
	t.Helper()
	conn, err := net.DialTimeout(network, address, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	s := &session{Conn: conn, lines: bufio.NewReader(conn)}
	if s.letter, err = s.hear(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *session) hear() (string, error) {
	line, err := s.lines.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

// echo says something and hears it.
func (s *session) echo(line string) error {
	if _, err := io.WriteString(s, line+"\n"); err != nil {
		return err
	}
	heard, err := s.hear()
	if err == nil && heard != line {
		err = fmt.Errorf("heard %q, said %q", heard, line)
	}
	return err
}

// isRefused tells whether nobody listens there any more.
func isRefused(address string) bool {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return true
	}
	conn.Close()
	return false
}

// ownThreads counts the threads of trimtab's in this process.
func ownThreads(t testing.TB) int {
	t.Helper()
	names, err := filepath.Glob("/proc/self/task/*/comm")
	if err != nil || len(names) == 0 {
		t.Fatal("no threads in /proc", err)
	}
	count := 0
	for _, name := range names {
		// One that is gone since is none.
		comm, err := os.ReadFile(name)
		if err == nil && strings.HasPrefix(string(comm), "trimtab/") {
			count++
		}
	}
	return count
}

// threads counts all of them.
func threads(t testing.TB) int {
	t.Helper()
	return entries(t, "/proc/self/task")
}

func descriptors(t testing.TB) int {
	t.Helper()
	return entries(t, "/proc/self/fd")
}

func entries(t testing.TB, directory string) int {
	t.Helper()
	found, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// collect runs the garbage collector and the cleanups that it finds.
func collect() {
	runtime.GC()
	runtime.Gosched()
}
