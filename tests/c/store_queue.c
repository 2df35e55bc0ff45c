/*
 * The store from C: calls that are submitted and completed through a descriptor, watches, and what a child made by fork
 * is told. A child that hangs is killed by its alarm.
 */
#include "store.h"

#include <signal.h>
#include <sys/wait.h>

enum { BATCH = 100, CHILD_SECONDS = 20, FORKS = 20 };

/* Who waits for the disk is told, and hurries nobody. */
static void durable(void)
{
    trimtab_store_options *options = small_options();
    OK(trimtab_store_options_set_flush_interval_ms(options, 3600000));
    trimtab_store *store = open_with("durable", options);
    trimtab_store_queue *queue = NULL;
    trimtab_store_answer *answer = NULL;
    trimtab_store_result result = new_result();
    trimtab_store_call call = new_call();
    uint64_t user_data = 0, durable = 77;
    int32_t fd = -1;

    call.durability = TRIMTAB_DURABILITY_MEMORY;
    OK(trimtab_store_put(store, BYTES("m"), BYTES("1"), &call, &result));
    uint64_t sequence = result.sequence;
    OK(trimtab_store_queue_new(store, 2, &queue));
    OK(trimtab_store_queue_poll_fd(queue, &fd));
    OK(trimtab_store_queue_submit_durable(queue, sequence, 5));
    OK(trimtab_store_queue_submit_durable(queue, sequence + 1, 6));
    EXPECT(TRIMTAB_E_CAPACITY, trimtab_store_queue_submit_durable(queue, sequence, 7));
    EXPECT(TRIMTAB_E_TIMED_OUT, trimtab_store_wait_durable(store, sequence, 1, &durable));
    CHECK(durable == 77 && !is_readable(fd));
    OK(trimtab_store_sync(store, 0, NULL));
    wait_readable(fd);
    OK(trimtab_store_queue_next(queue, 0, &user_data, &answer));
    OK(trimtab_store_answer_read(answer, &result));
    CHECK(user_data == 5 && result.sequence == sequence && result.durability == TRIMTAB_DURABILITY_LOCAL);
    trimtab_store_answer_free(answer);
    CHECK(!is_readable(fd));
    OK(trimtab_store_wait_durable(store, sequence, 1, &durable));
    CHECK(durable == sequence);
    OK(trimtab_store_close(store));
    OK(trimtab_store_queue_next(queue, 0, &user_data, &answer));
    CHECK(user_data == 6);
    EXPECT(TRIMTAB_E_STATE, trimtab_store_answer_read(answer, &result));
    trimtab_store_answer_free(answer);
    EXPECT(TRIMTAB_E_STATE, trimtab_store_queue_submit_durable(queue, 1, 8));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_wait_durable(store, 1, 0, NULL));
    trimtab_store_queue_free(queue);
    trimtab_store_free(store);
}

/* Whether that number is a descriptor to wait with. */
static int is_event(int32_t fd)
{
    char name[64], target[64] = {0};
    snprintf(name, sizeof name, "/proc/self/fd/%d", (int)fd);
    return readlink(name, target, sizeof target - 1) > 0 && strstr(target, "eventfd") != NULL;
}

