"""HTTPS requests of a worker to the service, with the worker's token, and their errors.

The certificate of the service is verified for the host in its address, with the roots of this
machine or of ``--ca-file``. With a pin file, the worker also checks the pins of that host.
Redirects are not followed, so that no other host gets the token. NOT checked: which hosts the jobs
name. The service decides which hosts the worker connects to.
"""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import httpx2

from certpin.clients.httpx2 import AsyncPinnedClient
from certpin.errors import CertpinError, ConfigError, HostError, InputError, pin_error
from certpin.pinfile import PinSet
from certpin.pins import normalise
from certpin.probe import describe_error
from certpin_watch.addresses import is_local_only
from certpin_watch.monitor.results import (
    MAX_REQUEST,
    decode_jobs,
    decode_receipt,
    encode,
)
from certpin_watch.permissions import WORKER_JOBS, WORKER_RESULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin_watch.monitor.results import JobBatch, JobRequest, Receipt, ResultBatch

Value = TypeVar("Value")

_CONNECT_TIMEOUT, _RESPONSE_TIMEOUT = 10.0, 60.0  # seconds
_MAX_RETRY_AFTER = 300.0  # seconds

# `refused`: the token is not accepted, and waiting doesn't change that. `misdirected`: there is no
# service at the address, or another one. `rejected`: the service can't use this request. `large`:
# the service, or a proxy, takes no request of this size. `away`: another attempt may succeed.
Kind = Literal["refused", "misdirected", "rejected", "large", "away"]


class ServiceError(CertpinError):
    """A worker's request to the service failed.

    Attributes:
        problem: what happened.
        fix: how to fix it; empty if there is no advice.
        kind: the type of the failure. "refused": the service doesn't accept the token.
            "misdirected": the address is not that of the service, or its certificate or pins don't
            match. "rejected": the service can't read this request. "large": the request is too
            large for the service, or for a proxy in front of it. "away": the service is
            unreachable, or answers with an error; another attempt may succeed.
        retry_after: the seconds that the service asks to wait; 0 if its response has none.
    """

    def __init__(self, problem: str, fix: str, kind: Kind, retry_after: float = 0.0) -> None:
        super().__init__(f"{problem}\n  fix: {fix}" if fix else problem)
        self.problem = problem
        self.fix = fix
        self.kind: Kind = kind
        self.retry_after = retry_after


class ServiceAddress(NamedTuple):
    """The address of a monitoring service: its URL, without a slash at the end, and its host."""

    url: str
    host: str


@dataclass(frozen=True)
class ServiceAccess:
    """How a worker reaches the service: address, token, and files to verify the server.

    Attributes:
        address: the address of the service.
        token: returns the token, or raises ``ConfigError``. It is called for each request, so that
            you can replace the token's file while the worker runs.
        ca_file: a file with the roots to verify the service's certificate with; None for the roots
            of the machine. It is not used together with ``pins``.
        pins: a pin file with pins for the service; None for no pins.

    ``ca_file`` and ``pins`` are read at the start, and again after a connection failed.
    """

    address: ServiceAddress
    token: Callable[[], str]
    ca_file: Path | None = None
    pins: Path | None = None

    def check(self) -> None:
        """Check that the CA file, the pin file and the token can be used. Opens no connection.

        Raises:
            ConfigError: a file or the token can't be used.
        """
        self.token()
        _client(self)


def parse_service_url(text: str) -> ServiceAddress:
    """Parse the address of a monitoring service, the value of ``--url``.

    Args:
        text: a URL with ``https://``. ``http://`` would send the token in clear text, so it is
            accepted for this machine's own addresses only.

    Raises:
        ConfigError: the text is not a URL of this form.
    """
    try:
        parts = urlsplit(text)
        host, _ = normalise(parts.hostname or ""), parts.port
    except (ValueError, HostError) as exc:
        raise _no_address() from exc
    extra = parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme not in {"https", "http"} or extra or not text.isascii() or " " in text:
        raise _no_address()
    if parts.scheme == "http" and not is_local_only(host):
        raise ConfigError(
            "http:// would send the token in clear text",
            key="--url",
            fix=f"write https://{parts.netloc}{parts.path}",
        )
    return ServiceAddress(text.rstrip("/"), host)


