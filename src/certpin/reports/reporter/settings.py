"""How a reporter behaves: how much it keeps, how often it tells, and how long it waits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta

from certpin.errors import ConfigError

_LONGEST = timedelta(days=366)  # what a thread can wait for is not much more, on some systems
_DAY = timedelta(days=1)

# What the folder can hold: a report in one of its files (``folder``), and what was told in another.
_MOST = {"size": 192 * 1024, "different": 1000}


@dataclass(frozen=True)
class ReporterSettings:
    """Everything has a default. Raises ``ConfigError`` on what is no limit, or cannot hold.

    ``queued`` reports wait on the disk at most, of ``size`` bytes each (192 KiB at most), for
    ``keep``. The same failure is told once in ``pause``, a day at most, and ``different`` ones a
    day, 1,000 at most. A server is waited for ``patience`` at each step and ``deadline`` in all;
    after a failure it is asked again in ``retry``, then in twice that, and so on up to ``rest``.
    """

    queued: int = 64
    size: int = 64 * 1024
    keep: timedelta = timedelta(days=7)
    pause: timedelta = timedelta(hours=1)
    different: int = 32
    patience: timedelta = timedelta(seconds=10)
    deadline: timedelta = timedelta(seconds=30)
    retry: timedelta = timedelta(seconds=30)
    rest: timedelta = timedelta(hours=6)

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, timedelta):
                longest = _DAY if name == "pause" else _LONGEST
                if not timedelta() < value <= longest:
                    raise ConfigError(
                        f"{value} is no such time",
                        key=name,
                        fix=f"write a time above 0, of {longest.days} days at most",
                    )
            elif type(value) is not int or not 1 <= value <= _MOST.get(name, value):
                raise ConfigError(
                    f"{value!r} is no limit",
                    key=name,
                    fix=f"write a number from 1 to {_MOST.get(name, 'as many as you like')}",
                )
