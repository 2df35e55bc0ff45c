/* What is wrong gets a code and a detail that helps; nothing else is disturbed, and what was to be written
 * stays as it was. */
#include "check.h"

#define UNTOUCHED 0x5a5a5a5a5a5a5a5au

static void struct_sizes(void)
{
    trimtab_pool *pool = new_pool(TRIMTAB_POLICY_ROUND_ROBIN);
    uint64_t id = add(pool, 1);
    trimtab_pick pick;
    memset(&pick, 0x5a, sizeof pick);
    pick.struct_size = 0;
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    CHECK(strstr(last_error(), "struct_size 0") != NULL);
    pick.struct_size = sizeof pick - 1;
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    CHECK(pick.backend == UNTOUCHED && pick.token == UNTOUCHED && pick.struct_size == sizeof pick - 1);
    CHECK(statistics_of(pool).picks == 0);

    /* A caller of a later release has more room; what this release does not know stays. */
    struct {
        trimtab_pick pick;
        uint64_t newer;
    } larger;
    memset(&larger, 0x5a, sizeof larger);
    larger.pick.struct_size = sizeof larger;
    OK(trimtab_pool_pick(pool, NO_KEY, 0, &larger.pick));
    CHECK(larger.newer == UNTOUCHED && larger.pick.backend == id && larger.pick.struct_size == sizeof larger);

    struct {
        trimtab_timings timings;
        uint64_t newer;
    } longer = {{sizeof longer, 0, 1000, 2000, 3000}, 7};
    trimtab_timings timings = {sizeof timings - 1, 0, 1, 1, 1};
    EXPECT(TRIMTAB_E_STRUCT_SIZE,
           trimtab_pool_done(pool, larger.pick.token, TRIMTAB_OUTCOME_SUCCESS, &timings, 0));
    CHECK(statistics_of(pool).in_flight == 1);
    OK(trimtab_pool_done(pool, larger.pick.token, TRIMTAB_OUTCOME_SUCCESS, &longer.timings, 0));
    CHECK(backend_statistics_of(pool, id).response_mean_ns == 2000);

    trimtab_pool_statistics statistics;
    memset(&statistics, 0x5a, sizeof statistics);
    /* The first release's ends here. */
    statistics.struct_size = offsetof(trimtab_pool_statistics, limit) - 1;
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_pool_statistics_read(pool, &statistics));
    CHECK(statistics.picks == UNTOUCHED);
    trimtab_backend_statistics one;
    memset(&one, 0x5a, sizeof one);
    one.struct_size = 4;
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_pool_backend_statistics_read(pool, id, &one));
    CHECK(one.picks == UNTOUCHED);
    trimtab_pool_free(pool);
}

static void text(void)
{
    trimtab_pool *pool = new_pool(TRIMTAB_POLICY_ROUND_ROBIN);
    trimtab_pool_options *options = NULL;
    trimtab_backend *backend = NULL;
    uint64_t id = UNTOUCHED;
    int32_t has = 7;
    OK(trimtab_pool_options_new(&options));
    OK(trimtab_backend_new(STR("10.0.0.1:80"), &backend));
    static const char *const wrong[] = {"\xff", "web\xc3", "\xc0\x80", "\xed\xa0\x80", "ok\xf5"};
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
        trimtab_str str = STR(wrong[at]);
        trimtab_backend *none = NULL;
        EXPECT(TRIMTAB_E_UTF8, trimtab_pool_add_backend(pool, str, 1, &id));
        EXPECT(TRIMTAB_E_UTF8, trimtab_backend_new(str, &none));
        EXPECT(TRIMTAB_E_UTF8, trimtab_backend_set_name(backend, str));
        EXPECT(TRIMTAB_E_UTF8, trimtab_pool_options_set_policy_name(options, str));
        EXPECT(TRIMTAB_E_UTF8, trimtab_pool_find(pool, str, &id));
        EXPECT(TRIMTAB_E_UTF8, trimtab_feature_has(str, &has));
        CHECK(none == NULL && id == UNTOUCHED && has == 7);
    }
    EXPECT(TRIMTAB_E_UTF8, trimtab_backend_set_name(backend, STR("web\xff")));
    CHECK(strcmp(last_error(), "name is not UTF-8 from byte 3 on") == 0);

    /* A key is bytes, not text. */
    add(pool, 1);
    trimtab_pick pick = new_pick();
    OK(trimtab_pool_pick(pool, trimtab_bytes_of("\xff\xfe", 2), 0, &pick));

    /* No NUL is needed, and one inside is a character like any other: here, a wrong one. */
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_backend_set_name(backend, (trimtab_str){"a\0b", 3}));
    OK(trimtab_pool_add_backend(pool, (trimtab_str){"10.0.0.2:80 and more", 11}, 1, &id));
    CHECK(id == 2);

    static const char *const addresses[] = {"",          "10.0.0.1", "10.0.0.1:0",  "10.0.0.1:65536", "10.0.0:80",
                                            "localhost", "::1:80",   "app.test:80", "unix:",          " 10.0.0.1:80"};
    id = UNTOUCHED;
    for (size_t at = 0; at < sizeof addresses / sizeof *addresses; at++) {
        EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_pool_add_backend(pool, STR(addresses[at]), 1, &id));
        CHECK(id == UNTOUCHED && strncmp(last_error(), "invalid address: ", 17) == 0);
    }

    /* A length no memory has. */
    trimtab_str endless = {"x", SIZE_MAX};
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_pool_find(pool, endless, &id));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_pool_pick(pool, trimtab_bytes_of("x", SIZE_MAX), 0, &pick));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_pool_pick_avoiding(pool, NO_KEY, 0, &id, SIZE_MAX, &pick));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_pool_ids_copy(pool, &id, SIZE_MAX, NULL));

    trimtab_backend_free(backend);
    trimtab_pool_options_free(options);
    trimtab_pool_free(pool);
}

