"""The state of an updater, such as fresh or expired, and the time of its next check."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin import ConfigError
from certpin.updates import Limits, Timing
from certpin.updates.settings import next_wait
from certpin.updates.status import StateInputs, next_end, pins_end, state_of
from tests import kit

NOW = datetime(2027, 3, 1, 9, tzinfo=UTC)
HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
TIMING = Timing()

moments = st.one_of(st.none(), st.timedeltas(-400 * DAY, 400 * DAY).map(lambda gap: NOW + gap))
random_share = st.floats(0, 1)


def pins(**fields: Any) -> Any:
    return kit.pin_set(kit.policy("a.example"), kit.policy("b.example", **fields))


@pytest.mark.parametrize(
    ("inputs", "state"),
    [
        (StateInputs(pins()), "embedded"),
        (StateInputs(pins(), NOW + MINUTE), "fresh"),
        (StateInputs(pins(), NOW), "soft-stale"),
        (StateInputs(pins(), NOW - DAY), "soft-stale"),
        (StateInputs(pins(), NOW + DAY, superseded=True), "soft-stale"),
        (StateInputs(pins(expires=NOW), NOW + DAY), "hard-expired"),
        (StateInputs(pins(expires=NOW)), "hard-expired"),
        (StateInputs(pins(expires=NOW), NOW - DAY), "hard-expired"),
        (StateInputs(pins(expires=NOW + MINUTE), NOW + DAY), "fresh"),
        (StateInputs(pins(expires=NOW, on_expiry="fail-open"), NOW + DAY), "fresh"),
        (StateInputs(pins(expires=NOW, on_expiry="report"), NOW + DAY), "fresh"),
        (StateInputs(pins(expires=NOW, mode="report"), NOW + DAY), "fresh"),
    ],
)
def test_the_state_depends_on_the_set_and_the_checks(inputs: StateInputs, state: str) -> None:
    assert state_of(inputs, NOW) == state


@given(until=moments, end=moments, later=st.timedeltas(timedelta(0), 400 * DAY))
def test_the_state_never_improves_by_time(
    until: datetime | None, end: datetime | None, later: timedelta
) -> None:
    inputs = StateInputs(pins(expires=end), until)
    order = ["embedded", "fresh", "soft-stale", "hard-expired"]
    assert order.index(state_of(inputs, NOW + later)) >= order.index(state_of(inputs, NOW))


@given(end=moments)
def test_the_state_is_hard_expired_exactly_when_the_context_refuses(end: datetime | None) -> None:
    inputs = StateInputs(pins(expires=end), NOW + DAY)
    refused = inputs.pins.policies[1].expired(NOW)
    assert (state_of(inputs, NOW) == "hard-expired") == refused


def test_a_set_expires_at_its_earliest_expiry() -> None:
    both = kit.pin_set(
        kit.policy("a.example", expires=NOW + DAY), kit.policy("b.example", expires=NOW + HOUR)
    )
    assert pins_end(both) == NOW + HOUR
    assert next_end(StateInputs(both, NOW + MINUTE)) == NOW + MINUTE
    assert next_end(StateInputs(both, NOW + DAY)) == NOW + HOUR
    assert next_end(StateInputs(pins())) is None


def waits(**fields: Any) -> timedelta:
    given: dict[str, Any] = {"failures": 0, "end": None, "now": NOW, "random_share": 0.0}
    return next_wait(fields.pop("timing", TIMING), **(given | fields))


def test_the_thread_checks_once_an_interval() -> None:
    assert waits() == HOUR
    assert waits(end=NOW + 30 * DAY) == HOUR


def test_clients_check_at_different_times() -> None:
    assert waits(random_share=1.0) == HOUR * 0.8
    assert waits(random_share=0.5) == HOUR * 0.9


def test_checks_are_more_frequent_before_an_expiry() -> None:
    assert waits(end=NOW + 2 * HOUR) == 30 * MINUTE
    assert waits(end=NOW + HOUR) == 15 * MINUTE
    assert waits(end=NOW + MINUTE) == 5 * MINUTE
    assert waits(end=NOW) == 5 * MINUTE
    assert waits(end=NOW - DAY) == 5 * MINUTE


def test_failures_are_followed_by_longer_waits() -> None:
    found = [waits(failures=count) / MINUTE for count in range(1, 9)]
    assert found == [1, 2, 4, 8, 16, 32, 60, 60]
    assert waits(failures=10**6) == HOUR


def test_failures_do_not_delay_a_check_beyond_an_expiry() -> None:
    assert waits(failures=9, end=NOW) == 5 * MINUTE
    assert waits(failures=1, end=NOW) == MINUTE


@given(
    failures=st.integers(0, 10**9),
    end=moments,
    random_share=random_share,
    interval=st.timedeltas(timedelta(seconds=1), 365 * DAY),
    urgent=st.timedeltas(timedelta(seconds=1), 365 * DAY),
    retry=st.timedeltas(timedelta(seconds=1), 365 * DAY),
)
def test_a_wait_is_positive_and_at_most_an_interval(
    failures: int,
    end: datetime | None,
    random_share: float,
    interval: timedelta,
    urgent: timedelta,
    retry: timedelta,
) -> None:
    timing = Timing(interval=interval, urgent=urgent, retry=retry)
    found = waits(timing=timing, failures=failures, end=end, random_share=random_share)
    assert min(interval, urgent, retry) * 0.79 <= found <= interval


@given(failures=st.integers(1, 60), end=moments, random_share=random_share)
def test_another_failure_never_makes_a_check_earlier(
    failures: int, end: datetime | None, random_share: float
) -> None:
    assert waits(failures=failures, end=end, random_share=random_share) <= waits(
        failures=failures + 1, end=end, random_share=random_share
    )


@given(
    gap=st.timedeltas(-DAY, 30 * DAY),
    nearer=st.timedeltas(timedelta(0), 30 * DAY),
    random_share=random_share,
)
def test_an_earlier_expiry_never_delays_a_check(
    gap: timedelta, nearer: timedelta, random_share: float
) -> None:
    near = waits(end=NOW + gap - nearer, random_share=random_share)
    assert near <= waits(end=NOW + gap, random_share=random_share)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        *((Timing, {name: gap}) for name in ("interval", "deadline") for gap in (0 * DAY, -DAY)),
        (Timing, {"retry": timedelta.max}),
        *((Timing, {"jitter": share}) for share in (-0.1, 1.0, float("nan"))),
        *((Limits, {"total": count}) for count in (0, -1, 1.5, True)),
    ],
)
def test_an_invalid_setting_is_a_configuration_error(
    kind: type[Timing | Limits], fields: dict[str, Any]
) -> None:
    """The updater would check all the time or never, or its thread would end."""
    with pytest.raises(ConfigError) as caught:
        kind(**fields)
    assert caught.value.key == next(iter(fields))
    assert caught.value.fix
