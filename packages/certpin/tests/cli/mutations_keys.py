"""The rules of keys, requests and renewals, removed one by one (``test_mutations.py``)."""

from __future__ import annotations

from tests._mutation import Mutation

_TRANSITIONS = "certpin/cli/rotate/transitions.py"
_KEYREF = "certpin/cli/keyref.py"
_CSR = "certpin/cli/rotate/keys.py"
_BACKUP = "certpin/cli/backup.py"
_SIGNING = "certpin/x509/signing.py"

_RENEWAL = "tests/cli/test_rotate_renewal.py::"
_REQUESTS = "tests/cli/test_rotate_csr.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "a renewal that changes nothing writes nothing",
        _TRANSITIONS,
        "if changes or violations:",
        "if True:",
        _RENEWAL + "test_an_active_key_is_not_recorded_again",
    ),
    Mutation(
        "an ACTIVE key is checked too",
        _TRANSITIONS,
        'violations = transition.violations("activate", needs_probe=False)',
        "violations = []\n"
        '    if not all(pin_state(s, transition.pin) == "active" for _, s in '
        "transition.situations()):\n"
        '        violations = transition.violations("activate", needs_probe=False)',
        _RENEWAL + "test_an_active_key_is_refused_if_a_version_does_not_accept_it",
    ),
    Mutation(
        "a new key is refused with the clients at risk",
        _TRANSITIONS,
        '        allowed.add("generated")\n',
        "        pass\n",
        _RENEWAL + "test_a_new_key_is_refused_with_the_clients_at_risk",
    ),
    Mutation(
        "a new key is not forced past the draft",
        _TRANSITIONS,
        "if violations and not transition.force.force:",
        "if violations:",
        _RENEWAL + "test_a_new_key_is_not_forced_past_the_draft",
    ),
    Mutation(
        "a certificate is checked for each of its hosts",
        _KEYREF,
        "if chosen := certified or holding:",
        "if chosen := holding:",
        _RENEWAL + "test_a_certificate_for_a_host_without_its_pin_is_refused",
    ),
    Mutation(
        "a wildcard of a certificate covers hosts with a policy",
        _KEYREF,
        'if policy.pattern.wildcard != "*." and pattern.matches(policy.pattern.name):',
        "if False:",
        _RENEWAL + "test_a_certificate_is_checked_for_each_of_its_hosts",
    ),
    Mutation(
        "a request overwrites no file",
        _CSR,
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL",
        "os.O_WRONLY | os.O_CREAT | os.O_TRUNC",
        _REQUESTS + "test_no_file_is_overwritten",
    ),
    Mutation(
        "a request is verified",
        _SIGNING,
        "if not load_der_x509_csr(request).is_signature_valid:",
        "if False:",
        "tests/x509/test_signing.py::test_a_request_with_an_invalid_signature_is_refused",
    ),
    Mutation(
        "an RSA-PSS key keeps its pin or has no request",
        _SIGNING,
        " or _is_pss(data, spki)",
        "",
        _REQUESTS + "test_an_rsa_pss_key_that_would_change_its_pin_is_refused",
    ),
    Mutation(
        "a key that is not kept does not stay on its token",
        _BACKUP,
        "if not self._kept:",
        "if False:",
        "tests/cli/test_token_keys.py::test_a_failed_command_leaves_no_key_on_the_token",
    ),
]
