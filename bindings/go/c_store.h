// A store: opening and closing, how it is, and what waits by itself.

#ifndef TRIMTAB_GO_C_STORE_H
#define TRIMTAB_GO_C_STORE_H

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "c.h"

// The options, 0 where the default is meant.
typedef struct trimtab_go_store_given {
    uint8_t has_identity, has_history_bytes_max, has_scrub_interval, is_hosted;
    uint8_t cluster[16];
    uint64_t node;
    int32_t durability, eviction;
    uint64_t timeout_ms, flush_interval_ms, flush_bytes, snapshot_bytes, snapshot_retry_ms, memory_max, value_max,
        operations_max, clients_max, client_bytes_max, segment_bytes, pending_bytes_max, disk_bytes_max,
        kept_bytes, disk_retry_ms, history_bytes_max, scrub_interval_ms, scrub_bytes_per_second;
    size_t waiting_max, eviction_places;
} trimtab_go_store_given;

typedef struct trimtab_go_store {
    trimtab_go_result result;
    trimtab_store *store;
    trimtab_store_queue *queue;
    // The queue's.
    int32_t descriptor;
} trimtab_go_store;

static inline trimtab_status trimtab_go_store_set(trimtab_store_options *options, const trimtab_go_store_given *given) {
    trimtab_status status = TRIMTAB_OK;
// Sets what is not 0.
#define TRIMTAB_GO_SET(set, value) \
    if (status == TRIMTAB_OK && (value) != 0) status = set(options, value)
    if (given->has_identity)
        status = trimtab_store_options_set_identity(
            options, trimtab_go_bytes(given->cluster, sizeof given->cluster), given->node);
    TRIMTAB_GO_SET(trimtab_store_options_set_durability, given->durability);
    TRIMTAB_GO_SET(trimtab_store_options_set_timeout_ms, given->timeout_ms);
    TRIMTAB_GO_SET(trimtab_store_options_set_waiting_max, given->waiting_max);
    TRIMTAB_GO_SET(trimtab_store_options_set_flush_interval_ms, given->flush_interval_ms);
    TRIMTAB_GO_SET(trimtab_store_options_set_flush_bytes, given->flush_bytes);
    TRIMTAB_GO_SET(trimtab_store_options_set_snapshot_bytes, given->snapshot_bytes);
    TRIMTAB_GO_SET(trimtab_store_options_set_snapshot_retry_ms, given->snapshot_retry_ms);
    TRIMTAB_GO_SET(trimtab_store_options_set_eviction, given->eviction);
    TRIMTAB_GO_SET(trimtab_store_options_set_eviction_places, given->eviction_places);
    TRIMTAB_GO_SET(trimtab_store_options_set_memory_max, given->memory_max);
    TRIMTAB_GO_SET(trimtab_store_options_set_operations_max, given->operations_max);
    TRIMTAB_GO_SET(trimtab_store_options_set_clients_max, given->clients_max);
    TRIMTAB_GO_SET(trimtab_store_options_set_client_bytes_max, given->client_bytes_max);
    // Before those that are checked against it.
    TRIMTAB_GO_SET(trimtab_store_options_set_segment_bytes, given->segment_bytes);
    TRIMTAB_GO_SET(trimtab_store_options_set_value_max, given->value_max);
    TRIMTAB_GO_SET(trimtab_store_options_set_disk_bytes_max, given->disk_bytes_max);
    TRIMTAB_GO_SET(trimtab_store_options_set_kept_bytes, given->kept_bytes);
    TRIMTAB_GO_SET(trimtab_store_options_set_pending_bytes_max, given->pending_bytes_max);
    TRIMTAB_GO_SET(trimtab_store_options_set_disk_retry_ms, given->disk_retry_ms);
    TRIMTAB_GO_SET(trimtab_store_options_set_scrub_bytes_per_second, given->scrub_bytes_per_second);
#undef TRIMTAB_GO_SET
    if (status == TRIMTAB_OK && given->is_hosted) status = trimtab_store_options_set_hosted(options, 1);
    if (status == TRIMTAB_OK && given->has_history_bytes_max)
        status = trimtab_store_options_set_history_bytes_max(options, given->history_bytes_max);
    if (status == TRIMTAB_OK && given->has_scrub_interval)
        status = trimtab_store_options_set_scrub_interval_ms(options, given->scrub_interval_ms);
    return status;
}

