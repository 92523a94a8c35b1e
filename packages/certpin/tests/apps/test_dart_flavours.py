"""Pins of development builds, and keys that the app refuses: no import makes one a backup."""

from __future__ import annotations

import pytest

from certpin.apps.merge import draft_policies
from certpin.errors import FormatError
from certpin.lab import Authority
from certpin.pins import pins_of
from tests.apps._dart import KEY, KEY_2, NEEDS_PARSER, questions, read

pytestmark = NEEDS_PARSER

A, B = f"'sha256/{KEY}'", f"'sha256/{KEY_2}'"


@pytest.mark.parametrize(
    "code",
    [
        f"const apiPins = {{'prod': [{A}], 'dev': [{B}]}};",
        f"final apiPins = {{Flavor.prod: [{A}], Flavor.staging: [{B}]}};",
        f"const apiPins = [{A}]; const devPins = [{B}];",
        f"final pins = flavor == 'prod' ? [{A}] : [{B}];",
        f"final pins = flavor != 'prod' ? [{B}] : [{A}];",
        f"final pins = isDev ? [{B}] : [{A}];",
        f"final pins = flavor! == 'dev' ? [{B}] : [{A}];",
        f"class Pins {{ static const stagingPin = {B}; static const pin = {A}; }}",
        f"class StagingPins {{ static const values = [{B}]; }} const pins = [{A}];",
        f"const a = {A}, b = {B}; const pins = [a]; const uatPins = [b];",
        f"const pins = [{A}]; const stgPins = [{B}];",
        f"const pins = [{A}]; const sandboxPins = [{B}];",
        f"enum Server {{ prod(pins: [{A}]), qa(pins: [{B}]); }}",
        f"final x = Config.test(pins: [{B}]), y = Config(pins: [{A}]);",
        f"List<String> devPins() => [{B}]; List<String> pins() => [{A}];",
        f"pins(f) => switch (f) {{ 'dev' => [{B}], _ => [{A}] }};",
        f"pins(f) {{ switch (f) {{ case Flavor.dev: return [{B}]; }} return [{A}]; }}",
        f"pins() {{ if (env == 'production') {{ return [{A}]; }} else {{ return [{B}]; }} }}",
    ],
)
def test_a_pin_of_a_flavour_is_a_question(code: str) -> None:
    found = read(f"\n{code}")
    assert [str(each.pin) for each in found.pins] == [A.strip("'")]
    asked = [each for each in found.unknown if "is a pin of a flavour" in each.question]
    assert [B in each.question and str(each.place) for each in asked] == ["lib/a.dart:2"]


@pytest.mark.parametrize(
    "code",
    [
        f"const pins = {{'api.dev.bank.example': [{A}]}};",
        f"pins(host) {{ if (host == 'api.dev.bank.example') return [{A}]; }}",
        f"bool testConnection() => check([{A}]);",
        f"const pins = [{A}]; void f() {{ debugPrint('pins'); g(pins); debugPrint('$pins'); }}",
        f"const pins = [{A}]; final debugInfo = Info(pins);",
        f"const pins = [{A}]; const devPins = pins; const productionPins = pins;",
        f"final pins = kDebugMode ? [{B}] : [{A}];",
    ],
)
def test_a_pin_without_a_flavour_is_read(code: str) -> None:
    assert A.strip("'") in [str(each.pin) for each in read(code).pins]
    assert not [each for each in questions(code) if "flavour" in each]


@pytest.mark.parametrize(
    "code",
    [
        f"const api = PinConfig(host: 'api.bank.example', pins: [{A}], compromisedPins: [{B}]);",
        f"const pins = {{'api.bank.example': [{A}]}}, revokedPins = {{'api.bank.example': [{B}]}};",
        f"const pins = [{A}]; const blacklistedPins = [{B}];",
        f"const pins = [{A}]; const _blocked = {{{B}}};",
        f"const pins = [{A}]; const pinBlackList = [{B}];",
        f"const pins = [{A}]; final denyList = Set.unmodifiable([{B}]);",
        f"const pins = [{A}]; final leaked = [{B}].toSet();",
        f"const pins = [{A}], old = {B}; const stolenKeys = [old];",
        f"const pins = [{A}, {B}]; const revoked = [{B}];",
        f"const pins = [{A}, {B}]; const banned = {{if (true) ...[{B}]}};",
        f"const pins = {{'allowed': [{A}], 'untrusted': [{B}]}};",
        f"List<String> pins() => [{A}]; List<String> distrustedPins() => [{B}];",
        f"class RevokedPins {{ static const values = [{B}]; }} const pins = [{A}];",
    ],
)
def test_a_key_that_the_app_refuses_is_listed_and_not_imported(code: str) -> None:
    draft = draft_policies(read(f"\n{code}"), ["api.bank.example"])
    (host,) = draft.hosts.values()
    assert list(map(str, host.pins)) == [A.strip("'")]
    listed = {str(each.place): each.what for each in draft.dropped}
    assert list(listed) == ["lib/a.dart:2"]
    assert B.strip("'") in listed["lib/a.dart:2"]
    assert 'state = "compromised"' in listed["lib/a.dart:2"]


