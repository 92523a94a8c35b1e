"""The man pages match the commands, and man and mandoc format them without a warning.

Each page is in the wheel that has its command, and shows examples so that they can be copied.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import click
import pytest

from certpin.cli.main import EXTENSIONS
from scripts import man_pages
from tests.cli._registry import COMMANDS, GROUPS

if TYPE_CHECKING:
    from pathlib import Path

_FOLDERS = {name: man_pages.ROOT / "packages" / name / "man" for name in man_pages.all_pages()}


@pytest.mark.parametrize("package", _FOLDERS)
def test_the_pages_are_current(package: str) -> None:
    files = {file.name: file.read_text("ascii") for file in _FOLDERS[package].iterdir()}
    assert files == man_pages.all_pages()[package], "make man"


def test_every_command_has_its_page_in_the_wheel_that_has_the_command() -> None:
    pages = man_pages.all_pages()
    for path in (*COMMANDS, *GROUPS):
        package = "certpin-watch" if path[:1] and path[0] in EXTENSIONS else "certpin"
        assert "-".join(("certpin", *path)) + ".1" in pages[package]


def _text(file: Path) -> str:
    """Return a page as man shows it on a terminal of 100 columns, without overstrikes."""
    env = {**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8", "MANROFFOPT": "-c"}
    done = subprocess.run(
        ["man", "--local-file", file], env=env, capture_output=True, text=True, check=True
    )
    return re.sub(".\x08", "", done.stdout)


@pytest.mark.peer("man")
def test_man_formats_every_page_without_a_warning() -> None:
    env = {**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MANROFFSEQ": ""}
    for folder in _FOLDERS.values():
        for file in folder.iterdir():
            argv = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(file)]
            done = subprocess.run(argv, env=env, capture_output=True, check=True)
            assert done.stderr == b"", file


@pytest.mark.peer("mandoc")
def test_mandoc_finds_no_mistake_in_a_page() -> None:
    files = [str(file) for folder in _FOLDERS.values() for file in folder.iterdir()]
    argv = ["mandoc", "-T", "lint", "-W", "warning", *files]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    # The pages have no date on purpose: they are the same in each build.
    assert [line for line in done.stdout.splitlines() if "missing date" not in line] == []
    assert len(done.stdout.splitlines()) == len(files)


@pytest.mark.peer("man")
def test_an_example_can_be_copied_from_a_page() -> None:
    text = _text(_FOLDERS["certpin"] / "certpin-prove.1")
    assert "certpin prove -- curl -sS --pinnedpubkey '{pinnedpubkey}' {url}" in text
    assert "--style [none|leaf|ca]" in text


@pytest.mark.peer("man")
def test_what_roff_would_change_is_shown_as_it_is(tmp_path: Path) -> None:
    text = ".dot 'quoted' back\\slash ~ ^ -- --option é … \\fBx"

    @click.command(help=f"Do it.\n\n{text}\n\n\b\n{text}\n\nRun `a --b`.\n\nExit code 0: yes.")
    def command() -> None:
        pass

    page = man_pages.page(click.Context(command, info_name="x"))
    file = tmp_path / "x.1"
    file.write_text(page, encoding="ascii")
    shown = _text(file)
    assert shown.count(text) == 2
    assert "Run a --b." in shown
    assert ".SH EXIT STATUS\nExit code 0: yes." in page
