/* How a pool handles failure, from C: each option at its limits, ejection, panic, limits, retries, waiting, events. */
#include "check.h"

#define SECOND UINT64_C(1000000000)
/* A clock of the test's own: every call says its time. */
#define START (100 * SECOND)

static trimtab_pool_options *options;

static trimtab_outlier usual_outlier(void)
{
    trimtab_outlier outlier;
    memset(&outlier, 0x5a, sizeof outlier);
    outlier.struct_size = sizeof outlier;
    OK(trimtab_outlier_defaults_read(&outlier));
    return outlier;
}

static trimtab_adaptive usual_adaptive(void)
{
    trimtab_adaptive adaptive;
    memset(&adaptive, 0x5a, sizeof adaptive);
    adaptive.struct_size = sizeof adaptive;
    OK(trimtab_adaptive_defaults_read(&adaptive));
    return adaptive;
}

/* `call` is refused, and the detail names the option, the value and the range. */
#define REFUSED(call, option, value, range)                                                    \
    do {                                                                                       \
        EXPECT(TRIMTAB_E_INVALID_ARGUMENT, call);                                              \
        CHECK(strstr(last_error(), option) != NULL);                                           \
        CHECK(strstr(last_error(), value) != NULL && strstr(last_error(), range) != NULL);     \
    } while (0)

static void plain_options(void)
{
    OK(trimtab_pool_options_set_backups(options, TRIMTAB_BACKUPS_SPILL));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_pool_options_set_backups(options, TRIMTAB_BACKUPS_SPILL + 1));
    OK(trimtab_pool_options_set_panic_threshold(options, 100));
    REFUSED(trimtab_pool_options_set_panic_threshold(options, 101), "panic_threshold", "101", "0 to 100");
    OK(trimtab_pool_options_set_fail_open(options, 1));
    REFUSED(trimtab_pool_options_set_fail_open(options, 2), "fail_open", "2", "0 (no) nor 1 (yes)");
    OK(trimtab_pool_options_set_slow_start_ms(options, 0));
    OK(trimtab_pool_options_set_slow_start_ms(options, 100));
    OK(trimtab_pool_options_set_slow_start_ms(options, 3600000));
    REFUSED(trimtab_pool_options_set_slow_start_ms(options, 99), "slow_start", "99ms", "100ms to 3600s");
    REFUSED(trimtab_pool_options_set_slow_start_ms(options, UINT64_MAX), "slow_start", "s is outside", "3600s");
    OK(trimtab_pool_options_set_slow_start_aggression(options, 0.1));
    OK(trimtab_pool_options_set_slow_start_aggression(options, 10));
    REFUSED(trimtab_pool_options_set_slow_start_aggression(options, 10.5), "slow_start_aggression", "10.5", "0.1 to 10");
    OK(trimtab_pool_options_set_slow_start_min(options, 0.01));
    OK(trimtab_pool_options_set_slow_start_min(options, 1));
    REFUSED(trimtab_pool_options_set_slow_start_min(options, 0), "slow_start_min", "0", "0.01 to 1");
    OK(trimtab_pool_options_set_maxconn(options, TRIMTAB_MAXCONN_MAX));
    REFUSED(trimtab_pool_options_set_maxconn(options, TRIMTAB_MAXCONN_MAX + 1), "maxconn", "1073741825", "0 to 1073741824");
    OK(trimtab_pool_options_set_connection_rate(options, TRIMTAB_CONNECTION_RATE_MAX, TRIMTAB_CONNECTION_RATE_MAX));
    REFUSED(trimtab_pool_options_set_connection_rate(options, 1000001, 0), "connection_rate", "1000001", "0 to 1000000");
    REFUSED(trimtab_pool_options_set_connection_rate(options, 0, 1000001), "connection_burst", "1000001", "0 to 1000000");
    OK(trimtab_pool_options_set_pending_max(options, TRIMTAB_MAXCONN_MAX));
    REFUSED(trimtab_pool_options_set_pending_max(options, UINT32_MAX), "pending_max", "4294967295", "0 to 1073741824");
    OK(trimtab_pool_options_set_retry_budget(options, 0));
    OK(trimtab_pool_options_set_retry_budget(options, 1));
    REFUSED(trimtab_pool_options_set_retry_budget(options, 1.5), "retry_budget", "1.5", "0 to 1");
    REFUSED(trimtab_pool_options_set_retry_budget(options, -0.5), "retry_budget", "-0.5", "0 to 1");
    OK(trimtab_pool_options_set_retry_budget_off(options));
    OK(trimtab_pool_options_set_retry_min(options, TRIMTAB_RETRIES_MAX));
    REFUSED(trimtab_pool_options_set_retry_min(options, 65537), "retry_min", "65537", "0 to 65536");
    OK(trimtab_pool_options_set_retries_max(options, TRIMTAB_RETRIES_MAX));
    REFUSED(trimtab_pool_options_set_retries_max(options, 65537), "retries_max", "65537", "0 to 65536");
}

