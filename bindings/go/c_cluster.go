package trimtab

/*
#cgo noescape trimtab_go_cluster_options
#cgo nocallback trimtab_go_cluster_options
#cgo noescape trimtab_go_cluster_options_end
#cgo nocallback trimtab_go_cluster_options_end
#cgo noescape trimtab_go_cluster_add
#cgo nocallback trimtab_go_cluster_add
#cgo noescape trimtab_go_cluster_tls
#cgo nocallback trimtab_go_cluster_tls
#cgo noescape trimtab_go_cluster_set
#cgo nocallback trimtab_go_cluster_set
#cgo noescape trimtab_go_cluster_set_text
#cgo nocallback trimtab_go_cluster_set_text
#cgo noescape trimtab_go_promote_directory
#cgo nocallback trimtab_go_promote_directory
#cgo noescape trimtab_go_promotion_end
#cgo nocallback trimtab_go_promotion_end
#cgo noescape trimtab_go_store_cluster
#cgo nocallback trimtab_go_store_cluster
#cgo noescape trimtab_go_cluster_node
#cgo nocallback trimtab_go_cluster_node
#cgo noescape trimtab_go_cluster_end
#cgo nocallback trimtab_go_cluster_end
#cgo noescape trimtab_go_cluster_change
#cgo nocallback trimtab_go_cluster_change
#cgo noescape trimtab_go_cluster_follow
#cgo nocallback trimtab_go_cluster_follow
#cgo noescape trimtab_go_cluster_next
#cgo nocallback trimtab_go_cluster_next
#cgo noescape trimtab_go_cluster_unfollow
#cgo nocallback trimtab_go_cluster_unfollow
#cgo noescape trimtab_go_store_lease_at
#cgo nocallback trimtab_go_store_lease_at
#cgo noescape trimtab_go_store_get_at
#cgo nocallback trimtab_go_store_get_at
#cgo noescape trimtab_go_got_at_free
#cgo nocallback trimtab_go_got_at_free
#cgo noescape trimtab_go_store_count_at
#cgo nocallback trimtab_go_store_count_at
#cgo noescape trimtab_go_store_scan_at
#cgo nocallback trimtab_go_store_scan_at
#cgo noescape trimtab_go_queue_await
#cgo nocallback trimtab_go_queue_await

#include "c_cluster.h"
*/
import "C"

import (
	"net/netip"
	"os"
	"strings"
	"time"
	"unsafe"
)

// newClusterOptions makes what C is told of a member; to be freed.
func newClusterOptions(given *ClusterOptions) (*C.trimtab_cluster_options, error) {
	node, nodeLength := text(given.Node)
	made := C.trimtab_go_cluster_options(node, nodeLength)
	if err := failureOf("store", opOpen, made.result); err != nil {
		return nil, err
	}
	if err := setClusterOptions(made.options, given); err != nil {
		freeClusterOptions(made.options)
		return nil, err
	}
	return made.options, nil
}

func freeClusterOptions(options *C.trimtab_cluster_options) {
	C.trimtab_go_cluster_options_end(options)
}

