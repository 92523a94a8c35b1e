"""Who plays in a case: the roots that a client trusts, those that it does not, and the servers.

R is the trusted root, I its intermediate, L the good leaf, B its backup. R2 is a second trusted
root, of a rogue or a company; U one that nobody trusts. Everything is made when it is first asked
for, with keys that live in memory, and with the dates of the clock that is handed in.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

from certpin.lab.authority import Authority
from certpin.lab.case import Style
from certpin.lab.script import Act
from certpin.pins import HostPattern, HostPin, HostPolicy, PinSet

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from certpin.lab.authority import Identity
    from certpin.pins import Pin

Roles = tuple[Literal["leaf", "backup", "intermediate", "root"], ...]

# Said in every root, for whoever finds one in a device's trust store.
_WARNING = "do not trust (certpin lab)"


class Authorities:
    """The authorities of a run: one set for all its cases. R and R2 are what the client trusts."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    @cached_property
    def root(self) -> Authority:
        """R: the client trusts it."""
        return Authority(f"Root R, {_WARNING}", now=self.now)

    @cached_property
    def intermediate(self) -> Authority:
        """I: below R, issues the good leaf."""
        return self.root.intermediate(f"Intermediate I, {_WARNING}")

    @cached_property
    def second_intermediate(self) -> Authority:
        """I2: below R too; issues for the second host, and whatever a renewal moves to."""
        return self.root.intermediate(f"Intermediate I2, {_WARNING}")

    @cached_property
    def rogue(self) -> Authority:
        """R2: in the client's trust store as well, and not to be trusted with a pinned host."""
        return Authority(f"Rogue root R2, {_WARNING}", now=self.now)

    @cached_property
    def untrusted(self) -> Authority:
        """U: in nobody's trust store."""
        return Authority(f"Untrusted root U, {_WARNING}", now=self.now)

    @property
    def trusted_pem(self) -> bytes:
        """What the client is made to trust: R and R2."""
        return self.root.pem + self.rogue.pem


class Cast:
    """The authorities, and the servers of one host (and of a second one beside it)."""

    def __init__(self, authorities: Authorities, host: str, second: str, style: Style) -> None:
        self.root = authorities.root
        self.intermediate = authorities.intermediate
        self.second_intermediate = authorities.second_intermediate
        self.rogue = authorities.rogue
        self.untrusted = authorities.untrusted
        self.now = authorities.now
        self.host = host
        self.second = second
        self.style = style

    @cached_property
    def leaf(self) -> Identity:
        """R→I→L: what an honest server presents."""
        return self.intermediate.issue(self.host)

    @cached_property
    def backup(self) -> Identity:
        """R→I→B: the same server with its backup key."""
        return self.intermediate.issue(self.host)

    @cached_property
    def second_leaf(self) -> Identity:
        """R→I2→L2: what an honest server of the second host presents."""
        return self.second_intermediate.issue(self.second)

    @cached_property
    def impostor(self) -> Identity:
        """R2→L′: the host's name under a root that the client trusts, and that is not pinned."""
        return self.rogue.issue(self.host)

    @property
    def genuine(self) -> tuple[x509.Certificate, ...]:
        """The chain of the honest server, leaf first: public, so that attackers have it too."""
        return self.leaf.chain

    @property
    def honest(self) -> Act:
        """The act of the honest server."""
        return Act.of(self.leaf, hostile=False)

    @property
    def honest_second(self) -> Act:
        """The act of the honest second server."""
        return Act.of(self.second_leaf, hostile=False)

    @property
    def man_in_the_middle(self) -> Act:
        """The plainest attack that a client of this style must refuse."""
        if self.style is Style.NONE:
            return Act.of(self.untrusted.issue(self.host))
        return Act.of(self.impostor)

    @property
    def pins(self) -> PinSet:
        """The pins that a client of this style is given, for both hosts."""
        first = {
            Style.LEAF: (self.leaf.pin, self.backup.pin),
            Style.CA: (self.intermediate.pin, self.root.pin),
        }
        second = {
            Style.LEAF: (self.second_leaf.pin, self.backup.pin),
            # Not R: else a chain of the first host's would do for the second.
            Style.CA: (self.second_intermediate.pin, self.backup.pin),
        }
        roles: Roles = ("leaf", "backup")
        if self.style is Style.CA:
            roles = ("intermediate", "root")
        policies = (
            _policy(self.host, first.get(self.style, first[Style.LEAF]), roles),
            _policy(self.second, second.get(self.style, second[Style.LEAF]), roles),
        )
        return PinSet("lab", 1, policies)


def _policy(host: str, pins: tuple[Pin, ...], roles: Roles) -> HostPolicy:
    entries = tuple(HostPin(pin, role) for pin, role in zip(pins, roles, strict=True))
    return HostPolicy(HostPattern.parse(host), entries)
