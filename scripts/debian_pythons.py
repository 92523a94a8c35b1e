"""Fetch the Pythons that only Debian's unstable suite has, and unpack them into ``.venvs/debian``.

Nothing is installed: `apt-get download` runs with a separate configuration, sources list and
package lists, apt verifies the suite's signature and the packages' digests, and `dpkg -x` unpacks.
The interpreters run on Debian 13; single modules may ask for a newer libc (termios does since glibc
2.42), so the suite's own libc6 is unpacked beside them, and its loader starts the interpreter.
The suite changes: the versions that the tests were last run with are recorded in
requirements/debian-unstable.txt (`make unstable` records the current ones); a newer package is
used too, and reported. If a package is missing, or does not run here, that Python is left out,
which is not a failure.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shlex
import shutil
import subprocess
from pathlib import Path

from scripts.console import say

RECORD = Path("requirements/debian-unstable.txt")
_HOME = Path(".venvs/debian")
_PACKAGES = ("python{}", "python{}-minimal", "python{}-venv")
_LIBRARIES = ("libpython{}-minimal", "libpython{}-stdlib", "libc6")
_LOADER = "ld-linux-*.so.*"
_OS_RELEASE = Path("/etc/os-release")
_APT_SECONDS = 300


class UnavailableError(Exception):
    """A Python of Debian's unstable suite, or another download, is not available.

    The message is the reason, which the caller prints.
    """


def interpreter(version: str) -> Path:
    """Return the path of the interpreter of an unpacked Python; the file may not exist yet."""
    return (_HOME / version / "usr" / "bin" / f"python{version}").absolute()


def fetch(version: str) -> Path:
    """Download a Python from Debian's unstable suite and unpack it, unless that was done before.

    Args:
        version: for example ``"3.15"``.

    Returns:
        The path of its interpreter.

    Raises:
        UnavailableError: there is no apt here, the suite has no such package, or the package does
            not run on this machine.
    """
    if not interpreter(version).exists():
        say(f"fetching Python {version} from Debian's unstable suite")
        apt = apt_for_unstable()
        archives = _HOME / f"{version}.archives"
        shutil.rmtree(archives, ignore_errors=True)
        archives.mkdir(parents=True)
        names = [name.format(version) for name in (*_PACKAGES, *_LIBRARIES)]
        run_program([*apt, "download", *names], f"{names[0]} is not to be had", archives)
        _note_changes(version, archives)
        _unpack(archives, _HOME / version)
    _require_running(version)
    return interpreter(version)


def apt_for_unstable() -> list[str]:
    """Return the first words of an apt-get command that uses only Debian's unstable suite.

    The package lists are updated before.

    Raises:
        UnavailableError: there is no apt here, or the suite can't be read.
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise UnavailableError("there is no apt-get")
    home = _HOME.absolute()
    for folder in ("lists/partial", "cache/archives/partial", "none"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / "sources.list").write_text(_source(), encoding="utf-8")
    settings = {
        "Dir::Etc::SourceList": home / "sources.list",
        "Dir::Etc::SourceParts": home / "none",
        "Dir::Etc::PreferencesParts": home / "none",
        "Dir::State::Lists": home / "lists",
        "Dir::Cache": home / "cache",
        # As the user who runs this: apt's own user may not write into this folder.
        "APT::Sandbox::User": pwd.getpwuid(os.geteuid()).pw_name,
    }
    apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in settings.items())]
    run_program([*apt, "update"], "Debian's unstable suite could not be read", home)
    return apt


def _source() -> str:
    """Return the sources.list line of the unstable suite, with the mirror of this machine."""
    release = dict(
        line.partition("=")[::2] for line in _OS_RELEASE.read_text(encoding="utf-8").splitlines()
    )
    codename = release.get("VERSION_CODENAME", "").strip('"')
    form = "$(RELEASE) $(REPO_URI) $(SIGNED_BY)"
    targets = run_program(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages", "Component: main"],
        "apt-get names no mirror",
        Path.cwd(),
    )
    for line in targets.splitlines():
        suite, mirror, *keyring = line.split()
        if suite == codename:
            signed = f"[signed-by={keyring[0]}] " if keyring else ""
            return f"deb {signed}{mirror} unstable main\n"
    raise UnavailableError("apt-get names no mirror of this release")


def _note_changes(version: str, archives: Path) -> None:
    """Print the downloaded packages that requirements/debian-unstable.txt does not list.

    A difference is no error: apt has verified the digests.
    """
    recorded = RECORD.read_text(encoding="utf-8") if RECORD.exists() else ""
    if new := [line for line in _lines(archives) if line not in recorded]:
        say(f"Python {version}: unstable has moved since {RECORD} was written:")
        print("\n".join(f"   {line}" for line in new), flush=True)


def _lines(archives: Path) -> list[str]:
    """Return a line with SHA-256 and file name for each Debian package in a folder."""
    packages = sorted(archives.glob("*.deb"))
    return [f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}" for each in packages]


def _unpack(archives: Path, target: Path) -> None:
    """Unpack all Debian packages of a folder into ``target``, which is replaced at the end.

    libc6 is unpacked into the subfolder ``libc``.
    """
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for package in sorted(archives.glob("*.deb")):
        inside = partial / "libc" if package.name.startswith("libc6_") else partial
        run_program(["dpkg", "-x", str(package), str(inside)], f"{package.name} can't be unpacked")
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def _bind_to_libc(version: str) -> None:
    """Replace an interpreter by a shell script that starts it with the unpacked libc's loader.

    patchelf is no alternative: it breaks Debian's interpreter, which is not position-independent.
    """
    program = interpreter(version)
    libraries = program.parents[2] / "libc" / "usr" / "lib"
    loader = next(iter(sorted(libraries.glob(f"*/{_LOADER}"))), None)
    if loader is None:
        raise UnavailableError("it needs a newer libc, and libc6 holds no loader")
    real = program.with_name(f"{program.name}.real")
    program.rename(real)
    words = [str(loader), "--library-path", str(loader.parent)]
    # With the name that was called as argv[0], or it would not find its environment.
    lines = f'exec {shlex.join(words)} --argv0 "$0" {shlex.quote(str(real))} "$@"'
    program.write_text(f"#!/bin/sh\n{lines}\n", encoding="utf-8")
    program.chmod(0o755)


def _require_running(version: str) -> None:
    words = [str(interpreter(version)), "-c", "import sqlite3, ssl, termios, venv"]
    try:
        run_program(words, "it does not run on this machine")
    except UnavailableError as exc:
        if "GLIBC_" not in str(exc):
            raise
        _bind_to_libc(version)
        run_program(words, "it does not run on this machine")


def run_program(argv: list[str], problem: str, folder: Path | None = None) -> str:
    """Run a program without standard input, in ``folder`` if given, and return its output.

    Raises:
        UnavailableError: the program failed or took too long. The message is ``problem`` with a
            reason, such as the last line of the program's standard error.
    """
    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_APT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise UnavailableError(f"{problem} ({type(exc).__name__})") from exc
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if not line.startswith("W: ")]
        raise UnavailableError(f"{problem} ({said[-1].strip()[:200] if said else 'no reason'})")
    return done.stdout


def main() -> None:
    """Write the names and digests of the unpacked packages to requirements/debian-unstable.txt."""
    lines = [line for each in sorted(_HOME.glob("*.archives")) for line in _lines(each)]
    header = "# Packages of Debian's unstable suite that `make test` was last run with (SHA-256).\n"
    RECORD.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
