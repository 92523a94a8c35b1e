"""The table ``[collector]``: what is wrong with it is told by name."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from certpin.errors import ConfigError
from certpin.pinfile.fields import Table
from certpin_watch.collector.settings import KNOWN, CollectorSettings, read


def test_every_setting_has_a_default_and_a_name() -> None:
    assert read(Table({}, "collector")) == CollectorSettings()
    assert {each.name for each in fields(CollectorSettings)} == set(KNOWN)


def test_the_table_is_read() -> None:
    data = {
        "rate": 5,
        "hosts": ["Pins.Bank.Example"],
        "stream": "BANK_REPORTS",
    }
    found = read(Table(data, "collector"))
    assert (found.rate, found.hosts, found.stream) == (5, ("pins.bank.example",), "BANK_REPORTS")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"rate": 0}, "collector.rate: 0 is out of range"),
        ({"ipv4_prefix": 33}, "collector.ipv4_prefix"),
        ({"rate": "5"}, "collector.rate"),
        ({"stream": "a.*"}, "collector.stream"),
    ],
)
def test_what_is_wrong_is_told(data: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(Table(data, "collector"))
