"""docs/configuration.md, from the tree of settings."""

from operator import attrgetter
from typing import Any, Final

from rollcall.settings import Settings
from rollcall.settings_inherited import MINUTES, UNUSED, variable
from rollcall.settings_keys import KEYS, Key, text

_INTRODUCTION: Final = """\
# Configuration

<!-- Written by `make generate`; edit rollcall/settings.py, not this page. -->

Each value is looked for in this order, and the last one found counts: its default, `rollcall.toml` in the
current folder (or the file that `--config` or `ROLLCALL_CONFIG` names; JSON if it ends in `.json`), a
variable of the environment, a flag (`--set timers.warn=10m`). `rollcall config show --origin` says what
counts now, and why.

A key or variable that is not known is refused, with the nearest known one. Lengths of time need a unit:
`30m`, `90s`, `1h30m`, `7d`. Addresses with a password in them are masked wherever they are shown, are
refused as flags, and may stand in a file of their own: `ROLLCALL_NATS__URL_FILE=/run/secrets/nats-url`.
Relative paths begin at the current folder.

```toml
operator = "ann"

[timers]
ping_interval = "20m"
repeats = ["30m", "1h", "2h"]

[log]
level = "debug"
```
"""
_OTHERS: Final = """
## Variables of others

`NATS_URL`, `NATS_CREDS` and `XDG_STATE_HOME` are understood as everywhere; a `ROLLCALL_` variable goes
before them. Names of the system before this one are understood too, with a warning:

| variable | becomes |
|---|---|
"""


def page() -> str:
    """Return the page."""
    lines = [_INTRODUCTION]
    for section in dict.fromkeys(name.rpartition(".")[0] for name in KEYS):
        lines += [
            f"## {_heading(section)}\n",
            "| key | variable | default | allowed | meaning |",
            "|---|---|---|---|---|",
        ]
        lines += [_row(key) for name, key in KEYS.items() if name.rpartition(".")[0] == section]
        lines.append("")
    lines.append(_OTHERS.strip())
    lines += [f"| `{name}` | `{key}` |" for name, key in MINUTES.items()]
    lines.append("| `DATABASE_URL=sqlite:///…` | `store.url` |")
    lines.append("| `MAX_ESCALATION_ATTEMPTS` | so many `timers.repeats` |")
    lines += [f"| `{name}` | nothing: it {why} |" for name, why in UNUSED.items()]
    return "\n".join(lines) + "\n"


def _heading(section: str) -> str:
    if not section:
        return "Everything"
    found: Any = attrgetter(section)(Settings())
    summary = (type(found).__doc__ or "").strip().rstrip(".")
    return f"`[{section}]` {summary[:1].lower()}{summary[1:]}"


def _row(key: Key) -> str:
    default = text(key, key.default)
    cells = (
        f"`{key.name}`",
        f"`{variable(key.name)}`",
        f"`{default}`" if default else "",
        key.form,
        key.help,
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
