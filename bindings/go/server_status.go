package trimtab

import (
	"encoding/json"
	"time"
)

// ServerStatistics is what a server counted since it was started, all listeners together. Reading stops
// nobody, so under load the figures may differ by what happened in between.
type ServerStatistics struct {
	Sessions        uint64 `json:"sessions"`          // at present
	Waiting         uint64 `json:"waiting"`           // clients that wait for a place at a backend at present
	Accepted        uint64 `json:"accepted"`          // connections accepted
	Finished        uint64 `json:"finished"`          // sessions that ended after both sides had
	Failed          uint64 `json:"failed"`            // sessions that ended otherwise; ListenerStatistics.Closed tells how
	Retries         uint64 `json:"retries"`           // attempts at another backend after one could not be reached
	BytesToBackends uint64 `json:"bytes_to_backends"` // delivered
	BytesToClients  uint64 `json:"bytes_to_clients"`  // delivered
}

// ListenerStatistics is what a server counted of one listener since it was started.
type ListenerStatistics struct {
	Maxconn         uint32         `json:"maxconn"`           // its limit; 0 for none
	Sessions        uint64         `json:"sessions"`          // at present
	Accepted        uint64         `json:"accepted"`          // connections accepted
	AcceptErrors    uint64         `json:"accept_errors"`     // aborted connections, and each time no descriptor was free
	Retries         uint64         `json:"retries"`           // attempts at another backend after one could not be reached
	Queued          uint64         `json:"queued"`            // sessions that had to wait for a place at a backend
	BytesToBackends uint64         `json:"bytes_to_backends"` // delivered
	BytesToClients  uint64         `json:"bytes_to_clients"`  // delivered
	Closed          ClosedSessions `json:"closed"`            // sessions that ended, by cause
}

// ClosedSessions is sessions that ended, by cause.
type ClosedSessions struct {
	Finished          uint64 `json:"finished"`            // both sides ended their half
	ClientReset       uint64 `json:"client_reset"`        // the client broke off
	BackendReset      uint64 `json:"backend_reset"`       // the backend broke off
	ClientLeft        uint64 `json:"client_left"`         // the client left before it had a backend
	HeaderInvalid     uint64 `json:"header_invalid"`      // what should have been a PROXY header is none
	HeaderTimeout     uint64 `json:"header_timeout"`      // the PROXY header took too long
	NoBackend         uint64 `json:"no_backend"`          // no backend could be picked
	ConnectFailed     uint64 `json:"connect_failed"`      // backends could not be reached, as many as may be tried
	QueueFull         uint64 `json:"queue_full"`          // the queue for a backend was full
	QueueTimeout      uint64 `json:"queue_timeout"`       // no backend came free in time
	IdleTimeout       uint64 `json:"idle_timeout"`        // silence in both directions
	HalfClosedTimeout uint64 `json:"half_closed_timeout"` // silence after one side had ended its half
	Stopped           uint64 `json:"stopped"`             // the server stopped
	NoDescriptor      uint64 `json:"no_descriptor"`       // the system had none, or no memory, for the backend's connection
	RetryRefused      uint64 `json:"retry_refused"`       // a backend could not be reached, and the retry budget was used up
	PendingFull       uint64 `json:"pending_full"`        // as many waited for the pool as may
	BackendDown       uint64 `json:"backend_down"`        // its backend went down, and the pool's sessions are cut then
}

// Status is everything there is to see of a server; what `trimtab ctl status` shows.
type Status struct {
	Version   string           `json:"version"`
	State     string           `json:"state"`   // a ServerState by name
	PID       int              `json:"pid"`     // of its process
	Workers   int              `json:"workers"` // its threads; 0 when it is hosted
	Totals    ServerStatistics `json:"totals"`
	Listeners []ListenerStatus `json:"listeners"` // none before it is started
	Pools     []PoolStatus     `json:"pools"`
	Admin     AdminStatistics  `json:"admin"`
	// Store is its store; nil without one, and when it is closed.
	Store *ServerStoreStatus `json:"store"`
}

