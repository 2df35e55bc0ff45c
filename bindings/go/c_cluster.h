// A store as a member of a cluster: options, how the cluster is, who is in it, what happens, reads of a level.

#ifndef TRIMTAB_GO_C_CLUSTER_H
#define TRIMTAB_GO_C_CLUSTER_H

#include "c_store_queue.h"

typedef struct trimtab_go_member {
    trimtab_go_result result;
    trimtab_cluster_options *options;
} trimtab_go_member;

static inline trimtab_go_member trimtab_go_cluster_options(const char *node, size_t node_length) {
    trimtab_go_member made = {0};
    made.result = trimtab_go_result_of(trimtab_cluster_options_new(trimtab_go_str(node, node_length), &made.options));
    return made;
}

static inline void trimtab_go_cluster_options_end(trimtab_cluster_options *options) {
    trimtab_cluster_options_free(options);
}

static inline trimtab_go_result trimtab_go_cluster_add(trimtab_cluster_options *options, const char *name,
                                                       size_t name_length, const char *address, size_t address_length,
                                                       int32_t is_learner) {
    return trimtab_go_result_of(trimtab_cluster_options_add_member(
        options, trimtab_go_str(name, name_length), trimtab_go_str(address, address_length), is_learner));
}

static inline trimtab_go_result trimtab_go_cluster_tls(trimtab_cluster_options *options, const char *certificate,
                                                       size_t certificate_length, const char *key, size_t key_length,
                                                       const char *ca, size_t ca_length) {
    return trimtab_go_result_of(trimtab_cluster_options_set_tls(options, trimtab_go_str(certificate, certificate_length),
                                                                trimtab_go_str(key, key_length),
                                                                trimtab_go_str(ca, ca_length)));
}

// The other options: those that are numbers, and those that are text.
enum {
    TRIMTAB_GO_CLUSTER_PLAINTEXT,
    TRIMTAB_GO_CLUSTER_BEGINNING,
    TRIMTAB_GO_CLUSTER_DIRECTORY,
    TRIMTAB_GO_CLUSTER_DURABILITY,
    TRIMTAB_GO_CLUSTER_NODES,
    TRIMTAB_GO_CLUSTER_READ,
    TRIMTAB_GO_CLUSTER_FORWARDS,
    TRIMTAB_GO_CLUSTER_PATIENCE,
    TRIMTAB_GO_CLUSTER_FORWARD_MAX,
    TRIMTAB_GO_CLUSTER_DEGRADE_AFTER,
    TRIMTAB_GO_CLUSTER_TRANSFER_TIMEOUT,
    TRIMTAB_GO_CLUSTER_MESSAGE_BYTES,
    TRIMTAB_GO_CLUSTER_FEED_TIMEOUT,
    TRIMTAB_GO_CLUSTER_KEPT_BYTES_MAX,
    TRIMTAB_GO_CLUSTER_SNAPSHOT_RATE,
    TRIMTAB_GO_CLUSTER_SLOW_FLUSH,
    TRIMTAB_GO_CLUSTER_ELECTION_TICKS,
    TRIMTAB_GO_CLUSTER_NAME,
    TRIMTAB_GO_CLUSTER_LISTEN,
    TRIMTAB_GO_CLUSTER_CLIENT_ADDRESS,
    TRIMTAB_GO_CLUSTER_FEED_FROM,
};

