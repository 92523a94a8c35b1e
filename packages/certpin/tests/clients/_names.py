"""Names of the tests, all of them on 127.0.0.1, for every way in which clients resolve names."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

_ZONE = ".test"  # RFC 6761 section 6.2: names for tests
_really = socket.getaddrinfo


def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    """The same as ``socket.getaddrinfo``, for the names of the tests too."""
    name = host.decode() if isinstance(host, bytes) else host
    ours = isinstance(name, str) and name.rstrip(".").lower().endswith(_ZONE)
    return _really("127.0.0.1" if ours else host, *args, **kwargs)


def resolve_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Python's look-ups, including those of asyncio, resolve the names of the tests."""
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
