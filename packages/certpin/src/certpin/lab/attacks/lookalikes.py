"""Cases of certificates that are almost pinned.

They have the key of another host, a key with a similar pin, the issuer and serial number of the
pinned certificate, or a root with the name of the pinned one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography import x509

from certpin.lab.authority import Identity, new_key
from certpin.lab.case import (
    PINS_REJECT,
    PINS_REJECT_MAYBE_ALL,
    CannotServeError,
    Case,
    Family,
)
from certpin.lab.forge import forgeries, reissue
from certpin.lab.pki import similar_key
from certpin.lab.scenario import Scenario, ServerStep

if TYPE_CHECKING:
    from certpin.lab.authority import Authority
    from certpin.lab.pki import TestPKI


def _second_hosts_key(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.rogue.issue(pki.host, key=pki.second_leaf.key)))


def _similar_pin(pki: TestPKI) -> Scenario:
    policy = pki.pins.policy_for(pki.host) if pki.pins else None
    pin = policy.pins[0].pin if policy else pki.leaf.pin
    return Scenario.of(ServerStep.of(pki.rogue.issue(pki.host, key=similar_key(pin.digest))))


def _same_issuer_and_serial(pki: TestPKI) -> Scenario:
    """Return a scenario with copies of the real certificates, below a root that the client trusts.

    All their fields are those of the real ones, except for the keys and signatures. A client that
    recognises certificates by issuer and serial number mistakes them for the pinned ones. Raises
    ``CannotServeError`` if the real server sends no certificate of its issuer.
    """
    leaf, *issuers = pki.real_chain
    if not issuers:
        raise CannotServeError("the real server sends no certificate of its issuer")
    key, signer = new_key(), new_key()
    issuer = reissue(issuers[0], signer.public_key(), pki.rogue.x509, pki.rogue.key)
    forged = reissue(leaf, key.public_key(), issuer, signer, serial=leaf.serial_number)
    return Scenario.of(ServerStep.of(Identity(key, (forged, issuer))))


@lru_cache(maxsize=1)  # for the client's trust store, and then for the chain
def _namesake_of(root: Authority, own: Authority) -> Authority:
    """Return an authority that has the key of ``own``, and a certificate that looks like ``root``.

    The certificate has the name, the key identifier and all other fields of the certificate of
    ``root``. Only the key and the serial number are those of ``own``.
    """
    serial = own.x509.serial_number
    copy = reissue(root.x509, own.key.public_key(), None, own.key, serial=serial)
    return own.certified(copy, None)


def _root_of_same_name(pki: TestPKI) -> tuple[Authority]:
    return (_namesake_of(pki.root, pki.authorities.namesake),)


def _same_root_name(pki: TestPKI) -> Scenario:
    """Return a scenario with a leaf from an attacker's root with the name of the pinned root R.

    The client trusts both roots, which have the same name and the same key identifier. If two roots
    match a leaf, OpenSSL tries only one of them. If that one is R, the signature is wrong and
    OpenSSL refuses the leaf without any pin check. To prevent this, the leaf also contains the
    serial number of its issuer (RFC 5280 section 4.2.1.1), which only matches the attacker's root.
    """
    (root,) = _root_of_same_name(pki)
    named = root.x509.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer = x509.AuthorityKeyIdentifier(
        named.digest, [x509.DirectoryName(root.subject)], root.x509.serial_number
    )
    changed = forgeries.change_server(
        root.issue(pki.host),
        root,
        without=(x509.AuthorityKeyIdentifier,),
        adding=((issuer, False),),
    )
    return Scenario.of(ServerStep.of(changed))


LOOKALIKES = (
    Case(
        name="second-host-key",
        family=Family.AUTHORITY,
        presents="R2→L′ with the key of the second host's honest server",
        expected=PINS_REJECT,
        guards="that each host has its own pins: in one pool for all hosts, the key of the weakest "
        "server opens all of them",
        reference="RFC 7469 section 2.6: pins are noted for a host",
        fix="look the pins up by the host of the connection, and compare with those only",
        scenario=_second_hosts_key,
    ),
    Case(
        name="similar-pin",
        family=Family.AUTHORITY,
        presents="R2→L′ with a key that has a pin with the same first three characters",
        expected=PINS_REJECT,
        guards="that whole digests are compared: an attacker makes a key for a short beginning in "
        "a second, and for 8 characters in days",
        reference="CWE-1023: incomplete comparison",
        fix="compare all 32 bytes of the digest; don't cut pins for logs and then compare those",
        scenario=_similar_pin,
    ),
    Case(
        name="same-issuer-and-serial",
        family=Family.AUTHORITY,
        presents="R2→I′→L′, with the name of I, and the serial number and all other fields of L",
        # Libraries with a store of known certificates (NSS) may refuse a second one.
        expected=PINS_REJECT_MAYBE_ALL,
        guards="that a certificate is recognised by its key: an authority chooses the issuer's "
        "name and the serial number freely, and so does an attacker",
        reference="RFC 5280 section 4.1.2.2: unique only for one authority",
        fix="compare the digest of the key, and no names, numbers or key identifiers",
        scenario=_same_issuer_and_serial,
    ),
    Case(
        name="rogue-root-same-name",
        family=Family.AUTHORITY,
        presents="L′ below another root that the client trusts, with the name, the key identifier "
        "and all other fields of R, and its own key",
        # GnuTLS finds R by its name and key identifier, and then refuses the signature.
        expected=PINS_REJECT_MAYBE_ALL,
        guards="that a root is pinned by its key: an attacker who adds a root to the trust "
        "store chooses its name",
        reference="RFC 5280 section 4.2.1.2; RFC 7469 section 2.4",
        fix="compare the digest of the key of each certificate on the verified path, and no names "
        "or key identifiers",
        scenario=_same_root_name,
        anchors=_root_of_same_name,
    ),
)
