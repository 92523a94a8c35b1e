"""Limitations of formats on host names, on the number of pins, and on dates."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certpin.errors import ConfigError
from certpin.formats import limits
from certpin.formats.projection import project
from certpin.lab import Authority
from certpin.pins import HostPattern, HostPin, HostPolicy
from tests.formats._sets import KEYS, REPORTS, authorities
from tests.kit import NOBODY, NOBODY_ELSE, anchors, pin_set, policy

if TYPE_CHECKING:
    from certpin.formats.projection import Limitation

DATE = datetime(2027, 6, 1, tzinfo=UTC)
HOST = "api.bank.example"


def one(limit: Limitation, only: HostPolicy) -> tuple[HostPolicy, list[str]]:
    """Reduce one policy to what a format with this limitation can express.

    Returns:
        The reduced policy, and the text of each reported omission.
    """
    pins, omissions = project(pin_set(only), [limit])
    [left] = pins.policies
    return left, [omission.problem for omission in omissions]


@pytest.mark.parametrize(
    "limit",
    [
        limits.NamesOnly("why"),
        limits.OneDateInOverlaps("why"),
        limits.TwoPins("why"),
    ],
    ids=lambda limit: type(limit).__name__,
)
def test_a_plain_policy_is_unchanged(limit: Limitation) -> None:
    plain = policy("*.bank.example", expires=DATE, report_to=REPORTS[:1])
    assert one(limit, plain) == (plain, [])


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_addresses_are_refused_if_only_names_are_supported(address: str) -> None:
    with pytest.raises(ConfigError, match="cannot be exported: it is an IP address; why"):
        one(limits.NamesOnly("why"), policy(address))


def test_one_pin_is_refused_if_two_are_required() -> None:
    lone = HostPolicy(HostPattern("", HOST), (HostPin(KEYS[0]),), mode="report")
    with pytest.raises(ConfigError, match="there is only one pin; why"):
        one(limits.TwoPins("why"), lone)


def test_the_last_representable_day_is_kept() -> None:
    noon = datetime(9999, 12, 31, 12, tzinfo=UTC)
    left, _ = one(limits.FailOpenDate("why"), policy(HOST, expires=noon, on_expiry="fail-open"))
    assert left.expires == noon.replace(hour=0)


@pytest.mark.parametrize("broad", ["**.bank.example", "*.bank.example", "**.api.bank.example"])
def test_overlapping_patterns_must_expire_together(broad: str) -> None:
    limit = limits.OneDateInOverlaps("why")
    same = pin_set(policy(HOST, expires=DATE), policy(broad, expires=DATE))
    assert project(same, [limit]) == (same, ())
    with pytest.raises(ConfigError, match="expire on different days: why"):
        project(pin_set(policy(HOST, expires=DATE), policy(broad)), [limit])


def test_disjoint_patterns_may_expire_on_different_days() -> None:
    apart = pin_set(policy(HOST, expires=DATE), policy("**.pay.example"))
    assert project(apart, [limits.OneDateInOverlaps("why")]) == (apart, ())


@pytest.mark.parametrize(
    ("limit", "host"),
    [
        (limits.NamesOnly("it compares names"), "192.0.2.7"),
        (limits.NamesOnly("it compares names"), "2001:db8::7"),
        (limits.NoWildcard("it has one name"), "*.bank.example"),
        (limits.NoWildcard("it has one name"), "**.bank.example"),
    ],
)
def test_unverifiable_hosts_are_refused(limit: Limitation, host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        limit.apply(pin_set(policy(host, NOBODY, NOBODY_ELSE)))
    assert limit.why in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize("limit", [limits.NamesOnly(""), limits.NoWildcard("")])
def test_a_name_passes(limit: Limitation) -> None:
    pins = pin_set(policy("api.bank.example", NOBODY, NOBODY_ELSE))
    assert limit.apply(pins) == (pins, ())


def test_anchors_without_their_roots_are_refused_if_chains_must_end_at_a_root() -> None:
    root = authorities()[0]
    intermediate = root.intermediate("Intermediate")
    limit = limits.RootsOnly("why")
    renewed = Authority("One", issuer=root)  # its new key, signed with the old one
    for anchor in (intermediate, renewed):
        below = policy(HOST, trust=anchors(anchor))
        with pytest.raises(ConfigError, match="is not a root \\(self-signed\\); why") as caught:
            one(limit, below)
        assert caught.value.fix.startswith("add the root that issued it to the file of `trust`")
    for fine in (policy(HOST), policy(HOST, trust=anchors(root, intermediate))):
        assert one(limit, fine) == (fine, [])
