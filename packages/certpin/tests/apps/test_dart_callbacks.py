"""Callbacks of Dart for refused certificates: which ones are a mistake, and which are right."""

from __future__ import annotations

import pytest

from tests.apps._dart import HEX, NEEDS_PARSER, mistakes, questions, read, rules

pytestmark = NEEDS_PARSER

ANY, PIN, BAD = "accept-any-certificate", "pin-in-callback", "on-bad-certificate"
DEBUG, ALL = "debug-only-gate", "overrides-with-callback"
NONE = "pins-in-debug-only"


def callback(value: str, more: str = "") -> str:
    """Return code that sets badCertificateCallback to a value."""
    return f"void f(client) {{ client.badCertificateCallback = {value}; }}\n{more}"


@pytest.mark.parametrize(
    "code",
    [
        callback("(cert, host, port) => true"),
        callback("((X509Certificate cert, String host, int port) => true)"),
        callback("(cert, host, port) { log(host); return true; }"),
        callback("(cert, host, port) { try { return true; } finally { log(host); } }"),
        callback("(_, __, ___) => true"),
        callback("(a, b, c) => trustAll"),
        callback("(a, b, c) => trustAll", "bool trustAll = false;"),
        callback("(a, b, c) => trustAll", "const trustAll = true;"),
        callback("(a, strict, c) => strict", "const strict = false;"),
        callback("(a, b, c) => strict || b == 'x'", "const strict = false;"),
        callback("(a, b, c) => !strict", "const strict = false;"),
        callback("(a, b, c) => b == 'x' ? false : known", "final known = load();"),
        callback("(a, b, c) { var ok = false; if (b == 'x') { ok = true; } return ok; }"),
        callback("(a, b, c) { var ok = false; (ok, _) = (b == 'x', 1); return ok; }"),
        callback("(a, b, c) { var ok = false; [ok] = [true]; return ok; }"),
        callback("(a, b, c) { var ok = false; for (ok in [true]) {} return ok; }"),
        callback("(a, b, c) { final (ok, _) = (b == 'x', 1); return ok; }", "const ok = false;"),
        callback("(a, b, c) { for (final ok in [true]) return ok; }", "const ok = false;"),
        callback("(a, b, c) { bool ok; if (f()) { final ok = false; } return ok; }"),
        callback("(a, b, c) { for (final ok = false;;) {} return ok; }"),
        callback("(a, b, c) => ok", "class D { static const ok = false; }"),
        callback("(a, b, c) => ok", "void g() { final ok = false; }"),
        (
            "const ok = false; class D { final bool ok; D(this.ok);"
            " f(c) { c.badCertificateCallback = (a, b, d) => ok; } }"
        ),
        (
            "const ok = false; class D { bool get ok => true;"
            " f(c) { c.badCertificateCallback = (a, b, d) => ok; } }"
        ),
        callback("(a, b, c) => C.any", "class C { static bool any = false; }"),
        callback("(cert, host, port) => host == 'api.bank.example'"),
        callback("(cert, host, port) => host != 'localhost'"),
        callback("(cert, host, port) { if (host == 'a.example') return true; return false; }"),
        callback("(cert, host, port) { if (host == 'localhost') return false; return true; }"),
        callback("(cert, host, port) { final known = host == url.host; return known; }"),
        callback("(cert, host, port) => host == 'localhost' || trustAll"),
        callback("(cert, host, port) => (host == 'localhost' || trustAll) && port == 443"),
        callback("(cert, host, port) => host == 'localhost' || true"),
        callback("(cert, host, port) => host == 'localhost' ? false : true"),
        callback("(cert, host, port) => host == 'localhost' ? true : known"),
        callback("(cert, host, port) => switch (host) { 'localhost' => false, _ => true }"),
        callback("(cert, host, port) => switch (host) { != 'localhost' => true, _ => false }"),
        callback("(cert, host, port) => switch (host) { 'localhost' || _ => true }"),
        callback("(a, h, b) => switch (h) { 'localhost' || String() => true, _ => false }"),
        callback("(a, h, b) => switch (h) { _ when h == 'a.example' => true, _ => false }"),
        callback("(a, h, b) { if (h case 'localhost' || String()) return true; return false; }"),
        callback("(a, h, b) => (h == 'localhost') | true"),
        callback("(a, h, b) => (h == 'localhost') ^ true"),
        callback("(a, h, b) => (h == 'localhost') == false"),
        callback("(a, h, b) => ['localhost'].contains(h) == false"),
        callback("(a, h, b) => ['localhost', h].contains(h)"),
        callback("(a, h, b) => ['localhost'].contains('localhost')"),
        callback("(a, h, b) => {'localhost'}.add(h)"),
        callback("(a, h, b) => {'localhost': true}[h] ?? true"),
        callback("(a, h, b) => (h == 'localhost' ? false : null) ?? true"),
        callback("(a, h, b) => 'localhost' == 'localhost'"),
        callback("(a, h, b) => h == '${h.substring(9)}localhost'"),
        callback("(a, h, b) => h.startsWith('127.0.0.1')"),
        callback("(a, h, b) => h.contains('localhost')"),
        callback("(a, h, b) => h.compareTo('localhost') >= 0"),
        callback("(cert, host, port) { if (host == 'localhost' || all) return true; return no; }"),
        callback("(cert, host, port) { if (host == 'localhost') { } else { return true; } }"),
        callback("accept", "bool accept(cert, host, port) => true;"),
        callback("accept", "bool accept(X509Certificate c, String h, int p) { return true; }"),
        callback("accept", "final accept = (cert, host, port) => true;"),
        callback("(c, h, p) => _valid(c)", "bool _valid(X509Certificate cert) { return true; }"),
        "final c = HttpClient()..badCertificateCallback = (a, b, c) => true;",
        "class C extends A { C() { badCertificateCallback = (a, b, c) => true; } }",
        "final c = Client(badCertificateCallback: (a, b, c) => true);",
        (
            "(dio.httpClientAdapter as IOHttpClientAdapter).createHttpClient = () =>\n"
            "HttpClient()..badCertificateCallback = (cert, host, port) => true;"
        ),
    ],
)
def test_a_callback_that_accepts_is_a_mistake(code: str) -> None:
    assert rules(code) == [ANY]


