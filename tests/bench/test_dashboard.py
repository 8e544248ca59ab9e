"""The bench of the dashboard does its job in miniature."""

from bench import dashboard


async def test_a_small_fleet_is_seen_and_moves() -> None:
    figures = await dashboard.measure(quick=True)
    assert [figure.name.split(":")[0] for figure in figures] == [
        "dashboard, fleet",
        "dashboard, fleet",
        "dashboard, tasks",
        "dashboard, tasks",
    ]
    assert all(value > 0 for figure in figures for value in figure.numbers.values())
