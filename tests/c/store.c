/*
 * The store from C: blocking calls, answers, scans, transactions, leases, requests that are sent again, what is refused,
 * and what is there after it was closed and opened again.
 */
#include "store.h"

#include <pthread.h>
#include <time.h>

static void keys(void)
{
    trimtab_store *store = open_store("keys");
    trimtab_store_result result = new_result();
    char buffer[4] = "....";
    size_t length = 0;
    uint64_t version = 0;

    CHECK(has(store, "a", NULL));
    OK(trimtab_store_put(store, BYTES("a"), BYTES("hello"), NULL, &result));
    CHECK(result.is_done == 1 && result.is_repeated == 0 && result.durability == TRIMTAB_DURABILITY_LOCAL);
    CHECK(result.sequence > 0 && result.version == result.sequence && result.entries == 0 && result.reserved == 0);
    CHECK(has(store, "a", "hello"));

    /* As much as fits, the length of the whole, and no NUL. */
    OK(trimtab_store_get_copy(store, BYTES("a"), buffer, 3, &length, &version));
    CHECK(memcmp(buffer, "hel.", 4) == 0 && length == 5 && version == result.version);
    OK(trimtab_store_get_copy(store, BYTES("a"), NULL, 0, NULL, NULL));

    /* Compare and set: by version, and 0 for a key that is not there. */
    OK(trimtab_store_compare_and_set(store, BYTES("a"), version + 1000, BYTES("no"), NULL, &result));
    CHECK(result.is_done == 0 && result.version == version && has(store, "a", "hello"));
    OK(trimtab_store_compare_and_set(store, BYTES("a"), version, BYTES("yes"), NULL, &result));
    CHECK(result.is_done == 1 && result.version > version && has(store, "a", "yes"));
    OK(trimtab_store_compare_and_set(store, BYTES("a"), 0, BYTES("no"), NULL, &result));
    CHECK(result.is_done == 0);
    OK(trimtab_store_compare_and_set(store, BYTES("new"), 0, BYTES("is"), NULL, &result));
    CHECK(result.is_done == 1 && has(store, "new", "is"));

    OK(trimtab_store_increment(store, BYTES("n"), 41, NULL, &result));
    OK(trimtab_store_increment(store, BYTES("n"), 1, NULL, &result));
    CHECK(result.number == 42 && has(store, "n", "42"));
    OK(trimtab_store_increment(store, BYTES("n"), -50, NULL, &result));
    CHECK(result.number == -8);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_increment(store, BYTES("a"), 1, NULL, NULL));
    OK(trimtab_store_put(store, BYTES("n"), BYTES("9223372036854775807"), NULL, NULL));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_increment(store, BYTES("n"), 1, NULL, NULL));

    OK(trimtab_store_append(store, BYTES("log"), BYTES("one"), NULL, &result));
    OK(trimtab_store_append(store, BYTES("log"), BYTES(",two"), NULL, &result));
    CHECK(result.count == 7 && has(store, "log", "one,two"));

    OK(trimtab_store_delete(store, BYTES("a"), NULL, &result));
    CHECK(result.is_done == 1 && result.count == 1 && has(store, "a", NULL));
    OK(trimtab_store_delete(store, BYTES("a"), NULL, &result));
    CHECK(result.is_done == 0 && result.count == 0);

    /* An empty key and an empty value are a key and a value. */
    OK(trimtab_store_put(store, NO_BYTES, NO_BYTES, NULL, NULL));
    CHECK(has(store, "", ""));
    trimtab_store_free(store);
}

