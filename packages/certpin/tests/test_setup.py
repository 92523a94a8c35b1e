"""``scripts.setup_venv`` installs the locked versions, even if an index has newer releases.

It refuses an incomplete lock, and a file with another hash. ``scripts.debian_pythons`` reports a
Python that is not available or doesn't run, and starts one that needs a newer libc with its own
libc.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts import debian_pythons, pythons, setup_venv
from scripts.record import UNSTABLE, Run

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
OLDEST_PIP = ROOT / ".venvs" / "oldest-pip"
EMPTY_LOCK = "# nothing\n"


def _wheel(folder: Path, name: str, version: str, *requirements: str) -> str:
    """Write a wheel with one module into a folder, and return its line for a lock file.

    ``requirements`` are the dependencies that the wheel declares.
    """
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: toml\n"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {x}\n" for x in requirements),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        record = ""
        for file, text in files.items():
            archive.writestr(file, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
            record += f"{file},sha256={digest.decode()},{len(text)}\n"
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def _plant_oldest_pip(directory: Path, python: str) -> None:
    """Create the environment ``directory`` with the pip of the first release of this Python."""
    subprocess.run([python, "-m", "venv", "--without-pip", directory], check=True)
    (theirs,) = OLDEST_PIP.glob("lib/*/site-packages")
    (ours,) = directory.glob("lib/*/site-packages")
    for part in theirs.glob("pip*"):
        shutil.copytree(part, ours / part.name)
    words = [str(directory / "bin" / "python"), "-m", "pip", "--version"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert said.split()[1] in {"22.3", "23.2.1", "24.2", "25.2"}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder for wheels, which is the only source of packages for uv and pip."""
    monkeypatch.chdir(ROOT)
    setup_venv.ensure(setup_venv.UV, sys.executable, setup_venv.UV_LOCK, project="none")
    folder = tmp_path / "wheels"
    folder.mkdir()
    for program in ("UV", "PIP"):
        monkeypatch.setenv(f"{program}_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")  # UV_NO_INDEX has no effect
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)  # the machine's may name an index
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    build = tmp_path / "build.txt"
    build.write_text(EMPTY_LOCK)
    monkeypatch.setattr(setup_venv, "_BUILD", build)
    return folder


