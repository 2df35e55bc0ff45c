/*
 * Ten thousand pools made, used and freed by several threads leave nothing behind. Built with AddressSanitizer
 * and linked with the ordinary static library: the sanitizer stands in for malloc, so what the library
 * allocates is watched too, and the very code that ships is what runs. Rust's own -Zsanitizer would watch
 * accesses inside the library as well, but needs a standard library built for it to be of use.
 *
 *     leaks [--plant]      with --plant: forgets one pool, to see that this is found
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <unistd.h>

#include "check.h"

enum { THREADS = 4, POOLS = 2500, BACKENDS = 5 };

/* Fails in each way that leaves a detail with text of its own. */
static void fail(trimtab_pool *pool)
{
    uint64_t id = 0;
    EXPECT(TRIMTAB_E_EXISTS, trimtab_pool_add_backend(pool, STR("10.0.0.1:80"), 1, &id));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_find(pool, STR("nobody at all"), &id));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_pool_add_backend(pool, STR("example.org:80"), 1, &id));
    EXPECT(TRIMTAB_E_UTF8, trimtab_pool_find(pool, STR("\xff"), &id));
}

static void one_pool(unsigned round)
{
    trimtab_pool_options *options = NULL;
    trimtab_pool *pool = NULL;
    trimtab_backend *backends[BACKENDS];
    uint64_t ids[BACKENDS];
    char json[256];
    OK(trimtab_pool_options_new(&options));
    OK(trimtab_pool_options_set_policy(options, (int32_t)(round % (TRIMTAB_POLICY_HASH + 1))));
    OK(trimtab_pool_options_set_hash(options, (int32_t)(round % 2)));
    OK(trimtab_pool_options_set_picks_max(options, 64));
    OK(trimtab_pool_new(options, &pool));
    trimtab_pool_options_free(options);
    for (unsigned at = 0; at < BACKENDS; at++) {
        char address[40];
        if (at + 1 == BACKENDS) {
            snprintf(address, sizeof address, "unix:/run/app-%u.sock", round);
        } else {
            snprintf(address, sizeof address, "10.0.0.%u:80", at + 1);
        }
        OK(trimtab_backend_new(STR(address), &backends[at]));
        snprintf(address, sizeof address, "backend %u of round %u", at, round);
        OK(trimtab_backend_set_name(backends[at], STR(address)));
        OK(trimtab_backend_set_name(backends[at], STR(address)));
    }
    OK(trimtab_pool_add_all(pool, (const trimtab_backend *const *)backends, BACKENDS, ids));
    for (unsigned at = 0; at < BACKENDS; at++) {
        trimtab_backend_free(backends[at]);
    }
    trimtab_pick pick = new_pick();
    for (unsigned turn = 0; turn < 20; turn++) {
        OK(trimtab_pool_pick(pool, trimtab_bytes_of(&turn, sizeof turn), 0, &pick));
        /* Every third is never reported. */
        if (turn % 3 != 0) {
            OK(trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
        }
    }
    OK(trimtab_pool_remove(pool, ids[round % BACKENDS]));
    OK(trimtab_pool_explain_copy(pool, NO_KEY, 0, json, sizeof json, NULL));
    add(pool, 999);
    OK(trimtab_pool_set_admin(pool, ids[(round + 1) % BACKENDS], TRIMTAB_ADMIN_DRAIN));
    if (round % BACKENDS != 0) {
        fail(pool);
    }
    trimtab_pool_free(pool);
}

static void *work(void *argument)
{
    unsigned start = *(unsigned *)argument;
    for (unsigned at = 0; at < POOLS; at++) {
        one_pool(start + at);
    }
    /* A detail that nobody reads goes with its thread. */
    uint64_t now = 0;
    EXPECT(TRIMTAB_E_NULL, trimtab_now(NULL));
    OK(trimtab_now(&now));
    trimtab_backend *none = NULL;
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_backend_new(STR("left behind"), &none));
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t ids[THREADS];
    unsigned starts[THREADS];
    if (argc > 1 && strcmp(argv[1], "--plant") == 0) {
        trimtab_pool *forgotten = new_pool(TRIMTAB_POLICY_HASH);
        add(forgotten, 1);
        forgotten = NULL;
        printf("leaks: one pool forgotten\n");
        return forgotten != NULL;
    }
    for (unsigned at = 0; at < THREADS; at++) {
        starts[at] = at * POOLS;
        CHECK(pthread_create(&ids[at], NULL, work, &starts[at]) == 0);
    }
    for (unsigned at = 0; at < THREADS; at++) {
        CHECK(pthread_join(ids[at], NULL) == 0);
    }
    printf("leaks: %d pools made, used and freed by %d threads\n", THREADS * POOLS, THREADS);
    return 0;
}
