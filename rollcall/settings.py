"""What can be configured: one tree, every value with its help, its limits and its default."""

from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from domain.addresses import PORTS
from domain.deliveries import Patience
from domain.timers import Timers as Clocks
from rollcall.settings_notify import Notify
from rollcall.settings_values import (
    SERVICES,
    Duration,
    Durations,
    Factor,
    Host,
    HostNames,
    HttpToken,
    Name,
    Names,
    NatsUrl,
    Networks,
    Ports,
    Rate,
    Root,
    StoreUrl,
    WebUrl,
)

_USUAL: Final = Clocks()  # the clocks' defaults are the house's, written once
_PATIENCE: Final = Patience()


def _plain(name: str) -> str:
    return name.removesuffix("_us")


def is_local(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    return host in {"127.0.0.1", "::1", "localhost"}


class Tls(Struct, frozen=True, kw_only=True):
    """Whom to trust on the bus."""

    ca: Annotated[
        Path | None,
        Meta(description="File with the authorities that may vouch for the bus. Unset: those of the system."),
    ] = None
    certificate: Annotated[
        Path | None, Meta(description="File with our certificate, where the bus asks for one.")
    ] = None
    key: Annotated[Path | None, Meta(description="File with the key of that certificate.")] = None


class Nats(Struct, frozen=True, kw_only=True):
    """How to reach the bus."""

    url: Annotated[
        NatsUrl, Meta(description="Address of the bus. Empty: the one that `rollcall up` runs.")
    ] = ""
    creds: Annotated[Path | None, Meta(description="File with the credentials for the bus.")] = None
    open: Annotated[
        bool,
        Meta(description="`rollcall up` lets in everybody who reaches its bus. For what is thrown away."),
    ] = False
    host: Annotated[
        Host,
        Meta(
            description="Where the bus of `rollcall up` listens. Beyond this machine only with a certificate."
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65_535, description="Its port; 0 takes one that is free, the same each time.")
    ] = 0
    certificate: Annotated[Path | None, Meta(description="File with the TLS certificate of that bus.")] = None
    key: Annotated[Path | None, Meta(description="File with the key of that certificate.")] = None
    tls: Tls = Tls()


class Store(Struct, frozen=True, kw_only=True):
    """Where the truth is kept."""

    url: Annotated[
        StoreUrl, Meta(description="Address of the store. Empty: `rollcall.db` in the state folder.")
    ] = ""


class Timers(Struct, frozen=True, kw_only=True, rename=_plain):
    """The clocks of every promise."""

    scale: Annotated[
        Factor, Meta(description="All clocks of promises times this: 0.01 makes 30 minutes 18 seconds.")
    ] = 1.0
    ping_first_us: Annotated[Duration, Meta(description="From the first ping to the second.")] = (
        _USUAL.ping_first_us
    )
    ping_interval_us: Annotated[
        Duration, Meta(description="Between later pings, where the task says nothing else.")
    ] = _USUAL.ping_interval_us
    accept_sub_us: Annotated[
        Duration, Meta(description="How long an agent may take to accept an assignment.")
    ] = _USUAL.accept_sub_us
    accept_main_us: Annotated[Duration, Meta(description="The same for the main agent.")] = (
        _USUAL.accept_main_us
    )
    warn_us: Annotated[
        Duration, Meta(description="Accepted, but no progress for so long: pings start again.")
    ] = _USUAL.warn_us
    act_us: Annotated[
        Duration, Meta(description="Accepted, but no progress for so long: the task moves on.")
    ] = _USUAL.act_us
    defer_us: Annotated[
        Duration, Meta(description="How much longer an agent gets, once, by saying that it is still there.")
    ] = _USUAL.defer_us
    wait_limit_us: Annotated[Duration, Meta(description="How long an agent may wait that names no time.")] = (
        _USUAL.wait_limit_us
    )
    wait_grace_us: Annotated[Duration, Meta(description="How long after the time it named.")] = (
        _USUAL.wait_grace_us
    )
    backoff_us: Annotated[
        Duration,
        Meta(description="How soon a rate limit without a stated end is tried; twice as long each time."),
    ] = _USUAL.backoff_us
    backoff_max_us: Annotated[Duration, Meta(description="The longest of these pauses.")] = (
        _USUAL.backoff_max_us
    )
    jitter_max_us: Annotated[
        Duration,
        Meta(description="How much longer, by lot, a wait for a rate limit may be: a tenth, at most this."),
    ] = _USUAL.jitter_max_us
    resume_min_us: Annotated[
        Duration, Meta(description="The least that a clock has left after a snooze or a wait.")
    ] = _USUAL.resume_min_us
    repeats_us: Annotated[
        Durations, Meta(description="When the main agent is pinged again after it missed a clock.")
    ] = _USUAL.repeats_us
    unassigned_alarm_us: Annotated[
        Duration, Meta(description="A task without an agent for so long raises an alarm.")
    ] = _USUAL.unassigned_alarm_us
    assign_retry_us: Annotated[
        Duration, Meta(description="How soon a task that found nobody is tried again.")
    ] = _USUAL.assign_retry_us


class Limits(Struct, frozen=True, kw_only=True):
    """How much at once."""

    batch: Annotated[
        int, Meta(ge=1, le=10_000, description="Messages and due rows that one transaction takes at most.")
    ] = 500
    pings_per_second: Annotated[
        Rate, Meta(description="Pings that one process sends at most, also after an outage.")
    ] = 2_000
    steps_per_second: Annotated[
        Rate, Meta(description="Escalation steps that one process takes at most.")
    ] = 200


class MainAgent(Struct, frozen=True, kw_only=True):
    """Who is asked when nobody else answers."""

    name: Annotated[Name, Meta(description="Its name; it is made with the store.")] = "Ruto"
    capacity: Annotated[int, Meta(ge=1, le=10_000, description="How many tasks it holds at once.")] = 10


class Monitor(Struct, frozen=True, kw_only=True, rename=_plain):
    """Who is there."""

    beat_misses: Annotated[
        int, Meta(ge=1, le=100, description="Beats missed in a row that make an agent suspect.")
    ] = _USUAL.beat_misses
    machine_misses: Annotated[
        int, Meta(ge=1, le=100, description="Beats missed in a row that make a machine lost.")
    ] = _USUAL.machine_misses
    grace_us: Annotated[
        Duration, Meta(description="How long a suspect may be silent before it counts as dead.")
    ] = _USUAL.grace_us
    release_us: Annotated[
        Duration, Meta(description="How long the dead keep their work, in case they come back.")
    ] = _USUAL.release_us
    hide_us: Annotated[
        Duration, Meta(description="How long after that the dead are listed; they are never deleted.")
    ] = _USUAL.hide_us
    brake_window_us: Annotated[
        Duration, Meta(description="Agents that fall silent so near to each other count as one mishap.")
    ] = _USUAL.brake_window_us
    brake_us: Annotated[
        Duration, Meta(description="How long a mishap may keep deaths from being declared.")
    ] = _USUAL.brake_us
    brake_pace_us: Annotated[Duration, Meta(description="Between two deaths when that is over.")] = (
        _USUAL.brake_pace_us
    )


class Services(Struct, frozen=True, kw_only=True):
    """What should run."""

    expected: Annotated[
        Names, Meta(description="What does not run of these is an alarm, wherever it was meant to run.")
    ] = SERVICES


class Watch(Struct, frozen=True, kw_only=True, rename=_plain):
    """Who notices when Rollcall itself goes quiet."""

    deadman_url: Annotated[
        WebUrl,
        Meta(description="Called after each round in which all is well. Empty: nobody is."),
    ] = ""
    deadman_every_us: Annotated[Duration, Meta(description="From one call to the next.")] = 60_000_000


class Retention(Struct, frozen=True, kw_only=True, rename=_plain):
    """What is kept for how long."""

    commands_us: Annotated[
        Duration,
        Meta(description="Command ids with their answers: a command sent again later counts as new."),
    ] = 86_400_000_000
    pings_us: Annotated[
        Duration, Meta(description="The history of pings; that of an open assignment stays.")
    ] = 2_592_000_000_000
    audit_us: Annotated[
        Duration, Meta(description="The audit, from which events are refilled; by age alone.")
    ] = 31_536_000_000_000
    notifications_us: Annotated[
        Duration, Meta(description="What people were told, and the messages that were sent.")
    ] = 2_592_000_000_000
    intake_us: Annotated[
        Duration, Meta(description="What was said in plain words, and what became of it.")
    ] = 2_592_000_000_000


class Intake(Struct, frozen=True, kw_only=True):
    """What is said in plain words."""

    messages_per_minute: Annotated[
        Rate, Meta(description="Messages of one sender that are taken in a minute; more are refused.")
    ] = 60
    tasks_per_minute: Annotated[
        Rate, Meta(description="Tasks that are made or changed for one sender in a minute.")
    ] = 5
    tasks_per_hour: Annotated[Rate, Meta(description="The same for all senders in an hour.")] = 200


class Http(Struct, frozen=True, kw_only=True):
    """The door for what has no client of the bus."""

    host: Annotated[
        Host, Meta(description="Where it listens. Beyond this machine only with a certificate.")
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="Its port; 0 takes any that is free.")] = 7_466
    names: Annotated[
        HostNames, Meta(description="Names under which it may be asked, beside localhost; with commas.")
    ] = ""
    proxies: Annotated[
        HostNames,
        Meta(description="Addresses of the proxies before it: what they say of a caller's address counts."),
    ] = ""
    certificate: Annotated[Path | None, Meta(description="File with its TLS certificate.")] = None
    key: Annotated[Path | None, Meta(description="File with the key of the certificate.")] = None
    per_minute: Annotated[
        Rate, Meta(description="Requests that one caller may send in a minute; an address ten times as many.")
    ] = 6_000
    streams: Annotated[
        int, Meta(ge=1, le=2_000, description="Streams of events that one token or session may have open.")
    ] = 50
    token: Annotated[
        HttpToken, Meta(description="A token of scope admin, beside those of `rollcall token`. Empty: none.")
    ] = ""

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return is_local(self.host)


