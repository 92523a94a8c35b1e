"""Where reports go."""

from __future__ import annotations

import pytest

from certpin.reports.reporter.addresses import host_of, required


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://Pins.Bank.Example.:8443/reports?app=1", "pins.bank.example"),
        ("https://[::1]/", "::1"),
        ("https://[::1", ""),
        ("https://a..b/", ""),
    ],
)
def test_the_host_of_an_address_is_spelt_as_a_policy_spells_it(address: str, host: str) -> None:
    assert host_of(address) == host


def test_one_address_may_stand_without_a_list() -> None:
    assert required("https://pins.bank.example/") == ("https://pins.bank.example/",)
