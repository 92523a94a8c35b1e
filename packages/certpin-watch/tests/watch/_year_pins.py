"""Generate the pin sets for a year of data: keys, chains, pin files and the pin files' journals."""

from __future__ import annotations

import base64
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab import Authority
from certpin.lab.authority import new_key
from certpin.pinfile import PinSet
from certpin.pins import HostPattern, HostPin, HostPolicy, Pin
from certpin.rotation import AdoptionDelays, Event, format_journal
from certpin.rotation.history import journal_path

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from certpin.pins import State

DAY = timedelta(days=1)
SETS = ("bank-app", "cards", "branch-kiosk", "partners", "internal-tools")
FIRST = (
    "api.bank.example",
    "login.bank.example",
    "cdn.bank.example",
    "push.bank.example",
    "legacy.bank.example",
    "new.bank.example",
)
_WORDS = ("pay", "quotes", "branch", "fx", "loans", "mail", "kyc", "docs", "cards", "ledger", "atm")


@dataclass
class World:
    """The keys and certificates of all hosts in a year of data.

    ``keys`` has the private key of each host. ``chains`` has the DER certificates of each chain
    that a host served, oldest chain first.
    """

    now: datetime
    root: Authority
    issuer: Authority
    names: dict[str, tuple[str, ...]]  # hosts by pin set
    keys: dict[str, EllipticCurvePrivateKey] = field(default_factory=dict)
    chains: dict[str, list[tuple[bytes, ...]]] = field(default_factory=dict)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of the hosts of all pin sets."""
        return tuple(name for names in self.names.values() for name in names)


def world(now: datetime, hosts: int) -> World:
    """Create hosts, their authority, and the certificates that they serve in the year before
    ``now``.
    """
    chance = random.Random(1)
    root = Authority("Example Trust Root R1", now=now)
    issuer = root.intermediate("Example Trust TLS 2026 C2")
    more = [f"{chance.choice(_WORDS)}{number}.bank.example" for number in range(hosts - len(FIRST))]
    share = -(-len(more) // len(SETS))
    names = {each: tuple(more[at * share : (at + 1) * share]) for at, each in enumerate(SETS)}
    names[SETS[0]] = FIRST + names[SETS[0]]
    made = World(now, root, issuer, {name: each for name, each in names.items() if each})
    for host in made.hosts:
        made.keys[host] = new_key()
        made.chains[host] = [_chain(made, host, moment) for moment in renewals(host, now)]
    return made


def renewals(host: str, now: datetime) -> list[datetime]:
    """Return the five times before ``now`` at which a host got a new certificate, oldest first.

    They are 80 days apart, and each certificate is valid for 90 days.
    """
    last = now - (84 if host == FIRST[2] else random.Random(host).randrange(2, 70)) * DAY
    return [last - number * 80 * DAY for number in reversed(range(5))]


def _chain(made: World, host: str, moment: datetime) -> tuple[bytes, ...]:
    identity = made.issuer.at(moment).issue(host, key=made.keys[host], days=90)
    return tuple(each.public_bytes(Encoding.DER) for each in identity.chain)


def pin_of(made: World, host: str) -> Pin:
    """Return the pin of the key that a host serves."""
    from certpin.x509 import Certificate

    return Pin.of_key(Certificate.from_der(made.chains[host][-1][0]).spki_sha256)


def _other(host: str, number: int) -> Pin:
    """Return a random pin that matches no key of any server, always the same for a host and a
    number.
    """
    return Pin("sha256", random.Random(f"{host} {number}").randbytes(32))


def write_sets(made: World, folder: Path) -> tuple[Path, ...]:
    """Write a pin file for each pin set, and its journal. Return the paths of the pin files."""
    (folder / "roots.pem").write_bytes(made.root.pem)
    paths = []
    for name, hosts in made.names.items():
        path = folder / f"{name}.toml"
        path.write_text(_toml(name, 12, _policies(made, hosts, 12)), encoding="utf-8")
        journal_path(path).write_text(format_journal(_events(made, name, hosts, path)), "utf-8")
        paths.append(path)
    return tuple(paths)


def _policies(made: World, hosts: tuple[str, ...], version: int) -> list[HostPolicy]:
    expires = made.now.replace(microsecond=0) + 150 * DAY
    return [
        HostPolicy(HostPattern.parse(h), _pins(made, h, version), expires=expires) for h in hosts
    ]


def _pins(made: World, host: str, version: int) -> tuple[HostPin, ...]:
    """Return the pins of a host in a version of its pin set.

    In versions 9 and 10 the old key is active, and the key that the host serves now is a backup.
    Version 11 activates this key and adds a backup. Version 12 drops the old key and adds another
    backup. For login.bank.example, a key that no server has takes the place of the served key.
    """
    served, old = pin_of(made, host), _other(host, 0)
    if host == "login.bank.example":
        served = _other(host, 9)  # the served key is not pinned
    backup, after = _other(host, 1), _other(host, 2)
    of: dict[int, list[tuple[Pin, str, State]]] = {
        9: [(old, "leaf", "active"), (served, "backup", "published")],
        10: [(old, "leaf", "active"), (served, "backup", "published")],
        11: [
            (served, "leaf", "active"),
            (old, "leaf", "retiring"),
            (backup, "backup", "published"),
        ],
        12: [
            (served, "leaf", "active"),
            (backup, "backup", "published"),
            (after, "backup", "published"),
        ],
    }
    return tuple(HostPin(pin, role, state) for pin, role, state in of[version])  # type: ignore[arg-type]


def _events(made: World, name: str, hosts: tuple[str, ...], path: Path) -> list[Event]:
    timing = AdoptionDelays(opened=21 * DAY)
    events = []
    for version, days, bundled in (
        (9, 340, True),
        (10, 250, False),
        (11, 110, False),
        (12, 9, False),
    ):
        pins = PinSet(name, version, tuple(_policies(made, hosts, version)))
        at = made.now - days * DAY
        events.append(
            Event(at, "anna", "publish", version=version, bundled=bundled, timing=timing, pins=pins)
        )
    if name == SETS[0]:
        events += _rotation(made, hosts[0])
    return events


def _rotation(made: World, host: str) -> list[Event]:
    """Return the events in the journal for the key rotations of one host, oldest first."""
    served, old, backup, after = pin_of(made, host), *(_other(host, number) for number in range(3))
    steps = (
        (345, "generate", served), (342, "stage", served), (130, "generate", backup),
        (118, "stage", backup), (110, "activate", served), (108, "retire", old),
        (40, "remove", old), (16, "generate", after), (12, "stage", after),
    )  # fmt: skip
    return [
        Event(made.now - days * DAY, "anna", step, host=host, pin=pin)  # type: ignore[arg-type]
        for days, step, pin in steps
    ]


def _toml(name: str, version: int, policies: list[HostPolicy]) -> str:
    lines = ["schema = 1", f'name = "{name}"', f"version = {version}"]
    for policy in policies:
        lines += ["", "[[host]]", f'name = "{policy.pattern}"', 'trust = "roots.pem"']
        lines += [
            f"expires = {policy.expires:%Y-%m-%d}",
            'report_to = ["https://pins.bank.example/r"]',
        ]
        for pin in policy.pins:
            text = base64.b64encode(pin.pin.digest).decode()
            lines += ["[[host.pin]]", f'pin = "sha256/{text}"', f'role = "{pin.role}"']
            lines += [f'state = "{pin.state}"', 'note = "kept in the HSM of 2026"']
    return "\n".join(lines) + "\n"
