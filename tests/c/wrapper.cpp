// The C++ header: owners, exceptions, and a pick path that allocates nothing.
#include "check.hpp"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <thread>
#include <type_traits>

using namespace std::chrono_literals;

namespace {

thread_local std::size_t allocations = 0;

void types()
{
    static_assert(!std::is_copy_constructible_v<trimtab::Picked> && !std::is_copy_assignable_v<trimtab::Picked>);
    static_assert(std::is_nothrow_move_constructible_v<trimtab::Picked>);
    static_assert(std::is_nothrow_move_assignable_v<trimtab::Picked>);
    static_assert(!std::is_copy_constructible_v<trimtab::Pool> && std::is_nothrow_move_constructible_v<trimtab::Pool>);
    static_assert(std::is_nothrow_move_constructible_v<trimtab::Backend>);
    static_assert(std::is_base_of_v<std::exception, trimtab::Error>);
    CHECK(trimtab::version() == std::to_string(TRIMTAB_VERSION_MAJOR) + "." + std::to_string(TRIMTAB_VERSION_MINOR) +
                                    "." + std::to_string(TRIMTAB_VERSION_PATCH));
    CHECK(trimtab::has_feature("balance"));
    CHECK(thrown([] { trimtab::has_feature("teleport"); }) == trimtab::Status::not_found);
    CHECK(trimtab::name(trimtab::Status::capacity) == "TRIMTAB_E_CAPACITY");
    CHECK(trimtab::name(static_cast<trimtab::Status>(-999)) == "status -999");
}

void a_pool()
{
    trimtab::Pool pool(trimtab::PoolOptions().policy("round-robin").seed(0).lanes(1).tick(500ms).picks_max(1000));
    const auto first = pool.add("10.0.0.1:80");
    const auto second = pool.add(
        trimtab::Backend("[2001:db8::2]:8080").name("web-02").weight(3).tag(22).maxconn(100).tier(0));
    std::vector<trimtab::Backend> more;
    more.emplace_back("unix:/run/app.sock");
    more.emplace_back("10.0.0.4:80");
    more.back().admin(trimtab::Admin::drain).observed(trimtab::Observed::up);
    const auto ids = pool.add_all(more);
    CHECK((pool.ids() == std::vector<trimtab::BackendId>{first, second, ids[0], ids[1]}));
    CHECK(pool.find("web-02") == second && !pool.find("web-99"));
    CHECK(pool.name(second) == "web-02" && pool.address(second) == "[2001:db8::2]:8080");
    CHECK(pool.address(ids[0]) == "unix:/run/app.sock");
    CHECK(pool.add_all({}).empty());

    pool.remove(ids[0]);
    pool.set_weight(first, 2);
    pool.set_maxconn(first, 7);
    pool.set_tier(ids[1], 1);
    pool.set_tag(first, 11);
    pool.set_admin(first, trimtab::Admin::maintenance);
    pool.set_observed(first, trimtab::Observed::down);
    const auto statistics = pool.statistics(first);
    CHECK(statistics.weight == 2 && statistics.maxconn == 7 && statistics.tag == 11 && statistics.serving == 0);
    CHECK(statistics.admin == TRIMTAB_ADMIN_MAINTENANCE && statistics.observed == TRIMTAB_OBSERVED_DOWN);

    auto picked = pool.pick();
    CHECK(picked.backend() == second && picked.tag() == 22 && picked.family() == trimtab::Family::inet6);
    CHECK(picked.port() == 8080 && picked.ip()[0] == 0x20 && picked.ip()[15] == 2 && picked.scope_id() == 0);
    picked.done(trimtab::Outcome::success, trimtab::Timings().connect(1ms).first_byte(2ms).total(3ms));
    CHECK(pool.statistics(second).response_mean_ns == 2000000);
    CHECK(thrown([&] { picked.done(trimtab::Outcome::success); }) == trimtab::Status::stale_pick);

    const std::string explained = pool.explain("a key");
    CHECK(explained.find("\"maintenance\"") != std::string::npos && explained.back() == '}');
    trimtab::Pool moved = std::move(pool);
    CHECK(moved.statistics().backends == 3 && moved.statistics().picks == 1);
    CHECK(!moved.next_deadline());
    moved.handle_timeout();
    trimtab::Pool measured(trimtab::Policy::predictive);
    measured.handle_timeout(std::chrono::steady_clock::now());
    CHECK(measured.next_deadline().has_value());
}

void an_exception_that_leaves_a_callback_ends_the_program()
{
    CHECK(terminates([] {
        trimtab::Pool pool(trimtab::Policy::round_robin);
        const auto backend = pool.add("10.0.0.1:80");
        pool.observe([](const trimtab::PoolEvent &) { throw std::runtime_error("not caught"); });
        pool.set_observed(backend, trimtab::Observed::down, "it was unplugged", std::chrono::steady_clock::now());
    }));
}

void a_pick_is_given_back()
{
    trimtab::Pool pool(trimtab::Policy::least_connections);
    const auto id = pool.add("10.0.0.1:80");
    {
        auto picked = pool.pick();
        CHECK(pool.statistics().in_flight == 1);
    }
    CHECK(pool.statistics().in_flight == 0 && pool.statistics(id).cancelled == 1);
    try {
        auto picked = pool.pick();
        throw std::runtime_error("the connection broke");
    } catch (const std::runtime_error &) {
    }
    CHECK(pool.statistics(id).cancelled == 2);

    // Moved, it is reported once, by whoever has it at the end.
    auto outer = pool.pick();
    {
        auto inner = std::move(outer);
        CHECK(outer.try_done(trimtab::Outcome::success) == trimtab::Status::stale_pick);
    }
    CHECK(pool.statistics().in_flight == 0 && pool.statistics(id).cancelled == 3);
    // What is assigned over is given back.
    auto held = pool.pick();
    held = pool.pick();
    CHECK(pool.statistics().in_flight == 1);
    CHECK(held.try_done(trimtab::Outcome::failed) == trimtab::Status::ok && pool.statistics(id).failed == 1);

    const auto token = pool.pick().release();
    CHECK(pool.statistics().in_flight == 1);
    pool.done(token, trimtab::Outcome::timed_out);
    CHECK(pool.statistics().in_flight == 0 && pool.statistics(id).timed_out == 1);
    CHECK(thrown([&] { pool.done(token, trimtab::Outcome::success); }) == trimtab::Status::stale_pick);
}

void failures()
{
    using trimtab::Status;
    trimtab::Pool pool;
    CHECK(thrown([&] { pool.pick(); }) == Status::no_backend);
    Status status = Status::ok;
    CHECK(!pool.try_pick({}, {}, &status) && status == Status::no_backend);
    CHECK(!pool.try_pick());
    const auto id = pool.add("10.0.0.1:80");
    CHECK(pool.try_pick({}, {}, &status) && status == Status::ok);
    CHECK(thrown([&] { pool.add("10.0.0.1:80"); }) == Status::exists);
    CHECK(thrown([&] { pool.add("10.0.0.2"); }) == Status::invalid_argument);
    CHECK(thrown([&] { pool.add("\xff"); }) == Status::utf8);
    CHECK(thrown([&] { pool.remove(99); }) == Status::not_found);
    CHECK(thrown([&] { pool.set_weight(id, 0); }) == Status::invalid_argument);
    CHECK(thrown([] { trimtab::PoolOptions().policy("fastests"); }) == Status::invalid_argument);
    CHECK(thrown([] { trimtab::PoolOptions().tick(-1ms); }) == Status::invalid_argument);
    CHECK(thrown([] { trimtab::Pool(trimtab::PoolOptions().bounded_load(1.5)); }) == Status::invalid_argument);
    CHECK(thrown([] { trimtab::Backend("10.0.0.1:80").weight(65536); }) == Status::invalid_argument);
    try {
        pool.set_weight(id, 0);
    } catch (const std::exception &error) {
        CHECK(std::strstr(error.what(), "drain") != nullptr);
    }
}

void retries()
{
    trimtab::Pool pool(trimtab::Policy::first);
    const auto first = pool.add("10.0.0.1:80");
    const auto second = pool.add("10.0.0.2:80");
    CHECK(pool.pick_avoiding({}).backend() == first);
    CHECK(pool.pick_avoiding({first}).backend() == second);
    CHECK(pool.pick_avoiding({first, second}, "key").backend() == first);
    // A key may hold any bytes.
    trimtab::Pool hashed(trimtab::PoolOptions().policy(trimtab::Policy::hash).hash(trimtab::Hash::maglev));
    hashed.add("10.0.0.1:80");
    hashed.add("10.0.0.2:80");
    const std::array<char, 4> client{10, 0, 0, static_cast<char>(0xff)};
    const std::string_view key(client.data(), client.size());
    CHECK(hashed.pick(key).backend() == hashed.pick(key).backend());
}

void failure_handling()
{
    using trimtab::Status;
    auto outlier = trimtab::outlier_defaults();
    CHECK(outlier.consecutive_errors == 5 && outlier.ejection_percent_max == 10);
    outlier.consecutive_errors = 2;
    outlier.ejection_percent_max = 100;
    auto adaptive = trimtab::adaptive_defaults();
    CHECK(adaptive.min == 3 && adaptive.scope == static_cast<std::int32_t>(trimtab::Scope::backend));
    adaptive.scope = static_cast<std::int32_t>(trimtab::Scope::pool);
    trimtab::Pool pool(trimtab::PoolOptions()
                           .policy(trimtab::Policy::first)
                           .backups(trimtab::Backups::spill)
                           .panic_threshold(60)
                           .fail_open(false)
                           .slow_start(10s)
                           .slow_start_aggression(2.0)
                           .slow_start_min(0.2)
                           .maxconn(100)
                           .connection_rate(1000, 1000)
                           .pending_max(1)
                           .retry_budget(0.5)
                           .retry_min(1)
                           .retries_max(9)
                           .outlier(outlier)
                           .adaptive(adaptive));
    CHECK(thrown([] { trimtab::PoolOptions().panic_threshold(101); }) == Status::invalid_argument);
    CHECK(thrown([] { trimtab::PoolOptions().retry_budget_off().retry_budget(2.0); }) == Status::invalid_argument);
    outlier.ejection_percent_max = 101;
    CHECK(thrown([&] { trimtab::PoolOptions().outlier(outlier); }) == Status::invalid_argument);
    adaptive.percentile = 2;
    CHECK(thrown([&] { trimtab::PoolOptions().adaptive(adaptive); }) == Status::invalid_argument);

    std::vector<std::string> told;
    const auto first = pool.add("10.0.0.1:80");
    const auto second = pool.add(trimtab::Backend("10.0.0.2:80").name("two").connection_rate(500, 500));
    pool.observe([&](const trimtab::PoolEvent &event) {
        told.push_back(std::to_string(static_cast<int>(event.kind())) + " " + std::to_string(event.backend()) + " " +
                       std::string(event.name()) + " " + std::to_string(event.number()) + " " +
                       std::string(event.reason()));
    });
    CHECK(thrown([&] { pool.observe([](const trimtab::PoolEvent &) {}); }) == Status::state);
    CHECK(thrown([] { trimtab::Pool().observe({}); }) == Status::null);
    // What it tells goes with it.
    trimtab::Pool moved = std::move(pool);
    pool = std::move(moved);
    const auto now = std::chrono::steady_clock::now();
    pool.set_observed(second, trimtab::Observed::down, "it was unplugged", now);
    CHECK(pool.reason(second) == "it was unplugged" && pool.reason(first).empty());
    CHECK(pool.statistics(second).observed_since_ns == trimtab::Now(now).nanoseconds());
    pool.set_observed(second, trimtab::Observed::up);
    const std::string id = std::to_string(second);
    const auto text = [](trimtab::EventKind kind, const std::string &rest) {
        return std::to_string(static_cast<int>(kind)) + " " + rest;
    };
    using trimtab::EventKind;
    CHECK((told == std::vector<std::string>{
                       text(EventKind::backend_observed, id + " two 2 it was unplugged"),
                       text(EventKind::panic_began, "0  0 "),
                       text(EventKind::backend_observed, id + " two 1 "),
                       text(EventKind::panic_ended, "0  0 "),
                   }));
    pool.set_connection_rate(second, 7, 9);
    CHECK(pool.statistics(second).connection_rate == 7 && pool.statistics(second).connection_burst == 9);

    // One more waits than may; a place that comes free is told while somebody does.
    CHECK(pool.try_want() && !pool.try_want());
    told.clear();
    pool.set_maxconn(first, 1);
    pool.pick().done(trimtab::Outcome::success);
    CHECK(!told.empty() && told.back() == text(EventKind::room, "0  0 "));
    pool.unwant();
    CHECK(thrown([&] { pool.unwant(); }) == Status::state);

    // Retries: as many as the budget has, each until it ends.
    CHECK(pool.may_retry());
    {
        auto retry = pool.retry_begin();
        CHECK(pool.statistics().retries == 1 && !pool.may_retry() && !pool.try_retry_begin());
        CHECK(thrown([&] { pool.retry_begin(); }) == Status::capacity);
        auto other = std::move(retry);
        retry.end();
        CHECK(pool.statistics().retries == 1);
    }
    CHECK(pool.statistics().retries == 0);
    const auto token = pool.try_retry_begin()->release();
    CHECK(pool.statistics().retries == 1);
    pool.retry_end(token);
    CHECK(thrown([&] { pool.retry_end(token); }) == Status::stale_pick);

    // Two errors in a row eject.
    told.clear();
    for (int turn = 0; turn < 2; ++turn) {
        pool.pick().done(trimtab::Outcome::failed);
    }
    CHECK(pool.next_deadline().has_value());
    pool.handle_timeout(trimtab::Now(*pool.next_deadline()));
    CHECK(pool.statistics(first).observed == TRIMTAB_OBSERVED_EJECTED && pool.statistics().ejections == 1);
    CHECK(pool.reason(first).find("2 errors in a row") != std::string::npos);
}

// Takes steps until there is nothing to do, each of which is as expected.
trimtab::CheckStep last_step(trimtab::Check &check, trimtab::Now now, const std::vector<trimtab::StepKind> &expected)
{
    for (const auto kind : expected) {
        const auto step = check.take_step(now);
        CHECK(step.kind() == kind);
        if (kind == trimtab::StepKind::write) {
            check.handle_written(step.data().size());
        }
    }
    const auto step = check.take_step(now);
    CHECK(step.kind() == trimtab::StepKind::wait && step.deadline().has_value());
    return step;
}

// A check by a clock of the test's own: steps as they come, and what the answers make of it.
void a_check()
{
    using trimtab::Now;
    using trimtab::StepKind;
    CHECK(thrown([] { trimtab::Check("check = { kind = \"smoke\" }", "10.0.0.1:80"); }) == trimtab::Status::config);
    CHECK(thrown([] { trimtab::Check("check = {}", "nowhere"); }) == trimtab::Status::invalid_argument);
    const std::uint64_t second = 1000000000;
    Now now(second);
    trimtab::Check check("check = { kind = \"agent\", send = \"hello\\n\", rise = 1, fall = 1 }", "10.0.0.1:80", now);
    CHECK(check.target() == "10.0.0.1:80" && check.observed() == trimtab::Observed::unknown);
    CHECK(check.reason().empty() && check.failure().empty());
    const auto probe = [&](const char *answer, const std::vector<StepKind> &after) {
        now = Now(check.take_step(now).deadline().value());
        last_step(check, now, {StepKind::connect});
        check.handle_connected(now);
        const auto step = check.take_step(now);
        CHECK(step.kind() == StepKind::write && step.data() == "hello\n");
        check.handle_written(2);
        CHECK(check.take_step(now).data() == "llo\n");
        check.handle_written(4);
        last_step(check, now, {});
        check.handle_bytes(answer, now);
        last_step(check, now, after);
    };
    probe("up 50% maxconn:7\n", {StepKind::close, StepKind::learn, StepKind::change});
    CHECK(check.observed() == trimtab::Observed::up && check.role() == trimtab::Role::unknown);
    CHECK(check.status().ordered_weight_percent == 50 && check.status().ordered_maxconn == 7);
    CHECK(check.status().ordered_admin == TRIMTAB_NOT_ORDERED);
    probe("down # on fire\n", {StepKind::close, StepKind::learn, StepKind::change});
    CHECK(check.observed() == trimtab::Observed::down && check.failure().find("on fire") != std::string::npos);
    CHECK(check.reason().find("on fire") != std::string::npos);

    // A connection that fails, and one that the program cannot make.
    trimtab::Check moved = std::move(check);
    now = Now(moved.take_step(now).deadline().value());
    last_step(moved, now, {StepKind::connect});
    moved.handle_failed("no route", now);
    last_step(moved, now, {StepKind::close});
    CHECK(moved.failure().find("no route") != std::string::npos && moved.status().failed == 2);
    now = Now(moved.take_step(now).deadline().value());
    last_step(moved, now, {StepKind::connect});
    moved.handle_abandoned(now);
    moved.handle_suspicion(now);
    moved.handle_end(now);
    CHECK(moved.status().failed == 2);
}

void no_allocation()
{
    trimtab::Pool pool(trimtab::Policy::peak_ewma);
    pool.add("10.0.0.1:80");
    pool.add("unix:/run/app.sock");
    const std::vector<trimtab::BackendId> tried{1};
    pool.pick();
    const std::size_t before = allocations;
    for (int turn = 0; turn < 1000; ++turn) {
        const auto now = std::chrono::steady_clock::now();
        auto picked = pool.pick("key", now);
        picked.done(trimtab::Outcome::success, trimtab::Timings().first_byte(1ms), now);
        auto other = pool.try_pick();
        auto third = pool.pick_avoiding(tried);
    }
    CHECK(allocations == before);
}

void threads()
{
    trimtab::Pool pool(trimtab::Policy::power_of_two);
    pool.add("10.0.0.1:80");
    pool.add("10.0.0.2:80");
    std::vector<std::thread> pickers;
    for (int number = 0; number < 4; ++number) {
        pickers.emplace_back([&pool] {
            for (int turn = 0; turn < 20000; ++turn) {
                auto picked = pool.pick();
                if (turn % 2 == 0) {
                    picked.done(trimtab::Outcome::success);
                }
            }
        });
    }
    for (auto &picker : pickers) {
        picker.join();
    }
    CHECK(pool.statistics().picks == 80000 && pool.statistics().in_flight == 0);
}

} // namespace

// What the header allocates; allocation.c counts what the library does.
void *operator new(std::size_t size)
{
    ++allocations;
    if (void *memory = std::malloc(size)) {
        return memory;
    }
    throw std::bad_alloc();
}
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }

int main()
{
    types();
    a_pool();
    an_exception_that_leaves_a_callback_ends_the_program();
    a_pick_is_given_back();
    failures();
    retries();
    failure_handling();
    a_check();
    no_allocation();
    threads();
    std::printf("wrapper: C++ works\n");
    return 0;
}