// Makes the queue of a store, if that was had; gives nothing when either fails.
static inline trimtab_status trimtab_go_store_begin(trimtab_go_store *opened, trimtab_status status, size_t queue_max) {
    if (status == TRIMTAB_OK) status = trimtab_store_queue_new(opened->store, queue_max, &opened->queue);
    if (status == TRIMTAB_OK) status = trimtab_store_queue_poll_fd(opened->queue, &opened->descriptor);
    opened->result = trimtab_go_result_of(status);
    if (status != TRIMTAB_OK) {
        trimtab_store_queue_free(opened->queue);
        trimtab_store_free(opened->store);
        opened->queue = NULL;
        opened->store = NULL;
    }
    return status;
}

static inline trimtab_go_store trimtab_go_store_open(const char *path, size_t path_length,
                                                     const trimtab_go_store_given *given, size_t queue_max) {
    trimtab_go_store opened = {.descriptor = -1};
    trimtab_store_options *options = NULL;
    trimtab_status status = trimtab_store_options_new(&options);
    if (status == TRIMTAB_OK) status = trimtab_go_store_set(options, given);
    if (status == TRIMTAB_OK) status = trimtab_store_open(trimtab_go_str(path, path_length), options, &opened.store);
    trimtab_go_store_begin(&opened, status, queue_max);
    trimtab_store_options_free(options);
    return opened;
}

// A server's own, through the server's gate.
static inline trimtab_go_store trimtab_go_server_store(trimtab_go_gate *gate, const trimtab_server *server,
                                                       size_t queue_max) {
    trimtab_go_store opened = {.descriptor = -1};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        opened.result = trimtab_go_closed();
        return opened;
    }
    trimtab_go_store_begin(&opened, trimtab_server_store(server, &opened.store), queue_max);
    __atomic_fetch_sub(calls, 1, __ATOMIC_RELEASE);
    return opened;
}

// Not through the gate: those who wait inside are answered by this.
static inline trimtab_go_result trimtab_go_store_close(const trimtab_store *store) {
    return trimtab_go_result_of(trimtab_store_close(store));
}

static inline void trimtab_go_store_free(trimtab_store *store, trimtab_store_queue *queue) {
    trimtab_store_queue_free(queue);
    trimtab_store_free(store);
}

// What waits in C, for as long as it takes or until the store is closed. Go has one thread at a time do so.
enum {
    TRIMTAB_GO_STORE_SYNC,
    TRIMTAB_GO_STORE_SNAPSHOT,
    TRIMTAB_GO_STORE_SCRUB,
};

static inline trimtab_go_number trimtab_go_store_wait(trimtab_go_gate *gate, const trimtab_store *store, int what) {
    trimtab_go_number waited = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        waited.result = trimtab_go_closed();
        return waited;
    }
    trimtab_status status = TRIMTAB_E_INVALID_ARGUMENT;
    switch (what) {
    case TRIMTAB_GO_STORE_SYNC: status = trimtab_store_sync(store, -1, &waited.number); break;
    case TRIMTAB_GO_STORE_SNAPSHOT: status = trimtab_store_snapshot(store, -1, &waited.number); break;
    case TRIMTAB_GO_STORE_SCRUB: status = trimtab_store_scrub(store, -1); break;
    }
    waited.result = trimtab_go_leave(calls, status);
    return waited;
}

// Questions to a hosted store that a number answers.
enum {
    TRIMTAB_GO_STORE_TURN,
    TRIMTAB_GO_STORE_POLL_FD,
    TRIMTAB_GO_STORE_NEXT_DEADLINE,
};

