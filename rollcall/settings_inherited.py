"""Names of variables that other programs set, or that the system before this one knew."""

from collections.abc import Mapping
from typing import Final

from rollcall.settings import Settings
from rollcall.settings_values import format_duration

_FROM_OTHERS: Final = {"NATS_CREDS": "nats.creds", "NATS_URL": "nats.url"}
MINUTES: Final = {
    "DEFAULT_PING_INTERVAL_MINUTES": "timers.ping_interval",
    "DEFAULT_AGENT_TIMEOUT_MINUTES": "timers.accept_sub",
    "SUB_AGENT_TIMEOUT_MINUTES": "timers.accept_sub",
    "RUTO_TIMEOUT_MINUTES": "timers.accept_main",
}
UNUSED: Final = {
    "WORKER_INTERVAL_SECONDS": "is not used: due work is found by its time, within a second",
    "API_BASE_URL": "is not used: the address is that of http.host and http.port",
    "REDIS_HOST": "is not used at all: the bus is NATS",
}

Found = tuple[str, str, str]  # key, value, name of the variable


def from_others(environ: Mapping[str, str]) -> list[Found]:
    """Return what variables of NATS and of the desktop say."""
    found = [(key, environ[name], name) for name, key in _FROM_OTHERS.items() if environ.get(name)]
    if home := environ.get("XDG_STATE_HOME"):
        found.append(("state_dir", f"{home}/rollcall", "XDG_STATE_HOME"))
    return found


def from_seed(environ: Mapping[str, str]) -> tuple[list[Found], list[str]]:
    """Return what older variables say, and a warning for each of them."""
    found: list[Found] = []
    warnings = [f"{name} {why}" for name, why in UNUSED.items() if name in environ]
    for name, key in MINUTES.items():
        if name in environ:
            found.append((key, f"{environ[name].strip()}m", name))
    if environ.get("DATABASE_URL", "").startswith("sqlite:///"):  # any other is another program's
        found.append(("store.url", environ["DATABASE_URL"], "DATABASE_URL"))
    if token := environ.get("API_AUTH_TOKEN"):
        found.append(("http.token", token, "API_AUTH_TOKEN"))
    if (attempts := environ.get("MAX_ESCALATION_ATTEMPTS", "")).isascii() and attempts.isdigit():
        found.append(("timers.repeats", _repeats(int(attempts)), "MAX_ESCALATION_ATTEMPTS"))
    warnings += [f"{name} is an old name: write {key} (or {variable(key)})" for key, _, name in found]
    return found, warnings


def variable(key: str) -> str:
    """Return the name of the variable that sets `key`."""
    return f"ROLLCALL_{key.upper().replace('.', '__')}"


def _repeats(attempts: int) -> str:
    usual = Settings().timers.repeats_us
    attempts = min(attempts, 17)  # so many are refused, with a clear word
    wanted = [*usual, *usual[-1:] * attempts][:attempts]
    return ",".join(map(format_duration, wanted))
