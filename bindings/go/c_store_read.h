// Reading a store: a key, how many, the keys of a range, and what changes.

#ifndef TRIMTAB_GO_C_STORE_READ_H
#define TRIMTAB_GO_C_STORE_READ_H

#include "c.h"

typedef struct trimtab_go_found {
    trimtab_status status;
    trimtab_go_failure failed;
    size_t length;
    uint64_t version;
} trimtab_go_found;

static inline void trimtab_go_store_get_copy(trimtab_go_gate *gate, const trimtab_store *store, const uint8_t *key,
                                             size_t key_length, uint8_t *buffer, size_t size,
                                             trimtab_go_found *found) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        found->status = TRIMTAB_E_CLOSED;
        return;
    }
    trimtab_status status = trimtab_store_get_copy(store, trimtab_go_bytes(key, key_length), buffer, size,
                                                   &found->length, &found->version);
    found->status = trimtab_go_leave_hot(calls, status, &found->failed);
}

typedef struct trimtab_go_got {
    trimtab_go_result result;
    trimtab_store_answer *answer;
    trimtab_store_entry entry;
} trimtab_go_got;

static inline trimtab_go_got trimtab_go_store_get(trimtab_go_gate *gate, const trimtab_store *store,
                                                  const uint8_t *key, size_t key_length) {
    trimtab_go_got got = {.entry = {.struct_size = sizeof got.entry}};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        got.result = trimtab_go_closed();
        return got;
    }
    trimtab_status status = trimtab_store_get(store, trimtab_go_bytes(key, key_length), &got.answer);
    if (status == TRIMTAB_OK) status = trimtab_store_answer_entry(got.answer, 0, &got.entry);
    got.result = trimtab_go_leave(calls, status);
    return got;
}

static inline void trimtab_go_got_free(trimtab_store_answer *answer) {
    trimtab_store_answer_free(answer);
}

typedef struct trimtab_go_request {
    trimtab_go_result result;
    int32_t state;
    trimtab_store_answer *answer;
    trimtab_store_result read;
} trimtab_go_request;

static inline trimtab_go_request trimtab_go_store_outcome(trimtab_go_gate *gate, const trimtab_store *store,
                                                          const uint8_t *client, uint64_t number, int64_t timeout_ms) {
    trimtab_go_request told = {.read = {.struct_size = sizeof told.read}};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        told.result = trimtab_go_closed();
        return told;
    }
    trimtab_store_call call = {.struct_size = sizeof call, .timeout_ms = timeout_ms, .number = number};
    memcpy(call.client, client, sizeof call.client);
    trimtab_status status = trimtab_store_outcome(store, &call, &told.state, &told.answer);
    if (status == TRIMTAB_OK && told.answer != NULL) status = trimtab_store_answer_read(told.answer, &told.read);
    told.result = trimtab_go_leave(calls, status);
    return told;
}

static inline trimtab_go_number trimtab_go_store_count(trimtab_go_gate *gate, const trimtab_store *store,
                                                       int32_t range, const uint8_t *start, size_t start_length,
                                                       const uint8_t *end, size_t end_length) {
    trimtab_go_number count = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        count.result = trimtab_go_closed();
        return count;
    }
    count.result =
        trimtab_go_leave(calls, trimtab_store_count(store, range, trimtab_go_bytes(start, start_length),
                                                    trimtab_go_bytes(end, end_length), &count.number));
    return count;
}

// How many keys or changes one crossing brings, and about how many bytes of them.
#define TRIMTAB_GO_BATCH 64
#define TRIMTAB_GO_BATCH_BYTES 65536

typedef struct trimtab_go_item {
    // Where its key begins; the value is behind it.
    size_t at, key_length, value_length;
    uint64_t version, created, changes, deadline_ms, lease;
    int32_t kind, has_value, more;
} trimtab_go_item;

// What a crossing brings, in C's memory: kept from one to the next, and for one goroutine at a time.
typedef struct trimtab_go_batch {
    uint8_t *bytes;
    size_t length, size;
    size_t count;
    // Where the watch stood before the first of them.
    uint64_t sequence;
    trimtab_go_item items[TRIMTAB_GO_BATCH];
} trimtab_go_batch;

static inline trimtab_go_batch *trimtab_go_batch_new(void) {
    return calloc(1, sizeof(trimtab_go_batch));
}

static inline void trimtab_go_batch_free(trimtab_go_batch *batch) {
    if (batch != NULL) free(batch->bytes);
    free(batch);
}

// Copies key and value into it; false when there is no memory.
static inline int trimtab_go_batch_add(trimtab_go_batch *batch, trimtab_go_item item, const void *key,
                                       const void *value) {
    size_t wanted = batch->length + item.key_length + item.value_length;
    if (wanted > batch->size) {
        size_t size = wanted + TRIMTAB_GO_BATCH_BYTES;
        uint8_t *bytes = realloc(batch->bytes, size);
        if (bytes == NULL) return 0;
        batch->bytes = bytes;
        batch->size = size;
    }
    item.at = batch->length;
    if (item.key_length != 0) memcpy(batch->bytes + batch->length, key, item.key_length);
    batch->length += item.key_length;
    if (item.value_length != 0) memcpy(batch->bytes + batch->length, value, item.value_length);
    batch->length += item.value_length;
    batch->items[batch->count++] = item;
    return 1;
}

static inline int trimtab_go_batch_has_room(const trimtab_go_batch *batch) {
    return batch->count < TRIMTAB_GO_BATCH && batch->length < TRIMTAB_GO_BATCH_BYTES;
}

