"""``certpin get``: make one HTTP request over a pinned connection, like a small curl."""

from __future__ import annotations

import base64
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import click

from certpin.cli.options import file_option, json_option, pin_file_option, timeout_option
from certpin.cli.reply import print_json

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from pathlib import Path

    from certpin.cli.request import PinnedConnection, Request
    from certpin.errors import DialError
    from certpin.pins import PinSet

# The request with the whole response may take this many times the timeout: ten minutes by default.
_WHOLE = 60

# The response is kept in memory. A longer one is an error, and is not cut off silently.
MAX_BODY_BYTES = 64 * 1024 * 1024


@click.command()
@click.argument("url")
@pin_file_option
@click.option(
    "-X",
    "--request",
    "method",
    metavar="METHOD",
    help="The method; by default GET, or POST if there is a body.",
)
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="NAME: VALUE",
    help="A header. May be repeated.",
)
@click.option("-d", "--data", help="A body to send.")
@click.option("-i", "--include", is_flag=True, help="Print status and headers too.")
@click.option(
    "--connect",
    metavar="ADDRESS[:PORT]",
    help="Connect to this address instead of the host's.",
)
@timeout_option
@json_option
def get(
    url: str,
    path: Path,
    method: str | None,
    headers: tuple[str, ...],
    data: str | None,
    include: bool,
    connect: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Make one request over a pinned connection.

    Use it to see whether a pinned client accepts your server, and instead of curl in scripts.

    URL is an https URL with a host of the pin file. If the file lists servers of the host at that
    port ([[host.server]]), the first of them is contacted. The request is sent only after a pin
    matched. Redirects are not followed. The body of the response is written to standard output.
    The time limit also applies to the headers of the response, and to each pause in the body. The
    whole response may take 60 times as long.

    \b
    certpin get https://api.bank.example/health
    certpin get https://api.bank.example/login -H 'Content-Type: application/json' -d '{}'

    Exit code 0: there was a response, with any status. 1: the connection was refused, or the pin
    file does not have the host. 3: there was no response.
    """  # noqa: D301  # click reads the \b itself
    from certpin.cli.request import PinnedConnection, Request
    from certpin.pinfile import PinSet
    from certpin.tls import PinnedSSLContext

    request = Request.read(url, method, headers, data)
    pins = PinSet.load(path)
    _require_policy(pins, request, path)
    context = PinnedSSLContext(pins)
    connect = _listed_address(pins, request) if connect is None else connect
    with closing(PinnedConnection(request, context, connect, timeout)) as connection:
        response, body = _exchange(connection, request)
    if as_json:
        print_json(
            {
                "status": response.status,
                "headers": response.getheaders(),
                "body_base64": base64.b64encode(body).decode(),
            }
        )
    else:
        _print_response(response, body, include=include)


def _require_policy(pins: PinSet, request: Request, path: Path) -> None:
    """Refuse a request to a host that is not pinned, before the host's name is resolved.

    Raises:
        UnpinnedHostError: no policy covers the host.
    """
    import shlex

    from certpin.pins.hosts import short_address
    from certpin.tls.failures import unpinned_error

    if pins.policy_for(request.host) is None:
        address = shlex.quote(short_address(request.host, request.port))
        fix = f"certpin add {address}{file_option(path)} --backup-key FILE"
        raise unpinned_error(request.host, pins.name, fix=fix)


def _listed_address(pins: PinSet, request: Request) -> str | None:
    """Return the address of the first server that the pin file lists for the request's port.

    Return None if it lists none: then the host's name is resolved.
    """
    from certpin.probe import endpoint_at, join_address, served_at

    policy = pins.policy_for(request.host)
    for name, server in served_at(policy) if policy and policy.servers else ():
        endpoint = endpoint_at(name, server)
        if name == request.host and not endpoint.starttls and endpoint.port == request.port:
            return join_address(*endpoint.address)
    return None


def _exchange(connection: PinnedConnection, request: Request) -> tuple[HTTPResponse, bytes]:
    """Send the request over a pinned connection, and return the response and its whole body.

    Raises:
        PinError: no pin matches.
        DialError: there is no complete response, or the response is too long.
    """
    from http.client import HTTPException

    from certpin.errors import PinError
    from certpin.probe import describe_error
    from certpin.support.network import time_limit

    seconds = connection.seconds
    try:
        connection.connect()
        with time_limit(connection.sock, _WHOLE * seconds):
            request.send(connection)
            # Up to Python 3.14, http.client skips any number of responses with the status 100.
            with time_limit(connection.sock, seconds):
                response = connection.getresponse()
            body = response.read(MAX_BODY_BYTES + 1)
    except PinError:
        raise
    except (OSError, HTTPException) as exc:
        is_slow = isinstance(exc, TimeoutError)
        raise _no_answer(request, describe_error(exc), is_slow=is_slow) from exc
    if len(body) > MAX_BODY_BYTES:
        raise _no_answer(request, f"the response has more than {MAX_BODY_BYTES} bytes")
    if response.length:
        raise _no_answer(request, f"the response ended {response.length} bytes too early")
    return response, body


def _no_answer(request: Request, problem: str, *, is_slow: bool = False) -> DialError:
    from certpin.errors import DialError
    from certpin.probe import join_address

    fix = f"check the server: certpin pin {join_address(request.host, request.port)}"
    return DialError(
        f"no response: {problem}",
        host=request.host,
        port=request.port,
        fix=fix + ("; or allow more time: --timeout SECONDS" if is_slow else ""),
    )


def _print_response(response: HTTPResponse, body: bytes, *, include: bool) -> None:
    from certpin.support.text import printable

    if include:
        click.echo(printable(f"{response.status} {response.reason}"))
        for name, value in response.getheaders():
            click.echo(printable(f"{name}: {value}"))
        click.echo()
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()
