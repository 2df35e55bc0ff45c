// The C++ header's Store: an owner that moves, exceptions, values that come back whole.
#include "trimtab.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <type_traits>

using namespace std::chrono_literals;
using trimtab::Status;
using trimtab::Store;

namespace {

#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);   \
            std::exit(1);                                                                  \
        }                                                                                  \
    } while (0)

// Runs `call`, which must throw, and gives the status.
template <typename Call>
Status thrown(Call &&call)
{
    try {
        call();
    } catch (const trimtab::Error &error) {
        return error.status();
    }
    return Status::ok;
}

static_assert(!std::is_copy_constructible_v<Store>);
static_assert(std::is_nothrow_move_constructible_v<Store>);

} // namespace

int main()
{
    char folder[] = "/tmp/trimtab-c-store-XXXXXX";
    CHECK(mkdtemp(folder) != nullptr);
    trimtab_store_options *options = nullptr;
    CHECK(trimtab_store_options_new(&options) == TRIMTAB_OK);
    CHECK(trimtab_store_options_set_segment_bytes(options, 1 << 20) == TRIMTAB_OK);
    CHECK(trimtab_store_options_set_value_max(options, 1 << 16) == TRIMTAB_OK);
    {
        Store first(folder, options);
        Store store(std::move(first));
        CHECK(!store.get("a"));
        const auto put = store.put("a", std::string_view("1\0 2", 4));
        const auto found = store.get("a");
        CHECK(found && found->value == std::string_view("1\0 2", 4) && found->version == put.version);
        CHECK(store.compare_and_set("a", put.version, "new").is_done == 1);
        CHECK(store.compare_and_set("a", put.version, "newer").is_done == 0);
        CHECK(store.increment("n", 40) == 40 && store.increment("n", 2) == 42);
        CHECK(thrown([&] { store.increment("a", 1); }) == Status::invalid_argument);
        CHECK(store.append("a", "est") == 6);
        CHECK(store.expire("n", 1h) && store.expire("n", -1ms) && !store.get("n") && !store.expire("n", 1h));
        store.put("u/1", "x");
        store.put("u/2", "y");
        store.put("v", "");
        std::string all;
        store.for_each("u/", [&](std::string_view key, std::string_view value) {
            all.append(key).append(value);
        });
        CHECK(all == "u/1xu/2y" && store.count("u/") == 2 && store.count() == 4);
        CHECK(store.erase("v") && !store.erase("v"));
        CHECK(thrown([&] { Store again(folder, options); }) == Status::state);
        store.close();
        CHECK(thrown([&] { store.get("a"); }) == Status::state);
    }
    Store store(folder, options);
    CHECK(store.get("a")->value == "newest" && store.count() == 3);
    store.close();
    trimtab_store_options_free(options);
    std::filesystem::remove_all(folder);
    std::puts("store_wrapper: C++ works");
    return 0;
}
