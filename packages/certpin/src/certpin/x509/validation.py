"""Find the fault for which clients refuse a path of certificates, whatever keys are pinned.

``path_fault`` follows RFC 5280 section 6, as OpenSSL applies it to the certificates of TLS servers
(``X509_verify_cert`` with the purpose ``sslserver``; crypto/x509/x509_vfy.c and v3_purp.c). Every
certificate of the path, the trust anchor included, is checked in this order:

    1. its dates
    2. its key has a named curve, if it is an EC key; its key and its signature are as strong as
       OpenSSL's security level 2 requires; the leaf's key is of a type that clients offer in TLS
    3. it has no unknown critical extension, and none that can't be read
    4. an authority may issue certificates (basicConstraints, keyUsage, the purpose sslserver)
    5. it is for TLS servers (extendedKeyUsage, keyUsage)
    6. the path below an authority is not longer than its pathLenConstraint
    7. its key identifiers lead to the certificate above
    8. its names keep the nameConstraints of every authority above it
    9. the rules that only ``VERIFY_X509_STRICT`` enforces, if the clients require them

Not checked: signatures, host names, revocation and certificate policies. ``ways_up`` in
``certpin.x509.chain`` builds the paths, and verifies the signatures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm

from certpin.x509.certificate import (
    extension_of,
    extension_value,
    extensions_of,
    name_of,
    names_issuer,
    without_deprecations,
)
from certpin.x509.name_constraints import constraint_problem
from certpin.x509.openssl import PIN_FILE_SETTING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cryptography import x509

    from certpin.x509.certificate import Certificate

# The critical extensions that OpenSSL processes (X509_supported_extension in v3_purp.c).
_SUPPORTED = frozenset(
    {
        "2.5.29.15",  # keyUsage
        "2.5.29.17",  # subjectAltName
        "2.5.29.19",  # basicConstraints
        "2.5.29.30",  # nameConstraints
        "2.5.29.31",  # cRLDistributionPoints
        "2.5.29.32",  # certificatePolicies
        "2.5.29.33",  # policyMappings
        "2.5.29.36",  # policyConstraints
        "2.5.29.37",  # extendedKeyUsage
        "2.5.29.54",  # inhibitAnyPolicy
        "1.3.6.1.5.5.7.48.1.5",  # id-pkix-ocsp-nocheck
        "2.16.840.1.113730.1.1",  # nsCertType
    }
)
_PROXY = "1.3.6.1.5.5.7.1.14"  # proxyCertInfo (RFC 3820): OpenSSL refuses it by default
_NETSCAPE_TYPE = "2.16.840.1.113730.1.1"
_NETSCAPE_SERVER = 0x40

# extendedKeyUsage for TLS servers: serverAuth, and the old purposes of step-up encryption. OpenSSL
# doesn't count anyExtendedKeyUsage.
_FOR_SERVERS = {"1.3.6.1.5.5.7.3.1", "2.16.840.1.113730.4.1", "1.3.6.1.4.1.311.10.3.3"}

# OpenSSL's security level 2, which Python sets, requires 112 bits (SSL_CTX_set_security_level).
_LEAST_RSA_BITS = 2048
_LEAST_CURVE_BITS = 224
_LEAST_DIGEST_BYTES = 28
_NEW = "get a new certificate"

# The curves of the signature algorithms that OpenSSL's clients offer by default (RFC 8446 section
# 4.2.3). Those of brainpool are offered by OpenSSL 3.2 and newer, in TLS 1.3 only (RFC 8734).
_TLS_CURVES = frozenset(
    {
        *("secp256r1", "secp384r1", "secp521r1"),
        *("brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"),
    }
)


@dataclass(frozen=True)
class PathFault:
    """The reason why clients refuse a certification path, whatever keys are pinned.

    Attributes:
        certificate: the certificate with the fault.
        problem: which certificate is wrong and why, as a sentence without its full stop.
        fix: advice on how to correct the fault.
        valid_from: the time from which the certificate is valid, if the fault is that it is not
            valid yet; otherwise ``None``.
    """

    certificate: Certificate
    problem: str
    fix: str
    valid_from: datetime | None = None


def path_fault(
    path: Sequence[Certificate],
    begin: datetime,
    end: datetime,
    *,
    has_leaf: bool = True,
    is_whole: bool = True,
    strict: bool = False,
) -> PathFault | None:
    """Return the first fault for which clients refuse a certification path; ``None`` if none.

    Args:
        path: the certificates, each issued by the next one.
        begin: it is a fault if the validity of a certificate begins after this time. Pass the
            current time; or a later one, to tolerate that the clock of this machine is slow.
        end: it is a fault if a certificate has expired at this time. Usually the current time.
        has_leaf: False if ``path`` begins with the authority that issues the leaf.
        is_whole: False if ``path`` ends below its trust anchor, because the anchor is unknown.
        strict: True if the clients require the rules of ``VERIFY_X509_STRICT``.
    """
    first = 0 if has_leaf else 1
    is_alone = is_whole and has_leaf and len(path) == 1
    for at, certificate in enumerate(path):
        is_anchor = is_whole and at + 1 == len(path)
        below = path[1 - first : at]
        check = _Check(certificate, at + first, below, path[at + 1 :], is_anchor)
        try:
            found = next(check.problems(begin, end, strict=strict and not is_alone), None)
        except UnsupportedAlgorithm:
            found = _Problem("has a key or a signature that certpin can't read")
        except Exception:  # noqa: BLE001  # cryptography raises many types for hostile fields
            found = _Problem("has an extension that can't be read")
        if found is not None:
            text = f"{check.name} {found.text}"
            return PathFault(certificate, text, _fix(check, found), found.valid_from)
    return None


class _Problem(NamedTuple):
    """A problem of a certificate.

    Attributes:
        text: the problem, as the end of a sentence that begins with the certificate.
        valid_from: the time from which the certificate is valid, if the problem is that it is not
            valid yet; otherwise ``None``.
        is_strict: True if only clients that require the rules of ``VERIFY_X509_STRICT`` refuse the
            certificate.
    """

    text: str
    valid_from: datetime | None = None
    is_strict: bool = False


def _fix(check: _Check, problem: _Problem) -> str:
    if check.is_anchor:
        fix = "use a certificate of another root, or get a new certificate of this root"
    else:
        other = "; send the authority's present certificate, or use another authority"
        fix = _NEW if check.depth == 0 else f"{_NEW} with its chain{other}"
    if problem.is_strict:
        return f"{fix}; or {PIN_FILE_SETTING}"
    return f"wait, or {fix}" if problem.valid_from else fix


@dataclass(frozen=True)
class _Check:
    """The checks of one certificate of a path.

    Attributes:
        certificate: the certificate.
        depth: its distance from the leaf, which has the depth 0.
        below: the authorities between it and the leaf, as far as they are known.
        above: the certificates above it, as far as they are known.
        is_anchor: True if it is the trust anchor of the path.
    """

    certificate: Certificate
    depth: int
    below: Sequence[Certificate]
    above: Sequence[Certificate]
    is_anchor: bool

    @property
    def name(self) -> str:
        """The certificate's description for messages, such as "the root … in its chain"."""
        if self.depth == 0:
            return "the certificate"
        kind = "root" if self.is_anchor else "authority"
        return f"the {kind} {name_of(self.certificate)} in its chain"

    @property
    def _parsed(self) -> x509.Certificate:
        return self.certificate.parsed

    def problems(self, begin: datetime, end: datetime, *, strict: bool) -> Iterator[_Problem]:
        """Yield each problem of the certificate, in the order of the checks (see the module).

        The arguments are those of ``path_fault``.

        Raises:
            CertificateParseError: a field can't be read.
            ValueError: an extension can't be read.
        """
        not_before, not_after = self.certificate.not_before, self.certificate.not_after
        if not_after <= end:
            yield _Problem(f"expired on {not_after:%Y-%m-%d %H:%M} UTC")
        if not_before > begin:
            yield _Problem(f"is not valid before {not_before:%Y-%m-%d %H:%M} UTC", not_before)
        found = (
            self._unusable_key(),
            self._weak_digest(),
            self._unknown_extension(),
            self._authority_problem() if self.depth else None,
            self._purpose_problem(),
            self._length_problem(),
            self._identifier_problem(),
            self._constraint_problem(),
        )
        yield from (_Problem(text) for text in found if text)
        if strict:  # `strict_advice` in certpin.x509.openssl has the same sections
            for rule in self._strict_problems():
                yield _Problem(f"breaks {rule}", is_strict=True)

    def _unusable_key(self) -> str | None:
        from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

        from certpin.x509.der import has_named_curve

        # OpenSSL doesn't check the curve of a server's certificate that is its own trust anchor.
        is_alone = self.is_anchor and not self.depth
        if not is_alone and not has_named_curve(self.certificate.spki):
            return "has an EC key with explicit curve parameters, which clients refuse"
        parsed = self._parsed  # before the context manager, which reading it enters, too
        with without_deprecations():
            key = parsed.public_key()
        if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
            return f"has a key of {key.key_size} bits, which clients refuse: too short"
        if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < _LEAST_CURVE_BITS:
            return f"has a key of {key.key_size} bits, which clients refuse: too short"
        is_offered = not isinstance(key, dsa.DSAPublicKey) and (
            not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name in _TLS_CURVES
        )
        if not self.depth and not is_offered:
            return (
                f"has a key of the type {self.certificate.key}, which clients don't offer in TLS, "
                "unlike P-256, P-384 and RSA"
            )
        return None

    def _weak_digest(self) -> str | None:
        if self.is_anchor:
            return None  # nothing depends on its signature
        digest = self._parsed.signature_hash_algorithm
        if digest is None or digest.digest_size >= _LEAST_DIGEST_BYTES:
            return None
        return f"is signed with {digest.name.upper()}, which clients refuse"

    def _unknown_extension(self) -> str | None:
        for extension in extensions_of(self._parsed):
            oid = extension.oid.dotted_string
            if oid == _PROXY:
                return "is a proxy certificate (RFC 3820), which clients refuse"
            if extension.critical and oid not in _SUPPORTED:
                return f"has the critical extension {oid}, which clients don't know"
        return None

    def _authority_problem(self) -> str | None:
        """Return why clients don't accept the certificate as an authority; ``None`` if they do.

        See RFC 5280 section 6.1.4 (k) and (n).
        """
        from cryptography import x509

        usage = extension_value(self._parsed, x509.KeyUsage)
        constraints = extension_value(self._parsed, x509.BasicConstraints)
        if constraints is not None and not constraints.ca:
            return "is no authority: its basicConstraints say CA:FALSE"
        if usage is not None and not usage.key_cert_sign:
            return "may not issue certificates: its keyUsage lacks keyCertSign"
        if constraints is None and not (self.is_anchor and self._is_old_root(usage)):
            return "is no authority: it has no basicConstraints"
        return None

    def _is_old_root(self, usage: x509.KeyUsage | None) -> bool:
        """Return True if OpenSSL accepts this root as an authority without basicConstraints.

        OpenSSL accepts a self-issued root of X.509 version 1, and a root with keyUsage. Call it for
        a root that lacks basicConstraints.

        Args:
            usage: the keyUsage of the root; ``None`` if it has none.
        """
        from cryptography import x509

        is_first = self._parsed.version is x509.Version.v1 and self.certificate.self_issued
        return is_first or usage is not None

    def _purpose_problem(self) -> str | None:
        """Return why the certificate can't be used for TLS servers; ``None`` if it can.

        For an authority with extendedKeyUsage, OpenSSL requires the purpose of TLS servers, too.
        """
        from cryptography import x509

        purposes = extension_value(self._parsed, x509.ExtendedKeyUsage)
        if purposes is not None and _FOR_SERVERS.isdisjoint(
            purpose.dotted_string for purpose in purposes
        ):
            return "is not for TLS servers: its extendedKeyUsage lacks serverAuth"
        if self.depth:
            return None
        usage = extension_value(self._parsed, x509.KeyUsage)
        if usage is not None and not (
            usage.digital_signature or usage.key_encipherment or usage.key_agreement
        ):
            return "is not for TLS servers: its keyUsage lacks digitalSignature"
        netscape = _netscape_type(self._parsed)
        if netscape is not None and not netscape & _NETSCAPE_SERVER:
            return "is not for TLS servers: its nsCertType lacks SSL server"
        return None

    def _length_problem(self) -> str | None:
        """Return a problem if more authorities are below this one than it allows, else ``None``.

        An authority limits their number with its pathLenConstraint. Self-issued authorities don't
        count (RFC 5280 section 4.2.1.9).
        """
        from cryptography import x509

        constraints = extension_value(self._parsed, x509.BasicConstraints)
        limit = constraints.path_length if constraints is not None else None
        count = sum(not each.self_issued for each in self.below)
        if limit is None or count <= limit:
            return None
        return f"allows {limit} authorities below it (pathLenConstraint), and {count} are there"

    def _identifier_problem(self) -> str | None:
        """Return a problem if the authorityKeyIdentifier names a different issuer, else ``None``.

        It must not contradict the key identifier, the serial number and the issuer's name of the
        next certificate in the path. Without a next certificate, or without this extension, there
        is no problem.
        """
        if not self.above or names_issuer(self.certificate, self.above[0]):
            return None
        return "names another issuer in its authorityKeyIdentifier than the chain has"

    def _constraint_problem(self) -> str | None:
        """Return how the certificate violates nameConstraints; ``None`` if it doesn't.

        The nameConstraints of every authority above apply (RFC 5280 section 6.1.3 (b)). But they
        don't apply to a self-issued authority below the trust anchor.
        """
        from cryptography import x509

        if self.depth and self.certificate.self_issued and not self.is_anchor:
            return None
        for authority in self.above:
            constraints = extension_value(authority.parsed, x509.NameConstraints)
            problem = constraint_problem(self._parsed, constraints) if constraints else ""
            if problem:
                return f"{problem} of the authority {name_of(authority)}"
        return None

    def _strict_problems(self) -> Iterator[str]:
        """Yield a text for each broken rule that only ``VERIFY_X509_STRICT`` enforces.

        The text begins with the section of the rule in RFC 5280.
        """
        yield from self._strict_authority()
        yield from self._strict_names()
        yield from self._strict_identifiers()

    @property
    def _may_issue(self) -> bool:
        from cryptography import x509

        constraints = extension_value(self._parsed, x509.BasicConstraints)
        return constraints is not None and constraints.ca

    def _strict_authority(self) -> Iterator[str]:
        from cryptography import x509

        usage = extension_value(self._parsed, x509.KeyUsage)
        signs = usage is None or usage.key_cert_sign
        constraints = extension_of(self._parsed, x509.BasicConstraints)
        if constraints is None:
            if self.depth:
                yield "RFC 5280 section 4.2.1.9: an authority without basicConstraints"
        elif constraints.value.path_length is not None and not signs:
            yield "RFC 5280 section 4.2.1.9: pathLenConstraint without keyCertSign"
        elif self._may_issue and not constraints.critical:
            yield "RFC 5280 section 4.2.1.9: basicConstraints are not critical"
        if self._may_issue and usage is None:
            yield "RFC 5280 section 4.2.1.3: an authority without keyUsage"
        if not self._may_issue and usage is not None and signs:
            yield "RFC 5280 section 4.2.1.3: keyCertSign without CA:TRUE"

    def _strict_names(self) -> Iterator[str]:
        from cryptography import x509

        usage = extension_value(self._parsed, x509.KeyUsage)
        names = extension_of(self._parsed, x509.SubjectAlternativeName)
        needs_subject = self._may_issue or (usage is not None and usage.crl_sign) or names is None
        has_subject = bool(list(self._parsed.subject))
        if not list(self._parsed.issuer):
            yield "RFC 5280 section 4.1.2.4: no name of the issuer"
        if needs_subject and not has_subject:
            yield "RFC 5280 section 4.1.2.6: no name of the subject"
        if names is not None and not names.critical and not has_subject:
            yield "RFC 5280 section 4.2.1.6: no subject, and subjectAltName is not critical"
        if names is not None and not list(names.value):
            yield "RFC 5280 section 4.2.1.6: an empty subjectAltName"

    def _strict_identifiers(self) -> Iterator[str]:
        from cryptography import x509

        if self._parsed.version is not x509.Version.v3:
            if list(extensions_of(self._parsed)):
                yield "RFC 5280 section 4.1.2.1: extensions without version 3"
            return
        identifier = extension_value(self._parsed, x509.AuthorityKeyIdentifier)
        if not self.is_anchor and (identifier is None or identifier.key_identifier is None):
            yield "RFC 5280 section 4.2.1.1: no authorityKeyIdentifier"
        if self._may_issue and extension_value(self._parsed, x509.SubjectKeyIdentifier) is None:
            yield "RFC 5280 section 4.2.1.2: an authority without subjectKeyIdentifier"


def _netscape_type(parsed: x509.Certificate) -> int | None:
    """Return the bits of Netscape's certificate type, an old extension; ``None`` without it.

    The bits are the uses of the certificate, such as for TLS servers.
    """
    from cryptography import x509

    for extension in extensions_of(parsed):
        if extension.oid.dotted_string == _NETSCAPE_TYPE:
            assert isinstance(extension.value, x509.UnrecognizedExtension)  # noqa: S101  # its type
            _tag, _length, _unused, *bits = extension.value.value  # a BIT STRING of one byte
            return bits[0] if bits else 0
    return None
