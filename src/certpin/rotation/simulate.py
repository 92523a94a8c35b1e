"""Simulate a fleet through a script: how many clients are locked out, when, and by which step.

For each client only the moments count from which it holds each release. Between two of them, and
between two changes of what is served, it is either let in or refused. Clients are looked at in
chunks; the outcome is the same whatever their size.

Importing this loads numpy, which the extra ``simulate`` brings.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from certpin.rotation.simulate_clients import clients
from certpin.rotation.simulate_outcome import Hour, Lockout, Simulation
from certpin.rotation.simulate_safety import Known, safety
from certpin.rotation.simulate_tally import ALWAYS, HOUR, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from certpin.rotation.simulate_clients import Clients, Whole
    from certpin.rotation.simulate_fleet import Fleet
    from certpin.rotation.simulate_release import Release
    from certpin.rotation.simulate_script import Script

_CHUNK = 2**16  # clients: what they need stays in the cache of a processor
_MOMENTS = 2**22  # of a chunk, one for each client and release: 32 MiB


def simulate(
    script: Script, fleet: Fleet, *, chunk: int = 0, done: Callable[[], object] = lambda: None
) -> Simulation:
    """Take a fleet through a script. The same arguments make the same outcome.

    ``chunk`` is how many clients are looked at together, 0 for ``chunk_of``; ``done`` is called
    after each. Not looked at: binaries of the fleet that the script does not have.
    """
    chunk = chunk or chunk_of(script)
    tally, last = Tally(script), [ALWAYS] * len(script.releases)
    binaries = np.zeros(len(fleet.binaries) + 1, np.int64)
    for first in range(0, fleet.clients, chunk):
        some = clients(fleet, first, min(chunk, fleet.clients - first))
        binaries += np.bincount(some.binary, minlength=binaries.size)
        since = _since(some, script.releases)
        if since[0].size:
            last = [max(at, int(each.max())) for at, each in zip(last, since, strict=True)]
            tally.add(script.releases, since)
        done()
    held = _of_binaries(tally, script, fleet, binaries)
    known = Known(script, last, held, sum(fleet.delays.values()))
    return _outcome(script, tally, known, fleet.clients)


def chunk_of(script: Script) -> int:
    """How many clients are looked at together: fewer where there are many releases."""
    return min(_CHUNK, -(-_MOMENTS // len(script.releases)))


def _since(some: Clients, releases: Sequence[Release]) -> list[Whole]:
    """The moments from which each client without a binary holds each release: never back."""
    fetching = some.binary == len(some.fleet.binaries)
    size = int(np.count_nonzero(fetching))
    found = [np.full(size, ALWAYS, np.int64)]
    for release in releases[1:]:
        held = some.hold_from(release.at)
        held = held if size == held.size else held[fetching]
        if release.by is not None:
            np.minimum(held, release.by, out=held)
        found.append(np.maximum(held, found[-1], out=held))
    return found


def _of_binaries(tally: Tally, script: Script, fleet: Fleet, counts: Whole) -> dict[Release, int]:
    """Add the clients of each binary as one: they all hold the same all the time."""
    shares = {
        number: int(count) for (number, _), count in zip(fleet.binaries, counts, strict=False)
    }
    held = {each: shares.get(each.number, 0) for each in script.binaries}
    for release, count in held.items():
        if count:
            tally.add([release], [np.full(1, ALWAYS, np.int64)], count)
    return held


def _outcome(script: Script, tally: Tally, known: Known, count: int) -> Simulation:
    def moment(seconds: int) -> datetime:
        return script.begin + timedelta(seconds=seconds)

    lockouts = [
        Lockout(cause, each.clients, moment(each.first), moment(each.last))
        for cause, each in tally.causes.items()
    ]
    return Simulation(
        count,
        tally.locked_out,
        tally.seconds,
        tuple(sorted(lockouts, key=lambda each: each.first)),
        tuple(safety(known)),
        tuple(
            Hour(moment(at * HOUR), out, held)
            for at, (out, held) in enumerate(
                zip(tally.refused_by_hour.tolist(), _held(tally), strict=True)
            )
        ),
    )


def _held(tally: Tally) -> list[dict[int, int]]:
    """What is held at each hour. One version after the other: all at once would be much memory."""
    found: list[dict[int, int]] = [{} for _ in range(tally.hours)]
    for number, counts in tally.held_by_hour():
        hours = np.flatnonzero(counts)
        for hour, count in zip(hours.tolist(), counts[hours].tolist(), strict=True):
            found[hour][number] = count
    return found
