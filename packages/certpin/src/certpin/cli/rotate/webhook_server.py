"""A small HTTPS server for ``certpin rotate webhook``, with limits on time, size and threads.

It needs only the standard library. Each connection has one request, a thread, and a time limit for
handshake, request and answer together. The number of threads is limited: further connections wait
in the listening queue. The certificate is read again when its files change.
"""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from certpin.errors import CertificateParseError, ConfigError
from certpin.x509 import Certificate

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

# An API server reads objects of at most 3 MiB (k8s.io/apiserver, MaxRequestBodyBytes), and an
# UPDATE has two of them.
MAX_BODY_BYTES = 6 * 1024 * 1024 + 64 * 1024
# Seconds for one connection. The manifests let the API server wait for 10.
PATIENCE = 9.0
MAX_CONNECTIONS = 16
REVIEW_PATH, HEALTH_PATH, READY_PATH = "/validate", "/healthz", "/readyz"


class ServerCertificate:
    """The TLS context of a server, which is loaded again when the files of its certificate change.

    The class is thread-safe, because a context is replaced as a whole. If the new files can't be
    used, for example because only one of the two was replaced so far, the previous context stays.

    Args:
        chain: the path of the chain, PEM, leaf first.
        key: the path of its private key, PEM.

    Raises:
        ConfigError: the files can't be used.
    """

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain, self._key = chain, key
        self._loaded: tuple[object, ...] = ()
        self.not_after: datetime | None = None
        self.context = self._load()

    def refresh(self) -> str:
        """Load the certificate again if its files changed.

        Return the error as text if it can't be loaded; otherwise an empty string.
        """
        try:
            if signature(self._chain, self._key) != self._loaded:
                self.context = self._load()
        except (ConfigError, OSError) as exc:
            return exc.problem if isinstance(exc, ConfigError) else str(exc)
        return ""

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9325 section 3.1.1
        try:
            loaded = signature(self._chain, self._key)
            context.load_cert_chain(self._chain, self._key, password=_no_password)
            pem = self._chain.read_text("ascii", "replace")
            begin = pem.index("-----BEGIN CERTIFICATE-----")
            leaf = pem[begin:].partition("-----END CERTIFICATE-----")[0]
            der = ssl.PEM_cert_to_DER_cert(f"{leaf}-----END CERTIFICATE-----\n")
            not_after = Certificate.from_der(der).not_after
        except (OSError, ValueError, CertificateParseError) as exc:
            raise ConfigError(
                f"certificate and key cannot be used: {exc}",
                key="--tls-certificate",
                fix="use PEM files that this user can read: the chain, and an unencrypted key",
            ) from exc
        self._loaded, self.not_after = loaded, not_after
        return context


def signature(*paths: Path) -> tuple[object, ...]:
    """Return a value that changes if one of the given files is replaced or written.

    Raises:
        OSError: a file is missing.
    """
    facts = [path.stat() for path in paths]  # follows links: Kubernetes replaces a link
    return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in facts)


def _no_password() -> str:
    raise ValueError("the key is encrypted")


class WebhookServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """An HTTPS server that answers AdmissionReviews and the probes of Kubernetes.

    ``serve_forever()`` runs the server, ``shutdown()`` from another thread ends it.

    Args:
        address: the host and port to listen on.
        certificate: the certificate that the server presents.
        judge: a function that returns the status and the body of the answer to an AdmissionReview.
            It must not raise.
        problems: a function that returns the reasons for which the server is not ready, as texts;
            empty if it is ready.

    Raises:
        OSError: the server can't listen on the address.
    """

    allow_reuse_address = True
    block_on_close = True
    daemon_threads = False
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        certificate: ServerCertificate,
        judge: Callable[[bytes], tuple[int, bytes]],
        problems: Callable[[], list[str]],
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.judge, self.problems = judge, problems
        self._certificate = certificate
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Wait while ``MAX_CONNECTIONS`` threads run, then start one for this connection."""
        self._slots.acquire()  # a slot is free within PATIENCE
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._slots.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection in its thread, then free the slot for the next connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection: handshake, request and answer within ``PATIENCE`` seconds."""
        self._certificate.refresh()
        # TLS detaches the socket, so the timer has a duplicate.
        with request.dup() as duplicate:
            timer = threading.Timer(PATIENCE, _cut, [duplicate])
            timer.daemon = True
            timer.start()
            try:
                request.settimeout(PATIENCE)
                with self._certificate.context.wrap_socket(request, server_side=True) as tls:
                    super().finish_request(tls, client_address)
            except OSError:
                pass  # a client that left, is too slow, or does not use TLS
            finally:
                timer.cancel()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing about a failed connection: the API server treats no answer as a refusal.

        ``socketserver`` calls this method if serving a connection raised an error.
        """


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Handles the one HTTP request of a connection to the webhook.

    A POST is an AdmissionReview of the API server; a GET is a liveness or readiness probe of
    Kubernetes.
    """

    server: WebhookServer
    protocol_version = "HTTP/1.1"
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d %(message)s\n"

    def do_GET(self) -> None:
        """Answer the liveness (``/healthz``) and readiness (``/readyz``) probes of Kubernetes.

        The status for ``/healthz`` is always 200. The status for ``/readyz`` is 503 while the
        server can't judge requests, and the body then lists the reasons. Other paths get 404.
        """
        path = self.path.partition("?")[0]
        if path == HEALTH_PATH:
            self._answer(HTTPStatus.OK, b"ok\n", "text/plain")
        elif path == READY_PATH:
            wrong = self.server.problems()
            status = HTTPStatus.SERVICE_UNAVAILABLE if wrong else HTTPStatus.OK
            text = "".join(f"{each}\n" for each in wrong) or "ok\n"
            self._answer(status, text.encode(), "text/plain")
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Answer an AdmissionReview with the status and body that the server's ``judge`` returns.

        A request with an unknown path or media type, without a length, or with a body that is too
        long or ends early is refused. The query is ignored, because the API server adds
        ``?timeout=10s`` to the path.
        """
        length = self.headers.get("Content-Length", "")
        kind = self.headers.get_content_type()
        if self.path.partition("?")[0] != REVIEW_PATH:
            self._refuse(HTTPStatus.NOT_FOUND)
        elif kind != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        elif "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > 10 or int(length) > MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                self._refuse(HTTPStatus.BAD_REQUEST)
                return
            self._answer(*self.server.judge(body), "application/json")

    def _refuse(self, status: HTTPStatus) -> None:
        self._answer(status, f"{status.value} {status.phrase}\n".encode(), "text/plain")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def version_string(self) -> str:
        """Return the value of the ``Server`` header, without the version of Python."""
        return "certpin"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as in the base class
        """Print nothing for a request: its decision is printed instead."""
