"""The faults for which clients refuse a chain that a server will present, whatever is pinned.

A chain may have several paths to an anchor. OpenSSL takes one of them. If a certificate on that
path has a fault, OpenSSL tries no other path. ``certpin.x509.validation`` finds the fault of one
path, and ``certpin.rotation.prospect`` compares the pins.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from certpin.rotation.prospect import anchors_of, sent_certificates, ways_of
from certpin.rotation.situation import CLOCK_TOLERANCE
from certpin.x509 import Certificate, Chain, end_in_roots
from certpin.x509.certificate import name_of, names_issuer, signature_fits
from certpin.x509.chain import read_facts, short_name
from certpin.x509.validation import PathFault, path_fault

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins import HostPolicy, TrustAnchors
    from certpin.rotation.prospect import Prospect


def chain_fault(prospect: Prospect, policy: HostPolicy | None, now: datetime) -> PathFault | None:
    """Return why clients with a policy refuse the certificates of a chain, whatever is pinned.

    OpenSSL builds one path, and tries no other. So a chain is refused for one of these reasons:

    - OpenSSL's path has a fault that `path_fault` finds;
    - OpenSSL's path does not end at a trust anchor, although another path does;
    - every path has a fault.

    Args:
        prospect: the chain. It is checked only if a server sends exactly these certificates
            (``sent``); otherwise the result is ``None``.
        policy: the policy of the clients; ``None`` for clients without one.
        now: the time at which the chain is presented. Five minutes of tolerance are allowed for a
            clock that is behind.

    Returns:
        The fault; ``None`` if there is none. A chain without any path to a trust anchor is no fault
        here, because other rules report it.
    """
    if not prospect.sent:
        return None
    return _fault(prospect, policy, _openssl_ways(prospect, policy, now), now)


class _OpenSSLWays(NamedTuple):
    """The paths that clients with a policy can build from a chain, and the one that OpenSSL takes.

    A path is a tuple of certificates in DER, from the leaf upwards.

    Attributes:
        taken: the path that OpenSSL takes; empty if it is unknown.
        ended: the paths that end at one of the clients' trust anchors, as in ``Ways``.
        unended: the paths that may end at an anchor that this machine lacks, as in ``Ways``.
        roots: the roots in the clients' file of ``trust``, if a path must end at one of them. Empty
            if a path may also end at an intermediate in that file, or if there is no file.
    """

    taken: tuple[bytes, ...]
    ended: list[tuple[bytes, ...]]
    unended: list[tuple[bytes, ...]]
    roots: set[bytes]


def _openssl_ways(prospect: Prospect, policy: HostPolicy | None, now: datetime) -> _OpenSSLWays:
    ways, ended, unended = ways_of(prospect, policy)
    roots = _required_roots(policy)
    is_partial = policy is not None and policy.trust is not None and not roots
    taken = _taken_way(prospect, policy, list(map(_fitting, ways)), now, is_partial=is_partial)
    return _OpenSSLWays(taken, ended, unended, roots)


def _fault(
    prospect: Prospect, policy: HostPolicy | None, ways: _OpenSSLWays, now: datetime
) -> PathFault | None:
    taken, ended, unended, roots = ways
    has_anchor = not set(taken).isdisjoint(anchors_of(prospect, policy))
    known = dict.fromkeys((*ended, *unended, *([taken] if has_anchor else ())))
    faults = {way: _way_fault(prospect, policy, way, now) for way in known}
    fault = _other_key(prospect, policy, taken, now) or faults.get(taken)
    if fault is not None:
        if _has_leaf(prospect) and taken[:1] in faults and faults[taken[:1]] is None:
            fix = f"send only the certificate, which is a trust anchor itself, or {fault.fix}"
            return replace(fault, fix=fix)
        return fault
    good = [way for way in ended if faults[way] is None]
    if roots:
        has_anchor = not roots.isdisjoint(taken)
    if good and not has_anchor:
        good = [way for way in good if not roots or way[-1] in roots]
        return _dead_end(taken, good) if good else _without_root(taken)
    return None if None in faults.values() else next(iter(faults.values()), None)


def openssl_path(prospect: Prospect, policy: HostPolicy | None, now: datetime) -> Chain | None:
    """Return the path that clients with a policy verify in a chain; ``None`` if they refuse it.

    It is the path that OpenSSL takes, up to a trust anchor of the clients. Pins are not compared,
    and host names are not checked.

    Args:
        prospect: the chain, which a server sends as it is (``sent``).
        policy: the policy of the clients; ``None`` for clients without one.
        now: the time at which the chain is presented.
    """
    ways = _openssl_ways(prospect, policy, now)
    if _fault(prospect, policy, ways, now) is not None:
        return None
    taken = ways.taken
    path = [facts.certificate for facts in map(read_facts, taken)]
    known = tuple(each for each in path if each is not None)
    has_anchor = not set(taken).isdisjoint(anchors_of(prospect, policy))
    return Chain(known) if has_anchor and len(known) == len(taken) else None


def _has_leaf(prospect: Prospect) -> bool:
    return prospect.leaf is not None and prospect.issued


def _fitting(way: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the part of a path that OpenSSL builds: it ends before the first unfit issuer.

    The result is the whole path if all issuers fit. An issuer doesn't fit if the
    authorityKeyIdentifier of the certificate below names a different one. For example, the issuer
    may be an older certificate of a root with the same key. ``way`` is the path, as DER from the
    leaf upwards.
    """
    with suppress(Exception):  # of many types: `path_fault` refuses what can't be read
        certificates = map(Certificate.from_der, way)
        for at, (below, above) in enumerate(pairwise(certificates), start=1):
            if not names_issuer(below, above):
                return way[:at]
    return way


