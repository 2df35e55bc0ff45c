"""A store by itself: what is put, read and deleted, under which conditions, and what is refused."""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import trimtab
from conftest import SEGMENT_BYTES
from trimtab import Durability, LifetimeCondition, Operation, Store


def wait_until(holds: Callable[[], bool]) -> None:
    """What a store does by itself within a second, and a busy machine within ten."""
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_it_is_like_a_dict_in_the_order_of_its_keys(store: Store) -> None:
    assert len(store) == 0 and list(store) == [] and store
    for key in (b"b", b"a", b"c"):
        store[key] = key.upper()
    assert list(store) == [b"a", b"b", b"c"] and len(store) == 3
    assert store[b"a"] == b"A" and store.get(b"a") == b"A"
    assert b"a" in store and b"d" not in store
    assert store.get(b"d") is None and store.get(b"d", b"else") == b"else" and store.get(b"d", 7) == 7
    del store[b"b"]
    assert dict(store.items()) == {b"a": b"A", b"c": b"C"}
    for missing in (b"b", b"\xff\x00"):
        with pytest.raises(KeyError) as caught:
            store[missing]
        assert caught.value.args == (missing,)
        with pytest.raises(KeyError):
            del store[missing]


def every_second(of: bytes) -> memoryview:
    """Bytes that do not lie side by side."""
    return memoryview(b"".join(bytes((byte, 0)) for byte in of))[::2]


def test_it_is_gone_through_backwards_too(store: Store) -> None:
    assert list(reversed(store)) == []
    store.update({b"b": b"", b"a": b"", b"c": b""})
    assert list(reversed(store)) == [b"c", b"b", b"a"]
    with store.view() as view:
        store[b"d"] = b""
        assert list(reversed(view)) == [b"c", b"b", b"a"]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, every_second])
def test_bytes_like_goes_in_and_bytes_come_out(store: Store, kind: Callable[[bytes], Any]) -> None:
    key, value = b"key", b"val"
    store[kind(key)] = kind(value)
    assert store[kind(key)] == value and type(store[kind(key)]) is bytes
    assert store.put(kind(key), kind(value)).is_done and kind(key) in store
    assert store.append(kind(key), kind(value)).count == 6
    assert [type(got) for pair in store.items(kind(b"k"), kind(b"l")) for got in pair] == [bytes, bytes]
    assert store.delete(kind(key))


def test_keys_and_values_may_be_empty(store: Store) -> None:
    store[b""] = b""
    assert store[b""] == b"" and list(store.items()) == [(b"", b"")]
    assert store.delete(b"") and not store.delete(b"")


def test_a_str_is_refused_with_what_to_do(store: Store) -> None:
    anything: Any = store
    for call, what in (
        (lambda: anything.get("key"), "key"),
        (lambda: anything["key"], "key"),
        (lambda: "key" in anything, "key"),
        (lambda: anything.put("key", b""), "key"),
        (lambda: anything.put(b"", "value"), "value"),
        (lambda: anything.append(b"", "value"), "value"),
        (lambda: anything.items("a"), "start"),
        (lambda: anything.items(end="a"), "end"),
        (lambda: anything.keys(prefix="a"), "prefix"),
        (lambda: Operation.put(b"", anything_str), "value"),
    ):
        wanted = rf"argument '{what}': bytes-like wanted, not str; encode it: {what}\.encode\(\)"
        with pytest.raises(TypeError, match=wanted):
            call()
    with pytest.raises(TypeError, match="argument 'key': bytes-like wanted, not int"):
        anything.get(7)
    assert len(store) == 0


anything_str: Any = "text"


