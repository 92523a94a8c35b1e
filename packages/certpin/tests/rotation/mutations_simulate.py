"""Mutations of the simulation of rotations: each edit of the source breaks one rule.

``tests/test_mutations.py`` applies them one by one, and checks that the named test then fails.
"""

from __future__ import annotations

from tests._mutation import Mutation

_SCRIPT = "certpin/rotation/simulate_script.py"
_SIMULATE = "certpin/rotation/simulate.py"
_COMMAND = "certpin/cli/rotate/simulate.py"
_VIEWS = "certpin/cli/rotate/simulate_views.py"
_PLOT = "certpin/cli/rotate/simulate_plot.py"
_INPUT = "certpin/cli/rotate/simulate_input.py"

_ENGINE = "tests/rotation/test_simulate.py::"
_OF_COMMAND = "tests/cli/test_rotate_simulate.py::"
_OF_STEPS = "tests/cli/test_rotate_simulate_steps.py::"
_OF_PLOT = "tests/cli/test_rotate_simulate_plot.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "a compromised key locks out although another pin matches",
        _SCRIPT,
        "return (replace(policy, pins=entries, mode",
        "return (replace(policy, pins=tuple(e for e in entries if e.live), mode",
        _ENGINE + "test_a_compromised_key_locks_out_although_its_authority_is_pinned",
    ),
    Mutation(
        "a key counts in the position that is compared",
        _SCRIPT,
        "return (replace(policy, pins=entries, mode",
        'return (replace(policy, match="any", pins=entries, mode',
        _ENGINE + "test_a_leaf_that_is_not_compared_locks_out",
    ),
    Mutation(
        "clients verify a known chain with their own anchors",
        _SCRIPT,
        "return tuple(with_private_anchors(situation, prospects))",
        "return (chain_with(situation, pin),)",
        "tests/cli/test_rotate_plan_chains.py::"
        "test_a_simulation_locks_out_the_clients_that_do_not_trust_the_next_root",
    ),
    Mutation(
        "a version with another pattern counts",
        _SCRIPT,
        "for policy in situation.policies_of(version) if policy]",
        "for policy in version.pins.policies if policy.pattern == situation.pattern]",
        _ENGINE + "test_a_version_with_another_pattern_refuses_a_new_key_too",
    ),
    Mutation(
        "a published draft keeps its compromised keys",
        _SCRIPT,
        "draft = {entry.pin: entry for entry in policy.pins}",
        "draft = dict(policy.live_pins)",
        _ENGINE + "test_a_compromised_key_locks_out_although_its_authority_is_pinned",
    ),
    Mutation(
        "locked out clients are a finding",
        _COMMAND,
        "ctx.exit(PROBLEM_FOUND if any(host.outcome.locked_out for host in simulated) else "
        "SUCCESS)",
        "ctx.exit(SUCCESS)",
        _OF_COMMAND + "test_an_early_step_locks_out_clients_without_the_version",
    ),
    Mutation(
        "an impossible plan is not simulated",
        _COMMAND,
        "if made.violations:",
        "if not made.steps:",
        _OF_COMMAND + "test_clients_of_a_binary_are_locked_out_to_the_end",
    ),
    Mutation(
        "removing a misspelt pin is an error",
        _COMMAND,
        'if dated.step.act == "remove" and dated.step.pin not in known:',
        "if dated.step.pin is dated:",
        _OF_STEPS + "test_removing_a_misspelt_pin_is_an_error",
    ),
    Mutation(
        "a binary without a count has a default share",
        _INPUT,
        "return _BINARY if known is None or known > clients else Fraction(known, clients)",
        "return Fraction(known or 0, clients)",
        _OF_COMMAND + "test_clients_of_a_binary_are_locked_out_to_the_end",
    ),
    Mutation(
        "a misspelt date is an error",
        _INPUT,
        "    _refuse_unknown(table, _KEYS)\n",
        "",
        _OF_STEPS + "test_an_invalid_date_is_reported_with_its_line",
    ),
    Mutation(
        "a schedule loads no library of a token, and contacts no key service",
        _INPUT,
        "if is_token_uri(word) or is_service_uri(word):",
        "if not word:",
        _OF_STEPS + "test_an_invalid_step_is_reported",
    ),
    Mutation(
        "dates have a limit",
        _INPUT,
        "if abs(at - now) > LONGEST_DURATION:",
        "if at == now > at:",
        _OF_STEPS + "test_an_invalid_date_is_reported_with_its_line",
    ),
    Mutation(
        "each active leaf may be served",
        _SCRIPT,
        "chain_with(situation, leaf) for leaf in leaves]",
        "chain_with(situation, leaf) for leaf in leaves[-1:]]",
        _ENGINE + "test_each_of_two_active_leaves_may_be_served",
    ),
    Mutation(
        "two binaries of one number are counted once",
        _SCRIPT,
        "found.setdefault(version.number, release_of(version, situation))",
        "found[-len(found)] = release_of(version, situation)",
        _ENGINE + "test_two_binaries_with_one_number_are_counted_once",
    ),
    Mutation(
        "a late push reaches no client",
        _SCRIPT,
        "if any(latest.number < release.number for release in out):",
        "if not out:",
        _ENGINE + "test_a_push_after_a_higher_version_reaches_no_client",
    ),
    Mutation(
        "a simulation has a limit",
        _SCRIPT,
        "+ adopt > LONGEST_DURATION:",
        "+ adopt > 9 * LONGEST_DURATION:",
        _ENGINE + "test_a_simulation_of_too_long_a_time_is_refused",
    ),
    Mutation(
        "expired pins are attributed to their version",
        _SIMULATE,
        'LockoutCause("expiry", version=release.number)',
        'LockoutCause("expiry", version=max(self._held))',
        _ENGINE + "test_expired_pins_are_attributed_to_the_version_that_clients_hold",
    ),
    Mutation(
        "memory is bounded",
        _SIMULATE,
        "return min(_MAX_CHUNK, -(-_MAX_TIMES // len(script.releases)))",
        "return _MAX_CHUNK",
        _ENGINE + "test_fewer_clients_are_simulated_together_if_there_are_many_releases",
    ),
    Mutation(
        "a condensed course keeps its highest moment",
        _VIEWS,
        "max(hour.locked_out for hour in part)",
        "part[0].locked_out",
        _OF_PLOT + "test_a_condensed_course_keeps_its_highest_moment",
    ),
    Mutation(
        "the safe date is that of the slowest client",
        _SIMULATE,
        "after = release.at + known.adopt if",
        "after = release.at if",
        _OF_COMMAND + "test_the_safe_date_is_that_of_the_slowest_client",
    ),
    Mutation(
        "a release of an app that refuses a key makes it unsafe",
        _SIMULATE,
        "if first is None or NEVER in left:",
        "if first is None:",
        _ENGINE + "test_a_key_is_safe_when_the_last_user_has_left_the_app_without_it",
    ),
    Mutation(
        "a picture has no date of creation",
        _PLOT,
        '{"Date": None, "Creator": creator}',
        '{"Creator": creator}',
        _OF_PLOT + "test_a_picture_has_no_date_of_creation",
    ),
]
