"""Parse DER into a tree, change one node, and encode the tree again with the right lengths."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Change = Callable[["Node"], "Node"]

_CONSTRUCTED = 0x20


def der_length(count: int) -> bytes:
    """Return the DER encoding of a length: the shortest form."""
    if count < 0x80:
        return bytes([count])
    octets = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets


@dataclass(frozen=True)
class Node:
    """A value in DER: its tag, and its content or its child values.

    ``length`` encodes the length of the content. Another function writes another encoding than DER.
    """

    tag: int
    content: bytes = b""
    children: tuple[Node, ...] = ()
    length: Callable[[int], bytes] = der_length

    def encode(self) -> bytes:
        content = self.content + b"".join(child.encode() for child in self.children)
        return bytes([self.tag]) + self.length(len(content)) + content


def padded_length(count: int) -> bytes:
    """Return the encoding of a length with one octet more than needed: valid in BER, not in DER."""
    octets = b"\0" + count.to_bytes((count.bit_length() + 7) // 8 or 1, "big")
    return bytes([0x80 | len(octets)]) + octets


def parse(der: bytes) -> Node:
    """Parse one DER value. The contents of BIT STRINGs are not parsed."""
    node, rest = _next(der)
    assert not rest
    return node


def _next(der: bytes) -> tuple[Node, bytes]:
    tag, first, start = der[0], der[1], 2
    if first & 0x80:
        start += first & 0x7F
        first = int.from_bytes(der[2:start], "big")
    content, rest = der[start : start + first], der[start + first :]
    children: list[Node] = []
    left = content if tag & _CONSTRUCTED else b""
    while left:
        child, left = _next(left)
        children.append(child)
    return Node(tag, b"" if children else content, tuple(children)), rest


def changed(der: bytes, path: Sequence[int], change: Change) -> bytes:
    """Return ``der`` with ``change`` applied to the node at ``path``.

    The path has the index of a child for each level of the tree.
    """
    return replaced(parse(der), tuple(path), change).encode()


def replaced(node: Node, path: tuple[int, ...], change: Change) -> Node:
    """Return the tree below ``node`` with ``change`` applied to the node at ``path``."""
    if not path:
        return change(node)
    children = list(node.children)
    children[path[0]] = replaced(children[path[0]], path[1:], change)
    return replace(node, children=tuple(children))


def with_content(content: bytes) -> Change:
    """Return a change that replaces the content of a node and keeps its tag."""
    return lambda node: replace(node, content=content, children=())


def with_tag(tag: int) -> Change:
    """Return a change that replaces the tag of a node and keeps its content."""
    return lambda node: replace(node, tag=tag)


def with_length(length: Callable[[int], bytes]) -> Change:
    """Return a change that encodes the length of a node with the function ``length``."""
    return lambda node: replace(node, length=length)


def with_padded_length(node: Node) -> Node:
    """Return the same value with a length in one octet more than needed, as only BER allows."""
    return replace(node, length=padded_length)


def with_indefinite_length(node: Node) -> Node:
    """Return the same value with an indefinite length (X.690 section 8.1.3.6)."""
    content = node.content + b"".join(child.encode() for child in node.children)
    return replace(node, content=content + b"\0\0", children=(), length=lambda _: b"\x80")


def with_more(*more: Node) -> Change:
    """Return a change that adds children at the end of a node."""
    return lambda node: replace(node, children=(*node.children, *more))


def without_last(node: Node) -> Node:
    """Return the same value without its last child."""
    return replace(node, children=node.children[:-1])


def signed(certificate: Node, key: object) -> bytes:
    """Return a certificate signed again, by an authority with a key for ECDSA with SHA-256."""
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(certificate.children[0].encode(), ec.ECDSA(hashes.SHA256()))
    return replaced(certificate, (2,), with_content(b"\0" + signature)).encode()
