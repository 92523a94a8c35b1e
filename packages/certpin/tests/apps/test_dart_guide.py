"""Each mistake in the code of a published guide about pinning in Flutter is reported.

The code is rewritten: the guide's two methods, its lists of pins, its fallback for development and
its error handling.
"""

from __future__ import annotations

import pytest

from tests.apps._dart import NEEDS_PARSER, mistakes, questions

pytestmark = NEEDS_PARSER

INTERCEPTOR = """\
import 'package:dio/dio.dart';
import 'package:dio_certificate_pinning/dio_certificate_pinning.dart';

class ApiClient {
  late Dio dio;

  ApiClient() {
    dio = Dio();
    dio.interceptors.add(
      CertificatePinningInterceptor(
        allowedSHAFingerprints: ['YOUR_SHA256_FINGERPRINT_HERE'],
      ),
    );
  }
}
"""
CALLBACK = """\
import 'dart:io';

class ApiClient {
  static HttpClient create() {
    final client = HttpClient(
      context: SecurityContext(withTrustedRoots: false),
    );
    client.badCertificateCallback = (cert, host, port) {
      return _isValid(cert);
    };
    return client;
  }

  static bool _isValid(X509Certificate cert) {
    final fingerprint = cert.sha256;
    const expectedFingerprint = 'YOUR_EXPECTED_FINGERPRINT';
    return fingerprint == expectedFingerprint;
  }
}
"""
LIST = """\
const allowedFingerprints = [
  'PRIMARY_CERT_FINGERPRINT',
  'BACKUP_CERT_FINGERPRINT',
  'ROOT_CA_FINGERPRINT',
];
"""
FALLBACK = """\
bool get isDevelopment => kDebugMode;

bool _isValid(X509Certificate cert) {
  if (isDevelopment) {
    return true;
  }
  return _compare(cert);
}
"""
FLAVOURS = """\
const devFingerprint = 'DEV_CERT_FINGERPRINT';
const fingerprint = String.fromEnvironment(
  'CERT_FINGERPRINT',
  defaultValue: kDebugMode ? 'DEV_FINGERPRINT' : 'PROD_FINGERPRINT',
);
"""
ERRORS = """\
Future<Response> load(String url) async {
  try {
    return await client.get(url);
  } on DioError catch (e) {
    if (e.type == DioErrorType.connectTimeout) {
      throw NetworkException('Timeout');
    } else if (e.message?.contains('certificate') == true) {
      throw SecurityException('Wrong certificate');
    }
    rethrow;
  }
}
"""


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (INTERCEPTOR, [("check-on-other-connection", 10)]),
        (CALLBACK, [("no-anchors", 6), ("pin-in-callback", 8), ("no-such-getter", 15)]),
        (FALLBACK, [("debug-only-gate", 4)]),
        (FLAVOURS, [("pins-from-build-option", 2)]),
        (ERRORS, [("error-by-text", 7)]),
        (LIST, []),
    ],
)
def test_each_mistake_of_the_guide_is_reported(code: str, expected: list[tuple[str, int]]) -> None:
    assert mistakes(code) == expected


@pytest.mark.parametrize(
    ("code", "placeholders"),
    [
        (INTERCEPTOR, ["YOUR_SHA256_FINGERPRINT_HERE"]),
        (CALLBACK, ["YOUR_EXPECTED_FINGERPRINT"]),
        (LIST, ["PRIMARY_CERT_FINGERPRINT", "BACKUP_CERT_FINGERPRINT", "ROOT_CA_FINGERPRINT"]),
        (FLAVOURS, ["DEV_CERT_FINGERPRINT", "DEV_FINGERPRINT", "PROD_FINGERPRINT"]),
        (ERRORS, []),
    ],
)
def test_each_placeholder_of_the_guide_is_a_question(code: str, placeholders: list[str]) -> None:
    expected = [f"'{word}' is a placeholder: which pin belongs here?" for word in placeholders]
    assert questions(code) == expected
