package trimtab

/*
#cgo noescape trimtab_go_observe
#cgo nocallback trimtab_go_observe
#cgo noescape trimtab_go_set_rate
#cgo nocallback trimtab_go_set_rate
#cgo noescape trimtab_go_set_observed
#cgo nocallback trimtab_go_set_observed
#cgo noescape trimtab_go_retry_begin
#cgo nocallback trimtab_go_retry_begin
#cgo noescape trimtab_go_retry_end
#cgo nocallback trimtab_go_retry_end
#cgo noescape trimtab_go_may_retry
#cgo nocallback trimtab_go_may_retry
#cgo noescape trimtab_go_want
#cgo nocallback trimtab_go_want

#include "c_failure.h"
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// observe has the pool's events put into the mailbox.
func observe(pool unsafe.Pointer, box mailbox) error {
	return failure("new pool", C.trimtab_go_observe((*C.trimtab_pool)(pool), box.box))
}

func (n *native) setConnectionRate(id BackendID, rate, burst uint32) error {
	result := C.trimtab_go_set_rate(&n.gate, n.pool, C.uint64_t(id), C.uint32_t(rate), C.uint32_t(burst))
	runtime.KeepAlive(n)
	return failure("set connection rate", result)
}

func (n *native) setObservedWith(id BackendID, state ObservedState, reason string, now Instant) error {
	data, length := text(reason)
	result := C.trimtab_go_set_observed(&n.gate, n.pool, C.uint64_t(id), C.int32_t(state), data, length,
		C.uint64_t(now))
	runtime.KeepAlive(n)
	return failure("set observed", result)
}

func (n *native) retryBegin(now Instant) (Retry, error) {
	begun := C.trimtab_go_retry_begin(&n.gate, n.pool, C.uint64_t(now))
	runtime.KeepAlive(n)
	return Retry(begun.number), failure("begin a retry", begun.result)
}

func (n *native) retryEnd(retry Retry) error {
	result := C.trimtab_go_retry_end(&n.gate, n.pool, C.uint64_t(retry))
	runtime.KeepAlive(n)
	return failure("end a retry", result)
}

func (n *native) mayRetry(now Instant) (bool, error) {
	may := C.trimtab_go_may_retry(&n.gate, n.pool, C.uint64_t(now))
	runtime.KeepAlive(n)
	return may.number != 0, failure("may retry", may.result)
}

func (n *native) want(isOver bool) error {
	operation, over := "try want", C.int(0)
	if isOver {
		operation, over = "unwant", 1
	}
	result := C.trimtab_go_want(&n.gate, n.pool, over)
	runtime.KeepAlive(n)
	return failure(operation, result)
}
