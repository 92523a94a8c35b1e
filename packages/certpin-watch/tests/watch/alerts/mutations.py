"""Mutations of the alerts: each removes one rule from the code.

``test_mutations.py`` applies them in turn, and checks that a test fails for each.
"""

from __future__ import annotations

from tests._mutation import Mutation

_ALERTS = "certpin_watch/alerts/"
_ALERT_RULES = "certpin_watch/rules/"
_STATE = "tests/watch/alerts/test_state.py::test_"
_DELIVERY = "tests/watch/alerts/test_delivery.py::test_"
_RULES = "tests/watch/rules/test_report_rules.py::test_"
_GATHER = "tests/watch/alerts/test_evidence.py::test_"
_MESSAGE = "tests/watch/alerts/test_message.py::test_"
_INSTANCES = "tests/watch/alerts/test_instances.py::test_"
_TELLING = "tests/watch/alerts/test_delivery.py::test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _ALERTS + file, old, new, test)


def _instances(rule: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, "certpin_watch/store/instances.py", old, new, _INSTANCES + test)


MUTATIONS: list[Mutation] = [
    _rule(
        "a response without end is not read",
        "services.py",
        "        if len(data) > _MAX_RESPONSE or ",
        "        if ",
        _DELIVERY + "a_response_without_end_is_not_read[large]",
    ),
    _rule(
        "a slow response without end is not read",
        "services.py",
        " or time.monotonic() > until:",
        ":",
        _DELIVERY + "a_response_without_end_is_not_read[slow]",
    ),
    _rule(
        "the connections of a message have a time limit",
        "services.py",
        "        deadline.hold(args[0])\n",
        "",
        _DELIVERY + "a_server_that_never_ends_does_not_block_later_messages[header]",
    ),
    _rule(
        "the connection to a mail server has a time limit, too",
        "services.py",
        "    with Deadline(seconds, seconds).enforced() as deadline:",
        "    with contextmanager(lambda: (yield Deadline(seconds, seconds)))() as deadline:",
        _DELIVERY + "a_server_that_never_ends_does_not_block_later_messages[mail]",
    ),
    _rule(
        "no connection is opened once the time is up",
        "services.py",
        "        if deadline.passed:\n            raise TimeoutError(TIMED_OUT)\n",
        "",
        _DELIVERY + "no_connection_is_opened_once_the_time_is_up",
    ),
    _rule(
        "a reply of a mail server without end is not read",
        "services.py",
        "        return line if self._read <= _MAX_RESPONSE else ",
        "        return line or ",
        _DELIVERY + "a_reply_of_a_mail_server_without_end_is_not_read",
    ),
    _rule(
        "an accepted message is not sent again if the body stalls",
        "services.py",
        "    with suppress(RequestException):",
        "    with suppress(ZeroDivisionError):",
        _DELIVERY + "a_message_that_was_accepted_is_not_sent_again_if_the_body_stalls",
    ),
    _rule(
        "responses that are no answers to messages are not limited",
        "services.py",
        "            if not stream and (deadline := _DEADLINE.get()) is not None:",
        "            if not stream and (deadline := _DEADLINE.get() or Deadline(30, 30)):",
        _DELIVERY + "other_responses_of_the_process_are_not_limited",
    ),
    _rule(
        "a plugin that reads a response in parts gets all of it",
        "services.py",
        "            if not stream and (",
        "            if (",
        _DELIVERY + "other_responses_of_the_process_are_not_limited",
    ),
    _rule(
        "unmonitored hosts use no capacity",
        "evidence.py",
        "        if not patterns.of(group.host):\n            continue\n",
        "",
        _GATHER + "unmonitored_hosts_use_no_capacity_of_monitored_ones",
    ),
    _rule(
        "each host has reserved groups",
        "evidence.py",
        " or reserved[share] <= _RESERVED_GROUPS:",
        ":",
        _GATHER + "invented_chains_of_one_host_hide_none_of_another",
    ),
    _rule(
        "the shares take turns in the check of chains",
        "evidence.py",
        "        turns[share] += 1\n",
        "",
        _GATHER + "invented_chains_of_one_host_hide_none_of_another",
    ),
    _rule(
        "a rotation explains no mismatch",
        "silences.py",
        "problem.rule in EXPLAINED\n        and ",
        "",
        _STATE + "a_rotation_explains_no_mismatch_and_no_refusal",
    ),
    _rule(
        "a rotation explains nothing critical",
        "silences.py",
        'problem.severity != "critical"\n        and ',
        "",
        _STATE + "a_rotation_explains_no_mismatch_and_no_refusal",
    ),
    _rule(
        "a rotation may name a pinned certificate",
        "silences.py",
        'found += [entry.get("pin"), _certificate_pin(entry.get("sha256"))]',
        'found += [entry.get("pin")]',
        _STATE + "a_rotation_to_a_pinned_certificate_explains_changes_to_it",
    ),
    _rule(
        "a rotation may name a certificate that only some locations receive",
        "silences.py",
        '(details.get("keys"), details.get("certificates"))',
        '(details.get("keys"),)',
        _STATE + "a_rotation_to_a_pinned_certificate_explains_changes_to_it",
    ),
    _rule(
        "alerts that waited for a pause are one message",
        "delivery.py",
        "digest = 1 if is_burst(self._sent, now) else settings.digest",
        "digest = settings.digest",
        _DELIVERY + "a_few_alerts_that_waited_for_a_pause_are_one_message",
    ),
    _rule(
        "a rotation explains only its pin",
        "silences.py",
        "and window.pin in pins",
        "and True",
        _STATE + "a_rotation_explains_changes_to_its_pin_at_its_host_for_a_while",
    ),
    Mutation(
        "a silence has a limit",
        "certpin_watch/store/alerts.py",
        "now < self.until <= last_end(now, longest)",
        "now < self.until",
        _STATE + "a_silence_longer_than_the_setting_has_no_effect",
    ),
    _rule(
        "no silence covers every alert",
        "silences.py",
        "and bool(silence.rule or silence.host)",
        "and True",
        _STATE + "a_silence_of_neither_rule_nor_host_covers_nothing",
    ),
    Mutation(
        "a pinned certificate that was sent along does not count",
        "certpin_watch/chain_check.py",
        "        if place.above is not Signature.GOOD:\n            return\n",
        "",
        _GATHER + "a_pinned_certificate_outside_the_path_does_not_count",
    ),
    Mutation(
        "a compromised key is accepted by no version",
        "certpin_watch/chain_check.py",
        "path is None or _has_compromised_key(path, policies)",
        "path is None",
        _GATHER + "a_compromised_key_is_accepted_by_no_version",
    ),
    Mutation(
        "a chain is verified at the time of its report",
        "certpin_watch/chain_check.py",
        "    begin, end = int(since.timestamp()), ",
        "    begin, end = int(since.timestamp()) // 3600 * 3600, ",
        _GATHER + "a_leaf_is_issued_from_its_first_second",
    ),
    _rule(
        "a rise in severity of an acknowledged alert is sent",
        "state.py",
        'peak=finding.severity, acknowledged_at=None, acknowledged_by=""',
        "peak=finding.severity",
        _STATE + "an_acknowledged_alert_is_not_repeated_until_its_severity_rises",
    ),
    _rule(
        "a label for Alertmanager has no control characters",
        "services.py",
        "{name: printable(value) for name",
        "{name: value for name",
        "tests/watch/alerts/test_alertmanager.py::test_the_labels_for_alertmanager_are_not_changed",
    ),
    _rule(
        "after a jump of the time, the monitor has the time for a first round",
        "run.py",
        "            self._begun = datetime.fromtimestamp(now, UTC)\n",
        "            pass\n",
        "tests/watch/alerts/test_run.py::test_"
        "after_a_jump_of_the_time_the_monitor_is_silent_only_if_it_does_not_probe",
    ),
    _rule(
        "a second rise in severity of an acknowledged alert is sent",
        "state.py",
        "        alert = replace(alert, peak=finding.severity)\n",
        "        pass\n",
        _STATE + "an_acknowledged_alert_that_falls_and_rises_again_is_sent",
    ),
    _rule(
        "a service that got a message gets the end",
        "state.py",
        "if is_worse(alert.severity, alert.highest) else alert.highest",
        "if alert.told_at is not None else alert.highest",
        _DELIVERY + "a_service_for_critical_alerts_gets_the_end_of_one_that_became_a_warning",
    ),
    _rule(
        "an alert about a wildcard reaches a service of a host below it",
        "delivery.py",
        " or matches_host(alert.host, entry)",
        "",
        _DELIVERY + "an_alert_about_a_wildcard_is_sent_for_a_host_below_it",
    ),
    _rule(
        "silence of clients doesn't end because the regular week is over",
        "evidence.py",
        "reports.hours_with_reports(connection, this - HOUR, HISTORY)",
        "_",
        _GATHER + "the_regular_week_is_the_one_before_the_last_report",
    ),
    _rule(
        "signs that services act on are replaced for Alertmanager",
        "services.py",
        '"summary": harmless(alert.summary, _MAX_ANNOTATION)',
        '"summary": alert.summary',
        "tests/watch/alerts/test_alertmanager.py::test_"
        "a_real_alertmanager_has_an_alert_until_it_resolves",
    ),
    _rule(
        "an alert of a skipped rule does not resolve",
        "state.py",
        "if not evaluation.covers(known.rule, known.pin_set, known.host):",
        "if False:",
        _STATE + "an_alert_of_a_skipped_rule_does_not_resolve",
    ),
    _rule(
        "no time of an alert is later than now",
        "state.py",
        "name: min(value, now)",
        "name: value",
        _STATE + "a_clock_step_back_neither_repeats_nor_stops_messages",
    ),
    _rule(
        "signs that services act on are replaced",
        "message.py",
        "line.translate(str.maketrans(_ELSEWHERE))",
        "line",
        _MESSAGE + "no_character_that_a_service_acts_on_is_left",
    ),
    _rule(
        "HTML is escaped",
        "message.py",
        "html.escape(text)",
        "text",
        _MESSAGE + "html_is_escaped_and_a_command_has_its_own_element",
    ),
    _rule(
        "nothing is logged while a message is sent",
        "services.py",
        "        return False\n\n\n_STATUSES",
        "        return True\n\n\n_STATUSES",
        _TELLING + "no_secret_appears_anywhere",
    ),
    _rule(
        "a message is claimed before it is sent",
        "delivery.py",
        "            alert_store.claim_deliveries("
        "connection, batch.rows, now, settings.deadline)\n",
        "",
        _TELLING + "a_claim_keeps_others_from_sending_the_same_message",
    ),
    Mutation(
        "an unconfirmed claim of few networks is a warning",
        _ALERT_RULES + "reports.py",
        "if networks >= evidence.limits.networks else",
        "if True else",
        _RULES + "an_unconfirmed_claim_is_critical_only_from_many_networks",
    ),
    Mutation(
        "networks are counted for the reported chain",
        _ALERT_RULES + "evidence.py",
        "for chain in chains)",
        "for chain in {key[1] for key in self.networks})",
        _RULES + "an_unconfirmed_claim_is_critical_only_from_many_networks",
    ),
    Mutation(
        "an issued chain needs enough reports",
        _ALERT_RULES + "reports.py",
        "if _total(issued) >= evidence.limits.few:",
        "if issued:",
        _RULES + "a_chain_of_a_trusted_authority_is_critical_with_few_reports",
    ),
    Mutation(
        "an authority issues only for the host",
        "certpin_watch/chain_check.py",
        "verifier.verify(path[0], path[1:])",
        "store",
        _GATHER + "a_forged_chain_is_not_issued",
    ),
    _rule(
        "a silence of an unknown rule is refused",
        "silences.py",
        "        check_rule(wanted.rule)\n",
        "        pass\n",
        "tests/watch/alerts/test_silences.py::test_a_silence_of_an_unknown_rule_is_refused",
    ),
    Mutation(
        "a rule without its evidence is skipped",
        _ALERT_RULES + "engine.py",
        "if rule.needs in evidence.missing or (rule.after_start and evidence.starting):",
        "if not rule.needs:",
        "tests/watch/rules/test_engine.py::test_rules_without_their_evidence_are_skipped",
    ),
    Mutation(
        "a rule that raises is skipped",
        _ALERT_RULES + "engine.py",
        "            skipped.add(rule.id)\n            continue\n        if rule.needs ==",
        "            continue\n        if rule.needs ==",
        "tests/watch/rules/test_engine.py::test_a_rule_that_raises_is_skipped_and_affects_no_other",
    ),
    Mutation(
        "the watched roots of a provider are compared with the data",
        _ALERT_RULES + "pins.py",
        "    if text := change_text(change, data.edition):",
        "    if (text := change_text(change, data.edition)) and not text:",
        "tests/watch/rules/test_probe_rules.py"
        "::test_a_provider_with_a_root_that_is_not_pinned_is_a_warning",
    ),
    Mutation(
        "the command for a rotation leaves out no server of the pin file",
        "certpin_watch/monitor/evidence.py",
        '            return [*file, "--host", str(policy.pattern)]\n',
        "            return [*file, *view.options]\n",
        "tests/watch/rules/test_next_commands.py"
        "::test_every_command_of_a_host_with_two_servers_finds_the_problem",
    ),
    Mutation(
        "an old log list of require_ct is reported before clients only report",
        _ALERT_RULES + "roots.py",
        '    "log-list": "warning",\n',
        "",
        "tests/watch/rules/test_probe_rules.py"
        "::test_a_log_list_that_soon_refuses_nothing_is_a_warning",
    ),
    Mutation(
        "a served certificate with too few SCTs is reported",
        _ALERT_RULES + "pins.py",
        "return judge(chain, replace(policy, expires=None), evidence.now)",
        "return verify(chain, replace(policy, expires=None), evidence.now, pins_only=True)",
        "tests/watch/rules/test_probe_rules.py"
        "::test_a_certificate_without_the_scts_that_clients_require_is_critical",
    ),
    Mutation(
        "a location with too few SCTs doesn't accept the chain",
        _ALERT_RULES + "pins.py",
        'return verdict.matched is not None and verdict.decision != "refuse"',
        "return verdict.matched is not None",
        "tests/watch/rules/test_probe_rules.py::test_scts_at_only_one_location_may_be_an_attack",
    ),
    Mutation(
        "an old log list is only a warning",
        _ALERT_RULES + "transparency.py",
        'if verdict.decision == "report" and evidence.policy.mode == "enforce":',
        "if False:",
        "tests/watch/rules/test_probe_rules.py"
        "::test_too_few_scts_that_clients_only_report_are_a_warning",
    ),
    Mutation(
        "every text is an app version with an order",
        _ALERT_RULES + "reports.py",
        '(int(number), "") if number else',
        '(int(number or text), "") if (number or text).isdigit() else',
        _RULES + "every_text_is_an_app_version_with_an_order",
    ),
    _rule(
        "an instance resolves no alert that only another one may know",
        "run.py",
        "                evaluation = replace(evaluation, skipped=evaluation.skipped | kept)\n",
        "",
        _INSTANCES
        + "an_instance_with_older_pins_resolves_nothing_while_one_with_newer_ones_runs[sqlite]",
    ),
    _rule(
        "an instance gives up no message to a service that only another one may know",
        "run.py",
        "            if self._files.differences:  # other",
        "            if False:  # other",
        _INSTANCES
        + "the_messages_of_a_service_that_another_instance_knows_are_not_given_up[sqlite]",
    ),
    _rule(
        "an instance with older pins leaves alerts to one with newer pins",
        "run.py",
        "            if self._deference.may_hold(now, is_outdated=self._files.is_outdated):\n",
        "            if True:\n",
        _INSTANCES + "an_instance_with_older_pins_leaves_the_work_to_one_with_newer_ones[sqlite]",
    ),
    _instances(
        "an instance with older pins evaluates if the one with newer pins fails",
        "        return now - self._since >= self._seconds\n",
        "        return False\n",
        "an_instance_with_older_pins_goes_on_if_the_newer_one_fails[sqlite]",
    ),
    _rule(
        "an instance that can store no alerts leaves them to others",
        "run.py",
        "                with suppress(StoreError):  # another process may be able to evaluate\n"
        "                    await asyncio.to_thread(evaluator.release)\n",
        "",
        _INSTANCES + "an_instance_that_can_store_nothing_leaves_the_lease_to_others[sqlite]",
    ),
    Mutation(
        "an instance that stopped does not count",
        "certpin_watch/store/instances.py",
        ".where(*is_other, LEASES.c.until > now)",
        ".where(*is_other)",
        "tests/watch/monitor/test_monitor.py::"
        "test_an_instance_with_older_pins_leaves_probes_to_one_with_newer_ones_for_a_while",
    ),
    _rule(
        "an instance that stops deletes its row",
        "run.py",
        "                forget_files(connection, self._watch.process)\n",
        "                pass\n",
        _INSTANCES + "an_instance_that_stopped_holds_no_alert_open[sqlite-False]",
    ),
    _instances(
        "a row of another release is ignored",
        "        if theirs is None:\n            unreadable += 1\n            continue\n",
        "        assert theirs is not None\n",
        "a_row_of_another_release_is_ignored_with_a_warning[sqlite-[]]",
    ),
    _instances(
        "a row from a clock that was ahead is deleted",
        "    ended = or_(LEASES.c.until <= now, LEASES.c.until > now + _MAX_ALIVE + _MAX_AHEAD)\n",
        "    ended = or_(LEASES.c.until <= now)\n",
        "a_row_from_a_clock_that_was_ahead_is_ignored_and_deleted[sqlite]",
    ),
    _instances(
        "of two instances with one newer pin set each, none leaves its work to the other",
        "min(steps, default=0) >= 0 and ",
        "",
        "two_instances_with_one_newer_pin_set_each_both_evaluate[sqlite]",
    ),
    _instances(
        "a pin set that is unknown here may be new",
        "        if not own_version:\n",
        "        if False:\n",
        "two_instances_with_one_newer_pin_set_each_both_evaluate[sqlite]",
    ),
    _instances(
        "an instance with other settings gets no lease",
        "theirs.settings != mine.settings or ",
        "",
        "an_instance_with_newer_pins_and_other_settings_gets_no_lease[sqlite]",
    ),
    _instances(
        "an instance with rare evaluations runs between them",
        "max(_MIN_ALIVE, 4 * int(settings.alerts.every.total_seconds()))",
        "_MIN_ALIVE",
        "an_instance_with_rare_evaluations_runs_until_four_of_them_were_left_out[sqlite]",
    ),
    _instances(
        "two processes at one place are two instances",
        "            process=process,\n",
        '            process=f"{socket.gethostname()}:{file}",\n',
        "two_processes_at_one_place_are_two_instances[sqlite]",
    ),
    _instances(
        "a path that is not UTF-8 stops no alert",
        'place=printable(f"{socket.gethostname()}:{file}")',
        'place=f"{socket.gethostname()}:{file}".encode().decode()',
        "a_folder_whose_name_is_not_utf_8_stops_nothing[sqlite]",
    ),
]
