/*
 * Stores as members of a cluster, four in one process on loopback: writes and reads on every node, levels and positions, who is
 * primary, who is in it, and what happens, as it happens.
 */
#include "cluster.h"

#include <sys/wait.h>

enum { CHILD_SECONDS = 20, ALL_SECONDS = 280 };

static void writes_and_reads_on_every_node(void)
{
    trimtab_store_result result = new_result();
    trimtab_store_call call = new_call();
    trimtab_store_answer *answer = NULL;
    trimtab_store_scan *scan = NULL;
    trimtab_store_entry entry = new_entry();
    uint64_t count = 0;
    int32_t more = 0;
    for (unsigned round = 0; round < 3 * NODES; round++) {
        char value[16];
        snprintf(value, sizeof value, "%u", round);
        OK(trimtab_store_put(stores[round % NODES], BYTES("key"), BYTES(value), NULL, &result));
        CHECK(result.durability >= TRIMTAB_DURABILITY_QUORUM && result.nodes >= 2 && result.is_degraded == 0);
        CHECK(result.epoch > 0 && result.entry == result.sequence);
        for (unsigned at = 0; at < NODES; at++) {
            CHECK(has(stores[at], "key", value));
        }
    }
    OK(trimtab_store_increment(stores[LEARNER], BYTES("n"), 2, NULL, &result));
    OK(trimtab_store_increment(stores[0], BYTES("n"), 3, NULL, &result));
    CHECK(result.number == 5);

    /* On four disks, of which one is a learner's; and on all voters'. */
    call.nodes = NODES;
    OK(trimtab_store_put(stores[1], BYTES("four"), BYTES("v"), &call, &result));
    CHECK(result.nodes == NODES);
    call.nodes = 0;
    call.durability = TRIMTAB_DURABILITY_ALL;
    OK(trimtab_store_put(stores[2], BYTES("all"), BYTES("v"), &call, &result));
    CHECK(result.durability == TRIMTAB_DURABILITY_ALL && result.nodes >= 3);

    /* Each node tells when it is on its own disk. */
    for (unsigned at = 0; at < NODES; at++) {
        uint64_t durable = 0;
        OK(trimtab_store_wait_durable(stores[at], result.entry, PATIENCE_MS, &durable));
        CHECK(durable >= result.entry);
    }
    uint64_t none = 7;
    EXPECT(TRIMTAB_E_TIMED_OUT, trimtab_store_wait_durable(stores[0], result.entry + 1000, 1, &none));
    CHECK(none == 7);

    /* What is here, however old, but as new as this write. */
    trimtab_store_read read = new_read(TRIMTAB_READ_LOCAL);
    read.epoch = result.epoch;
    read.entry = result.entry;
    for (unsigned at = 0; at < NODES; at++) {
        OK(trimtab_store_get_at(stores[at], BYTES("all"), &read, &answer));
        OK(trimtab_store_answer_entry(answer, 0, &entry));
        CHECK(is(entry.value, entry.value_len, "v"));
        trimtab_store_answer_free(answer);
        OK(trimtab_store_count_at(stores[at], TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, &read, &count));
        CHECK(count == 4);
        OK(trimtab_store_scan_new_at(stores[at], TRIMTAB_RANGE_BETWEEN, NO_BYTES, NO_BYTES, 0, 1, &read, &scan));
        OK(trimtab_store_scan_next(scan, &entry, &more));
        CHECK(more == 1 && is(entry.key, entry.key_len, "n"));
        trimtab_store_scan_free(scan);
        EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_store_get_at(stores[at], BYTES("none"), &read, &answer));
        EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_store_lease_read_at(stores[at], 7, &read, NULL, NULL));
    }
    OK(trimtab_store_lease_grant(stores[LEARNER], 7, 60000, NULL, &result));
    read.epoch = result.epoch;
    read.entry = result.entry;
    for (unsigned at = 0; at < NODES; at++) {
        uint64_t ttl = 0, deadline = 0, again = 0;
        OK(trimtab_store_lease_read_at(stores[at], 7, &read, &ttl, &deadline));
        OK(trimtab_store_lease_read(stores[at], 7, NULL, &again));
        CHECK(ttl == 60000 && deadline == result.deadline_ms && again == deadline);
    }
    trimtab_store_read aged = new_read(TRIMTAB_READ_REPLICA);
    aged.age_max_ms = 5000;
    OK(trimtab_store_get_at(stores[LEARNER], BYTES("key"), &aged, &answer));
    trimtab_store_answer_free(answer);
    OK(trimtab_store_get_at(stores[LEARNER], BYTES("key"), NULL, &answer));
    trimtab_store_answer_free(answer);
    /* What no replica can say it has is read by the primary. */
    aged.age_max_ms = 0;
    aged.timeout_ms = PATIENCE_MS;
    OK(trimtab_store_get_at(stores[LEARNER], BYTES("key"), &aged, &answer));
    trimtab_store_answer_free(answer);
    uint64_t keys = 0;
    OK(trimtab_store_count_at(stores[LEARNER], TRIMTAB_RANGE_BETWEEN, BYTES("key"), BYTES("key0"), &aged, &keys));
    CHECK(keys == 1);
    aged.level = 17;
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_get_at(stores[0], BYTES("key"), &aged, &answer));
    /* One that nobody has written yet is waited for, and the primary is named. */
    read.entry += 1000;
    read.timeout_ms = 60;
    trimtab_status late = trimtab_store_get_at(stores[LEARNER], BYTES("key"), &read, &answer);
    CHECK(late == TRIMTAB_E_NOT_PRIMARY || late == TRIMTAB_E_TIMED_OUT);
}

