package trimtab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// ServerOptions is how to make a server: from Config or from File.
type ServerOptions struct {
	// Config is the configuration's text, the TOML that the command trimtab takes as a file.
	Config string
	// Source is what errors call Config, like the name of its file. Default "config".
	Source string
	// File is the path of the configuration's file, in place of Config.
	File string
	// OnEvent gets the server's events, one after another, in the order in which they happened, on a goroutine
	// of the server's own. Default nil: nobody is told.
	//
	// It may call everything, and may take its time: nothing waits for it but further events, of which there
	// is room for 131,072 (see EventsLost), and Close. Close returns after it has, with every event told; in
	// OnEvent itself Close does not wait, and the events not told yet are dropped. Either way OnEvent is not
	// called again. If it panics the program ends with the panic's message, as it does for any goroutine.
	OnEvent func(Event)
}

// ServerState is what a server does.
type ServerState int32

const (
	// ServerNew: made, not started.
	ServerNew ServerState = 0
	// ServerRunning: accepts and relays.
	ServerRunning ServerState = 1
	// ServerDraining: accepts nothing new; its sessions go on.
	ServerDraining ServerState = 2
	// ServerStopped: ended.
	ServerStopped ServerState = 3
)

// String gives the state's name in a Status.
func (s ServerState) String() string {
	switch s {
	case ServerNew:
		return "new"
	case ServerRunning:
		return "running"
	case ServerDraining:
		return "draining"
	case ServerStopped:
		return "stopped"
	}
	return fmt.Sprintf("state %d", int32(s))
}

// Server is listeners that relay connections to pools, made from one configuration. It runs on threads of its
// own (Start), none of which ever runs Go code, or on the caller's goroutine (StartHosted). Make one with
// NewServer. It must not be copied.
//
// Any goroutine may call anything at any time, where a method says nothing else. What is called after Close
// returns ErrClosed.
//
// A server that was started runs until it is told to stop, or the program ends, even when the Server itself
// was dropped. One that was not started, or is hosted, is freed when the garbage collector finds it dropped,
// which it does not while its OnEvent refers to it. Call Close.
type Server struct {
	native   nativeServer
	events   *events
	hosted   hosted
	isClosed atomic.Bool
	cleanup  runtime.Cleanup
}

// dropped is what is left of a Server that was dropped without Close.
type dropped struct {
	free   func()
	events *events
}

// NewServer makes a server. Nothing is opened and no thread made before it is started. A configuration that
// cannot be is an ErrConfig, whose detail gives name, line and column of the first thing wrong, what to do
// instead, and how many more there are; a file that cannot be read is an ErrIO.
func NewServer(options ServerOptions) (*Server, error) {
	if options.File != "" && (options.Config != "" || options.Source != "") {
		return nil, &Error{
			Code:      CodeInvalidArgument,
			Operation: "new server",
			Detail:    fmt.Sprintf("invalid file: File %q is given beside Config or Source, which are the text and its name; leave one out", options.File),
		}
	}
	events, err := newEvents("new server", options.OnEvent)
	if err != nil {
		return nil, err
	}
	go events.read()
	made, err := newNativeServer(&options, events.mailbox)
	if err != nil {
		events.end()
		<-events.over
		return nil, err
	}
	server := &Server{native: nativeServer{server: made}, events: events}
	free := func() { freeNativeServer(made) }
	server.cleanup = runtime.AddCleanup(server, func(d dropped) {
		d.events.isDeaf.Store(true)
		d.free()
		d.events.end()
	}, dropped{free, events})
	return server, nil
}

// Close ends the server as Stop does, waits for its threads and for OnEvent, and gives back all that belongs
// to it. It always returns nil, and may be called more than once and while other goroutines use the server:
// their calls that have begun come to their end, later ones return ErrClosed. Whichever Close returns, OnEvent
// is not called any more; only within OnEvent itself Close does not wait for it. Pools got by Pool go on.
func (s *Server) Close() error {
	if s.events == nil {
		shut(&s.native.gate)
		return nil
	}
	isTelling := s.events.isTellingHere()
	if isTelling {
		s.events.isDeaf.Store(true)
	}
	if s.isClosed.CompareAndSwap(false, true) {
		// So that what is inside comes out: Wait.
		s.Stop()
		shut(&s.native.gate)
		s.cleanup.Stop()
		freeNativeServer(s.native.server)
		s.hosted.close()
		s.events.end()
	}
	if !isTelling {
		<-s.events.over
	}
	return nil
}

// Start starts the server on threads of its own, as many as runtime.workers says. Every listener listens when
// this returns. An ErrIO says what could not be bound, and where the configuration asks for it; nothing is
// left open then, and it may be tried again. ErrState when it was started before.
func (s *Server) Start() error {
	err := s.native.order("start", orderStart, 0)
	if err == nil {
		// It serves, whether or not somebody holds on to it.
		s.cleanup.Stop()
	}
	return err
}

// Drain accepts nothing new and lets sessions end by themselves for as long as the longest timeouts.drain of
// the listeners allows, then ends them. It does not wait for that, see Wait; a hosted server does it in its
// next turns. ErrState before it is started.
func (s *Server) Drain() error {
	return s.native.order("drain", orderDrain, -1)
}

