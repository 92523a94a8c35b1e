"""Cases of HTTP proxies: a hostile proxy that answers CONNECT itself, and proxies that use TLS.

A proxy can answer CONNECT instead of opening a tunnel. This answer comes before TLS and in clear
text, so anyone on the path to the proxy can forge it. A client with an ``https://`` proxy opens TLS
to the proxy first, and then TLS to the host inside it. The client has to verify both certificates,
but the pins are only for the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.case import ALL_ACCEPT, ALL_REJECT, PINS_REJECT, Case, Family
from certpin.lab.scenario import PROXY_ADDRESS, Role, Scenario, ServerStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.authority import Authority
    from certpin.lab.pki import TestPKI


def _answers(status: int) -> Callable[[TestPKI], Scenario]:
    """Return a function that builds a scenario: the proxy answers CONNECT with the code ``status``.

    A client that doesn't use the proxy connects to the honest server.
    """
    return lambda pki: Scenario((pki.honest,), proxy_status=status)


_FIX = (
    "treat each answer to CONNECT other than 2xx as a failed connection: don't read its body or "
    "its status as the server's, and repeat the request at most with a new tunnel"
)
_REFERENCE = "RFC 9110 section 9.3.6; VU#905344 (FalseCONNECT)"
_BY_PROXY = "let it use the lab's HTTP proxy (--via connect)"


def _trusted_proxy(pki: TestPKI) -> ServerStep:
    """Return the server step of a proxy that has a valid TLS certificate for its own names.

    A step describes how the lab serves one connection. The intermediate that issued the honest
    server's certificate also issued that of the proxy. So the proxy's chain matches pins on this
    intermediate. A client that checks pins only in the TLS to its proxy then accepts an attack
    inside the tunnel.
    """
    return ServerStep.of(pki.intermediate.issue(*_PROXY_NAMES), role=Role.HONEST)


def _in_tunnel(step: Callable[[TestPKI], ServerStep]) -> Callable[[TestPKI], Scenario]:
    """Return a function that builds a scenario: a trusted TLS proxy with an attack in its tunnel.

    ``step`` returns the server step of the attack: how the lab serves the tunnelled connection.
    """
    return lambda pki: Scenario((step(pki),), tls_proxy=_trusted_proxy(pki))


def _hostile_proxy(
    issuer: Callable[[TestPKI], Authority], *names: str
) -> Callable[[TestPKI], Scenario]:
    """Return a function that builds a scenario: a hostile proxy in front of the honest server.

    Args:
        issuer: a function that returns the issuer of the proxy's TLS certificate.
        names: the names in that certificate.
    """
    return lambda pki: Scenario((pki.honest,), tls_proxy=ServerStep.of(issuer(pki).issue(*names)))


_PROXY_NAMES = (PROXY_ADDRESS, "localhost")
_TO_PROXY = "RFC 9110 sections 4.3.4 and 9.3.6; CVE-2021-28363"
_VERIFY_PROXY = (
    "verify the chain of the proxy too, and its name for the host in its URL: the proxy learns the "
    "host, and the client may send it a password"
)
_VERIFY_INSIDE = (
    "give the TLS inside the tunnel the same verification and pins as a direct connection: the "
    "check of the proxy's certificate says nothing about the host"
)

# Shows whether a client opens TLS to its proxy, and TLS to the host in it.
HTTPS_PROXY_CONTROL = Case(
    name="control-https-proxy",
    family=Family.CONTROL,
    presents="the honest server behind a trusted https:// proxy",
    expected=ALL_ACCEPT,
    guards="that the client supports https:// proxies: one that doesn't proves nothing about them",
    fix="the client may not support https:// proxies, or need the lab's root for its proxy: {ca}",
    scenario=_in_tunnel(lambda pki: pki.honest),
)

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
    Case(
        name="https-proxy-untrusted",
        family=Family.AUTHORITY,
        presents="an https:// proxy with a certificate of U, in front of the honest server",
        expected=ALL_REJECT,
        guards="that the client verifies the certificate of its proxy before it sends CONNECT",
        reference=_TO_PROXY,
        fix=_VERIFY_PROXY,
        scenario=_hostile_proxy(lambda pki: pki.untrusted, *_PROXY_NAMES),
        control=HTTPS_PROXY_CONTROL,
    ),
    Case(
        name="https-proxy-wrong-name",
        family=Family.NAME,
        presents="an https:// proxy with a trusted certificate for another name",
        expected=ALL_REJECT,
        guards="that the client compares the name in the certificate of its proxy",
        reference=_TO_PROXY,
        fix=_VERIFY_PROXY,
        scenario=_hostile_proxy(lambda pki: pki.intermediate, "proxy.evil.example"),
        control=HTTPS_PROXY_CONTROL,
    ),
    Case(
        name="https-proxy-untrusted-inside",
        family=Family.AUTHORITY,
        presents="a trusted https:// proxy, and in its tunnel U→L′",
        expected=ALL_REJECT,
        guards="that the client verifies the host too, and not only its proxy",
        reference="RFC 9110 section 9.3.6",
        fix=_VERIFY_INSIDE,
        scenario=_in_tunnel(lambda pki: ServerStep.of(pki.untrusted.issue(pki.host))),
        control=HTTPS_PROXY_CONTROL,
    ),
    Case(
        name="https-proxy-rogue-inside",
        family=Family.AUTHORITY,
        presents="a trusted https:// proxy, and in its tunnel R2→L′",
        expected=PINS_REJECT,
        guards="that the pins are those of the host, and are checked inside the TLS to the proxy",
        reference="RFC 9110 section 9.3.6",
        fix=_VERIFY_INSIDE,
        scenario=_in_tunnel(lambda pki: ServerStep.of(pki.attacker_chain)),
        control=HTTPS_PROXY_CONTROL,
    ),
)
