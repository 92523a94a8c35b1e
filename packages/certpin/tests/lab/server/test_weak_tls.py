"""The deliberately weak TLS 1.2 server: real clients can use it, and errors end cleanly."""

from __future__ import annotations

import random
import ssl
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab.case import CannotServeError
from certpin.lab.pki import Authorities, Style, TestPKI
from certpin.lab.scenario import ServerStep, TLSSettings, Weakness
from certpin.lab.server import weak_tls
from certpin.lab.server.handmade import (
    ALERT,
    DATA,
    HANDSHAKE,
    Offer,
    alert_name,
    extension,
    message,
    record,
)
from certpin.lab.server.records import Vectors, vector
from certpin.lab.server.tls12 import Suite
from certpin.lab.server.weak_tls import SMALL_PRIME, NotOfferedError, WeakTls
from tests.lab.server._wire import read_and_close

HOST = "api.bank.example"
PKI = TestPKI(Authorities(datetime.now(UTC)), HOST, "cdn.bank.example", Style.LEAF)
SETTINGS = TLSSettings(newest="TLSv1_2", weakness=Weakness.TRIPLE_DES)
STEP = ServerStep.of(PKI.backup, settings=SETTINGS)
EARLY = STEP.but(settings=TLSSettings(newest="TLSv1_2", weakness=Weakness.EARLY_CHANGE))
GROUP = STEP.but(settings=TLSSettings(newest="TLSv1_2", weakness=Weakness.SMALL_GROUP))

# Python's OpenSSL has no 3DES, and no group of 512 bits: it checks the rest with these suites.
# GnuTLS and Go have 3DES, and GnuTLS has the group (test_weak_keys.py).
PYTHON = {
    "AES128-SHA": Suite(0x002F, "AES128-SHA", "RSA", 16),
    "AES256-SHA256": Suite(0x003D, "AES256-SHA256", "RSA", 32, mac="sha256"),
    "AES128-GCM-SHA256": Suite(0x009C, "AES128-GCM-SHA256", "RSA", 16, mac=""),
    "ECDHE-RSA-AES256-SHA": Suite(0xC014, "ECDHE-RSA-AES256-SHA", "ECDHE", 32),
}

pytestmark = pytest.mark.medium


class Wire:
    """A Python TLS client and the weak TLS 1.2 server, connected by memory buffers."""

    def __init__(self, step: ServerStep = STEP, alpn: tuple[str, ...] = ()) -> None:
        self.context = ssl.create_default_context(cadata=PKI.root.pem.decode())
        self.context.set_ciphers("ALL:@SECLEVEL=0")
        self.to_client, self.to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = WeakTls(step, alpn, self.to_server, self.to_client)

    def start(self) -> bytes:
        """Send a ClientHello to the server, and return its bytes."""
        self.client = self.context.wrap_bio(self.to_client, self.to_server, server_hostname=HOST)
        with pytest.raises(ssl.SSLWantReadError):
            self.client.do_handshake()
        hello = self.to_server.read()
        self.to_server.write(hello)
        return hello

    def answer(self) -> None:
        with suppress(ssl.SSLWantReadError):
            self.server.do_handshake()

    def shake(self) -> None:
        self.start()
        self.answer()
        with pytest.raises(ssl.SSLWantReadError):
            self.client.do_handshake()
        self.server.do_handshake()
        self.client.do_handshake()