// `more` is the age of the level replica.
static inline trimtab_go_result trimtab_go_cluster_set(trimtab_cluster_options *options, int what, uint64_t number,
                                                       uint64_t more) {
    trimtab_status status = TRIMTAB_E_INVALID_ARGUMENT;
    int32_t choice = (int32_t)number;
    switch (what) {
    case TRIMTAB_GO_CLUSTER_PLAINTEXT: status = trimtab_cluster_options_set_insecure_plaintext(options, choice); break;
    case TRIMTAB_GO_CLUSTER_BEGINNING: status = trimtab_cluster_options_set_beginning(options, choice); break;
    case TRIMTAB_GO_CLUSTER_DIRECTORY: status = trimtab_cluster_options_set_directory(options, choice); break;
    case TRIMTAB_GO_CLUSTER_DURABILITY: status = trimtab_cluster_options_set_durability(options, choice); break;
    case TRIMTAB_GO_CLUSTER_NODES: status = trimtab_cluster_options_set_nodes(options, (uint32_t)number); break;
    case TRIMTAB_GO_CLUSTER_READ: status = trimtab_cluster_options_set_read(options, choice, more); break;
    case TRIMTAB_GO_CLUSTER_FORWARDS: status = trimtab_cluster_options_set_forwards(options, choice); break;
    case TRIMTAB_GO_CLUSTER_PATIENCE: status = trimtab_cluster_options_set_patience_ms(options, number); break;
    case TRIMTAB_GO_CLUSTER_FORWARD_MAX:
        status = trimtab_cluster_options_set_forward_max(options, (uint32_t)number);
        break;
    case TRIMTAB_GO_CLUSTER_DEGRADE_AFTER: status = trimtab_cluster_options_set_degrade_after_ms(options, number); break;
    case TRIMTAB_GO_CLUSTER_TRANSFER_TIMEOUT:
        status = trimtab_cluster_options_set_transfer_timeout_ms(options, number);
        break;
    case TRIMTAB_GO_CLUSTER_FEED_TIMEOUT: status = trimtab_cluster_options_set_feed_timeout_ms(options, number); break;
    case TRIMTAB_GO_CLUSTER_MESSAGE_BYTES: status = trimtab_cluster_options_set_message_bytes(options, number); break;
    case TRIMTAB_GO_CLUSTER_KEPT_BYTES_MAX: status = trimtab_cluster_options_set_kept_bytes_max(options, number); break;
    case TRIMTAB_GO_CLUSTER_SNAPSHOT_RATE: status = trimtab_cluster_options_set_snapshot_rate(options, number); break;
    case TRIMTAB_GO_CLUSTER_SLOW_FLUSH: status = trimtab_cluster_options_set_slow_flush_ms(options, number); break;
    case TRIMTAB_GO_CLUSTER_ELECTION_TICKS:
        status = trimtab_cluster_options_set_election_ticks(options, (uint32_t)number);
        break;
    }
    return trimtab_go_result_of(status);
}

static inline trimtab_go_result trimtab_go_cluster_set_text(trimtab_cluster_options *options, int what,
                                                            const char *text, size_t text_length) {
    trimtab_status status = TRIMTAB_E_INVALID_ARGUMENT;
    trimtab_str str = trimtab_go_str(text, text_length);
    switch (what) {
    case TRIMTAB_GO_CLUSTER_NAME: status = trimtab_cluster_options_set_cluster(options, str); break;
    case TRIMTAB_GO_CLUSTER_LISTEN: status = trimtab_cluster_options_set_listen(options, str); break;
    case TRIMTAB_GO_CLUSTER_FEED_FROM: status = trimtab_cluster_options_add_feed_from(options, str); break;
    case TRIMTAB_GO_CLUSTER_CLIENT_ADDRESS: status = trimtab_cluster_options_set_client_address(options, str); break;
    }
    return trimtab_go_result_of(status);
}

// A promotion by force of a directory that nobody has open.

typedef struct trimtab_go_promotion {
    trimtab_go_result result;
    trimtab_promotion *promotion;
    trimtab_promoted promoted;
} trimtab_go_promotion;

static inline trimtab_go_promotion trimtab_go_promote_directory(const char *path, size_t path_length) {
    trimtab_go_promotion made = {.promoted = {.struct_size = sizeof made.promoted}};
    trimtab_status status = trimtab_store_promote_directory(trimtab_go_str(path, path_length), &made.promotion);
    if (status == TRIMTAB_OK) status = trimtab_promotion_read(made.promotion, &made.promoted);
    made.result = trimtab_go_result_of(status);
    return made;
}

static inline void trimtab_go_promotion_end(trimtab_promotion *promotion) {
    trimtab_promotion_free(promotion);
}

// How the cluster is.

typedef struct trimtab_go_cluster {
    trimtab_go_result result;
    trimtab_cluster *cluster;
    trimtab_cluster_status status;
} trimtab_go_cluster;

