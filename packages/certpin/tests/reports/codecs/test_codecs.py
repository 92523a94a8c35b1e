"""Rules for the codecs of all report formats: hostile documents, and round trips of reports."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certpin.errors import FormatError
from certpin.reports import Presence, Report
from certpin.reports.codecs import CODECS, decode
from certpin.reports.codecs.certpin import encode_presence
from certpin.reports.codecs.fields import MAX_DER, MAX_PORT, MAX_TEXT, MAX_VERSION, pem_of
from certpin.reports.model import Client, Kind
from tests.reports.codecs import _documents
from tests.reports.codecs._documents import (
    JSON,
    PINS,
    RECEIVED,
    REPORTS,
    WHOLE,
    certpin,
    der,
    rfc7469,
)

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=300)
    | st.sampled_from(["2026-11-25T11:59:30Z", "0001-01-01T00:00:00+14:00", "\ud800", "a..b"])
)
_ANYTHING = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner),
    max_leaves=12,
)
_TYPES = st.sampled_from([JSON, REPORTS, "application/json; charset=utf-8", "", "text/html"])


def read(document: object, content_type: str) -> tuple[Report | Presence, ...]:
    """Return the reports of a document; an empty tuple if ``decode`` refuses it.

    Also check that the refusal is one short printable line, and that all texts of the reports are
    printable and bounded.
    """
    refusal = ""
    try:
        found = decode(document, content_type, RECEIVED)
    except FormatError as exc:
        refusal, found = str(exc), ()
    assert refusal.isprintable()
    assert len(refusal) < 200
    for each in found:
        for text in _texts(each):
            assert text.isprintable()
            assert len(text) <= MAX_TEXT + 20
    return found


def _texts(found: Report | Presence) -> list[str]:
    client = found.client
    texts = [found.identity, found.pin_set, client.app, client.app_version, client.platform]
    texts += [client.platform_version, client.network, client.library]
    if isinstance(found, Report):
        texts += [found.host, found.reason, found.pattern, *found.known_pins]
    return texts


def test_each_codec_has_its_kind_and_a_whole_document() -> None:
    """The collector's queue refuses another kind; damage is tested only with whole documents."""
    codecs = set(CODECS)
    assert set(get_args(Kind)) == codecs, "fix: list its name in Kind of reports/model.py"
    found = [report for whole, media in WHOLE.values() for report in read(whole, media)]
    kinds = {report.kind for report in found if isinstance(report, Report)}
    assert kinds == codecs, f"fix: a document of the format in WHOLE of {_documents.__name__}"


def test_a_content_type_of_no_format_is_refused_with_those_that_are_accepted() -> None:
    with pytest.raises(FormatError) as refused:
        decode([], "text/html", RECEIVED)
    assert refused.value.fix == f"send {JSON} or {REPORTS}"


@pytest.mark.medium
@given(document=_ANYTHING, content_type=_TYPES)
def test_any_json_is_read_or_refused_in_one_line(document: object, content_type: str) -> None:
    read(document, content_type)


@pytest.mark.medium
@pytest.mark.parametrize("name", WHOLE)
@given(data=st.data())
def test_a_document_with_damaged_fields_is_read_or_refused_in_one_line(
    name: str, data: st.DataObject
) -> None:
    whole, content_type = WHOLE[name]
    document = json.loads(json.dumps(whole))
    entry: dict[str, Any] = document[0] if isinstance(document, list) else document
    within = data.draw(st.sampled_from([entry, entry.get("body", entry)]))
    for field in data.draw(st.lists(st.sampled_from(sorted(within)), max_size=3)):
        within[field] = data.draw(_ANYTHING)
    read(document, content_type)


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_document_is_read_the_same_each_time(name: str) -> None:
    whole, content_type = WHOLE[name]
    (found,) = decode(whole, content_type, RECEIVED)
    assert decode(json.loads(json.dumps(whole)), content_type, RECEIVED) == (found,)


@pytest.mark.parametrize("content_type", ["text/html", "multipart/form-data; boundary=x", "json"])
def test_another_content_type_is_refused(content_type: str) -> None:
    with pytest.raises(FormatError, match="this is not a content type of reports"):
        decode(WHOLE["rfc7469"][0], content_type, RECEIVED)


