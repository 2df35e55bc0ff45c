package trimtab

/*
#cgo noescape trimtab_go_server_new
#cgo nocallback trimtab_go_server_new
#cgo noescape trimtab_go_server_free
#cgo nocallback trimtab_go_server_free
#cgo noescape trimtab_go_server_adopt
#cgo nocallback trimtab_go_server_adopt
#cgo noescape trimtab_go_server_order
#cgo nocallback trimtab_go_server_order
#cgo noescape trimtab_go_server_ask
#cgo nocallback trimtab_go_server_ask
#cgo noescape trimtab_go_server_poll_copy
#cgo nocallback trimtab_go_server_poll_copy
#cgo noescape trimtab_go_is_readable
#cgo nocallback trimtab_go_is_readable
#cgo noescape trimtab_go_server_text
#cgo nocallback trimtab_go_server_text
#cgo noescape trimtab_go_server_pool
#cgo nocallback trimtab_go_server_pool
#cgo noescape trimtab_go_server_statistics
#cgo nocallback trimtab_go_server_statistics
#cgo noescape trimtab_go_listener_statistics
#cgo nocallback trimtab_go_listener_statistics

#include "c_server.h"
*/
import "C"

import (
	"os"
	"runtime"
	"syscall"
)

// nativeServer is a server on the other side, and the gate before it.
type nativeServer struct {
	server *C.trimtab_server
	gate   C.trimtab_go_gate
}

func newNativeServer(options *ServerOptions, box mailbox) (*C.trimtab_server, error) {
	given, isFile := options.Config, C.int(0)
	if options.File != "" {
		given, isFile = options.File, 1
	}
	config, configLength := text(given)
	source, sourceLength := text(options.Source)
	made := C.trimtab_go_server_new(config, configLength, source, sourceLength, isFile, box.box)
	return made.server, failureOf("server", "new server", made.result)
}

func freeNativeServer(server *C.trimtab_server) {
	C.trimtab_go_server_free(server)
}

func (n *nativeServer) adopt(listener string, descriptor uintptr) error {
	name, length := text(listener)
	result := C.trimtab_go_server_adopt(&n.gate, n.server, name, length, C.int(descriptor))
	runtime.KeepAlive(n)
	return failureOf("server", "adopt", result)
}

// What order orders.
const (
	orderStart       = C.TRIMTAB_GO_START
	orderStartHosted = C.TRIMTAB_GO_START_HOSTED
	orderDrain       = C.TRIMTAB_GO_DRAIN
	orderStop        = C.TRIMTAB_GO_STOP
	orderWait        = C.TRIMTAB_GO_WAIT
)

func (n *nativeServer) order(operation string, what int, timeoutMS int64) error {
	result := C.trimtab_go_server_order(&n.gate, n.server, C.int(what), C.int64_t(timeoutMS))
	runtime.KeepAlive(n)
	return failureOf("server", operation, result)
}

// What ask asks.
const (
	askState        = C.TRIMTAB_GO_STATE
	askTurn         = C.TRIMTAB_GO_TURN
	askPollFD       = C.TRIMTAB_GO_POLL_FD
	askNextDeadline = C.TRIMTAB_GO_NEXT_DEADLINE
)

func (n *nativeServer) ask(operation string, what int) (uint64, error) {
	answer := C.trimtab_go_server_ask(&n.gate, n.server, C.int(what))
	runtime.KeepAlive(n)
	if err := failureOf("server", operation, answer.result); err != nil {
		return 0, err
	}
	return uint64(answer.number), nil
}

func (n *nativeServer) deadline(operation string) (uint64, error) {
	return n.ask(operation, askNextDeadline)
}

// pollCopy duplicates the descriptor of a hosted server and gives the duplicate to Go's poller.
func (n *nativeServer) pollCopy(operation string) (*os.File, error) {
	copied := C.trimtab_go_server_poll_copy(&n.gate, n.server)
	runtime.KeepAlive(n)
	if err := failureOf("server", operation, copied.result); err != nil {
		return nil, err
	}
	if copied.error != 0 {
		return nil, systemRefused(operation, "copy the descriptor to poll", syscall.Errno(copied.error))
	}
	return os.NewFile(uintptr(copied.descriptor), "trimtab server"), nil
}

