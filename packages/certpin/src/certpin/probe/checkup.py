"""Compare the chain that a server presents with the pins of its host, and list the problems.

The functions are pure: the same chain, policy and time give the same result.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from certpin.errors import CertificateParseError
from certpin.pins import pins_of, verify
from certpin.roots import RootData, load_data
from certpin.support.text import in_days
from certpin.x509 import Certificate, is_self_signed, issuer_of, name_of, served_path
from certpin.x509.certificate import may_issue
from certpin.x509.chain import mistaken_issuer, only_name_matches, signs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.errors import ProbeError
    from certpin.pins import HostPolicy, TrustAnchors, Verdict
    from certpin.probe.dial import Endpoint, Observation
    from certpin.x509 import Chain, ServedPath

Status = Literal["holds", "finding", "inconclusive"]

# X509_V_ERR_… of openssl/x509_vfy.h for a path that ends at no trust anchor: no issuer (2, 20, 21),
# a self-signed leaf (18), an untrusted root (19).
NO_ANCHOR = frozenset({2, 18, 19, 20, 21})
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_AGAIN = (
    "a second connection got a chain that leads to a trust anchor of the host: run it again. The "
    "server may present several chains, as machines behind one address do, or a man in the middle "
    "answered the first connection"
)
_MAX_NAMES = 3  # of anchors in a message


@dataclass(frozen=True)
class Checkup:
    """The result of comparing one server's chain with the pins of its host.

    Attributes:
        policy: the policy of the host.
        host: the host, also if a server at another address was contacted for it (``endpoint``).
        port: the port of the host.
        observation: the served and the verified chain; ``None`` if no chain was received.
        verdict: the result of comparing the verified chain with the pins; ``None`` if the chain did
            not verify.
        findings: the problems, as sentences.
        error: the error that prevented receiving a chain; ``None`` if a chain was received.
        endpoint: the server that was contacted; ``None`` for a wildcard without servers.
        unreachable: the server's addresses that were not tried, because this machine has no IPv6
            (or no IPv4).
        fix: advice, if the chain did not verify because it ends at no trust anchor of the policy or
            the platform, or at an expired trust anchor of the policy; otherwise empty.
    """

    policy: HostPolicy
    host: str
    port: int
    observation: Observation | None = None
    verdict: Verdict | None = None
    findings: tuple[str, ...] = ()
    error: ProbeError | None = None
    endpoint: Endpoint | None = None
    unreachable: tuple[str, ...] = ()
    fix: str = ""

    @property
    def region(self) -> str:
        """The server's label (``region``) in the pin file; empty if it has none."""
        return self.endpoint.region if self.endpoint else ""

    @property
    def address(self) -> str | None:
        """The IP address of the server from which the chain was received.

        If no chain was received, it is ``Endpoint.resolved``, the only address that was contacted;
        ``None`` if that is not set.
        """
        if self.observation:
            return self.observation.address
        return (self.endpoint and self.endpoint.resolved) or None

    @property
    def status(self) -> Status:
        """The result in one word: ``finding``, ``inconclusive`` or ``holds``.

        ``finding`` means that there are problems. ``holds`` means that a chain was received, that
        it satisfies the pins, and that there are no problems. ``inconclusive`` means that there are
        no problems, but that no chain was received either.
        """
        if self.findings:
            return "finding"
        return "holds" if self.observation else "inconclusive"

    def certificate_days(self, now: datetime) -> int | None:
        """Return the whole days until the next expiry of a certificate in the verified chain.

        The number is rounded down, so it is negative after the expiry. Return ``None`` if there is
        no verified chain.
        """
        chain = self.observation.verified if self.observation else None
        ends = [] if chain is None else _ends(chain)
        return min((end - now).days for end in ends) if ends else None

    def pin_days(self, now: datetime) -> int | None:
        """Return the whole days until the host's pins expire; ``None`` if they never expire."""
        return (self.policy.expires - now).days if self.policy.expires else None


