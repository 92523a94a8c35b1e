"""The languages of source code with pins: how each is split into tokens.

A rule that differs from that of the compiler is dangerous: what the compiler runs could be a
comment here, or the other way round.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """The rules by which a language is split into tokens.

    Attributes:
        line_ends: the characters that end a line, and so a comment after ``//``, besides a line
            feed.
        nested: True if a block comment can contain others.
        regex: True if the language has literals for regular expressions. They are left out.
    """

    line_ends: str = "\r"
    nested: bool = False
    regex: bool = False

    def with_line_feeds(self, text: str) -> str:
        """Return source code with a line feed for each character that ends a line.

        The length stays. A carriage return before a line feed is part of the same line end.
        """
        return re.sub(rf"(?!\r\n)[{self.line_ends}]", "\n", text) if self.line_ends else text


JAVA = Language()  # the Java Language Specification, section 3.4
KOTLIN = Language(nested=True)
DART = Language(nested=True)
JAVASCRIPT = Language("\r\u2028\u2029", regex=True)  # ECMA-262, section 12.3
CSHARP = Language("\r\x85\u2028\u2029")  # the C# specification, section 6.3.2
GO = Language("")  # https://go.dev/ref/spec#Comments
