package trimtab

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	opCluster       = "cluster"
	opEvents        = "cluster events"
	opAbortTransfer = "abort transfer"
)

// NodeRole is what a node of a cluster is.
type NodeRole int32

const (
	NodePrimary   NodeRole = 1 // orders the writes
	NodeReplica   NodeRole = 2 // follows, and votes
	NodeCandidate NodeRole = 3 // asks for votes
	NodeLearner   NodeRole = 4 // follows without a vote
	NodeIdle      NodeRole = 5 // takes no part
)

// String gives the role's name; that of none is "none".
func (r NodeRole) String() string {
	names := [...]string{0: "none", NodePrimary: "primary", NodeReplica: "replica", NodeCandidate: "candidate", NodeLearner: "learner", NodeIdle: "idle"}
	if r >= 0 && int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("role %d", int32(r))
}

// Standing is whether a node of a cluster may be believed.
type Standing int32

const (
	StandingActive    Standing = 1 // takes part
	StandingForgetful Standing = 2 // has forgotten a promise; votes for nobody until it is taken in again
	StandingFenced    Standing = 3 // takes no part any more, as the others have decided
	StandingFailed    Standing = 4 // its log has stopped
	StandingFounding  Standing = 5 // begins a new cluster, and does not know yet that enough others are new too
)

// ClusterStatus is how a cluster is, as one of its nodes sees it.
type ClusterStatus struct {
	Cluster        string // its name
	Node           string // this node's name
	Role           NodeRole
	Standing       Standing
	Trouble        string // why this node takes no part, and what to do; empty while it does
	Epoch          uint64
	Generation     uint64         // counts promotions by force
	Primary        string         // as far as it is known; else empty
	PrimaryAddress string         // where clients reach the primary, as far as it said
	Nodes          []ClusterNode  // all of them, this one too, in the order of their numbers
	Last           uint64         // entry of the log
	Committed      uint64         // as far as it is known
	Applied        uint64         // what this node shows
	Durable        uint64         // on its disk
	Age            *time.Duration // how old what is applied may be; nil when that is not known
	Lease          *time.Duration // how long nobody else can be primary; nil when this node is not
	Held           uint64         // calls that wait for a primary
	Forwarded      uint64         // calls passed on to the primary and not answered
	RefusedFrames  uint64         // of other nodes
	UnsentFrames   uint64         // since there was no link or too much waited
	RefusedPeers   uint64         // connections of others that were refused
	LastRefusal    string         // who was refused last, from where and why; empty: nobody was
	DegradedWrites uint64         // answered with fewer nodes than they asked for, since this node was opened
	Degraded       bool           // that is so at present: the last one is not yet where it asked to be
}

// ClusterNode is a node of a cluster, as another one sees it.
type ClusterNode struct {
	Name          string
	Number        uint64         // made of its name
	Address       netip.AddrPort // where it listens; the zero value: nowhere
	ClientAddress string         // where its clients reach it, as far as it said
	Voter         bool
	Primary       bool
	Linked        bool    // there is a link to it, or it is this node
	Matched       *uint64 // the last entry known to be on its disk; nil where that is not known
	Lag           *uint64 // how many entries it is behind; nil where that is not known
	Source        string  // who feeds it instead of the primary; empty: that does, or it is not known
	Trouble       string  // why there is no link to it, or what was refused last; empty once a link has come up since
}

// Cluster tells how the cluster is. ErrState when the store is in none. It does not wait.
func (s *Store) Cluster() (ClusterStatus, error) {
	defer runtime.KeepAlive(s)
	core, err := s.live(opCluster)
	if err != nil {
		return ClusterStatus{}, err
	}
	status, err := core.native.cluster()
	return status, core.closedNow(err)
}

// Transfer hands over to another voter, which has all of the log by then. Writes wait while that one is about to take over;
// while it does not answer, or is far behind, they go on. The handover is called off when it takes longer than
// TransferTimeout, and by AbortTransfer. When ctx is done first it returns ctx.Err(), and that goes on.
//
// Errors of all changes of a cluster: ErrNotPrimary from another node than the primary, which is to be asked; ErrNoQuorum;
// ErrNotFound for a node that is not known; ErrInvalidArgument for what cannot be; ErrState while the cluster is busy with
// another change, when the store is in none, and when the handover was called off; ErrTimedOut and ErrUnknownOutcome when it is not known what came of it.
func (s *Store) Transfer(ctx context.Context, to string) error {
	return s.change(ctx, "transfer", clusterTransfer, to, "")
}

// AbortTransfer calls off the handover that is under way, and gives whether there was one: whoever waits for it gets ErrState,
// and writes go on. The other node may take over all the same, when it had been told to already. It does not wait.
// ErrNotPrimary from another node than the primary; ErrState when the store is in no cluster.
func (s *Store) AbortTransfer() (bool, error) {
	defer runtime.KeepAlive(s)
	core, err := s.live(opAbortTransfer)
	if err != nil {
		return false, err
	}
	aborted, err := core.native.abortTransfer()
	return aborted, core.closedNow(err)
}

