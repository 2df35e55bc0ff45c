package trimtab

import (
	"context"
	"runtime"
)

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
//
// Its store has no threads either: Turn does its work too, and waits for the disk where that writes. Only a node of a
// cluster has threads of its own, and a backup ordered through the admin interface one while it is made.
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
	defer runtime.KeepAlive(s)
	return s.hosted.wait(ctx, "wait turn", "server", &s.native)
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
	defer runtime.KeepAlive(s)
	return nextDeadline("next deadline", &s.native)
}
