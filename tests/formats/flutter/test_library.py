"""The Dart that decides, run here, and compared with certpin: der, hosts, verdict, rate."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import certifi
import pytest
from cryptography.hazmat import asn1
from hypothesis import given, settings
from hypothesis import strategies as st

from certpin.errors import CertificateParseError, HostError
from certpin.pins import normalise
from certpin.x509 import Certificate, _der
from certpin.x509.reader import read_certificates
from tests.formats._sets import pin_sets
from tests.formats.flutter import _dart, vectors
from tests.formats.flutter._runtime import (
    DateTime,
    FormatException,
    Map,
    String,
    Uint8List,
    strings,
)
from tests.formats.flutter._runtime import List as DartList
from tests.x509 import _tree as tree

if TYPE_CHECKING:
    from certpin.pins import PinSet

DER, HOSTS, VERDICT, RATE = (
    _dart.load(f"{name}.dart") for name in ("der", "hosts", "verdict", "rate")
)
STORED: dict[str, Any] = json.loads(vectors.TARGET.read_text(encoding="ascii"))
CERTIFICATES = vectors.certificates()
# Refused by certpin, which checks what openssl would write otherwise, and read by the walk: its
# digest is of the bytes that stand there, and no pin was made from such a certificate.
LENIENT = {
    "a serial number of no octets": (vectors.SERIAL, tree.with_content(b"")),
    "a padded serial number": (vectors.SERIAL, tree.with_content(b"\0\1")),
    "a signature of no octets": (vectors.SIGNATURE, tree.with_content(b"")),
    "a signature with bits that are not used": (vectors.SIGNATURE, tree.with_content(b"\1\1")),
    "no signature algorithm": (vectors.SIGNATURE_ALGORITHM, tree.without_last),
}


def spki(der: bytes) -> bytes | None:
    """What the Dart walk reads; ``None`` where it refuses. Any other error fails the test."""
    try:
        found: bytes = DER["subjectPublicKeyInfo"](Uint8List(der))
    except FormatException:
        return None
    return found


def certpins(der: bytes) -> bytes | None:
    """What certpin reads."""
    try:
        return Certificate.from_der(der).spki
    except CertificateParseError:
        return None


def covering(pins: PinSet, host: str) -> str | None:
    """The pattern by which the Dart look-up finds a policy."""
    policies = DartList(
        SimpleNamespace(pattern=String(str(policy.pattern))) for policy in pins.policies
    )
    name = HOSTS["normaliseHost"](String(host))
    found = HOSTS["policyFor"](policies, name) if name is not None else None
    return found.pattern if found else None


def test_the_stored_vectors_are_those_that_certpin_makes() -> None:
    assert vectors.vectors() == STORED, "python -m tests.formats.flutter.vectors"


@pytest.mark.parametrize("name", CERTIFICATES)
def test_the_walk_reads_what_certpin_reads_and_refuses_what_it_refuses(name: str) -> None:
    assert spki(CERTIFICATES[name]) == certpins(CERTIFICATES[name])


def test_the_walk_reads_every_authority_that_browsers_trust() -> None:
    bundle = read_certificates(Path(certifi.where()).read_bytes())
    assert len(bundle) > 100
    assert all(spki(each.der) == each.spki for each in bundle)


def test_the_vectors_hold_every_kind_of_key_and_more_that_is_refused() -> None:
    read = {name for name, vector in STORED["certificates"].items() if vector["pins"]}
    assert vectors.KEYS.keys() <= read
    assert len(read) < len(STORED["certificates"]) / 2


@pytest.mark.parametrize("name", LENIENT)
def test_what_the_walk_reads_beyond_certpin_has_the_bytes_that_stand_there(name: str) -> None:
    path, change = LENIENT[name]
    der = tree.changed(vectors.WHOLE, path, change)
    assert certpins(der) is None
    assert spki(der) == certpins(vectors.WHOLE)


@given(data=st.data())
def test_the_walk_never_reads_other_bytes_than_certpin(data: st.DataObject) -> None:
    """One octet changed, taken out or put in, anywhere: the same key, or none.

    certpin takes any tag for the fields that it does not look into, and the walk a SEQUENCE alone.
    """
    der = data.draw(st.sampled_from([CERTIFICATES[name] for name in vectors.KEYS]))
    place = data.draw(st.integers(0, len(der) - 1) | st.integers(0, 40))
    octet = data.draw(st.binary(max_size=2))
    damaged = der[:place] + octet + der[place + data.draw(st.integers(0, 2)) :]
    found, wanted = spki(damaged), certpins(damaged)
    assert found is None or found in damaged
    if wanted and found is None:
        tbs = asn1.decode_der(_der._Certificate, damaged).tbs_certificate
        fields = (tbs.signature, tbs.issuer, tbs.validity, tbs.subject)
        assert {field.tag_bytes for field in fields} != {b"\x30"}
    elif found and wanted:
        assert found == wanted


@pytest.mark.parametrize(
    ("start", "why"),
    [
        ("30", "cut short"),
        ("3082", "cut short"),
        ("3100", "another field was expected"),
        ("3080" + "00" * 200, "an indefinite or huge length"),
        ("3084" + "00" * 200, "an indefinite or huge length"),
        (CERTIFICATES["a length that wraps round"].hex(), "an indefinite or huge length"),
        ("3001", "a value that leaves its field"),
        ("308180" + "00" * 127, "a value that leaves its field"),
        ("30817f" + "00" * 127, "a length that is not shortest"),
        ("308200ff" + "00" * 255, "a length that is not shortest"),
        ("3083000100" + "00" * 256, "a length that is not shortest"),
        ("300000", "bytes behind the end"),
    ],
)
def test_each_rule_of_the_walk_refuses_by_itself(start: str, why: str) -> None:
    """Other rules would refuse some of these later: none leans on another."""
    with pytest.raises(FormatException, match=why):
        DER["subjectPublicKeyInfo"](Uint8List(bytes.fromhex(start)))


@given(data=st.binary(max_size=300) | st.binary(max_size=200).map(lambda data: b"\x30\x81" + data))
def test_the_walk_never_leaves_its_bytes(data: bytes) -> None:
    assert spki(data) is None


def test_every_truncated_certificate_is_refused_by_the_walk() -> None:
    assert not any(spki(vectors.WHOLE[:count]) for count in range(len(vectors.WHOLE)))


@pytest.mark.parametrize("host", vectors.HOSTS)
def test_the_same_policy_covers_a_host(host: str) -> None:
    assert covering(vectors.pin_set(), host) == STORED["hosts"][host]


LABELS = st.sampled_from(["bank", "api", "a", "www", "example", "pay", "192", "7", "0x7f", "-", ""])


@settings(max_examples=50)
@given(pins=pin_sets(), labels=st.lists(LABELS, min_size=1, max_size=5), data=st.data())
def test_any_host_has_the_policy_that_certpin_finds(
    pins: PinSet, labels: list[str], data: st.DataObject
) -> None:
    """Among hosts made at random, and those below the patterns of the set."""
    pattern = data.draw(st.sampled_from(pins.policies)).pattern.name
    below = f"{data.draw(LABELS)}.{pattern}"
    for host in (".".join(labels), pattern, below, f"a.{below}", pattern.upper()):
        if ":" not in host or host.lower() == pattern:
            assert covering(pins, host) == vectors.covering(pins, host), host


@pytest.mark.parametrize("host", [*vectors.HOSTS, "xn--bcher-kva.example"])
def test_the_spelling_of_a_host_is_certpins(host: str) -> None:
    """But for IPv6, which keeps its spelling, and is compared as an address."""
    if ":" not in host:
        assert HOSTS["normaliseHost"](String(host)) == _normalised(host)


def _normalised(host: str) -> str | None:
    try:
        return normalise(host)
    except HostError:
        return None


@pytest.mark.parametrize(
    ("scheme", "host", "proxied", "problem"),
    [
        ("https", "BANK.example.", False, ""),
        ("http", "bank.example", False, "it is not https://"),
        ("ftp", "bank.example", False, "it is not https://"),
        ("https", "bank.example", True, "no pin holds through a proxy"),
        ("https", "evil.example", False, "no policy covers it"),
        ("https", "", False, "no policy covers it"),
        ("https", "b%C3%BCcher.bank.example", False, "no policy covers it"),
    ],
)
def test_a_request_that_no_pin_would_cover_is_not_made(
    scheme: str, host: str, proxied: bool, problem: str
) -> None:
    policies = DartList(SimpleNamespace(pattern=String(each)) for each in vectors.PATTERNS)
    assert HOSTS["refusalOf"](policies, String(scheme), String(host), proxied) == problem


def test_the_same_is_decided() -> None:
    for case in STORED["decisions"]:
        policy = SimpleNamespace(**case | {"pins": strings(case["pins"])})
        now = DateTime(datetime.fromisoformat(case["now"]))
        decided = VERDICT["judge"](policy, strings(case["presented"]), now)
        assert decided == (case["decision"], case["reason"]), case


@pytest.mark.parametrize("match", ["ca", "any"])
def test_where_the_anchors_are_the_pins_the_handshake_has_decided(match: str) -> None:
    case = STORED["decisions"][0] | {"pins": strings([]), "match": match, "expires": None}
    decided = VERDICT["judge"](SimpleNamespace(**case), strings([]), DateTime.parse("2027-01-01"))
    assert decided == ("accept", "match")


HOUR = 3_600_000


def test_the_same_failure_is_reported_once_an_hour() -> None:
    sent = Map()
    admits = RATE["admits"]
    assert [admits(sent, "a", now) for now in (0, 1, HOUR - 1, HOUR, HOUR + 1)] == [
        *(True, False, False, True, False),
    ]
    assert admits(sent, "b", 1)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20 * HOUR)), max_size=200))
def test_reports_never_fill_the_memory(failures: list[tuple[int, int]]) -> None:
    sent = Map()
    for what, now in failures:
        RATE["admits"](sent, f"failure {what}", now)
        assert len(sent) <= RATE["maxReports"]


@pytest.mark.parametrize(
    "source",
    [
        "int f(int a) { return a is int ? 1 : 2; }",
        "int f(int a) { return a ?? 1; }",
        "int f(int a) { switch (a) { } }",
        "int f(int a) { if (a == 1) { return 1; } else { return 2; } }",
        "String f(int a) { return '${a + 1}'; }",
        "int f(int a) { return (b = a); }",
        "int f(int a) { return a ~/ 2; }",
        "int f(int a) { return a >> 2; }",
        "int f(int a) { return g<int>(a); }",
        "int f(List<int>? a) { return a!.length; }",
        "bool f(A a) { return a.b is int; }",
        "bool f(A a) { return {1, 2}; }",
        "int f(int a) { try { return 1; } catch (e) { return 2; } }",
        "int f(int a) { try { return 1; } finally { g(); } }",
        "final class A { int f() { return 1; } }",
        "final class A { A(this.a); int a; int b; }",
        "final class A { A(this.a); int a = 1; }",
        "final class A extends B { A(this.a); int a; }",
        "sealed class A { }",
    ],
)
def test_dart_beyond_what_is_translated_is_no_silent_pass(source: str) -> None:
    with pytest.raises(SyntaxError):
        _dart.run(source)


def test_a_wrong_walk_is_seen() -> None:
    """The check itself, checked: the walk without the rule on the shortest length."""
    source = _source("der.dart").replace("length < 0x80 ||", "1 == 0 &&")
    padded = CERTIFICATES["the key with a padded length"]
    assert _dart.run(source)["subjectPublicKeyInfo"](Uint8List(padded))
    assert spki(padded) is None


def _source(name: str) -> str:
    folder = vectors.ROOT / "src/certpin/formats/flutter/dart"
    return (folder / name).read_text(encoding="utf-8")


def test_the_pins_of_the_vectors_are_in_both_spellings() -> None:
    for vector in STORED["certificates"].values():
        if vector["pins"]:
            key, whole = vector["pins"]
            assert len(base64.b64decode(key.removeprefix("sha256/"))) == 32
            assert whole.startswith("cert-sha256/")
