"""Cases of HTTP/3, which an honest server offers by the header Alt-Svc.

For HTTP/3 a client uses another TLS library, which may not check the pins. An attacker on the
network path can answer on the UDP port that the server offers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.case import (
    ALL_ACCEPT,
    ALL_REJECT,
    PINS_REJECT_MAYBE_ALL,
    Case,
    Family,
)
from certpin.lab.scenario import Answer, Scenario, ServerStep
from certpin.lab.server.protocols import need_http3

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI


def _offers(pki: TestPKI, over_quic: ServerStep) -> Scenario:
    """Return a scenario in which the honest server offers HTTP/3 to clients that connect over TCP.

    The first answer is a redirect, so that the client makes a second request, for which it can use
    HTTP/3. The TCP connection stays open, because urllib3-future forgets the offer when the
    connection ends.

    Args:
        pki: the keys and certificates of the case.
        over_quic: how the lab serves the connections over QUIC: as the attacker or as the honest
            server.
    """
    need_http3()
    offering = pki.lab_honest.but(offers_http3=True, answer=Answer.REDIRECT_ONCE)
    return Scenario((offering,), lures=over_quic.role is not offering.role, http3=over_quic)


_REFERENCE = "RFC 7838 section 2.1; RFC 9114 section 3.1.1"
_FIX = (
    "switch HTTP/3 off, or compare the pins in the handshake of QUIC too: it has another TLS "
    "library, which the settings of TLS over TCP don't reach"
)
_TWICE = "let the client follow redirects, or request {url} twice on separate connections"

HTTP3 = (
    Case(
        name="http3-rogue",
        family=Family.SEQUENCE,
        presents="I→L over TCP, which offers HTTP/3 (Alt-Svc); R2→L′ over QUIC",
        # Without pins, a client that uses HTTP/3 accepts.
        expected=PINS_REJECT_MAYBE_ALL,
        guards="that pins are checked over QUIC too, or that the client doesn't use it",
        reference=_REFERENCE,
        fix=_FIX,
        scenario=lambda pki: _offers(pki, ServerStep.of(pki.attacker_chain)),
        protocol="http",
        exercise=_TWICE,
    ),
    Case(
        name="http3-untrusted",
        family=Family.SEQUENCE,
        presents="I→L over TCP, which offers HTTP/3 (Alt-Svc); U→L over QUIC",
        expected=ALL_REJECT,
        guards="that the chain is verified over QUIC too",
        reference="RFC 9114 section 3.1; RFC 9001 section 4.4",
        fix="verify chain and name over QUIC as over TCP, or switch HTTP/3 off",
        scenario=lambda pki: _offers(pki, ServerStep.of(pki.untrusted.issue(pki.host))),
        protocol="http",
        exercise=_TWICE,
    ),
    Case(
        name="rot-http3",
        family=Family.ROTATION,
        presents="I→L over TCP, which begins to offer HTTP/3 (Alt-Svc); I→L over QUIC",
        expected=ALL_ACCEPT,
        guards="that a server may begin to offer HTTP/3. The report says whether the client used "
        "it: if not, http3-rogue and http3-untrusted prove only that it stays on TCP",
        reference=_REFERENCE,
        fix="give the client over QUIC the same roots and pins, or switch HTTP/3 off",
        scenario=lambda pki: _offers(pki, pki.honest),
        protocol="http",
        exercise=_TWICE,
    ),
)
