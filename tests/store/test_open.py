"""Which files are opened, which are refused and with what words, and how the schema moves on."""

import asyncio
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import structs

from contracts.work import Changes, Needs
from store import sql as sql_files
from store.errors import StoreError, StoreRefusedError
from store.file import APPLICATION_ID, CHECKED_BYTES_MAX, file_system, migrate, place, refusal, statements
from store.open import MAIN_CAPABILITIES, open_store
from store.sql import Migration, migrations, open_hints, schema
from store.sqlite import SqliteStore
from tests.support.inline import InlineLink
from tests.support.store import MINUTE, NOW, agent, do, get, sql, unit

ROOT = Path(__file__).parents[2]


async def refused(path: Path, word: str) -> None:
    with pytest.raises(StoreRefusedError, match=word):
        await open_store(path, now=NOW)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def size(path: Path) -> int:
    return path.stat().st_size


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 6] = b"\x55" * (4096 * 3)
    path.write_bytes(content)


@pytest.fixture
def text(path: Path) -> str:
    content = "dear diary, " * 400
    path.write_text(content)
    return content


@pytest.fixture
def empty(path: Path) -> Path:
    path.touch()
    return path


async def pragma(store: SqliteStore, name: str, *, reading: bool = False) -> object:
    link = store._reading if reading else store._writing
    return (await link.call(lambda connection: connection.execute(f"PRAGMA {name}").fetchone()))[0]


async def test_a_store_begins_with_a_policy_and_a_main_agent(path: Path) -> None:
    store = await open_store(path, now=NOW, main_agent="Boss", main_capacity=3, main_timeout_us=MINUTE)
    view = await get(store, Needs(agents=("boss",), policies=("default",)))
    boss = view.agents["boss"]
    assert (boss.kind, boss.capacity, boss.timeout_us) == ("main_agent", 3, MINUTE)
    assert (boss.beats, boss.status) == ("none", "ready")
    assert boss.capabilities == MAIN_CAPABILITIES
    assert [step.kind for step in view.policies["default"].steps] == ["main"]
    events = [row.event for row in await store.rows("audit_page", after=0, limit=9)]
    assert events == ["changed", "registered"]
    await store.close()


async def test_opening_again_changes_nothing(path: Path) -> None:
    first = await open_store(path, now=NOW)
    incarnation = await first.incarnation()
    await first.close()
    second = await open_store(path, now=NOW + 1, main_agent="Another")
    assert await second.incarnation() == incarnation
    assert [found.name for found in await second.rows("list_agents", all=True)] == ["Ruto"]
    assert len(await second.rows("audit_page", after=0, limit=9)) == 2
    await second.close()


async def test_a_sub_agent_of_the_main_agent_s_name_is_left_alone(path: Path) -> None:
    store = await open_store(path, now=NOW)
    await do(store, unit(Changes(agents=(agent(9, "Boss"),))))
    await store.close()
    sql(path, "UPDATE agents SET kind = 'sub_agent'")
    again = await open_store(path, now=NOW, main_agent="Boss")
    assert {found.kind for found in await again.rows("list_agents", all=True)} == {"sub_agent"}
    await again.close()


async def test_two_stores_have_different_incarnations(tmp_path: Path) -> None:
    names: set[str] = set()
    for seed in (1, 1, 2):
        store = await open_store(tmp_path / f"{len(names)}{seed}.db", now=NOW, rng=random.Random(seed))
        names.add(await store.incarnation())
        await store.close()
    assert len(names) == 2


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("relaxed", 1)])
async def test_the_connections_are_set_up(path: Path, durability: str, synchronous: int) -> None:
    store = await open_store(path, now=NOW, durability=durability)  # type: ignore[arg-type]
    assert await pragma(store, "synchronous") == synchronous
    assert await pragma(store, "journal_mode") == "wal"
    assert await pragma(store, "foreign_keys") == 1
    assert await pragma(store, "busy_timeout") == 5000
    assert await pragma(store, "application_id") == APPLICATION_ID
    assert await pragma(store, "user_version") == migrations()[-1].number
    assert await pragma(store, "query_only", reading=True) == 1
    assert await pragma(store, "wal_autocheckpoint", reading=True) == 0
    assert mode(path) == 0o600
    await store.close()


async def test_another_program_s_file_is_refused(path: Path) -> None:
    sql(path, "CREATE TABLE theirs (x)")
    await refused(path, "another program")
    assert sql(path, "SELECT name FROM sqlite_master") == [("theirs",)]


async def test_an_empty_file_of_another_program_is_refused(path: Path) -> None:
    sql(path, "PRAGMA application_id = 77")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM")
    await refused(path, "another program")


async def test_a_newer_schema_is_refused(store: SqliteStore, path: Path) -> None:
    sql(path, "PRAGMA user_version = 999")
    await refused(path, "newer version")


async def test_a_text_file_is_refused_and_left_as_it_is(path: Path, text: str) -> None:
    await refused(path, "no SQLite file")
    assert size(path) == len(text)


async def test_an_empty_file_is_a_new_store(empty: Path) -> None:
    store = await open_store(str(empty), now=NOW)
    assert len(await store.incarnation()) == 16
    await store.close()


async def test_a_folder_that_is_missing_and_a_path_that_is_no_file_are_refused(tmp_path: Path) -> None:
    await refused(tmp_path / "no" / "store.db", "no folder")
    await refused(tmp_path, "no file")


