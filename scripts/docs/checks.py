"""The checks before the build: links, anchors, navigation, help texts, notes and JSON."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from scripts.docs import commands, navigation
from scripts.docs.tree import NOTES, dead_anchors, targets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from scripts.docs.tree import Tree


def problems(found: Tree, generated: Mapping[str, str], root: Path) -> list[str]:
    """Return everything that is wrong with the pages, a line for each problem.

    Args:
        found: all pages of the site.
        generated: the generated ones, by their path below ``docs``.
        root: the repository.
    """
    sections = navigation.read(root)
    return [
        *(f"dead link in {link}" for link in found.dead),
        *(f"no such anchor in {link}" for link in dead_anchors(found.pages)),
        *navigation.problems(sections, found.pages),
        *(f"{name} is not linked from its index" for name in unlinked(generated)),
        *(f"no command has the notes {name}" for name in commands.notes_without_command(root)),
        *(f"no generated page has the notes {name}" for name in unused_notes(generated, root)),
        *undocumented(commands.every_command()),
    ]


def unlinked(generated: Mapping[str, str]) -> list[str]:
    """Return the generated pages to which the index of their folder has no link."""
    found = []
    for path in generated:
        folder, name = PurePosixPath(path).parent, PurePosixPath(path).name
        index = generated.get(str(folder / "index.md"))
        if index is not None and name != "index.md" and name not in targets(index):
            found.append(path)
    return found


def unused_notes(generated: Mapping[str, str], root: Path) -> list[str]:
    """Return the notes of a repository, except those of commands, that belong to no page."""
    docs = root / "docs"
    found = {file.relative_to(docs).as_posix() for file in docs.rglob(f"*{NOTES}")}
    return sorted(
        name
        for name in found
        if not name.startswith("reference/commands/")
        and f"{name.removesuffix(NOTES)}.md" not in generated
    )


def undocumented(known: Iterable[commands.Documented]) -> list[str]:
    """Return the commands and options without a help text, and those with undocumented JSON."""
    found = []
    described = commands.json_objects()
    for each in known:
        if not (each.command.help or "").strip():
            found.append(f"{each.title} has no help text")
        for option in commands.parameters(each):
            words = commands.option_words(option)
            if not (option.help or "").strip():
                found.append(f"{each.title}: {words[-1]} has no help text")
            if "--json" in words and each.title not in described:
                found.append(f"{each.title} is not in the table of docs/reference/json.md")
    return found
