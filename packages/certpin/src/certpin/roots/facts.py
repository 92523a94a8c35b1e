"""Dated facts about a public root: its removal, distrust or expiry, in the past or the future.

Pure functions of (data, today). Facts that were published after ``today`` are not used. So for a
day in the past, the functions return what was known on that day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING, Literal

from certpin.roots.records import (
    Announcement,
    PublicRoot,
    ScheduledRemoval,
    read_announcement,
    read_root,
    read_schedule,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from certpin.pins import Pin

FactKind = Literal["removed", "distrusted", "scheduled", "expires"]


@dataclass(frozen=True)
class RootFact:
    """A dated fact about a public root that concerns clients which depend on the root.

    ``kind`` is one of these:

    - ``removed``: Mozilla's root store, as certifi has it, no longer contains the root from ``day``
      on.
    - ``distrusted``: a browser refuses certificates below the root that are issued on ``day`` or
      later.
    - ``scheduled``: the schedule of a root program removes the root on ``day``, unless it makes an
      exception.
    - ``expires``: no certificate of the root's key is valid after ``day``.

    ``published`` is the day from which the fact was public. ``text`` is a clause that follows the
    root's name. ``source`` is a page, or a package with its version.
    """

    kind: FactKind
    root: PublicRoot
    day: date
    published: date
    source: str
    text: str


@dataclass(frozen=True)
class RootData:
    """All facts about public roots that this release of certpin has.

    Attributes:
        roots: the roots, by the pin of their key.
        announcements: the announced changes of authorities, providers and root programs.
        schedule: the removals that root programs have scheduled by the age of roots, in any order.
        packages: the packages from which the history was read, by name and version (such as
            ``certifi 2026.10.19``), each with its day of release.
    """

    roots: Mapping[Pin, PublicRoot]
    announcements: tuple[Announcement, ...] = ()
    schedule: tuple[ScheduledRemoval, ...] = ()
    packages: Mapping[str, date] | None = None

    @cached_property
    def edition(self) -> date:
        """The day of the newest release of certifi that the history was read from."""
        days = (day for name, day in (self.packages or {}).items() if name.startswith("certifi "))
        return max(days, default=date.min)

    @cached_property
    def _by_certificate(self) -> dict[Pin, PublicRoot]:
        return {pin: root for root in self.roots.values() for pin in root.certificates}

    def root_of(self, pin: Pin) -> PublicRoot | None:
        """Return the public root with this pin (of key or certificate); None if it is unknown."""
        return self.roots.get(pin) or self._by_certificate.get(pin)

    def announced(self, today: date) -> Iterator[Announcement]:
        """Yield the announcements that were public on the day ``today``."""
        return (each for each in self.announcements if each.published <= today)

    def facts(self, pin: Pin, today: date) -> tuple[RootFact, ...]:
        """Return the facts about a root that were already public on a certain day.

        Args:
            pin: the pin of the root's key, or of a whole certificate.
            today: the day. Facts that were published later are left out.

        Returns:
            The facts, past and future, the earliest first. Empty if the root is unknown; an unknown
            root may be removed or distrusted, too.
        """
        root = self.root_of(pin)
        if root is None:
            return ()
        found = [*self._removal(root, today), *self._distrust(root, today)]
        if root.known_since <= today:
            source = f"certifi of {root.known_since}"
            verb = "expired" if root.valid_until < today else "expires"
            text = f"{verb} on {root.valid_until}"
            found.append(
                RootFact("expires", root, root.valid_until, root.known_since, source, text)
            )
        return tuple(sorted(found, key=lambda each: (each.day, each.kind)))

    def open_facts(self, pin: Pin, today: date) -> tuple[RootFact, ...]:
        """Return the facts about a root that still matter: one past fact at most, and future ones.

        If there are several past facts, only one of them is returned: a removal from the root
        store, if there is one; otherwise a distrust or a scheduled removal; otherwise an expiry. If
        the root was removed, the removal is the whole result, because future facts no longer
        matter.

        Args:
            pin: the pin of the root's key, or of a whole certificate.
            today: the day. Facts that were published later are ignored.
        """
        facts = self.facts(pin, today)
        past = [each for each in facts if each.day <= today]
        removals = [each for each in past if each.kind == "removed"]
        if removals:
            return (removals[0],)
        problems = [each for each in past if each.kind != "expires"] or past
        return (*problems[:1], *(each for each in facts if each.day > today))

    def _removal(self, root: PublicRoot, today: date) -> Iterator[RootFact]:
        """Yield a fact if Mozilla's root store has removed a root, or is scheduled to remove it.

        Yield nothing if neither was known on the day ``today``.
        """
        if removed := root.removed_on(today):
            text = f"left Mozilla's root store on {removed}{self._still_in_debian(root, today)}"
            source = f"certifi {root.removed_in}"
            yield RootFact("removed", root, removed, removed, source, text)
            return
        due = [
            each
            for each in self.schedule
            if root.valid_from < each.made_before and each.published <= today
        ]
        step = min(due, key=lambda each: each.made_before, default=None)
        if step is None or root.known_since > today:
            return
        # A root that is still in a later release is an exception from the schedule.
        if step.day > today or self.edition < step.day:
            verb = "leaves" if step.day > today else "was due to leave"
            text = f"{verb} Mozilla's root store on {step.day}, by the age of its key"
            yield RootFact("scheduled", root, step.day, step.published, step.source, text)

    def _still_in_debian(self, root: PublicRoot, today: date) -> str:
        """Return a clause that names the Debian package that still contains a removed root.

        The package is the newest ca-certificates with the root. The clause is empty if no version
        that was known on the day ``today`` has the root.
        """
        known = [
            each for each in root.debian if self._published(f"ca-certificates {each}") <= today
        ]
        return f", and Debian's ca-certificates {known[-1]} still has it" if known else ""

    def _distrust(self, root: PublicRoot, today: date) -> Iterator[RootFact]:
        for each in self.announced(today):
            if each.kind == "distrust" and root.pin in each.keys:
                text = f"is distrusted: {each.text} ({each.day})"
                yield RootFact("distrusted", root, each.day, each.published, each.source, text)
        published = self._published(root.distrust_source)
        if root.distrust_after is not None and published <= today:
            day = root.distrust_after + timedelta(days=1)
            text = f"is distrusted: NSS refuses its certificates issued from {day} on"
            yield RootFact("distrusted", root, day, published, root.distrust_source, text)

    def _published(self, package: str) -> date:
        return (self.packages or {}).get(package, date.max)


@cache
def load_data() -> RootData:
    """Return the facts about roots in this release of certpin. They are read once per process."""
    import json
    from importlib.resources import files

    import tomli

    folder = files("certpin.roots")
    history = json.loads(folder.joinpath("history.json").read_text(encoding="utf-8"))
    tables = tomli.loads(folder.joinpath("announcements.toml").read_text(encoding="utf-8"))
    roots = map(read_root, history["roots"])
    return RootData(
        {root.pin: root for root in roots},
        tuple(map(read_announcement, tables["announcement"])),
        tuple(map(read_schedule, tables["schedule"])),
        {name: date.fromisoformat(day) for name, (_, day) in history["sources"].items()},
    )
