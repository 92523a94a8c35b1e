"""Revocation lists in a file for ``load_verify_locations``: found as OpenSSL finds them."""

from __future__ import annotations

import re
import ssl

import pytest

from certpin import ConfigError
from certpin.lab import Authority
from certpin.x509 import revocation
from certpin.x509.revocation import lists_in
from tests import kit

AUTHORITY = Authority("List Root")
FIRST, SECOND = kit.revocation_list(AUTHORITY), kit.revocation_list(AUTHORITY, AUTHORITY.x509)
BEGIN, END = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"


def test_lists_are_found_between_certificates_keys_and_text() -> None:
    content = b"\n".join([b"text", FIRST, AUTHORITY.pem, AUTHORITY.key_pem, SECOND, b"text"])
    assert lists_in(content) == [FIRST.rstrip(), SECOND.rstrip()]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda pem: pem.replace(b"\n", b"\r\n"), id="windows"),
        pytest.param(lambda pem: pem.replace(b"-----\n", b"-----  \t\n"), id="spaces"),
        pytest.param(bytes.rstrip, id="no line end"),
    ],
)
def test_line_ends_make_no_difference(change: object) -> None:
    assert callable(change)
    assert len(lists_in(change(FIRST))) == 1


def test_a_file_without_lists_has_none() -> None:
    assert lists_in(AUTHORITY.pem) == []
    assert lists_in(b"") == []
    assert lists_in(b"# no X509 CRL here\n" + AUTHORITY.pem) == []
    assert lists_in(b"  " + BEGIN + b"\n" + AUTHORITY.pem) == []


def test_a_certificate_inside_the_text_of_a_list_is_not_taken_for_one() -> None:
    """OpenSSL ignores lines that are not at the beginning of a line."""
    content = b" " + BEGIN + b"\n" + AUTHORITY.pem + b" " + END + b"\n" + FIRST
    assert lists_in(content) == [FIRST.rstrip()]


def test_a_damaged_list_is_an_error() -> None:
    for damaged in (FIRST.replace(END, b""), FIRST.replace(b"MI", b"!!", 1)):
        with pytest.raises(ssl.SSLError):
            lists_in(damaged)


def test_lists_that_only_openssl_finds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be missing for hosts with a trust file."""
    monkeypatch.setattr(revocation, "_BLOCK", re.compile(rb"no such text"))
    with pytest.raises(ConfigError, match="cannot be separated") as caught:
        lists_in(FIRST)
    assert "a file that contains nothing else" in caught.value.fix


def test_a_certificate_among_the_lists_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would become a trust anchor of hosts with a trust file."""
    monkeypatch.setattr(revocation, "_BLOCK", re.compile(rb".+", re.DOTALL))
    with pytest.raises(ConfigError, match="cannot be separated"):
        lists_in(FIRST + AUTHORITY.pem)