/* The field at its lowest and highest, and one beyond each. */
#define OUTLIER(field, fine, wrong, name)                                                      \
    do {                                                                                       \
        trimtab_outlier outlier = usual_outlier();                                             \
        outlier.field = fine;                                                                  \
        OK(trimtab_pool_options_set_outlier(options, &outlier));                               \
        outlier.field = wrong;                                                                 \
        REFUSED(trimtab_pool_options_set_outlier(options, &outlier), name, "is outside", " to "); \
    } while (0)
#define ADAPTIVE(field, fine, wrong, name)                                                     \
    do {                                                                                       \
        trimtab_adaptive adaptive = usual_adaptive();                                          \
        adaptive.field = fine;                                                                 \
        OK(trimtab_pool_options_set_adaptive(options, &adaptive));                             \
        adaptive.field = wrong;                                                                \
        REFUSED(trimtab_pool_options_set_adaptive(options, &adaptive), name, "is outside", " to "); \
    } while (0)

static void grouped_options(void)
{
    OUTLIER(consecutive_errors, 0, 10001, "consecutive_errors");
    OUTLIER(consecutive_errors, 10000, UINT32_MAX, "consecutive_errors");
    OUTLIER(interval_ms, 100, 99, "interval");
    OUTLIER(interval_ms, 3600000, 3600001, "interval");
    OUTLIER(ejection_time_ms, 100, 99, "ejection_time");
    OUTLIER(ejection_time_max_ms, 30000, 29999, "ejection_time_max");
    OUTLIER(ejection_time_max_ms, 86400000, 86400001, "ejection_time_max");
    OUTLIER(ejection_jitter_ms, 0, 3600001, "ejection_jitter");
    OUTLIER(ejection_percent_max, 0, 101, "ejection_percent_max");
    OUTLIER(success_rate_factor, 0, 10.5, "success_rate.factor");
    OUTLIER(success_rate_hosts_min, 2, 1, "success_rate.hosts_min");
    OUTLIER(success_rate_requests_min, 1, 0, "success_rate.requests_min");
    OUTLIER(failure_percent, 100, 101, "failure_percentage.percent");
    trimtab_outlier outlier = usual_outlier();
    outlier.failure_percent = 50;
    outlier.failure_hosts_min = 0;
    REFUSED(trimtab_pool_options_set_outlier(options, &outlier), "failure_percentage.hosts_min", "0", "1 to 65536");
    outlier.failure_hosts_min = 1;
    outlier.failure_requests_min = 0;
    REFUSED(trimtab_pool_options_set_outlier(options, &outlier), "failure_percentage.requests_min", "0", "1 to ");
    outlier = usual_outlier();
    outlier.success_rate = 2;
    REFUSED(trimtab_pool_options_set_outlier(options, &outlier), "success_rate", "2", "0 (no) nor 1 (yes)");

    ADAPTIVE(min, 1000, 0, "adaptive.min");
    ADAPTIVE(max, 3, 2, "adaptive.max");
    ADAPTIVE(max, 1000000, 1000001, "adaptive.max");
    ADAPTIVE(window_ms, 10, 9, "adaptive.window");
    ADAPTIVE(window_ms, 60000, 60001, "adaptive.window");
    ADAPTIVE(percentile, 1, 1.5, "adaptive.percentile");
    ADAPTIVE(percentile, 0.01, 0, "adaptive.percentile");
    ADAPTIVE(rtt_interval_ms, 1000, 999, "adaptive.rtt_interval");
    ADAPTIVE(rtt_interval_ms, 86400000, 86400001, "adaptive.rtt_interval");
    ADAPTIVE(rtt_jitter, 1, 1.5, "adaptive.rtt_jitter");
    ADAPTIVE(rtt_buffer, 10, 10.5, "adaptive.rtt_buffer");
    ADAPTIVE(rtt_requests, 1, 0, "adaptive.rtt_requests");
    trimtab_adaptive adaptive = usual_adaptive();
    adaptive.scope = TRIMTAB_SCOPE_POOL;
    OK(trimtab_pool_options_set_adaptive(options, &adaptive));
    adaptive.scope = 2;
    REFUSED(trimtab_pool_options_set_adaptive(options, &adaptive), "adaptive.scope", "2", "0 to 1");
    adaptive = usual_adaptive();
    adaptive.rtt_pins = 7;
    REFUSED(trimtab_pool_options_set_adaptive(options, &adaptive), "adaptive.rtt_pins", "7", "0 (no) nor 1 (yes)");
}

