"""The journal: an append-only file of JSON lines beside ``pins.toml``, kept in version control.

Each line is an event: a step of a key rotation that a person took.

    schema, time, who, step, host, pin, version, bundled, signed, clients, timing, note, reason,
    pins, server, certificate, problem, lines, release (app, name, updates, curve, end, forced)

``schema`` is ``certpin-journal/1``. Empty fields are left out. Unknown fields are ignored, so that
an older certpin reads the journal of a newer one.

A merge may bring the lines of two people together in any order (git's ``merge=union``). Events are
sorted by time, and an event that is listed twice counts once. Contradictions are reported, not
repaired (``certpin.rotation.history``).

The events move pins through these states:

    GENERATED → STAGED → PUBLISHED → ADOPTED → ACTIVE ⇄ RETIRING → REMOVED
                                                      any state → COMPROMISED
                           any state before REMOVED → LOST → REMOVED

The pin of a key that was made is GENERATED. It is STAGED when the draft (the pin file) has it,
PUBLISHED when a published version has it, ADOPTED when every client accepts it, ACTIVE when servers
may use the key, and RETIRING when no server uses the key any more.

A STAGED pin may be taken out of the draft again. A backup that was never needed becomes REMOVED
without having been ACTIVE. ACTIVE and RETIRING go both ways: while clients accept the old key, a
server may return to it. The key of a LOST pin no longer exists: clients may still accept it, no
server can use it, and it is removed. REMOVED and COMPROMISED are final, except that a REMOVED key
may be found to be COMPROMISED. ADOPTED is never written to a file: it follows from the deployed
versions and the clock (``pin_state``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, get_args

from certpin.errors import ConfigError, FormatError, InputError, JournalError
from certpin.formats.json import from_json, to_json
from certpin.formats.parsed import Shape, timestamp
from certpin.pins import HostPattern, Pin, normalise
from certpin.pins.hosts import join_address, split_address
from certpin.rotation.releases import AppRelease, check_name, format_curve, parse_curve
from certpin.rotation.situation import CLOCK_TOLERANCE, AdoptionDelays, adoption
from certpin.support.text import CONFLICT_MARKERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from certpin.pins import PinSet, State
    from certpin.rotation.situation import Situation


# In the order of a rotation, for drawings.
LINE: tuple[State, ...] = (
    "generated",
    "staged",
    "published",
    "adopted",
    "active",
    "retiring",
    "removed",
)

TRANSITIONS: dict[State, frozenset[State]] = {
    "generated": frozenset({"staged", "lost", "compromised"}),
    "staged": frozenset({"generated", "published", "lost", "compromised"}),
    "published": frozenset({"adopted", "removed", "lost", "compromised"}),
    "adopted": frozenset({"active", "removed", "lost", "compromised"}),
    "active": frozenset({"retiring", "lost", "compromised"}),
    "retiring": frozenset({"active", "removed", "lost", "compromised"}),
    "lost": frozenset({"removed", "compromised"}),
    "removed": frozenset({"compromised"}),
    "compromised": frozenset(),
}

# The fix for an illegal transition, by the state that the user asked for.
_FIXES: dict[State, str] = {
    "generated": "it is in the draft, or published, already",
    "staged": "make a new key: a pin that was published can't return to the draft",
    "published": "put it into the pin file first: certpin rotate start",
    "adopted": "bring out its version first: certpin publish sign, or certpin rotate shipped",
    "active": "wait until it is ADOPTED: certpin rotate status prints the date",
    "retiring": "only a key that is ACTIVE can retire: certpin rotate switch makes it ACTIVE",
    "removed": "certpin rotate finish retires it first",
    "lost": "a key that was removed, or that an attacker may have, can't be lost any more",
    "compromised": "it is compromised already",
}


def may_follow(state: State, following: State) -> bool:
    """Return True if the change of a pin from ``state`` to ``following`` is legal."""
    return following in TRANSITIONS[state]


def require_transition(pin: Pin, state: State, following: State) -> None:
    """Require that the change of a pin from ``state`` to ``following`` is legal.

    ``pin`` is named in the error.

    Raises:
        ConfigError: the transition is illegal.
    """
    if not may_follow(state, following):
        raise ConfigError(
            f"{pin} is {state.upper()}, and cannot become {following.upper()}",
            key="state",
            fix=_FIXES[following],
        )


def pin_state(situation: Situation, pin: Pin) -> State:
    """Return the current state of a pin at the host of ``situation`` (the facts about one host).

    - A pin that the journal records as COMPROMISED or LOST has that state, even if the draft lists
      it as usable. A pin that the draft marks COMPROMISED at any host is COMPROMISED.
    - For any other pin in the draft (the pin file that would be published next), the draft gives
      the state. But the early states follow from the deployed versions: the pin is STAGED until the
      latest version accepts it, then PUBLISHED until every client accepts it, then ADOPTED. If no
      version that some client may hold has a policy for the host, the pin is STAGED, unless an
      earlier version had it.
    - For a pin that is not in the draft, the journal gives the state.
    - A pin that is neither in the draft nor in the journal is GENERATED.
    """
    entry = situation.entry(pin)
    if pin in situation.compromised:
        return "compromised"
    if pin in situation.lost and (entry is None or entry.usable):
        return "lost"
    declared = entry.state if entry else situation.past.states.get(pin, "generated")
    if entry is None or declared not in {"generated", "staged", "published", "adopted"}:
        return declared
    latest = situation.deployed.latest
    if latest is None or not situation.is_accepted_by(latest, pin):
        return "staged"
    if situation.is_unpinned and situation.past.states.get(pin) != "published":
        return "staged"
    return "adopted" if adoption(situation, pin).adopted else "published"


SCHEMA = "certpin-journal/1"
SUFFIX = ".journal.jsonl"
# A line may contain a whole pin set: one of 100,000 hosts takes about 50 MB.
MAX_JOURNAL_BYTES = 256 * 1024 * 1024
MAX_VERSION = 2**63 - 1  # as in the pin file

_MAX_YEAR = 9000  # T_adopt is added to these times, and dates end in the year 9999
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)

StepName = Literal[
    "generate",
    "stage",
    "unstage",
    "publish",
    "push",
    "activate",
    "retire",
    "remove",
    "lose",
    "compromise",
    "ended",
    "observe",
    "gone",
    "clock",
]
_STEP_ORDER = {name: rank for rank, name in enumerate(get_args(StepName))}

_OF_VERSIONS = {"publish", "push", "ended"}
_OF_SERVERS = {"observe", "gone"}

# The state of the pin after each step.
STATE_AFTER: dict[StepName, State] = {
    "generate": "generated",
    "stage": "staged",
    "unstage": "generated",
    "activate": "active",
    "retire": "retiring",
    "remove": "removed",
    "lose": "lost",
    "compromise": "compromised",
}


@dataclass(frozen=True)
class Event:
    """A step of a key rotation that a person took: one line of the journal.

    Attributes:
        time: when the step was taken, with a time zone.
        who: the person who took the step.
        step: the kind of step, such as ``stage``, ``publish`` or ``activate``.
        host: the host pattern of the step's policy. ``host`` and ``pin`` belong to every step of a
            key; ``publish``, ``push`` and ``ended`` have a ``version`` instead.
        bundled: True if the published version was built into an app's binary.
        signed: True if clients get the published version as a signed pin set. Then they can fetch
            it from the following ``push`` on.
        clients: how many clients are expected to hold the published version.
        timing: the delays of the clients, for a ``publish``.
        note: the place where the key is kept, as the person described it; for a ``push`` after the
            signatures had expired, a text that says so.
        reason: why the person forced a step that the safety rules refuse, recorded a server as
            gone, or corrected times; empty if no reason was given.
        pins: for a ``publish``, the whole pin set.
        server: for an ``observe``, the server that presented the key of ``pin``; for a ``gone``,
            the server that no longer exists.
        problem: why the chain of an observed server did not verify; empty if it did.
        lines: for a ``clock``, the journal entries with wrong times that it corrects, each as the
            SHA-256 of its line.
        digest: the SHA-256 of the line that the event was read from; empty for a new event.
        recorded: the time in that line, if a ``clock`` corrected ``time``; otherwise ``None``.
        release: the release of an app that has the published version in its binary.
        certificate: for an ``observe``, the pin of the server's leaf certificate (``cert-sha256``),
            which has the key of ``pin``; ``None`` if an older certpin wrote the line, or if the
            server sent no certificate.
    """

    time: datetime
    who: str
    step: StepName
    host: str = ""
    pin: Pin | None = None
    version: int | None = None
    bundled: bool = False
    signed: bool = False
    clients: int | None = None
    timing: AdoptionDelays | None = None
    note: str = ""
    reason: str = ""
    pins: PinSet | None = None
    server: str = ""
    problem: str = ""
    lines: tuple[str, ...] = ()
    digest: str = field(default="", compare=False, repr=False)
    recorded: datetime | None = field(default=None, compare=False)
    release: AppRelease | None = None
    certificate: Pin | None = None


def parse_journal(text: str, *, path: str | Path = "<text>") -> tuple[Event, ...]:
    """Read the text of a rotation journal.

    Returns:
        Every event once, sorted by time.

    Raises:
        JournalError: a line is not an event. The error has the number of the line.
    """
    # Split at "\n" only: a JSON string may contain other line separators.
    events = [
        _parse_line(line, number, path)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    return in_order(events)


def in_order(events: Iterable[Event]) -> tuple[Event, ...]:
    """Return the events sorted by time, without duplicates.

    Events with the same time are sorted by step, in the order in which a rotation takes its steps,
    then by version. So the result does not depend on how a journal was merged. Events that were
    corrected to the same time are sorted by their recorded times.
    """
    # Two events that were corrected to the same time may have the same line.
    found = {(event.recorded or event.time, format_event(event)): event for event in events}

    def sort_key(key: tuple[datetime, str]) -> tuple[object, ...]:
        recorded, line = key
        event = found[key]
        return event.time, recorded, _STEP_ORDER[event.step], event.version or 0, line

    return tuple(found[key] for key in sorted(found, key=sort_key))


def after(
    known: Sequence[Event], new: Sequence[Event], *, any_lag: bool = False
) -> Iterator[Event]:
    """Yield the new events with ascending times, each after the newest event before it.

    If an event is not later than the newest event, because two clocks differ a little, its time is
    raised. But a time that is more than ``CLOCK_TOLERANCE`` before the newest event is not raised:
    then one of the clocks is wrong, and the journal must show that.

    Args:
        known: the events of the journal, sorted by time.
        new: the events to append, in their order.
        any_lag: True to raise a time even if it is earlier by more than ``CLOCK_TOLERANCE``.
    """
    newest = known[-1].time if known else _EARLIEST
    earliest = _EARLIEST if any_lag else newest - min(CLOCK_TOLERANCE, newest - _EARLIEST)
    for event in new:
        late = earliest <= event.time <= newest
        dated = replace(event, time=newest + _INSTANT) if late else event
        newest = max(newest, dated.time)
        yield dated


def format_journal(events: Iterable[Event]) -> str:
    """Format events as the lines to append to a journal, each with its line end."""
    return "".join(f"{format_event(event)}\n" for event in events)


def format_event(event: Event) -> str:
    """Format an event as one line of a journal, without its line end.

    Equal events give equal lines.
    """
    fields: dict[str, Any] = {
        "schema": SCHEMA,
        "time": timestamp(event.time),
        "who": event.who,
        "step": event.step,
        "host": event.host or None,
        "pin": str(event.pin) if event.pin else None,
        "version": event.version,
        "bundled": event.bundled or None,
        "signed": event.signed or None,
        "clients": event.clients,
        "timing": event.timing.texts() if event.timing else None,
        "note": event.note or None,
        "reason": event.reason or None,
        "pins": to_json(event.pins, trust_once=True) if event.pins else None,
        "server": event.server or None,
        "certificate": str(event.certificate) if event.certificate else None,
        "problem": event.problem or None,
        "lines": list(event.lines) or None,
        "release": _release_fields(event.release) if event.release else None,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None})


def parse_event(line: str) -> Event:
    """Read one line of a journal.

    Raises:
        InputError: the line is not an event, or lacks a field that its step needs.
    """
    shape = Shape.json(line)
    if shape.need("schema").text() != SCHEMA:
        raise FormatError(f"its schema is not {SCHEMA}", fix="use the certpin that wrote it")
    event = Event(
        time=_time(shape.need("time").text()),
        who=shape.need("who").text(),
        step=_step(shape.need("step").text()),
        host=_host(shape.get("host")),
        pin=_pin(shape.get("pin")),
        version=_number(shape.get("version"), minimum=1),
        bundled=_flag(shape.get("bundled")),
        signed=_flag(shape.get("signed")),
        clients=_number(shape.get("clients"), minimum=0),
        timing=_timing(shape.get("timing")),
        note=_text(shape.get("note")),
        reason=_text(shape.get("reason")),
        pins=_pin_set(pins) if (pins := shape.get("pins")) else None,
        server=_server(server) if (server := shape.get("server")) else "",
        certificate=_pin(shape.get("certificate")),
        problem=_text(shape.get("problem")),
        lines=_digests(shape.get("lines")),
        digest=sha256(line.strip().encode("utf-8", "surrogatepass")).hexdigest(),
    )
    if release := shape.get("release"):
        event = replace(event, release=_release(release, event))
    _check(event)
    return event


def _parse_line(line: str, number: int, path: str | Path) -> Event:
    if line.startswith(CONFLICT_MARKERS):
        raise JournalError(
            "the line is a conflict marker of git",
            path=path,
            line=number,
            fix="keep the lines of both sides, in any order, and delete git's markers",
        )
    try:
        return parse_event(line)
    except InputError as exc:
        raise JournalError(
            exc.problem,
            path=path,
            line=number,
            fix=exc.fix or "restore the line as it was committed: the journal is append-only",
        ) from exc


def _check(event: Event) -> None:
    """Raise ``FormatError`` if an event lacks a field that its step needs, or has a wrong one.

    Without this check, an event without its host, pin or version would be ignored silently.
    """
    if event.step in STATE_AFTER and not (event.host and event.pin):
        raise FormatError(f"a step {event.step} needs a host and a pin")
    if event.step in _OF_SERVERS and not (event.host and event.server):
        raise FormatError(f"a step {event.step} needs a host and a server")
    _check_certificate(event)
    if event.step == "clock" and not event.lines:
        raise FormatError("a step clock needs the lines that it corrects")
    if event.step in _OF_VERSIONS and event.version is None:
        raise FormatError(f"a step {event.step} needs a version")
    if event.release and not (event.step == "publish" and event.bundled):
        raise FormatError("only a publish of a version in a binary has a release")
    if event.step == "publish" and event.pins is None:
        raise FormatError("a step publish needs its pins")
    if event.step == "publish" and event.pins and event.pins.version != event.version:
        raise FormatError("its version and that of its pins are not the same")


def _check_certificate(event: Event) -> None:
    """Raise ``FormatError`` if an event has a certificate, and is no observation of its key."""
    if event.certificate is None:
        return
    kinds = event.pin and event.pin.kind, event.certificate.kind
    if event.step != "observe" or kinds != ("sha256", "cert-sha256"):
        raise FormatError("only an observe has a certificate: cert-sha256/…, with the pin of a key")


def _pin(shape: Shape | None) -> Pin | None:
    return Pin.parse(shape.text()) if shape else None


def _pin_set(pins: Shape) -> PinSet:
    """Read the pin set of a publish event from certpin's plain JSON format."""
    try:
        return from_json(pins)
    except ConfigError as exc:
        raise FormatError(f"its pins must not be used: {exc.problem}") from exc


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None and moment.year <= _MAX_YEAR:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise FormatError(f"{text[:40]!r} is not a time", fix="write it as 2027-06-01T12:00:00Z")


