"""Mutations of the rotation rules about time and servers: each edit breaks one rule.

``tests/test_mutations.py`` applies them one by one, and checks that the named test then fails.
"""

from __future__ import annotations

from tests._mutation import Mutation

_HISTORY = "certpin/rotation/history.py"
_GATE = "certpin/rotation/gate.py"
_JOURNAL = "certpin/rotation/journal.py"
_SITUATION = "certpin/rotation/situation.py"
_NEXT_KEY = "certpin/rotation/next_key.py"
_EMERGENCY = "certpin/rotation/emergency.py"
_DIAL = "certpin/probe/dial.py"
_FILES = "certpin/cli/rotate/files.py"
_GONE = "certpin/cli/rotate/gone.py"
_REPAIR = "certpin/cli/rotate/clock.py"
_SHIPPED = "certpin/cli/rotate/shipped.py"
_NEW_CHAIN = "certpin/cli/rotate/new_chain.py"
_PUSH = "certpin/cli/publish/push.py"

_IN_NEXT_STEP = "tests/rotation/test_next_step.py::"
_IN_CLOCK = "tests/rotation/test_clock.py::"
_IN_CORRECTIONS = "tests/rotation/test_corrections.py::"
_IN_JOURNAL = "tests/rotation/test_journal.py::"
_IN_SERVERS = "tests/rotation/test_servers.py::"
_IN_DATE = "tests/probe/test_date.py::"
_IN_GONE = "tests/cli/test_rotate_gone.py::"
_IN_TIME = "tests/cli/test_rotate_time.py::"
_IN_PUSH = "tests/cli/test_publish_push.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "clients with a slow clock refuse a certificate that is valid from now on",
        "certpin/cli/rotate/switch.py",
        "chain_fault(prospect, policy, now - skew)",
        "chain_fault(prospect, policy, now)",
        "tests/cli/test_rotate_renewal.py"
        "::test_clients_with_a_wrong_clock_are_named_and_stop_no_renewal",
    ),
    Mutation(
        "clients with a fast clock refuse a certificate that is about to expire",
        "certpin/cli/rotate/switch.py",
        "chain_fault(prospect, policy, now + skew)",
        "chain_fault(prospect, policy, now)",
        "tests/cli/test_rotate_renewal.py"
        "::test_clients_with_a_wrong_clock_are_named_and_stop_no_renewal",
    ),
    Mutation(
        "clients with expired pins accept no key",
        "certpin/cli/rotate/switch.py",
        "if any(end <= situation.now for end in ends):",
        "if any(end > situation.now for end in ends):",
        "tests/cli/test_rotate_renewal.py::test_clients_with_expired_pins_do_not_accept_a_key",
    ),
    Mutation(
        "no next action is safe while the clock is wrong",
        "certpin/rotation/next_step.py",
        "    if found.act in _REFUSED_BY_CLOCK and not found.violations:",
        "    if False:",
        _IN_NEXT_STEP + "test_no_action_is_safe_while_the_clock_is_wrong",
    ),
    Mutation(
        "a wrong clock does not hide an emergency",
        "certpin/rotation/next_step.py",
        "    if found.act in _REFUSED_BY_CLOCK and not found.violations:",
        "    if not found.violations:",
        _IN_NEXT_STEP + "test_a_wrong_clock_does_not_hide_an_emergency",
    ),
    Mutation(
        "a step follows the newest entry",
        _GATE,
        "if newest is None or newest - now <= CLOCK_TOLERANCE:",
        "if True:",
        _IN_CLOCK + "test_a_step_before_the_newest_entry_is_refused",
    ),
    Mutation(
        "the clock agrees with the servers",
        _GATE,
        "wrong = [each for each in evidence.dates if each.difference > CLOCK_TOLERANCE]",
        "wrong: list[ServerDate] = []",
        _IN_CLOCK + "test_a_clock_that_differs_from_a_server_is_refused",
    ),
    Mutation(
        "the rules about the clock are part of the gate",
        _GATE,
        "*clock_violations(situation), ",
        "",
        _IN_TIME + "test_a_publish_with_a_clock_that_is_behind_is_refused",
    ),
    Mutation(
        "no version ends only by the clock",
        _GATE,
        "found += relies_on_ends(situation, found, ",
        "relies_on_ends(situation, found, ",
        _IN_CLOCK + "test_no_version_is_gone_only_by_the_clock_of_this_machine",
    ),
    Mutation(
        "pins that have expired only by the clock are compared",
        _SITUATION,
        "return _EARLIEST if self.deployed.endless else self.now - self.timing.skew",
        "return self.now - self.timing.skew",
        _IN_CLOCK + "test_pins_have_not_expired_only_by_the_clock_of_this_machine[fail-open]",
    ),
    Mutation(
        "clients with a slow clock compare expired pins for longer",
        _SITUATION,
        "if self.deployed.endless else self.now - self.timing.skew",
        "if self.deployed.endless else self.now",
        _IN_CLOCK + "test_pins_expire_later_for_clients_with_a_slow_clock[fail-open]",
    ),
    Mutation(
        "a served chain is judged for clients with a slow clock",
        "certpin/rotation/rules.py",
        "refusal(path, situation.in_force(policy), situation.now)",
        "refusal(path, policy, situation.now)",
        _IN_CLOCK + "test_pins_expire_later_for_clients_with_a_slow_clock[fail-open]",
    ),
    Mutation(
        "a lock-out is one of clients with a slow clock, too",
        "certpin/rotation/trust.py",
        "return refuses(path, situation.in_force(policy), situation.now)",
        "return refuses(path, policy, situation.now)",
        "tests/rotation/test_next_step.py"
        "::test_a_server_that_only_clients_with_a_slow_clock_refuse_is_repaired",
    ),
    Mutation(
        "a dropped host is judged for clients with a slow clock",
        "certpin/rotation/rules.py",
        "conclude(prospects, [situation.in_force(policy)], situation.now)",
        "conclude(prospects, [policy], situation.now)",
        _IN_TIME + "test_a_dropped_host_has_not_expired_only_by_the_clock_of_this_machine",
    ),
    Mutation(
        "clients with a slow clock require SCTs for longer",
        _SITUATION,
        "            policy = replace(policy, ct_logs=replace(logs, timestamp=self.now))",
        "            pass",
        "tests/rotation/test_transparency.py"
        "::test_clients_with_a_slow_clock_require_scts_for_longer",
    ),
    Mutation(
        "missing SCTs are named if only a slow clock requires them",
        "certpin/rotation/prospect.py",
        "refusal(chain, situation.in_force(policy), situation.now)",
        "refusal(chain, policy, situation.now)",
        "tests/rotation/test_transparency.py"
        "::test_clients_with_a_slow_clock_require_scts_for_longer",
    ),
    Mutation(
        "a client with a slow clock accepts a stolen key for longer",
        "certpin/rotation/deadlines.py",
        "situation.slowest_clock < policy.refuses_from",
        "situation.now < policy.refuses_from",
        "tests/rotation/test_deadlines.py::test_clients_with_expired_pins_accept_no_stolen_key",
    ),
    Mutation(
        "a server with another time confirms nothing",
        _SITUATION,
        "any(each.difference <= CLOCK_TOLERANCE for each in self.dates)",
        "bool(self.dates)",
        _IN_CLOCK + "test_a_server_with_a_wrong_clock_confirms_nothing",
    ),
    Mutation(
        "a time over an unverified connection proves nothing",
        _GATE,
        "[each.date for each in sightings if each.chain and each.date]",
        "[each.date for each in sightings if each.date]",
        _IN_CLOCK + "test_a_date_over_an_unverified_connection_is_only_a_hint",
    ),
    Mutation(
        "the end of a release is a date, too",
        _SITUATION,
        "if self.endless:",
        "if self.endless and version.bundled is None:",
        _IN_CLOCK + "test_the_end_of_a_release_needs_a_date",
    ),
    Mutation(
        "a version of a clock slightly ahead is alive",
        _GATE,
        "return newest.time if newest and is_close else now",
        "return now",
        _IN_CLOCK + "test_a_version_of_a_clock_slightly_ahead_is_alive_at_once",
    ),
    Mutation(
        "an emergency judges nothing by a clock that a server contradicts",
        "certpin/cli/rotate/emergency.py",
        "        if problem := clock_problem(evidence):\n            is_now_known = False",
        "        if problem := clock_problem(evidence):\n            is_now_known = True",
        _IN_TIME + "test_with_a_wrong_clock_an_emergency_is_recorded_and_judges_nothing",
    ),
    Mutation(
        "an emergency judges nothing while a version is of a later time",
        "certpin/cli/rotate/emergency.py",
        "evidence.confirmed and not has_versions",
        "evidence.confirmed",
        "tests/cli/test_rotate_emergency_paths.py"
        "::test_a_version_of_a_later_time_leaves_the_path_open",
    ),
    Mutation(
        "an emergency without a known time is not safe",
        "certpin/cli/rotate/emergency.py",
        "is_computed = self.is_now_known and not self.problem",
        "is_computed = not self.problem",
        "tests/cli/test_rotate_emergency_paths.py"
        "::test_a_version_of_a_later_time_leaves_the_path_open",
    ),
    Mutation(
        "an emergency is not blocked by a clock",
        _EMERGENCY,
        "situation = replace(timed, evidence=None)",
        "situation = timed",
        _IN_CLOCK + "test_a_plan_and_an_emergency_are_not_blocked",
    ),
    Mutation(
        "a corrected entry counts as written at its correction",
        _HISTORY,
        "times[digest] = min([by_line[digest].time, *bounds])",
        "times[digest] = by_line[digest].time",
        _IN_CORRECTIONS + "test_an_entry_that_is_ahead_counts_as_written_at_its_correction",
    ),
    Mutation(
        "a correction moves no entry to a later time",
        _HISTORY,
        "min([by_line[digest].time, *bounds])",
        "min(bounds or [by_line[digest].time])",
        _IN_CORRECTIONS + "test_a_correction_moves_no_entry_to_a_later_time",
    ),
    Mutation(
        "corrected entries with one line are two entries",
        _JOURNAL,
        "found = {(event.recorded or event.time, format_event(event)): event for event in events}",
        "found = {(event.time, format_event(event)): event for event in events}",
        _IN_CORRECTIONS + "test_entries_keep_their_order",
    ),
    Mutation(
        "a release is shipped at the corrected time",
        _HISTORY,
        "release = replace(event.release, shipped=time) if event.release else None",
        "release = event.release",
        _IN_CORRECTIONS + "test_a_release_is_shipped_at_the_corrected_time",
    ),
    Mutation(
        "a correction needs the time of a server",
        _REPAIR,
        "problem = unconfirmed(situation)",
        "problem = None",
        _IN_TIME + "test_a_clock_that_no_server_confirms_repairs_nothing",
    ),
    Mutation(
        "no correction with a clock that servers contradict",
        _REPAIR,
        "problem = agrees_with_servers(situation)",
        "problem = None",
        _IN_TIME + "test_a_clock_that_no_server_confirms_repairs_nothing",
    ),
    Mutation(
        "a forgotten server blocks a publish",
        _GATE,
        "for pin in edited),\n        no_unlisted_server(situation),\n",
        "for pin in deleted),\n",
        _IN_SERVERS + "test_a_server_that_was_seen_and_is_not_listed_blocks_a_step",
    ),
    Mutation(
        "a forgotten server blocks a new key",
        _GATE,
        "no_unlisted_server(situation) if _becomes_active(situation, pin) else None,",
        "None,",
        _IN_SERVERS + "test_a_server_that_was_seen_and_is_not_listed_blocks_a_step",
    ),
    Mutation(
        "a forgotten server blocks a retirement",
        _GATE,
        "not_served(situation, pin),\n            no_unlisted_server(situation),\n",
        "not_served(situation, pin),\n",
        _IN_SERVERS + "test_a_server_that_was_seen_and_is_not_listed_blocks_a_step",
    ),
    Mutation(
        "a clock that no server confirms is doubted",
        "certpin/cli/rotate/files.py",
        "if doubt := clock_doubt(files.evidence):",
        "if doubt := '':",
        _IN_TIME + "test_a_clock_after_the_end_of_all_certificates_is_doubted",
    ),
    Mutation(
        "an emergency begins with a clock that is in doubt",
        "certpin/cli/rotate/emergency.py",
        "        if self.doubt:\n",
        "        if False:\n",
        _IN_TIME + "test_a_clock_after_the_end_of_all_certificates_is_doubted",
    ),
    Mutation(
        "a doubtful clock is not to be forced past",
        "certpin/rotation/remedies.py",
        "    if evidence.doubts:\n",
        "    if False:\n",
        _IN_CLOCK + "test_a_date_over_an_unverified_connection_is_only_a_hint",
    ),
    Mutation(
        "a key that ends a lock-out is not removed",
        _GATE,
        "            not_the_way_back(situation, pin),\n",
        "",
        "tests/cli/test_rotate_finish.py::test_a_key_that_ends_a_lock_out_is_not_removed",
    ),
    Mutation(
        "a verified time silences the hint of another",
        _SITUATION,
        "return () if self.dates else tuple(wrong)",
        "return tuple(wrong)",
        _IN_CLOCK + "test_a_date_over_an_unverified_connection_is_only_a_hint",
    ),
    Mutation(
        "only a key that would let clients in is the way back",
        "certpin/rotation/rules.py",
        "if situation.is_accepted_by(version, pin) and _refuses_served(situation, version)",
        "if _refuses_served(situation, version)",
        "tests/rotation/test_gate.py::test_the_way_back_from_a_lock_out_stays_in_the_draft",
    ),
    Mutation(
        "a version without the way back is not published",
        _GATE,
        "        *(not_the_way_back(situation, pin) for pin in dropped),\n",
        "",
        "tests/rotation/test_gate.py::test_the_way_back_from_a_lock_out_stays_in_the_draft",
    ),
    Mutation(
        "a repair needs no confirmed time",
        "certpin/rotation/next_step.py",
        "unconfirmed = replace(situation, evidence=None)",
        "unconfirmed = situation",
        "tests/rotation/test_next_step.py"
        "::test_a_repair_needs_no_confirmed_time_and_no_known_servers",
    ),
    Mutation(
        "an extension names what else is wrong",
        "certpin/rotation/next_step.py",
        'return NextStep("extend", violations=tuple(broken))',
        'return NextStep("extend")',
        "tests/rotation/test_next_step.py"
        "::test_an_extension_names_what_else_is_wrong_with_the_draft",
    ),
    Mutation(
        "a forgotten server blocks a removal",
        _GATE,
        "not_the_way_back(situation, pin),\n            no_unlisted_server(situation),\n",
        "not_the_way_back(situation, pin),\n",
        _IN_SERVERS + "test_a_server_that_was_seen_and_is_not_listed_blocks_a_step",
    ),
    Mutation(
        "a renewal with the key in use is not blocked",
        _GATE,
        'return entry is not None and entry.state != "active"',
        "return True",
        _IN_SERVERS + "test_a_renewal_that_changes_nothing_is_not_blocked",
    ),
    Mutation(
        "observations are journaled again after a day",
        _GATE,
        " and now - known[server].time < _OBSERVED_AGAIN",
        "",
        _IN_SERVERS + "test_an_observation_is_journaled_when_it_changes_something",
    ),
    Mutation(
        "the key that was recorded last stays while an address presents it",
        _GATE,
        "sorted(situation.sightings, key=is_known)",
        "situation.sightings",
        _IN_SERVERS + "test_addresses_with_different_keys_are_one_server_in_the_journal",
    ),
    Mutation(
        "the journal has the certificate of each observed key",
        _GATE,
        "certificate=each.certificate,",
        "",
        _IN_SERVERS + "test_an_observation_has_the_certificate_of_the_key",
    ),
    Mutation(
        "a pinned certificate is journaled with its key",
        _GATE,
        "if server and (new or not (",
        "if server and (not (",
        _IN_SERVERS + "test_a_pinned_certificate_is_journaled_once_with_its_key",
    ),
    Mutation(
        "a pinned certificate is journaled beside another of its server",
        _GATE,
        "(each.server, each.certificate if each.certificate in unrecorded else None): each",
        "(each.server, None): each",
        _IN_SERVERS + "test_a_pinned_certificate_is_journaled_once_with_its_key",
    ),
    Mutation(
        "a certificate that is not pinned is no reason for a journal entry",
        _GATE,
        "each.certificate if each.certificate in unrecorded else None",
        "each.certificate if each.certificate not in situation.past.same_keys else None",
        _IN_SERVERS + "test_a_pinned_certificate_is_journaled_once_with_its_key",
    ),
    Mutation(
        "a pinned certificate is journaled only once",
        _GATE,
        "unrecorded = situation.pinned - situation.past.same_keys.keys()",
        "unrecorded = situation.pinned",
        _IN_SERVERS + "test_a_pinned_certificate_is_journaled_once_with_its_key",
    ),
    Mutation(
        "a certificate in the journal is that of an observed key",
        _JOURNAL,
        "    _check_certificate(event)\n",
        "",
        _IN_JOURNAL + "test_an_invalid_line_is_an_error_with_its_number",
    ),
    Mutation(
        "a certificate in the journal has a pin of a certificate",
        _JOURNAL,
        'kinds != ("sha256", "cert-sha256")',
        'kinds[:1] != ("sha256",)',
        _IN_JOURNAL + "test_an_invalid_line_is_an_error_with_its_number",
    ),
    Mutation(
        "the key of a certificate in the journal has a pin of a key",
        _JOURNAL,
        'kinds != ("sha256", "cert-sha256")',
        'kinds[1:] != ("cert-sha256",)',
        _IN_JOURNAL + "test_an_invalid_line_is_an_error_with_its_number",
    ),
    Mutation(
        "a file is no server",
        _GATE,
        "if server and (new",
        "if (new",
        _IN_SERVERS + "test_a_chain_from_a_file_is_no_observation_of_a_server",
    ),
    Mutation(
        "the observations of a step are journaled",
        _FILES,
        "[*self.observations, *events]",
        "events",
        _IN_TIME + "test_a_step_records_the_servers_that_it_contacted",
    ),
    Mutation(
        "no step is written before the newest entry",
        _FILES,
        "if not event.reason:",
        "if False:",
        _IN_TIME + "test_a_step_before_the_newest_entry_is_refused",
    ),
    Mutation(
        "a server that still answers is not gone",
        _GONE,
        "if found.verified is None and not _pins_of(found) & _known_pins(files, seen, policy):",
        "if True:",
        _IN_GONE + "test_a_forgotten_region_blocks_until_it_is_gone",
    ),
    Mutation(
        "a server with a valid certificate of the host is not gone",
        _GONE,
        "if found.verified is None and not",
        "if not",
        _IN_GONE + "test_a_new_key_under_a_known_authority_is_a_server_of_the_host",
    ),
    Mutation(
        "a server of a wildcard belongs to the policy of its name",
        _GATE,
        "    own = pins.policy_of(seen.host) if is_assumed else None\n",
        "    own = pins.policy_of(seen.host)\n",
        _IN_SERVERS + "test_a_server_of_a_wildcard_belongs_to_the_more_specific_policy_of_its_name",
    ),
    Mutation(
        "a server at an address is not forgotten with another policy of the wildcard's name",
        _GATE,
        "    own = pins.policy_of(seen.host) if is_assumed else None\n",
        "    own = None\n",
        _IN_SERVERS + "test_a_server_at_an_address_stays_with_its_wildcard",
    ),
    Mutation(
        "a listed server is known although the journal names it otherwise",
        _GATE,
        "if _name_here(situation, seen) not in known]",
        "if seen.server not in known]",
        _IN_SERVERS + "test_a_listed_server_is_known_by_the_name_that_another_pattern_gave_it",
    ),
    Mutation(
        "the newest observation of a server counts",
        _GATE,
        "sorted(observed_here(situation), key=lambda seen: seen.time)",
        "observed_here(situation)",
        _IN_SERVERS + "test_the_newest_observation_of_a_server_counts_whatever_its_pattern_was",
    ),
    Mutation(
        "a server is contacted for the policy that clients use for its name",
        _DIAL,
        "    return used is not None and used.pattern == policy.pattern\n",
        "    return used is not None\n",
        "tests/cli/test_targets.py"
        "::test_a_server_is_contacted_for_the_policy_that_clients_use_for_its_name",
    ),
    Mutation(
        "a server of a wildcard at an address is contacted",
        _DIAL,
        'if owner is None or server.address not in {"", name}:',
        "if owner is None:",
        "tests/cli/test_targets.py"
        "::test_a_server_is_contacted_for_the_policy_that_clients_use_for_its_name",
    ),
    Mutation(
        "a served file is for the policy that clients use",
        "certpin/cli/servers.py",
        "if not host or pins.policy_for(host) == policy:",
        "if not host or policy.pattern.matches(host):",
        "tests/cli/test_rotate_shipped.py"
        "::test_a_host_of_a_wildcard_gets_its_own_policy_and_then_its_own_key",
    ),
    Mutation(
        "a listed server is not gone",
        _GONE,
        "if server in listed_servers(policy, files.pins):",
        "if False:",
        _IN_GONE + "test_a_server_that_the_pin_file_lists_is_not_gone",
    ),
    Mutation(
        "an answer that is no TLS is no proof of an end",
        _GONE,
        "if isinstance(found, DialError):",
        "if isinstance(found, ProbeError):",
        _IN_GONE + "test_a_server_that_answers_without_a_chain_may_not_be_gone",
    ),
    Mutation(
        "the end of a server needs a right clock",
        _GONE,
        "        files.require_time(now)\n",
        "        pass\n",
        _IN_GONE + "test_a_wrong_clock_records_no_end_of_a_server",
    ),
    Mutation(
        "a recorded version is checked at the servers of the pin file",
        _SHIPPED,
        "return _with_servers(recorded[-1], pins)",
        "return recorded[-1]",
        _IN_GONE + "test_a_forgotten_region_blocks_until_it_is_gone",
    ),
    Mutation(
        "the end of a dropped host's version needs a date",
        _NEW_CHAIN,
        "broken += relies_on_ends(situation, broken, held)",
        "pass",
        _IN_TIME + "test_a_host_that_only_an_ended_version_has_needs_a_date",
    ),
    Mutation(
        "the connection that a time comes from is verified",
        _DIAL,
        "if observation.verified is None:",
        "if True:",
        _IN_DATE + "test_an_attacker_who_answers_only_the_second_connection_is_not_believed",
    ),
    Mutation(
        "the time in a cache is added",
        _DIAL,
        'parsedate_to_datetime(answer.headers.get("Date", "")) + _age(answer.headers)',
        'parsedate_to_datetime(answer.headers.get("Date", ""))',
        _IN_DATE + "test_the_time_in_a_cache_is_added",
    ),
    Mutation(
        "without a connection the repository is not asked",
        _FILES,
        "if offline or not host:",
        "if not host:",
        _IN_TIME + "test_the_update_repository_confirms_the_clock",
    ),
    Mutation(
        "an entry of the future comes before other steps",
        "certpin/rotation/next_step.py",
        "        or _clock(situation)\n",
        "",
        _IN_TIME + "test_an_entry_of_a_clock_that_was_ahead_is_repaired_by_one_step",
    ),
    Mutation(
        "a version of an unconfirmed clock is recorded with a warning",
        _SHIPPED,
        "if files.evidence.confirmed or not has_others_to_end(files, version, now):",
        "if True:",
        "tests/cli/test_rotate_shipped.py"
        "::test_a_version_of_an_unconfirmed_clock_is_recorded_with_a_warning",
    ),
    Mutation(
        "a version of a confirmed clock is recorded without a warning",
        _SHIPPED,
        "if files.evidence.confirmed or not",
        "if not",
        "tests/cli/test_rotate_shipped.py"
        "::test_a_version_of_a_confirmed_clock_is_recorded_without_a_warning",
    ),
    Mutation(
        "a push without a server that confirms the time is reported",
        _PUSH,
        "if dates or not (files.fetch_host or counts):",
        "if dates or not files.fetch_host:",
        _IN_PUSH + "test_a_push_without_a_server_that_confirms_the_time_is_reported",
    ),
    Mutation(
        "a push needs a right clock",
        _PUSH,
        "if not dry and (is_first or pushed.uploads):",
        "if False:",
        _IN_PUSH + "test_a_push_with_a_wrong_clock_is_refused",
    ),
    Mutation(
        "a path says which switch needs a server that confirms the time",
        _NEXT_KEY,
        '    return next((each for each in found if each.invariant == "clock"), None)',
        "    return None",
        _IN_CLOCK + "test_an_emergency_says_that_a_switch_needs_a_server_that_confirms_the_time",
    ),
    Mutation(
        "a path says that a switch after the end of a version needs a confirmed time",
        _NEXT_KEY,
        "        return unconfirmed(situation)  # a version ends by that date",
        "        return None",
        _IN_CLOCK + "test_a_switch_that_waits_for_an_end_needs_a_server_that_confirms_it",
    ),
    Mutation(
        "a printed switch has the reason for its refusal",
        "certpin/cli/rotate/emergency_text.py",
        "        if step.unconfirmed is None:",
        "        if True:",
        "tests/cli/test_rotate_emergency_paths.py::"
        "test_a_switch_that_only_this_machines_clock_allows_is_printed_with_its_needs",
    ),
]
