"""The hosts, builds and certificates that the reader of Dart code finds for each pin."""

from __future__ import annotations

import ssl
from datetime import timedelta

import pytest

from certpin.apps.builds import DEBUG_BUILDS
from tests.apps._dart import HEX, HEX_2, KEY, KEY_2, NEEDS_PARSER, NOW, mistakes, questions, read
from tests.lint._examples import make

pytestmark = NEEDS_PARSER

HOST = "api.bank.example"
PIN = f"'sha256/{KEY}'"


@pytest.mark.parametrize(
    "code",
    [
        f"const pins = {{'{HOST}': [{PIN}]}};",
        f"const pins = {{'https://{HOST}/v1': {{{PIN}}}}};",
        f"const host = '{HOST}'; final pins = {{host: {PIN}}};",
        f"final c = Check(serverURL: 'https://{HOST}', pins: [{PIN}]);",
        f"const url = 'https://{HOST}'; final c = Check(serverURL: url, pins: [{PIN}]);",
        f"const pins = [{PIN}]; final c = Check(host: '{HOST}', pins: pins);",
        f"final p = Pinner().add('{HOST}', {PIN});",
        f"List<String> pins(host) {{ if (host == '{HOST}') return [{PIN}]; return []; }}",
        f"pins(host) {{ switch (host) {{ case '{HOST}': return [{PIN}]; }} }}",
        f"pins(host) => switch (host) {{ '{HOST}' => [{PIN}], _ => [] }};",
        f"final server = (host: '{HOST}', pins: [{PIN}]);",
        f"final server = {{'host': '{HOST}', 'pins': [{PIN}]}};",
        f"pins(host) {{ if (host == '{HOST}' || host == '') return [{PIN}]; }}",
        f"final c = Check(host: 'a.example', child: Check(host: '{HOST}', pins: [{PIN}]));",
        (
            "Dio a() => Dio(BaseOptions(baseUrl: 'https://a.example'));"
            f"Dio b() => Dio(BaseOptions(baseUrl: 'https://{HOST}'))"
            f"..interceptors.add(CertificatePinningInterceptor(allowedSHAFingerprints: [{PIN}]));"
        ),
        (
            f"final d = Dio(BaseOptions(baseUrl: 'https://{HOST}'))"
            f"..interceptors.add(CertificatePinningInterceptor(allowedSHAFingerprints: [{PIN}]));"
        ),
    ],
)
def test_the_host_of_a_pin_is_read(code: str) -> None:
    assert [each.hosts for each in read(code).pins] == [(HOST,)]


@pytest.mark.parametrize(
    "code",
    [
        f"const pins = {{'production': [{PIN}]}};",
        f"const pins = {{'{HOST}.pem': [{PIN}]}};",
        f"List<String> pins(host) {{ if (host != '{HOST}') return [{PIN}]; return []; }}",
        f"const pins = [{PIN}]; const help = 'https://{HOST}/help';",
        f"final c = Check(serverURL: 'http://{HOST}', pins: [{PIN}]);",
        (
            f"final a = O(baseUrl: 'https://{HOST}'); final b = O(baseUrl: 'https://b.example');"
            f"final c = CertificatePinningInterceptor(allowedSHAFingerprints: [{PIN}]);"
        ),
    ],
)
def test_another_text_is_not_the_host_of_a_pin(code: str) -> None:
    assert [each.hosts for each in read(code).pins] == [()]


@pytest.mark.parametrize(
    "key", ["AppConfig.apiHost", "env.apiHost", "Hosts.pay.name", "Uri.parse(AppConfig.url).host"]
)
def test_an_expression_as_a_map_key_is_not_a_host(key: str) -> None:
    found = read(f"final pins = {{{key}: [{PIN}]}};")
    assert [each.hosts for each in found.pins] == [()]
    path = key.replace("(AppConfig.url)", "")
    expected = f"is the expression {path}: name it with --host"
    assert [expected in each.question for each in found.unknown] == [True]


def test_a_host_beside_a_pin_that_is_not_used_is_a_question() -> None:
    code = f"f(c) {{ c.check([{PIN}]); c.open('https://{HOST}/v1'); }}"
    found = read(f"\n{code}\nconst x = 'https://c.example';")
    assert [each.hosts for each in found.pins] == [()]
    assert [f"names {HOST}: is that its host?" in each.question for each in found.unknown] == [True]
    assert [str(each.place) for each in found.unknown] == ["lib/a.dart:2"]
    assert not read(f"const pins = {{'{HOST}': [{PIN}]}};").unknown


def test_each_of_two_hosts_that_a_condition_compares_has_the_pin() -> None:
    code = f"pins(host) {{ if (host == '{HOST}' || host == 'b.example') return [{PIN}]; }}"
    assert [each.hosts for each in read(code).pins] == [(HOST, "b.example")]


@pytest.mark.parametrize(
    ("text", "host"),
    [
        (f"https://{HOST}:8443/v1", f"{HOST}:8443"),
        (f"{HOST}:8443", f"{HOST}:8443"),
        (f"https://{HOST}:443", HOST),
        (f"https://{HOST}:0", HOST),
        (f"https://{HOST}:99999", HOST),
        ("https://[::1]:8443/", "[::1]:8443"),
        ("https://[::1]/", "::1"),
    ],
)
def test_another_port_than_that_of_https_is_kept(text: str, host: str) -> None:
    assert [each.hosts for each in read(f"const pins = {{'{text}': [{PIN}]}};").pins] == [(host,)]


