"""A simulated host as all its views need it: table, chart, JSON and picture."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from certpin.cli.rotate_simulate_steps import Names
    from certpin.pins import Pin
    from certpin.rotation.simulate import Hour, Lockout, Safety, Simulation
    from certpin.rotation.simulate_script import Dated, Script

# The steps at which something changes for a client, at once or soon.
SEEN = {"publish", "push", "serve"}


@dataclass(frozen=True)
class Case:
    """A script of one host, and what became of the fleet. ``names`` are those of its pins."""

    host: str
    story: Script
    outcome: Simulation
    names: Names

    @property
    def ordered(self) -> list[Dated]:
        """The steps as they are taken."""
        return sorted(self.story.steps, key=lambda each: each.at)

    @property
    def seen(self) -> list[Dated]:
        """Those that change something for a client."""
        return [each for each in self.ordered if each.step.act in SEEN]

    @property
    def end(self) -> datetime:
        """Where the simulation ends."""
        return self.story.begin + timedelta(seconds=self.story.until)

    def version(self, number: int) -> int | None:
        """The version that a step hands out."""
        found = (each.number for each in self.story.releases if each.step == number)
        return next(found, None)

    def lockout(self, number: int) -> Lockout | None:
        """Whom a step locks out."""
        found = (each for each in self.outcome.lockouts if each.cause.step == number)
        return next(found, None)

    def safety(self, number: int) -> Safety | None:
        """From when on a step is safe; ``None`` where no client notices it."""
        return next((each for each in self.outcome.safety if each.step == number), None)

    def words(self, dated: Dated) -> str:
        """What a step does."""
        from certpin.cli.rotate_plan import words

        if dated.step.act == "serve":
            return f"install the certificate of {self.named(dated.step.pin)}"
        if dated.step.act in {"publish", "push"}:
            return f"{dated.step.act} {self.version_named(dated.number)}"
        return words(dated.step, self.named)

    def version_named(self, number: int) -> str:
        """The version of a step in words: a push may come after a higher one."""
        version = self.version(number)
        return "a version that nobody takes" if version is None else f"version {version}"

    def named(self, pin: Pin | None) -> str:
        """A pin by its name, or the beginning of it."""
        from certpin.rotation import NEXT_BACKUP
        from certpin.x509 import printable

        if pin is None or pin == NEXT_BACKUP:
            return "the next backup"
        kind, _, digest = str(pin).partition("/")
        return printable(self.names.get(pin) or f"{kind}/{digest[:8]}…")


def condensed(hours: Sequence[Hour], most: int) -> list[Hour]:
    """At most so many moments: the most that are locked out in each part, and who holds what then.

    What is held is that of the beginning of the part.
    """
    from certpin.rotation.simulate import Hour

    size = -(-len(hours) // most)
    parts = [hours[at : at + size] for at in range(0, len(hours), size)]
    return [Hour(part[0].at, max(each.locked_out for each in part), part[0].held) for part in parts]


def unsafe(case: Case, adopt: timedelta) -> list[tuple[datetime, datetime]]:
    """From when until when a step locks out, or would: those that overlap as one.

    For a key it begins with the publishing that its date counts from, else with the step.
    """
    zones: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(_unsafe(case, adopt)):
        if zones and begin <= zones[-1][1]:
            zones[-1] = zones[-1][0], max(end, zones[-1][1])
        else:
            zones.append((begin, end))
    return zones


def _unsafe(case: Case, adopt: timedelta) -> Iterator[tuple[datetime, datetime]]:
    for each in case.seen:
        safety = case.safety(each.number)
        if safety is None:
            continue
        end = safety.guaranteed
        if end is None:
            yield each.at, case.end
        elif each.step.act == "serve" and end > case.story.begin:
            yield max(case.story.begin, min(end - adopt, each.at)), end
        elif each.at < end:
            yield each.at, end
    for lockout in case.outcome.lockouts:
        if lockout.cause.step is None:
            yield lockout.first, lockout.last


def grouped(
    steps: Iterable[tuple[float, int]], width: Callable[[str], float]
) -> list[tuple[float, str]]:
    """Places and numbers of steps; those whose labels would touch have one, at the first place."""
    groups: list[tuple[float, list[int]]] = []
    for at, number in sorted(steps):
        if groups and at - groups[-1][0] < width(_label(groups[-1][1])):
            groups[-1][1].append(number)
        else:
            groups.append((at, [number]))
    return [(at, _label(numbers)) for at, numbers in groups]


def _label(numbers: list[int]) -> str:
    first, last = numbers[0], numbers[-1]
    if len(numbers) > 2:
        return f"{min(numbers)}-{max(numbers)}"
    return f"{first}" if first == last else f"{first},{last}"