static void durability(void)
{
    trimtab_store *store = open_store("durability");
    trimtab_store_result result = new_result();
    trimtab_store_call call = new_call();
    trimtab_store_status status;
    uint64_t sequence = 0;
    memset(&status, 0, sizeof status);
    status.struct_size = sizeof status;

    call.durability = TRIMTAB_DURABILITY_MEMORY;
    OK(trimtab_store_put(store, BYTES("m"), BYTES("1"), &call, &result));
    CHECK(result.durability >= TRIMTAB_DURABILITY_MEMORY && has(store, "m", "1"));
    OK(trimtab_store_sync(store, 0, &sequence));
    CHECK(sequence >= result.sequence);
    OK(trimtab_store_status_read(store, &status));
    CHECK(status.durable >= sequence && status.applied >= sequence && status.keys == 1 && status.memory_bytes > 0);
    CHECK(status.failure == TRIMTAB_OK && status.problem == TRIMTAB_OK && status.snapshot_failure == TRIMTAB_OK);
    call.durability = TRIMTAB_DURABILITY_LOCAL;
    OK(trimtab_store_put(store, BYTES("m"), BYTES("2"), &call, &result));
    CHECK(result.durability == TRIMTAB_DURABILITY_LOCAL);
    for (int32_t more = TRIMTAB_DURABILITY_QUORUM; more <= TRIMTAB_DURABILITY_ALL; more++) {
        call.durability = more;
        EXPECT(TRIMTAB_E_UNSUPPORTED, trimtab_store_put(store, BYTES("m"), BYTES("3"), &call, &result));
        CHECK(strstr(last_error(), "replication") != NULL);
    }
    call.durability = TRIMTAB_DURABILITY_ALL + 1;
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_put(store, BYTES("m"), BYTES("3"), &call, &result));
    CHECK(has(store, "m", "2"));

    sequence = 0;
    OK(trimtab_store_snapshot(store, -1, &sequence));
    OK(trimtab_store_status_read(store, &status));
    CHECK(sequence > 0 && status.snapshot >= sequence);
    OK(trimtab_store_close(store));
    OK(trimtab_store_close(store));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_put(store, BYTES("m"), BYTES("3"), NULL, NULL));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_status_read(store, &status));
    trimtab_store_free(store);

    store = open_store("durability");
    CHECK(has(store, "m", "2"));
    trimtab_store_free(store);
}

/* A request that is sent again is done once, and an answer of another operation is no answer. */
static void again(void)
{
    trimtab_store *store = open_store("again");
    trimtab_store_result result = new_result();
    trimtab_store_call call = new_call();
    memcpy(call.client, "sixteen bytes !!", sizeof call.client);
    for (unsigned turn = 0; turn < 3; turn++) {
        call.number = 1;
        OK(trimtab_store_increment(store, BYTES("n"), 5, &call, &result));
        CHECK(result.number == 5 && result.is_repeated == (turn > 0) && has(store, "n", "5"));
    }
    EXPECT(TRIMTAB_E_STATE, trimtab_store_append(store, BYTES("n"), BYTES("5"), &call, &result));
    call.number = 2;
    OK(trimtab_store_increment(store, BYTES("n"), 5, &call, &result));
    CHECK(result.number == 10 && result.is_repeated == 0);
    /* What came of it is told without sending it. */
    int32_t state = 0;
    trimtab_store_answer *told = NULL;
    OK(trimtab_store_outcome(store, &call, &state, &told));
    CHECK(state == TRIMTAB_REQUEST_APPLIED && told != NULL);
    trimtab_store_result first = result;
    OK(trimtab_store_answer_read(told, &result));
    CHECK(result.number == 10 && result.is_repeated == 1 && result.sequence == first.sequence);
    trimtab_store_answer_free(told);
    call.number = 3;
    OK(trimtab_store_outcome(store, &call, &state, &told));
    CHECK(state == TRIMTAB_REQUEST_NOT_APPLIED && told == NULL);
    call.number = 100;
    OK(trimtab_store_put(store, BYTES("other"), BYTES("v"), &call, NULL));
    call.number = 2;
    OK(trimtab_store_outcome(store, &call, &state, &told));
    CHECK(state == TRIMTAB_REQUEST_FORGOTTEN && told == NULL);
    trimtab_store_call nobody = new_call();
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_outcome(store, &nobody, &state, &told));
    call.number = 99;
    OK(trimtab_store_increment(store, BYTES("n"), 0, &call, NULL));
    trimtab_store_free(store);
    store = open_store("again");
    OK(trimtab_store_increment(store, BYTES("n"), 5, &call, &result));
    CHECK(result.number == 10 && result.is_repeated == 1 && has(store, "n", "10"));
    trimtab_store_free(store);
}

