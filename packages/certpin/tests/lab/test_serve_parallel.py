"""Cases that redirect an app: they wait until it can follow, and its next connection is theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.lab.attacks import CONTROL
from certpin.lab.scenario import OTHER_PORT, Answer, Scenario
from tests.lab._serving import HONEST, HOSTILE, ONE, PORTED, UNPINNED, Rehearsal, case

if TYPE_CHECKING:
    from certpin.lab.device.turn import Visit

COALESCED = case(
    "coalesced",
    Scenario(
        (HONEST.but(foreign="b.example", answer=Answer.REDIRECT_SECOND_KEEP),),
        second=(HONEST,),
        lures=True,
    ),
)
KINDS = case("kinds", Scenario((HONEST,), other_kind=(HOSTILE,)))


def _give_in_parallel(lab: Rehearsal, count: int, host: str = "a.example") -> list[Visit]:
    """Send requests on several connections. The lab closes the first one after the last began."""
    visits = []
    for _ in range(count):
        visits.append(lab.call(host))
        lab.gives(visits[-1])
    for visit in visits:
        lab.leaves(visit)
    return visits


@pytest.mark.parametrize("count", [1, 4, 20])
def test_parallel_requests_all_have_time_to_follow(count: int) -> None:
    lab = Rehearsal(PORTED, ONE)
    lab.gives_once()
    first, *_ = _give_in_parallel(lab, count)
    followed = lab.call(port=OTHER_PORT)
    assert (followed.turn, followed.seen.step) == (first.turn, HOSTILE)
    lab.gives(followed)
    assert lab.verdicts() == {"ported": "ACCEPT"}


@pytest.mark.parametrize("count", [1, 4, 20, 100])
def test_parallel_requests_that_never_follow_have_refused_after_three_rounds(count: int) -> None:
    lab = Rehearsal(PORTED)
    lab.gives_once()
    visits = [*_give_in_parallel(lab, count), *_give_in_parallel(lab, count), lab.gives_once()]
    assert {visit.turn.case for visit in visits} == {PORTED}
    assert lab.gives_once().turn.case is CONTROL
    assert lab.verdicts() == {"ported": "REJECT"}


def test_a_redirect_to_another_port_that_is_followed_late_is_noticed() -> None:
    lab = Rehearsal(PORTED, ONE)
    lab.gives_once()
    first = lab.gives_once()
    lab.gives_once()
    lab.gives_once()
    assert lab.refuses_once().turn.case is ONE
    late = lab.call(port=OTHER_PORT)
    assert (late.turn, late.seen.step) == (first.turn, HOSTILE)
    lab.gives(late)
    assert lab.verdicts() == {"ported": "ACCEPT"}


def test_redirects_of_two_hosts_to_a_host_without_pins_are_kept_apart() -> None:
    lab = Rehearsal(UNPINNED, hosts=("a.example", "b.example"))
    turns = {}
    for host in ("a.example", "b.example"):
        lab.gives_once(host)
        turns[host] = lab.gives_once(host).turn
    for host, turn in turns.items():
        unpinned = turn.hosts[2]
        assert lab.schedule.tests(unpinned)
        followed = lab.call(unpinned)
        assert followed.turn is turn
        lab.gives(followed)
        assert lab.verdicts(host) == {"unpinned": "ACCEPT"}


def test_a_second_redirect_of_a_host_is_followed_to_the_second_run() -> None:
    lab = Rehearsal(UNPINNED)
    lab.gives_once()
    first, *_ = [lab.gives_once().turn for _ in range(3)]
    lab.refuses_once()  # the control
    lab.gives_once()
    second = lab.gives_once().turn
    assert (second.case, second is first) == (UNPINNED, False)
    assert lab.call(second.hosts[2]).turn is second


def test_parallel_requests_to_the_second_host_are_one_chance_to_share_a_connection() -> None:
    lab = Rehearsal(COALESCED, hosts=("a.example", "b.example"))
    lab.gives_once("a.example")
    lab.gives_once("b.example")
    shared = lab.gives_once("a.example")
    _give_in_parallel(lab, 4, "b.example")
    assert lab.gives_once("b.example").turn is shared.turn
    assert lab.gives_once("b.example").turn is shared.turn
    assert lab.gives_once("a.example").turn.case is CONTROL
    assert lab.verdicts() == {"coalesced": "REJECT"}


def test_parallel_requests_leave_time_for_another_kind_of_connection() -> None:
    lab = Rehearsal(KINDS, ONE)
    lab.gives_once()
    _give_in_parallel(lab, 4)
    other = lab.call(kind="WebSocket")
    assert other.seen.step == HOSTILE
    lab.gives(other)
    assert lab.verdicts() == {"kinds": "ACCEPT"}
