"""The figures as pictures: plain SVG, readable on light and on dark, told in words for whoever cannot see."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from bench.harness import Figure

WIDTH, LEFT, RIGHT, TOP, ROW, FOOT = 900, 300, 170, 64, 30, 46
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.small { font-size: 12px; fill: #59636e }
.bar { fill: #0969da } .second { fill: #bc4c00 }
.line { stroke: #0969da; stroke-width: 3 } .dot { fill: #0969da }
.ring { fill: none; stroke: #0969da; stroke-width: 2 }
.grid { stroke: #d1d9e0; stroke-width: 1 } .goal { stroke: #cf222e; stroke-width: 2; stroke-dasharray: 5 3 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .small { fill: #9198a1 }
.bar { fill: #4493f8 } .second { fill: #f0883e }
.line { stroke: #4493f8 } .dot { fill: #4493f8 } .ring { stroke: #4493f8 }
.grid { stroke: #3d444d } .goal { stroke: #f85149 }
}
"""


class Picture:
    """One drawing; what is added stands over what was added before."""

    def __init__(self, title: str, words: str, height: float) -> None:
        """Begin with the title; `words` say what is to be seen."""
        self._height = height
        self._title = title
        self._words = words
        self._parts = [self._text(16, 26, title, "title")]

    def _text(self, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
        shape = f' class="{kind}"' if kind else ""
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{shape}>{escape(text)}</text>'

    def text(self, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> None:
        """Write."""
        self._parts.append(self._text(x, y, text, kind, anchor))

    def bar(self, x: float, y: float, width: float, height: float, kind: str = "bar") -> None:
        """Fill a rectangle."""
        box = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}"'
        self._parts.append(f'<rect class="{kind}" {box} rx="2"/>')

    def line(self, x: float, y: float, to_x: float, to_y: float, kind: str) -> None:
        """Draw a straight line."""
        ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
        self._parts.append(f'<line class="{kind}" {ends}/>')

    def dot(self, x: float, y: float, radius: float, kind: str = "dot") -> None:
        """Draw a point."""
        self._parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>')

    def svg(self) -> str:
        """Return the whole."""
        size = f'viewBox="0 0 {WIDTH} {self._height:g}" width="{WIDTH}" height="{self._height:g}"'
        told = 'role="img" aria-labelledby="title words"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} {told}>',
                f'<title id="title">{escape(self._title)}</title>',
                f'<desc id="words">{escape(self._words)}</desc>',
                f"<style>{STYLE}</style>",
                *self._parts,
                "</svg>\n",
            ]
        )


def ratios(figures: Sequence[Figure]) -> str:
    """Show each path as a share of the fastest known way, and the goal."""
    shown = [(figure, figure.ratio) for figure in figures if figure.ratio is not None and figure.goal]
    words = "; ".join(f"{figure.name}: {ratio:.0%} of {figure.against}" for figure, ratio in shown)
    end = TOP + ROW * len(shown)
    picture = Picture("Ours, as a share of the fastest known way in the same run", words, end + FOOT)
    most = max([1.0, *(ratio for _, ratio in shown)])
    scale = (WIDTH - LEFT - RIGHT) / most
    for tenths in range(0, int(most * 10) + 1, 2):
        x = LEFT + tenths / 10 * scale
        picture.line(x, TOP - 8, x, end, "grid")
        picture.text(x, end + 18, f"{tenths * 10}%", "small", "middle")
    for place, (figure, ratio) in enumerate(shown):
        y = TOP + ROW * place
        picture.text(LEFT - 10, y + 15, figure.name, anchor="end")
        picture.bar(LEFT, y + 3, ratio * scale, ROW - 12)
        goal = LEFT + figure.numbers.get("goal_ratio", 0.0) * scale
        picture.line(goal, y - 4, goal, y + ROW - 4, "goal")
        picture.text(WIDTH - 120, y + 15, f"{ratio:.0%}", anchor="end")
        picture.text(WIDTH - 8, y + 15, figure.value, "small", "end")
    picture.text(LEFT, end + 38, "dashed: the goal", "small")
    return picture.svg()