READ_ONLY = """
import asyncio, os, sys
from pathlib import Path
from store.errors import StoreRefusedError
from store.open import open_store

async def opened(path):
    await (await open_store(Path(path), now=0)).close()

asyncio.run(opened(sys.argv[2]))  # all that has to be read is read
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    asyncio.run(opened(sys.argv[1]))
except StoreRefusedError as error:
    print(error)
"""


@pytest.fixture
def locked() -> Iterator[Path]:
    """Make a folder that others may enter, but only its owner may write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "empty.db").touch()
        (folder / "empty.db").chmod(0o666)
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


@pytest.mark.parametrize("name", ["empty.db", "new.db"])
async def test_a_folder_that_may_not_be_written_is_refused(path: Path, locked: Path, name: str) -> None:
    command = [sys.executable, "-c", READ_ONLY, str(locked / name), str(path)]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "cannot be written" in done.stdout, done.stderr


async def test_a_path_that_no_file_can_have_is_refused(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await refused(tmp_path / ("x" * 300), "cannot be written")
    monkeypatch.setattr("os.access", lambda *_, **__: False)
    await refused(path, "cannot be written: the store needs a folder")


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (sqlite3.SQLITE_CORRUPT, "move it away and restore"),
        (sqlite3.SQLITE_CANTOPEN, "needs a folder"),
        (sqlite3.SQLITE_FULL, "free some space"),
        (sqlite3.SQLITE_IOERR, "cannot be used"),
    ],
)
def test_what_sqlite_says_of_a_file_becomes_a_clear_word(path: Path, code: int, word: str) -> None:
    error = sqlite3.OperationalError("said by SQLite")
    error.sqlite_errorcode = code
    assert word in str(refusal(path, error))


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\nbad\n")
    with pytest.raises(StoreRefusedError, match="network file system"):
        place(tmp_path / "store.db", mounts=mounts)
    assert file_system(tmp_path, mounts) == "nfs4"
    assert file_system(Path("/"), mounts) == "ext4"
    assert file_system(tmp_path, tmp_path / "nothing") == ""


async def test_a_damaged_file_is_refused(store: SqliteStore, path: Path) -> None:
    await store.close()
    spoil(path)
    await refused(path, "damaged")


async def test_a_large_file_is_not_checked_at_every_start(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CHECKED_BYTES_MAX > 10**6
    monkeypatch.setattr("store.file.CHECKED_BYTES_MAX", 1)
    monkeypatch.setattr("store.file.refuse_damaged", None)
    await (await open_store(path, now=NOW)).close()


async def test_a_lock_at_the_start_is_refused_with_a_word(store: SqliteStore, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreRefusedError, match="another process"):
            await open_store(path, now=NOW, open_link=InlineLink.open)  # which does not wait


def shape(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: re.sub(r"\s*([(),])\s*", r"\1", " ".join(text.split())) for name, text in rows}


def test_the_migrations_lead_to_the_schema(path: Path) -> None:
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as moved,
        closing(sqlite3.connect(":memory:")) as whole,
    ):
        migrate(moved, path, random.Random(1))
        for statement in statements(open_hints(schema(), "sqlite")):
            whole.execute(statement)
        assert shape(moved) == shape(whole)
        assert len(shape(whole)) > 30


@pytest.mark.parametrize("text", [schema(), *(step.text for step in migrations())])
def test_the_schema_has_a_form_for_postgresql(text: str) -> None:
    opened = open_hints(text, "pg")
    assert "AUTOINCREMENT" not in opened
    assert "BLOB" not in opened
    assert ("BYTEA" in opened) == ("BLOB" in text)
    assert "/*" not in opened


async def test_a_migration_that_was_changed_is_refused(store: SqliteStore, path: Path) -> None:
    sql(path, "UPDATE meta SET value = 'other' WHERE key LIKE 'migration:%'")
    await refused(path, "another form of step 0001")


def test_a_step_is_taken_once_and_whole(path: Path) -> None:
    first = migrations()[0]
    text = "CREATE TABLE more (x);\n-- why; it is so\nCREATE TABLE evenmore (x);\n"
    second = Migration(number=2, name="0002_more", text=text, checksum="c2")
    broken = structs.replace(second, text="CREATE TABLE more (x);\nCREATE TABLE more (y);\n")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path, random.Random(1), (first,))
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, path, random.Random(1), (first, broken))
        assert "more" not in shape(connection)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        before = connection.execute("SELECT value FROM meta WHERE key = 'incarnation'").fetchone()
        for _ in range(2):
            migrate(connection, path, random.Random(2), (first, second))
        assert {"more", "evenmore"} <= set(shape(connection))
        assert connection.execute("SELECT value FROM meta WHERE key = 'incarnation'").fetchone() == before


async def test_processes_that_open_a_new_store_together_make_one(path: Path) -> None:
    stores = await asyncio.gather(*(open_store(path, now=NOW) for _ in range(4)))
    assert len({await store.incarnation() for store in stores}) == 1
    assert sql(path, "SELECT count(*) FROM agents") == [(1,)]
    for store in stores:
        await store.close()


async def test_what_cannot_be_begun_is_closed_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="cannot be begun"):
        await open_store(path, now=NOW, main_timeout_us=0)
    monkeypatch.setattr("store.open.tune_reader", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await open_store(path, now=NOW)
    with pytest.raises(ZeroDivisionError):
        await open_store(path, now=NOW, open_link=InlineLink.open)
    assert os.access(path, os.W_OK)
    assert sql_files.queries("sqlite")
