package trimtab

// Everything that touches C stands in this file: the one import of "C", the wrappers and the functions
// that call them.
//
// A goroutine may find itself on another thread after a call into C, and trimtab keeps the detail of a
// failure per thread. So each wrapper fetches the detail itself, within the one crossing. Nothing here
// calls back into Go (nocallback) or keeps what it is passed (noescape): arguments stay on the
// goroutine's stack and a pick allocates nothing.

/*
#cgo !trimtab_shared CFLAGS: -I${SRCDIR}/../../include
#cgo !trimtab_shared,linux,amd64 LDFLAGS: -L${SRCDIR}/lib/linux_amd64 -l:libtrimtab.a -lm -ldl -lpthread
#cgo !trimtab_shared,linux,arm64 LDFLAGS: -L${SRCDIR}/lib/linux_arm64 -l:libtrimtab.a -lm -ldl -lpthread
#cgo trimtab_shared pkg-config: trimtab

#cgo noescape trimtab_go_new
#cgo nocallback trimtab_go_new
#cgo noescape trimtab_go_free
#cgo nocallback trimtab_go_free
#cgo noescape trimtab_go_shut
#cgo nocallback trimtab_go_shut
#cgo noescape trimtab_go_busy
#cgo nocallback trimtab_go_busy
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
#cgo noescape trimtab_go_feature
#cgo nocallback trimtab_go_feature
#cgo noescape trimtab_go_version
#cgo nocallback trimtab_go_version
#cgo noescape trimtab_go_status_name
#cgo nocallback trimtab_go_status_name

#include <stdlib.h>
#include <string.h>

#include "trimtab.h"

// The gate: who is inside a pool, so that Close frees it only when nobody is.
//
// Each thread counts on a cache line of its own, as long as there are no more than GATE_LANES threads. A
// call counts itself in, then looks whether the gate is shut; Close shuts it, then looks who is in. Both
// are sequentially consistent, so one of the two sees the other.

#define TRIMTAB_GO_GATE_LANES 64

typedef struct trimtab_go_gate_lane {
    uint32_t calls;
    char to_next_cache_line[60];
} trimtab_go_gate_lane;

typedef struct trimtab_go_gate {
    uint32_t is_shut;
    char to_next_cache_line[60];
    trimtab_go_gate_lane lanes[TRIMTAB_GO_GATE_LANES];
} trimtab_go_gate;

static uint32_t trimtab_go_threads;
static _Thread_local uint32_t trimtab_go_thread;

// Gives the count to leave by, or NULL when the gate is shut.
static inline uint32_t *trimtab_go_enter(trimtab_go_gate *gate) {
    if (trimtab_go_thread == 0) {
        trimtab_go_thread = __atomic_add_fetch(&trimtab_go_threads, 1, __ATOMIC_RELAXED);
    }
    uint32_t *calls = &gate->lanes[trimtab_go_thread % TRIMTAB_GO_GATE_LANES].calls;
    __atomic_fetch_add(calls, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&gate->is_shut, __ATOMIC_SEQ_CST)) {
        __atomic_fetch_sub(calls, 1, __ATOMIC_RELEASE);
        return NULL;
    }
    return calls;
}

static void trimtab_go_shut(trimtab_go_gate *gate) {
    __atomic_store_n(&gate->is_shut, 1, __ATOMIC_SEQ_CST);
}

// The first lane from `lane` on that somebody is in, of a gate that is shut. A lane once seen empty needs
// no second look: whoever counts in there later finds the gate shut and touches nothing.
static uint32_t trimtab_go_busy(trimtab_go_gate *gate, uint32_t lane) {
    while (lane < TRIMTAB_GO_GATE_LANES && __atomic_load_n(&gate->lanes[lane].calls, __ATOMIC_SEQ_CST) == 0) {
        lane++;
    }
    return lane;
}

// What a call came to. `text` is the detail of a failure, or the text asked for; the caller frees it.
typedef struct trimtab_go_result {
    trimtab_status status;
    char *text;
    size_t length;
} trimtab_go_result;

static __attribute__((noinline, cold)) trimtab_go_result trimtab_go_failed(trimtab_status status) {
    trimtab_go_result result = {.status = status};
    size_t length = 0;
    trimtab_last_error_copy(NULL, 0, &length);
    char *text = malloc(length + 1);
    if (text != NULL && trimtab_last_error_copy(text, length + 1, NULL) == TRIMTAB_OK) {
        result.text = text;
        result.length = length;
    } else {
        free(text);
    }
    return result;
}

static inline trimtab_go_result trimtab_go_result_of(trimtab_status status) {
    if (__builtin_expect(status == TRIMTAB_OK, 1)) {
        return (trimtab_go_result){.status = TRIMTAB_OK};
    }
    return trimtab_go_failed(status);
}

static inline trimtab_go_result trimtab_go_leave(uint32_t *calls, trimtab_status status) {
    trimtab_go_result result = trimtab_go_result_of(status);
    __atomic_fetch_sub(calls, 1, __ATOMIC_RELEASE);
    return result;
}

// A failure's text for who cannot be passed a pointer that holds pointers: its address, as a number.
typedef struct trimtab_go_failure {
    uintptr_t text;
    size_t length;
} trimtab_go_failure;

static inline trimtab_status trimtab_go_leave_hot(uint32_t *calls, trimtab_status status, trimtab_go_failure *failed) {
    if (__builtin_expect(status != TRIMTAB_OK, 0)) {
        trimtab_go_result result = trimtab_go_failed(status);
        failed->text = (uintptr_t)result.text;
        failed->length = result.length;
    }
    __atomic_fetch_sub(calls, 1, __ATOMIC_RELEASE);
    return status;
}

// The gate was shut: no text, so that Go can tell it from a pool that saw a panic.
static inline trimtab_go_result trimtab_go_closed(void) {
    return (trimtab_go_result){.status = TRIMTAB_E_CLOSED};
}

static inline trimtab_str trimtab_go_str(const char *data, size_t length) {
    return (trimtab_str){.data = data, .len = length};
}

static inline trimtab_bytes trimtab_go_bytes(const uint8_t *data, size_t length) {
    return (trimtab_bytes){.data = data, .len = length};
}

// A pool is made.

typedef struct trimtab_go_options {
    int32_t policy, hash, backups, formula;
    double bounded_load, blend, gain, floor;
    uint64_t tick_ms, stale_ms, decay_ms, seed, hash_seed;
    uint32_t history, lanes, picks_max;
    // Where 0 is a value of its own, and not the default.
    uint8_t has_blend, has_gain, has_seed;
} trimtab_go_options;

typedef struct trimtab_go_pool {
    trimtab_go_result result;
    trimtab_pool *pool;
} trimtab_go_pool;

static trimtab_status trimtab_go_set(trimtab_pool_options *options, const trimtab_go_options *given,
                                     const char *policy_name, size_t policy_name_length) {
    trimtab_status status = trimtab_pool_options_set_policy(options, given->policy);
    if (status == TRIMTAB_OK && policy_name_length != 0)
        status = trimtab_pool_options_set_policy_name(options, trimtab_go_str(policy_name, policy_name_length));
    if (status == TRIMTAB_OK) status = trimtab_pool_options_set_hash(options, given->hash);
    if (status == TRIMTAB_OK) status = trimtab_pool_options_set_backups(options, given->backups);
    if (status == TRIMTAB_OK) status = trimtab_pool_options_set_formula(options, given->formula);
    if (status == TRIMTAB_OK) status = trimtab_pool_options_set_bounded_load(options, given->bounded_load);
    if (status == TRIMTAB_OK && given->tick_ms != 0)
        status = trimtab_pool_options_set_tick_ms(options, given->tick_ms);
    if (status == TRIMTAB_OK && given->has_blend)
        status = trimtab_pool_options_set_blend(options, given->blend);
    if (status == TRIMTAB_OK && given->has_gain)
        status = trimtab_pool_options_set_gain(options, given->gain);
    if (status == TRIMTAB_OK && given->history != 0)
        status = trimtab_pool_options_set_history(options, given->history);
    if (status == TRIMTAB_OK && given->floor != 0)
        status = trimtab_pool_options_set_floor(options, given->floor);
    if (status == TRIMTAB_OK && given->stale_ms != 0)
        status = trimtab_pool_options_set_stale_ms(options, given->stale_ms);
    if (status == TRIMTAB_OK && given->decay_ms != 0)
        status = trimtab_pool_options_set_decay_ms(options, given->decay_ms);
    if (status == TRIMTAB_OK && given->has_seed)
        status = trimtab_pool_options_set_seed(options, given->seed);
    if (status == TRIMTAB_OK) status = trimtab_pool_options_set_hash_seed(options, given->hash_seed);
    if (status == TRIMTAB_OK) status = trimtab_pool_options_set_lanes(options, given->lanes);
    if (status == TRIMTAB_OK && given->picks_max != 0)
        status = trimtab_pool_options_set_picks_max(options, given->picks_max);
    return status;
}

static trimtab_go_pool trimtab_go_new(const trimtab_go_options *given, const char *policy_name,
                                      size_t policy_name_length) {
    trimtab_go_pool made = {0};
    trimtab_pool_options *options = NULL;
    trimtab_status status = trimtab_pool_options_new(&options);
    if (status == TRIMTAB_OK) status = trimtab_go_set(options, given, policy_name, policy_name_length);
    if (status == TRIMTAB_OK) status = trimtab_pool_new(options, &made.pool);
    // Before the options are freed: that is a call too, and replaces the detail.
    made.result = trimtab_go_result_of(status);
    trimtab_pool_options_free(options);
    return made;
}

static void trimtab_go_free(trimtab_pool *pool) {
    trimtab_pool_free(pool);
}

// Backends come and go.

typedef struct trimtab_go_backend {
    uint32_t weight, maxconn, tier;
    int32_t admin, observed;
    uint64_t tag;
} trimtab_go_backend;

typedef struct trimtab_go_described {
    trimtab_go_result result;
    trimtab_backend *backend;
} trimtab_go_described;

static trimtab_go_described trimtab_go_backend_new(const char *address, size_t address_length, const char *name,
                                                   size_t name_length, trimtab_go_backend given) {
    trimtab_go_described made = {0};
    trimtab_status status = trimtab_backend_new(trimtab_go_str(address, address_length), &made.backend);
    if (status == TRIMTAB_OK && name_length != 0)
        status = trimtab_backend_set_name(made.backend, trimtab_go_str(name, name_length));
    if (status == TRIMTAB_OK && given.weight != 0)
        status = trimtab_backend_set_weight(made.backend, given.weight);
    if (status == TRIMTAB_OK) status = trimtab_backend_set_maxconn(made.backend, given.maxconn);
    if (status == TRIMTAB_OK) status = trimtab_backend_set_tier(made.backend, given.tier);
    if (status == TRIMTAB_OK) status = trimtab_backend_set_tag(made.backend, given.tag);
    if (status == TRIMTAB_OK) status = trimtab_backend_set_admin(made.backend, given.admin);
    if (status == TRIMTAB_OK) status = trimtab_backend_set_observed(made.backend, given.observed);
    made.result = trimtab_go_result_of(status);
    if (status != TRIMTAB_OK) {
        trimtab_backend_free(made.backend);
        made.backend = NULL;
    }
    return made;
}

typedef struct trimtab_go_number {
    trimtab_go_result result;
    uint64_t number;
} trimtab_go_number;

static trimtab_go_number trimtab_go_add(trimtab_go_gate *gate, const trimtab_pool *pool, const char *address,
                                        size_t address_length, const char *name, size_t name_length,
                                        trimtab_go_backend given) {
    trimtab_go_number added = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        added.result = trimtab_go_closed();
        return added;
    }
    trimtab_go_described made = trimtab_go_backend_new(address, address_length, name, name_length, given);
    if (made.backend == NULL) {
        trimtab_go_leave(calls, TRIMTAB_OK);
        added.result = made.result;
        return added;
    }
    added.result = trimtab_go_leave(calls, trimtab_pool_add(pool, made.backend, &added.number));
    trimtab_backend_free(made.backend);
    return added;
}

// `backends` is an array of trimtab_backend pointers, here as below.
static trimtab_go_result trimtab_go_add_all(trimtab_go_gate *gate, const trimtab_pool *pool,
                                            const uintptr_t *backends, size_t count, uint64_t *ids) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    const trimtab_backend *const *described = (const trimtab_backend *const *)backends;
    return trimtab_go_leave(calls, trimtab_pool_add_all(pool, described, count, ids));
}

static void trimtab_go_backends_free(const uintptr_t *backends, size_t count) {
    for (size_t at = 0; at < count; at++) {
        trimtab_backend_free((trimtab_backend *)backends[at]);
    }
}

enum {
    TRIMTAB_GO_REMOVE,
    TRIMTAB_GO_WEIGHT,
    TRIMTAB_GO_MAXCONN,
    TRIMTAB_GO_TIER,
    TRIMTAB_GO_TAG,
    TRIMTAB_GO_ADMIN,
    TRIMTAB_GO_OBSERVED,
};

static trimtab_go_result trimtab_go_change(trimtab_go_gate *gate, const trimtab_pool *pool, int what, uint64_t id,
                                           uint64_t value) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    trimtab_status status = TRIMTAB_E_INVALID_ARGUMENT;
    switch (what) {
    case TRIMTAB_GO_REMOVE: status = trimtab_pool_remove(pool, id); break;
    case TRIMTAB_GO_WEIGHT: status = trimtab_pool_set_weight(pool, id, (uint32_t)value); break;
    case TRIMTAB_GO_MAXCONN: status = trimtab_pool_set_maxconn(pool, id, (uint32_t)value); break;
    case TRIMTAB_GO_TIER: status = trimtab_pool_set_tier(pool, id, (uint32_t)value); break;
    case TRIMTAB_GO_TAG: status = trimtab_pool_set_tag(pool, id, value); break;
    case TRIMTAB_GO_ADMIN: status = trimtab_pool_set_admin(pool, id, (int32_t)value); break;
    case TRIMTAB_GO_OBSERVED: status = trimtab_pool_set_observed(pool, id, (int32_t)value); break;
    }
    return trimtab_go_leave(calls, status);
}

static trimtab_go_number trimtab_go_find(trimtab_go_gate *gate, const trimtab_pool *pool, const char *name,
                                         size_t name_length) {
    trimtab_go_number found = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        found.result = trimtab_go_closed();
        return found;
    }
    trimtab_status status = trimtab_pool_find(pool, trimtab_go_str(name, name_length), &found.number);
    found.result = trimtab_go_leave(calls, status);
    return found;
}

static trimtab_go_number trimtab_go_ids(trimtab_go_gate *gate, const trimtab_pool *pool, uint64_t *ids,
                                        size_t size) {
    trimtab_go_number counted = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        counted.result = trimtab_go_closed();
        return counted;
    }
    size_t count = 0;
    counted.result = trimtab_go_leave(calls, trimtab_pool_ids_copy(pool, ids, size, &count));
    counted.number = count;
    return counted;
}

// Picks.

// The two calls of the hot path write what they find into the caller's memory, and in `failed` only on
// failure: a struct that is returned is copied twice on its way.

static trimtab_status trimtab_go_pick(trimtab_go_gate *gate, const trimtab_pool *pool, const uint8_t *key,
                                      size_t key_length, uint64_t now_ns, const uint64_t *avoid,
                                      size_t avoid_count, trimtab_pick *pick, trimtab_go_failure *failed) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return TRIMTAB_E_CLOSED;
    pick->struct_size = sizeof *pick;
    trimtab_bytes bytes = trimtab_go_bytes(key, key_length);
    trimtab_status status = avoid_count == 0
                                ? trimtab_pool_pick(pool, bytes, now_ns, pick)
                                : trimtab_pool_pick_avoiding(pool, bytes, now_ns, avoid, avoid_count, pick);
    return trimtab_go_leave_hot(calls, status, failed);
}

static trimtab_status trimtab_go_done(trimtab_go_gate *gate, const trimtab_pool *pool, uint64_t token,
                                      int32_t outcome, uint64_t connect_ns, uint64_t first_byte_ns,
                                      uint64_t total_ns, uint64_t now_ns, trimtab_go_failure *failed) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return TRIMTAB_E_CLOSED;
    // In Go, no time at all is how "not measured" is written.
    trimtab_timings timings = {
        .struct_size = sizeof timings,
        .connect_ns = connect_ns == 0 ? TRIMTAB_NO_TIME : connect_ns,
        .first_byte_ns = first_byte_ns == 0 ? TRIMTAB_NO_TIME : first_byte_ns,
        .total_ns = total_ns == 0 ? TRIMTAB_NO_TIME : total_ns,
    };
    return trimtab_go_leave_hot(calls, trimtab_pool_done(pool, token, outcome, &timings, now_ns), failed);
}

// What a pool tells of itself.

// A text may grow between the call that measures it and the one that copies it: then once more, with room
// to spare. The bound is for a library that never comes to an end; the text is cut then.
#define TRIMTAB_GO_TRIES_MAX 8

static trimtab_go_result trimtab_go_explain(trimtab_go_gate *gate, const trimtab_pool *pool, const uint8_t *key,
                                            size_t key_length, uint64_t now_ns) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    trimtab_bytes bytes = trimtab_go_bytes(key, key_length);
    char *text = NULL;
    size_t size = 0, length = 0;
    trimtab_status status = TRIMTAB_OK;
    for (int tries = 0; tries < TRIMTAB_GO_TRIES_MAX; tries++) {
        status = trimtab_pool_explain_copy(pool, bytes, now_ns, text, size, &length);
        if (status != TRIMTAB_OK || length < size) break;
        free(text);
        size = length + length / 4 + 256;
        text = malloc(size);
        if (text == NULL) size = 0;
    }
    trimtab_go_result result = trimtab_go_leave(calls, status);
    if (status != TRIMTAB_OK || text == NULL) {
        free(text);
        return result;
    }
    result.text = text;
    result.length = length < size ? length : size - 1;
    return result;
}

typedef trimtab_status (*trimtab_go_copy)(const trimtab_pool *, uint64_t, char *, size_t, size_t *);

// A backend's name or address, which never changes.
static trimtab_status trimtab_go_text_of(const trimtab_pool *pool, uint64_t id, trimtab_go_copy copy, char **text_out,
                                         size_t *length_out) {
    size_t length = 0;
    trimtab_status status = copy(pool, id, NULL, 0, &length);
    if (status != TRIMTAB_OK) return status;
    char *text = malloc(length + 1);
    if (text == NULL) return TRIMTAB_OK;
    status = copy(pool, id, text, length + 1, NULL);
    if (status != TRIMTAB_OK) {
        free(text);
        return status;
    }
    *text_out = text;
    *length_out = length;
    return TRIMTAB_OK;
}

static trimtab_go_result trimtab_go_address(trimtab_go_gate *gate, const trimtab_pool *pool, uint64_t id) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    char *text = NULL;
    size_t length = 0;
    trimtab_status status = trimtab_go_text_of(pool, id, trimtab_pool_address_copy, &text, &length);
    trimtab_go_result result = trimtab_go_leave(calls, status);
    if (status == TRIMTAB_OK) {
        result.text = text;
        result.length = length;
    }
    return result;
}

typedef struct trimtab_go_counted {
    trimtab_go_result result;
    trimtab_pool_statistics statistics;
} trimtab_go_counted;

static trimtab_go_counted trimtab_go_statistics(trimtab_go_gate *gate, const trimtab_pool *pool) {
    trimtab_go_counted counted = {.statistics = {.struct_size = sizeof counted.statistics}};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        counted.result = trimtab_go_closed();
        return counted;
    }
    counted.result = trimtab_go_leave(calls, trimtab_pool_statistics_read(pool, &counted.statistics));
    return counted;
}

// `result.text` is the name; the caller frees the address as well.
typedef struct trimtab_go_backend_counted {
    trimtab_go_result result;
    char *address;
    size_t address_length;
    trimtab_backend_statistics statistics;
} trimtab_go_backend_counted;

static trimtab_go_backend_counted trimtab_go_backend_statistics(trimtab_go_gate *gate, const trimtab_pool *pool,
                                                                uint64_t id) {
    trimtab_go_backend_counted counted = {.statistics = {.struct_size = sizeof counted.statistics}};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        counted.result = trimtab_go_closed();
        return counted;
    }
    char *name = NULL;
    size_t name_length = 0;
    trimtab_status status = trimtab_pool_backend_statistics_read(pool, id, &counted.statistics);
    if (status == TRIMTAB_OK)
        status = trimtab_go_text_of(pool, id, trimtab_pool_name_copy, &name, &name_length);
    if (status == TRIMTAB_OK)
        status = trimtab_go_text_of(pool, id, trimtab_pool_address_copy, &counted.address, &counted.address_length);
    counted.result = trimtab_go_leave(calls, status);
    if (status == TRIMTAB_OK) {
        counted.result.text = name;
        counted.result.length = name_length;
    } else {
        free(name);
    }
    return counted;
}

// Time.

static trimtab_go_result trimtab_go_handle_timeout(trimtab_go_gate *gate, const trimtab_pool *pool,
                                                   uint64_t now_ns) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    return trimtab_go_leave(calls, trimtab_pool_handle_timeout(pool, now_ns));
}

static trimtab_go_number trimtab_go_next_deadline(trimtab_go_gate *gate, const trimtab_pool *pool) {
    trimtab_go_number deadline = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        deadline.result = trimtab_go_closed();
        return deadline;
    }
    deadline.result = trimtab_go_leave(calls, trimtab_pool_next_deadline(pool, &deadline.number));
    return deadline;
}

static uint64_t trimtab_go_now(void) {
    uint64_t now_ns = 0;
    trimtab_now(&now_ns);
    return now_ns;
}

// The library.

static trimtab_go_number trimtab_go_feature(const char *name, size_t name_length) {
    trimtab_go_number has = {0};
    int32_t value = 0;
    has.result = trimtab_go_result_of(trimtab_feature_has(trimtab_go_str(name, name_length), &value));
    has.number = value != 0;
    return has;
}

static size_t trimtab_go_version(char *buffer, size_t size) {
    size_t length = 0;
    if (trimtab_version_copy(buffer, size, &length) != TRIMTAB_OK) return 0;
    return length < size ? length : size - 1;
}

static size_t trimtab_go_status_name(trimtab_status status, char *buffer, size_t size) {
    size_t length = 0;
    if (trimtab_status_name_copy(status, buffer, size, &length) != TRIMTAB_OK) return 0;
    return length < size ? length : size - 1;
}
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

// archiveSum is set by the file that build-archive.sh writes beside the archive. The go command does not
// look into an archive for changes; it sees this one, and links anew.
var archiveSum string

func newNative(options *PoolOptions, ticks, stale, decay uint64) (*C.trimtab_pool, error) {
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

func freeNative(pool *C.trimtab_pool) {
	C.trimtab_go_free(pool)
}

// shut lets nobody in any more and returns when everybody is out. No call stays inside for long.
func (n *native) shut() {
	C.trimtab_go_shut(&n.gate)
	lane := C.uint32_t(0)
	for tries := 0; ; tries++ {
		if lane = C.trimtab_go_busy(&n.gate, lane); lane == C.TRIMTAB_GO_GATE_LANES {
			return
		}
		if tries < 100 {
			runtime.Gosched()
		} else {
			time.Sleep(50 * time.Microsecond)
		}
	}
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
		weight:   C.uint32_t(backend.Weight),
		maxconn:  C.uint32_t(backend.Maxconn),
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
	}, nil
}

func (n *native) backend(id BackendID) (BackendStatistics, error) {
	counted := C.trimtab_go_backend_statistics(&n.gate, n.pool, C.uint64_t(id))
	runtime.KeepAlive(n)
	if err := failure("backend", counted.result); err != nil {
		return BackendStatistics{}, err
	}
	statistics := &counted.statistics
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

func version() string {
	var buffer [64]byte
	length := C.trimtab_go_version((*C.char)(unsafe.Pointer(&buffer)), C.size_t(len(buffer)))
	return string(buffer[:length])
}

func abiVersion() uint32 {
	return uint32(C.trimtab_abi_version())
}

func hasFeature(name string) (bool, error) {
	data, length := text(name)
	has := C.trimtab_go_feature(data, length)
	return has.number != 0, failure("has feature", has.result)
}

func statusName(code Code) string {
	var buffer [64]byte
	length := C.trimtab_go_status_name(C.trimtab_status(code), (*C.char)(unsafe.Pointer(&buffer)),
		C.size_t(len(buffer)))
	return string(buffer[:length])
}

// failure turns what a call came to into an error, nil for none, and frees its text in that case.
func failure(operation string, result C.trimtab_go_result) error {
	if result.status == C.TRIMTAB_OK {
		return nil
	}
	err := &Error{Code: Code(result.status), Operation: operation}
	switch {
	case result.text != nil:
		err.Detail = take(result.text, result.length)
	case err.Code == CodeClosed:
		err.Detail = "the pool is closed"
	}
	return err
}

//go:noinline
func failureHot(operation string, status C.trimtab_status, failed C.trimtab_go_failure) error {
	// The number is the address of C memory, which the collector does not move.
	data := *(**C.char)(unsafe.Pointer(&failed.text))
	return failure(operation, C.trimtab_go_result{status: status, text: data, length: failed.length})
}

// take makes a C text into a string and frees it.
func take(data *C.char, length C.size_t) string {
	defer C.free(unsafe.Pointer(data))
	return C.GoStringN(data, C.int(length))
}

func text(s string) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.StringData(s))), C.size_t(len(s))
}

func bytes(b []byte) (*C.uint8_t, C.size_t) {
	return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(b))), C.size_t(len(b))
}

func numbers(ids []BackendID) *C.uint64_t {
	return (*C.uint64_t)(unsafe.Pointer(unsafe.SliceData(ids)))
}
