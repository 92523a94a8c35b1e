"""Build the JSON of reports, choose the URLs to send it to, and limit the rate. Pure functions.

A report is about a pin failure, or about the version of the pin set that a client has (a presence).
"""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from certpin._version import __version__
from certpin.errors import ConfigError, HostError
from certpin.pins import normalise
from certpin.pins.hosts import is_report_address
from certpin.reports.codecs.certpin import encode, encode_presence
from certpin.reports.codecs.fields import MAX_CHAIN, MAX_DER, MAX_PINS, MAX_TEXT
from certpin.reports.model import Client, Presence, Report

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from certpin.pins import HostPolicy, PinSet, Verdict
    from certpin.reports.model import Decision
    from certpin.reports.reporter.settings import ReporterSettings

_DAY = 24 * 3600.0  # seconds
_MAX_PRESENCE_ADDRESSES = 8


class Failure(Protocol):
    """The attributes of a pin failure (a connection that failed its policy) that a report contains.

    This protocol is implemented by ``certpin.PinFailure``.
    """

    @property
    def host(self) -> str:
        """The normalised host of the connection; empty if it is unknown."""

    @property
    def decision(self) -> Decision:
        """``refuse`` if the connection was refused, ``report`` if it was accepted and reported."""

    @property
    def reason(self) -> str:
        """The reason of the failure, such as ``mismatch`` or ``expired``.

        ``certpin.PinFailure`` describes the reasons.
        """

    @property
    def at(self) -> datetime:
        """The time of the failure, with a time zone."""

    @property
    def pin_set(self) -> str:
        """The name of the pin set that was enforced."""

    @property
    def pin_set_version(self) -> int:
        """The version of the pin set that was enforced."""

    @property
    def verdict(self) -> Verdict | None:
        """The result of comparing the verified chain with the pins.

        ``None`` if no verified chain was compared with pins.
        """

    @property
    def policy(self) -> HostPolicy | None:
        """The policy of the host; ``None`` if no policy covers the host."""

    @property
    def served(self) -> tuple[bytes, ...]:
        """The certificates that the server sent, as DER, leaf first."""

    @property
    def port(self) -> int:
        """The port of the connection; 0 if unknown."""


class PinSetVersion(Protocol):
    """An object with the name and version of a pin set, such as a ``PinSet``.

    A client reports its name and version once a day (a presence), so that a collector can count the
    clients with each version. An updater's status (``UpdateStatus``) is such an object, too.
    """

    @property
    def name(self) -> str:
        """The name of the pin set."""

    @property
    def version(self) -> int:
        """The version of the pin set."""


