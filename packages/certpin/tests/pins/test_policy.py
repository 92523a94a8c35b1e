"""The rules of a policy: each error names the setting and the fix."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest

from certpin.errors import ConfigError
from certpin.lab import Authority
from certpin.pins import (
    HostPattern,
    HostPin,
    HostPolicy,
    Pin,
    State,
    TrustAnchors,
    require_clock,
    utc_now,
)
from certpin.pins.policy import Mode, OnExpiry, expiry_effect
from tests import kit

ONE, TWO, THREE = (Pin("sha256", bytes([number, *range(31)])) for number in range(3))
WHOLE = Pin("cert-sha256", bytes(range(32)))
MOMENT = datetime(2027, 6, 1, tzinfo=UTC)
DEAD = ("removed", "compromised")


def _policy(*entries: HostPin, **fields: Any) -> HostPolicy:
    pattern = HostPattern.parse(fields.pop("pattern", "bank.example"))
    return HostPolicy(pattern, entries or (HostPin(ONE), HostPin(TWO)), **fields)


def _refused(key: str, *entries: HostPin, **fields: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        _policy(*entries, **fields)
    assert caught.value.key == key
    assert caught.value.fix
    return caught.value


def test_the_same_pin_twice_is_refused() -> None:
    error = _refused("pin[1]", HostPin(ONE), HostPin(ONE, "backup"))
    assert str(ONE) in error.problem


def test_a_placeholder_is_refused() -> None:
    placeholder = Pin("sha256", bytes(32))
    error = _refused("pin[1]", HostPin(ONE), HostPin(placeholder))
    assert "example from some documentation" in error.problem
    assert "certpin pin HOST" in error.fix


@pytest.mark.parametrize("mode", ["enforce", "report"])
@pytest.mark.parametrize("state", DEAD)
def test_a_policy_whose_pins_are_all_dead_is_refused(mode: str, state: State) -> None:
    dead = [HostPin(pin, state=state) for pin in (ONE, TWO)]
    assert "no pin that could match" in _refused("pin", *dead, mode=mode).problem


def test_a_policy_without_pins_is_refused() -> None:
    with pytest.raises(ConfigError, match="no pin that could match") as caught:
        HostPolicy(HostPattern.parse("bank.example"), ())
    assert "certpin pin HOST" in caught.value.fix


@pytest.mark.parametrize("more", [(), (HostPin(TWO, state="compromised"),)])
def test_a_single_pin_is_refused_in_enforce_mode(more: tuple[HostPin, ...]) -> None:
    error = _refused("pin", HostPin(ONE), *more)
    assert "only one pin" in error.problem
    assert "certpin pin FILE" in error.fix
    assert 'mode = "report"' in error.fix


def test_a_single_pin_is_allowed_in_report_mode() -> None:
    assert _policy(HostPin(ONE), mode="report").live_pins == {ONE: HostPin(ONE)}


@pytest.mark.parametrize("state", get_args(State))
def test_pins_in_every_state_but_two_are_live(state: State) -> None:
    entry = HostPin(THREE, state=state)
    assert entry.live is (state not in DEAD)
    assert (THREE in _policy(HostPin(ONE), HostPin(TWO), entry).live_pins) is entry.live


def test_live_pins_are_found_by_kind() -> None:
    entries = (HostPin(ONE), HostPin(WHOLE), HostPin(TWO, state="removed"))
    policy = _policy(*entries)
    assert policy.keys == {ONE.digest: entries[0]}
    assert policy.certificates == {WHOLE.digest: entries[1]}


@pytest.mark.parametrize("pattern", ["*.com", "**.com", "*.co.uk", "**.kawasaki.jp", "*.unknown"])
def test_a_public_suffix_under_a_wildcard_is_refused(pattern: str) -> None:
    error = _refused("name", pattern=pattern)
    assert "public suffix" in error.problem
    assert pattern.lstrip("*.") in error.problem


@pytest.mark.parametrize("pattern", ["com", "*.bank.co.uk", "**.bank.example", "*.www.ck"])
def test_a_registrable_name_is_accepted(pattern: str) -> None:
    assert str(_policy(pattern=pattern).pattern) == pattern


def test_an_expiry_without_a_zone_is_refused() -> None:
    error = _refused("expires", expires=datetime(2027, 6, 1))  # noqa: DTZ001
    assert "time zone" in error.problem


REPORT_ADDRESSES = [
    "https://pins.bank.example/reports",
    "https://pins.bank.example",
    "https://pins.bank.example:8443/reports?app=1",
    "https://[2001:db8::1]/",
    "http://127.0.0.1:8080/reports",
    "http://[::1]:8080",
    "http://localhost:1/x",
    "http://localhost",
]
NO_REPORT_ADDRESSES = [
    "",
    "http://pins.bank.example/",
    "https://",
    "https:///reports",
    "https:pins.bank.example",
    "https://pins.bank.example /",
    " https://pins.bank.example/",
    "https://user:secret@pins.bank.example/",
    "ftp://pins.bank.example/",
    "http://127.0.0.1:80@evil.example/",
    "http://localhost:80@evil.example/",
    "http://localhost.evil.example/",
    "http://127.0.0.1.evil.example/",
    "https://pins.bank.example/\n",
    "https://pins.bank.example/\0",
    "https://pins.bank.example/\x1b[2J",
    "https://pins.bank.example/\x7f",
    "https://bücher.example/",
]


@pytest.mark.parametrize("address", REPORT_ADDRESSES)
def test_reports_go_over_tls_or_to_this_machine(address: str) -> None:
    assert _policy(report_to=(address,)).report_to == (address,)


@pytest.mark.parametrize("address", NO_REPORT_ADDRESSES)
def test_reports_go_nowhere_else(address: str) -> None:
    error = _refused("report_to", report_to=("https://good.example/", address))
    assert "https://" in error.problem
    assert repr(address) in error.problem


def test_an_expiry_is_stored_in_utc() -> None:
    zone = timezone(timedelta(hours=10))
    found = _policy(expires=datetime(2027, 6, 1, 0, 30, tzinfo=zone)).expires
    assert found is not None
    assert found.isoformat() == "2027-05-31T14:30:00+00:00"
    with pytest.raises(ConfigError, match="not in the years 1 to 9999"):
        _policy(expires=datetime(1, 1, 1, tzinfo=zone))


def test_a_policy_without_a_date_never_expires() -> None:
    assert not _policy().expired(datetime.max.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("now", "expired"),
    [
        (MOMENT - timedelta(microseconds=1), False),
        (MOMENT, True),
        (MOMENT + timedelta(days=1), True),
        (datetime(2027, 6, 1, 1, 59, tzinfo=timezone(timedelta(hours=2))), False),
        (datetime(2027, 6, 1, 2, 0, tzinfo=timezone(timedelta(hours=2))), True),
    ],
)
def test_pins_expire_at_the_first_moment_of_the_date(now: datetime, expired: bool) -> None:
    assert _policy(expires=MOMENT).expired(now) is expired


def test_the_clock_of_certpin_has_a_time_zone() -> None:
    assert utc_now().utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "clock",
    [datetime.now, MOMENT, lambda: MOMENT.replace(tzinfo=None), time.time, lambda: None, None],
    ids=["now", "value", "naive", "number", "nothing", "none"],
)
def test_a_clock_without_a_time_zone_is_refused(clock: object) -> None:
    """It works until the pin set has a date, and then no connection does."""
    with pytest.raises(ConfigError, match="current time with a time zone") as caught:
        require_clock(clock)
    assert (caught.value.key, caught.value.fix) == ("clock", "clock=lambda: datetime.now(UTC)")
    require_clock(utc_now)
    require_clock(lambda: MOMENT.astimezone(timezone(timedelta(hours=2))))


def test_policies_with_equal_content_are_equal() -> None:
    assert _policy() == _policy()
    assert hash(_policy()) == hash(_policy())
    assert _policy() != replace(_policy(), match="leaf")


def test_a_policy_is_frozen() -> None:
    with pytest.raises(AttributeError):
        _policy().mode = "report"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        HostPin(ONE).state = "removed"  # type: ignore[misc]


def test_anchors_are_compared_by_content_and_not_by_file() -> None:
    one, other = Authority("One"), Authority("Other")
    both = kit.anchors(one, other)
    assert both == TrustAnchors(both.der, source="roots.pem")
    assert both.digest == TrustAnchors(both.der, source="roots.pem").digest
    assert both.digest != kit.anchors(one).digest
    # The digest includes the border between two certificates.
    assert TrustAnchors((b"ab", b"c")).digest != TrustAnchors((b"a", b"bc")).digest


def test_what_clients_do_after_the_expiry_depends_on_the_mode() -> None:
    modes: tuple[Mode, ...] = get_args(Mode)
    behaviours: tuple[OnExpiry, ...] = get_args(OnExpiry)
    found = {(mode, each): expiry_effect(mode, each) for mode in modes for each in behaviours}
    assert found == {
        ("enforce", "fail-closed"): "refuse every connection",
        ("enforce", "fail-open"): "check no pins",
        ("enforce", "report"): "report mismatches, and refuse none",
        ("report", "fail-closed"): "report every connection, and refuse none",
        ("report", "fail-open"): "check no pins",
        ("report", "report"): "report mismatches, and refuse none",
    }
