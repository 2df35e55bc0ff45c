package trimtab

import "time"

// PoolStatistics is what a pool counted. Reading stops nobody, so under load the figures may differ by
// what happened in between.
type PoolStatistics struct {
	Backends uint32 // in the pool
	Serving  uint32 // those that may be picked now
	Picks    uint64 // made of the backends now in the pool
	InFlight uint64 // of these, not reported done
	Refused  uint64 // picks that found no backend
	Limit    uint32 // the most picks in flight now: Maxconn, or a lower one found by response times; 0 for none
	Panic    bool   // whether a tier serves whatever is observed of its backends
	Pending  uint64 // how many wait for a place
	Retries  uint32 // in flight
	Ejected  uint32 // backends that are ejected now

	RetriesRefused uint64 // those that were not within the budget
	Ejections      uint64 // how often a backend was ejected as an outlier
}

// BackendStatistics is one backend as it stands, and what was counted of it since it was added.
type BackendStatistics struct {
	ID       BackendID
	Name     string
	Address  string
	Weight   uint32
	Maxconn  uint32 // 0 for no limit
	Tier     uint8
	Tag      uint64
	Admin    AdminState
	Observed ObservedState
	Serving  bool // whether it may be picked now, its Maxconn aside

	Picks         uint64
	InFlight      uint64
	Success       uint64 // reported done, by outcome
	ConnectFailed uint64
	Failed        uint64
	TimedOut      uint64
	Cancelled     uint64
	ResponseMean  time.Duration // of the response times reported; 0 when there was none
	Share         float64       // the part of new picks it is due, 0 to 1

	Limit             uint32  // the most picks in flight now: Maxconn, or a lower one found by response times; 0 for none
	ConsecutiveErrors uint32  // errors in a row, where outliers are ejected
	ConnectionRate    uint32  // the most picks a second; 0 for no limit
	ConnectionBurst   uint32  // how many of them may come at once; 0 for one second's
	ObservedSince     Instant // when it came to be observed so; 0 while nobody has said
	SlowStart         float64 // the part of its weight that counts: below 1 while it starts slowly
	Reason            string  // why it is observed so, in one line, when that was said
}
