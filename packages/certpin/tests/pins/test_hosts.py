"""Hosts: one canonical spelling, and errors for other text."""

from __future__ import annotations

import ipaddress
import re
import string
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from certpin.errors import HostError
from certpin.pins import HostPattern, normalise
from certpin.pins.hosts import MAX_NAME, Wildcard, is_address

LABELS = st.text(string.ascii_lowercase, min_size=1, max_size=8)
NAMES = st.lists(LABELS, min_size=1, max_size=5).map(".".join)
ADDRESSES = st.ip_addresses().map(str)
HOSTS = NAMES | ADDRESSES | st.text() | st.text("a0.:-_[]%*xn ßıſΣ。\u0130\u200d", max_size=20)

SAME = {
    "api.bank.example": "api.bank.example",
    "API.Bank.EXAMPLE": "api.bank.example",
    "api.bank.example.": "api.bank.example",
    "localhost": "localhost",
    "_dmarc.bank.example": "_dmarc.bank.example",
    "1.bank.example": "1.bank.example",
    "0x7f.bank.example": "0x7f.bank.example",
    "bücher.example": "xn--bcher-kva.example",
    "BÜCHER.Example.": "xn--bcher-kva.example",
    "bücher。example": "xn--bcher-kva.example",
    "XN--BCHER-KVA.example": "xn--bcher-kva.example",
    "straße.example": "xn--strae-oqa.example",
    "faß.example": "xn--fa-hia.example",
    "βόλος.example": "xn--nxasmm1c.example",
    "\uff42\uff41\uff4e\uff4b.example": "bank.example",
    "Kelvin.example": "kelvin.example",
    "192.0.2.1": "192.0.2.1",
    "::1": "::1",
    "[::1]": "::1",
    "0:0:0:0:0:0:0:1": "::1",
    "2001:DB8:0::0001": "2001:db8::1",
    "::FFFF:192.0.2.1": "::ffff:192.0.2.1",  # in hexadecimal in Python before 3.13
    "[::ffff:c000:201]": "::ffff:192.0.2.1",
    "::ffff:0:0": "::ffff:0.0.0.0",
    "::192.0.2.1": "::c000:201",
    "fe80::1%eth0": "fe80::1",
    "[fe80::1%25eth0]": "fe80::1",
    # In ASCII, refused by IDNA 2008, and resolved.
    "xn--n3h.com": "xn--n3h.com",
    "XN--N3H.com.": "xn--n3h.com",
    "a-.example": "a-.example",
    "xn--.example": "xn--.example",
    "xn--bank-.example": "xn--bank-.example",
    "r3---sn.xn--bcher-kva.example": "r3---sn.xn--bcher-kva.example",
    "r3---sn.bücher.example": "r3---sn.xn--bcher-kva.example",
    "xn--n3h。bücher.example": "xn--n3h.xn--bcher-kva.example",
}


@pytest.mark.parametrize("host", SAME)
def test_a_host_has_one_spelling(host: str) -> None:
    assert normalise(host) == SAME[host]


def test_sharp_s_is_no_double_s() -> None:
    """IDNA 2008 keeps them distinct; the mapping of IDNA 2003 would pin another owner's host."""
    assert normalise("straße.example") != normalise("strasse.example")


