"""The settings of an updater: its URL, the times between checks, and the size limits of files."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from certpin.errors import ConfigError, HostError
from certpin.pins import normalise

if TYPE_CHECKING:
    from datetime import datetime


_MINUTE = timedelta(minutes=1)
_LONGEST = timedelta(days=366)  # some systems limit how long a thread can wait
_PARTS = 4  # the number of checks in the time that is left until something expires
_DOUBLINGS = 20  # of a minute are two years: longer than any interval


@dataclass(frozen=True)
class Limits:
    """The largest files that are accepted from a server, in bytes unless noted otherwise.

    A server or an attacker in between may send anything, so the specification requires a limit on
    each file (TUF 1.0.31, 5.3.3, 5.4.1, 5.5.1, 5.6.1). The limits are those of ``tuf.ngclient`` or
    lower: a pin set has four roles and a few files, while a package index has thousands.

    Attributes:
        root: of root metadata; twenty keys with their signatures take about 20 kB.
        timestamp: of the file that is fetched with each check: about 500 bytes.
        snapshot: of the file that names the targets metadata.
        targets: of the metadata that names the files of a set: about 400 bytes for each.
        rotations: the number of roots that are followed in one check.
        count: the number of files of a set: the pins in two formats, and one for each private
            authority.
        target: of one file; 16 MiB are 50,000 hosts with their pins.
        total: of all files of a set, which are held in memory.
    """

    root: int = 256 * 1024
    timestamp: int = 16 * 1024
    snapshot: int = 64 * 1024
    targets: int = 512 * 1024
    rotations: int = 256
    count: int = 64
    target: int = 16 * 1024 * 1024
    total: int = 32 * 1024 * 1024

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) is not int or value < 1:
                raise ConfigError(f"{value!r} is no limit", key=name, fix="write a number above 0")

    def of(self, path: str) -> int:
        """Return the maximum bytes of a file by its published path: ``metadata/12.root.json``."""
        folder, _, name = path.partition("/")
        if folder != "metadata":
            return self.target
        role = name.removesuffix(".json").rpartition(".")[2]
        roles = {"root": self.root, "snapshot": self.snapshot, "targets": self.targets}
        return roles.get(role, self.timestamp)


@dataclass(frozen=True)
class Timing:
    """The times between an updater's checks, and the timeouts of a check.

    Attributes:
        interval: between two checks.
        urgent: the shortest interval as an expiry date comes near: it is a quarter of the time
            until the set is stale or its pins expire.
        retry: after the first failure; doubled after each further one, up to the interval.
        roots: between two requests for a newer root. ``timedelta(0)``: with each check, as TUF
            specifies.
        jitter: the random share of each wait, so that clients don't ask together.
        patience: for connecting, for the handshake, and for each read.
        deadline: for a whole check, even if the server keeps sending.
    """

    interval: timedelta = timedelta(hours=1)
    urgent: timedelta = 5 * _MINUTE
    retry: timedelta = _MINUTE
    roots: timedelta = timedelta(hours=6)
    jitter: float = 0.2
    patience: timedelta = timedelta(seconds=10)
    deadline: timedelta = timedelta(seconds=60)

    def __post_init__(self) -> None:
        times = asdict(self)
        if not 0 <= times.pop("jitter") < 1:
            raise ConfigError("it is a share, from 0 to less than 1", key="jitter", fix="write 0.2")
        if times["roots"] == timedelta(0):
            del times["roots"]
        for name, value in times.items():
            if not timedelta(0) < value <= _LONGEST:
                raise ConfigError(
                    f"{value.total_seconds():g} seconds are no time to wait",
                    key=name,
                    fix="write more than 0, and a year at most",
                )


@dataclass(frozen=True)
class UpdateSettings:
    """The times and the size limits of a ``PinUpdater``."""

    timing: Timing = field(default_factory=Timing)
    limits: Limits = field(default_factory=Limits)


def next_wait(
    timing: Timing, *, failures: int, end: datetime | None, now: datetime, random_share: float
) -> timedelta:
    """Return the time to wait before the next check, which is never longer than the interval.

    Args:
        timing: the intervals between checks.
        failures: the number of failed checks since the last success.
        end: the time before which a newer pin set is needed (``next_end``).
        now: the current time.
        random_share: a random number from 0 to 1, which shortens the wait by up to
            ``timing.jitter``. Clients that start or fail together then don't ask together.
    """
    ceiling = _near(timing, end, now)
    steady = min(ceiling, _backed_off(timing, failures)) if failures else ceiling
    return steady * (1 - timing.jitter * random_share)


def _backed_off(timing: Timing, failures: int) -> timedelta:
    doublings: int = 2 ** min(failures - 1, _DOUBLINGS)
    return timing.retry * doublings


def _near(timing: Timing, end: datetime | None, now: datetime) -> timedelta:
    """Return the time until the next check: shorter near ``end``, at least ``timing.urgent``."""
    if end is None:
        return timing.interval
    return min(timing.interval, max((end - now) / _PARTS, timing.urgent))


class Address(NamedTuple):
    """Host, port and path of the folder with the published files. ``path`` ends with a slash."""

    host: str
    port: int
    path: str

    @property
    def metadata(self) -> str:
        """The URL path of the metadata folder, which ends with a slash."""
        return self.path + "metadata/"

    def target(self, name: str, digest: str) -> str:
        """Return the URL path of a target file: a digest precedes its name (TUF 1.0.31, 6.2)."""
        folder, slash, last = name.rpartition("/")
        return f"{self.path}targets/{quote(folder + slash)}{digest}.{quote(last)}"


def parse_folder_url(url: str) -> Address:
    """Parse the URL of the published folder.

    Raises ``ConfigError`` if it is not plain ``https``.
    """
    try:
        parts = urlsplit(url)
        host, port = normalise(parts.hostname or ""), parts.port or 443
    except (ValueError, HostError) as exc:
        raise _refused_address(url) from exc
    extra = parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme != "https" or extra or not (url.isascii() and url.isprintable()) or " " in url:
        raise _refused_address(url)
    return Address(host, port, parts.path.rstrip("/") + "/")


def _refused_address(url: str) -> ConfigError:
    return ConfigError(
        "updates come from an address such as https://pins.bank.example/app/",
        key="url",
        fix="write it with https://, and without name, password, ? and #",
    )