def _way_fault(
    prospect: Prospect, policy: HostPolicy | None, way: tuple[bytes, ...], now: datetime
) -> PathFault | None:
    from certpin.x509.openssl import STRICT_BY_DEFAULT

    certificates = [facts.certificate for facts in map(read_facts, way)]
    path = [each for each in certificates if each is not None]
    if len(path) < len(way):
        return None  # `conclude` refuses a path with a certificate that can't be parsed
    strict = policy.trust.strict if policy and policy.trust else None
    anchors = anchors_of(prospect, policy)
    ends = (way[0], way[-1]) if _has_leaf(prospect) else way[-1:]
    is_whole = not set(ends).isdisjoint(anchors) or read_facts(way[-1]).is_self_signed
    return path_fault(
        path,
        now + CLOCK_TOLERANCE,
        now,
        has_leaf=_has_leaf(prospect),
        is_whole=is_whole,
        strict=STRICT_BY_DEFAULT if strict is None else strict,
    )


def _dead_end(taken: tuple[bytes, ...], good: list[tuple[bytes, ...]]) -> PathFault:
    """Return the fault of a chain in which OpenSSL takes a path that leads to no anchor.

    Another path of the chain leads to an anchor, but OpenSSL doesn't try it. The fault names the
    first certificate of ``taken``, from the leaf on, that differs from a path in ``good``. If
    ``good`` has several paths, each is compared with ``taken``, and the difference that is furthest
    from the leaf counts.

    Args:
        taken: the path that OpenSSL takes.
        good: the paths to an anchor that have no fault, each as DER from the leaf upwards.
    """
    first = max(
        next((at for at, pair in enumerate(zip(taken, way, strict=False)) if pair[0] != pair[1]), 0)
        for way in good
    )
    certificate = Certificate.from_der(taken[first])
    issuer = short_name(read_facts(taken[first]).issuer)
    return PathFault(
        certificate,
        f"the authority {name_of(certificate)} in its chain, issued by {issuer}, leads to no trust "
        "anchor, and clients take it because it is sent first",
        "send the certificate of this authority that leads to a trust anchor first, or only it",
    )


def _required_roots(policy: HostPolicy | None) -> set[bytes]:
    """Return the roots at which a path has to end; empty if a path may end at any anchor.

    A path may end at any anchor if ``trust`` of the policy names an intermediate without its
    issuer: certpin then lets OpenSSL end paths at intermediates (``trust_alone``). The result is
    also empty if the clients trust the platform's roots. A root is given as DER.
    """
    return set() if policy is None or policy.trust is None else _roots_of(policy.trust)


@lru_cache(maxsize=64)  # many hosts have the same file, with hundreds of roots
def _roots_of(trust: TrustAnchors) -> set[bytes]:
    is_partial = not end_in_roots(map(Certificate.from_der, trust.der))
    return set() if is_partial else {der for der in trust.der if read_facts(der).is_self_signed}


def _without_root(taken: tuple[bytes, ...]) -> PathFault:
    """Return the fault of a path that ends at an intermediate, because no trusted root issued it.

    ``taken`` is the path, as DER from the leaf upwards. The intermediate may be an anchor itself.
    But these clients accept only paths that end at a root.
    """
    certificate = Certificate.from_der(taken[-1])
    issuer = short_name(read_facts(taken[-1]).issuer)
    return PathFault(
        certificate,
        f"its chain ends at {name_of(certificate)}, and no root {issuer} that clients trust is its "
        "issuer",
        "use a certificate of another root, or let `trust` name the root that issued this "
        "authority",
    )


