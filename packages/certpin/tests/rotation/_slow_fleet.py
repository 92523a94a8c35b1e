"""A slow reference of the simulation: client by client, one time after the other.

Without arrays and chunks: the vectorised simulation has to return the same numbers.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from certpin.rotation.simulate_fleet import WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.rotation.simulate_fleet import Fleet
    from certpin.rotation.simulate_script import Release, Script

EVERY = 7  # hours between two samples
GOLDEN, MASK = 0x9E3779B97F4A7C15, 2**64 - 1
Cause = tuple[str, int | None, int | None]


class Slow(NamedTuple):
    """Clients that were ever locked out, their seconds, the clients of each cause, the hours."""

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


def _mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def _draws(seed: int, number: int) -> list[int]:
    start = _mix((seed * GOLDEN + GOLDEN) & MASK)
    wide = [_mix((start + (number * 4 + stream) * GOLDEN) & MASK) for stream in range(4)]
    return [half for each in wide for half in (each >> 32, each % WHOLE)]


def _since(script: Script, fleet: Fleet, client: int) -> list[tuple[int, Release]]:
    """The moments at which one client gets each version."""
    draws, before = _draws(fleet.seed, client), 0
    for number, share in fleet.binaries:
        before += max(round(share * fleet.clients), 1) if share else 0
        if client < before:
            return [(-(10**12), each) for each in script.binaries if each.number == number]
    found = [(-(10**12), script.releases[0])]
    for release in script.releases[1:]:
        at = _gets(release, fleet, draws)
        if release.by is not None:
            at = min(at, release.by)
        found.append((max(at, found[-1][0]), release))
    return found


def _gets(release: Release, fleet: Fleet, draws: list[int]) -> int:
    delays = fleet.delays
    if draws[6] < int(fleet.stragglers * WHOLE):
        return release.at + sum(delays.values())
    periods = [delays["cdn"], delays["cache"], delays["poll"], _gap(fleet, draws[3])]
    at = release.at
    for period, draw in zip(periods, (draws[0], draws[1], draws[2], draws[4]), strict=True):
        phase = draw * period // WHOLE
        while period and at % period != phase:
            step = (phase - at) % period
            at += step
    return at + draws[5] * (delays["skew"] + 1) // WHOLE


def _gap(fleet: Fleet, draw: int) -> int:
    points = fleet.gaps
    for (low, gap), (high, longer) in itertools.pairwise(points):
        if low <= draw < high:
            return gap + (draw - low) * (longer - gap) // (high - low)
    raise AssertionError("the curve ends with all clients")


def _held(since: list[tuple[int, Release]], at: int) -> Release:
    return [release for moment, release in since if moment <= at][-1]


def _refused(
    script: Script, since: list[tuple[int, Release]]
) -> Iterator[tuple[int, int, Cause | None]]:
    """Begin, end and cause; the cause is ``None`` if it continues the previous one."""
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
