"""Read source code: its tokens (words, strings and marks), and the table of policies in it.

This subset of the syntax is common to Dart, Go, Java, Kotlin, JavaScript and C#, and is enough to
read lists of pins. The run time is linear in the length of the text.

The table of policies in exported source code has the same fields in every language:

    pattern, mode, match, pins, compromised, expires, onExpiry, trust, reportTo

A field is one of these words (in any case), then a colon or an equals sign, then a string or a list
of strings. A policy is a pair of brackets that has only fields, one of which is the pattern. All
other code in a policy, and between the policies of a list, raises ``FormatError``: its values are
known only at run time, and a skipped pin would lock clients out.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from certpin.errors import FormatError
from certpin.formats._javascript import Slashes
from certpin.formats._languages import KOTLIN_WORD
from certpin.formats.header import read_header
from certpin.formats.parsed import LISTS, ParsedFile, found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.formats._languages import Language
    from certpin.formats.parsed import Row, Source

Kind = Literal["string", "word", "mark"]

NO_EXPORT = "the file contains no pins of a certpin export"
ADD_PINS = "certpin add HOST --pin PIN --backup-pin PIN"  # for pins in other code

# A `${…}` of a string, without escapes, other templates, strings that contain a brace, comments and
# regular expressions.
_TEMPLATE = re.compile(
    r"""
    \$\{
    (?: (?=[^}/]) [^{}'"`\\/]*+ (?:'[^'{}\\]*+')?+ (?:"[^"{}\\]*+")?+ (?:`[^`{}\\]*+`)?+ )*
    \}
    """,
    re.VERBOSE,
)

# Code in a string of C# without other strings, comments and brackets, and an escaped bracket.
_HOLE = re.compile(r"\{\{|\{[^{}\"'/]*+\}")
_CONDITION = re.compile(r"#\s*(?:if|elif|else)\b")

_LITERALS = frozenset({"string", "block", "raw", "verbatim", "name", "holes", "verbatim_holes"})
_WORD = re.compile(r"[A-Za-z_$][\w$]*+", re.ASCII)
_COMMENT_MARK = re.compile(r"/\*|\*/")

_FIELDS = (
    *("pattern", "mode", "match", "pins", "compromised"),
    *("expires", "onExpiry", "trust", "reportTo"),
)
_KNOWN = {name.lower(): name for name in _FIELDS}
# Words before the bracket of a list: `new string[] {…}` in C#, `const <String>[…]` in Dart.
_OF_LISTS = frozenset({"new", "const", "string", "String", "List", "IReadOnlyList"})


@dataclass(frozen=True)
class Token:
    """A token of source code: a string, a word, or a punctuation mark.

    Attributes:
        kind: ``string``, ``word`` or ``mark``.
        text: the text of the token; for a string, the text between its quotes.
        line: the line in which the token begins.
        computed: True if the value of a string differs from its text, because of escapes or
            ``${…}``.
    """

    kind: Kind
    text: str
    line: int
    computed: bool = False

    def value(self) -> str:
        """Return the value of a string. Raises ``FormatError`` if it has escapes or ``${…}``.

        No pin, host or date needs these.
        """
        if self.computed:
            raise _computed(self.text, self.line)
        return self.text


def tokens(text: str, language: Language) -> Iterator[Token]:
    """Yield the tokens of source code.

    Args:
        text: the source code.
        language: its language.

    Raises:
        FormatError: a string or comment is not closed, the end of a string is ambiguous, because
            its ``${…}`` contains another string, or it is unclear if a ``/`` of JavaScript divides.
    """
    text = language.decode(language.with_line_feeds(text))
    line, place, end = 1, 0, 0
    slashes = Slashes() if language.regex else None
    while match := language.token.match(text, place):
        kind, piece = match.lastgroup or "", match[0]
        if language.nested and piece.startswith("/*"):
            piece = text[place : _end_of_comment(text, place, line)]
        elif slashes and kind == "mark":
            slashes.refuse_html(text, place, line)
            if piece == "/" and (found := slashes.regex(text, place, line)):
                kind, piece = "regex", found
        place += len(piece)
        if token := _token(kind, match[kind] if kind in _LITERALS else piece, line, language):
            yield token
        if slashes and kind not in {"space", "comment"}:
            slashes.add(kind, piece, joined=match.start() == end, line=line)
            end = place
        line += piece.count("\n")


def _token(kind: str, text: str, line: int, language: Language) -> Token | None:
    """Return the token of a match; None for a comment, a space or a regular expression.

    Args:
        kind: the kind of the match: a group of ``Language.token``, or "regex".
        text: the text of the match; for a literal, without a prefix such as ``r`` or ``@``.
        line: the line of the match.
        language: the language.

    Raises:
        FormatError: a string or comment is not closed, or the end of a string is unclear.
    """
    if kind in {"word", "mark"}:
        return Token(cast("Kind", kind), text, line)
    if kind == "name":
        return Token("word", _name(text), line)
    if kind in _LITERALS:
        return _string(text, line, kind, templates=language.templates)
    if kind == "after_name":
        return _after_name(text, line)
    if kind == "directive" and _CONDITION.match(text):
        raise FormatError(
            f"line {line}: {text[:40]} selects code for some builds only",
            fix="write the pins without conditions of the preprocessor",
        )
    if kind == "open_holes":
        raise _computed(text, line)
    if kind == "open":  # continuing would search for the end repeatedly
        raise FormatError(f"line {line}: the literal or comment {text} is not closed")
    return None


def _after_name(text: str, line: int) -> Token:
    """Return the token of a character directly after a name of Java, or of its escape.

    ``text`` is the character or its escape, and ``line`` its line. Java ignores some characters:
    with U+00AD after its first letter, ``add`` is the same name (section 3.8 of its specification;
    Character.isIdentifierIgnorable).

    Raises:
        FormatError: the character can be one that Java ignores.
    """
    character = chr(int(text[-4:], 16)) if text[0] == "\\" else text
    # Two surrogates (Cs) can be such a character, too.
    if unicodedata.category(character) not in {"Cc", "Cf", "Cs"}:
        return Token("mark", text, line)
    raise FormatError(
        f"line {line}: the character U+{ord(character):04X} after a letter has no effect",
        fix="remove this character",
    )


def _end_of_comment(text: str, place: int, line: int) -> int:
    """Return the index after the block comment that begins at ``place``, in line ``line``.

    All indexes are those of characters in ``text``, the source code. Raises ``FormatError`` if the
    comment is not closed.
    """
    depth = 0
    for mark in _COMMENT_MARK.finditer(text, place):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    raise FormatError(f"line {line}: the literal or comment /* is not closed")


def _string(literal: str, line: int, kind: str, *, templates: bool) -> Token:
    """Return the token of a string literal.

    Args:
        literal: the literal with its quotes, without a prefix such as ``r`` or ``@``.
        line: the line of the literal.
        kind: ``raw`` (Dart) or ``verbatim`` (C#) if a backslash is an ordinary character, and
            ``holes`` or ``verbatim_holes`` if the string can contain code in ``{…}``.
        templates: True if the language computes ``${…}`` in strings.

    Raises:
        FormatError: the end of the literal is unclear, for example because a quote in its ``${…}``
            could end it. A wrong guess would read text as code, or code as text.
    """
    quotes = 3 if literal[:3] in {'"""', "'''"} and len(literal) >= 6 else 1
    inside = literal[quotes:-quotes]
    if kind == "raw":
        return Token("string", inside, line)
    if kind.endswith("holes"):
        if "{" in _HOLE.sub("", inside):
            raise _computed(inside, line)
        marks = "{}\\" if kind == "holes" else '{}"'
        return Token("string", inside, line, computed=any(each in inside for each in marks))
    if kind == "verbatim":
        return Token("string", inside, line, computed='""' in inside)
    if (templates and "${" in _TEMPLATE.sub("", inside)) or (
        literal[0] == "`" and inside.endswith("\\")
    ):
        raise _computed(inside, line)
    return Token("string", inside, line, computed="\\" in inside or "${" in inside)


def _name(text: str) -> str:
    """Return the word that means the same as a name in backticks.

    A name that is a keyword or no word keeps its backticks: it means nothing else.
    """
    is_plain = _WORD.fullmatch(text) and not KOTLIN_WORD.fullmatch(text)
    return text if is_plain else f"`{text}`"


def _computed(text: str, line: int) -> FormatError:
    return FormatError(
        f"line {line}: the string {text[:40]!r} is computed",
        fix="write it literally, without escapes",
    )


def is_mark(pieces: list[Token], place: int, mark: str) -> bool:
    """Return True if the token with the index ``place`` exists and is this punctuation mark.

    ``pieces`` are the tokens of some code, and ``mark`` is the text of the mark.
    """
    return 0 <= place < len(pieces) and (pieces[place].kind, pieces[place].text) == ("mark", mark)


def read_table(source: Source, language: Language) -> ParsedFile:
    """Parse the table of policies in exported source code.

    Args:
        source: the source file.
        language: its language.

    Raises:
        FormatError: the file has no such table, as other code with pins, or its values are not
            literals.
    """
    name, version = read_header(source.text)
    pieces = list(tokens(source.text, language))
    hosts = tuple(found(each) for each in _rows(pieces))
    if not hosts:
        fix = f"if it is code of your app, and not an export: {ADD_PINS}"
        raise FormatError(NO_EXPORT, fix=fix)
    return ParsedFile(hosts, name, version)


@dataclass
class Brackets:
    """A pair of brackets in source code. All indexes are those of tokens.

    Attributes:
        opening: the index of the opening bracket.
        outer: the pair of brackets around this one; None if there is none.
        closing: the index of the closing bracket; the end of the file if it is missing.
        fields: for the name of each field directly inside the brackets, the index of its first
            token.
    """

    opening: int
    outer: Brackets | None
    closing: int
    fields: dict[str, int] = field(default_factory=dict)


def brackets(
    pieces: list[Token], name_of: Callable[[list[Token], int], str | None]
) -> list[Brackets]:
    """Return all pairs of brackets in some code, in the order in which they are opened.

    ``pieces`` are the tokens of the code. ``name_of`` is a function that returns the name of the
    field that starts at a token (its arguments are the tokens and an index); None if none does.
    """
    pairs: list[Brackets] = []
    inner: Brackets | None = None
    for place, token in enumerate(pieces):
        if token.kind == "mark" and token.text in "([{":
            inner = Brackets(place, inner, len(pieces))
            pairs.append(inner)
        elif inner and token.kind == "mark" and token.text in ")]}":
            inner.closing = place
            inner = inner.outer
        elif inner and (name := name_of(pieces, place)):
            inner.fields.setdefault(name, place)
    return pairs


def tables_of(pieces: list[Token], entries: list[Brackets]) -> list[Brackets]:
    """Return the brackets around entries, such as policies, each pair once.

    ``pieces`` are the tokens of the file, and ``entries`` the brackets of the entries. Raises
    ``FormatError`` if one of them, or an entry, has no closing bracket: the rest of such a file is
    missing, and pins with it.
    """
    tables = {each.outer.opening: each.outer for each in entries if each.outer}
    for pair in (*tables.values(), *entries):
        if pair.closing == len(pieces):
            raise FormatError(
                f"line {pieces[pair.opening].line}: the bracket is not closed",
                fix="name the complete file",
            )
    return list(tables.values())


def _rows(pieces: list[Token]) -> Iterator[Row]:
    """Yield the fields of each policy in an exported source file.

    ``pieces`` are the tokens of the file. Raises ``FormatError`` if a policy or a list of policies
    is not closed, if a value of a policy is computed, or if an entry of a list is.
    """
    policies = [each for each in brackets(pieces, _field) if _is_policy(each, pieces)]
    ends = {each.opening: each.closing for each in policies}
    for table in tables_of(pieces, policies):
        _refuse_computed_entries(pieces, table, ends)
    for each in policies:
        yield _row(pieces, each)


def _is_policy(pair: Brackets, pieces: list[Token]) -> bool:
    """Return True if a pair of brackets contains the fields of a policy.

    It does if it has the field ``pattern``, and either this field is a string or there is a field
    with a list, such as ``pins``. Other values can be computed by code: the caller then refuses the
    policy. ``pieces`` are the tokens of the file.
    """
    pattern = pair.fields.get("pattern")
    if pattern is None:
        return False
    return pieces[pattern + 2].kind == "string" or not pair.fields.keys().isdisjoint(LISTS)


def _refuse_computed_entries(
    pieces: list[Token], table: Brackets, policies: dict[int, int]
) -> None:
    """Raise ``FormatError`` if a list of policies has an entry that is not a literal policy.

    Args:
        pieces: the tokens of the file.
        table: the brackets around the list.
        policies: for each policy, the index of its opening bracket and that of its closing bracket.
    """
    place = table.opening + 1
    while place < table.closing:
        if place in policies:
            place = policies[place] + 1
            continue
        token = pieces[place]
        # A word, such as the name of a type, has to belong to the policy after it.
        named = token.kind == "word" and (place + 1 in policies or pieces[place + 1].kind == "word")
        if not named and token.text != ",":
            raise _not_literal("an entry of the list of policies", token.line)
        place += 1


def _row(pieces: list[Token], policy: Brackets) -> Row:
    """Return the fields of a policy: for the name of each field, the list of its strings.

    ``pieces`` are the tokens of the file, and ``policy`` is the pair of brackets around the fields.
    Raises ``FormatError`` if one of the values is computed.
    """
    fields: Row = {}
    pattern = pieces[policy.fields["pattern"] + 2].text[:80]
    place = policy.opening + 1
    while place < policy.closing:
        line = pieces[place].line
        name = _field(pieces, place)
        if name is None or name in fields:
            raise _not_literal(f"a field of {pattern}", line)
        values, place = _value(pieces, place + 2, name)
        if values is None or not (place == policy.closing or is_mark(pieces, place, ",")):
            raise _not_literal(f"{name} of {pattern}", line)
        fields[name] = values
        place += 1
    return fields


def _value(pieces: list[Token], place: int, name: str) -> tuple[list[str] | None, int]:
    """Return the strings in the value of the field ``name``, and the index of the token after it.

    The result has None in place of the strings if the value is not a literal, or a list is not
    closed.

    Args:
        pieces: the tokens of the file.
        place: the index of the value's first token.
        name: the name of the field, which decides if its value is one string or a list.
    """
    if name not in LISTS:
        is_text = pieces[place].kind == "string"
        return ([pieces[place].value()], place + 1) if is_text else (None, place)
    while place < len(pieces) and _is_of_list(pieces, place):
        place += 1
    if not any(is_mark(pieces, place, mark) for mark in "([{"):
        return None, place
    found, place = strings(pieces, place + 1)
    texts = [each.value() for each in found]
    is_closed = any(is_mark(pieces, place, mark) for mark in ")]}")
    return (texts, place + 1) if is_closed else (None, place)


def strings(pieces: list[Token], place: int) -> tuple[list[Token], int]:
    """Return the strings of a list, and the index of the token after them.

    If all elements are strings, that token is the closing bracket. Otherwise it is a different one,
    and the caller refuses the list. ``pieces`` are the tokens of the file, and ``place`` is the
    index of the token after the opening bracket.
    """
    found: list[Token] = []
    while place < len(pieces) and pieces[place].kind == "string":
        found.append(pieces[place])
        place += 1
        if not is_mark(pieces, place, ","):
            break
        place += 1
    return found, place


def _is_of_list(pieces: list[Token], place: int) -> bool:
    """Return True if a token can belong to a type before a list, such as ``[]string`` in Go.

    The caller skips these tokens to find the list. ``pieces`` are the tokens of the file, and
    ``place`` is the index of the token.
    """
    token = pieces[place]
    if token.kind == "word":
        return token.text in _OF_LISTS
    empty = is_mark(pieces, place, "[") and is_mark(pieces, place + 1, "]")
    after = is_mark(pieces, place, "]") and is_mark(pieces, place - 1, "[")
    return empty or after or token.text in {"<", ">"}


def _not_literal(what: str, line: int) -> FormatError:
    return FormatError(
        f"line {line}: {what} is not written literally",
        fix="write each value as a text, without variables",
    )


def _field(pieces: list[Token], place: int) -> str | None:
    """Return the name of the policy field that starts at token ``place``; None if none does.

    ``place`` is the index of the token in ``pieces``. A field is the first token in its brackets,
    or follows a comma. Variables, such as ``string pattern = …`` or ``pattern := …``, are not
    fields.
    """
    if not 0 < place < len(pieces) - 2 or pieces[place].kind != "word":
        return None
    begins = pieces[place - 1].kind == "mark" and pieces[place - 1].text in "([{,"
    separator, after = pieces[place + 1], pieces[place + 2]
    if not begins or separator.text not in {":", "="} or after.text in {"=", ">"}:
        return None
    return _KNOWN.get(pieces[place].text.lower())
