/*
 * trimtab for C++17: the C interface with owners, exceptions and types. Header only; link with trimtab.
 *
 *     trimtab::Pool pool(trimtab::PoolOptions().policy(trimtab::Policy::least_connections));
 *     pool.add("10.0.0.1:80");
 *
 *     trimtab::Picked picked = pool.pick();
 *     connect(picked.family(), picked.ip(), picked.port());
 *     picked.done(trimtab::Outcome::success);
 *
 *     trimtab::Server server = trimtab::Server::from_file("trimtab.toml");
 *     server.start();
 *     ...
 *     server.drain();
 *     server.wait();
 *
 *     trimtab::Store store("data");
 *     store.put("greeting", "hello");
 *
 * What fails throws trimtab::Error, apart from the `try_` functions, which return a trimtab::Status. Picking
 * and reporting allocate nothing. The docs of trimtab.h hold here too: ranges, defaults, thread safety (a
 * Pool, a Server and a Store may be used by any thread at any time; PoolOptions, Backend, Picked, Retry and Check by one
 * at a time).
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef TRIMTAB_HPP
#define TRIMTAB_HPP

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "trimtab.h"

namespace trimtab {

/// How a call went. A code newer than this header is neither of these, and an error.
enum class Status : trimtab_status {
    ok = TRIMTAB_OK,
    null = TRIMTAB_E_NULL,
    invalid_argument = TRIMTAB_E_INVALID_ARGUMENT,
    exists = TRIMTAB_E_EXISTS,
    not_found = TRIMTAB_E_NOT_FOUND,
    capacity = TRIMTAB_E_CAPACITY,
    no_backend = TRIMTAB_E_NO_BACKEND,
    stale_pick = TRIMTAB_E_STALE_PICK,
    utf8 = TRIMTAB_E_UTF8,
    struct_size = TRIMTAB_E_STRUCT_SIZE,
    panic = TRIMTAB_E_PANIC,
    closed = TRIMTAB_E_CLOSED,
    timed_out = TRIMTAB_E_TIMED_OUT,
    io = TRIMTAB_E_IO,
    config = TRIMTAB_E_CONFIG,
    state = TRIMTAB_E_STATE,
    forked = TRIMTAB_E_FORKED,
    unsupported = TRIMTAB_E_UNSUPPORTED,
    corrupt = TRIMTAB_E_CORRUPT,
    not_primary = TRIMTAB_E_NOT_PRIMARY,
    no_quorum = TRIMTAB_E_NO_QUORUM,
    superseded = TRIMTAB_E_SUPERSEDED,
    unknown_outcome = TRIMTAB_E_UNKNOWN_OUTCOME,
};

enum class Policy : std::int32_t {
    round_robin = TRIMTAB_POLICY_ROUND_ROBIN,
    static_weights = TRIMTAB_POLICY_STATIC,
    first = TRIMTAB_POLICY_FIRST,
    random = TRIMTAB_POLICY_RANDOM,
    least_connections = TRIMTAB_POLICY_LEAST_CONNECTIONS,
    power_of_two = TRIMTAB_POLICY_POWER_OF_TWO,
    peak_ewma = TRIMTAB_POLICY_PEAK_EWMA,
    fastest = TRIMTAB_POLICY_FASTEST,
    observed = TRIMTAB_POLICY_OBSERVED,
    predictive = TRIMTAB_POLICY_PREDICTIVE,
    source = TRIMTAB_POLICY_SOURCE,
    hash = TRIMTAB_POLICY_HASH,
};

enum class Hash : std::int32_t {
    ring = TRIMTAB_HASH_RING,
    maglev = TRIMTAB_HASH_MAGLEV,
    rendezvous = TRIMTAB_HASH_RENDEZVOUS,
};

enum class Backups : std::int32_t {
    one = TRIMTAB_BACKUPS_ONE,
    all = TRIMTAB_BACKUPS_ALL,
    spill = TRIMTAB_BACKUPS_SPILL,
};

enum class Formula : std::int32_t {
    trimtab = TRIMTAB_FORMULA_TRIMTAB,
    f5_k6406 = TRIMTAB_FORMULA_F5_K6406,
};

enum class Admin : std::int32_t {
    ready = TRIMTAB_ADMIN_READY,
    drain = TRIMTAB_ADMIN_DRAIN,
    maintenance = TRIMTAB_ADMIN_MAINTENANCE,
};

enum class Observed : std::int32_t {
    unknown = TRIMTAB_OBSERVED_UNKNOWN,
    up = TRIMTAB_OBSERVED_UP,
    down = TRIMTAB_OBSERVED_DOWN,
    ejected = TRIMTAB_OBSERVED_EJECTED,
};

enum class Outcome : std::int32_t {
    success = TRIMTAB_OUTCOME_SUCCESS,
    connect_failed = TRIMTAB_OUTCOME_CONNECT_FAILED,
    failed = TRIMTAB_OUTCOME_FAILED,
    timed_out = TRIMTAB_OUTCOME_TIMED_OUT,
    cancelled = TRIMTAB_OUTCOME_CANCELLED,
};

/// Whose picks in flight `adaptive` limits.
enum class Scope : std::int32_t {
    backend = TRIMTAB_SCOPE_BACKEND,
    pool = TRIMTAB_SCOPE_POOL,
};

enum class Role : std::int32_t {
    unknown = TRIMTAB_ROLE_UNKNOWN,
    primary = TRIMTAB_ROLE_PRIMARY,
    replica = TRIMTAB_ROLE_REPLICA,
};

/// What a check wants done.
enum class StepKind : std::int32_t {
    wait = TRIMTAB_STEP_WAIT,
    connect = TRIMTAB_STEP_CONNECT,
    write = TRIMTAB_STEP_WRITE,
    close = TRIMTAB_STEP_CLOSE,
    change = TRIMTAB_STEP_CHANGE,
    learn = TRIMTAB_STEP_LEARN,
};

enum class Family : std::uint32_t {
    unix_socket = TRIMTAB_FAMILY_UNIX,
    inet = TRIMTAB_FAMILY_INET,
    inet6 = TRIMTAB_FAMILY_INET6,
};

enum class ServerState : std::int32_t {
    made = TRIMTAB_SERVER_NEW,
    running = TRIMTAB_SERVER_RUNNING,
    draining = TRIMTAB_SERVER_DRAINING,
    stopped = TRIMTAB_SERVER_STOPPED,
};

/// What happened. One newer than this header is none of these.
enum class EventKind : std::int32_t {
    started = TRIMTAB_EVENT_STARTED,
    draining = TRIMTAB_EVENT_DRAINING,
    stopped = TRIMTAB_EVENT_STOPPED,
    accept_paused = TRIMTAB_EVENT_ACCEPT_PAUSED,
    accept_resumed = TRIMTAB_EVENT_ACCEPT_RESUMED,
    worker_failed = TRIMTAB_EVENT_WORKER_FAILED,
    backend_added = TRIMTAB_EVENT_BACKEND_ADDED,
    backend_removed = TRIMTAB_EVENT_BACKEND_REMOVED,
    backend_admin = TRIMTAB_EVENT_BACKEND_ADMIN,
    backend_observed = TRIMTAB_EVENT_BACKEND_OBSERVED,
    backend_weight = TRIMTAB_EVENT_BACKEND_WEIGHT,
    backend_maxconn = TRIMTAB_EVENT_BACKEND_MAXCONN,
    backend_tier = TRIMTAB_EVENT_BACKEND_TIER,
    discovery_failed = TRIMTAB_EVENT_DISCOVERY_FAILED,
    sessions_cut = TRIMTAB_EVENT_SESSIONS_CUT,
    store_failed = TRIMTAB_EVENT_STORE_FAILED,
    store_full = TRIMTAB_EVENT_STORE_FULL,
    store_recovered = TRIMTAB_EVENT_STORE_RECOVERED,
    store_backup_ended = TRIMTAB_EVENT_STORE_BACKUP_ENDED,
    store_backup_failed = TRIMTAB_EVENT_STORE_BACKUP_FAILED,
    store_damaged = TRIMTAB_EVENT_STORE_DAMAGED,
    store_mended = TRIMTAB_EVENT_STORE_MENDED,
    store_opened = TRIMTAB_EVENT_STORE_OPENED,
    panic_began = TRIMTAB_EVENT_PANIC_BEGAN,
    panic_ended = TRIMTAB_EVENT_PANIC_ENDED,
    /// Of a pool's own events only.
    room = TRIMTAB_EVENT_ROOM,
    cluster_role = TRIMTAB_EVENT_CLUSTER_ROLE,
    cluster_primary = TRIMTAB_EVENT_CLUSTER_PRIMARY,
    cluster_members = TRIMTAB_EVENT_CLUSTER_MEMBERS,
    cluster_fenced = TRIMTAB_EVENT_CLUSTER_FENCED,
    cluster_forgetful = TRIMTAB_EVENT_CLUSTER_FORGETFUL,
    cluster_readmitted = TRIMTAB_EVENT_CLUSTER_READMITTED,
    cluster_differs = TRIMTAB_EVENT_CLUSTER_DIFFERS,
    cluster_two_processes = TRIMTAB_EVENT_CLUSTER_TWO_PROCESSES,
    cluster_slow_disk = TRIMTAB_EVENT_CLUSTER_SLOW_DISK,
    cluster_source = TRIMTAB_EVENT_CLUSTER_SOURCE,
    cluster_installed = TRIMTAB_EVENT_CLUSTER_INSTALLED,
    cluster_link_up = TRIMTAB_EVENT_CLUSTER_LINK_UP,
    cluster_link_down = TRIMTAB_EVENT_CLUSTER_LINK_DOWN,
    cluster_refused = TRIMTAB_EVENT_CLUSTER_REFUSED,
    cluster_degraded = TRIMTAB_EVENT_CLUSTER_DEGRADED,
    cluster_recovered = TRIMTAB_EVENT_CLUSTER_RECOVERED,
    cluster_missed = TRIMTAB_EVENT_CLUSTER_MISSED,
};

/// Names a backend of one pool.
using BackendId = std::uint64_t;

/// A failed call: its status, and what went wrong in words. A write that failed was not done, but for `timed_out` and
/// `unknown_outcome`, after which it may have been; `io` and `panic` are told of in trimtab.h.
class Error : public std::exception {
public:
    Error(Status status, std::string detail) : status_(status), detail_(std::move(detail)) {}

    Status status() const noexcept { return status_; }
    const char *what() const noexcept override { return detail_.c_str(); }

private:
    Status status_;
    std::string detail_;
};

namespace detail {

inline trimtab_str str(std::string_view text) noexcept { return trimtab_str{text.data(), text.size()}; }

inline trimtab_bytes bytes(std::string_view data) noexcept { return trimtab_bytes{data.data(), data.size()}; }

inline std::uint64_t nanoseconds(std::chrono::steady_clock::time_point time) noexcept
{
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

/// Calls `copy(buffer, size, length_out)` with a buffer that is long enough.
template <typename Copy>
trimtab_status read(std::string &text, Copy &&copy)
{
    text.resize(256);
    for (;;) {
        std::size_t length = 0;
        const trimtab_status status = copy(text.data(), text.size(), &length);
        if (status != TRIMTAB_OK || length < text.size()) {
            text.resize(status == TRIMTAB_OK ? length : 0);
            return status;
        }
        text.resize(length + 1);
    }
}

[[noreturn]] inline void fail(trimtab_status status)
{
    std::string detail;
    read(detail, [](char *buffer, std::size_t size, std::size_t *length) {
        return trimtab_last_error_copy(buffer, size, length);
    });
    if (detail.empty()) {
        read(detail, [status](char *buffer, std::size_t size, std::size_t *length) {
            return trimtab_status_name_copy(status, buffer, size, length);
        });
    }
    throw Error(static_cast<Status>(status), std::move(detail));
}

inline void check(trimtab_status status)
{
    if (status != TRIMTAB_OK) {
        fail(status);
    }
}

template <typename Copy>
std::string text(Copy &&copy)
{
    std::string text;
    check(read(text, std::forward<Copy>(copy)));
    return text;
}

/// What `unique_ptr` calls at the end of a handle.
template <auto Free>
struct Deleter {
    template <typename Handle>
    void operator()(Handle *handle) const noexcept
    {
        Free(handle);
    }
};

} // namespace detail

/// The library's version, like "0.1.0".
inline std::string version()
{
    return detail::text([](char *buffer, std::size_t size, std::size_t *length) {
        return trimtab_version_copy(buffer, size, length);
    });
}

/// Whether the library was built with a part of it: "balance", "proxy", "tls", "http", "store",
/// "replication" or "cli".
inline bool has_feature(std::string_view name)
{
    std::int32_t has = 0;
    detail::check(trimtab_feature_has(detail::str(name), &has));
    return has != 0;
}

/// The name of a status, like "TRIMTAB_E_CAPACITY".
inline std::string name(Status status)
{
    std::string text;
    if (detail::read(text, [status](char *buffer, std::size_t size, std::size_t *length) {
            return trimtab_status_name_copy(static_cast<trimtab_status>(status), buffer, size, length);
        }) != TRIMTAB_OK) {
        text = "status " + std::to_string(static_cast<trimtab_status>(status));
    }
    return text;
}

/// The time of a call: a reading of `std::chrono::steady_clock`, which is the clock trimtab reads itself when
/// it is given none. A loop that knows the time saves 20 to 30 ns by telling it. The choice is made once for
/// a pool.
class Now {
public:
    /// trimtab reads the clock, if the policy needs it.
    constexpr Now() noexcept = default;
    /// This time.
    Now(std::chrono::steady_clock::time_point time) noexcept : ns_(detail::nanoseconds(time)) {}
    /// Nanoseconds of any one clock; 0 for none.
    constexpr explicit Now(std::uint64_t nanoseconds) noexcept : ns_(nanoseconds) {}

    constexpr std::uint64_t nanoseconds() const noexcept { return ns_; }

private:
    std::uint64_t ns_ = 0;
};

/// How long a pick took; what is not set was not measured.
class Timings {
public:
    using Duration = std::chrono::nanoseconds;

    Timings() noexcept : timings_{sizeof(trimtab_timings), 0, TRIMTAB_NO_TIME, TRIMTAB_NO_TIME, TRIMTAB_NO_TIME} {}

    /// Until the connection stood.
    Timings &connect(Duration duration) noexcept { return set(timings_.connect_ns, duration); }
    /// Until the first byte of the answer.
    Timings &first_byte(Duration duration) noexcept { return set(timings_.first_byte_ns, duration); }
    /// Until the last.
    Timings &total(Duration duration) noexcept { return set(timings_.total_ns, duration); }

    const trimtab_timings *get() const noexcept { return &timings_; }

private:
    Timings &set(std::uint64_t &field, Duration duration) noexcept
    {
        field = duration.count() < 0 ? 0 : static_cast<std::uint64_t>(duration.count());
        return *this;
    }

    trimtab_timings timings_;
};

/// How outliers are found and ejected, to change some of it for `PoolOptions::outlier`.
inline trimtab_outlier outlier_defaults()
{
    trimtab_outlier outlier{};
    outlier.struct_size = sizeof outlier;
    detail::check(trimtab_outlier_defaults_read(&outlier));
    return outlier;
}

/// How the most picks in flight are found, to change some of it for `PoolOptions::adaptive`.
inline trimtab_adaptive adaptive_defaults()
{
    trimtab_adaptive adaptive{};
    adaptive.struct_size = sizeof adaptive;
    detail::check(trimtab_adaptive_defaults_read(&adaptive));
    return adaptive;
}

/// How a pool is to be made. Each setter throws for a value out of range; what is not set has its default.
class PoolOptions {
public:
    PoolOptions()
    {
        trimtab_pool_options *options = nullptr;
        detail::check(trimtab_pool_options_new(&options));
        options_.reset(options);
    }

    PoolOptions &policy(Policy policy)
    {
        return set(trimtab_pool_options_set_policy, static_cast<std::int32_t>(policy));
    }
    /// By its name in configuration files: "round-robin", "least-connections", ...
    PoolOptions &policy(std::string_view name)
    {
        return set(trimtab_pool_options_set_policy_name, detail::str(name));
    }
    PoolOptions &hash(Hash hash) { return set(trimtab_pool_options_set_hash, static_cast<std::int32_t>(hash)); }
    PoolOptions &bounded_load(double factor) { return set(trimtab_pool_options_set_bounded_load, factor); }
    PoolOptions &backups(Backups backups)
    {
        return set(trimtab_pool_options_set_backups, static_cast<std::int32_t>(backups));
    }
    PoolOptions &formula(Formula formula)
    {
        return set(trimtab_pool_options_set_formula, static_cast<std::int32_t>(formula));
    }
    PoolOptions &tick(std::chrono::milliseconds tick)
    {
        return set(trimtab_pool_options_set_tick_ms, count(tick));
    }
    PoolOptions &blend(double blend) { return set(trimtab_pool_options_set_blend, blend); }
    PoolOptions &gain(double gain) { return set(trimtab_pool_options_set_gain, gain); }
    PoolOptions &history(std::uint32_t ticks) { return set(trimtab_pool_options_set_history, ticks); }
    PoolOptions &floor(double floor) { return set(trimtab_pool_options_set_floor, floor); }
    PoolOptions &stale(std::chrono::milliseconds stale)
    {
        return set(trimtab_pool_options_set_stale_ms, count(stale));
    }
    PoolOptions &decay(std::chrono::milliseconds decay)
    {
        return set(trimtab_pool_options_set_decay_ms, count(decay));
    }
    PoolOptions &seed(std::uint64_t seed) { return set(trimtab_pool_options_set_seed, seed); }
    PoolOptions &hash_seed(std::uint64_t seed) { return set(trimtab_pool_options_set_hash_seed, seed); }
    PoolOptions &lanes(std::uint32_t lanes) { return set(trimtab_pool_options_set_lanes, lanes); }
    PoolOptions &picks_max(std::uint32_t picks) { return set(trimtab_pool_options_set_picks_max, picks); }

    PoolOptions &panic_threshold(std::uint32_t percent)
    {
        return set(trimtab_pool_options_set_panic_threshold, percent);
    }
    PoolOptions &fail_open(bool fail_open = true)
    {
        return set(trimtab_pool_options_set_fail_open, static_cast<std::uint32_t>(fail_open));
    }
    PoolOptions &slow_start(std::chrono::milliseconds time)
    {
        return set(trimtab_pool_options_set_slow_start_ms, count(time));
    }
    PoolOptions &slow_start_aggression(double aggression)
    {
        return set(trimtab_pool_options_set_slow_start_aggression, aggression);
    }
    PoolOptions &slow_start_min(double min) { return set(trimtab_pool_options_set_slow_start_min, min); }
    /// Of the pool as a whole.
    PoolOptions &maxconn(std::uint32_t maxconn) { return set(trimtab_pool_options_set_maxconn, maxconn); }
    /// Of the pool as a whole: so many a second, and so many at once.
    PoolOptions &connection_rate(std::uint32_t rate, std::uint32_t burst)
    {
        detail::check(trimtab_pool_options_set_connection_rate(options_.get(), rate, burst));
        return *this;
    }
    PoolOptions &pending_max(std::uint32_t waiting)
    {
        return set(trimtab_pool_options_set_pending_max, waiting);
    }
    PoolOptions &retry_budget(double share) { return set(trimtab_pool_options_set_retry_budget, share); }
    PoolOptions &retry_budget_off()
    {
        detail::check(trimtab_pool_options_set_retry_budget_off(options_.get()));
        return *this;
    }
    PoolOptions &retry_min(std::uint32_t retries) { return set(trimtab_pool_options_set_retry_min, retries); }
    PoolOptions &retries_max(std::uint32_t retries) { return set(trimtab_pool_options_set_retries_max, retries); }
    /// Ejects outliers; see `outlier_defaults`.
    PoolOptions &outlier(const trimtab_outlier &outlier)
    {
        return set(trimtab_pool_options_set_outlier, &outlier);
    }
    /// Finds the most picks in flight by response times; see `adaptive_defaults`.
    PoolOptions &adaptive(const trimtab_adaptive &adaptive)
    {
        return set(trimtab_pool_options_set_adaptive, &adaptive);
    }

    /// For the C interface; stays the property of this object.
    const trimtab_pool_options *get() const noexcept { return options_.get(); }

private:
    static std::uint64_t count(std::chrono::milliseconds duration) noexcept
    {
        return duration.count() < 0 ? 0 : static_cast<std::uint64_t>(duration.count());
    }

    template <typename Value>
    PoolOptions &set(trimtab_status (*setter)(trimtab_pool_options *, Value), Value value)
    {
        detail::check(setter(options_.get(), value));
        return *this;
    }

    std::unique_ptr<trimtab_pool_options, detail::Deleter<trimtab_pool_options_free>> options_;
};

/// One server as it is handed to a pool, which copies it.
class Backend {
public:
    /// `address`: "ip:port", "[ipv6]:port", "unix:/path" or "unix:@abstract".
    explicit Backend(std::string_view address)
    {
        trimtab_backend *backend = nullptr;
        detail::check(trimtab_backend_new(detail::str(address), &backend));
        backend_.reset(backend);
    }

    Backend &name(std::string_view name) { return set(trimtab_backend_set_name, detail::str(name)); }
    Backend &weight(std::uint32_t weight) { return set(trimtab_backend_set_weight, weight); }
    Backend &maxconn(std::uint32_t maxconn) { return set(trimtab_backend_set_maxconn, maxconn); }
    /// So many picks a second, and so many at once.
    Backend &connection_rate(std::uint32_t rate, std::uint32_t burst)
    {
        detail::check(trimtab_backend_set_connection_rate(backend_.get(), rate, burst));
        return *this;
    }
    Backend &tier(std::uint32_t tier) { return set(trimtab_backend_set_tier, tier); }
    Backend &tag(std::uint64_t tag) { return set(trimtab_backend_set_tag, tag); }
    Backend &admin(Admin admin) { return set(trimtab_backend_set_admin, static_cast<std::int32_t>(admin)); }
    Backend &observed(Observed observed)
    {
        return set(trimtab_backend_set_observed, static_cast<std::int32_t>(observed));
    }

    /// For the C interface; stays the property of this object.
    const trimtab_backend *get() const noexcept { return backend_.get(); }

private:
    template <typename Value>
    Backend &set(trimtab_status (*setter)(trimtab_backend *, Value), Value value)
    {
        detail::check(setter(backend_.get(), value));
        return *this;
    }

    std::unique_ptr<trimtab_backend, detail::Deleter<trimtab_backend_free>> backend_;
};

/// A backend picked, in flight until `done`. One that is destroyed before is reported as cancelled, which takes
/// it out of flight and says nothing about the backend: so an exception in between neither leaks the pick nor
/// blames the server. Must not outlive its pool.
class Picked {
public:
    Picked(Picked &&other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), now_(other.now_), pick_(other.pick_)
    {
    }
    Picked &operator=(Picked &&other) noexcept
    {
        if (this != &other) {
            cancel();
            pool_ = std::exchange(other.pool_, nullptr);
            now_ = other.now_;
            pick_ = other.pick_;
        }
        return *this;
    }
    Picked(const Picked &) = delete;
    Picked &operator=(const Picked &) = delete;
    ~Picked() { cancel(); }

    BackendId backend() const noexcept { return pick_.backend; }
    /// The host's own number for the backend.
    std::uint64_t tag() const noexcept { return pick_.tag; }
    Family family() const noexcept { return static_cast<Family>(pick_.family); }
    /// 4 bytes for inet, 16 for inet6, in network order.
    const std::uint8_t *ip() const noexcept { return pick_.ip; }
    std::uint16_t port() const noexcept { return pick_.port; }
    std::uint32_t scope_id() const noexcept { return pick_.scope_id; }
    /// All of it, as C has it.
    const trimtab_pick &get() const noexcept { return pick_; }

    /// Reports how it went; once. A second time throws stale_pick.
    void done(Outcome outcome, const Timings &timings = Timings(), Now now = Now())
    {
        const Status status = try_done(outcome, timings, now);
        if (status == Status::stale_pick) {
            throw Error(status, "this pick was reported done before");
        }
        detail::check(static_cast<trimtab_status>(status));
    }

    /// The same without exceptions.
    Status try_done(Outcome outcome, const Timings &timings = Timings(), Now now = Now()) noexcept
    {
        if (pool_ == nullptr) {
            return Status::stale_pick;
        }
        const trimtab_status status = trimtab_pool_done(
            pool_, pick_.token, static_cast<std::int32_t>(outcome), timings.get(), now.nanoseconds());
        if (status != TRIMTAB_E_INVALID_ARGUMENT) {
            pool_ = nullptr;
        }
        return static_cast<Status>(status);
    }

    /// Gives the token to whoever will report it with `Pool::done`; nothing is reported here any more.
    std::uint64_t release() noexcept
    {
        pool_ = nullptr;
        return pick_.token;
    }

private:
    friend class Pool;

    Picked(const trimtab_pool *pool, Now now, const trimtab_pick &pick) noexcept
        : pool_(pool), now_(now), pick_(pick)
    {
    }

    void cancel() noexcept
    {
        if (pool_ != nullptr) {
            // Of one clock with the other calls; a little old, but a cancelled pick measures nothing.
            trimtab_pool_done(pool_, pick_.token, TRIMTAB_OUTCOME_CANCELLED, nullptr, now_.nanoseconds());
            pool_ = nullptr;
        }
    }

    const trimtab_pool *pool_;
    Now now_;
    trimtab_pick pick_;
};

/// A retry in flight, within the pool's budget until it ends: by `end`, or when this is destroyed. Must not outlive its
/// pool.
class Retry {
public:
    Retry(Retry &&other) noexcept : pool_(std::exchange(other.pool_, nullptr)), token_(other.token_) {}
    Retry &operator=(Retry &&other) noexcept
    {
        if (this != &other) {
            end();
            pool_ = std::exchange(other.pool_, nullptr);
            token_ = other.token_;
        }
        return *this;
    }
    Retry(const Retry &) = delete;
    Retry &operator=(const Retry &) = delete;
    ~Retry() { end(); }

    /// Ends it, however it went. Does nothing the second time.
    void end() noexcept
    {
        if (pool_ != nullptr) {
            trimtab_pool_retry_end(pool_, token_);
            pool_ = nullptr;
        }
    }

    /// Gives the token to whoever will end it with `Pool::retry_end`; this ends nothing any more.
    std::uint64_t release() noexcept
    {
        pool_ = nullptr;
        return token_;
    }

private:
    friend class Pool;

    Retry(const trimtab_pool *pool, std::uint64_t token) noexcept : pool_(pool), token_(token) {}

    const trimtab_pool *pool_;
    std::uint64_t token_;
};

/// What happened in a pool. Good during the call that brings it; the views end with a NUL, and are empty where there is
/// nothing to say.
class PoolEvent {
public:
    explicit PoolEvent(const trimtab_pool_event &event) noexcept : event_(&event) {}

    EventKind kind() const noexcept { return static_cast<EventKind>(event_->kind); }
    /// What there is now, as the kind tells: an Admin, an Observed, a weight, a tier, ...
    std::uint32_t number() const noexcept { return event_->number; }
    /// The backend that it happened to; 0 where it is none.
    BackendId backend() const noexcept { return event_->backend; }
    std::string_view name() const noexcept { return {event_->name, event_->name_len}; }
    /// Why, when that was said.
    std::string_view reason() const noexcept { return {event_->reason, event_->reason_len}; }

    const trimtab_pool_event &get() const noexcept { return *event_; }

private:
    const trimtab_pool_event *event_;
};

/// A set of backends a policy picks from. Any thread may call anything at any time, and picks neither lock nor
/// allocate.
class Pool {
public:
    /// With the default options.
    Pool() { make(nullptr); }
    explicit Pool(const PoolOptions &options) { make(options.get()); }
    explicit Pool(Policy policy) { make(PoolOptions().policy(policy).get()); }

    Pool(Pool &&) noexcept = default;
    Pool &operator=(Pool &&other) noexcept
    {
        if (this != &other) {
            // In this order: the pool that goes may be told of until it is gone.
            pool_ = std::move(other.pool_);
            on_event_ = std::move(other.on_event_);
        }
        return *this;
    }

    /// Gets the pool's events, on the thread whose call made them happen, before that call returns. It may call the
    /// pool; an exception that leaves it ends the program.
    using OnEvent = std::function<void(const PoolEvent &)>;

    /// Names who is told what happens, once for a pool and for as long as it lives.
    void observe(OnEvent on_event)
    {
        auto kept = std::make_unique<OnEvent>(std::move(on_event));
        detail::check(trimtab_pool_observe(get(), *kept ? &Pool::tell : nullptr, kept.get()));
        on_event_ = std::move(kept);
    }

    BackendId add(std::string_view address, std::uint32_t weight = 1)
    {
        BackendId id = 0;
        detail::check(trimtab_pool_add_backend(get(), detail::str(address), weight, &id));
        return id;
    }
    BackendId add(const Backend &backend)
    {
        BackendId id = 0;
        detail::check(trimtab_pool_add(get(), backend.get(), &id));
        return id;
    }
    /// All of them or, when one is refused, none; far quicker than one by one.
    std::vector<BackendId> add_all(const std::vector<Backend> &backends)
    {
        std::vector<const trimtab_backend *> pointers;
        pointers.reserve(backends.size());
        for (const Backend &backend : backends) {
            pointers.push_back(backend.get());
        }
        std::vector<BackendId> ids(backends.size());
        detail::check(trimtab_pool_add_all(get(), pointers.data(), pointers.size(), ids.data()));
        return ids;
    }

    void remove(BackendId id) { detail::check(trimtab_pool_remove(get(), id)); }
    void set_weight(BackendId id, std::uint32_t weight)
    {
        detail::check(trimtab_pool_set_weight(get(), id, weight));
    }
    void set_maxconn(BackendId id, std::uint32_t maxconn)
    {
        detail::check(trimtab_pool_set_maxconn(get(), id, maxconn));
    }
    void set_connection_rate(BackendId id, std::uint32_t rate, std::uint32_t burst)
    {
        detail::check(trimtab_pool_set_connection_rate(get(), id, rate, burst));
    }
    void set_tier(BackendId id, std::uint32_t tier) { detail::check(trimtab_pool_set_tier(get(), id, tier)); }
    void set_tag(BackendId id, std::uint64_t tag) { detail::check(trimtab_pool_set_tag(get(), id, tag)); }
    void set_admin(BackendId id, Admin admin)
    {
        detail::check(trimtab_pool_set_admin(get(), id, static_cast<std::int32_t>(admin)));
    }
    void set_observed(BackendId id, Observed observed)
    {
        detail::check(trimtab_pool_set_observed(get(), id, static_cast<std::int32_t>(observed)));
    }
    /// The same with why, in one line, and when.
    void set_observed(BackendId id, Observed observed, std::string_view reason, Now now = Now())
    {
        detail::check(trimtab_pool_set_observed_with(get(), id, static_cast<std::int32_t>(observed),
                                                     detail::str(reason), now.nanoseconds()));
    }

    /// The backend of this name, if there is one.
    std::optional<BackendId> find(std::string_view name) const
    {
        BackendId id = 0;
        const trimtab_status status = trimtab_pool_find(get(), detail::str(name), &id);
        if (status == TRIMTAB_E_NOT_FOUND) {
            return std::nullopt;
        }
        detail::check(status);
        return id;
    }

    /// All of them, in the order added.
    std::vector<BackendId> ids() const
    {
        std::vector<BackendId> ids;
        std::size_t count = 0;
        do {
            ids.resize(count);
            detail::check(trimtab_pool_ids_copy(get(), ids.data(), ids.size(), &count));
        } while (count > ids.size());
        ids.resize(count);
        return ids;
    }

    std::string name(BackendId id) const
    {
        return detail::text([this, id](char *buffer, std::size_t size, std::size_t *length) {
            return trimtab_pool_name_copy(get(), id, buffer, size, length);
        });
    }
    std::string address(BackendId id) const
    {
        return detail::text([this, id](char *buffer, std::size_t size, std::size_t *length) {
            return trimtab_pool_address_copy(get(), id, buffer, size, length);
        });
    }

    /// Why the backend is observed to be what it is; empty when that was not said.
    std::string reason(BackendId id) const
    {
        return detail::text([this, id](char *buffer, std::size_t size, std::size_t *length) {
            return trimtab_pool_reason_copy(get(), id, buffer, size, length);
        });
    }

    /// Picks a backend. `key` is what the hash policies place, any bytes; for `source`, the client's address,
    /// 4 or 16 bytes in network order.
    Picked pick(std::string_view key = {}, Now now = Now())
    {
        trimtab_pick pick = blank();
        detail::check(trimtab_pool_pick(get(), detail::bytes(key), now.nanoseconds(), &pick));
        return Picked(get(), now, pick);
    }

    /// Picks another backend than these, if there is one: for a retry.
    Picked pick_avoiding(const std::vector<BackendId> &tried, std::string_view key = {}, Now now = Now())
    {
        trimtab_pick pick = blank();
        detail::check(trimtab_pool_pick_avoiding(get(), detail::bytes(key), now.nanoseconds(), tried.data(),
                                                 tried.size(), &pick));
        return Picked(get(), now, pick);
    }

    /// `pick` without exceptions: nothing when it failed, and `status`, if given, says how it went.
    std::optional<Picked> try_pick(std::string_view key = {}, Now now = Now(), Status *status = nullptr) noexcept
    {
        trimtab_pick pick = blank();
        const trimtab_status result = trimtab_pool_pick(get(), detail::bytes(key), now.nanoseconds(), &pick);
        if (status != nullptr) {
            *status = static_cast<Status>(result);
        }
        if (result != TRIMTAB_OK) {
            return std::nullopt;
        }
        return Picked(get(), now, pick);
    }

    /// Reports a pick whose token was released.
    void done(std::uint64_t token, Outcome outcome, const Timings &timings = Timings(), Now now = Now())
    {
        detail::check(trimtab_pool_done(get(), token, static_cast<std::int32_t>(outcome), timings.get(),
                                        now.nanoseconds()));
    }

    /// Begins a retry; throws capacity when the budget is used up: what failed should fail then.
    Retry retry_begin(Now now = Now())
    {
        std::uint64_t token = 0;
        detail::check(trimtab_pool_retry_begin(get(), now.nanoseconds(), &token));
        return Retry(get(), token);
    }
    /// The same; nothing when the budget is used up.
    std::optional<Retry> try_retry_begin(Now now = Now()) noexcept
    {
        std::uint64_t token = 0;
        if (trimtab_pool_retry_begin(get(), now.nanoseconds(), &token) != TRIMTAB_OK) {
            return std::nullopt;
        }
        return Retry(get(), token);
    }
    /// Ends a retry whose token was released.
    void retry_end(std::uint64_t token) { detail::check(trimtab_pool_retry_end(get(), token)); }
    /// Whether the budget has room now. Another thread may take it first.
    bool may_retry(Now now = Now()) const
    {
        std::int32_t may = 0;
        detail::check(trimtab_pool_may_retry(get(), now.nanoseconds(), &may));
        return may != 0;
    }

    /// Says that somebody waits for a place, until `unwant`: events tell when one may have come free. False when
    /// `pending_max` wait already.
    bool try_want()
    {
        const trimtab_status status = trimtab_pool_try_want(get());
        if (status == TRIMTAB_E_CAPACITY) {
            return false;
        }
        detail::check(status);
        return true;
    }
    /// One less waits.
    void unwant() { detail::check(trimtab_pool_unwant(get())); }

    /// What the next pick by this thread would come to and why, as JSON.
    std::string explain(std::string_view key = {}, Now now = Now()) const
    {
        return detail::text([this, key, now](char *buffer, std::size_t size, std::size_t *length) {
            return trimtab_pool_explain_copy(get(), detail::bytes(key), now.nanoseconds(), buffer, size, length);
        });
    }

    trimtab_pool_statistics statistics() const
    {
        trimtab_pool_statistics statistics{};
        statistics.struct_size = sizeof statistics;
        detail::check(trimtab_pool_statistics_read(get(), &statistics));
        return statistics;
    }
    trimtab_backend_statistics statistics(BackendId id) const
    {
        trimtab_backend_statistics statistics{};
        statistics.struct_size = sizeof statistics;
        detail::check(trimtab_pool_backend_statistics_read(get(), id, &statistics));
        return statistics;
    }

    /// Does what is due: weighs anew, judges outliers, ends ejections and slow starts; picks do so by themselves too.
    void handle_timeout(Now now = Now()) { detail::check(trimtab_pool_handle_timeout(get(), now.nanoseconds())); }

    /// When `handle_timeout` is next of use, in nanoseconds of the pool's clock; nothing while nothing will be due.
    std::optional<std::uint64_t> next_deadline() const
    {
        std::uint64_t deadline = TRIMTAB_NO_TIME;
        detail::check(trimtab_pool_next_deadline(get(), &deadline));
        return deadline == TRIMTAB_NO_TIME ? std::nullopt : std::optional<std::uint64_t>(deadline);
    }

    /// For the C interface; stays the property of this object.
    const trimtab_pool *get() const noexcept { return pool_.get(); }

private:
    friend class Server;

    explicit Pool(trimtab_pool *pool) noexcept : pool_(pool) {}

    static void tell(const trimtab_pool_event *event, void *on_event) noexcept
    {
        (*static_cast<const OnEvent *>(on_event))(PoolEvent(*event));
    }

    static trimtab_pick blank() noexcept
    {
        trimtab_pick pick{};
        pick.struct_size = sizeof pick;
        return pick;
    }

    void make(const trimtab_pool_options *options)
    {
        trimtab_pool *pool = nullptr;
        detail::check(trimtab_pool_new(options, &pool));
        pool_.reset(pool);
    }

    /// Where C finds it however this object moves. Before the pool, so that it outlives it.
    std::unique_ptr<OnEvent> on_event_;
    std::unique_ptr<trimtab_pool, detail::Deleter<trimtab_pool_free>> pool_;
};

/// What a check wants done.
class CheckStep {
public:
    StepKind kind() const noexcept { return static_cast<StepKind>(step_.kind); }
    /// When to take the next step if nothing happens before, in nanoseconds of the check's clock; nothing for never.
    std::optional<std::uint64_t> deadline() const noexcept
    {
        return step_.deadline_ns == TRIMTAB_NO_TIME ? std::nullopt : std::optional<std::uint64_t>(step_.deadline_ns);
    }
    /// What is to be written. Good until the next call on the check.
    std::string_view data() const noexcept { return {static_cast<const char *>(step_.data), step_.len}; }

    const trimtab_check_step &get() const noexcept { return step_; }

private:
    friend class Check;

    CheckStep() noexcept { step_.struct_size = sizeof step_; }

    trimtab_check_step step_{};
};

/// A health check of one backend, for a program that runs probes in a loop of its own. It has no socket, clock or
/// thread: the program tells what happened to the probe's connection, of which there is one at a time, and takes steps
/// until one is `wait`. One thread at a time may use it.
class Check {
public:
    /// `config`: the keys `check`, `role` and `lag_max` as a `[[pool]]` of a configuration has them, like
    /// `check = { kind = "http", path = "/up" }`. `address`: the backend's.
    Check(std::string_view config, std::string_view address, Now now = Now())
    {
        trimtab_check *check = nullptr;
        detail::check(trimtab_check_new(detail::str(config), detail::str(address), now.nanoseconds(), &check));
        check_.reset(check);
    }

    /// Does what is due, and says what to do next.
    CheckStep take_step(Now now = Now())
    {
        CheckStep step;
        detail::check(trimtab_check_take_step(get(), now.nanoseconds(), &step.step_));
        return step;
    }

    /// The probe's connection stands.
    void handle_connected(Now now = Now()) { detail::check(trimtab_check_handle_connected(get(), now.nanoseconds())); }
    /// The socket took so many bytes of a step's data.
    void handle_written(std::size_t bytes) { detail::check(trimtab_check_handle_written(get(), bytes)); }
    /// This came, in whatever pieces.
    void handle_bytes(std::string_view bytes, Now now = Now())
    {
        detail::check(trimtab_check_handle_bytes(get(), detail::bytes(bytes), now.nanoseconds()));
    }
    /// Nothing more will come.
    void handle_end(Now now = Now()) { detail::check(trimtab_check_handle_end(get(), now.nanoseconds())); }
    /// The connection could not be made, or broke: a bad verdict.
    void handle_failed(std::string_view why, Now now = Now())
    {
        detail::check(trimtab_check_handle_failed(get(), detail::str(why), now.nanoseconds()));
    }
    /// The probe could not be made for a reason of the program's own: no verdict.
    void handle_abandoned(Now now = Now()) { detail::check(trimtab_check_handle_abandoned(get(), now.nanoseconds())); }
    /// Traffic gave cause for doubt: the next probe comes as soon as it may.
    void handle_suspicion(Now now = Now()) { detail::check(trimtab_check_handle_suspicion(get(), now.nanoseconds())); }

    /// Where its probes connect, as an address is written.
    std::string target() const
    {
        return detail::text([this](char *buffer, std::size_t size, std::size_t *length) {
            return trimtab_check_target_copy(get(), buffer, size, length);
        });
    }
    /// How the backend stands.
    trimtab_check_status status() const
    {
        trimtab_check_status status{};
        status.struct_size = sizeof status;
        detail::check(trimtab_check_status_read(get(), &status));
        return status;
    }
    Observed observed() const { return static_cast<Observed>(status().observed); }
    Role role() const { return static_cast<Role>(status().role); }
    /// Why it is observed to be so; empty while nothing is known.
    std::string reason() const
    {
        return detail::text([this](char *buffer, std::size_t size, std::size_t *length) {
            return trimtab_check_reason_copy(get(), buffer, size, length);
        });
    }
    /// Why the last bad probe was bad; empty when there was none.
    std::string failure() const
    {
        return detail::text([this](char *buffer, std::size_t size, std::size_t *length) {
            return trimtab_check_failure_copy(get(), buffer, size, length);
        });
    }

    /// For the C interface; stays the property of this object.
    trimtab_check *get() const noexcept { return check_.get(); }

private:
    std::unique_ptr<trimtab_check, detail::Deleter<trimtab_check_free>> check_;
};

/// What a server tells. Good during the call that brings it; the views end with a NUL, and are empty where there
/// is nothing to say.
class Event {
public:
    explicit Event(const trimtab_event &event) noexcept : event_(&event) {}

    EventKind kind() const noexcept { return static_cast<EventKind>(event_->kind); }
    /// The kind in a word for logs, like "backend-admin".
    std::string_view name() const noexcept { return {event_->name, event_->name_len}; }
    std::string_view listener() const noexcept { return {event_->listener, event_->listener_len}; }
    std::string_view pool() const noexcept { return {event_->pool, event_->pool_len}; }
    std::string_view backend() const noexcept { return {event_->backend, event_->backend_len}; }
    /// The node of the store's cluster that it is about.
    std::string_view node() const noexcept { return {event_->node, event_->node_len}; }
    /// What a backend or a node changed to, how many, or an entry: in a word or digits, and as a number (an Admin, an
    /// Observed, a NodeRole, a weight, ...).
    std::string_view value() const noexcept { return {event_->value, event_->value_len}; }
    std::uint32_t number() const noexcept { return event_->number; }
    /// More in words.
    std::string_view detail() const noexcept { return {event_->detail, event_->detail_len}; }

    const trimtab_event &get() const noexcept { return *event_; }

private:
    const trimtab_event *event_;
};

class Store;

/// Listeners that relay connections to pools, on threads of its own (`start`) or in the host's loop
/// (`start_hosted`). Any thread may call anything at any time. Destroying it ends it, and waits for its threads.
class Server {
public:
    using Duration = std::chrono::milliseconds;
    /// Gets the events, on the thread that made them happen; two at once may be in it. It may call the server,
    /// except `turn`; an exception that leaves it ends the program.
    using OnEvent = std::function<void(const Event &)>;

    /// From a configuration's text; errors call it `source_name`.
    explicit Server(std::string_view config, std::string_view source_name = {}, OnEvent on_event = {})
        : on_event_(keep(std::move(on_event)))
    {
        trimtab_server *server = nullptr;
        detail::check(trimtab_server_new(detail::str(config), detail::str(source_name), &server, function(),
                                         on_event_.get()));
        server_.reset(server);
    }
    /// From a configuration's file.
    static Server from_file(std::string_view path, OnEvent on_event = {})
    {
        Server made(keep(std::move(on_event)));
        trimtab_server *server = nullptr;
        detail::check(
            trimtab_server_new_from_file(detail::str(path), &server, made.function(), made.on_event_.get()));
        made.server_.reset(server);
        return made;
    }

    Server(Server &&) noexcept = default;
    Server &operator=(Server &&other) noexcept
    {
        if (this != &other) {
            // In this order: the server that goes may call its own function until it is gone.
            server_ = std::move(other.server_);
            on_event_ = std::move(other.on_event_);
        }
        return *this;
    }

    /// Hands over a socket that listens already. The server takes a duplicate; `fd` stays the caller's.
    void adopt(std::string_view listener, int fd)
    {
        detail::check(trimtab_server_adopt(get(), detail::str(listener), fd));
    }

    /// On threads of its own.
    void start() { detail::check(trimtab_server_start(get())); }
    /// Without a thread: it runs while it is turned, and its store with it.
    void start_hosted() { detail::check(trimtab_server_start_hosted(get())); }

    /// Accepts nothing new, and ends sessions when the configured time is over. Does not wait.
    void drain() { detail::check(trimtab_server_drain(get(), -1)); }
    /// The same with another time.
    void drain(Duration timeout) { detail::check(trimtab_server_drain(get(), count(timeout))); }
    /// Cuts every session and ends. Does not wait.
    void stop() { detail::check(trimtab_server_stop(get())); }
    /// Waits until it has ended.
    void wait() { detail::check(trimtab_server_wait(get(), -1)); }
    /// Waits until it has ended; false when it had not in time.
    bool wait_for(Duration timeout)
    {
        const trimtab_status status = trimtab_server_wait(get(), count(timeout));
        if (status == TRIMTAB_E_TIMED_OUT) {
            return false;
        }
        detail::check(status);
        return true;
    }

    ServerState state() const
    {
        std::int32_t state = 0;
        detail::check(trimtab_server_state(get(), &state));
        return static_cast<ServerState>(state);
    }

    /// Readable when a turn has something to do. Stays the server's.
    int poll_fd() const
    {
        std::int32_t fd = -1;
        detail::check(trimtab_server_poll_fd(get(), &fd));
        return fd;
    }
    /// When a turn is needed even if the descriptor is not readable, in nanoseconds of `steady_clock`; nothing
    /// while nothing is pending.
    std::optional<std::uint64_t> next_deadline() const
    {
        std::uint64_t deadline = TRIMTAB_NO_TIME;
        detail::check(trimtab_server_next_deadline(get(), &deadline));
        return deadline == TRIMTAB_NO_TIME ? std::nullopt : std::optional<std::uint64_t>(deadline);
    }
    /// The same as `poll` and `epoll_wait` take it: milliseconds from now, -1 while nothing is pending.
    int next_timeout() const
    {
        std::int32_t timeout = -1;
        detail::check(trimtab_server_next_timeout(get(), &timeout));
        return timeout;
    }
    /// Waits until something happens and handles it; gives how much there was.
    std::size_t turn() { return turn_for(-1); }
    /// The same, waiting at most so long; not at all for 0.
    std::size_t turn(Duration timeout) { return turn_for(count(timeout)); }

    /// Where a listener listens, like "127.0.0.1:8080".
    std::string address(std::string_view listener) const
    {
        return detail::text([this, listener](char *buffer, std::size_t size, std::size_t *length) {
            return trimtab_server_address_copy(get(), detail::str(listener), buffer, size, length);
        });
    }
    /// Where the admin socket listens; nothing when the configuration has none.
    std::optional<std::string> admin_address() const
    {
        std::string text;
        const trimtab_status status =
            detail::read(text, [this](char *buffer, std::size_t size, std::size_t *length) {
                return trimtab_server_admin_address_copy(get(), buffer, size, length);
            });
        if (status == TRIMTAB_E_NOT_FOUND) {
            return std::nullopt;
        }
        detail::check(status);
        return text;
    }

    /// A pool of the configuration, to look at and change while the server runs; good after its end too.
    Pool pool(std::string_view name) const
    {
        trimtab_pool *pool = nullptr;
        detail::check(trimtab_server_pool(get(), detail::str(name), &pool));
        return Pool(pool);
    }

    /// The store of the configuration, to the same keys that Redis clients see. Open until the server ends, which closes it:
    /// its own `close` is refused, and what is called afterwards throws. The handle may outlive the server.
    Store store() const;

    trimtab_server_statistics statistics() const
    {
        trimtab_server_statistics statistics{};
        statistics.struct_size = sizeof statistics;
        detail::check(trimtab_server_statistics_read(get(), &statistics));
        return statistics;
    }
    trimtab_listener_statistics statistics(std::string_view listener) const
    {
        trimtab_listener_statistics statistics{};
        statistics.struct_size = sizeof statistics;
        detail::check(trimtab_server_listener_statistics_read(get(), detail::str(listener), &statistics));
        return statistics;
    }
    /// Everything there is to see, as JSON.
    std::string status() const
    {
        return detail::text([this](char *buffer, std::size_t size, std::size_t *length) {
            return trimtab_server_status_copy(get(), buffer, size, length);
        });
    }

    /// For the C interface; stays the property of this object.
    const trimtab_server *get() const noexcept { return server_.get(); }

private:
    explicit Server(std::unique_ptr<OnEvent> on_event) noexcept : on_event_(std::move(on_event)) {}

    static std::unique_ptr<OnEvent> keep(OnEvent on_event)
    {
        return on_event ? std::make_unique<OnEvent>(std::move(on_event)) : nullptr;
    }

    static void tell(const trimtab_event *event, void *on_event) noexcept
    {
        (*static_cast<const OnEvent *>(on_event))(Event(*event));
    }

    trimtab_event_fn function() const noexcept { return on_event_ ? &Server::tell : nullptr; }

    static std::int64_t count(Duration timeout) noexcept { return timeout.count() < 0 ? 0 : timeout.count(); }

    std::size_t turn_for(std::int64_t timeout_ms)
    {
        std::size_t count = 0;
        detail::check(trimtab_server_turn(get(), timeout_ms, &count));
        return count;
    }

    /// Where C finds it however this object moves. Before the server, so that it outlives it.
    std::unique_ptr<OnEvent> on_event_;
    std::unique_ptr<trimtab_server, detail::Deleter<trimtab_server_free>> server_;
};

/// When a write is answered, and what it has reached then.
enum class Durability : std::int32_t {
    /// What the store was opened with.
    usual = TRIMTAB_DURABILITY_DEFAULT,
    memory = TRIMTAB_DURABILITY_MEMORY,
    local = TRIMTAB_DURABILITY_LOCAL,
    quorum = TRIMTAB_DURABILITY_QUORUM,
    all = TRIMTAB_DURABILITY_ALL,
};

/// What goes when `memory_max` is reached.
enum class Eviction : std::int32_t {
    refuse = TRIMTAB_EVICTION_REFUSE,
    lru = TRIMTAB_EVICTION_LRU,
    ttl = TRIMTAB_EVICTION_TTL,
};

/// How fresh what a read sees is to be, in a cluster.
enum class ReadLevel : std::int32_t {
    /// As `ClusterOptions::read` said.
    usual = TRIMTAB_READ_DEFAULT,
    /// All that was answered at `Durability::quorum` before the read, whichever node it is asked of.
    primary = TRIMTAB_READ_PRIMARY,
    /// What is on this node, no older than a bound.
    replica = TRIMTAB_READ_REPLICA,
    /// What is on this node, however old.
    local = TRIMTAB_READ_LOCAL,
};

/// What a node of a cluster does whose directory is empty.
enum class Beginning : std::int32_t {
    begin = TRIMTAB_BEGINNING_NEW,
    join = TRIMTAB_BEGINNING_JOIN,
    adopt = TRIMTAB_BEGINNING_ADOPT,
};

/// What is known of the directory of a node of a cluster.
enum class Directory : std::int32_t {
    detect = TRIMTAB_DIRECTORY_DETECT,
    original = TRIMTAB_DIRECTORY_ORIGINAL,
    copy = TRIMTAB_DIRECTORY_COPY,
    promoted = TRIMTAB_DIRECTORY_PROMOTED,
};

/// What a node of a cluster is.
enum class NodeRole : std::int32_t {
    primary = TRIMTAB_NODE_PRIMARY,
    replica = TRIMTAB_NODE_REPLICA,
    candidate = TRIMTAB_NODE_CANDIDATE,
    learner = TRIMTAB_NODE_LEARNER,
    idle = TRIMTAB_NODE_IDLE,
};

/// Whether a node of a cluster may be believed.
enum class Standing : std::int32_t {
    active = TRIMTAB_STANDING_ACTIVE,
    forgetful = TRIMTAB_STANDING_FORGETFUL,
    fenced = TRIMTAB_STANDING_FENCED,
    failed = TRIMTAB_STANDING_FAILED,
    founding = TRIMTAB_STANDING_FOUNDING,
};

/// What happened to a cluster; the constants of trimtab.h say more. One newer than this header is none of these.
enum class ClusterEventKind : std::int32_t {
    role = TRIMTAB_CLUSTER_ROLE,
    members = TRIMTAB_CLUSTER_MEMBERS,
    fenced = TRIMTAB_CLUSTER_FENCED,
    forgetful = TRIMTAB_CLUSTER_FORGETFUL,
    readmitted = TRIMTAB_CLUSTER_READMITTED,
    differs = TRIMTAB_CLUSTER_DIFFERS,
    two_processes = TRIMTAB_CLUSTER_TWO_PROCESSES,
    slow_disk = TRIMTAB_CLUSTER_SLOW_DISK,
    installed = TRIMTAB_CLUSTER_INSTALLED,
    link_up = TRIMTAB_CLUSTER_LINK_UP,
    link_down = TRIMTAB_CLUSTER_LINK_DOWN,
    refused = TRIMTAB_CLUSTER_REFUSED,
    missed = TRIMTAB_CLUSTER_MISSED,
    source = TRIMTAB_CLUSTER_SOURCE,
    damaged = TRIMTAB_CLUSTER_DAMAGED,
    mended = TRIMTAB_CLUSTER_MENDED,
    degraded = TRIMTAB_CLUSTER_DEGRADED,
    recovered = TRIMTAB_CLUSTER_RECOVERED,
};

/// Which number of a key a transaction compares.
enum class Compare : std::int32_t {
    version = TRIMTAB_COMPARE_VERSION,
    created = TRIMTAB_COMPARE_CREATED,
    changes = TRIMTAB_COMPARE_CHANGES,
    lease = TRIMTAB_COMPARE_LEASE,
};

/// How what a key has must stand to what a transaction compares it with.
enum class Relation : std::int32_t {
    equal = TRIMTAB_RELATION_EQUAL,
    not_equal = TRIMTAB_RELATION_NOT_EQUAL,
    less = TRIMTAB_RELATION_LESS,
    greater = TRIMTAB_RELATION_GREATER,
};

/// What a change of a key is. One newer than this header is none of these.
enum class ChangeKind : std::int32_t {
    compacted = TRIMTAB_CHANGE_COMPACTED,
    put = TRIMTAB_CHANGE_PUT,
    incremented = TRIMTAB_CHANGE_INCREMENTED,
    appended = TRIMTAB_CHANGE_APPENDED,
    lifetime_set = TRIMTAB_CHANGE_LIFETIME_SET,
    deleted = TRIMTAB_CHANGE_DELETED,
    expired = TRIMTAB_CHANGE_EXPIRED,
    evicted = TRIMTAB_CHANGE_EVICTED,
    revoked = TRIMTAB_CHANGE_REVOKED,
};

/// A moment by the wall clock, as stores count them: to the millisecond, from 1970 on.
using WallTime = std::chrono::system_clock::time_point;

namespace detail {

inline std::uint64_t wall_ms(WallTime time) noexcept
{
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
    return ms < 0 ? 0 : static_cast<std::uint64_t>(ms);
}

/// What is too far away for the clock is the last moment it has.
inline WallTime wall_time(std::uint64_t ms) noexcept
{
    const auto last = std::chrono::duration_cast<std::chrono::milliseconds>(WallTime::max().time_since_epoch()).count();
    if (ms >= static_cast<std::uint64_t>(last)) {
        return WallTime::max();
    }
    return WallTime(std::chrono::duration_cast<WallTime::duration>(
        std::chrono::milliseconds(static_cast<std::chrono::milliseconds::rep>(ms))));
}

inline std::uint64_t span_ms(std::chrono::milliseconds span) noexcept
{
    return span.count() < 0 ? 0 : static_cast<std::uint64_t>(span.count());
}

/// How long to wait, where C takes 0 for not at all: the longest there is, for ever.
inline std::int64_t wait_ms(std::chrono::milliseconds timeout) noexcept
{
    if (timeout == std::chrono::milliseconds::max()) {
        return -1;
    }
    return timeout.count() < 0 ? 0 : timeout.count();
}

/// The same where C takes 0 for the store's timeout.
inline std::int64_t timeout_ms(std::chrono::milliseconds timeout) noexcept
{
    const std::int64_t ms = wait_ms(timeout);
    return ms == 0 ? 1 : ms;
}

inline std::string_view view(const void *data, std::size_t len) noexcept
{
    return data == nullptr ? std::string_view() : std::string_view(static_cast<const char *>(data), len);
}

template <typename Struct>
Struct sized() noexcept
{
    Struct made = {};
    made.struct_size = sizeof made;
    return made;
}

} // namespace detail

/// How a store is to be opened. Each setter throws for a value out of range; what is not set has its default.
class StoreOptions {
public:
    using Duration = std::chrono::milliseconds;

    StoreOptions()
    {
        trimtab_store_options *options = nullptr;
        detail::check(trimtab_store_options_new(&options));
        options_.reset(options);
    }

    /// `cluster`: 16 bytes.
    StoreOptions &identity(std::string_view cluster, std::uint64_t node)
    {
        detail::check(trimtab_store_options_set_identity(options_.get(), detail::bytes(cluster), node));
        return *this;
    }
    StoreOptions &durability(Durability durability)
    {
        return set(trimtab_store_options_set_durability, static_cast<std::int32_t>(durability));
    }
    StoreOptions &timeout(Duration timeout) { return set(trimtab_store_options_set_timeout_ms, count(timeout)); }
    StoreOptions &waiting_max(std::size_t calls) { return set(trimtab_store_options_set_waiting_max, calls); }
    StoreOptions &flush_interval(Duration interval)
    {
        return set(trimtab_store_options_set_flush_interval_ms, count(interval));
    }
    StoreOptions &flush_bytes(std::uint64_t bytes) { return set(trimtab_store_options_set_flush_bytes, bytes); }
    StoreOptions &snapshot_bytes(std::uint64_t bytes)
    {
        return set(trimtab_store_options_set_snapshot_bytes, bytes);
    }
    StoreOptions &snapshot_retry(Duration retry)
    {
        return set(trimtab_store_options_set_snapshot_retry_ms, count(retry));
    }
    StoreOptions &eviction(Eviction eviction)
    {
        return set(trimtab_store_options_set_eviction, static_cast<std::int32_t>(eviction));
    }
    StoreOptions &eviction_places(std::size_t keys) { return set(trimtab_store_options_set_eviction_places, keys); }
    StoreOptions &memory_max(std::uint64_t bytes) { return set(trimtab_store_options_set_memory_max, bytes); }
    StoreOptions &value_max(std::uint64_t bytes) { return set(trimtab_store_options_set_value_max, bytes); }
    StoreOptions &operations_max(std::uint64_t operations)
    {
        return set(trimtab_store_options_set_operations_max, operations);
    }
    StoreOptions &clients_max(std::uint64_t clients) { return set(trimtab_store_options_set_clients_max, clients); }
    StoreOptions &client_bytes_max(std::uint64_t bytes)
    {
        return set(trimtab_store_options_set_client_bytes_max, bytes);
    }
    StoreOptions &segment_bytes(std::uint64_t bytes) { return set(trimtab_store_options_set_segment_bytes, bytes); }
    StoreOptions &pending_bytes_max(std::uint64_t bytes)
    {
        return set(trimtab_store_options_set_pending_bytes_max, bytes);
    }
    StoreOptions &disk_bytes_max(std::uint64_t bytes)
    {
        return set(trimtab_store_options_set_disk_bytes_max, bytes);
    }
    StoreOptions &kept_bytes(std::uint64_t bytes) { return set(trimtab_store_options_set_kept_bytes, bytes); }
    StoreOptions &disk_retry(Duration retry) { return set(trimtab_store_options_set_disk_retry_ms, count(retry)); }
    StoreOptions &history_bytes_max(std::uint64_t bytes)
    {
        return set(trimtab_store_options_set_history_bytes_max, bytes);
    }
    /// 0: only when it is asked for.
    StoreOptions &scrub_interval(Duration interval)
    {
        return set(trimtab_store_options_set_scrub_interval_ms, count(interval));
    }
    StoreOptions &scrub_bytes_per_second(std::uint64_t bytes)
    {
        return set(trimtab_store_options_set_scrub_bytes_per_second, bytes);
    }

    /// On the caller's threads, in `Store::turn` and in calls that wait: it makes none.
    StoreOptions &hosted(bool hosted = true) { return set(trimtab_store_options_set_hosted, hosted ? 1 : 0); }

    const trimtab_store_options *get() const noexcept { return options_.get(); }

private:
    template <typename Value>
    StoreOptions &set(trimtab_status (*setter)(trimtab_store_options *, Value), Value value)
    {
        detail::check(setter(options_.get(), value));
        return *this;
    }

    /// A negative duration is out of every range.
    static std::uint64_t count(Duration duration) noexcept
    {
        return duration.count() < 0 ? UINT64_MAX : static_cast<std::uint64_t>(duration.count());
    }

    std::unique_ptr<trimtab_store_options, detail::Deleter<trimtab_store_options_free>> options_;
};

/// How a store is a member of a cluster, for `Store::join`: say who the members are and how links are secured. What is out of
/// range, or does not fit together, is refused there.
class ClusterOptions {
public:
    using Duration = std::chrono::milliseconds;

    /// `node`: the name of this node, one of the members'.
    explicit ClusterOptions(std::string_view node)
    {
        trimtab_cluster_options *options = nullptr;
        detail::check(trimtab_cluster_options_new(detail::str(node), &options));
        options_.reset(options);
    }

    /// `address`: where it listens, like "10.0.0.5:7400"; empty: nowhere, so that it dials the others.
    ClusterOptions &member(std::string_view name, std::string_view address = {}, bool learner = false)
    {
        detail::check(trimtab_cluster_options_add_member(options_.get(), detail::str(name), detail::str(address),
                                                         learner ? 1 : 0));
        return *this;
    }
    ClusterOptions &cluster(std::string_view name)
    {
        return set(trimtab_cluster_options_set_cluster, detail::str(name));
    }
    ClusterOptions &listen(std::string_view address)
    {
        return set(trimtab_cluster_options_set_listen, detail::str(address));
    }
    /// Paths of PEM files; `key` may be empty, when it stands beside the certificate.
    ClusterOptions &tls(std::string_view certificate, std::string_view key, std::string_view ca)
    {
        detail::check(trimtab_cluster_options_set_tls(options_.get(), detail::str(certificate), detail::str(key),
                                                      detail::str(ca)));
        return *this;
    }
    /// On loopback addresses alone, or `anywhere`.
    ClusterOptions &insecure_plaintext(bool anywhere = false)
    {
        return set(trimtab_cluster_options_set_insecure_plaintext, anywhere ? 1 : 0);
    }
    ClusterOptions &beginning(Beginning beginning)
    {
        return set(trimtab_cluster_options_set_beginning, static_cast<std::int32_t>(beginning));
    }
    ClusterOptions &directory(Directory directory)
    {
        return set(trimtab_cluster_options_set_directory, static_cast<std::int32_t>(directory));
    }
    ClusterOptions &durability(Durability durability)
    {
        return set(trimtab_cluster_options_set_durability, static_cast<std::int32_t>(durability));
    }
    /// On so many nodes' disks, learners among them, beside those of a quorum; 0: as the durability says.
    ClusterOptions &nodes(std::uint32_t nodes) { return set(trimtab_cluster_options_set_nodes, nodes); }
    /// `age_max`: with `ReadLevel::replica`, how old it may be at most.
    ClusterOptions &read(ReadLevel level, Duration age_max = Duration::zero())
    {
        detail::check(trimtab_cluster_options_set_read(options_.get(), static_cast<std::int32_t>(level), count(age_max)));
        return *this;
    }
    ClusterOptions &forwards(bool forwards) { return set(trimtab_cluster_options_set_forwards, forwards ? 1 : 0); }
    ClusterOptions &patience(Duration patience)
    {
        return set(trimtab_cluster_options_set_patience_ms, count(patience));
    }
    ClusterOptions &forward_max(std::uint32_t calls) { return set(trimtab_cluster_options_set_forward_max, calls); }
    ClusterOptions &client_address(std::string_view address)
    {
        return set(trimtab_cluster_options_set_client_address, detail::str(address));
    }
    /// 0: never.
    ClusterOptions &degrade_after(Duration after)
    {
        return set(trimtab_cluster_options_set_degrade_after_ms, count(after));
    }
    /// By whom this node is fed as long as it is a learner; the best first.
    ClusterOptions &feed_from(std::string_view node)
    {
        return set(trimtab_cluster_options_add_feed_from, detail::str(node));
    }
    ClusterOptions &feed_timeout(Duration timeout)
    {
        return set(trimtab_cluster_options_set_feed_timeout_ms, count(timeout));
    }
    ClusterOptions &transfer_timeout(Duration timeout)
    {
        return set(trimtab_cluster_options_set_transfer_timeout_ms, count(timeout));
    }
    ClusterOptions &message_bytes(std::uint64_t bytes)
    {
        return set(trimtab_cluster_options_set_message_bytes, bytes);
    }
    /// Of the log, for nodes that are behind.
    ClusterOptions &kept_bytes_max(std::uint64_t bytes)
    {
        return set(trimtab_cluster_options_set_kept_bytes_max, bytes);
    }
    /// Bytes of snapshots sent in a second; 0: no limit.
    ClusterOptions &snapshot_rate(std::uint64_t bytes)
    {
        return set(trimtab_cluster_options_set_snapshot_rate, bytes);
    }
    /// How long a write to the primary's disk may take before it hands over; 0: as long as it takes.
    ClusterOptions &slow_flush(Duration after) { return set(trimtab_cluster_options_set_slow_flush_ms, count(after)); }
    /// So many times 20 ms without a word of the primary begin an election.
    ClusterOptions &election_ticks(std::uint32_t ticks)
    {
        return set(trimtab_cluster_options_set_election_ticks, ticks);
    }

    const trimtab_cluster_options *get() const noexcept { return options_.get(); }

private:
    template <typename Value>
    ClusterOptions &set(trimtab_status (*setter)(trimtab_cluster_options *, Value), Value value)
    {
        detail::check(setter(options_.get(), value));
        return *this;
    }

    /// A negative duration is out of every range.
    static std::uint64_t count(Duration duration) noexcept
    {
        return duration.count() < 0 ? UINT64_MAX : static_cast<std::uint64_t>(duration.count());
    }

    std::unique_ptr<trimtab_cluster_options, detail::Deleter<trimtab_cluster_options_free>> options_;
};

/// How a read in a cluster is to go.
class StoreRead {
public:
    using Duration = std::chrono::milliseconds;

    StoreRead(ReadLevel level = ReadLevel::usual) noexcept : read_(detail::sized<trimtab_store_read>())
    {
        read_.level = static_cast<std::int32_t>(level);
    }

    /// What is on this node, no older than this.
    StoreRead &age_max(Duration age) noexcept
    {
        read_.level = TRIMTAB_READ_REPLICA;
        read_.age_max_ms = age.count() < 0 ? 0 : static_cast<std::uint64_t>(age.count());
        return *this;
    }
    /// It has to see the write that has this result.
    StoreRead &behind(const trimtab_store_result &result) noexcept
    {
        read_.epoch = result.epoch;
        read_.entry = result.entry;
        return *this;
    }
    /// How long to wait for that.
    StoreRead &timeout(Duration timeout) noexcept
    {
        read_.timeout_ms = detail::timeout_ms(timeout);
        return *this;
    }

    const trimtab_store_read *get() const noexcept { return &read_; }

private:
    trimtab_store_read read_;
};

/// How a cluster was, as one of its nodes saw it: `Store::cluster` makes it. What its texts point to lives as long as this.
class Cluster {
public:
    using Status = trimtab_cluster_status;
    using Node = trimtab_cluster_node;

    Status status() const
    {
        auto status = detail::sized<Status>();
        detail::check(trimtab_cluster_status_read(cluster_.get(), &status));
        return status;
    }
    NodeRole role() const { return static_cast<NodeRole>(status().role); }
    Standing standing() const { return static_cast<Standing>(status().standing); }
    std::string_view node() const { return view(status().node, status().node_len); }
    /// Empty while none is known.
    std::string_view primary() const { return view(status().primary, status().primary_len); }
    /// Where clients reach it, as far as it said.
    std::string_view primary_address() const
    {
        return view(status().primary_address, status().primary_address_len);
    }
    /// Why this node takes no part, and what to do; empty while it does.
    std::string_view trouble() const { return view(status().trouble, status().trouble_len); }
    /// How many nodes there are, this one too.
    std::uint32_t size() const { return status().nodes; }
    Node node(std::uint32_t at) const
    {
        auto node = detail::sized<Node>();
        detail::check(trimtab_cluster_node_read(cluster_.get(), at, &node));
        return node;
    }

private:
    friend class Store;

    explicit Cluster(trimtab_cluster *cluster) noexcept : cluster_(cluster) {}

    static std::string_view view(const char *data, std::size_t len) noexcept
    {
        return data == nullptr ? std::string_view() : std::string_view(data, len);
    }

    std::unique_ptr<trimtab_cluster, detail::Deleter<trimtab_cluster_free>> cluster_;
};

/// Something that happened to a cluster; `kind` says what its fields have.
struct ClusterEvent {
    ClusterEventKind kind;
    NodeRole role;
    std::uint64_t epoch;
    std::uint64_t number;
    std::string name;
    std::string detail;
};

/// Follows what happens to the cluster of a store: `Store::cluster_events` makes it. One thread at a time may use the same one.
class ClusterEvents {
public:
    using Duration = std::chrono::milliseconds;

    /// Waits for the next event.
    ClusterEvent next() { return std::move(*next(Duration::max())); }
    /// The same, waiting at most so long; not at all for 0. Nothing when the time is over.
    std::optional<ClusterEvent> next(Duration timeout)
    {
        auto event = detail::sized<trimtab_cluster_event>();
        const trimtab_status status = trimtab_cluster_events_next(events_.get(), detail::wait_ms(timeout), &event);
        if (status == TRIMTAB_E_TIMED_OUT) {
            return std::nullopt;
        }
        detail::check(status);
        return ClusterEvent{static_cast<ClusterEventKind>(event.kind),
                            static_cast<NodeRole>(event.role),
                            event.epoch,
                            event.number,
                            event.name == nullptr ? std::string() : std::string(event.name, event.name_len),
                            event.detail == nullptr ? std::string() : std::string(event.detail, event.detail_len)};
    }
    /// Readable when `next` is worth a call. It stays the property of this object.
    int poll_fd() const
    {
        std::int32_t fd = -1;
        detail::check(trimtab_cluster_events_poll_fd(events_.get(), &fd));
        return fd;
    }

private:
    friend class Store;

    explicit ClusterEvents(trimtab_cluster_events *events) noexcept : events_(events) {}

    std::unique_ptr<trimtab_cluster_events, detail::Deleter<trimtab_cluster_events_free>> events_;
};

/// How a write is to go. What is not set is as the store was opened.
class StoreCall {
public:
    using Duration = std::chrono::milliseconds;
    using Client = std::array<std::uint8_t, 16>;

    StoreCall() noexcept : call_(detail::sized<trimtab_store_call>()) {}
    StoreCall(Durability durability) noexcept : StoreCall() { this->durability(durability); }

    StoreCall &durability(Durability durability) noexcept
    {
        call_.durability = static_cast<std::int32_t>(durability);
        return *this;
    }
    /// In a cluster, on so many nodes' disks, learners among them, beside those of a quorum; 0: as the durability says.
    StoreCall &nodes(std::uint32_t nodes) noexcept
    {
        call_.nodes = nodes;
        return *this;
    }
    /// At least 1 ms; the longest there is: for ever. What is submitted to a queue does not wait.
    StoreCall &timeout(Duration timeout) noexcept
    {
        call_.timeout_ms = detail::timeout_ms(timeout);
        return *this;
    }
    /// So that it may be sent again without being done twice. `client`: any 16 bytes that no other client uses, and not
    /// all 0; `number`: counted up by the client, one for each request, which it names for good: sent again it is with the same
    /// operation. No more is compared than which kind of answer that has; see `trimtab_store_call`.
    StoreCall &request(const Client &client, std::uint64_t number) noexcept
    {
        std::copy(client.begin(), client.end(), call_.client);
        call_.number = number;
        return *this;
    }

    const trimtab_store_call *get() const noexcept { return &call_; }

private:
    trimtab_store_call call_;
};

/// Which keys: views of what the caller has, read during the call that takes it.
class KeyRange {
public:
    /// All keys.
    constexpr KeyRange() noexcept = default;
    static constexpr KeyRange all() noexcept { return KeyRange(); }
    /// From `start` on and before `end`; an empty end is none.
    static constexpr KeyRange between(std::string_view start, std::string_view end = {}) noexcept
    {
        return KeyRange(TRIMTAB_RANGE_BETWEEN, start, end);
    }
    static constexpr KeyRange prefix(std::string_view prefix) noexcept
    {
        return KeyRange(TRIMTAB_RANGE_PREFIX, prefix, {});
    }

    constexpr std::int32_t kind() const noexcept { return kind_; }
    constexpr std::string_view start() const noexcept { return start_; }
    constexpr std::string_view end() const noexcept { return end_; }

private:
    constexpr KeyRange(std::int32_t kind, std::string_view start, std::string_view end) noexcept
        : kind_(kind), start_(start), end_(end)
    {
    }

    std::int32_t kind_ = TRIMTAB_RANGE_BETWEEN;
    std::string_view start_;
    std::string_view end_;
};

/// When to do an operation.
class Condition {
public:
    /// In any case.
    constexpr Condition() noexcept = default;
    static constexpr Condition absent() noexcept { return Condition(TRIMTAB_CONDITION_ABSENT); }
    static constexpr Condition present() noexcept { return Condition(TRIMTAB_CONDITION_PRESENT); }
    /// 0: if it is not there.
    static constexpr Condition version(std::uint64_t version) noexcept
    {
        return Condition(TRIMTAB_CONDITION_VERSION, version);
    }
    /// The rest are those of a lifetime.
    static constexpr Condition no_deadline() noexcept { return Condition(TRIMTAB_CONDITION_NO_DEADLINE); }
    static constexpr Condition deadline() noexcept { return Condition(TRIMTAB_CONDITION_DEADLINE); }
    static constexpr Condition later() noexcept { return Condition(TRIMTAB_CONDITION_LATER); }
    static constexpr Condition earlier() noexcept { return Condition(TRIMTAB_CONDITION_EARLIER); }

    constexpr std::int32_t kind() const noexcept { return kind_; }
    constexpr std::uint64_t number() const noexcept { return number_; }

private:
    constexpr explicit Condition(std::int32_t kind, std::uint64_t number = 0) noexcept : kind_(kind), number_(number) {}

    std::int32_t kind_ = TRIMTAB_CONDITION_ALWAYS;
    std::uint64_t number_ = 0;
};

/// How long a key lives.
class Lifetime {
public:
    using Duration = std::chrono::milliseconds;

    /// Until it is deleted.
    constexpr Lifetime() noexcept = default;
    /// As long as before.
    static constexpr Lifetime keep() noexcept { return Lifetime(TRIMTAB_LIFETIME_KEEP, 0); }
    static Lifetime until(WallTime deadline) noexcept
    {
        return Lifetime(TRIMTAB_LIFETIME_UNTIL, detail::wall_ms(deadline));
    }
    /// From when it is asked for; 0 or less: it is gone at once.
    static Lifetime lasting(Duration ttl) noexcept { return Lifetime(TRIMTAB_LIFETIME_FOR, detail::span_ms(ttl)); }
    static constexpr Lifetime lease(std::uint64_t id) noexcept { return Lifetime(TRIMTAB_LIFETIME_LEASE, id); }

    constexpr std::int32_t kind() const noexcept { return kind_; }
    constexpr std::uint64_t number() const noexcept { return number_; }

private:
    constexpr Lifetime(std::int32_t kind, std::uint64_t number) noexcept : kind_(kind), number_(number) {}

    std::int32_t kind_ = TRIMTAB_LIFETIME_UNBOUNDED;
    std::uint64_t number_ = 0;
};

/// What to do. Keys and values are views of what the caller has: they must live until it is executed, submitted, or added
/// to a transaction, each of which copies them.
class Operation {
public:
    using Duration = std::chrono::milliseconds;

    static Operation put(std::string_view key, std::string_view value) noexcept
    {
        return Operation(TRIMTAB_OPERATION_PUT, key, value);
    }
    static Operation erase(std::string_view key) noexcept { return Operation(TRIMTAB_OPERATION_DELETE, key); }
    static Operation increment(std::string_view key, std::int64_t by = 1) noexcept
    {
        Operation made(TRIMTAB_OPERATION_INCREMENT, key);
        made.operation_.by = by;
        return made;
    }
    static Operation append(std::string_view key, std::string_view value) noexcept
    {
        return Operation(TRIMTAB_OPERATION_APPEND, key, value);
    }
    /// Changes how long a key lives, and nothing else but its version.
    static Operation set_lifetime(std::string_view key, Lifetime lifetime) noexcept
    {
        return Operation(TRIMTAB_OPERATION_SET_LIFETIME, key).lifetime(lifetime);
    }
    static Operation erase_range(const KeyRange &range) noexcept
    {
        return Operation(TRIMTAB_OPERATION_DELETE_RANGE, range);
    }
    /// Reads a key in its place among the writes.
    static Operation get(std::string_view key) noexcept { return Operation(TRIMTAB_OPERATION_GET, key); }
    static Operation range(const KeyRange &range) noexcept { return Operation(TRIMTAB_OPERATION_RANGE, range); }
    /// Those on leases stand alone, not in a transaction.
    static Operation lease_grant(std::uint64_t id, Duration ttl) noexcept
    {
        Operation made(TRIMTAB_OPERATION_LEASE_GRANT, std::string_view());
        made.operation_.ttl_ms = detail::span_ms(ttl);
        made.operation_.lease = id;
        return made;
    }
    static Operation lease_keep_alive(std::uint64_t id) noexcept
    {
        Operation made(TRIMTAB_OPERATION_LEASE_KEEP_ALIVE, std::string_view());
        made.operation_.lease = id;
        return made;
    }
    static Operation lease_revoke(std::uint64_t id) noexcept
    {
        Operation made(TRIMTAB_OPERATION_LEASE_REVOKE, std::string_view());
        made.operation_.lease = id;
        return made;
    }

    Operation &when(Condition condition) noexcept
    {
        operation_.condition = condition.kind();
        operation_.version = condition.number();
        return *this;
    }
    Operation &lifetime(Lifetime lifetime) noexcept
    {
        operation_.lifetime = lifetime.kind();
        operation_.deadline_ms = operation_.ttl_ms = operation_.lease = lifetime.number();
        return *this;
    }
    /// The answer has what was there before.
    Operation &previous(bool wanted = true) noexcept
    {
        operation_.previous = wanted ? 1 : 0;
        return *this;
    }
    /// The most keys of a range; 0: all.
    Operation &limit(std::uint64_t keys) noexcept
    {
        operation_.limit = keys;
        return *this;
    }
    /// From the last to the first.
    Operation &reverse(bool reverse = true) noexcept
    {
        operation_.reverse = reverse ? 1 : 0;
        return *this;
    }
    /// Comes back with the answer of what was submitted.
    Operation &user_data(std::uint64_t data) noexcept
    {
        operation_.user_data = data;
        return *this;
    }

    const trimtab_store_operation *get() const noexcept { return &operation_; }

private:
    Operation(std::int32_t kind, std::string_view key, std::string_view value = {}) noexcept
        : operation_(detail::sized<trimtab_store_operation>())
    {
        operation_.kind = kind;
        operation_.key = key.data();
        operation_.key_len = key.size();
        operation_.value = value.data();
        operation_.value_len = value.size();
    }
    Operation(std::int32_t kind, const KeyRange &range) noexcept : Operation(kind, range.start(), range.end())
    {
        operation_.range = range.kind();
    }

    trimtab_store_operation operation_;
};

/// What a key has: views of what it was got from.
struct StoreEntry {
    explicit StoreEntry(const trimtab_store_entry &entry) noexcept
        : key(detail::view(entry.key, entry.key_len)), value(detail::view(entry.value, entry.value_len)),
          version(entry.version), created(entry.created), changes(entry.changes), lease(entry.lease)
    {
        if (entry.deadline_ms != TRIMTAB_NO_TIME) {
            deadline = detail::wall_time(entry.deadline_ms);
        }
    }

    /// Empty where whoever asked named it.
    std::string_view key;
    std::string_view value;
    /// The sequence of its last change.
    std::uint64_t version;
    /// The sequence that created it.
    std::uint64_t created;
    /// How often it was changed since, its creation included.
    std::uint64_t changes;
    /// When it expires; nothing: not by itself.
    std::optional<WallTime> deadline;
    /// The lease it goes with; 0: none.
    std::uint64_t lease;
};

/// The same, with a value of its own.
struct StoreValue {
    explicit StoreValue(const StoreEntry &entry)
        : value(entry.value), version(entry.version), created(entry.created), changes(entry.changes),
          deadline(entry.deadline), lease(entry.lease)
    {
    }

    std::string value;
    std::uint64_t version;
    std::uint64_t created;
    std::uint64_t changes;
    std::optional<WallTime> deadline;
    std::uint64_t lease;
};

/// What a call gave back. It is the caller's, whatever becomes of the store. Any number of threads may read it.
class StoreAnswer {
public:
    using Result = trimtab_store_result;

    /// Takes over what the C interface gave.
    explicit StoreAnswer(trimtab_store_answer *answer) noexcept : answer_(answer) {}

    /// What came of it; throws what it failed with, if it was submitted.
    Result result() const
    {
        Result result = detail::sized<Result>();
        detail::check(trimtab_store_answer_read(get(), &result));
        return result;
    }
    /// Whether it was done.
    bool is_done() const { return result().is_done != 0; }
    /// How many entries there are: what was there before, or what was read.
    std::uint64_t size() const { return result().entries; }
    /// The `at`th, from 0. It is good as long as this answer.
    StoreEntry entry(std::uint64_t at = 0) const
    {
        trimtab_store_entry entry = detail::sized<trimtab_store_entry>();
        detail::check(trimtab_store_answer_entry(get(), at, &entry));
        return StoreEntry(entry);
    }
    /// What came of a step of a transaction, from 0; throws its refusal. There are `result().count` of them.
    Result step(std::uint64_t step) const
    {
        Result result = detail::sized<Result>();
        detail::check(trimtab_store_answer_step_read(get(), step, &result));
        return result;
    }
    StoreEntry step_entry(std::uint64_t step, std::uint64_t at = 0) const
    {
        trimtab_store_entry entry = detail::sized<trimtab_store_entry>();
        detail::check(trimtab_store_answer_step_entry(get(), step, at, &entry));
        return StoreEntry(entry);
    }

    /// For the C interface; stays the property of this object.
    const trimtab_store_answer *get() const noexcept { return answer_.get(); }

private:
    std::unique_ptr<trimtab_store_answer, detail::Deleter<trimtab_store_answer_free>> answer_;
};

/// What came of a request.
enum class RequestState : std::int32_t {
    applied = TRIMTAB_REQUEST_APPLIED,
    not_applied = TRIMTAB_REQUEST_NOT_APPLIED,
    forgotten = TRIMTAB_REQUEST_FORGOTTEN,
};

/// What `Store::outcome` tells.
struct RequestOutcome {
    RequestState state;
    /// What its retry would get; nothing unless it was applied.
    std::optional<StoreAnswer> answer;
};

/// Operations that are seen whole or not at all. It belongs to no store, and may be committed as often as wanted. One thread
/// at a time may change it.
class Transaction {
public:
    Transaction()
    {
        trimtab_txn *txn = nullptr;
        detail::check(trimtab_txn_new(&txn));
        txn_.reset(txn);
    }

    /// Only if a number of the key stands so to `number`.
    Transaction &when(std::string_view key, Compare what, Relation relation, std::uint64_t number)
    {
        detail::check(trimtab_txn_compare(txn_.get(), detail::bytes(key), static_cast<std::int32_t>(what),
                                          static_cast<std::int32_t>(relation), number));
        return *this;
    }
    /// Only if the key's value stands so to `value`, byte by byte.
    Transaction &when(std::string_view key, Relation relation, std::string_view value)
    {
        detail::check(trimtab_txn_compare_value(txn_.get(), detail::bytes(key), static_cast<std::int32_t>(relation),
                                                detail::bytes(value)));
        return *this;
    }
    /// What to do when all comparisons hold.
    Transaction &then(const Operation &operation)
    {
        detail::check(trimtab_txn_then(txn_.get(), operation.get()));
        return *this;
    }
    /// What to do when one does not.
    Transaction &otherwise(const Operation &operation)
    {
        detail::check(trimtab_txn_otherwise(txn_.get(), operation.get()));
        return *this;
    }
    /// An operation that is refused does not undo the others; `StoreAnswer::step` throws the refusal.
    Transaction &proceed(bool proceed = true)
    {
        detail::check(trimtab_txn_set_continue(txn_.get(), proceed ? 1 : 0));
        return *this;
    }

    /// For the C interface; stays the property of this object.
    const trimtab_txn *get() const noexcept { return txn_.get(); }

private:
    std::unique_ptr<trimtab_txn, detail::Deleter<trimtab_txn_free>> txn_;
};

/// The keys of a range, one after the other, as they were when it was made:
///
///     for (const trimtab::StoreEntry &entry : store.scan(trimtab::KeyRange::prefix("user/"))) ...
///
/// An entry is good until the next one. One thread at a time may use the same scan; it is gone through once.
class StoreScan {
public:
    /// Takes over what the C interface gave.
    explicit StoreScan(trimtab_store_scan *scan) noexcept : scan_(scan) {}

    /// Nothing behind the last.
    std::optional<StoreEntry> next()
    {
        trimtab_store_entry entry = detail::sized<trimtab_store_entry>();
        std::int32_t has = 0;
        detail::check(trimtab_store_scan_next(scan_.get(), &entry, &has));
        return has != 0 ? std::optional<StoreEntry>(StoreEntry(entry)) : std::nullopt;
    }
    /// The sequence of what it sees: a watch from the one behind it misses nothing.
    std::uint64_t sequence() const
    {
        std::uint64_t sequence = 0;
        detail::check(trimtab_store_scan_sequence(scan_.get(), &sequence));
        return sequence;
    }

    class End {};
    class Iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = StoreEntry;
        using difference_type = std::ptrdiff_t;
        using pointer = const StoreEntry *;
        using reference = const StoreEntry &;

        explicit Iterator(StoreScan &scan) : scan_(&scan), entry_(scan.next()) {}
        reference operator*() const noexcept { return *entry_; }
        pointer operator->() const noexcept { return &*entry_; }
        Iterator &operator++()
        {
            entry_ = scan_->next();
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const Iterator &at, End) noexcept { return !at.entry_; }
        friend bool operator!=(const Iterator &at, End) noexcept { return at.entry_.has_value(); }

    private:
        StoreScan *scan_;
        std::optional<StoreEntry> entry_;
    };
    Iterator begin() { return Iterator(*this); }
    End end() const noexcept { return End(); }

private:
    std::unique_ptr<trimtab_store_scan, detail::Deleter<trimtab_store_scan_free>> scan_;
};

/// One change of one key: views that are good until the next call on the watch.
struct StoreChange {
    explicit StoreChange(const trimtab_store_change &change) noexcept
        : kind(static_cast<ChangeKind>(change.kind)), sequence(change.sequence), created(change.created),
          key(detail::view(change.key, change.key_len)), more(change.more != 0)
    {
        if (change.value != nullptr) {
            value = detail::view(change.value, change.value_len);
        }
    }

    /// `compacted`: what comes next is not kept any more, and `sequence` is the first that can still be watched from.
    ChangeKind kind;
    std::uint64_t sequence;
    std::uint64_t created;
    std::string_view key;
    /// Nothing if the key is gone.
    std::optional<std::string_view> value;
    /// The next change is of the same command.
    bool more;
};

/// Follows the keys of a range, in order and without a gap. One thread at a time may use the same watch.
class StoreWatch {
public:
    using Duration = std::chrono::milliseconds;

    /// Takes over what the C interface gave.
    explicit StoreWatch(trimtab_store_watch *watch) noexcept : watch_(watch) {}

    /// Waits for the next change.
    StoreChange next() { return *next(Duration::max()); }
    /// The same, waiting at most so long; not at all for 0. Nothing when the time is over.
    std::optional<StoreChange> next(Duration timeout)
    {
        trimtab_store_change change = detail::sized<trimtab_store_change>();
        const trimtab_status status = trimtab_store_watch_next(watch_.get(), detail::wait_ms(timeout), &change);
        if (status == TRIMTAB_E_TIMED_OUT) {
            return std::nullopt;
        }
        detail::check(status);
        return StoreChange(change);
    }
    /// To wait with, in a loop of your own: take changes until there are none, then wait until it is readable. It stays
    /// the property of this object.
    int poll_fd() const
    {
        std::int32_t fd = -1;
        detail::check(trimtab_store_watch_poll_fd(watch_.get(), &fd));
        return fd;
    }
    /// Where to watch on from later.
    std::uint64_t sequence() const
    {
        std::uint64_t sequence = 0;
        detail::check(trimtab_store_watch_sequence(watch_.get(), &sequence));
        return sequence;
    }

private:
    std::unique_ptr<trimtab_store_watch, detail::Deleter<trimtab_store_watch_free>> watch_;
};

/// What came of a submission: its answer throws what it failed with.
struct StoreCompletion {
    std::uint64_t user_data;
    StoreAnswer answer;
};

/// Calls that are submitted, and those that are done and not taken. Any thread may use it at any time; each call that was
/// taken in is completed once, also when the store is closed meanwhile.
class StoreQueue {
public:
    using Duration = std::chrono::milliseconds;

    /// Takes over what the C interface gave.
    explicit StoreQueue(trimtab_store_queue *queue) noexcept : queue_(queue) {}

    /// Throws why it was not taken in.
    void submit(const Operation &operation, const StoreCall &call = {})
    {
        const trimtab_store_operation *one = operation.get();
        std::size_t taken = 0;
        detail::check(trimtab_store_queue_submit(queue_.get(), &one, 1, call.get(), &taken));
    }
    /// Submits `count` operations, in order, and gives how many were taken in; throws why the first was not. With a request
    /// the first has its number, the next the one behind it, and so on, up to 2^64 - 1.
    std::size_t submit(const Operation *operations, std::size_t count, const StoreCall &call = {})
    {
        std::vector<const trimtab_store_operation *> pointers;
        pointers.reserve(count);
        for (std::size_t at = 0; at < count; ++at) {
            pointers.push_back(operations[at].get());
        }
        std::size_t taken = 0;
        detail::check(trimtab_store_queue_submit(queue_.get(), pointers.data(), count, call.get(), &taken));
        return taken;
    }
    std::size_t submit(const std::vector<Operation> &operations, const StoreCall &call = {})
    {
        return submit(operations.data(), operations.size(), call);
    }
    void submit(const Transaction &transaction, std::uint64_t user_data, const StoreCall &call = {})
    {
        detail::check(trimtab_store_queue_submit_txn(queue_.get(), transaction.get(), call.get(), user_data));
    }

    /// Asks to be told once the log is on this disk up to `sequence`, as `Store::wait_durable`; the answer's `sequence` is that
    /// up to which it is by then.
    void submit_durable(std::uint64_t sequence, std::uint64_t user_data)
    {
        detail::check(trimtab_store_queue_submit_durable(queue_.get(), sequence, user_data));
    }

    /// Asks to be told once what is here is as fresh as `read` asks: who reads with `ReadLevel::local` then, behind the same result,
    /// sees that and does not wait.
    void submit_fresh(const StoreRead &read, std::uint64_t user_data)
    {
        detail::check(trimtab_store_queue_submit_fresh(queue_.get(), read.get(), user_data));
    }
    /// The same, for who reads a key then: the answer has an entry, or its `is_done` is 0, when the primary has read it instead.
    void submit_get(std::string_view key, const StoreRead &read, std::uint64_t user_data)
    {
        detail::check(trimtab_store_queue_submit_get_at(queue_.get(), detail::bytes(key), read.get(), user_data));
    }
    /// The same, for who counts then: the answer's `version` is not 0 when the primary has, and `count` is what it found.
    void submit_count(const KeyRange &range, const StoreRead &read, std::uint64_t user_data)
    {
        detail::check(trimtab_store_queue_submit_count_at(queue_.get(), range.kind(), detail::bytes(range.start()),
                                                          detail::bytes(range.end()), read.get(), user_data));
    }
    /// Asks the primary of a cluster what came of a request: applied when the answer's `is_repeated` is 1; else not applied as of now
    /// when `is_done` is 1, and forgotten when it is 0.
    void submit_outcome(const StoreCall &call, std::uint64_t user_data)
    {
        detail::check(trimtab_store_queue_submit_outcome(queue_.get(), call.get(), user_data));
    }

    /// Takes back waits that are not done: of what was submitted with `user_data`, what `submit_durable`, `submit_fresh`, `submit_get`,
    /// `submit_count` and `submit_outcome` were asked. They are never completed, and their places are free. Gives how many; writes,
    /// and what is done, are left alone.
    std::size_t cancel(std::uint64_t user_data)
    {
        std::size_t count = 0;
        detail::check(trimtab_store_queue_cancel(queue_.get(), user_data, &count));
        return count;
    }

    /// Waits for the next that is done.
    StoreCompletion next() { return std::move(*next(Duration::max())); }
    /// The same, waiting at most so long; not at all for 0. Nothing when the time is over.
    std::optional<StoreCompletion> next(Duration timeout)
    {
        std::uint64_t user_data = 0;
        trimtab_store_answer *answer = nullptr;
        const trimtab_status status =
            trimtab_store_queue_next(queue_.get(), detail::wait_ms(timeout), &user_data, &answer);
        if (status == TRIMTAB_E_TIMED_OUT) {
            return std::nullopt;
        }
        detail::check(status);
        return StoreCompletion{user_data, StoreAnswer(answer)};
    }
    /// To wait with, in a loop of your own: readable while something is done and not taken. It stays the property of this
    /// object.
    int poll_fd() const
    {
        std::int32_t fd = -1;
        detail::check(trimtab_store_queue_poll_fd(queue_.get(), &fd));
        return fd;
    }
    /// How many were submitted and are not done.
    std::size_t under_way() const
    {
        std::size_t count = 0;
        detail::check(trimtab_store_queue_under_way(queue_.get(), &count));
        return count;
    }

private:
    std::unique_ptr<trimtab_store_queue, detail::Deleter<trimtab_store_queue_free>> queue_;
};

/// A lease that is alive.
struct StoreLease {
    /// How long it lives without a keep-alive.
    std::chrono::milliseconds ttl;
    /// When it ends without one.
    WallTime deadline;
};

/// Keys and values in a directory. Any thread may call anything at any time. A `call` is how a write is to go.
///
/// Reads wait for no disk. On a member of a cluster they block until what is here is as fresh as its `read` says, for the store's
/// `timeout` at most, and for a primary no longer than its `patience` (3 s), and throw then what `trimtab_store_get_at` returns; not
/// on a primary that holds its quorum. With a `StoreRead` they take a time of their own.
class Store {
public:
    using Duration = std::chrono::milliseconds;
    using Result = trimtab_store_result;

    /// Opens the store in the directory `path`, or makes one there.
    explicit Store(std::string_view path) : Store(path, nullptr) {}
    Store(std::string_view path, const StoreOptions &options) : Store(path, options.get()) {}

    /// Opens the store in the directory `path` as a member of a cluster, or makes one there: a node that takes reads and writes
    /// like any other, whichever is primary. `close` of a primary hands over before.
    static Store join(std::string_view path, const ClusterOptions &cluster)
    {
        return join(path, nullptr, cluster);
    }
    static Store join(std::string_view path, const StoreOptions &options, const ClusterOptions &cluster)
    {
        return join(path, options.get(), cluster);
    }

    /// Nothing when the key is not there.
    std::optional<StoreValue> get(std::string_view key) const
    {
        trimtab_store_answer *answer = nullptr;
        const trimtab_status status = trimtab_store_get(get(), detail::bytes(key), &answer);
        if (status == TRIMTAB_E_NOT_FOUND) {
            return std::nullopt;
        }
        detail::check(status);
        return StoreValue(StoreAnswer(answer).entry());
    }
    /// Reads into a buffer that is there already, which need not grow; gives the version, or nothing when the key is not
    /// there, and the buffer is empty then.
    std::optional<std::uint64_t> get(std::string_view key, std::string &value) const
    {
        std::uint64_t version = 0;
        std::size_t length = 0;
        value.resize(value.capacity());
        for (;;) {
            const trimtab_status status =
                trimtab_store_get_copy(get(), detail::bytes(key), value.data(), value.size(), &length, &version);
            if (status != TRIMTAB_OK || length <= value.size()) {
                value.resize(status == TRIMTAB_OK ? length : 0);
                if (status == TRIMTAB_E_NOT_FOUND) {
                    return std::nullopt;
                }
                detail::check(status);
                return version;
            }
            value.resize(length);
        }
    }

    /// What came of the request that `call` names, without sending it again. In a cluster the primary is asked.
    RequestOutcome outcome(const StoreCall &call) const
    {
        std::int32_t state = 0;
        trimtab_store_answer *answer = nullptr;
        detail::check(trimtab_store_outcome(get(), call.get(), &state, &answer));
        RequestOutcome outcome{static_cast<RequestState>(state), std::nullopt};
        if (answer != nullptr) {
            outcome.answer.emplace(answer);
        }
        return outcome;
    }
    Result put(std::string_view key, std::string_view value, const StoreCall &call = {})
    {
        Result result = made();
        detail::check(trimtab_store_put(get(), detail::bytes(key), detail::bytes(value), call.get(), &result));
        return result;
    }
    /// Puts if the key has `version`; 0: if it is not there. `is_done` tells.
    Result compare_and_set(std::string_view key, std::uint64_t version, std::string_view value,
                           const StoreCall &call = {})
    {
        Result result = made();
        detail::check(trimtab_store_compare_and_set(get(), detail::bytes(key), version, detail::bytes(value),
                                                    call.get(), &result));
        return result;
    }
    /// Puts, and gives what was there.
    std::optional<StoreValue> get_and_set(std::string_view key, std::string_view value, const StoreCall &call = {})
    {
        trimtab_store_answer *given = nullptr;
        detail::check(
            trimtab_store_get_and_set(get(), detail::bytes(key), detail::bytes(value), call.get(), &given));
        const StoreAnswer answer(given);
        return answer.size() > 0 ? std::optional<StoreValue>(StoreValue(answer.entry())) : std::nullopt;
    }
    /// Whether it was there.
    bool erase(std::string_view key, const StoreCall &call = {})
    {
        Result result = made();
        detail::check(trimtab_store_delete(get(), detail::bytes(key), call.get(), &result));
        return result.is_done != 0;
    }
    /// Deletes at most `limit` keys, 0 for all: `count` says how many, `more` whether the limit left some.
    Result erase_range(const KeyRange &range, std::uint64_t limit = 0, const StoreCall &call = {})
    {
        Result result = made();
        detail::check(trimtab_store_delete_range(get(), range.kind(), detail::bytes(range.start()),
                                                 detail::bytes(range.end()), limit, call.get(), &result));
        return result;
    }
    /// The sum.
    std::int64_t increment(std::string_view key, std::int64_t by = 1, const StoreCall &call = {})
    {
        Result result = made();
        detail::check(trimtab_store_increment(get(), detail::bytes(key), by, call.get(), &result));
        return result.number;
    }
    /// The length.
    std::uint64_t append(std::string_view key, std::string_view value, const StoreCall &call = {})
    {
        Result result = made();
        detail::check(trimtab_store_append(get(), detail::bytes(key), detail::bytes(value), call.get(), &result));
        return result.count;
    }
    /// From now on, at once for 0 or less; whether it was there.
    bool expire(std::string_view key, Duration ttl, const StoreCall &call = {})
    {
        Result result = made();
        detail::check(trimtab_store_expire(get(), detail::bytes(key), detail::span_ms(ttl), call.get(), &result));
        return result.is_done != 0;
    }
    bool expire_at(std::string_view key, WallTime deadline, const StoreCall &call = {})
    {
        Result result = made();
        detail::check(
            trimtab_store_expire_at(get(), detail::bytes(key), detail::wall_ms(deadline), call.get(), &result));
        return result.is_done != 0;
    }
    /// Has a key live until it is deleted; whether it was there.
    bool persist(std::string_view key, const StoreCall &call = {})
    {
        Result result = made();
        detail::check(trimtab_store_persist(get(), detail::bytes(key), call.get(), &result));
        return result.is_done != 0;
    }
    /// Does whatever operation.
    StoreAnswer execute(const Operation &operation, const StoreCall &call = {})
    {
        trimtab_store_answer *answer = nullptr;
        detail::check(trimtab_store_execute(get(), operation.get(), call.get(), &answer));
        return StoreAnswer(answer);
    }
    /// Does a transaction: `is_done` tells whether the comparisons held, `step` what came of each operation.
    StoreAnswer commit(const Transaction &transaction, const StoreCall &call = {})
    {
        trimtab_store_answer *answer = nullptr;
        detail::check(trimtab_store_commit(get(), transaction.get(), call.get(), &answer));
        return StoreAnswer(answer);
    }

    /// Begins a lease that lives for `ttl`, 1 ms to 2^48 ms, without a keep-alive; gives until when. `id`: not 0, and none
    /// that is alive.
    WallTime lease_grant(std::uint64_t id, Duration ttl, const StoreCall &call = {})
    {
        Result result = made();
        detail::check(trimtab_store_lease_grant(get(), id, detail::span_ms(ttl), call.get(), &result));
        return detail::wall_time(result.deadline_ms);
    }
    /// Prolongs it to its whole time from now; gives until when.
    WallTime lease_keep_alive(std::uint64_t id, const StoreCall &call = {})
    {
        Result result = made();
        detail::check(trimtab_store_lease_keep_alive(get(), id, call.get(), &result));
        return detail::wall_time(result.deadline_ms);
    }
    /// Ends it and deletes its keys; gives how many.
    std::uint64_t lease_revoke(std::uint64_t id, const StoreCall &call = {})
    {
        Result result = made();
        detail::check(trimtab_store_lease_revoke(get(), id, call.get(), &result));
        return result.count;
    }
    /// Nothing when it is not alive.
    std::optional<StoreLease> lease(std::uint64_t id) const
    {
        std::uint64_t ttl_ms = 0;
        std::uint64_t deadline_ms = 0;
        const trimtab_status status = trimtab_store_lease_read(get(), id, &ttl_ms, &deadline_ms);
        if (status == TRIMTAB_E_NOT_FOUND) {
            return std::nullopt;
        }
        detail::check(status);
        return StoreLease{Duration(static_cast<Duration::rep>(ttl_ms)), detail::wall_time(deadline_ms)};
    }
    /// The same, seen as fresh as `read` asks.
    std::optional<StoreLease> lease(std::uint64_t id, const StoreRead &read) const
    {
        std::uint64_t ttl_ms = 0;
        std::uint64_t deadline_ms = 0;
        const trimtab_status status = trimtab_store_lease_read_at(get(), id, read.get(), &ttl_ms, &deadline_ms);
        if (status == TRIMTAB_E_NOT_FOUND) {
            return std::nullopt;
        }
        detail::check(status);
        return StoreLease{Duration(static_cast<Duration::rep>(ttl_ms)), detail::wall_time(deadline_ms)};
    }

    /// How many keys a range has.
    std::uint64_t count(const KeyRange &range = {}) const
    {
        std::uint64_t count = 0;
        detail::check(trimtab_store_count(get(), range.kind(), detail::bytes(range.start()),
                                          detail::bytes(range.end()), &count));
        return count;
    }
    /// Begins to go through a range: at most `limit` keys, 0 for all.
    StoreScan scan(const KeyRange &range = {}, std::uint64_t limit = 0, bool reverse = false) const
    {
        trimtab_store_scan *scan = nullptr;
        detail::check(trimtab_store_scan_new(get(), range.kind(), detail::bytes(range.start()),
                                             detail::bytes(range.end()), limit, reverse ? 1 : 0, &scan));
        return StoreScan(scan);
    }
    /// Whether reads see what `read` asks for without a wait, as far as that can be told at a glance: then those with `ReadLevel::local`
    /// do.
    bool is_fresh(const StoreRead &read = {}) const
    {
        std::int32_t fresh = 0;
        detail::check(trimtab_store_is_fresh(get(), read.get(), &fresh));
        return fresh != 0;
    }
    /// The same reads, as fresh as is asked, in a cluster; they wait for that.
    std::optional<StoreValue> get(std::string_view key, const StoreRead &read) const
    {
        trimtab_store_answer *answer = nullptr;
        const trimtab_status status = trimtab_store_get_at(get(), detail::bytes(key), read.get(), &answer);
        if (status == TRIMTAB_E_NOT_FOUND) {
            return std::nullopt;
        }
        detail::check(status);
        return StoreValue(StoreAnswer(answer).entry());
    }
    std::uint64_t count(const KeyRange &range, const StoreRead &read) const
    {
        std::uint64_t count = 0;
        detail::check(trimtab_store_count_at(get(), range.kind(), detail::bytes(range.start()),
                                             detail::bytes(range.end()), read.get(), &count));
        return count;
    }
    StoreScan scan(const KeyRange &range, const StoreRead &read, std::uint64_t limit = 0, bool reverse = false) const
    {
        trimtab_store_scan *scan = nullptr;
        detail::check(trimtab_store_scan_new_at(get(), range.kind(), detail::bytes(range.start()),
                                                detail::bytes(range.end()), limit, reverse ? 1 : 0, read.get(), &scan));
        return StoreScan(scan);
    }

    /// How the cluster is; throws when the store is in none.
    Cluster cluster() const
    {
        trimtab_cluster *cluster = nullptr;
        detail::check(trimtab_store_cluster(get(), &cluster));
        return Cluster(cluster);
    }
    ClusterEvents cluster_events() const
    {
        trimtab_cluster_events *events = nullptr;
        detail::check(trimtab_cluster_events_new(get(), &events));
        return ClusterEvents(events);
    }
    /// Hands over to another voter. This, and those that change who is in it, are asked of the primary, and wait for as long as the store's timeout,
    /// or `timeout`, 1 ms at least; the longest there is: for ever.
    void transfer(std::string_view to, std::optional<Duration> timeout = std::nullopt)
    {
        detail::check(trimtab_store_transfer(get(), detail::str(to), limit(timeout)));
    }
    /// Calls off the handover that is under way; gives whether there was one. It may have happened all the same.
    bool abort_transfer()
    {
        std::int32_t aborted = 0;
        detail::check(trimtab_store_abort_transfer(get(), &aborted));
        return aborted != 0;
    }
    /// Reads the certificates of the links anew: links made from now on use them, those that are up stay. Whole or not at all.
    void reload_certificates()
    {
        detail::check(trimtab_store_reload_certificates(get()));
    }
    /// Takes a node in, which follows without a vote. It is opened with `Beginning::join`, before or after.
    void add_node(std::string_view name, std::string_view address = {}, std::optional<Duration> timeout = std::nullopt)
    {
        detail::check(trimtab_store_add_node(get(), detail::str(name), detail::str(address), limit(timeout)));
    }
    /// Gives a learner a vote, as soon as it has caught up.
    void promote_learner(std::string_view name, std::optional<Duration> timeout = std::nullopt)
    {
        detail::check(trimtab_store_promote_learner(get(), detail::str(name), limit(timeout)));
    }
    /// Takes a node out, for good: its name is not used again.
    void remove_node(std::string_view name, std::optional<Duration> timeout = std::nullopt)
    {
        detail::check(trimtab_store_remove_node(get(), detail::str(name), limit(timeout)));
    }
    /// Gives the vote of a node that is lost to a learner that has caught up, and takes the other out.
    void replace_node(std::string_view lost, std::string_view learner, std::optional<Duration> timeout = std::nullopt)
    {
        detail::check(trimtab_store_replace_node(get(), detail::str(lost), detail::str(learner), limit(timeout)));
    }

    /// Begins to follow a range: the change at `from` is the first it tells; 0: what comes from now on.
    StoreWatch watch(const KeyRange &range = {}, std::uint64_t from = 0) const
    {
        trimtab_store_watch *watch = nullptr;
        detail::check(trimtab_store_watch_new(get(), range.kind(), detail::bytes(range.start()),
                                              detail::bytes(range.end()), from, &watch));
        return StoreWatch(watch);
    }
    /// `capacity` calls may be under way or done and not taken.
    StoreQueue queue(std::size_t capacity) const
    {
        trimtab_store_queue *queue = nullptr;
        detail::check(trimtab_store_queue_new(get(), capacity, &queue));
        return StoreQueue(queue);
    }

    /// Waits until all that was written before is on disk, for as long as the store's timeout; gives its last sequence.
    std::uint64_t sync() { return sync_for(0); }
    /// The same, for so long at most, 1 ms at least; the longest there is: for ever. Likewise for those below.
    std::uint64_t sync(Duration timeout) { return sync_for(detail::timeout_ms(timeout)); }
    /// Waits until the log is on this disk up to `sequence`, and gives that up to which it is; hurries nobody, as `sync` does.
    std::uint64_t wait_durable(std::uint64_t sequence) const { return durable_for(sequence, 0); }
    std::uint64_t wait_durable(std::uint64_t sequence, Duration timeout) const
    {
        return durable_for(sequence, detail::timeout_ms(timeout));
    }
    /// Has a snapshot written of what is there now, and waits for it; gives its sequence.
    std::uint64_t snapshot() { return snapshot_for(0); }
    std::uint64_t snapshot(Duration timeout) { return snapshot_for(detail::timeout_ms(timeout)); }
    /// Has all that lies on disk read again, and waits for it; throws what is damaged, with file and byte.
    void scrub() { detail::check(trimtab_store_scrub(get(), 0)); }
    void scrub(Duration timeout) { detail::check(trimtab_store_scrub(get(), detail::timeout_ms(timeout))); }
    /// What was found damaged last, with file and byte; empty once a later pass has found all good.
    std::string damage() const
    {
        return detail::text([this](char *buffer, std::size_t size, std::size_t *length) {
            return trimtab_store_damage_copy(get(), buffer, size, length);
        });
    }
    trimtab_store_status status() const
    {
        auto status = detail::sized<trimtab_store_status>();
        detail::check(trimtab_store_status_read(get(), &status));
        return status;
    }
    /// What opening found. It does not change.
    trimtab_store_report report() const
    {
        auto report = detail::sized<trimtab_store_report>();
        detail::check(trimtab_store_report_read(get(), &report));
        return report;
    }
    /// The file of which opening has cut off a torn tail, see `report`; empty when there was none.
    std::string torn_file() const
    {
        return detail::text([this](char *buffer, std::size_t size, std::size_t *length) {
            return trimtab_store_torn_file_copy(get(), buffer, size, length);
        });
    }
    /// The first file with damage that a snapshot stands for, so that opening has left it out, see `report`; empty when there
    /// was none.
    std::string covered_file() const
    {
        return detail::text([this](char *buffer, std::size_t size, std::size_t *length) {
            return trimtab_store_covered_file_copy(get(), buffer, size, length);
        });
    }
    /// Why the settings that it was opened with are not in force; empty when they are.
    std::string settings_refused() const
    {
        return detail::text([this](char *buffer, std::size_t size, std::size_t *length) {
            return trimtab_store_settings_refused_copy(get(), buffer, size, length);
        });
    }
    /// Backs it up to the directory `to`: all of it, or what came since the last time. `is_full`: beginning anew with a
    /// snapshot. Blocks for the disk, and holds up nobody else.
    trimtab_store_backup_report backup(std::string_view to, bool is_full = false) const
    {
        auto report = detail::sized<trimtab_store_backup_report>();
        detail::check(trimtab_store_backup(get(), detail::str(to), is_full ? 1 : 0, &report));
        return report;
    }

    /// Readable when a turn has something to do. Only of a hosted store, as the three below; stays the store's, whose queues
    /// and watches keep it open.
    int poll_fd() const
    {
        std::int32_t fd = -1;
        detail::check(trimtab_store_poll_fd(get(), &fd));
        return fd;
    }
    /// When a turn is needed even if the descriptor is not readable, in nanoseconds of `steady_clock`; nothing while
    /// nothing is pending.
    std::optional<std::uint64_t> next_deadline() const
    {
        std::uint64_t deadline = TRIMTAB_NO_TIME;
        detail::check(trimtab_store_next_deadline(get(), &deadline));
        return deadline == TRIMTAB_NO_TIME ? std::nullopt : std::optional<std::uint64_t>(deadline);
    }
    /// The same as `poll` and `epoll_wait` take it: milliseconds from now, -1 while nothing is pending.
    int next_timeout() const
    {
        std::int32_t timeout = -1;
        detail::check(trimtab_store_next_timeout(get(), &timeout));
        return timeout;
    }
    /// Waits until there is something to do and does a bounded piece of each kind; gives how many there were.
    std::size_t turn() { return turn_for(-1); }
    /// The same, waiting at most so long; not at all for 0.
    std::size_t turn(Duration timeout) { return turn_for(detail::wait_ms(timeout)); }

    /// Writes everything and frees the directory; throws when something was lost, which the end of this object does not.
    void close() { detail::check(trimtab_store_close(get())); }

    /// For the C interface; stays the property of this object.
    trimtab_store *get() const noexcept { return store_.get(); }

private:
    Store(std::string_view path, const trimtab_store_options *options)
    {
        trimtab_store *store = nullptr;
        detail::check(trimtab_store_open(detail::str(path), options, &store));
        store_.reset(store);
    }

    friend class Server;

    explicit Store(trimtab_store *store) noexcept : store_(store) {}

    static Result made() noexcept { return detail::sized<Result>(); }

    static Store join(std::string_view path, const trimtab_store_options *options, const ClusterOptions &cluster)
    {
        trimtab_store *store = nullptr;
        detail::check(trimtab_store_join(detail::str(path), options, cluster.get(), &store));
        return Store(store);
    }

    static std::int64_t limit(std::optional<Duration> timeout) noexcept
    {
        return timeout ? detail::timeout_ms(*timeout) : 0;
    }

    std::size_t turn_for(std::int64_t timeout_ms)
    {
        std::size_t count = 0;
        detail::check(trimtab_store_turn(get(), timeout_ms, &count));
        return count;
    }

    std::uint64_t durable_for(std::uint64_t sequence, std::int64_t timeout_ms) const
    {
        std::uint64_t durable = 0;
        detail::check(trimtab_store_wait_durable(get(), sequence, timeout_ms, &durable));
        return durable;
    }
    std::uint64_t sync_for(std::int64_t timeout_ms)
    {
        std::uint64_t sequence = 0;
        detail::check(trimtab_store_sync(get(), timeout_ms, &sequence));
        return sequence;
    }
    std::uint64_t snapshot_for(std::int64_t timeout_ms)
    {
        std::uint64_t sequence = 0;
        detail::check(trimtab_store_snapshot(get(), timeout_ms, &sequence));
        return sequence;
    }

    std::unique_ptr<trimtab_store, detail::Deleter<trimtab_store_free>> store_;
};

inline Store Server::store() const
{
    trimtab_store *store = nullptr;
    detail::check(trimtab_server_store(get(), &store));
    return Store(store);
}

/// Backs up the store in the directory `from`, which nobody has open, as `Store::backup` does.
inline trimtab_store_backup_report backup_closed(std::string_view from, std::string_view to, bool is_full = false)
{
    auto report = detail::sized<trimtab_store_backup_report>();
    detail::check(trimtab_store_backup_closed(detail::str(from), detail::str(to), is_full ? 1 : 0, &report));
    return report;
}

/// Reads all of a backup, and tells what it holds; throws what is damaged.
inline trimtab_store_backup_report backup_verify(std::string_view backup)
{
    auto report = detail::sized<trimtab_store_backup_report>();
    detail::check(trimtab_store_backup_verify(detail::str(backup), &report));
    return report;
}

/// What a promotion by force came to.
struct Promoted {
    std::string cluster;
    /// The node that is its primary now.
    std::string node;
    /// Counts promotions by force.
    std::uint64_t generation;
    /// The last entry that the node has.
    std::uint64_t last;
    /// Those that voted beside it, and must not run any more.
    std::vector<std::string> out;
    std::vector<std::string> learners;
};

/// Makes the node whose directory this is the primary of its cluster, by force: see `trimtab_store_promote_directory`. Nobody
/// may have it open.
inline Promoted promote_directory(std::string_view path)
{
    trimtab_promotion *made = nullptr;
    detail::check(trimtab_store_promote_directory(detail::str(path), &made));
    const std::unique_ptr<trimtab_promotion, detail::Deleter<trimtab_promotion_free>> promotion(made);
    auto read = detail::sized<trimtab_promoted>();
    detail::check(trimtab_promotion_read(promotion.get(), &read));
    const auto names = [](const char *data, std::size_t size) {
        std::vector<std::string> lines;
        for (std::string_view left(data, size); !left.empty();) {
            const auto end = left.find('\n');
            lines.emplace_back(left.substr(0, end));
            left.remove_prefix(end == left.npos ? left.size() : end + 1);
        }
        return lines;
    };
    return Promoted{std::string(read.cluster, read.cluster_len), std::string(read.node, read.node_len),
                    read.generation, read.last, names(read.out, read.out_len),
                    names(read.learners, read.learners_len)};
}

/// Where to go back to.
class RestorePoint {
public:
    /// To the last that the backup holds.
    constexpr RestorePoint() noexcept = default;
    /// To how it was after this entry.
    static constexpr RestorePoint sequence(std::uint64_t at) noexcept
    {
        return RestorePoint(TRIMTAB_RESTORE_SEQUENCE, at);
    }
    /// To how it was then, by the store's clock.
    static RestorePoint time(WallTime at) noexcept { return RestorePoint(TRIMTAB_RESTORE_TIME, detail::wall_ms(at)); }

    constexpr std::int32_t kind() const noexcept { return kind_; }
    constexpr std::uint64_t at() const noexcept { return at_; }

private:
    constexpr RestorePoint(std::int32_t kind, std::uint64_t at) noexcept : kind_(kind), at_(at) {}

    std::int32_t kind_ = TRIMTAB_RESTORE_END;
    std::uint64_t at_ = 0;
};

/// Makes a store in the directory `to` of a backup. `same_identity`: it keeps that of the store that was backed up, which must
/// then never be opened again; else it is node 1 of a new cluster.
inline trimtab_store_restored restore(std::string_view backup, std::string_view to, RestorePoint point = {},
                                      bool same_identity = false)
{
    auto options = detail::sized<trimtab_store_restore_options>();
    options.point = point.kind();
    options.at = point.at();
    options.same_identity = same_identity ? 1 : 0;
    auto restored = detail::sized<trimtab_store_restored>();
    detail::check(trimtab_store_restore(detail::str(backup), detail::str(to), &options, &restored));
    return restored;
}

} // namespace trimtab

#endif
