package trimtab

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// hosted is what Go's poller needs for a hosted server.
type hosted struct {
	// turning is held for as long as a turn lasts, which may close the descriptor that is copied.
	turning sync.Mutex
	// waiting is held by who waits: there is one deadline per file.
	waiting sync.Mutex
	// file is a duplicate of the server's descriptor, made for the first WaitTurn; closed once nobody needs it.
	file *os.File
}

func (h *hosted) close() {
	h.turning.Lock()
	defer h.turning.Unlock()
	if h.file != nil {
		h.file.Close()
	}
}

// StartHosted starts the server in the caller's hands: it makes no thread, and relays only in Turn. Every
// listener listens when this returns. A loop on any goroutine drives it:
//
//	for server.State() != trimtab.ServerStopped {
//		if err := server.WaitTurn(ctx); err != nil {
//			return err
//		}
//		if _, err := server.Turn(); err != nil {
//			return err
//		}
//	}
//
// A drain or a stop, by whatever goroutine, ends the wait, and the next turn carries it out. Errors as Start.
func (s *Server) StartHosted() error {
	return s.native.order("start hosted", orderStartHosted, 0)
}

// Turn handles what has happened on a hosted server: accepts, relays, lets deadlines pass. It does not wait for
// something to happen, and tells how much there was. ErrState when the server is not hosted, not started or
// has ended; ErrIO when the system refuses to tell what has happened, which ends it.
func (s *Server) Turn() (int, error) {
	s.hosted.turning.Lock()
	defer s.hosted.turning.Unlock()
	count, err := s.native.ask("turn", askTurn)
	if s.hosted.file != nil && s.State() == ServerStopped {
		// Whoever waits for another turn is told.
		s.hosted.file.Close()
	}
	return int(count), err
}

// WaitTurn waits until a turn has something to do, or ctx is done: then it returns ctx.Err(). It waits in
// Go's own poller, so no thread waits with it. One goroutine does so at a time. ErrState when there is no turn
// to wait for (any more): the server is not hosted, not started or has ended.
func (s *Server) WaitTurn(ctx context.Context) error {
	const operation = "wait turn"
	if !s.hosted.waiting.TryLock() {
		return &Error{
			Code:      CodeState,
			Operation: operation,
			Detail:    "another goroutine waits for a turn already; one drives a hosted server",
		}
	}
	defer s.hosted.waiting.Unlock()
	file, err := s.pollFile(operation)
	if err != nil {
		return err
	}
	deadline, isDue, err := s.nextDeadline(operation)
	if err != nil {
		return err
	}
	var until time.Time
	if isDue {
		left := deadline.Sub(Now())
		if left <= 0 {
			return ctx.Err()
		}
		until = time.Now().Add(left)
	}
	if err := file.SetReadDeadline(until); err != nil {
		return s.noWait(operation, err)
	}
	cancelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		file.SetReadDeadline(time.Unix(0, 1))
		close(cancelled)
	})
	conn, err := file.SyscallConn()
	if err == nil {
		err = conn.Read(isReadable)
	}
	if !stop() {
		// So that it does not cut the next wait short.
		<-cancelled
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	return s.noWait(operation, err)
}

// PollFD is the descriptor of a hosted server, for an event loop of the caller's: it is readable when a turn
// has something to do. It stays the server's: neither read nor close it, nor make a file of it. It is closed
// in the turn that ends the server, or in Close. ErrState as Turn.
func (s *Server) PollFD() (int, error) {
	descriptor, err := s.native.ask("poll fd", askPollFD)
	return int(descriptor), err
}

// NextDeadline is when Turn is needed even if the descriptor is not readable; in the past for at once, and
// false while nothing is pending. Ask again after each turn; what other goroutines do in between makes the
// descriptor readable. ErrState as Turn.
func (s *Server) NextDeadline() (Instant, bool, error) {
	return s.nextDeadline("next deadline")
}

func (s *Server) nextDeadline(operation string) (Instant, bool, error) {
	deadline, err := s.native.ask(operation, askNextDeadline)
	if err != nil || Instant(deadline) == never {
		return 0, false, err
	}
	return Instant(deadline), true, nil
}

func (s *Server) pollFile(operation string) (*os.File, error) {
	s.hosted.turning.Lock()
	defer s.hosted.turning.Unlock()
	if s.hosted.file == nil {
		file, err := s.native.pollCopy(operation)
		if err != nil {
			return nil, err
		}
		s.hosted.file = file
	}
	return s.hosted.file, nil
}

// noWait is what a wait that broke off comes to.
func (s *Server) noWait(operation string, err error) error {
	// What ended the server meanwhile closed the file.
	if _, _, ended := s.nextDeadline(operation); ended != nil {
		return ended
	}
	return &Error{Code: CodeIO, Operation: operation, Detail: "wait for the server's descriptor: " + err.Error()}
}
