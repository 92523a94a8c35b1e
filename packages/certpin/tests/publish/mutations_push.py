"""Code changes, each of which breaks a rule of a push (the upload of a signed pin set).

``test_mutations.py`` applies each change, and requires that the named test fails.
"""

from __future__ import annotations

from tests._mutation import Mutation

_PUBLISH = "certpin/publish/"
_PUSH = "tests/publish/test_push.py::test_"
_FSSPEC = "tests/publish/test_push_fsspec.py::test_"
_CRASHES = "tests/publish/test_push_crashes.py::test_"
_STOLEN = "tests/publish/test_push_stolen_key.py::test_"
_STORAGE = "tests/publish/test_storage.py::test_"
_COMMAND = "tests/cli/test_publish_push.py::test_"
_WAITS = "tests/cli/test_publish_waits.py::test_"
_OUTDATED = "tests/cli/test_outdated.py::test_"
_SITE = "tests/cli/test_signed_site.py::test_"
_STATUS = "tests/cli/test_publish_status.py::test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _PUBLISH + file, old, new, test)


MUTATIONS: list[Mutation] = [
    _rule(
        "an expired set is not pushed",
        "push.py",
        "    if now >= until:\n",
        "    if False:\n",
        _PUSH + "an_expired_set_is_not_pushed",
    ),
    _rule(
        "every local root follows its predecessor",
        "remote_state.py",
        "        if chain[0].version != 1 or len(chain) < len(data):\n",
        "        if chain[0].version != 1:\n",
        _PUSH + "an_unsigned_local_root_is_reported",
    ),
    _rule(
        "a push does not undo a renewal",
        "push.py",
        '        _require_not_above("timestamp", remote.timestamp_version, ours.timestamp)\n',
        "",
        _PUSH + "a_renewal_pushed_by_another_person_is_not_undone",
    ),
    _rule(
        "versions signed by a replaced key don't count",
        "push.py",
        "signed_version(local.chain[-1], timestamp)",
        "signed_version(local.chain[0], timestamp)",
        _STOLEN + "metadata_of_a_replaced_key_is_replaced_whatever_its_number",
    ),
    _rule(
        "targets stay valid under a replaced online key",
        "push.py",
        '    if counts or is_signed(root, "targets", theirs.signed.targets):\n',
        "    if counts:\n",
        _STOLEN + "a_set_pushed_before_the_key_replacement_is_not_undone",
    ),
    _rule(
        "a numbered file of an attacker is not overwritten",
        "push.py",
        "        _require_same(path, ours, remote.files.get(path))\n    for path, theirs",
        "        pass\n    for path, theirs",
        _STOLEN + "a_number_used_by_an_attacker_is_skipped",
    ),
    _rule(
        "a push does not undo a root",
        "push.py",
        "    if remote.next_root is not None:\n",
        "    if False:\n",
        _PUSH + "a_newer_stored_root_is_another_push",
    ),
    _rule(
        "clients can go from the stored set to the local one",
        "push.py",
        "        require_following(local.signed.pins, known)\n",
        "        pass\n",
        _PUSH + "two_signers_of_different_sets_conflict_without_a_shared_number",
    ),
    _rule(
        "versions signed by replaced targets keys don't count",
        "push.py",
        "known = shipped if _is_recovery(local, remote) else stored",
        "known = stored",
        _STOLEN + "versions_of_stolen_targets_keys_end_with_the_keys",
    ),
    _rule(
        "the version in an app counts also after a theft",
        "push.py",
        "known = shipped if _is_recovery(local, remote) else stored",
        "known = None if _is_recovery(local, remote) else stored",
        _STOLEN + "the_shipped_version_stays_the_lowest",
    ),
    _rule(
        "versions of targets keys that are in force count",
        "push.py",
        "known = shipped if _is_recovery(local, remote) else stored",
        "known = shipped",
        _PUSH + "two_signers_of_different_sets_conflict_without_a_shared_number",
    ),
    _rule(
        "a numbered file never changes",
        "push.py",
        "    if theirs is not None and not ours.startswith(theirs):\n",
        "    if False:\n",
        _PUSH + "a_changed_numbered_file_is_reported",
    ),
    _rule(
        "another pin set is not overwritten",
        "push.py",
        "    if theirs is not None and theirs != name:\n",
        "    if False:\n",
        _PUSH + "another_pin_set_of_the_same_keys_is_not_overwritten",
    ),
    _rule(
        "the timestamp goes last",
        "push.py",
        "        return {**targets, **self.newest.numbered, **roots, "
        "TIMESTAMP: self.newest.signed.timestamp}\n",
        "        return {TIMESTAMP: self.newest.signed.timestamp, **targets, "
        "**self.newest.numbered, **roots}\n",
        _PUSH + "files_are_uploaded_before_the_files_that_name_them",
    ),
    _rule(
        "a killed push leaves the old set",
        "push.py",
        "**targets, **self.newest.numbered, **roots, TIMESTAMP: self.newest.signed.timestamp}",
        "TIMESTAMP: self.newest.signed.timestamp, **targets, **self.newest.numbered, **roots}",
        _FSSPEC + "a_push_that_is_killed_at_any_moment_leaves_the_old_or_the_new_set",
    ),
    _rule(
        "a file is written before the files that name it",
        "push.py",
        "{**targets, **self.newest.numbered, ",
        "{**self.newest.numbered, **targets, ",
        _FSSPEC + "files_are_written_in_the_documented_order_and_read_back",
    ),
    _rule(
        "the beginning of a file is completed",
        "push.py",
        "    if theirs is not None and not ours.startswith(theirs):\n",
        "    if theirs is not None and ours != theirs:\n",
        _FSSPEC + "a_partial_file_is_completed_by_the_next_push",
    ),
    _rule(
        "a push deletes the temporary files of earlier ones",
        "push.py",
        "    storage.sweep()\n",
        "",
        _CRASHES + "temporary_files_of_an_earlier_killed_push_are_deleted_whatever_their_names",
    ),
    _rule(
        "a push deletes no temporary file of another one",
        "storage.py",
        "if time.time() - left.stat().st_mtime >= _ABANDONED:",
        "if left:",
        _CRASHES + "temporary_files_of_an_earlier_killed_push_are_deleted_whatever_their_names",
    ),
    _rule(
        "a file that is written again has no temporary files",
        "storage.py",
        "for left in left_overs(file.parent, known, recursive=False):",
        "for left in list[Path]():",
        _STORAGE + "a_write_sweeps_its_own_temporary_files_and_nothing_else",
    ),
    _rule(
        "uploaded files are read back",
        "push.py",
        "    if _read_expected(storage, path, data) != data:\n",
        "    if False:\n",
        _PUSH + "uploaded_files_are_read_back",
    ),
    _rule(
        "secrets stay out of version control",
        "storage.py",
        "    refuse_secrets(options)\n",
        "",
        _STORAGE + "secrets_in_the_settings_are_refused",
    ),
    _rule(
        "secrets in lists stay out of version control too",
        "storage.py",
        "    elif isinstance(value, list):\n",
        "    elif False:\n",
        _STORAGE + "secrets_in_the_settings_are_refused",
    ),
    _rule(
        "storage in memory is refused",
        "storage.py",
        '    if kind.__module__.partition(".")[0] == "fsspec" and scheme not in _LASTING:\n',
        "    if False:\n",
        _COMMAND + "settings_without_a_url_end_with_2",
    ),
    _rule(
        "an option that would be ignored is refused",
        "storage.py",
        "    refuse_unknown(scheme, kind, options)\n",
        "",
        _COMMAND + "a_storage_gets_its_options_and_no_others",
    ),
    _rule(
        "a missing mount point is not created",
        "storage.py",
        "        folder.mkdir()\n",
        "        folder.mkdir(parents=True)\n",
        _STORAGE + "a_folder_is_created_if_its_parent_exists",
    ),
    Mutation(
        "a push of nothing is refused while the newest version lacks a signature",
        "certpin/cli/publish/push.py",
        "            _require_signed(files, outcome.pushed)\n",
        "",
        _WAITS + "a_push_that_has_nothing_to_upload_ends_with_1",
    ),
    Mutation(
        "a push of another signature is a push",
        "certpin/cli/publish/push.py",
        "files.lacks_signature and not pushed.uploads:",
        "files.lacks_signature:",
        _WAITS + "a_push_of_another_signature_is_a_push",
    ),
    Mutation(
        "publish status ends with 1 while the newest version lacks a signature",
        "certpin/cli/publish/status.py",
        "    unrecorded |= context.files.lacks_signature\n",
        "",
        _WAITS + "the_status_of_the_signatures_ends_with_1",
    ),
    Mutation(
        "a version that lacks a signature is signed before it is pushed",
        "certpin/cli/rotate/files.py",
        "return number is None or number < latest.number",
        "return False",
        _WAITS + "status_prints_the_command_that_signs_and_the_missing_keys",
    ),
    Mutation(
        "a recorded version is not signed after a step that changes the pin file",
        "certpin/cli/rotate/emergency_text.py",
        "if recorded is None or not _CHANGES.isdisjoint(before):",
        "if recorded is None:",
        _WAITS + "an_emergency_prints_the_version_that_waits_for_a_signature",
    ),
    Mutation(
        "an outdated clone switches no key",
        "certpin/cli/rotate/switch.py",
        "[*self.newer, *self.chain.violations(situation)]",
        "self.chain.violations(situation)",
        _OUTDATED + "a_switch_is_refused",
    ),
    Mutation(
        "an outdated clone has no safe step",
        "certpin/cli/rotate/status.py",
        "                *draft.newer,\n",
        "",
        _OUTDATED + "status_says_that_no_step_is_safe",
    ),
    Mutation(
        "an emergency in an outdated clone has no path",
        "certpin/cli/rotate/emergency.py",
        "        if newer:\n",
        "        if False:\n",
        _OUTDATED + "an_emergency_is_recorded_and_no_path_is_printed",
    ),
    Mutation(
        "a version without a verified signature refuses no step",
        "certpin/cli/rotate/steps.py",
        "    if found.pins is None:\n",
        "    if False:\n",
        _OUTDATED + "a_forged_version_is_only_a_hint",
    ),
    Mutation(
        "the destination is verified with the root of this clone",
        "certpin/cli/publish/destination.py",
        "if own is None or read(first, LIMITS.root) != own:",
        "if (own := read(first, LIMITS.root)) is None:",
        _OUTDATED + "an_unverified_version_is_only_a_hint",
    ),
    Mutation(
        "no further root is read if the first one is not that of this clone",
        "certpin/cli/publish/destination.py",
        "if own is None or read(first, LIMITS.root) != own:",
        "if own is None:",
        _OUTDATED + "no_other_root_is_read_if_the_first_one_is_not_the_own",
    ),
    Mutation(
        "a destination with very many roots has a time limit",
        "certpin/cli/publish/destination.py",
        "        if deadline.passed:\n",
        "        if False:\n",
        _OUTDATED + "a_slow_folder_with_very_many_roots_ends",
    ),
    Mutation(
        "a response of a destination has the time limit of all files",
        "certpin/cli/publish/destination.py",
        '            answer = exchange("GET", address, deadline, tls, max_bytes=max_bytes)\n',
        "            own = type(deadline)(15, 15)\n"
        '            answer = exchange("GET", address, own, tls, max_bytes=max_bytes)\n',
        _OUTDATED + "a_server_that_sends_a_byte_now_and_then_ends",
    ),
    Mutation(
        "a FIFO at the destination is not waited for",
        "certpin/publish/storage.py",
        "                    opened_regular(self._folder / path) as (descriptor, _),\n"
        '                    os.fdopen(descriptor, "rb", closefd=False) as file,\n',
        '                    (self._folder / path).open("rb") as file,\n',
        _STORAGE + "a_fifo_is_refused_and_not_waited_for",
    ),
    Mutation(
        "old files at the destination refuse no step",
        "certpin/cli/publish/destination.py",
        "        if not known or self.pins is None:\n",
        "        if self.pins is None:\n",
        _OUTDATED + "old_files_at_the_destination_are_only_a_hint",
    ),
    Mutation(
        "old files at the destination are reported",
        "certpin/cli/publish/destination.py",
        "        if any(each.number == self.number for each in deployed.versions):\n",
        "        if True:\n",
        _OUTDATED + "old_files_at_the_destination_are_only_a_hint",
    ),
    Mutation(
        "a version of signed files is a positive number",
        "certpin/cli/rotate/signed_site.py",
        "if type(number) is not int or not 0 < number <= _MAX_NUMBER:",
        "if type(number) is not int:",
        _SITE + "a_version_is_a_number_from_1_to_2_53",
    ),
    Mutation(
        "a bool is no version of signed files",
        "certpin/cli/rotate/signed_site.py",
        "if type(number) is not int or",
        "if not isinstance(number, int) or",
        _SITE + "a_version_is_a_number_from_1_to_2_53",
    ),
    Mutation(
        "signed files of any form give a result or an error",
        "certpin/cli/rotate/signed_site.py",
        "    if not isinstance(data, dict):\n",
        "    if data is None:\n",
        _SITE + "metadata_of_any_form_give_a_result_or_an_error",
    ),
    Mutation(
        "the same number with other pins is newer",
        "certpin/cli/publish/destination.py",
        "if any(meaning(each.pins) == meaning(self.pins) for each in known):",
        "if True:",
        _OUTDATED + "the_same_number_with_other_pins_is_newer_too",
    ),
    Mutation(
        "an unpublished version is not pushed",
        "certpin/cli/publish/push.py",
        "is_first = waits_for_push(files.deployed, pushed)  # refuse",
        "is_first = True  # refuse",
        _COMMAND + "a_version_without_a_journal_entry_is_refused",
    ),
    Mutation(
        "metadata that a fast clock signed is not pushed",
        "certpin/cli/publish/push.py",
        "            _require_lifetimes(pushed, settings)\n",
        "",
        _COMMAND + "metadata_of_a_fast_clock_is_not_pushed[timestamp]",
    ),
    Mutation(
        "the clock is compared before each push",
        "certpin/cli/publish/push.py",
        "    if not dry and (is_first or pushed.uploads):\n",
        "    if not dry and is_first:\n",
        _COMMAND + "a_push_with_a_wrong_clock_is_refused[apart0]",
    ),
    Mutation(
        "a clock that no server confirms is reported",
        "certpin/cli/publish/push.py",
        "    if dates or not (files.fetch_host or counts):\n",
        "    if True:\n",
        _COMMAND + "a_clock_that_no_server_confirms_is_reported",
    ),
    Mutation(
        "T_adopt begins again after a lapse of the signatures",
        "certpin/rotation/history.py",
        "if known.number == event.version and (known.pending or again):",
        "if known.number == event.version and known.pending:",
        _COMMAND + "adoption_begins_again_after_the_signatures_had_expired",
    ),
    Mutation(
        "a lapse of the signatures is recorded",
        "certpin/cli/publish/push.py",
        "            outcome.again = _record_lapse(files, pushed, who)\n",
        "",
        _COMMAND + "adoption_begins_again_after_the_signatures_had_expired",
    ),
    Mutation(
        "a lapse does not matter to adopted versions",
        "certpin/rotation/history.py",
        "            if version.fetched and version.fetched + adopt > expired\n",
        "            if version.fetched\n",
        _COMMAND + "versions_that_every_client_had_do_not_begin_again",
    ),
    Mutation(
        "rotations wait while the signatures have expired",
        "certpin/cli/rotate/files.py",
        "return fetched_again(self.history.deployed, self.history.unadopted(expired), now)",
        "return self.history.deployed",
        _COMMAND + "rotations_wait_while_the_signatures_have_expired",
    ),
    Mutation(
        "a push does not undo one that came meanwhile",
        "certpin/publish/push.py",
        "            _require_as_planned(pushed, storage, path)\n",
        "",
        "tests/publish/test_push.py::test_a_push_that_another_one_overtakes_does_not_undo_it",
    ),
    Mutation(
        "a push does not undo a root that came meanwhile",
        "certpin/publish/push.py",
        "            raise _overtaken(following)\n",
        "            pass\n",
        "tests/publish/test_push.py::test_a_push_ends_before_a_root_that_came_meanwhile",
    ),
    Mutation(
        "no root is stored above a timestamp that came meanwhile",
        "certpin/publish/push.py",
        'if path == TIMESTAMP or path.endswith(".root.json"):',
        "if path == TIMESTAMP:",
        "tests/publish/test_push.py::test_a_push_stores_no_root_if_the_timestamp_changed_meanwhile",
    ),
    Mutation(
        "a signed timestamp that was not pushed is a problem",
        "certpin/cli/publish/status.py",
        "unrecorded or delivery.delivered is False or ends_soon",
        "unrecorded or ends_soon",
        "tests/cli/test_publish_status.py::test_a_timestamp_that_was_not_pushed_is_pending",
    ),
    Mutation(
        "a newer root at the destination is a problem",
        "certpin/cli/publish/destination.py",
        "    if has_next_root:",
        "    if False:",
        _STATUS + "newer_metadata_at_the_destination_is_a_problem[root]",
    ),
    Mutation(
        "a newer timestamp at the destination is a problem",
        "certpin/cli/publish/destination.py",
        "is_newer = version is not None and version > state.timestamp.version",
        "is_newer = False",
        _STATUS + "newer_metadata_at_the_destination_is_a_problem[timestamp]",
    ),
    Mutation(
        "an unreadable destination is inconclusive",
        "certpin/cli/publish/status.py",
        "INCONCLUSIVE if delivery.failed else SUCCESS",
        "SUCCESS",
        "tests/cli/test_publish_status.py::test_an_unreadable_destination_is_inconclusive",
    ),
    Mutation(
        "a push reports a signed version that it does not have",
        _PUBLISH + "pending.py",
        "    return tuple(_online(plan)) if complete or plan.policy.state.interrupted else ()\n",
        "    return ()\n",
        "tests/cli/test_publish.py::test_the_same_command_completes_an_interrupted_one[root]",
    ),
    Mutation(
        "push knows the version in the apps",
        "certpin/cli/publish/push.py",
        "shipped=_shipped(files)",
        "shipped=None",
        "tests/cli/test_publish_push.py::test_the_version_in_the_apps_is_the_lower_bound",
    ),
    Mutation(
        "the lower bound is a version in an app",
        "certpin/cli/publish/push.py",
        "if each.bundled is not None]",
        "if each.bundled is None]",
        "tests/cli/test_publish_push.py::test_the_version_in_the_apps_is_the_lower_bound",
    ),
]
