"""Describe the issuer of a chain that clients reported, as a heading and sentences for pages.

The sentences separate facts from the claims in the certificates. The verdict of the pins comes
before anything about the issuer (see ``chain_check``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from certpin_watch.chain_check import ChainIssuer, ChainVerdict, IssuerKind

_TITLES: dict[IssuerKind, str] = {
    "pinned": "{}: the pins accept this chain",
    "usual": "{}: the usual issuer, but no certificate of the chain is pinned",
    "trusted": "{}: below a root that the pin file trusts",
    "public": "{}: a public authority",
    "inspection": "It calls itself {}, which inspects TLS",
    "debugging": "It calls itself {}, a debugging proxy",
    "self-signed": "{}: self-signed",
    "private": "{}: a private authority that nothing here trusts",
    "none": "No chain was reported",
}

_CLAIM = "This is only a claim of the certificate: anyone can put this name into one."

_VERDICTS: dict[ChainVerdict, tuple[str, ...]] = {
    "issued": (
        "No version of the pins accepts it.",
        "An authority did issue it for this host: it may be an attack.",
    ),
    "refused": ("No version of the pins accepts it.",),
}

# The meaning of each kind, a sentence a line.
_MEANING: dict[IssuerKind, str] = {
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
    "none": "The reports contained no certificates.",
}


def issuer_title(issuer: ChainIssuer) -> str:
    """Return a heading about the issuer of a chain, with its name or that of a product.

    The name of an inspecting or debugging product is preferred, if the chain names one.
    """
    return _TITLES[issuer.kind].format(issuer.product or issuer.name)


def issuer_sentences(issuer: ChainIssuer, verdict: ChainVerdict) -> tuple[str, ...]:
    """Return sentences for users about a chain with this issuer.

    ``verdict`` is the verdict of the pins on the chain, from ``ChainJudge.verdict``.
    """
    forged = (
        f"FORGED: {subject} names {named} as its issuer, and that key did not sign it."
        for subject, named in issuer.forged
    )
    meaning = _MEANING[issuer.kind].strip().splitlines()
    return (*_VERDICTS.get(verdict, ()), *forged, *meaning)
