"""A case of the lab: one attack on a client, or one legitimate change of the server.

A case has the verdict that is expected of a client, its purpose, and the fix for a wrong verdict.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from certpin.errors import CertpinError
from certpin.lab.ct_log import log_list
from certpin.lab.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin.lab.authority import Authority
    from certpin.lab.pki import Style, TestPKI
    from certpin.pins import HostPin, Pin, PinSet


class Expect(StrEnum):
    """The right reaction of a client to a case of the lab.

    A case has one ``Expect`` for each style of pins: pins on the server's key, pins on an
    authority, and no pins. With ``ACCEPT``, the client must accept the server, and with ``REJECT``
    refuse it. With ``EITHER``, both are right. With ``WARN``, accepting is a warning. With
    ``POLICY``, the reaction is reported, and not judged, because the policy of the client's owner
    decides. ``UNDEFINED`` means that the case does not apply to clients with that style.
    """

    ACCEPT = "accept"
    REJECT = "reject"
    EITHER = "either"
    WARN = "reject or warn"
    POLICY = "policy"
    UNDEFINED = "-"


@dataclass(frozen=True)
class Expected:
    """The right reactions to a case, one for each style of pins.

    ``none`` is for clients without pins, ``leaf`` for clients with pins on the server's key, and
    ``ca`` for clients with pins on an authority.
    """

    none: Expect
    leaf: Expect
    ca: Expect

    def of(self, style: Style) -> Expect:
        """Return the expected reaction of a client that has the given style of pins.

        The styles are ``none`` (no pins), ``leaf`` (pins on the server's key) and ``ca`` (pins on
        an authority).
        """
        found: Expect = getattr(self, style.value)
        return found


ALL_ACCEPT = Expected(Expect.ACCEPT, Expect.ACCEPT, Expect.ACCEPT)
ALL_REJECT = Expected(Expect.REJECT, Expect.REJECT, Expect.REJECT)
# The chain verifies against the client's trust store, so only pins refuse it.
PINS_REJECT = Expected(Expect.ACCEPT, Expect.REJECT, Expect.REJECT)
PINS_REJECT_MAYBE_ALL = Expected(Expect.EITHER, Expect.REJECT, Expect.REJECT)
ALL_WARN = Expected(Expect.WARN, Expect.WARN, Expect.WARN)
ALL_POLICY = Expected(Expect.POLICY, Expect.POLICY, Expect.POLICY)
ALL_EITHER = Expected(Expect.EITHER, Expect.EITHER, Expect.EITHER)


class Family(StrEnum):
    """The groups of the lab's cases, such as cases about dates or about names.

    The value is the title of the group in lists and documents.
    """

    CONTROL = "Control"
    AUTHORITY = "Whose authority?"
    CHAIN = "Which chain?"
    NAME = "Whose name?"
    DATE = "When?"
    CONSTRAINT = "May it sign?"
    COMPROMISED = "Is its key compromised?"
    TRANSPARENCY = "Is it in Certificate Transparency?"
    PROTOCOL = "Which protocol?"
    STARTTLS = "Before TLS"
    SEQUENCE = "More than one connection"
    HTTP = "Where does it lead?"
    ROTATION = "Legitimate changes"
    OWN = "Your own chains"


@dataclass(frozen=True)
class OwnChain:
    """A certificate chain that the user supplies, with everything that a client needs to judge it.

    Attributes:
        host: the host that the client requests, normalised.
        chain: the certificates as the server sends them, leaf first, as DER.
        key_pem: the private key of the leaf, as unencrypted PEM. A secret.
        anchors: the certificates that the client trusts, as DER.
        time: the time that the client's clock shows during the whole run, with a time zone. None
            for the current time. Fractions of a second are ignored.
        pins: the pins of the host. If there are none, the lab makes pins that match the chain. A
            client that refuses the chain then does so because of the path, and not because of its
            pins.
    """

    host: str
    chain: tuple[bytes, ...]
    key_pem: bytes = field(repr=False)
    anchors: tuple[bytes, ...]
    time: datetime | None = None
    pins: tuple[Pin, ...] = ()


@dataclass(frozen=True)
class Case:
    """One case of the lab: an attack, or a legitimate change of the server.

    Attributes:
        name: the name of the case.
        family: the group of the case.
        presents: a description of the chain or behaviour of the server.
        expected: the right reactions of clients, one for each style of pins.
        guards: the property of the client that the case tests.
        fix: how to repair a client with a wrong verdict.
        scenario: builds the scenario from a test PKI, or raises ``CannotServeError``.
        reference: the standard or document that requires the property.
        host: maps the host under test to the name or address that the client must request.
        spelling: maps the result of ``host`` to the spelling that is passed to the client.
        protocol: the protocol that the client must speak: empty for any, ``starttls`` for any that
            begins in clear text.
        clock: the offset of the client's clock; zero for the current time.
        exercise: an explanation for the user: how to use the client so that it meets the attack, if
            one request is not enough; empty otherwise.
        separate: builds the same scenario without redirects, for a client that makes several
            requests itself. With redirects, such a client could follow the first one to the attack
            and refuse it there. Then its other requests would not be tested.
        compromised: returns the pin set entry of a compromised key, which is added to the pins of
            the host; None for no such entry.
        requires_ct: True if the pin set requires Certificate Transparency by the logs of the lab.
        checks: the optional check that the case tests: a client that accepts the server of this
            case doesn't make the check. Empty for other cases.
        anchors: returns authorities that come before the roots of the lab in the client's trust
            store.
        control: a case with an honest server. If the client doesn't accept this server, the attack
            does not apply to the client, and is not run. None for no such condition.
        own: a chain of the user, which replaces the certificates and roots of the lab; None for a
            built-in case.
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
    spelling: Callable[[str], str] = str
    protocol: str = ""
    clock: timedelta = timedelta(0)
    exercise: str = ""
    separate: Callable[[TestPKI], Scenario] | None = None
    compromised: Callable[[TestPKI], HostPin] | None = None
    requires_ct: bool = False
    checks: str = ""
    anchors: Callable[[TestPKI], tuple[Authority, ...]] | None = None
    control: Case | None = None
    own: OwnChain | None = None

    @property
    def matrix_name(self) -> str:
        """The name of the case if it is built in; empty for a case with the user's own chain.

        Code that looks for a built-in case by its name uses this property, because the user's case
        can have the name of a built-in case by chance.
        """
        return "" if self.own else self.name