def test_ranges(store: Store) -> None:
    keys = [b"a", b"b", b"b\x00", b"ba", b"b\xff", b"c", b"\xff", b"\xff\xff"]
    for key in keys:
        store.put(key, b"v" + key, durability="memory")
    assert list(store.keys()) == keys
    assert list(store.keys(b"b", b"c")) == keys[1:5] and store.count(b"b", b"c") == 4
    assert list(store.keys(prefix=b"b")) == keys[1:5] and store.count(prefix=b"b") == 4
    assert list(store.keys(b"c")) == keys[5:] and list(store.keys(end=b"b")) == keys[:1]
    assert list(store.keys(prefix=b"\xff")) == keys[6:] and list(store.keys(prefix=b"")) == keys
    assert list(store.keys(reverse=True)) == keys[::-1]
    assert list(store.keys(prefix=b"b", reverse=True, limit=2)) == [b"b\xff", b"ba"]
    assert list(store.values(b"c", limit=1)) == [b"vc"]
    assert [(entry.key, entry.value) for entry in store.entries(prefix=b"ba")] == [(b"ba", b"vba")]
    assert list(store.keys(b"c", b"a")) == []
    with pytest.raises(trimtab.InvalidArgumentError, match="prefix"):
        store.keys(b"a", prefix=b"b")
    with pytest.raises(trimtab.InvalidArgumentError, match="limit: 0 is no limit; leave it out"):
        store.keys(limit=0)


def test_a_long_range_is_one_moment_and_goes_on_page_by_page(store: Store) -> None:
    keys = [b"%05d" % n for n in range(3_000)]
    with store.queue(4_096) as queue:
        assert queue.submit_all((Operation.put(key, b"1"), 0, "memory", None) for key in keys) == len(keys)
        scan, back = store.items(), store.keys(reverse=True)
        first = next(scan)
        store.delete_range(b"")
        store[b"new"] = b""
        assert [first, *scan] == [(key, b"1") for key in keys]
        assert list(back) == keys[::-1] and next(back, None) is None
        assert list(store) == [b"new"] and back.sequence < store.status().applied


def test_an_entry_has_all_that_a_key_has(store: Store) -> None:
    first = store.put(b"k", b"1")
    second = store.put(b"k", b"2")
    entry = store.entry(b"k")
    assert entry and (entry.key, entry.value) == (b"k", b"2")
    assert (entry.created, entry.version, entry.changes) == (first.sequence, second.sequence, 2)
    assert entry.deadline is None and entry.lease is None
    assert store.entry(b"none") is None
    assert "2" not in repr(entry).partition("bytes")[2].replace("bytes=1", "")


def test_puts_under_conditions(store: Store) -> None:
    done = store.put(b"k", b"1", absent=True)
    assert done and done.version == done.sequence == 1
    refused = store.put(b"k", b"2", absent=True, previous=True)
    assert not refused and refused.version == 1
    assert refused.previous and refused.previous.value == b"1"
    assert store[b"k"] == b"1"
    assert store.put(b"k", b"3", present=True) and not store.put(b"none", b"3", present=True)
    version = store.put(b"k", b"4").version
    assert not store.put(b"k", b"5", version=version - 1)
    assert store.put(b"k", b"5", version=version)
    assert store.compare_and_set(b"new", 0, b"1") and not store.compare_and_set(b"new", 0, b"2")
    assert not store.delete(b"k", version=version)
    assert store.delete(b"k", present=True, previous=True).previous
    assert not store.delete(b"k", present=True)
    with pytest.raises(trimtab.InvalidArgumentError, match="only one can be asked for"):
        store.put(b"k", b"", absent=True, present=True)
    with pytest.raises(trimtab.InvalidArgumentError, match="version: -1 is outside"):
        store.put(b"k", b"", version=-1)


def test_get_and_set_and_delete_give_what_was_there(store: Store) -> None:
    assert store.get_and_set(b"k", b"1").previous is None
    before = store.get_and_set(b"k", b"2").previous
    assert before and before.value == b"1"
    gone = store.delete(b"k", previous=True)
    assert gone and gone.count == 1 and gone.previous and gone.previous.value == b"2"
    assert store.put(b"k", b"3").previous is None


def test_numbers(store: Store) -> None:
    assert store.increment(b"n").number == 1 and store.increment(b"n", 41).number == 42
    assert store.increment(b"n", -50).number == -8 and store[b"n"] == b"-8"
    store[b"n"] = str(2**63 - 1).encode()
    assert store.increment(b"n", 0).number == 2**63 - 1
    with pytest.raises(trimtab.InvalidArgumentError, match="by: the sum is outside"):
        store.increment(b"n")
    assert store.increment(b"least", -(2**63)).number == -(2**63)
    with pytest.raises(trimtab.InvalidArgumentError, match="by: 9223372036854775808 is outside"):
        store.increment(b"n", 2**63)
    store[b"text"] = b"seven"
    with pytest.raises(trimtab.InvalidArgumentError, match="no|not a whole number"):
        store.increment(b"text")
    anything: Any = store
    with pytest.raises(TypeError, match="argument 'by': a whole number wanted"):
        anything.increment(b"n", 1.5)


