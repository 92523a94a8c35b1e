"""Mutations of the rotation rules: each edit of the source breaks one rule.

``tests/test_mutations.py`` applies them one by one, and checks that the named test then fails.
"""

from __future__ import annotations

from tests._mutation import Mutation

_SITUATION = "certpin/rotation/situation.py"
_POLICY = "certpin/pins/policy.py"
_GATE = "certpin/rotation/gate.py"
_RULES = "certpin/rotation/rules.py"
_REMEDIES = "certpin/rotation/remedies.py"
_HISTORY = "certpin/rotation/history.py"
_JOURNAL = "certpin/rotation/journal.py"
_PLAN = "certpin/rotation/plan.py"
_PROSPECT = "certpin/rotation/prospect.py"
_SWITCH = "certpin/cli/rotate/switch.py"
_START = "certpin/cli/rotate/start.py"
_FINISH = "certpin/cli/rotate/finish.py"
_FILES = "certpin/cli/rotate/files.py"
_RECORDING = "certpin/cli/rotate/recording.py"
_IN_START = "tests/cli/test_rotate_start.py::"
_IN_FINISH = "tests/cli/test_rotate_finish.py::"
_IN_TRANSPARENCY = "tests/rotation/test_transparency.py::"
_IN_RENEWAL = "tests/rotation/test_renewal.py::"
_IN_SIGN = "tests/cli/test_publish.py::"

