"""Run a client against the cases of the lab, with a good control before and after them.

The good control is the case in which an honest server answers: a client that refuses it would
refuse every attack too, so that its run proves nothing.
"""

from __future__ import annotations

import asyncio
import math
import platform
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from certpin._version import __version__
from certpin.lab.case import CONTROL, CannotServeError, Expect, LabError
from certpin.lab.client import Command, EveryWay
from certpin.lab.own.chain import clock_control
from certpin.lab.verdict import (
    WORST_FIRST,
    Attempt,
    Judgement,
    Outcome,
    Verdict,
    disagrees,
    judge,
    makes_requests,
    opens_probes,
    outcome,
    settle,
)
from certpin.pins.policy import utc_now
from certpin.support.text import counted
from certpin.x509.chain import ders_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from certpin.lab.case import Case
    from certpin.lab.client import ClientUnderTest
    from certpin.lab.lab import CaseServer, Lab
    from certpin.lab.pki import Style
    from certpin.lab.verdict import Connection


@dataclass(frozen=True)
class About:
    """The facts about a run that are not results: client, tools, times and trusted roots.

    Attributes:
        command: the client's command as the user wrote it.
        trusted_pem: the certificates that the client was configured to trust.
        repeat: the number of runs of each case that the user requested.
        bound: the user's ``--bound``: the run should show that the client skips a smaller share of
            its checks than this, such as 0.02. None if the user gave none.
        real_server: the address and port of the user's real server; empty if the lab is also the
            honest server.
        unpinned: why a client with the user's pins refuses this server; empty if it accepts it.
    """

    command: tuple[str, ...] = ()
    certpin: str = ""
    python: str = ""
    openssl: str = ""
    started: datetime | None = None
    seconds: float = 0.0
    trusted_pem: bytes = b""
    repeat: int = 1
    bound: float | None = None
    real_server: str = ""
    unpinned: str = ""

    @property
    def trusted(self) -> tuple[bytes, ...]:
        """The certificates of ``trusted_pem`` as DER, for reports that show chains."""
        return ders_of(self.trusted_pem)


def about(
    lab: Lab,
    client: ClientUnderTest,
    started: datetime,
    ended: datetime,
    *,
    repeat: int = 1,
    bound: float | None = None,
) -> About:
    """Return the facts about a client's run in a lab: command, versions and times.

    Args:
        lab: the lab.
        client: the client under test.
        started: the time of the start of the run.
        ended: the time of its end.
        repeat: the number of runs of each case that the user requested.
        bound: the user's ``--bound``: the run should show that the client skips a smaller share of
            its checks than this; None if the user gave none.
    """
    return About(
        command=client.words if isinstance(client, (Command, EveryWay)) else (),
        certpin=__version__,
        python=platform.python_version(),
        openssl=ssl.OPENSSL_VERSION,
        started=started,
        seconds=(ended - started).total_seconds(),
        trusted_pem=lab.authorities.trusted_pem,
        repeat=repeat,
        bound=bound,
        real_server=lab.upstream.address_text if lab.upstream else "",
        unpinned=lab.upstream.unpinned if lab.upstream else "",
    )


ATTEMPTS = 3  # runs of a case whose verdict is not the expected one
_DOUBT = 0.05  # 95 % confidence


@dataclass(frozen=True)
class Result:
    """The result of one case for one client.

    ``expect`` is the expected reaction, and ``verdict`` how the client reacted. ``verdict`` is
    ``None`` if the case was not run, or the client never reached the attack. ``outcome`` says if
    the reaction is right. ``why`` is the reason for the verdict, and ``attempts`` are its evidence,
    one for each run of the client. ``fix`` replaces that of the case, if it is not empty.
    """

    case: Case
    expect: Expect
    verdict: Verdict | None
    outcome: Outcome
    why: str
    attempts: tuple[Attempt, ...] = ()
    fix: str = ""

    @property
    def advice(self) -> str:
        """How to repair the client, or whatever else caused a wrong result; empty without advice.

        This is ``fix``, or that of the case if it is empty. It doesn't depend on the outcome, so
        there is advice for a right result, too.
        """
        return self.fix or self.case.fix

    @property
    def unreached(self) -> tuple[str, ...]:
        """The ways that the client was given to the lab, and in which it never connected.

        A client that refuses the spelling of the host connects in no way, and has no verdict. It is
        left out.
        """
        if self.verdict is None:
            return ()
        reached = {attempt.ending.via for attempt in self.attempts if attempt.reached_lab}
        given = {attempt.ending.via: None for attempt in self.attempts}
        return tuple(way for way in given if way and way not in reached)


