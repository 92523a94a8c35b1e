"""Source changes that remove a rule of the lab's verdicts; a test must fail for each.

``tests/test_mutations.py`` applies them.
"""

from __future__ import annotations

from tests._mutation import Mutation

_SEQUENCES = "tests/lab/attacks/test_sequences.py::test_a_pinned_request_that_follows_redirects_"
_JUDGE = "certpin/lab/verdict.py"
_RUN, _PORT = "certpin/lab/runner.py", "certpin/lab/server/port.py"
_CLIENT = "certpin/lab/client.py"

_J, _R, _C = (
    "tests/lab/test_verdict.py::",
    "tests/lab/test_runner.py::",
    "tests/lab/test_client.py::",
)

_VERDICTS = [
    Mutation(
        "a case with redirects is run without them too, for a client of several requests",
        "certpin/lab/runner.py",
        "if not (case.separate and several) or lab.upstream or",
        "if True or",
        f"{_SEQUENCES}does_not_hide_an_unpinned_one",
    ),
    Mutation(
        "the second host is attacked without redirects too",
        "certpin/lab/attacks/sequences.py",
        "    return _second_host(pki, Answer.OK)\n",
        "    return _second_host(pki)\n",
        f"{_SEQUENCES}does_not_hide_an_unpinned_host",
    ),
    Mutation(
        "a connection without common parameters hides no refusal",
        _JUDGE,
        "    if all(disagrees(seen.problem) for seen in judged):\n",
        "    if disagrees(judged[-1].problem):\n",
        f"{_J}test_a_connection_without_common_parameters_hides_no_refusal_on_another[none]",
    ),
    Mutation(
        "never connected",
        _JUDGE,
        "    if not met:\n",
        "    if not attempt.connections:\n",
        f"{_J}test_a_client_that_never_came_is_inconclusive",
    ),
    Mutation(
        "a probe is no refusal",
        _JUDGE,
        "        judgement = _unused(attempt) or judgement\n",
        "        pass\n",
        f"{_J}test_an_attack_that_may_have_met_a_probe_is_inconclusive",
    ),
    Mutation(
        "every silent connection",
        _JUDGE,
        "if not (probing and silent and attempt.ending.content)",
        "if not (probing and len(silent) == len(attacked) and attempt.ending.content)",
        f"{_J}test_an_attack_that_may_have_met_a_probe_is_inconclusive",
    ),
    Mutation(
        "a spare connection after the last request",
        _JUDGE,
        "    since = 0 if len(silent) == len(attacked) else silent[0] + 1\n",
        "    since = silent[0] + 1\n",
        f"{_J}test_an_attack_after_the_last_request_may_have_met_a_spare_connection",
    ),
    Mutation(
        "a visible refusal after the last request",
        _JUDGE,
        "    since = 0 if len(silent) == len(attacked) else silent[0] + 1\n",
        "    since = 0\n",
        f"{_J}test_an_attack_after_the_last_request_may_have_met_a_spare_connection",
    ),
    Mutation(
        "probes in the run itself",
        _JUDGE,
        "attempt.opens_probes or any(map(_is_probe, seen))",
        "attempt.opens_probes",
        f"{_J}test_an_attack_that_may_have_met_a_probe_is_inconclusive",
    ),
    Mutation(
        "a second try after a refusal",
        _JUDGE,
        "    if not (probing and silent and",
        "    if not (silent and",
        f"{_J}test_a_client_that_opens_no_probes_has_refused",
    ),
    Mutation(
        "a client that saw no certificate refused none",
        _JUDGE,
        "    if expect is Expect.ACCEPT and all(single.unshown for single in judgements):\n",
        "    if False:\n",
        f"{_J}test_an_honest_server_that_shares_no_tls_parameters_was_not_refused",
    ),
    Mutation(
        "a client that saw a certificate of one server may have refused it",
        _JUDGE,
        "    unshown = all(disagrees(",
        "    unshown = any(disagrees(",
        f"{_J}test_an_honest_server_that_shares_no_tls_parameters_was_not_refused",
    ),
    Mutation(
        "an alert is a refusal",
        _JUDGE,
        "seen.data or seen.alert or disagrees(seen.problem))",
        "seen.data or disagrees(seen.problem))",
        f"{_J}test_a_refusal_that_a_probe_would_not_show_counts",
    ),
    Mutation(
        "a request before the attack",
        _JUDGE,
        "    if steps[0].role is Role.HONEST and not any(map(_is_used, seen[: attacked[0]])):\n",
        "    if False:\n",
        f"{_J}test_an_attack_on_a_later_connection_needs_a_request_on_an_earlier_one",
    ),
    Mutation(
        "probes in the good control",
        _RUN,
        "probing = control is not None and opens_probes(control.attempts)",
        "probing = False",
        f"{_R}test_a_probe_in_the_good_control_is_remembered",
    ),
    Mutation(
        "probes in the good control of a test",
        "certpin/lab/trial.py",
        "self.lab, client, case, control=control)",
        "self.lab, client, case)",
        f"{_R}test_a_probe_in_the_good_control_is_remembered",
    ),
    Mutation(
        "a handshake is not acceptance",
        _JUDGE,
        "    if gave and (ending.content or ending.problem):",
        "    if (gave or judged[0].secured) and (ending.content or ending.problem):",
        f"{_J}test_finished_handshake_is_no_acceptance",
    ),
    Mutation(
        "stopped with data",
        _JUDGE,
        "    if gave and (ending.content or ending.problem):",
        "    if gave and ending.content:",
        f"{_J}test_a_client_that_had_to_be_stopped_did_not_refuse",
    ),
    Mutation(
        "leak",
        _JUDGE,
        "return Judgement(Verdict.LEAK, f",
        "return Judgement(Verdict.ACCEPT, f",
        f"{_J}test_data_and_then_an_error_is_a_leak",
    ),
    Mutation(
        "died",
        _JUDGE,
        "        if self.status < 0 or 128 < self.status <= 192:\n",
        "        if 128 < self.status <= 192:\n",
        f"{_J}test_a_client_that_died_did_not_refuse[-11]",
    ),
    Mutation(
        "died in a shell",
        _JUDGE,
        "        if self.status < 0 or 128 < self.status <= 192:\n",
        "        if self.status < 0:\n",
        f"{_J}test_signal_reported_by_a_shell_is_no_refusal[139]",
    ),
    Mutation(
        "stopped at an honest server",
        _JUDGE,
        "    if ending.broken and not (gave and exposed):\n",
        "    if ending.broken and not gave:\n",
        f"{_J}test_an_honest_server_is_not_accepted_by_a_client_that_had_to_be_stopped",
    ),
    Mutation(
        "an attacker has the data that was sent",
        _JUDGE,
        "    if ending.broken and not (gave and exposed):\n",
        "    if ending.broken:\n",
        f"{_J}test_a_client_that_had_to_be_stopped_did_not_refuse",
    ),
    Mutation(
        "nothing leaks to an honest server",
        _JUDGE,
        "    if gave and exposed:\n",
        "    if gave:\n",
        f"{_J}test_nothing_leaks_to_an_honest_server",
    ),
    Mutation(
        "an honest second host is not judged",
        _JUDGE,
        "(not scenario.attacks and seen.step in scenario.first)",
        "not scenario.attacks",
        f"{_J}test_honest_second_host_is_no_evidence_about_the_first",
    ),
    Mutation(
        "a host without pins",
        _JUDGE,
        "self.step is not None and self.step.role is not Role.HONEST",
        "self.step is not None and self.step.role is Role.ATTACKER",
        f"{_J}test_data_counts_at_a_host_without_pins_though_it_is_honest",
    ),
    Mutation(
        "a renewed server is honest",
        "certpin/lab/scenario.py",
        "return cls.of(ServerStep.of(identity, *appended, role=Role.HONEST))",
        "return cls.of(ServerStep.of(identity, *appended))",
        "tests/lab/test_honest.py::"
        "test_a_client_that_refuses_the_renewed_server_too_late_refused_it"
        "[rot-renewed-same-key-leaf]",
    ),
    Mutation(
        "an earlier leak remains a finding",
        _RUN,
        "            if not judgements:\n                raise\n",
        "            raise\n",
        f"{_R}test_leak_before_a_serving_error_remains_a_finding",
    ),
    Mutation(
        "nothing tried",
        "certpin/lab/report/words.py",
        "    return 0 if tried and run.controlled",
        "    return 0 if run.controlled",
        "tests/cli/test_prove.py::test_a_run_without_tried_cases_is_inconclusive",
    ),
    Mutation(
        "only attacked connections count",
        _JUDGE,
        "    judged = [connection for connection in met if is_judged(scenario, connection)]\n",
        "    judged = met\n",
        f"{_J}test_only_hostile_connections_count_in_an_attack",
    ),
    Mutation(
        "never met the attack",
        _JUDGE,
        "    return Judgement(None, missed)\n",
        "    return Judgement(Verdict.REJECT, missed)\n",
        f"{_J}test_an_attack_that_the_client_never_met_has_no_verdict",
    ),
    Mutation(
        "canary only",
        _JUDGE,
        "    if said and not (attempt.scenario.canary_only and attempt.canary):",
        "    if said:",
        f"{_J}test_only_the_canary_counts_if_a_lax_call_is_allowed",
    ),
    Mutation(
        "the answer printed",
        _JUDGE,
        'return "" if answered_elsewhere else _believed(attempt)',
        "return _believed(attempt)",
        f"{_J}test_an_answer_from_an_honest_connection_is_no_acceptance_of_a_hostile_one",
    ),
    Mutation(
        "octets of the real server prove nothing",
        _JUDGE,
        "    if any(connection.passed for connection in judged):",
        "    if any(connection.answered for connection in judged):",
        f"{_J}test_data_to_the_real_server_counts_and_its_answer_does_not",
    ),
    Mutation(
        "unclear records need a successful client",
        _JUDGE,
        "any(connection.unclear and connection.answered for connection in judged)",
        "any(connection.unclear for connection in judged)",
        f"{_J}test_successful_client_with_unclear_records_has_accepted",
    ),
    Mutation(
        "clear text",
        _JUDGE,
        "return bool(self.clear or self.astray) or (",
        "return bool(self.astray) or (",
        f"{_J}test_data_in_clear_text_counts_as_much_and_needs_no_hello",
    ),
    Mutation(
        "flaky",
        _JUDGE,
        "    if all(judgement.verdict is first.verdict for judgement in others):",
        "    if first:",
        f"{_J}test_attempts_that_differ_are_flaky",
    ),
    Mutation(
        "once is enough",
        _JUDGE,
        "        return judgement, Outcome.WRONG\n",
        "        return judgement, Outcome.UNDECIDED\n",
        f"{_J}test_an_attack_that_got_through_once_got_through",
    ),
    Mutation(
        "inconclusive is not right",
        _JUDGE,
        "    if verdict in {Verdict.INCONCLUSIVE, Verdict.FLAKY}:",
        "    if verdict in {Verdict.FLAKY}:",
        f"{_J}test_what_is_inconclusive_or_flaky_is_never_right",
    ),
    Mutation(
        "a leak is wrong",
        _JUDGE,
        "    Expect.REJECT: {Verdict.REJECT: Outcome.RIGHT},",
        "    Expect.REJECT: {Verdict.REJECT: Outcome.RIGHT, Verdict.LEAK: Outcome.RIGHT},",
        f"{_J}test_what_is_wrong_is_a_finding",
    ),
    Mutation(
        "must-accept counts",
        _JUDGE,
        "    Expect.ACCEPT: {Verdict.ACCEPT: Outcome.RIGHT},",
        "    Expect.ACCEPT: {Verdict.ACCEPT: Outcome.RIGHT, Verdict.REJECT: Outcome.RIGHT},",
        f"{_J}test_what_is_wrong_is_a_finding",
    ),
]

