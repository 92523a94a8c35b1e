"""Code changes, each of which breaks a rule of lint.

``tests/test_mutations.py`` applies each change, and requires that the named test fails.
"""

from __future__ import annotations

from tests._mutation import Mutation

_LINT = "certpin/lint/"
_T = "tests/lint/"
_CASES, _ENGINE = f"{_T}test_boundaries.py::", f"{_T}test_engine.py::"
_READING = "tests/pinfile/test_reading.py::"
_BROKEN = "tests/pinfile/test_broken_files.py::test_a_mistake_is_reported_with_its_place_and_a_fix"
_CLI = "tests/cli/test_lint.py::test_"
_LIVE, _EXAMPLES = f"{_T}test_live.py::", f"{_T}test_examples.py::"

MUTATIONS = [
    Mutation(
        "a mismatch has the advice of its verdict",
        f"{_LINT}live.py",
        "yield Hit(host.place(result), message, result.fix)\n\n\ndef _lockout",
        "yield Hit(host.place(result), message)\n\n\ndef _lockout",
        "tests/cli/test_lint_live.py::test_a_mismatch_has_the_advice_of_check",
    ),
    Mutation(
        "a mismatch of expired pins has no advice about their expiry",
        "certpin/cli/lint.py",
        'checkup.verdict.reason not in {"mismatch", "compromised-key"}',
        "False",
        "tests/cli/test_lint_live.py::test_a_mismatch_of_expired_pins_keeps_its_own_advice",
    ),
    Mutation(
        "pins that can't be edited are named",
        f"{_LINT}exposure.py",
        "if count != len(host.pins):",
        "if False:",
        f"{_EXAMPLES}test_bad_example_has_one_finding_at_the_marked_line[inline-pins]",
    ),
    Mutation(
        "hosts that can't be edited are named",
        f"{_LINT}exposure.py",
        "if len(counts) != len(document.hosts):",
        "if False:",
        f"{_CASES}test_rule_finds_a_mistake[hosts in a list of inline tables]",
    ),
    Mutation(
        "a file that can't be read hides no finding of the others",
        "certpin/cli/lint.py",
        "            done.append(_unread_file(file, error))\n            continue\n",
        "            raise\n",
        f"{_CLI}a_file_that_cannot_be_read_hides_no_finding_of_the_others",
    ),
    Mutation(
        "a file that can't be read is a usage error",
        "certpin/cli/lint.py",
        "    if unread:\n",
        "    if False:\n",
        f"{_CLI}a_file_that_cannot_be_read_hides_no_finding_of_the_others",
    ),
    Mutation(
        "the end of a trial locks no client out",
        f"{_LINT}expiry.py",
        ' or host.mode == "report":\n            continue',
        ":\n            continue",
        f"{_CASES}test_rule_finds_nothing[the last days of a trial, which refuses no connection]",
    ),
    Mutation(
        "the line of a string is no conflict of git",
        "certpin/pinfile/file.py",
        "if exc.colno == 1 and exc.doc.startswith(CONFLICT_MARKERS, exc.pos):",
        "if exc.doc.splitlines()[exc.lineno - 1].startswith(CONFLICT_MARKERS):",
        f"{_BROKEN}[a mistake in a line like a conflict]",
    ),
    Mutation(
        "a time of the pin file is one in UTC",
        "certpin/pinfile/file.py",
        "            return utc_moment(value, self.under(name))\n",
        "            return value\n",
        f"{_CASES}test_a_date_is_that_of_utc",
    ),
    Mutation(
        "an expiry of a policy is stored in UTC",
        "certpin/pins/policy.py",
        '            object.__setattr__(self, "expires", utc_moment(self.expires, "expires"))\n',
        "",
        "tests/pins/test_policy.py::test_an_expiry_is_stored_in_utc",
    ),
    Mutation(
        "an old list of logs",
        f"{_LINT}transparency.py",
        "    if logs.stale(now, _WARN_AFTER):",
        "    if logs.stale(now):",
        f"{_EXAMPLES}test_bad_example_has_one_finding_at_the_marked_line[ct-list-old]",
    ),
    Mutation(
        "a list that a host needs",
        f"{_LINT}transparency.py",
        "or not any(h.require_ct for h in document.hosts)",
        "or False",
        f"{_CASES}test_rule_finds_nothing[an old list that no host needs]",
    ),
    Mutation(
        "a private authority without a log",
        f"{_LINT}transparency.py",
        "if host.require_ct and host.trust is not None and not _is_public(document, host.trust):",
        "if False:",
        f"{_EXAMPLES}test_bad_example_has_one_finding_at_the_marked_line[ct-private-authority]",
    ),
    Mutation(
        "a longer wildcard precedes a shorter one",
        "certpin/pins/hosts.py",
        'found = [host, f"**.{host}", f"*.{parent}"]',
        'found = [host, f"*.{parent}", f"**.{host}"]',
        f"{_CASES}test_rule_finds_a_mistake[reports to a name under the longer of two wildcards]",
    ),
    Mutation(
        "a public root in a trust file",
        f"{_LINT}transparency.py",
        " and not _is_public(document, host.trust)",
        "",
        "tests/lint/test_roots.py::test_a_public_root_in_a_trust_file_is_no_private_authority",
    ),
    Mutation(
        "a private log",
        f"{_LINT}transparency.py",
        "if document.ct_logs is None or document.ct_logs.has_private_log():",
        "if document.ct_logs is None:",
        f"{_EXAMPLES}test_good_example_has_no_finding[ct-private-authority]",
    ),
    Mutation(
        "one mistake for a list that cannot be read",
        f"{_LINT}reader.py",
        'self._logs = logs or (PLATFORM_LOGS if "ct_logs" in self._data else None)',
        "self._logs = logs",
        f"{_CASES}test_a_list_that_cannot_be_read_is_one_mistake",
    ),
    Mutation(
        "an exact name does not cover a wildcard",
        f"{_LINT}ambiguity.py",
        "    return other.pattern.covers(host.pattern)\n",
        "    return True\n",
        f"{_CASES}test_rule_finds_nothing[a host and the names below it]",
    ),
    Mutation(
        "all mistakes",
        f"{_LINT}reader.py",
        "            self.problems.append(exc)\n",
        "            self.problems[:] = self.problems[:1] or [exc]\n",
        f"{_ENGINE}test_every_mistake_of_a_file_is_reported_once",
    ),
    Mutation(
        "a rule that cannot be allowed",
        f"{_LINT}refused.py",
        "[] if document.refusal is None else [document.refusal]",
        "[]",
        f"{_ENGINE}test_a_refusal_without_a_rule_is_reported",
    ),
    Mutation(
        "reported once",
        f"{_LINT}engine.py",
        "if each.rule != _REFUSED or each.key not in reported]",
        "if each]",
        f"{_ENGINE}test_a_refusal_that_a_rule_reports_is_not_repeated",
    ),
    Mutation(
        "a reason",
        f"{_LINT}engine.py",
        "(name, allowance.line), []) if allowance.reason else []",
        "(name, allowance.line), [])",
        f"{_ENGINE}test_an_incomplete_allowance_has_no_effect[# certpin: allow debug-section]",
    ),
    Mutation(
        "only the word allow begins an allowance",
        "certpin/support/sarif.py",
        'if verb == "allow" else ()',
        "if verb else ()",
        f"{_ENGINE}test_an_incomplete_allowance_has_no_effect",
    ),
    Mutation(
        "refusals cannot be allowed",
        f"{_LINT}engine.py",
        "        if not RULES[finding.rule].refuses:\n            candidates",
        "        if finding:\n            candidates",
        f"{_ENGINE}test_a_refusal_cannot_be_allowed",
    ),
    Mutation(
        "backup",
        f"{_LINT}refused.py",
        'host.mode == "enforce" and len',
        "len",
        f"{_CASES}test_rule_finds_nothing[one pin in report mode]",
    ),
    Mutation(
        "verified path",
        f"{_LINT}live.py",
        "in _admitted_pins(path, host.match)",
        "in result.served_pins",
        f"{_LIVE}test_certificates_outside_the_verified_path_match_nothing",
    ),
    Mutation(
        "match",
        f"{_LINT}live.py",
        '"ca": path[1:]',
        '"ca": path',
        f"{_LIVE}test_match_ca_ignores_the_leaf",
    ),
    Mutation(
        "outside the chain",
        f"{_LINT}live.py",
        'host.mode == "enforce" and host.live',
        "host.live",
        f"{_LIVE}test_report_mode_has_no_chain_rule_and_its_own_message",
    ),
    Mutation(
        "marked lines",
        "certpin/pinfile/places.py",
        "        number += token[0].count",
        "        number += kind == 'newline' and token[0].count",
        "tests/pinfile/test_places.py::test_long_strings_contain_no_keys_and_no_comments",
    ),
    Mutation(
        "regular files only",
        "certpin/pinfile/file.py",
        "if not stat.S_ISREG(status.st_mode):",
        "if stat.S_ISDIR(status.st_mode):",
        "tests/pinfile/test_limits.py::test_a_pin_file_must_be_a_regular_file[/dev/zero]",
    ),
    Mutation(
        "a file that grows",
        "certpin/pinfile/file.py",
        "            read += len(chunk)\n",
        "",
        "tests/pinfile/test_limits.py::test_a_growing_file_has_a_limit",
    ),
    Mutation(
        "misspelt keys",
        "certpin/pinfile/file.py",
        "if meant := closest_key(name, known):",
        "if meant := '':",
        _READING + "test_a_key_that_resembles_a_known_one_is_refused[trust]",
    ),
    Mutation(
        "very many unknown keys are refused",
        "certpin/pinfile/file.py",
        "if len(self._names) > _MOST_UNKNOWN:",
        "if False:",
        _READING + "test_very_many_unknown_keys_are_refused",
    ),
    Mutation(
        "few of many unknown keys cause warnings",
        "certpin/pinfile/reader.py",
        "if number == _MOST_WARNINGS:",
        "if False:",
        _READING + "test_few_of_many_unknown_keys_cause_warnings",
    ),
    Mutation(
        "misplaced keys",
        "certpin/pinfile/reader.py",
        "if table := intended_table(each.name):",
        "if table := '':",
        _READING + "test_a_key_that_resembles_a_known_one_is_refused[a host's in a pin]",
    ),
    Mutation(
        "strictness needs a trust file",
        "certpin/pinfile/reader.py",
        'if table.data.get("trust", "system") == "system":',
        "if False:",
        _READING + "test_strict_x509_without_a_trust_file_is_refused",
    ),
    Mutation(
        "pieces of hosts only",
        "certpin/pinfile/file.py",
        'if found.keys() != {"host"} or "host" in data:',
        "if False:",
        "tests/pinfile/test_limits.py::test_parsing_in_pieces_gives_the_tables_of_the_whole",
    ),
]
