"""From a failure to the document that is sent: pure, with the luck for its name passed in."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

from certpin._version import __version__
from certpin.errors import ConfigError
from certpin.reports.codecs.certpin import encode, encode_presence
from certpin.reports.codecs.fields import MAX_PINS, MAX_TEXT
from certpin.reports.codecs.pem import MAX_CHAIN, MAX_DER
from certpin.reports.model import Client, Presence, Report

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins import HostPolicy, Verdict
    from certpin.reports.model import Decision


class Failure(Protocol):
    """What is needed of ``certpin.PinFailure``."""

    @property
    def host(self) -> str:
        """Normalised; empty where there was none."""

    @property
    def decision(self) -> Decision:
        """What was done with the connection."""

    @property
    def reason(self) -> str:
        """Why."""

    @property
    def at(self) -> datetime:
        """When, with a time zone."""

    @property
    def pin_set(self) -> str:
        """The name of the pin set."""

    @property
    def pin_set_version(self) -> int:
        """Its version."""

    @property
    def verdict(self) -> Verdict | None:
        """What was decided about a chain, if there was one."""

    @property
    def policy(self) -> HostPolicy | None:
        """The policy of the host, if it has one."""

    @property
    def served(self) -> tuple[bytes, ...]:
        """What the server sent, as DER."""

    @property
    def port(self) -> int:
        """The port that was called; 0 where it is not known."""


class Held(Protocol):
    """What is needed of a ``PinSet``, or of an updater's status."""

    @property
    def name(self) -> str:
        """The name of the pin set."""

    @property
    def version(self) -> int:
        """The version of it."""


def this_client(app: str, app_version: str, network: str) -> Client:
    """Who tells it: the app, and what runs it. Nothing that tells one device from another.

    Raises ``ConfigError`` on a text that no collector takes: it would refuse each report.
    """
    said: dict[str, object] = {"app": app, "app_version": app_version, "network": network}
    for key, value in said.items():
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise ConfigError(
                f"this is no text of at most {MAX_TEXT} characters", key=key, fix="shorten it"
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


def sameness(failure: Failure) -> str:
    """What makes two failures the same: host, reason, decision, version, and the chain.

    A digest: it lies on the disk for a day, where nobody has to read which hosts are called.
    """
    chain = sha256(b"".join(sha256(der).digest() for der in chain_of(failure) or failure.served))
    said = (
        *(failure.host, failure.reason, failure.decision, failure.pin_set),
        *(str(failure.pin_set_version), chain.hexdigest()),
    )
    return sha256("\n".join(said).encode()).hexdigest()[:32]


def chain_of(failure: Failure) -> tuple[bytes, ...]:
    """The chain that was verified, as DER; empty where there was none."""
    chain = None if failure.verdict is None else failure.verdict.chain
    return () if chain is None else tuple(certificate.der for certificate in chain.certificates)


def document_of(failure: Failure, client: Client, luck: str, most: int) -> dict[str, Any]:
    """The report of a failure: in ``most`` bytes, without what was served if need be, or without
    any chain.
    """
    served, verified = failure.served, chain_of(failure)
    for chains in ((served, verified), ((), verified)):
        document = _document(failure, client, luck, *chains)
        if len(json.dumps(document)) <= most:
            return document
    return _document(failure, client, luck, (), ())


def _document(
    failure: Failure,
    client: Client,
    luck: str,
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
        identity=f"id:{luck}",
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
    """As much of a chain as a collector takes: whoever attacks may send as much as he likes."""
    return tuple(der for der in chain[:MAX_CHAIN] if len(der) <= MAX_DER)


def presence_of(pins: Held, at: datetime, client: Client, luck: str) -> dict[str, Any]:
    """That a version of a pin set is held."""
    return encode_presence(Presence(at, pins.name, pins.version, f"id:{luck}", client))
