"""Hostile text gives a report or a typed error, in a time that grows linearly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from certpin.errors import PinFileError
from certpin.lint import lint, read_document
from certpin.lint.rule import BACKUP, EXPIRES, FIRST, HEAD, NOW
from certpin.pinfile.places import Places
from tests._calls import calls_of
from tests.lint import _examples
from tests.pinfile._files import FULL

if TYPE_CHECKING:
    from collections.abc import Callable


def _has_report_or_typed_error(text: str) -> None:
    try:
        document = read_document(text, "no-such-folder/pins.toml")
    except PinFileError:
        return
    report = lint(document, NOW)
    assert (document.pins is None) <= bool(report.at_least("error"))
    lines = text.count("\n") + 1
    assert all(1 <= each.line <= lines for each in report.findings)
    assert all(len(each.message) < 2000 for each in report.findings)


@pytest.mark.slow
@given(st.text())
@example("schema=1\nhost = " + "[" * 5000)
@example("schema=1\nname=0x" + "f" * 100_000)
@example("schema=1\nname='x'\nversion=1\n[[host]]\nname='" + "a" * 100_000 + "'\n")
@example("schema=1\n" + "a" * 100_000 + "=1\n")
@example("# certpin: allow " + "a," * 100_000)
@example("# certpin:" + " " * 100_000 + "\n# certpin: allow x because")
def test_any_text_has_a_report_or_a_typed_error(text: str) -> None:
    _has_report_or_typed_error(text)


LINES = [*FULL.splitlines(keepends=True), "# certpin: allow expired because so\n", "trust = 1\n"]


@given(st.lists(st.sampled_from(LINES) | st.text("[]host.pin= \n\"'#{}", max_size=12), max_size=30))
def test_any_mixture_of_lines_has_a_report_or_a_typed_error(lines: list[str]) -> None:
    _has_report_or_typed_error("".join(lines))


@pytest.mark.medium
@given(st.data())
@settings(max_examples=200)
def test_every_line_number_is_within_the_text(data: st.DataObject) -> None:
    text = data.draw(st.text("[]{}a.=#\"'\\ \r\n", max_size=60))
    places = Places(text)
    lines = text.count("\n") + 1
    assert all(1 <= line <= lines for line in (*places.comments, *places._lines.values()))


def _many(hosts: int, host: Callable[[int], str], last: str = "") -> str:
    body = "".join(f"\n[[host]]\n{host(at)}{EXPIRES}{FIRST}{BACKUP}" for at in range(hosts))
    return _examples.fill_example(HEAD + body + last)[0]


def _calls(text: str) -> int:
    """Return how many function calls, including those in C, lint makes for a pin file's text."""
    document = read_document(text)
    return calls_of(lambda: lint(document, NOW))


HOSTS: dict[str, Callable[[int], str]] = {
    "good hosts": lambda at: f'name = "h{at}.bank.example"\n',
    "the same host": lambda at: 'name = "h.bank.example"\n',
    "each pattern below the previous one": lambda at: (
        f'name = "**.{"a." * (at % 60)}h{at}.example"\n'
    ),
    "invalid hosts": lambda at: f'name = "h{at}..example"\nmode = 1\n',
    "misspelt keys": lambda at: f'name = "h{at}.bank.example"\nmod = 1\n',
    "reports to each other": lambda at: (
        f'name = "h{at}.bank.example"\nreport_to = ["https://h{at - 1}.bank.example"]\n'
    ),
    "allowances": lambda at: (
        f'# certpin: allow host-spelling because {at}\nname = "H{at}.bank.example"\n'
    ),
    "blocks of comments": lambda at: (
        f'name = "h{at}.bank.example"\n' + "# certpin: allow expired because so\n" * 3
    ),
}


@pytest.mark.medium
@pytest.mark.parametrize("kind", HOSTS)
def test_work_grows_linearly_with_the_hosts(kind: str) -> None:
    few, many = (_calls(_many(count, HOSTS[kind])) for count in (150, 300))
    assert many < 2.3 * few


@pytest.mark.medium
def test_work_grows_linearly_with_the_comments() -> None:
    few, many = (
        _calls(_many(1, HOSTS["good hosts"], "# certpin: allow expired because so\n" * count))
        for count in (500, 1000)
    )
    assert many < 2.3 * few


def test_work_grows_linearly_with_unknown_keys() -> None:
    few, many = (
        _calls(_many(1, HOSTS["good hosts"], "".join(f"k{at:03} = 1\n" for at in range(count))))
        for count in (100, 200)
    )
    assert many < 2.3 * few
