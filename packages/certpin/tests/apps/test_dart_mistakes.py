"""Mistakes of Dart code other than callbacks: what counts as one, and what doesn't."""

from __future__ import annotations

import pytest

from tests.apps._dart import COLONS, HEX, KEY, NEEDS_PARSER, SHA1, mistakes, read, rules

pytestmark = NEEDS_PARSER

INTERCEPTOR = "dio.interceptors.add(CertificatePinningInterceptor(allowedSHAFingerprints: pins))"
OTHER = "check-on-other-connection"
LATE_HASH = "sha256.convert(r.certificate!.der).toString()"
PEER_HASH = "sha256.convert(s.peerCertificate!.der)"
EXAMPLES = {
    "debug-only-gate": [
        "bool check(X509Certificate cert) { if (kDebugMode) return true; return m(cert); }",
        "bool check(cert) { if (kDebugMode) { log('x'); return true; } return m(cert); }",
        "bool isPinned(x) { if (!kReleaseMode) return true; return m(x); }",
        "bool check(X509Certificate cert) => kDebugMode || m(cert);",
        "bool get isDev => kDebugMode; bool ok(X509Certificate c) { if (isDev) return true; }",
        "void f() { if (!kDebugMode) { client = PinnedHttpClient(pins); } }",
        "void f() { if (kDebugMode) return; client = PinnedHttpClient(pins); }",
        "final c = kReleaseMode ? PinnedHttpClient(pins) : HttpClient();",
        (
            "bool check(X509Certificate cert) { var ok = false;"
            " assert(() { ok = true; return true; }()); return ok || pins.contains(h(cert)); }"
        ),
    ],
    "pins-in-debug-only": [
        "void f() { assert(pins.contains(fingerprint)); }",
        "void f() { assert(fingerprint == expected); }",
        "void f() { assert(checkPin(cert)); }",
        "void f() { assert(_isPinned(cert), 'wrong key'); }",
        f"void f(cert) {{ assert(sha256.convert(cert.der).toString() == '{HEX}'); }}",
        "void f() { if (kDebugMode) { client = PinnedHttpClient(pins); } }",
        "final c = kDebugMode ? PinnedHttpClient(pins) : HttpClient();",
        "final pins = kDebugMode ? ['a'] : [];",
        "final pins = kReleaseMode ? const <String>[] : ['a'];",
        "final c = Client(fingerprints: kDebugMode ? list : null);",
    ],
    "no-such-getter": [
        "bool f(X509Certificate cert) => cert.sha256 == x;",
        "bool f(X509Certificate? cert) => cert!.sha256 == x;",
        "bool f(X509Certificate? cert) => cert?.fingerprint == x;",
        "void f(c) { c.badCertificateCallback = (cert, h, p) { log(cert.sha256); }; }",
        "void f(SecureSocket s) { log(s.peerCertificate?.sha256); }",
        "void f(SecureSocket s) { final cert = s.peerCertificate; log(cert!.publicKey); }",
        "void f() { X509Certificate cert = g(); log(cert.spki); }",
    ],
    "no-anchors": [
        "final c = HttpClient(context: SecurityContext(withTrustedRoots: false));",
        "final c = HttpClient(context: SecurityContext());",
        "final c = new HttpClient(context: new SecurityContext(withTrustedRoots: false));",
        "final s = SecureSocket.connect(h, 1, context: SecurityContext(withTrustedRoots: false));",
        "f() { final x = SecurityContext(withTrustedRoots: false); g(HttpClient(context: x)); }",
    ],
    "check-after-response": [
        "final a = IOHttpClientAdapter(validateCertificate: (c, h, p) => pins.contains(h(c)));",
        "final a = IOHttpClientAdapter()..validateCertificate = (c, h, p) { return m(c); };",
        "void f(a) { a.validateCertificate = check; }",
        "class I extends Interceptor { onResponse(r, h) { if (bad(r.certificate)) throw E(); } }",
        "final i = InterceptorsWrapper(onResponse: (r, h) { check(r.certificate); });",
        "void f(q) async { final r = await q.close(); if (!pins.contains(h(r.certificate))) e(); }",
        "void f(q) async { final r = await q.close(); if (r.certificate!.pem != pem) throw E(); }",
        f"void f(q) async {{ final r = await q.close(); if ({LATE_HASH} != '{KEY}') throw E(); }}",
        f"void f(q) async {{ final r = await q.close(); if ('{HEX}' == {LATE_HASH}) g(); }}",
        f"void f(q) async {{ final r = await q.close(); if ({LATE_HASH} != '{COLONS}') g(); }}",
        f"void f(q) async {{ final r = await q.close(); if ({LATE_HASH} != '{SHA1}') throw E(); }}",
        f"void f(q) async {{ final r = await q.close(); if ({LATE_HASH} != 'sha256/{KEY}') g(); }}",
        (
            "void f(q) async { final r = await q.close();"
            " if (r.certificate!.pem != '-----BEGIN CERTIFICATE-----\\nMIIB') throw E(); }"
        ),
        (
            f"const known = '{HEX}'; void f(q) async {{ final r = await q.close();"
            f" if ({LATE_HASH} != known) throw E(); }}"
        ),
        (
            "void f(q) async { final r = await q.close(); final der = r.certificate!.der;"
            f" final hash = sha256.convert(der).toString(); if (hash != '{HEX}') throw E(); }}"
        ),
        (
            f"void f(q) async {{ final r = await q.close(); final hash = {LATE_HASH};"
            f" if (!['{HEX}'].contains(hash)) throw E(); }}"
        ),
        (
            f"void f(q) async {{ final r = await q.close(); final hash = {LATE_HASH};"
            " if (!allowed.contains(hash)) throw E(); }"
        ),
        (
            "class I extends Interceptor { onResponse(r, h) { final cert = r.extra['cert'];"
            f" if (sha256.convert(cert.der).toString() != '{HEX}') throw E(); h.next(r); }} }}"
        ),
        (
            "final i = InterceptorsWrapper(onResponse: (r, h) {"
            " if (!pins.contains(fingerprint(r))) throw E(); });"
        ),
    ],
    OTHER: [
        f"void f() {{ {INTERCEPTOR}; }}",
        "void f() async { await HttpCertificatePinning.check(serverURL: url); }",
        "void f() async { await SslPinningPlugin.check(serverURL: url); }",
        "final c = SecureHttpClient.build(pins);",
        (
            "import 'package:http_certificate_pinning/http_certificate_pinning.dart';"
            "final i = CertificatePinningInterceptor(pins);"
        ),
        (
            "Future<void> f() async { final s = await SecureSocket.connect(h, 443);\n"
            "final cert = s.peerCertificate; s.destroy(); if (!pins.contains(x(cert))) throw E(); }"
        ),
        (
            "Future<void> f() async { final s = await SecureSocket.connect(h, 443);\n"
            f"if (base64.encode({PEER_HASH}.bytes) != '{KEY}') throw E(); s.destroy(); }}"
        ),
        (
            "Future<void> f() async { final s = await SecureSocket.connect(h, 443);\n"
            f"final hash = {PEER_HASH}.toString(); s.destroy(); if (![pin].contains(hash)) g(); }}"
        ),
    ],
    "pins-from-build-option": [
        "const p = String.fromEnvironment('CERT_FINGERPRINT');",
        "const p = const String.fromEnvironment('API_PIN', defaultValue: '');",
        "class C { static const spkiPin = String.fromEnvironment('X'); }",
    ],
    "error-by-text": [
        "f(e) => e.message.contains('certificate');",
        "f(e) => e.message?.contains('CERTIFICATE_VERIFY_FAILED') == true;",
        "f(e) => e.toString().contains('HandshakeException');",
        "f(DioException x) => x.message?.contains('certificate');",
        "f() { try { g(); } catch (x) { if (x.toString().contains('TLS')) h(); } }",
        "f(e) => '$e'.isEmpty || e.error.toString().contains('pin mismatch');",
    ],
    "plain-http": [
        "const url = 'http://api.bank.example';",
        "const url = 'HTTP://api.bank.example/v1?x=1';",
        "final s = WebSocket.connect('ws://push.bank.example');",
        "final url = Uri(scheme: 'http', host: 'api.bank.example');",
        "final url = 'http://${x}.bank.example/';",
        "const url = 'http://8.8.8.8:8080';",
        "final url = Uri.http('api.bank.example', '/v1');",
        "const url = 'http://' 'api.bank.example';",
        "final url = 'http://api.bank.example/$path';",
    ],
}
RIGHT = [
    "bool check(X509Certificate cert) { if (kDebugMode) log(cert); return m(cert); }",
    "bool check(X509Certificate cert) { if (kDebugMode && allowed) return true; return m(cert); }",
    "bool check(X509Certificate cert) { if (!kDebugMode) return m(cert); return false; }",
    "bool isVisible(x) { if (kDebugMode) return true; return x; }",
    "void f() { assert(pins.isNotEmpty); assert(pins.length == 2); assert(pin != null); }",
    "void f() { assert(!pin.contains('PLACEHOLDER')); assert(digest.length == 32); }",
    f"void f(file) {{ assert(sha256.convert(file.bytes).toString() == '{HEX}'); }}",
    "class P { const P(int format) : assert(format == pinsFormat, 'another format'); }",
    "final c = kDebugMode ? PinnedHttpClient(devPins) : PinnedHttpClient(pins);",
    "final pins = kDebugMode ? devPins : productionPins;",
    "final interceptors = kDebugMode ? [Logger()] : [];",
    "void f() { if (kDebugMode) context.setTrustedCertificatesBytes(charles); }",
    "bool f(X509Certificate cert) => h(cert.der) == x && cert.subject == y;",
    "bool f(Signer cert) => cert.sha256 == x;",
    (
        "extension E on X509Certificate { String get sha256 => h(der); }\n"
        "bool f(X509Certificate cert) => cert.sha256 == x;"
    ),
    "import 'x509_extensions.dart'; bool f(X509Certificate cert) => cert.sha256 == x;",
    "final c = HttpClient(context: SecurityContext(withTrustedRoots: true));",
    "final c = HttpClient(context: SecurityContext.defaultContext);",
    "final x = SecurityContext(withTrustedRoots: false)..setTrustedCertificates('ca.pem');",
    "final c = HttpClient(context: SecurityContext()..setTrustedCertificatesBytes(pem));",
    (
        "HttpClient f() { final x = SecurityContext(); x.setTrustedCertificatesBytes(pem);"
        " return HttpClient(context: x); }"
    ),
    "SecurityContext f() => SecurityContext(withTrustedRoots: false);",
    "void f() { final x = SecurityContext(); addAnchors(x); g(HttpClient(context: x)); }",
    "void f() { HttpServer.bindSecure(h, 443, SecurityContext()..useCertificateChain('c.pem')); }",
    "final a = IOHttpClientAdapter(validateCertificate: null);",
    "final a = IOHttpClientAdapter(validateCertificate: (c, h, p) => true);",
    "class I extends Interceptor { onResponse(r, h) { h.next(r); } }",
    "void f(q) async { final r = await q.close(); log(r.certificate?.subject); }",
    "class I extends Interceptor { onResponse(r, h) { if (r.data.pin == entered) h.next(r); } }",
    f"final i = Wrapper(onResponse: (r, h) {{ if (sha256.convert(r.data) != '{HEX}') g(); }});",
    (
        "void f(q) async { final r = await q.close(); log(r.certificate?.subject);"
        f" final data = await r.toList(); if (sha256.convert(data).toString() != '{HEX}') g(); }}"
    ),
    (
        "void g(cert) { final hash = sha256.convert(cert.der); log(hash); }\n"
        "void f(q) async { final r = await q.close(); log(r.certificate?.subject);"
        f" final hash = sha256.convert(q.data); if (hash.toString() != '{HEX}') throw E(); }}"
    ),
    "class CertificatePinningInterceptor {}\nfinal i = CertificatePinningInterceptor();",
    "import 'my_interceptor.dart'; final i = CertificatePinningInterceptor(pins);",
    "final c = SecureHttpClient();",
    (
        "Future<void> f() async { final s = await SecureSocket.connect(h, 443);\n"
        "if (!pins.contains(x(s.peerCertificate))) { s.destroy(); throw E(); } s.write(request); }"
    ),
    (
        "Future<Socket> f() async { final s = await SecureSocket.connect(h, 443);\n"
        "if (!pins.contains(x(s.peerCertificate))) { s.destroy(); throw E(); } return s; }"
    ),
    (
        "Future<void> show() async { final s = await SecureSocket.connect(h, 443);\n"
        "log(s.peerCertificate?.subject); s.destroy(); }"
    ),
    "const flavour = String.fromEnvironment('FLAVOUR');",
    "const on = String.fromEnvironment('SSL_PINNING_ENABLED');",
    "const host = String.fromEnvironment('TLS_PIN_HOST');",
    "f(e) => e.message.contains('not found');",
    "f(list) => list.contains('certificate');",
    "bool noCert(String message) => message.contains('certificate');",
    "bool f(Chat chat) => chat.message.contains('certificate');",
    "void f(q) async { final r = await q.close(); if (r.certificate == null) log(r); }",
    "final pattern = RegExp(r'http://\\S+');",
    "const urls = ['http://crl.bank.example/root.crl', 'http://ca.example/a.crt'];",
    "const urls = ['http://192.168.1.5:80', 'http://10.1.2.3', 'ws://172.16.0.9/x'];",
    "final url = Uri(scheme: 'https', host: 'api.bank.example');",
    "final url = 'http://$host/x';",
    "final isKey = text.contains('-----BEGIN PRIVATE KEY-----');",
    "f(e) => e is HandshakeException;",
    "const url = 'https://api.bank.example';",
    (
        "const urls = ['http://localhost:8080', 'http://127.0.0.1', 'http://10.0.2.2:3000',"
        " 'http://[::1]/'];"
    ),
    (
        "const namespaces = ['http://www.w3.org/2000/svg', 'http://schemas.android.com/apk/res/android',"
        " 'http://www.apple.com/DTDs/PropertyList-1.0.dtd', 'http://bank.example/schemas/a.xsd'];"
    ),
    "final secure = url.replaceFirst('http://', 'https://');",
    "final isPlain = url.startsWith('http://');",
    "final url = kDebugMode ? 'http://dev.bank.example' : 'https://api.bank.example';",
    "const text = 'Open http://bank.example in a browser';",
    "// http://api.bank.example\n/* 'http://api.bank.example' */ const x = 'https://a.example';",
]


