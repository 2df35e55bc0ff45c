/*
 * NULL for every pointer parameter of every function, one at a time: an error with a detail that names the
 * parameter, or fine where the header says so. Never a crash, and nothing else disturbed.
 *
 *     nulls [--names]      with --names: only lists the functions covered, for comparison with the header
 */
#include "check.h"

/* What every row can use. */
static trimtab_pool *pool;
static trimtab_pool_options *options;
static trimtab_backend *backend;
static const trimtab_backend *backends[1];
static uint64_t id;
static uint64_t number;
static int32_t flag;
static char buffer[4096];
static size_t length;
static trimtab_pick out;
static trimtab_pool_statistics pool_statistics;
static trimtab_backend_statistics backend_statistics;
static trimtab_server *server; /* started */
static trimtab_server *hosted;
static trimtab_server *made;
static trimtab_pool *shared;
static trimtab_server_statistics server_statistics;
static trimtab_listener_statistics listener_statistics;
static trimtab_outlier outlier;
static trimtab_check *check;
static trimtab_check *made_check;
static trimtab_check_step step;
static trimtab_check_status check_status;
static trimtab_adaptive adaptive;

#define CONFIG                                                                               \
    "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\npool = \"app\"\n"                   \
    "[[pool]]\nname = \"app\"\n[admin]\nbind = \"127.0.0.1:0\"\n"

#define CHECK_TEXT "check = { kind = \"tcp\" }"

static void told(const trimtab_pool_event *event, void *user_data)
{
    CHECK(event->struct_size >= sizeof *event && user_data == NULL);
}

/* Bytes that are not there. */
static trimtab_str missing_str(void)
{
    trimtab_str str = {NULL, 3};
    return str;
}

static trimtab_bytes missing_bytes(void)
{
    return trimtab_bytes_of(NULL, 3);
}

/* BAD: the parameter must not be NULL. FINE: it may. NONE: the function has no pointer parameter. */
enum verdict { BAD, FINE, NONE };

struct row {
    const char *function;
    const char *parameter;
    enum verdict verdict;
    trimtab_status (*call)(void);
};

#define ROW(label, function, parameter, verdict, ...)                                        \
    static trimtab_status label(void)                                                        \
    {                                                                                        \
        return function(__VA_ARGS__);                                                        \
    }
/* For functions without a status. */
#define VOID_ROW(label, function, parameter, verdict, ...)                                   \
    static trimtab_status label(void)                                                        \
    {                                                                                        \
        (void)function(__VA_ARGS__);                                                         \
        return TRIMTAB_OK;                                                                   \
    }

