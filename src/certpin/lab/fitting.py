"""What a whole run asks of its acts: one version of TLS, or client certificates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.lab.script import Role, Settings

if TYPE_CHECKING:
    from certpin.lab.script import Act, Script

VERSIONS = {"1.2": "TLSv1_2", "1.3": "TLSv1_3"}
_ANY = Settings()


def fit(script: Script, *, tls: str = "", client_certificates: bool = False) -> Script:
    """A script as this run plays it.

    ``tls`` is a key of ``VERSIONS``, or empty for both; acts that are about versions of TLS keep
    their own. With ``client_certificates``, honest servers need one: the good control then proves
    that the client has it.
    """

    def change(act: Act) -> Act:
        settings = act.settings
        if tls and (settings.oldest, settings.newest) == (_ANY.oldest, _ANY.newest):
            settings = replace(settings, oldest=VERSIONS[tls], newest=VERSIONS[tls])
        if client_certificates and act.role is Role.HONEST:
            settings = replace(settings, needs_certificate=True)
        return act if settings is act.settings else act.but(settings=settings)

    return replace(
        script,
        first=tuple(map(change, script.first)),
        second=tuple(map(change, script.second)),
        unpinned=tuple(map(change, script.unpinned)),
    )
