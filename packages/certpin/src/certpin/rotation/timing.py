"""T_adopt: how long it takes until every client has a published version; durations as text."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from certpin.errors import InputError

# A longer delay is a mistake, and dates end in the year 9999.
LONGEST = timedelta(days=3650)

_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_DURATION = re.compile(r"(?:[0-9]{1,9}[wdhms])+", re.ASCII)
_PART = re.compile(r"([0-9]+)([wdhms])", re.ASCII)


@dataclass(frozen=True)
class Timing:
    """The delays between publishing a pin set and the last client that has it.

    The defaults are safe for an app that is opened once a month. Use the delays of your slowest
    app: certpin does not wait for a client that is slower than these.

    Attributes:
        cdn: how long the CDN may serve an old version.
        cache: how long a client may keep a version in its cache.
        poll: how often a client checks for a new version.
        opened: how long it takes until the last user opens the app.
        skew: by how much the clocks differ.

    Raises:
        InputError: a delay is negative, or longer than ``LONGEST``.
    """

    cdn: timedelta = timedelta(hours=1)
    cache: timedelta = timedelta(days=1)
    poll: timedelta = timedelta(days=1)
    opened: timedelta = timedelta(days=30)
    skew: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        for delay in fields(self):
            if not timedelta(0) <= getattr(self, delay.name) <= LONGEST:
                raise InputError(
                    f"the delay {delay.name} is out of range",
                    fix=f"give 0s to {format_duration(LONGEST)}",
                )

    @property
    def adopt(self) -> timedelta:
        """T_adopt: the sum of all delays, because each may begin when the previous one ends."""
        return self.cdn + self.cache + self.poll + self.opened + self.skew

    def texts(self) -> dict[str, str]:
        """Return each delay as text, by its name."""
        return {delay.name: format_duration(getattr(self, delay.name)) for delay in fields(self)}

    @staticmethod
    def parse(texts: dict[str, str]) -> Timing:
        """Read the output of ``texts``.

        Args:
            texts: delays by name. A missing one has its default; unknown names are ignored.

        Raises:
            InputError: a text is not a duration, or is out of range.
        """
        known = {delay.name for delay in fields(Timing)}
        return Timing(
            **{name: parse_duration(text) for name, text in texts.items() if name in known}
        )


def parse_duration(text: str) -> timedelta:
    """Read a duration such as ``7d``, ``6h`` or ``1d12h``; the units are w, d, h, m and s.

    Raises:
        InputError: the text is not a duration, or longer than ``LONGEST``.
    """
    text = text.strip()
    if not _DURATION.fullmatch(text):
        raise InputError(f"{text[:40]!r} is not a duration", fix="write it as 6h, 7d or 1d12h")
    total = sum((int(count) * _UNITS[unit] for count, unit in _PART.findall(text)), timedelta(0))
    if total > LONGEST:
        raise InputError(f"{text[:40]} is too long", fix=f"at most {format_duration(LONGEST)}")
    return total


def format_duration(duration: timedelta) -> str:
    """Format a duration so that ``parse_duration`` reads it. Fractions of a second round up."""
    seconds = -(-duration // timedelta(seconds=1))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def in_utc(moment: datetime) -> str:
    """Format a time for people, to the minute. It rounds up: an earlier time may be unsafe."""
    moment = moment.astimezone(UTC)
    if moment.second or moment.microsecond:
        moment = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return f"{moment:%Y-%m-%d %H:%M} UTC"
