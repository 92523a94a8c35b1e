"""Pins, the policy of a host or a pattern, and the pin set: all policies of an application."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from certpin.errors import HAS_TLS, ConfigError, PinParseError
from certpin.pins.hosts import (
    check_report_address,
    check_servers,
    covering_patterns,
    is_public_suffix,
    normalise,
)
from certpin.support.text import utc_moment
from certpin.x509 import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet
    from datetime import date

    from certpin.pins.hosts import HostPattern, HostServer
    from certpin.x509 import Certificate
    from certpin.x509.log_list import LogList


PinKind = Literal["sha256", "cert-sha256"]

DIGEST_BYTES = 32  # SHA-256 (FIPS 180-4)

# Every spelling names its kind, because both kinds have the same length.
_SPKI = re.compile(r"sha256/(\S+)")
_RFC7469 = re.compile(r"""pin-sha256\s*=\s*("?)([^";\s]+)\1;?""")
_CERTIFICATE = re.compile(
    r"(?:cert-sha256/|sha256 Fingerprint\s*=\s*)(\S+)", re.ASCII | re.IGNORECASE
)
_HEX = re.compile(r"[0-9A-F]{2}(?:(?::[0-9A-F]{2}){31}|(?:[0-9A-F]{2}){31})", re.IGNORECASE)
_BASE64_LENGTH = 44  # of 32 bytes
_CANONICAL_LENGTH = len("sha256/") + _BASE64_LENGTH
_SPELLINGS = (
    "write sha256/BASE64 for a public key (certpin pin HOST prints it), "
    "or cert-sha256/AA:BB:… for a whole certificate"
)
_EXPIRY_EFFECTS = {
    "fail-closed": "refuse every connection",
    "fail-open": "check no pins",
    "report": "report mismatches, and refuse none",
}


@dataclass(frozen=True, slots=True)
class Pin:
    """The SHA-256 digest of a public key or a certificate.

    Attributes:
        digest: the 32 bytes of the digest.
        kind: ``sha256`` for the digest of a SubjectPublicKeyInfo (RFC 7469 section 2.4), which
            stays valid through every renewal with the same key; or ``cert-sha256`` for the digest
            of one certificate.

    Raises:
        PinParseError: the digest does not have 32 bytes.
    """

    kind: PinKind
    digest: bytes

    def __post_init__(self) -> None:
        if len(self.digest) != DIGEST_BYTES:
            raise PinParseError(
                f"a SHA-256 digest has {DIGEST_BYTES} bytes, and this has {len(self.digest)}",
                fix="copy the whole pin again",
            )

    @staticmethod
    def of_key(spki_sha256: bytes) -> Pin:
        """Return the pin of a public key, from the SHA-256 of its SubjectPublicKeyInfo."""
        return Pin("sha256", spki_sha256)

    @staticmethod
    def parse(text: str) -> Pin:
        """Return the pin in a text, in the spelling of certpin, curl, RFC 7469 or openssl.

        ``sha256/…``, ``sha256//…`` and ``pin-sha256="…"`` contain strict base64; ``cert-sha256/…``
        and ``sha256 Fingerprint=…`` contain hexadecimal.

        Raises:
            PinParseError: the text is not a pin.
        """
        if len(text) == _CANONICAL_LENGTH and text.startswith("sha256/"):
            return Pin("sha256", _base64(text[7:]))  # as certpin writes it
        text = text.strip()
        if match := _SPKI.fullmatch(text):
            return Pin("sha256", _base64(_without_second_slash(match[1])))
        if match := _RFC7469.fullmatch(text):
            return Pin("sha256", _base64(match[2]))
        if match := _CERTIFICATE.fullmatch(text):
            return Pin("cert-sha256", _hexadecimal(match[1]))
        raise PinParseError(f"{quoted(text)} is not a pin", fix=_SPELLINGS)

    @property
    def is_placeholder(self) -> bool:
        """True if the pin is an example from documentation, or repeats one byte or letter.

        ``HostPolicy`` raises ``ConfigError`` for such a pin.
        """
        digest = self.digest
        if digest[3:31] == digest[:28]:  # a repeated letter of base64 repeats three bytes
            letters = base64.b64encode(digest)[:-2]  # the last two depend on the padding
            return 1 in {len(set(digest)), len(set(letters))} or digest in _examples()
        return digest in _examples()

    def __str__(self) -> str:
        if self.kind == "sha256":
            return f"sha256/{base64.b64encode(self.digest).decode()}"
        return f"cert-sha256/{self.digest.hex(':').upper()}"


def pins_of(certificate: Certificate) -> tuple[Pin, Pin]:
    """Return the two pins of a certificate: that of its key, and that of the whole certificate."""
    return Pin("sha256", certificate.spki_sha256), Pin("cert-sha256", certificate.sha256)


def _without_second_slash(text: str) -> str:
    """Return the text after ``sha256/`` without a leading slash, which curl's spelling adds.

    The slash is removed only if the text doesn't have the length of a base64 digest, because a
    digest can begin with a slash.
    """
    return text if len(text) == _BASE64_LENGTH else text.removeprefix("/")


def _base64(text: str) -> bytes:
    """Return the bytes of a text in strict base64 (RFC 4648 section 3.5).

    Raises ``PinParseError`` for other texts, even if lenient parsers accept them.
    """
    if len(text) != _BASE64_LENGTH and _HEX.fullmatch(text):
        raise _hexadecimal_key(text)
    try:
        digest = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as exc:  # binascii.Error, or a text that is not ASCII
        raise PinParseError(f"{quoted(text)} is not base64", fix=_SPELLINGS) from exc
    strict = binascii.b2a_base64(digest, newline=False).decode()
    if strict != text:
        raise PinParseError(
            f"{quoted(text)} is not canonical base64: another text has the same bytes",
            fix=f"write sha256/{strict}" if len(digest) == DIGEST_BYTES else _SPELLINGS,
        )
    return digest


def _hexadecimal_key(text: str) -> PinParseError:
    """Return the error for a digest in hexadecimal, as ``openssl dgst -sha256`` prints it.

    ``text`` is the digest. Its kind (key or certificate) is not guessed: a fingerprint of a whole
    certificate looks the same.
    """
    pin = Pin.of_key(_hexadecimal(text))
    return PinParseError(
        f"{quoted(text)} is hexadecimal, and the pin of a key is written in base64",
        fix=f"if it is the digest of a public key (openssl dgst -sha256), write {pin}; if it is "
        "the fingerprint of a certificate, pin its key: certpin pin FILE prints the pin",
    )


def _hexadecimal(text: str) -> bytes:
    if not _HEX.fullmatch(text):
        raise PinParseError(
            f"{quoted(text)} is not 32 bytes in hexadecimal",
            fix="copy it from: openssl x509 -noout -fingerprint -sha256",
        )
    return bytes.fromhex(text.replace(":", ""))


@cache
def _examples() -> frozenset[bytes]:
    """Return digests that are no real pins: examples in documentation, and that of empty data.

    ``HostPolicy`` raises ``ConfigError`` for a pin with one of them.
    """
    return frozenset(
        base64.b64decode(text)
        for text in (
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",  # SHA-256 of no bytes
            "jv795gmbOx+hGntTd9F/j95Utjg8CZPGtSx4CydoLNM=",  # certpin's own documentation
            "1Iz14ncmHLFeqFFiap/nA1j+zxPJsit12rx3lnSsAS4=",
            "d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM=",  # RFC 7469 section 2.1.5
            "E9CZ9INDbd+2eRQozYqqbQ2yXLVKB9+xcprMF+44U1g=",
            "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
            "7HIpactkIAq2Y49orFOOQKurWxmmSFZhBCoQYcRhJ3Y=",  # Android's documentation
            "fwza0LRMXouZHRC8Ei+4PyuldPDcf3UKgO/04cDM1oE=",
            "HXXQgxueCIU5TTLHob/bPbwcKOKw6DkfsTWYHbxbqTY=",  # TrustKit's documentation
            "0SDf3cRToyZJaMsoS17oF72VMavLxj/N7WBNasNuiR8=",
        )
    )


Mode = Literal["enforce", "report"]
Match = Literal["leaf", "ca", "any"]
OnExpiry = Literal["fail-closed", "fail-open", "report"]
Role = Literal["leaf", "backup", "intermediate", "root"]
State = Literal[
    "generated",
    "staged",
    "published",
    "adopted",
    "active",
    "retiring",
    "removed",
    "lost",
    "compromised",
]

# A pin in these states accepts nothing. A `removed` key is not in use: a path with it needs another
# pin. A path with a `compromised` key is refused, even if another pin matches (rule 13).
DEAD_STATES: frozenset[State] = frozenset({"removed", "compromised"})
# The key of a pin in these states can't serve as a backup.
UNUSABLE_STATES: frozenset[State] = DEAD_STATES | {"lost"}
_IN_SERVICE: frozenset[State] = frozenset({"active", "retiring"})


@dataclass(frozen=True, slots=True)
class HostPin:
    """A pin in the policy of a host, with its role, its state and a note.

    Attributes:
        pin: the pin.
        role: the certificate that has the pin: ``leaf``, ``intermediate`` or ``root``; or
            ``backup`` for a spare key.
        state: the state of the pin in a rotation, such as ``active`` or ``compromised``.
        note: a text for the team; clients don't use it.
        provider: for a pinned root, the certificate providers that issue from it. Clients don't use
            it.
        not_after: for a pinned root, the day (UTC) on which its certificate expires. Clients don't
            use it.
    """

    pin: Pin
    role: Role = "leaf"
    state: State = "active"
    note: str = ""
    provider: tuple[str, ...] = ()
    not_after: date | None = None

    @property
    def live(self) -> bool:
        """True if clients accept a path with this pin: it is neither removed nor compromised."""
        return self.state not in DEAD_STATES

    @property
    def usable(self) -> bool:
        """True if clients accept the pin (it is live) and its key is not lost.

        A lost key can't serve as a backup.
        """
        return self.state not in UNUSABLE_STATES

    @property
    def in_service(self) -> bool:
        """True if the pin is active or retiring: servers may use its key."""
        return self.state in _IN_SERVICE


def share_provider(providers: Iterable[tuple[str, ...]]) -> bool:
    """Return True if two usable pins are roots of one certificate provider.

    ``providers`` has the providers of each usable pin. Each of the two roots is the other's backup,
    because the provider can issue from either.
    """
    names = [name for each in providers for name in each]
    return len(set(names)) < len(names)


@dataclass(frozen=True)
class TrustAnchors:
    """The only trust anchors for a host, in DER. With them, clients don't use the platform's roots.

    Attributes:
        der: the certificates.
        source: the name of the file with the anchors, as the pin file contains it.
        strict: True if paths must satisfy RFC 5280 (``strict_x509``), False if they need not;
            ``None`` for the default of the running Python.
        path: the path of the file, relative to the current folder or absolute, to print in
            suggested commands; empty if it is unknown.
    """

    der: tuple[bytes, ...]
    source: str = field(default="", compare=False)
    strict: bool | None = None
    path: str = field(default="", compare=False, repr=False)

    @classmethod
    def parse(cls, data: bytes, source: str = "") -> TrustAnchors:
        """Read the certificates of a file, PEM or DER, which must contain nothing else.

        ``source`` is the name of the file, as the pin file contains it. Check that OpenSSL can load
        each certificate. This check is left out in a Python without OpenSSL, such as Pyodide in a
        browser, because it can't make TLS connections anyway.

        Raises:
            CertificateParseError: a certificate can't be read, or the data has something else.
        """
        from certpin.x509.certificate import read_certificates

        certificates = read_certificates(data)
        if HAS_TLS:
            from certpin.x509.openssl import require_loadable

            require_loadable(certificates)
        return cls(tuple(each.der for each in certificates), source)

    @cached_property
    def digest(self) -> bytes:
        """A SHA-256 digest of the anchors and of ``strict``, to compare two sets of trust anchors.

        Two objects have the same digest only if their anchors and ``strict`` are equal.
        """
        digests = b"".join(hashlib.sha256(der).digest() for der in self.der)
        strict = b"" if self.strict is None else bytes([self.strict])
        return hashlib.sha256(digests + strict).digest()


@dataclass(frozen=True)
class HostPolicy:
    """The pins of a host, and how clients enforce them. Immutable.

    Args:
        pattern: the host, or the wildcard for the hosts, that the policy covers.
        pins: the pins. In mode ``enforce``, at least two must be live, so that a lost key locks no
            client out.
        mode: ``enforce`` refuses a connection without a matching pin, ``report`` only reports it.
        match: the certificates of the path to compare: the ``leaf``, those above (``ca``), or
            ``any``.
        expires: the time from which the pins are expired, with a time zone; ``None`` for never. It
            is stored in UTC.
        on_expiry: the decision of clients after that time: ``fail-closed``, ``fail-open`` or
            ``report``.
        trust: the only trust anchors; ``None`` for the platform's roots.
        report_to: ``https://`` addresses for reports.
        servers: the servers to which certpin's commands connect. Not compared (``==``), because
            clients don't use them.
        ct_logs: the known Certificate Transparency logs. Enough of them must promise to publish the
            host's certificate (``require_ct``). ``None`` if this is not required.
        provider_edition: the date of the provider data (the list of the roots of certificate
            providers) from which the pins with a ``provider`` come. Not compared (``==``).

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
    ct_logs: LogList | None = None
    provider_edition: date | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        _check_pins(self)
        _check_pattern(self.pattern)
        check_servers(self.pattern, self.servers)
        if self.expires is not None:
            if self.expires.utcoffset() is None:
                raise ConfigError(
                    "the time has no time zone", key="expires", fix="write a date, or add Z for UTC"
                )
            object.__setattr__(self, "expires", utc_moment(self.expires, "expires"))
        for address in self.report_to:
            check_report_address(address)

    @cached_property
    def live_pins(self) -> dict[Pin, HostPin]:
        """The pins that make clients accept a path, each with its ``HostPin`` entry of the policy.

        Pins that are removed or compromised are left out.
        """
        return {entry.pin: entry for entry in self.pins if entry.live}

    @property
    def is_own_backup(self) -> bool:
        """True if the pinned roots are each other's backup: the policy needs no other backup pin.

        This is so if two usable pins are roots of one certificate provider, which can issue from
        either root. The user doesn't have the keys of these roots, and so can't lose them.
        """
        return self.is_own_backup_without(frozenset())

    def is_own_backup_without(self, gone: AbstractSet[Pin]) -> bool:
        """Return True if the pinned roots are each other's backup without the pins in ``gone``.

        That is so if two usable pins that are not in ``gone`` are roots of one certificate
        provider: the provider can issue from either root.
        """
        used = [entry for entry in self.pins if entry.usable and entry.pin not in gone]
        return share_provider(entry.provider for entry in used)

    @cached_property
    def compromised(self) -> frozenset[Pin]:
        """The pins marked compromised. Clients refuse a path with such a key or certificate."""
        return frozenset(entry.pin for entry in self.pins if entry.state == "compromised")

    @cached_property
    def keys(self) -> dict[bytes, HostPin]:
        """The live pins of public keys, by the SHA-256 of the SubjectPublicKeyInfo (RFC 7469)."""
        return self._live("sha256")

    @cached_property
    def certificates(self) -> dict[bytes, HostPin]:
        """The live pins of whole certificates, by the SHA-256 of the certificate."""
        return self._live("cert-sha256")

    def _live(self, kind: PinKind) -> dict[bytes, HostPin]:
        return {pin.digest: entry for pin, entry in self.live_pins.items() if pin.kind == kind}

    def expired(self, now: datetime) -> bool:
        """Return True if the time ``now`` is the expiry time or later.

        Return False if the pins never expire.
        """
        return self.expires is not None and now >= self.expires

    @property
    def refuses_from(self) -> datetime | None:
        """The time from which clients refuse every connection, because the pins have expired.

        ``None`` if the pins never expire, or clients don't refuse connections after the expiry.
        """
        closes = self.mode == "enforce" and self.on_expiry == "fail-closed"
        return self.expires if closes else None


