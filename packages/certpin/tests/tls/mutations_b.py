"""Mutations that remove the checks of the enforcement rules 7 to 13.

``test_mutations.py`` applies each and runs the test that must fail.
"""

from __future__ import annotations

from tests._mutation import Mutation

_TLS = "certpin/tls/"
_VERDICT = "certpin/pins/verdict.py"
_R7 = "tests/tls/test_rule_07_root_pins.py::test_"
_FORKS = "tests/tls/test_forks.py::"
_R8 = "tests/tls/test_rule_08_trust_file.py::test_"
_R9 = "tests/tls/test_rule_09_strict.py::test_"
_R10 = "tests/tls/test_rule_10_swapping.py::test_"
_R11 = "tests/tls/test_rule_11_debug_override.py::test_"
_R12 = "tests/tls/test_rule_12_the_error.py::test_"
_UNVERIFIED = "tests/tls/test_unverified.py::test_"
_HOOKS = "tests/support/test_hooks.py::test_"
_EVENTS = "tests/tls/test_events.py::test_"
_R13 = "tests/tls/test_rule_13_compromised_keys.py::test_"
_MODES = "tests/tls/test_policy_modes.py::test_"

MUTATIONS = [
    Mutation(
        "strict as Python",
        "certpin/x509/openssl.py",
        "if STRICT_BY_DEFAULT if strict is None else strict:",
        "if True:",
        "tests/tls/test_strict_x509.py::"
        "test_a_private_root_without_key_usage_is_accepted_if_the_pin_file_says_so",
    ),
    Mutation(
        "strict as the pin file says",
        "certpin/pins/policy.py",
        'strict = b"" if self.strict is None else bytes([self.strict])',
        'strict = b""',
        "tests/tls/test_strict_x509.py::test_each_host_with_a_trust_file_has_its_strictness",
    ),
    Mutation(
        13,
        _VERDICT,
        "if not policy.compromised:",
        "if True:",
        _R13 + "a_compromised_key_is_refused_although_the_root_is_pinned",
    ),
    Mutation(
        13,
        _VERDICT,
        "for certificate in chain.certificates\n            if not policy",
        "for certificate in (chain.leaf,)\n            if not policy",
        _R13 + "an_authority_is_refused_although_the_leaf_is_pinned",
    ),
    Mutation(
        7,
        _TLS + "context.py",
        "int(value) & ~int(ssl.VERIFY_X509_PARTIAL_CHAIN)",
        "int(value)",
        _R7 + "a_root_pin_matches_although_the_caller_allows_partial_chains",
    ),
    Mutation(
        7,
        "certpin/x509/openssl.py",
        "if not end_in_roots(anchors):",
        "if True:",
        _R7 + "a_root_pin_matches_if_a_trust_file_has_root_and_intermediate",
    ),
    Mutation(
        7,
        "certpin/pins/verdict.py",
        "    _when_another_root,\n",
        "",
        _R7 + "a_cross_signed_path_to_another_root_is_explained",
    ),
    Mutation(
        12,
        _TLS + "check.py",
        "raise_for_refusal(host, self._request.known_port(host))",
        "raise_for_refusal(host)",
        "tests/clients/test_conformance.py::"
        "test_another_key_under_a_trusted_root_is_refused_before_any_request",
    ),
    Mutation(
        12,
        _TLS + "failures.py",
        "compare_advice(policy, host, port=server.port)",
        'f"certpin pin {host}:{server.port}"',
        _UNVERIFIED + "the_command_to_compare_contacts_the_server_of_the_pin_file",
    ),
    Mutation(
        8,
        "certpin/x509/contexts.py",
        "        certificate.load_into(self._trial_context())\n",
        "",
        _FORKS + "test_a_context_can_be_used_while_the_function_for_a_password_runs",
    ),
    Mutation(
        8,
        "certpin/x509/contexts.py",
        "        self._configuring = AwaitedLock()\n",
        "        self._configuring = ForkedLock()\n",
        _FORKS + "test_no_process_forks_in_the_middle_of_a_change_of_settings",
    ),
    Mutation(
        8,
        "certpin/support/forks.py",
        "sorted(members, key=lambda each: isinstance(each, AwaitedLock))",
        "members",
        "tests/support/test_forks.py"
        "::test_awaited_locks_are_acquired_after_the_locks_of_other_objects",
    ),
    Mutation(
        8,
        _TLS + "check.py",
        "self._stores[trust.digest] if trust else None",
        "None",
        _R8 + "the_platforms_roots_are_not_trusted_although_they_are_pinned",
    ),
    Mutation(
        8,
        "certpin/x509/contexts.py",
        "        self._set_everywhere(name, value)\n",
        "        getattr(_StdlibContext, name)(self, value)\n",
        _R8 + "a_curve_is_applied_to_the_stores",
    ),
    Mutation(
        8,
        "certpin/x509/contexts.py",
        "    return repeated if name in {*_REPEATED, *_OVERWRITES} else refused\n",
        "    return repeated if name[:5] != 'set_n' else getattr(_StdlibContext, name)\n",
        "tests/tls/test_rule_08_settings.py::"
        "test_a_setter_that_certpin_does_not_know_raises_an_error",
    ),
    Mutation(
        8,
        "certpin/x509/openssl.py",
        "if not end_in_roots(anchors):",
        "if False:",
        _R8 + "a_trust_file_may_contain_only_an_intermediate",
    ),
    Mutation(
        8,
        "certpin/x509/contexts.py",
        "            certificate.load_into(identity)\n        return identity",
        "            pass\n        return identity",
        _R8 + "the_passphrase_of_a_client_key_is_applied_and_in_no_repr",
    ),
    Mutation(
        9,
        _TLS + "check.py",
        "if target.policy is None and self.strict:",
        "if False:",
        _R9 + "a_host_without_a_policy_is_refused_before_a_byte_is_sent",
    ),
    Mutation(
        9,
        _TLS + "check.py",
        'self.strict or (policy is not None and policy.mode == "enforce")',
        "self.strict",
        _R9 + "without_strict_clear_text_is_refused_only_for_enforced_hosts",
    ),
    Mutation(
        9,
        _TLS + "check.py",
        '            self._record(host, "report", InsecureRequestError.__name__, _UNKNOWN_SERVER)',
        "            pass",
        _R9 + "in_report_mode_clear_text_passes_only_without_strict_and_is_logged",
    ),
    Mutation(
        10,
        _TLS + "context.py",
        "pins.version < current.version or",
        "False or",
        _R10 + "a_swap_to_a_lower_version_is_refused",
    ),
    Mutation(
        10,
        _TLS + "context.py",
        "pins.version == current.version and pins != current",
        "False",
        _R10 + "the_same_version_with_other_content_is_refused",
    ),
    Mutation(
        10,
        _TLS + "check.py",
        "if enforcer.state is not self._state:",
        "if False:",
        _R10 + "a_pin_that_was_removed_during_the_handshake_is_refused",
    ),
    Mutation(
        10,
        _TLS + "check.py",
        "if target.store is not self.target.store:",
        "if False:",
        _R10 + "a_trust_change_during_the_handshake_refuses_only_that_connection",
    ),
    Mutation(
        10,
        _TLS + "check.py",
        "if seen is not None and (policy.expires is None or not policy.expired(clock())):",
        "if seen is not None:",
        _R10 + "a_cached_match_ends_when_its_pins_expire",
    ),
    Mutation(
        11,
        _TLS + "context.py",
        ' or os.environ.get(DEBUG_VARIABLE) != "1":',
        ":",
        _R11 + "only_the_pin_file_is_not_enough",
    ),
    Mutation(
        11,
        _TLS + "check.py",
        "(self.in_force | self.withdrawn) - anchors",
        "self.in_force - anchors",
        _R11 + "after_several_swaps_the_anchor_is_still_refused",
    ),
    Mutation(
        11,
        _TLS + "context.py",
        "    require_loadable(anchors)\n",
        "",
        _R11 + "unreadable_anchors_raise_an_error_and_none_is_trusted[a time of another type]",
    ),
    Mutation(
        11,
        _TLS + "context.py",
        "self._enforcer.state = self._enforcer.state.refusing(loading)",
        "pass",
        _R11 + "no_anchor_is_accepted_before_its_pins_are_in_force",
    ),
    Mutation(
        11,
        _TLS + "check.py",
        "if self._state.debug.withdrawn:",
        "if False:",
        _R11 + "after_a_swap_the_anchor_is_refused_for_hosts_without_pins",
    ),
    Mutation(
        11,
        _TLS + "check.py",
        "if sha256(chain[-1]).digest() in self._state.debug.in_force:",
        "if False:",
        _R11 + "the_debug_override_warns_at_each_use",
    ),
    Mutation(
        11,
        _VERDICT,
        "if debug_anchors and chain.certificates[-1].sha256 in debug_anchors:",
        "if debug_anchors:",
        _R11 + "another_authority_that_the_platform_trusts_is_still_refused",
    ),
    Mutation(
        11,
        _TLS + "check.py",
        '        if verdict.reason == "debug-anchor":\n            warn_of_debug_override(host)',
        "",
        _R11 + "a_path_to_a_debug_anchor_is_accepted_if_both_settings_are_present",
    ),
    Mutation(
        12,
        "certpin/pins/verdict.py",
        "[_headline(verdict, host), *path, *_pinned(policy)]",
        "[_headline(verdict, host)]",
        _R12 + "it_names_every_pin_with_role_state_and_note",
    ),
    Mutation(
        12,
        "certpin/errors.py",
        "_APPLICATION_VERIFICATION = 50",
        "_APPLICATION_VERIFICATION = 1",
        _R12 + "it_carries_the_fields_of_pythons_error",
    ),
    Mutation(
        12,
        "certpin/support/hooks.py",
        "except BaseException:",
        "except Exception:",
        _EVENTS + "a_hook_that_raises_stops_neither_the_next_hook_nor_the_next_failure",
    ),
    Mutation(
        12,
        "certpin/support/hooks.py",
        "with suppress(BaseException):",
        "with suppress(Exception):",
        _HOOKS + "a_log_handler_that_raises_stops_neither_the_next_hook_nor_the_next_event",
    ),
    Mutation(
        12,
        "certpin/support/hooks.py",
        "self._has_thread = not self._waiting.empty()",
        "self._has_thread = False",
        _HOOKS + "an_event_that_comes_when_the_wait_has_just_ended_is_not_lost",
    ),
    Mutation(
        12,
        "certpin/support/hooks.py",
        "            self._has_thread = not self._waiting.empty()\n            return",
        "            return",
        _HOOKS + "the_thread_ends_without_events_and_begins_with_the_next",
    ),
    Mutation(
        12,
        "certpin/support/hooks.py",
        "            if self._idle >= len(self._tasks):\n",
        "            if False:\n",
        _HOOKS + "objects_share_idle_threads",
    ),
    Mutation(
        12,
        "certpin/support/hooks.py",
        "            if self._idle >= len(self._tasks):\n",
        "            if threading.active_count() > 1:\n",
        _HOOKS + "slow_hooks_of_one_object_delay_no_other",
    ),
    Mutation(
        12,
        "certpin/support/hooks.py",
        "            task = None  # an idle thread must",
        "            # an idle thread must",
        _HOOKS + "an_idle_thread_keeps_no_hook_alive",
    ),
    Mutation(
        12,
        "certpin/support/hooks.py",
        "        _threads.run(self._run)\n                self._has_thread = True",
        "        self._has_thread = True\n                _threads.run(self._run)",
        _HOOKS + "an_event_is_handed_over_once_threads_can_start_again",
    ),
    Mutation(
        12,
        _TLS + "failures.py",
        "        with suppress(Exception):\n            self._log(failure)",
        "        self._log(failure)",
        _EVENTS + "a_log_handler_that_raises_breaks_no_connection",
    ),
    Mutation(
        3,
        _TLS + "check.py",
        "    with suppress(ssl.SSLError, ValueError, MemoryError):",
        "    with suppress(Exception):",
        "tests/tls/test_rule_03_before_the_first_byte.py::"
        "test_an_exception_of_the_app_while_the_record_is_made_is_raised",
    ),
    Mutation(
        12,
        _TLS + "failures.py",
        "each is not None and only_name_matches(each.der, end.der)",
        "False",
        _UNVERIFIED + "an_authority_with_the_name_of_an_anchor_is_distinguished",
    ),
    Mutation(
        12,
        _TLS + "check.py",
        "self._enforcer.record_unverified(host,",
        "print(host,",
        _UNVERIFIED + "the_event_has_the_served_chain_and_is_unverified",
    ),
    Mutation(
        3,
        _TLS + "gate.py",
        "        finally:\n            self._refuse(refusal)",
        "        except ValueError:\n            self._refuse(refusal)",
        _UNVERIFIED + "a_failing_report_does_not_change_the_refusal",
    ),
    Mutation(
        12,
        _TLS + "check.py",
        "if self.state.target(host).policy is not None:\n            self._record",
        "if True:\n            self._record",
        _UNVERIFIED + "each_connection_to_a_pinned_host_is_reported_once",
    ),
    Mutation(
        12,
        _TLS + "check.py",
        "                copy(error),\n",
        "                error,\n",
        _EVENTS + "the_error_that_a_hook_gets_keeps_no_connection_alive",
    ),
    Mutation(
        2,
        _VERDICT,
        'if policy.on_expiry == "fail-closed":',
        "if False:",
        _MODES + "fail_closed_refuses_after_expiry_although_a_pin_matches",
    ),
    Mutation(
        2,
        _VERDICT,
        'if match == "any":',
        "if True:",
        _MODES + "match_selects_the_positions_in_the_path",
    ),
    Mutation(
        12,
        _TLS + "check.py",
        "            if policy is not None:\n                port =",
        "            if False:\n                port =",
        _UNVERIFIED + "the_error_names_the_served_issuer_and_the_anchors_of_the_pin_file",
    ),
    Mutation(
        12,
        _TLS + "failures.py",
        "for certificate in certificates[:_SHOWN]:",
        "for certificate in certificates:",
        _UNVERIFIED + "hostile_certificates_change_neither_the_errors_length_nor_its_type",
    ),
    Mutation(
        10,
        _TLS + "check.py",
        "last.expires is None or not last.verdict.policy.expired(enforcer.clock())",
        "True",
        _R10 + "a_cached_match_ends_when_its_pins_expire",
    ),
    Mutation(
        2,
        _TLS + "check.py",
        "            and last.certificates == certificates\n",
        "",
        _R10 + "a_cached_match_is_not_used_for_other_certificates",
    ),
    Mutation(
        3,
        "certpin/tls/gate.py",
        "            if self._outgoing is None:\n                hold",
        "            if False:\n                hold",
        "tests/tls/test_sigpipe.py::test_the_signal_is_blocked_while_the_last_flight_is_written",
    ),
    Mutation(
        3,
        "certpin/tls/gate.py",
        "self._refuse(exc)  # first: a signal handler may raise anywhere after it",
        "hold_sigpipe()",
        "tests/tls/test_rule_03_client_certificates.py::"
        "test_an_interrupt_after_the_refusal_sends_no_certificate",
    ),
    Mutation(
        12,
        "certpin/support/hooks.py",
        " or not all(map(callable, found)):",
        ":",
        _HOOKS + "hooks_that_are_no_list_of_functions_are_refused",
    ),
    Mutation(
        12,
        "certpin/clients/_common.py",
        'if checked_hooks(on_failure, "failure"):',
        "if tuple(on_failure):",
        "tests/clients/test_common.py::test_a_hook_without_a_list_is_refused_beside_a_context",
    ),
    Mutation(
        8,
        "certpin/x509/contexts.py",
        "            password = _require_password\n",
        "            pass\n",
        "tests/tls/test_forks.py::test_an_encrypted_key_without_a_password_is_refused",
    ),
]
