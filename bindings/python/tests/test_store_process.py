"""A store and its process: another process, a fork, a kill, Ctrl-C, the end of the interpreter, threads."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import trimtab
from conftest import SEGMENT_BYTES
from peers import line, running, script
from trimtab import Store

TIMEOUT = 30.0


def test_another_process_is_refused_and_comes_after(store: Store, tmp_path: Path) -> None:
    code = """
        import sys, trimtab
        try:
            with trimtab.Store(sys.argv[1], segment_bytes=256 << 10) as store:
                store.increment(b"n")
                print(store[b"k"].decode())
        except trimtab.StateError:
            print("refused")
        """
    store[b"k"] = b"v"
    assert script(code, str(tmp_path / "store")) == "refused\n"
    store.close()
    assert script(code, str(tmp_path / "store")) == "v\n"
    with Store(tmp_path / "store", segment_bytes=SEGMENT_BYTES) as again:
        assert again[b"n"] == b"1"


WRITER = """
    import os, sys, threading, trimtab

    store = trimtab.Store(sys.argv[1], segment_bytes=256 << 10, snapshot_bytes=256 << 10)
    requests = trimtab.Requests()
    lock = threading.Lock()

    def write(thread):
        at = store.get(b"last/%d" % thread)
        number = 0 if at is None else int(at) + 1
        while True:
            durability = "local" if number % 4 == 0 else "memory"
            key = b"%d/%d" % (thread, number)
            move = store.transaction().then(
                trimtab.Operation.put(key, b"v" * (number % 300)),
                trimtab.Operation.put(b"last/%d" % thread, b"%d" % number),
                trimtab.Operation.increment(b"a", -1),
                trimtab.Operation.increment(b"b", 1),
            )
            result = move.commit(durability=durability, request=next(requests))
            if result.durability >= trimtab.Durability.LOCAL:
                # One write: what is killed in between has not said it.
                os.write(1, b"%d %d\\n" % (thread, number))
            number += 1

    for thread in range(3):
        threading.Thread(target=write, args=(thread,)).start()
    """


def test_a_process_is_killed_and_what_it_acknowledged_is_there(tmp_path: Path) -> None:
    rounds = int(os.environ.get("TRIMTAB_STORE_ROUNDS", "8"))
    draws = random.Random(5)
    acknowledged = [-1, -1, -1]
    for _ in range(rounds):
        with running(WRITER, str(tmp_path)) as process:
            assert process.stdout
            for _ in range(draws.randrange(20, 400)):
                thread, number = line(process).split()
                acknowledged[int(thread)] = int(number)
            process.kill()
            # What it said before it was killed counts too; the last line may be cut.
            for said in process.stdout.read().split("\n")[:-1]:
                thread, number = said.split()
                acknowledged[int(thread)] = int(number)
            process.wait(TIMEOUT)
        with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as store:
            total = 0
            for at, least in enumerate(acknowledged):
                last = int(store.get(b"last/%d" % at, b"-1"))
                assert last >= least
                # A beginning, without a gap, and each as it was written.
                assert store.count(prefix=b"%d/" % at) == last + 1
                for n in range(max(0, last - 300), last + 1):
                    assert store[b"%d/%d" % (at, n)] == b"v" * (n % 300)
                total += last + 1
            assert int(store.get(b"b", b"0")) == total == -int(store.get(b"a", b"0"))


FORKED = """
    import os, sys, threading, trimtab, trimtab.aio, asyncio, gc

    store = trimtab.Store(sys.argv[1], segment_bytes=256 << 10)
    store[b"k"] = b"v"
    view, scan, watch = store.view(), store.items(), store.watch()
    queue, lease = store.queue(), store.lease_grant(100)
    is_over = False

    def load():
        # So that a fork finds locks taken.
        batch = [(trimtab.Operation.increment(b"n"), 0, "memory", None)] * 50
        with store.queue() as own:
            while not is_over:
                try:
                    own.submit_all(batch)
                except trimtab.CapacityError:
                    own.wait()
                own.take()

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()

    calls = [
        lambda: store[b"k"], lambda: store.put(b"child", b""), lambda: len(store), store.sync, store.snapshot,
        store.status, store.view, store.watch, store.queue, lambda: view[b"k"], lambda: next(scan),
        watch.poll, lambda: watch.next_sequence, queue.take, queue.wait, lambda: queue.under_way,
        lambda: queue.submit(trimtab.Operation.get(b"k")), lambda: lease.ttl, lease.revoke,
        lambda: store.transaction().commit(), lambda: list(store),
    ]

    def child(turn):
        for n, call in enumerate(calls):
            try:
                call()
            except trimtab.ForkedError:
                continue
            return 100 + n
        for thing in (view, watch, queue, store):
            thing.close()
        if not store.closed or "another process" not in repr(store):
            return 2
        if turn > 1:
            return 0
        # It opens one of its own.
        with trimtab.Store(sys.argv[1] + ".child", segment_bytes=256 << 10) as own:
            own[b"k"] = b"own"
        return 0

    sys.stdout.flush()
    for turn in range(8):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = child(turn)
                gc.collect()
            finally:
                if turn % 2:
                    # As Python leaves: with what is at its exit.
                    sys.exit(code)
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code:
            print("child", code)
    is_over = True
    for thread in threads:
        thread.join()
    store[b"parent"] = b"goes on"
    assert watch.take() and not queue.take()
    store.close()
    with trimtab.Store(sys.argv[1], segment_bytes=256 << 10) as store:
        print(store[b"parent"].decode(), b"child" in store)
    """


def test_a_child_made_by_fork_is_told_and_never_hangs(tmp_path: Path) -> None:
    assert script(FORKED, str(tmp_path / "store"), timeout=60) == "goes on False\n"


def test_a_child_of_a_loop_disturbs_nobody(tmp_path: Path) -> None:
    code = """
        import asyncio, os, sys, trimtab, trimtab.aio

        async def main(store):
            async with trimtab.aio.attach(store) as writes:
                watch = store.watch()
                task = asyncio.ensure_future(watch.__anext__())
                await asyncio.sleep(0.01)
                pid = os.fork()
                if pid == 0:
                    code = 1
                    try:
                        try:
                            await writes.put(b"child", b"")
                        except trimtab.ForkedError:
                            await writes.__aexit__(None, None, None)
                            task.cancel()
                            watch.close()
                            code = 0
                    finally:
                        os._exit(code)
                print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                await asyncio.wait_for(writes.put(b"k", b""), 20)
                print((await asyncio.wait_for(task, 20)).key)

        with trimtab.Store(sys.argv[1], segment_bytes=256 << 10) as store:
            asyncio.run(main(store))
        """
    assert script(code, str(tmp_path)) == "0\nb'k'\n"


WAITS = ("watch", "poll", "queue", "asyncio")


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_ends_a_wait_at_once_and_the_wait_costs_nothing(tmp_path: Path, wait: str) -> None:
    code = """
        import asyncio, sys, time, trimtab

        with trimtab.Store(sys.argv[1], segment_bytes=256 << 10) as store:
            watch, queue = store.watch(), store.queue()

            async def main():
                async for _ in watch:
                    pass

            waits = {
                "watch": lambda: list(watch),
                "poll": lambda: watch.poll(3600),
                "queue": queue.wait,
                "asyncio": lambda: asyncio.run(main()),
            }
            print("waits", flush=True)
            began = time.process_time()
            try:
                waits[sys.argv[2]]()
            except KeyboardInterrupt:
                print(time.monotonic(), time.process_time() - began, flush=True)
            store[b"k"] = b"goes on"
            assert watch.poll().value == b"goes on"
        """
    with running(code, str(tmp_path), wait) as process:
        assert line(process) == "waits"
        # Long enough to see what waiting costs.
        time.sleep(0.5)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        seen, cost = line(process).split()
        assert float(seen) - sent < 10.0 and float(cost) < 0.25
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0 and errors == ""


@pytest.mark.parametrize("wait", ["scrub", "verify"])
def test_ctrl_c_ends_the_wait_for_what_reads_a_disk(tmp_path: Path, wait: str) -> None:
    # A disk that does not answer.
    (tmp_path / "backup").mkdir()
    os.mkfifo(tmp_path / "backup" / "manifest.json")
    code = """
        import sys, time, trimtab

        path = sys.argv[1] + "/store"
        with trimtab.Store(path, segment_bytes=256 << 10, scrub_bytes_per_second=64 << 10) as store:
            for n in range(16):
                store.put(b"%d" % n, b"v" * 150_000, durability="memory")
            waits = {
                "scrub": lambda: store.scrub(timeout=None),
                "verify": lambda: trimtab.backup_verify(sys.argv[1] + "/backup"),
            }
            print("waits", flush=True)
            try:
                waits[sys.argv[2]]()
            except KeyboardInterrupt:
                print(time.monotonic(), flush=True)
            store[b"k"] = b"goes on"
        """
    with running(code, str(tmp_path), wait) as process:
        assert line(process) == "waits"
        time.sleep(0.2)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert float(line(process)) - sent < 10.0
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0 and errors == ""


@pytest.mark.parametrize("end", ["falls off", "sys.exit", "raises"])
def test_a_store_that_is_open_at_the_exit_is_closed(tmp_path: Path, end: str) -> None:
    code = """
        import sys, threading, trimtab

        store = trimtab.Store(sys.argv[1], segment_bytes=256 << 10)
        watch, queue = store.watch(prefix=b"never"), store.queue()

        def follow(wait):
            try:
                wait()
            except trimtab.ClosedError:
                pass

        def write():
            n = 0
            try:
                while True:
                    store.put(b"%d" % n, b"", durability="memory")
                    n += 1
            except trimtab.ClosedError:
                pass

        for work in (lambda: follow(lambda: list(watch)), lambda: follow(queue.wait), write, write):
            threading.Thread(target=work, daemon=True).start()
        store.put(b"k", b"v", durability="memory")
        print("open", flush=True)
        if sys.argv[2] == "sys.exit":
            sys.exit()
        if sys.argv[2] == "raises":
            raise SystemError("asked to")
        """
    for _ in range(2):
        with running(code, str(tmp_path), end) as process:
            assert line(process) == "open"
            _, errors = process.communicate(timeout=60)
            assert process.returncode == (1 if end == "raises" else 0), errors
            assert errors == "" or (end == "raises" and "asked to" in errors)
        # All of it was written, as a close does.
        with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as store:
            assert store[b"k"] == b"v" and store.report.is_closed
            store.delete_range(b"")


def test_a_thread_that_is_no_daemon_has_the_store_until_it_ends(tmp_path: Path) -> None:
    code = """
        import sys, threading, trimtab

        store = trimtab.Store(sys.argv[1], segment_bytes=256 << 10)
        watch = store.watch()

        def follow():
            changes = [change.key for change in watch]
            print(changes, flush=True)

        def write():
            threading.main_thread().join()
            store[b"k"] = b"v"
            watch.close()

        for work in (follow, write):
            threading.Thread(target=work).start()
        """
    # Closed while the other waits in it, or before it comes to that.
    assert script(code, str(tmp_path), timeout=60) in ("[b'k']\n", "[]\n")
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as store:
        assert store[b"k"] == b"v" and store.report.is_closed


def test_an_asyncio_program_that_just_ends(tmp_path: Path) -> None:
    code = """
        import asyncio, sys, trimtab, trimtab.aio

        store = trimtab.Store(sys.argv[1], segment_bytes=256 << 10)

        async def follow():
            async for _ in store.watch():
                pass

        async def main():
            writes = await trimtab.aio.attach(store).__aenter__()
            task = asyncio.ensure_future(follow())
            puts = [asyncio.ensure_future(writes.put(b"%d" % n, b"")) for n in range(100)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        asyncio.run(main())
        print("ended")
        """
    assert script(code, str(tmp_path)) == "ended\n"
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as store:
        assert len(store) == 100


def test_threads_write_and_read_at_once(store: Store) -> None:
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for n in range(300):
                key = b"%d/%d" % (thread, n)
                store.put(key, key, durability=("memory", "local")[n % 50 == 0])
                assert store[key] == key
                store.increment(b"n", durability="memory")
                if n % 100 == 0:
                    keys = list(store.keys(prefix=b"%d/" % thread))
                    assert store.count(prefix=b"%d/" % thread) == n + 1 == len(keys)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert not failures and store[b"n"] == b"2400" and len(store) == 2_401


def test_a_write_that_waits_lets_other_threads_run(store: Store) -> None:
    is_over = threading.Event()
    counts = [0, 0]

    def write() -> None:
        while not is_over.is_set():
            store.put(b"k", b"")
            counts[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    until = time.monotonic() + 0.5
    while time.monotonic() < until or counts[0] < 20:
        counts[1] += 1
    is_over.set()
    writer.join(TIMEOUT)
    # With the interpreter held during a sync there would be a turn for each write at most.
    assert counts[1] > 20 * counts[0]


def test_closing_beside_calls(tmp_path: Path) -> None:
    for number in range(10):
        store = Store(tmp_path / str(number), segment_bytes=SEGMENT_BYTES)
        done = [0, 0, 0]
        unexpected: list[BaseException] = []

        def work(at: int, store: Store = store, done: list[int] = done, wrong: Any = unexpected) -> None:
            try:
                while True:
                    store.put(b"%d/%d" % (at, done[at]), b"", durability="memory")
                    done[at] += 1
            except trimtab.ClosedError:
                pass
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        while min(done) < 10:
            time.sleep(0)
        closers = [threading.Thread(target=store.close) for _ in range(2)]
        for thread in closers:
            thread.start()
        for thread in threads + closers:
            thread.join(TIMEOUT)
        assert not unexpected
        with Store(tmp_path / str(number), segment_bytes=SEGMENT_BYTES) as again:
            for at, count in enumerate(done):
                assert again.count(prefix=b"%d/" % at) == count


def test_disk_bytes_max_refuses_and_deleting_makes_room(tmp_path: Path) -> None:
    with Store(tmp_path, segment_bytes=64 << 10, disk_bytes_max=1 << 20) as store:
        written = 0
        with pytest.raises(trimtab.CapacityError, match="disk_bytes_max"):
            while True:
                store.put(b"%d" % written, b"v" * 1_000, durability="memory")
                written += 1
        assert written > 300 and len(store) == written
        assert store.delete_range(b"").count == written
        store[b"k"] = b"again"
        assert list(store) == [b"k"]


def test_importing_it_makes_no_thread() -> None:
    code = "import os, trimtab.aio; print(len(os.listdir('/proc/self/task')))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "1\n"



def test_a_subinterpreter_is_refused_and_takes_nothing_along(tmp_path: Path) -> None:
    code = """
        import asyncio, sys, trimtab, trimtab.aio
        from peers import config
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters

        IMPORT = '''
        try:
            import trimtab
        except ImportError as error:
            said = str(error)
        else:
            said = "imported"
        with open({0!r}, "w") as told:
            told.write(said)
        '''

        def tried(path):
            number = interpreters.create()
            interpreters.run_string(number, IMPORT.format(path))
            interpreters.destroy(number)
            with open(path) as told:
                return told.read()

        async def attached(store):
            async with trimtab.aio.attach(store) as writes:
                await writes.put(b"k", b"1")
                assert "main interpreter" in tried(sys.argv[1] + "-told")
                await writes.put(b"k", b"2")

        with trimtab.Store(sys.argv[1], segment_bytes=256 << 10) as store:
            store[b"k"] = b"0"
            queue = store.queue(4)
            asyncio.run(attached(store))
            queue.submit(trimtab.Operation.put(b"k", b"3"))
            assert queue.wait(timeout=30)[0].error is None
            with trimtab.Server(config()) as server:
                print(tried(sys.argv[1] + "-told"))
                assert server.state is trimtab.ServerState.RUNNING, server.state
            print(store[b"k"])
        """
    said = script(code, str(tmp_path / "store"), timeout=TIMEOUT).splitlines()
    assert "WSGIApplicationGroup" in said[0] and said[1] == "b'3'", said