def check_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Check the URLs for reports, and return them as a tuple. ``addresses`` is one URL, or several.

    Raises:
        ConfigError: a URL is not ``https://`` (``http://`` is allowed only to this machine).
    """
    found = (addresses,) if isinstance(addresses, str) else tuple(addresses)
    for address in found:
        if not is_report_address(address):
            raise ConfigError(
                f"{address!r} is not an https:// address",
                key="report_to",
                fix="reports name hosts and certificates: send them over TLS",
            )
    return found


def failure_addresses(failure: Failure, default: tuple[str, ...]) -> tuple[str, ...]:
    """Return the URLs to report a failure to: those of the host's policy, or else ``default``.

    URLs at the failed host are left out, because that host can't be reached safely (RFC 7469
    section 2.1.4). If no URL is left, the failure is not reported.
    """
    own = () if failure.policy is None else failure.policy.report_to
    return tuple(address for address in own or default if address_host(address) != failure.host)


def presence_addresses(name: str, pin_sets: Iterable[PinSet]) -> tuple[str, ...]:
    """Return at most 8 URLs to which a client reports its version of the pin set ``name``.

    The URLs are the ``report_to`` of all policies of the given pin sets with this name.
    """
    named = [pins for pins in pin_sets if pins.name == name]
    found = (to for pins in named for policy in pins.policies for to in policy.report_to)
    return tuple(dict.fromkeys(found))[:_MAX_PRESENCE_ADDRESSES]


def address_host(address: str) -> str:
    """Return the normalised host of a report URL; empty if the URL has no valid host."""
    try:
        return normalise(urlsplit(address).hostname or "")
    except (ValueError, HostError):
        return ""


def admit_failure(
    reported: dict[str, float], digest: str, now: float, settings: ReporterSettings
) -> bool:
    """Return True if the rate limits allow reporting a failure now.

    If so, the failure is also added to ``reported``, with the time ``now``. ``reported`` never has
    more than ``settings.different`` entries, so that an attacker who varies the certificates can
    fill neither memory nor disk. Entries that are older than a day are deleted from it. Entries
    with a future time are deleted, too: they exist if the clock was set back, and would suppress
    reports until the clock reaches their time. The Dart client does the same.

    Args:
        reported: by digest of a failure, the time of its last report in seconds since the epoch.
        digest: the digest of the failure (``failure_digest``).
        now: the current time in seconds since the epoch.
        settings: the rate limits.
    """
    for old in [known for known, at in reported.items() if not now - _DAY < at <= now]:
        del reported[old]
    previous = reported.get(digest)
    if previous is None and len(reported) >= settings.different:
        return False
    if previous is not None and now < previous + settings.pause.total_seconds():
        return False
    reported[digest] = now
    return True


def failure_digest(failure: Failure) -> str:
    """Return a digest by which repeats of a failure are recognised.

    Failures have the same digest if host, reason, decision, pin set, version and chain are equal.
    Only the digest is stored on disk, for a day, so that the file doesn't reveal the hosts.
    """
    certificates = chain_of(failure) or failure.served
    chain = sha256(b"".join(sha256(der).digest() for der in certificates))
    texts = (
        *(failure.host, failure.reason, failure.decision, failure.pin_set),
        *(str(failure.pin_set_version), chain.hexdigest()),
    )
    return sha256("\n".join(texts).encode()).hexdigest()[:32]


def client_info(app: str, app_version: str, network: str) -> Client:
    """Return the fields of reports that describe this client: app, Python and system.

    No field identifies the device.

    Args:
        app: the name of the app.
        app_version: the version of the app.
        network: the network of the device, such as ``wifi``.

    Raises:
        ConfigError: a text is too long: a collector would refuse every report with it.
    """
    texts: dict[str, object] = {"app": app, "app_version": app_version, "network": network}
    for key, value in texts.items():
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise ConfigError(
                f"this is not a text of at most {MAX_TEXT} characters", key=key, fix="shorten it"
            )
    python = ".".join(map(str, sys.version_info[:3]))
    return Client(
        app=app,
        app_version=app_version,
        platform="python",
        platform_version=f"{python} {sys.platform}",
        network=network,
        library=f"certpin {__version__}",
    )


def chain_of(failure: Failure) -> tuple[bytes, ...]:
    """Return the verified chain of a failure as DER certificates; empty if there is none."""
    chain = None if failure.verdict is None else failure.verdict.chain
    return () if chain is None else tuple(certificate.der for certificate in chain.certificates)


def failure_document(
    failure: Failure, client: Client, nonce: str, max_bytes: int
) -> dict[str, Any]:
    """Return the JSON object that reports a failure.

    If the object is too large, the served chain is left out, and then the verified chain too.

    Args:
        failure: the pin failure.
        client: the app that reports it.
        nonce: a random text that identifies this report.
        max_bytes: the largest size of the object as JSON.
    """
    served, verified = failure.served, chain_of(failure)
    for chains in ((served, verified), ((), verified)):
        document = _document(failure, client, nonce, *chains)
        if len(json.dumps(document)) <= max_bytes:
            return document
    return _document(failure, client, nonce, (), ())


def _document(
    failure: Failure,
    client: Client,
    nonce: str,
    served: tuple[bytes, ...],
    verified: tuple[bytes, ...],
) -> dict[str, Any]:
    policy = failure.policy
    report = Report(
        kind="certpin",
        at=failure.at,
        host=failure.host,
        port=failure.port,
        decision=failure.decision,
        reason=failure.reason,
        identity=f"id:{nonce}",
        client=client,
        pin_set=failure.pin_set,
        pin_set_version=failure.pin_set_version,
        pattern=str(policy.pattern) if policy else "",
        served=_bounded(served),
        verified=_bounded(verified),
        known_pins=tuple(map(str, policy.live_pins))[:MAX_PINS] if policy else (),
        expires=policy.expires if policy else None,
        own_identity=True,
    )
    return encode(report)


def _bounded(chain: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the certificates of a chain that a collector accepts: at most 20, each at most 16 KiB.

    A collector is a server that receives reports. All other certificates are left out, because an
    attacker may serve any number of bytes.
    """
    return tuple(der for der in chain[:MAX_CHAIN] if len(der) <= MAX_DER)


def presence_document(
    pins: PinSetVersion, at: datetime, client: Client, nonce: str
) -> dict[str, Any]:
    """Return the JSON object of a presence: a report of the version of a pin set on this client.

    Args:
        pins: name and version of the pin set.
        at: the current time.
        client: the app that reports it.
        nonce: a random text that identifies this presence.
    """
    return encode_presence(Presence(at, pins.name, pins.version, f"id:{nonce}", client))
