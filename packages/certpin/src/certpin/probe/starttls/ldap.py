"""LDAP: the StartTLS extended operation (RFC 4511 4.14, RFC 4513 3.1).

The server's answer is read as BER with the restrictions of RFC 4511 5.1: definite lengths only.
Lengths may have more octets than necessary, as Active Directory writes them. Not checked: the
contents of a referral, a response value or a control.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.probe.starttls.dialogue import Protocol, quote

if TYPE_CHECKING:
    from certpin.probe.starttls.dialogue import Steps, Wire

_START_TLS = b"1.3.6.1.4.1.1466.20037"

_SEQUENCE = 0x30
_INTEGER = 0x02
_ENUMERATED = 0x0A
_OCTET_STRING = 0x04
_EXTENDED_RESPONSE = 0x78  # [APPLICATION 24]
_REFERRAL, _RESPONSE_NAME, _RESPONSE_VALUE = 0xA3, 0x8A, 0x8B
_CONTROLS = 0xA0

_MESSAGE_LIMIT = 16_384  # octets; a refusal with a long diagnostic message has a few hundred
_MESSAGE_ID = b"\x01"
# LDAPMessage { messageID 1, ExtendedRequest [APPLICATION 23] { requestName [0] } }
_REQUEST = bytes.fromhex("301d 020101 7718 8016") + _START_TLS

_RESULTS = {1: "operationsError", 2: "protocolError", 10: "referral", 52: "unavailable"}


def _script(wire: Wire) -> Steps[None]:
    wire.send(_REQUEST)
    message = yield from _message(wire)
    number, rest = _element(wire, message, _INTEGER)
    response, controls = _element(wire, rest, _EXTENDED_RESPONSE)
    _optional(wire, controls, (_CONTROLS,))
    if number == b"\0":  # the notice of disconnection, RFC 4511 4.4.1
        wire.raise_connection_declined("sent a notice of disconnection")
    if number != _MESSAGE_ID:
        wire.raise_garbled("answered another request")
    _expect_success(wire, response)


def _message(wire: Wire) -> Steps[bytes]:
    """Read one LDAPMessage from the server, and return its contents without tag and length.

    ``wire`` is the connection to the server.
    """
    head = yield from wire.take(2)
    if head[0] != _SEQUENCE:
        wire.raise_garbled(f"sent something else than an LDAP message: {quote(head)}")
    octets = _octets_of_length(wire, head[1])
    length = int.from_bytes((yield from wire.take(octets)), "big") if octets else head[1]
    if length > _MESSAGE_LIMIT:
        wire.raise_garbled(f"sent an LDAP message longer than {_MESSAGE_LIMIT} octets")
    return (yield from wire.take(length))


def _expect_success(wire: Wire, response: bytes) -> None:
    """Raise ``StartTLSError`` unless an ExtendedResponse reports success.

    ``response`` has the contents of the response, and ``wire`` is the connection to the server.
    """
    code, rest = _element(wire, response, _ENUMERATED)
    _, rest = _element(wire, rest, _OCTET_STRING)  # matchedDN
    diagnostic, rest = _element(wire, rest, _OCTET_STRING)
    extra = _optional(wire, rest, (_REFERRAL, _RESPONSE_NAME, _RESPONSE_VALUE))
    if len(code) != 1 or extra.get(_RESPONSE_NAME, _START_TLS) != _START_TLS:
        wire.raise_garbled("sent an answer to another operation than StartTLS")
    if code != b"\0":
        name = _RESULTS.get(code[0], "an error")
        wire.raise_tls_declined(f"declined StartTLS: {name} ({code[0]}), {quote(diagnostic)}")


def _optional(wire: Wire, data: bytes, tags: tuple[int, ...]) -> dict[int, bytes]:
    """Return the contents of the optional BER elements in ``data``, by their tags.

    ``wire`` is the connection to the server. Elements that are missing have no entry. Raise
    ``StartTLSError`` if ``data`` has an element with a different tag than ``tags``, or if the
    elements are not in the order of ``tags``.
    """
    found: dict[int, bytes] = {}
    for tag in tags:
        if data[:1] == bytes((tag,)):
            found[tag], data = _element(wire, data, tag)
    if data:
        wire.raise_garbled("sent an LDAP message with unknown parts")
    return found


def _element(wire: Wire, data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return the contents of the BER element at the start of ``data``, and the bytes after it.

    ``wire`` is the connection to the server. Raises ``StartTLSError`` if the element has a
    different tag than ``tag``, or is cut short.
    """
    if len(data) < 2 or data[0] != tag:
        wire.raise_garbled(f"sent an LDAP message without its part {tag:#x}")
    start = 2 + _octets_of_length(wire, data[1])
    end = start + (int.from_bytes(data[2:start], "big") if start > 2 else data[1])
    if end > len(data):
        wire.raise_garbled(f"sent an LDAP message whose part {tag:#x} is cut short")
    return data[start:end], data[end:]


def _octets_of_length(wire: Wire, first: int) -> int:
    """Return the number of octets of a BER length that follow its first octet (X.690 8.1.3).

    ``wire`` is the connection to the server. ``first`` is the value of the first octet. Raises
    ``StartTLSError`` if LDAP doesn't allow such a length.
    """
    if first < 0x80:
        return 0
    if not 0x81 <= first <= 0x84:  # 0x80 is the indefinite form; more than four fit no message
        wire.raise_garbled("sent an LDAP message with a length that LDAP does not allow")
    return first - 0x80


LDAP = Protocol("ldap", _script, port=389, tls_port=636)
