"""Chains that OpenSSL refused itself: the reason of a report, and the error for the user.

The words for reasons are those of browsers' reports (``certpin.reports.codecs.nel``), of TrustKit
and of the Dart client, so that a collector counts one thing under one name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from certpin.errors import CertificateParseError, UnverifiedChainError
from certpin.pins.explain import name_of, shorten
from certpin.x509 import Certificate, printable
from certpin.x509.verifying import strict_advice

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from certpin.pins import HostPolicy
    from certpin.tls.events import Met

Unverified = Literal["untrusted", "name", "date", "revoked", "invalid"]

# X509_V_ERR_…, openssl/x509_vfy.h. Whatever is not here makes a certificate invalid: a key that is
# too small, a purpose that it was not issued for, an authority that is none.
_REASONS: dict[int, Unverified] = {
    2: "untrusted",  # UNABLE_TO_GET_ISSUER_CERT
    18: "untrusted",  # DEPTH_ZERO_SELF_SIGNED_CERT
    19: "untrusted",  # SELF_SIGNED_CERT_IN_CHAIN
    20: "untrusted",  # UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    21: "untrusted",  # UNABLE_TO_VERIFY_LEAF_SIGNATURE
    27: "untrusted",  # CERT_UNTRUSTED
    28: "untrusted",  # CERT_REJECTED
    9: "date",  # CERT_NOT_YET_VALID
    10: "date",  # CERT_HAS_EXPIRED
    13: "date",  # ERROR_IN_CERT_NOT_BEFORE_FIELD
    14: "date",  # ERROR_IN_CERT_NOT_AFTER_FIELD
    62: "name",  # HOSTNAME_MISMATCH
    64: "name",  # IP_ADDRESS_MISMATCH
    23: "revoked",  # CERT_REVOKED, where the application loaded lists
}


def reason_of(verify_code: int) -> Unverified:
    """The word for a code of ``ssl.SSLCertVerificationError``."""
    return _REASONS.get(verify_code, "invalid")


def explain_refusal(
    host: str, policy: HostPolicy, met: Met, error: ssl.SSLCertVerificationError
) -> UnverifiedChainError:
    """Explain why OpenSSL refused a host with a policy (rule 12).

    ``host`` is normalised. ``met.served`` is the served chain: hostile bytes. The policy's
    ``trust`` names the anchors that were expected.
    """
    message = error.verify_message or str(error)
    certificates = [_read(der) for der in met.served[:_SHOWN]]
    anchors = tuple(_subject_of(_read(der)) for der in policy.trust.der) if policy.trust else ()
    issuer = _issuer_of(certificates[-1]) if certificates else ""
    pattern = str(policy.pattern)
    lines = [
        f"{host} refused: OpenSSL did not verify its chain: {message}; policy {pattern!r}",
        *_served_lines(certificates, len(met.served)),
        *_anchor_lines(policy, anchors),
    ]
    return UnverifiedChainError(
        "\n".join(lines),
        host=host,
        fix=strict_advice(error.verify_code)
        or _fix(reason_of(error.verify_code), _target(host, met.port), issuer, anchors),
        code=error.verify_code,
        message=message,
        issuer=issuer,
        anchors=anchors,
    )


_SHOWN = 10  # certificates; a hostile server may send hundreds
_UNREADABLE = "(a certificate that cannot be read)"


def _read(der: bytes) -> Certificate | None:
    try:
        return Certificate.from_der(der)
    except CertificateParseError:
        return None


def _subject_of(certificate: Certificate | None) -> str:
    return name_of(certificate) if certificate else _UNREADABLE


def _issuer_of(certificate: Certificate | None) -> str:
    try:
        return shorten(certificate.issuer) if certificate else ""
    except CertificateParseError:
        return ""


def _served_lines(certificates: list[Certificate | None], count: int) -> Iterator[str]:
    if certificates:
        yield "  served, leaf first, and not verified:"
    for certificate in certificates:
        issuer = _issuer_of(certificate)
        yield f"    {_subject_of(certificate)}" + (f"  issued by {issuer}" if issuer else "")
    if count > len(certificates):
        yield f"    and {count - len(certificates)} more"


def _anchor_lines(policy: HostPolicy, anchors: tuple[str, ...]) -> Iterator[str]:
    if policy.trust is None:
        yield "  expected: a chain to a root that this platform trusts"
        return
    source = printable(policy.trust.source)
    yield "  expected: a chain to an anchor of the pin file" + (f" ({source}):" if source else ":")
    for name in anchors:
        yield f"    {name}"


def _target(host: str, port: int) -> str:
    """Return the argument of ``certpin pin`` for this connection."""
    if port in (0, 443):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _fix(reason: Unverified, target: str, issuer: str, anchors: tuple[str, ...]) -> str:
    compare = f"Compare from another network: certpin pin {target}"
    if reason == "date":
        return "check the clock of this machine; if it is right, renew the server's certificate"
    if reason == "name":
        return f"connect to a name that is in the certificate, or get one for this host. {compare}"
    if reason != "untrusted":
        return f"ask the server's operator for a certificate that OpenSSL accepts. {compare}"
    issuer = issuer or "another authority"
    known = (
        "add its root to `trust` in the pin file"
        if anchors
        else "set `trust` in the pin file to it"
    )
    return (
        f"the chain ends at {issuer}, which is not trusted for this host: treat it as an attack. "
        f"If the server changed its authority on purpose, {known}; if {issuer} is an intermediate "
        f"of an expected authority, let the server send it. {compare}"
    )
