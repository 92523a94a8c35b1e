"""The lab: it attacks a client with forged certificates, and judges how the client reacts.

``authority`` and ``pki`` issue certificates, ``forge`` creates those that no authority would issue,
``attacks`` lists the cases, ``server`` serves them, and ``verdict`` judges the evidence. ``runner``
runs a command or a function against every case, ``trial`` does so for pytest, ``device`` for
phones and apps, and ``report`` writes the results.
"""

from __future__ import annotations

from certpin.lab.authority import Authority, Identity
from certpin.lab.lab_server import LabServer

__all__ = ["Authority", "Identity", "LabServer"]
