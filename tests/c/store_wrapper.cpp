// The C++ header's store: owners that move, exceptions, values that come back whole; every class of it, and what each gives.
#include "check.hpp"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>
#include <type_traits>

using namespace std::chrono_literals;
using namespace std::string_view_literals;
using trimtab::ChangeKind;
using trimtab::Compare;
using trimtab::Condition;
using trimtab::Durability;
using trimtab::KeyRange;
using trimtab::Lifetime;
using trimtab::Operation;
using trimtab::Relation;
using trimtab::RestorePoint;
using trimtab::Status;
using trimtab::Store;
using trimtab::StoreCall;
using trimtab::StoreOptions;
using trimtab::Transaction;
using trimtab::WallTime;

// By how many seconds the wall clock is behind. The library's calls come here: see LDFLAGS_store_wrapper.
static long clock_behind;
extern "C" int __real_clock_gettime(clockid_t clock, timespec *at);
extern "C" int __wrap_clock_gettime(clockid_t clock, timespec *at);
int __wrap_clock_gettime(clockid_t clock, timespec *at)
{
    const int result = __real_clock_gettime(clock, at);
    if (result == 0 && clock == CLOCK_REALTIME) {
        at->tv_sec -= clock_behind;
    }
    return result;
}

namespace {

template <typename Owner>
constexpr bool moves_only = !std::is_copy_constructible_v<Owner> && std::is_nothrow_move_constructible_v<Owner> &&
                            std::is_nothrow_move_assignable_v<Owner>;
static_assert(moves_only<Store> && moves_only<StoreOptions> && moves_only<Transaction>);
static_assert(moves_only<trimtab::StoreAnswer> && moves_only<trimtab::StoreScan>);
static_assert(moves_only<trimtab::StoreWatch> && moves_only<trimtab::StoreQueue>);
static_assert(std::is_trivially_copyable_v<Operation> && std::is_trivially_copyable_v<StoreCall>);

std::string folder;

std::string in(std::string_view name) { return folder + "/" + std::string(name); }

StoreOptions small()
{
    StoreOptions options;
    options.segment_bytes(1 << 20).value_max(1 << 16);
    return options;
}

bool is_readable(int fd, int timeout_ms)
{
    pollfd waits = {fd, POLLIN, 0};
    return poll(&waits, 1, timeout_ms) == 1;
}

void calls()
{
    const auto options = small();
    {
        Store first(in("calls"), options);
        Store store(std::move(first));
        CHECK(!store.get("a"));
        const auto put = store.put("a", "1\0 2"sv);
        const auto found = store.get("a");
        CHECK(found && found->value == "1\0 2"sv && found->version == put.version && found->changes == 1);
        CHECK(found->created == put.version && !found->deadline && found->lease == 0);
        std::string buffer;
        CHECK(store.get("a", buffer) == put.version && buffer == "1\0 2"sv);
        const std::string longer(10000, 'x');
        const auto wide = store.put("wide", longer);
        CHECK(store.get("wide", buffer) == wide.version && buffer == longer);
        CHECK(!store.get("b", buffer) && buffer.empty());
        CHECK(store.erase("wide"));
        CHECK(store.compare_and_set("a", put.version, "new").is_done == 1);
        CHECK(store.compare_and_set("a", put.version, "newer").is_done == 0);
        CHECK(!store.get_and_set("b", "1") && store.get_and_set("b", "2")->value == "1" && store.erase("b"));
        CHECK(store.increment("n", 40) == 40 && store.increment("n") == 41);
        CHECK(thrown([&] { store.increment("a"); }) == Status::invalid_argument);
        CHECK(store.append("a", "est") == 6);
        CHECK(store.expire("n", 1h) && store.expire("n", -1ms) && !store.get("n") && !store.expire("n", 1h));
        const auto deadline = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now()) + 1h;
        CHECK(store.expire_at("a", deadline) && store.get("a")->deadline == deadline);
        CHECK(store.persist("a") && !store.get("a")->deadline && !store.persist("b"));

        // What was asked for is what was reached, or less than what there is.
        const auto memory = store.put("m", "", Durability::memory);
        CHECK(memory.durability == TRIMTAB_DURABILITY_MEMORY && put.durability == TRIMTAB_DURABILITY_LOCAL);
        CHECK(thrown([&] { store.put("m", "", Durability::quorum); }) == Status::unsupported);
        CHECK(store.sync() >= memory.sequence && store.sync(0ms) >= memory.sequence);
        CHECK(store.sync(std::chrono::milliseconds::max()) >= memory.sequence);
        CHECK(store.status().durable >= memory.sequence && store.status().failure == TRIMTAB_OK);
        CHECK(store.snapshot() >= memory.sequence && store.snapshot(1min) == store.status().snapshot);

        // Sent again, and not done twice; under another operation it is refused.
        const auto call = StoreCall().request({7, 7, 7}, 1).timeout(1min).durability(Durability::local);
        CHECK(store.increment("once", 5, call) == 5 && store.increment("once", 5, call) == 5);
        CHECK(thrown([&] { store.append("once", "5", call); }) == Status::state);
        const auto told = store.outcome(call);
        CHECK(told.state == trimtab::RequestState::applied && told.answer->result().number == 5);
        const auto never = store.outcome(StoreCall().request({7, 7, 7}, 2));
        CHECK(never.state == trimtab::RequestState::not_applied && !never.answer);
        store.close();
        CHECK(thrown([&] { store.get("a"); }) == Status::state);
        CHECK(thrown([&] { store.get("a", buffer); }) == Status::state && buffer.empty());
    }
    Store store(in("calls"), options);
    CHECK(thrown([&] { Store again(in("calls"), options); }) == Status::state);
    CHECK(store.get("a")->value == "newest" && store.count() == 3);
    Store defaults(in("defaults"));
    CHECK(defaults.count() == 0);
}

