"""Text for users: untrusted text made safe to show, counted nouns, times, durations, file names.

The functions don't escape the syntax of an output format, such as HTML: the caller has to do so.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import PurePath
from typing import TYPE_CHECKING

from certpin.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

# A longer delay is a mistake, and dates end in the year 9999.
LONGEST_DURATION = timedelta(days=3650)

# The starts of the lines that git adds to a file if two branches changed the same lines.
CONFLICT_MARKERS = ("<<<<<<<", "=======", ">>>>>>>", "|||||||")

_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_DURATION = re.compile(r"(?:[0-9]{1,9}[wdhms])+", re.ASCII)
_PART = re.compile(r"([0-9]+)([wdhms])", re.ASCII)


def printable(text: str) -> str:
    """Escape all characters that affect a terminal or a log: control, bidi and invisible ones.

    Line feeds and tabs are escaped too; ``clean`` keeps them.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def clean(text: str) -> str:
    """Escape control, bidi and invisible characters, and lone surrogates, to show a text safely.

    Line feeds and tabs are not escaped, and CRLF becomes a line feed.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)


def readable(data: bytes) -> str:
    """Decode bytes as UTF-8, and write invalid bytes and control characters as escape sequences."""
    return clean(data.decode("utf-8", "backslashreplace"))


def encodable(text: str) -> str:
    """Replace lone surrogates in a text, which no encoding can write, by escape sequences."""
    return text.encode("utf-8", "backslashreplace").decode()


def in_days(days: int) -> str:
    """Return a number of days as text, such as ``3 days``."""
    return counted(days, "day")


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 report`` or ``7 reports``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def sentence(text: str) -> str:
    """Return a text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def one_line(text: str) -> str:
    """Join the lines of a text, such as a problem and its fix, with semicolons."""
    return "; ".join(filter(None, map(str.strip, text.splitlines())))


def parse_duration(text: str) -> timedelta:
    """Read a duration such as ``7d``, ``6h`` or ``1d12h``; the units are w, d, h, m and s.

    Raises:
        InputError: the text is not a duration, or longer than ``LONGEST_DURATION``.
    """
    text = text.strip()
    if not _DURATION.fullmatch(text):
        raise InputError(f"{text[:40]!r} is not a duration", fix="write it as 6h, 7d or 1d12h")
    total = sum((int(count) * _UNITS[unit] for count, unit in _PART.findall(text)), timedelta(0))
    if total > LONGEST_DURATION:
        raise InputError(
            f"{text[:40]} is too long", fix=f"at most {format_duration(LONGEST_DURATION)}"
        )
    return total


def format_duration(duration: timedelta) -> str:
    """Format a duration as text that ``parse_duration`` reads, such as ``1d12h``.

    Fractions of a second are rounded up.
    """
    seconds = -(-duration // timedelta(seconds=1))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def utc_moment(moment: datetime, key: str) -> datetime:
    """Return a time in UTC. A time without a zone is returned unchanged.

    Dates are printed and compared in UTC. A time with a zone in the year 1 or 9999 can be in the
    year 0 or 10000 in UTC, which Python can't express.

    Args:
        moment: the time.
        key: the TOML key of the time, for the error.

    Raises:
        ConfigError: in UTC the time is before the year 1, or after the year 9999.
    """
    if moment.tzinfo is None or moment.tzinfo is UTC:
        return moment
    try:
        return moment.astimezone(UTC)
    except OverflowError as exc:
        raise ConfigError(
            f"{moment.isoformat()} is not in the years 1 to 9999 in UTC",
            key=key,
            fix="write a date, as in 2027-06-01",
        ) from exc


def in_utc(moment: datetime, *, down: bool = False) -> str:
    """Format a time for users in UTC to the minute, such as ``2027-06-01 12:00 UTC``.

    Args:
        moment: the time. It is rounded up, because a step of a rotation may be unsafe before the
            exact time.
        down: round down. Use it for a time in the past, which must not appear to be in the future,
            and for a deadline.
    """
    moment = moment.astimezone(UTC)
    if not down and (moment.second or moment.microsecond):
        moment += timedelta(minutes=1)
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def numbered_names(name: str) -> Iterator[str]:
    """Yield names for a new file, without an end: ``next.key``, ``next-2.key``, ``next-3.key``.

    Args:
        name: the first name. It may have folders, which stay in the other names.
    """
    path = PurePath(name)
    yield str(path)
    for number in count(2):
        yield str(path.with_stem(f"{path.stem}-{number}"))
