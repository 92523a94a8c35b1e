"""A case of the matrix: what a client meets, what is right, what it guards, how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from certpin.errors import CertpinError

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.pki import TestPKI
    from certpin.lab.scenario import Scenario
    from certpin.pins import HostPin


class Style(StrEnum):
    """How a client is pinned. Declared for a run, never inferred."""

    NONE = "none"  # no pins: a client that trusts its roots
    LEAF = "leaf"  # pins on the key of the server, and on a backup
    CA = "ca"  # pins on the intermediate or the root


class Expect(StrEnum):
    """What is right for a client of one style."""

    ACCEPT = "accept"
    REJECT = "reject"
    EITHER = "either"  # both are right
    WARN = "reject or warn"  # to accept is allowed, and unwise
    POLICY = "policy"  # for the policy of its owner to say; told, never judged
    UNDEFINED = "-"  # the case means nothing for this style


@dataclass(frozen=True)
class Expected:
    """What is right, by style."""

    none: Expect
    leaf: Expect
    ca: Expect

    def of(self, style: Style) -> Expect:
        """What is right for a client of this style."""
        found: Expect = getattr(self, style.value)
        return found


ALL_ACCEPT = Expected(Expect.ACCEPT, Expect.ACCEPT, Expect.ACCEPT)
ALL_REJECT = Expected(Expect.REJECT, Expect.REJECT, Expect.REJECT)
# The chain is honest by the client's own trust: only pins refuse it.
PINS_REJECT = Expected(Expect.ACCEPT, Expect.REJECT, Expect.REJECT)
PINS_REJECT_MAYBE_ALL = Expected(Expect.EITHER, Expect.REJECT, Expect.REJECT)
ALL_WARN = Expected(Expect.WARN, Expect.WARN, Expect.WARN)
ALL_POLICY = Expected(Expect.POLICY, Expect.POLICY, Expect.POLICY)
ALL_EITHER = Expected(Expect.EITHER, Expect.EITHER, Expect.EITHER)


class Family(StrEnum):
    """Which file of ``attacks/`` a case stands in: its title in lists and documents."""

    CONTROL = "Control"
    AUTHORITY = "Whose authority?"
    CHAIN = "Which chain?"
    NAME = "Whose name?"
    DATE = "When?"
    CONSTRAINT = "May it sign?"
    COMPROMISED = "Is its key compromised?"
    PROTOCOL = "Which protocol?"
    STARTTLS = "Before TLS"
    SEQUENCE = "More than one connection"
    HTTP = "Where does it lead?"
    ROTATION = "Legitimate changes"


class CannotServeError(CertpinError):
    """A case cannot be served here. ``fix`` says what it would take.

    Reported beside the verdicts, never passed over.
    """

    def __init__(self, problem: str, *, fix: str = "") -> None:
        super().__init__(problem + (f" ({fix})" if fix else ""))
        self.problem = problem
        self.fix = fix


@dataclass(frozen=True)
class Case:
    """One case. ``scenario`` writes its scenario for a pki, or raises ``CannotServeError``.

    ``host`` turns the host under test into what the client must call: another name, or an address.
    ``protocol`` is what the client must speak for the case to mean anything; empty for any,
    ``starttls`` for any that begins in clear text.
    ``clock`` is how far the client's clock is moved. ``exercise`` is what a client must do to meet
    the case at all, where one request is not enough. ``compromised`` is the entry of a
    compromised key, which the pin set of the host has in this case beside its other pins.
    """

    name: str
    family: Family
    presents: str
    expected: Expected
    guards: str
    fix: str
    scenario: Callable[[TestPKI], Scenario]
    reference: str = ""
    host: Callable[[str], str] = str
    protocol: str = ""
    clock: timedelta = timedelta(0)
    exercise: str = ""
    compromised: Callable[[TestPKI], HostPin] | None = None