static void answers(void)
{
    trimtab_store *store = open_store("answers");
    trimtab_store_answer *answer = NULL;
    trimtab_store_result result = new_result();
    trimtab_store_entry entry = new_entry();
    OK(trimtab_store_get_and_set(store, BYTES("k"), BYTES("first"), NULL, &answer));
    OK(trimtab_store_answer_read(answer, &result));
    CHECK(result.is_done == 1 && result.entries == 0);
    uint64_t first = result.version;
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_store_answer_entry(answer, 0, &entry));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_store_answer_step_read(answer, 0, &result));
    trimtab_store_answer_free(answer);

    OK(trimtab_store_get_and_set(store, BYTES("k"), BYTES("second"), NULL, &answer));
    OK(trimtab_store_answer_entry(answer, 0, &entry));
    CHECK(is(entry.value, entry.value_len, "first") && entry.key == NULL && entry.version == first);
    CHECK(entry.created == first && entry.changes == 1 && entry.deadline_ms == TRIMTAB_NO_TIME && entry.lease == 0);
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_store_answer_entry(answer, 1, &entry));
    trimtab_store_answer_free(answer);

    OK(trimtab_store_get(store, BYTES("k"), &answer));
    /* An answer is its own. */
    trimtab_store_free(store);
    OK(trimtab_store_answer_read(answer, &result));
    OK(trimtab_store_answer_entry(answer, 0, &entry));
    CHECK(result.entries == 1 && is(entry.value, entry.value_len, "second") && entry.changes == 2);
    trimtab_store_answer_free(answer);
}

static uint64_t wall_ms(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void lifetimes(void)
{
    trimtab_store *store = open_store("lifetimes");
    trimtab_store_result result = new_result();
    trimtab_store_answer *answer = NULL;
    trimtab_store_entry entry = new_entry();
    OK(trimtab_store_expire(store, BYTES("k"), 1000, NULL, &result));
    CHECK(result.is_done == 0);
    OK(trimtab_store_put(store, BYTES("k"), BYTES("v"), NULL, NULL));
    uint64_t before = wall_ms();
    OK(trimtab_store_expire(store, BYTES("k"), 1000000, NULL, &result));
    CHECK(result.is_done == 1);
    OK(trimtab_store_get(store, BYTES("k"), &answer));
    OK(trimtab_store_answer_entry(answer, 0, &entry));
    CHECK(entry.deadline_ms >= before + 1000000 && entry.deadline_ms <= wall_ms() + 1000000);
    trimtab_store_answer_free(answer);
    OK(trimtab_store_persist(store, BYTES("k"), NULL, &result));
    OK(trimtab_store_get(store, BYTES("k"), &answer));
    OK(trimtab_store_answer_entry(answer, 0, &entry));
    CHECK(result.is_done == 1 && entry.deadline_ms == TRIMTAB_NO_TIME);
    trimtab_store_answer_free(answer);
    OK(trimtab_store_expire_at(store, BYTES("k"), 1, NULL, &result));
    CHECK(result.is_done == 1 && has(store, "k", NULL));

    /* Under conditions: only later, only if there is one. */
    trimtab_store_operation put = operation(TRIMTAB_OPERATION_PUT, "t", "v");
    put.lifetime = TRIMTAB_LIFETIME_FOR;
    put.ttl_ms = 5000000;
    OK(trimtab_store_execute(store, &put, NULL, &answer));
    trimtab_store_answer_free(answer);
    trimtab_store_operation set = operation(TRIMTAB_OPERATION_SET_LIFETIME, "t", NULL);
    set.lifetime = TRIMTAB_LIFETIME_UNTIL;
    set.deadline_ms = wall_ms() + 1000;
    set.condition = TRIMTAB_CONDITION_LATER;
    OK(trimtab_store_execute(store, &set, NULL, &answer));
    OK(trimtab_store_answer_read(answer, &result));
    CHECK(result.is_done == 0);
    trimtab_store_answer_free(answer);
    set.condition = TRIMTAB_CONDITION_EARLIER;
    OK(trimtab_store_execute(store, &set, NULL, &answer));
    OK(trimtab_store_answer_read(answer, &result));
    CHECK(result.is_done == 1);
    trimtab_store_answer_free(answer);

    /* A lease takes its keys along. */
    uint64_t ttl = 0, deadline = 0;
    OK(trimtab_store_lease_grant(store, 7, 60000, NULL, &result));
    CHECK(result.deadline_ms >= before + 60000);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_lease_grant(store, 7, 60000, NULL, NULL));
    OK(trimtab_store_lease_read(store, 7, &ttl, &deadline));
    CHECK(ttl == 60000 && deadline == result.deadline_ms);
    OK(trimtab_store_lease_keep_alive(store, 7, NULL, &result));
    CHECK(result.deadline_ms >= deadline);
    put = operation(TRIMTAB_OPERATION_PUT, "leased", "v");
    put.lifetime = TRIMTAB_LIFETIME_LEASE;
    put.lease = 7;
    OK(trimtab_store_execute(store, &put, NULL, &answer));
    trimtab_store_answer_free(answer);
    OK(trimtab_store_get(store, BYTES("leased"), &answer));
    OK(trimtab_store_answer_entry(answer, 0, &entry));
    CHECK(entry.lease == 7 && entry.deadline_ms == TRIMTAB_NO_TIME);
    trimtab_store_answer_free(answer);
    OK(trimtab_store_lease_revoke(store, 7, NULL, &result));
    CHECK(result.count == 1 && has(store, "leased", NULL));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_store_lease_read(store, 7, NULL, NULL));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_store_lease_keep_alive(store, 7, NULL, NULL));
    trimtab_store_free(store);
}

