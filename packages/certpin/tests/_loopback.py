"""Pytest plugin that fails each test that connects to another machine.

An audit hook sees each connect and each lookup of Python's own sockets, in any thread (not those of
uvloop, which doesn't use Python's sockets, nor those of other programs). It raises an exception
that is not an ``OSError``, so that no code under test handles it as a network failure; and the test
fails at its end, even if the exception was caught.

The user's proxy is not used.

Names under ``.invalid`` never exist (RFC 6761, 6.4). The hook raises ``socket.gaierror`` for them,
as a lookup would, so that a test can look up a name that doesn't exist.

The conftest.py of the repository loads it.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, MutableMapping

_CONNECTS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy")
_TERMINAL = ("COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR")
_THIS_MACHINE = socket.gethostname().lower()  # smtplib and http.server look up their own name
_attempts: list[str] = []


class OutsideNetworkError(BaseException):
    """A test tried to connect to another machine. ``except Exception`` doesn't catch it."""


def pytest_configure() -> None:
    forget_user(os.environ)
    sys.addaudithook(_watch)


def forget_user(environment: MutableMapping[str, str]) -> None:
    """Remove the user's variables that name a proxy or describe a terminal.

    Servers on the loopback are not behind the proxy; only pip keeps it. Tests of colours and widths
    set theirs.
    """
    if proxy := environment.get("https_proxy") or environment.get("HTTPS_PROXY"):
        environment.setdefault("PIP_PROXY", proxy)
    for name in (*_PROXIES, *map(str.upper, _PROXIES), *_TERMINAL):
        environment.pop(name, None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    yield
    if _attempts:
        tried = ", ".join(_attempts)
        _attempts.clear()
        pytest.fail(f"{item.nodeid} tried to reach {tried}; tests stay on the loopback")


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if event in _CONNECTS:
        _allow_address(args[1])
    elif event in _LOOKUPS:
        _allow_name(args[0])


def _allow_address(address: object) -> None:
    """Raise ``OutsideNetworkError`` if a socket address is one of another machine.

    Allowed are loopback addresses (tuples), UNIX sockets, and connected sockets (``None``).
    """
    if isinstance(address, tuple) and not _is_local(str(address[0])):
        _refuse(f"{address[0]}:{address[1]}")


def _allow_name(name: str | bytes | None) -> None:
    host = name.decode(errors="replace") if isinstance(name, bytes) else name
    if not host or _is_address(host) or _is_local(host):
        return  # an address needs no lookup; connecting to it is checked separately
    if host.rstrip(".").lower().endswith(".invalid"):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    _refuse(host)


def _is_local(host: str) -> bool:
    if _is_address(host):
        address = ipaddress.ip_address(host.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return (mapped or address).is_loopback
    name = host.rstrip(".").lower()
    return name == _THIS_MACHINE or name.rpartition(".")[2] == "localhost"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _refuse(where: str) -> None:
    _attempts.append(where)
    raise OutsideNetworkError(f"a test tried to reach {where}; tests stay on the loopback")
