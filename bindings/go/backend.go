package trimtab

// BackendID names one backend of one pool. It is never used again within the pool, even after removal;
// 1 is the first and 0 is nobody.
type BackendID uint64

// AdminState is what an operator ordered.
type AdminState int32

const (
	// AdminReady: may be picked.
	AdminReady AdminState = 0
	// AdminDrain: no new picks; what is in flight goes on.
	AdminDrain AdminState = 1
	// AdminMaintenance: out of service.
	AdminMaintenance AdminState = 2
)

// ObservedState is what probes or traffic showed.
type ObservedState int32

const (
	// ObservedUnknown: nothing is known yet. Such a backend is picked.
	ObservedUnknown ObservedState = 0
	// ObservedUp: it answers.
	ObservedUp ObservedState = 1
	// ObservedDown: it does not answer.
	ObservedDown ObservedState = 2
	// ObservedEjected: set aside for a while because of its failures.
	ObservedEjected ObservedState = 3
)

// Backend describes a server to add to a pool. Only Address is needed.
type Backend struct {
	// Address is "10.0.0.1:80", "[2001:db8::1]:80", "unix:/run/app.sock" or "unix:@abstract"; unique in
	// the pool. Names are not resolved.
	Address string
	// Name is unique in the pool, 1 to 255 bytes of UTF-8. Default: the address.
	Name string
	// Weight is its share relative to the others: 1 to 65,535. 0 means the default, 1.
	Weight uint32
	// Maxconn is the most picks in flight. Default 0, no limit.
	Maxconn uint32
	// Tier 0 serves; 1 and up stand by, and serve when no lower tier has a usable backend.
	Tier uint8
	// Tag is the owner's own number for it, handed out with each pick.
	Tag uint64
	// Admin is what the operator ordered. Default AdminReady.
	Admin AdminState
	// Observed is what was observed. Default ObservedUnknown.
	Observed ObservedState
	// ConnectionRate is the most picks a second: up to 1,000,000. Default 0, no limit.
	ConnectionRate uint32
	// ConnectionBurst is how many of them may come at once: up to 1,000,000. Default 0, one second's.
	ConnectionBurst uint32
}
