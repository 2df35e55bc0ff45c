package trimtab

/*
#cgo noescape trimtab_go_store_backup
#cgo nocallback trimtab_go_store_backup
#cgo noescape trimtab_go_backup_closed
#cgo nocallback trimtab_go_backup_closed
#cgo noescape trimtab_go_backup_verify
#cgo nocallback trimtab_go_backup_verify
#cgo noescape trimtab_go_restore
#cgo nocallback trimtab_go_restore
#cgo noescape trimtab_go_store_damage
#cgo nocallback trimtab_go_store_damage

#include "c_store_backup.h"
*/
import "C"

// backup holds a thread until it is done or the store is closed.
func (n *nativeStore) backup(to string, isFull bool) (BackupReport, error) {
	data, length := text(to)
	return reportOf("backup", C.trimtab_go_store_backup(&n.gate, n.store, data, length, flagOf(isFull)))
}

func backupClosed(from, to string, isFull bool) (BackupReport, error) {
	data, length := text(from)
	toData, toLength := text(to)
	return reportOf("backup closed", C.trimtab_go_backup_closed(data, length, toData, toLength, flagOf(isFull)))
}

func backupVerify(path string) (BackupReport, error) {
	data, length := text(path)
	return reportOf("verify backup", C.trimtab_go_backup_verify(data, length))
}

func reportOf(operation string, backup C.trimtab_go_backup) (BackupReport, error) {
	if err := failureOf("store", operation, backup.result); err != nil {
		return BackupReport{}, err
	}
	read := &backup.report
	return BackupReport{
		Stretches:     int(read.stretches),
		FirstSequence: uint64(read.first_sequence),
		LastSequence:  uint64(read.last_sequence),
		First:         momentOf(uint64(read.first_ms)),
		Last:          momentOf(uint64(read.last_ms)),
		TotalBytes:    uint64(read.total_bytes),
		Bytes:         uint64(read.bytes),
		Entries:       uint64(read.entries),
		Snapshot:      uint64(read.snapshot),
	}, nil
}

// Where to go back to.
const (
	restoreEnd      = C.TRIMTAB_RESTORE_END
	restoreSequence = C.TRIMTAB_RESTORE_SEQUENCE
	restoreTime     = C.TRIMTAB_RESTORE_TIME
)

func restore(backup, to string, point int32, at uint64, sameIdentity bool) (Restored, error) {
	data, length := text(backup)
	toData, toLength := text(to)
	made := C.trimtab_go_restore(data, length, toData, toLength, C.int32_t(point), C.uint64_t(at), flagOf(sameIdentity))
	if err := failureOf("store", "restore", made.result); err != nil {
		return Restored{}, err
	}
	read := &made.restored
	restored := Restored{
		Sequence: uint64(read.sequence),
		Time:     momentOf(uint64(read.clock_ms)),
		Snapshot: uint64(read.snapshot),
		Entries:  uint64(read.entries),
		Identity: StoreIdentity{Node: uint64(read.node)},
	}
	for at, value := range read.cluster {
		restored.Identity.Cluster[at] = byte(value)
	}
	return restored, nil
}

// damage gives the words for what was found damaged last; none when a later pass has found all good.
func (n *nativeStore) damage() (string, error) {
	found := C.trimtab_go_store_damage(&n.gate, n.store)
	if err := failureOf("store", "status", found); err != nil || found.text == nil {
		return "", err
	}
	return take(found.text, found.length), nil
}

func flagOf(is bool) C.int32_t {
	if is {
		return 1
	}
	return 0
}
