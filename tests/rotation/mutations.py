"""The rules of a rotation, taken out one by one (``test_mutations.py`` runs them)."""

from __future__ import annotations

from tests._mutation import Mutation

_ADOPTION = "certpin/rotation/adoption.py"
_FIELD = "certpin/rotation/adoption.py"
_GUARDS = "certpin/rotation/gate.py"
_HISTORY = "certpin/rotation/history.py"
_INVARIANTS = "certpin/rotation/gate.py"
_JOURNAL = "certpin/rotation/journal.py"
_PLAN = "certpin/rotation/plan.py"
_REHEARSAL = "certpin/rotation/plan.py"
_MOVES = "certpin/cli/rotate/transitions.py"

_IN_FIELD = "tests/rotation/test_field.py::"
_IN_GUARDS = "tests/rotation/test_guards.py::"
_IN_HISTORY = "tests/rotation/test_history.py::"
_IN_JOURNAL = "tests/rotation/test_journal.py::"
_IN_PLAN = "tests/rotation/test_plan.py::"
_DRAFT = "tests/cli/test_rotate_draft.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "lives until the next has been out for T_adopt",
        _FIELD,
        "return None if out is None else out + timing.adopt",
        "return None if out is None else out",
        _IN_FIELD + "test_a_version_lives_until_the_next_has_been_out_for_t_adopt",
    ),
    Mutation(
        "no later than that",
        _FIELD,
        "return min(following, default=None)",
        "return max(following, default=None)",
        _IN_FIELD + "test_it_is_the_next_version_that_counts_not_the_latest",
    ),
    Mutation(
        "a binary lives until it has ended",
        _FIELD,
        "out = None if version.bundled is not None else self.superseded_at(version)",
        "out = self.superseded_at(version)",
        _IN_FIELD + "test_a_version_that_is_fetched_and_bundled_lives_as_long_as_the_binary",
    ),
    Mutation(
        "unknown is not none",
        _FIELD,
        "            return None\n        total += version.clients",
        "            continue\n        total += version.clients",
        _IN_FIELD + "test_clients_are_counted_only_where_they_are_known",
    ),
    Mutation(
        "what waits to be pushed supersedes nothing",
        _FIELD,
        "and not other.pending and",
        "and",
        _IN_FIELD + "test_a_version_that_waits_to_be_pushed_is_held_and_supersedes_nothing",
    ),
    Mutation(
        "a signed version is out when it is pushed",
        _HISTORY,
        "replace(known, fetched=event.time, pending=False)",
        "replace(known, pending=False)",
        _IN_HISTORY + "test_a_signed_version_is_out_when_it_is_pushed",
    ),
    Mutation(
        "adopted by every version alive",
        _ADOPTION,
        "if refusing or not alive:",
        "if len(refusing) == len(alive):",
        _IN_FIELD + "test_a_pin_is_adopted_when_every_version_alive_accepts_it",
    ),
    Mutation(
        "served chain",
        _GUARDS,
        "        served_chain(situation, [new]),\n",
        "",
        _IN_GUARDS + "test_a_version_that_refuses_what_is_served_is_not_published",
    ),
    Mutation(
        "every vantage",
        _INVARIANTS,
        "for sighting in situation.sightings:",
        "for sighting in situation.sightings[:1]:",
        _IN_GUARDS + "test_every_vantage_has_to_be_served_a_chain_that_matches",
    ),
    Mutation(
        "a backup outside",
        _INVARIANTS,
        "if len(live) >= 2 and live - situation.served:",
        "if len(live) >= 2:",
        _IN_GUARDS + "test_a_draft_whose_every_pin_is_served_has_no_backup",
    ),
    Mutation(
        "the version rises",
        _INVARIANTS,
        "situation.pins.version > latest.number",
        "situation.pins.version >= latest.number",
        _IN_GUARDS + "test_a_version_that_does_not_rise_is_not_published",
    ),
    Mutation(
        "hard expiry is more than T_adopt away",
        _INVARIANTS,
        "return end - situation.now > situation.timing.adopt",
        "return end - situation.now >= situation.timing.adopt",
        _IN_GUARDS + "test_pins_must_not_end_before_every_client_can_have_the_next",
    ),
    Mutation(
        "an old version does not end before it is dead",
        _INVARIANTS,
        "return end >= last",
        "return True",
        _IN_GUARDS + "test_an_old_version_may_end_when_nobody_holds_it_any_more",
    ),
    Mutation(
        "no serving before adopted",
        _GUARDS,
        "found = (not_compromised(situation, pin), is_adopted(situation, pin))",
        "found = (not_compromised(situation, pin),)",
        _IN_GUARDS + "test_a_key_is_not_served_before_it_is_adopted",
    ),
    Mutation(
        "no removing what is active",
        _GUARDS,
        'if state != "active":',
        "if True:",
        _IN_GUARDS + "test_a_key_that_servers_may_use_does_not_leave_by_hand",
    ),
    Mutation(
        "no retiring what is served",
        _GUARDS,
        "    if not vantages:",
        "    if True:",
        _IN_GUARDS + "test_a_key_that_is_served_does_not_retire",
    ),
    Mutation(
        "no removing the last outside",
        _GUARDS,
        'policy.mode != "enforce" or outside - {pin} or',
        'policy.mode != "enforce" or outside or',
        _IN_GUARDS + "test_the_last_pin_outside_the_served_chain_is_not_removed",
    ),
    Mutation(
        "compromised never comes back",
        _GUARDS,
        "if pin not in situation.past.compromised:",
        "if True:",
        _IN_GUARDS + "test_a_compromised_key_is_neither_staged_nor_published",
    ),
    Mutation(
        "not one unauthenticated vantage alone",
        _GUARDS,
        "if len(showing) != 1 or out",
        "if True or out",
        _IN_GUARDS + "test_what_one_unauthenticated_vantage_alone_has_shown_is_not_published",
    ),
    Mutation(
        "somebody has looked",
        _GUARDS,
        "    if situation.sightings:",
        "    if True:",
        _IN_GUARDS + "test_a_pin_does_not_leave_where_nobody_has_looked",
    ),
    Mutation(
        "a plan is rehearsed",
        _REHEARSAL,
        "if violations := _check(step, situation):",
        "if violations := ():",
        _IN_PLAN + "test_a_binary_that_never_ends_makes_a_new_key_impossible_after_it_is_published",
    ),
    Mutation(
        "a date counts from its publishing",
        _REHEARSAL,
        "not_before=found.moment, counts_from=version",
        "not_before=found.moment, counts_from=None",
        _IN_PLAN + "test_a_new_key_is_published_and_waited_for",
    ),
    Mutation(
        "the next backup",
        _PLAN,
        "    if not _has_spare(situation, to, old):",
        "    if False:",
        _IN_PLAN + "test_a_backup_that_all_accept_is_served_now_and_the_next_one_is_made",
    ),
    Mutation(
        "twins are one",
        _JOURNAL,
        "lines = {format_event(event): event for event in events}",
        "lines = {format_event(event) + str(at): event for at, event in enumerate(events)}",
        _IN_JOURNAL + "test_the_moment_of_a_merge_does_not_matter_for_steps_of_one_moment",
    ),
    Mutation(
        "one number twice is told",
        _HISTORY,
        "if meaning(before.pins) != meaning(event.pins):",
        "if False:",
        _IN_HISTORY + "test_what_contradicts_is_told",
    ),
    Mutation(
        "the gate of activate",
        _MOVES,
        'transition.violations("activate", needs_probe=False)',
        "[]",
        _DRAFT + "test_a_binary_is_waited_for_until_somebody_says_that_it_has_ended",
    ),
]
