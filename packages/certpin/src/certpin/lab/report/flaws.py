"""The chain that a client received on a connection of a lab run, and the flaws of its certificates.

A flaw is a reason for which a correct client refuses a certificate. Flaws are found in the served
chain, and not derived from the case, so a report can't show a flaw that was not served. The list
of flaws is not complete, and no verdict depends on it.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from certpin.errors import CertificateParseError, HostError
from certpin.lab.scenario import INTERRUPTED, PUBLIC_NAME, Opening
from certpin.pins import Pin
from certpin.pins.certificate_names import name_matches
from certpin.x509.chain import Signature

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin.lab.runner import Result, Run
    from certpin.lab.scenario import ServerStep
    from certpin.lab.verdict import Attempt, Connection
    from certpin.pins import HostPin
    from certpin.x509.chain import CertificateFacts, ChainPath, PathCertificate


# The openings after which the server sends no certificate.
_NO_TLS = {Opening.PLAIN, Opening.STRIP, Opening.PROXY} | INTERRUPTED


def served(seen: Connection) -> tuple[bytes, ...]:
    """Return the chain that the client received on a connection, as DER; empty if it got no chain.

    The client gets no chain if it resumes a session (RFC 8446 section 2.2), or if TLS did not
    begin. ``seen`` is the evidence of the connection.
    """
    if seen.step is None or seen.hello is None or seen.resumed or seen.step.opening in _NO_TLS:
        return ()
    return seen.step.chain


def requested_host(attempt: Attempt, seen: Connection) -> str:
    """Return the host that the client requested on a connection.

    This is the host in the ClientHello, or else in the request to the proxy. If that is not a host
    under test, the first host under test is returned instead. But there are two exceptions. For the
    TLS connection to the lab's proxy itself, the address of the proxy is returned. In a case of
    Encrypted ClientHello (ECH), the public name is returned if the ClientHello has it.

    Args:
        attempt: one run of the client against a case, with the hosts under test.
        seen: the evidence of the connection.
    """
    if seen.step and seen.step is attempt.scenario.tls_proxy:
        return seen.target
    said = (seen.hello.server_name if seen.hello else "") or seen.target
    if attempt.scenario.ech and said == PUBLIC_NAME:
        return said
    return said if said in attempt.hosts else next(iter(attempt.hosts), "")


def pinned(attempt: Attempt, host: str) -> tuple[HostPin, ...]:
    """Return the pins that the client had for a host in one attempt; empty if it had no pins.

    An attempt is one run of the client against a case.
    """
    try:
        policy = attempt.pins.policy_for(host) if attempt.pins else None
    except HostError:
        return ()
    return policy.pins if policy else ()


@dataclass(frozen=True)
class ChainContext:
    """What a chain is checked against: the requested host, the client's roots and pins, the time.

    Attributes:
        host: the requested host.
        trusted: the roots that the client trusts, as DER.
        pins: the pins that the client has for the host.
        now: the time of the check; None if it is unknown.
        leaf_key: the pin of the key that signed the handshake; empty if it is unknown.
    """

    host: str
    trusted: tuple[bytes, ...] = ()
    pins: tuple[HostPin, ...] = ()
    now: datetime | None = None
    leaf_key: str = ""

    def pinned_role(self, facts: CertificateFacts) -> str:
        """Return the role of the pin that matches a certificate; empty if no pin matches.

        The roles are leaf, intermediate, root and backup. Pins that are marked as removed or
        compromised don't match. ``facts`` describes the certificate.
        """
        return next((entry.role for entry in self._matching(facts) if entry.live), "")

    def is_compromised(self, facts: CertificateFacts) -> bool:
        """Return True if the pin set marks this certificate or its key as compromised.

        ``facts`` describes the certificate.
        """
        return any(entry.state == "compromised" for entry in self._matching(facts))

    def _matching(self, facts: CertificateFacts) -> list[HostPin]:
        return [entry for entry in self.pins if str(entry.pin) in facts.pins]


def chain_context(run: Run, result: Result, attempt: Attempt, seen: Connection) -> ChainContext:
    """Return the host, roots, pins and time with which to check a connection's chain for flaws.

    Args:
        run: the lab run.
        result: the result of one case of the run.
        attempt: a run of the client against this case.
        seen: the evidence of a connection of the attempt.
    """
    host = requested_host(attempt, seen)
    started, own = run.about.started, result.case.own
    return ChainContext(
        host,
        own.anchors if own else run.about.trusted,
        pinned(attempt, host),
        own.time if own and own.time else started + result.case.clock if started else None,
        _leaf_key(seen.step) if seen.step else "",
    )


def _leaf_key(step: ServerStep) -> str:
    """Return the pin of the private key with which the server signed the handshake.

    ``step`` describes how the lab served the connection. The result is empty if the key can't be
    read. In an attack, this key and the key of the leaf can differ.
    """
    if not step.key_pem:
        return ""
    try:
        public = step.private_key.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return ""  # a forged key that can't be parsed
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return str(Pin.of_key(hashlib.sha256(spki).digest()))


_SMALLEST_RSA = 2048  # CA/B Forum Baseline Requirements 6.1.5
_WEAK_DIGESTS = {"md5", "sha1"}  # the same, 7.1.3.2

# The exceptions that hostile certificates cause when their extensions are parsed.
_SENSELESS = (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


@dataclass(frozen=True)
class _Spot:
    """One certificate of a path in a served chain, and the data against which it is checked.

    It is the argument of each function that looks for one kind of flaw.

    Attributes:
        context: the host, roots, pins and time for the check.
        path: the path: certificates, each followed by its issuer. It begins at the leaf, or at a
            certificate that the leaf doesn't need.
        index: the position of the certificate in ``path``.
    """

    context: ChainContext
    path: ChainPath
    index: int

    @property
    def place(self) -> PathCertificate:
        return self.path.certificates[self.index]

    @property
    def parsed(self) -> x509.Certificate | None:
        return self.place.facts.parsed

    @property
    def is_leaf(self) -> bool:
        return self.path.on_path and self.index == 0

    def extension(self, kind: type[x509.ExtensionType]) -> x509.ExtensionType | None:
        try:
            return (
                self.parsed.extensions.get_extension_for_class(kind).value if self.parsed else None
            )
        except (x509.ExtensionNotFound, *_SENSELESS):
            return None


def flaws(context: ChainContext, path: ChainPath, index: int) -> tuple[str, ...]:
    """Return the flaws of one certificate of a certification path, each as a sentence.

    A flaw is a reason to refuse the certificate.

    Args:
        context: the host, roots, pins and time with which the certificate is checked.
        path: the certification path.
        index: the position of the certificate in the path, 0 for the first, usually the leaf.

    Returns:
        The flaws; empty for a trusted root.
    """
    spot = _Spot(context, path, index)
    if spot.place.trusted:
        return ()
    found = [rule(spot) for rule in _RULES]
    return tuple(flaw for flaw in found if flaw)


def _unreadable(spot: _Spot) -> str:
    return "" if spot.parsed else "it cannot be read"


def _authority(spot: _Spot) -> str:
    above = spot.place.above
    if above is Signature.BAD:
        return "the authority that it names did not sign it"
    if above is Signature.ITSELF:
        return "it is self-signed and not trusted"
    if above is Signature.MISSING:
        return "its issuer is not trusted"
    return ""


def _name(spot: _Spot) -> str:
    certificate = spot.place.facts.certificate
    if not spot.is_leaf or not certificate:
        return ""
    try:
        right = name_matches(spot.context.host, certificate)
    except CertificateParseError:
        return "its names can't be read"
    return "" if right else f"it is not for {spot.context.host}"


def _dates(spot: _Spot) -> str:
    facts, now = spot.place.facts, spot.context.now
    if now and facts.not_after and now > facts.not_after:
        return f"it expired on {facts.not_after:%Y-%m-%d}"
    if now and facts.not_before and now < facts.not_before:
        return f"it is not valid before {facts.not_before:%Y-%m-%d}"
    return ""


def _may_sign(spot: _Spot) -> str:
    if not spot.index or not spot.parsed:
        return ""
    basic = spot.extension(x509.BasicConstraints)
    usage = spot.extension(x509.KeyUsage)
    if not isinstance(basic, x509.BasicConstraints) or not basic.ca:
        return "it is not an authority, and must not sign certificates"
    if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
        return "its key must not sign certificates"
    if basic.path_length is not None and spot.index - 1 > basic.path_length:
        return "there are more authorities below it than it allows"
    return ""


def _purpose(spot: _Spot) -> str:
    uses = spot.extension(x509.ExtendedKeyUsage)
    fitting = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if isinstance(uses, x509.ExtendedKeyUsage) and not fitting & set(uses):
        return "it is not meant for servers"
    return ""


def _unknown(spot: _Spot) -> str:
    try:
        extensions = list(spot.parsed.extensions) if spot.parsed else []
    except _SENSELESS:
        return "its extensions can't be read"
    unknown = [
        extension
        for extension in extensions
        if isinstance(extension.value, x509.UnrecognizedExtension)
    ]
    return "it has an unknown critical extension" if any(e.critical for e in unknown) else ""


def _subtrees(spot: _Spot) -> str:
    limits = spot.extension(x509.NameConstraints)
    if not isinstance(limits, x509.NameConstraints):
        return ""
    permitted = [
        subtree for subtree in limits.permitted_subtrees or () if _same_kind(subtree, spot)
    ]
    excluded = [subtree for subtree in limits.excluded_subtrees or () if _same_kind(subtree, spot)]
    outside = permitted and not any(_below(spot.context.host, subtree) for subtree in permitted)
    if outside or any(_below(spot.context.host, subtree) for subtree in excluded):
        return f"it may not sign for {spot.context.host}"
    return ""


def _same_kind(limit: x509.GeneralName, spot: _Spot) -> bool:
    kind = x509.IPAddress if _address(spot.context.host) else x509.DNSName
    return isinstance(limit, kind)


def _below(host: str, limit: x509.GeneralName) -> bool:
    """Return True if a name constraint (RFC 5280 section 4.2.1.10) covers the host.

    ``limit`` is the constraint. A DNS name covers itself and all names below it; a network covers
    its addresses.
    """
    if isinstance(limit, x509.IPAddress):
        return _address(host) in _network(limit)
    return host == limit.value or host.endswith(f".{str(limit.value).lstrip('.')}")


def _weak(spot: _Spot) -> str:
    try:
        key = spot.parsed.public_key() if spot.parsed else None
        digest = spot.parsed.signature_hash_algorithm if spot.parsed else None
    except (ValueError, UnsupportedAlgorithm):
        return "its key or its signature is of a kind that cannot be read"
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _SMALLEST_RSA:
        return f"its key is weak: RSA of {key.key_size} bits"
    return (
        f"its signature is weak: {digest.name}" if digest and digest.name in _WEAK_DIGESTS else ""
    )


def _other_key(spot: _Spot) -> str:
    proved = spot.context.leaf_key
    if spot.is_leaf and proved and spot.place.facts.pin and proved != spot.place.facts.pin:
        return "the server does not have its key: it signed with another one"
    return ""


def _compromised(spot: _Spot) -> str:
    """Return the flaw of a key that the pin set marks as compromised; empty if it has no such flaw.

    ``spot`` is the certificate with its position in the certification path. Only certificates on
    the path from the leaf can have this flaw, because certpin also ignores all other certificates
    when it checks a chain for compromised keys.
    """
    refused = spot.path.on_path and spot.context.is_compromised(spot.place.facts)
    return "its key is marked compromised" if refused else ""


def _pinned(spot: _Spot) -> str:
    if not spot.is_leaf or not spot.context.pins:
        return ""
    for place in spot.path.certificates:
        if spot.context.pinned_role(place.facts):
            return ""
        if place.above is not Signature.GOOD:
            break
    return "no key from here up is pinned"


_RULES: tuple[Callable[[_Spot], str], ...] = (
    *(_unreadable, _other_key, _name, _dates, _authority, _may_sign),
    *(_purpose, _unknown, _subtrees, _weak, _compromised, _pinned),
)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network(limit: x509.IPAddress) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(str(limit.value), strict=False)
