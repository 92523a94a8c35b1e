"""Resolve the host names of the tests (``*.test``) to 127.0.0.1, however a client looks them up."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

_ZONE = ".test"  # RFC 6761 section 6.2: names for tests
_really = socket.getaddrinfo


def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    """Do the same as ``socket.getaddrinfo``, but resolve each name below ``.test`` to 127.0.0.1."""
    name = host.decode() if isinstance(host, bytes) else host
    ours = isinstance(name, str) and name.rstrip(".").lower().endswith(_ZONE)
    return _really("127.0.0.1" if ours else host, *args, **kwargs)


def resolve_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Python and asyncio resolve each name below ``.test`` to 127.0.0.1 during a test."""
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
