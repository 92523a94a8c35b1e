"""What all clients share: the context, refused options, and errors that are two in one."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from certpin.errors import ConfigError, MissingExtraError, PinError
from certpin.tls import PinnedSSLContext
from certpin.tls.failures import calling

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from certpin.pins import PinSet
    from certpin.tls.failures import FailureHook

    Pins = PinSet | PinnedSSLContext

Theirs = TypeVar("Theirs", bound=Exception)

# "sse" is niquests' scheme for server-sent events over TLS, and "psse" that without TLS.
_ENCRYPTED = frozenset({"https", "wss", "sse"})
_PORTS = {"https": 443, "wss": 443, "sse": 443, "http": 80, "ws": 80, "psse": 80}
# Bundles that requests and niquests read from the environment, and that pinned clients don't use.
_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def missing_library(extra: str, error: ModuleNotFoundError) -> MissingExtraError:
    """Return the error for an adapter without its library; ``extra`` of certpin installs it."""
    return MissingExtraError(f"certpin.clients.{extra}", extra, name=error.name)


def context_of(pins: Pins, on_failure: Iterable[FailureHook] = ()) -> PinnedSSLContext:
    """The context to connect with: the one given, or a strict one for the pin set.

    Raises ``ConfigError`` for hooks beside a context, which has its own.
    """
    if not isinstance(pins, PinnedSSLContext):
        return PinnedSSLContext(pins, on_failure=on_failure)
    if tuple(on_failure):
        raise ConfigError(
            "the context that is given has its own hooks",
            key="on_failure",
            fix="PinnedSSLContext(pins, on_failure=…)",
        )
    return pins


@contextmanager
def admitted(context: PinnedSSLContext, scheme: str, host: str, port: int | None) -> Iterator[None]:
    """For the block that connects: refuse a request before there is a connection, and tell whoever
    hears of a failure which port was called. Without a ``port`` it is that of the scheme.

    Raises ``InsecureRequestError`` for clear text, and ``UnpinnedHostError``.
    """
    scheme = scheme.lower().partition("+")[0]  # niquests: wss+IMPLEMENTATION
    with calling(host, _PORTS.get(scheme, 0) if port is None else port):
        context.admit(host, encrypted=scheme in _ENCRYPTED)
        yield


def port_in(url: Any) -> int | None:
    """The port that stands in an address, as ``urlsplit`` reads it; a bad one is the library's."""
    try:
        port: int | None = url.port
    except ValueError:
        return None
    return port


def refuse_options(options: Mapping[str, Any], *names: str) -> None:
    """Raise ``ConfigError`` for the first of these options that is set (not ``None``)."""
    for name in names:
        if options.get(name) is not None:
            raise refused_option(name, options[name])


def refuse_bundle(verify: object) -> None:
    """Raise ``ConfigError`` for a ``verify=`` other than ``True`` and a bundle of the environment.

    Libraries pass the latter on as if the caller had given it.
    """
    of_the_environment = [os.environ.get(name) for name in _BUNDLE_VARIABLES]
    if verify is not True and verify not in of_the_environment:
        raise refused_option("verify", verify)


def refused_option(name: str, value: object) -> ConfigError:
    """The error for an option that has no place beside a pinned context."""
    return ConfigError(
        f"{value!r} is refused: TLS is set up by the pinned context alone",
        key=name,
        fix="remove it; a private authority stands in the pin file (trust = FILE), a client "
        "certificate and TLS versions are set on the PinnedSSLContext",
    )


def both(theirs: Theirs, error: PinError) -> Theirs:
    """The library's error and the refusal as one, for ``except`` clauses that know either.

    Pickled, it becomes the ``PinError`` alone: requests and connections stay where they were.
    """
    # The class in certpin.errors, also where another library's error was merged in already.
    ours: Any = getattr(error, "_alone", type(error))
    base: Any = type(theirs)
    kind = _kind_of_both(base, ours)
    merged = kind.__new__(kind)
    OSError.__init__(merged, *error.args)
    vars(merged).update(vars(error) | vars(theirs))
    merged.__cause__ = error.__cause__
    return cast("Theirs", merged)


@cache
def _kind_of_both(theirs: Any, ours: Any) -> type[PinError]:
    body = {
        "__doc__": f"{theirs.__name__} of {theirs.__module__}, because of a {ours.__name__}.",
        "__module__": __package__,
        "__reduce__": _reduce,
        "__str__": ours.__str__,
        "_alone": ours,
    }
    return type(ours.__name__, (theirs, ours), body)


def _reduce(error: Any) -> tuple[Any, ...]:
    ours = error._alone
    rebuild, (_, *parts) = ours.__reduce__(error)
    return rebuild, (ours, *parts)
