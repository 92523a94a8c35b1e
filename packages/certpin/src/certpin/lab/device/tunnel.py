"""The WireGuard tunnel of an interactive lab, for devices and apps that ignore proxy settings.

A device sends all its traffic through the tunnel. The package `mitmproxy_rs` turns the traffic into
streams: TCP connections and UDP packets.

The lab serves TCP connections to hosts under test, and relays all others. It answers DNS queries
(UDP port 53) to any resolver. All other UDP is dropped, in particular QUIC: an app that uses HTTP/3
falls back to TCP, where its ClientHello shows the lab the requested host. Calls and games don't
work while the device uses the tunnel.

If an app resolves names over TLS, and encrypts its ClientHello, the lab can't see the requested
host. It relays the connections of such an app, and the app's cases stay inconclusive.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from certpin.errors import MissingExtraError
from certpin.lab.case import LabError
from certpin.lab.device.connection import DeviceConnection, ObservedConnection, routed_connection
from certpin.lab.device.page import HOST
from certpin.lab.server.dns import LONGEST, PEER, PEER6, RESOLVER, Addresses, LabResolver
from certpin.lab.server.port import PATIENCE
from certpin.lab.server.relay import UPSTREAM, Reader, Writer, is_local, parse_address, pass_through
from certpin.lab.server.session import Destination
from certpin.pins.hosts import join_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.device.page import Page
    from certpin.lab.device.schedule import Schedule
    from certpin.lab.server.conversation import Conversation


# Bytes of an inner packet. With the headers of WireGuard and IPv6 it fits paths with an MTU of
# 1360 (mobile networks), and inner IPv6 needs at least 1280 (RFC 8200 section 5).
_MTU = 1280
_KEEPALIVE = 25  # seconds; as wg(8) advises behind a NAT


@dataclass(frozen=True)
class TunnelKeys:
    """The WireGuard private keys of the lab and of the device (``peer``), in base64."""

    lab: str = field(repr=False)
    peer: str = field(repr=False)

    @classmethod
    def make(cls, secret: Callable[[str, Callable[[], str]], str]) -> Self:
        """Return the stored keys of the WireGuard tunnel; create and store them if there are none.

        Args:
            secret: takes a name and a function, and returns the stored secret of this name. If no
                secret is stored, it stores and returns the result of the function.

        Raises:
            MissingExtraError: the package mitmproxy_rs is missing.
        """
        new = wireguard().genkey
        return cls(secret("wireguard-lab", new), secret("wireguard-peer", new))

    @property
    def peer_public(self) -> str:
        """The public key of the device, the only peer that the lab accepts."""
        return str(wireguard().pubkey(self.peer))

    def peer_configuration(self, host: str, port: int) -> str:
        """Return the configuration of the device for wg-quick(8), with the device's private key.

        Args:
            host: the host name or address at which the device reaches the lab.
            port: the UDP port of the tunnel.
        """
        endpoint = join_address(host, port)
        return (
            "[Interface]\n"
            f"PrivateKey = {self.peer}\n"
            f"Address = {PEER}/32, {PEER6}/128\n"
            f"DNS = {RESOLVER}\n"
            f"MTU = {_MTU}\n"
            "\n"
            "[Peer]\n"
            f"PublicKey = {wireguard().pubkey(self.lab)}\n"
            "AllowedIPs = 0.0.0.0/0, ::/0\n"
            f"Endpoint = {endpoint}\n"
            f"PersistentKeepalive = {_KEEPALIVE}\n"
        )


_SINCE = (3, 12)  # mitmproxy_rs has no wheels for an older Python


def wireguard() -> Any:
    """Return the WireGuard module of `mitmproxy_rs`.

    Raises ``MissingExtraError`` if the package is not installed, and ``LabError`` if Python is too
    old for it.
    """
    if sys.version_info < _SINCE:
        raise LabError(
            "WireGuard needs Python 3.12 or newer",
            fix="run certpin with python3.12, or lead the device by the lab's proxy",
        )
    try:
        return importlib.import_module("mitmproxy_rs.wireguard")
    except ImportError as exc:
        raise MissingExtraError("WireGuard", "wireguard", name="mitmproxy_rs") from exc


def tunnel(schedule: Schedule, page: Page) -> WireGuard:
    """Return the WireGuard server of the lab, which is not started yet.

    Args:
        schedule: assigns connections to cases.
        page: the lab's web page.

    Raises:
        MissingExtraError: a package is missing.
    """
    addresses = Addresses()

    def find(host: str) -> str | None:
        return addresses.allot(host) if host == HOST or schedule.tests(host) else None

    def make(destination: Destination) -> Conversation:
        return arrival(schedule, page, destination)

    return WireGuard(make, LabResolver(find), addresses, _report_end)


def arrival(
    schedule: Schedule, page: Page, destination: Destination
) -> ObservedConnection | DeviceConnection:
    """Return the conversation (the protocol state machine) that serves a connection in the tunnel.

    Args:
        schedule: assigns the connection to a case.
        page: the lab's web page, for connections to the lab itself.
        destination: the host and port to which the device connected.
    """
    if destination.host == HOST:
        return DeviceConnection(schedule, page)
    return routed_connection(schedule, destination)


def _report_end(conversation: Conversation) -> None:
    if isinstance(conversation, (ObservedConnection, DeviceConnection)):
        conversation.ended()


VIA = "wireguard"
_PIECE = 64 * 1024
_DNS = 53
_SILENCE = 2.0  # seconds; a client silent for longer waits for the server to speak first
_ANOTHER_QUESTION = 10.0  # seconds to wait for another query on a socket of the device
_MAX_STREAMS = 1024  # concurrent streams; each uses 128 KiB in the tunnel's network stack


class Stream(Reader, Writer, Protocol):
    """A stream of `mitmproxy_rs` from a device: a TCP connection, or UDP packets to one address."""


class WireGuard:
    """A WireGuard server for one device. Use it only in the event loop's thread.

    Args:
        make: takes the destination of a connection, and returns the conversation (the protocol
            state machine) that serves it. The destination has a host name if the lab's resolver
            assigned its address, and an IP address otherwise.
        resolver: answers DNS queries.
        addresses: the addresses in the tunnel that the resolver assigned.
        ended: called with each conversation that the lab served, or relayed to the real server of a
            host under test, when it has ended.
    """

    def __init__(
        self,
        make: Callable[[Destination], Conversation],
        resolver: LabResolver,
        addresses: Addresses,
        ended: Callable[[Conversation], None] = lambda _: None,
    ) -> None:
        self._make = make
        self._resolver = resolver
        self._addresses = addresses
        self._ended = ended
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: Any = None

    async def start(
        self, private_key: str, peer: str, address: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        """Start to listen for one device.

        Args:
            private_key: the private key of the lab, in base64.
            peer: the public key of the device, in base64.
            address: the IP address and the UDP port to listen on; port 0 for any free port.

        Raises:
            LabError: the server cannot listen.
            MissingExtraError: the package mitmproxy_rs is missing.
        """
        module = wireguard()
        try:
            self._server = await module.start_wireguard_server(
                *address, private_key, [peer], self.take_tcp, self.take_udp
            )
        except (OSError, ValueError) as exc:
            where = f"port {address[1]} of {address[0]}"
            fix = "choose another port, and an address of this machine"
            raise LabError(f"WireGuard cannot listen on {where}: {exc}", fix=fix) from exc

    @property
    def port(self) -> int:
        """The UDP port on which the server listens."""
        return int(self._server.getsockname()[1])

    async def stop(self) -> None:
        """Stop the server, and end all connections of the device."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server:
            self._server.close()
            await self._server.wait_closed()

    async def take_tcp(self, stream: Stream) -> None:
        """Serve or relay one TCP connection of the device until it ends.

        ``stream`` is the connection. It is closed at the end, also after an error.
        """
        await self._guarded(self._tcp, stream)

    async def take_udp(self, stream: Stream) -> None:
        """Answer the DNS queries in ``stream``, UDP packets of a device to one address.

        If the packets are for another port than 53, the stream is closed, and they are dropped.
        """
        if stream.get_extra_info("sockname")[1] == _DNS:
            await self._guarded(self._udp, stream)
        else:
            _close(stream)

    async def _guarded(self, serve: Callable[[Stream], Any], stream: Stream) -> None:
        task: Any = asyncio.current_task()
        if len(self._tasks) < _MAX_STREAMS:
            self._tasks.add(task)
        try:
            if task in self._tasks:
                await serve(stream)
        except OSError:  # the device has disconnected
            pass
        finally:
            self._tasks.discard(task)
            _close(stream)

    async def _udp(self, stream: Stream) -> None:
        with suppress(TimeoutError):
            while packet := await asyncio.wait_for(stream.read(LONGEST + 1), _ANOTHER_QUESTION):
                if reply := await self._resolver.respond(packet):
                    stream.write(reply)

    async def _tcp(self, stream: Stream) -> None:
        address, port = stream.get_extra_info("sockname")[:2]
        host = self._addresses.host(address)
        if host == address and not may_pass(address):
            return
        near = _Near(stream)
        conversation = self._make(Destination(VIA, host, port))
        try:
            await _converse(near, stream, conversation)
            if conversation.passing:
                to = conversation.passing
                await pass_through((near, stream), conversation, to, may_pass)
        finally:
            near.close()
            passing = conversation.passing
            if passing is None or passing.via == UPSTREAM:
                self._ended(conversation)