def expiry_effect(mode: str, on_expiry: str) -> str:
    """Return the effect on clients when pins have expired, as a verb with its object.

    An example is "refuse every connection", for a sentence that begins with "clients". ``mode`` and
    ``on_expiry`` are those of the policy.
    """
    if mode == "report" and on_expiry == "fail-closed":
        return "report every connection, and refuse none"
    return _EXPIRY_EFFECTS[on_expiry]


def utc_now() -> datetime:
    """Return the current time in UTC. It is the default for arguments called ``clock``."""
    return datetime.now(UTC)


def require_clock(clock: Any) -> None:
    """Check that an argument called ``clock`` returns a time with a time zone. Calls it once.

    A time without a time zone can't be compared with the dates of a pin set. Without this check,
    connections would fail only once the pin set has a date.

    Raises:
        ConfigError: ``clock`` is not a function, or returns something else.
    """
    now = clock() if callable(clock) else None
    if not isinstance(now, datetime) or now.utcoffset() is None:
        raise ConfigError(
            "this is not a function that returns the current time with a time zone",
            key="clock",
            fix="clock=lambda: datetime.now(UTC)",
        )


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
    live = sum([entry.state not in DEAD_STATES for entry in policy.pins])
    if not live:
        raise ConfigError(
            "there is no pin that could match",
            key="pin",
            fix="write a [[host.pin]] table with the pin of the key that the server uses: "
            "certpin pin HOST prints it",
        )
    if policy.mode == "enforce" and live < 2:
        raise ConfigError(
            "there is only one pin: if its key is lost or replaced, every client is locked out",
            key="pin",
            fix='write another [[host.pin]] table, with role = "backup" and the pin of a key that '
            "is kept off the server (certpin pin FILE prints it), or set "
            'mode = "report" until there is one',
        )