static inline trimtab_go_cluster trimtab_go_store_cluster(trimtab_go_gate *gate, const trimtab_store *store) {
    trimtab_go_cluster seen = {.status = {.struct_size = sizeof seen.status}};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        seen.result = trimtab_go_closed();
        return seen;
    }
    trimtab_status status = trimtab_store_cluster(store, &seen.cluster);
    if (status == TRIMTAB_OK) status = trimtab_cluster_status_read(seen.cluster, &seen.status);
    seen.result = trimtab_go_leave(calls, status);
    return seen;
}

static inline trimtab_cluster_node trimtab_go_cluster_node(const trimtab_cluster *cluster, uint32_t at) {
    trimtab_cluster_node node = {.struct_size = sizeof node};
    trimtab_cluster_node_read(cluster, at, &node);
    return node;
}

static inline void trimtab_go_cluster_end(trimtab_cluster *cluster) {
    trimtab_cluster_free(cluster);
}

// Who is primary, and who is in it. Each waits in C.

enum {
    TRIMTAB_GO_CHANGE_TRANSFER,
    TRIMTAB_GO_CHANGE_ADD,
    TRIMTAB_GO_CHANGE_PROMOTE,
    TRIMTAB_GO_CHANGE_REMOVE,
    TRIMTAB_GO_CHANGE_REPLACE,
    TRIMTAB_GO_CHANGE_RELOAD,
};

static inline trimtab_go_result trimtab_go_cluster_change(trimtab_go_gate *gate, const trimtab_store *store, int what,
                                                          const char *name, size_t name_length, const char *other,
                                                          size_t other_length, int64_t timeout_ms) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    trimtab_status status = TRIMTAB_E_INVALID_ARGUMENT;
    trimtab_str node = trimtab_go_str(name, name_length), more = trimtab_go_str(other, other_length);
    switch (what) {
    case TRIMTAB_GO_CHANGE_TRANSFER: status = trimtab_store_transfer(store, node, timeout_ms); break;
    case TRIMTAB_GO_CHANGE_ADD: status = trimtab_store_add_node(store, node, more, timeout_ms); break;
    case TRIMTAB_GO_CHANGE_PROMOTE: status = trimtab_store_promote_learner(store, node, timeout_ms); break;
    case TRIMTAB_GO_CHANGE_REMOVE: status = trimtab_store_remove_node(store, node, timeout_ms); break;
    case TRIMTAB_GO_CHANGE_REPLACE: status = trimtab_store_replace_node(store, node, more, timeout_ms); break;
    case TRIMTAB_GO_CHANGE_RELOAD: status = trimtab_store_reload_certificates(store); break;
    }
    return trimtab_go_leave(calls, status);
}

typedef struct trimtab_go_aborted {
    trimtab_go_result result;
    int32_t aborted;
} trimtab_go_aborted;

static inline trimtab_go_aborted trimtab_go_abort_transfer(trimtab_go_gate *gate, const trimtab_store *store) {
    trimtab_go_aborted told = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        told.result = trimtab_go_closed();
        return told;
    }
    told.result = trimtab_go_leave(calls, trimtab_store_abort_transfer(store, &told.aborted));
    return told;
}

// What happens.

typedef struct trimtab_go_cluster_followed {
    trimtab_go_result result;
    trimtab_cluster_events *events;
    int32_t descriptor;
} trimtab_go_cluster_followed;

static inline trimtab_go_cluster_followed trimtab_go_cluster_follow(trimtab_go_gate *gate, const trimtab_store *store) {
    trimtab_go_cluster_followed followed = {.descriptor = -1};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        followed.result = trimtab_go_closed();
        return followed;
    }
    trimtab_status status = trimtab_cluster_events_new(store, &followed.events);
    if (status == TRIMTAB_OK) status = trimtab_cluster_events_poll_fd(followed.events, &followed.descriptor);
    followed.result = trimtab_go_leave(calls, status);
    return followed;
}

typedef struct trimtab_go_cluster_told {
    trimtab_go_result result;
    trimtab_cluster_event event;
} trimtab_go_cluster_told;

// Without waiting: TRIMTAB_E_TIMED_OUT when there is none. The texts are good until the next call.
static inline trimtab_go_cluster_told trimtab_go_cluster_next(trimtab_cluster_events *events) {
    trimtab_go_cluster_told told = {.event = {.struct_size = sizeof told.event}};
    trimtab_status status = trimtab_cluster_events_next(events, 0, &told.event);
    if (status == TRIMTAB_E_TIMED_OUT) {
        told.result.status = status;
    } else {
        told.result = trimtab_go_result_of(status);
    }
    return told;
}

