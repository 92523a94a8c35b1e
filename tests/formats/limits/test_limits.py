"""Each limit changes one respect, says so, and loses nothing where nothing is asked of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certpin.errors import ConfigError
from certpin.formats import limits
from certpin.formats.fit import Loss, fit
from certpin.pins import HostPattern, HostPin, HostPolicy, PinSet
from certpin.pins.pinset import policy_meaning
from tests.formats._sets import KEYS, REPORTS, WHOLE, anchors, authorities, compromised
from tests.kit import pin_set

if TYPE_CHECKING:
    from certpin.formats.fit import Limit
    from certpin.pins import Role

HOST = "api.bank.example"
DATE = datetime(2027, 6, 1, tzinfo=UTC)


def policy(host: str = HOST, *roles: Role, first: int = 0, **fields: object) -> HostPolicy:
    """A policy with one pin for each of these roles: a leaf's and a backup's by default."""
    chosen: tuple[Role, ...] = roles or ("leaf", "backup")
    pins = tuple(HostPin(KEYS[first + n], role) for n, role in enumerate(chosen))
    return HostPolicy(HostPattern.parse(host), pins, **fields)  # type: ignore[arg-type]


def fitted(limit: Limit, *policies: HostPolicy) -> tuple[dict[str, HostPolicy], tuple[Loss, ...]]:
    """What is left of these policies, by pattern, and what was lost."""
    pins, losses = fit(pin_set(*policies), [limit])
    return {str(each.pattern): each for each in pins.policies}, losses


def one(limit: Limit, only: HostPolicy) -> tuple[HostPolicy, list[str]]:
    """What is left of one policy, and what was lost, in words."""
    found, losses = fitted(limit, only)
    [left] = found.values()
    return left, [loss.problem for loss in losses]


@pytest.mark.parametrize(
    "limit",
    [
        limits.KeysOnly("why"),
        limits.NoDebug("why"),
        limits.NoExpiry("why"),
        limits.FailOpenDate("why"),
        limits.NoReportOnly("why"),
        limits.NoReports("why"),
        limits.NoTrust("why"),
        limits.AnywhereInChain("why"),
        limits.ApexAndBelow("why"),
        limits.ApexAndOneLabel("why"),
        limits.OneHost("why"),
        limits.United("why"),
    ],
    ids=lambda limit: type(limit).__name__,
)
def test_a_plain_policy_loses_nothing(limit: Limit) -> None:
    assert one(limit, policy()) == (policy(), [])


def test_removed_pins_stay_behind_without_a_word() -> None:
    alive = policy()
    removed = replace(alive, pins=(*alive.pins, HostPin(KEYS[5], state="removed")))
    assert one(limits.NoReports("why"), removed) == (alive, [])


def test_compromised_keys_go_to_platforms_that_can_refuse_a_key() -> None:
    alive = policy()
    hurt = compromised(alive, KEYS[5])
    assert one(limits.NoReports("why"), hurt) == (hurt, [])
    words = [f"{KEYS[5]} is compromised, and is not refused: why"]
    assert one(limits.NoCompromised("why"), hurt) == (alive, words)


def test_a_platform_that_sees_the_leaf_refuses_no_authority() -> None:
    hurt = compromised(policy(HOST, match="leaf"), KEYS[5])
    assert one(limits.LeafOnly("why"), hurt) == (hurt, [])
    of_authority = replace(hurt.pins[-1], role="intermediate")
    unseen = replace(hurt, pins=(*hurt.pins[:-1], of_authority))
    words = [f"{KEYS[5]} (intermediate) is compromised, and is not refused: why"]
    assert one(limits.LeafOnly("why"), unseen) == (policy(HOST, match="leaf"), words)


def test_a_key_that_is_compromised_under_one_of_two_united_names_is_refused() -> None:
    apex, below = policy(HOST), compromised(policy(f"**.{HOST}"), KEYS[5])
    limit = limits.ApexAndBelow("why")
    found, [loss] = fitted(limit, apex, below)
    assert [each.compromised for each in found.values()] == [{KEYS[5]}]
    assert "are united" in loss.problem


def test_without_limits_nothing_is_touched() -> None:
    alive = policy()
    dead = pin_set(replace(alive, pins=(*alive.pins, HostPin(KEYS[5], state="removed"))))
    assert fit(dead, ()) == (dead, ())


def test_pins_of_certificates_are_left_out_and_named() -> None:
    keys = policy()
    both = replace(keys, pins=(*keys.pins, HostPin(WHOLE[0])))
    left, words = one(limits.KeysOnly("it compares keys"), both)
    assert left == keys
    assert words == [f"{WHOLE[0]} is left out: it compares keys"]


def test_certificates_alone_on_a_platform_of_keys_are_refused() -> None:
    whole = HostPolicy(HostPattern.parse(HOST), (HostPin(WHOLE[0]), HostPin(WHOLE[1])))
    with pytest.raises(ConfigError, match="none of its pins is of a key; why"):
        one(limits.KeysOnly("why"), whole)


def test_a_lone_pin_that_would_be_left_is_refused() -> None:
    mixed = HostPolicy(HostPattern.parse(HOST), (HostPin(KEYS[0]), HostPin(WHOLE[1])))
    with pytest.raises(ConfigError, match=rf"{HOST} cannot be exported: there is one pin alone"):
        one(limits.KeysOnly("why"), mixed)


def test_leaf_only_keeps_what_a_leaf_can_match() -> None:
    left, words = one(limits.LeafOnly("why"), policy(HOST, "leaf", "backup", "root"))
    assert left == policy(HOST, match="leaf")
    assert words == [f'match = "any" becomes "leaf", and {KEYS[2]} (root) is left out: why']


def test_leaf_only_says_so_where_all_pins_stay() -> None:
    left, words = one(limits.LeafOnly("why"), policy())
    assert (left.match, words) == ("leaf", ['match = "any" becomes "leaf": why'])


@pytest.mark.parametrize(
    "authority",
    [
        policy(HOST, "intermediate", "root"),
        policy(HOST, "intermediate", "backup"),
        policy(match="ca"),
    ],
)
def test_leaf_only_refuses_what_no_leaf_can_match(authority: HostPolicy) -> None:
    with pytest.raises(ConfigError, match="no pin of it can match a leaf"):
        one(limits.LeafOnly("why"), authority)


@pytest.mark.parametrize(
    ("roles", "match", "pins"),
    [
        (("leaf", "backup"), "leaf", 2),
        (("leaf", "backup", "root"), "leaf", 2),
        (("intermediate", "root"), "ca", 2),
        (("intermediate", "backup"), "ca", 2),
        (("backup", "backup"), "leaf", 2),
    ],
)
def test_leaf_or_authority_decides_by_the_roles(
    roles: tuple[Role, ...], match: str, pins: int
) -> None:
    left, [word] = one(limits.LeafOrAuthority("why"), policy(HOST, *roles))
    assert (left.match, len(left.pins)) == (match, pins)
    assert f'becomes "{match}"' in word


@pytest.mark.parametrize("match", ["leaf", "ca"])
def test_anywhere_in_the_chain_is_any(match: str) -> None:
    left, words = one(limits.AnywhereInChain("why"), policy(match=match))
    assert (left.match, words) == ("any", [f'match = "{match}" becomes "any": why'])


def test_a_date_that_nothing_heeds_is_left_out() -> None:
    left, words = one(limits.NoExpiry("why"), policy(expires=DATE))
    assert left == policy()
    assert words == ["expires is left out, and the pins hold on after it: why"]


def test_a_date_that_opens_is_kept_only_where_the_pins_may_end_so() -> None:
    limit = limits.FailOpenDate("why")
    closed, words = one(limit, policy(expires=DATE))
    assert (closed, len(words)) == (policy(), 1)
    opened = policy(expires=DATE, on_expiry="fail-open")
    assert one(limit, opened) == (opened, [])
    told, words = one(limit, policy(expires=DATE, on_expiry="report"))
    assert (told, words) == (opened, ['on_expiry = "report" becomes "fail-open": why'])


def test_a_time_of_day_becomes_the_midnight_after_it() -> None:
    noon = DATE.replace(hour=12)
    left, words = one(limits.FailOpenDate("why"), policy(expires=noon, on_expiry="fail-open"))
    assert left.expires == DATE.replace(day=2)
    assert words == ["expires becomes 2027-06-02, a date without a time of day: why"]


def test_a_host_that_is_only_watched_is_left_out() -> None:
    found, losses = fitted(limits.NoReportOnly("why"), policy(), policy("b.example", mode="report"))
    assert list(found) == [HOST]
    assert losses == (Loss("mode", "b.example", 'mode = "report": the host is left out: why'),)


@pytest.mark.parametrize("broad", ["**.bank.example", "*.bank.example", "**.api.bank.example"])
@pytest.mark.parametrize("watched", [HOST, f"*.{HOST}"])
def test_a_host_that_is_only_watched_is_not_left_to_a_wildcard(watched: str, broad: str) -> None:
    enforced = policy(broad)
    with pytest.raises(ConfigError, match="would be enforced on it: why") as caught:
        fitted(limits.NoReportOnly("why"), enforced, policy(watched, mode="report"))
    assert caught.value.key == "mode"
    found, _ = fitted(limits.NoReportOnly("why"), policy(HOST), policy(broad, mode="report"))
    assert list(found) == [HOST]


def test_where_nothing_is_left_the_export_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing is left to be exported"):
        one(limits.NoReportOnly("why"), policy(mode="report"))


def test_addresses_anchors_and_the_debug_section_are_left_out() -> None:
    full = replace(policy(), report_to=REPORTS, trust=anchors()[0])
    assert one(limits.NoReports("why"), full)[1] == ["report_to is left out: why"]
    assert one(limits.NoTrust("why"), full)[1] == ["trust = 'one.pem' is left out: why"]
    pins = PinSet("bank", 1, (policy(),), anchors()[0])
    left, [loss] = fit(pins, [limits.NoDebug("why")])
    assert (left.debug, str(loss)) == (None, "[debug] is left out: why")


def test_more_than_one_host_is_refused_where_the_file_is_for_one() -> None:
    with pytest.raises(ConfigError, match="there are 2 hosts: why") as caught:
        fitted(limits.OneHost("why"), policy(), policy("b.example"))
    assert f"--host {HOST}" in caught.value.fix


def test_one_label_becomes_all_below_where_the_flag_is_so() -> None:
    found, [loss] = fitted(limits.ApexAndBelow("why"), policy("*.bank.example"))
    assert list(found) == ["**.bank.example"]
    assert str(loss) == ("*.bank.example: it covers the name itself and deeper names too: why")


def test_a_name_inside_its_own_wildcard_is_one_entry_and_no_loss() -> None:
    found, losses = fitted(
        limits.ApexAndBelow("why"), policy("bank.example"), policy("**.bank.example")
    )
    assert (list(found), losses) == (["**.bank.example"], ())


def test_entries_of_one_name_are_united_and_it_is_told() -> None:
    other = policy("**.bank.example", first=2)
    found, losses = fitted(limits.ApexAndBelow("why"), policy("bank.example"), other)
    assert set(found["**.bank.example"].live_pins) == set(KEYS[:4])
    assert [loss.problem for loss in losses] == [
        "its pins and those of **.bank.example are united: why"
    ]


def test_entries_of_one_name_that_differ_in_more_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"bank.example and \*\*.bank.example differ, and why"):
        fitted(
            limits.ApexAndBelow("why"),
            policy("bank.example"),
            policy("**.bank.example", match="leaf"),
        )


def test_the_flag_for_one_label_is_a_name_and_one_label() -> None:
    limit = limits.ApexAndOneLabel("why")
    found, [loss] = fitted(limit, policy("**.bank.example"))
    assert list(found) == ["bank.example", "*.bank.example"]
    assert "does not cover names with two labels more" in loss.problem
    found, [loss] = fitted(limit, policy("*.bank.example"))
    assert list(found) == ["bank.example", "*.bank.example"]
    assert "covers the name itself too" in loss.problem
    found, losses = fitted(limit, policy("bank.example"), policy("*.bank.example"))
    assert (list(found), losses) == (["bank.example", "*.bank.example"], ())


def test_patterns_that_cover_one_host_are_united() -> None:
    found, [loss] = fitted(
        limits.United("why"), policy("api.bank.example"), policy("**.bank.example", first=2)
    )
    assert set(found["api.bank.example"].live_pins) == set(KEYS[:4])
    assert set(found["**.bank.example"].live_pins) == set(KEYS[2:4])
    assert str(loss) == ("api.bank.example: it accepts the pins of **.bank.example too: why")


@pytest.mark.parametrize(
    ("narrow", "broad", "covered"),
    [
        ("a.bank.example", "*.bank.example", True),
        ("a.bank.example", "**.a.bank.example", True),
        ("*.bank.example", "**.bank.example", True),
        ("**.a.bank.example", "**.bank.example", True),
        ("*.a.bank.example", "**.bank.example", True),
        ("a.b.bank.example", "*.bank.example", False),
        ("bank.example", "*.bank.example", False),
        ("**.a.bank.example", "*.a.bank.example", False),
        ("abank.example", "**.bank.example", False),
    ],
)
def test_only_a_pattern_that_covers_another_adds_to_it(
    narrow: str, broad: str, covered: bool
) -> None:
    found, losses = fitted(limits.United("why"), policy(narrow), policy(broad, first=2))
    assert (len(found[narrow].live_pins) == 4) == covered
    assert [loss for loss in losses if loss.host == narrow] == (list(losses) if covered else [])


def test_where_one_label_and_a_subtree_meet_both_count() -> None:
    found, losses = fitted(
        limits.United("why"), policy("*.bank.example"), policy("**.a.bank.example", first=2)
    )
    assert set(found["a.bank.example"].live_pins) == set(KEYS[:4])
    assert [loss.host for loss in losses] == ["a.bank.example"]


def test_anchors_alone_want_anchors() -> None:
    with pytest.raises(ConfigError, match='it has trust = "system"'):
        one(limits.AnchorsOnly("why"), policy())


def test_anchors_alone_admit_what_is_not_pinned_and_it_is_told() -> None:
    limit = limits.AnchorsOnly("why")
    unpinned = policy(trust=anchors()[0])
    assert one(limit, unpinned) == (
        unpinned,
        ["whatever 'one.pem' vouches for is accepted, pinned or not: why"],
    )
    pins = tuple(HostPin(each.pin, "root") for each in authorities())
    pinned = HostPolicy(HostPattern.parse(HOST), pins, trust=anchors()[1])
    assert one(limit, pinned) == (pinned, [])
    assert one(limit, replace(pinned, match="leaf"))[1]


def test_meanings_differ_in_what_decides_and_in_nothing_else() -> None:
    first = policy()
    renamed = replace(first, pins=tuple(replace(each, note="x") for each in first.pins[::-1]))
    assert policy_meaning(first) == policy_meaning(renamed)
    assert policy_meaning(first) == policy_meaning(replace(first, on_expiry="report"))
    for change in (
        {"pins": policy(first=1).pins},
        {"mode": "report"},
        {"match": "leaf"},
        {"expires": DATE},
        {"trust": anchors()[0]},
        {"report_to": REPORTS},
    ):
        assert policy_meaning(first) != policy_meaning(replace(first, **change))
