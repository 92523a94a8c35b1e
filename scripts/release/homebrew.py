"""Write the Homebrew formula from the template packaging/homebrew/certpin.rb.in."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from scripts import check_locks

if TYPE_CHECKING:
    from collections.abc import Iterable

TEMPLATE = Path("packaging/homebrew/certpin.rb.in")
# These come with Homebrew's own formula of cryptography, on which the template depends.
PROVIDED = frozenset({"cffi", "cryptography", "pycparser"})
# The address is in a comment of the template, because locks contain no addresses.
_FILES = re.compile(r"source archives of the dependencies are below (https://[^\s:]+)")
_BLANK = re.compile(r"@[A-Z0-9]+@")


def render(
    template: str, sdist: Path, resources: Iterable[tuple[str, str, str, str]], version: str
) -> str:
    """Return the Homebrew formula: the template with version, digests and dependencies.

    Args:
        template: the text of the template.
        sdist: the source archive of certpin, which the release uploads.
        resources: name, version, path and SHA-256 of each dependency's source archive.
        version: the version of certpin.

    Raises:
        ValueError: the template lacks a required placeholder or has an unknown one, or it lacks the
            URL of the source archives.
    """
    files = _FILES.search(template)
    if not files:
        raise ValueError("the template has no address of the source archives")
    blocks = [_resource(files[1], *each) for each in resources if each[0] not in PROVIDED]
    values = {
        "@VERSION@": version,
        "@SDIST@": sdist.name,
        "@SHA256@": hashlib.sha256(sdist.read_bytes()).hexdigest(),
        "@RESOURCES@": "\n".join(blocks),
    }
    text = template
    for blank, value in values.items():
        if blank not in template:
            raise ValueError(f"the template has no {blank}")
        text = text.replace(blank, value)
    if left := _BLANK.search(text):
        raise ValueError(f"nothing fills {left[0]}")
    return text


def _resource(files: str, name: str, version: str, path: str, digest: str) -> str:
    if version not in path:
        raise ValueError(f"{path} is not {name} {version}")
    return f'  resource "{name}" do\n    url "{files}/{path}"\n    sha256 "{digest}"\n  end\n'


def formula(root: Path, sdist: Path, version: str) -> str:
    """Return the Homebrew formula, with the template and the list of dependencies in ``root``.

    Args:
        root: the repository.
        sdist: the built source archive of certpin.
        version: the version of certpin.
    """
    sdists = (root / check_locks.SDISTS).read_text(encoding="utf-8")
    template = (root / TEMPLATE).read_text(encoding="utf-8")
    return render(template, sdist, check_locks.read_sdists(sdists), version)
