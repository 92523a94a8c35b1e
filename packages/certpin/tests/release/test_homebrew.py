"""The Homebrew formula lists every locked dependency with its digest, and has no unfilled blank."""

from __future__ import annotations

import hashlib
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from scripts import check_locks
from scripts.release import homebrew
from scripts.release.sbom import read_lock
from tests.release._clone import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = (ROOT / homebrew.TEMPLATE).read_text(encoding="utf-8")
LOCK = (ROOT / "requirements/core.txt").read_text(encoding="utf-8")
SDISTS = (ROOT / check_locks.SDISTS).read_text(encoding="utf-8")


@pytest.fixture
def sdist(tmp_path: Path) -> Path:
    path = tmp_path / "certpin-1.2.3.tar.gz"
    path.write_bytes(b"an archive")
    return path


@pytest.fixture
def formula(sdist: Path) -> str:
    return homebrew.formula(ROOT, sdist, "1.2.3")


def test_every_locked_dependency_is_a_resource_or_comes_with_homebrew(formula: str) -> None:
    resources = re.findall(
        r'  resource "(\S+)" do\n    url "(\S+)"\n    sha256 "(\w{64})"\n  end', formula
    )
    locked = {each.name: each for each in read_lock(LOCK)}
    assert {name for name, _, _ in resources} | homebrew.PROVIDED == set(locked)
    assert set(locked) >= homebrew.PROVIDED
    for name, url, digest in resources:
        assert digest in locked[name].digests
        assert url.endswith(".tar.gz")
        assert locked[name].version in url


def test_the_formula_names_the_archive_of_the_release(formula: str, sdist: Path) -> None:
    assert f'sha256 "{hashlib.sha256(sdist.read_bytes()).hexdigest()}"' in formula
    assert "/releases/download/v1.2.3/certpin-1.2.3.tar.gz" in formula
    assert "@VERSION@" not in formula


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (TEMPLATE.replace("@SHA256@", ""), "the template has no @SHA256@"),
        (TEMPLATE + "# @SURPRISE@\n", "nothing fills @SURPRISE@"),
        (TEMPLATE.replace("are below https", "x"), "has no address"),
    ],
)
def test_a_template_with_other_blanks_is_refused(template: str, problem: str, sdist: Path) -> None:
    with pytest.raises(ValueError, match=problem):
        homebrew.render(template, sdist, check_locks.read_sdists(SDISTS), "1.2.3")


def test_a_source_archive_of_another_version_is_refused(sdist: Path) -> None:
    with pytest.raises(ValueError, match=r"is not click 2\.0"):
        homebrew.render(TEMPLATE, sdist, [("click", "2.0", "packages/click-1.tar.gz", "a")], "1")


@pytest.mark.peer("ruby")
def test_ruby_accepts_the_syntax(formula: str, tmp_path: Path) -> None:
    (tmp_path / "certpin.rb").write_text(formula)
    words = ["ruby", "-wc", str(tmp_path / "certpin.rb")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Syntax OK\n", "")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("\nclick ", "\nclack ", "it does not list the versions"),
        ("sdists", "sdists", ""),
        ("packages/", "https://packages/", "it holds an address"),
    ],
)
def test_the_list_of_source_archives_is_compared_with_the_lock(
    old: str, new: str, problem: str
) -> None:
    found = check_locks._sdist_problem(SDISTS.replace(old, new), LOCK)
    assert found.startswith(problem)
    assert bool(found) == bool(problem)


def test_a_source_archive_with_an_unlocked_digest_is_refused() -> None:
    (first, *_) = check_locks.read_sdists(SDISTS)
    changed = SDISTS.replace(first[3], "0" * 64)
    assert check_locks._sdist_problem(changed, LOCK).endswith(f"another hash of {first[0]}")
