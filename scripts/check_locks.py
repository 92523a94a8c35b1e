"""Check the lock files: each line has its hashes, none an address, and the packages agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from scripts.console import fail

_LOCKED = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; .+)? \\$")
_ADDRESS = re.compile(r"://|^\s*(-i|-f|--(extra-)?index-url|--find-links)\b", re.MULTILINE)
# The groups and extras that each lock holds. "core" is certpin without
# extras, "watch" is certpin-watch.
_PARTS = {
    "build": ["build"],
    "core": ["core"],
    "lock": ["lock"],
    "oldest-pip": ["oldest-pip"],
    "lowest": ["core", "extras", "test"],
    "niquests": ["core", "niquests", "requests", "urllib3"],
    "pre-commit": ["pre-commit"],
    "sslyze": ["sslyze"],
    "test": ["core", "extras", "lint", "test", "types"],
    "watch": ["core", "watch", "cluster", "otel"],
}
_ALONE = {"niquests"}  # extras that can't share an environment with the others


def main() -> None:
    """Fail at the first invalid lock."""
    for name, parts in _PARTS.items():
        text = Path(f"requirements/{name}.txt").read_text(encoding="utf-8")
        problem = _address(text) or _without_hash(text) or _stale(text, _direct(parts))
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
            return f"a pyproject.toml asks for {each}, the lock has {version or 'nothing'}"
    return ""


def _direct(parts: list[str]) -> list[Requirement]:
    """Return the direct requirements of these parts."""
    known = sections()
    return [Requirement(line) for part in parts for line in known[part]]


def sections() -> dict[str, list[str]]:
    """Return the direct requirements of each extra and group, without certpin's own packages.

    ``core`` is certpin without extras, ``watch`` certpin-watch, and ``extras`` all extras that can
    be installed together.
    """
    certpin, watch = (_read(f"packages/{name}")["project"] for name in ("certpin", "certpin-watch"))
    extras = certpin["optional-dependencies"] | watch["optional-dependencies"]
    extras["watch"] = watch["dependencies"]
    found = {
        "core": certpin["dependencies"],
        "extras": [line for name in extras if name not in _ALONE for line in extras[name]],
        **extras,
        **_read(".")["dependency-groups"],
    }
    return {name: [each for each in lines if _is_foreign(each)] for name, lines in found.items()}


def _read(folder: str) -> dict[str, Any]:
    return tomllib.loads(Path(folder, "pyproject.toml").read_text(encoding="utf-8"))


def _is_foreign(line: Any) -> bool:
    """Return True for a requirement of another project. A group can include other groups."""
    return isinstance(line, str) and not Requirement(line).name.startswith("certpin")


if __name__ == "__main__":
    main()
