"""Simulate 1,000 renewals of 47-day certificates, and 1,000 of 6-day certificates.

The rotation gate locks no client out, and the operator never has to force a step.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.rotation._renewals import RENEWALS, SITES, simulate

if TYPE_CHECKING:
    from tests.rotation._renewals import Strategy

pytestmark = pytest.mark.slow

LIFETIMES = [pytest.param(timedelta(days=days), id=f"{days} days") for days in (47, 6)]
STRATEGIES: list[Strategy] = ["reused key", "staged keys", "provider's roots"]


@pytest.mark.parametrize("lifetime", LIFETIMES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_thousand_renewals_lock_no_client_out(strategy: Strategy, lifetime: timedelta) -> None:
    found = simulate(strategy, lifetime)
    assert found.renewals == SITES * RENEWALS == 1000
    assert (found.locked_out, found.expired, found.forced, found.refused) == (0, 0, 0, 0)
    assert found.unplanned == 0
    if strategy == "staged keys":
        assert found.switched + found.kept == 1000
        assert found.switched > 300
        assert found.kept > (500 if lifetime < timedelta(days=30) else 50)
    else:
        assert (found.switched, found.kept) == (0, 0)


def test_without_the_gate_the_clients_notice() -> None:
    """Without the gate, more than 100 clients are locked out: the simulation detects lockouts."""
    found = simulate("staged keys", timedelta(days=6), asks_the_gate=False)
    assert found.locked_out > 100
    unannounced = simulate(
        "provider's roots", timedelta(days=6), notice=timedelta(0), asks_the_gate=False
    )
    assert unannounced.locked_out > 100


def test_a_root_without_notice_is_refused_and_has_to_be_forced() -> None:
    found = simulate("provider's roots", timedelta(days=6), notice=timedelta(0))
    assert found.refused > 100
    assert found.forced > 100
    assert found.locked_out > 100