class ServiceLink:
    """A worker's client of the monitoring service: requests probe jobs, and delivers results.

    Use it in one event loop; several tasks may share it. After a failure, the next request opens a
    new connection and reads the CA file and the pin file again.
    """

    def __init__(self, access: ServiceAccess) -> None:
        self._access = access
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        del exc
        await self._close()

    async def jobs(self, request: JobRequest) -> JobBatch:
        """Send a request for probe jobs to the service, and return its response.

        Raises:
            ServiceError: the request failed.
        """
        return await self._post(WORKER_JOBS, encode(request), decode_jobs)

    async def deliver(self, batch: ResultBatch) -> Receipt:
        """Send probe results to the service, and return its receipt: what happened to each result.

        Raises:
            ServiceError: the request failed.
        """
        return await self._post(WORKER_RESULTS, encode(batch), decode_receipt)

    async def _post(self, path: str, body: bytes, decode: Callable[[bytes], Value]) -> Value:
        try:
            status, headers, data = await self._exchange(path, body)
        except BaseException:
            await self._close()
            raise
        if status == 200:
            try:
                return decode(data)
            except InputError as exc:
                await self._close()
                raise self._misdirected(f"it answers something else: {exc.problem}") from exc
        raise self._refusal(status, headers)

    async def _exchange(self, path: str, body: bytes) -> tuple[int, httpx2.Headers, bytes]:
        try:
            if self._client is None:
                self._client = _client(self._access)
            headers = {
                "Authorization": f"Bearer {self._access.token()}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            }
            url = self._access.address.url + path
            async with self._client.stream("POST", url, content=body, headers=headers) as answer:
                data = b""
                async for part in answer.aiter_bytes():
                    data += part
                    if len(data) > MAX_REQUEST:
                        raise self._misdirected("it answers more than a service does")
                return answer.status_code, answer.headers, data
        except ConfigError as exc:  # a file, or the token in it, changed
            raise ServiceError(exc.problem, exc.fix, "misdirected") from exc
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, CertpinError) as exc:
            if isinstance(exc, ServiceError):
                raise
            raise _failure(exc, self._access) from exc

    def _refusal(self, status: int, headers: httpx2.Headers) -> ServiceError:
        url = self._access.address.url
        if status == 401:
            return ServiceError(
                f"{url} does not accept this token: it was revoked, has expired, or belongs to "
                "another service",
                "make a new one on the machine of the service: certpin watch token add NAME "
                "--worker LOCATION",
                "refused",
            )
        if status == 403:
            return ServiceError(
                f"{url} accepts this token, but it is not that of a worker",
                "certpin watch token add NAME --worker LOCATION",
                "refused",
            )
        if status in {404, 405, 415} or 300 <= status < 400:
            return self._misdirected(f"it answers {status} to a worker")
        is_json = "json" in headers.get("content-type", "")  # as each error of the API is
        if status == 400 and url.startswith("http://") and not is_json:  # nginx, on a TLS port
            return ServiceError(f"{url} refuses the request ({status})", _https(url), "misdirected")
        if status in {400, 413, 422}:
            return ServiceError(
                f"{url} cannot read what this worker sends ({status})",
                "let both have the same version of certpin; a proxy between them has to let bodies "
                f"of {MAX_REQUEST // 2**20} MiB pass",
                "large" if status == 413 else "rejected",
            )
        fix = "certpin watch alerts, and the log where the service runs, say why"
        return ServiceError(f"{url} answers {status}", fix, "away", _retry_after(headers))

    def _misdirected(self, problem: str) -> ServiceError:
        return ServiceError(
            f"{self._access.address.url} is not the address of a monitoring service, or of an "
            f"older one: {problem}",
            "give the address of its pages (public_url in its watch.toml), without a page's name",
            "misdirected",
        )

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _client(access: ServiceAccess) -> httpx2.AsyncClient:
    """Create an HTTP client for the service that verifies the service's certificate and pins.

    Pins are checked only if the worker has a pin file. ``access`` has the address of the service,
    the token, and the paths of the files.

    Raises:
        ConfigError: a file can't be used, or the pin file has no pins for the service.
    """
    timeout = httpx2.Timeout(_RESPONSE_TIMEOUT, connect=_CONNECT_TIMEOUT)
    # A proxy of the environment would get the token in clear text, if the address is http://.
    proxied = not is_local_only(access.address.host)
    if access.pins is None:
        verify = _verifying(access.ca_file)
        return httpx2.AsyncClient(verify=verify, timeout=timeout, trust_env=proxied)
    pins = PinSet.load(access.pins)
    if pins.policy_for(access.address.host) is None:
        raise ConfigError(
            f"{access.pins} has no pins for {access.address.host}",
            key="--pins",
            fix=f"certpin add {access.address.host}, or leave --pins out",
        )
    return AsyncPinnedClient(pins, timeout=timeout, trust_env=proxied)


