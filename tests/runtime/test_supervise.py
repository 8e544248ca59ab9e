"""A loop that fails again is started later and later; one that ran well for long begins anew."""

from types import SimpleNamespace

import anyio
import pytest

from bus.supervise import Supervisor


@pytest.mark.parametrize(("well_s", "waits"), [(0.0, [1.0] * 4), (60.0, [1.0, 600.0, 600.0, 600.0])])
async def test_what_is_long_past_makes_nobody_wait(
    monkeypatch: pytest.MonkeyPatch, well_s: float, waits: list[float]
) -> None:
    waited: list[float] = []

    def move_on_after(delay_s: float) -> anyio.CancelScope:
        waited.append(delay_s)
        return anyio.move_on_after(0)

    timing = SimpleNamespace(current_time=anyio.current_time, move_on_after=move_on_after)
    monkeypatch.setattr("bus.supervise.anyio", timing)
    monkeypatch.setattr("bus.supervise.BACKOFF_S", (1.0, 600.0))
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

    await Supervisor(stop, ensure).keep("loop", loop)
    assert waited == waits
