package trimtab

/*
#cgo noescape trimtab_go_store_open
#cgo nocallback trimtab_go_store_open
#cgo noescape trimtab_go_server_store
#cgo nocallback trimtab_go_server_store
#cgo noescape trimtab_go_store_ask
#cgo nocallback trimtab_go_store_ask
#cgo noescape trimtab_go_store_poll_copy
#cgo nocallback trimtab_go_store_poll_copy
#cgo noescape trimtab_go_store_close
#cgo nocallback trimtab_go_store_close
#cgo noescape trimtab_go_store_free
#cgo nocallback trimtab_go_store_free
#cgo noescape trimtab_go_store_wait
#cgo nocallback trimtab_go_store_wait
#cgo noescape trimtab_go_store_status
#cgo nocallback trimtab_go_store_status
#cgo noescape trimtab_go_store_lease
#cgo nocallback trimtab_go_store_lease
#cgo noescape trimtab_go_poll_copy
#cgo nocallback trimtab_go_poll_copy
#cgo noescape trimtab_go_bell_new
#cgo nocallback trimtab_go_bell_new
#cgo noescape trimtab_go_bell_arm
#cgo nocallback trimtab_go_bell_arm
#cgo noescape trimtab_go_bell_rang
#cgo nocallback trimtab_go_bell_rang

#include "c_store.h"
*/
import "C"

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

// nativeStore is a store and its queue on the other side, and the gate before them.
type nativeStore struct {
	store *C.trimtab_store
	queue nativeQueue
	gate  C.trimtab_go_gate
}

// openNative opens a store; with it comes the bell that tells when something of the queue is done.
func openNative(path string, options *StoreOptions) (*nativeStore, bell, error) {
	given := C.trimtab_go_store_given{
		durability:        C.int32_t(options.Durability),
		eviction:          C.int32_t(options.Eviction),
		timeout_ms:        C.uint64_t(options.Timeout / time.Millisecond),
		flush_interval_ms: C.uint64_t(options.FlushInterval / time.Millisecond),
		flush_bytes:       C.uint64_t(options.FlushBytes),
		snapshot_bytes:    C.uint64_t(options.SnapshotBytes),
		snapshot_retry_ms: C.uint64_t(options.SnapshotRetry / time.Millisecond),
		memory_max:        C.uint64_t(options.MemoryMax),
		value_max:         C.uint64_t(options.ValueMax),
		operations_max:    C.uint64_t(options.OperationsMax),
		clients_max:       C.uint64_t(options.ClientsMax),
		client_bytes_max:  C.uint64_t(options.ClientBytesMax),
		segment_bytes:     C.uint64_t(options.SegmentBytes),
		pending_bytes_max: C.uint64_t(options.PendingBytesMax),
		disk_bytes_max:    C.uint64_t(options.DiskBytesMax),
		kept_bytes:        C.uint64_t(options.KeptBytes),
		disk_retry_ms:     C.uint64_t(options.DiskRetry / time.Millisecond),
		waiting_max:       C.size_t(options.WaitingMax),
		eviction_places:   C.size_t(options.EvictionPlaces),
	}
	if options.Identity != nil {
		given.has_identity = 1
		for at, value := range options.Identity.Cluster {
			given.cluster[at] = C.uint8_t(value)
		}
		given.node = C.uint64_t(options.Identity.Node)
	}
	if options.HistoryBytesMax != nil {
		given.has_history_bytes_max = 1
		given.history_bytes_max = C.uint64_t(*options.HistoryBytesMax)
	}
	given.scrub_bytes_per_second = C.uint64_t(options.ScrubBytesPerSecond)
	if options.ScrubInterval != nil {
		given.has_scrub_interval = 1
		given.scrub_interval_ms = C.uint64_t(*options.ScrubInterval / time.Millisecond)
	}
	if options.Hosted {
		given.is_hosted = 1
	}
	var cluster *C.trimtab_cluster_options
	if options.Cluster != nil {
		made, err := newClusterOptions(options.Cluster)
		if err != nil {
			return nil, bell{}, err
		}
		cluster = made
		defer freeClusterOptions(cluster)
	}
	data, length := text(path)
	opened := C.trimtab_go_store_open(data, length, &given, C.size_t(options.queueMax()), cluster)
	if err := failureOf("store", opOpen, opened.result); err != nil {
		return nil, bell{}, err
	}
	return newNativeStore(&opened)
}

