"""The figures of the harnesses' last runs, as they lie in docs/results; a run that was not made is None."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

Run = dict[str, Any] | None


class Figures(Struct, frozen=True):
    """What each harness wrote down."""

    simulation: Run = None
    mutants: Run = None
    chaos: Run = None
    bench: Run = None


def read(folder: Path) -> Figures:
    """Read the results in a folder.

    Raises `msgspec.DecodeError` if a file is no JSON object.
    """
    return Figures(**{name: _run(folder / f"{name}.json") for name in Figures.__struct_fields__})


def _run(path: Path) -> Run:
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Any]) if path.is_file() else None


def found_by(figures: Figures, checks: tuple[str, ...]) -> list[str]:
    """Return the planted faults that one of these checks of the simulator found."""
    if figures.mutants is None:
        return []
    mutants: dict[str, dict[str, Any]] = figures.mutants["mutants"]
    return [name for name, mutant in mutants.items() if check_of(mutant) in checks]


def check_of(mutant: dict[str, Any]) -> str:
    """Return the check that found a planted fault; empty if none did."""
    return str(mutant["breach"]).partition(":")[0]


def breaches(figures: Figures, checks: tuple[str, ...]) -> int | None:
    """Return how often these checks failed under real kills; None if nobody looked."""
    broken: dict[str, int] = {} if figures.chaos is None else figures.chaos["broken"]
    return sum(broken[name] for name in checks) if checks and broken.keys() >= set(checks) else None


def measured(figures: Figures, parts: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return what the bench measured in these parts."""
    return [figure for figure in (figures.bench or {"figures": []})["figures"] if figure["part"] in parts]
