"""The rules of a rotation, removed one by one (``test_mutations.py`` runs them)."""

from __future__ import annotations

from tests._mutation import Mutation

_ADOPTION = "certpin/rotation/adoption.py"
_GATE = "certpin/rotation/gate.py"
_HISTORY = "certpin/rotation/history.py"
_JOURNAL = "certpin/rotation/journal.py"
_PLAN = "certpin/rotation/plan.py"
_TRANSITIONS = "certpin/cli/rotate/transitions.py"

_IN_ADOPTION = "tests/rotation/test_adoption.py::"
_IN_GATE = "tests/rotation/test_gate.py::"
_IN_HISTORY = "tests/rotation/test_history.py::"
_IN_JOURNAL = "tests/rotation/test_journal.py::"
_IN_PLAN = "tests/rotation/test_plan.py::"
_DRAFT = "tests/cli/test_rotate_draft.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "a version is alive until T_adopt after the next one",
        _ADOPTION,
        "return None if out is None else out + timing.adopt",
        "return None if out is None else out",
        _IN_ADOPTION + "test_a_version_is_alive_until_t_adopt_after_the_next_one",
    ),
    Mutation(
        "the next version counts, not the latest",
        _ADOPTION,
        "return min(following, default=None)",
        "return max(following, default=None)",
        _IN_ADOPTION + "test_the_next_version_counts_not_the_latest",
    ),
    Mutation(
        "a binary is alive until its end is recorded",
        _ADOPTION,
        "out = None if version.bundled is not None else self.superseded_at(version)",
        "out = self.superseded_at(version)",
        _IN_ADOPTION + "test_a_version_that_is_fetched_and_bundled_is_alive_as_long_as_the_binary",
    ),
    Mutation(
        "an unknown count is not 0",
        _ADOPTION,
        "            return None\n        total += version.clients",
        "            continue\n        total += version.clients",
        _IN_ADOPTION + "test_clients_are_counted_only_if_every_count_is_known",
    ),
    Mutation(
        "a pending version supersedes nothing",
        _ADOPTION,
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
        _ADOPTION,
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
        _GATE,
        "for sighting in situation.sightings:",
        "for sighting in situation.sightings[:1]:",
        _IN_GATE + "test_every_server_must_present_a_matching_chain",
    ),
    Mutation(
        "a backup outside the served chain",
        _GATE,
        "if len(live) >= 2 and live - situation.served:",
        "if len(live) >= 2:",
        _IN_GATE + "test_a_draft_whose_every_pin_is_served_has_no_backup",
    ),
    Mutation(
        "the version rises",
        _GATE,
        "situation.pins.version > latest.number",
        "situation.pins.version >= latest.number",
        _IN_GATE + "test_a_version_that_is_not_higher_is_not_published",
    ),
    Mutation(
        "pins expire more than T_adopt from now",
        _GATE,
        "return end - situation.now > situation.timing.adopt",
        "return end - situation.now >= situation.timing.adopt",
        _IN_GATE + "test_pins_must_not_expire_before_every_client_can_have_the_next_version",
    ),
    Mutation(
        "an old version expires after its end of life",
        _GATE,
        "return end >= last",
        "return True",
        _IN_GATE + "test_an_old_version_may_expire_when_no_client_holds_it",
    ),
    Mutation(
        "a key is not served before its adoption",
        _GATE,
        "found = (not_compromised(situation, pin), is_adopted(situation, pin))",
        "found = (not_compromised(situation, pin),)",
        _IN_GATE + "test_a_key_is_not_served_before_it_is_adopted",
    ),
    Mutation(
        "an active key is not removed",
        _GATE,
        'if state != "active":',
        "if True:",
        _IN_GATE + "test_an_active_key_is_not_dropped_by_editing_the_file",
    ),
    Mutation(
        "a served key is not retired",
        _GATE,
        "    if not vantages:",
        "    if True:",
        _IN_GATE + "test_a_key_that_is_served_does_not_retire",
    ),
    Mutation(
        "the last backup is not removed",
        _GATE,
        'policy.mode != "enforce" or outside - {pin} or',
        'policy.mode != "enforce" or outside or',
        _IN_GATE + "test_the_last_pin_outside_the_served_chain_is_not_removed",
    ),
    Mutation(
        "a compromised key is never used again",
        _GATE,
        "if pin not in situation.past.compromised:",
        "if True:",
        _IN_GATE + "test_a_compromised_key_is_neither_staged_nor_published",
    ),
    Mutation(
        "not from one unverified server",
        _GATE,
        "if len(showing) != 1 or out",
        "if True or out",
        _IN_GATE + "test_a_pin_from_one_unverified_server_is_not_published",
    ),
    Mutation(
        "the served keys are known",
        _GATE,
        "    if situation.sightings:",
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
        "lines = {format_event(event): event for event in events}",
        "lines = {format_event(event) + str(at): event for at, event in enumerate(events)}",
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
        "activate asks the gate",
        _TRANSITIONS,
        'transition.violations("activate", needs_probe=False)',
        "[]",
        _DRAFT + "test_a_binary_blocks_activation_until_its_end_is_recorded",
    ),
]