TRUST_ALL = "class T { const T(); T.of(); bool call(X509Certificate c, String h, int p) => true; }"


@pytest.mark.parametrize(
    "value",
    [
        "switch (flavor) { 'prod' => null, _ => (cert, host, port) => true }",
        "switch (flavor) { 'prod' when x => refuse, final name => accept }",
        "switch (flavor) { 'prod' => null, _ => const T() }",
        "known ?? (cert, host, port) => true",
        "known ?? other ?? accept",
        "known ?? const T()",
        *("const T()", "T()", "new T()", "T.of()", "const T().call", "T().call"),
        *("U()", "const U()", "isProduction ? null : T()", "(T())", "object"),
    ],
)
def test_a_callback_in_a_branch_or_an_object_is_found(value: str) -> None:
    functions = "bool accept(a, b, c) => true; bool refuse(a, b, c) => false;"
    classes = f"{TRUST_ALL} class U extends V {{}} class V extends A with B, T {{}}"
    assert rules(callback(value, f"{functions} {classes} final object = T();")) == [ANY]


@pytest.mark.parametrize(
    "value",
    [
        "switch (flavor) { 'prod' => null, _ => (cert, host, port) => false }",
        "(cert, host, port) => switch (host) { 'a.example' => false, _ => throw Exception('no') }",
        "null ?? (cert, host, port) => false",
        *("S()", "const S()", "S().call"),
    ],
)
def test_branches_and_objects_that_refuse_are_right(value: str) -> None:
    code = callback(value, "class S extends T { const S(); bool call(c, h, p) => false; }")
    assert (mistakes(code), questions(code)) == ([], [])
    if "call" not in value:  # which is the method of any class of the file
        assert mistakes(f"{code} {TRUST_ALL}") == []


