"""The tables of ``watch.toml``: a class for each; its fields declare defaults and limits.

The documentation of each setting is in docs/monitor.md, collector.md, alerts.md, access.md,
metrics.md and watch-operations.md. Tests check that these documents have the same names.
"""
# ruff: noqa: RUF009  # `setting` is `dataclasses.field`

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from certpin.errors import ConfigError
from certpin.pins import normalise
from certpin.pins.policy import is_report_address
from certpin.probe import PROTOCOLS, default_port, split_address
from certpin_watch.permissions import ROLES, check_location
from certpin_watch.secret import Secret, read_secret
from certpin_watch.settings.reader import (
    choice,
    duration,
    flag,
    parsed,
    reads,
    setting,
    table_of,
    tables_of,
    text,
    texts,
    whole_number,
)

if TYPE_CHECKING:
    from certpin.pinfile.fields import Table
    from certpin_watch.addresses import Network

Severity = Literal["critical", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")  # the most severe first

_SECOND, _MINUTE, _HOUR, _DAY = (timedelta(seconds=n) for n in (1, 60, 3600, 86_400))


def _lower(table: Table, name: str) -> tuple[str, ...]:
    return tuple(value.lower() for value in table.texts(name))


def _own_location(table: Table, name: str) -> str:
    location = table.text(name)
    return check_location(location, table.under(name)) if location else ""


def _locations(table: Table, name: str) -> tuple[str, ...]:
    return tuple(check_location(value, table.under(name)) for value in table.texts(name))


def _starttls(table: Table, name: str) -> str:
    protocol = table.text(name)
    if protocol and protocol not in PROTOCOLS:
        names = ", ".join(sorted(PROTOCOLS))
        raise ConfigError(
            f"{protocol[:80]!r} is not a STARTTLS protocol",
            key=table.under(name),
            fix=f"one of {names}",
        )
    return protocol


_port = whole_number(1, 65535)


def _connect(table: Table, name: str) -> tuple[str, int]:
    """Read the host and port to connect to, if they are not those of the probed host.

    The default port is ``port`` in the same table, or the port of the STARTTLS protocol.
    """
    port = _port(table, "port") if "port" in table.data else 0
    port = port or default_port(_starttls(table, "starttls") if "starttls" in table.data else "")
    return parsed(lambda address: split_address(address, port))(table, name)


@dataclass(frozen=True)
class HostSettings:
    """``[[monitor.host]]``: how a host is probed, if differently from the pin file.

    If ``port`` is 0, ``connect`` None or ``starttls`` empty, the servers in the pin file decide.
    ``connect`` is another address to connect to. Without ``locations``, the locations of
    ``[monitor]`` probe the host.
    """

    name: str = field(metadata=reads(parsed(normalise)))
    port: int = setting(0, _port)
    connect: tuple[str, int] | None = setting(None, _connect)
    starttls: str = setting("", _starttls)
    locations: tuple[str, ...] = setting((), _locations, key="vantages")
    every_address: bool = setting(default=False, read=flag)


@dataclass(frozen=True)
class MonitorSettings:
    """``[monitor]``: locations, intervals and limits of probes, and warning times of alerts.

    ``location`` is the name of this machine, empty if it doesn't probe. ``locations`` are those
    that probe every host. ``certificate_*`` and ``pins_*`` are how long before the expiry of
    certificates and pins an alert fires. ``changes`` is how long the alert for a changed
    certificate stays open, ``logged`` how long the alert for a certificate in a Certificate
    Transparency log does.
    """

    enabled: bool = setting(default=True, read=flag)
    location: str = setting("local", _own_location, key="vantage")
    locations: tuple[str, ...] = setting(("local",), _locations, key="vantages")
    interval: timedelta = setting(15 * _MINUTE, duration(10 * _SECOND))
    confirm: timedelta = setting(_MINUTE, duration(_SECOND))
    timeout: timedelta = setting(10 * _SECOND, duration(_SECOND))
    window: int = setting(256, whole_number(1, 4096))
    every_address: bool = setting(default=False, read=flag)
    silent_after: int = setting(4, whole_number(1, 1000))
    certificate_warning: timedelta = setting(30 * _DAY, duration())
    certificate_critical: timedelta = setting(7 * _DAY, duration())
    pins_warning: timedelta = setting(60 * _DAY, duration())
    pins_critical: timedelta = setting(14 * _DAY, duration())
    changes: timedelta = setting(7 * _DAY, duration())
    logged: timedelta = setting(30 * _DAY, duration())
    hosts: tuple[HostSettings, ...] = setting((), tables_of(HostSettings), key="host")

    @property
    def named(self) -> frozenset[str]:
        """The names of the hosts with their own settings (``[[monitor.host]]``)."""
        return frozenset(host.name for host in self.hosts)

    @staticmethod
    def complete(values: dict[str, Any], _: Table) -> None:
        """Fill in ``locations``: without ``vantages``, only this machine's location probes."""
        own = values.get("location", "local")
        values["locations"] = values.get("locations") or ((own,) if own else ())


def _stream(table: Table, name: str) -> str:
    """Read the name of a JetStream stream. NATS wildcards are refused."""
    stream = table.text(name)
    plain = stream.replace("_", "").replace("-", "")
    if not (stream.isascii() and plain.isalnum() and len(stream) < 64):
        raise ConfigError(
            "this is not the name of a stream",
            key=table.under(name),
            fix="use letters, digits, - and _, as in CERTPIN_REPORTS",
        )
    return stream


@dataclass(frozen=True)
class CollectorSettings:
    """``[collector]``: limits on reports.

    A body has at most ``most_bytes``, compressed or not, and has to be complete within
    ``body_seconds``. A source is an address cut to ``ipv4_prefix`` or ``ipv6_prefix`` bits. It may
    send ``rate`` reports a second, ``burst`` of them at once, in at most ``at_once`` concurrent
    bodies. At most ``queue`` request bodies with ``queue_bytes`` may wait to become durable. Of
    each report group, ``samples`` reports are stored as they arrived. ``budget`` limits the bytes
    of samples, and of chains that only clients have reported. Repeats are recognised among the last
    ``most_identities`` reports; clients retry a report for ``client_days``.
    """

    # Both chains of 10 certificates with ML-DSA keys.
    most_bytes: int = setting(256 * 1024, whole_number(1024, 16 * 1024 * 1024))
    most_depth: int = setting(16, whole_number(4, 100))  # no format is deeper than 5
    most_reports: int = setting(100, whole_number(1, 10_000))
    body_seconds: int = setting(10, whole_number(1, 300))
    rate: int = setting(100, whole_number(1, 1_000_000))
    burst: int = setting(1000, whole_number(1, 10_000_000))
    most_sources: int = setting(10_000, whole_number(16, 1_000_000))
    queue: int = setting(5000, whole_number(1, 1_000_000))
    queue_bytes: int = setting(64 * 1024 * 1024, whole_number(1024 * 1024, 2**40))
    ipv4_prefix: int = setting(24, whole_number(0, 32))
    ipv6_prefix: int = setting(48, whole_number(0, 128))
    samples: int = setting(3, whole_number(0, 100))
    most_samples: int = setting(10_000, whole_number(0, 10_000_000))
    most_sample_bytes: int = setting(16 * 1024, whole_number(0, 1024 * 1024))
    budget: int = setting(1024**3, whole_number(16 * 1024 * 1024, 2**50))
    groups_per_hour: int = setting(10_000, whole_number(16, 10_000_000))
    groups_per_day: int = setting(30_000, whole_number(16, 100_000_000))
    chains_per_hour: int = setting(500, whole_number(4, 1_000_000))
    presences_per_day: int = setting(10_000, whole_number(16, 10_000_000))
    most_identities: int = setting(20_000_000, whole_number(1000, 10_000_000_000))
    client_days: int = setting(7, whole_number(1, 365))  # ReporterSettings.keep
    at_once: int = setting(256, whole_number(1, 1_000_000))
    stream_bytes: int = setting(1024**3, whole_number(1024 * 1024, 2**50))
    stream_replicas: int = setting(1, whole_number(1, 5))
    stream: str = setting("CERTPIN_REPORTS", _stream)
    hosts: tuple[str, ...] = setting((), _lower)


_MAX_SERVICES = 50
_MAX_NAME = 60  # characters


def _service_name(table: Table, name: str) -> str:
    """Read the name of a notification service. The default is its number in the list of services.

    The address can't be the default, because it contains secrets.
    """
    place = re.search(r"\[(\d+)\]$", table.key)
    value = table.text(name, f"service-{int(place[1]) + 1}" if place else None)
    if not value.isprintable() or not 0 < len(value) <= _MAX_NAME:
        raise ConfigError(
            "the name is empty, too long, or not printable",
            key=table.under(name),
            fix=f"at most {_MAX_NAME} characters",
        )
    return value


@dataclass(frozen=True)
class NotificationSettings:
    """``[[alerts.tell]]``: a notification service, and the alerts that are sent to it.

    ``url`` is its address, in the notation of apprise or for Alertmanager. ``severity`` is the
    lowest severity that is sent. If ``hosts`` or ``rules`` is not empty, only alerts of these hosts
    or rules are sent. If ``resolved`` is set, a message is sent when an alert resolves, too.
    """

    name: str = field(metadata=reads(_service_name))
    url: Secret = field(metadata=reads(read_secret))
    severity: Severity = setting("warning", choice(*SEVERITIES))
    hosts: tuple[str, ...] = setting((), texts)
    rules: tuple[str, ...] = setting((), texts)  # `load` checks that they exist
    resolved: bool = setting(default=True, read=flag)


_period = duration(high=3650 * _DAY)


@dataclass(frozen=True)
class AlertSettings:
    """``[alerts]``: evaluation and delivery of alerts, and thresholds of the rules over reports.

    Alerts are evaluated once in each ``every``, and resolve when their problem has been gone for
    ``hold``. A message about an open alert is repeated after ``repeat``. ``silence`` is the longest
    possible silence, and ``maintenance`` how long after a rotation step a change is expected. A
    notification service has to accept a message within ``deadline``; after ``give_up`` the message
    is not sent any more. If more than ``digest`` messages are due at once, they are combined.

    The rules over reports ignore fewer than ``few`` reports. A claim that probes don't confirm is
    critical only if it comes from this many ``networks`` of different providers. A surge is
    ``surge`` times the usual number of reports. ``silent`` is how long reports may be absent,
    ``disk`` the smallest free share of the disk in per cent.
    """

    every: timedelta = setting(15 * _SECOND, duration(_SECOND, _HOUR))
    hold: timedelta = setting(10 * _MINUTE, _period)
    repeat: timedelta = setting(6 * _HOUR, _period)
    silence: timedelta = setting(7 * _DAY, _period)
    maintenance: timedelta = setting(2 * _HOUR, _period)
    deadline: timedelta = setting(20 * _SECOND, duration(_SECOND, 5 * _MINUTE))
    give_up: timedelta = setting(2 * _DAY, _period)
    silent: timedelta = setting(6 * _HOUR, _period)
    digest: int = setting(5, whole_number(1, 1000))
    few: int = setting(5, whole_number(1, 1_000_000))
    networks: int = setting(10, whole_number(1, 60_000))
    surge: int = setting(4, whole_number(2, 1000))
    disk: int = setting(5, whole_number(0, 99))
    tell: tuple[NotificationSettings, ...] = setting((), tables_of(NotificationSettings))

    @staticmethod
    def complete(values: dict[str, Any], table: Table) -> None:
        """Raise ``ConfigError`` if notification services have the same name, or are too many."""
        names = Counter(service.name for service in values.get("tell", ()))
        if duplicates := sorted(name for name, number in names.items() if number > 1):
            raise ConfigError(
                f"two services are called {duplicates[0]}",
                key=table.under("tell"),
                fix="give each its own name",
            )
        if len(names) > _MAX_SERVICES:
            raise ConfigError(
                f"there are more than {_MAX_SERVICES} services", key=table.under("tell")
            )


# Asymmetric signatures only. "none" is unsigned. HS256 is signed with the client's secret, and a
# client that takes a public key for that secret accepts any signature (RFC 8725, 2.1 and 3.1).
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
_DEFAULT_ALGORITHMS = ("RS256", "PS256", "ES256")
_DEFAULT_SCOPES = ("openid", "profile", "email")


def _issuer(table: Table, name: str) -> str:
    """Read the URL of an OpenID provider: https, without query and fragment.

    See OpenID Connect Discovery 1.0, section 4.1.
    """
    issuer = table.text(name)
    parts = urlsplit(issuer)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(
            "this is not the issuer of a provider",
            key=table.under(name),
            fix="write https://id.bank.example, for example, exactly as the provider writes it",
        )
    return issuer


def _roles(table: Table, name: str) -> dict[str, str]:
    below = table.table(name)
    if below is None or not below.data:
        raise ConfigError(
            "no user could sign in",
            key=table.under(name),
            fix='map a group to a role, as in { "watch-admins" = "admin" }',
        )
    return {group: below.choice(group, tuple(ROLES), None) for group in below.data}


def _scopes(table: Table, name: str) -> tuple[str, ...]:
    scopes = table.texts(name) or _DEFAULT_SCOPES
    return scopes if "openid" in scopes else ("openid", *scopes)


def _algorithms(table: Table, name: str) -> tuple[str, ...]:
    names = table.texts(name) or _DEFAULT_ALGORITHMS
    if refused := sorted(set(names) - set(_ALGORITHMS)):
        raise ConfigError(
            f"{refused[0][:20]!r} is not accepted",
            key=table.under(name),
            fix=f"choose from {', '.join(_ALGORITHMS)}",
        )
    return names


def _file(table: Table, name: str) -> Path | None:
    return Path(file) if (file := table.text(name)) else None


@dataclass(frozen=True)
class OpenIDSettings:
    """``[access.oidc]``: an OpenID provider, and the roles of its groups.

    ``roles`` maps a group, a value of the claim ``claim``, to a role; users in none of these groups
    are refused. With ``ca_file``, only its authorities are trusted for the provider. The provider's
    statement about a user is valid for ``recheck_minutes``.
    """

    issuer: str = field(metadata=reads(_issuer))
    client_id: str = field(metadata=reads(text))
    client_secret: Secret = field(metadata=reads(read_secret))
    roles: dict[str, str] = field(metadata=reads(_roles))
    claim: str = setting("groups", text)
    name: str = setting("single sign-on", text)
    scopes: tuple[str, ...] = setting(_DEFAULT_SCOPES, _scopes)
    algorithms: tuple[str, ...] = setting(_DEFAULT_ALGORITHMS, _algorithms)
    ca_file: Path | None = setting(None, _file)
    recheck_minutes: int = setting(60, whole_number(1, 24 * 60))

    @property
    def recheck_seconds(self) -> int:
        """For how many seconds the provider's statement about a user is valid."""
        return self.recheck_minutes * 60


_LOOPBACK: tuple[Network, ...] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)


