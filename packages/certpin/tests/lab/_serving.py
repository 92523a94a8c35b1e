"""Cases and connections for tests of the interactive lab, without a network."""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from certpin.lab.case import ALL_ACCEPT, ALL_REJECT, Case, Expected, Family
from certpin.lab.device.schedule import Schedule
from certpin.lab.pki import Authorities, Style
from certpin.lab.scenario import Answer, Role, Scenario, ServerStep
from certpin.lab.server.records import ClientHello
from certpin.lab.verdict import Connection

if TYPE_CHECKING:
    from certpin.lab.device.turn import Visit
    from certpin.lab.runner import Result

AUTHORITIES = Authorities(datetime.now(UTC))
HOSTILE = ServerStep((), b"")
HONEST = HOSTILE.but(role=Role.HONEST)


def case(name: str, scenario: Scenario, expected: Expected = ALL_REJECT, **fields: object) -> Case:
    """Return a case with this scenario and expectation, and placeholders for its descriptions."""
    return Case(
        name=name,
        family=Family.AUTHORITY,
        presents="nothing",
        expected=expected,
        guards="nothing",
        fix="nothing",
        scenario=lambda _: scenario,
        **fields,  # type: ignore[arg-type]
    )


ONE = case("one", Scenario.of(HOSTILE))
OTHER = case("other", Scenario.of(HOSTILE))
RENEWED = case("renewed", Scenario.of(HONEST), ALL_ACCEPT)
SWAPPED = case("swapped", Scenario.of(HONEST, HOSTILE))
BOTH = case("both", Scenario.of(HONEST, second=(HOSTILE,)))
PORTED = case(
    "ported",
    Scenario((HONEST.but(answer=Answer.REDIRECT_PORT),), other_port=(HOSTILE,), lures=True),
)
UNPINNED = case(
    "unpinned",
    Scenario(
        (HONEST.but(answer=Answer.REDIRECT_UNPINNED),),
        unpinned=(HOSTILE.but(role=Role.UNPINNED),),
        lures=True,
    ),
)


class Rehearsal:
    """A schedule of the interactive lab, with methods that simulate a client's connections."""

    def __init__(self, *cases: Case, hosts: tuple[str, ...] = ("a.example",)) -> None:
        self.reported: list[tuple[str, Result]] = []
        self.schedule = Schedule(
            hosts,
            Style.LEAF,
            cases,
            AUTHORITIES,
            lambda host, found: self.reported.append((host, found)),
        )

    def call(self, host: str = "a.example", kind: str = "", port: int = 443) -> Visit:
        """Begin a connection to the host, and return the lab's record of it.

        ``kind`` identifies the client's TLS library and settings (``ClientHello.kind``).
        """
        seen = Connection(target=host, hello=ClientHello(host))
        visit = self.schedule.admit(seen, port)
        seen.step = visit.turn.case_run.next_step(host, host, port=port, kind=kind)
        return visit

    def asks_in_clear(
        self, head: bytes = b"GET / HTTP/1.1\r\n\r\n", host: str = "a.example"
    ) -> Visit:
        """Send a request in clear text, and return the lab's record of its connection."""
        visit = self.schedule.admit(Connection(target=host))
        visit.seen.clear = head
        self.schedule.update(visit)
        self.schedule.update(visit, ended=True)
        return visit

    def gives(self, visit: Visit) -> None:
        visit.seen.data = b"GET / HTTP/1.1\r\n\r\n"
        self.schedule.update(visit)

    def refuses(self, visit: Visit) -> None:
        visit.seen.alert = "bad_certificate"
        self.schedule.update(visit)

    def leaves(self, visit: Visit) -> None:
        self.schedule.update(visit, hung_up=True)
        self.schedule.update(visit, ended=True)

    def stalls(self, visit: Visit) -> None:
        self.schedule.update(visit, ended=True)

    def gives_once(self, host: str = "a.example") -> Visit:
        visit = self.call(host)
        self.gives(visit)
        self.leaves(visit)
        return visit

    def refuses_once(self, host: str = "a.example") -> Visit:
        visit = self.call(host)
        self.refuses(visit)
        self.leaves(visit)
        return visit

    def verdicts(self, host: str = "a.example") -> dict[str, str]:
        """Return the verdict of each case that has a result for this host, by the case's name."""
        results = self.schedule.queues[host].results
        return {name: str(result.verdict) for name, result in results.items()}


def hello_for(host: str) -> bytes:
    """Return the bytes of the ClientHello that OpenSSL sends to this host."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=host)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()
