"""The tokenizer that reads strings in source code of any language, for the import of pins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import FormatError
from certpin.formats._languages import CSHARP, DART, GO, JAVA, JAVASCRIPT, KOTLIN, Language
from certpin.formats.code import tokens

LANGUAGES = (CSHARP, DART, GO, JAVA, JAVASCRIPT, KOTLIN)


def strings(text: str, language: Language = DART) -> list[str]:
    return [token.text for token in tokens(text, language) if token.kind == "string"]


@pytest.mark.parametrize(
    "code",
    [
        'add("a", "b")',
        "['a', 'b']",
        "`a` + `b`",
        "\"\"\"a\"\"\" '''b'''",
        "r'a' r\"b\"",
        '// "x"\n"a" /* "y" \n * "z" **/ "b" // \'w\'',
        "'a' /* it's */ 'b'",
    ],
)
def test_strings_are_found_and_comments_are_not_read(code: str) -> None:
    assert strings(code, GO if "`" in code else DART) == ["a", "b"]


def test_a_url_in_a_string_is_not_a_comment() -> None:
    assert strings('"https://bank.example/*x*/" // "y"') == ["https://bank.example/*x*/"]


@pytest.mark.parametrize(
    ("language", "ends"),
    [
        (CSHARP, "\n\r\x85\u2028\u2029"),
        (DART, "\n\r"),
        (GO, "\n"),
        (JAVA, "\n\r"),
        (JAVASCRIPT, "\n\r\u2028\u2029"),
        (KOTLIN, "\n\r"),
    ],
)
def test_a_comment_ends_with_its_line(language: Language, ends: str) -> None:
    for end in "\n\r\v\f\x1c\x85\u2028\u2029":
        found = list(tokens(f"// it's{end}'a'\r\n'b'", language))
        lines = [("a", 2), ("b", 3)] if end in ends else [("b", 2)]
        assert [(each.text, each.line) for each in found] == lines, repr(end)


def test_words_and_marks_keep_their_lines() -> None:
    found = [(token.kind, token.text, token.line) for token in tokens('x.add(\n  "y", 1)', JAVA)]
    assert found == [
        ("word", "x", 1),
        ("mark", ".", 1),
        ("word", "add", 1),
        ("mark", "(", 1),
        ("string", "y", 2),
        ("mark", ",", 2),
        ("word", "1", 2),
        ("mark", ")", 2),
    ]


@pytest.mark.parametrize("code", ['"a\\"b"', "'${host}'", '\n"\\u0041"', "'a\\\\'", '@"a""b"'])
def test_the_value_of_a_computed_string_is_refused(code: str) -> None:
    found = list(tokens(f'{code} + "b"', CSHARP if "@" in code else KOTLIN))
    assert [token.computed for token in found] == [True, False, False]
    with pytest.raises(FormatError, match=r"line [12]: the string .* is computed") as caught:
        found[0].value()
    assert caught.value.fix == "write it literally, without escapes"
    assert found[2].value() == "b"


@pytest.mark.parametrize(
    "code",
    [
        '"${f("//")}" + "b"',  # with an end before it, this would be a comment
        "`${ok ? `/*` : ''}`",
        "'${f(\"}\")}'",
        '"${',
        '"""${f("""x""")}"""',
        r"`a\`",  # in JavaScript the string goes on
        '"${1/*}" + "a"',  # in Kotlin the comment goes on
    ],
)
def test_a_string_with_an_ambiguous_end_is_refused(code: str) -> None:
    with pytest.raises(FormatError):
        strings(code, JAVASCRIPT if "`" in code else KOTLIN)


@pytest.mark.parametrize(
    ("language", "code"),
    [
        (JAVA, r'''"a" + \u002f\u002a "x" \u002a\uu002F + "b"'''),
        (JAVA, r"""\u0022a", "b\u0022"""),
        (KOTLIN, r'''"a" // \u000a "x"''' + '\n"b"'),
        (KOTLIN, '"""a""" + `"x"` + "b"'),
    ],
)
def test_the_strings_are_those_of_the_compiler(language: Language, code: str) -> None:
    """test_compilers.py compares them with those of the compilers."""
    assert strings(code, language) == ["a", "b"]


@pytest.mark.parametrize(
    ("language", "code", "count"),
    [
        (JAVA, r'''"""N\""" + "x" + \"""N"""''', 1),
        (DART, r'''"""\""" + "x" + \"""", "b"''', 2),
        (DART, r"""'''\'''', 'b', '''\''''""", 3),
        (DART, r"""r'''\''', 'b'""", 2),
        (KOTLIN, r'''"""a"""", "b", """c""""''', 3),
        (KOTLIN, r'''"""\""", "b", """\"""''', 3),
        (CSHARP, r'''"""\""", "b", """\"""''', 3),
    ],
)
def test_strings_in_three_quotation_marks_end_as_in_the_compiler(
    language: Language, code: str, count: int
) -> None:
    assert len(strings(code.replace("N", "\n"), language)) == count


@pytest.mark.parametrize("code", ['""""a"""" // "', '""""a"""b""""', '"""a""""', '"""a'])
def test_a_longer_string_of_csharp_is_refused(code: str) -> None:
    """It ends with as many quotation marks as it begins with."""
    with pytest.raises(FormatError, match=r'^line 1: the literal or comment " is not closed'):
        strings(code, CSHARP)


