package trimtab

/*
#cgo noescape trimtab_go_new
#cgo nocallback trimtab_go_new
#cgo noescape trimtab_go_free
#cgo nocallback trimtab_go_free
#cgo noescape trimtab_go_backend_new
#cgo nocallback trimtab_go_backend_new
#cgo noescape trimtab_go_add
#cgo nocallback trimtab_go_add
#cgo noescape trimtab_go_add_all
#cgo nocallback trimtab_go_add_all
#cgo noescape trimtab_go_backends_free
#cgo nocallback trimtab_go_backends_free
#cgo noescape trimtab_go_change
#cgo nocallback trimtab_go_change
#cgo noescape trimtab_go_find
#cgo nocallback trimtab_go_find
#cgo noescape trimtab_go_ids
#cgo nocallback trimtab_go_ids
#cgo noescape trimtab_go_pick
#cgo nocallback trimtab_go_pick
#cgo noescape trimtab_go_done
#cgo nocallback trimtab_go_done
#cgo noescape trimtab_go_explain
#cgo nocallback trimtab_go_explain
#cgo noescape trimtab_go_address
#cgo nocallback trimtab_go_address
#cgo noescape trimtab_go_statistics
#cgo nocallback trimtab_go_statistics
#cgo noescape trimtab_go_backend_statistics
#cgo nocallback trimtab_go_backend_statistics
#cgo noescape trimtab_go_handle_timeout
#cgo nocallback trimtab_go_handle_timeout
#cgo noescape trimtab_go_next_deadline
#cgo nocallback trimtab_go_next_deadline

#include "c_pool.h"
*/
import "C"

import (
	"net/netip"
	"runtime"
	"strconv"
	"time"
	"unsafe"
)

// native is a pool on the other side, and the gate before it.
type native struct {
	pool *C.trimtab_pool
	gate C.trimtab_go_gate
}

func newNative(options *PoolOptions, ticks, stale, decay uint64) (*C.trimtab_pool, error) {
	failing, err := failingOf(options)
	if err != nil {
		return nil, err
	}
	given := C.trimtab_go_options{
		policy:       C.int32_t(options.Policy),
		hash:         C.int32_t(options.Hash),
		backups:      C.int32_t(options.Backups),
		formula:      C.int32_t(options.Formula),
		bounded_load: C.double(options.BoundedLoad),
		floor:        C.double(options.Floor),
		tick_ms:      C.uint64_t(ticks),
		stale_ms:     C.uint64_t(stale),
		decay_ms:     C.uint64_t(decay),
		hash_seed:    C.uint64_t(options.HashSeed),
		history:      C.uint32_t(options.History),
		lanes:        C.uint32_t(options.Lanes),
		picks_max:    C.uint32_t(options.PicksMax),
		failing:      failing,
	}
	if options.Blend != nil {
		given.has_blend, given.blend = 1, C.double(*options.Blend)
	}
	if options.Gain != nil {
		given.has_gain, given.gain = 1, C.double(*options.Gain)
	}
	if options.Seed != nil {
		given.has_seed, given.seed = 1, C.uint64_t(*options.Seed)
	}
	name, length := text(options.PolicyName)
	made := C.trimtab_go_new(&given, name, length)
	return made.pool, failure("new pool", made.result)
}

