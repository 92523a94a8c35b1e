"""Which policy covers a host: the most specific one, however many there are."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import ConfigError, HostError
from certpin.lab import Authority
from certpin.pins import HostPattern, HostPolicy, PinSet
from tests import kit

# Few labels, so that patterns and hosts often meet. Two of them below the top are no suffixes.
LABELS = st.sampled_from(["a", "b", "c"])
HOSTS = st.builds(
    lambda labels, apex: ".".join([*labels, apex, "example"]),
    st.lists(LABELS, max_size=4),
    LABELS,
)
PATTERNS = st.builds(
    lambda wildcard, name: wildcard + name, st.sampled_from(["", "*.", "**."]), HOSTS
)
SETS = st.lists(PATTERNS, min_size=1, max_size=12, unique=True)


def _set(*patterns: str) -> PinSet:
    return PinSet("set", 1, tuple(kit.policy(pattern) for pattern in patterns))


def _most_specific(pins: PinSet, host: str) -> HostPolicy | None:
    """Return the policy for a host in the documented order, written independently of certpin.

    An exact name comes first, then the wildcard with the longer suffix, then ``*.`` before ``**.``.
    """
    fitting = [policy for policy in pins.policies if policy.pattern.matches(host)]
    ranks = {"": 3, "*.": 2, "**.": 1}

    def rank(policy: HostPolicy) -> tuple[bool, int, int]:
        pattern = policy.pattern
        return not pattern.wildcard, pattern.name.count("."), ranks[pattern.wildcard]

    return max(fitting, key=rank, default=None)


@given(SETS, HOSTS)
def test_the_policy_of_a_host_is_the_most_specific_that_matches(
    patterns: list[str], host: str
) -> None:
    pins = _set(*patterns)
    assert pins.policy_for(host) == _most_specific(pins, host)


@given(SETS, PATTERNS)
def test_a_policy_is_found_by_its_exact_pattern(patterns: list[str], wanted: str) -> None:
    """A policy that covers the hosts of the pattern has another pattern."""
    pins, pattern = _set(*patterns), HostPattern.parse(wanted)
    found = [policy for policy in pins.policies if policy.pattern == pattern]
    assert pins.policy_of(pattern) == next(iter(found), None)


@given(SETS, HOSTS)
def test_a_host_in_another_spelling_has_the_same_policy(patterns: list[str], host: str) -> None:
    pins = _set(*patterns)
    assert pins.policy_for(host.upper() + ".") is pins.policy_for(host)


@pytest.mark.medium
@given(SETS, HOSTS)
def test_no_policy_means_that_no_pattern_matches(patterns: list[str], host: str) -> None:
    covered = any(HostPattern.parse(pattern).matches(host) for pattern in patterns)
    assert (_set(*patterns).policy_for(host) is not None) is covered


ORDER = [
    ("api.bank.example", "api.bank.example"),
    ("www.bank.example", "*.bank.example"),
    ("bank.example", "**.bank.example"),
    ("v1.api.bank.example", "**.bank.example"),
    ("v1.www.bank.example", "*.www.bank.example"),
    ("other.example", None),
    ("evilbank.example", None),
]


@pytest.mark.parametrize(("host", "pattern"), ORDER)
def test_exact_names_precede_one_label_wildcards(host: str, pattern: str | None) -> None:
    pins = _set("**.bank.example", "*.bank.example", "*.www.bank.example", "api.bank.example")
    policy = pins.policy_for(host)
    assert (str(policy.pattern) if policy else None) == pattern


@pytest.mark.parametrize(
    ("patterns", "pattern", "owner", "found"),
    [
        # The apex is no host of "*.", although the pattern has its name.
        (["bank.example"], "*.bank.example", ["*.bank.example"], [None]),
        (["**.bank.example"], "*.bank.example", ["*.bank.example"], ["**.bank.example"]),
        (["*.bank.example"], "**.bank.example", ["**.bank.example"], [None, "*.bank.example"]),
        (["*.bank.example"], "a.bank.example", ["a.bank.example"], ["*.bank.example"]),
        (["a.bank.example"], "*.bank.example", ["*.bank.example"], [None, "a.bank.example"]),
        # Another policy of the owner covers that host.
        (["a.bank.example"], "*.bank.example", ["*.bank.example", "a.bank.example"], [None]),
        (["a.bank.example"], "*.bank.example", [], [None, "a.bank.example"]),
        (["**.a.bank.example"], "*.bank.example", [], [None, "**.a.bank.example"]),
        (["*.a.bank.example"], "*.bank.example", [], [None]),
        (["*.a.bank.example"], "**.bank.example", [], [None, "*.a.bank.example"]),
    ],
)
def test_the_policies_at_the_hosts_of_a_pattern_of_another_set(
    patterns: list[str], pattern: str, owner: list[str], found: list[str | None]
) -> None:
    policies = _set(*patterns).policies_at(
        HostPattern.parse(pattern), _set(*owner) if owner else None
    )
    assert {str(each.pattern) if each else None for each in policies} == set(found)
    assert len(policies) == len(found)


@given(SETS, SETS, st.data())
def test_no_policy_of_a_host_of_a_pattern_is_missing(
    patterns: list[str], others: list[str], data: st.DataObject
) -> None:
    pins, owner = _set(*patterns), _set(*others)
    pattern = data.draw(st.sampled_from([policy.pattern for policy in owner.policies]))
    found = pins.policies_at(pattern, owner)
    assert len(set(found)) == len(found)
    host = data.draw(HOSTS)
    wanted = owner.policy_for(host)
    if wanted is not None and wanted.pattern == pattern:
        assert pins.policy_for(host) in found


def test_an_address_has_its_own_policy_and_no_wildcard() -> None:
    pins = _set("192.0.2.1", "2001:db8::1", "**.bank.example")
    for host in ("192.0.2.1", "[2001:DB8::1]"):
        assert pins.policy_for(host) is not None
    assert pins.policy_for("192.0.2.2") is None
    assert pins.policy_for("2001:db8::2") is None


def test_an_address_is_not_taken_for_a_name_with_dots() -> None:
    entries = kit.policy("a.example").pins
    pins = PinSet("set", 1, (HostPolicy(HostPattern("*.", "0.2.1"), entries),))
    assert pins.policy_for("192.0.2.1") is None


def test_a_set_without_wildcards_is_asked_once() -> None:
    assert _set("a.example").policy_for("b.a.example") is None


def test_an_invalid_host_is_refused() -> None:
    with pytest.raises(HostError):
        _set("a.example").policy_for("a..example")


def test_a_set_of_many_hosts_finds_each() -> None:
    pins = _set(*(f"host-{number}.example" for number in range(5000)), "**.wild.example")
    for number in range(0, 5000, 13):
        policy = pins.policy_for(f"host-{number}.example")
        assert policy is not None
        assert str(policy.pattern) == f"host-{number}.example"


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(ConfigError, match="protects nothing") as caught:
        PinSet("set", 1, ())
    assert (caught.value.key, caught.value.fix) == ("host", "certpin add HOST")


@pytest.mark.parametrize("version", [0, -1])
def test_a_version_below_one_is_refused(version: int) -> None:
    with pytest.raises(ConfigError, match="1 or more") as caught:
        PinSet("set", version, (kit.policy("a.example"),))
    assert caught.value.key == "version"


@pytest.mark.parametrize("twin", ["a.example", "A.EXAMPLE."])
def test_two_policies_of_one_pattern_are_refused(twin: str) -> None:
    with pytest.raises(ConfigError, match=r"a\.example has two policies") as caught:
        _set("b.example", "a.example", twin)
    assert caught.value.key == "host[2].name"
    assert caught.value.fix


def test_the_index_is_made_with_the_set_and_not_in_a_handshake() -> None:
    assert "_index" in vars(_set("a.example", "b.example"))


def test_different_wildcards_of_one_name_may_coexist() -> None:
    assert len(_set("a.example", "*.a.example", "**.a.example").policies) == 3


def test_sets_with_equal_content_are_equal() -> None:
    assert _set("a.example") == _set("a.example")
    assert _set("a.example") != _set("b.example")
    assert kit.pin_set(kit.policy("a.example")) != kit.pin_set(kit.policy("a.example"), version=2)


def test_a_set_is_frozen() -> None:
    pins = _set("a.example")
    with pytest.raises(AttributeError):
        pins.version = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del pins.policies


def test_a_set_that_was_used_survives_pickling() -> None:
    pins = kit.pin_set(kit.policy("**.a.example"), debug=kit.anchors(Authority("Debug")))
    policy = pins.policy_for("b.a.example")
    again = pickle.loads(pickle.dumps(pins))
    assert again == pins
    assert type(again) is type(pins)
    assert again.policy_for("b.a.example") == policy
