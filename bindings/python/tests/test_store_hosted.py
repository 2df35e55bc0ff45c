"""A store in a loop that Python has: selectors, turn alone, asyncio."""

from __future__ import annotations

import asyncio
import gc
import selectors
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trimtab
from conftest import SEGMENT_BYTES
from peers import TIMEOUT, descriptors, line, running, script
from trimtab import Operation, StateError, Store, aio

Run = Callable[..., None]


def opened(path: Path) -> Store:
    return Store(path, hosted=True, segment_bytes=SEGMENT_BYTES, flush_interval=0.02)


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Store]:
    """A store without threads of its own."""
    before = store_threads()
    with opened(tmp_path / "hosted") as made:
        yield made
        assert store_threads() == before, "no thread is made"


def store_threads() -> int:
    """Threads that stores of this process have."""
    count = 0
    for task in Path("/proc/self/task").iterdir():
        try:
            count += (task / "comm").read_text().startswith("trimtab-")
        except (FileNotFoundError, ProcessLookupError):
            # It ended between the two looks.
            pass
    return count


def test_a_selector_takes_the_store_itself(hosted: Store) -> None:
    assert hosted.hosted
    with hosted.queue(100) as queue, selectors.DefaultSelector() as selector:
        selector.register(hosted, selectors.EVENT_READ)
        selector.register(queue, selectors.EVENT_READ)
        submitted = answered = 0
        until = time.monotonic() + TIMEOUT
        while answered < 2_000:
            assert time.monotonic() < until
            while submitted < 2_000 and submitted - answered < 100:
                queue.submit(Operation.put(b"%d" % submitted, b"v" * 300), submitted)
                submitted += 1
            selector.select(hosted.next_timeout())
            hosted.turn()
            for completion in queue.take():
                assert completion.error is None and completion.user_data == answered
                answered += 1
        selector.unregister(hosted)
    status = hosted.status()
    assert status.keys == 2_000 and status.durable == status.sequence
    # Together: a sync for each would have been as many.
    assert status.counts.flushes < 500


def test_turn_alone_is_a_loop(hosted: Store) -> None:
    with hosted.watch() as watch:
        hosted.put(b"k", b"v", durability="memory")
        assert watch.poll() is not None, "it is seen at once"
        # It comes to disk in its time, and by turns alone.
        until = time.monotonic() + TIMEOUT
        while hosted.status().durable < hosted.status().sequence:
            assert time.monotonic() < until
            hosted.turn(None)
    while hosted.turn():
        pass
    deadline, timeout = hosted.next_deadline(), hosted.next_timeout()
    assert deadline is not None and deadline > time.monotonic() + 3600, "the next day's reading"
    assert timeout is not None and timeout > 3600
    began = time.monotonic()
    assert hosted.turn(0.1) == 0 and 0.1 <= time.monotonic() - began < TIMEOUT


def test_calls_that_wait_need_no_turn(hosted: Store) -> None:
    hosted[b"k"] = b"v"
    assert hosted.status().durable == hosted.status().sequence
    hosted.put(b"m", b"v", durability="memory")
    hosted.sync()
    assert hosted.snapshot() > 0
    hosted.scrub()
    with hosted.queue() as queue, hosted.watch() as watch:
        queue.submit(Operation.increment(b"n"), 7)
        assert [done.user_data for done in queue.wait()] == [7]
        change = watch.poll(TIMEOUT)
        assert isinstance(change, trimtab.Change) and change.key == b"n"


