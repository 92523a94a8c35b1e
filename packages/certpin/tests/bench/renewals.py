"""The harm of simulated certificate renewals that certpin's rotation check accepts or refuses.

``tests/rotation/_renewals.py`` has the simulation.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tests.bench.paired import Figure
from tests.rotation._renewals import simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rotation._renewals import Strategy

_STRATEGIES: tuple[Strategy, ...] = ("reused key", "staged keys", "provider's roots")


def figures() -> Iterator[Figure]:
    """Count locked-out clients, expired certificates and forced renewals in a simulation.

    There is one simulation of a thousand renewals for each strategy for keys and each lifetime of
    certificates.
    """
    for strategy in _STRATEGIES:
        for days in (47, 6):
            found = simulate(strategy, timedelta(days=days))
            name = f"{found.renewals:,} renewals, {days} days, {strategy}"
            yield Figure(f"{name}: locked out, of {found.clients}", found.locked_out, "", limit=0)
            yield Figure("  certificates that expired after a refusal", found.expired, "", limit=0)
            yield Figure("  uses of --force", found.forced, "", limit=0)
            if strategy == "staged keys":
                yield Figure("  beside it: changed to the staged key", found.switched, "")
                yield Figure("  beside it: kept the key, as the plan says", found.kept, "")
