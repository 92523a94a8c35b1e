"""A real web server: nginx, with many names on one TLS port, HTTP/2 and HTTP/1.1."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.servers._run import (
    LOOPBACK,
    ServerFailedError,
    free_port,
    require,
    running,
    scratch,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from certpin.lab import Identity

_DEADLINE = 10.0  # seconds until a request must be in the log
_POLL = 0.01

# One process, so that requests are answered and logged in the order in which they arrived.
_CONFIGURATION = """\
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr warn;
events {{ }}
http {{
  log_format arrived "$server_name $scheme $server_protocol $request_method $request_uri";
  access_log {directory}/access.log arrived;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  default_type text/plain;
  server {{
    listen {address}:{plain};
    server_name in-clear-text;
    location / {{ return 200 "hello in clear text\\n"; }}
  }}
{servers}
}}
"""
_SERVER = """\
  server {{
    listen {address}:{port} ssl;
    http2 on;
    server_name {name};
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location / {{ return 200 "hello from {name}\\n"; }}
    location /redirect {{ return 302 $arg_to; }}
  }}
"""


@dataclass(frozen=True)
class Nginx:
    """Where it listens, and what arrived.

    ``https://NAME:port/redirect?to=URL`` answers with a redirect, any other path with a greeting.
    """

    port: int
    plain: int  # the port of http://
    log: Path
    _marks: Iterator[int] = field(default_factory=itertools.count)

    def arrived(self, name: str) -> list[str]:
        """The requests for a server name that were sent before now, as "SCHEME PROTOCOL METHOD URI".

        ``in-clear-text`` is the name of all those that came without TLS.
        """
        mark = f"/mark-{next(self._marks)}"
        self._send_in_clear_text(mark)
        lines = (line.partition(" ") for line in self._lines_until(mark))
        return [request for server, _, request in lines if server == name]

    def _lines_until(self, mark: str) -> list[str]:
        until = time.monotonic() + _DEADLINE
        while time.monotonic() < until:
            lines = self.log.read_text().splitlines()
            if any(line.endswith(mark) for line in lines):
                return [line for line in lines if "/mark-" not in line]
            time.sleep(_POLL)
        raise ServerFailedError("nginx does not write its log")

    def _send_in_clear_text(self, path: str) -> None:
        connection = http.client.HTTPConnection(LOOPBACK, self.plain, timeout=_DEADLINE)
        with contextlib.closing(connection):
            connection.request("GET", path)
            connection.getresponse().read()


@contextlib.contextmanager
def nginx(identities: Mapping[str, Identity]) -> Iterator[Nginx]:
    """Run nginx with an identity for each server name, chosen by SNI; the first is the default."""
    program = require("nginx")
    with scratch() as directory:
        server = Nginx(free_port(), free_port(), directory / "access.log")
        blocks = []
        for name, identity in identities.items():
            certificate, key = identity.write(directory, name)
            blocks.append(
                _SERVER.format(
                    address=LOOPBACK, port=server.port, name=name, certificate=certificate, key=key
                )
            )
        configuration = directory / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                directory=directory,
                address=LOOPBACK,
                plain=server.plain,
                servers="".join(blocks),
            )
        )
        argv = [program, "-p", directory, "-c", configuration, "-e", "stderr"]
        with running(argv, [server.port, server.plain]):
            yield server
