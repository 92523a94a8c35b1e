"""The pins that Dart code contains: their spellings, and the names that make a digest a pin."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import pytest

from certpin.apps.dart.reader import read_dart
from certpin.apps.model import Place
from tests.apps._dart import (
    COLONS,
    HEX,
    HEX_2,
    KEY,
    KEY_2,
    NEEDS_PARSER,
    SHA1,
    WHOLE,
    WHOLE_2,
    pins,
    questions,
    read,
)
from tests.apps._project import read as read_app
from tests.apps._project import write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = NEEDS_PARSER

A, B = f"sha256/{KEY}", f"sha256/{KEY_2}"
OF_KEY = base64.b64decode(KEY)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (f"const x = 'sha256/{KEY}';", [A]),
        (f"const x = 'sha256//{KEY}';", [A]),
        (f"const x = 'pin-sha256=\"{KEY}\"; max-age=1';", [A]),
        (f"const x = 'sha256//{KEY};sha256//{KEY_2}';", [A, B]),
        (f"const x = 'cert-sha256/{COLONS}';", [WHOLE]),
        (f"const x = 'sha256 Fingerprint={COLONS}';", [WHOLE]),
        (f"const x = 'SHA256: {COLONS}';", [WHOLE]),
        (f"const fingerprint = '{HEX}';", [WHOLE]),
        (f"const fingerprint = '{HEX.upper()}';", [WHOLE]),
        (f"const fingerprint = '{COLONS}';", [WHOLE]),
        (f"const fingerprint = '{COLONS.lower()}';", [WHOLE]),
        (f"const fingerprint = '{COLONS.replace(':', ' ')}';", [WHOLE]),
        (f"const fingerprint = '{COLONS.replace(':', '-')}';", [WHOLE]),
        (f"const fingerprints = '{HEX}, {HEX_2}';", [WHOLE, WHOLE_2]),
        (f"const pin = '{KEY}';", [A]),
        (f"const pins = ['sha256/{OF_KEY.hex()}'];", [A]),
        (f"const pins = ['sha256//{OF_KEY.hex().upper()}'];", [A]),
        (f"const pins = ['SHA256/{OF_KEY.hex(':')}'];", [A]),
        (f"const pins = ['pin-sha256=\"{OF_KEY.hex()}\"'];", [A]),
        (f"const fingerprint = 'sha256/{OF_KEY.hex()}';", [A]),
    ],
)
def test_a_pin_is_found_in_each_spelling(code: str, found: list[str]) -> None:
    assert pins(code) == found


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        (f"const pins = ['{HEX}'];", True),
        (f"const pins = ['sha256:{HEX}'];", True),
        (f"const pins = ['{COLONS}'];", False),
        (f"const pins = ['sha256 Fingerprint={HEX}'];", False),
        (f"const fingerprints = ['{HEX}'];", False),
        (
            f"const pins = ['{HEX}']; bool f(X509Certificate c) => sha256.convert(c.der) == 1;",
            False,
        ),
        (f"const spkiPins = ['{HEX}'];", False),
        (f"final c = SecureHttpClient.build(['{HEX}']);", False),
        (f"const pins = ['sha256/{HEX}'];", False),
    ],
)
def test_the_kind_of_a_digest_is_asked_if_nothing_shows_it(code: str, asked: bool) -> None:
    found = [
        each for each in questions(code) if "whole certificate, or the digest of a key" in each
    ]
    assert (len(found), len(pins(code))) == (asked, 1)


def test_a_key_in_hexadecimal_beside_code_that_hashes_certificates_is_asked() -> None:
    code = (
        f"const pins = ['sha256/{HEX}']; bool f(X509Certificate c) => sha256.convert(c.der) == 1;"
    )
    [question] = questions(code)
    assert "is spelled as the pin of a key, but line 1 hashes the whole certificate" in question


@pytest.mark.parametrize(
    "code",
    [
        f"const pin = 'sha256/' '{KEY}';",
        f"const pin = 'sha256/' + '{KEY}';",
        f"const pin = ('sha256/' + ('{KEY[:9]}')) + '{KEY[9:]}';",
        f"const k = '{KEY}'; const pin = 'sha256/$k';",
        f"const pin = 'sha256/${{K.k}}'; class K {{ static const k = '{KEY}'; }}",
        f'const pin = "sha256/{KEY}";',
        f"const pin = r'sha256/{KEY}';",
        f"const pin = '''\nsha256/{KEY}''';",
        f"const pin = 'sha256/\\u{{4b}}{KEY[1:]}';",
    ],
)
def test_the_value_of_a_constant_expression_is_read(code: str) -> None:
    assert pins(code) == [A]


@pytest.mark.parametrize(
    "code",
    [
        "final fingerprints = <String>['{}'];",
        "final fingerprints = {{'{}'}};",
        "final fingerprints = const ['{}', if (x) 'other'];",
        "class C {{ static const String certHash = '{}'; }}",
        "class C {{ final pinned = const <String>['{}']; }}",
        "class Pinning {{ static const production = '{}'; }}",
        "class C {{ C({{this.pin = '{}'}}); }}",
        "void f({{String fingerprint = '{}'}}) {{}}",
        "String get fingerprint => '{}';",
        "List<String> pins() {{ return ['{}']; }}",
        "void f() {{ this.fingerprint = '{}'; }}",
        "void f() {{ var pins = []; pins = ['{}']; }}",
        "bool f(fingerprint) => fingerprint == '{}';",
        "bool f(fingerprint) => ['{}'].contains(fingerprint);",
        "final client = Client(pins: ['{}']);",
        "const a = '{}'; final client = Client(pins: [a]);",
        "const a = '{}'; const b = [a]; final client = Client(pins: b);",
        "class K {{ static const a = '{}'; }} final client = Client(pins: [K.a]);",
        "const fp = String.fromEnvironment('CERT_FINGERPRINT', defaultValue: '{}');",
        "const fp = const String.fromEnvironment('FINGERPRINT', defaultValue: '{}');",
        "enum Server {{ production(pins: ['{}']); }}",
        "const map = {{'fingerprint': '{}'}};",
    ],
)
def test_the_names_around_a_digest_make_it_a_pin(code: str) -> None:
    assert pins(code.format(HEX)) == [WHOLE]


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("HttpCertificatePinning.check(sha: SHA.SHA256, allowedSHAFingerprints: [x])", WHOLE),
        ("CertificatePinningInterceptor(allowedSHAFingerprints: [x])", WHOLE),
        ("SecureHttpClient.build([x])", WHOLE),
        ("SslPinningPlugin.check(allowedSHAFingerprints: [x])", WHOLE),
        ("Other(allowedSHAFingerprints: [x])", WHOLE),
        ("CertificatePinningHttpClient([x])", f"sha256/{KEY}"),
    ],
)
def test_the_receiving_library_decides_between_key_and_certificate(call: str, found: str) -> None:
    digest = KEY if found.startswith("sha256/") else HEX
    assert pins(f"final client = {call};".replace("x", f"'{digest}'", 1)) == [found] or pins(
        f"const x = '{digest}'; final client = {call};"
    ) == [found]


def test_a_digest_in_hexadecimal_is_of_the_key_if_the_library_hashes_keys() -> None:
    code = (
        "import 'package:public_key_pinning/public_key_pinning.dart';\n"
        f"final c = SecureHttpClient.build(['{HEX}']);"
    )
    assert read(code).pins[0].pin.kind == "sha256"


@pytest.mark.parametrize("name", ["spkiPin", "spki", "publicKeyHash", "PUBLIC_KEY_PIN", "keyPins"])
def test_a_digest_in_hexadecimal_is_of_the_key_if_its_name_says_so(name: str) -> None:
    code = f"class Pinning {{ static const {name} = '{HEX}'; }}"
    assert [each.pin.kind for each in read(code).pins] == ["sha256"]


def test_base64_is_of_the_certificate_if_the_file_hashes_certificates() -> None:
    check = "f(cert) => base64.encode(sha256.convert(cert.der).bytes) == pin;"
    assert pins(f"const pin = '{KEY}'; {check}")[0].startswith("cert-sha256/")
    assert pins(f"const pin = '{KEY}'; {check.replace('cert.der', 'spki(cert.der)')}") == [A]


def test_a_prefix_that_contradicts_the_code_is_a_question() -> None:
    check = "f(cert) => base64.encode(sha256.convert(cert.der).bytes) == pin;"
    code = f"const pin = 'sha256/{KEY}';\n{check}"
    assert pins(code) == [A]
    assert ["line 2 hashes the whole certificate" in each for each in questions(code)] == [True]


@pytest.mark.parametrize(
    "code",
    [
        f"const walletAddress = '{HEX}';",
        f"const fileChecksum = '{HEX}';",
        f"const sessionToken = '{KEY}';",
        f"const userPin = '{HEX}';",
        f"const contract = '0x{HEX}';",
        f"class PinCode {{ static const pinHash = '{HEX}'; }}",
        f"class PinCode {{ static const value = '{HEX}'; }}",
        f"const pinHash = '{HEX}';",
        f"final mapPinColors = {{'red': '{HEX}'}};",
        f"const certificateOfOrigin = '{HEX}';",
        f"const commit = '{SHA1}';",
        "const sentence = 'sha256/ is the prefix of a pin';",
        "const url = 'https://bank.example/sha256/abc';",
        f"// const pin = 'sha256/{KEY}';",
        f"/* const pin = 'sha256/{KEY}'; */",
        f"final pin = 'sha256/{KEY[:-3]}$x';",
    ],
)
def test_another_digest_is_no_pin(code: str) -> None:
    found = read(code)
    assert not found.pins
    assert not found.unknown


@pytest.mark.parametrize(
    ("code", "question"),
    [
        (f"const x = '{HEX}';", "in 'x' has the length of a SHA-256: is it a pin?"),
        (f"const x = '{COLONS}';", "is it a pin?"),
        (f"const x = '{KEY}';", "is it a pin?"),
        (f"const fileHash = '{COLONS}';", "is it a pin?"),
        (f"const modelChecksum = 'sha256:{HEX}';", "is it a pin?"),
        (f"const fingerprint = '{SHA1}';", "is a SHA-1"),
        (f"const fingerprint = '{bytes.fromhex(SHA1).hex(':')}';", "is a SHA-1"),
        (f"const x = 'sha1/{KEY}';", "is a SHA-1"),
        (f"const pins = ['{HEX}{HEX}'];", "is a SHA-512"),
        (f"final c = SecureHttpClient.build(['{HEX[:-2]}']);", "has 62 digits"),
        (f"const x = 'sha256/{KEY[:-4]}';", "isn't a SHA-256 in base64"),
        ("const pin = 'YOUR_SHA256_FINGERPRINT_HERE';", "is a placeholder"),
        ("const pins = ['sha256/YOUR_PIN_HERE='];", "is a placeholder"),
        ("const pin = '<your fingerprint>';", "is a placeholder"),
        (f"const pin = 'sha256/{'A' * 43}=';", "is the pin of an example"),
        (f"const signingCertHash = '{HEX}';", "seems to be of the key that signs the app"),
    ],
)
def test_a_digest_that_cannot_be_decided_is_a_question(code: str, question: str) -> None:
    found = read(f"\n{code}")
    assert not found.pins
    assert [question in each.question for each in found.unknown] == [True]
    assert [str(each.place) for each in found.unknown if each.place] == ["lib/a.dart:2"]


def test_a_digest_that_another_line_decides_is_no_question() -> None:
    code = f"const a = '{HEX}';\nfinal c = SecureHttpClient.build(['{HEX}']);"
    assert pins(code) == [WHOLE]
    assert not questions(code)


def test_a_url_is_no_placeholder() -> None:
    assert not questions("void testCertificate() { get('https://your-api.example/test'); }")


def test_a_text_that_is_searched_for_is_no_placeholder() -> None:
    assert not questions("bool isReal(pin) => !pin.contains('YOUR_PIN_HERE');")


def test_many_digests_are_summarised() -> None:
    digests = ",".join(f"'{number:064x}'" for number in range(1, 200))
    found = questions(f"const vectors = [{digests}];")
    assert len(found) == 21
    assert "more such texts follow in this file" in found[-1]


def test_the_place_and_the_name_of_a_pin_are_those_of_the_constant() -> None:
    found = read(f"// a\nclass C {{\n  static const pins = [\n    '{HEX}',\n  ];\n}}").pins
    assert [(each.name, str(each.place)) for each in found] == [("pins", "lib/a.dart:4")]


def test_certpins_own_export_is_left_to_its_format() -> None:
    code = f"const PinSet pins = PinSet(policies: [\nHostPolicy(pins: ['sha256/{KEY}'])]);"
    found = read(code)
    assert not found.pins
    assert ["certpin import flutter" in each.question for each in found.unknown] == [True]


def test_the_code_that_certpin_copied_has_no_questions(tmp_path: Path) -> None:
    code = f"// Copied by: certpin export flutter. Do not edit.\n\nconst _curve = '{HEX}';\n"
    write(tmp_path, {"a.dart": code, "b.dart": f"\N{BOM}{code}", "c.dart": f"// By hand.\n{code}"})
    project = read_app(tmp_path, reader=read_dart)
    assert project.copied == [str(tmp_path / "a.dart"), str(tmp_path / "b.dart")]
    [unknown] = project.findings.unknown
    assert unknown.place == Place(str(tmp_path / "c.dart"), 4)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_not_read(encoding: str) -> None:
    found = read(f"const pin = '{KEY}';".encode(encoding))
    assert ["UTF-16" in each.problem for each in found.unread] == [True]


@pytest.mark.parametrize("name", ["pinHash", "certPinHash", "sslPinCode"])
def test_a_hash_of_a_pin_is_one_of_a_certificate_if_a_word_says_so(name: str) -> None:
    assert pins(f"class Tls {{ static const {name} = '{HEX}'; }}") == [WHOLE]


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        (f"const m = {{'a.example': ['{A}', '{B}', Keys.current]}};", ["Keys.current"]),
        (f"final pins = <String>{{'{A}', env(1).pin,}};", ["env(1).pin"]),
        (f"final pins = ['{A}', ...others, ...?more, ?last];", ["others", "more", "last"]),
        (f"final pins = ['{A}', if (x) y else '{B}', (z)];", ["y", "z"]),
        (f"final pins = [if (x) '{A}' else y];", ["y"]),
        (f"final pins = ['{A}', x ? '{B}' : y, x ?? y];", ["y", "x", "y"]),
        (f"final pins = ['{A}', 'sha256/$x'];", ["'sha256/$x'"]),
        (f"final x = load(); final pins = ['{A}', x];", ["x"]),
        (f"const a = '{A}'; final pins = [a, Keys.current];", ["Keys.current"]),
        (f"final client = Client(pins: ['{A}', Keys.current]);", ["Keys.current"]),
        (f"const a = '{A}'; const b = '{B}'; final pins = [a, b];", []),
        (f"const more = ['{B}']; final pins = ['{A}', ...more];", []),
        (f"final pins = ['{A}', Pin('{B}'), if (x) '{B}', null, 1, ['{B}'], 'other'];", []),
        (f"final pins = {{'{A}': x}};", []),
        ("final names = ['a name of a host', Keys.current];", []),
    ],
)
def test_an_element_of_unknown_value_beside_pins_is_a_question(code: str, asked: list[str]) -> None:
    """The import would lock out clients of the server with that key, without a word."""
    found = [
        re.match(r"which pin is '(.*)' in this list of pins", each) for each in questions(code)
    ]
    assert [each[1] for each in found if each] == list(dict.fromkeys(asked))


@pytest.mark.parametrize(
    "element",
    ["(" * 3000 + "x" + ")" * 3000, "c ? x : " * 3000 + "y", "...[" * 3000, "if (x) " * 3000],
)
def test_deep_elements_are_read(element: str) -> None:
    assert A in pins(f"final pins = ['{A}', {element}];")
