"""Each limitation of a format changes one setting, reports it, and changes no other policy."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certpin.errors import ConfigError
from certpin.formats import FORMATS, limits
from certpin.formats.projection import Omission, project
from certpin.pins import HostPattern, HostPin, HostPolicy, PinSet
from certpin.pins.policy import policy_meaning
from tests.formats._sets import KEYS, REPORTS, WHOLE, anchors, authorities, compromised, logs
from tests.kit import pin_set

if TYPE_CHECKING:
    from certpin.formats.projection import Limitation
    from certpin.pins import Role

HOST = "api.bank.example"
DATE = datetime(2027, 6, 1, tzinfo=UTC)


def policy(host: str = HOST, *roles: Role, first: int = 0, **fields: object) -> HostPolicy:
    """Return a policy for a host with one pin for each role; the default is a leaf and a backup.

    Args:
        host: the host pattern.
        roles: the roles of the pins.
        first: the index in ``KEYS`` of the first pin.
        fields: more fields of the policy.
    """
    chosen: tuple[Role, ...] = roles or ("leaf", "backup")
    pins = tuple(HostPin(KEYS[first + n], role) for n, role in enumerate(chosen))
    return HostPolicy(HostPattern.parse(host), pins, **fields)  # type: ignore[arg-type]


def projected(
    limit: Limitation, *policies: HostPolicy
) -> tuple[dict[str, HostPolicy], tuple[Omission, ...]]:
    """Reduce policies to what a format with this limitation can express.

    Returns:
        The reduced policies by pattern, and the reported omissions.
    """
    pins, omissions = project(pin_set(*policies), [limit])
    return {str(each.pattern): each for each in pins.policies}, omissions


def one(limit: Limitation, only: HostPolicy) -> tuple[HostPolicy, list[str]]:
    """Reduce one policy to what a format with this limitation can express.

    Returns:
        The reduced policy, and the text of each reported omission.
    """
    found, omissions = projected(limit, only)
    [left] = found.values()
    return left, [omission.problem for omission in omissions]


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
        limits.NoTransparency("why"),
        limits.PlatformTransparency("why"),
    ],
    ids=lambda limit: type(limit).__name__,
)
def test_a_plain_policy_is_unchanged(limit: Limitation) -> None:
    assert one(limit, policy()) == (policy(), [])


def test_certificate_transparency_is_omitted_and_reported() -> None:
    required = policy(ct_logs=logs())
    words = ["require_ct is left out: why"]
    assert one(limits.NoTransparency("why"), required) == (policy(), words)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "json"])
def test_only_json_and_android_keep_certificate_transparency(name: str) -> None:
    known = {limits.NoTransparency, limits.PlatformTransparency}
    found = known & set(map(type, FORMATS[name].limits))
    android = name in {"android", "trustkit-android"}
    assert found == {limits.PlatformTransparency if android else limits.NoTransparency}


def test_removed_pins_are_dropped_silently() -> None:
    alive = policy()
    removed = replace(alive, pins=(*alive.pins, HostPin(KEYS[5], state="removed")))
    assert one(limits.NoReports("why"), removed) == (alive, [])


def test_compromised_keys_are_exported_if_the_platform_can_refuse_them() -> None:
    alive = policy()
    hurt = compromised(alive, KEYS[5])
    assert one(limits.NoReports("why"), hurt) == (hurt, [])
    words = [f"{KEYS[5]} is compromised, and is not refused: why"]
    assert one(limits.NoCompromised("why"), hurt) == (alive, words)


def test_compromised_authorities_are_omitted_on_leaf_only_platforms() -> None:
    hurt = compromised(policy(HOST, match="leaf"), KEYS[5])
    assert one(limits.LeafOnly("why"), hurt) == (hurt, [])
    of_authority = replace(hurt.pins[-1], role="intermediate")
    unseen = replace(hurt, pins=(*hurt.pins[:-1], of_authority))
    words = [f"{KEYS[5]} (intermediate) is compromised, and is not refused: why"]
    assert one(limits.LeafOnly("why"), unseen) == (policy(HOST, match="leaf"), words)


def test_merged_policies_keep_compromised_keys() -> None:
    apex, below = policy(HOST), compromised(policy(f"**.{HOST}"), KEYS[5])
    limit = limits.ApexAndBelow("why")
    found, [omission] = projected(limit, apex, below)
    assert [each.compromised for each in found.values()] == [{KEYS[5]}]
    assert "are united" in omission.problem


def test_without_limitations_a_pin_set_is_unchanged() -> None:
    alive = policy()
    dead = pin_set(replace(alive, pins=(*alive.pins, HostPin(KEYS[5], state="removed"))))
    assert project(dead, ()) == (dead, ())


def test_certificate_pins_are_omitted_and_listed() -> None:
    keys = policy()
    both = replace(keys, pins=(*keys.pins, HostPin(WHOLE[0])))
    left, words = one(limits.KeysOnly("it compares keys"), both)
    assert left == keys
    assert words == [f"{WHOLE[0]} is left out: it compares keys"]


def test_only_certificate_pins_are_refused_on_key_platforms() -> None:
    whole = HostPolicy(HostPattern.parse(HOST), (HostPin(WHOLE[0]), HostPin(WHOLE[1])))
    with pytest.raises(ConfigError, match="none of its pins is the pin of a key; why"):
        one(limits.KeysOnly("why"), whole)


def test_a_policy_reduced_to_a_single_pin_is_refused() -> None:
    mixed = HostPolicy(HostPattern.parse(HOST), (HostPin(KEYS[0]), HostPin(WHOLE[1])))
    with pytest.raises(ConfigError, match=rf"{HOST} cannot be exported: there is only one pin"):
        one(limits.KeysOnly("why"), mixed)


@pytest.mark.parametrize(
    "limit", [limits.LeafOnly("why"), limits.LeafOrAnchors("why"), limits.LeafOrAuthority("why")]
)
def test_a_host_with_one_pin_for_leaves_is_refused_with_that_pin(limit: Limitation) -> None:
    both = policy(HOST, "leaf", "root")
    said = f"only one pin that can match a leaf ({KEYS[0]}; the host has 2 pins)"
    with pytest.raises(ConfigError, match=rf"{re.escape(said)}.*; why"):
        one(limit, both)
    left, _ = one(limit, replace(both, mode="report"))
    assert left.live_pins.keys() == {KEYS[0]}


def test_leaf_only_keeps_pins_that_a_leaf_can_match() -> None:
    left, words = one(limits.LeafOnly("why"), policy(HOST, "leaf", "backup", "root"))
    assert left == policy(HOST, match="leaf")
    assert words == [f'match = "any" becomes "leaf", and {KEYS[2]} (root) is left out: why']


def test_leaf_only_reports_the_changed_match_even_if_all_pins_stay() -> None:
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
def test_leaf_only_refuses_pins_that_no_leaf_can_match(authority: HostPolicy) -> None:
    with pytest.raises(ConfigError, match="none of its pins can match a leaf"):
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
def test_leaf_or_authority_chooses_by_roles(roles: tuple[Role, ...], match: str, pins: int) -> None:
    left, [word] = one(limits.LeafOrAuthority("why"), policy(HOST, *roles))
    assert (left.match, len(left.pins)) == (match, pins)
    assert f'becomes "{match}"' in word


@pytest.mark.parametrize("match", ["leaf", "ca"])
def test_anywhere_in_chain_sets_match_any(match: str) -> None:
    left, words = one(limits.AnywhereInChain("why"), policy(match=match))
    assert (left.match, words) == ("any", [f'match = "{match}" becomes "any": why'])


def test_an_unsupported_expiry_date_is_omitted() -> None:
    left, words = one(limits.NoExpiry("why"), policy(expires=DATE))
    assert left == policy()
    assert words == ["expires is left out, so the pins stay in force after it: why"]


def test_a_fail_open_date_is_kept_only_for_fail_open_policies() -> None:
    limit = limits.FailOpenDate("why")
    closed, words = one(limit, policy(expires=DATE))
    assert (closed, len(words)) == (policy(), 1)
    opened = policy(expires=DATE, on_expiry="fail-open")
    assert one(limit, opened) == (opened, [])
    told, words = one(limit, policy(expires=DATE, on_expiry="report"))
    assert (told, words) == (opened, ['on_expiry = "report" becomes "fail-open": why'])


def test_a_time_of_day_becomes_the_next_midnight() -> None:
    noon = DATE.replace(hour=12)
    left, words = one(limits.FailOpenDate("why"), policy(expires=noon, on_expiry="fail-open"))
    assert left.expires == DATE.replace(day=2)
    assert words == ["expires becomes 2027-06-02, a date without a time of day: why"]


def test_a_report_only_host_is_omitted() -> None:
    found, omissions = projected(
        limits.NoReportOnly("why"), policy(), policy("b.example", mode="report")
    )
    assert list(found) == [HOST]
    assert omissions == (
        Omission("mode", "b.example", 'mode = "report": the host is left out: why'),
    )


@pytest.mark.parametrize(
    ("watched", "broad"),
    [
        (HOST, "**.bank.example"),
        (HOST, "*.bank.example"),
        (HOST, "**.api.bank.example"),
        (f"*.{HOST}", "**.bank.example"),
        (f"*.{HOST}", "**.api.bank.example"),
        (f"**.{HOST}", "*.bank.example"),  # only its apex
    ],
)
def test_a_report_only_host_below_an_enforced_wildcard_is_refused(watched: str, broad: str) -> None:
    enforced = policy(broad)
    its = "its hosts" if watched[0] == "*" else "it"
    with pytest.raises(ConfigError, match=f"would be enforced on {its}: why") as caught:
        projected(limits.NoReportOnly("why"), enforced, policy(watched, mode="report"))
    assert caught.value.key == "mode"
    found, _ = projected(limits.NoReportOnly("why"), policy(HOST), policy(broad, mode="report"))
    assert list(found) == [HOST]


@pytest.mark.parametrize(
    ("watched", "enforced"),
    [
        (HOST, f"*.{HOST}"),
        (f"*.{HOST}", "*.bank.example"),
        ("a.api.bank.example", "*.bank.example"),
        ("**.bank.example", f"*.{HOST}"),
    ],
)
def test_a_report_only_host_that_no_enforced_wildcard_covers_is_omitted(
    watched: str, enforced: str
) -> None:
    found, omissions = projected(
        limits.NoReportOnly("why"), policy(enforced), policy(watched, mode="report")
    )
    assert list(found) == [enforced]
    assert [each.host for each in omissions] == [watched]


@pytest.mark.parametrize(
    ("limit", "wide"),
    [
        (limits.ApexAndBelow("why"), f"**.{HOST}"),
        (limits.United("why"), "**.bank.example"),
        (limits.United("why"), "*.bank.example"),
    ],
)
def test_a_stolen_key_that_an_export_would_accept_is_refused(limit: Limitation, wide: str) -> None:
    """The export takes it from a policy with a wildcard, which accepts it for other hosts."""
    stolen = compromised(policy(HOST, first=2), KEYS[0])
    words = f"{KEYS[0]} is compromised for {HOST}, but the export would accept it there"
    last = [limits.NoCompromised("why"), limit]
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        project(pin_set(policy(wide), stolen), last)
    assert caught.value.fix == (
        "replace the wildcard by individual hosts (--host HOST for each), or replace the key "
        f"everywhere: certpin rotate emergency {KEYS[0]} --stolen prints the steps"
    )
    apart = policy("**.other.example")
    assert len(project(pin_set(apart, stolen), last)[0].policies) == 2


@pytest.mark.parametrize("limit", [limits.ApexAndBelow("why"), limits.ApexAndOneLabel("why")])
def test_a_wider_pattern_is_refused_if_it_covers_report_only_hosts(
    limit: limits.ApexAndBelow,
) -> None:
    silent = policy("**.bank.example", mode="report", first=2)
    with pytest.raises(ConfigError, match="would be enforced on its hosts: why"):
        projected(limit, policy(f"*.{HOST}"), silent)
    found, _ = projected(limit, policy(HOST), silent)
    assert found[HOST].mode == "enforce"


def test_an_empty_export_is_refused() -> None:
    with pytest.raises(ConfigError, match="no policy can be exported"):
        one(limits.NoReportOnly("why"), policy(mode="report"))


def test_report_urls_anchors_and_debug_section_are_omitted() -> None:
    full = replace(policy(), report_to=REPORTS, trust=anchors()[0])
    assert one(limits.NoReports("why"), full)[1] == ["report_to is left out: why"]
    assert one(limits.NoTrust("why"), full)[1] == ["trust = 'one.pem' is left out: why"]
    pins = PinSet("bank", 1, (policy(),), anchors()[0])
    left, [omission] = project(pins, [limits.NoDebug("why")])
    assert (left.debug, str(omission)) == (None, "[debug] is left out: why")


def test_several_hosts_are_refused_if_the_file_supports_one() -> None:
    with pytest.raises(ConfigError, match="there are 2 hosts: why") as caught:
        projected(limits.OneHost("why"), policy(), policy("b.example"))
    assert f"--host {HOST}" in caught.value.fix


def test_a_one_label_wildcard_becomes_all_subdomains() -> None:
    found, [omission] = projected(limits.ApexAndBelow("why"), policy("*.bank.example"))
    assert list(found) == ["**.bank.example"]
    assert str(omission) == ("*.bank.example: it also covers the name itself and deeper names: why")


def test_a_name_within_its_wildcard_is_merged_without_an_omission() -> None:
    found, omissions = projected(
        limits.ApexAndBelow("why"), policy("bank.example"), policy("**.bank.example")
    )
    assert (list(found), omissions) == (["**.bank.example"], ())


def test_merging_entries_of_a_name_is_reported() -> None:
    other = policy("**.bank.example", first=2)
    found, omissions = projected(limits.ApexAndBelow("why"), policy("bank.example"), other)
    assert set(found["**.bank.example"].live_pins) == set(KEYS[:4])
    assert [omission.problem for omission in omissions] == [
        "its pins and those of **.bank.example are united: why"
    ]


def test_entries_of_a_name_with_different_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"bank.example and \*\*.bank.example differ, and why"):
        projected(
            limits.ApexAndBelow("why"),
            policy("bank.example"),
            policy("**.bank.example", match="leaf"),
        )


def test_the_one_label_flag_covers_the_name_and_one_label() -> None:
    limit = limits.ApexAndOneLabel("why")
    found, [omission] = projected(limit, policy("**.bank.example"))
    assert list(found) == ["bank.example", "*.bank.example"]
    assert "does not cover names with two more labels" in omission.problem
    found, [omission] = projected(limit, policy("*.bank.example"))
    assert list(found) == ["bank.example", "*.bank.example"]
    assert "also covers the name itself" in omission.problem
    found, omissions = projected(limit, policy("bank.example"), policy("*.bank.example"))
    assert (list(found), omissions) == (["bank.example", "*.bank.example"], ())


def test_overlapping_patterns_are_united() -> None:
    found, [omission] = projected(
        limits.United("why"), policy("api.bank.example"), policy("**.bank.example", first=2)
    )
    assert set(found["api.bank.example"].live_pins) == set(KEYS[:4])
    assert set(found["**.bank.example"].live_pins) == set(KEYS[2:4])
    assert str(omission) == ("api.bank.example: it also accepts the pins of **.bank.example: why")


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
def test_only_a_broader_pattern_adds_pins(narrow: str, broad: str, covered: bool) -> None:
    found, omissions = projected(limits.United("why"), policy(narrow), policy(broad, first=2))
    assert (len(found[narrow].live_pins) == 4) == covered
    assert [omission for omission in omissions if omission.host == narrow] == (
        list(omissions) if covered else []
    )


def test_a_host_covered_by_two_wildcards_gets_the_pins_of_both() -> None:
    found, omissions = projected(
        limits.United("why"), policy("*.bank.example"), policy("**.a.bank.example", first=2)
    )
    assert set(found["a.bank.example"].live_pins) == set(KEYS[:4])
    assert [omission.host for omission in omissions] == ["a.bank.example"]


def test_anchors_only_requires_anchors() -> None:
    with pytest.raises(ConfigError, match='it has trust = "system"'):
        one(limits.AnchorsOnly("why"), policy())


def test_anchors_only_reports_that_unpinned_keys_are_accepted() -> None:
    limit = limits.AnchorsOnly("why")
    unpinned = policy(trust=anchors()[0])
    assert one(limit, unpinned) == (
        unpinned,
        ["every chain to 'one.pem' is accepted, pinned or not: why"],
    )
    pins = tuple(HostPin(each.pin, "root") for each in authorities())
    pinned = HostPolicy(HostPattern.parse(HOST), pins, trust=anchors()[1])
    assert one(limit, pinned) == (pinned, [])
    assert one(limit, replace(pinned, match="leaf"))[1]


def test_policy_meanings_differ_only_in_deciding_fields() -> None:
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
