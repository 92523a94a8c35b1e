"""The XML parser of imports: hostile XML takes linear time, and fails with a ``FormatError``."""

from __future__ import annotations

import pytest

from certpin.errors import FormatError
from certpin.formats import Source
from certpin.formats._xml import MAX_DEPTH, MAX_ELEMENTS, parse

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 30))
XML_FORMATS = ("android", "trustkit-android")
PLISTS = ("apple", "trustkit-ios")


def refused(text: str | bytes, *, doctype: bool = False) -> str:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(FormatError) as caught:
        parse(Source(data, lambda _path: b""), doctype=doctype)
    return str(caught.value)


def test_any_doctype_is_refused() -> None:
    assert "DOCTYPE" in refused("<!DOCTYPE a><a/>")


@pytest.mark.parametrize(
    "declaration",
    [
        f'<!ENTITY l0 "ha">{LAUGHS}',
        '<!ENTITY x SYSTEM "file:///etc/passwd">',
        '<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd"> %x;',
        '<!ENTITY x "y">',
    ],
    ids=["expansion", "external", "parameter", "harmless"],
)
def test_entities_are_refused_in_an_allowed_doctype(declaration: str) -> None:
    text = f"<!DOCTYPE a [{declaration}]><a>ha</a>"
    assert "the file declares an entity" in refused(text, doctype=True)


def test_external_entities_are_not_fetched() -> None:
    text = '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a>&x;</a>'
    assert parse(Source(text.encode(), lambda _path: b""), doctype=True).text == ""


def test_the_depth_is_limited() -> None:
    fits = "<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH
    assert parse(Source(fits.encode(), lambda _path: b"")).name == "a"
    assert "too deep" in refused(f"<b>{fits}</b>")


@pytest.mark.slow
def test_the_number_of_elements_is_limited() -> None:
    assert "too many" in refused(f"<a>{'<b/>' * MAX_ELEMENTS}</a>")


@pytest.mark.parametrize(
    "data",
    [
        "<a/>".encode("utf-16"),
        "<a/>".encode("utf-16-le"),
        "<a/>".encode("utf-32"),
        b"<a>\xff</a>",
        b"<a>\0</a>",
        b"<a>\x0b</a>",
        b"<a b='1' b='2'/>",
        b"<a><b></a></b>",
        b"<a/><a/>",
        b"<a>",
        b"",
        b"\n<?xml version='1.0'?><a/>",
    ],
)
def test_malformed_xml_is_refused(data: bytes) -> None:
    assert refused(data)


def test_the_declared_encoding_is_ignored() -> None:
    data = "<?xml version='1.0' encoding='utf-16'?><a>é</a>".encode()
    assert parse(Source(data, lambda _path: b"")).text == "é"


def test_a_byte_order_mark_comments_and_text_in_pieces_are_read() -> None:
    data = "\N{BOM}<a> on<!-- and -->e <![CDATA[<two>]]>&amp;&#33;</a>".encode()
    assert parse(Source(data, lambda _path: b"")).text == "one <two>&!"
