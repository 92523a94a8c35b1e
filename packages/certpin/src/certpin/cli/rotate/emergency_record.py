"""Record in the journal that a key was stolen or lost, and at which hosts it is used.

Nothing here needs a valid pin file or a server, because the record comes first.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from certpin.cli.named_key import policies_of_name, resolve_key
from certpin.cli.options import PASSPHRASE_VARIABLE
from certpin.cli.reply import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from certpin.cli.named_key import KeyReference
    from certpin.pins import Pin, PinSet
    from certpin.rotation import Event, History, Situation
    from certpin.rotation.emergency import Fact
    from certpin.rotation.journal import StepName

_LOCK_WAIT = 10.0  # seconds


def missing_key(path: Path) -> click.UsageError:
    """Return the error for a command without a key. It lists the pins of the pin file."""
    lines = "".join(f"\n  {host}: {pin}" for host, pin in _pins_of_hosts(path))
    listed = f". The pins of {path}:{lines}" if lines else ""
    return click.UsageError(
        "NOT recorded: name the key that was stolen or lost, by its file, its certificate or its "
        f"pin{listed}"
    )


def named_key(key: str, path: Path) -> KeyReference:
    """Return the stolen or lost key that the user named by a pin, a file or a URI.

    Raises:
        ConfigError: the text names no key. The error lists the pins of the pin file.
    """
    from certpin.errors import CertpinError, ConfigError

    try:
        return resolve_key(key)
    except CertpinError as exc:
        if getattr(exc, "key", "") == PASSPHRASE_VARIABLE:
            raise ConfigError(
                f"NOT recorded: {getattr(exc, 'problem', exc)}", key="KEY", fix=exc.fix
            ) from exc
        known = dict.fromkeys(pin for _, pin in _pins_of_hosts(path))
        listed = f"; the pins of {path}: {', '.join(known)}" if known else ""
        raise ConfigError(
            f"NOT recorded: {getattr(exc, 'problem', exc)}",
            key="KEY",
            fix=f"if the file is gone, give the pin of the key{listed}",
        ) from exc


def _pins_of_hosts(path: Path) -> list[tuple[str, str]]:
    """Return the pins of the pin file, each as its host pattern and a text with role and note.

    The list is empty if the pin file can't be loaded.
    """
    from certpin.support.text import printable

    pins = load_pins(path)
    return [
        (
            str(policy.pattern),
            f"{entry.pin} ({entry.role}{', ' + printable(entry.note) if entry.note else ''})",
        )
        for policy in (pins.policies if pins else ())
        for entry in policy.pins
    ]


def load_pins(path: Path) -> PinSet | None:
    """Return the pin set of the pin file; None if it can't be loaded."""
    from certpin.errors import CertpinError
    from certpin.pinfile import PinSet

    try:
        return PinSet.load(path)
    except CertpinError:
        return None


def affected_hosts(
    path: Path,
    pins: PinSet | None,
    history: History,
    key: KeyReference,
    hosts: Sequence[str],
) -> list[str]:
    """Return the host patterns for which the theft or loss of a key is recorded.

    The first of these rules that gives a host is used:

    1. the hosts of ``--host``;
    2. the hosts that have the key in the pin file, in a published version or in the journal;
    3. the hosts of the pin file that the key's certificate names;
    4. all hosts of the pin file and of the published versions;
    5. the first name in the certificate.

    Args:
        path: the path of the pin file.
        pins: the pin file; None if it can't be loaded.
        history: the journal.
        key: the stolen or lost key.
        hosts: the values of ``--host``.

    Raises:
        click.UsageError: a value of ``--host`` is not a known host, which is checked only if the
            pin file can be loaded; or no rule gives a host; or there is neither a pin file nor a
            journal, so that it is the wrong folder.
    """
    from certpin.pins import HostPattern
    from certpin.pins.hosts import split_address
    from certpin.rotation.situation import with_same_keys

    known = [*([pins] if pins else []), *(each.pins for each in history.deployed.versions)]
    if not path.exists() and not history.events:  # a journal here would be the wrong one
        raise click.UsageError(
            f"NOT recorded: there is no {path} here, and no journal. Run it in the folder of the "
            "pin file, or name the file with --file"
        )
    if hosts:
        named = list(dict.fromkeys(_pattern(host, pins) for host in hosts))
        if pins is not None:
            _require_hosts(path, named, known, history)
        return named
    policies = [policy for each in known for policy in each.policies]
    own = with_same_keys(key.pins, history.same_keys)
    holding = [
        str(policy.pattern) for policy in policies if any(entry.pin in own for entry in policy.pins)
    ]
    recorded = [event.host for event in history.events if event.pin in own and event.host]
    certified = [
        str(policy.pattern)
        for name in key.names
        for policy in (policies_of_name(name, pins) if pins else ())
    ]
    everything = [str(policy.pattern) for policy in policies]
    found = [*holding, *recorded] or certified or everything
    if not found and key.names:
        found = [str(HostPattern.parse(split_address(name, 0)[0])) for name in key.names[:1]]
    if not found:
        raise click.UsageError("no host is known, so nothing is recorded: name it, with --host")
    return list(dict.fromkeys(found))


