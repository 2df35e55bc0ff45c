/*
 * What opening a store found, from C: a torn tail, damage that a snapshot stands for, a clock that is behind the store's, settings that find no room in the
 * log; and what was counted since.
 */
#include "store.h"

#include <errno.h>
#include <time.h>

#define SEGMENT_BYTES (1 << 20)
#define SEGMENT "0000000000000001.wal"

/* By how many seconds the wall clock is behind. */
static long behind;

int __real_clock_gettime(clockid_t clock, struct timespec *at);
int __wrap_clock_gettime(clockid_t clock, struct timespec *at);

/* The library's calls come here: see LDFLAGS_store_report. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *at)
{
    int result = __real_clock_gettime(clock, at);
    if (result == 0 && clock == CLOCK_REALTIME) {
        at->tv_sec -= behind;
    }
    return result;
}

static char segment[SEGMENT_BYTES];

/* Reads the first segment of a store; gives where its records end, give or take their padding. */
static size_t read_segment(const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s/" SEGMENT, folder, name);
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL && fread(segment, 1, sizeof segment, file) == sizeof segment && fclose(file) == 0);
    size_t end = sizeof segment;
    while (end > 0 && segment[end - 1] == 0) {
        end--;
    }
    return end;
}

/* Writes that segment to a store's directory, made if it is not there: as a crash may leave one. */
static void write_segment(const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK(mkdir(path, 0777) == 0 || errno == EEXIST);
    snprintf(path, sizeof path, "%s/%s/" SEGMENT, folder, name);
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL && fwrite(segment, 1, sizeof segment, file) == sizeof segment && fclose(file) == 0);
}

static trimtab_store_report report_of(const trimtab_store *store)
{
    trimtab_store_report report;
    memset(&report, 0x55, sizeof report);
    report.struct_size = sizeof report;
    OK(trimtab_store_report_read(store, &report));
    CHECK(report.struct_size == sizeof report);
    return report;
}

static trimtab_store_status status_of(const trimtab_store *store)
{
    trimtab_store_status status;
    memset(&status, 0x55, sizeof status);
    status.struct_size = sizeof status;
    OK(trimtab_store_status_read(store, &status));
    return status;
}

typedef trimtab_status copier(const trimtab_store *, char *, size_t, size_t *);

/* Whether the text that `copy` gives has `part` in it; with "" whether it is empty. */
static int says(copier *copy, const trimtab_store *store, const char *part)
{
    char text[512];
    size_t length = 9;
    OK(copy(store, text, sizeof text, &length));
    CHECK(length == strlen(text));
    return part[0] == 0 ? length == 0 : strstr(text, part) != NULL;
}

static void nothing(void)
{
    trimtab_store *store = open_store("good");
    trimtab_store_report report = report_of(store);
    CHECK(report.is_closed == 0 && report.is_torn == 0 && report.settings_refused == TRIMTAB_OK);
    CHECK(report.segments == 0 && report.records == 0 && report.first == 0 && report.last == 0);
    CHECK(report.snapshot == 0 && report.replayed == 0 && report.ahead_ms == 0);
    CHECK(says(trimtab_store_torn_file_copy, store, "") && says(trimtab_store_settings_refused_copy, store, ""));
    OK(trimtab_store_put(store, BYTES("a"), BYTES("1"), NULL, NULL));
    OK(trimtab_store_put(store, BYTES("a"), BYTES("2"), NULL, NULL));
    uint64_t snapshot = 0;
    OK(trimtab_store_snapshot(store, -1, &snapshot));
    OK(trimtab_store_put(store, BYTES("a"), BYTES("3"), NULL, NULL));
    /* The settings of a new store are a command too. */
    trimtab_store_status status = status_of(store);
    CHECK(status.submitted == 4 && status.entries_applied == 4 && status.joined == 0 && status.refused == 0);
    CHECK(status.flushes >= 3 && status.flushed_bytes > 0 && status.snapshots_written == 1);
    CHECK(status.clock_steps == 0 && status.expiries == 0 && status.evictions == 0 && status.snapshots_failed == 0);
    OK(trimtab_store_close(store));
    /* What was found does not change. */
    CHECK(report_of(store).last == 0);
    trimtab_store_free(store);

    store = open_store("good");
    report = report_of(store);
    CHECK(report.is_closed == 1 && report.is_torn == 0 && report.torn_offset == 0 && report.torn_bytes == 0);
    CHECK(report.segments == 1 && report.records >= 5 && report.bytes > 0 && report.last == 4);
    CHECK(report.snapshot == snapshot && report.replayed == 4 - snapshot);
    report.struct_size = 8;
    EXPECT(TRIMTAB_E_STRUCT_SIZE, trimtab_store_report_read(store, &report));
    trimtab_store_free(store);
}