// store gives a handle of a server's own store, as openNative does of one of the caller's.
func (n *nativeServer) store(queueMax int) (*nativeStore, bell, error) {
	opened := C.trimtab_go_server_store(&n.gate, n.server, C.size_t(queueMax))
	runtime.KeepAlive(n)
	if err := failureOf("server", "store", opened.result); err != nil {
		return nil, bell{}, err
	}
	return newNativeStore(&opened)
}

func newNativeStore(opened *C.trimtab_go_store) (*nativeStore, bell, error) {
	native := &nativeStore{store: opened.store, queue: nativeQueue{opened.queue}}
	bell, err := newBell(opened.descriptor)
	if err != nil {
		native.free()
	}
	return native, bell, err
}

// bell tells Go's poller when a descriptor is readable, if it is armed: once each time.
type bell struct {
	file       *os.File
	number     C.int
	descriptor C.int
}

func newBell(descriptor C.int32_t) (bell, error) {
	number := C.trimtab_go_bell_new(C.int(descriptor))
	if number < 0 {
		return bell{}, systemRefused(opOpen, "make a descriptor to wait with", syscall.Errno(-number))
	}
	file, err := polled(opOpen, number)
	return bell{file: file, number: number, descriptor: C.int(descriptor)}, err
}

// arm has it ring, at once if the descriptor is readable. Not once the file is closed.
func (b bell) arm() {
	C.trimtab_go_bell_arm(b.number, b.descriptor)
}

// rang tells whether it has rung, and is not armed any more.
func rang(number uintptr) bool {
	return C.trimtab_go_bell_rang(C.int(number)) != 0
}

// pollFileOf copies a descriptor of the library's and gives the copy to Go's poller.
func pollFileOf(operation string, descriptor C.int32_t) (*os.File, error) {
	copied := C.trimtab_go_poll_copy(C.int(descriptor))
	if copied < 0 {
		return nil, systemRefused(operation, "copy the descriptor to poll", syscall.Errno(-copied))
	}
	return polled(operation, copied)
}

// polled gives a descriptor to Go's poller, to have and close.
func polled(operation string, descriptor C.int) (*os.File, error) {
	file := os.NewFile(uintptr(descriptor), "trimtab store")
	// What the poller does not take has no deadlines either.
	if err := file.SetReadDeadline(time.Time{}); err != nil {
		file.Close()
		return nil, &Error{Code: CodeIO, Operation: operation, Detail: "wait with the descriptor: " + err.Error()}
	}
	return file, nil
}

// close answers all who wait, and returns when everything is on disk.
func (n *nativeStore) close() error {
	return failureOf("store", "close", C.trimtab_go_store_close(n.store))
}

// free is for when nobody is inside any more.
func (n *nativeStore) free() {
	C.trimtab_go_store_free(n.store, n.queue.queue)
}

// What wait waits for.
const (
	waitSync     = C.TRIMTAB_GO_STORE_SYNC
	waitSnapshot = C.TRIMTAB_GO_STORE_SNAPSHOT
	waitScrub    = C.TRIMTAB_GO_STORE_SCRUB
)

// wait holds a thread until it is done or the store is closed.
func (n *nativeStore) wait(operation string, what int) (uint64, error) {
	waited := C.trimtab_go_store_wait(&n.gate, n.store, C.int(what))
	return uint64(waited.number), failureOf("store", operation, waited.result)
}

