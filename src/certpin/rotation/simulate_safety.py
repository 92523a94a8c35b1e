"""From when on each step of a script would lock nobody out, everything else being as it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.rotation.simulate_outcome import Safety

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from certpin.rotation.simulate_release import Chains, Release, Serving
    from certpin.rotation.simulate_script import Script


@dataclass(frozen=True)
class Known:
    """A script; for each release when the last client got it; how many hold each binary.

    Moments are seconds since the beginning. ``adopt`` is T_adopt in seconds.
    """

    script: Script
    last: Sequence[int]
    binaries: Mapping[Release, int]
    adopt: int


def safety(known: Known) -> Iterator[Safety]:
    """For each step that serves or publishes, in the order of their numbers."""
    found = [_of_serving(known, each) for each in known.script.servings if each.step]
    found += [_of_release(known, each) for each in known.script.releases if each.step]
    yield from sorted(found, key=lambda each: each.step)


def _of_serving(known: Known, serving: Serving) -> Safety:
    """When the last client has the first release that accepts it, and each until then after that.

    Not looked at: a release that refuses it again, published after the step.
    """
    first = _accepting(known.script.releases, serving.chains, serving.at)
    step, script = serving.step or 0, known.script
    if first is None or any(
        count and each.refuses(serving.chains, serving.at) for each, count in known.binaries.items()
    ):
        return Safety(step, None, None)
    if first == 0:
        return Safety(step, script.begin, script.begin)
    release = script.releases[first]
    latest = release.at + known.adopt if release.by is None else release.by
    begin = script.begin
    moments = (begin + timedelta(seconds=max(0, at)) for at in (known.last[first], latest))
    return Safety(step, *moments)


def _accepting(releases: Sequence[Release], chains: Chains, at: int) -> int | None:
    """The place of the first release that accepts, behind all that are out and refuse."""
    refusing = [place for place, each in enumerate(releases) if each.refuses(chains, each.at)]
    out = [place for place in refusing if releases[place].at <= at]
    after = out[-1] + 1 if out else 0
    return next((place for place in range(after, len(releases)) if place not in refusing), None)


def _of_release(known: Known, release: Release) -> Safety:
    """When servers begin to serve what it accepts; before it, if they do already."""
    script, step = known.script, release.step or 0
    for serving, following in zip(script.servings, [*script.servings[1:], None], strict=True):
        over = following is not None and following.at <= release.at
        if not over and not release.refuses(serving.chains, max(serving.at, release.at)):
            moment = script.begin + timedelta(seconds=serving.at)
            return Safety(step, moment, moment)
    return Safety(step, None, None)
