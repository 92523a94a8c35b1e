"""The TLS 1.3 server that staples OCSP responses: real clients read them, errors end cleanly."""

from __future__ import annotations

import random
import ssl
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab.authority import new_rsa_key
from certpin.lab.case import CannotServeError
from certpin.lab.pki import Authorities, Style, TestPKI
from certpin.lab.scenario import ServerStep, TLSSettings
from certpin.lab.server.stapling import StaplingTls
from tests.lab.server._wire import read_and_close

HOST = "api.bank.example"
PKI = TestPKI(Authorities(datetime.now(UTC)), HOST, "cdn.bank.example", Style.LEAF)
STEP = ServerStep.of(PKI.leaf, staple=b"response")

pytestmark = pytest.mark.medium


class Wire:
    """A Python TLS client and the stapling server, connected by memory buffers."""

    def __init__(
        self, step: ServerStep = STEP, alpn: tuple[str, ...] = (), ca: bytes = b""
    ) -> None:
        self.context = ssl.create_default_context(cadata=(ca or PKI.root.pem).decode())
        self.to_client, self.to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = StaplingTls(step, alpn, self.to_server, self.to_client)

    def start(self) -> None:
        self.client = self.context.wrap_bio(self.to_client, self.to_server, server_hostname=HOST)

    def shake(self) -> None:
        self.start()
        for _ in range(2):
            with suppress(ssl.SSLWantReadError):
                self.client.do_handshake()
            with suppress(ssl.SSLWantReadError):
                self.server.do_handshake()


def test_a_client_verifies_the_server_and_both_sides_exchange_data() -> None:
    wire = Wire(alpn=("http/1.1",))
    wire.context.set_alpn_protocols(["http/1.1"])
    wire.shake()
    der = PKI.leaf.chain[0].public_bytes(Encoding.DER)
    assert wire.client.getpeercert(binary_form=True) == der
    assert wire.client.version() == wire.server.version() == "TLSv1.3"
    assert wire.client.selected_alpn_protocol() == wire.server.selected_alpn_protocol()
    assert wire.client.cipher() == wire.server.cipher()
    wire.client.write(b"request")
    assert wire.server.read(100) == b"request"
    with pytest.raises(ssl.SSLWantReadError):
        wire.server.read(100)
    read_and_close(wire.client, wire.server)


def test_without_a_question_there_is_no_response() -> None:
    """The server staples only if the client requests it, which Python's client does not.

    Python's client would refuse an extension that it did not request.
    """
    wire = Wire()
    wire.shake()
    assert wire.client.version() == "TLSv1.3"


def test_the_alert_of_a_client_is_named_as_openssl_names_it() -> None:
    wire = Wire(ca=PKI.untrusted.pem)
    wire.start()
    with pytest.raises(ssl.SSLWantReadError):
        wire.client.do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        wire.server.do_handshake()
    with pytest.raises(ssl.SSLCertVerificationError):
        wire.client.do_handshake()
    with pytest.raises(ssl.SSLError) as caught:
        wire.server.do_handshake()
    assert caught.value.reason == "TLSV1_ALERT_UNKNOWN_CA"


def test_a_changed_record_is_refused() -> None:
    wire = Wire()
    wire.shake()
    wire.client.write(b"request")
    record = bytearray(wire.to_server.read())
    record[-1] ^= 1
    wire.to_server.write(record)
    with pytest.raises(ssl.SSLError) as caught:
        wire.server.read(100)
    assert caught.value.reason == "BAD_RECORD_MAC"


def test_the_finished_message_is_compared() -> None:
    wire = Wire()
    wire.start()
    with suppress(ssl.SSLWantReadError):
        wire.client.do_handshake()
    with suppress(ssl.SSLWantReadError):
        wire.server.do_handshake()
    wire.client.do_handshake()
    wire.server._verify_data = bytes(32)
    with pytest.raises(ssl.SSLError) as caught:
        wire.server.do_handshake()
    assert caught.value.reason == "DECRYPT_ERROR"


def test_a_client_of_tls_12_cannot_be_served() -> None:
    wire = Wire()
    wire.context.maximum_version = ssl.TLSVersion.TLSv1_2
    wire.start()
    with pytest.raises(ssl.SSLWantReadError):
        wire.client.do_handshake()
    with pytest.raises(CannotServeError, match="X25519"):
        wire.server.do_handshake()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (TLSSettings(newest="TLSv1_2"), "TLS 1.3 only"),
        (TLSSettings(needs_certificate=True), "client certificate"),
        (TLSSettings(asks_certificate=True), "client certificate"),
    ],
)
def test_settings_that_the_server_does_not_have_are_refused(
    settings: TLSSettings, problem: str
) -> None:
    with pytest.raises(CannotServeError, match=problem):
        Wire(STEP.but(settings=settings))


def test_another_kind_of_key_is_refused() -> None:
    identity = PKI.intermediate.issue(HOST, key=new_rsa_key())
    with pytest.raises(CannotServeError, match="ECDSA"):
        Wire(ServerStep.of(identity, staple=b"response"))


def test_hostile_bytes_raise_no_other_errors() -> None:
    hello = Wire()
    hello.start()
    with pytest.raises(ssl.SSLWantReadError):
        hello.client.do_handshake()
    genuine = hello.to_server.read()
    chosen = random.Random(18)
    for _ in range(300):
        changed = bytearray(genuine)
        for _ in range(chosen.randint(1, 6)):
            changed[chosen.randrange(len(changed))] = chosen.randrange(256)
        wire = Wire()
        wire.to_server.write(changed + chosen.randbytes(40))
        with suppress(ssl.SSLError, CannotServeError):
            wire.server.do_handshake()
