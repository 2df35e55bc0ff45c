/*
 * What does one pick with its done cost through the C interface? Per policy, at three sizes of pool, with one
 * thread and with two.
 *
 *     bench_pick [ROUNDS [MILLISECONDS [POLICY]]]
 *
 * Default: 9 rounds of 60 ms, after one that is not counted, of every policy.
 *
 * The time is passed in, as a host with an event loop does; the last lines tell what `now_ns` 0 costs.
 * Figures are nanoseconds per pick and done of one thread: median (least to greatest round).
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "trimtab.h"

enum { BATCH = 512, KEYS = 4096, KEY_LENGTH = 16, ROUNDS_MAX = 99, THREADS_MAX = 2 };

struct policy {
    const char *name;
    int32_t policy;
    int32_t hash;
};

static const struct policy policies[] = {
    {"round-robin", TRIMTAB_POLICY_ROUND_ROBIN, 0},
    {"static", TRIMTAB_POLICY_STATIC, 0},
    {"first", TRIMTAB_POLICY_FIRST, 0},
    {"random", TRIMTAB_POLICY_RANDOM, 0},
    {"least-connections", TRIMTAB_POLICY_LEAST_CONNECTIONS, 0},
    {"power-of-two", TRIMTAB_POLICY_POWER_OF_TWO, 0},
    {"peak-ewma", TRIMTAB_POLICY_PEAK_EWMA, 0},
    {"fastest", TRIMTAB_POLICY_FASTEST, 0},
    {"observed", TRIMTAB_POLICY_OBSERVED, 0},
    {"predictive", TRIMTAB_POLICY_PREDICTIVE, 0},
    {"hash ring", TRIMTAB_POLICY_HASH, TRIMTAB_HASH_RING},
    {"hash maglev", TRIMTAB_POLICY_HASH, TRIMTAB_HASH_MAGLEV},
    {"hash rendezvous", TRIMTAB_POLICY_HASH, TRIMTAB_HASH_RENDEZVOUS},
};

static const size_t sizes[] = {3, 100, 10000};

static char keys[KEYS][KEY_LENGTH];

static void need(trimtab_status status, const char *what)
{
    if (status != TRIMTAB_OK) {
        char detail[256];
        trimtab_last_error_copy(detail, sizeof detail, NULL);
        fprintf(stderr, "%s: %d: %s\n", what, (int)status, detail);
        exit(1);
    }
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static trimtab_pool *make_pool(const struct policy *policy, size_t size)
{
    trimtab_pool_options *options;
    need(trimtab_pool_options_new(&options), "options_new");
    need(trimtab_pool_options_set_policy(options, policy->policy), "set_policy");
    need(trimtab_pool_options_set_hash(options, policy->hash), "set_hash");
    need(trimtab_pool_options_set_seed(options, 1), "set_seed");
    trimtab_pool *pool;
    need(trimtab_pool_new(options, &pool), "pool_new");
    trimtab_pool_options_free(options);

    trimtab_backend **backends = malloc(size * sizeof *backends);
    for (size_t at = 0; at < size; at++) {
        char address[32];
        snprintf(address, sizeof address, "10.%zu.%zu.%zu:80", at >> 16 & 255, at >> 8 & 255, at & 255);
        need(trimtab_backend_new(trimtab_str_of(address), &backends[at]), "backend_new");
    }
    need(trimtab_pool_add_all(pool, (const trimtab_backend *const *)backends, size, NULL), "add_all");
    for (size_t at = 0; at < size; at++) {
        trimtab_backend_free(backends[at]);
    }
    free(backends);
    return pool;
}

struct worker {
    trimtab_pool *pool;
    pthread_barrier_t *barrier;
    int rounds;
    uint64_t round_ns;
    int reads_clock;
    double ns[ROUNDS_MAX + 1];
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    trimtab_pick pick;
    memset(&pick, 0, sizeof pick);
    pick.struct_size = sizeof pick;
    trimtab_timings timings = {sizeof timings, 0, TRIMTAB_NO_TIME, 1000000, TRIMTAB_NO_TIME};
    size_t key = 0;
    for (int round = 0; round <= worker->rounds; round++) {
        pthread_barrier_wait(worker->barrier);
        uint64_t begin = now();
        uint64_t end = begin;
        uint64_t count = 0;
        do {
            uint64_t passed = worker->reads_clock ? 0 : end;
            for (int at = 0; at < BATCH; at++) {
                key = (key + 1) % KEYS;
                trimtab_status status =
                    trimtab_pool_pick(worker->pool, trimtab_bytes_of(keys[key], KEY_LENGTH), passed, &pick);
                if (status == TRIMTAB_OK) {
                    status = trimtab_pool_done(worker->pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, &timings,
                                               passed);
                }
                need(status, "pick and done");
            }
            count += BATCH;
            end = now();
        } while (end - begin < worker->round_ns);
        worker->ns[round] = (double)(end - begin) / (double)count;
    }
    return NULL;
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Prints one cell of the table. A round's figure is the mean of its threads'. */
static void measure(trimtab_pool *pool, int threads, int rounds, uint64_t round_ns, int reads_clock)
{
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    static struct worker workers[THREADS_MAX];
    pthread_t ids[THREADS_MAX];
    for (int at = 0; at < threads; at++) {
        workers[at] = (struct worker){.pool = pool, .barrier = &barrier, .rounds = rounds,
                                      .round_ns = round_ns, .reads_clock = reads_clock};
        if (pthread_create(&ids[at], NULL, work, &workers[at]) != 0) {
            exit(1);
        }
    }
    double ns[ROUNDS_MAX] = {0};
    for (int at = 0; at < threads; at++) {
        pthread_join(ids[at], NULL);
        /* Round 0 warms up. */
        for (int round = 0; round < rounds; round++) {
            ns[round] += workers[at].ns[round + 1] / threads;
        }
    }
    pthread_barrier_destroy(&barrier);
    qsort(ns, (size_t)rounds, sizeof *ns, by_value);
    printf("  %6.1f (%5.1f to %6.1f)", ns[rounds / 2], ns[0], ns[rounds - 1]);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 9;
    long milliseconds = argc > 2 ? atol(argv[2]) : 60;
    const char *only = argc > 3 ? argv[3] : NULL;
    if (rounds < 1 || rounds > ROUNDS_MAX || milliseconds < 1) {
        fprintf(stderr, "usage: bench_pick [ROUNDS [MILLISECONDS [POLICY]]], 1 to %d rounds\n", ROUNDS_MAX);
        return 2;
    }
    uint64_t round_ns = (uint64_t)milliseconds * 1000000u;
    uint64_t state = 1;
    for (int key = 0; key < KEYS; key++) {
        for (int byte = 0; byte < KEY_LENGTH; byte++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            keys[key][byte] = (char)(state >> 56);
        }
    }
    char version[32];
    need(trimtab_version_copy(version, sizeof version, NULL), "version_copy");
    printf("trimtab %s, pick and done through the C interface, ns: median (least to greatest of %d rounds)\n\n",
           version, rounds);
    printf("%-18s %8s  %24s  %24s\n", "policy", "backends", "1 thread", "2 threads");
    for (size_t policy = 0; policy < sizeof policies / sizeof *policies; policy++) {
        if (only != NULL && strcmp(only, policies[policy].name) != 0) {
            continue;
        }
        for (size_t size = 0; size < sizeof sizes / sizeof *sizes; size++) {
            /* Rendezvous looks at every backend: 10,000 of them are no use to anybody. */
            if (policies[policy].hash == TRIMTAB_HASH_RENDEZVOUS && sizes[size] > 100) {
                continue;
            }
            trimtab_pool *pool = make_pool(&policies[policy], sizes[size]);
            printf("%-18s %8zu", policies[policy].name, sizes[size]);
            measure(pool, 1, rounds, round_ns, 0);
            measure(pool, 2, rounds, round_ns, 0);
            printf("\n");
            trimtab_pool_free(pool);
        }
    }
    printf("\nwhere trimtab reads the clock (now_ns 0)\n");
    for (size_t policy = 0; policy < sizeof policies / sizeof *policies; policy++) {
        if (only != NULL && strcmp(only, policies[policy].name) != 0) {
            continue;
        }
        trimtab_pool *pool = make_pool(&policies[policy], 100);
        printf("%-18s %8d", policies[policy].name, 100);
        measure(pool, 1, rounds, round_ns, 1);
        measure(pool, 2, rounds, round_ns, 1);
        printf("\n");
        trimtab_pool_free(pool);
    }
    return 0;
}