/* A wait that is taken back, and those of a queue that is freed, keep no place and no descriptor. */
static void waits_taken_back(void)
{
    enum { WAITS_MAX = 2 };
    trimtab_store_options *options = small_options();
    OK(trimtab_store_options_set_waiting_max(options, WAITS_MAX));
    trimtab_store *store = open_with("taken", options);
    trimtab_store_queue *queue = NULL, *other = NULL;
    trimtab_store_answer *answer = NULL;
    trimtab_store_result result = new_result();
    uint64_t user_data = 0;
    size_t count = 77, under_way = 7;
    int32_t fd = -1;

    OK(trimtab_store_queue_new(store, WAITS_MAX + 1, &queue));
    OK(trimtab_store_queue_cancel(queue, 1, &count));
    CHECK(count == 0);
    for (unsigned turn = 0; turn < 100; turn++) {
        OK(trimtab_store_queue_submit_durable(queue, 1000, 1));
        OK(trimtab_store_queue_submit_durable(queue, 1000, turn % 2));
        EXPECT(TRIMTAB_E_CAPACITY, trimtab_store_queue_submit_durable(queue, 1000, 2));
        CHECK(strstr(last_error(), "waiting_max") != NULL);
        OK(trimtab_store_queue_cancel(queue, 1, &count));
        CHECK(count == 1 + turn % 2);
        OK(trimtab_store_queue_cancel(queue, 0, NULL));
        OK(trimtab_store_queue_under_way(queue, &under_way));
        CHECK(under_way == 0);
    }

    /* What is done, and a write, are left alone. */
    OK(trimtab_store_put(store, BYTES("k"), BYTES("v"), NULL, &result));
    OK(trimtab_store_queue_submit_durable(queue, result.sequence, 3));
    trimtab_store_operation put = operation(TRIMTAB_OPERATION_PUT, "k", "w");
    const trimtab_store_operation *puts = &put;
    put.user_data = 3;
    OK(trimtab_store_queue_submit(queue, &puts, 1, NULL, &count));
    OK(trimtab_store_queue_cancel(queue, 3, &count));
    CHECK(count == 0);
    for (unsigned turn = 0; turn < 2; turn++) {
        OK(trimtab_store_queue_next(queue, -1, &user_data, &answer));
        OK(trimtab_store_answer_read(answer, &result));
        CHECK(user_data == 3);
        trimtab_store_answer_free(answer);
    }

    /* A queue that is freed with waits, and with a write under way. */
    for (unsigned turn = 0; turn < 20; turn++) {
        OK(trimtab_store_queue_new(store, WAITS_MAX + 1, &other));
        OK(trimtab_store_queue_poll_fd(other, &fd));
        CHECK(is_event(fd));
        OK(trimtab_store_queue_submit_durable(other, 1000, 1));
        OK(trimtab_store_queue_submit_durable(other, 1000, 2));
        OK(trimtab_store_queue_submit(other, &puts, 1, NULL, &count));
        trimtab_store_queue_free(other);
        CHECK(!is_event(fd));
    }
    OK(trimtab_store_queue_submit_durable(queue, 1000, 4));
    OK(trimtab_store_sync(store, 0, NULL));
    CHECK(has(store, "k", "w"));
    OK(trimtab_store_close(store));
    OK(trimtab_store_queue_cancel(queue, 4, &count));
    CHECK(count == 0);
    OK(trimtab_store_queue_next(queue, 0, &user_data, &answer));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_answer_read(answer, &result));
    trimtab_store_answer_free(answer);
    trimtab_store_queue_free(queue);
    trimtab_store_free(store);
}

