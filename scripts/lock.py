"""Write the lock files of requirements/ from pyproject.toml, with hashes and without addresses.

Versions that are locked already stay, unless the command says --upgrade.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path

from scripts import check_locks
from scripts.console import fail, say, succeeds
from scripts.pythons import supported

_UV = Path(sys.executable).parent / "uv"
_PROJECT = ["pyproject.toml"]
_NIQUESTS = ["--extra", "niquests", "--extra", "requests", "--group", "niquests"]
_WATCH = ["--extra", "cluster", "--extra", "otel"]  # both have the extra watch in them
_ALONE = {"niquests"}  # extras that cannot share an environment with the others
_HASHES = ["--generate-hashes", "--custom-compile-command", "make lock"]


def main() -> None:
    """Compile every lock, then check them."""
    parser = argparse.ArgumentParser(description="Write the lock files of requirements/.")
    parser.add_argument("--upgrade", action="store_true", help="take the latest of everything")
    more = [*_HASHES, *(["--upgrade"] if parser.parse_args().upgrade else [])]
    test = "requirements/test.txt"
    _compile("test", [*_extras(), "--group", "dev", *more])
    _compile("core", [*_PROJECT, "--constraint", test, *more])
    _compile("watch", [*_PROJECT, *_WATCH, "--constraint", test, *more])
    _compile("build", ["--group", "build", *more])
    _compile("niquests", [*_PROJECT, *_NIQUESTS, "--constraint", test, *more])
    _compile("sslyze", ["--group", "sslyze", *more])
    _compile("lock", ["--group", "lock", *more])
    _compile("oldest-pip", ["--group", "oldest-pip", *more])
    _compile_lowest(more)
    check_locks.main()


def _compile_lowest(more: list[str]) -> None:
    """The lowest of what certpin needs; the latest of what tests it, as far as they agree."""
    floor = Path("build/floor.txt")  # its name stands in the lock, so that it must not change
    floor.parent.mkdir(exist_ok=True)
    floor.unlink(missing_ok=True)
    # Without what those need in turn: the latest of it need not suit the tools of the tests.
    lowest = ["--resolution", "lowest-direct", "--no-deps"]
    _uv([*_extras(), *lowest, "--output-file", str(floor)])
    _compile("lowest", [*_extras(), "--group", "test", "--constraint", str(floor), *more])


def _extras() -> list[str]:
    """The project with the extras that can be installed together."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    together = sorted(project["optional-dependencies"].keys() - _ALONE)
    return [*_PROJECT, *(word for extra in together for word in ("--extra", extra))]


def _compile(name: str, words: list[str]) -> None:
    output = f"requirements/{name}.txt"
    say(output)
    _uv([*words, "--output-file", output])


def _uv(words: list[str]) -> None:
    every = ["--universal", "--python-version", supported()[0], "--quiet", "--no-config"]
    if not succeeds([str(_UV), "pip", "compile", *every, *words]):
        fail("uv could not resolve the requirements", "read what it said above")


if __name__ == "__main__":
    main()
