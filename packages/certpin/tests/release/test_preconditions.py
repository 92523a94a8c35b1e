"""A release is refused if its files disagree on the version, or lack a date or real addresses."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from scripts.release import preconditions
from scripts.release.preconditions import ADDRESSED, find_problems, read_version
from tests.release._clone import ROOT, commit, git, make_releasable

if TYPE_CHECKING:
    from pathlib import Path

CERTPIN = "packages/certpin/src/certpin/_version.py"
WATCH = "packages/certpin-watch/src/certpin_watch/_version.py"
PUBSPEC = "packages/certpin-dart/pubspec.yaml"
DART_CHANGES = "packages/certpin-dart/CHANGELOG.md"
FILES = {*ADDRESSED, CERTPIN, WATCH, PUBSPEC, DART_CHANGES, "CHANGELOG.md"}
VERSION = read_version(ROOT)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Return a folder with valid copies of all files that are checked before a release."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    make_releasable(tmp_path)
    return tmp_path


def texts(root: Path, tag: str = "") -> list[str]:
    return [problem.text for problem in find_problems(root, tag=tag)]


def edit(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text(encoding="utf-8")
    assert old in text
    (root / name).write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_release_without_problems_is_accepted(release: Path) -> None:
    assert texts(release, f"v{VERSION}") == []


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        (WATCH, VERSION, "9.9.9", "certpin_watch/_version.py has version 9.9.9"),
        (PUBSPEC, f"version: {VERSION}", "version: 9.9.9", "pubspec.yaml has version 9.9.9"),
        (PUBSPEC, f"version: {VERSION}", "x: 1", "pubspec.yaml has version none"),
        (
            "packages/certpin-watch/pyproject.toml",
            f"certpin=={VERSION}",
            "certpin>=0",
            "certpin>=0",
        ),
        (
            "packages/certpin/pyproject.toml",
            f"certpin-watch[otel]=={VERSION}",
            "certpin-watch[otel]==9.9.9",
            "needs certpin-watch[otel]==9.9.9",
        ),
        ("CHANGELOG.md", f"## {VERSION} (2026", "## 9.9.9 (2026", "begins with '9.9.9"),
        ("CHANGELOG.md", f"## {VERSION} (2026-11-28)", f"## {VERSION}", "CHANGELOG.md begins"),
        (DART_CHANGES, f"## {VERSION}", "## 9.9.9", "the Dart package's CHANGELOG.md begins with"),
    ],
)
def test_a_differing_version_is_refused(
    release: Path, name: str, old: str, new: str, problem: str
) -> None:
    edit(release, name, old, new)
    (found,) = find_problems(release)
    assert problem in found.text
    assert VERSION in found.fix


def test_a_version_that_pub_would_write_differently_is_refused(release: Path) -> None:
    for name in FILES:
        text = (release / name).read_text(encoding="utf-8")
        (release / name).write_text(text.replace(VERSION, "1.0.0rc1"), encoding="utf-8")
    assert texts(release) == ["1.0.0rc1 is not a version that all registries accept"]


def test_another_tag_is_refused(release: Path) -> None:
    assert texts(release, "v9.9.9") == [f"the tag is v9.9.9, and the version is {VERSION}"]


@pytest.mark.parametrize("name", ADDRESSED)
def test_a_placeholder_is_refused(release: Path, name: str) -> None:
    with (release / name).open("a", encoding="utf-8") as file:
        file.write("# https://repository.invalid\n")
    (problem,) = find_problems(release)
    assert problem.text == f"{name} has no real addresses yet"
    assert not problem.in_rehearsal


def test_a_rehearsal_accepts_only_missing_addresses_and_an_undated_changelog(release: Path) -> None:
    edit(release, "CHANGELOG.md", f"## {VERSION} (2026-11-28)", f"## Unreleased ({VERSION})")
    edit(release, WATCH, VERSION, "9.9.9")
    found = find_problems(release)
    assert [problem.in_rehearsal for problem in found] == [True, False]


def test_the_commands_of_the_page_replace_every_address(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    commit(tmp_path)
    page = (ROOT / "docs/project/release.md").read_text(encoding="utf-8")
    (listing, replacing) = re.findall(r"(?m)^ +(git grep(?:[^\n]*\|\n[^\n]*|[^\n]*))$", page)
    done = subprocess.run(
        ["bash", "-euc", listing], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert set(done.stdout.split()) == set(ADDRESSED)
    script = replacing.replace("OWNER/NAME", "bank/certpin")
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True)
    left = [problem.text for problem in find_problems(tmp_path) if "address" in problem.text]
    assert left == ["packaging/homebrew/certpin.rb.in has no real addresses yet"]
    workflow = (tmp_path / "examples/ci/github-action.yml").read_text(encoding="utf-8")
    assert "uses: bank/certpin@000" in workflow


def test_every_file_with_a_placeholder_is_checked() -> None:
    """The list ADDRESSED has each file that has a placeholder address, such as repository.invalid.

    A file that is missing from the list would be published with its placeholder. These tests, the
    release scripts and the docs only mention the placeholders.
    """
    named = git(ROOT, "grep", "-lE", r"(repository|python-files)\.invalid").splitlines()
    about = ("docs/", "packages/certpin/tests/release/", "scripts/release/", "SECURITY.md")
    assert {name for name in named if not name.startswith(about)} == set(ADDRESSED)


def test_uncommitted_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    commit(tmp_path)
    assert preconditions.uncommitted(tmp_path) == []
    assert preconditions.commit_time(tmp_path) > 1_700_000_000
    (tmp_path / "a").write_text("2")
    (tmp_path / "new").write_text("3")
    assert preconditions.uncommitted(tmp_path) == ["a", "new"]
