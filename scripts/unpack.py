"""Unpack tar archives with every Python that certpin supports."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive of files and folders into a folder, and write nothing elsewhere.

    Python 3.11 has no filter for that before 3.11.4 (PEP 706), and Debian 12 has 3.11.2.

    Raises:
        tarfile.TarError: the archive has a link or another special file, or a path outside.
    """
    with tarfile.open(archive) as opened:
        for member in opened.getmembers():
            inside = (folder / member.name).resolve().is_relative_to(folder.resolve())
            if not inside or not (member.isfile() or member.isdir()):
                raise tarfile.TarError(f"{archive.name}: {member.name[:100]!r} is not unpacked")
        if hasattr(tarfile, "data_filter"):
            opened.extractall(folder, filter="data")
        else:
            opened.extractall(folder)  # noqa: S202  # each member was checked
