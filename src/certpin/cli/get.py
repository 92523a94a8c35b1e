"""``certpin get``: one request, pinned. A small curl that refuses what the pin file does not hold."""

from __future__ import annotations

import base64
import http.client
import socket
import sys
from urllib.parse import SplitResult, urlsplit

import click

from certpin.cli.describe import print_json
from certpin.cli.options import json_option, pin_file_option, timeout_option
from certpin.errors import DialError, PinError
from certpin.pinfile import PinSet
from certpin.probe import split_address
from certpin.tls import PinnedSSLContext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# What is kept in memory of an answer; a longer one is cut off with an error, not in silence.
MAX_BODY_BYTES = 64 * 1024 * 1024


@click.command()
@click.argument("url")
@pin_file_option
@click.option("-X", "--request", "method", default="GET", show_default=True, help="The method.")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME: VALUE", help="A header.")
@click.option("-d", "--data", help="A body to send.")
@click.option("-i", "--include", is_flag=True, help="Print status and headers too.")
@click.option("--connect", metavar="ADDRESS[:PORT]", help="Call this address instead.")
@timeout_option
@json_option
def get(
    url: str,
    path: Path,
    method: str,
    headers: tuple[str, ...],
    data: str | None,
    include: bool,
    connect: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Make one request, pinned.

    URL is an https address whose host the pin file covers. The request is sent only after a pin
    matched. Redirects are shown, not followed. The body goes to standard output.

    Exit code 0: there was an answer, whatever its status. 1: the connection was refused.
    3: there was no answer.
    """
    parts = _split(url)
    context = PinnedSSLContext(PinSet.load(path))
    connection = _Connection(parts.netloc.rpartition("@")[2], context, connect, timeout)
    try:
        connection.request(method, _target(parts), data, dict(map(_header, headers)))
        response = connection.getresponse()
        body = response.read(MAX_BODY_BYTES + 1)
    except PinError:
        raise
    except (OSError, http.client.HTTPException) as exc:
        raise DialError(
            f"no answer: {exc}", host=connection.host, port=connection.port, fix="certpin pin HOST"
        ) from exc
    finally:
        connection.close()
    if len(body) > MAX_BODY_BYTES:
        raise click.ClickException(f"the answer has more than {MAX_BODY_BYTES} bytes")
    _show(response, body, include=include, as_json=as_json)


class _Connection(http.client.HTTPSConnection):
    """An HTTPS connection that may call another address than its host's."""

    def __init__(
        self, authority: str, context: PinnedSSLContext, connect: str | None, timeout: float
    ) -> None:
        host, port = split_address(authority)
        super().__init__(host, port, timeout=timeout)
        self._address = split_address(connect, port) if connect else (host, port)
        self._pinned = context

    def connect(self) -> None:
        plain = socket.create_connection(self._address, self.timeout)
        self.sock = self._pinned.wrap_socket(plain, server_hostname=self.host)


def _split(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise click.UsageError(
            f"{url[:80]!r} is not an https address: without TLS there is nothing to pin"
        )
    return parts


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise click.UsageError(f"{text!r} is not a header: write NAME: VALUE")
    return name.strip(), value.strip()


def _show(response: http.client.HTTPResponse, body: bytes, *, include: bool, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "status": response.status,
                "headers": response.getheaders(),
                "body_base64": base64.b64encode(body).decode(),
            }
        )
        return
    if include:
        click.echo(f"{response.status} {response.reason}")
        for name, value in response.getheaders():
            click.echo(f"{name}: {value}")
        click.echo()
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()
