package trimtab

import (
	"fmt"
	"time"
)

// Policy is how a pool picks. The zero value is round robin.
type Policy int32

const (
	// RoundRobin is smooth weighted round robin; weights may change while in use.
	RoundRobin Policy = 0
	// Static is the same order over the weights the backends were added with.
	Static Policy = 1
	// First is the first backend, in the order added, that has room below its Maxconn.
	First Policy = 2
	// Random draws by weight.
	Random Policy = 3
	// LeastConnections is the fewest connections in flight for its weight.
	LeastConnections Policy = 4
	// PowerOfTwo is the less loaded of two drawn at random, by weight.
	PowerOfTwo Policy = 5
	// PeakEWMA is two choices by Finagle's peak EWMA of response time, times connections in flight.
	PeakEWMA Policy = 6
	// Fastest is the shortest response time, with a floor share for every other backend.
	Fastest Policy = 7
	// Observed shares in proportion to connections and response time together.
	Observed Policy = 8
	// Predictive is Observed and the trend of the ranking: who improves gets more.
	Predictive Policy = 9
	// Source places by hash of the client's address, given as the key: 4 or 16 bytes in network order.
	Source Policy = 10
	// Hash places by hash of the key.
	Hash Policy = 11
)

var policyNames = [...]string{
	RoundRobin:       "round-robin",
	Static:           "static",
	First:            "first",
	Random:           "random",
	LeastConnections: "least-connections",
	PowerOfTwo:       "power-of-two",
	PeakEWMA:         "peak-ewma",
	Fastest:          "fastest",
	Observed:         "observed",
	Predictive:       "predictive",
	Source:           "source",
	Hash:             "hash",
}

// String gives the policy's name in configuration, which PoolOptions.PolicyName takes.
func (p Policy) String() string {
	if p >= 0 && int(p) < len(policyNames) {
		return policyNames[p]
	}
	return fmt.Sprintf("policy %d", int32(p))
}

// HashMethod is how Source and Hash place keys. The zero value is the ring.
type HashMethod int32

const (
	// HashRing is the consistent hash ring of ketama, as nginx has it.
	HashRing HashMethod = 0
	// HashMaglev is the Maglev lookup table.
	HashMaglev HashMethod = 1
	// HashRendezvous is the highest random weight: no table, and work in proportion to the backends.
	HashRendezvous HashMethod = 2
)

// Backups is which backends of a tier above 0 serve when the tiers below have none usable.
type Backups int32

const (
	// BackupsOne is the first usable one, in the order added.
	BackupsOne Backups = 0
	// BackupsAll is all usable ones of the tier.
	BackupsAll Backups = 1
	// BackupsSpill is all usable ones of every tier, which share by how many of its backends each has usable.
	BackupsSpill Backups = 2
)

// Formula is which reading of Observed and Predictive is meant.
type Formula int32

const (
	// FormulaTrimtab weighs connections and response time together.
	FormulaTrimtab Formula = 0
	// FormulaF5K6406 is F5's article K6406: ratios by connection counts alone.
	FormulaF5K6406 Formula = 1
)

// Limits of the library.
const (
	BackendsMax = 65_536
	WeightMax   = 65_535
	KeyMax      = 1 << 20 // bytes
	MaxconnMax  = 1 << 30

	ConnectionRateMax = 1_000_000 // picks a second
	RetriesMax        = 65_536    // in flight
)

