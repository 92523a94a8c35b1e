"""A small DNS resolver for the lab's clients. It resolves the hosts under test to the lab.

All other hosts resolve to the same addresses as on this machine. The resolver returns only
addresses. Records of type HTTPS (RFC 9460) are left out, because they announce HTTP/3 and encrypted
ClientHellos, with which a client would bypass the lab.

Inside the WireGuard tunnel each host under test has its own address, which identifies the requested
host even if a client sends no name in its ClientHello. All these addresses are in 198.18.0.0/15,
which is not routed (RFC 2544, RFC 6890), so they don't belong to a real server, a home or a
company.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from typing import TYPE_CHECKING

from certpin.lab.case import LabError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from dns.message import Message

    # Returns the addresses of a host.
    Lookup = Callable[[str], Awaitable[Sequence[str]]]


PEER = "198.18.0.2"  # the device's own
PEER6 = "fd63:6572:7470:696e::2"  # so that no IPv6 traffic bypasses the tunnel (a ULA, RFC 4193)
RESOLVER = "198.18.0.53"

_FIRST = int(ipaddress.IPv4Address("198.19.0.1"))
# The limit on hosts, so that queries for ever more names of a pattern can't fill the memory.
_MAX_HOSTS = 4096


class Addresses:
    """Maps each host to an IPv4 address in the lab's WireGuard tunnel, and addresses to hosts.

    Each host gets its own address, until there are too many hosts; the others share one.
    """

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}
        self._hosts: dict[str, str] = {}

    def allot(self, host: str) -> str:
        """Return the address of a host in the tunnel. The first call for a host assigns it.

        At most 4096 hosts get separate addresses. All others share one address.
        """
        if host not in self._addresses and len(self._addresses) < _MAX_HOSTS:
            address = str(ipaddress.IPv4Address(_FIRST + len(self._addresses)))
            self._addresses[host] = address
            self._hosts[address] = host
        return self._addresses.get(host, str(ipaddress.IPv4Address(_FIRST + _MAX_HOSTS - 1)))

    def host(self, address: str) -> str:
        """Return the host to which an address was assigned; the address itself if there is none."""
        return self._hosts.get(address, address)


LONGEST = 4096  # bytes of a query; RFC 6891 section 6.2.5 suggests no more
_SECONDS = 5  # the time to live of an answer: the next run has other addresses
_MAX_ADDRESSES = 8  # so that every answer fits into 512 octets (RFC 1035 section 4.2.1)
_MAX_CONCURRENT = 64  # queries; the others get no answer, and clients repeat them
_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_NO_SUCH_NAME = {socket.EAI_NONAME}


class LabResolver:
    """Answers DNS queries for clients of the lab.

    Args:
        find: takes the name of a host, and returns the lab's address for a host under test, and
            None for all other hosts.
        lookup: returns the addresses of a host that is not under test; by default those that this
            machine's resolver finds.

    Raises:
        LabError: the package dnspython is missing.
    """

    def __init__(self, find: Callable[[str], str | None], lookup: Lookup | None = None) -> None:
        try:
            import dns.message  # noqa: F401
        except ImportError as exc:
            fix = "pip install 'certpin[lab]'"
            raise LabError("the lab's resolver needs the package dnspython", fix=fix) from exc
        self._find = find
        self._lookup = lookup or system_lookup
        self._busy = 0

    async def respond(self, packet: bytes) -> bytes:
        """Return the DNS response to a client's packet, as bytes. Never raises.

        The response is empty if the packet is not a DNS query, or if too many queries are being
        answered at the same time.
        """
        question = read_question(packet)
        if question is None or self._busy >= _MAX_CONCURRENT:
            return b""
        self._busy += 1
        try:
            return await self._answer(question)
        finally:
            self._busy -= 1

    async def _answer(self, question: Message) -> bytes:
        name = question.question[0].name.to_text(omit_final_dot=True).lower()
        if not _HOST.fullmatch(name):
            return answer(question, None)
        own = self._find(name)
        if own is not None:
            return answer(question, [own])
        try:
            return answer(question, await self._lookup(name))
        except socket.gaierror as exc:
            return answer(question, None, failed=exc.errno not in _NO_SUCH_NAME)
        except (OSError, ValueError):
            return answer(question, None, failed=True)


def read_question(packet: bytes) -> Message | None:
    """Parse a DNS query with exactly one question. Never raises.

    Return ``None`` for other packets.
    """
    import dns.flags
    import dns.message
    import dns.opcode
    import dns.rdataclass

    if len(packet) > LONGEST:
        return None
    try:
        message = dns.message.from_wire(packet)
    except Exception:  # noqa: BLE001  # hostile packets can cause any exception in the parser
        return None
    answers = bool(message.flags & dns.flags.QR)  # answering answers could loop for ever
    if answers or message.opcode() != dns.opcode.QUERY or len(message.question) != 1:
        return None
    return message if message.question[0].rdclass == dns.rdataclass.IN else None


def answer(question: Message, addresses: Sequence[str] | None, *, failed: bool = False) -> bytes:
    """Return a DNS response as bytes.

    Args:
        question: the query.
        addresses: the addresses of the name; ``None`` if the name does not exist.
        failed: True if the name could not be resolved (SERVFAIL).
    """
    import dns.message
    import dns.rcode
    import dns.rdatatype
    import dns.rrset

    response = dns.message.make_response(question, recursion_available=True)
    asked = question.question[0]
    if failed:
        response.set_rcode(dns.rcode.SERVFAIL)
    elif addresses is None:
        response.set_rcode(dns.rcode.NXDOMAIN)
    elif found := _of_kind(addresses, dns.rdatatype.to_text(asked.rdtype)):
        kept = dns.rrset.from_text_list(asked.name, _SECONDS, asked.rdclass, asked.rdtype, found)
        response.answer.append(kept)
    return response.to_wire()


def _of_kind(addresses: Sequence[str], kind: str) -> list[str]:
    """Return those addresses that belong to a DNS record type, at most 8, each once.

    ``kind`` is the type: IPv4 addresses belong to A and IPv6 addresses to AAAA. For other types,
    the result is empty.
    """
    version = {"A": 4, "AAAA": 6}.get(kind)
    plain = (address.partition("%")[0] for address in addresses)
    found = [address for address in plain if ipaddress.ip_address(address).version == version]
    return list(dict.fromkeys(found))[:_MAX_ADDRESSES]


async def system_lookup(name: str) -> list[str]:
    """Return the addresses that this machine's resolver finds for a name.

    IPv6 addresses are returned only if this machine has IPv6. Raises ``OSError`` if no address is
    found.
    """
    found = await asyncio.get_running_loop().getaddrinfo(
        name, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return [str(entry[4][0]) for entry in found]


class ResolverPort:
    """A UDP port on which a ``LabResolver`` answers. Use it only in the event loop's thread.

    Raises ``OSError`` if it cannot listen.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        resolver: LabResolver,
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self._sock = socket.socket(
            socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM
        )
        self._sock.setblocking(False)
        try:
            self._sock.bind(address)
        except OSError:
            self._sock.close()
            raise
        self._loop = loop
        self._resolver = resolver
        self._tasks: set[asyncio.Task[None]] = set()
        loop.add_reader(self._sock, self._read)

    @property
    def number(self) -> int:
        """The number of the UDP port."""
        return int(self._sock.getsockname()[1])

    def close(self) -> None:
        """Stop answering, and close the socket."""
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for task in self._tasks:
            task.cancel()

    def _read(self) -> None:
        try:
            packet, sender = self._sock.recvfrom(LONGEST + 1)
        except OSError:  # no packet after all, or an ICMP error about an earlier answer
            return
        if len(self._tasks) < _MAX_CONCURRENT:
            task = self._loop.create_task(self._reply(packet, sender))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reply(self, packet: bytes, sender: tuple[str, int]) -> None:
        reply = await self._resolver.respond(packet)
        try:
            if reply:
                self._sock.sendto(reply, sender)
        except OSError:  # the client or the port has gone
            return
