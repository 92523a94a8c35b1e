"""Write pin files and journals directly, without certpin's commands, for tests of the gate.

The gate checks, before a certificate is installed, that all clients accept it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.pinfile import PinSet
from certpin.pins import utc_now
from certpin.rotation import AdoptionDelays, Event, format_journal
from tests.cli._rotating import JOURNAL

if TYPE_CHECKING:
    from certpin.pins import HostPin, HostPolicy


def publish(*, days_ago: float = 100, clients: int = 12) -> None:
    """Record in the journal that the pin file was published some days ago, to a number of clients.

    All older versions are recorded as ended at that time: no client has them any more.
    """
    pins = PinSet.load("pins.toml")
    at = utc_now() - timedelta(days=days_ago)
    event = Event(
        at,
        "ana",
        "publish",
        version=pins.version,
        pins=pins,
        clients=clients,
        timing=AdoptionDelays(),
    )
    older = [] if not JOURNAL.exists() else _versions()
    ended = [Event(at, "ana", "ended", version=number) for number in older if number < pins.version]
    with JOURNAL.open("a", encoding="utf-8") as file:
        file.write(format_journal([event, *ended]))


def write_policy(policy: HostPolicy, *, version: int, trust: str = "") -> None:
    """Write ``pins.toml`` with one policy.

    Args:
        policy: the pins of a host. If its name is no wildcard, a server is listed that is down.
        version: the version of the pin file.
        trust: the path of the host's trust anchors, or an empty string for those of the platform.
    """
    lines = ["schema = 1", 'name = "bank"', f"version = {version}"]
    lines += ["[[host]]", f'name = "{policy.pattern}"', f'match = "{policy.match}"']
    lines += [f'trust = "{trust}"'] if trust else []
    for entry in policy.pins:
        lines += ["[[host.pin]]", f'pin = "{entry.pin}"', f'role = "{entry.role}"']
        lines += [f'state = "{entry.state}"']
    if not policy.pattern.wildcard:
        lines += ["[[host.server]]", 'address = "127.0.0.1:9"']  # it does not answer
    Path("pins.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def stage(entry: HostPin) -> None:
    """Add a pin to the policy of the pin file, and give the file the next version."""
    pins = PinSet.load("pins.toml")
    (policy,) = pins.policies
    write_policy(replace(policy, pins=(*policy.pins, entry)), version=pins.version + 1)


def _versions() -> list[int]:
    from certpin.rotation import parse_journal

    events = parse_journal(JOURNAL.read_text(encoding="utf-8"))
    return [event.version for event in events if event.step == "publish" and event.version]
