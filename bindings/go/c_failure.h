// How a pool handles failure: the options of it, retries, waiting, and its events.

#ifndef TRIMTAB_GO_C_FAILURE_H
#define TRIMTAB_GO_C_FAILURE_H

#include "c_events.h"

typedef struct trimtab_go_failing {
    uint32_t panic_threshold, fail_open, maxconn, connection_rate, connection_burst, pending_max, retry_min,
        retries_max;
    uint64_t slow_start_ms;
    double slow_start_aggression, slow_start_min, retry_budget;
    uint8_t has_retry_budget, has_retry_min, retry_budget_off, has_outlier, has_adaptive;
    trimtab_outlier outlier;
    trimtab_adaptive adaptive;
} trimtab_go_failing;

static inline trimtab_go_failing trimtab_go_failing_usual(void) {
    trimtab_go_failing usual = {0};
    usual.outlier.struct_size = sizeof usual.outlier;
    usual.adaptive.struct_size = sizeof usual.adaptive;
    trimtab_outlier_defaults_read(&usual.outlier);
    trimtab_adaptive_defaults_read(&usual.adaptive);
    return usual;
}

static inline trimtab_status trimtab_go_set_failing(trimtab_pool_options *options, const trimtab_go_failing *given) {
    trimtab_status status = trimtab_pool_options_set_panic_threshold(options, given->panic_threshold);
    if (status == TRIMTAB_OK) status = trimtab_pool_options_set_fail_open(options, given->fail_open);
    if (status == TRIMTAB_OK) status = trimtab_pool_options_set_slow_start_ms(options, given->slow_start_ms);
    if (status == TRIMTAB_OK && given->slow_start_aggression != 0)
        status = trimtab_pool_options_set_slow_start_aggression(options, given->slow_start_aggression);
    if (status == TRIMTAB_OK && given->slow_start_min != 0)
        status = trimtab_pool_options_set_slow_start_min(options, given->slow_start_min);
    if (status == TRIMTAB_OK) status = trimtab_pool_options_set_maxconn(options, given->maxconn);
    if (status == TRIMTAB_OK)
        status = trimtab_pool_options_set_connection_rate(options, given->connection_rate, given->connection_burst);
    if (status == TRIMTAB_OK) status = trimtab_pool_options_set_pending_max(options, given->pending_max);
    if (status == TRIMTAB_OK && given->has_retry_budget)
        status = trimtab_pool_options_set_retry_budget(options, given->retry_budget);
    if (status == TRIMTAB_OK && given->retry_budget_off) status = trimtab_pool_options_set_retry_budget_off(options);
    if (status == TRIMTAB_OK && given->has_retry_min)
        status = trimtab_pool_options_set_retry_min(options, given->retry_min);
    if (status == TRIMTAB_OK) status = trimtab_pool_options_set_retries_max(options, given->retries_max);
    if (status == TRIMTAB_OK && given->has_outlier)
        status = trimtab_pool_options_set_outlier(options, &given->outlier);
    if (status == TRIMTAB_OK && given->has_adaptive)
        status = trimtab_pool_options_set_adaptive(options, &given->adaptive);
    return status;
}

// What trimtab calls. `user_data` is a mailbox; the event is put there as a server's would be.
static inline void trimtab_go_pool_tell(const trimtab_pool_event *told, void *user_data) {
    trimtab_event event = {.struct_size = sizeof event, .kind = told->kind, .number = told->number};
    event.name = event.listener = event.pool = event.value = "";
    event.backend = told->name;
    event.backend_len = told->name_len;
    event.detail = told->reason;
    event.detail_len = told->reason_len;
    trimtab_go_put(user_data, &event, told->backend);
}

static inline trimtab_go_result trimtab_go_observe(const trimtab_pool *pool, trimtab_go_mailbox *mailbox) {
    return trimtab_go_result_of(trimtab_pool_observe(pool, trimtab_go_pool_tell, mailbox));
}

static inline trimtab_go_result trimtab_go_set_rate(trimtab_go_gate *gate, const trimtab_pool *pool, uint64_t id,
                                                    uint32_t rate, uint32_t burst) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    return trimtab_go_leave(calls, trimtab_pool_set_connection_rate(pool, id, rate, burst));
}

static inline trimtab_go_result trimtab_go_set_observed(trimtab_go_gate *gate, const trimtab_pool *pool, uint64_t id,
                                                        int32_t observed, const char *reason, size_t length,
                                                        uint64_t now_ns) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    trimtab_str why = trimtab_go_str(reason, length);
    return trimtab_go_leave(calls, trimtab_pool_set_observed_with(pool, id, observed, why, now_ns));
}

static inline trimtab_go_number trimtab_go_retry_begin(trimtab_go_gate *gate, const trimtab_pool *pool,
                                                       uint64_t now_ns) {
    trimtab_go_number begun = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        begun.result = trimtab_go_closed();
        return begun;
    }
    begun.result = trimtab_go_leave(calls, trimtab_pool_retry_begin(pool, now_ns, &begun.number));
    return begun;
}

static inline trimtab_go_result trimtab_go_retry_end(trimtab_go_gate *gate, const trimtab_pool *pool,
                                                     uint64_t retry) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    return trimtab_go_leave(calls, trimtab_pool_retry_end(pool, retry));
}

static inline trimtab_go_number trimtab_go_may_retry(trimtab_go_gate *gate, const trimtab_pool *pool,
                                                     uint64_t now_ns) {
    trimtab_go_number may = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        may.result = trimtab_go_closed();
        return may;
    }
    int32_t value = 0;
    may.result = trimtab_go_leave(calls, trimtab_pool_may_retry(pool, now_ns, &value));
    may.number = value != 0;
    return may;
}

static inline trimtab_go_result trimtab_go_want(trimtab_go_gate *gate, const trimtab_pool *pool, int is_over) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    return trimtab_go_leave(calls, is_over ? trimtab_pool_unwant(pool) : trimtab_pool_try_want(pool));
}

#endif