def test_appending_gives_the_length(store: Store) -> None:
    assert [store.append(b"k", part).count for part in (b"ab", b"", b"c")] == [2, 2, 3]
    assert store[b"k"] == b"abc"


def test_ranges_are_deleted(store: Store) -> None:
    for n in range(10):
        store.put(b"%d" % n, b"", durability="memory")
    some = store.delete_range(b"2", b"8", limit=2)
    assert some and some.count == 2 and some.more
    rest = store.delete_range(b"2", b"8")
    assert rest.count == 4 and not rest.more and not store.delete_range(prefix=b"5")
    assert list(store) == [b"0", b"1", b"8", b"9"]
    with pytest.raises(TypeError, match=r"wants start, end or prefix; start=b'' means all keys"):
        store.delete_range()
    assert store.delete_range(b"").count == 4 and len(store) == 0


def test_keys_expire(store: Store) -> None:
    now = time.time()
    lives: list[float | timedelta] = [100, timedelta(seconds=100), 0.0004]
    for n, life in enumerate(lives):
        store.put(b"ttl%d" % n, b"", ttl=life)
    soon = datetime.now(timezone.utc) + timedelta(seconds=100)
    store.put(b"at0", b"", at=now + 100)
    store.put(b"at1", b"", at=soon)
    for key in (b"ttl0", b"ttl1", b"at0", b"at1"):
        entry = store.entry(key)
        assert entry and entry.deadline and now + 99 < entry.deadline < now + 130
    # Up to the next millisecond.
    wait_until(lambda: b"ttl2" not in store)
    assert not store.put(b"past", b"", at=1) or b"past" not in store
    store.put(b"k", b"1", ttl=100)
    kept = store.put(b"k", b"2", keep_lifetime=True) and store.entry(b"k")
    assert kept and kept.deadline
    store.put(b"k", b"3")
    gone = store.entry(b"k")
    assert gone and gone.deadline is None
    with pytest.raises(trimtab.InvalidArgumentError, match="only one can be asked for"):
        store.put(b"k", b"", ttl=1, at=1)
    for bad in (-1, float("nan"), float("inf")):
        with pytest.raises(trimtab.InvalidArgumentError):
            store.put(b"k", b"", ttl=bad)
        with pytest.raises(trimtab.InvalidArgumentError):
            store.put(b"k", b"", at=bad)
    anything: Any = store
    with pytest.raises(TypeError, match="argument 'at': seconds since 1970 or a datetime wanted, not str"):
        anything.put(b"k", b"", at="tomorrow")


def test_lifetimes_are_changed(store: Store) -> None:
    store[b"k"] = b""
    now = time.time()
    assert store.expire(b"k", 100) and not store.expire(b"none", 100)

    def deadline() -> float:
        entry = store.entry(b"k")
        assert entry
        return entry.deadline or 0.0

    first = deadline()
    assert not store.expire(b"k", 50, condition=LifetimeCondition.LATER) and deadline() == first
    assert store.expire(b"k", at=now + 1_000, condition="later")
    assert deadline() == pytest.approx(now + 1_000, abs=0.01)
    assert store.expire(b"k", 50, condition="earlier") and not store.expire(b"k", 5, condition="no-deadline")
    assert store.expire(b"k", 60, condition=LifetimeCondition.DEADLINE)
    assert store.persist(b"k") and deadline() == 0.0
    assert not store.expire(b"k", 5, condition="deadline") and store.expire(b"k", 0) and b"k" not in store
    with pytest.raises(TypeError, match="one of ttl and at"):
        store.expire(b"k")
    with pytest.raises(TypeError, match="one of ttl and at"):
        store.expire(b"k", 1, at=1)
    with pytest.raises(trimtab.InvalidArgumentError, match="condition: 2 is none of 0, 4, 5, 6, 7"):
        store.expire(b"k", 1, condition=2)