func setClusterOptions(options *C.trimtab_cluster_options, given *ClusterOptions) error {
	set := func(what C.int, number, more uint64) error {
		return failureOf("store", opOpen, C.trimtab_go_cluster_set(options, what, C.uint64_t(number), C.uint64_t(more)))
	}
	setText := func(what C.int, value string) error {
		data, length := text(value)
		return failureOf("store", opOpen, C.trimtab_go_cluster_set_text(options, what, data, length))
	}
	for _, member := range given.Members {
		name, nameLength := text(member.Name)
		address, addressLength := text(optionalAddress(member.Address))
		learner := C.int32_t(0)
		if member.Learner {
			learner = 1
		}
		err := failureOf("store", opOpen, C.trimtab_go_cluster_add(options, name, nameLength, address, addressLength, learner))
		if err != nil {
			return err
		}
	}
	if given.TLS != nil {
		certificate, certificateLength := text(given.TLS.Certificate)
		key, keyLength := text(given.TLS.Key)
		ca, caLength := text(given.TLS.CA)
		err := failureOf("store", opOpen,
			C.trimtab_go_cluster_tls(options, certificate, certificateLength, key, keyLength, ca, caLength))
		if err != nil {
			return err
		}
	}
	forwards := uint64(1)
	if given.NoForward {
		forwards = 0
	}
	// Numbers, where 0 is the default, or what it is anyway.
	for _, one := range []struct {
		what         C.int
		number, more uint64
		isSaid       bool
	}{
		{C.TRIMTAB_GO_CLUSTER_PLAINTEXT, uint64(given.InsecurePlaintext) - 1, 0, given.InsecurePlaintext != PlaintextNone},
		{C.TRIMTAB_GO_CLUSTER_BEGINNING, uint64(given.Beginning), 0, given.Beginning != 0},
		{C.TRIMTAB_GO_CLUSTER_DIRECTORY, uint64(given.Directory), 0, given.Directory != 0},
		{C.TRIMTAB_GO_CLUSTER_DURABILITY, uint64(given.Durability), 0, given.Durability != 0},
		{C.TRIMTAB_GO_CLUSTER_NODES, uint64(given.Nodes), 0, given.Nodes != 0},
		{C.TRIMTAB_GO_CLUSTER_READ, uint64(given.Read), millisecondsUp(given.AgeMax), given.Read != 0},
		{C.TRIMTAB_GO_CLUSTER_FORWARDS, forwards, 0, given.NoForward},
		{C.TRIMTAB_GO_CLUSTER_PATIENCE, uint64(given.Patience / time.Millisecond), 0, given.Patience != 0},
		{C.TRIMTAB_GO_CLUSTER_FORWARD_MAX, uint64(given.ForwardMax), 0, given.ForwardMax != 0},
		{C.TRIMTAB_GO_CLUSTER_DEGRADE_AFTER, uint64(given.DegradeAfter / time.Millisecond), 0, given.DegradeAfter != 0},
		{C.TRIMTAB_GO_CLUSTER_TRANSFER_TIMEOUT, uint64(given.TransferTimeout / time.Millisecond), 0, given.TransferTimeout != 0},
		{C.TRIMTAB_GO_CLUSTER_FEED_TIMEOUT, uint64(given.FeedTimeout / time.Millisecond), 0, given.FeedTimeout != 0},
		{C.TRIMTAB_GO_CLUSTER_MESSAGE_BYTES, given.MessageBytes, 0, given.MessageBytes != 0},
		{C.TRIMTAB_GO_CLUSTER_KEPT_BYTES_MAX, valueOf(given.KeptBytesMax), 0, given.KeptBytesMax != nil},
		{C.TRIMTAB_GO_CLUSTER_SNAPSHOT_RATE, given.SnapshotRate, 0, given.SnapshotRate != 0},
		{C.TRIMTAB_GO_CLUSTER_SLOW_FLUSH, uint64(valueOf(given.SlowFlush) / time.Millisecond), 0, given.SlowFlush != nil},
		{C.TRIMTAB_GO_CLUSTER_ELECTION_TICKS, uint64(given.ElectionTicks), 0, given.ElectionTicks != 0},
	} {
		if !one.isSaid {
			continue
		}
		if err := set(one.what, one.number, one.more); err != nil {
			return err
		}
	}
	for _, node := range given.FeedFrom {
		if err := setText(C.TRIMTAB_GO_CLUSTER_FEED_FROM, node); err != nil {
			return err
		}
	}
	for _, one := range []struct {
		what C.int
		text string
	}{
		{C.TRIMTAB_GO_CLUSTER_NAME, given.Cluster},
		{C.TRIMTAB_GO_CLUSTER_LISTEN, optionalAddress(given.Listen)},
		{C.TRIMTAB_GO_CLUSTER_CLIENT_ADDRESS, given.ClientAddress},
	} {
		if one.text == "" {
			continue
		}
		if err := setText(one.what, one.text); err != nil {
			return err
		}
	}
	return nil
}

