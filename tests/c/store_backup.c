/*
 * Backups from C: taken while the store is open and of a closed directory, verified, restored to a sequence and a time,
 * and what is refused; reading again what lies on disk, and what is said of a bit that has rotted.
 */
#include "store.h"

static char paths[4][160];

static const char *at(unsigned which, const char *name)
{
    snprintf(paths[which], sizeof paths[which], "%s/%s", folder, name);
    return paths[which];
}

static trimtab_store_backup_report new_report(void)
{
    trimtab_store_backup_report report;
    memset(&report, 0, sizeof report);
    report.struct_size = sizeof report;
    return report;
}

static trimtab_store_restore_options to(int32_t point, uint64_t value)
{
    trimtab_store_restore_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.point = point;
    options.at = value;
    return options;
}

static trimtab_store_restored new_restored(void)
{
    trimtab_store_restored restored;
    memset(&restored, 0, sizeof restored);
    restored.struct_size = sizeof restored;
    return restored;
}

static trimtab_store_status status_of(const trimtab_store *store)
{
    trimtab_store_status status;
    memset(&status, 0, sizeof status);
    status.struct_size = sizeof status;
    OK(trimtab_store_status_read(store, &status));
    return status;
}

static void backups(void)
{
    trimtab_store *store = open_store("data");
    trimtab_store_backup_report report = new_report();
    trimtab_store_restored restored = new_restored();
    const char *backup = at(0, "backup");
    /* The first entry of a new store has its settings. */
    OK(trimtab_store_put(store, BYTES("a"), BYTES("1"), NULL, NULL));
    OK(trimtab_store_put(store, BYTES("a"), BYTES("2"), NULL, NULL));
    OK(trimtab_store_backup(store, STR(backup), 0, &report));
    CHECK(report.last_sequence == 3 && report.entries == 3 && report.snapshot == 0 && report.bytes > 0);
    CHECK(report.stretches == 1 && report.first_sequence == 1 && report.total_bytes == report.bytes);
    CHECK(report.first_ms > 0 && report.last_ms >= report.first_ms);
    OK(trimtab_store_put(store, BYTES("a"), BYTES("3"), NULL, NULL));
    OK(trimtab_store_backup(store, STR(backup), 1, &report));
    CHECK(report.last_sequence == 4 && report.entries == 1 && report.snapshot == 4 && report.stretches == 1);
    OK(trimtab_store_backup(store, STR(backup), 0, NULL));
    EXPECT(TRIMTAB_E_STATE, trimtab_store_backup_closed(STR(at(1, "data")), STR(backup), 0, NULL));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_backup(store, STR(backup), 2, NULL));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_backup(store, STR(folder), 0, NULL));
    CHECK(strstr(last_error(), "take an empty one") != NULL);
    OK(trimtab_store_put(store, BYTES("a"), BYTES("4"), NULL, NULL));
    trimtab_store_free(store);
    OK(trimtab_store_backup_closed(STR(at(1, "data")), STR(backup), 0, &report));
    CHECK(report.last_sequence == 5 && report.entries == 1);

    report = new_report();
    OK(trimtab_store_backup_verify(STR(backup), &report));
    CHECK(report.last_sequence == 5 && report.entries == 0 && report.bytes == 0 && report.total_bytes > 0);
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_store_backup_verify(STR(at(1, "data")), NULL));

    trimtab_store_restore_options options = to(TRIMTAB_RESTORE_SEQUENCE, 3);
    OK(trimtab_store_restore(STR(backup), STR(at(2, "two")), &options, &restored));
    CHECK(restored.sequence == 3 && restored.entries == 3 && restored.snapshot == 0 && restored.node == 1);
    CHECK(restored.clock_ms >= report.first_ms && restored.reserved == 0);
    store = open_store("two");
    CHECK(has(store, "a", "2"));
    /* It is a store of its own. */
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_backup(store, STR(backup), 0, NULL));
    trimtab_store_free(store);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_restore(STR(backup), STR(at(2, "two")), NULL, NULL));

    OK(trimtab_store_restore(STR(backup), STR(at(2, "end")), NULL, NULL));
    store = open_store("end");
    CHECK(has(store, "a", "4"));
    trimtab_store_free(store);
    options = to(TRIMTAB_RESTORE_TIME, report.last_ms);
    options.same_identity = 1;
    OK(trimtab_store_restore(STR(backup), STR(at(2, "same")), &options, &restored));
    store = open_store("same");
    CHECK(has(store, "a", "4"));
    OK(trimtab_store_backup(store, STR(backup), 0, NULL));
    trimtab_store_free(store);

    options = to(TRIMTAB_RESTORE_SEQUENCE, 6);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_restore(STR(backup), STR(at(2, "no")), &options, NULL));
    CHECK(strstr(last_error(), "which holds the sequences 1 to 5") != NULL);
    options = to(3, 0);
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_restore(STR(backup), STR(at(2, "no")), &options, NULL));
    report.struct_size = 4;
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_store_backup_verify(STR(backup), &report));
}

