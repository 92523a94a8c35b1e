"""Rule 5: policy, SNI and OpenSSL's hostname check use the same normalised host."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from certpin import PinError, PinMismatchError, PinnedSSLContext, UnpinnedHostError
from certpin.lab.lab_server import server_context
from tests import kit
from tests.tls._servers import RecordingServer, greeted
from tests.tls._wire import HOST, Wire

if TYPE_CHECKING:
    from tests.tls.conftest import World

# The policy's name, the host as a caller writes it, the name in the certificate.
SPELLINGS = [
    (HOST, "API.Bank.Test", HOST),
    (HOST, "api.bank.test.", HOST),
    (HOST, "API.BANK.TEST.", HOST),
    ("API.BANK.TEST.", HOST, HOST),
    ("faß.example", "faß.example", "xn--fa-hia.example"),
    ("faß.example", "FAẞ.example.", "xn--fa-hia.example"),
    ("faß.example", "XN--FA-HIA.Example", "xn--fa-hia.example"),
    ("xn--fa-hia.example", "faß.example", "xn--fa-hia.example"),
    ("*.faß.example", "api.faß.example", "api.xn--fa-hia.example"),
    ("bücher.example", "BÜCHER。example", "xn--bcher-kva.example"),
    ("βόλος.example", "βόλος.example", "xn--nxasmm1c.example"),
    # IDNA 2008 refuses these, and resolvers accept them.
    ("xn--n3h.com", "XN--N3H.com.", "xn--n3h.com"),
    ("a-.example", "A-.example", "a-.example"),
    ("**.bücher.example", "r3---sn.bücher.example", "r3---sn.xn--bcher-kva.example"),
]
ADDRESSES = [
    ("192.0.2.7", "192.0.2.7"),
    ("2001:db8::7", "2001:db8::7"),
    ("2001:db8::7", "[2001:db8::7]"),
    ("2001:db8::7", "2001:DB8:0:0:0:0:0:7"),
    ("[2001:db8:0::7]", "2001:db8::7"),
    ("fe80::7", "fe80::7%eth0"),
    ("fe80::7", "[fe80::7%25eth0]"),
]


def _context(world: World, host: str, **fields: Any) -> PinnedSSLContext:
    return PinnedSSLContext(kit.pin_set(kit.policy(host, world.intermediate.pin)), **fields)


@pytest.mark.medium
@pytest.mark.parametrize(("pinned", "spelling", "name"), SPELLINGS)
def test_all_spellings_of_a_name_are_the_same_host(
    world: World, pinned: str, spelling: str, name: str
) -> None:
    with RecordingServer(server_context(world.intermediate.issue(name))) as server:
        assert greeted(server, _context(world, pinned), spelling).server_name == name


@pytest.mark.parametrize("spelling", ["API.BANK.TEST.", b"api.bank.test", b"Api.Bank.Test."])
def test_an_object_has_the_normalised_host(world: World, spelling: Any) -> None:
    wire = Wire(world.context(), server_context(world.good), spelling).shake()
    assert wire.client.server_hostname == HOST
    assert wire.client.pin_verdict.reason == "match"


def test_a_socket_has_the_normalised_host(world: World) -> None:
    unconnected = world.context().wrap_socket(socket.socket(), server_hostname=b"Api.Bank.Test.")
    with unconnected:
        assert unconnected.server_hostname == HOST


@pytest.mark.parametrize(("pinned", "spelling"), ADDRESSES)
def test_an_address_is_matched_as_an_address_and_sends_no_name(
    world: World, pinned: str, spelling: str
) -> None:
    address = pinned.strip("[]")
    with RecordingServer(server_context(world.intermediate.issue(address))) as server:
        # A name is never an address (RFC 6066 section 3).
        assert greeted(server, _context(world, pinned), spelling).server_name is None


def test_a_certificate_for_another_address_is_refused(world: World) -> None:
    server = server_context(world.intermediate.issue("192.0.2.8", "2001:db8::8"))
    for address in ("192.0.2.7", "2001:db8::7"):
        with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
            Wire(_context(world, address), server, address).shake()


def test_an_address_written_as_a_name_in_the_certificate_is_refused(world: World) -> None:
    from cryptography import x509

    def as_a_name(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        kept = [each for each in builder._extensions if each.oid.dotted_string != "2.5.29.17"]
        builder._extensions = kept
        names = x509.SubjectAlternativeName([x509.DNSName("192.0.2.7")])
        return builder.add_extension(names, critical=False)

    server = server_context(world.intermediate.issue("192.0.2.7", change=as_a_name))
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        Wire(_context(world, "192.0.2.7"), server, "192.0.2.7").shake()


def test_idna_2003_would_select_another_host(world: World) -> None:
    # Python's codec (IDNA 2003) maps it to fass.example, which may belong to an attacker.
    assert "faß.example".encode("idna") == b"fass.example"
    server = server_context(world.intermediate.issue("fass.example"))
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        Wire(_context(world, "faß.example"), server, "faß.example").shake()
    with pytest.raises(UnpinnedHostError):
        Wire(_context(world, "fass.example"), server, "faß.example")


NO_HOSTS = [
    "a..b",
    ".bank.test",
    "api.bank.test..",
    ".",
    "api.bank.test:443",
    "https://api.bank.test",
    "api.bank.test/",
    "user@api.bank.test",
    "api bank.test",
    "api.bank.test\0.evil.example",
    "api.bank.test\n",
    "127.1",
    "0x7f.1",
    "[api.bank.test]",
    "a" * 64 + ".test",
    "*.bank.test",
    "-a.test",
    b"api.bank.test\xff",
    b"fa\xc3\x9f.example",
]


@pytest.mark.parametrize("host", NO_HOSTS, ids=ascii)
@pytest.mark.parametrize("strict", [True, False])
def test_an_invalid_host_is_refused_before_a_byte_is_sent(
    world: World, host: Any, strict: bool
) -> None:
    context = PinnedSSLContext(world.pins(), strict=strict)
    with RecordingServer(None) as server:
        with server.connect() as sock, pytest.raises(PinError) as refusal:
            context.wrap_socket(sock, server_hostname=host)
        assert server.recordings()[0].raw == b""
    assert refusal.value.fix
    with pytest.raises(PinError):
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=host)


@pytest.mark.parametrize("host", [None, "", b""], ids=repr)
@pytest.mark.parametrize("strict", [True, False])
def test_without_a_server_name_there_is_no_connection(
    world: World, host: Any, strict: bool
) -> None:
    context = PinnedSSLContext(world.pins(), strict=strict)
    with socket.socket() as sock, pytest.raises(PinError, match="no server name") as refusal:
        context.wrap_socket(sock, server_hostname=host)
    assert "server_hostname" in refusal.value.fix
    with pytest.raises(PinError, match="no server name"):
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=host)
    with pytest.raises(PinError, match="no server name"):
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO())


@pytest.mark.parametrize("late", ["API.bank.test", "api.bank.test.", b"API.BANK.TEST"])
def test_a_name_set_on_a_waiting_socket_is_normalised_too(world: World, late: Any) -> None:
    # OpenSSL's hostname check ignores case: it would pass, and no policy would be found.
    context: Any = PinnedSSLContext(world.pins(), strict=False)
    with RecordingServer(server_context(world.evil)) as server:
        tls = context.wrap_socket(socket.socket(), server_hostname="www.bank.test")
        tls.server_hostname = late
        with tls, pytest.raises(PinMismatchError):
            tls.connect(server.address)
        assert server.recordings()[0].server_name == HOST
        unnamed = context.wrap_socket(socket.socket(), server_hostname=HOST)
        unnamed.server_hostname = None
        with unnamed, pytest.raises(PinError, match="no server name"):
            unnamed.connect(server.address)
