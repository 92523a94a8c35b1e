"""Write the lock files of requirements/: the dependencies' versions with hashes, without URLs.

The requirements come from the pyproject.toml files. This program also writes
packaging/homebrew/sdists.txt: the source archives of certpin's dependencies, which a Homebrew
formula lists.

Locked versions stay as they are, unless the command line has ``--upgrade``.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

from scripts import check_locks
from scripts.console import fail, say, succeeds
from scripts.pythons import supported

_UV = Path(sys.executable).parent / "uv"
_HASHES = ["--generate-hashes", "--custom-compile-command", "make lock"]


def main() -> None:
    """Write every lock file with uv, then check the files."""
    parser = argparse.ArgumentParser(description="Write the lock files of requirements/.")
    parser.add_argument("--upgrade", action="store_true", help="take the latest of everything")
    more = [*_HASHES, *(["--upgrade"] if parser.parse_args().upgrade else [])]
    test = "requirements/test.txt"
    _compile("test", [_needs("core", "extras"), "--group", "dev", *more])
    pythons = _needs("core", *check_locks.DEPENDENT)
    _compile("pythons", [pythons, "--group", "python", "--constraint", test, *more])
    _compile("core", [_needs("core"), "--constraint", test, *more])
    watch = _needs("core", "watch", "cluster", "otel")
    _compile("watch", [watch, "--constraint", test, *more])
    _compile("action", [_needs("core", "lab"), "--constraint", test, *more])
    docs = [_needs("core", "extras"), "--group", "docs"]
    _compile("docs", [*docs, "--constraint", test, *more])
    _compile("build", ["--group", "build", *more])
    niquests = _needs("core", "niquests", "requests", "updates", "urllib3")
    _compile("niquests", [niquests, "--group", "niquests", "--constraint", test, *more])
    clouds = [_needs("core", "azurekms", "gcpkms", "publish", "updates"), "--group", "clouds"]
    _compile("clouds", [*clouds, "--constraint", test, *more])
    _compile("pre-commit", ["--group", "pre-commit", "--constraint", test, *more])
    frozen = [_needs("core"), "--group", "pyinstaller"]
    _compile("pyinstaller", [*frozen, "--constraint", test, *more])
    _compile("release", ["--group", "release", *more])
    _compile("audit", ["--group", "audit", *more])
    _compile("sslyze", ["--group", "sslyze", *more])
    _compile("lock", ["--group", "lock", *more])
    _compile("oldest-pip", ["--group", "oldest-pip", *more])
    _compile_lowest(more)
    write_sdists()
    check_locks.main()


def _compile_lowest(more: list[str]) -> None:
    """Write requirements/lowest.txt: certpin's lowest dependencies and the latest test tools.

    Args:
        more: more arguments for uv.
    """
    floor = Path("build/floor.txt")  # the lock contains its name, so it must not change
    floor.parent.mkdir(exist_ok=True)
    floor.unlink(missing_ok=True)
    # Without their dependencies: the latest of those need not suit the test tools.
    lowest = ["--resolution", "lowest-direct", "--no-deps"]
    needs = _needs("core", "extras")
    _uv([needs, *lowest, "--output-file", str(floor)])
    _compile("lowest", [needs, "--group", "test", "--constraint", str(floor), *more])


def write_sdists() -> None:
    """Write packaging/homebrew/sdists.txt: the source archives of certpin's dependencies.

    A line has name, version, URL path without host, and SHA-256.
    """
    say(str(check_locks.SDISTS))
    output = Path("build/pylock.toml")
    output.parent.mkdir(exist_ok=True)
    output.unlink(missing_ok=True)
    words = ["--format", "pylock.toml", "--constraint", "requirements/core.txt"]
    _uv([_needs("core"), *words, "--output-file", str(output)])
    packages = tomllib.loads(output.read_text(encoding="utf-8"))["packages"]
    check_locks.SDISTS.write_text(
        check_locks.SDISTS_HEADER
        + "".join(
            f"{each['name']} {each['version']} {urlsplit(each['sdist']['url']).path.lstrip('/')} "
            f"{each['sdist']['hashes']['sha256']}\n"
            for each in packages
        ),
        encoding="utf-8",
    )


def _needs(*parts: str) -> str:
    """Write the direct requirements of some sections to a file for uv, and return its path.

    uv can't read them from the packages: certpin's extra ``watch`` names certpin-watch, which no
    registry has before a release.

    Args:
        parts: names of sections, as ``check_locks.sections`` returns them.
    """
    # The lock contains its name, so it must not change.
    file = Path("build", f"{'-'.join(parts)}.in")
    file.parent.mkdir(exist_ok=True)
    known = check_locks.sections()
    file.write_text("".join(f"{line}\n" for part in parts for line in known[part]))
    return str(file)


def _compile(name: str, words: list[str]) -> None:
    output = f"requirements/{name}.txt"
    say(output)
    _uv([*words, "--output-file", output])


def _uv(words: list[str]) -> None:
    every = ["--universal", "--python-version", supported()[0], "--quiet", "--no-config"]
    if not succeeds([str(_UV), "pip", "compile", *every, *words]):
        fail("uv could not resolve the requirements", "read uv's message above")


if __name__ == "__main__":
    main()
