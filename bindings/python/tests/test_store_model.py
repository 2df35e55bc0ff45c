"""A store beside a dict: whatever is done to both, they agree, over restarts too.

``TRIMTAB_STORE_SEED=N`` replays one."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
import trimtab
from conftest import SEGMENT_BYTES
from trimtab import Operation, Store

SEED = os.environ.get("TRIMTAB_STORE_SEED")
SEEDS = [int(SEED)] if SEED else range(24)
STEPS = 250
OPTIONS: dict[str, Any] = {
    "segment_bytes": SEGMENT_BYTES,
    "snapshot_bytes": 64 << 10,
    "history_bytes_max": 32 << 10,
}


class Model:
    """What a store is to have."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.versions: dict[bytes, int] = {}

    def put(self, key: bytes, value: bytes, version: int) -> None:
        self.values[key] = value
        self.versions[key] = version

    def delete(self, key: bytes) -> bool:
        self.versions.pop(key, None)
        return self.values.pop(key, None) is not None

    def range(self, start: bytes, end: bytes | None) -> list[tuple[bytes, bytes]]:
        return [
            (key, self.values[key])
            for key in sorted(self.values)
            if key >= start and (end is None or key < end)
        ]


class Player:
    """Draws what to do, does it to both and compares what comes back."""

    def __init__(self, store: Store, model: Model, draws: random.Random) -> None:
        self.store, self.model, self.draws = store, model, draws

    def key(self) -> bytes:
        return bytes(self.draws.choice(b"ab\x00\xff") for _ in range(self.draws.randrange(4)))

    def value(self) -> bytes:
        return self.draws.randbytes(self.draws.choice((0, 1, 20, 1_023, 1_024, 1_025, 5_000)))

    def durability(self) -> str:
        return self.draws.choice(("memory", "memory", "memory", "local"))

    def step(self) -> None:
        steps = (
            self.put, self.put, self.put_under_a_condition, self.delete, self.delete_range, self.increment,
            self.append, self.transaction, self.queue, self.read, self.look, self.mapping,
        )  # fmt: skip
        self.draws.choice(steps)()

    def put(self) -> None:
        key, value = self.key(), self.value()
        result = self.store.put(key, value, previous=True, durability=self.durability())
        before = self.model.values.get(key)
        assert (result.previous.value if result.previous else None) == before
        self.model.put(key, value, result.version)

    def put_under_a_condition(self) -> None:
        key, value = self.key(), self.value()
        version = self.model.versions.get(key, 0)
        kind = self.draws.randrange(4)
        name = ("absent", "present", "version", "version")[kind]
        given: dict[str, Any] = {name: (True, True, version, version + 1)[kind]}
        holds = [version == 0, version > 0, True, False][kind]
        result = self.store.put(key, value, durability=self.durability(), **given)
        assert result.is_done is holds
        if holds:
            self.model.put(key, value, result.version)
        else:
            assert result.version == version

    def delete(self) -> None:
        key = self.key()
        assert bool(self.store.delete(key, durability=self.durability())) is self.model.delete(key)

    def delete_range(self) -> None:
        start, end = self.key(), self.draws.choice((None, self.key()))
        limit = self.draws.choice((None, 1, 3))
        there = self.model.range(start, end)
        gone = there[:limit]
        result = self.store.delete_range(start, end, limit=limit, durability=self.durability())
        assert (result.count, result.more) == (len(gone), len(there) > len(gone))
        for key, _ in gone:
            self.model.delete(key)

    def increment(self) -> None:
        key, by = self.key(), self.draws.randrange(-(2**62), 2**62)
        try:
            result = self.store.increment(key, by, durability=self.durability())
        except trimtab.InvalidArgumentError:
            value = self.model.values[key]
            assert not value.lstrip(b"-").isdigit() or not -(2**63) <= int(value) + by < 2**63
            return
        number = int(self.model.values.get(key, b"0")) + by
        assert result.number == number
        self.model.put(key, b"%d" % number, result.version)

    def append(self) -> None:
        key, value = self.key(), self.value()
        result = self.store.append(key, value, durability=self.durability())
        whole = self.model.values.get(key, b"") + value
        assert result.count == len(whole)
        self.model.put(key, whole, result.version)

    def transaction(self) -> None:
        asked, put, gone = self.key(), self.key(), self.key()
        value = self.value()
        version = self.model.versions.get(asked, 0)
        guess = self.draws.choice((version, version + 1))
        result = (
            self.store.transaction()
            .when(asked, version=guess)
            .then(Operation.put(put, value), Operation.delete(gone), Operation.get(put))
            .otherwise(Operation.get(asked))
            .commit(durability=self.durability())
        )
        assert result.is_done is (guess == version)
        if not result:
            assert result.steps[0].value == self.model.values.get(asked)
            return
        self.model.put(put, value, result.sequence)
        assert bool(result.steps[1]) is self.model.delete(gone)
        assert result.steps[2].value == self.model.values.get(put)

    def queue(self) -> None:
        puts = [(self.key(), self.value()) for _ in range(self.draws.randrange(1, 10))]
        with self.store.queue(16) as queue:
            batch = [
                (Operation.put(key, value), at, self.durability(), None)
                for at, (key, value) in enumerate(puts)
            ]
            assert queue.submit_all(batch) == len(puts)
            done: list[trimtab.Completion] = []
            while len(done) < len(puts):
                done += queue.wait(timeout=30)
        for at, (one, (key, value)) in enumerate(zip(done, puts, strict=True)):
            assert one.user_data == at and one.result
            self.model.put(key, value, one.result.version)

    def read(self) -> None:
        key = self.key()
        assert self.store.get(key) == self.model.values.get(key)
        assert (key in self.store) is (key in self.model.values)
        entry = self.store.entry(key)
        assert (entry.version if entry else 0) == self.model.versions.get(key, 0)

    def look(self) -> None:
        start, end = self.key(), self.draws.choice((None, self.key()))
        reverse, limit = self.draws.random() < 0.5, self.draws.choice((None, 2))
        there = self.model.range(start, end)
        assert self.store.count(start, end) == len(there)
        wanted = (there[::-1] if reverse else there)[:limit]
        assert list(self.store.items(start, end, reverse=reverse, limit=limit)) == wanted
        with self.store.view() as view:
            assert list(view.items(start, end, reverse=reverse, limit=limit)) == wanted
        prefix = self.key()
        assert list(self.store.keys(prefix=prefix)) == [
            key for key in sorted(self.model.values) if key.startswith(prefix)
        ]

    def mapping(self) -> None:
        key, value = self.key(), self.value()
        self.store[key] = value
        self.model.put(key, value, self.store.status().applied)
        other = self.key()
        try:
            del self.store[other]
            assert self.model.delete(other)
        except KeyError:
            assert other not in self.model.values


