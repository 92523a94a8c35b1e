"""The rules of a simulation, taken out one by one (``test_mutations.py`` runs them)."""

from __future__ import annotations

from tests._mutation import Mutation

_RELEASE = "certpin/rotation/simulate_script.py"
_SCRIPT = "certpin/rotation/simulate_script.py"
_TALLY = "certpin/rotation/simulate.py"
_SIMULATE = "certpin/rotation/simulate.py"
_COMMAND = "certpin/cli/rotate/simulate.py"
_CASE = "certpin/cli/rotate/simulate_views.py"
_FLEET = "certpin/cli/rotate/simulate_input.py"
_PLOT = "certpin/cli/rotate/simulate_plot.py"
_STEPS = "certpin/cli/rotate/simulate_input.py"
_TOLD = "certpin/cli/rotate/simulate_views.py"

_ENGINE = "tests/rotation/test_simulate.py::"
_OF_COMMAND = "tests/cli/test_rotate_simulate.py::"
_OF_STEPS = "tests/cli/test_rotate_simulate_steps.py::"
_OF_PLOT = "tests/cli/test_rotate_simulate_plot.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "a compromised key locks out although another pin matches",
        _RELEASE,
        "not self.pins & chain or bool(self.compromised & chain)",
        "not self.pins & chain",
        _ENGINE + "test_a_compromised_key_locks_out_although_its_authority_is_pinned",
    ),
    Mutation(
        "a published draft keeps its compromised keys",
        _SCRIPT,
        "refused = policy.compromised",
        "refused: frozenset[Pin] = frozenset()",
        _ENGINE + "test_a_compromised_key_locks_out_although_its_authority_is_pinned",
    ),
    Mutation(
        "who is locked out is a finding",
        _COMMAND,
        "ctx.exit(FINDING if any(host.outcome.locked_out for host in simulated) else HOLDS)",
        "ctx.exit(HOLDS)",
        _OF_COMMAND + "test_a_step_that_is_early_locks_out_whoever_has_not_got_the_version",
    ),
    Mutation(
        "a plan that is impossible is not simulated",
        _COMMAND,
        "if made.violations:",
        "if not made.steps:",
        _OF_COMMAND + "test_a_version_in_a_binary_is_locked_out_for_ever",
    ),
    Mutation(
        "a misspelt pin is not silently taken out",
        _COMMAND,
        'if dated.step.act == "remove" and dated.step.pin not in known:',
        "if dated.step.pin is dated:",
        _OF_STEPS + "test_a_pin_that_is_misspelt_is_not_silently_taken_out",
    ),
    Mutation(
        "a binary that nobody counted is there",
        _FLEET,
        "return _BINARY if known is None or known > clients else Fraction(known, clients)",
        "return Fraction(known or 0, clients)",
        _OF_COMMAND + "test_a_version_in_a_binary_is_locked_out_for_ever",
    ),
    Mutation(
        "a misspelt date is not simulated as none",
        _STEPS,
        "    _refuse_unknown(table, _KEYS)\n",
        "",
        _OF_STEPS + "test_a_date_that_is_none_is_told_with_its_line",
    ),
    Mutation(
        "a schedule loads no library of a token",
        _STEPS,
        "if is_token_uri(word):",
        "if not word:",
        _OF_STEPS + "test_a_step_that_is_none_is_told",
    ),
    Mutation(
        "dates have an end",
        _STEPS,
        "if abs(at - now) > LONGEST:",
        "if at == now > at:",
        _OF_STEPS + "test_a_date_that_is_none_is_told_with_its_line",
    ),
    Mutation(
        "what each host has active may be served, one by one",
        _RELEASE,
        "    if leaves:\n",
        "    if not leaves:\n",
        _ENGINE + "test_of_two_leaves_that_are_active_each_may_be_served",
    ),
    Mutation(
        "two binaries of one number are counted once",
        _RELEASE,
        "found.setdefault(version.number, release_of(version, situation))",
        "found[-len(found)] = release_of(version, situation)",
        _ENGINE + "test_two_binaries_of_one_number_are_not_counted_twice",
    ),
    Mutation(
        "nobody goes back to what is pushed late",
        _SCRIPT,
        "if any(latest.number < release.number for release in out):",
        "if not out:",
        _ENGINE + "test_a_push_behind_a_later_version_reaches_nobody",
    ),
    Mutation(
        "a simulation has an end",
        _SCRIPT,
        "+ adopt > LONGEST:",
        "+ adopt > 9 * LONGEST:",
        _ENGINE + "test_a_simulation_that_would_not_end_is_not_begun",
    ),
    Mutation(
        "the version that is held is to blame when its pins end",
        _TALLY,
        'Cause("expiry", version=release.number)',
        'Cause("expiry", version=max(self._held))',
        _ENGINE + "test_pins_that_end_are_blamed_on_the_version_that_is_held",
    ),
    Mutation(
        "memory is bounded",
        _SIMULATE,
        "return min(_MAX_CHUNK, -(-_MAX_TIMES // len(script.releases)))",
        "return _MAX_CHUNK",
        _ENGINE + "test_memory_does_not_grow_with_the_clients_nor_without_bound_with_the_steps",
    ),
    Mutation(
        "a condensed course keeps its highest moment",
        _CASE,
        "max(hour.locked_out for hour in part)",
        "part[0].locked_out",
        _OF_PLOT + "test_a_condensed_course_keeps_its_highest_moment",
    ),
    Mutation(
        "the safe date is that of the slowest client",
        _TOLD,
        'return f"safe from {in_utc(safety.guaranteed)}"',
        'return f"safe from {in_utc(safety.fleet or safety.guaranteed)}"',
        _OF_COMMAND + "test_the_date_that_is_told_is_that_of_the_slowest_client",
    ),
    Mutation(
        "a picture does not say when it was made",
        _PLOT,
        '{"Date": None, "Creator": creator}',
        '{"Creator": creator}',
        _OF_PLOT + "test_a_picture_does_not_say_when_it_was_made",
    ),
]