static void queues(void)
{
    trimtab_store *store = open_store("queue");
    trimtab_store_queue *queue = NULL;
    trimtab_store_answer *answer = NULL;
    trimtab_store_result result = new_result();
    trimtab_store_call call = new_call();
    trimtab_store_operation operations[BATCH];
    const trimtab_store_operation *pointers[BATCH];
    int32_t fd = -1;
    size_t taken = 0, under_way = 7;
    uint64_t user_data = 0;

    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_queue_new(store, 0, &queue));
    OK(trimtab_store_queue_new(store, BATCH, &queue));
    OK(trimtab_store_queue_poll_fd(queue, &fd));
    CHECK(!is_readable(fd));
    EXPECT(TRIMTAB_E_TIMED_OUT, trimtab_store_queue_next(queue, 0, &user_data, &answer));
    CHECK(answer == NULL);

    memcpy(call.client, "the queue's own.", sizeof call.client);
    call.number = 1000;
    for (unsigned at = 0; at < BATCH; at++) {
        operations[at] = operation(TRIMTAB_OPERATION_INCREMENT, "n", NULL);
        operations[at].by = 1;
        operations[at].user_data = at;
        pointers[at] = &operations[at];
    }
    OK(trimtab_store_queue_submit(queue, pointers, BATCH, &call, &taken));
    CHECK(taken == BATCH);
    /* Full: nothing of the next batch is taken. */
    EXPECT(TRIMTAB_E_CAPACITY, trimtab_store_queue_submit(queue, pointers, 1, NULL, &taken));
    CHECK(taken == BATCH && strstr(last_error(), "queue_capacity") != NULL);
    for (unsigned at = 0; at < BATCH; at++) {
        wait_readable(fd);
        OK(trimtab_store_queue_next(queue, 0, &user_data, &answer));
        OK(trimtab_store_answer_read(answer, &result));
        /* In order, since they were submitted in order. */
        CHECK(user_data == at && result.number == (int64_t)at + 1 && result.durability == TRIMTAB_DURABILITY_LOCAL);
        trimtab_store_answer_free(answer);
    }
    CHECK(!is_readable(fd));
    OK(trimtab_store_queue_under_way(queue, &under_way));
    CHECK(under_way == 0);

    /* The last again, by its number. */
    call.number = 1000 + BATCH - 1;
    OK(trimtab_store_queue_submit(queue, pointers, 1, &call, &taken));
    OK(trimtab_store_queue_next(queue, -1, NULL, &answer));
    OK(trimtab_store_answer_read(answer, &result));
    CHECK(result.is_repeated == 1 && result.number == BATCH);
    trimtab_store_answer_free(answer);

    /* Numbers end with the last there is: of a batch that goes beyond, none is submitted. */
    trimtab_store_call last = call;
    last.number = UINT64_MAX - 1;
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_queue_submit(queue, pointers, 3, &last, &taken));
    CHECK(strstr(last_error(), "beyond 2^64 - 1") != NULL);
    EXPECT(TRIMTAB_E_TIMED_OUT, trimtab_store_queue_next(queue, 0, &user_data, &answer));

    /* Its number for another operation: that one's answer is none of this. */
    trimtab_txn *other = NULL;
    trimtab_store_operation append = operation(TRIMTAB_OPERATION_APPEND, "n", "1");
    const trimtab_store_operation *appends = &append;
    OK(trimtab_txn_new(&other));
    OK(trimtab_store_queue_submit(queue, &appends, 1, &call, &taken));
    OK(trimtab_store_queue_submit_txn(queue, other, &call, 3));
    for (unsigned turn = 0; turn < 2; turn++) {
        OK(trimtab_store_queue_next(queue, -1, NULL, &answer));
        EXPECT(TRIMTAB_E_STATE, trimtab_store_answer_read(answer, &result));
        CHECK(strstr(last_error(), "used for another operation before") != NULL);
        trimtab_store_answer_free(answer);
    }
    trimtab_txn_free(other);
    CHECK(has(store, "n", "100"));

    /* What fails is told with the answer. */
    OK(trimtab_store_put(store, BYTES("n"), BYTES("no number"), NULL, NULL));
    operations[0].user_data = UINT64_MAX;
    OK(trimtab_store_queue_submit(queue, pointers, 1, NULL, &taken));
    OK(trimtab_store_queue_next(queue, 60000, &user_data, &answer));
    CHECK(user_data == UINT64_MAX);
    result = new_result();
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_answer_read(answer, &result));
    CHECK(result.is_done == 0x55555555);
    trimtab_store_answer_free(answer);

    /* One that cannot be: none is submitted. */
    trimtab_store_operation bad = operation(99, "k", "v");
    pointers[1] = &bad;
    taken = 77;
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_queue_submit(queue, pointers, 2, NULL, &taken));
    pointers[1] = NULL;
    EXPECT(TRIMTAB_E_NULL, trimtab_store_queue_submit(queue, pointers, 2, NULL, &taken));
    CHECK(taken == 77);
    OK(trimtab_store_queue_under_way(queue, &under_way));
    CHECK(under_way == 0);
    call.durability = TRIMTAB_DURABILITY_QUORUM;
    EXPECT(TRIMTAB_E_UNSUPPORTED, trimtab_store_queue_submit(queue, pointers, 1, &call, &taken));

    /* A transaction; and what was taken in is completed when the store is closed. */
    trimtab_txn *txn = NULL;
    OK(trimtab_txn_new(&txn));
    trimtab_store_operation put = operation(TRIMTAB_OPERATION_PUT, "k", "v");
    OK(trimtab_txn_then(txn, &put));
    OK(trimtab_store_queue_submit_txn(queue, txn, NULL, 5));
    trimtab_txn_free(txn);
    OK(trimtab_store_close(store));
    OK(trimtab_store_queue_next(queue, 60000, &user_data, &answer));
    OK(trimtab_store_answer_read(answer, &result));
    CHECK(user_data == 5 && result.count == 1 && result.is_done == 1);
    trimtab_store_answer_free(answer);
    EXPECT(TRIMTAB_E_STATE, trimtab_store_queue_submit(queue, pointers, 1, NULL, &taken));
    trimtab_store_free(store);
    EXPECT(TRIMTAB_E_STATE, trimtab_store_queue_next(queue, 0, NULL, &answer));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_queue_next(queue, -1, NULL, &answer));
    trimtab_store_queue_free(queue);
    store = open_store("queue");
    CHECK(has(store, "k", "v"));
    trimtab_store_free(store);
}