async def _converse(near: _Near, stream: Stream, conversation: Conversation) -> None:
    """Move bytes between a stream and its conversation (the protocol state machine that serves it).

    Return when the conversation or the client ends the connection, after a time-out, or when the
    connection must be relayed. ``near`` is the reading side of the stream.
    """
    silent: Callable[[], None] | None = getattr(conversation, "silent", None)
    while not conversation.passing:
        if out := conversation.data_to_send():
            with suppress(OSError):  # the client no longer reads; its data must still be read
                stream.write(out)
                await stream.drain()
        if conversation.done:
            break
        on_silence = conversation.resume if conversation.pause else silent
        try:
            data = await _hear(near, conversation.pause or (_SILENCE if silent else PATIENCE))
        except TimeoutError:
            if not on_silence:
                return
            on_silence()
            silent = None
            continue
        silent = None
        conversation.receive(data)
        if not data:
            return
    if not conversation.passing:
        await _hear_out(near, stream, conversation)


async def _hear_out(near: _Near, stream: Stream, conversation: Conversation) -> None:
    """Close the lab's side of a stream, and pass the client's last bytes to the conversation.

    The conversation is the protocol state machine that serves the stream. The bytes can be a TLS
    alert, which shows why the client refused the server. If the client then closes its side, the
    conversation gets empty bytes, because the closing is evidence too. ``near`` is the reading side
    of the stream.
    """
    with suppress(OSError):
        stream.write_eof()
    with suppress(TimeoutError):
        while data := await _hear(near, PATIENCE):
            conversation.receive(data)
        conversation.receive(data)