/* Reads a range whole, and compares: `expected` has keys with a space behind each. */
static void scanned(const trimtab_store *store, int32_t range, const char *start, const char *end, uint64_t limit,
                    int32_t reverse, const char *expected)
{
    trimtab_store_scan *scan = NULL;
    trimtab_store_entry entry = new_entry();
    int32_t more = 1;
    char text[256] = "";
    size_t length = 0;
    OK(trimtab_store_scan_new(store, range, BYTES(start), BYTES(end), limit, reverse, &scan));
    for (;;) {
        OK(trimtab_store_scan_next(scan, &entry, &more));
        if (!more) {
            break;
        }
        CHECK(length + entry.key_len + 2 < sizeof text && entry.value_len > 0 && entry.version > 0);
        memcpy(text + length, entry.key, entry.key_len);
        length += entry.key_len;
        text[length++] = ' ';
    }
    OK(trimtab_store_scan_next(scan, &entry, &more));
    CHECK(more == 0);
    text[length] = '\0';
    if (strcmp(text, expected) != 0) {
        fprintf(stderr, "scanned \"%s\" where \"%s\" belongs\n", text, expected);
        exit(1);
    }
    trimtab_store_scan_free(scan);
}

static void ranges(void)
{
    trimtab_store *store = open_store("ranges");
    trimtab_store_result result = new_result();
    static const char *const all[] = {"a", "u/1", "u/2", "u/3", "v", "\xff\xff"};
    for (size_t at = 0; at < sizeof all / sizeof *all; at++) {
        OK(trimtab_store_put(store, BYTES(all[at]), BYTES("v"), NULL, NULL));
    }
    scanned(store, TRIMTAB_RANGE_BETWEEN, "", "", 0, 0, "a u/1 u/2 u/3 v \xff\xff ");
    scanned(store, TRIMTAB_RANGE_BETWEEN, "", "", 0, 1, "\xff\xff v u/3 u/2 u/1 a ");
    scanned(store, TRIMTAB_RANGE_BETWEEN, "u/2", "v", 0, 0, "u/2 u/3 ");
    scanned(store, TRIMTAB_RANGE_PREFIX, "u/", "", 0, 0, "u/1 u/2 u/3 ");
    scanned(store, TRIMTAB_RANGE_PREFIX, "u/", "", 2, 0, "u/1 u/2 ");
    scanned(store, TRIMTAB_RANGE_PREFIX, "u/", "", 2, 1, "u/3 u/2 ");
    scanned(store, TRIMTAB_RANGE_PREFIX, "\xff", "", 0, 0, "\xff\xff ");
    scanned(store, TRIMTAB_RANGE_PREFIX, "nothing", "", 0, 0, "");
    uint64_t count = 0;
    OK(trimtab_store_count(store, TRIMTAB_RANGE_PREFIX, BYTES("u/"), NO_BYTES, &count));
    CHECK(count == 3);
    trimtab_store_scan *scan = NULL;
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT,
           trimtab_store_scan_new(store, TRIMTAB_RANGE_PREFIX, BYTES("u/"), BYTES("v"), 0, 0, &scan));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_count(store, 2, BYTES("u/"), NO_BYTES, &count));
    CHECK(scan == NULL && count == 3);

    /* Read in its place among the writes. */
    trimtab_store_operation read = operation(TRIMTAB_OPERATION_RANGE, "u/", NULL);
    trimtab_store_answer *answer = NULL;
    trimtab_store_entry entry = new_entry();
    read.range = TRIMTAB_RANGE_PREFIX;
    read.limit = 2;
    read.reverse = 1;
    OK(trimtab_store_execute(store, &read, NULL, &answer));
    OK(trimtab_store_answer_read(answer, &result));
    OK(trimtab_store_answer_entry(answer, 1, &entry));
    CHECK(result.entries == 2 && result.more == 1 && is(entry.key, entry.key_len, "u/2"));
    trimtab_store_answer_free(answer);

    /* A scan sees what was there when it began, page after page. */
    enum { MANY = 1000 };
    for (unsigned at = 0; at < MANY; at++) {
        char key[16];
        trimtab_store_call call = new_call();
        call.durability = TRIMTAB_DURABILITY_MEMORY;
        snprintf(key, sizeof key, "m/%04u", at);
        OK(trimtab_store_put(store, BYTES(key), BYTES("old"), &call, NULL));
    }
    for (int32_t reverse = 0; reverse < 2; reverse++) {
        int32_t more = 0;
        uint64_t sequence = 0;
        trimtab_store_status status;
        status.struct_size = sizeof status;
        OK(trimtab_store_status_read(store, &status));
        OK(trimtab_store_scan_new(store, TRIMTAB_RANGE_PREFIX, BYTES("m/"), NO_BYTES, 0, reverse, &scan));
        OK(trimtab_store_scan_sequence(scan, &sequence));
        CHECK(sequence == status.applied);
        OK(trimtab_store_delete_range(store, TRIMTAB_RANGE_PREFIX, BYTES("m/"), NO_BYTES, 0, NULL, &result));
        CHECK(result.count == MANY && result.more == 0);
        for (unsigned at = 0; at < MANY; at++) {
            char key[16];
            OK(trimtab_store_scan_next(scan, &entry, &more));
            snprintf(key, sizeof key, "m/%04u", reverse ? MANY - 1 - at : at);
            CHECK(more == 1 && is(entry.key, entry.key_len, key) && is(entry.value, entry.value_len, "old"));
        }
        OK(trimtab_store_scan_next(scan, &entry, &more));
        CHECK(more == 0);
        trimtab_store_scan_free(scan);
        for (unsigned at = 0; at < MANY; at++) {
            char key[16];
            snprintf(key, sizeof key, "m/%04u", at);
            trimtab_store_call call = new_call();
            call.durability = TRIMTAB_DURABILITY_MEMORY;
            OK(trimtab_store_put(store, BYTES(key), BYTES("old"), &call, NULL));
        }
    }
    OK(trimtab_store_delete_range(store, TRIMTAB_RANGE_PREFIX, BYTES("u/"), NO_BYTES, 2, NULL, &result));
    CHECK(result.count == 2 && result.more == 1 && has(store, "u/3", "v") && has(store, "u/2", NULL));
    OK(trimtab_store_scan_new(store, TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, 0, 0, &scan));
    trimtab_store_free(store);
    int32_t more = 7;
    EXPECT(TRIMTAB_E_STATE, trimtab_store_scan_next(scan, &entry, &more));
    CHECK(more == 7);
    trimtab_store_scan_free(scan);
}

