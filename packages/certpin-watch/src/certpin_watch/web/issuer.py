"""Describe the issuer of a chain from reports, as headings and sentences for pages.

The name of an issuer in a certificate proves nothing, because anyone can make a certificate with
any name. Only a chain of valid signatures to a known root identifies the issuer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from certpin.x509.chain import Signature, chain_paths, public_roots, read_facts, short_name

if TYPE_CHECKING:
    from certpin.x509.chain import ChainPath
    from certpin_watch.chain_check import Verdict

# `pinned`: a live version of the pins accepts the chain; the only kind that is shown in green.
# `usual`: the keys that the monitor sees sign it, but no pin accepts it. `trusted`: it leads to a
# root of the pin file. `public`: it leads to a root of this machine. `inspection`, `debugging`: it
# names such a product. `none`: no chain was reported.
Kind = Literal[
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
