"""``make docs``: build the site in build/docs; a problem in any page makes the build fail.

The text of all pages is collected first, and checked (``checks``). Sphinx then builds them with
warnings as errors. At the end, each page must exist in the site.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from certpin._version import __version__
from scripts.console import fail, say
from scripts.docs import navigation, pages
from scripts.docs.checks import problems
from scripts.docs.tree import ROOT, Tree, tree

if TYPE_CHECKING:
    from collections.abc import Iterable

_HERE = Path(__file__).parent


def main() -> None:
    """Build the documentation site from the repository and to the folder of the command line."""
    parser = argparse.ArgumentParser(description="Build the documentation.")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    parser.add_argument("--out", type=Path, default=Path("build/docs"), help="the site")
    given = parser.parse_args()
    say("reading the pages")
    staged = build(given.root.resolve(), given.out.resolve())
    say(f"{len(staged.pages)} pages in {given.out}")


def build(root: Path, out: Path) -> Tree:
    """Build the documentation site of a repository.

    Args:
        root: the repository.
        out: the folder for the HTML pages.

    Returns:
        The text of the pages, with their pictures.

    Raises:
        SystemExit: the pages have a problem; nothing or only a part was built.
    """
    generated = pages()
    found = tree(generated, root)
    if wrong := problems(found, generated, root):
        fail("\n       ".join(wrong), "correct these pages, or docs/navigation.toml")
    sections = navigation.read(root)
    source = out.parent / f"{out.name}-source"
    stage(navigation.with_toctrees(sections, found.pages), found.pictures, root, source)
    _sphinx(source, out)
    missing = unbuilt(found.pages, out)
    if missing:
        fail(f"not built: {', '.join(missing)}", "read what Sphinx said above")
    return found


def stage(texts: dict[str, str], pictures: tuple[str, ...], root: Path, folder: Path) -> None:
    """Write the pages, their pictures and the settings of Sphinx into a folder for Sphinx.

    Files that did not change are not written, so that Sphinx builds only the changed pages. Files
    of former pages are deleted.

    Args:
        texts: the Markdown of the pages, by path on the site.
        pictures: the paths of the pictures below ``docs``.
        root: the repository.
        folder: the folder to write.
    """
    names = {*texts, *pictures, "conf.py", "extra/versions.json"}
    for old in [path for path in folder.rglob("*") if path.is_file()]:
        if old.relative_to(folder).as_posix() not in names and "static" not in old.parts:
            old.unlink()
    for name, text in texts.items():
        _write(folder / name, text.encode())
    for name in pictures:
        _write(folder / name, (root / "docs" / name).read_bytes())
    _write(folder / "conf.py", (_HERE / "conf.py").read_bytes())
    shutil.copytree(_HERE / "static", folder / "static", dirs_exist_ok=True)
    versions = [{"version": __version__, "url": "./", "current": True}]
    _write(folder / "extra/versions.json", json.dumps(versions, indent=1).encode())


def unbuilt(names: Iterable[str], out: Path) -> list[str]:
    """Return those pages among ``names`` that have no HTML file in the built site ``out``."""
    return [name for name in names if not (out / PurePosixPath(name).with_suffix(".html")).exists()]


def _write(path: Path, content: bytes) -> None:
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def sphinx_words(source: Path, out: Path) -> list[str]:
    """Return the arguments for Python that run Sphinx on staged pages, with warnings as errors."""
    doctrees = out.parent / f"{out.name}-doctrees"
    words = ["-m", "sphinx", "-b", "html", "-n", "-W", "--keep-going"]
    quiet = [] if sys.stdout.isatty() else ["-q"]
    return [*words, *quiet, "-d", str(doctrees), str(source), str(out)]


def sphinx_environment() -> dict[str, str]:
    """Return the environment of Sphinx: it imports the same packages as this program.

    In a git worktree, PYTHONPATH names its packages before those of an editable installation.
    """
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _sphinx(source: Path, out: Path) -> None:
    command = [sys.executable, *sphinx_words(source, out)]
    if subprocess.run(command, env=sphinx_environment(), check=False).returncode:
        fail("the documentation has mistakes", "correct what Sphinx named above")


if __name__ == "__main__":
    main()
