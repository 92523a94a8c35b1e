"""Run a STARTTLS dialogue over a blocking socket."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from certpin.errors import StartTLSError
from certpin.probe.starttls.dialogue import Dialogue

if TYPE_CHECKING:
    import socket

    from certpin.probe.starttls.dialogue import Protocol

_CHUNK = 4_096  # bytes; more than most servers say in all
_SLOW = (
    "allow more time, and check the port and the protocol; "
    "a server that waits in silence may want TLS from the start, without STARTTLS"
)
_LOST = "check that the server takes connections from here, and speaks this protocol on this port"


def negotiate(sock: socket.socket, protocol: Protocol, host: str, port: int) -> None:
    """Bring a connected socket to the point where the client's TLS hello is next.

    ``host`` is the name that the server is asked for (XMPP sends it), in ASCII; ``host`` and
    ``port`` also name the server in errors. The socket's time-out, in seconds, bounds the whole
    dialogue, so that a server which sends one byte at a time cannot hold it; it is the same again
    afterwards. Without a time-out there is no bound.

    Raises ``StartTLSError``: the server does not offer TLS or declines it, speaks something else,
    hangs up, is too slow, or sends bytes between its go-ahead and TLS. Close the socket then.

    Not checked: who the server is. That is for the TLS handshake.
    """
    timeout = sock.gettimeout()
    try:
        _run(sock, Dialogue(protocol, host, port), timeout)
    except TimeoutError as error:
        problem = f"{protocol.name} STARTTLS: the server gave no go-ahead in time"
        raise StartTLSError(problem, host=host, port=port, fix=_SLOW) from error
    except OSError as error:
        problem = f"{protocol.name} STARTTLS: the connection was lost: {error}"
        raise StartTLSError(problem, host=host, port=port, fix=_LOST) from error
    finally:
        with contextlib.suppress(OSError):  # closed meanwhile
            sock.settimeout(timeout)


def _run(sock: socket.socket, dialogue: Dialogue, timeout: float | None) -> None:
    """Send and receive in turn until the dialogue is done; ``timeout`` seconds for all of it."""
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        _set_remaining(sock, until)
        if data := dialogue.data_to_send():
            sock.sendall(data)
        if dialogue.done:
            return
        _set_remaining(sock, until)
        dialogue.receive(sock.recv(_CHUNK))


def _set_remaining(sock: socket.socket, until: float | None) -> None:
    """Let the next call block only until the moment ``until`` (a reading of time.monotonic)."""
    if until is None:
        return
    remaining = until - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    sock.settimeout(remaining)