@pytest.mark.parametrize("seed", SEEDS)
def test_a_store_and_a_dict_agree(tmp_path: Path, seed: int) -> None:
    draws = random.Random(seed)
    model = Model()
    seen: dict[bytes, bytes] = {}
    next_sequence = 1
    for _ in range(3):
        with Store(tmp_path, **OPTIONS) as store:
            player = Player(store, model, draws)
            assert dict(store.items()) == model.values and len(store) == len(model.values)
            # What a watch tells, from where the last one was, leads to the same.
            with store.watch(sequence=next_sequence) as watch:
                for _ in range(STEPS):
                    player.step()
                    if draws.random() < 0.05:
                        store.snapshot()
                    for change in watch.take():
                        if isinstance(change, trimtab.Compacted):
                            break
                        assert change.sequence >= next_sequence
                        next_sequence = change.sequence
                        if change.value is None:
                            seen.pop(change.key, None)
                        else:
                            seen[change.key] = change.value
                if watch.is_over:
                    seen = dict(model.values)
                else:
                    next_sequence = watch.next_sequence
                assert dict(store.items()) == model.values == seen
                if watch.is_over:
                    next_sequence = store.status().applied + 1
    with Store(tmp_path, **OPTIONS) as store:
        assert dict(store.items()) == model.values
        assert {entry.key: entry.version for entry in store.entries()} == model.versions
