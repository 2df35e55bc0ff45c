package trimtab

import (
	"context"
	"sync"
	"time"
)

// storeQueue brings what comes of submitted calls to who waits for it. One goroutine takes what is done, and waits for
// more in Go's own poller, so no thread waits with it; who submits may take what is done too.
//
// It knows nothing of the Store, which can be collected meanwhile.
type storeQueue struct {
	native nativeQueue
	// bell rings when something is done and somebody waits.
	bell bell
	// places has a place for each call that may be under way; the library's queue is as large, so it is never full.
	places chan struct{}
	// turns is for who submits what only waits: many at once would each hold a thread until the store's lock is theirs.
	turns chan struct{}
	// over is closed when everything was brought, behind the end of the store.
	over chan struct{}

	mutex sync.Mutex
	slots []slot
	free  []uint32
	// awaited is how many slots the bell must ring for.
	awaited int
	// isArmed is whether the bell is armed, or has rung and will be armed again if need be.
	isArmed bool
	// isOver is set before the bell is closed.
	isOver bool
	// endsWaits is whether what only waits is over.
	endsWaits bool
}

// slot is who waits for one submission, the number of which is the slot's; nobody once call is nil.
type slot struct {
	call *pending
	at   int
	// isAwaited is whether the bell must ring for it, also once nobody waits any more: its place is to be given back.
	isAwaited bool
}

// pending is a call that waits for one answer or several.
type pending struct {
	answers []nativeDone
	slots   []uint32
	left    int
	ready   chan struct{}
	timer   *time.Timer
	// isWait is whether it changes nothing, and may be taken back.
	isWait  bool
	one     [1]nativeDone
	oneSlot [1]uint32
}

var pendings = sync.Pool{New: func() any { return &pending{ready: make(chan struct{}, 1)} }}

// newPending is one for so many answers, to be given back with drop.
func newPending(count int) *pending {
	call := pendings.Get().(*pending)
	if count == 1 {
		call.answers, call.slots = call.one[:], call.oneSlot[:0]
	} else {
		call.answers, call.slots = make([]nativeDone, count), make([]uint32, 0, count)
	}
	call.left = count
	return call
}

func (p *pending) drop() {
	p.answers, p.slots = nil, nil
	p.one[0] = nativeDone{}
	p.isWait = false
	pendings.Put(p)
}

// turnsMax is how many submit what only waits at once.
const turnsMax = 4

func newStoreQueue(native nativeQueue, bell bell, max int) *storeQueue {
	queue := &storeQueue{native: native, bell: bell, places: make(chan struct{}, max), turns: make(chan struct{}, turnsMax), over: make(chan struct{})}
	go queue.run()
	return queue
}

// run runs until end.
func (q *storeQueue) run() {
	defer close(q.over)
	var batch [64]nativeDone
	conn, err := q.bell.file.SyscallConn()
	for err == nil {
		if err = conn.Read(rang); err == nil {
			q.bringAll(batch[:])
			q.answered()
		}
	}
	// The bell was closed: all are done, and what is left is here.
	q.bringAll(batch[:])
}

func (q *storeQueue) bringAll(batch []nativeDone) {
	for count := len(batch); count == len(batch); {
		count = q.native.take(batch)
		q.bring(batch[:count])
	}
}

// listen has the bell ring for the answers of a call from one on, as far as they are not there yet.
func (q *storeQueue) listen(call *pending, from int) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	for _, number := range call.slots[from:] {
		slot := &q.slots[number]
		if slot.call != call || q.endWait(number) {
			continue
		}
		if !slot.isAwaited {
			slot.isAwaited = true
			q.awaited++
		}
	}
	if q.awaited > 0 && !q.isArmed && !q.isOver {
		q.isArmed = true
		q.bell.arm()
	}
}

// answered is for who has answered the bell: it is armed again while there is somebody to ring for.
func (q *storeQueue) answered() {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	q.isArmed = q.awaited > 0 && !q.isOver
	if q.isArmed {
		q.bell.arm()
	}
}

// vacate takes a slot out of use.
func (q *storeQueue) vacate(number uint32) {
	if q.slots[number].isAwaited {
		q.awaited--
	}
	q.slots[number] = slot{}
	q.free = append(q.free, number)
}

// end is for when the store is closed and nobody submits any more. Returns when all were told.
func (q *storeQueue) end() {
	q.mutex.Lock()
	q.isOver = true
	q.mutex.Unlock()
	q.bell.file.Close()
	<-q.over
}

// place waits for a place for one more call. An error is that of ctx.
func (q *storeQueue) place(ctx context.Context) error {
	select {
	case q.places <- struct{}{}:
		return nil
	default:
	}
	select {
	case q.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return endOf(ctx)
	}
}

// tryPlaces takes so many places at most, without waiting.
func (q *storeQueue) tryPlaces(wanted int) int {
	for at := range wanted {
		select {
		case q.places <- struct{}{}:
		default:
			return at
		}
	}
	return wanted
}