def _taken_way(
    prospect: Prospect,
    policy: HostPolicy | None,
    ways: list[tuple[bytes, ...]],
    now: datetime,
    *,
    is_partial: bool,
) -> tuple[bytes, ...]:
    """Return the path that OpenSSL builds; empty if it is unknown.

    If a certificate has several possible issuers, OpenSSL prefers an anchor to a certificate that
    was sent, and then a valid certificate to an expired one (crypto/x509/x509_vfy.c, build_chain).
    No path ends at the server's own certificate, even if that is an anchor.

    Args:
        prospect: the chain.
        policy: the policy of the clients; ``None`` for clients without one.
        ways: the possible paths.
        now: the time at which the chain is presented.
        is_partial: True if a path may end at an anchor that is an intermediate (``trust_alone``).
            The path then ends at its first anchor. If False, the path ends at its last anchor.
    """
    anchors, preference = anchors_of(prospect, policy), _preference(prospect, policy, now)
    remaining, depth = ways, 1
    while any(len(way) > depth for way in remaining):
        remaining = [way for way in remaining if len(way) > depth]
        following = min((way[depth] for way in remaining), key=preference.__getitem__)
        remaining = [way for way in remaining if way[depth] == following]
        depth += 1
    way = remaining[0] if remaining else ()
    first = 1 if _has_leaf(prospect) else 0
    ends = [at for at, der in enumerate(way) if at >= first and der in anchors]
    if not ends:
        return way
    return way[: (ends[0] if is_partial else ends[-1]) + 1]


def _preference(
    prospect: Prospect, policy: HostPolicy | None, now: datetime
) -> dict[bytes, tuple[bool, bool, int]]:
    """Return the rank of each possible issuer, by its DER. OpenSSL takes the lowest rank.

    Ranks are tuples, compared from left to right. Anchors have lower ranks than other certificates.
    Among anchors, and among the others, those that are valid at ``now`` have lower ranks.
    ``prospect`` is the chain, and ``policy`` that of the clients (``None`` for clients without
    one).
    """
    anchors = anchors_of(prospect, policy)
    sent = (each.der for each in sent_certificates(prospect))
    issuers = dict.fromkeys((*anchors, *sent))
    return {
        der: (der not in anchors, not _is_valid(der, now), at) for at, der in enumerate(issuers)
    }


def _other_key(
    prospect: Prospect, policy: HostPolicy | None, taken: tuple[bytes, ...], now: datetime
) -> PathFault | None:
    """Return the fault of a path if OpenSSL takes a wrong issuer: one with a different key.

    OpenSSL chooses an issuer by its name and key identifiers, before it verifies a signature
    (crypto/x509/x509_vfy.c, build_chain). If certificates have no key identifiers, OpenSSL can take
    a certificate with the name of the issuer that did not issue the one below.

    Args:
        prospect: the chain.
        policy: the policy of the clients; ``None`` for clients without one.
        taken: the path that OpenSSL would take if it considered only issuers that really signed.
        now: the time at which the chain is presented.
    """
    preference = _preference(prospect, policy, now)
    for below, above in pairwise(taken):
        fitting = [der for der in preference if der != below and _is_named(der, below)]
        if min(fitting, key=preference.__getitem__, default=above) != above:
            certificate = Certificate.from_der(below)
            issuer = short_name(read_facts(below).issuer)
            return PathFault(
                certificate,
                f"two authorities have the name {issuer}, and clients take the one that did not "
                f"sign {name_of(certificate)}",
                "remove that authority from the chain or from the file of `trust`, or use "
                "certificates with key identifiers",
            )
    return None


def _is_named(issuer: bytes, der: bytes) -> bool:
    """Return True if OpenSSL may take the certificate ``issuer`` as the issuer of ``der``.

    Compared are the names, the key identifier and the signature algorithm. Not checked: the
    signature.
    """
    above, below = read_facts(issuer), read_facts(der)
    if below.issuer is None or below.issuer != above.subject:
        return False
    with suppress(Exception):  # of many types: `path_fault` refuses what can't be read
        pair = Certificate.from_der(der), Certificate.from_der(issuer)
        return names_issuer(*pair) and signature_fits(*pair)
    return False


def _is_valid(der: bytes, now: datetime) -> bool:
    facts = read_facts(der)
    begin, end = facts.not_before, facts.not_after
    return begin is not None and end is not None and begin <= now + CLOCK_TOLERANCE and now < end