static void torn_tail(void)
{
    trimtab_store *store = open_store("whole");
    for (char key[] = "a"; key[0] <= 'j'; key[0]++) {
        OK(trimtab_store_put(store, BYTES(key), BYTES("value of a key"), NULL, NULL));
    }
    size_t end = read_segment("whole");
    trimtab_store_free(store);
    /* The last write came to disk without its end. */
    memset(segment + end - 10, 0, 10);
    write_segment("torn");
    store = open_store("torn");
    trimtab_store_report report = report_of(store);
    CHECK(report.is_torn == 1 && report.is_closed == 0 && report.first == 1 && report.last == 10);
    CHECK(report.replayed == 10 && report.torn_offset > 8192 && report.torn_offset < end - 44);
    CHECK(report.torn_bytes >= 44 && report.torn_offset + report.torn_bytes <= end + 8);
    CHECK(says(trimtab_store_torn_file_copy, store, "/torn/" SEGMENT));
    char text[4] = "abc";
    size_t length = 0;
    OK(trimtab_store_torn_file_copy(store, text, sizeof text, &length));
    CHECK(strcmp(text, "/tm") == 0 && length > sizeof text);
    CHECK(has(store, "i", "value of a key") && has(store, "j", NULL));
    OK(trimtab_store_put(store, BYTES("j"), BYTES("in its place"), NULL, NULL));
    trimtab_store_free(store);
    store = open_store("torn");
    CHECK(report_of(store).is_torn == 0 && says(trimtab_store_torn_file_copy, store, ""));
    trimtab_store_free(store);
}

static void damage_that_is_covered(void)
{
    static const char value[SEGMENT_BYTES / 16];
    trimtab_store *store = open_store("covered");
    CHECK(report_of(store).covered_segments == 0 && says(trimtab_store_covered_file_copy, store, ""));
    for (char key[] = "a"; key[0] < 'a' + 20; key[0]++) {
        OK(trimtab_store_put(store, BYTES(key), trimtab_bytes_of(value, sizeof value), NULL, NULL));
    }
    read_segment("covered");
    OK(trimtab_store_snapshot(store, -1, NULL));
    OK(trimtab_store_close(store));
    trimtab_store_free(store);
    /* The process ended before the first segment was gone, and it has rotted since. */
    segment[9000] ^= 1;
    write_segment("covered");
    store = open_store("covered");
    trimtab_store_report report = report_of(store);
    CHECK(report.covered_segments == 1 && report.covered_offset >= 8192 && report.covered_offset <= 9000);
    CHECK(says(trimtab_store_covered_file_copy, store, "/covered/" SEGMENT) && report.is_torn == 0);
    CHECK(status_of(store).keys == 20);
    trimtab_store_free(store);
}

static void clock_behind(void)
{
    trimtab_store *store = open_store("clock");
    OK(trimtab_store_put(store, BYTES("a"), BYTES("1"), NULL, NULL));
    trimtab_store_free(store);
    behind = 3600;
    store = open_store("clock");
    uint64_t ahead_ms = report_of(store).ahead_ms;
    CHECK(ahead_ms > 3000000 && ahead_ms <= 3600000);
    OK(trimtab_store_put(store, BYTES("a"), BYTES("2"), NULL, NULL));
    CHECK(status_of(store).clock_steps >= 1);
    trimtab_store_free(store);
    behind = 0;
    store = open_store("clock");
    CHECK(report_of(store).ahead_ms == 0);
    trimtab_store_free(store);
}

/* A segment that is nearly full, and none behind it yet: the command with the settings finds no place. */
static void no_room_for_settings(void)
{
    static char value[60000];
    memset(value, 'v', sizeof value);
    trimtab_store *store = open_store("full");
    size_t end = 0;
    while ((end = read_segment("full")) < SEGMENT_BYTES - 500) {
        size_t size = end < SEGMENT_BYTES - 70000 ? sizeof value : 100;
        OK(trimtab_store_put(store, BYTES("k"), trimtab_bytes_of(value, size), NULL, NULL));
    }
    trimtab_store_free(store);
    write_segment("refused");

    trimtab_store_options *options = small_options();
    OK(trimtab_store_options_set_value_max(options, 10));
    store = open_with("refused", options);
    trimtab_store_report report = report_of(store);
    CHECK(report.settings_refused == TRIMTAB_E_CAPACITY && report.is_torn == 0);
    CHECK(says(trimtab_store_settings_refused_copy, store, "segment_bytes"));
    OK(trimtab_store_put(store, BYTES("k"), BYTES("longer than ten bytes"), NULL, NULL));
    trimtab_store_free(store);

    options = small_options();
    OK(trimtab_store_options_set_value_max(options, 10));
    store = open_with("refused", options);
    CHECK(report_of(store).settings_refused == TRIMTAB_OK);
    CHECK(says(trimtab_store_settings_refused_copy, store, ""));
    EXPECT(TRIMTAB_E_INVALID_ARGUMENT,
           trimtab_store_put(store, BYTES("k"), BYTES("longer than ten bytes"), NULL, NULL));
    CHECK(status_of(store).refused == 1);
    trimtab_store_free(store);
}

/* Who was compiled before the counters were there gets the fields of that time. */
static void older_sizes(void)
{
    trimtab_store *store = open_store("older");
    trimtab_store_status status;
    memset(&status, 0x55, sizeof status);
    status.struct_size = offsetof(trimtab_store_status, submitted);
    OK(trimtab_store_status_read(store, &status));
    CHECK(status.struct_size == offsetof(trimtab_store_status, submitted) && status.scrub_mended == 0);
    CHECK(status.submitted == UINT64_C(0x5555555555555555));
    trimtab_store_free(store);
}

int main(void)
{
    make_folder();
    nothing();
    torn_tail();
    damage_that_is_covered();
    clock_behind();
    no_room_for_settings();
    older_sizes();
    remove_folder();
    printf("store_report: nothing, a torn tail, covered damage, a clock behind, settings without room, older sizes\n");
    return 0;
}
