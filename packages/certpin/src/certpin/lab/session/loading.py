"""A chain and its key for OpenSSL, which reads them from files: files that are no file on a disk.

A process that is killed while it loads a key must not leave that key behind.
"""

from __future__ import annotations

import os
import ssl
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def load(context: ssl.SSLContext, chain_pem: bytes, key_pem: bytes) -> None:
    """Load a chain and a private key. Raises ``ssl.SSLError`` if they are invalid."""
    with _as_file(chain_pem) as chain, _as_file(key_pem) as key:
        try:
            context.load_cert_chain(chain, key)
        except ssl.SSLError:
            raise
        except OSError as exc:  # what Python makes of junk that came out of a pipe
            raise ssl.SSLError("no certificate, or no key") from exc


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """Yield a path from which OpenSSL can read these bytes once."""
    descriptor = _memory(data) if hasattr(os, "memfd_create") else _pipe(data)
    try:
        yield f"/dev/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _memory(data: bytes) -> int:
    """Use a memory file (Linux)."""
    descriptor = os.memfd_create("certpin-lab")
    os.write(descriptor, data)
    return descriptor


def _pipe(data: bytes) -> int:
    """Use a pipe. It may hold less than the data, so a thread fills it."""
    reader, writer = os.pipe()
    threading.Thread(target=_fill, args=(writer, data), daemon=True).start()
    return reader


def _fill(writer: int, data: bytes) -> None:
    with suppress(BrokenPipeError), os.fdopen(writer, "wb") as file:
        file.write(data)
