"""Cases of changes in roots: cross-signs that expire, new roots, and two roots of the same name.

A cross-sign is a certificate for the key of a root, issued by another root. Each of these changes
has locked clients out in the past. The server is honest, and its leaf has the pinned key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.attacks.paths import cross_signed
from certpin.lab.authority import Authority
from certpin.lab.case import ALL_ACCEPT, Case, Family, lab_leaf_scenario
from certpin.lab.scenario import Scenario

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI

_EXPIRED = -30.0  # days after which the legacy root's certificates expired


def _cross_sign_expired(pki: TestPKI) -> Scenario:
    """Return a scenario in which the honest server also sends an expired cross-sign of the root R.

    A cross-sign is a certificate for the key of a root, issued by another root. Clients trust R, so
    they don't need this certificate.
    """
    legacy = Authority("Legacy root", now=pki.now)
    cross = Authority(pki.root.common_name, issuer=legacy, key=pki.root.key, days=_EXPIRED)
    return Scenario.legitimate(pki.leaf, cross.x509)


def _cross_signer_expired(pki: TestPKI) -> Scenario:
    """Return a scenario in which the honest server also sends a cross-sign of the trusted root R.

    A cross-sign is a certificate for the key of a root, issued by another root. Here that other
    root has expired. The server sends its certificate too.
    """
    legacy = Authority("Legacy root", now=pki.now, days=_EXPIRED)
    cross = Authority(pki.root.common_name, issuer=legacy, key=pki.root.key)
    return Scenario.legitimate(pki.leaf, cross.x509, legacy.x509)


def _new_root(pki: TestPKI) -> tuple[Authority, ...]:
    return (pki.authorities.new_root,)


def _intermediate(pki: TestPKI) -> tuple[Authority, ...]:
    return (pki.intermediate,)


def _namesake(pki: TestPKI) -> tuple[Authority, ...]:
    return (pki.authorities.namesake,)


_FIX_PATH = (
    "let a current TLS library build the path (OpenSSL 1.1.0, GnuTLS 3.6.14 or newer), and check "
    "nothing on served certificates that are not on it"
)
_FIX_TOP = (
    "look for the pins on every certificate of the verified path: the certificate at its top "
    "depends on the client's trust store, and changes with its updates"
)

ROOTS = (
    Case(
        name="rot-cross-sign-expired",
        family=Family.ROTATION,
        presents="L, I, and R cross-signed by an older root: the cross-sign has expired, and R is "
        "trusted itself",
        expected=ALL_ACCEPT,
        guards="that a client prefers the path to a root that it trusts to the path that the "
        "server sent",
        reference="RFC 4158 section 3.5.4; AddTrust External CA Root, 2020-05-30",
        fix=_FIX_PATH,
        scenario=_cross_sign_expired,
    ),
    Case(
        name="rot-cross-signer-expired",
        family=Family.ROTATION,
        presents="L, I, R cross-signed by an older root D, and D, which has expired: R is trusted "
        "itself",
        expected=ALL_ACCEPT,
        guards="the same if the cross-sign is valid, and only the root above it has expired",
        reference="RFC 4158 section 3.5.4; DST Root CA X3, 2021-09-30",
        fix=_FIX_PATH,
        scenario=_cross_signer_expired,
    ),
    Case(
        name="rot-root-cross-signed-too",
        family=Family.ROTATION,
        presents="R→X→I→L is sent, and the client's trust store has X as a root: one key, "
        "self-signed and cross-signed",
        expected=ALL_ACCEPT,
        guards="that an update of the trust store locks no client out: the path ends at X there, "
        "so that R, which is pinned, is not on it. I is pinned too",
        reference="RFC 4158 section 1.5.3; ISRG Root X1 in new and old trust stores",
        fix=_FIX_TOP,
        scenario=cross_signed,
        anchors=_new_root,
    ),
    Case(
        name="rot-intermediate-became-anchor",
        family=Family.ROTATION,
        presents="R→I→L, and the client's trust store has I as an anchor too",
        expected=ALL_ACCEPT,
        guards="that a path may end at an anchor that is not self-signed (RFC 5280 section 6.1 "
        "allows any), and that I counts there as it does elsewhere",
        reference="RFC 5280 section 6.1.1 (d); OpenSSL, X509_V_FLAG_PARTIAL_CHAIN",
        fix=_FIX_TOP,
        scenario=lab_leaf_scenario,
        anchors=_intermediate,
    ),
    Case(
        name="rot-roots-of-one-name",
        family=Family.ROTATION,
        presents="R→I→L, and the client's trust store has another root with R's name, and its own "
        "key",
        expected=ALL_ACCEPT,
        guards="that roots are distinguished by their keys: authorities have given a new root the "
        "name of the old one",
        reference="RFC 5280 section 4.2.1.1; RFC 4158 section 3.5.12",
        fix="let the TLS library find the issuer by its key identifier and its signature, and not "
        "by its name only",
        scenario=lab_leaf_scenario,
        anchors=_namesake,
    ),
)
