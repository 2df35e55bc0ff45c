package trimtab

/*
#cgo noescape trimtab_go_mailbox_new
#cgo nocallback trimtab_go_mailbox_new
#cgo noescape trimtab_go_mailbox_free
#cgo nocallback trimtab_go_mailbox_free
#cgo noescape trimtab_go_mailbox_take
#cgo nocallback trimtab_go_mailbox_take
#cgo noescape trimtab_go_mailbox_has_stopped
#cgo nocallback trimtab_go_mailbox_has_stopped
#cgo noescape trimtab_go_events_free
#cgo nocallback trimtab_go_events_free

#include "c_events.h"
*/
import "C"

// mailbox is what a server's events wait in on the other side. It is C's memory: a server is told of it.
type mailbox struct {
	box *C.trimtab_go_mailbox
}

// eventsMax is how many wait at most.
const eventsMax = C.TRIMTAB_GO_EVENTS_MAX

// newMailbox makes one that writes to an eventfd. When no events are wanted it notes the server's end alone.
func newMailbox(descriptor int, isWanted bool) (mailbox, error) {
	wanted := C.int(0)
	if isWanted {
		wanted = 1
	}
	box := C.trimtab_go_mailbox_new(C.int(descriptor), wanted)
	if box == nil {
		return mailbox{}, &Error{Code: CodeIO, Operation: "new server", Detail: "no memory for its events"}
	}
	return mailbox{box}, nil
}

// free is for when the server was freed.
func (m mailbox) free() {
	C.trimtab_go_mailbox_free(m.box)
}

func (m mailbox) hasStopped() bool {
	return C.trimtab_go_mailbox_has_stopped(m.box) != 0
}

// take empties it.
func (m mailbox) take() []Event {
	taken := C.trimtab_go_mailbox_take(m.box)
	defer C.trimtab_go_events_free(taken.first)
	events := make([]Event, 0, taken.count+1)
	for told := taken.first; told != nil; told = told.next {
		texts := C.GoStringN(told.texts, C.int(told.node_end))
		events = append(events, Event{
			Kind:     EventKind(told.kind),
			Name:     texts[:told.name_end],
			Listener: texts[told.name_end:told.listener_end],
			Pool:     texts[told.listener_end:told.pool_end],
			Backend:  texts[told.pool_end:told.backend_end],
			Number:   uint64(told.number),
			id:       BackendID(told.id),
			Value:    texts[told.backend_end:told.value_end],
			Detail:   texts[told.value_end:told.detail_end],
			Node:     texts[told.detail_end:told.node_end],
		})
	}
	if taken.lost > 0 {
		events = append(events, eventsLost(uint64(taken.lost)))
	}
	return events
}
