"""A real FTP server with AUTH TLS: pyftpdlib."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from tests.servers._run import LOOPBACK, free_port, require_module, running, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def ftp(certificate: Path | None = None, key: Path | None = None) -> Iterator[int]:
    """Run an FTP server while the block runs, and yield its port.

    It serves one file, hello.txt, to anonymous users. Without certificate and key (PEM files) it
    has no AUTH TLS.
    """
    require_module("pyftpdlib")
    require_module("OpenSSL", "pyOpenSSL")
    port = free_port()
    with scratch() as directory:
        # For an empty directory pyftpdlib sends nothing, and may then close without closing TLS.
        (directory / "hello.txt").write_text("hello\n")
        argv: list[str | Path] = [
            sys.executable,
            "-m",
            "pyftpdlib",
            "-i",
            LOOPBACK,
            "-p",
            str(port),
            "-d",
            directory,
        ]
        if certificate and key:
            argv += ["--tls", "--certfile", certificate, "--keyfile", key]
        with running(argv, port):
            yield port
