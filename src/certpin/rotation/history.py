"""From the events of a journal to what they mean: the field, the past of each pin, the delays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from certpin.errors import JournalError
from certpin.pins import HostPattern
from certpin.pins.meaning import meaning
from certpin.rotation.adoption import Field, Past, Version, policy_in
from certpin.rotation.journal import MAX_JOURNAL_BYTES, STATE_AFTER, SUFFIX, StepName, parse_journal
from certpin.rotation.states import may_follow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from certpin.pins import Pin, State
    from certpin.rotation.journal import Event
    from certpin.rotation.timing import Timing

# A publish is what makes a pin PUBLISHED; the other states of a pin set were declared before.
_ON_THE_WAY = {"generated", "staged"}

_OF_KNOWN: dict[StepName, str] = {
    "ended": "has ended, which never went out",
    "push": "was pushed, which was never published",
}


@dataclass(frozen=True)
class History:
    """The events of a journal, in their order."""

    events: tuple[Event, ...] = ()

    @property
    def field(self) -> Field:
        """Every version that went out, as far as the journal knows."""
        versions: list[Version] = []
        for event in self.events:
            if event.step == "publish":
                _publish(versions, event)
            elif event.step == "push":
                _push(versions, event)
            elif event.step == "ended":
                _end(versions, event)
        return Field(tuple(versions))

    @property
    def signed(self) -> bool:
        """Whether the last version to be fetched went out as a signed set."""
        fetched = (each for each in reversed(self.events) if each.step == "publish")
        return next((each.signed for each in fetched if not each.bundled), False)

    @property
    def signed_versions(self) -> frozenset[int]:
        """The versions that were published as signed sets."""
        signed = (each for each in self.events if each.step == "publish" and each.signed)
        return frozenset(each.version for each in signed if each.version is not None)

    @property
    def timing(self) -> Timing | None:
        """The delays that were promised last; ``None`` where none ever were."""
        return next((each.timing for each in reversed(self.events) if each.timing), None)

    def past(self, pattern: HostPattern) -> Past:
        """What became of the pins of a host.

        A key that is COMPROMISED at one host is so at all: it is the same key.
        """
        states: dict[Pin, State] = {}
        for pin, state, _ in _states(self.events, pattern):
            if states.get(pin) != "compromised":
                states[pin] = state
        vouched = {"generate", "stage"}
        known = {each.pin for each in self.events if each.pin and each.step in vouched}
        return Past(states, frozenset(known), frozenset(_compromised(self.events)))

    def since(self, pattern: HostPattern, pin: Pin) -> dict[State, datetime]:
        """When a pin came into each of its states, the last time."""
        moments: dict[State, datetime] = {}
        before: State | None = None
        for each, state, event in _states(self.events, pattern):
            if each == pin and state != before:
                moments[state] = event.time
                before = state
        return moments


def contradictions(history: History) -> tuple[str, ...]:
    """What cannot all be true, as sentences without full stops. Whoever merged has to look."""
    return tuple(dict.fromkeys([*_of_versions(history.events), *_of_pins(history.events)]))


def _publish(versions: list[Version], event: Event) -> None:
    """Add a version, or say more of one that means the same."""
    assert event.pins is not None  # noqa: S101  # an event is checked when it is read
    new = Version(
        event.pins,
        fetched=None if event.bundled else event.time,
        bundled=event.time if event.bundled else None,
        clients=event.clients,
        waiting=event.signed and not event.bundled,
    )
    for at, known in enumerate(versions):
        if known.number == event.version and meaning(known.pins) == meaning(event.pins):
            versions[at] = _both(known, new)
            return
    versions.append(new)


def _both(known: Version, again: Version) -> Version:
    """One version that went out on two ways, or once more: it is out again, if it had ended."""
    return replace(
        known,
        fetched=known.fetched or again.fetched,
        bundled=known.bundled or again.bundled,
        clients=known.clients if again.clients is None else again.clients,
        ended=None,
        waiting=_waiting(known, again),
    )


def _waiting(known: Version, again: Version) -> bool:
    """Whether none of the ways to fetch it is open yet."""
    ways = [each.waiting for each in (known, again) if each.fetched is not None]
    return bool(ways) and all(ways)


def _push(versions: list[Version], event: Event) -> None:
    """It is out from now on, and not since somebody meant to publish it."""
    for at, known in enumerate(versions):
        if known.number == event.version and known.waiting:
            versions[at] = replace(known, fetched=event.time, waiting=False)


def _end(versions: list[Version], event: Event) -> None:
    for at, known in enumerate(versions):
        if known.number == event.version:
            versions[at] = replace(known, ended=event.time)


def _states(events: Sequence[Event], pattern: HostPattern) -> Iterator[tuple[Pin, State, Event]]:
    for event in events:
        if event.step == "publish" and event.pins:
            policy = policy_in(event.pins, pattern)
            for entry in policy.pins if policy else ():
                state = "published" if entry.state in _ON_THE_WAY else entry.state
                yield entry.pin, state, event
        elif event.pin and event.host == str(pattern) and event.step in STATE_AFTER:
            yield event.pin, STATE_AFTER[event.step], event


def _compromised(events: Sequence[Event]) -> Iterator[Pin]:
    for event in events:
        if event.step == "compromise" and event.pin:
            yield event.pin
        for policy in event.pins.policies if event.pins else ():
            yield from (each.pin for each in policy.pins if each.state == "compromised")


def _of_versions(events: Sequence[Event]) -> Iterator[str]:
    out: dict[int, Event] = {}
    for event in events:
        number = event.version
        if event.step in _OF_KNOWN and number is not None and number not in out:
            yield f"{event.who} says that version {number} {_OF_KNOWN[event.step]}"
        if event.step != "publish" or number is None or event.pins is None:
            continue
        before = out.setdefault(number, event)
        assert before.pins is not None  # noqa: S101  # as above
        if meaning(before.pins) != meaning(event.pins):
            yield (
                f"version {number} went out twice, and not the same: "
                f"by {before.who} and by {event.who}; publish one more, with what both meant"
            )
        elif before is event and number < max(out):
            yield f"{event.who} published version {number} after {max(out)}: no client goes back"


def _of_pins(events: Sequence[Event]) -> Iterator[str]:
    patterns = {event.host for event in events if event.host}
    for pattern in sorted(patterns):
        last: dict[Pin, tuple[State, Event]] = {}
        for pin, state, event in _states(events, HostPattern.parse(pattern)):
            before, _ = last.get(pin, (state, event))
            if not _follows(before, state):
                yield (
                    f"{pattern}: {event.who} made {pin} {state.upper()}, "
                    f"and it was {before.upper()}"
                )
            last[pin] = state, event


def _follows(before: State, state: State) -> bool:
    """Whether a journal may say so. ADOPTED is never written: a PUBLISHED pin may be it."""
    if before == state or may_follow(before, state):
        return True
    return before == "published" and state == "active"


def journal_beside(pin_file: Path) -> Path:
    """Where the journal of a pin file lies."""
    return pin_file.with_name(pin_file.stem + SUFFIX)


def load_journal(path: Path) -> History:
    """What a journal says; one that is not there yet says nothing. Raises ``JournalError``."""
    return History(parse_journal(_read(path), path=path))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_JOURNAL_BYTES + 1)
    except FileNotFoundError:
        return ""
    except OSError as exc:
        raise JournalError(f"it cannot be read: {exc.strerror or exc}", path=path) from exc
    if len(data) > MAX_JOURNAL_BYTES:
        raise JournalError(f"it has more than {MAX_JOURNAL_BYTES} bytes", path=path)
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise JournalError("it is not UTF-8 text", path=path, line=line) from exc