func failingOf(options *PoolOptions) (C.trimtab_go_failing, error) {
	var times durations
	given := C.trimtab_go_failing_usual()
	given.panic_threshold = C.uint32_t(options.PanicThreshold)
	given.fail_open = flag(options.FailOpen)
	given.maxconn = C.uint32_t(options.Maxconn)
	given.connection_rate = C.uint32_t(options.ConnectionRate)
	given.connection_burst = C.uint32_t(options.ConnectionBurst)
	given.pending_max = C.uint32_t(options.PendingMax)
	given.retries_max = C.uint32_t(options.RetriesMax)
	given.slow_start_ms = C.uint64_t(times.of("slow_start", options.SlowStart))
	given.slow_start_aggression = C.double(options.SlowStartAggression)
	given.slow_start_min = C.double(options.SlowStartMin)
	given.retry_budget_off = C.uint8_t(flag(options.RetryBudgetOff))
	if options.RetryBudget != nil {
		given.has_retry_budget, given.retry_budget = 1, C.double(*options.RetryBudget)
	}
	if options.RetryMin != nil {
		given.has_retry_min, given.retry_min = 1, C.uint32_t(*options.RetryMin)
	}
	if outlier := options.Outlier; outlier != nil {
		given.has_outlier = 1
		setNumber(&given.outlier.consecutive_errors, outlier.ConsecutiveErrors)
		setTime(&given.outlier.interval_ms, times.of("interval", outlier.Interval))
		setTime(&given.outlier.ejection_time_ms, times.of("ejection_time", outlier.EjectionTime))
		setTime(&given.outlier.ejection_time_max_ms, times.of("ejection_time_max", outlier.EjectionTimeMax))
		if outlier.EjectionJitter != nil {
			given.outlier.ejection_jitter_ms = C.uint64_t(times.of("ejection_jitter", *outlier.EjectionJitter))
		}
		setNumber(&given.outlier.ejection_percent_max, outlier.EjectionPercentMax)
		given.outlier.success_rate = flag(!outlier.SuccessRateOff)
		setShare(&given.outlier.success_rate_factor, outlier.SuccessRateFactor)
		setCount(&given.outlier.success_rate_hosts_min, outlier.SuccessRateHostsMin)
		setCount(&given.outlier.success_rate_requests_min, outlier.SuccessRateRequestsMin)
		given.outlier.failure_percent = C.uint32_t(outlier.FailurePercent)
		setCount(&given.outlier.failure_hosts_min, outlier.FailureHostsMin)
		setCount(&given.outlier.failure_requests_min, outlier.FailureRequestsMin)
	}
	if adaptive := options.Adaptive; adaptive != nil {
		given.has_adaptive = 1
		given.adaptive.scope = C.int32_t(adaptive.Scope)
		setCount(&given.adaptive.min, adaptive.Min)
		setCount(&given.adaptive.max, adaptive.Max)
		setTime(&given.adaptive.window_ms, times.of("adaptive.window", adaptive.Window))
		if adaptive.Percentile != 0 {
			given.adaptive.percentile = C.double(adaptive.Percentile)
		}
		setTime(&given.adaptive.rtt_interval_ms, times.of("adaptive.rtt_interval", adaptive.RTTInterval))
		setShare(&given.adaptive.rtt_jitter, adaptive.RTTJitter)
		setCount(&given.adaptive.rtt_requests, adaptive.RTTRequests)
		setShare(&given.adaptive.rtt_buffer, adaptive.RTTBuffer)
		if adaptive.RTTPins != nil {
			given.adaptive.rtt_pins = flag(*adaptive.RTTPins)
		}
	}
	return given, times.err
}

func flag(is bool) C.uint32_t {
	if is {
		return 1
	}
	return 0
}

func setNumber(to *C.uint32_t, given *uint32) {
	if given != nil {
		*to = C.uint32_t(*given)
	}
}

func setShare(to *C.double, given *float64) {
	if given != nil {
		*to = C.double(*given)
	}
}

func setCount(to *C.uint32_t, given uint32) {
	if given != 0 {
		*to = C.uint32_t(given)
	}
}

func setTime(to *C.uint64_t, given uint64) {
	if given != 0 {
		*to = C.uint64_t(given)
	}
}

// poolOf makes the Pool that a pool on the other side is for Go.
func poolOf(made *C.trimtab_pool) *Pool {
	pool := &Pool{native: native{pool: made}}
	pool.cleanup = runtime.AddCleanup(pool, freeNative, made)
	return pool
}

// observe has the pool's events brought to its OnEvent. The pool is nobody else's yet.
func (p *Pool) observe(told *events) error {
	p.cleanup.Stop()
	if err := observe(unsafe.Pointer(p.native.pool), told.mailbox); err != nil {
		freeNative(p.native.pool)
		return err
	}
	p.events = told
	made := p.native.pool
	p.cleanup = runtime.AddCleanup(p, func(told *events) {
		told.isDeaf.Store(true)
		freeNative(made)
		told.end()
	}, told)
	return nil
}

func freeNative(pool *C.trimtab_pool) {
	C.trimtab_go_free(pool)
}

func (n *native) add(backend *Backend) (BackendID, error) {
	address, addressLength := text(backend.Address)
	name, nameLength := text(backend.Name)
	added := C.trimtab_go_add(&n.gate, n.pool, address, addressLength, name, nameLength, describe(backend))
	runtime.KeepAlive(n)
	if err := failure("add", added.result); err != nil {
		return 0, err
	}
	return BackendID(added.number), nil
}

