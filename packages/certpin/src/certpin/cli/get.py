"""``certpin get``: make one HTTP request over a pinned connection, like a small curl."""

from __future__ import annotations

import base64
import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from certpin.cli.options import json_option, pin_file_option, timeout_option
from certpin.cli.reply import print_json

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from pathlib import Path

    from certpin.cli.get_request import PinnedConnection, Request
    from certpin.errors import DialError
    from certpin.pins import HostServer, PinSet

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
    port ([[host.server]]), the first of them without STARTTLS is contacted. The request is sent
    only after a pin matched. Redirects are not followed. The body of the response is written to
    standard output. The time limit also applies to the headers of the response, and to each pause
    in the body. The whole response may take 60 times as long.

    \b
    certpin get https://api.bank.example/health
    certpin get https://api.bank.example/login -H 'Content-Type: application/json' -d '{}'

    Exit code 0: there was a response, with any status. 1: the connection was refused, or the pin
    file does not have the host. 3: there was no response.
    """  # noqa: D301  # click reads the \b itself
    from certpin.cli.get_request import PinnedConnection, Request
    from certpin.pinfile import PinSet
    from certpin.tls import PinnedSSLContext

    request = Request.read(url, method, headers, data)
    pins = PinSet.load(path)
    _require_policy(pins, request)
    connect = _listed_address(pins, request) if connect is None else connect
    server = _contacted_server(request, connect)
    context = PinnedSSLContext(_only_server(pins, request, server))
    with closing(PinnedConnection(request, context, connect, timeout)) as connection:
        response, body = _exchange(connection, request, _check_command(pins, request, server))
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


def _require_policy(pins: PinSet, request: Request) -> None:
    """Refuse a request to a host that is not pinned, before the host's name is resolved.

    Raises:
        UnpinnedHostError: no policy covers the host.
    """
    import shlex

    from certpin.pins.hosts import short_address
    from certpin.tls.failures import unpinned_error

    if pins.policy_for(request.host) is None:
        address = shlex.quote(short_address(request.host, request.port))
        fix = f"certpin add {address} --backup-key FILE"
        raise unpinned_error(request.host, pins.name, fix=fix)


def _listed_address(pins: PinSet, request: Request) -> str | None:
    """Return the address of the first server that the pin file lists for the request's port.

    Servers that use STARTTLS are skipped. Return None if the pin file lists no server for the
    port: the caller then resolves the host's name.

    Raises:
        click.UsageError: all servers that are listed for the port use STARTTLS, and not HTTPS.
    """
    from certpin.probe import endpoint_at, join_address, served_at

    policy = pins.policy_for(request.host)
    listed = [
        endpoint
        for name, server in (served_at(policy) if policy and policy.servers else ())
        if name == request.host and (endpoint := endpoint_at(name, server)).port == request.port
    ]
    for endpoint in listed:
        if not endpoint.starttls:
            return join_address(*endpoint.address)
    if listed:
        raise click.UsageError(
            f"the server at port {request.port} begins with {listed[0].starttls}, and not with "
            f"HTTPS: certpin check --host {join_address(request.host, request.port)}"
        )
    return None


def _contacted_server(request: Request, connect: str | None) -> HostServer:
    from certpin.pins import HostServer
    from certpin.probe import split_address

    address = ("", request.port) if connect is None else split_address(connect, request.port)
    return HostServer(*address)


def _only_server(pins: PinSet, request: Request, server: HostServer) -> PinSet:
    """Return the pin set, changed so that errors name the server that ``certpin get`` contacts.

    Only the policy of the request's host is changed:

    - If the server has the host's own name, the changed policy lists no servers, so that errors
      name the host.
    - Otherwise the changed policy lists only this server. The policy's pattern is replaced by the
      host, because a policy for a wildcard can't list a server that the wildcard doesn't cover.
    """
    from certpin.pins import HostPattern

    policy = pins.policy_for(request.host)
    assert policy is not None  # noqa: S101  # _require_policy has checked it
    if server.address in {"", request.host}:
        only = replace(policy, servers=())  # errors name the host and the port of the connection
    else:
        only = replace(policy, pattern=HostPattern.parse(request.host), servers=(server,))
    policies = (only if each is policy else each for each in pins.policies)
    return replace(pins, policies=tuple(policies))


def _check_command(pins: PinSet, request: Request, server: HostServer) -> str:
    """Return a ``certpin pin`` command that shows the chain of ``server``, for error messages.

    The command trusts the same authorities as the policy that ``pins`` has for the request's host.
    """
    from certpin.pins.verdict import pin_command

    policy = pins.policy_for(request.host)
    assert policy is not None  # noqa: S101  # _require_policy has checked it
    return pin_command(policy, request.host, server)


def _exchange(
    connection: PinnedConnection, request: Request, check: str
) -> tuple[HTTPResponse, bytes]:
    """Send the request over a pinned connection, and return the response and its whole body.

    Args:
        connection: the connection.
        request: the request.
        check: a command that examines the server, for errors.

    Raises:
        PinError: no pin matches.
        DialError: there is no complete response, or the response is too long.
    """
    from http.client import HTTPException

    from certpin.errors import PinError
    from certpin.probe.dial import tls_failure
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
        raise _no_answer(request, tls_failure(exc)[0], check, is_slow=is_slow) from exc
    if len(body) > MAX_BODY_BYTES:
        raise _no_answer(request, f"the response has more than {MAX_BODY_BYTES} bytes", check)
    if response.length:
        raise _no_answer(request, f"the response ended {response.length} bytes too early", check)
    return response, body


def _no_answer(request: Request, problem: str, check: str, *, is_slow: bool = False) -> DialError:
    from certpin.errors import DialError

    fix = f"check the server: {check}"
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
