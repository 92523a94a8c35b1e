"""The header of RFC 7469."""

from __future__ import annotations

import pytest

from certpin.errors import ConfigError, FormatError
from certpin.formats import FORMATS
from tests.formats._files import PINS, A, B, digests, load, refusal, text_of, two
from tests.kit import pin_set

REPORTS = ("https://pins.bank.example/r", "https://other.example/r")
PLAIN = f'Public-Key-Pins: pin-sha256="{A}"; pin-sha256="{B}"; max-age=5184000'


def line(text: str) -> str:
    return text.splitlines()[-1]


def test_the_header_is_that_of_the_rfc() -> None:
    text = text_of("hpkp", two("**.bank.example", report_to=REPORTS[:1]))
    assert line(text) == f'{PLAIN}; includeSubDomains; report-uri="{REPORTS[0]}"'
    assert line(text_of("hpkp", two("bank.example"))) == PLAIN


def test_what_is_only_watched_goes_into_the_report_only_header() -> None:
    text = text_of("hpkp", two("bank.example", mode="report"))
    assert line(text).startswith('Public-Key-Pins-Report-Only: pin-sha256="')


def test_an_address_with_quotes_comes_back() -> None:
    address = 'https://pins.bank.example/r?a="b\\c";d'
    text = text_of("hpkp", two("bank.example", report_to=(address,)))
    assert load("hpkp", text).policies[0].report_to == (address,)


def test_one_report_address_is_kept_and_the_other_told() -> None:
    export = FORMATS["hpkp"].export(pin_set(two("bank.example", report_to=REPORTS)))
    assert export.pins.policies[0].report_to == REPORTS[:1]
    assert "report_to loses https://other.example/r" in str(export.losses[-1])


def test_a_second_host_and_an_address_are_refused() -> None:
    with pytest.raises(ConfigError, match="a header is for the host that sends it"):
        text_of("hpkp", two("a.example"), two("b.example"))
    with pytest.raises(ConfigError, match=r"RFC 7469 section 2\.3\.3"):
        text_of("hpkp", two("192.0.2.7"))


def test_a_host_and_the_names_below_it_are_one_header() -> None:
    text = text_of("hpkp", two("bank.example"), two("**.bank.example"))
    assert "includeSubDomains" in line(text)


@pytest.mark.parametrize("asked", ["bank.example", "**.bank.example"])
def test_a_header_from_the_wire_is_read_with_the_host_that_the_user_names(asked: str) -> None:
    known = f'max-age=99 ;INCLUDESUBDOMAINS;; PIN-SHA256 = {A} ;pin-sha256="{B}"'
    text = f'HTTP/2 200\r\npublic-key-pins: {known}; pin-sha1="x"; x;\r\n'
    assert digests(load("hpkp", text, host=asked)) == {"**.bank.example": set(PINS[:2])}


def test_without_the_directive_the_host_alone_counts() -> None:
    assert digests(load("hpkp", PLAIN, host="bank.example")).keys() == {"bank.example"}


def test_of_two_headers_the_first_counts() -> None:
    second = PLAIN.replace(A, B).replace(f'pin-sha256="{B}"; ', "", 1)
    pins = load("hpkp", f"{PLAIN}\n{second}", host="bank.example")
    assert digests(pins) == {"bank.example": set(PINS[:2])}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PLAIN, "names no host"),
        pytest.param(PLAIN.replace("5184000", "0"), "takes pins back", id="max-age 0"),
        (PLAIN.partition("; max-age")[0], "takes pins back"),
        (f"{PLAIN}\n{PLAIN.replace('Pins:', 'Pins-Report-Only:')}", "one mode a host"),
        (PLAIN + '; report-uri="https://', "cannot be read from"),
        (PLAIN + "; (", "cannot be read from"),
        (PLAIN + "; max-age=1", "stands there twice"),
        (PLAIN.replace("5184000", "soon"), "takes pins back"),
        ("Public-Key-Pins: max-age=99", "no pin that could match"),
        ("Content-Type: text/html", "no pin in it"),
    ],
)
def test_what_no_client_would_keep_is_refused(text: str, words: str) -> None:
    host = "" if words == "names no host" else "bank.example"
    assert words in str(refusal("hpkp", text, host=host))


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["a;", 'a="', 'a="\\"', "; ", "a=", " "])
def test_a_million_characters_of_hostile_text_take_one_pass(piece: str) -> None:
    text = "Public-Key-Pins: " + piece * (1_000_000 // len(piece))
    assert isinstance(refusal("hpkp", text, host="bank.example"), FormatError)
