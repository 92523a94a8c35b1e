"""certpin's Dart library decides as certpin does.

The tests compare its parser of certificates, its matching of hosts, its decisions on pins, and the
limits of its reports.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import certifi
import pytest
from cryptography.hazmat import asn1
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from certpin.errors import CertificateParseError, ConfigError, HostError
from certpin.formats.flutter_pins import FLUTTER_PINS
from certpin.pins import (
    HostPattern,
    HostPin,
    HostPolicy,
    Mode,
    OnExpiry,
    PinSet,
    State,
    normalise,
    pins_of,
    verify,
)
from certpin.x509 import Certificate, Chain
from certpin.x509.certificate import read_certificates
from certpin.x509.der import _Certificate
from tests.formats._sets import pin_sets
from tests.formats.flutter import vectors
from tests.formats.flutter._bridge import FormatException, call, in_dart
from tests.kit import NOBODY, NOBODY_ELSE
from tests.x509 import _tree as tree

pytestmark = pytest.mark.peer("dart")

STORED: dict[str, Any] = json.loads(vectors.TARGET.read_text(encoding="ascii"))
CERTIFICATES = vectors.certificates()
# certpin refuses them, because openssl would write them differently; the Dart parser reads them.
# Its digest is of the unchanged bytes, and no pin was made from such a certificate.
LENIENT = {
    "a serial number of no octets": (vectors.SERIAL, tree.with_content(b"")),
    "a padded serial number": (vectors.SERIAL, tree.with_content(b"\0\1")),
    "a signature of no octets": (vectors.SIGNATURE, tree.with_content(b"")),
    "a signature with bits that are not used": (vectors.SIGNATURE, tree.with_content(b"\1\1")),
    "no signature algorithm": (vectors.SIGNATURE_ALGORITHM, tree.without_last),
}


def spki(der: bytes) -> bytes | None:
    """Return the public key that Dart reads from a certificate, or ``None`` if Dart refuses it.

    Any other error of Dart fails the test.
    """
    try:
        found: bytes = call("subjectPublicKeyInfo", der)
    except FormatException:
        return None
    return found


def certpins(der: bytes) -> bytes | None:
    """Return the public key that certpin reads from a certificate, or ``None`` if it refuses."""
    try:
        return Certificate.from_der(der).spki
    except CertificateParseError:
        return None


def covering(pins: PinSet, host: str) -> str | None:
    """Return the pattern of the policy that Dart finds for a host, or ``None``."""
    found: str | None = call("covering", [str(policy.pattern) for policy in pins.policies], host)
    return found


def test_the_stored_vectors_are_current() -> None:
    assert vectors.vectors() == STORED, "python -m tests.formats.flutter.vectors"


@pytest.mark.parametrize("name", CERTIFICATES)
def test_the_dart_parser_agrees_with_certpin(name: str) -> None:
    assert spki(CERTIFICATES[name]) == certpins(CERTIFICATES[name])


def test_the_dart_parser_reads_all_browser_roots() -> None:
    bundle = read_certificates(Path(certifi.where()).read_bytes())
    assert len(bundle) > 100
    assert all(spki(each.der) == each.spki for each in bundle)


def test_the_vectors_cover_all_key_kinds_and_refusals() -> None:
    read = {name for name, vector in STORED["certificates"].items() if vector["pins"]}
    assert vectors.KEYS.keys() <= read
    assert len(read) < len(STORED["certificates"]) / 2


@pytest.mark.parametrize("name", LENIENT)
def test_the_dart_parser_returns_unchanged_bytes(name: str) -> None:
    path, change = LENIENT[name]
    der = tree.changed(vectors.WHOLE, path, change)
    assert certpins(der) is None
    assert spki(der) == certpins(vectors.WHOLE)


@given(data=st.data())
def test_the_dart_parser_never_reads_another_key(data: st.DataObject) -> None:
    """One octet of a certificate is changed, removed or inserted, anywhere.

    The Dart parser reads the same key as certpin, or none. certpin accepts any tag for fields that
    it does not read; the Dart parser accepts only a SEQUENCE.
    """
    der = data.draw(st.sampled_from([CERTIFICATES[name] for name in vectors.KEYS]))
    place = data.draw(st.integers(0, len(der) - 1) | st.integers(0, 40))
    octet = data.draw(st.binary(max_size=2))
    damaged = der[:place] + octet + der[place + data.draw(st.integers(0, 2)) :]
    found, wanted = spki(damaged), certpins(damaged)
    assert found is None or found in damaged
    if wanted and found is None:
        tbs = asn1.decode_der(_Certificate, damaged).tbs_certificate
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
def test_each_parser_rule_refuses_independently(start: str, why: str) -> None:
    """Each rule must refuse, even if a later one would refuse as well."""
    with pytest.raises(FormatException, match=why):
        call("subjectPublicKeyInfo", bytes.fromhex(start))


@given(data=st.binary(max_size=300) | st.binary(max_size=200).map(lambda data: b"\x30\x81" + data))
def test_the_dart_parser_stays_in_bounds(data: bytes) -> None:
    assert spki(data) is None


def test_the_dart_parser_refuses_truncated_certificates() -> None:
    assert not any(spki(vectors.WHOLE[:count]) for count in range(len(vectors.WHOLE)))


@pytest.mark.parametrize("host", vectors.HOSTS)
def test_dart_finds_the_same_policy(host: str) -> None:
    assert covering(vectors.pin_set(), host) == STORED["hosts"][host]


LABELS = st.sampled_from(["bank", "api", "a", "www", "example", "pay", "192", "7", "0x7f", "-", ""])


@settings(max_examples=50)
@given(pins=pin_sets(), labels=st.lists(LABELS, min_size=1, max_size=5), data=st.data())
def test_dart_finds_the_policy_for_any_host(
    pins: PinSet, labels: list[str], data: st.DataObject
) -> None:
    """Dart and certpin find the same policy for random hosts and hosts below the patterns."""
    pattern = data.draw(st.sampled_from(pins.policies)).pattern.name
    below = f"{data.draw(LABELS)}.{pattern}"
    for host in (".".join(labels), pattern, below, f"a.{below}", pattern.upper()):
        if ":" not in host or host.lower() == pattern:
            assert covering(pins, host) == vectors.covering(pins, host), host


@pytest.mark.parametrize("host", [*vectors.HOSTS, "xn--bcher-kva.example"])
def test_dart_normalises_hosts_as_certpin(host: str) -> None:
    """IPv6 addresses are left out: Dart compares them by value and does not normalise them."""
    if ":" not in host:
        assert call("normaliseHost", host) == _normalised(host)


def _normalised(host: str) -> str | None:
    try:
        return normalise(host)
    except HostError:
        return None


FOREIGN = "it has letters that are not ASCII. fix: write it with A-labels (xn--), as pins.dart does"


@pytest.mark.parametrize(
    ("scheme", "host", "proxied", "problem"),
    [
        ("https", "BANK.example.", False, ""),
        ("http", "bank.example", False, "it is not https://"),
        ("ftp", "bank.example", False, "it is not https://"),
        ("https", "bank.example", True, "no pin holds through a proxy"),
        ("https", "evil.example", False, "no policy covers it"),
        ("https", "", False, "no policy covers it"),
        ("https", "xn--bcher-kva.example", False, "no policy covers it"),
        ("https", "b%C3%BCcher.bank.example", False, FOREIGN),
        ("https", "b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.bank.example", False, FOREIGN),
    ],
)
def test_unpinned_requests_are_refused(scheme: str, host: str, proxied: bool, problem: str) -> None:
    assert call("refusalOf", list(vectors.PATTERNS), scheme, host, proxied) == problem


def test_dart_makes_the_same_decisions() -> None:
    for case in STORED["decisions"]:
        decided = call("judge", case, case["presented"], case["now"])
        assert decided == [case["decision"], case["reason"]], case


LEAF = Certificate.from_der(vectors.WHOLE)
PINS = st.sampled_from([*pins_of(LEAF), NOBODY, NOBODY_ELSE])
STATES = st.sampled_from(["active", *get_args(State)])


@settings(max_examples=200)
@given(data=st.data())
def test_dart_decides_on_any_exported_policy_as_certpin(data: st.DataObject) -> None:
    """Dart and certpin have the same decision and reason for random policies.

    They vary the leaf's pins, their states, the mode, the expiry and the time.
    """
    entries = data.draw(
        st.lists(st.builds(HostPin, PINS, st.just("leaf"), STATES), unique_by=lambda e: e.pin)
    )
    expires = data.draw(st.none() | st.just(datetime(2027, 6, 1, tzinfo=UTC)))
    try:
        policy = HostPolicy(
            HostPattern.parse("bank.example"),
            tuple(entries),
            data.draw(st.sampled_from(get_args(Mode))),
            "leaf",
            expires,
            data.draw(st.sampled_from(get_args(OnExpiry))),
        )
        exported = FLUTTER_PINS.export(PinSet("any", 1, (policy,))).pins
    except ConfigError:
        reject()
    now = datetime(2027, 6, 1, tzinfo=UTC) + timedelta(seconds=data.draw(st.integers(-2, 2)))
    verdict = verify(Chain((LEAF,)), policy, now)
    presented = list(map(str, pins_of(LEAF)))
    decided = call("judge", in_dart(exported.policies[0]), presented, now.isoformat())
    assert decided == [verdict.decision, verdict.reason]


@pytest.mark.parametrize("match", ["ca", "any"])
def test_pinned_anchors_are_decided_by_the_handshake(match: str) -> None:
    case = STORED["decisions"][0] | {"pins": [], "match": match, "expires": None}
    assert call("judge", case, [], "2027-01-01") == ["accept", "match"]


COMPROMISED = (
    ("enforce", "fail-closed", "refuse"),
    ("enforce", "fail-open", "refuse"),
    ("enforce", "report", "refuse"),
    ("report", "fail-closed", "report"),
    ("report", "fail-open", "report"),
)


@pytest.mark.parametrize("match", ["leaf", "ca", "any"])
@pytest.mark.parametrize("now", ["2027-01-01", "2029-01-01"], ids=["in date", "expired"])
@pytest.mark.parametrize(("mode", "on_expiry", "decision"), COMPROMISED)
def test_compromised_keys_are_refused_before_match_and_expiry(
    mode: str, on_expiry: str, decision: str, now: str, match: str
) -> None:
    """Rule 13: a compromised key is a finding even if the certificate or the same key is pinned."""
    key, whole = STORED["certificates"]["p256"]["pins"]
    for pins, compromised in (([whole], [key]), ([key], [whole]), ([key], [key])):
        fields = {"pins": pins, "compromised": compromised, "match": match, "mode": mode}
        policy = fields | {"expires": "2028-01-01T00:00:00Z", "onExpiry": on_expiry}
        assert call("judge", policy, [key, whole], now) == [decision, "compromised-key"]


def test_absent_compromised_keys_have_no_effect() -> None:
    key, whole = STORED["certificates"]["p256"]["pins"]
    policy = STORED["decisions"][0] | {"pins": [key], "compromised": [str(NOBODY)], "expires": None}
    assert call("judge", policy, [key, whole], "2027-01-01") == ["accept", "match"]


HOUR = 3_600_000


def test_the_same_failure_is_reported_once_an_hour() -> None:
    moments = [*(["a", now] for now in (0, 1, HOUR - 1, HOUR, HOUR + 1)), ["b", 1]]
    admitted = [each for each, _ in call("admits", moments)]
    assert admitted == [True, False, False, True, False, True]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20 * HOUR)), max_size=200))
def test_recorded_reports_are_limited(failures: list[tuple[int, int]]) -> None:
    kept = [count for _, count in call("admits", [[f"failure {n}", at] for n, at in failures])]
    assert max(kept, default=0) <= call("maxReports")


def test_the_pins_of_the_vectors_are_in_both_spellings() -> None:
    for vector in STORED["certificates"].values():
        if vector["pins"]:
            key, whole = vector["pins"]
            assert len(base64.b64decode(key.removeprefix("sha256/"))) == 32
            assert whole.startswith("cert-sha256/")