_IN_ADOPTION = "tests/rotation/test_adoption.py::"
_EMERGENCY = "certpin/rotation/emergency.py"
_IN_EMERGENCY = "tests/rotation/test_emergency.py::"
_NEXT_STEP = "certpin/rotation/next_step.py"
_IN_NEXT_STEP = "tests/rotation/test_next_step.py::"
_PATHS = "tests/cli/test_rotate_emergency_paths.py::"
_AUTHORITY_PATHS = "tests/cli/test_rotate_emergency_authority.py::"
_IN_GATE = "tests/rotation/test_gate.py::"
_IN_HISTORY = "tests/rotation/test_history.py::"
_IN_JOURNAL = "tests/rotation/test_journal.py::"
_IN_PLAN = "tests/rotation/test_plan.py::"
_IN_PROSPECT = "tests/rotation/test_prospect.py::"
_DRAFT = "tests/cli/test_rotate_draft.py::"
_CRASHES = "tests/cli/test_rotate_crashes.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "a pin file under two names has one journal",
        "certpin/rotation/history.py",
        "    if pin_file.is_symlink():\n",
        "    if False:\n",
        "tests/cli/test_rotate_shipped.py::test_a_pin_file_under_two_names_has_one_journal",
    ),
    Mutation(
        "a second journal beside a link is refused",
        "certpin/cli/rotate/files.py",
        "        self._refuse_second_journal()\n",
        "",
        "tests/cli/test_rotate_shipped.py::test_a_pin_file_under_two_names_has_one_journal",
    ),
    Mutation(
        "a version is alive until T_adopt after the next one",
        _SITUATION,
        "ends.append(out + timing.adopt if out else None)",
        "ends.append(out)",
        _IN_ADOPTION + "test_a_version_is_alive_until_t_adopt_after_the_next_one",
    ),
    Mutation(
        "the next version counts, not the latest",
        _SITUATION,
        "return min(following, default=None)",
        "return max(following, default=None)",
        _IN_ADOPTION + "test_the_next_version_counts_not_the_latest",
    ),
    Mutation(
        "a binary is alive until its end is recorded",
        _SITUATION,
        "ends += self._binary_ends(version, timing) or [None]",
        "ends += self._binary_ends(version, timing)",
        _IN_ADOPTION + "test_a_version_that_is_fetched_and_bundled_is_alive_as_long_as_the_binary",
    ),
    Mutation(
        "a pending version supersedes nothing",
        _SITUATION,
        "and not other.pending and",
        "and",
        _IN_ADOPTION + "test_a_pending_version_is_held_and_supersedes_nothing",
    ),
    Mutation(
        "a signed version is fetched from its push on",
        _HISTORY,
        "replace(known, fetched=event.time, pending=False)",
        "replace(known, pending=False)",
        _IN_HISTORY + "test_a_signed_version_is_fetched_from_its_push_on",
    ),
    Mutation(
        "adopted by every version alive",
        _SITUATION,
        "if refusing or not alive:",
        "if len(refusing) == len(alive):",
        _IN_ADOPTION + "test_a_pin_is_adopted_when_every_version_alive_accepts_it",
    ),
    Mutation(
        "served chain",
        _GATE,
        "        served_chain(situation, [new]),\n",
        "",
        _IN_GATE + "test_a_version_that_refuses_the_served_chain_is_not_published",
    ),
    Mutation(
        "every server",
        _RULES,
        "for sighting in situation.sightings:",
        "for sighting in situation.sightings[:1]:",
        _IN_GATE + "test_every_server_must_present_a_matching_chain",
    ),
    Mutation(
        "a backup outside the served chain",
        _RULES,
        "if len(usable) >= 2 and usable - situation.served:",
        "if len(usable) >= 2:",
        _IN_GATE + "test_a_draft_whose_every_pin_is_served_has_no_backup",
    ),
    Mutation(
        "the version rises",
        _RULES,
        "situation.pins.version > latest.number",
        "situation.pins.version >= latest.number",
        _IN_GATE + "test_a_version_that_is_not_higher_is_not_published",
    ),
    Mutation(
        "pins expire more than T_adopt from now",
        _RULES,
        "return end - situation.now > situation.timing.adopt",
        "return end - situation.now >= situation.timing.adopt",
        _IN_GATE + "test_pins_must_not_expire_before_every_client_can_have_the_next_version",
    ),
    Mutation(
        "an old version expires after its end of life",
        _RULES,
        "return end >= last",
        "return True",
        _IN_GATE + "test_an_old_version_may_expire_when_no_client_holds_it",
    ),
    Mutation(
        "a key is not served before its adoption",
        _GATE,
        "            is_accepted(situation, pin, prospects),\n",
        "",
        _IN_GATE + "test_a_key_is_not_served_before_it_is_adopted",
    ),
    Mutation(
        "an open conclusion is refused",
        _RULES,
        "if alive and not refusing and not undecided:",
        "if alive and not refusing:",
        _IN_PROSPECT + "test_the_gate_lets_a_good_renewal_pass",
    ),
    Mutation(
        "the authorities above a key are unknown",
        _PROSPECT,
        "others = [_UNPINNED, *_pinned(policy, above=True)]",
        "others = [_UNPINNED]",
        _IN_PROSPECT + "test_a_key_says_as_much_as_the_position_that_is_compared",
    ),
    Mutation(
        "an unknown authority may be compromised",
        _PROSPECT,
        '    others += [stand_in(entry.pin) for entry in bad if entry.role != "leaf"]',
        "    del bad",
        _IN_PROSPECT + "test_a_conclusion_about_a_key_holds_for_every_chain_that_it_may_get",
    ),
    Mutation(
        "each path is verified",
        _PROSPECT,
        'return found.pop() if len(found) == 1 else "open"',
        'return "accepted" if "accepted" in found else found.pop()',
        _IN_PROSPECT + "test_each_path_of_a_cross_signed_authority_has_to_be_accepted",
    ),
    Mutation(
        "the anchors of the policy decide about the path",
        _PROSPECT,
        "return policy.trust.der if policy and policy.trust else prospect.roots",
        "return prospect.roots",
        _IN_PROSPECT + "test_clients_with_anchors_of_their_own_refuse_another_authority",
    ),
    Mutation(
        "a path has valid signatures",
        "certpin/x509/chain.py",
        "return named and _signature(below, above) is Signature.GOOD",
        "return named",
        _IN_PROSPECT + "test_a_chain_with_a_forged_signature_has_no_path",
    ),
    Mutation(
        "a chain with too many alternatives has no path",
        _PROSPECT,
        "_MAX_WAYS = 64",
        "_MAX_WAYS = 10**9",
        _IN_PROSPECT + "test_a_chain_with_too_many_alternatives_is_not_accepted",
    ),
    Mutation(
        "only certificates of the way count",
        _PROSPECT,
        "yield from _completions(known, policy)",
        "yield from _completions(prospect, policy)",
        _IN_PROSPECT + "test_a_certificate_that_is_only_sent_is_not_on_the_path",
    ),
    Mutation(
        "a certificate that can't be read is not left out of a path",
        _PROSPECT,
        "    if len(on_way) < len(way):",
        "    if not on_way:",
        _IN_PROSPECT + "test_a_path_with_a_certificate_that_cannot_be_read_is_refused",
    ),
    Mutation(
        "a way to an unknown root counts beside a known one",
        _PROSPECT,
        "[way for way in ways if way[-1] not in anchors]",
        "[] if ended else list(ways)",
        _IN_PROSPECT + "test_a_cross_signed_way_to_an_unknown_root_counts",
    ),
    Mutation(
        "a self-signed leaf has no path without an anchor",
        _PROSPECT,
        "if way[-1] in prospect.private or is_only_itself:",
        "if way[-1] in prospect.private:",
        _IN_PROSPECT + "test_a_self_signed_leaf_needs_an_anchor_of_the_policy",
    ),
    Mutation(
        "clients of the platform don't trust a private root",
        _PROSPECT,
        "if way[-1] in prospect.private or is_only_itself:",
        "if is_only_itself:",
        _IN_PROSPECT + "test_clients_of_the_platform_refuse_a_private_root",
    ),
    Mutation(
        "a path may end at each anchor on it",
        _PROSPECT,
        "for at, der in enumerate(way) if der in anchors]",
        "for at, der in enumerate(way) if der in anchors and at == len(way) - 1]",
        _IN_PROSPECT + "test_each_prefix_that_ends_at_an_anchor_is_a_path",
    ),
    Mutation(
        "the older pattern of a host counts",
        _POLICY,
        "return found or (self._index.get(str(pattern)),)",
        "return (self._index.get(str(pattern)),)",
        _IN_PROSPECT + "test_an_older_version_counts_whatever_its_pattern_is",
    ),
    Mutation(
        "the older pattern of a host counts for adoption",
        _SITUATION,
        "for policy in self.pins.policies_at(pattern, draft)",
        "for policy in self.pins.policies if policy.pattern == pattern",
        _IN_ADOPTION + "test_adoption_agrees_with_the_gate_if_the_pattern_of_the_host_changes",
    ),
    Mutation(
        "another policy of the draft decides nothing",
        _POLICY,
        "if owner.policy_for(host) is wanted}",
        "}",
        _IN_ADOPTION
        + "test_a_host_with_another_policy_in_the_draft_decides_nothing_about_a_wildcard",
    ),
    Mutation(
        "a replaced key stays while it is not safe to take it out",
        _FINISH,
        "return bool(found) and not self.force.force",
        "return False",
        _IN_FINISH + "test_a_key_that_a_server_still_presents_stays",
    ),
    Mutation(
        "a server that does not answer may present the replaced key",
        _FINISH,
        "if pattern not in self.results.unanswered:",
        "if True:",
        _IN_FINISH + "test_one_server_that_does_not_answer_is_enough",
    ),
    Mutation(
        "a key is not old because another one is in the pin file",
        "certpin/rotation/renewal.py",
        "if newest is not None",
        "if True",
        _IN_RENEWAL + "test_no_key_is_old_before_the_gate_let_another_one_in",
    ),
    Mutation(
        "a key that no public authority certifies is not started",
        _START,
        "require_certifiable(self.key.key_type, policy.pattern, policy.trust, policy.match)",
        "pass",
        _IN_START + "test_a_key_that_no_public_authority_certifies_is_refused",
    ),
    Mutation(
        "a server's key is not started if only authorities are compared",
        _START,
        "self._refuse_uncompared(policy)",
        "pass",
        _IN_START + "test_a_servers_key_is_refused_if_only_authorities_are_compared",
    ),
    Mutation(
        "a compromised key is not started",
        _START,
        'violations += of_host(policy, check_step(situation, "stage", pin))',
        "pass",
        _IN_START + "test_a_compromised_key_is_refused_at_another_host",
    ),
    Mutation(
        "the number of the pin file rises if it is recorded",
        "certpin/rotation/situation.py",
        "else max(draft.version, latest.number + 1)",
        "else draft.version",
        _IN_START + "test_the_number_rises_only_if_it_is_recorded",
    ),
    Mutation(
        "a version that the gate refuses is not signed",
        "certpin/cli/publish/sign.py",
        "if checked and record.force.refuses(checked.violations):",
        "if False:",
        _IN_SIGN + "test_a_version_that_the_gate_refuses_is_neither_signed_nor_recorded",
    ),
    Mutation(
        "a version is not signed if a server does not answer",
        _RECORDING,
        "options.force.require_answers(results)",
        "pass",
        _IN_SIGN + "test_a_version_is_not_signed_if_a_server_does_not_answer",
    ),
    Mutation(
        "a file that changed under a recorded number is not signed",
        _RECORDING,
        "same = pins.version == latest.number and meaning(pins) == meaning(latest.pins)",
        "same = pins.version == latest.number",
        _IN_SIGN + "test_a_file_that_changed_since_it_was_built_in_is_not_signed_under_its_number",
    ),
    Mutation(
        "versions with different anchors leave a key open",
        _PROSPECT,
        "if not trusts_differ(situation) or all(each.sent for each in given):",
        "if True:",
        _IN_PROSPECT + "test_clients_of_the_platform_refuse_a_private_root",
    ),
    Mutation(
        "a host that only older versions have is checked",
        _SWITCH,
        "return found + self._of_dropped_hosts()",
        "return found",
        "tests/cli/test_rotate_renewal.py::test_a_host_that_the_draft_dropped_is_checked_too",
    ),
    Mutation(
        "an active key is not removed",
        _RULES,
        'if state != "active":',
        "if True:",
        _IN_GATE + "test_an_active_key_is_not_dropped_by_editing_the_file",
    ),
    Mutation(
        "a served key is not retired",
        _RULES,
        "    if not vantages:",
        "    if True:",
        _IN_GATE + "test_a_key_that_is_served_does_not_retire",
    ),
    Mutation(
        "the last backup is not removed",
        _RULES,
        'if situation.policy.mode != "enforce" or outside - {pin} or',
        'if situation.policy.mode != "enforce" or outside or',
        _IN_GATE + "test_the_last_pin_outside_the_served_chain_is_not_removed",
    ),
    Mutation(
        "a compromised key is never used again",
        _RULES,
        "if pin not in situation.past.compromised:",
        "if True:",
        _IN_GATE + "test_a_compromised_key_is_neither_staged_nor_published",
    ),
    Mutation(
        "a lost key is never used again",
        _GATE,
        "            not_lost(situation, pin),\n",
        "",
        _IN_GATE + "test_a_lost_key_is_neither_staged_nor_used",
    ),
    Mutation(
        "a lost key is not staged",
        _GATE,
        "found = (not_compromised(situation, pin), not_lost(situation, pin))",
        "found = (not_compromised(situation, pin),)",
        _IN_GATE + "test_a_lost_key_is_neither_staged_nor_used",
    ),
    Mutation(
        "a key that the journal records as lost is lost",
        _RULES,
        "if pin not in situation.past.lost and (entry is None",
        "if (entry is None",
        _IN_GATE + "test_a_lost_key_is_neither_staged_nor_used",
    ),
    Mutation(
        "a lost key is no backup",
        "certpin/pins/policy.py",
        'return self.live and self.state != "lost"',
        "return self.live",
        _IN_GATE + "test_a_lost_key_is_no_backup",
    ),
    Mutation(
        "a lost key of the journal is no backup",
        _SITUATION,
        "return usable - self.past.lost - self.past.compromised",
        "return usable",
        _IN_GATE + "test_a_lost_key_is_no_backup",
    ),
    Mutation(
        "a lost key is not the last backup",
        _RULES,
        "outside = situation.usable - situation.served",
        "outside = set(situation.policy.live_pins) - situation.served",
        _IN_GATE + "test_a_lost_key_is_removed_and_is_not_the_last_backup",
    ),
    Mutation(
        "the journal decides that a key is lost",
        _JOURNAL,
        "if pin in situation.past.lost and (entry is None or entry.usable):",
        "if False:",
        "tests/rotation/test_states.py"
        "::test_what_the_journal_records_about_a_key_counts_more_than_the_file",
    ),
    Mutation(
        "not from one unverified server",
        _RULES,
        "if len(showing) != 1 or out",
        "if True or out",
        _IN_GATE + "test_a_pin_from_one_unverified_server_is_not_published",
    ),
    Mutation(
        "the served keys are known",
        _RULES,
        "    if situation.all_verified:",
        "    if True:",
        _IN_GATE + "test_a_pin_is_not_dropped_if_the_served_keys_are_unknown",
    ),
    Mutation(
        "a plan is rehearsed",
        _PLAN,
        "if violations := _check(step, situation):",
        "if violations := ():",
        _IN_PLAN + "test_a_binary_that_never_ends_makes_a_new_key_impossible_after_it_is_published",
    ),
    Mutation(
        "a date counts from its publishing",
        _PLAN,
        "not_before=found.moment, counts_from=version",
        "not_before=found.moment, counts_from=None",
        _IN_PLAN + "test_a_new_key_is_published_and_served_after_its_adoption",
    ),
    Mutation(
        "the next backup",
        _PLAN,
        "    if not _has_spare(situation, to, old):",
        "    if False:",
        _IN_PLAN + "test_an_adopted_backup_is_served_now_and_the_next_one_is_made",
    ),
    Mutation(
        "equal events are one",
        _JOURNAL,
        "(event.recorded or event.time, format_event(event)): event for event in events}",
        "(event.recorded or event.time, format_event(event) + str(at)): event "
        "for at, event in enumerate(events)}",
        _IN_JOURNAL + "test_the_order_of_a_merge_does_not_matter_for_steps_with_one_time",
    ),
    Mutation(
        "two contents with one number are reported",
        _HISTORY,
        "if meaning(before.pins) != meaning(event.pins):",
        "if False:",
        _IN_HISTORY + "test_contradictions_are_reported",
    ),
    Mutation(
        "switch asks the gate",
        "certpin/cli/rotate/switch.py",
        "violations = step.violations()",
        "violations: list[HostViolation] = []",
        _DRAFT + "test_a_binary_blocks_activation_until_its_end_is_recorded",
    ),
    Mutation(
        "a plan says when to renew with the same key",
        _PLAN,
        "if first is not None and usable and first <= max(usable) else None",
        "if False else None",
        _IN_PLAN
        + "test_a_certificate_that_expires_before_the_new_key_is_usable_has_to_be_renewed_before",
    ),
    Mutation(
        "a stolen key is recorded whatever the clock says",
        _JOURNAL,
        "earliest = _EARLIEST if any_lag else newest",
        "earliest = newest",
        _IN_EMERGENCY + "test_a_fact_is_recorded_after_the_newest_event_whatever_the_clock_says",
    ),
    Mutation(
        "a server that did not answer may present the key",
        _EMERGENCY,
        "unseen = not situation.all_verified or not all_answered",
        "unseen = not situation.sightings",
        _IN_EMERGENCY + "test_a_key_is_taken_for_used_unless_every_server_presents_another",
    ),
    Mutation(
        "the key that is adopted first is chosen",
        _EMERGENCY,
        "choice.not_before.timestamp() if choice.not_before else 0.0,",
        "0.0,",
        _IN_EMERGENCY + "test_the_key_that_is_adopted_first_is_chosen",
    ),
    Mutation(
        "a path that locks clients out is not safe",
        _EMERGENCY,
        "if len(dates) < len(violations):",
        "if False:",
        _IN_EMERGENCY + "test_a_binary_without_the_backup_leaves_no_safe_path",
    ),
    Mutation(
        "without a recorded version no path is safe",
        _EMERGENCY,
        "    if situation.alive:\n        return None\n    (refusal",
        "    if True:\n        return None\n    (refusal",
        _IN_EMERGENCY + "test_without_a_recorded_version_no_path_is_known",
    ),
    Mutation(
        "the last pin needs a new backup",
        _EMERGENCY,
        "if not has_backup_without(situation, gone):",
        "if False:",
        _IN_EMERGENCY + "test_with_the_minimum_of_two_pins_the_backup_goes_live",
    ),
    Mutation(
        "clients that are locked out already need another key at the servers",
        _EMERGENCY,
        "if suspects or lockout is not None:",
        "if in_use or others:",
        _IN_EMERGENCY
        + "test_a_server_with_an_unpinned_key_is_led_to_the_backup_and_the_lockout_is_stated",
    ),
    Mutation(
        "another stolen key that servers use is replaced, too",
        _EMERGENCY,
        "if suspects or lockout is not None:",
        "if in_use or lockout is not None:",
        _IN_EMERGENCY + "test_with_both_keys_stolen_the_path_is_the_same_for_each",
    ),
    Mutation(
        "a version without a backup is not on the path",
        _EMERGENCY,
        'steps += [*backup, EmergencyStep("publish")]',
        'steps += [EmergencyStep("publish")]',
        _IN_EMERGENCY
        + "test_the_gate_accepts_every_step_of_the_path_in_its_order_and_then_nothing_is_left",
    ),
    Mutation(
        "a key that is in the draft is not made again",
        _EMERGENCY,
        "for other in (*keys, NEXT_BACKUP):",
        "for other in (NEXT_BACKUP,):",
        _PATHS + "test_two_lost_keys_are_replaced_by_the_printed_commands",
    ),
    Mutation(
        "a version that the draft already is needs no other number",
        _EMERGENCY,
        "    return meaning(situation.pins) != meaning(latest.pins)",
        "    return True",
        _IN_EMERGENCY
        + "test_nothing_is_left_to_do_when_the_key_is_out_of_use_and_the_version_is_out",
    ),
    Mutation(
        "clients that trust only a stolen root have no safe path",
        _EMERGENCY,
        "if best.harm is not None or stranded is None",
        "if True",
        _PATHS + "test_a_stolen_root_that_clients_only_trust_leaves_no_safe_path",
    ),
    Mutation(
        "a stolen authority in a chain refuses it",
        _RULES,
        "    if not stolen:",
        "    if True:",
        _PATHS + "test_the_key_of_an_authority_is_replaced_under_another_one",
    ),
    Mutation(
        "a certificate for another host is refused",
        _SWITCH,
        "        if policy in named.policies(self.files.pins):",
        "        if True:",
        _PATHS + "test_a_certificate_that_every_client_refuses_is_not_installed",
    ),
    Mutation(
        "after a theft the backup of an authority is an authority",
        "certpin/cli/rotate/emergency_text.py",
        'if self.situation.policy.match == "ca":',
        "if False:",
        _AUTHORITY_PATHS + "test_each_printed_command_is_accepted_and_the_emergency_ends",
    ),
    Mutation(
        "the next backup of a host that pins authorities is an authority",
        "certpin/rotation/violation.py",
        "if match == 'ca' else",
        "if False else",
        _AUTHORITY_PATHS + "test_status_and_finish_lead_to_another_authority_as_the_backup",
    ),
    Mutation(
        "after a theft the chain of an authority is judged, not its key",
        "certpin/cli/rotate/emergency_text.py",
        'if self.situation.role_of(step.pin or NEXT_BACKUP) != "leaf":',
        "if False:",
        _AUTHORITY_PATHS + "test_each_printed_command_is_accepted_and_the_emergency_ends",
    ),
    Mutation(
        "a host that is unknown is not recorded",
        "certpin/cli/rotate/emergency_record.py",
        "        if pins is not None:",
        "        if False:",
        _PATHS + "test_a_host_that_neither_file_knows_is_not_recorded",
    ),
    Mutation(
        "a key that servers present without a switch is named",
        _NEXT_STEP,
        "        or _unrecorded(situation)\n",
        "",
        _IN_NEXT_STEP + "test_a_key_that_servers_present_without_a_switch_is_recorded",
    ),
    Mutation(
        "the last backup is not announced as the next key",
        _NEXT_STEP,
        "and not is_last_spare(situation, pin)",
        "and True",
        _PATHS + "test_the_only_backup_is_not_announced_as_the_next_key",
    ),
    Mutation(
        "a failed append leaves no part of a line in the journal",
        _FILES,
        "            file.truncate(size)\n",
        "",
        _CRASHES + "test_a_full_disk_leaves_no_part_of_a_line_in_the_journal",
    ),
    Mutation(
        "an interrupted append takes back the change of the pin file",
        _FILES,
        "        except BaseException as exc:  # also Ctrl-C",
        "        except OSError as exc:",
        _CRASHES + "test_ctrl_c_during_the_write_of_the_journal_takes_the_step_back",
    ),
    Mutation(
        "a repeated switch records the step that the journal lacks",
        _SWITCH,
        "is_missing = step.pin in step.files.history.missing_steps(policy)",
        "is_missing = False",
        _CRASHES + "test_a_switch_without_its_record_is_repaired_after_the_next_version",
    ),
    Mutation(
        "a repeated start records the step that the journal lacks",
        _START,
        'return "stage" in self.files.history.missing_steps(situation.policy).get(pin, ())',
        "return False",
        _CRASHES + "test_each_command_warns_of_a_step_that_the_journal_lacks",
    ),
    Mutation(
        "a removal that the journal lacks is recorded only if no server has the key",
        _FINISH,
        'if not self._refused(policy, self._check(pattern, pin, "retire")):',
        "if True:",
        _CRASHES + "test_a_removal_without_its_record_is_not_recorded_while_a_server_has_the_key",
    ),
    Mutation(
        "a key that was a backup needs a recorded switch, also if a version has it as ACTIVE",
        _HISTORY,
        "        return was_backup\n",
        "        return False\n",
        _CRASHES + "test_a_switch_without_its_record_is_repaired_after_the_next_version",
    ),
    Mutation(
        "the fact is recorded before anything can fail",
        "certpin/cli/rotate/emergency.py",
        "    report.record(probes.hosts)\n    report.find_paths(probes)",
        "    report.find_paths(probes)\n    if report.problem:\n        ctx.exit(PROBLEM_FOUND)\n"
        "    report.record(probes.hosts)",
        "tests/cli/test_rotate_emergency.py::test_a_fact_is_recorded_with_an_invalid_pin_file",
    ),
    Mutation(
        "the pin file marks a key that the journal records as stolen",
        _FILES,
        '                yield entry.pin, "compromised"',
        "                pass",
        "tests/cli/test_rotate_emergency.py"
        "::test_the_pin_file_marks_the_key_as_soon_as_it_has_another_backup",
    ),
    Mutation(
        "a lost key is taken out by the next finish",
        "certpin/rotation/renewal.py",
        '    found += [entry.pin for entry in situation.policy.pins if entry.state == "lost"]\n',
        "",
        "tests/cli/test_rotate_emergency.py::test_the_next_finish_takes_a_lost_backup_out",
    ),
    Mutation(
        "a stolen key comes before any other action",
        _NEXT_STEP,
        "        if pin in live or pin in situation.served:",
        "        if False:",
        _IN_NEXT_STEP + "test_a_stolen_or_lost_key_comes_first",
    ),
    Mutation(
        "a changed pin file goes out only through the gate",
        _NEXT_STEP,
        'return NextStep("publish", violations=check_step(numbered, "publish"))',
        'return NextStep("publish")',
        _IN_NEXT_STEP + "test_a_changed_pin_file_goes_out_unless_the_gate_refuses_it",
    ),
    Mutation(
        "a version that was published twice is resolved only by a later one",
        _HISTORY,
        "higher > number and later > at",
        "higher > number",
        _IN_HISTORY
        + "test_a_version_published_twice_is_resolved_by_a_higher_one_that_comes_after_both",
    ),
    Mutation(
        "the old key is finished only if no server presents it",
        _NEXT_STEP,
        'return NextStep("finish", pin, violations=removal_violations(situation, pin))',
        'return NextStep("finish", pin)',
        _IN_NEXT_STEP + "test_the_old_key_is_finished_when_no_server_presents_it",
    ),
    Mutation(
        "a key that is not adopted has its date",
        _NEXT_STEP,
        'return NextStep("switch", pin, dates[pin], violations=violations)',
        'return NextStep("switch", pin)',
        _IN_NEXT_STEP + "test_a_key_in_flight_has_the_date_of_its_adoption",
    ),
    Mutation(
        "a refused chain is repaired before anything is begun",
        _NEXT_STEP,
        "        or _repair(situation)\n",
        "",
        _IN_NEXT_STEP + "test_a_refused_chain_is_repaired_before_anything_else_is_begun",
    ),
    Mutation(
        "only the latest version is extended",
        _NEXT_STEP,
        "expiry(situation, [latest])",
        "expiry(situation, situation.alive)",
        _IN_NEXT_STEP + "test_pins_that_expire_early_are_extended_unless_a_later_version_is_out",
    ),
    Mutation(
        "if authorities are compared, the authority is started",
        _REMEDIES,
        "pin = Pin.of_key(issuers.pop().spki_sha256)\n",
        "issuers.clear()\n",
        _IN_GATE + "test_the_fix_of_a_refused_chain_names_the_pin_that_start_takes",
    ),
    Mutation(
        "a number that went out twice has not ended in a binary",
        _REMEDIES,
        "    if copies:\n",
        "    if not refusing:\n",
        _IN_GATE + "test_a_number_that_went_out_twice_needs_one_more_version",
    ),
    Mutation(
        "a request is for a key that an authority certifies",
        "certpin/cli/rotate/keys.py",
        "        _compare_with_pin_file(path, names, signer)\n",
        "",
        "tests/cli/test_rotate_csr.py::test_a_pinned_key_that_no_authority_certifies_is_lost",
    ),
    Mutation(
        "servers switch to a key that an authority certifies",
        "certpin/cli/rotate/switch.py",
        "require_certifiable(named.key_type, policy.pattern, policy.trust, policy.match, pin)",
        "pass",
        "tests/cli/test_rotate_csr.py::test_a_pinned_key_that_no_authority_certifies_is_lost",
    ),
    Mutation(
        "a published pin that a merge dropped comes back",
        _START,
        "        if _is_lost_in_merge(situation, pin):\n            return True\n",
        "",
        _IN_START + "test_a_published_pin_that_a_merge_dropped_comes_back",
    ),
    Mutation(
        "a pin that comes back is staged once",
        _START,
        "            if not self._was_published(name)\n",
        "",
        _IN_START + "test_a_published_pin_that_a_merge_dropped_comes_back",
    ),
    Mutation(
        "an authority is switched to by its certificate",
        "certpin/cli/rotate/status_text.py",
        "return place or str(pin)",
        "return str(pin)",
        "tests/incidents/test_authorities.py::test_a_distrust",
    ),
    Mutation(
        "pins that expire are extended by the next version",
        "certpin/cli/rotate/status_text.py",
        'if step.act in {"publish", "extend"}:',
        'if step.act == "publish":',
        "tests/incidents/test_renewals.py::test_expiring_pins",
    ),
    Mutation(
        "the gate judges the SCTs of a certificate that was issued",
        _PROSPECT,
        "    if chain is not None and _knows_scts(chain):\n        verdict = judge",
        "    if False:\n        verdict = judge",
        _IN_TRANSPARENCY
        + "test_a_renewal_without_scts_is_refused_with_the_missing_ones_and_the_fix",
    ),
    Mutation(
        "SCTs are open without the issuer's certificate",
        _PROSPECT,
        'return "accepted" if verify(chain, policy, now).decision != "refuse" else "open"',
        'return "accepted"',
        _IN_TRANSPARENCY + "test_without_the_certificate_of_its_issuer_the_scts_are_open",
    ),
    Mutation(
        "a certificate that was not issued has no SCTs yet",
        _PROSPECT,
        "    if any(map(_is_stand_in, chain.certificates[:2])):\n        return False\n",
        "",
        _IN_TRANSPARENCY + "test_a_certificate_that_is_not_issued_yet_is_judged_by_its_pins",
    ),
    Mutation(
        "the SCTs of a new certificate may be later than this clock",
        _PROSPECT,
        "        verdict = verify(chain, policy, now + CLOCK_TOLERANCE)\n",
        "        pass\n",
        _IN_TRANSPARENCY + "test_a_clock_that_is_a_little_behind_refuses_no_new_certificate",
    ),
    Mutation(
        "pins come before SCTs",
        _RULES,
        'if found and all(verdict.reason == "too-few-scts" for _, _, verdict in found):',
        "if found:",
        _IN_TRANSPARENCY + "test_a_key_that_is_not_pinned_is_reported_before_its_scts",
    ),
]
