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


PIN_FILE = "pins.toml"  # the name of the pin file in each signed set
TIMESTAMP = "metadata/timestamp.json"  # the path of the timestamp metadata in the published folder
_MINUTE = timedelta(minutes=1)
_LONGEST = timedelta(days=366)  # some systems limit how long a thread can wait
_PARTS = 4  # the number of checks in the time that is left until something expires
_DOUBLINGS = 20  # of a minute are two years: longer than any interval


@dataclass(frozen=True)
class Limits:
    """The largest files that an updater accepts from a server, in bytes unless noted otherwise.

    A server or an attacker on the network may send anything, so TUF requires a limit for each file
    (TUF 1.0.31, 5.3.3, 5.4.1, 5.5.1, 5.6.1). The limits are those of ``tuf.ngclient`` or lower: a
    published pin set has four metadata roles and a few files, while a package index has thousands.

    Attributes:
        root: the limit of a root metadata file; twenty keys with their signatures take about 20 kB.
        timestamp: the limit of the timestamp metadata, which is fetched with each check: about 500
            bytes.
        snapshot: the limit of the snapshot metadata, which names the version of the targets
            metadata.
        targets: the limit of the targets metadata: about 400 bytes for each file of a pin set.
        rotations: the number of new root versions that one check follows.
        count: the number of files of a pin set: the pins in two formats, and one file for each
            private authority.
        target: the limit of one file of a pin set; 16 MiB are 50,000 hosts with their pins.
        total: the limit of all files of a pin set together, which are held in memory.

    Raises:
        ConfigError: a limit is not a number above 0.
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
        """Return the maximum size in bytes of a file on the update server.

        ``path`` is the file's path in the published folder, such as ``metadata/12.root.json``.
        """
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
        interval: the longest time between two checks.
        urgent: the shortest wait near an expiry date (of the metadata or of the pins): the wait is
            then a quarter of the time that is left, but not less than this.
        retry: the wait after the first failed check. It doubles after each further failure, up to
            ``interval``.
        roots: the shortest time between two requests for newer root metadata. With
            ``timedelta(0)``, each check requests it, as TUF specifies.
        jitter: the largest share, 0 to less than 1, by which each wait is shortened at random, so
            that clients don't connect at the same time.
        patience: the timeout for connecting, for the handshake, and for each read.
        deadline: the timeout of a whole check, even if the server keeps sending.

    Raises:
        ConfigError: a time is not above 0, or longer than a year, or ``jitter`` is out of range.
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
    """The settings of a ``PinUpdater``: the times between checks, and the size limits of files.

    ``timing`` has the times, ``limits`` the sizes.
    """

    timing: Timing = field(default_factory=Timing)
    limits: Limits = field(default_factory=Limits)


def next_wait(
    timing: Timing, *, failures: int, end: datetime | None, now: datetime, random_share: float
) -> timedelta:
    """Return the time to wait before the next check for updates; never longer than the interval.

    Args:
        timing: the intervals between checks.
        failures: the number of failed checks since the last success.
        end: the time by which a newer pin set is needed (``next_end``); ``None`` if there is none.
        now: the current time.
        random_share: a random number from 0 to 1, which shortens the wait by up to
            ``timing.jitter``. Clients that start or fail together then don't connect together.
    """
    ceiling = _near(timing, end, now)
    steady = min(ceiling, _backed_off(timing, failures)) if failures else ceiling
    return steady * (1 - timing.jitter * random_share)


def _backed_off(timing: Timing, failures: int) -> timedelta:
    doublings: int = 2 ** min(failures - 1, _DOUBLINGS)
    return timing.retry * doublings


def _near(timing: Timing, end: datetime | None, now: datetime) -> timedelta:
    """Return the wait before the next check for updates after a successful one, without jitter.

    The wait is the usual interval, or a quarter of the time until ``end`` if that is shorter, but
    at least ``timing.urgent``. ``end`` is the time by which a newer pin set is needed.
    """
    if end is None:
        return timing.interval
    return min(timing.interval, max((end - now) / _PARTS, timing.urgent))


class Address(NamedTuple):
    """The address of the published folder with the signed pin sets: host, port and URL path.

    The path ends with a slash.
    """

    host: str
    port: int
    path: str

    @property
    def metadata(self) -> str:
        """The URL path of the folder of the metadata files. It ends with a slash."""
        return self.path + "metadata/"

    def target(self, name: str, digest: str) -> str:
        """Return the URL path of a target file on the update server.

        Args:
            name: the name of the target in the targets metadata, such as ``trust/ca.pem``.
            digest: the SHA-256 hash of the file in hexadecimal.
        """
        return self.path + quote(target_path(name, digest))


def target_path(name: str, digest: str) -> str:
    """Return the path of a target file in the published folder. It contains the file's hash.

    For example, the path of ``trust/ca.pem`` is ``targets/trust/SHA256.ca.pem``, with the hash in
    place of ``SHA256`` (TUF 1.0.31, 6.2).

    Args:
        name: the name of the target in the targets metadata, such as ``trust/ca.pem``.
        digest: the SHA-256 hash of the file in hexadecimal.
    """
    folder, slash, last = name.rpartition("/")
    return f"targets/{folder}{slash}{digest}.{last}"


def parse_folder_url(url: str) -> Address:
    """Parse the URL of the folder with the signed pin sets on the update server.

    Raises:
        ConfigError: the text is not an ``https`` URL, or has a query, a fragment or credentials.
    """
    try:
        parts = urlsplit(url)
        host, port = normalise(parts.hostname or ""), parts.port or 443
    except (ValueError, HostError) as exc:
        raise _refused_address() from exc
    extra = "@" in parts.netloc or "?" in url or "#" in url or parts.port == 0
    if parts.scheme != "https" or extra or not (url.isascii() and url.isprintable()) or " " in url:
        raise _refused_address()
    return Address(host, port, parts.path.rstrip("/") + "/")


def _refused_address() -> ConfigError:
    # Without the address: it may contain a password.
    return ConfigError(
        "updates come from an address such as https://pins.bank.example/app/",
        key="url",
        fix="write it with https://, and without name, password, ? and #",
    )