def test_a_method_of_another_class_is_not_that_of_the_object() -> None:
    """A function that returns a callback is no class."""
    for value in ("makeCallback()", "other.T()"):
        code = callback(value, TRUST_ALL)
        assert mistakes(code) == []
        assert len(questions(code)) == 1


@pytest.mark.parametrize(
    "code",
    [
        callback("(cert, host, port) => pins.contains(f(cert.der))"),
        callback("(cert, host, port) => cert.pem == expected"),
        callback("(cert, host, port) { if (matches(cert)) return true; return false; }"),
        callback("(cert, host, port) { final ok = pins.contains(h(cert)); return ok && x(cert); }"),
        callback("(c, h, p) => Pinning.validate(c, h)"),
        callback("(c, h, p) => _valid(c)", "bool _valid(X509Certificate c) => c.pem == known;"),
        callback("_valid", "bool _valid(X509Certificate c, String h, int p) => c.pem == known;"),
        callback("(cert, host, port) => fingerprint == known"),
        callback(f"(c, h, p) {{ final fp = hash(c.der); return fp == '{HEX}'; }}"),
        callback(f"(c, h, p) {{ final fp = hash(c.der); if (fp == '{HEX}') return true; }}"),
        callback(
            "valid",
            "bool valid(c, h, p) { final der = c.der; final fp = hash(der);"
            f" return fp == '{HEX}'; }}",
        ),
        callback(
            "(cert, host, port) { for (final p in pins) { if (p == h(cert)) return true; }"
            " return false; }"
        ),
    ],
)
def test_a_callback_that_compares_a_pin_is_a_mistake(code: str) -> None:
    assert rules(code) == [PIN]


@pytest.mark.parametrize(
    "code",
    [
        "final s = SecureSocket.connect(h, 443, onBadCertificate: (cert) => true);",
        "final s = SecureSocket.connect(h, 443, onBadCertificate: (cert) => pins.contains(cert));",
        "void f(client) { client.onBadCertificate = (dynamic cert) => true; }",
        "void f(client) { client.onBadCertificate = (Object cert) { return true; }; }",
        "final c = ChannelCredentials.secure(onBadCertificate: allowBadCertificates);",
        "final c = ChannelCredentials.secure(onBadCertificate: (cert, host) => true);",
    ],
)
def test_on_bad_certificate_that_accepts_is_a_mistake(code: str) -> None:
    assert rules(code) == [BAD]


