"""For any order of connections, data and ends, all cases finish and no verdicts are mixed up."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from certpin.lab.attacks import CONTROL
from certpin.lab.device.turn import ClientSignal
from certpin.lab.scenario import OTHER_PORT, Role, Scenario
from certpin.lab.verdict import Verdict
from tests.lab._serving import (
    BOTH,
    HOSTILE,
    ONE,
    OTHER,
    PORTED,
    RENEWED,
    SWAPPED,
    UNPINNED,
    Rehearsal,
    case,
)

if TYPE_CHECKING:
    from certpin.lab.case import Case
    from certpin.lab.device.turn import Turn, Visit

HOSTS = ("a.example", "b.example")
TWICE = case("twice", Scenario.of(HOSTILE, HOSTILE))
CASES = (ONE, PORTED, SWAPPED, RENEWED, TWICE, OTHER, BOTH, UNPINNED)
REDIRECTS = (PORTED, UNPINNED)  # a client that doesn't follow has refused
# The cases that an app may never meet if it stops between its connections.
OF_SEVERAL = (SWAPPED, TWICE, BOTH, *REDIRECTS)
_REFUSALS = {ClientSignal.REFUSED, ClientSignal.CLOSED}


class Devices(RuleBasedStateMachine):
    """A state machine with two hosts. Clients act at random, and then correctly to the end."""

    visits: Bundle[Visit] = Bundle("visits")

    @initialize(count=st.integers(1, len(CASES)))
    def begin(self, count: int) -> None:
        """Begin with the first cases: the fewer they are, the sooner is one of them repeated."""
        self.cases = CASES[:count]
        self.lab = Rehearsal(*self.cases, hosts=HOSTS)
        self.began: dict[int, tuple[Visit, Turn, Case]] = {}
        self.turns: list[Turn] = []  # in the order of their first connection
        self.over: dict[int, int] = {}  # the number of turns begun when each turn was over
        self.fallbacks: list[Visit] = []

    @rule(target=visits, host=st.sampled_from(HOSTS))
    def call(self, host: str) -> Visit:
        return self.visit(host)

    def visit(self, host: str) -> Visit:
        visit = self.lab.call(host)
        on = {queue.current for queue in self.lab.schedule.queues.values()}
        assert visit.turn in on or self.lab.schedule.queues[host].turn() is None
        assert host in visit.turn.hosts
        self.remember(visit)
        return visit

    def remember(self, visit: Visit) -> None:
        self.began[id(visit)] = (visit, visit.turn, visit.turn.case)
        if visit.turn not in self.turns:
            self.turns.append(visit.turn)

    @rule(visit=visits)
    def give(self, visit: Visit) -> None:
        if not visit.ended and not visit.seen.alert:
            self.lab.gives(visit)

    @rule(visit=visits)
    def refuse(self, visit: Visit) -> None:
        if not visit.ended:
            self.lab.refuses(visit)

    @rule(visit=consumes(visits))
    def leave(self, visit: Visit) -> None:
        self.lab.leaves(visit)

    @rule(visit=consumes(visits))
    def stall(self, visit: Visit) -> None:
        self.lab.stalls(visit)

    @rule(host=st.sampled_from(HOSTS), times=st.integers(1, 4))
    def use(self, host: str, times: int) -> None:
        """Let a correct client make some connections, while others are open."""
        for _ in range(times):
            self.behave(host)

    @rule(host=st.sampled_from(HOSTS), times=st.integers(1, 4))
    def refuse_all(self, host: str, times: int) -> None:
        """Let a client refuse some connections, as one without a network seems to do."""
        for _ in range(times):
            visit = self.visit(host)
            self.lab.refuses(visit)
            self.lab.leaves(visit)

    @rule(host=st.sampled_from(HOSTS))
    def fall_back(self, host: str) -> None:
        """Let a client refuse a connection, and repeat its request in clear text."""
        visit = self.visit(host)
        self.lab.refuses(visit)
        self.lab.leaves(visit)
        clear = self.lab.asks_in_clear(host=host)
        self.fallbacks.append(clear)
        if visit.seen.exposed:
            assert clear.attack is visit.turn
            results = self.lab.schedule.queues[visit.turn.hosts[0]].results
            assert results[visit.turn.case.name].verdict is Verdict.ACCEPT

    @rule(host=st.sampled_from(HOSTS), times=st.integers(1, 5))
    def follow(self, host: str, times: int) -> None:
        """Let a client send parallel requests, and then follow a redirect, without checks."""
        visits = [self.visit(host) for _ in range(times)]
        for act in (self.lab.gives, self.lab.leaves):
            for visit in visits:
                act(visit)
        turn = visits[-1].turn
        if turn.hosts[0] != host or turn.case not in REDIRECTS:
            return
        to, port = (host, OTHER_PORT) if turn.case is PORTED else (turn.hosts[2], 443)
        followed = self.lab.call(to, port=port)
        self.remember(followed)
        assert followed.turn is turn
        self.lab.gives(followed)
        results = self.lab.schedule.queues[host].results
        assert results[turn.case.name].verdict is Verdict.ACCEPT

    def behave(self, host: str) -> None:
        visit = self.visit(host)
        step = visit.seen.step
        assert step is not None
        (self.lab.gives if step.role is Role.HONEST else self.lab.refuses)(visit)
        self.lab.leaves(visit)

    @invariant()
    def no_connection_changes_its_case(self) -> None:
        for visit, turn, played in self.began.values():
            assert visit.turn is turn
            assert turn.case is played

    @invariant()
    def no_verdict_is_taken_from_another_case(self) -> None:
        said = defaultdict(list)
        for visit, turn, played in self.began.values():
            said[turn.hosts[0], played.name].append(visit)
        for visit in self.fallbacks:
            if visit.attack:
                said[visit.attack.hosts[0], visit.attack.case.name].append(visit)
        for host, result in self.lab.reported:
            words = [(visit.signal, visit.seen.exposed) for visit in said[host, result.case.name]]
            attacks = result.case.scenario(None).attacks  # type: ignore[arg-type]
            counted = {signal for signal, exposed in words if exposed or not attacks}
            if result.verdict is Verdict.ACCEPT:
                assert ClientSignal.SENT_DATA in counted
            if result.verdict is Verdict.REJECT:
                stayed = result.case in REDIRECTS and (ClientSignal.SENT_DATA, False) in words
                assert stayed or counted & _REFUSALS

    @invariant()
    def an_accepted_attack_stays_a_finding(self) -> None:
        results = {host: queue.results for host, queue in self.lab.schedule.queues.items()}
        for host, result in self.lab.reported:
            if result.verdict is Verdict.ACCEPT:
                assert results[host][result.case.name].verdict is Verdict.ACCEPT

    @invariant()
    def a_refusal_is_told_after_a_control_that_held(self) -> None:
        for host, result in self.lab.reported:
            if result.verdict is not Verdict.REJECT:
                continue
            own = [turn for turn in self.turns if turn.hosts[0] == host]
            names = [turn.case for turn in own]
            after = own[names.index(result.case) + 1 :]
            assert any(
                turn.case is CONTROL
                and any(visit.signal is ClientSignal.SENT_DATA for visit in turn.visits)
                for turn in after
            )

    def teardown(self) -> None:
        """Check that a correct client finishes all cases, whatever happened before."""
        if not hasattr(self, "lab"):
            return
        for _ in range(40 * len(self.cases)):
            for host in HOSTS:
                self.behave(host)
        self.an_accepted_attack_stays_a_finding()
        assert self.lab.schedule.finished
        for host in HOSTS:
            mine = [turn.case for turn in self.turns if turn.hosts[0] == host]
            assert all(case in mine for case in self.cases)
            results = self.lab.schedule.queues[host].results
            assert set(results) == {case.name for case in self.cases}
            missed = {name for name, result in results.items() if result.verdict is None}
            assert missed <= {case.name for case in OF_SEVERAL}


TestDevices = pytest.mark.slow(Devices.TestCase)
TestDevices.settings = settings(deadline=None, max_examples=200, stateful_step_count=40)