def check_up(
    policy: HostPolicy,
    observation: Observation,
    now: datetime,
    *,
    least_days: int = 0,
    roots: RootData | None = None,
) -> Checkup:
    """Compare the chain that a server presented with its host's pins, and find early expiry dates.

    Not checked: revocation.

    Args:
        policy: the policy of the host.
        observation: the served and the verified chain.
        now: the current time, with a time zone.
        least_days: a number of days. Report a problem if a certificate or the pins expire in fewer
            days, or if a root store removes the chain's root in fewer days.
        roots: the facts about public roots, such as removals from root stores; None for those of
            this release of certpin.
    """
    endpoint = observation.endpoint
    checkup = Checkup(policy, endpoint.name, endpoint.port, observation, endpoint=endpoint)
    if observation.verified is None:
        problem, fix = _unverified(policy, observation, now)
        return replace(checkup, findings=(problem,), fix=fix)
    verdict = verify(observation.verified, policy, now)
    checkup = replace(checkup, verdict=verdict)
    found = (
        *_check_pins(verdict, now),
        *_check_backup(checkup),
        *_check_dates(checkup, now, least_days),
        *_check_roots(checkup, roots or load_data(), now, least_days),
    )
    return replace(checkup, findings=found)


def _unverified(policy: HostPolicy, observation: Observation, now: datetime) -> tuple[str, str]:
    """Return the reason why a chain did not verify, and advice to the user.

    ``now`` is the current time. ``policy`` is that of the host, and ``observation`` has the chain
    that the server sent. The advice is empty unless the chain ends at no trust anchor, or at an
    expired one. If it ends at no trust anchor, several possible causes look alike: a man in the
    middle, a root that is not trusted, or intermediates that the server did not send. So the advice
    names more than one cause. But it names no man in the middle if an issuer was not sent and the
    leaf is pinned: the server has then proved that it has the pinned key.

    Returns:
        The reason and the advice, as texts. The advice may be empty.
    """
    problem = f"the chain did not verify: {observation.problem}"
    served = observation.served.certificates
    path = served_path(served)
    if observation.code == _EXPIRED and policy.trust:
        return problem, _renew_anchor(path, policy.trust, now)
    if observation.code not in NO_ANCHOR:
        return problem, ""
    if policy.trust and _anchors_above(path, policy.trust):
        return problem, _AGAIN  # ``observe`` reads the served chain over a second connection
    if policy.trust and (pair := mistaken_issuer(_ders(served), policy.trust.der)):
        found, fix = _mistaken(policy.trust, *pair)
        return f"{found} ({observation.problem})", fix
    is_namesake = policy.trust is not None and _has_namesake(policy.trust, path.end)
    is_missing = path.issuer_missing and not is_namesake
    found = f"{_end_of(policy, path, is_namesake=is_namesake)} ({observation.problem})"
    is_pinned = not set(policy.live_pins).isdisjoint(pins_of(served[0]))
    if is_missing and is_pinned:
        return found, _send_or_trust(policy, path, len(served))
    return found, _compare(policy) + (_send_own(path) if is_missing else "")


def _ders(certificates: tuple[Certificate, ...]) -> tuple[bytes, ...]:
    return tuple(each.der for each in certificates)


def _anchors_above(path: ServedPath, trust: TrustAnchors) -> list[Certificate]:
    """Return the trust anchors that are in a served path, or that issued a certificate of it.

    If there is one, the anchor is not missing: it has expired, or another chain was sent at first.
    ``path`` is the path that the server sent, and ``trust`` has the policy's anchors.
    """
    return [
        anchor
        for anchor in map(Certificate.from_der, trust.der)
        for each in path.certificates
        if each == anchor
        or (signs(anchor.der, each.der) and not is_self_signed(each) and may_issue(anchor, each))
    ]


def _renew_anchor(path: ServedPath, trust: TrustAnchors, now: datetime) -> str:
    """Return advice to replace a trust anchor, if it has expired and no certificate below it has.

    Otherwise return an empty text. ``path`` is the path that the server sent, and ``trust`` has the
    policy's anchors. ``now`` is the current time.
    """
    anchors = _anchors_above(path, trust)
    with suppress(CertificateParseError):
        below = [each for each in path.certificates if each not in anchors]
        expired = [each for each in anchors if each.not_after < now]
        if expired and all(each.not_after >= now for each in below):
            return (
                f"the trust anchor {name_of(expired[0])} expired on "
                f"{expired[0].not_after:%Y-%m-%d}: put the new certificate of the authority into "
                f"{trust.source}, and ship the new pin set{wrong_clock(now, 'ahead')}"
            )
    return ""


def wrong_clock(now: datetime, way: Literal["ahead", "behind"]) -> str:
    """Return a clause for the advice on a certificate with a wrong date: set the clock.

    Args:
        now: the time by the clock of this machine, so that the user can compare it.
        way: how the clock is wrong if the certificate is right: ``ahead`` if the certificate seems
            expired, ``behind`` if it seems not yet valid.
    """
    return f"; or, if the clock of this machine ({now:%Y-%m-%d}) is {way}, set it"


