"""The queue of a host's cases, with good controls before, between and after the cases. No I/O.

A *turn* is the run of one case for this host. The *good control* is a case with the honest server,
which the app must accept. A refusal counts only if a later good control succeeds. Otherwise a
device without a network, or an app that crashed, would seem to check pins.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from certpin.lab.case import CONTROL, CannotServeError, Expect
from certpin.lab.device.turn import is_control
from certpin.lab.runner import Result, not_run
from certpin.lab.verdict import Judgement, Verdict, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from certpin.lab.case import Case
    from certpin.lab.device.turn import Turn
    from certpin.lab.pki import Style

BETWEEN = 5  # cases between two controls: a lost network invalidates at most this many
_TRIES = 3  # attempts at a case without a verdict

_NO_CONTROL = Judgement(Verdict.INCONCLUSIVE, "no good control followed it")


def plan(cases: Iterable[Case], between: int = BETWEEN) -> list[Case]:
    """Return the order in which to run a host's cases, with the good control inserted regularly.

    The good control (a case with the honest server) is run after every ``between`` cases, and after
    the last case.
    """
    planned: list[Case] = []
    for number, case in enumerate(cases, 1):
        planned.append(case)
        if number % between == 0:
            planned.append(CONTROL)
    return planned if planned[-1:] == [CONTROL] else [*planned, CONTROL]


class CaseQueue:
    """The cases of one host: the active case, those still to come, and the results.

    The good control is a case with the honest server, which shows that refusals count.

    Args:
        style: the kind of the app's pins: on the server's key, on an authority, or none.
        cases: the cases to run.
        prepare: a function that returns a new turn of a case (its run for this host), or raises
            ``CannotServeError``.
        settled: a function that gets every result of a case, except for good controls. It is called
            again if a late connection changes a result.
    """

    def __init__(
        self,
        style: Style,
        cases: Iterable[Case],
        prepare: Callable[[Case], Turn],
        settled: Callable[[Result], None] = lambda _: None,
    ) -> None:
        self.style = style
        self.cases = tuple(cases)
        self.current: Turn | None = None
        self.results: dict[str, Result] = {}
        self.control: Result | None = None  # the latest
        self.controlled = False  # whether any good control succeeded
        self._prepare = prepare
        self._settled = settled
        self._queue = plan(self.cases)
        self._trusted = False  # whether the latest control succeeded
        self._doubtful: list[Turn] = []  # refusals since the latest control
        self._tries: Counter[str] = Counter()

    @property
    def finished(self) -> bool:
        """True if every case has a result, and the latest good control succeeded.

        The good control is the case with the honest server.
        """
        return not self._queue and self.current is None and self._trusted

    @property
    def next_case(self) -> str:
        """The name of the next case; empty if there is none.

        At the beginning, and after a good control failed, the next case is the good control: the
        case with the honest server.
        """
        if not self._trusted:
            return CONTROL.name
        return self._queue[0].name if self._queue else ""

    @property
    def in_doubt(self) -> int:
        """The number of cases that the app refused since the latest good control.

        The good control is the case with the honest server. The next one confirms these refusals if
        it succeeds.
        """
        return len(self._doubtful)

    def turn(self, *, wide: bool = True) -> Turn | None:
        """Return the active turn (the run of a case), or begin the next turn.

        Args:
            wide: False if a case about two hosts is active elsewhere, so that no other can begin
                now.

        Returns:
            The turn; None if all cases are finished, or if the next case is about two hosts and has
            to wait.
        """
        while self.current is None and not self.finished:
            case = CONTROL if not self._trusted else self._queue.pop(0)
            turn = self._begin(case)
            if turn and turn.wide and not wide:
                return self._postpone(turn)
            self.current = turn
        return self.current

    def update(self, turn: Turn) -> None:
        """Process an event on a connection of a turn (the run of a case).

        The active turn is judged once its connections suffice for a verdict. A turn that was judged
        before is judged again, because a late connection may show that its attack succeeded.
        """
        if turn is self.current:
            if turn.over:
                self.current = None
                self._judge(turn)
            return
        self._revise(turn)

    def stop(self) -> None:
        """Stop the queue. Refusals since the latest good control become inconclusive.

        No later good control (the case with the honest server) can confirm them. Cases that never
        ran get no result.
        """
        for turn in self._doubtful:
            self._settle(turn, _NO_CONTROL)
        self._doubtful = []

    def _begin(self, case: Case) -> Turn | None:
        if case.expected.of(self.style) is Expect.UNDEFINED:
            why = f"does not apply to a client of the style {self.style}"
            self._note(not_run(case, self.style, why))
            return None
        try:
            return self._prepare(case)
        except CannotServeError as exc:
            if case is CONTROL:
                raise
            self._note(not_run(case, self.style, str(exc)))
            return None

    def _postpone(self, turn: Turn) -> Turn | None:
        """Put the case of a turn back into the queue, behind the next case.

        A turn is the run of a case for this host. This is needed for a case about two hosts if
        another such case is active, because only one of them can run at a time. Always return None,
        which means that no turn begins now.
        """
        place = 0 if not self._queue or self._queue == [CONTROL] else 1
        self._queue.insert(place, turn.case)
        return None

    def _judge(self, turn: Turn) -> None:
        judgement = turn.judgement()
        if is_control(turn):
            self._judge_control(turn, judgement)
        elif judgement.verdict is Verdict.REJECT:
            self._doubtful.append(turn)
        elif judgement.verdict is Verdict.INCONCLUSIVE:
            self._again(turn, judgement)
        else:
            self._settle(turn, judgement)

    def _judge_control(self, turn: Turn, judgement: Judgement) -> None:
        self._trusted = judgement.verdict is Verdict.ACCEPT
        self.control = self._result(turn, judgement)
        self.controlled = self.controlled or self._trusted
        doubtful, self._doubtful = self._doubtful, []
        failed = Judgement(Verdict.INCONCLUSIVE, f"the good control failed: {judgement.why}")
        for refused in doubtful:
            if self._trusted:
                self._settle(refused, refused.judgement())
            else:
                self._again(refused, failed)

    def _again(self, turn: Turn, judgement: Judgement) -> None:
        """Put an inconclusive case back into the queue, before the good control at the queue's end.

        The good control is the case with the honest server. After ``_TRIES`` tries, the
        inconclusive judgement becomes the result of the case.

        Args:
            turn: the run of the case.
            judgement: the inconclusive judgement of this run.
        """
        self._tries[turn.case.name] += 1
        if self._tries[turn.case.name] >= _TRIES:
            self._settle(turn, judgement)
            return
        if not self._queue:
            self._queue.append(CONTROL)
        self._queue.insert(len(self._queue) - 1, turn.case)

    def _revise(self, turn: Turn) -> None:
        """Judge a turn (the run of a case) again, after its case has gone on.

        If a late connection shows that the attack got through, ACCEPT becomes the result of the
        case. Otherwise nothing changes.
        """
        judgement = turn.judgement()
        if judgement.verdict is not Verdict.ACCEPT or is_control(turn):
            return
        before = self.results.get(turn.case.name)
        if before is None or before.verdict is not Verdict.ACCEPT:
            self._settle(turn, judgement)

    def _settle(self, turn: Turn, judgement: Judgement) -> None:
        if judgement.verdict is Verdict.ACCEPT:
            self._drop_runs(turn.case)
        self._note(self._result(turn, judgement))

    def _drop_runs(self, case: Case) -> None:
        """Remove all other runs of a case that the client accepted: ACCEPT stays its verdict.

        Such a run may still be in the queue, be active, or wait for the next good control (the case
        with the honest server). An attack that got through once is a finding, even if the client
        refuses it in another run.
        """
        self._queue = [queued for queued in self._queue if queued is not case]
        self._doubtful = [turn for turn in self._doubtful if turn.case is not case]
        if self.current and self.current.case is case:
            self.current = None

    def _result(self, turn: Turn, judgement: Judgement) -> Result:
        expect = turn.case.expected.of(self.style)
        judgement, found = settle(expect, [judgement])
        evidence = turn.clear_text_evidence
        return Result(turn.case, expect, judgement.verdict, found, judgement.why, evidence)

    def _note(self, result: Result) -> None:
        self.results[result.case.name] = result
        self._settled(result)
