"""The tables of ``watch.toml``: a class for each; its fields declare defaults and limits.

The page "Settings of watch.toml" of the documentation is made from these classes: the docstring of
each describes its fields.
"""
# ruff: noqa: RUF009  # `setting` is `dataclasses.field`

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from certpin.errors import ConfigError
from certpin.pins import normalise
from certpin.pins.hosts import is_report_address
from certpin.probe import PROTOCOLS, default_port, split_address
from certpin_watch.permissions import check_location
from certpin_watch.secret import Secret, read_secret
from certpin_watch.settings.reader import (
    choice,
    duration,
    flag,
    parsed,
    reads,
    setting,
    tables_of,
    text,
    texts,
    whole_number,
)

if TYPE_CHECKING:
    from certpin.pinfile.file import Table

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
    """Read ``connect``: the host and port to connect to instead of those of the probed host.

    ``name`` is the key of this setting in ``table``. If the text has no port, the port is the
    setting ``port`` in the same table. If that is missing, too, it is the default port of the
    STARTTLS protocol in the table; without STARTTLS, that of HTTPS. Raises ``ConfigError`` if the
    text is not an address.
    """
    port = _port(table, "port") if "port" in table.data else 0
    port = port or default_port(_starttls(table, "starttls") if "starttls" in table.data else "")
    return parsed(lambda address: split_address(address, port))(table, name)


