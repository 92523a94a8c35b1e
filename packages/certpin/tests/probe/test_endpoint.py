"""Endpoints, and the syntax of a host with a port."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import HostError
from certpin.pins import normalise
from certpin.probe import Endpoint, join_address, split_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("api.bank.example", ("api.bank.example", 443)),
        ("API.Bank.Example.", ("api.bank.example", 443)),
        ("api.bank.example:8443", ("api.bank.example", 8443)),
        ("api.bank.example:", ("api.bank.example", 443)),
        ("bücher.example:1", ("xn--bcher-kva.example", 1)),
        ("192.0.2.7:65535", ("192.0.2.7", 65535)),
        ("2001:db8::7", ("2001:db8::7", 443)),
        ("[2001:DB8:0::7]", ("2001:db8::7", 443)),
        ("[2001:db8::7]:8443", ("2001:db8::7", 8443)),
        ("https://api.bank.example", ("api.bank.example", 443)),
        ("HTTPS://api.bank.example:8443/path?query#part", ("api.bank.example", 8443)),
        ("https://[2001:db8::7]:8443/", ("2001:db8::7", 8443)),
    ],
)
def test_split_address_reads_host_and_port(text: str, expected: tuple[str, int]) -> None:
    assert split_address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":443", "a..b", "a:0", "a:65536", "a:x", "a:-1", "[::1", "::1]", "[a]:1"),
        *("a b", " a", "a ", "a\n", "a\tb", "a\0", "a\x1b", "a\u202eb", "\udcff"),
        *("http://a", "smtp://a", "ftp://a:21", "https://", "https:///path", "://a"),
        *("me@a", "me:secret@a", "https://me:secret@a", "1.2.3", "0x7f.1", "*.a.example"),
    ],
)
def test_split_address_refuses_other_text(text: str) -> None:
    with pytest.raises(HostError) as caught:
        split_address(text)
    assert caught.value.fix
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["a.example:8443:8443", "a:x", "2001:db8::1::2"])
def test_the_fix_for_an_unreadable_address_has_all_spellings(text: str) -> None:
    with pytest.raises(HostError) as caught:
        split_address(text)
    assert "write HOST, HOST:PORT or [IPv6]:PORT" in caught.value.fix


@pytest.mark.parametrize("text", ["b\udcc3\udcbccher.example", "b\udcfccher.example:8443"])
def test_a_name_in_another_encoding_has_its_own_fix(text: str) -> None:
    with pytest.raises(HostError, match="has bytes that are not in the encoding") as caught:
        split_address(text)
    assert "xn--" in caught.value.fix
    assert "LC_ALL=C.UTF-8" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://[2001:db8::1]:8080/x", "[2001:db8::1]:443"),
        ("http://api.bank.example/x", "api.bank.example:443"),
    ],
)
def test_the_fix_for_an_address_without_tls_is_an_address(text: str, address: str) -> None:
    with pytest.raises(HostError) as caught:
        split_address(text)
    assert caught.value.fix.endswith(f": {address}")
    assert join_address(*split_address(address)) == address


@given(st.text())
def test_any_text_is_an_address_or_a_typed_error(text: str) -> None:
    try:
        host, port = split_address(text)
    except HostError:
        return
    assert normalise(host) == host
    assert 0 < port < 65536
    assert split_address(join_address(host, port)) == (host, port)


def test_split_address_takes_a_default_port() -> None:
    assert split_address("a.example", 25) == ("a.example", 25)
    assert split_address("a.example:26", 25) == ("a.example", 26)


def test_an_endpoint_connects_to_its_host_by_default() -> None:
    plain = Endpoint("a.example", 8443)
    assert (plain.address, plain.name, str(plain)) == (
        ("a.example", 8443),
        "a.example",
        "a.example:8443",
    )
    other = Endpoint("a.example", 8443, ("192.0.2.7", 1), "b.example")
    assert (other.address, other.name) == (("192.0.2.7", 1), "b.example")


def test_join_address_puts_ipv6_in_brackets() -> None:
    assert str(Endpoint("::1", 443)) == "[::1]:443"
