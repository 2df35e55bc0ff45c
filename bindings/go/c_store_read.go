package trimtab

/*
#cgo noescape trimtab_go_store_get_copy
#cgo nocallback trimtab_go_store_get_copy
#cgo noescape trimtab_go_store_get
#cgo nocallback trimtab_go_store_get
#cgo noescape trimtab_go_got_free
#cgo nocallback trimtab_go_got_free
#cgo noescape trimtab_go_store_outcome
#cgo nocallback trimtab_go_store_outcome
#cgo noescape trimtab_go_store_count
#cgo nocallback trimtab_go_store_count
#cgo noescape trimtab_go_batch_new
#cgo nocallback trimtab_go_batch_new
#cgo noescape trimtab_go_batch_free
#cgo nocallback trimtab_go_batch_free
#cgo noescape trimtab_go_store_scan
#cgo nocallback trimtab_go_store_scan
#cgo noescape trimtab_go_scan_next
#cgo nocallback trimtab_go_scan_next
#cgo noescape trimtab_go_scan_free
#cgo nocallback trimtab_go_scan_free
#cgo noescape trimtab_go_store_watch
#cgo nocallback trimtab_go_store_watch
#cgo noescape trimtab_go_watch_next
#cgo nocallback trimtab_go_watch_next
#cgo noescape trimtab_go_watch_sequence
#cgo nocallback trimtab_go_watch_sequence
#cgo noescape trimtab_go_watch_free
#cgo nocallback trimtab_go_watch_free

#include "c_store_read.h"
*/
import "C"

import (
	"os"
	"unsafe"
)

// copyValue copies what a key has into buffer, as much as fits; tells how long it is, and its version.
func (n *nativeStore) copyValue(key, buffer []byte) (int, uint64, error) {
	var found C.trimtab_go_found
	keyData, keyLength := bytes(key)
	data, size := bytes(buffer)
	C.trimtab_go_store_get_copy(&n.gate, n.store, keyData, keyLength, data, size, &found)
	if found.status != C.TRIMTAB_OK {
		return 0, 0, failureOf("store", opGet, C.trimtab_go_result{
			status: found.status,
			text:   *(**C.char)(unsafe.Pointer(&found.failed.text)),
			length: found.failed.length,
		})
	}
	return int(found.length), uint64(found.version), nil
}

func (n *nativeStore) outcome(request Request, timeoutMS int64) (RequestOutcome, error) {
	client, _ := bytes(request.Client[:])
	told := C.trimtab_go_store_outcome(&n.gate, n.store, client, C.uint64_t(request.Number), C.int64_t(timeoutMS))
	// Null is fine.
	defer C.trimtab_go_got_free(told.answer)
	if err := failureOf("store", opOutcome, told.result); err != nil {
		return RequestOutcome{}, err
	}
	outcome := RequestOutcome{State: RequestState(told.state)}
	if told.answer != nil {
		outcome.Result = resultOf(&told.read)
		if told.read.entries != 0 {
			outcome.Result.Entries = entriesOf(told.answer, -1, told.read.entries)
		}
	}
	return outcome, nil
}

