"""Platforms that verify one fixed name refuse other hosts."""

from __future__ import annotations

import pytest

from certpin.errors import ConfigError
from certpin.formats.limits import NamesOnly, NoWildcard
from tests.kit import NOBODY, NOBODY_ELSE, pin_set, policy


@pytest.mark.parametrize(
    ("limit", "host"),
    [
        (NamesOnly("it compares names"), "192.0.2.7"),
        (NamesOnly("it compares names"), "2001:db8::7"),
        (NoWildcard("it has one name"), "*.bank.example"),
        (NoWildcard("it has one name"), "**.bank.example"),
    ],
)
def test_unverifiable_hosts_are_refused(limit: NamesOnly, host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        limit.apply(pin_set(policy(host, NOBODY, NOBODY_ELSE)))
    assert limit.why in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize("limit", [NamesOnly(""), NoWildcard("")])
def test_a_name_passes(limit: NamesOnly) -> None:
    pins = pin_set(policy("api.bank.example", NOBODY, NOBODY_ELSE))
    assert limit.apply(pins) == (pins, ())
