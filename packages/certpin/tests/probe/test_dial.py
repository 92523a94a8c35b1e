"""``observe`` returns the served and the verified chain of a server, or raises a typed error."""

from __future__ import annotations

import pickle
import socket
import ssl
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.x509.oid import ExtensionOID

from certpin.errors import DialError, HandshakeError, InputError, StartTLSError
from certpin.lab import Authority, Identity, LabServer
from certpin.probe import Endpoint, ask_each_address, describe_error, dial, observe, probe_context
from certpin.probe.dial import could_not_ask, tls_failure
from tests.probe.scan._servers import Server, flood

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography import x509

HOST = "localhost"
KEY_IDENTIFIER = ExtensionOID.AUTHORITY_KEY_IDENTIFIER


@pytest.fixture
def server(intermediate: Authority) -> Iterator[LabServer]:
    with LabServer(intermediate.issue(HOST)) as running:
        yield running


def trusting(*authorities: Authority) -> ssl.SSLContext:
    return probe_context(b"".join(each.pem for each in authorities).decode())


@contextmanager
def answering(*answers: bytes) -> Iterator[int]:
    """A port on which each connection in turn gets these bytes, and is then closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection, suppress(OSError):  # the client may have closed it: ENOTCONN
                    connection.recv(4096)
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(4096)

        thread = Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


@contextmanager
def agreeing(*parts: bytes) -> Iterator[Endpoint]:
    """A PostgreSQL server on one connection: it sends each part after it received something."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                for part in parts:
                    connection.recv(4096)
                    connection.sendall(part)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(4096)

        thread = Thread(target=serve)
        thread.start()
        yield Endpoint(HOST, listener.getsockname()[1], starttls="postgres")
        thread.join(10)


def test_both_chains_are_read(server: LabServer, root: Authority) -> None:
    seen = observe(Endpoint(HOST, server.port), trusting(root))
    assert seen.verified is not None
    assert [each.subject for each in seen.verified.certificates] == [
        "CN=localhost",
        "CN=Test Intermediate",
        "CN=Test Root",
    ]
    assert seen.served.certificates == seen.verified.certificates[:2]
    assert (seen.address, seen.tls_version, seen.problem, seen.code) == (
        "127.0.0.1",
        "TLSv1.3",
        "",
        0,
    )


def test_an_unverified_chain_is_read_with_the_reason(server: LabServer) -> None:
    seen = observe(Endpoint(HOST, server.port), trusting(Authority("Other")))
    assert seen.verified is None
    assert (seen.problem, seen.code) == ("unable to get local issuer certificate", 20)
    assert len(seen.served.certificates) == 2


def test_the_requested_name_is_verified(server: LabServer, root: Authority) -> None:
    address = ("127.0.0.1", server.port)
    assert observe(Endpoint(HOST, 443, address), trusting(root)).verified
    assert not observe(Endpoint("other.example", 443, address), trusting(root)).verified
    assert not observe(Endpoint(HOST, 443, address, "other.example"), trusting(root)).verified


def test_a_common_name_is_not_a_host_name(root: Authority) -> None:
    bare = Authority("api.bank.example", issuer=root)
    with LabServer(Identity(bare.key, (bare.x509,))) as server:
        endpoint = Endpoint("api.bank.example", 443, ("127.0.0.1", server.port))
        assert observe(endpoint, trusting(root)).verified is None


def test_strict_verification_follows_rfc_5280(root: Authority) -> None:
    def nameless(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        kept = [each for each in builder._extensions if each.oid != KEY_IDENTIFIER]
        builder._extensions = kept
        return builder

    strict = probe_context(root.pem.decode(), strict=True)
    with LabServer(root.issue(HOST, change=nameless)) as server:
        seen = observe(Endpoint(HOST, server.port), strict)
    assert (seen.verified, seen.problem) == (None, "Missing Authority Key Identifier")


def test_the_roots_of_this_machine_are_the_default(server: LabServer, trusted_root: Path) -> None:
    assert observe(Endpoint(HOST, server.port), probe_context()).verified


def test_a_path_may_end_at_an_intermediate_anchor(
    server: LabServer, intermediate: Authority
) -> None:
    seen = observe(Endpoint(HOST, server.port), trusting(intermediate))
    assert seen.verified is not None
    assert len(seen.verified.certificates) == 2


def test_a_path_does_not_end_at_an_intermediate_if_its_root_is_trusted(
    server: LabServer, root: Authority, intermediate: Authority
) -> None:
    seen = observe(Endpoint(HOST, server.port), trusting(intermediate, root))
    assert seen.verified is not None
    assert len(seen.verified.certificates) == 3


@pytest.mark.parametrize("anchors", ["", "junk", "-----BEGIN CERTIFICATE-----\nAAAA"])
def test_invalid_anchors_are_refused(anchors: str) -> None:
    with pytest.raises(InputError):
        probe_context(anchors)


@pytest.mark.medium
def test_a_server_that_never_stops_sending_is_abandoned_at_the_time_limit() -> None:
    with Server(flood) as server, pytest.raises(HandshakeError, match="did not answer in time"):
        observe(Endpoint(HOST, server.port), probe_context(), timeout=0.2)


def test_no_connection_is_a_dial_error() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = Endpoint("127.0.0.1", closed.getsockname()[1])
        with pytest.raises(DialError, match="Connection refused") as caught:
            observe(endpoint, probe_context())
    assert (caught.value.host, caught.value.port) == (endpoint.host, endpoint.port)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "it closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the answer is not TLS"),
        (b"220 mail.example ESMTP\r\n", "the answer is not TLS"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "it may want a client certificate"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "no TLS version that both sides allow"),
        (b"\x15\x03\x03\x00\x02\x02\x70", "it does not serve the requested name"),
        (b"\x15\x03\x03\x00\x02\x02\x50", "internal error"),
        (b"\x16\x03\x03\x00\x05\x02\x00\x00\x01\x00", "no TLS: "),
    ],
)
def test_other_answers_than_tls_are_handshake_errors(answer: bytes, words: str) -> None:
    with answering(answer) as port, pytest.raises(HandshakeError, match=words) as caught:
        observe(Endpoint("127.0.0.1", port), probe_context())
    assert caught.value.fix


