"""The tokenizer and the compiler of a language find the same strings in hostile code."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from certpin.errors import FormatError
from certpin.formats import _languages
from certpin.formats.code import tokens
from tests.formats.flutter import _vm

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from certpin.formats._languages import Language

# Each is the inside of a list of strings.
_COMMENTS = [f'// it\'s{end}"a",\n"b"' for end in "\n\r\v\f\x1c\x85\u2028\u2029"]

# In these, N is a line feed.
_JAVA = [
    r'"""N\""", "a", \"""N"""',
    r'"""N\\""", "b"',
    r'"""N"" "a" \"""N""", "b"',
    r'\u002f\u002a "a", \u002a\uu002F "b"',
    r'"\u0022, \u0022"',
    r'"\\u0022, \\u0022", "b"',
    r'/* \u002a/ "a", "b" // \u002a/N',
]
_KOTLIN = [
    r'"""a"""", "b", """c""""',
    r'""""a""", "b"',
    r'"""\""", "b", """\"""',
    r'"""a""""", "b", """""""',
]
_DART = [
    r"'''\'''', 'b', '''\''''",
    r'"""\"""", "b", """\\"""',
    r"""'''\''', 'b', \''''""",
    r"r'''\''', 'b'",
    r'r"""\""", "b"',
    r"r'\', 'b'",
    r"''''a''', 'b'",
]
_GO = [r"`\n`, `b`", '`//`, "b", `/*`', '`N"`, "b"']
# Valid lists of two strings, in which the end of a string is unclear without the whole grammar.
_UNCLEAR = {
    "kotlin": [r'"${1/*}"*/}", "b"', r'"""${1 // }"""N}""", "b"'],
    "dart": ["'${1/*}'*/}', 'b'", "'''${1 // }'''N}''', 'b'"],
    "javascript": ["`${1/*}`*/}`, 'b'", "`${1 // }`N}`, 'b'", "`${/}`/}`, 'b'"],
}
# Statements of JavaScript, which print the number N.
_STATEMENTS = [
    "if (s) /`/.test(s); console.log('N'); // `",
    "if (!s) {} else /`/.test(s); console.log('N'); // `",
    "if (s) !/`/.test(s); console.log('N'); // `",
    "for (x of /`/[Symbol.split](s)) console.log('N'); // `",
    "try { throw /`/ } catch { console.log('N'); } // `",
    "s in /`/; console.log('N'); // `",
    "s - /`/; console.log('N'); // `",
    "s + +/`/; console.log('N'); // `",
    "s > /`/; console.log('N'); // `",
    "[...typeof /`/]; console.log('N'); // `",
    "{} /`/.test(s); console.log('N'); // `",
    "{} /2;// 1; console.log('N');",
    "i++ /2; console.log('N') /1;",
    "i++\n/2; console.log('N') /1;",
    "o.in /2; console.log('N') /1;",
    "f(i) /2; console.log('N') /1;",
    "while (f(0)) /2; '/.test(s); console.log('N'); // '",
    "x = {} /2; console.log('N') /1;",
    "f(() => {}) /2; console.log('N') /1;",
]
# The beginnings of scripts, which print 1.
_SCRIPTS = ["#!/usr/bin/env node /*N", "<!-- /*N", "1N--> /*N", "1; <!-- /*N"]
_JAVASCRIPT = [r"`\n`, 'b'", "`//`, 'b', `/*`", "`${1}N'`, 'b'", "`\"`, 'b', `\"`"]


def all_lists(lists: list[str]) -> list[str]:
    return [*_COMMENTS, *(each.replace("N", "\n") for each in lists)]


def found(lists: Sequence[str], language: Language) -> list[int]:
    """Return how many strings certpin finds in each list."""
    return [sum(each.kind == "string" for each in tokens(text, language)) for text in lists]


def unclear(name: str) -> list[str]:
    return [each.replace("N", "\n") for each in _UNCLEAR[name]]


def assert_refused(lists: Sequence[str], language: Language) -> None:
    """Assert that certpin reads none of the lists: a guess could be wrong."""
    for text in lists:
        with pytest.raises(FormatError):
            list(tokens(text, language))


