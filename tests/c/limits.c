/* As much as fits, and one more. */
#include "check.h"

enum { MEBIBYTE = 1 << 20 };

static void backends(void)
{
    trimtab_pool *pool = new_pool(TRIMTAB_POLICY_ROUND_ROBIN);
    size_t count = TRIMTAB_BACKENDS_MAX;
    trimtab_backend **many = malloc((count + 1) * sizeof *many);
    uint64_t *ids = malloc((count + 1) * sizeof *ids);
    CHECK(many != NULL && ids != NULL);
    for (size_t at = 0; at <= count; at++) {
        char address[40];
        snprintf(address, sizeof address, "10.%zu.%zu.%zu:80", at >> 16 & 255, at >> 8 & 255, at & 255);
        OK(trimtab_backend_new(STR(address), &many[at]));
        OK(trimtab_backend_set_tag(many[at], at));
    }
    const trimtab_backend *const *list = (const trimtab_backend *const *)many;
    ids[0] = 0;
    EXPECT(TRIMTAB_E_CAPACITY, trimtab_pool_add_all(pool, list, count + 1, ids));
    CHECK(ids[0] == 0 && statistics_of(pool).backends == 0);
    OK(trimtab_pool_add_all(pool, list, count, ids));
    for (size_t at = 1; at < count; at++) {
        CHECK(ids[at] > ids[at - 1]);
    }
    uint64_t id = 0;
    EXPECT(TRIMTAB_E_CAPACITY, trimtab_pool_add(pool, many[count], &id));
    CHECK(strstr(last_error(), "65536") != NULL && id == 0);
    CHECK(statistics_of(pool).backends == count && statistics_of(pool).serving == count);

    /* Each once in a round, whatever the order. */
    unsigned char *seen = calloc(count, 1);
    CHECK(seen != NULL);
    trimtab_pick pick = new_pick();
    for (size_t at = 0; at < count; at++) {
        CHECK(trimtab_pool_pick(pool, NO_KEY, 0, &pick) == TRIMTAB_OK);
        CHECK(pick.tag < count && !seen[pick.tag]);
        seen[pick.tag] = 1;
        CHECK(trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0) == TRIMTAB_OK);
    }
    free(seen);

    size_t total = 0;
    uint64_t some[3] = {0, 0, 0};
    OK(trimtab_pool_ids_copy(pool, some, 2, &total));
    CHECK(total == count && some[0] == ids[0] && some[1] == ids[1] && some[2] == 0);
    size_t length = 0;
    OK(trimtab_pool_explain_copy(pool, NO_KEY, 0, NULL, 0, &length));
    CHECK(length > count * 10);

    OK(trimtab_pool_remove(pool, ids[7]));
    OK(trimtab_pool_add(pool, many[count], &id));
    CHECK(id > ids[count - 1]);
    for (size_t at = 0; at <= count; at++) {
        trimtab_backend_free(many[at]);
    }
    free(many);
    free(ids);
    trimtab_pool_free(pool);
}

static void keys(void)
{
    static const int32_t policies[] = {TRIMTAB_POLICY_HASH, TRIMTAB_POLICY_SOURCE, TRIMTAB_POLICY_ROUND_ROBIN};
    char *key = malloc(MEBIBYTE + 1);
    CHECK(key != NULL && TRIMTAB_KEY_MAX == MEBIBYTE);
    memset(key, 'k', MEBIBYTE + 1);
    for (size_t policy = 0; policy < 3; policy++) {
        trimtab_pool *pool = new_pool(policies[policy]);
        for (unsigned at = 0; at < 10; at++) {
            add(pool, at);
        }
        static const size_t lengths[] = {0, 1, 4, 16, 4096, MEBIBYTE};
        for (size_t at = 0; at < sizeof lengths / sizeof *lengths; at++) {
            trimtab_pick first = new_pick();
            trimtab_pick again = new_pick();
            OK(trimtab_pool_pick(pool, trimtab_bytes_of(key, lengths[at]), 0, &first));
            OK(trimtab_pool_pick(pool, trimtab_bytes_of(key, lengths[at]), 0, &again));
            CHECK(first.backend == again.backend || policies[policy] == TRIMTAB_POLICY_ROUND_ROBIN);
            OK(trimtab_pool_done(pool, first.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
            OK(trimtab_pool_done(pool, again.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
        }
        trimtab_pick pick = new_pick();
        size_t length = 0;
        EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_pool_pick(pool, trimtab_bytes_of(key, MEBIBYTE + 1), 0, &pick));
        CHECK(strstr(last_error(), "1048577") != NULL);
        EXPECT(TRIMTAB_E_INVALID_ARGUMENT,
               trimtab_pool_explain_copy(pool, trimtab_bytes_of(key, MEBIBYTE + 1), 0, NULL, 0, &length));
        CHECK(statistics_of(pool).in_flight == 0);
        trimtab_pool_free(pool);
    }
    free(key);
}

static void addresses(void)
{
    trimtab_pool *pool = new_pool(TRIMTAB_POLICY_FIRST);
    uint64_t id = 0;
    char text[128];
    trimtab_pick pick = new_pick();
    OK(trimtab_pool_add_backend(pool, STR("[2001:db8::7]:8443"), 1, &id));
    OK(trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    static const uint8_t expected[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};
    CHECK(pick.family == TRIMTAB_FAMILY_INET6 && pick.port == 8443 && memcmp(pick.ip, expected, 16) == 0);
    OK(trimtab_pool_remove(pool, id));
    OK(trimtab_pool_add_backend(pool, STR("unix:/run/app.sock"), 1, &id));
    OK(trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    CHECK(pick.family == TRIMTAB_FAMILY_UNIX && pick.port == 0 && pick.backend == id);
    OK(trimtab_pool_address_copy(pool, id, text, sizeof text, NULL));
    CHECK(strcmp(text, "unix:/run/app.sock") == 0);
    OK(trimtab_pool_name_copy(pool, id, text, sizeof text, NULL));
    CHECK(strcmp(text, "unix:/run/app.sock") == 0);
    OK(trimtab_pool_remove(pool, id));
    OK(trimtab_pool_add_backend(pool, STR("192.0.2.33:80"), 1, &id));
    OK(trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    static const uint8_t inet[16] = {192, 0, 2, 33};
    CHECK(pick.family == TRIMTAB_FAMILY_INET && pick.port == 80 && memcmp(pick.ip, inet, 16) == 0);
    trimtab_pool_free(pool);
}

static void time_of_measuring(void)
{
    trimtab_pool *plain = new_pool(TRIMTAB_POLICY_ROUND_ROBIN);
    trimtab_pool *measured = new_pool(TRIMTAB_POLICY_PREDICTIVE);
    uint64_t deadline = 0;
    uint64_t now = 0;
    OK(trimtab_pool_next_deadline(plain, &deadline));
    CHECK(deadline == TRIMTAB_NO_TIME);
    add(measured, 1);
    OK(trimtab_now(&now));
    OK(trimtab_pool_handle_timeout(measured, 0));
    OK(trimtab_pool_next_deadline(measured, &deadline));
    /* A tick is a second, and sampled eight times. */
    CHECK(deadline > now && deadline < now + 2000000000u);
    trimtab_pool_free(plain);
    trimtab_pool_free(measured);
}

int main(void)
{
    backends();
    keys();
    addresses();
    time_of_measuring();
    printf("limits: %d backends and keys of %d bytes fit, one more does not\n", TRIMTAB_BACKENDS_MAX, MEBIBYTE);
    return 0;
}