// givePlaces gives back those of calls that were not submitted, or are done.
func (q *storeQueue) givePlaces(count int) {
	for range count {
		<-q.places
	}
}

// enter has answers from..to of a call wait; their slots are the numbers to submit with.
func (q *storeQueue) enter(call *pending, from, to int) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	for at := from; at < to; at++ {
		var number uint32
		if last := len(q.free) - 1; last >= 0 {
			number = q.free[last]
			q.free = q.free[:last]
		} else {
			number = uint32(len(q.slots))
			q.slots = append(q.slots, slot{})
		}
		q.slots[number] = slot{call: call, at: at}
		call.slots = append(call.slots, number)
	}
}

// leave is for answers from on that were not submitted, or are in the caller's hands.
func (q *storeQueue) leave(call *pending, from int) {
	q.mutex.Lock()
	for _, number := range call.slots[from:] {
		q.vacate(number)
	}
	count := len(call.slots) - from
	call.slots = call.slots[:from]
	q.mutex.Unlock()
	q.givePlaces(count)
}

// claim tells whether what is done is the only answer of a call whose owner has not waited yet, and takes it out of the
// queue then. The number alone does not tell: somebody else may have brought the call's answer meanwhile, and its
// number be another's by now.
func (q *storeQueue) claim(call *pending, done *nativeDone) bool {
	number := uint32(done.userData())
	q.mutex.Lock()
	isIts := q.slots[number].call == call
	if isIts {
		q.vacate(number)
	}
	q.mutex.Unlock()
	if isIts {
		q.givePlaces(1)
	}
	return isIts
}

// bring gives each that is done to who waits for it.
func (q *storeQueue) bring(batch []nativeDone) {
	q.mutex.Lock()
	for at := range batch {
		number := uint32(batch[at].userData())
		to := q.slots[number]
		q.vacate(number)
		if to.call == nil {
			batch[at].free()
			continue
		}
		to.call.answers[to.at] = batch[at]
		to.call.left--
		if to.call.left == 0 {
			to.call.ready <- struct{}{}
		}
	}
	q.mutex.Unlock()
	q.givePlaces(len(batch))
}

// wait waits for all answers of a call. When ctx is done first, or the time is over that is for a ctx without a
// deadline, it gives up those that are missing, says which are there, and why.
func (q *storeQueue) wait(ctx context.Context, call *pending, timeout time.Duration, timedOut func() error) (isThere func(int) bool, err error) {
	q.listen(call, 0)
	var expired <-chan time.Time
	if _, has := ctx.Deadline(); !has {
		if call.timer == nil {
			call.timer = time.NewTimer(timeout)
		} else {
			call.timer.Reset(timeout)
		}
		defer call.timer.Stop()
		expired = call.timer.C
	}
	select {
	case <-call.ready:
		return all, nil
	case <-ctx.Done():
		err = endOf(ctx)
	case <-expired:
		err = timedOut()
	}
	isMissing := q.giveUp(call)
	if isMissing == nil {
		<-call.ready
		return all, nil
	}
	return func(at int) bool { return !isMissing[at] }, err
}

func all(int) bool { return true }

// giveUp has nobody wait for the answers of a call that are missing, and says which; nil when none is.
func (q *storeQueue) giveUp(call *pending) map[int]bool {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	if call.left == 0 {
		return nil
	}
	missing := make(map[int]bool, call.left)
	for _, number := range call.slots {
		if slot := &q.slots[number]; slot.call == call {
			missing[slot.at] = true
			isWait := call.isWait
			slot.call = nil
			if isWait {
				q.takeBack(number)
			}
		}
	}
	return missing
}

// takeBack has what only waits under a number wait no more, and its place be free; false when it is done already, which is brought
// then. With the mutex held, so that the number is nobody else's meanwhile.
func (q *storeQueue) takeBack(number uint32) bool {
	if q.isOver || !q.native.cancel(uint64(number)) {
		return false
	}
	q.vacate(number)
	q.givePlaces(1)
	return true
}

// endWaits has whoever only waits be told that the store is closed, now and from now on.
func (q *storeQueue) endWaits() {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	q.endsWaits = true
	for number := range q.slots {
		q.endWait(uint32(number))
	}
}

// endWait is endWaits for one, and does nothing before that; false when there is nobody to tell.
func (q *storeQueue) endWait(number uint32) bool {
	to := q.slots[number]
	if !q.endsWaits || to.call == nil || !to.call.isWait || !q.takeBack(number) {
		return false
	}
	to.call.answers[to.at] = nativeClosed()
	to.call.left = 0
	to.call.ready <- struct{}{}
	return true
}

// notComing takes away answers of a call that were never submitted.
func (q *storeQueue) notComing(call *pending, count int) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	call.left -= count
	if call.left == 0 && len(call.slots) != 0 {
		call.ready <- struct{}{}
	}
}
