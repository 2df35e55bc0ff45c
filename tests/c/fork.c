/*
 * After fork parent and child go on, each with a pool of its own, whatever other threads were doing to the pool
 * at that moment. A child that hangs is killed by its alarm, and its parent fails.
 *
 *     fork [ROUNDS]      default 40
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { CHANGERS = 3, CHILD_SECONDS = 20, ALL_SECONDS = 240 };

/* Waits for a child that should have ended well. */
static void join(pid_t child)
{
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "fork: the child was ended by signal %d%s\n", WTERMSIG(status),
                WTERMSIG(status) == SIGALRM ? " (it hung)" : "");
        exit(1);
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Everything a worker of a pre-fork host does. */
static void use(trimtab_pool *pool, unsigned number)
{
    trimtab_pick pick = new_pick();
    uint64_t ids[8];
    for (unsigned at = 0; at < 8; at++) {
        ids[at] = add(pool, number + at);
    }
    for (unsigned turn = 0; turn < 200; turn++) {
        OK(trimtab_pool_pick(pool, trimtab_bytes_of(&turn, sizeof turn), 0, &pick));
        OK(trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
    }
    for (unsigned at = 0; at < 8; at++) {
        OK(trimtab_pool_set_weight(pool, ids[at], at + 2));
        OK(trimtab_pool_remove(pool, ids[at]));
    }
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_remove(pool, ids[0]));
    CHECK(strstr(last_error(), "no backend") != NULL);
    trimtab_pool *own = new_pool(TRIMTAB_POLICY_RANDOM);
    add(own, 1);
    OK(trimtab_pool_pick(own, NO_KEY, 0, &pick));
    trimtab_pool_free(own);
}

/* What one does the other does not see. */
static void independent(void)
{
    trimtab_pool *pool = new_pool(TRIMTAB_POLICY_ROUND_ROBIN);
    uint64_t first = add(pool, 1);
    uint64_t second = add(pool, 2);
    trimtab_pick before = new_pick();
    OK(trimtab_pool_pick(pool, NO_KEY, 0, &before));
    int to_child[2];
    CHECK(pipe(to_child) == 0);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char byte;
        alarm(CHILD_SECONDS);
        CHECK(read(to_child[0], &byte, 1) == 1);
        /* The parent has removed it by now; here it is there still. */
        CHECK(statistics_of(pool).backends == 2 && statistics_of(pool).picks == 1);
        OK(trimtab_pool_done(pool, before.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
        OK(trimtab_pool_remove(pool, second));
        add(pool, 3);
        add(pool, 4);
        use(pool, 1000);
        CHECK(statistics_of(pool).backends == 3 && statistics_of(pool).in_flight == 0);
        trimtab_pool_free(pool);
        _exit(0);
    }
    OK(trimtab_pool_remove(pool, first));
    CHECK(write(to_child[1], "x", 1) == 1);
    join(child);
    CHECK(statistics_of(pool).backends == 1 && backend_statistics_of(pool, second).weight == 1);
    OK(trimtab_pool_done(pool, before.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
    use(pool, 1000);
    close(to_child[0]);
    close(to_child[1]);
    trimtab_pool_free(pool);
}

static trimtab_pool *shared;
static int stop;

/* Changes the pool for as long as it is told to. Half of the backends stay, so the counters grow too. */
static void *change(void *argument)
{
    unsigned number = *(unsigned *)argument;
    unsigned end = number + 1000;
    trimtab_pick pick = new_pick();
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE) && number < end) {
        uint64_t id = add(shared, number++);
        OK(trimtab_pool_set_weight(shared, id, 7));
        OK(trimtab_pool_pick(shared, trimtab_bytes_of(&number, sizeof number), 0, &pick));
        if (number % 2 == 0) {
            OK(trimtab_pool_remove(shared, id));
        }
        OK(trimtab_pool_done(shared, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
    }
    return NULL;
}

static void pause_us(unsigned microseconds)
{
    struct timespec pause = {0, (long)microseconds * 1000};
    nanosleep(&pause, NULL);
}

static void under_change(int32_t policy, unsigned round)
{
    pthread_t ids[CHANGERS];
    unsigned numbers[CHANGERS];
    stop = 0;
    shared = new_pool(policy);
    add(shared, 1);
    for (unsigned at = 0; at < CHANGERS; at++) {
        numbers[at] = 100000 * (at + 1);
        CHECK(pthread_create(&ids[at], NULL, change, &numbers[at]) == 0);
    }
    /* At another moment each time. */
    pause_us(round * 7919u % 3000u);
    for (unsigned children = 0; children < 3; children++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(CHILD_SECONDS);
            use(shared, 10000);
            trimtab_pool_free(shared);
            _exit(0);
        }
        join(child);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (unsigned at = 0; at < CHANGERS; at++) {
        CHECK(pthread_join(ids[at], NULL) == 0);
    }
    use(shared, 10000);
    trimtab_pool_free(shared);
}

static int ready;

/* Makes the counters grow, which is the longest step of a change. */
static void *grow(void *argument)
{
    (void)argument;
    __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
    add(shared, 1);
    return NULL;
}

/* A pool of many lanes has much to grow at its first backend: there, fork is most likely to come between. */
static void under_growth(unsigned round)
{
    trimtab_pool_options *options = NULL;
    pthread_t id;
    OK(trimtab_pool_options_new(&options));
    OK(trimtab_pool_options_set_lanes(options, 64));
    OK(trimtab_pool_options_set_picks_max(options, 1024));
    OK(trimtab_pool_new(options, &shared));
    trimtab_pool_options_free(options);
    ready = 0;
    CHECK(pthread_create(&id, NULL, grow, NULL) == 0);
    while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) {
    }
    for (volatile unsigned spin = round * 7919u % 20000u; spin > 0; spin--) {
    }
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(CHILD_SECONDS);
        use(shared, 10000);
        trimtab_pool_free(shared);
        _exit(0);
    }
    join(child);
    CHECK(pthread_join(id, NULL) == 0);
    use(shared, 10000);
    trimtab_pool_free(shared);
}

int main(int argc, char **argv)
{
    static const int32_t policies[] = {TRIMTAB_POLICY_ROUND_ROBIN, TRIMTAB_POLICY_PREDICTIVE, TRIMTAB_POLICY_RANDOM};
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 40;
    alarm(ALL_SECONDS);
    independent();
    for (unsigned round = 0; round < 5 * rounds; round++) {
        under_growth(round);
    }
    for (unsigned round = 0; round < rounds; round++) {
        under_change(policies[round % 3], round);
    }
    printf("fork: %u children of pools being changed by other threads, none hung\n", rounds * 8);
    return 0;
}
