"""Mutations of ``certpin decide``, one for each of its rules.

Each mutation removes a rule from a copy of the source; a named test must then fail. The runner is
``test_mutations.py``.
"""

from __future__ import annotations

from tests._mutation import Mutation

_DATA = "certpin/advice/advice.toml"
_RULES = "certpin/advice/rules.py"
_COMMAND = "certpin/cli/decide.py"

_RULE_TESTS = "tests/advice/test_rules.py::"
_COMMAND_TESTS = "tests/cli/test_decide.py::"
_REMARK = "test_the_remark_about_a_demand_is_added_where_the_answer_is_not_to_pin"

MUTATIONS: list[Mutation] = [
    Mutation(
        "decide: pins that can't be changed are not recommended",
        _DATA,
        'when = { updates = ["never"] }',
        'when = { updates = ["never"], demand = ["none"] }',
        _RULE_TESTS + "test_pins_that_can_not_be_changed_are_never_recommended",
    ),
    Mutation(
        "decide: servers of other companies are not pinned",
        _DATA,
        'when = { dns = ["other"] }',
        'when = { dns = ["other"], demand = ["none"] }',
        _RULE_TESTS + "test_a_pin_is_recommended_only_against_an_attack_or_a_demand_that_needs_one",
    ),
    Mutation(
        "decide: without an attack and a demand, nothing is pinned",
        _DATA,
        'when = { goal = ["none"], demand = ["none"] }',
        'when = { goal = ["none"], demand = ["none"], key = ["provider"] }',
        _RULE_TESTS + "test_a_pin_is_recommended_only_against_an_attack_or_a_demand_that_needs_one",
    ),
    Mutation(
        "decide: a key that a provider replaces is not pinned",
        _DATA,
        'when = { key = ["provider"] }\nanswer = "dont-pin"',
        'when = { key = ["provider"] }\nanswer = "own-key"',
        _RULE_TESTS + "test_a_key_that_a_provider_replaces_is_never_pinned",
    ),
    Mutation(
        "decide: the first rule that holds decides",
        _RULES,
        "        if _excluded(rule.when, setting):\n            continue\n",
        "",
        _RULE_TESTS + "test_every_setting_is_decided_and_every_rule_decides_one",
    ),
    Mutation(
        "decide: a rule with an open condition asks for it",
        _RULES,
        "            if name not in setting:\n                return advice.questions[name]",
        "            if name not in setting and name == 'client':\n"
        "                return advice.questions[name]",
        _RULE_TESTS + "test_the_interview_ends_as_the_whole_setting_does",
    ),
    Mutation(
        "decide: unknown values are refused",
        _RULES,
        "    if value not in values:",
        "    if not value:",
        _RULE_TESTS + "test_an_unknown_question_or_value_is_refused",
    ),
    Mutation(
        "decide: a demand that remains is named",
        _RULES,
        "all(setting.get(name) in values for name, values in addition.when.items())",
        "False",
        "tests/advice/test_cases.py::" + _REMARK,
    ),
    Mutation(
        "decide: without a terminal nothing is asked",
        _COMMAND,
        "as_json or not sys.stdin.isatty()",
        "as_json",
        _COMMAND_TESTS + "test_without_a_terminal_and_options_all_options_are_listed",
    ),
    Mutation(
        "decide: sources that advise otherwise are shown",
        _COMMAND,
        "        _print_quotes(rule.against)\n",
        "",
        _COMMAND_TESTS + "test_sources_that_advise_otherwise_are_printed",
    ),
]
