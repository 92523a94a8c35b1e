"""The attacker's side: an authority that forges, and a server that presents what it made."""

from __future__ import annotations

from certpin.lab.authority import Authority, Identity
from certpin.lab.server import LabServer

__all__ = ["Authority", "Identity", "LabServer"]
