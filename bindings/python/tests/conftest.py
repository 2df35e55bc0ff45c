"""What several tests use."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import trimtab

SEGMENT_BYTES = 256 << 10
"""Of stores in tests: what is not written need not be made."""

ROOT = Path(__file__).resolve().parents[3]


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    # It has no types.
    "uvloop": importlib.import_module("uvloop").new_event_loop,
}


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


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Runs a coroutine in a new loop of each kind."""

    def run(coroutine: Coroutine[Any, Any, None]) -> None:
        loop = LOOPS[request.param]()
        try:
            loop.run_until_complete(asyncio.wait_for(coroutine, 30.0))
        finally:
            loop.close()

    return run


def within(method: str, call: Callable[[], object]) -> None:
    """Has another thread call this, from beginning to end, once a method of the running loop is called for
    the next time: before it does what it does."""
    loop = asyncio.get_running_loop()
    does = getattr(loop, method)

    def first(*arguments: Any) -> Any:
        delattr(loop, method)
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        return does(*arguments)

    setattr(loop, method, first)
