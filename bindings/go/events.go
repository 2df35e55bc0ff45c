package trimtab

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
)

// Event is something an operator would want to know; nothing is told per connection. A text is empty where
// there is nothing to say.
type Event struct {
	// Kind is what happened. Later releases have more of them.
	Kind EventKind
	// Name is the kind in a word for logs, like "backend-admin".
	Name string
	// Listener is the listener that it happened to.
	Listener string
	// Pool is the pool that it happened in.
	Pool string
	// Backend is the name of the backend that it happened to.
	Backend string
	// Node is the name of the node of the store's cluster that it is about.
	Node string
	// Number is what a backend or a node changed to, how many, or an entry of the log, as the kind tells; what is more
	// than 32 bits hold is the most that they do, and Value has it whole.
	Number uint64
	// Value is that in a word or digits, like "drain" or "7".
	Value string
	// Detail is more in words, one line.
	Detail string

	// id is the backend's, of a pool's own events.
	id BackendID
}

// EventKind is what happened.
type EventKind int32

const (
	// EventStarted: the server listens; the detail says where.
	EventStarted EventKind = 0
	// EventDraining: it accepts nothing new and waits for its sessions to end.
	EventDraining EventKind = 1
	// EventStopped: it has ended: no session, no listener.
	EventStopped EventKind = 2
	// EventAcceptPaused: a listener pauses, for the system has no descriptor or memory left; the detail
	// tells which.
	EventAcceptPaused EventKind = 3
	// EventAcceptResumed: the listener goes on.
	EventAcceptResumed EventKind = 4
	// EventWorkerFailed: a thread of the server's own ended before it was told to; the detail says why. The
	// others go on.
	EventWorkerFailed EventKind = 5
	// EventBackendAdded: a backend was added to a pool.
	EventBackendAdded EventKind = 6
	// EventBackendRemoved: a backend was taken out.
	EventBackendRemoved EventKind = 7
	// EventBackendAdmin: an operator's order; the number is an AdminState.
	EventBackendAdmin EventKind = 8
	// EventBackendObserved: something was observed; the number is an ObservedState.
	EventBackendObserved EventKind = 9
	// EventBackendWeight: a backend has another weight; the number is the new one.
	EventBackendWeight EventKind = 10
	// EventBackendMaxconn: a backend has another Maxconn; the number is the new one, 0 for no limit.
	EventBackendMaxconn EventKind = 11
	// EventBackendTier: a backend has another tier; the number is the new one.
	EventBackendTier EventKind = 12
	// EventDiscoveryFailed: members could not be found out, by name or from a file, or some of them are left
	// out; the detail says why, and what becomes of those there were.
	EventDiscoveryFailed EventKind = 13
	// EventSessionsCut: sessions of a backend that went down were cut, by one of the workers; the number is how
	// many.
	EventSessionsCut EventKind = 14
	// EventStoreFailed: the store takes no writes any more until it is opened again; the detail says why.
	EventStoreFailed EventKind = 15
	// EventStoreFull: there is no room on disk for the log's next segment, and once the present one is full the store takes no
	// writes; the detail says more.
	EventStoreFull EventKind = 16
	// EventStoreRecovered: the store takes writes again.
	EventStoreRecovered EventKind = 17
	// EventStoreBackupEnded: a backup of the store, the number, has been taken; the detail says what was added.
	EventStoreBackupEnded EventKind = 18
	// EventStoreBackupFailed: a backup of the store, the number, could not be taken and is as it was before; the
	// detail says why.
	EventStoreBackupFailed EventKind = 19
	// EventStoreDamaged: something that lies on the store's disk was found damaged; the detail says what, where, and what
	// is done about it.
	EventStoreDamaged EventKind = 20
	// EventStoreMended: what was found damaged is not needed any more: a snapshot up to an entry, the number, stands for
	// it.
	EventStoreMended EventKind = 21
	// EventStoreOpened: the store was opened, and found something to be looked at: a torn tail that was cut off, a
	// clock that is behind, settings that are not in force; the detail says which.
	EventStoreOpened EventKind = 22

	// EventPanicBegan: a tier, the number, serves whatever is observed of its backends.
	EventPanicBegan EventKind = 32
	// EventPanicEnded: a tier, the number, no longer panics.
	EventPanicEnded EventKind = 33
	// EventRoom: a place below a limit may have come free, and somebody waits for one. Of a PoolEvent only.
	EventRoom EventKind = 34

	// EventClusterRole: this node of the store's cluster has another role; the number is a NodeRole.
	EventClusterRole EventKind = 40
	// EventClusterPrimary: Node is primary, in the epoch that the number is; empty: none is known.
	EventClusterPrimary EventKind = 41
	// EventClusterMembers: who is in the cluster has changed; the detail has who votes and who learns.
	EventClusterMembers EventKind = 42
	// EventClusterFenced: this node takes no part any more; the detail says why, and what to do.
	EventClusterFenced EventKind = 43
	// EventClusterForgetful: this node has forgotten what it promised, and votes for nobody until it is taken in again.
	EventClusterForgetful EventKind = 44
	// EventClusterReadmitted: it was.
	EventClusterReadmitted EventKind = 45
	// EventClusterDiffers: Node has come to another state than the others, at an entry, the number, or before.
	EventClusterDiffers EventKind = 46
	// EventClusterTwoProcesses: two processes run as Node.
	EventClusterTwoProcesses EventKind = 47
	// EventClusterSlowDisk: this primary's disk is slow: it hands over to Node.
	EventClusterSlowDisk EventKind = 48
	// EventClusterSource: this learner is fed by Node from now on; empty: by the primary.
	EventClusterSource EventKind = 49
	// EventClusterInstalled: a state from another node has taken the place of this one's, up to an entry, the number.
	EventClusterInstalled EventKind = 50
	// EventClusterLinkUp: a link to Node is up.
	EventClusterLinkUp EventKind = 51
	// EventClusterLinkDown: a link to Node is over; the detail says why.
	EventClusterLinkDown EventKind = 52
	// EventClusterRefused: Node is not let in, does not let this one in or cannot be reached, or what it sends is not
	// taken; the detail says why, and what to do.
	EventClusterRefused EventKind = 53
	// EventClusterDegraded: from an entry, the number, on writes are answered with fewer nodes than they asked for; the
	// detail says which lack it.
	EventClusterDegraded EventKind = 54
	// EventClusterRecovered: they are so no longer; the number is how many were.
	EventClusterRecovered EventKind = 55
	// EventClusterMissed: too much happened to the cluster at once; the number is how many events are not told.
	EventClusterMissed EventKind = 56

	// EventsLost is this package's own: OnEvent kept so many events waiting that there was no room for the
	// next ones; the number is how many were dropped here.
	EventsLost EventKind = -1
)