// AddNode takes a node in, which follows without a vote: see PromoteLearner. It is opened with BeginningJoin, before or
// after. Its name is a new one; the address is where it listens, the zero value: nowhere, it dials the others. Else as
// Transfer.
func (s *Store) AddNode(ctx context.Context, name string, address netip.AddrPort) error {
	return s.change(ctx, "add node", clusterAdd, name, optionalAddress(address))
}

// PromoteLearner gives a learner a vote, as soon as it has caught up; waits for that. Else as Transfer.
func (s *Store) PromoteLearner(ctx context.Context, name string) error {
	return s.change(ctx, "promote learner", clusterPromote, name, "")
}

// RemoveNode takes a node out, for good: its name is not used again. A primary is not taken out: have it hand over first. Else
// as Transfer.
func (s *Store) RemoveNode(ctx context.Context, name string) error {
	return s.change(ctx, "remove node", clusterRemove, name, "")
}

// ReplaceNode gives the vote of a node that is lost to a learner that has caught up, and takes the other out: one change.
// Else as Transfer.
func (s *Store) ReplaceNode(ctx context.Context, lost, learner string) error {
	return s.change(ctx, "replace node", clusterReplace, lost, learner)
}

// ReloadCertificates reads the certificates, key and authorities of the links anew, from the files that the options name. Links
// made from now on use them; those that are up stay with what they were made with. Whole or not at all. When ctx is done first
// it returns ctx.Err(), and that goes on.
//
// Errors: ErrInvalidArgument for certificates that the other nodes would not take, ErrIO for files that cannot be read; ErrState
// when the store is in no cluster, or its links are in plaintext.
func (s *Store) ReloadCertificates(ctx context.Context) error {
	return s.change(ctx, "reload certificates", clusterReload, "", "")
}

func (s *Store) change(ctx context.Context, operation string, what int, name, other string) error {
	defer runtime.KeepAlive(s)
	core, err := s.live(operation)
	if err != nil {
		return err
	}
	_, err = aside(ctx, func() (struct{}, error) {
		core.stays.begin()
		defer core.stays.end()
		return struct{}{}, core.native.change(operation, what, name, other, millisecondsLeft(ctx))
	})
	return core.closedNow(err)
}

// millisecondsLeft is what a context allows, as C takes it; 0 for the store's Timeout, if it has no deadline.
func millisecondsLeft(ctx context.Context) int64 {
	deadline, has := ctx.Deadline()
	if !has {
		return 0
	}
	return max(wholeMilliseconds(time.Until(deadline)), 1)
}

// ClusterEventKind is what happened to a cluster.
type ClusterEventKind int32

const (
	ClusterRole         ClusterEventKind = 1  // the role, the epoch or the primary (Name) has changed
	ClusterMembers      ClusterEventKind = 2  // who is in it: Name has those who vote, Detail the learners, with commas
	ClusterFenced       ClusterEventKind = 3  // this node takes no part any more: Detail says why
	ClusterForgetful    ClusterEventKind = 4  // this node has forgotten something, and asks to be taken in again
	ClusterReadmitted   ClusterEventKind = 5  // it was
	ClusterDiffers      ClusterEventKind = 6  // a node has come to another state than the others, at Number or before
	ClusterTwoProcesses ClusterEventKind = 7  // two processes run as one node
	ClusterSlowDisk     ClusterEventKind = 8  // this primary's disk is slow: it hands over to Name
	ClusterInstalled    ClusterEventKind = 9  // a state from another node has taken the place of this one's
	ClusterLinkUp       ClusterEventKind = 10 // a link is up
	ClusterLinkDown     ClusterEventKind = 11 // a link is over
	ClusterRefused      ClusterEventKind = 12 // a node is not let in, or does not let this one in: Detail says why
	ClusterMissed       ClusterEventKind = 13 // Number events that nobody took went by
	ClusterSource       ClusterEventKind = 14 // this learner is fed by Name from now on; empty: by the primary
	ClusterDamaged      ClusterEventKind = 15 // the file Name is damaged at the byte Number: Detail says what is done
	ClusterMended       ClusterEventKind = 16 // a snapshot up to the entry Number stands for what was damaged
	ClusterDegraded     ClusterEventKind = 17 // from the entry Number on writes get fewer nodes than they ask for: Name lack it
	ClusterRecovered    ClusterEventKind = 18 // they do so no longer: Number writes did
)

