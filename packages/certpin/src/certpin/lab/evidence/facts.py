"""The facts of a lab run for an auditor: the attacked client, the tools, and the machine.

Nothing here runs the client. The user gives its version, because an unknown program may do anything
if it is started with ``--version``.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import ssl
from datetime import timedelta
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

from certpin._version import __version__
from certpin.errors import ConfigError
from certpin.lab.report.masking import PROGRAM_SUFFIXES, safe_arguments, safe_environment
from certpin.lab.report.mastg import CONTROLS, TESTS, reference
from certpin.support.requirements import certpin_requirements, installed_version, satisfies
from certpin.support.text import encodable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from certpin.lab.runner import Run
    from certpin.support.requirements import Requirement

# Programs in the command that are hashed although they are not executable.
_SCRIPT = re.compile(rf".+\.(?:{PROGRAM_SUFFIXES}|wasm|apk|ipa)")


def evidence_facts(
    run: Run,
    *,
    files: Sequence[dict[str, Any]],
    script_identified: bool = False,
    client_version: str,
    environment: Mapping[str, str],
) -> dict[str, Any]:
    """Return the facts of a lab run for JSON: client, command, machine, certpin, times, standards.

    Args:
        run: the run, with its results.
        files: the client's program and scripts, as ``AttackedFiles.facts`` returns them.
        script_identified: True if one of these files is a script.
        client_version: the client's version as the user stated it; empty if the user didn't.
        environment: the environment of the client. Only variables that change how clients use TLS
            are listed, without values that may be secret.
    """
    about = run.about
    ended = about.started + timedelta(seconds=about.seconds) if about.started else None
    return {
        "client": {
            "command": [encodable(word) for word in safe_arguments(about.command)],
            "version": encodable(client_version) or None,
            "files": list(files),
            "script_identified": script_identified,
        },
        "time": {
            "started": about.started.isoformat() if about.started else None,
            "ended": ended.isoformat() if ended else None,
        },
        "machine": {
            "system": platform.platform(),
            "distribution": _distribution(),
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "openssl": ssl.OPENSSL_VERSION,
            "environment": {
                encodable(name): encodable(value)
                for name, value in safe_environment(environment).items()
            },
        },
        "certpin": certpin_facts(),
        "standards": standards_facts(run),
    }


def client_files(command: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield the name, size and SHA-256 of a command's program, and of scripts among its arguments.

    An argument that names an executable file counts as a script here. All other files are left out:
    one of them may contain only a short password, which its hash would reveal.
    """
    for _, word, path in _client_paths(command):
        yield {
            "name": encodable(Path(word).name),
            "bytes": path.stat().st_size,
            "sha256": _sha256_if_readable(path),
        }


def _client_paths(command: tuple[str, ...]) -> Iterator[tuple[int, str, Path]]:
    """Yield the words of a command that name its program, a script or another executable file.

    Each result has the number of the word (from 0), the word, and the path of the file.
    """
    for number, word in enumerate(command):
        found = which(word) if number == 0 else word
        # Path.is_file raises for a word that is longer than a name may be (before Python 3.14).
        if not found or "{" in word or not os.path.isfile(found):  # noqa: PTH113
            continue
        if number and not (os.access(found, os.X_OK) or _SCRIPT.fullmatch(word)):
            continue
        yield number, word, Path(found)


def _is_script(number: int, word: str, path: Path) -> bool:
    """Return True if a word of a command names a script, a file that contains the client's code.

    A file is a script if its name ends like one, such as ``client.py``, or if it begins with
    ``#!``. A program that is found in ``PATH`` is not read: the ``python3`` of a version manager
    begins with ``#!``, but contains none of the client's code.

    Args:
        number: the position of the word in the command, from 0.
        word: the word.
        path: the file that the word names.

    Raises:
        OSError: the file was removed.
    """
    if _SCRIPT.fullmatch(word):
        return True
    if (number == 0 and "/" not in word) or not os.access(path, os.R_OK):
        return False
    with path.open("rb") as file:
        return file.read(2) == b"#!"


