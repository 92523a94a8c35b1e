"""Mutations of signing (``test_mutations.py`` runs them)."""

from __future__ import annotations

from tests._mutation import Mutation

_PUBLISH = "certpin/publish/"
_SIGN = "tests/publish/test_sign.py::test_"
_DRAFTS = "tests/publish/test_drafts.py::test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _PUBLISH + file, old, new, test)


MUTATIONS: list[Mutation] = [
    _rule(
        "a root is what certpin writes, to clients in every language",
        "roots.py",
        "        return serializer.serialize(one) == serializer.serialize(other)\n",
        "        return one == other\n",
        _DRAFTS + "a_threshold_of_true_is_refused",
    ),
    _rule(
        "a former online key gets no other role",
        "roots.py",
        "    yield from _wrong_moves(root, before)\n",
        "",
        _DRAFTS + "a_former_online_key_gets_no_other_role",
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
        "certpin/pinfile/disk.py",
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
        "certpin/cli/backup.py",
        "    if path.suffix.lower() in _PUBLIC:\n",
        "    if False:\n",
        "tests/cli/test_publish.py::test_no_key_is_made_under_a_mistyped_public_key_name",
    ),
]