@pytest.mark.parametrize("escape", [r"\u000a", r"\u000D", r"\uuu005c"])
def test_an_escape_of_java_that_changes_its_lines_is_refused(escape: str) -> None:
    problem = f"^line 2: the escape .{escape[-5:]} changes the code around it"
    with pytest.raises(FormatError, match=problem) as caught:
        strings(f"\n// {escape}", JAVA)
    assert caught.value.fix == "write the code without this escape"
    assert strings(f"// \\{escape}", JAVA) == []  # two backslashes begin no escape


@pytest.mark.parametrize(
    "name",
    ["a\xaddd", "a\\u00addd", "\\u0061\\u00ADdd", "add\x00", "a\\u200ddd", "a\\udb40\\udc01dd"],
)
def test_a_name_of_java_with_an_ignored_character_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match=r"^line 2: the character U.* after a letter") as caught:
        strings(f"\n.{name}('b')", JAVA)
    assert caught.value.fix == "remove this character"
    assert strings('"\xad\u20ac" // \xad\xe4', JAVA) == ["\xad\u20ac"]


@pytest.mark.parametrize(
    "code",
    [
        '$"{(true ? "/*" : "")}"',
        '$@"{(true ? "/*" : "")}"',
        '@$"{(true ? "/*" : "")}"',
        '$"{x /*}"*/}"',
        '$"""{x}"""',
        '$$"""{x}"""',
        '#if DEBUG\n"a"\n#endif',
        "# else",
        "#elif X",
    ],
)
def test_code_of_csharp_that_moves_its_strings_is_refused(code: str) -> None:
    with pytest.raises(FormatError, match=r"is computed|for some builds only"):
        strings(code, CSHARP)


@pytest.mark.parametrize(
    "code",
    ['$"{x}", "b"', '$@"C:\\{x}", "b"', '$"{{", "b"', '#region it\'s /*\n"a", "b"\n#endregion */'],
)
def test_other_code_of_csharp_has_no_effect(code: str) -> None:
    found = [each for each in tokens(code, CSHARP) if each.kind == "string"]
    assert len(found) == 2
    assert found[0].computed is ("$" in code)


def test_an_escape_of_java_beyond_ascii_stays() -> None:
    """A single surrogate can't be printed."""
    assert strings(r'"\u00e9\ud83d"', JAVA) == [r"\u00e9\ud83d"]


def test_a_name_of_kotlin_in_backticks_is_a_word() -> None:
    code = "b.`add`(`if`, `it's \\\"`, `this`) // `"
    found = [each.text for each in tokens(code, KOTLIN) if each.kind == "word"]
    # The others are not the keywords, and no words.
    assert found == ["b", "add", "`if`", "`it's \\\"`", "`this`"]


@pytest.mark.parametrize(
    "code",
    [
        "`${base}/v1/${id}`",
        "`${ok ? 'a' : \"b\"}`",
        '"${BuildConfig.API}/v1"',
        '"""\\d+\n${x}"""',
        "'\\''",
    ],
)
def test_computed_strings_end_at_their_quote(code: str) -> None:
    language = JAVASCRIPT if "`" in code else KOTLIN
    [computed, literal] = [
        token for token in tokens(f"{code}; 'a'", language) if token.kind == "string"
    ]
    assert computed.computed
    assert literal.value() == "a"


