"""Check the lock files of requirements/, and packaging/homebrew/sdists.txt.

Every requirement of a lock must have a version and hashes, no line may contain a URL, and the
versions must satisfy the requirements in the packages' pyproject.toml files.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from scripts.console import fail

# The first line of a package in a lock: its name and its version.
LOCKED = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; .+)? \\$")
_ADDRESS = re.compile(r"://|^\s*(-i|-f|--(extra-)?index-url|--find-links)\b", re.MULTILINE)
# The extras that the tests of `pythons.txt` need: of code that depends on Python itself.
DEPENDENT = (
    *("aiohttp", "awskms", "httpx", "httpx2", "lab", "pkcs11", "requests", "updates", "urllib3"),
    *("vault", "wireguard"),
)
# The sections (see `sections`) that each lock holds.
_PARTS = {
    "action": ["core", "lab"],
    "audit": ["audit"],
    "build": ["build"],
    "clouds": ["core", "azurekms", "clouds", "gcpkms", "publish", "updates"],
    "core": ["core"],
    "docs": ["core", "docs", "extras"],
    "lock": ["lock"],
    "oldest-pip": ["oldest-pip"],
    "lowest": ["core", "extras", "python", "test"],
    "niquests": ["core", "niquests", "requests", "updates", "urllib3"],
    "pre-commit": ["pre-commit"],
    "pyinstaller": ["core", "pyinstaller"],
    "pythons": ["core", "python", *DEPENDENT],
    "release": ["release"],
    "sslyze": ["sslyze"],
    "test": ["core", "extras", "lint", "python", "test", "types"],
    "watch": ["core", "watch", "cluster", "otel"],
}
SDISTS = Path("packaging/homebrew/sdists.txt")
SDISTS_HEADER = """\
# Written by make lock: the source archives of requirements/core.txt, for the Homebrew formula.
# name, version, path on the registry's file server, SHA-256
"""
# Extras with separate locks: niquests replaces urllib3, and the others are large.
_ALONE = {"azurekms", "gcpkms", "niquests"}


def main() -> None:
    """Check every lock file; print the first problem and exit with status 2 if there is one."""
    known = sections()
    for name, parts in _PARTS.items():
        wanted = [Requirement(line) for part in parts for line in known[part]]
        text = Path(f"requirements/{name}.txt").read_text(encoding="utf-8")
        problem = _address(text) or _without_hash(text) or _stale(text, wanted)
        if problem:
            fail(f"requirements/{name}.txt: {problem}", "make lock")
    if problem := _sdist_problem(
        SDISTS.read_text(encoding="utf-8"), Path("requirements/core.txt").read_text("utf-8")
    ):
        fail(f"{SDISTS}: {problem}", "make lock")


def _address(text: str) -> str:
    found = _ADDRESS.search(text)
    return f"it holds an address: {found[0].strip()}" if found else ""


def _without_hash(text: str) -> str:
    """Return a message about the first requirement without version or hash; "" if there is none."""
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("    --hash=sha256:"):
            continue
        if not LOCKED.match(line) or not following.startswith("    --hash=sha256:"):
            return f"not a version with its hashes: {line}"
    return ""


def _stale(text: str, wanted: list[Requirement]) -> str:
    found = [match for line in text.splitlines() if (match := LOCKED.match(line))]
    for each in wanted:
        # Several, if the version depends on the Python.
        versions = [match[2] for match in found if match[1] == each.name.lower()]
        if not any(each.specifier.contains(version) for version in versions):
            has = ", ".join(versions) or "nothing"
            return f"a pyproject.toml asks for {each}, the lock has {has}"
    return ""


def read_sdists(text: str) -> list[tuple[str, str, str, str]]:
    """Return name, version, URL path and SHA-256 of each source archive listed in sdists.txt."""
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, version, path, digest) for name, version, path, digest in rows]


def _sdist_problem(sdists: str, lock: str) -> str:
    """Return how the list of source archives differs from the lock; "" if they agree.

    Args:
        sdists: the text of packaging/homebrew/sdists.txt.
        lock: the text of requirements/core.txt.
    """
    if found := _address(sdists):
        return found
    matches = (LOCKED.match(line) for line in lock.splitlines())
    locked = {match[1]: match[2] for match in matches if match}
    if {name: version for name, version, _, _ in read_sdists(sdists)} != locked:
        return "it does not list the versions of requirements/core.txt"
    unlocked = [name for name, _, _, digest in read_sdists(sdists) if f":{digest}" not in lock]
    return f"requirements/core.txt has another hash of {unlocked[0]}" if unlocked else ""


def sections() -> dict[str, list[str]]:
    """Return the requirements on other projects, for each extra and each dependency group.

    The key ``core`` has the requirements of certpin without extras, ``watch`` those of
    certpin-watch, and ``extras`` those of all extras that can be installed together. An extra and
    a group with the same name are combined.
    """
    certpin, watch = (_read(f"packages/{name}")["project"] for name in ("certpin", "certpin-watch"))
    extras = certpin["optional-dependencies"] | watch["optional-dependencies"]
    extras["watch"] = watch["dependencies"]
    found = {
        "core": certpin["dependencies"],
        "extras": [line for name in extras if name not in _ALONE for line in extras[name]],
        **extras,
    }
    for name, lines in _read(".")["dependency-groups"].items():
        found[name] = [*found.get(name, ()), *lines]
    return {name: [each for each in lines if _is_foreign(each)] for name, lines in found.items()}


def _read(folder: str) -> dict[str, Any]:
    return tomllib.loads(Path(folder, "pyproject.toml").read_text(encoding="utf-8"))


def _is_foreign(line: Any) -> bool:
    """Return True if an entry of a dependency list is a requirement on another project.

    Return False for certpin's own packages, and for the table with which a group includes another
    group.
    """
    return isinstance(line, str) and not Requirement(line).name.startswith("certpin")


if __name__ == "__main__":
    main()