func (n *nativeStore) entry(key []byte) (Entry, error) {
	data, length := bytes(key)
	got := C.trimtab_go_store_get(&n.gate, n.store, data, length)
	// Null is fine.
	defer C.trimtab_go_got_free(got.answer)
	if err := failureOf("store", opGet, got.result); err != nil {
		return Entry{}, err
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
	return entry, nil
}

func (n *nativeStore) count(keys KeyRange) (uint64, error) {
	start, startLength := bytes(keys.start)
	end, endLength := bytes(keys.end)
	count := C.trimtab_go_store_count(&n.gate, n.store, C.int32_t(keys.number()), start, startLength, end, endLength)
	return uint64(count.number), failureOf("store", opCount, count.result)
}

// nativeBatch is what one crossing brought.
type nativeBatch struct {
	batch *C.trimtab_go_batch
}

func newNativeBatch(operation string) (nativeBatch, error) {
	batch := C.trimtab_go_batch_new()
	if batch == nil {
		return nativeBatch{}, &Error{Code: CodeIO, Operation: operation, Detail: "no memory"}
	}
	return nativeBatch{batch}, nil
}

func (b nativeBatch) count() int {
	return int(b.batch.count)
}

func (b nativeBatch) pair(item *C.trimtab_go_item) ([]byte, []byte) {
	length := uintptr(item.key_length + item.value_length)
	if length == 0 {
		return []byte{}, []byte{}
	}
	key := unsafe.Add(unsafe.Pointer(b.batch.bytes), item.at)
	return pairOf(key, uintptr(item.key_length), unsafe.Add(key, item.key_length), uintptr(item.value_length))
}

func (b nativeBatch) entry(at int) Entry {
	item := &b.batch.items[at]
	entry := Entry{
		Version:  uint64(item.version),
		Created:  uint64(item.created),
		Changes:  uint64(item.changes),
		Deadline: momentOf(uint64(item.deadline_ms)),
		Lease:    LeaseID(item.lease),
	}
	entry.Key, entry.Value = b.pair(item)
	return entry
}

func (b nativeBatch) change(at int) Change {
	item := &b.batch.items[at]
	change := Change{
		Kind:     ChangeKind(item.kind),
		Sequence: uint64(item.version),
		Created:  uint64(item.created),
		More:     item.more != 0,
	}
	change.Key, change.Value = b.pair(item)
	if item.has_value == 0 {
		change.Value = nil
	}
	return change
}

// sequence is where a watch stood before the first change of it.
func (b nativeBatch) sequence() uint64 {
	return uint64(b.batch.sequence)
}

// nativeScan is a scan on the other side, which no store's gate guards: it outlives the store.
type nativeScan struct {
	scan     *C.trimtab_store_scan
	sequence uint64
	batch    nativeBatch
}

func (n *nativeStore) scan(keys KeyRange, limit uint64, isReverse bool) (nativeScan, error) {
	batch, err := newNativeBatch(opScan)
	if err != nil {
		return nativeScan{}, err
	}
	start, startLength := bytes(keys.start)
	end, endLength := bytes(keys.end)
	reverse := C.int32_t(0)
	if isReverse {
		reverse = 1
	}
	made := C.trimtab_go_store_scan(&n.gate, n.store, C.int32_t(keys.number()), start, startLength, end, endLength,
		C.uint64_t(limit), reverse)
	scan := nativeScan{scan: made.scan, sequence: uint64(made.sequence), batch: batch}
	if err := failureOf("store", opScan, made.result); err != nil {
		scan.free()
		return nativeScan{}, err
	}
	return scan, nil
}

// next gets the next batch.
func (s nativeScan) next() error {
	return failureOf("store", opScan, C.trimtab_go_scan_next(s.scan, s.batch.batch))
}

func (s nativeScan) free() {
	C.trimtab_go_scan_free(s.scan)
	C.trimtab_go_batch_free(s.batch.batch)
}

// nativeWatch is a watch on the other side, which no store's gate guards: it outlives the store.
type nativeWatch struct {
	watch *C.trimtab_store_watch
	batch nativeBatch
}

func (n *nativeStore) watch(keys KeyRange, from uint64) (nativeWatch, *os.File, error) {
	batch, err := newNativeBatch(opWatch)
	if err != nil {
		return nativeWatch{}, nil, err
	}
	start, startLength := bytes(keys.start)
	end, endLength := bytes(keys.end)
	made := C.trimtab_go_store_watch(&n.gate, n.store, C.int32_t(keys.number()), start, startLength, end, endLength,
		C.uint64_t(from))
	watch := nativeWatch{watch: made.watch, batch: batch}
	var file *os.File
	err = failureOf("store", opWatch, made.result)
	if err == nil {
		file, err = pollFileOf(opWatch, made.descriptor)
	}
	if err != nil {
		watch.free()
		return nativeWatch{}, nil, err
	}
	return watch, file, nil
}

// next gets the next batch, without waiting.
func (w nativeWatch) next() error {
	return failureOf("store", opWatch, C.trimtab_go_watch_next(w.watch, w.batch.batch))
}

func (w nativeWatch) sequence() (uint64, error) {
	sequence := C.trimtab_go_watch_sequence(w.watch)
	return uint64(sequence.number), failureOf("store", opWatch, sequence.result)
}

func (w nativeWatch) free() {
	C.trimtab_go_watch_free(w.watch)
	C.trimtab_go_batch_free(w.batch.batch)
}
