"""The test PKI of a case: trusted and untrusted roots, and the certificates of the servers.

R is the trusted root, I its intermediate, L the good leaf, B the leaf with the backup key. R2 is a
second trusted root, of an attacker or a company; U is an untrusted root. Certificates are created
on first use, with keys that stay in memory and dates relative to the given clock. The honest
server's key is chosen so that an attack can quickly find a key with a similar pin.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from functools import cache, cached_property, lru_cache
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certpin.lab.authority import Authority, Identity, new_key, new_rsa_key, rsa_key_of
from certpin.lab.ct_log import LabLog, with_scts
from certpin.lab.scenario import PUBLIC_NAME, Role, ServerStep
from certpin.lab.server.records import vector
from certpin.pins import HostPattern, HostPin, HostPolicy, PinSet, pins_of
from certpin.x509 import Certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    from certpin.lab.scenario import RevocationList
    from certpin.pins import Pin
    from certpin.pins import Role as PinRole

Made = TypeVar("Made")

_CLIENT_DAYS = 47

# The equal bits at the beginning of similar pins: three characters of base64. Each further one
# takes 64 times as long (about 0.2 s for three).
_GROUND_BITS = 18
# The first primes above 3·2^1022 and 7·2^1021 that are safe: (p - 1) / 2 is prime, too. Anyone can
# compute the attacker's private key, which protects nothing.
SAFE_PRIMES = (3 << 1022) + 947_267, (7 << 1021) + 1_190_739
# RFC 8017 section 3.1 allows any exponent prime to λ(n): any odd one, because the primes are safe.
# All of these have 4 bytes, and so all keys the same DER header.
_EXPONENTS = range((1 << 24) + 1, 1 << 31, 2)
_EXPONENT_SIZE = 4
_READY = 4096  # exponents that are tried before there is a pin to imitate

# The values of the lab's ECH configuration: RFC 9849 section 4, RFC 9180 section 7.
_ECH_VERSION = b"\xfe\x0d"
_ECH_ID = b"\1"
_DHKEM_X25519 = b"\0\x20"
_HKDF_AES_128 = b"\0\1\0\1"  # one suite: HKDF-SHA256 and AES-128-GCM
_LONGEST_HOST = 253


class Style(StrEnum):
    """How a client is pinned: by no keys, by keys of the server, or by keys of authorities.

    The user declares the style. The lab never derives it from the client's behaviour.
    """

    NONE = "none"  # no pins: a client that trusts its roots
    LEAF = "leaf"  # pins on the key of the server, and on a backup
    CA = "ca"  # pins on the intermediate or the root


def client_identity(now: datetime) -> Identity:
    """Return a self-signed TLS client certificate with its key. It is not valid for a server.

    ``now`` is the current time, for the dates of the certificate.
    """
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client (certpin lab)")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=_CLIENT_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    return Identity(key, (builder.sign(key, hashes.SHA256()),))


# The letters in the descriptions of the cases. Every report explains them.
LETTERS = {
    "R": "a root that the client trusts",
    "I": "the intermediate below R that issued the honest server's certificate",
    "I2": "another intermediate below R",
    "L": "the honest server's certificate",
    "B": "the honest server's certificate with its backup key",
    "R2": "another root that the client trusts, of a rogue or a company",
    "U": "a root that the client does not trust",
    "L′": "a certificate that an attacker made for the same name",
    "K": "a certificate with a key that the client's pin set marks compromised",
}
LEGEND = "; ".join(f"{letter}: {meaning}" for letter, meaning in LETTERS.items()) + "."

# Hosts without pins. At least one of them differs from the two hosts under test.
UNPINNED = ("www.partner.example", "www.other.example", "www.third.example")

# Part of the name of every root, in case a device still has one in its trust store.
_WARNING = "do not trust (certpin lab)"


@lru_cache
def _rsa_key(whose: str) -> rsa.RSAPrivateKey:
    """Return an RSA key for the use ``whose``: ``backup`` or ``intermediate``.

    Later calls with the same use return the same key, to save time.
    """
    return new_rsa_key()


def imitable_key() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 key with a pin for which ``similar_key`` quickly finds a similar RSA key.

    Two pins are similar if they begin with the same 18 bits. For a given pin, an attacker has to
    try some 2^18 keys to find a similar one. To save this time, the lab computes the pins of 4,096
    RSA keys once. It then makes P-256 keys, 64 on average, until one has a pin that is similar to
    one of these pins.
    """
    while True:
        key = new_key()
        if _beginning(hashlib.sha256(_info(key)).digest()) in _ready():
            return key


