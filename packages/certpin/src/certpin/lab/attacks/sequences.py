"""Cases of several connections: a check on one must not count for another connection or host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.attacks.redirects import redirecting
from certpin.lab.case import (
    ALL_REJECT,
    PINS_REJECT,
    PINS_REJECT_MAYBE_ALL,
    Case,
    Expect,
    Expected,
    Family,
)
from certpin.lab.scenario import Answer, Role, Scenario, ServerStep, TLSSettings
from certpin.lab.server.protocols import need_http2

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI

_RETRIES = 5
_SHARED = TLSSettings(tickets="shared")

_TWICE = "let the client follow redirects, or request {url} twice on separate connections"
_BOTH = "let the client follow redirects, or request {url} and then {url2}"


def _swap(pki: TestPKI, answer: Answer = Answer.REDIRECT_SAME) -> Scenario:
    return Scenario.of(redirecting(pki.honest, answer), ServerStep.of(pki.attacker_chain))


def _swap_between(pki: TestPKI) -> Scenario:
    return _swap(pki, Answer.OK)


def _bad_then_good(pki: TestPKI) -> Scenario:
    return Scenario.of(pki.man_in_the_middle, pki.honest)


def _retry(pki: TestPKI) -> Scenario:
    # The last step is honest, so that a client which retries without limit ends.
    return Scenario.of(*[pki.man_in_the_middle] * _RETRIES, pki.honest)


def _pool_reuse(pki: TestPKI) -> Scenario:
    lax = ServerStep.of(pki.untrusted.issue(pki.host), answer=Answer.KEEP)
    # A strict call on a new connection meets an honest server, which shows that it was made.
    return Scenario.of(lax, pki.honest, canary_only=True)


def _resumption(pki: TestPKI, answer: Answer = Answer.REDIRECT_SECOND) -> Scenario:
    # The second chain is untrusted: only a client that resumes a session, and gets no chain,
    # accepts this server.
    other = ServerStep.of(pki.untrusted.issue(pki.second), settings=_SHARED)
    first = pki.lab_honest.but(answer=answer, settings=_SHARED)
    return Scenario.of(first, second=(other,))


def _separate_resumption(pki: TestPKI) -> Scenario:
    return _resumption(pki, Answer.OK)


def _second_host(pki: TestPKI, answer: Answer = Answer.REDIRECT_SECOND) -> Scenario:
    other = ServerStep.of(pki.rogue.issue(pki.second))
    return Scenario.of(redirecting(pki.honest, answer), second=(other,))


def _separate_second_host(pki: TestPKI) -> Scenario:
    return _second_host(pki, Answer.OK)


def _both_hosts(pki: TestPKI) -> Scenario:
    return Scenario.of(pki.man_in_the_middle, second=(pki.man_in_the_middle_second,))


def _unanswered(pki: TestPKI) -> Scenario:
    return Scenario.of(pki.lab_honest.but(answer=Answer.SILENT), pki.man_in_the_middle)


def _coalescing(pki: TestPKI) -> Scenario:
    need_http2()
    # This key and this issuer are pinned for the first host only.
    both = pki.intermediate.issue(pki.host, pki.second, key=pki.leaf.key)
    honest = ServerStep.of(both, role=Role.HONEST)
    first = honest.but(foreign=pki.second, answer=Answer.REDIRECT_SECOND_KEEP)
    return Scenario((first,), second=(pki.honest_second,), lures=True)


def _leak(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.attacker_chain, answer=Answer.SILENT))


def _asks_certificate(pki: TestPKI) -> Scenario:
    return Scenario.of(pki.man_in_the_middle.but(settings=TLSSettings(asks_certificate=True)))


_FIX_EVERY = "check the pins in the handshake of every connection, not once per host or at startup"
FIX_FALLBACK = (
    "give the second host pins, and connect to it with the same client: look for an except or "
    "catch clause that makes another client, such as one for a mirror or a CDN"
)
_FIX_RETRY = (
    "treat a failed verification as final: don't retry without it, and send no data on a "
    "connection that was not checked"
)

SEQUENCES = (
    Case(
        name="swap-on-reconnect",
        family=Family.SEQUENCE,
        presents="I→L at first, R2→L′ from the second connection on",
        expected=PINS_REJECT,
        guards="that pins are checked on each connection, not once, and not on a separate one",
        reference="OWASP MASTG-TEST-0244",
        fix=_FIX_EVERY,
        scenario=_swap,
        separate=_swap_between,
        exercise=_TWICE,
    ),
    Case(
        name="bad-then-good",
        family=Family.SEQUENCE,
        presents="a man in the middle at first, I→L from the second connection on",
        expected=ALL_REJECT,
        guards="that a connection is not trusted because of another one",
        reference="OWASP MASTG-TEST-0244",
        fix=_FIX_RETRY,
        scenario=_bad_then_good,
    ),
    Case(
        name="retry-x5",
        family=Family.SEQUENCE,
        presents=f"a man in the middle on {_RETRIES} connections, and then I→L",
        expected=ALL_REJECT,
        guards="that a client does not become less strict when it retries",
        reference="CWE-636: not failing securely",
        fix=_FIX_RETRY,
        scenario=_retry,
    ),
    Case(
        name="unanswered-then-rogue",
        family=Family.SEQUENCE,
        presents="I→L, which closes the connection after the request and without an answer, and a "
        "man in the middle on the next connection",
        expected=ALL_REJECT,
        guards="that a request without an answer is repeated with the same checks: an attacker "
        "can cut any connection once the honest server was checked",
        reference="RFC 9110 section 9.2.2; CWE-636: not failing securely",
        fix="repeat a request with the same client: look for a second client, or a flag, in the "
        "code that handles a closed connection",
        scenario=_unanswered,
        exercise="if your client repeats requests, let it repeat one that got no answer",
    ),
    Case(
        name="pool-reuse",
        family=Family.SEQUENCE,
        presents="U→L′ for a call without verification, and the same connection for a strict one",
        expected=ALL_REJECT,
        guards="that a strict call does not reuse the connection of a lax one",
        reference="CVE-2024-35195",
        fix="use separate pools for strict and lax calls, or better: make no lax call",
        scenario=_pool_reuse,
        protocol="http",
        exercise=(
            "let the client call https://{host}/ without verification, and then {url} with it, "
            "by the same session or pool"
        ),
    ),
    Case(
        name="resumption-other-host",
        family=Family.SEQUENCE,
        presents="U→L2′ at the second host, which accepts the session tickets of the first",
        expected=ALL_REJECT,
        guards="that a session is only resumed with the host that issued it",
        reference="CVE-2021-22890; RFC 8446 section 4.6.1",
        fix="store sessions by host and port, and check the pins again when one is resumed",
        scenario=_resumption,
        separate=_separate_resumption,
        exercise=_BOTH,
    ),
    Case(
        name="second-host-unpinned",
        family=Family.SEQUENCE,
        presents="I→L at the host, R2→L2′ at the second one",
        expected=PINS_REJECT,
        guards="that every host of the app is pinned, not only the first",
        reference="OWASP MASTG-TEST-0244",
        fix="give the second host pins, in the same place as the first; refuse hosts without pins",
        scenario=_second_host,
        separate=_separate_second_host,
        exercise=_BOTH,
    ),
    Case(
        name="rogue-on-both-hosts",
        family=Family.SEQUENCE,
        presents="a man in the middle at the host, and another one at the second host",
        expected=ALL_REJECT,
        guards="that a client that refuses its first host goes to no other one without pins: a "
        "man in the middle is on the way to both",
        reference="CWE-636: not failing securely; OWASP MASTG-TEST-0244",
        fix=FIX_FALLBACK,
        scenario=_both_hosts,
    ),
    Case(
        name="http2-coalescing",
        family=Family.SEQUENCE,
        presents="I→L for both hosts, with a key that is pinned only for the first",
        expected=PINS_REJECT_MAYBE_ALL,  # not every client shares connections
        guards="that HTTP/2 sends no request for a pinned host on the connection of another one",
        reference="RFC 9113 section 9.1.1",
        fix="check a host's pins before its requests share a connection, or do not let them share",
        scenario=_coalescing,
        protocol="http",
        exercise=_BOTH,
    ),
    Case(
        name="leak-before-check",
        family=Family.SEQUENCE,
        presents="R2→L′, and no answer",
        # Without pins there is nothing to check.
        expected=Expected(Expect.UNDEFINED, Expect.REJECT, Expect.REJECT),
        guards="that pins are checked before the request is sent, not when the answer arrives",
        reference="dio issue 2418",
        fix="check in the handshake (a trust manager, a context), not in a hook on the response",
        scenario=_leak,
    ),
    Case(
        name="client-certificate-requested",
        family=Family.SEQUENCE,
        presents="a man in the middle who requests the client's certificate",
        expected=ALL_REJECT,
        guards="that a client does not reveal its identity to a server that it refuses",
        reference="RFC 8446 section 4.4.2",
        fix=(
            "trust only the pinned roots (certpin: trust = FILE), so that the handshake ends "
            "before the client sends its certificate"
        ),
        scenario=_asks_certificate,
    ),
)
