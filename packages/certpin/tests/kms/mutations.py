"""Code changes, each of which removes a rule about keys in key services.

``test_mutations.py`` applies each change, and requires that the named test fails.
"""

from __future__ import annotations

from tests._mutation import Mutation

_KEY = "certpin/kms/key.py"
_SERVICES = "certpin/kms/services.py"
_FAILURES = "certpin/kms/failures.py"
_URI = "certpin/kms/uri.py"

_AWS = "tests/kms/test_aws.py::"
_VAULT = "tests/kms/test_vault.py::"
_IN_URI = "tests/kms/test_uri.py::"
_COMMANDS = "tests/cli/test_key_services.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "every signature is verified",
        _KEY,
        "if not verify_signature(self.public_key, signature, data):",
        "if False:",
        _AWS + "test_a_signature_by_another_key_is_refused",
    ),
    Mutation(
        "a key signs a challenge when it is opened",
        _KEY,
        "    key.sign(os.urandom(_CHALLENGE_BYTES))\n",
        "",
        _VAULT + "test_a_wrong_signature_is_refused",
    ),
    Mutation(
        "the public key decides on the type, and not its hash",
        _SERVICES,
        "    if not is_signing_key(public_key):\n",
        "    if False:\n",
        _AWS + "test_a_key_that_clients_do_not_verify_is_refused",
    ),
    Mutation(
        "a key is not restricted to another scheme",
        _SERVICES,
        "    if scheme and scheme != tuf_key.scheme:\n",
        "    if False:\n",
        _IN_URI + "test_a_key_that_its_service_restricts_to_another_scheme_is_refused",
    ),
    Mutation(
        "Vault signs with SHA-256 only",
        _SERVICES,
        'if data["type"] not in _VAULT_TYPES:',
        "if False:",
        _VAULT + "test_a_key_that_vault_would_sign_with_another_hash_is_refused",
    ),
    Mutation(
        "the version of the URI is read",
        _SERVICES,
        'text = str(data["keys"][version]["public_key"])',
        'text = str(data["keys"][max(data["keys"])]["public_key"])',
        _VAULT + "test_the_version_of_the_uri_is_used",
    ),
    Mutation(
        "the text of an error is not repeated",
        _FAILURES,
        "code = printable(_code(exc))[:_LONGEST_CODE]",
        "code = printable(str(exc))",
        _AWS + "test_a_refusal_repeats_no_secret",
    ),
    Mutation(
        "an error does not lead to that of the client",
        _FAILURES,
        "            fix=_FIXES.get(code, uri.service.needs),\n        ) from None",
        "            fix=_FIXES.get(code, uri.service.needs),\n        ) from exc",
        _AWS + "test_a_refusal_repeats_no_secret",
    ),
    Mutation(
        "the clients log nothing",
        _FAILURES,
        "        with _silence:\n            yield",
        "        yield",
        _AWS + "test_a_refusal_repeats_no_secret",
    ),
    Mutation(
        "the loggers are as before",
        _FAILURES,
        "logger.propagate, logger.handlers = propagate, handlers",
        "logger.propagate = propagate",
        _AWS + "test_the_loggers_of_the_clients_are_as_before",
    ),
    Mutation(
        "the loggers are silent until the last thread has left",
        _FAILURES,
        "            if self._inside:\n                return\n",
        "",
        _AWS + "test_the_loggers_are_as_before_when_the_last_thread_has_left",
    ),
    Mutation(
        "a whole URI is valid",
        _URI,
        "if len(text) > MAX_URI_CHARACTERS or not service.name.fullmatch(name):",
        "if len(text) > MAX_URI_CHARACTERS or not service.name.match(name):",
        _IN_URI + "test_an_invalid_uri_is_refused_with_an_example",
    ),
    Mutation(
        "no key is made in a key service, nor in a file of that name",
        "certpin/cli/options.py",
        '    if found == "service":\n',
        "    if False:\n",
        _COMMANDS + "test_no_key_is_made_in_a_service",
    ),
    Mutation(
        "the key of a server is in no other service",
        _URI,
        "if scheme in SERVICES and scheme not in _LEAF_SERVICES:",
        "if False:",
        _COMMANDS + "test_only_aws_kms_has_keys_of_servers",
    ),
]
