package trimtab

/*
#cgo noescape trimtab_go_queue_take
#cgo nocallback trimtab_go_queue_take
#cgo noescape trimtab_go_queue_submit
#cgo nocallback trimtab_go_queue_submit
#cgo noescape trimtab_go_queue_submit_all
#cgo nocallback trimtab_go_queue_submit_all
#cgo noescape trimtab_go_queue_submit_txn
#cgo nocallback trimtab_go_queue_submit_txn
#cgo noescape trimtab_go_queue_submit_durable
#cgo nocallback trimtab_go_queue_submit_durable
#cgo noescape trimtab_go_queue_cancel
#cgo nocallback trimtab_go_queue_cancel
#cgo noescape trimtab_go_answer_free
#cgo nocallback trimtab_go_answer_free
#cgo noescape trimtab_go_answer_entries
#cgo nocallback trimtab_go_answer_entries
#cgo noescape trimtab_go_answer_step
#cgo nocallback trimtab_go_answer_step

#include "c_store_queue.h"
#include "c_store_txn.h"
*/
import "C"

import (
	"unsafe"
)

// nativeQueue is where calls are submitted to, and what is done is taken from.
type nativeQueue struct {
	queue *C.trimtab_store_queue
}

// nativeDone is what came of something submitted. Whoever has it calls free or one of those that read it, once.
type nativeDone struct {
	done C.trimtab_go_outcome
}

// keep marks user data of what has steps.
const keep uint64 = C.TRIMTAB_GO_KEEP

const (
	conditionAbsent     = C.TRIMTAB_CONDITION_ABSENT
	conditionPresent    = C.TRIMTAB_CONDITION_PRESENT
	conditionVersion    = C.TRIMTAB_CONDITION_VERSION
	conditionNoDeadline = C.TRIMTAB_CONDITION_NO_DEADLINE
	conditionDeadline   = C.TRIMTAB_CONDITION_DEADLINE
	conditionLater      = C.TRIMTAB_CONDITION_LATER
	conditionEarlier    = C.TRIMTAB_CONDITION_EARLIER

	lifetimeUnbounded = C.TRIMTAB_LIFETIME_UNBOUNDED
	lifetimeKeep      = C.TRIMTAB_LIFETIME_KEEP
	lifetimeUntil     = C.TRIMTAB_LIFETIME_UNTIL
	lifetimeFor       = C.TRIMTAB_LIFETIME_FOR
	lifetimeLease     = C.TRIMTAB_LIFETIME_LEASE

	rangeBetween = C.TRIMTAB_RANGE_BETWEEN
	rangePrefix  = C.TRIMTAB_RANGE_PREFIX
)

// fill sets what C is told of an operation, but for the bytes of key and value.
func (o *Operation) fill(given *C.trimtab_go_operation, userData uint64) {
	*given = C.trimtab_go_operation{
		kind:         C.int32_t(o.kind),
		_range:       C.int32_t(o.options.keys),
		condition:    C.int32_t(o.options.condition),
		lifetime:     C.int32_t(o.options.lifetime),
		key_length:   C.uint64_t(len(o.key)),
		value_length: C.uint64_t(len(o.value)),
		version:      C.uint64_t(o.options.version),
		lease:        C.uint64_t(o.options.lease | o.lease),
		limit:        C.uint64_t(o.options.limit),
		user_data:    C.uint64_t(userData),
		by:           C.int64_t(o.by),
	}
	switch {
	case o.kind == kindLeaseGrant:
		given.ttl_ms = C.uint64_t(millisecondsUp(o.ttl))
	case o.options.lifetime == lifetimeFor:
		given.ttl_ms = C.uint64_t(millisecondsUp(o.options.ttl))
	case o.options.lifetime == lifetimeUntil:
		given.deadline_ms = C.uint64_t(unixMilliseconds(o.options.deadline))
	}
	if o.options.previous {
		given.previous = 1
	}
	if o.options.reverse {
		given.reverse = 1
	}
}

func (o *callOptions) native() C.trimtab_go_call {
	return C.trimtab_go_call{
		durability: C.int32_t(o.durability),
		nodes:      C.uint32_t(o.nodes),
		number:     C.uint64_t(o.request.Number),
		client:     *(*[16]C.uint8_t)(unsafe.Pointer(&o.request.Client)),
	}
}