// optionalAddress is an address as C takes it: empty for none.
func optionalAddress(address netip.AddrPort) string {
	if !address.IsValid() {
		return ""
	}
	return address.String()
}

// borrowed copies a text of C's; NULL is empty.
func borrowed(data *C.char, length C.size_t) string {
	return strings.Clone(unsafe.String((*byte)(unsafe.Pointer(data)), int(length)))
}

func promoteDirectory(path string) (Promoted, error) {
	data, length := text(path)
	made := C.trimtab_go_promote_directory(data, length)
	// Null is fine.
	defer C.trimtab_go_promotion_end(made.promotion)
	if err := failureOf("store", "promote directory", made.result); err != nil {
		return Promoted{}, err
	}
	read := &made.promoted
	return Promoted{
		Cluster:    borrowed(read.cluster, read.cluster_len),
		Node:       borrowed(read.node, read.node_len),
		Generation: uint64(read.generation),
		Last:       uint64(read.last),
		Out:        strings.Fields(borrowed(read.out, read.out_len)),
		Learners:   strings.Fields(borrowed(read.learners, read.learners_len)),
	}, nil
}

func (n *nativeStore) cluster() (ClusterStatus, error) {
	seen := C.trimtab_go_store_cluster(&n.gate, n.store)
	// Null is fine.
	defer C.trimtab_go_cluster_end(seen.cluster)
	if err := failureOf("store", opCluster, seen.result); err != nil {
		return ClusterStatus{}, err
	}
	read := &seen.status
	status := ClusterStatus{
		Cluster:        borrowed(read.cluster, read.cluster_len),
		Node:           borrowed(read.node, read.node_len),
		Role:           NodeRole(read.role),
		Standing:       Standing(read.standing),
		Trouble:        borrowed(read.trouble, read.trouble_len),
		Epoch:          uint64(read.epoch),
		Generation:     uint64(read.generation),
		Primary:        borrowed(read.primary, read.primary_len),
		PrimaryAddress: borrowed(read.primary_address, read.primary_address_len),
		Last:           uint64(read.last),
		Committed:      uint64(read.committed),
		Applied:        uint64(read.applied),
		Durable:        uint64(read.durable),
		Age:            knownDuration(read.age_ns),
		Lease:          knownDuration(read.lease_ns),
		Held:           uint64(read.held),
		Forwarded:      uint64(read.forwarded),
		RefusedFrames:  uint64(read.refused_frames),
		UnsentFrames:   uint64(read.unsent_frames),
		RefusedPeers:   uint64(read.refused_peers),
		LastRefusal:    borrowed(read.last_refusal, read.last_refusal_len),
		DegradedWrites: uint64(read.degraded_writes),
		Degraded:       read.is_degraded != 0,
	}
	for at := range read.nodes {
		node := C.trimtab_go_cluster_node(seen.cluster, at)
		status.Nodes = append(status.Nodes, ClusterNode{
			Name:          borrowed(node.name, node.name_len),
			Number:        uint64(node.number),
			Address:       parsedAddress(borrowed(node.address, node.address_len)),
			ClientAddress: borrowed(node.client_address, node.client_address_len),
			Voter:         node.is_voter != 0,
			Primary:       node.is_primary != 0,
			Linked:        node.is_linked != 0,
			Matched:       knownNumber(node.matched),
			Lag:           knownNumber(node.lag),
			Source:        borrowed(node.source, node.source_len),
			Trouble:       borrowed(node.trouble, node.trouble_len),
		})
	}
	return status, nil
}

func parsedAddress(text string) netip.AddrPort {
	// It was made of one; none is the zero one.
	address, _ := netip.ParseAddrPort(text)
	return address
}

