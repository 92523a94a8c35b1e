"""Code changes, each of which breaks a rule of signing.

``test_mutations.py`` applies each change, and requires that the named test fails.
"""

from __future__ import annotations

from tests._mutation import Mutation

_PUBLISH = "certpin/publish/"
_SIGN = "tests/publish/test_sign.py::test_"
_CLI = "tests/cli/test_publish.py::test_"
_DRAFTS = "tests/publish/test_drafts.py::test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _PUBLISH + file, old, new, test)


def _event(rule: str, old: str, new: str, test: str) -> Mutation:
    return _rule(rule, "event.py", old, new, f"tests/cli/test_signing_event.py::test_{test}")


MUTATIONS: list[Mutation] = [
    _rule(
        "a new signature of a draft is verified with the key in the root",
        "sign.py",
        "    _require_valid({*new} - valid, role)\n",
        "",
        _SIGN + "a_wrong_signature_is_not_stored_in_a_draft",
    ),
    _rule(
        "a new signature of the online key is verified with the key in the root",
        "sign.py",
        "    _require_valid({online.public_key.keyid} - signers(metadata, root), signed.type)\n",
        "",
        _SIGN + "a_new_signature_is_verified_with_the_key_in_the_root",
    ),
    _rule(
        "a root is what certpin writes, to clients in every language",
        "roots.py",
        "        return serializer.serialize(one) == serializer.serialize(other)\n",
        "        return one == other\n",
        _DRAFTS + "a_threshold_of_true_is_refused",
    ),
    _rule(
        "a root to sign names its pin set",
        "roots.py",
        "    if root.unrecognized_fields.get(PIN_SET_FIELD) != name:\n",
        "    if False:\n",
        _DRAFTS + "a_draft_of_a_root_keeps_the_rules",
    ),
    _rule(
        "no version too far ahead is signed or recorded",
        "signing_plan.py",
        "        _require_step(plan, policy.offer)\n",
        "",
        "tests/cli/test_publish.py::test_a_mistyped_version_is_not_recorded[keys0]",
    ),
    _rule(
        "an interrupted command can be repeated with the replaced key",
        "signing_plan.py",
        "(keys & before) - known if keys & known else frozenset[str]()",
        "frozenset[str]()",
        "tests/cli/test_publish.py::test_the_same_command_completes_an_interrupted_one[root]",
    ),
    _rule(
        "with only a replaced key, nothing is signed",
        "signing_plan.py",
        "(keys & before) - known if keys & known else frozenset[str]()",
        "(keys & before) - known",
        "tests/cli/test_publish.py::test_the_same_command_completes_an_interrupted_one[online]",
    ),
    _rule(
        "a version in an app's binary counts, too",
        "signing_plan.py",
        "known = [self.held, current.pins.version if current else None]",
        "known = [current.pins.version if current else None]",
        "tests/cli/test_publish.py::test_a_version_too_far_above_one_in_an_app_is_refused",
    ),
    _rule(
        "a version that was signed gets new signatures",
        "signing_plan.py",
        "if content is None or (current and content.pins.version <= current.pins.version):",
        "if content is None:",
        "tests/cli/test_publish.py::test_status_reports_that_clients_refuse_the_signed_version",
    ),
    _rule(
        "under a new root, older versions don't count",
        "jump.py",
        "(number for number in held if number >= first)",
        "held",
        "tests/cli/test_publish.py::test_a_version_too_far_above_one_in_an_app_is_refused",
    ),
    _rule(
        "a version far ahead is not published without its root",
        "signing_plan.py",
        " or _is_jump(plan, content)",
        "",
        _SIGN + "a_version_far_ahead_needs_a_new_root_in_the_same_publication",
    ),
    Mutation(
        "a pin file under two names has one folder",
        "certpin/publish/folder.py",
        "folder = journal_path(pin_file).with_name(FOLDER)",
        "return pin_file.with_name(FOLDER)",
        "tests/cli/test_publish.py::test_a_pin_file_under_two_names_has_one_folder",
    ),
    Mutation(
        "a second folder beside a link is refused",
        "certpin/publish/folder.py",
        "if (other := other_beside_link(pin_file, folder)) is not None:",
        "if False:",
        "tests/cli/test_publish.py::test_a_pin_file_under_two_names_has_one_folder",
    ),
    Mutation(
        "both names of a pin file lead to signed versions",
        "certpin/cli/rotate/files.py",
        'journal_path(pin_file).with_name("publish")',
        'pin_file.with_name("publish")',
        "tests/cli/test_publish.py::"
        "test_both_names_of_a_pin_file_lead_to_its_first_signed_version[app/pins.toml]",
    ),
    Mutation(
        "nothing is recorded that clients would refuse",
        "certpin/cli/publish/sign.py",
        "    done = signed_with(plan, keys, renew)  "
        "# first: the journal's entries can't be removed\n",
        "    if checked:\n        context.files.commit([checked.event])\n"
        "    done = signed_with(plan, keys, renew)\n",
        "tests/cli/test_publish.py::test_nothing_is_recorded_if_clients_would_refuse_the_result",
    ),
    _rule(
        "a clock that is behind replaces no timestamp",
        "sign.py",
        "    _require_clock(policy, renew)\n",
        "",
        _SIGN + "a_clock_that_is_behind_signs_no_timestamp",
    ),
    _rule(
        "a conflict in a signed file is named",
        "folder.py",
        "    if data is not None and data.startswith(_CONFLICT):\n",
        "    if False:\n",
        "tests/publish/test_folder.py::test_a_conflict_in_a_signed_file_is_named[timestamp.json]",
    ),
    _rule(
        "a role is not left out of a renewal without a word",
        "signing_plan.py",
        "    _require_renewable(plan, keys, renew)\n",
        "",
        _SIGN + "a_role_is_not_renewed_without_its_keys[targets-keys1]",
    ),
    _rule(
        "a former online key gets no other role",
        "roots.py",
        "    yield from _wrong_moves(root, earlier, new_key)\n",
        "",
        _DRAFTS + "a_former_online_key_gets_no_other_role",
    ),
    _rule(
        "a key that was online under any earlier root gets no other role",
        "roots.py",
        '_public_keys(earlier, "timestamp")',
        '_public_keys(earlier[-1:], "timestamp")',
        _DRAFTS + "a_key_that_was_online_long_ago_gets_no_other_role[root]",
    ),
    _rule(
        "a replaced root or targets key does not become the online key",
        "roots.py",
        'others = _public_keys(earlier, "root", "targets")',
        "others = online",
        _DRAFTS + "a_replaced_root_or_targets_key_does_not_become_the_online_key[root-root]",
    ),
    _rule(
        "moved keys are compared as public keys and not as IDs",
        "roots.py",
        "import PIN_SET_FIELD, dart_shortage, distinct\n",
        "import PIN_SET_FIELD, dart_shortage\n"
        "def distinct(keys): return frozenset(key.keyid for key in keys)\n",
        _DRAFTS + "a_key_that_changes_its_role_is_found_under_another_id",
    ),
    _rule(
        "a draft may keep moved keys of the root if it has fewer",
        "roots.py",
        "if new_key is not None and moved < moved_keys(current, earlier):",
        "if False:",
        _DRAFTS + "each_moved_key_of_an_old_root_is_replaced_in_turn",
    ),
    _rule(
        "a root that still has moved keys is only a draft",
        "roots.py",
        "if new_key is not None and moved <",
        "if moved <",
        _DRAFTS + "each_moved_key_of_an_old_root_is_replaced_in_turn",
    ),
    _rule(
        "a draft with as many moved keys as the root is refused",
        "roots.py",
        "moved < moved_keys(current, earlier)",
        "moved <= moved_keys(current, earlier)",
        _DRAFTS + "a_draft_with_as_many_moved_keys_as_the_root_is_refused",
    ),
    _rule(
        "a draft gets no other moved key than the root has",
        "roots.py",
        "moved < moved_keys(current, earlier)",
        "len(moved) < len(moved_keys(current, earlier))",
        _DRAFTS + "a_draft_with_another_moved_key_is_refused",
    ),
    Mutation(
        "each signing warns of the moved keys of the root",
        "certpin/cli/publish/sign.py",
        "sorted(moved_keys(state.root, state.roots)) if state.root else ()",
        "()",
        _CLI + "the_moved_keys_of_a_root_are_named_until_they_are_replaced",
    ),
    Mutation(
        "the warning of moved keys names the pin file in JSON, too",
        "certpin/cli/publish/sign.py",
        "{with_file(key.fix)}",
        "{key.fix}",
        _CLI + "the_moved_keys_of_a_root_are_named_until_they_are_replaced",
    ),
    Mutation(
        "add-key leads to the next moved key of the root",
        "certpin/cli/publish/add_key.py",
        "if left := moved_keys(root.signed, context.policy.state.roots):",
        "if left := ():",
        _CLI + "the_moved_keys_of_a_root_are_named_until_they_are_replaced",
    ),
    _rule(
        "a root with moved keys is renewed with the same keys",
        "roots.py",
        "if root.keys == current.keys and root.roles == current.roles:",
        "if False:",
        _DRAFTS + "a_root_with_moved_keys_is_renewed_with_the_same_keys",
    ),
    _rule(
        "a renewal changes no threshold",
        "roots.py",
        "if root.keys == current.keys and root.roles == current.roles:",
        "if root.keys == current.keys:",
        _DRAFTS + "a_root_with_moved_keys_is_not_signed_with_another_threshold",
    ),
    _rule(
        "a signed draft is kept if it replaces an obsolete one",
        "sign.py",
        "*(set(_over(plan)) - done.drafts.keys())",
        "*_over(plan)",
        _DRAFTS + "an_obsolete_draft_is_replaced_by_that_of_the_next_version",
    ),
    _rule(
        "a version of the day of the root may be newer than the root",
        "jump.py",
        "since < begin_of_day)",
        "since < end_of_day)",
        "tests/cli/test_publish.py::"
        "test_a_version_of_the_day_of_the_root_is_not_older_than_the_root",
    ),
    Mutation(
        "a clone without a timestamp is compared with the destination",
        "certpin/cli/publish/destination.py",
        "    if state.root is None or (offline and state.current is None):\n",
        "    if state.current is None:\n",
        "tests/cli/test_publish_status.py::"
        "test_a_missing_timestamp_is_a_problem_if_the_destination_has_one",
    ),
    Mutation(
        "a signed version that the journal lacks is a problem",
        "certpin/cli/publish/status.py",
        "_is_unknown(context) or (has_url",
        "(has_url",
        "tests/cli/test_publish_status.py::"
        "test_a_signed_version_that_the_journal_lacks_is_a_problem",
    ),
    Mutation(
        "a proposal writes no file for clients",
        "certpin/cli/publish/propose.py",
        "        _require_drafting(context, keys, to_sign)\n",
        "",
        "tests/cli/test_signing_event.py::test_a_proposal_is_not_signed_with_the_online_key",
    ),
    Mutation(
        "the first root is signed without a proposal",
        "certpin/cli/publish/propose.py",
        "    if context.policy.state.root is None:\n",
        "    if False:\n",
        "tests/cli/test_signing_event.py::test_nothing_is_proposed_before_the_first_root_is_signed",
    ),
    _rule(
        "a password in url is refused when the settings are read",
        "settings.py",
        'check_url(top.text("url"))',
        'top.text("url")',
        "tests/cli/test_publish_status.py::test_a_password_in_a_url_is_refused_and_not_printed[url]",
    ),
    _rule(
        "a password in fetch_url is refused when the settings are read",
        "settings.py",
        "        parse_folder_url(url)\n",
        "        pass\n",
        "tests/cli/test_publish_status.py::"
        "test_a_password_in_a_url_is_refused_and_not_printed[fetch_url]",
    ),
    _rule(
        "a password in a mistyped URL is refused when the settings are read",
        "storage.py",
        "elif _MISTYPED_URL.match(url) and",
        "elif False and",
        "tests/publish/test_folder.py::test_invalid_settings_are_reported",
    ),
    Mutation(
        "init stores no password",
        "certpin/cli/publish/init.py",
        "check_url(url) if",
        "url if",
        "tests/cli/test_publish.py::test_a_failed_init_leaves_no_key",
    ),
    _rule(
        "the error for a URL has none of its secrets",
        "storage.py",
        "_SECRET_PARTS.sub('', url)[:80]",
        "url[:80]",
        "tests/publish/test_folder.py::test_invalid_settings_are_reported",
    ),
    _rule(
        "a root is signed as it demands itself",
        "sign.py",
        "is_complete(root, current) and is_complete(root, root.signed)",
        "is_complete(root, current)",
        _SIGN + "one_of_two_thresholds_is_not_enough[root]",
    ),
    _rule(
        "a root is signed by the keys of the previous root",
        "sign.py",
        "is_complete(root, current) and is_complete(root, root.signed)",
        "is_complete(root, root.signed)",
        _SIGN + "one_of_two_thresholds_is_not_enough[root2]",
    ),
    _rule(
        "the online key has no other role",
        "roots.py",
        'if set(timestamp.keyids) & {*root.roles["root"].keyids, *root.roles["targets"].keyids}:',
        "if False:",
        _SIGN + "an_unsafe_root_is_not_drafted",
    ),
    _rule(
        "the online key signs no draft",
        "signing_plan.py",
        'return _keys(candidates, role) - _keys(known, "timestamp")',
        "return _keys(candidates, role)",
        _DRAFTS + "the_online_key_signs_no_draft_that_names_it[root]",
    ),
    _rule(
        "a threshold that can be met",
        "roots.py",
        "if not 1 <= role.threshold <= len(role.keyids):",
        "if False:",
        _SIGN + "an_unsafe_root_is_not_drafted",
    ),
    _rule(
        "one key is one signature",
        "roots.py",
        "any(public_key_of(key) is None or key.keyid != keyid for keyid, key in root.keys.items())",
        "False",
        _DRAFTS + "one_key_under_two_names_is_not_two",
    ),
    _rule(
        "an unexpired root",
        "roots.py",
        'if not now < root.expires <= now + settings.life("root") + SLACK:',
        "if False:",
        _DRAFTS + "a_draft_of_a_root_keeps_the_rules",
    ),
    _rule(
        "the content equals the published one",
        "signing_plan.py",
        "        require_published(policy.offer.pins, policy.published[latest])\n",
        "",
        _SIGN + "a_file_that_differs_from_the_published_one_is_not_signed",
    ),
    _rule(
        "no other content under the same version",
        "signing_plan.py",
        "policy.published.get(current.pins.version), what=what)",
        "current.pins, what=what)",
        _SIGN + "no_other_content_is_signed_under_the_same_version",
    ),
    _rule(
        "no lower version",
        "signing_plan.py",
        "if latest is not None and latest < current.pins.version:",
        "if False:",
        _SIGN + "no_lower_version_is_signed",
    ),
    _rule(
        "a draft equals the expected one",
        "signing_plan.py",
        "if not same_bytes(draft.signed, expected) or not in_turn or not in_time:",
        "if not in_turn or not in_time:",
        _DRAFTS + "a_draft_of_other_targets_is_not_signed",
    ),
    _rule(
        "files that clients would refuse are not written",
        "sign.py",
        "    if done.site:\n        verify_as_client(plan, done)\n",
        "",
        _SIGN + "files_that_clients_would_refuse_are_not_written",
    ),
    _rule(
        "a draft that cannot be read does not stop the timestamp",
        "state.py",
        "            unreadable[role] = exc\n",
        "            raise\n",
        "tests/publish/test_folder.py::"
        "test_an_unreadable_draft_is_reported_and_the_timestamp_is_renewed",
    ),
    _rule(
        "a link is not followed",
        "folder.py",
        "    if path.is_symlink():\n",
        "    if False:\n",
        "tests/publish/test_folder.py::test_a_link_is_not_followed",
    ),
    Mutation(
        "other temporary files are not deleted",
        "certpin/pinfile/file.py",
        "if left and known.fullmatch(left[1]) and path.is_file()",
        "if left and path.is_file()",
        "tests/publish/test_folder.py::test_only_files_of_a_killed_run_are_deleted",
    ),
    _rule(
        "published files are inside the folder",
        "content.py",
        "if not file.resolve().is_relative_to(path.parent.resolve()):",
        "if False:",
        _SIGN + "a_trust_file_elsewhere_or_in_the_place_of_another_is_not_signed[link]",
    ),
    Mutation(
        "signers see the anchors",
        "certpin/cli/publish/sign.py",
        "if policy.trust and (before is None or before.trust != policy.trust):",
        "if False:",
        "tests/cli/test_publish.py::test_the_policies_of_a_first_version_are_printed",
    ),
    Mutation(
        "signers see all settings of a new host",
        "certpin/cli/publish/sign.py",
        '            yield from (f"{policy.pattern}: {term}" for term in _terms(policy))\n',
        "",
        "tests/cli/test_publish.py::test_the_policy_of_a_new_host_and_changed_anchors_are_printed",
    ),
    Mutation(
        "no private key under the name of a public one",
        "certpin/cli/keys.py",
        "    if path.suffix.lower() in _PUBLIC_SUFFIXES:\n",
        "    if False:\n",
        "tests/cli/test_publish.py::test_no_key_is_made_under_a_mistyped_public_key_name",
    ),
    _event(
        "a merge is refused", "if commit.parents != 1:", "if False:", "each_other_change_is_refused"
    ),
    _event(
        "a branch has no link",
        "if change.after is not None and change.mode != _REGULAR:",
        "if False:",
        "each_other_change_is_refused",
    ),
    _event(
        "a branch changes no other file",
        "elif change.path not in proposal and not _is_new_anchor(change):",
        "elif False:",
        "each_other_change_is_refused",
    ),
    _event(
        "a branch only appends to the journal",
        "if after is None or not after.startswith(before):",
        "if False:",
        "each_other_change_is_refused",
    ),
    _event(
        "a proposal stays after the first signature",
        "if ended and not change.only_signs:",
        "if False:",
        "a_signature_is_not_replaced_or_taken_away_after_the_first_one",
    ),
    _event(
        "a commit has signatures of one key",
        "if len({signature[1] for signature in added if signature}) > 1:",
        "if False:",
        "signatures_of_several_keys_in_one_commit_are_refused",
    ),
    _event(
        "each signature of a branch is valid",
        "elif signed is not None and _has_signed(key, signed, state.roots):",
        "elif signed is not None:",
        "a_signature_by_another_key_is_refused",
    ),
    _event(
        "a signature of a replaced key does not count",
        "replaced.append((role, key))",
        "counting.append((role, key))",
        "a_signature_of_a_replaced_key_is_accepted_and_does_not_count",
    ),
    _event(
        "a signature of a replaced key does not end a signing event",
        "_has_signed(key, signed, state.roots)",
        "_has_signed(key, signed, roots)",
        "a_signature_of_a_replaced_key_is_accepted_and_does_not_count",
    ),
    _event(
        "a draft has the changed pins",
        "if changed and not drafted:",
        "if False:",
        "pins_that_no_draft_has_are_refused",
    ),
    _event(
        "a draft of old metadata is none",
        "if plan.root is None and plan.targets is None:",
        "if False:",
        "a_branch_with_only_a_stale_draft_is_refused",
    ),
    _event(
        "a new trust file has no name of another use",
        'return change.before is None and suffix and not hidden and path.parts[0] != "publish"',
        "return change.before is None",
        "a_branch_does_not_choose_its_trust_files",
    ),
    _event(
        "a new list of logs has no name of another use",
        "path.suffix in _ANCHOR_SUFFIXES or path.name == _LOG_LIST",
        'path.suffix in {*_ANCHOR_SUFFIXES, ".json"}',
        "a_branch_does_not_choose_its_trust_files[package.json]",
    ),
    _event(
        "the pin file names each new trust file",
        "if name not in content:",
        "if False:",
        "new_trust_anchors_are_proposed_with_the_pins_that_name_them",
    ),
    _event(
        "a branch records no push",
        'if any(event.step == "push" for event in new):',
        "if False:",
        "each_other_change_is_refused",
    ),
]
