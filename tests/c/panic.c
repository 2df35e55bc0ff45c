/* A bug inside stops at the boundary: the call says so, the handle can only be freed, the rest goes on. Linked
 * with a library built with the feature `test-hook`. */
#include "check.h"

trimtab_status trimtab_pool_test_panic(const trimtab_pool *pool);

int main(void)
{
    trimtab_pool *pool = new_pool(TRIMTAB_POLICY_ROUND_ROBIN);
    trimtab_pool *other = new_pool(TRIMTAB_POLICY_ROUND_ROBIN);
    uint64_t id = add(pool, 1);
    add(other, 1);
    trimtab_pick pick = new_pick();
    OK(trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    EXPECT(TRIMTAB_E_NULL, trimtab_pool_test_panic(NULL));
    EXPECT(TRIMTAB_E_PANIC, trimtab_pool_test_panic(pool));
    CHECK(strstr(last_error(), "asked for by a test") != NULL);

    uint64_t added = 7;
    char buffer[8] = "as was";
    trimtab_pool_statistics statistics;
    memset(&statistics, 0, sizeof statistics);
    statistics.struct_size = sizeof statistics;
    EXPECT(TRIMTAB_E_CLOSED, trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    CHECK(strstr(last_error(), "panic") != NULL);
    EXPECT(TRIMTAB_E_CLOSED, trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
    EXPECT(TRIMTAB_E_CLOSED, trimtab_pool_add_backend(pool, STR("10.0.0.2:80"), 1, &added));
    EXPECT(TRIMTAB_E_CLOSED, trimtab_pool_remove(pool, id));
    EXPECT(TRIMTAB_E_CLOSED, trimtab_pool_name_copy(pool, id, buffer, sizeof buffer, NULL));
    EXPECT(TRIMTAB_E_CLOSED, trimtab_pool_statistics_read(pool, &statistics));
    EXPECT(TRIMTAB_E_CLOSED, trimtab_pool_test_panic(pool));
    CHECK(added == 7 && strcmp(buffer, "as was") == 0 && statistics.picks == 0);
    trimtab_pool_free(pool);

    OK(trimtab_pool_pick(other, NO_KEY, 0, &pick));
    OK(trimtab_pool_done(other, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
    trimtab_pool_free(other);
    printf("panic: stopped at the boundary\n");
    return 0;
}
