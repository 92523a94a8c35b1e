"""What a whole run asks of its steps: one version of TLS, or client certificates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.lab.scenario import Role, TLSSettings

if TYPE_CHECKING:
    from certpin.lab.scenario import Scenario, ServerStep

VERSIONS = {"1.2": "TLSv1_2", "1.3": "TLSv1_3"}
_ANY = TLSSettings()


def fit(scenario: Scenario, *, tls: str = "", client_certificates: bool = False) -> Scenario:
    """A scenario as this run plays it.

    ``tls`` is a key of ``VERSIONS``, or empty for both; steps that are about versions of TLS keep
    their own. With ``client_certificates``, honest servers need one: the good control then proves
    that the client has it.
    """

    def change(step: ServerStep) -> ServerStep:
        settings = step.settings
        if tls and (settings.oldest, settings.newest) == (_ANY.oldest, _ANY.newest):
            settings = replace(settings, oldest=VERSIONS[tls], newest=VERSIONS[tls])
        if client_certificates and step.role is Role.HONEST:
            settings = replace(settings, needs_certificate=True)
        return step if settings is step.settings else step.but(settings=settings)

    return replace(
        scenario,
        first=tuple(map(change, scenario.first)),
        second=tuple(map(change, scenario.second)),
        unpinned=tuple(map(change, scenario.unpinned)),
    )
