"""Describe a chain that clients met: the verdict of the pins, then signatures, then names.

A name in a certificate is the claim of whoever made it. Signatures are checked; whether a name is
that of its bearer is not, and cannot be: only a root that is known says who somebody is.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from certpin.lab.upstream import platform_roots
from certpin.x509.chain import Signature, chain_paths, read_facts, short_name

if TYPE_CHECKING:
    from certpin.x509.chain import ChainPath
    from certpin_watch.queries.chain_check import Verdict

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
class Origin:
    """Who issued a chain: a heading, and what is known and what is only said, in sentences.

    ``kind`` is what it comes to. ``name`` is what the issuer calls itself.
    """

    kind: Kind
    name: str
    title: str
    sentences: tuple[str, ...]


def origin(
    met: tuple[bytes, ...],
    expected: tuple[bytes, ...] = (),
    anchors: tuple[bytes, ...] = (),
    verdict: Verdict = "unknown",
) -> Origin:
    """Describe a chain, leaf first, beside the path that the monitor verified for its host.

    ``anchors`` are the roots that the pin file names for it, ``verdict`` is that of the pins
    (``facts.chain_check``). Dates and names of hosts are not checked here: a picture shows them.
    """
    if not met:
        title = "No chain was reported"
        return Origin("nobody", "", title, ("The reports had no certificates in them.",))
    path = chain_paths(met, (*anchors, *public_roots()))[0]
    name = short_name(read_facts(met[0]).issuer)
    kind = "pinned" if verdict == "accepted" else _kind(path, met, expected, anchors)
    title = _TITLES[kind].format(_product(path) or name)
    return Origin(kind, name, title, (*_VERDICTS.get(verdict, ()), *_sentences(kind, path)))


@cache
def public_roots() -> tuple[bytes, ...]:
    """The roots that this machine trusts, as DER. It has them from its maker, not from certpin."""
    pem = platform_roots().decode("ascii", "replace")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    blocks = [part.partition(end)[0] for part in pem.split(begin)[1:]]
    found = []
    for block in blocks:
        try:
            found.append(ssl.PEM_cert_to_DER_cert(f"{begin}{block}{end}\n"))
        except ValueError:  # half a block is no root
            continue
    return tuple(dict.fromkeys(found))


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
