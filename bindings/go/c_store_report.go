package trimtab

/*
#cgo noescape trimtab_go_store_report
#cgo nocallback trimtab_go_store_report
#cgo noescape trimtab_go_store_found_text
#cgo nocallback trimtab_go_store_found_text

#include "c_store_report.h"
*/
import "C"

import "time"

func (n *nativeStore) report() (StoreReport, error) {
	found := C.trimtab_go_store_report(&n.gate, n.store)
	if err := failureOf("store", "report", found.result); err != nil {
		return StoreReport{}, err
	}
	read := &found.report
	report := StoreReport{
		Closed:   read.is_closed != 0,
		Segments: uint64(read.segments),
		Records:  uint64(read.records),
		Bytes:    uint64(read.bytes),
		First:    uint64(read.first),
		Last:     uint64(read.last),
		Snapshot: uint64(read.snapshot),
		Replayed: uint64(read.replayed),
		Ahead:    time.Duration(read.ahead_ms) * time.Millisecond,
	}
	if read.is_torn != 0 {
		file, err := n.foundText(C.TRIMTAB_GO_TORN_FILE)
		if err != nil {
			return StoreReport{}, err
		}
		report.Torn = &TornTail{File: file, Offset: uint64(read.torn_offset), Bytes: uint64(read.torn_bytes)}
	}
	if read.covered_segments != 0 {
		file, err := n.foundText(C.TRIMTAB_GO_COVERED_FILE)
		if err != nil {
			return StoreReport{}, err
		}
		report.Covered = &CoveredDamage{
			File: file, Offset: uint64(read.covered_offset), Segments: uint64(read.covered_segments),
		}
	}
	if read.settings_refused != C.TRIMTAB_OK {
		detail, err := n.foundText(C.TRIMTAB_GO_REFUSED)
		if err != nil {
			return StoreReport{}, err
		}
		report.SettingsRefused = &Error{Code: Code(read.settings_refused), Operation: "settings", Detail: detail}
	}
	return report, nil
}

func (n *nativeStore) foundText(which C.int) (string, error) {
	found := C.trimtab_go_store_found_text(&n.gate, n.store, which)
	if err := failureOf("store", "report", found); err != nil || found.text == nil {
		return "", err
	}
	return take(found.text, found.length), nil
}