def latencies(figures: Sequence[Figure]) -> str:
    """Show the middle, the 99th percentile and the worst of each lateness, on a logarithmic axis."""
    shown = [figure for figure in figures if {"p50_ms", "p99_ms", "max_ms"} <= figure.numbers.keys()]
    words = "; ".join(f"{figure.name}: {figure.value}" for figure in shown)
    end = TOP + ROW * len(shown)
    picture = Picture("How late: from the instant something is due until it is done", words, end + FOOT)
    values = [value for figure in shown for name, value in figure.numbers.items() if name.endswith("_ms")]
    low = math.floor(math.log10(max(0.1, min(values, default=1.0))))
    high = max(low + 1, math.ceil(math.log10(max(values, default=10.0))))
    scale = (WIDTH - LEFT - RIGHT) / (high - low)

    def x_of(value_ms: float) -> float:
        return LEFT + (math.log10(max(value_ms, 10.0**low)) - low) * scale

    for power in range(low, high + 1):
        x = x_of(10.0**power)
        picture.line(x, TOP - 8, x, end, "grid")
        picture.text(x, end + 18, duration(10.0**power), "small", "middle")
    for place, figure in enumerate(shown):
        y, found = TOP + ROW * place + 10, figure.numbers
        picture.text(LEFT - 10, y + 5, figure.name.partition(", ")[0], anchor="end")
        picture.line(x_of(found["p50_ms"]), y, x_of(found["p99_ms"]), y, "line")
        picture.dot(x_of(found["p50_ms"]), y, 5)
        picture.dot(x_of(found["p99_ms"]), y, 5)
        picture.dot(x_of(found["max_ms"]), y, 5, "ring")
        for goal in (value for name, value in found.items() if name.startswith("goal_")):
            picture.line(x_of(goal), y - 12, x_of(goal), y + 12, "goal")
        told = f"{duration(found['p50_ms'])} … {duration(found['p99_ms'])}"
        picture.text(WIDTH - 8, y + 5, told, "small", "end")
    picture.text(LEFT, end + 38, "dots: p50 and p99; ring: the worst; dashed: the goal", "small")
    return picture.svg()


def duration(ms: float) -> str:
    """Return milliseconds as people read them."""
    return (
        f"{ms:g} ms" if ms < 10 and ms == int(ms) else f"{ms / 1000:.3g} s" if ms >= 1_000 else f"{ms:.3g} ms"
    )


def processes(figures: Sequence[Figure]) -> str:
    """Show what 1, 2, 4 and 8 of each service do on one SQLite file."""
    shown = [figure for figure in figures if "copies" in figure.numbers]
    kinds = {"assigned_pinged_acked_per_s": "bar", "stepped_pinged_acked_per_s": "second"}
    words = "; ".join(f"{figure.name}: {figure.value}" for figure in shown)
    end = TOP + 2 * ROW * len(shown)
    picture = Picture("1, 2, 4 and 8 of each service on one SQLite file", words, end + FOOT)
    most = max([1.0, *(figure.numbers[kind] for figure in shown for kind in kinds)])
    scale = (WIDTH - LEFT - RIGHT) / most
    for place, figure in enumerate(shown):
        y, copies = TOP + 2 * ROW * place, int(figure.numbers["copies"])
        picture.text(LEFT - 10, y + 24, f"{copies} of each: {3 * copies} processes", anchor="end")
        for kind, colour in kinds.items():
            width = figure.numbers[kind] * scale
            picture.bar(LEFT, y, width, 18, colour)
            picture.text(LEFT + width + 8, y + 14, f"{figure.numbers[kind]:,.0f}/s")
            y += 21
    legend = {"bar": "assigned, pinged, acknowledged", "second": "escalated, pinged, acknowledged"}
    for x, (colour, told) in zip((LEFT, LEFT + 240), legend.items(), strict=True):
        picture.bar(x, end + 8, 12, 12, colour)
        picture.text(x + 18, end + 19, told, "small")
    return picture.svg()


PICTURES = {"ratios": ratios, "latency": latencies, "processes": processes}


def draw(figures: Sequence[Figure], folder: Path) -> Mapping[str, Path]:
    """Write every picture into `folder`, and return where each is."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: folder / f"{name}.svg" for name in PICTURES}
    for name, path in found.items():
        path.write_text(PICTURES[name](figures), "utf-8", newline="\n")
    return found
