"""Bytes as the content of a file, for functions of OpenSSL that read only files."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DESCRIPTORS = Path("/dev/fd")


@contextmanager
def as_file(content: bytes) -> Iterator[str]:
    """Yield the path of a file with this content, which may be a private key. It is read once.

    The file is in memory (Linux), or a pipe. Only a system that has no paths for its descriptors,
    such as Windows, or a process that may not use them gets a file on a disk: in a temporary folder
    that only this user can read, until the block ends.
    """
    if _DESCRIPTORS.is_dir():
        descriptor = _open(content)
        try:
            path = str(_DESCRIPTORS / str(descriptor))
            if os.access(path, os.R_OK):  # not in a process that is not dumpable (proc(5))
                yield path
                return
        finally:
            os.close(descriptor)
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="certpin-") as folder:  # mode 0700
        file = Path(folder, "content")
        file.write_bytes(content)
        yield str(file)


def _open(content: bytes) -> int:
    """Return a descriptor from which the content can be read: of a file in memory, or a pipe."""
    if hasattr(os, "memfd_create"):
        # Forbidden by vm.memfd_noexec=2, by seccomp filters, and missing in old kernels.
        with suppress(OSError):
            descriptor = os.memfd_create("certpin")
            os.write(descriptor, content)
            return descriptor
    reader, writer = os.pipe()
    # In a thread: the content may be more than the buffer of the pipe holds.
    threading.Thread(target=_fill, args=(writer, content), daemon=True).start()
    return reader


def _fill(writer: int, content: bytes) -> None:
    with suppress(BrokenPipeError), os.fdopen(writer, "wb") as file:
        file.write(content)