/* Who was built against another release. */
static void struct_sizes(void)
{
    trimtab_outlier outlier;
    memset(&outlier, 0x5a, sizeof outlier);
    outlier.struct_size = sizeof outlier - 1;
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_outlier_defaults_read(&outlier));
    CHECK(outlier.consecutive_errors == 0x5a5a5a5au);
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_pool_options_set_outlier(options, &outlier));
    trimtab_adaptive adaptive;
    memset(&adaptive, 0x5a, sizeof adaptive);
    adaptive.struct_size = 0;
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_adaptive_defaults_read(&adaptive));
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_pool_options_set_adaptive(options, &adaptive));
    struct {
        trimtab_outlier outlier;
        uint64_t newer;
    } larger;
    memset(&larger, 0x5a, sizeof larger);
    larger.outlier.struct_size = sizeof larger;
    OK(trimtab_outlier_defaults_read(&larger.outlier));
    CHECK(larger.newer == UINT64_C(0x5a5a5a5a5a5a5a5a) && larger.outlier.struct_size == sizeof larger);
    OK(trimtab_pool_options_set_outlier(options, &larger.outlier));

    /* The first release's statistics end where these do; what came later is not written. */
    trimtab_pool *pool = new_pool(TRIMTAB_POLICY_ROUND_ROBIN);
    uint64_t id = add(pool, 1);
    trimtab_pool_statistics statistics;
    memset(&statistics, 0x5a, sizeof statistics);
    statistics.struct_size = offsetof(trimtab_pool_statistics, limit);
    OK(trimtab_pool_statistics_read(pool, &statistics));
    CHECK(statistics.backends == 1 && statistics.limit == 0x5a5a5a5au && statistics.ejections == UINT64_C(0x5a5a5a5a5a5a5a5a));
    trimtab_backend_statistics one;
    memset(&one, 0x5a, sizeof one);
    one.struct_size = offsetof(trimtab_backend_statistics, limit);
    OK(trimtab_pool_backend_statistics_read(pool, id, &one));
    CHECK(one.id == id && one.limit == 0x5a5a5a5au && one.observed_since_ns == UINT64_C(0x5a5a5a5a5a5a5a5a));
    one.struct_size = sizeof one;
    OK(trimtab_pool_backend_statistics_read(pool, id, &one));
    CHECK(one.limit == 0 && one.observed_since_ns == TRIMTAB_NO_TIME && one.slow_start == 1.0);
    trimtab_pool_free(pool);
}

struct seen {
    unsigned added, ejected, restored, panics, calms, rooms;
    uint64_t backend;
    char reason[256];
    trimtab_pool *pool;
};

static void note(const trimtab_pool_event *event, void *user_data)
{
    struct seen *seen = user_data;
    CHECK(event->struct_size >= sizeof *event);
    CHECK(strlen(event->name) == event->name_len && strlen(event->reason) == event->reason_len);
    switch (event->kind) {
    case TRIMTAB_EVENT_BACKEND_ADDED: seen->added++; break;
    case TRIMTAB_EVENT_BACKEND_OBSERVED:
        seen->backend = event->backend;
        if (event->number == TRIMTAB_OBSERVED_EJECTED) {
            seen->ejected++;
            snprintf(seen->reason, sizeof seen->reason, "%s", event->reason);
        } else if (event->number == TRIMTAB_OBSERVED_UNKNOWN) {
            seen->restored++;
        }
        break;
    case TRIMTAB_EVENT_PANIC_BEGAN: seen->panics++; break;
    case TRIMTAB_EVENT_PANIC_ENDED: seen->calms++; break;
    case TRIMTAB_EVENT_ROOM: seen->rooms++; break;
    }
    /* The pool may be asked meanwhile, and not freed. */
    CHECK(statistics_of(seen->pool).backends > 0 || event->kind == TRIMTAB_EVENT_BACKEND_REMOVED);
    trimtab_pool_free(seen->pool);
}

