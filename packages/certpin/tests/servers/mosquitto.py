"""A real MQTT broker with TLS: Mosquitto."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.servers._run import LOOPBACK, free_port, install, require, running, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONFIGURATION = """\
listener {port} {address}
certfile {certificate}
keyfile {key}
allow_anonymous true
persistence false
"""


@contextlib.contextmanager
def mosquitto(certificate: Path, key: Path) -> Iterator[int]:
    """Run Mosquitto with this certificate and key (PEM), and yield its port for MQTT over TLS."""
    program = require("mosquitto")
    port = free_port()
    with scratch(drop_root=True) as directory:
        configuration = directory / "mosquitto.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                port=port,
                address=LOOPBACK,
                certificate=install(certificate, directory),
                key=install(key, directory),
            )
        )
        configuration.chmod(0o644)
        with running([program, "-c", configuration], port, drop_root=True):
            yield port
