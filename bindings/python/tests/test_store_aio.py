"""A store in asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trimtab
from conftest import SEGMENT_BYTES
from trimtab import Operation, Store, aio


def test_a_thousand_puts_at_once(store: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        threads = threading.active_count()
        async with aio.attach(store) as writes:
            results = await asyncio.gather(*(writes.put(b"%04d" % n, b"%d" % n) for n in range(1_000)))
            assert threading.active_count() == threads and writes.under_way == 0
        assert [result.version for result in results] == list(range(1, 1_001))
        assert {result.durability for result in results} == {trimtab.Durability.LOCAL}
        # Together: a sync for each would have been a thousand.
        assert store.status().counts.flushes < 500

    run(main())
    assert [int(value) for value in store.values()] == list(range(1_000))


def test_every_write_is_there(store: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        async with aio.attach(store) as writes:
            put = await writes.put(b"k", b"1", durability="memory", ttl=100)
            assert put.durability is trimtab.Durability.MEMORY
            assert not await writes.put(b"k", b"", absent=True)
            assert await writes.compare_and_set(b"k", put.version, b"2")
            before = (await writes.get_and_set(b"k", b"3")).previous
            assert before and before.value == b"2"
            assert (await writes.increment(b"k", 4)).number == 7
            assert (await writes.append(b"k", b"0")).count == 2
            assert await writes.expire(b"k", 100) and await writes.persist(b"k")
            assert not await writes.set_lifetime(b"k", ttl=1, condition="deadline")
            with pytest.raises(TypeError, match="one of ttl and at"):
                await writes.expire(b"k")
            assert (await writes.execute(Operation.get(b"k"))).value == b"70"
            done = await writes.transaction().when(b"k", value=b"70").then(Operation.increment(b"k")).commit()
            assert done and done.steps[0].number == 71
            assert await writes.delete(b"k") and not await writes.delete(b"k")
            async with await writes.lease_grant(100) as lease:
                await writes.put(b"l", b"", lease=lease)
                assert lease.lease.alive and (await lease.keep_alive()).deadline
            assert b"l" not in store and store.lease(lease.id) is None
            await writes.put(b"r", b"", durability="memory")
            assert await writes.sync() >= 1 and store.status().durable == store.status().sequence
            assert (await writes.delete_range(prefix=b"r")).count == 1
            request = trimtab.Request(b"c" * 16, 1)
            assert not (await writes.increment(b"n", request=request)).is_repeated
            assert (await writes.increment(b"n", request=request)).is_repeated
            with pytest.raises(trimtab.InvalidArgumentError):
                await writes.increment(b"n", 2**63 - 1)
            with pytest.raises(trimtab.UnsupportedError):
                await writes.put(b"n", b"", durability="all")
            with pytest.raises(TypeError, match="bytes-like wanted"):
                await writes.put(b"n", text)
        assert writes.store is store and list(store) == [b"n"]

    run(main())


def test_every_read_is_there(store: Store, run: Callable[..., None]) -> None:
    for n in range(3):
        store[b"%d" % n] = b"v%d" % n
    request = trimtab.Request(b"c" * 16, 1)
    store.put(b"l", b"", lease=store.lease_grant(100, id=7), request=request)

    async def main() -> None:
        async with aio.attach(store) as reads:
            assert await reads.get(b"0") == b"v0" and await reads.get(b"none") is None
            assert await reads.get(b"none", 5) == 5
            entry = await reads.entry(b"1")
            assert entry and entry.value == b"v1" and await reads.entry(b"none") is None
            assert await reads.count() == 4 and await reads.count(b"1", b"3") == 2
            assert list(await reads.keys(reverse=True, limit=2)) == [b"l", b"2"]
            assert list(await reads.values(b"1", b"3")) == [b"v1", b"v2"]
            scan = await reads.items(prefix=b"0")
            store[b"00"] = b"later"
            assert list(scan) == [(b"0", b"v0")] and scan.sequence < store.status().sequence
            assert [entry.key for entry in await reads.entries(prefix=b"l")] == [b"l"]
            with await reads.view(level="primary") as view:
                assert view[b"2"] == b"v2"
            with pytest.raises(trimtab.InvalidArgumentError, match="level"):
                await reads.view(level="none")
            lease = await reads.lease(7)
            assert lease and await lease.alive() and await lease.ttl() == 100 and await lease.deadline() > 0
            assert (await lease.revoke()).count == 1 and not await lease.alive()
            with pytest.raises(trimtab.NotFoundError, match="no lease 7"):
                await lease.ttl()
            assert await reads.lease(7) is None
            state, told = await reads.outcome(request)
            assert state is trimtab.RequestState.APPLIED and told and told.is_repeated
            with pytest.raises(trimtab.StateError):
                await reads.transfer("b")
        with pytest.raises(RuntimeError, match="not attached"):
            await reads.get(b"0")

    run(main())


text: Any = "text"
TIMEOUT = 30.0


def test_one_that_is_refused_does_not_hold_up_the_others(store: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        async with aio.attach(store) as writes:
            durabilities = ["local" if n % 3 else ("all", "none")[n % 2] for n in range(30)]
            puts = (writes.put(b"%d" % n, b"", durability=level) for n, level in enumerate(durabilities))
            results = await asyncio.gather(*puts, return_exceptions=True)
        for level, result in zip(durabilities, results, strict=True):
            kinds = {"all": trimtab.UnsupportedError, "none": trimtab.InvalidArgumentError}
            assert isinstance(result, kinds.get(level, trimtab.StoreResult))
        assert len(store) == 20

    run(main())


def test_it_is_bounded_and_in_order(store: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        most = 0
        async with aio.attach(store, 10) as writes:

            async def put(n: int) -> int:
                nonlocal most
                result = await writes.put(b"%d" % n, b"")
                most = max(most, writes.under_way)
                return result.sequence

            sequences = await asyncio.gather(*(put(n) for n in range(200)))
        assert sequences == list(range(1, 201)) and most <= 10
        for wrong in (None, 1.5, "4"):
            with pytest.raises(TypeError, match="'capacity': a whole number wanted"):
                aio.attach(store, wrong)  # type: ignore[arg-type]
        for bad in (0, -1, (1 << 24) + 1, 1 << 70):
            with pytest.raises(trimtab.InvalidArgumentError, match="capacity"):
                async with aio.attach(store, bad):
                    pass

    run(main())


def test_cancelling_loses_no_place_and_no_answer(store: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        async with aio.attach(store, 4) as writes:
            for turn in range(50):
                tasks = [asyncio.create_task(writes.put(b"%d/%d" % (turn, n), b"")) for n in range(12)]
                # Before they begin, when they wait for a place, are to be submitted, and are under way.
                for _ in range(turn % 4):
                    await asyncio.sleep(0)
                for task in tasks[turn % 3 :: 2]:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                for n, result in enumerate(results):
                    if isinstance(result, trimtab.StoreResult):
                        assert b"%d/%d" % (turn, n) in store
                    else:
                        assert isinstance(result, asyncio.CancelledError)
            await writes.join()
            assert writes.under_way == 0
            await asyncio.gather(*(writes.put(b"all/%d" % n, b"") for n in range(20)))
        assert store.count(prefix=b"all/") == 20

    run(main())


def test_what_was_cancelled_before_it_was_submitted_is_not_done(
    store: Store, run: Callable[..., None]
) -> None:
    async def main() -> None:
        async with aio.attach(store) as writes:
            task = asyncio.create_task(writes.put(b"never", b""))
            # It runs up to its future; what comes in this turn is submitted in the next.
            asyncio.get_running_loop().call_soon(task.cancel)
            with pytest.raises(asyncio.CancelledError):
                await task
            await writes.put(b"k", b"")
        assert list(store) == [b"k"] and store.status().sequence == 1

    run(main())


def test_leaving_waits_for_what_is_under_way(store: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        async with aio.attach(store, 8) as writes:
            tasks = [asyncio.create_task(writes.put(b"%d" % n, b"")) for n in range(100)]
            await asyncio.sleep(0)
        assert all(task.done() and task.result() for task in tasks)
        with pytest.raises(RuntimeError, match="not attached here"):
            await writes.put(b"k", b"")
        with pytest.raises(RuntimeError, match="entered before"):
            await writes.__aenter__()
        with pytest.raises(RuntimeError, match="not attached here"):
            await aio.attach(store).put(b"k", b"")

    run(main())
    assert len(store) == 100


def test_leaving_takes_back_what_only_waits(store: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        late: list[BaseException] = []

        async def until_refused(writes: aio.AsyncStore) -> None:
            try:
                while True:
                    await writes.put(b"again", b"")
            except RuntimeError as error:
                late.append(error)

        with pytest.raises(KeyError):
            async with aio.attach(store, 3) as writes:
                waits = [asyncio.create_task(writes.wait_durable(1 << 40)) for _ in range(2)]
                again = asyncio.create_task(until_refused(writes))
                while writes.under_way < 3:
                    await asyncio.sleep(0)
                # In order: two wait for their place behind a write, and another for one behind both.
                puts = [asyncio.create_task(writes.put(b"a", b""))]
                waits += [asyncio.create_task(writes.wait_durable(1 << 40)) for _ in range(2)]
                puts += [asyncio.create_task(writes.put(b"b", b""))]
                await asyncio.sleep(0)
                raise KeyError
        results = await asyncio.gather(*waits, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results
        assert all(task.done() and task.result() for task in puts)
        # One that writes for ever does not keep the block.
        await again
        assert len(late) == 1 and "not attached here" in str(late[0])

    run(main())
    assert {b"a", b"b"} <= set(store)


def test_a_cancelled_leave_leaves_nobody_waiting(store: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        writes = await aio.attach(store, 2).__aenter__()
        tasks = [asyncio.create_task(writes.put(b"%d" % n, b"")) for n in range(10)]
        await asyncio.sleep(0)
        leave = asyncio.create_task(writes.__aexit__(None, None, None))
        await asyncio.sleep(0)
        leave.cancel()
        results = await asyncio.gather(leave, *tasks, return_exceptions=True)
        for result in results[1:]:
            assert isinstance(result, (asyncio.CancelledError, trimtab.StoreResult))

    run(main())


def test_the_loop_goes_on_meanwhile(store: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        turns, is_over = 0, False

        async def others() -> None:
            nonlocal turns
            while not is_over:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        async with aio.attach(store, 16) as writes:
            await asyncio.gather(*(writes.put(b"%d" % n, b"v" * 1_000) for n in range(1_000)))
        is_over = True
        await task
        assert turns > 60

    run(main())


def test_a_store_that_is_closed_answers_what_is_under_way(tmp_path: Path, run: Callable[..., None]) -> None:
    async def main() -> None:
        store = Store(tmp_path, segment_bytes=SEGMENT_BYTES)
        async with aio.attach(store) as writes:
            tasks = [asyncio.create_task(writes.put(b"%d" % n, b"")) for n in range(100)]
            while writes.under_way < 100:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.to_thread(store.close)
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, trimtab.StoreResult) for result in results)
            with pytest.raises(trimtab.ClosedError):
                await writes.put(b"k", b"")

    run(main())
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as again:
        assert len(again) == 100


def test_several_loops_and_threads_share_a_store(store: Store) -> None:
    def work(name: bytes) -> None:
        async def main() -> None:
            async with aio.attach(store, 64) as writes:
                await asyncio.gather(*(writes.increment(b"n") for _ in range(500)))
                await asyncio.gather(*(writes.put(name + b"/%d" % n, b"") for n in range(100)))

        asyncio.run(main())

    threads = [threading.Thread(target=work, args=(b"%d" % n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(500):
        store.increment(b"n", durability="memory")
    for thread in threads:
        thread.join(TIMEOUT)
    assert store[b"n"] == b"2500" and len(store) == 401


def test_another_loop_is_refused(store: Store) -> None:
    first = asyncio.new_event_loop()
    writes = aio.attach(store)
    first.run_until_complete(writes.__aenter__())
    with pytest.raises(RuntimeError, match="attached to another loop"):
        asyncio.run(writes.put(b"k", b""))
    first.run_until_complete(writes.__aexit__(None, None, None))
    first.close()


def test_a_loop_that_went_away_takes_nothing_along(store: Store) -> None:
    loop = asyncio.new_event_loop()
    writes = aio.attach(store)
    loop.run_until_complete(writes.__aenter__())
    loop.close()
    del writes
    store[b"k"] = b"goes on"


def test_waiting_for_the_disk(tmp_path: Path, run: Callable[..., None]) -> None:
    async def main() -> None:
        async with aio.attach(store, capacity=2) as writes:
            sequence = (await writes.put(b"m", b"1", durability="memory")).sequence
            told = asyncio.ensure_future(writes.wait_durable(sequence))
            never = asyncio.ensure_future(writes.wait_durable(sequence + 9))
            await asyncio.sleep(0)
            assert writes.under_way == 2 and not told.done()
            store.sync()
            assert await told == await writes.wait_durable(1) == sequence
            never.cancel()
            with pytest.raises(asyncio.CancelledError):
                await never
            # Leaving does not wait for what nobody wants to know.
            assert writes.under_way == 0

    with Store(tmp_path, segment_bytes=SEGMENT_BYTES, flush_interval=3600.0) as store:
        run(main())


def test_a_wait_that_is_cancelled_keeps_no_place(store: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        async with aio.attach(store, capacity=2) as writes:
            far = (await writes.put(b"k", b"v")).sequence + 1000
            for _ in range(20):
                tasks = [asyncio.ensure_future(writes.wait_durable(far)) for _ in range(3)]
                while writes.under_way < 2:
                    await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(result, asyncio.CancelledError) for result in results), results
                assert writes.under_way == 0
            # One that is done and not taken when it is cancelled has its place until it is taken.
            await writes.put(b"k", b"w")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(writes.wait_durable(far), 0.01)
            assert await writes.wait_durable(far - 1000) >= far - 1000
            await asyncio.gather(*(writes.put(b"k", b"x") for _ in range(8)))

    run(main())


def test_what_a_dict_does_is_one_step_here_too(store: Store, run: Callable[..., None]) -> None:
    async def main() -> None:
        async with aio.attach(store) as writes:
            assert await writes.setdefault(b"a", b"1") == b"1"
            got = await asyncio.gather(*(writes.setdefault(b"b", b"%d" % at) for at in range(5)))
            assert got == [b"0"] * 5
            popped = await asyncio.gather(*(writes.pop(b"b", None) for _ in range(5)))
            assert sorted(popped, key=str) == [None] * 4 + [b"0"]
            with pytest.raises(KeyError):
                await writes.pop(b"b")
            await writes.update({b"x": b"1", b"a": b"2"})
            await writes.update([(b"y", b"3")])
            assert dict(store.items()) == {b"a": b"2", b"x": b"1", b"y": b"3"}
            anything: Any = writes
            with pytest.raises(TypeError, match="'operation': an Operation wanted, not NoneType"):
                await anything.execute(None)
            for position in ((1, 2**70), (-1, 1)):
                with pytest.raises(trimtab.InvalidArgumentError, match="position"):
                    await writes.view(position=position)
            for wrong in (7, (1,), ("a", 1)):
                with pytest.raises(TypeError, match="position"):
                    await anything.view(position=wrong)
            with pytest.raises(TypeError, match="wants an id"):
                await writes.lease_grant(10, request=trimtab.Request(b"c" * 16, 1))

    run(main())
