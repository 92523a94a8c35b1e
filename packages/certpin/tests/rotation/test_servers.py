"""The servers of a host: each is checked, and a server that was observed once is not forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from certpin.errors import JournalError
from certpin.pins import HostPattern, HostPin, pins_of
from certpin.pins.hosts import HostServer
from certpin.rotation import (
    DeployedVersions,
    Event,
    History,
    PinHistory,
    ServerObservation,
    Sighting,
    Version,
    check_step,
    format_journal,
    new_observations,
    parse_journal,
    server_states,
)
from certpin.rotation.emergency import emergency_path
from certpin.rotation.gate import listed_servers, observed_here
from certpin.rotation.situation import pins_by_key
from certpin.x509 import Certificate, Chain
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
    from certpin.pins import Pin, PinSet, State
    from certpin.rotation import Situation
    from certpin.rotation.gate import GatedStep

EU, US = HostServer("192.0.2.1", region="eu"), HostServer("192.0.2.2", 8443, region="us")
AB: dict[str, State] = {"a": "active", "b": "published"}


def seen(server: str, leaf: str = "a", *, host: str = HOST, problem: str = "") -> ServerObservation:
    """Return an observation of a server one day before NOW.

    Args:
        server: its address and port.
        leaf: the name of the leaf's key.
        host: the host of the server.
        problem: why the chain did not verify; "" if it did.
    """
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
    draft = drafted()
    assert listed_servers(draft.policies[0], draft) == {f"{HOST}:443": ""}
    wild = replace(drafted().policies[0], pattern=HostPattern.parse("*.bank.example"))
    assert listed_servers(wild, replace(draft, policies=(wild,))) == {}


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
    """An observed server stays known if the policy's pattern changes to or from a wildcard."""
    draft = drafted()
    wild = replace(draft.policies[0], pattern=HostPattern.parse("*.bank.example"))
    moved = replace(known(observed=(seen(f"{HOST}:443"),)), pins=replace(draft, policies=(wild,)),
                    pattern=wild.pattern)  # fmt: skip
    assert len(observed_here(moved)) == 1
    back = known(observed=(seen(f"{HOST}:443", host="*.bank.example"),))
    assert len(observed_here(back)) == 1
    other = known(observed=(seen("www.bank.example:443", host="www.bank.example"),))
    assert observed_here(other) == ()


def moved(*patterns: str, servers: tuple[HostServer, ...] = (), **fields: object) -> Situation:
    """Return the situation of the first of these host patterns, which have the same pins.

    Args:
        patterns: the host patterns of the draft.
        servers: the servers that the first policy lists.
        fields: fields of the situation.
    """
    first, *others = (
        replace(policy(entries(READY)), pattern=HostPattern.parse(text)) for text in patterns
    )
    draft = pin_set(READY, 2)
    draft = replace(draft, policies=(replace(first, servers=servers), *others))
    return replace(ready(seen=(), **fields), pins=draft, pattern=first.pattern)


WILD, DEEP = "*.bank.example", "**.bank.example"
FROM_WILDCARD = (seen(f"{HOST}:8443", host=WILD), seen("www.bank.example:8443", host=WILD))


def test_a_server_of_a_wildcard_belongs_to_the_more_specific_policy_of_its_name() -> None:
    at_8443 = HostServer(HOST, 8443)
    wild = moved(WILD, HOST, servers=(HostServer("www.bank.example", 8443),),
                 observed=FROM_WILDCARD)  # fmt: skip
    assert [each.server for each in observed_here(wild)] == ["www.bank.example:8443"]
    assert "unlisted" not in invariants(wild, "publish")
    own = moved(HOST, WILD, servers=(at_8443,), observed=FROM_WILDCARD)
    assert [each.server for each in observed_here(own)] == [f"{HOST}:8443"]
    assert "unlisted" not in invariants(own, "publish")
    assert "unlisted" in invariants(moved(HOST, WILD, observed=FROM_WILDCARD), "publish")
    # The policy of the host does not count a server that only the wildcard lists.
    both = moved(WILD, HOST, servers=(at_8443,), observed=FROM_WILDCARD)
    assert listed_servers(both.policy, both.pins) == {}
    assert listed_servers(both.policy, replace(both.pins, policies=(both.policy,))) != {}


def test_a_server_at_an_address_stays_with_its_wildcard() -> None:
    """It was contacted with the wildcard's name, and may serve each host of the wildcard."""
    at = (seen("192.0.2.1:443", host=DEEP),)
    wild = moved(DEEP, "bank.example", servers=(EU,), observed=at)
    assert [each.server for each in observed_here(wild)] == ["192.0.2.1:443"]
    assert "unlisted" not in invariants(wild, "publish")
    assert observed_here(moved("bank.example", DEEP, observed=at)) == ()
    assert len(observed_here(moved("bank.example", observed=at))) == 1


