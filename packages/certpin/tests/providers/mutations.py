"""Code changes, each of which breaks a rule about provider data (the roots that each CA uses).

``tests/test_mutations.py`` applies each change, and requires that the named test fails.
"""

from __future__ import annotations

from tests._mutation import Mutation

_DATA, _SETS = "certpin/providers/data.py", "certpin/providers/sets.py"
_T = "tests/providers/"
_AUTHORITY, _UPDATE = "certpin/cli/authority_pins.py", "certpin/cli/providers/update.py"
_LINT, _LOCKOUT = "certpin/lint/providers.py", "certpin/lint/lockout.py"
_ADD_TESTS, _UPDATE_TESTS = "tests/cli/test_add_providers.py::", "tests/cli/test_providers.py::"
_LINT_TESTS = "tests/lint/test_providers.py::"

MUTATIONS = [
    Mutation(
        "no expired root in a set",
        _DATA,
        "if root.not_after >= day)",
        "if root)",
        f"{_T}test_sets.py::test_a_root_is_in_the_set_on_its_last_day_and_not_after",
    ),
    Mutation(
        "a clock before the data",
        _DATA,
        "        if today < self.edition - _CLOCK_TOLERANCE:",
        "        if False:",
        f"{_T}test_data.py::test_a_clock_before_the_edition_is_an_error",
    ),
    Mutation(
        "an unknown provider",
        _DATA,
        "        if name in self.providers:\n            return self.providers[name]\n",
        "        return self.providers.get(name, next(iter(self.providers.values())))\n",
        f"{_T}test_data.py::test_an_unknown_provider_is_an_error_with_a_similar_name",
    ),
    Mutation(
        "outdated data changes nothing",
        _SETS,
        "bool(self.not_accepted)) and not self.newer",
        "bool(self.not_accepted))",
        f"{_T}test_sets.py::test_a_policy_of_a_later_edition_is_never_changed",
    ),
    Mutation(
        "a root with a dead entry makes a set incomplete",
        _SETS,
        "    dead = [each for each in entries if each.pin in wanted and not each.live]",
        "    dead: list[HostPin] = []",
        f"{_T}test_sets.py::test_a_dead_entry_of_a_set_is_not_added_again_and_makes_it_incomplete",
    ),
    Mutation(
        "an update to an incomplete set ends with a problem",
        _UPDATE,
        "    is_problem = is_incomplete or (",
        "    is_problem = (",
        f"{_UPDATE_TESTS}test_a_root_with_a_dead_entry_leaves_the_set_incomplete",
    ),
    Mutation(
        "pins of unknown providers stay",
        _SETS,
        "if each.pin not in wanted and set(each.provider) & {*data.providers}",
        "if each.pin not in wanted and each.provider",
        f"{_T}test_sets.py::test_an_unknown_provider_is_named_and_its_pins_stay",
    ),
    Mutation(
        "a complete set has every root",
        _SETS,
        "if {root.pin for root in provider.roots_at(day)} <= live",
        "if {root.pin for root in provider.roots_at(day)} & live",
        f"{_T}test_sets.py::test_a_set_is_complete_with_every_root",
    ),
    Mutation(
        "a removed pin is no backup of a set",
        _SETS,
        "    live = {each.pin for each in entries if each.live}",
        "    live = {each.pin for each in entries}",
        f"{_T}test_sets.py::test_a_set_is_complete_with_every_root",
    ),
    Mutation(
        "lost roots are no backup",
        "certpin/pins/policy.py",
        "used = [entry for entry in self.pins if entry.usable and entry.pin not in gone]",
        "used = [entry for entry in self.pins if entry.pin not in gone]",
        f"{_T}test_sets.py::test_two_lost_roots_are_no_backup",
    ),
    Mutation(
        "no providers for Dart",
        "certpin/formats/flutter/published.py",
        'note="", provider=(), not_after=None)',
        'note="")',
        "tests/formats/test_json.py::test_providers_are_exported_only_to_json",
    ),
    Mutation(
        "a private root is never proposed",
        _AUTHORITY,
        "    if load_providers().is_public(_key_pin(chain.certificates[-1])):",
        "    if load_providers():",
        f"{_ADD_TESTS}test_a_chain_to_a_root_that_is_not_public_is_never_proposed",
    ),
    Mutation(
        "a private root is no suggestion",
        "certpin/cli/pin.py",
        "        if private:\n",
        "        if not private and private:\n",
        "tests/cli/test_pin.py::test_no_pin_is_suggested_below_a_root_that_is_not_public",
    ),
    Mutation(
        "a provider that does not issue the chain",
        _AUTHORITY,
        "    if not pinned & {_key_pin(each) for each in chain.authorities}:",
        "    if not pinned:",
        f"{_ADD_TESTS}test_a_provider_that_does_not_issue_the_chain_is_refused",
    ),
    Mutation(
        "a second root",
        "certpin/cli/add.py",
        '    if len(found) == 1 and mode == "enforce" and not backup.is_given:',
        "    if not found:",
        f"{_ADD_TESTS}test_match_ca_pins_a_public_root_of_no_provider_only_with_a_second_one",
    ),
    Mutation(
        "the lowest root of a cross-signed path",
        _AUTHORITY,
        "    for certificate in chain.authorities:\n        if owners",
        "    for certificate in reversed(chain.authorities):\n        if owners",
        f"{_ADD_TESTS}test_match_ca_takes_the_lowest_known_root_of_a_cross_signed_one",
    ),
    Mutation(
        "removals through the gate",
        _UPDATE,
        "        if run.files.deployed.versions:\n"
        "            run.take_out(each.pattern, entry.pin, named=False)\n        else:",
        '        run.files.editor.change_pin(each.pattern, entry.pin, state="removed")\n'
        "        if False:",
        f"{_UPDATE_TESTS}test_a_root_that_a_server_presents_stays",
    ),
    Mutation(
        "an unanswered server stops the update",
        _UPDATE,
        "        force.require_answers(results)\n",
        "",
        f"{_UPDATE_TESTS}test_a_server_that_does_not_answer_changes_nothing",
    ),
    Mutation(
        "no update from outdated data",
        _UPDATE,
        "        if change.newer:\n",
        "        if False:\n",
        f"{_UPDATE_TESTS}test_a_file_of_a_newer_edition_is_left_as_it_is",
    ),
    Mutation(
        "a lone intermediate",
        _LINT,
        "        if not complete_sets(host.host_pins, data, now.date()):",
        "        if host.mode != host.mode:",
        f"{_LINT_TESTS}test_lone_intermediate",
    ),
    Mutation(
        "an intermediate beside a complete set",
        _LINT,
        "        if not complete_sets(host.host_pins, data, now.date()):",
        "        if host:",
        f"{_LINT_TESTS}test_lone_intermediate",
    ),
    Mutation(
        "a root set is its own backup",
        _LOCKOUT,
        "several and not host.is_own_backup and _all_in_use(host):",
        "several and _all_in_use(host):",
        f"{_LINT_TESTS}test_a_root_set_needs_no_spare_key",
    ),
    Mutation(
        "one root is no backup, for lint and the gate",
        "certpin/pins/policy.py",
        "return len(set(names)) < len(names)",
        "return bool(names)",
        f"{_LINT_TESTS}test_a_lost_root_set_is_no_backup",
    ),
    Mutation(
        "a lost root is no backup, for lint, too",
        "certpin/lint/document.py",
        "return self.state not in UNUSABLE_STATES",
        "return self.live",
        f"{_LINT_TESTS}test_a_lost_root_set_is_no_backup",
    ),
    Mutation(
        "the gate accepts a root set as its backup",
        "certpin/rotation/rules.py",
        'if situation.policy.mode != "enforce" or situation.policy.is_own_backup:',
        'if situation.policy.mode != "enforce":',
        "tests/rotation/test_gate.py::test_a_root_set_of_which_every_root_is_served_is_its_own_backup",
    ),
    Mutation(
        "a root set needs no backup after a theft",
        "certpin/rotation/rules.py",
        "is_own_backup = policy.is_own_backup_without(situation.lost | situation.compromised)",
        "is_own_backup = False",
        "tests/rotation/test_emergency.py"
        "::test_a_root_set_needs_no_new_backup_unless_too_few_of_its_roots_are_left",
    ),
    Mutation(
        "a stolen or lost root is no backup",
        "certpin/rotation/rules.py",
        "is_own_backup = policy.is_own_backup_without(situation.lost | situation.compromised)",
        "is_own_backup = policy.is_own_backup",
        "tests/rotation/test_emergency.py"
        "::test_a_root_set_needs_no_new_backup_unless_too_few_of_its_roots_are_left",
    ),
    Mutation(
        "check accepts a root set as its backup",
        "certpin/probe/checkup.py",
        'checkup.policy.mode != "enforce" or checkup.policy.is_own_backup:',
        'checkup.policy.mode != "enforce":',
        "tests/probe/test_checkup.py"
        "::test_a_root_set_of_which_every_root_is_served_is_its_own_backup",
    ),
    Mutation(
        "the last root but one",
        "certpin/rotation/rules.py",
        "    if situation.policy.is_own_backup_without({pin}):",
        "    if situation.policy.is_own_backup:",
        "tests/rotation/test_gate.py::test_a_root_leaves_a_set_that_stays_its_own_backup",
    ),
    Mutation(
        "an export of a root set says that a platform compares only the leaf",
        "certpin/formats/limits/pins.py",
        """    root_sets = "A root set can't work: """,
        """    other = "A root set can't work: """,
        "tests/providers/test_proof.py::test_an_export_has_the_whole_set_or_is_refused",
    ),
    Mutation(
        "the note about root sets",
        "certpin/cli/export.py",
        "[chosen.root_sets] if provided else []",
        "[]",
        "tests/cli/test_export.py::test_an_export_of_a_root_set_says_what_the_clients_need",
    ),
    Mutation(
        "every anchor of an exported root set is a root of the set",
        "certpin/formats/limits/pins.py",
        "    return all(policy.live_pins.keys() & set(each) for each in anchors)",
        "    return any(policy.live_pins.keys() & set(each) for each in anchors)",
        "tests/formats/flutter/test_root_sets.py::"
        "test_an_anchor_that_is_no_root_of_the_set_is_not_exported_to_dart",
    ),
]
