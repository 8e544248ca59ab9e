"""What a killed daemon leaves to the next one."""

from pathlib import Path

import pytest

from rollcall.config import ConfigError
from rollcall.daemon.journal import Entry, Journal
from rollcall.daemon.procfs import Identity

RUNS = Entry(session="s1", identity=Identity(7, 1234, "boot"), digest="d")
HELD = Entry(rest="stopped", why="stopped by olga", held=True)


def test_the_next_life_reads_what_the_last_one_wrote(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    journal = Journal(path)
    assert dict(journal.entries) == {}
    journal.write("a", RUNS)
    journal.write("b", HELD)
    journal.write("c", RUNS)
    journal.write("c", None)
    assert dict(Journal(path).entries) == {"a": RUNS, "b": HELD}
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_journal_that_cannot_be_read_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"which agents run; end those, then delete it"):
        Journal(path)
    with pytest.raises(ConfigError, match="Is a directory"):
        Journal(tmp_path)
    assert path.read_text() == "{"


def test_what_a_full_disk_did_not_take_is_written_with_the_next_word(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    journal = Journal(path)
    blocked = tmp_path / "state.json.new"
    blocked.mkdir()
    journal.write("a", RUNS)
    journal.write("b", HELD)
    assert not path.exists()
    blocked.rmdir()
    journal.write("b", HELD)
    assert dict(Journal(path).entries) == {"a": RUNS, "b": HELD}
