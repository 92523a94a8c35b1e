"""The list of incidents, and the text of their page: docs/concepts/incidents.md.

Each incident is a function in a ``test_*.py`` of this folder that acts on a ``Book``. Run as a
test, it also compares its results with the page. ``make incidents`` runs all of them, and writes
the page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from tests.incidents._book import Book

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.incidents._book import Damage, Record, Said

    Play = Callable[[Book], None]

TARGET = Path(__file__).parents[4] / "docs/concepts/incidents.md"
HEADER = """\
# The incident book

<!-- Made by `make incidents` from packages/certpin/tests/incidents. Do not edit. -->

What goes wrong with pins in operation, and what certpin says about it. The tests play each incident
on the command line, with real certificates and TLS servers, and a clock that they move. They go the
wrong way first, against certpin's advice. *Predicted* is the number of clients that certpin printed
before. *Counted* is the number of simulated clients that refused their server: each gets the
versions at its own times, and connects with the pins that it has then. These clients know nothing
of the [gate](../guides/rotate.md#what-a-refusal-means). Then the tests type the commands that
certpin printed, and count again: no client refuses its server.

If the clients draw their times at random, the counted number is a sample: `±` is four standard
deviations.

"""
HEADER += "| | incident | wrong way | predicted | counted | clients |\n|---|---|---|---|---|---|\n"
FOOTER = """
`PIN(FILE)` is the pin of the key in a file; the tests make new keys in each run. A line with `…` is
in place of output that doesn't matter here.
"""
_WIDTH = 100
# The lines of an output that stay on the page.
_KEPT = re.compile(
    r"^certpin: |^  at risk: |^  safe from|fix:|LOCK-OUT|RECORDED|TOO LATE|DEADLINE|NEXT|NOW:"
    r"|is ACTIVE|accept the key|Over on|goes out now|Every client|no backup|No date"
)


@dataclass(frozen=True)
class Incident:
    """An incident of the page: its title, its text, and the function that runs it.

    ``story`` is the text for the page. ``end`` is a sentence about how the incident ends if the
    operator follows certpin's advice.
    """

    number: int
    title: str
    story: str
    end: str
    play: Play

    def record(self) -> Record:
        """Run the incident, and return its results."""
        with Book() as book:
            self.play(book)
            record = book.record
        assert record.damages, "nothing was prevented"
        assert record.followed, "no advice was followed"
        assert record.refused, "the clients were not counted afterwards"
        return record


INCIDENTS: dict[int, Incident] = {}


def incident(number: int, title: str, *, end: str) -> Callable[[Play], Callable[[], None]]:
    """Return a decorator that turns a function into a test, and adds the incident to ``INCIDENTS``.

    The function plays the incident on a ``Book``, which records the output of certpin's commands,
    and how many clients refused their server. The test passes if the table and the section of
    docs/concepts/incidents.md are the ones made from these records.

    Args:
        number: the incident's place on the page.
        title: its title there. The docstring of the function is its story.
        end: a sentence about how the incident ends if the advice is followed.
    """

    def made(play: Play) -> Callable[[], None]:
        assert number not in INCIDENTS
        story = " ".join((play.__doc__ or "").split())
        known = INCIDENTS[number] = Incident(number, title, story, end, play)

        @wraps(play)
        def test() -> None:
            record = known.record()
            page = TARGET.read_text(encoding="utf-8")
            assert rows(known, record) in page, "make incidents writes the page"
            assert section(known, record) in page, "make incidents writes the page"

        del test.__wrapped__  # pytest would look for a fixture with the name of its argument
        return test

    return made


def import_all() -> None:
    """Import the modules of all incidents, which register them."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        import_module(f"tests.incidents.{path.stem}")


def page(records: dict[int, Record]) -> str:
    """Return the Markdown of docs/concepts/incidents.md from the results by incident number."""
    known = [INCIDENTS[number] for number in sorted(INCIDENTS)]
    table = "".join(rows(each, records[each.number]) for each in known)
    sections = "".join(section(each, records[each.number]) for each in known)
    return HEADER + table + FOOTER + sections


def rows(of: Incident, record: Record) -> str:
    """Return the lines of the table for an incident: one for each damage."""
    return "".join(
        f"| {of.number} | [{of.title}](#{anchor(of)}) | {each.what} | {each.predicted:,} | "
        f"{counted(each)} | {each.of:,} |\n"
        for each in record.damages
    )


def counted(damage: Damage) -> str:
    """Return the number of harmed clients as text, with ``±`` and the tolerance of a sample."""
    return f"{damage.counted:,}" + (f" (±{damage.tolerance:,})" if damage.sampled else "")


def anchor(of: Incident) -> str:
    """Return the anchor of an incident's section."""
    words = re.sub(r"[^\w\s-]", "", f"{of.number}. {of.title}".lower())
    return re.sub(r"\s", "-", words)


def section(of: Incident, record: Record) -> str:
    """Return an incident's section of the page, as Markdown: story, output, damages and advice."""
    output = "\n".join(map(_abridged, record.said))
    advice = "\n".join(f"- `{each}`" for each in record.followed)
    damages = "\n".join(
        f"- {each.what}: predicted {each.predicted:,}, counted {counted(each)} of {each.of:,}"
        for each in record.damages
    )
    return f"""
## {of.number}. {of.title}

{fill(of.story, _WIDTH)}

```text
{output}
```

The wrong way:

{damages}

The advice, as it was printed and typed:

{advice}

{fill(of.end, _WIDTH)} Afterwards, {max(record.refused)} clients refused their server.
"""


def _abridged(said: Said) -> str:
    """Return a command with the lines of its output that matter, and `…` for the others."""
    found = [f"$ {said.command}"]
    for line in said.text.splitlines():
        if _KEPT.search(line):
            found.append(line)
        elif found[-1] != "…":
            found.append("…")
    return "\n".join(found)
