"""Legitimate changes of the path: another root above, and certificates in any order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography.x509.oid import NameOID

from certpin.lab.attacks.compromised import stolen_intermediate
from certpin.lab.authority import Authority
from certpin.lab.case import ALL_ACCEPT, Case, Family
from certpin.lab.script import Script

if TYPE_CHECKING:
    from certpin.lab.cast import Cast


def _cross_signed(cast: Cast) -> Script:
    """X is a new root that no client has yet. R vouches for it, and it vouches for I.

    The path that the client can verify is L, I (by X), X (by R), R.
    """
    new_root = Authority("Root X", now=cast.now)
    bridge = Authority("Root X", issuer=cast.root, key=new_root.key)
    above = Authority(_name(cast.intermediate), issuer=bridge, key=cast.intermediate.key)
    return Script.legitimate(above.issue(cast.host, key=cast.leaf.key))


def _name(authority: Authority) -> str:
    (common_name,) = authority.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common_name.value)


def _reordered(cast: Cast) -> Script:
    """The leaf first, as it must be; those above it upside down."""
    issuer = cast.intermediate.intermediate("Intermediate J")
    identity = issuer.issue(cast.host, key=cast.leaf.key)
    leaf, *path = identity.chain
    return Script.legitimate(replace(identity, chain=(leaf, *reversed(path))))


def _root_sent(cast: Cast) -> Script:
    return Script.legitimate(cast.leaf, cast.root.x509)


def _extra_certificate(cast: Cast) -> Script:
    """Another intermediate of the root, which has nothing to do with this chain."""
    return Script.legitimate(cast.leaf, cast.second_intermediate.x509)


def _compromised_sent(cast: Cast) -> Script:
    return Script.legitimate(cast.leaf, cast.stolen_intermediate.x509)


_FIX = (
    "let the TLS library build the path, and look for pins anywhere on the chain that it verified: "
    "not among the certificates that were sent, by their place or their number"
)

PATHS = (
    Case(
        name="rot-cross-signed",
        family=Family.ROTATION,
        presents="R→X→I→L: I certified by a new root X, which R has cross-signed until clients "
        "have it",
        expected=ALL_ACCEPT,
        guards="that a change of roots locks nobody out: keys of R, I and L stay, and the chain "
        "gets longer",
        reference="RFC 4158; ISRG Root X1, cross-signed by DST Root CA X3",
        fix=f"{_FIX}; don't limit the length of chains",
        play=_cross_signed,
    ),
    Case(
        name="rot-order-reordered",
        family=Family.ROTATION,
        presents="L, I, J where I→J→L: the certificates above the leaf in the wrong order",
        expected=ALL_ACCEPT,
        guards="that a server whose chain was put together by hand is not refused, and that pins "
        "are not looked for by place",
        reference="RFC 8446 section 4.4.2",
        fix=_FIX,
        play=_reordered,
    ),
    Case(
        name="rot-order-root-sent",
        family=Family.ROTATION,
        presents="L, I, R: the root is sent too",
        expected=ALL_ACCEPT,
        guards="that a root which was sent is no self-signed stranger",
        reference="RFC 8446 section 4.4.2",
        fix=_FIX,
        play=_root_sent,
    ),
    Case(
        name="rot-order-extra-certificate",
        family=Family.ROTATION,
        presents="L, I, I2: with a certificate that has nothing to do with the chain",
        expected=ALL_ACCEPT,
        guards="that what was sent along neither counts nor hurts",
        reference="RFC 8446 section 4.4.2",
        fix=_FIX,
        play=_extra_certificate,
    ),
    Case(
        name="rot-compromised-sent",
        family=Family.ROTATION,
        presents="L, I, K: the path is the honest one, and an intermediate that is marked "
        "compromised is still sent along",
        expected=ALL_ACCEPT,
        guards="that a compromised key is looked for on the verified path only: a server whose "
        "file still has the old intermediate is not locked out",
        reference="RFC 8446 section 4.4.2",
        fix="look for compromised keys on the path that the TLS library verified, not among the "
        "certificates that were sent",
        play=_compromised_sent,
        compromised=stolen_intermediate,
    ),
)
