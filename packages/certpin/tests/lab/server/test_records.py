"""Evidence from encrypted connections that the lab relays, derived from the lengths of TLS records.

The tests use real OpenSSL handshakes, and records with lengths that are border cases.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from certpin.lab.lab_server import server_context
from certpin.lab.pki import client_identity
from certpin.lab.server.records import RecordCounter
from certpin.lab.server.tls import load

if TYPE_CHECKING:
    from certpin.lab import Authority, Identity

HOST = "api.bank.example"
REQUEST = b"GET / HTTP/1.1\r\n\r\n"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
versions = pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])


class Passing:
    """A TLS connection in memory between OpenSSL and OpenSSL. The lab's counter sees its records.

    ``piece`` is the number of bytes that are passed on at a time.
    """

    def __init__(
        self, client: ssl.SSLContext, server: ssl.SSLContext, *, piece: int = 2**16
    ) -> None:
        self.counter = RecordCounter()
        self._piece = piece
        self._near, self._far = (
            (ssl.MemoryBIO(), ssl.MemoryBIO()),
            (ssl.MemoryBIO(), ssl.MemoryBIO()),
        )
        self.client = client.wrap_bio(*self._near, server_hostname=HOST)
        self.server = server.wrap_bio(*self._far, server_side=True)

    def handshake(self) -> Passing:
        """Run the handshake until it completes or one side refuses."""
        for _ in range(4):
            for side in (self.client, self.server):
                with suppress(ssl.SSLError):
                    side.do_handshake()
                self.carry()
        return self

    def carry(self) -> None:
        """Move pending bytes in both directions, and show them to the counter."""
        for source, sink, hear in (
            (self._near[1], self._far[0], self.counter.from_client),
            (self._far[1], self._near[0], self.counter.from_server),
        ):
            while data := source.read(self._piece):
                hear(data)
                sink.write(data)

    def say(self, data: bytes) -> None:
        """Send data from the client to the server."""
        self.client.write(data)
        self.carry()

    def answer(self) -> None:
        """Let the server read all data, and send a response."""
        with suppress(ssl.SSLWantReadError):
            while self.server.read():
                pass
        self.server.write(b"HTTP/1.1 200 OK\r\n\r\n")
        self.carry()

    def leave(self) -> None:
        """Let the client read the response, and close TLS."""
        with suppress(ssl.SSLError):
            self.client.read()
        with suppress(ssl.SSLError):
            self.client.unwrap()
        self.carry()


@pytest.fixture(scope="module")
def identity(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST)


def _server(identity: Identity, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = server_context(identity)
    context.minimum_version = context.maximum_version = version
    return context


def _trusting(root: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=root.pem.decode())


@versions
@pytest.mark.parametrize("piece", [1, 7, 2**16])
def test_data_of_a_client_that_accepts_is_counted(
    version: ssl.TLSVersion, piece: int, identity: Identity, root: Authority
) -> None:
    passing = Passing(_trusting(root), _server(identity, version), piece=piece).handshake()
    assert (passing.counter.data, passing.counter.unclear) == (0, False)
    passing.say(REQUEST)
    assert passing.counter.data == 1
    passing.answer()
    passing.say(REQUEST)
    passing.leave()
    assert (passing.counter.data, passing.counter.unclear) == (2, False)


@versions
def test_a_client_that_refuses_in_the_handshake_gives_nothing(
    version: ssl.TLSVersion, identity: Identity
) -> None:
    empty = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    passing = Passing(empty, _server(identity, version)).handshake()
    passing.leave()
    assert (passing.counter.data, passing.counter.unclear) == (0, False)


@versions
def test_a_client_that_refuses_after_the_handshake_gives_nothing(
    version: ssl.TLSVersion, identity: Identity, root: Authority
) -> None:
    """A client that closes right after the handshake counts as having sent no data.

    In TLS 1.3 it has received the server's whole flight and tickets by then.
    """
    passing = Passing(_trusting(root), _server(identity, version)).handshake()
    assert passing.client.version() == {772: "TLSv1.3", 771: "TLSv1.2"}[version]
    passing.leave()
    assert (passing.counter.data, passing.counter.unclear) == (0, False)


@versions
def test_a_server_that_speaks_first_proves_nothing(
    version: ssl.TLSVersion, identity: Identity, root: Authority
) -> None:
    passing = Passing(_trusting(root), _server(identity, version)).handshake()
    passing.answer()
    passing.leave()
    assert passing.counter.data == 0


@pytest.mark.parametrize("suite", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256"])
def test_any_suite_of_an_older_version_will_do(
    suite: str, identity: Identity, root: Authority
) -> None:
    server = _server(identity, ssl.TLSVersion.TLSv1_2)
    server.set_ciphers(suite)
    passing = Passing(_trusting(root), server).handshake()
    assert passing.counter.data == 0
    passing.say(REQUEST)
    assert passing.counter.data == 1


@versions
def test_a_session_that_is_resumed_counts_as_much(
    version: ssl.TLSVersion, identity: Identity, root: Authority
) -> None:
    client, server = _trusting(root), _server(identity, version)
    first = Passing(client, server).handshake()
    first.say(REQUEST)
    first.answer()
    first.client.read()
    second = Passing(client, server)
    second.client = client.wrap_bio(
        *second._near, server_hostname=HOST, session=first.client.session
    )
    second.handshake()
    assert (second.client.session_reused, second.counter.data) == (True, 0)
    second.say(REQUEST)
    assert (second.counter.data, second.counter.unclear) == (1, False)


@versions
def test_a_hello_that_the_server_asks_for_again_changes_nothing(
    version: ssl.TLSVersion, identity: Identity, root: Authority
) -> None:
    server = _server(identity, version)
    server.set_ecdh_curve("secp521r1")  # not the client's first key share: HelloRetryRequest
    passing = Passing(_trusting(root), server).handshake()
    assert passing.counter.data == 0
    passing.say(REQUEST)
    assert passing.counter.data == 1


def _with_certificate(context: ssl.SSLContext) -> bytes:
    client = client_identity(datetime.now(UTC))
    load(context, client.chain_pem, client.key_pem)
    return client.chain_pem


@versions
@pytest.mark.parametrize("presents", [True, False])
def test_the_certificate_of_a_client_is_not_its_data(
    version: ssl.TLSVersion, presents: bool, identity: Identity, root: Authority
) -> None:
    client, server = _trusting(root), _server(identity, version)
    known = _with_certificate(client if presents else _trusting(root))
    server.load_verify_locations(cadata=known.decode())
    server.verify_mode = ssl.CERT_OPTIONAL
    passing = Passing(client, server).handshake()
    assert bool(passing.server.getpeercert(binary_form=True)) is presents
    assert (passing.counter.data, passing.counter.unclear) == (0, False)
    passing.say(REQUEST)
    passing.answer()
    passing.leave()
    assert (passing.counter.data, passing.counter.unclear) == (1, False)


@versions
def test_certificate_of_a_client_that_then_refuses_is_not_data(
    version: ssl.TLSVersion, identity: Identity, root: Authority
) -> None:
    client, server = _trusting(root), _server(identity, version)
    server.load_verify_locations(cadata=_with_certificate(client).decode())
    server.verify_mode = ssl.CERT_REQUIRED
    passing = Passing(client, server).handshake()
    passing.leave()
    assert passing.counter.data == 0


# Behaviour that OpenSSL does not have, tested with records of given lengths.
_TAG, _FINISHED = 17, 36 + 17


def _hello(suite: int = 0x1301, version: bytes = b"\0\x2b\0\2\3\4") -> bytes:
    body = b"\3\3" + bytes(32) + b"\0" + suite.to_bytes(2) + b"\0" + len(version).to_bytes(2)
    message = body + version
    return _record(22, b"\2" + len(message).to_bytes(3) + message)


def _record(kind: int, body: bytes) -> bytes:
    return bytes([kind, 3, 3]) + len(body).to_bytes(2) + body


def _sized(*sizes: int) -> bytes:
    return b"".join(_record(23, bytes(size)) for size in sizes)


def _counter(suite: int = 0x1301) -> RecordCounter:
    counter = RecordCounter()
    counter.from_server(_hello(suite))
    return counter


@pytest.mark.parametrize(
    ("suite", "finished"), [(0x1301, 53), (0x1302, 69), (0x1303, 53), (0x1305, 45)]
)
def test_the_suite_says_how_long_the_last_word_of_the_handshake_is(
    suite: int, finished: int
) -> None:
    for size in (finished, finished + 8):  # 8: after a Certificate message without a certificate
        counter = _counter(suite)
        counter.from_client(_sized(size))
        assert (counter.data, counter.unclear) == (0, False)
        counter.from_client(_sized(100))
        assert counter.data == 1


def test_a_certificate_in_one_record_with_the_last_word_is_unclear_until_the_server_spoke() -> None:
    counter = _counter()
    counter.from_client(_sized(700, 100))
    assert (counter.data, counter.unclear) == (0, True)
    counter.from_server(_sized(250))  # the server answers only after the whole flight
    counter.from_client(_sized(2 + _TAG))
    assert (counter.data, counter.unclear) == (0, True)
    counter.from_client(_sized(100))
    assert (counter.data, counter.unclear) == (1, False)


@pytest.mark.parametrize("octets", [0, 2, 5])
def test_possible_alerts_and_key_updates_are_not_data(octets: int) -> None:
    counter = _counter()
    counter.from_client(_sized(octets + _TAG, _FINISHED, octets + _TAG))
    assert (counter.data, counter.unclear) == (0, False)
    counter.from_client(_sized(1 + _TAG))
    assert counter.data == 1


def test_padding_of_java_is_not_data() -> None:
    """The padded alerts of Java do not count as data, unlike requests of the same length.

    Java sends two alerts at the end.
    """
    java = 16
    for flight in ([_FINISHED], [_FINISHED + 8], [8 + _TAG, _FINISHED]):
        counter = _counter()
        counter.from_client(_sized(*[size + java for size in flight]))
        counter.from_server(_sized(250))
        counter.from_client(_sized(*[2 + _TAG + java] * 2))
        assert (counter.data, counter.unclear) == (0, False)
        counter.from_client(_sized(18 + _TAG + java))
        assert counter.data == 1
    refusing = _counter()
    refusing.from_client(_sized(2 + _TAG + java))
    assert (refusing.data, refusing.unclear) == (0, False)
    other = _counter()
    other.from_client(_sized(_FINISHED, 18 + _TAG))
    assert other.data == 1


def test_records_that_fill_whole_blocks_hide_no_alert() -> None:
    counter = _counter()
    counter.from_client(_sized(512))
    counter.from_server(_sized(250))
    counter.from_client(_sized(512))
    assert (counter.data, counter.unclear) == (0, True)
    counter.from_client(_sized(1024))
    assert (counter.data, counter.unclear) == (1, False)


def test_early_data_is_not_counted() -> None:
    counter = RecordCounter()
    counter.from_client(_sized(500, 500))
    counter.from_server(_hello())
    counter.from_client(_sized(4 + _TAG, _FINISHED))
    assert (counter.data, counter.unclear) == (0, False)
    counter.from_client(_sized(100))
    assert counter.data == 1


def test_in_an_older_version_data_comes_behind_a_change_of_the_cipher() -> None:
    counter = RecordCounter()
    counter.from_server(_hello(version=b""))
    counter.from_client(_sized(100))
    assert counter.data == 0
    counter.from_client(_record(20, b"\1") + _record(22, bytes(40)) + _record(21, bytes(26)))
    assert counter.data == 0
    counter.from_client(_sized(100))
    assert counter.data == 1


@pytest.mark.parametrize(
    "junk",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x16\2\0\0\0",
        b"\x16\3\3\xff\xff",
        _record(22, b"\2\0"),
    ],
)
def test_bytes_that_are_not_tls_stay_unclear(junk: bytes) -> None:
    counter = RecordCounter()
    counter.from_server(junk)
    counter.from_server(_hello())
    counter.from_client(_sized(_FINISHED, 100))
    assert (counter.data, counter.unclear) == (0, True)
    other = _counter()
    other.from_client(b"GET / HTTP/1.1\r\n\r\n")
    other.from_client(_sized(_FINISHED, 100))
    assert (other.data, other.unclear) == (0, True)


def test_any_cut_of_the_server_hello_is_refused_or_read() -> None:
    whole = _hello()[5:]
    for end in range(1, len(whole)):
        counter = RecordCounter()
        counter.from_server(_record(22, whole[:end]))
        counter.from_client(_sized(_FINISHED, 100))
        assert (counter.data, counter.unclear) == (0, True)


def test_lengths_that_differ_by_one_byte_are_distinguished() -> None:
    for near, far in pairwise(range(_FINISHED - 1, _FINISHED + 2)):
        found = []
        for size in (near, far):
            counter = _counter()
            counter.from_client(_sized(size, 100))
            found.append(counter.data)
        assert sorted(found) == [0, 1]
