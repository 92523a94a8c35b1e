"""Run the lab's cases from tests: one client and one case at a time.

The good control (an honest server, which the client must accept) is run first and last.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from certpin.lab import runner
from certpin.lab.attacks import CASES, CONTROL, OPTIONAL_CASES
from certpin.lab.case import Expect
from certpin.lab.client import Call
from certpin.lab.report.words import ending, explain
from certpin.lab.server.protocols import suits
from certpin.lab.target import Target
from certpin.lab.verdict import Outcome, Verdict
from certpin.support.text import clean, readable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from certpin.lab.case import Case
    from certpin.lab.client import ClientUnderTest
    from certpin.lab.lab import CaseServer, Lab
    from certpin.lab.pki import Style
    from certpin.lab.runner import Result
    from certpin.lab.verdict import Attempt, Connection

BY_NAME = {case.name: case for case in (CONTROL, *CASES, *OPTIONAL_CASES)}
# The good control with a fix for tests; other reports are for users of the command line.
_CONTROL = replace(
    CONTROL,
    fix="let the client trust `target.ca` and connect to `target.url` through `target.proxy`, or "
    "set its environment with `certpin_environment(target)`; its output is below",
)
_SHOWN = 400  # bytes of leaked data that the message of a failed test shows


class WrongVerdictError(AssertionError):
    """The client's verdict is wrong: an attack got through, or a legitimate server was refused."""


class InconclusiveError(AssertionError):
    """A result proves nothing: the client never connected, died, or refused an honest server."""


def meaningful(style: Style, protocol: str) -> list[str]:
    """Return the names of the lab's cases that apply to a client, in order.

    Args:
        style: how the client is pinned.
        protocol: the protocol that the client speaks, such as ``http``.
    """
    return [
        case.name
        for case in CASES
        if case.expected.of(style) is not Expect.UNDEFINED and suits(protocol, case.protocol)
    ]


