"""Make text from untrusted sources safe to show in any format; and count nouns.

Each format still has to escape its own syntax.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Escape all characters that affect a terminal or a log: control, bidi and invisible ones."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def clean(text: str) -> str:
    """Escape control, bidi and invisible characters, and lone surrogates.

    Line ends and tabs are not escaped.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)


def readable(data: bytes) -> str:
    """Decode bytes as UTF-8, with escapes for invalid bytes and for control characters."""
    return clean(data.decode("utf-8", "backslashreplace"))


def encodable(text: str) -> str:
    """Escape lone surrogates, which no encoding can write, in a text."""
    return text.encode("utf-8", "backslashreplace").decode()


def in_days(days: int) -> str:
    """Return a number of days in words, such as ``3 days``."""
    return counted(days, "day")


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 report`` or ``7 reports``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def sentence(text: str) -> str:
    """Return a text with its first letter in upper case."""
    return text[:1].upper() + text[1:]
