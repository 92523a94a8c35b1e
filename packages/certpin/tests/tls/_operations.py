"""All operations with which a program moves application bytes over an ``SSLSocket``."""

from __future__ import annotations

import io
import tempfile
from typing import TYPE_CHECKING, Any

from tests.tls._raw import CANARY

if TYPE_CHECKING:
    from collections.abc import Callable


def _sendfile(tls: Any) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(CANARY)
        file.seek(0)
        tls.sendfile(file)


def _write_to_file(tls: Any) -> None:
    with tls.makefile("wb", buffering=0) as file:
        file.write(CANARY)


def _write_to_buffered_file(tls: Any) -> None:
    file = tls.makefile("wb")
    try:
        file.write(CANARY)
        file.flush()
    finally:
        file.raw.close()  # close() would flush again


def _read_from_file(tls: Any) -> None:
    with tls.makefile("rb") as file:
        file.read(1)


def _copy(tls: Any) -> None:
    with tls.makefile("rwb", buffering=0) as file:
        io.BufferedRWPair(file, file).read(1)


SENDING: dict[str, Callable[[Any], object]] = {
    "send": lambda tls: tls.send(CANARY),
    "sendall": lambda tls: tls.sendall(CANARY),
    "write": lambda tls: tls.write(CANARY),
    "sendfile": _sendfile,
    "makefile, write": _write_to_file,
    "makefile, flush": _write_to_buffered_file,
}
READING: dict[str, Callable[[Any], object]] = {
    "recv": lambda tls: tls.recv(1),
    "recv_into": lambda tls: tls.recv_into(bytearray(1)),
    "read": lambda tls: tls.read(1),
    "read into": lambda tls: tls.read(1, bytearray(1)),
    "makefile, read": _read_from_file,
    "makefile, pair": _copy,
}
ALL: dict[str, Callable[[Any], object]] = {
    **SENDING,
    **READING,
    "do_handshake": lambda tls: tls.do_handshake(),
}