def _proxies(table: Table, name: str) -> tuple[Network, ...]:
    try:
        networks = tuple(ipaddress.ip_network(value) for value in table.texts(name))
    except ValueError as exc:
        raise ConfigError(
            "an entry is neither an address nor a network",
            key=table.under(name),
            fix="write 10.0.0.5 or 10.0.0.0/24, for example",
        ) from exc
    if any(network.prefixlen == 0 for network in networks):
        raise ConfigError(
            "every client would be trusted, and could claim any address",
            key=table.under(name),
            fix="list only the addresses of your proxies",
        )
    return networks or _LOOPBACK


@dataclass(frozen=True)
class AuthSettings:
    """``[access]``: sessions, the proxy in front, and OpenID Connect.

    A session ends ``idle_minutes`` after its last use, and ``session_hours`` after its start. With
    ``behind_proxy``, a proxy terminates TLS and names the client (``X-Forwarded-…``); only
    ``trusted_proxies`` are believed, for pages and reports alike. Pages, API and metrics are served
    under the names in ``hosts`` and that of ``public_url``.
    """

    behind_proxy: bool = setting(default=False, read=flag)
    trusted_proxies: tuple[Network, ...] = setting(_LOOPBACK, _proxies)
    idle_minutes: int = setting(120, whole_number(1, 24 * 60))
    session_hours: int = setting(24, whole_number(1, 30 * 24))
    oidc: OpenIDSettings | None = setting(None, table_of(OpenIDSettings))
    hosts: frozenset[str] = setting(frozenset(), lambda table, name: frozenset(_lower(table, name)))

    @property
    def believed(self) -> tuple[Network, ...]:
        """The networks of proxies that may set ``X-Forwarded-…`` headers; none without a proxy."""
        return self.trusted_proxies if self.behind_proxy else ()

    @property
    def idle_seconds(self) -> int:
        """The seconds without use after which a session ends."""
        return self.idle_minutes * 60

    @property
    def session_seconds(self) -> int:
        """The seconds after its start at which a session ends, even if it is in use."""
        return self.session_hours * 3600