/* Waits for what was submitted, which is done well, and gives what came of it. */
static trimtab_store_answer *told(trimtab_store_queue *queue, uint64_t user_data, trimtab_store_result *result)
{
    trimtab_store_answer *answer = NULL;
    uint64_t of = 0;
    OK(trimtab_store_queue_next(queue, PATIENCE_MS, &of, &answer));
    CHECK(of == user_data);
    OK(trimtab_store_answer_read(answer, result));
    return answer;
}

/* The same reads without a thread that waits: a queue tells when what is here is as fresh, or what the primary has found. */
static void reads_by_a_queue(void)
{
    trimtab_store_call call = new_call();
    trimtab_store_result result = new_result();
    trimtab_store_read read = new_read(TRIMTAB_READ_PRIMARY), here = new_read(TRIMTAB_READ_LOCAL);
    trimtab_store_answer *answer = NULL;
    int32_t fresh = -1;
    memcpy(call.client, "who asks by a q.", sizeof call.client);
    call.number = 1;
    OK(trimtab_store_put(stores[LEARNER], BYTES("by"), BYTES("queue"), &call, &result));
    for (unsigned at = 0; at < NODES; at++) {
        trimtab_store_queue *queue = NULL;
        trimtab_store_read later = new_read(TRIMTAB_READ_LOCAL);
        uint64_t count = 0;
        OK(trimtab_store_queue_new(stores[at], 8, &queue));
        OK(trimtab_store_is_fresh(stores[at], &here, &fresh));
        CHECK(fresh == 1);
        read.level = TRIMTAB_READ_PRIMARY;
        OK(trimtab_store_is_fresh(stores[at], &read, &fresh));
        CHECK(fresh == 0 || at == agreed_primary());

        OK(trimtab_store_queue_submit_fresh(queue, &read, 1));
        trimtab_store_answer_free(told(queue, 1, &result));
        CHECK(has(stores[at], "by", "queue"));
        OK(trimtab_store_count_at(stores[at], TRIMTAB_RANGE_PREFIX, BYTES("by"), NO_BYTES, &here, &count));
        CHECK(count == 1);
        OK(trimtab_store_queue_submit_get_at(queue, BYTES("by"), &read, 2));
        trimtab_store_answer_free(told(queue, 2, &result));
        CHECK(result.is_done == 1 && result.entries == 0);
        OK(trimtab_store_queue_submit_count_at(queue, TRIMTAB_RANGE_PREFIX, BYTES("by"), NO_BYTES, &read, 3));
        trimtab_store_answer_free(told(queue, 3, &result));
        CHECK(result.version == 0);

        /* What no replica can say it has is read by the primary. */
        read.level = TRIMTAB_READ_REPLICA;
        read.age_max_ms = 0;
        read.timeout_ms = PATIENCE_MS;
        if (at == LEARNER) {
            OK(trimtab_store_queue_submit_get_at(queue, BYTES("by"), &read, 4));
            answer = told(queue, 4, &result);
            if (result.entries == 1) {
                trimtab_store_entry entry = new_entry();
                OK(trimtab_store_answer_entry(answer, 0, &entry));
                CHECK(is(entry.value, entry.value_len, "queue"));
            } else {
                CHECK(result.is_done == 1);
            }
            trimtab_store_answer_free(answer);
            OK(trimtab_store_queue_submit_count_at(queue, TRIMTAB_RANGE_PREFIX, BYTES("by"), NO_BYTES, &read, 5));
            trimtab_store_answer_free(told(queue, 5, &result));
            CHECK(result.version == 0 || result.count == 1);
        }

        call.number = 1;
        OK(trimtab_store_queue_submit_outcome(queue, &call, 6));
        trimtab_store_answer_free(told(queue, 6, &result));
        CHECK(result.is_done == 1 && result.is_repeated == 1 && result.epoch > 0);
        later.epoch = result.epoch;
        call.number = 2;
        OK(trimtab_store_queue_submit_outcome(queue, &call, 7));
        trimtab_store_answer_free(told(queue, 7, &result));
        CHECK(result.is_done == 1 && result.is_repeated == 0);

        /* One that nobody has written yet is waited for, until it is taken back. */
        size_t taken_back = 0;
        later.entry = UINT64_C(1) << 40;
        later.timeout_ms = -1;
        OK(trimtab_store_is_fresh(stores[at], &later, &fresh));
        CHECK(fresh == 0);
        OK(trimtab_store_queue_submit_get_at(queue, BYTES("by"), &later, 8));
        OK(trimtab_store_queue_cancel(queue, 8, &taken_back));
        CHECK(taken_back == 1);
        EXPECT(TRIMTAB_E_TIMED_OUT, trimtab_store_queue_next(queue, 0, NULL, &answer));
        trimtab_store_queue_free(queue);
    }
    trimtab_store_queue *queue = NULL;
    OK(trimtab_store_queue_new(stores[0], 8, &queue));
    read.level = 17;
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_is_fresh(stores[0], &read, &fresh));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_queue_submit_fresh(queue, &read, 8));
    memset(call.client, 0, sizeof call.client);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_queue_submit_outcome(queue, &call, 9));
    trimtab_store_queue_free(queue);
}

