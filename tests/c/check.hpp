// What the tests of the C++ header share.
#ifndef TRIMTAB_TESTS_CHECK_HPP
#define TRIMTAB_TESTS_CHECK_HPP

#include "trimtab.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);   \
            std::exit(1);                                                                  \
        }                                                                                  \
    } while (0)

// Runs `call`, which must throw, and gives the status.
template <typename Call>
trimtab::Status thrown(Call &&call)
{
    try {
        call();
    } catch (const trimtab::Error &error) {
        CHECK(std::strlen(error.what()) > 0);
        return error.status();
    }
    return trimtab::Status::ok;
}

// Whether a child made by fork ends in std::terminate as it does `call`.
template <typename Call>
bool terminates(Call &&call)
{
    constexpr int terminated = 7;
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        std::set_terminate([] { _exit(terminated); });
        try {
            call();
        } catch (...) {
            // It came through to the caller.
            _exit(2);
        }
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == terminated;
}

#endif
