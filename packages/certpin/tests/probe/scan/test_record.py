"""Any bytes of a server give a record that is safe to print."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import CertificateParseError, HostError
from certpin.lab import Authority, Identity
from certpin.probe import Endpoint
from certpin.probe.scan import ScanResult, invalid_host_record, record, record_line
from certpin.x509 import Chain
from tests.cli import _documented
from tests.probe.scan._servers import Server, tls

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.probe.scan.conftest import Look

HOSTILE = "evil\x1b[2J\r\n\u202e\u2028\x00.example"


def _sighting(der: bytes, host: str = "api.bank.example") -> ScanResult:
    chain = Chain.from_der([der])
    return ScanResult(Endpoint(host), "127.0.0.1", 1, 0.5, tls="TLSv1.3", served=chain)


def _written(fields: dict[str, Any]) -> dict[str, Any]:
    """Parse the line of a record, which must be one line without control characters."""
    _documented.check("scanned host", fields)
    text = record_line(fields)
    assert text.isprintable()
    assert text.startswith('{"schema":1,"command":"scan","host":"')
    read: dict[str, Any] = json.loads(text)
    assert read == fields
    return read


@pytest.fixture(scope="module")
def leaf(intermediate: Authority) -> bytes:
    return intermediate.issue("api.bank.example", "127.0.0.1").certificate.der


def test_a_hostile_subject_is_escaped(look: Look) -> None:
    """A server's certificate has control characters in its names; the record escapes them."""
    evil = Authority(HOSTILE)
    with Server(tls(Identity(evil.key, (evil.x509,)))) as server:
        fields = _written(record(look("api.bank.example", server.port)))
    assert "\\x1b" in fields["subject"]
    assert "\\u202e" in fields["issuer"]


def _swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def swap(der: bytes) -> bytes:
        assert old in der
        return der.replace(old, new)

    return swap


def _negative_serial(der: bytes) -> bytes:
    start = 15  # two headers, [0] version, and the header of the serial number
    assert der[start - 2] == 0x02
    return der[:start] + b"\x81" + der[start + 1 :]


_FORGED = {
    "two subjectAltNames": _swap(b"\x55\x1d\x0e", b"\x55\x1d\x11"),
    "an address of another kind": _swap(b"\x87\x04\x7f", b"\x83\x04\x7f"),
    "a name that is no text": _swap(b"\x87\x04\x7f\x00\x00\x01", b"\x82\x04\x7f\xff\x00\x01"),
    "a name with a NUL": _swap(b"\x82\x10api", b"\x82\x10a\0i"),
    "version 8": _swap(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07"),
    "a negative serial number": _negative_serial,
}


@pytest.mark.parametrize("forge", _FORGED.values(), ids=_FORGED)
def test_an_odd_certificate_is_reported_as_far_as_possible(
    leaf: bytes, forge: Callable[[bytes], bytes]
) -> None:
    fields = _written(record(_sighting(forge(leaf))))
    assert fields["served"]
    assert (fields["name_matches"] is None) == (fields["error"] is not None)


def test_an_unreadable_field_is_an_error(leaf: bytes) -> None:
    twice = leaf.replace(b"\x55\x1d\x0e", b"\x55\x1d\x11")
    fields = record(_sighting(twice))
    assert fields["name_matches"] is None
    assert fields["error"] == {
        "kind": "CertificateParseError",
        "problem": "the subjectAltName of this certificate cannot be read",
    }


@given(st.data())
def test_no_certificate_makes_record_raise(data: st.DataObject) -> None:
    changed = bytearray(_leaf())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.integers(0, 255))
    try:
        seen = _sighting(bytes(changed))
    except CertificateParseError:
        return  # the scan itself reports it
    _written(record(seen))


@cache
def _leaf() -> bytes:
    return Authority("Fuzzed").issue("a.example", "127.0.0.1").certificate.der


def test_an_invalid_host_has_the_same_fields() -> None:
    fields = _written(invalid_host_record("???", HostError("'???' is no host")))
    assert fields["error"] == {"kind": "HostError", "problem": "'???' is no host"}
    assert (fields["host"], fields["port"], fields["attempts"]) == ("???", 0, 0)
