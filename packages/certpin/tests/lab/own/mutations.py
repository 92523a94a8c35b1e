"""Source changes that remove a rule about users' own chains; a test must fail for each.

``tests/test_mutations.py`` applies them.
"""

from __future__ import annotations

from tests._mutation import Mutation

_LAB = "certpin/lab/"
_OWN = f"{_LAB}own/"
_CHAIN, _CLOCK, _READER, _LIMBO, _MATRIX = (
    f"tests/lab/own/test_{name}.py::" for name in ("chain", "clock", "reader", "limbo", "matrix")
)

_WORDS, _CHAINS = "tests/lab/report/test_words.py::", "tests/cli/test_lab_chains.py::"
_ONLY_REPORTED = f"{_CHAINS}test_chains_without_an_expected_verdict_are_only_reported"

_REPORTED = [
    Mutation(
        "a run without expected verdicts says so",
        f"{_LAB}report/words.py",
        "_reported(counts) if only_reported(run) else ",
        "",
        _ONLY_REPORTED,
    ),
    Mutation(
        "a run without expected verdicts says how to get some",
        f"{_LAB}report/words.py",
        "    if any(result.case.own for result in run.results):\n",
        "    if False:\n",
        _ONLY_REPORTED,
    ),
    Mutation(
        "a judged case is not only reported",
        f"{_LAB}report/words.py",
        "outcomes == {Outcome.TOLD}",
        "Outcome.TOLD in outcomes",
        f"{_WORDS}test_a_run_with_a_judged_case_is_not_only_reported",
    ),
    Mutation(
        "a judged case that was not run is not only reported",
        f"{_LAB}report/words.py",
        " and not any(map(_is_unproven, cases))\n",
        "\n",
        f"{_WORDS}test_a_run_with_a_judged_case_is_not_only_reported",
    ),
    Mutation(
        "a page about reported cases has no check mark",
        f"{_LAB}report/html.py",
        "_UNPROVEN if only_reported(run) else ",
        "",
        _ONLY_REPORTED,
    ),
    Mutation(
        "a result without a judgement is not green",
        "certpin/cli/prove_result.py",
        "run.controlled and not only_reported(run)",
        "run.controlled",
        f"{_CHAINS}test_only_a_proven_client_is_green[told-33]",
    ),
]

_CASES = [
    Mutation(
        "data that a server to refuse received has leaked",
        f"{_OWN}chain.py",
        "Role.ATTACKER if expect is ExpectedVerdict.REFUSE else Role.HONEST",
        "Role.HONEST",
        f"{_CHAIN}test_data_that_was_sent_before_the_refusal_has_leaked",
    ),
    Mutation(
        "pins of the file",
        f"{_OWN}chain.py",
        "        if self._own.pins:\n",
        "        if not self._own.pins:\n",
        f"{_CHAIN}test_pins_in_the_file_are_those_of_the_client[leaf]",
    ),
    Mutation(
        "no certificate of the attacker is pinned",
        f"{_OWN}chain.py",
        "        return next(found, self.leaf.certificate)\n",
        "        return next(found, Certificate.from_der(self._own.chain[0]))\n",
        f"{_CHAIN}test_a_client_that_pins_a_certificate_gets_none_of_the_attacker",
    ),
    Mutation(
        "own anchors only",
        f"{_LAB}lab.py",
        "            return self._folder_of(pki)\n",
        "            return self.folder\n",
        f"{_CHAIN}test_its_anchors_are_in_every_file_and_variable",
    ),
    Mutation(
        "own anchors in reports",
        f"{_LAB}report/flaws.py",
        "own.anchors if own else run.about.trusted",
        "run.about.trusted",
        f"{_CHAIN}test_reports_check_the_chain_against_its_anchors",
    ),
    Mutation(
        "names of the matrix",
        f"{_LAB}case.py",
        '        return "" if self.own else self.name\n',
        "        return self.name\n",
        f"{_CHAIN}test_a_case_with_the_name_of_one_of_the_matrix_has_none_of_its_meaning",
    ),
    Mutation(
        "a chain for each case",
        f"{_LAB}lab.py",
        "self.pki(case.host(self.host), case.own)",
        "self.pki(case.host(self.host), None)",
        f"{_CHAIN}test_cases_of_one_host_have_separate_folders",
    ),
]

