"""A slow reference for ``certpin.rotation.simulate``, which computes one client at a time.

The simulation processes arrays of clients in chunks, and has to return the same numbers.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.rotation.fleet import Fleet
    from certpin.rotation.simulate_script import Release, Script

EVERY = 7  # hours between two samples
Cause = tuple[str, int | None, int | None]


class Slow(NamedTuple):
    """The result of the slow simulation.

    Attributes:
        locked_out: how many clients were locked out at any time.
        seconds: the sum of the seconds for which clients were locked out.
        causes: the number of clients for each cause of a lockout.
        hours: for every seventh hour, the number of locked out clients, and the number of clients
            with each version.
    """

    locked_out: int
    seconds: int
    causes: Counter[Cause]
    hours: list[tuple[int, Counter[int]]]


def simulate_slowly(script: Script, fleet: Fleet) -> Slow:
    locked_out = seconds = 0
    causes: Counter[Cause] = Counter()
    refused = [0] * -(-script.until // 3600 // EVERY)
    held: list[Counter[int]] = [Counter() for _ in refused]
    for number in range(fleet.clients):
        since = _since(script, fleet, number)
        spans = list(_refused(script, since))
        locked_out += bool(spans)
        seconds += sum(end - begin for begin, end, _ in spans)
        causes.update({cause for _, _, cause in spans if cause})
        for hour in range(len(refused)):
            at = hour * EVERY * 3600
            refused[hour] += any(begin <= at < end for begin, end, _ in spans)
            held[hour][_held(since, at).number] += 1
    return Slow(locked_out, seconds, causes, list(zip(refused, held, strict=True)))


def _since(script: Script, fleet: Fleet, client: int) -> list[tuple[int, Release]]:
    """Return when one client gets which version, as pairs of seconds and version, in order.

    Args:
        script: the published versions and served keys over time.
        fleet: the clients.
        client: the number of the client; those that fetch come first, the fastest at 0.
    """
    sizes = fleet.sizes
    before = sizes.fetching or 0
    if client >= before:
        for number, count in sizes.binaries.items():
            before += count or 0
            if client < before:
                return [(-(10**12), each) for each in script.binaries if each.number == number]
    found = [(-(10**12), script.releases[0])]
    for release in script.releases[1:]:
        at = _gets(release, fleet, client)
        if release.by is not None:
            at = min(at, max(release.by, release.at))
        found.append((max(at, found[-1][0]), release))
    return found


def _gets(release: Release, fleet: Fleet, client: int) -> int:
    """Return the second at which a client gets a version that is published for all to fetch.

    It is the first second in which the fleet's curve has more than ``client`` clients with it.
    """
    clients, curve = fleet.sizes.fetching or 0, fleet.arrivals
    low, high = 0, curve.points[-1][0]
    while low < high:
        middle = (low + high) // 2
        if curve.reached(clients, middle) > client:
            high = middle
        else:
            low = middle + 1
    return release.at + low


def _held(since: list[tuple[int, Release]], at: int) -> Release:
    return [release for moment, release in since if moment <= at][-1]


def _refused(
    script: Script, since: list[tuple[int, Release]]
) -> Iterator[tuple[int, int, Cause | None]]:
    """Yield the periods in which one client is locked out: begin, end (in seconds) and cause.

    The cause is ``None`` if the period continues the previous one.
    """
    ends = {each.end for _, each in since} | {0}
    changes = {each.at for each in script.servings} | {moment for moment, _ in since}
    moments = sorted(each for each in ends | changes if each is not None and each >= 0)
    moments = [*(each for each in moments if each < script.until), script.until]
    before = False
    for begin, end in itertools.pairwise(moments):
        held = _held(since, begin)
        served = [each for each in script.servings if each.at <= begin][-1]
        now = held.refuses(served.chains, begin)
        if now:
            yield begin, end, None if before else _cause(script, held, begin)
        before = now


def _cause(script: Script, held: Release, at: int) -> Cause:
    served = [each for each in script.servings[1:] if each.at == at]
    if served:
        return "serve", served[-1].step, None
    if at == 0:
        return "beginning", None, None
    if at == held.end:
        return "expiry", None, None
    return "publish", held.step, held.number