NO_HOSTS = {
    "nothing": "",
    "the root": ".",
    "two dots": "a..b",
    "a dot before": ".bank.example",
    "two dots at the end": "bank.example..",
    "a port": "bank.example:443",
    "an address with a port": "192.0.2.1:443",
    "a scheme": "https://bank.example",
    "a path": "bank.example/",
    "a user": "me@bank.example",
    "a space": "bank .example",
    "a space before": " bank.example",
    "a line break": "bank.example\n",
    "a NUL": "bank.example\0",
    "a wildcard": "*.bank.example",
    "a label of 64": "a" * 64 + ".example",
    "a name of 254": ".".join(["a" * 49] * 5) + ".xxxx",
    "a dash before": "-bank.example",
    "a label that is no punycode": "xn--\x00.example",
    "an emoji as an A-label in wide letters": "\uff58n--n3h.example",
    "a U-label that ends in a dash": "b\u00fccher-.example",
    "a U-label with two dashes": "r3---b\u00fccher.example",
    "an emoji": "\U0001f4a9.example",
    "a symbol within": "bank\u2215evil.example",
    "a joiner": "bank\u200d.example",
    "a bidi override": "\u202ebank.example",
    "an IPv4 address with a zone": "10.0.0.1%eth0",
    "an IPv4 address with a zone and a port": "10.0.0.1%:8443",
    "an IPv4 address with a zone of two parts": "1.2.3.4%x:y",
    "an IPv4 address with such a zone in brackets": "[1.2.3.4%a:b]",
    "a short IPv4 address": "127.1",
    "an IPv4 address in one number": "2130706433",
    "an IPv4 address in hexadecimal": "0x7f.0.0.1",
    "an IPv4 address that ends in hexadecimal": "127.0.0.0x1",
    "hexadecimal of nothing": "127.0.0.0x",
    "an IPv4 address in octal": "0177.0.0.1",
    "five numbers": "1.2.3.4.5",
    "a number out of range": "256.0.0.1",
    "an IPv4 address with a dot": "192.0.2.1.",
    "an IPv4 address in wide digits": "\uff11\uff12\uff17.0.0.1",
    "an IPv4 address in brackets": "[192.0.2.1]",
    "a name in brackets": "[bank.example]",
    "half a bracket": "[::1",
    "another half": "::1]",
    "an IPv6 address with a port": "[::1]:443",
    "an IPv6 address with a dot": "::1.",
    "too many groups": "1:2:3:4:5:6:7:8:9",
}


@pytest.mark.parametrize("what", NO_HOSTS)
def test_text_that_is_not_a_host_is_refused(what: str) -> None:
    with pytest.raises(HostError) as caught:
        normalise(NO_HOSTS[what])
    assert caught.value.fix


def test_the_longest_names_are_hosts() -> None:
    name = ".".join(["a" * 49] * 5) + ".xyz"
    assert len(name) == MAX_NAME
    assert normalise(name) == name
    assert normalise("a" * 63 + ".example")


@given(HOSTS)
@example("xn--a.xn--a")
@example("\u0130.example")
@example("\uff11.\uff11.\uff11.\uff11")
def test_a_normalised_host_is_normalised_already_and_junk_is_refused(host: str) -> None:
    try:
        normal = normalise(host)
    except HostError:
        return
    assert normalise(normal) == normal
    assert normal == normal.lower()
    assert normal.isascii()
    assert not set(normal) & set(string.whitespace + "[]%/@*")


RESOLVED = st.from_regex(r"(?:xn--)?[a-z0-9_][a-z0-9_-]{0,20}", fullmatch=True)


@given(st.lists(RESOLVED, min_size=1, max_size=4), st.sampled_from(["", "bücher"]))
def test_a_label_in_ascii_is_used_unchanged_beside_any_other(labels: list[str], also: str) -> None:
    plain = ".".join([*labels, "example"])
    host = ".".join([*labels, *filter(None, [also]), "example"])
    assert normalise(plain) == normalise(plain.upper()) == plain
    assert normalise(host) == host.replace("bücher", "xn--bcher-kva")


@given(NAMES)
def test_case_and_the_last_dot_make_no_difference(name: str) -> None:
    assert normalise(name.upper() + ".") == normalise(name) == name


