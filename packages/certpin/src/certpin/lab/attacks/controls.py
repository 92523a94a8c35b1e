"""The good control, a case with the honest server that every client must accept.

Without it, a client that refuses every server would seem secure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.case import ALL_ACCEPT, Case, Family
from certpin.lab.scenario import Scenario

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI


def _good(pki: TestPKI) -> Scenario:
    return Scenario.of(pki.honest)


CONTROL = Case(
    name="control-good",
    family=Family.CONTROL,
    presents="I→L: the honest server",
    expected=ALL_ACCEPT,
    guards="that the client works: a client that refuses every server proves nothing",
    fix="check that the client trusts the lab's root and reaches the lab; read the "
    "client's own output",
    scenario=_good,
)
