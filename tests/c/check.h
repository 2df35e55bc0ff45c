/* What the C tests share: checks that say where they failed, and a few shorthands. */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trimtab.h"

#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fflush(stdout);                                                                \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);        \
            fprintf(stderr, "    last error: %s\n", last_error());                         \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

/* Runs `call` and compares its status. */
#define EXPECT(expected, call) expect((expected), (call), #call, __FILE__, __LINE__)
#define OK(call) EXPECT(TRIMTAB_OK, call)

#if defined(__GNUC__)
#define MAYBE_UNUSED __attribute__((unused))
#else
#define MAYBE_UNUSED
#endif

/* The detail of this thread's last error, good until the thread asks again. */
static MAYBE_UNUSED const char *last_error(void)
{
    static __thread char detail[512];
    detail[0] = '\0';
    trimtab_last_error_copy(detail, sizeof detail, NULL);
    return detail;
}

static MAYBE_UNUSED void expect(trimtab_status expected, trimtab_status status, const char *call, const char *file,
                                int line)
{
    char names[2][64] = {"?", "?"};
    if (status == expected) {
        return;
    }
    trimtab_status_name_copy(expected, names[0], sizeof names[0], NULL);
    trimtab_status_name_copy(status, names[1], sizeof names[1], NULL);
    fflush(stdout);
    fprintf(stderr, "%s:%d: %s\n    expected %s, got %s: %s\n", file, line, call, names[0], names[1], last_error());
    exit(1);
}

#define STR(text) trimtab_str_of(text)
#define NO_KEY trimtab_bytes_of(NULL, 0)

static MAYBE_UNUSED trimtab_pick new_pick(void)
{
    trimtab_pick pick;
    memset(&pick, 0, sizeof pick);
    pick.struct_size = sizeof pick;
    return pick;
}

static MAYBE_UNUSED trimtab_pool_statistics statistics_of(const trimtab_pool *pool)
{
    trimtab_pool_statistics statistics;
    memset(&statistics, 0, sizeof statistics);
    statistics.struct_size = sizeof statistics;
    OK(trimtab_pool_statistics_read(pool, &statistics));
    return statistics;
}

static MAYBE_UNUSED trimtab_backend_statistics backend_statistics_of(const trimtab_pool *pool, uint64_t id)
{
    trimtab_backend_statistics statistics;
    memset(&statistics, 0, sizeof statistics);
    statistics.struct_size = sizeof statistics;
    OK(trimtab_pool_backend_statistics_read(pool, id, &statistics));
    return statistics;
}

/* A pool of this policy that starts at the beginning of the documented sequences. */
static MAYBE_UNUSED trimtab_pool *new_pool(int32_t policy)
{
    trimtab_pool_options *options = NULL;
    trimtab_pool *pool = NULL;
    OK(trimtab_pool_options_new(&options));
    OK(trimtab_pool_options_set_policy(options, policy));
    OK(trimtab_pool_options_set_seed(options, 0));
    OK(trimtab_pool_new(options, &pool));
    trimtab_pool_options_free(options);
    return pool;
}

/* Adds `10.<number>:80` with weight 1. */
static MAYBE_UNUSED uint64_t add(const trimtab_pool *pool, unsigned number)
{
    char address[40];
    uint64_t id = 0;
    snprintf(address, sizeof address, "10.%u.%u.%u:80", number >> 16 & 255, number >> 8 & 255, number & 255);
    OK(trimtab_pool_add_backend(pool, STR(address), 1, &id));
    return id;
}

#endif
