"""Checks of the documentation before it is built.

They find dead links and anchors, mistakes in the navigation, missing help texts, hand-written notes
without a page, and undocumented JSON.
"""

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
    """Return a message for each problem of the pages; an empty list if there is none.

    Args:
        found: all pages of the site.
        generated: the text of the generated pages, by path below ``docs``.
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
    """Return the paths of generated pages that the index page of their folder doesn't link to."""
    found = []
    for path in generated:
        folder, name = PurePosixPath(path).parent, PurePosixPath(path).name
        index = generated.get(str(folder / "index.md"))
        if index is not None and name != "index.md" and name not in targets(index):
            found.append(path)
    return found


def unused_notes(generated: Mapping[str, str], root: Path) -> list[str]:
    """Return the ``*.notes.md`` files below ``docs`` that belong to no generated page.

    Such a file has the hand-written part of a generated page. The notes of commands are not
    included: ``commands.notes_without_command`` checks them.
    """
    docs = root / "docs"
    found = {file.relative_to(docs).as_posix() for file in docs.rglob(f"*{NOTES}")}
    return sorted(
        name
        for name in found
        if not name.startswith("reference/commands/")
        and f"{name.removesuffix(NOTES)}.md" not in generated
    )


def undocumented(known: Iterable[commands.Documented]) -> list[str]:
    """Return a message for each command or option without a help text.

    A command with ``--json`` that the table of docs/reference/json.md lacks gets a message too.
    """
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
