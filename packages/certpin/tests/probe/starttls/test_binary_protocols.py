"""STARTTLS for LDAP, PostgreSQL and MySQL: server answers other than "begin TLS now"."""

from __future__ import annotations

import pytest

from tests.probe.starttls._play import (
    LDAP_REQUEST,
    MYSQL_HANDSHAKE,
    MYSQL_REST,
    MYSQL_SSL_REQUEST,
    Server,
    failure,
    is_garbled,
    is_injection,
    is_stripping,
    is_turned_away,
    mysql_packet,
    play,
)

OID = b"1.3.6.1.4.1.1466.20037"


def tlv(tag: int, *contents: bytes) -> bytes:
    """A BER element with a short length."""
    value = b"".join(contents)
    assert len(value) < 0x80
    return bytes((tag, len(value))) + value


def response(
    code: int = 0, *extra: bytes, number: bytes = b"\x01", diagnostic: bytes = b""
) -> bytes:
    """Return the contents of an LDAPMessage with an ExtendedResponse.

    Args:
        code: the result code; 0 is success.
        extra: more elements at the end of the response.
        number: the message ID.
        diagnostic: the diagnostic message.
    """
    parts = (tlv(0x0A, bytes((code,))), tlv(0x04), tlv(0x04, diagnostic), *extra)
    return tlv(0x02, number) + tlv(0x78, *parts)


@pytest.mark.parametrize(
    "message",
    [
        tlv(0x30, response()),
        tlv(0x30, response(0, tlv(0x8A, OID))),  # Active Directory names the operation
        tlv(0x30, response(0, tlv(0x8A, OID), tlv(0x8B))),
        tlv(0x30, response(), tlv(0xA0)),
        # Active Directory writes every length with four octets.
        b"\x30\x84\x00\x00\x00\x10\x02\x01\x01\x78\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00",
    ],
)
def test_ldap_success_is_accepted_in_every_encoding(message: bytes) -> None:
    assert play("ldap", [LDAP_REQUEST, Server(message)]).done


@pytest.mark.parametrize(
    ("code", "name"), [(1, "operationsError"), (2, "protocolError"), (52, "unavailable"), (80, "")]
)
def test_ldap_that_declines_is_refused(code: int, name: str) -> None:
    message = tlv(0x30, response(code, diagnostic=b"no TLS here"))
    error = failure("ldap", [LDAP_REQUEST, Server(message)])
    assert is_stripping(error)
    assert f"{name} ({code})" in error.problem or f"an error ({code})" in error.problem
    assert "'no TLS here'" in error.problem


def test_ldap_with_a_referral_is_refused() -> None:
    message = tlv(0x30, response(10, tlv(0xA3, tlv(0x04, b"ldap://evil.example"))))
    error = failure("ldap", [LDAP_REQUEST, Server(message)])
    assert is_stripping(error)
    assert "referral" in error.problem


def test_an_ldap_disconnection_is_not_reported_as_declined_tls() -> None:
    notice = response(52, tlv(0x8A, b"1.3.6.1.4.1.1466.20036"), number=b"\0")
    assert is_turned_away(failure("ldap", [LDAP_REQUEST, Server(tlv(0x30, notice))]))


