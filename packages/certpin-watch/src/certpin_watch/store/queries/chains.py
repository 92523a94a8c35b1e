"""TODO: one docstring."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Literal

import msgspec
from sqlalchemy import select

from certpin.errors import CertificateParseError
from certpin.pins import pins_of
from certpin.x509 import Certificate, Chain, printable
from certpin.x509.chain import Signature, chain_paths, read_facts, short_name
from certpin_watch.store.chains import read_chains
from certpin_watch.store.queries.base import hexadecimal, to_datetime_or_none
from certpin_watch.store.queries.chain_check import public_roots
from certpin_watch.store.tables.probes import CHAINS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from certpin.x509.chain import ChainPath
    from certpin_watch.store.queries.chain_check import Verdict


# Chains that are kept parsed, by the bytes of their certificates: a parsed one takes some ten times
# as much. What a digest is of never changes, so nothing here grows old.
_MOST_KEPT = 8 * 1024 * 1024
_MOST_NAMES = 100  # of one certificate that are told


class Issued(msgspec.Struct, frozen=True):
    """A certificate in words. ``problem`` is why it has none, where it makes no sense.

    Not checked: signatures, names and dates. ``names_left_out`` is how many more it has.
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
    """A chain, leaf first, as it was served, verified or reported: which of it is not told here."""

    digest: str
    certificates: tuple[Issued, ...]
    first_at: datetime | None = None


class _Kept:
    """The chains that were asked for last. Threads may share it."""

    def __init__(self, most: int) -> None:
        self._most = most
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
            while self._bytes > self._most and len(self._chains) > 1:
                _, (gone, _) = self._chains.popitem(last=False)
                self._bytes -= sum(map(len, gone))
        return chain


_KEPT = _Kept(_MOST_KEPT)


def parse_chain(ders: tuple[bytes, ...]) -> Chain | None:
    """The chain; ``None`` where one of its certificates is none."""
    try:
        return Chain.from_der(ders)
    except CertificateParseError:
        return None


def load_chains(connection: Connection, digests: Iterable[bytes]) -> dict[bytes, Chain | None]:
    """The chains that are kept, by digest; ``None`` for one that cannot be read."""
    wanted = set(digests)
    kept = {digest: _KEPT.get(digest) for digest in wanted}
    found = {digest: pair[1] for digest, pair in kept.items() if pair is not None}
    for digest, ders in read_chains(connection, wanted - found.keys()).items():
        found[digest] = _KEPT.put(digest, ders)
    return found


def load_der(connection: Connection, digest: bytes) -> tuple[bytes, ...] | None:
    """The certificates of a chain as DER, leaf first; ``None`` where it is not kept."""
    if kept := _KEPT.get(digest):
        return kept[0]
    found = read_chains(connection, [digest]).get(digest)
    if found is not None:
        _KEPT.put(digest, found)
    return found


def describe_chain(connection: Connection, digest: bytes) -> KeptChain | None:
    """A chain in words; ``None`` where it is not kept."""
    first_at = connection.execute(
        select(CHAINS.c.first_at).where(CHAINS.c.digest == digest)
    ).scalar_one_or_none()
    found = None if first_at is None else load_der(connection, digest)
    if found is None:
        return None
    return KeptChain(
        hexadecimal(digest),
        tuple(describe_certificate(each) for each in found),
        to_datetime_or_none(first_at),
    )


def describe_certificate(der: bytes) -> Issued:
    """One certificate in words. Never raises: what makes no sense is told as such."""
    import hashlib

    fingerprint = hashlib.sha256(der).hexdigest()
    try:
        return _issued(fingerprint, Certificate.from_der(der))
    except CertificateParseError as exc:
        return Issued(fingerprint, problem=printable(exc.problem))


def _issued(fingerprint: str, certificate: Certificate) -> Issued:
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
            names[:_MOST_NAMES],
            max(0, len(names) - _MOST_NAMES),
            certificate.not_before,
            certificate.not_after,
            certificate.self_issued,
        )
    except CertificateParseError as exc:
        return Issued(fingerprint, pin, certificate_pin, problem=printable(exc.problem))


# `pinned`: a live version of the pins accepts it; no other kind is shown in green. `usual`: the
# keys that the monitor sees sign it, too, and no pin accepts it. `public`: a root of this machine
# signs it. `inspection` and `debugging`: it names a product that does that. `nobody`: nothing was
# sent.
Kind = Literal[
    "pinned", "usual", "trusted", "public", "inspection", "debugging", "itself", "private", "nobody"
]