def test_the_answer_says_what_was_reached(store: Store) -> None:
    assert store.put(b"k", b"").durability is Durability.LOCAL
    memory = store.put(b"k", b"", durability=Durability.MEMORY)
    assert memory.durability is Durability.MEMORY and memory.sequence > store.status().durable
    assert store.sync() == memory.sequence == store.status().durable
    for level in ("quorum", Durability.ALL, 3):
        with pytest.raises(trimtab.UnsupportedError, match="needs replication"):
            store.put(b"never", b"", durability=level)
    with pytest.raises(trimtab.InvalidArgumentError, match="durability"):
        store.put(b"never", b"", durability="some")
    assert b"never" not in store


def test_the_default_durability_is_an_option(tmp_path: Path) -> None:
    with Store(tmp_path, durability="memory", segment_bytes=SEGMENT_BYTES) as store:
        assert store.put(b"k", b"").durability is Durability.MEMORY
        assert store.put(b"k", b"", durability="local").durability is Durability.LOCAL
    with pytest.raises(trimtab.UnsupportedError):
        Store(tmp_path, durability="all")


def test_what_was_written_is_there_after_a_close(tmp_path: Path) -> None:
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as store:
        identity = store.identity
        assert store.report.last == 0 and store.report.first is None
        for n in range(100):
            store.put(b"%d" % n, b"v" * n, durability="memory")
    assert store.closed
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as store:
        assert len(store) == 100 and store[b"99"] == b"v" * 99 and store.identity == identity
        report = store.report
        assert report.is_closed and report.replayed >= 100 and report.torn is None
        assert report.settings_refused is None and report.ahead >= 0.0
        sequence = store.snapshot()
        assert store.status().snapshot == sequence
        store[b"more"] = b""
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as store:
        assert len(store) == 101 and store.report.snapshot == sequence and store.report.replayed < 10


def test_who_waits_for_the_disk_is_told_and_hurries_nobody(tmp_path: Path) -> None:
    options: dict[str, Any] = {"segment_bytes": SEGMENT_BYTES, "flush_interval": 3600.0}
    with Store(tmp_path, **options) as store, store.queue(2) as queue:
        sequence = store.put(b"m", b"1", durability="memory").sequence
        queue.submit_durable(sequence, 5)
        with pytest.raises(trimtab.TimedOutError):
            store.wait_durable(sequence, timeout=0.01)
        assert queue.take() == [] and queue.under_way == 1
        assert store.sync() == sequence
        (done,) = queue.wait(timeout=30.0)
        assert done.user_data == 5 and done.result is not None and done.result.sequence == sequence
        assert done.result and done.result.durability is Durability.LOCAL
        assert store.wait_durable(sequence) == store.wait_durable(1, timeout=0.1) == sequence
        queue.submit_durable(sequence + 1)
        store.close()
        (done,) = queue.take()
        assert isinstance(done.error, trimtab.ClosedError)


def test_a_torn_tail_is_told(tmp_path: Path) -> None:
    name = "0000000000000001.wal"
    with Store(tmp_path / "whole", segment_bytes=SEGMENT_BYTES) as store:
        assert store.report.torn is None and store.report.torn_bytes == 0
        store[b"a"] = b"1"
        store[b"b"] = b"2"
        segment = bytearray((tmp_path / "whole" / name).read_bytes())
    # The last write came to disk without its end.
    end = len(segment.rstrip(b"\0"))
    segment[end - 10 : end] = bytes(10)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / name).write_bytes(segment)
    with Store(tmp_path / "torn", segment_bytes=SEGMENT_BYTES) as store:
        report = store.report
        assert report.torn is not None and not report.is_closed and report.replayed == 1
        assert report.torn[0] == str(tmp_path / "torn" / name) and 8192 < report.torn[1] < end
        assert report.torn_bytes >= 44 and dict(store.items()) == {b"a": b"1"}