@pytest.mark.parametrize(
    "message",
    [
        b"HTTP/1.1 400",
        b"\x30\x00",
        b"\x30\x80",  # the indefinite length, which LDAP forbids
        b"\x30\x85\x00\x00\x00\x00\x0c",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x82\x40\x01",  # one octet more than the limit
        tlv(0x30, response(number=b"\x02")),
        tlv(0x30, response(number=b"\x00\x01")),
        tlv(0x30, response(number=b"")),
        tlv(0x30, response(0, tlv(0x8A, b"1.3.6.1.4.1.1466.20036"))),
        tlv(0x30, response(0, tlv(0x8B), tlv(0x8A, OID))),  # in the wrong order
        tlv(0x30, response(0, tlv(0x8C))),
        tlv(0x30, response(), tlv(0xA1)),
        tlv(0x30, response(), b"\0"),
        tlv(0x30, tlv(0x02, b"\x01"), tlv(0x61, tlv(0x0A, b"\0"), tlv(0x04), tlv(0x04))),
        tlv(0x30, tlv(0x02, b"\x01"), tlv(0x78)),
        tlv(0x30, tlv(0x02, b"\x01"), tlv(0x78, tlv(0x0A), tlv(0x04), tlv(0x04))),
        tlv(0x30, tlv(0x02, b"\x01"), tlv(0x78, tlv(0x0A, b"\0\0"), tlv(0x04), tlv(0x04))),
        tlv(0x30, tlv(0x02, b"\x01"), b"\x78\x08\x0a\x01\x00\x04\x00\x04\x00"),  # one too long
        tlv(0x30, tlv(0x02, b"\x01"), b"\x78\x84\x00\x00"),
        tlv(0x30, tlv(0x02, b"\x01"), b"\x78\x80\x0a\x01\x00\x04\x00\x04\x00\x00\x00"),
    ],
)
def test_ldap_that_sends_something_else_is_refused(message: bytes) -> None:
    assert is_garbled(failure("ldap", [LDAP_REQUEST, Server(message)]))


def test_postgres_without_tls_is_refused() -> None:
    assert is_stripping(failure("postgres", [Server(b"N")]))


def test_postgres_error_text_is_not_shown() -> None:
    error = failure("postgres", [Server(b"E\0\0\0\x20SFATAL\0Mcall +1 555 0100\0\0")])
    assert is_stripping(error)
    assert "555" not in str(error)


@pytest.mark.parametrize("answer", [b"s", b"\0", b"\x15\x03\x03", b"220 mx.example\r\n"])
def test_postgres_that_answers_something_else_is_refused(answer: bytes) -> None:
    assert is_garbled(failure("postgres", [Server(answer)]))


@pytest.mark.parametrize("version", [b"8.4.0", b"5.5.5-10.11.6-MariaDB-log", b""])
def test_mysql_that_offers_tls_gets_the_request_for_it(version: bytes) -> None:
    handshake = b"\x0a" + version + b"\0" + b"\x05\0\0\0saltsalt\0" + b"\xff\xff" + MYSQL_REST
    assert play("mysql", [mysql_packet(handshake), MYSQL_SSL_REQUEST]).done


def test_mysql_without_the_ssl_capability_is_refused() -> None:
    without = MYSQL_HANDSHAKE[:-1] + b"\xf7" + MYSQL_REST
    assert is_stripping(failure("mysql", [mysql_packet(without)]))


def test_mysql_that_declines_the_connection_says_so() -> None:
    error = failure("mysql", [mysql_packet(b"\xff\x6a\x04Host is not allowed to connect")])
    assert is_turned_away(error)
    assert "Host is not allowed" in error.problem


def test_mysql_with_a_second_packet_before_tls_is_an_injection() -> None:
    first = mysql_packet(MYSQL_HANDSHAKE + MYSQL_REST)
    assert is_injection(failure("mysql", [Server(first + b"\x07\0\0\x02\0\0\0\x02\0\0\0")]))


@pytest.mark.parametrize(
    "packet",
    [
        b"220 mx.example\r\n",
        mysql_packet(MYSQL_HANDSHAKE + MYSQL_REST).replace(b"\0\x0a", b"\x01\x0a", 1),
        b"\0\0\0\0",
        b"\x01\x10\0\0",  # one byte more than the limit
        b"\xff\xff\xff\0",
        mysql_packet(b"\x09" + MYSQL_HANDSHAKE[1:]),
        mysql_packet(b"\x0a"),
        mysql_packet(b"\x0a8.4.0"),
        mysql_packet(MYSQL_HANDSHAKE[:-1]),
        mysql_packet(MYSQL_HANDSHAKE[:-3] + b"\x01" + MYSQL_HANDSHAKE[-2:]),  # 1 instead of 0
    ],
)
def test_mysql_that_sends_something_else_is_refused(packet: bytes) -> None:
    assert is_garbled(failure("mysql", [Server(packet)]))
