// What opening a store found.

#ifndef TRIMTAB_GO_C_STORE_REPORT_H
#define TRIMTAB_GO_C_STORE_REPORT_H

#include "c.h"

typedef struct trimtab_go_report {
    trimtab_go_result result;
    trimtab_store_report report;
} trimtab_go_report;

static inline trimtab_go_report trimtab_go_store_report(trimtab_go_gate *gate, const trimtab_store *store) {
    trimtab_go_report found = {.report = {.struct_size = sizeof found.report}};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        found.result = trimtab_go_closed();
        return found;
    }
    found.result = trimtab_go_leave(calls, trimtab_store_report_read(store, &found.report));
    return found;
}

static inline trimtab_status trimtab_go_torn_file_copy(const void *store, char *buffer, size_t size, size_t *length) {
    return trimtab_store_torn_file_copy(store, buffer, size, length);
}

static inline trimtab_status trimtab_go_refused_copy(const void *store, char *buffer, size_t size, size_t *length) {
    return trimtab_store_settings_refused_copy(store, buffer, size, length);
}

static inline trimtab_status trimtab_go_covered_file_copy(const void *store, char *buffer, size_t size,
                                                          size_t *length) {
    return trimtab_store_covered_file_copy(store, buffer, size, length);
}

// What a text is about.
enum {
    TRIMTAB_GO_TORN_FILE,
    TRIMTAB_GO_COVERED_FILE,
    TRIMTAB_GO_REFUSED,
};

static inline trimtab_go_result trimtab_go_store_found_text(trimtab_go_gate *gate, const trimtab_store *store,
                                                            int which) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    return trimtab_go_leave_with_text(calls,
                                      which == TRIMTAB_GO_TORN_FILE      ? trimtab_go_torn_file_copy
                                      : which == TRIMTAB_GO_COVERED_FILE ? trimtab_go_covered_file_copy
                                                                         : trimtab_go_refused_copy,
                                      store);
}

#endif
