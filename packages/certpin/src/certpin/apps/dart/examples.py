"""Examples of the mistakes in Dart: wrong code, and the same code without the mistake.

A test uses the examples: the checks must find exactly one mistake in the wrong code, at the line
that ends with ``HERE``, and none in the corrected code. The rules themselves are in
``certpin.apps.rules``.
"""

from __future__ import annotations

HERE = "  // <- here"  # marks the line of the mistake; removed before the example is read

FILE = "lib/api.dart"

# The id of the rule: bad, good.
EXAMPLES: dict[str, tuple[str, str]] = {
    "accept-any-certificate": (
        f"""\
final client = HttpClient();
void start() {{
  client.badCertificateCallback = (cert, host, port) => true;{HERE}
}}
""",
        """\
final client = HttpClient();
void start() {
  client.badCertificateCallback = (cert, host, port) => false;
}
""",
    ),
    "pin-in-callback": (
        f"""\
void start(HttpClient client) {{
  client.badCertificateCallback = (cert, host, port) =>{HERE}
      pins.contains(sha256.convert(cert.der).toString());
}}
""",
        """\
final client = PinnedHttpClient(pins);
""",
    ),
    "on-bad-certificate": (
        f"""\
Future<SecureSocket> open(String host) =>
    SecureSocket.connect(host, 443, onBadCertificate: (cert) => true);{HERE}
""",
        """\
Future<SecureSocket> open(String host, SecurityContext context) =>
    SecureSocket.connect(host, 443, context: context);
""",
    ),
    "overrides-with-callback": (
        f"""\
class Overrides extends HttpOverrides {{
  @override
  HttpClient createHttpClient(SecurityContext? context) =>
      super.createHttpClient(context)
        ..badCertificateCallback = (cert, host, port) => true;{HERE}
}}

void main() {{
  HttpOverrides.global = Overrides();
}}
""",
        """\
class Overrides extends HttpOverrides {
  @override
  HttpClient createHttpClient(SecurityContext? context) =>
      super.createHttpClient(context)..userAgent = 'bank';
}

void main() {
  HttpOverrides.global = Overrides();
}
""",
    ),
    "debug-only-gate": (
        f"""\
bool accepts(X509Certificate cert) {{
  if (kDebugMode) return true;{HERE}
  return matches(cert);
}}
""",
        """\
const bool useProxy = bool.fromEnvironment('USE_PROXY');

HttpClient client(List<int> proxyAuthority) {
  final context = SecurityContext();
  if (kDebugMode && useProxy) context.setTrustedCertificatesBytes(proxyAuthority);
  context.setTrustedCertificatesBytes(anchors);
  return HttpClient(context: context);
}
""",
    ),
    "pins-in-debug-only": (
        f"""\
void check(String fingerprint) {{
  assert(pins.contains(fingerprint));{HERE}
}}
""",
        """\
void check(String fingerprint) {
  assert(pins.isNotEmpty);
  if (!pins.contains(fingerprint)) throw HandshakeException('wrong key');
}
""",
    ),
    "no-such-getter": (
        f"""\
bool matches(X509Certificate cert) {{
  return cert.sha256 == expected;{HERE}
}}
""",
        """\
bool matches(X509Certificate cert) {
  return spkiSha256(cert.der) == expected;
}
""",
    ),
    "no-anchors": (
        f"""\
final client = HttpClient(
  context: SecurityContext(withTrustedRoots: false),{HERE}
);
""",
        """\
final client = HttpClient(
  context: SecurityContext(withTrustedRoots: false)
    ..setTrustedCertificatesBytes(authority),
);
""",
    ),
    "check-after-response": (
        f"""\
final adapter = IOHttpClientAdapter(
  validateCertificate: (cert, host, port) =>{HERE}
      cert != null && pins.contains(sha256.convert(cert.der).toString()),
);
""",
        """\
final adapter = IOHttpClientAdapter(
  createHttpClient: () => PinnedHttpClient(pins),
);
""",
    ),
    "check-on-other-connection": (
        f"""\
Dio client() => Dio()
  ..interceptors.add(
    CertificatePinningInterceptor(allowedSHAFingerprints: pins),{HERE}
  );
""",
        """\
Dio client() => Dio()
  ..httpClientAdapter = IOHttpClientAdapter(
    createHttpClient: () => PinnedHttpClient(pins),
  );
""",
    ),
    "pins-from-build-option": (
        f"""\
const fingerprint = String.fromEnvironment('CERT_FINGERPRINT');{HERE}
""",
        """\
const isRelease = bool.fromEnvironment('dart.vm.product');
const flavour = String.fromEnvironment('FLAVOUR');
const isDevelopment = !isRelease && flavour == 'development';
const appPins = isDevelopment ? developmentPins : productionPins;
""",
    ),
    "error-by-text": (
        f"""\
bool isAttack(DioException error) =>
    error.message?.contains('certificate') ?? false;{HERE}
""",
        """\
bool isAttack(DioException error) => error.error is HandshakeException;
""",
    ),
    "plain-http": (
        f"""\
final dio = Dio(BaseOptions(
  baseUrl: 'http://api.bank.example/v1',{HERE}
));
""",
        """\
// Not http://api.bank.example
final dio = Dio(BaseOptions(baseUrl: 'https://api.bank.example/v1'));
final emulator = Uri.parse('http://10.0.2.2:8080');
const namespace = 'http://www.w3.org/2000/svg';
""",
    ),
}