/* ROWS(ROW, VOID_ROW): one row for each function and pointer parameter. */
#define COPY_ROWS(R, function, ...)                                                          \
    R(function##_buffer, function, buffer, BAD, __VA_ARGS__ NULL, sizeof buffer, &length)    \
    R(function##_nothing, function, buffer, FINE, __VA_ARGS__ NULL, 0, &length)              \
    R(function##_length, function, length_out, FINE, __VA_ARGS__ buffer, sizeof buffer, NULL)
#define OPTION_ROWS(R, name, ...)                                                            \
    R(options_set_##name, trimtab_pool_options_set_##name, options, BAD, NULL, __VA_ARGS__)
#define BACKEND_ROWS(R, name, ...)                                                           \
    R(backend_set_##name, trimtab_backend_set_##name, backend, BAD, NULL, __VA_ARGS__)
#define CHANGE_ROWS(R, name, ...)                                                            \
    R(pool_set_##name, trimtab_pool_set_##name, pool, BAD, NULL, id, __VA_ARGS__)
#define ROWS(R, V)                                                                           \
    COPY_ROWS(R, trimtab_version_copy, )                                                     \
    V(abi_version, trimtab_abi_version, , NONE, )                                            \
    R(feature_name, trimtab_feature_has, name, BAD, missing_str(), &flag)                    \
    R(feature_out, trimtab_feature_has, has_out, BAD, STR("cli"), NULL)                      \
    R(now, trimtab_now, now_ns_out, BAD, NULL)                                               \
    COPY_ROWS(R, trimtab_last_error_copy, )                                                  \
    COPY_ROWS(R, trimtab_status_name_copy, TRIMTAB_E_NULL, )                                 \
    R(options_new, trimtab_pool_options_new, options_out, BAD, NULL)                         \
    V(options_free, trimtab_pool_options_free, options, FINE, NULL)                          \
    OPTION_ROWS(R, policy, TRIMTAB_POLICY_HASH)                                              \
    OPTION_ROWS(R, policy_name, STR("hash"))                                                 \
    R(options_policy_name, trimtab_pool_options_set_policy_name, name, BAD, options, missing_str()) \
    OPTION_ROWS(R, hash, TRIMTAB_HASH_RING)                                                  \
    OPTION_ROWS(R, bounded_load, 0)                                                          \
    OPTION_ROWS(R, backups, TRIMTAB_BACKUPS_ALL)                                             \
    OPTION_ROWS(R, formula, TRIMTAB_FORMULA_TRIMTAB)                                         \
    OPTION_ROWS(R, tick_ms, 1000)                                                            \
    OPTION_ROWS(R, blend, 0.5)                                                               \
    OPTION_ROWS(R, gain, 1)                                                                  \
    OPTION_ROWS(R, history, 8)                                                               \
    OPTION_ROWS(R, floor, 0.02)                                                              \
    OPTION_ROWS(R, stale_ms, 1000)                                                           \
    OPTION_ROWS(R, decay_ms, 1000)                                                           \
    OPTION_ROWS(R, seed, 1)                                                                  \
    OPTION_ROWS(R, hash_seed, 1)                                                             \
    OPTION_ROWS(R, lanes, 1)                                                                 \
    OPTION_ROWS(R, picks_max, 16)                                                            \
    R(backend_new_address, trimtab_backend_new, address, BAD, missing_str(), &backend)       \
    R(backend_new_out, trimtab_backend_new, backend_out, BAD, STR("10.0.0.9:80"), NULL)      \
    V(backend_free, trimtab_backend_free, backend, FINE, NULL)                               \
    BACKEND_ROWS(R, name, STR("web"))                                                        \
    R(backend_name, trimtab_backend_set_name, name, BAD, backend, missing_str())             \
    BACKEND_ROWS(R, weight, 1)                                                               \
    BACKEND_ROWS(R, maxconn, 1)                                                              \
    BACKEND_ROWS(R, tier, 1)                                                                 \
    BACKEND_ROWS(R, tag, 1)                                                                  \
    BACKEND_ROWS(R, admin, TRIMTAB_ADMIN_READY)                                              \
    BACKEND_ROWS(R, observed, TRIMTAB_OBSERVED_UP)                                           \
    R(pool_new_out, trimtab_pool_new, pool_out, BAD, options, NULL)                          \
    V(pool_free, trimtab_pool_free, pool, FINE, NULL)                                        \
    R(add_pool, trimtab_pool_add, pool, BAD, NULL, backend, &number)                         \
    R(add_backend, trimtab_pool_add, backend, BAD, pool, NULL, &number)                      \
    R(add_out, trimtab_pool_add, id_out, BAD, pool, backend, NULL)                           \
    R(add_backend_pool, trimtab_pool_add_backend, pool, BAD, NULL, STR("10.0.0.8:80"), 1, &number) \
    R(add_backend_address, trimtab_pool_add_backend, address, BAD, pool, missing_str(), 1, &number) \
    R(add_backend_out, trimtab_pool_add_backend, id_out, BAD, pool, STR("10.0.0.8:80"), 1, NULL) \
    R(add_all_pool, trimtab_pool_add_all, pool, BAD, NULL, backends, 1, &number)             \
    R(add_all_backends, trimtab_pool_add_all, backends, BAD, pool, NULL, 1, &number)         \
    R(add_all_none, trimtab_pool_add_all, backends, FINE, pool, NULL, 0, NULL)               \
    R(remove_pool, trimtab_pool_remove, pool, BAD, NULL, id)                                 \
    CHANGE_ROWS(R, weight, 2)                                                                \
    CHANGE_ROWS(R, maxconn, 2)                                                               \
    CHANGE_ROWS(R, tier, 0)                                                                  \
    CHANGE_ROWS(R, tag, 2)                                                                   \
    CHANGE_ROWS(R, admin, TRIMTAB_ADMIN_READY)                                               \
    CHANGE_ROWS(R, observed, TRIMTAB_OBSERVED_UP)                                            \
    R(find_pool, trimtab_pool_find, pool, BAD, NULL, STR("10.0.0.1:80"), &number)            \
    R(find_name, trimtab_pool_find, name, BAD, pool, missing_str(), &number)                 \
    R(find_out, trimtab_pool_find, id_out, BAD, pool, STR("10.0.0.1:80"), NULL)              \
    R(ids_pool, trimtab_pool_ids_copy, pool, BAD, NULL, &number, 1, &length)                 \
    R(ids_ids, trimtab_pool_ids_copy, ids, BAD, pool, NULL, 1, &length)                      \
    R(ids_none, trimtab_pool_ids_copy, ids, FINE, pool, NULL, 0, &length)                    \
    R(ids_count, trimtab_pool_ids_copy, count_out, FINE, pool, &number, 1, NULL)             \
    R(address_pool, trimtab_pool_address_copy, pool, BAD, NULL, id, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_pool_address_copy, pool, id, )                                      \
    R(name_pool, trimtab_pool_name_copy, pool, BAD, NULL, id, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_pool_name_copy, pool, id, )                                         \
    R(pick_pool, trimtab_pool_pick, pool, BAD, NULL, NO_KEY, 0, &out)                        \
    R(pick_key, trimtab_pool_pick, key, BAD, pool, missing_bytes(), 0, &out)                 \
    R(pick_out, trimtab_pool_pick, pick_out, BAD, pool, NO_KEY, 0, NULL)                     \
    R(avoid_pool, trimtab_pool_pick_avoiding, pool, BAD, NULL, NO_KEY, 0, &id, 1, &out)      \
    R(avoid_key, trimtab_pool_pick_avoiding, key, BAD, pool, missing_bytes(), 0, &id, 1, &out) \
    R(avoid_avoid, trimtab_pool_pick_avoiding, avoid, BAD, pool, NO_KEY, 0, NULL, 1, &out)   \
    R(avoid_out, trimtab_pool_pick_avoiding, pick_out, BAD, pool, NO_KEY, 0, &id, 1, NULL)   \
    R(done_pool, trimtab_pool_done, pool, BAD, NULL, out.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0) \
    R(explain_pool, trimtab_pool_explain_copy, pool, BAD, NULL, NO_KEY, 0, buffer, sizeof buffer, &length) \
    R(explain_key, trimtab_pool_explain_copy, key, BAD, pool, missing_bytes(), 0, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_pool_explain_copy, pool, NO_KEY, 0, )                               \
    R(statistics_pool, trimtab_pool_statistics_read, pool, BAD, NULL, &pool_statistics)      \
    R(statistics_out, trimtab_pool_statistics_read, statistics_out, BAD, pool, NULL)         \
    R(one_pool, trimtab_pool_backend_statistics_read, pool, BAD, NULL, id, &backend_statistics) \
    R(one_out, trimtab_pool_backend_statistics_read, statistics_out, BAD, pool, id, NULL)    \
    R(timeout_pool, trimtab_pool_handle_timeout, pool, BAD, NULL, 0)                         \
    R(deadline_pool, trimtab_pool_next_deadline, pool, BAD, NULL, &number)                   \
    R(deadline_out, trimtab_pool_next_deadline, deadline_ns_out, BAD, pool, NULL)            \
    OPTION_ROWS(R, panic_threshold, 50)                                                      \
    OPTION_ROWS(R, fail_open, 1)                                                             \
    OPTION_ROWS(R, slow_start_ms, 1000)                                                      \
    OPTION_ROWS(R, slow_start_aggression, 1)                                                 \
    OPTION_ROWS(R, slow_start_min, 0.1)                                                      \
    OPTION_ROWS(R, maxconn, 1)                                                               \
    OPTION_ROWS(R, connection_rate, 1, 1)                                                    \
    OPTION_ROWS(R, pending_max, 1)                                                           \
    OPTION_ROWS(R, retry_budget, 0.2)                                                        \
    OPTION_ROWS(R, retry_min, 3)                                                             \
    OPTION_ROWS(R, retries_max, 1)                                                           \
    OPTION_ROWS(R, outlier, &outlier)                                                        \
    OPTION_ROWS(R, adaptive, &adaptive)                                                      \
    R(options_set_off, trimtab_pool_options_set_retry_budget_off, options, BAD, NULL)        \
    R(options_no_outlier, trimtab_pool_options_set_outlier, outlier, FINE, options, NULL)    \
    R(options_no_adaptive, trimtab_pool_options_set_adaptive, adaptive, FINE, options, NULL) \
    R(outlier_defaults, trimtab_outlier_defaults_read, outlier_out, BAD, NULL)               \
    R(adaptive_defaults, trimtab_adaptive_defaults_read, adaptive_out, BAD, NULL)            \
    BACKEND_ROWS(R, connection_rate, 1, 1)                                                   \
    CHANGE_ROWS(R, connection_rate, 2, 2)                                                    \
    R(with_pool, trimtab_pool_set_observed_with, pool, BAD, NULL, id, TRIMTAB_OBSERVED_UP, STR("ok"), 0) \
    R(with_reason, trimtab_pool_set_observed_with, reason, BAD, pool, id, TRIMTAB_OBSERVED_UP, missing_str(), 0) \
    R(reason_pool, trimtab_pool_reason_copy, pool, BAD, NULL, id, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_pool_reason_copy, pool, id, )                                       \
    R(begin_pool, trimtab_pool_retry_begin, pool, BAD, NULL, 0, &number)                     \
    R(begin_out, trimtab_pool_retry_begin, retry_out, BAD, pool, 0, NULL)                    \
    R(end_pool, trimtab_pool_retry_end, pool, BAD, NULL, 1)                                  \
    R(may_pool, trimtab_pool_may_retry, pool, BAD, NULL, 0, &flag)                           \
    R(may_out, trimtab_pool_may_retry, may_out, BAD, pool, 0, NULL)                          \
    R(want_pool, trimtab_pool_try_want, pool, BAD, NULL)                                     \
    R(unwant_pool, trimtab_pool_unwant, pool, BAD, NULL)                                     \
    R(observe_pool, trimtab_pool_observe, pool, BAD, NULL, told, NULL)                       \
    R(observe_fn, trimtab_pool_observe, event_fn, BAD, pool, NULL, NULL)                     \
    R(observe_data, trimtab_pool_observe, user_data, FINE, pool, told, NULL)                 \
    R(check_config, trimtab_check_new, config, BAD, missing_str(), STR("10.0.0.1:80"), 0, &made_check) \
    R(check_address, trimtab_check_new, address, BAD, STR(CHECK_TEXT), missing_str(), 0, &made_check) \
    R(check_out, trimtab_check_new, check_out, BAD, STR(CHECK_TEXT), STR("10.0.0.1:80"), 0, NULL) \
    V(check_free, trimtab_check_free, check, FINE, NULL)                                     \
    R(step_check, trimtab_check_take_step, check, BAD, NULL, 0, &step)                       \
    R(step_out, trimtab_check_take_step, step_out, BAD, check, 0, NULL)                      \
    R(connected_check, trimtab_check_handle_connected, check, BAD, NULL, 0)                  \
    R(written_check, trimtab_check_handle_written, check, BAD, NULL, 0)                      \
    R(bytes_check, trimtab_check_handle_bytes, check, BAD, NULL, NO_KEY, 0)                  \
    R(end_check, trimtab_check_handle_end, check, BAD, NULL, 0)                              \
    R(failed_check, trimtab_check_handle_failed, check, BAD, NULL, STR("no"), 0)             \
    R(abandoned_check, trimtab_check_handle_abandoned, check, BAD, NULL, 0)                  \
    R(suspicion_check, trimtab_check_handle_suspicion, check, BAD, NULL, 0)                  \
    R(bytes_bytes, trimtab_check_handle_bytes, bytes, BAD, check, missing_bytes(), 0)        \
    R(failed_why, trimtab_check_handle_failed, why, BAD, check, missing_str(), 0)            \
    R(status_check, trimtab_check_status_read, check, BAD, NULL, &check_status)                    \
    R(status_out, trimtab_check_status_read, status_out, BAD, check, NULL)                   \
    R(check_target_check, trimtab_check_target_copy, check, BAD, NULL, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_check_target_copy, check, )                                         \
    R(check_reason_check, trimtab_check_reason_copy, check, BAD, NULL, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_check_reason_copy, check, )                                         \
    R(check_failure_check, trimtab_check_failure_copy, check, BAD, NULL, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_check_failure_copy, check, )                                        \
    R(server_config, trimtab_server_new, config, BAD, missing_str(), STR("x"), &made, NULL, NULL) \
    R(server_source, trimtab_server_new, source_name, BAD, STR(CONFIG), missing_str(), &made, NULL, NULL) \
    R(server_out, trimtab_server_new, server_out, BAD, STR(CONFIG), STR("x"), NULL, NULL, NULL) \
    R(server_path, trimtab_server_new_from_file, path, BAD, missing_str(), &made, NULL, NULL) \
    R(server_file_out, trimtab_server_new_from_file, server_out, BAD, STR("/dev/null"), NULL, NULL, NULL) \
    V(server_free, trimtab_server_free, server, FINE, NULL)                                  \
    R(adopt_server, trimtab_server_adopt, server, BAD, NULL, STR("web"), 0)                  \
    R(adopt_listener, trimtab_server_adopt, listener, BAD, server, missing_str(), 0)         \
    R(start_server, trimtab_server_start, server, BAD, NULL)                                 \
    R(start_hosted_server, trimtab_server_start_hosted, server, BAD, NULL)                   \
    R(drain_server, trimtab_server_drain, server, BAD, NULL, 0)                              \
    R(stop_server, trimtab_server_stop, server, BAD, NULL)                                   \
    R(wait_server, trimtab_server_wait, server, BAD, NULL, 0)                                \
    R(state_server, trimtab_server_state, server, BAD, NULL, &flag)                          \
    R(state_out, trimtab_server_state, state_out, BAD, server, NULL)                         \
    R(web_server, trimtab_server_address_copy, server, BAD, NULL, STR("web"), buffer, sizeof buffer, &length) \
    R(web_listener, trimtab_server_address_copy, listener, BAD, server, missing_str(), buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_server_address_copy, server, STR("web"), )                          \
    R(admin_server, trimtab_server_admin_address_copy, server, BAD, NULL, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_server_admin_address_copy, server, )                                \
    R(shared_server, trimtab_server_pool, server, BAD, NULL, STR("app"), &shared)            \
    R(shared_name, trimtab_server_pool, name, BAD, server, missing_str(), &shared)           \
    R(shared_out, trimtab_server_pool, pool_out, BAD, server, STR("app"), NULL)              \
    R(fd_server, trimtab_server_poll_fd, server, BAD, NULL, &flag)                           \
    R(fd_out, trimtab_server_poll_fd, fd_out, BAD, hosted, NULL)                             \
    R(next_server, trimtab_server_next_deadline, server, BAD, NULL, &number)                 \
    R(next_out, trimtab_server_next_deadline, deadline_ns_out, BAD, hosted, NULL)            \
    R(in_server, trimtab_server_next_timeout, server, BAD, NULL, &flag)                      \
    R(in_out, trimtab_server_next_timeout, timeout_ms_out, BAD, hosted, NULL)                \
    R(turn_server, trimtab_server_turn, server, BAD, NULL, 0, &length)                       \
    R(turn_count, trimtab_server_turn, count_out, FINE, hosted, 0, NULL)                     \
    R(totals_server, trimtab_server_statistics_read, server, BAD, NULL, &server_statistics)  \
    R(totals_out, trimtab_server_statistics_read, statistics_out, BAD, server, NULL)         \
    R(counts_server, trimtab_server_listener_statistics_read, server, BAD, NULL, STR("web"), &listener_statistics) \
    R(counts_listener, trimtab_server_listener_statistics_read, listener, BAD, server, missing_str(), \
      &listener_statistics)                                                                  \
    R(counts_out, trimtab_server_listener_statistics_read, statistics_out, BAD, server, STR("web"), NULL) \
    R(status_server, trimtab_server_status_copy, server, BAD, NULL, buffer, sizeof buffer, &length) \
    COPY_ROWS(R, trimtab_server_status_copy, server, )

ROWS(ROW, VOID_ROW)

#define ENTRY(label, function, parameter, verdict, ...) {#function, #parameter, verdict, label},
static const struct row rows[] = {ROWS(ENTRY, ENTRY)};

/* Those whose success needs something cleaned up, or which have two calls that belong together. */
static void the_rest(void)
{
    trimtab_pool *made_pool = NULL;
    OK(trimtab_pool_new(NULL, &made_pool));
    trimtab_pool_free(made_pool);
    /* The callback and what goes with it may both be missing. */
    CHECK(made == NULL && shared == NULL);
    OK(trimtab_server_new(STR(CONFIG), STR(""), &made, NULL, NULL));
    trimtab_server_free(made);
    const trimtab_backend *holes[2] = {backend, NULL};
    EXPECT(TRIMTAB_E_NULL, trimtab_pool_add_all(pool, holes, 2, NULL));
    trimtab_pick pick = new_pick();
    OK(trimtab_pool_pick_avoiding(pool, NO_KEY, 0, NULL, 0, &pick));
    OK(trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
}

int main(int argc, char **argv)
{
    size_t count = sizeof rows / sizeof *rows;
    if (argc > 1 && strcmp(argv[1], "--names") == 0) {
        for (size_t at = 0; at < count; at++) {
            printf("%s\n", rows[at].function);
        }
        return 0;
    }
    OK(trimtab_pool_options_new(&options));
    OK(trimtab_backend_new(STR("10.0.0.7:80"), &backend));
    backends[0] = backend;
    pool = new_pool(TRIMTAB_POLICY_ROUND_ROBIN);
    id = add(pool, 1);
    out = new_pick();
    memset(&pool_statistics, 0, sizeof pool_statistics);
    pool_statistics.struct_size = sizeof pool_statistics;
    memset(&backend_statistics, 0, sizeof backend_statistics);
    backend_statistics.struct_size = sizeof backend_statistics;
    server_statistics.struct_size = sizeof server_statistics;
    listener_statistics.struct_size = sizeof listener_statistics;
    outlier.struct_size = sizeof outlier;
    adaptive.struct_size = sizeof adaptive;
    OK(trimtab_outlier_defaults_read(&outlier));
    step.struct_size = sizeof step;
    check_status.struct_size = sizeof check_status;
    OK(trimtab_check_new(STR(CHECK_TEXT), STR("10.0.0.1:80"), 0, &check));
    OK(trimtab_adaptive_defaults_read(&adaptive));
    OK(trimtab_server_new(STR(CONFIG), STR("nulls"), &server, NULL, NULL));
    OK(trimtab_server_start(server));
    OK(trimtab_server_new(STR(CONFIG), STR("nulls"), &hosted, NULL, NULL));
    OK(trimtab_server_start_hosted(hosted));

    for (size_t at = 0; at < count; at++) {
        const struct row *row = &rows[at];
        int keeps_detail = strcmp(row->function, "trimtab_last_error_copy") == 0 ||
                           strcmp(row->function, "trimtab_status_name_copy") == 0;
        char known[] = "made up so that there is a detail";
        EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_feature_has(STR(known), &flag));
        trimtab_status status = row->call();
        trimtab_status expected = row->verdict == BAD ? TRIMTAB_E_NULL : TRIMTAB_OK;
        const char *detail = last_error();
        if (status != expected) {
            fprintf(stderr, "%s with NULL for %s: expected %d, got %d: %s\n", row->function, row->parameter,
                    (int)expected, (int)status, detail);
            return 1;
        }
        if (row->verdict == BAD && !keeps_detail) {
            char said[64];
            snprintf(said, sizeof said, "%s is NULL", row->parameter);
            if (strcmp(detail, said) != 0) {
                fprintf(stderr, "%s: detail \"%s\" where \"%s\" belongs\n", row->function, detail, said);
                return 1;
            }
        }
        if (keeps_detail) {
            CHECK(strstr(detail, known) != NULL);
        }
    }
    the_rest();
    trimtab_pool_statistics after = statistics_of(pool);
    CHECK(after.backends == 1 && after.picks == 1 && after.in_flight == 0);
    CHECK(made_check == NULL);
    trimtab_check_free(check);
    trimtab_backend_free(backend);
    trimtab_pool_options_free(options);
    trimtab_pool_free(pool);
    trimtab_server_free(server);
    trimtab_server_free(hosted);
    printf("nulls: %zu cases\n", count);
    return 0;
}
