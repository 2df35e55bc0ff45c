// Backups of a store, and what was found damaged.

#ifndef TRIMTAB_GO_C_STORE_BACKUP_H
#define TRIMTAB_GO_C_STORE_BACKUP_H

#include "c.h"

typedef struct trimtab_go_backup {
    trimtab_go_result result;
    trimtab_store_backup_report report;
} trimtab_go_backup;

static inline trimtab_go_backup trimtab_go_store_backup(trimtab_go_gate *gate, const trimtab_store *store,
                                                        const char *to, size_t to_length, int32_t is_full) {
    trimtab_go_backup backup = {.report = {.struct_size = sizeof backup.report}};
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) {
        backup.result = trimtab_go_closed();
        return backup;
    }
    trimtab_status status = trimtab_store_backup(store, trimtab_go_str(to, to_length), is_full, &backup.report);
    backup.result = trimtab_go_leave(calls, status);
    return backup;
}

static inline trimtab_go_backup trimtab_go_backup_closed(const char *from, size_t from_length, const char *to,
                                                         size_t to_length, int32_t is_full) {
    trimtab_go_backup backup = {.report = {.struct_size = sizeof backup.report}};
    backup.result = trimtab_go_result_of(trimtab_store_backup_closed(
        trimtab_go_str(from, from_length), trimtab_go_str(to, to_length), is_full, &backup.report));
    return backup;
}

static inline trimtab_go_backup trimtab_go_backup_verify(const char *path, size_t path_length) {
    trimtab_go_backup backup = {.report = {.struct_size = sizeof backup.report}};
    backup.result =
        trimtab_go_result_of(trimtab_store_backup_verify(trimtab_go_str(path, path_length), &backup.report));
    return backup;
}

typedef struct trimtab_go_restored {
    trimtab_go_result result;
    trimtab_store_restored restored;
} trimtab_go_restored;

static inline trimtab_go_restored trimtab_go_restore(const char *from, size_t from_length, const char *to,
                                                     size_t to_length, int32_t point, uint64_t at,
                                                     int32_t same_identity) {
    trimtab_go_restored made = {.restored = {.struct_size = sizeof made.restored}};
    trimtab_store_restore_options options = {
        .struct_size = sizeof options, .point = point, .at = at, .same_identity = same_identity};
    made.result = trimtab_go_result_of(trimtab_store_restore(
        trimtab_go_str(from, from_length), trimtab_go_str(to, to_length), &options, &made.restored));
    return made;
}

static inline trimtab_status trimtab_go_damage_copy(const void *store, char *buffer, size_t size, size_t *length) {
    return trimtab_store_damage_copy(store, buffer, size, length);
}

// The words for what was found damaged last.
static inline trimtab_go_result trimtab_go_store_damage(trimtab_go_gate *gate, const trimtab_store *store) {
    uint32_t *calls = trimtab_go_enter(gate);
    if (calls == NULL) return trimtab_go_closed();
    return trimtab_go_leave_with_text(calls, trimtab_go_damage_copy, store);
}

#endif
