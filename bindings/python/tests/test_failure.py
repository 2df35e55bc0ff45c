"""What a pool does when backends fail: options at their limits, ejection, panic, retries, waiting, events."""

from __future__ import annotations

import gc
import sys
import weakref
from datetime import timedelta
from typing import Any

import pytest
import trimtab
from trimtab import Adaptive, EventKind, FailurePercentage, Observed, Outlier, Pool, PoolEvent, SuccessRate

GOOD: list[dict[str, Any]] = [
    {"backups": "spill"},
    {"panic_threshold": 100, "fail_open": True},
    {"slow_start": 0.1, "slow_start_aggression": 0.1, "slow_start_min": 0.01},
    {"slow_start": timedelta(hours=1), "slow_start_aggression": 10, "slow_start_min": 1},
    {"maxconn": trimtab.MAXCONN_MAX, "pending_max": trimtab.MAXCONN_MAX},
    {"connection_rate": 1_000_000, "connection_burst": 1_000_000},
    {"retry_budget": 0.0},
    {"retry_budget": 1, "retry_min": 65_536, "retries_max": 65_536},
    {"retry_budget": None, "retry_min": 0},
    {"outlier": Outlier()},
    {"outlier": Outlier(consecutive_errors=None, success_rate=None, failure_percentage=FailurePercentage())},
    {"outlier": Outlier(interval=timedelta(hours=1), ejection_jitter=0, ejection_percent_max=0)},
    {"adaptive": Adaptive()},
    {"adaptive": Adaptive(scope="pool", window=0.01, rtt_buffer=0, rtt_pins=False)},
]

# What is refused, the option it names, and what it says of the value and the range.
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"backups": 3}, "backups", "3 is none of 0 to 2"),
    ({"panic_threshold": 101}, "panic_threshold", "101 is outside 0 to 100"),
    ({"slow_start": 0.099}, "slow_start", "99ms is outside 100ms to 3600s"),
    ({"slow_start_aggression": 10.5}, "slow_start_aggression", "10.5 is outside 0.1 to 10"),
    ({"slow_start_min": 0.0}, "slow_start_min", "0 is outside 0.01 to 1"),
    ({"maxconn": 2**30 + 1}, "maxconn", "is outside 0 to 1073741824"),
    ({"connection_rate": 1_000_001}, "connection_rate", "1000001 is outside 0 to 1000000"),
    ({"connection_burst": 1_000_001}, "connection_burst", "1000001 is outside 0 to 1000000"),
    ({"pending_max": 2**30 + 1}, "pending_max", "is outside 0 to 1073741824"),
    ({"pending_max": -1}, "pending_max", "-1 is outside 0 to"),
    ({"retry_budget": 1.5}, "retry_budget", "1.5 is outside 0 to 1"),
    ({"retry_min": 65_537}, "retry_min", "65537 is outside 0 to 65536"),
    ({"retries_max": 65_537}, "retries_max", "65537 is outside 0 to 65536"),
    ({"outlier": Outlier(consecutive_errors=0)}, "consecutive_errors", "0 is outside 1 to 10000"),
    ({"outlier": Outlier(interval=0.099)}, "interval", "99ms is outside 100ms to 3600s"),
    ({"outlier": Outlier(ejection_time=86_401)}, "ejection_time", "86401s is outside"),
    ({"outlier": Outlier(ejection_time_max=1)}, "ejection_time_max", "1s is outside 30s"),
    ({"outlier": Outlier(ejection_jitter=3601)}, "ejection_jitter", "3601s is outside"),
    ({"outlier": Outlier(ejection_percent_max=101)}, "ejection_percent_max", "101 is outside 0 to 100"),
    ({"outlier": Outlier(success_rate=SuccessRate(factor=11))}, "success_rate.factor", "11 is outside 0"),
    ({"outlier": Outlier(success_rate=SuccessRate(hosts_min=1))}, "success_rate.hosts_min", "1 is outside 2"),
    ({"outlier": Outlier(success_rate=SuccessRate(requests_min=0))}, "success_rate.requests_min", "0 is"),
    ({"outlier": Outlier(failure_percentage=FailurePercentage(percent=0))}, "percentage.percent", "0 is"),
    ({"outlier": Outlier(failure_percentage=FailurePercentage(hosts_min=0))}, "percentage.hosts_min", "0 is"),
    ({"adaptive": Adaptive(scope=2)}, "adaptive.scope", "2 is none of 0 to 1"),
    ({"adaptive": Adaptive(min=0)}, "adaptive.min", "0 is outside 1 to 1000000"),
    ({"adaptive": Adaptive(max=2)}, "adaptive.max", "2 is outside 3 to 1000000"),
    ({"adaptive": Adaptive(window=61)}, "adaptive.window", "61s is outside 10ms to 60s"),
    ({"adaptive": Adaptive(percentile=0.0)}, "adaptive.percentile", "0 is outside 0.01 to 1"),
    ({"adaptive": Adaptive(rtt_interval=0.5)}, "adaptive.rtt_interval", "500ms is outside 1s"),
    ({"adaptive": Adaptive(rtt_jitter=1.5)}, "adaptive.rtt_jitter", "1.5 is outside 0 to 1"),
    ({"adaptive": Adaptive(rtt_requests=0)}, "adaptive.rtt_requests", "0 is outside 1 to 1000000"),
    ({"adaptive": Adaptive(rtt_buffer=10.5)}, "adaptive.rtt_buffer", "10.5 is outside 0 to 10"),
]


