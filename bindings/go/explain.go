package trimtab

import "encoding/json"

// Explanation is what the next pick comes to, and why. Nothing is counted for it.
type Explanation struct {
	// Policy is the pool's policy, by its name in configuration.
	Policy string `json:"policy"`
	// Picked is who would be picked; 0 for nobody.
	Picked BackendID `json:"picked"`
	// Refused is why nobody would be, when nobody would.
	Refused string `json:"refused"`
	// Tier is the tier that serves; nil when none does.
	Tier *uint8 `json:"tier"`
	// Panic is whether that tier serves whatever is observed of its backends.
	Panic bool `json:"panic"`
	// Tiers is every tier of the pool.
	Tiers []ExplainedTier `json:"tiers"`
	// Draws is what was drawn or computed, in order.
	Draws []Draw `json:"draws"`
	// Backends is every backend of the pool.
	Backends []Explained `json:"backends"`
}

// ExplainedTier is one tier's part in a choice.
type ExplainedTier struct {
	Tier   uint8  `json:"tier"`
	Ready  uint32 `json:"ready"`
	Usable uint32 `json:"usable"`
	// Load is its part of the picks, 0 to 1.
	Load float64 `json:"load"`
	// Panic is whether it serves whatever is observed of its backends.
	Panic bool `json:"panic"`
}

// Draw is one step of a choice: a position, a hash, a random number.
type Draw struct {
	What  string `json:"what"`
	Value uint64 `json:"value"`
}

// Explained is one backend's part in a choice.
type Explained struct {
	ID      BackendID `json:"id"`
	Name    string    `json:"name"`
	Verdict Verdict   `json:"verdict"`
	// Score is what the policy compared, where it does: lower is better, except for rendezvous.
	Score    *float64 `json:"score"`
	InFlight uint64   `json:"in_flight"`
	// Share is the part of new picks it is due; 0 when it does not serve.
	Share float64 `json:"share"`
	// ObservedSince is when it came to be observed as it is; 0 while nobody has said.
	ObservedSince Instant `json:"observed_since_ns"`
	// Reason is why, in one line, when that was said.
	Reason string `json:"reason"`
}

// Verdict is what became of a backend in a choice. A newer library may have more of them.
type Verdict string

const (
	VerdictPicked      Verdict = "picked"      // it is the one
	VerdictPassed      Verdict = "passed"      // it could have been
	VerdictStandby     Verdict = "standby"     // its tier stands by
	VerdictDrain       Verdict = "drain"       // the operator drains it
	VerdictMaintenance Verdict = "maintenance" // the operator has it in maintenance
	VerdictDown        Verdict = "down"        // it was observed down
	VerdictEjected     Verdict = "ejected"     // it was set aside for its failures
	VerdictFull        Verdict = "full"        // it is at its Maxconn
	VerdictAvoided     Verdict = "avoided"     // the caller asked for another one
)

// Explain tells what the next pick for this key would come to, and why. It may be called at any time; other
// goroutines' picks may come between.
func (p *Pool) Explain(key []byte) (Explanation, error) {
	return p.ExplainAt(key, 0)
}

// ExplainAt is Explain at a time of the caller's clock.
func (p *Pool) ExplainAt(key []byte, now Instant) (Explanation, error) {
	text, err := p.native.explain(key, now)
	if err != nil {
		return Explanation{}, err
	}
	var explanation Explanation
	if err := json.Unmarshal(text, &explanation); err != nil {
		return Explanation{}, &Error{Code: CodeStructSize, Operation: "explain", Detail: err.Error()}
	}
	return explanation, nil
}
