"""The trust anchors of each version, and the path that its clients verify in a served chain.

A version of the pin set may trust other anchors (``trust`` in the pin file) than the draft, the pin
file that would be published next: while a private root is replaced, some clients trust only the old
one. A probe verifies a served chain with the draft's anchors. The path of another version's clients
follows from the certificates that the server sent, and from that version's anchors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.pins import Pin, pins_of
from certpin.pins.certificate_names import name_matches
from certpin.rotation.faults import verified_path
from certpin.rotation.prospect import Prospect, trust_digest
from certpin.x509 import name_of
from certpin.x509.chain import read_facts

if TYPE_CHECKING:
    from certpin.pins import HostPolicy, PinSet
    from certpin.pins.policy import TrustAnchors
    from certpin.rotation.situation import Sighting, Situation
    from certpin.x509 import Chain


def presented_path(
    situation: Situation, sighting: Sighting, policy: HostPolicy | None
) -> Chain | None:
    """Return the path that clients with a policy verify in the chain that a server presents.

    If the policy trusts the anchors of the draft, that is the path that OpenSSL verified
    (``Sighting.chain``). It is also used if the certificates that the server sent are not known, or
    if the clients trust the platform's roots, and those are not known (``Situation.roots``).

    Args:
        situation: the facts about the host, with the draft.
        sighting: the result of probing a server.
        policy: a policy of a version that clients hold; ``None`` for clients without one.

    Returns:
        The path from leaf to trust anchor; ``None`` if the clients can verify none, or if it is
        unknown whether the certificate is for the name of the server.
    """
    served = sighting.served
    digest = trust_digest(policy)
    is_known = digest is not None or bool(situation.roots)
    if served is None or not is_known or digest == trust_digest(situation.policy):
        return sighting.chain
    # OpenSSL checks the name, too, but reports only the first fault that it finds.
    if sighting.chain is None and not _is_for_server(sighting, served):
        return None
    sent = Prospect(served.leaf, served.authorities, sent=True, roots=situation.roots)
    # A plan asks about later dates, at which the certificate will have been renewed.
    return verified_path(sent, policy, sighting.time or situation.now)


def is_verified_by_some(situation: Situation, sighting: Sighting) -> bool:
    """Return True if clients with the draft, or with a live version, verify a server's chain."""
    known = _live_policies(situation)
    return any(presented_path(situation, sighting, policy) is not None for policy in known)


def common_anchors(situation: Situation) -> tuple[bytes, ...]:
    """Return the anchors that the draft and every live version trust, as DER, without stolen ones.

    A certificate below one of them is trusted by all clients, now and after the next version.
    """
    first, *others = _live_policies(situation)
    trusted = [_anchors(situation, policy) for policy in others]
    return tuple(
        der
        for der in _anchors(situation, first)
        if all(der in anchors for anchors in trusted) and not is_stolen(situation, der)
    )


def anchors_to_name(situation: Situation) -> tuple[str, ...]:
    """Return the names of the anchors below which the next certificate of a server has to be.

    Empty if all clients trust the same anchors, or have none in common.
    """
    if len(set(map(trust_digest, _live_policies(situation)))) == 1:
        return ()
    found = [read_facts(der).certificate for der in common_anchors(situation)]
    return tuple(name_of(each) for each in found if each is not None)


def with_common_trust(situation: Situation, pin: Pin) -> Situation:
    """Return a copy of the situation in which all versions trust the anchors of the draft.

    The copy is for a key without a certificate: it assumes a certificate that all clients trust,
    and the gate verifies that when the certificate exists. Return the situation itself if no such
    certificate is possible: the key is that of a server, and the versions have no anchor in common;
    or it is that of an authority, which not every version trusts now.
    """
    if situation.role_of(pin) == "leaf":
        is_possible = bool(common_anchors(situation))
    else:
        is_possible = any(_is_trusted_above(situation, each, pin) for each in situation.sightings)
    if not is_possible:
        return situation
    trust = situation.policy.trust
    versions = tuple(
        replace(version, pins=_with_trust(version.pins, trust))
        for version in situation.deployed.versions
    )
    return replace(situation, deployed=replace(situation.deployed, versions=versions))


def is_stolen(situation: Situation, der: bytes) -> bool:
    """Return True if the key of an anchor, in DER, was compromised."""
    root = read_facts(der).certificate
    return root is not None and Pin.of_key(root.spki_sha256) in situation.past.compromised


def _live_policies(situation: Situation) -> list[HostPolicy | None]:
    """Return the policy of the draft, and those of every version that some client may hold."""
    alive = situation.alive
    return [situation.policy, *(each for v in alive for each in situation.policies_of(v))]


def _anchors(situation: Situation, policy: HostPolicy | None) -> tuple[bytes, ...]:
    return policy.trust.der if policy and policy.trust else situation.roots


def _is_trusted_above(situation: Situation, sighting: Sighting, pin: Pin) -> bool:
    """Return True if every live version has the key of this authority in its path to a server."""
    paths = [presented_path(situation, sighting, each) for each in _live_policies(situation)]
    return all(path and any(pin in pins_of(each) for each in path.authorities) for path in paths)


def _with_trust(pins: PinSet, trust: TrustAnchors | None) -> PinSet:
    return replace(pins, policies=tuple(replace(each, trust=trust) for each in pins.policies))


def _is_for_server(sighting: Sighting, served: Chain) -> bool:
    """Return True if the certificate is for the name with which the server was contacted."""
    try:
        return name_matches(sighting.host, served.leaf)
    except CertificateParseError:
        return False