void options()
{
    Store store(in("options"), StoreOptions()
                                   .identity("0123456789abcdef", 3)
                                   .durability(Durability::memory)
                                   .timeout(10s)
                                   .waiting_max(100)
                                   .flush_interval(10ms)
                                   .flush_bytes(1 << 16)
                                   .snapshot_bytes(1 << 20)
                                   .snapshot_retry(1s)
                                   .eviction(trimtab::Eviction::lru)
                                   .eviction_places(1000)
                                   .memory_max(1 << 20)
                                   .operations_max(10)
                                   .clients_max(10)
                                   .client_bytes_max(1 << 16)
                                   .segment_bytes(1 << 18)
                                   .value_max(1 << 10)
                                   .pending_bytes_max(1 << 18)
                                   .disk_bytes_max(1 << 22)
                                   .kept_bytes(1 << 20)
                                   .disk_retry(10ms)
                                   .history_bytes_max(0)
                                   .scrub_interval(1ms)
                                   .scrub_bytes_per_second(1 << 30));
    CHECK(store.put("a", "").durability == TRIMTAB_DURABILITY_MEMORY);
    CHECK(thrown([&] { store.put("a", std::string(1025, 'x')); }) == Status::invalid_argument);
    while (store.status().scrub_passes < 2) {
        std::this_thread::yield();
    }
    CHECK(thrown([] { StoreOptions().identity("short", 1); }) == Status::invalid_argument);
    CHECK(thrown([] { StoreOptions().timeout(-1s); }) == Status::invalid_argument);
    CHECK(thrown([] { StoreOptions().scrub_interval(-1ms); }) == Status::invalid_argument);
    CHECK(thrown([] { StoreOptions().scrub_bytes_per_second(1); }) == Status::invalid_argument);
    CHECK(thrown([] { StoreOptions().segment_bytes(5); }) == Status::invalid_argument);
    CHECK(thrown([] { StoreOptions().durability(Durability::all); }) == Status::unsupported);
}

