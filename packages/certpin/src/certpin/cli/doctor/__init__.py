"""``certpin doctor``: which parts of certpin work on this machine, and why others don't.

``facts``, ``packages`` and ``servers`` examine the machine, ``judge`` and ``parts`` evaluate the
result, and this module prints it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from certpin._version import __version__
from certpin.cli.candidates import complete_hosts
from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.options import json_option, pin_file_option, timeout_option
from certpin.cli.reply import fold, print_json, with_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from certpin.cli.doctor.facts import Facts, ServerFacts
    from certpin.cli.doctor.judge import Check
    from certpin.cli.doctor.packages import Package
    from certpin.cli.doctor.parts import PartState
    from certpin.pinfile import PinSet

_COLOURS = {"ok": "green", "works": "green", "problem": "red", "broken": "red"}


@click.command()
@pin_file_option
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST[:PORT]",
    shell_complete=complete_hosts,
    help="Contact this server, instead of the first five of the pin file. May be repeated.",
)
@click.option("--offline", is_flag=True, help="Contact no server; the clock is not compared.")
@timeout_option
@json_option
@click.pass_context
def doctor(
    ctx: click.Context,
    path: Path,
    hosts: tuple[str, ...],
    offline: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Find out which parts of certpin work here, and what prevents the others.

    Run it after the installation, in a new container or CI job, and if something fails that works
    elsewhere. Add its output to a report of a bug: of environment variables it has only the names,
    and the path in CERTPIN_PINS.

    \b
    certpin doctor
    certpin doctor --host api.bank.example     also compare the clock with this server
    certpin doctor --offline --json            for CI, without a network

    It looks at Python, OpenSSL, the installed packages (it imports them in another process),
    libraries that replaced Python's TLS, the clock, the network, and variables of the environment.
    A missing extra is no problem. Whether pins match is the question of certpin check.

    To see a program's environment in which gevent replaces Python's sockets:

    \b
    python -m gevent.monkey "$(command -v certpin)" doctor

    Exit code 0: no problem. 1: there is a problem, or an installed extra is broken.
    """  # noqa: D301  # click reads the \b itself
    from certpin.cli.doctor.judge import judge
    from certpin.cli.doctor.parts import judge_parts

    facts = _examine(path, hosts, timeout, offline=offline)
    checks, parts = judge(facts), judge_parts(facts)
    if as_json:
        print_json(_json(facts, checks, parts))
    else:
        _show(checks, parts)
    problems = [check for check in checks if check.status == "problem"]
    broken = [state for state in parts if state.status == "broken"]
    ctx.exit(PROBLEM_FOUND if problems or broken else SUCCESS)


def _examine(path: Path, hosts: tuple[str, ...], timeout: float, *, offline: bool) -> Facts:
    from certpin.cli.doctor import facts
    from certpin.cli.doctor.packages import find_packages

    pin_file, pins = facts.pin_file_facts(path)
    servers = None if offline else _ask_servers(hosts, pins, timeout)
    return facts.Facts(
        python=facts.python_facts(),
        tls=facts.tls_facts(),
        replaced=facts.replaced_facts(),
        machine=facts.machine_facts(),
        packages=find_packages(),
        pin_file=pin_file,
        servers=servers,
    )


def _ask_servers(
    hosts: Sequence[str], pins: PinSet | None, timeout: float
) -> tuple[ServerFacts, ...]:
    """Connect to servers, and return the result for each one.

    If certpin's library can't be imported, no server is contacted, and each result has the import
    error as its problem.
    """
    from certpin.cli.doctor.facts import ServerFacts, reason

    try:
        from certpin.cli.doctor.servers import server_facts
    except Exception as exc:  # noqa: BLE001  # a broken package raises anything
        fix = "repair the packages that certpin itself needs"
        problem = f"the library of certpin can't be imported: {reason(exc)}"
        named = hosts or [str(policy.pattern) for policy in (pins.policies if pins else ())]
        return tuple(ServerFacts(host, problem, fix) for host in named)
    return server_facts(hosts, pins, timeout)


def _show(checks: Sequence[Check], parts: Sequence[PartState]) -> None:
    click.secho(f"certpin {__version__} on this machine", bold=True)
    for check in checks:
        _row(check.status, check.subject, check.text, check.fix)
    click.secho("\nparts of certpin", bold=True)
    for state in parts:
        text = f"{', '.join(state.part.uses)}"
        if state.text:
            text += f": {state.text}"
        _row(state.status, state.part.name, text, state.fix)
    problems = sum(check.status == "problem" for check in checks)
    broken = sum(state.status == "broken" for state in parts)
    click.echo(f"\n{_count(problems, 'problem')}, {_count(broken, 'broken part')}")


def _row(status: str, subject: str, text: str, fix: str) -> None:
    click.secho(f"  {status:<10} ", nl=False, fg=_COLOURS.get(status))
    click.echo(fold(f"{subject}: {text}", sys.stdout, taken=13))
    if fix:
        click.echo(fold(f"{'':<13}fix: {fix}", sys.stdout))


def _count(number: int, word: str) -> str:
    from certpin.support.text import counted

    return counted(number, word) if number else f"no {word}s"


def _json(facts: Facts, checks: Sequence[Check], parts: Sequence[PartState]) -> dict[str, Any]:
    return {
        "certpin": __version__,
        "python": ".".join(map(str, facts.python.version)),
        "openssl": facts.tls.version or None,
        "checks": [
            {
                "subject": check.subject,
                "status": check.status,
                "text": with_file(check.text),
                "fix": check.fix or None,
            }
            for check in checks
        ],
        "parts": [
            {
                "part": state.part.name,
                "uses": list(state.part.uses),
                "extra": state.part.extra or None,
                "status": state.status,
                "text": state.text or None,
                "fix": state.fix or None,
            }
            for state in parts
        ],
        "packages": [_package_json(package) for package in facts.packages or ()],
    }


def _package_json(package: Package) -> dict[str, Any]:
    from certpin.cli.doctor.judge import describe

    return {
        "package": package.needed.package,
        "extra": package.needed.extra or None,
        "needed": package.needed.bounds or None,
        "installed": package.version,
        "problem": describe(package) or None,
    }
