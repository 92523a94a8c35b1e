"""STARTTLS clients for lab tests: smtplib, imaplib, asyncpg, and insecure ones."""

from __future__ import annotations

import asyncio
import imaplib
import smtplib
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg

from certpin.lab.client import Call
from certpin.lab.pki import Style
from tests.lab._clients import pinned, trusting

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from certpin.lab.target import Target

    Speak = Callable[[Target, ssl.SSLContext], str]
    Broken = Callable[[Target], str]

STARTUP = struct.pack(">II", 27, 196_608) + b"user\0me\0database\0x\0"


def smtp(target: Target, context: ssl.SSLContext) -> str:
    """Log in, send a message and quit with smtplib. Return the server's last response."""
    with smtplib.SMTP(target.address, target.port, "me.example", timeout=10) as client:
        client._host = target.host  # type: ignore[attr-defined]  # the name to verify
        client.starttls(context=context)
        client.login("me", target.canary)
        client.sendmail("me@a.example", "you@b.example", f"Subject: x\n\n.\n{target.canary}\n")
        client.mail("me@a.example")
        client.rcpt("you@b.example")
        return client.data(target.canary)[1].decode()


def imap(target: Target, context: ssl.SSLContext) -> str:
    """Log in, fetch a message and log out with imaplib. Return the fetched message."""
    client = imaplib.IMAP4(target.address, target.port, timeout=10)
    try:
        client.host = target.host  # the name to verify
        client.starttls(context)
        client.login("me", target.canary)
        client.select()
        return str(client.fetch("1", "(BODY[])"))
    finally:
        with suppress(OSError, imaplib.IMAP4.error):
            client.logout()
        with suppress(OSError):
            client.shutdown()  # logout() skips this after an error


def postgres(target: Target, context: ssl.SSLContext) -> str:
    """Run a simple and an extended query with asyncpg. Return both results."""

    async def call() -> str:
        client: Any = await asyncpg.connect(
            host=target.address,
            port=target.port,
            user="me",
            database=target.canary,
            ssl=_naming(context, target.host),
            timeout=10,
        )
        try:
            return f"{await client.execute('select 1')} {await client.fetchval('select 1')}"
        finally:
            await client.close()

    return asyncio.run(call())


def _naming(context: ssl.SSLContext, host: str) -> ssl.SSLContext:
    """Change a context to verify this host: asyncpg would verify the lab's address instead."""
    wrap: Any = context.wrap_bio

    def wrap_bio(*bios: Any, server_side: bool = False, **_: Any) -> ssl.SSLObject:
        made: ssl.SSLObject = wrap(*bios, server_side=server_side, server_hostname=host)
        return made

    context.wrap_bio = wrap_bio  # type: ignore[method-assign]
    return context


RIGHT: dict[str, Speak] = {"smtp": smtp, "imap": imap, "postgres": postgres}


def right(protocol: str, style: Style) -> Call:
    """Return a client of smtp, imap or postgres that makes no mistake with STARTTLS and pins.

    ``style`` is the way in which it compares the pins.
    """
    context = trusting if style is Style.NONE else pinned
    return Call(lambda target: RIGHT[protocol](target, context(target)))


def dial(target: Target) -> socket.socket:
    """Return a connection to the lab."""
    return socket.create_connection((target.address, target.port), 10)


def without_tls(target: Target) -> str:
    """Send a message with smtplib, in clear text if the server does not support STARTTLS."""
    with smtplib.SMTP(target.address, target.port, "me.example", timeout=10) as client:
        client._host = target.host  # type: ignore[attr-defined]
        with suppress(smtplib.SMTPNotSupportedError):
            client.starttls(context=pinned(target))
        client.login("me", target.canary)
        client.mail("me@a.example")
        client.rcpt("you@b.example")
        return client.data(target.canary)[1].decode()


def implicit(target: Target) -> str:
    """Log in over SMTP with TLS from the first byte on, without STARTTLS."""
    wire = Keeping(dial(target))
    try:
        wire.secure(pinned(target), target.host)
        wire.line()
        wire.ask("EHLO me", b"250 ")
        return wire.ask(f"AUTH PLAIN {target.canary}", b"235 ").decode()
    finally:
        wire.sock.close()


