"""Code that the pinned clients for all HTTP libraries share.

- The TLS context with the pins (``context_of``), and a wrapper of it for libraries that change
  settings of their context (``ContextWrapper``).
- Refused options: an option such as ``verify=`` that would replace the context raises
  ``ConfigError`` (``refuse_options``, ``refuse_bundle``).
- The check before a request is sent: no clear text, and no host without a policy if the context is
  strict (``admitted``).
- Errors with two types (``both``): a refused connection raises an error that ``except`` clauses for
  the library's own error class and for ``PinError`` both catch.
"""

from __future__ import annotations

import os
import ssl
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from certpin.errors import ConfigError, MissingExtraError, PinError
from certpin.support.hooks import checked_hooks
from certpin.tls import PinnedSSLContext
from certpin.tls.failures import requesting
from certpin.x509.contexts import offering
from certpin.x509.openssl import OwnSSLContext

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import NoReturn

    from certpin.pins import PinSet
    from certpin.tls.failures import FailureHook

    Pins = PinSet | PinnedSSLContext

Theirs = TypeVar("Theirs", bound=Exception)

# niquests' schemes for server-sent events are "sse" with TLS and "psse" without.
_ENCRYPTED = frozenset({"https", "wss", "sse"})
_PORTS = {"https": 443, "wss": 443, "sse": 443, "http": 80, "ws": 80, "psse": 80}
# The request of the innermost ``admitted``: context, host, port, and whether it is encrypted.
_admitted: ContextVar[Sequence[tuple[PinnedSSLContext, str, int, bool]]] = ContextVar(
    "certpin_admitted", default=()
)
# requests and niquests read these variables, and pinned clients ignore the bundles.
_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# Options of the libraries for a client certificate, and for the authorities that are trusted.
_CLIENT_CERTIFICATE = frozenset(
    {"cert", "cert_data", "cert_file", "key_data", "key_file", "key_password"}
)
_AUTHORITIES = frozenset({"verify", "ca_cert_data", "ca_cert_dir", "ca_certs", "cert_reqs"})


def missing_library(extra: str, error: ModuleNotFoundError) -> MissingExtraError:
    """Return the error to raise if a client's HTTP library is not installed.

    The error names the extra of certpin that installs the library.

    Args:
        extra: the name of the extra, which is also that of the module in ``certpin.clients``.
        error: the error that the import of the library raised.
    """
    return MissingExtraError(f"certpin.clients.{extra}", extra, name=error.name)


def context_of(pins: Pins, on_failure: Iterable[FailureHook] = ()) -> PinnedSSLContext:
    """Return the pinned TLS context for a client.

    Args:
        pins: a pin set, for which a new, strict context is made; or a context, which is returned.
        on_failure: failure hooks for the new context.

    Raises:
        ConfigError: failure hooks were given together with a context, which has its own hooks; or
            ``on_failure`` is not a list of functions.
    """
    if not isinstance(pins, PinnedSSLContext):
        return PinnedSSLContext(pins, on_failure=on_failure)
    if checked_hooks(on_failure, "failure"):
        raise ConfigError(
            "the given context has its own hooks",
            key="on_failure",
            fix="PinnedSSLContext(pins, on_failure=…)",
        )
    return pins


