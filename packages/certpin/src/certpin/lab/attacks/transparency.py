"""Cases of Certificate Transparency, for clients that require it (``require_ct``).

The chain verifies, and a pin matches. A run contains these cases only if the user names them,
because a client that doesn't require Certificate Transparency accepts their servers rightly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.case import ALL_ACCEPT, PINS_REJECT, Case, Family
from certpin.lab.scenario import Scenario, ServerStep

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI


def _no_scts(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.leaf))


def _unknown_logs(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.logged(pki.authorities.unknown_logs)))


def _logged(pki: TestPKI) -> Scenario:
    return Scenario.legitimate(pki.logged(pki.authorities.logs))


_REFERENCE = "RFC 6962 section 3.3; Chrome's Certificate Transparency policy"
_FIX = (
    "let the pin file name the list of logs (`ct_logs`), set `require_ct = true`, and give it to "
    "the client that makes the connections"
)

TRANSPARENCY = (
    Case(
        name="no-scts",
        family=Family.TRANSPARENCY,
        presents="I→L: the pinned key of the server, in a certificate that is in no log",
        expected=PINS_REJECT,
        guards="that a certificate which its owner can't find in any log is refused, although a "
        "pin matches",
        reference=_REFERENCE,
        fix=_FIX,
        scenario=_no_scts,
        requires_ct=True,
    ),
    Case(
        name="unknown-logs",
        family=Family.TRANSPARENCY,
        presents="I→L: the same, with promises of logs that the client doesn't recognise",
        expected=PINS_REJECT,
        guards="that only the logs of the client's list count: an attacker can run others",
        reference=_REFERENCE,
        fix=_FIX,
        scenario=_unknown_logs,
        requires_ct=True,
    ),
    Case(
        name="logged",
        family=Family.TRANSPARENCY,
        presents="I→L: the honest server, with a certificate that two known logs have",
        expected=ALL_ACCEPT,
        guards="that the client accepts a certificate which is in enough logs",
        reference=_REFERENCE,
        fix="compare the log list of the client with the logs of the certificate: certpin check "
        "prints them",
        scenario=_logged,
        requires_ct=True,
    ),
)
