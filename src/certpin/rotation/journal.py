"""The journal."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from certpin.errors import ConfigError, FormatError, InputError, JournalError
from certpin.formats import FORMATS, Source
from certpin.formats.shape import Shape
from certpin.pins import HostPattern, Pin
from certpin.rotation.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from certpin.pins import PinSet, State


SCHEMA = "certpin-journal/1"
MAX_VERSION = 2**63 - 1  # as in the pin file
_LAST_YEAR = 9000  # T_adopt is added to what stands there, and dates have an end

StepName = Literal[
    "generate",
    "stage",
    "unstage",
    "publish",
    "push",
    "activate",
    "retire",
    "remove",
    "compromise",
    "ended",
]

# What each step makes of its pin.
STATE_AFTER: dict[StepName, State] = {
    "generate": "generated",
    "stage": "staged",
    "unstage": "generated",
    "activate": "active",
    "retire": "retiring",
    "remove": "removed",
    "compromise": "compromised",
}


@dataclass(frozen=True)
class Event:
    """A step. ``time`` has a time zone; ``reason`` is why it was forced, or empty.

    ``host``, a pattern, and ``pin`` belong to every step but ``publish``, ``push`` and ``ended``,
    which have a ``version``; a ``publish`` has the whole pin set and the delays of its clients.
    ``signed``: clients get it as a signed set, so that it is out with the ``push`` that follows.
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
    timing: Timing | None = None
    note: str = ""
    reason: str = ""
    pins: PinSet | None = None


def format_event(event: Event) -> str:
    """The event as one line, without its end. The same event makes the same line."""
    fields: dict[str, Any] = {
        "schema": SCHEMA,
        "time": event.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
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
        "pins": _snapshot(event.pins) if event.pins else None,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None})


def parse_event(line: str) -> Event:
    """Read one line. Raises ``InputError`` on whatever is no event."""
    shape = Shape.json(line)
    if shape.need("schema").text() != SCHEMA:
        raise FormatError(f"its schema is not {SCHEMA}", fix="use the certpin that wrote it")
    event = Event(
        time=_time(shape.need("time").text()),
        who=shape.need("who").text(),
        step=_step(shape.need("step").text()),
        host=_host(shape.get("host")),
        pin=Pin.parse(pin.text()) if (pin := shape.get("pin")) else None,
        version=_number(shape.get("version"), least=1),
        bundled=_flag(shape.get("bundled")),
        signed=_flag(shape.get("signed")),
        clients=_number(shape.get("clients"), least=0),
        timing=_timing(shape.get("timing")),
        note=_text(shape.get("note")),
        reason=_text(shape.get("reason")),
        pins=_pin_set(line) if shape.get("pins") else None,
    )
    _check(event)
    return event


def _check(event: Event) -> None:
    """A step without what it is about would say nothing, and be believed."""
    if event.step in STATE_AFTER and not (event.host and event.pin):
        raise FormatError(f"a step {event.step} needs a host and a pin")
    if event.step not in STATE_AFTER and event.version is None:
        raise FormatError(f"a step {event.step} needs a version")
    if event.step != "publish":
        return
    if event.pins is None:
        raise FormatError("a step publish needs its pins")
    if event.pins.version != event.version:
        raise FormatError("its version and that of its pins are not the same")


def _snapshot(pins: PinSet) -> Any:
    (file,) = FORMATS["json"].write(pins)
    return json.loads(file.text)


def _pin_set(line: str) -> PinSet:
    """The pin set of a publish, by the reader of the plain JSON format."""
    text = json.dumps(json.loads(line)["pins"])
    try:
        return FORMATS["json"].load(Source(text.encode(), _nothing_beside))
    except ConfigError as exc:
        raise FormatError(f"its pins must not be used: {exc.problem}") from exc


def _nothing_beside(path: str) -> bytes:
    raise FormatError(f"a journal has no file {path[:80]!r} beside it")


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None and moment.year <= _LAST_YEAR:
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


def _number(shape: Shape | None, *, least: int) -> int | None:
    if shape is None:
        return None
    if not least <= (number := shape.integer()) <= MAX_VERSION:
        raise FormatError(f"{shape.place} is a whole number from {least} on")
    return number


def _timing(shape: Shape | None) -> Timing | None:
    if shape is None:
        return None
    try:
        return Timing.parse({name: value.text() for name, value in shape.entries()})
    except FormatError:
        raise
    except InputError as exc:
        raise FormatError(f"{shape.place}: {exc.problem}", fix=exc.fix) from exc


def _text(shape: Shape | None) -> str:
    return shape.text() if shape else ""


SUFFIX = ".journal.jsonl"

# By how much the clocks of two machines that keep time may differ.
CLOCK_TOLERANCE = timedelta(minutes=5)
_FIRST = datetime.min.replace(tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)
_STEP_ORDER = {name: rank for rank, name in enumerate(get_args(StepName))}

# A line has a whole pin set in it: that of 100 000 hosts takes some 50 MB.
MAX_JOURNAL_BYTES = 256 * 1024 * 1024

_CONFLICT = ("<<<<<<<", "=======", ">>>>>>>", "|||||||")


def parse_journal(text: str, *, path: str | Path = "<text>") -> tuple[Event, ...]:
    """Every event, sorted by time, each once. Raises ``JournalError``, with the line."""
    # Only the line end of JSON lines: other separators may stand inside a string.
    events = [
        _parse(line, number, path)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    return in_order(events)


def in_order(events: Iterable[Event]) -> tuple[Event, ...]:
    """Return events by time, each once.

    Those of the same moment are in the order of a rotation, and of versions. No merge changes it.
    """
    lines = {format_event(event): event for event in events}

    def place(line: str) -> tuple[object, ...]:
        event = lines[line]
        return event.time, _STEP_ORDER[event.step], event.version or 0, line

    return tuple(lines[line] for line in sorted(lines, key=place))


def after(known: Sequence[Event], new: Sequence[Event]) -> Iterator[Event]:
    """Yield new events, each with a time after the one before and after those that are known.

    An event whose clock is more than ``CLOCK_TOLERANCE`` behind keeps its time: then one of the
    clocks is wrong, and that is not for the journal to hide.

    Args:
        known: the events of the journal, sorted by time.
        new: the events to append, in their order.
    """
    newest = known[-1].time if known else _FIRST
    earliest = max(newest, _FIRST + CLOCK_TOLERANCE) - CLOCK_TOLERANCE
    for event in new:
        late = earliest <= event.time <= newest
        dated = replace(event, time=newest + _INSTANT) if late else event
        newest = max(newest, dated.time)
        yield dated


def format_journal(events: Iterable[Event]) -> str:
    """The lines to append, each with its end."""
    return "".join(f"{format_event(event)}\n" for event in events)


def _parse(line: str, number: int, path: str | Path) -> Event:
    if line.startswith(_CONFLICT):
        raise JournalError(
            "git left a conflict there",
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
            fix=exc.fix or "take the line as it was committed: the journal is only appended to",
        ) from exc
