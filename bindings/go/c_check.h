// A check's functions, each in one crossing with the detail of a failure. Go has one goroutine at a time in here.

#ifndef TRIMTAB_GO_C_CHECK_H
#define TRIMTAB_GO_C_CHECK_H

#include "c.h"

typedef struct trimtab_go_check {
    trimtab_go_result result;
    trimtab_check *check;
} trimtab_go_check;

// `result.text` is where the probes connect.
static inline trimtab_go_check trimtab_go_check_new(const char *config, size_t config_length, const char *address,
                                                    size_t address_length, uint64_t now_ns) {
    trimtab_go_check made = {0};
    trimtab_status status = trimtab_check_new(trimtab_go_str(config, config_length),
                                              trimtab_go_str(address, address_length), now_ns, &made.check);
    made.result = trimtab_go_result_of(status);
    if (status != TRIMTAB_OK) return made;
    trimtab_check_target_copy(made.check, NULL, 0, &made.result.length);
    made.result.text = malloc(made.result.length + 1);
    if (made.result.text != NULL) trimtab_check_target_copy(made.check, made.result.text, made.result.length + 1, NULL);
    return made;
}

static inline void trimtab_go_check_free(trimtab_check *check) {
    trimtab_check_free(check);
}

// `result.text` is a copy of the data.
typedef struct trimtab_go_step {
    trimtab_go_result result;
    int32_t kind;
    uint64_t deadline_ns;
} trimtab_go_step;

static inline trimtab_go_step trimtab_go_take_step(trimtab_check *check, uint64_t now_ns) {
    trimtab_go_step taken = {0};
    trimtab_check_step step = {.struct_size = sizeof step};
    trimtab_status status = trimtab_check_take_step(check, now_ns, &step);
    taken.result = trimtab_go_result_of(status);
    if (status != TRIMTAB_OK) return taken;
    taken.kind = step.kind;
    taken.deadline_ns = step.deadline_ns;
    if (step.len == 0) return taken;
    taken.result.text = malloc(step.len);
    if (taken.result.text == NULL) return taken;
    memcpy(taken.result.text, step.data, step.len);
    taken.result.length = step.len;
    return taken;
}

enum {
    TRIMTAB_GO_CONNECTED,
    TRIMTAB_GO_WRITTEN,
    TRIMTAB_GO_BYTES,
    TRIMTAB_GO_END,
    TRIMTAB_GO_FAILED,
    TRIMTAB_GO_ABANDONED,
    TRIMTAB_GO_SUSPICION,
};

static inline trimtab_go_result trimtab_go_tell_check(trimtab_check *check, int what, const uint8_t *data,
                                                      size_t length, uint64_t now_ns) {
    trimtab_status status = TRIMTAB_E_INVALID_ARGUMENT;
    switch (what) {
    case TRIMTAB_GO_CONNECTED: status = trimtab_check_handle_connected(check, now_ns); break;
    case TRIMTAB_GO_WRITTEN: status = trimtab_check_handle_written(check, length); break;
    case TRIMTAB_GO_BYTES: status = trimtab_check_handle_bytes(check, trimtab_go_bytes(data, length), now_ns); break;
    case TRIMTAB_GO_END: status = trimtab_check_handle_end(check, now_ns); break;
    case TRIMTAB_GO_FAILED:
        status = trimtab_check_handle_failed(check, trimtab_go_str((const char *)data, length), now_ns);
        break;
    case TRIMTAB_GO_ABANDONED: status = trimtab_check_handle_abandoned(check, now_ns); break;
    case TRIMTAB_GO_SUSPICION: status = trimtab_check_handle_suspicion(check, now_ns); break;
    }
    return trimtab_go_result_of(status);
}

// `result.text` is the reason; the caller frees the failure as well.
typedef struct trimtab_go_standing {
    trimtab_go_result result;
    char *failure;
    size_t failure_length;
    trimtab_check_status status;
} trimtab_go_standing;

static inline trimtab_go_standing trimtab_go_check_status(const trimtab_check *check) {
    trimtab_go_standing standing = {.status = {.struct_size = sizeof standing.status}};
    trimtab_status status = trimtab_check_status_read(check, &standing.status);
    standing.result = trimtab_go_result_of(status);
    if (status != TRIMTAB_OK) return standing;
    trimtab_check_reason_copy(check, NULL, 0, &standing.result.length);
    trimtab_check_failure_copy(check, NULL, 0, &standing.failure_length);
    standing.result.text = malloc(standing.result.length + 1);
    standing.failure = malloc(standing.failure_length + 1);
    if (standing.result.text != NULL)
        trimtab_check_reason_copy(check, standing.result.text, standing.result.length + 1, NULL);
    if (standing.failure != NULL)
        trimtab_check_failure_copy(check, standing.failure, standing.failure_length + 1, NULL);
    return standing;
}

#endif