def test_damage_that_a_snapshot_stands_for_is_told(tmp_path: Path) -> None:
    name = tmp_path / "0000000000000001.wal"
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as store:
        # Two segments, of which the first is kept beside.
        for at in range(20):
            store[b"%d" % at] = bytes(SEGMENT_BYTES // 16)
        assert store.report.covered is None and store.report.covered_segments == 0
        first = bytearray(name.read_bytes())
        store.snapshot()
    # A snapshot makes it superfluous; the process ended before it was gone, and it has rotted since.
    first[9_000] ^= 1
    name.write_bytes(first)
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as store:
        report = store.report
        assert report.covered is not None and report.covered[0] == str(name) and report.covered[1] >= 8_192
        assert report.covered_segments == 1 and report.torn is None and report.is_closed
        assert len(store) == 20


OPTIONS: dict[str, Any] = {
    "durability": "local",
    "timeout": timedelta(seconds=3),
    "flush_interval": 0.5,
    "flush_bytes": 4 << 10,
    "memory_max": 1 << 20,
    "eviction": "lru",
    "eviction_places": 1 << 10,
    "value_max": 1 << 10,
    "operations_max": 100,
    "clients_max": 10,
    "client_bytes_max": 1 << 20,
    "snapshot_bytes": 64 << 10,
    "snapshot_retry": 5,
    "segment_bytes": 16 << 10,
    "disk_bytes_max": 1 << 20,
    "disk_retry": timedelta(milliseconds=500),
    "kept_bytes": 64 << 10,
    "pending_bytes_max": 64 << 10,
    "waiting_max": 10,
    "history_bytes_max": 0,
    "scrub_interval": 0,
    "scrub_bytes_per_second": 1 << 20,
    "identity": (b"0123456789abcdef", 3),
}
BAD: dict[str, Any] = {
    "durability": "most",
    "timeout": 0,
    "flush_interval": 0,
    "flush_bytes": 1,
    "memory_max": 1,
    "eviction": "none",
    "eviction_places": 0,
    "value_max": 0,
    "operations_max": 0,
    "clients_max": 0,
    "client_bytes_max": 1,
    "snapshot_bytes": 1,
    "snapshot_retry": 0,
    "segment_bytes": 4096,
    "disk_bytes_max": 1,
    "disk_retry": 0,
    "kept_bytes": 1 << 49,
    "pending_bytes_max": 1,
    "waiting_max": 0,
    "history_bytes_max": -1,
    "scrub_interval": 1e-9,
    "scrub_bytes_per_second": 1,
    "identity": (b"short", 1),
}


def test_all_options_are_taken(tmp_path: Path) -> None:
    with Store(tmp_path, **OPTIONS) as store:
        store[b"k"] = b"v"
        assert store.identity == (b"0123456789abcdef", 3)
    with Store(tmp_path, **dict.fromkeys(OPTIONS) | {"segment_bytes": 16 << 10}) as store:
        assert store[b"k"] == b"v" and store.identity == (b"0123456789abcdef", 3)
    with pytest.raises(trimtab.InvalidArgumentError):
        Store(tmp_path, **OPTIONS | {"identity": (b"fedcba9876543210", 3)})


@pytest.mark.parametrize("option", BAD)
def test_an_option_out_of_range_is_refused_and_nothing_made(tmp_path: Path, option: str) -> None:
    with pytest.raises(trimtab.InvalidArgumentError, match="retry" if option == "disk_retry" else "."):
        Store(tmp_path / "store", **{option: BAD[option]})
    assert not list(tmp_path.glob("store/*"))


def test_options_of_the_wrong_type(tmp_path: Path) -> None:
    anything: Any = Store
    wrong = {"flush_bytes": "8", "timeout": "1", "eviction": 1.5, "identity": 7, "nothing": 1}
    for option, value in wrong.items():
        with pytest.raises(TypeError, match=option):
            anything(tmp_path, **{option: value})


def test_limits_hold_at_the_limit(tmp_path: Path) -> None:
    options: dict[str, Any] = {"segment_bytes": SEGMENT_BYTES, "value_max": 1_000, "operations_max": 5}
    with Store(tmp_path, **options) as store:
        longest = b"k" * (64 << 10)
        store[longest] = b"v" * 1_000
        assert store[longest] == b"v" * 1_000
        with pytest.raises(trimtab.InvalidArgumentError, match="key_max"):
            store[longest + b"k"] = b""
        with pytest.raises(trimtab.InvalidArgumentError, match="value_max"):
            store[b"k"] = b"v" * 1_001
        with pytest.raises(trimtab.InvalidArgumentError, match="value_max"):
            store.append(longest, b"v")
        step = Operation.put(b"k", b"")
        store.transaction().when(b"k", version=0).then(*[step] * 4).commit()
        with pytest.raises(trimtab.InvalidArgumentError, match="operations_max"):
            store.transaction().when(b"k", version=0).then(*[step] * 5).commit()
    with pytest.raises(trimtab.InvalidArgumentError, match="capacity: 0 is outside 1 to 16777216"), \
            Store(tmp_path, **options) as store:
        store.queue(0)


def test_memory_max_refuses(tmp_path: Path) -> None:
    with Store(tmp_path, memory_max=1 << 16, segment_bytes=SEGMENT_BYTES) as store:
        with pytest.raises(trimtab.CapacityError, match="memory_max") as caught:
            for n in range(1_000):
                store.put(b"%d" % n, b"v" * 1_000, durability="memory")
        assert caught.value.status == -5
        count = len(store)
        assert 40 < count < 66 and store.status().memory_bytes <= 1 << 16
        # What makes room is taken, and then there is room.
        assert store.delete(b"0")
        store.put(b"again", b"v" * 1_000)
        assert len(store) == count


@pytest.mark.parametrize("eviction", ["lru", "ttl"])
def test_memory_max_evicts(tmp_path: Path, eviction: str) -> None:
    with Store(tmp_path, memory_max=1 << 16, eviction=eviction, segment_bytes=SEGMENT_BYTES) as store:
        store.put(b"first", b"", ttl=1_000 if eviction == "ttl" else None)
        with store.watch() as watch:
            for n in range(200):
                store.put(b"%d" % n, b"v" * 1_000, ttl=100 + n, durability="memory")
            changes = watch.take(10)
        assert store.status().counts.evictions > 0 and store.status().memory_bytes <= 1 << 16
        kinds = {change.kind for change in changes}
        assert trimtab.ChangeKind.PUT in kinds and trimtab.ChangeKind.EVICTED in kinds
        if eviction == "ttl":
            # The next due went first.
            assert b"0" not in store and b"199" in store and b"first" in store


def test_a_view_is_one_moment(store: Store) -> None:
    store[b"a"], store[b"b"] = b"1", b"2"
    with store.view() as view:
        store[b"a"] = b"changed"
        del store[b"b"]
        store[b"c"] = b"3"
        assert view[b"a"] == b"1" and view.get(b"b") == b"2" and view.get(b"c", 0) == 0
        assert b"b" in view and b"c" not in view and len(view) == 2 and list(view) == [b"a", b"b"]
        assert list(view.items(reverse=True)) == [(b"b", b"2"), (b"a", b"1")]
        assert list(view.values(b"b")) == [b"2"] and list(view.keys(prefix=b"a", limit=1)) == [b"a"]
        assert [entry.version for entry in view.entries()] == [1, 2] and view.count(b"b") == 1
        entry = view.entry(b"b")
        assert entry and entry.value == b"2" and view.sequence == 2
        with pytest.raises(KeyError):
            view[b"c"]
    with pytest.raises(trimtab.ClosedError, match="the view is closed"):
        view[b"a"]
    view.close()


def test_operations_are_executed(store: Store) -> None:
    assert store.execute(Operation.put(b"k", b"5")).version == 1
    assert store.execute(Operation.get(b"k")).value == b"5"
    got = store.execute(Operation.get(b"k"))
    assert got and got.entry and got.entry.version == 1 and got.version == 1
    none = store.execute(Operation.get(b"none"))
    assert not none and none.value is None and none.entry is None
    listed = store.execute(Operation.range(prefix=b"k", reverse=True, limit=1))
    assert [entry.key for entry in listed.entries] == [b"k"] and not listed.more
    assert store.execute(Operation.increment(b"k", 2)).number == 7
    assert repr(Operation.increment(b"secret")) == "<trimtab.Operation increment>"
    # A ttl counts from when it is done, as often as it is done.
    operation = Operation.put(b"t", b"", ttl=100)
    deadlines = []
    for _ in range(2):
        store.execute(operation)
        entry = store.entry(b"t")
        assert entry and entry.deadline
        deadlines.append(entry.deadline)
        time.sleep(0.002)
    assert deadlines[0] < deadlines[1]


def test_status_tells_how_it_is(store: Store) -> None:
    store.put(b"k", b"v", durability="memory")
    status = store.status()
    assert (status.failure, status.problem, status.snapshot_failure) == (None, None, None)
    assert status.sequence == status.applied == 1 and status.keys == 1 and status.durable <= 1
    assert status.memory_bytes == 64 + 2 and status.disk_bytes > 0 and status.snapshot == 0
    assert status.counts.submitted == 1 and status.counts.refused == 0


def test_it_can_be_closed_more_than_once_and_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path, segment_bytes=SEGMENT_BYTES)
    view, scan, watch, queue, lease = (
        store.view(), store.items(), store.watch(), store.queue(), store.lease_grant(10)
    )
    for _ in range(2):
        store.close()
    assert store.closed and repr(store) == "<trimtab.Store closed>"
    calls: list[Callable[[], object]] = [
        lambda: store[b"k"], lambda: store.get(b"k"), lambda: store.put(b"k", b""), lambda: len(store),
        lambda: b"k" in store, lambda: list(store), store.sync, store.snapshot, store.status, store.view,
        store.watch, store.queue, lambda: store.execute(Operation.get(b"k")), lambda: view[b"k"],
        lambda: next(scan), watch.poll, lambda: queue.submit(Operation.get(b"k")), lambda: queue.wait(1, 1),
        lease.keep_alive, lambda: lease.ttl, lambda: store.lease(1),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(trimtab.ClosedError, match="the store is closed"):
            call()
    assert queue.take() == [] and queue.under_way == 0
    for thing in (view, watch, queue):
        thing.close()
        thing.close()


def test_a_store_that_is_open_is_not_opened_again(store: Store, tmp_path: Path) -> None:
    with pytest.raises(trimtab.StateError, match="open") as caught:
        Store(tmp_path / "store", segment_bytes=SEGMENT_BYTES)
    assert not isinstance(caught.value, trimtab.ClosedError)
    store[b"k"] = b"goes on"


def test_a_damaged_store_says_where(tmp_path: Path) -> None:
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as store:
        for n in range(50):
            store[b"%d" % n] = b"v" * 100
    segment = max(tmp_path.glob("*"), key=lambda path: path.read_bytes().count(b"vvvv"))
    data = bytearray(segment.read_bytes())
    data[data.index(b"vvvv") + 3] ^= 1
    segment.write_bytes(data)
    with pytest.raises(trimtab.CorruptError, match="is damaged at byte"):
        Store(tmp_path, segment_bytes=SEGMENT_BYTES)


def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(trimtab.IoError) as caught:
        Store(tmp_path / "file" / "store")
    assert caught.value.errno
    anything: Any = Store
    with pytest.raises(TypeError):
        anything(7)


def test_a_store_stays_in_its_process(store: Store) -> None:
    for thing, name in ((store, "Store"), (store.watch(), "StoreWatch"), (store.queue(), "StoreQueue")):
        for stay in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match=f"a trimtab.{name} stays in the process that made it"):
                stay(thing)


