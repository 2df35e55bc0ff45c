// What the wrappers of every handle share. Included by the files that import "C", so each of them has its own
// copy of what is static here, and counts threads for itself.

#ifndef TRIMTAB_GO_C_H
#define TRIMTAB_GO_C_H

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trimtab.h"

// The gate: who is inside a handle, so that Close frees it only when nobody is.
//
// Each thread counts on a cache line of its own, as long as there are no more than GATE_LANES threads. A
// call counts itself in, then looks whether the gate is shut; Close shuts it, then looks who is in. Both
// are sequentially consistent, so one of the two sees the other.

#define TRIMTAB_GO_GATE_LANES 64

typedef struct trimtab_go_gate_lane {
    uint32_t calls;
    char to_next_cache_line[60];
} trimtab_go_gate_lane;

typedef struct trimtab_go_gate {
    uint32_t is_shut;
    char to_next_cache_line[60];
    trimtab_go_gate_lane lanes[TRIMTAB_GO_GATE_LANES];
} trimtab_go_gate;

static uint32_t trimtab_go_threads;
static _Thread_local uint32_t trimtab_go_thread;

// Gives the count to leave by, or NULL when the gate is shut.
static inline uint32_t *trimtab_go_enter(trimtab_go_gate *gate) {
    if (trimtab_go_thread == 0) {
        trimtab_go_thread = __atomic_add_fetch(&trimtab_go_threads, 1, __ATOMIC_RELAXED);
    }
    uint32_t *calls = &gate->lanes[trimtab_go_thread % TRIMTAB_GO_GATE_LANES].calls;
    __atomic_fetch_add(calls, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&gate->is_shut, __ATOMIC_SEQ_CST)) {
        __atomic_fetch_sub(calls, 1, __ATOMIC_RELEASE);
        return NULL;
    }
    return calls;
}

static inline void trimtab_go_shut(trimtab_go_gate *gate) {
    __atomic_store_n(&gate->is_shut, 1, __ATOMIC_SEQ_CST);
}

// The first lane from `lane` on that somebody is in, of a gate that is shut. A lane once seen empty needs
// no second look: whoever counts in there later finds the gate shut and touches nothing.
static inline uint32_t trimtab_go_busy(trimtab_go_gate *gate, uint32_t lane) {
    while (lane < TRIMTAB_GO_GATE_LANES && __atomic_load_n(&gate->lanes[lane].calls, __ATOMIC_SEQ_CST) == 0) {
        lane++;
    }
    return lane;
}

// What a call came to. `text` is the detail of a failure, or the text asked for; the caller frees it.
typedef struct trimtab_go_result {
    trimtab_status status;
    char *text;
    size_t length;
} trimtab_go_result;

typedef struct trimtab_go_number {
    trimtab_go_result result;
    uint64_t number;
} trimtab_go_number;

typedef struct trimtab_go_pool {
    trimtab_go_result result;
    trimtab_pool *pool;
} trimtab_go_pool;

static __attribute__((noinline, cold, unused)) trimtab_go_result trimtab_go_failed(trimtab_status status) {
    trimtab_go_result result = {.status = status};
    size_t length = 0;
    trimtab_last_error_copy(NULL, 0, &length);
    char *text = malloc(length + 1);
    if (text != NULL && trimtab_last_error_copy(text, length + 1, NULL) == TRIMTAB_OK) {
        result.text = text;
        result.length = length;
    } else {
        free(text);
    }
    return result;
}

static inline trimtab_go_result trimtab_go_result_of(trimtab_status status) {
    if (__builtin_expect(status == TRIMTAB_OK, 1)) {
        return (trimtab_go_result){.status = TRIMTAB_OK};
    }
    return trimtab_go_failed(status);
}

static inline trimtab_go_result trimtab_go_leave(uint32_t *calls, trimtab_status status) {
    trimtab_go_result result = trimtab_go_result_of(status);
    __atomic_fetch_sub(calls, 1, __ATOMIC_RELEASE);
    return result;
}

// A failure's text for who cannot be passed a pointer that holds pointers: its address, as a number.
typedef struct trimtab_go_failure {
    uintptr_t text;
    size_t length;
} trimtab_go_failure;

static inline trimtab_status trimtab_go_leave_hot(uint32_t *calls, trimtab_status status, trimtab_go_failure *failed) {
    if (__builtin_expect(status != TRIMTAB_OK, 0)) {
        trimtab_go_result result = trimtab_go_failed(status);
        failed->text = (uintptr_t)result.text;
        failed->length = result.length;
    }
    __atomic_fetch_sub(calls, 1, __ATOMIC_RELEASE);
    return status;
}

// The gate was shut: no text, so that Go can tell it from a handle that saw a panic.
static inline trimtab_go_result trimtab_go_closed(void) {
    return (trimtab_go_result){.status = TRIMTAB_E_CLOSED};
}

static inline trimtab_str trimtab_go_str(const char *data, size_t length) {
    return (trimtab_str){.data = data, .len = length};
}

static inline trimtab_bytes trimtab_go_bytes(const uint8_t *data, size_t length) {
    return (trimtab_bytes){.data = data, .len = length};
}

// A text may grow between the call that measures it and the one that copies it: then once more, with room
// to spare. The bound is for a library that never comes to an end; the text is cut then.
#define TRIMTAB_GO_TRIES_MAX 8

// Copies a text as trimtab's functions do: what fits, and the length of all of it.
typedef trimtab_status (*trimtab_go_copy)(const void *context, char *buffer, size_t size, size_t *length);

static inline trimtab_go_result trimtab_go_leave_with_text(uint32_t *calls, trimtab_go_copy copy,
                                                           const void *context) {
    char *text = NULL;
    size_t size = 0, length = 0;
    trimtab_status status = TRIMTAB_OK;
    for (int tries = 0; tries < TRIMTAB_GO_TRIES_MAX; tries++) {
        status = copy(context, text, size, &length);
        if (status != TRIMTAB_OK || length < size) break;
        free(text);
        size = length + length / 4 + 256;
        text = malloc(size);
        if (text == NULL) size = 0;
    }
    trimtab_go_result result = trimtab_go_leave(calls, status);
    if (status != TRIMTAB_OK || text == NULL) {
        free(text);
        return result;
    }
    result.text = text;
    result.length = length < size ? length : size - 1;
    return result;
}

typedef struct trimtab_go_copied {
    trimtab_go_result result;
    int descriptor;
    // Why there is no copy, when trimtab gave one to copy; else 0.
    int error;
} trimtab_go_copied;

// A duplicate of the descriptor that trimtab gave to poll, if it did, for Go's poller to have and close.
static inline trimtab_go_copied trimtab_go_leave_with_copy(uint32_t *calls, trimtab_status status, int descriptor) {
    trimtab_go_copied copied = {.descriptor = -1};
    if (status == TRIMTAB_OK) {
        copied.descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
        // Go polls none that may block. Nobody reads this one, so it means nothing to anybody else.
        if (copied.descriptor < 0 || fcntl(copied.descriptor, F_SETFL, O_NONBLOCK) < 0) {
            copied.error = errno;
            if (copied.descriptor >= 0) close(copied.descriptor);
        }
    }
    copied.result = trimtab_go_leave(calls, status);
    return copied;
}

#endif
