"""Cases of legitimate paths that clients must accept: a cross-signed root, unusual orders."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.lab.attacks.compromised import stolen_intermediate
from certpin.lab.authority import Authority
from certpin.lab.case import ALL_ACCEPT, Case, Family
from certpin.lab.scenario import Scenario

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI


def cross_signed(pki: TestPKI) -> Scenario:
    """Return a scenario in which the chain leads to the trusted root R through the new root X.

    R signs X (a cross-signed root), and X signs the intermediate I. A client without X in its trust
    store can verify the path: leaf, I (signed by X), X (signed by R), R.
    """
    new_root = pki.authorities.new_root
    bridge = Authority(new_root.common_name, issuer=pki.root, key=new_root.key)
    above = Authority(pki.intermediate.common_name, issuer=bridge, key=pki.intermediate.key)
    return Scenario.legitimate(above.issue(pki.host, key=pki.leaf.key))


def _reordered(pki: TestPKI) -> Scenario:
    """Return a scenario in which the server sends its two intermediates in reverse order.

    The chain is honest. The leaf is sent first, as TLS requires.
    """
    issuer = pki.intermediate.intermediate("Intermediate J")
    identity = issuer.issue(pki.host, key=pki.leaf.key)
    leaf, *path = identity.chain
    return Scenario.legitimate(replace(identity, chain=(leaf, *reversed(path))))


def _root_sent(pki: TestPKI) -> Scenario:
    return Scenario.legitimate(pki.leaf, pki.root.x509)


def _extra_certificate(pki: TestPKI) -> Scenario:
    """Return a scenario in which an unrelated intermediate is sent with the honest chain.

    A client must accept the chain: it doesn't need this certificate for its path.
    """
    return Scenario.legitimate(pki.leaf, pki.second_intermediate.x509)


def _compromised_sent(pki: TestPKI) -> Scenario:
    return Scenario.legitimate(pki.leaf, pki.stolen_intermediate.x509)


def _shorter(pki: TestPKI) -> Scenario:
    return Scenario.legitimate(pki.root.issue(pki.host, key=pki.leaf.key))


_FIX = (
    "let the TLS library build the path, and look for pins anywhere on the chain that it verified, "
    "not among the served certificates by position or count"
)

PATHS = (
    Case(
        name="rot-cross-signed",
        family=Family.ROTATION,
        presents="R→X→I→L: I is certified by a new root X, which R has cross-signed until clients "
        "have it",
        expected=ALL_ACCEPT,
        guards="that a change of roots locks no client out: the keys of R, I and L stay, and the "
        "chain gets longer",
        reference="RFC 4158; ISRG Root X1, cross-signed by DST Root CA X3",
        fix=f"{_FIX}; don't limit the length of chains",
        scenario=cross_signed,
    ),
    Case(
        name="rot-shorter-chain",
        family=Family.ROTATION,
        presents="R→L: the same key in a certificate that the root itself issued",
        expected=ALL_ACCEPT,
        guards="that a chain may get shorter: code that expects an intermediate at a position "
        "refuses here",
        reference="RFC 8446 section 4.4.2",
        fix=_FIX,
        scenario=_shorter,
    ),
    Case(
        name="rot-order-reordered",
        family=Family.ROTATION,
        presents="L, I, J with I→J→L: the certificates above the leaf in the wrong order",
        expected=ALL_ACCEPT,
        guards="that a server with a chain assembled by hand is not refused, and that pins are "
        "not looked up by position",
        reference="RFC 8446 section 4.4.2",
        fix=_FIX,
        scenario=_reordered,
    ),
    Case(
        name="rot-order-root-sent",
        family=Family.ROTATION,
        presents="L, I, R: the root is sent too",
        expected=ALL_ACCEPT,
        guards="that a served root is not treated as an unknown self-signed certificate",
        reference="RFC 8446 section 4.4.2",
        fix=_FIX,
        scenario=_root_sent,
    ),
    Case(
        name="rot-order-extra-certificate",
        family=Family.ROTATION,
        presents="L, I, I2: with a certificate that does not belong to the chain",
        expected=ALL_ACCEPT,
        guards="that extra certificates neither help nor harm",
        reference="RFC 8446 section 4.4.2",
        fix=_FIX,
        scenario=_extra_certificate,
    ),
    Case(
        name="rot-compromised-sent",
        family=Family.ROTATION,
        presents="L, I, K: the path is the honest one, and an intermediate that is marked "
        "compromised is still sent along",
        expected=ALL_ACCEPT,
        guards="that compromised keys are looked for only on the verified path: a server that "
        "still sends the old intermediate is not refused",
        reference="RFC 8446 section 4.4.2",
        fix="look for compromised keys on the path that the TLS library verified, not among the "
        "certificates that were sent",
        scenario=_compromised_sent,
        compromised=stolen_intermediate,
    ),
)
