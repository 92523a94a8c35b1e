"""All pages of the site as text: hand-written and generated pages, and the files they link to.

Links are written for the repository: a page of ``docs`` links to ``../../examples/ci/README.md``,
so that editors can follow the link. On the site, such a file is a page too, below ``source``.
``tree`` rewrites the links, and reports those without a target.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import TYPE_CHECKING

from scripts.docs.markdown import anchor, block, code, page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
SOURCE = "source"  # the folder of the site for files of the repository
# Pages of the site that are elsewhere in the repository.
_MOVED = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "docs/decisions/README.md": "decisions/index.md",
}
NOTES = ".notes.md"  # hand-written parts of generated pages
_MAX_SOURCE = 200_000  # characters of a file that the site shows
_LANGUAGES = {
    ".dart": "dart",
    ".json": "json",
    ".py": "python",
    ".service": "ini",
    ".sh": "sh",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
}
# Code blocks and inline code, which have no links; then a link or picture with its target.
_SKIPPED = (
    r"^(?P<margin> *)(?P<fence>`{3,})[^\n]*\n.*?^(?P=margin)(?P=fence)$"
    r"|(?P<tick>`+)(?!`).+?(?<!`)(?P=tick)(?!`)"
)
_LINK = re.compile(rf"{_SKIPPED}|\]\((?P<target>[^)\s]+)\)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """A page of the site: its Markdown, and ``origin``, the path of its file in the repository.

    The links in ``text`` are relative to ``origin``.
    """

    origin: str
    text: str


@dataclass(frozen=True)
class Tree:
    """All pages of the site.

    ``pages`` has the text of each page by its path on the site, ``pictures`` has paths below
    ``docs``, and ``dead`` has a text ``FILE: TARGET`` for each link without a target.
    """

    pages: Mapping[str, str]
    pictures: tuple[str, ...]
    dead: tuple[str, ...]


def tree(generated: Mapping[str, str], root: Path = ROOT) -> Tree:
    """Collect all pages of the site, and change their links from repository to site paths.

    Args:
        generated: the text of the generated pages, by their path below ``docs``.
        root: the repository.
    """
    known = {path: Page(f"docs/{path}", text) for path, text in generated.items()}
    for path, origin in _hand_written(root):
        known[path] = Page(origin, (root / origin).read_text(encoding="utf-8"))
    done: dict[str, str] = {}
    dead: list[str] = []
    pictures: set[str] = set()
    pending = list(known)
    while pending:
        path = pending.pop(0)
        linked = _Links(root, path, known)
        done[path] = linked.rewrite()
        dead += linked.dead
        pictures |= linked.pictures
        pending += linked.added
    done[f"{SOURCE}/index.md"] = _source_index(known)
    return Tree(done, tuple(sorted(pictures)), tuple(dead))


def _hand_written(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the path on the site and the path in the repository of each hand-written page."""
    for file in sorted((root / "docs").rglob("*.md")):
        origin = file.relative_to(root).as_posix()
        if not file.name.endswith(NOTES):
            yield _MOVED.get(origin, origin.removeprefix("docs/")), origin
    for origin, path in _MOVED.items():
        if path.startswith("project/") and (root / origin).exists():
            yield path, origin


class _Links:
    """Changes the links of one page from paths in the repository to paths on the site.

    A linked file of the repository that is no page yet becomes one. After ``rewrite``, ``dead`` has
    the links without a target, ``added`` the new pages, and ``pictures`` the pictures.
    """

    def __init__(self, root: Path, path: str, known: dict[str, Page]) -> None:
        self.dead: list[str] = []
        self.added: list[str] = []
        self.pictures: set[str] = set()
        self._root = root
        self._path = path
        self._known = known
        self._by_origin = {page.origin: path for path, page in known.items()}
        self._page = known[path]

    def rewrite(self) -> str:
        return _LINK.sub(self._rewritten, self._page.text)

    def _rewritten(self, found: re.Match[str]) -> str:
        target = found["target"]
        if target is None or re.match(r"[a-z]+:|#", target):
            return found[0]
        name, mark, fragment = target.partition("#")
        origin = normpath(str(PurePosixPath(self._page.origin).parent / name))
        path = self._on_site(origin)
        if path is None:
            self.dead.append(f"{self._page.origin}: {target}")
            return found[0]
        return f"]({relpath(path, str(PurePosixPath(self._path).parent))}{mark}{fragment})"

    def _on_site(self, origin: str) -> str | None:
        """Return the site path of a file or folder of the repository, adding a page if needed.

        Return None if the file does not exist or is outside the repository.
        """
        if (self._root / origin).is_dir():
            origin += "/README.md"
        path = self._by_origin.get(origin) or _MOVED.get(origin)
        if path in self._known:
            return path
        file = self._root / origin
        if not file.is_file() or not file.resolve().is_relative_to(self._root.resolve()):
            return None
        if file.suffix in {".png", ".svg"} and origin.startswith("docs/"):
            self.pictures.add(origin.removeprefix("docs/"))
            return origin.removeprefix("docs/")
        return self._add(origin, file)

    def _add(self, origin: str, file: Path) -> str:
        markdown = file.suffix == ".md"
        path = f"{SOURCE}/{origin}" + ("" if markdown else ".md")
        text = file.read_text(encoding="utf-8")[:_MAX_SOURCE]
        if not markdown:
            language = _LANGUAGES.get(file.suffix, "text")
            text = page(f"`{file.name}`", f"`{origin}` in the repository:", block(text, language))
        self._known[path] = Page(origin, text)
        self._by_origin[origin] = path
        self.added.append(path)
        return path


def _source_index(known: Mapping[str, Page]) -> str:
    lines = [
        f"- [{code(known[path].origin)}]({path.removeprefix(f'{SOURCE}/')})"
        for path in sorted(known)
        if path.startswith(f"{SOURCE}/")
    ]
    introduction = "The files that pages of this site link to."
    return page("Files of the repository", introduction, "\n".join(lines))


def dead_anchors(pages: Mapping[str, str]) -> list[str]:
    """Return ``PAGE: TARGET`` for each link to an anchor that its target page doesn't have.

    Args:
        pages: the Markdown of each page, by its path on the site.
    """
    known = {path: anchors(text) for path, text in pages.items()}
    return [
        f"{path}: {target}"
        for path, text in pages.items()
        for target in targets(text)
        if _is_dead(path, target, known)
    ]


def targets(text: str) -> list[str]:
    """Return the targets of the links and pictures in Markdown, except those in code."""
    return [found["target"] for found in _LINK.finditer(text) if found["target"]]


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings in Markdown, as GitHub and the site generate them."""
    without_code = re.sub(r"(?ms)^( *)(`{3,})[^\n]*\n.*?^\1\2$", "", text)
    found: set[str] = set()
    for title in re.findall(r"(?m)^#+ (.*)$", without_code):
        first = anchor(title)
        copies = (f"{first}-{number}" for number in count(1))
        found.add(next(each for each in chain([first], copies) if each not in found))
    return found


def _is_dead(path: str, target: str, known: Mapping[str, set[str]]) -> bool:
    name, _, fragment = target.partition("#")
    if not fragment or ":" in name:
        return False
    linked = normpath(str(PurePosixPath(path).parent / name)) if name else path
    return fragment not in known.get(linked, {fragment})