def test_each_format_has_its_content_type() -> None:
    with pytest.raises(FormatError, match="not a report in a known format"):
        decode(WHOLE["nel"][0], JSON, RECEIVED)
    with pytest.raises(FormatError, match="not a report in a known format"):
        decode(WHOLE["certpin"][0], REPORTS, RECEIVED)


_MOMENTS = st.datetimes(timezones=st.just(UTC))
# What str.isprintable() takes, drawn as such: to draw anything and drop the rest is slow.
_PRINTABLE = st.characters(codec="utf-8", exclude_categories=("C", "Z"), include_characters=" ")
_WORDS = st.text(_PRINTABLE, max_size=40)
_CLIENTS = st.builds(Client, _WORDS, _WORDS, _WORDS, _WORDS, _WORDS, _WORDS)
_CHAINS = st.lists(st.binary(max_size=40).map(der), max_size=3).map(tuple)
_HOSTS = st.sampled_from(["api.bank.example", "192.0.2.7", "2001:db8::7", "xn--bcher-kva.example"])
_IDS = st.text("0123456789abcdef", min_size=32, max_size=32).map(lambda text: f"id:{text}")
_PINS = st.lists(
    st.sampled_from([*PINS, "cert-sha256/" + ":".join(["AB"] * 32)]), max_size=3, unique=True
).map(tuple)
_REPORTS = st.builds(
    Report,
    kind=st.just("certpin"),
    at=_MOMENTS,
    host=_HOSTS,
    port=st.integers(0, MAX_PORT),
    decision=st.sampled_from(["refuse", "report", "accept"]),
    reason=_WORDS,
    identity=_IDS,
    client=_CLIENTS,
    pin_set=_WORDS,
    pin_set_version=st.integers(0, MAX_VERSION),
    pattern=st.sampled_from(["api.bank.example", "*.bank.example", "**.bank.example"]),
    served=_CHAINS,
    verified=_CHAINS,
    known_pins=_PINS,
    expires=st.none() | _MOMENTS,
    own_identity=st.just(True),
)


@pytest.mark.medium
@settings(max_examples=30)
@given(report=_REPORTS)
def test_a_certpin_document_round_trips(report: Report) -> None:
    encode = CODECS["certpin"].encode
    assert encode is not None
    assert decode(json.loads(json.dumps(encode(report))), JSON, RECEIVED) == (report,)


@pytest.mark.medium
@settings(max_examples=30)
@given(report=_REPORTS)
def test_an_rfc7469_document_keeps_the_fields_of_the_rfc(report: Report) -> None:
    encode = CODECS["rfc7469"].encode
    assert encode is not None
    (read_again,) = decode(json.loads(json.dumps(encode(report))), JSON, RECEIVED)
    assert isinstance(read_again, Report)
    assert read_again.kind == "rfc7469"
    for name in ("at", "host", "port", "served", "verified", "expires"):
        assert getattr(read_again, name) == getattr(report, name)
    assert read_again.known_pins == tuple(p for p in report.known_pins if p.startswith("sha256/"))


@given(at=_MOMENTS, name=_WORDS.filter(bool), version=st.integers(1, MAX_VERSION), own=_IDS)
def test_a_presence_round_trips(at: datetime, name: str, version: int, own: str) -> None:
    told = Presence(at, name, version, own, Client(app="bank"))
    assert decode(json.loads(json.dumps(encode_presence(told))), JSON, RECEIVED) == (told,)


def test_a_certificate_above_the_maximum_size_is_refused() -> None:
    largest = der(size=MAX_DER - 4)
    (report,) = decode(rfc7469(**{"served-certificate-chain": [pem_of(largest)]}), JSON, RECEIVED)
    assert isinstance(report, Report)
    assert report.served == (largest,)
    larger = der(size=MAX_DER - 3)
    with pytest.raises(FormatError, match=r"served-certificate-chain\[0\]: this is not one"):
        decode(rfc7469(**{"served-certificate-chain": [pem_of(larger)]}), JSON, RECEIVED)


def test_an_absurd_time_is_kept() -> None:
    (report,) = decode(certpin(**{"date-time": "1999-01-01T00:00:00Z"}), JSON, RECEIVED)
    assert RECEIVED - report.at > timedelta(days=9000)
