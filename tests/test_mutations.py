"""Each rule is taken out of a copy of the source, and its test has to fail: it proves the tests."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import certpin

if TYPE_CHECKING:
    from tests._mutation import Mutation

REPOSITORY = Path(__file__).parents[1]
LISTS = (
    "tests.hsm.mutations",
    "tests.cli.mutations_keys",
    "tests.tls.mutations_a",
    "tests.tls.mutations_b",
    "tests.formats.mutations_mobile",
    "tests.formats.flutter.mutations_signed",
    "tests.lab.mutations",
    "tests.lab.mutations_serve",
    "tests.lab.attacks.mutations",
    "tests.lab.attacks.mutations_trust",
    "tests.lab.session.mutations",
    "tests.lab.session.mutations_starttls",
    "tests.lab.transport.mutations",
    "tests.pinfile.lint.mutations",
    "tests.formats.mutations_programs",
    "tests.rotation.mutations",
    "tests.rotation.mutations_simulate",
    "tests.updates.mutations",
    "tests.updates.publish.mutations_push",
    "tests.updates.publish.mutations",
    "tests.updates.wultra.mutations",
    "tests.watch.web.mutations",
    "tests.watch.access.mutations",
)

# What would make the run inside measure, record, distribute or insist: none of its business.
_OURS = ("COV", "CERTPIN_", "PYTEST_", "PYTHON")

# Runs pytest, after making sure that it is the copy that is tested and not an installed certpin.
_PROGRAM = """
import sys
import certpin
if not certpin.__file__.startswith(sys.argv[1]):
    sys.exit(f"{certpin.__file__} is not the copy")
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


def _mutations() -> list[Mutation]:
    names = [name for name in LISTS if find_spec(name)]
    return [each for name in names for each in importlib.import_module(name).MUTATIONS]


def _names(mutations: list[Mutation]) -> list[str]:
    tests = (mutation.test.rpartition("::")[2] for mutation in mutations)
    rules = (mutation.rule for mutation in mutations)
    return [
        f"{at} rule {rule} {test}" for at, (rule, test) in enumerate(zip(rules, tests, strict=True))
    ]


def _run(source: Path, patience: int, *nodes: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
    # The directory of the copy comes before site-packages, where an editable install is.
    path = {"PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    # Nothing but what the tests need is loaded: this is done some hundred times.
    path["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    plugins = ["-p", "pytest_timeout", "-p", "_hypothesis_pytestplugin", "-p", "no:cacheprovider"]
    # certpin brings a plugin of pytest: imported before pytest, its asserts are not rewritten.
    quiet = "ignore::pytest.PytestAssertRewriteWarning"
    words = ["-q", "-x", "-o", "addopts=--import-mode=importlib", "-o", f"timeout={patience}"]
    words += [*plugins, "-W", quiet]
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(source), *words, *nodes],
        cwd=REPOSITORY,
        env=inherited | path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _copy(folder: Path) -> Path:
    source = folder / "src"
    # With its bytecode, which holds for whatever is not changed (PEP 552: by time and size).
    shutil.copytree(Path(certpin.__file__).parent, source / "certpin")
    return source


@pytest.mark.slow
@pytest.mark.parametrize("mutation", _mutations(), ids=_names(_mutations()))
def test_a_rule_that_is_taken_out_is_missed(mutation: Mutation, tmp_path: Path) -> None:
    file = _copy(tmp_path) / mutation.file
    text = file.read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1, f"{mutation.old!r} stands once in {mutation.file}"
    file.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    for stale in file.parent.glob(f"__pycache__/{file.stem}.*"):
        stale.unlink()
    # Without its rule many a test hangs, and that is noticed: eight seconds are enough to see it.
    done = _run(tmp_path / "src", 8, mutation.test)
    said = done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, said
    assert "1 failed" in said, said


@pytest.mark.slow
def test_without_a_change_those_same_tests_pass(tmp_path: Path) -> None:
    nodes = sorted({mutation.test for mutation in _mutations()})
    done = _run(_copy(tmp_path), 60, *nodes)
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
