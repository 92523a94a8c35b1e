"""The wheels that this repository builds: their files, their requirements, and installed by users.

pip and pre-commit install them from folders, without an index.
"""

from __future__ import annotations

import json
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

from scripts.pythons import running
from scripts.setup_venv import ensure
from tests._quick_venv import quick_python
from tests._wheels import build, downloaded
from tests.release._clone import commit, copy
from tests.servers._run import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

ROOT = Path(__file__).parents[3]
DART = ROOT / "packages/certpin-dart/lib"
_PACKAGES = ("packages/certpin", "packages/certpin-watch")
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


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return BytesParser().parsebytes(archive.read(name))


def _files(wheel: Path) -> dict[str, bytes]:
    """Return the contents of all files in a wheel by name, except for RECORD."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/RECORD")]
        return {name: archive.read(name) for name in names}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the wheels of all packages and of the repository's root; return their paths.

    The keys are the folders of their sources; ``"."`` is the root.
    """
    folder = tmp_path_factory.mktemp("wheels")
    found = {}
    for number, source in enumerate((*_PACKAGES, ".")):
        (folder / str(number)).mkdir()
        found[source] = build(source, folder / str(number))
    return found


@pytest.fixture(scope="module")
def found_in(wheels: dict[str, Path]) -> tuple[str, ...]:
    """Return the pip options that allow only the built wheels and the locked ones."""
    folders = (downloaded(), *(wheels[source].parent for source in _PACKAGES))
    return ("--no-index", *(f"--find-links={folder}" for folder in folders))


def test_the_wheel_of_certpin_has_the_dart_library_and_no_service_code(
    wheels: dict[str, Path],
) -> None:
    files = set(_files(wheels["packages/certpin"]))
    dart = {f"certpin/formats/flutter/dart/{path.relative_to(DART)}" for path in _dart_files()}
    assert len(dart) > 20
    assert dart <= files
    assert not [name for name in files if "certpin_watch" in name or "alembic" in name]


def _dart_files() -> list[Path]:
    return list(DART.rglob("*.dart"))


@pytest.mark.parametrize("source", _PACKAGES)
def test_a_wheel_has_the_man_pages_of_its_commands(wheels: dict[str, Path], source: str) -> None:
    files = _files(wheels[source])
    pages = {name.rpartition("/")[2]: files[name] for name in files if "/data/share/man/" in name}
    assert pages == {page.name: page.read_bytes() for page in (ROOT / source / "man").iterdir()}


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
    needs = [each for each in certpin.get_all("Requires-Dist") or [] if "certpin-watch" in each]
    assert f"certpin-watch=={certpin['Version']}; extra == 'watch'" in needs
    assert {each.rpartition("extra == ")[2] for each in needs} == {
        f"'{extra}'" for extra in ("all", "cluster", "otel", "watch")
    }
    assert all(f"=={certpin['Version']};" in each for each in needs)


def test_both_wheels_are_installed_and_the_service_serves_pages(
    found_in: tuple[str, ...], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    python, command = tmp_path / "venv/bin/python", tmp_path / "venv/bin/certpin"
    assert _run(quick_python(tmp_path_factory), "-m", "venv", tmp_path / "venv").returncode == 0
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *found_in)
    pip += ("--no-compile",)  # most of the modules are never imported

    done = _run(*pip, "certpin")
    assert done.returncode == 0, done.stderr
    assert _run(command, "--version").stdout.startswith("certpin, version ")
    assert (tmp_path / "venv/share/man/man1/certpin-pin.1").exists()
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


def test_pre_commit_installs_the_root_and_runs_both_hooks(
    found_in: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("left out: pre-commit needs a clone of the repository")
    monkeypatch.chdir(ROOT)
    lock = Path("requirements/pre-commit.txt")
    python = ensure(Path(f".venvs/pre-commit-{running()}"), sys.executable, lock, project="none")
    pre_commit = Path(python).absolute().with_name("pre-commit")
    monkeypatch.chdir(tmp_path)
    links = " ".join(word.removeprefix("--find-links=") for word in found_in[1:])
    env = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "home")}
    env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": links, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    env["PIP_COMPILE"] = "0"
    assert _run("git", "init", "-q", ".").returncode == 0
    (tmp_path / "pins.toml").write_text(_PINS)
    assert _run("git", "add", "pins.toml").returncode == 0
    # As `pre-commit try-repo`, a commit of the working tree: both hooks need one installation.
    repository = copy(tmp_path / "repository")
    commit(repository)
    head = _run("git", "-C", repository, "rev-parse", "HEAD").stdout.strip()
    export = {"id": "certpin-export-check", "args": ["curl", "--out", "pins.curl"]}
    hooks = [{"id": "certpin-lint"}, {"id": "certpin-lint-trust"}, export]
    config = {"repos": [{"repo": str(repository), "rev": head, "hooks": hooks}]}
    (tmp_path / ".pre-commit-config.yaml").write_text(json.dumps(config))  # JSON is YAML
    words = (pre_commit, "run", "--all-files", "--verbose")
    done = _run(*words, "certpin-lint", env=env)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "expired" in done.stdout

    (tmp_path / "pins.toml").write_text(_PINS.replace("2000-01-01", "2990-01-01"))
    done = _run(*words, env=env)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "pins.curl" in done.stdout
    certpin = (sys.executable, "-m", "certpin.cli.main", "export", "curl", "--out", "pins.curl")
    exported = _run(*certpin)
    assert exported.returncode == 0, exported.stderr
    done = _run(*words, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
