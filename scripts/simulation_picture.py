"""Draw docs/guides/simulation.svg: a simulated rotation of a key.

It is the example of docs/guides/rotate.md, with step 4 taken 13 days early.
"""

from __future__ import annotations

import hashlib
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from certpin.cli.rotate.simulate import script_of_plan
from certpin.cli.rotate.simulate_plot import draw
from certpin.cli.rotate.simulate_views import HostSimulation
from certpin.pins import HostPattern, HostPin, HostPolicy, Pin, PinSet
from certpin.rotation import AdoptionDelays, DeployedVersions, Situation, Version, plan
from certpin.rotation.fleet import Fleet
from certpin.rotation.simulate import simulate

TARGET = Path(__file__).parent.parent / "docs/guides/simulation.svg"
HOST = HostPattern.parse("api.bank.example")
BEGIN = datetime(2027, 3, 1, 9, tzinfo=UTC)
OUT = BEGIN - timedelta(days=90)  # version 11 was published then
MOVES = {4: timedelta(days=-13)}
CLIENTS = 1_000_000


def pin(name: str) -> Pin:
    """Return the pin of an example key: ``a`` is served, ``b`` is its backup, ``c`` comes next."""
    return Pin.of_key(hashlib.sha256(name.encode()).digest())


def example() -> PinSet:
    """Return the published pin set of the example: the host with the pins of ``a`` and ``b``."""
    pins = (HostPin(pin("a")), HostPin(pin("b"), "backup", "published"))
    return PinSet("bank", 11, (HostPolicy(HOST, pins),))


def text() -> bytes:
    """Return the SVG of the simulated rotation."""
    deployed = DeployedVersions((Version(example(), fetched=OUT),))
    situation = Situation(example(), HOST, deployed, (), AdoptionDelays(), BEGIN)
    names = {pin("c"): "c.key"}
    script = script_of_plan(situation, plan(situation, pin("c")), MOVES, {})
    fleet = Fleet(CLIENTS)
    return draw(HostSimulation(str(HOST), script, simulate(script, fleet), names), fleet, "svg")


if __name__ == "__main__":
    TARGET.write_bytes(text())
    sys.stdout.write(f"{TARGET.name}: drawn\n")
