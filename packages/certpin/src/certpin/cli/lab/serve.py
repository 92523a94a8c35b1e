"""``certpin lab serve``: serve the attack cases to a device, which a person operates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.cases import case_option, foreign_option, with_foreign
from certpin.cli.choices import STYLES
from certpin.cli.main import INCONCLUSIVE, PROBLEM_FOUND, SUCCESS, report_error, stop_on_signals
from certpin.cli.options import anchors_pem, ca_file_option, json_option
from certpin.cli.reply import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.cli.lab.screen import Screen
    from certpin.lab.case import Case
    from certpin.lab.device.lab import DeviceLab, HostProgress
    from certpin.lab.upstream import Upstream

_WIREGUARD_PORT = 51820  # as in WireGuard's documentation
_POLL_INTERVAL = 0.25  # seconds


def _hosts(ctx: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> list[str]:
    """Return the values of ``--host``, each once, as normalised host names.

    Raises:
        ConfigError: a name is one of the lab's own names, which end with ``certpin.lab``.
    """
    from certpin.errors import ConfigError
    from certpin.lab.device.page import is_own
    from certpin.pins import normalise

    hosts = list(dict.fromkeys(map(normalise, names)))
    for host in filter(is_own, hosts):
        raise ConfigError(
            f"{host} belongs to the lab, as all names below certpin.lab",
            key="--host",
            fix="name another --host: one that the app calls",
        )
    return hosts


def _address(ctx: click.Context, parameter: click.Parameter, text: str) -> str:
    from certpin.pins.hosts import is_address

    address = text.strip("[]")
    if not is_address(address):
        raise click.BadParameter("give an IP address of this machine, such as 192.168.1.23")
    return address


def _default_folder() -> Path:
    from certpin.lab.device.folder import default_folder

    return default_folder()


@click.command()
@click.option(
    "--host",
    "hosts",
    multiple=True,
    required=True,
    callback=_hosts,
    metavar="NAME",
    help="A host to test. May be repeated. Connections to other hosts are relayed unchanged.",
)
@click.option(
    "--style",
    type=click.Choice(STYLES),
    default="leaf",
    show_default=True,
    help="The pins of the app: the server's key (leaf), an authority (ca), or none.",
)
@case_option
@foreign_option
@click.option(
    "--listen",
    default="127.0.0.1",
    show_default=True,
    callback=_address,
    metavar="ADDRESS",
    help="The address of this machine at which the device reaches the lab.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="The port of the proxy; by default a free one.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=_default_folder,
    show_default="your folder for data",
    metavar="FOLDER",
    help="The folder for the lab's roots and keys, so that a device needs to be set up only once.",
)
@click.option(
    "--wireguard",
    is_flag=True,
    help="Also accept the device through a WireGuard tunnel, for apps that ignore the proxy.",
)
@click.option(
    "--wireguard-port",
    type=click.IntRange(0, 65535),
    default=_WIREGUARD_PORT,
    show_default=True,
    metavar="N",
    help="The UDP port of the tunnel.",
)
@click.option(
    "--pins",
    "pin_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The real pins of a released app: the lab relays to its real servers. Without it, the lab "
    "makes the pins.",
)
@click.option(
    "--upstream",
    "upstreams",
    multiple=True,
    metavar="[HOST=]ADDRESS[:PORT]",
    help="The real server of a host. By default, with --pins, the host's server in that file, else "
    "the host itself.",
)
@ca_file_option
@json_option
@click.pass_context
def serve(
    ctx: click.Context,
    hosts: list[str],
    style: str,
    cases: list[Case],
    foreign: tuple[bytes, bytes] | None,
    listen: str,
    port: int,
    folder: Path,
    wireguard: bool,
    wireguard_port: int,
    pin_file: Path | None,
    upstreams: tuple[str, ...],
    ca_file: Path | None,
    as_json: bool,
) -> None:
    """Serve the attacks to a device, host by host.

    The lab is an HTTP and SOCKS5 proxy. For each host under test it presents an honest server
    first, then each case, with honest servers in between: a refusal counts only if the app
    accepts an honest server after it. The next case begins when the app has accepted or refused.
    The lab ends with Ctrl-C, or after all cases.

    \b
    certpin lab serve --host api.bank.example
    certpin lab serve --host api.bank.example --listen 192.168.1.23 --port 8080
    certpin lab serve --host api.bank.example --pins pins.toml    (a released app)

    Exit code 0: every case was right. 1: an attack succeeded, or a legitimate server was refused.
    3: not every case was run, or no device connected, or the lab can't run here.
    """  # noqa: D301  # click reads the \b itself
    from certpin.cli.lab.screen import screen
    from certpin.lab.case import LabError
    from certpin.lab.device.folder import load_state
    from certpin.lab.device.lab import DeviceLab
    from certpin.lab.pki import Style
    from certpin.pins import utc_now

    cases = with_foreign(cases, foreign, hosts)
    real = _upstreams(hosts, pin_file, upstreams, ca_file)
    try:
        found = load_state(folder, utc_now(), wireguard=wireguard)
        lab = DeviceLab(
            hosts,
            Style(style),
            cases,
            found,
            (listen, port),
            tunnel_port=wireguard_port,
            upstreams=real,
        )
        with stop_on_signals(), lab, screen(lab, as_json=as_json) as shown:
            progress = _run(lab, shown)
    except LabError as exc:
        report_error(exc)
        ctx.exit(INCONCLUSIVE)
    ctx.exit(exit_code(progress))


def _upstreams(
    hosts: Sequence[str], pin_file: Path | None, given: Sequence[str], ca_file: Path | None
) -> dict[str, Upstream]:
    """Connect to the user's real server of each host under test, and return these servers.

    Warn of each server that an app with the pins of ``pin_file`` refuses.

    Args:
        hosts: the hosts under test.
        pin_file: the user's pin file; None to test with the lab's own pins.
        given: the values of ``--upstream``: addresses, with ``HOST=`` if there are several hosts.
        ca_file: trust only the authorities in this file; None for the platform's.

    Returns:
        The real server of each host; empty if neither pin file nor addresses are given.

    Raises:
        click.UsageError: a value of ``--upstream`` names no host, although several hosts are under
            test; or it names a host that is not under test; or two values are for the same host.
    """
    from certpin.lab.upstream import find_upstream

    addresses = _by_host(hosts, given)
    if not (pin_file or addresses):
        return {}
    roots = anchors_pem(ca_file)
    found = {
        host: find_upstream(host, "http", pin_file, addresses.get(host), roots) for host in hosts
    }
    for server in found.values():
        if server.unpinned:
            say("certpin: warning", f"{server.unpinned}\n  fix: {server.unpinned_fix}")
    return found


def _by_host(hosts: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    from certpin.pins import normalise

    addresses: dict[str, str] = {}
    for text in given:
        name, named, address = text.partition("=")
        if not named and len(hosts) > 1:
            raise click.UsageError(f"name the host of the server {text}: --upstream HOST={text}")
        host = normalise(name) if named else hosts[0]
        if host not in hosts:
            raise click.UsageError(f"--upstream {text}: {host} is not under test: --host {host}")
        if host in addresses:
            raise click.UsageError(f"--upstream names two servers of {host}")
        addresses[host] = address if named else text
    return addresses


def exit_code(progress: Sequence[HostProgress]) -> int:
    """Return the exit code of ``certpin lab serve``.

    The code is 1 if the app reacted wrongly to a case, else 3 if a result is missing or undecided,
    or if no case of a host could be run, else 0.

    Args:
        progress: the results of each host.
    """
    from certpin.lab.verdict import Outcome

    outcomes = {result.outcome for host in progress for result in host.results}
    if Outcome.WRONG in outcomes:
        return PROBLEM_FOUND
    complete = all(host.finished and host.tried for host in progress)
    return SUCCESS if complete and Outcome.UNDECIDED not in outcomes else INCONCLUSIVE


def _run(lab: DeviceLab, shown: Screen) -> list[HostProgress]:
    """Print results until all cases have run or the user stops the lab; return all results.

    ``shown`` is the output. The list has one object for each host.
    """
    try:
        shown.begin()
        while not lab.finished:
            result = lab.next(_POLL_INTERVAL)
            if result:
                shown.result(*result)
            shown.refresh()
        _print_remaining(lab, shown)
        lab.let_answer()
    except KeyboardInterrupt:
        pass
    progress = lab.stop()
    _print_remaining(lab, shown)
    shown.end(progress)
    return progress


def _print_remaining(lab: DeviceLab, shown: Screen) -> None:
    while result := lab.next(0):
        shown.result(*result)
