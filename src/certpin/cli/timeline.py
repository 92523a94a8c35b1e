"""Where a pin stands, drawn: its states as a line, the dates beneath, and what is unsafe."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from certpin.cli.screen import fold
from certpin.rotation import adoption, gate, standing
from certpin.rotation.states import LINE
from certpin.rotation.timing import in_utc
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.pins import HostPin, Pin, State
    from certpin.rotation import Adoption, Breach, Situation

_SAFE = re.compile(r"\b(un)?safe\b")
_DONE, _AHEAD = " ━ ", " ┄ "

# What may be done next with a pin that stands there, and what guards it.
_NEXT = {
    "staged": (("activate", gate.to_activate),),
    "published": (("activate", gate.to_activate), ("remove", gate.to_remove)),
    "adopted": (("activate", gate.to_activate), ("remove", gate.to_remove)),
    "active": (("retire", gate.to_retire),),
    "retiring": (("remove", gate.to_remove),),
}


@dataclass(frozen=True)
class Standing:
    """A pin of a host: where it stands, since when, and what each next step would break."""

    entry: HostPin
    state: State
    since: dict[State, datetime]
    adoption: Adoption
    served_by: tuple[str, ...]
    steps: tuple[tuple[str, tuple[Breach, ...]], ...]

    @property
    def dates(self) -> dict[State, datetime]:
        """The dates of the states, and the one from which it is adopted, if it is known."""
        at = LINE.index(self.state) if self.state in LINE else len(LINE)
        reached = {
            state: moment
            for state, moment in self.since.items()
            if state not in LINE or LINE.index(state) <= at
        }
        moment = self.adoption.moment
        out = self.state not in {"generated", "staged", "removed", "compromised"}
        return reached | ({"adopted": moment} if moment and out else {})


def stand(situation: Situation, entry: HostPin, since: dict[State, datetime]) -> Standing:
    """Look at one pin."""
    state = standing(situation, entry.pin)
    steps = _NEXT.get(state, ())
    return Standing(
        entry,
        state,
        since,
        adoption(situation, entry.pin),
        situation.serving(entry.pin),
        tuple((name, guard(situation, entry.pin)) for name, guard in steps),
    )


def drawn(standing: Standing) -> Iterator[str]:
    """The lines of a pin."""
    note = f"  {printable(standing.entry.note)}" if standing.entry.note else ""
    yield f"  {standing.entry.role:<12} {standing.entry.pin}{note}"
    if standing.state == "compromised":
        yield "    " + click.style("COMPROMISED: it never comes back", fg="red", bold=True)
        return
    yield "    " + _line(standing.state)
    if standing.dates:
        yield "    " + _dates(standing)
    if standing.served_by:
        yield f"    served by {', '.join(standing.served_by)}"
    for step, breaches in standing.steps:
        yield _coloured(fold(f"    {step:<9} {_verdict(breaches, standing.entry.pin)}", sys.stdout))


def _line(state: State) -> str:
    at = LINE.index(state)
    words = [_word(each, index, at) for index, each in enumerate(LINE)]
    line = words[0]
    for index, word in enumerate(words[1:], 1):
        line += (_DONE if index <= at else _AHEAD) + word
    return line


def _word(state: State, index: int, at: int) -> str:
    """The state that it is in has capitals, for a terminal without colours."""
    if index == at:
        return click.style(state.upper(), bold=True)
    return click.style(state, dim=index > at)


def _dates(standing: Standing) -> str:
    cells = [f"{_day(standing.dates.get(state)):<{len(state)}}" for state in LINE]
    return (" " * len(_DONE)).join(cells).rstrip()


def _day(moment: datetime | None) -> str:
    """Month and day: the words above are that short. The year stands in the verdict."""
    return "" if moment is None else in_utc(moment)[5:10]


def _verdict(breaches: tuple[Breach, ...], pin: Pin) -> str:
    if not breaches:
        return "safe"
    first = breaches[0]
    problem = first.problem.replace(str(pin), "it")
    until = f"unsafe until {in_utc(first.safe_from)}" if first.safe_from else "unsafe"
    return f"{until}, {first.at_risk} at risk: {problem}"


def _coloured(line: str) -> str:
    """The first word of a verdict in its colour, when the line has been folded."""
    return _SAFE.sub(lambda word: click.style(word[0], fg="red" if word[1] else "green"), line, 1)
