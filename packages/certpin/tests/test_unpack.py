"""``scripts.unpack``: an archive is unpacked into its folder, and nowhere else."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from scripts.unpack import unpack

if TYPE_CHECKING:
    from pathlib import Path

TEXT = b"text"


def _link(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


REFUSED = {
    "outside": tarfile.TarInfo("../outside"),
    "absolute": tarfile.TarInfo("/outside"),
    "link": _link("link", tarfile.SYMTYPE, "/etc"),
    "hard link": _link("link", tarfile.LNKTYPE, "../outside"),
    "pipe": _link("pipe", tarfile.FIFOTYPE, ""),
}


@pytest.fixture(params=["with the filter of PEP 706", "Python 3.11.2"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder to unpack into, with this Python and as with the one of Debian 12."""
    if request.param == "Python 3.11.2" and hasattr(tarfile, "data_filter"):
        # Without a filter, that Python trusts an archive; Python 3.14 and newer would not.
        trusted = staticmethod(tarfile.fully_trusted_filter)
        monkeypatch.setattr(tarfile.TarFile, "extraction_filter", trusted)
        monkeypatch.delattr(tarfile, "data_filter")
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


def _archive(folder: Path, *entries: tarfile.TarInfo) -> Path:
    archive = folder.with_name("archive.tar.gz")
    with tarfile.open(archive, "w:gz") as opened:
        for entry in entries:
            entry.size = len(TEXT) if entry.isfile() else 0
            opened.addfile(entry, io.BytesIO(TEXT))
    return archive


def test_files_are_unpacked_in_their_folders(folder: Path) -> None:
    unpack(_archive(folder, tarfile.TarInfo("package/lib/a.js")), folder)
    assert (folder / "package/lib/a.js").read_bytes() == TEXT


@pytest.mark.parametrize("entry", REFUSED.values(), ids=REFUSED)
def test_a_path_outside_and_a_special_file_are_refused(
    folder: Path, entry: tarfile.TarInfo
) -> None:
    with pytest.raises(tarfile.TarError, match="is not unpacked"):
        unpack(_archive(folder, tarfile.TarInfo("good"), entry), folder)
    assert not any(folder.iterdir())
    assert not folder.with_name("outside").exists()
