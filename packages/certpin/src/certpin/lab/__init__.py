"""The lab: it attacks a client with forged certificates, and judges how the client reacts.

``authority`` and ``pki`` issue certificates, ``forge`` creates those that no authority would issue,
``attacks`` lists the cases, ``server`` plays the server of each case, and ``verdict`` judges the
evidence. ``runner`` runs a command or a function against every case, ``trial`` does so for pytest,
``device`` for phones and apps, and ``report`` writes the results. ``own`` tests clients with chains
that the user supplies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin.lab.authority import Authority, Identity
from certpin.lab.lab_server import LabServer

if TYPE_CHECKING:
    from certpin.lab.case import CannotServeError, LabError
    from certpin.lab.client import Command
    from certpin.lab.own.proof import prove
    from certpin.lab.own.reader import load_cases
    from certpin.lab.runner import Result, Run

__all__ = [
    "Authority",
    "CannotServeError",
    "Command",
    "Identity",
    "LabError",
    "LabServer",
    "Result",
    "Run",
    "load_cases",
    "prove",
]

# Imported at their first use: a test with an authority needs no client and no runner.
_MODULES = {
    "CannotServeError": "certpin.lab.case",
    "Command": "certpin.lab.client",
    "LabError": "certpin.lab.case",
    "Result": "certpin.lab.runner",
    "Run": "certpin.lab.runner",
    "load_cases": "certpin.lab.own.reader",
    "prove": "certpin.lab.own.proof",
}


def __getattr__(name: str) -> Any:
    """Import a public name of the lab when it is first used."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
