"""Cases of a hostile HTTP proxy that answers the request for a tunnel (CONNECT) itself.

Its answer comes before TLS, in clear text, from anyone on the path to the proxy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.case import ALL_REJECT, Case, Family
from certpin.lab.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.pki import TestPKI


def _answers(status: int) -> Callable[[TestPKI], Scenario]:
    """Return a function that builds a scenario in which the proxy answers with this status.

    A client that doesn't use the proxy meets the honest server.
    """
    return lambda pki: Scenario((pki.honest,), proxy_status=status)


_FIX = (
    "treat each answer to CONNECT other than 2xx as a failed connection: don't read its body or "
    "its status as the server's, and repeat the request at most with a new tunnel"
)
_REFERENCE = "RFC 9110 section 9.3.6; VU#905344 (FalseCONNECT)"
_BY_PROXY = "let it use the lab's HTTP proxy (--via connect)"

PROXIES = (
    Case(
        name="proxy-answers-403",
        family=Family.STARTTLS,
        presents="a proxy that answers CONNECT with 403 and a body, and opens no tunnel",
        expected=ALL_REJECT,
        guards="that the answer of a proxy is not taken for the server's: it has no certificate",
        reference=_REFERENCE,
        fix=_FIX,
        scenario=_answers(403),
        exercise=_BY_PROXY,
    ),
    Case(
        name="proxy-answers-502",
        family=Family.STARTTLS,
        presents="a proxy that answers CONNECT with 502 and a body, and opens no tunnel",
        expected=ALL_REJECT,
        guards="the same for the error of a gateway, after which clients try again",
        reference=_REFERENCE,
        fix=_FIX,
        scenario=_answers(502),
        exercise=_BY_PROXY,
    ),
    Case(
        name="proxy-redirects",
        family=Family.STARTTLS,
        presents="a proxy that answers CONNECT with 302, to http:// on the same host",
        expected=ALL_REJECT,
        guards="that a client follows no redirect of a proxy: nothing protects its target",
        reference=_REFERENCE,
        fix=_FIX,
        scenario=_answers(302),
        exercise=_BY_PROXY,
    ),
    Case(
        name="proxy-asks-password",
        family=Family.STARTTLS,
        presents="a proxy that answers CONNECT with 407, and asks for a password (Basic)",
        expected=ALL_REJECT,
        guards="that the password of a server is not sent to a proxy, in clear text",
        reference=f"RFC 9110 section 11.7.1; {_REFERENCE}",
        fix="give each password to the server that it belongs to: compare host and port, and "
        "whether a proxy asks (Java: Authenticator.getRequestorType)",
        scenario=_answers(407),
        exercise=_BY_PROXY,
    ),
)