/* Outcomes that are reported eject; time takes back; the callback is told of both. */
static void ejection(void)
{
    trimtab_pool *pool = NULL;
    trimtab_pool_options *asked = NULL;
    trimtab_outlier outlier = usual_outlier();
    outlier.consecutive_errors = 3;
    outlier.ejection_time_ms = 1000;
    outlier.ejection_jitter_ms = 0;
    OK(trimtab_pool_options_new(&asked));
    OK(trimtab_pool_options_set_seed(asked, 0));
    OK(trimtab_pool_options_set_outlier(asked, &outlier));
    OK(trimtab_pool_options_set_panic_threshold(asked, 60));
    OK(trimtab_pool_new(asked, &pool));
    trimtab_pool_options_free(asked);
    struct seen seen;
    memset(&seen, 0, sizeof seen);
    seen.pool = pool;
    OK(trimtab_pool_observe(pool, note, &seen));
    EXPECT(TRIMTAB_E_STATE, trimtab_pool_observe(pool, note, &seen));
    uint64_t bad = add(pool, 1);
    uint64_t good = add(pool, 2);
    CHECK(seen.added == 2);

    uint64_t now = START;
    for (unsigned picks = 0; picks < 6; picks++) {
        trimtab_pick pick = new_pick();
        OK(trimtab_pool_pick(pool, NO_KEY, now, &pick));
        int32_t outcome = pick.backend == bad ? TRIMTAB_OUTCOME_CONNECT_FAILED : TRIMTAB_OUTCOME_SUCCESS;
        OK(trimtab_pool_done(pool, pick.token, outcome, NULL, now));
        now += SECOND / 100;
    }
    CHECK(seen.ejected == 1 && seen.backend == bad && strstr(seen.reason, "3") != NULL);
    char reason[256];
    OK(trimtab_pool_reason_copy(pool, bad, reason, sizeof reason, NULL));
    CHECK(strcmp(reason, seen.reason) == 0);
    trimtab_pool_statistics statistics = statistics_of(pool);
    CHECK(statistics.ejected == 1 && statistics.ejections == 1);
    /* One of two is below 60 %: the tier panics, and serves both. */
    CHECK(seen.panics == 1 && seen.calms == 0 && statistics.panic == 1 && statistics.serving == 2);
    trimtab_backend_statistics one = backend_statistics_of(pool, bad);
    CHECK(one.observed == TRIMTAB_OBSERVED_EJECTED && one.observed_since_ns >= START && one.observed_since_ns < now);

    uint64_t deadline = 0;
    OK(trimtab_pool_next_deadline(pool, &deadline));
    CHECK(deadline > now && deadline <= START + 2 * SECOND);
    OK(trimtab_pool_handle_timeout(pool, START + 2 * SECOND));
    statistics = statistics_of(pool);
    CHECK(seen.restored == 1 && seen.calms == 1 && statistics.ejected == 0 && statistics.panic == 0);

    /* The host's own verdict. */
    OK(trimtab_pool_set_observed_with(pool, good, TRIMTAB_OBSERVED_DOWN, STR("the\nhost says so"), START + 3 * SECOND));
    one = backend_statistics_of(pool, good);
    CHECK(one.observed == TRIMTAB_OBSERVED_DOWN && one.observed_since_ns == START + 3 * SECOND);
    OK(trimtab_pool_reason_copy(pool, good, reason, sizeof reason, NULL));
    CHECK(strstr(reason, "host says so") != NULL && strchr(reason, '\n') == NULL);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_pool_set_observed_with(pool, good, 4, STR(""), 0));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_set_observed_with(pool, 99, TRIMTAB_OBSERVED_UP, STR(""), 0));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_reason_copy(pool, 99, reason, sizeof reason, NULL));
    trimtab_pool_free(pool);
}

static void retries(void)
{
    trimtab_pool *pool = NULL;
    trimtab_pool_options *asked = NULL;
    OK(trimtab_pool_options_new(&asked));
    OK(trimtab_pool_options_set_retry_min(asked, 2));
    OK(trimtab_pool_new(asked, &pool));
    trimtab_pool_options_free(asked);
    add(pool, 1);
    uint64_t first = 0;
    uint64_t second = 0;
    uint64_t third = 7;
    int32_t may = 0;
    OK(trimtab_pool_may_retry(pool, 0, &may));
    CHECK(may == 1);
    OK(trimtab_pool_retry_begin(pool, 0, &first));
    OK(trimtab_pool_retry_begin(pool, 0, &second));
    EXPECT(TRIMTAB_E_CAPACITY, trimtab_pool_retry_begin(pool, 0, &third));
    CHECK(strstr(last_error(), "retry_budget") != NULL && third == 7);
    OK(trimtab_pool_may_retry(pool, 0, &may));
    CHECK(may == 0);
    trimtab_pool_statistics statistics = statistics_of(pool);
    CHECK(statistics.retries == 2 && statistics.retries_refused == 1);
    OK(trimtab_pool_retry_end(pool, first));
    EXPECT(TRIMTAB_E_STALE_PICK, trimtab_pool_retry_end(pool, first));
    EXPECT(TRIMTAB_E_STALE_PICK, trimtab_pool_retry_end(pool, 12345));
    OK(trimtab_pool_retry_end(pool, second));
    CHECK(statistics_of(pool).retries == 0);
    trimtab_pool_free(pool);
}

