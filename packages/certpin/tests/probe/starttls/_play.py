"""Run scripted STARTTLS conversations with ``Dialogue``, certpin's STARTTLS client without sockets.

A conversation lists the bytes that the server sends and that the client must send.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.errors import StartTLSError
from certpin.probe.starttls import PROTOCOLS, Dialogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HOST = "server.example"
PORT = 4321


class Server(bytes):
    """The server sends these bytes."""


class Client(bytes):
    """The client must have sent exactly these bytes since its last turn."""


Conversation = list[Server | Client]


class Conversations(dict[str, Conversation]):
    """A conversation for each protocol, by its name. A missing one is an error that says so."""

    def __missing__(self, name: str) -> Conversation:
        raise LookupError(f"{name} has no conversation; fix: add one to READY in _play.py")


EHLO = Client(b"EHLO [127.0.0.1]\r\n")
XMPP_OPEN = Client(
    b"<?xml version='1.0'?><stream:stream to='server.example' version='1.0' "
    b"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
)
XMPP_STARTTLS = Client(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
XMPP_STREAM = (
    b"<?xml version='1.0'?><stream:stream from='server.example' id='a>b' version='1.0' "
    b'xml:lang="en" xmlns="jabber:client" xmlns:stream="http://etherx.jabber.org/streams">'
)
LDAP_REQUEST = Client(b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037")
# MariaDB's first packet, as mariadbd 11.8 sends it. CLIENT_SSL is 0x08 in the last byte but one.
MYSQL_HANDSHAKE = (
    b"\x0a5.5.5-11.8.9-MariaDB\x00" + b"\x05\x00\x00\x00" + b"saltsalt" + b"\x00" + b"\xfe\xff"
)
MYSQL_REST = b"\x2d\x02\x00\xff\xc1\x15" + bytes(10) + b"saltsaltsalt\x00mysql_native_password\x00"
MYSQL_SSL_REQUEST = Client(b"\x20\x00\x00\x01\x00\x8a\x00\x00\x00\x00\x00\x01\x2d" + bytes(23))


def mysql_packet(payload: bytes) -> Server:
    """The server's first packet."""
    return Server(len(payload).to_bytes(3, "little") + b"\0" + payload)


# One conversation for each protocol that ends ready for TLS.
READY = Conversations(
    smtp=[
        Server(b"220-mx.example ESMTP\r\n220 at your service\r\n"),
        EHLO,
        Server(b"250-mx.example\r\n250-SIZE 1000\r\n250-starttls\r\n250 HELP\r\n"),
        Client(b"STARTTLS\r\n"),
        Server(b"220 2.0.0 Ready to start TLS\r\n"),
    ],
    imap=[
        Server(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"),
        Client(b"A1 STARTTLS\r\n"),
        Server(b"* CAPABILITY IMAP4rev1\r\nA1 OK Begin TLS negotiation now.\r\n"),
    ],
    pop3=[
        Server(b"+OK ready <1.2@mx.example>\r\n"),
        Client(b"STLS\r\n"),
        Server(b"+OK\r\n"),
    ],
    ftp=[
        Server(b"220-Welcome\r\nto this\r\n220-server\r\n220 go\r\n"),
        Client(b"AUTH TLS\r\n"),
        Server(b"234 AUTH TLS OK.\r\n"),
    ],
    ldap=[
        LDAP_REQUEST,
        Server(b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"),
    ],
    xmpp=[
        XMPP_OPEN,
        Server(
            XMPP_STREAM + b"\n<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>"
            b"<required/></starttls><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
            b"<mechanism>it's PLAIN</mechanism></mechanisms></stream:features>"
        ),
        XMPP_STARTTLS,
        Server(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
    ],
    postgres=[Client(b"\x00\x00\x00\x08\x04\xd2\x16\x2f"), Server(b"S")],
    mysql=[mysql_packet(MYSQL_HANDSHAKE + MYSQL_REST), MYSQL_SSL_REQUEST],
)


def whole(data: bytes) -> Iterable[bytes]:
    """Return the bytes undivided, so that ``play`` passes them to the dialogue at once."""
    return [data]


def bytewise(data: bytes) -> Iterable[bytes]:
    """Return the bytes one by one, so that ``play`` passes them to the dialogue separately."""
    return [data[at : at + 1] for at in range(len(data))]


def play(
    name: str, conversation: Conversation, cut: Callable[[bytes], Iterable[bytes]] = whole
) -> Dialogue:
    """Run a conversation with the STARTTLS client, and return the client's ``Dialogue``.

    Args:
        name: the protocol, such as ``smtp``.
        conversation: the turns of server and client.
        cut: divides the bytes of each server turn.

    Raises:
        StartTLSError: the client refuses what the server sends.
    """
    dialogue = Dialogue(PROTOCOLS[name], HOST, PORT)
    for turn in conversation:
        if isinstance(turn, Client):
            assert dialogue.data_to_send() == turn
        else:
            for piece in cut(turn):
                dialogue.receive(piece)
    return dialogue


def failure(name: str, conversation: Conversation) -> StartTLSError:
    """Run a conversation; the client must refuse its last server turn. Return the error."""
    dialogue = play(name, conversation[:-1])
    with pytest.raises(StartTLSError) as caught:
        dialogue.receive(conversation[-1])
    assert not dialogue.done
    assert dialogue.data_to_send() == b""
    return caught.value


def is_stripping(error: StartTLSError) -> bool:
    """Return True if the error reports that TLS was not offered, and warns of stripping."""
    return error.insecure and "STARTTLS stripping" in error.fix


def is_turned_away(error: StartTLSError) -> bool:
    """Return True if the error reports that the server declines the connection itself."""
    return not error.insecure and "accepts connections" in error.fix


def is_garbled(error: StartTLSError) -> bool:
    """Return True if the error reports another protocol."""
    return not error.insecure and "check the port, and the protocol" in error.fix


def is_injection(error: StartTLSError) -> bool:
    """Return True if the error reports bytes that were injected before TLS."""
    return error.insecure and "response injection" in error.fix
