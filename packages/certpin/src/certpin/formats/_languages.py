"""The languages of source code with pins: how each is split into tokens.

Each rule has to be that of the compiler. Otherwise, certpin takes code that the compiler runs for a
comment or a string, and doesn't see its pins; or it reads pins that the compiler doesn't.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from certpin.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

# Possessive, so that hostile text cannot cause backtracking, and without branches in a possessive
# group, which Python 3.11.2 cannot match. The literals that only one language has come first.
_PIECE = r"""
      (?P<comment>  //[^\n]*+ | /\*[^*]*+(?:(?=\*[^/])\*[^*]*+)*+\*/ )
    %s
    | (?!\"\"\"|''')
      (?P<string>   \"[^\"\\\n]*+(?:\\.[^\"\\\n]*+)*+\" | '[^'\\\n]*+(?:\\.[^'\\\n]*+)*+' )
    | (?P<open>     /\* | [\"'`] )
    | (?P<word>     [A-Za-z_$][\w$]*+ | [0-9][\w.]*+ )
    | (?P<space>    \s++ )
    | (?P<mark>     . )
"""
# Strings in three quotation marks, with and without escapes.
_PLAIN = r"\"\"\"[^\"]*+(?:(?=\"{1,2}+[^\"])\"++[^\"]*+)*+\"\"\""
_ESCAPED = r"\"\"\"[^\"\\]*+(?:(?!\"\"\")\\?+.[^\"\\]*+)*+\"\"\""
_PLAIN_SINGLE, _ESCAPED_SINGLE = (each.replace(r"\"", "'") for each in (_PLAIN, _ESCAPED))

# An escape of Java's source (the Java Language Specification, section 3.3), or two backslashes, of
# which the second one begins none.
_JAVA_ESCAPE = re.compile(r"\\(?:\\|u++([0-9A-Fa-f]{4}))")

# The reserved words and literals of the Java Language Specification, section 3.9.
JAVA_WORD = re.compile(
    "abstract|assert|boolean|break|byte|case|catch|char|class|const|continue|default|do|double|"
    "else|enum|extends|false|final|finally|float|for|goto|if|implements|import|instanceof|int|"
    "interface|long|native|new|null|package|private|protected|public|return|short|static|strictfp|"
    "super|switch|synchronized|this|throw|throws|transient|true|try|void|volatile|while|_"
)
# The hard keywords of Kotlin (https://kotlinlang.org/docs/keyword-reference.html).
KOTLIN_WORD = re.compile(
    "as|break|class|continue|do|else|false|for|fun|if|in|interface|is|null|object|package|return|"
    "super|this|throw|true|try|typealias|typeof|val|var|when|while|_+"
)


@dataclass(frozen=True)
class Language:
    """The rules by which a language is split into tokens.

    Attributes:
        literals: the pattern of the literals that only this language has: an alternative for each
            kind of literal, as a group with the name of the kind. ``raw`` and ``verbatim`` are
            strings in which a backslash is an ordinary character. ``block`` is any other string.
            ``name`` is a name in backticks. ``holes`` and ``verbatim_holes`` are strings with code
            in ``{…}``; ``open_holes`` begins one that is refused. ``directive`` is a line for the
            preprocessor. ``after_name`` is a character, or its escape, directly after a name.
        line_ends: the characters that end a line, and so a comment after ``//``, besides a line
            feed.
        nested: True if a block comment can contain others.
        templates: True if ``${…}`` in a string contains code.
        regex: True if the language has literals for regular expressions. They are left out.
        decode: a function that the compiler applies to the whole source before anything else.
            Raises ``FormatError`` if the result is unclear.
    """

    literals: str
    line_ends: str = "\r"
    nested: bool = False
    templates: bool = False
    regex: bool = False
    decode: Callable[[str], str] = str

    @cached_property
    def token(self) -> re.Pattern[str]:
        """The pattern of a token. The name of the last group that matched is its kind."""
        return re.compile(_PIECE % self.literals, re.VERBOSE | re.DOTALL | re.ASCII)

    def with_line_feeds(self, text: str) -> str:
        """Return source code with a line feed for each character that ends a line.

        The length stays. A carriage return before a line feed is part of the same line end.
        """
        return re.sub(rf"(?!\r\n)[{self.line_ends}]", "\n", text) if self.line_ends else text


def _decode_java(text: str) -> str:
    r"""Return Java's source with the characters of its escapes, such as ``*`` for ``\u002a``.

    They can begin and end comments and strings. Escapes of other characters than ASCII stay.

    Raises:
        FormatError: an escape is a line end, or a backslash, which could begin another escape.
    """

    def decoded(match: re.Match[str]) -> str:
        number = int(match[1] or "ffff", 16)
        if number > 0x7F:
            return match[0]
        if chr(number) in "\n\r\\":
            line = text.count("\n", 0, match.start()) + 1
            raise FormatError(
                f"line {line}: the escape {match[0][-6:]} changes the code around it",
                fix="write the code without this escape",
            )
        return chr(number)

    return _JAVA_ESCAPE.sub(decoded, text)


def _decode_script(text: str) -> str:
    """Return a script without its first line if this names the interpreter (``#!``)."""
    return re.sub(r"\A#![^\n]*+", "", text)


# In JavaScript, a backslash is an escape in these, too; code.py refuses one before the end.
_BACKTICKS = "| (?P<block> `[^`]*+` )"

# The Java Language Specification, sections 3.3, 3.4, 3.8 and 3.10.6.
JAVA = Language(
    rf"""
    | (?P<block> {_ESCAPED} )
    | (?<=[\w$])(?P<after_name> \\u++[0-9A-Fa-f]{{4}} | [^\t-\r\x1c-\x7e] )
    """,
    decode=_decode_java,
)
# The last three quotation marks end a string (https://kotlinlang.org/docs/strings.html).
KOTLIN = Language(
    rf"| (?P<block> {_PLAIN}\"*+ ) | `(?P<name> [^`\n]++ )`",
    nested=True,
    templates=True,
    decode=_decode_script,
)
DART = Language(
    rf"""
    | r(?P<raw> {_PLAIN} | {_PLAIN_SINGLE} | (?!\"\"\"|''')(?: \"[^\"\n]*+\" | '[^'\n]*+' ) )
    | (?P<block> {_ESCAPED} | {_ESCAPED_SINGLE} )
    """,
    nested=True,
    templates=True,
    decode=_decode_script,
)
JAVASCRIPT = Language(  # ECMA-262, section 12.3
    _BACKTICKS, "\r\u2028\u2029", templates=True, regex=True, decode=_decode_script
)
# The C# specification, section 6.3.2. A string that begins with more than three quotation marks
# ends with as many: it is refused.
CSHARP = Language(
    rf"""
    | (?P<directive> \#[^\n]*+ )
    | (?P<open_holes> \$++\"\"\" )
    | \$(?P<holes> \"[^\"\\\n]*+(?:\\.[^\"\\\n]*+)*+\" )
    | (?: \$@ | @\$ )(?P<verbatim_holes> \"[^\"]*+(?:\"\"[^\"]*+)*+\" )
    | @(?P<verbatim> \"[^\"]*+(?:\"\"[^\"]*+)*+\" )
    | (?P<block> (?!\"{{4}}){_PLAIN}(?!\") )
    """,
    "\r\x85\u2028\u2029",
)
GO = Language(_BACKTICKS, "")  # https://go.dev/ref/spec#Comments