static void waiting(void)
{
    trimtab_pool *pool = NULL;
    trimtab_pool_options *asked = NULL;
    OK(trimtab_pool_options_new(&asked));
    OK(trimtab_pool_options_set_maxconn(asked, 1));
    OK(trimtab_pool_options_set_pending_max(asked, 1));
    OK(trimtab_pool_new(asked, &pool));
    trimtab_pool_options_free(asked);
    add(pool, 1);
    struct seen seen;
    memset(&seen, 0, sizeof seen);
    seen.pool = pool;
    OK(trimtab_pool_observe(pool, note, &seen));
    trimtab_pick pick = new_pick();
    trimtab_pick late = new_pick();
    OK(trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    EXPECT(TRIMTAB_E_NO_BACKEND, trimtab_pool_pick(pool, NO_KEY, 0, &late));
    EXPECT(TRIMTAB_E_STATE, trimtab_pool_unwant(pool));
    OK(trimtab_pool_try_want(pool));
    EXPECT(TRIMTAB_E_CAPACITY, trimtab_pool_try_want(pool));
    CHECK(strstr(last_error(), "pending_max") != NULL);
    CHECK(statistics_of(pool).pending == 1 && statistics_of(pool).limit == 1 && seen.rooms == 0);
    OK(trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
    CHECK(seen.rooms > 0);
    OK(trimtab_pool_unwant(pool));
    EXPECT(TRIMTAB_E_STATE, trimtab_pool_unwant(pool));
    CHECK(statistics_of(pool).pending == 0);
    unsigned rooms = seen.rooms;
    OK(trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    OK(trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
    CHECK(seen.rooms == rooms);
    trimtab_pool_free(pool);
}

/* A rate needs the time of each pick, which trimtab reads where the caller gives none. */
static void rates(void)
{
    trimtab_pool *pool = new_pool(TRIMTAB_POLICY_ROUND_ROBIN);
    trimtab_backend *backend = NULL;
    uint64_t id = 0;
    OK(trimtab_backend_new(STR("10.0.0.1:80"), &backend));
    OK(trimtab_backend_set_connection_rate(backend, TRIMTAB_CONNECTION_RATE_MAX, 1));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_backend_set_connection_rate(backend, 1000001, 0));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_backend_set_connection_rate(backend, 0, 1000001));
    OK(trimtab_pool_add(pool, backend, &id));
    trimtab_backend_free(backend);
    trimtab_backend_statistics one = backend_statistics_of(pool, id);
    CHECK(one.connection_rate == TRIMTAB_CONNECTION_RATE_MAX && one.connection_burst == 1);
    trimtab_pick pick = new_pick();
    unsigned picked = 0;
    uint64_t end = 0;
    uint64_t now = 0;
    OK(trimtab_now(&end));
    end += 10 * SECOND;
    /* One comes at once; a hundred only as time goes by. */
    while (picked < 100) {
        OK(trimtab_now(&now));
        CHECK(now < end);
        trimtab_status status = trimtab_pool_pick(pool, NO_KEY, 0, &pick);
        CHECK(status == TRIMTAB_OK || status == TRIMTAB_E_NO_BACKEND);
        picked += status == TRIMTAB_OK;
    }
    OK(trimtab_pool_set_connection_rate(pool, id, 1, 2));
    OK(trimtab_pool_pick(pool, NO_KEY, START, &pick));
    OK(trimtab_pool_pick(pool, NO_KEY, START, &pick));
    EXPECT(TRIMTAB_E_NO_BACKEND, trimtab_pool_pick(pool, NO_KEY, START, &pick));
    OK(trimtab_pool_pick(pool, NO_KEY, START + SECOND, &pick));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_pool_set_connection_rate(pool, id, 1000001, 0));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_set_connection_rate(pool, 99, 1, 1));
    trimtab_pool_free(pool);
}

int main(void)
{
    OK(trimtab_pool_options_new(&options));
    plain_options();
    grouped_options();
    struct_sizes();
    trimtab_pool_options_free(options);
    ejection();
    retries();
    waiting();
    rates();
    printf("failure: options at their limits, ejection, panic, retries, waiting and rates\n");
    return 0;
}
