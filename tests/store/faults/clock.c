/* Preloaded before the C library: the wall clock is as many seconds behind as the file that TRIMTAB_SHIM names says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *at)
{
    static int (*real)(clockid_t, struct timespec *);
    const char *trigger = getenv("TRIMTAB_SHIM");
    int result;
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    result = real(clock, at);
    if (result == 0 && clock == CLOCK_REALTIME && trigger != NULL) {
        FILE *file = fopen(trigger, "r");
        long behind = 0;
        if (file != NULL) {
            if (fscanf(file, "%ld", &behind) == 1)
                at->tv_sec -= behind;
            fclose(file);
        }
    }
    return result;
}
