"""Mutations that remove the checks of the enforcement rules 1 to 6.

``test_mutations.py`` applies each and runs the test that must fail.
"""

from __future__ import annotations

from tests._mutation import Mutation

_CHECK = "certpin/tls/check.py"
_CONTEXT = "certpin/tls/context.py"
_GATE = "certpin/tls/gate.py"

_ONE = "tests/tls/test_rule_01_verification_first.py::"
_TWO = "tests/tls/test_rule_02_verified_path.py::"
_THREE = "tests/tls/test_rule_03_before_the_first_byte.py::"
_CLEAR = "tests/tls/test_rule_03_no_clear_text.py::"
_UNWRAP = "tests/tls/test_rule_03_unwrapping.py::"
_FOUR = "tests/tls/test_rule_04_sessions.py::"
_FIVE = "tests/tls/test_rule_05_hosts.py::"
_SIX = "tests/tls/test_rule_06_spki_bytes.py::"
_CERTIFICATES = "tests/tls/test_rule_03_client_certificates.py::"
_PATCHED = "tests/tls/test_patched.py::"
_FORKS = "tests/tls/test_forks.py::"
_FOURTEEN = "tests/tls/test_rule_14_assert_pinned.py::"

# cryptography encodes the key again: the bytes can differ from those in the certificate.
_REWRITTEN = """
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
        from cryptography.x509 import load_der_x509_certificate
        key = load_der_x509_certificate(der).public_key()
        return Certificate(der, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
""".strip()

# A lock that a forked child inherits as it is.
_INHERITED = 'type("Lock", (), {"held": __import__("threading").RLock()})'

