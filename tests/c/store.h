/* What the tests of the store share: a directory that goes away, and shorthands. */
#ifndef STORE_H
#define STORE_H

#define _XOPEN_SOURCE 700
#include <ftw.h>
#include <poll.h>
#include <unistd.h>

#include "check.h"

#define BYTES(text) trimtab_bytes_of((text), strlen(text))
#define NO_BYTES trimtab_bytes_of(NULL, 0)

static char folder[64];

static MAYBE_UNUSED int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static MAYBE_UNUSED void remove_folder(void)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A directory of its own, for stores in it. */
static MAYBE_UNUSED void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/trimtab-c-store-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
}

/* Small files: the default's segments are 64 MiB each. */
static MAYBE_UNUSED trimtab_store_options *small_options(void)
{
    trimtab_store_options *options = NULL;
    OK(trimtab_store_options_new(&options));
    OK(trimtab_store_options_set_segment_bytes(options, 1 << 20));
    OK(trimtab_store_options_set_value_max(options, 1 << 16));
    return options;
}

static MAYBE_UNUSED trimtab_store *open_with(const char *name, trimtab_store_options *options)
{
    char path[128];
    trimtab_store *store = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    OK(trimtab_store_open(STR(path), options, &store));
    trimtab_store_options_free(options);
    return store;
}

static MAYBE_UNUSED trimtab_store *open_store(const char *name)
{
    return open_with(name, small_options());
}

/* Without threads. */
static MAYBE_UNUSED trimtab_store *open_hosted(const char *name)
{
    trimtab_store_options *options = small_options();
    OK(trimtab_store_options_set_hosted(options, 1));
    return open_with(name, options);
}

static MAYBE_UNUSED trimtab_store_result new_result(void)
{
    trimtab_store_result result;
    memset(&result, 0x55, sizeof result);
    result.struct_size = sizeof result;
    return result;
}

static MAYBE_UNUSED trimtab_store_call new_call(void)
{
    trimtab_store_call call;
    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    return call;
}

static MAYBE_UNUSED trimtab_store_operation operation(int32_t kind, const char *key, const char *value)
{
    trimtab_store_operation made;
    memset(&made, 0, sizeof made);
    made.struct_size = sizeof made;
    made.kind = kind;
    made.key = key;
    made.key_len = strlen(key);
    made.value = value;
    made.value_len = value != NULL ? strlen(value) : 0;
    return made;
}

static MAYBE_UNUSED trimtab_store_entry new_entry(void)
{
    trimtab_store_entry entry;
    memset(&entry, 0, sizeof entry);
    entry.struct_size = sizeof entry;
    return entry;
}

static MAYBE_UNUSED int is(const void *data, size_t len, const char *text)
{
    return len == strlen(text) && (len == 0 || memcmp(data, text, len) == 0);
}

/* Whether `key` has `value`; with NULL, whether it is not there. */
static MAYBE_UNUSED int has(const trimtab_store *store, const char *key, const char *value)
{
    char buffer[256];
    size_t length = 0;
    uint64_t version = 0;
    trimtab_status status = trimtab_store_get_copy(store, BYTES(key), buffer, sizeof buffer, &length, &version);
    if (value == NULL) {
        return status == TRIMTAB_E_NOT_FOUND && strstr(last_error(), "key") != NULL;
    }
    return status == TRIMTAB_OK && version > 0 && is(buffer, length, value);
}

static MAYBE_UNUSED int is_readable(int fd)
{
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    return poll(&waiting, 1, 0) == 1 && (waiting.revents & POLLIN) != 0;
}

static MAYBE_UNUSED void wait_readable(int fd)
{
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    CHECK(poll(&waiting, 1, 60000) == 1 && (waiting.revents & POLLIN) != 0);
}

#endif
