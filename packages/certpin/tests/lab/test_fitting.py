"""Options of a run (TLS version, client certificates, …) change only servers that they apply to."""

from __future__ import annotations

import pytest

from certpin.lab.scenario import VERSIONS, Role, Scenario, ServerStep, TLSSettings, fit

HOSTILE = ServerStep((), b"")
HONEST = HOSTILE.but(role=Role.HONEST)
OLD = HONEST.but(settings=TLSSettings(oldest="TLSv1", newest="TLSv1"))
TICKETS = HONEST.but(settings=TLSSettings(tickets="shared"))


def test_scenario_without_options_is_unchanged() -> None:
    scenario = Scenario((HOSTILE, HONEST, OLD), second=(TICKETS,), unpinned=(HONEST,), lures=True)
    assert fit(scenario) == scenario


@pytest.mark.parametrize(("tls", "name"), VERSIONS.items())
def test_version_applies_to_steps_without_a_version(tls: str, name: str) -> None:
    fitted = fit(Scenario((HOSTILE, OLD), second=(TICKETS,), unpinned=(HONEST,)), tls=tls)
    wanted = TLSSettings(oldest=name, newest=name)
    assert fitted.first == (HOSTILE.but(settings=wanted), OLD)
    assert fitted.second[0].settings == TLSSettings(oldest=name, newest=name, tickets="shared")
    assert fitted.unpinned[0].settings == wanted


def test_only_honest_servers_require_certificates() -> None:
    asks = HOSTILE.but(settings=TLSSettings(asks_certificate=True))
    scenario = Scenario((HOSTILE, asks), second=(HONEST,), canary_only=True)
    fitted = fit(scenario, client_certificates=True)
    assert fitted.first == (HOSTILE, asks)
    assert fitted.second[0].settings == TLSSettings(needs_certificate=True)
    assert fitted.canary_only