def _check_pattern(pattern: HostPattern) -> None:
    if pattern.wildcard and is_public_suffix(pattern.name):
        raise ConfigError(
            f"{pattern} covers names of other owners: {pattern.name} is a public suffix",
            key="name",
            fix="name your own domain, as in **.bank.example",
        )


_CACHED_HOSTS = 4096


@dataclass(frozen=True)
class PinSet:
    """All policies of an application, with a name and a version. Immutable.

    Args:
        name: the name of the pin set, which reports contain.
        version: 1 or more. It rises with each change.
        policies: the policies; no two with the same pattern.
        debug: the trust anchors of a debugging proxy, used only with ``CERTPIN_DEBUG=1``.

    Raises:
        ConfigError: there are no policies, two of them have the same pattern or different lists of
            logs, or the version is below 1.
    """

    name: str
    version: int
    policies: tuple[HostPolicy, ...]
    debug: TrustAnchors | None = None

    def __post_init__(self) -> None:
        if not self._index:  # built here, and not in the first handshake after a swap
            raise ConfigError(
                "the pin set is empty: it protects nothing", key="host", fix="certpin add HOST"
            )
        if len({policy.ct_logs.digest for policy in self.policies if policy.ct_logs}) > 1:
            raise ConfigError(
                "its hosts have different lists of logs",
                key="ct_logs",
                fix="a pin set has one list of Certificate Transparency logs",
            )
        if self.version < 1:
            raise ConfigError("a version must be 1 or more", key="version", fix="write version = 1")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.name, self.version, self.policies, self.debug)

    def policy_for(self, host: str) -> HostPolicy | None:
        """Return the most specific policy that covers a host, or ``None`` if no policy does.

        The order of patterns is that of ``covering_patterns`` in ``certpin.pins.hosts``. The cost
        is one dictionary lookup per label, whatever the number of hosts; results are cached.

        Args:
            host: a host in any spelling.

        Raises:
            HostError: the text is not a host.
        """
        return self._find_cached(host)

    def policy_of(self, pattern: HostPattern) -> HostPolicy | None:
        """Return the policy with exactly this pattern, or ``None`` if there is none."""
        return self._index.get(str(pattern))

    def policies_at(
        self, pattern: HostPattern, owner: PinSet | None = None
    ) -> tuple[HostPolicy | None, ...]:
        """Return the policies of this pin set that apply to the hosts of a given pattern.

        A wildcard can cover hosts for which this pin set has different policies. It covers too many
        hosts to try them all, so only example hosts are looked up (``HostPattern.examples``).

        Args:
            pattern: a host pattern, for example of another pin set, or a DNS name in a certificate,
                with or without a wildcard.
            owner: the pin set that contains ``pattern``, to leave out the hosts for which it has a
                more specific policy; ``None`` to look up all hosts of the pattern.

        Returns:
            Each policy once; ``None`` among them if some of the hosts have no policy.
        """
        if not pattern.wildcard:
            return (self.policy_for(pattern.name),)
        hosts = dict.fromkeys(pattern.examples())
        for policy in (*self.policies, *(owner.policies if owner else ())):
            if policy.pattern.name.endswith(pattern.name):  # the others cover no host of it
                hosts |= dict.fromkeys(filter(pattern.matches, policy.pattern.examples()))
        if owner is not None:
            wanted = owner.policy_of(pattern)
            hosts = {host: None for host in hosts if owner.policy_for(host) is wanted}
        found = tuple(dict.fromkeys(map(self.policy_for, hosts)))
        return found or (self.policy_of(pattern),)

    @property
    def ct_logs(self) -> LogList | None:
        """The list of known logs for the hosts that require Certificate Transparency.

        ``None`` if no policy requires it.
        """
        return next((policy.ct_logs for policy in self.policies if policy.ct_logs), None)

    @cached_property
    def compromised(self) -> frozenset[Pin]:
        """The pins that any policy marks compromised (``HostPolicy.compromised``)."""
        return frozenset(pin for policy in self.policies for pin in policy.compromised)

    @cached_property
    def anchors(self) -> frozenset[bytes]:
        """The trust anchors of all policies, as DER, without the platform's roots."""
        return frozenset(der for trust in self.trusts if trust for der in trust.der)

    @cached_property
    def trusts(self) -> frozenset[TrustAnchors | None]:
        """The distinct values of ``trust`` in the policies; ``None`` means the platform's roots."""
        return frozenset(policy.trust for policy in self.policies)

    @cached_property
    def _find_cached(self) -> Callable[[str], HostPolicy | None]:
        """The method ``_find`` with a cache: it returns the policy for a host name, or ``None``."""
        return lru_cache(maxsize=_CACHED_HOSTS)(self._find)

    def _find(self, host: str) -> HostPolicy | None:
        host = normalise(host)
        exact = self._index.get(host)
        if exact is not None or not self._has_wildcards:
            return exact
        found = (key for key in covering_patterns(host) if key in self._index)
        return next((self._index[key] for key in found), None)

    @cached_property
    def _meaning(self) -> Meaning:
        policies = {str(policy.pattern): policy_meaning(policy) for policy in self.policies}
        return Meaning(policies, _anchors(self.debug))

    @cached_property
    def _has_wildcards(self) -> bool:
        return any(policy.pattern.wildcard for policy in self.policies)

    @cached_property
    def _index(self) -> dict[str, HostPolicy]:
        """The policies by their patterns. Raises ``ConfigError`` if two have the same pattern."""
        index: dict[str, HostPolicy] = {}
        for number, policy in enumerate(self.policies):
            pattern = str(policy.pattern)
            if pattern in index:
                raise ConfigError(
                    f"{pattern} has two policies",
                    key=f"host[{number}].name",
                    fix="merge them into one",
                )
            index[pattern] = policy
        return index