@dataclass(frozen=True)
class Run:
    """The results of a run of the lab: all cases for one client.

    ``host`` is the host under test, and ``style`` the kind of the client's pins.
    """

    host: str
    style: Style
    results: tuple[Result, ...]
    about: About = field(default_factory=About)

    def count(self, outcome: Outcome) -> int:
        """Return the number of cases with this outcome."""
        return sum(result.outcome is outcome for result in self.results)

    @property
    def controlled(self) -> bool:
        """True if the client accepted the honest server before the first and after the last case.

        The test with the honest server is the good control: if it fails, refusals prove nothing.
        """
        controls = [result for result in self.results if result.case is CONTROL]
        return len(controls) == 2 and all(result.outcome is Outcome.RIGHT for result in controls)


def prove(  # noqa: PLR0913  # keywords, each of which is a setting of a run
    lab: Lab,
    client: ClientUnderTest,
    cases: Iterable[Case],
    *,
    jobs: int = 1,
    repeat: int = 1,
    bound: float | None = None,
    progress: Callable[[Result], None] = lambda _: None,
    now: Callable[[], datetime] = utc_now,
) -> Run:
    """Run a client against cases, with the good control before the first and after the last.

    The good control is a case with an honest server, which every client must accept. If the first
    control fails, no case is run, because no verdict would prove anything. If the last control
    fails, refusals are reported as undecided, but findings remain.

    Args:
        lab: an open lab.
        client: the client under test.
        cases: the cases, in order.
        jobs: the number of cases that run at the same time.
        repeat: the number of runs of each case, including the controls. If it is 1, a case is
            repeated only if its verdict is not the expected one. If it is larger, and the outcomes
            differ, the worst one counts.
        bound: a share of the client's checks, such as 0.02 for 2 %. Attacks are repeated until the
            number of refusals shows, with 95 % confidence, that the client skips a smaller share
            (``skip_bound``). None repeats nothing.
        progress: called in this thread with each result, in order; not for attacks that are
            repeated because of ``bound``.
        now: the clock for the start and the end of the run.

    Returns:
        The results, with those of both controls.
    """
    started = now()
    results = [try_case(lab, client, CONTROL, repeat)]
    progress(results[0])
    if results[0].outcome is Outcome.RIGHT:
        chosen = tuple(cases)
        conditions = Preconditions(lab, client)
        for case in chosen:  # before the threads, which then only read the results
            conditions.problem(case)

        def run_case(case: Case) -> Result:
            if problem := conditions.problem(case):
                return not_run(case, lab.style, problem)
            return try_case(lab, client, case, repeat, control=results[0])

        with client_pool(client.stop, jobs) as pool:
            for result in pool.map(run_case, chosen):
                progress(result)
                results.append(result)
            if bound is not None:
                repeat_attacks(results, bound, lambda attacks: pool.map(run_case, attacks))
        results.append(try_case(lab, client, CONTROL, repeat))
        progress(results[-1])
    facts = about(lab, client, started, now(), repeat=repeat, bound=bound)
    run = Run(lab.host, lab.style, tuple(results), facts)
    return run if run.controlled else _without_control(run)