def _require_hosts(
    path: Path, named: Sequence[str], known: Sequence[PinSet], history: History
) -> None:
    """Refuse a host that neither the pin file nor the journal has.

    The name could be a typing error, and a record in the journal can't be undone.

    Args:
        path: the pin file.
        named: the host patterns of ``--host``.
        known: the pin file, and the recorded versions.
        history: the journal.

    Raises:
        click.UsageError: a host is unknown. Nothing is recorded.
    """
    from certpin.pins import HostPattern

    recorded = {event.host for event in history.events if event.host}
    for host in named:
        pattern = HostPattern.parse(host)
        if host in recorded or any(any(pins.policies_at(pattern)) for pins in known):
            continue
        hosts = dict.fromkeys(str(policy.pattern) for pins in known for policy in pins.policies)
        raise click.UsageError(
            f"NOT recorded: neither {path} nor its journal has the host {host}. They have: "
            f"{', '.join(hosts)}"
        )


def _pattern(host: str, pins: PinSet | None) -> str:
    from certpin.pins import HostPattern
    from certpin.pins.hosts import split_address

    if host.startswith("*"):
        return str(HostPattern.parse(host))
    name, _ = split_address(host, 0)
    policy = pins.policy_for(name) if pins else None
    return str(policy.pattern if policy else HostPattern.parse(name))


def earlier_record(history: History, key: KeyReference, fact: Fact) -> Event | None:
    """Return the first journal event by which the theft or loss of a key is already recorded.

    An event of a theft counts for a loss, too, because a theft is worse. Return None if there is no
    such event.

    Args:
        history: the journal.
        key: the stolen or lost key.
        fact: ``stolen`` or ``lost``, as the user reports it now.
    """
    events = [event for event in history.events if event.pin == key.pin]
    return next((event for event in events if event.step in _records(fact)), None)


def _records(fact: Fact) -> set[StepName]:
    """Return the kinds of journal entries that record ``fact``, which is ``stolen`` or ``lost``.

    An entry of a theft counts for a loss, too, because a theft is worse.
    """
    return {"compromise"} if fact == "stolen" else {"lose", "compromise"}


def recorded_hosts(history: History, pin: Pin, fact: Fact) -> set[str]:
    """Return the host patterns at which the journal records the theft or loss of a pin's key.

    ``history`` is the journal. ``fact`` is ``stolen`` or ``lost``: a theft counts for a loss, too.
    """
    events = [event for event in history.events if event.pin == pin]
    return {event.host for event in events if event.step in _records(fact)}


def other_pins(key: KeyReference, situation: Situation) -> list[tuple[Pin, str]]:
    """Return the other pins of a key at a host, each with a note if it is not an authority's.

    They are known by the certificates of the key: those that servers present, or presented when the
    journal recorded that, and the one that the user named. A certificate has a pin here only if the
    pin file or a version pins it.

    Args:
        key: the stolen or lost key.
        situation: the facts about the host.
    """
    from certpin.pins import pins_of

    same = situation.same_keys(key.pins)
    certificates = situation.certificates.union(key.certificates[:1])
    of_key = [each for each in certificates if not same.isdisjoint(pins_of(each))]
    is_server = not any(each.is_authority for each in of_key)
    policies = [situation.policy]
    for version in situation.deployed.versions:
        policies += filter(None, situation.policies_of(version))
    pinned = {entry.pin for policy in policies for entry in policy.pins}
    own = next((pin for pin in same if pin.kind == "sha256"), key.pin)
    return [
        (pin, (f"key of {key.pin}" if pin == own else f"certificate of {own}") if is_server else "")
        for pin in sorted(same - {key.pin}, key=str)
        if pin == own or pin in pinned
    ]


@contextmanager
def locked_for_record(journal: Path) -> Iterator[None]:
    """Lock the journal during a ``with`` block. If another command keeps the lock, only warn.

    The block then runs without the lock.
    The record of a theft must not wait for long. The other command compares the journal with what
    it has read before it writes, so it notices the record.
    """
    from certpin.cli.rotate.files import locked_if_possible

    with locked_if_possible(journal, _LOCK_WAIT) as problem:
        if problem is not None:
            say("certpin: warning", f"the journal is not locked, and is appended to: {problem}")
        yield


def append_record(journal: Path, history: History, events: list[Event]) -> None:
    """Append events to the journal, each with a time after the journal's newest entry.

    The time of an event is raised if needed, because the clock of this machine may be behind.

    Args:
        journal: the path of the journal.
        history: its content.
        events: the events to append.

    Raises:
        JournalError: the journal can't be written.
    """
    from certpin.cli.rotate.files import append_lines
    from certpin.errors import JournalError
    from certpin.rotation import after, format_journal
    from certpin.rotation.situation import CLOCK_TOLERANCE

    dated = list(after(history.events, events, any_lag=True))
    if dated[0].time - events[0].time > CLOCK_TOLERANCE:
        say(
            "certpin: warning",
            f"the newest entry of {journal} is later than the clock of this machine: the fact is "
            "recorded right after it",
        )
    try:
        append_lines(journal, format_journal(dated))
    except OSError as exc:
        raise JournalError(
            f"NOT recorded: it cannot be written: {exc.strerror or exc}",
            path=journal,
            fix=f"append this yourself:\n{format_journal(dated)}",
        ) from exc
