"""Bad input: which exception, and what it says. Nothing else is disturbed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import trimtab
from trimtab import InvalidArgumentError, NotFoundError, Pool


def test_the_classes() -> None:
    assert issubclass(InvalidArgumentError, ValueError) and issubclass(NotFoundError, LookupError)
    statuses = {}
    for name in trimtab.__all__:
        kind = getattr(trimtab, name)
        if isinstance(kind, type) and issubclass(kind, Exception) and kind is not trimtab.TrimtabError:
            assert issubclass(kind, trimtab.TrimtabError) and kind.__module__ == "trimtab._errors"
            statuses[name] = kind.status
    assert statuses == {
        "InvalidArgumentError": -2,
        "ExistsError": -3,
        "NotFoundError": -4,
        "CapacityError": -5,
        "NoBackendError": -6,
        "StalePickError": -7,
        "PanicError": -10,
        "ClosedError": -11,
        "TimedOutError": -12,
        "IoError": -13,
        "ConfigError": -14,
        "StateError": -15,
        "ForkedError": -16,
        "UnsupportedError": -17,
        "CorruptError": -18,
        "NotPrimaryError": -20,
        "NoQuorumError": -21,
        "SupersededError": -22,
        "UnknownOutcomeError": -23,
    }
    assert trimtab.TrimtabError.status is None


@pytest.mark.parametrize(
    ("options", "what", "says"),
    [
        ({"policy": "round robin"}, "policy", '"round robin" is none of round-robin, static, first'),
        ({"policy": "x" * 10_000}, "policy", "is none of"),
        ({"policy": 12}, "policy", "12 is none of 0 to 11"),
        ({"policy": -1}, "policy", "-1 is none of 0 to 11"),
        ({"policy": 2**70}, "policy", "is none of 0 to 11"),
        ({"hash": "ketama"}, "hash", '"ketama" is none of ring, maglev, rendezvous'),
        ({"hash": 3}, "hash", "3 is none of 0 to 2"),
        ({"backups": 3}, "backups", "one, all, spill"),
        ({"formula": "f5"}, "formula", "trimtab, f5-k6406"),
        ({"bounded_load": 1.5}, "bounded_load", "source and hash"),
        ({"policy": "hash", "bounded_load": 1.0}, "bounded_load", "1 is outside 1.01 to 10"),
        ({"tick": 0.001}, "tick", "outside 10ms to 60s"),
        ({"tick": timedelta(minutes=2)}, "tick", "120s is outside 10ms to 60s"),
        ({"tick": -1}, "tick", "no number of seconds"),
        ({"tick": float("nan")}, "tick", "no number of seconds"),
        ({"tick": float("inf")}, "tick", "no number of seconds"),
        ({"stale": timedelta(seconds=-1)}, "stale", "less than no time"),
        ({"decay": 1e300}, "decay", "no number of seconds"),
        ({"blend": 1.5}, "blend", "1.5 is outside 0 to 1"),
        ({"blend": float("nan")}, "blend", "outside 0 to 1"),
        ({"gain": -0.5}, "gain", "outside 0 to 4"),
        ({"history": 33}, "history", "33 is outside 2 to 32"),
        ({"history": -1}, "history", "-1 is outside 0 to"),
        ({"floor": 0}, "floor", "0 is outside 0.001 to 0.2"),
        ({"lanes": 65}, "lanes", "65 is outside 0 to 64"),
        ({"picks_max": 0}, "picks_max", "0 is outside 1 to 16777216"),
        ({"picks_max": 2**32}, "picks_max", "4294967296 is outside"),
        ({"seed": -1}, "seed", "-1 is outside 0 to 18446744073709551615"),
        ({"seed": 2**64}, "seed", "outside"),
        ({"hash_seed": 2**64}, "hash_seed", "outside"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], what: str, says: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Pool(**options)
    text = str(caught.value)
    assert text.startswith(f"invalid {what}: ") and says in text and len(text) < 300 and "\n" not in text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"policy": 1.5}, "argument 'policy': an enumeration member, .* wanted, not float"),
        ({"tick": "1s"}, "argument 'tick': seconds wanted, not str"),
        ({"seed": "0"}, "argument 'seed': a whole number wanted, not str"),
        ({"lanes": 1.0}, "argument 'lanes': a whole number wanted, not float"),
        ({"blend": "half"}, "must be real number, not str"),
        ({"weight": 1}, "unexpected keyword argument 'weight'"),
    ],
)
def test_options_of_the_wrong_type(options: dict[str, Any], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        Pool(**options)


@pytest.mark.parametrize(
    ("arguments", "what", "says"),
    [
        ({"address": ""}, "address", "expected ip:port"),
        ({"address": "10.0.0.9"}, "address", "write 10.0.0.9:80"),
        ({"address": "app.internal:80"}, "address", "names a host"),
        ({"address": "10.0.0.9:0"}, "address", "port 0"),
        ({"address": "x" * 100_000}, "address", "is not an address"),
        ({"address": "\ud800"}, "address", "surrogate"),
        ({"name": ""}, "name", "1 to 255 fit"),
        ({"name": "n" * 256}, "name", "256 bytes"),
        ({"name": "a\nb"}, "name", "control"),
        ({"name": "\udcff"}, "name", "surrogate"),
        ({"weight": 0}, "weight", "0 is outside 1 to 65535"),
        ({"weight": 65_536}, "weight", "65536 is outside 1 to 65535"),
        ({"weight": -1}, "weight", "-1 is outside"),
        ({"weight": 10**30}, "weight", "is outside"),
        ({"maxconn": 2**31}, "maxconn", "outside 0 (no limit) to"),
        ({"tier": 256}, "tier", "256 is outside 0 to 255"),
        ({"tag": -1}, "tag", "-1 is outside"),
        ({"admin": "draining"}, "admin", "ready, drain, maintenance"),
        ({"observed": 9}, "observed", "unknown, up, down, ejected"),
    ],
)
def test_backends_that_cannot_be(pool: Pool, arguments: dict[str, Any], what: str, says: str) -> None:
    arguments = {"address": "10.0.0.9:80", **arguments}
    for attempt in (lambda: pool.add(**arguments), lambda: pool.add_all([trimtab.Backend(**arguments)])):
        with pytest.raises(InvalidArgumentError) as caught:
            attempt()
        text = str(caught.value)
        assert text.startswith(f"invalid {what}: ") and says in text and len(text) < 300, text
    assert pool.ids() == [1, 2, 3]


def test_backends_of_the_wrong_type(pool: Pool) -> None:
    with pytest.raises(TypeError, match="argument 'address': str wanted, not bytes"):
        pool.add(b"10.0.0.9:80")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="argument 'weight': a whole number wanted, not float"):
        pool.add("10.0.0.9:80", weight=1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="trimtab.Backend wanted, not str"):
        pool.add_all(["10.0.0.9:80"])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        pool.add_all(5)  # type: ignore[arg-type]


def test_duplicates(pool: Pool) -> None:
    with pytest.raises(trimtab.ExistsError, match='the address "10.0.0.1:80" is in the pool already'):
        pool.add("10.0.0.1:80")
    with pytest.raises(trimtab.ExistsError, match='the name "b" is in the pool already'):
        pool.add("10.0.0.9:80", name="b")
    with pytest.raises(trimtab.ExistsError):
        pool.add_all([trimtab.Backend("10.0.0.9:80"), trimtab.Backend("10.0.0.9:80")])
    assert pool.ids() == [1, 2, 3]


CHANGES: list[Callable[[Pool, Any], object]] = [
    lambda pool, id: pool.remove(id),
    lambda pool, id: pool.set_weight(id, 1),
    lambda pool, id: pool.set_maxconn(id, 1),
    lambda pool, id: pool.set_tier(id, 1),
    lambda pool, id: pool.set_tag(id, 1),
    lambda pool, id: pool.set_admin(id, 1),
    lambda pool, id: pool.set_observed(id, 1),
    lambda pool, id: pool.backend(id),
]


@pytest.mark.parametrize("change", CHANGES)
def test_backends_that_are_not_there(pool: Pool, change: Callable[[Pool, Any], object]) -> None:
    for id in (0, 4, 2**64 - 1, 2**64, -1):
        with pytest.raises(NotFoundError, match=f"no backend {id} in the pool"):
            change(pool, id)
    for other in ("1", None, 1.0):
        with pytest.raises(TypeError, match="a backend's number wanted, not"):
            change(pool, other)
    assert pool.statistics().backends == 3


def test_names_that_are_not_there(pool: Pool) -> None:
    with pytest.raises(NotFoundError, match='no backend "d" in the pool'):
        pool.find("d")
    with pytest.raises(TypeError, match="argument 'name': str wanted, not int"):
        pool.find(1)  # type: ignore[arg-type]


def test_changes_that_cannot_be(pool: Pool) -> None:
    with pytest.raises(InvalidArgumentError, match="invalid weight: 0 is outside"):
        pool.set_weight(1, 0)
    with pytest.raises(InvalidArgumentError, match="invalid tier: 256"):
        pool.set_tier(1, 256)
    with pytest.raises(InvalidArgumentError, match="invalid maxconn"):
        pool.set_maxconn(1, 2**31)
    with pytest.raises(InvalidArgumentError, match="invalid tag"):
        pool.set_tag(1, 2**64)
    with pytest.raises(InvalidArgumentError, match="invalid admin"):
        pool.set_admin(1, "off")


def test_nobody_to_pick(pool: Pool) -> None:
    with Pool() as empty, pytest.raises(trimtab.NoBackendError, match="the pool is empty; add one"):
        empty.pick()
    for id in pool.ids():
        pool.set_observed(id, "down")
    with pytest.raises(trimtab.NoBackendError, match="none of the 3 in the pool is usable"):
        pool.pick()


@pytest.mark.parametrize("bad", [-1, -0.001, float("nan"), float("inf"), float("-inf")])
def test_times_that_are_none(pool: Pool, bad: float) -> None:
    pick = pool.pick()
    attempts: list[tuple[str, Callable[[], object]]] = [
        ("now", lambda: pool.pick(now=bad)),
        ("now", lambda: pool.explain(now=bad)),
        ("now", lambda: pool.handle_timeout(bad)),
        ("now", lambda: pool.done(pick, now=bad)),
        ("connect", lambda: pool.done(pick, connect=bad)),
        ("first_byte", lambda: pick.done(first_byte=bad)),
        ("total", lambda: pick.done(total=bad)),
    ]
    for what, attempt in attempts:
        with pytest.raises(InvalidArgumentError, match=f"invalid {what}: .* is no number of seconds"):
            attempt()
    with pytest.raises(InvalidArgumentError, match="invalid total: .* less than no time"):
        pick.done(total=timedelta(seconds=-1))
    with pytest.raises(TypeError, match="argument 'now': seconds wanted, not str"):
        pool.pick(now="1")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="invalid outcome"):
        pick.done("ok")
    with pytest.raises(InvalidArgumentError, match="invalid outcome: 5 is none of 0 to 4"):
        pool.done(pick, 5)
    # After all that it still awaits its done.
    pick.done(total=1e30)
    assert pool.statistics()[:5] == (3, 3, 1, 0, 0)


def test_whatever_is_called_on_a_closed_pool() -> None:
    pool = Pool()
    pool.add("10.0.0.1:80")
    pick = pool.pick()
    assert pool.closed is False
    pool.close()
    pool.close()
    assert pool.closed is True and repr(pool) == "<trimtab.Pool closed>"
    calls: list[Callable[[], object]] = [
        lambda: pool.add("10.0.0.2:80"),
        lambda: pool.add_all([]),
        lambda: pool.find("x"),
        pool.ids,
        pool.pick,
        lambda: pool.done(pick),
        lambda: pool.done(0),
        pick.done,
        pool.explain,
        pool.statistics,
        pool.backends,
        pool.handle_timeout,
        pool.next_deadline,
        pool.__enter__,
        *((lambda change=change: change(pool, 1)) for change in CHANGES),
    ]
    for call in calls:
        with pytest.raises(trimtab.ClosedError, match="the pool is closed"):
            call()
    # What the pick knows, it keeps.
    assert pick.address == "10.0.0.1:80"


def test_the_block_of_a_pool_closes_it_however_it_is_left() -> None:
    with pytest.raises(KeyError), Pool() as pool:
        raise KeyError
    assert pool.closed
    with Pool() as pool:
        pool.close()
    with pytest.raises(trimtab.ClosedError), pool:
        pass