def test_a_store_that_is_dropped_open_is_closed_and_warned_of(tmp_path: Path) -> None:
    store = Store(tmp_path, segment_bytes=SEGMENT_BYTES)
    store.put(b"k", b"v", durability="memory")
    with pytest.warns(ResourceWarning, match="a trimtab.Store that is open was dropped"):
        del store
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as again:
        assert again[b"k"] == b"v"


def test_a_number_names_one_request(store: Store) -> None:
    request = trimtab.Request(b"c" * 16, 7)
    first = store.put(b"a", b"1", request=request)
    # No more is compared than the kind of its answer.
    again = store.put(b"b", b"2", request=request)
    assert again.is_repeated and again.sequence == first.sequence and b"b" not in store
    with pytest.raises(trimtab.StateError, match="request"):
        store.increment(b"n", request=request)


@pytest.mark.parametrize(
    ("client", "number", "why"),
    [
        (b"xx", 1, "2 bytes, and 16"),
        (bytes(16), 1, "all zero"),
        (b"c" * 16, -1, "outside 0 to 18446744073709551615"),
        (b"c" * 16, 2**64, "outside 0 to 18446744073709551615"),
    ],
)
def test_requests_that_cannot_be(client: bytes, number: int, why: str) -> None:
    with pytest.raises(trimtab.InvalidArgumentError, match=why):
        trimtab.Requests(client, number)