func isReadable(descriptor uintptr) bool {
	return C.trimtab_go_is_readable(C.int(descriptor)) != 0
}

func (n *nativeServer) address(listener string) (string, error) {
	return n.text("address", C.TRIMTAB_GO_ADDRESS, listener)
}

func (n *nativeServer) adminAddress() (string, error) {
	return n.text("admin address", C.TRIMTAB_GO_ADMIN_ADDRESS, "")
}

func (n *nativeServer) status() (string, error) {
	return n.text("status", C.TRIMTAB_GO_STATUS, "")
}

func (n *nativeServer) text(operation string, what C.int, listener string) (string, error) {
	name, length := text(listener)
	result := C.trimtab_go_server_text(&n.gate, n.server, what, name, length)
	runtime.KeepAlive(n)
	if err := failureOf("server", operation, result); err != nil {
		return "", err
	}
	return take(result.text, result.length), nil
}

func (n *nativeServer) pool(name string) (*C.trimtab_pool, error) {
	data, length := text(name)
	got := C.trimtab_go_server_pool(&n.gate, n.server, data, length)
	runtime.KeepAlive(n)
	return got.pool, failureOf("server", "pool", got.result)
}

func (n *nativeServer) statistics() (ServerStatistics, error) {
	counted := C.trimtab_go_server_statistics(&n.gate, n.server)
	runtime.KeepAlive(n)
	if err := failureOf("server", "statistics", counted.result); err != nil {
		return ServerStatistics{}, err
	}
	read := &counted.statistics
	return ServerStatistics{
		Sessions:        uint64(read.sessions),
		Waiting:         uint64(read.waiting),
		Accepted:        uint64(read.accepted),
		Finished:        uint64(read.finished),
		Failed:          uint64(read.failed),
		Retries:         uint64(read.retries),
		BytesToBackends: uint64(read.bytes_to_backends),
		BytesToClients:  uint64(read.bytes_to_clients),
	}, nil
}

func (n *nativeServer) listenerStatistics(listener string) (ListenerStatistics, error) {
	name, length := text(listener)
	counted := C.trimtab_go_listener_statistics(&n.gate, n.server, name, length)
	runtime.KeepAlive(n)
	if err := failureOf("server", "listener statistics", counted.result); err != nil {
		return ListenerStatistics{}, err
	}
	read := &counted.statistics
	return ListenerStatistics{
		Maxconn:         uint32(read.maxconn),
		Sessions:        uint64(read.sessions),
		Accepted:        uint64(read.accepted),
		AcceptErrors:    uint64(read.accept_errors),
		Retries:         uint64(read.retries),
		Queued:          uint64(read.queued),
		BytesToBackends: uint64(read.bytes_to_backends),
		BytesToClients:  uint64(read.bytes_to_clients),
		Closed: ClosedSessions{
			Finished:          uint64(read.closed_finished),
			ClientReset:       uint64(read.closed_client_reset),
			BackendReset:      uint64(read.closed_backend_reset),
			ClientLeft:        uint64(read.closed_client_left),
			HeaderInvalid:     uint64(read.closed_header_invalid),
			HeaderTimeout:     uint64(read.closed_header_timeout),
			NoBackend:         uint64(read.closed_no_backend),
			ConnectFailed:     uint64(read.closed_connect_failed),
			QueueFull:         uint64(read.closed_queue_full),
			QueueTimeout:      uint64(read.closed_queue_timeout),
			IdleTimeout:       uint64(read.closed_idle_timeout),
			HalfClosedTimeout: uint64(read.closed_half_closed_timeout),
			Stopped:           uint64(read.closed_stopped),
			NoDescriptor:      uint64(read.closed_no_descriptor),
			RetryRefused:      uint64(read.closed_retry_refused),
			PendingFull:       uint64(read.closed_pending_full),
			BackendDown:       uint64(read.closed_backend_down),
		},
	}, nil
}
