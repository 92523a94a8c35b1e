"""What a test calls with its client: one case, and an error that says what came of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from certpin.lab.trial import BY_NAME, InconclusiveError, WrongVerdictError, as_client, tell
from certpin.lab.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from certpin.lab.client import Client
    from certpin.lab.runner import Result
    from certpin.lab.target import Target
    from certpin.lab.trial import Trial


class UnusedAttackError(AssertionError):
    """A test asked for ``attack`` and never called it."""


class Attack:
    """One case. Called with a client, it fails the test where the outcome is wrong.

    A client is a function that takes a ``Target``, or a ``Command`` of ``certpin.lab.client``.
    That a function raises is its refusal.
    """

    def __init__(
        self, trial: Trial, name: str, skip: Callable[[str], object], *, last: bool
    ) -> None:
        self._name = name
        self._used = False
        self._trial = trial
        self._skip = skip  # raises, for a case that was not run
        self._last = last  # of the cases that this client meets in a row

    def __call__(self, client: Client | Callable[[Target], object]) -> None:
        """Run the client against the case. Raises ``WrongVerdictError``, ``InconclusiveError``."""
        __tracebackhide__ = True
        self._use()
        self._judge(*self._run(client))

    async def call_async(self, client: Callable[[Target], Awaitable[object]]) -> None:
        """The same for a coroutine function, which is run in the loop of asyncio that calls."""
        __tracebackhide__ = True
        self._use()
        loop = asyncio.get_running_loop()

        async def call(target: Target) -> object:
            return await client(target)

        def run(target: Target) -> object:
            return asyncio.run_coroutine_threadsafe(call(target), loop).result()

        self._judge(*await asyncio.to_thread(self._run, run))

    def check_used(self) -> None:
        """Raises ``UnusedAttackError`` where the test ended without a call."""
        if not self._used:
            raise UnusedAttackError(f"{self._name}: the test never called its attack")

    def _use(self) -> None:
        if self._used:
            raise RuntimeError("attack was called twice: test each client in a test of its own")
        self._used = True

    def _run(self, client: Client | Callable[[Target], object]) -> tuple[Result, Result | None]:
        runs = as_client(client)
        result = self._trial.attack(runs, BY_NAME[self._name])
        return result, self._trial.control(runs) if self._last else None

    def _judge(self, result: Result, control: Result | None) -> None:
        __tracebackhide__ = True
        if result.outcome is Outcome.WRONG:
            raise WrongVerdictError(tell(result))
        if result.outcome is Outcome.UNDECIDED:
            raise InconclusiveError(tell(result))
        if control and control.outcome is not Outcome.RIGHT:
            raise InconclusiveError(
                "the good control no longer holds at the end, so that what this client refused "
                f"before proves nothing\n{tell(control)}"
            )
        if result.outcome is Outcome.NOT_RUN:
            self._skip(f"{result.case.name} was not run: {result.why}")
