"""Text for mail, chats and pagers: what comes from a network does nothing there.

A report may say ``<!channel>``, ``@everyone``, ``[the page](https://evil.example)`` or HTML. It is
shown, so that somebody can see it, with the signs replaced that any of these services acts on. Not
prevented: that a mail program makes a link of a bare name such as ``evil.example``.
"""

from __future__ import annotations

from certpin.x509 import printable

# Signs that look alike and mean nothing: markup, mentions (Slack, Teams, Discord), code.
_IN_CODE: dict[str, str | int | None] = {
    "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
    ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
    "@": "\N{FULLWIDTH COMMERCIAL AT}",
    "`": "\N{PRIME}",
}
_ELSEWHERE = _IN_CODE | {
    "*": "\N{ASTERISK OPERATOR}",
    "|": "\N{BROKEN BAR}",
    "~": "\N{TILDE OPERATOR}",
}
_LINKS = (("://", "[:]//"), ("](", "] ("))


def harmless(text: str, most: int) -> str:
    """One line that no service acts on, of at most so many characters."""
    line = printable(" ".join(text[: 4 * most].split()))
    plain = line.translate(str.maketrans(_ELSEWHERE))
    for sign, instead in _LINKS:
        plain = plain.replace(sign, instead)
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def command_line(text: str, most: int = 300) -> str:
    """A command as it can be copied, but for signs of markup; one that is too long is left out."""
    plain = printable(text).translate(str.maketrans(_IN_CODE))
    return plain if len(plain) <= most else ""
