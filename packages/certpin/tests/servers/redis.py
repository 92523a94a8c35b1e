"""A real Redis server with TLS."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.servers._run import LOOPBACK, free_port, install, require, running, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def redis(certificate: Path, key: Path) -> Iterator[int]:
    """Run redis-server with this certificate and key (PEM), and yield its port for TLS."""
    program = require("redis-server")
    port = free_port()
    with scratch(drop_root=True) as directory:
        settings = {
            "port": "0",
            "bind": LOOPBACK,
            "dir": str(directory),
            "save": "",
            "tls-port": str(port),
            "tls-cert-file": str(install(certificate, directory)),
            "tls-key-file": str(install(key, directory)),
            "tls-auth-clients": "no",
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        with running([program, *words], port, drop_root=True):
            yield port