static void transactions(void)
{
    trimtab_store *store = open_store("transactions");
    trimtab_txn *txn = NULL;
    trimtab_store_answer *answer = NULL;
    trimtab_store_result result = new_result();
    trimtab_store_entry entry = new_entry();
    trimtab_store_operation step;

    OK(trimtab_store_put(store, BYTES("from"), BYTES("10"), NULL, &result));
    OK(trimtab_txn_new(&txn));
    OK(trimtab_txn_compare(txn, BYTES("from"), TRIMTAB_COMPARE_VERSION, TRIMTAB_RELATION_EQUAL, result.version));
    OK(trimtab_txn_compare(txn, BYTES("to"), TRIMTAB_COMPARE_CREATED, TRIMTAB_RELATION_EQUAL, 0));
    OK(trimtab_txn_compare_value(txn, BYTES("from"), TRIMTAB_RELATION_NOT_EQUAL, BYTES("0")));
    step = operation(TRIMTAB_OPERATION_INCREMENT, "from", NULL);
    step.by = -4;
    OK(trimtab_txn_then(txn, &step));
    step = operation(TRIMTAB_OPERATION_INCREMENT, "to", NULL);
    step.by = 4;
    OK(trimtab_txn_then(txn, &step));
    char key[] = "from";
    step = operation(TRIMTAB_OPERATION_GET, key, NULL);
    OK(trimtab_txn_then(txn, &step));
    step = operation(TRIMTAB_OPERATION_RANGE, "", NULL);
    OK(trimtab_txn_then(txn, &step));
    step = operation(TRIMTAB_OPERATION_GET, "to", NULL);
    OK(trimtab_txn_otherwise(txn, &step));
    /* It was copied. */
    memset(key, 'x', 4);
    OK(trimtab_store_commit(store, txn, NULL, &answer));
    OK(trimtab_store_answer_read(answer, &result));
    CHECK(result.is_done == 1 && result.count == 4);
    OK(trimtab_store_answer_step_read(answer, 1, &result));
    CHECK(result.number == 4);
    OK(trimtab_store_answer_step_entry(answer, 2, 0, &entry));
    CHECK(is(entry.value, entry.value_len, "6"));
    OK(trimtab_store_answer_step_read(answer, 3, &result));
    OK(trimtab_store_answer_step_entry(answer, 3, 1, &entry));
    CHECK(result.entries == 2 && is(entry.key, entry.key_len, "to"));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_store_answer_step_read(answer, 4, &result));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_store_answer_step_entry(answer, 1, 0, &entry));
    trimtab_store_answer_free(answer);
    CHECK(has(store, "from", "6") && has(store, "to", "4"));

    /* Once more: now the comparisons do not hold. */
    OK(trimtab_store_commit(store, txn, NULL, &answer));
    OK(trimtab_store_answer_read(answer, &result));
    CHECK(result.is_done == 0 && result.count == 1);
    OK(trimtab_store_answer_step_entry(answer, 0, 0, &entry));
    CHECK(is(entry.value, entry.value_len, "4") && has(store, "from", "6"));
    trimtab_store_answer_free(answer);
    trimtab_txn_free(txn);

    /* A refused step undoes the others, or not. */
    OK(trimtab_store_put(store, BYTES("text"), BYTES("abc"), NULL, NULL));
    OK(trimtab_txn_new(&txn));
    step = operation(TRIMTAB_OPERATION_PUT, "x", "1");
    OK(trimtab_txn_then(txn, &step));
    step = operation(TRIMTAB_OPERATION_INCREMENT, "text", NULL);
    step.by = 1;
    OK(trimtab_txn_then(txn, &step));
    answer = NULL;
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_commit(store, txn, NULL, &answer));
    CHECK(answer == NULL && has(store, "x", NULL));
    OK(trimtab_txn_set_continue(txn, 1));
    OK(trimtab_store_commit(store, txn, NULL, &answer));
    OK(trimtab_store_answer_step_read(answer, 0, &result));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_answer_step_read(answer, 1, &result));
    trimtab_store_answer_free(answer);
    CHECK(has(store, "x", "1"));

    step = operation(TRIMTAB_OPERATION_LEASE_GRANT, "", NULL);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_txn_then(txn, &step));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_txn_otherwise(txn, &step));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_txn_compare(txn, BYTES("x"), 4, TRIMTAB_RELATION_EQUAL, 0));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_txn_compare_value(txn, BYTES("x"), 4, NO_BYTES));
    trimtab_txn_free(txn);
    trimtab_store_free(store);
}

