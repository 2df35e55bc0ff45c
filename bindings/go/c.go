package trimtab

// Everything that touches C stands in c.go, c.h, c_*.go and c_*.h: the imports of "C", the wrappers and the
// functions that call them. Here is what all share; a handle has a pair of files of its own.
//
// A goroutine may find itself on another thread after a call into C, and trimtab keeps the detail of a
// failure per thread. So each wrapper fetches the detail itself, within the one crossing. Nothing here
// calls back into Go (nocallback) or keeps what it is passed (noescape): arguments stay on the
// goroutine's stack and a pick allocates nothing.

/*
#cgo !trimtab_shared CFLAGS: -I${SRCDIR}/../../include
#cgo !trimtab_shared,linux,amd64 LDFLAGS: -L${SRCDIR}/lib/linux_amd64 -l:libtrimtab.a -lm -ldl -lpthread
#cgo !trimtab_shared,linux,arm64 LDFLAGS: -L${SRCDIR}/lib/linux_arm64 -l:libtrimtab.a -lm -ldl -lpthread
#cgo trimtab_shared pkg-config: trimtab

#cgo noescape trimtab_go_shut
#cgo nocallback trimtab_go_shut
#cgo noescape trimtab_go_busy
#cgo nocallback trimtab_go_busy
#cgo noescape trimtab_go_feature
#cgo nocallback trimtab_go_feature
#cgo noescape trimtab_go_version
#cgo nocallback trimtab_go_version
#cgo noescape trimtab_go_status_name
#cgo nocallback trimtab_go_status_name

#include "c.h"

// The library.

static trimtab_go_number trimtab_go_feature(const char *name, size_t name_length) {
    trimtab_go_number has = {0};
    int32_t value = 0;
    has.result = trimtab_go_result_of(trimtab_feature_has(trimtab_go_str(name, name_length), &value));
    has.number = value != 0;
    return has;
}

static size_t trimtab_go_version(char *buffer, size_t size) {
    size_t length = 0;
    if (trimtab_version_copy(buffer, size, &length) != TRIMTAB_OK) return 0;
    return length < size ? length : size - 1;
}

static size_t trimtab_go_status_name(trimtab_status status, char *buffer, size_t size) {
    size_t length = 0;
    if (trimtab_status_name_copy(status, buffer, size, &length) != TRIMTAB_OK) return 0;
    return length < size ? length : size - 1;
}
*/
import "C"

import (
	"runtime"
	"time"
	"unsafe"
)

// archiveSum is set by the file that build-archive.sh writes beside the archive. The go command does not
// look into an archive for changes; it sees this one, and links anew.
var archiveSum string

// closeGate lets nobody in any more.
func closeGate(gate *C.trimtab_go_gate) {
	C.trimtab_go_shut(gate)
}

// shut lets nobody in any more and returns when everybody is out. No call stays inside for long.
func shut(gate *C.trimtab_go_gate) {
	closeGate(gate)
	lane := C.uint32_t(0)
	for tries := 0; ; tries++ {
		if lane = C.trimtab_go_busy(gate, lane); lane == C.TRIMTAB_GO_GATE_LANES {
			return
		}
		if tries < 100 {
			runtime.Gosched()
		} else {
			time.Sleep(50 * time.Microsecond)
		}
	}
}

func version() string {
	var buffer [64]byte
	length := C.trimtab_go_version((*C.char)(unsafe.Pointer(&buffer)), C.size_t(len(buffer)))
	return string(buffer[:length])
}

func abiVersion() uint32 {
	return uint32(C.trimtab_abi_version())
}

func hasFeature(name string) (bool, error) {
	data, length := text(name)
	has := C.trimtab_go_feature(data, length)
	return has.number != 0, failure("has feature", has.result)
}

func statusName(code Code) string {
	var buffer [64]byte
	length := C.trimtab_go_status_name(C.trimtab_status(code), (*C.char)(unsafe.Pointer(&buffer)),
		C.size_t(len(buffer)))
	return string(buffer[:length])
}

// failure turns what a call came to into an error, nil for none, and frees its text in that case.
func failure(operation string, result C.trimtab_go_result) error {
	return failureOf("pool", operation, result)
}

// failureOf is failure for a call on another handle than a pool.
func failureOf(handle, operation string, result C.trimtab_go_result) error {
	if result.status == C.TRIMTAB_OK {
		return nil
	}
	err := &Error{Code: Code(result.status), Operation: operation}
	switch {
	case result.text != nil:
		err.Detail = take(result.text, result.length)
	case err.Code == CodeClosed:
		err.Detail = "the " + handle + " is closed"
	}
	return err
}

// take makes a C text into a string and frees it.
func take(data *C.char, length C.size_t) string {
	defer C.free(unsafe.Pointer(data))
	return C.GoStringN(data, C.int(length))
}

func text(s string) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.StringData(s))), C.size_t(len(s))
}

func bytes(b []byte) (*C.uint8_t, C.size_t) {
	return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(b))), C.size_t(len(b))
}
