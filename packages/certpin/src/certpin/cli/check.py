"""``certpin check``: compare the chain that each pinned host serves with its pins."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.main import INCONCLUSIVE, PROBLEM_FOUND, SUCCESS
from certpin.cli.options import json_option, pin_file_option, timeout_option
from certpin.cli.reply import print_json
from certpin.cli.servers import contexts_for, server_options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from certpin.cli.servers import ProbeTarget, ServerOptions
    from certpin.probe import ContextCache
    from certpin.probe.checkup import Checkup


@click.command()
@click.argument("pin_file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@pin_file_option
@server_options
@click.option(
    "--days",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Report a problem if a certificate or the pins expire in fewer days than this.",
)
@timeout_option
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    pin_file: Path | None,
    path: Path,
    servers: ServerOptions,
    days: int,
    timeout: float,
    as_json: bool,
) -> None:
    """Compare the chain that each pinned host serves with its pins.

    Connects to all hosts of PIN_FILE (pins.toml by default) in parallel: to each server of the
    file, or to the host's name on port 443. Prints for each whether a pin matches, whether there is
    a backup outside the served chain, and how many days are left. With --host, it connects only to
    that host. A wildcard names no host: add its servers to the file, or use --host.

    Exit code 0: success. 1: a pin does not match, a chain does not verify, or a certificate or the
    pins have expired or expire soon. 3: a host did not answer.
    """
    from certpin.cli.checklist import checkup_json, print_checklist
    from certpin.pinfile import PinSet
    from certpin.pins import utc_now

    pins = PinSet.load(pin_file or path)
    now = utc_now()
    checkups = check_targets(servers.targets(pins), now, days, timeout)
    if as_json:
        hosts = [checkup_json(checkup, now) for checkup in checkups]
        print_json({"pin_set": pins.name, "version": pins.version, "hosts": hosts})
    else:
        print_checklist(checkups, now)
    ctx.exit(_exit_code(checkups))


def check_targets(
    targets: Sequence[ProbeTarget], now: datetime, days: int, timeout: float
) -> list[Checkup]:
    """Connect to all servers in parallel, and compare each served chain with the host's policy.

    Args:
        targets: the servers, each with its policy.
        now: the current time.
        days: report a problem if fewer days than this are left.
        timeout: seconds for each step of a connection.

    Returns:
        One result for each target, in their order. A failed connection is a result.
    """
    from certpin.cli.parallel import run_parallel

    contexts = contexts_for(targets)
    jobs = [partial(_check_target, target, contexts, now, days, timeout) for target in targets]
    return run_parallel(jobs, "connecting")


def _check_target(
    target: ProbeTarget,
    contexts: ContextCache,
    now: datetime,
    days: int,
    timeout: float,
) -> Checkup:
    from certpin.errors import DialError, ProbeError
    from certpin.probe import HTTPS, observe
    from certpin.probe.checkup import Checkup, check_up

    policy, endpoint = target
    if endpoint is None:
        error = DialError(
            "a wildcard names no host",
            host=str(policy.pattern),
            port=HTTPS,
            fix="add the servers of hosts that it covers to the pin file ([[host.server]]), or "
            "name such hosts: --host HOST",
        )
        return Checkup(policy, error.host, error.port, error=error)
    try:
        observation = observe(endpoint, contexts.get(policy.trust), timeout=timeout)
    except ProbeError as exc:
        return Checkup(policy, endpoint.name, endpoint.port, error=exc, region=endpoint.region)
    return check_up(policy, observation, now, least_days=days)


def _exit_code(checkups: list[Checkup]) -> int:
    statuses = {checkup.status for checkup in checkups}
    if "finding" in statuses:
        return PROBLEM_FOUND
    return INCONCLUSIVE if "inconclusive" in statuses else SUCCESS
