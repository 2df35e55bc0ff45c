/*
 * A first pick from C: three backends, a thousand picks by each of three policies, then one backend drained.
 *
 *     cc -std=c99 first_pick.c $(pkg-config --cflags --libs trimtab) -o first_pick && ./first_pick
 */
#include <stdio.h>
#include <stdlib.h>
#include <trimtab.h>

enum { BACKENDS = 3, PICKS = 1000, CLIENTS = 8 };

static const char *const addresses[BACKENDS] = {"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"};
static const uint32_t weights[BACKENDS] = {4, 2, 1};
/* How long each takes to answer, in this play: the one of most weight is not the fastest. */
static const uint64_t answers_ms[BACKENDS] = {30, 10, 10};

static void check(trimtab_status status)
{
    if (status != TRIMTAB_OK) {
        char detail[256];
        trimtab_last_error_copy(detail, sizeof detail, NULL);
        fprintf(stderr, "error %d: %s\n", (int)status, detail);
        exit(1);
    }
}

static trimtab_pool *make_pool(const char *policy, uint64_t ids[BACKENDS])
{
    trimtab_pool_options *options = NULL;
    trimtab_pool *pool = NULL;
    check(trimtab_pool_options_new(&options));
    check(trimtab_pool_options_set_policy_name(options, trimtab_str_of(policy)));
    check(trimtab_pool_options_set_seed(options, 0)); /* the same run every time */
    check(trimtab_pool_new(options, &pool));
    trimtab_pool_options_free(options);
    for (uint64_t at = 0; at < BACKENDS; at++) {
        check(trimtab_pool_add_backend(pool, trimtab_str_of(addresses[at]), weights[at], &ids[at]));
        check(trimtab_pool_set_tag(pool, ids[at], at)); /* comes with every pick */
    }
    return pool;
}

/* Each client asks, waits for the answer, reports it and asks again. Time is made up: nothing connects. */
static void serve(const trimtab_pool *pool)
{
    trimtab_pick picks[CLIENTS];
    uint64_t answered[CLIENTS] = {0};
    for (int number = 0; number < PICKS + CLIENTS; number++) {
        int client = 0;
        for (int other = 1; other < CLIENTS; other++) {
            client = answered[other] < answered[client] ? other : client;
        }
        uint64_t now = answered[client];
        if (now > 0) {
            trimtab_timings timings = {sizeof timings, 0, TRIMTAB_NO_TIME, TRIMTAB_NO_TIME, TRIMTAB_NO_TIME};
            timings.first_byte_ns = answers_ms[picks[client].tag] * 1000000;
            check(trimtab_pool_done(pool, picks[client].token, TRIMTAB_OUTCOME_SUCCESS, &timings, now));
            answered[client] = UINT64_MAX;
        }
        if (number < PICKS) {
            now = now > 0 ? now : 1;
            picks[client].struct_size = sizeof picks[client];
            check(trimtab_pool_pick(pool, trimtab_bytes_of(NULL, 0), now, &picks[client]));
            answered[client] = now + answers_ms[picks[client].tag] * 1000000;
        }
    }
}

/* The share of each backend in the picks since `before`. */
static void print_shares(const char *label, const trimtab_pool *pool, const uint64_t *ids, uint64_t *before)
{
    printf("%-20s", label);
    for (int at = 0; at < BACKENDS; at++) {
        trimtab_backend_statistics statistics = {0};
        statistics.struct_size = sizeof statistics;
        check(trimtab_pool_backend_statistics_read(pool, ids[at], &statistics));
        printf("%12.1f %%", 100.0 * (double)(statistics.picks - before[at]) / PICKS);
        before[at] = statistics.picks;
    }
    printf("\n");
}

static void with_policy(const char *policy)
{
    uint64_t ids[BACKENDS];
    uint64_t picks[BACKENDS] = {0};
    trimtab_pool *pool = make_pool(policy, ids);
    serve(pool);
    print_shares(policy, pool, ids, picks);
    check(trimtab_pool_set_admin(pool, ids[0], TRIMTAB_ADMIN_DRAIN));
    serve(pool);
    print_shares("  first one drained", pool, ids, picks);
    trimtab_pool_free(pool);
}

/* With nobody left to pick, the error says so, and explain says why. */
static void with_nobody(void)
{
    uint64_t ids[BACKENDS];
    trimtab_pool *pool = make_pool("random", ids);
    trimtab_pick pick = {0};
    trimtab_pool_statistics statistics = {0};
    char text[1024];
    check(trimtab_pool_set_admin(pool, ids[0], TRIMTAB_ADMIN_DRAIN));
    check(trimtab_pool_set_observed(pool, ids[1], TRIMTAB_OBSERVED_DOWN));
    check(trimtab_pool_set_observed(pool, ids[2], TRIMTAB_OBSERVED_EJECTED));
    pick.struct_size = sizeof pick;
    if (trimtab_pool_pick(pool, trimtab_bytes_of(NULL, 0), 0, &pick) == TRIMTAB_E_NO_BACKEND) {
        trimtab_last_error_copy(text, sizeof text, NULL);
        printf("\nnobody left: %s\n", text);
    }
    check(trimtab_pool_explain_copy(pool, trimtab_bytes_of(NULL, 0), 0, text, sizeof text, NULL));
    printf("explained: %s\n", text);
    statistics.struct_size = sizeof statistics;
    check(trimtab_pool_statistics_read(pool, &statistics));
    printf("counted: %u of %u backends serving, %u pick refused\n", (unsigned)statistics.serving,
           (unsigned)statistics.backends, (unsigned)statistics.refused);
    trimtab_pool_free(pool);
}

int main(void)
{
    char version[32];
    check(trimtab_version_copy(version, sizeof version, NULL));
    printf("trimtab %s: %d picks by %d clients\n\n%-20s", version, PICKS, CLIENTS, "");
    for (int at = 0; at < BACKENDS; at++) {
        printf("%14s", addresses[at]);
    }
    printf("\n%-20s", "weight, answers in");
    for (int at = 0; at < BACKENDS; at++) {
        printf("%6u, %3u ms", (unsigned)weights[at], (unsigned)answers_ms[at]);
    }
    printf("\n");
    with_policy("round-robin");
    with_policy("least-connections");
    with_policy("peak-ewma");
    with_nobody();
    return 0;
}
