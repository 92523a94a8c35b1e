"""A vantage, or the monitor itself, does not say anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.rotation.adoption import in_utc
from certpin_watch.finding import Finding
from certpin_watch.monitor.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from certpin_watch.monitor.case import Heard, Scene

VANTAGE, MONITOR = "vantage-silent", "monitor-silent"


def _vantages(scene: Scene) -> Iterator[Finding]:
    asked = [each for each in _watching(scene) if not _is_old(scene, each)]
    silent = [each for each in asked if _last(each) < scene.now - _patience(scene)]
    for each in silent:
        heard = f"the last answer came on {in_utc(each.heard)}" if each.heard else "none ever came"
        yield Finding(
            rule=VANTAGE,
            severity="critical" if len(silent) == len(asked) else "warning",
            host="",
            pin_set="",
            summary=f"nothing comes from the vantage {each.name}: {heard}",
            command=_command(scene, each),
            subject=each.name,
            details={"vantage": each.name, "heard": _moment(each), "since": _since(each)},
        )
    yield from _targets(scene, {each.name: each for each in asked if each not in silent})


def _targets(scene: Scene, speaking: dict[str, Heard]) -> Iterator[Finding]:
    """Find hosts for which a location sends no results, although it sends some for others."""
    for case in scene.cases:
        for target in case.charge.targets:
            for vantage in sorted(speaking.keys() & set(target.vantages)):
                last = scene.last.get((*target.key, vantage))
                # While the service was down, no location was asked: that is no silence of a host.
                if last and max(last, speaking[vantage].since) < scene.now - _patience(scene):
                    yield case.finding(
                        VANTAGE,
                        "warning",
                        f"the vantage {vantage} has not looked at {target.host}:{target.port} "
                        f"since {in_utc(last)}",
                        f"certpin check {case.file}",
                        subject=f"{vantage} {target.host}:{target.port} {target.way}",
                        vantage=vantage,
                        heard=int(last.timestamp()),
                    )


def _monitor(scene: Scene) -> Iterator[Finding]:
    """Nobody asks. Where nobody ever did, there is nothing to be seen yet."""
    watching = _watching(scene)
    if watching and all(_is_old(scene, each) for each in watching):
        last = max(each.asked for each in watching)
        yield Finding(
            rule=MONITOR,
            severity="critical",
            host="",
            pin_set="",
            summary=f"nobody has looked at any host since {in_utc(last)}: the monitor does not run",
            command="certpin serve",
            details={"asked": int(last.timestamp())},
        )


def _watching(scene: Scene) -> list[Heard]:
    wanted = {
        vantage
        for case in scene.cases
        for target in case.charge.targets
        for vantage in target.vantages
    }
    return [each for each in scene.vantages if each.name in wanted]


def _patience(scene: Scene) -> timedelta:
    return scene.settings.silent_after * scene.settings.interval


def _is_old(scene: Scene, each: Heard) -> bool:
    return each.asked < scene.now - _patience(scene)


def _last(each: Heard) -> datetime:
    return max(each.heard or each.since, each.since)


def _moment(each: Heard) -> int | None:
    return int(each.heard.timestamp()) if each.heard else None


def _since(each: Heard) -> int:
    return int(each.since.timestamp())


def _command(scene: Scene, each: Heard) -> str:
    here = each.name == scene.settings.vantage
    return "certpin serve" if here else "certpin watch worker --url URL --token-file FILE"


RULE = Rule(
    VANTAGE,
    "no answers come from a vantage, or none about a host that it has to look at",
    "What would be wrong there is not seen. What was wrong stays told as it was.",
    scene=_vantages,
)
RULE_MONITOR = Rule(
    MONITOR,
    "nobody asks the hosts",
    "Nothing new is seen at all.",
    scene=_monitor,
)
