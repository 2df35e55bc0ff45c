package trimtab

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// wrapped has a File and no SyscallConn, as some libraries' listeners do.
type wrapped struct {
	net.Listener
	file func() (*os.File, error)
}

func (w wrapped) File() (*os.File, error) {
	return w.file()
}

func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.(*net.TCPListener)
}

func TestAdoptedListeners(t *testing.T) {
	backend := echoBackend(t, "a")
	for name, adopt := range map[string]func(*Server, *net.TCPListener) error{
		"a listener": func(server *Server, listener *net.TCPListener) error {
			return server.Adopt("web", listener)
		},
		"a file": func(server *Server, listener *net.TCPListener) error {
			file, err := listener.File()
			if err != nil {
				return err
			}
			defer file.Close()
			return server.AdoptFile("web", file)
		},
		"a wrapper": func(server *Server, listener *net.TCPListener) error {
			return server.Adopt("web", wrapped{listener, listener.File})
		},
	} {
		before := descriptors(t)
		for _, isHosted := range []bool{false, true} {
			listener := listen(t)
			server := newServer(t, ServerOptions{Config: configOf(2, "", backend)})
			if err := adopt(server, listener); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			// The server's is another.
			listener.Close()
			if isHosted {
				if err := server.StartHosted(); err != nil {
					t.Fatal(err)
				}
				drive(t, server)
			} else if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			if address := addressOf(t, server); address != listener.Addr().String() {
				t.Errorf("%s: listens on %s, adopted %s", name, address, listener.Addr())
			}
			open := dialSession(t, "tcp", listener.Addr().String())
			if err := open.echo("hello"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			open.Close()
			server.Close()
			if !isRefused(listener.Addr().String()) {
				t.Errorf("%s: it listens still", name)
			}
		}
		eventually(t, "every descriptor is back", func() bool { return descriptors(t) <= before })
	}
}

// What the caller keeps goes on without the server.
func TestTheCallersCopyOfAnAdoptedListener(t *testing.T) {
	listener := listen(t)
	server := newServer(t, ServerOptions{Config: configOf(1, "", echoBackend(t, "a"))})
	if err := server.Adopt("web", listener); err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	dialSession(t, "tcp", listener.Addr().String())
	server.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	listener.SetDeadline(time.Now().Add(patience))
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted.Close()
}

func TestAnAdoptedUnixListener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	server := newServer(t, ServerOptions{Config: configOf(2, "", echoBackend(t, "a"))})
	if err := server.Adopt("web", listener); err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	address, err := server.Address("web")
	if err != nil || address.String() != path {
		t.Fatalf("%v %v", address, err)
	}
	if err := dialSession(t, "unix", path).echo("hello"); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeAdopted(t *testing.T) {
	server := newServer(t, ServerOptions{Config: configOf(1, "", echoBackend(t, "a"))})
	listener, closed := listen(t), listen(t)
	closed.Close()
	broken := errors.New("no file today")
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, each := range []struct {
		err, kind error
		part      string
	}{
		{server.Adopt("nope", listener), ErrNotFound, "nope"},
		{server.Adopt("web", tls.NewListener(listener, &tls.Config{})), ErrInvalidArgument, "*tls.listener"},
		{server.Adopt("web", nil), ErrInvalidArgument, "socket"},
		{server.Adopt("web", closed), ErrInvalidArgument, "closed"},
		{server.Adopt("web", wrapped{listener, func() (*os.File, error) { return nil, broken }}), ErrInvalidArgument, "no file today"},
		{server.AdoptFile("web", nil), ErrInvalidArgument, "socket"},
		{server.AdoptFile("web", file), ErrIO, "web"},
	} {
		wants(t, each.err, each.kind, "adopt", each.part)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	wants(t, server.Adopt("web", listener), ErrState, "adopt", "started")
}
