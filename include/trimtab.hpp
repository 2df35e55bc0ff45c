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
 * Pool and a Server may be used by any thread at any time; PoolOptions, Backend, Picked, Retry and Check by one at
 * a time).
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef TRIMTAB_HPP
#define TRIMTAB_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
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
    panic_began = TRIMTAB_EVENT_PANIC_BEGAN,
    panic_ended = TRIMTAB_EVENT_PANIC_ENDED,
    /// Of a pool's own events only.
    room = TRIMTAB_EVENT_ROOM,
};

/// Names a backend of one pool.
using BackendId = std::uint64_t;

/// A failed call: its status, and what went wrong in words.
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
    /// What a backend changed to: in a word or digits, and as a number (an Admin, an Observed, a weight, ...).
    std::string_view value() const noexcept { return {event_->value, event_->value_len}; }
    std::uint32_t number() const noexcept { return event_->number; }
    /// More in words.
    std::string_view detail() const noexcept { return {event_->detail, event_->detail_len}; }

    const trimtab_event &get() const noexcept { return *event_; }

private:
    const trimtab_event *event_;
};

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
    /// Without a thread: it runs while it is turned.
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

/// What a key has.
struct StoreValue {
    std::string value;
    /// The sequence of its last change.
    std::uint64_t version;
};

/// Keys and values in a directory. Any thread may call anything at any time. A `call` is how a write is to go; null for the
/// defaults. What has no function here (transactions, leases, queues, watches) the C interface does, with `get()`.
class Store {
public:
    using Duration = std::chrono::milliseconds;
    using Call = trimtab_store_call;
    using Result = trimtab_store_result;

    /// Opens the store in the directory `path`, or makes one there.
    explicit Store(std::string_view path, const trimtab_store_options *options = nullptr)
    {
        trimtab_store *store = nullptr;
        detail::check(trimtab_store_open(detail::str(path), options, &store));
        store_.reset(store);
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
        const std::unique_ptr<trimtab_store_answer, detail::Deleter<trimtab_store_answer_free>> owned(answer);
        trimtab_store_entry entry = {};
        entry.struct_size = sizeof entry;
        detail::check(trimtab_store_answer_entry(answer, 0, &entry));
        return StoreValue{std::string(static_cast<const char *>(entry.value), entry.value_len), entry.version};
    }

    Result put(std::string_view key, std::string_view value, const Call *call = nullptr)
    {
        Result result = made();
        detail::check(trimtab_store_put(get(), detail::bytes(key), detail::bytes(value), call, &result));
        return result;
    }
    /// Puts if the key has `version`; 0: if it is not there. `is_done` tells.
    Result compare_and_set(std::string_view key, std::uint64_t version, std::string_view value,
                           const Call *call = nullptr)
    {
        Result result = made();
        detail::check(trimtab_store_compare_and_set(get(), detail::bytes(key), version, detail::bytes(value), call,
                                                    &result));
        return result;
    }
    /// Whether it was there.
    bool erase(std::string_view key, const Call *call = nullptr)
    {
        Result result = made();
        detail::check(trimtab_store_delete(get(), detail::bytes(key), call, &result));
        return result.is_done != 0;
    }
    /// The sum.
    std::int64_t increment(std::string_view key, std::int64_t by, const Call *call = nullptr)
    {
        Result result = made();
        detail::check(trimtab_store_increment(get(), detail::bytes(key), by, call, &result));
        return result.number;
    }
    /// The length.
    std::uint64_t append(std::string_view key, std::string_view value, const Call *call = nullptr)
    {
        Result result = made();
        detail::check(trimtab_store_append(get(), detail::bytes(key), detail::bytes(value), call, &result));
        return result.count;
    }
    /// From now on; whether it was there.
    bool expire(std::string_view key, Duration ttl, const Call *call = nullptr)
    {
        Result result = made();
        const std::uint64_t ttl_ms = ttl.count() < 0 ? 0 : static_cast<std::uint64_t>(ttl.count());
        detail::check(trimtab_store_expire(get(), detail::bytes(key), ttl_ms, call, &result));
        return result.is_done != 0;
    }

    /// How many keys begin with `prefix`.
    std::uint64_t count(std::string_view prefix = {}) const
    {
        std::uint64_t count = 0;
        detail::check(trimtab_store_count(get(), TRIMTAB_RANGE_PREFIX, detail::bytes(prefix), detail::bytes({}),
                                          &count));
        return count;
    }
    /// Calls `each(key, value)` for the keys that begin with `prefix`, in order, as they were when it began. The views are
    /// good during the call.
    template <typename Each>
    void for_each(std::string_view prefix, Each &&each) const
    {
        trimtab_store_scan *scan = nullptr;
        detail::check(trimtab_store_scan_new(get(), TRIMTAB_RANGE_PREFIX, detail::bytes(prefix), detail::bytes({}), 0,
                                             0, &scan));
        const std::unique_ptr<trimtab_store_scan, detail::Deleter<trimtab_store_scan_free>> owned(scan);
        trimtab_store_entry entry = {};
        entry.struct_size = sizeof entry;
        std::int32_t has = 0;
        for (;;) {
            detail::check(trimtab_store_scan_next(scan, &entry, &has));
            if (has == 0) {
                return;
            }
            each(std::string_view(static_cast<const char *>(entry.key), entry.key_len),
                 std::string_view(static_cast<const char *>(entry.value), entry.value_len));
        }
    }

    /// Writes everything and frees the directory; throws when something was lost, which the end of this object does not.
    void close() { detail::check(trimtab_store_close(get())); }

    /// For the C interface; stays the property of this object.
    trimtab_store *get() const noexcept { return store_.get(); }

private:
    static Result made() noexcept
    {
        Result result = {};
        result.struct_size = sizeof result;
        return result;
    }

    std::unique_ptr<trimtab_store, detail::Deleter<trimtab_store_free>> store_;
};

} // namespace trimtab

#endif
