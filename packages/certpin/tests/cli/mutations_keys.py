"""Mutations of the rules about keys, certificate requests and renewals, one for each rule.

Each mutation removes a rule from a copy of the source; a named test must then fail. The runner is
``test_mutations.py``.
"""

from __future__ import annotations

from tests._mutation import Mutation

_SWITCH = "certpin/cli/rotate/switch.py"
_KEYS = "certpin/cli/keys.py"
_NAMED = "certpin/cli/named_key.py"
_CSR = "certpin/cli/rotate/keys.py"
_SIGNING = "certpin/x509/signing.py"

_NAMES = "certpin/pins/certificate_names.py"

_ADD = "tests/cli/test_add.py::"
_BACKUP = "tests/cli/test_backup.py::"
_RENEWAL = "tests/cli/test_rotate_renewal.py::"
_REQUESTS = "tests/cli/test_rotate_csr.py::"

_UNMATCHED = "tests/pins/test_certificate_names.py::test_a_name_that_no_client_matches_is_left_out"

_REHEARSAL, _READING = "certpin/x509/rehearsal.py", "certpin/x509/certificate.py"
_LIMITS = "tests/x509/test_rehearsal.py::"
_SLOW = _LIMITS + "test_a_key_that_takes_too_long_is_refused"

MUTATIONS: list[Mutation] = [
    Mutation(
        "a key is read in limited time",
        _REHEARSAL,
        "            timeout=_SECONDS,\n",
        "",
        f"{_SLOW}[huge key-read_items]",
    ),
    Mutation(
        "a key is read in limited memory",
        _REHEARSAL,
        "    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))\n",
        "",
        _LIMITS + "test_a_key_that_takes_too_much_memory_is_refused",
    ),
    Mutation(
        "PKCS#12 is tried in another process",
        _READING,
        "within_limits(_read_pkcs12, data)",
        "_read_pkcs12(data)",
        f"{_SLOW}[store-read_items]",
    ),
    Mutation(
        "a large private key is tried in another process",
        _READING,
        "data, short=is_short(data)",
        "data, short=True",
        f"{_SLOW}[huge key-read_items]",
    ),
    Mutation(
        "an encrypted key is tried in another process",
        _REHEARSAL,
        "    if secrets or not short:",
        "    if not secrets and not short:",
        f"{_SLOW}[sealed key-read_items]",
    ),
    Mutation(
        "a key that signs is tried in another process, too",
        _SIGNING,
        "(_from_pkcs12, False)",
        "(_from_pkcs12, True)",
        f"{_SLOW}[store-file_key]",
    ),
    Mutation(
        "a large key that signs is tried in another process, too",
        _SIGNING,
        "    short = is_short(data)\n",
        "    short = True\n",
        f"{_LIMITS}test_a_key_that_only_openssl_finds_is_refused[a CRL before it]",
    ),
    Mutation(
        "a key that signs is limited however its file is written",
        _SIGNING,
        "(_from_pkcs12, False)",
        "(_from_pkcs12, certificate._is_protected_der(data) is False)",
        f"{_LIMITS}test_a_key_that_only_openssl_finds_is_refused[a store in BER]",
    ),
    Mutation(
        "a key in PEM is tried in another process",
        _READING,
        "    short = is_short(b",
        "    short = True or (b",
        f"{_SLOW}[PEM-read_items]",
    ),
    Mutation(
        "many short keys are tried in another process",
        _READING,
        '    short = is_short(b"".join(block[0] for block in private))',
        "    short = all(is_short(block[0]) for block in private)",
        _LIMITS + "test_many_short_keys_that_take_too_long_are_refused",
    ),
    Mutation(
        "a key with large primes is not short",
        _REHEARSAL,
        "_SHORT_DER, _SHORT_PEM = 1300, 1792",
        "_SHORT_DER, _SHORT_PEM = 4096, 4096",
        f"{_SLOW}[large primes-read_items]",
    ),
    Mutation(
        "a key that fails in the other process is not read in this one",
        _REHEARSAL,
        "    if error is None:\n        return\n",
        "    return\n",
        _LIMITS + "test_a_key_that_takes_too_much_memory_is_refused",
    ),
    Mutation(
        "the current directory is not a place of modules",
        _REHEARSAL,
        ' "-P",',
        "",
        _LIMITS + "test_code_in_the_current_directory_is_not_executed",
    ),
    Mutation(
        "nor is it through PYTHONPATH",
        _REHEARSAL,
        "filter(None, sys.path)",
        "sys.path",
        _LIMITS + "test_code_in_the_current_directory_is_not_executed",
    ),
    Mutation(
        "each encrypted key has its passphrase",
        _READING,
        "[_ask(passphrase) for block in private if _is_sealed(block)]",
        "[_ask(passphrase)] * sum(map(_is_sealed, private))",
        "tests/x509/test_files.py::test_each_encrypted_key_of_a_file_has_its_passphrase",
    ),
    Mutation(
        "the other process reports a wrong passphrase as one",
        _REHEARSAL,
        "(CertificateParseError, KeyParseError, PassphraseError)",
        "(CertificateParseError, KeyParseError)",
        "tests/x509/test_files.py::test_only_pem_shows_that_a_key_is_encrypted[PEM]",
    ),
    Mutation(
        "a large file of trust anchors is not read",
        _READING,
        "    _require_small(data)\n    if not data.strip():",
        "    if not data.strip():",
        "tests/x509/test_files.py::test_a_file_that_is_too_large_is_not_read",
    ),
    Mutation(
        "a kind of key that OpenSSL refuses is a typed error",
        _SIGNING,
        "(ValueError, UnsupportedAlgorithm, InternalError)",
        "(ValueError, UnsupportedAlgorithm)",
        _LIMITS + "test_a_dh_key_that_openssl_refuses_is_a_typed_error",
    ),
    Mutation(
        "no key is parsed in a file of certificates",
        _READING,
        "        if label not in _CERTIFICATES:",
        "        if False:",
        _LIMITS + "test_a_file_of_certificates_is_not_searched_for_keys",
    ),
    Mutation(
        "a DNS name is no address", _NAMES, " and not is_address(lower)", "", f"{_UNMATCHED}[::1]"
    ),
    Mutation(
        "a DNS name in its canonical form only",
        _NAMES,
        "normalise(name) == lower and",
        "normalise(name) and",
        f"{_UNMATCHED}[bank.example.]",
    ),
    Mutation(
        "a wildcard as OpenSSL matches it",
        _NAMES,
        'return HostPattern("*.", parent) if _PARENT.fullmatch(parent) else None',
        'return HostPattern("*.", parent)',
        f"{_UNMATCHED}[*.example]",
    ),
    Mutation(
        "a wildcard is for no label with an underscore",
        _NAMED,
        "if policy.pattern.wildcard or name_matches(",
        "if True or name_matches(",
        "tests/cli/test_rotate_names.py::test_a_name_counts_only_in_the_form_that_clients_match",
    ),
    Mutation(
        "a backup of an authority is an authority",
        _KEYS,
        "    if fault is not None:",
        "    if False:",
        _ADD + "test_with_match_ca_the_backup_is_an_authority_that_clients_trust",
    ),
    Mutation(
        "a backup of an authority leads to an anchor of the host",
        _KEYS,
        "    if not any(der in trust.der for way in ways for der in way):",
        "    if False:",
        _ADD + "test_with_match_ca_the_backup_is_an_authority_that_clients_trust",
    ),
    Mutation(
        "start refuses an authority that clients don't trust",
        "certpin/cli/rotate/start.py",
        "        require_matchable(certificates, policy.pattern, policy.trust, policy.match)\n",
        "",
        "tests/cli/test_rotate_emergency_authority.py::"
        "test_start_refuses_an_authority_that_clients_do_not_trust",
    ),
    Mutation(
        "a renewal that changes nothing writes nothing",
        _SWITCH,
        "if changes or violations:",
        "if True:",
        _RENEWAL + "test_an_active_key_is_not_recorded_again",
    ),
    Mutation(
        "an ACTIVE key is checked too",
        _SWITCH,
        "violations = step.violations()",
        "from certpin.rotation import pin_state\n"
        '    active = all(pin_state(s, step.pin) == "active" for _, s in step.situations())\n'
        "    violations = [] if active else step.violations()",
        _RENEWAL + "test_an_active_key_is_refused_if_a_version_does_not_accept_it",
    ),
    Mutation(
        "a new key is refused with the clients at risk",
        _SWITCH,
        "if violations and force.force:",
        "if violations:",
        _RENEWAL + "test_a_new_key_is_refused_with_the_clients_at_risk",
    ),
    Mutation(
        "a new key is not forced past the draft",
        _SWITCH,
        'if pin_state(situation, step.pin) == "generated":',
        "if False:",
        _RENEWAL + "test_a_new_key_is_not_forced_past_the_draft",
    ),
    Mutation(
        "a key that no public authority certifies is refused",
        _KEYS,
        'if refusal and trust is None and match != "ca":',
        "if False:",
        _BACKUP + "test_a_key_that_no_public_authority_certifies_is_not_made",
    ),
    Mutation(
        "an imported key that no public authority certifies is refused",
        "certpin/cli/import_hosts.py",
        "            require_certifiable(key_type, policy.pattern, policy.trust, policy.match)\n",
        "",
        "tests/cli/test_import_app.py"
        "::test_a_backup_that_no_public_authority_certifies_is_not_imported",
    ),
    Mutation(
        "a hostile name in the journal is escaped",
        "certpin/cli/rotate/history.py",
        "{printable(event.who)}",
        "{event.who}",
        "tests/cli/test_rotate_history.py::test_hostile_texts_are_escaped",
    ),
    Mutation(
        "other debug anchors are not lost",
        "certpin/cli/import_hosts.py",
        "        elif set(self._debug.der) != set(anchors.der):\n",
        "        elif False:\n",
        "tests/cli/test_import.py::test_other_debug_anchors_are_refused",
    ),
    Mutation(
        "an imported backup is not active",
        "certpin/formats/parsed.py",
        'return "published" if role == "backup" else "active"',
        'return "active"',
        "tests/cli/test_import.py::test_an_imported_backup_is_not_active",
    ),
    Mutation(
        "the type of a given backup is read from its file",
        "certpin/cli/keys.py",
        'return self._reference.key_type if self._reference else ""',
        'return ""',
        _BACKUP + "test_a_backup_that_no_public_authority_certifies_is_not_added",
    ),
    Mutation(
        "a private authority certifies every key",
        _KEYS,
        'if refusal and trust is None and match != "ca":',
        "if refusal:",
        _BACKUP + "test_a_key_that_no_public_authority_certifies_is_not_made",
    ),
    Mutation(
        "a certificate is checked for each of its hosts",
        _NAMED,
        "if chosen := certified or meant or holding:",
        "if chosen := holding:",
        _RENEWAL + "test_a_certificate_for_a_host_without_its_pin_is_refused",
    ),
    Mutation(
        "a wildcard of a certificate covers hosts with a policy",
        _NAMED,
        "return [policy for policy in pins.policies_at(pattern) if policy]",
        "return [policy for policy in pins.policies_at(pattern)[:1] if policy]",
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
        " or _is_pss(data, key.spki)",
        "",
        _REQUESTS + "test_an_rsa_pss_key_that_would_change_its_pin_is_refused",
    ),
    Mutation(
        "a key that is not kept does not stay on its token",
        _KEYS,
        "if not self._kept:",
        "if False:",
        "tests/cli/test_token_keys.py::test_a_failed_command_leaves_no_key_on_the_token",
    ),
    Mutation(
        "a new host with a key that is compromised at another host is refused",
        "certpin/cli/keys.py",
        "if not new & {name, marked[pin]}:",
        "if True:",
        "tests/cli/test_add_file.py::"
        "test_a_key_that_is_compromised_at_another_host_is_refused[--backup-pin]",
    ),
    Mutation(
        "a new host with a key that the journal records as compromised is refused",
        "certpin/cli/keys.py",
        "        marked = dict.fromkeys(recorded, journal.name)\n",
        "",
        "tests/cli/test_add_file.py::"
        "test_a_key_that_only_the_journal_records_as_compromised_is_refused",
    ),
    Mutation(
        "an imported host with a key that is compromised at another host is refused",
        "certpin/cli/import_hosts.py",
        "        require_uncompromised(path, self.added, existing.values())\n",
        "",
        "tests/cli/test_import.py::"
        "test_a_key_that_is_compromised_at_another_host_is_refused[marks it]",
    ),
]
