"""Make a copy of this repository from which a release could be made, for the release tests.

The copy has real addresses instead of the placeholders, a dated changelog, and one commit.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from scripts.release.preconditions import ADDRESSED, read_version

ROOT = Path(__file__).parents[4]
# Reserved for documentation (RFC 2606): a test never publishes, and no server has these names.
ADDRESSES = {
    "https://repository.invalid": "https://git.bank.example/certpin",
    "repository.invalid/certpin": "bank/certpin",
    "https://python-files.invalid": "https://files.bank.example",
}
_WHO = ("-c", "user.name=tests", "-c", "user.email=tests@example.org")


def needs_clone() -> str:
    """Return the reason to skip a test that needs a git clone of the repository.

    Returns:
        "" if this folder is a clone, so that the test can run.
    """
    return "" if (ROOT / ".git").exists() else "left out: needs a clone of the repository"


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, and return its output."""
    argv = ["git", *_WHO, *words]
    done = subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout


def copy(target: Path) -> Path:
    """Copy the repository's files, as they are in the working tree, to a folder, and return it.

    These are all files that git tracks or does not ignore; the result is not a git repository yet.
    """
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        source, file = ROOT / name, target / name
        if source.is_symlink():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.symlink_to(source.readlink())
        elif source.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(source.read_bytes())
            file.chmod(source.stat().st_mode)
    return target


def make_releasable(root: Path) -> None:
    """Replace the placeholder addresses in the files below ``root``, and date the changelog.

    These are the edits that docs/project/release.md describes for a release.
    """
    for name in ADDRESSED:
        text = (root / name).read_text(encoding="utf-8")
        for placeholder, address in ADDRESSES.items():
            text = text.replace(placeholder, address)
        (root / name).write_text(text, encoding="utf-8")
    changelog, version = root / "CHANGELOG.md", read_version(root)
    text = changelog.read_text(encoding="utf-8")
    dated = text.replace(f"## Unreleased ({version})", f"## {version} (2026-11-28)", 1)
    changelog.write_text(dated, encoding="utf-8")


def commit(root: Path) -> None:
    """Make a git repository of the folder ``root``, and commit all its files."""
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=release")
