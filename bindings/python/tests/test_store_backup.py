"""Backups of a store, what is made of them, and reading again what lies on its disk."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import trimtab
from conftest import SEGMENT_BYTES
from trimtab import BackupReport, Store


def reopened(path: Path) -> dict[bytes, bytes]:
    """What a directory has."""
    with Store(path, segment_bytes=SEGMENT_BYTES) as store:
        return dict(store.items())


def test_a_store_that_is_open_is_backed_up_and_restored(store: Store, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    store[b"k"] = b"1"
    store[b"k"] = b"2"
    first = store.backup(backup)
    assert (first.first_sequence, first.last_sequence, first.entries, first.snapshot) == (1, 2, 2, 0)
    assert first.stretches == 1 and first.bytes == first.total_bytes > 0
    assert first.first_time is not None and first.last_time is not None
    assert time.time() - 60 < first.first_time <= first.last_time <= time.time() + 1
    store[b"k"] = b"3"
    # What did not wait for the disk is in it too.
    store.put(b"m", b"in memory", durability="memory")
    second = store.backup(str(backup), full=True)
    assert (second.last_sequence, second.entries, second.snapshot) == (4, 2, 4)
    assert store.backup(backup)[-3:] == (0, 0, 0)

    held = trimtab.backup_verify(backup)
    assert isinstance(held, BackupReport) and held.last_sequence == 4
    assert held[-3:] == (0, 0, 0) and held.total_bytes == second.total_bytes

    end = trimtab.restore(backup, tmp_path / "end")
    assert end.sequence == 4 and end.identity[1] == 1 and end.identity != store.identity
    assert reopened(tmp_path / "end") == {b"k": b"3", b"m": b"in memory"}
    at_sequence = trimtab.restore(backup, str(tmp_path / "sequence"), sequence=2)
    assert (at_sequence.sequence, at_sequence.snapshot, at_sequence.entries) == (2, 0, 2)
    assert reopened(tmp_path / "sequence") == {b"k": b"2"}
    # A store that was restored is one of its own.
    with (
        Store(tmp_path / "end", segment_bytes=SEGMENT_BYTES) as other,
        pytest.raises(trimtab.InvalidArgumentError),
    ):
        other.backup(backup)


def test_restoring_to_a_time(store: Store, tmp_path: Path) -> None:
    store[b"k"] = b"before"
    between = store.backup(tmp_path / "backup").last_time
    assert between is not None
    while time.time() < between + 0.002:
        time.sleep(0.001)
    store[b"k"] = b"after"
    held = store.backup(tmp_path / "backup")
    moments: list[float | datetime] = [between, datetime.fromtimestamp(between, timezone.utc)]
    for number, moment in enumerate(moments):
        restored = trimtab.restore(tmp_path / "backup", tmp_path / f"at{number}", at=moment)
        assert restored.sequence == 1 and restored.time <= between
        assert reopened(tmp_path / f"at{number}") == {b"k": b"before"}
    trimtab.restore(tmp_path / "backup", tmp_path / "last", at=held.last_time)
    assert reopened(tmp_path / "last") == {b"k": b"after"}


def test_a_closed_directory_is_backed_up(tmp_path: Path) -> None:
    data, backup = tmp_path / "data", tmp_path / "backup"
    with Store(data, segment_bytes=SEGMENT_BYTES) as store:
        store[b"k"] = b"v"
        with pytest.raises(trimtab.StateError):
            trimtab.backup_closed(data, backup)
        identity = store.identity
    report = trimtab.backup_closed(data, backup)
    assert (report.last_sequence, report.entries, report.snapshot) == (1, 1, 0)
    with Store(data, segment_bytes=SEGMENT_BYTES) as store:
        store[b"k"] = b"w"
        store.snapshot()
    report = trimtab.backup_closed(data, backup, full=True)
    assert report.last_sequence == report.snapshot == 2
    assert trimtab.restore(backup, tmp_path / "same", same_identity=True).identity == identity
    assert reopened(tmp_path / "same") == {b"k": b"w"}
    (tmp_path / "empty").mkdir()
    with pytest.raises(trimtab.NotFoundError):
        trimtab.backup_closed(tmp_path / "empty", tmp_path / "other")
    with pytest.raises(trimtab.NotFoundError, match="nothing"):
        trimtab.backup_closed(tmp_path / "nothing", tmp_path / "other")
    with pytest.raises(trimtab.NotFoundError):
        trimtab.backup_verify(data)
    with pytest.raises(trimtab.NotFoundError):
        trimtab.restore(data, tmp_path / "other", same_identity=True)


def test_what_is_refused(store: Store, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    store[b"k"] = b"v"
    store.backup(backup)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_bytes(b"")
    with pytest.raises(trimtab.InvalidArgumentError):
        store.backup(tmp_path / "full")
    with pytest.raises(trimtab.InvalidArgumentError):
        trimtab.restore(backup, tmp_path / "full")
    with pytest.raises(trimtab.InvalidArgumentError, match="which holds the sequences 1 to 1"):
        trimtab.restore(backup, tmp_path / "new", sequence=2)
    with pytest.raises(trimtab.InvalidArgumentError):
        trimtab.restore(backup, tmp_path / "new", at=1.0)
    with pytest.raises(trimtab.InvalidArgumentError, match="of sequence and at only one"):
        trimtab.restore(backup, tmp_path / "new", sequence=1, at=1.0)
    anything: Any = trimtab
    with pytest.raises(TypeError):
        anything.restore(backup, tmp_path / "new", sequence="1")
    with pytest.raises(TypeError):
        anything.restore(backup, tmp_path / "new", at="now")
    with pytest.raises(TypeError):
        anything.restore(backup, None)
    with pytest.raises(TypeError):
        anything.backup_verify(7)
    assert not any((tmp_path / "new").iterdir())
    entries = next(path for path in backup.iterdir() if path.suffix == ".entries")
    rotten = bytearray(entries.read_bytes())
    rotten[100] ^= 1
    entries.write_bytes(rotten)
    with pytest.raises(trimtab.CorruptError, match=entries.name):
        trimtab.backup_verify(backup)
    with pytest.raises(trimtab.CorruptError, match=entries.name):
        trimtab.restore(backup, tmp_path / "new")
    store.close()
    with pytest.raises(trimtab.ClosedError):
        store.backup(tmp_path / "other")
    with pytest.raises(trimtab.ClosedError):
        store.scrub()


def rot(path: Path, offset: int) -> None:
    """In place, as a disk does: the store has the file open."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes((byte ^ 1,)))
        file.flush()
        os.fsync(file.fileno())