def test_requests_end_with_the_last_number(store: Store) -> None:
    requests = trimtab.Requests(bytearray(b"c" * 16), 2**64 - 1)  # type: ignore[arg-type]
    assert store.increment(b"n", request=next(requests))
    with pytest.raises(trimtab.InvalidArgumentError, match="request.number"):
        store.increment(b"n", request=next(requests))


@pytest.mark.parametrize("number", [-1, 2**64, 2**80])
def test_what_a_queue_is_asked_for_has_its_range(store: Store, number: int) -> None:
    with store.queue() as queue:
        for call in (queue.take, queue.wait):
            with pytest.raises(trimtab.InvalidArgumentError, match="outside 1 to 65536"):
                call(number)
    with pytest.raises(trimtab.InvalidArgumentError, match="capacity"):
        store.queue(number)


def test_what_a_dict_does_is_one_step(store: Store) -> None:
    assert store.setdefault(b"a", b"1") == b"1" and store.setdefault(b"a", bytearray(b"2")) == b"1"
    assert store.pop(b"a") == b"1" and store.pop(b"a", None) is None and store.pop(b"a", 7) == 7
    with pytest.raises(KeyError) as missing:
        store.pop(b"a")
    assert missing.value.args == (b"a",)
    before = store.status().sequence
    result = store.update({b"x": b"1", b"y": b"2"}, durability="memory")
    assert result.sequence == before + 1 and len(result.steps) == 2
    store.update(iter([(b"y", b"3"), (b"y", b"4")]))
    assert dict(store.items()) == {b"x": b"1", b"y": b"4"}

    class Keyed:
        def keys(self) -> list[bytes]:
            return [b"x", b"z"]

        def __getitem__(self, key: bytes) -> bytes:
            return key * 2

    store.update(Keyed())
    assert dict(store) == {b"x": b"xx", b"y": b"4", b"z": b"zz"}
    store.delete_range(b"z")
    with store.view() as view:
        store[b"x"] = b"1"
        store.update(view)
        assert store[b"x"] == b"xx" and len(store.update(store).steps) == 2
    with pytest.raises(TypeError):
        store.update(7)  # type: ignore[arg-type]
    store[b"x"] = b"1"
    with pytest.raises(TypeError):
        store.update({b"x": b"9", b"z": "text"})  # type: ignore[arg-type]
    assert store[b"x"] == b"1"
    # Sent again it gives what it gave.
    request = trimtab.Request(b"c" * 16, 1)
    assert store.pop(b"x", request=request) == store.pop(b"x", request=request) == b"1"


