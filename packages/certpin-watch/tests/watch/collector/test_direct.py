"""The short way for certpin's own reports: it never accepts, or counts, anything else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import FormatError
from certpin.reports.codecs import JSON_TYPE, decode
from certpin_watch.collector.body import RequestRefusedError, parse
from certpin_watch.collector.decode import WIDTHS, read_report, records_of
from tests.watch.collector import bodies

SOURCE = "192.0.2.0/24"
NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)


def _by_codecs(data: bytes) -> Any:
    """What the codecs make of a body; None if it is refused."""
    try:
        return records_of(decode(parse(data, 16), JSON_TYPE, NOW), SOURCE)
    except (FormatError, RequestRefusedError):
        return None


def _agrees(data: bytes) -> bool:
    """Whether it is read here. If it is, the codecs read the same."""
    failure = read_report(data, SOURCE)
    if failure is None:
        return False
    assert _by_codecs(data) == (failure,)
    return True


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"network": ""},
        {"network": "Café"},  # JSON in ASCII, with an escape
        {"date-time": "2027-01-01T14:00:00.25+0200"},
        {"hostname": "API.Bank.Example."},
        {"hostname": "2001:DB8::1"},
        {"policy": "**.bank.example"},
        {"noted-hostname": "bank.example", "include-subdomains": True},
        {"effective-expiration-date": "2027-06-01"},
        {"platform-version": "15", "library": "certpin 1.0"},
        {name.replace("_", "-"): "x" * width for name, width in WIDTHS.items() if name != "host"},
    ],
)
def test_a_report_of_ours_is_read_as_the_codecs_read_it(fields: dict[str, Any]) -> None:
    assert _agrees(bodies.body(1, **fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"schema": "certpin-report/2"},
        {"id": "short"},
        {"id": "0" * 31 + "\n"},
        {"date-time": "2027-01-01T12:00:00"},
        {"date-time": "yesterday"},
        {"hostname": "api.bank.example:443"},
        {"hostname": "127.1"},
        {"decision": "shrug"},
        {"port": 65536},
        {"port": 443.0},
        {"port": True},
        {"pin-set-version": -1},
        {"policy": "*.*.example"},
        {"noted-hostname": "a..b"},
        {"effective-expiration-date": "2027-06-31"},
        {"served-certificate-chain": ["no certificate"]},
        {"served-certificate-chain": "no list"},
        {"served-certificate-chain": [bodies.chain()[0]] * 21},
        {"validated-certificate-chain": [bodies.chain()[0], None]},
        {"known-pins": ["sha1/AAAA"]},
        {"known-pins": {}},
        {"reason": ["mismatch"]},
    ],
)
def test_a_mistake_is_left_to_the_codecs_which_refuse_it(fields: dict[str, Any]) -> None:
    data = bodies.body(1, **fields)
    assert read_report(data, SOURCE) is None
    assert read_report(data, SOURCE) is None  # a mistake is not remembered as if it were none
    assert _by_codecs(data) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"reason": "mis\u202ematch"},
        {"app": "x" * 101},
        {"tomorrow": "a field that is not known yet"},
        {"port": None},
        {"include-subdomains": 1},
    ],
)
def test_what_is_unusual_is_left_to_the_codecs_which_take_it(fields: dict[str, Any]) -> None:
    data = bodies.body(1, **fields)
    assert read_report(data, SOURCE) is None
    assert _by_codecs(data) is not None


def test_a_letter_beyond_ascii_is_left_to_the_codecs_which_take_it() -> None:
    data = json.dumps(bodies.report(1, network="Café"), ensure_ascii=False).encode()
    assert read_report(data, SOURCE) is None
    assert _by_codecs(data) is not None


def test_bytes_that_are_no_utf_8_are_not_passed_over() -> None:
    chain = b'"served-certificate-chain": ['
    data = bodies.body(1).replace(chain, chain + b'"\xff", ')
    assert read_report(data, SOURCE) is None
    assert _by_codecs(data) is None


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=70),
    st.text("abc.*-_: 019TZ+", max_size=70),
    st.lists(st.one_of(st.text(max_size=5), st.sampled_from(bodies.chain())), max_size=3),
    st.just({}),
)
_NAMES = st.sampled_from([*bodies.report(), "policy", "noted-hostname", "library", "unknown"])


@given(st.dictionaries(_NAMES, _VALUES, max_size=3), st.sets(_NAMES, max_size=3), st.booleans())
def test_whatever_is_sent_it_is_what_the_codecs_say(
    fields: dict[str, Any], missing: set[str], ascii_only: bool
) -> None:
    document = {k: v for k, v in bodies.report(1, **fields).items() if k not in missing}
    _agrees(json.dumps(document, ensure_ascii=ascii_only).encode(errors="surrogatepass"))