@pytest.fixture(params=PYTHON)
def suite(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Suite:
    chosen = PYTHON[request.param]
    monkeypatch.setitem(weak_tls.SUITES, Weakness.TRIPLE_DES, (chosen,))
    return chosen


def test_a_client_verifies_the_server_and_both_sides_exchange_data(suite: Suite) -> None:
    wire = Wire(alpn=("http/1.1",))
    wire.context.set_alpn_protocols(["http/1.1"])
    wire.shake()
    der = PKI.backup.chain[0].public_bytes(Encoding.DER)
    assert wire.client.getpeercert(binary_form=True) == der
    assert wire.client.version() == wire.server.version() == "TLSv1.2"
    assert wire.client.selected_alpn_protocol() == wire.server.selected_alpn_protocol()
    found = wire.client.cipher()
    assert found is not None
    assert (found[0], found[2]) == (suite.name, wire.server.cipher()[2])
    for count in range(40):  # every length of the padding
        wire.client.write(b"x" * (count + 1))
        assert wire.server.read(100) == b"x" * (count + 1)
    with pytest.raises(ssl.SSLWantReadError):
        wire.server.read(100)
    read_and_close(wire.client, wire.server)


def test_a_changed_record_is_refused(suite: Suite) -> None:
    for place in (5, 30, -1):
        wire = Wire()
        wire.shake()
        wire.client.write(b"request of the client, in more than one block")
        changed = bytearray(wire.to_server.read())
        changed[place] ^= 1
        wire.to_server.write(changed)
        with pytest.raises(ssl.SSLError) as caught:
            wire.server.read(100)
        assert caught.value.reason == "BAD_RECORD_MAC"


def test_a_repeated_record_is_refused(suite: Suite) -> None:
    wire = Wire()
    wire.shake()
    wire.client.write(b"request")
    sent = wire.to_server.read()
    wire.to_server.write(sent + sent)
    assert wire.server.read(100) == b"request"
    with pytest.raises(ssl.SSLError) as caught:
        wire.server.read(100)
    assert caught.value.reason == "BAD_RECORD_MAC"


def test_a_short_record_is_refused(suite: Suite) -> None:
    wire = Wire()
    wire.shake()
    wire.to_server.write(record(23, b"short"))
    with pytest.raises(ssl.SSLError) as caught:
        wire.server.read(100)
    assert caught.value.reason == "UNEXPECTED_MESSAGE"


def test_the_finished_message_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weak_tls.SUITES, Weakness.TRIPLE_DES, (PYTHON["AES128-SHA"],))
    wire = Wire()
    wire.start()
    wire.answer()
    with pytest.raises(ssl.SSLWantReadError):
        wire.client.do_handshake()
    wire.server._transcript += b"another message"
    with pytest.raises(ssl.SSLError) as caught:
        wire.server.do_handshake()
    assert caught.value.reason == "DECRYPT_ERROR"


@pytest.mark.parametrize("sent", [record(20, b"\1"), record(23, b"x"), record(22, b"\x14\0\0\0")])
def test_messages_in_another_order_are_refused(sent: bytes) -> None:
    """ChangeCipherSpec, data and Finished before the client's part of the key exchange."""
    wire = Wire(EARLY)
    wire.start()
    wire.answer()
    wire.to_server.write(sent)
    with pytest.raises(ssl.SSLError) as caught:
        wire.server.do_handshake()
    assert caught.value.reason == "UNEXPECTED_MESSAGE"


def test_openssl_refuses_an_early_change_with_an_alert() -> None:
    wire = Wire(EARLY)
    wire.start()
    wire.answer()
    sent = wire.to_client.read()
    wire.to_client.write(sent)
    kinds = []
    while sent:
        kinds.append(sent[0])
        sent = sent[5 + int.from_bytes(sent[3:5]) :]
    assert kinds[:3] == [22, 20, 22]  # ServerHello, ChangeCipherSpec, Certificate
    with pytest.raises(ssl.SSLError):
        wire.client.do_handshake()
    with pytest.raises(ssl.SSLError) as caught:
        wire.server.do_handshake()
    assert caught.value.reason == "TLSV1_ALERT_UNEXPECTED_MESSAGE"


@pytest.mark.parametrize("number", [80, 109, 200])
def test_an_alert_has_its_name_or_its_number(number: int) -> None:
    assert alert_name(number) == {80: "internal_error", 109: "missing_extension"}.get(number, "200")


