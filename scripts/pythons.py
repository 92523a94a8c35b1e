"""Find the interpreters on this machine of the Python versions that certpin supports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from scripts import debian_pythons

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLASSIFIER = "Programming Language :: Python :: 3."
# A Python that can make an environment and use TLS prints its version and its path.
_PROBE = (
    "import ensurepip, ssl, sys, venv; print(*sys.version_info[:2], sep='.'); print(sys.executable)"
)
_PROBE_SECONDS = 20


def supported() -> list[str]:
    """Return the Python versions in certpin's metadata, oldest first: ``["3.11", …]``."""
    file = Path("packages/certpin/pyproject.toml")
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    minors = [
        int(minor)
        for line in project["classifiers"]
        if (minor := line.removeprefix(_CLASSIFIER)).isdecimal()
    ]
    return [f"3.{minor}" for minor in sorted(minors)]


def running() -> str:
    """Return the version of the running Python: ``"3.11"``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def find(version: str) -> str | None:
    """Return the path of an interpreter of this version that can make environments and use TLS.

    Return None if this machine has none.
    """
    for candidate in _candidates(version):
        if path := _probe(candidate, version):
            return path
    return None


def _candidates(version: str) -> Iterator[str]:
    if version == running():
        yield sys.executable
    if on_path := shutil.which(f"python{version}"):
        yield on_path
    # pyenv's command on PATH works only for the versions that are enabled.
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    uv = Path.home() / ".local/share/uv/python"
    for pattern in (pyenv.glob(f"{version}.*"), uv.glob(f"cpython-{version}.*")):
        yield from (str(home / "bin" / "python3") for home in sorted(pattern, reverse=True))
    yield from (f"/usr/bin/python{version}", "/usr/bin/python3", f"/usr/local/bin/python{version}")
    yield str(debian_pythons.interpreter(version))


def _probe(candidate: str, version: str) -> str | None:
    """Return the path that an interpreter reports as its own (``sys.executable``).

    Return None if ``candidate`` does not run, lacks a needed module, or has another version.
    """
    try:
        answer = subprocess.run(
            [candidate, "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=True,
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    return answer[1] if answer[:1] == [version] else None


if __name__ == "__main__":
    for each in supported():
        print(each, find(each) or "not found")