def test_what_has_rotted_is_told(tmp_path: Path) -> None:
    options: dict[str, Any] = {"segment_bytes": SEGMENT_BYTES, "scrub_bytes_per_second": 1 << 30}
    with Store(tmp_path, **options) as store:
        for _ in range(20):
            store[b"k"] = b"v" * 1_000
        store.scrub()
        status = store.status()
        assert status.scrub_passes == 1 and status.scrub_bytes > 20_000 and status.scrub_damages == 0
        assert status.scrub_failure is None and status.scrub_finished is not None
        assert abs(status.scrub_finished - time.time()) < 60
        segment = next(path for path in tmp_path.iterdir() if path.suffix == ".wal")
        rot(segment, 9_000)
        with pytest.raises(trimtab.CorruptError, match=f"{segment.name} is damaged at byte "):
            store.scrub(timeout=None)
        status = store.status()
        assert status.scrub_damages == 1 and isinstance(status.scrub_failure, trimtab.CorruptError)
        assert f"{segment.name} is damaged at byte " in str(status.scrub_failure)
        # What is in memory is right.
        store[b"more"] = b""
        assert store[b"k"] == b"v" * 1_000 and b"more" in store


def test_a_scrub_that_takes_long_times_out_and_goes_on(tmp_path: Path) -> None:
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES, scrub_bytes_per_second=64 << 10) as store:
        # Beyond what is read at first.
        for n in range(16):
            store.put(b"%d" % n, b"v" * 150_000, durability="memory")
        store.sync()
        for timeout in (0.001, 0.12):
            with pytest.raises(trimtab.TimedOutError):
                store.scrub(timeout=timeout)
        assert store.status().scrub_passes == 0


def test_a_store_scrubs_by_itself(tmp_path: Path) -> None:
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES, scrub_interval=0.001) as store:
        until = time.monotonic() + 10
        while store.status().scrub_passes < 2:
            assert time.monotonic() < until
            time.sleep(0.001)


def test_other_threads_and_loops_go_on_meanwhile(
    store: Store, tmp_path: Path, run: Callable[..., None]
) -> None:
    for n in range(100):
        store.put(b"%d" % n, b"v" * 1_000, durability="memory")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            store.increment(b"n", durability="memory")

    async def main() -> None:
        report = await asyncio.to_thread(store.backup, tmp_path / "backup", full=True)
        await asyncio.to_thread(store.scrub)
        held = await asyncio.to_thread(trimtab.backup_verify, tmp_path / "backup")
        assert held.last_sequence == report.last_sequence > 100

    thread = threading.Thread(target=write)
    thread.start()
    try:
        run(main())
    finally:
        stop.set()
        thread.join()
    trimtab.restore(tmp_path / "backup", tmp_path / "restored")
    assert len(reopened(tmp_path / "restored")) >= 100


def test_one_at_a_time_adds_to_a_backup(store: Store, tmp_path: Path) -> None:
    store[b"k"] = b"v" * 10_000
    reports: list[BackupReport] = []
    refused: list[trimtab.StateError] = []

    def take() -> None:
        for _ in range(20):
            try:
                reports.append(store.backup(tmp_path / "backup"))
            except trimtab.StateError as error:
                refused.append(error)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reports) + len(refused) == 80 and sum(report.entries for report in reports) == 1
    assert trimtab.backup_verify(tmp_path / "backup").last_sequence == 1
