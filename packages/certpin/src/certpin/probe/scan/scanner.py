"""Contact many TLS servers with one thread, in bounded time and memory.

Each attempt is one connection with one handshake:

1. The host becomes IP addresses: a fixed address from the caller, the host itself if it is an IP
   address, or the result of ``getaddrinfo`` in a thread.
2. A non-blocking TCP connection goes to one address; the next attempt takes the next address.
3. A TLS handshake with SNI under ``CERT_REQUIRED`` follows, so that OpenSSL itself decides whether
   the chain is valid. OpenSSL keeps the served chain when it refuses it, so one connection is
   enough.
4. The socket is closed. No application data is sent or read.

Not checked here: the name (``name_matches`` checks the leaf), revocation, and pins. If OpenSSL
refused the chain, the server has not proven that it holds the key of the leaf either, because
OpenSSL stops before it verifies that signature.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from certpin.errors import CertificateParseError, DialError, HandshakeError
from certpin.pins.hosts import is_address
from certpin.probe.dial import describe_error, probe_context, tls_failure
from certpin.probe.scan.attempt import DONE, READ, WRITE, HostScan, ScanConnection
from certpin.probe.scan.resolver import Address, Resolver, literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from certpin.probe.dial import Endpoint
    from certpin.probe.scan.attempt import ScanResult

_INPUT_POLL = 0.05  # seconds until an input that had nothing is asked again
_HALT_POLL = 0.2  # seconds between two calls of ``halted``
_DIAL_FIX = "check the name, the port and the route; raise the time limit for a slow server"


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """The resources that a scan may use.

    The scan of a host takes at most ``(retries + 1) * timeout + retries * pause`` seconds, not
    counting the time that the caller takes to handle results.

    Attributes:
        window: the maximum number of hosts that are scanned concurrently, at least 1.
        timeout: seconds for an attempt, including the name lookup.
        retries: the number of attempts after the first one.
        pause: seconds between two attempts.
    """

    window: int = 256
    timeout: float = 5.0
    retries: int = 1
    pause: float = 1.0


def scan_context(anchors: str | None = None) -> ssl.SSLContext:
    """Make a TLS context for ``scan``, which verifies chain and dates, but not the name.

    OpenSSL would check the name before signatures and dates, and stop at the first fault.

    Args:
        anchors: trust only these certificates (PEM); ``None`` for the roots of the platform.

    Raises:
        InputError: the anchors can't be read.
    """
    context = probe_context(anchors)
    context.check_hostname = False
    return context


def scan(
    endpoints: Iterable[Endpoint | None],
    *,
    context: ssl.SSLContext,
    limits: ScanLimits = ScanLimits(),  # frozen
    connect: tuple[str, int] | None = None,
    halted: Callable[[], bool] | None = None,
) -> Iterator[ScanResult]:
    """Scan servers. Yield the result of each endpoint as soon as it is complete.

    Args:
        endpoints: the servers. They are read only while fewer than ``limits.window`` hosts are
            being scanned. None means "nothing yet", so that a slow input delays no host.
            ``Endpoint.starttls`` is ignored: TLS begins at once.
        context: a TLS context from ``scan_context``, or another one with ``CERT_REQUIRED``.
        limits: the resources to use.
        connect: an IP address and a port to connect to for every endpoint; ``None`` to connect to
            each endpoint's own address.
        halted: a function that returns True if the scan should end. The scan then ends soon,
            without results for unfinished hosts.

    Raises:
        ValueError: the context does not verify, or ``connect`` has no IP address. Failures of
            servers don't raise; they are results.
    """
    if context.verify_mode != ssl.CERT_REQUIRED:
        raise ValueError("a scan needs CERT_REQUIRED, or no chain is verified")
    with _Scanner(context, limits, _override(connect), halted) as scanner:
        yield from scanner.run(iter(endpoints))


def _override(connect: tuple[str, int] | None) -> tuple[Address, ...]:
    if connect is None:
        return ()
    addresses = literal(*connect)
    if not addresses:
        raise ValueError(f"{connect[0]!r} is not an IP address")
    return addresses


class _Scanner:
    """The event loop of a scan. Each host is active, paused before a retry, or finished.

    All attempts have the same timeout, and all pauses the same length. So the attempt that began
    first times out first, and the pause that began first ends first. Use the scanner as a context
    manager: at the end of the block it closes all open connections.

    Args:
        context: the TLS context, which verifies the chain.
        limits: the resources to use.
        override: socket addresses to connect to for every host; empty to use each host's own.
        halted: a function that returns True if the scan should end.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        limits: ScanLimits,
        override: tuple[Address, ...],
        halted: Callable[[], bool] | None = None,
    ) -> None:
        self._halted = halted
        self._context = context
        self._limits = limits
        self._override = override
        self._more = True  # the input has not ended
        self._active: dict[HostScan, None] = {}
        self._paused: deque[tuple[float, HostScan]] = deque()
        self._finished: deque[ScanResult] = deque()
        self._resolver: Resolver[HostScan] = Resolver(self._active.__contains__)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._resolver, READ)
        self._time_outside = 0.0  # seconds spent in the caller and in the input
        self._now = self._clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for host in tuple(self._active):
            self._deactivate(host)
        self._selector.close()
        self._resolver.close()

    def run(self, endpoints: Iterator[Endpoint | None]) -> Iterator[ScanResult]:
        """Scan the endpoints, and yield a result for each of them.

        The scanner's clock, from which timeouts are computed, is stopped while the caller handles a
        result and while the input is read. Otherwise servers would time out because the caller or
        the input is slow.
        """
        while self._more or self._active or self._paused or self._finished:
            if self._halted and self._halted():
                return
            left = time.monotonic()
            while self._finished:
                yield self._finished.popleft()
            longest_wait = self._start_hosts(endpoints)
            self._time_outside += time.monotonic() - left
            if self._active or self._paused or self._more:
                self._wait(longest_wait)

    def _start_hosts(self, endpoints: Iterator[Endpoint | None]) -> float:
        """Begin to scan hosts from ``endpoints``, until ``limits.window`` hosts are being scanned.

        Returns:
            The longest time in seconds to wait for network events before this method is called
            again. It is short if the input has no endpoint yet (``None``).
        """
        while self._more and self._has_room():
            try:
                endpoint = next(endpoints)
            except StopIteration:
                self._more = False
                break
            if endpoint is None:
                return _INPUT_POLL
            self._start_attempt(HostScan(endpoint, self._now))
        return self._limits.timeout

    def _has_room(self) -> bool:
        return len(self._active) + len(self._paused) + len(self._finished) < self._limits.window

    def _clock(self) -> float:
        return time.monotonic() - self._time_outside

    def _wait(self, longest: float) -> None:
        """Wait at most ``longest`` seconds for network events, then handle events and timeouts."""
        for key, _ in self._selector.select(self._until_due(longest)):
            self._now = self._clock()
            if key.data is None:
                self._resolved()
            else:
                self._advance(*key.data)
        self._now = self._clock()
        while self._active and (host := next(iter(self._active))).deadline <= self._now:
            self._failed(host, f"no answer within {self._limits.timeout:g} s")
        while self._paused and self._paused[0][0] <= self._now:
            self._start_attempt(self._paused.popleft()[1])

    def _until_due(self, longest: float) -> float:
        """Return for how many seconds the scan can wait for network events.

        This is the time until an attempt times out or a pause ends, but at most ``longest``. It is
        0 if results are ready. If the scan has a function ``halted``, it is at most the time
        between two calls of that function.
        """
        if self._finished:
            return 0.0
        if self._halted:
            longest = min(longest, _HALT_POLL)
        if self._active:
            longest = min(longest, next(iter(self._active)).deadline - self._now)
        if self._paused:
            longest = min(longest, self._paused[0][0] - self._now)
        return max(longest, 0.0)

    def _start_attempt(self, host: HostScan) -> None:
        host.attempts += 1
        host.deadline = self._now + self._limits.timeout
        self._active[host] = None
        name, port = host.endpoint.address
        if not host.addresses:
            host.addresses = self._override or (literal(name, port) if is_address(name) else ())
        if host.addresses:
            self._connect(host)
        else:
            self._resolver.ask(host, name, port)

    def _resolved(self) -> None:
        for host, answer in self._resolver.answers():
            if host not in self._active or host.addresses:
                continue  # too late, or an earlier lookup has already brought the addresses
            if isinstance(answer, OSError):
                retry = answer.errno == socket.EAI_AGAIN
                self._failed(host, f"no address: {describe_error(answer)}", retry=retry)
            else:
                host.addresses = answer
                self._connect(host)

    def _connect(self, host: HostScan) -> None:
        try:
            host.connection = ScanConnection(host.address, self._context, host.endpoint.name)
        except OSError as error:
            self._failed(host, describe_error(error))
            return
        self._selector.register(host.connection.fd, WRITE, (host, host.connection))
        host.event = WRITE

    def _advance(self, host: HostScan, connection: ScanConnection) -> None:
        """Continue a host's TLS handshake, because its connection is readable or writable."""
        try:
            event = connection.advance()
        except ssl.SSLCertVerificationError as error:
            self._answered(host, connection, refusal=error)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            self._failed(host, describe_error(error))
        except ssl.SSLError as error:
            self._answered(host, connection, failure=tls_failure(error))
        except OSError as error:
            self._failed(host, describe_error(error))
        else:
            if event == DONE:
                self._answered(host, connection)
            elif event != host.event:
                self._selector.modify(connection.fd, event, (host, connection))
                host.event = event

    def _answered(
        self,
        host: HostScan,
        connection: ScanConnection,
        *,
        refusal: ssl.SSLCertVerificationError | None = None,
        failure: tuple[str, str] | None = None,
    ) -> None:
        """Finish a host without a retry: the server's TLS handshake succeeded, or failed for good.

        Args:
            host: the host.
            connection: the connection to the host, from which the chains are read.
            refusal: OpenSSL's error if OpenSSL refused the chain.
            failure: problem and fix, as texts, if TLS failed for another reason.
        """
        found: dict[str, Any] = {}
        if refusal:
            found = {"refusal": refusal.verify_message.rstrip("."), "code": refusal.verify_code}
        try:
            found |= connection.chains(verified=not (refusal or failure))
        except CertificateParseError as unreadable:
            failure = (f"its certificates cannot be read: {unreadable.problem}", unreadable.fix)
        if failure:
            found["error"] = host.error(HandshakeError, *failure)
        self._finish(host, found)

    def _failed(self, host: HostScan, problem: str, *, retry: bool = True) -> None:
        """Handle a network failure: retry after a pause, or finish the host with an error.

        ``problem`` is the text of the error. ``retry`` is False if another attempt is useless.
        """
        if retry and host.attempts <= self._limits.retries:
            self._deactivate(host)
            self._paused.append((self._now + self._limits.pause, host))
        else:
            self._finish(host, {"error": host.error(DialError, problem, _DIAL_FIX)})

    def _finish(self, host: HostScan, found: dict[str, Any]) -> None:
        self._deactivate(host)
        self._finished.append(host.result(self._now, found))

    def _deactivate(self, host: HostScan) -> None:
        """Close the connection of a host, and don't wait for its network events any more.

        The caller then retries the host after a pause, or finishes it.
        """
        self._active.pop(host, None)
        connection, host.connection = host.connection, None
        if connection is not None:
            self._selector.unregister(connection.fd)
            connection.close()
