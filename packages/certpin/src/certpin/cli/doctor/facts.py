"""The facts about this machine that ``certpin doctor`` collects, without judging them.

The command is run when an installation is broken. So this module needs only the standard library,
and each function that needs more catches the failure. Values of environment variables may contain
passwords, and are not read, except to check whether a file that a variable names exists.
"""

from __future__ import annotations

import os
import platform
import socket
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from certpin.support.requirements import installed_version

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from certpin.cli.doctor.packages import Package
    from certpin.pinfile import PinSet

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
KEY_LOG = "SSLKEYLOGFILE"
DEBUG = "CERTPIN_DEBUG"
TRUST_FILES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True)
class PythonFacts:
    """The running Python: its version, implementation, and operating system."""

    version: tuple[int, int, int]
    implementation: str
    system: str


@dataclass(frozen=True)
class TLSFacts:
    """The state of the module ``ssl``, and of OpenSSL below it.

    Attributes:
        problem: why ``ssl`` can't be imported or used; empty if it can. The other attributes have
            their defaults if there is a problem.
        version: the version of OpenSSL, as OpenSSL prints it.
        security_level: the level of a new client context (SSL_CTX_set_security_level(3)).
        tls12: True if OpenSSL was built with TLS 1.2.
        tls13: True if OpenSSL was built with TLS 1.3.
        verified_chain: True if Python's TLS socket can report the chain that OpenSSL verified.
        authorities: the number of trusted authorities in a new client context. Those in the
            directory (see below) are not counted, because OpenSSL reads each only when a chain
            needs it.
        directory: True if there is a directory of authorities that OpenSSL searches.
    """

    problem: str = ""
    version: str = ""
    security_level: int = 0
    tls12: bool = False
    tls13: bool = False
    verified_chain: bool = False
    authorities: int = 0
    directory: bool = False


@dataclass(frozen=True)
class ReplacedFacts:
    """The modules that define Python's classes for TLS and sockets in this process.

    The modules are ``ssl`` and ``socket`` unless a library, such as gevent, has replaced the
    classes.

    ``urllib3_future`` is True if urllib3-future is installed, which replaces urllib3.
    """

    context: str = "ssl"
    tls_socket: str = "ssl"
    socket: str = "socket"
    urllib3_future: bool = False


@dataclass(frozen=True)
class MachineFacts:
    """The resources of the operating system that parts of certpin need.

    Attributes:
        loopback: the error message of listening on 127.0.0.1; empty if there was no error.
        loopback6: the error message of listening on ::1; empty if there was no error.
        temporary: the error message of making a temporary file; empty if there was no error.
        variables: the names of set environment variables that change how certpin works.
        missing_files: the names of the environment variables ``SSL_CERT_FILE`` and
            ``SSL_CERT_DIR``, each only if it is set and none of the paths in its value exists.
    """

    loopback: str = ""
    loopback6: str = ""
    temporary: str = ""
    variables: tuple[str, ...] = ()
    missing_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServerFacts:
    """The result of connecting to one server: its answer, the check of its chain, and its clock.

    Attributes:
        name: the host and port.
        problem: why there was no answer; empty if the server answered.
        fix: how to repair ``problem``.
        chain_problem: why the chain did not verify; empty if it did.
        chain_fix: how to repair ``chain_problem``.
        date: the time by the server's clock; None if the server reported no time.
        local: the time of this machine when the answer came.
    """

    name: str
    problem: str = ""
    fix: str = ""
    chain_problem: str = ""
    chain_fix: str = ""
    date: datetime | None = None
    local: datetime | None = None


@dataclass(frozen=True)
class PinFileFacts:
    """The pin file of the current folder, and whether it can be used.

    ``problem`` says why it can't be used; empty if it can, or if there is no pin file.
    """

    path: str
    exists: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Facts:
    """All facts about this machine that ``certpin doctor`` collects.

    ``packages`` is None if certpin was not installed by pip; ``servers`` is None with
    ``--offline``.
    """

    python: PythonFacts
    tls: TLSFacts
    replaced: ReplacedFacts
    machine: MachineFacts
    packages: tuple[Package, ...] | None
    pin_file: PinFileFacts
    servers: tuple[ServerFacts, ...] | None


