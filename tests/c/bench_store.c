/*
 * What does a get and a put cost through the C interface, at many keys, and do readers disturb each other?
 *
 *     bench_store [KEYS [ROUNDS [MILLISECONDS [DIRECTORY]]]]
 *
 * Default: 1,000,000 keys of 16 bytes in no order, values of 128 bytes, 9 rounds of 200 ms for each line, after one
 * that is not counted, and a directory of its own in the present one. The store has its defaults, but that it
 * answers from memory: so the log is written and synced behind the puts, and snapshots too.
 *
 * - memory: what the process grew by for each key, once all are there.
 * - floor: 128 bytes copied from a random place of an array as large as the values, one after the other: what this
 *   machine's memory costs at present, whoever keeps them.
 * - get, put: `trimtab_store_get_copy` and `trimtab_store_put` of random keys, one thread and nothing beside it.
 * - get, 1 and 2 readers: each a thread of its own, while one more puts at the pace of PUTS_PER_SECOND, so that the
 *   writer takes the same from one reader as from two.
 *
 * The rounds go round the lines. Figures are nanoseconds of one thread for each call: median (least to greatest
 * round), by the clock and by the processor time of that thread. The first is what a caller waits; the second is
 * less moved by what else runs on the machine.
 */
#define _XOPEN_SOURCE 700
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "trimtab.h"

enum { KEY_LENGTH = 16, VALUE_LENGTH = 128, BATCH = 256, ROUNDS_MAX = 99, READERS_MAX = 2, PUTS_PER_SECOND = 20000 };

enum line { FLOOR, GET, PUT, READ_1, READ_2, LINES };

static const char *const names[LINES] = {"floor", "get", "put", "get, 1 reader", "get, 2 readers"};

struct figures {
    double wall[ROUNDS_MAX + 1];
    double cpu[ROUNDS_MAX + 1];
};

static trimtab_store *store;
static char *values;
static size_t key_count;
static uint64_t round_ns;
static char folder[256];
static pthread_barrier_t barrier;
static volatile int is_over;