def _mistaken(trust: TrustAnchors, child: Certificate, issuer: Certificate) -> tuple[str, str]:
    """Return the problem and the advice for a wrong authorityKeyIdentifier in ``child``.

    The identifier names a different certificate than ``issuer``. But ``issuer`` is the right one:
    it has the required name, and its key signed ``child``. ``trust`` has the policy's anchors.
    """
    below, above = name_of(child), name_of(issuer)
    if issuer.der in trust.der:
        known = f'in trust = "{trust.source}"'
        add = f"put that one into {trust.source}, too, and ship the new pin set first"
    else:
        known, add = "that was sent", "let the server send that one"
    found = (
        f"the authorityKeyIdentifier of {below} names another certificate of {above} than the one "
        f"{known}: one with the same key, and another serial number or key identifier"
    )
    return found, f"{add}; or get a certificate {below} that names the current one of {above}"


def _end_of(policy: HostPolicy, path: ServedPath, *, is_namesake: bool) -> str:
    """Return a text that says where a served path ends, and which trust anchors are expected.

    ``policy`` is that of the host, and ``path`` is the path that the server sent. ``is_namesake``
    is True if a trust anchor has the name of the issuer of the path's last certificate, but a
    different key.
    """
    name, issuer = name_of(path.end), issuer_of(path.end)
    missing = f"the chain ends at {name}: the certificate of {issuer} that issued it was not sent"
    is_missing = path.issuer_missing and not is_namesake
    if policy.trust is None:
        if is_missing and len(path.certificates) == 1:
            return missing
        return f"the chain ends at an authority that this machine does not trust: {issuer}"
    other = ", which has the same name and another key" if is_namesake else ""
    expected = f'trust = "{policy.trust.source}" expects {_anchors_of(policy.trust)}{other}'
    if is_missing:
        return f"{missing}, and {expected}"
    return f"the chain ends at another authority: it was issued by {issuer}, and {expected}"


def _compare(policy: HostPolicy) -> str:
    """Return advice for a chain that ends at no trust anchor, and may be that of an attacker.

    The advice is to compare it with the chain that the server presents in another network. The
    advice also says how to trust the chain's authority, if it is the right one. ``policy`` is that
    of the host.
    """
    if policy.trust is None:
        return (
            "compare from another network: it may be a man in the middle. If it is your own "
            'authority, name its certificate in the pin file: trust = "ROOT.pem".'
        )
    return (
        "compare from another network: it may be a man in the middle, and that authority must not "
        "be added then. If you changed the authority on purpose, put its certificate into "
        f"{policy.trust.source}, and ship the new pin set first."
    )


def _send_own(path: ServedPath) -> str:
    """Return a sentence to add to the advice of ``_compare`` if an issuer was not sent.

    ``path`` is the path that the server sent. The sentence says that the user's own server should
    send the missing certificate, too.
    """
    if len(path.certificates) == 1:
        return " If the server is yours, let it send its intermediates too."
    issuer = issuer_of(path.end)
    return f" If {issuer} is an intermediate and the server is yours, let it send its certificate."


def _send_or_trust(policy: HostPolicy, path: ServedPath, sent: int) -> str:
    """Return advice for a server with a pinned key, if an issuer of its chain was not sent.

    ``policy`` is that of the host, and ``path`` is the path that the server sent. The issuer is
    that of the last certificate in ``path``. If this is the leaf, the issuer is usually an
    intermediate, which the server has to send. Otherwise the issuer is usually a root, which the
    client has to trust. ``sent`` is the number of certificates that were sent.
    """
    issuer = issuer_of(path.end)
    if policy.trust is None:
        root = f"if {issuer} is your own authority, name its certificate in the pin file: trust = "
        root += '"ROOT.pem"'
    else:
        root = (
            f"if {issuer} is a root and you changed to it on purpose, put its certificate into "
            f"{policy.trust.source}, and ship the new pin set first"
        )
    if len(path.certificates) > 1:
        return (
            f"the server's key is pinned: {root}; or, if {issuer} is an intermediate, configure "
            "the server to send its certificate too (the full chain)"
        )
    if sent == 1:
        alone = "the server sent its own certificate only, and its key is pinned"
    else:
        alone = "the server's key is pinned, but the certificate of its issuer is missing"
    return (
        f"{alone}: configure it to send the intermediate certificates of its certificate (the full "
        f"chain); or, {root}"
    )


