"""Network calls with a time limit, small HTTP requests, and a pool of daemon threads.

``Deadline`` is a time limit for one exchange over the network, HTTP or not. Another thread can
cancel the exchange. ``exchange`` sends one HTTP request with it: no redirects, no proxies, no
cookies, a bounded body; a ``Connection`` sends several. ``DaemonPool`` runs calls that block, and
never delays the end of the program.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from queue import SimpleQueue
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping
    from email.message import Message

_HTTP, _HTTPS = 80, 443

Result = TypeVar("Result")


def exchange(  # noqa: PLR0913  # the parts of a request
    method: str,
    address: str,
    deadline: Deadline,
    context: ssl.SSLContext | None,
    *,
    host: str = "",
    connect: tuple[str, int] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    max_bytes: int = 0,
) -> HTTPAnswer:
    """Send an HTTP request on a new connection, and return the response.

    Args:
        method: the HTTP method.
        address: an ``https://`` or ``http://`` URL. The caller decides if clear text is allowed.
        deadline: the time limit of the whole exchange.
        context: the TLS context that verifies the server. It is required for ``https://``, and not
            used otherwise.
        host: the normalised host, if it differs from the one in the URL.
        connect: the address and port to connect to, if they differ from those in the URL. The
            server is still verified for ``host``.
        headers: additional headers of the request.
        body: the body of the request.
        max_bytes: the largest body of a response that is accepted. With 0 the body is not read.

    Raises:
        OSError: there was no connection, or no response in time.
        http.client.HTTPException: the response is not HTTP, or too large (``BodyTooLargeError``).
        ValueError: the URL is ``https://`` and there is no context.
    """
    url = urlsplit(address)
    secure = url.scheme == "https"
    if secure and context is None:
        raise ValueError("https needs a context that verifies the server")
    port = url.port or (_HTTPS if secure else _HTTP)
    used = context if secure else None
    connection = Connection(host or url.hostname or "", port, deadline, used, connect)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    sent = {"Accept-Encoding": "identity", "Connection": "close", **(headers or {})}
    with deadline.enforced():
        try:
            connection.request(method, target, body, sent)
            response = connection.getresponse()
            data = response.read(max_bytes + 1) if max_bytes else b""
            if len(data) > max_bytes:
                raise BodyTooLargeError(f"the answer has more than {max_bytes} bytes")
            return HTTPAnswer(response.status, response.headers, data)
        finally:
            connection.close()


@dataclass(frozen=True)
class HTTPAnswer:
    """An HTTP response: its status, headers and body.

    The body is empty if ``exchange`` was called with ``max_bytes=0``.
    """

    status: int
    headers: Message
    body: bytes


class BodyTooLargeError(http.client.HTTPException):
    """The body of an HTTP response is larger than the caller allows."""


class Connection(http.client.HTTPConnection):
    """An HTTP connection with a deadline, for one request or several.

    Its total time is limited only within ``deadline.enforced()``.

    Args:
        host: the host, for which the TLS context verifies the server.
        port: the port.
        deadline: the time limit of everything that the connection is used for.
        context: the TLS context; None for clear text.
        address: the address and port to connect to, if they differ from ``host`` and ``port``; else
            None.
    """

    def __init__(
        self,
        host: str,
        port: int,
        deadline: Deadline,
        context: ssl.SSLContext | None,
        address: tuple[str, int] | None = None,
    ) -> None:
        super().__init__(host, port)
        self._deadline = deadline
        self._tls = context
        self._address = address
        self.default_port = _HTTP if context is None else _HTTPS  # not written in the Host header

    def connect(self) -> None:
        """Connect, with TLS if there is a TLS context. A request calls this method if necessary.

        Raises:
            OSError: there was no connection in time, or the server was not verified.
        """
        sock = self._deadline.connect(*(self._address or (self.host, self.port)))
        if self._tls is not None:
            sock = self._tls.wrap_socket(sock, server_hostname=self.host)
        self.sock = sock


class Deadline:
    """A time limit for an exchange over the network, and for each of its steps.

    A limit for each step is not enough: a server that sends a byte now and then would hold the
    exchange for ever. ``enforced()`` shuts the connection down when the total time is up.

    Args:
        step: seconds for one step: connecting, the handshake, a read.
        total: seconds for the whole exchange, from now on.
    """

    def __init__(self, step: float, total: float) -> None:
        self._step = step
        self._until = time.monotonic() + total
        self._guard = threading.Lock()
        self._socket: socket.socket | None = None
        self._cut = threading.Event()
        self.cancelled = False  # by ``cancel()``, not by the clock

    @property
    def left(self) -> float:
        """The seconds that the next step may take: the rest of the total time, at most ``step``.

        Always positive, so that it can be used as a timeout.
        """
        return max(min(self._step, self._until - time.monotonic()), 0.001)

    @property
    def passed(self) -> bool:
        """True if the time is up, or the exchange was cancelled."""
        return self._cut.is_set() or time.monotonic() >= self._until

    def wait(self, seconds: float) -> bool:
        """Sleep for some seconds, or until the exchange is cancelled.

        Returns:
            True if the exchange may continue; False if the time is up or the exchange was
            cancelled.
        """
        return not self._cut.wait(seconds) and time.monotonic() < self._until

    def connect(self, host: str, port: int) -> socket.socket:
        """Connect by TCP to the first address of a host that answers, and return the socket.

        Args:
            host: a name or an address. The time limit does not apply to name resolution.
            port: the port.

        Raises:
            OSError: no address answered, or the deadline has passed (``TimeoutError``).
        """
        problem: OSError = OSError("the name has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            if self.passed:
                raise TimeoutError("the deadline has passed")
            sock = socket.socket(family, kind, protocol)
            try:
                self.hold(sock)
                # Otherwise a request waits until the server confirms the handshake.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(self.left)
                sock.connect(address)
            except OSError as exc:
                sock.close()
                problem = exc
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise problem

    def cancel(self) -> None:
        """End the exchange early, when its result is no longer needed. Any thread can call this."""
        self.cancelled = True
        self._end()

    @contextmanager
    def enforced(self) -> Iterator[Self]:
        """Context manager: shut the connection down if the time is up before its block ends."""
        timer = threading.Timer(max(self._until - time.monotonic(), 0), self._end)
        timer.daemon = True
        timer.start()
        try:
            yield self
        finally:
            timer.cancel()
            with self._guard:
                self._drop()

    def hold(self, sock: socket.socket) -> None:
        """Apply the time limit to this socket: shut it down when the time is up.

        A socket of an earlier call is no longer shut down.

        The deadline stores a duplicate of the socket, because wrapping the socket itself in TLS
        detaches it.
        """
        with self._guard:
            self._drop()
            self._socket = socket.fromfd(sock.fileno(), sock.family, sock.type)  # also of TLS
            if self._cut.is_set():
                self._shut()

    def _end(self) -> None:
        with self._guard:
            self._cut.set()
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


@contextmanager
def time_limit(sock: socket.socket, seconds: float) -> Iterator[None]:
    """Context manager: shut a connection down if the block takes longer than some seconds.

    The timeout of a socket is not enough: it begins again with each read, and OpenSSL doesn't
    return to Python while a server keeps sending messages that it skips, such as HelloRequest
    (RFC 5246 section 7.4.1.1).

    Raises:
        TimeoutError: the block failed with a network or HTTP error after the time was up. The error
            of a refused chain is raised unchanged.
    """
    deadline = Deadline(seconds, seconds)
    deadline.hold(sock)
    with deadline.enforced():
        try:
            yield
        except (OSError, http.client.HTTPException) as exc:
            # ssl.SSLCertVerificationError is a ValueError.
            if deadline.passed and not isinstance(exc, ValueError):
                raise TimeoutError(f"it took longer than {seconds:g} s") from exc
            raise


def connect_to(host: str, port: int, seconds: float) -> socket.socket:
    """Connect by TCP to the first address of a host that answers, and return the socket.

    Args:
        host: a name or an address.
        port: the port.
        seconds: the time limit of the name's resolution, of the attempt at each address, and of
            each later call of the socket.

    Raises:
        OSError: the name was not resolved in time, or no address answered.
        UnicodeError: the name can't be encoded.
    """
    problem = OSError("the name has no address")
    for address in resolve(host, port, seconds):
        try:
            return socket.create_connection((address, port), seconds)
        except OSError as exc:
            problem = exc
    raise problem


def resolve(host: str, port: int, seconds: float) -> tuple[str, ...]:
    """Return the IP addresses of a host, each once.

    Nothing can interrupt ``getaddrinfo``, so a daemon thread calls it. The thread ends when the
    system gives up.

    Args:
        host: a name, or an address, which is returned unchanged.
        port: the port to connect to.
        seconds: the time limit.

    Raises:
        OSError: the name can't be resolved. It is a ``socket.gaierror`` with ``EAI_AGAIN``, as for
            a resolver that does not answer, if the time is up.
        UnicodeError: the name can't be encoded.
    """
    with suppress(ValueError):
        ip_address(host)
        return (host,)
    with DaemonPool(1, "certpin-resolver") as pool:
        lookup = pool.submit(partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM))
        wait([lookup], seconds)
    if not lookup.done():
        raise socket.gaierror(socket.EAI_AGAIN, f"the name was not resolved in {seconds:g} s")
    return tuple(dict.fromkeys(str(address[0]) for *_, address in lookup.result()))


class DaemonPool:
    """A pool of daemon threads; as a context manager it closes at the end of the block.

    The threads of ``concurrent.futures.ThreadPoolExecutor`` are joined when the interpreter ends,
    so a server that sends nothing would delay the end of the program by a minute. Daemon threads
    are not joined.

    Call its methods from one thread. Each call of ``submit`` starts a thread, up to the limit.

    Args:
        max_threads: how many calls may run at once.
        name: the name of the threads.
    """

    def __init__(self, max_threads: int, name: str) -> None:
        self._max_threads = max_threads
        self._name = name
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        del exc
        self.close()

    def submit(self, call: Callable[[], Result]) -> Future[Result]:
        """Run a function (``call``) in a thread of the pool.

        Returns:
            The future with its result or its error. If the pool closes before the function starts,
            the future never completes.
        """
        future: Future[Result] = Future()
        self._calls.put(lambda: _run(call, future))
        if self._threads < self._max_threads:
            self._threads += 1
            threading.Thread(target=self._work, daemon=True, name=self._name).start()
        return future

    def close(self) -> None:
        """Drop the calls that have not started, and let the threads end. Does not wait for them."""
        self._closed = True
        for _ in range(self._threads):
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            if not self._closed:
                call()


def _run(call: Callable[[], Result], future: Future[Result]) -> None:
    try:
        future.set_result(call())
    except BaseException as exc:  # noqa: BLE001  # raised again by future.result()
        future.set_exception(exc)
