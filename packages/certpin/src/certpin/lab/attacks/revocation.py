"""Cases of revoked certificates. No client has to check revocation, so results are only reported.

The certificates have the pinned key: a client that accepts them has not failed at pinning.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from certpin.lab.case import ALL_ACCEPT, ALL_POLICY, CannotServeError, Case, Family
from certpin.lab.scenario import Role, Scenario, ServerStep

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI

_HOUR = timedelta(hours=1)
_DAYS = timedelta(days=4)  # the validity of a response (CA/B Forum: at most 10 days)


def ocsp_response(pki: TestPKI, *, revoked: bool) -> bytes:
    """Return an OCSP response (RFC 6960) about the honest certificate as DER, signed by its issuer.

    Args:
        pki: the keys and certificates of the case.
        revoked: True for the status "revoked", False for "good".
    """
    leaf = pki.leaf.chain[0]
    issuer = pki.intermediate
    builder = ocsp.OCSPResponseBuilder().add_response(
        leaf,
        issuer.x509,
        hashes.SHA1(),  # noqa: S303  # the name of the certificate, as clients expect it
        ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD,
        this_update=pki.now - _HOUR,
        next_update=pki.now + _DAYS,
        revocation_time=pki.now - 2 * _HOUR if revoked else None,
        revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
    )
    response = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, issuer.x509).sign(
        issuer.key, hashes.SHA256()
    )
    return response.public_bytes(Encoding.DER)


def _stapled(pki: TestPKI, *, revoked: bool) -> Scenario:
    staple = ocsp_response(pki, revoked=revoked)
    return Scenario.of(ServerStep.of(pki.leaf, role=Role.HONEST, staple=staple))


def _must_staple(pki: TestPKI) -> Scenario:
    """Return a scenario in which the leaf requires a stapled OCSP response, but none is sent.

    The extension with this requirement is known as must-staple (RFC 7633).
    """
    feature = x509.TLSFeature([x509.TLSFeatureType.status_request])
    return Scenario.legitimate(
        pki.intermediate.issue(
            pki.host,
            key=pki.leaf.key,
            change=lambda builder: builder.add_extension(feature, critical=False),
        )
    )


def _listed(pki: TestPKI, *, revoked: bool) -> Scenario:
    """Return a scenario in which the leaf contains the URL of a CRL that the lab serves.

    The CRL is signed by the issuer of the leaf. It lists the leaf if ``revoked`` is True, and only
    another certificate otherwise.

    Raises:
        CannotServeError: no lab is running that could serve the CRL.
    """
    if not pki.authorities.add_list:
        raise CannotServeError(
            "the certificate names an address of a running lab on this machine",
            fix="run it with certpin prove",
        )
    served = pki.authorities.add_list()
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(served.url)], None, None, None)
    points = x509.CRLDistributionPoints([point])
    leaf = pki.intermediate.issue(
        pki.host,
        key=pki.leaf.key,
        change=lambda builder: builder.add_extension(points, critical=False),
    )
    serial = leaf.chain[0].serial_number
    served.der = _signed_list(pki, serial if revoked else x509.random_serial_number())
    return replace(Scenario.legitimate(leaf), crl=served)


def _signed_list(pki: TestPKI, serial: int) -> bytes:
    """Return a CRL (RFC 5280 section 5) as DER, signed by the issuer of the honest certificate.

    ``serial`` is the serial number of the only certificate that the CRL lists.
    """
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(serial)
        .revocation_date(pki.now - 2 * _HOUR)
        .add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
    )
    issuer = pki.intermediate
    key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(pki.now - _HOUR)
        .next_update(pki.now + _DAYS)
        .add_extension(key_id, critical=False)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_revoked_certificate(entry.build())
    )
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


_STAPLED = "a revocation that the server itself presents (OCSP stapling)"
_FIX = (
    "revocation can't replace the removal of a key from the pins: rotate to the backup key. To "
    "check staples too, ask for them (curl --cert-status, OpenSSL's status_request callback, a "
    "PKIXRevocationChecker)"
)

REVOCATION = (
    Case(
        name="rot-stapled",
        family=Family.ROTATION,
        presents="I→L with a stapled OCSP response: the certificate is good",
        expected=ALL_ACCEPT,
        guards="that a server may begin to staple. Without it, a refusal of revoked-staple would "
        "prove nothing",
        reference="RFC 6066 section 8; RFC 8446 section 4.4.2.1",
        fix="let the TLS library read the response, or don't ask for one",
        scenario=lambda pki: _stapled(pki, revoked=False),
    ),
    Case(
        name="revoked-staple",
        family=Family.CONSTRAINT,
        presents="I→L with a stapled OCSP response: the certificate was revoked because its key "
        "was stolen",
        expected=ALL_POLICY,
        guards="whether the client checks the staples that it gets. A client that asks for none "
        "gets none",
        reference="RFC 6960 section 2.2; RFC 6066 section 8",
        fix=_FIX,
        scenario=lambda pki: _stapled(pki, revoked=True),
        checks=_STAPLED,
    ),
    Case(
        name="must-staple",
        family=Family.CONSTRAINT,
        presents="I→L, which requires a stapled OCSP response (must-staple), and none is sent",
        expected=ALL_POLICY,
        guards="whether a thief of the key can leave the response out",
        reference="RFC 7633 section 4.3.3",
        fix=_FIX,
        scenario=_must_staple,
        checks="a staple that the certificate requires (must-staple)",
    ),
    Case(
        name="rot-crl",
        family=Family.ROTATION,
        presents="I→L, which names a list of revoked certificates (CRL) without it",
        expected=ALL_ACCEPT,
        guards="that an authority may begin to publish lists. Without it, a refusal of revoked-crl "
        "would prove nothing",
        reference="RFC 5280 section 4.2.1.13",
        fix="let the TLS library ignore the address of a list, or let the client reach it: lists "
        "are fetched over http://",
        scenario=lambda pki: _listed(pki, revoked=False),
    ),
    Case(
        name="revoked-crl",
        family=Family.CONSTRAINT,
        presents="I→L, which names a list of revoked certificates (CRL) with it",
        expected=ALL_POLICY,
        guards="whether the client fetches the list, and refuses a certificate that is in it",
        reference="RFC 5280 sections 5 and 6.3",
        fix="revocation can't replace the removal of a key from the pins: rotate to the backup "
        "key. To check lists too, let the client fetch them (OpenSSL's X509_V_FLAG_CRL_CHECK, a "
        "PKIXRevocationChecker)",
        scenario=lambda pki: _listed(pki, revoked=True),
        checks="the list of revoked certificates (CRL) that a certificate names",
    ),
)
