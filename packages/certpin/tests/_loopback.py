"""Tests talk to this machine alone: a connection to anywhere else fails the test that tried.

An audit hook sees each connect and each lookup that Python's own sockets make, in any thread
(not those of uvloop, which has sockets of its own, nor those of other programs). It raises
something that is no ``OSError``, so that no code under test takes it for a network failure; and
the test fails at its end, should someone have swallowed even that.

Names under ``.invalid`` never exist (RFC 6761, 6.4). They are answered here, as a resolver
would, so that a test can look up a name that is not there.

Loaded by tests/conftest.py: ``pytest_plugins = ["tests._loopback", …]``.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

_CONNECTS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
_THIS_MACHINE = socket.gethostname().lower()  # smtplib and http.server ask for their own name
_attempts: list[str] = []


class OutsideNetworkError(BaseException):
    """A test tried to leave this machine. Not an ``Exception``: no handler shall take it."""


def pytest_configure() -> None:
    sys.addaudithook(_watch)


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
    """IP addresses come as tuples. All else is a UNIX socket, or already connected (``None``)."""
    if isinstance(address, tuple) and not _is_local(str(address[0])):
        _refuse(f"{address[0]}:{address[1]}")


def _allow_name(name: str | bytes | None) -> None:
    host = name.decode(errors="replace") if isinstance(name, bytes) else name
    if not host or _is_address(host) or _is_local(host):
        return  # an address is not asked for; connecting to it is another matter
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
