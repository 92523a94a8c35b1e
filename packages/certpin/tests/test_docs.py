"""The documentation: its links are valid, and its examples work as written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin import errors
from certpin.errors import PinFileError
from certpin.pinfile import PinSet
from tests import kit

if TYPE_CHECKING:
    from certpin.lab import Authority

ROOT = Path(__file__).parents[3]
OWN = (kit.NOBODY, kit.NOBODY_ELSE)
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"))
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_is_valid(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and others generate them."""
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))
    titles = re.findall(r"(?m)^#+ (.*)$", text)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_heading_is_valid(page: Path) -> None:
    found = re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    targets = [(page.parent / name if name else page, anchor) for name, anchor in found]
    pages = [(path, anchor) for path, anchor in targets if path.suffix == ".md"]
    assert [f"{path}#{anchor}" for path, anchor in pages if anchor not in _anchors(path)] == []


def test_the_pin_file_of_the_documentation_loads(tmp_path: Path, root: Authority) -> None:
    (tmp_path / "charles-ca.pem").write_bytes(root.pem)
    page = (ROOT / "docs/pinfile.md").read_text(encoding="utf-8")
    text = page.partition("```toml\n")[2].partition("```")[0]
    with pytest.raises(PinFileError, match="an example from some documentation"):
        PinSet.parse(text, path=tmp_path / "pins.toml")  # readers must not copy its pins
    for example, own in zip(re.findall(r"sha256/\S+=", text), OWN, strict=True):
        text = text.replace(example, str(own))
    pins = PinSet.parse(text, path=tmp_path / "pins.toml")
    assert pins.policy_for("api.bank.example") is not None
    assert pins.debug is not None


@pytest.mark.parametrize(
    "page", ["README.md", "docs/enforcement.md", "docs/failures.md", "docs/updater.md"]
)
def test_python_in_the_documentation_compiles(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL)):
        compile(block, f"{page}:{number}", "exec")


def test_the_documented_error_tree_matches_the_code() -> None:
    page = (ROOT / "docs/failures.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(\w+Error)\b", page.partition("## Errors")[2]))
    unknown = {name for name in named if not hasattr(errors, name)}
    assert unknown == {"ModuleNotFoundError", "ValueError", "SSLCertVerificationError"}


def test_the_decisions_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(path.name[:4]) for path in ROOT.glob("docs/decisions/0*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_files_that_the_licence_and_git_attributes_name_exist() -> None:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("LICENSE", ".gitattributes")]
    named = re.findall(r"packages/[\w./-]+", " ".join(texts))
    assert len(named) == 3
    assert [name for name in named if not (ROOT / name).exists()] == []