_SEEN = [
    Mutation(
        "clear text after TLS",
        "certpin/lab/server/session.py",
        "            self.seen.clear += self._unread[: KEPT - len(self.seen.clear)]\n",
        "            pass\n",
        "tests/lab/server/test_session.py::test_clear_text_after_failed_tls_is_a_leak",
    ),
    Mutation(
        "a certificate shown",
        _JUDGE,
        "connection.client_certificate or connection.certificate_shown for connection",
        "connection.client_certificate for connection",
        "tests/lab/attacks/test_client_certificates.py::"
        "test_unknown_client_certificate_counts_as_sent",
    ),
]

_HTML = "tests/lab/report/test_html.py::"

_REPORTS = [
    Mutation(
        "a closed pipe is no finding",
        "certpin/cli/reply.py",
        "            raise BrokenPipeError\n",
        "            raise SystemExit(1)\n",
        "tests/cli/test_main.py::"
        "test_a_pipe_that_is_closed_before_a_table_is_printed_ends_with_141",
    ),
    Mutation(
        "nothing of an honest server leaked",
        "certpin/lab/report/html_case.py",
        "        if not seen.exposed:\n",
        "        if False:\n",
        f"{_HTML}test_an_honest_server_is_no_attacker_and_nothing_is_given_away[hung]",
    ),
    Mutation(
        "a renewal is no attack",
        "certpin/lab/report/words.py",
        "result.case.family is Family.ROTATION or not refused_by(result.case)",
        "not refused_by(result.case)",
        "tests/lab/report/test_words.py::"
        "test_a_renewal_is_no_attack_although_other_pins_refuse_it[ca]",
    ),
    Mutation(
        "a renewal is an attack on pins that must refuse it",
        "certpin/lab/report/words.py",
        "    if family is Family.ROTATION and result.expect is Expect.REJECT:\n",
        "    if False:\n",
        "tests/lab/report/test_words.py::test_no_attack_is_among_the_legitimate_changes[leaf]",
    ),
    Mutation(
        "a renewal that pins must refuse tests the pins",
        "certpin/lab/report/mastg.py",
        "    if expect is Expect.REJECT and case in _ATTACK_ON_PINS:\n",
        "    if False:\n",
        "tests/lab/report/test_mastg.py::test_attacks_that_only_pins_stop_are_about_pinning",
    ),
    Mutation(
        "SARIF points at a file",
        "certpin/lab/report/sarif.py",
        '"artifactLocation": {"uri": artifact_uri(location)},',
        '"artifactLocation": {"uri": f"https://{run.host}/"},',
        "tests/lab/report/test_sarif.py::"
        "test_each_result_has_a_rule_a_message_and_a_place[every outcome]",
    ),
]

