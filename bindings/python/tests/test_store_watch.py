"""What a watch is told, and what a queue completes."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trimtab
from conftest import SEGMENT_BYTES, within
from trimtab import Change, ChangeKind, Compacted, Operation, Store, Submission

TIMEOUT = 10.0


def told(watch: trimtab.StoreWatch, count: int) -> list[Change]:
    changes: list[Change] = []
    while len(changes) < count:
        for change in watch.take(TIMEOUT):
            assert isinstance(change, Change)
            changes.append(change)
    assert watch.take() == []
    return changes


def test_a_watch_tells_each_change_in_order(store: Store) -> None:
    store[b"before"] = b""
    with store.watch(prefix=b"k") as watch:
        assert watch.poll() is None and watch.next_sequence == 2
        store[b"k"] = b"1"
        store[b"other"] = b""
        store.increment(b"k")
        store.append(b"k", b"0")
        store.expire(b"k", 100)
        store.transaction().then(Operation.delete(b"k"), Operation.put(b"k2", b"")).commit()
        changes = told(watch, 6)
        assert [change.kind.name for change in changes] == [
            "PUT", "INCREMENTED", "APPENDED", "LIFETIME_SET", "DELETED", "PUT",
        ]  # fmt: skip
        assert [change.value for change in changes] == [b"1", b"2", b"20", b"20", None, b""]
        assert [change.more for change in changes] == [False] * 4 + [True, False]
        assert [change.sequence for change in changes] == [2, 4, 5, 6, 7, 7]
        assert [change.created for change in changes] == [2, 2, 2, 2, 2, 7]
        assert watch.next_sequence == 8 and watch.poll(0.01) is None
    assert watch.closed and watch.poll() is None and list(watch) == [] and watch.fileno() == -1


def test_a_watch_goes_on_from_a_sequence_over_restarts(tmp_path: Path) -> None:
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as store:
        for n in range(10):
            store[b"%d" % n] = b""
        with store.watch(sequence=5) as watch:
            assert [change.key for change in told(watch, 6)] == [b"%d" % n for n in range(4, 10)]
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as store, store.watch(sequence=9) as watch:
        assert [change.key for change in told(watch, 2)] == [b"8", b"9"]
        next_sequence = watch.next_sequence
        store[b"more"] = b""
        with store.watch(sequence=next_sequence) as other:
            assert told(other, 1)[0].key == b"more"


def test_a_watch_from_beyond_what_comes_next_is_told_so(store: Store) -> None:
    last = store.put(b"k", b"").sequence
    with store.watch(sequence=last + 2) as watch:
        store[b"k"] = b"new"
        assert isinstance(watch.poll(TIMEOUT), Compacted) and watch.is_over


def test_a_gap_is_told_and_nothing_comes_behind_it(tmp_path: Path) -> None:
    with Store(tmp_path, history_bytes_max=0, segment_bytes=SEGMENT_BYTES) as store:
        watch = store.watch()
        for n in range(2_000):
            store.put(b"%d" % n, b"", durability="memory")
        gap = watch.poll(TIMEOUT)
        assert isinstance(gap, Compacted) and gap.kind is ChangeKind.COMPACTED
        assert 1 < gap.first <= 2_001 and watch.is_over and not watch.closed
        assert watch.poll() is None and list(watch) == [] and watch.take() == []
        # How to go on: what there is, and what comes behind it.
        with store.view() as view:
            assert len(view) == 2_000
            with store.watch(sequence=view.sequence + 1) as again:
                store[b"k"] = b""
                assert told(again, 1)[0].key == b"k"
        with store.watch(sequence=gap.first) as again:
            assert isinstance(again.poll(TIMEOUT), (Change, Compacted))
        assert [type(one) for one in store.watch(sequence=1)] == [Compacted]


def test_a_watch_waits_and_is_closed_by_another_thread(store: Store) -> None:
    watch = store.watch()
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.extend(watch))
    thread.start()
    store[b"a"], store[b"b"] = b"", b""
    while len(got) < 2:
        assert thread.is_alive()
    # Between two waits it is free for a moment.
    refused = 0
    for _ in range(1_000):
        try:
            assert watch.poll() is None
        except trimtab.StateError:
            refused += 1
    assert refused > 0
    watch.close()
    thread.join(TIMEOUT)
    assert not thread.is_alive() and [change.key for change in got] == [b"a", b"b"]


def test_a_watch_ends_with_its_store(tmp_path: Path) -> None:
    store = Store(tmp_path, segment_bytes=SEGMENT_BYTES)
    watch = store.watch()
    raised: list[BaseException] = []

    def follow() -> None:
        try:
            list(watch)
        except trimtab.ClosedError as error:
            raised.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    store.close()
    thread.join(TIMEOUT)
    assert len(raised) == 1


def test_a_selector_takes_watches_and_queues(store: Store) -> None:
    with selectors.DefaultSelector() as selector, store.watch() as watch, store.queue() as queue:
        # The first look arms it.
        assert watch.poll() is None
        selector.register(watch, selectors.EVENT_READ)
        selector.register(queue, selectors.EVENT_READ)
        assert selector.select(0) == []
        queue.submit(Operation.put(b"k", b""), 7, durability="local")
        ready: set[Any] = set()
        while len(ready) < 2:
            ready |= {key.fileobj for key, _ in selector.select(TIMEOUT)}
        assert ready == {watch, queue}
        (done,) = queue.take()
        assert done.user_data == 7 and done.result and done.error is None
        assert told(watch, 1)[0].key == b"k" and selector.select(0) == []


def test_each_submission_is_completed_once(store: Store) -> None:
    with store.queue(1_000) as queue:
        batch = [Submission(Operation.increment(b"n"), n, ("memory", "local")[n % 2]) for n in range(900)]
        assert queue.submit_all(batch) == 900
        completions: list[trimtab.Completion] = []
        while len(completions) < 900:
            completions += queue.wait(100, TIMEOUT)
        assert queue.under_way == 0 and queue.take() == []
        assert [done.user_data for done in completions] == list(range(900))
        assert [done.result.number for done in completions if done.result] == list(range(1, 901))
        assert store[b"n"] == b"900"


def test_a_queue_is_bounded_and_says_what_was_taken(store: Store) -> None:
    with store.queue(3) as queue:
        put = Operation.put(b"k", b"")
        assert queue.submit_all((put, n, "memory", None) for n in range(5)) == 3
        with pytest.raises(trimtab.CapacityError, match="queue_capacity"):
            queue.submit(put)
        assert len(queue.take(2)) == 2
        queue.submit(put)
        # Refused at once, or no submission at all: what came before is taken.
        assert queue.submit_all([Submission(put, 1), Submission(put, 2, "all")]) == 1
        # One was done at once, and the disk may have done with the others.
        assert len(queue.take(1)) == 1
        anything: list[Any] = [Submission(put, 1), 7]
        assert queue.submit_all(anything) == 1
        with pytest.raises(trimtab.CapacityError):
            queue.submit_all([Submission(put, 2, "all")])
        queue.take()
        done: list[trimtab.Completion] = []
        while queue.under_way:
            done += queue.wait(timeout=TIMEOUT)
        queue.take()
        with pytest.raises(trimtab.UnsupportedError):
            queue.submit_all([Submission(put, 2, "all")])
        with pytest.raises(trimtab.TimedOutError):
            queue.wait(timeout=0.01)
        assert queue.submit_all([]) == 0
    with pytest.raises(trimtab.ClosedError, match="the queue is closed"):
        queue.take()
    assert queue.closed and queue.fileno() == -1


def test_a_submission_that_fails_says_why(store: Store) -> None:
    store[b"text"] = b"seven"
    with store.queue() as queue:
        queue.submit(Operation.increment(b"text"), 1)
        (done,) = queue.wait(timeout=TIMEOUT)
        assert isinstance(done.error, trimtab.InvalidArgumentError) and done.result is None
    with store.queue() as own:
        anything: Any = own
        for wrong in (7, "text", (), (7,), (Operation.get(b"k"), 0, None, None, 0)):
            with pytest.raises(TypeError, match="a Submission in it"):
                anything.submit_all([wrong])
        with pytest.raises(trimtab.InvalidArgumentError, match="user_data"):
            anything.submit(Operation.get(b"k"), -1)
        for most in (0, 65_537):
            with pytest.raises(trimtab.InvalidArgumentError, match="max"):
                anything.take(most)


def test_a_number_used_for_another_operation_is_refused(store: Store) -> None:
    request = next(trimtab.Requests())
    with store.queue() as queue:
        queue.submit(Operation.put(b"k", b"v"), 1, request=request)
        queue.submit(Operation.increment(b"n"), 2, request=request)
        done: list[trimtab.Completion] = []
        while len(done) < 2:
            done += queue.wait()
        assert [completion.user_data for completion in done] == [1, 2] and done[0].result
        assert isinstance(done[1].error, trimtab.StateError) and b"n" not in store


def test_what_is_under_way_is_completed_when_the_store_is_closed(tmp_path: Path) -> None:
    store = Store(tmp_path, segment_bytes=SEGMENT_BYTES)
    with store.queue() as queue:
        assert queue.submit_all(Submission(Operation.put(b"%d" % n, b""), n) for n in range(100)) == 100
        store.close()
        done: list[trimtab.Completion] = []
        with pytest.raises(trimtab.ClosedError):
            while True:
                done += queue.wait()
        assert [one.user_data for one in done] == list(range(100)) and all(one.result for one in done)
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as again:
        assert len(again) == 100


def test_asynchronous_iteration(store: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        got: list[Change] = []
        watch = store.watch()

        async def follow() -> None:
            async for change in watch:
                assert isinstance(change, Change)
                got.append(change)

        task = asyncio.create_task(follow())
        for n in range(3_000):
            store.put(b"%d" % n, b"", durability="memory")
            if n % 100 == 0:
                await asyncio.sleep(0)
        while len(got) < 3_000:
            await asyncio.sleep(0.001)
        with pytest.raises(trimtab.StateError, match="by another task"):
            await asyncio.wait_for(watch.__anext__(), TIMEOUT)
        # Cancelled, nothing is lost: the next one goes on.
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        store[b"later"] = b""
        later = await asyncio.wait_for(watch.__anext__(), TIMEOUT)
        assert isinstance(later, Change) and later.key == b"later"
        for is_here in (True, False):
            task = asyncio.create_task(follow())
            await asyncio.sleep(0.01)
            if is_here:
                watch.close()
            else:
                await asyncio.to_thread(watch.close)
            await asyncio.wait_for(task, TIMEOUT)
            watch = store.watch()
        assert [change.sequence for change in got] == list(range(1, 3_001))

    run(main())


@pytest.mark.parametrize("method", ["create_future", "add_reader"])
def test_a_watch_that_is_closed_as_a_task_begins_to_wait_ends_it(
    store: Store, run: Callable[..., None], method: str
) -> None:
    async def main() -> None:
        watch = store.watch()

        async def follow() -> list[Change | Compacted]:
            within(method, watch.close)
            return [change async for change in watch]

        assert await asyncio.wait_for(follow(), TIMEOUT) == []

    run(main())


def test_asynchronous_iteration_lets_others_run_and_ends_with_the_store(
    tmp_path: Path, run: Callable[..., None]
) -> None:
    async def main() -> None:
        store = Store(tmp_path, segment_bytes=SEGMENT_BYTES)
        for n in range(5_000):
            store.put(b"%d" % n, b"", durability="memory")
        turns, is_over = 0, False

        async def others() -> None:
            nonlocal turns
            while not is_over:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        count = 0
        with pytest.raises(trimtab.ClosedError):
            async for _ in store.watch(sequence=1):
                count += 1
                if count == 5_000:
                    asyncio.get_running_loop().call_soon(store.close)
        is_over = True
        await task
        assert count == 5_000 and turns >= 4

    run(main())
