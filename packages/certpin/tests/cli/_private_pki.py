"""A host with a private authority: pin files, chains and versions for the tests of rotations.

No server is started. The chain that servers present is in ``served.pem``, which the commands get
with ``--served``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.lab import Authority
from certpin.lab.authority import new_key
from certpin.pins import HostPattern, HostPin, HostPolicy, Pin
from certpin.x509.keys import public_key_of
from tests.cli._pinfiles import write
from tests.cli._rotating import days_pass, next_number
from tests.cli.conftest import HOST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.lab import Identity
    from certpin.pins import Match, Role, State
    from tests.cli.conftest import Done, Run

TRUST = Path("private-ca.pem")
WITH = ("--offline", "--served", "served.pem")
_YEAR = 365


@dataclass(frozen=True)
class Entry:
    """A pin of a pin file, by the name of its key."""

    name: str
    role: Role
    state: State


LEAF, BACKUP = Entry("server", "leaf", "active"), Entry("backup", "backup", "published")


class PrivatePKI:
    """Authorities and keys by name: ``root1`` issues ``int1`` and ``int2``, ``root2`` ``int3``.

    ``other`` is one more authority below ``root1``, for a backup.
    """

    def __init__(self) -> None:
        root1, root2 = Authority("root1"), Authority("root2")
        self.authorities = {
            "root1": root1,
            "root2": root2,
            "int1": root1.intermediate("int1"),
            "int2": root1.intermediate("int2"),
            "int3": root2.intermediate("int3"),
            "other": root1.intermediate("other"),
        }
        self.keys = {name: new_key() for name in ("server", "backup", "new")}

    def pin(self, name: str) -> Pin:
        """Return the pin of the key or authority with this name."""
        if name in self.authorities:
            return self.authorities[name].pin
        return Pin.of_key(public_key_of(self.keys[name]).spki_sha256)

    def issue(self, key: str, issuer: str, *names: str, days: float = _YEAR) -> Identity:
        """Issue a certificate for the host, or for other names."""
        return self.authorities[issuer].issue(*(names or [HOST]), key=self.keys[key], days=days)


class Hospital:
    """The host, in the current folder: its pin file, its chains, and the versions of clients."""

    def __init__(self, run: Run, pki: PrivatePKI) -> None:
        self.run, self.pki = run, pki

    def write(self, match: Match, roots: Iterable[str], entries: Iterable[Entry]) -> None:
        """Write the pin file as version 3, with its trust anchors; without any: the platform's."""
        self.trust(roots)
        pins = tuple(HostPin(self.pki.pin(each.name), each.role, each.state) for each in entries)
        write(
            HostPolicy(HostPattern.parse(HOST), pins, match=match),
            trust=TRUST if TRUST.stat().st_size else None,
        )

    def trust(self, roots: Iterable[str]) -> None:
        """Write the trust anchors of the pin file."""
        TRUST.write_bytes(b"".join(self.pki.authorities[each].pem for each in roots))

    def chain(self, key: str, issuer: str, *names: str, days: float = _YEAR) -> str:
        """Write the chain of a key under an authority to a file, and return its name."""
        path = Path(f"{key}-{issuer}.pem")
        path.write_bytes(self.pki.issue(key, issuer, *names, days=days).chain_pem)
        return path.name

    def serve(self, chain: str) -> None:
        """Let servers present the chain of a file."""
        Path("served.pem").write_bytes(Path(chain).read_bytes())

    def ship(self, *words: str, days: float = 0) -> None:
        """Record the pin file as a version that 900 clients get since some days.

        ``words`` are more options of ``rotate shipped``.
        """
        shipped = self("shipped", next_number(), "--clients", "900", *words)
        assert shipped.code == 0, shipped.err
        days_pass(days)

    def __call__(self, command: str, *words: str) -> Done:
        return self.run("rotate", command, *words, *(() if command == "start" else WITH))