def _step(text: str) -> StepName:
    for step in get_args(StepName):
        if text == step:
            found: StepName = step
            return found
    raise FormatError(f"{text[:40]!r} is not a step", fix=f"one of {', '.join(get_args(StepName))}")


def _host(shape: Shape | None) -> str:
    return str(HostPattern.parse(shape.text())) if shape else ""


def _flag(shape: Shape | None) -> bool:
    return shape.flag() if shape else False


def _number(shape: Shape | None, *, minimum: int) -> int | None:
    if shape is None:
        return None
    if not minimum <= (number := shape.integer()) <= MAX_VERSION:
        raise FormatError(f"{shape.place} must be a whole number from {minimum} to {MAX_VERSION}")
    return number


def _timing(shape: Shape | None) -> AdoptionDelays | None:
    if shape is None:
        return None
    try:
        return AdoptionDelays.parse({name: value.text() for name, value in shape.entries()})
    except FormatError:
        raise
    except InputError as exc:
        raise FormatError(f"{shape.place}: {exc.problem}", fix=exc.fix) from exc


def _server(shape: Shape) -> str:
    """Read the name of a server, such as ``api.bank.example:443``, and normalise it.

    A port is required.
    """
    name, _, address = shape.text().rpartition(" at ")
    host, port = split_address(address, 0)
    if not port:
        raise FormatError(f"{shape.place} has no port", fix="write it as api.bank.example:443")
    joined = join_address(host, port)
    return f"{normalise(name)} at {joined}" if name else joined


