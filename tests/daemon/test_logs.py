"""Output that cannot grow for ever, written by processes that know nothing of it."""

from pathlib import Path

from rollcall.daemon.logs import rotate


def told(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_short_log_stays(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert not rotate(log, bytes_max=4, files=2)
    log.write_text("1234")
    assert not rotate(log, bytes_max=4, files=2)
    assert told(tmp_path) == {"a.log": "1234"}


def test_a_long_log_is_put_aside_while_it_is_written(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as writer:  # as an agent does: always to the end
        for number in range(4):
            writer.write(f"{number}-long".encode())
            assert rotate(log, bytes_max=4, files=2)
            writer.write(b"x")
            assert log.read_text() == "x"
            log.write_text("")
    assert told(tmp_path) == {"a.log": "", "a.log.1": "3-long", "a.log.2": "2-long"}
    assert (tmp_path / "a.log.1").stat().st_mode & 0o777 == 0o600


def test_no_old_files_are_kept_if_none_are_wanted(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("12345")
    assert rotate(log, bytes_max=4, files=0)
    assert told(tmp_path) == {"a.log": ""}
