"""Check a chain that clients reported: do the pins accept it, and did an authority issue it?

Alerts, pages and the API all use ``ChainJudge``, so that they agree. ``issuer_of`` returns the
issuer of a chain, which pages show beside the verdict. The issuer never decides the verdict: the
authority that issues your certificates can issue one to an attacker. Nor does its name prove
anything, because anyone can make a certificate with any name: only a chain of valid signatures to a
known root identifies the issuer.

A client can report any chain. But only an authority can issue a chain that leads to a trusted root:
a root of this machine, or an anchor in the pin file. If an authority issued a certificate for the
host, and no pin accepts the chain, that is critical, however few clients report it.

Not checked: revocation, Certificate Transparency, and whether a server ever used the certificate.
So a false report can contain an old certificate of the host from a public log, if the certificate
is still valid.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

from certpin.errors import HostError
from certpin.pins import pins_of, verify
from certpin.x509 import Chain
from certpin.x509.certificate import without_deprecations
from certpin.x509.chain import Signature, chain_paths, public_roots, read_facts, short_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cryptography import x509
    from cryptography.x509.verification import Store

    from certpin.pins import HostPolicy
    from certpin.x509 import Certificate
    from certpin.x509.chain import ChainPath, PathCertificate
    from certpin_watch.snapshot import MonitoredPinSet

_MAX_CHAIN = 12  # certificates of a chain that are checked
_MAX_PATH = 6  # certificates of a path: those of the web have three or four
# Cached verdicts: three times as many as one evaluation needs. Each keeps its chain (200 kB).
_CACHE_SIZE = 1000
_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)  # for policies that don't expire

# `accepted`: a live version of the pins accepts the chain. `issued`: none does, and an authority
# issued it for this host. `refused`: neither. `unknown`: no chain, or no pin set covers the host.
ChainVerdict = Literal["accepted", "issued", "refused", "unknown"]


@dataclass(frozen=True)
class ChainJudge:
    """Checks chains that clients reported against the pins in the pin files.

    Older versions of the pin sets that clients may still hold count, too. The current time ``now``
    decides which versions these are. The roots of this machine are read once, at the first verdict.
    """

    sets: tuple[MonitoredPinSet, ...]
    now: datetime

    def verdict(
        self, host: str, chain: tuple[bytes, ...], since: datetime | None = None
    ) -> ChainVerdict:
        """Return the verdict of the pins on a chain that clients reported.

        If several pin sets cover the host, it is enough that one of them accepts the chain, because
        its key then belongs to the host's operator. Whether pins have expired is not checked.

        Args:
            host: the host that the reports name.
            chain: DER certificates, leaf first. The root can be missing.
            since: when the first report of the chain arrived, by this machine's clock; by default
                now.

        Returns:
            "accepted", "issued" (refused, but an authority issued it for the host), "refused", or
            "unknown" (no chain, or no pins for the host).
        """
        policies = self._policies(host)
        if not policies or not chain:
            return "unknown"
        chain = chain[:_MAX_CHAIN]
        if _accepts(chain, policies, self._roots):
            return "accepted"
        for policy in policies:
            roots = policy.trust.der if policy.trust is not None else self._public_roots
            if is_issued_for(chain, host, roots, since or self.now, self.now):
                return "issued"
        return "refused"

    def _policies(self, host: str) -> tuple[HostPolicy, ...]:
        """Return the policies of a host in the pin files and in all versions that clients may hold.

        They are returned without expiry dates, because an expired pin still identifies a key of the
        operator. The result is empty if no pin set covers the host.
        """
        found: dict[HostPolicy, None] = {}
        for monitored in self.sets:
            try:
                if monitored.pins.policy_for(host) is None:
                    continue
                versions = (monitored.pins, *(old.pins for old in monitored.alive(self.now)))
                policies = (pins.policy_for(host) for pins in versions)
            except HostError:
                return ()
            found |= {replace(policy, expires=None): None for policy in policies if policy}
        return tuple(found)

    @cached_property
    def _public_roots(self) -> tuple[bytes, ...]:
        return public_roots()

    @cached_property
    def _roots(self) -> tuple[bytes, ...]:
        """The roots of the pin files and of this machine, with which reported chains are completed.

        A reported chain often lacks its root: servers don't send it, and a client that could not
        verify the chain reports it as the server sent it. The root is needed because it is possibly
        the pinned certificate.
        """
        policies = (policy for monitored in self.sets for policy in monitored.pins.policies)
        named = (der for policy in policies if policy.trust for der in policy.trust.der)
        return tuple(dict.fromkeys((*named, *self._public_roots)))


def is_issued_for(
    chain: tuple[bytes, ...],
    host: str,
    roots: tuple[bytes, ...],
    since: datetime,
    until: datetime | None = None,
) -> bool:
    """Return True if a trusted authority issued the chain for ``host``.

    That is true if the chain leads to a trusted root at some time from ``since`` to ``until``.
    Signatures, names, dates and constraints are checked (RFC 5280, CA/Browser Forum).

    Args:
        chain: DER certificates, leaf first.
        host: the host that the reports name.
        roots: DER certificates of the trusted roots.
        since: when the first report of the chain arrived, by this machine's clock. The time in a
            report is not used: its sender could choose a time at which an old certificate was
            valid.
        until: the end of the period in which the chain was reported; by default ``since``. Because
            the chain has to be valid only at some time in this period, two kinds of certificates
            are still recognised: one that has expired since the first report; and, if this
            machine's clock is slow, one that became valid after the first report.
    """
    begin, end = int(since.timestamp()), int((until or since).timestamp())
    dates = {*_dates_of_path(chain), *_trusted(roots).dates}
    times = [date for date in dates if begin < date <= end]
    times.append(max((date for date in dates if date <= begin), default=0))
    return any(_verifies_at(chain, host, roots, time) for time in sorted(times, reverse=True))


def signed_path(chain: tuple[bytes, ...], roots: tuple[bytes, ...] = ()) -> Chain | None:
    """Return the certification path of a chain: from the leaf up, each signed by the next one.

    The last certificate of the path is one that no other certificate in the chain or in ``roots``
    signed. But the path ends earlier, before a certificate that can't be read. Certificates that
    are not on the path are left out: they prove nothing (CVE-2016-2402).

    Args:
        chain: DER certificates, leaf first.
        roots: DER certificates of roots with which the path can continue after those of the chain.

    Returns:
        The path; None if the leaf can't be read.
    """
    found: list[Certificate] = []
    for place in _signed_certificates(chain, roots):
        if place.facts.certificate is None:
            break
        found.append(place.facts.certificate)
    return Chain(tuple(found)) if found else None


@lru_cache(maxsize=_CACHE_SIZE)
def _accepts(
    chain: tuple[bytes, ...], policies: Sequence[HostPolicy], roots: tuple[bytes, ...]
) -> bool:
    """Return True if at least one of a host's policies (its pins) accepts a reported chain.

    Only the signed certification path from the leaf is checked. If any policy marks a key of the
    path as compromised, the result is False: otherwise the policy of an older pin-set version,
    which doesn't have the mark, would accept a chain with the stolen key.

    Args:
        chain: DER certificates, leaf first.
        policies: the policies of the host in the pin files, and in older versions of the pin sets.
        roots: DER certificates of roots that can complete the chain.
    """
    path = signed_path(chain, roots)
    if path is None or _has_compromised_key(path, policies):
        return False
    return any(
        verify(path, policy, _ANY_TIME, pins_only=True).reason == "match" for policy in policies
    )


def _has_compromised_key(path: Chain, policies: Sequence[HostPolicy]) -> bool:
    pins = (pin for policy in policies for pin in policy.pins)
    compromised = {pin.pin for pin in pins if pin.state == "compromised"}
    return any(
        pin in compromised for certificate in path.certificates for pin in pins_of(certificate)
    )


@lru_cache(maxsize=_CACHE_SIZE)
def _verifies_at(chain: tuple[bytes, ...], host: str, roots: tuple[bytes, ...], time: int) -> bool:
    """Return True if the chain leads to a trusted root at ``time`` (seconds since 1970).

    The results are cached. The result can change only when the validity of a certificate begins or
    ends. So ``time`` must be such a time: then a few cached results are enough for all times.

    Args:
        chain: the certificates that a server sent, as DER, the leaf first.
        host: the host that the leaf must be valid for.
        roots: the trusted roots, as DER.
        time: the time of the check.
    """
    from cryptography.x509.verification import PolicyBuilder

    store, path = _trusted(roots).store, _path_without_repeats(chain)
    if store is None or not path:
        return False
    at = datetime.fromtimestamp(time, UTC).replace(tzinfo=None)
    builder = PolicyBuilder().store(store).time(at)
    try:
        verifier = builder.max_chain_depth(_MAX_PATH).build_server_verifier(_subject(host))
        verifier.verify(path[0], path[1:])
    except Exception:  # noqa: BLE001  # a hostile chain must not stop the evaluation of the others
        return False
    return True


@lru_cache(maxsize=_CACHE_SIZE)
def _dates_of_path(chain: tuple[bytes, ...]) -> tuple[int, ...]:
    return tuple(_dates(_path_without_repeats(chain)))


def _dates(certificates: Iterable[x509.Certificate]) -> Iterable[int]:
    """Yield when the validity of each certificate begins, and the first second after its end.

    Only at these times can the result of verifying a chain change. They are in seconds since 1970.
    A certificate with an unreadable date is left out.
    """
    for certificate in certificates:
        with suppress(ValueError, OverflowError):  # an unreadable date: no verifier accepts it
            yield int(certificate.not_valid_before_utc.timestamp())
            yield int(certificate.not_valid_after_utc.timestamp()) + 1


def _path_without_repeats(chain: tuple[bytes, ...]) -> list[x509.Certificate]:
    """Return the certificates from the leaf up, each signed by the next, with no subject twice.

    The certification path ends before a subject that is already in it. With repeated subjects, the
    verifier would try every possible order: with ten certificates that all sign each other, it
    would never end.
    """
    found: list[x509.Certificate] = []
    names: set[str | None] = set()
    for place in islice(_signed_certificates(chain), _MAX_PATH):
        if place.facts.parsed is None or place.facts.subject in names:
            break
        found.append(place.facts.parsed)
        names.add(place.facts.subject)
    return found


def _signed_certificates(
    chain: tuple[bytes, ...], roots: tuple[bytes, ...] = ()
) -> Iterator[PathCertificate]:
    """Yield the certificates of a chain from the leaf up, up to a signature that is not good.

    The first certificate that the next one did not sign is the last that is yielded.

    Args:
        chain: the certificates as they were sent, in DER.
        roots: root certificates, in DER, that may have signed the last certificate of the chain.
    """
    from certpin.x509.chain import Signature, chain_paths

    for place in chain_paths(chain, roots)[0].certificates if chain else ():
        yield place
        if place.above is not Signature.GOOD:
            return


def _subject(host: str) -> x509.DNSName | x509.IPAddress:
    from cryptography.x509 import DNSName, IPAddress

    try:
        return IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return DNSName(host)


class _Trusted(NamedTuple):
    """The trusted roots, in the form that the library ``cryptography`` needs to verify chains.

    ``store`` is cryptography's object with the roots, and None if no root can be read. Roots that
    can't be read are left out. ``dates`` are the times at which the validity of a root begins or
    ends, in seconds since 1970: the result of a verification can change only at these times.
    """

    store: Store | None
    dates: tuple[int, ...]


@lru_cache(maxsize=64)
def _trusted(roots: tuple[bytes, ...]) -> _Trusted:
    from cryptography.x509 import load_der_x509_certificate
    from cryptography.x509.verification import Store

    found = []
    with without_deprecations():
        for der in roots:
            with suppress(ValueError):  # an old root that cryptography does not read
                found.append(load_der_x509_certificate(der))
        return _Trusted(Store(found) if found else None, tuple(_dates(found)))


# The issuer of a chain.

# `pinned`: a live version of the pins accepts the chain; the only kind that is shown in green.
# `usual`: the keys that the monitor sees sign it, but no pin accepts it. `trusted`: it leads to a
# root of the pin file. `public`: it leads to a root of this machine. `inspection`, `debugging`: it
# names such a product. `none`: no chain was reported.
IssuerKind = Literal[
    "pinned", "usual", "trusted", "public", "inspection", "debugging", "self-signed", "private",
    "none",
]  # fmt: skip

# Names that products put into the certificates that they make, from their documentation and from
# user reports. Anyone can put them into a certificate.
_INSPECTING = {
    "avast": "Avast", "avg web/mail": "AVG", "barracuda": "Barracuda", "bitdefender": "Bitdefender",
    "blue coat": "Blue Coat", "check point": "Check Point", "cisco umbrella": "Cisco Umbrella",
    "cloudflare for teams": "Cloudflare Gateway", "gateway ca - cloudflare": "Cloudflare Gateway",
    "eset ssl": "ESET", "forcepoint": "Forcepoint", "fortigate": "Fortinet", "fortinet": "Fortinet",
    "kaspersky": "Kaspersky", "lightspeed": "Lightspeed", "mcafee web gateway": "McAfee",
    "menlo security": "Menlo Security", "netskope": "Netskope", "palo alto": "Palo Alto Networks",
    "pfsense": "pfSense", "securly": "Securly", "sophos": "Sophos", "sonicwall": "SonicWall",
    "squid": "Squid", "symantec web": "Symantec", "untangle": "Untangle",
    "watchguard": "WatchGuard", "zscaler": "Zscaler",
}  # fmt: skip
_DEBUGGING = {
    "burp": "Burp Suite", "charles proxy": "Charles", "do_not_trust_fiddlerroot": "Fiddler",
    "fiddler": "Fiddler", "http toolkit": "HTTP Toolkit", "mitmproxy": "mitmproxy",
    "owasp": "OWASP ZAP", "portswigger": "Burp Suite", "proxyman": "Proxyman",
    "reqable": "Reqable", "zed attack proxy": "OWASP ZAP",
}  # fmt: skip


@dataclass(frozen=True)
class ChainIssuer:
    """The issuer of a chain, and how it is known. ``web.chain_issuer`` has the sentences about it.

    Attributes:
        kind: how the issuer is known, such as "public" or "self-signed".
        name: the name that the issuer gives itself; empty if there is no chain.
        product: the inspecting or debugging product that the chain names; empty if there is none.
            This is a claim: any certificate can have this name.
        forged: certificates that the issuer which they name did not sign: pairs of the subject and
            the named issuer.
    """

    kind: IssuerKind
    name: str = ""
    product: str = ""
    forged: tuple[tuple[str, str], ...] = ()


def issuer_of(
    chain: tuple[bytes, ...],
    expected: tuple[bytes, ...] = (),
    anchors: tuple[bytes, ...] = (),
    verdict: ChainVerdict = "unknown",
) -> ChainIssuer:
    """Return the issuer of a reported chain, and how it is known.

    Not checked: dates and host names.

    Args:
        chain: DER certificates, leaf first.
        expected: the certification path that the monitor verified for the host, as DER, leaf first;
            empty if there is none.
        anchors: the roots that the pin file names for the host, as DER.
        verdict: the verdict of the pins on the chain, from ``ChainJudge.verdict``: "accepted",
            "issued", "refused" or "unknown".
    """
    if not chain:
        return ChainIssuer("none")
    path = chain_paths(chain, (*anchors, *public_roots()))[0]
    unsigned = [place.facts for place in path.certificates if place.above is Signature.BAD]
    return ChainIssuer(
        "pinned" if verdict == "accepted" else _kind(path, chain, expected, anchors),
        short_name(read_facts(chain[0]).issuer),
        _named(path, _DEBUGGING) or _named(path, _INSPECTING),
        tuple((short_name(facts.subject), short_name(facts.issuer)) for facts in unsigned),
    )


def _kind(
    path: ChainPath,
    chain: tuple[bytes, ...],
    expected: tuple[bytes, ...],
    anchors: tuple[bytes, ...],
) -> IssuerKind:
    signed = [below.above is Signature.GOOD for below in path.certificates[:-1]]
    keys = {read_facts(der).pin for der in expected[1:]}
    if signed and signed[0] and path.certificates[1].facts.pin in keys:
        return "usual"
    if path.trusted:
        top = path.certificates[-1].facts.sha256
        return "trusted" if top in {read_facts(der).sha256 for der in anchors} else "public"
    if _named(path, _DEBUGGING):
        return "debugging"
    if _named(path, _INSPECTING):
        return "inspection"
    leaf = read_facts(chain[0])
    return "self-signed" if leaf.issuer == leaf.subject else "private"


def _named(path: ChainPath, products: dict[str, str]) -> str:
    claimed = "\n".join(
        f"{place.facts.subject or ''}\n{place.facts.issuer or ''}" for place in path.certificates
    ).lower()
    return next((product for name, product in products.items() if name in claimed), "")