async def _hear(near: _Near, patience: float) -> bytes:
    """Return the client's next bytes; empty if the client has closed or reset the connection.

    ``near`` is the reading side of the client's stream. Raises ``TimeoutError`` after ``patience``
    seconds.
    """
    try:
        return await near.read(_PIECE, patience)
    except TimeoutError:
        raise
    except OSError:
        return b""


class _Near:
    """The reading side of a device's stream. A read that timed out continues in the background.

    The next ``read`` waits for that read, because two reads of one stream at the same time would
    end the whole server of `mitmproxy_rs`.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._reading: asyncio.Future[bytes] | None = None

    async def read(self, n: int, patience: float | None = None, /) -> bytes:
        """Return the next bytes of the stream, at most ``n``; empty at the end of the stream.

        Raises ``TimeoutError`` after ``patience`` seconds; None waits without a limit.
        """
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._stream.read(n))
        data = await asyncio.wait_for(asyncio.shield(self._reading), patience)
        self._reading = None
        return data

    def close(self) -> None:
        """Cancel a read that continues in the background after a timeout."""
        if self._reading is not None:
            self._reading.cancel()


_TUNNEL = ipaddress.ip_network("198.18.0.0/15")  # only the lab uses it


def may_pass(address: str) -> bool:
    """Return True if the lab is allowed to relay a device's connection to this IP address.

    Loopback, link-local, multicast and unspecified addresses are refused (``is_local``), and so are
    the addresses of the tunnel.
    """
    return not is_local(address) and parse_address(address) not in _TUNNEL


def _close(stream: Stream) -> None:
    with suppress(OSError):
        stream.close()