@pytest.mark.parametrize(("content", "reason"), [(b"\1\0", "CLOSED_IN_HANDSHAKE"), (b"", "")])
def test_a_client_that_closes_tls_in_the_handshake_breaks_no_rule(
    content: bytes, reason: str
) -> None:
    wire = Wire(EARLY)
    wire.start()
    wire.answer()
    wire.to_server.write(record(ALERT, content) if content else record(DATA, b"x"))
    with pytest.raises(ssl.SSLError) as caught:
        wire.server.do_handshake()
    assert caught.value.reason == (reason or "UNEXPECTED_MESSAGE")


def test_static_rsa_needs_no_algorithm_of_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weak_tls.SUITES, Weakness.TRIPLE_DES, (PYTHON["AES128-SHA"],))
    wire = Wire()
    wire.context.maximum_version = ssl.TLSVersion.TLSv1_2  # without a random session ID
    hello = bytearray(wire.start())
    begin = hello.index(b"\0\x0d", 43)  # the extension signature_algorithms
    length = int.from_bytes(hello[begin + 4 : begin + 6])
    hello[begin + 6 : begin + 6 + length] = b"\4\3" * (length // 2)  # ECDSA only
    wire.to_server.read()
    wire.to_server.write(bytes(hello))
    with suppress(ssl.SSLWantReadError):
        wire.server.do_handshake()
    assert wire.to_client.read()[0] == HANDSHAKE


def test_openssl_refuses_the_small_group() -> None:
    wire = Wire(GROUP)
    wire.start()
    wire.answer()
    with pytest.raises(ssl.SSLError, match=r"(?i)dh.key.too.small"):
        wire.client.do_handshake()


def test_the_small_prime_is_a_safe_one_of_512_bits() -> None:
    """The Diffie-Hellman group is small but otherwise good: Fermat's test finds a safe prime."""
    assert SMALL_PRIME.bit_length() == 512
    for number in (SMALL_PRIME, SMALL_PRIME // 2):
        assert [pow(base, number - 1, number) for base in (2, 3, 5, 7, 11)] == [1] * 5


@pytest.mark.parametrize("public", [0, 1, SMALL_PRIME - 1, SMALL_PRIME])
def test_a_trivial_public_key_is_refused(public: int) -> None:
    body = Vectors(vector(2, public.to_bytes(64)))
    with pytest.raises(ValueError, match="trivial"):
        weak_tls._DheExchange().secret(body)


def test_a_client_without_the_weak_suites_is_refused_with_the_reason() -> None:
    wire = Wire()
    wire.start()
    with pytest.raises(NotOfferedError) as caught:
        wire.server.do_handshake()
    assert caught.value.args == ("this client does not offer 3DES",)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert.handshake.failure"):
        wire.client.do_handshake()


@pytest.mark.parametrize(("step", "wanted"), [(GROUP, "DHE"), (EARLY, "TLS 1.2"), (STEP, "TLS")])
def test_other_parameters_that_a_client_does_not_offer_are_named(
    step: ServerStep, wanted: str
) -> None:
    wire = Wire(step)
    if step is GROUP:
        wire.context.set_ciphers("ECDHE")
    else:
        wire.context.minimum_version = ssl.TLSVersion.TLSv1_3
    wire.start()
    with pytest.raises(NotOfferedError, match=f"this client does not offer {wanted}"):
        wire.server.do_handshake()


def _hello(suites: bytes, extensions: bytes) -> bytes:
    head = b"\3\3" + bytes(32) + b"\0" + vector(2, suites) + b"\1\0"
    return record(22, message(1, head + vector(2, extensions)))


CURVES, RSA = extension(10, vector(2, b"\0\x17")), extension(13, vector(2, b"\4\1"))


@pytest.mark.parametrize(
    ("step", "suites", "extensions", "problem"),
    [
        (STEP, b"\0\x16", RSA, "doesn't offer DES-CBC3-SHA or"),  # 3DES, by DHE only
        (STEP, b"\xc0\x12", RSA + extension(10, vector(2, b"\0\x1d")), "P-256"),
        (GROUP, b"\0\x9f", RSA, "doesn't offer DHE-RSA-AES128-SHA or"),
        (EARLY, b"\xc0\x2b", RSA + CURVES, "doesn't offer ECDHE-RSA-AES128-GCM-SHA256"),
        (EARLY, b"\xc0\x2f", CURVES, "no signature by RSA"),
        (EARLY, b"\xc0\x2f", CURVES + extension(13, vector(2, b"\4\3")), "no signature by RSA"),
    ],
)
def test_a_client_with_other_parameters_proves_nothing(
    step: ServerStep, suites: bytes, extensions: bytes, problem: str
) -> None:
    wire = Wire(step)
    wire.to_server.write(_hello(suites, extensions))
    with pytest.raises(CannotServeError, match=problem):
        wire.server.do_handshake()


def test_a_client_without_a_list_of_groups_gets_p256() -> None:
    wire = Wire(EARLY)
    wire.to_server.write(_hello(b"\xc0\x2f", RSA))
    with pytest.raises(ssl.SSLWantReadError):
        wire.server.do_handshake()
    assert wire.to_client.read()[:1] == b"\x16"


def test_the_first_signature_is_one_that_every_client_knows() -> None:
    """A client that offers PKCS #1 and PSS gets PKCS #1; one that offers only PSS gets PSS."""
    offer = Offer(_hello(b"\xc0\x2f", extension(13, vector(2, b"\x08\4\4\1")))[5:])
    key = PKI.authorities.backup_key
    assert weak_tls._Signature(offer).sign(key, b"data")[:2] == b"\4\1"
    modern = Offer(_hello(b"\xc0\x2f", extension(13, vector(2, b"\x08\4")))[5:])
    signed = weak_tls._Signature(modern).sign(key, b"data")
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    key.public_key().verify(signed[4:], b"data", pss, hashes.SHA256())


@pytest.mark.parametrize(
    "chosen", [replace(SETTINGS, needs_certificate=True), replace(SETTINGS, asks_certificate=True)]
)
def test_a_client_certificate_is_not_requested(chosen: TLSSettings) -> None:
    with pytest.raises(CannotServeError, match="client certificate"):
        Wire(STEP.but(settings=chosen))


def test_another_kind_of_key_is_refused() -> None:
    with pytest.raises(CannotServeError, match="RSA"):
        Wire(ServerStep.of(PKI.leaf, settings=SETTINGS))


@pytest.mark.parametrize(
    "extensions", [extension(13, b"\0\x09\4"), extension(13, vector(2, b"\4\1\4")), b"\0"]
)
def test_a_malformed_hello_is_an_error_of_tls(extensions: bytes) -> None:
    wire = Wire(EARLY)
    wire.to_server.write(_hello(b"\xc0\x2f", extensions))
    with pytest.raises(ssl.SSLError):
        wire.server.do_handshake()


@pytest.mark.parametrize("step", [STEP, GROUP, EARLY])
def test_hostile_bytes_raise_no_other_errors(
    step: ServerStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(weak_tls.SUITES, Weakness.TRIPLE_DES, (PYTHON["AES128-SHA"],))
    genuine = Wire(step).start()
    chosen = random.Random(18)
    key = record(22, message(16, vector(2, bytes(64)))) + record(20, b"\1")
    for turn in range(100):
        changed = bytearray(genuine)
        for _ in range(chosen.randint(0, 6)):
            changed[chosen.randrange(len(changed))] = chosen.randrange(256)
        wire = Wire(step)
        rest = chosen.randbytes(40) if turn % 2 else key + record(22, chosen.randbytes(48))
        wire.to_server.write(changed + rest)
        with suppress(ssl.SSLError, CannotServeError):
            wire.server.do_handshake()