@pytest.mark.parametrize(
    "code",
    [
        f"const pins = [{A}]; final untrusted = !pins.contains(key);",
        f"final isCompromised = ![{A}].contains(key);",
        f"const pins = [{A}]; final blocked = pins.every((pin) => pin != key);",
        f"const pins = [{A}]; final rejected = check(pins: pins);",
        f"const notRevokedPins = [{A}];",
        f"bool isBlocked(key) => !pins.contains(key); const pins = [{A}];",
        f"bool isBlocked(key) {{ const pins = [{A}]; return !pins.contains(key); }}",
        f"class BlockedUserPage {{ static const pins = [{A}]; }}",
    ],
)
def test_a_key_that_the_app_compares_is_no_refused_one(code: str) -> None:
    (found,) = read(code).pins
    assert found.acceptance.kind not in {"refuses", "unclear"}


HOST = "api.bank.example"
UNTRUSTED = "bool _isUntrustedCertificate(String key)"


@pytest.mark.parametrize(
    "code",
    [
        f"{UNTRUSTED} {{ const pins = [{A}, {B}]; return !pins.contains(key); }}",
        f"void rejectedCertificateCheck(k) {{ final allowed = {{'{HOST}': [{A}, {B}]}}; }}",
        f"class UntrustedCertificateInterceptor {{ static const allowed = [{A}, {B}]; }}",
        f"const pins = [{A}, {B}]; class RevokedPinsDialog {{ final shown = pins; }}",
    ],
)
def test_the_nearest_name_says_that_the_app_accepts_a_key(code: str) -> None:
    """Such code refuses the certificates of other servers."""
    draft = draft_policies(read(code), ["api.bank.example"])
    assert len(draft.hosts["api.bank.example"].pins) == 2
    assert (draft.dropped, draft.unclear) == ([], [])


@pytest.mark.parametrize(
    "code",
    [
        f"class RevokedPins {{ static const pins = [{B}]; }} const pins = [{A}, {B}];",
        f"{UNTRUSTED} {{ final x = [{B}]; return f(x); }} const pins = [{A}, {B}];",
        f"const blockedServers = [{B}], pins = [{A}, {B}];",
        f"const old = {B}; class RevokedPins {{ final x = [old]; }} const pins = [{A}];",
    ],
)
def test_a_key_that_the_app_may_refuse_is_a_question_and_not_imported(code: str) -> None:
    draft = draft_policies(read(f"\n{code}"), ["api.bank.example"])
    (host,) = draft.hosts.values()
    assert list(map(str, host.pins)) == [A.strip("'")]
    assert draft.dropped == []
    asked = draft.unclear[0]
    assert str(asked.place) == "lib/a.dart:2"
    assert "does the app accept sha256/" in asked.question
    assert "compromised" not in asked.question
    assert asked in draft.questions([])


def test_the_error_without_any_pin_asks_about_the_unclear_ones() -> None:
    draft = draft_policies(read(f"const blockedServers = [{A}, {B}];"), ["api.bank.example"])
    with pytest.raises(FormatError, match="'blockedServers' can mean both"):
        draft.pin_set("", "enforce")


def test_a_refused_certificate_is_not_imported_nor_a_pin_of_its_key() -> None:
    authority = Authority("Stolen CA")
    certificate = authority.certificate
    key = str(pins_of(certificate)[0])
    text = authority.pem.decode()
    found = read(f"const revokedCertificates = ['''{text}''']; const pins = [{A}, '{key}'];")
    draft = draft_policies(found, ["api.bank.example"])
    (host,) = draft.hosts.values()
    assert list(map(str, host.pins)) == [A.strip("'")]
    assert [each.what.count('state = "compromised"') for each in draft.dropped] == [1, 1]
