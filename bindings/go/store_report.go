package trimtab

import (
	"runtime"
	"time"
)

// StoreReport is what opening a store found.
type StoreReport struct {
	Closed   bool   // the store had been closed in order; not if it is new
	Segments uint64 // how many hold records
	Records  uint64 // how many they hold
	Bytes    uint64 // of these
	First    uint64 // the first entry of the log that can be read; 0: there is none
	Last     uint64 // the last entry, whether in the log or only in the snapshot; 0: there is none
	Snapshot uint64 // the snapshot's sequence; 0: there is none
	Replayed uint64 // entries that were applied on top of the snapshot
	// Torn is a batch that never became durable and was cut off; nil: there was none.
	Torn *TornTail
	// Covered is damage in segments that the snapshot stands for: they were left out, and nothing is lost; nil: there was none.
	Covered *CoveredDamage
	// Ahead is by how much the latest time in the store was ahead of the clock, to the millisecond: until the clock has
	// come there, time stands still in the store.
	Ahead time.Duration
	// SettingsRefused is why the settings asked for (MemoryMax, ValueMax, OperationsMax, ClientsMax, ClientBytesMax) are
	// not in force, and those of before are; nil when they are.
	SettingsRefused error
}

// TornTail is where the log of a store was cut off. Nobody was told that what was there is durable.
type TornTail struct {
	File   string // the segment
	Offset uint64 // the byte of it where the log ends now
	Bytes  uint64 // how many behind that were recognised as the batch's
}

// CoveredDamage is damage that costs nothing, since a snapshot stands for all that was there.
type CoveredDamage struct {
	File     string // the first segment that is damaged
	Offset   uint64 // the byte of it where the damage is
	Segments uint64 // how many were left out
}

// Report tells what opening the store found. It does not change, and can be asked when the store is closed too.
func (s *Store) Report() (StoreReport, error) {
	defer runtime.KeepAlive(s)
	core, err := s.live("report")
	if err != nil {
		return StoreReport{}, err
	}
	return core.report()
}