static void values(void)
{
    trimtab_pool_options *options = NULL;
    trimtab_backend *backend = NULL;
    trimtab_pool *pool = NULL;
    double nan = strtod("nan", NULL);
    OK(trimtab_pool_options_new(&options));
    OK(trimtab_backend_new(STR("10.0.0.1:80"), &backend));

#define REFUSED(call) EXPECT(TRIMTAB_E_INVALID_ARGUMENT, call)
#define ENUM(call, last)                                                                     \
    do {                                                                                     \
        static const int32_t outside[] = {-1, (last) + 1, INT32_MAX, INT32_MIN};             \
        for (int32_t value = 0; value <= (last); value++) {                                  \
            OK(call);                                                                        \
        }                                                                                    \
        for (size_t at = 0; at < 4; at++) {                                                  \
            int32_t value = outside[at];                                                     \
            REFUSED(call);                                                                   \
        }                                                                                    \
    } while (0)
    ENUM(trimtab_pool_options_set_policy(options, value), TRIMTAB_POLICY_HASH);
    ENUM(trimtab_pool_options_set_hash(options, value), TRIMTAB_HASH_RENDEZVOUS);
    ENUM(trimtab_pool_options_set_backups(options, value), TRIMTAB_BACKUPS_SPILL);
    ENUM(trimtab_pool_options_set_formula(options, value), TRIMTAB_FORMULA_F5_K6406);
    ENUM(trimtab_backend_set_admin(backend, value), TRIMTAB_ADMIN_MAINTENANCE);
    ENUM(trimtab_backend_set_observed(backend, value), TRIMTAB_OBSERVED_EJECTED);

    REFUSED(trimtab_pool_options_set_policy_name(options, STR("roundrobin")));
    CHECK(strstr(last_error(), "round-robin") != NULL && strstr(last_error(), "peak-ewma") != NULL);
    OK(trimtab_pool_options_set_policy_name(options, STR("least-connections")));

    /* At each limit, and just beyond it. */
    OK(trimtab_pool_options_set_bounded_load(options, 1.01));
    OK(trimtab_pool_options_set_bounded_load(options, 10));
    REFUSED(trimtab_pool_options_set_bounded_load(options, 1));
    REFUSED(trimtab_pool_options_set_bounded_load(options, 10.01));
    REFUSED(trimtab_pool_options_set_bounded_load(options, nan));
    REFUSED(trimtab_pool_new(options, &pool));
    CHECK(pool == NULL && strstr(last_error(), "source and hash") != NULL);
    OK(trimtab_pool_options_set_bounded_load(options, 0));
    OK(trimtab_pool_options_set_tick_ms(options, 10));
    OK(trimtab_pool_options_set_tick_ms(options, 60000));
    REFUSED(trimtab_pool_options_set_tick_ms(options, 9));
    REFUSED(trimtab_pool_options_set_tick_ms(options, 60001));
    REFUSED(trimtab_pool_options_set_tick_ms(options, UINT64_MAX));
    OK(trimtab_pool_options_set_blend(options, 0));
    OK(trimtab_pool_options_set_blend(options, 1));
    REFUSED(trimtab_pool_options_set_blend(options, 1.001));
    REFUSED(trimtab_pool_options_set_blend(options, nan));
    OK(trimtab_pool_options_set_gain(options, 4));
    REFUSED(trimtab_pool_options_set_gain(options, 4.001));
    REFUSED(trimtab_pool_options_set_gain(options, -1));
    OK(trimtab_pool_options_set_history(options, 2));
    OK(trimtab_pool_options_set_history(options, 32));
    REFUSED(trimtab_pool_options_set_history(options, 1));
    REFUSED(trimtab_pool_options_set_history(options, 33));
    OK(trimtab_pool_options_set_floor(options, 0.2));
    REFUSED(trimtab_pool_options_set_floor(options, 0.2001));
    REFUSED(trimtab_pool_options_set_floor(options, 0));
    OK(trimtab_pool_options_set_stale_ms(options, 100));
    OK(trimtab_pool_options_set_stale_ms(options, 3600000));
    REFUSED(trimtab_pool_options_set_stale_ms(options, 99));
    REFUSED(trimtab_pool_options_set_stale_ms(options, 3600001));
    OK(trimtab_pool_options_set_decay_ms(options, 1));
    OK(trimtab_pool_options_set_decay_ms(options, 600000));
    REFUSED(trimtab_pool_options_set_decay_ms(options, 0));
    REFUSED(trimtab_pool_options_set_decay_ms(options, 600001));
    OK(trimtab_pool_options_set_seed(options, UINT64_MAX));
    OK(trimtab_pool_options_set_hash_seed(options, UINT64_MAX));
    OK(trimtab_pool_options_set_lanes(options, 64));
    REFUSED(trimtab_pool_options_set_lanes(options, 65));
    OK(trimtab_pool_options_set_picks_max(options, 1));
    OK(trimtab_pool_options_set_picks_max(options, 16777216));
    REFUSED(trimtab_pool_options_set_picks_max(options, 0));
    REFUSED(trimtab_pool_options_set_picks_max(options, 16777217));

    OK(trimtab_backend_set_weight(backend, 1));
    OK(trimtab_backend_set_weight(backend, TRIMTAB_WEIGHT_MAX));
    REFUSED(trimtab_backend_set_weight(backend, 0));
    CHECK(strstr(last_error(), "drain") != NULL);
    REFUSED(trimtab_backend_set_weight(backend, TRIMTAB_WEIGHT_MAX + 1));
    OK(trimtab_backend_set_maxconn(backend, TRIMTAB_MAXCONN_MAX));
    REFUSED(trimtab_backend_set_maxconn(backend, TRIMTAB_MAXCONN_MAX + 1u));
    OK(trimtab_backend_set_maxconn(backend, 0));
    OK(trimtab_backend_set_tier(backend, 255));
    REFUSED(trimtab_backend_set_tier(backend, 256));
    OK(trimtab_backend_set_tag(backend, UINT64_MAX));
    REFUSED(trimtab_backend_set_name(backend, STR("")));
    char long_name[257];
    memset(long_name, 'n', sizeof long_name);
    OK(trimtab_backend_set_name(backend, (trimtab_str){long_name, 255}));
    REFUSED(trimtab_backend_set_name(backend, (trimtab_str){long_name, 256}));

    OK(trimtab_pool_options_set_policy(options, TRIMTAB_POLICY_STATIC));
    OK(trimtab_pool_options_set_picks_max(options, 16));
    OK(trimtab_pool_new(options, &pool));
    uint64_t id = 0;
    OK(trimtab_pool_add(pool, backend, &id));
    REFUSED(trimtab_pool_set_weight(pool, id, 3));
    CHECK(strstr(last_error(), "static") != NULL);
    REFUSED(trimtab_pool_set_weight(pool, id, 0));
    REFUSED(trimtab_pool_set_weight(pool, id, TRIMTAB_WEIGHT_MAX + 1));
    REFUSED(trimtab_pool_set_maxconn(pool, id, TRIMTAB_MAXCONN_MAX + 1u));
    REFUSED(trimtab_pool_set_tier(pool, id, 256));
    ENUM(trimtab_pool_set_admin(pool, id, value), TRIMTAB_ADMIN_MAINTENANCE);
    ENUM(trimtab_pool_set_observed(pool, id, value), TRIMTAB_OBSERVED_EJECTED);
    trimtab_backend_statistics one = backend_statistics_of(pool, id);
    CHECK(one.weight == TRIMTAB_WEIGHT_MAX && one.tier == 255 && one.tag == UINT64_MAX && one.maxconn == 0);
    CHECK(one.admin == TRIMTAB_ADMIN_MAINTENANCE && one.observed == TRIMTAB_OBSERVED_EJECTED && one.serving == 0);
    trimtab_backend_free(backend);
    trimtab_pool_options_free(options);
    trimtab_pool_free(pool);
}