// String gives the name of the kind.
func (k ClusterEventKind) String() string {
	names := [...]string{
		ClusterRole: "role", ClusterMembers: "members", ClusterFenced: "fenced", ClusterForgetful: "forgetful",
		ClusterReadmitted: "readmitted", ClusterDiffers: "differs", ClusterTwoProcesses: "two-processes",
		ClusterSlowDisk: "slow-disk", ClusterInstalled: "installed", ClusterLinkUp: "link-up", ClusterLinkDown: "link-down",
		ClusterRefused: "refused", ClusterMissed: "missed", ClusterSource: "source", ClusterDamaged: "damaged",
		ClusterMended: "mended", ClusterDegraded: "degraded", ClusterRecovered: "recovered",
	}
	if k > 0 && int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind %d", int32(k))
}

// ClusterEvent is something that happened to a cluster. What its kind does not speak of is empty. Later releases may have
// more kinds.
type ClusterEvent struct {
	Kind   ClusterEventKind
	Role   NodeRole
	Epoch  uint64
	Number uint64
	Name   string
	Detail string
}

// ClusterEvents follows what happens to the cluster of a store, from what is kept of it on: a role is told at once. It waits
// in Go's own poller, so no thread waits with it. A slow one delays nobody, and of more than 1,024 events that it did not
// take it is told how many. Store.ClusterEvents makes one; Close it.
//
// One goroutine at a time calls Next or ranges over All; any may Close it meanwhile.
type ClusterEvents struct {
	store    *Store
	file     *os.File
	isClosed atomic.Bool
	cleanup  runtime.Cleanup

	// mutex is held by who is in Next.
	mutex  sync.Mutex
	native nativeClusterEvents
	event  ClusterEvent
	last   error
}

// ClusterEvents begins to follow what happens. ErrState when the store is in no cluster; ErrIO when there is no descriptor.
func (s *Store) ClusterEvents() (*ClusterEvents, error) {
	defer runtime.KeepAlive(s)
	core, err := s.live(opEvents)
	if err != nil {
		return nil, err
	}
	native, file, err := core.native.follow()
	if err != nil {
		return nil, core.closedNow(err)
	}
	events := &ClusterEvents{store: s, file: file, native: native}
	// The file closes itself when it is dropped.
	events.cleanup = runtime.AddCleanup(events, nativeClusterEvents.free, native)
	return events, nil
}

// Next gives the next event, and waits for it. When ctx is done first it returns ctx.Err(), and nothing is missed. ErrClosed
// after Close of this or the store; ErrState while another goroutine is in it.
func (e *ClusterEvents) Next(ctx context.Context) (ClusterEvent, error) {
	if !e.mutex.TryLock() {
		return ClusterEvent{}, &Error{
			Code:      CodeState,
			Operation: opEvents,
			Detail:    "another goroutine waits for the next event already; each takes one of its own",
		}
	}
	defer e.mutex.Unlock()
	if e.isClosed.Load() {
		return ClusterEvent{}, e.closed()
	}
	if err := ctx.Err(); err != nil {
		return ClusterEvent{}, err
	}
	if !e.take(0) {
		if err := e.wait(ctx); err != nil {
			return ClusterEvent{}, err
		}
	}
	return e.event, e.last
}

// All gives one event after the other, until the loop is left or there is an error, which is the last that it gives: those
// of Next.
func (e *ClusterEvents) All(ctx context.Context) iter.Seq2[ClusterEvent, error] {
	return func(yield func(ClusterEvent, error) bool) {
		for {
			event, err := e.Next(ctx)
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// Close ends it, and whoever is in Next gets ErrClosed. It always returns nil, and may be called more than once.
func (e *ClusterEvents) Close() error {
	if e.isClosed.CompareAndSwap(false, true) {
		// Has Next come out.
		e.file.Close()
		e.mutex.Lock()
		defer e.mutex.Unlock()
		e.cleanup.Stop()
		e.native.free()
	}
	return nil
}

func (e *ClusterEvents) closed() error {
	return &Error{Code: CodeClosed, Operation: opEvents, Detail: "they are not followed any more"}
}

// take takes what there is; true when that is something, be it an error.
func (e *ClusterEvents) take(uintptr) bool {
	event, has, err := e.native.next()
	e.event, e.last = event, e.store.core.closedNow(err)
	return has || err != nil
}

// wait has take look whenever the descriptor is readable.
func (e *ClusterEvents) wait(ctx context.Context) error {
	err := e.file.SetReadDeadline(time.Time{})
	if err == nil {
		cancelled := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			e.file.SetReadDeadline(time.Unix(0, 1))
			close(cancelled)
		})
		conn, failed := e.file.SyscallConn()
		if err = failed; err == nil {
			err = conn.Read(e.take)
		}
		if !stop() {
			// So that it does not cut the next wait short.
			<-cancelled
		}
	}
	switch {
	case err == nil:
		return nil
	case e.isClosed.Load():
		return e.closed()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ctx.Err()
	}
	return &Error{Code: CodeIO, Operation: opEvents, Detail: "wait for the descriptor: " + err.Error()}
}
