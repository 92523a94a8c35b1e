"""The lab's resolver: its answers, and hostile packets."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import TYPE_CHECKING

import dns.message
import dns.query
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.lab.server import dns as lab_dns
from certpin.lab.server.dns import LONGEST, LabResolver, ResolverPort
from certpin.lab.server.port import Loop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dns.message import Message

HOST, OTHER = "api.bank.example", "other.example"
REAL = ["192.0.2.80", "2001:db8::80"]


async def lookup(name: str) -> Sequence[str]:
    if name == OTHER:
        return REAL
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def find(name: str) -> str | None:
    return "198.19.0.1" if name == HOST else None


def ask(question: Message, resolver: LabResolver | None = None) -> Message:
    packet = asyncio.run((resolver or LabResolver(find, lookup)).respond(question.to_wire()))
    return dns.message.from_wire(packet)


def addresses_in(response: Message) -> list[str]:
    return [item.to_text() for rrset in response.answer for item in rrset]


@pytest.mark.parametrize("name", [HOST, "API.Bank.Example"])
def test_a_host_under_test_is_at_the_lab(name: str) -> None:
    question = dns.message.make_query(name, "A")
    response = ask(question)
    assert addresses_in(response) == ["198.19.0.1"]
    assert question.is_response(response)


@pytest.mark.parametrize(("kind", "address"), [("A", REAL[0]), ("AAAA", REAL[1])])
def test_another_host_is_where_the_system_finds_it(kind: str, address: str) -> None:
    assert addresses_in(ask(dns.message.make_query(OTHER, kind))) == [address]


@pytest.mark.parametrize("kind", ["AAAA", "HTTPS", "SVCB", "TXT", "MX", "ANY"])
def test_a_host_under_test_has_nothing_but_that_address(kind: str) -> None:
    response = ask(dns.message.make_query(HOST, kind))
    assert response.rcode() == dns.rcode.NOERROR
    assert not response.answer


def test_no_record_lets_clients_bypass_the_lab() -> None:
    assert not ask(dns.message.make_query(OTHER, "HTTPS")).answer


@pytest.mark.parametrize("name", ["nobody.example", "a\\000b.example", "sp\\032ace.example"])
def test_a_name_that_does_not_exist_does_not(name: str) -> None:
    assert ask(dns.message.make_query(name, "A")).rcode() == dns.rcode.NXDOMAIN


def test_invalid_host_name_is_not_looked_up() -> None:
    async def never(name: str) -> Sequence[str]:
        raise AssertionError(name)

    ask(dns.message.make_query("a\\000b.example", "A"), LabResolver(find, never))


@pytest.mark.parametrize(
    "exc", [socket.gaierror(socket.EAI_AGAIN, "later"), OSError(), ValueError()]
)
def test_failed_lookup_does_not_deny_the_name(exc: Exception) -> None:
    async def fails(name: str) -> Sequence[str]:
        raise exc

    response = ask(dns.message.make_query(OTHER, "A"), LabResolver(find, fails))
    assert response.rcode() == dns.rcode.SERVFAIL


def test_every_answer_fits_into_a_packet() -> None:
    async def many(name: str) -> Sequence[str]:
        return [f"2001:db8::{n:x}" for n in range(1, 500)]

    question = dns.message.make_query(".".join(["a" * 61] * 4), "AAAA", use_edns=0)
    packet = asyncio.run(LabResolver(find, many).respond(question.to_wire()))
    assert len(packet) <= 512
    assert len(addresses_in(dns.message.from_wire(packet))) == 8


def test_other_packets_get_no_answer() -> None:
    answer = dns.message.make_response(dns.message.make_query(HOST, "A")).to_wire()
    chaos = dns.message.make_query(HOST, "A", rdclass="CH").to_wire()
    none = dns.message.Message().to_wire()
    long = dns.message.make_query(HOST, "A").to_wire() + bytes(LONGEST)
    resolver = LabResolver(find, lookup)
    for packet in (b"", answer, chaos, none, long):
        assert asyncio.run(resolver.respond(packet)) == b""


@given(st.binary(max_size=600))
def test_hostile_packets_raise_nothing(packet: bytes) -> None:
    asyncio.run(LabResolver(find, lookup).respond(packet))


@given(st.data())
def test_damaged_questions_raise_nothing(data: st.DataObject) -> None:
    packet = bytearray(dns.message.make_query(HOST, "A", use_edns=0).to_wire())
    for _ in range(data.draw(st.integers(1, 6))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    asyncio.run(LabResolver(find, lookup).respond(bytes(packet)))


def test_a_crowd_is_answered_in_part() -> None:
    async def crowd() -> list[bytes]:
        gate = asyncio.Event()

        async def slow(name: str) -> Sequence[str]:
            await gate.wait()
            return REAL

        resolver = LabResolver(find, slow)
        packet = dns.message.make_query(OTHER, "A").to_wire()
        tasks = [asyncio.create_task(resolver.respond(packet)) for _ in range(100)]
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*tasks)

    answered = [response for response in asyncio.run(crowd()) if response]
    assert len(answered) == lab_dns._MAX_CONCURRENT


def test_a_real_socket_is_answered() -> None:
    with Loop() as loop:
        port = loop.call(partial(ResolverPort, loop.asyncio, LabResolver(find)))
        try:
            question = dns.message.make_query(HOST, "A")
            response = dns.query.udp(question, "127.0.0.1", port=port.number, timeout=10)
            local = dns.message.make_query("localhost", "A")
            system = dns.query.udp(local, "127.0.0.1", port=port.number, timeout=10)
        finally:
            loop.call(port.close)
    assert addresses_in(response) == ["198.19.0.1"]
    assert addresses_in(system) == ["127.0.0.1"]


def test_a_port_that_is_taken_is_an_error_and_no_leak() -> None:
    with Loop() as loop, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address = taken.getsockname()
        with pytest.raises(OSError, match="in use"):
            loop.call(partial(ResolverPort, loop.asyncio, LabResolver(find), address))
