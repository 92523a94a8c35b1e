"""Cases of Encrypted ClientHello (ECH): the server rejects ECH, and the client connects again.

The lab gives the client an ECH configuration for which the server has no key. So the server uses
the outer ClientHello, which names the configuration's public name instead of the host, and the
server offers no other configuration. If the server's certificate is valid for the public name, the
client is then allowed to connect again without ECH (RFC 9849 sections 6.1.6 and 6.1.7). On this
second connection the name of the host is in clear text, and the client has to verify the host as
always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.case import ALL_ACCEPT, ALL_REJECT, Case, Family
from certpin.lab.scenario import PUBLIC_NAME, Role, Scenario, ServerStep

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI


def _rejection(pki: TestPKI) -> ServerStep:
    """Return a server step with a valid certificate for the public name, which rejects ECH.

    A step describes how the lab serves one connection.
    """
    return ServerStep.of(pki.intermediate.issue(PUBLIC_NAME), role=Role.HONEST)


def _then_honest(pki: TestPKI) -> Scenario:
    return Scenario((pki.honest,), ech=(_rejection(pki),))


def _then_rogue(pki: TestPKI) -> Scenario:
    return Scenario((pki.man_in_the_middle,), ech=(_rejection(pki),))


def _by_rogue(pki: TestPKI) -> Scenario:
    # The attacker relays the second connection, in which he reads the name of the host: the client
    # must not make it.
    relayed = pki.honest.but(role=Role.ATTACKER)
    return Scenario((relayed,), ech=(ServerStep.of(pki.untrusted.issue(PUBLIC_NAME)),))


ECH_CONTROL = Case(
    name="control-ech-rejected",
    family=Family.CONTROL,
    presents="the honest server after a rejection of ECH",
    expected=ALL_ACCEPT,
    guards="that the client offers ECH, and connects without it after an authenticated rejection",
    fix="the client may not offer ECH with {ech}, or not connect without it after a rejection",
    scenario=_then_honest,
)

ECH = (
    Case(
        name="ech-rejected-then-rogue",
        family=Family.SEQUENCE,
        presents="a rejection of ECH with a valid certificate, and then a man in the middle",
        expected=ALL_REJECT,
        guards="that the connection without ECH after a rejection is verified and pinned too",
        reference="RFC 9849 section 6.1.6",
        fix="connect again with the same settings, and only without the ECH configuration",
        scenario=_then_rogue,
        control=ECH_CONTROL,
    ),
    Case(
        name="ech-rejected-by-rogue",
        family=Family.AUTHORITY,
        presents="a rejection of ECH with a certificate of U, and then the honest server",
        expected=ALL_REJECT,
        guards="that an attacker can't make the client send the name of its host in clear text",
        reference="RFC 9849 sections 6.1.6 and 6.1.7",
        fix="verify the certificate for the public name before ECH counts as rejected, and let the "
        "request fail if it is invalid",
        scenario=_by_rogue,
        control=ECH_CONTROL,
    ),
)
