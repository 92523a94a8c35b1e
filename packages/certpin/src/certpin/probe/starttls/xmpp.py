"""XMPP, client to server: STARTTLS in the stream features (RFC 6120 5).

The stream is read tag by tag, without an XML parser: no document type, no entity and no processing
instruction is ever expanded or followed (RFC 6120 11.1 forbids them), memory stays within the limit
of the dialogue, and it is certain at which byte ``<proceed/>`` ends. A tag has the STARTTLS
namespace only if the tag itself declares it, as every server does.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, NamedTuple

from certpin.probe.starttls.dialogue import Protocol, quote

if TYPE_CHECKING:
    from certpin.probe.starttls.dialogue import Steps, Wire

_NAMESPACE = b"urn:ietf:params:xml:ns:xmpp-tls"
_STARTTLS = b"<starttls xmlns='" + _NAMESPACE + b"'/>"
_OPEN = (
    "<?xml version='1.0'?><stream:stream to='{}' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)

_ATTRIBUTE = rb"\s+([\w:.-]+)\s*=\s*('[^'<]*'|\"[^\"<]*\")"
_TAG = re.compile(rb"<(/?)(?:[\w.-]+:)?([\w.-]+)((?:" + _ATTRIBUTE + rb")*)\s*(/?)>")


class _Tag(NamedTuple):
    """One XML tag, with the text before it.

    Attributes:
        text: the text before the tag.
        name: the name of the tag, without a namespace prefix.
        attributes: its attributes by name.
        closes: True for ``</name>``.
        empty: True for ``<name/>``.
    """

    text: bytes
    name: bytes  # without its prefix
    attributes: dict[bytes, bytes]
    closes: bool  # </name>
    empty: bool  # <name/>

    def is_tls(self, name: bytes) -> bool:
        """Return True if this tag opens the element ``name`` in the STARTTLS namespace."""
        declared = [v for k, v in self.attributes.items() if k.split(b":")[0] == b"xmlns"]
        return not self.closes and self.name == name and _NAMESPACE in declared


def _script(wire: Wire) -> Steps[None]:
    to = html.escape(wire.host)  # quotes too, so that a host name can't insert tags
    wire.send(_OPEN.format(to).encode("ascii", "xmlcharrefreplace"))
    yield from _read_stream_head(wire)
    if not (yield from _read_features(wire)):
        wire.raise_tls_declined("does not offer STARTTLS in its stream features")
    wire.send(_STARTTLS)
    yield from _expect_proceed(wire)


def _read_stream_head(wire: Wire) -> Steps[None]:
    """Read ``<stream:stream …>``, after an XML declaration if there is one.

    ``wire`` is the connection to the server.
    """
    token = yield from _token(wire)
    if token.startswith(b"<?xml "):
        token = yield from _token(wire)
    tag = _parse(wire, token)
    if tag.name != b"stream" or tag.closes or tag.empty or tag.text.strip():
        wire.raise_garbled(f"sent something else than an XMPP stream: {quote(token)}")
    if tag.attributes.get(b"version") != b"1.0":
        wire.raise_tls_declined("speaks XMPP before version 1.0, which has no STARTTLS")


def _read_features(wire: Wire) -> Steps[bool]:
    """Read ``<stream:features>`` to its end. Return True if the server offers STARTTLS in it.

    ``wire`` is the connection to the server. Raises ``StartTLSError`` if the server sends another
    element or malformed XML.
    """
    tag = yield from _child(wire, b"features")
    offered = False
    while not (tag.name == b"features" and (tag.closes or tag.empty)):
        tag = _parse(wire, (yield from _token(wire)))
        offered = offered or tag.is_tls(b"starttls")
    return offered


def _expect_proceed(wire: Wire) -> Steps[None]:
    """Read ``<proceed/>`` or ``<proceed></proceed>``. Raise ``StartTLSError`` for other tags.

    ``wire`` is the connection to the server.
    """
    tag = yield from _child(wire, b"proceed")
    if not tag.is_tls(b"proceed"):
        wire.raise_garbled("sent a <proceed> that is not for STARTTLS")
    if not tag.empty:
        closing = _parse(wire, (yield from _token(wire)))
        if closing.name != b"proceed" or not closing.closes or closing.text:
            wire.raise_garbled("sent a <proceed> that is not empty")


def _child(wire: Wire, name: bytes) -> Steps[_Tag]:
    """Read the opening tag of the next element in the stream, and return the tag.

    ``wire`` is the connection to the server. Raises ``StartTLSError`` if the element is not called
    ``name``.
    """
    token = yield from _token(wire)
    tag = _parse(wire, token)
    if tag.name == b"error":
        condition = _parse(wire, (yield from _token(wire)))
        wire.raise_connection_declined(f"closes the stream: {quote(condition.name)}")
    if tag.name == b"failure":
        wire.raise_tls_declined(f"declined STARTTLS: {quote(token)}")
    if tag.name != name or tag.closes or tag.text.strip():
        wire.raise_garbled(f"sent {quote(token)} instead of <{name.decode()}>")
    return tag


def _token(wire: Wire) -> Steps[bytes]:
    """Read bytes up to the end of the next XML tag. Return the tag and the text before it.

    ``wire`` is the connection to the server. The tag ends at the first ``>`` outside of quotes.
    """
    token = bytearray()
    quoted = inside = False
    mark = 0
    while not (inside and not quoted and token.endswith(b">")):
        byte = (yield from wire.take(1))[0]
        token.append(byte)
        if token.endswith(b"<!"):
            wire.raise_garbled(
                "sent a document type, a comment or CDATA, which are not allowed here"
            )
        inside = inside or byte == ord("<")
        if inside and byte in b"'\"" and (not quoted or byte == mark):
            quoted, mark = not quoted, byte
    return bytes(token)


def _parse(wire: Wire, token: bytes) -> _Tag:
    """Parse ``token``, the bytes that ``_token`` returned: an XML tag and the text before it.

    ``wire`` is the connection to the server. Raises ``StartTLSError`` if the tag is malformed.
    """
    start = token.index(b"<")
    match = _TAG.fullmatch(token, start)
    if match is None:
        wire.raise_garbled(f"sent a tag that XMPP does not allow: {quote(token)}")
    attributes = {name: value[1:-1] for name, value in re.findall(_ATTRIBUTE, match[3])}
    closes, empty = bool(match[1]), bool(match[6])
    if closes and (empty or attributes):
        wire.raise_garbled(f"sent a malformed tag: {quote(token)}")
    return _Tag(token[:start], match[2], attributes, closes, empty)


XMPP = Protocol("xmpp", _script, port=5222, tls_port=5223)
