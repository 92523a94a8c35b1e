"""How long before its expiry a certificate is reported."""

from __future__ import annotations

from datetime import timedelta

import pytest

from certpin.pins import HostPattern, HostPin, HostPolicy, pins_of
from certpin.x509 import Certificate
from certpin_watch.store.queries.sightings import warning_period
from tests import kit
from tests.watch.store.queries import _world as world

MONTH, ADOPT = timedelta(days=30), timedelta(days=50)


@pytest.mark.parametrize(("lifetime", "days"), [(398, 30.0), (90, 22.5), (47, 11.75)])
def test_the_shorter_of_the_setting_and_a_quarter_of_the_lifetime_counts(
    lifetime: int, days: float
) -> None:
    issued = world.authority().issue("a.example", days=lifetime)
    leaf = Certificate.from_der(world.der_chain(issued)[0])
    found = warning_period(leaf, MONTH, authority=False, covers=())
    assert abs(found - timedelta(days=days)) < timedelta(hours=2)


def test_a_pinned_authority_is_reported_in_time_for_its_successor() -> None:
    root = world.authority().certificate
    policy = HostPolicy(
        HostPattern.parse("a.example"), (HostPin(pins_of(root)[0]), HostPin(kit.NOBODY))
    )
    covers = [(policy, ADOPT)]
    assert warning_period(root, MONTH, authority=True, covers=covers) == ADOPT + timedelta(days=7)
    assert warning_period(root, MONTH, authority=False, covers=covers) == MONTH
