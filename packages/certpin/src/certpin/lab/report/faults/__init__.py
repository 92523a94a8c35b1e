"""The list of faults (mistakes of clients), which are derived from the verdicts of a run.

The faults are tried in order. If the verdicts show a fault, it takes the findings (wrong results)
that it explains, and later faults can only explain the findings that are left. So a fault with many
consequences comes before the faults that are among these consequences. Because a fault is derived
only from verdicts, it describes a behaviour of the client, and can't name a line of its code.
"""

from __future__ import annotations

from certpin.lab.report.faults.beside import BESIDE_PINS, IN_CLEAR_TEXT, LOCKED_OUT
from certpin.lab.report.faults.holes import CONNECTIONS, SKIPPED
from certpin.lab.report.faults.model import Fault, VerdictPattern, locked_out
from certpin.lab.report.faults.verification import CERTIFICATES, WHOLE_CLIENT

__all__ = ["FAULTS", "Fault", "VerdictPattern", "locked_out"]

# Data in clear text shows its fault by itself, whatever its case was about: so it is first.
FAULTS = (
    *(IN_CLEAR_TEXT + WHOLE_CLIENT + CERTIFICATES + BESIDE_PINS),
    *(SKIPPED + CONNECTIONS + LOCKED_OUT),
)
