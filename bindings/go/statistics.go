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
}