@pytest.mark.parametrize("options", GOOD)
def test_options_at_their_limits(options: dict[str, Any]) -> None:
    with Pool(**options) as pool:
        pool.add("10.0.0.1:80")
        pool.pick().done()


@pytest.mark.parametrize(("options", "names", "says"), WRONG)
def test_an_option_out_of_range_is_named_with_its_value_and_range(
    options: dict[str, Any], names: str, says: str
) -> None:
    with pytest.raises(trimtab.InvalidArgumentError) as caught:
        Pool(**options)
    assert names in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"outlier": 5},
        {"adaptive": Outlier()},
        {"outlier": Outlier(success_rate=5)},  # type: ignore[arg-type]
    ],
)
def test_what_is_no_such_group_is_a_type_error(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="wanted, not"):
        Pool(**options)


def test_outcomes_eject_and_time_takes_back() -> None:
    told: list[PoolEvent] = []
    outlier = Outlier(consecutive_errors=3, ejection_time=1, ejection_jitter=0)
    with Pool(seed=0, panic_threshold=60, outlier=outlier, on_event=told.append) as pool:
        good, bad = pool.add("10.0.0.1:80"), pool.add("10.0.0.2:80", name="second")
        assert [(event.kind, event.backend) for event in told] == [
            (EventKind.BACKEND_ADDED, good),
            (EventKind.BACKEND_ADDED, bad),
        ]
        told.clear()
        now = 100.0
        for _ in range(6):
            pick = pool.pick(now=now)
            pick.done("failed" if pick.backend == bad else "success", now=now)
            now += 0.01
        ejected, panics = told
        assert (ejected.kind, ejected.backend, ejected.name) == (EventKind.BACKEND_OBSERVED, bad, "second")
        assert ejected.value is Observed.EJECTED
        assert panics == PoolEvent(EventKind.PANIC_BEGAN, None, None, 0, None)
        explanation = pool.explain(now=now)
        assert explanation["panic"] and [tier["panic"] for tier in explanation["tiers"]] == [True]
        backend = pool.backend(bad)
        assert backend.reason
        assert explanation["backends"][1]["reason"] == backend.reason
        assert backend.reason == ejected.reason
        assert backend.observed_since is not None
        assert 100 <= backend.observed_since < now
        statistics = pool.statistics()
        assert (statistics.ejected, statistics.ejections, statistics.panic) == (1, 1, True)
        deadline = pool.next_deadline()
        assert deadline is not None
        assert now < deadline <= 102
        told.clear()
        pool.handle_timeout(102.0)
        assert [(event.kind, event.value) for event in told] == [
            (EventKind.BACKEND_OBSERVED, Observed.UNKNOWN),
            (EventKind.PANIC_ENDED, 0),
        ]
        assert str(ejected).startswith("backend-observed backend=second value=ejected reason=")

        pool.set_observed(good, "down", reason="we\nsay so", now=103.0)
        backend = pool.backend(good)
        assert (backend.observed, backend.observed_since) == (Observed.DOWN, 103.0)
        assert backend.reason is not None
        assert "say so" in backend.reason
        assert "\n" not in backend.reason


