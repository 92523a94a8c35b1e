"""The cases of the lab (together called the matrix), one file per subject.

To add a case, add a ``Case`` to the tuple in the file of its subject. Write two tests for it: one
that its certificates have the forged property, and one that a client without the tested check fails
the case. CONTRIBUTING.md lists the other files that a new case needs (the row "attack").
"""

from __future__ import annotations

from certpin.lab.attacks.authorities import AUTHORITIES
from certpin.lab.attacks.chains import CHAINS
from certpin.lab.attacks.compromised import COMPROMISED
from certpin.lab.attacks.connections import CONNECTIONS
from certpin.lab.attacks.constraints import CONSTRAINTS
from certpin.lab.attacks.dates import DATES
from certpin.lab.attacks.ech import ECH
from certpin.lab.attacks.exhaustion import EXHAUSTION
from certpin.lab.attacks.handshakes import HANDSHAKES
from certpin.lab.attacks.hosts import HOSTS
from certpin.lab.attacks.http3 import HTTP3
from certpin.lab.attacks.leaves import LEAVES
from certpin.lab.attacks.lookalikes import LOOKALIKES
from certpin.lab.attacks.names import NAMES
from certpin.lab.attacks.paths import PATHS
from certpin.lab.attacks.post_quantum import POST_QUANTUM
from certpin.lab.attacks.protocols import PROTOCOLS
from certpin.lab.attacks.proxies import PROXIES
from certpin.lab.attacks.redirects import REDIRECTS
from certpin.lab.attacks.revocation import REVOCATION
from certpin.lab.attacks.roots import ROOTS
from certpin.lab.attacks.rotation import ROTATION
from certpin.lab.attacks.sequences import SEQUENCES
from certpin.lab.attacks.signatures import SIGNATURES
from certpin.lab.attacks.spellings import SPELLINGS
from certpin.lab.attacks.starttls import BEFORE_TLS
from certpin.lab.attacks.transparency import TRANSPARENCY
from certpin.lab.attacks.weak_keys import WEAK_KEYS
from certpin.lab.attacks.weakness import WEAKNESS
from certpin.lab.case import CONTROL

# In the order of a run. The runner adds the good control before and after them.
CASES = (
    *AUTHORITIES,
    *LOOKALIKES,
    *LEAVES,
    *SIGNATURES,
    *CHAINS,
    *EXHAUSTION,
    *NAMES,
    *SPELLINGS,
    *DATES,
    *CONSTRAINTS,
    *COMPROMISED,
    *WEAKNESS,
    *WEAK_KEYS,
    *REVOCATION,
    *PROTOCOLS,
    *HANDSHAKES,
    *ECH,
    *BEFORE_TLS,
    *PROXIES,
    *SEQUENCES,
    *CONNECTIONS,
    *HTTP3,
    *HOSTS,
    *REDIRECTS,
    *ROTATION,
    *PATHS,
    *ROOTS,
    *POST_QUANTUM,
)

# For clients with another requirement than pins. Users choose them by name.
OPTIONAL_CASES = TRANSPARENCY

__all__ = ["CASES", "CONTROL", "OPTIONAL_CASES"]