static void how_it_is(void)
{
    unsigned primary = agreed_primary();
    for (unsigned node = 0; node < NODES; node++) {
        trimtab_cluster *cluster = NULL;
        char expected[32];
        unsigned primaries = 0, voters = 0, found = 0;
        OK(trimtab_store_cluster(stores[node], &cluster));
        trimtab_cluster_status status = status_of(cluster);
        CHECK(status.nodes == NODES && status.standing == TRIMTAB_STANDING_ACTIVE && status.trouble == NULL);
        CHECK(is(status.cluster, status.cluster_len, "of c") && is(status.node, status.node_len, names[node]));
        CHECK(is(status.primary, status.primary_len, names[primary]) && status.epoch > 0);
        int32_t role = node == primary ? TRIMTAB_NODE_PRIMARY : node == LEARNER ? TRIMTAB_NODE_LEARNER : TRIMTAB_NODE_REPLICA;
        CHECK(status.role == role && status.applied > 0 && status.last >= status.committed);
        CHECK((status.lease_ns != TRIMTAB_NO_TIME) == (node == primary));
        snprintf(expected, sizeof expected, "clients-of-%s", names[primary]);
        CHECK(is(status.primary_address, status.primary_address_len, expected));
        for (uint32_t at = 0; at < status.nodes; at++) {
            trimtab_cluster_node one;
            memset(&one, 0, sizeof one);
            one.struct_size = sizeof one;
            OK(trimtab_cluster_node_read(cluster, at, &one));
            primaries += one.is_primary != 0;
            voters += one.is_voter != 0;
            for (unsigned other = 0; other < NODES; other++) {
                found += is(one.name, one.name_len, names[other]) && is(one.address, one.address_len, addresses[other]);
            }
            CHECK((one.lag != TRIMTAB_NO_TIME) == (node == primary) && one.number > 0);
        }
        CHECK(primaries == 1 && voters == 3 && found == NODES);
        trimtab_cluster_node none;
        none.struct_size = sizeof none;
        EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_cluster_node_read(cluster, NODES, &none));
        trimtab_cluster_free(cluster);
    }
}