// ServerStoreStatus is the store in a Status; Store.Status tells more of it.
type ServerStoreStatus struct {
	Node          string `json:"node"` // the name of this node, where the configuration gives one
	Dir           string `json:"dir"`
	Durability    string `json:"durability"`    // what a write reaches before it is answered
	Nodes         uint32 `json:"nodes"`         // on how many nodes' disks it is beside that; 0: as Durability says
	Sequence      uint64 `json:"sequence"`      // of the last entry of the log
	Durable       uint64 `json:"durable"`       // of the last one on disk
	Applied       uint64 `json:"applied"`       // of the last one that readers see
	Snapshot      uint64 `json:"snapshot"`      // of the last snapshot; 0: none
	Keys          uint64 `json:"keys"`          // those included that have expired and not been taken out
	MemoryBytes   uint64 `json:"memory_bytes"`  // of keys, values and what belongs to them
	MemoryMax     uint64 `json:"memory_max"`    // the most of them; 0 for no limit
	DiskBytes     uint64 `json:"disk_bytes"`    // of segments and snapshots
	PendingBytes  uint64 `json:"pending_bytes"` // that wait to be on disk
	Flushes       uint64 `json:"flushes"`       // writes to disk, each with a sync
	Failure       string `json:"failure"`       // why nothing is taken any more; empty while all is well
	Problem       string `json:"problem"`       // why there is no room for more at present; empty while there is
	SnapshotError string `json:"snapshot_error"`
	// Opening is what opening it found.
	Opening StoreOpeningStatus `json:"opening"`
	// Scrub is what reading again what lies on disk has found.
	Scrub           StoreScrubStatus `json:"scrub"`
	Snapshots       uint64           `json:"snapshots"`        // written
	SnapshotsFailed uint64           `json:"snapshots_failed"` // that failed
	ClockSteps      uint64           `json:"clock_steps"`      // writes for which the clock had gone back
	Expiries        uint64           `json:"expiries"`         // commands that took out what had expired
	Evictions       uint64           `json:"evictions"`        // commands that made room by letting keys go
	// Backup is how its backups stand, in the words of the admin interface; nil before one was asked for.
	Backup json.RawMessage `json:"backup"`
	// Clients are its Redis clients; nil where none are served.
	Clients *StoreClientsStatus `json:"clients"`
}

// StoreOpeningStatus is what opening a server's store found.
type StoreOpeningStatus struct {
	WasClosed bool   `json:"was_closed"` // the log had been closed in order, or there was none
	Segments  uint64 `json:"segments"`   // with records
	Replayed  uint64 `json:"replayed"`   // entries that were applied on top of the snapshot
	// Torn is a batch that never became durable and was cut off; nil without one.
	Torn *StoreTornStatus `json:"torn"`
	// Covered is damage in segments that a snapshot stands for, so that nothing is lost; nil without any.
	Covered *StoreCoveredStatus `json:"covered"`
	// AheadMs is by how much the latest time in the store was ahead of the clock.
	AheadMs uint64 `json:"ahead_ms"`
	// SettingsRefused is why the settings asked for are not in force; empty when they are.
	SettingsRefused string `json:"settings_refused"`
}

// StoreTornStatus is a torn tail. Nobody was told that what it held is durable.
type StoreTornStatus struct {
	File   string `json:"file"`
	Offset uint64 `json:"offset"` // where the log ended when it was cut off
	Bytes  uint64 `json:"bytes"`  // behind that, as far as they were recognised as the batch's
}

// StoreCoveredStatus is damage in segments that a snapshot stands for: they were left out.
type StoreCoveredStatus struct {
	File     string `json:"file"`     // the first that is damaged
	Offset   uint64 `json:"offset"`   // where it is
	What     string `json:"what"`     // is wrong there
	Segments uint64 `json:"segments"` // that were left out
}