def pins_of_case(case: Case, pki: TestPKI) -> PinSet | None:
    """Return the pins that the client gets in a case; None if the lab knows no pins for it.

    ``pki`` has the keys and certificates of the case. The client gets pins of them even if it
    ignores pins because it is not pinned. If the case requires it, an entry that marks a key as
    compromised, or a list of Certificate Transparency logs, is added to the policy of the host
    under test.
    """
    if not pki.pins or not (case.compromised or case.requires_ct):
        return pki.pins
    policy, *others = pki.pins.policies
    if case.requires_ct:
        policy = replace(policy, ct_logs=log_list(pki.authorities.logs, pki.now))
    if case.compromised:
        policy = replace(policy, pins=(*policy.pins, case.compromised(pki)))
    return replace(pki.pins, policies=(policy, *others))


def _good(pki: TestPKI) -> Scenario:
    return Scenario.of(pki.honest)


def lab_leaf_scenario(pki: TestPKI) -> Scenario:
    """Return a scenario without an attack: the lab serves its honest leaf.

    It is for cases that change the client's pins, trust anchors, clock or host instead of the
    server. ``pki`` has the keys and certificates of the case.

    Raises:
        CannotServeError: the user's real server takes the place of the honest server. The lab then
            has no honest leaf with a private key.
    """
    return Scenario.legitimate(pki.leaf)


# The good control. Without it, a client that refuses every server would seem secure.
CONTROL = Case(
    name="control-good",
    family=Family.CONTROL,
    presents="I→L: the honest server",
    expected=ALL_ACCEPT,
    guards="that the client works: a client that refuses every server proves nothing",
    fix="check that the client trusts the lab's root and reaches the lab; read the "
    "client's own output",
    scenario=_good,
)


class CannotServeError(CertpinError):
    """The lab cannot serve a case on this machine or for this client. ``fix`` says what to do.

    Reports list the case as "not run".
    """

    def __init__(self, problem: str, *, fix: str = "") -> None:
        super().__init__(problem + (f" ({fix})" if fix else ""))
        self.problem = problem
        self.fix = fix


class LabError(CertpinError):
    """The lab cannot run: a package, a port or a folder is missing. ``fix`` says what to do."""

    def __init__(self, problem: str, *, fix: str = "") -> None:
        super().__init__(problem + (f"\n  fix: {fix}" if fix else ""))
        self.problem = problem
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.problem, self.fix)


def _rebuild(problem: str, fix: str) -> LabError:
    return LabError(problem, fix=fix)
