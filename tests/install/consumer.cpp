// Built against an installed trimtab: the C++ header is found and needs nothing but the C one.
#include <cstdio>
#include <trimtab.hpp>

int main()
{
    char version[32];
    if (trimtab_version_copy(version, sizeof version, nullptr) != TRIMTAB_OK) {
        return 1;
    }
    std::printf("trimtab %s from C++\n", version);
    return 0;
}
