"""Transactions, leases, and requests that are sent again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trimtab
from conftest import SEGMENT_BYTES
from test_store import wait_until
from trimtab import Operation, Relation, Request, Requests, Store


def test_then_or_otherwise(store: Store) -> None:
    store[b"from"], store[b"to"] = b"1", b"0"
    move = (
        store.transaction()
        .when(b"from", Relation.GREATER, value=b"0")
        .then(Operation.increment(b"from", -1), Operation.increment(b"to"))
        .otherwise(Operation.get(b"from"), Operation.range(prefix=b""))
    )
    done = move.commit(durability="local")
    assert done and done.count == 2 and [step.number for step in done.steps] == [0, 1]
    assert done.durability is trimtab.Durability.LOCAL
    assert {step.sequence for step in done.steps} == {done.sequence}
    other = move.commit()
    assert not other and other.steps[0].value == b"0"
    assert [entry.key for entry in other.steps[1].entries] == [b"from", b"to"]
    assert (store[b"from"], store[b"to"]) == (b"0", b"1")


@pytest.mark.parametrize(
    ("relation", "given", "holds"),
    [
        ("==", {"version": 2}, True),
        ("!=", {"version": 2}, False),
        ("<", {"version": 3}, True),
        (">", {"version": 1}, True),
        (Relation.EQUAL, {"created": 1}, True),
        ("==", {"changes": 2}, True),
        ("==", {"lease": 0}, True),
        (">", {"lease": 7}, False),
        ("==", {"value": b"2"}, True),
        ("<", {"value": b"20"}, True),
        (">", {"value": b"2"}, False),
    ],
)
def test_conditions(store: Store, relation: Any, given: dict[str, Any], holds: bool) -> None:
    store[b"k"] = b"1"
    store[b"k"] = b"2"
    assert store.transaction().when(b"k", relation, **given).commit().is_done is holds


def test_what_is_wrong_with_a_transaction_is_told(store: Store) -> None:
    txn = store.transaction()
    with pytest.raises(TypeError, match="one of version, created, changes, lease and value"):
        txn.when(b"k")
    with pytest.raises(TypeError, match="one of version, created, changes, lease and value"):
        txn.when(b"k", version=1, value=b"")
    with pytest.raises(trimtab.InvalidArgumentError, match='relation: "~" is none of ==, !=, <, >'):
        store.transaction().when(b"k", "~", version=1).commit()
    with pytest.raises(TypeError, match="argument 'value': bytes-like wanted, not str"):
        store.transaction().when(b"k", value=str_value).commit()
    for alone in (Operation.lease_revoke(1), store.transaction().operation()):
        with pytest.raises(trimtab.InvalidArgumentError, match="stands alone, not in a transaction"):
            store.transaction().then(alone).commit()
    assert store.transaction().commit() and len(store) == 0


str_value: Any = "text"


def test_a_refused_step_undoes_all_or_goes_on(store: Store) -> None:
    store[b"text"] = b"seven"
    steps = (Operation.put(b"a", b"1"), Operation.increment(b"text"), Operation.put(b"b", b"2"))
    with pytest.raises(trimtab.InvalidArgumentError, match="not a whole number"):
        store.transaction().then(*steps).commit()
    assert b"a" not in store
    done = store.transaction().then(*steps).proceed().commit()
    assert done and [bool(step) for step in done.steps] == [True, False, True]
    assert isinstance(done.steps[1].error, trimtab.InvalidArgumentError) and done.steps[0].error is None
    assert store[b"a"] == b"1" and store[b"b"] == b"2"


def test_many_threads_move_and_nothing_is_lost(store: Store) -> None:
    store[b"a"], store[b"b"] = b"1000", b"0"

    def move() -> None:
        txn = store.transaction().when(b"a", "!=", value=b"0")
        txn.then(Operation.increment(b"a", -1), Operation.increment(b"b"))
        for _ in range(100):
            assert txn.commit(durability="memory")

    threads = [threading.Thread(target=move) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        with store.view() as view:
            assert int(view[b"a"]) + int(view[b"b"]) == 1000
    for thread in threads:
        thread.join()
    assert (store[b"a"], store[b"b"]) == (b"200", b"800")


def test_keys_go_with_their_lease(store: Store) -> None:
    with store.lease_grant(100) as lease:
        assert lease.alive and lease.ttl == 100.0 and time.time() + 90 < lease.deadline < time.time() + 110
        store.put(b"a", b"", lease=lease)
        store.put(b"b", b"", lease=lease.id)
        entry = store.entry(b"a")
        assert entry and entry.lease == lease.id and entry.deadline is None
        assert store.transaction().when(b"a", lease=lease.id).commit()
        again = store.lease(lease.id)
        assert again and again.id == lease.id
        before = lease.deadline
        time.sleep(0.005)
        kept = lease.keep_alive()
        assert kept and kept.deadline and kept.deadline > before and lease.deadline == kept.deadline
    assert not lease.alive and store.lease(lease.id) is None and len(store) == 0
    late: list[Callable[[], object]] = [lease.keep_alive, lease.revoke, lambda: lease.ttl]
    for call in (*late, lambda: store.put(b"c", b"", lease=lease)):
        with pytest.raises(trimtab.NotFoundError, match="lease"):
            call()
    other = store.lease_grant(100, id=7)
    store.put(b"c", b"", lease=7)
    assert other.id == 7 and other.revoke().count == 1
    with store.lease_grant(100, id=7):
        with pytest.raises(trimtab.InvalidArgumentError, match="lease"):
            store.lease_grant(100, id=7)


def test_a_lease_ends_by_itself_and_watches_are_told(store: Store) -> None:
    with store.watch() as watch, store.lease_grant(1) as lease:
        store.put(b"k", b"", lease=lease)
        assert [change.kind.name for change in watch.take(10)] == ["PUT"]
        wait_until(lambda: b"k" not in store)
        assert not lease.alive
        gone = watch.poll(10)
        assert isinstance(gone, trimtab.Change) and gone.value is None
        assert gone.kind is trimtab.ChangeKind.EXPIRED


def test_bad_leases(store: Store) -> None:
    for ttl in (0, -1, 2.0**40):
        with pytest.raises(trimtab.InvalidArgumentError):
            store.lease_grant(ttl)
    with pytest.raises(trimtab.InvalidArgumentError, match="lease: 0 is no lease"):
        store.lease(0)
    anything: Any = store
    with pytest.raises(TypeError, match="argument 'lease': a whole number wanted"):
        anything.put(b"k", b"", lease="7")


def test_a_request_that_is_sent_again_is_not_done_twice(tmp_path: Path) -> None:
    requests = Requests()
    assert len(requests.client) == 16 and iter(requests) is requests
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as store:
        request = next(requests)
        first = store.increment(b"n", request=request)
        again = store.increment(b"n", request=request)
        assert (first.number, first.is_repeated, again.number, again.is_repeated) == (1, False, 1, True)
        assert again.sequence == first.sequence and next(requests).number == request.number + 1
        state, told = store.outcome(request)
        assert state is trimtab.RequestState.APPLIED and told and told.is_repeated
        assert (told.number, told.sequence) == (1, first.sequence)
        assert store.outcome(Request(request.client, 99)) == (trimtab.RequestState.NOT_APPLIED, None)
        with pytest.raises(trimtab.StateError, match="was used for another operation before"):
            store.append(b"n", b"", request=request)
    with Store(tmp_path, segment_bytes=SEGMENT_BYTES) as store:
        assert store.increment(b"n", request=request).is_repeated and store[b"n"] == b"1"
        for _ in range(40):
            store.increment(b"n", request=next(requests))
        with pytest.raises(trimtab.StateError):
            store.increment(b"n", request=request)
        assert store.outcome(request) == (trimtab.RequestState.FORGOTTEN, None)
        assert store[b"n"] == b"41"


def test_bad_requests(store: Store) -> None:
    anything: Any = store
    with pytest.raises(trimtab.InvalidArgumentError, match="it has 3 bytes, and 16 are wanted"):
        store.put(b"k", b"", request=Request(b"abc", 1))
    with pytest.raises(trimtab.InvalidArgumentError, match="request.client: all zero"):
        store.put(b"k", b"", request=Request(bytes(16), 1))
    with pytest.raises(trimtab.InvalidArgumentError, match="request.number"):
        store.put(b"k", b"", request=Request(b"c" * 16, -1))
    for wrong in (7, (b"c" * 16,), [b"c" * 16, 1]):
        with pytest.raises(TypeError, match="argument 'request': a Request wanted"):
            anything.put(b"k", b"", request=wrong)
    assert len(store) == 0


def test_what_timed_out_is_found_out_by_sending_it_again(store: Store) -> None:
    requests = Requests()
    late = 0
    for n in range(1, 101):
        request = next(requests)
        try:
            done = store.increment(b"n", request=request, timeout=0)
        except trimtab.TimedOutError as error:
            assert isinstance(error, TimeoutError)
            late += 1
            done = store.increment(b"n", request=request, timeout=None)
        assert done.number == n
    assert late > 0 and store[b"n"] == b"100"


def test_timeouts_are_spans_of_time(store: Store) -> None:
    assert store.put(b"k", b"", timeout=None) and store.put(b"k", b"", timeout=...)
    for bad in (-1, float("nan")):
        with pytest.raises(trimtab.InvalidArgumentError, match="timeout"):
            store.put(b"k", b"", timeout=bad)
    anything: Any = store
    with pytest.raises(TypeError, match="timeout"):
        anything.put(b"k", b"", timeout="1")
