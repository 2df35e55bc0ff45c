// What is submitted to a store, and what comes of it.
//
// What goes to C holds no pointers of Go's but those that are arguments themselves: of one operation key and value,
// of several one area of bytes with all of them, one after another.

#ifndef TRIMTAB_GO_C_STORE_QUEUE_H
#define TRIMTAB_GO_C_STORE_QUEUE_H

#include "c.h"

typedef struct trimtab_go_operation {
    int32_t kind, range, condition, lifetime, previous, reverse;
    uint64_t key_length, value_length;
    uint64_t version, deadline_ms, ttl_ms, lease, limit, user_data;
    int64_t by;
} trimtab_go_operation;

typedef struct trimtab_go_call {
    int32_t durability;
    uint32_t nodes;
    uint64_t number;
    uint8_t client[16];
} trimtab_go_call;

// Set in the user data of what has steps: its answer is handed over whatever it has.
#define TRIMTAB_GO_KEEP (1ull << 63)

// What came of something submitted. With an answer whoever takes it ends that; with a text too.
typedef struct trimtab_go_outcome {
    uint64_t user_data;
    trimtab_store_answer *answer;
    trimtab_go_result failed;
    trimtab_store_result result;
} trimtab_go_outcome;

static inline trimtab_store_operation trimtab_go_operation_of(const trimtab_go_operation *given, const void *key,
                                                              const void *value) {
    return (trimtab_store_operation){
        .struct_size = sizeof(trimtab_store_operation),
        .kind = given->kind,
        .key = key,
        .key_len = given->key_length,
        .value = value,
        .value_len = given->value_length,
        .range = given->range,
        .condition = given->condition,
        .version = given->version,
        .lifetime = given->lifetime,
        .previous = given->previous,
        .deadline_ms = given->deadline_ms,
        .ttl_ms = given->ttl_ms,
        .lease = given->lease,
        .by = given->by,
        .limit = given->limit,
        .reverse = given->reverse,
        .user_data = given->user_data,
    };
}

static inline trimtab_store_call trimtab_go_call_of(const trimtab_go_call *given) {
    trimtab_store_call call = {
        .struct_size = sizeof call,
        .durability = given->durability,
        .nodes = given->nodes,
        .number = given->number,
    };
    memcpy(call.client, given->client, sizeof call.client);
    return call;
}

// Takes what is done, at most `room`; does not wait.
static inline size_t trimtab_go_queue_take(const trimtab_store_queue *queue, trimtab_go_outcome *done, size_t room) {
    size_t count = 0;
    while (count < room) {
        trimtab_go_outcome *next = &done[count];
        memset(next, 0, sizeof *next);
        trimtab_store_answer *answer = NULL;
        if (trimtab_store_queue_next(queue, 0, &next->user_data, &answer) != TRIMTAB_OK) break;
        next->result.struct_size = sizeof next->result;
        next->failed = trimtab_go_result_of(trimtab_store_answer_read(answer, &next->result));
        int is_wanted = next->failed.status == TRIMTAB_OK &&
                        (next->result.entries != 0 || (next->user_data & TRIMTAB_GO_KEEP) != 0);
        if (is_wanted) {
            next->answer = answer;
        } else {
            trimtab_store_answer_free(answer);
        }
        count++;
    }
    return count;
}

typedef struct trimtab_go_submitted {
    trimtab_go_result result;
    // Of what was given, and of what is done.
    size_t taken, done;
} trimtab_go_submitted;

// Submits one. With `room` takes what is done already, at most so many.
static inline trimtab_go_submitted trimtab_go_queue_submit(trimtab_go_gate *gate, const trimtab_store_queue *queue,
                                                           const uint8_t *key, const uint8_t *value,
                                                           const trimtab_go_operation *given,
                                                           const trimtab_go_call *how, trimtab_go_outcome *done,
                                                           size_t room) {
    trimtab_go_submitted submitted = {0};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        submitted.result = trimtab_go_closed();
        return submitted;
    }
    trimtab_store_operation operation = trimtab_go_operation_of(given, key, value);
    const trimtab_store_operation *operations[] = {&operation};
    trimtab_store_call call = trimtab_go_call_of(how);
    trimtab_status status = trimtab_store_queue_submit(queue, operations, 1, &call, &submitted.taken);
    submitted.result = trimtab_go_result_of(status);
    if (status == TRIMTAB_OK && room != 0) submitted.done = trimtab_go_queue_take(queue, done, room);
    __atomic_fetch_sub(calls, 1, __ATOMIC_RELEASE);
    return submitted;
}