// What ask asks of a hosted store.
const (
	askStoreTurn         = C.TRIMTAB_GO_STORE_TURN
	askStorePollFD       = C.TRIMTAB_GO_STORE_POLL_FD
	askStoreNextDeadline = C.TRIMTAB_GO_STORE_NEXT_DEADLINE
)

func (n *nativeStore) ask(operation string, what int) (uint64, error) {
	answer := C.trimtab_go_store_ask(&n.gate, n.store, C.int(what))
	return uint64(answer.number), failureOf("store", operation, answer.result)
}

func (n *nativeStore) deadline(operation string) (uint64, error) {
	return n.ask(operation, askStoreNextDeadline)
}

// pollCopy duplicates the descriptor of a hosted store and gives the duplicate to Go's poller.
func (n *nativeStore) pollCopy(operation string) (*os.File, error) {
	copied := C.trimtab_go_store_poll_copy(&n.gate, n.store)
	if err := failureOf("store", operation, copied.result); err != nil {
		return nil, err
	}
	if copied.error != 0 {
		return nil, systemRefused(operation, "copy the descriptor to poll", syscall.Errno(copied.error))
	}
	return polled(operation, C.int(copied.descriptor))
}

func (n *nativeStore) status() (StoreStatus, error) {
	how := C.trimtab_go_store_status(&n.gate, n.store)
	if err := failureOf("store", "status", how.result); err != nil {
		return StoreStatus{}, err
	}
	read := &how.status
	scrubFailure := reasonOf(read.scrub_failure)
	if scrubFailure != nil {
		detail, err := n.damage()
		if err != nil {
			return StoreStatus{}, err
		}
		scrubFailure = &Error{Code: Code(read.scrub_failure), Operation: "scrub", Detail: detail}
	}
	return StoreStatus{
		Failure:         reasonOf(read.failure),
		Problem:         reasonOf(read.problem),
		SnapshotFailure: reasonOf(read.snapshot_failure),
		Sequence:        uint64(read.sequence),
		Durable:         uint64(read.durable),
		Applied:         uint64(read.applied),
		Snapshot:        uint64(read.snapshot),
		Keys:            uint64(read.keys),
		MemoryBytes:     uint64(read.memory_bytes),
		DiskBytes:       uint64(read.disk_bytes),
		PendingBytes:    uint64(read.pending_bytes),
		ScrubPasses:     uint64(read.scrub_passes),
		ScrubBytes:      uint64(read.scrub_bytes),
		ScrubFinished:   momentOf(uint64(read.scrub_finished_ms)),
		ScrubDamages:    uint64(read.scrub_damages),
		ScrubMended:     uint64(read.scrub_mended),
		ScrubFailure:    scrubFailure,
		Counts: StoreCounts{
			Submitted:       uint64(read.submitted),
			Joined:          uint64(read.joined),
			Refused:         uint64(read.refused),
			Applied:         uint64(read.entries_applied),
			Flushes:         uint64(read.flushes),
			FlushedBytes:    uint64(read.flushed_bytes),
			ClockSteps:      uint64(read.clock_steps),
			Expiries:        uint64(read.expiries),
			Evictions:       uint64(read.evictions),
			Snapshots:       uint64(read.snapshots_written),
			SnapshotsFailed: uint64(read.snapshots_failed),
		},
	}, nil
}

func reasonOf(status C.int32_t) error {
	if status == C.TRIMTAB_OK {
		return nil
	}
	return &Error{Code: Code(status)}
}

func (n *nativeStore) lease(number LeaseID) (LeaseState, error) {
	lease := C.trimtab_go_store_lease(&n.gate, n.store, C.uint64_t(number))
	if err := failureOf("store", opReadLease, lease.result); err != nil {
		return LeaseState{}, err
	}
	return leaseStateOf(uint64(lease.ttl_ms), uint64(lease.deadline_ms)), nil
}
