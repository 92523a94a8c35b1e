"""The table ``[collector]`` of ``watch.toml``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError

if TYPE_CHECKING:
    from certpin.pinfile.fields import Table

# Each number, and what it may be from and to.
_NUMBERS = {
    "most_bytes": (1024, 16 * 1024 * 1024),
    "most_depth": (4, 100),
    "most_reports": (1, 10_000),
    "body_seconds": (1, 300),
    "rate": (1, 1_000_000),
    "burst": (1, 10_000_000),
    "most_sources": (16, 1_000_000),
    "queue": (1, 1_000_000),
    "queue_bytes": (1024 * 1024, 2**40),
    "ipv4_prefix": (0, 32),
    "ipv6_prefix": (0, 128),
    "samples": (0, 100),
    "most_samples": (0, 10_000_000),
    "most_sample_bytes": (0, 1024 * 1024),
    "budget": (16 * 1024 * 1024, 2**50),
    "groups_per_hour": (16, 10_000_000),
    "groups_per_day": (16, 100_000_000),
    "chains_per_hour": (4, 1_000_000),
    "most_identities": (1000, 10_000_000_000),
    "client_days": (1, 365),
    "at_once": (1, 1_000_000),
    "presences_per_day": (16, 10_000_000),
    "stream_bytes": (1024 * 1024, 2**50),
    "stream_replicas": (1, 5),
}
KNOWN: tuple[str, ...] = (*_NUMBERS, "hosts", "stream")


@dataclass(frozen=True)
class Settings:
    """What stands in the table; each has a default.

    A body has at most ``most_bytes``, packed or unpacked, and has to be there within
    ``body_seconds``. ``rate`` is the reports of one source in a second, ``burst`` how many at once;
    a source is an address cut to ``ipv4_prefix`` or ``ipv6_prefix`` bits. ``queue`` reports (and
    ``queue_bytes``) may wait to become durable. ``samples`` of each group are kept as they came.
    ``budget`` is how many bytes of chains that nobody but clients has met, and of samples, are
    kept. Repeats are recognised among the last ``most_identities``; clients send a report again for
    ``client_days``. ``at_once`` are the bodies of one source that may be on their way at the same
    moment.
    """

    most_bytes: int = 256 * 1024  # both chains of 10 certificates with ML-DSA keys
    most_depth: int = 16  # no format goes deeper than 5
    most_reports: int = 100
    body_seconds: int = 10
    rate: int = 100
    burst: int = 1000
    most_sources: int = 10_000
    queue: int = 5000
    queue_bytes: int = 64 * 1024 * 1024
    ipv4_prefix: int = 24
    ipv6_prefix: int = 48
    samples: int = 3
    most_samples: int = 10_000
    most_sample_bytes: int = 16 * 1024
    budget: int = 1024**3
    groups_per_hour: int = 10_000
    groups_per_day: int = 30_000
    chains_per_hour: int = 500
    presences_per_day: int = 10_000
    most_identities: int = 20_000_000
    client_days: int = 7  # ReporterSettings.keep
    at_once: int = 256
    stream_bytes: int = 1024**3
    stream_replicas: int = 1
    stream: str = "CERTPIN_REPORTS"
    hosts: tuple[str, ...] = ()


def read(table: Table) -> Settings:
    """Read the table. Raises ``ConfigError``."""
    found: dict[str, Any] = {
        name: _number(table, name) for name in table.data.keys() & _NUMBERS.keys()
    }
    if "hosts" in table.data:
        found["hosts"] = tuple(host.lower() for host in table.texts("hosts"))
    if "stream" in table.data:
        found["stream"] = _stream(table)
    return Settings(**found)


def _number(table: Table, name: str) -> int:
    least, most = _NUMBERS[name]
    number = table.integer(name)
    if not least <= number <= most:
        raise ConfigError(
            f"{number} is not right", key=table.under(name), fix=f"from {least} to {most}"
        )
    return number


def _stream(table: Table) -> str:
    """A name that NATS takes, and in which nothing is a wildcard."""
    name = table.text("stream")
    if not (name.isascii() and name.replace("_", "").replace("-", "").isalnum() and len(name) < 64):
        raise ConfigError(
            "this is no name of a stream",
            key=table.under("stream"),
            fix="letters, digits, - and _, as in CERTPIN_REPORTS",
        )
    return name
