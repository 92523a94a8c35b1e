"""A real SMTP server with STARTTLS: aiosmtpd."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from tests.servers._run import LOOPBACK, free_port, require_module, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def smtp(
    certificate: Path | None = None, key: Path | None = None, *, port: int = 0
) -> Iterator[int]:
    """Run an SMTP server (aiosmtpd) while the block runs, and yield its port.

    Args:
        certificate: the server's certificate (PEM file); without it, there is no STARTTLS.
        key: the certificate's key.
        port: the port; 0 for any free one.
    """
    require_module("aiosmtpd")
    port = port or free_port()
    tls: list[str | Path] = (
        ["--tlscert", certificate, "--tlskey", key] if certificate and key else []
    )
    argv: list[str | Path] = [
        sys.executable,
        "-m",
        "aiosmtpd",
        "--nosetuid",
        "--listen",
        f"{LOOPBACK}:{port}",
        *tls,
    ]
    with running(argv, port):
        yield port