@given(st.ip_addresses())
def test_every_spelling_of_an_address_is_one(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    normal = normalise(str(address))
    assert ipaddress.ip_address(normal) == address
    assert is_address(normal)
    if address.version == 6:
        spellings = (address.exploded.upper(), f"[{address}]", f"{address}%en0")
        assert {normalise(each) for each in spellings} == {normal}


@given(NAMES)
def test_a_name_is_no_address(name: str) -> None:
    assert not is_address(normalise(name))


@pytest.mark.parametrize("host", ["x" * 5000, "é" * 5000, "xn--" + "a" * 5000, "1:" * 5000])
def test_an_endless_host_is_refused_with_a_short_error(host: str) -> None:
    with pytest.raises(HostError) as caught:
        normalise(host)
    assert len(str(caught.value)) < 300


MATCHES = [
    ("bank.example", "bank.example", True),
    ("bank.example", "api.bank.example", False),
    ("*.bank.example", "bank.example", False),
    ("*.bank.example", "api.bank.example", True),
    ("*.bank.example", "v1.api.bank.example", False),
    ("*.bank.example", "evilbank.example", False),
    ("**.bank.example", "bank.example", True),
    ("**.bank.example", "api.bank.example", True),
    ("**.bank.example", "v1.api.bank.example", True),
    ("**.bank.example", "evilbank.example", False),
    ("**.bank.example", "bank.example.evil.example", False),
    ("192.0.2.1", "192.0.2.1", True),
    ("192.0.2.1", "192.0.2.2", False),
    ("[2001:DB8::1]", "2001:db8::1", True),
]


@pytest.mark.parametrize(("pattern", "host", "covered"), MATCHES)
def test_a_pattern_covers_what_it_says(pattern: str, host: str, covered: bool) -> None:
    assert HostPattern.parse(pattern).matches(normalise(host)) is covered


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ("**.bank.example", "*.bank.example", True),
        ("**.bank.example", "bank.example", True),
        ("**.bank.example", "**.a.bank.example", True),
        ("*.bank.example", "a.bank.example", True),
        ("*.bank.example", "**.bank.example", False),
        ("*.bank.example", "**.a.bank.example", False),
        ("bank.example", "*.bank.example", False),
        ("bank.example", "**.bank.example", False),
    ],
)
def test_a_pattern_covers_another_one_with_all_its_hosts(
    wide: str, narrow: str, covered: bool
) -> None:
    assert HostPattern.parse(wide).covers(HostPattern.parse(narrow)) is covered


@given(st.sampled_from(get_args(Wildcard)), NAMES)
def test_a_pattern_is_read_as_it_was_written(wildcard: Wildcard, name: str) -> None:
    pattern = HostPattern(wildcard, name)
    assert HostPattern.parse(str(pattern)) == pattern
    assert HostPattern.parse(wildcard + name.upper()) == pattern


@pytest.mark.parametrize("name", ["a..b", "127.1", "r3---b\u00fccher.example", "[a.example]"])
@pytest.mark.parametrize("wildcard", ["*.", "**."])
def test_the_error_about_a_pattern_shows_its_wildcard(wildcard: str, name: str) -> None:
    with pytest.raises(HostError, match=re.escape(f"'{wildcard}{name}' is not")):
        HostPattern.parse(wildcard + name)


@pytest.mark.parametrize("address", ["192.0.2.1", "::1", "[::1]"])
@pytest.mark.parametrize("wildcard", ["*.", "**."])
def test_a_wildcard_over_an_address_is_refused(wildcard: str, address: str) -> None:
    with pytest.raises(HostError, match="a wildcard over an address"):
        HostPattern.parse(wildcard + address)


@pytest.mark.parametrize(
    "text", ["*", "**", "*.", "**.", "***.a.example", "*.*.a.example", "a.*.example", "*a.example"]
)
def test_a_star_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(HostError):
        HostPattern.parse(text)


@pytest.mark.medium
@given(st.text(max_size=30) | st.text("*.ab", max_size=10))
def test_a_junk_pattern_raises_the_typed_error_and_nothing_else(text: str) -> None:
    try:
        pattern = HostPattern.parse(text)
    except HostError:
        return
    assert HostPattern.parse(str(pattern)) == pattern
