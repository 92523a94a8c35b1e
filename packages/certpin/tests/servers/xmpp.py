"""A real XMPP server with STARTTLS: Prosody, for clients, and not for other servers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.servers._run import LOOPBACK, free_port, install, require, running, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONFIGURATION = """\
data_path = "{directory}"
pidfile = "{directory}/prosody.pid"
interfaces = {{ "{address}" }}
c2s_ports = {{ {port} }}
modules_enabled = {{ {modules} }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
modules_disabled = {{ "s2s", "offline" }}
log = {{ {{ levels = {{ min = "warn" }}, to = "console" }} }}
VirtualHost "{domain}"
"""
_TLS = """\
  ssl = {{ certificate = "{certificate}", key = "{key}" }}
"""


@contextlib.contextmanager
def xmpp(domain: str, certificate: Path | None = None, key: Path | None = None) -> Iterator[int]:
    """Run Prosody for the XMPP domain ``domain`` while the block runs, and yield its port.

    Without certificate and key (PEM files) it offers no STARTTLS.
    """
    program = require("prosody")
    port = free_port()
    with scratch(drop_root=True) as directory:
        text = _CONFIGURATION.format(
            directory=directory,
            address=LOOPBACK,
            port=port,
            domain=domain,
            modules='"saslauth", "tls"' if certificate else '"saslauth"',
        )
        if certificate and key:
            text += _TLS.format(
                certificate=install(certificate, directory), key=install(key, directory)
            )
        configuration = directory / "prosody.cfg.lua"
        configuration.write_text(text)
        configuration.chmod(0o644)
        with running([program, "-F", "--config", configuration], port, drop_root=True):
            yield port