@contextmanager
def client_pool(stop: Callable[[], None], jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Context manager: yield a pool of threads that run a client, and wait for them at the end.

    Args:
        stop: stops the client. It is called before the wait if the ``with`` block raises an
            exception.
        jobs: the number of threads.
    """
    pool = ThreadPoolExecutor(jobs, "certpin-lab-client")
    try:
        yield pool
    except BaseException:
        stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def repeat_attacks(
    results: list[Result], bound: float, run: Callable[[Sequence[Case]], Iterable[Result]]
) -> None:
    """Repeat attacks that the client refused, until enough are refused or one gets through.

    Each round repeats the attacks that the client refused in every run so far, but not more than
    are still needed. If a round adds no refusals, it is the last one.

    Args:
        results: the results of the cases. The result of a repeated attack is replaced: it has the
            attempts of all rounds, and the latest outcome.
        bound: a share of the client's checks, such as 0.02. Enough attacks are refused when they
            show that the client skips no larger share (``skip_bound``).
        run: runs cases, and returns their results in order.
    """
    needed = math.ceil(math.log(_DOUBT) / math.log1p(-bound))
    before, refused = 0, hostile_refusals(results)
    while before < refused < needed and not any(each.outcome is Outcome.WRONG for each in results):
        refusals = [number for number, result in enumerate(results) if _was_refused(result)]
        chosen = refusals[: needed - refused]
        repeated = run([results[number].case for number in chosen])
        for number, again in zip(chosen, repeated, strict=True):
            results[number] = _joined(results[number], again)
        before, refused = refused, hostile_refusals(results)


def _was_refused(result: Result) -> bool:
    return hostile_refusals([result]) > 0


def _joined(before: Result, again: Result) -> Result:
    """Return one result for an attack that was refused (``before``) and then repeated (``again``).

    The result has the attempts (runs of the client) of both. If the client also refused the
    repeated attack, the verdict stays. Otherwise the verdict is FLAKY.
    """
    attempts = before.attempts + again.attempts
    if again.outcome is Outcome.RIGHT:
        return replace(before, attempts=attempts)
    why = f"{again.why}, after {counted(len(before.attempts), 'refusal')}"
    return replace(again, attempts=attempts, verdict=Verdict.FLAKY, why=why)


def hostile_refusals(results: Iterable[Result]) -> int:
    """Return the number of attempts in which the client refused a connection with an attacker.

    An attempt is one run of the client. It counts once, even if the client refused several
    connections in it, because the client may have checked only one of them. Only attempts of right
    results count, in cases that the client must refuse. So an attempt in which the client died or
    was stopped does not count as a refusal.
    """
    return sum(
        any(map(_got_nothing, attempt.connections))
        for result in results
        if result.expect is Expect.REJECT and result.outcome is Outcome.RIGHT
        for attempt in result.attempts
    )


def _got_nothing(seen: Connection) -> bool:
    """Return True if the client refused an attacker on this connection: it sent no data.

    It must have begun TLS. ``seen`` is the evidence of the connection. Return False if client and
    server had no TLS parameters in common, because the attacker then showed no certificate.
    """
    return seen.hostile and seen.hello is not None and not seen.said and not disagrees(seen.problem)


def skip_bound(refused: int) -> float:
    """Return the largest share of checks that a client can skip at random, with 95 % confidence.

    A client that skips a share p of its checks, independently of each other, refuses the attacker
    in n runs with at most the probability (1 - p)ⁿ, because it checks at least one connection of
    each. The bound is the p for which this probability is 5 %: 59 refusals exclude 5 %, and 149
    exclude 2 %.

    Args:
        refused: the number of runs in which the client refused the attacker, if it accepted none
            (``hostile_refusals``). 0 excludes nothing.
    """
    return 1.0 - math.pow(_DOUBT, 1 / refused) if refused else 1.0


class Preconditions:
    """Checks the conditions that some cases have on the client, such as a clock that can be set.

    Each condition is checked by running a control: a case with an honest server, which the client
    must accept. The control is run once, when ``problem`` is first called for a case with the
    condition, and its result is stored. Use several threads only after all conditions are checked.
    """

    def __init__(self, lab: Lab, client: ClientUnderTest) -> None:
        """Store the lab and the client. No condition is checked yet.

        Args:
            lab: an open lab.
            client: the client under test.
        """
        self._lab = lab
        self._client = client
        self._found: dict[str, str] = {}

    def problem(self, case: Case) -> str:
        """Return the reason why a case can't be run with this client; empty if it can be run.

        The first call for each condition runs the client against a control, a case with an honest
        server.
        """
        if case.control:
            name = case.control.name
            if name not in self._found:
                self._found[name] = self._refused(case.control)
            return self._found[name]
        if case.own and case.own.time:
            if "clock" not in self._found:
                self._found["clock"] = self._clock_unset(case.own.time)
            return self._found["clock"]
        return ""

    def _refused(self, control: Case) -> str:
        """Return the reason why the client did not accept the honest server of a control.

        The result is empty if the client accepted it.
        """
        result = try_case(self._lab, self._client, control)
        if not result.attempts:
            return result.why
        if result.outcome is Outcome.RIGHT:
            return ""
        return f"{control.presents} was not accepted: {result.why} ({control.fix})"

    def _clock_unset(self, moment: datetime) -> str:
        """Return the reason why the client's clock can't be set to ``moment``; empty if it can.

        The check is needed because some programs ignore libfaketime. Such a program would judge the
        user's chains at the wrong time, and could refuse an attack only because of its dates.
        """
        control = try_case(self._lab, self._client, clock_control(self._lab.host, moment))
        if control.outcome is Outcome.RIGHT:
            return ""
        if control.outcome is Outcome.NOT_RUN:
            return control.why
        return (
            f"the client's clock can't be set: at {moment:%Y-%m-%d %H:%M:%S %Z} it refuses an "
            "honest server of that time (statically linked programs ignore libfaketime)"
        )


def try_case(
    lab: Lab,
    client: ClientUnderTest,
    case: Case,
    repeat: int = 1,
    *,
    control: Result | None = None,
) -> Result:
    """Run one case, and return its result.

    Args:
        lab: an open lab.
        client: the client under test.
        case: the case.
        repeat: the number of runs of the case. If it is 1, and the verdict is not the expected one,
            the case is run again, up to ``ATTEMPTS`` times in total, because no finding should be
            based on one run.
        control: the result of the good control (the case with the honest server), if it was run. It
            shows whether the client opens connections that it doesn't use. It also shows whether
            the client makes several requests itself: a case that redirects the first request is
            then run again without the redirect, and the worse result counts.

    Returns:
        The result. A case that the lab can't serve is ``Outcome.NOT_RUN``, with the reason.
    """
    result = _try_scenario(lab, client, case, repeat, control)
    several = control is not None and makes_requests(control.attempts)
    # The lab can't choose the answers of a real server.
    if not (case.separate and several) or lab.upstream or result.expect is not Expect.REJECT:
        return result
    if result.outcome is Outcome.WRONG:
        return result
    alone = replace(case, scenario=case.separate)
    return _worse(result, replace(_try_scenario(lab, client, alone, repeat, control), case=case))


def _worse(followed: Result, separate: Result) -> Result:
    """Return the worse of two results of a case: with redirects, and with ``Case.separate``.

    If both outcomes are equal, the result has the attempts (runs of the client) of both.

    Args:
        followed: the result with redirects.
        separate: the result without redirects, for a client that makes several requests itself.
    """
    if followed.outcome is separate.outcome:
        return replace(followed, attempts=followed.attempts + separate.attempts)
    if WORST_FIRST.index(followed.outcome) < WORST_FIRST.index(separate.outcome):
        return followed
    return replace(separate, why=f"{separate.why}, on requests that no redirect caused")


def _try_scenario(
    lab: Lab, client: ClientUnderTest, case: Case, repeat: int, control: Result | None
) -> Result:
    """Run the client against the scenario of a case, and return the result of all attempts.

    An attempt is one run of the client. The good control is the case with the honest server.

    Args:
        lab: an open lab.
        client: the client under test.
        case: the case.
        repeat: the requested number of attempts; with 1, see ``_enough``.
        control: the result of the good control, which shows whether the client opens connections
            that it doesn't use; None if it was not run.
    """
    expect = case.expected.of(lab.style)
    if expect is Expect.UNDEFINED:
        return not_run(case, lab.style, f"does not apply to a client of the style {lab.style}")
    attempts: list[Attempt] = []
    probing = control is not None and opens_probes(control.attempts)
    try:
        judgements = _judgements(lab, client, case, attempts, repeat, probing=probing)
    except CannotServeError as exc:
        return not_run(case, lab.style, str(exc))
    judgement, found = settle(expect, judgements, repeated=repeat > 1)
    if case is CONTROL and found is not Outcome.RIGHT:
        found = Outcome.UNDECIDED  # no attack got through: the run proves nothing
    fix = lab.upstream.unpinned_fix if lab.upstream and case is CONTROL else ""
    why = judgement.why
    if judgement.verdict is None and case.exercise:
        why = f"{why}: {case.exercise}"
    if judgement.verdict is Verdict.FLAKY:
        why += _by_way(attempts, judgements)
    return Result(case, expect, judgement.verdict, found, why, tuple(attempts), fix)


def _by_way(attempts: Sequence[Attempt], judgements: Sequence[Judgement]) -> str:
    """Return, as text, the verdict for each way in which the client reached the lab.

    For example, ``(connect: REJECT, port: ACCEPT)`` means that the client refused the server
    through the HTTP proxy, and accepted it on a direct connection. The text is empty if the client
    used only one way, or if its verdicts in one way differ between attempts. ``attempts`` are runs
    of the client, and ``judgements`` the verdicts on them, in the same order.
    """
    found: dict[str, set[str]] = {}
    for attempt, judgement in zip(attempts, judgements, strict=False):
        for via in {seen.via for seen in attempt.connections}:
            found.setdefault(via, set()).add(str(judgement.verdict or "not run"))
    if len(found) == 1 or any(len(verdicts) > 1 for verdicts in found.values()):
        return ""
    each = ", ".join(f"{via}: {' '.join(verdicts)}" for via, verdicts in sorted(found.items()))
    return f" ({each})"


def _judgements(
    lab: Lab,
    client: ClientUnderTest,
    case: Case,
    attempts: list[Attempt],
    repeat: int,
    *,
    probing: bool,
) -> list[Judgement]:
    """Run the client against a case until no further attempt (run of the client) is needed.

    If the lab fails, the last judgement is inconclusive, and no further attempt is made.

    Args:
        lab: an open lab.
        client: the client under test.
        case: the case.
        attempts: a list to which the evidence of each attempt is added.
        repeat: the requested number of attempts; with 1, see ``_enough``.
        probing: True if the client opened connections in the good control (the case with the honest
            server) that it didn't use.

    Returns:
        The judgement of each attempt.

    Raises:
        CannotServeError: the first attempt can't be served. If a later one can't, the judgements of
            those before it are returned.
    """
    expect = case.expected.of(lab.style)
    judgements: list[Judgement] = []
    while not _enough(expect, judgements, repeat):
        try:
            attempt = _attempt(lab.case_server(case), client, lab.canary)
            attempts.append(replace(attempt, opens_probes=probing))
        except CannotServeError:
            if not judgements:
                raise
            break  # keep the earlier judgements
        except LabError as exc:
            judgements.append(Judgement(Verdict.INCONCLUSIVE, f"{exc.problem} ({exc.fix})"))
            break
        judgements.append(judge(attempts[-1]))
    return judgements


def _enough(expect: Expect, judgements: list[Judgement], repeat: int) -> bool:
    """Return True if a case needs no further attempt (run of the client).

    If ``repeat`` is 1, no further attempt is needed after a verdict that is neither wrong nor
    undecided, after two equal verdicts in a row, or after ``ATTEMPTS`` attempts. If ``repeat`` is
    larger, the case needs ``repeat`` attempts.

    Args:
        expect: the expected reaction of the client.
        judgements: one judgement for each attempt so far.
        repeat: the number of attempts that the user requested.
    """
    if repeat > 1 or not judgements:
        return len(judgements) >= repeat
    if len(judgements) >= ATTEMPTS:
        return True
    *before, last = (judgement.verdict for judgement in judgements)
    right = outcome(expect, last) not in {Outcome.WRONG, Outcome.UNDECIDED}
    return right or before[-1:] == [last]


def _attempt(case_server: CaseServer, client: ClientUnderTest, canary: str) -> Attempt:
    """Run a client once against a case, and return the evidence.

    Usually, the caller's thread serves the case while it waits for the client, because this is
    faster. The lab's thread serves it if the client is not a program, if the case needs the lab's
    thread, or if an event loop already runs in the caller's thread.

    Args:
        case_server: the lab's servers for the case.
        client: the client under test.
        canary: the random text in the URL that the client gets.
    """
    if not isinstance(client, (Command, EveryWay)) or case_server.needs_thread or _is_serving():
        target, run = case_server.open(), client.run
    else:
        target = case_server.open(waiting=True)
        run = partial(client.run, wait=case_server.wait_for)
    begin = time.monotonic()
    try:
        ending = run(target)
    finally:
        connections = case_server.close()
    seconds = time.monotonic() - begin
    return Attempt(
        ending,
        case_server.scenario,
        connections,
        canary,
        case_server.token,
        case_server.hosts,
        case_server.pins,
        seconds,
        case_server.requests,
        others=case_server.others,
    )


def _is_serving() -> bool:
    """Return True if an event loop runs in this thread. The lab then serves in its own thread.

    Only one event loop can run in a thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def not_run(case: Case, style: Style, why: str) -> Result:
    """Return the result of a case that was not run, with the reason ``why``.

    ``style`` is the kind of the client's pins, from which the expected reaction follows.
    """
    return Result(case, case.expected.of(style), None, Outcome.NOT_RUN, why)


def _without_control(run: Run) -> Run:
    """Return a copy of a run in which the good control failed, with all refusals undecided.

    The good control is the case with an honest server. A client without a network refuses
    everything, so its refusals prove nothing.
    """
    why = "the good control failed, so a refusal proves nothing"
    results = tuple(
        Result(
            result.case,
            result.expect,
            Verdict.INCONCLUSIVE,
            Outcome.UNDECIDED,
            why,
            result.attempts,
        )
        if result.verdict is Verdict.REJECT and result.case is not CONTROL
        else result
        for result in run.results
    )
    return replace(run, results=results)