def test_a_lease_that_is_sent_again_is_the_same(store: Store) -> None:
    request = trimtab.Request(b"c" * 16, 1)
    with pytest.raises(TypeError, match="wants an id"):
        store.lease_grant(10, request=request)
    leases = [store.lease_grant(10, id=7, request=request) for _ in range(2)]
    assert [lease.alive for lease in leases] == [True, True]
    store.put(b"k", b"v", lease=leases[1])


def test_a_queue_takes_a_wait_back(store: Store) -> None:
    far = store.put(b"k", b"v").sequence + 1000
    with store.queue(2) as queue:
        for _ in range(3):
            queue.submit_durable(far, 1)
            queue.submit_durable(far, 1)
            with pytest.raises(trimtab.CapacityError):
                queue.submit_durable(far, 2)
            assert [queue.cancel(2), queue.cancel(1), queue.cancel(1)] == [0, 2, 0]
        # A write, and what is done, are left alone.
        queue.submit(trimtab.Operation.put(b"k", b"w"), 3)
        queue.submit_durable(1, 3)
        assert queue.cancel(3) == 0
        done: list[trimtab.Completion] = []
        while len(done) < 2:
            done += queue.wait(timeout=60)
        assert [one.user_data for one in done] == [3, 3]
        for wrong in (-1, 1 << 64):
            with pytest.raises(trimtab.InvalidArgumentError, match="user_data"):
                queue.cancel(wrong)


def test_numbers_out_of_range_say_what_the_range_is(store: Store) -> None:
    for capacity in (0, -1, 1 << 40, 1 << 70):
        with pytest.raises(trimtab.InvalidArgumentError, match=r"outside 1 to 16777216"):
            store.queue(capacity)
    with pytest.raises(trimtab.InvalidArgumentError, match="sequence.*outside"):
        store.watch(sequence=-1)
    with pytest.raises(TypeError, match="sequence"):
        store.watch(sequence="1")  # type: ignore[arg-type]