// What one long value needed is given back before the next batch.
static inline void trimtab_go_batch_empty(trimtab_go_batch *batch) {
    batch->count = 0;
    batch->length = 0;
    if (batch->size > 4 * TRIMTAB_GO_BATCH_BYTES) {
        free(batch->bytes);
        batch->bytes = NULL;
        batch->size = 0;
    }
}

typedef struct trimtab_go_scan {
    trimtab_go_result result;
    trimtab_store_scan *scan;
    uint64_t sequence;
} trimtab_go_scan;

static inline trimtab_go_scan trimtab_go_store_scan(trimtab_go_gate *gate, const trimtab_store *store, int32_t range,
                                                    const uint8_t *start, size_t start_length, const uint8_t *end,
                                                    size_t end_length, uint64_t limit, int32_t reverse) {
    trimtab_go_scan scan = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        scan.result = trimtab_go_closed();
        return scan;
    }
    trimtab_status status =
        trimtab_store_scan_new(store, range, trimtab_go_bytes(start, start_length), trimtab_go_bytes(end, end_length),
                               limit, reverse, &scan.scan);
    if (status == TRIMTAB_OK) status = trimtab_store_scan_sequence(scan.scan, &scan.sequence);
    scan.result = trimtab_go_leave(calls, status);
    return scan;
}

// The next keys; none behind the last.
static inline trimtab_go_result trimtab_go_scan_next(trimtab_store_scan *scan, trimtab_go_batch *batch) {
    trimtab_go_batch_empty(batch);
    while (trimtab_go_batch_has_room(batch)) {
        trimtab_store_entry entry = {.struct_size = sizeof entry};
        int32_t has = 0;
        trimtab_status status = trimtab_store_scan_next(scan, &entry, &has);
        if (status != TRIMTAB_OK) {
            // What came before is told first; it will fail again.
            return batch->count != 0 ? trimtab_go_result_of(TRIMTAB_OK) : trimtab_go_failed(status);
        }
        if (!has) break;
        trimtab_go_item item = {
            .key_length = entry.key_len,
            .value_length = entry.value_len,
            .version = entry.version,
            .created = entry.created,
            .changes = entry.changes,
            .deadline_ms = entry.deadline_ms,
            .lease = entry.lease,
            .has_value = 1,
        };
        if (!trimtab_go_batch_add(batch, item, entry.key, entry.value))
            return (trimtab_go_result){.status = TRIMTAB_E_IO};
    }
    return trimtab_go_result_of(TRIMTAB_OK);
}

static inline void trimtab_go_scan_free(trimtab_store_scan *scan) {
    trimtab_store_scan_free(scan);
}

typedef struct trimtab_go_watch {
    trimtab_go_result result;
    trimtab_store_watch *watch;
    int32_t descriptor;
} trimtab_go_watch;

static inline trimtab_go_watch trimtab_go_store_watch(trimtab_go_gate *gate, const trimtab_store *store,
                                                      int32_t range, const uint8_t *start, size_t start_length,
                                                      const uint8_t *end, size_t end_length, uint64_t from) {
    trimtab_go_watch watch = {.descriptor = -1};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        watch.result = trimtab_go_closed();
        return watch;
    }
    trimtab_status status =
        trimtab_store_watch_new(store, range, trimtab_go_bytes(start, start_length), trimtab_go_bytes(end, end_length),
                                from, &watch.watch);
    if (status == TRIMTAB_OK) status = trimtab_store_watch_poll_fd(watch.watch, &watch.descriptor);
    watch.result = trimtab_go_leave(calls, status);
    return watch;
}

// The next changes, without waiting; none when there are none yet, and then the descriptor tells.
static inline trimtab_go_result trimtab_go_watch_next(trimtab_store_watch *watch, trimtab_go_batch *batch) {
    trimtab_go_batch_empty(batch);
    trimtab_status status = trimtab_store_watch_sequence(watch, &batch->sequence);
    if (status != TRIMTAB_OK) return trimtab_go_failed(status);
    while (trimtab_go_batch_has_room(batch)) {
        trimtab_store_change change = {.struct_size = sizeof change};
        status = trimtab_store_watch_next(watch, 0, &change);
        if (status == TRIMTAB_E_TIMED_OUT) break;
        if (status != TRIMTAB_OK)
            return batch->count != 0 ? trimtab_go_result_of(TRIMTAB_OK) : trimtab_go_failed(status);
        trimtab_go_item item = {
            .key_length = change.key_len,
            .value_length = change.value_len,
            .version = change.sequence,
            .created = change.created,
            .kind = change.kind,
            .has_value = change.value != NULL,
            .more = change.more,
        };
        if (!trimtab_go_batch_add(batch, item, change.key, change.value))
            return (trimtab_go_result){.status = TRIMTAB_E_IO};
        // It stays there, and would say so again.
        if (change.kind == TRIMTAB_CHANGE_COMPACTED) break;
    }
    return trimtab_go_result_of(TRIMTAB_OK);
}

static inline trimtab_go_number trimtab_go_watch_sequence(const trimtab_store_watch *watch) {
    trimtab_go_number sequence = {0};
    sequence.result = trimtab_go_result_of(trimtab_store_watch_sequence(watch, &sequence.number));
    return sequence;
}

static inline void trimtab_go_watch_free(trimtab_store_watch *watch) {
    trimtab_store_watch_free(watch);
}

#endif