// Operations whose keys and values stand one after another in `area`, in C's form; NULL when there is no memory.
static inline trimtab_store_operation *trimtab_go_operations_of(const uint8_t *area,
                                                                const trimtab_go_operation *given, size_t count) {
    trimtab_store_operation *operations = malloc((count + 1) * sizeof *operations);
    if (operations == NULL) return NULL;
    for (size_t at = 0; at < count; at++) {
        const uint8_t *value = area + given[at].key_length;
        operations[at] = trimtab_go_operation_of(&given[at], area, value);
        area = value + given[at].value_length;
    }
    return operations;
}

static inline trimtab_go_result trimtab_go_no_memory(void) {
    return (trimtab_go_result){.status = TRIMTAB_E_IO};
}

static inline trimtab_go_submitted trimtab_go_queue_submit_all(trimtab_go_gate *gate,
                                                               const trimtab_store_queue *queue, const uint8_t *area,
                                                               const trimtab_go_operation *given, size_t count,
                                                               const trimtab_go_call *how) {
    trimtab_go_submitted submitted = {0};
    trimtab_store_operation *operations = trimtab_go_operations_of(area, given, count);
    const trimtab_store_operation **pointers = malloc((count + 1) * sizeof *pointers);
    uint32_t *calls = NULL;
    if (operations == NULL || pointers == NULL) {
        submitted.result = trimtab_go_no_memory();
    } else if ((calls = trimtab_go_enter(gate)) == NULL) {
        submitted.result = trimtab_go_closed();
    } else {
        for (size_t at = 0; at < count; at++) pointers[at] = &operations[at];
        trimtab_store_call call = trimtab_go_call_of(how);
        trimtab_status status = trimtab_store_queue_submit(queue, pointers, count, &call, &submitted.taken);
        submitted.result = trimtab_go_leave(calls, status);
    }
    free(pointers);
    free(operations);
    return submitted;
}

static inline trimtab_go_result trimtab_go_queue_submit_durable(trimtab_go_gate *gate, const trimtab_store_queue *queue,
                                                                uint64_t sequence, uint64_t user_data) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    return trimtab_go_leave(calls, trimtab_store_queue_submit_durable(queue, sequence, user_data));
}

// Takes back what only waits; tells how many there were.
static inline size_t trimtab_go_queue_cancel(const trimtab_store_queue *queue, uint64_t user_data) {
    size_t count = 0;
    trimtab_store_queue_cancel(queue, user_data, &count);
    return count;
}

// Answers. They belong to no store, and outlive it.

static inline void trimtab_go_answer_free(trimtab_store_answer *answer) {
    trimtab_store_answer_free(answer);
}

// Entries from the first on; `step` is below 0 for those of the answer itself.
static inline size_t trimtab_go_answer_entries(const trimtab_store_answer *answer, int64_t step, uint64_t from,
                                               trimtab_store_entry *entries, size_t room) {
    for (size_t at = 0; at < room; at++) {
        entries[at].struct_size = sizeof entries[at];
        trimtab_status status =
            step < 0 ? trimtab_store_answer_entry(answer, from + at, &entries[at])
                     : trimtab_store_answer_step_entry(answer, (uint64_t)step, from + at, &entries[at]);
        if (status != TRIMTAB_OK) return at;
    }
    return room;
}

// What came of one step.
static inline void trimtab_go_answer_step(const trimtab_store_answer *answer, uint64_t step, trimtab_go_outcome *done) {
    memset(done, 0, sizeof *done);
    done->result.struct_size = sizeof done->result;
    done->failed = trimtab_go_result_of(trimtab_store_answer_step_read(answer, step, &done->result));
}

#endif
