package trimtab

import (
	"runtime"
	"strings"
	"sync"
	"time"
)

// Check is a health check of one backend, for a program that runs probes by itself. It has no socket, clock or
// thread: the program tells what happened to the probe's connection, of which there is one at a time, and takes
// steps until one is StepWait. Then it waits for the connection, until the step's Deadline at most. Any goroutine
// may call anything at any time. Make one with NewCheck.
//
// Times are those of Now, or of a clock of the program's own, in all calls on one check; 0 means now.
type Check struct {
	mutex    sync.Mutex
	native   nativeCheck
	isClosed bool
	target   string
	cleanup  runtime.Cleanup
}

// StepKind is what a check wants done.
type StepKind int32

const (
	// StepWait: nothing, until something happens to the connection, or the deadline is there.
	StepWait StepKind = 0
	// StepConnect: connect to Target, and tell how that went.
	StepConnect StepKind = 1
	// StepWrite: write the data as far as the connection takes it, and tell how far.
	StepWrite StepKind = 2
	// StepClose: close the connection, or give up making it. If there are data they may be written before, should
	// the connection take them at once.
	StepClose StepKind = 3
	// StepChange: the backend is observed to be something else. Status tells what and why, for
	// Pool.SetObservedWith.
	StepChange StepKind = 4
	// StepLearn: a good probe learnt something new of the backend: its role, its lag or an agent's orders.
	StepLearn StepKind = 5
)

// CheckStep is what a check wants done.
type CheckStep struct {
	Kind StepKind
	// Deadline is when to take the next step if nothing happens before; 0 for never.
	Deadline Instant
	// Data is what is to be written.
	Data []byte
}

// Role is who orders writes and who follows.
type Role int32

const (
	// RoleUnknown: the check does not tell.
	RoleUnknown Role = 0
	// RolePrimary takes writes.
	RolePrimary Role = 1
	// RoleReplica follows a primary.
	RoleReplica Role = 2
)

// CheckState is how a backend stands by its check.
type CheckState struct {
	Observed   ObservedState // ObservedUnknown, ObservedUp or ObservedDown
	Since      Instant
	GoodInARow uint32
	BadInARow  uint32
	Probes     uint64         // begun
	Failed     uint64         // of these, timeouts included
	Role       Role           // what the last good probe learnt
	Lag        *time.Duration // how far a replica is behind; nil where that is not told
	LagBytes   *uint64        // how far it is behind what it has received, in bytes of log
	Reason     string         // why it is observed so, in one line; empty while nothing is known
	Failure    string         // why the last bad probe was bad; empty when there was none

	// What the last answer of an agent ordered, which is the program's to carry out; nil for what it did not mention.
	OrderedAdmin         *AdminState // for Pool.SetAdmin
	OrderedWeightPercent *uint32     // of the configured weight: 0 (a server takes it for AdminDrain) to 10,000
	OrderedMaxconn       *uint32     // 0 for no limit
}

// NewCheck makes a check of the backend at an address, as Backend has it. The config is TOML, the keys check, role
// and lag_max as a [[pool]] of a configuration has them: `check = { kind = "http", path = "/up" }`. The first probe
// falls due within one interval of now. ErrConfig gives line, column and what to write instead. It waits for the
// file of a password to be read.
func NewCheck(config, address string, now Instant) (*Check, error) {
	made, target, err := newNativeCheck(config, address, now)
	if err != nil {
		return nil, err
	}
	check := &Check{native: made, target: target}
	check.cleanup = runtime.AddCleanup(check, nativeCheck.free, made)
	return check, nil
}

// Close ends the check and always returns nil; it may be called more than once. The probe's connection is the
// program's to close.
func (c *Check) Close() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if !c.isClosed {
		c.isClosed = true
		c.cleanup.Stop()
		c.native.free()
	}
	return nil
}

// Network is what net.Dial wants as its network: "tcp", or "unix" for a unix socket.
func (c *Check) Network() string {
	if strings.HasPrefix(c.target, "unix:") {
		return "unix"
	}
	return "tcp"
}

// Target is what net.Dial wants as its address: where the probes connect.
func (c *Check) Target() string {
	return strings.TrimPrefix(c.target, "unix:")
}

// TakeStep does what is due, and says what to do next.
func (c *Check) TakeStep(now Instant) (step CheckStep, err error) {
	err = c.with(func(native nativeCheck) (err error) {
		step, err = native.takeStep(now)
		return err
	})
	return step, err
}

// HandleConnected tells that the probe's connection stands.
func (c *Check) HandleConnected(now Instant) error {
	return c.with(func(native nativeCheck) error { return native.tell(tellConnected, nil, 0, now) })
}

// HandleWritten tells that the connection took so many bytes of a step's data.
func (c *Check) HandleWritten(count int) error {
	return c.with(func(native nativeCheck) error { return native.tell(tellWritten, nil, max(count, 0), 0) })
}

// HandleBytes tells what came on the probe's connection, in whatever pieces.
func (c *Check) HandleBytes(data []byte, now Instant) error {
	return c.with(func(native nativeCheck) error { return native.tell(tellBytes, data, len(data), now) })
}

// HandleEnd tells that the backend ended its half of the probe's connection: nothing more will come.
func (c *Check) HandleEnd(now Instant) error {
	return c.with(func(native nativeCheck) error { return native.tell(tellEnd, nil, 0, now) })
}

// HandleFailed tells that the probe's connection could not be made, or broke: a bad verdict. The text is one line.
func (c *Check) HandleFailed(why string, now Instant) error {
	return c.with(func(native nativeCheck) error { return native.tell(tellFailed, []byte(why), len(why), now) })
}

// HandleAbandoned tells that the probe could not be made for a reason of the program's own, such as a want of
// descriptors. It is no verdict.
func (c *Check) HandleAbandoned(now Instant) error {
	return c.with(func(native nativeCheck) error { return native.tell(tellAbandoned, nil, 0, now) })
}

// HandleSuspicion tells that traffic gave cause for doubt: the next probe comes as soon as interval_transition
// allows.
func (c *Check) HandleSuspicion(now Instant) error {
	return c.with(func(native nativeCheck) error { return native.tell(tellSuspicion, nil, 0, now) })
}

// Status tells how the backend stands.
func (c *Check) Status() (state CheckState, err error) {
	err = c.with(func(native nativeCheck) (err error) {
		state, err = native.status()
		return err
	})
	return state, err
}

func (c *Check) with(call func(nativeCheck) error) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.isClosed {
		return &Error{Code: CodeClosed, Operation: "check", Detail: "the check is closed"}
	}
	return call(c.native)
}
