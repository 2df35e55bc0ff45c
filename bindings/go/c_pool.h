// A pool's functions, each in one crossing with the gate and the detail of a failure. See c.go.

#include "c_failure.h"

// A pool is made.

typedef struct trimtab_go_options {
    int32_t policy, hash, backups, formula;
    double bounded_load, blend, gain, floor;
    uint64_t tick_ms, stale_ms, decay_ms, seed, hash_seed;
    uint32_t history, lanes, picks_max;
    // Where 0 is a value of its own, and not the default.
    uint8_t has_blend, has_gain, has_seed;
    trimtab_go_failing failing;
} trimtab_go_options;

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
    if (status == TRIMTAB_OK) status = trimtab_go_set_failing(options, &given->failing);
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
    uint32_t weight, maxconn, tier, connection_rate, connection_burst;
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
    if (status == TRIMTAB_OK)
        status = trimtab_backend_set_connection_rate(made.backend, given.connection_rate, given.connection_burst);
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

typedef struct trimtab_go_explained {
    const trimtab_pool *pool;
    trimtab_bytes key;
    uint64_t now_ns;
} trimtab_go_explained;

static trimtab_status trimtab_go_explain_copy(const void *context, char *buffer, size_t size, size_t *length) {
    const trimtab_go_explained *asked = context;
    return trimtab_pool_explain_copy(asked->pool, asked->key, asked->now_ns, buffer, size, length);
}

static trimtab_go_result trimtab_go_explain(trimtab_go_gate *gate, const trimtab_pool *pool, const uint8_t *key,
                                            size_t key_length, uint64_t now_ns) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    trimtab_go_explained asked = {.pool = pool, .key = trimtab_go_bytes(key, key_length), .now_ns = now_ns};
    return trimtab_go_leave_with_text(calls, trimtab_go_explain_copy, &asked);
}

typedef trimtab_status (*trimtab_go_fixed)(const trimtab_pool *, uint64_t, char *, size_t, size_t *);

// A backend's name or address, which never changes, or its reason.
static trimtab_status trimtab_go_text_of(const trimtab_pool *pool, uint64_t id, trimtab_go_fixed copy, char **text_out,
                                         size_t *length_out) {
    size_t length = 0;
    trimtab_status status = copy(pool, id, NULL, 0, &length);
    if (status != TRIMTAB_OK) return status;
    char *text = malloc(length + 1);
    if (text == NULL) return TRIMTAB_OK;
    size_t copied = 0;
    status = copy(pool, id, text, length + 1, &copied);
    if (status != TRIMTAB_OK) {
        free(text);
        return status;
    }
    // A reason may be another one by now; then what fitted is what there is.
    *text_out = text;
    *length_out = copied <= length ? copied : strlen(text);
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
    char *reason;
    size_t reason_length;
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
    if (status == TRIMTAB_OK)
        status = trimtab_go_text_of(pool, id, trimtab_pool_reason_copy, &counted.reason, &counted.reason_length);
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