class Webhooks(Struct, frozen=True, kw_only=True, rename=_plain):
    """Pings to agents that are told over HTTP."""

    allow: Annotated[
        Networks, Meta(description="Networks of one's own that they may be in, beside all that is public.")
    ] = ()
    http: Annotated[bool, Meta(description="Whether http is allowed too: what is sent can be read.")] = False
    ports: Annotated[Ports, Meta(description="The ports that they may listen on.")] = PORTS
    tries: Annotated[
        int,
        Meta(ge=1, le=100, description="A ping that failed so often goes to nobody: the policy's next step."),
    ] = _PATIENCE.tries
    retry_us: Annotated[
        Duration, Meta(description="From the first try to the second; twice as long after each, at most 5m.")
    ] = _PATIENCE.retry_us


class Log(Struct, frozen=True, kw_only=True):
    """What is written to standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least that is written.")
    ] = "info"
    format: Annotated[
        Literal["auto", "json", "console"], Meta(description="`auto`: for people on a terminal, else JSON.")
    ] = "auto"


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that can be configured."""

    root: Annotated[Root, Meta(description="What every subject begins with.")] = "rollcall.v1"
    state_dir: Annotated[Path, Meta(description="Where the store, the bus and their address are kept.")] = (
        Path("~/.local/state/rollcall")
    )
    durability: Annotated[
        Literal["full", "relaxed"],
        Meta(description="`full` survives a power cut; `relaxed` only the end of a process."),
    ] = "full"
    agent: Annotated[Name | None, Meta(description="Who the agent verbs (`ack`, `next`, ...) speak for.")] = (
        None
    )
    operator: Annotated[
        Name | None, Meta(description="Who the other verbs speak for. Unset: the user of the system.")
    ] = None
    nats: Nats = Nats()
    store: Store = Store()
    timers: Timers = Timers()
    limits: Limits = Limits()
    main_agent: MainAgent = MainAgent()
    monitor: Monitor = Monitor()
    services: Services = Services()
    watch: Watch = Watch()
    retention: Retention = Retention()
    intake: Intake = Intake()
    http: Http = Http()
    webhooks: Webhooks = Webhooks()
    notify: Notify = Notify()
    log: Log = Log()

    @property
    def url_file(self) -> Path:
        """Where `rollcall up` leaves the address of its bus."""
        return self.state_dir / "nats.url"

    @property
    def identity_dir(self) -> Path:
        """Where `rollcall up` keeps its keys."""
        return self.state_dir / "identity"

    @property
    def doors_dir(self) -> Path:
        """Where `rollcall up` has the sockets of the agents."""
        return self.state_dir / "agents"

    @property
    def http_file(self) -> Path:
        """Where the gateway leaves its address."""
        return self.state_dir / "http.url"

    @property
    def store_path(self) -> Path:
        """The file of the SQLite store."""
        named = self.store.url.removeprefix("sqlite:///")
        return Path(named).expanduser() if named else self.state_dir / "rollcall.db"
