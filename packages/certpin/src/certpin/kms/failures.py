"""Turn errors of key services into ``TokenError``, without secrets.

The message of a client library's error is never repeated, because it may contain secrets: the
message of AWS for an invalid signature contains the session token of the request. For the same
reason the libraries' loggers are silent during a call: securesystemslib logs such a message as an
error, which Python prints if the program does not configure logging.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Any

from certpin.errors import TokenError
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.kms.uri import ServiceURI

_LOGGERS = ("azure", "boto3", "botocore", "google", "hvac", "msal", "securesystemslib", "urllib3")
_UNREACHABLE = "check the network, and the address of the service"
_UNREACHABLE_BY_PROXY = "check the proxy (HTTPS_PROXY, NO_PROXY)"
_OTHER_SERVICE = "check the address: the answer isn't one of this service"
_UNTRUSTED = (
    "let the client trust the service's authority: VAULT_CACERT for Vault, AWS_CA_BUNDLE for AWS, "
    "REQUESTS_CA_BUNDLE for others"
)
_LONGEST_CODE = 80  # characters: the service chooses them

# By the name of an exception or the code of a service.
_FIXES = {
    "NoRegionError": "set AWS_DEFAULT_REGION to the region of the key",
    "NoCredentialsError": "give credentials, as to the aws command: in CI, by OIDC",
    "NotFoundException": "check the name of the key, the region (AWS_DEFAULT_REGION) and the "
    "account of the credentials",
    "NOT_FOUND": "check the name of the key",
    "KeyNotFound": "check the name and the version of the key",
    "InvalidPath": "check the name of the key; certpin uses the mount point transit",
    "DisabledException": "enable the key, or take another one",
    "KMSInvalidStateException": "check the state of the key: aws kms describe-key",
    "DefaultCredentialsError": "give application default credentials: in CI, by OIDC",
    "EndpointConnectionError": _UNREACHABLE,
    "ConnectTimeoutError": _UNREACHABLE,
    "ReadTimeoutError": _UNREACHABLE,
    "ConnectionError": _UNREACHABLE,
    "ConnectTimeout": _UNREACHABLE,
    "ReadTimeout": _UNREACHABLE,
    "ProxyError": _UNREACHABLE_BY_PROXY,
    "ProxyConnectionError": _UNREACHABLE_BY_PROXY,
    "TooManyRedirects": _UNREACHABLE,
    "SSLError": _UNTRUSTED,
    "VaultDown": "unseal Vault, or wait until it has started",
    "RateLimitExceeded": "wait, and run it again",
    "ThrottlingException": "wait, and run it again",
    "TypeError": _OTHER_SERVICE,
    "JSONDecodeError": _OTHER_SERVICE,
    "ServiceRequestError": _UNREACHABLE,
    "ServiceResponseError": _UNREACHABLE,
    "RetryError": _UNREACHABLE,
    "UNAVAILABLE": _UNREACHABLE,
    "DEADLINE_EXCEEDED": _UNREACHABLE,
    "ClientAuthenticationError": "give credentials that DefaultAzureCredential finds: in CI, by "
    "OIDC",
}


def require_client(uri: ServiceURI) -> None:
    """Check that the packages for the key service of this URI are installed.

    Raises:
        TokenError: a package is missing.
    """
    service = uri.service
    for module in ("securesystemslib", *service.modules):
        try:
            import_module(module)
        except ImportError:
            raise TokenError(
                f"keys in {service.title} need the package {module}",
                fix=f"pip install 'certpin[{service.extra}]'",
            ) from None


@contextmanager
def translated(uri: ServiceURI, *passed: type[Exception]) -> Iterator[None]:
    """Context manager: raise ``TokenError`` instead of errors of a key service's client library.

    The message of the ``TokenError`` names the service, the key, and the error code of the service
    (or the class of the exception). It never repeats the text of the original error, which may
    contain secrets. While the ``with`` block runs, log records of the client libraries are dropped,
    for the same reason.

    Args:
        uri: the URI of the key in the key service (such as AWS KMS), for the message.
        passed: classes of exceptions that leave the block unchanged.

    Raises:
        TokenError: the block raised any other ``Exception``.
    """
    try:
        with _silence:
            yield
    except Exception as exc:  # the clients have no common class, and answers may be anything
        if isinstance(exc, (TokenError, *passed)):
            raise
        code = printable(_code(exc))[:_LONGEST_CODE]
        # Not "from exc": its text may contain a token.
        raise TokenError(
            f"{uri.service.title} can't be used with {uri}: {code}",
            fix=_FIXES.get(code, uri.service.needs),
        ) from None


def _code(exc: Exception) -> str:
    """Return the error code that a key service gave in ``exc``, or the name of the exception."""
    response = getattr(exc, "response", None)
    if isinstance(response, dict):  # botocore.exceptions.ClientError
        code: Any = response.get("Error", {}).get("Code")
    elif (status := getattr(exc, "grpc_status_code", None)) is not None:  # google.api_core
        code = getattr(status, "name", "")
    else:  # azure.core.exceptions.HttpResponseError
        code = getattr(getattr(exc, "error", None), "code", "")
    return code if isinstance(code, str) and code else type(exc).__name__


class _Silence:
    """A context manager that drops the log records of key services' client libraries.

    Several threads may be in the block at the same time. The loggers are restored when the last
    thread leaves it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._before: list[tuple[logging.Logger, bool, list[logging.Handler]]] = []

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            loggers = [logging.getLogger(name) for name in _LOGGERS]
            self._before = [(each, each.propagate, each.handlers) for each in loggers]
            for logger in loggers:
                logger.propagate = False
                logger.handlers = [logging.NullHandler()]

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside:
                return
            for logger, propagate, handlers in self._before:
                logger.propagate, logger.handlers = propagate, handlers


_silence = _Silence()
