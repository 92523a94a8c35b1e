"""Cases of redirects: an honest server sends the client to a URL that pins don't protect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.case import Case, Expect, Expected, Family
from certpin.lab.scenario import Answer, Role, Scenario, ServerStep

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI


def redirecting(honest: ServerStep, answer: Answer) -> ServerStep:
    """Return a copy of an honest server's step that answers with the redirect ``answer``.

    A step describes how the lab serves one connection. If the lab relays to a real server, the step
    is returned unchanged, because the lab can't choose that server's answer.
    """
    return honest.but(answer=answer) if honest.key_pem else honest


def _to_plain(pki: TestPKI) -> Scenario:
    return Scenario((pki.lab_honest.but(answer=Answer.REDIRECT_PLAIN),), lures=True)


def _to_unpinned(pki: TestPKI) -> Scenario:
    first = pki.lab_honest.but(answer=Answer.REDIRECT_UNPINNED)
    unpinned = ServerStep.of(pki.unpinned_leaf, role=Role.UNPINNED)
    return Scenario((first,), unpinned=(unpinned,), lures=True)


# HTTP says to follow the redirect; an app with pins then leaves the pinned host.
_UNWISE = Expected(Expect.POLICY, Expect.WARN, Expect.WARN)

REDIRECTS = (
    Case(
        name="redirect-to-http",
        family=Family.HTTP,
        presents="I→L, and its answer redirects to http:// on the same host",
        expected=_UNWISE,
        guards="that an answer cannot disable TLS",
        reference="RFC 9110 section 15.4; CWE-319",
        fix="refuse redirects to http://, or follow none (certpin: strict mode)",
        scenario=_to_plain,
        protocol="http",
    ),
    Case(
        name="redirect-to-unpinned-host",
        family=Family.HTTP,
        presents="I→L, and its answer redirects to a host without pins, with a good chain",
        expected=_UNWISE,
        guards="that data and tokens do not follow a redirect to a host without pins",
        reference="OWASP MASTG-TEST-0244",
        fix="refuse redirects to hosts without pins, or pin them too (certpin: strict mode)",
        scenario=_to_unpinned,
        protocol="http",
    ),
)
