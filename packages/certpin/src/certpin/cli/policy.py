"""The policy that ``certpin add`` writes: its pins, backup, expiry, servers and anchors."""

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

# The lifetime of new pins: a year, as an app version is used; in report mode, the longest time that
# lint accepts without a warning (decision 41).
_LIFETIMES: dict[Mode, timedelta] = {"enforce": timedelta(days=365), "report": timedelta(days=90)}


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
    """Return a policy with its first pin and its backup.

    The backup is STAGED until ``certpin rotate publish`` records it as PUBLISHED.

    Args:
        pattern: the host.
        first: the pin of the current key.
        backup: the backup. Its key is made here if it is new.
        trust: the only trust anchors of the host; None for those of the system.
        mode: ``enforce`` or ``report``.
        match: which certificate may match.
        expires: when the pins expire; by default after the usual lifetime of the mode.
        servers: the servers, if they are not at the host's name and port 443.

    Raises:
        ConfigError: the policy is unsafe.
    """
    entries = [first]
    if backup.pin:
        entries.append(HostPin(backup.pin, "backup", state="staged", note=backup.note))
    if expires is None:
        expires = datetime.combine(utc_now().date() + _LIFETIMES[mode], time.min)
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
    """Return the contacted server as an entry of the pin file; empty if the host's name implies it.

    An entry is needed if its address, port or protocol differs from the host's name at port 443.
    """
    address, port = endpoint.address
    server = HostServer(
        "" if address == endpoint.name else address,
        None if port == default_port(endpoint.starttls) else port,
        endpoint.starttls,
    )
    return () if server == HostServer() else (server,)


def known_pin(text: str, match: Match) -> HostPin:
    """Return the pin file's entry for a pin that the user gave as text.

    Raises:
        PinParseError: it is not a pin.
    """
    return HostPin(Pin.parse(text), "intermediate" if match == "ca" else "leaf")


def served_pin(chain: Chain, match: Match) -> HostPin:
    """Return the pin of the leaf; with ``match = "ca"``, of the authority that issued the leaf.

    Args:
        chain: a verified chain.
        match: which certificate may match.

    Raises:
        ConfigError: an authority is needed, and the leaf is self-signed.
    """
    if match != "ca":
        return HostPin(pins_of(chain.leaf)[0], "leaf")
    if not chain.authorities:
        raise ConfigError(
            "the certificate is self-signed: there is no authority to pin",
            key="--match",
            fix="pin the leaf: --match leaf",
        )
    role: Role = "intermediate" if len(chain.authorities) > 1 else "root"
    return HostPin(pins_of(chain.authorities[0])[0], role)


def refuse_served_backup(backup: Backup, observation: Observation) -> None:
    """Refuse a backup that the server already uses: it would be lost together with the first key.

    Raises:
        ConfigError: the backup is in the served or the verified chain.
    """
    verified = observation.verified.certificates if observation.verified else ()
    presented = (*observation.served.certificates, *verified)
    if backup.pin in {pin for certificate in presented for pin in pins_of(certificate)}:
        raise ConfigError(
            f"the backup {backup.pin} is in the chain that the server uses now: both would be lost "
            "together",
            key="pin",
            fix="make a key that no server uses: --backup-key FILE",
        )


def trust_anchors(ca_file: Path | None, strict: bool | None) -> TrustAnchors | None:
    """Return the anchors of a file; None without a file.

    Raises:
        CertificateParseError: the file can't be read, or has no certificates.
    """
    pem = anchors_pem(ca_file)
    if pem is None:
        return None
    der = tuple(certificate.der for certificate in read_certificates(pem.encode()))
    return TrustAnchors(der, strict=strict)