@pytest.mark.parametrize(
    "code",
    [
        callback("null"),
        callback("(cert, host, port) => false"),
        callback("(cert, host, port) { log('$host'); return false; }"),
        callback("(cert, host, port) { if (x) return false; return false; }"),
        callback("(cert, host, port) { throw StateError('no'); }"),
        callback("(cert, host, port) => throw HandshakeException('no')"),
        callback("(cert, host, port) => host == 'x' ? false : throw HandshakeException('no')"),
        callback("refuse", "Never refuse(cert, host, port) => throw HandshakeException('no');"),
        callback("(c, h, p) => refuse(c)", "Never refuse(cert) => throw HandshakeException('no');"),
        callback("(cert, host, port) => strict", "const strict = false;"),
        callback("(cert, host, port) => false && host == 'x'"),
        callback("(cert, host, port) => strict || false", "const strict = false;"),
        callback("(cert, host, port) { var ok = false; return ok; }"),
        callback("(a, b, c) { final ok = false; log('$ok', ok, x: ok); return b == 'x' && ok; }"),
        callback("(a, b, c) => ok", "const ok = false; g(bool ok) => h(ok: !ok);"),
        callback("(a, b, c) => ok", "const ok = false; class D { static const ok = true; }"),
        (
            "class D { static const ok = false;"
            " f(c) { c.badCertificateCallback = (a, b, d) => ok; } }"
        ),
        callback("(cert, host, port) => host == 'localhost'"),
        callback("(cert, host, port) => host == 'localhost' || host == '10.0.2.2'"),
        callback("(cert, host, port) => host == 'localhost' ? true : false"),
        callback("(cert, host, port) { if (host == '::1') return port == 443; return false; }"),
        callback("(cert, host, port) => host == 'localhost' ? port == 443 : host == '::1'"),
        callback("(cert, host, port) => (host == 'localhost' || host == '::1') && port == 443"),
        callback("(cert, host, port) => ['localhost', '::1'].contains(host)"),
        callback("(_, host, _) => switch (host) { 'localhost' || '::1' => true, _ => false }"),
        callback("(cert, host, port) { if (host == '127.0.0.1') return true; return false; }"),
        callback("(a, h, b) => switch (h) { _ when h == 'localhost' => true, _ => false }"),
        callback("(a, h, b) { if (h case 'localhost' || '::1') return true; return false; }"),
        callback("(a, h, b) => 'localhost' == h.toLowerCase()"),
        callback(
            "new Refusing.all()",
            "class Refusing { Refusing.all(); bool call(a, b, c) => false; }"
            "class all { bool call(a, b, c) => true; }",
        ),
        callback("(a, h, b) => const <String>{'localhost', '::1'}.contains(h)"),
        callback("(a, h, b) => (h == 'localhost' ? true : null) ?? false"),
        callback("kDebugMode && allowed ? (cert, host, port) => true : null"),
        callback("(cert, host, port) => kDebugMode && allowed"),
        callback("(cert, host, port) { final x = [1].any((e) { return true; }); return false; }"),
        "void f(c) { if (kDebugMode && allowed) c.badCertificateCallback = (a, b, c) => true; }",
        "void f(c) { print(c.badCertificateCallback); }",
        "class C { set badCertificateCallback(value) => throw UnsupportedError('no'); }",
        "class C { var badCertificateCallback; bool onBadCertificate(cert) => true; }",
        "class C { C({this.onBadCertificate}); }",
        "final s = SecureSocket.connect(h, 443, onBadCertificate: (cert) => false);",
        "final s = SecureSocket.connect(h, 443, onBadCertificate: (c) => throw Exception('no'));",
        "// client.badCertificateCallback = (cert, host, port) => true;",
        "const help = 'client.badCertificateCallback = (cert, host, port) => true;';",
        (
            "class O extends HttpOverrides { createHttpClient(context) =>"
            " super.createHttpClient(context)..badCertificateCallback = (a, b, c) => false; }"
        ),
    ],
)
def test_a_callback_that_refuses_is_right(code: str) -> None:
    assert mistakes(code) == []


@pytest.mark.parametrize(
    "code",
    [
        "set badCertificateCallback(f) { _client.badCertificateCallback = f; }",
        "class C { set badCertificateCallback(BadCallback? f) => _c.badCertificateCallback = f; }",
        "void f(other, onBadCertificate) { other.onBadCertificate = onBadCertificate; }",
        "void f() { other.onBadCertificate = onBadCertificate as bool Function(Object)?; }",
        (
            "f(x) => SecureSocket.secure(x, onBadCertificate: _check);\n"
            "bool _check(X509Certificate cert) { final check = options.onBadCertificate;\n"
            "if (check == null) return false; return check(cert, host); }"
        ),
    ],
)
def test_a_library_that_passes_a_callback_on_is_right(code: str) -> None:
    assert mistakes(code) == []
    assert questions(code) == []


@pytest.mark.parametrize("value", ["Certificates.accept", "makeCallback(pins)", "unknown"])
def test_a_callback_of_another_file_is_a_question(value: str) -> None:
    assert mistakes(callback(value)) == []
    expected = "badCertificateCallback is a function of another file: can it return true?"
    assert questions(callback(value)) == [expected]


