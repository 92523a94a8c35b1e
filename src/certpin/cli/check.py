"""``certpin check``: what every pinned host serves, against what is pinned."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.describe import print_json
from certpin.cli.main import FINDING, INCONCLUSIVE
from certpin.cli.options import json_option, pin_file_option, timeout_option
from certpin.errors import DialError, ProbeError
from certpin.pinfile import PinSet
from certpin.pins import HostPolicy, normalise, utc_now
from certpin.probe import Endpoint, observe, probe_context, split_address
from certpin.probe.checkup import Checkup, check_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Callable
    from datetime import datetime

    Targets = list[tuple[HostPolicy, Endpoint | None]]

_AT_ONCE = 64


@click.command()
@click.argument("pin_file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@pin_file_option
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Also dial this host, which a wildcard of the file covers. May be repeated.",
)
@click.option(
    "--connect",
    "connects",
    multiple=True,
    metavar="[HOST=]ADDRESS[:PORT]",
    help="Call this address for that host, or for all. May be repeated.",
)
@click.option(
    "--days",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Fewer days than this left, on a certificate or on the pins, are a finding.",
)
@timeout_option
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    pin_file: Path | None,
    path: Path,
    hosts: tuple[str, ...],
    connects: tuple[str, ...],
    days: int,
    timeout: float,
    as_json: bool,
) -> None:
    """Compare what every pinned host serves with what is pinned.

    All hosts of PIN_FILE (pins.toml by default) are dialled at once. For each you learn whether a
    pin matches, whether there is a backup outside the served chain, and how many days are left.
    A wildcard has no host of its own to dial: name some with --host.

    Exit code 0: all hold. 1: a pin does not match, a chain does not verify, something has expired
    or is about to. 3: somebody could not be asked.
    """
    pins = PinSet.load(pin_file or path)
    now = utc_now()
    targets = _targets(pins, hosts, connects)

    def look(policy: HostPolicy, endpoint: Endpoint | None) -> Checkup:
        return _look(policy, endpoint, now, days, timeout)

    checkups = _at_once(targets, look)
    if as_json:
        print_json(
            {
                "pin_set": pins.name,
                "version": pins.version,
                "hosts": [_facts(each, now) for each in checkups],
            }
        )
    else:
        _print_table(checkups, now)
    ctx.exit(_exit_code(checkups))


def _targets(pins: PinSet, hosts: tuple[str, ...], connects: tuple[str, ...]) -> Targets:
    overrides = dict(_override(text) for text in connects)
    targets: Targets = []
    covered: set[HostPolicy] = set()
    named = [(policy.pattern.name, 443) for policy in pins.policies if _has_own_host(policy)]
    for host, port in (*named, *(split_address(text) for text in hosts)):
        policy = pins.policy_for(host)
        if policy is None:
            raise click.UsageError(f"no policy of the pin file covers {host}")
        covered.add(policy)
        connect = overrides.get(host, overrides.get(""))
        targets.append((policy, Endpoint(host, port, connect)))
    return targets + [(policy, None) for policy in pins.policies if policy not in covered]


def _has_own_host(policy: HostPolicy) -> bool:
    return policy.pattern.wildcard != "*."


def _override(text: str) -> tuple[str, tuple[str, int]]:
    host, equals, address = text.rpartition("=")
    return (normalise(host) if equals else ""), split_address(address)


def _look(
    policy: HostPolicy, endpoint: Endpoint | None, now: datetime, days: int, timeout: float
) -> Checkup:
    name = str(policy.pattern)
    if endpoint is None:
        error = DialError("a wildcard has no host of its own", host=name, port=443, fix="--host")
        return Checkup(policy, name, error=error)
    anchors = b"".join(policy.trust.der) if policy.trust else None
    try:
        observation = observe(endpoint, probe_context(anchors), patience=timeout)
    except ProbeError as exc:
        return Checkup(policy, endpoint.name, error=exc)
    return check_up(policy, observation, now, least_days=days)


def _at_once(targets: Targets, look: Callable[..., Checkup]) -> list[Checkup]:
    """All checkups, in the order of the targets, with a progress bar on a terminal."""
    with ThreadPoolExecutor(min(_AT_ONCE, max(1, len(targets)))) as pool:
        running = [pool.submit(look, *target) for target in targets]
        with _progress(len(running)) as advance:
            for _ in as_completed(running):
                advance()
    return [future.result() for future in running]


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("dialling", total=total)
        yield lambda: progress.advance(task)


def _facts(checkup: Checkup, now: datetime) -> dict[str, Any]:
    observation, verdict = checkup.observation, checkup.verdict
    matched = verdict.matched if verdict is not None else None
    return {
        "host": checkup.host,
        "policy": str(checkup.policy.pattern),
        "status": checkup.status,
        "address": observation.address if observation else None,
        "verified": observation.verified is not None if observation else None,
        "matched": str(matched.pin) if matched else None,
        "matched_role": matched.role if matched else None,
        "certificate_days_left": checkup.certificate_days(now),
        "pin_days_left": checkup.pin_days(now),
        "findings": list(checkup.findings),
        "error": checkup.error.problem if checkup.error else None,
    }


def _print_table(checkups: Iterable[Checkup], now: datetime) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("host", "", "matched pin", "certificate", "pins", "what is wrong"):
        table.add_column(heading, overflow="fold")
    for checkup in checkups:
        table.add_row(*_row(checkup, now))
    Console().print(table)


def _row(checkup: Checkup, now: datetime) -> tuple[str, ...]:
    facts = _facts(checkup, now)
    colour = {"holds": "green", "finding": "red", "inconclusive": "yellow"}[checkup.status]
    wrong = "; ".join(checkup.findings) or facts["error"] or ""
    return (
        checkup.host,
        f"[{colour}]{checkup.status}[/]",
        facts["matched_role"] or "-",
        _days(facts["certificate_days_left"]),
        _days(facts["pin_days_left"]),
        wrong,
    )


def _days(days: int | None) -> str:
    return "-" if days is None else f"{days} days"


def _exit_code(checkups: list[Checkup]) -> int:
    statuses = {checkup.status for checkup in checkups}
    if "finding" in statuses:
        return FINDING
    return INCONCLUSIVE if "inconclusive" in statuses else 0
