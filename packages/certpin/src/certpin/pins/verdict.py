"""Decide if a verified chain satisfies a policy at a given time, and explain the decision.

Pure: the same arguments give the same verdict. ``verify`` takes five steps, in this order:

1. Without a verified chain, the connection is refused. The caller passes the chain that OpenSSL
   verified, never the one that the server sent: comparing pins with that was CVE-2016-2402.
2. A path that ends at a trust anchor of the debug override (the pin file's debug section, used with
   ``CERTPIN_DEBUG=1``) is accepted without a pin. The verdict has the reason ``debug-anchor``.
3. A path with a key marked `compromised` is refused, at any position and whichever pins match,
   because an attacker may have the key. This step precedes expiry, so that `fail-open` doesn't
   accept such a path. In mode `report` the path is accepted and reported.
4. If the pins have expired, ``on_expiry`` decides. Otherwise a pin that is neither removed nor
   compromised must match a certificate of the path (RFC 7469 section 2.6). ``match`` of the policy
   selects the certificates that are compared.
5. If a pin matches and the policy requires Certificate Transparency, enough known logs must promise
   to publish the leaf (``certpin.pins.transparency``). If the list of logs is too old, too few
   promises are only reported.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NoReturn

from certpin.errors import PinMismatchError, PinSetExpiredError, TransparencyError
from certpin.pins.hosts import HostServer, bracketed, join_address, short_address
from certpin.pins.policy import Pin, pins_of
from certpin.pins.transparency import check_transparency
from certpin.support.text import printable
from certpin.x509 import MAX_SHOWN_NAME, name_of, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from certpin.pins.policy import HostPin, HostPolicy, Match
    from certpin.pins.transparency import Transparency
    from certpin.x509 import Certificate, Chain


Decision = Literal["refuse", "report", "accept"]
Reason = Literal[
    "match",
    "debug-anchor",
    "compromised-key",
    "expired",
    "mismatch",
    "too-few-scts",
    "no-chain",
]


@dataclass(frozen=True)
class Verdict:
    """The decision about a connection, and its reason.

    A verdict has no truth value, so that ``if verdict:`` can't be mistaken for a check.

    Attributes:
        decision: ``accept``, ``refuse``, or ``report``: accept the connection and report it.
        reason: the rule that decided, such as ``match``, ``mismatch`` or ``expired``.
        policy: the policy of the host.
        chain: the verified chain; ``None`` if there is none.
        matched: the pin that matched; ``None`` if no pin matched.
        certificate: the certificate that matched, or the one that is marked compromised; ``None``
            if there is neither.
        transparency: the result for the leaf's SCTs, the promises of logs; ``None`` unless a pin
            matched and the policy requires SCTs. If the reason is ``too-few-scts``, it has the
            explanation.
    """

    decision: Decision
    reason: Reason
    policy: HostPolicy
    chain: Chain | None
    matched: HostPin | None = None
    certificate: Certificate | None = None
    transparency: Transparency | None = None

    @property
    def is_finding(self) -> bool:
        """True if the connection should be reported: the decision is ``refuse`` or ``report``."""
        return self.decision != "accept"

    def raise_for_refusal(self, host: str, port: int = 0) -> None:
        """Raise an error if the decision is to refuse.

        Args:
            host: the name in the error's message.
            port: the port of the connection, for the advice; 0 if unknown.

        Raises:
            PinSetExpiredError: the pins have expired.
            TransparencyError: a pin matches, and the certificate has too few SCTs.
            PinMismatchError: no pin matches, a key is compromised, or there is no chain.
        """
        if self.decision != "refuse":
            return
        kind = _ERRORS.get(self.reason, PinMismatchError)
        fix = advice(self, host, port=port)
        raise kind(explain(self, host), verdict=self, host=host, fix=fix)

    def __bool__(self) -> NoReturn:
        raise TypeError("a verdict is not true or false: use its decision")


_ERRORS: dict[str, type[PinMismatchError | PinSetExpiredError | TransparencyError]] = {
    "expired": PinSetExpiredError,
    "too-few-scts": TransparencyError,
}


def verify(
    chain: Chain | None,
    policy: HostPolicy,
    now: datetime,
    *,
    debug_anchors: frozenset[bytes] = frozenset(),
    pins_only: bool = False,
) -> Verdict:
    """Decide if the verified chain of a connection satisfies the policy of the host.

    These are checked in this order: the debug anchors, keys marked compromised, the expiry of the
    pins, a match between a pin and a certificate of the chain, and the number of SCTs (promises of
    Certificate Transparency logs) if the policy requires them. Signatures, names and dates of the
    chain are not checked here: OpenSSL did that.

    Args:
        chain: the chain that OpenSSL verified. For ``None`` and for a chain without certificates,
            the decision is ``refuse`` in every mode, with the reason ``no-chain``.
        policy: the policy of the host.
        now: the time of the connection, with a time zone.
        debug_anchors: SHA-256 fingerprints of the trust anchors that are accepted without a pin.
        pins_only: True to skip the check of Certificate Transparency. Set this only for a planned
            chain that no authority has issued yet, which has no SCTs; never for a connection.

    Returns:
        The decision (accept, refuse, or accept and report) and its reason. A refusal raises no
        error here: use ``decision`` or ``raise_for_refusal`` of the verdict.
    """
    verdict = _verify_pins(chain, policy, now, debug_anchors)
    if chain is None or policy.ct_logs is None or pins_only or verdict.reason != "match":
        return verdict
    found = check_transparency(chain, policy.ct_logs, now)
    if found.satisfied:
        return replace(verdict, transparency=found)
    # A pin that matches after its expiry is one of a policy that only reports then.
    reported = found.stale or policy.mode == "report" or policy.expired(now)
    decision: Decision = "report" if reported else "refuse"
    return replace(verdict, decision=decision, reason="too-few-scts", transparency=found)


def _verify_pins(
    chain: Chain | None, policy: HostPolicy, now: datetime, debug_anchors: frozenset[bytes]
) -> Verdict:
    """Return the verdict on a verified chain, without the check of Certificate Transparency.

    The verdict follows from the debug override, the keys marked compromised, the expiry of the
    pins, and the match between the pins and the certificates of the chain. It is a refusal if
    ``chain`` is None or empty. ``debug_anchors`` has the SHA-256 fingerprints of trust anchors that
    are accepted without a pin.
    """
    if chain is None or not chain.certificates:
        return Verdict("refuse", "no-chain", policy, None)
    if debug_anchors and chain.certificates[-1].sha256 in debug_anchors:
        return Verdict("accept", "debug-anchor", policy, chain)
    enforced: Decision = "refuse" if policy.mode == "enforce" else "report"
    if compromised := _compromised(chain, policy):
        return Verdict(enforced, "compromised-key", policy, chain, certificate=compromised)
    if policy.expired(now):
        if policy.on_expiry == "fail-closed":
            return Verdict(enforced, "expired", policy, chain)
        if policy.on_expiry == "fail-open":
            return Verdict("accept", "expired", policy, chain)
        enforced = "report"
    return _match(chain, policy, enforced)


def _compromised(chain: Chain, policy: HostPolicy) -> Certificate | None:
    """Return the first certificate on the path that the policy marks compromised; None if none is.

    The mark is on the pin of its key, or on that of the whole certificate. In mode ``enforce``,
    ``verify`` refuses such a path, even if another pin matches.
    """
    if not policy.compromised:
        return None
    return next(
        (
            certificate
            for certificate in chain.certificates
            if not policy.compromised.isdisjoint(pins_of(certificate))
        ),
        None,
    )


def _match(chain: Chain, policy: HostPolicy, otherwise: Decision) -> Verdict:
    for certificate in _compared(chain, policy.match):
        entry = policy.keys.get(certificate.spki_sha256)
        if entry is None and policy.certificates:
            entry = policy.certificates.get(certificate.sha256)
        if entry is not None:
            return Verdict("accept", "match", policy, chain, entry, certificate)
    return Verdict(otherwise, "mismatch", policy, chain)


def _compared(chain: Chain, match: Match) -> tuple[Certificate, ...]:
    """Return the certificates of the path that are compared with the pins.

    ``match`` is the setting of the policy: ``leaf``, ``ca`` (those above the leaf) or ``any``.
    """
    if match == "any":
        return chain.certificates
    return (chain.leaf,) if match == "leaf" else chain.authorities


def explain(verdict: Verdict, host: str) -> str:
    """Return an explanation of a verdict that refuses or reports a chain, in several lines.

    The text contains the host, the policy, every certificate of the path, and every pin.
    """
    policy = verdict.policy
    path = [*_scts(verdict), *_path(verdict.chain, fingerprints=bool(policy.certificates))]
    return "\n".join([_headline(verdict, host), *path, *_pinned(policy)])


def advice(verdict: Verdict, host: str, server: HostServer | None = None, *, port: int = 0) -> str:
    """Return advice on how to fix a refused connection, for the operator who reads the error.

    Args:
        verdict: the decision to refuse.
        host: the host.
        server: the server that was contacted; None if unknown.
        port: the port of the connection; 0 if unknown.
    """
    compare = compare_advice(verdict.policy, host, server, port=port)
    return next(filter(None, (hint(verdict, host, compare) for hint in _HINTS)))


def missing_scts(verdict: Verdict) -> str:
    """Return a clause that says why the SCTs are not enough, and lists each SCT of the certificate.

    An SCT is the promise of a log to publish the certificate. ``verdict`` has the reason
    ``too-few-scts``.
    """
    found = verdict.transparency
    if found is None:
        return "its SCTs are unknown"
    scts = "; ".join(map(str, found.scts))
    return f"{found.problem} ({scts})" if scts else found.problem


def scts_fix(verdict: Verdict) -> str:
    """Return advice on how to fix a certificate with too few SCTs, as text without a full stop.

    An SCT is the promise of a log to publish the certificate. ``verdict`` has the reason
    ``too-few-scts``.
    """
    if not _has_unknown_logs(verdict):
        return "get a certificate with embedded SCTs: each public authority adds them"
    logs = verdict.policy.ct_logs
    source = quoted(logs.source if logs and logs.source else "the list of logs")
    return (
        f"the certificate names logs that {source} lacks: take the current log list into "
        "`ct_logs`, and ship it"
    )


def _has_unknown_logs(verdict: Verdict) -> bool:
    """Return True if the certificate has an SCT of a log that is not in the pin file's log list.

    The advice is then to get a newer list. ``verdict`` has the reason ``too-few-scts``.
    """
    scts = verdict.transparency.scts if verdict.transparency else ()
    return any(each.log is None for each in scts)


_DECIDED: dict[Decision, str] = {
    "refuse": "refused",
    "report": "reported and not refused",
    "accept": "accepted without a check of its pins",
}


def _headline(verdict: Verdict, host: str) -> str:
    policy, decided = verdict.policy, f"{host} {_DECIDED[verdict.decision]}"
    rule = f"policy {str(policy.pattern)!r} (mode {policy.mode}, match {policy.match})"
    if policy.expires and verdict.decision != "refuse" and policy.mode == "enforce":
        rule += f"; on_expiry = {policy.on_expiry}, from {policy.expires.isoformat()} on"
    if verdict.reason == "no-chain":
        return f"{decided}: there is no verified chain to compare with its pins; {rule}"
    if verdict.reason == "expired":
        date = policy.expires.isoformat() if policy.expires else ""
        return f"{decided}: its pins held until {date}; {rule}"
    if verdict.reason == "compromised-key":
        return f"{decided}: its verified chain contains a key marked compromised; {rule}"
    if verdict.reason == "too-few-scts" and verdict.transparency:
        why = verdict.transparency.problem
        return f"{decided}: too few logs promise to publish its certificate: {why}; {rule}"
    return f"{decided}: no certificate of its verified chain is pinned; {rule}"


def _scts(verdict: Verdict) -> Iterator[str]:
    scts = verdict.transparency.scts if verdict.transparency else ()
    if scts:
        yield "  signed certificate timestamps:"
    for each in scts:
        yield f"    {each}"


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
        note = f"  ({printable(entry.note[:MAX_SHOWN_NAME])})" if entry.note else ""
        yield f"    {entry.pin}  {entry.role}, {entry.state}{note}"


def _when_expired(verdict: Verdict, host: str, compare: str) -> str | None:
    if verdict.reason != "expired":
        return None
    return "ship a newer pin set; if its pins are still in use, set a later `expires`"


def _when_no_chain(verdict: Verdict, host: str, compare: str) -> str | None:
    if verdict.reason != "no-chain":
        return None
    return "connect with certificates: no anonymous suites, no pre-shared keys, no other sessions"


def _when_too_few_scts(verdict: Verdict, host: str, compare: str) -> str | None:
    if verdict.reason != "too-few-scts":
        return None
    if _has_unknown_logs(verdict):
        return scts_fix(verdict)
    return f"{scts_fix(verdict)}. If yours did not, treat it as an attack. {compare}"


def _when_compromised(verdict: Verdict, host: str, compare: str) -> str | None:
    served = next(
        (pin for pin in _pins_on_path(verdict) if pin in verdict.policy.compromised), None
    )
    if served is None:
        return None
    return (
        f"the server uses the key {served}, which is marked compromised: take it out of "
        "service on every server. If none of your servers uses it, treat this as an attack"
    )


def _when_removed(verdict: Verdict, host: str, compare: str) -> str | None:
    removed = {entry.pin for entry in verdict.policy.pins if entry.state == "removed"}
    served = next((pin for pin in _pins_on_path(verdict) if pin in removed), None)
    if served is None:
        return None
    return (
        f"the server uses the key {served}, which is marked removed: "
        "install the certificate of a key that is pinned, or pin this one again"
    )


def _when_wrong_kind(verdict: Verdict, host: str, compare: str) -> str | None:
    path = verdict.chain.certificates if verdict.chain else ()
    return next(filter(None, (kind_mistake(pin, path) for pin in verdict.policy.live_pins)), None)


def kind_mistake(pin: Pin, path: Iterable[Certificate]) -> str | None:
    """Return a phrase that names the mistake if a pin has the right digest, and the wrong kind.

    The digest is then that of a whole certificate of the path, written as the pin of a key, or the
    other way round. Return None for any other pin. The pin matches nothing in either case: the kind
    of a pin is never guessed.

    Args:
        pin: the pin.
        path: the verified path of a server.
    """
    for certificate in path:
        key, whole = pins_of(certificate)
        if (pin.kind, pin.digest) == (key.kind, whole.digest):
            what = "the fingerprint of the whole certificate", "the pin of its key"
        elif (pin.kind, pin.digest) == (whole.kind, key.digest):
            what = "the digest of the key", "the fingerprint of the whole certificate"
        else:
            continue
        name = name_of(certificate)
        return f"{pin} has {what[0]} of {name!r}, written as {what[1]}: write {key} instead"
    return None


def _when_out_of_reach(verdict: Verdict, host: str, compare: str) -> str | None:
    live = verdict.policy.live_pins
    if not any(pin in live for pin in _pins_on_path(verdict)):
        return None
    return (
        f'a pinned certificate is on the path, but match = "{verdict.policy.match}" leaves it out: '
        'write match = "any", or pin a certificate that it includes'
    )


def _when_another_root(verdict: Verdict, host: str, compare: str) -> str | None:
    roots = [entry for entry in verdict.policy.pins if entry.role == "root" and entry.live]
    if not roots or verdict.chain is None:
        return None
    root = verdict.chain.certificates[-1]
    return (
        f"the path ended at the root {name_of(root)!r}, and another root is pinned. With a "
        "cross-signed intermediate there is more than one path: pin this root too, or let `trust` "
        "name a file with only the pinned root. If you know neither root, "
        f"treat it as an attack. {compare}"
    )


def _when_whole_certificates(verdict: Verdict, host: str, compare: str) -> str | None:
    if any(pin.kind == "sha256" for pin in verdict.policy.live_pins):
        return None
    return (
        "whole certificates are pinned (cert-sha256), and each renewal invalidates such a pin: "
        f"pin the key instead. {compare}"
    )


def _otherwise(verdict: Verdict, host: str, compare: str) -> str | None:
    return (
        "if the server got a new key by mistake, install a certificate for a pinned key again; "
        "if its key was changed on purpose, ship a pin set that holds the new one; "
        f"if neither, an attacker intercepts your connection to {host}: don't switch the check "
        f"off. {compare}"
    )


def compare_advice(
    policy: HostPolicy, host: str, server: HostServer | None = None, *, port: int = 0
) -> str:
    """Return the advice to compare the server's pins from another network, with a command for it.

    The command prints the pins of the server. If they differ in another network, one of the
    connections can have a man in the middle. If ``server`` is None and the policy has several
    servers for the host that may be the one, the command contacts all of them.

    Args:
        policy: the policy of the host.
        host: the host.
        server: the server that was contacted; None if unknown.
        port: the port of the request, which selects among the servers of the policy; 0 if unknown.
            If none of them has it, the command contacts this port of the host: the answer of
            another server would prove nothing.
    """
    if server is None:
        pattern, names = policy.pattern, {host, policy.pattern.name}
        known = [each for each in policy.servers if each.name_for(pattern) in names]
        if port:
            known = [each for each in known if _port_of(each) == port]
        if len(known) > 1:
            return f"{_COMPARE}: certpin check --host {host}"
        server = known[0] if known else HostServer(port=port or None)
    return f"{_COMPARE}: {pin_command(policy, host, server)}"


def _port_of(server: HostServer) -> int:
    """Return the port of a server; 0 for the default port of its STARTTLS protocol."""
    return server.port or (0 if server.starttls else 443)


def pin_command(policy: HostPolicy, host: str, server: HostServer) -> str:
    """Return the command ``certpin pin`` for one server of a host.

    Args:
        policy: the policy of the host. The command trusts its anchors.
        host: the host.
        server: the server.
    """
    words = [short_address(host, server.port)]
    if server.starttls and server.port:  # 443 is not the default
        words = [join_address(host, server.port)]
    if server.address not in {"", host}:
        words += ["--connect", bracketed(server.address)]
    if server.starttls:
        words += ["--starttls", server.starttls]
    if policy.trust and (policy.trust.path or policy.trust.source):
        words += ["--ca-file", printable(policy.trust.path or policy.trust.source)]
    return shlex.join(["certpin", "pin", *words])


_COMPARE = "Compare from another network"


def _pins_on_path(verdict: Verdict) -> Iterator[Pin]:
    for certificate in verdict.chain.certificates if verdict.chain else ():
        yield from pins_of(certificate)


# The first that returns a text is the advice. The last one always does.
_HINTS: tuple[Callable[[Verdict, str, str], str | None], ...] = (
    _when_expired,
    _when_no_chain,
    _when_too_few_scts,
    _when_compromised,
    _when_removed,
    _when_wrong_kind,
    _when_out_of_reach,
    _when_another_root,
    _when_whole_certificates,
    _otherwise,
)