static void duplicates_and_strangers(void)
{
    trimtab_pool *pool = new_pool(TRIMTAB_POLICY_ROUND_ROBIN);
    uint64_t first = add(pool, 1);
    uint64_t id = UNTOUCHED;
    trimtab_backend *named = NULL;
    trimtab_backend *same_name = NULL;
    EXPECT(TRIMTAB_E_EXISTS, trimtab_pool_add_backend(pool, STR("10.0.0.1:80"), 1, &id));
    CHECK(id == UNTOUCHED && strstr(last_error(), "10.0.0.1:80") != NULL);
    OK(trimtab_backend_new(STR("10.0.0.2:80"), &named));
    OK(trimtab_backend_set_name(named, STR("web")));
    OK(trimtab_backend_new(STR("10.0.0.3:80"), &same_name));
    OK(trimtab_backend_set_name(same_name, STR("web")));

    /* All or none. */
    const trimtab_backend *both[2] = {named, same_name};
    uint64_t ids[2] = {UNTOUCHED, UNTOUCHED};
    EXPECT(TRIMTAB_E_EXISTS, trimtab_pool_add_all(pool, both, 2, ids));
    CHECK(ids[0] == UNTOUCHED && ids[1] == UNTOUCHED && statistics_of(pool).backends == 1);
    OK(trimtab_pool_add(pool, named, &id));
    EXPECT(TRIMTAB_E_EXISTS, trimtab_pool_add(pool, same_name, &ids[0]));
    uint64_t found = 0;
    OK(trimtab_pool_find(pool, STR("web"), &found));
    CHECK(found == id);
    OK(trimtab_pool_find(pool, STR("10.0.0.1:80"), &found));
    CHECK(found == first);

    static const uint64_t strangers[] = {0, 99, UINT64_MAX};
    for (size_t at = 0; at < 3; at++) {
        uint64_t stranger = strangers[at];
        char buffer[8] = "as was";
        trimtab_backend_statistics one;
        memset(&one, 0x5a, sizeof one);
        one.struct_size = sizeof one;
        found = UNTOUCHED;
        EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_remove(pool, stranger));
        EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_set_weight(pool, stranger, 1));
        EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_set_maxconn(pool, stranger, 1));
        EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_set_tier(pool, stranger, 1));
        EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_set_tag(pool, stranger, 1));
        EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_set_admin(pool, stranger, TRIMTAB_ADMIN_READY));
        EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_set_observed(pool, stranger, TRIMTAB_OBSERVED_UP));
        EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_name_copy(pool, stranger, buffer, sizeof buffer, NULL));
        EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_address_copy(pool, stranger, buffer, sizeof buffer, NULL));
        EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_backend_statistics_read(pool, stranger, &one));
        EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_find(pool, STR("nobody"), &found));
        CHECK(strcmp(buffer, "as was") == 0 && one.picks == UNTOUCHED && found == UNTOUCHED);
    }
    trimtab_backend_free(named);
    trimtab_backend_free(same_name);
    trimtab_pool_free(pool);
}

