"""Read a rotation journal, and derive deployed versions, states of pins and delays from its events.

Wrong times, of entries from a clock that was ahead, are replaced by their recorded corrections.
Contradictions in the journal are reported, not repaired.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from certpin.errors import JournalError
from certpin.pins import HostPattern, HostPin
from certpin.pins.policy import meaning
from certpin.rotation.journal import (
    MAX_JOURNAL_BYTES,
    STATE_AFTER,
    SUFFIX,
    Event,
    StepName,
    in_order,
    may_follow,
    parse_journal,
)
from certpin.rotation.releases import AppRelease
from certpin.rotation.situation import (
    CLOCK_TOLERANCE,
    AdoptionDelays,
    DeployedVersions,
    PinHistory,
    ServerObservation,
    Version,
    pins_by_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from certpin.pins import HostPolicy, Pin, PinSet, State

# States that a publish turns into PUBLISHED; it keeps the other states of its pin set.
_UNPUBLISHED = {"generated", "staged"}

# The steps that lead from a pin's state in the journal to its later state in the pin file.
_MISSING: dict[tuple[State | None, State], tuple[StepName, ...]] = {
    (None, "staged"): ("stage",),
    ("generated", "staged"): ("stage",),
    ("staged", "active"): ("activate",),
    ("published", "active"): ("activate",),
    ("retiring", "active"): ("activate",),
    ("active", "retiring"): ("retire",),
    ("active", "removed"): ("retire", "remove"),
    ("retiring", "removed"): ("remove",),
    ("published", "removed"): ("remove",),
    ("lost", "removed"): ("remove",),
}

_UNKNOWN_VERSION: dict[StepName, str] = {
    "ended": "recorded the end of version {}, which was never published",
    "push": "recorded a push of version {}, which was never published",
}


@dataclass(frozen=True)
class History:
    """The events of a rotation journal, sorted by time, and the data derived from them.

    Its properties and methods return the published versions, the delays of clients, the states of
    pins, the last observation of each server, and which certificate has which key.
    """

    events: tuple[Event, ...] = ()

    @cached_property
    def deployed(self) -> DeployedVersions:
        """Every version of the pin set that the journal lists as published."""
        versions: list[Version] = []
        for event in self.events:
            if event.step == "publish":
                _publish(versions, event)
            elif event.step == "push":
                _push(versions, event)
            elif event.step == "ended":
                _end(versions, event)
        return DeployedVersions(tuple(versions))

    @property
    def signed(self) -> bool:
        """True if the pin set that clients can fetch was last published as a signed one.

        Versions in app binaries don't count.
        """
        published = (event for event in reversed(self.events) if event.step == "publish")
        return next((event.signed for event in published if not event.bundled), False)

    @property
    def signed_versions(self) -> frozenset[int]:
        """The numbers of the versions that were published as signed pin sets."""
        signed = (event for event in self.events if event.step == "publish" and event.signed)
        return frozenset(event.version for event in signed if event.version is not None)

    def unadopted(self, expired: datetime) -> tuple[int, ...]:
        """Return the signed versions that had not reached every client when signatures expired.

        ``expired`` is the time at which the signatures of the newest version expired: from then on,
        clients could fetch no version. A version had reached every client by then only if clients
        could first fetch it at least T_adopt (the sum of the clients' delays) earlier. Versions
        that were never pushed (uploaded) are left out.

        Returns:
            The numbers of the versions.
        """
        adopt, signed = (self.timing or AdoptionDelays()).adopt, self.signed_versions
        return tuple(
            version.number
            for version in self.deployed.versions
            if version.number in signed and not version.pending
            if version.fetched and version.fetched + adopt > expired
        )

    @property
    def timing(self) -> AdoptionDelays | None:
        """How long clients take to adopt a new pin set, as the latest publish with delays recorded.

        ``None`` if no publish recorded delays.
        """
        return next((event.timing for event in reversed(self.events) if event.timing), None)

    @cached_property
    def observed(self) -> tuple[ServerObservation, ...]:
        """The last observation of each server of each host: the key that the server presented.

        Servers that a user recorded as gone are left out, until they are observed again.
        """
        found: dict[tuple[str, str], ServerObservation] = {}
        for event in self.events:
            key = event.host, event.server
            if event.step == "observe":
                host = HostPattern.parse(event.host)
                found[key] = ServerObservation(
                    host, event.server, event.time, event.pin, event.problem
                )
            elif event.step == "gone":
                found.pop(key, None)
        return tuple(found.values())

    @cached_property
    def same_keys(self) -> dict[Pin, frozenset[Pin]]:
        """For each pin of a certificate that a server presented, all pins of the same key.

        All observations count, also those of servers that are gone, and of chains that did not
        verify: that a certificate has a key follows from its content, and doesn't change.
        """
        return pins_by_key(
            (event.pin, event.certificate)
            for event in self.events
            if event.pin and event.certificate
        )

    def past(self, pattern: HostPattern) -> PinHistory:
        """Return what the journal records about the pins of a host, and about stolen and lost keys.

        ``pattern`` is the host pattern of a policy. The last state of each pin (``states``) is that
        at this host; a pin that was COMPROMISED there keeps this state. All other fields are the
        same for every host: the pins of keys that the owner generated or added to the pin file
        (``known``), of stolen keys (``compromised``), of lost keys (``lost``), and all pins of the
        same key, for each pin of a certificate that a server presented (``same_keys``).
        """
        states: dict[Pin, State] = {}
        for pin, state, _ in _states(self.events, pattern):
            if states.get(pin) != "compromised":
                states[pin] = state
        return PinHistory(states, self._known, self._compromised, self._lost, self.same_keys)

    @property
    def has_unusable_keys(self) -> bool:
        """True if a key was recorded as stolen or lost, at any host."""
        return bool(self._compromised or self._lost)

    # The same for all hosts.

    @cached_property
    def _known(self) -> frozenset[Pin]:
        from_owner = {"generate", "stage"}
        return frozenset(
            event.pin for event in self.events if event.pin and event.step in from_owner
        )

    @cached_property
    def _compromised(self) -> frozenset[Pin]:
        return frozenset(_in_state(self.events, "compromised"))

    @cached_property
    def _lost(self) -> frozenset[Pin]:
        return frozenset(_in_state(self.events, "lost")) - self._compromised

    def activated(self, pattern: HostPattern) -> dict[Pin, datetime]:
        """Return when servers were last allowed to use the key of each pin of a host, by pin.

        The time is that of the last ``activate`` in the journal. The result lacks pins that have no
        such entry, although the pin file may mark them as ACTIVE. ``pattern`` is the pattern of the
        host.
        """
        host = str(pattern)
        return {
            event.pin: event.time
            for event in self.events
            if event.step == "activate" and event.host == host and event.pin
        }

    def missing_steps(self, policy: HostPolicy) -> dict[Pin, tuple[StepName, ...]]:
        """Return the steps that the journal lacks, given the states of pins in the pin file.

        Steps are missing if a command crashed after it wrote the pin file and before it wrote the
        journal (decision 22).

        Args:
            policy: a policy in the pin file.

        Returns:
            The missing steps by pin. Pins without missing steps are left out.
        """
        last = {pin: state for pin, state, _ in _states(self.events, policy.pattern)}
        if not last:
            return {}  # certpin add writes a staged backup, and nothing into the journal
        found: dict[Pin, tuple[StepName, ...]] = {}
        for entry in policy.pins:
            steps = _MISSING.get((last.get(entry.pin), entry.state), ())
            if last.get(entry.pin) == entry.state == "active":
                steps = ("activate",) if self._lacks_switch(policy.pattern, entry) else ()
            if steps:
                found[entry.pin] = steps
        return found

    def _lacks_switch(self, pattern: HostPattern, entry: HostPin) -> bool:
        """Return True if the journal lacks the event with which an ACTIVE pin became active.

        A pin that was a backup before needs this event (``activate``). If the pin was never a
        backup, servers used its key from the beginning, and the result is False.

        Args:
            pattern: the host pattern. Events for patterns that cover the same hosts count, too.
            entry: the pin in the pin file, with the state ACTIVE.
        """
        if entry.role == "backup":
            return False
        was_backup = False
        for event in self.events:
            if event.pins:
                pins = published_pins(event.pins, pattern)
                was_backup |= any(p.pin == entry.pin and p.role == "backup" for p in pins)
            elif event.pin == entry.pin and event.step in {"stage", "activate"}:
                other = HostPattern.parse(event.host)
                if other.covers(pattern) or pattern.covers(other):
                    if event.step == "activate":
                        return False
                    was_backup = True
        return was_backup

    def since(self, pattern: HostPattern, pin: Pin) -> dict[State, datetime]:
        """Return when a pin of a host last entered each of its states: a dict of times by state."""
        moments: dict[State, datetime] = {}
        before: State | None = None
        for changed, state, event in _states(self.events, pattern):
            if changed == pin and state != before:
                moments[state] = event.time
                before = state
        return moments


def journal_path(pin_file: Path) -> Path:
    """Return the path of the rotation journal that belongs to a pin file.

    If the pin file is a symbolic link, the journal is beside its target: a file that is changed
    under two names has one history.
    """
    if pin_file.is_symlink():
        with suppress(RuntimeError):  # of links in a circle, until Python 3.12
            pin_file = pin_file.resolve()
    return pin_file.with_name(pin_file.stem + SUFFIX)


def journal_of(pin_file: Path) -> Path:
    """Return the path of the journal that belongs to a pin file, if there is only one journal.

    If the pin file is a symbolic link, the journal is beside the target of the link
    (``journal_path``). A second journal beside the link is refused: the versions that are recorded
    only in it would not be read.

    Raises:
        JournalError: the pin file is a symbolic link, and there is a journal beside the link that
            is not a link to the one beside the target.
    """
    journal = journal_path(pin_file)
    if (other := other_beside_link(pin_file, journal)) is not None:
        raise JournalError(
            f"{pin_file} is a link, and its journal is {journal}: this one is not read",
            path=other,
            fix="append its lines to that journal, and remove it",
        )
    return journal


def other_beside_link(pin_file: Path, own: Path) -> Path | None:
    """Return the path of a file or folder beside a link that could be mistaken for ``own``.

    If the pin file is a symbolic link, its journal and its folder ``publish/`` belong beside the
    target of the link. A second journal beside the link could be used by mistake.

    Args:
        pin_file: the pin file, or a link to it.
        own: the path of the file or folder beside the target, such as the journal.

    Returns:
        The path beside the link, with the same name as ``own``. ``None`` if ``pin_file`` is no
        link, if nothing exists at that path, or if that path is only a link to ``own``.
    """
    beside = pin_file.with_name(own.name)
    if not pin_file.is_symlink() or not beside.exists():
        return None
    with suppress(OSError):  # `own` doesn't exist
        if beside.samefile(own):
            return None
    return beside


def load_journal(path: Path) -> History:
    """Read a rotation journal, with corrected times. A missing file is an empty history.

    Raises:
        JournalError: the file can't be read, is larger than ``MAX_JOURNAL_BYTES``, or has a line
            that is not an event.
    """
    return History(corrected(parse_journal(_read(path), path=path)))


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


# Corrected times.
#
# An entry from a clock that was ahead would block the journal until its time has passed
# (``certpin.rotation.gate``). The journal is append-only, so the entry stays as it is. A ``clock``
# event names its line by SHA-256; from then on the entry counts as written at the time of that
# event.
#
# That time is a safe bound: the entry existed when it was corrected, so it was written before. A
# version counts as published later than it was, and the version before it as held longer. A
# correction never moves an entry to a later time than it has.


def corrected(events: Iterable[Event]) -> tuple[Event, ...]:
    """Return the events of a journal with corrected times, sorted by time.

    A ``clock`` event names earlier lines with times from a clock that was ahead. The events of
    these lines get the time of the ``clock`` event, if their time is later. A later ``clock`` event
    may correct an earlier one.
    """
    events = tuple(events)
    by_line = {event.digest: event for event in events if event.digest}
    repairs: dict[str, list[str]] = {}
    for digest, event in by_line.items():
        for line in event.lines:
            if line in by_line:
                repairs.setdefault(line, []).append(digest)
    # No cycle: a line would have to contain the digest of a line that contains its own digest.
    times: dict[str, datetime] = {}
    for digest in TopologicalSorter(repairs).static_order():
        bounds = [times[repair] for repair in repairs.get(digest, ())]
        times[digest] = min([by_line[digest].time, *bounds])
    return in_order(_at(event, times.get(event.digest, event.time)) for event in events)


def ahead_of(events: Sequence[Event], now: datetime) -> tuple[Event, ...]:
    """Return the journal entries with times later than the confirmed current time.

    Args:
        events: the events of a journal, with corrected times.
        now: the current time, confirmed by servers. Entries that are later by at most
            ``CLOCK_TOLERANCE`` are not returned.
    """
    return tuple(event for event in events if event.time - now > CLOCK_TOLERANCE)


def correction(late: Sequence[Event], now: datetime, who: str, reason: str) -> Event:
    """Return the event that corrects the times of journal entries to ``now``.

    Args:
        late: the entries with wrong times, as they were read from the journal.
        now: the confirmed current time.
        who: the person who corrects them.
        reason: why their times are wrong.
    """
    return Event(now, who, "clock", reason=reason, lines=tuple(event.digest for event in late))


def _at(event: Event, time: datetime) -> Event:
    if time == event.time:
        return event
    release = replace(event.release, shipped=time) if event.release else None
    return replace(event, time=time, recorded=event.time, release=release)


# Versions, from the events that publish, push and end them.


def _publish(versions: list[Version], event: Event) -> None:
    """Add the version of a publish event to ``versions``, or merge it with its earlier record.

    ``versions`` has the versions from earlier events; it is changed in place.
    """
    assert event.pins is not None  # noqa: S101  # an event is checked when it is read
    new = Version(
        event.pins,
        fetched=None if event.bundled else event.time,
        bundled=event.time if event.bundled else None,
        clients=None if event.release else event.clients,
        pending=event.signed and not event.bundled,
        releases=(_release(event),) if event.bundled else (),
    )
    for index, known in enumerate(versions):
        if known.number == event.version and meaning(known.pins) == meaning(event.pins):
            versions[index] = _merged(known, new)
            return
    versions.append(new)


def _merged(known: Version, again: Version) -> Version:
    """Return one version from two records of the same pin set, which was published twice.

    For example, clients can fetch it and it is in a binary, or it was published again after it had
    ended. ``known`` is the earlier record, and ``again`` the later one. The result has the dates of
    both kinds of publishing, all releases, and the later number of clients. It has no end.
    """
    return replace(
        known,
        fetched=_fetched(known, again),
        bundled=known.bundled or again.bundled,
        clients=known.clients if again.clients is None else again.clients,
        ended=None,
        pending=_is_pending(known, again),
        releases=_merged_releases(known.releases, again.releases),
    )


def _fetched(known: Version, again: Version) -> datetime | None:
    """Return the time from which clients can fetch a version that was published twice.

    Usually this is the time of the first publish (``known``). It is the time of the second publish
    (``again``) if clients can't fetch the version that was published first: that version is only in
    binaries, or it still waits for its push (the upload of the signed pin set) and the second one
    needs no push. Return ``None`` if both are only in binaries.
    """
    if known.pending and again.fetched is not None and not again.pending:
        return again.fetched
    return known.fetched or again.fetched


def _release(event: Event) -> AppRelease:
    return event.release or AppRelease("", "", event.time)


def _merged_releases(
    known: tuple[AppRelease, ...], again: tuple[AppRelease, ...]
) -> tuple[AppRelease, ...]:
    """Return the releases of two records of a version, each release once.

    If both records have a release, the fields that the later record (``again``) gives replace those
    of the earlier one (``known``).
    """
    found = {(each.app, each.name): each for each in known}
    for new in again:
        old = found.get((new.app, new.name))
        found[new.app, new.name] = _amended(old, new) if old else new
    return tuple(found.values())


def _amended(old: AppRelease, new: AppRelease) -> AppRelease:
    return replace(
        old,
        updates=old.updates or new.updates,
        curve=new.curve or old.curve,
        end=new.end or old.end,
        forced=new.forced or old.forced,
        clients=old.clients if new.clients is None else new.clients,
    )


def _is_pending(known: Version, again: Version) -> bool:
    """Return True if clients can't fetch a version yet, because all its publishes wait for a push.

    The push is the upload of a signed pin set. ``known`` and ``again`` are the earlier and the
    later record of the version.
    """
    pending = [version.pending for version in (known, again) if version.fetched is not None]
    return bool(pending) and all(pending)


def _push(versions: list[Version], event: Event) -> None:
    """Set the time from which clients can fetch a signed version to that of its push (its upload).

    Only the first push of a version counts, with one exception. If the signatures of the version
    had expired before a later push, clients could fetch no version for a while. ``certpin publish
    push`` adds a note to the journal entry of such a push, and its time replaces that of the first
    push.

    Args:
        versions: the versions, which are changed in place.
        event: the push in the journal.
    """
    for index, known in enumerate(versions):
        again = event.note and known.fetched is not None
        if known.number == event.version and (known.pending or again):
            versions[index] = replace(known, fetched=event.time, pending=False)


def fetched_again(
    deployed: DeployedVersions, numbers: Iterable[int], now: datetime
) -> DeployedVersions:
    """Return a copy in which clients can fetch the given versions only from ``now`` on.

    Use it for versions with expired signatures: clients can't fetch such a version until its
    signatures are renewed. Versions that clients could never fetch are not changed.

    Args:
        deployed: the published versions.
        numbers: the numbers of the versions with expired signatures.
        now: the current time.
    """
    late = set(numbers)
    return replace(
        deployed,
        versions=tuple(
            replace(each, fetched=now) if each.number in late and each.fetched else each
            for each in deployed.versions
        ),
    )


def _end(versions: list[Version], event: Event) -> None:
    for index, known in enumerate(versions):
        if known.number == event.version:
            versions[index] = replace(known, ended=event.time)


# States of pins.


def _states(events: Sequence[Event], pattern: HostPattern) -> Iterator[tuple[Pin, State, Event]]:
    for event in events:
        if event.step == "publish" and event.pins:
            for entry in published_pins(event.pins, pattern):
                state = "published" if entry.state in _UNPUBLISHED else entry.state
                yield entry.pin, state, event
        elif event.pin and event.host == str(pattern) and event.step in STATE_AFTER:
            yield event.pin, STATE_AFTER[event.step], event


def published_pins(pins: PinSet, pattern: HostPattern) -> Iterator[HostPin]:
    """Yield the pins that a published version has for the hosts of a pattern.

    If the version has no policy for this pattern, yield the pins of the policies that cover the
    example hosts of the pattern (``HostPattern.examples``).
    """
    own = list(filter(None, pins.policies_at(pattern, pins)))
    policies = own or filter(None, map(pins.policy_for, pattern.examples()))
    for policy in dict.fromkeys(policies):
        yield from policy.pins


def _in_state(events: Sequence[Event], state: State) -> Iterator[Pin]:
    """Yield the pins that ever had ``state``, at any host, in an event or a published pin set.

    ``events`` are those of the journal. ``state`` is LOST or COMPROMISED. A pin that had one of
    these states never becomes usable again.
    """
    for event in events:
        if event.pin and STATE_AFTER.get(event.step) == state:
            yield event.pin
        for policy in event.pins.policies if event.pins else ():
            yield from (entry.pin for entry in policy.pins if entry.state == state)


# Contradictions, which a merge of two journals can leave behind.


def contradictions(history: History) -> tuple[str, ...]:
    """Return the contradictions in a rotation journal, as sentences without full stops.

    The merge of two journals can cause contradictions. The user has to resolve them. ``history`` is
    the content of the journal.
    """
    return tuple(dict.fromkeys(text for _, text in contradicting(history)))


def contradicting(history: History) -> tuple[tuple[Event, str], ...]:
    """Return the events that contradict earlier ones, each with the contradiction as a sentence.

    ``history`` is the content of the journal. The sentences have no full stop. An example is two
    events that published the same version number with different pins. This contradiction is no
    longer returned when a higher version was published after both.
    """
    return (*_version_contradictions(history.events), *_pin_contradictions(history.events))


def _version_contradictions(events: Sequence[Event]) -> Iterator[tuple[Event, str]]:
    published: dict[int, Event] = {}
    out = ((at, each.version) for at, each in enumerate(events) if each.step == "publish")
    last = {number: at for at, number in out if number is not None}
    for at, event in enumerate(events):
        number = event.version
        if event.step in _UNKNOWN_VERSION and number is not None and number not in published:
            yield event, f"{event.who} {_UNKNOWN_VERSION[event.step].format(number)}"
        if event.step != "publish" or number is None or event.pins is None:
            continue
        before = published.setdefault(number, event)
        assert before.pins is not None  # noqa: S101  # as above
        if meaning(before.pins) != meaning(event.pins):
            if any(higher > number and later > at for higher, later in last.items()):
                continue  # resolved
            yield (
                event,
                (
                    f"version {number} was published twice with different content, by "
                    f"{before.who} and by {event.who}; publish one more version, with both changes"
                ),
            )
        elif before is event and number < max(published):
            yield (
                event,
                (
                    f"{event.who} published version {number} after {max(published)}: "
                    "clients never take a lower version"
                ),
            )


def _pin_contradictions(events: Sequence[Event]) -> Iterator[tuple[Event, str]]:
    patterns = {event.host for event in events if event.host}
    for pattern in sorted(patterns):
        last: dict[Pin, State] = {}
        for pin, state, event in _states(events, HostPattern.parse(pattern)):
            before = last.get(pin, state)
            if not _may_be_recorded(before, state):
                yield (
                    event,
                    (
                        f"{pattern}: {event.who} made {pin} {state.upper()}, "
                        f"but it was {before.upper()}"
                    ),
                )
            last[pin] = state


def _may_be_recorded(before: State, state: State) -> bool:
    """Return True if a journal may record that a pin goes from the state ``before`` to ``state``.

    The state ADOPTED is computed and never recorded, so a change from PUBLISHED to ACTIVE is legal,
    too. So is one from STAGED to ACTIVE: ``rotate switch`` asks whether clients accept the chain,
    and they may do so without the pin of its key. Their versions may pin an authority above it,
    only report, or have no policy for the host. The user can also force the step.
    """
    if before == state or may_follow(before, state):
        return True
    return before in {"staged", "published"} and state == "active"
