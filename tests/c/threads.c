/* Eight threads pick and report while another one adds, drains and removes. Nobody gets an answer that
 * contradicts what was ordered, no count is lost, and each thread has its own last error. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <unistd.h>

#include "check.h"

enum { PICKERS = 8, PICKS = 200000, HELD = 16, STANDING = 4, CHANGES = 2000 };

static trimtab_pool *pool;
/* Written once, before the threads start. */
static uint64_t standing[STANDING];
static int stop;
/* Of the backends that come and go, those up to this id were drained before it was written. */
static uint64_t drained;

struct picker {
    unsigned number;
    uint64_t picked;
};

static void *pick(void *argument)
{
    struct picker *picker = argument;
    trimtab_pick held[HELD];
    trimtab_timings timings = {sizeof timings, 0, 1000, 20000, 30000};
    for (int at = 0; at < HELD; at++) {
        held[at] = new_pick();
    }
    for (unsigned turn = 0; turn < PICKS; turn++) {
        trimtab_pick *place = &held[turn % HELD];
        if (turn >= HELD) {
            CHECK(trimtab_pool_done(pool, place->token, (int32_t)(turn % 5), &timings, 0) == TRIMTAB_OK);
        }
        uint64_t drained_before = __atomic_load_n(&drained, __ATOMIC_ACQUIRE);
        CHECK(trimtab_pool_pick(pool, trimtab_bytes_of(&turn, sizeof turn), 0, place) == TRIMTAB_OK);
        CHECK(place->backend <= standing[STANDING - 1] || place->backend > drained_before);
        picker->picked++;
        if (turn % 1000 == 0) {
            /* Nobody else's failure is seen here, and this one's by nobody else. */
            char expected[64];
            EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_remove(pool, 1000000u + picker->number));
            snprintf(expected, sizeof expected, "no backend %u in the pool", 1000000u + picker->number);
            CHECK(strcmp(last_error(), expected) == 0);
        }
    }
    for (int at = 0; at < HELD; at++) {
        CHECK(trimtab_pool_done(pool, held[at].token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0) == TRIMTAB_OK);
    }
    return NULL;
}

static void *change(void *argument)
{
    unsigned *changes = argument;
    unsigned number = 100;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE) || *changes < CHANGES) {
        uint64_t id = add(pool, number++);
        OK(trimtab_pool_set_weight(pool, id, number % 10 + 1));
        OK(trimtab_pool_set_maxconn(pool, id, number % 3));
        OK(trimtab_pool_set_admin(pool, id, TRIMTAB_ADMIN_DRAIN));
        /* From here on it gets nothing new. */
        __atomic_store_n(&drained, id, __ATOMIC_RELEASE);
        CHECK(backend_statistics_of(pool, id).serving == 0);
        OK(trimtab_pool_remove(pool, id));
        OK(trimtab_pool_set_observed(pool, standing[number % STANDING], TRIMTAB_OBSERVED_UP));
        (*changes)++;
    }
    return NULL;
}

static void run(int32_t policy)
{
    pthread_t ids[PICKERS + 1];
    struct picker pickers[PICKERS];
    unsigned changes = 0;
    uint64_t picked = 0;
    stop = 0;
    drained = 0;
    pool = new_pool(policy);
    for (unsigned at = 0; at < STANDING; at++) {
        standing[at] = add(pool, at);
    }
    for (unsigned at = 0; at < PICKERS; at++) {
        pickers[at] = (struct picker){at, 0};
        CHECK(pthread_create(&ids[at], NULL, pick, &pickers[at]) == 0);
    }
    CHECK(pthread_create(&ids[PICKERS], NULL, change, &changes) == 0);
    for (unsigned at = 0; at < PICKERS; at++) {
        CHECK(pthread_join(ids[at], NULL) == 0);
        picked += pickers[at].picked;
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    CHECK(pthread_join(ids[PICKERS], NULL) == 0);

    trimtab_pool_statistics after = statistics_of(pool);
    CHECK(after.backends == STANDING && after.in_flight == 0 && after.refused == 0);
    uint64_t counted = 0;
    for (unsigned at = 0; at < STANDING; at++) {
        trimtab_backend_statistics one = backend_statistics_of(pool, standing[at]);
        CHECK(one.in_flight == 0 && one.picks > 0);
        CHECK(one.picks == one.success + one.connect_failed + one.failed + one.timed_out + one.cancelled);
        counted += one.picks;
    }
    CHECK(counted == after.picks && counted <= picked && picked == (uint64_t)PICKERS * PICKS);
    trimtab_pool_free(pool);
    printf("threads: policy %d, %" PRIu64 " picks while %u backends came and went\n", (int)policy, picked, changes);
}

int main(void)
{
    alarm(240);
    run(TRIMTAB_POLICY_ROUND_ROBIN);
    run(TRIMTAB_POLICY_LEAST_CONNECTIONS);
    run(TRIMTAB_POLICY_PEAK_EWMA);
    run(TRIMTAB_POLICY_HASH);
    run(TRIMTAB_POLICY_PREDICTIVE);
    return 0;
}