static void tokens(void)
{
    trimtab_pool *pool = new_pool(TRIMTAB_POLICY_ROUND_ROBIN);
    trimtab_pool *other = NULL;
    OK(trimtab_pool_new(NULL, &other));
    uint64_t id = add(pool, 1);
    add(other, 1);
    trimtab_pick pick = new_pick();
    OK(trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    EXPECT(TRIMTAB_E_STALE_PICK, trimtab_pool_done(other, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
    static const int32_t outcomes[] = {-1, 5, INT32_MAX, INT32_MIN};
    for (size_t at = 0; at < 4; at++) {
        EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_pool_done(pool, pick.token, outcomes[at], NULL, 0));
    }
    CHECK(backend_statistics_of(pool, id).in_flight == 1);
    OK(trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
    EXPECT(TRIMTAB_E_STALE_PICK, trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
    uint64_t made_up = 1;
    for (int at = 0; at < 100000; at++) {
        made_up = made_up * 6364136223846793005u + 1442695040888963407u;
        CHECK(trimtab_pool_done(pool, made_up, TRIMTAB_OUTCOME_FAILED, NULL, 0) == TRIMTAB_E_STALE_PICK);
    }
    EXPECT(TRIMTAB_E_STALE_PICK, trimtab_pool_done(pool, 0, TRIMTAB_OUTCOME_FAILED, NULL, 0));
    EXPECT(TRIMTAB_E_STALE_PICK, trimtab_pool_done(pool, UINT64_MAX, TRIMTAB_OUTCOME_FAILED, NULL, 0));

    /* Of a backend that has gone since. */
    OK(trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    OK(trimtab_pool_remove(pool, id));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_remove(pool, id));
    OK(trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_FAILED, NULL, 0));
    EXPECT(TRIMTAB_E_STALE_PICK, trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_FAILED, NULL, 0));

    /* By how they went. */
    id = add(pool, 2);
    for (int32_t outcome = TRIMTAB_OUTCOME_SUCCESS; outcome <= TRIMTAB_OUTCOME_CANCELLED; outcome++) {
        for (int32_t count = 0; count <= outcome; count++) {
            OK(trimtab_pool_pick(pool, NO_KEY, 0, &pick));
            OK(trimtab_pool_done(pool, pick.token, outcome, NULL, 0));
        }
    }
    trimtab_backend_statistics one = backend_statistics_of(pool, id);
    CHECK(one.success == 1 && one.connect_failed == 2 && one.failed == 3 && one.timed_out == 4 && one.cancelled == 5);
    CHECK(one.picks == 15 && one.in_flight == 0);
    trimtab_pool_free(other);
    trimtab_pool_free(pool);
}

static void never_done(void)
{
    trimtab_pool_options *options = NULL;
    trimtab_pool *pool = NULL;
    OK(trimtab_pool_options_new(&options));
    OK(trimtab_pool_options_set_picks_max(options, 100));
    OK(trimtab_pool_new(options, &pool));
    trimtab_pool_options_free(options);
    uint64_t id = add(pool, 1);
    trimtab_pick pick = new_pick();
    for (int at = 0; at < 100; at++) {
        OK(trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    }
    uint64_t last = pick.token;
    EXPECT(TRIMTAB_E_CAPACITY, trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    CHECK(strstr(last_error(), "picks_max") != NULL && pick.token == last);
    CHECK(backend_statistics_of(pool, id).in_flight == 100);
    OK(trimtab_pool_done(pool, last, TRIMTAB_OUTCOME_SUCCESS, NULL, 0));
    OK(trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    trimtab_pool_free(pool);
}

static void nobody(void)
{
    trimtab_pool *pool = new_pool(TRIMTAB_POLICY_LEAST_CONNECTIONS);
    trimtab_pick pick = new_pick();
    char json[4096];
    EXPECT(TRIMTAB_E_NO_BACKEND, trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    CHECK(strstr(last_error(), "empty") != NULL);

    uint64_t drained = add(pool, 1);
    uint64_t down = add(pool, 2);
    uint64_t ejected = add(pool, 3);
    OK(trimtab_pool_set_admin(pool, drained, TRIMTAB_ADMIN_DRAIN));
    OK(trimtab_pool_set_observed(pool, down, TRIMTAB_OBSERVED_DOWN));
    OK(trimtab_pool_set_observed(pool, ejected, TRIMTAB_OBSERVED_EJECTED));
    memset(&pick, 0x5a, sizeof pick);
    pick.struct_size = sizeof pick;
    EXPECT(TRIMTAB_E_NO_BACKEND, trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    CHECK(pick.token == UNTOUCHED && pick.backend == UNTOUCHED);
    CHECK(strstr(last_error(), "none of the 3") != NULL && strstr(last_error(), "explain") != NULL);
    size_t length = 0;
    OK(trimtab_pool_explain_copy(pool, NO_KEY, 0, json, sizeof json, &length));
    CHECK(length == strlen(json));
    CHECK(strstr(json, "\"picked\":null") != NULL && strstr(json, "none of the 3") != NULL);
    CHECK(strstr(json, "\"drain\"") != NULL && strstr(json, "\"down\"") != NULL && strstr(json, "\"ejected\"") != NULL);

    /* A short buffer is filled and the length of the whole reported, so that it can be tried again. */
    char little[10];
    size_t whole = 0;
    OK(trimtab_pool_explain_copy(pool, NO_KEY, 0, little, sizeof little, &whole));
    CHECK(whole == length && strlen(little) == 9 && strncmp(little, json, 9) == 0);

    OK(trimtab_pool_set_observed(pool, down, TRIMTAB_OBSERVED_UP));
    OK(trimtab_pool_set_maxconn(pool, down, 1));
    OK(trimtab_pool_pick(pool, NO_KEY, 0, &pick));
    CHECK(pick.backend == down);
    trimtab_pick full = new_pick();
    EXPECT(TRIMTAB_E_NO_BACKEND, trimtab_pool_pick(pool, NO_KEY, 0, &full));
    CHECK(strstr(last_error(), "maxconn") != NULL);
    OK(trimtab_pool_explain_copy(pool, NO_KEY, 0, json, sizeof json, NULL));
    CHECK(strstr(json, "\"full\"") != NULL);
    CHECK(statistics_of(pool).refused == 3);
    trimtab_pool_free(pool);
}

static void last_errors(void)
{
    trimtab_pool *pool = new_pool(TRIMTAB_POLICY_ROUND_ROBIN);
    char buffer[256];
    size_t length = 99;
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_pool_remove(pool, 12345));
    OK(trimtab_last_error_copy(buffer, sizeof buffer, &length));
    CHECK(strcmp(buffer, "no backend 12345 in the pool") == 0 && length == strlen(buffer));
    /* Reading it changes nothing, nor does what is called between a failure and its reading. */
    OK(trimtab_status_name_copy(TRIMTAB_E_NOT_FOUND, buffer, sizeof buffer, NULL));
    CHECK(strcmp(buffer, "TRIMTAB_E_NOT_FOUND") == 0);
    CHECK(trimtab_status_name_copy(77, buffer, sizeof buffer, NULL) == TRIMTAB_E_NOT_FOUND);
    trimtab_pool_free(NULL);
    trimtab_backend_free(NULL);
    trimtab_pool_options_free(NULL);
    trimtab_abi_version();
    CHECK(trimtab_last_error_copy(NULL, 3, NULL) == TRIMTAB_E_NULL);
    OK(trimtab_last_error_copy(NULL, 0, &length));
    CHECK(length == strlen("no backend 12345 in the pool"));
    OK(trimtab_last_error_copy(buffer, 11, &length));
    CHECK(strcmp(buffer, "no backend") == 0 && length > 11);
    /* A success clears it. */
    uint64_t now = 0;
    OK(trimtab_now(&now));
    OK(trimtab_last_error_copy(buffer, sizeof buffer, &length));
    CHECK(length == 0 && buffer[0] == '\0' && now > 0);
    trimtab_pool_free(pool);
}

static void wrong_handles(void)
{
    trimtab_pool *pool = new_pool(TRIMTAB_POLICY_ROUND_ROBIN);
    trimtab_backend *backend = NULL;
    OK(trimtab_backend_new(STR("10.0.0.1:80"), &backend));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_pool_remove((const trimtab_pool *)(void *)backend, 1));
    CHECK(strstr(last_error(), "handle") != NULL);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_backend_set_weight((trimtab_backend *)(void *)pool, 1));
    /* Refused silently, for there is nothing to answer with. */
    trimtab_backend_free((trimtab_backend *)(void *)pool);
    add(pool, 1);
    trimtab_backend_free(backend);
    trimtab_pool_free(pool);
}

int main(void)
{
    struct_sizes();
    text();
    values();
    duplicates_and_strangers();
    tokens();
    never_done();
    nobody();
    last_errors();
    wrong_handles();
    printf("refusals: as they should be\n");
    return 0;
}