def _verifying(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as exc:  # ssl.SSLError is one
        raise ConfigError(
            f"{ca_file} cannot be used: {describe_error(exc)}",
            key="--ca-file",
            fix="a file of PEM certificates that this user can read",
        ) from exc


def _failure(exc: Exception, access: ServiceAccess) -> ServiceError:
    """Convert an exception of a worker's request to the service into a ``ServiceError``.

    The error contains neither the token nor any part of a body. ``access`` is how the worker
    reaches the service.
    """
    url = access.address.url
    if (refused := pin_error(exc)) is not None:
        return ServiceError(f"{url}: {refused.problem}", refused.fix, "misdirected")
    for cause in _causes(exc):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ServiceError(
                f"the certificate of {url} does not verify: {cause.verify_message}",
                "name the authority that issued it: --ca-file FILE; or let the service present a "
                f"certificate for {access.address.host} and every intermediate",
                "misdirected",
            )
        if isinstance(cause, ssl.SSLError):
            return ServiceError(
                f"TLS with {url} fails: {describe_error(cause)}",
                "check that the port speaks TLS: tls_certificate and tls_key in the service's "
                "watch.toml, or a proxy before it",
                "away",
            )
    # h11's message if the first line is not HTTP. A truncated response has another message.
    if isinstance(exc, httpx2.RemoteProtocolError) and str(exc).startswith("illegal "):
        is_clear_text = url.startswith("http://")
        return ServiceError(
            f"{url} is not the address of a monitoring service: its answer is not HTTP",
            _https(url)
            if is_clear_text
            else "give the address of its pages (public_url in its watch.toml)",
            "misdirected",
        )
    if isinstance(exc, httpx2.TimeoutException):
        problem = "it did not answer in time"
    else:
        problem = next(filter(None, map(_of_system, _causes(exc))), "")
    return ServiceError(
        f"{url} cannot be reached: {problem or describe_error(exc)}",
        "check the address, and that this machine may connect to it (a firewall, a proxy: "
        "HTTPS_PROXY)",
        "away",
    )


def _https(url: str) -> str:
    return f"if the service has TLS, write https://{url.removeprefix('http://')}"


def _of_system(exc: Exception) -> str:
    """Return the operating system's text for the error number of an exception.

    The result is empty if the exception has no error number. The text of the exception itself is
    not used, because asyncio's exceptions contain the address.
    """
    if not isinstance(exc, OSError) or not exc.errno:
        return ""
    if isinstance(exc, socket.gaierror):
        return describe_error(exc)
    return os.strerror(exc.errno).lower()


def _causes(exc: BaseException | None, depth: int = 10) -> Iterator[Exception]:
    """Yield an exception, and all exceptions that caused it, up to ``depth`` levels deep.

    An exception can have several causes: one for each address of the host.
    """
    if not isinstance(exc, Exception) or not depth:
        return
    yield exc
    yield from _causes(exc.__cause__ or exc.__context__, depth - 1)
    if isinstance(exc, ExceptionGroup):
        for member in exc.exceptions:
            yield from _causes(member, depth - 1)


def _retry_after(headers: httpx2.Headers) -> float:
    """Return the seconds in ``Retry-After`` (RFC 9110, 10.2.3); 0 if it is a date or missing."""
    text = headers.get("retry-after", "")
    return min(float(text), _MAX_RETRY_AFTER) if text.isdecimal() and len(text) < 9 else 0.0


def _no_address() -> ConfigError:
    return ConfigError(
        "this is not the address of a monitoring service",
        key="--url",
        fix="write it as https://watch.bank.example, without name, password, ? and #",
    )
