"""The chain that a server will present, and whether clients with a policy accept it.

``conclude`` runs ``pins.verify`` on a whole chain, with the policy of one version of the pin set.
If only a part of the chain is known, such as the key for which an authority has not issued the
certificate yet, ``conclude`` verifies each chain that the known part allows. If all results are
equal, the conclusion is certain. Otherwise the conclusion is ``open``, and no step of a rotation
may rely on it. The draft is the pin file that would be published next.

``conclude`` checks no names, dates and extensions, because a plan needs its result for other days
than today. ``certpin.rotation.faults`` checks dates and extensions on every path, for the day on
which a chain is installed. Expired pins are left to the rule ``expiry`` of the gate (the safety
rules of a rotation), because they make clients refuse every chain.

A policy may also require SCTs. An SCT is the promise of a Certificate Transparency log to publish a
certificate. It is signed for the certificate and the key of its issuer, so it can be verified only
if both are known.

The docstring of ``certpin.rotation`` lists the functions that find a path, and those that return
whether clients accept it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from certpin.pins import Pin, pins_of, verify
from certpin.rotation.situation import CLOCK_TOLERANCE
from certpin.x509 import Certificate, Chain, is_self_signed
from certpin.x509.chain import read_facts, ways_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from certpin.pins import HostPolicy, Role, Verdict
    from certpin.rotation.situation import Situation, Version

Conclusion = Literal["accepted", "refused", "open"]

_MAX_WAYS = 64  # from a leaf to the roots: a real chain has one or two


@dataclass(frozen=True)
class Prospect:
    """A chain that a server will present, as far as it is known.

    Attributes:
        leaf: the server's certificate, or a placeholder with its key if it was not issued yet;
            ``None`` if not even the key is known.
        authorities: the known certificates above the leaf.
        issued: False if ``leaf`` only has the key of a certificate that was not issued yet. The
            first of ``authorities`` will issue it.
        sent: True if the server sends exactly these certificates, so that clients build the rest of
            the path from the roots that they trust.
        roots: the roots, as DER, that clients trust if their policy has no anchors. Only used if
            ``sent``.
        private: the anchors of policies, as DER, that are not in ``roots``. Only used if ``sent``.
    """

    leaf: Certificate | None
    authorities: tuple[Certificate, ...] = ()
    issued: bool = True
    sent: bool = False
    roots: tuple[bytes, ...] = ()
    private: frozenset[bytes] = frozenset()


def stand_in(*pins: Pin) -> Certificate:
    """Return a placeholder certificate for a pin: it has the pin's digest, and no other content.

    It is for `pins.verify`, which compares only digests. ``pins`` is a single pin, of a key or of a
    certificate; or both pins of a certificate, that of its key first.
    """
    content = b"".join(pin.digest for pin in pins)  # certificates are equal if this is
    certificate = Certificate(der=content, spki=content)
    vars(certificate).update(spki_sha256=pins[0].digest, sha256=pins[-1].digest)
    return certificate


def _is_stand_in(certificate: Certificate) -> bool:
    """Return True if the certificate is a placeholder from ``stand_in``, not a real certificate."""
    return certificate.der == certificate.spki


# A key that no server has.
UNPINNED = Pin.of_key(hashlib.sha256(b"a certificate that is not pinned").digest())
_UNPINNED = stand_in(UNPINNED)


def prospects_of_key(situation: Situation, pin: Pin) -> tuple[Prospect, ...]:
    """Return the possible chains of a server that switches to a key, before it has a certificate.

    - If the key's entry in the pin file has the role of an authority, the key is the authority's.
    - If clients compare only authorities (``match = "ca"``), any other key can be a leaf's or an
      authority's, and both chains are returned.
    - Otherwise the key is the leaf's.
    """
    leaf, authority = Prospect(stand_in(pin)), Prospect(None, (stand_in(pin),))
    entry = situation.entry(pin)
    if entry is not None and entry.role in {"intermediate", "root"}:
        return (authority,)
    return (leaf, authority) if situation.policy.match == "ca" else (leaf,)


def assumed_prospects(situation: Situation, pin: Pin) -> tuple[Prospect, ...]:
    """Return the chain that a server with this key is assumed to present, in plans and simulations.

    No certificate exists yet, so the chain consists of a placeholder with the key. The key's role
    in the draft (the pin file) decides if the placeholder is the leaf or an authority.
    """
    if situation.role_of(pin) == "leaf":
        return (Prospect(stand_in(pin)),)
    return (Prospect(None, (stand_in(pin),)),)


def role_in(situation: Situation, pin: Pin, prospects: Sequence[Prospect]) -> Role:
    """Return the role of a key in the chains that servers may present with it.

    ``situation`` has the facts about the host, ``pin`` is that of the key, and ``prospects`` are
    these chains. Usually the result is the role in the draft (the pin file). But if the chains are
    known and have no leaf, the key is that of their first authority. The role is then ``root`` if
    the authority's certificate is self-signed, and ``intermediate`` otherwise.
    """
    if not prospects or any(each.leaf for each in prospects):
        return situation.role_of(pin)
    return "root" if is_self_signed(prospects[0].authorities[0]) else "intermediate"


def chain_with(situation: Situation, pin: Pin, before: Chain | None = None) -> Chain:
    """Return the chain, with placeholders, that a server presents when it begins to use a key.

    The draft (the pin file) gives the key's role. If the key is a leaf's, only the leaf of the
    chain is replaced. If the key is an authority's, the chain consists of that authority and a new
    leaf.

    Args:
        situation: the facts about the host, with the draft.
        pin: the pin of the key.
        before: the chain that the server presents now; ``None`` if unknown.
    """
    if situation.role_of(pin) == "leaf":
        return Chain((stand_in(pin), *(before.authorities if before else (_UNPINNED,))))
    return Chain((_UNPINNED, stand_in(pin)))


def conclude(
    prospects: Sequence[Prospect], policies: Iterable[HostPolicy | None], now: datetime
) -> Conclusion:
    """Return whether clients with these policies accept every chain that a server may present.

    Args:
        prospects: the chains that the server may present, as far as they are known.
        policies: the policies of one version for the hosts of the server; ``None`` for a host that
            has none.
        now: the time at which the chain is presented.

    Returns:
        ``accepted`` if clients accept every possible chain; ``refused`` if they refuse every one;
        otherwise ``open``. With several policies, it is ``refused`` if the result for at least one
        of them is ``refused``, or else ``open`` if the result for at least one of them is ``open``.
        Without policies, it is ``open``.
    """
    found = {_conclude_for_policy(prospects, policy, now) for policy in policies} or {"open"}
    worst: tuple[Conclusion, ...] = ("refused", "open", "accepted")
    return next(each for each in worst if each in found)


def _conclude_for_policy(
    prospects: Sequence[Prospect], policy: HostPolicy | None, now: datetime
) -> Conclusion:
    found = {
        _conclude_chain(chain, policy, now)
        for prospect in prospects
        for chain in _each_chain(prospect, policy)
    }
    return found.pop() if len(found) == 1 else "open"


def _conclude_chain(chain: Chain | None, policy: HostPolicy | None, now: datetime) -> Conclusion:
    """Return whether clients with a policy accept a chain: ``accepted``, ``refused`` or ``open``.

    The result is ``open`` (not certain) if the policy requires SCTs, the certificate is known, and
    its issuer is unknown.

    Args:
        chain: a verified path; ``None`` if the clients can verify none.
        policy: the policy of the clients; ``None`` for clients without one. The result is then
            ``accepted``: they compare no pins, or are strict and refuse the host with every chain.
        now: the time at which the chain is presented.
    """
    if policy is None:
        return "accepted"
    if chain is None or refuses(chain, policy, now):
        return "refused"
    if _is_stand_in(chain.leaf) or _knows_scts(chain):
        return "accepted"
    return "accepted" if verify(chain, policy, now).decision != "refuse" else "open"


def refuses(chain: Chain | None, policy: HostPolicy | None, now: datetime) -> bool:
    """Return True if clients with a policy refuse a chain for a reason other than expired pins.

    Args:
        chain: a verified path; ``None`` if a server's chain did not verify.
        policy: the policy; ``None`` for clients without one. The result is then False.
        now: the time at which the chain is presented.
    """
    return refusal(chain, policy, now) is not None


def refusal(chain: Chain | None, policy: HostPolicy | None, now: datetime) -> Verdict | None:
    """Return the verdict with which clients refuse a chain for a reason other than expired pins.

    SCTs are checked only if the certificate and its issuer are known.

    Args:
        chain: a verified path; ``None`` if a server's chain did not verify.
        policy: the policy; ``None`` for clients without one.
        now: the time at which the chain is presented.

    Returns:
        The verdict. ``None`` if the clients accept the chain, if they refuse it only because of
        expired pins, or if they have no policy.
    """
    if policy is None:
        return None
    if chain is not None and _knows_scts(chain):
        verdict = judge(chain, policy, now)
    else:
        verdict = verify(chain, policy, now, pins_only=True)
    return verdict if verdict.decision == "refuse" and verdict.reason != "expired" else None


def judge(chain: Chain | None, policy: HostPolicy, now: datetime) -> Verdict:
    """Return the verdict of `pins.verify` on a chain, with five minutes of tolerance for new SCTs.

    The SCTs of a new certificate are a few seconds old, and the clock that gave ``now`` may be
    behind. So SCTs from the five minutes after ``now`` count, too.

    Args:
        chain: a verified path; ``None`` if a server's chain did not verify.
        policy: the policy of the clients.
        now: the time at which the chain is presented.
    """
    verdict = verify(chain, policy, now)
    if verdict.reason == "too-few-scts":
        verdict = verify(chain, policy, now + CLOCK_TOLERANCE)
    return verdict


def scts_refusal(
    situation: Situation, versions: Sequence[Version], prospects: Sequence[Prospect]
) -> Verdict | None:
    """Return the verdict of clients that refuse chains only because of missing SCTs.

    Its reason is ``too-few-scts``.

    Args:
        situation: the facts about the host.
        versions: the versions of the pin set that refuse the chains.
        prospects: the chains that the server may present, with the certificate that was issued.

    Returns:
        The first such verdict. ``None`` if clients with one of the versions refuse a chain for
        another reason, or if no client refuses a chain.
    """
    found = [
        refusal(chain, situation.in_force(policy), situation.now)
        for version in versions
        for policy in situation.policies_of(version)
        for prospect in prospects
        for chain in _each_chain(prospect, policy)
    ]
    refusals = [verdict for verdict in found if verdict is not None]
    if not refusals or any(verdict.reason != "too-few-scts" for verdict in refusals):
        return None
    return refusals[0]


def _knows_scts(chain: Chain) -> bool:
    """Return True if a chain has the server's certificate and its issuer, to verify SCTs.

    If the chain is a single certificate, the result is True only if that is self-signed: otherwise
    the issuer is not known.
    """
    if any(map(_is_stand_in, chain.certificates[:2])):
        return False
    return bool(chain.authorities) or read_facts(chain.leaf.der).is_self_signed


def conclusion_of_version(
    situation: Situation, version: Version, prospects: Sequence[Prospect]
) -> Conclusion:
    """Return whether clients with a version of the pin set accept every possible chain.

    Args:
        situation: the facts about the host.
        version: the version of the pin set that the clients hold.
        prospects: the chains that the server may present, as far as they are known.

    Returns:
        ``accepted``, ``refused`` or ``open`` (not certain), as ``conclude`` defines them.
    """
    policies = map(situation.in_force, situation.policies_of(version))
    return conclude(prospects, policies, situation.now)


def conclusions_by_version(
    situation: Situation, prospects: Sequence[Prospect]
) -> list[tuple[Version, Conclusion]]:
    """Return for each version alive whether its clients accept every chain that may be presented.

    A version of the pin set is alive if some client may hold it. The result is ``accepted``,
    ``refused`` or ``open`` (not certain), as in ``conclude``. If the versions trust different
    anchors, and not all certificates of the chain are known, ``accepted`` becomes ``open``: it is
    unknown whether each client can build a path. A version without a policy for the host has no
    influence on this, and its result stays ``accepted``.

    Args:
        situation: the facts about the host.
        prospects: the chains that the server may present, as far as they are known.
    """
    given = with_private_anchors(situation, prospects)
    found = [(each, conclusion_of_version(situation, each, given)) for each in situation.alive]
    if not trusts_differ(situation.held_policies) or all(each.sent for each in given):
        return found
    return [
        (
            version,
            "open"
            if conclusion == "accepted" and any(situation.policies_of(version))
            else conclusion,
        )
        for version, conclusion in found
    ]


def known_authorities(situation: Situation, prospects: Sequence[Prospect]) -> frozenset[Pin]:
    """Return the pins of the known certificates above the leaf, on all paths to an anchor.

    ``prospects`` are chains that a server may present. The paths are those that clients with the
    draft (the next version) may verify. Chains that a server will not send exactly as they are
    (``sent`` is False) have no known authorities, and are ignored.
    """
    given = [each for each in with_private_anchors(situation, prospects) if each.sent]
    chains = [chain for each in given for chain in _each_chain(each, situation.policy) if chain]
    return frozenset(
        pin
        for chain in chains
        for certificate in chain.authorities
        if not _is_stand_in(certificate)
        for pin in pins_of(certificate)
    )


def issued_pins(prospects: Iterable[Prospect]) -> tuple[Pin, ...]:
    """Return the pins of the leaf certificates that were issued already.

    Each such certificate has a pin of its key, and one of the certificate. ``prospects`` are chains
    that a server may present. Chains with a placeholder as a leaf are ignored.
    """
    leaves = [each.leaf for each in prospects if each.leaf and each.issued]
    return tuple(dict.fromkeys(pin for leaf in leaves for pin in pins_of(leaf)))


def stolen_authorities(policy: HostPolicy, stolen: AbstractSet[Pin]) -> list[Pin]:
    """Return the pins of a policy that are in ``stolen`` and may be those of authorities' keys.

    Pins with the role ``leaf`` are left out. Backups are included, because a backup can be an
    authority's key. Clients refuse every path with such a key if the policy marks it compromised.

    Args:
        policy: the policy.
        stolen: the pins of stolen keys.
    """
    return [each.pin for each in policy.pins if each.pin in stolen and each.role != "leaf"]


def lacks_path(
    situation: Situation, versions: Sequence[Version], prospects: Sequence[Prospect]
) -> bool:
    """Return True if clients with each of these versions can't verify some possible chain.

    A client can't verify a chain if it can build no path from the chain to an anchor that it
    trusts. The result is True if each policy of the versions has at least one such chain; it need
    not be the same one for all policies. Hosts without a policy in a version have no influence.

    Args:
        situation: the facts about the host.
        versions: the versions of the pin set.
        prospects: the chains that the server may present, as far as they are known.
    """
    found = [policy for version in versions for policy in situation.policies_of(version)]
    policies = list(filter(None, found))
    return all(
        any(None in _each_chain(prospect, policy) for prospect in prospects) for policy in policies
    )


def trusts_differ(policies: Iterable[HostPolicy | None]) -> bool:
    """Return True if not all policies trust the same anchors.

    Clients without a policy (``None``) have no influence: the safety rules apply to pinned hosts.
    """
    return len(set(map(trust_digest, filter(None, policies)))) > 1


def trust_digest(policy: HostPolicy | None) -> bytes | None:
    """Return a digest of the anchors that clients trust, to compare policies.

    Return ``None`` if clients trust the platform's roots, or have no policy.
    """
    return policy.trust.digest if policy and policy.trust else None


def with_private_anchors(situation: Situation, prospects: Sequence[Prospect]) -> list[Prospect]:
    """Return copies of the prospects (chains that may be served) with ``private`` set.

    ``private`` gets the trust anchors of all policies in the draft (the pin file) and in the
    versions that clients may hold, except those that are among the platform's roots
    (``Prospect.roots``).
    """
    anchors = situation.anchors
    return [replace(each, private=anchors.difference(each.roots)) for each in prospects]


def _each_chain(prospect: Prospect, policy: HostPolicy | None) -> Iterator[Chain | None]:
    """Yield the paths that clients with this policy may verify; ``None`` if they can build no path.

    ``prospect`` is a chain that a server will present. Clients without a policy, or without trust
    anchors in it, trust the platform's roots.

    If not all certificates are known (``sent`` is False), placeholders for the possible authorities
    and leaves complete each path.

    If all are known, a path can end at any trust anchor in it. But clients that trust the
    platform's roots may know a root that this machine doesn't have. For these clients, a path
    without a known anchor is completed with placeholders, too.
    """
    if not prospect.sent:
        yield from _completions(prospect, policy)
        return
    ways = ways_of(prospect, policy)
    for way in ways.ended:
        yield from _ended(_known(prospect, way), policy)
    if not (ways.ended or ways.unended):  # too many ways to look at, or none to an anchor
        yield None
    for way in ways.unended:
        yield from _without_anchor(prospect, policy, way)


@lru_cache(maxsize=256)
def possible_chains(prospect: Prospect, policy: HostPolicy | None) -> tuple[Chain | None, ...]:
    """Return the paths that clients with this policy may verify; ``None`` for no path.

    The results are those of ``_each_chain``, cached for many calls with the same arguments.

    Args:
        prospect: a chain that a server will present, with ``private`` set.
        policy: the policy of the clients; ``None`` for clients without one.
    """
    return tuple(_each_chain(prospect, policy))


def chain_of_prospect(prospect: Prospect, policy: HostPolicy, now: datetime) -> Chain | None:
    """Return the path that clients with a policy verify; ``None`` if they can build none.

    If several paths are possible, return the first one with pins that the clients accept; or, if
    they accept none, the first one.

    Args:
        prospect: the chain that a server will present, with ``private`` set.
        policy: the policy of the clients.
        now: the time at which the chain is presented.
    """
    found = [chain for chain in possible_chains(prospect, policy) if chain]
    accepted = (chain for chain in found if not refuses(chain, policy, now))
    return next(accepted, found[0] if found else None)


def sent_certificates(prospect: Prospect) -> list[Certificate]:
    """Return the known certificates of ``prospect``, a chain that a server will present.

    The placeholder for a leaf that was not issued yet is left out.
    """
    above = list(prospect.authorities)
    return [prospect.leaf, *above] if prospect.leaf and prospect.issued else above


def anchors_of(prospect: Prospect, policy: HostPolicy | None) -> tuple[bytes, ...]:
    """Return the trust anchors of clients with a policy, as DER.

    Without a policy, or without trust anchors in it, they are the platform's roots that this
    machine knows (``prospect.roots``). ``prospect`` is a chain that a server will present.
    """
    return policy.trust.der if policy and policy.trust else prospect.roots


class Ways(NamedTuple):
    """The paths upwards from the first certificate that a server sends, each a tuple of DER.

    If a hostile chain has more than 64 paths, all lists are empty. The chain then counts as one
    that no client can verify.

    Attributes:
        longest: all paths, as long as possible.
        ended: the parts of these paths that end at one of the clients' trust anchors.
        unended: the paths that end at no anchor that this machine knows. Clients may trust a root
            that it lacks. Empty if the clients have their own trust anchors (a file of ``trust``)
            instead of the platform's roots.
    """

    longest: list[tuple[bytes, ...]]
    ended: list[tuple[bytes, ...]]
    unended: list[tuple[bytes, ...]]


def ways_of(prospect: Prospect, policy: HostPolicy | None) -> Ways:
    """Return the paths upwards from the first certificate that a server sends.

    ``prospect`` is the chain that the server sends. ``policy`` is that of the clients, and decides
    at which trust anchors a path may end.
    """
    first, *others = (each.der for each in sent_certificates(prospect))
    anchors = anchors_of(prospect, policy)
    ways = ways_up(first, (*others, *anchors), _MAX_WAYS)
    ended = [way[: at + 1] for way in ways for at, der in enumerate(way) if der in anchors]
    has_trust = policy is not None and policy.trust is not None
    unended = [] if has_trust else [way for way in ways if way[-1] not in anchors]
    return Ways(list(ways), list(dict.fromkeys(ended)), unended)


def _without_anchor(
    prospect: Prospect, policy: HostPolicy | None, way: tuple[bytes, ...]
) -> Iterator[Chain | None]:
    """Yield the possible chains that begin with ``way``, for clients with the platform's roots.

    ``prospect`` is the chain. ``way`` has the known certificates from the leaf upwards, and they
    lead to no known root. If the last one is self-signed, the chains end with it. Otherwise each
    chain continues with a placeholder for the unknown certificates above: an unpinned one, or one
    for an authority that ``policy`` pins or marks compromised. Yield ``None`` if no such client can
    build a path, or if a certificate can't be parsed.
    """
    top = read_facts(way[-1])
    has_leaf = prospect.leaf is not None and prospect.issued
    is_only_itself = top.is_self_signed and len(way) == 1 and has_leaf
    known = _known(prospect, way)
    if _is_private(prospect, way[-1]) or is_only_itself:
        yield None  # no client of a platform trusts it
    elif known is None or top.is_self_signed:
        yield from _ended(known, policy)
    else:
        yield from _completions(known, policy)


def _is_private(prospect: Prospect, top: bytes) -> bool:
    """Return True if the last certificate of a path is a private anchor, or below a private root.

    Servers usually send no root, so the path of a private authority ends below it. ``top`` is the
    last certificate, as DER, and ``prospect`` has the private anchors.
    """
    above = ways_up(top, tuple(prospect.private), _MAX_WAYS)
    roots = (way[-1] for way in above if len(way) > 1)
    return top in prospect.private or any(read_facts(root).is_self_signed for root in roots)


def _known(prospect: Prospect, way: tuple[bytes, ...]) -> Prospect | None:
    """Return a copy of ``prospect`` (a chain) with only the certificates of one path.

    ``way`` is the path: certificates in DER, from the leaf upwards.

    Return ``None`` if a certificate can't be parsed, because its key, which is then unknown, could
    be a compromised one.
    """
    on_way = tuple(filter(None, (read_facts(der).certificate for der in way)))
    if len(on_way) < len(way):
        return None
    if prospect.leaf is None:
        return Prospect(None, on_way)
    return Prospect(prospect.leaf, on_way[1:] if prospect.issued else on_way)


def _ended(known: Prospect | None, policy: HostPolicy | None) -> Iterator[Chain | None]:
    """Yield the chains that consist of the ``known`` authorities and each possible leaf.

    No authority is added above the known certificates. If ``known`` has no leaf, a chain is yielded
    for each pinned leaf, and one for a leaf that is not pinned. Yield only ``None`` if ``known`` is
    ``None``, which means that a certificate could not be parsed. ``policy`` has the pins, and is
    ``None`` for clients without a policy.
    """
    if known is None:
        yield None
        return
    for leaf in _leaves(known, policy):
        yield Chain((leaf, *known.authorities))


def _leaves(prospect: Prospect, policy: HostPolicy | None) -> list[Certificate]:
    if prospect.leaf is not None:
        return [prospect.leaf]
    return [_UNPINNED, *_pinned(policy, above=False)]


def _completions(prospect: Prospect, policy: HostPolicy | None) -> Iterator[Chain]:
    """Yield the possible chains of a prospect: its known certificates below one more authority.

    The authority is a placeholder: one that is not pinned, one for each authority that the policy
    pins, and one for each compromised key that can be an authority's. If the leaf is unknown, it is
    also a placeholder, pinned or not.
    """
    others = [_UNPINNED, *_pinned(policy, above=True)]
    others += map(stand_in, stolen_authorities(policy, policy.compromised) if policy else ())
    for leaf in _leaves(prospect, policy):
        for other in others:
            yield Chain((leaf, *prospect.authorities, other))


def _pinned(policy: HostPolicy | None, *, above: bool) -> list[Certificate]:
    """Return placeholder certificates for the pins of a policy: those of authorities or of leaves.

    The role of a pin decides whether it is an authority's or a leaf's. A backup counts as a leaf's,
    but as an authority's if clients compare only authorities (``match = "ca"``).

    Args:
        policy: the policy; ``None`` for no placeholders.
        above: True for the authorities, False for the leaves.
    """
    if policy is None:
        return []
    roles = {"intermediate", "root"} | ({"backup"} if policy.match == "ca" else set())
    live = policy.live_pins.values()
    return [stand_in(entry.pin) for entry in live if (entry.role in roles) is above]
