package trimtab

/*
#cgo noescape trimtab_go_check_new
#cgo nocallback trimtab_go_check_new
#cgo noescape trimtab_go_check_free
#cgo nocallback trimtab_go_check_free
#cgo noescape trimtab_go_take_step
#cgo nocallback trimtab_go_take_step
#cgo noescape trimtab_go_tell_check
#cgo nocallback trimtab_go_tell_check
#cgo noescape trimtab_go_check_status
#cgo nocallback trimtab_go_check_status

#include "c_check.h"
*/
import "C"

import (
	"time"
	"unsafe"
)

// nativeCheck is a check on the other side.
type nativeCheck struct {
	check *C.trimtab_check
}

// What a check is told.
const (
	tellConnected = C.TRIMTAB_GO_CONNECTED
	tellWritten   = C.TRIMTAB_GO_WRITTEN
	tellBytes     = C.TRIMTAB_GO_BYTES
	tellEnd       = C.TRIMTAB_GO_END
	tellFailed    = C.TRIMTAB_GO_FAILED
	tellAbandoned = C.TRIMTAB_GO_ABANDONED
	tellSuspicion = C.TRIMTAB_GO_SUSPICION
)

func newNativeCheck(config, address string, now Instant) (nativeCheck, string, error) {
	configData, configLength := text(config)
	addressData, addressLength := text(address)
	made := C.trimtab_go_check_new(configData, configLength, addressData, addressLength, C.uint64_t(now))
	if err := failureOf("check", "new check", made.result); err != nil {
		return nativeCheck{}, "", err
	}
	return nativeCheck{made.check}, take(made.result.text, made.result.length), nil
}

func (n nativeCheck) free() {
	C.trimtab_go_check_free(n.check)
}

func (n nativeCheck) takeStep(now Instant) (CheckStep, error) {
	taken := C.trimtab_go_take_step(n.check, C.uint64_t(now))
	if err := failureOf("check", "take step", taken.result); err != nil {
		return CheckStep{}, err
	}
	step := CheckStep{Kind: StepKind(taken.kind), Deadline: Instant(taken.deadline_ns)}
	if step.Deadline == never {
		step.Deadline = 0
	}
	if taken.result.text != nil {
		step.Data = C.GoBytes(unsafe.Pointer(taken.result.text), C.int(taken.result.length))
		C.free(unsafe.Pointer(taken.result.text))
	}
	return step, nil
}

func (n nativeCheck) tell(what C.int, data []byte, length int, now Instant) error {
	first, _ := bytes(data)
	result := C.trimtab_go_tell_check(n.check, what, first, C.size_t(length), C.uint64_t(now))
	return failureOf("check", "tell a check", result)
}

func (n nativeCheck) status() (CheckState, error) {
	standing := C.trimtab_go_check_status(n.check)
	if err := failureOf("check", "check status", standing.result); err != nil {
		return CheckState{}, err
	}
	status := &standing.status
	state := CheckState{
		Observed:   ObservedState(status.observed),
		Since:      Instant(status.since_ns),
		GoodInARow: uint32(status.good_in_a_row),
		BadInARow:  uint32(status.bad_in_a_row),
		Probes:     uint64(status.probes),
		Failed:     uint64(status.failed),
		Role:       Role(status.role),
		Reason:     take(standing.result.text, standing.result.length),
		Failure:    take(standing.failure, standing.failure_length),
	}
	if Instant(status.lag_ns) != never {
		state.Lag = Ptr(time.Duration(status.lag_ns))
	}
	if Instant(status.lag_bytes) != never {
		state.LagBytes = Ptr(uint64(status.lag_bytes))
	}
	if status.ordered_admin != C.TRIMTAB_NOT_ORDERED {
		state.OrderedAdmin = Ptr(AdminState(status.ordered_admin))
	}
	if status.ordered_weight_percent != C.TRIMTAB_NOT_ORDERED {
		state.OrderedWeightPercent = Ptr(uint32(status.ordered_weight_percent))
	}
	if status.ordered_maxconn != C.TRIMTAB_NOT_ORDERED {
		state.OrderedMaxconn = Ptr(uint32(status.ordered_maxconn))
	}
	return state, nil
}
