"""Hostile bytes and text, made safe to write into any format. Each format still escapes its own."""

from __future__ import annotations

from certpin.x509 import printable


def clean(text: str) -> str:
    """Text without control, bidi or invisible characters, nor halves of surrogate pairs.

    They are written as escapes. Line ends and tabs stay.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)


def readable(data: bytes) -> str:
    """Bytes as text: UTF-8 where they are, escapes where not."""
    return clean(data.decode("utf-8", "backslashreplace"))


def encodable(text: str) -> str:
    """Text as it is, but for halves of surrogate pairs, which no encoding can write."""
    return text.encode("utf-8", "backslashreplace").decode()
