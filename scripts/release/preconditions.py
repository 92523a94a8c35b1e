"""Reasons not to release: differing versions, missing dates, placeholders, uncommitted changes."""

from __future__ import annotations

import re
import subprocess
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# No name server resolves names below .invalid (RFC 2606): the addresses that are not known yet.
PLACEHOLDER = ".invalid"
# The files with addresses that users follow: each must be real in a release.
ADDRESSED = (
    "packages/certpin/pyproject.toml",
    "packages/certpin-watch/pyproject.toml",
    "packages/certpin-dart/pubspec.yaml",
    "packaging/homebrew/certpin.rb.in",
    "examples/ci/README.md",
    "examples/ci/github-action.yml",
    "examples/ci/gitlab.yml",
)
_VERSION = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
_PUBSPEC_VERSION = re.compile(r"^version: (\S+)$", re.MULTILINE)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
# PEP 440 and pub (semver) write pre-releases differently, so the packages can't have the same one.
_RELEASABLE = re.compile(r"\d+\.\d+\.\d+")


@dataclass(frozen=True)
class Problem:
    """A reason not to release, and the change that removes it.

    ``in_rehearsal`` is False if a trial of the release may go on in spite of the problem.
    """

    text: str
    fix: str
    in_rehearsal: bool = True  # False if a rehearsal may go on


def find_problems(root: Path, *, tag: str = "") -> list[Problem]:
    """Return every reason not to release the files in ``root``.

    Args:
        root: the repository.
        tag: the tag that is released, if there is one already: ``v`` and the version.
    """
    version = read_version(root)
    return [
        *_version_problems(root, version, tag),
        *_changelog_problems(root, version),
        *_placeholder_problems(root),
    ]


def read_version(root: Path) -> str:
    """Return the version of certpin, which the other packages must have too."""
    return _first(_VERSION, root, "packages/certpin/src/certpin/_version.py")


def uncommitted(root: Path) -> list[str]:
    """Return the files that differ from the last commit, and those that git doesn't track."""
    lines = git(root, "status", "--porcelain", "--untracked-files=normal").splitlines()
    return [line[3:] for line in lines]


def commit_time(root: Path) -> int:
    """Return the time of the last commit, in seconds since 1970 (UTC): SOURCE_DATE_EPOCH."""
    return int(git(root, "log", "-1", "--format=%ct"))


def git(root: Path, *words: str) -> str:
    """Run git in the repository ``root``, and return its output.

    Raises:
        subprocess.CalledProcessError: git failed.
    """
    done = subprocess.run(
        ["git", "-C", str(root), *words], check=True, capture_output=True, text=True
    )
    return done.stdout


def _version_problems(root: Path, version: str, tag: str) -> Iterator[Problem]:
    if not _RELEASABLE.fullmatch(version):
        yield Problem(f"{version} is not a version that all registries accept", "use X.Y.Z")
    if tag and tag != f"v{version}":
        yield Problem(f"the tag is {tag}, and the version is {version}", f"tag v{version}")
    places = [
        ("packages/certpin-watch/src/certpin_watch/_version.py", _VERSION),
        ("packages/certpin-dart/pubspec.yaml", _PUBSPEC_VERSION),
    ]
    for name, pattern in places:
        if (other := _first(pattern, root, name)) != version:
            fix = f"write {version} in {name}"
            yield Problem(f"{name} has version {other or 'none'}, certpin has {version}", fix)
    for name in ("packages/certpin", "packages/certpin-watch"):
        for need in _needs_of_each_other(root / name / "pyproject.toml"):
            if not need.endswith(f"=={version}"):
                yield Problem(f"{name} needs {need}", f"write =={version} in its pyproject.toml")


def _needs_of_each_other(pyproject: Path) -> list[str]:
    """Return the requirements in a pyproject.toml on certpin's other Python package."""
    project: dict[str, Any] = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project.get("optional-dependencies", {}).values()]
    needs = [need for each in lists for need in each]
    own = re.compile(rf"{re.escape(project['name'])}(\[|$)")
    return [need for need in needs if need.startswith("certpin") and not own.match(need)]


def _changelog_problems(root: Path, version: str) -> Iterator[Problem]:
    """Yield a problem for each changelog that doesn't begin with the version to release.

    That of certpin must have the day of the release too.
    """
    heading = _first(_HEADING, root, "CHANGELOG.md")
    if heading == f"Unreleased ({version})":
        fix = f"write '## {version} (YEAR-MONTH-DAY)'"
        yield Problem("CHANGELOG.md has no date for this version", fix, in_rehearsal=False)
    elif not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", heading):
        yield Problem(f"CHANGELOG.md begins with '{heading}'", f"describe {version} in it")
    dart = _first(_HEADING, root, "packages/certpin-dart/CHANGELOG.md")
    if dart != version:
        yield Problem(f"the Dart package's CHANGELOG.md begins with '{dart}'", f"write {version}")


def _placeholder_problems(root: Path) -> Iterator[Problem]:
    for name in ADDRESSED:
        if PLACEHOLDER in (root / name).read_text(encoding="utf-8"):
            fix = "replace https://repository.invalid as docs/project/release.md describes"
            yield Problem(f"{name} has no real addresses yet", fix, in_rehearsal=False)


def _first(pattern: re.Pattern[str], root: Path, name: str) -> str:
    found = pattern.search((root / name).read_text(encoding="utf-8"))
    return found[1] if found else ""
