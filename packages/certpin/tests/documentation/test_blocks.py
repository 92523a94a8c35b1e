"""Every code block of the documentation is run, parsed, or excluded with a reason."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from functools import cache
from typing import TYPE_CHECKING

import pytest

from certpin.support.yaml import load_yaml
from tests.cli._registry import COMMANDS
from tests.documentation._blocks import DOCS, ROOT, Block, blocks, path_of

if TYPE_CHECKING:
    from collections.abc import Callable

OUTPUT = {"text"}  # the output of a command, or a drawing in characters
# A decision is history, and its code too.
PAGES = [
    "README.md",
    *sorted(
        str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md") if "decisions" not in path.parts
    ),
]
BLOCKS = [block for page in PAGES for block in blocks(page)]


def _ids(block: Block) -> str:
    return f"{block.page}:{block.line}"


def _of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages and not block.not_run]


def _has_a_test(block: Block) -> bool:
    return block.language not in {*OUTPUT, "sh"} and not block.not_run


@cache
def _read_by_tests(call: str) -> set[str]:
    """Return the pages with names that any test file passes to a function that reads pages.

    ``call`` is a regular expression for the call. Its group is the page. The result is cached:
    the source of all tests is five million bytes.
    """
    files = (ROOT / "packages").glob("*/tests/**/*.py")
    return {page for path in files for page in re.findall(call, path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("page", PAGES)
def test_every_block_has_a_language(page: str) -> None:
    """Without it, the site shows no copy button, and no test knows how to run the block."""
    assert [_ids(block) for block in blocks(page) if not block.language] == []
    text = re.sub(r"(?ms)^( *)```.*?^\1```$", "", path_of(page).read_text(encoding="utf-8"))
    assert re.findall(r"(?m)(?:\A|^\n)^ {4}(?! *[-*\d])\S.*$", text) == []


@pytest.mark.parametrize("page", sorted({block.page for block in _of("sh")}))
def test_every_shell_block_is_run_by_the_test_of_its_page(page: str) -> None:
    assert page in _read_by_tests(r'\bshell_(?:script|blocks)\("([^"]+)"[,)]')


@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS if _has_a_test(block)}))
def test_every_other_block_is_read_by_a_test_of_its_page(page: str) -> None:
    assert page in _read_by_tests(r'blocks\("([^"]+)"\)')


@pytest.mark.parametrize("block", _of("sh"), ids=_ids)
def test_a_shell_block_has_no_syntax_error(block: Block) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


@pytest.mark.parametrize("block", _of("python"), ids=_ids)
def test_python_compiles(block: Block) -> None:
    compile(block.text, _ids(block), "exec")


@pytest.mark.parametrize("block", _of("toml", "json", "yaml"), ids=_ids)
def test_data_is_read(block: Block) -> None:
    read: dict[str, Callable[[str], object]]
    read = {"toml": tomllib.loads, "json": json.loads, "yaml": load_yaml}
    assert read[block.language](block.text)


def _named_commands(page: str) -> set[tuple[str, str]]:
    """Return the words after ``certpin`` in the code of a page, also in code that is not run."""
    text = path_of(page).read_text(encoding="utf-8")
    code = re.findall(r"```.*?```|`[^`]+`", text, re.DOTALL)
    found = re.findall(
        r"(?:`|\$ |&& |\n)certpin ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", "\n".join(code)
    )
    return set(found)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_names_exists(page: str) -> None:
    groups = {path[0] for path in COMMANDS if len(path) > 1}
    known = {path[:2] for path in COMMANDS} | {(path[0],) for path in COMMANDS}
    known |= {("help",), ("dart",)}  # "certpin dart" is the name of a client in reports
    named = {
        (first, second) if first in groups and second else (first,)
        for first, second in _named_commands(page)
    }
    assert named - known == set()