static trimtab_store_change new_change(void)
{
    trimtab_store_change change;
    memset(&change, 0, sizeof change);
    change.struct_size = sizeof change;
    return change;
}

static void watches(void)
{
    trimtab_store *store = open_store("watch");
    trimtab_store_watch *watch = NULL;
    trimtab_store_result result = new_result();
    trimtab_store_change change = new_change();
    int32_t fd = -1;
    uint64_t sequence = 0;

    OK(trimtab_store_put(store, BYTES("u/1"), BYTES("a"), NULL, &result));
    uint64_t first = result.sequence;
    OK(trimtab_store_watch_new(store, TRIMTAB_RANGE_PREFIX, BYTES("u/"), NO_BYTES, first, &watch));
    OK(trimtab_store_watch_poll_fd(watch, &fd));
    OK(trimtab_store_watch_next(watch, 0, &change));
    CHECK(change.kind == TRIMTAB_CHANGE_PUT && change.sequence == first && change.created == first && change.more == 0);
    CHECK(is(change.key, change.key_len, "u/1") && is(change.value, change.value_len, "a"));
    EXPECT(TRIMTAB_E_TIMED_OUT, trimtab_store_watch_next(watch, 0, &change));
    CHECK(!is_readable(fd));

    /* What is not in the range is not told; what is done together is told together. */
    OK(trimtab_store_put(store, BYTES("v"), BYTES("x"), NULL, NULL));
    EXPECT(TRIMTAB_E_TIMED_OUT, trimtab_store_watch_next(watch, 0, &change));
    OK(trimtab_store_put(store, BYTES("u/2"), BYTES("b"), NULL, NULL));
    wait_readable(fd);
    OK(trimtab_store_delete_range(store, TRIMTAB_RANGE_PREFIX, BYTES("u/"), NO_BYTES, 0, NULL, &result));
    OK(trimtab_store_watch_next(watch, 0, &change));
    CHECK(change.kind == TRIMTAB_CHANGE_PUT && is(change.key, change.key_len, "u/2"));
    OK(trimtab_store_watch_sequence(watch, &sequence));
    CHECK(sequence == result.sequence);
    OK(trimtab_store_watch_next(watch, 0, &change));
    CHECK(change.kind == TRIMTAB_CHANGE_DELETED && is(change.key, change.key_len, "u/1") && change.value == NULL);
    CHECK(change.more == 1 && change.sequence == result.sequence);
    OK(trimtab_store_watch_sequence(watch, &sequence));
    CHECK(sequence == result.sequence);
    OK(trimtab_store_watch_next(watch, -1, &change));
    CHECK(is(change.key, change.key_len, "u/2") && change.more == 0);
    OK(trimtab_store_watch_sequence(watch, &sequence));
    CHECK(sequence == result.sequence + 1);
    trimtab_store_watch_free(watch);

    /* From now on. */
    OK(trimtab_store_watch_new(store, TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, 0, &watch));
    OK(trimtab_store_increment(store, BYTES("n"), 3, NULL, NULL));
    OK(trimtab_store_append(store, BYTES("n"), BYTES("3"), NULL, NULL));
    OK(trimtab_store_watch_next(watch, 60000, &change));
    CHECK(change.kind == TRIMTAB_CHANGE_INCREMENTED && is(change.value, change.value_len, "3"));
    OK(trimtab_store_watch_next(watch, 60000, &change));
    CHECK(change.kind == TRIMTAB_CHANGE_APPENDED && is(change.value, change.value_len, "33"));
    OK(trimtab_store_put(store, BYTES("late"), BYTES("x"), NULL, NULL));
    OK(trimtab_store_close(store));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_watch_next(watch, 0, &change));
    trimtab_store_free(store);
    EXPECT(TRIMTAB_E_STATE, trimtab_store_watch_next(watch, 0, &change));
    trimtab_store_watch_free(watch);
}