_TIME = [
    Mutation(
        "a judged case that was not run proves nothing",
        f"{_LAB}report/words.py",
        " + sum(map(_is_unproven, cases))",
        "",
        "tests/cli/test_lab_chains.py::test_without_libfaketime_a_case_with_a_time_is_inconclusive",
    ),
    Mutation(
        "a clock that can't be set",
        f"{_LAB}runner.py",
        '        if case.own and case.own.time:\n            if "clock"',
        '        if False:\n            if "clock"',
        f"{_CLOCK}test_a_client_that_ignores_its_clock_is_not_judged",
    ),
    Mutation(
        "a clock that can't be set, in pytest",
        f"{_LAB}trial.py",
        "        if problem := self._conditions.problem(case):\n",
        "        if False:\n",
        f"{_CLOCK}test_a_trial_of_pytest_tries_the_clock_too",
    ),
    Mutation(
        "the control of the clock is valid for an hour",
        f"{_OWN}chain.py",
        "issue(host, days=1 / 24)",
        "issue(host)",
        f"{_CLOCK}test_the_control_of_the_clock_is_valid_for_an_hour_only",
    ),
    Mutation(
        "the clock stops",
        f"{_LAB}client.py",
        "        **stopped,\n",
        "",
        f"{_CLOCK}test_the_clock_stops_at_a_whole_second",
    ),
    Mutation(
        "the time of the case",
        f"{_LAB}lab.py",
        "            time=case.own.time if case.own else None,\n",
        "",
        f"{_CLOCK}test_a_chain_of_another_time_is_refused",
    ),
    Mutation(
        "no function at another time",
        f"{_LAB}client.py",
        "        if target.clock or target.time:\n",
        "        if target.clock:\n",
        f"{_CLOCK}test_a_function_is_not_run_at_another_time",
    ),
]

_FILES = [
    Mutation(
        "the key of the leaf",
        f"{_OWN}reader.py",
        "    if key.public_key() != public:\n",
        "    if False:\n",
        f"{_READER}test_an_error_names_file_line_and_field[a key of another server]",
    ),
    Mutation(
        "no unknown field",
        f"{_OWN}reader.py",
        "    if table.unknown:\n",
        "    if False:\n",
        f"{_READER}test_an_unknown_field_is_refused[colour]",
    ),
    Mutation(
        "a time has a zone",
        f"{_OWN}reader.py",
        "    if moment is not None and moment.utcoffset() is None:\n",
        "    if False:\n",
        f"{_READER}test_an_error_names_file_line_and_field[no time zone]",
    ),
    Mutation(
        "anchors are readable",
        f"{_OWN}reader.py",
        "            Certificate.from_der(anchor).parsed  # noqa: B018  # a property that raises\n",
        "            pass\n",
        f"{_READER}test_an_error_names_file_line_and_field[not a certificate as an anchor]",
    ),
    Mutation(
        "a suite names no files",
        f"{_OWN}reader.py",
        '    raise OSError(ENOENT, "it is not PEM text")\n',
        '    return b""\n',
        f"{_LIMBO}test_a_file_outside_the_text_is_not_read",
    ),
    Mutation(
        "a feature is not judged",
        f"{_OWN}limbo.py",
        'bool(fields.get("features") or fields.get("crls"))',
        'bool(fields.get("crls"))',
        f"{_LIMBO}test_a_verdict_that_depends_on_more_than_the_chain_is_reported_only[fields0]",
    ),
    Mutation(
        "descriptions are foreign text",
        f"{_OWN}chain.py",
        "presents=printable(about) or",
        "presents=about or",
        f"{_LIMBO}test_a_description_has_no_control_characters",
    ),
    Mutation(
        "certificates of clients",
        f"{_OWN}limbo.py",
        '    if fields.get("validation_kind") != "SERVER":\n',
        "    if False:\n",
        f"{_LIMBO}test_a_case_that_cannot_be_served_is_left_out"
        "[it is for the certificate of a client]",
    ),
    Mutation(
        "keys are secret",
        f"{_OWN}writer.py",
        "os.open(path, flags, 0o600)",
        "os.open(path, flags, 0o644)",
        f"{_LIMBO}test_the_written_case_file_has_the_same_cases",
    ),
    Mutation(
        "no file of the user is lost",
        f"{_OWN}writer.py",
        "        if any(folder.iterdir()):\n",
        "        if False:\n",
        f"{_MATRIX}test_a_folder_with_files_is_left_alone",
    ),
    Mutation(
        "an exported key signs",
        f"{_OWN}matrix.py",
        "    if not _signs(step):\n",
        "    if False:\n",
        f"{_MATRIX}test_a_server_with_another_key_is_left_out",
    ),
]

MUTATIONS = [*_REPORTED, *_CASES, *_TIME, *_FILES]
