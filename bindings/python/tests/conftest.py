"""What several tests use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trimtab

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def pool() -> Iterator[trimtab.Pool]:
    """Round robin over a, b and c, from the first turn on."""
    with trimtab.Pool(seed=0) as made:
        for n, name in enumerate("abc", 1):
            made.add(f"10.0.0.{n}:80", name=name, tag=n * 10)
        yield made