static void who_is_primary_and_who_is_in_it(void)
{
    unsigned primary = agreed_primary(), to = (primary + 1) % 3, other = (primary + 2) % 3;
    trimtab_cluster_events *events = NULL, *learners = NULL;
    trimtab_cluster_event event = new_event();
    trimtab_store_call call = new_call();
    int32_t fd = -1;
    OK(trimtab_cluster_events_new(stores[other], &events));
    OK(trimtab_cluster_events_poll_fd(events, &fd));
    wait_readable(fd);
    while (trimtab_cluster_events_next(events, 0, &event) == TRIMTAB_OK) {
    }
    EXPECT(TRIMTAB_E_TIMED_OUT, trimtab_cluster_events_next(events, 0, &event));
    CHECK(!is_readable(fd));

    /* It is for the primary to say. */
    EXPECT(TRIMTAB_E_NOT_PRIMARY, trimtab_store_transfer(stores[other], STR(names[to]), 0));
    CHECK(strstr(last_error(), names[primary]) != NULL);
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_store_transfer(stores[primary], STR("nobody"), 0));
    // In plaintext.
    EXPECT(TRIMTAB_E_STATE, trimtab_store_reload_certificates(stores[primary]));
    OK(trimtab_store_transfer(stores[primary], STR(names[to]), PATIENCE_MS));
    wait_readable(fd);
    wait_for(events, TRIMTAB_CLUSTER_ROLE, names[to], NULL);
    CHECK(wait_for_primary(primary, (int)primary) == to);
    OK(trimtab_store_put(stores[primary], BYTES("after"), BYTES("v"), NULL, NULL));

    /* The learner gets a vote; a node that is new is taken in, and goes again. */
    OK(trimtab_store_promote_learner(stores[to], STR(names[LEARNER]), PATIENCE_MS));
    wait_for(events, TRIMTAB_CLUSTER_MEMBERS, names[LEARNER], NULL);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_promote_learner(stores[to], STR(names[LEARNER]), 0));
    OK(trimtab_store_add_node(stores[to], STR("e"), STR(""), PATIENCE_MS));
    wait_for(events, TRIMTAB_CLUSTER_MEMBERS, NULL, "e");
    OK(trimtab_store_remove_node(stores[to], STR("e"), PATIENCE_MS));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_add_node(stores[to], STR("e"), STR(""), 0));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_add_node(stores[to], STR("f"), STR("no address"), 0));
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_store_replace_node(stores[to], STR("e"), STR(names[0]), 0));

    /* One that is taken out is told, and takes no part. */
    OK(trimtab_cluster_events_new(stores[LEARNER], &learners));
    OK(trimtab_store_remove_node(stores[to], STR(names[LEARNER]), PATIENCE_MS));
    wait_for(learners, TRIMTAB_CLUSTER_FENCED, NULL, "removed");
    EXPECT(TRIMTAB_E_STATE, trimtab_store_put(stores[LEARNER], BYTES("k"), BYTES("v"), NULL, NULL));
    trimtab_cluster *cluster = NULL;
    OK(trimtab_store_cluster(stores[LEARNER], &cluster));
    CHECK(status_of(cluster).standing == TRIMTAB_STANDING_FENCED && status_of(cluster).trouble_len > 0);
    trimtab_cluster_free(cluster);
    trimtab_cluster_events_free(learners);

    /* A handover to a node that is gone holds nobody up, outlasts who waits for it, and is called off. */
    int32_t aborted = -1;
    OK(trimtab_store_close(stores[primary]));
    trimtab_store_free(stores[primary]);
    EXPECT(TRIMTAB_E_TIMED_OUT, trimtab_store_transfer(stores[to], STR(names[primary]), 50));
    CHECK(strstr(last_error(), "handover") != NULL);
    OK(trimtab_store_put(stores[to], BYTES("meanwhile"), BYTES("v"), NULL, NULL));
    EXPECT(TRIMTAB_E_NOT_PRIMARY, trimtab_store_abort_transfer(stores[other], &aborted));
    CHECK(aborted == -1);
    OK(trimtab_store_abort_transfer(stores[to], &aborted));
    CHECK(aborted == 1);
    OK(trimtab_store_abort_transfer(stores[to], &aborted));
    CHECK(aborted == 0);
    open_node(primary);
    call.timeout_ms = PATIENCE_MS;
    call.nodes = 3;
    OK(trimtab_store_put(stores[to], BYTES("three"), BYTES("v"), &call, NULL));
    call.nodes = 0;

    /* A primary that is closed hands over; the others go on, and events of a store that is closed end. */
    OK(trimtab_store_close(stores[to]));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_cluster(stores[to], &cluster));
    call.timeout_ms = PATIENCE_MS;
    OK(trimtab_store_put(stores[other], BYTES("on"), BYTES("v"), &call, NULL));
    CHECK(wait_for_primary(other, (int)to) != to);
    OK(trimtab_store_close(stores[other]));
    while (trimtab_cluster_events_next(events, -1, &event) == TRIMTAB_OK) {
    }
    EXPECT(TRIMTAB_E_STATE, trimtab_cluster_events_next(events, 0, &event));
    trimtab_cluster_events_free(events);
}

