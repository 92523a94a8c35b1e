"""The servers of a host: side by side, and none that was seen is forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from certpin.errors import JournalError
from certpin.pins import HostPattern
from certpin.pins.hosts import HostServer
from certpin.rotation import (
    Event,
    History,
    ServerObservation,
    Sighting,
    format_journal,
    parse_journal,
    server_states,
)
from certpin.rotation.servers import listed_servers, observed_here
from tests.rotation._situations import (
    DAY,
    HOST,
    NOW,
    chain,
    entries,
    pin,
    pin_set,
    policy,
    sighting,
    situation,
    version,
)

if TYPE_CHECKING:
    from certpin.pins import PinSet, State
    from certpin.rotation import Situation

EU, US = HostServer("192.0.2.1", region="eu"), HostServer("192.0.2.2", 8443, region="us")
AB: dict[str, State] = {"a": "active", "b": "published"}


def seen(server: str, leaf: str = "a", *, host: str = HOST, problem: str = "") -> ServerObservation:
    """An observation of yesterday."""
    return ServerObservation(HostPattern.parse(host), server, NOW - DAY, pin(leaf), problem)


def drafted(*servers: HostServer, states: dict[str, State] = AB) -> PinSet:
    draft = pin_set(states, 2)
    return replace(draft, policies=(policy(entries(states), servers=servers),))


def known(*servers: HostServer, **fields: object) -> Situation:
    return situation(drafted(*servers), version(1, AB, ago=40 * DAY), **fields)  # type: ignore[arg-type]


def observe(server: str, leaf: str = "a", *, ago: float = 1, problem: str = "") -> Event:
    at = NOW - ago * DAY
    return Event(at, "ada", "observe", HOST, pin(leaf), server=server, problem=problem)


def gone(server: str, *, ago: float = 0) -> Event:
    return Event(NOW - ago * DAY, "ada", "gone", HOST, server=server, reason="switched off")


def test_regions_at_different_stages_are_side_by_side() -> None:
    now = sighting("b", "ca", vantage="eu")
    found = server_states(
        known(
            EU,
            US,
            seen=(replace(now, server="192.0.2.1:443"),),
            observed=(seen("192.0.2.1:443"), seen("192.0.2.2:8443")),
        )
    )
    assert [(each.server, each.region, each.leaf, each.state) for each in found] == [
        ("192.0.2.1:443", "eu", pin("b"), "adopted"),
        ("192.0.2.2:8443", "us", pin("a"), "active"),
    ]
    assert [(each.time, each.current, each.listed) for each in found] == [
        (NOW, True, True),
        (NOW - DAY, False, True),
    ]


def test_a_listed_server_that_was_never_seen_has_no_time() -> None:
    eu, us = server_states(known(EU, US, observed=(seen("192.0.2.2:8443"),)))
    assert (eu.server, eu.time, eu.leaf, eu.state) == ("192.0.2.1:443", None, None, None)
    assert us.time == NOW - DAY


def test_servers_that_are_not_listed_and_files_come_last() -> None:
    file = Sighting("file eu.pem", chain("x", "ca"))
    found = server_states(known(EU, seen=(file,), observed=(seen("192.0.2.9:443"),)))
    assert [(each.server, each.listed) for each in found] == [
        ("192.0.2.1:443", True),
        ("192.0.2.9:443", False),
        ("file eu.pem", False),
    ]
    assert found[-1].state is None, "the host never had that pin"


def test_a_chain_that_did_not_verify_is_shown_with_its_reason() -> None:
    bad = Sighting("eu", None, chain("x"), "192.0.2.1:443", "certificate has expired")
    (found,) = server_states(known(EU, seen=(bad,)))
    assert (found.leaf, found.problem) == (pin("x"), "certificate has expired")


def test_without_a_list_the_host_is_its_own_server() -> None:
    assert listed_servers(drafted().policies[0]) == {f"{HOST}:443": ""}
    wild = replace(drafted().policies[0], pattern=HostPattern.parse("*.bank.example"))
    assert listed_servers(wild) == {}


def test_the_journal_keeps_the_last_observation_of_each_server() -> None:
    events = (observe("192.0.2.1:443", ago=2), observe("192.0.2.1:443", "b"), observe("[::1]:443"))
    text = format_journal(events)
    assert parse_journal(text) == events
    found = History(parse_journal(text)).observed
    assert [(each.server, each.leaf, each.time) for each in found] == [
        ("192.0.2.1:443", pin("b"), NOW - DAY),
        ("[::1]:443", pin("a"), NOW - DAY),
    ]


def test_a_server_that_is_gone_is_known_again_when_it_is_seen_again() -> None:
    events = [observe("192.0.2.1:443", ago=3), gone("192.0.2.1:443", ago=2)]
    assert History(tuple(events)).observed == ()
    events.append(observe("192.0.2.1:443", ago=1))
    assert [each.time for each in History(tuple(events)).observed] == [NOW - DAY]


@pytest.mark.parametrize(
    "server", ["", "192.0.2.1", "a b:1", "x at ", "http://a.example:1", "a.example:0", "a:99999"]
)
@pytest.mark.parametrize("step", ["observe", "gone"])
def test_a_server_in_the_journal_has_an_address_and_a_port(server: str, step: str) -> None:
    line = format_journal([observe("192.0.2.1:443")]).replace("192.0.2.1:443", server)
    with pytest.raises(JournalError) as caught:
        parse_journal(line.replace("observe", step))
    assert caught.value.line == 1


def test_a_server_belongs_to_the_policy_that_covers_its_host_now() -> None:
    """The pattern was changed, and the server is still known."""
    draft = drafted()
    wild = replace(draft.policies[0], pattern=HostPattern.parse("*.bank.example"))
    moved = replace(known(observed=(seen(f"{HOST}:443"),)), pins=replace(draft, policies=(wild,)),
                    pattern=wild.pattern)  # fmt: skip
    assert len(observed_here(moved)) == 1
    back = known(observed=(seen(f"{HOST}:443", host="*.bank.example"),))
    assert len(observed_here(back)) == 1
    other = known(observed=(seen("www.bank.example:443", host="www.bank.example"),))
    assert observed_here(other) == ()
