"""Read, cache and describe stored chains; describe the issuer of a chain from reports.

The name of an issuer in a certificate proves nothing, because anyone can make a certificate with
any name. Only a chain of valid signatures to a known root identifies the issuer.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Literal

import msgspec
from sqlalchemy import select

from certpin.errors import CertificateParseError
from certpin.pins import pins_of
from certpin.rotation.prospect import judge
from certpin.support.text import printable
from certpin.x509 import Certificate, Chain
from certpin.x509.chain import Signature, chain_paths, public_roots, read_facts, short_name
from certpin_watch.store.chains import read_chains
from certpin_watch.store.queries import hexadecimal, to_datetime_or_none
from certpin_watch.store.tables.observations import CHAINS, LATEST, SIGHTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from certpin.x509.chain import ChainPath
    from certpin_watch.chain_check import Verdict
    from certpin_watch.snapshot import Snapshot

_CACHE_SIZE = 8 * 1024 * 1024  # bytes of DER: a parsed chain takes some ten times as much
_MAX_NAMES = 100  # of one certificate
_MAX_PATHS = 50  # sightings that are considered for the expected path

# `pinned`: a live version of the pins accepts the chain; the only kind that is shown in green.
# `usual`: the keys that the monitor sees sign it, but no pin accepts it. `trusted`: it leads to a
# root of the pin file. `public`: it leads to a root of this machine. `inspection`, `debugging`: it
# names such a product. `none`: no chain was reported.
Kind = Literal[
    "pinned", "usual", "trusted", "public", "inspection", "debugging", "self-signed", "private",
    "none",
]  # fmt: skip


class Issued(msgspec.Struct, frozen=True):
    """The fields of a certificate as text, for pages and the API.

    Not checked: signatures, names and dates. If the certificate can't be read, ``problem`` is the
    reason, and the other fields are empty. ``names_left_out`` is the number of further DNS names,
    beyond those in ``names``.
    """

    sha256: str
    pin: str = ""
    certificate_pin: str = ""
    subject: str = ""
    issuer: str = ""
    serial_number: str = ""
    key: str = ""
    names: tuple[str, ...] = ()
    names_left_out: int = 0
    not_before: datetime | None = None
    not_after: datetime | None = None
    self_issued: bool = False
    problem: str = ""


class KeptChain(msgspec.Struct, frozen=True):
    """A certificate chain in the database, as text, leaf first.

    It is a chain that a server sent, that a probe verified, or that a client reported.
    """

    digest: str
    certificates: tuple[Issued, ...]
    first_at: datetime | None = None


@dataclass(frozen=True)
class ChainIssuer:
    """A description of the issuer of a chain, for users.

    Attributes:
        kind: how the issuer is known, such as "public" or "self-signed".
        name: the name that the issuer gives itself.
        title: a heading.
        sentences: the explanation. It separates facts from the claims in the certificate.
    """

    kind: Kind
    name: str
    title: str
    sentences: tuple[str, ...]


class _ChainCache:
    """A cache of chains that were read from the database, by digest. Thread-safe.

    Each entry has the DER certificates and the parsed chain. Entries never become stale, because
    the digest determines the chain. If the certificates in the cache have more than ``max_bytes``,
    the chains that were used least recently are removed.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._chains: OrderedDict[bytes, tuple[tuple[bytes, ...], Chain | None]] = OrderedDict()
        self._bytes = 0

    def get(self, digest: bytes) -> tuple[tuple[bytes, ...], Chain | None] | None:
        with self._lock:
            found = self._chains.get(digest)
            if found is not None:
                self._chains.move_to_end(digest)
            return found

    def put(self, digest: bytes, ders: tuple[bytes, ...]) -> Chain | None:
        chain = parse_chain(ders)
        with self._lock:
            if digest not in self._chains:
                self._chains[digest] = (ders, chain)
                self._bytes += sum(map(len, ders))
            while self._bytes > self._max_bytes and len(self._chains) > 1:
                _, (removed, _) = self._chains.popitem(last=False)
                self._bytes -= sum(map(len, removed))
        return chain


_CACHE = _ChainCache(_CACHE_SIZE)