def python_facts() -> PythonFacts:
    """Return the version, implementation and operating system of the running Python."""
    major, minor, micro, *_ = sys.version_info
    return PythonFacts((major, minor, micro), platform.python_implementation(), sys.platform)


def tls_facts() -> TLSFacts:
    """Return the state of ``ssl`` and OpenSSL in the running Python."""
    try:
        import ssl

        raw: Any = ssl._ssl  # type: ignore[attr-defined]  # typeshed leaves it out
        # OpenSSL's own context: a library may have replaced that of Python.
        context = raw._SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_default_verify_paths()
        return TLSFacts(
            version=ssl.OPENSSL_VERSION,
            security_level=context.security_level,
            tls12=ssl.HAS_TLSv1_2,
            tls13=ssl.HAS_TLSv1_3,
            verified_chain=hasattr(raw._SSLSocket, "get_verified_chain"),
            authorities=context.cert_store_stats()["x509_ca"],
            directory=_has_certificates(ssl.get_default_verify_paths().capath),
        )
    except (ImportError, OSError, AttributeError, ValueError) as exc:
        return TLSFacts(problem=f"{type(exc).__name__}: {exc}")


def replaced_facts() -> ReplacedFacts:
    """Return the modules that define the classes for TLS and sockets in this process.

    A module other than ``ssl`` and ``socket`` belongs to a library that replaced the classes.
    """
    import socket

    try:
        import ssl
    except ImportError:
        return ReplacedFacts(socket=socket.socket.__module__)
    return ReplacedFacts(
        context=ssl.SSLContext.__module__,
        tls_socket=ssl.SSLSocket.__module__,
        socket=socket.socket.__module__,
        urllib3_future=installed_version("urllib3-future") is not None,
    )


def machine_facts() -> MachineFacts:
    """Test the resources of the operating system that certpin needs, and return the results.

    The function opens listening sockets and a temporary file, reads environment variables, and
    sends nothing.
    """
    proxies = [name for name in PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
    others = [name for name in (KEY_LOG, *TRUST_FILES) if os.environ.get(name)]
    debug = [DEBUG] if os.environ.get(DEBUG) == "1" else []
    missing = [name for name in TRUST_FILES if name in others and not _exists(os.environ[name])]
    return MachineFacts(
        loopback=_error_of(partial(_listen, socket.AF_INET, "127.0.0.1")),
        loopback6=_error_of(partial(_listen, socket.AF_INET6, "::1")),
        temporary=_error_of(_make_file),
        variables=tuple(proxies + others + debug),
        missing_files=tuple(missing),
    )


def pin_file_facts(path: Path) -> tuple[PinFileFacts, PinSet | None]:
    """Read the pin file, and return the facts about it and its pin set.

    The pin set is None if there is no pin file, or if it can't be used: the facts then have the
    problem. ``path`` is the path of the pin file.
    """
    if not path.exists():
        return PinFileFacts(str(path)), None
    try:
        from certpin.pinfile import PinSet

        pins = PinSet.load(path)
    except Exception as exc:  # noqa: BLE001  # a broken package raises anything
        return PinFileFacts(str(path), exists=True, problem=reason(exc)), None
    return PinFileFacts(str(path), exists=True), pins


def reason(exc: Exception) -> str:
    """Return the message of an exception as text for the output.

    ``exc`` is the exception. If it is not one of certpin's, the text begins with the name of its
    class.
    """
    return getattr(exc, "problem", "") or f"{type(exc).__name__}: {exc}"


def _listen(family: int, address: str) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((address, 0))
        listener.listen(1)


def _make_file() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"certpin")


def _error_of(action: Callable[[], None]) -> str:
    try:
        action()
    except OSError as exc:
        return exc.strerror or str(exc) or type(exc).__name__
    return ""


def _has_certificates(folder: str | None) -> bool:
    try:
        return bool(folder) and any(name.endswith(".0") for name in os.listdir(folder))  # noqa: PTH208
    except OSError:
        return False


def _exists(paths: str) -> bool:
    """Return True if one of the paths in a text exists. They are separated as in ``PATH``."""
    return any(os.path.exists(path) for path in paths.split(os.pathsep) if path)  # noqa: PTH110