// String is the event in one line: its name and key=value facts.
func (e Event) String() string {
	var line strings.Builder
	line.WriteString(e.Name)
	for _, fact := range [...]struct{ key, value string }{
		{"listener", e.Listener}, {"pool", e.Pool}, {"backend", e.Backend}, {"node", e.Node},
		{"value", e.Value},
	} {
		if fact.value != "" {
			fmt.Fprintf(&line, " %s=%s", fact.key, fact.value)
		}
	}
	if e.Detail != "" {
		fmt.Fprintf(&line, " detail=%q", e.Detail)
	}
	return line.String()
}

func eventsLost(count uint64) Event {
	return Event{
		Kind:   EventsLost,
		Name:   "events-lost",
		Number: count,
		Value:  fmt.Sprint(count),
		Detail: fmt.Sprintf("%d events waited for OnEvent to return, and no more may", eventsMax),
	}
}

// events brings what a server tells to OnEvent, and its end to whoever waits for that. One goroutine reads,
// so that it is there for the end whatever OnEvent does, and one is in OnEvent.
//
// It knows nothing of the Server, which can be collected meanwhile.
type events struct {
	mailbox mailbox
	onEvent func(Event)
	// wake is readable when there is something new in the mailbox.
	wake *os.File
	// stopped is closed when the server has told of its end, or was freed.
	stopped chan struct{}
	// freed is closed when the server was freed: nothing is put into the mailbox any more.
	freed chan struct{}
	// over is closed when OnEvent has returned and will not be called again.
	over chan struct{}
	// telling is the thread that is in OnEvent, 0 for none.
	telling atomic.Int32
	// isDeaf is set to tell OnEvent nothing more.
	isDeaf atomic.Bool
}

func newEvents(operation string, onEvent func(Event)) (*events, error) {
	// EFD_CLOEXEC and EFD_NONBLOCK are these two by other names.
	const flags = syscall.O_CLOEXEC | syscall.O_NONBLOCK
	descriptor, _, errno := syscall.Syscall(syscall.SYS_EVENTFD2, 0, flags, 0)
	if errno != 0 {
		return nil, systemRefused(operation, "make a descriptor for its events", errno)
	}
	wake := os.NewFile(descriptor, "trimtab events")
	box, err := newMailbox(int(descriptor), onEvent != nil)
	if err != nil {
		wake.Close()
		return nil, err
	}
	return &events{
		mailbox: box,
		onEvent: onEvent,
		wake:    wake,
		stopped: make(chan struct{}),
		freed:   make(chan struct{}),
		over:    make(chan struct{}),
	}, nil
}

// end is for when the server was freed, or never came to be.
func (e *events) end() {
	close(e.freed)
	e.wake.Close()
}

// isTellingHere tells whether the caller is OnEvent, or was called by it.
func (e *events) isTellingHere() bool {
	// The goroutine in OnEvent has its thread for itself.
	return e.telling.Load() == int32(syscall.Gettid())
}

// read runs until end.
func (e *events) read() {
	defer close(e.over)
	news := make(chan struct{}, 1)
	told := make(chan struct{})
	if e.onEvent != nil {
		go e.tell(news, told)
	} else {
		close(told)
	}
	var stopped chan<- struct{} = e.stopped
	for {
		var count [8]byte
		_, err := e.wake.Read(count[:])
		if err != nil {
			break
		}
		if stopped != nil && e.mailbox.hasStopped() {
			close(stopped)
			stopped = nil
		}
		select {
		case news <- struct{}{}:
		default: // it was told so before, and takes all
		}
	}
	<-e.freed
	if stopped != nil {
		close(stopped)
	}
	close(news)
	<-told
	e.mailbox.free()
}

func (e *events) tell(news <-chan struct{}, told chan<- struct{}) {
	defer close(told)
	for range news {
		e.tellAll()
	}
	e.tellAll()
}

func (e *events) tellAll() {
	// For isTellingHere.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e.telling.Store(int32(syscall.Gettid()))
	defer e.telling.Store(0)
	for _, event := range e.mailbox.take() {
		if e.isDeaf.Load() {
			return
		}
		e.onEvent(event)
	}
}