def load_chains(connection: Connection, digests: Iterable[bytes]) -> dict[bytes, Chain | None]:
    """Return stored chains, parsed, by digest. The value of a chain that can't be parsed is None.

    Chains that are not stored are left out.
    """
    wanted = set(digests)
    cached = {digest: _CACHE.get(digest) for digest in wanted}
    found = {digest: entry[1] for digest, entry in cached.items() if entry is not None}
    for digest, ders in read_chains(connection, wanted - found.keys()).items():
        found[digest] = _CACHE.put(digest, ders)
    return found


def load_der(connection: Connection, digest: bytes) -> tuple[bytes, ...] | None:
    """Return the certificates of a stored chain as DER, leaf first; None if it isn't stored."""
    if cached := _CACHE.get(digest):
        return cached[0]
    found = read_chains(connection, [digest]).get(digest)
    if found is not None:
        _CACHE.put(digest, found)
    return found


def parse_chain(ders: tuple[bytes, ...]) -> Chain | None:
    """Parse the DER certificates of a chain; return None if one of them is invalid."""
    try:
        return Chain.from_der(ders)
    except CertificateParseError:
        return None


def expected_path(
    connection: Connection, snapshot: Snapshot, now: datetime, host: str
) -> tuple[bytes, ...]:
    """Return the verified path of a host, as probes currently observe it.

    If the locations observe different paths, a path that the pins accept is preferred, because an
    attacker is possibly between a location and the host. Among equals, the newest is returned.

    Returns:
        DER certificates, leaf first. Empty if no location has a current result with a verified
        path.
    """
    columns = SIGHTINGS.c
    statement = select(columns.verified).where(LATEST, columns.host == host)
    statement = statement.where(columns.verified != b"").order_by(columns.last_at.desc())
    rows = connection.execute(statement.limit(_MAX_PATHS)).scalars()
    digests = list(dict.fromkeys(map(bytes, rows)))
    if len(digests) > 1:
        pinned = _accepted_paths(connection, snapshot, now, host, digests)
        digests.sort(key=lambda digest: digest not in pinned)
    return load_der(connection, digests[0]) or () if digests else ()


def _accepted_paths(
    connection: Connection, snapshot: Snapshot, now: datetime, host: str, digests: list[bytes]
) -> set[bytes]:
    policies = [policy for _, policy in snapshot.policies_of(host)]
    paths = load_chains(connection, digests)
    return {
        digest
        for digest, path in paths.items()
        if any(path and judge(path, policy, now).reason == "match" for policy in policies)
    }


def describe_chain(connection: Connection, digest: bytes) -> KeptChain | None:
    """Return a stored chain with its certificates as text; None if it isn't stored."""
    first_at = connection.execute(
        select(CHAINS.c.first_at).where(CHAINS.c.digest == digest)
    ).scalar_one_or_none()
    found = None if first_at is None else load_der(connection, digest)
    if found is None:
        return None
    certificates = tuple(describe_certificate(der) for der in found)
    return KeptChain(hexadecimal(digest), certificates, to_datetime_or_none(first_at))


def describe_certificate(der: bytes) -> Issued:
    """Return a certificate as text. If it can't be read, ``problem`` of the result is set."""
    fingerprint = hashlib.sha256(der).hexdigest()
    try:
        certificate = Certificate.from_der(der)
    except CertificateParseError as exc:
        return Issued(fingerprint, problem=printable(exc.problem))
    pin, certificate_pin = map(str, pins_of(certificate))
    try:
        names = certificate.names
        return Issued(
            fingerprint,
            pin,
            certificate_pin,
            certificate.subject,
            certificate.issuer,
            f"{certificate.serial_number:x}",
            certificate.key,
            names[:_MAX_NAMES],
            max(0, len(names) - _MAX_NAMES),
            certificate.not_before,
            certificate.not_after,
            certificate.self_issued,
        )
    except CertificateParseError as exc:
        return Issued(fingerprint, pin, certificate_pin, problem=printable(exc.problem))


