"""Mutations of the rules about the commands that certpin prints, one for each rule.

Each mutation removes a rule from a copy of the source; a named test must then fail. The runner is
``test_mutations.py``.
"""

from __future__ import annotations

from tests._mutation import Mutation

_PRINTED = "tests/cli/test_rotate_printed.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "status starts a backup before it takes out the last one",
        "certpin/rotation/next_step.py",
        "gone = used.union(old_pins(situation, activated))",
        "gone = used",
        _PRINTED + "test_status_leads_to_the_end_of_a_rotation",
    ),
    Mutation(
        "status asks the gate about both steps of finish",
        "certpin/rotation/renewal.py",
        'return check_step(situation, "remove", pin) or leaves_one_pin(situation, pin)',
        "return ()",
        _PRINTED + "test_each_printed_command_is_accepted_in_each_state",
    ),
    Mutation(
        "a printed new key has a name that no file has",
        "certpin/cli/rotate/status_text.py",
        'unused_name("next.key")',
        '"next.key"',
        _PRINTED + "test_status_leads_to_the_end_of_a_rotation",
    ),
    Mutation(
        "a switch to the last backup leads to the next one",
        "certpin/cli/rotate/switch.py",
        "if found := _without_backup(step):",
        "if found := []:",
        _PRINTED + "test_a_switch_to_the_only_backup_leads_to_another_one",
    ),
]