def printed(folder: Path, name: str, program: str, *commands: str) -> list[int]:
    """Return the numbers that a program prints.

    Args:
        folder: where to write the program.
        name: the file name of its source.
        program: its source.
        commands: the commands that compile and run it, in the folder.
    """
    (folder / name).write_bytes(program.encode())
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOPROXY": "off"}
    output = ""
    for command in commands:
        done = subprocess.run(
            command.split(),
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        output = done.stdout
    return [int(line) for line in output.split()]


@pytest.mark.slow
@pytest.mark.peer("javac", "java")
def test_java(tmp_path: Path) -> None:
    lists = all_lists(_JAVA)
    shown = "".join(f"System.out.println(new String[] {{{each}}}.length);\n" for each in lists)
    program = f"class A {{ public static void main(String[] a) {{ {shown} }} }}"
    commands = ("javac -encoding UTF-8 A.java", "java -cp . A")
    assert printed(tmp_path, "A.java", program, *commands) == found(lists, _languages.JAVA)


@pytest.mark.slow
@pytest.mark.peer("kotlinc", "java", "libokhttp-java")
def test_kotlin(tmp_path: Path) -> None:
    lists = all_lists(_KOTLIN)
    doubtful = unclear("kotlin")
    assert_refused(doubtful, _languages.KOTLIN)
    shown = "".join(f"println(listOf({each}).size)\n" for each in lists + doubtful)
    commands = (
        "kotlinc a.kt -nowarn -d built",
        "java -cp built:/usr/share/java/kotlin-stdlib.jar AKt",
    )
    program = f"fun main() {{\n{shown}}}\n"
    expected = found(lists, _languages.KOTLIN) + [2] * len(doubtful)
    assert printed(tmp_path, "a.kt", program, *commands) == expected


@pytest.mark.peer("node")
def test_javascript(tmp_path: Path) -> None:
    lists = all_lists(_JAVASCRIPT)
    doubtful = unclear("javascript")
    assert_refused(doubtful, _languages.JAVASCRIPT)
    program = "".join(f"console.log([{each}].length);\n" for each in lists + doubtful)
    expected = found(lists, _languages.JAVASCRIPT) + [2] * len(doubtful)
    assert printed(tmp_path, "a.mjs", program, "node a.mjs") == expected


@pytest.mark.peer("node")
def test_statements_of_javascript(tmp_path: Path) -> None:
    """Each string that node prints is found, or the code is refused."""
    code = [each.replace("N", str(number)) for number, each in enumerate(_STATEMENTS)]
    start = "let i = 4, x, s = 'a'; const o = { in: 1 }, f = (x) => x;\n"
    numbers = list(range(len(code)))
    program = start + ";\n".join(code)
    assert printed(tmp_path, "a.mjs", program, "node a.mjs") == numbers
    refused = [number for number, each in enumerate(code) if not _is_found(each, str(number))]
    assert refused == [3, 8, 10, 11]


def _is_found(text: str, string: str) -> bool:
    try:
        return string in [each.text for each in tokens(text, _languages.JAVASCRIPT)]
    except FormatError:
        return False


@pytest.mark.peer("node")
@pytest.mark.parametrize("start", _SCRIPTS)
def test_the_first_line_and_comments_of_html_in_javascript(start: str, tmp_path: Path) -> None:
    program = start.replace("N", "\n") + "console.log('1')\n/* */"
    assert printed(tmp_path, "a.cjs", program, "node a.cjs") == [1]
    assert _is_found(program, "1") is start.startswith("#!")


@pytest.mark.slow
@pytest.mark.peer("go")
def test_go(tmp_path: Path) -> None:
    lists = [f"{each},\n" for each in all_lists(_GO)]
    shown = "".join(f"fmt.Println(len([]string{{{each}}}))\n" for each in lists)
    program = f'package main\n\nimport "fmt"\n\nfunc main() {{\n{shown}}}\n'
    assert printed(tmp_path, "a.go", program, "go run a.go") == found(lists, _languages.GO)


@pytest.mark.slow
@pytest.mark.peer("dart")
def test_dart(tmp_path: Path) -> None:
    lists = all_lists(_DART)
    doubtful = unclear("dart")
    assert_refused(doubtful, _languages.DART)
    program = "".join(f"print([{each}].length);\n" for each in lists + doubtful)
    (tmp_path / "a.dart").write_bytes(f"void main() {{\n{program}}}\n".encode())
    done = _vm.run(tmp_path / "a.dart", _vm.package_config(tmp_path, {}))
    expected = found(lists, _languages.DART) + [2] * len(doubtful)
    assert [int(line) for line in done.stdout.split()] == expected
