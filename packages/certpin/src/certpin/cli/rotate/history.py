"""``certpin rotate history``: print the journal of a rotation, one line for each event."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.candidates import complete_hosts
from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.options import json_option, pin_file_option
from certpin.cli.reply import fold, print_json, width_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from certpin.pins import HostPattern, Pin, PinSet
    from certpin.rotation import Event
    from certpin.rotation.journal import StepName

_SHORT = 16  # characters of a pin on a terminal: "sha256/" and 9 of the digest


@click.command()
@pin_file_option
@click.option(
    "--host",
    metavar="HOST",
    shell_complete=complete_hosts,
    help="Only the events of this host: a name of the pin file, or a host that a wildcard covers.",
)
@json_option
@click.pass_context
def history(ctx: click.Context, path: Path, host: str | None, as_json: bool) -> None:
    """Print the journal: who did what, and when.

    Use it to see how a rotation came to its present state. The newest event is last.

    It reads only the journal beside the pin file, so that it works with an invalid pin file too. A
    forced step has its reason, and an event that contradicts an earlier one is marked. On a
    terminal pins are shortened; a pipe and --json have them whole.

    \b
    certpin rotate history
    certpin rotate history --host api.bank.example --json

    Exit code 0: printed. 1: events contradict each other. 2: the journal is invalid, is missing
    together with the pin file, or is beside a link to the pin file.
    """  # noqa: D301  # click reads the \b itself
    from certpin.errors import ConfigError
    from certpin.rotation import journal_of, load_journal
    from certpin.rotation.history import contradicting

    journal = journal_of(path)
    known = load_journal(journal)
    marks: dict[int, list[str]] = {}
    for event, text in contradicting(known):
        marks.setdefault(id(event), []).append(text)
    shown = [event for event in known.events if host is None or _concerns(event, host)]
    texts = event_texts(known.events, _pin_name())
    if not known.events and not path.exists() and not journal.exists():
        raise ConfigError(
            f"there is neither {path} nor {journal} here",
            key="--file",
            fix="run it in the folder of the pin file, or name the file with --file",
        )
    rows = [(event, texts[id(event)], marks.get(id(event), [])) for event in shown]
    if as_json:
        print_json({"file": str(journal), "events": [_event_json(*row) for row in rows]})
    else:
        for event, text, contradictions in rows:
            _print_event(event, text, contradictions)
        if not rows:
            click.echo(f"{journal} has no event{'' if host is None else f' of {host}'}.")
    ctx.exit(PROBLEM_FOUND if any(found for *_, found in rows) else SUCCESS)


def event_texts(events: Sequence[Event], name: Callable[[Pin], str] = str) -> dict[int, str]:
    """Return a text about the effect of each event of the journal, by the event's ``id()``.

    A text is a clause without the time and the person.

    Args:
        events: all events of the journal, sorted by time, because a published version is compared
            with the previous version.
        name: returns the text for a pin, which may be shortened.
    """
    found: dict[int, str] = {}
    before: PinSet | None = None
    for event in events:
        found[id(event)] = _text(event, name, before)
        if event.step == "publish":
            before = event.pins
    return found


def _text(event: Event, name: Callable[[Pin], str], before: PinSet | None) -> str:
    """Return a clause about the effect of an event, with hostile text of the journal escaped.

    ``name`` returns the text for a pin. ``before`` is the pin set of the previous published
    version.
    """
    from certpin.rotation.journal import STATE_AFTER
    from certpin.support.text import printable

    pin = name(event.pin) if event.pin else ""
    note = f" ({printable(event.note)})" if event.note else ""
    server = printable(event.server)
    if event.step == "publish" and event.pins:
        return _published(event, name, before)
    if event.step == "unstage":
        return f"out of the draft again {pin}{note}"
    if event.step in STATE_AFTER:
        return f"{STATE_AFTER[event.step].upper()} {pin}{note}"
    if event.step == "observe":
        problem = f", not verified: {printable(event.problem)}" if event.problem else ""
        return f"{server} presents {pin or 'no certificate'}{problem}"
    texts: dict[StepName, str] = {
        "push": f"version {event.version} pushed: clients can fetch it",
        "ended": f"version {event.version} ended: no client holds it",
        "gone": f"server {server} is gone",
        "clock": f"the clock of {len(event.lines)} earlier entries was corrected",
    }
    return texts.get(event.step, f"{event.step} of version {event.version}{note}")


def _published(event: Event, name: Callable[[Pin], str], before: PinSet | None) -> str:
    """Return a clause about a published version: how clients get it, and its changes of pins.

    ``event`` is the journal entry of the version. ``name`` returns the text for a pin. ``before``
    is the pin set of the previous published version; None for the first, which adds all its pins.
    """
    way = "in a binary" if event.bundled else "signed, to be pushed" if event.signed else "fetched"
    held = "" if event.clients is None else f", {event.clients} clients"
    changes = [
        f"{policy.pattern}: {' '.join(found)}"
        for policy in (event.pins.policies if event.pins else ())
        if (found := _pin_changes(policy.pattern, event.pins, before, name))
    ]
    return "; ".join([f"version {event.version} published ({way}{held})", *changes])


def _pin_changes(
    pattern: HostPattern, after: PinSet | None, before: PinSet | None, name: Callable[[Pin], str]
) -> list[str]:
    """Return the pins of a host that a version adds (+) or drops (-) since the previous version.

    Only pins that clients accept are compared.

    Args:
        pattern: the host pattern.
        after: the pin set of the version; None if it has none.
        before: the pin set of the previous published version; None if there is none.
        name: returns the text for a pin.
    """

    def live(pins: PinSet | None) -> list[Pin]:
        found = pins.policies_at(pattern, after or before) if pins else ()
        return list(dict.fromkeys(pin for each in found if each for pin in each.live_pins))

    was, now = live(before), live(after)
    return [
        *(f"+{name(pin)}" for pin in now if pin not in was),
        *(f"-{name(pin)}" for pin in was if pin not in now),
    ]


def _concerns(event: Event, host: str) -> bool:
    """Return True if an event is about a host.

    An event without a host concerns all hosts; a published version concerns the hosts that it pins.
    """
    from certpin.pins import HostPattern

    wanted = HostPattern.parse(host)
    if event.pins is not None:
        return any(event.pins.policies_at(wanted))
    if not event.host:
        return True
    pattern = HostPattern.parse(event.host)
    return pattern == wanted or (not wanted.wildcard and pattern.matches(wanted.name))


def _pin_name() -> Callable[[Pin], str]:
    """Return a function that returns the text for a pin: short for a terminal, whole in a pipe."""
    return (lambda pin: f"{str(pin)[:_SHORT]}…") if width_of(sys.stdout) else str


def _print_event(event: Event, text: str, contradictions: Sequence[str]) -> None:
    from datetime import UTC

    from certpin.support.text import printable

    moment = f"{event.time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    host = f"{event.host}: " if event.host else ""
    line = f"{moment}  {printable(event.who)}  {host}{text}"
    if event.recorded:
        line += f" (recorded as {event.recorded.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC)"
    if event.reason:
        word = "reason" if event.step in {"gone", "clock"} else "forced"
        line += f", {word}: {printable(event.reason)}"
    click.echo(fold(line, sys.stdout))
    for contradiction in contradictions:
        marked = fold(f"  CONTRADICTION: {printable(contradiction)}", sys.stdout)
        click.secho(marked, fg="red", bold=True)


def _event_json(event: Event, text: str, contradictions: list[str]) -> dict[str, Any]:
    return {
        "time": event.time.isoformat(),
        "recorded": event.recorded.isoformat() if event.recorded else None,
        "who": event.who,
        "step": event.step,
        "host": event.host or None,
        "pin": str(event.pin) if event.pin else None,
        "version": event.version,
        "server": event.server or None,
        "clients": event.clients,
        "note": event.note or None,
        "reason": event.reason or None,
        "text": text,
        "contradictions": contradictions,
    }