_COMPROMISED = "tests/lab/attacks/test_compromised.py::"

_MARKED = [
    Mutation(
        "the pin set of the case marks the key",
        "certpin/lab/case.py",
        "        policy = replace(policy, pins=(*policy.pins, case.compromised(pki)))\n",
        "        pass\n",
        f"{_COMPROMISED}test_only_its_own_pin_set_marks_a_key",
    ),
    Mutation(
        "a client that cannot know the compromised key is not judged",
        "certpin/lab/target.py",
        "        if self.compromised:\n",
        "        if False:\n",
        f"{_COMPROMISED}test_a_client_that_is_given_keys_to_accept_is_not_judged[pin]",
    ),
    Mutation(
        "an export without the compromised key is not judged",
        "certpin/lab/target.py",
        "sorted(map(str, _compromised(pins) - _compromised(export.pins)))",
        "()",
        f"{_COMPROMISED}test_an_export_that_leaves_the_key_out_is_not_judged[curl]",
    ),
    Mutation(
        "the report marks the compromised key",
        "certpin/lab/report/flaws.py",
        "refused = spot.path.on_path and spot.context.is_compromised(spot.place.facts)",
        "refused = False",
        "tests/lab/report/test_flaws_of_the_matrix.py::"
        "test_picture_marks_only_chains_that_must_be_refused[compromised-key-ca]",
    ),
]

