"""The limits of a reporter: the storage it uses, the rate of reports, and its time limits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta

from certpin.errors import ConfigError

_MAX_TIME = timedelta(days=366)  # some systems limit the time-out of a thread to little more
_DAY = timedelta(days=1)

# Both are limits of the reporter's folder (``queue``): the size of a file with one report, and the
# number of failures that the file of reported failures lists.
_MAX_NUMBERS = {"size": 192 * 1024, "different": 1000}


@dataclass(frozen=True)
class ReporterSettings:
    """The limits of a reporter. Each has a default. Times are timedeltas.

    Args:
        queued: maximum number of reports in the queue on disk; the oldest are deleted.
        size: maximum bytes of a report, at most 192 KiB; a larger one is sent without the chains.
        keep: the time for which an unsent report stays in the queue. If it is longer than a week,
            the collector's setting ``client_days`` has to be as long.
        pause: time until the same failure is reported again, at most a day.
        different: maximum number of different failures that are reported in a day, at most 1,000.
        patience: time limit of each network step of a request: connecting, the handshake, a read.
        deadline: time limit of a whole request to a collector.
        retry: time until a failed request is repeated the first time; it doubles with each failure.
        rest: maximum time between two repetitions.

    Raises:
        ConfigError: a limit is invalid, or above its maximum.
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
                maximum = _DAY if name == "pause" else _MAX_TIME
                if not timedelta() < value <= maximum:
                    raise ConfigError(
                        f"{value} is not a valid time",
                        key=name,
                        fix=f"write a time above 0, of at most {maximum.days} days",
                    )
            elif type(value) is not int or not 1 <= value <= _MAX_NUMBERS.get(name, value):
                raise ConfigError(
                    f"{value!r} is not a valid limit",
                    key=name,
                    fix=f"write a number from 1 to {_MAX_NUMBERS.get(name, 'any size')}",
                )