func (n *native) addAll(backends []Backend) ([]BackendID, error) {
	described := make([]C.uintptr_t, 0, len(backends))
	ids := make([]BackendID, len(backends))
	for at := range backends {
		address, addressLength := text(backends[at].Address)
		name, nameLength := text(backends[at].Name)
		made := C.trimtab_go_backend_new(address, addressLength, name, nameLength, describe(&backends[at]))
		if err := failure("add all", made.result); err != nil {
			C.trimtab_go_backends_free(unsafe.SliceData(described), C.size_t(len(described)))
			return nil, err
		}
		described = append(described, C.uintptr_t(uintptr(unsafe.Pointer(made.backend))))
	}
	result := C.trimtab_go_add_all(&n.gate, n.pool, unsafe.SliceData(described), C.size_t(len(described)),
		numbers(ids))
	runtime.KeepAlive(n)
	C.trimtab_go_backends_free(unsafe.SliceData(described), C.size_t(len(described)))
	if err := failure("add all", result); err != nil {
		return nil, err
	}
	return ids, nil
}

func describe(backend *Backend) C.trimtab_go_backend {
	return C.trimtab_go_backend{
		weight:  C.uint32_t(backend.Weight),
		maxconn: C.uint32_t(backend.Maxconn),

		connection_rate:  C.uint32_t(backend.ConnectionRate),
		connection_burst: C.uint32_t(backend.ConnectionBurst),

		tier:     C.uint32_t(backend.Tier),
		tag:      C.uint64_t(backend.Tag),
		admin:    C.int32_t(backend.Admin),
		observed: C.int32_t(backend.Observed),
	}
}

// What change changes.
const (
	changeRemove   = C.TRIMTAB_GO_REMOVE
	changeWeight   = C.TRIMTAB_GO_WEIGHT
	changeMaxconn  = C.TRIMTAB_GO_MAXCONN
	changeTier     = C.TRIMTAB_GO_TIER
	changeTag      = C.TRIMTAB_GO_TAG
	changeAdmin    = C.TRIMTAB_GO_ADMIN
	changeObserved = C.TRIMTAB_GO_OBSERVED
)

func (n *native) change(operation string, what int, id BackendID, value uint64) error {
	result := C.trimtab_go_change(&n.gate, n.pool, C.int(what), C.uint64_t(id), C.uint64_t(value))
	runtime.KeepAlive(n)
	return failure(operation, result)
}

func (n *native) find(name string) (BackendID, error) {
	data, length := text(name)
	found := C.trimtab_go_find(&n.gate, n.pool, data, length)
	runtime.KeepAlive(n)
	if err := failure("find", found.result); err != nil {
		return 0, err
	}
	return BackendID(found.number), nil
}

// ids fills what fits into the slice and tells how many there are.
func (n *native) ids(ids []BackendID) (int, error) {
	counted := C.trimtab_go_ids(&n.gate, n.pool, numbers(ids), C.size_t(len(ids)))
	runtime.KeepAlive(n)
	return int(counted.number), failure("ids", counted.result)
}

func (n *native) pick(key []byte, now Instant, avoid []BackendID, into *Pick) error {
	data, length := bytes(key)
	var pick C.trimtab_pick
	var failed C.trimtab_go_failure
	status := C.trimtab_go_pick(&n.gate, n.pool, data, length, C.uint64_t(now), numbers(avoid),
		C.size_t(len(avoid)), &pick, &failed)
	runtime.KeepAlive(n)
	if status != C.TRIMTAB_OK {
		return failureHot("pick", status, failed)
	}
	into.Backend = BackendID(pick.backend)
	into.Tag = uint64(pick.tag)
	into.Token = uint64(pick.token)
	switch pick.family {
	case C.TRIMTAB_FAMILY_INET:
		ip := *(*[4]byte)(unsafe.Pointer(&pick.ip))
		into.Address = netip.AddrPortFrom(netip.AddrFrom4(ip), uint16(pick.port))
	case C.TRIMTAB_FAMILY_INET6:
		ip := netip.AddrFrom16(*(*[16]byte)(unsafe.Pointer(&pick.ip)))
		if pick.scope_id != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(pick.scope_id), 10))
		}
		into.Address = netip.AddrPortFrom(ip, uint16(pick.port))
	}
	return nil
}

func (n *native) done(token uint64, outcome Outcome, timings *Timings, now Instant) error {
	var failed C.trimtab_go_failure
	status := C.trimtab_go_done(&n.gate, n.pool, C.uint64_t(token), C.int32_t(outcome),
		C.uint64_t(timings.Connect), C.uint64_t(timings.FirstByte), C.uint64_t(timings.Total), C.uint64_t(now), &failed)
	runtime.KeepAlive(n)
	if status != C.TRIMTAB_OK {
		return failureHot("done", status, failed)
	}
	return nil
}

