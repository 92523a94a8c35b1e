"""The rules on connections in the exported Dart, removed one by one (``test_mutations.py``)."""

from __future__ import annotations

from tests._mutation import Mutation

_DART = "certpin/formats/flutter/dart/"
_SERVERS = (
    "tests/formats/flutter/test_example.py::test_connections_of_the_library_on_real_servers[3.7.3]"
)
_LIBRARY = "tests/formats/flutter/test_library.py::test_"


def _rule(rule: int | str, file: str, old: str, new: str, test: str = _SERVERS) -> Mutation:
    return Mutation(rule, _DART + file, old, new, test)


MUTATIONS: list[Mutation] = [
    _rule(
        "the library makes every connection",
        "pinned_http_client.dart",
        "      ..connectionFactory = PinnedConnector(check, clientCertificate).call\n",
        "",
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
        "  if (name == null || policyFor(policies, name) == null) {",
        "  if (name == null) {",
        f"{_LIBRARY}unpinned_requests_are_refused[https-evil.example-False-no policy covers it]",
    ),
    _rule(
        "trust is the only trust",
        "connector.dart",
        "policy.trust, () => _context(policy.trust)",
        "policy.trust, () => _context(policyFor(_check.pins.policies, 'localhost')?.pattern)",
    ),
    _rule(
        "a client certificate is sent",
        "connector.dart",
        "        ..usePrivateKeyBytes(own.key, password: own.password);",
        "        ;",
    ),
    _rule(
        "overrides have the client certificate",
        "pinned_http_client.dart",
        "      app: app,\n      clientCertificate: clientCertificate,\n    );",
        "      app: app,\n    );",
    ),
    _rule(
        "a context of other code is refused",
        "pinned_http_client.dart",
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
        "an update is no longer than it may be",
        "signed_fetch.dart",
        "if (held.length + piece.length > wanted.limit) {",
        "if (wanted.limit < 0) {",
        "tests/formats/flutter/test_example.py::test_the_other_tests_of_the_example_pass[3.7.3]",
    ),
]
