"""What is written is Dart, whatever stands in the pin set; and it uses no way around the pins."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings

from certpin.errors import ConfigError
from certpin.formats import FORMATS, SignedSource
from certpin.formats.flutter import FLUTTER, LIBRARY, SIGNED
from certpin.pins import PinSet
from tests.formats._sets import anchors, pin_sets
from tests.formats.flutter import _syntax
from tests.kit import NOBODY, NOBODY_ELSE, pin_set, policy

ROOT = Path(__file__).parents[3]
WRITTEN = (*LIBRARY, *SIGNED)
SOURCES = {
    file.path: file.text
    for file in FLUTTER.export(
        pin_set(policy("api.bank.example", NOBODY, NOBODY_ELSE, match="leaf"), debug=anchors()[0]),
        signed=SignedSource("https://pins.bank.example/", b"{}" * 100),
    ).files
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_file_of_the_export_parses(name: str) -> None:
    assert _syntax.errors(SOURCES[name]) == []


@pytest.mark.parametrize(
    "source",
    ["const a = ;", "void f() {", "final x = 'a;\n", "class A { int }", "int f( { return 1; }"],
)
def test_what_is_no_dart_does_not_parse(source: str) -> None:
    assert _syntax.errors(source)


@pytest.mark.slow
@settings(
    max_examples=30, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
@given(pins=pin_sets())
def test_pins_under_any_name_parse(pins: PinSet) -> None:
    try:
        export = FORMATS["flutter-pins"].export(pins)
    except ConfigError:
        assume(False)
        raise
    assert _syntax.errors(export.files[0].text) == []


@pytest.mark.parametrize(
    "name", ['*/ --> " \\ %>', "');void main(){}//", "$x ${y}", "'''", "\n\nvoid f() {}", "\u2028x"]
)
def test_a_hostile_name_stays_in_a_comment_and_in_one_string(name: str) -> None:
    source = FLUTTER.export(PinSet(name, 7, (policy("a.example", match="leaf"),))).files[0].text
    assert _syntax.errors(source) == []
    ours = FLUTTER.export(PinSet("plain", 7, (policy("a.example", match="leaf"),))).files[0].text
    assert len(_syntax.strings(source)) == len(_syntax.strings(ours))
    assert _syntax.identifiers(source) == _syntax.identifiers(ours)


def test_every_file_of_the_library_is_exported_and_says_where_it_is_from() -> None:
    folder = ROOT / "src/certpin/formats/flutter/dart"
    assert sorted(WRITTEN) == sorted(path.name for path in folder.iterdir())
    for name in WRITTEN:
        assert SOURCES[name].startswith("// Written by: certpin export flutter."), name
        assert max(map(len, SOURCES[name].splitlines())) <= 80, name


def test_every_import_of_the_library_is_of_dart_of_a_file_beside_it_or_of_a_named_package() -> None:
    allowed = {"package:crypto/crypto.dart"}
    adapters = {
        "pinned_dio.dart": {"package:dio/dio.dart", "package:dio/io.dart"},
        "pinned_http.dart": {"package:http/http.dart", "package:http/io_client.dart"},
        "signed_verifier.dart": {
            *("package:pointycastle/api.dart", "package:pointycastle/ecc/api.dart"),
            *(f"package:pointycastle/digests/sha{bits}.dart" for bits in (256, 384)),
            *(f"package:pointycastle/ecc/curves/secp{bits}r1.dart" for bits in (256, 384)),
            "package:pointycastle/signers/ecdsa_signer.dart",
        },
    }
    for name, source in SOURCES.items():
        lines = [line for line in source.splitlines() if line.startswith(("import ", "export "))]
        named = {line.split("'")[1] for line in lines}
        others = {each for each in named if not each.startswith("dart:") and each not in SOURCES}
        assert others <= allowed | adapters.get(name, set()), name


@pytest.mark.parametrize("name", WRITTEN)
def test_no_callback_of_the_library_accepts_what_the_platform_refused(name: str) -> None:
    """Comments and the setters that refuse are all that may name them."""
    code = [line for line in SOURCES[name].splitlines() if "//" not in line]
    weak = ("onBadCertificate", "..badCertificateCallback", "validateCertificate", "allowLegacy")
    assert not [line for line in code if any(word in line for word in weak)]


def test_the_anchors_of_the_override_stand_behind_a_constant() -> None:
    """What a constant does not choose is not compiled in: no release holds the proxy's anchor."""
    assert "debugAnchors: debugOverride ? '''" in SOURCES["pins.dart"]
    switch = SOURCES["debug.dart"].partition("const bool debugOverride =")[2]
    assert [part.strip(" ;\n") for part in switch.split("&&")] == [
        "!bool.fromEnvironment('dart.vm.product')",
        "!bool.fromEnvironment('dart.vm.profile')",
        "bool.fromEnvironment('CERTPIN_DEBUG')",
    ]
    assert SOURCES["connector.dart"].count("_context(anchors)") == 1
    assert "!debugOverride || anchors == null" in SOURCES["connector.dart"]