def test_threads_beside_who_turns_it(hosted: Store) -> None:
    ended: list[object] = []

    def turn() -> None:
        try:
            while True:
                hosted.turn(None)
        except trimtab.ClosedError:
            ended.append(True)

    turner = threading.Thread(target=turn)
    turner.start()
    writers = [threading.Thread(target=lambda: [hosted.increment(b"n") for _ in range(50)]) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(TIMEOUT)
    assert hosted[b"n"] == b"200"
    hosted.close()
    turner.join(TIMEOUT)
    assert ended == [True]


def test_what_only_a_hosted_one_has(store: Store, tmp_path: Path) -> None:
    hosted = opened(tmp_path / "hosted")
    assert not store.hosted and hosted.hosted
    for call in (store.turn, store.fileno, store.next_deadline, store.next_timeout):
        with pytest.raises(StateError, match="open it hosted"):
            call()
    with pytest.raises(TypeError):
        Store("never", hosted=1)  # type: ignore[arg-type]
    assert hosted.fileno() >= 0
    hosted.close()
    assert hosted.fileno() == -1
    for late in (hosted.turn, hosted.next_deadline, hosted.next_timeout):
        with pytest.raises(trimtab.ClosedError):
            late()


def test_one_thread_turns_it_at_a_time(hosted: Store) -> None:
    is_over = threading.Event()

    def turn() -> None:
        while not is_over.is_set():
            hosted.turn(0.01)

    turner = threading.Thread(target=turn)
    turner.start()
    until = time.monotonic() + TIMEOUT
    with pytest.raises(StateError, match="one thread turns it at a time"):
        while time.monotonic() < until:
            hosted.turn()
    # It may have found this thread in its way, just so; then it ended by that.
    is_over.set()
    turner.join(TIMEOUT)


def test_it_is_open_again_after_it_was_closed(tmp_path: Path) -> None:
    before = descriptors()
    for turn in range(5):
        with opened(tmp_path / "store") as store:
            store.increment(b"n", durability="memory")
        with Store(tmp_path / "store", segment_bytes=SEGMENT_BYTES) as own:
            assert own[b"n"] == b"%d" % (turn + 1)
    assert descriptors() == before


def test_asyncio_turns_it(hosted: Store, run: Run) -> None:
    async def main() -> None:
        async with aio.attach(hosted) as writes:
            with hosted.watch(prefix=b"9") as watch:
                task = asyncio.ensure_future(watch.__anext__())
                results = await asyncio.gather(*(writes.put(b"%d" % n, b"") for n in range(1_000)))
                change = await task
                assert isinstance(change, trimtab.Change) and change.key == b"9"
            assert {result.durability for result in results} == {trimtab.Durability.LOCAL}
            assert hosted.status().counts.flushes < 500
            # By its deadline alone.
            await writes.put(b"m", b"", durability="memory")
            while hosted.status().durable < hosted.status().sequence:
                await asyncio.sleep(0.001)
            await writes.put(b"m", b"", durability="memory")
            assert await writes.sync() and hosted.status().durable == hosted.status().sequence
            # Who waits on the loop's thread does the work itself.
            hosted[b"own"] = b"v"
            with pytest.raises(StateError, match="attached"):
                async with aio.attach(hosted):
                    pass
        # It can be attached again, and is turned by hand meanwhile.
        hosted.turn()
        async with aio.attach(hosted) as writes:
            assert (await writes.increment(b"n")).number == 1
        for bad in (0, (1 << 24) + 1):
            with pytest.raises(trimtab.InvalidArgumentError, match="capacity"):
                async with aio.attach(hosted, bad):
                    pass

        before = descriptors()
        for _ in range(5):
            async with aio.attach(hosted) as writes:
                await writes.put(b"k", b"")
        assert descriptors() == before

    run(main())


def test_closing_it_answers_what_is_under_way(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        store = opened(tmp_path / "closed")
        async with aio.attach(store) as writes:
            puts = [asyncio.ensure_future(writes.put(b"%d" % n, b"")) for n in range(100)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.to_thread(store.close)
            done = await asyncio.wait_for(asyncio.gather(*puts, return_exceptions=True), TIMEOUT)
            with pytest.raises(trimtab.ClosedError):
                await writes.put(b"late", b"")
        with opened(tmp_path / "closed") as again:
            for n, one in enumerate(done):
                if isinstance(one, trimtab.StoreResult):
                    assert b"%d" % n in again
                else:
                    assert isinstance(one, trimtab.ClosedError)
            again.delete_range(b"")

    run(main())


def test_who_turns_it_beside_the_loop_is_told_off_not_hung(hosted: Store, run: Run) -> None:
    async def main() -> None:
        is_over = threading.Event()
        refused: list[StateError] = []

        def turn() -> None:
            while not is_over.is_set():
                try:
                    hosted.turn(0.01)
                except StateError as error:
                    refused.append(error)

        turner = threading.Thread(target=turn)
        turner.start()
        try:
            with suppress(StateError):
                async with aio.attach(hosted, 4) as writes:
                    puts = [writes.put(b"%d" % n, b"") for n in range(200)]
                    done = await asyncio.wait_for(asyncio.gather(*puts, return_exceptions=True), TIMEOUT)
                    failed = [one for one in done if not isinstance(one, trimtab.StoreResult)]
                    assert all(isinstance(one, StateError) for one in failed)
                    if failed:
                        with pytest.raises(StateError, match="one thread"):
                            await writes.put(b"more", b"")
                assert not failed, "leaving tells of it"
        finally:
            is_over.set()
            turner.join(TIMEOUT)
        # Which of the two it was is left to chance; one of them there was.
        assert failed or refused
        async with aio.attach(hosted) as writes:
            assert await writes.put(b"more", b"")

    run(main())


def test_a_loop_that_went_away_takes_nothing_along(hosted: Store) -> None:
    for _ in range(2):
        loop = asyncio.new_event_loop()
        writes = aio.attach(hosted)
        loop.run_until_complete(writes.__aenter__())
        loop.close()
        del loop, writes
        gc.collect()
    assert hosted.put(b"k", b"v")


def test_a_child_of_a_loop_disturbs_nobody(tmp_path: Path) -> None:
    code = """
        import asyncio, os, sys, trimtab, trimtab.aio

        async def main(store):
            async with trimtab.aio.attach(store, 2) as writes:
                await writes.put(b"before", b"")
                pid = os.fork()
                if pid == 0:
                    code = 1
                    try:
                        for call in (store.turn, store.fileno, store.next_deadline):
                            try:
                                call()
                                os._exit(2)
                            except trimtab.ForkedError:
                                pass
                        try:
                            await writes.put(b"child", b"")
                        except trimtab.ForkedError:
                            await writes.__aexit__(None, None, None)
                            store.close()
                            code = 0
                    finally:
                        os._exit(code)
                print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                for _ in range(3):
                    await asyncio.wait_for(writes.put(b"k", b""), 20)
                print(list(store))

        with trimtab.Store(sys.argv[1], segment_bytes=256 << 10, hosted=True) as store:
            asyncio.run(main(store))
        """
    assert script(code, str(tmp_path)) == "0\n[b'before', b'k']\n"


def test_ctrl_c_ends_a_turn_that_waits(tmp_path: Path) -> None:
    code = """
        import sys, time, trimtab

        store = trimtab.Store(sys.argv[1], segment_bytes=256 << 10, hosted=True)
        while store.turn():
            pass
        print("waits", flush=True)
        try:
            while True:
                store.turn(None)
        except KeyboardInterrupt:
            print(time.monotonic(), flush=True)
        store[b"k"] = b"v"
        store.close()
        """
    with running(code, str(tmp_path)) as process:
        assert line(process) == "waits"
        time.sleep(0.2)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert float(line(process)) - sent < 10.0
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0 and errors == ""


def test_one_that_is_open_at_the_exit_is_closed(tmp_path: Path) -> None:
    code = """
        import sys, threading, trimtab

        store = trimtab.Store(sys.argv[1], segment_bytes=256 << 10, hosted=True)

        def turn():
            try:
                while True:
                    store.turn(None)
            except trimtab.ClosedError:
                pass

        threading.Thread(target=turn, daemon=True).start()
        store.put(b"k", b"v", durability="memory")
        """
    assert script(code, str(tmp_path)) == ""
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as store:
        assert store[b"k"] == b"v" and store.report.is_closed