@pytest.mark.parametrize(
    ("server", "before", "after", "listed"),
    [
        (f"{HOST} at 192.0.2.1:443", WILD, HOST, (EU,)),
        ("192.0.2.1:443", DEEP, "bank.example", (EU,)),
        ("192.0.2.1:443", HOST, f"**.{HOST}", (EU,)),
    ],
)
def test_a_listed_server_is_known_by_the_name_that_another_pattern_gave_it(
    server: str, before: str, after: str, listed: tuple[HostServer, ...]
) -> None:
    observed = (seen(server, host=before),)
    known_now = moved(after, servers=listed, observed=observed)
    assert len(observed_here(known_now)) == 1
    assert "unlisted" not in invariants(known_now, "publish")
    assert [each.server for each in server_states(known_now)] == ["192.0.2.1:443"]
    assert "unlisted" in invariants(moved(after, servers=(US,), observed=observed), "publish")


def test_the_newest_observation_of_a_server_counts_whatever_its_pattern_was() -> None:
    newer = replace(seen(f"{HOST}:443", "b"), time=NOW)
    older = seen(f"{HOST}:443", "a", host=WILD)
    for observed in ((newer, older), (older, newer)):
        (state,) = server_states(moved(HOST, observed=observed))
        assert state.leaf == pin("b")


def invariants(found: Situation, step: GatedStep, name: str | None = None) -> list[str]:
    violations = check_step(found, step, pin(name) if name else None)
    return [violation.invariant for violation in violations]


FORGOTTEN = (seen("192.0.2.2:8443"),)
READY: dict[str, State] = {"a": "active", "b": "published", "c": "published"}


def ready(*servers: HostServer, **fields: object) -> Situation:
    """Return a situation in which every client accepts ``b``, and nothing is left to publish.

    Args:
        servers: the servers in the policy's list.
        fields: fields of the situation; by default, one server was observed that the list lacks.
    """
    now = replace(sighting("a", "ca", vantage="eu"), server="192.0.2.1:443")
    fields = {"seen": (now,), "observed": FORGOTTEN} | fields
    out = version(1, READY, ago=40 * DAY, clients=7)
    return situation(drafted(*servers, states=READY), out, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "name"),
    [("publish", None), ("activate", "b"), ("retire", "c"), ("remove", "c")],
)
def test_a_server_that_was_seen_and_is_not_listed_blocks_a_step(
    step: GatedStep, name: str | None
) -> None:
    assert "unlisted" in invariants(ready(EU), step, name)
    assert "unlisted" not in invariants(ready(EU, US), step, name)
    assert "unlisted" not in invariants(ready(EU, observed=()), step, name)


def test_the_way_out_of_an_emergency_begins_with_a_forgotten_server() -> None:
    """The gate refuses each step until it is listed or gone; no client is locked out by it."""
    past = PinHistory(compromised=frozenset({pin("a")}))
    found = emergency_path(replace(ready(EU), past=past), pin("a"), "stolen")
    assert (found.is_safe, found.harm) == (True, None)
    first, *others = found.steps
    assert (first.act, first.server) == ("gone", "192.0.2.2:8443")
    assert "gone" not in {each.act for each in others}
    last = emergency_path(replace(ready(EU, seen=(sighting("b"),)), past=past), pin("a"), "stolen")
    assert (last.in_use, "switch" in {each.act for each in last.steps}) == (True, True)
    listed = emergency_path(replace(ready(EU, US), past=past), pin("a"), "stolen")
    assert "gone" not in {each.act for each in listed.steps}


def test_a_server_that_answers_now_is_not_forgotten() -> None:
    us = replace(sighting("a", "ca", vantage="us"), server="192.0.2.2:8443")
    assert "unlisted" not in invariants(ready(EU, seen=(us,)), "publish")


def test_a_forgotten_server_is_named_with_its_last_key() -> None:
    more = (*FORGOTTEN, seen("[2001:db8::1]:443"))
    (found,) = check_step(ready(EU, observed=more), "publish")
    assert found.clients == 7
    assert found.problem.startswith(f"192.0.2.2:8443 presented {pin('a')} on 2027-02-28 12:00 UTC")
    assert "and 1 more" in found.problem
    assert "certpin rotate gone 192.0.2.2:8443 --reason" in found.fix


def test_a_renewal_that_changes_nothing_is_not_blocked() -> None:
    """An unlisted server does not block the renewal of an active key.

    A refusal would only let a certificate expire.
    """
    assert invariants(ready(EU), "activate", "a") == []


def test_an_observation_is_journaled_when_it_changes_something() -> None:
    def journaled(leaf: str, ago: float, problem: str = "") -> list[str]:
        last = replace(seen("192.0.2.1:443", leaf, problem=problem), time=NOW - ago * DAY)
        events = new_observations(ready(EU, observed=(last,)), "ada")
        assert all(
            (event.step, event.host, event.who) == ("observe", HOST, "ada") for event in events
        )
        return [event.server for event in events]

    assert journaled("a", 0.9) == [], "the same key as some hours ago"
    assert journaled("a", 1) == ["192.0.2.1:443"], "a day later"
    assert journaled("b", 0.1) == ["192.0.2.1:443"], "another key"
    assert journaled("a", 0.1, "expired") == ["192.0.2.1:443"], "it verifies again"


