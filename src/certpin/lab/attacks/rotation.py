"""Legitimate changes: the honest server moves on, and no client may be locked out.

They count as much as the attacks: a client that refuses them is down on the day of the change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.case import ALL_ACCEPT, Case, Expect, Expected, Family, Style
from certpin.lab.scenario import Role, Scenario, ServerStep

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI


def _same_key(pki: TestPKI) -> Scenario:
    return Scenario.legitimate(pki.intermediate.issue(pki.host, key=pki.leaf.key))


def _new_key(pki: TestPKI) -> Scenario:
    """The server is honest. To a client with pins on its key, it is the attack same-ca-new-key."""
    role = Role.ATTACKER if pki.style is Style.LEAF else Role.HONEST
    return Scenario.of(ServerStep.of(pki.intermediate.issue(pki.host), role=role))


def _backup(pki: TestPKI) -> Scenario:
    return Scenario.legitimate(pki.backup)


def _new_intermediate(pki: TestPKI) -> Scenario:
    return Scenario.legitimate(pki.second_intermediate.issue(pki.host, key=pki.leaf.key))


def _dual_rsa(pki: TestPKI) -> Scenario:
    key = pki.backup.key
    return Scenario.legitimate(pki.authorities.rsa_intermediate.issue(pki.host, key=key))


_FIX_ROOTS = "trust roots alone, and let the server send whatever leads to one"
_FIX_KEY = (
    "pin the public key (SPKI), read as it stands in the certificate: not the whole certificate, "
    "its serial number, its issuer's name, or a key that is put together from its parts"
)

ROTATION = (
    Case(
        name="rot-renewed-same-key",
        family=Family.ROTATION,
        presents="I→L renewed: the same key in another certificate",
        expected=ALL_ACCEPT,
        guards="the plainest renewal, every 47 days from 2029 on. Pins on whole certificates break "
        "here, fingerprints and certificates shipped with the app among them",
        reference="RFC 7469 section 2.4; CA/B Forum SC-081v3",
        fix=f"{_FIX_KEY}; have the ACME client keep its key (certbot: --reuse-key)",
        scenario=_same_key,
    ),
    Case(
        name="rot-new-key-pinned-ca",
        family=Family.ROTATION,
        presents="I→L with a new key that nobody pinned, as ACME clients make at each renewal",
        expected=Expected(Expect.ACCEPT, Expect.REJECT, Expect.ACCEPT),
        guards="that a pin on the CA lives through a new key. Pins on the leaf lock out here, as "
        "they must: to them it is the attack of same-ca-new-key. Publish the new pin first, and "
        "wait until clients have it",
        reference="RFC 7469 section 2.6",
        fix="for pins on the CA: look for them on the whole verified chain, not on the leaf alone. "
        "For pins on the leaf: they must refuse it, whoever the issuer is",
        scenario=_new_key,
    ),
    Case(
        name="rot-backup-live",
        family=Family.ROTATION,
        presents="I→B: the server lives on its backup key, after a loss of the first one",
        expected=ALL_ACCEPT,
        guards="that the second pin counts as the first does, before the day that it is needed",
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
        "because R is pinned beside I; a pin on I alone would lock out here",
        reference="Let's Encrypt, Chains of Trust: intermediates rotate, don't pin them",
        fix="pin the root beside the intermediate (or the leaf's key), and don't ship the "
        f"intermediate with the app; {_FIX_ROOTS}",
        scenario=_new_intermediate,
    ),
    Case(
        name="rot-dual-ecdsa",
        family=Family.ROTATION,
        presents="R→I→L: the server has keys of both kinds, and shows ECDSA",
        expected=ALL_ACCEPT,
        guards="that a client with pins on both keys takes this one: which is shown depends on the "
        "client's own ClientHello, and changes with its TLS library",
        reference="RFC 8446 section 4.2.3",
        fix=f"{_FIX_KEY}; pin the server's keys of both kinds",
        scenario=_same_key,
    ),
    Case(
        name="rot-dual-rsa",
        family=Family.ROTATION,
        presents="R→I(RSA)→B: the server has keys of both kinds, and shows RSA",
        expected=ALL_ACCEPT,
        guards="that a client with pins on both keys takes this one: some put a fixed ASN.1 header "
        "for one kind of key before the key's bits, and hash nonsense for the other",
        reference="RFC 8446 section 4.2.3; RFC 7469 section 2.4",
        fix=f"{_FIX_KEY}; pin the server's keys of both kinds",
        scenario=_dual_rsa,
    ),
)
