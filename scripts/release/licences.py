"""The licences of all files that a release ships, as packaging/licences.toml lists them.

Every file of an archive needs exactly one entry, so a new file of another project can't be shipped
without its licence. Files that are listed as certpin's must not have another project's notice.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

TABLE = "packaging/licences.toml"
_NOTICE = re.compile(r"SPDX-License-Identifier|\bcopyright \(c\)|©|\(c\) \d{4}", re.IGNORECASE)
_NOTICE_BYTES = 4096  # a notice is at the beginning of a file
# Files of an sdist or of a wheel that are about the package: the licence is one of them.
_ABOUT = {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO", ".gitignore"}


@dataclass(frozen=True)
class LicensedFiles:
    """An entry of packaging/licences.toml: files with one licence.

    ``paths`` are patterns of paths in the repository, ``licence`` is an SPDX identifier, and
    ``text`` is the file with the licence. ``name``, ``version`` and ``url`` are those of another
    project; they are empty for certpin's own files.
    """

    paths: tuple[str, ...]
    licence: str
    text: str
    name: str = ""
    version: str = ""
    url: str = ""

    def matches(self, path: str) -> bool:
        """Return True if a pattern of this entry matches ``path``, a file of the repository."""
        return any(fnmatchcase(path, pattern) for pattern in self.paths)


def read(root: Path) -> list[LicensedFiles]:
    """Return the entries of packaging/licences.toml in the repository ``root``."""
    table = tomllib.loads((root / TABLE).read_text(encoding="utf-8"))
    return [LicensedFiles(**{**entry, "paths": tuple(entry["paths"])}) for entry in table["files"]]


def check(
    package: str, files: Mapping[str, bytes | None], table: list[LicensedFiles]
) -> Iterator[str]:
    """Yield a message for each licence problem of one archive.

    Args:
        package: the folder of the package below ``packages``.
        files: the archive's files and their content, by name.
        table: the entries of packaging/licences.toml.

    Returns:
        An iterator over the messages; it is empty if there is no problem.
    """
    used: set[LicensedFiles] = set()
    for name, content in files.items():
        path = repository_path(package, name)
        if content is None:
            yield f"{name} is a link: an archive must contain the file"
        elif path:
            found = [entry for entry in table if entry.matches(path)]
            used.update(found)
            yield from _entry_problems(path, content, found)
    present = {PurePosixPath(name).name for name in files}
    missing = {entry.text for entry in used if PurePosixPath(entry.text).name not in present}
    yield from (f"the archive lacks {text}" for text in sorted(missing))


def repository_path(package: str, name: str) -> str:
    """Return the path in the repository of a file in an archive; "" if the build generated it.

    Args:
        package: the folder of the package below ``packages``.
        name: the file's name in its wheel, its sdist or its Dart archive.
    """
    parts = PurePosixPath(name).parts
    if parts[0].endswith(".dist-info"):
        return ""
    if package == "certpin-dart":
        return "" if name == "LICENSE" else f"packages/{package}/{name}"
    folder = package.replace("-", "_")
    if parts[0] == folder:  # a wheel
        return f"packages/{package}/src/{name}"
    if parts[0].endswith(".data"):  # a wheel's man page: share/man/man1 (pyproject.toml)
        return f"packages/{package}/man/{parts[-1]}"
    within = parts[1:]  # an sdist: its first folder has the version
    if within in {(about,) for about in _ABOUT} or within[0] == "LICENSES":
        return ""
    return f"packages/{package}/{'/'.join(within)}"


def _entry_problems(path: str, content: bytes, found: list[LicensedFiles]) -> Iterator[str]:
    if not found:
        yield f"{path} has no licence in {TABLE}"
    elif len(found) > 1:
        yield f"{path} has {len(found)} licences in {TABLE}"
    elif not found[0].name and _NOTICE.search(content[:_NOTICE_BYTES].decode(errors="replace")):
        yield f"{path} has the notice of another project, and is listed as certpin's own"


def expression(package: str, files: Mapping[str, bytes | None], table: list[LicensedFiles]) -> str:
    """Return the SPDX expression of the licences of all files in an archive.

    It is the value of ``license`` in the package's metadata.
    """
    paths = [path for name in files if (path := repository_path(package, name))]
    found = {entry.licence for entry in table for path in paths if entry.matches(path)}
    return " AND ".join(sorted(found, key=lambda each: (each != "Apache-2.0", each)))


def notices(table: list[LicensedFiles]) -> str:
    """Return the text of THIRD-PARTY.txt: the shipped files of other projects, with licences."""
    lines = ["Files of other projects in these archives, with their licences:", ""]
    for entry in table:
        if entry.name:
            version = f" {entry.version}" if entry.version else ""
            lines += [f"{entry.name}{version} ({entry.url}): {entry.licence}"]
            lines += [f"  {path}" for path in entry.paths]
    lines += ["", "Everything else: Apache-2.0. The texts are in LICENSE and LICENSES/.", ""]
    return "\n".join(lines)
