/* Preloaded before the C library: a bad disk. The folder that TRIMTAB_SHIM names holds a file for each call that is
 * to go wrong, "fdatasync", "fsync", "pwrite" or "rename". It says how, and behind a blank how the names of the threads begin
 * that this is for; without one it is for all of them:
 *
 *     5 trimtab/    the call fails with this error number
 *     hang          it waits until nobody has the named pipe "pipe" open for writing, and looks here again
 *
 * The name of each thread that this meets becomes a line of the file "met". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static int open_in(const char *folder, const char *name, int flags)
{
    char path[1024];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (length < 0 || (size_t)length >= sizeof path)
        abort();
    return open(path, flags | O_CLOEXEC, 0600);
}

/* What the call is to fail with; 0: it goes on. */
static int trouble(const char *call)
{
    const char *folder = getenv("TRIMTAB_SHIM");
    for (;;) {
        char rule[64], name[17] = "", line[18], rest[64];
        char *thread;
        ssize_t length;
        int file = folder == NULL ? -1 : open_in(folder, call, O_RDONLY);
        if (file < 0)
            return 0;
        length = read(file, rule, sizeof rule - 1);
        close(file);
        if (length <= 0)
            return 0;
        rule[length] = '\0';
        thread = strchr(rule, ' ');
        prctl(PR_GET_NAME, name);
        if (thread != NULL) {
            *thread++ = '\0';
            if (strncmp(name, thread, strlen(thread)) != 0)
                return 0;
        }
        file = open_in(folder, "met", O_WRONLY | O_CREAT | O_APPEND);
        length = snprintf(line, sizeof line, "%s\n", name);
        if (file < 0 || write(file, line, length) != length)
            abort();
        close(file);
        if (strcmp(rule, "hang") != 0)
            return atoi(rule);
        file = open_in(folder, "pipe", O_RDONLY);
        if (file < 0)
            abort();
        while (read(file, rest, sizeof rest) > 0)
            ;
        close(file);
    }
}

/* The same call of the library behind. */
static void *real(const char *call)
{
    void *found = dlsym(RTLD_NEXT, call);
    if (found == NULL)
        abort();
    return found;
}

static int fails(const char *call)
{
    int number = trouble(call);
    if (number != 0)
        errno = number;
    return number != 0;
}

int fdatasync(int file)
{
    int (*call)(int);
    *(void **)&call = real("fdatasync");
    return fails("fdatasync") ? -1 : call(file);
}

int fsync(int file)
{
    int (*call)(int);
    *(void **)&call = real("fsync");
    return fails("fsync") ? -1 : call(file);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t offset)
{
    ssize_t (*call)(int, const void *, size_t, off64_t);
    *(void **)&call = real("pwrite64");
    return fails("pwrite") ? -1 : call(file, bytes, length, offset);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    int (*call)(int, const char *, int, const char *);
    *(void **)&call = real("renameat");
    return fails("rename") ? -1 : call(from_dir, from, to_dir, to);
}
