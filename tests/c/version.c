/* The header, the library and Cargo.toml, whose version is the argument, belong together. */
#include "check.h"

int main(int argc, char **argv)
{
    char library[64];
    char header[64];
    size_t length = 0;
    int32_t has = -1;
    CHECK(argc == 2);
    snprintf(header, sizeof header, "%d.%d.%d", TRIMTAB_VERSION_MAJOR, TRIMTAB_VERSION_MINOR,
             TRIMTAB_VERSION_PATCH);
    OK(trimtab_version_copy(library, sizeof library, &length));
    printf("version: header %s, library %s, package %s\n", header, library, argv[1]);
    CHECK(strcmp(header, library) == 0);
    CHECK(strcmp(header, argv[1]) == 0);
    CHECK(length == strlen(library));
    /* The number of the soname, which a release 1.0 will make 1. */
    CHECK(trimtab_abi_version() == 0);

    OK(trimtab_feature_has(STR("balance"), &has));
    CHECK(has == 1);
    has = -1;
    EXPECT(TRIMTAB_E_NOT_FOUND, trimtab_feature_has(STR("teleport"), &has));
    CHECK(has == -1);
    CHECK(strstr(last_error(), "teleport") != NULL);
    return 0;
}
