"""What a run asks of its steps reaches those that it concerns, and no others."""

from __future__ import annotations

import pytest

from certpin.lab.scenario import VERSIONS, Role, Scenario, ServerStep, TLSSettings, fit

HOSTILE = ServerStep((), b"")
HONEST = HOSTILE.but(role=Role.HONEST)
OLD = HONEST.but(settings=TLSSettings(oldest="TLSv1", newest="TLSv1"))
TICKETS = HONEST.but(settings=TLSSettings(tickets="shared"))


def test_without_a_wish_a_script_stays_as_it_is() -> None:
    scenario = Scenario((HOSTILE, HONEST, OLD), second=(TICKETS,), unpinned=(HONEST,), lures=True)
    assert fit(scenario) == scenario


@pytest.mark.parametrize(("tls", "name"), VERSIONS.items())
def test_a_version_is_for_all_acts_that_are_not_about_versions(tls: str, name: str) -> None:
    fitted = fit(Scenario((HOSTILE, OLD), second=(TICKETS,), unpinned=(HONEST,)), tls=tls)
    wanted = TLSSettings(oldest=name, newest=name)
    assert fitted.first == (HOSTILE.but(settings=wanted), OLD)
    assert fitted.second[0].settings == TLSSettings(oldest=name, newest=name, tickets="shared")
    assert fitted.unpinned[0].settings == wanted


def test_certificates_are_needed_by_honest_servers_alone() -> None:
    asks = HOSTILE.but(settings=TLSSettings(asks_certificate=True))
    scenario = Scenario((HOSTILE, asks), second=(HONEST,), canary_only=True)
    fitted = fit(scenario, client_certificates=True)
    assert fitted.first == (HOSTILE, asks)
    assert fitted.second[0].settings == TLSSettings(needs_certificate=True)
    assert fitted.canary_only
