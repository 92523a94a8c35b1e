"""The matrix: one family a file. A new case is one entry in its family's file."""

from __future__ import annotations

from certpin.lab.attacks.authorities import AUTHORITIES
from certpin.lab.attacks.controls import CONTROL

# In the order in which a run goes through them. The control comes first and last by itself.
CASES = (*AUTHORITIES,)

__all__ = ["CASES", "CONTROL"]
