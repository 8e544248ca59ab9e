"""A loop that fails again is started later and later; one that ran well for long begins anew."""

import anyio
import pytest

from bus.supervise import Supervisor


@pytest.mark.parametrize(("well_s", "starts"), [(0.0, 5), (60.0, 2)])
async def test_what_is_long_past_makes_nobody_wait(
    monkeypatch: pytest.MonkeyPatch, well_s: float, starts: int
) -> None:
    monkeypatch.setattr("bus.supervise.BACKOFF_S", (0.0, 600.0))
    monkeypatch.setattr("bus.supervise.WELL_S", well_s)
    stop, started = anyio.Event(), 0

    async def ensure() -> None:
        """Stand for a topology that is whole."""

    async def loop(_: anyio.Event) -> None:
        nonlocal started
        started += 1
        if started == 5:
            stop.set()
        raise RuntimeError("planted")

    with anyio.move_on_after(0.3):
        await Supervisor(stop, ensure).keep("loop", loop)
    assert started == starts
