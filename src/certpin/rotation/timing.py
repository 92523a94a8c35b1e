"""How long it takes until every client has what was published: T_adopt, and durations as text."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from certpin.errors import InputError

# More than this is a mistake, and dates have an end (year 9999).
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

    The defaults are on the safe side for an app that people open once a month. Give those of your
    slowest app: a client that is slower than what stands here is not waited for.
    """

    cdn: timedelta = timedelta(hours=1)
    cache: timedelta = timedelta(days=1)
    poll: timedelta = timedelta(days=1)
    opened: timedelta = timedelta(days=30)
    skew: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        for each in fields(self):
            if not timedelta(0) <= getattr(self, each.name) <= LONGEST:
                raise InputError(
                    f"{each.name} is not a duration that anybody waits for",
                    fix=f"at most {format_duration(LONGEST)}, and not less than nothing",
                )

    @property
    def adopt(self) -> timedelta:
        """T_adopt: the sum of them all, since each may begin when the one before has ended."""
        return self.cdn + self.cache + self.poll + self.opened + self.skew

    def texts(self) -> dict[str, str]:
        """Each delay as text, by its name."""
        return {each.name: format_duration(getattr(self, each.name)) for each in fields(self)}

    @staticmethod
    def parse(texts: dict[str, str]) -> Timing:
        """Read what ``texts`` made; what is missing has its default. Raises ``InputError``."""
        known = {each.name for each in fields(Timing)}
        return Timing(
            **{name: parse_duration(text) for name, text in texts.items() if name in known}
        )


def parse_duration(text: str) -> timedelta:
    """Read ``7d``, ``6h``, ``1d12h``; units are w, d, h, m, s. Raises ``InputError``."""
    text = text.strip()
    if not _DURATION.fullmatch(text):
        raise InputError(f"{text[:40]!r} is not a duration", fix="write it as 6h, 7d or 1d12h")
    total = sum((int(count) * _UNITS[unit] for count, unit in _PART.findall(text)), timedelta(0))
    if total > LONGEST:
        raise InputError(f"{text[:40]} is too long", fix=f"at most {format_duration(LONGEST)}")
    return total


def format_duration(duration: timedelta) -> str:
    """Write a duration so that ``parse_duration`` reads it; parts of a second are rounded up."""
    seconds = -(-duration // timedelta(seconds=1))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def in_utc(moment: datetime) -> str:
    """A moment for people: to the minute, rounded up, so that nobody comes too early."""
    moment = moment.astimezone(UTC)
    if moment.second or moment.microsecond:
        moment = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return f"{moment:%Y-%m-%d %H:%M} UTC"