@pytest.mark.parametrize("code", ["r'C:\\'", 'r"C:\\"', '@"C:\\"', '@$"C:\\"', '$@"C:\\"'])
def test_a_backslash_in_a_raw_string_is_no_escape(code: str) -> None:
    language = CSHARP if "@" in code else DART
    found = [token.value() for token in tokens(f"{code} + 'b'", language) if token.kind == "string"]
    assert found == ["C:\\", "b"]


@pytest.mark.parametrize(
    "code",
    [
        "x = /['\"]/g",
        "f(/\\//, `'`)",
        "a => /[/'\\]]+/",
        "return /'/",
        "/*'*/ /`/",
        "b ? /'/ : /\"/",
        "if (s) /'/.test(s)",
        "else /'/.test(s)",
        "x + +/'/",
        "<Text>Page {i}/{n}</Text>",
    ],
)
def test_regular_expressions_of_javascript_are_left_out(code: str) -> None:
    found = [each for each in tokens(f"{code}\n'a'", JAVASCRIPT) if each.kind == "string"]
    assert found[-1].value() == "a"
    assert all("/" not in each.text for each in found)


@pytest.mark.parametrize(
    "code",
    [
        "x / 'a' / 'b'",
        "f(x) / 'a' / 'b'",
        "[1] / 'a' / 'b'",
        "<A>{x}/{'a'}</A>{'b'}",
        "i++ / 'a' / 'b'",
        "x! / 'a' / 'b'",
        "a.of / 'a' / 'b'",
        "({}) / 'a' / 'b'",
        "x = {} / 'a' / 'b'",
        "f({}) / 'a'; // it's / \n'b'",
        "x = / 'a' + 'b'",
    ],
)
def test_a_division_is_no_regular_expression(code: str) -> None:
    found = [each.value() for each in tokens(code, JAVASCRIPT) if each.kind == "string"]
    assert found == ["a", "b"]


@pytest.mark.parametrize(
    "code",
    [
        "{} /'/.test(s)",
        "function f() {}\n/'/.test(s)",
        "x of /'/",
        "await (x) / 2; '/'",
        "{} /2;// 1",
        "{} /a/ /2;// 1",
        "x > /'/",
        f"x = /[{'a' * 200}']/",
        "a\n--> /*\nb",
        "a <!-- b",
    ],
)
def test_code_of_javascript_with_two_meanings_is_refused(code: str) -> None:
    problem = "it is unclear what .* means in this code"
    with pytest.raises(FormatError, match=problem) as caught:
        list(tokens(code, JAVASCRIPT))
    assert caught.value.fix == "move the pins into another file, without this code"


@pytest.mark.parametrize("language", [DART, JAVASCRIPT, KOTLIN])
def test_the_first_line_of_a_script_is_left_out(language: Language) -> None:
    found = list(tokens("#!/usr/bin/env it's\n'a'", language))
    assert [(each.text, each.line) for each in found] == [("a", 2)]


@given(st.text(max_size=300), st.sampled_from(LANGUAGES))
def test_any_text_is_tokenized_or_refused(text: str, language: Language) -> None:
    try:
        found = list(tokens(text, language))
    except FormatError:
        return
    assert all(token.text or token.kind == "string" for token in found)
    assert [token.line for token in found] == sorted(token.line for token in found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "piece"),
    [
        *((JAVASCRIPT, each) for each in ('"', "'", "/*", "//", "`", '"""', "r'", "\\", '"\\')),
        *((JAVASCRIPT, each) for each in (" ", "a(", '@"', "(/[", "(/\\", "/[\\a", '"${" ')),
        *((JAVASCRIPT, each) for each in ("`${'${", "`${'", "=/(", "[(/[")),
        *((JAVA, each) for each in ('"""', '"""\\', "\\u002a", "\\uu")),
        *((KOTLIN, each) for each in ('"""', '"""x', "`", "`x` ", "/*")),
        *((DART, each) for each in ('"""', '"""\\', "'''", "r'''", "r'", 'r"""x')),
        *((CSHARP, each) for each in ('"""', '@"', '@""', '"""x')),
    ],
)
def test_hostile_text_takes_linear_time(language: Language, piece: str) -> None:
    """A backtracking pattern would exceed the timeout of the suite."""
    count = 0
    try:
        for _ in tokens(piece * 300_000, language):
            count += 1
    except FormatError:
        return
    assert count <= len(piece) * 300_000
