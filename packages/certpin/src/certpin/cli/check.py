"""``certpin check``: compare the chain that each pinned host serves with the host's pins.

The output is JSON, or a table with advice beneath it.
"""

from __future__ import annotations

import base64
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.main import INCONCLUSIVE, PROBLEM_FOUND, SUCCESS
from certpin.cli.options import (
    chain_fix,
    json_option,
    pin_file_option,
    require_one_file,
    timeout_option,
)
from certpin.cli.reply import fold, print_json, table_console
from certpin.cli.servers import ask_servers, no_family, server_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from certpin.cli.servers import ProbeTarget, ServerOptions
    from certpin.pins import HostPolicy
    from certpin.pins.transparency import Transparency
    from certpin.probe import Observation, ServerAnswers
    from certpin.probe.checkup import Checkup

_COLOURS = {"holds": "green", "finding": "red", "inconclusive": "yellow"}
# Precedes the advice if clients are locked out: a pin set with the new key reaches them too late.
_LOCKED_OUT = (
    "see which key installed clients accept: certpin rotate status; if it is lost, print how to "
    "let them in again: certpin rotate emergency KEY --lost; and if it is stolen: certpin rotate "
    "emergency KEY --stolen"
)
_EXPLAINED = {"compromised-key", "expired", "mismatch", "too-few-scts"}  # reasons of verdicts
_MAX_HOSTS = 3  # that one fix names
_UNLIMITED = 100_000  # columns: more than a row of the table needs
_PROBLEM_WIDTH = 16  # columns at least, so that the sentences of the problem can be read
_HEADINGS = ("host", "status", "matched pin", "certificate", "pins", "problem")


