"""A real MySQL server with TLS: MariaDB, without tables."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.servers._run import LOOPBACK, free_port, install, require, running, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def mysql(certificate: Path | None = None, key: Path | None = None) -> Iterator[int]:
    """Run MariaDB while the block runs, and yield its port.

    Without certificate and key (PEM files), TLS is disabled. The data directory is empty and no
    grants are read: that is enough for a handshake and for ``SELECT 1``, and much faster than a
    complete installation.
    """
    program = require("mariadbd")
    port = free_port()
    with scratch(drop_root=True) as directory:
        argv: list[str | Path] = [
            program,
            "--no-defaults",
            f"--datadir={directory}",
            f"--socket={directory}/sock",
            f"--bind-address={LOOPBACK}",
            f"--port={port}",
            "--skip-grant-tables",
            "--skip-networking=OFF",
            "--skip-innodb",
            "--default-storage-engine=MyISAM",
        ]
        if certificate and key:
            argv.append(f"--ssl-cert={install(certificate, directory)}")
            argv.append(f"--ssl-key={install(key, directory)}")
        else:
            argv.append("--skip-ssl")
        with running(argv, port, drop_root=True):
            yield port
