"""Reads on a node of a cluster that hears of no primary: they wait, and whoever waits for them can do
without.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trimtab
from conftest import SEGMENT_BYTES, within
from peers import TIMEOUT, script
from test_cluster import PATIENCE, free_address
from trimtab import ClusterOptions, Member, Request, Store, aio

REQUEST = Request(b"c" * 16, 1)


def join(path: Path, *names: str) -> Store:
    """The first of these nodes; the others never come."""
    options = ClusterOptions(
        names[0],
        [Member(name, free_address()) for name in names],
        insecure_plaintext=True,
        patience=PATIENCE,
        message_bytes=16 << 10,
    )
    return Store(path, segment_bytes=SEGMENT_BYTES, timeout=PATIENCE, cluster=options)


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Store]:
    """A node that waits for a primary all the time."""
    with join(tmp_path / "a", "a", "b", "c") as store:
        yield store


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Store]:
    """A cluster of one."""
    with join(tmp_path / "a", "a") as store:
        yield store


def test_a_signal_ends_reads_that_wait(tmp_path: Path) -> None:
    code = """
        import signal, sys, trimtab

        class Enough(Exception):
            pass

        def enough(*_):
            raise Enough

        signal.signal(signal.SIGALRM, enough)
        members = [trimtab.Member(name, f"127.0.0.1:{7400 + at}") for at, name in enumerate("abc", 1)]
        options = trimtab.ClusterOptions(
            "a", members, insecure_plaintext=True, message_bytes=16 << 10, patience=600
        )
        store = trimtab.Store(sys.argv[1], segment_bytes=256 << 10, timeout=600, cluster=options)
        reads = {
            "get": lambda: store.get(b"k"),
            "[]": lambda: store[b"k"],
            "in": lambda: b"k" in store,
            "len": lambda: len(store),
            "count": lambda: store.count(prefix=b"k"),
            "entry": lambda: store.entry(b"k"),
            "items": lambda: store.items(),
            "iter": lambda: list(store),
            "view": lambda: store.view(),
            "view age": lambda: store.view(level="replica", age_max=0.001, timeout=None),
            "view position": lambda: store.view(level="local", position=(9, 9)),
            "lease": lambda: store.lease(5),
            "outcome": lambda: store.outcome(next(trimtab.Requests())),
        }
        for name, read in reads.items():
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            try:
                print(name, "gave", read())
            except Enough:
                pass
            except trimtab.TrimtabError as error:
                signal.setitimer(signal.ITIMER_REAL, 0)
                print(name, "raised", repr(error))
        try:
            store.view(timeout=0.05)
        except (trimtab.TimedOutError, trimtab.NoQuorumError):
            pass
        print(len(store.view(level="local")))
        """
    code = code.replace("127.0.0.1", free_address().rpartition(":")[0])
    assert script(code, str(tmp_path / "a"), timeout=60) == "0\n"


def test_reads_wait_beside_the_loop(lonely: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        threads = threading.active_count()
        async with aio.attach(lonely, capacity=64) as reads:
            calls: list[Callable[[], Awaitable[Any]]] = [
                lambda: reads.get(b"k"),
                lambda: reads.entry(b"k"),
                lambda: reads.count(),
                lambda: reads.keys(),
                lambda: reads.values(),
                lambda: reads.items(),
                lambda: reads.entries(prefix=b"k"),
                lambda: reads.view(),
                lambda: reads.view(level="local", position=(9, 9)),
                lambda: reads.view(level="replica", age_max=0),
                lambda: reads.lease(5),
                lambda: aio.AsyncLease(reads, 5).alive(),
                lambda: reads.outcome(REQUEST),
            ]
            tasks = [asyncio.ensure_future(call()) for call in calls]
            # The loop turns: what was begun is told apart from what has ended.
            while reads.under_way < len(calls):
                await asyncio.sleep(0)
            assert not any(task.done() for task in tasks) and threading.active_count() == threads
            # What is here is had meanwhile.
            with await reads.view(level="local") as view:
                assert len(view) == 0
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results), results
            assert reads.under_way == 0

    run(main())


def test_reads_that_are_cancelled_keep_no_place(lonely: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        async with aio.attach(lonely, capacity=4) as reads:
            for _ in range(20):
                tasks = [asyncio.ensure_future(reads.view(level="local", position=(9, 9))) for _ in range(6)]
                while reads.under_way < 4:
                    await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(result, asyncio.CancelledError) for result in results), results
                assert reads.under_way == 0
            # There is room for what has an answer at once.
            with await reads.view(level="local") as view:
                assert len(view) == 0

    run(main())


def test_reads_end_with_the_store(lonely: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        async with aio.attach(lonely) as reads:
            tasks = [asyncio.ensure_future(call) for call in (reads.get(b"k"), reads.outcome(REQUEST))]
            while reads.under_way < len(tasks):
                await asyncio.sleep(0)
            await asyncio.to_thread(lonely.close)
            for task in tasks:
                with pytest.raises(trimtab.ClosedError):
                    await task

    run(main())


def test_leaving_the_block_cancels_reads_that_wait(lonely: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        tasks: list[asyncio.Future[Any]] = []
        with pytest.raises(KeyError):
            async with aio.attach(lonely) as reads:
                tasks += (asyncio.ensure_future(call) for call in (reads.get(b"k"), reads.outcome(REQUEST)))
                while reads.under_way < len(tasks):
                    await asyncio.sleep(0)
                raise KeyError
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results

    run(main())


@pytest.mark.parametrize("method", ["create_future", "add_reader"])
def test_events_that_are_closed_as_a_task_begins_to_wait_end_it(
    alone: Store, run: Callable[..., None], method: str
) -> None:
    async def main() -> None:
        events = alone.cluster_events()

        async def follow() -> None:
            within(method, events.close)
            # What is kept is told before it waits.
            async for _ in events:
                pass

        await asyncio.wait_for(follow(), TIMEOUT)

    run(main())


def test_the_cluster_is_changed_beside_the_loop(alone: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        async with aio.attach(alone) as attached:
            done = await attached.put(b"k", b"v", request=REQUEST)
            assert await attached.get(b"k") == b"v" and await attached.get(b"none", 7) == 7
            state, told = await attached.outcome(REQUEST)
            assert state is trimtab.RequestState.APPLIED and told and told.sequence == done.sequence
            assert await attached.outcome(Request(b"c" * 16, 2)) == (trimtab.RequestState.NOT_APPLIED, None)
            with await attached.view(position=done.position) as view:
                assert view[b"k"] == b"v"
            await attached.add_node("l", free_address())
            assert {node.name for node in alone.cluster().nodes} == {"a", "l"}
            # Nobody is there that could catch up: it is not waited for.
            promotes = asyncio.ensure_future(attached.promote_learner("l", timeout=None))
            await asyncio.wait([promotes], timeout=0.05)
            assert not promotes.done()
            promotes.cancel()
            with pytest.raises(asyncio.CancelledError):
                await promotes
            assert not await attached.abort_transfer()
            refused: list[Awaitable[None]] = [
                attached.transfer("nobody"),
                attached.replace_node("nobody", "l"),
                attached.remove_node("nobody"),
                attached.reload_certificates(),
                # The one from before goes on, or this one does.
                attached.promote_learner("l", timeout=0.01),
            ]
            for call in refused:
                with pytest.raises(trimtab.TrimtabError):
                    await call

    run(main())
