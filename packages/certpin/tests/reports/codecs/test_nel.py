"""The codec of Network Error Logging documents: the lists of errors that browsers post."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from certpin.errors import FormatError
from certpin.reports import Report
from certpin.reports.codecs import decode
from certpin.reports.codecs.nel import MAX_ENTRIES, REASONS
from certpin.reports.model import Client
from tests.reports.codecs._documents import AT, RECEIVED, REPORTS, nel


def _read(document: list[Any], later: float = 0) -> tuple[Report, ...]:
    found = decode(document, REPORTS, RECEIVED + timedelta(seconds=later))
    return tuple(each for each in found if isinstance(each, Report))


def test_a_pinned_key_that_is_not_in_the_chain_is_read() -> None:
    (report,) = _read(nel())
    assert report == Report(
        kind="nel",
        at=AT,
        host="api.bank.example",
        port=443,
        decision="refuse",
        reason="mismatch",
        identity=report.identity,
        client=Client(platform="browser"),
        also=report.also,
    )


def test_no_field_identifies_the_user_or_the_page() -> None:
    (report,) = _read(nel())
    for word in ("account", "Mozilla", "192.0.2.7"):
        assert word not in repr(report)


@pytest.mark.parametrize(("kind", "reason"), list(REASONS.items()))
def test_each_certificate_error_has_its_reason(kind: str, reason: str) -> None:
    assert [report.reason for report in _read(nel({"type": kind}))] == [reason]


def test_an_unknown_certificate_error_is_invalid() -> None:
    assert [report.reason for report in _read(nel({"type": "tls.cert.too_new"}))] == ["invalid"]


def test_other_errors_of_a_browser_are_ignored() -> None:
    others = [
        *nel({"type": "dns.name_not_resolved", "phase": "dns"}),
        *nel(type="csp-violation"),
        *nel(),
    ]
    assert len(_read(others)) == 1
    assert _read(others[:2]) == ()
    assert _read([]) == ()


def _names(document: list[Any], later: float = 0) -> set[str]:
    (report,) = _read(document, later=later)
    return {report.identity, report.also}


@pytest.mark.parametrize("place", [0, 9, 15, 29.9, 30, 44, 59.5])
def test_a_repeated_upload_shares_an_identity(place: float) -> None:
    """A browser that uploads an entry again, with a higher ``age``, repeats the same report.

    Both uploads then have an identity in common, even if the transfers differ by up to 30 seconds,
    which ``age`` does not include.
    """
    first = _names(nel(), place)
    for way in (0, 0.5, 9, 29.9):
        assert first & _names(nel(age=630_000), place + 600 + way)
        assert first & _names(nel(age=630_000), place + 600 - way)
    assert not first & _names(nel(age=630_000), place + 660.1)


def test_different_entries_share_no_identity() -> None:
    first = _names(nel())
    assert not first & _names(nel(age=100_000))
    assert not first & _names(nel({"elapsed_time": 144}))
    assert not first & _names(nel(url="https://api.bank.example/other"))


def test_the_port_is_that_of_the_address() -> None:
    assert [report.port for report in _read(nel(url="wss://api.bank.example:8443/"))] == [8443]


_WITHOUT_BODY = {**nel()[0], "body": 7}


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (nel() * (MAX_ENTRIES + 1), "there are more than 100 entries"),
        ([7], r"\[0\]: this is not an object"),
        ([*nel(), _WITHOUT_BODY], r"\[1\]\.body: this is not an object"),
        (nel({"phase": "application"}), r"\[0\]\.body\.phase: certificate errors belong"),
        (nel({"type": 7}), r"\[0\]\.body\.type: this is not a text"),
        (nel(age=-1), r"\[0\]\.age: this is not from 0 to"),
        (nel(age="long"), r"\[0\]\.age: this is not a whole number"),
        (nel(url="http://api.bank.example/"), r"\[0\]\.url: this is not an https URL"),
        (nel(url="https://[bank/"), r"\[0\]\.url: this is not a URL"),
        (nel(url="https://a:99999/"), r"\[0\]\.url: this is not a URL"),
        (nel(url="https://a..b/"), r"\[0\]\.url: this is not a host name"),
    ],
)
def test_an_invalid_entry_is_named(document: list[Any], problem: str) -> None:
    with pytest.raises(FormatError, match=f"^{problem}"):
        _read(document)
