// A first pick from C++: a pool, a retry, and why a pick goes where it goes.
//
//     c++ -std=c++17 first_pick.cpp $(pkg-config --cflags --libs trimtab) -o first_pick && ./first_pick
#include <chrono>
#include <iostream>
#include <map>
#include <trimtab.hpp>

using namespace std::chrono_literals;

int main()
try {
    trimtab::Pool pool(trimtab::Policy::least_connections);
    const auto first = pool.add(trimtab::Backend("10.0.0.1:80").name("web-01").weight(2));
    pool.add(trimtab::Backend("10.0.0.2:80").name("web-02"));
    pool.add(trimtab::Backend("[2001:db8::3]:80").name("web-03").tier(1)); // a backup
    std::cout << "trimtab " << trimtab::version() << '\n';

    // One that is not reported, because of an exception say, is given back when it goes out of scope.
    {
        trimtab::Picked picked = pool.pick();
        std::cout << "picked " << pool.name(picked.backend()) << ", port " << picked.port() << '\n';
        picked.done(trimtab::Outcome::connect_failed);

        trimtab::Picked other = pool.pick_avoiding({picked.backend()});
        std::cout << "then " << pool.name(other.backend()) << " at " << pool.address(other.backend()) << '\n';
        other.done(trimtab::Outcome::success, trimtab::Timings().connect(1ms).first_byte(12ms));
    }

    // Where keys belong, whoever asks.
    trimtab::Pool caches(trimtab::PoolOptions().policy(trimtab::Policy::hash).hash(trimtab::Hash::maglev));
    for (const char *address : {"10.0.1.1:11211", "10.0.1.2:11211", "10.0.1.3:11211"}) {
        caches.add(address);
    }
    std::map<std::string, int> shares;
    for (int user = 0; user < 3000; ++user) {
        const auto picked = caches.pick("user:" + std::to_string(user));
        ++shares[caches.address(picked.backend())];
    }
    for (const auto &[address, keys] : shares) {
        std::cout << address << " has " << keys << " keys of 3000\n";
    }

    pool.set_admin(first, trimtab::Admin::drain);
    std::cout << pool.explain() << '\n';
    if (!trimtab::Pool().try_pick()) {
        std::cout << "an empty pool picks nobody\n";
    }
    return 0;
} catch (const trimtab::Error &error) {
    std::cerr << trimtab::name(error.status()) << ": " << error.what() << '\n';
    return 1;
}