@cache
def _ready() -> dict[int, int]:
    """Return the public exponents of 4,096 RSA keys, by the first 18 bits of each key's pin.

    An attacker uses one of these keys if its pin is similar to the pin of the honest server. The
    keys have the same two primes and differ only in the exponent.
    """
    return {beginning: exponent for exponent, beginning in _tried(_EXPONENTS[:_READY])}


def _tried(exponents: range) -> Iterator[tuple[int, int]]:
    """Yield each of these public exponents, with the first 18 bits of the pin of its RSA key.

    The keys have the same two primes. The exponent is the last field of the SubjectPublicKeyInfo,
    of which a pin is the SHA-256. So only the last block of SHA-256 is computed for each key.
    """
    before = hashlib.sha256(_info(rsa_key_of(*SAFE_PRIMES, exponents[0]))[:-_EXPONENT_SIZE])
    for exponent in exponents:
        tried = before.copy()
        tried.update(exponent.to_bytes(_EXPONENT_SIZE))
        yield exponent, _beginning(tried.digest())


def _info(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _beginning(digest: bytes) -> int:
    return int.from_bytes(digest[:4]) >> (32 - _GROUND_BITS)


@lru_cache(maxsize=64)  # each attempt at the case, and each style of a test, wants the same key
def similar_key(digest: bytes) -> rsa.RSAPrivateKey:
    """Return an RSA key with a pin that begins with the same 18 bits as the pin of another key.

    This takes longer if ``imitable_key`` did not make the other key, such as that of a real server.

    Args:
        digest: the SHA-256 of the other key's SPKI.
    """
    wanted = _beginning(digest)
    exponent = _ready().get(wanted) or next(
        exponent for exponent, beginning in _tried(_EXPONENTS[_READY:]) if beginning == wanted
    )
    return rsa_key_of(*SAFE_PRIMES, exponent)


class made_once(cached_property[Made]):  # noqa: N801  # as `cached_property`
    """A ``cached_property`` that makes its value only once, even if several threads read it.

    Cases run in several threads at the same time, and ``cached_property`` has no lock since Python
    3.12. Without a lock, the server of one case and the client of another could get different keys
    of the same authority.
    """

    def __init__(self, make: Callable[[Any], Made]) -> None:
        super().__init__(make)
        self._making = RLock()

    if not TYPE_CHECKING:

        def __get__(self, instance: object, owner: type | None = None) -> Any:
            """Return the value of ``instance``, made by the first thread that reads it."""
            with self._making:
                return super().__get__(instance, owner)


class Authorities:
    """The authorities of a run of the lab, shared by all its cases.

    R is the root above the honest servers, and R2 a root of an attacker or a company. The client
    trusts both. ``root`` and ``rogue`` are stored authorities to use as R and R2; by default, new
    ones are made.
    """

    def __init__(
        self, now: datetime, *, root: Authority | None = None, rogue: Authority | None = None
    ) -> None:
        self.now = now
        # Returns a list of revoked certificates to fill, which the lab serves; None if it can't.
        self.add_list: Callable[[], RevocationList] | None = None
        if root:
            self.root = root
        if rogue:
            self.rogue = rogue

    @made_once
    def root(self) -> Authority:
        """R: the root that the client trusts, above the certificates of honest servers."""
        return Authority(f"Root R, {_WARNING}", now=self.now)

    @made_once
    def intermediate(self) -> Authority:
        """I: the intermediate below R that issues the certificate of the honest server."""
        return Authority(f"Intermediate I, {_WARNING}", issuer=self.root, key=imitable_key())

    @made_once
    def second_intermediate(self) -> Authority:
        """I2: another intermediate below R, for the second host or a change of intermediates."""
        return self.root.intermediate(f"Intermediate I2, {_WARNING}")

    @made_once
    def rogue(self) -> Authority:
        """R2: a second root that the client trusts, and must not accept for a pinned host."""
        return Authority(f"Rogue root R2, {_WARNING}", now=self.now)

    @made_once
    def namesake(self) -> Authority:
        """A root with the name of R and another key, which some cases add to the trust store."""
        return Authority(self.root.common_name, now=self.now)

    @made_once
    def new_root(self) -> Authority:
        """X: a new root that R has cross-signed, which some cases add to the trust store."""
        return Authority(f"Root X, {_WARNING}", now=self.now)

    @made_once
    def untrusted(self) -> Authority:
        """U: a root that is in no trust store of a client."""
        return Authority(f"Untrusted root U, {_WARNING}", now=self.now)

    @made_once
    def rsa_intermediate(self) -> Authority:
        """An intermediate below R with an RSA key, for signatures that ECDSA can't make."""
        key = _rsa_key("intermediate")
        return Authority(f"Intermediate RSA, {_WARNING}", issuer=self.root, key=key)

    @made_once
    def backup_key(self) -> rsa.RSAPrivateKey:
        """The backup key of every server. It is RSA, so that clients pin keys of both types."""
        return _rsa_key("backup")

    @made_once
    def logs(self) -> tuple[LabLog, ...]:
        """Two Certificate Transparency logs, of two operators, that the client recognises."""
        return LabLog.make("Operator A"), LabLog.make("Operator B")

    @made_once
    def unknown_logs(self) -> tuple[LabLog, ...]:
        """Two Certificate Transparency logs that are not in the client's list."""
        return LabLog.make("Operator C"), LabLog.make("Operator D")

    @made_once
    def ech_configs(self) -> bytes:
        """An ECHConfigList (RFC 9849 section 4) for ``PUBLIC_NAME``.

        The matching private key is thrown away, so the lab can't decrypt and always rejects ECH.
        """
        key = X25519PrivateKey.generate().public_key().public_bytes_raw()
        suites, name = vector(2, _HKDF_AES_128), vector(1, PUBLIC_NAME.encode())
        contents = (
            *(_ECH_ID, _DHKEM_X25519, vector(2, key), suites),
            *(_LONGEST_HOST.to_bytes(), name, vector(2, b"")),  # no extensions
        )
        return vector(2, _ECH_VERSION + vector(2, b"".join(contents)))

    @made_once
    def client(self) -> Identity:
        """The client certificate, for servers that request one."""
        return client_identity(self.now)

    @property
    def trusted_pem(self) -> bytes:
        """The roots that the client trusts, as PEM: R and R2."""
        return self.root.pem + self.rogue.pem


class TestPKI:
    """The keys and certificates with which the lab plays the servers of a case.

    These are the honest servers of two hosts (the host under test, and a second pinned host), a
    host without pins, and attackers.
    """

    __test__ = False  # pytest would collect a class of this name

    def __init__(self, authorities: Authorities, host: str, second: str, style: Style) -> None:
        self.authorities = authorities
        self.root = authorities.root
        self.intermediate = authorities.intermediate
        self.second_intermediate = authorities.second_intermediate
        self.rogue = authorities.rogue
        self.untrusted = authorities.untrusted
        self.now = authorities.now
        self.host = host
        self.second = second
        self.style = style

    @made_once
    def leaf(self) -> Identity:
        """The honest server's key and chain.

        The leaf L is issued by the intermediate I below the root R.
        """
        return self.intermediate.issue(self.host, key=imitable_key())

    @made_once
    def backup(self) -> Identity:
        """The honest server's backup key and its chain.

        The leaf B is issued by the intermediate I below the root R.
        """
        return self.intermediate.issue(self.host, key=self.authorities.backup_key)

    @made_once
    def second_leaf(self) -> Identity:
        """The key and chain of the honest second host.

        The leaf L2 is issued by the intermediate I2 below the root R.
        """
        return self.second_intermediate.issue(self.second)

    @property
    def unpinned(self) -> str:
        """The name of a third host, for which the client has no pins."""
        taken = self.host, self.second
        return next(name for name in UNPINNED if name not in taken)

    @made_once
    def unpinned_leaf(self) -> Identity:
        """The key and chain of a host without pins.

        The leaf L3 is issued by the intermediate I2 below the root R.
        """
        return self.second_intermediate.issue(self.unpinned)

    @made_once
    def attacker_chain(self) -> Identity:
        """An attacker's key and chain for the host: L′, issued by R2, which clients trust.

        Clients have no pin for this key or chain.
        """
        return self.rogue.issue(self.host)

    def logged(self, logs: tuple[LabLog, ...]) -> Identity:
        """Return the honest server's key, with a new certificate that contains SCTs.

        ``logs`` are the Certificate Transparency logs that issue the SCTs.
        """
        change = with_scts(self.intermediate, logs)
        return self.intermediate.issue(self.host, key=self.leaf.key, change=change)

    @made_once
    def stolen(self) -> Identity:
        """A stolen former key of the server, with a certificate for the host.

        The intermediate I of the honest server issued the certificate.
        """
        return self.intermediate.issue(self.host)

    @made_once
    def stolen_intermediate(self) -> Authority:
        """K: an intermediate below the trusted root R with a stolen key."""
        return self.root.intermediate(f"Intermediate K, {_WARNING}")

    @property
    def real_chain(self) -> tuple[x509.Certificate, ...]:
        """The chain of the honest server, leaf first. It is public, so attackers have it too."""
        return self.leaf.chain

    @made_once
    def pinned_certificate(self) -> Certificate:
        """The first certificate of the honest chain that a pin matches; the leaf if no pin matches.

        It is for clients that pin a whole certificate instead of a key.
        """
        chain = [
            Certificate.from_der(certificate.public_bytes(Encoding.DER))
            for certificate in self.real_chain
        ]
        policy = self.pins.policy_for(self.host) if self.pins else None
        pinned = {entry.pin for entry in policy.pins} if policy else set()
        return next(
            (certificate for certificate in chain if not pinned.isdisjoint(pins_of(certificate))),
            chain[0],
        )

    @property
    def honest(self) -> ServerStep:
        """How the lab serves a connection as the honest server, without an attack."""
        return ServerStep.of(self.leaf, role=Role.HONEST)

    @property
    def lab_honest(self) -> ServerStep:
        """The server step of the honest server, for cases in which the lab chooses its answers.

        A step describes how the lab serves one connection. Here it is the same as ``honest``: the
        lab plays the honest server itself.

        Raises:
            CannotServeError: in a subclass, if the honest server is a real server, which chooses
                its answers itself.
        """
        return self.honest

    @property
    def honest_second(self) -> ServerStep:
        """How the lab serves a connection as the honest server of the second host."""
        return ServerStep.of(self.second_leaf, role=Role.HONEST)

    @property
    def man_in_the_middle(self) -> ServerStep:
        """How the lab serves a connection as the simplest attacker that the client must refuse.

        If the client has pins, the attacker's chain ends at a trusted root. If it has none, the
        chain ends at an untrusted root, because a client without pins accepts any chain to a
        trusted one.
        """
        if self.style is Style.NONE:
            return ServerStep.of(self.untrusted.issue(self.host))
        return ServerStep.of(self.attacker_chain)

    @property
    def man_in_the_middle_second(self) -> ServerStep:
        """How the lab serves the second host as the same attacker as ``man_in_the_middle``."""
        issuer = self.untrusted if self.style is Style.NONE else self.rogue
        return ServerStep.of(issuer.issue(self.second))

    @made_once
    def pins(self) -> PinSet | None:
        """The client's pins for the host under test and the second host.

        They are pins of the servers' keys, or of the authorities if ``style`` is ``Style.CA``. The
        value is never ``None`` in this class, but can be in subclasses, if the lab doesn't know the
        pins.
        """
        first: dict[Pin, PinRole] = {self.leaf.pin: "leaf", self.backup.pin: "backup"}
        if self.style is Style.CA:
            first = {self.intermediate.pin: "intermediate", self.root.pin: "root"}
        return self._pin_set(first)

    def _pin_set(self, first: dict[Pin, PinRole]) -> PinSet:
        """Return the client's pin set for two hosts.

        Args:
            first: the pins of the host under test. The second host gets a pin of its honest chain,
                and a backup pin.
        """
        second: dict[Pin, PinRole] = {self.second_leaf.pin: "leaf", self.backup.pin: "backup"}
        if self.style is Style.CA:
            # Not R: a chain of the first host would then match for the second.
            second = {self.second_intermediate.pin: "intermediate", self.backup.pin: "root"}
        return PinSet("lab", 1, (_policy(self.host, first), _policy(self.second, second)))

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The root of the honest server as DER, for a client that has anchors instead of pins."""
        return (self.root.certificate.der,)

    def pinned_authorities(self, policy: HostPolicy) -> tuple[bytes, ...]:
        """Return the certificates (DER) of the lab's authorities that a policy pins.

        They are for clients that use them as trust anchors. If an authority and its issuer are both
        pinned, only the issuer is returned, because the lower authority would hide attacks: a
        client would use its own copy of the lower certificate, and so ignore a bad signature on the
        copy that a server sends.
        """
        lab = (self.root, self.intermediate, self.second_intermediate)
        pinned = [authority for authority in lab if authority.pin in policy.live_pins]
        return tuple(
            authority.certificate.der for authority in pinned if authority.issuer not in pinned
        )


def expiring(pins: PinSet, moment: datetime) -> PinSet:
    """Return a copy of the pin set in which the pins of each host expire at ``moment``.

    Fractions of a second are removed from ``moment``.
    """
    moment = moment.replace(microsecond=0)
    policies = tuple(replace(policy, expires=moment) for policy in pins.policies)
    return replace(pins, policies=policies)


def _policy(host: str, pins: dict[Pin, PinRole]) -> HostPolicy:
    entries = tuple(HostPin(pin, role) for pin, role in pins.items())
    return HostPolicy(HostPattern.parse(host), entries)