void operations()
{
    Store store(in("operations"), small());
    const auto first = store.execute(Operation::put("k", "1").when(Condition::absent()));
    CHECK(first.is_done() && first.size() == 0);
    CHECK(!store.execute(Operation::put("k", "2").when(Condition::absent())).is_done());
    const auto second = store.execute(Operation::put("k", "2").when(Condition::present()).previous());
    CHECK(second.is_done() && second.size() == 1 && second.entry().value == "1");
    const auto version = second.result().version;
    CHECK(!store.execute(Operation::erase("k").when(Condition::version(version - 1))).is_done());
    CHECK(store.execute(Operation::put("k", "3").lifetime(Lifetime::lasting(1h))).is_done());
    CHECK(store.get("k")->deadline > std::chrono::system_clock::now() + 59min);
    CHECK(store.execute(Operation::put("k", "4").lifetime(Lifetime::keep())).is_done() && store.get("k")->deadline);
    const WallTime when(std::chrono::seconds(4'000'000'000));
    CHECK(store.execute(Operation::set_lifetime("k", Lifetime::until(when)).when(Condition::later())).is_done());
    CHECK(store.get("k")->deadline == when);
    CHECK(!store.execute(Operation::set_lifetime("k", Lifetime::until(when)).when(Condition::earlier())).is_done());
    CHECK(!store.execute(Operation::set_lifetime("k", Lifetime()).when(Condition::no_deadline())).is_done());
    CHECK(store.execute(Operation::set_lifetime("k", Lifetime()).when(Condition::deadline())).is_done());
    CHECK(!store.get("k")->deadline);
    // No time at all, and more than there is.
    CHECK(store.execute(Operation::put("gone", "").lifetime(Lifetime::lasting(0ms))).is_done() && !store.get("gone"));
    CHECK(store.execute(Operation::put("stays", "").lifetime(Lifetime::lasting(std::chrono::milliseconds::max()))).is_done());
    CHECK(store.get("stays"));
    CHECK(store.execute(Operation::increment("n", 4)).result().number == 4);
    CHECK(store.execute(Operation::append("n", "2")).result().count == 2);
    const auto read = store.execute(Operation::get("n"));
    CHECK(read.is_done() && read.entry().value == "42" && !store.execute(Operation::get("none")).is_done());
    CHECK(thrown([&] { store.execute(Operation::get("n").when(Condition::later())).entry(1); }) == Status::not_found);
    const auto range = store.execute(Operation::range(KeyRange::between("k", "o")).reverse().limit(1));
    CHECK(range.size() == 1 && range.result().more == 1 && range.entry().key == "n");
    CHECK(store.execute(Operation::erase_range(KeyRange::prefix("k"))).result().count == 1 && !store.get("k"));
    CHECK(thrown([&] { store.execute(Operation::put("k", "").when(Condition::later())); }) == Status::invalid_argument);
}

void transactions()
{
    Store store(in("transactions"), small());
    const auto put = store.put("stock", "2");
    Transaction sell;
    sell.when("stock", Relation::not_equal, "0").then(Operation::increment("stock", -1)).then(Operation::increment("sold"));
    sell.otherwise(Operation::put("out", "yes").previous());
    for (int turn = 1; turn <= 2; ++turn) {
        const auto sold = store.commit(sell);
        CHECK(sold.is_done() && sold.result().count == 2 && sold.step(1).number == turn);
    }
    const auto none = store.commit(sell);
    CHECK(!none.is_done() && none.result().count == 1 && store.get("out")->value == "yes");
    const auto again = store.commit(sell);
    CHECK(again.step(0).entries == 1 && again.step_entry(0).value == "yes");
    CHECK(thrown([&] { again.step(1); }) == Status::not_found);

    Transaction compares;
    compares.when("stock", Compare::created, Relation::equal, put.version);
    compares.when("stock", Compare::version, Relation::greater, put.version);
    compares.when("stock", Compare::changes, Relation::less, 4).when("stock", Compare::lease, Relation::equal, 0);
    CHECK(store.commit(compares).is_done());

    // One that is refused undoes the others, or does not.
    Transaction refused;
    refused.then(Operation::increment("out")).then(Operation::put("x", "1"));
    CHECK(thrown([&] { store.commit(refused); }) == Status::invalid_argument && !store.get("x"));
    const auto partly = store.commit(refused.proceed());
    CHECK(thrown([&] { partly.step(0); }) == Status::invalid_argument && partly.step(1).is_done == 1 && store.get("x"));
    CHECK(thrown([&] { refused.then(Operation::lease_revoke(1)); }) == Status::invalid_argument);
}

void leases()
{
    Store store(in("leases"), small());
    const auto deadline = store.lease_grant(7, 1h);
    const auto lease = store.lease(7);
    CHECK(lease && lease->ttl == 1h && lease->deadline == deadline && !store.lease(8));
    CHECK(store.execute(Operation::put("with", "").lifetime(Lifetime::lease(7))).is_done());
    CHECK(store.get("with")->lease == 7 && !store.get("with")->deadline);
    CHECK(store.lease_keep_alive(7) >= deadline);
    CHECK(store.lease_revoke(7) == 1 && !store.get("with") && !store.lease(7));
    CHECK(thrown([&] { store.lease_keep_alive(7); }) == Status::not_found);
    CHECK(thrown([&] { store.lease_grant(0, 1s); }) == Status::invalid_argument);
    CHECK(thrown([&] { store.lease_grant(1, 0ms); }) == Status::invalid_argument);
    CHECK(store.execute(Operation::lease_grant(9, 1min)).result().deadline_ms > 0);
    CHECK(store.execute(Operation::lease_keep_alive(9)).is_done());
    CHECK(store.execute(Operation::lease_revoke(9)).result().count == 0);
}

void ranges()
{
    Store store(in("ranges"), small());
    for (const char *key : {"u/1", "u/2", "u/3", "v"}) {
        store.put(key, std::string_view(key).substr(1));
    }
    std::string all;
    auto scan = store.scan(KeyRange::prefix("u/"));
    // What is written meanwhile is not seen.
    const auto later = store.put("u/4", "");
    CHECK(scan.sequence() == later.sequence - 1);
    for (const auto &entry : scan) {
        all.append(entry.key).append(entry.value);
    }
    CHECK(all == "u/1/1u/2/2u/3/3");
    CHECK(!scan.next());
    all.clear();
    for (const auto &entry : store.scan(KeyRange::between("u/2"), 2, true)) {
        all.append(entry.key);
    }
    CHECK(all == "vu/4");
    CHECK(store.count() == 5 && store.count(KeyRange::all()) == 5 && store.count(KeyRange::prefix("u/")) == 4);
    CHECK(store.count(KeyRange::between("u/2", "u/4")) == 2);
    auto result = store.erase_range(KeyRange::prefix("u/"), 3);
    CHECK(result.count == 3 && result.more == 1);
    result = store.erase_range(KeyRange::prefix("u/"));
    CHECK(result.count == 1 && result.more == 0 && store.count() == 1);
    for (const auto &entry : store.scan(KeyRange::prefix("none"))) {
        CHECK(entry.key.empty());
        CHECK(false);
    }
}

void watches()
{
    Store store(in("watches"), small());
    auto watch = store.watch(KeyRange::prefix("u/"));
    CHECK(!watch.next(0ms) && !is_readable(watch.poll_fd(), 0));
    store.put("v", "");
    const auto put = store.put("u/1", "x");
    CHECK(is_readable(watch.poll_fd(), 60000));
    auto change = watch.next();
    CHECK(change.kind == ChangeKind::put && change.key == "u/1" && change.value == "x"sv && !change.more);
    CHECK(change.sequence == put.sequence && change.created == put.sequence);
    CHECK(watch.sequence() == put.sequence + 1 && !watch.next(1ms));
    store.put("u/2", "");
    store.erase_range(KeyRange::prefix("u/"));
    CHECK(watch.next(1min)->value == ""sv);
    change = watch.next();
    CHECK(change.kind == ChangeKind::deleted && !change.value && change.more);
    CHECK(!watch.next().more);
    // One waits, another writes; and from a sequence on.
    std::thread writes([&] { store.put("u/3", "later"); });
    CHECK(watch.next().value == "later"sv);
    writes.join();
    auto from = store.watch(KeyRange::prefix("u/"), put.sequence);
    CHECK(from.next().sequence == put.sequence);
    store.close();
    CHECK(thrown([&] { watch.next(); }) == Status::state);

    Store forgets(in("forgets"), small().history_bytes_max(0));
    const auto first = forgets.put("k", "");
    for (int turn = 0; turn < 2000; ++turn) {
        forgets.put("k", "", Durability::memory);
    }
    auto behind = forgets.watch({}, first.sequence);
    const auto gap = behind.next();
    CHECK(gap.kind == ChangeKind::compacted && gap.sequence > first.sequence);
}

void durable()
{
    Store store(in("durable"), small().flush_interval(1h));
    auto queue = store.queue(2);
    const auto sequence = store.put("m", "1", Durability::memory).sequence;
    queue.submit_durable(sequence, 5);
    CHECK(thrown([&] { store.wait_durable(sequence, 1ms); }) == Status::timed_out && !queue.next(0ms));
    store.sync();
    const auto done = queue.next();
    CHECK(done.user_data == 5 && done.answer.result().sequence == sequence);
    CHECK(store.wait_durable(sequence) == sequence && store.wait_durable(1, 1ms) == sequence);
}

void queues()
{
    std::optional<trimtab::StoreQueue> outlives;
    {
        Store store(in("queues"), small());
        auto queue = store.queue(64);
        CHECK(!queue.next(0ms) && queue.under_way() == 0 && !is_readable(queue.poll_fd(), 0));
        std::vector<Operation> batch;
        for (std::uint64_t at = 0; at < 50; ++at) {
            batch.push_back(Operation::increment("n").user_data(at));
        }
        CHECK(queue.submit(batch) == 50);
        queue.submit(Operation::append("a", "b").user_data(50), Durability::memory);
        Transaction both;
        both.then(Operation::get("n")).then(Operation::get("a"));
        queue.submit(both, 51);
        // There is room for so many, and no more.
        CHECK(queue.submit(batch) == 12);
        CHECK(thrown([&] { queue.submit(batch); }) == Status::capacity);
        std::map<std::uint64_t, int> seen;
        for (int taken = 0; taken < 64; ++taken) {
            CHECK(is_readable(queue.poll_fd(), 60000));
            const auto done = queue.next(0ms);
            CHECK(done && done->answer.is_done());
            ++seen[done->user_data];
            if (done->user_data == 51) {
                CHECK(done->answer.step_entry(0).value == "50" && done->answer.step_entry(1).value == "b");
            }
        }
        CHECK(seen.size() == 52 && seen[0] == 2 && seen[11] == 2 && seen[12] == 1 && !queue.next(1ms));

        // What fails is thrown where its answer is read.
        queue.submit(Operation::increment("a"));
        const auto failed = queue.next();
        CHECK(thrown([&] { failed.answer.result(); }) == Status::invalid_argument);
        const auto call = StoreCall().request({1}, 1);
        queue.submit(Operation::put("once", ""), call);
        queue.submit(Operation::erase("once"), call);
        CHECK(queue.next().answer.is_done());
        CHECK(thrown([&] { queue.next().answer.result(); }) == Status::state && store.get("once"));
        CHECK(thrown([&] { queue.submit(Operation::put("x", "").when(Condition::later())); }) == Status::invalid_argument);
        CHECK(thrown([&] { store.queue(0); }) == Status::invalid_argument);
        queue.submit(Operation::put("last", "").user_data(99));
        outlives.emplace(std::move(queue));
    }
    const auto done = outlives->next();
    CHECK(done.user_data == 99 && done.answer.is_done());
    CHECK(thrown([&] { outlives->submit(Operation::put("k", "")); }) == Status::state);
}

void hosted()
{
    Store store(in("hosted"), small().hosted());
    auto queue = store.queue(8);
    auto watch = store.watch(KeyRange::prefix("q"));
    CHECK(store.poll_fd() >= 0);
    for (unsigned at = 0; at < 5; ++at) {
        queue.submit(Operation::put("q" + std::to_string(at), "v").user_data(at));
    }
    CHECK(store.next_timeout() == 0 && is_readable(store.poll_fd(), 0) && !is_readable(queue.poll_fd(), 0));
    CHECK(store.turn(0ms) > 0);
    CHECK(is_readable(queue.poll_fd(), 0) && is_readable(watch.poll_fd(), 0));
    for (unsigned at = 0; at < 5; ++at) {
        CHECK(queue.next(0ms)->user_data == at);
    }
    CHECK(watch.next(0ms)->key == "q0");
    // What is in memory alone comes to disk in its time, by turns.
    store.put("m", "v", Durability::memory);
    while (store.status().durable < store.status().sequence) {
        store.turn();
    }
    while (store.turn(0ms) > 0) {
    }
    const auto deadline = store.next_deadline();
    CHECK(deadline && *deadline > trimtab::Now(std::chrono::steady_clock::now() + 1h).nanoseconds());
    CHECK(store.next_timeout() > 0 && !is_readable(store.poll_fd(), 0));
    // Calls that wait need no turn.
    store.put("w", "v");
    CHECK(store.status().durable == store.status().sequence);
    store.close();
    CHECK(thrown([&] { store.turn(); }) == Status::state && thrown([&] { store.poll_fd(); }) == Status::state);

    Store own(in("hosted"), small().hosted(false));
    CHECK(own.count() == 7);
    CHECK(thrown([&] { own.turn(0ms); }) == Status::state && thrown([&] { own.poll_fd(); }) == Status::state);
    CHECK(thrown([&] { own.next_deadline(); }) == Status::state && thrown([&] { own.next_timeout(); }) == Status::state);
}

void clusters()
{
    const char *const names[] = {"a", "b", "c"};
    const auto address = [&](unsigned at) {
        // Of this machine, and nobody else's: an address for each process, a port for each node.
        const unsigned pid = static_cast<unsigned>(getpid());
        return "127." + std::to_string(1 + (pid >> 16 & 0x3f)) + "." + std::to_string(pid >> 8 & 0xff) + "." +
               std::to_string(pid & 0xff) + ":" + std::to_string(7500 + at);
    };
    const auto member = [&](const char *node) {
        trimtab::ClusterOptions options(node);
        for (unsigned at = 0; at < 3; ++at) {
            options.member(names[at], address(at), at == 2);
        }
        options.cluster("of c++").insecure_plaintext().patience(60s).transfer_timeout(60s).message_bytes(16 << 10);
        return options;
    };
    std::vector<Store> stores;
    for (const char *node : names) {
        stores.push_back(Store::join(in(node), small().timeout(60s), member(node)));
    }
    for (unsigned round = 0; round < 6; ++round) {
        const auto value = std::to_string(round);
        const auto put = stores[round % 3].put("k", value, StoreCall().nodes(3));
        CHECK(put.nodes == 3 && put.durability >= static_cast<std::int32_t>(Durability::quorum) && put.epoch > 0);
        for (auto &store : stores) {
            CHECK(store.get("k")->value == value);
            const auto here = trimtab::StoreRead(trimtab::ReadLevel::local).behind(put).timeout(60s);
            CHECK(store.get("k", here)->value == value && !store.get("none", here));
            CHECK(store.count(KeyRange::all(), here) == 1 && store.scan(KeyRange::all(), here).next()->key == "k");
            CHECK(store.get("k", trimtab::StoreRead().age_max(5s).timeout(60s))->value == value);
        }
    }
    auto events = stores[2].cluster_events();
    CHECK(events.poll_fd() >= 0);
    std::string primary;
    while (primary.empty()) {
        const auto event = events.next();
        if (event.kind == trimtab::ClusterEventKind::role && !event.name.empty()) {
            primary = std::string(stores[2].cluster().primary());
        }
    }
    const auto cluster = stores[2].cluster();
    CHECK(cluster.node() == "c" && cluster.role() == trimtab::NodeRole::learner && cluster.size() == 3);
    CHECK(cluster.standing() == trimtab::Standing::active && cluster.trouble().empty() && cluster.primary_address().empty());
    CHECK(cluster.node(0).number > 0 && thrown([&] { cluster.node(3); }) == Status::not_found);
    auto &first = stores[primary == "a" ? 0 : 1];
    const std::string to = primary == "a" ? "b" : "a";
    CHECK(thrown([&] { stores[2].transfer(to); }) == Status::not_primary);
    CHECK(thrown([&] { stores[2].abort_transfer(); }) == Status::not_primary && !first.abort_transfer());
    first.transfer(to, 60s);
    for (auto event = events.next(); event.kind != trimtab::ClusterEventKind::role || event.name != to; event = events.next()) {
    }
    auto &second = stores[to == "a" ? 0 : 1];
    second.promote_learner("c");
    second.add_node("d");
    second.remove_node("d", 60s);
    CHECK(thrown([&] { second.add_node("d"); }) == Status::invalid_argument);
    CHECK(thrown([&] { second.replace_node("d", "c"); }) == Status::not_found);
    second.close();
    CHECK(first.increment("n") == 1);

    Store alone(in("alone"), small());
    CHECK(thrown([&] { alone.abort_transfer(); }) == Status::state);
    CHECK(thrown([&] { alone.cluster(); }) == Status::state && thrown([&] { alone.cluster_events(); }) == Status::state);
    CHECK(thrown([&] { Store::join(in("x"), trimtab::ClusterOptions("x")); }) == Status::invalid_argument);
    CHECK(thrown([&] { trimtab::ClusterOptions("No Name"); }) == Status::invalid_argument);
    trimtab::ClusterOptions others("x");
    others.listen("127.0.0.1:7400").tls("n.pem", "", "ca.pem").beginning(trimtab::Beginning::join);
    others.directory(trimtab::Directory::copy).durability(Durability::all).nodes(2).read(trimtab::ReadLevel::replica, 1s);
    others.forwards(false).forward_max(7).client_address("here").degrade_after(1s);
    others.feed_from("other").feed_timeout(3s);
    others.kept_bytes_max(1 << 20).snapshot_rate(1 << 30).slow_flush(5s).election_ticks(30);

    // The others are gone for good.
    second.close();
    first.close();
    stores.clear();
    const auto promoted = trimtab::promote_directory(in(names[0]));
    CHECK(promoted.cluster == "of c++" && promoted.node == names[0] && promoted.generation == 2 && promoted.last > 0);
    CHECK(promoted.out.size() >= 1 && promoted.out.size() + promoted.learners.size() == 2 && promoted.out[0] != names[0]);
    CHECK(thrown([&] { trimtab::promote_directory(in("alone")); }) == Status::invalid_argument);
    CHECK(thrown([&] { others.feed_from("No Name"); }) == Status::invalid_argument);
    CHECK(thrown([&] { others.listen("nowhere"); }) == Status::invalid_argument);
}

void backups()
{
    const auto options = small();
    const std::string backup = in("backup");
    trimtab_store_backup_report report;
    WallTime between;
    {
        Store store(in("data"), options);
        store.put("k", "1");
        report = store.backup(backup);
        CHECK(report.entries == report.last_sequence && report.snapshot == 0 && report.stretches == 1);
        between = WallTime(std::chrono::milliseconds(report.last_ms));
        while (std::chrono::system_clock::now() < between + 2ms) {
            std::this_thread::sleep_for(1ms);
        }
        store.put("k", "2");
        const auto full = store.backup(backup, true);
        CHECK(full.entries == 1 && full.snapshot == full.last_sequence);
        CHECK(thrown([&] { trimtab::backup_closed(in("data"), backup); }) == Status::state);
        store.put("k", "3");
    }
    const auto closed = trimtab::backup_closed(in("data"), backup);
    const auto held = trimtab::backup_verify(backup);
    CHECK(closed.entries == 1 && held.last_sequence == closed.last_sequence && held.entries == 0);
    CHECK(thrown([&] { trimtab::backup_verify(in("data")); }) == Status::not_found);

    const auto restored = trimtab::restore(backup, in("end"));
    CHECK(restored.sequence == held.last_sequence && restored.node == 1);
    CHECK(Store(in("end"), options).get("k")->value == "3");
    trimtab::restore(backup, in("sequence"), RestorePoint::sequence(report.last_sequence + 1));
    CHECK(Store(in("sequence"), options).get("k")->value == "2");
    trimtab::restore(backup, in("time"), RestorePoint::time(between));
    CHECK(Store(in("time"), options).get("k")->value == "1");
    trimtab::restore(backup, in("same"), {}, true);
    CHECK(Store(in("same"), options).backup(backup).entries == 0);
    CHECK(thrown([&] { Store(in("end"), options).backup(backup); }) == Status::invalid_argument);
    CHECK(thrown([&] { trimtab::restore(backup, in("end")); }) == Status::invalid_argument);
    CHECK(thrown([&] { trimtab::restore(backup, in("no"), RestorePoint::sequence(99)); }) == Status::invalid_argument);
}

void rot()
{
    Store store(in("rot"), small().scrub_bytes_per_second(1 << 30));
    for (int turn = 0; turn < 20; ++turn) {
        store.put("k", std::string(1000, 'v'));
    }
    store.scrub();
    CHECK(store.damage().empty() && store.status().scrub_passes == 1);
    {
        std::fstream file(in("rot/0000000000000001.wal"), std::ios::in | std::ios::out | std::ios::binary);
        file.seekg(9000);
        const int byte = file.get();
        file.seekp(9000);
        file.put(static_cast<char>(byte ^ 1));
        CHECK(file.good());
    }
    CHECK(thrown([&] { store.scrub(std::chrono::milliseconds::max()); }) == Status::corrupt);
    CHECK(store.damage().find("0000000000000001.wal is damaged at byte ") != std::string::npos);
    CHECK(store.status().scrub_failure == TRIMTAB_E_CORRUPT && store.get("k")->value.size() == 1000);

    Store slow(in("slow"), small().scrub_bytes_per_second(1 << 16));
    for (char key = 'a'; key < 'z'; ++key) {
        slow.put(std::string_view(&key, 1), std::string(1 << 16, 'v'), Durability::memory);
    }
    slow.sync();
    CHECK(thrown([&] { slow.scrub(1ms); }) == Status::timed_out);
}

constexpr const char *segment = "0000000000000001.wal";

std::string segment_of(const char *name)
{
    std::ifstream file(in(name) + "/" + segment, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(file), {}};
    CHECK(!bytes.empty());
    return bytes;
}

// Makes a store that has this segment alone, as a crash may leave one.
void make_of(const char *name, const std::string &bytes)
{
    std::filesystem::create_directory(in(name));
    CHECK(std::ofstream(in(name) + "/" + segment, std::ios::binary).write(bytes.data(), bytes.size()).good());
}

void found()
{
    std::string bytes;
    {
        Store store(in("whole"), small());
        CHECK(store.report().last == 0 && store.report().is_closed == 0 && store.torn_file().empty());
        store.put("a", "1");
        store.put("b", "2");
        CHECK(store.status().submitted == 3 && store.status().flushes >= 2);
        bytes = segment_of("whole");
    }
    CHECK(Store(in("whole"), small()).report().is_closed == 1);
    // The last write came to disk without its end.
    const auto end = bytes.find_last_not_of('\0');
    CHECK(end != std::string::npos);
    bytes.replace(end - 9, 10, 10, '\0');
    make_of("torn", bytes);
    {
        const Store store(in("torn"), small());
        const auto report = store.report();
        CHECK(report.is_torn == 1 && report.last == 2 && report.replayed == 2);
        CHECK(report.torn_offset > 8192 && report.torn_offset < end && report.torn_bytes >= 44);
        CHECK(store.torn_file() == in("torn") + "/" + segment && !store.get("b"));
    }

    clock_behind = 3600;
    {
        Store store(in("whole"), small());
        CHECK(store.report().ahead_ms > 3000000 && store.report().ahead_ms <= 3600000);
        store.put("a", "2");
        CHECK(store.status().clock_steps >= 1);
    }
    clock_behind = 0;

    // A segment that is nearly full, and none behind it yet: the command with the settings finds no place.
    {
        Store store(in("full"), small());
        for (;;) {
            bytes = segment_of("full");
            const auto room = bytes.size() - bytes.find_last_not_of('\0');
            if (room < 500) {
                break;
            }
            store.put("k", std::string(room > 70000 ? 60000 : 100, 'v'));
        }
    }
    make_of("refused", bytes);
    {
        Store store(in("refused"), small().value_max(10));
        CHECK(store.report().settings_refused == TRIMTAB_E_CAPACITY);
        CHECK(store.settings_refused().find("segment_bytes") != std::string::npos);
        store.put("k", "longer than ten bytes");
    }
    const Store store(in("refused"), small().value_max(10));
    CHECK(store.report().settings_refused == TRIMTAB_OK && store.settings_refused().empty());
}

} // namespace

int main()
{
    char made[] = "/tmp/trimtab-c-store-XXXXXX";
    CHECK(mkdtemp(made) != nullptr);
    folder = made;
    calls();
    options();
    operations();
    transactions();
    leases();
    ranges();
    watches();
    durable();
    queues();
    hosted();
    clusters();
    backups();
    rot();
    found();
    std::filesystem::remove_all(folder);
    std::puts("store_wrapper: C++ works");
    return 0;
}
