"""Real CONNECT proxies: tinyproxy, reached by HTTP, or over TLS through an nginx in front of it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.servers._run import LOOPBACK, free_port, hand_over, require, running, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.lab import Identity

_TINYPROXY = """\
Port {port}
Listen {address}
Timeout 60
MaxClients 50
LogLevel Connect
LogFile "{log}"
"""
_NGINX = """\
load_module {module};
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr warn;
events {{ }}
stream {{
  server {{
    listen {address}:{port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    proxy_pass {address}:{behind};
  }}
}}
"""


@dataclass(frozen=True)
class Proxy:
    """A running proxy: its URL, and its log, which has the requests that it received."""

    url: str
    log: Path

    def asked(self) -> list[str]:
        """Return the request lines so far, such as ``CONNECT host:port HTTP/1.1``."""
        lines = self.log.read_text().splitlines()
        return [line.rpartition("): ")[2] for line in lines if "Request (" in line]


@contextlib.contextmanager
def http_proxy() -> Iterator[Proxy]:
    """Run tinyproxy while the block runs. Clients connect to it without TLS."""
    program = require("tinyproxy")
    port = free_port()
    with scratch(drop_root=True) as directory:
        log = directory / "log"
        log.touch()
        hand_over(log)
        configuration = directory / "tinyproxy.conf"
        configuration.write_text(_TINYPROXY.format(port=port, address=LOOPBACK, log=log))
        configuration.chmod(0o644)
        with running([program, "-d", "-c", configuration], port, drop_root=True):
            yield Proxy(f"http://{LOOPBACK}:{port}", log)


@contextlib.contextmanager
def https_proxy(identity: Identity) -> Iterator[Proxy]:
    """Run a proxy to which clients connect over TLS, while the block runs.

    It is tinyproxy behind an nginx, which has this certificate and key for 127.0.0.1.
    """
    program = require("nginx")
    module = require("ngx_stream_module.so")
    port = free_port()
    with http_proxy() as behind, scratch() as directory:
        certificate, key = identity.write(directory)
        configuration = directory / "nginx.conf"
        configuration.write_text(
            _NGINX.format(
                module=module,
                directory=directory,
                address=LOOPBACK,
                port=port,
                certificate=certificate,
                key=key,
                behind=behind.url.rpartition(":")[2],
            )
        )
        argv: list[str | Path] = [program, "-p", directory, "-c", configuration, "-e", "stderr"]
        with running(argv, port):
            yield Proxy(f"https://{LOOPBACK}:{port}", behind.log)
