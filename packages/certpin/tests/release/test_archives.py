"""The release's archives have the same bytes for the same files.

The permissions, times, links and order of the files in a folder make no difference.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from scripts.release import __main__ as release
from scripts.release import archives
from tests.release._clone import ROOT, needs_clone

if TYPE_CHECKING:
    from pathlib import Path

EPOCH = 1_800_000_000
NAMES = [
    "packages/certpin-dart/pubspec.yaml",
    "packages/certpin-dart/lib/certpin.dart",
    "packages/certpin/README.md",
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_text(name)
    return tmp_path / "source"


def build(source: Path, out: Path, names: list[str], mask: int, mtime: int) -> bytes:
    out.mkdir(parents=True)
    archives.stage(source, out / "copy", names, mask=mask, mtime=mtime)
    copied = out / "copy"
    return archives.build_dart(copied, out, names, version="1.2.3", epoch=EPOCH).read_bytes()


def test_the_dart_archive_is_the_same_from_any_folder(source: Path, tmp_path: Path) -> None:
    first = build(source, tmp_path / "a", NAMES, 0o022, EPOCH)
    second = build(source, tmp_path / "b c" / "d", NAMES[::-1], 0o077, EPOCH + 1)
    assert first == second


def test_the_copies_really_differ(source: Path, tmp_path: Path) -> None:
    archives.stage(source, tmp_path / "a", NAMES, mask=0o022, mtime=EPOCH)
    archives.stage(source, tmp_path / "b", NAMES, mask=0o077, mtime=EPOCH + 1)
    first, second = (tmp_path / folder / NAMES[0] for folder in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert (first.stat().st_mode & 0o777, second.stat().st_mode & 0o777) == (0o644, 0o600)
    assert second.stat().st_mtime - first.stat().st_mtime == 1


def test_the_root_of_the_dart_archive_is_the_package(source: Path, tmp_path: Path) -> None:
    packed = build(source, tmp_path / "a", NAMES, 0o022, EPOCH)
    # RFC 1952: deflate, no name, no time, best compression, an unknown operating system.
    assert packed[:10] == b"\x1f\x8b\x08\x00" + bytes(4) + b"\x02\xff"
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as opened:
        entries = opened.getmembers()
    assert [each.name for each in entries] == ["lib/certpin.dart", "pubspec.yaml"]
    assert {(each.mtime, each.mode, each.uid, each.uname) for each in entries} == {
        (EPOCH, 0o644, 0, "")
    }


def test_a_link_in_the_dart_package_is_refused(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = "packages/certpin-dart/LICENSE"
    (source / link).symlink_to("pubspec.yaml")
    with pytest.raises(SystemExit):
        build(source, tmp_path / "a", [*NAMES, link], 0o022, EPOCH)
    assert "LICENSE is a link, which pub refuses" in capsys.readouterr().err


def test_a_dart_archive_without_a_pubspec_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        build(source, tmp_path / "a", NAMES[1:], 0o022, EPOCH)


def test_the_dart_archive_has_all_files_of_the_package(tmp_path: Path) -> None:
    if problem := needs_clone():
        pytest.skip(problem)
    names = archives.tracked(ROOT)
    built = archives.build_dart(ROOT, tmp_path, names, version="1.2.3", epoch=EPOCH)
    package = ROOT / "packages/certpin-dart"
    expected = {name.removeprefix("packages/certpin-dart/") for name in names if "-dart/" in name}
    assert {"pubspec.yaml", "LICENSE", "README.md", "CHANGELOG.md"} < expected
    assert archives.members(built) == {name: (package / name).read_bytes() for name in expected}


@pytest.mark.parametrize("change", ["a byte", "a missing file"])
def test_a_build_that_is_not_reproducible_is_refused(
    change: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls: list[Path] = []

    def build_python(_: Path, out: Path, **__: Any) -> None:
        calls.append(out)
        if change == "a byte":
            (out / "x.whl").write_text(f"{len(calls)}")
        elif len(calls) == 1:
            (out / "x.whl").write_text("once")

    monkeypatch.setattr(archives, "build_python", build_python)
    monkeypatch.setattr(archives, "build_dart", lambda *_, **__: None)
    monkeypatch.setattr(archives, "tracked", lambda _: [])
    monkeypatch.setattr(archives, "stage", lambda *_, **__: None)
    (tmp_path / "out").mkdir()
    with pytest.raises(SystemExit):
        release.build_twice(tmp_path / "out", "1.2.3", EPOCH)
    assert "not reproducible: x.whl" in capsys.readouterr().err
    assert len(calls) == 2


def test_checksums_name_every_file(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"")
    (tmp_path / "a").write_bytes(b"abc")
    release.write_checksums(tmp_path)
    lines = (tmp_path / "SHA256SUMS").read_text().splitlines()
    # FIPS 180-2, the digest of "abc", and that of the empty message.
    assert lines == [
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  b",
    ]
