"""Build and check all files that a release uploads, without publishing them: ``make release``.

1. Refuse uncommitted changes, differing versions, a changelog without a date, placeholders.
2. Build the sdists and wheels of the Python packages and the archive of the Dart package, twice:
   in two folders, with other permissions, times, time zones and orders. Compare every byte.
3. Check metadata (twine, pyroma) and the licence of every shipped file.
4. Install the wheels on every Python of this machine, without an index, and try them.
5. Write an SBOM for each wheel, the Homebrew formula, the notices, and SHA256SUMS.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scripts.console import fail, say, succeeds
from scripts.release import archives, homebrew, licences, preconditions, sbom, trial

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
# The two builds differ in these; the archives must not.
_FIRST = {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"}
_SECOND = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "2"}
_DAY = 86_400  # seconds
_LOCK_OF = {"certpin": "core", "certpin-watch": "watch"}
# There is no address yet, and a test of the number of maintainers needs the registry.
_PYROMA_SKIPS = "AuthorEmail,BusFactor"


class Surroundings(NamedTuple):
    """The conditions of a build, which must not change the bytes of an archive.

    ``mask`` is the umask, ``mtime`` the time of the source files in seconds since 1970, and
    ``environment`` has environment variables.
    """

    mask: int
    mtime: int
    environment: dict[str, str]


def main(words: Sequence[str] | None = None) -> None:
    """Build and check all files of a release; end with status 2 at the first failure.

    Args:
        words: the command line; by default that of the process.
    """
    asked = _parse(words)
    version = preconditions.read_version(ROOT)
    say(f"certpin {version}: versions, dates, addresses")
    _require_ready(asked)
    epoch = preconditions.commit_time(ROOT)
    out: Path = asked.out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    build_twice(out, version, epoch)
    check_metadata(out)
    check_licences(out)
    if not asked.skip_trial:
        trial.try_on_each_python(out, version)
    write_documents(out, version, epoch)
    write_checksums(out)
    print(_next_steps(out, version, rehearsal=asked.allow_placeholders))


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("dist"), help="the folder to write")
    parser.add_argument("--tag", default="", help="the tag that must be that of the version")
    parser.add_argument("--allow-dirty", action="store_true", help="accept uncommitted changes")
    parser.add_argument(
        "--allow-placeholders",
        action="store_true",
        help="accept missing addresses and an undated changelog: a rehearsal, not to be published",
    )
    parser.add_argument("--skip-trial", action="store_true", help="do not install the wheels")
    return parser.parse_args(words)


def _require_ready(asked: argparse.Namespace) -> None:
    if not (ROOT / ".git").exists():
        fail("this folder is no clone of the repository", "run make release in a clone")
    found = preconditions.find_problems(ROOT, tag=asked.tag)
    if asked.allow_placeholders:
        found = [problem for problem in found if problem.in_rehearsal]
    if found:
        for problem in found[:-1]:
            print(f"error: {problem.text}\n  fix: {problem.fix}", file=sys.stderr)
        fail(found[-1].text, found[-1].fix)
    changed = preconditions.uncommitted(ROOT)
    if changed and not asked.allow_dirty:
        some = ", ".join(changed[:3])
        fail(f"{len(changed)} files are not committed: {some}", "commit them, or --allow-dirty")


def build_twice(out: Path, version: str, epoch: int) -> None:
    """Build all archives into ``out``, and again in another folder; fail if a byte differs.

    Args:
        out: the folder for the archives.
        version: the version of certpin.
        epoch: the time of all files in the archives, in seconds since 1970.
    """
    names = archives.tracked(ROOT)
    with tempfile.TemporaryDirectory(prefix="certpin-again-") as name:
        second = Path(name, "a longer name", "out")
        second.mkdir(parents=True)
        say(f"building into {out}")
        _build(names, out, version, epoch, Surroundings(0o022, epoch, _FIRST))
        say("building again: other folder, permissions, times, time zone, order of files")
        other = Surroundings(0o077, epoch + 400 * _DAY, _SECOND)
        _build(names[::-1], second, version, epoch, other)
        if different := archives.differing(out, second):
            fail(f"not reproducible: {', '.join(different)}", "compare both builds with diffoscope")
    say(f"the same bytes twice: {', '.join(sorted(path.name for path in out.iterdir()))}")


def _build(names: list[str], out: Path, version: str, epoch: int, around: Surroundings) -> None:
    with tempfile.TemporaryDirectory(prefix="certpin-build-") as name:
        staged = Path(name, "source")
        archives.stage(ROOT, staged, names, mask=around.mask, mtime=around.mtime)
        before = os.umask(around.mask)
        try:
            archives.build_python(staged, out, epoch=epoch, environment=around.environment)
            archives.build_dart(staged, out, names, version=version, epoch=epoch)
        finally:
            os.umask(before)


def check_metadata(out: Path) -> None:
    """Check the metadata of sdists and wheels with twine, as the registry does, and with pyroma."""
    say("twine check --strict")
    python = [*out.glob("*.whl"), *out.glob("certpin-[0-9]*.gz"), *out.glob("certpin_watch-*.gz")]
    if not succeeds([sys.executable, "-m", "twine", "check", "--strict", *map(str, python)]):
        fail("the metadata would be refused", "read twine's message above")
    for sdist in sorted(path for path in python if path.suffix == ".gz"):
        say(f"pyroma {sdist.name}")
        words = ["--min=10", f"--skip-tests={_PYROMA_SKIPS}", str(sdist)]
        if not succeeds([sys.executable, "-m", "pyroma", *words], quiet=True):
            fail("the metadata is not complete", "read pyroma's message above")


def check_licences(out: Path) -> None:
    """Compare every file of every archive in ``out`` with packaging/licences.toml."""
    say(f"licences of every shipped file: {licences.TABLE}")
    table = licences.read(ROOT)
    for archive in sorted(out.iterdir()):
        package = package_of(archive)
        files = archives.members(archive)
        if problems := list(licences.check(package, files, table)):
            fail(f"{archive.name}: {problems[0]}", f"see {licences.TABLE}")
        declared = sbom.metadata(archive)["License-Expression"] if _is_wheel(archive) else ""
        if declared and declared != (right := licences.expression(package, files, table)):
            fail(f"{archive.name} declares {declared}", f"write license = '{right}'")


def package_of(archive: Path) -> str:
    """Return the name of the folder below ``packages`` from which an archive was built."""
    if archive.name.startswith(f"{archives.DART_PACKAGE}-"):
        return archives.DART_PACKAGE
    return "certpin-watch" if archive.name.startswith("certpin_watch-") else "certpin"


def _is_wheel(archive: Path) -> bool:
    return archive.suffix == ".whl"


def write_documents(out: Path, version: str, epoch: int) -> None:
    """Write into ``out`` an SBOM for each wheel, the licence notices and the Homebrew formula."""
    table = licences.read(ROOT)
    for wheel in sorted(out.glob("*.whl")):
        package = package_of(wheel)
        lock = Path(ROOT, f"requirements/{_LOCK_OF[package]}.txt").read_text(encoding="utf-8")
        paths = [licences.repository_path(package, name) for name in archives.members(wheel)]
        bundled = [each for each in table if each.name and any(map(each.matches, paths))]
        target = out / f"{wheel.name}.cdx.json"
        say(f"SBOM: {target.name}")
        sbom.write(sbom.document(wheel, sbom.read_lock(lock), bundled, epoch=epoch), target)
        if problem := sbom.invalid(target):
            fail(f"{target.name} is not CycloneDX {sbom.SPEC_VERSION}: {problem}", "report it")
    (out / "THIRD-PARTY.txt").write_text(licences.notices(table), encoding="utf-8")
    say("Homebrew formula: certpin.rb")
    [sdist] = out.glob("certpin-[0-9]*.tar.gz")
    (out / "certpin.rb").write_text(homebrew.formula(ROOT, sdist, version), encoding="utf-8")


def write_checksums(out: Path) -> None:
    """Write ``out``/SHA256SUMS with the digests of all files, for ``sha256sum --check``."""
    paths = sorted(path for path in out.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths]
    (out / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    say(f"SHA256SUMS: {len(lines)} files")


def _next_steps(out: Path, version: str, *, rehearsal: bool) -> str:
    if rehearsal:
        return f"\n{out}/ is a rehearsal: placeholders were allowed. Do not publish it."
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return (
        f"\n{out}/ is ready. Nothing was published. Next (docs/project/release.md):\n"
        f"  git tag --sign v{version} {head}\n"
        f"  git push origin v{version}\n"
        "The tag starts .github/workflows/release.yml. It builds these files again, waits for an\n"
        "approval, and publishes. Compare its SHA256SUMS with this one before you approve."
    )


if __name__ == "__main__":
    main()
