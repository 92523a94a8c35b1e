"""A real LDAP server with StartTLS: OpenLDAP's slapd, without a database."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.servers._run import LOOPBACK, free_port, install, require, running, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def ldap(certificate: Path | None = None, key: Path | None = None) -> Iterator[int]:
    """Run slapd while the block runs, and yield its port.

    Without certificate and key (PEM files) it refuses StartTLS.
    """
    program = require("slapd")
    port = free_port()
    with scratch(drop_root=True) as directory:
        lines = [f"pidfile {directory}/slapd.pid", f"argsfile {directory}/slapd.args"]
        if certificate and key:
            lines.append(f"TLSCertificateFile {install(certificate, directory)}")
            lines.append(f"TLSCertificateKeyFile {install(key, directory)}")
        configuration = directory / "slapd.conf"
        configuration.write_text("\n".join(lines) + "\n")
        configuration.chmod(0o644)
        # -d 0 keeps it in the foreground, and quiet.
        argv: list[str | Path] = [
            program,
            "-d",
            "0",
            "-f",
            configuration,
            "-h",
            f"ldap://{LOOPBACK}:{port}/",
        ]
        with running(argv, port, drop_root=True):
            yield port
