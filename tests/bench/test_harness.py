import pytest

from bench import page
from bench.harness import Figure, Pairs, pairs, percentile, rate


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [
        ([5.0], 0.99, 5.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([4.0, 3.0, 2.0, 1.0], 0.5, 2.0),
        (list(map(float, range(1, 101))), 0.99, 99.0),
        (list(map(float, range(1, 102))), 0.99, 100.0),
        ([1.0, 2.0], 0.0, 1.0),
    ],
)
def test_a_percentile_is_a_value_that_was_seen(values: list[float], share: float, found: float) -> None:
    assert percentile(values, share) == found


def test_a_rate_is_per_second() -> None:
    assert rate(500, 1_000_000, 1_250_000) == 2_000


async def test_both_ways_take_turns() -> None:
    order: list[str] = []

    async def ours() -> float:
        order.append("ours")
        return 50.0

    async def limit() -> float:
        order.append("limit")
        return 80.0

    found = await pairs(ours, limit, rounds=2)

    assert order == ["ours", "limit", "ours", "limit"]
    assert found == Pairs(ours=[50.0, 50.0], limit=[80.0, 80.0])


def test_the_ratio_is_that_of_the_middle_round() -> None:
    """One round on a machine that was busy for half of it moves nothing."""
    assert Pairs(ours=[60.0, 10.0, 90.0], limit=[100.0, 100.0, 100.0]).ratio == 0.6
    assert Pairs(ours=[60.0, 30.0, 90.0], limit=[100.0, 50.0, 10.0]).ratio == 0.6


@pytest.mark.parametrize(("ours", "reached"), [(49.0, False), (50.0, True)])
def test_a_goal_is_reached_or_not(ours: float, *, reached: bool) -> None:
    figure = Pairs(ours=[ours], limit=[100.0]).figure("ping path", "pings/s")
    assert (figure.goal, figure.reached) == ("≥ 50%", reached)


def test_the_table_says_all_of_a_figure_and_stands_straight() -> None:
    paced = Figure(name="ping path", value="9 /s", against="10 /s", ratio=0.9, goal="≥ 50%", reached=True)
    lines = page.table([paced, Figure(name="memory", value="80 MiB")]).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        "ping path",
        "9 /s",
        "10 /s",
        "90%",
        "≥ 50%",
        "yes",
    ]
    assert [cell.strip() for cell in lines[3].split("|")[1:-1]] == ["memory", "80 MiB", "", "", "", ""]
    assert len({len(line) for line in lines}) == 1
