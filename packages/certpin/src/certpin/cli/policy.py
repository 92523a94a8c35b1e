"""The policy of a host that is being added: what it pins, and what it must not."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from certpin.cli.options import anchors_pem
from certpin.errors import ConfigError
from certpin.pins import (
    HostPattern,
    HostPin,
    HostPolicy,
    HostServer,
    Match,
    Mode,
    Pin,
    Role,
    TrustAnchors,
    pins_of,
    utc_now,
)
from certpin.probe import default_port
from certpin.x509.reader import read_certificates

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.cli.backup import Backup
    from certpin.probe import Endpoint, Observation
    from certpin.x509 import Chain

# How long new pins hold: a year, the life of an app version; a trial, as long as lint allows
# without a warning (decision 41).
_HOLDS: dict[Mode, timedelta] = {"enforce": timedelta(days=365), "report": timedelta(days=90)}


def new_policy(
    pattern: HostPattern,
    first: HostPin,
    backup: Backup,
    trust: TrustAnchors | None,
    *,
    mode: Mode,
    match: Match,
    expires: datetime | None,
    servers: tuple[HostServer, ...],
) -> HostPolicy:
    """The policy with its first pin and its backup. Raises ``ConfigError`` if it is unsafe.

    The backup is STAGED: it is PUBLISHED when ``certpin rotate publish`` has recorded it.
    """
    entries = [first]
    if backup.pin:
        entries.append(HostPin(backup.pin, "backup", state="staged", note=backup.note))
    if expires is None:
        expires = datetime.combine(utc_now().date() + _HOLDS[mode], time.min)
    return HostPolicy(
        pattern,
        tuple(entries),
        mode=mode,
        match=match,
        expires=expires.replace(tzinfo=UTC),
        trust=trust,
        servers=servers,
    )


def server_of(endpoint: Endpoint) -> tuple[HostServer, ...]:
    """The server that was dialled, for the pin file; none if it is the one that a name implies."""
    address, port = endpoint.address
    server = HostServer(
        "" if address == endpoint.name else address,
        None if port == default_port(endpoint.starttls) else port,
        endpoint.starttls,
    )
    return () if server == HostServer() else (server,)


def known_pin(text: str, match: Match) -> HostPin:
    """A pin that the user knows. Raises ``PinParseError``."""
    return HostPin(Pin.parse(text), "intermediate" if match == "ca" else "leaf")


def served_pin(chain: Chain, match: Match) -> HostPin:
    """The pin, in a verified chain, of what the server uses now: the leaf's, or its issuer's."""
    if match != "ca":
        return HostPin(pins_of(chain.leaf)[0], "leaf")
    if not chain.authorities:
        raise ConfigError(
            "there is no authority above that certificate: it vouches for itself",
            key="--match",
            fix="pin the leaf: --match leaf",
        )
    role: Role = "intermediate" if len(chain.authorities) > 1 else "root"
    return HostPin(pins_of(chain.authorities[0])[0], role)


def refuse_served_backup(backup: Backup, observation: Observation) -> None:
    """A backup that is in use is lost together with what it should replace."""
    verified = observation.verified.certificates if observation.verified else ()
    seen = (*observation.served.certificates, *verified)
    if backup.pin in {pin for certificate in seen for pin in pins_of(certificate)}:
        raise ConfigError(
            f"the backup {backup.pin} is in the chain that the server uses now: it is lost with it",
            key="pin",
            fix="make a key that is nowhere in use: --backup-key FILE",
        )


def trust_anchors(ca_file: Path | None, strict: bool | None) -> TrustAnchors | None:
    """Return the anchors of a file, or None without one. Raises ``CertificateParseError``."""
    pem = anchors_pem(ca_file)
    if pem is None:
        return None
    der = tuple(each.der for each in read_certificates(pem.encode()))
    return TrustAnchors(der, strict=strict)