// submit submits one operation, and takes one that is done meanwhile if isDone asks for it; false when there is
// none.
func (n *nativeStore) submit(o *Operation, call *callOptions, userData uint64, isDone bool, into *nativeDone) (bool, error) {
	var given C.trimtab_go_operation
	o.fill(&given, userData)
	how := call.native()
	key, _ := bytes(o.key)
	value, _ := bytes(o.value)
	room := C.size_t(0)
	if isDone {
		room = 1
	}
	submitted := C.trimtab_go_queue_submit(&n.gate, n.queue.queue, key, value, &given, &how, &into.done, room)
	if submitted.result.status != C.TRIMTAB_OK {
		return false, failureOf("store", o.kind.String(), submitted.result)
	}
	return submitted.done != 0, nil
}

// flatten puts what operations have one after another, for C.
func flatten(operations []Operation, userData func(at int) uint64) ([]byte, []C.trimtab_go_operation) {
	length := 0
	for at := range operations {
		length += len(operations[at].key) + len(operations[at].value)
	}
	area := make([]byte, 0, length)
	given := make([]C.trimtab_go_operation, len(operations))
	for at := range operations {
		operations[at].fill(&given[at], userData(at))
		area = append(append(area, operations[at].key...), operations[at].value...)
	}
	return area, given
}

// submitAll submits operations, in order, as far as they are taken, and tells how far.
func (n *nativeStore) submitAll(operations []Operation, call *callOptions, userData func(at int) uint64) (int, error) {
	area, given := flatten(operations, userData)
	how := call.native()
	data, _ := bytes(area)
	submitted := C.trimtab_go_queue_submit_all(&n.gate, n.queue.queue, data, unsafe.SliceData(given),
		C.size_t(len(given)), &how)
	return int(submitted.taken), failureOf("store", "batch", submitted.result)
}

// submitDurable has the queue say when the log is on disk so far.
func (n *nativeStore) submitDurable(operation string, sequence, userData uint64) error {
	return failureOf("store", operation, C.trimtab_go_queue_submit_durable(&n.gate, n.queue.queue,
		C.uint64_t(sequence), C.uint64_t(userData)))
}

func (n *nativeStore) submitTxn(txn *Txn, call *callOptions, userData uint64) error {
	var compared []C.trimtab_go_comparison
	var area []byte
	for at := range txn.If {
		comparison := &txn.If[at]
		compared = append(compared, C.trimtab_go_comparison{
			key_length:   C.uint64_t(len(comparison.key)),
			value_length: C.uint64_t(len(comparison.value)),
			what:         C.int32_t(comparison.what),
			relation:     C.int32_t(comparison.relation),
			number:       C.uint64_t(comparison.number),
		})
		area = append(append(area, comparison.key...), comparison.value...)
	}
	operations := append(append([]Operation(nil), txn.Then...), txn.Else...)
	operationArea, given := flatten(operations, func(int) uint64 { return 0 })
	counts := C.trimtab_go_txn{
		comparisons: C.size_t(len(compared)),
		then:        C.size_t(len(txn.Then)),
		otherwise:   C.size_t(len(txn.Else)),
	}
	if txn.Continue {
		counts.continues = 1
	}
	how := call.native()
	data, _ := bytes(area)
	operationData, _ := bytes(operationArea)
	result := C.trimtab_go_queue_submit_txn(&n.gate, n.queue.queue, &counts, data, unsafe.SliceData(compared),
		operationData, unsafe.SliceData(given), &how, C.uint64_t(userData))
	return failureOf("store", kindTxn.String(), result)
}

// take takes what is done, without waiting.
func (n nativeQueue) take(done []nativeDone) int {
	return int(C.trimtab_go_queue_take(n.queue, (*C.trimtab_go_outcome)(unsafe.Pointer(unsafe.SliceData(done))),
		C.size_t(len(done))))
}

// cancel takes back what only waits and is not done; false when there is none. No gate guards it: whoever calls it sees to it
// that the queue is there.
func (n nativeQueue) cancel(userData uint64) bool {
	return C.trimtab_go_queue_cancel(n.queue, C.uint64_t(userData)) != 0
}

// nativeClosed is what came of what the end of the store has ended.
func nativeClosed() nativeDone {
	return nativeDone{C.trimtab_go_outcome{failed: C.trimtab_go_result{status: C.TRIMTAB_E_CLOSED}}}
}

