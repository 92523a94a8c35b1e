"""Check the lock files: each line has its hashes, none an address, and pyproject.toml agrees."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from scripts.console import fail

_LOCKED = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; .+)? \\$")
_ADDRESS = re.compile(r"://|^\s*(-i|-f|--(extra-)?index-url|--find-links)\b", re.MULTILINE)
# The groups and extras that each lock holds; "core" is what certpin itself needs.
_PARTS = {
    "build": ["build"],
    "core": ["core"],
    "lock": ["lock"],
    "oldest-pip": ["oldest-pip"],
    "lowest": ["core", "extras", "test"],
    "niquests": ["core", "niquests", "requests", "urllib3"],
    "sslyze": ["sslyze"],
    "test": ["core", "extras", "lint", "test", "types"],
    "watch": ["core", "watch", "cluster", "otel"],
}
_ALONE = {"niquests"}  # extras that no lock has beside the others


def main() -> None:
    """Fail at the first lock that is not what it should be."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    for name, parts in _PARTS.items():
        text = Path(f"requirements/{name}.txt").read_text(encoding="utf-8")
        problem = _address(text) or _without_hash(text) or _stale(text, _direct(project, parts))
        if problem:
            fail(f"requirements/{name}.txt: {problem}", "make lock")


def _address(text: str) -> str:
    found = _ADDRESS.search(text)
    return f"it holds an address: {found[0].strip()}" if found else ""


def _without_hash(text: str) -> str:
    """Each requirement must be pinned, and its next line must be a hash."""
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("    --hash=sha256:"):
            continue
        if not _LOCKED.match(line) or not following.startswith("    --hash=sha256:"):
            return f"not a version with its hashes: {line}"
    return ""


def _stale(text: str, wanted: list[Requirement]) -> str:
    found = (_LOCKED.match(line) for line in text.splitlines())
    locked = {match[1]: match[2] for match in found if match}
    for each in wanted:
        version = locked.get(each.name.lower(), "")
        if not version or not each.specifier.contains(version):
            return f"pyproject.toml asks for {each}, the lock has {version or 'nothing'}"
    return ""


def _direct(project: dict[str, Any], parts: list[str]) -> list[Requirement]:
    """What pyproject.toml asks for in these parts, less its references to itself."""
    extras = project["project"]["optional-dependencies"]
    sections: dict[str, list[Any]] = {
        "core": project["project"]["dependencies"],
        "extras": [line for name in extras if name not in _ALONE for line in extras[name]],
        **extras,
        **project["dependency-groups"],
    }
    lines = [line for part in parts for line in sections[part] if isinstance(line, str)]
    return [each for each in map(Requirement, lines) if each.name != "certpin"]


if __name__ == "__main__":
    main()
