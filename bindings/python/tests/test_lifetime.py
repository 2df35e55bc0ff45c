"""Nothing leaks: not pools, not picks, not what errors hold."""

from __future__ import annotations

import gc
import os
import sys
import weakref
from pathlib import Path

import pytest
import trimtab
from trimtab import Backend, Pool

STATM = Path("/proc/self/statm")
on_linux = pytest.mark.skipif(not STATM.exists(), reason="only Linux tells the resident memory this way")


def resident_bytes() -> int:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_pool_lives_as_long_as_its_picks() -> None:
    pool = Pool()
    pool.add("10.0.0.1:80")
    pick = pool.pick()
    gone = weakref.ref(pool)
    del pool
    assert gone() is not None
    pick.done()
    del pick
    assert gone() is None


def test_references_are_given_back() -> None:
    pool = Pool("hash")
    pool.add("10.0.0.1:80")
    key, avoid, outcome = b"a key of its own", [12345678901], trimtab.Outcome.FAILED
    bad = b"\0" * (trimtab.KEY_MAX + 1)
    watched = [pool, key, avoid, outcome, bad]
    before = [sys.getrefcount(one) for one in watched]
    for _ in range(1000):
        pool.pick(key, avoid=avoid).done(outcome)
        pool.done(pool.pick(key=key, now=1.5), outcome, total=0.5)
        pool.explain(key)
        with pool.pick(key):
            pass
        with pytest.raises(trimtab.InvalidArgumentError):
            pool.pick(bad)
    gc.collect()
    assert [sys.getrefcount(one) for one in watched] == before


@on_linux
def test_ten_thousand_pools_leave_no_memory_behind() -> None:
    backends = [Backend(f"10.0.0.{n}:80", name=f"backend {n}") for n in range(8)]

    def make(count: int, close: bool) -> None:
        for n in range(count):
            pool = Pool(trimtab.Policy(n % len(trimtab.Policy)))
            pool.add_all(backends)
            pool.pick(b"key").done(total=0.001)
            pool.pick(b"never reported")
            if close:
                pool.close()

    make(1000, True)
    make(1000, False)
    gc.collect()
    before = resident_bytes()
    make(5000, True)
    make(5000, False)
    gc.collect()
    grown = resident_bytes() - before
    assert grown < 8 << 20, f"{grown} bytes more after 10,000 pools"


@on_linux
def test_a_million_calls_leave_no_memory_behind() -> None:
    with Pool("hash") as pool:
        pool.add_all(Backend(f"10.0.0.{n}:80") for n in range(8))

        def use(count: int) -> None:
            for _ in range(count):
                pick = pool.pick(bytearray(b"key"))
                assert pick.host and pick.address
                pool.done(pick)
                try:
                    pool.done(pick)
                except trimtab.StalePickError:
                    pass

        use(10_000)
        before = resident_bytes()
        use(250_000)
        grown = resident_bytes() - before
        assert grown < 4 << 20, f"{grown} bytes more after a million calls"