def describe_issuer(
    chain: tuple[bytes, ...],
    expected: tuple[bytes, ...] = (),
    anchors: tuple[bytes, ...] = (),
    verdict: Verdict = "unknown",
) -> ChainIssuer:
    """Return a description of the issuer of a reported chain, for users.

    Not checked: dates and host names.

    Args:
        chain: DER certificates, leaf first.
        expected: the path that the monitor verified for the host, leaf first.
        anchors: the roots that the pin file names for the host.
        verdict: the verdict of the pins on the chain, from ``ChainJudge.verdict``: "accepted",
            "issued", "refused" or "unknown".
    """
    if not chain:
        title = "No chain was reported"
        return ChainIssuer("none", "", title, ("The reports contained no certificates.",))
    path = chain_paths(chain, (*anchors, *public_roots()))[0]
    name = short_name(read_facts(chain[0]).issuer)
    kind = "pinned" if verdict == "accepted" else _kind(path, chain, expected, anchors)
    title = _TITLES[kind].format(_product(path) or name)
    return ChainIssuer(kind, name, title, (*_VERDICTS.get(verdict, ()), *_sentences(kind, path)))


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

_TITLES: dict[Kind, str] = {
    "pinned": "{}: the pins accept this chain",
    "usual": "{}: the usual issuer, with a key that is not pinned",
    "trusted": "{}: below a root that the pin file trusts",
    "public": "{}: a public authority",
    "inspection": "It calls itself {}, which inspects TLS",
    "debugging": "It calls itself {}, a debugging proxy",
    "self-signed": "{}: self-signed",
    "private": "{}: a private authority that nothing here trusts",
    "none": "{}",
}

_CLAIM = "This is only a claim of the certificate: anyone can put this name into one."

# The verdict of the pins comes before anything about the issuer.
_VERDICTS: dict[Verdict, tuple[str, ...]] = {
    "issued": (
        "No version of the pins accepts it.",
        "An authority did issue it for this host: it may be an attack.",
    ),
    "refused": ("No version of the pins accepts it.",),
}

# The meaning of each kind, a sentence a line.
_MEANING: dict[Kind, str] = {
    "pinned": """
A version of the pins that clients may still hold accepts this path.
Clients that refuse it hold another version, or have another reason, which their reports name.
""",
    "usual": """
Its issuer is the one that the monitor sees. That does not make the certificate yours: an \
attacker may have convinced the authority.
If you renewed the certificate with a new key, publish the pin of that key before you deploy it.
If you did not, search the Certificate Transparency logs for it, and have it revoked.
""",
    "trusted": """
It is signed up to a root that the pin file names, but not by the current issuer.
It is an unannounced renewal, or a key that can issue below that root was misused or stolen.
""",
    "public": """
Its signatures lead to a root in this machine's store: a client without pins would accept it.
Ask the people who renew your certificates. If it is not theirs, the authority issued it to \
someone else.
Then search the Certificate Transparency logs for it, and report it to the authority.
""",
    "inspection": f"""
{_CLAIM}
If it is true, a company, a school or an antivirus program reads the traffic of these devices.
The device's owner installed its root, and pins refuse it on purpose.
If the reports come from your own network, have the host exempted from inspection.
""",
    "debugging": f"""
{_CLAIM}
If it is true, a person inspects the app's traffic on their own device.
A few reports from one network usually mean that; many reports do not.
""",
    "self-signed": """
No authority signed it.
A router, a captive portal, a misconfigured server and an attacker all look like this.
""",
    "private": """
No root of this machine and none of the pin file signs it.
A client without pins refuses it, too, unless that authority was installed on the device.
An inspecting proxy, a captive portal and an attacker all look like this.
""",
    "none": "",
}


def _kind(
    path: ChainPath,
    chain: tuple[bytes, ...],
    expected: tuple[bytes, ...],
    anchors: tuple[bytes, ...],
) -> Kind:
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


def _sentences(kind: Kind, path: ChainPath) -> tuple[str, ...]:
    facts = [place.facts for place in path.certificates if place.above is Signature.BAD]
    forged = (
        f"FORGED: {short_name(forged.subject)} names {short_name(forged.issuer)} as its "
        "issuer, and that key did not sign it."
        for forged in facts
    )
    return (*forged, *_MEANING[kind].strip().splitlines())


def _product(path: ChainPath) -> str:
    return _named(path, _DEBUGGING) or _named(path, _INSPECTING)


def _named(path: ChainPath, products: dict[str, str]) -> str:
    claimed = "\n".join(
        f"{place.facts.subject or ''}\n{place.facts.issuer or ''}" for place in path.certificates
    ).lower()
    return next((product for name, product in products.items() if name in claimed), "")
