"""The documentation: its links are valid, and its examples work as written."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime
from inspect import signature
from os.path import normpath
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.errors import PinFileError
from certpin.lint import lint, read_document
from certpin.pinfile import PinSet
from scripts.docs import pages
from scripts.docs.errors import every_error
from scripts.docs.tree import dead_anchors, targets, tree
from tests import kit
from tests.documentation._blocks import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Authority

ROOT = Path(__file__).parents[3]
OWN = (kit.NOBODY, kit.NOBODY_ELSE)
SITE = tree(pages())
# Pages that no site shows: their links are for readers of the repository.
PAGES = sorted(
    path for folder in ("", "examples/**/", "packages/*/") for path in ROOT.glob(f"{folder}*.md")
)


def _exists(page: Path, target: str) -> bool:
    """Return True if a link on a page leads to a file of the repository or a page of the site.

    ``target`` is the link's path, relative to the page.
    """
    path = normpath(page.parent.relative_to(ROOT) / target)
    return (ROOT / path).exists() or path.removeprefix("docs/") in SITE.pages


def test_every_link_of_the_site_is_valid() -> None:
    assert SITE.dead == ()
    assert dead_anchors(SITE.pages) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_is_valid(page: Path) -> None:
    names = [target.partition("#")[0] for target in targets(page.read_text(encoding="utf-8"))]
    local = [name for name in names if name and "://" not in name and name[:7] != "mailto:"]
    assert [name for name in local if not _exists(page, name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_heading_is_valid(page: Path) -> None:
    name = page.relative_to(ROOT).as_posix()
    known = {name: page.read_text(encoding="utf-8")}
    known |= {f"docs/{path}": text for path, text in SITE.pages.items()}
    known |= {each.relative_to(ROOT).as_posix(): each.read_text(encoding="utf-8") for each in PAGES}
    assert [link for link in dead_anchors(known) if link.startswith(f"{name}: ")] == []


def test_the_pin_file_of_the_documentation_loads(tmp_path: Path, root: Authority) -> None:
    (tmp_path / "charles-ca.pem").write_bytes(root.pem)
    text = blocks("reference/pinfile.md")[0].text
    with pytest.raises(PinFileError, match="an example from some documentation"):
        PinSet.parse(text, path=tmp_path / "pins.toml")  # readers must not copy its pins
    for example, own in zip(re.findall(r"sha256/\S+=", text), OWN, strict=True):
        text = text.replace(example, str(own))
    pins = PinSet.parse(text, path=tmp_path / "pins.toml")
    assert pins.policy_for("api.bank.example") is not None
    assert pins.debug is not None


def test_the_comment_of_the_documentation_allows_a_finding() -> None:
    allow = blocks("reference/pinfile.md")[-1].text
    pins = "".join(f'[[host.pin]]\npin = "{pin}"\n' for pin in OWN)
    head = 'schema = 1\nname = "bank"\nversion = 1\n[[host]]\nname = "api.bank.example"\n'
    now = datetime(2026, 12, 1, tzinfo=UTC)
    report = lint(read_document(f"{head}{allow}{pins}"), now)
    rule = "expires-too-late"
    assert rule in {finding.rule for finding in report.allowed}
    without = allow.splitlines()[1]
    found = lint(read_document(f"{head}{without}\n{pins}"), now).findings
    assert rule in {finding.rule for finding in found}


@pytest.mark.parametrize(
    "page",
    ["README.md", "docs/concepts/matching.md", "docs/guides/failures.md", "docs/guides/updater.md"],
)
def test_python_in_the_documentation_compiles(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL)):
        compile(block, f"{page}:{number}", "exec")


def test_the_page_of_failures_names_the_errors_with_a_verdict() -> None:
    page = (ROOT / "docs/guides/failures.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+Error)`", page.partition("## Errors")[2]))
    verdict = {
        each.__name__ for each in every_error() if "verdict" in signature(each.__init__).parameters
    }
    assert named == {"PinError"} | verdict


def _messages() -> Iterator[str]:
    """Yield the texts in the source of the packages, without docstrings, and each man page."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for path in sorted(ROOT.glob("packages/*/src/**/*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        docstrings = {
            id(each.body[0].value)
            for each in nodes
            if isinstance(each, documented) and each.body and isinstance(each.body[0], ast.Expr)
        }
        texts = (each for each in nodes if isinstance(each, ast.Constant))
        yield from (str(each.value) for each in texts if id(each) not in docstrings)
    for path in sorted(ROOT.glob("packages/*/man/*")):
        yield path.read_text(encoding="utf-8").replace("\n", " ")


@pytest.mark.medium
def test_messages_name_pages_of_the_documentation_by_their_title() -> None:
    """The wheels have no files of docs."""
    texts = list(_messages())
    assert [text for text in texts if re.search(r"\bdocs/\S+\.md\b", text)] == []
    titles = {text.partition("\n")[0].removeprefix("# ") for text in SITE.pages.values()}
    named = {
        title
        for text in texts
        for title in re.findall(r'page "([^"]+)" of the documentation', text)
    }
    assert "Operating the monitoring service" in named
    assert named - titles == set()


def test_the_decisions_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(path.name[:4]) for path in ROOT.glob("docs/decisions/0*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_list_of_decisions_has_a_line_for_each() -> None:
    listed = (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d+)\]\((\S+)\) \| [^|]+ \| (.+) \|$", listed, re.MULTILINE)
    found = []
    for path in sorted(ROOT.glob("docs/decisions/0*.md")):
        heading = path.read_text(encoding="utf-8").partition("\n")[0]
        number, _, title = heading.removeprefix("# ").partition(". ")
        found.append((number, path.name, title))
    missing = [
        f"fix: | [{number}]({name}) | its subject | {title} | in docs/decisions/README.md"
        for number, name, title in found
        if (number, name, title) not in rows
    ]
    assert not missing, "\n".join(missing)
    assert rows == found, "fix: each decision once, in order, in docs/decisions/README.md"


def test_the_files_that_git_attributes_name_exist() -> None:
    named = re.findall(r"packages/[\w./-]+", (ROOT / ".gitattributes").read_text(encoding="utf-8"))
    assert len(named) == 2
    assert [name for name in named if not (ROOT / name).exists()] == []
