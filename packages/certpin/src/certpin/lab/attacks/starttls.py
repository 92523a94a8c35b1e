"""Cases of attacks before TLS, for protocols that begin in clear text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.case import ALL_REJECT, Case, Family
from certpin.lab.scenario import Opening, Scenario, ServerStep
from certpin.lab.server.protocols import STARTTLS

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI


def _strip(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.leaf, opening=Opening.STRIP))


def _inject(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.leaf, opening=Opening.INJECT))


BEFORE_TLS = (
    Case(
        name="starttls-strip",
        family=Family.STARTTLS,
        presents="a server that does not offer STARTTLS, or answers N to PostgreSQL's SSLRequest",
        expected=ALL_REJECT,
        guards="that a client does not continue in clear text if TLS is not available",
        reference="RFC 3207 section 6; RFC 8314 section 3",
        fix=(
            "require TLS instead of using it if it is offered: --ssl-reqd, sslmode=verify-full; "
            "with smtplib and imaplib call starttls(), and let its exception end the connection"
        ),
        scenario=_strip,
        protocol=STARTTLS,
    ),
    Case(
        name="starttls-injection",
        family=Family.STARTTLS,
        presents="I→L: the honest server, with an attacker's answer appended to the reply to "
        "STARTTLS",
        expected=ALL_REJECT,
        guards="that data received before TLS is not treated as received under TLS",
        reference="CVE-2021-22947; CVE-2011-0411; CVE-2021-23222",
        fix="refuse the connection, or empty every read buffer, before the TLS handshake begins",
        scenario=_inject,
        protocol=STARTTLS,
    ),
)
