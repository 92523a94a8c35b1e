"""Cases of chains with more than one possible path: only pins on the verified path must count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509

from certpin.lab.authority import Identity, new_key
from certpin.lab.case import PINS_REJECT, PINS_REJECT_MAYBE_ALL, CannotServeError, Case, Family
from certpin.lab.forge import reissue
from certpin.lab.forge.forgeries import change_intermediate
from certpin.lab.scenario import Scenario, ServerStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.pki import TestPKI

_ATTACKER = "attacker.example"  # RFC 2606; I issues certificates to any customer, attackers too


def _leaf_appended(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.attacker_chain, *pki.real_chain))


def _intermediate_appended(pki: TestPKI) -> Scenario:
    """Return a scenario in which the server sends a forged chain, and the real issuers after it.

    The forged chain ends at R2, an attacker's root that clients trust. Its intermediate has the
    name and the key identifier of the real intermediate, but another key. A client must not count
    the pins of the real issuers, because they did not sign the leaf. Raises ``CannotServeError`` if
    the real server sends no intermediate.
    """
    leaf, *issuers = pki.real_chain
    if not issuers:
        raise CannotServeError("the genuine chain has no intermediate")
    key, twin_key = new_key(), new_key()
    twin = reissue(issuers[0], twin_key.public_key(), pki.rogue.x509, pki.rogue.key)
    copy = reissue(leaf, key.public_key(), twin, twin_key)
    return Scenario.of(ServerStep.of(Identity(key, (copy, twin)), *issuers))


def _non_ca_switch(pki: TestPKI) -> Scenario:
    forged, attacker, switch = _switch(pki)
    return Scenario.of(ServerStep.of(Identity(forged.key, (*forged.chain[:1], *switch, attacker))))


def _non_ca_switch_last(pki: TestPKI) -> Scenario:
    forged, attacker, switch = _switch(pki)
    return Scenario.of(ServerStep.of(Identity(forged.key, (*forged.chain[:1], attacker, *switch))))


def _switch(pki: TestPKI) -> tuple[Identity, x509.Certificate, tuple[x509.Certificate, ...]]:
    """Return the parts of an attack: a forged leaf, its issuer J, and a pinned chain.

    J is an intermediate below R2, an attacker's root that clients trust. J issued the forged leaf
    for the host. The pinned chain leads to the root R, which clients pin. Its first certificate has
    J's name and key, but it is a leaf, and so must not issue certificates. A verifier that doesn't
    check this mistakes it for the issuer of the forged leaf, and finds a path to R.
    """
    attacker = pki.rogue.intermediate(_ATTACKER)
    switch = pki.intermediate.issue(_ATTACKER, key=attacker.key)
    return attacker.issue(pki.host), attacker.x509, switch.chain


def _pathlen_split(pki: TestPKI) -> Scenario:
    """Return a scenario with a forged leaf that has two possible issuers of the same name and key.

    One is R2, an attacker's root that clients trust. The other is a certificate with the name and
    key of R2 that the intermediate C issued. C is below the root R, which clients pin. But C has
    the path length 0: it must not issue CA certificates. So the path over C is invalid, and a
    client must not count its pins.
    """
    no_more = x509.BasicConstraints(ca=True, path_length=0)
    last = change_intermediate(
        pki.intermediate.intermediate("Compromised intermediate C"),
        without=(x509.BasicConstraints,),
        adding=((no_more, True),),
    )
    forged, rogue = pki.rogue.issue(pki.host), pki.rogue
    bridge = reissue(rogue.x509, rogue.key.public_key(), last.x509, last.key)
    chain = (*forged.chain, bridge, last.x509, pki.intermediate.x509)
    return Scenario.of(ServerStep.of(Identity(forged.key, chain)))


def _rogue_chain(authorities: int) -> Callable[[TestPKI], Scenario]:
    """Return a function that builds a scenario with a chain of an attacker's intermediates.

    The chain has ``authorities`` intermediates below R2, an attacker's root that clients trust. No
    pin matches, however long the chain is.
    """

    def scenario(pki: TestPKI) -> Scenario:
        issuer = pki.rogue
        for number in range(authorities):
            issuer = issuer.intermediate(f"Rogue intermediate {number + 1}")
        return Scenario.of(ServerStep.of(issuer.issue(pki.host)))

    return scenario


_FIX_VERIFIED = (
    "check pins on the chain that was verified (getVerifiedChain, SecTrustCopyCertificateChain, "
    "X509TrustManagerExtensions.checkServerTrusted, a PinnedSSLContext), not on what the server "
    "sent (getPeerCertificates, get_unverified_chain, -showcerts)"
)
_FIX_SWITCH = _FIX_VERIFIED + (
    "; custom path building needs every check of RFC 5280 section 6, starting with "
    "basicConstraints and keyUsage"
)

CHAINS = (
    Case(
        name="pinned-leaf-appended",
        family=Family.CHAIN,
        presents="R2→L′, and then the genuine I→L",
        expected=PINS_REJECT,
        guards="that pins are matched on the verified chain: extra certificates are public, and "
        "prove nothing",
        reference="CVE-2016-2402; okhttp #4729",
        fix=_FIX_VERIFIED,
        scenario=_leaf_appended,
    ),
    Case(
        name="pinned-intermediate-appended",
        family=Family.CHAIN,
        presents="R2→I″→L′, and then the genuine I: I″ has its name and key identifier",
        expected=PINS_REJECT_MAYBE_ALL,
        guards="that a chain cleaner follows signatures, not names",
        reference="okhttp #4729; CVE-2016-2402",
        fix=_FIX_VERIFIED + "; code that sorts the served chain by issuer and subject finds I here",
        scenario=_intermediate_appended,
    ),
    Case(
        name="non-ca-switch",
        family=Family.CHAIN,
        presents="L′, I→S and then R2→J: S is a leaf with J's name and key, so either may have "
        "issued L′",
        expected=PINS_REJECT_MAYBE_ALL,
        guards="that the pinned path is the verified one, if another path reaches the pinned "
        "authority through a certificate that is not a CA, and comes first",
        reference="okhttp #6586 (signersMustHaveCaBitSet); RFC 5280 section 6.1.4 (k)",
        fix=_FIX_SWITCH,
        scenario=_non_ca_switch,
    ),
    Case(
        name="non-ca-switch-last",
        family=Family.CHAIN,
        presents="R2→J→L′, and then I→S: S is a leaf with J's name and key, so I→S→L′ looks "
        "complete",
        expected=PINS_REJECT_MAYBE_ALL,
        guards="the same with the good path first: libraries that take the first issuer verify "
        "it, and a search for the pin continues to the other",
        reference="okhttp #6586; RFC 5280 section 6.1.4 (k)",
        fix=_FIX_SWITCH,
        scenario=_non_ca_switch_last,
    ),
    Case(
        name="pathlen-split",
        family=Family.CHAIN,
        presents="R2→L′, and I→C→A→L′: A has R2's name and key, and C has a path length of 0",
        expected=PINS_REJECT_MAYBE_ALL,
        guards="that the pinned path is the verified one, if a second path reaches the pinned "
        "authority with one intermediate too many",
        reference="okhttp #6921 (intermediateMustNotHaveMoreIntermediatesThanSigner); "
        "RFC 5280 section 6.1.4 (l)",
        fix=_FIX_VERIFIED + "; custom path building must count intermediates against each "
        "pathLenConstraint",
        scenario=_pathlen_split,
    ),
    Case(
        name="rogue-chain-as-long",
        family=Family.CHAIN,
        presents="R2→A→L′: as many certificates as the honest chain",
        expected=PINS_REJECT,
        guards="that a chain is not judged by its length or by the position of its certificates",
        reference="RFC 7469 section 2.6",
        fix=_FIX_VERIFIED + ", and on each of its certificates",
        scenario=_rogue_chain(1),
    ),
    Case(
        name="rogue-chain-longer",
        family=Family.CHAIN,
        presents="R2→A→B→C→L′: two certificates more than the honest chain",
        expected=PINS_REJECT,
        guards="that a loop over a fixed number of certificates doesn't end without a decision",
        reference="RFC 7469 section 2.6",
        fix=_FIX_VERIFIED + ", and on each of its certificates",
        scenario=_rogue_chain(3),
    ),
)
