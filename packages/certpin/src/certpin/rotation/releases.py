"""Releases of apps that bring a version of the pin set, and when the last client has left each.

certpin can't see which clients still run a release. Its end follows from facts that the owner of
the app records:

- the end of its support, from which on it refuses to run (``end``);
- an update that users are forced to take (``forced``), which ends the earlier releases of the app;
- an adoption curve that reaches all users, which ends the earlier releases too;
- for an app that fetches later versions of the pin set itself (``updates``), a later version that
  clients can fetch, together with a later release.

A planned date counts as an end only when it has passed. Without any of these facts a release has no
end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

from certpin.errors import InputError
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DAY = timedelta(days=1)
MAX_POINTS = 1000  # of a curve: a point for each day of almost three years
MAX_DAYS = 3650
MAX_NAME = 100  # characters of an app's or a release's name; a bundle ID has up to 155 bytes

_SHARE = re.compile(r"(?:([0-9]{1,3}(?:\.[0-9]{1,9})?)%|([01](?:\.[0-9]{1,9})?))", re.ASCII)
_DAYS = re.compile(r"[0-9]{1,4}", re.ASCII)

# Which share of an app's users has a release, or a later one, after how many days. Shares rise.
AdoptionCurve = tuple[tuple[int, Fraction], ...]


@dataclass(frozen=True)
class AppRelease:
    """A release of an app with a version of the pin set in its binary. Every time has a zone.

    Attributes:
        app: the name of the app; empty if it is unknown. Then the release has no end.
        name: the name of the release, such as ``4.2.0``.
        shipped: when users could first install it.
        updates: True if the app also fetches later versions of the pin set itself.
        curve: the adoption curve: which share of the users has this release or a later one, after
            how many days; empty if unknown.
        end: when its support ends: no client runs the release from then on.
        forced: when users are forced to update to this release, or to a later one.
        clients: how many clients run the app, in any of its releases; ``None`` if unknown.
        measured: True if an app store measured the curve. Then the curve never ends a release,
            because exports of stores leave small numbers out.
    """

    app: str
    name: str
    shipped: datetime
    updates: bool = False
    curve: AdoptionCurve = ()
    end: datetime | None = None
    forced: datetime | None = None
    clients: int | None = None
    measured: bool = False

    @property
    def complete(self) -> datetime | None:
        """The time by which every user has this release or a later one, by its adoption curve.

        ``None`` if the curve is empty, was measured, or does not reach all users.
        """
        if self.measured or not self.curve or self.curve[-1][1] != 1:
            return None
        return self.shipped + self.curve[-1][0] * DAY

    @property
    def title(self) -> str:
        """The names of app and release, as in ``Bank 4.2.0``; ``a binary`` for an unknown app."""
        return f"{self.app} {self.name}" if self.app else "a binary"


def later_releases(release: AppRelease, releases: Iterable[AppRelease]) -> list[AppRelease]:
    """Return the releases of the same app that were shipped after ``release``, earliest first."""
    if not release.app:
        return []
    later = [each for each in releases if each.app == release.app]
    return sorted(
        (each for each in later if each.shipped > release.shipped), key=lambda each: each.shipped
    )


def release_end(
    release: AppRelease,
    releases: Sequence[AppRelease],
    superseded: datetime | None,
    adopt: timedelta,
) -> datetime | None:
    """Return the first time at which no client has the version from a release's binary.

    ``None`` if unknown.

    Args:
        release: the release, which has a version of the pin set in its binary.
        releases: the known releases of all apps.
        superseded: when clients could first fetch a higher version of the pin set; ``None`` if they
            can't.
        adopt: T_adopt, the sum of the delays until every client has a published version.
    """
    later = later_releases(release, releases)
    ends = [release.end]
    for each in later:
        ends += [each.forced, each.complete]
    if release.updates and superseded is not None and later:
        # Until the later release is out, a new user installs this one, and its version with it.
        ends.append(max(superseded, release.shipped, later[0].shipped) + adopt)
    return min(filter(None, ends), default=None)


def parse_curve(text: str) -> AdoptionCurve:
    """Read an adoption curve from text: the share of users after each number of days.

    For example, ``1=10%,7=55%,30=100%``, as ``format_curve`` writes it.

    Raises:
        InputError: the text is not a curve, or the days or the shares don't rise.
    """
    rows = [part.partition("=") for part in text.split(",")]
    return adoption_curve([(day, share) for day, _, share in rows])


def format_curve(curve: AdoptionCurve) -> str:
    """Format an adoption curve as text that ``parse_curve`` reads."""
    return ",".join(f"{day}={format_share(share)}" for day, share in curve)


def format_share(share: Fraction) -> str:
    """Format a share (from 0 to 1) as a percentage with up to nine decimals, rounded down."""
    whole, rest = divmod(int(share * 100 * 10**9), 10**9)
    decimals = f"{rest:09}".rstrip("0")
    return f"{whole}.{decimals}%" if decimals else f"{whole}%"


def adoption_curve(rows: Sequence[tuple[str, str]]) -> AdoptionCurve:
    """Make an adoption curve from rows of text: the days since the release, and a share of users.

    Args:
        rows: pairs of a whole number of days, and a share as in ``parse_share``.

    Raises:
        InputError: there are no rows or too many, a value is out of range, or the days or the
            shares don't rise.
    """
    if not 1 <= len(rows) <= MAX_POINTS:
        raise InputError(
            f"an adoption curve with {len(rows)} points", fix=f"give 1 to {MAX_POINTS} points"
        )
    curve = tuple((_parse_day(day), parse_share(share)) for day, share in rows)
    days, shares = [day for day, _ in curve], [share for _, share in curve]
    if days != sorted(set(days)):
        raise InputError("the days of the curve don't rise", fix="write one line for each day")
    if shares != sorted(shares):
        raise InputError(
            "the shares of the curve fall",
            fix="give the share of users with this release or a later one",
        )
    return curve


def parse_share(text: str) -> Fraction:
    """Read a share of users: ``12.5%``, or ``0.125``.

    Raises:
        InputError: the text is not a share from 0 to 1.
    """
    match = _SHARE.fullmatch(text.strip())
    if match:
        share = Fraction(match[1]) / 100 if match[1] else Fraction(match[2])
        if share <= 1:
            return share
    raise InputError(
        f"{printable(text[:40])!r} is not a share", fix="write it as 12.5% or 0.125, up to 100%"
    )


def check_name(text: str, what: str) -> str:
    """Return ``text``, the name of an app or of a release, without spaces around it.

    ``what`` is the noun for error messages, such as ``an app``.

    Raises:
        InputError: the name is empty, too long, or has characters that can't be printed.
    """
    name = text.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise InputError(
            f"{printable(text[:40])!r} is no name of {what}",
            fix=f"give 1 to {MAX_NAME} printable characters",
        )
    return name


def _parse_day(text: str) -> int:
    if _DAYS.fullmatch(text.strip()) and int(text) <= MAX_DAYS:
        return int(text)
    raise InputError(
        f"{printable(text[:40])!r} is not a day of a curve",
        fix=f"give the days since the release, from 0 to {MAX_DAYS}",
    )
