"""One client's connection to the lab's proxy inside TLS (``https://`` proxy), without I/O.

The outer TLS is between the client and the proxy only. The request for a tunnel is inside the outer
TLS, and so is the client's TLS to the requested host after it (RFC 9110 section 9.3.6).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from certpin.lab.case import CannotServeError
from certpin.lab.scenario import PROXY_ADDRESS
from certpin.lab.server.conversation import Proxied
from certpin.lab.server.records import HelloReader, NotTLSError
from certpin.lab.server.tls import Tls
from certpin.lab.verdict import KEPT, Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.scenario import ServerStep
    from certpin.lab.server.conversation import Conversation
    from certpin.lab.server.session import CaseRun, Destination

    _Serve = Callable[[Destination, bytes], Conversation | None]


class _Tunnels:
    """The application protocol of the lab's proxy inside the outer TLS, which ends at the proxy.

    ``data`` is the client's request for a tunnel.
    """

    listens = True  # data that arrives in a tunnel after the lab closed its side counts too
    upgrade = False

    def __init__(self, serve: _Serve) -> None:
        self.data = bytearray()
        self.closing = False
        self.proxied = Proxied(self._begin)
        self._serve = serve
        self._requested = False

    def begin(self, *, secure: bool) -> bytes:
        """Return no bytes, because the client speaks first. ``secure`` has no effect."""
        del secure
        return b""

    def receive(self, data: bytes, *, secure: bool) -> bytes:
        """Process decrypted bytes of the client. Return the bytes to encrypt for the client.

        ``secure`` is ignored: everything here is inside the outer TLS.
        """
        del secure
        if not self._requested:
            self.data += data[: KEPT - len(self.data)]
        self.proxied.receive(data)
        self.closing = self.proxied.done
        return self.proxied.data_to_send()

    def _begin(self, reached: Destination, head: bytes) -> Conversation | None:
        self._requested = True
        if head:
            self.data[:] = head[:KEPT]  # the bytes after it belong to the tunnel
        # The lab reports the head of a request as clear text: this one is encrypted.
        return self._serve(reached, b"")


class TlsProxied:
    """A connection to the lab's proxy in TLS. ``seen`` is the evidence of the TLS to the proxy.

    Connections to hosts through the tunnel have separate evidence. If the client requests a host
    that is not under test, the lab does not connect to it, and counts the case as not run.

    Args:
        case_run: the running case.
        step: how the lab serves the outer TLS.
        serve: takes the requested destination and the head of the HTTP request. It returns the
            conversation (protocol state machine) that serves the destination; ``None`` if the host
            is not under test.
    """

    passing: Destination | None = None
    early = b""

    def __init__(self, case_run: CaseRun, step: ServerStep, serve: _Serve) -> None:
        self.seen = Connection("connect", PROXY_ADDRESS, step)
        self.done = False
        self._case_run = case_run
        self._hello = HelloReader()
        self._tunnels = _Tunnels(serve)
        self._tls: Tls | None = None
        self._wrap = partial(case_run.contexts.wrap, step, ())
        case_run.opened(self.seen)

    @property
    def resets(self) -> bool:
        """True if the lab must close the connection with a TCP reset once ``done`` is True."""
        return self._tunnels.proxied.resets

    @property
    def pause(self) -> float:
        """Seconds for which the lab keeps the client waiting; zero if it doesn't.

        After this time, the owner of the socket calls ``resume``.
        """
        return self._tunnels.proxied.pause

    def resume(self) -> None:
        """Continue to serve the client after the wait. The caller then sends ``data_to_send()``."""
        if self._tls:
            self._tunnels.proxied.resume()
            self._tls.say(self._tunnels.proxied.data_to_send())
            self.done = self._tunnels.proxied.done

    def passed(self, data: bytes, *, back: bool) -> None:
        """Do nothing, because the lab never relays this connection. The arguments aren't used."""

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the client, and remove them from the buffer."""
        return self._tls.data_to_send() if self._tls else b""

    def receive(self, data: bytes) -> None:
        """Process bytes from the client. Empty bytes mean that the client closed the connection."""
        if self._tls and data:
            self._secure(self._tls, data)
        elif data and not self.done:
            self._begin_tls(data)
        else:
            self._tunnels.proxied.receive(b"")
            self.done = True

    def _begin_tls(self, data: bytes) -> None:
        try:
            self.seen.hello = self._hello.feed(data)
        except NotTLSError:
            self.seen.problem = "it spoke in clear text"
            before = self._case_run.connections
            if any(each.hello for each in before if each.step is self.seen.step):
                # It can use TLS, and went on without it: the request, and a password in it, leak.
                self.seen.clear = bytes(self._hello.raw[:KEPT])
            self.done = True
            return
        if self.seen.hello:
            self._tls = Tls(self._wrap, self._tunnels)
            self._secure(self._tls, bytes(self._hello.raw))

    def _secure(self, tls: Tls, data: bytes) -> None:
        tls.receive(data, self.seen)
        if tls.closed and not self.done:
            tls.end()
        self.done = tls.closed
        to = self._tunnels.proxied.passing
        if to:
            self._case_run.failed(
                CannotServeError(f"the lab's https:// proxy leads to no other host ({to.host})")
            )
            self.done = True