def shows(leaf: str, der: bytes, *, vantage: str = "eu", problem: str = "") -> Sighting:
    """Return the answer of a server with a certificate of the key named ``leaf``."""
    found = Chain((Certificate(der, leaf.encode()),))
    if problem:
        return Sighting(vantage, None, found, "192.0.2.1:443", problem)
    return Sighting(vantage, found, None, "192.0.2.1:443")


def certificate(leaf: str, der: bytes) -> Pin:
    return pins_of(Certificate(der, leaf.encode()))[1]


@pytest.mark.parametrize("problem", ["", "certificate has expired"])
def test_an_observation_has_the_certificate_of_the_key(problem: str) -> None:
    (event,) = new_observations(ready(EU, seen=(shows("a", b"1", problem=problem),)), "ada")
    assert (event.pin, event.certificate) == (pin("a"), certificate("a", b"1"))
    assert parse_journal(format_journal([event])) == (event,)
    same = {pin("a"), certificate("a", b"1")}
    assert History((event,)).same_keys == dict.fromkeys(same, same)
    empty = Sighting("eu", None, None, "192.0.2.1:443", "it sent no certificate")
    (event,) = new_observations(ready(EU, seen=(empty,)), "ada")
    assert (event.pin, event.certificate) == (None, None)


def test_the_journal_keeps_the_key_of_each_certificate() -> None:
    """Also of a server that is gone, and of certificates before the last one."""
    first, second = certificate("a", b"1"), certificate("a", b"2")
    events = (
        replace(observe("192.0.2.1:443", ago=4), certificate=first),
        replace(observe("192.0.2.1:443", ago=3), certificate=second),
        gone("192.0.2.1:443", ago=2),
        observe("192.0.2.1:443", ago=1),
    )
    same = {pin("a"), first, second}
    assert History(events).same_keys == dict.fromkeys(same, same)
    assert History(events).past(HostPattern.parse("x.example")).same_keys[second] == same


def test_a_pinned_certificate_is_journaled_once_with_its_key() -> None:
    """A renewed certificate that is not pinned is no reason for another entry."""
    pinned = certificate("a", b"1")
    host = ready(EU, observed=(replace(seen("192.0.2.1:443"), time=NOW),))
    (policy,) = host.pins.policies
    entry = HostPin(pinned, "backup", "published")
    draft = replace(host.pins, policies=(replace(policy, pins=(*policy.pins, entry)),))

    def journaled(*sightings: Sighting, known: Situation) -> list[Pin | None]:
        events = new_observations(replace(known, sightings=sightings), "ada")
        return [event.certificate for event in events]

    with_pin = replace(host, pins=draft)
    held = replace(host, deployed=DeployedVersions((Version(draft, fetched=NOW - 40 * DAY),)))
    for pins in (with_pin, held):
        assert journaled(shows("a", b"1"), known=pins) == [pinned]
        assert journaled(shows("a", b"1", problem="expired"), known=pins) == [pinned]
        both = (shows("a", b"1", vantage="one"), shows("a", b"1", vantage="two"))
        assert journaled(*both, known=pins) == [pinned], "two addresses of one server"
        others = (shows("a", b"2"), *both, shows("b", b"3"))
        assert journaled(*others, known=pins) == [pinned], "another key at one address"
        assert journaled(shows("a", b"2"), known=pins) == []
        recorded = replace(pins, past=PinHistory(same_keys=pins_by_key([(pin("a"), pinned)])))
        assert journaled(shows("a", b"1"), known=recorded) == []
    assert journaled(shows("a", b"1"), known=host) == [], "no client pins it"


def test_a_chain_from_a_file_is_no_observation_of_a_server() -> None:
    assert new_observations(ready(EU, seen=(sighting("a"),)), "ada") == ()


def test_an_observation_has_the_problem_of_the_chain() -> None:
    bad = Sighting("eu", None, chain("x"), "192.0.2.1:443", "certificate has expired")
    (event,) = new_observations(ready(EU, seen=(bad,)), "ada")
    assert (event.pin, event.problem) == (pin("x"), "certificate has expired")


def test_addresses_with_different_keys_are_one_server_in_the_journal() -> None:
    """Otherwise each run would record another key, or addresses that DNS replaces."""
    found = tuple(
        replace(sighting(leaf), vantage=f"at {leaf}", server="192.0.2.1:443") for leaf in "aba"
    )
    assert new_observations(ready(EU, seen=found, observed=(seen("192.0.2.1:443"),)), "ada") == (
        *new_observations(ready(EU, seen=found[:1], observed=(seen("192.0.2.1:443"),)), "ada"),
    )
    last = replace(seen("192.0.2.1:443", "b"), time=NOW)
    assert new_observations(ready(EU, seen=found, observed=(last,)), "ada") == ()
    states = server_states(known(EU, seen=found, observed=(last,)))
    assert [(each.server, each.leaf, each.region, each.listed) for each in states] == [
        ("at a", pin("a"), "eu", True),
        ("at b", pin("b"), "eu", True),
    ]
