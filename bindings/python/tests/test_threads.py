"""Many threads, asyncio, and a fork."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import trimtab
from trimtab import Backend, Policy, Pool

THREADS = 8


def together(work: Callable[[int], None]) -> None:
    barrier = threading.Barrier(THREADS)

    def run(number: int) -> None:
        barrier.wait(30)
        work(number)

    with ThreadPoolExecutor(THREADS) as executor:
        list(executor.map(run, range(THREADS)))


@pytest.mark.parametrize("policy", Policy)
def test_counts_are_right_while_the_pool_changes(policy: Policy) -> None:
    rounds = 500
    interval = sys.getswitchinterval()
    with Pool(policy) as pool:
        pool.add_all(Backend(f"10.0.0.{n}:80") for n in range(4))

        def work(number: int) -> None:
            for n in range(rounds):
                pick = pool.pick(b"%d" % n)
                if n % 50 == number:
                    id = pool.add(f"10.1.{number}.{n % 250}:{n + 1}")
                    pool.set_admin(id, "drain")
                    pool.remove(id)
                pick.done(total=0.001)

        sys.setswitchinterval(1e-5)
        try:
            together(work)
        finally:
            sys.setswitchinterval(interval)
        statistics = pool.statistics()
        assert (statistics.backends, statistics.in_flight, statistics.refused) == (4, 0, 0)
        assert sum(backend.success for backend in pool.backends()) == statistics.picks <= THREADS * rounds


def test_threads_share_one_order_of_turns_and_one_count(pool: Pool) -> None:
    together(lambda _: [pool.pick() for _ in range(30)].clear())
    assert [backend.picks for backend in pool.backends()] == [80, 80, 80]
    with Pool(Policy.LEAST_CONNECTIONS) as busy:
        busy.add_all(Backend(f"10.0.0.{n}:80") for n in range(16))
        together(lambda _: [busy.pick() for _ in range(20)].clear())
        assert {backend.in_flight for backend in busy.backends()} == {10}


def test_maxconn_is_exact_over_threads() -> None:
    with Pool() as pool:
        pool.add("10.0.0.1:80", maxconn=5)
        held: list[trimtab.Pick] = []
        refused: list[int] = []

        def work(number: int) -> None:
            try:
                held.append(pool.pick())
            except trimtab.NoBackendError:
                refused.append(number)

        together(work)
        assert len(held) == 5 and len(refused) == THREADS - 5


def test_a_pick_may_be_reported_by_another_thread_but_once() -> None:
    with Pool() as pool:
        pool.add("10.0.0.1:80")
        picks = [pool.pick() for _ in range(200)]
        stale: list[int] = []

        def work(number: int) -> None:
            for pick in picks:
                try:
                    pick.done()
                except trimtab.StalePickError:
                    stale.append(number)

        together(work)
        assert len(stale) == 200 * (THREADS - 1) and pool.backend(1).success == 200


def test_closing_while_others_use_it() -> None:
    pool = Pool()
    pool.add_all(Backend(f"10.0.{n >> 8}.{n & 255}:80") for n in range(2000))

    def work(number: int) -> None:
        deadline = time.monotonic() + 60
        try:
            n = 0
            # Whoever is quicker than the one that closes goes on until it has.
            while time.monotonic() < deadline:
                if number == 0 and n == 20:
                    pool.close()
                pool.pick().done()
                pool.set_weight(1, n % 100 + 1)
                n += 1
        except trimtab.ClosedError:
            pass
        else:
            raise AssertionError("it was closed")

    together(work)
    assert pool.closed


def test_changes_let_other_threads_run() -> None:
    with Pool("hash", hash="maglev") as pool:
        pool.add_all(Backend(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}:80") for n in range(20_000))
        stop = threading.Event()
        turns = 0

        def count() -> None:
            nonlocal turns
            while not stop.is_set():
                turns += 1
                time.sleep(0)

        interval = sys.getswitchinterval()
        # Only a thread that lets go of the interpreter by itself lets another one run: `count` after each
        # turn, this one within `set_weight` or never.
        sys.setswitchinterval(30)
        counter = threading.Thread(target=count)
        try:
            counter.start()
            before = turns
            for weight in (2, 3, 4):
                pool.set_weight(1, weight)
            after = turns
        finally:
            stop.set()
            sys.setswitchinterval(interval)
            counter.join(60)
        assert after > before


def test_asyncio() -> None:
    async def session(pool: Pool, number: int) -> None:
        with pool.pick(b"%d" % number):
            if number % 10 == 0:
                await asyncio.sleep(3600)
            elif number % 10 == 1:
                await asyncio.wait_for(asyncio.sleep(3600), 0.001)
            else:
                await asyncio.sleep(0)

    async def main() -> None:
        with Pool(Policy.LEAST_CONNECTIONS, seed=0) as pool:
            pool.add_all(Backend(f"10.0.0.{n}:80") for n in range(4))
            tasks = [asyncio.ensure_future(session(pool, number)) for number in range(100)]
            await asyncio.sleep(0)
            assert pool.statistics().in_flight == 100
            assert [backend.in_flight for backend in pool.backends()] == [25, 25, 25, 25]
            await asyncio.sleep(0.05)
            assert pool.statistics().in_flight == 10
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            told = pool.backends()
            assert sum(backend.success for backend in told) == 80
            # Before Python 3.11 asyncio's TimeoutError was not the built-in one.
            is_builtin = asyncio.TimeoutError is TimeoutError
            assert sum(backend.timed_out if is_builtin else backend.failed for backend in told) == 10
            assert sum(backend.cancelled for backend in told) == 10
            assert pool.statistics().in_flight == 0

    asyncio.run(main())


def in_child(pool: Pool, pick: trimtab.Pick, answers: multiprocessing.queues.SimpleQueue[object]) -> None:
    pick.done()
    pool.add("10.0.0.9:80")

    def work(_number: int) -> None:
        for _ in range(10):
            pool.pick().done()

    together(work)
    answers.put((pool.statistics()[:5], pool.ids()))
    pool.close()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="the system has no fork")
def test_after_fork_there_are_two_pools(pool: Pool) -> None:
    pick = pool.pick()
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=in_child, args=(pool, pick, answers))
    child.start()
    assert answers.get() == ((4, 4, 81, 0, 0), [1, 2, 3, 4])
    child.join(60)
    assert child.exitcode == 0
    # Nothing of it is seen here.
    assert pool.statistics()[:5] == (3, 3, 1, 1, 0) and pool.ids() == [1, 2, 3]
    pick.done()
    assert not pool.closed
