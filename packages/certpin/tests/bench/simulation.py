"""Time and memory to simulate a year of key rotations, with ten million and one million clients."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from certpin.rotation import Step
from certpin.rotation.fleet import Fleet
from certpin.rotation.simulate_script import DatedStep, Script, build_script
from tests.bench.paired import Figure
from tests.rotation._situations import DAY, NOW, pin, sighting, situation, version

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLIENTS = 10_000_000
_PERIOD = 45 * DAY  # a certificate for 47 days, each with a new key


def figures() -> Iterator[Figure]:
    """Measure both simulations, each in a separate process for a peak memory of its own."""
    few = _measured(_CLIENTS // 10)
    seconds, size, out = _measured(_CLIENTS)
    name = f"simulate: a year, {len(a_year().steps)} steps: {_CLIENTS:,} clients / a tenth"
    yield Figure(name, seconds / few[0], limit=11)
    yield Figure("  beside it: seconds of CPU", seconds, " s")
    yield Figure("simulate: resident size of that / of a tenth", size / few[1], limit=1.5)
    yield Figure("  beside it: resident size", size, " GiB")
    yield Figure("  beside it: of them locked out by the step that is early", out)


def _measured(clients: int) -> tuple[float, float, float]:
    words = [
        *(sys.executable, "-c"),
        f"from tests.bench import simulation; simulation.measure({clients})",
    ]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    seconds, size, out = map(float, done.stdout.split())
    return seconds, size, out


def measure(clients: int) -> None:
    """Simulate the year. Print CPU seconds, peak GiB, and the share of locked-out clients."""
    from certpin.rotation.simulate import simulate

    begin = time.process_time()
    outcome = simulate(a_year(), Fleet(clients))
    took = time.process_time() - begin
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(took, size, outcome.locked_out / clients)


def a_year() -> Script:
    """Return the simulated key rotations: a new key every 45 days.

    Each key is published in a pin set. The server uses it 33 days later; then the key two before
    it is removed. One key is used too early, after 20 days, so that it locks out some clients.
    """
    held = version(1, {"key0": "active", "key1": "published"}, ago=90 * DAY)
    steps: list[DatedStep] = []
    for turn in range(8):
        at = NOW + turn * _PERIOD
        served = at + (20 if turn == 4 else 33) * DAY
        acts = [(Step("stage", pin(f"key{turn + 2}")), at), (Step("publish"), at)]
        acts += [(Step("serve", pin(f"key{turn + 2}")), served)]
        acts += [(Step("remove", pin(f"key{turn}")), served), (Step("publish"), served)]
        steps += [DatedStep(len(steps) + place, *each) for place, each in enumerate(acts, 1)]
    return build_script(situation(held.pins, held, seen=(sighting("key0"),)), steps)