@dataclass(frozen=True)
class HostSettings:
    """``[[monitor.host]]``: how a host is probed, if differently from the pin file.

    Without ``port``, ``connect`` and ``starttls``, those of the servers in the pin file are used.

    Attributes:
        name: the host, or a name that a wildcard of the pin file covers.
        port: its port; 0 for the ports in the pin file.
        connect: another address to connect to, with its port: a host or an IP address.
        starttls: the protocol in which TLS starts, such as ``smtp``.
        locations: the locations that probe it; by default those of ``[monitor]``.
        every_address: probe every address of the name.
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

    A *location* is a machine that probes hosts: that of this service, or that of a worker.

    Attributes:
        enabled: false to stop all probes, those of workers too.
        location: the name of this machine as a location; if empty, only workers probe.
        locations: the locations that probe the hosts; by default only this machine. Any other needs
            a worker.
        interval: time between two probes of a host, from 10 s.
        confirm: time between a probe with a changed result and the next probe, which confirms it.
        timeout: time limit of an attempt; a probe makes up to two. With STARTTLS it makes only one,
            and the limit is for each of its steps.
        window: hosts probed at once, up to 4096; each uses a file descriptor.
        every_address: probe every address of every name.
        silent_after: the number of intervals without a result from a location after which an alert
            fires.
        certificate_warning: time before a certificate expires at which a warning fires; shortened
            automatically for a certificate with a short lifetime.
        certificate_critical: time before a certificate expires at which a critical alert fires.
        pins_warning: time before pins expire (``expires``) at which a warning fires.
        pins_critical: time before pins expire at which a critical alert fires.
        changes: how long the alert for a changed key or issuer stays open.
        logged: how long the alert for a certificate in a Certificate Transparency log stays open.
        hosts: settings of single hosts, in tables ``[[monitor.host]]``.
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
        """The names of the hosts that have a table ``[[monitor.host]]``.

        Reports about such a host have their own limits, also if a wildcard policy covers the host.
        """
        return frozenset(host.name for host in self.hosts)

    @staticmethod
    def complete(values: dict[str, Any], _: Table) -> None:
        """Complete the settings of the monitor with the default for ``locations``.

        If ``values`` has no ``locations``, the only location is this machine, if it has a name.

        Args:
            values: the settings by field name; changed in place.
        """
        own = values.get("location", "local")
        values["locations"] = values.get("locations") or ((own,) if own else ())


def _stream(table: Table, name: str) -> str:
    """Read the name of a JetStream stream from the setting ``name`` in ``table``.

    Only ASCII letters, digits, hyphens and underscores are accepted, so NATS wildcards are refused.

    Raises:
        ConfigError: the name contains other characters, or is empty or too long.
    """
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

    A *body* is that of a request with reports. A *network* is an address cut to ``ipv4_prefix`` or
    ``ipv6_prefix`` bits. A *group* counts the equal reports of an hour. A *sample* is a report that
    is stored as it arrived. The *stream* is the one in NATS JetStream in which reports wait to be
    counted, if the service uses NATS.

    Attributes:
        most_bytes: bytes of a body, compressed and decompressed.
        most_depth: nesting depth of a document.
        most_reports: reports in one body.
        body_seconds: seconds in which a body must arrive.
        rate: reports per second that are accepted from one network, on average.
        burst: reports that are accepted from one network at once.
        most_sources: networks for which the rate is kept in memory.
        queue: bodies that wait at once to be stored durably.
        queue_bytes: bytes of the bodies that wait at once to be stored durably.
        ipv4_prefix: bits of an IPv4 address that are kept.
        ipv6_prefix: bits of an IPv6 address that are kept.
        samples: reports kept of each group as they arrived; 0 keeps none.
        most_samples: samples of all groups; 0 keeps none.
        most_sample_bytes: size above which a sample is not kept.
        budget: bytes of all stored samples, and of stored chains that only clients reported.
        groups_per_hour: groups in an hour that are stored with all details.
        groups_per_day: groups in a day that are stored with all details.
        chains_per_hour: new chains that are stored in an hour and that only clients reported.
        presences_per_day: combinations of pin-set version, app and platform that are counted with
            all details in a day.
        most_identities: report identities that are stored at most, to recognise repeats.
        client_days: the number of days for which your clients try to send a report again. An alert
            fires if identities of reports are deleted earlier: a repeated report would count twice.
        at_once: bodies that clients of one network may transmit at the same time.
        stream_bytes: size of the stream; the default is enough for about 500,000 reports. When the
            stream is full, reports are refused with 503.
        stream_replicas: copies of the stream, on as many servers of a cluster.
        stream: the name of the stream in JetStream.
        hosts: host names that requests may use (``Host``); by default any.
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
    """Read the name of a notification service; by default its number, such as ``service-1``.

    ``table`` has the settings of the service, and ``name`` is the key of the setting. The address
    can't be the default name, because it contains secrets. Raises ``ConfigError`` if the name is
    empty, too long or unprintable.
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

    Attributes:
        name: the name that is shown with alerts; by default ``service-1`` and so on.
        url: the address in the notation of apprise, or of Alertmanager: a secret.
        severity: the lowest severity that is sent: ``critical``, ``warning`` or ``info``.
        hosts: the hosts and patterns (``*.bank.example``) whose alerts are sent; by default all,
            also alerts without a host. An alert about a wildcard of the pin file is sent if the
            wildcard covers one of these hosts.
        rules: the rules whose alerts are sent; by default all.
        resolved: also send a message when an alert resolves.
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
    """``[alerts]``: evaluation and delivery of alerts, thresholds of rules over reports and disks.

    Attributes:
        every: time between two evaluations of the alert rules.
        hold: how long a problem must be gone before its alert resolves.
        repeat: time between repeated messages about an open alert.
        silence: the longest permitted duration of a silence.
        maintenance: for how long after a step of a rotation a changed key is expected, so that its
            alert sends no message.
        deadline: how long a notification service may take to accept a message.
        give_up: the age at which an undelivered message is given up.
        silent: the time without any report after which an alert fires.
        digest: if more messages than this are due at once, they are sent as one.
        few: the smallest number of reports about a problem for which an alert fires.
        networks: how many providers' networks must report a problem that no probe confirms to make
            it critical.
        surge: the multiple of the usual number of reports that is a surge.
        disk: an alert fires if less than this percentage of the store's disk is free.
        tell: the notification services.
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
        """Check the list of notification services.

        ``values`` are the settings by field name, ``table`` is ``[alerts]``.

        Raises:
            ConfigError: two services have the same name, or there are too many.
        """
        names: set[str] = set()
        for number, service in enumerate(values.get("tell", ())):
            if service.name in names:
                raise ConfigError(
                    f"two services are called {service.name}",
                    key=f"{table.under('tell')}[{number}].name",
                    fix="give each its own name",
                )
            names.add(service.name)
        if len(names) > _MAX_SERVICES:
            raise ConfigError(
                f"there are more than {_MAX_SERVICES} services", key=table.under("tell")
            )


_days = whole_number(1, 36_500)


@dataclass(frozen=True)
class RetentionSettings:
    """``[retention]``: the days (1 to 36,500) for which each kind of row is kept.

    Attributes:
        groups: counts of reports, by the hour and by the day.
        samples: reports as they arrived.
        identities: the identities of reports, which recognise repeats. Choose more than
            ``client_days``.
        presences: daily counts of the pin-set versions that clients have.
        sightings: probe results that are not current any more; certificates from CT logs, counted
            from their expiry.
        alerts: alerts, counted from when they resolved; silences, counted from their end.
        audit: the audit log.
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
    """``[log]``: the log on standard error.

    Attributes:
        format: ``text``, or ``json``: one object a line.
        requests: log each request, including reports of clients.
    """

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
    """``[telemetry]``: the export to OpenTelemetry. Without an endpoint, nothing is exported.

    Attributes:
        endpoint: the collector: https, or http to this machine; ``/v1/traces`` and
            ``/v1/metrics`` are appended.
        headers: ``NAME=VALUE`` pairs with commas between: a secret.
        service_name: the name of the service.
        sampling: the share of traces that is sent.
        interval: time between two exports of metrics.
    """

    endpoint: str = setting("", _endpoint)
    headers: Secret | None = setting(None, read_secret)
    service_name: str = setting("certpin-watch", text)
    sampling: float = setting(1.0, _share)
    interval: timedelta = setting(_MINUTE, duration(_SECOND))
