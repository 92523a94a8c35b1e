"""``certpin lab serve``: an interactive lab for a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.choices import STYLES
from certpin.cli.interrupt import stop_on_signals
from certpin.cli.main import INCONCLUSIVE, PROBLEM_FOUND, SUCCESS, report_error
from certpin.cli.options import ca_file_option, json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.cli.lab.screen import Screen
    from certpin.lab.device.lab import DeviceLab, HostProgress

_WIREGUARD = 51820  # what WireGuard's own examples use
_POLL_INTERVAL = 0.25  # seconds from one look at the lab to the next


def _hosts(ctx: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> list[str]:
    """Each host once, in the one spelling that connections are compared with."""
    from certpin.pins import normalise

    return list(dict.fromkeys(map(normalise, names)))


def _address(ctx: click.Context, parameter: click.Parameter, text: str) -> str:
    from certpin.pins.hosts import is_address

    address = text.strip("[]")
    if not is_address(address):
        raise click.BadParameter("give an address of this machine, such as 192.168.1.23")
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
    help="A host that the app calls, to be tested. May be repeated. All others pass through.",
)
@click.option(
    "--style",
    type=click.Choice(STYLES),
    default="leaf",
    show_default=True,
    help="How the app is pinned: on the server's key (leaf), on an authority (ca), not at all.",
)
@click.option(
    "--case", "names", multiple=True, metavar="NAME", help="Play this case alone. May be repeated."
)
@click.option(
    "--listen",
    default="127.0.0.1",
    show_default=True,
    callback=_address,
    metavar="ADDRESS",
    help="Where the device reaches the lab: this machine's address in a network of yours.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="The port of the proxy; by default one that is free.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=_default_folder,
    show_default="your folder for data",
    metavar="FOLDER",
    help="Where the lab keeps its roots and keys, so that a device is set up once.",
)
@click.option(
    "--wireguard",
    is_flag=True,
    help="Let the device in by a WireGuard tunnel too: for apps that ignore the system's proxy.",
)
@click.option(
    "--wireguard-port",
    type=click.IntRange(0, 65535),
    default=_WIREGUARD,
    show_default=True,
    metavar="N",
    help="The UDP port of the tunnel.",
)
@click.option(
    "--pins",
    "pin_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The real pins of the app, for one that is released: its real servers stand behind the "
    "lab. Without it, the lab makes the pins.",
)
@click.option(
    "--upstream",
    "upstreams",
    multiple=True,
    metavar="[HOST=]ADDRESS[:PORT]",
    help="Where the real server of a host is. By default, with --pins, its server "
    "in that file, or the host itself.",
)
@ca_file_option
@json_option
@click.pass_context
def serve(
    ctx: click.Context,
    hosts: list[str],
    style: str,
    names: tuple[str, ...],
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

    The lab is an HTTP and SOCKS5 proxy. Each host under test meets an honest server first, then
    each case, with honest servers in between: a refusal counts once the app accepted an honest
    server after it. A case moves on when the app has said its word. Ctrl-C ends it; so does the
    end of all cases.

    \b
    certpin lab serve --host api.bank.example
    certpin lab serve --host api.bank.example --listen 192.168.1.23 --port 8080
    certpin lab serve --host api.bank.example --pins pins.toml    (a released app)

    Exit code 0: every case came out right. 1: an attack got through, or a legitimate server was
    refused. 3: not every case was played, or nothing came, or the lab cannot run here.
    """  # noqa: D301  # click reads the \b itself
    from certpin.cli.lab.attacks import chosen_cases
    from certpin.cli.lab.screen import screen
    from certpin.cli.upstream import find_upstreams
    from certpin.lab.case import LabError
    from certpin.lab.device.folder import load_state
    from certpin.lab.device.lab import DeviceLab
    from certpin.lab.pki import Style
    from certpin.pins import utc_now

    cases = chosen_cases(names)
    real = find_upstreams(hosts, pin_file, upstreams, ca_file)
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
            progress = _watch(lab, shown)
    except LabError as exc:
        report_error(exc)
        ctx.exit(INCONCLUSIVE)
    ctx.exit(exit_code(progress))


def exit_code(progress: Sequence[HostProgress]) -> int:
    """What a session means for a shell."""
    from certpin.lab.verdict import Outcome

    outcomes = {result.outcome for each in progress for result in each.results}
    if Outcome.WRONG in outcomes:
        return PROBLEM_FOUND
    complete = all(each.finished for each in progress)
    return SUCCESS if complete and Outcome.UNDECIDED not in outcomes else INCONCLUSIVE


def _watch(lab: DeviceLab, shown: Screen) -> list[HostProgress]:
    """Show what comes until all is played, or somebody ends it."""
    try:
        shown.begin()
        while not lab.finished:
            news = lab.next(_POLL_INTERVAL)
            if news:
                shown.result(*news)
            shown.refresh()
        _rest(lab, shown)
        lab.let_answer()
    except KeyboardInterrupt:
        pass
    progress = lab.stop()
    _rest(lab, shown)
    shown.end(progress)
    return progress


def _rest(lab: DeviceLab, shown: Screen) -> None:
    while news := lab.next(0):
        shown.result(*news)