def _anchors_of(trust: TrustAnchors) -> str:
    """Return the names of a policy's trust anchors, as text for a message."""
    names = [name_of(Certificate.from_der(der)) for der in trust.der]
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def _has_namesake(trust: TrustAnchors, end: Certificate) -> bool:
    """Return True if a trust anchor has the name of the issuer of ``end``, but a different key.

    The chain is then possibly that of an attacker: a missing intermediate can't be the cause.
    ``end`` is the last certificate of the path that the server sent.
    """
    return any(only_name_matches(der, end.der) for der in trust.der)


def _ends(chain: Chain) -> list[datetime]:
    """Return the expiry dates of the certificates in a verified chain.

    A date that certpin can't parse is left out: OpenSSL has already checked it.
    """
    ends = []
    for certificate in chain.certificates:
        with suppress(CertificateParseError):
            ends.append(certificate.not_after)
    return ends


def _check_pins(verdict: Verdict, now: datetime) -> Iterator[str]:
    policy = verdict.policy
    enforced, is_expired = policy.mode == "enforce", policy.expired(now)
    outcome = "are locked out" if enforced else "would be locked out in mode enforce"
    if enforced and verdict.decision == "report" and is_expired:
        outcome = "only report it, because the pins have expired"
    if verdict.reason == "compromised-key":
        these = "clients that have this version of the pins"  # which may not be published
        refuse = "refuse it" if enforced else outcome
        yield f"it serves a key that is marked compromised: {these} {refuse}"
    if verdict.reason == "mismatch":
        yield f"no pin matches the chain that it serves: clients {outcome}"
    if verdict.reason == "too-few-scts" and verdict.transparency:
        if verdict.transparency.stale:
            outcome = "only report it, because the list of logs is 70 days old or more"
        problem = verdict.transparency.problem
        yield f"too few logs have its certificate: {problem}; clients {outcome}"
    if is_expired:  # for every on_expiry
        effect = ": clients accept every verified chain" if verdict.decision == "accept" else ""
        yield f"the pins have expired{effect}"


def _check_backup(checkup: Checkup) -> Iterator[str]:
    """Yield a problem if every usable pin belongs to the served chain, so that no pin is a backup.

    ``checkup`` has the policy and the verified chain. Yield nothing if the policy doesn't enforce
    pins, or if it pins several roots of one provider: each of these roots is a backup of the
    others.
    """
    if checkup.policy.mode != "enforce" or checkup.policy.is_own_backup:
        return
    path = checkup.observation.verified if checkup.observation else None
    used = {pin for each in path.certificates for pin in pins_of(each)} if path else set()
    usable = {entry.pin for entry in checkup.policy.pins if entry.usable}  # a lost key is no backup
    if used.issuperset(usable):
        yield "every pin belongs to the chain that is served now: there is no backup outside it"


def _check_dates(checkup: Checkup, now: datetime, least_days: int) -> Iterator[str]:
    days = checkup.certificate_days(now)
    if days is not None and days < least_days:
        yield f"a certificate of the chain expires in {in_days(days)}"
    days = checkup.pin_days(now)
    if days is not None and days < least_days and not checkup.policy.expired(now):
        yield f"the pins expire in {in_days(days)}"


def _check_roots(
    checkup: Checkup, roots: RootData, now: datetime, least_days: int
) -> Iterator[str]:
    """Yield a problem for each root in a chain that a store removed or distrusts, or soon will.

    Yield nothing if the policy has its own trust anchors. A root that is distrusted already is no
    problem if the leaf was issued before the distrust began: it is not affected. The expiry of a
    root is not reported here.

    Args:
        checkup: the result of the comparison so far, with the verified chain.
        roots: the facts about public roots, such as removals from root stores.
        now: the current time.
        least_days: a number of days. A removal or distrust in fewer days is a problem.
    """
    path = checkup.observation.verified if checkup.observation else None
    if path is None or checkup.policy.trust is not None:
        return
    with suppress(CertificateParseError):
        issued = path.leaf.not_before.date()
        for certificate in path.authorities:
            for fact in roots.facts(pins_of(certificate)[0], now.date()):
                days = (fact.day - now.date()).days
                spared = fact.kind == "expires" or (
                    fact.kind == "distrusted" and issued < fact.day <= now.date()
                )
                if not spared and days < max(least_days, 1):
                    yield f"the root {fact.root.name} {fact.text} ({fact.source})"