// DrainWithin is Drain with so much time, counted in whole milliseconds, rounded up. None, or less, ends the
// sessions at once. Called again it sets the time anew.
func (s *Server) DrainWithin(timeout time.Duration) error {
	return s.native.order("drain", orderDrain, wholeMilliseconds(timeout))
}

// Stop ends it: every session is cut. It does not wait for that, see Wait; a hosted server ends in its next
// turn. Good in any state and more than once; a server that was not started never will be.
func (s *Server) Stop() error {
	return s.native.order("stop", orderStop, 0)
}

// Wait waits until the server has ended and its threads are gone. When ctx is done first it returns
// ctx.Err(), at once, and the server goes on. ErrState before it is started, and while it is hosted and has not
// ended: its turns end it, so turn it until State says stopped.
func (s *Server) Wait(ctx context.Context) error {
	// Looks, and does not wait.
	err := s.native.order("wait", orderWait, 0)
	if !errors.Is(err, ErrTimedOut) {
		return err
	}
	select {
	case <-s.events.stopped:
	case <-ctx.Done():
		return ctx.Err()
	}
	// It has told of its end, which is the last that its threads do.
	err = s.native.order("wait", orderWait, -1)
	if errors.Is(err, ErrClosed) && s.isClosed.Load() {
		<-s.events.freed
		return nil
	}
	return err
}

// State tells what the server does; ServerStopped after Close.
func (s *Server) State() ServerState {
	state, err := s.native.ask("state", askState)
	if err != nil {
		return ServerStopped
	}
	return ServerState(state)
}

// Address tells where a listener listens, by its name in the configuration: a *net.TCPAddr or a
// *net.UnixAddr. Port 0 in the configuration has become the one that the system chose. ErrNotFound, or ErrState
// before it is started.
func (s *Server) Address(listener string) (net.Addr, error) {
	address, err := s.native.address(listener)
	if err != nil {
		return nil, err
	}
	return parseAddress("address", address)
}

// AdminAddress tells where the admin socket listens. ErrNotFound when the configuration has no [admin], or
// ErrState before it is started.
func (s *Server) AdminAddress() (net.Addr, error) {
	address, err := s.native.adminAddress()
	if err != nil {
		return nil, err
	}
	return parseAddress("admin address", address)
}

// Pool gives a pool of the server, by its name in the configuration, to add, remove and change backends while it
// runs, to pick from, to ask. Changes hold for the relay at once. It is timed by the clock of Now. Each call
// gives another *Pool of the same backends; to close one, before or after the server, ends nothing but that
// handle.
func (s *Server) Pool(name string) (*Pool, error) {
	got, err := s.native.pool(name)
	if err != nil {
		return nil, err
	}
	return poolOf(got), nil
}

// Adopt hands over a socket that listens already, in place of the listener's bind, before the server is
// started: a *net.TCPListener, a *net.UnixListener, or whatever has their SyscallConn or File. The server takes
// a duplicate, and the Go side's listener stays the caller's, who stops to Accept from it (a client that it gets
// is not relayed) and may Close it at any time. As long as it is open the socket is, so clients that come
// after the server has ended wait for whoever holds it. A *net.UnixListener removes its file when it is
// closed: call SetUnlinkOnClose(false) before.
//
// ErrNotFound for a listener that the configuration does not have, ErrInvalidArgument for what holds no
// socket, ErrIO for what is no stream socket that listens, ErrState once it is started.
func (s *Server) Adopt(listener string, socket net.Listener) error {
	return s.adopt(listener, socket)
}

// AdoptFile is Adopt for a descriptor in a file, as a service manager passes it. The file stays the caller's.
func (s *Server) AdoptFile(listener string, socket *os.File) error {
	return s.adopt(listener, socket)
}

func (s *Server) adopt(listener string, socket any) error {
	if with, ok := socket.(syscall.Conn); ok {
		conn, err := with.SyscallConn()
		if err != nil {
			return noSocket(err.Error())
		}
		var adopted error
		if err := conn.Control(func(descriptor uintptr) { adopted = s.native.adopt(listener, descriptor) }); err != nil {
			return noSocket(err.Error())
		}
		return adopted
	}
	if with, ok := socket.(interface{ File() (*os.File, error) }); ok {
		file, err := with.File()
		if err != nil {
			return noSocket(err.Error())
		}
		defer file.Close()
		return s.adopt(listener, file)
	}
	return noSocket(fmt.Sprintf("a %T has neither SyscallConn nor File; pass the listener that it is made of", socket))
}

func noSocket(detail string) error {
	return &Error{Code: CodeInvalidArgument, Operation: "adopt", Detail: "invalid socket: " + detail}
}

func parseAddress(operation, address string) (net.Addr, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return &net.UnixAddr{Name: path, Net: "unix"}, nil
	}
	parsed, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, &Error{Code: CodeStructSize, Operation: operation, Detail: err.Error()}
	}
	return net.TCPAddrFromAddrPort(parsed), nil
}

// wholeMilliseconds is what C takes: rounded up, and 0 for less than nothing, which means something else there.
func wholeMilliseconds(timeout time.Duration) int64 {
	whole := timeout / time.Millisecond
	if timeout%time.Millisecond > 0 {
		whole++
	}
	return int64(max(whole, 0))
}

func systemRefused(operation, what string, errno syscall.Errno) error {
	return &Error{Code: CodeIO, Operation: operation, Detail: "cannot " + what + ": " + errno.Error()}
}
