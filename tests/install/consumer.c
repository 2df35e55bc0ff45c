/* Built against an installed trimtab: the header is found, the library links and picks. */
#include <stdio.h>
#include <trimtab.h>

int main(void)
{
    char version[32];
    trimtab_pool *pool = NULL;
    trimtab_pick pick = {0};
    uint64_t id = 0;

    pick.struct_size = sizeof pick;
    if (trimtab_version_copy(version, sizeof version, NULL) != TRIMTAB_OK ||
        trimtab_pool_new(NULL, &pool) != TRIMTAB_OK ||
        trimtab_pool_add_backend(pool, trimtab_str_of("192.0.2.7:80"), 1, &id) != TRIMTAB_OK ||
        trimtab_pool_pick(pool, trimtab_bytes_of(NULL, 0), 0, &pick) != TRIMTAB_OK || pick.backend != id ||
        trimtab_pool_done(pool, pick.token, TRIMTAB_OUTCOME_SUCCESS, NULL, 0) != TRIMTAB_OK) {
        char detail[256];
        trimtab_last_error_copy(detail, sizeof detail, NULL);
        fprintf(stderr, "%s\n", detail);
        return 1;
    }
    trimtab_pool_free(pool);
    printf("trimtab %s from C\n", version);
    return 0;
}