# Names that products put into the certificates that they make, as their documentation and users
# show them. Anybody can write them there.
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
    """Who issued a chain: a heading, and what is known and what is only said, in sentences.

    ``kind`` is what it comes to. ``name`` is what the issuer calls itself.
    """

    kind: Kind
    name: str
    title: str
    sentences: tuple[str, ...]


def describe_issuer(
    met: tuple[bytes, ...],
    expected: tuple[bytes, ...] = (),
    anchors: tuple[bytes, ...] = (),
    verdict: Verdict = "unknown",
) -> ChainIssuer:
    """Describe a chain, leaf first, beside the path that the monitor verified for its host.

    ``anchors`` are the roots that the pin file names for it, ``verdict`` is that of the pins
    (``facts.chain_check``). Dates and names of hosts are not checked here: a picture shows them.
    """
    if not met:
        title = "No chain was reported"
        return ChainIssuer("nobody", "", title, ("The reports had no certificates in them.",))
    path = chain_paths(met, (*anchors, *public_roots()))[0]
    name = short_name(read_facts(met[0]).issuer)
    kind = "pinned" if verdict == "accepted" else _kind(path, met, expected, anchors)
    title = _TITLES[kind].format(_product(path) or name)
    return ChainIssuer(kind, name, title, (*_VERDICTS.get(verdict, ()), *_sentences(kind, path)))


def _kind(
    path: ChainPath, met: tuple[bytes, ...], expected: tuple[bytes, ...], anchors: tuple[bytes, ...]
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
    return "itself" if read_facts(met[0]).issuer == read_facts(met[0]).subject else "private"


_TITLES: dict[Kind, str] = {
    "pinned": "{}: the pins accept this chain",
    "usual": "{}: the usual issuer, with a key that is not pinned",
    "trusted": "{}: below a root that the pin file trusts",
    "public": "{}: a public authority",
    "inspection": "It calls itself {}, which inspects TLS",
    "debugging": "It calls itself {}, a debugging proxy",
    "itself": "{}: it signed itself",
    "private": "{}: a private authority that nothing here trusts",
    "nobody": "{}",
}

_CLAIM = "That is the claim of the certificate alone: anybody can write this name into one."

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
Clients that refuse it hold another version, or refuse it for another reason: see what they report.
""",
    "usual": """
The authority above it is the one that the monitor sees, too. That does not make it yours: an \
authority may issue to an attacker who convinces it.
If your server was renewed with a new key, publish the pin of that key before it is served.
If it was not, look for it in the logs of Certificate Transparency, and have it revoked.
""",
    "trusted": """
It is signed up to a root that the pin file names, and not by the issuer of today.
Somebody who may issue below that root did: a renewal that nobody announced, or a theft.
""",
    "public": """
Its signatures lead up to a root in this machine's store: a client without pins would accept it.
Ask whoever renews certificates. If it was nobody of yours, that authority gave your name away.
Look for it in the logs of Certificate Transparency, and report it to the authority.
""",
    "inspection": f"""
{_CLAIM}
If it is true, a company, a school or a virus scanner reads along on these devices.
Their owners put its root there, and pins refuse it on purpose.
If the network that reports it is one of yours, have the host exempted from inspection.
""",
    "debugging": f"""
{_CLAIM}
If it is true, somebody looks into the traffic of the app on a device of their own.
Few reports from one network are most often that; many are not.
""",
    "itself": """
No authority stands behind it.
A router, a captive portal, a server set up in haste and an attacker look all alike here.
""",
    "private": """
No root of this machine and none of the pin file signs it.
A client without pins refuses it, too, unless that authority was installed on the device.
An inspecting proxy, a captive portal and an attacker all look like this.
""",
    "nobody": "",
}


def _sentences(kind: Kind, path: ChainPath) -> tuple[str, ...]:
    broken = [place for place in path.certificates if place.above is Signature.BAD]
    forged = (
        f"FORGED: {short_name(each.facts.subject)} names {short_name(each.facts.issuer)} as its "
        "issuer, and that key did not sign it."
        for each in broken
    )
    return (*forged, *_MEANING[kind].strip().splitlines())


def _product(path: ChainPath) -> str:
    return _named(path, _DEBUGGING) or _named(path, _INSPECTING)


def _named(path: ChainPath, products: dict[str, str]) -> str:
    said = "\n".join(
        f"{place.facts.subject or ''}\n{place.facts.issuer or ''}" for place in path.certificates
    ).lower()
    return next((product for name, product in products.items() if name in said), "")