# The content of a pin set that affects clients: equal, or not.


class PolicyMeaning(NamedTuple):
    """The fields of a host's policy that affect clients, to compare two policies.

    If all fields of two policies are equal, clients treat the host in the same way. The fields are
    those of ``HostPolicy``, with these differences:

    Attributes:
        pins: the pins that clients accept, without roles, states and notes.
        compromised: the pins of keys that clients refuse.
        on_expiry: None if the pins never expire.
        trust: the trust anchors as DER; None for the platform's roots.
        strict_x509: True if paths must satisfy RFC 5280, False if they need not; None for the
            default of the running Python.
        report_to: the addresses for reports, in any order.
        ct_logs: the digest of the list of Certificate Transparency logs; None if none is required.
    """

    pins: frozenset[Pin]
    compromised: frozenset[Pin]
    mode: Mode
    match: Match
    expires: datetime | None
    on_expiry: OnExpiry | None  # None if nothing expires
    trust: frozenset[bytes] | None
    strict_x509: bool | None
    report_to: frozenset[str]
    ct_logs: bytes | None  # the digest of the list

    def differing(self, other: PolicyMeaning) -> tuple[str, ...]:
        """Return the names of the fields in which this policy differs from ``other``.

        They are in the order of their declaration.
        """
        return tuple(name for name in self._fields if getattr(self, name) != getattr(other, name))


