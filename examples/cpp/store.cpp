// A store in a directory from C++: a counter that survives crashes, a transaction, what changed, many writes at once, and a
// backup.
//
//     c++ -std=c++17 store.cpp $(pkg-config --cflags --libs trimtab) -o store && ./store [DIRECTORY]
#include <filesystem>
#include <iostream>
#include <string>
#include <trimtab.hpp>
#include <vector>

using namespace std::chrono_literals;
using trimtab::KeyRange;
using trimtab::Operation;

int main(int argc, char **argv)
try {
    const std::string directory = argc > 1 ? argv[1] : "/tmp/trimtab-example-store-cpp";
    const std::string backup = directory + "-backup";
    trimtab::Store store(directory, trimtab::StoreOptions().memory_max(1 << 30));
    trimtab::StoreWatch watch = store.watch(KeyRange::prefix("stock/"));

    // On disk before it is answered; run this again and it goes on.
    std::cout << "run " << store.increment("runs") << '\n';

    // In memory is enough, and for an hour.
    const auto session = Operation::put("session/7", "ann").lifetime(trimtab::Lifetime::lasting(1h));
    store.execute(session, trimtab::Durability::memory);

    // Only if nobody was faster.
    const auto put = store.put("stock/apples", "3");
    const auto set = store.compare_and_set("stock/apples", put.version, "2");
    std::cout << "compare and set: " << (set.is_done ? "done" : "somebody was faster") << '\n';

    // Two changes, seen together or not at all.
    trimtab::Transaction sell;
    sell.when("stock/apples", trimtab::Relation::not_equal, "0");
    sell.then(Operation::increment("stock/apples", -1)).then(Operation::increment("sold/apples"));
    std::cout << "transaction: " << (store.commit(sell).is_done() ? "sold" : "sold out") << '\n';

    while (const auto change = watch.next(0ms)) {
        std::cout << change->key << " is " << change->value.value_or("gone") << '\n';
    }

    // Many at once: they go to disk together. In a loop of your own wait for `queue.poll_fd()`.
    trimtab::StoreQueue queue = store.queue(1000);
    std::vector<std::string> keys;
    for (int number = 0; number < 100; ++number) {
        keys.push_back("stock/pears/" + std::to_string(number));
    }
    std::vector<Operation> puts;
    for (const std::string &key : keys) {
        puts.push_back(Operation::put(key, "1"));
    }
    for (std::size_t taken = queue.submit(puts); taken > 0; --taken) {
        queue.next().answer.result(); // throws if it failed
    }
    for (const trimtab::StoreEntry &entry : store.scan(KeyRange::prefix("stock/"), 3)) {
        std::cout << entry.key << " = " << entry.value << ", version " << entry.version << '\n';
    }
    store.erase_range(KeyRange::prefix("stock/pears/"));

    // Beside everything else, and only what came since the last time.
    const auto report = store.backup(backup);
    std::cout << "backup: " << report.entries << " entries, up to sequence " << report.last_sequence << '\n';
    std::filesystem::remove_all(directory + "-restored");
    trimtab::restore(backup, directory + "-restored");
    std::cout << "restored: " << trimtab::Store(directory + "-restored").get("sold/apples")->value << " sold\n";

    store.close();
    return 0;
} catch (const trimtab::Error &error) {
    std::cerr << trimtab::name(error.status()) << ": " << error.what() << '\n';
    return 1;
}