static inline trimtab_go_number trimtab_go_store_ask(trimtab_go_gate *gate, const trimtab_store *store, int what) {
    trimtab_go_number answer = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        answer.result = trimtab_go_closed();
        return answer;
    }
    trimtab_status status = TRIMTAB_E_INVALID_ARGUMENT;
    int32_t descriptor = 0;
    size_t count = 0;
    switch (what) {
    case TRIMTAB_GO_STORE_TURN:
        status = trimtab_store_turn(store, 0, &count);
        answer.number = count;
        break;
    case TRIMTAB_GO_STORE_POLL_FD:
        status = trimtab_store_poll_fd(store, &descriptor);
        answer.number = (uint64_t)descriptor;
        break;
    case TRIMTAB_GO_STORE_NEXT_DEADLINE: status = trimtab_store_next_deadline(store, &answer.number); break;
    }
    answer.result = trimtab_go_leave(calls, status);
    return answer;
}

static inline trimtab_go_copied trimtab_go_store_poll_copy(trimtab_go_gate *gate, const trimtab_store *store) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return (trimtab_go_copied){.result = trimtab_go_closed(), .descriptor = -1};
    int32_t descriptor = -1;
    trimtab_status status = trimtab_store_poll_fd(store, &descriptor);
    return trimtab_go_leave_with_copy(calls, status, descriptor);
}

typedef struct trimtab_go_store_how {
    trimtab_go_result result;
    trimtab_store_status status;
} trimtab_go_store_how;

static inline trimtab_go_store_how trimtab_go_store_status(trimtab_go_gate *gate, const trimtab_store *store) {
    trimtab_go_store_how how = {.status = {.struct_size = sizeof how.status}};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        how.result = trimtab_go_closed();
        return how;
    }
    how.result = trimtab_go_leave(calls, trimtab_store_status_read(store, &how.status));
    return how;
}

typedef struct trimtab_go_lease {
    trimtab_go_result result;
    uint64_t ttl_ms, deadline_ms;
} trimtab_go_lease;

static inline trimtab_go_lease trimtab_go_store_lease(trimtab_go_gate *gate, const trimtab_store *store,
                                                      uint64_t number) {
    trimtab_go_lease lease = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        lease.result = trimtab_go_closed();
        return lease;
    }
    lease.result =
        trimtab_go_leave(calls, trimtab_store_lease_read(store, number, &lease.ttl_ms, &lease.deadline_ms));
    return lease;
}

// Copies a descriptor that is the library's, for Go's poller to have and close; below 0 it is the error.
static inline int trimtab_go_poll_copy(int descriptor) {
    int copied = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    return copied < 0 ? -errno : copied;
}

// The bell: an epoll of the queue's descriptor alone, for Go's poller. While nobody waits it is not armed, so that what is
// answered at once wakes no thread. It rings once for each time it is armed, also for what was there before.

static inline int trimtab_go_bell_new(int descriptor) {
    int bell = epoll_create1(EPOLL_CLOEXEC);
    if (bell < 0) return -errno;
    struct epoll_event nothing = {.events = EPOLLONESHOT};
    // Go polls none that may block.
    if (epoll_ctl(bell, EPOLL_CTL_ADD, descriptor, &nothing) < 0 || fcntl(bell, F_SETFL, O_NONBLOCK) < 0) {
        int error = errno;
        close(bell);
        return -error;
    }
    return bell;
}

static inline void trimtab_go_bell_arm(int bell, int descriptor) {
    struct epoll_event readable = {.events = EPOLLIN | EPOLLONESHOT};
    // It fails for none that was added.
    epoll_ctl(bell, EPOLL_CTL_MOD, descriptor, &readable);
}

// Whether it has rung; it is not armed any more then.
static inline int trimtab_go_bell_rang(int bell) {
    struct epoll_event rang;
    return epoll_wait(bell, &rang, 1, 0) > 0;
}

#endif