class Meaning(NamedTuple):
    """The content of a pin set that affects clients: policies by pattern, and debug anchors.

    Clients of two pin sets with equal meanings accept, refuse and report the same. Roles, notes and
    the order of entries are left out. States of pins are reduced to three cases: clients accept the
    pin, refuse it as compromised, or ignore it. ``policies`` are the policies by their patterns.
    ``debug`` has the trust anchors of the debug section as DER; None if there is none.
    """

    policies: dict[str, PolicyMeaning]
    debug: frozenset[bytes] | None


def meaning(pins: PinSet) -> Meaning:
    """Return the content of a pin set that affects clients, to compare two pin sets.

    The name and the version of the pin set are left out.
    """
    return pins._meaning


def policy_meaning(policy: HostPolicy) -> PolicyMeaning:
    """Return the fields of a policy that affect clients, to compare two policies."""
    return PolicyMeaning(
        pins=frozenset(policy.live_pins),
        compromised=policy.compromised,
        mode=policy.mode,
        match=policy.match,
        expires=policy.expires,
        on_expiry=policy.on_expiry if policy.expires else None,
        trust=_anchors(policy.trust),
        strict_x509=policy.trust.strict if policy.trust else None,
        report_to=frozenset(policy.report_to),
        ct_logs=policy.ct_logs.digest if policy.ct_logs else None,
    )


def _anchors(anchors: TrustAnchors | None) -> frozenset[bytes] | None:
    return frozenset(anchors.der) if anchors else None