static void need(trimtab_status status, const char *what)
{
    if (status != TRIMTAB_OK) {
        char detail[256];
        trimtab_last_error_copy(detail, sizeof detail, NULL);
        fprintf(stderr, "%s: %d: %s\n", what, (int)status, detail);
        exit(1);
    }
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static long resident_bytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%*s %ld", &pages) != 1) {
        pages = 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return pages * sysconf(_SC_PAGESIZE);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void remove_folder(void)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Made and not read from memory, which would cost as much as the store's own. */
static void make_key(size_t at, char *key)
{
    /* An odd factor: no number comes twice, and none beside the one before. */
    uint64_t number = (uint64_t)at * 0x9e3779b97f4a7c15u;
    memcpy(key, "key", 3);
    for (int n = 3; n < KEY_LENGTH; n++) {
        key[n] = "0123456789abcdef"[number >> 60];
        number <<= 4;
    }
}

static void get(size_t at)
{
    char key[KEY_LENGTH];
    char value[VALUE_LENGTH];
    make_key(at, key);
    size_t length;
    uint64_t version;
    need(trimtab_store_get_copy(store, trimtab_bytes_of(key, sizeof key), value, sizeof value, &length, &version), "get");
    if (length != VALUE_LENGTH) {
        fprintf(stderr, "a value of %zu bytes came back\n", length);
        exit(1);
    }
}

static void put(size_t at, uint64_t number)
{
    char key[KEY_LENGTH];
    char value[VALUE_LENGTH];
    make_key(at, key);
    memset(value, 'v', sizeof value);
    memcpy(value, &number, sizeof number);
    need(trimtab_store_put(store, trimtab_bytes_of(key, sizeof key), trimtab_bytes_of(value, sizeof value), NULL, NULL),
         "put");
}

static size_t copy(size_t at)
{
    volatile char value[VALUE_LENGTH];
    memcpy((char *)value, values + at * VALUE_LENGTH, sizeof value);
    return (size_t)(value[at % VALUE_LENGTH] - 'v');
}

/* One round of one line on this thread. */
static void run(enum line line, uint64_t seed, double *wall, double *cpu)
{
    uint64_t state = seed;
    uint64_t count = 0;
    uint64_t begin = read_clock(CLOCK_MONOTONIC);
    uint64_t begin_cpu = read_clock(CLOCK_THREAD_CPUTIME_ID);
    uint64_t end;
    do {
        for (int n = 0; n < BATCH; n++) {
            size_t at = (size_t)(random_next(&state) % key_count);
            if (line == FLOOR) {
                /* Where to go next is known when this one is there. */
                state += copy(at);
            } else if (line == PUT) {
                put(at, state);
            } else {
                get(at);
            }
        }
        count += BATCH;
        end = read_clock(CLOCK_MONOTONIC);
    } while (end - begin < round_ns);
    *wall = (double)(end - begin) / (double)count;
    *cpu = (double)(read_clock(CLOCK_THREAD_CPUTIME_ID) - begin_cpu) / (double)count;
}

struct reader {
    uint64_t seed;
    double wall;
    double cpu;
};

static void *read_keys(void *argument)
{
    struct reader *reader = argument;
    pthread_barrier_wait(&barrier);
    run(GET, reader->seed, &reader->wall, &reader->cpu);
    return NULL;
}

static void *write_keys(void *argument)
{
    uint64_t state = *(uint64_t *)argument;
    pthread_barrier_wait(&barrier);
    uint64_t due = read_clock(CLOCK_MONOTONIC);
    while (!is_over) {
        /* Ten at a time, so that it is the puts that cost and not the sleeping. */
        for (int n = 0; n < 10; n++) {
            put((size_t)(random_next(&state) % key_count), state);
        }
        due += 10 * (1000000000u / PUTS_PER_SECOND);
        struct timespec until = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    return NULL;
}

/* One round of so many readers beside the writer. The round's figure is the mean of its readers'. */
static void run_readers(int readers, uint64_t seed, double *wall, double *cpu)
{
    struct reader all[READERS_MAX];
    pthread_t ids[READERS_MAX];
    pthread_t writer;
    pthread_barrier_init(&barrier, NULL, (unsigned)readers + 1);
    is_over = 0;
    if (pthread_create(&writer, NULL, write_keys, &seed) != 0) {
        exit(1);
    }
    for (int n = 0; n < readers; n++) {
        all[n] = (struct reader){.seed = seed + 1 + (uint64_t)n};
        if (pthread_create(&ids[n], NULL, read_keys, &all[n]) != 0) {
            exit(1);
        }
    }
    *wall = 0;
    *cpu = 0;
    for (int n = 0; n < readers; n++) {
        pthread_join(ids[n], NULL);
        *wall += all[n].wall / readers;
        *cpu += all[n].cpu / readers;
    }
    is_over = 1;
    pthread_join(writer, NULL);
    pthread_barrier_destroy(&barrier);
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *all, int rounds)
{
    qsort(all, (size_t)rounds, sizeof *all, by_value);
    return all[rounds / 2];
}

/* How many times what one reader does both of two do, round by round. */
static void print_ratio(const char *name, const double *one, const double *two, int rounds)
{
    double ratios[ROUNDS_MAX];
    for (int round = 0; round < rounds; round++) {
        ratios[round] = 2 * one[round] / two[round];
    }
    double middle = median(ratios, rounds);
    printf("two readers read %.2f times what one does (%.2f to %.2f), %s\n", middle, ratios[0], ratios[rounds - 1],
           name);
}

static void open_store(void)
{
    trimtab_store_options *options;
    need(trimtab_store_options_new(&options), "options_new");
    need(trimtab_store_options_set_durability(options, TRIMTAB_DURABILITY_MEMORY), "set_durability");
    need(trimtab_store_open(trimtab_str_of(folder), options, &store), "open");
    trimtab_store_options_free(options);
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 1000000;
    int rounds = argc > 2 ? atoi(argv[2]) : 9;
    long milliseconds = argc > 3 ? atol(argv[3]) : 200;
    const char *parent = argc > 4 ? argv[4] : ".";
    if (count < 1 || rounds < 1 || rounds > ROUNDS_MAX || milliseconds < 1) {
        fprintf(stderr, "usage: bench_store [KEYS [ROUNDS [MILLISECONDS [DIRECTORY]]]], 1 to %d rounds\n", ROUNDS_MAX);
        return 2;
    }
    key_count = (size_t)count;
    round_ns = (uint64_t)milliseconds * 1000000u;
    snprintf(folder, sizeof folder, "%s/bench-store-XXXXXX", parent);
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return 1;
    }
    atexit(remove_folder);
    values = malloc(key_count * VALUE_LENGTH);
    if (values == NULL) {
        return 1;
    }
    memset(values, 'v', key_count * VALUE_LENGTH);

    open_store();
    long before = resident_bytes();
    for (size_t at = 0; at < key_count; at++) {
        put(at, at);
    }
    /* What waits for the disk is not the keys'. */
    need(trimtab_store_sync(store, -1, NULL), "sync");
    long grown = resident_bytes() - before;

    static struct figures figures[LINES];
    for (int round = 0; round <= rounds; round++) {
        for (enum line line = 0; line < LINES; line++) {
            uint64_t seed = (uint64_t)round * LINES + line + 1;
            double *wall = &figures[line].wall[round];
            double *cpu = &figures[line].cpu[round];
            if (line == READ_1 || line == READ_2) {
                run_readers(line == READ_1 ? 1 : 2, seed, wall, cpu);
            } else {
                run(line, seed, wall, cpu);
            }
        }
    }

    char version[32];
    need(trimtab_version_copy(version, sizeof version, NULL), "version_copy");
    printf("trimtab %s, the store through the C interface: %zu keys of %d bytes, values of %d\n", version, key_count,
           KEY_LENGTH, VALUE_LENGTH);
    printf("memory: %ld bytes a key\n\n", grown / (long)key_count);
    printf("%-16s %32s %32s\n", "ns a call", "by the clock", "of the processor");
    /* Round 0 warms up. Before the lines, since they are sorted there. */
    double ratios[4][ROUNDS_MAX];
    memcpy(ratios[0], figures[READ_1].wall + 1, (size_t)rounds * sizeof(double));
    memcpy(ratios[1], figures[READ_2].wall + 1, (size_t)rounds * sizeof(double));
    memcpy(ratios[2], figures[READ_1].cpu + 1, (size_t)rounds * sizeof(double));
    memcpy(ratios[3], figures[READ_2].cpu + 1, (size_t)rounds * sizeof(double));
    for (enum line line = 0; line < LINES; line++) {
        double *wall = figures[line].wall + 1;
        double *cpu = figures[line].cpu + 1;
        double wall_median = median(wall, rounds);
        double cpu_median = median(cpu, rounds);
        printf("%-16s %10.1f (%7.1f to %8.1f) %10.1f (%7.1f to %8.1f)\n", names[line], wall_median, wall[0],
               wall[rounds - 1], cpu_median, cpu[0], cpu[rounds - 1]);
    }
    printf("\n");
    print_ratio("by the clock", ratios[0], ratios[1], rounds);
    print_ratio("by the processor's time", ratios[2], ratios[3], rounds);
    need(trimtab_store_close(store), "close");
    trimtab_store_free(store);
    free(values);
    return 0;
}