func (n *native) explain(key []byte, now Instant) ([]byte, error) {
	data, length := bytes(key)
	result := C.trimtab_go_explain(&n.gate, n.pool, data, length, C.uint64_t(now))
	runtime.KeepAlive(n)
	if err := failure("explain", result); err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(result.text))
	return C.GoBytes(unsafe.Pointer(result.text), C.int(result.length)), nil
}

func (n *native) address(id BackendID) (string, error) {
	result := C.trimtab_go_address(&n.gate, n.pool, C.uint64_t(id))
	runtime.KeepAlive(n)
	if err := failure("address", result); err != nil {
		return "", err
	}
	return take(result.text, result.length), nil
}

func (n *native) statistics() (PoolStatistics, error) {
	counted := C.trimtab_go_statistics(&n.gate, n.pool)
	runtime.KeepAlive(n)
	if err := failure("statistics", counted.result); err != nil {
		return PoolStatistics{}, err
	}
	return PoolStatistics{
		Backends: uint32(counted.statistics.backends),
		Serving:  uint32(counted.statistics.serving),
		Picks:    uint64(counted.statistics.picks),
		InFlight: uint64(counted.statistics.in_flight),
		Refused:  uint64(counted.statistics.refused),
		Limit:    uint32(counted.statistics.limit),
		Panic:    counted.statistics.panic != 0,
		Pending:  uint64(counted.statistics.pending),
		Retries:  uint32(counted.statistics.retries),
		Ejected:  uint32(counted.statistics.ejected),

		RetriesRefused: uint64(counted.statistics.retries_refused),
		Ejections:      uint64(counted.statistics.ejections),
	}, nil
}

func (n *native) backend(id BackendID) (BackendStatistics, error) {
	counted := C.trimtab_go_backend_statistics(&n.gate, n.pool, C.uint64_t(id))
	runtime.KeepAlive(n)
	if err := failure("backend", counted.result); err != nil {
		return BackendStatistics{}, err
	}
	statistics := &counted.statistics
	since := Instant(statistics.observed_since_ns)
	if since == never {
		since = 0
	}
	return BackendStatistics{
		ID:            BackendID(statistics.id),
		Name:          take(counted.result.text, counted.result.length),
		Address:       take(counted.address, counted.address_length),
		Weight:        uint32(statistics.weight),
		Maxconn:       uint32(statistics.maxconn),
		Tier:          uint8(statistics.tier),
		Tag:           uint64(statistics.tag),
		Admin:         AdminState(statistics.admin),
		Observed:      ObservedState(statistics.observed),
		Serving:       statistics.serving != 0,
		Picks:         uint64(statistics.picks),
		InFlight:      uint64(statistics.in_flight),
		Success:       uint64(statistics.success),
		ConnectFailed: uint64(statistics.connect_failed),
		Failed:        uint64(statistics.failed),
		TimedOut:      uint64(statistics.timed_out),
		Cancelled:     uint64(statistics.cancelled),
		ResponseMean:  time.Duration(statistics.response_mean_ns),
		Share:         float64(statistics.share),

		Limit:             uint32(statistics.limit),
		ConsecutiveErrors: uint32(statistics.consecutive_errors),
		ConnectionRate:    uint32(statistics.connection_rate),
		ConnectionBurst:   uint32(statistics.connection_burst),
		ObservedSince:     since,
		SlowStart:         float64(statistics.slow_start),
		Reason:            take(counted.reason, counted.reason_length),
	}, nil
}

func (n *native) handleTimeout(now Instant) error {
	result := C.trimtab_go_handle_timeout(&n.gate, n.pool, C.uint64_t(now))
	runtime.KeepAlive(n)
	return failure("handle timeout", result)
}

func (n *native) nextDeadline() (Instant, error) {
	deadline := C.trimtab_go_next_deadline(&n.gate, n.pool)
	runtime.KeepAlive(n)
	return Instant(deadline.number), failure("next deadline", deadline.result)
}

func now() Instant {
	return Instant(C.trimtab_go_now())
}

//go:noinline
func failureHot(operation string, status C.trimtab_status, failed C.trimtab_go_failure) error {
	// The number is the address of C memory, which the collector does not move.
	data := *(**C.char)(unsafe.Pointer(&failed.text))
	return failure(operation, C.trimtab_go_result{status: status, text: data, length: failed.length})
}

func numbers(ids []BackendID) *C.uint64_t {
	return (*C.uint64_t)(unsafe.Pointer(unsafe.SliceData(ids)))
}