enum { THREADS = 4, TURNS = 500 };

static void *increments(void *store)
{
    trimtab_store_call call = new_call();
    call.durability = TRIMTAB_DURABILITY_MEMORY;
    for (unsigned turn = 0; turn < TURNS; turn++) {
        /* Now and then one waits for the disk, and the others' go with it. */
        call.durability = turn % 100 == 0 ? TRIMTAB_DURABILITY_LOCAL : TRIMTAB_DURABILITY_MEMORY;
        OK(trimtab_store_increment(store, BYTES("n"), 1, &call, NULL));
    }
    return NULL;
}

/* Any thread may call anything, and nothing gets lost on the way. */
static void threads(void)
{
    trimtab_store *store = open_store("threads");
    trimtab_store_result result = new_result();
    pthread_t running[THREADS];
    for (unsigned at = 0; at < THREADS; at++) {
        CHECK(pthread_create(&running[at], NULL, increments, store) == 0);
    }
    for (unsigned at = 0; at < THREADS; at++) {
        CHECK(pthread_join(running[at], NULL) == 0);
    }
    OK(trimtab_store_increment(store, BYTES("n"), 0, NULL, &result));
    CHECK(result.number == THREADS * TURNS);
    trimtab_store_free(store);
    store = open_store("threads");
    OK(trimtab_store_increment(store, BYTES("n"), 0, NULL, &result));
    CHECK(result.number == THREADS * TURNS);
    trimtab_store_free(store);
}

