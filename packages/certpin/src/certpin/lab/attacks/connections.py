"""Cases in which only some connections of a client are attacked, and the others are honest.

The attacked connection is the n-th one, one whose ClientHello differs from that of the first
connection, or one to another port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.attacks.redirects import redirecting
from certpin.lab.case import ALL_REJECT, PINS_REJECT, Case, Family
from certpin.lab.scenario import Answer, Scenario, ServerStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.pki import TestPKI

# The later connections that are attacked. Most clients open at most six to one host (RFC 9112
# section 9.4 gives no number; browsers use six).
_NUMBERS = {2: "second", 3: "third", 4: "fourth", 5: "fifth", 6: "sixth"}


def _only(number: int, answer: Answer) -> Callable[[TestPKI], Scenario]:
    """Return a function that builds a scenario in which only connection ``number`` is attacked.

    Args:
        number: the number of the attacked connection, from 1.
        answer: how the honest server answers on the connections before it. A redirect to the same
            host leads a client that follows redirects to the attacked connection. ``Answer.OK`` is
            for a client that makes several requests itself.
    """

    def scenario(pki: TestPKI) -> Scenario:
        again = redirecting(pki.honest, answer)
        return Scenario.of(*[again] * (number - 1), ServerStep.of(pki.attacker_chain), pki.honest)

    return scenario


def _other_kind(pki: TestPKI) -> Scenario:
    return Scenario((pki.honest,), other_kind=(pki.man_in_the_middle,))


def _other_port(pki: TestPKI) -> Scenario:
    first = pki.lab_honest.but(answer=Answer.REDIRECT_PORT)
    return Scenario((first,), other_port=(pki.man_in_the_middle,), lures=True)


CONNECTIONS = (
    *(
        Case(
            name=f"rogue-connection-{number}",
            family=Family.SEQUENCE,
            presents=f"R2→L′ on the {ordinal} connection only, I→L on all others",
            expected=PINS_REJECT,
            guards="that pins are checked on each connection: a counter, a cache of checked hosts "
            "or a sampling of connections leaves a later one unchecked",
            reference="OWASP MASTG-TEST-0244",
            fix="check the pins in the handshake of every connection, and keep no list of hosts "
            "that were checked before",
            scenario=_only(number, Answer.REDIRECT_SAME),
            separate=_only(number, Answer.OK),
            exercise="let the client follow redirects to the same host, or request {url} as often "
            "on separate connections",
        )
        for number, ordinal in _NUMBERS.items()
    ),
    Case(
        name="other-kind-of-connection",
        family=Family.SEQUENCE,
        presents="I→L on connections like the first one, a man in the middle on those of another "
        "kind: their ClientHello offers other protocols, suites, versions or extensions",
        expected=ALL_REJECT,
        guards="that all of the client's TLS code is pinned: also its WebSocket, its image loader "
        "and its analytics, which often use another library or other settings",
        reference="OWASP MASTG-TEST-0244; RFC 6455 section 4.1",
        fix="give the pins to every library that connects: a WebSocket needs its own (in Python, "
        "ssl=PinnedSSLContext(pins); in OkHttp, the same client)",
        scenario=_other_kind,
        exercise="let the client make its other connections too, for example {url} and then the "
        "WebSocket wss://{host}/",
    ),
    Case(
        name="redirect-to-other-port",
        family=Family.HTTP,
        presents="I→L, and its answer redirects to another port of the same host: to a man in the "
        "middle",
        expected=ALL_REJECT,
        guards="that pins belong to a host, not to one of its ports",
        reference="RFC 9110 section 4.3.3; RFC 7469 section 2.3.3",
        fix="look the pins up by host name only, or refuse other ports",
        scenario=_other_port,
        protocol="http",
    ),
)