func (d *nativeDone) userData() uint64 {
	return uint64(d.done.user_data)
}

// free is for what nobody wants to know.
func (d *nativeDone) free() {
	C.trimtab_go_answer_free(d.done.answer)
	C.free(unsafe.Pointer(d.done.failed.text))
}

// read gives what came of an operation.
func (d *nativeDone) read(operation string) (Result, error) {
	if err := failureOf("store", operation, d.done.failed); err != nil {
		return Result{}, err
	}
	result := resultOf(&d.done.result)
	if d.done.answer != nil {
		result.Entries = entriesOf(d.done.answer, -1, d.done.result.entries)
		C.trimtab_go_answer_free(d.done.answer)
	}
	return result, nil
}

// readSteps gives what came of a transaction of so many steps at most.
func (d *nativeDone) readSteps(operation string, max int) (TxnResult, error) {
	if err := failureOf("store", operation, d.done.failed); err != nil {
		return TxnResult{}, err
	}
	answer := d.done.answer
	defer C.trimtab_go_answer_free(answer)
	txn := TxnResult{Result: resultOf(&d.done.result)}
	if txn.Count > uint64(max) {
		return TxnResult{}, &Error{
			Code:      CodeState,
			Operation: operation,
			Detail:    "the request was used for another operation before, and this is its answer; count its number up",
		}
	}
	txn.Steps = make([]Answer, txn.Count)
	for at := range txn.Steps {
		var step C.trimtab_go_outcome
		C.trimtab_go_answer_step(answer, C.uint64_t(at), &step)
		if err := failureOf("store", "step", step.failed); err != nil {
			txn.Steps[at].Err = err
			continue
		}
		txn.Steps[at].Result = resultOf(&step.result)
		if step.result.entries != 0 {
			txn.Steps[at].Entries = entriesOf(answer, at, step.result.entries)
		}
	}
	return txn, nil
}

func resultOf(read *C.trimtab_store_result) Result {
	return Result{
		Done:       read.is_done != 0,
		Repeated:   read.is_repeated != 0,
		More:       read.more != 0,
		Durability: Durability(read.durability),
		Sequence:   uint64(read.sequence),
		Version:    uint64(read.version),
		Number:     int64(read.number),
		Count:      uint64(read.count),
		Deadline:   momentOf(uint64(read.deadline_ms)),
		Nodes:      uint32(read.nodes),
		Degraded:   read.is_degraded != 0,
		Position:   Position{Epoch: uint64(read.epoch), Entry: uint64(read.entry)},
	}
}

// entriesOf copies entries of an answer, or of a step of it, into Go's memory.
func entriesOf(answer *C.trimtab_store_answer, step int, count C.uint64_t) []Entry {
	entries := make([]Entry, 0, count)
	var batch [32]C.trimtab_store_entry
	for len(entries) < int(count) {
		got := C.trimtab_go_answer_entries(answer, C.int64_t(step), C.uint64_t(len(entries)), &batch[0],
			C.size_t(min(len(batch), int(count)-len(entries))))
		if got == 0 {
			break
		}
		for at := range batch[:got] {
			entries = append(entries, entryOf(&batch[at]))
		}
	}
	return entries
}

func entryOf(read *C.trimtab_store_entry) Entry {
	entry := Entry{
		Version:  uint64(read.version),
		Created:  uint64(read.created),
		Changes:  uint64(read.changes),
		Deadline: momentOf(uint64(read.deadline_ms)),
		Lease:    LeaseID(read.lease),
	}
	entry.Key, entry.Value = pairOf(read.key, uintptr(read.key_len), read.value, uintptr(read.value_len))
	return entry
}

// pairOf copies key and value, which share one piece of memory then; a key of NULL is nil.
func pairOf(key unsafe.Pointer, keyLength uintptr, value unsafe.Pointer, valueLength uintptr) ([]byte, []byte) {
	pair := make([]byte, keyLength+valueLength)
	copy(pair, unsafe.Slice((*byte)(key), keyLength))
	copy(pair[keyLength:], unsafe.Slice((*byte)(value), valueLength))
	if key == nil {
		return nil, pair
	}
	return pair[:keyLength:keyLength], pair[keyLength:]
}