@click.command()
@click.argument("pin_file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@pin_file_option
@server_options
@click.option(
    "--days",
    type=click.IntRange(min=0),
    metavar="DAYS",
    default=0,
    show_default=True,
    help="Report a problem if a certificate or the pins expire, or a root store drops the root of "
    "the chain, in fewer days than this.",
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

    Run it each day, and after each change of a certificate.

    Connects to all hosts of PIN_FILE (pins.toml by default) in parallel: to each server of the
    file, or to the host's name on port 443. Prints for each whether a pin matches, whether there is
    a backup outside the served chain, and how many days are left. With --host, it connects only to
    that host. A wildcard names no host: add its servers to the file, or use --host. For a host with
    require_ct, prints why its certificate is in too few Certificate Transparency logs.

    \b
    certpin check
    certpin check --days 10                                             before it is late
    certpin check --host api.bank.example --connect 192.0.2.7           a new server

    If the roots of a host's provider changed since its pins were written, it says so.

    Exit code 0: success. 1: a pin does not match, a chain does not verify, its root left Mozilla's
    root store, a certificate or the pins have expired, one of these dates is within --days, or a
    server declines STARTTLS or sends bytes before TLS. 3: a host did not answer.
    """  # noqa: D301  # click reads the \b itself
    from certpin.pinfile import PinSet
    from certpin.pins import utc_now

    require_one_file(ctx, pin_file)
    pins = PinSet.load(pin_file or path)
    now = utc_now()
    checkups = check_targets(servers.targets(pins), now, days, timeout)
    if as_json:
        hosts = [checkup_json(checkup, now) for checkup in checkups]
        changed = provider_changes(checkups, now)
        print_json(
            {
                "pin_set": pins.name,
                "version": pins.version,
                "hosts": hosts,
                "providers": changed,
            }
        )
    else:
        print_checklist(checkups, now)
        for line in provider_changes(checkups, now):
            click.echo(fold(f"\n{line}: certpin providers update", sys.stdout))
    ctx.exit(_exit_code(checkups))


def provider_changes(checkups: Sequence[Checkup], now: datetime) -> list[str]:
    """Return a sentence for each host with pins that differ from the roots of its providers.

    ``checkups`` are the results of comparing each server's chain with its pins. The current roots
    are those in the provider data of this release of certpin. Such a difference has no effect on
    the exit code of ``certpin check``.
    """
    from certpin.providers import change_text, load_providers, policy_change

    data = load_providers()
    policies = {str(checkup.policy.pattern): checkup.policy for checkup in checkups}
    texts = (
        (pattern, change_text(policy_change(policy, data, now.date()), data.edition))
        for pattern, policy in policies.items()
    )
    return [f"{pattern}: {text}" for pattern, text in texts if text]


def check_targets(
    targets: Sequence[ProbeTarget], now: datetime, days: int, timeout: float
) -> list[Checkup]:
    """Connect to all servers in parallel, and compare each served chain with the host's policy.

    Args:
        targets: the servers, each with its policy.
        now: the current time.
        days: if a certificate or the pins of a host expire in fewer days than this, report a
            problem.
        timeout: seconds for each step of a connection.

    Returns:
        One result for each address of each server, in the order of ``targets``. A failed
        connection is a result too.
    """
    from certpin.probe import observe

    answers = ask_servers(
        targets, lambda context, _, endpoint: observe(endpoint, context, timeout=timeout), timeout
    )
    return [checkup for each in answers for checkup in _checkups(*each, now, days)]


def _checkups(
    policy: HostPolicy, answers: ServerAnswers[Observation] | None, now: datetime, days: int
) -> Iterator[Checkup]:
    from certpin.errors import DialError, ProbeError, StartTLSError
    from certpin.probe import HTTPS
    from certpin.probe.checkup import Checkup, check_up

    if answers is None:
        error = DialError(
            "a wildcard names no host",
            host=str(policy.pattern),
            port=HTTPS,
            fix="add the servers of hosts that it covers to the pin file ([[host.server]]), or "
            "name such hosts: --host HOST",
        )
        yield Checkup(policy, error.host, error.port, error=error)
        return
    for endpoint, found in answers.by_address.items():
        if isinstance(found, ProbeError):
            # An attacker on the path can cause it, so it is no failure of the network.
            is_insecure = isinstance(found, StartTLSError) and found.insecure
            checkup = Checkup(
                policy,
                endpoint.name,
                endpoint.port,
                findings=(found.problem,) if is_insecure else (),
                error=found,
                endpoint=endpoint,
            )
        else:
            checkup = check_up(policy, found, now, least_days=days)
        yield replace(checkup, unreachable=answers.unreachable)


def _exit_code(checkups: list[Checkup]) -> int:
    statuses = {checkup.status for checkup in checkups}
    if "finding" in statuses:
        return PROBLEM_FOUND
    return INCONCLUSIVE if "inconclusive" in statuses else SUCCESS


def checkup_json(checkup: Checkup, now: datetime) -> dict[str, Any]:
    """Return ``checkup``, the result of comparing one server's chain with its pins, as JSON.

    The remaining days in the JSON count from ``now``.
    """
    from certpin.pins import pins_of

    observation, verdict, error = checkup.observation, checkup.verdict, checkup.error
    matched = verdict.matched if verdict is not None else None
    path = observation.verified.certificates if observation and observation.verified else None
    return {
        "host": checkup.host,
        "port": checkup.port,
        "region": checkup.region or None,
        "policy": str(checkup.policy.pattern),
        "mode": checkup.policy.mode,
        "status": checkup.status,
        "address": checkup.address,
        "unreachable": list(checkup.unreachable),
        "verified": path is not None if observation else None,
        "chain_pins": [str(pins_of(certificate)[0]) for certificate in path] if path else None,
        "matched": str(matched.pin) if matched else None,
        "matched_role": matched.role if matched else None,
        "certificate_days_left": checkup.certificate_days(now),
        "pin_days_left": checkup.pin_days(now),
        "transparency": _transparency_json(verdict.transparency if verdict is not None else None),
        "findings": list(checkup.findings),
        "error": error.problem if error else None,
        "fix": _fix(checkup),
    }


def _transparency_json(found: Transparency | None) -> dict[str, Any] | None:
    from certpin.support.text import printable

    if found is None:
        return None
    return {
        "satisfied": found.satisfied,
        "required": found.required,
        "list_is_old": found.stale,
        "problem": found.problem or None,
        "scts": [
            {
                "log_id": base64.b64encode(each.log_id).decode(),
                "log": printable(each.log.name) if each.log else None,
                "operator": printable(each.operator) or None,
                "at": each.moment.isoformat() if each.moment else None,
                "problem": each.problem or None,
            }
            for each in found.scts
        ],
    }


def print_checklist(checkups: Sequence[Checkup], now: datetime) -> None:
    """Print the results of ``certpin check`` as a table with one row for each server.

    ``checkups`` are the results of comparing each server's chain with its pins. On a terminal that
    is too narrow for the table, each server has a few lines instead. Beneath, print why pins did
    not match, and how to fix each problem.
    """
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    rows = [_row(checkup, now) for checkup in checkups]
    console, table = table_console(), Table(box=None, pad_edge=False)
    *short, problem = _HEADINGS
    for heading in short:
        table.add_column(heading, no_wrap=True)
    width = _PROBLEM_WIDTH if any(row[-1] for row in rows) else None
    table.add_column(problem, overflow="fold", min_width=width)
    for host, status, *others in rows:
        # As Text, so that a server's text is not read as markup.
        table.add_row(Text(host), Text(status, _COLOURS[status]), *map(Text, others))
    unlimited = console.options.update(width=_UNLIMITED)
    if Measurement.get(console, unlimited, table).minimum <= console.width:
        console.print(table)
    else:
        for row in rows:
            _print_narrow(*row)
    for line in _details(checkups):
        click.echo(fold(line, sys.stdout))


def _print_narrow(host: str, status: str, *others: str) -> None:
    """Print a row of the table on several lines: host and status, then each field with a value.

    ``others`` are the other fields of the row, in the order of the columns. A field that is empty
    or ``-`` is left out.
    """
    known = [
        f"{heading} {value}"
        for heading, value in zip(_HEADINGS[2:], others, strict=True)
        if value not in {"", "-"}
    ]
    click.echo(f"{host}: {click.style(status, _COLOURS[status])}")
    for line in known:
        click.echo(fold(f"  {line}", sys.stdout))


def _row(checkup: Checkup, now: datetime) -> tuple[str, ...]:
    fields = checkup_json(checkup, now)
    return (
        checkup_name(checkup),
        checkup.status,
        fields["matched_role"] or "-",
        _days(fields["certificate_days_left"]),
        _days(fields["pin_days_left"]),
        "; ".join(checkup.findings) or fields["error"] or "",
    )


def checkup_name(checkup: Checkup) -> str:
    """Return the name of a server for messages: its host and port, and its region if it has one.

    ``checkup`` is the result of comparing the server's chain with its pins. If the server was
    contacted at one of several IP addresses, the name also has this address.
    """
    from certpin.pins.hosts import short_address

    name = short_address(checkup.host, checkup.port)
    region = f" ({checkup.region})" if checkup.region else ""
    resolved = checkup.endpoint.resolved if checkup.endpoint else ""
    return f"{name}{region} at {resolved}" if resolved else f"{name}{region}"


def _details(checkups: Sequence[Checkup]) -> Iterator[str]:
    from certpin.pins.verdict import explain

    for checkup in checkups:
        if checkup.verdict is not None and checkup.verdict.reason in _EXPLAINED:
            yield "\n" + explain(checkup.verdict, checkup_name(checkup))
            yield f"  fix: {verdict_fix(checkup)}"
    unreachable = {(each.host, address): None for each in checkups for address in each.unreachable}
    for host, address in unreachable:
        yield f"\n{host} was not asked at {address}: {no_family(address)}"
    for fix, hosts in _fixes(checkups).items():
        more = [f"and {len(hosts) - _MAX_HOSTS} more"] if len(hosts) > _MAX_HOSTS else []
        yield f"\n{', '.join(hosts[:_MAX_HOSTS] + more)}: {fix}"


def verdict_fix(checkup: Checkup) -> str:
    """Return the advice for a server with a verified chain that clients refuse or report.

    ``checkup`` is the result of comparing the server's chain with its pins. Call this only if that
    result is a problem. Return an empty text if the chain did not verify, or there was none.
    """
    from certpin.pins import HostServer
    from certpin.pins.verdict import advice

    if checkup.verdict is None:
        return ""
    endpoint = checkup.endpoint
    server = HostServer(*endpoint.address, endpoint.starttls) if endpoint else None
    fix = advice(checkup.verdict, checkup.host, server)
    return f"{_LOCKED_OUT}; {fix}" if checkup.verdict.reason == "mismatch" else fix


def _fixes(checkups: Sequence[Checkup]) -> dict[str, list[str]]:
    """Return the advice on how to fix the problems of servers, each text once.

    ``checkups`` are the results of comparing each server's chain with its pins.

    Returns:
        A dict from each text of advice to the names of the servers that it is for.
    """
    fixes: dict[str, list[str]] = {}
    for checkup in checkups:
        if fix := _fix(checkup):
            fixes.setdefault(fix, []).append(checkup_name(checkup))
    return fixes


def _fix(checkup: Checkup) -> str | None:
    if checkup.error:
        return checkup.error.fix or None
    if checkup.fix:
        return checkup.fix
    observation = checkup.observation
    if observation is None or observation.verified is not None:
        return None
    return chain_fix(observation, pinned=True)


def _days(days: int | None) -> str:
    from certpin.support.text import in_days

    return "-" if days is None else in_days(days)