class AttackedFiles:
    """The program and scripts of a client as they are before a run. Create it before the run.

    After the run, ``facts`` describes them for the evidence, and fails if they were changed.

    Args:
        command: the client's command.

    Attributes:
        script_identified: True if one of the files is a script.
    """

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._facts, self._marks, self.script_identified = self._read()

    def facts(self) -> list[dict[str, Any]]:
        """Return the name, size and SHA-256 of each file. Call this after the run.

        Not noticed: a folder that was renamed during the run, and then renamed back.

        Raises:
            ConfigError: a file, or a symbolic link on the way to it, was changed or replaced since
                this object was created. This is an error even if the change was undone, because the
                lab may have attacked the changed client.
        """
        if self._read()[:2] != (self._facts, self._marks):
            names = ", ".join(file["name"] for file in self._facts)
            raise ConfigError(
                f"no evidence is written: the client changed while it was attacked ({names})",
                key="--evidence",
                fix="run it again, and don't build or install the client meanwhile",
            )
        return self._facts

    def _read(self) -> tuple[list[dict[str, Any]], list[tuple[int, ...]], bool]:
        try:
            found = list(_client_paths(self._command))
            marks = [_mark(each) for *_, path in found for each in (path.resolve(), *_links(path))]
            scripts = [_is_script(*each) for each in found]
            return list(client_files(self._command)), marks, any(scripts)
        except OSError:  # a file has just been removed
            return [], [], False


def _mark(path: Path) -> tuple[int, ...]:
    """Return numbers that identify the present state of a file or link, to notice a change.

    They change if the file or link is written to, or replaced by another one.
    """
    status = path.lstat()
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def _links(path: Path) -> list[Path]:
    """Return the symbolic links through which a path leads: its own, and those of its folders.

    A change of any of them replaces the client's file without a change of the file itself.
    """
    found: dict[Path, None] = {}
    pending = [path.absolute()]
    while pending:
        following = pending.pop()
        for each in (following, *following.parents):
            if each not in found and each.is_symlink():
                found[each] = None
                pending.append(each.parent / each.readlink())
    return list(found)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_if_readable(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None


def _distribution() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None  # macOS, for example


def certpin_facts() -> dict[str, Any]:
    """Return certpin's version, the digest of its files, and the extras that are installed.

    ``files_sha256`` is the SHA-256 of a list of certpin's files in the format of sha256sum, sorted
    by name. It is the same for each installation of one release. ``matches_record`` is True if the
    files are those in the RECORD of the wheel (the Core metadata specification of PyPA), and None
    if there is no RECORD, as in a development installation.
    """
    own = dict(_own_files())
    listed = "".join(f"{digest}  {name}\n" for name, digest in own.items())
    return {
        "version": __version__,
        "files_sha256": hashlib.sha256(listed.encode()).hexdigest(),
        "matches_record": _matches_record(own),
        "extras": _installed_extras(),
    }


def _own_files() -> Iterator[tuple[str, str | None]]:
    root = Path(str(files("certpin")))
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(root.parent).as_posix(), _sha256_if_readable(path)


def _matches_record(own: Mapping[str, str | None]) -> bool | None:
    """Return True if certpin's files are those in its RECORD; None if RECORD lists none.

    Args:
        own: the SHA-256 of each file of certpin, by its name in RECORD; None for an unreadable
            file.
    """
    from base64 import urlsafe_b64encode

    try:
        recorded = metadata.distribution("certpin").files or []
    except metadata.PackageNotFoundError:
        return None
    listed = {
        file.as_posix(): file.hash.value
        for file in recorded
        if file.parts[0] == "certpin" and file.hash and file.hash.mode == "sha256"
    }
    if not listed:
        return None
    found = {
        name: urlsafe_b64encode(bytes.fromhex(digest)).rstrip(b"=").decode() if digest else ""
        for name, digest in own.items()
    }
    return found == listed


def _installed_extras() -> list[str]:
    """Return certpin's extras with all their packages installed, in versions that certpin accepts.

    Packages that this Python does not need are not required. The extra ``all`` is left out, because
    the extras that it consists of are listed.
    """
    needed = [each for each in certpin_requirements() or () if each.extra and not each.python]
    lacking = {each.extra for each in needed if not _is_installed(each)}
    return sorted({each.extra for each in needed} - lacking)


def _is_installed(needed: Requirement) -> bool:
    version = installed_version(needed.package)
    return version is not None and satisfies(version, needed.bounds)


def standards_facts(run: Run) -> list[dict[str, Any]]:
    """Return the outcome of each case of a run, with its OWASP MASVS controls and MASTG tests."""
    found = []
    for result in run.results:
        known = reference(result.case.matrix_name, result.expect)
        found.append(
            {
                "case": result.case.name,
                "outcome": result.outcome.value,
                "masvs": {control: CONTROLS[control] for control in known.controls},
                "mastg": {test: TESTS[test] for test in known.tests},
                "none_because": known.why or None,
                "because": known.because or None,
            }
        )
    return found
