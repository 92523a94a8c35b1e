"""A real web server: nginx, with many names on one TLS port, HTTP/2 and HTTP/1.1."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

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

# One worker, so that requests are answered and logged in the order in which they arrived. It
# runs as the user of the tests, who owns the files. A reload ends no connection.
_CONFIGURATION = """\
daemon off;
worker_processes 1;
worker_shutdown_timeout 5s;
{user}
pid {directory}/pid;
error_log stderr warn;
events {{ }}
http {{
  log_format arrived "$server_name $scheme $server_protocol $request_method $request_uri";
  log_format details escape=json '{{"name":"$server_name","method":"$request_method",'
    '"uri":"$request_uri","host":"$http_host","body":"$request_body","test":"$http_x_test",'
    '"connection":"$connection"}}';
  access_log {directory}/access.log arrived;
  access_log {directory}/details.log details;
  server_tokens off;
  ssl_protocols TLSv1.2 TLSv1.3;
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
    location /worker {{ access_log off; return 200 "$pid"; }}
  }}
  server {{
    listen unix:{directory}/echo;
    access_log off;
    location / {{ return 200 "echo\\n"; }}
  }}
{servers}
}}
"""
_SERVER = """\
  server {{
    {listen}
    server_name {name};
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    root {directory};
    location / {{ {answer} }}
    location /redirect {{ return 302 $arg_to; }}
    location /echo {{ proxy_pass http://unix:{directory}/echo:/; }}
    location /large {{ }}
  }}
"""


@dataclass(frozen=True)
class Nginx:
    """A running nginx server: its ports, and the requests that it received.

    The path ``/redirect?to=URL`` is redirected to the URL, ``/large`` has 70 MiB, ``/echo`` reads a
    body and logs it for ``details``, and any other path returns a greeting.
    """

    port: int
    plain: int  # the port of http://
    log: Path
    pid: int
    _marks: Iterator[int] = field(default_factory=itertools.count)

    def arrived(self, name: str) -> list[str]:
        """Return all requests for a server name so far, as texts: SCHEME PROTOCOL METHOD URI.

        The server name of all requests without TLS is ``in-clear-text``.
        """
        return [request for server, request in self.arrivals() if server == name]

    def arrivals(self) -> list[tuple[str, str]]:
        """Return all requests so far, in order: pairs of the server name and the request.

        A request is a text: SCHEME PROTOCOL METHOD URI.
        """
        mark = f"/mark-{next(self._marks)}"
        self._ask_in_clear_text(mark)
        parts = (line.partition(" ") for line in self._lines_until(mark))
        return [(server, request) for server, _, request in parts]

    def details(self) -> list[dict[str, Any]]:
        """Return all requests so far, in order, as dictionaries.

        The keys are name, method, uri, host, body, test (the value of a header) and connection (a
        number).
        """
        self.arrived("")
        # nginx writes the bytes of a request that is not UTF-8 as they are.
        text = (self.log.parent / "details.log").read_text("utf-8", errors="surrogateescape")
        lines = text.split("\n")[:-1]
        found: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [each for each in found if not each["uri"].startswith("/mark-")]

    def use(self, name: str, identity: Identity) -> None:
        """Replace the certificate and key of a server name, and reload nginx as an operator would.

        Return when the old worker process, which could still accept connections, has ended: later
        connections get the new chain.
        """
        identity.write(self.log.parent, name)
        before = int(self._ask_in_clear_text("/worker"))
        os.kill(self.pid, signal.SIGHUP)
        until = time.monotonic() + _DEADLINE
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < until:
                os.kill(before, 0)
                time.sleep(_POLL)
            raise ServerFailedError("nginx does not renew its certificate")

    def _lines_until(self, mark: str) -> list[str]:
        until = time.monotonic() + _DEADLINE
        while time.monotonic() < until:
            lines = self.log.read_text().splitlines()
            if any(line.endswith(mark) for line in lines):
                return [line for line in lines if "/mark-" not in line]
            time.sleep(_POLL)
        raise ServerFailedError("nginx does not write its log")

    def _ask_in_clear_text(self, path: str) -> bytes:
        connection = http.client.HTTPConnection(LOOPBACK, self.plain, timeout=_DEADLINE)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read()


@contextlib.contextmanager
def nginx(
    identities: Mapping[str, Identity],
    *,
    only_known_names: bool = False,
    folders: Mapping[str, Path] | None = None,
    lines: str = "",
) -> Iterator[Nginx]:
    """Run nginx on loopback, with several server names on one TLS port, while the block runs.

    It listens on 127.0.0.1 and, if the machine has it, on ::1.

    Args:
        identities: the certificate and key of each server name; the first is the default.
        only_known_names: refuse other names in the handshake.
        folders: for server names that serve files, the folder of the files.
        lines: configuration to add to the server names in ``folders``.
    """
    program = require("nginx")
    with scratch() as directory:
        port, plain = free_port(), free_port()
        listen = " ".join(f"listen {address}:{port} ssl;" for address in _addresses())
        if _has_http2(program):
            with_http2 = f"{listen} http2 on;"
        else:
            with_http2 = listen.replace(" ssl;", " ssl http2;")
        blocks = [
            _block(directory, with_http2, name, identity, _files(name, folders, lines))
            for name, identity in identities.items()
        ]
        if only_known_names:
            default = listen.replace(" ssl;", " ssl default_server;")
            blocks.append(f"  server {{ {default} ssl_reject_handshake on; }}\n")
        (directory / "large").touch()
        os.truncate(directory / "large", 70 * 1024 * 1024)  # sparse: it takes no space
        configuration = directory / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                directory=directory,
                user="user root;" if os.geteuid() == 0 else "",
                address=LOOPBACK,
                plain=plain,
                servers="".join(blocks),
            )
        )
        argv: list[str | Path] = [program, "-p", directory, "-c", configuration, "-e", "stderr"]
        with running(argv, [port, plain]) as process:
            yield Nginx(port, plain, directory / "access.log", process.pid)


@cache
def _has_http2(program: Path) -> bool:
    """Return True if nginx has the directive ``http2`` (1.25.1), and not only its old form."""
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", said)
    assert found, said
    return tuple(map(int, found.groups())) >= (1, 25, 1)


def _block(
    directory: Path,
    listen: str,
    name: str,
    identity: Identity,
    files: str,
) -> str:
    """Return the configuration of one server name, and write its chain and key to the folder."""
    certificate, key = identity.write(directory, name)
    return _SERVER.format(
        listen=listen,
        name=name,
        certificate=certificate,
        key=key,
        directory=directory,
        answer=files or f'return 200 "hello from {name}\\n";',
    )


def _files(name: str, folders: Mapping[str, Path] | None, lines: str) -> str:
    folder = (folders or {}).get(name)
    return f"root {folder}; {lines}" if folder else ""


def _addresses() -> list[str]:
    return [LOOPBACK, "[::1]"] if has_ipv6() else [LOOPBACK]


def has_ipv6() -> bool:
    """Return True if this machine has the IPv6 loopback."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as listener:
        listener.bind(("::1", 0))
        return True
    return False
