"""Addresses and how much each may send: nothing but a prefix leaves here."""

from __future__ import annotations

import ipaddress

import pytest

from certpin_watch.collector.app import RateLimit, SourcePrefixes
from certpin_watch.collector.settings import CollectorSettings

PROXIES = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "fd00::/8")))
BEHIND = SourcePrefixes(CollectorSettings(), PROXIES)


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", ""),
        ("nobody", ""),
    ],
)
def test_an_address_is_cut_to_its_network(address: str, prefix: str) -> None:
    assert SourcePrefixes(CollectorSettings()).prefix(address, "") == prefix


def test_how_much_is_cut_can_be_set() -> None:
    assert (
        SourcePrefixes(CollectorSettings(ipv4_prefix=16)).prefix("192.0.2.77", "") == "192.0.0.0/16"
    )
    assert SourcePrefixes(CollectorSettings(ipv4_prefix=0)).prefix("192.0.2.77", "") == "0.0.0.0/0"


@pytest.mark.parametrize(
    ("peer", "forwarded", "prefix"),
    [
        ("192.0.2.77", "198.51.100.1", "192.0.2.0/24"),  # a client that says it is a proxy
        ("10.1.1.1", "198.51.100.1", "198.51.100.0/24"),
        ("10.1.1.1", "203.0.113.9, 198.51.100.1, 10.2.2.2", "198.51.100.0/24"),
        ("10.1.1.1", "198.51.100.1:4711", "198.51.100.0/24"),
        ("10.1.1.1", "[2001:db8:1::7]:4711", "2001:db8:1::/48"),
        ("10.1.1.1", "junk", ""),
        ("10.1.1.1", "10.2.2.2", "10.2.2.0/24"),
        ("10.1.1.1", "1," * 5000 + "198.51.100.1", "198.51.100.0/24"),
    ],
)
def test_who_asked_is_believed_from_trusted_proxies_alone(
    peer: str, forwarded: str, prefix: str
) -> None:
    assert BEHIND.prefix(peer, forwarded) == prefix


def test_a_bucket_fills_with_time_and_no_further_than_it_goes() -> None:
    now = [100.0]
    rates = RateLimit(2, 3, 10, lambda: now[0])
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 1]
    now[0] += 0.5
    assert [rates.take("a"), rates.take("a")] == [0, 1]
    now[0] += 1000
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 1]


def test_the_number_of_buckets_is_bounded_and_the_busy_ones_stay() -> None:
    rates = RateLimit(1, 1, 3, lambda: 0.0)
    for number in range(1000):
        assert bool(rates.take("busy")) == (number > 0)
        rates.take(f"once {number}")
    assert len(rates._buckets) == 3