class Trial:
    """Runs the cases of one client in tests, after the good control.

    The good control is a case with an honest server, which every client must accept.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._control: Result | None = None
        self._conditions: runner.Preconditions | None = None

    def attack(self, client: ClientUnderTest, case: Case) -> Result:
        """Run one case, and return its result.

        The good control (the case with an honest server) is run first, if it was not run yet. If
        the client did not accept the honest server, the case is not run: the result is that of the
        good control, as undecided. The result is "not run" if the client lacks a condition of the
        case, such as a clock that can be set.
        """
        if self._control is None:
            self.control(client)
        control = self._control
        assert control is not None  # noqa: S101  # the line above made it
        if control.outcome is not Outcome.RIGHT:
            why = f"the good control failed, so that nothing is proven: {control.why}"
            undecided = (Verdict.INCONCLUSIVE, Outcome.UNDECIDED)
            return runner.Result(_CONTROL, control.expect, *undecided, why, control.attempts)
        self._conditions = self._conditions or runner.Preconditions(self.lab, client)
        if problem := self._conditions.problem(case):
            return runner.not_run(case, self.lab.style, problem)
        return runner.try_case(self.lab, client, case, control=control)

    def control(self, client: ClientUnderTest) -> Result:
        """Run the good control, in which an honest server answers, and return its result.

        ``client`` is the client under test. Later calls of ``attack`` use this result.
        """
        self._control = runner.try_case(self.lab, client, CONTROL)
        return self._control


def as_client(client: ClientUnderTest | Callable[[Target], object]) -> ClientUnderTest:
    """Return the client under test as an object with ``run`` and ``stop``, as the lab needs it.

    A function becomes a ``Call``; other clients are returned unchanged.
    """
    return Call(client) if callable(client) else client


def failure_text(result: Result) -> str:
    """Return the message of a failed test: the finding, its fix, and the evidence of each attempt.

    Characters that control a terminal are replaced, because the client chooses parts of the text.
    """
    lines = [f"{result.case.name}: {result.case.presents}", *explain(result)]
    for number, attempt in enumerate(result.attempts, 1):
        lines.append(f"attempt {number}: {ending(attempt.ending)}")
        lines += _evidence(attempt)
    return clean("\n  ".join(lines))


def _evidence(attempt: Attempt) -> list[str]:
    lines = [
        f"  connection {number}: {describe(seen)}"
        for number, seen in enumerate(attempt.connections, 1)
    ]
    output = attempt.ending.output.strip()
    return lines + ([f"  it printed: {output[-_SHOWN:]}"] if output else [])


def describe(seen: Connection) -> str:
    """Return the evidence of one connection as text for the message of a failed test.

    The text has the host, the end of the handshake, and the data that counts for the verdict.
    ``seen`` is the evidence.
    """
    name = seen.hello.server_name if seen.hello else ""
    parts = [f"via {seen.via}", f"for {name or seen.target or 'no name'}"]
    parts.append("handshake finished" if seen.secured else "no handshake")
    if seen.alert:
        parts.append(f"alert {seen.alert}")
    if seen.problem:
        parts.append(seen.problem)
    said = readable(seen.said[:_SHOWN])
    parts.append(f"it sent {said!r}" if said else "it sent nothing")
    return ", ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Mitm(Target):
    """A running attack that a test's client connects to, and the target for that client.

    The attack stops when its evidence is read, or when the test ends.
    """

    case_server: CaseServer = field(repr=False, compare=False)
    _seen: list[tuple[Connection, ...]] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def of(cls, case_server: CaseServer) -> Mitm:
        """Start the attack of a case, and return it. Read its evidence (``seen``) to stop it.

        ``case_server`` has the lab's servers for the case.

        Raises:
            CannotServeError: the case can't be served on this machine.
        """
        return cls(**vars(case_server.open()), case_server=case_server)

    def seen(self) -> tuple[Connection, ...]:
        """Stop the attack, and return the evidence of every connection.

        Later calls return the same evidence.

        Raises:
            CannotServeError: a connection could not be served as the case requires.
        """
        if not self._seen:
            self._seen.append(self.case_server.close())
        return self._seen[0]

    @property
    def met(self) -> bool:
        """True if the client connected to the lab, and began to speak.

        Reading this property stops the attack.
        """
        return any(
            connection.hello or connection.clear or connection.tampered
            for connection in self.seen()
        )

    def check_met(self) -> None:
        """Stop the attack, and check that the client connected to the lab.

        Raises:
            InconclusiveError: the client never connected, or sent nothing.
        """
        if not self.met:
            raise InconclusiveError(f"{self.case}: the client never connected to the lab")

    @property
    def leaked(self) -> bytes:
        """The client's data that leaked: to the attacker, or in clear text.

        Reading this property stops the attack.
        """
        return b"".join(connection.said for connection in self.seen() if connection.exposed)


class UnusedAttackError(AssertionError):
    """A test requested the fixture ``attack``, and never ran its attack."""


class Attack:
    """One case of the lab as a fixture of pytest. Call it once, with a client.

    A client is a function that takes a ``Target``, or a ``Command`` of ``certpin.lab.client``. A
    function refuses the server by raising any exception. If the client's reaction is wrong, the
    call raises an ``AssertionError``, so that the test fails.
    """

    def __init__(
        self, trial: Trial, case: Case, skip: Callable[[str], object], *, last: bool
    ) -> None:
        self._case = case
        self._used = False
        self._trial = trial
        self._skip = skip  # raises, for a case that was not run
        self._last = last  # of the cases that this client meets in a row

    def __call__(self, client: ClientUnderTest | Callable[[Target], object]) -> None:
        """Run the client against the case. The test is skipped if the case can't be run.

        Raises:
            WrongVerdictError: an attack got through, or a legitimate server was refused.
            InconclusiveError: the result proves nothing, for example because the client refused an
                honest server.
            RuntimeError: the attack was called before.
            TypeError: the client is a coroutine function; use ``call_async``.
        """
        __tracebackhide__ = True
        self._use()
        self._judge(*self._run(client))

    async def call_async(self, client: Callable[[Target], Awaitable[object]]) -> None:
        """Run a coroutine function as the client against the case, in the running asyncio loop.

        The test is skipped if the case can't be run.

        Raises:
            WrongVerdictError: an attack got through, or a legitimate server was refused.
            InconclusiveError: the result proves nothing, for example because the client refused an
                honest server.
            RuntimeError: the attack was called before.
        """
        __tracebackhide__ = True
        self._use()
        loop = asyncio.get_running_loop()

        async def call(target: Target) -> object:
            return await client(target)

        def run(target: Target) -> object:
            return asyncio.run_coroutine_threadsafe(call(target), loop).result()

        self._judge(*await asyncio.to_thread(self._run, run))

    def check_used(self) -> None:
        """Raise ``UnusedAttackError`` if the test never called the attack."""
        if not self._used:
            raise UnusedAttackError(f"{self._case.name}: the test never called its attack")

    def _use(self) -> None:
        if self._used:
            raise RuntimeError("attack was called twice: write one test for each client")
        self._used = True

    def _run(
        self, client: ClientUnderTest | Callable[[Target], object]
    ) -> tuple[Result, Result | None]:
        runs = as_client(client)
        result = self._trial.attack(runs, self._case)
        return result, self._trial.control(runs) if self._last else None

    def _judge(self, result: Result, control: Result | None) -> None:
        __tracebackhide__ = True
        if result.outcome is Outcome.WRONG:
            raise WrongVerdictError(failure_text(result))
        if result.outcome is Outcome.UNDECIDED:
            tried = "" if result.case is self._case else f"{self._case.name}: "
            raise InconclusiveError(tried + failure_text(result))
        if control and control.outcome is not Outcome.RIGHT:
            raise InconclusiveError(
                "the good control no longer holds at the end, so that what this client refused "
                f"before proves nothing\n{failure_text(replace(control, case=_CONTROL))}"
            )
        if result.outcome is Outcome.NOT_RUN:
            self._skip(f"{result.case.name} was not run: {result.why}")