/* What is not kept any more is told as such. */
static void compacted(void)
{
    trimtab_store *store = NULL;
    trimtab_store_options *options = small_options();
    trimtab_store_watch *watch = NULL;
    trimtab_store_result result = new_result();
    trimtab_store_change change = new_change();
    char path[128];
    OK(trimtab_store_options_set_history_bytes_max(options, 0));
    snprintf(path, sizeof path, "%s/compacted", folder);
    OK(trimtab_store_open(STR(path), options, &store));
    trimtab_store_options_free(options);
    OK(trimtab_store_put(store, BYTES("k"), BYTES("0"), NULL, &result));
    for (unsigned turn = 0; turn < 10000; turn++) {
        trimtab_store_call call = new_call();
        call.durability = TRIMTAB_DURABILITY_MEMORY;
        OK(trimtab_store_increment(store, BYTES("k"), 1, &call, NULL));
    }
    OK(trimtab_store_watch_new(store, TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, result.sequence, &watch));
    for (unsigned turn = 0; turn < 2; turn++) {
        OK(trimtab_store_watch_next(watch, 0, &change));
        CHECK(change.kind == TRIMTAB_CHANGE_COMPACTED && change.sequence > result.sequence && change.key == NULL);
    }
    trimtab_store_watch_free(watch);
    uint64_t from = change.sequence;
    OK(trimtab_store_watch_new(store, TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, from, &watch));
    OK(trimtab_store_watch_next(watch, 0, &change));
    CHECK(change.kind == TRIMTAB_CHANGE_INCREMENTED && change.sequence == from);
    trimtab_store_watch_free(watch);
    /* Beyond what comes next. */
    OK(trimtab_store_put(store, BYTES("k"), BYTES("0"), NULL, &result));
    from = result.sequence + 2;
    OK(trimtab_store_watch_new(store, TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, from, &watch));
    OK(trimtab_store_watch_next(watch, 0, &change));
    CHECK(change.kind == TRIMTAB_CHANGE_COMPACTED && change.sequence <= result.sequence);
    trimtab_store_watch_free(watch);
    trimtab_store_free(store);
}

