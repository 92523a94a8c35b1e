"""The decoder of PEM certificates in reports: exactly one block, strict base64, one SEQUENCE."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.reports.codecs.fields import MAX_PEM, der_of, pem_of
from tests.reports.codecs._documents import LEAF, der

_BEGIN, _END = "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n"
_BODY = pem_of(LEAF).removeprefix(_BEGIN).removesuffix(_END)


@given(st.binary(max_size=200).map(lambda content: der(content, 130)))
def test_a_written_certificate_is_read(whole: bytes) -> None:
    assert der_of(pem_of(whole)) == whole


@pytest.mark.parametrize(
    "text",
    [
        pem_of(LEAF).replace("\n", "\r\n"),
        pem_of(LEAF).strip(),
        _BEGIN + _BODY.replace("\n", "") + "\n" + _END,
        pem_of(b"\x30\x81\xc8" + bytes(200)),
    ],
)
def test_line_ends_and_line_lengths_of_other_writers_are_read(text: str) -> None:
    assert der_of(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        _BODY,
        pem_of(LEAF) + pem_of(LEAF),
        "leaf\n" + pem_of(LEAF),
        pem_of(LEAF).replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
        _BEGIN + _END,
        _BEGIN + "*" + _BODY + _END,
        _BEGIN + _BODY[:-2] + _END,
        _BEGIN + _BODY.replace("\n", " ") + _END,
        _BEGIN + "é" + _BODY + _END,
        pem_of(LEAF + b"."),
        pem_of(LEAF[:-1]),
        pem_of(b"\x31" + LEAF[1:]),
        pem_of(b"\x30\x80" + bytes(200)),
        pem_of(b"\x30"),
        pem_of(b"\x30\x81"),
        _BEGIN + "A" * MAX_PEM + _END,
    ],
)
def test_other_text_is_refused(text: str) -> None:
    assert der_of(text) is None
