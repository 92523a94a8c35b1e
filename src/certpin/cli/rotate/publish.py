"""``certpin rotate publish`` and ``ended``: a version goes out, and one is over."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from certpin.cli.options import json_option, pin_file_option
from certpin.cli.rotate.context import (
    Forcing,
    delay_options,
    forcing_options,
    merged,
    of_host,
    who_option,
)
from certpin.cli.servers import Looked, Vantages, vantage_options

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

    from certpin.cli.rotate.context import Found, Ledger, Outcome
    from certpin.pins import PinSet
    from certpin.rotation import Event, Timing


_NEW = {"generated", "staged"}


@click.command()
@pin_file_option
@click.option("--bundled", is_flag=True, help="It went into a binary: it lives until it has ended.")
@click.option(
    "--signed/--unsigned",
    default=None,
    help="Clients get it as a signed set: it is out when `certpin publish push` has pushed it, not "
    "before. So it is where there is a folder `publish`, or the version before was.",
)
@click.option(
    "--clients", type=click.IntRange(min=0), metavar="N", help="How many clients will hold it."
)
@delay_options
@vantage_options
@forcing_options
@who_option
@json_option
@click.pass_context
def publish(
    ctx: click.Context,
    path: Path,
    bundled: bool,
    signed: bool | None,
    clients: int | None,
    delays: dict[str, timedelta],
    vantages: Vantages,
    forcing: Forcing,
    who: str | None,
    as_json: bool,
) -> None:
    """Record that the pin file goes out to clients, under the next version.

    Refused if one of its hosts would be locked out by it: what is served has to match it, there
    has to be a backup outside the served chain, and the pins must not end before every client can
    have the next version.

    certpin uploads nothing: give the file to your clients as soon as this has ended with 0.
    """
    from certpin.cli.rotate.context import Ledger, name_of
    from certpin.pins import utc_now
    from certpin.rotation import Event

    ledger = Ledger(path)
    timing = merged(ledger.timing, delays)
    signed = not bundled and (_is_signed(ledger) if signed is None else signed)
    known = bool(ledger.field.versions)
    version = _next_version(ledger, bundled=bundled, signed=signed)
    _make_published(ledger, version)
    pins, now = ledger.pins, utc_now()
    looked = vantages.look(pins, pins.policies)
    forcing.look(looked)
    breaches = _breaches(ledger, looked, timing, now)
    outcome = _outcome(path, pins, breaches, looked, forcing)
    outcome.following = vantages.again("certpin rotate status", path, pins)
    if not forcing.refuses(breaches):
        event = Event(
            now,
            name_of(who),
            "publish",
            version=version,
            bundled=bundled,
            signed=signed,
            clients=clients,
            timing=timing,
            reason=forcing.recorded(breaches, looked),
            pins=pins,
        )
        ledger.commit([event])
        outcome.done = True
        outcome.said = [*_told(path, event, timing)]
        if not known:
            outcome.said.append(
                "It is the first version that the journal knows: if clients hold older ones, "
                "those are not looked at."
            )
    outcome.show(ctx, as_json=as_json)


@click.command()
@click.argument("version", type=click.IntRange(min=1), metavar="VERSION")
@pin_file_option
@who_option
@json_option
@click.pass_context
def ended(ctx: click.Context, version: int, path: Path, who: str | None, as_json: bool) -> None:
    """Record that no client holds a version any more.

    A version in a binary lives until you say so: when its last user has updated, or is shut out
    on purpose. For one that is fetched it says that somebody has measured, before T_adopt is over.
    """
    from certpin.cli.rotate.context import Ledger, Outcome, name_of
    from certpin.errors import ConfigError
    from certpin.pins import utc_now
    from certpin.rotation import Event

    ledger = Ledger(path)
    latest = ledger.field.latest
    if version not in {each.number for each in ledger.field.versions}:
        raise ConfigError(f"version {version} never went out", key="version", fix="see the journal")
    if latest and latest.number == version and latest.fetched:
        raise ConfigError(
            f"version {version} is the latest: clients fetch it now",
            key="version",
            fix="publish the next one first",
        )
    ledger.commit([Event(utc_now(), name_of(who), "ended", version=version)])
    Outcome(
        "ended",
        path,
        [],
        version=version,
        done=True,
        said=[f"Version {version} is over: nothing waits for its clients any more."],
        following=Vantages.unasked().again("certpin rotate status", path, ledger.pins, dials=False),
    ).show(ctx, as_json=as_json)


def _next_version(ledger: Ledger, *, bundled: bool, signed: bool) -> int:
    """The version that the file gets. The same, where one that is out goes another way too.

    That is into a binary, or as a signed set.
    """
    from certpin.errors import ConfigError
    from certpin.pins.meaning import meaning

    pins, latest = ledger.pins, ledger.field.latest
    if latest is None or pins.version > latest.number:
        return pins.version
    if meaning(pins) != meaning(latest.pins):
        return latest.number + 1
    if bundled and not latest.bundled:
        return latest.number
    if signed and latest.number not in ledger.history.signed_versions:
        return latest.number
    raise ConfigError(
        f"nothing that clients would notice has changed since version {latest.number}",
        key="version",
        fix="change the draft first: certpin rotate stage, remove or compromise",
    )


def _make_published(ledger: Ledger, version: int) -> None:
    """Turn the draft into what goes out."""
    for policy in ledger.pins.policies:
        for entry in policy.pins:
            if entry.state in _NEW:
                ledger.editor.change_pin(str(policy.pattern), entry.pin, state="published")
    ledger.editor.set_version(version)


def _breaches(ledger: Ledger, looked: Looked, timing: Timing, now: datetime) -> Found:
    from certpin.rotation import Field, gate

    found: Found = []
    number = ledger.pins.version
    again = number in {each.number for each in ledger.field.versions}
    for policy in ledger.pins.policies:
        situation = ledger.situation(policy, looked.of(policy), now, timing)
        if again:  # it rises above the others, if not above itself
            others = tuple(each for each in situation.field.versions if each.number != number)
            situation = replace(situation, field=Field(others))
        found += of_host(policy, gate.to_publish(situation))
    return found


def _outcome(
    path: Path, pins: PinSet, breaches: Found, looked: Looked, forcing: Forcing
) -> Outcome:
    from certpin.cli.rotate.context import Outcome

    return Outcome(
        "publish",
        path,
        [str(each.pattern) for each in pins.policies],
        version=pins.version,
        forced=forcing.force,
        breaches=breaches,
        unknown=looked.unknown,
    )


def _is_signed(ledger: Ledger) -> bool:
    settings = ledger.path.parent / "publish" / "publish.toml"
    return ledger.history.signed or settings.is_file()


def _told(path: Path, event: Event, timing: Timing) -> list[str]:
    from certpin.rotation import format_duration
    from certpin.rotation.timing import in_utc

    version = event.version
    if event.bundled:
        return [
            f"{path} is version {version}, in a binary.",
            f"It lives until you say that it has ended: certpin rotate ended {version}",
        ]
    delay = format_duration(timing.adopt)
    if event.signed:
        return [
            f"{path} is version {version}, and is out as soon as it is signed and pushed:",
            "certpin publish sign KEY, then certpin publish push.",
            f"Every client has it {delay} (T_adopt) after that.",
        ]
    date = in_utc(event.time + timing.adopt)
    return [
        f"{path} is version {version}. Give it to your clients now.",
        f"Every client has it from {date} on (T_adopt {delay}).",
    ]