static inline void trimtab_go_cluster_unfollow(trimtab_cluster_events *events) {
    trimtab_cluster_events_free(events);
}

// Reads of a level and behind a position. None waits in C: what may have to is submitted first.

typedef struct trimtab_go_how_fresh {
    int32_t level;
    uint64_t age_max_ms, epoch, entry;
    int64_t timeout_ms;
    // It was waited for: what is here is to be read.
    int32_t is_here;
} trimtab_go_how_fresh;

static inline trimtab_store_read trimtab_go_read_of(const trimtab_go_how_fresh *how) {
    return (trimtab_store_read){
        .struct_size = sizeof(trimtab_store_read),
        .level = how->level,
        .age_max_ms = how->age_max_ms,
        .epoch = how->epoch,
        .entry = how->entry,
        .timeout_ms = how->timeout_ms,
    };
}

// How to read what is here; `fresh_out` gets whether that may be done already.
static inline trimtab_status trimtab_go_look_here(const trimtab_store *store, const trimtab_go_how_fresh *how,
                                                  trimtab_store_read *read, int32_t *fresh_out) {
    *read = trimtab_go_read_of(how);
    *fresh_out = how->is_here;
    trimtab_status status = how->is_here ? TRIMTAB_OK : trimtab_store_is_fresh(store, read, fresh_out);
    read->level = TRIMTAB_READ_LOCAL;
    return status;
}

// Each of these reads nothing when `is_fresh` is 0.

typedef struct trimtab_go_got_at {
    trimtab_go_result result;
    int32_t is_fresh;
    trimtab_store_answer *answer;
    trimtab_store_entry entry;
} trimtab_go_got_at;

typedef struct trimtab_go_lease_at {
    trimtab_go_result result;
    int32_t is_fresh;
    uint64_t ttl_ms, deadline_ms;
} trimtab_go_lease_at;

static inline trimtab_go_lease_at trimtab_go_store_lease_at(trimtab_go_gate *gate, const trimtab_store *store,
                                                            uint64_t number, const trimtab_go_how_fresh *how) {
    trimtab_go_lease_at lease = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        lease.result = trimtab_go_closed();
        return lease;
    }
    trimtab_store_read read;
    trimtab_status status = trimtab_go_look_here(store, how, &read, &lease.is_fresh);
    if (status == TRIMTAB_OK && lease.is_fresh)
        status = trimtab_store_lease_read_at(store, number, &read, &lease.ttl_ms, &lease.deadline_ms);
    lease.result = trimtab_go_leave(calls, status);
    return lease;
}

static inline trimtab_go_got_at trimtab_go_store_get_at(trimtab_go_gate *gate, const trimtab_store *store,
                                                        const uint8_t *key, size_t key_length,
                                                        const trimtab_go_how_fresh *how) {
    trimtab_go_got_at got = {.entry = {.struct_size = sizeof got.entry}};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        got.result = trimtab_go_closed();
        return got;
    }
    trimtab_store_read read;
    trimtab_status status = trimtab_go_look_here(store, how, &read, &got.is_fresh);
    if (status == TRIMTAB_OK && got.is_fresh) {
        status = trimtab_store_get_at(store, trimtab_go_bytes(key, key_length), &read, &got.answer);
        if (status == TRIMTAB_OK) status = trimtab_store_answer_entry(got.answer, 0, &got.entry);
    }
    got.result = trimtab_go_leave(calls, status);
    return got;
}

static inline void trimtab_go_got_at_free(trimtab_store_answer *answer) {
    trimtab_store_answer_free(answer);
}

typedef struct trimtab_go_count_at {
    trimtab_go_result result;
    int32_t is_fresh;
    uint64_t number;
} trimtab_go_count_at;

