"""Where a setting comes from, and how a wrong one is told."""

from pathlib import Path

import pytest

from domain.timers import Timers as Clocks
from rollcall.config import ConfigError, load, shown
from rollcall.settings import Monitor, Timers
from rollcall.settings_keys import KEYS
from rollcall.settings_values import format_duration, parse_duration
from rollcall.wiring import timers


def test_every_clock_of_the_house_can_be_set_and_has_its_default() -> None:
    clocks = {name for name in Clocks.__struct_fields__ if name.endswith("_us")} - {"minute_us", "recheck_us"}
    promises, presence = set(Timers.__struct_fields__) - {"scale"}, set(Monitor.__struct_fields__)
    assert promises | {name for name in presence if name.endswith("_us")} == clocks
    assert all(getattr(Timers(), name) == getattr(Clocks(), name) for name in promises)
    assert all(getattr(Monitor(), name) == getattr(Clocks(), name) for name in presence)
    given = load(environ={f"ROLLCALL_MONITOR__{key.upper()}": "7s" for key in ("grace", "release", "hide")})
    assert (timers(given.settings).grace_us, timers(given.settings).hide_us) == (7_000_000, 7_000_000)


def test_later_sources_win_and_are_named(tmp_path: Path) -> None:
    (tmp_path / "rollcall.toml").write_text(
        'operator = "file"\nagent = "file"\n[timers]\nwarn = "1m"\nact = "2m"\n', "utf-8"
    )
    environ = {"ROLLCALL_OPERATOR": "environment", "ROLLCALL_TIMERS__WARN": "90s"}
    found = load(environ=environ, flags={"operator": "flag"}, folder=tmp_path)
    file = str(tmp_path / "rollcall.toml")
    assert (found.settings.agent, found.origins["agent"]) == ("file", file)
    assert (found.settings.timers.warn_us, found.origins["timers.warn"]) == (
        90_000_000,
        "ROLLCALL_TIMERS__WARN",
    )
    assert (found.settings.operator, found.origins["operator"]) == ("flag", "flag")
    assert (found.settings.timers.act_us, found.origins["timers.act"]) == (120_000_000, file)
    assert "limits.batch" not in found.origins


