package trimtab

import (
	"context"
	"runtime"
	"time"
)

// BackupOptions is how to take a backup. The zero value is the default.
type BackupOptions struct {
	// Full begins anew with a snapshot, so that restoring is quick. Of a directory that nobody has open, that is the
	// last one there is, if it is newer than the backup.
	Full bool
}

// BackupReport is what a backup holds, and what was added to it.
type BackupReport struct {
	Stretches     int       // into how many it falls, between which something is missing; 0: it holds nothing
	FirstSequence uint64    // of the first entry of the last stretch that can be gone back to
	LastSequence  uint64    // of the last entry
	First         time.Time // the earliest time of the last stretch; zero: it holds nothing
	Last          time.Time // the latest
	TotalBytes    uint64    // of all its files
	Bytes         uint64    // that were added
	Entries       uint64    // that were added
	Snapshot      uint64    // the sequence of the snapshot that was added; 0: none
}

// RestoreOptions is how to restore a backup: to the last that it holds, or to one of Sequence and Time.
type RestoreOptions struct {
	// Sequence is the entry after which it is to be as it was then, see Ptr. Default nil.
	Sequence *uint64
	// Time is the time, by the store's clock, at which it is to be as it was then, to the millisecond. Default zero.
	Time time.Time
	// SameIdentity keeps the identity of the store that was backed up, which must then never be opened again; refused
	// for one that has replicated. Default false: it is node 1 of a new cluster, and nobody takes it for what it was.
	SameIdentity bool
}

// Restored is what was restored.
type Restored struct {
	Sequence uint64    // of the last entry of the restored store
	Time     time.Time // when that was written
	Snapshot uint64    // the sequence of the snapshot it begins with; 0: none
	Entries  uint64    // how many entries came on top of that
	Identity StoreIdentity
}

// Backup backs the store up to a directory, beside everything else: all of it, or what came since the last time if a
// backup is there already. All that was answered before the call is in it. If it stops midway the backup is as it was
// before. The directory is made if it is not there. It holds a thread, and waits for as long as ctx allows, also without
// a deadline; when ctx is done first it returns ctx.Err(), and the backup goes on until it is done or the store is
// closed.
//
// ErrState when another is adding to the backup, and when the store is behind it or has gone another way since;
// ErrInvalidArgument when there is something else in the directory or a backup of another store; ErrCorrupt when what is
// read is damaged: the detail says where; ErrTimedOut, ErrIO.
func (s *Store) Backup(ctx context.Context, to string, options BackupOptions) (BackupReport, error) {
	defer runtime.KeepAlive(s)
	core, err := s.live("backup")
	if err != nil {
		return BackupReport{}, err
	}
	report, err := aside(ctx, func() (BackupReport, error) {
		core.stays.begin()
		defer core.stays.end()
		return core.native.backup(to, options.Full)
	})
	return report, core.closedNow(err)
}

// BackupClosed backs up a store that nobody has open, else as Store.Backup. Its directory is not changed. ErrState also
// when somebody has the store open, ErrNotFound when there is no store.
func BackupClosed(ctx context.Context, from, to string, options BackupOptions) (BackupReport, error) {
	return aside(ctx, func() (BackupReport, error) { return backupClosed(from, to, options.Full) })
}

// VerifyBackup reads all of a backup, and tells what it holds. It waits as Store.Backup does.
//
// ErrNotFound when there is none; ErrCorrupt when it is damaged: the detail says which file, and where; ErrUnsupported
// when a later release wrote it; ErrIO.
func VerifyBackup(ctx context.Context, backup string) (BackupReport, error) {
	return aside(ctx, func() (BackupReport, error) { return backupVerify(backup) })
}

// Restore makes a store in a directory of a backup. Nothing may be in the directory but what an earlier restore left that
// did not come to its end; until this has, nobody opens it. It waits as Store.Backup does; when ctx is done first, the
// restore goes on.
//
// ErrInvalidArgument when there is something in the directory, for a point that the backup does not hold (the detail says
// what it holds), and for the identity of a store that has replicated; ErrNotFound when there is no backup; ErrCorrupt
// when it is damaged; ErrUnsupported when a later release wrote it; ErrIO. The directory is as it was before then.
func Restore(ctx context.Context, backup, to string, options RestoreOptions) (Restored, error) {
	point, at := int32(restoreEnd), uint64(0)
	switch {
	case options.Sequence != nil && !options.Time.IsZero():
		return Restored{}, &Error{
			Code:      CodeInvalidArgument,
			Operation: "restore",
			Detail:    "invalid options: of Sequence and Time only one can be asked for",
		}
	case options.Sequence != nil:
		point, at = restoreSequence, *options.Sequence
	case !options.Time.IsZero():
		// In whole milliseconds, rounded down.
		point, at = restoreTime, unixMilliseconds(options.Time.Truncate(time.Millisecond))
	}
	return aside(ctx, func() (Restored, error) { return restore(backup, to, point, at, options.SameIdentity) })
}

// Scrub has all that lies on the store's disk read again now, at ScrubBytesPerSecond, and waits for it. The store does so
// by itself, see ScrubInterval; Status tells what was found. When something has rotted a snapshot is written of what is
// in memory, which is right, and stands for all that is older. When ctx is done first it returns ctx.Err(), and that
// goes on.
//
// ErrCorrupt when something is damaged: the detail says which file, and where; ErrIO when something cannot be read.
func (s *Store) Scrub(ctx context.Context) error {
	_, err := s.waitFor(ctx, "scrub", func(core *storeCore) *rounds { return &core.scrubs })
	return err
}

// asidesMax is how many calls that hold a thread each are made at once, of all stores: backups, and changes of a cluster. More wait
// until one is over, also one that nobody waits for any more, for as long as their context allows.
const asidesMax = 64

var asides = make(chan struct{}, asidesMax)

// aside has a call that holds a thread made beside, and waits for as long as ctx allows.
func aside[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	select {
	case asides <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	over := make(chan outcome, 1)
	go func() {
		defer func() { <-asides }()
		value, err := call()
		over <- outcome{value, err}
	}()
	select {
	case came := <-over:
		if came.err != nil {
			// Its time was the context's: whichever was looked at first, that is what ended it.
			if err := overOf(ctx); err != nil {
				return none, err
			}
		}
		return came.value, came.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// overOf is the error of a context whose time is over, also where it has not noticed yet.
func overOf(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, has := ctx.Deadline(); has && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}
