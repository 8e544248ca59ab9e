import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import page, plots
from bench.harness import Figure, of_part

SVG = "{http://www.w3.org/2000/svg}"
FIGURES = [
    Figure(
        name="ping path <full>",
        value="9 /s",
        against="10 /s",
        ratio=0.9,
        goal="≥ 50%",
        reached=True,
        numbers={"goal_ratio": 0.5},
    ),
    Figure(
        name="due → delivered at 100/s, full",
        value="p50 4.0 ms",
        numbers={"p50_ms": 4.0, "p90_ms": 9.0, "p99_ms": 1_500.0, "max_ms": 20_000.0, "goal_p99_ms": 50.0},
    ),
    Figure(
        name="2 of each",
        value="100/s",
        numbers={"copies": 2, "assigned_pinged_acked_per_s": 100, "stepped_pinged_acked_per_s": 50},
    ),
    Figure(name="memory", value="80 MiB"),
]


@pytest.mark.parametrize("name", plots.PICTURES)
@pytest.mark.parametrize("figures", [FIGURES, []])
def test_a_picture_is_whole_and_is_told_in_words(name: str, figures: list[Figure]) -> None:
    root = ET.fromstring(plots.PICTURES[name](figures))
    assert root.get("role") == "img"
    assert [root.find(f"{SVG}{part}") is not None for part in ("title", "desc", "style")] == [True] * 3
    width, height = (float(root.get(side, "0")) for side in ("width", "height"))
    for text in root.iter(f"{SVG}text"):
        assert 0 <= float(text.get("x", "-1")) <= width
        assert 0 <= float(text.get("y", "-1")) <= height


def test_each_picture_shows_its_own_figures() -> None:
    drawn = {name: plots.PICTURES[name](FIGURES) for name in plots.PICTURES}
    assert "ping path &lt;full&gt;" in drawn["ratios"]
    assert 'class="ring"' in drawn["latency"]
    assert "100/s" in drawn["processes"]
    assert not any("memory" in svg for svg in drawn.values())


@pytest.mark.parametrize(
    ("ms", "told"),
    [(1.0, "1 ms"), (4.26, "4.26 ms"), (79.4, "79.4 ms"), (1_500.0, "1.5 s"), (72_120.0, "72.1 s")],
)
def test_a_length_of_time_is_short(ms: float, told: str) -> None:
    assert plots.duration(ms) == told


def test_pictures_are_written_beside_the_page(tmp_path: Path) -> None:
    found = plots.draw(FIGURES, tmp_path / "new")
    assert sorted(path.name for path in found.values()) == ["latency.svg", "processes.svg", "ratios.svg"]
    assert all(path.read_text("utf-8").startswith("<svg") for path in found.values())


def test_the_figures_for_machines_say_how_to_measure_them_again() -> None:
    whole = json.loads(page.results(of_part("lateness", FIGURES[1:2])))
    (row,) = whole["figures"]
    assert row["command"] == "python -m bench lateness"
    assert row["numbers"]["p99_ms"] == 1_500.0
    assert {"reached", "ratio", "goal"}.isdisjoint(row)
