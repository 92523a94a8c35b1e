"""The message of a refusal: the served chain, the expected pins, and advice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.pins.pin import Pin, pins_of
from certpin.pins.servers import join_address
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.pins.policy import HostPolicy
    from certpin.pins.verdict import Verdict
    from certpin.x509 import Certificate, Chain

_MAX_NAME = 200  # characters: a hostile subject may have 100 KiB, and a note any length


def explain(verdict: Verdict, host: str) -> str:
    """Return the failure in full: host, policy, every certificate of the path, every pin."""
    policy = verdict.policy
    path = _path(verdict.chain, fingerprints=bool(policy.certificates))
    return "\n".join([_headline(verdict, host), *path, *_pinned(policy)])


def advice(verdict: Verdict, host: str) -> str:
    """Return advice for the operator who reads the error."""
    return next(filter(None, (hint(verdict, host) for hint in _HINTS)))


def name_of(certificate: Certificate) -> str:
    """Return the first 200 characters of the subject, or a placeholder if it can't be read."""
    try:
        subject = certificate.subject or "(no subject)"
    except CertificateParseError:
        return "(a subject that cannot be read)"
    return shorten(subject)


def shorten(name: str) -> str:
    """Return the first 200 characters of a name. Certificates limit no length."""
    return name if len(name) <= _MAX_NAME else name[:_MAX_NAME] + "…"


def _headline(verdict: Verdict, host: str) -> str:
    policy = verdict.policy
    rule = f"policy {str(policy.pattern)!r} (mode {policy.mode}, match {policy.match})"
    if verdict.reason == "no-chain":
        return f"{host} refused: there is no verified chain to compare with its pins; {rule}"
    if verdict.reason == "expired":
        date = policy.expires.isoformat() if policy.expires else ""
        return f"{host} refused: its pins held until {date}; {rule}"
    if verdict.reason == "compromised-key":
        return f"{host} refused: its verified chain contains a key marked compromised; {rule}"
    return f"{host} refused: no certificate of its verified chain is pinned; {rule}"


def _path(chain: Chain | None, *, fingerprints: bool) -> Iterator[str]:
    if chain is None:
        return
    yield "  verified chain, leaf first:"
    for certificate in chain.certificates:
        key, fingerprint = pins_of(certificate)
        yield f"    {key}  {name_of(certificate)}"
        if fingerprints:
            yield f"    {fingerprint}"


def _pinned(policy: HostPolicy) -> Iterator[str]:
    yield "  pinned:"
    for entry in policy.pins:
        note = f"  ({printable(entry.note[:_MAX_NAME])})" if entry.note else ""
        yield f"    {entry.pin}  {entry.role}, {entry.state}{note}"


def _when_expired(verdict: Verdict, host: str) -> str | None:
    if verdict.reason != "expired":
        return None
    return "ship a newer pin set; if its pins are still in use, set a later `expires`"


def _when_no_chain(verdict: Verdict, host: str) -> str | None:
    if verdict.reason != "no-chain":
        return None
    return "connect with certificates: no anonymous suites, no pre-shared keys, no other sessions"


def _when_compromised(verdict: Verdict, host: str) -> str | None:
    served = next(
        (pin for pin in _pins_on_path(verdict) if pin in verdict.policy.compromised), None
    )
    if served is None:
        return None
    return (
        f"the server uses the key {served}, which is marked compromised: take it out of "
        "service on every server. If none of your servers uses it, treat this as an attack"
    )


def _when_removed(verdict: Verdict, host: str) -> str | None:
    removed = {entry.pin for entry in verdict.policy.pins if entry.state == "removed"}
    served = next((pin for pin in _pins_on_path(verdict) if pin in removed), None)
    if served is None:
        return None
    return (
        f"the server uses the key {served}, which is marked removed: "
        "install the certificate of a key that is pinned, or pin this one again"
    )


def _when_out_of_reach(verdict: Verdict, host: str) -> str | None:
    live = verdict.policy.live_pins
    if not any(pin in live for pin in _pins_on_path(verdict)):
        return None
    return (
        f'a pinned certificate is on the path, but match = "{verdict.policy.match}" leaves it out: '
        'write match = "any", or pin a certificate that it includes'
    )


def _when_another_root(verdict: Verdict, host: str) -> str | None:
    roots = [entry for entry in verdict.policy.pins if entry.role == "root" and entry.live]
    if not roots or verdict.chain is None:
        return None
    root = verdict.chain.certificates[-1]
    return (
        f"the path ended at the root {name_of(root)!r}, and another root is pinned. With a "
        "cross-signed intermediate there is more than one path: pin this root too, or let `trust` "
        "name a file with only the pinned root. If you know neither root, "
        f"treat it as an attack. {_compare(verdict, host)}"
    )


def _when_whole_certificates(verdict: Verdict, host: str) -> str | None:
    if any(pin.kind == "sha256" for pin in verdict.policy.live_pins):
        return None
    return (
        "whole certificates are pinned (cert-sha256), and each renewal invalidates such a pin: "
        f"pin the key instead. {_compare(verdict, host)}"
    )


def _otherwise(verdict: Verdict, host: str) -> str | None:
    return (
        "if the server's key was changed on purpose, ship a pin set that holds the new one; "
        f"if not, an attacker intercepts your connection to {host}: don't switch the check off. "
        f"{_compare(verdict, host)}"
    )


def _compare(verdict: Verdict, host: str) -> str:
    """Name the command that shows what the host serves elsewhere, on the port that it has there."""
    port = next((server.port for server in verdict.policy.servers), None)
    target = host if port is None or port == 443 else join_address(host, port)
    return f"Compare from another network: certpin pin {target}"


def _pins_on_path(verdict: Verdict) -> Iterator[Pin]:
    for certificate in verdict.chain.certificates if verdict.chain else ():
        yield from pins_of(certificate)


# The first that returns a text is the advice. The last one always does.
_HINTS: tuple[Callable[[Verdict, str], str | None], ...] = (
    _when_expired,
    _when_no_chain,
    _when_compromised,
    _when_removed,
    _when_out_of_reach,
    _when_another_root,
    _when_whole_certificates,
    _otherwise,
)


def in_days(days: int) -> str:
    """Return a number of days in words."""
    return "1 day" if days == 1 else f"{days} days"