static void a_child(void)
{
    trimtab_cluster_events *events = NULL;
    int status = 0;
    OK(trimtab_cluster_events_new(stores[0], &events));
    pid_t child = fork();
    if (child == 0) {
        trimtab_cluster *cluster = NULL;
        trimtab_cluster_event event = new_event();
        trimtab_store_answer *answer = NULL;
        trimtab_store_read read = new_read(TRIMTAB_READ_LOCAL);
        int32_t fd = -1;
        alarm(CHILD_SECONDS);
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_cluster(stores[0], &cluster));
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_transfer(stores[0], STR("b"), 0));
        int32_t aborted = 0;
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_abort_transfer(stores[0], &aborted));
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_reload_certificates(stores[0]));
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_get_at(stores[0], BYTES("key"), &read, &answer));
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_lease_read_at(stores[0], 7, &read, NULL, NULL));
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_is_fresh(stores[0], &read, &aborted));
        EXPECT(TRIMTAB_E_FORKED, trimtab_store_put(stores[0], BYTES("key"), BYTES("v"), NULL, NULL));
        EXPECT(TRIMTAB_E_FORKED, trimtab_cluster_events_next(events, -1, &event));
        EXPECT(TRIMTAB_E_FORKED, trimtab_cluster_events_poll_fd(events, &fd));
        trimtab_cluster_events_free(events);
        for (unsigned at = 0; at < NODES; at++) {
            trimtab_store_free(stores[at]);
        }
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    trimtab_cluster_events_free(events);
}