_days = whole_number(1, 36_500)


@dataclass(frozen=True)
class RetentionSettings:
    """``[retention]``: the days for which each kind of row is kept.

    ``identities`` are kept to recognise a report that is sent again: set this higher than the days
    for which clients retry a report (``[collector] client_days``). ``sightings`` are probe results
    that are no longer current, ``alerts`` are resolved ones.
    """

    groups: int = setting(400, _days)
    samples: int = setting(30, _days)
    identities: int = setting(8, _days)
    presences: int = setting(400, _days)
    sightings: int = setting(400, _days)
    alerts: int = setting(400, _days)
    audit: int = setting(400, _days)


@dataclass(frozen=True)
class LogSettings:
    """``[log]``: the format of each line, and whether requests are logged."""

    format: Literal["text", "json"] = setting("text", choice("text", "json"))
    requests: bool = setting(default=False, read=flag)


def _endpoint(table: Table, name: str) -> str:
    endpoint = table.text(name)
    if endpoint and not is_report_address(endpoint):
        raise ConfigError(
            "this is not an https:// address",
            key=table.under(name),
            fix="http:// is for a collector on this machine only",
        )
    return endpoint.rstrip("/")


def _share(table: Table, name: str) -> float:
    value = table.data[name]
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= 1:
        raise ConfigError("this is not a share", key=table.under(name), fix="from 0.0 to 1.0")
    return float(number)


@dataclass(frozen=True)
class TelemetrySettings:
    """``[telemetry]``: the export to OpenTelemetry. Without an endpoint there is none.

    ``headers`` are NAME=VALUE pairs, separated by commas. ``sampling`` is the share of traces that
    is exported, ``interval`` the time between two exports of metrics.
    """

    endpoint: str = setting("", _endpoint)
    headers: Secret | None = setting(None, read_secret)
    service_name: str = setting("certpin-watch", text)
    sampling: float = setting(1.0, _share)
    interval: timedelta = setting(_MINUTE, duration(_SECOND))