static void flip(const char *name, long offset)
{
    FILE *file = fopen(at(3, name), "r+b");
    CHECK(file != NULL && fseek(file, offset, SEEK_SET) == 0);
    int byte = fgetc(file);
    CHECK(byte != EOF && fseek(file, offset, SEEK_SET) == 0);
    CHECK(fputc(byte ^ 1, file) != EOF && fclose(file) == 0);
}

static void rot(void)
{
    char value[1000];
    char text[512] = "";
    size_t length = 9;
    memset(value, 'v', sizeof value);
    trimtab_store *store = open_store("rot");
    trimtab_store_options *options = small_options();
    for (unsigned turn = 0; turn < 20; turn++) {
        OK(trimtab_store_put(store, BYTES("a"), trimtab_bytes_of(value, sizeof value), NULL, NULL));
    }
    OK(trimtab_store_scrub(store, -1));
    trimtab_store_status status = status_of(store);
    CHECK(status.scrub_passes == 1 && status.scrub_bytes > 20000 && status.scrub_finished_ms > 0);
    CHECK(status.scrub_damages == 0 && status.scrub_failure == TRIMTAB_OK && status.reserved == 0);
    OK(trimtab_store_damage_copy(store, text, sizeof text, &length));
    CHECK(length == 0 && text[0] == 0);
    flip("rot/0000000000000001.wal", 9000);
    EXPECT(TRIMTAB_E_CORRUPT, trimtab_store_scrub(store, 0));
    CHECK(strstr(last_error(), "0000000000000001.wal is damaged at byte ") != NULL);
    status = status_of(store);
    CHECK(status.scrub_damages == 1 && status.scrub_failure == TRIMTAB_E_CORRUPT);
    OK(trimtab_store_damage_copy(store, text, sizeof text, &length));
    CHECK(length == strlen(text) && strstr(text, "0000000000000001.wal is damaged at byte ") != NULL);
    OK(trimtab_store_put(store, BYTES("b"), BYTES("on it goes"), NULL, NULL));
    CHECK(has(store, "b", "on it goes"));
    trimtab_store_free(store);

    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_options_set_scrub_interval_ms(options, UINT64_MAX));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT, trimtab_store_options_set_scrub_bytes_per_second(options, 1));
    OK(trimtab_store_options_set_scrub_interval_ms(options, 0));
    OK(trimtab_store_options_set_scrub_interval_ms(options, 1));
    OK(trimtab_store_options_set_scrub_bytes_per_second(options, 1 << 30));
    OK(trimtab_store_open(STR(at(0, "own")), options, &store));
    OK(trimtab_store_put(store, BYTES("a"), BYTES("1"), NULL, NULL));
    do {
        status = status_of(store);
    } while (status.scrub_passes < 3 || status.scrub_bytes == 0);
    trimtab_store_free(store);
    trimtab_store_options_free(options);
}

int main(void)
{
    make_folder();
    backups();
    rot();
    remove_folder();
    printf("store_backup: taken, verified, restored, refused; what has rotted is told\n");
    return 0;
}