def test_every_step_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = Endpoint("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(HandshakeError, match="it did not answer in time"):
            observe(endpoint, probe_context(), timeout=0.05)


def test_a_silent_server_gets_the_time_that_the_handshake_has_left() -> None:
    """The limit of the handshake holds, whatever timeout the connection has."""
    ours, peer = socket.socketpair()
    assert ours.gettimeout() is None
    with ours, peer, pytest.raises(HandshakeError, match="it did not answer in time"):
        dial._handshake(Endpoint(HOST, 443), probe_context(), ours, 0.05)


def test_a_server_that_is_gone_at_the_second_connection_is_an_error(root: Authority) -> None:
    with LabServer(root.issue(HOST)) as server:
        accept, calls = server._server.verify_request, iter(range(10))
        server._server.verify_request = lambda *args: next(calls) == 0 and accept(*args)  # type: ignore[method-assign]
        with pytest.raises(HandshakeError):
            observe(Endpoint(HOST, server.port), trusting(Authority("Other")))


def test_a_certificate_that_is_not_strict_der_is_an_error(
    server: LabServer, root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    # OpenSSL writes its certificates as DER, so no server can send this.
    monkeypatch.setattr(dial, "served_chain", lambda raw: (b"\x30\x80\x00\x00",))
    with pytest.raises(HandshakeError, match="its certificates cannot be read"):
        observe(Endpoint(HOST, server.port), trusting(root))


@pytest.mark.parametrize(
    ("exc", "words"),
    [
        (TimeoutError("timed out"), "it did not answer in time"),
        (ConnectionResetError(104, "Connection reset by peer"), "it closed the connection"),
        (ssl.SSLEOFError(8, "EOF occurred"), "EOF occurred"),
        (ssl.SSLZeroReturnError(6, "has been closed (EOF)"), "it closed the connection"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (OSError(113, "No route to host"), "No route to host"),
        (ValueError(), "ValueError"),
        (OSError("x" * 1000), "x" * 200),
    ],
)
def test_errors_have_a_description(exc: Exception, words: str) -> None:
    assert describe_error(exc) == words
    assert tls_failure(exc) == (words, tls_failure(exc)[1])


def test_bytes_that_are_injected_after_the_go_ahead_are_not_a_wrong_port(root: Authority) -> None:
    """Whether they arrive with the go-ahead or a moment later must not change the advice."""
    fixes = []
    for parts in ((b"S250 injected\r\n",), (b"S", b"250 injected\r\n")):
        with agreeing(*parts) as endpoint, pytest.raises(StartTLSError) as caught:
            observe(endpoint, trusting(root))
        assert caught.value.insecure
        assert pickle.loads(pickle.dumps(caught.value)).insecure
        fixes.append(caught.value.fix)
    assert fixes[0] == fixes[1]
    assert "response injection" in fixes[0]


def test_another_failure_after_the_go_ahead_does_not_propose_starttls(root: Authority) -> None:
    with agreeing(b"S", b"") as endpoint, pytest.raises(HandshakeError) as caught:
        observe(endpoint, trusting(root))
    assert "--starttls" not in caught.value.fix
    assert "agreed to STARTTLS" in caught.value.fix


def test_certificates_that_openssl_finds_too_large_have_their_own_advice() -> None:
    error = ssl.SSLError(1, "[SSL: EXCESSIVE_MESSAGE_SIZE] excessive message size")
    error.reason = "EXCESSIVE_MESSAGE_SIZE"
    problem, fix = tls_failure(error)
    assert "100 KiB of certificates" in problem
    assert "fewer names" in fix


@pytest.fixture
def silent_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let name resolution not end before the test does."""
    ended = Event()

    def wait(*_: object, **__: object) -> list[Any]:
        ended.wait(30)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    yield
    ended.set()


@pytest.mark.usefixtures("silent_resolver")
def test_a_name_that_is_not_resolved_in_time_says_nothing_about_the_server(root: Authority) -> None:
    endpoint = Endpoint("api.bank.example")
    with pytest.raises(DialError, match=r"was not resolved in 0\.1 s") as caught:
        observe(endpoint, trusting(root), timeout=0.1)
    assert could_not_ask(caught.value)
    answers = ask_each_address(endpoint, lambda _: None, timeout=0.1)
    (failed,) = answers.by_address.values()
    assert isinstance(failed, DialError)
    assert could_not_ask(failed)


def test_a_link_local_address_needs_a_zone_that_is_not_used(
    monkeypatch: pytest.MonkeyPatch, root: Authority
) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(socket, "create_connection", refuse)
    fixes = []
    for address in ("fe80::1", "febf::2", "2001:db8::1"):
        with pytest.raises(DialError) as caught:
            observe(Endpoint(address), trusting(root))
        fixes.append(caught.value.fix)
    assert ["without the zone" in fix for fix in fixes] == [True, True, False]