@pytest.fixture
def set_up(tmp_path: Path, index: Path) -> Callable[[str], str]:
    """Return a function that sets up an environment from the text of a lock file.

    The function returns the version of the module ``inner`` that was installed.
    """

    def _set_up(lock: str) -> str:
        path = tmp_path / "lock.txt"
        path.write_text(lock)
        inside = setup_venv.ensure(tmp_path / "venv", sys.executable, path, project="none")
        words = [inside, "-c", "import inner; print(inner.VERSION)"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    return _set_up


def _installer(folder: Path) -> str:
    """Return the program that installed ``inner`` below a folder: ``uv`` or ``pip``."""
    (file,) = folder.glob("venv/lib/*/site-packages/inner-*.dist-info/INSTALLER")
    return file.read_text().strip()


@pytest.fixture(params=["uv", "pip", "pip, and uv does not run"])
def only(request: pytest.FixtureRequest, index: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The only program that can install from ``index``: ``uv`` or ``pip``."""
    program, _, broken = str(request.param).partition(", ")
    if broken:
        settings = index.with_name("uv.toml")
        settings.write_text("not TOML")
        monkeypatch.setenv("UV_CONFIG_FILE", str(settings))
    empty = index.with_name("empty")
    empty.mkdir()
    unable = {"uv": "PIP", "pip": "UV"}[program]
    monkeypatch.setenv(f"{unable}_FIND_LINKS", str(empty))
    return program


@pytest.mark.slow
def test_a_newer_release_of_a_locked_package_changes_nothing(
    only: str, tmp_path: Path, index: Path, set_up: Callable[[str], str]
) -> None:
    lock = _wheel(index, "outer", "1.0", "inner>=1.0") + _wheel(index, "inner", "1.0")
    _wheel(index, "inner", "2.0")
    assert set_up(lock) == "1.0"
    assert _installer(tmp_path) == only


@pytest.mark.slow
def test_pip_installs_if_only_its_settings_name_an_index(
    tmp_path: Path, index: Path, set_up: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = "https://pypi.bank.example/simple"
    settings = tmp_path / "pip.conf"
    settings.write_text(f"[global]\nindex-url = {theirs}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    assert set_up(_wheel(index, "inner", "1.0")) == "1.0"
    assert _installer(tmp_path) == "pip"
    monkeypatch.setenv("UV_DEFAULT_INDEX", theirs)
    assert not setup_venv._only_pip_knows_index()


@pytest.mark.slow
def test_the_oldest_pip_installs_the_locked_versions(
    tmp_path: Path, index: Path, set_up: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pip that a Python brings installs uv."""
    if not OLDEST_PIP.exists():
        pytest.skip("left out: .venvs/oldest-pip is missing (make test)")
    monkeypatch.setattr(setup_venv, "_make", _plant_oldest_pip)
    monkeypatch.setattr(setup_venv, "UV", tmp_path / "venv")
    # As in pytest-cov's `coverage[toml]>=7.10.6`: an extra makes pip 22 and 23 resolve again.
    lock = _wheel(index, "outer", "1.0", "inner[toml]>=1.0") + _wheel(index, "inner", "1.0")
    _wheel(index, "inner", "2.0")
    assert set_up(lock) == "1.0"


@pytest.mark.slow
@pytest.mark.usefixtures("only")
def test_a_package_with_another_hash_is_refused(
    index: Path, set_up: Callable[[str], str], capfd: pytest.CaptureFixture[str]
) -> None:
    lock = _wheel(index, "inner", "1.0")
    (wheel,) = index.iterdir()
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("other.py", "")
    with pytest.raises(SystemExit):
        set_up(lock)
    assert "lock.txt could not be installed" in capfd.readouterr().err


@pytest.mark.slow
def test_an_environment_is_made_again_if_its_python_is_gone(
    tmp_path: Path, index: Path, set_up: Callable[[str], str]
) -> None:
    lock = _wheel(index, "inner", "1.0")
    set_up(lock)
    for python in (tmp_path / "venv/bin").glob("python*"):
        python.unlink()
        python.symlink_to(tmp_path / "removed")
    assert set_up(lock) == "1.0"


@pytest.mark.slow
def test_an_incomplete_lock_is_refused(
    index: Path, set_up: Callable[[str], str], capfd: pytest.CaptureFixture[str]
) -> None:
    lock = _wheel(index, "outer", "1.0", "inner>=1.0")
    _wheel(index, "inner", "2.0")
    with pytest.raises(SystemExit):
        set_up(lock)
    said = capfd.readouterr().err
    assert "`outer` requires `inner>=1.0`" in said
    assert "fix: make lock" in said


def test_every_supported_python_has_a_classifier_and_is_searched() -> None:
    assert pythons.supported() == ["3.11", "3.12", "3.13", "3.14", "3.15"]


def test_a_python_missing_from_unstable_is_reported_without_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(debian_pythons.UnavailableError, match="no apt-get"):
        debian_pythons.fetch("3.99")
    assert not Run("Python 3.99", left_out={f"{UNSTABLE}gone": 0}).must_not_be
    assert Run("Python 3.99", left_out={"no Python 3.99 found": 0}).must_not_be


def test_a_python_that_does_not_run_here_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    python = debian_pythons.interpreter("3.99")
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 'Illegal instruction' >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(debian_pythons.UnavailableError, match=r"not run.*Illegal instruction"):
        debian_pythons.fetch("3.99")


def test_a_python_that_needs_a_newer_libc_uses_its_own_libc(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    python = debian_pythons.interpreter("3.99")
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho \"version 'GLIBC_2.99' not found\" >&2\nexit 1\n")
    python.chmod(0o755)
    loader = python.parents[2] / "libc/usr/lib/machine/ld-linux-machine.so.2"
    loader.parent.mkdir(parents=True)
    loader.write_text('#!/bin/sh\necho "$@" > "${0%/*}/called"\n')
    loader.chmod(0o755)
    assert debian_pythons.fetch("3.99") == python
    called = (loader.parent / "called").read_text()
    assert called.startswith(f"--library-path {loader.parent} --argv0 {python} {python}.real -c")
