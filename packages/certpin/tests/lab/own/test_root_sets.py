"""Clients with a provider's root set accept each root of that provider, and no other root.

Each root of the data, and 20 others, has a substitute (``tests.providers.test_proof``), and is a
case with a chain of the user. Every case has the pins of the provider's set, and trusts every root.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.lab.client import Call
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome
from tests.lab._clients import request, right_client, trusting
from tests.lab.own._own import ACCEPT, REFUSE, case, own
from tests.providers.test_proof import OTHERS, REAL, authorities, identity, pins_of, roots_of
from tests.tls._wire import HOST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.lab.case import Case


def set_case(provider: str, root: str) -> Case:
    """Return a server's case: its chain ends at ``root``, and the pins are of a provider's roots.

    The client must accept if the root is one of the provider's.
    """
    pins = tuple(pins_of(provider).policies[0].live_pins)
    chain = own(identity(root), *authorities().values(), host=HOST, pins=pins)
    return case(ACCEPT if root in roots_of(provider) else REFUSE, chain, root)


def outcomes(client: Call, cases: Iterable[Case]) -> dict[str, Outcome]:
    """Run a client on these cases, and return the outcome of each by the name of the case."""
    with Lab(HOST, Style.CA) as lab:
        run = prove(lab, client, cases, jobs=2)
    assert run.controlled, [result.why for result in run.results]
    return {result.case.name: result.outcome for result in run.results[1:-1]}


@pytest.mark.slow
@pytest.mark.parametrize("provider", REAL.providers)
def test_in_the_lab_every_root_of_a_provider_is_accepted_and_every_other_refused(
    provider: str,
) -> None:
    cases = [set_case(provider, root) for root in authorities()]
    found = outcomes(right_client(Style.CA), cases)
    assert found == dict.fromkeys(authorities(), Outcome.RIGHT)


@pytest.mark.slow
def test_the_lab_finds_a_client_that_accepts_other_roots_than_those_of_the_set() -> None:
    client = Call(lambda target: request(target, trusting(target)))
    [mine, *_] = sorted(roots_of("amazon"))
    found = outcomes(client, [set_case("amazon", root) for root in (mine, OTHERS[0])])
    assert found == {mine: Outcome.RIGHT, OTHERS[0]: Outcome.WRONG}