/* A directory that nobody has open is promoted: its node goes on with what it has. The options that only an operator sets. */
static void promoted_by_force(void)
{
    trimtab_cluster_options *options = NULL;
    trimtab_promotion *promotion = NULL;
    trimtab_promoted promoted;
    trimtab_store *store = NULL;
    trimtab_store_call call = new_call();
    char path[128];
    OK(trimtab_cluster_options_new(STR("x"), &options));
    OK(trimtab_cluster_options_set_insecure_plaintext(options, 0));
    OK(trimtab_cluster_options_set_message_bytes(options, 16 << 10));
    OK(trimtab_cluster_options_set_kept_bytes_max(options, 1 << 20));
    OK(trimtab_cluster_options_set_snapshot_rate(options, 1 << 30));
    OK(trimtab_cluster_options_set_slow_flush_ms(options, 0));
    OK(trimtab_cluster_options_set_slow_flush_ms(options, 5000));
    OK(trimtab_cluster_options_set_election_ticks(options, 30));
    OK(trimtab_cluster_options_add_member(options, STR("x"), STR(""), 0));
    OK(join_as("forced", options, &store));
    OK(trimtab_store_put(store, BYTES("k"), BYTES("v"), NULL, NULL));
    /* A learner that never comes. */
    OK(trimtab_store_add_node(store, STR("l"), STR(""), PATIENCE_MS));
    snprintf(path, sizeof path, "%s/forced", folder);
    EXPECT(TRIMTAB_E_STATE, trimtab_store_promote_directory(STR(path), &promotion));
    CHECK(promotion == NULL);
    trimtab_store_free(store);

    OK(trimtab_store_promote_directory(STR(path), &promotion));
    memset(&promoted, 0x55, sizeof promoted);
    promoted.struct_size = sizeof promoted;
    OK(trimtab_promotion_read(promotion, &promoted));
    CHECK(promoted.generation == 2 && promoted.last >= 1 && promoted.reserved == 0);
    CHECK(is(promoted.cluster, promoted.cluster_len, "trimtab") && is(promoted.node, promoted.node_len, "x"));
    CHECK(promoted.out == NULL && promoted.out_len == 0 && is(promoted.learners, promoted.learners_len, "l"));
    promoted.struct_size = 8;
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_promotion_read(promotion, &promoted));
    trimtab_promotion_free(promotion);

    store = NULL;
    OK(join_as("forced", options, &store));
    call.timeout_ms = PATIENCE_MS;
    OK(trimtab_store_put(store, BYTES("on"), BYTES("v"), &call, NULL));
    CHECK(has(store, "k", "v"));
    trimtab_store_free(store);
    /* What is out of range is refused where the store joins. */
    store = NULL;
    OK(trimtab_cluster_options_set_election_ticks(options, 9));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, join_as("forced", options, &store));
    CHECK(strstr(last_error(), "election_ticks") != NULL);
    OK(trimtab_cluster_options_set_election_ticks(options, 20));
    OK(trimtab_cluster_options_set_slow_flush_ms(options, 9));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, join_as("forced", options, &store));
    CHECK(strstr(last_error(), "slow_flush") != NULL);
    OK(trimtab_cluster_options_set_slow_flush_ms(options, 10));
    OK(trimtab_cluster_options_set_kept_bytes_max(options, UINT64_MAX));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, join_as("forced", options, &store));
    CHECK(strstr(last_error(), "kept_bytes_max") != NULL && store == NULL);
    trimtab_cluster_options_free(options);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_promote_directory(STR(folder), NULL));
}

