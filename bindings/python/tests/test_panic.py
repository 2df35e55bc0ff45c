"""A panic stops at the boundary. Needs a build with the feature `test-hook`, which test.sh makes apart."""

from __future__ import annotations

from typing import Any

import pytest
import trimtab

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
