"""Mutations of the exported Dart code for connections: each removes a rule, and a test must fail.

``test_mutations.py`` runs them.
"""

from __future__ import annotations

from tests._mutation import Mutation

_DART = "certpin/formats/flutter/dart/src/"
_PACKAGE = "tests/formats/flutter/test_package.py::test_"
_LIBRARY = "tests/formats/flutter/test_library.py::test_"
_REAL_SERVERS = f"{_PACKAGE}connections_to_real_servers[3.7.3]"
_OTHERS = f"{_PACKAGE}the_other_tests_of_the_package_pass[3.7.3]"
_WEB = "tests/formats/flutter/test_web.py::test_each_first_use_fails_with_a_clear_message"


def _rule(rule: int | str, file: str, old: str, new: str, test: str = _REAL_SERVERS) -> Mutation:
    return Mutation(rule, _DART + file, old, new, test)


MUTATIONS: list[Mutation] = [
    _rule(
        "a key of 512 bits is refused",
        "check.dart",
        "    _requireSize(host, port, policy, shown.der);\n",
        "",
        "tests/formats/interop/test_dart.py::"
        "test_a_client_without_pins_of_keys_refuses_a_key_of_512_bits",
    ),
    _rule(
        "the library makes every connection",
        "pinned_http_client.dart",
        "      ..connectionFactory = _connector.call\n",
        "",
    ),
    _rule(
        "a WebSocket without a port has port 443",
        "connector.dart",
        "uri.port == 0 ? uri.replace(port: 443) : uri",
        "uri",
    ),
    _rule(
        "a refusal ends the connection",
        "check.dart",
        "if (decision == Decision.refuse) {",
        "if (decision.name.isEmpty) {",
    ),
    _rule(
        13,
        "verdict.dart",
        "if (presented.any(policy.compromised.contains)) {",
        "if (policy.pattern.isEmpty) {",
        f"{_LIBRARY}compromised_keys_are_refused_before_match_and_expiry"
        "[enforce-fail-open-refuse-in date-leaf]",
    ),
    _rule(
        13,
        "check.dart",
        " || policy.compromised.isNotEmpty",
        "",
    ),
    _rule(
        "plain http is refused",
        "hosts.dart",
        "if (scheme != 'https') {",
        "if (scheme == 'ftp') {",
    ),
    _rule(
        "a host without a policy is refused",
        "hosts.dart",
        "  final policy = name == null ? null : policyFor(policies, name);\n",
        "  final policy = name == null ? null : policies.first;\n",
        f"{_LIBRARY}unpinned_requests_are_refused[https-evil.example-False-no policy covers it]",
    ),
    _rule(
        "trust is the only trust",
        "connector.dart",
        "policy.trust, () => _context(policy.trust)",
        "policy.trust, () => _context(policyFor(check.pins.policies, 'localhost')?.pattern)",
    ),
    _rule(
        "a client certificate is sent",
        "connector.dart",
        "  if (certificate != null) {\n    useClientCertificate(context, certificate);\n  }\n",
        "",
    ),
    _rule(
        "overrides have the client certificate",
        "pinned_http_overrides.dart",
        "      clientCertificate: clientCertificate,\n      onFailure: onFailure,\n",
        "      onFailure: onFailure,\n",
    ),
    _rule(
        "a context of other code is refused",
        "pinned_http_overrides.dart",
        "    if (context != null) {",
        "    if (context != null && pins.version < 0) {",
    ),
    _rule(
        "nothing can be set that leads around the pins",
        "pinned_http_client.dart",
        "      _refuse('connectionFactory');",
        "      _inner.connectionFactory = factory;",
    ),
    _rule(
        "a key that the current set marks compromised serves no update",
        "updates/fetch.dart",
        "policy?.compromised ?? const <String>[]",
        "const <String>[]",
        _OTHERS,
    ),
    _rule(
        "a current set that only reports opens no connection",
        "updates/fetch.dart",
        "?.mode != 'report')",
        "?.mode != '')",
        _OTHERS,
    ),
    _rule(
        "an update is no longer than it may be",
        "updates/fetch.dart",
        "if (held.length + piece.length > wanted.limit) {",
        "if (wanted.limit < 0) {",
        _OTHERS,
    ),
    _rule(
        "trust excludes the platform's roots",
        "connector.dart",
        "SecurityContext(withTrustedRoots: anchors == null)",
        "SecurityContext(withTrustedRoots: true)",
        "tests/formats/flutter/test_roots.py::test_trust_excludes_the_roots_of_the_platform",
    ),
    _rule(
        "each host has its own anchors",
        "connector.dart",
        "putIfAbsent(policy.trust,",
        "putIfAbsent('',",
        _REAL_SERVERS,
    ),
    _rule(
        "the key is compared on sockets too",
        "connector.dart",
        "      connector.check(name, port, current, socket.peerCertificate);\n",
        "      socket.peerCertificate;\n",
        _REAL_SERVERS,
    ),
    _rule(
        "pins that are updated during the handshake apply",
        "connector.dart",
        "      final (_, current) = _admitted();\n",
        "      final current = policy;\n",
        _REAL_SERVERS,
    ),
    _rule(
        "anchors that are updated during the handshake apply",
        "connector.dart",
        "      if (current.trust != policy.trust) {",
        "      if (current.trust == '') {",
        _REAL_SERVERS,
    ),
    _rule(
        "a refused socket is closed",
        "connector.dart",
        "    } on Object {\n      socket.destroy();\n      rethrow;\n    }\n    return socket;",
        "    } on Object {\n      rethrow;\n    }\n    return socket;",
        _REAL_SERVERS,
    ),
    _rule(
        "a refused socket of other code is closed",
        "connector.dart",
        "      socket.destroy();\n      final failure",
        "      final failure",
        _REAL_SERVERS,
    ),
    _rule(
        "a socket is closed if its attempt has ended",
        "connector.dart",
        "    stop.release(socket.destroy);\n    return socket;\n  }\n\n  /// Returns a conn",
        "    return socket;\n  }\n\n  /// Returns a conn",
        _REAL_SERVERS,
    ),
    _rule(
        "a complete connection isn't cancelled",
        "connector.dart",
        "      _cancelled.onStop = null; // It is the caller's now.\n",
        "",
        _REAL_SERVERS,
    ),
    _rule(
        "a timeout is no refusal",
        "connector.dart",
        "stop(NetworkException('timed out after $limit', host: name));",
        "stop(TlsHandshakeException(name, 'timed out after $limit'));",
        _REAL_SERVERS,
    ),
    _rule(
        "a lost handshake is no refusal",
        "exceptions.dart",
        "found when _isLost(found) =>",
        "found when _isLost(found) && host == '-' =>",
        _REAL_SERVERS,
    ),
    _rule(
        "a lost handshake is not reported",
        "connector.dart",
        "policy.trust != null && !isLost;",
        "policy.trust != null;",
        _REAL_SERVERS,
    ),
    _rule(
        "a refused chain is no failure of the network",
        "exceptions.dart",
        "      ? error.message == 'Connection terminated during handshake'\n",
        "      ? error.message != ''\n",
        _OTHERS,
    ),
    _rule(
        "a wrong password is no refusal",
        "client_certificate.dart",
        "  } on TlsException catch (error) {",
        "  } on HandshakeException catch (error) {",
        _REAL_SERVERS,
    ),
    _rule(
        "an invalid address is not looked up",
        "hosts.dart",
        "return _isIPv6(address) ? address : null;",
        "return address;",
        _REAL_SERVERS,
    ),
    _rule(
        "a tunnel of HttpClient is refused",
        "hosts.dart",
        "  if (isProxied) {",
        "  if (isProxied && host.isEmpty) {",
        f"{_LIBRARY}unpinned_requests_are_refused"
        "[https-bank.example-True-no pin holds through a proxy]",
    ),
    _rule(
        "the library opens the tunnel",
        "pinned_http_client.dart",
        "      _connector.findProxy = finder ?? findNoProxy;",
        "      _inner.findProxy = finder ?? findNoProxy;",
        _REAL_SERVERS,
    ),
    _rule(
        "a refusal is final",
        "connector.dart",
        "      } on NetworkException {",
        "      } on ConnectionException {",
        _REAL_SERVERS,
    ),
    _rule(
        "a proxy of another kind is refused",
        "proxy.dart",
        "      if (entry.isNotEmpty) entry ==",
        "      if (RegExp('^(PROXY |DIRECT)').hasMatch(entry)) entry ==",
        _REAL_SERVERS,
    ),
    _rule(
        "credentials of a proxy are in no message",
        "proxy.dart",
        "      '${named ? '$kind proxies are' : 'an entry is'} not supported. '",
        "      '$named $entry is not supported. '",
        _OTHERS,
    ),
    _rule(
        "the response of a proxy is limited",
        "proxy.dart",
        "      if (_length > maxResponseHead) {",
        "      if (_length < 0) {",
        _OTHERS,
    ),
    _rule(
        "nothing precedes the handshake in a tunnel",
        "proxy.dart",
        "        if (status ~/ 100 == 2 && index + 1 < bytes.length) {",
        "        if (status < 0 && index + 1 < bytes.length) {",
        _REAL_SERVERS,
    ),
    _rule(
        "only a success opens a tunnel",
        "proxy.dart",
        "      if (response.status ~/ 100 == 2) {",
        "      if (response.status > 0) {",
        _REAL_SERVERS,
    ),
    _rule(
        "the connection to a refusing proxy is closed",
        "connector.dart",
        "        } on Object {\n          socket.destroy();\n          rethrow;\n        }\n",
        "        } on FormatException {\n          rethrow;\n        }\n",
        _REAL_SERVERS,
    ),
    _rule(
        "credentials that can't be read are refused",
        "pinned_http_client.dart",
        "      _refuseCredentials('addProxyCredentials');",
        "      _inner.addProxyCredentials(host, port, realm, credentials);",
        _REAL_SERVERS,
    ),
    _rule(
        "a context needs anchors that are the pins",
        "anchor_context.dart",
        "  if (policy.match == 'leaf') {",
        "  if (policy.match.isEmpty) {",
        _REAL_SERVERS,
    ),
    _rule(
        "a context accepts no compromised key",
        "anchor_context.dart",
        "  if (policy.compromised.isNotEmpty) {",
        "  if (policy.pattern.isEmpty) {",
        _REAL_SERVERS,
    ),
    _rule(
        "a context can't report",
        "anchor_context.dart",
        "  if (policy.mode != 'enforce') {",
        "  if (policy.mode.isEmpty) {",
        _REAL_SERVERS,
    ),
    _rule(
        "a context of expired pins is refused",
        "anchor_context.dart",
        "  if (decision == Decision.refuse) {",
        "  if (decision.name.isEmpty) {",
        _REAL_SERVERS,
    ),
    _rule(
        "pins expire at the moment of their date",
        "verdict.dart",
        "!now.isBefore(DateTime.parse(expires))",
        "now.isAfter(DateTime.parse(expires))",
        _REAL_SERVERS,
    ),
    _rule(
        "a computation in an isolate is pinned",
        "pinned_http_overrides.dart",
        "      HttpOverrides.global = PinnedHttpOverrides(\n",
        "      PinnedHttpOverrides(\n",
        _REAL_SERVERS,
    ),
    _rule(
        "an isolate gets a copy of the pins",
        "pinned_http_overrides.dart",
        "    final sent = pins.snapshot;\n",
        "    final sent = pins;\n",
        _REAL_SERVERS,
    ),
    _rule(
        "the override is for debug builds",
        "connector.dart",
        "if (!debugOverride || anchors == null || ",
        "if (anchors == null || ",
        f"{_PACKAGE}the_debug_override_is_gated_by_the_build_and_the_file[release]",
    ),
    _rule(
        "a context has the anchors of a proxy in debug builds only",
        "anchor_context.dart",
        "debugOverride ? pins.debugAnchors ?? '' : ''",
        "pins.debugAnchors ?? ''",
        f"{_PACKAGE}the_debug_override_is_gated_by_the_build_and_the_file[release]",
    ),
    _rule(
        "the value of the override is exact",
        "debug.dart",
        "    bool.fromEnvironment('CERTPIN_DEBUG');",
        "    bool.hasEnvironment('CERTPIN_DEBUG');",
        f"{_PACKAGE}the_debug_override_is_gated_by_the_build_and_the_file[another value]",
    ),
    _rule(
        "a client fails clearly on the web",
        "pinned_http_client.dart",
        "  requireSockets('PinnedHttpClient');\n",
        "",
        _WEB,
    ),
    _rule(
        "updates fail clearly on the web",
        "updates/pin_updates.dart",
        "    requireSockets('PinUpdates');\n",
        "",
        _WEB,
    ),
    _rule(
        "an unknown mode refuses",
        "verdict.dart",
        "  if (policy.mode == 'report') {",
        "  if (policy.mode != 'enforce') {",
        _OTHERS,
    ),
    _rule(
        "an unknown match compares pins",
        "verdict.dart",
        "policy.match == 'ca' || policy.match == 'any'",
        "policy.match != 'leaf'",
        _OTHERS,
    ),
    _rule(
        "a policy with a mistake covers no request",
        "hosts.dart",
        "  if (mistake.isNotEmpty) {",
        "  if (mistake == 'none') {",
        _OTHERS,
    ),
    _rule(
        "match on authorities needs anchors",
        "hosts.dart",
        "  if (match != 'leaf' && policy.trust == null) {",
        "  if (match != 'leaf' && policy.trust == '') {",
        _OTHERS,
    ),
    _rule(
        "anchors without trust are a mistake",
        "policy.dart",
        "          match == 'leaf' || trust != null,\n",
        "          match == 'leaf' || trust != '',\n",
        "tests/formats/flutter/test_compiles.py"
        "::test_a_mistake_in_a_constant_policy_is_a_compile_error",
    ),
    _rule(
        "an update ends the connections of the old pins",
        "pinned_http_client.dart",
        "_pool.isOf(pins) && ",
        "",
        _REAL_SERVERS,
    ),
    _rule(
        "other pins of the same version end them too",
        "pinned_http_client.dart",
        " && identical(pins.policies, _policies);",
        ";",
        _REAL_SERVERS,
    ),
    _rule(
        "connections end with the pins of their policy",
        "pinned_http_client.dart",
        " && !_connector.check.hasEnded) {",
        ") {",
        _REAL_SERVERS,
    ),
]
