"""A case with a chain that the user supplies: its expected verdict, anchors and pins."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from certpin.errors import ConfigError, InputError
from certpin.lab.case import (
    ALL_ACCEPT,
    ALL_POLICY,
    ALL_REJECT,
    CannotServeError,
    Case,
    Family,
    OwnChain,
)
from certpin.lab.pki import Authorities, Style, TestPKI, made_once
from certpin.lab.scenario import Role, Scenario, ServerStep
from certpin.pins import Pin, pins_of
from certpin.support.text import counted, printable
from certpin.x509 import Certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.pins import HostPolicy, PinSet
    from certpin.pins import Role as PinRole


class ExpectedVerdict(StrEnum):
    """The verdict that the user expects of every client in a case, as in the case file.

    With ``report``, every verdict is right: it is reported, and not judged.
    """

    ACCEPT = "accept"
    REFUSE = "refuse"
    REPORT = "report"  # the client's verdict is reported, and not judged


@dataclass(frozen=True)
class LeftOut:
    """The name of a case that an import or an export of a test suite left out, and the reason."""

    name: str
    reason: str


_EXPECTED = {
    ExpectedVerdict.ACCEPT: ALL_ACCEPT,
    ExpectedVerdict.REFUSE: ALL_REJECT,
    ExpectedVerdict.REPORT: ALL_POLICY,
}
_GUARDS = {
    ExpectedVerdict.ACCEPT: "that the chains to accept in your case file are accepted",
    ExpectedVerdict.REFUSE: "that the chains to refuse in your case file are refused",
    ExpectedVerdict.REPORT: "nothing: the case file asks for the verdict of the client only",
}
_FIXES = {
    ExpectedVerdict.ACCEPT: "compare the error of the client with the chain: its TLS library may "
    "build another path, or its pins may not match the case (pins in the case file)",
    ExpectedVerdict.REFUSE: "let the TLS library verify the chain, the host and the dates in "
    "addition to pins, and update it",
    ExpectedVerdict.REPORT: "",
}


def own_case(name: str, own: OwnChain, expect: ExpectedVerdict, about: str = "") -> Case:
    """Return a case in which the server presents a chain that the user supplies.

    Args:
        name: the name of the case.
        own: the chain, with host, anchors, time and pins.
        expect: the expected verdict, for clients with pins of any style and without pins.
        about: a description of the chain, for reports; by default its length.
    """
    number = f"{counted(len(own.chain), 'certificate')} for {own.host}"
    # Data that a server received which the client must refuse has leaked.
    role = Role.ATTACKER if expect is ExpectedVerdict.REFUSE else Role.HONEST
    return Case(
        name=name,
        family=Family.OWN,
        presents=printable(about) or f"your own chain: {number}",  # a suite is foreign text
        expected=_EXPECTED[expect],
        guards=_GUARDS[expect],
        fix=_FIXES[expect],
        scenario=partial(_scenario, role),
        host=lambda _: own.host,
        own=own,
    )


def _scenario(role: Role, pki: TestPKI) -> Scenario:
    return Scenario.of(pki.honest.but(role=role))


def clock_control(host: str, moment: datetime) -> Case:
    """Return a case that shows if the lab can set the clock of a client.

    An honest server presents a chain that is only valid within an hour of ``moment``. If the client
    refuses it, the client's clock shows another time.

    Args:
        host: the host under test.
        moment: the time to which the lab sets the client's clock, with a time zone.
    """
    root = Authorities(moment).root
    server = root.intermediate("Intermediate of another time").issue(host, days=1 / 24)
    chain = ServerStep.of(server).chain
    own = OwnChain(host, chain, server.key_pem, (root.certificate.der,), moment)
    return own_case("control-clock", own, ExpectedVerdict.ACCEPT)


class OwnPKI(TestPKI):
    """The keys and certificates of a case with the user's own chain.

    The user's anchors are its trusted roots. The second host and the client certificate are those
    of the lab.
    """

    def __init__(self, authorities: Authorities, own: OwnChain, second: str, style: Style) -> None:
        super().__init__(authorities, own.host, second, style)
        self._own = own

    @property
    def honest(self) -> ServerStep:
        """How the lab serves a connection: with the chain and key that the user supplies."""
        return ServerStep(self._own.chain, self._own.key_pem, role=Role.HONEST)

    @made_once
    def pinned_certificate(self) -> Certificate:
        """The first certificate of the user's chain or anchors that a pin matches.

        If no pin matches one of them, it is the lab's own leaf. The case doesn't serve this leaf,
        so a client that pins it must refuse the server.
        """
        policy = self.pins.policy_for(self.host) if self.pins else None
        pinned = policy.live_pins.keys() if policy else set()
        found = (each for each in self._readable if not pinned.isdisjoint(pins_of(each)))
        return next(found, self.leaf.certificate)

    @property
    def _readable(self) -> Iterator[Certificate]:
        for der in (*self._own.chain, *self._own.anchors):
            with suppress(InputError):
                yield Certificate.from_der(der)

    @made_once
    def pins(self) -> PinSet | None:
        """The client's pins for the case, which end with a backup pin that matches no chain.

        The other pins are those of the case file. If it has none, the lab makes them: a pin of each
        anchor if the client pins authorities, and otherwise a pin of the leaf. If no pins can be
        made, for example because a key can't be read, the value is ``None`` for a client without
        pins.

        Raises:
            CannotServeError: the client is pinned, and no pins can be made for the chain.
        """
        try:
            role: PinRole = "root" if self.style is Style.CA else "leaf"
            first = dict.fromkeys(self._first_pins, role)
            return self._pin_set(first | {self.backup.pin: "backup"})
        except (ConfigError, InputError) as exc:
            if self.style is Style.NONE:
                return None
            raise CannotServeError(
                f"no pins can be made for {self.host}: {exc.problem}",
                fix="give the case pins, or prove a client without: --style none",
            ) from exc

    @property
    def _first_pins(self) -> tuple[Pin, ...]:
        if self._own.pins:
            return self._own.pins
        pinned = self._own.anchors if self.style is Style.CA else self._own.chain[:1]
        return tuple(Pin.of_key(Certificate.from_der(der).spki_sha256) for der in pinned)

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The trust anchors of the user's case, as DER."""
        return self._own.anchors

    def pinned_authorities(self, policy: HostPolicy) -> tuple[bytes, ...]:
        """Return those of the user's trust anchors that ``policy`` pins, as DER.

        The user supplies the trust anchors with the chain. The result is for clients that use
        pinned certificates as trust anchors; it is empty if the policy pins only other keys, such
        as the leaf's.
        """
        return tuple(
            der
            for der in self._own.anchors
            if Pin.of_key(Certificate.from_der(der).spki_sha256) in policy.live_pins
        )