@pytest.mark.parametrize(
    ("name", "guard"),
    [
        (
            "connector.dart",
            "connector.admit(uri, proxy);\n      try {\n        return await _pinned(",
        ),
        ("connector.dart", "if (problem.isNotEmpty) {\n      throw UnpinnedRequestException("),
        ("connector.dart", "socket.peerCertificate);\n    } on Object {\n      socket.destroy();"),
        ("connector.dart", "if (_cancelled) {\n      socket.destroy();\n      throw"),
        ("connector.dart", "SecurityContext(withTrustedRoots: anchors == null)"),
        ("connector.dart", "attempt.socket()..ignore()"),
        ("check.dart", "if (decision == Decision.refuse) {\n      throw failure.exception;"),
        ("check.dart", "if (shown == null) {\n      throw"),
        ("pinned_http_client.dart", "..connectionFactory = PinnedConnector(check).call"),
        ("pinned_http_client.dart", "..findProxy = _direct"),
        ("pinned_http_client.dart", "return PinnedHttpClient(pins, reports: false);"),
        ("pinned_http_client.dart", "    HttpClient.new,\n    _NoOverrides(),"),
        ("report.dart", "} on Object {"),
        ("report.dart", "if (!admits("),
        ("report.dart", "final report = failure.reportOf(app);"),
        ("connector.dart", "if (policy.trust != null || '$error'.contains(_refusedChain)) {"),
        ("report.dart", "..followRedirects = false"),
        ("signed_fetch.dart", "PinnedHttpClient(each, app: app, now: now)..autoUncompress = false"),
        ("signed_fetch.dart", "..followRedirects = false"),
        ("signed_fetch.dart", "if (held.length + piece.length > wanted.limit) {\n        throw"),
        ("signed_fetch.dart", ".timeout(_deadline - _passed.elapsed)"),
        ("signed_fetch.dart", "if (wanted.mayMiss && (status == 404 || status == 403)) {"),
        ("signed_verifier.dart", "return signer.verifySignature(message, ECSignature("),
        ("signed_verifier.dart", "} on Object {\n    return false;"),
        ("pin_updates.dart", "take(refresh, bytes, now(), verifiesEcdsa);"),
        ("pin_updates.dart", "restore(trust, text, verifiesEcdsa);\n      _trust = trust;"),
        ("pin_updates.dart", "_running ??= _refresh()"),
        ("signed_storage.dart", "flush: true);\n    await beside.rename(file.path);"),
    ],
)
def test_nobody_took_out_a_guard_that_only_dart_could_try(name: str, guard: str) -> None:
    """No proof that it works: the tests of the example try that, where there is Dart."""
    assert SOURCES[name].count(guard) == 1


def test_the_client_has_every_member_of_http_client() -> None:
    """Of the documentation of dart:io; a member that is missing does not compile."""
    source = SOURCES["pinned_http_client.dart"]
    verbs = ("open", "get", "post", "put", "delete", "patch", "head")
    setters = ("authenticate", "authenticateProxy", "badCertificateCallback", "connectionFactory")
    both = ("autoUncompress", "connectionTimeout", "idleTimeout", "maxConnectionsPerHost")
    for verb in verbs:
        assert f"Future<HttpClientRequest> {verb}(" in source
        assert f"Future<HttpClientRequest> {verb}Url(" in source
    for name in (*setters, *both, "userAgent", "findProxy", "keyLog"):
        assert source.count(f"  set {name}(") == 1, name
    for name in (*both, "userAgent"):
        assert f" get {name} => _inner.{name};" in source
    for name in ("addCredentials", "addProxyCredentials", "close"):
        assert source.count(f"  void {name}(") == 1, name


def test_a_pin_set_without_a_debug_section_has_no_word_of_it() -> None:
    source = FLUTTER.export(pin_set(policy("a.example", match="leaf"))).files[0].text
    assert "debug" not in source


NAMES = (Path(__file__).parent / "platform_names.txt").read_text("ascii")
# Of dart: and of the packages; then what the library offers and does not use, and parameters.
PLATFORM, OFFERED = (set(part.split()) for part in NAMES.split("--"))


def test_a_name_that_stands_once_is_the_platforms_or_for_the_app() -> None:
    """There is no compiler here: a slip of the pen is a name that nothing else has."""
    counted = Counter(word for name in WRITTEN for word in _words(SOURCES[name]))
    used = set().union(*(_syntax.identifiers(SOURCES[name]) for name in WRITTEN))
    once = {name for name in used if counted[name] == 1}
    assert once - PLATFORM - OFFERED == set()
    assert (PLATFORM | OFFERED) - once == set(), "take them out of platform_names.txt"


# What stands at the beginning of a line: a type and a name, or one of the words for types.
_DEFINED = re.compile(
    r"^(?:(?:abstract |final |sealed |interface )*(?:class|enum|typedef|extension) (\w+)"
    r"|(?:const )?[\w(][\w<>?, ()]* (\w+)(?:\(| =))",
    re.MULTILINE,
)
PUBLIC = {
    name: {
        word for pair in _DEFINED.findall(SOURCES[name]) for word in pair if word and word[0] != "_"
    }
    for name in WRITTEN
}

# A getter and a parameter of their own, under names that the library has too.
_LOCAL = {"pinned_dio.dart": {"connectionFailure"}, "signed_fetch.dart": {"wanted"}}


@pytest.mark.parametrize("name", WRITTEN)
def test_every_file_imports_what_it_uses_of_the_library_and_nothing_else(name: str) -> None:
    """A name that nobody imported does not compile, and an import for nothing is a warning."""
    imported = set(re.findall(r"^import '(\w+\.dart)'", SOURCES[name], re.MULTILINE))
    used = set(_words(SOURCES[name])) - PUBLIC[name]
    assert {other for other in imported if not PUBLIC[other] & used} == set()
    if name != "pinning.dart":  # the face exports, and uses nothing
        named = {word for words in PUBLIC.values() for word in words}
        there = {word for other in imported for word in PUBLIC[other]}
        assert used & (named - there) <= _LOCAL.get(name, set())


def _words(source: str) -> list[str]:
    return re.findall(r"[A-Za-z_]\w*", re.sub(r"//[^\n]*", "", source))
