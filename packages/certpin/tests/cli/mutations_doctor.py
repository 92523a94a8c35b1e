"""Mutations of ``certpin doctor`` and of shell completion, one for each of their rules.

Each mutation removes a rule from a copy of the source; a named test must then fail. The runner is
``test_mutations.py``.
"""

from __future__ import annotations

from tests._mutation import Mutation

_CANDIDATES = "certpin/cli/candidates.py"
_JUDGE = "certpin/cli/doctor/judge.py"
_PACKAGES = "certpin/cli/doctor/packages.py"
_SHELLS = "certpin/cli/shells.py"

_COMPLETION = "tests/cli/test_completion.py::"
_DOCTOR = "tests/cli/test_doctor.py::"
_JUDGED = "tests/cli/test_doctor_judge.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "a pin file completes only names that mean nothing to a shell",
        _CANDIDATES,
        "filter(_COMPLETED.fullmatch, names)",
        "names",
        _COMPLETION + "test_a_hostile_pin_file_completes_nothing_that_a_shell_could_run",
    ),
    Mutation(
        "a TAB reads at most a megabyte",
        _CANDIDATES,
        "read_regular(Path(path), _MAX_COMPLETED_FILE)",
        "read_regular(Path(path), 2**40)",
        _COMPLETION + "test_an_invalid_pin_file_completes_no_hosts",
    ),
    Mutation(
        "bash gets a wildcard that it does not expand",
        _SHELLS,
        "item.value.replace('*', chr(92) + '*')",
        "item.value",
        _COMPLETION + "test_bash_gets_a_wildcard_that_it_does_not_expand",
    ),
    Mutation(
        "an error at a TAB prints nothing",
        _SHELLS,
        "except (Exception, KeyboardInterrupt):",
        "except KeyboardInterrupt:",
        _COMPLETION + "test_a_failure_at_a_tab_prints_nothing",
    ),
    Mutation(
        "packages are imported without the secrets of the environment",
        _PACKAGES,
        "{name: os.environ[name] for name in _VARIABLES if name in os.environ}",
        "dict(os.environ)",
        _DOCTOR + "test_the_error_of_an_import_is_found_and_contains_no_secret",
    ),
    Mutation(
        "an error shows no password of a URL",
        _PACKAGES,
        '_SECRET.sub("//…@", first)',
        "first",
        _DOCTOR + "test_the_error_of_an_import_is_found_and_contains_no_secret",
    ),
    Mutation(
        "no module of the current folder is imported",
        _PACKAGES,
        'sys.executable, "-P", "-W"',
        'sys.executable, "-W"',
        _DOCTOR + "test_no_module_of_the_current_folder_is_imported",
    ),
    Mutation(
        "a clock that differs from every server is wrong",
        _JUDGE,
        "if abs(error) <= MAX_CLOCK_ERROR:",
        "if True:",
        _JUDGED + "test_the_clock_is_good_if_one_server_agrees",
    ),
    Mutation(
        "a clock that was not compared is not good",
        _JUDGE,
        "if server.date is not None and server.local is not None",
        "if server.date is not None or server.local is not None",
        _DOCTOR + "test_a_server_without_a_date_does_not_prove_the_clock",
    ),
]
