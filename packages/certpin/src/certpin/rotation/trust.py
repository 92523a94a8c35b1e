"""The trust anchors of each version, and the path that its clients verify in a served chain.

A version of the pin set may trust other anchors (``trust`` in the pin file) than the draft, the pin
file that would be published next: while a private root is replaced, some clients trust only the old
one. A probe verifies a served chain with the draft's anchors. The path of another version's clients
follows from the certificates that the server sent, and from that version's anchors.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.pins import Pin, pins_of
from certpin.pins.certificate_names import name_matches
from certpin.rotation.faults import openssl_path
from certpin.rotation.prospect import UNPINNED, Prospect, refuses, trust_digest, trusts_differ
from certpin.x509 import name_of
from certpin.x509.chain import read_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from certpin.pins import HostPolicy, PinSet
    from certpin.pins.policy import TrustAnchors
    from certpin.rotation.situation import Sighting, Situation, Version
    from certpin.x509 import Certificate, Chain


def chain_of_sighting(
    situation: Situation, sighting: Sighting, policy: HostPolicy | None
) -> Chain | None:
    """Return the path that clients with a policy verify in the chain that a server presents.

    If the policy trusts the same anchors as the draft (the pin file), the result is the path that
    OpenSSL verified in the probe (``Sighting.chain``). This path is also returned if the policy's
    own path can't be computed: the certificates that the server sent are unknown, or the clients
    trust the platform's roots, and these are unknown (``Situation.roots``).

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
    return openssl_path(sent, policy, sighting.time or situation.now)


def is_refused(situation: Situation, sighting: Sighting, policy: HostPolicy | None) -> bool:
    """Return True if clients with a policy refuse the chain that a server presents.

    Clients that refuse it only because of expired pins don't count, as in ``refuses``. Without a
    policy (None), clients refuse nothing. ``sighting`` is the result of probing the server, and
    ``situation`` has the time, and the anchors that are known.
    """
    path = chain_of_sighting(situation, sighting, policy)
    return refuses(path, situation.in_force(policy), situation.now)


def is_verified_by_some(situation: Situation, sighting: Sighting) -> bool:
    """Return True if some clients verify the chain that a server presents.

    The clients are those with the draft (the pin file), and with each version that some client may
    hold. ``sighting`` is the result of probing the server.
    """
    known = situation.live_policies
    return any(chain_of_sighting(situation, sighting, policy) is not None for policy in known)


def common_anchors(situation: Situation, policies: Sequence[HostPolicy | None]) -> tuple[str, ...]:
    """Return the names of the trust anchors that all policies have in common.

    Only anchors in the files of ``trust`` are listed, because a policy without such a file trusts
    every root of the platform. A root and its renewal with the same name and key count as one
    anchor, because they verify the same certificates. Left out are anchors that clients refuse,
    such as expired ones, and anchors with a stolen key on their path.

    Args:
        situation: the facts about the host.
        policies: the policies of the clients; ``None`` for clients without one.
    """
    files = [policy.trust.der for policy in policies if policy and policy.trust]
    known = [read_facts(der).certificate for der in dict.fromkeys(chain.from_iterable(files))]
    found = [each for each in known if each and _is_trusted(situation, (each,), policies)]
    return tuple(dict.fromkeys(map(name_of, found)))


def other_anchors(
    situation: Situation, policies: Sequence[HostPolicy | None], keys: AbstractSet[Pin]
) -> tuple[str, ...]:
    """Return the names of the anchors that all policies have in common, without some keys.

    These are the anchors of ``common_anchors`` with none of the keys on their path.

    Args:
        situation: the facts about the host.
        policies: the policies of the clients; ``None`` for clients without one.
        keys: the pins of the keys, such as those of stolen and lost roots.
    """
    past = replace(situation.past, compromised=situation.past.compromised | keys)
    return common_anchors(replace(situation, past=past), policies)