class ContextWrapper(OwnSSLContext):
    """A context that a client library uses in place of the pinned one, with its own ALPN list.

    It makes every connection with the pinned context, and uses all settings of that context except
    the ALPN protocols. If the library changes another setting of the wrapper, this has no effect,
    so that it can't weaken the pinned context.

    The certificate store of the wrapper is empty, but ``cert_store_stats`` reports one root. The
    reason is urllib3-future: for each connection, it counts the roots of the context, and loads the
    platform's roots if there are none. The pinned context itself raises ``ContextCopyError`` when
    its roots are counted, because that is the first step of libraries that copy a context.
    """

    def __new__(cls, pinned: PinnedSSLContext) -> Self:
        """Make a wrapper of the context ``pinned``. The wrapper itself makes no connection."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, pinned: PinnedSSLContext) -> None:
        self._pinned = pinned
        self._protocols: list[str] = []
        pinned._has_wrappers = True

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """Return a TLS socket of the pinned context, as ``ssl.SSLContext.wrap_socket`` does."""
        with offering(self._protocols):
            return self._pinned.wrap_socket(*args, **kwargs)

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Return an ``SSLObject`` that the pinned context makes. asyncio calls this method."""
        with offering(self._protocols):
            return self._pinned.wrap_bio(*args, **kwargs)

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Set the ALPN protocols that connections through this wrapper offer to the server.

        The protocols of the pinned context don't change.
        """
        protocols = list(alpn_protocols)
        super().set_alpn_protocols(protocols)  # raises an error for an invalid name
        self._protocols = protocols

    def cert_store_stats(self) -> dict[str, int]:
        """Report that the store has one root, so that urllib3-future loads no roots."""
        return {"x509": 1, "crl": 0, "x509_ca": 1}

    def get_ca_certs(self, binary_form: bool = False) -> NoReturn:
        """Always raise ``ContextCopyError``, because a copy of the context would have no pins.

        Libraries that copy a context call this method first, to copy the roots.
        """
        self._pinned.get_ca_certs(binary_form)


@contextmanager
def admitted(context: PinnedSSLContext, scheme: str, host: str, port: int | None) -> Iterator[None]:
    """Context manager: check that a request is allowed; the ``with`` block then sends it.

    While the block runs, reports of failed pin checks name the port of the request's URL. If the
    block enters this context manager again for the same request, the request is not checked again.
    This happens with requests: its adapter and its pool manager both check a request, but a request
    in clear text must be reported only once.

    Args:
        context: the pinned context.
        scheme: the scheme of the URL.
        host: the host of the URL.
        port: the port of the URL; ``None`` for the default port of the scheme.

    Raises:
        InsecureRequestError: the request would be sent in clear text, and the context is strict or
            the host's policy enforces pins.
        UnpinnedHostError: the context is strict, and no policy covers the host.
        PinError: ``host`` is not a host name or an address.
    """
    scheme = scheme.lower().partition("+")[0]  # niquests: wss+IMPLEMENTATION
    port, encrypted = _PORTS.get(scheme, 0) if port is None else port, scheme in _ENCRYPTED
    request = (context, host, port, encrypted)
    with requesting(host, port):
        if request not in _admitted.get():
            context.admit(host, encrypted=encrypted)
        current = [request]
        token = _admitted.set(current)
        try:
            yield
        finally:
            current.clear()  # for a task that the block started, which may run longer
            with suppress(ValueError):  # a coroutine that is closed in another context
                _admitted.reset(token)


def port_in(url: Any) -> int | None:
    """Return the port of a URL; ``None`` if the URL has no port or an invalid one.

    An invalid port is not an error here, because the HTTP library reports it. ``url`` is a result
    of ``urllib.parse.urlsplit``, or a similar object with an attribute ``port``.
    """
    try:
        port: int | None = url.port
    except ValueError:
        return None
    return port


def refuse_options(options: Mapping[str, Any], *names: str) -> None:
    """Raise ``ConfigError`` if an option with one of the names is set (not ``None``).

    Clients call this for options that would replace or weaken the pinned context, such as
    ``verify``.

    Args:
        options: the options that the caller of a client gave.
        names: the names of the options that a pinned client does not accept.
    """
    for name in names:
        if options.get(name) is not None:
            raise refused_option(name, options[name])


def refuse_bundle(verify: object) -> None:
    """Raise ``ConfigError`` if the caller gave a ``verify=`` that could change the verification.

    Allowed are ``True``, and the path of the CA bundle in ``REQUESTS_CA_BUNDLE`` or
    ``CURL_CA_BUNDLE``: libraries pass this path on as if the caller had given it, and pinned
    clients ignore it. A library that passes the value of a variable that is not set passes
    ``None``, so ``None`` is allowed too if one of the two is not set.
    """
    environment_bundles = [os.environ.get(name) for name in _BUNDLE_VARIABLES]
    if verify is not True and verify not in environment_bundles:
        raise refused_option("verify", verify)


def refused_option(name: str, value: object, *, instead: str = "") -> ConfigError:
    """Return the error to raise for a client's option that would change TLS or its verification.

    Only the pinned context may set up TLS. The message names the type of the value, unless it is a
    boolean or a number: it may be a password or a private key.

    Args:
        name: the name of the option.
        value: the value that the caller gave.
        instead: the fix for this option; if empty, it is chosen by name and value.
    """
    shown = repr(value) if isinstance(value, int) else f"a {type(value).__name__}"
    return ConfigError(
        f"{shown} is refused: only the pinned context sets up TLS",
        key=name,
        fix=instead or _instead_of(name, value),
    )


def pinned_in_place(kind: type) -> str:
    """Return the fix for an adapter or a transport without pins: to use the class ``kind``."""
    return f"use {kind.__name__}(pins, …) in its place: it takes the same options, such as retries"


def _instead_of(name: str, value: object) -> str:
    """Return the fix for the option ``name`` of a client, to which its caller gave ``value``."""
    if isinstance(value, PinnedSSLContext):
        return "remove it, and give this context to the client in place of the pins"
    if name in _CLIENT_CERTIFICATE:
        return (
            "remove it; context = certpin.PinnedSSLContext(pins), then "
            "context.load_cert_chain(CERTIFICATE, KEY), and give the context to the client in "
            "place of the pins"
        )
    if name in _AUTHORITIES:
        return (
            "remove it; if a private authority issued the server's certificate, name its file in "
            'the pin file, below [[host]]: trust = "ROOT.pem"'
        )
    return (
        "remove it; name a private authority in the pin file (trust = FILE), and set a client "
        "certificate and TLS versions on the PinnedSSLContext"
    )


def both(theirs: Theirs, error: PinError) -> Theirs:
    """Return an error that is an instance of an HTTP library's error class and of ``PinError``.

    So ``except`` clauses for either class catch the error. If the error is pickled, only its
    ``PinError`` part is kept, because requests and connections can't be pickled.

    Args:
        theirs: the error of the HTTP library.
        error: the ``PinError`` of the refused connection.
    """
    # The class in certpin.errors, even if the error was merged with another library's before.
    ours: Any = getattr(error, "_pin_error", type(error))
    base: Any = type(theirs)
    kind = _merged_type(base, ours)
    merged = kind.__new__(kind)
    OSError.__init__(merged, *error.args)
    vars(merged).update(vars(error) | vars(theirs))
    merged.__cause__ = error.__cause__
    return cast("Theirs", merged)


@cache
def _merged_type(theirs: Any, ours: Any) -> type[PinError]:
    body = {
        "__doc__": f"{theirs.__name__} of {theirs.__module__}, because of a {ours.__name__}.",
        "__module__": __package__,
        "__reduce__": _reduce,
        "__str__": ours.__str__,
        "_pin_error": ours,
    }
    return type(ours.__name__, (theirs, ours), body)


def _reduce(error: Any) -> tuple[Any, ...]:
    ours = error._pin_error
    rebuild, (_, *parts) = ours.__reduce__(error)
    return rebuild, (ours, *parts)