// StoreScrubStatus is what reading again what lies on the disk of a server's store has found.
type StoreScrubStatus struct {
	Passes        uint64 `json:"passes"`         // that came to their end
	VerifiedBytes uint64 `json:"verified_bytes"` // found good, of all passes
	// FinishedMs is when the last pass ended, in milliseconds since 1970; 0: none has.
	FinishedMs uint64 `json:"finished_ms"`
	Damages    uint64 `json:"damages"` // how often something was found damaged, or could not be read
	Mended     uint64 `json:"mended"`  // how often a snapshot took the place of what was
	Damage     string `json:"damage"`  // what was found last; empty once all was found good
}

// StoreClientsStatus is the Redis clients of a server's store.
type StoreClientsStatus struct {
	Address        string `json:"address"` // where they are served
	Present        uint32 `json:"present"`
	Maxclients     uint32 `json:"maxclients"`
	Accepted       uint64 `json:"accepted"`
	Refused        uint64 `json:"refused"`         // turned away, for there were as many as may be
	AcceptErrors   uint64 `json:"accept_errors"`   // attempts to accept that failed
	Commands       uint64 `json:"commands"`        // done
	Errors         uint64 `json:"errors"`          // commands answered with an error
	Hits           uint64 `json:"hits"`            // keys that commands which only read have looked up, and found
	Misses         uint64 `json:"misses"`          // likewise, and were not there
	ProtocolErrors uint64 `json:"protocol_errors"` // cut for what they sent
	Slow           uint64 `json:"slow"`            // cut for not reading what they had asked for
	Idle           uint64 `json:"idle"`            // ended for having said nothing for too long
	Retries        uint64 `json:"retries"`         // writes made up anew, for others had changed what they had read
}

// AdminStatistics is what a server counted of its admin interface, and of events.
type AdminStatistics struct {
	Clients    uint64 `json:"clients"`     // at present
	Followers  uint64 `json:"followers"`   // of all there are, those that follow events
	Accepted   uint64 `json:"accepted"`    // clients accepted
	Displaced  uint64 `json:"displaced"`   // idle clients that were ended to make room for others
	Late       uint64 `json:"late"`        // clients whose request did not come to its end in time
	Stalled    uint64 `json:"stalled"`     // clients that did not take what they were answered
	Events     uint64 `json:"events"`      // events so far; also the number of the latest
	EventsLost uint64 `json:"events_lost"` // events that followers were too slow for, over all followers
}

// ListenerStatus is one listener in a Status.
type ListenerStatus struct {
	Name    string `json:"name"`
	Address string `json:"address"` // where it listens in truth: port 0 has become the one that the system chose
	Pool    string `json:"pool"`    // that it sends connections to
	ListenerStatistics
}

// PoolStatus is one pool in a Status.
type PoolStatus struct {
	Name     string `json:"name"`
	Policy   string `json:"policy"`
	Waiting  uint64 `json:"waiting"`   // clients that wait for a place
	Serving  uint32 `json:"serving"`   // backends that may be picked now
	Picks    uint64 `json:"picks"`     // made of the backends now in the pool
	InFlight uint64 `json:"in_flight"` // of these, not reported done
	Refused  uint64 `json:"refused"`   // picks that found no backend
	Limit    uint32 `json:"limit"`     // the most picks in flight now: a maxconn, or a lower one found by response times; 0: none
	Retries  uint32 `json:"retries"`   // retries in flight
	// RetriesRefused: retries that were not within the budget.
	RetriesRefused uint64          `json:"retries_refused"`
	Backends       []BackendStatus `json:"backends"`
}

