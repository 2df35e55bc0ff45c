"""What several tests use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trimtab

SEGMENT_BYTES = 256 << 10
"""Of stores in tests: what is not written need not be made."""

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def pool() -> Iterator[trimtab.Pool]:
    """Round robin over a, b and c, from the first turn on."""
    with trimtab.Pool(seed=0) as made:
        for n, name in enumerate("abc", 1):
            made.add(f"10.0.0.{n}:80", name=name, tag=n * 10)
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[trimtab.Store]:
    """An empty store on small files."""
    with trimtab.Store(tmp_path / "store", segment_bytes=SEGMENT_BYTES) as made:
        yield made
