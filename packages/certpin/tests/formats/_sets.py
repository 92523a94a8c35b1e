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
    from collections.abc import Sequence

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
    """Return the anchors: one authority, or both."""
    ders = tuple(each.certificate.der for each in authorities())
    return TrustAnchors(ders[:1], "one.pem"), TrustAnchors(ders, "two.pem")


@cache
def logs() -> LogList:
    """Return a list of Certificate Transparency logs, made once."""
    made = [LabLog.make(name) for name in ("Log A", "Log B")]
    return log_list(made, datetime(2027, 5, 1, tzinfo=UTC))


def compromised(policy: HostPolicy, *pins: Pin) -> HostPolicy:
    """Return the policy with compromised keys."""
    dead = tuple(HostPin(pin, state="compromised") for pin in pins)
    return replace(policy, pins=policy.pins + dead)


def _patterns() -> Sequence[HostPattern]:
    names = [HostPattern("", name) for name in NAMES]
    below = [HostPattern(wild, name) for name in NAMES[:4] for wild in ("*.", "**.")]
    return [*names, *below, HostPattern("", "2001:db8::7")]


def _entries(*, whole: bool) -> st.SearchStrategy[HostPin]:
    trusted = [pins_of(each.certificate)[0] for each in authorities()]
    certificates = st.sampled_from(WHOLE)
    pins = certificates if whole else st.sampled_from([*KEYS, *trusted]) | certificates
    roles = st.sampled_from(get_args(Role))
    states = st.sampled_from([*("active",) * 5, *get_args(State)])
    return st.builds(HostPin, pins, roles, states, st.sampled_from(["", "KMS key 7", "*/ -->"]))


@st.composite
def _policy(draw: st.DrawFn, pattern: HostPattern, *, whole: bool) -> HostPolicy | None:
    pins = st.lists(_entries(whole=whole), min_size=1, max_size=4, unique_by=lambda each: each.pin)
    dates = st.sampled_from(DATES)
    with suppress(ConfigError):
        return HostPolicy(
            pattern,
            tuple(draw(pins)),
            mode=draw(st.sampled_from(["enforce", "enforce", *get_args(Mode)])),
            match=draw(st.sampled_from(get_args(Match))),
            expires=draw(dates if whole else st.none() | dates),
            on_expiry=draw(st.sampled_from(get_args(OnExpiry))),
            trust=draw(st.none() | st.sampled_from(anchors())),
            report_to=tuple(draw(st.lists(st.sampled_from(REPORTS), max_size=2, unique=True))),
            ct_logs=draw(st.none() | st.just(logs())),
        )
    return None


@st.composite
def pin_sets(draw: st.DrawFn, most: int = 4) -> PinSet:
    """Generate any valid pin set.

    One in four suits platforms that pin whole certificates, which rarely occurs by chance.
    """
    whole = draw(st.sampled_from([False, False, False, True]))
    patterns = [each for each in _patterns() if not whole or each.wildcard != "**."]
    chosen = draw(st.lists(st.sampled_from(patterns), min_size=1, max_size=most, unique=True))
    policies = [p for pattern in chosen if (p := draw(_policy(pattern, whole=whole)))]
    if not policies:
        good = (HostPin(KEYS[0], "leaf"), HostPin(KEYS[1], "backup"))
        policies = [HostPolicy(chosen[0], good)]
    names = st.text(st.characters(codec="utf-8"), max_size=20) | st.just('*/ --> " \\ %>')
    debug = draw(st.none() | st.sampled_from(anchors()))
    return PinSet(draw(names), draw(st.integers(1, 2**63 - 1)), tuple(policies), debug)
