"""The lab: an authority that forges certificates, and servers that present them."""

from __future__ import annotations

from certpin.lab.authority import Authority, Identity
from certpin.lab.lab_server import LabServer

__all__ = ["Authority", "Identity", "LabServer"]
