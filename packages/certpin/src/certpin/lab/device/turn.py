"""One turn: the run of one case for one host. Its connections show how the client reacts.

A *step* is how the lab serves one connection. This module does no I/O. An app on a device has no
exit status, so the verdict is based only on connections. Some events only resemble a refusal, such
as a lost network, a connection that was ended from outside, or bytes that are no TLS. They must not
count as refusals.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from certpin.lab.case import CONTROL
from certpin.lab.scenario import KEEPING, Answer, AnswerContext, Role
from certpin.lab.server.session import CaseRun
from certpin.lab.verdict import (
    Attempt,
    Ending,
    Judgement,
    Verdict,
    disagrees,
    is_judged,
    judge_connections,
)

if TYPE_CHECKING:
    from certpin.lab.case import Case
    from certpin.lab.scenario import Scenario, ServerStep
    from certpin.lab.verdict import Connection

# OpenSSL's errors for data that no TLS library sends. They are no signal of the client.
_JUNK = frozenset(
    {
        "bad length",
        "bad record type",
        "decryption failed or bad record mac",
        "http request",
        "https proxy request",
        "invalid ccs message",
        "length mismatch",
        "packet length too long",
        "record layer failure",
        "unexpected message",
        "unexpected record",
        "unknown alert type",
        "wrong version number",
    }
)
_IN_CLEAR = "the lab answered in clear text"


class ClientSignal(StrEnum):
    """The reaction of a client that a connection shows.

    ``SENT_DATA``: the client sent data. ``REFUSED``: it sent a TLS alert, or had no TLS parameters
    in common with the server. ``CLOSED``: it closed the connection silently, which can be a refusal
    or an accident. ``NO_HELLO``: it sent no ClientHello, or junk after it. ``NONE``: none of these
    happened.
    """

    SENT_DATA = "gave"  # it sent application data
    REFUSED = "refused"  # it sent an alert, or had no parameters in common
    CLOSED = "left"  # it closed the connection silently: a refusal, or an accident
    NONE = "void"  # no data until the time limit, or TLS failed in another way
    NO_HELLO = "nothing"  # it sent no ClientHello, or junk after it


def client_signal(seen: Connection, *, hung_up: bool, ended: bool) -> ClientSignal | None:
    """Return the signal of a connection: how the client reacted to the server.

    Args:
        seen: the evidence so far.
        hung_up: True if the client closed its side of the connection.
        ended: True if the connection is over, whoever closed it.

    Returns:
        The signal; None if the connection is open and shows no reaction yet.
    """
    if seen.said or seen.passed:
        return ClientSignal.SENT_DATA
    if seen.hello and (seen.alert or disagrees(seen.problem)):
        return ClientSignal.REFUSED
    if not (hung_up or ended):
        return None
    if not seen.hello or seen.problem in _JUNK:
        return ClientSignal.NO_HELLO
    if seen.unclear:
        return ClientSignal.NONE
    return ClientSignal.CLOSED if hung_up and seen.problem in {"", _IN_CLEAR} else ClientSignal.NONE


# A turn ends after this many connections without a signal, so that junk can't block other cases.
_MAX_UNCLEAR = 3
_MAX_VISITS = 12
_KEPT = 64  # visits of a turn with the same signal that are kept
_MAX_CALLS = 3  # of a client that was redirected, and calls the same host again instead


@dataclass(eq=False)
class Visit:
    """One connection of a turn (the run of one case for one host), and its signal so far.

    Attributes:
        turn: the turn.
        seen: the evidence of the connection, which is updated while it is open.
        signal: the client's reaction, such as that it sent data; None if there is no reaction yet.
        hung_up: True if the client closed its side of the connection.
        ended: True if the connection is over.
        is_assigned: for a request in clear text, True once it was decided whether an attack led to
            it.
        attack: for a request in clear text, the turn of the attack that led to it; None if no
            attack did.
        after: how many answered requests to honest servers, one after the other, were over before
            this connection began.
    """

    turn: Turn
    seen: Connection
    signal: ClientSignal | None = None
    hung_up: bool = False
    ended: bool = False
    # For a request in clear text: whether it was assigned to an attack, or to none, and the turn of
    # the attack that led to it.
    is_assigned: bool = False
    attack: Turn | None = None
    after: int = 0  # answered calls, one after the other, that were over before this one began

    @property
    def is_call(self) -> bool:
        """True if the connection is a call: the client sent data on it to an honest server.

        Such a connection shows that the app still works after an attack.
        """
        return self.signal is ClientSignal.SENT_DATA and not self.seen.exposed

    @property
    def is_answered(self) -> bool:
        """True if the client sent data to an honest server, and the lab has finished its answer.

        The answer is finished when the connection is over. If the answer keeps the connection open,
        it counts as finished at once.
        """
        step = self.seen.step
        return self.is_call and (self.ended or (step is not None and step.answer in KEEPING))

    @property
    def in_clear(self) -> bool:
        """True if the client sent data without TLS: in place of a ClientHello."""
        return self.seen.hello is None and bool(self.seen.clear)

    def update_signal(self, *, hung_up: bool = False, ended: bool = False) -> bool:
        """Derive the signal again from the evidence. Return True if it changed.

        Args:
            hung_up: True if the client closed the connection now.
            ended: True if the connection is over now.
        """
        self.hung_up = self.hung_up or hung_up
        self.ended = self.ended or ended
        before = self.signal
        self.signal = client_signal(self.seen, hung_up=self.hung_up, ended=self.ended)
        return self.signal is not before


class Turn:
    """The run of one case for one host, from its first connection to its verdict.

    Args:
        case: the case.
        scenario: how the lab serves each connection.
        hosts: the host of the turn, the second host, and a host that a redirect may lead to.
        clients: the client certificates to accept, as PEM.
    """

    def __init__(
        self, case: Case, scenario: Scenario, hosts: tuple[str, ...], clients: str
    ) -> None:
        self.case = case
        self.hosts = hosts
        self.scenario = scenario
        answer_context = AnswerContext(f"lab-answer-{secrets.token_hex(8)}")
        answer_context.set_hosts(hosts)
        answer_context.plain += answer_context.token  # so that a request shows who redirected it
        self.token = answer_context.token.encode()
        self.case_run = CaseRun(scenario, answer_context, hosts, clients=clients)
        self.visits: list[Visit] = []
        self._answered_calls = 0  # one after the other
        self.leads_into_clear = any(step.answer is Answer.REDIRECT_PLAIN for step in scenario.steps)

    @property
    def wide(self) -> bool:
        """True if the case of this turn is about two hosts.

        The turn (the run of the case) then takes the connections of both hosts.
        """
        to_second = any(step.answer is Answer.REDIRECT_SECOND for step in self.scenario.steps)
        return bool(self.scenario.second) or to_second

    def begin(self, seen: Connection) -> Visit:
        """Add a new connection to this turn (the run of a case), and return it as a ``Visit``.

        ``seen`` is the evidence of the connection, which is updated while the connection is open.
        """
        self._count_calls()
        visit = Visit(self, seen, after=self._answered_calls)
        self.visits.append(visit)
        return visit

    def _count_calls(self) -> None:
        calls = [visit.after + 1 for visit in self.visits if visit.is_answered]
        self._answered_calls = max([self._answered_calls, *calls])

    def add_fallback(self, visit: Visit) -> None:
        """Add a request in clear text to the evidence of this turn, because its attack led to it.

        This turn is the run of a case with an attack. ``visit`` is the connection with the request.
        It may have begun during a later turn.
        """
        visit.attack = self
        if visit not in self.visits:
            self.visits.append(visit)

    def drop(self, visit: Visit) -> None:
        """Remove an ended connection from the turn (the run of a case), to limit memory.

        Only connections are removed that the verdict doesn't need: those without a signal (a
        reaction of the client), and those with the signal NO_HELLO: the client sent no ClientHello,
        or junk after it. Of all other connections with the same signal, the turn keeps at most 64
        on which data leaks (``exposed``), and 64 others. ``visit`` is the ended connection.
        """
        self._count_calls()
        same = [
            other
            for other in self.visits
            if other.signal is visit.signal and other.seen.exposed is visit.seen.exposed
        ]
        if visit in same and (visit.signal in {None, ClientSignal.NO_HELLO} or len(same) > _KEPT):
            self.visits.remove(visit)

    @property
    def over(self) -> bool:
        """True if the connections suffice for a verdict, so that the next case can begin.

        The value is also True after an error of the lab, after too many connections in total, or
        after too many without a clear reaction of the client.
        """
        said = self._counted()
        if self.case_run.error or (self.scenario.attacks and any(_gave(visit) for visit in said)):
            return True
        if sum(visit.signal is ClientSignal.NONE for visit in self.visits) >= _MAX_UNCLEAR:
            return True
        reached = [visit for visit in self.visits if visit.signal and not visit.in_clear]
        if self._may_follow:
            reached = [visit for visit in reached if not visit.is_call]
        if len(reached) >= _MAX_VISITS:
            return True
        return self._heard_out(said)

    @property
    def clear_text_evidence(self) -> tuple[Attempt, ...]:
        """The requests in clear text to which the attack of this turn led, as evidence for reports.

        A turn is the run of a case. The value is one ``Attempt`` (a run of the client) with these
        connections. It is empty if there are none.
        """
        seen = tuple(visit.seen for visit in self.visits if visit.in_clear and visit.attack is self)
        return (Attempt(Ending(0), self.scenario, seen),) if seen else ()

    def judgement(self) -> Judgement:
        """Return how the app reacted to the case in its connections so far, with the reason.

        The verdict is inconclusive if too few connections show a reaction, and None if the case
        could not be run.
        """
        if self.case_run.error:
            return Judgement(None, str(self.case_run.error))
        said = tuple(visit.seen for visit in self.visits if self._is_evidence(visit))
        if not said:
            return Judgement(Verdict.INCONCLUSIVE, "none of its connections gave a signal")
        judgement = judge_connections(Attempt(Ending(0), self.scenario, said))
        if judgement.verdict is Verdict.REJECT and not self._heard_out(self._counted()):
            return Judgement(Verdict.INCONCLUSIVE, "too few of its connections gave a signal")
        if judgement.verdict is None and self.case.exercise:
            return Judgement(None, f"{judgement.why}: {self.case.exercise}")
        return judgement

    def _heard_out(self, said: list[Visit]) -> bool:
        """Return True if enough connections of this turn show how the client reacts.

        A turn is the run of a case. Normally, a connection is needed for each step that matters for
        the verdict; a step is how the lab serves one connection. If an honest server comes first,
        and the client may never meet the attack (``_may_follow``), less is needed: one connection
        that is evidence, or three requests to the honest server, each of which began after the
        answer to the previous one. Parallel requests count as one, because a client may follow a
        redirect only after all of them are answered.

        Args:
            said: the connections that are evidence for the verdict.
        """
        if self._may_follow:
            calls = [visit.after + 1 for visit in self.visits if visit.is_call]
            return bool(said) or max([self._answered_calls, *calls]) >= _MAX_CALLS
        first, second = self.scenario.first, self.scenario.second
        return self._enough(first, said, second=False) and self._enough(second, said, second=True)

    @property
    def _may_follow(self) -> bool:
        """True if an honest server comes first, so that a client may never meet the attack.

        The client meets the attack only if it follows the honest server's invitation, such as a
        redirect, or if it connects again with another TLS library or with other settings.
        """
        return self.scenario.lures or bool(self.scenario.other_kind)

    def _is_evidence(self, visit: Visit) -> bool:
        """Return True if a connection is evidence for the verdict.

        A connection without a clear reaction of the client is no evidence. A connection without a
        ClientHello is evidence only if the attack of this turn led to it: a redirect into clear
        text, or a refusal after which the client fell back to clear text. ``visit`` is the
        connection.
        """
        if visit.signal in {None, ClientSignal.NONE, ClientSignal.NO_HELLO}:
            return False
        return visit.seen.hello is not None or visit.attack is self

    def _counted(self) -> list[Visit]:
        """Return the connections of this turn (the run of a case) on which its verdict is based.

        They are evidence (``_is_evidence``), and the scenario judges them (``is_judged``).
        """
        said = [visit for visit in self.visits if self._is_evidence(visit)]
        return [visit for visit in said if is_judged(self.scenario, visit.seen)]

    def _enough(self, steps: tuple[ServerStep, ...], said: list[Visit], *, second: bool) -> bool:
        """Return True if enough connections to one host show how the client reacts.

        A connection is needed for each step that matters for the verdict; a step is how the lab
        serves one connection. If the client closed one of these connections silently, at least two
        are needed, because a single one may be an accident. The exception: one is enough if the
        client later sent data to an honest server.

        Args:
            steps: the steps of one host.
            said: the connections that are evidence for the verdict.
            second: True for the steps of the second host.
        """
        honest_only = not self.scenario.attacks
        needed = sum(honest_only or step.role is not Role.HONEST for step in steps)
        heard = [visit for visit in said if self._at_second(visit) is second]
        firm = all(visit.signal is not ClientSignal.CLOSED for visit in heard) or self._goes_on(
            heard[-1]
        )
        return not needed or len(heard) >= (needed if firm else max(needed, 2))

    def _goes_on(self, visit: Visit) -> bool:
        """Return True if the client sent data to an honest server on a connection after ``visit``.

        Then no lost network and no crash is the reason that the client closed ``visit`` silently.
        """
        later = self.visits[self.visits.index(visit) + 1 :]
        return any(visit.is_call for visit in later)

    def _at_second(self, visit: Visit) -> bool:
        """Return True if the client requested the second host of the case on a connection.

        ``visit`` is the connection. The result is False in a case with one host.
        """
        hello = visit.seen.hello
        asked = (hello.server_name if hello else "") or visit.seen.target
        return bool(self.scenario.second) and asked == self.hosts[1]


def _gave(visit: Visit) -> bool:
    return visit.signal is ClientSignal.SENT_DATA


def is_control(turn: Turn) -> bool:
    """Return True if a turn runs the good control: the case with the honest server.

    A turn is the run of a case for a host.
    """
    return turn.case is CONTROL