def _digests(shape: Shape | None) -> tuple[str, ...]:
    """Read a list of SHA-256 digests, each as 64 hexadecimal digits.

    ``shape`` is the value of the JSON field; the result is empty if the field is missing.
    """
    found = tuple(each.text() for each in shape.items()) if shape else ()
    if not all(map(_DIGEST.fullmatch, found)):
        raise FormatError("its lines must be SHA-256 digests", fix="64 hexadecimal digits each")
    return found


def _release_fields(release: AppRelease) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "app": release.app,
        "name": release.name,
        "updates": release.updates or None,
        "curve": format_curve(release.curve) if release.curve else None,
        "end": timestamp(release.end) if release.end else None,
        "forced": timestamp(release.forced) if release.forced else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _release(shape: Shape, event: Event) -> AppRelease:
    """Read the release of an app from a journal entry. Its ``shipped`` is the time of the event."""
    end, forced, curve = (shape.get(name) for name in ("end", "forced", "curve"))
    try:
        return AppRelease(
            check_name(shape.need("app").text(), "an app"),
            check_name(shape.need("name").text(), "a release"),
            event.time,
            updates=_flag(shape.get("updates")),
            curve=parse_curve(curve.text()) if curve else (),
            end=_time(end.text()) if end else None,
            forced=_time(forced.text()) if forced else None,
            clients=event.clients,
        )
    except FormatError:
        raise
    except InputError as exc:
        raise FormatError(f"{shape.place}: {exc.problem}", fix=exc.fix) from exc


def _text(shape: Shape | None) -> str:
    return shape.text() if shape else ""
