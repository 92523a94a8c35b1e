"""The built wheels, installed as users do: without an index, from folders of wheels."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
import zipfile
from contextlib import contextmanager
from email.parser import BytesParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripts.setup_venv import download, ensure
from tests.servers._run import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

ROOT = Path(__file__).parents[3]
_PACKAGES = ("packages/certpin", "packages/certpin-watch")
_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
_PINS = """\
schema = 1
name = "bank"
version = 1
[[host]]
name = "127.0.0.1"
expires = 2000-01-01
[[host.pin]]
pin = "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
[[host.pin]]
pin = "sha256/AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
role = "backup"
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def _run(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    argv = list(map(str, words))
    return subprocess.run(argv, capture_output=True, text=True, check=False, **options)


def _build(source: str, folder: Path) -> Path:
    words = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
    done = _run(sys.executable, "-m", "pip", "wheel", "--quiet", *words, ROOT / source)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return BytesParser().parsebytes(archive.read(name))


def _files(wheel: Path) -> dict[str, bytes]:
    """Return the files of the wheel, except for RECORD."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/RECORD")]
        return {name: archive.read(name) for name in names}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the wheel of each package, and the one built from the root, by source."""
    folder = tmp_path_factory.mktemp("wheels")
    found = {}
    for number, source in enumerate((*_PACKAGES, ".")):
        (folder / str(number)).mkdir()
        found[source] = _build(source, folder / str(number))
    return found


@pytest.fixture(scope="module")
def found_in(wheels: dict[str, Path]) -> tuple[str, ...]:
    """Return the pip options that allow only the built wheels and the locked ones."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(ROOT)
        locks = [Path(f"requirements/{name}.txt") for name in ("build", "core", "watch")]
        locked = download(Path(f".venvs/wheels-{_VERSION}"), sys.executable, *locks).absolute()
    folders = (locked, *(wheels[source].parent for source in _PACKAGES))
    return ("--no-index", *(f"--find-links={folder}" for folder in folders))


def test_the_wheel_of_certpin_has_the_dart_library_and_no_service_code(
    wheels: dict[str, Path],
) -> None:
    files = set(_files(wheels["packages/certpin"]))
    dart = {f"certpin/formats/flutter/dart/{path.name}" for path in _dart_files()}
    assert len(dart) > 20
    assert dart <= files
    assert not [name for name in files if "certpin_watch" in name or "alembic" in name]


def _dart_files() -> list[Path]:
    return list((ROOT / "packages/certpin-dart/lib").glob("*.dart"))


def test_the_root_builds_the_same_wheel(wheels: dict[str, Path]) -> None:
    package, root = (_files(wheels[source]) for source in ("packages/certpin", "."))
    assert package.keys() == root.keys()
    assert [
        name for name in package if name.startswith("certpin/") and package[name] != root[name]
    ] == []
    ours, theirs = (_metadata(wheels[source]) for source in ("packages/certpin", "."))
    for field in ("Name", "Version", "Requires-Dist", "Provides-Extra", "Requires-Python"):
        assert sorted(ours.get_all(field) or []) == sorted(theirs.get_all(field) or [])


@pytest.mark.parametrize("source", [*_PACKAGES, "."])
def test_no_dependency_is_a_direct_reference(wheels: dict[str, Path], source: str) -> None:
    needs = _metadata(wheels[source]).get_all("Requires-Dist") or []
    assert needs
    assert [need for need in needs if "@" in need or "://" in need] == []


def test_the_packages_name_the_exact_version_of_each_other(wheels: dict[str, Path]) -> None:
    certpin, watch = (_metadata(wheels[source]) for source in _PACKAGES)
    assert certpin["Version"] == watch["Version"]
    assert f"certpin=={certpin['Version']}" in (watch.get_all("Requires-Dist") or [])
    wanted = f"certpin-watch=={certpin['Version']}; extra == 'watch'"
    assert wanted in (certpin.get_all("Requires-Dist") or [])


def test_both_wheels_are_installed_and_the_service_serves_pages(
    found_in: tuple[str, ...], tmp_path: Path
) -> None:
    python, command = tmp_path / "venv/bin/python", tmp_path / "venv/bin/certpin"
    assert _run(sys.executable, "-m", "venv", tmp_path / "venv").returncode == 0
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *found_in)

    done = _run(*pip, "certpin")
    assert done.returncode == 0, done.stderr
    assert _run(command, "--version").stdout.startswith("certpin, version ")
    missing = _run(command, "serve", cwd=tmp_path)
    assert missing.returncode == 2
    assert "certpin serve needs the package certpin-watch" in missing.stderr
    assert "fix: pip install 'certpin[watch]'" in missing.stderr

    done = _run(*pip, "certpin[watch]")
    assert done.returncode == 0, done.stderr
    (tmp_path / "pins.toml").write_text(_PINS)
    with _serving(command, tmp_path) as address:
        page = urllib.request.urlopen(f"{address}/", timeout=30).read().decode()
    assert "<title>" in page
    assert "127.0.0.1" in page


@contextmanager
def _serving(command: Path, folder: Path) -> Iterator[str]:
    listen = f"127.0.0.1:{free_port()}"
    words = [str(command), "serve", "--listen", listen]
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert listen in process.stdout.readline()
        yield f"http://{listen}"
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_pre_commit_installs_the_root_and_lints_a_pin_file(
    found_in: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("left out: pre-commit needs a clone of the repository")
    monkeypatch.chdir(ROOT)
    lock = Path("requirements/pre-commit.txt")
    python = ensure(Path(f".venvs/pre-commit-{_VERSION}"), sys.executable, lock, project="none")
    pre_commit = Path(python).absolute().with_name("pre-commit")
    monkeypatch.chdir(tmp_path)
    links = " ".join(word.removeprefix("--find-links=") for word in found_in[1:])
    env = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "home")}
    env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": links, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    assert _run("git", "init", "-q", ".").returncode == 0
    (tmp_path / "pins.toml").write_text(_PINS)
    assert _run("git", "add", "pins.toml").returncode == 0
    done = _run(pre_commit, "try-repo", ROOT, "certpin-lint", "--verbose", "--all-files", env=env)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "expired" in done.stdout
