"""Resume a scan from an earlier output, wherever it was cut off."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import HostError, InputError
from certpin.probe import Endpoint
from certpin.probe.scan import (
    ScannedEndpoints,
    ScanResult,
    invalid_host_record,
    record,
    record_line,
)

HEAD = b'{"schema":1,"command":"scan",'
BEGIN = HEAD + b'"host":"'

hosts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
endpoints = st.builds(Endpoint, hosts, st.integers(0, 65535))


def _line(endpoint: Endpoint) -> bytes:
    if endpoint.port == 0:
        junk = invalid_host_record(endpoint.host, HostError("no host"))
        return record_line(junk).encode() + b"\n"
    return record_line(record(ScanResult(endpoint, "", 1, 0.0))).encode() + b"\n"


@given(st.lists(endpoints), st.lists(endpoints))
def test_endpoints_with_a_line_are_skipped_and_no_others(
    written: list[Endpoint], others: list[Endpoint]
) -> None:
    output = io.BytesIO(b"".join(map(_line, written)))
    done = ScannedEndpoints(output)
    assert all(each in done for each in written)
    assert [each for each in others if each in done] == [each for each in others if each in written]
    assert output.tell() == len(output.getvalue())


@given(st.lists(endpoints, min_size=1, unique=True), st.data())
def test_an_incomplete_line_is_dropped_wherever_the_cut_is(
    written: list[Endpoint], data: st.DataObject
) -> None:
    lines = list(map(_line, written))
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    kept = [each for index, each in enumerate(lines) if len(b"".join(lines[: index + 1])) <= cut]
    output = io.BytesIO(whole[:cut])
    done = ScannedEndpoints(output)
    assert [each for each in written if each in done] == written[: len(kept)]
    assert output.getvalue() == b"".join(kept)
    assert output.tell() == len(output.getvalue())


@pytest.mark.medium
@given(st.binary() | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(json.dumps))
def test_another_file_is_refused_and_not_changed(text: bytes | str) -> None:
    content = text.encode() if isinstance(text, str) else text
    if not content or BEGIN.startswith(content):
        return
    output = io.BytesIO(content)
    with pytest.raises(InputError, match="not a record of a scan"):
        ScannedEndpoints(output)
    assert output.getvalue() == content


@pytest.mark.parametrize(
    "text",
    [
        b"\n",
        b"hosts.example\n",
        b"hosts.example",
        b"{}\n",
        b'{"port":1}\n',
        HEAD + b'"host":"a"}\n',
        HEAD + b'"host":1,"port":1}\n',
        HEAD + b'"host":"a","port":Infinity}\n',
        HEAD + b'"host":"a","port":1.5}\n',
        HEAD + b'"host":"a","port":"1"}\n',
        HEAD + b'"host":"\\ud800","port":1}\n',
        HEAD + b'"host":"\xff","port":1}\n',
        b'{"port":1,"host":"a"}\n',
        HEAD + b'"host":"a","port":1\n',
        b"[" + HEAD + b'"host":"a","port":1}]\n',
        b'{"host":"a","port":1}\n',
        b"[" * 100_000 + b"\n",
        b'{"name":"pins"}',
        b"\0" * 100,
    ],
)
@pytest.mark.parametrize("before", [b"", HEAD + b'"host":"a","port":1}\n'])
def test_only_records_are_accepted(before: bytes, text: bytes) -> None:
    output = io.BytesIO(before + text)
    with pytest.raises(InputError, match=f"line {before.count(10) + 1} is not a record"):
        ScannedEndpoints(output)
    assert output.getvalue() == before + text


def test_an_empty_output_has_no_endpoints() -> None:
    assert Endpoint("a.example") not in ScannedEndpoints(io.BytesIO())


def test_only_endpoints_are_contained() -> None:
    assert "a" not in ScannedEndpoints(io.BytesIO(HEAD + b'"host":"a","port":1}\n'))


def test_records_with_an_error_are_counted() -> None:
    lines = [
        HEAD + b'"host":"%b","port":1,"error":%b}\n' % each
        for each in (
            (b"a", b"null"),
            (b"b", b'{"kind":"DialError"}'),
            (b"c", b'{"kind":"HostError"}'),
        )
    ]
    assert ScannedEndpoints(io.BytesIO(b"".join(lines))).unanswered == 2
