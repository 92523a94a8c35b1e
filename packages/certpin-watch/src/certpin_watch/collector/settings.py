"""The table ``[collector]`` of ``watch.toml``, and the address of the NATS server."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from certpin.errors import ConfigError
from certpin_watch.addresses import is_local_only

if TYPE_CHECKING:
    from certpin.pinfile.fields import Table
    from certpin_watch.secret import Secret

# The smallest and the largest value of each number.
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

_TRUSTED = "tls=disable"


@dataclass(frozen=True)
class CollectorSettings:
    """The settings of the table, by their names in the file; each has a default.

    A body has at most ``most_bytes``, compressed or not, and has to be complete within
    ``body_seconds``. A source is an address cut to ``ipv4_prefix`` or ``ipv6_prefix`` bits. It may
    send ``rate`` reports a second, ``burst`` of them at once, in at most ``at_once`` concurrent
    bodies. ``queue`` reports (and ``queue_bytes``) may wait to become durable. ``samples`` of each
    group are kept as they arrived. ``budget`` limits the bytes of samples, and of chains that only
    clients have seen. Repeats are recognised among the last ``most_identities`` reports; clients
    repeat a report for ``client_days``.
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


def read(table: Table) -> CollectorSettings:
    """Read the table.

    Raises:
        ConfigError: a value is invalid.
    """
    found: dict[str, Any] = {
        name: _number(table, name) for name in table.data.keys() & _NUMBERS.keys()
    }
    if "hosts" in table.data:
        found["hosts"] = tuple(host.lower() for host in table.texts("hosts"))
    if "stream" in table.data:
        found["stream"] = _stream(table)
    return CollectorSettings(**found)


def _number(table: Table, name: str) -> int:
    smallest, largest = _NUMBERS[name]
    number = table.integer(name)
    if not smallest <= number <= largest:
        raise ConfigError(
            f"{number} is out of range",
            key=table.under(name),
            fix=f"write a number from {smallest} to {largest}",
        )
    return number


def _stream(table: Table) -> str:
    """Return a name that NATS accepts, without wildcards."""
    name = table.text("stream")
    if not (name.isascii() and name.replace("_", "").replace("-", "").isalnum() and len(name) < 64):
        raise ConfigError(
            "this is not the name of a stream",
            key=table.under("stream"),
            fix="use letters, digits, - and _, as in CERTPIN_REPORTS",
        )
    return name


def nats_address(secret: Secret) -> str:
    """Return the address of the NATS server for its client.

    Reports and the password go there. NATS sends clear text unless the server asks for TLS, and an
    attacker on the path can remove that request. So the address has to start with ``tls://``, or to
    state that the network is trusted.

    Raises:
        ConfigError: it is not an address, or could lead to clear text in an untrusted network. The
            error contains nothing of the address, because it has a password.
    """
    key, text = secret.key or "nats", secret.reveal()
    scheme, host, query = _parts(text)
    if not host or scheme not in {"nats", "tls"} or query not in {"", _TRUSTED}:
        raise ConfigError(
            "this is not the address of a NATS server",
            key=key,
            fix="write tls://USER:PASSWORD@HOST:4222, with %40, %3A, %2F for @, :, / in a password",
        )
    if scheme == "nats" and not query and not is_local_only(host):
        raise ConfigError(
            "the address does not say whether the connection to the NATS server is protected",
            key=key,
            fix=f"write tls://; or nats://…?{_TRUSTED} if the network itself is trusted",
        )
    return text.removesuffix(f"?{_TRUSTED}")


def _parts(text: str) -> tuple[str, str, str]:
    """Return scheme, host and query; empty texts if the address can't be parsed."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # urlsplit checks the port only on access
    except ValueError:
        return "", "", ""
    return parts.scheme, parts.hostname or "", parts.query


def require_nats() -> None:
    """Check that the client library of NATS is installed.

    Raises:
        ConfigError: it is not.
    """
    if find_spec("nats") is None:
        raise ConfigError(
            "JetStream needs the package nats-py", key="nats", fix="pip install 'certpin[cluster]'"
        )