def imap_without_tls(target: Target) -> str:
    """Log in with imaplib, in clear text if the server does not offer STARTTLS."""
    client = imaplib.IMAP4(target.address, target.port, timeout=10)
    try:
        client.host = target.host
        if "STARTTLS" in client.capabilities:
            client.starttls(pinned(target))
        return str(client.login("me", target.canary))
    finally:
        with suppress(OSError):
            client.shutdown()


def postgres_without_tls(target: Target) -> str:
    """A client that behaves as libpq with sslmode=prefer."""
    return _postgres(target, insist=False)


def keeping_postgres(target: Target) -> str:
    """A client with CVE-2021-23222 of libpq: it keeps the bytes after the answer S."""
    return _postgres(target, insist=True)


_NO = (b"4", b"5", b"a1 NO", b"a1 BAD")  # of SMTP and of IMAP


class Keeping:
    """A line-based client that keeps clear-text bytes in its read buffer when TLS begins.

    This is the fault in CVE-2011-0411 and CVE-2021-22947.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = bytearray()

    def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Begin TLS without discarding the buffer, which is the fault of this client."""
        self.sock = context.wrap_socket(self.sock, server_hostname=host)

    def take(self, octets: int) -> bytes:
        """Read exactly this many bytes from the connection, and return them."""
        while len(self._buffer) < octets:
            self._fill()
        taken = bytes(self._buffer[:octets])
        del self._buffer[:octets]
        return taken

    def line(self) -> bytes:
        """Read one line, and return it with its line ending."""
        while b"\n" not in self._buffer:
            self._fill()
        return self.take(self._buffer.index(b"\n") + 1)

    def _fill(self) -> None:
        piece = self.sock.recv(4096)
        if not piece:
            raise ConnectionError("the server hung up")
        self._buffer += piece

    def ask(self, words: str, last: bytes) -> bytes:
        """Send a command, and read lines until one begins with ``last``. Return that line."""
        self.sock.sendall(words.encode() + b"\r\n")
        while not (line := self.line()).startswith(last):
            if line.startswith(_NO):
                raise ConnectionError("the server would not")
        return line


def keeping_smtp(target: Target) -> str:
    """Log in over SMTP with a client that keeps clear-text bytes in its buffer when TLS begins."""
    wire = Keeping(dial(target))
    try:
        wire.line()
        wire.ask("EHLO me", b"250 ")
        wire.ask("STARTTLS", b"220 ")
        wire.secure(pinned(target), target.host)
        wire.ask("EHLO me", b"250 ")
        return wire.ask(f"AUTH PLAIN {target.canary}", b"2").decode()
    finally:
        wire.sock.close()


def keeping_imap(target: Target) -> str:
    """Log in over IMAP with a client that keeps clear-text bytes in its buffer when TLS begins."""
    wire = Keeping(dial(target))
    try:
        wire.line()
        wire.ask("a1 STARTTLS", b"a1 OK")
        wire.secure(pinned(target), target.host)
        wire.ask("a2 CAPABILITY", b"a2 OK")
        return wire.ask(f"a3 LOGIN me {target.canary}", b"a3 OK").decode()
    finally:
        wire.sock.close()


def _postgres(target: Target, *, insist: bool) -> str:
    wire = Keeping(dial(target))
    try:
        wire.sock.sendall(struct.pack(">II", 8, 80_877_103))
        if wire.take(1) == b"S":
            wire.secure(pinned(target), target.host)
        elif insist:
            raise ConnectionError("no TLS")
        wire.sock.sendall(STARTUP)
        _until(wire, b"Z")
        query = f"select '{target.canary}'\0".encode()
        wire.sock.sendall(b"Q" + struct.pack(">I", 4 + len(query)) + query)
        _until(wire, b"Z")
    finally:
        wire.sock.close()
    return "done"


def _until(wire: Keeping, kind: bytes) -> None:
    while True:
        found, size = struct.unpack(">cI", wire.take(5))
        wire.take(size - 4)
        if found == kind:
            return
