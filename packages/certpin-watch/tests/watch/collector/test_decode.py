"""Check how bodies become records: certpin's reports by a fast parser, all others by codecs.

The tests also check how batches are encoded for the NATS stream.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import FormatError
from certpin.reports import Presence, Report
from certpin.reports.codecs import JSON_TYPE, decode
from certpin.reports.model import Client
from certpin_watch.collector.body import RequestRefusedError, parse
from certpin_watch.collector.decode import (
    WIDTHS,
    CountedFailure,
    ReceivedBody,
    identity,
    pack_batch,
    read_report,
    records_of,
    unpack_batch,
)
from tests.watch.collector import bodies

SOURCE = "192.0.2.0/24"
NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)


def _by_codecs(data: bytes) -> Any:
    """Decode a body with the general codecs. Return its records; None if the codecs refuse it."""
    try:
        return records_of(decode(parse(data, 16), JSON_TYPE, NOW), SOURCE)
    except (FormatError, RequestRefusedError):
        return None


def _agrees(data: bytes) -> bool:
    """Return True if the fast parser ``read_report`` reads the body, and False if it declines the
    body.

    Also check that the general codecs return the same record.
    """
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
def test_own_report_is_read_as_the_codecs_read_it(fields: dict[str, Any]) -> None:
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
def test_mistake_is_left_to_the_codecs_which_refuse_it(fields: dict[str, Any]) -> None:
    data = bodies.body(1, **fields)
    assert read_report(data, SOURCE) is None
    assert read_report(data, SOURCE) is None  # the mistake is not cached as valid
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
def test_unusual_report_is_left_to_the_codecs_which_accept_it(fields: dict[str, Any]) -> None:
    data = bodies.body(1, **fields)
    assert read_report(data, SOURCE) is None
    assert _by_codecs(data) is not None


def test_report_with_non_ascii_text_is_left_to_the_codecs_which_accept_it() -> None:
    data = json.dumps(bodies.report(1, network="Café"), ensure_ascii=False).encode()
    assert read_report(data, SOURCE) is None
    assert _by_codecs(data) is not None


def test_invalid_utf_8_is_not_skipped() -> None:
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
def test_any_document_is_read_as_the_codecs_read_it(
    fields: dict[str, Any], missing: set[str], ascii_only: bool
) -> None:
    document = {k: v for k, v in bodies.report(1, **fields).items() if k not in missing}
    _agrees(json.dumps(document, ensure_ascii=ascii_only).encode(errors="surrogatepass"))


AT = datetime(2027, 1, 1, 12, 0, 0, tzinfo=UTC)
REPORT = Report("rfc7469", AT, "api.bank.example", 443, "refuse", "mismatch", "rfc7469:1")


def decoded(report: Report, source: str = "192.0.2.0/24") -> CountedFailure:
    [failure] = records_of([report], source)
    assert isinstance(failure, CountedFailure)
    return failure


def _with(client: Client) -> Report:
    return Report("certpin", AT, "a.example", 443, "refuse", "mismatch", "id:1", client)


def test_identity_begins_with_the_time_and_reveals_nothing_else() -> None:
    found = identity("certpin", "id:1", "", AT)
    assert len(found) == 32
    assert int.from_bytes(found[:5], "big") == AT.timestamp()
    assert b"id:1" not in found


@pytest.mark.parametrize("at", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
def test_any_time_has_an_identity(at: datetime) -> None:
    assert len(identity("certpin", "id:\ud800\0", "", at)) == 32


def test_clients_without_identities_are_distinguished_by_their_networks() -> None:
    here, there = (decoded(REPORT, source) for source in ("192.0.2.0/24", "192.0.3.0/24"))
    assert here.identity != there.identity
    assert here.identity == decoded(REPORT).identity


def test_client_with_an_identity_may_change_its_network() -> None:
    named = Report(
        *("certpin", AT, "a.example", 443, "refuse", "mismatch", "id:1"), own_identity=True
    )
    assert decoded(named).identity == decoded(named, "198.51.100.0/24").identity


def test_phone_that_changes_networks_sends_the_same_report_if_it_contains_the_device() -> None:
    phone = replace(REPORT, kind="trustkit", own_identity=False)
    assert decoded(phone).identity == decoded(phone, "198.51.100.0/24").identity
    unnamed = replace(phone, kind="rfc7469")
    assert decoded(unnamed).identity != decoded(unnamed, "198.51.100.0/24").identity


def test_repeated_browser_report_with_a_higher_age_is_the_same() -> None:
    half = datetime.fromtimestamp(AT.timestamp() // 30 * 30, UTC)
    first = Report("nel", half, "a.example", 443, "refuse", "date", "nel:1", also="nel:2")
    moved = half + timedelta(seconds=31)
    again = replace(first, at=moved, identity="nel:2", also="nel:3")
    assert decoded(first).also == decoded(again).identity != b""
    same = replace(first, at=half + timedelta(seconds=29))
    assert (decoded(same).identity, decoded(same).also) == (
        decoded(first).identity,
        decoded(first).also,
    )
    seconds = [int.from_bytes(key[:5]) for key in (decoded(first).identity, decoded(first).also)]
    assert seconds == [half.timestamp(), half.timestamp() + 30], "PostgreSQL: the day of its name"
    assert decoded(first).also != decoded(first, "192.0.3.0/24").also
    assert decoded(REPORT).also == b""


def test_network_is_the_one_that_the_client_names_or_its_prefix() -> None:
    assert decoded(_with(Client(network="wifi"))).network == "wifi"
    assert decoded(_with(Client())).network == "192.0.2.0/24"


def test_texts_are_cut_and_have_no_control_characters() -> None:
    failure = decoded(
        _with(Client(app="\0\x1b[2J" + "x" * 500, app_version="\ud800", network="\u202e"))
    )
    assert failure.app.startswith(r"\x00\x1b[2J")
    assert len(failure.app) == 100
    assert failure.app_version == r"\ud800"
    assert failure.network == r"\u202e"


def test_batch_survives_packing() -> None:
    presence = Presence(AT, "bank-app", 2**63, "id:2", Client(platform="ios"))
    batch = [ReceivedBody(7, "192.0.2.0/24", records_of([REPORT, presence], "x"), b"{}", 3000)]
    assert unpack_batch(pack_batch(batch), now=1_800_000_000) == batch


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("identity", bytes(5000)),
        ("host", "x" * 3000),
        ("app", "a\0b"),
        ("network", "\u202e"),
        ("version", 2**63),
        ("version", -1),
        ("kind", "mine"),
        ("served", (bytes(20_000),)),
        ("served", (b"0",) * 50),
    ],
)
def test_payload_that_no_collector_writes_is_refused(field: str, value: object) -> None:
    """An index of PostgreSQL has no room for 3,000 characters: a writer would retry for ever."""
    forged = msgspec.structs.replace(decoded(REPORT), **{field: value})
    with pytest.raises(FormatError):
        unpack_batch(pack_batch([ReceivedBody(7, "", (forged,))]), 7)


def test_time_in_the_future_is_replaced_by_now() -> None:
    [received] = unpack_batch(
        pack_batch([ReceivedBody(2**50, "", (decoded(REPORT),))]), 1_800_000_000
    )
    assert received.at == 1_800_000_000
    for invalid in (2**63, -5):
        with pytest.raises(FormatError):
            unpack_batch(pack_batch([ReceivedBody(invalid, "", (decoded(REPORT),))]), 1_800_000_000)
