"""A panic stops at the boundary. Needs a build with the feature `test-hook`, which test.sh makes apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trimtab
from peers import config, workers

pytestmark = pytest.mark.skipif(
    not hasattr(trimtab.Pool, "_test_panic"), reason="built without the feature test-hook, as a release is"
)


@pytest.mark.parametrize("detached", [False, True])
def test_a_panic_is_an_error_and_closes_the_pool(detached: bool, capfd: pytest.CaptureFixture[str]) -> None:
    pool: Any = trimtab.Pool()
    pool.add("10.0.0.1:80")
    pick = pool.pick()
    with pytest.raises(trimtab.PanicError, match="trimtab panicked: asked to; the pool is closed") as caught:
        pool._test_panic(detached)
    assert caught.value.status == -10
    assert pool.closed
    with pytest.raises(trimtab.ClosedError):
        pool.pick()
    with pick:
        pass
    pool.close()
    assert "asked to" in capfd.readouterr().err
    with trimtab.Pool() as other:
        other.add("10.0.0.1:80")
        other.pick().done()


@pytest.mark.parametrize("how", ["new", "own threads", "hosted"])
def test_a_panic_is_an_error_and_closes_the_server(how: str, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    server: Any = trimtab.Server(config(), on_event=lambda event: told.append(event.kind.name))
    if how != "new":
        server.start() if how == "own threads" else server.start_hosted()
    pool = server.pool("app")
    before = len(told)
    with pytest.raises(trimtab.PanicError, match="trimtab panicked: asked to; the server is closed"):
        server._test_panic()
    assert server.closed and workers() == 0
    with pytest.raises(trimtab.ClosedError):
        server.statistics()
    server.close()
    assert "asked to" in capfd.readouterr().err
    # Its end is told like any other.
    assert told[before:] == ["STOPPED"]
    assert pool.ids() == []


def test_a_panic_is_an_error_and_closes_the_store(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store: Any = trimtab.Store(tmp_path, segment_bytes=256 << 10)
    store.put(b"k", b"v", durability="memory")
    with pytest.raises(trimtab.PanicError, match="trimtab panicked: asked to; the store is closed"):
        store._test_panic()
    assert store.closed
    with pytest.raises(trimtab.ClosedError):
        store.get(b"k")
    store.close()
    assert "asked to" in capfd.readouterr().err
    with trimtab.Store(tmp_path, segment_bytes=256 << 10) as again:
        assert again[b"k"] == b"v"