MUTATIONS: list[Mutation] = [
    Mutation(
        2,
        _CONTEXT,
        "if callback is not None:",
        "if False:",
        _TWO + "test_a_pre_shared_key_cannot_be_set",
    ),
    Mutation(
        3,
        _CONTEXT,
        "elif name in _CHECKING_CLASSES:",
        "elif False:",
        _CLEAR + "test_the_classes_that_check_cannot_be_replaced",
    ),
    Mutation(
        1,
        _CONTEXT,
        "if self.verify_mode != ssl.CERT_REQUIRED:",
        "if False:",
        _ONE + "test_a_weakened_context_does_not_connect",
    ),
    Mutation(
        1,
        _CONTEXT,
        "if not self.check_hostname:",
        "if False:",
        _ONE + "test_a_restored_context_connects_again",
    ),
    Mutation(
        1,
        _CONTEXT,
        "0x2 | 0x10 | 0x200000",
        "0x2 | 0x10",
        _ONE + "test_a_weakened_context_does_not_connect",
    ),
    Mutation(
        1,
        _CONTEXT,
        "0x2 | 0x10 | 0x200000",
        "0x2 | 0x200000",
        _ONE + "test_a_weakened_context_does_not_connect",
    ),
    Mutation(
        1,
        _CONTEXT,
        "            changes != self._verifying_changes\n            or not self.check_hostname",
        "            not self.check_hostname",
        _ONE + "test_a_change_while_openssl_copies_the_settings_is_seen",
    ),
    Mutation(
        1,
        _CONTEXT,
        "with self._verifying.held:  # waits for a change that another thread is making",
        "if True:",
        _ONE + "test_a_connection_waits_for_a_concurrent_change",
    ),
    Mutation(
        1,
        _CONTEXT,
        "        self._verifying = ForkedLock()\n",
        f"        self._verifying = {_INHERITED}\n",
        _FORKS
        + "test_a_child_that_is_forked_while_a_lock_is_held_does_not_wait_for_it"
        + "[verification settings]",
    ),
    Mutation(
        4,
        "certpin/tls/check.py",
        "        self._lock = ForkedLock()\n",
        f"        self._lock = {_INHERITED}\n",
        _FORKS + "test_a_child_that_is_forked_while_a_lock_is_held_does_not_wait_for_it[sessions]",
    ),
    Mutation(
        1,
        _CONTEXT,
        "            self._verifying_changes += 1\n            super().__setattr__(name, value)",
        "            super().__setattr__(name, value)\n            self._verifying_changes += 1",
        _ONE + "test_a_change_is_counted_before_it_is_made",
    ),
    Mutation(
        1,
        _CONTEXT,
        "0x2 | 0x10 | 0x200000",
        "0x10 | 0x200000",
        _ONE + "test_a_weakened_context_does_not_connect",
    ),
    Mutation(
        1,
        _CONTEXT,
        "if changes != self._verified_changes:",
        "if False:",
        _ONE + "test_a_weakened_context_does_not_connect",
    ),
    Mutation(
        1,
        _CONTEXT,
        "            or not self.check_hostname\n",
        "",
        _ONE + "test_weakening_that_bypasses_the_context_is_detected",
    ),
    Mutation(
        1,
        _CONTEXT,
        "            or not host_flags_of(self) & _NO_COMMON_NAME\n",
        "",
        _ONE + "test_weakening_that_bypasses_the_context_is_detected",
    ),
    Mutation(
        1,
        _CONTEXT,
        "            if not host_flags_of(self) & _NO_COMMON_NAME:",
        "            if False:",
        _ONE + "test_a_restored_context_connects_again",
    ),
    Mutation(
        1,
        _CONTEXT,
        "            or flags_of(self) & UNSAFE_FLAGS\n",
        "",
        _ONE + "test_weakening_that_bypasses_the_context_is_detected",
    ),
    Mutation(
        1,
        _CONTEXT,
        "if getattr(self, name) == value:",
        "if False:",
        _ONE + "test_setting_the_same_value_again_disturbs_no_connection",
    ),
    Mutation(
        2,
        _CHECK,
        "return verified_chain(raw)",
        "return tuple(each.public_bytes(2) for each in raw.get_unverified_chain() or ())",
        _TWO + "test_certificates_appended_by_a_rogue_authority_never_match",
    ),
    Mutation(
        2,
        "certpin/pins/verdict.py",
        'return Verdict("refuse", "no-chain", policy, None)',
        'return Verdict("accept", "no-chain", policy, None)',
        _TWO + "test_an_anonymous_server_is_refused",
    ),
    Mutation(
        2,
        _CHECK,
        "if not chain:",
        "if False:",
        _TWO + "test_an_anonymous_server_is_refused_for_a_host_without_pins",
    ),
    Mutation(
        3,
        _CONTEXT,
        "        return gate\n",
        "        return raw\n",
        _THREE + "test_no_byte_reaches_a_refused_server",
    ),
    Mutation(
        3,
        _GATE,
        "return self._checked().write(data)",
        "return self._raw.write(data)",
        _THREE + "test_no_byte_reaches_a_refused_server",
    ),
    Mutation(
        3,
        _GATE,
        "return self._checked().read(*args)",
        "return self._raw.read(*args)",
        _THREE + "test_an_object_moves_nothing_before_the_check",
    ),
    Mutation(
        2,
        "certpin/pins/verdict.py",
        "if chain is None or not chain.certificates:",
        "if chain is None:",
        _TWO + "test_without_a_chain_the_verdict_is_refused",
    ),
    Mutation(
        2,
        "certpin/pins/verdict.py",
        'return (chain.leaf,) if match == "leaf" else chain.authorities',
        "return chain.certificates",
        _TWO + "test_match_selects_the_certificates_of_the_path",
    ),
    Mutation(
        3,
        _GATE,
        # Two places raise the error again; without this line there is none to raise.
        "            self._refusal = copy(reason)\n",
        "            self._refusal = None\n",
        _THREE + "test_a_refusal_is_final_although_other_pins_would_accept",
    ),
    Mutation(
        3,
        _GATE,
        "if not isinstance(error, ssl.SSLError):",
        "if not isinstance(error, ssl.SSLCertVerificationError):",
        _CLEAR + "test_a_failure_of_openssl_is_final_too",
    ),
    Mutation(
        3,
        _GATE,
        "        self._refusal = _interrupted(type(reason).__name__)\n",
        "",
        _THREE + "test_an_interrupted_check_refuses",
    ),
    Mutation(
        3,
        _GATE,
        "self._refusal = copy(reason)",
        "self._refusal = reason",
        _THREE + "test_a_refused_connection_leaves_no_reference_cycle",
    ),
    Mutation(
        3,
        _GATE,
        "if name not in _HARMLESS and not self.accepted:",
        "if False:",
        _THREE + "test_the_gate_rejects_unknown_methods",
    ),
    Mutation(
        3,
        _CONTEXT,
        "value |= ssl.OP_NO_RENEGOTIATION",
        "pass",
        _THREE + "test_no_renegotiation_can_bring_another_certificate",
    ),
    Mutation(
        3,
        _GATE,
        'def _real_connect(self, addr: Any, connect_ex: bool) -> Any:\n        """Connect,',
        'def _not_called(self, addr: Any, connect_ex: bool) -> Any:\n        """Connect,',
        _CLEAR + "test_a_stalled_server_does_not_get_clear_text_after_the_timeout",
    ),
    Mutation(
        3,
        _GATE,
        "        self._sslobj = _no_tls()",
        "        self._sslobj = None",
        _CLEAR + "test_nothing_goes_out_or_comes_in_while_another_thread_closes_the_socket",
    ),
    Mutation(
        3,
        _GATE,
        "            self._refuse(exc)\n            self._discard()\n",
        "            self._refuse(exc)\n",
        "tests/tls/test_event_loops.py::test_tls_within_tls_is_checked_for_the_inner_host[evil]",
    ),
    Mutation(
        3,
        _GATE,
        "_socket.socket.shutdown(sock, socket.SHUT_RDWR)",
        "pass",
        _THREE + "test_a_refused_connection_is_shut_immediately",
    ),
    Mutation(
        3,
        _GATE,
        'raise ssl.SSLError(ssl.SSL_ERROR_SSL, "TLS cannot be closed before'
        ' the pins were checked")',
        "return self._raw.shutdown()",
        _UNWRAP + "test_a_connection_is_not_unwrapped_by_another_thread_while_it_is_checked",
    ),
    Mutation(
        3,
        _GATE,
        "        self._sslobj = NoTLS()\n        _socket.socket.shutdown(self, how)",
        "        self._sslobj = None\n        _socket.socket.shutdown(self, how)",
        _CLEAR + "test_nothing_goes_out_or_comes_in_after_a_shutdown",
    ),
    Mutation(
        3,
        _GATE,
        "            raise  # it goes on, and so does TLS",
        "            self._sslobj = None\n            raise",
        _CLEAR + "test_a_non_blocking_connect_keeps_tls",
    ),
    Mutation(
        3,
        _GATE,
        "        if self._sslobj is None:\n            self._sslobj = NoTLS()\n",
        "",
        _CLEAR + "test_a_socket_that_is_still_connecting_sends_nothing",
    ),
    Mutation(
        4,
        _CHECK,
        "known is None or known.session is not session or known.target is not target",
        "known is None or known.session is not session",
        _FOUR + "test_a_session_is_not_offered_after_the_pins_changed",
    ),
    Mutation(
        4,
        _CHECK,
        "            self._verified.move_to_end(id(session))",
        "            # ",
        _FOUR + "test_a_session_that_is_stored_again_is_not_the_oldest",
    ),
    Mutation(
        4,
        _CHECK,
        "return known.chain if _in_time(known.chain, now) else None",
        "return known.chain",
        _FOUR + "test_a_session_is_not_offered_after_a_certificate_of_its_chain_expired",
    ),
    Mutation(
        4,
        _CHECK,
        "if self._resumed is None:",
        "if False:",
        _FOUR + "test_a_session_set_past_the_gate_is_refused",
    ),
    Mutation(
        4,
        _CHECK,
        "self._resumed = None  # rule 4: a session verified under other pins is not resumed",
        "pass",
        _FOUR + "test_a_session_that_is_resumed_while_the_pins_change_is_refused",
    ),
    Mutation(
        4,
        _CONTEXT,
        "            gate.session = session\n",
        "            raw.session = session\n",
        _FOUR + "test_a_session_of_another_host_is_not_offered",
    ),
    Mutation(
        4,
        _GATE,
        "        if chain is None:\n            return\n",
        "",
        _FOUR + "test_a_session_of_another_host_is_not_offered",
    ),
    Mutation(
        4,
        _GATE,
        "        chain = self.chain_of(session)\n        if chain is None:",
        "        chain = self._resumed = self.chain_of(session)\n        if chain is None:",
        _FOUR + "test_a_session_that_is_not_offered_leaves_the_one_before",
    ),
    Mutation(
        4,
        _GATE,
        "self._raw.session if self.accepted else None",
        "self._raw.session",
        _FOUR + "test_there_is_no_session_before_the_check",
    ),
    Mutation(
        5,
        _CONTEXT,
        'return normalise(hostname) if hostname else ""',
        'return hostname.lower() if hostname else ""',
        _FIVE + "test_all_spellings_of_a_name_are_the_same_host",
    ),
    Mutation(
        5,
        _CONTEXT,
        "if not host:\n            raise",
        "if False:\n            raise",
        _FIVE + "test_without_a_server_name_there_is_no_connection",
    ),
    Mutation(
        5,
        _GATE,
        "self.server_hostname = context._encode_hostname(self.server_hostname)",
        "pass",
        _FIVE + "test_a_name_set_on_a_waiting_socket_is_normalised_too",
    ),
    Mutation(
        5,
        "certpin/pins/hosts.py",
        'if ":" in before_zone:',
        'if ":" in text:',
        "tests/pins/test_hosts.py::test_text_that_is_not_a_host_is_refused",
    ),
    Mutation(
        5,
        "certpin/pins/hosts.py",
        "idna.encode(label, uts46=True)",
        'label.encode("idna")',
        _FIVE + "test_idna_2003_would_select_another_host",
    ),
    Mutation(
        "an error about a host pattern shows its wildcard",
        "certpin/pins/hosts.py",
        "_normalise(text.removeprefix(wildcard), text)",
        "normalise(text.removeprefix(wildcard))",
        "tests/pins/test_hosts.py::test_the_error_about_a_pattern_shows_its_wildcard",
    ),
    Mutation(
        6,
        _CHECK,
        "except CertificateParseError as exc:",
        "except ZeroDivisionError as exc:",
        _SIX + "test_junk_in_the_verified_chain_is_refused_with_the_typed_error",
    ),
    Mutation(
        6,
        "certpin/x509/der.py",
        "    if algorithm == _RSA and [",
        "    if False and [",
        _SIX + "test_a_certificate_that_openssl_reads_loosely_is_refused[no NULL-enforce]",
    ),
    Mutation(
        6,
        "certpin/tls/failures.py",
        "cannot be used: {error.problem}",
        "cannot be used",
        _SIX + "test_a_certificate_that_openssl_reads_loosely_is_refused[no NULL-enforce]",
    ),
    Mutation(
        "an error for a certificate has no text of the parser",
        "certpin/x509/certificate.py",
        'str(exc) if isinstance(exc, DerError) else "it cannot be parsed"',
        "str(exc)",
        _SIX + "test_a_certificate_that_openssl_reads_loosely_is_refused[a padded length-enforce]",
    ),
    Mutation(
        6,
        "certpin/x509/certificate.py",
        "return Certificate(der, certificate_spki(der))",
        _REWRITTEN,
        _SIX + "test_the_pin_of_an_rsa_pss_key_is_that_of_openssl",
    ),
    Mutation(
        14,
        "certpin/tls/assertion.py",
        "if not check.accepted:",
        "if False:",
        _FOURTEEN + "test_before_the_handshake_it_is_not_checked_yet",
    ),
    Mutation(
        14,
        "certpin/tls/assertion.py",
        "if wanted not in (None, checked):",
        "if False:",
        _FOURTEEN + "test_a_check_for_another_host_is_not_enough",
    ),
    Mutation(
        14,
        "certpin/tls/assertion.py",
        "not (gate or isinstance(tls._sslobj, OpenSSLSocket)):",
        "False:",
        _FOURTEEN + "test_a_connection_is_not_pinned_after_tls_was_closed",
    ),
    Mutation(
        14,
        "certpin/tls/assertion.py",
        'getattr(tls, "_is_closing", False)',
        "False",
        _FOURTEEN + "test_an_object_is_not_pinned_from_the_begin_of_its_closing",
    ),
    Mutation(
        14,
        "certpin/tls/assertion.py",
        "if callable(ask) and ask():",
        "if False:",
        _FOURTEEN + "test_a_connection_of_asyncio_is_not_pinned_after_it_was_closed",
    ),
    Mutation(
        14,
        "certpin/tls/assertion.py",
        "if check.target.policy is None and strict:",
        "if False:",
        _FOURTEEN + "test_no_policy_and_not_checked_are_different_errors",
    ),
    Mutation(
        14,
        "certpin/tls/assertion.py",
        '    "sslobj",  # urllib3\'s SSLTransport: TLS in TLS\n',
        '    "socket",\n    "sslobj",\n',
        _FOURTEEN + "test_tls_inside_tls_is_judged_by_the_inner_connection",
    ),
    Mutation(
        3,
        _GATE,
        "self._tls = NoTLS() if value is None else value",
        "self._tls = value",
        _PATCHED + "test_a_refused_socket_of_gevent_moves_no_byte",
    ),
    Mutation(
        3,
        _GATE,
        'if is_of("gevent.socket", "socket", sock):',
        "if False:",
        _PATCHED + "test_a_socket_of_gevent_is_checked_and_its_gate_stays",
    ),
    Mutation(
        3,
        _GATE,
        "    if culprit:\n",
        "    if False:\n",
        _PATCHED + "test_a_replaced_socket_class_is_named",
    ),
    Mutation(
        "gevent's sockets get gevent's TLS for certpin's own requests, too",
        "certpin/x509/openssl.py",
        'if not is_of("gevent.socket", "socket", sock):',
        "if True:",
        "tests/cli/test_doctor.py"
        "::test_servers_are_contacted_although_gevent_replaced_the_tls_of_python",
    ),
    Mutation(
        1,
        "certpin/x509/openssl.py",
        "return type(self) if issubclass(type(self), replacement) else replacement",
        "return type(self)",
        _PATCHED + "test_a_replaced_context_class_is_not_used_and_not_needed",
    ),
    Mutation(
        1,
        "certpin/x509/openssl.py",
        '    minimum_version = _set_directly("minimum_version")\n',
        "",
        _PATCHED + "test_a_replaced_context_class_is_not_used_and_not_needed",
    ),
    Mutation(
        3,
        _GATE,
        "self._raw if self.accepted else self.do_handshake()",
        "self._raw",
        _THREE + "test_sendfile_of_python_3_15_is_checked_first",
    ),
    Mutation(
        3,
        _GATE,
        "            self.judge_early(self._raw)\n",
        "            pass\n",
        _CERTIFICATES + "test_a_rogue_gets_the_client_hello_and_nothing_more",
    ),
    Mutation(
        3,
        _GATE,
        "            self._raw.context = self.identity\n        except",
        "            pass\n        except",
        _CERTIFICATES + "test_the_certificate_is_sent_to_the_pinned_server",
    ),
    # As before this rule: the certificate is there from the beginning.
    Mutation(
        3,
        _CONTEXT,
        "        gate._raw = raw\n",
        "        gate._raw = raw\n        context = gate.identity\n"
        "        if context is not None:\n"
        "            self._guard_certificate(context)\n"
        "            raw.context = context\n",
        _CERTIFICATES + "test_an_interrupt_at_any_step_of_the_check_sends_no_certificate",
    ),
    Mutation(
        3,
        _GATE,
        "            if self._refusal is not None:  # TLS 1.2: the last flight waits",
        "            if False:  # TLS 1.2: the last flight waits",
        _CERTIFICATES + "test_a_rogue_gets_nothing_more_over_memory_bios",
    ),
    Mutation(
        3,
        _GATE,
        "        self._discard()\n        interrupt, self._interrupt",
        "        interrupt, self._interrupt",
        _CERTIFICATES + "test_a_rogue_gets_nothing_more_over_memory_bios",
    ),
    Mutation(
        3,
        _CONTEXT,
        "{_CERTIFICATE_REQUEST, _SERVER_HELLO_DONE, _CERTIFICATE_VERIFY, _FINISHED}",
        "{_SERVER_HELLO_DONE, _FINISHED}",
        _CERTIFICATES + "test_the_certificate_is_sent_to_the_pinned_server",
    ),
    Mutation(
        3,
        _CONTEXT,
        "version == _TLS_1_3 and message_type == _CERTIFICATE_REQUEST",
        "False",
        _CERTIFICATES + "test_the_certificate_is_sent_to_the_pinned_server",
    ),
    Mutation(
        3,
        _CHECK,
        "if not self.has_proved_key:",
        "if False:",
        _CERTIFICATES + "test_a_server_that_signs_nothing_gets_no_certificate",
    ),
    Mutation(
        3,
        _CHECK,
        "if raw.context is not self.identity:",
        "if False:",
        _CERTIFICATES + "test_a_connection_is_refused_if_its_callback_was_replaced",
    ),
    Mutation(
        3,
        _CHECK,
        "return judged_for is not self._enforcer.state or ",
        "return True or ",
        _CERTIFICATES + "test_each_connection_is_checked_and_reported_once",
    ),
    Mutation(
        10,
        _CHECK,
        "judged_for is not self._enforcer.state or ",
        "",
        _CERTIFICATES + "test_a_swap_between_the_two_checks_takes_effect",
    ),
    Mutation(
        3,
        "certpin/x509/contexts.py",
        "        self._guard_certificate(context)\n",
        "",
        _CERTIFICATES + "test_the_certificate_is_sent_to_the_pinned_server",
    ),
    Mutation(
        3,
        "certpin/x509/contexts.py",
        "            self._give_identity(store, self._make_identity"
        "(store, self._certificates.values()))\n",
        "            for certificate in self._certificates.values():\n"
        "                certificate.load_into(store)\n",
        _CERTIFICATES + "test_a_certificate_loaded_later_and_a_store_made_later_are_guarded",
    ),
    Mutation(
        3,
        _GATE,
        "                self._interrupt = exc\n",
        "                pass\n",
        _CERTIFICATES + "test_an_interrupt_during_the_check_is_raised_and_refuses",
    ),
    Mutation(
        3,
        _GATE,
        "        if isinstance(reason, ssl.SSLError):\n            self._refusal",
        "        if isinstance(reason, Exception):\n            self._refusal",
        _THREE + "test_an_exception_of_the_app_that_interrupts_the_check_is_raised",
    ),
    Mutation(
        3,
        _GATE,
        "if not isinstance(exc, PinError):",
        "if not isinstance(exc, Exception):",
        _CERTIFICATES + "test_a_time_limit_in_the_check_is_raised_and_sends_no_certificate",
    ),
    Mutation(
        3,
        _GATE,
        "                interrupt = exc.__context__\n",
        "                interrupt = None\n",
        _CERTIFICATES + "test_an_interrupt_at_any_step_over_memory_bios_is_raised",
    ),
    Mutation(
        3,
        _GATE,
        "if interrupt is not None and interrupt is not handled:",
        "if interrupt is not None:",
        _CERTIFICATES + "test_an_exception_that_was_being_handled_is_no_interrupt",
    ),
    Mutation(
        3,
        _GATE,
        '        self._refusal = _interrupted("a signal")  # it stays',
        "        # it stays",
        _CERTIFICATES + "test_no_certificate_stays_if_offering_a_session_is_interrupted",
    ),
    Mutation(
        3,
        "certpin/x509/contexts.py",
        "        _copy_roots(context, identity)\n",
        "",
        _CERTIFICATES + "test_the_chain_of_the_client_is_completed_with_the_roots",
    ),
]
