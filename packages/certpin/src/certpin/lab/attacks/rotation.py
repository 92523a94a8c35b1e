"""Cases of legitimate changes of the server, which must not lock clients out.

They are as important as the attacks: a client that refuses such a change fails on the day of the
change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from certpin.lab.case import ALL_ACCEPT, Case, Expect, Expected, Family
from certpin.lab.forge import forgeries
from certpin.lab.pki import Style
from certpin.lab.scenario import Role, Scenario, ServerStep

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

    from certpin.lab.authority import Identity
    from certpin.lab.pki import TestPKI

_DOMAIN_VALIDATED = x509.ObjectIdentifier("2.23.140.1.2.1")  # CA/B Forum Baseline Requirements
_CA_ISSUERS = AuthorityInformationAccessOID.CA_ISSUERS


def _renewed(pki: TestPKI) -> Identity:
    return pki.intermediate.issue(pki.host, key=pki.leaf.key)


def _same_key(pki: TestPKI) -> Scenario:
    return Scenario.legitimate(_renewed(pki))


def _other_extensions(pki: TestPKI) -> Scenario:
    """Return an honest scenario: a renewed certificate has a new subject and new extensions.

    Its key is the pinned one, so a client must accept it. The subject is empty, and the SAN
    therefore critical (RFC 5280 section 4.1.2.6), as in short profiles of public authorities.
    """
    renewed = _renewed(pki)
    names = renewed.chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    points = [
        x509.DistributionPoint([_url("http://crl.ca.example/1.crl")], None, None, None),
    ]
    about = [x509.AccessDescription(_CA_ISSUERS, _url("http://ca.example/i.der"))]
    changed = forgeries.change_server(
        renewed,
        pki.intermediate,
        without=(x509.SubjectAlternativeName, x509.SubjectKeyIdentifier),
        adding=(
            (x509.CertificatePolicies([x509.PolicyInformation(_DOMAIN_VALIDATED, None)]), False),
            (x509.AuthorityInformationAccess(about), False),
            (x509.CRLDistributionPoints(points), False),
            (names, True),
        ),
        subject=x509.Name([]),
    )
    return Scenario.legitimate(changed)


def _url(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def with_unpinned_key(
    pki: TestPKI, key: CertificateIssuerPrivateKeyTypes | None = None, **fields: Any
) -> Scenario:
    """Return a scenario in which the server has an unpinned key, certified by the honest issuer.

    If the client pins the server's key, the server counts as an attacker, because no pin matches.
    Otherwise it counts as honest: pins on authorities match its issuer, and a client without pins
    only needs a valid chain.

    Args:
        pki: the keys and certificates of the case.
        key: the key of the server; None to make a new key.
        fields: other fields of the ``ServerStep``, which describes how the lab serves a connection.
    """
    role = Role.ATTACKER if pki.style is Style.LEAF else Role.HONEST
    identity = pki.intermediate.issue(pki.host, key=key)
    return Scenario.of(ServerStep.of(identity, role=role, **fields))


def _backup(pki: TestPKI) -> Scenario:
    return Scenario.legitimate(pki.backup)


def _new_intermediate(pki: TestPKI) -> Scenario:
    return Scenario.legitimate(pki.second_intermediate.issue(pki.host, key=pki.leaf.key))


def _dual_rsa(pki: TestPKI) -> Scenario:
    key = pki.backup.key
    return Scenario.legitimate(pki.authorities.rsa_intermediate.issue(pki.host, key=key))


_FIX_ROOTS = "trust only roots, and let the server send the intermediates"
_FIX_KEY = (
    "pin the public key (the SPKI bytes of the certificate), not the whole certificate, its serial "
    "number, its issuer's name, or a key assembled from its parts"
)

ROTATION = (
    Case(
        name="rot-renewed-same-key",
        family=Family.ROTATION,
        presents="I→L renewed: the same key in another certificate",
        expected=ALL_ACCEPT,
        guards="the ordinary renewal, every 47 days from 2029 on. Pins on whole certificates "
        "fail here, including fingerprints and certificates shipped with the app",
        reference="RFC 7469 section 2.4; CA/B Forum SC-081v3",
        fix=f"{_FIX_KEY}; have the ACME client keep its key (certbot: --reuse-key)",
        scenario=_same_key,
    ),
    Case(
        name="rot-renewed-other-extensions",
        family=Family.ROTATION,
        presents="I→L renewed: the same key, an empty subject, and other extensions",
        expected=ALL_ACCEPT,
        guards="that a client depends on nothing in the certificate but its key and its names: "
        "authorities change their profiles without notice",
        reference="RFC 5280 section 4.1.2.6; CA/B Forum Baseline Requirements 7.1.2.7",
        fix=f"{_FIX_KEY}; read no field of the certificate that the TLS library has verified",
        scenario=_other_extensions,
    ),
    Case(
        name="rot-new-key-pinned-ca",
        family=Family.ROTATION,
        presents="I→L with a new, unpinned key, as certbot and lego make at each renewal by "
        "default",
        expected=Expected(Expect.ACCEPT, Expect.REJECT, Expect.ACCEPT),
        guards="that a pin on the CA survives a new key. Pins on the leaf must refuse it: for "
        "them it is the attack same-ca-new-key. Publish the new pin first, and wait until clients "
        "have it",
        reference="RFC 7469 section 2.6",
        fix="for pins on the CA: look for them on the whole verified chain, not only on the "
        "leaf. For pins on the leaf: they must refuse it, whatever its issuer",
        scenario=with_unpinned_key,
    ),
    Case(
        name="rot-backup-live",
        family=Family.ROTATION,
        presents="I→B: the server uses its backup key, after the loss of the first one",
        expected=ALL_ACCEPT,
        guards="that the second pin is accepted like the first, before it is needed",
        reference="RFC 7469 section 4.3",
        fix="compare with every pin, not with the first; ship the backup's pin with the first one, "
        "and keep its key off the server",
        scenario=_backup,
    ),
    Case(
        name="rot-new-intermediate",
        family=Family.ROTATION,
        presents="R→I2→L: the same key from another intermediate, as authorities change them "
        "without notice",
        expected=ALL_ACCEPT,
        guards="that no client depends on one intermediate. With pins on the CA it must accept, "
        "because R is pinned in addition to I; a pin on I only would lock the client out",
        reference="Let's Encrypt, Chains of Trust: intermediates rotate, don't pin them",
        fix="pin the root beside the intermediate (or the leaf's key), and don't ship the "
        f"intermediate with the app; {_FIX_ROOTS}",
        scenario=_new_intermediate,
    ),
    Case(
        name="rot-dual-ecdsa",
        family=Family.ROTATION,
        presents="R→I→L: the server has keys of both types, and presents ECDSA",
        expected=ALL_ACCEPT,
        guards="that a client with pins on both keys accepts this one: the choice depends on the "
        "client's own ClientHello, and changes with its TLS library",
        reference="RFC 8446 section 4.2.3",
        fix=f"{_FIX_KEY}; pin the server's keys of both types",
        scenario=_same_key,
    ),
    Case(
        name="rot-dual-rsa",
        family=Family.ROTATION,
        presents="R→I(RSA)→B: the server has keys of both types, and presents RSA",
        expected=ALL_ACCEPT,
        guards="that a client with pins on both keys accepts this one: some clients prepend a "
        "fixed ASN.1 header for one type of key, and compute a wrong hash for the other",
        reference="RFC 8446 section 4.2.3; RFC 7469 section 2.4",
        fix=f"{_FIX_KEY}; pin the server's keys of both types",
        scenario=_dual_rsa,
    ),
)