static inline trimtab_go_count_at trimtab_go_store_count_at(trimtab_go_gate *gate, const trimtab_store *store,
                                                            int32_t range, const uint8_t *start, size_t start_length,
                                                            const uint8_t *end, size_t end_length,
                                                            const trimtab_go_how_fresh *how) {
    trimtab_go_count_at count = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        count.result = trimtab_go_closed();
        return count;
    }
    trimtab_store_read read;
    trimtab_status status = trimtab_go_look_here(store, how, &read, &count.is_fresh);
    if (status == TRIMTAB_OK && count.is_fresh)
        status = trimtab_store_count_at(store, range, trimtab_go_bytes(start, start_length),
                                        trimtab_go_bytes(end, end_length), &read, &count.number);
    count.result = trimtab_go_leave(calls, status);
    return count;
}

typedef struct trimtab_go_scan_at {
    trimtab_go_result result;
    int32_t is_fresh;
    trimtab_store_scan *scan;
    uint64_t sequence;
} trimtab_go_scan_at;

static inline trimtab_go_scan_at trimtab_go_store_scan_at(trimtab_go_gate *gate, const trimtab_store *store,
                                                          int32_t range, const uint8_t *start, size_t start_length,
                                                          const uint8_t *end, size_t end_length, uint64_t limit,
                                                          int32_t reverse, const trimtab_go_how_fresh *how) {
    trimtab_go_scan_at scan = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        scan.result = trimtab_go_closed();
        return scan;
    }
    trimtab_store_read read;
    trimtab_status status = trimtab_go_look_here(store, how, &read, &scan.is_fresh);
    if (status == TRIMTAB_OK && scan.is_fresh) {
        status = trimtab_store_scan_new_at(store, range, trimtab_go_bytes(start, start_length),
                                           trimtab_go_bytes(end, end_length), limit, reverse, &read, &scan.scan);
        if (status == TRIMTAB_OK) status = trimtab_store_scan_sequence(scan.scan, &scan.sequence);
    }
    scan.result = trimtab_go_leave(calls, status);
    return scan;
}

// What a read waits for.
enum {
    TRIMTAB_GO_AWAIT_FRESH,
    TRIMTAB_GO_AWAIT_GET,
    TRIMTAB_GO_AWAIT_COUNT,
    TRIMTAB_GO_AWAIT_OUTCOME,
};

// `start` is the key too; of an outcome the client, which has that length then, and `number` its number.
typedef struct trimtab_go_await {
    int32_t what, range;
    uint64_t start_length, end_length, number, user_data;
    trimtab_go_how_fresh how;
} trimtab_go_await;

// Submits it, and takes what is done already, one at most.
static inline trimtab_go_submitted trimtab_go_queue_await(trimtab_go_gate *gate, const trimtab_store_queue *queue,
                                                          const uint8_t *start, const uint8_t *end,
                                                          const trimtab_go_await *given, trimtab_go_outcome *done) {
    trimtab_go_submitted submitted = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        submitted.result = trimtab_go_closed();
        return submitted;
    }
    trimtab_store_read read = trimtab_go_read_of(&given->how);
    trimtab_bytes first = trimtab_go_bytes(start, given->start_length), last = trimtab_go_bytes(end, given->end_length);
    trimtab_status status = TRIMTAB_E_INVALID_ARGUMENT;
    switch (given->what) {
    case TRIMTAB_GO_AWAIT_FRESH: status = trimtab_store_queue_submit_fresh(queue, &read, given->user_data); break;
    case TRIMTAB_GO_AWAIT_GET: status = trimtab_store_queue_submit_get_at(queue, first, &read, given->user_data); break;
    case TRIMTAB_GO_AWAIT_COUNT:
        status = trimtab_store_queue_submit_count_at(queue, given->range, first, last, &read, given->user_data);
        break;
    case TRIMTAB_GO_AWAIT_OUTCOME: {
        trimtab_store_call call = {
            .struct_size = sizeof call, .timeout_ms = given->how.timeout_ms, .number = given->number};
        memcpy(call.client, start, sizeof call.client);
        status = trimtab_store_queue_submit_outcome(queue, &call, given->user_data);
        break;
    }
    }
    submitted.result = trimtab_go_result_of(status);
    if (status == TRIMTAB_OK) submitted.done = trimtab_go_queue_take(queue, done, 1);
    __atomic_fetch_sub(calls, 1, __ATOMIC_RELEASE);
    return submitted;
}

#endif