static void refused(void)
{
    trimtab_store *store = open_store("refused");
    trimtab_store *second = NULL;
    trimtab_store_answer *answer = NULL;
    static char large[(1 << 16) + 1];
    char path[128];
    snprintf(path, sizeof path, "%s/refused", folder);
    EXPECT(TRIMTAB_E_STATE, trimtab_store_open(STR(path), NULL, &second));
    EXPECT(TRIMTAB_E_IO, trimtab_store_open(STR("/dev/null/store"), NULL, &second));
    CHECK(second == NULL);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT,
           trimtab_store_put(store, trimtab_bytes_of(large, sizeof large), NO_BYTES, NULL, NULL));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT,
           trimtab_store_put(store, BYTES("k"), trimtab_bytes_of(large, sizeof large), NULL, NULL));
    OK(trimtab_store_put(store, trimtab_bytes_of(large, sizeof large - 1), trimtab_bytes_of(large, sizeof large - 1),
                         NULL, NULL));
    trimtab_store_operation bad = operation(11, "k", "v");
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_execute(store, &bad, NULL, &answer));
    bad = operation(TRIMTAB_OPERATION_PUT, "k", "v");
    bad.condition = TRIMTAB_CONDITION_LATER;
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_execute(store, &bad, NULL, &answer));
    bad.condition = 0;
    bad.lifetime = 5;
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_execute(store, &bad, NULL, &answer));
    bad.lifetime = 0;
    bad.struct_size = 8;
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_store_execute(store, &bad, NULL, &answer));
    trimtab_store_result result = new_result();
    result.struct_size = 0;
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_store_put(store, BYTES("k"), NO_BYTES, NULL, &result));
    CHECK(answer == NULL && has(store, "k", NULL));
    /* A handle of another type is none. */
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_txn_set_continue((trimtab_txn *)(void *)store, 1));
    trimtab_store_free(store);

    trimtab_store_options *options = small_options();
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_options_set_segment_bytes(options, 5000));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_options_set_timeout_ms(options, 0));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_options_set_eviction(options, 3));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_options_set_disk_bytes_max(options, 1));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_options_set_kept_bytes(options, UINT64_MAX));
    OK(trimtab_store_options_set_kept_bytes(options, 1 << 20));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_options_set_identity(options, BYTES("short"), 1));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_options_set_identity(options, BYTES("sixteen bytes !!"), 0));
    EXPECT(TRIMTAB_E_UNSUPPORTED, trimtab_store_options_set_durability(options, TRIMTAB_DURABILITY_ALL));
    OK(trimtab_store_options_set_memory_max(options, 65536));
    snprintf(path, sizeof path, "%s/small", folder);
    OK(trimtab_store_open(STR(path), options, &store));
    EXPECT(TRIMTAB_E_CAPACITY,
           trimtab_store_put(store, BYTES("k"), trimtab_bytes_of(large, sizeof large - 1), NULL, NULL));
    trimtab_store_free(store);
    OK(trimtab_store_options_set_identity(options, BYTES("another cluster!"), 1));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_open(STR(path), options, &second));
    trimtab_store_options_free(options);
    CHECK(second == NULL);
}

int main(void)
{
    make_folder();
    keys();
    durability();
    again();
    answers();
    lifetimes();
    ranges();
    transactions();
    threads();
    refused();
    remove_folder();
    printf("store: keys, durability, requests, answers, lifetimes, ranges, transactions, threads, refusals\n");
    return 0;
}