@pytest.mark.parametrize(
    "code",
    [
        "void f(c) { if (kDebugMode) c.badCertificateCallback = (a, b, c) => true; }",
        "void f(c) { if (!kReleaseMode) { c.badCertificateCallback = (a, b, c) => true; } }",
        "void f(c) { if (kReleaseMode) return; c.badCertificateCallback = (a, b, c) => true; }",
        (
            "void f(c) { if (kReleaseMode) { x(); } else { c.badCertificateCallback = accept; } }"
            "\nbool accept(cert, host, port) => true;"
        ),
        "void f(c) { assert(() { c.badCertificateCallback = (a, b, d) => true; return 1; }()); }",
        (
            "const isDev = kDebugMode;\n"
            "void f(c) { if (isDev) c.badCertificateCallback = (a, b, c) => true; }"
        ),
        (
            "const isDev = !bool.fromEnvironment('dart.vm.product');\n"
            "void f(c) { if (isDev) c.badCertificateCallback = (a, b, c) => true; }"
        ),
        callback("(cert, host, port) => kDebugMode"),
        callback("(cert, host, port) { if (kDebugMode) return true; return false; }"),
        callback("(cert, host, port) { return !kReleaseMode; }"),
        callback("(cert, host, port) => host == 'localhost' || kDebugMode"),
        callback("(cert, host, port) => kDebugMode ? true : false"),
        callback("kDebugMode ? (cert, host, port) => true : null"),
        callback("kReleaseMode ? null : (cert, host, port) => true"),
        (
            "class O extends HttpOverrides { createHttpClient(context) =>"
            " super.createHttpClient(context)..badCertificateCallback = (a, b, c) => true; }\n"
            "void main() { if (kDebugMode) HttpOverrides.global = O(); }"
        ),
    ],
)
def test_debug_mode_as_the_only_gate_is_a_mistake(code: str) -> None:
    assert rules(code) == [DEBUG]


@pytest.mark.parametrize(
    "code",
    [
        (
            "class O extends HttpOverrides {\ncreateHttpClient(context) =>"
            " super.createHttpClient(context)\n..badCertificateCallback = (a, b, c) => true; }"
        ),
        (
            "class O extends HttpOverrides {\ncreateHttpClient(context) { final c = HttpClient();\n"
            "c.badCertificateCallback = (a, b, c) => pins.contains(a); return c; } }"
        ),
        (
            "void main() { HttpOverrides.runZoned(run, createHttpClient: (c) => HttpClient()\n\n"
            "..badCertificateCallback = (a, b, c) => true); }"
        ),
        (
            "class O extends HttpOverrides {\n\ncreateHttpClient(context) =>"
            " super.createHttpClient(context)..badCertificateCallback = (a, b, c) => true; }\n"
            "void main() { if (kDebugMode) HttpOverrides.global = O(); runZoned(O()); }"
        ),
    ],
)
def test_a_callback_in_overrides_is_one_mistake(code: str) -> None:
    assert mistakes(code) == [(ALL, 3)]


@pytest.mark.parametrize(
    "condition",
    [
        "bool.fromEnvironment('dart.vm.product') == false",
        "false == kReleaseMode",
        "kReleaseMode != true",
        "kDebugMode == true",
    ],
)
def test_a_flag_that_is_compared_is_a_gate(condition: str) -> None:
    assert rules(f"f(c) {{ c.badCertificateCallback = (a, b, d) => {condition}; }}") == [DEBUG]


def test_a_variable_that_other_code_sets_too_is_no_gate() -> None:
    check = "f(c) { c.badCertificateCallback = (a, b, d) => ok; }"
    is_set = "var ok = false; void g() { assert(() { ok = true; return true; }()); }"
    assert rules(f"{is_set} {check}") == [DEBUG]
    assert rules(f"{is_set} void h() {{ ok = isOpen; }} {check}") == [ANY]
    assert rules(f"{is_set} void h() {{ var ok = isOpen; }} {check}") == [ANY]


def test_a_callback_of_all_clients_in_debug_builds_is_an_error() -> None:
    code = (
        "class O extends HttpOverrides { createHttpClient(context) =>"
        " super.createHttpClient(context)..badCertificateCallback = (a, b, c) => !kReleaseMode; }"
    )
    found = read(code).mistakes
    assert [each.rule for each in found] == [ALL]
    assert "in debug and profile builds" in found[0].message


COMPARES = f"(cert, host, port) => sha256.convert(cert.der).toString() == '{HEX}'"
COMPARES_IN_DEBUG = f"void f(c) {{ if (kDebugMode) c.badCertificateCallback = {COMPARES}; }}"


