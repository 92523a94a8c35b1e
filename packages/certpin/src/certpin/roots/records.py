"""The types of the data about public roots, and functions that read them from JSON and TOML.

The types are public roots, announced changes, and scheduled removals from root stores.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from certpin.pins import HostPattern, Pin

if TYPE_CHECKING:
    from collections.abc import Mapping

# The Androids of the tables that were read, the oldest first: Android 5 and 6 have none.
ANDROIDS = ("2.2", "2.3", "3", "4", "4.4", "7", "8", "9", "10", "11", "12", "13", "14", "15")

AnnouncementKind = Literal["lifetime", "issuance", "distrust"]


@dataclass(frozen=True)
class PublicRoot:
    """A public root: a key, and all certificates with this key in any release of certifi.

    Attributes:
        pin: the pin of the key.
        name: the common name of the newest certificate, or its organizational unit if several roots
            share the common name.
        certificates: the pins of the certificates, each with its first and last day of validity.
        periods: the periods in which certifi had the key. Each is a pair of days: that of the first
            release with it, and that of the first release without it. The second is None if the
            newest release has the key.
        removed_in: the release of certifi that no longer had the key; empty if the newest has it.
        debian: the versions of Debian's ca-certificates that have one of the certificates.
        distrust_after: NSS distrusts certificates issued after this day; None if NSS has no such
            date for the root.
        distrust_source: the Debian package from which that date was read.
        android: the oldest and the newest Android that has the key, according to the tables of
            Android 2.2 to 15 as of 2023; None if no table has it.
    """

    pin: Pin
    name: str
    certificates: Mapping[Pin, tuple[date, date]]
    periods: tuple[tuple[date, date | None], ...]
    removed_in: str = ""
    debian: tuple[str, ...] = ()
    distrust_after: date | None = None
    distrust_source: str = ""
    android: tuple[str, str] | None = None

    @property
    def valid_from(self) -> date:
        """The first day on which a certificate of the root is valid. The key is at least as old."""
        return min(begin for begin, _ in self.certificates.values())

    @property
    def valid_until(self) -> date:
        """The last day on which a certificate of the root is valid."""
        return max(end for _, end in self.certificates.values())

    @property
    def known_since(self) -> date:
        """The day of the first release of certifi that had the root's key."""
        return self.periods[0][0]

    def removed_on(self, today: date) -> date | None:
        """Return the day from which certifi no longer had the root's key.

        Return None if certifi had the key on the day ``today``, even if the key was removed before
        that and added again. Also return None if certifi did not have the key yet.
        """
        begun = [period for period in self.periods if period[0] <= today]
        end = begun[-1][1] if begun else None
        return end if end is not None and end <= today else None


@dataclass(frozen=True)
class Announcement:
    """An announced change of an authority, a certificate provider or a root program.

    Attributes:
        id: the name of the announcement in ``announcements.toml``.
        kind: the kind of change.
        day: the day of the change.
        published: a day on which the announcement was already public.
        source: the address of a page with the announcement.
        text: a clause that describes the change.
        keys: the pins of the keys that the change concerns. If ``keys`` and ``hosts`` are both
            empty, it concerns every public certificate.
        hosts: the host patterns that the change concerns.
    """

    id: str
    kind: AnnouncementKind
    day: date
    published: date
    source: str
    text: str
    keys: frozenset[Pin] = frozenset()
    hosts: tuple[HostPattern, ...] = ()

    @property
    def for_everyone(self) -> bool:
        """True if the change concerns every public certificate."""
        return not self.keys and not self.hosts


@dataclass(frozen=True)
class ScheduledRemoval:
    """The rule of a root program that removes roots with old keys on a scheduled day.

    On ``day`` it removes all roots with keys that were made before the day ``made_before``, unless
    it makes an exception. ``published`` is a day on which the rule was already public, and
    ``source`` the address of a page with the rule.
    """

    made_before: date
    day: date
    published: date
    source: str


def read_root(row: Mapping[str, Any]) -> PublicRoot:
    """Return the root in ``row``, an entry of ``history.json``."""
    day = date.fromisoformat
    certificates = {
        Pin("cert-sha256", bytes.fromhex(digest)): (day(begin), day(end))
        for digest, begin, end in row["certificates"]
    }
    distrust = row.get("distrust_after")
    android = row.get("android")
    return PublicRoot(
        Pin.parse(row["pin"]),
        row["name"],
        certificates,
        tuple((day(begin), day(end) if end else None) for begin, end in row["periods"]),
        row.get("removed_in", ""),
        tuple(row.get("debian", ())),
        day(distrust) if distrust else None,
        row.get("distrust_source", ""),
        (android[0], android[1]) if android else None,
    )


def read_announcement(table: Mapping[str, Any]) -> Announcement:
    """Return the announcement in a table ``[[announcement]]`` of ``announcements.toml``."""
    return Announcement(
        table["id"],
        table["kind"],
        table["date"],
        table["published"],
        table["source"],
        table["text"],
        frozenset(map(Pin.parse, table.get("keys", ()))),
        tuple(map(HostPattern.parse, table.get("hosts", ()))),
    )


def read_schedule(table: Mapping[str, Any]) -> ScheduledRemoval:
    """Return the scheduled removal in a table ``[[schedule]]`` of ``announcements.toml``."""
    return ScheduledRemoval(
        table["made_before"], table["date"], table["published"], table["source"]
    )
