package trimtab

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// hosted is what Go's poller needs for what the caller turns: a hosted server, or a hosted store.
type hosted struct {
	// turning is held for as long as a turn lasts, which may close the descriptor that is copied.
	turning sync.Mutex
	// waiting is held by who waits: there is one deadline per file.
	waiting sync.Mutex
	// file is a duplicate of the descriptor, made for the first wait; closed once nobody needs it.
	file *os.File
}

// turned is what is turned.
type turned interface {
	// deadline is when the next turn is due, as C has it.
	deadline(operation string) (uint64, error)
	// pollCopy is a duplicate of the descriptor, which Go's poller has.
	pollCopy(operation string) (*os.File, error)
}

func (h *hosted) close() {
	h.turning.Lock()
	defer h.turning.Unlock()
	if h.file != nil {
		h.file.Close()
	}
}

// wait waits until a turn has something to do, or ctx is done: then it returns ctx.Err(). what is a server or a store.
func (h *hosted) wait(ctx context.Context, operation, what string, of turned) error {
	if !h.waiting.TryLock() {
		return &Error{
			Code:      CodeState,
			Operation: operation,
			Detail:    "another goroutine waits for a turn already; one drives a hosted " + what,
		}
	}
	defer h.waiting.Unlock()
	file, err := h.pollFile(operation, of)
	if err != nil {
		return err
	}
	deadline, isDue, err := nextDeadline(operation, of)
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
		return noWait(operation, what, of, err)
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
	return noWait(operation, what, of, err)
}

func (h *hosted) pollFile(operation string, of turned) (*os.File, error) {
	h.turning.Lock()
	defer h.turning.Unlock()
	if h.file == nil {
		file, err := of.pollCopy(operation)
		if err != nil {
			return nil, err
		}
		h.file = file
	}
	return h.file, nil
}

func nextDeadline(operation string, of turned) (Instant, bool, error) {
	deadline, err := of.deadline(operation)
	if err != nil || Instant(deadline) == never {
		return 0, false, err
	}
	return Instant(deadline), true, nil
}

// noWait is what a wait that broke off comes to.
func noWait(operation, what string, of turned, err error) error {
	// What ended it meanwhile closed the file.
	if _, ended := of.deadline(operation); ended != nil {
		return ended
	}
	return &Error{Code: CodeIO, Operation: operation, Detail: "wait for the " + what + "'s descriptor: " + err.Error()}
}