// knownNumber is nil where C does not know.
func knownNumber(number C.uint64_t) *uint64 {
	if number == C.TRIMTAB_NO_TIME {
		return nil
	}
	known := uint64(number)
	return &known
}

func knownDuration(nanoseconds C.uint64_t) *time.Duration {
	if nanoseconds == C.TRIMTAB_NO_TIME {
		return nil
	}
	known := time.Duration(nanoseconds)
	return &known
}

// What change changes.
const (
	clusterTransfer = C.TRIMTAB_GO_CHANGE_TRANSFER
	clusterAdd      = C.TRIMTAB_GO_CHANGE_ADD
	clusterPromote  = C.TRIMTAB_GO_CHANGE_PROMOTE
	clusterRemove   = C.TRIMTAB_GO_CHANGE_REMOVE
	clusterReplace  = C.TRIMTAB_GO_CHANGE_REPLACE
	clusterReload   = C.TRIMTAB_GO_CHANGE_RELOAD
)

// change holds a thread until it is done, the time is over or the store is closed.
func (n *nativeStore) change(operation string, what int, name, other string, timeoutMS int64) error {
	data, length := text(name)
	otherData, otherLength := text(other)
	return failureOf("store", operation, C.trimtab_go_cluster_change(&n.gate, n.store, C.int(what), data, length,
		otherData, otherLength, C.int64_t(timeoutMS)))
}

func (n *nativeStore) abortTransfer() (bool, error) {
	told := C.trimtab_go_abort_transfer(&n.gate, n.store)
	return told.aborted != 0, failureOf("store", opAbortTransfer, told.result)
}

// nativeClusterEvents is what follows a cluster on the other side, which no store's gate guards: it outlives the store.
type nativeClusterEvents struct {
	events *C.trimtab_cluster_events
}

func (n *nativeStore) follow() (nativeClusterEvents, *os.File, error) {
	followed := C.trimtab_go_cluster_follow(&n.gate, n.store)
	events := nativeClusterEvents{followed.events}
	err := failureOf("store", opEvents, followed.result)
	var file *os.File
	if err == nil {
		file, err = pollFileOf(opEvents, followed.descriptor)
	}
	if err != nil {
		events.free()
		return nativeClusterEvents{}, nil, err
	}
	return events, file, nil
}

// next gives the next event without waiting; false when there is none.
func (e nativeClusterEvents) next() (ClusterEvent, bool, error) {
	told := C.trimtab_go_cluster_next(e.events)
	if told.result.status == C.TRIMTAB_E_TIMED_OUT {
		return ClusterEvent{}, false, nil
	}
	if err := failureOf("store", opEvents, told.result); err != nil {
		return ClusterEvent{}, false, err
	}
	return ClusterEvent{
		Kind:   ClusterEventKind(told.event.kind),
		Role:   NodeRole(told.event.role),
		Epoch:  uint64(told.event.epoch),
		Number: uint64(told.event.number),
		Name:   borrowed(told.event.name, told.event.name_len),
		Detail: borrowed(told.event.detail, told.event.detail_len),
	}, true, nil
}

func (e nativeClusterEvents) free() {
	C.trimtab_go_cluster_unfollow(e.events)
}

func (f freshness) native() C.trimtab_go_how_fresh {
	how := C.trimtab_go_how_fresh{
		level:      C.int32_t(f.level),
		age_max_ms: C.uint64_t(millisecondsUp(f.ageMax)),
		epoch:      C.uint64_t(f.position.Epoch),
		entry:      C.uint64_t(f.position.Entry),
		timeout_ms: C.int64_t(f.timeoutMS),
	}
	if f.isHere {
		how.is_here = 1
	}
	return how
}