def test_slow_start_counts_from_the_time_of_the_verdict() -> None:
    with Pool(seed=0, slow_start=10.0, slow_start_min=0.5) as pool:
        first, second = pool.add("10.0.0.1:80"), pool.add("10.0.0.2:80")
        pool.set_observed(second, "down", now=1.0)
        pool.pick(now=2.0).done(now=2.0)
        pool.set_observed(second, "up", now=3.0)
        assert pool.backend(first).slow_start == 1.0
        assert pool.backend(second).slow_start == 0.5
        pool.handle_timeout(11.0)
        assert 0.75 < pool.backend(second).slow_start < 1.0
        pool.handle_timeout(14.0)
        assert pool.backend(second).slow_start == 1.0


def test_retries_stay_within_their_budget() -> None:
    with Pool(retry_min=1) as pool:
        assert pool.may_retry()
        retry = pool.retry_begin()
        assert not pool.may_retry()
        with pytest.raises(trimtab.CapacityError, match="retry_budget"):
            pool.retry_begin()
        assert (pool.statistics().retries, pool.statistics().retries_refused) == (1, 1)
        pool.retry_end(retry)
        for wrong in (retry, 2**64, -1):
            with pytest.raises(trimtab.StalePickError):
                pool.retry_end(wrong)
        with pytest.raises(TypeError, match="retry"):
            pool.retry_end("x")  # type: ignore[arg-type]
    with Pool(retry_budget=None, retries_max=2) as pool:
        retries = [pool.retry_begin(), pool.retry_begin()]
        with pytest.raises(trimtab.CapacityError, match="retries_max"):
            pool.retry_begin()
        for retry in retries:
            pool.retry_end(retry)


def test_who_waits_is_told_of_room() -> None:
    told: list[PoolEvent] = []
    with Pool(maxconn=1, pending_max=1, on_event=told.append) as pool:
        pool.add("10.0.0.1:80")
        pick = pool.pick()
        with pytest.raises(trimtab.NoBackendError):
            pool.pick()
        with pytest.raises(trimtab.StateError):
            pool.unwant()
        pool.try_want()
        with pytest.raises(trimtab.CapacityError, match="pending_max"):
            pool.try_want()
        assert (pool.statistics().pending, pool.statistics().limit) == (1, 1)
        told.clear()
        pick.done()
        assert [event.kind for event in told] == [EventKind.ROOM]
        pool.unwant()
        told.clear()
        pool.pick().done()
        assert told == []


def test_a_rate_is_measured_where_no_time_is_given() -> None:
    with Pool() as pool:
        id = pool.add("10.0.0.1:80", connection_rate=1_000_000, connection_burst=1)
        backend = pool.backend(id)
        assert (backend.connection_rate, backend.connection_burst) == (1_000_000, 1)
        picked = 0
        while picked < 50:
            try:
                pool.pick().done()
                picked += 1
            except trimtab.NoBackendError:
                continue
        pool.set_connection_rate(id, 1, 2)
        for _ in range(2):
            pool.pick(now=5.0)
        with pytest.raises(trimtab.NoBackendError):
            pool.pick(now=5.5)
        pool.pick(now=6.0)
        with pytest.raises(trimtab.InvalidArgumentError, match="connection_rate"):
            pool.set_connection_rate(id, 1_000_001)
        pool.add_all([trimtab.Backend("10.0.0.2:80", connection_rate=7, connection_burst=3)])
        assert pool.backends()[1].connection_rate == 7


def test_on_event_may_call_the_pool_and_close_it() -> None:
    seen: list[tuple[EventKind, int]] = []

    def note(event: PoolEvent) -> None:
        seen.append((event.kind, pool.statistics().backends))
        if event.kind is EventKind.BACKEND_ADDED:
            assert event.backend is not None
            pool.set_weight(event.backend, 3)
        else:
            pool.close()

    pool = Pool(on_event=note)
    pool.add("10.0.0.1:80")
    assert seen == [(EventKind.BACKEND_ADDED, 1), (EventKind.BACKEND_WEIGHT, 1)]
    assert pool.closed


def test_what_on_event_raises_is_unraisable(monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda raised: caught.append(raised.exc_value))

    def fail(_event: PoolEvent) -> None:
        raise RuntimeError("on purpose")

    with Pool(on_event=fail) as pool:
        pool.add("10.0.0.1:80")
        assert pool.statistics().backends == 1
    assert [str(error) for error in caught] == ["on purpose"]


def test_a_pool_that_its_own_function_holds_is_collected() -> None:
    class Owner:
        def __init__(self) -> None:
            self.pool = Pool(on_event=self.note)

        def note(self, _event: PoolEvent) -> None: ...

    owner = Owner()
    owner.pool.add("10.0.0.1:80")
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
