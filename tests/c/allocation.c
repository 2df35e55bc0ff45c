/* A pick and its done allocate nothing, nor does a pick that finds nobody. Linked statically with
 * `-Wl,--wrap` for each function below, so that the library's own calls are counted. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>

#include "check.h"

static unsigned long allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    allocations++;
    return __real_realloc(memory, size);
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
    allocations++;
    return __real_posix_memalign(memory, alignment, size);
}

static void turn(const trimtab_pool *pool, unsigned number)
{
    trimtab_pick pick = new_pick();
    trimtab_timings timings = {sizeof timings, 0, 100, 200, 300};
    uint64_t tried[1] = {1};
    CHECK(trimtab_pool_pick(pool, trimtab_bytes_of(&number, sizeof number), 0, &pick) == TRIMTAB_OK);
    CHECK(trimtab_pool_done(pool, pick.token, (int32_t)(number % 5), &timings, 0) == TRIMTAB_OK);
    CHECK(trimtab_pool_pick_avoiding(pool, NO_KEY, 0, tried, 1, &pick) == TRIMTAB_OK);
    CHECK(trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0) == TRIMTAB_OK);
    CHECK(trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0) == TRIMTAB_E_STALE_PICK);
}

int main(void)
{
    trimtab_pool *empty = new_pool(TRIMTAB_POLICY_RANDOM);
    for (int32_t policy = TRIMTAB_POLICY_ROUND_ROBIN; policy <= TRIMTAB_POLICY_HASH; policy++) {
        trimtab_pool *pool = new_pool(policy);
        uint64_t id = 0;
        trimtab_pick pick = new_pick();
        for (unsigned at = 0; at < 20; at++) {
            add(pool, at);
        }
        OK(trimtab_pool_add_backend(pool, STR("unix:/run/app.sock"), 1, &id));
        OK(trimtab_pool_set_maxconn(pool, id, 10));
        /* A thread's first call finds it a lane. */
        turn(pool, 0);
        CHECK(trimtab_pool_pick(empty, NO_KEY, 0, &pick) == TRIMTAB_E_NO_BACKEND);
        unsigned long before = allocations;
        for (unsigned number = 1; number <= 2000; number++) {
            turn(pool, number);
            CHECK(trimtab_pool_pick(empty, NO_KEY, 0, &pick) == TRIMTAB_E_NO_BACKEND);
        }
        if (allocations != before) {
            fprintf(stderr, "allocation: policy %d made %lu\n", (int)policy, allocations - before);
            return 1;
        }
        trimtab_pool_free(pool);
    }
    trimtab_pool_free(empty);
    CHECK(allocations > 0);
    printf("allocation: none for a pick, by any policy\n");
    return 0;
}