// BackendStatus is one backend in a Status; Pool.Backends tells most of it of one pool.
type BackendStatus struct {
	ID      BackendID `json:"id"`
	Name    string    `json:"name"`
	Address string    `json:"address"`
	Weight  uint32    `json:"weight"`
	Maxconn uint32    `json:"maxconn"` // 0 for no limit
	// Limit is the most picks in flight now: its Maxconn, or a lower one found by response times; 0 for none.
	Limit           uint32  `json:"limit"`
	ConnectionRate  uint32  `json:"connection_rate"`  // the most picks a second; 0 for no limit
	ConnectionBurst uint32  `json:"connection_burst"` // how many of them may come at once; 0 for one second's
	Tier            uint8   `json:"tier"`
	Tag             uint64  `json:"tag"`
	Admin           string  `json:"admin"`             // "ready", "drain", "maintenance"
	Observed        string  `json:"observed"`          // "unknown", "up", "down", "ejected"
	ObservedSince   Instant `json:"observed_since_ns"` // 0 while nobody has said
	Reason          string  `json:"reason"`            // why, in one line; empty when nobody said
	Serving         bool    `json:"serving"`           // whether it may be picked now, its Maxconn aside
	// ConsecutiveErrors is errors in a row, where outliers are ejected.
	ConsecutiveErrors uint32        `json:"consecutive_errors"`
	Picks             uint64        `json:"picks"`
	InFlight          uint64        `json:"in_flight"`
	Outcomes          Outcomes      `json:"outcomes"`
	ResponseMean      time.Duration `json:"response_mean_ns"` // of the response times reported; 0 when there was none
	Share             float64       `json:"share"`            // the part of new picks it is due, 0 to 1
	// SlowStart is the part of its weight that counts: below 1 while it starts slowly.
	SlowStart float64 `json:"slow_start"`
	// Check is how its check stands; nil before the first verdict, and when there is no check.
	Check *CheckStatus `json:"check"`
}

// CheckStatus is how one backend's check stands.
type CheckStatus struct {
	Kind          string `json:"kind"`
	State         string `json:"state"`    // "unknown", "up", "down"
	SinceMs       uint64 `json:"since_ms"` // for how long
	GoodInARow    uint32 `json:"good_in_a_row"`
	BadInARow     uint32 `json:"bad_in_a_row"`
	Probes        uint64 `json:"probes"`
	Failed        uint64 `json:"failed"`         // of these, timeouts included
	FailureSource string `json:"failure_source"` // "connection", "timeout", "answer", "requirement", "agent"; empty for none
	Failure       string `json:"failure"`        // why the last bad one was bad
	FailureAgoMs  uint64 `json:"failure_ago_ms"`
	Role          string `json:"role"` // "primary", "replica"; empty where the kind does not tell
	LagMs         uint64 `json:"lag_ms"`
	LagBytes      uint64 `json:"lag_bytes"`
}

// Outcomes is picks reported done, by how they went.
type Outcomes struct {
	Success       uint64 `json:"success"`
	ConnectFailed uint64 `json:"connect_failed"`
	Failed        uint64 `json:"failed"`
	TimedOut      uint64 `json:"timed_out"`
	Cancelled     uint64 `json:"cancelled"`
}

// Statistics tells what the server counted; zeros before it is started.
func (s *Server) Statistics() (ServerStatistics, error) {
	return s.native.statistics()
}

// ListenerStatistics tells what was counted of one listener, by its name in the configuration. ErrNotFound, or
// ErrState before it is started.
func (s *Server) ListenerStatistics(listener string) (ListenerStatistics, error) {
	return s.native.listenerStatistics(listener)
}

// Status tells everything there is to see.
func (s *Server) Status() (Status, error) {
	text, err := s.native.status()
	if err != nil {
		return Status{}, err
	}
	var status Status
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		return Status{}, &Error{Code: CodeStructSize, Operation: "status", Detail: err.Error()}
	}
	return status, nil
}

// StatusJSON is Status as the library writes it, to be passed on as it is.
func (s *Server) StatusJSON() ([]byte, error) {
	text, err := s.native.status()
	if err != nil {
		return nil, err
	}
	return []byte(text), nil
}
