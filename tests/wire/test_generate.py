"""Generated files: written alike each time, and stale ones are named."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from rollcall import generate


@pytest.fixture
def root(tmp_path: Path) -> Path:
    assert generate.main([], tmp_path) == 0
    return tmp_path


def test_what_was_written_is_fresh(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*.*")}
    assert generate.main(["--check"], root) == 0
    assert generate.main([], root) == 0
    assert {path: path.read_bytes() for path in root.rglob("*.*")} == before
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "name", ["docs/cli.md", "docs/configuration.md", "docs/operations.md", "contracts/vectors/ack.json"]
)
def test_a_stale_file_is_named(root: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (root / name).write_text("old", "utf-8")
    assert generate.main(["--check"], root) == 1
    assert capsys.readouterr().err == f"{name} is stale: run `make generate`\n"
    (root / name).unlink()
    assert generate.stale(root) == [name]


def test_a_vector_of_a_message_that_is_gone_is_named_and_removed(root: Path) -> None:
    gone = root / "contracts/vectors/gone.json"
    gone.write_text("{}", "utf-8")
    assert generate.stale(root) == ["contracts/vectors/gone.json"]
    generate.write(root)
    assert not gone.exists()


def test_the_machines_are_drawn_when_they_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "find_spec", lambda _name: None)
    assert "docs/machines.md" not in dict(generate.files())
    monkeypatch.setattr(generate, "find_spec", lambda _name: True)
    monkeypatch.setitem(sys.modules, "domain.machines", SimpleNamespace(document=lambda: "# Machines\n"))
    assert dict(generate.files())["docs/machines.md"] == "# Machines\n"


def test_the_pages_say_what_is_there() -> None:
    pages = dict(generate.files())
    assert "### `rollcall task add`" in pages["docs/cli.md"]
    assert "| `--until TIME` |" in pages["docs/cli.md"]
    assert "task-complete" not in pages["docs/cli.md"]
    assert "`cmd.agent.<agent>.ack`" in pages["docs/operations.md"]
    assert "`cmd.assigner.task-add.<operator>`" in pages["docs/operations.md"]
    assert "| `timers.warn` | `ROLLCALL_TIMERS__WARN` | `10m` |" in pages["docs/configuration.md"]
