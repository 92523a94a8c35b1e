"""Pin sets of every kind, for property tests."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, get_args

from hypothesis import strategies as st

from certpin.errors import ConfigError
from certpin.lab import Authority
from certpin.lab.ct_log import LabLog, log_list
from certpin.pins import (
    HostPattern,
    HostPin,
    HostPolicy,
    Match,
    Mode,
    OnExpiry,
    Pin,
    PinSet,
    Role,
    State,
    TrustAnchors,
    pins_of,
)

if TYPE_CHECKING:
    from certpin.x509.log_list import LogList

NAMES = ("bank.example", "api.bank.example", "a.api.bank.example", "pay.example", "192.0.2.7")
KEYS = tuple(Pin("sha256", bytes(range(n, n + 32))) for n in range(8))
WHOLE = tuple(Pin("cert-sha256", bytes(range(n, n + 32))) for n in range(8, 12))
DATES = tuple(datetime(2027, 6, 1, tzinfo=UTC) + timedelta(hours=7 * n) for n in range(3))
REPORTS = ("https://pins.bank.example/reports", "https://other.example/r?app=1&x=2")


@cache
def authorities() -> tuple[Authority, ...]:
    """Return two authorities, created once."""
    now = datetime.now(UTC)
    return Authority("One", now=now), Authority("Two", now=now)


@cache
def anchors() -> tuple[TrustAnchors, ...]:
    """Return two sets of trust anchors: one with the first test authority, one with both."""
    ders = tuple(each.certificate.der for each in authorities())
    return TrustAnchors(ders[:1], "one.pem"), TrustAnchors(ders, "two.pem")


@cache
def logs() -> LogList:
    """Return a list of Certificate Transparency logs, made once."""
    made = [LabLog.make(name) for name in ("Log A", "Log B")]
    return log_list(made, datetime(2027, 5, 1, tzinfo=UTC))


def compromised(policy: HostPolicy, *pins: Pin) -> HostPolicy:
    """Return a copy of the policy with these pins added as compromised keys."""
    dead = tuple(HostPin(pin, state="compromised") for pin in pins)
    return replace(policy, pins=policy.pins + dead)


# Each strategy is made once: Hypothesis checks each new one, which takes longer than a draw.
_ROLES = st.sampled_from(get_args(Role))
_STATES = st.sampled_from([*("active",) * 5, *get_args(State)])
_NOTES = st.sampled_from(["", "KMS key 7", "*/ -->"])
_MODES = st.sampled_from(["enforce", "enforce", *get_args(Mode)])
_MATCHES = st.sampled_from(get_args(Match))
_ON_EXPIRY = st.sampled_from(get_args(OnExpiry))
_DATES = st.sampled_from(DATES)
_DATES_OR_NONE = st.none() | _DATES
_REPORTS = st.lists(st.sampled_from(REPORTS), max_size=2, unique=True)
_WHOLE = st.sampled_from([False, False, False, True])
_SET_NAMES = st.text(st.characters(codec="utf-8"), max_size=20) | st.just('*/ --> " \\ %>')
_VERSIONS = st.integers(1, 2**63 - 1)


@cache
def _trust() -> st.SearchStrategy[TrustAnchors | None]:
    return st.none() | st.sampled_from(anchors())


@cache
def _ct_logs() -> st.SearchStrategy[LogList | None]:
    return st.none() | st.just(logs())


@cache
def _patterns(most: int, *, whole: bool) -> st.SearchStrategy[list[HostPattern]]:
    found = [HostPattern("", name) for name in (*NAMES, "2001:db8::7")]
    found += [HostPattern("*.", name) for name in NAMES[:4]]
    if not whole:
        found += [HostPattern("**.", name) for name in NAMES[:4]]
    return st.lists(st.sampled_from(found), min_size=1, max_size=most, unique=True)


@cache
def _entries(*, whole: bool) -> st.SearchStrategy[list[HostPin]]:
    trusted = [pins_of(each.certificate)[0] for each in authorities()]
    certificates = st.sampled_from(WHOLE)
    pins = certificates if whole else st.sampled_from([*KEYS, *trusted]) | certificates
    each = st.builds(HostPin, pins, _ROLES, _STATES, _NOTES)
    return st.lists(each, min_size=1, max_size=4, unique_by=lambda entry: entry.pin)


def _policy(draw: st.DrawFn, pattern: HostPattern, *, whole: bool) -> HostPolicy | None:
    with suppress(ConfigError):
        return HostPolicy(
            pattern,
            tuple(draw(_entries(whole=whole))),
            mode=draw(_MODES),
            match=draw(_MATCHES),
            expires=draw(_DATES if whole else _DATES_OR_NONE),
            on_expiry=draw(_ON_EXPIRY),
            trust=draw(_trust()),
            report_to=tuple(draw(_REPORTS)),
            ct_logs=draw(_ct_logs()),
        )
    return None


@st.composite
def pin_sets(draw: st.DrawFn, most: int = 4) -> PinSet:
    """Generate any valid pin set with at most ``most`` policies.

    One in four suits platforms that pin whole certificates, which rarely occurs by chance.
    """
    whole = draw(_WHOLE)
    chosen = draw(_patterns(most, whole=whole))
    policies = [p for pattern in chosen if (p := _policy(draw, pattern, whole=whole))]
    if not policies:
        good = (HostPin(KEYS[0], "leaf"), HostPin(KEYS[1], "backup"))
        policies = [HostPolicy(chosen[0], good)]
    return PinSet(draw(_SET_NAMES), draw(_VERSIONS), tuple(policies), draw(_trust()))
