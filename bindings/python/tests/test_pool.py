"""Backends come, change and go; options, statistics, explanations."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
import trimtab
from trimtab import Admin, Backend, Backups, Formula, Hash, Observed, Policy, Pool


def kebab(member: Policy | Hash | Backups | Formula | Admin | Observed) -> str:
    return member.name.lower().replace("_", "-")


def names(pool: Pool, picks: int) -> str:
    """Who gets the next picks, by the first letter of the name."""
    chosen = []
    for _ in range(picks):
        pick = pool.pick()
        chosen.append(pool.backend(pick.backend).name[0])
        pool.done(pick)
    return "".join(chosen)


def test_ids_count_up_and_are_not_used_again() -> None:
    with Pool() as pool:
        assert pool.add("10.0.0.1:80") == 1
        assert pool.add_all([Backend("10.0.0.2:80"), Backend("[2001:db8::1]:80")]) == [2, 3]
        pool.remove(2)
        assert pool.add("10.0.0.2:80") == 4
        assert pool.ids() == [1, 3, 4]


def test_what_was_given_is_told_back() -> None:
    with Pool() as pool:
        address, tag = "10.0.0.1:80", 2**64 - 1
        id = pool.add(
            address, name="one", weight=7, maxconn=9, tier=2, tag=tag, admin="drain", observed="up"
        )
        told = pool.backend(id)
        assert told.id == id == pool.find("one")
        assert (told.name, told.address, told.weight, told.maxconn) == ("one", "10.0.0.1:80", 7, 9)
        assert (told.tier, told.tag) == (2, 2**64 - 1)
        assert told.admin is Admin.DRAIN and told.observed is Observed.UP and told.serving is False
        assert pool.backends() == [told]
        other = pool.backend(pool.add("unix:/run/app.sock"))
        assert (other.name, other.address) == ("unix:/run/app.sock", "unix:/run/app.sock")
        assert (other.weight, other.maxconn, other.tier, other.tag) == (1, 0, 0, 0)
        assert other.admin is Admin.READY and other.observed is Observed.UNKNOWN and other.serving is True


def test_a_backend_object_carries_the_same_as_the_keywords() -> None:
    described = Backend("10.0.0.1:80", "one", 7, 9, 2, 5, Admin.MAINTENANCE, "ejected")
    with Pool() as pool, Pool() as other:
        pool.add_all([described])
        other.add("10.0.0.1:80", name="one", weight=7, maxconn=9, tier=2, tag=5, admin=2, observed=3)
        assert pool.backends() == other.backends()


def test_all_or_none(pool: Pool) -> None:
    with pytest.raises(trimtab.ExistsError, match="10.0.0.2:80"):
        pool.add_all([Backend("10.0.0.9:80"), Backend("10.0.0.2:80")])
    with pytest.raises(trimtab.InvalidArgumentError, match="weight"):
        pool.add_all([Backend("10.0.0.9:80"), Backend("10.0.0.10:80", weight=0)])
    assert pool.ids() == [1, 2, 3]
    assert pool.add_all([]) == [] and pool.add_all(iter([])) == []


def test_an_iterable_that_fails_changes_nothing(pool: Pool) -> None:
    def broken() -> object:
        yield Backend("10.0.0.9:80")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        pool.add_all(broken())  # type: ignore[arg-type]
    assert pool.ids() == [1, 2, 3]


def test_an_iterable_may_use_the_pool_and_even_close_it() -> None:
    pool = Pool()

    def odd() -> object:
        pool.add("10.0.0.1:80")
        yield Backend("10.0.0.2:80")
        pool.close()

    with pytest.raises(trimtab.ClosedError):
        pool.add_all(odd())  # type: ignore[arg-type]


def test_round_robin_takes_turns(pool: Pool) -> None:
    assert names(pool, 6) == "abcabc"
    pool.set_weight(pool.find("a"), 2)
    counted = Counter(names(pool, 40))
    assert counted == {"a": 20, "b": 10, "c": 10}


def test_each_change_takes_effect(pool: Pool) -> None:
    a, b, c = pool.ids()
    pool.set_admin(a, Admin.DRAIN)
    pool.set_observed(b, "down")
    assert set(names(pool, 4)) == {"c"}
    pool.set_maxconn(c, 1)
    held = pool.pick()
    with pytest.raises(trimtab.NoBackendError, match="maxconn"):
        pool.pick()
    held.done()
    pool.set_tier(b, 1)
    pool.set_observed(b, Observed.UP)
    pool.set_admin(c, 2)
    assert set(names(pool, 4)) == {"b"}
    pool.set_tag(b, 77)
    with pool.pick() as pick:
        assert pick.tag == 77
    told = {name: backend for backend in pool.backends() for name in [backend.name]}
    assert (told["a"].admin, told["b"].observed, told["b"].tier, told["c"].maxconn) == (1, 1, 1, 1)


def test_static_refuses_a_change_of_weight() -> None:
    with Pool("static") as pool:
        id = pool.add("10.0.0.1:80")
        with pytest.raises(trimtab.InvalidArgumentError, match="static keeps the weights"):
            pool.set_weight(id, 2)


@pytest.mark.parametrize("policy", Policy)
def test_every_policy_by_member_number_and_name(policy: Policy) -> None:
    for given in (policy, int(policy), kebab(policy)):
        with Pool(given) as pool:
            pool.add_all(Backend(f"10.0.0.{n}:80") for n in range(5))
            assert repr(pool) == f"<trimtab.Pool policy={kebab(policy)} backends=5>"
            assert pool.explain(b"key")["policy"] == kebab(policy)
            for _ in range(20):
                pool.done(pool.pick(b"key"), total=0.01)
            assert pool.statistics()[:5] == (5, 5, 20, 0, 0)


def placement(**options: object) -> list[int]:
    with Pool(Policy.HASH, seed=0, **options) as pool:  # type: ignore[arg-type]
        pool.add_all(Backend(f"10.0.0.{n}:80") for n in range(20))
        return [pool.pick(f"key {n}".encode()).backend for n in range(64)]


def test_hashes_place_differently_and_the_same_by_any_name() -> None:
    placements = []
    for hash in Hash:
        assert placement(hash=hash) == placement(hash=int(hash)) == placement(hash=kebab(hash))
        placements.append(placement(hash=hash))
    assert len({tuple(placed) for placed in placements}) == len(Hash)
    assert placement() == placement(hash=Hash.RING)
    assert placement(hash="maglev", hash_seed=1) != placement(hash="maglev")
    assert placement(hash="maglev", hash_seed=2**64 - 1) != placement(hash="maglev")


@pytest.mark.parametrize(
    ("backups", "serving"), [(Backups.ONE, 1), (Backups.ALL, 2), ("one", 1), ("all", 2), (0, 1), (1, 2)]
)
def test_backups(backups: Backups | str | int, serving: int) -> None:
    with Pool(backups=backups) as pool:
        pool.add("10.0.0.1:80", observed="down")
        pool.add_all(Backend(f"10.0.1.{n}:80", tier=1) for n in range(2))
        assert pool.statistics().serving == serving


@pytest.mark.parametrize("formula", [*Formula, "trimtab", "f5-k6406", 1])
def test_formulas(formula: Formula | str | int) -> None:
    Pool("observed", formula=formula).close()


def test_bounded_load_spreads_a_hot_key() -> None:
    with Pool("hash", bounded_load=1.25) as pool:
        pool.add_all(Backend(f"10.0.0.{n}:80") for n in range(4))
        assert len({pool.pick(b"hot").backend for _ in range(16)}) > 1
    with Pool("hash") as pool:
        pool.add_all(Backend(f"10.0.0.{n}:80") for n in range(4))
        assert len({pool.pick(b"hot").backend for _ in range(16)}) == 1


def test_spans_are_seconds_or_timedelta() -> None:
    for tick in (2, 2.0, timedelta(seconds=2)):
        with Pool("fastest", tick=tick, stale=timedelta(minutes=1), decay=0.5) as pool:
            pool.add("10.0.0.1:80")
            assert pool.next_deadline() is not None


def test_seeds() -> None:
    def turns(seed: int | None) -> list[int]:
        with Pool("random", seed=seed) as pool:
            pool.add_all(Backend(f"10.0.0.{n}:80") for n in range(64))
            return [pool.pick().backend for _ in range(16)]

    assert turns(5) == turns(5) != turns(6)
    assert turns(None) != turns(None)


def test_picks_max_bounds_what_is_never_reported() -> None:
    with Pool(lanes=1, picks_max=3) as pool:
        pool.add("10.0.0.1:80")
        first, *_ = [pool.pick() for _ in range(3)]
        with pytest.raises(trimtab.CapacityError, match="picks_max = 3"):
            pool.pick()
        first.done()
        pool.pick()


def test_statistics_count(pool: Pool) -> None:
    a = pool.find("a")
    assert pool.statistics() == trimtab.PoolStatistics(backends=3, serving=3, picks=0, in_flight=0, refused=0)
    assert pool.backend(a).response_mean is None
    outcomes: list[trimtab.Outcome | str | int] = [*trimtab.Outcome, "timed-out", 4]
    for outcome in outcomes:
        picks = [pool.pick() for _ in range(3)]
        for pick in picks:
            pool.done(pick, outcome, total=0.5)
    pool.pick()
    told = pool.backend(a)
    assert (told.picks, told.in_flight) == (8, 1)
    assert (told.success, told.connect_failed, told.failed, told.timed_out, told.cancelled) == (1, 1, 1, 2, 2)
    assert told.response_mean == pytest.approx(0.5)
    assert told.share == pytest.approx(1 / 3)
    assert pool.statistics()[:5] == (3, 3, 22, 1, 0)
    for id in pool.ids():
        pool.set_admin(id, "drain")
    with pytest.raises(trimtab.NoBackendError):
        pool.pick()
    assert pool.statistics().refused == 1


def test_timings_in_any_form(pool: Pool) -> None:
    for timing in (0.25, timedelta(milliseconds=250)):
        for _ in range(3):
            pool.pick().done(connect=timing)
    pool.remove(2)
    pool.remove(3)
    pool.pick().done("success", connect=1, first_byte=0.25, total=timedelta(days=1))
    assert pool.backend(1).response_mean == pytest.approx(0.25)


def test_explain_counts_nothing_and_says_who_is_next(pool: Pool) -> None:
    pool.set_admin(2, "drain")
    for _ in range(4):
        explained = pool.explain()
        assert explained == pool.explain()
        assert explained["picked"] == pool.pick().backend
    verdicts = {backend["name"]: backend["verdict"] for backend in pool.explain()["backends"]}
    assert verdicts["b"] == "drain" and sorted(verdicts.values()) == ["drain", "passed", "picked"]
    avoided = pool.explain(b"", avoid=[1])
    assert avoided["picked"] == 3 and avoided["refused"] is None
    with Pool() as empty:
        explained = empty.explain()
        assert explained["picked"] is None
        assert explained["refused"] == "no backend: the pool is empty; add one"


def test_deadlines_of_policies_that_measure() -> None:
    with Pool() as pool:
        assert pool.next_deadline() is None
        pool.handle_timeout()
        pool.handle_timeout(1.5)
    with Pool("observed", tick=1.0) as pool:
        pool.add("10.0.0.1:80")
        pool.handle_timeout(1_000_000.123456789)
        for _ in range(1000):
            deadline = pool.next_deadline()
            assert deadline is not None
            # The very value is late enough: no loop that waits for deadlines spins.
            pool.handle_timeout(deadline)
            after = pool.next_deadline()
            assert after is not None and after > deadline


def test_time_stands_still_unless_it_is_given() -> None:
    with Pool("peak-ewma", seed=0) as pool:
        pool.add_all(Backend(f"10.0.0.{n}:80") for n in range(2))
        for now in range(1, 200):
            pick = pool.pick(now=now)
            pool.done(pick, total=0.001 if pick.backend == 1 else 1.0, now=now + 0.5)
        assert pool.backend(1).picks > 150


def test_a_removed_backend_still_takes_its_done(pool: Pool) -> None:
    pick = pool.pick()
    pool.remove(pick.backend)
    pick.done()
    with pytest.raises(trimtab.StalePickError):
        pick.done()


def test_the_most_backends_and_not_one_more() -> None:
    with Pool() as pool:
        numbers = range(trimtab.BACKENDS_MAX)
        pool.add_all(Backend(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}:80") for n in numbers)
        with pytest.raises(trimtab.CapacityError, match="backends = 65536"):
            pool.add("11.0.0.1:80")
        assert len(pool.ids()) == len(pool.backends()) == trimtab.BACKENDS_MAX
        pool.pick().done()