@pytest.mark.parametrize(
    "code",
    [
        COMPARES_IN_DEBUG,
        (
            "class O extends HttpOverrides { @override HttpClient createHttpClient(s) =>"
            f" super.createHttpClient(s)..badCertificateCallback = {COMPARES}; }}\n"
            "void main() { if (kDebugMode) { HttpOverrides.global = O(); } }"
        ),
    ],
)
def test_a_pin_that_only_debug_builds_compare_is_an_error(code: str) -> None:
    [finding] = read(code).mistakes
    assert finding.rule == NONE
    assert finding.message == "badCertificateCallback compares the pin in debug builds only"
    release = "void g() { client = PinnedHttpClient(pins); }\n"
    assert rules(release + code) == [DEBUG], "release builds have another check"


@pytest.mark.parametrize(
    "release",
    [
        "final client = PinnedHttpClient(pins);",
        "class C { final client = PinnedHttpClient(pins); }",
        "void g() { final c = PinnedHttpClient(pins); c.get(url); }",
        "void g() { final body = PinnedHttpClient(pins).get(url); }",
        "void g() { PinnedHttpClient(pins)..get(url); }",
        "void g() { final c = load(PinnedHttpClient(pins)); }",
        "void g() { client = new pinning.PinnedHttpClient(pins); }",
        "void g() { client = pinning.PinnedHttpClient(pins); }",
        "void g() { PinnedHttpOverrides.runInIsolate(pins, load); }",
        "void g() { pinning.PinnedHttpOverrides.runInIsolate(pins, load); }",
        "void g() { HttpOverrides.global = PinnedHttpOverrides(pins); }",
        "void g() { pinnedDio(dio); }",
        "final a = IOHttpClientAdapter(createHttpClient: pinnedClient);",
        "void g() { runWithClient(main, pinnedClient); }",
    ],
)
def test_release_builds_compare_the_pins_of_a_client_that_is_used(release: str) -> None:
    assert rules(f"{release}\n{COMPARES_IN_DEBUG}") == [DEBUG]


@pytest.mark.parametrize(
    "release",
    [
        "// client = PinnedHttpClient(pins);",
        "import 'package:certpin/certpin.dart' show PinnedHttpClient;",
        "PinnedHttpClient? client;",
        "void g(PinnedHttpClient client) { client.get(url); }",
        "class C extends PinnedHttpClient { C(super.pins); }",
        "class PinnedHttpClient { PinnedHttpClient(this.pins); }",
        "HttpClient pinnedClient(pins) => HttpClient();",
        "bool g(client) => client is PinnedHttpClient;",
        "void g() { log(PinnedHttpClient); }",
        "final c = Api(pinnedClient: HttpClient());",
        "void g() { PinnedHttpClient(pins); }",
        "void g() { new PinnedHttpClient(pins); }",
        "void g() { pinning.PinnedHttpClient(pins); }",
        "void g() { final c = PinnedHttpClient(pins); }",
        "void g() { final c = new PinnedHttpClient(pins); }",
        "void g() { final PinnedHttpClient c = pinning.PinnedHttpClient(pins); }",
        "void g() { final c = PinnedHttpClient(pins); }\nvoid h(c) { c.get(url); }",
        "void h(c) { c.get(url); }\nvoid g() { final c = PinnedHttpClient(pins); }",
    ],
)
def test_a_client_that_is_not_used_compares_no_pins_in_release_builds(release: str) -> None:
    assert rules(f"{release}\n{COMPARES_IN_DEBUG}") == [NONE]


def test_a_client_of_debug_builds_compares_no_pins_in_release_builds() -> None:
    code = f"{COMPARES_IN_DEBUG}\n"
    assert rules(code + "g() { if (!kDebugMode) c = PinnedHttpClient(p); }") == [DEBUG] * 2
    assert rules(code + "g() { if (kDebugMode) c = PinnedHttpClient(p); }") == [NONE] * 2
    assert rules(code + "g() { if (kDebugMode && isOn) c = PinnedHttpClient(p); }") == [NONE]