@pytest.mark.parametrize(
    ("rule", "code"), [(rule, code) for rule, codes in EXAMPLES.items() for code in codes]
)
def test_a_mistake_is_found_once(rule: str, code: str) -> None:
    assert rules(code) == [rule]


@pytest.mark.parametrize("code", RIGHT)
def test_right_code_has_no_mistake(code: str) -> None:
    assert mistakes(code) == []


def test_a_mistake_quotes_the_file_safely() -> None:
    found = read("const url = 'http://bank.example/\\u{1b}[31m" + "x" * 500 + "';").mistakes
    assert "\x1b" not in found[0].message
    assert len(found[0].message) < 200


def test_the_part_of_a_url_that_varies_is_shown_as_dots() -> None:
    found = read("final url = 'http://${x}.bank.example/';").mistakes
    assert found[0].message == "http://….bank.example/ has no TLS"


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "ENCRYPTED "])
def test_a_private_key_in_a_text_is_a_mistake(kind: str) -> None:
    body = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg"
    pem = f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----\n"
    assert mistakes(f"\nconst key = '''\n{pem}''';") == [("private-key-in-app", 2)]
    one_line = pem.replace("\n", "\\n")
    assert mistakes(f"const key = '{one_line}';") == [("private-key-in-app", 1)]


def test_mistakes_are_in_the_order_of_the_lines() -> None:
    code = "const a = 'http://a.example';\nf(e) => e.message.contains('certificate');\n" * 3
    assert [line for _, line in mistakes(code)] == [1, 2, 3, 4, 5, 6]
