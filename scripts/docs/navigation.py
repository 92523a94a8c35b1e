"""The navigation of the site: the sections of docs/navigation.toml with the pages of folders."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

HOME = "index.md"
_ALL = "/*"


@dataclass(frozen=True)
class Section:
    """A section of the navigation: a title and the paths of its pages.

    A path that ends with ``/*`` means all pages of a folder.
    """

    title: str
    pages: tuple[str, ...]


def read(root: Path) -> list[Section]:
    """Return the sections in a repository's docs/navigation.toml, in their order."""
    text = (root / "docs/navigation.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)["section"]
    return [Section(each["title"], tuple(each["pages"])) for each in found]


def problems(sections: Iterable[Section], pages: Collection[str]) -> list[str]:
    """Return a message for each mistake in the navigation.

    A mistake is a listed page that doesn't exist, or a page that is in no section or in several.
    """
    listed = [
        name for section in sections for each in section.pages for name in _names(each, pages)
    ]
    missing = [
        f"{name} is in docs/navigation.toml, and doesn't exist"
        for name in listed
        if name not in pages
    ]
    twice = [
        f"{name} is twice in docs/navigation.toml"
        for name in sorted({*listed})
        if listed.count(name) > 1
    ]
    outside = sorted({*pages} - {*listed, HOME})
    return [*missing, *twice, *(f"{name} is not in docs/navigation.toml" for name in outside)]


def with_toctrees(sections: Iterable[Section], pages: Mapping[str, str]) -> dict[str, str]:
    """Return the text of each page, with Sphinx's ``toctree`` blocks added.

    The home page gets a block for each section; the index of a folder gets the folder's pages.
    """
    found = dict(pages)
    for section in sections:
        entries = [each.replace(_ALL, "/index.md") for each in section.pages]
        found[HOME] += _toctree(entries, section.title)
        for each in section.pages:
            if each.endswith(_ALL):
                index, *others = _names(each, pages)
                names = [name.removeprefix(each[:-1]) for name in others]
                found[index] += _toctree(names)
    return found


def _names(entry: str, pages: Collection[str]) -> list[str]:
    """Return the pages that an entry of a section lists.

    For ``folder/*``, these are the index of the folder and then its other pages; for a path, the
    path itself.
    """
    if not entry.endswith(_ALL):
        return [entry]
    folder = entry.removesuffix("*")
    index = f"{folder}index.md"
    return [index, *(name for name in pages if name.startswith(folder) and name != index)]


def _toctree(names: Iterable[str], caption: str = "") -> str:
    lines = ["", "```{toctree}", ":hidden:", *([f":caption: {caption}"] if caption else []), ""]
    return "\n".join([*lines, *names, "```", ""])