static void refusals(void)
{
    trimtab_cluster_options *options = NULL;
    trimtab_cluster *cluster = NULL;
    trimtab_cluster_events *events = NULL;
    trimtab_store *store = NULL, *alone = open_store("alone");
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_cluster_options_new(STR("No Name"), &options));
    CHECK(options == NULL);
    OK(trimtab_cluster_options_new(STR("x"), &options));
    OK(trimtab_cluster_options_set_message_bytes(options, 16 << 10));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_cluster_options_add_member(options, STR("x"), STR("localhost"), 0));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_cluster_options_add_member(options, STR("x"), STR(""), 2));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_cluster_options_set_beginning(options, 3));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_cluster_options_set_directory(options, 4));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_cluster_options_set_durability(options, 5));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_cluster_options_set_read(options, 4, 0));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_cluster_options_set_forwards(options, 2));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_cluster_options_set_listen(options, STR("nowhere")));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_cluster_options_set_tls(options, STR(""), STR(""), STR("ca.pem")));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, join_as("x", options, &store));
    CHECK(strstr(last_error(), "security") != NULL);
    OK(trimtab_cluster_options_set_insecure_plaintext(options, 0));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, join_as("x", options, &store));
    CHECK(strstr(last_error(), "members") != NULL);
    OK(trimtab_cluster_options_add_member(options, STR("x"), STR("10.0.0.5:7400"), 0));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, join_as("x", options, &store));
    OK(trimtab_cluster_options_set_nodes(options, 65));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, join_as("x", options, &store));
    CHECK(strstr(last_error(), "nodes") != NULL && strstr(last_error(), "65") != NULL);
    OK(trimtab_cluster_options_set_nodes(options, 0));
    OK(trimtab_cluster_options_set_tls(options, STR("/nowhere/node.pem"), STR(""), STR("/nowhere/ca.pem")));
    CHECK(join_as("x", options, &store) != TRIMTAB_OK);
    CHECK(strstr(last_error(), "/nowhere/") != NULL && store == NULL);
    trimtab_cluster_options_free(options);

    /* A store of one node is in no cluster, and reads whatever is asked. */
    trimtab_store_answer *answer = NULL;
    trimtab_store_read read = new_read(TRIMTAB_READ_PRIMARY);
    trimtab_store_call call = new_call();
    EXPECT(TRIMTAB_E_STATE, trimtab_store_cluster(alone, &cluster));
    EXPECT(TRIMTAB_E_STATE, trimtab_cluster_events_new(alone, &events));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_transfer(alone, STR("b"), 0));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_reload_certificates(alone));
    call.durability = TRIMTAB_DURABILITY_QUORUM;
    EXPECT(TRIMTAB_E_UNSUPPORTED, trimtab_store_put(alone, BYTES("k"), BYTES("v"), &call, NULL));
    OK(trimtab_store_put(alone, BYTES("k"), BYTES("v"), NULL, NULL));
    OK(trimtab_store_get_at(alone, BYTES("k"), &read, &answer));
    trimtab_store_answer_free(answer);
    trimtab_store_free(alone);
    /* And is no member's directory. */
    options = member_options(0);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, join_as("alone", options, &store));
    trimtab_store_options *hosted = small_options();
    OK(trimtab_store_options_set_hosted(hosted, 1));
    char path[128];
    snprintf(path, sizeof path, "%s/hosted", folder);
    EXPECT(TRIMTAB_E_UNSUPPORTED, trimtab_store_join(STR(path), hosted, options, &store));
    trimtab_store_options_free(hosted);
    trimtab_cluster_options_free(options);
    CHECK(store == NULL && cluster == NULL && events == NULL);
}

int main(void)
{
    alarm(ALL_SECONDS);
    make_folder();
    choose_addresses();
    promoted_by_force();
    refusals();
    for (unsigned at = 0; at < NODES; at++) {
        open_node(at);
    }
    writes_and_reads_on_every_node();
    reads_by_a_queue();
    how_it_is();
    a_child();
    who_is_primary_and_who_is_in_it();
    for (unsigned at = 0; at < NODES; at++) {
        trimtab_store_free(stores[at]);
    }
    remove_folder();
    printf("cluster: writes and reads on every node, how it is, a fork, who is primary and who is in it, directories promoted by force, refusals\n");
    return 0;
}