def test_each_pin_of_a_map_has_its_host() -> None:
    code = f"const pins = {{\n'{HOST}': ['{HEX}'],\n'b.example': ['{HEX_2}'],\n}};"
    found = read(code).pins
    assert [(each.hosts, each.name, each.place.line) for each in found] == [
        ((HOST,), "pins", 2),
        (("b.example",), "pins", 3),
    ]


def test_the_hosts_of_urls_are_listed() -> None:
    code = (
        f"const a = 'https://{HOST}/v1';\nfinal b = Uri.https('b.example', '/x');\n"
        "const c = 'wss://c.example:8443';\nfinal d = Uri.parse('https://$sub.example');\n"
        "// https://e.example\nconst f = 'see https://f.example';\nconst g = 'g.example';\n"
    )
    found = [(host, place.line) for host, place in read(code).hosts]
    assert found == [(HOST, 1), ("b.example", 2), ("c.example:8443", 3)]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (f"final pins = kDebugMode ? [{PIN}] : ['sha256/{KEY_2}'];", [True, False]),
        (f"final pins = kReleaseMode ? [{PIN}] : ['sha256/{KEY_2}'];", [False, True]),
        (f"final pins = !kDebugMode ? [{PIN}] : ['sha256/{KEY_2}'];", [False, True]),
        (f"final pins = [{PIN}, if (kDebugMode) 'sha256/{KEY_2}'];", [False, True]),
        (
            f"const a = {PIN}, b = 'sha256/{KEY_2}'; final pins = kDebugMode ? a : b;",
            [True, False],
        ),
        (
            (
                "const p = String.fromEnvironment('PIN', "
                f"defaultValue: kDebugMode ? {PIN} : 'sha256/{KEY_2}');"
            ),
            [True, False],
        ),
        (
            f"f() {{ if (kDebugMode) {{ p({PIN}); }} else {{ p('sha256/{KEY_2}'); }} }}",
            [True, False],
        ),
        (f"f() {{ if (kReleaseMode) return 'sha256/{KEY_2}'; return {PIN}; }}", [False, True]),
        (f"final pins = isLarge ? [{PIN}] : ['sha256/{KEY_2}'];", [False, False]),
        (f"const a = {PIN}; final x = kDebugMode ? a : ''; final y = [a];", [False]),
    ],
)
def test_a_pin_of_debug_builds_is_marked(code: str, expected: list[bool]) -> None:
    builds = [DEBUG_BUILDS if debug else "" for debug in expected]
    assert [each.builds for each in read(code).pins] == builds


def _pem(days: int = 900) -> str:
    made = make("Bank Root CA", NOW - timedelta(days=9), NOW + timedelta(days=days))
    return ssl.DER_cert_to_PEM_cert(made.certificate.der)


def test_certificates_in_strings_are_read() -> None:
    pem = _pem()
    code = f"const a = '''\n{pem}{pem}''';\nconst b = '{pem.replace(chr(10), chr(92) + 'n')}';"
    found = read(code).certificates
    assert [each.place.line for each in found] == [1, 1, len(pem.splitlines()) * 2 + 3]
    assert {each.certificate.subject for each in found} == {"CN=Bank Root CA"}


@pytest.mark.parametrize(
    ("code", "builds"),
    [
        ("final ca = kDebugMode ? '''{}''' : '';", DEBUG_BUILDS),
        ("const stagingCert = '''{}''';", "builds of the flavour 'staging'"),
        ("const cert = '''{}''';", ""),
    ],
)
def test_a_certificate_in_a_string_has_the_builds_that_use_it(code: str, builds: str) -> None:
    assert [each.builds for each in read(code.format(_pem())).certificates] == [builds]


def test_a_certificate_in_a_string_that_expires_soon_is_a_mistake() -> None:
    assert mistakes(f"\nconst a = '''{_pem(20)}''';") == [("asset-expires-soon", 2)]
    assert mistakes(f"\nconst a = '''{_pem()}''';") == []


def test_a_damaged_certificate_is_a_question() -> None:
    pem = _pem()
    for damaged in (pem.replace("END", "EN"), pem.replace("MII", "MMM"), pem[:200]):
        code = f"const a = '''{damaged}''';"
        assert not read(code).certificates
        assert ["a PEM certificate can't be read" in each for each in questions(code)] == [True]


def test_the_marks_of_pem_alone_are_no_certificate() -> None:
    assert not questions("final b = pem.replaceAll('-----BEGIN CERTIFICATE-----', '');")
    marks = "-----BEGIN CERTIFICATE-----|-----END CERTIFICATE-----"
    assert not questions(f"final pattern = RegExp('{marks}');")


def test_the_host_of_a_uri_with_named_parts_is_read() -> None:
    code = (
        f"final a = Uri(scheme: 'https', host: '{HOST}', path: '/x');\n"
        "final b = Uri(host: 'b.example', port: 8443);\n"
        "final c = Uri(scheme: 'http', host: 'c.example');\n"
        "final d = Uri(scheme: 'https', host: h, path: 'd.example');\n"
        "final e = Other(host: 'e.example');\n"
    )
    assert [host for host, _ in read(code).hosts] == [HOST, "b.example"]