def is_same_chain_verified(situation: Situation, policies: Sequence[HostPolicy | None]) -> bool:
    """Return True if clients with any of these policies can verify the same chain.

    They have a valid anchor in common, or a server presents certificates from which all of them
    build a path, such as those of a new root that the old one has cross-signed.
    """
    return bool(common_anchors(situation, policies) or _common_issuers(situation, policies))


def anchors_to_name(situation: Situation) -> tuple[str, ...]:
    """Return the names of the trust anchors below which a server's next certificate has to be.

    They are the anchors that all clients have in common: the certificate has to be below one of
    them. The result is empty if all clients trust exactly the same anchors, so that any of them
    will do, or if they have none in common.
    """
    policies = situation.live_policies
    return common_anchors(situation, policies) if trusts_differ(policies) else ()


def issuers_to_name(situation: Situation) -> tuple[str, ...]:
    """Return the names of authorities, one of which has to issue a server's next certificate.

    The result is empty if all clients trust the same anchors, or have one in common: then any
    issuer below these anchors will do. Otherwise, all clients may still verify a chain that a
    server presents now: for example one with a new root that the old root has cross-signed. The
    result has the issuer of the leaf in each such chain. It is also empty if there is none.
    """
    policies = situation.live_policies
    if not trusts_differ(policies) or common_anchors(situation, policies):
        return ()
    return tuple(dict.fromkeys(map(name_of, _common_issuers(situation, policies))))


def has_common_trust(situation: Situation) -> bool:
    """Return True if there can be a chain that all clients verify.

    The clients are those with the draft (the pin file), and with each version that some client may
    hold.
    """
    policies = situation.live_policies
    return not trusts_differ(policies) or is_same_chain_verified(situation, policies)


def with_common_trust(situation: Situation, pin: Pin) -> Situation:
    """Return a copy of the facts about a host in which all versions trust the same anchors.

    They are the anchors of the pin file. Use the copy for a key that has no certificate yet, with
    the assumption that its certificate will be one that all clients trust. The safety rules (the
    gate) verify this when the certificate exists.

    ``situation`` (the facts about the host) itself is returned if no certificate can be trusted by
    all clients:

    - the key is a server's, and the clients have neither an anchor nor an issuer in common;
    - the key is an authority's, and no probed server presents a path in which every version trusts
      the key.
    """
    if situation.role_of(pin) == "leaf":
        is_possible = has_common_trust(situation)
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


def anchor_pins(policy: HostPolicy | None) -> frozenset[Pin]:
    """Return the pins of the keys of a policy's trust anchors (the file of ``trust``).

    The result is empty if the clients trust the platform's roots, or have no policy. For a
    certificate that can't be parsed, the result has a placeholder that is the pin of no key.
    """
    return _pins_in_trust(policy.trust if policy else None)


def known_anchor_pins(pin_sets: Iterable[PinSet]) -> frozenset[Pin]:
    """Return the pins of the keys in the files of ``trust`` of all policies in some pin sets.

    Args:
        pin_sets: the pin sets, such as the pin file and the published versions.
    """
    trusts = {trust for pins in pin_sets for trust in pins.trusts}
    return frozenset(chain.from_iterable(map(_pins_in_trust, trusts)))


def _pins_in_trust(trust: TrustAnchors | None) -> frozenset[Pin]:
    found = [read_facts(der).certificate for der in (trust.der if trust else ())]
    return frozenset(Pin.of_key(each.spki_sha256) if each else UNPINNED for each in found)


def versions_below(situation: Situation, keys: AbstractSet[Pin]) -> list[Version]:
    """Return the versions with which clients trust only roots with the given keys.

    Only versions that some client may hold are returned. A root that clients refuse, such as an
    expired one, is no other root.

    Args:
        situation: the facts about the host.
        keys: the pins of the keys, such as those of stolen roots.
    """
    found = [(version, situation.policies_of(version)) for version in situation.alive]
    # Policies with the same anchors are alike, and there are fewer of them than versions.
    by_trust = {trust_digest(each): each for _, policies in found for each in policies}
    below = {digest for digest, each in by_trust.items() if is_below(situation, each, keys)}
    return [
        version for version, policies in found if not below.isdisjoint(map(trust_digest, policies))
    ]