// entryAt reads what is here; false when that may have to be waited for, as in the others.
func (n *nativeStore) entryAt(key []byte, fresh freshness) (Entry, bool, error) {
	data, length := bytes(key)
	how := fresh.native()
	got := C.trimtab_go_store_get_at(&n.gate, n.store, data, length, &how)
	if err := failureOf("store", opGet, got.result); err != nil || got.is_fresh == 0 {
		// Null is fine.
		C.trimtab_go_got_at_free(got.answer)
		return Entry{}, false, err
	}
	read := &got.entry
	entry := Entry{
		Version:  uint64(read.version),
		Created:  uint64(read.created),
		Changes:  uint64(read.changes),
		Deadline: momentOf(uint64(read.deadline_ms)),
		Lease:    LeaseID(read.lease),
	}
	entry.Key, entry.Value = pairOf(read.key, uintptr(read.key_len), read.value, uintptr(read.value_len))
	C.trimtab_go_got_at_free(got.answer)
	return entry, true, nil
}

func (n *nativeStore) countAt(keys KeyRange, fresh freshness) (uint64, bool, error) {
	start, startLength := bytes(keys.start)
	end, endLength := bytes(keys.end)
	how := fresh.native()
	count := C.trimtab_go_store_count_at(&n.gate, n.store, C.int32_t(keys.number()), start, startLength, end, endLength, &how)
	return uint64(count.number), count.is_fresh != 0, failureOf("store", opCount, count.result)
}

func (n *nativeStore) scanAt(keys KeyRange, limit uint64, isReverse bool, fresh freshness) (nativeScan, bool, error) {
	batch, err := newNativeBatch(opScan)
	if err != nil {
		return nativeScan{}, false, err
	}
	start, startLength := bytes(keys.start)
	end, endLength := bytes(keys.end)
	reverse := C.int32_t(0)
	if isReverse {
		reverse = 1
	}
	how := fresh.native()
	made := C.trimtab_go_store_scan_at(&n.gate, n.store, C.int32_t(keys.number()), start, startLength, end, endLength,
		C.uint64_t(limit), reverse, &how)
	scan := nativeScan{scan: made.scan, sequence: uint64(made.sequence), batch: batch}
	if err := failureOf("store", opScan, made.result); err != nil || made.is_fresh == 0 {
		scan.free()
		return nativeScan{}, false, err
	}
	return scan, true, nil
}

func (n *nativeStore) leaseAt(number LeaseID, fresh freshness) (LeaseState, bool, error) {
	how := fresh.native()
	lease := C.trimtab_go_store_lease_at(&n.gate, n.store, C.uint64_t(number), &how)
	if err := failureOf("store", opReadLease, lease.result); err != nil || lease.is_fresh == 0 {
		return LeaseState{}, false, err
	}
	return leaseStateOf(uint64(lease.ttl_ms), uint64(lease.deadline_ms)), true, nil
}

// What a read waits for.
const (
	awaitFresh   = C.TRIMTAB_GO_AWAIT_FRESH
	awaitGet     = C.TRIMTAB_GO_AWAIT_GET
	awaitCount   = C.TRIMTAB_GO_AWAIT_COUNT
	awaitOutcome = C.TRIMTAB_GO_AWAIT_OUTCOME
)

// await submits what a read waits for, and takes one that is done meanwhile; false when there is none.
func (n *nativeStore) await(operation string, what awaited, fresh freshness, userData uint64, into *nativeDone) (bool, error) {
	given := C.trimtab_go_await{
		what:         C.int32_t(what.what),
		_range:       C.int32_t(what.keys),
		start_length: C.uint64_t(len(what.start)),
		end_length:   C.uint64_t(len(what.end)),
		number:       C.uint64_t(what.number),
		user_data:    C.uint64_t(userData),
		how:          fresh.native(),
	}
	start, _ := bytes(what.start)
	end, _ := bytes(what.end)
	submitted := C.trimtab_go_queue_await(&n.gate, n.queue.queue, start, end, &given, &into.done)
	return submitted.done != 0, failureOf("store", operation, submitted.result)
}