def test_a_file_is_named_by_argument_or_variable(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('agent = "a"', "utf-8")
    (tmp_path / "b.json").write_text('{"agent": "b", "timers": {"repeats": ["1m", "2m"]}}', "utf-8")
    assert load(tmp_path / "a.toml", environ={"ROLLCALL_CONFIG": "nowhere"}).settings.agent == "a"
    other = load(environ={"ROLLCALL_CONFIG": str(tmp_path / "b.json")}, folder=tmp_path).settings
    assert (other.agent, other.timers.repeats_us) == ("b", (60_000_000, 120_000_000))


def test_every_key_can_be_read_back_from_what_is_shown(tmp_path: Path) -> None:
    first = load(environ={}, folder=tmp_path)
    flags = {key: value for key, value, _ in shown(first) if value}
    assert load(environ={}, folder=tmp_path, flags=flags).settings == first.settings
    assert all(origin == "default" for _, _, origin in shown(first))


def test_folders_and_names_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("getpass.getuser", lambda: "Ann Änderung.x")
    settings = load(environ={}, folder=tmp_path).settings
    assert settings.state_dir == tmp_path / ".local/state/rollcall"
    assert settings.store_path == settings.state_dir / "rollcall.db"
    assert settings.url_file == settings.state_dir / "nats.url"
    assert settings.operator == "Ann--nderung-x"
    settings = load(environ={"XDG_STATE_HOME": "/x", "NATS_URL": "nats://h:1"}, folder=tmp_path).settings
    assert (str(settings.state_dir), settings.nats.url) == ("/x/rollcall", "nats://h:1")
    both = {"NATS_URL": "nats://h:1", "ROLLCALL_NATS__URL": "nats://h:2"}
    assert load(environ=both, folder=tmp_path).settings.nats.url == "nats://h:2"
    store = load(environ={"ROLLCALL_STORE__URL": "sqlite:///~/x.db"}, folder=tmp_path).settings
    assert store.store_path == tmp_path / "x.db"


@pytest.mark.parametrize("error", [KeyError, OSError])
def test_a_user_without_a_name_is_the_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def nobody() -> str:
        raise error

    monkeypatch.setattr("getpass.getuser", nobody)
    assert load(environ={}, folder=tmp_path).settings.operator == "operator"


def test_names_of_the_seed_are_understood_with_a_warning(tmp_path: Path) -> None:
    environ = {
        "DATABASE_URL": "sqlite:///./data/tasks.db",
        "DEFAULT_PING_INTERVAL_MINUTES": "20",
        "DEFAULT_AGENT_TIMEOUT_MINUTES": "25",
        "SUB_AGENT_TIMEOUT_MINUTES": "15",
        "RUTO_TIMEOUT_MINUTES": "45",
        "MAX_ESCALATION_ATTEMPTS": "5",
        "WORKER_INTERVAL_SECONDS": "30",
        "API_AUTH_TOKEN": "hush-hush-hush-hush",
        "API_BASE_URL": "http://localhost:8000",
        "REDIS_HOST": "localhost",
    }
    found = load(environ=environ, folder=tmp_path)
    timers = found.settings.timers
    minutes = [
        us // 60_000_000 for us in (timers.ping_interval_us, timers.accept_sub_us, timers.accept_main_us)
    ]
    assert minutes == [20, 15, 45]
    assert [us // 60_000_000 for us in timers.repeats_us] == [30, 60, 120, 120, 120]
    assert found.settings.store_path == Path("data/tasks.db")
    assert found.settings.http.token == "hush-hush-hush-hush"
    assert ("http.token", "***", "API_AUTH_TOKEN") in shown(found)
    assert all(any(name in warning for warning in found.warnings) for name in environ)
    assert not any("hush-hush-hush-hush" in warning for warning in found.warnings)
    ours = {"ROLLCALL_TIMERS__ACCEPT_SUB": "1m"}
    assert load(environ=environ | ours, folder=tmp_path).settings.timers.accept_sub_us == 60_000_000


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    found = load(environ={"DATABASE_URL": "postgresql://u:p@db/app"}, folder=tmp_path)
    assert (found.settings.store.url, found.warnings) == ("", ())


WRONG = {
    "unknown variable": ({"ROLLCALL_TIMER__WARN": "1m"}, "did you mean ROLLCALL_TIMERS__WARN?"),
    "unlike any": ({"ROLLCALL_ZZZZZZ": "1"}, "unknown variable ROLLCALL_ZZZZZZ; `rollcall config show`"),
    "a bare number": (
        {"ROLLCALL_TIMERS__WARN": "30"},
        "timers.warn = '30' is not allowed: a number with a unit",
    ),
    "no time at all": ({"ROLLCALL_TIMERS__WARN": "0s"}, "not allowed: a number with a unit"),
    "an eternity": ({"ROLLCALL_TIMERS__WARN": "999999999d"}, "not allowed"),
    "words": ({"ROLLCALL_TIMERS__WARN": "half an hour"}, "'half an hour' is not allowed"),
    "a list": ({"ROLLCALL_TIMERS__REPEATS": "1m,x"}, "a list; each a number with a unit"),
    "an empty list": ({"ROLLCALL_TIMERS__REPEATS": ""}, "timers.repeats"),
    "zero": ({"ROLLCALL_LIMITS__BATCH": "0"}, "a whole number from 1 to 10000"),
    "a fraction": ({"ROLLCALL_LIMITS__BATCH": "1.5"}, "a whole number from 1 to 10000"),
    "not a number": ({"ROLLCALL_TIMERS__SCALE": "nan"}, "above 0"),
    "a choice": ({"ROLLCALL_DURABILITY": "f"}, "one of full, relaxed"),
    "a name": ({"ROLLCALL_AGENT": "a.b"}, "1 to 63 letters"),
    "a root": ({"ROLLCALL_ROOT": "rollcall.*"}, "with dots between them"),
    "a folder": ({"ROLLCALL_STATE_DIR": ""}, "the path of a file or folder"),
    "a secret": ({"ROLLCALL_NATS__URL": "http://u:hush@h"}, "'http://***@h' is not allowed"),
    "an unreadable secret": (
        {"ROLLCALL_NATS__URL_FILE": "/nonexistent"},
        "cannot be read: FileNotFoundError",
    ),
    "too many": ({"MAX_ESCALATION_ATTEMPTS": "99999999"}, "timers.repeats"),
    "none": ({"MAX_ESCALATION_ATTEMPTS": "0"}, "timers.repeats"),
    "an old name": ({"RUTO_TIMEOUT_MINUTES": "soon"}, "RUTO_TIMEOUT_MINUTES: timers.accept_main = 'soonm'"),
    "a newline": ({"ROLLCALL_AGENT": "a\n"}, "'a\\\\n' is not allowed"),
    "two lines": ({"ROLLCALL_AGENT": "a\nb"}, "'a\\\\nb' is not allowed"),
}


@pytest.mark.parametrize(("environ", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_variable_is_refused_in_one_line(tmp_path: Path, environ: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(environ=environ, folder=tmp_path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "hush-hush-hush-hush" not in str(caught.value)


FILES = {
    "no TOML": (b"agent = ", "cannot be understood"),
    "no UTF-8": (b'agent = "\xff"', "cannot be understood"),
    "another key": (b"[timers]\nwarm = '1m'", "unknown key 'timers.warm'; did you mean timers.warn?"),
    "another section": (b"[timer]\nwarn = '1m'", "did you mean timers?"),
    "no section": (b"timers = 3", "timers is a section"),
    "a bare number": (b"[timers]\nwarn = 30", "timers.warn = '30' is not allowed: a number with a unit"),
    "numbers": (b"[timers]\nrepeats = [30]", "is not allowed: a list"),
    "another type": (b'[limits]\nbatch = "x"', "a whole number from 1 to 10000"),
    "a list": (b"agent = [1]", "1 to 63 letters"),
    "a table": (b"[agent]\nname = 'x'", "agent = "),
    "too much": (b"#" * 300_000, "300000 bytes, the limit is 262144"),
}


@pytest.mark.parametrize(("data", "told"), FILES.values(), ids=FILES)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "rollcall.toml").write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load(environ={}, folder=tmp_path)
    assert told in str(caught.value)
    assert str(tmp_path / "rollcall.toml") in str(caught.value)


TOGETHER = {
    "a zone": ("notify", 'zone = "Europe/Berlyn"', "notify.zone: there is no time zone Europe/Berlyn here"),
    "a network": ("webhooks", 'allow = ["10.0.0.1/8"]', "webhooks.allow: 10.0.0.1/8 has host bits set"),
    "over http": ("notify", 'webhook_url = "http://a.example/s3cret"', "notify.webhook_url: only https"),
    "inside": (
        "notify",
        'slack_url = "https://10.1.2.3/s3cret"',
        "notify.slack_url: 10.1.2.3 is 10.1.2.3: no pub",
    ),
    "a port": (
        "notify",
        'ntfy_url = "https://a.example:99/s3cret"',
        "notify.ntfy_url: port 99 is not allowed",
    ),
    "no topic": ("notify", 'ntfy_url = "https://ntfy.sh/"', "notify.ntfy_url: it names no topic"),
    "nobody": ("notify", 'mail_server = "smtp://u:s3cret@h"', "notify.mail_server: nobody gets mail"),
    "no server": ("notify", 'mail_to = ["a@h"]', "notify.mail_to: no server takes mail"),
    "a mail port": (
        "notify",
        'mail_to = ["a@h"]\nmail_server = "smtp://u:s3cret@h:99999"',
        "notify.mail_server: its port is no number up to 65535",
    ),
}


@pytest.mark.parametrize(("section", "lines", "told"), TOGETHER.values(), ids=TOGETHER)
def test_what_cannot_be_used_is_refused_where_it_is_read(
    tmp_path: Path, section: str, lines: str, told: str
) -> None:
    file = tmp_path / "rollcall.toml"
    file.write_text(f"[{section}]\n{lines}\n", "utf-8")
    with pytest.raises(ConfigError) as caught:
        load(environ={}, folder=tmp_path)
    assert str(caught.value).startswith(f"{file}: {told}")
    assert "s3cret" not in str(caught.value)


def test_people_may_be_told_where_webhooks_may_go(tmp_path: Path) -> None:
    text = """
        [notify]
        webhook_url = "http://10.1.2.3:8080/x"
        ntfy_url = "https://ntfy.sh/our-topic"
        mail_server = "smtp://mail.example"
        mail_to = ["ann@example.com"]
        zone = "UTC"
        [webhooks]
        allow = ["10.0.0.0/8"]
        http = true
        ports = [443, 8080]
    """
    (tmp_path / "rollcall.toml").write_text(text, "utf-8")
    assert load(environ={}, folder=tmp_path).settings.notify.zone == "UTC"


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            load(path, environ={})
    (tmp_path / "x.json").write_text("[" * 100_000, "utf-8")
    (tmp_path / "y.json").write_text("[]", "utf-8")
    for name in ("x.json", "y.json"):
        with pytest.raises(ConfigError, match="cannot be understood"):
            load(tmp_path / name, environ={})


def test_flags_are_checked_like_everything_else(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"did you mean timers\.warn\?"):
        load(environ={}, folder=tmp_path, flags={"timers.wann": "1m"})
    with pytest.raises(ConfigError, match="everybody on this machine"):
        load(environ={}, folder=tmp_path, flags={"nats.url": "nats://u:p@h"})


def test_a_secret_may_stand_in_a_file_and_is_masked(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("nats://ann:hush@h:4222\n", "utf-8")
    found = load(environ={"ROLLCALL_NATS__URL_FILE": str(tmp_path / "url")}, folder=tmp_path)
    assert found.settings.nats.url == "nats://ann:hush@h:4222"
    rows = {key: (value, origin) for key, value, origin in shown(found)}
    assert rows["nats.url"] == ("nats://***@h:4222", "ROLLCALL_NATS__URL_FILE")
    with pytest.raises(ConfigError, match="unknown variable"):
        load(environ={"ROLLCALL_AGENT_FILE": "x"}, folder=tmp_path)


def test_durations_read_and_write() -> None:
    for text, us in {
        "500ms": 500_000,
        "90s": 90_000_000,
        "1h30m": 5_400_000_000,
        "7d": 604_800_000_000,
    }.items():
        assert parse_duration(text) == us
    for us in (1_000, 59_000_000, 5_400_000_000, 90_061_001_000):
        assert parse_duration(format_duration(us)) == us
    assert parse_duration(" 1H ") == 3_600_000_000
    assert format_duration(0) == "0s"


def test_every_key_explains_itself() -> None:
    assert all(key.help.endswith(".") and key.form for key in KEYS.values())
