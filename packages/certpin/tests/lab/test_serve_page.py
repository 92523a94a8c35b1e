"""The page of the lab serves the files for a device, and no others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.lab.device.page import Page

PAGE = Page(b"R", b"R2", b"PEM", "schema = 1\n")


def _ask(words: bytes) -> tuple[bytes, dict[str, str], bytes]:
    head, _, body = PAGE.answer(words + b"\r\nHost: x\r\n\r\n").partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return status.encode(), dict(line.split(": ") for line in lines), body


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        (b"/r.cer", "application/x-x509-ca-cert", b"R"),
        (b"/r2.cer", "application/x-x509-ca-cert", b"R2"),
        (b"/roots.pem", "application/x-x509-ca-cert", b"PEM"),
        (b"/pins.toml", "application/toml", b"schema = 1\n"),
        (b"/r.cer?again", "application/x-x509-ca-cert", b"R"),
    ],
)
@pytest.mark.parametrize("before", [b"", b"http://certpin.lab", b"http://192.168.1.7:8080"])
def test_each_file_has_its_type(before: bytes, path: bytes, kind: str, body: bytes) -> None:
    status, fields, found = _ask(b"GET " + before + path + b" HTTP/1.1")
    assert status == b"HTTP/1.1 200 OK"
    assert (fields["Content-Type"], fields["Content-Length"]) == (kind, str(len(body)))
    assert found == body


def test_the_index_leads_to_every_file() -> None:
    _, fields, body = _ask(b"GET / HTTP/1.1")
    assert fields["Content-Type"].startswith("text/html")
    for path in PAGE._files().keys() - {"/"}:
        assert f'href="{path}"'.encode() in body
    assert b"Remove these authorities" in body


def test_head_is_answered_without_a_body() -> None:
    _, fields, body = _ask(b"HEAD /r2.cer HTTP/1.1")
    assert (fields["Content-Length"], body) == ("2", b"")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (b"GET /nothing HTTP/1.1", b"404"),
        (b"GET /../r.cer HTTP/1.1", b"404"),
        (b"POST / HTTP/1.1", b"405"),
        (b"GET r.cer HTTP/1.1", b"405"),
        (b"GET / HTTP/3", b"405"),
    ],
)
def test_all_else_is_refused(words: bytes, status: bytes) -> None:
    assert _ask(words)[0].split()[1] == status


@given(st.binary(max_size=200))
def test_no_request_raises_or_is_echoed(request: bytes) -> None:
    answer = PAGE.answer(b"GET /" + request)
    assert answer.startswith(b"HTTP/1.1 ")
    assert len(request) < 12 or request not in answer