_TRANSPARENCY = "tests/lab/attacks/test_transparency.py::"

_LOGGED = [
    Mutation(
        "the pin set of the case requires Certificate Transparency",
        "certpin/lab/case.py",
        "    if case.requires_ct:\n",
        "    if False:\n",
        f"{_TRANSPARENCY}test_a_certificate_that_no_known_log_has_is_refused",
    ),
    Mutation(
        "a client that cannot know the logs is not judged",
        "certpin/lab/target.py",
        "        if self.requires_ct:\n",
        "        if False:\n",
        f"{_TRANSPARENCY}test_a_client_that_cannot_know_the_logs_is_not_judged[{{pin}}]",
    ),
    Mutation(
        "an export without the logs is not judged",
        "certpin/lab/target.py",
        "if pins.ct_logs and export.pins.ct_logs != pins.ct_logs:",
        "if False:",
        f"{_TRANSPARENCY}test_a_client_that_cannot_know_the_logs_is_not_judged[{{export:okhttp-kotlin}}]",
    ),
]

_RUNS = [
    Mutation(
        "URLs name the port without a proxy",
        _CLIENT,
        'target.direct if self.via == "port" else target',
        "target",
        "tests/lab/test_direct.py::test_command_gets_urls_for_its_transport[port-True]",
    ),
    Mutation(
        "control first",
        _RUN,
        "    if results[0].outcome is Outcome.RIGHT:",
        "    if True:",
        f"{_R}test_without_a_good_control_nothing_else_is_run",
    ),
    Mutation(
        "control last",
        _RUN,
        "        results.append(try_case(lab, client, CONTROL, repeat))\n",
        "",
        f"{_R}test_the_good_control_runs_first_and_last",
    ),
    Mutation(
        "without a control",
        _RUN,
        "    return run if run.controlled else _without_control(run)",
        "    return run",
        f"{_R}test_failed_last_control_invalidates_refusals_but_not_findings",
    ),
    Mutation(
        "interrupted",
        _RUN,
        "    except BaseException:\n        stop()\n",
        "    except BaseException:\n",
        f"{_R}test_an_interrupted_run_stops_the_client",
    ),
    Mutation(
        "nothing begins after the end",
        _CLIENT,
        "        self._stopped.set()\n",
        "",
        f"{_C}test_a_client_that_was_stopped_does_not_begin",
    ),
    Mutation(
        "no child is left",
        _CLIENT,
        "            _kill(process)  # and its children\n",
        "",
        f"{_C}test_a_child_that_outlives_its_parent_is_ended_too",
    ),
    Mutation(
        "no other proxy",
        "certpin/lab/client.py",
        '    variables |= {"NO_PROXY": "", "no_proxy": ""}\n',
        "",
        f"{_C}test_environment_directs_clients_only_to_the_lab",
    ),
]

_LATE = (
    "tests/lab/test_warm.py::"
    "test_modules_that_a_client_imports_late_are_imported_before_the_next_one"
)
_WARM = [
    Mutation(
        "warm: late modules are imported once",
        "certpin/lab/zygote.py",
        "        _import(name for name in _left_names(shared) if _is_installed(name))\n",
        "",
        f"{_LATE}[late]",
    ),
    Mutation(
        "warm: own modules are never imported before",
        "certpin/lab/zygote.py",
        ' and _own_file(name.partition(".")[0]) is None',
        "",
        f"{_LATE}[late]",
    ),
    Mutation(
        "warm: a fork would lack the threads of a module",
        "certpin/lab/zygote.py",
        "    if threading.active_count() == 1 and ",
        "    if ",
        f"{_LATE}[with a thread]",
    ),
]

MUTATIONS = [*_VERDICTS, *_SEEN, *_REPORTS, *_MARKED, *_LOGGED, *_RUNS, *_WARM]
