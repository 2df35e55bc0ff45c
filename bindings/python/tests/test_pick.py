"""A pick, its fields, and each way to report it."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable

import pytest
import trimtab
from trimtab import BackendStatistics, Family, Outcome, Policy, Pool


def only(address: str = "10.0.0.1:80", tag: int = 0) -> Pool:
    pool = Pool()
    pool.add(address, tag=tag)
    return pool


@pytest.mark.parametrize(
    ("address", "family", "host", "port"),
    [
        ("10.0.0.1:80", Family.INET, "10.0.0.1", 80),
        ("[2001:db8::1]:65535", Family.INET6, "2001:db8::1", 65535),
        ("[fe80::1%3]:80", Family.INET6, "fe80::1%3", 80),
        ("unix:/run/app.sock", Family.UNIX, "/run/app.sock", 0),
        ("unix:@app", Family.UNIX, "@app", 0),
    ],
)
def test_addresses(address: str, family: Family, host: str, port: int) -> None:
    with only(address, tag=5) as pool, pool.pick() as pick:
        assert pick.backend == 1 and pick.tag == 5
        assert (pick.address, pick.host, pick.port) == (address, host, port)
        assert pick.family is family
        assert repr(pick) == f"<trimtab.Pick backend=1 address={address}>"


def test_a_pick_cannot_be_changed_or_made() -> None:
    with only() as pool:
        pick = pool.pick()
        with pytest.raises(AttributeError):
            pick.backend = 2  # type: ignore[misc]
        with pytest.raises(TypeError):
            trimtab.Pick()


def test_each_way_to_report_one() -> None:
    ways: list[Callable[[Pool, trimtab.Pick], None]] = [
        lambda pool, pick: pick.done(),
        lambda pool, pick: pool.done(pick),
        lambda pool, pick: pool.done(pick.token),
        lambda pool, pick: pick.__exit__(None, None, None),
    ]
    for way in ways:
        with only() as pool:
            pick = pool.pick()
            assert pool.statistics().in_flight == 1
            way(pool, pick)
            assert pool.statistics().in_flight == 0
            for again in ways[:3]:
                with pytest.raises(trimtab.StalePickError, match="reported done before"):
                    again(pool, pick)
            assert pool.backend(1).success == 1


def left_with(error: BaseException | None) -> BackendStatistics:
    with only() as pool:
        try:
            with pool.pick():
                if error is not None:
                    raise error
        except BaseException as raised:
            # Nothing is held back, nothing is put in its place.
            assert raised is error and raised.__context__ is None
        else:
            assert error is None
        return pool.backend(1)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, Outcome.SUCCESS),
        (RuntimeError(), Outcome.FAILED),
        (OSError(), Outcome.FAILED),
        (ConnectionResetError(), Outcome.FAILED),
        (ConnectionRefusedError(), Outcome.CONNECT_FAILED),
        (TimeoutError(), Outcome.TIMED_OUT),
        (asyncio.CancelledError(), Outcome.CANCELLED),
        (KeyboardInterrupt(), Outcome.CANCELLED),
        (SystemExit(), Outcome.CANCELLED),
        (GeneratorExit(), Outcome.CANCELLED),
    ],
)
def test_what_leaving_the_block_reports(error: BaseException | None, outcome: Outcome) -> None:
    told = left_with(error)
    counts = (told.success, told.connect_failed, told.failed, told.timed_out, told.cancelled)
    assert counts == tuple(int(outcome is known) for known in Outcome)
    # The elapsed time is the total; only that of answers goes into the mean.
    assert (told.response_mean is not None) == (outcome is Outcome.SUCCESS)
    assert told.response_mean is None or 0 < told.response_mean < 5


def test_reported_inside_the_block_it_is_not_reported_again() -> None:
    with only() as pool:
        with pool.pick() as pick:
            pick.done(Outcome.FAILED)
        with pytest.raises(KeyError), pool.pick() as pick:
            pool.done(pick, "timed-out")
            raise KeyError
        told = pool.backend(1)
        assert (told.picks, told.success, told.failed, told.timed_out) == (2, 0, 1, 1)


def test_reported_inside_the_block_by_its_number_is_an_error() -> None:
    with only() as pool, pytest.raises(trimtab.StalePickError), pool.pick() as pick:
        pool.done(pick.token)


def test_a_pool_closed_inside_the_block_is_told_nothing() -> None:
    pool = only()
    with pool.pick():
        pool.close()
    assert pool.closed


def test_another_pool_refuses_it() -> None:
    with Pool(seed=0) as one, Pool(seed=0) as other:
        one.add("10.0.0.1:80")
        other.add("10.0.0.1:80")
        theirs = other.pick()
        pick = one.pick()
        with pytest.raises(trimtab.StalePickError):
            other.done(pick)
        assert other.statistics().in_flight == one.statistics().in_flight == 1
        pick.done()
        theirs.done()


def test_tokens_that_are_none() -> None:
    with only() as pool:
        for token in (0, 1, 2**63, 2**64 - 1, 2**64, -1, 2**200):
            with pytest.raises(trimtab.StalePickError):
                pool.done(token)
        for other in ("1", 1.0, None, b"1", object()):
            with pytest.raises(TypeError, match="a trimtab.Pick or its token wanted, not"):
                pool.done(other)  # type: ignore[arg-type]


def test_keys_may_be_any_bytes() -> None:
    with Pool(Policy.HASH) as pool:
        pool.add_all(trimtab.Backend(f"10.0.0.{n}:80") for n in range(50))

        def place(key: bytes | bytearray | memoryview) -> int:
            with pool.pick(key) as pick:
                return pick.backend

        assert len({place(b"k%d" % n) for n in range(50)}) > 10
        key = b"some key"
        spaced = memoryview(b"s-o-m-e- -k-e-y-")[::2]
        assert {place(k) for k in (key, bytearray(key), memoryview(key), spaced)} == {place(key)}
        assert pool.pick(key=array("B", key)).backend == place(key)  # type: ignore[arg-type]
        assert place(b"") == pool.pick().backend
        place(b"\0" * trimtab.KEY_MAX)


def test_keys_that_are_none() -> None:
    with only() as pool:
        with pytest.raises(TypeError, match=r"argument 'key': .* not str; encode it: key.encode\(\)"):
            pool.pick("key")  # type: ignore[arg-type]
        for other in (5, [1, 2], object(), 1.5, {}):
            with pytest.raises(TypeError, match="argument 'key': bytes-like wanted, not"):
                pool.pick(other)  # type: ignore[arg-type]
        for long in (b"\0" * (trimtab.KEY_MAX + 1), bytearray(trimtab.KEY_MAX + 1)):
            with pytest.raises(trimtab.InvalidArgumentError, match="invalid key: it has 1048577 bytes"):
                pool.pick(long)
        assert pool.statistics().picks == 0


def test_avoid(pool: Pool) -> None:
    for avoid in ([1, 2], (1, 2), {1, 2}, iter([2, 1]), [1, 2, 999, 2**64 - 1]):
        assert pool.pick(avoid=avoid).backend == 3
    assert pool.pick(avoid=[1, 2, 3]).backend in (1, 2, 3)
    with pytest.raises(TypeError, match="an iterable of backend ids wanted, not int"):
        pool.pick(avoid=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"avoid=\[pick.backend\]"):
        pool.pick(avoid=[pool.pick()])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="a backend's number wanted, not str"):
        pool.pick(avoid="ab")  # type: ignore[arg-type]
