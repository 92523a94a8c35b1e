"""nginx and HAProxy as clients under test of the lab: each starts for one proxied request."""

from __future__ import annotations

import http.client
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from certpin.lab.case import CannotServeError
from certpin.lab.client import environment
from certpin.lab.verdict import Ending
from tests.servers._run import LOOPBACK, ServerFailedError, free_port, require, running

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from certpin.lab.target import Target

_PATIENCE = 15.0  # seconds until an answer must be there

_NGINX = """\
daemon off;
master_process off;
pid {name}.pid;
error_log stderr warn;
events {{}}
http {{
  access_log off;
  client_body_temp_path {name}.tmp;
  proxy_temp_path {name}.tmp;
  fastcgi_temp_path {name}.tmp;
  uwsgi_temp_path {name}.tmp;
  scgi_temp_path {name}.tmp;
  server {{
    listen 127.0.0.1:{port};
{locations}
  }}
}}
"""
_LOCATION = """\
    location / {{
      include {export};
      proxy_pass https://127.0.0.1:{lab};
      proxy_set_header Host {host};
      proxy_http_version 1.1;
    }}
"""
_HAPROXY = """\
defaults
  mode http
  retries 0
  timeout connect 10s
  timeout client 10s
  timeout server 10s

frontend proof
  bind 127.0.0.1:{port}
  default_backend lab

backend lab
{export}
  http-request set-header Host {host}
  server lab 127.0.0.1:{lab}
"""


class Proxy:
    """A client under test that starts nginx or HAProxy with the exported lines for each request."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._running: set[subprocess.Popen[bytes]] = set()

    def run(self, target: Target) -> Ending:
        """Send one request to a target through the proxy, and return how it ended.

        A status of 500 or more counts as a refusal.
        """
        if target.clock and self.name == "haproxy":
            raise CannotServeError("HAProxy does not begin under libfaketime")
        export = target.export(self.name)
        with suppress(ServerFailedError):  # another test may have got its port meanwhile
            return self._asked(export, target)
        try:
            return self._asked(export, target)
        except ServerFailedError as exc:
            return Ending(None, problem=str(exc))

    def _asked(self, export: Path, target: Target) -> Ending:
        """Start the proxy, and send the request. Return how it ended.

        Raises ``ServerFailedError`` if the proxy does not start.
        """
        port = free_port()
        words = self._configure(export, port, target)
        variables = environment(target, "port")
        with running(words, port, cwd=export.parent, env=variables) as process:
            self._running.add(process)
            try:
                return ask(port, f"/{target.canary}")
            finally:
                self._running.discard(process)

    def stop(self) -> None:
        """End the running proxies, from another thread."""
        for process in tuple(self._running):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _configure(self, export: Path, port: int, target: Target) -> list[str | Path]:
        name = f"{target.case}-{port}"
        values = {"name": name, "port": port, "lab": target.port, "host": target.host}
        config = export.with_name(f"{name}.cfg")
        words: list[str | Path] = [require(self.name)]
        if self.name == "nginx":
            text = nginx_conf(name, port, _LOCATION.format(export=export.name, **values))
            words += ["-p", export.parent, "-c", config]
        else:
            text = _HAPROXY.format(export=export.read_text(encoding="utf-8"), **values)
            words += ["-db", "-f", config]
        config.write_text(text, encoding="utf-8")
        return words


def nginx_conf(name: str, port: int, locations: str) -> str:
    """Return a configuration of nginx with one server on the loopback, which runs in one process.

    Args:
        name: the name of its files, without extension.
        port: its port.
        locations: the ``location`` blocks of the server.
    """
    return _NGINX.format(name=name, port=port, locations=locations)


def ask(port: int, path: str) -> Ending:
    """Send a request to a proxy on the loopback. A status of 500 or more counts as a refusal."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return Ending(int(answer.status >= 500), answer.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException) as exc:
        return Ending(1, f"{type(exc).__name__}: {exc}")
    finally:
        connection.close()