/* Each that uses what is the parent's. */
static void refused_in_the_child(trimtab_store *store, trimtab_store_queue *queue, trimtab_store_watch *watch,
                                 trimtab_store_scan *scan)
{
    trimtab_store_operation put = operation(TRIMTAB_OPERATION_PUT, "k", "child");
    const trimtab_store_operation *pointers[] = {&put};
    trimtab_store_answer *answer = NULL;
    trimtab_store_change change = new_change();
    trimtab_store_entry entry = new_entry();
    trimtab_store_status status = {0};
    trimtab_txn *txn = NULL;
    size_t count = 0;
    uint64_t number = 0;
    int32_t flag = 0;
    char byte;
    status.struct_size = sizeof status;
    OK(trimtab_txn_new(&txn));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_get_copy(store, BYTES("k"), &byte, 1, NULL, NULL));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_get(store, BYTES("k"), &answer));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_put(store, BYTES("k"), BYTES("child"), NULL, NULL));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_delete(store, BYTES("k"), NULL, NULL));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_execute(store, &put, NULL, &answer));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_commit(store, txn, NULL, &answer));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_count(store, TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, &number));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_lease_grant(store, 1, 1000, NULL, NULL));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_expire(store, BYTES("k"), 1, NULL, NULL));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_sync(store, 0, NULL));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_snapshot(store, 0, NULL));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_backup(store, STR("/nowhere"), 0, NULL));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_scrub(store, 0));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_status_read(store, &status));
    trimtab_store_report report = {0};
    report.struct_size = sizeof report;
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_report_read(store, &report));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_torn_file_copy(store, NULL, 0, &count));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_settings_refused_copy(store, NULL, 0, &count));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_wait_durable(store, 1, 0, NULL));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_queue_submit_durable(queue, 1, 0));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_close(store));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_queue_submit(queue, pointers, 1, NULL, &count));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_queue_submit_txn(queue, txn, NULL, 0));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_queue_next(queue, -1, NULL, &answer));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_queue_poll_fd(queue, &flag));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_queue_under_way(queue, &count));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_watch_next(watch, -1, &change));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_watch_poll_fd(watch, &flag));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_watch_sequence(watch, &number));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_scan_next(scan, &entry, &flag));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_scan_sequence(scan, &number));
    EXPECT(TRIMTAB_E_FORKED, trimtab_store_scan_new(store, TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, 0, 0, &scan));
    CHECK(answer == NULL);
    trimtab_txn_free(txn);
    trimtab_store_scan_free(scan);
    trimtab_store_queue_free(queue);
    trimtab_store_watch_free(watch);
    trimtab_store_free(store);
    /* One of its own. */
    trimtab_store *own = open_store("child");
    OK(trimtab_store_put(own, BYTES("k"), BYTES("child"), NULL, NULL));
    trimtab_store_free(own);
}

/* Waits for a child that should have ended well. */
static void join(pid_t child)
{
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "store_queue: the child was ended by signal %d%s\n", WTERMSIG(status),
                WTERMSIG(status) == SIGALRM ? " (it hung)" : "");
        exit(1);
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void forks(void)
{
    trimtab_store *store = open_store("fork");
    trimtab_store_queue *queue = NULL;
    trimtab_store_watch *watch = NULL;
    trimtab_store_scan *scan = NULL;
    trimtab_store_change change = new_change();
    OK(trimtab_store_put(store, BYTES("k"), BYTES("parent"), NULL, NULL));
    OK(trimtab_store_queue_new(store, 8, &queue));
    OK(trimtab_store_watch_new(store, TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, 0, &watch));
    OK(trimtab_store_scan_new(store, TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, 0, 0, &scan));
    /* Often enough for a child's threads to get in the way of what the parent's have left behind in its memory. */
    for (unsigned round = 0; round < FORKS; round++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(CHILD_SECONDS);
            refused_in_the_child(store, queue, watch, scan);
            _exit(0);
        }
        join(child);
    }
    OK(trimtab_store_put(store, BYTES("k"), BYTES("still"), NULL, NULL));
    OK(trimtab_store_watch_next(watch, 60000, &change));
    CHECK(is(change.value, change.value_len, "still") && has(store, "k", "still"));
    trimtab_store_scan_free(scan);
    trimtab_store_watch_free(watch);
    trimtab_store_queue_free(queue);
    trimtab_store_free(store);
}

int main(void)
{
    make_folder();
    durable();
    queues();
    waits_taken_back();
    watches();
    compacted();
    forks();
    remove_folder();
    printf("store_queue: queues, watches, what is compacted, forks\n");
    return 0;
}
