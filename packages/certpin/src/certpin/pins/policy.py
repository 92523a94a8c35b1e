"""The policy of a host, or of a pattern of hosts: its pins, and how they are enforced."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from certpin.errors import ConfigError
from certpin.pins.hosts import is_public_suffix
from certpin.pins.servers import check_servers
from certpin.x509 import quoted

if TYPE_CHECKING:
    from certpin.pins.hosts import HostPattern
    from certpin.pins.pin import Pin, PinKind
    from certpin.pins.servers import HostServer

Mode = Literal["enforce", "report"]
Match = Literal["leaf", "ca", "any"]
OnExpiry = Literal["fail-closed", "fail-open", "report"]
Role = Literal["leaf", "backup", "intermediate", "root"]
State = Literal[
    "generated", "staged", "published", "adopted", "active", "retiring", "removed", "compromised"
]

# https to any host, http only to this machine (a collector under test); no user and no password.
_REPORT_ADDRESS = re.compile(
    r"(?:https://[^\s/?#@]+|http://(?:127\.0\.0\.1|\[::1\]|localhost)(?::[0-9]+)?)(?:[/?#]\S*)?"
)

# A pin in these states accepts nothing. A `removed` key is not in use: a path with it needs another
# pin. A path with a `compromised` key is refused, even if another pin matches (rule 13).
_DEAD: frozenset[State] = frozenset({"removed", "compromised"})


@dataclass(frozen=True, slots=True)
class HostPin:
    """A pin in a policy, with its role, its state in a rotation, and a note."""

    pin: Pin
    role: Role = "leaf"
    state: State = "active"
    note: str = ""

    @property
    def live(self) -> bool:
        """True if a match with this pin accepts the path."""
        return self.state not in _DEAD


@dataclass(frozen=True)
class TrustAnchors:
    """The only trust anchors of a host, as DER. The platform's roots are not trusted for it.

    ``strict`` is True if paths must satisfy RFC 5280 (``strict_x509``), and ``None`` for the
    default of the running Python.
    """

    der: tuple[bytes, ...]
    source: str = field(default="", compare=False)
    strict: bool | None = None

    @cached_property
    def digest(self) -> bytes:
        """Identifies these anchors and ``strict``."""
        digests = b"".join(hashlib.sha256(der).digest() for der in self.der)
        strict = b"" if self.strict is None else bytes([self.strict])
        return hashlib.sha256(digests + strict).digest()


@dataclass(frozen=True)
class HostPolicy:
    """The pins of a host, and how they are enforced. Immutable.

    Args:
        pattern: the hosts.
        pins: at least two live pins if they are enforced, so that a lost key locks no client out.
        mode: ``enforce`` refuses a connection without a matching pin, ``report`` only reports it.
        match: the certificates of the path that may match: the ``leaf``, the authorities (``ca``),
            or ``any``.
        expires: the time from which the pins are expired, with a time zone; ``None`` for never.
        on_expiry: what clients do after that.
        trust: the trust anchors; ``None`` for the platform's roots.
        report_to: ``https://`` addresses for reports.
        servers: for the commands that connect. Not compared, because clients don't use them.

    Raises:
        ConfigError: the policy is unsafe.
    """

    pattern: HostPattern
    pins: tuple[HostPin, ...]
    mode: Mode = "enforce"
    match: Match = "any"
    expires: datetime | None = None
    on_expiry: OnExpiry = "fail-closed"
    trust: TrustAnchors | None = None
    report_to: tuple[str, ...] = ()
    servers: tuple[HostServer, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        _check_pins(self)
        _check_pattern(self.pattern)
        check_servers(self.pattern, self.servers)
        if self.expires is not None and self.expires.utcoffset() is None:
            raise ConfigError(
                "the time has no time zone", key="expires", fix="write a date, or add Z for UTC"
            )
        for address in self.report_to:
            _check_report_address(address)

    @cached_property
    def live_pins(self) -> dict[Pin, HostPin]:
        """The pins that can accept a path."""
        return {entry.pin: entry for entry in self.pins if entry.live}

    @cached_property
    def compromised(self) -> frozenset[Pin]:
        """The pins of compromised keys and certificates: every path with one is refused."""
        return frozenset(entry.pin for entry in self.pins if entry.state == "compromised")

    @cached_property
    def keys(self) -> dict[bytes, HostPin]:
        """The live pins of public keys, by the SHA-256 of the SubjectPublicKeyInfo."""
        return self._live("sha256")

    @cached_property
    def certificates(self) -> dict[bytes, HostPin]:
        """The live pins of whole certificates, by fingerprint."""
        return self._live("cert-sha256")

    def _live(self, kind: PinKind) -> dict[bytes, HostPin]:
        return {pin.digest: entry for pin, entry in self.live_pins.items() if pin.kind == kind}

    def expired(self, now: datetime) -> bool:
        """Return True if the pins have expired."""
        return self.expires is not None and now >= self.expires


def utc_now() -> datetime:
    """Return the current time in UTC: the default clock."""
    return datetime.now(UTC)


def _check_pins(policy: HostPolicy) -> None:
    pins = [entry.pin for entry in policy.pins]
    for index, pin in enumerate(pins):
        if pin.is_placeholder:
            raise ConfigError(
                f"{pin} is an example from some documentation",
                key=f"pin[{index}]",
                fix="replace it with yours: certpin pin HOST prints it",
            )
    if len(set(pins)) < len(pins):
        index, pin = next((at, pin) for at, pin in enumerate(pins) if pin in pins[:at])
        raise ConfigError(
            f"{pin} is listed twice", key=f"pin[{index}]", fix="remove one of the two"
        )
    _check_count(policy)


def _check_count(policy: HostPolicy) -> None:
    # Counted here, so that loading builds no index of pins for hosts that are never used.
    live = sum([entry.state not in _DEAD for entry in policy.pins])
    if not live:
        raise ConfigError(
            "there is no pin that could match", key="pin", fix="add one: certpin add HOST"
        )
    if policy.mode == "enforce" and live < 2:
        raise ConfigError(
            "there is one pin alone: when its key is lost or replaced, every client is locked out",
            key="pin",
            fix="add a backup whose key is kept off the server "
            '(certpin add HOST --backup-key FILE), or set mode = "report" until there is one',
        )


def _check_pattern(pattern: HostPattern) -> None:
    if pattern.wildcard and is_public_suffix(pattern.name):
        raise ConfigError(
            f"{pattern} covers names of other owners: {pattern.name} is a public suffix",
            key="name",
            fix="name your own domain, as in **.bank.example",
        )


def is_report_address(address: str) -> bool:
    """Return True for an address of reports: https to any host, or http to this machine.

    It must be printable ASCII (RFC 3986 section 2).
    """
    printable = address.isascii() and address.isprintable()
    return printable and _REPORT_ADDRESS.fullmatch(address) is not None


def _check_report_address(address: str) -> None:
    if not is_report_address(address):
        raise ConfigError(
            f"{quoted(address)} is not an https:// address",
            key="report_to",
            fix="reports name hosts and certificates: send them over TLS",
        )