// PoolOptions is how to make a pool. The zero value of a field means its default; where zero is a value
// of its own the field is a pointer, see Ptr. Times are whole milliseconds. What is out of range is
// refused by NewPool.
type PoolOptions struct {
	// Policy is how to pick. Default RoundRobin.
	Policy Policy
	// PolicyName names the policy as configuration does, "least-connections"; Policy is then left zero.
	PolicyName string
	// Hash is how Source and Hash place keys. Default HashRing.
	Hash HashMethod
	// BoundedLoad is the most load a backend may have under Source and Hash, in times its share of the
	// mean: 1.01 to 10. Default off.
	BoundedLoad float64
	// Backups is how many backups take over. Default BackupsOne.
	Backups Backups
	// Formula is which reading of Observed and Predictive. Default FormulaTrimtab.
	Formula Formula
	// Tick is how often Fastest, Observed and Predictive weigh anew: 10 ms to 60 s. Default 1 s.
	Tick time.Duration
	// Blend is the connections' part of the score of Observed and Predictive: 0 to 1. Default 0.5.
	Blend *float64
	// Gain is how strongly Predictive follows the trend: 0 to 4. Default 1.
	Gain *float64
	// History is over how many ticks Predictive fits the trend: 2 to 32. Default 8.
	History uint32
	// Floor is the share Fastest leaves to each backend that is not the fastest: 0.001 to 0.2.
	// Default 0.02.
	Floor float64
	// Stale is after how long without a sample Fastest halves a response time: 100 ms to 1 h.
	// Default 10 s.
	Stale time.Duration
	// Decay is the time constant of PeakEWMA: 1 ms to 10 min. Default 10 s.
	Decay time.Duration
	// Seed is where random draws and the first turn start. Default: drawn anew for each pool, so that
	// processes do not walk in step; 0 gives the documented exact sequences.
	Seed *uint64
	// HashSeed moves every key of HashMaglev and HashRendezvous. Default 0.
	HashSeed uint64
	// Lanes is how many sets of counters there are: 1 to 64. Default one per core.
	Lanes uint32
	// PicksMax is the most picks of one lane that may await their Done: 1 to 16,777,216.
	// Default 262,144.
	PicksMax uint32

	// PanicThreshold is below which share of a tier's ready backends being usable health is ignored for it, in
	// percent: 0 to 100. Default 0, never.
	PanicThreshold uint32
	// FailOpen is whether the lowest tier with ready backends serves when no backend is usable.
	FailOpen bool
	// SlowStart is over how long a backend that comes into service reaches its weight: 100 ms to 1 h. Default
	// 0, at once.
	SlowStart time.Duration
	// SlowStartAggression is how steeply it begins: 0.1 to 10. Default 1, a straight line.
	SlowStartAggression float64
	// SlowStartMin is the part of its weight it begins with: 0.01 to 1. Default 0.1.
	SlowStartMin float64
	// Maxconn is the most picks in flight on all backends together. Default 0, no limit.
	Maxconn uint32
	// ConnectionRate is the most picks a second on all backends together: up to 1,000,000. Default 0, no limit.
	ConnectionRate uint32
	// ConnectionBurst is how many of them may come at once: up to 1,000,000. Default 0, one second's.
	ConnectionBurst uint32
	// PendingMax is how many may wait for a place at once, see TryWant. Default 0, no limit.
	PendingMax uint32
	// RetryBudget is the most retries in flight, in parts of the picks in flight and waiting: 0 to 1. Default
	// 0.2. See RetryBegin.
	RetryBudget *float64
	// RetryBudgetOff takes the budget away; RetriesMax alone bounds retries then.
	RetryBudgetOff bool
	// RetryMin is how many retries in flight are within the budget always: 0 to 65,536. Default 100.
	RetryMin *uint32
	// RetriesMax is the most retries in flight, whatever the load: 1 to 65,536. Default 0, no limit.
	RetriesMax uint32
	// Outlier turns on the ejection of backends that fail more than others.
	Outlier *OutlierOptions
	// Adaptive turns on limits of picks in flight found by response times.
	Adaptive *AdaptiveOptions
	// OnEvent gets the pool's events, one after another, in the order in which they happened, on a goroutine of
	// its own, a moment after they took effect; no call on the pool waits for it. It may call everything. 131072
	// events may wait for it; an EventsLost tells how many more there were. Close waits for it to return, except
	// when called by it, and it is not called any more then.
	OnEvent func(PoolEvent)
}

// Ptr gives a pointer to the value, for the options where zero is a value of its own.
func Ptr[T any](value T) *T {
	return &value
}

func milliseconds(option string, value time.Duration) (uint64, error) {
	if value < 0 || value%time.Millisecond != 0 {
		return 0, &Error{
			Code:      CodeInvalidArgument,
			Operation: "new pool",
			Detail:    fmt.Sprintf("invalid %s: %v is not a whole, positive number of milliseconds", option, value),
		}
	}
	return uint64(value / time.Millisecond), nil
}