def is_below(situation: Situation, policy: HostPolicy | None, keys: AbstractSet[Pin]) -> bool:
    """Return True if clients with a policy trust roots with the given keys, and no other valid one.

    Clients that trust the platform's roots have others.

    Args:
        situation: the facts about the host.
        policy: the policy of the clients; ``None`` for clients without one.
        keys: the pins of the keys.
    """
    if anchor_pins(policy).isdisjoint(keys):
        return False
    return not other_anchors(situation, [policy], keys)


def _common_issuers(
    situation: Situation, policies: Sequence[HostPolicy | None]
) -> list[Certificate]:
    """Return the issuer of the leaf in each served chain that clients with all policies verify.

    ``policies`` are those of the clients, ``None`` for clients without one. The next certificate of
    a server can come from such an issuer.
    """
    sent = [seen.served.authorities for seen in situation.sightings if seen.served]
    return [each[0] for each in sent if each and _is_trusted(situation, each, policies)]


def _is_trusted(
    situation: Situation,
    authorities: tuple[Certificate, ...],
    policies: Sequence[HostPolicy | None],
) -> bool:
    """Return True if clients with each of the policies trust certificates that an authority issues.

    Args:
        situation: the facts about the host.
        authorities: the certificate of the authority, and those above it that a server sends.
        policies: the policies of the clients. Clients without one (``None``) have no influence.
    """
    # Policies with the same anchors verify the same paths.
    by_trust = {trust_digest(policy): policy for policy in policies if policy}
    return all(_is_verified(situation, authorities, policy) for policy in by_trust.values())


def _is_verified(
    situation: Situation, authorities: tuple[Certificate, ...], policy: HostPolicy
) -> bool:
    first = authorities[0]
    anchors = policy.trust.der if policy.trust else situation.roots
    # Clients take their own certificate of the authority before the one that is sent.
    own = [each for der in anchors if (each := read_facts(der).certificate) is not None]
    same = [(each,) for each in own if _name_and_key(each) == _name_and_key(first)]
    stolen = situation.compromised
    for sent in (*same, authorities):
        prospect = Prospect(None, sent, sent=True, roots=situation.roots)
        path = openssl_path(prospect, policy, situation.now)
        if path and not any(stolen.intersection(pins_of(each)) for each in path.certificates):
            return True
    return False


def _name_and_key(certificate: Certificate) -> tuple[str, bytes]:
    return name_of(certificate), certificate.spki_sha256


def _is_trusted_above(situation: Situation, sighting: Sighting, pin: Pin) -> bool:
    """Return True if an authority's key is in the path that all clients verify at a server.

    The clients are those with the draft (the pin file), and with each version that some client may
    hold, and that has a policy for the host. Each may verify a different path; the key must be
    above the leaf in all of these paths.

    Args:
        situation: the facts about the host.
        sighting: the result of probing the server.
        pin: the pin of the authority's key.
    """
    policies = filter(None, situation.live_policies)
    paths = [chain_of_sighting(situation, sighting, each) for each in policies]
    return all(path and any(pin in pins_of(each) for each in path.authorities) for path in paths)


def _with_trust(pins: PinSet, trust: TrustAnchors | None) -> PinSet:
    if pins.trusts == {trust}:
        return pins  # as usual: this is called for each host, and a copy has all of them
    return replace(pins, policies=tuple(replace(each, trust=trust) for each in pins.policies))


def _is_for_server(sighting: Sighting, served: Chain) -> bool:
    """Return True if the certificate is for the name with which the server was contacted.

    ``sighting`` is the result of probing the server, and ``served`` the chain that it sent. Return
    False if the certificate can't be parsed.
    """
    try:
        return name_matches(sighting.host, served.leaf)
    except CertificateParseError:
        return False
