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
from certpin.x509 import Certificate, issuer_of, name_of, served_path
from certpin.x509.chain import only_name_matches, signs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.errors import ProbeError
    from certpin.pins import HostPolicy, TrustAnchors, Verdict
    from certpin.probe.dial import Endpoint, Observation
    from certpin.x509 import Chain

Status = Literal["holds", "finding", "inconclusive"]

# X509_V_ERR_… of openssl/x509_vfy.h for a path that ends at no trust anchor: no issuer (2, 20, 21),
# a self-signed leaf (18), an untrusted root (19).
NO_ANCHOR = frozenset({2, 18, 19, 20, 21})
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
        host: the host, even if another address was contacted.
        port: the port of the host.
        observation: the served and the verified chain; ``None`` if no chain was received.
        verdict: the decision of the pins; ``None`` if the chain did not verify.
        findings: the problems, as sentences.
        error: the error that prevented receiving a chain; ``None`` if a chain was received.
        endpoint: the server that was contacted; ``None`` for a wildcard without servers.
        unreachable: the server's addresses that were not tried, because this machine has no IPv6
            (or no IPv4).
        fix: advice, if the chain ends at no trust anchor of the policy; else empty.
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
        """The label of the server in the pin file; empty without one."""
        return self.endpoint.region if self.endpoint else ""

    @property
    def address(self) -> str | None:
        """The IP address that answered, or the one of several that did not; else ``None``."""
        if self.observation:
            return self.observation.address
        return (self.endpoint and self.endpoint.resolved) or None

    @property
    def status(self) -> Status:
        """The result in one word: ``finding``, ``inconclusive`` or ``holds``.

        ``finding`` means that there are problems. ``inconclusive`` means that no chain was
        received. ``holds`` means that the chain satisfies the pins and there are no problems.
        """
        if self.findings:
            return "finding"
        return "holds" if self.observation else "inconclusive"

    def certificate_days(self, now: datetime) -> int | None:
        """Return the whole days until the next expiry of a certificate in the verified chain.

        Return ``None`` if there is no verified chain.
        """
        chain = self.observation.verified if self.observation else None
        ends = [] if chain is None else _ends(chain)
        return min((end - now).days for end in ends) if ends else None

    def pin_days(self, now: datetime) -> int | None:
        """Return the whole days until the host's pins expire; ``None`` if they never do."""
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
        problem, fix = _unverified(policy, observation)
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


def _unverified(policy: HostPolicy, observation: Observation) -> tuple[str, str]:
    """Return the reason why a chain did not verify, and advice if it ends at no trust anchor.

    A chain ends at no trust anchor because of a man in the middle, or because the server left out
    its intermediates, or sends wrong ones. If its leaf is pinned, the server is the real one,
    because it has proved that it has the key; the advice is then to send the intermediates.
    """
    problem = f"the chain did not verify: {observation.problem}"
    if observation.code not in NO_ANCHOR:
        return problem, ""
    served = observation.served.certificates
    path = served_path(served)
    if policy.trust and any(signs(der, path.end.der) for der in policy.trust.der):
        return problem, _AGAIN  # ``observe`` reads the served chain over a second connection
    name, issuer = name_of(path.end), issuer_of(path.end)
    namesakes = policy.trust is not None and _namesakes(policy.trust, path.end)
    is_pinned = not set(policy.live_pins).isdisjoint(pins_of(served[0]))
    if path.issuer_missing and is_pinned and not namesakes:
        missing = f"the server did not send the certificate of {issuer} that issued {name}"
        return f"{missing} ({observation.problem})", _send_the_chain(policy, issuer, len(served))
    complete = " If the server is yours, let it send its intermediates too."
    complete = complete if path.issuer_missing else ""
    if policy.trust is None:
        found = f"the chain ends at an authority that this machine does not trust: {issuer}"
        return f"{found} ({observation.problem})", (
            "compare from another network: it may be a man in the middle. If it is your own "
            f'authority, name its certificate in the pin file: trust = "ROOT.pem".{complete}'
        )
    source = policy.trust.source
    other = ", which has the same name and another key" if namesakes else ""
    expected = f'trust = "{source}" expects {_anchors_of(policy.trust)}{other}'
    found = (
        f"the chain ends at {name}: the certificate of {issuer} that issued it was not sent, and "
        if path.issuer_missing and not namesakes
        else f"the chain ends at another authority: it was issued by {issuer}, and "
    )
    return f"{found}{expected} ({observation.problem})", (
        "compare from another network: it may be a man in the middle, and that authority must not "
        "be added then. If you changed the authority on purpose, put its certificate into "
        f"{source}, and ship the new pin set first.{complete}"
    )


def _send_the_chain(policy: HostPolicy, issuer: str, sent: int) -> str:
    """Return advice for a server with a pinned key that did not send a certificate of its path.

    ``issuer`` is the name of the missing certificate, and ``sent`` the number of those that were
    sent.
    """
    if sent == 1:
        advice = (
            "the server sent its own certificate only, and its key is pinned: configure it to "
            "send the intermediate certificates too (the full chain)"
        )
    else:
        advice = (
            "the server's key is pinned, but a certificate of its chain is missing: configure it "
            "to send the intermediate certificates of its certificate (the full chain)"
        )
    if policy.trust is None:
        own = "if your own authority issued it, name that in the pin file: trust = "
        return f'{advice}; or, {own}"ROOT.pem"'
    return (
        f"{advice}; or, if {issuer} is a root and you changed to it on purpose, put its "
        f"certificate into {policy.trust.source}, and ship the new pin set first"
    )


def _anchors_of(trust: TrustAnchors) -> str:
    """Return the names of a policy's trust anchors, as text for a message."""
    names = [name_of(Certificate.from_der(der)) for der in trust.der]
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def _namesakes(trust: TrustAnchors, end: Certificate) -> bool:
    """Return True if a trust anchor has the name of the chain's authority, and another key.

    ``end`` is the last certificate of the served path. The authority is its issuer.
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
    enforced = verdict.policy.mode == "enforce"
    outcome = "are locked out" if enforced else "would be locked out in mode enforce"
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
    if verdict.policy.expired(now):  # for every on_expiry
        yield "the pins have expired"


def _check_backup(checkup: Checkup) -> Iterator[str]:
    """Yield a problem if every usable pin belongs to the served chain, so that no pin is a backup.

    Only for mode ``enforce``. A policy that pins several roots of one provider has no problem: each
    root is a backup of the others.
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
    """Yield a problem for each root that a root store has removed or distrusts, or soon will.

    Only for a host that trusts the platform's roots. If a store distrusts a root from a day on,
    certificates that were issued before that day are not affected.

    Args:
        checkup: the result so far, with the verified chain.
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
