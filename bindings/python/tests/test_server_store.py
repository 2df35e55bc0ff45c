"""A server's own store, for the program that the server is part of."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trimtab
from peers import TIMEOUT, Echo, config, connect, descriptors, eventually, script
from trimtab import Server, Store, aio

Run = Callable[..., None]


def with_store(path: Path) -> str:
    return f'[runtime]\nworkers = 2\n\n[store]\ndir = "{path}"\nresp = "127.0.0.1:0"\n'


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def ask(server: Server, command: bytes, answer: bytes) -> None:
    """Says it as a Redis client."""
    clients = server.status()["store"]["clients"]
    with connect(clients["address"]) as client:
        client.sendall(command + b"\r\n")
        got = b""
        while len(got) < len(answer):
            more = client.recv(4096)
            assert more, got
            got += more
    assert got == answer


def test_it_has_the_keys_that_redis_clients_see(tmp_path: Path) -> None:
    with Server(with_store(tmp_path / "store")) as server:
        store = server.store
        assert isinstance(store, Store) and store is not server.store and not store.hosted
        with store.watch() as watch, store.queue() as queue:
            store[b"ours"] = b"1"
            ask(server, b"GET ours", b"$1\r\n1\r\n")
            ask(server, b"SET theirs 2", b"+OK\r\n")
            assert store[b"theirs"] == server.store[b"theirs"] == b"2"
            keys = [change.key for change in (watch.poll(TIMEOUT), watch.poll(TIMEOUT)) if change]  # type: ignore[union-attr]
            assert keys == [b"ours", b"theirs"]
            queue.submit(trimtab.Operation.increment(b"theirs"))
            assert [done.error for done in queue.wait()] == [None]
            ask(server, b"GET theirs", b"$1\r\n3\r\n")
        done = store.transaction().then(trimtab.Operation.put(b"both", b"")).commit(durability="memory")
        assert done.durability is trimtab.Durability.MEMORY
        assert store.status().keys == 3 and list(store) == [b"both", b"ours", b"theirs"]
        assert store.backup(tmp_path / "backup").last_sequence >= 3
        told = server.status()["store"]
        assert (told["durability"], told["nodes"], told["expiries"], told["evictions"]) == ("local", 0, 0, 0)
        opening = told["opening"]
        assert opening["was_closed"] and "torn" not in opening and "damage" not in told["scrub"]
        with pytest.raises(trimtab.StateError, match="open it hosted"):
            store.turn()


def test_to_close_it_lets_go_of_the_handle_alone(tmp_path: Path) -> None:
    with Server(with_store(tmp_path / "store")) as server:
        with server.store as store:
            store[b"k"] = b"v"
            watch, queue = store.watch(), store.queue()
        assert store.closed
        store.close()
        put = trimtab.Operation.put(b"late", b"")
        for late in (lambda: store[b"k"], store.sync, watch.poll, lambda: queue.submit(put), store.watch):
            with pytest.raises(trimtab.ClosedError):
                late()
        watch.close()
        queue.close()
        assert server.store[b"k"] == b"v"
        ask(server, b"GET k", b"$1\r\nv\r\n")
        # One that is dropped open warns of nothing: nothing was left open.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert server.store.put(b"k", b"w")
            gc.collect()
        ask(server, b"GET k", b"$1\r\nw\r\n")


def test_it_lives_as_long_as_the_server_runs(tmp_path: Path) -> None:
    server = Server(with_store(tmp_path / "store"))
    with pytest.raises(trimtab.StateError, match="not started"):
        _ = server.store
    server.start()
    store = server.store
    for n in range(100):
        store.put(b"%d" % n, b"v", durability="memory")
    server.stop()
    server.wait()
    with pytest.raises(trimtab.StateError, match="has ended"):
        _ = server.store
    for _ in range(2):
        with pytest.raises(trimtab.ClosedError):
            store[b"late"] = b""
        with pytest.raises(trimtab.ClosedError):
            store.get(b"0")
        server.close()
    with pytest.raises(trimtab.ClosedError):
        _ = server.store
    store.close()
    with Store(tmp_path / "store") as again:
        assert len(again) == 100


def test_without_one_it_says_so() -> None:
    with Echo() as echo, Server(config(echo.address)) as server:
        with pytest.raises(trimtab.NotFoundError, match=r"\[store\]"):
            _ = server.store


def test_waits_end_with_the_server(tmp_path: Path) -> None:
    server = Server(with_store(tmp_path / "store"))
    server.start()
    store = server.store
    ended: list[type] = []
    waiting = threading.Barrier(4)

    def wait(call: Callable[[], Any]) -> None:
        waiting.wait(TIMEOUT)
        try:
            call()
        except trimtab.ClosedError as error:
            ended.append(type(error))

    def write() -> None:
        while True:
            store.increment(b"n")

    watch, queue = store.watch(prefix=b"never"), store.queue()
    calls = (lambda: list(watch), queue.wait, write)
    threads = [threading.Thread(target=wait, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    waiting.wait(TIMEOUT)
    eventually(lambda: int(store.get(b"n", b"0")) > 10)
    server.close()
    for thread in threads:
        thread.join(TIMEOUT)
    assert ended == [trimtab.ClosedError] * 3


def test_in_a_callback(tmp_path: Path) -> None:
    told: list[str] = []

    def on_event(event: trimtab.Event) -> None:
        if event.kind is trimtab.EventKind.STARTED:
            server.store[b"begun"] = b"v"
            told.append("started")
        if event.kind is trimtab.EventKind.STOPPED:
            with pytest.raises(trimtab.StateError):
                _ = server.store
            told.append("stopped")

    server = Server(with_store(tmp_path / "store"), on_event=on_event)
    with server:
        assert server.store[b"begun"] == b"v"
    assert told == ["started", "stopped"]


def test_a_hosted_servers_store_is_turned_with_it(tmp_path: Path) -> None:
    server = Server(with_store(tmp_path / "store"))
    before = threads()
    server.start_hosted()
    store = server.store
    assert threads() == before and not store.hosted
    store[b"k"] = b"v"
    for refused in (store.turn, store.fileno, store.next_timeout):
        with pytest.raises(trimtab.StateError, match="turn the server"):
            refused()
    client = threading.Thread(target=ask, args=(server, b"GET k", b"$1\r\nv\r\n"))
    client.start()
    while client.is_alive():
        server.turn(0.01)
    client.join()
    server.stop()
    while server.state is not trimtab.ServerState.STOPPED:
        server.turn(None)
    with pytest.raises(trimtab.ClosedError):
        store.sync()
    with Store(tmp_path / "store") as again:
        assert again[b"k"] == b"v"


def test_in_asyncio(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        server = Server(with_store(tmp_path / "store"))
        async with aio.serve(server) as hosted:
            store = server.store
            async with aio.attach(store) as writes:
                await asyncio.gather(*(writes.put(b"%d" % n, b"") for n in range(100)))
            assert len(store) == 100
            store.delete_range(b"")
            await hosted.stop()
            with pytest.raises(trimtab.ClosedError):
                store.sync()

    run(main())


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    text = with_store(tmp_path / "store")
    with Server(text) as server:
        server.store[b"k"] = b"v"
    before = descriptors()
    for turn in range(6):
        server = Server(text)
        server.start()
        store = server.store
        watch = store.watch()
        assert store[b"k"] == b"v"
        if turn % 2:
            server.close()
        watch.close()
        store.close()
        server.close()
    assert descriptors() == before


def test_a_child_made_by_fork_and_the_exit(tmp_path: Path) -> None:
    code = """
        import os, sys, threading, trimtab

        server = trimtab.Server(sys.argv[1])
        server.start()
        store = server.store
        store[b"k"] = b"v"
        pid = os.fork()
        if pid == 0:
            code = 0
            for call in (lambda: server.store, lambda: store[b"k"], lambda: store.put(b"k", b""), store.sync):
                try:
                    call()
                    code = 1
                except trimtab.ForkedError:
                    pass
            store.close()
            server.close()
            os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), store[b"k"].decode(), flush=True)

        def follow():
            try:
                list(store.watch())
            except trimtab.ClosedError:
                pass

        threading.Thread(target=follow, daemon=True).start()
        store.put(b"last", b"v", durability="memory")
        """
    assert script(code, with_store(tmp_path / "store")) == "0 v\n"
    with Store(tmp_path / "store") as store:
        assert store[b"last"] == b"v" and store.report.is_closed
