"""``certpin demo``: show a pinned client, a man in the middle, and a rotation on this machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from certpin.cli.extras import load_extension
from certpin.cli.main import PROBLEM_FOUND
from certpin.cli.options import json_option
from certpin.cli.reply import fold, print_json, progress

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from certpin.cli.demo_matrix import CaseComparison
    from certpin.errors import PinError
    from certpin.lab import Authority, Identity, LabServer

HOST = "localhost"
_SECRET = "/transfer?amount=100"  # noqa: S105  # must not reach the attacker


_MATRIX = (
    "Now all cases of the lab: every forged certificate, and every legitimate change, for a client "
    "without pins and for the same client with certpin."
)
_INTRODUCTION = (
    "A bank's server and two clients, over real TLS on this machine. The unpinned client accepts "
    "every authority that the machine trusts; the pinned client also requires a pinned key."
)
_NEXT = """\
Next, pin your server:
  certpin pin HOST
  certpin add HOST --backup-key backup.key
and test your client:
  certpin prove --host HOST -- COMMAND"""


@dataclass(frozen=True)
class Scene:
    """One connection of the demonstration, and whether its outcome is the right one.

    Attributes:
        title: the situation, such as "The server changed to its backup key".
        client: ``pinned`` or ``unpinned``.
        outcome: how the connection ended, in words.
        as_it_should: True if the outcome is the right one.
        detail: the message of the client's error; empty if it accepted the server.
    """

    title: str
    client: str
    outcome: str
    as_it_should: bool
    detail: str = ""


@dataclass(frozen=True)
class DemoSetup:
    """The keys and clients of the demonstration.

    Attributes:
        server: the server's key and certificate.
        backup: the key and certificate to which the server changes later.
        attacker: the key and certificate of the man in the middle.
        pinned: the TLS context of the client with pins.
        unpinned: the TLS context of the client without pins.
        roots: the authorities that both clients trust.
    """

    server: Identity
    backup: Identity
    attacker: Identity
    pinned: ssl.SSLContext
    unpinned: ssl.SSLContext
    roots: tuple[Authority, ...]


@click.command()
@click.option(
    "--watch",
    "watched",
    is_flag=True,
    help="At the end, show the attack in the monitoring service's pages.",
)
@json_option
@click.pass_context
def demo(ctx: click.Context, watched: bool, as_json: bool) -> None:
    """Watch a pinned client refuse a man in the middle.

    Uses real TLS on this machine's loopback interface; no data leaves the machine, and no file is
    left. Two clients connect to a bank's server: one accepts every authority that the machine
    trusts, as most clients do; the other also has the server's pins. Then an attacker intercepts
    the connection, with an authority that the machine trusts, as a company's proxy or malware
    installs one. The server changes to its backup key. Finally both clients run all attacks and
    legitimate changes of the lab. If you like, the monitoring service then shows the attack as the
    server's operator sees it.

    \b
    certpin demo
    certpin demo --watch         also show the attack in the monitoring service

    Exit code 0: every outcome was the right one. 1: at least one was wrong. 2: --watch needs the
    package certpin-watch, which is not installed.
    """  # noqa: D301  # click reads the \b itself
    from certpin.cli.demo_matrix import comparison_json, print_comparison, totals
    from certpin.lab.pki import LEGEND

    if watched and as_json:
        raise click.UsageError(
            "--watch serves pages until Ctrl-C: it can't be combined with --json"
        )
    monitor = _monitor() if watched else None  # before the scenes: it may not be installed
    scenes: list[Scene] = []
    if not as_json:
        click.echo(fold(_INTRODUCTION, sys.stdout))
    setup = set_up()
    for scene in run_scenes(setup):
        if not as_json:
            _print_scene(scene, new=not scenes or scenes[-1].title != scene.title)
        scenes.append(scene)
    if not as_json:
        click.echo(fold(f"\n{_MATRIX}\n\n{LEGEND}\n", sys.stdout))
    rows = _compare(quiet=as_json)
    if as_json:
        matrix = [comparison_json(row) for row in rows]
        print_json({"scenes": [vars(scene) for scene in scenes], "matrix": matrix} | totals(rows))
    else:
        print_comparison(rows)
        click.echo(fold(_totals_text(totals(rows)), sys.stdout))
        click.echo(f"\n{_NEXT}")
        _show_service(setup, monitor)
    if not (all(scene.as_it_should for scene in scenes) and all(row.as_it_should for row in rows)):
        ctx.exit(PROBLEM_FOUND)


def _monitor() -> Callable[..., None]:
    """Return the function of certpin-watch that shows the attack in the monitoring service.

    Raises:
        ConfigError: certpin-watch is not installed.
    """
    monitor: Callable[..., None] = load_extension(
        "certpin.extensions", "demo", "the monitoring service"
    )
    return monitor


def _show_service(setup: DemoSetup, monitor: Callable[..., None] | None) -> None:
    """Show the attack in the monitoring service, if the user asks for it.

    Args:
        setup: the keys of the demonstration.
        monitor: the function that shows the service; None if the user did not give ``--watch``. The
            user is then asked on the terminal; without a terminal, a hint at ``--watch`` is
            printed.
    """
    if monitor := monitor or _offered_monitor():
        monitor(setup.server, setup.backup, setup.attacker, *setup.roots)


def _offered_monitor() -> Callable[..., None] | None:
    """Ask on the terminal whether to show the monitoring service; return the function for that.

    Return None if the user declines, there is no terminal, or certpin-watch is not installed.
    """
    from certpin.errors import ConfigError

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        click.echo("and see the attack in the monitoring service:\n  certpin demo --watch")
        return None
    try:
        monitor = _monitor()
    except ConfigError as exc:
        click.echo(f"{exc.problem}: {exc.fix}")
        return None
    question = "\nShow the attack in the monitoring service, in a browser on this machine?"
    return monitor if click.confirm(question) else None


def _compare(*, quiet: bool) -> list[CaseComparison]:
    """Run all cases of the lab for a client without pins and for a client with pins.

    A terminal shows a progress bar, unless ``quiet`` is True. Return one object for each case, with
    the results of both clients.
    """
    from certpin.cli.demo_matrix import compare
    from certpin.lab.attacks import CASES

    with progress(2 * (len(CASES) + 2), "attacking", quiet=quiet) as advance:
        return compare(lambda _: advance())


def _totals_text(counts: dict[str, int]) -> str:
    return (
        "\nThe client without pins sent its data to the attacker in {unpinned_fooled} of {attacks} "
        "attacks, the client with certpin in {pinned_fooled}. After {legitimate} legitimate "
        "changes of the server's certificate, the first works {unpinned_works} times, the second "
        "{pinned_works} times."
    ).format(**counts)


def set_up() -> DemoSetup:
    """Make the keys, the certificates, and the pinned and the unpinned client of the demo."""
    import ssl

    from certpin.lab import Authority
    from certpin.pins import HostPattern, HostPin, HostPolicy, PinSet
    from certpin.tls import PinnedSSLContext

    root = Authority("Honest Root")
    bank = root.intermediate("Honest Intermediate")
    rogue = Authority("Rogue Root (installed on this machine)")
    server, backup = bank.issue(HOST), bank.issue(HOST)
    policy = HostPolicy(
        HostPattern.parse(HOST), (HostPin(server.pin, "leaf"), HostPin(backup.pin, "backup"))
    )
    pinned = PinnedSSLContext(PinSet("demo", 1, (policy,)))
    unpinned = ssl.create_default_context()
    for context in (pinned, unpinned):
        for trusted in (root, rogue):
            context.load_verify_locations(cadata=trusted.certificate.der)
    return DemoSetup(server, backup, rogue.issue(HOST), pinned, unpinned, (root, rogue))


def run_scenes(setup: DemoSetup) -> Iterator[Scene]:
    """Connect two clients, one with pins and one without, to honest and to attacking servers.

    ``setup`` has the keys and the clients. Yield each connection with its outcome. The servers run
    on this machine.
    """
    from certpin.lab import LabServer

    with LabServer(setup.server, b"your balance is 1,234.56\n") as server:
        yield _scene("The bank's own server", "pinned", server, setup.pinned, accepted=True)
        server.use(setup.attacker)
        title = "A man in the middle, with an authority that this machine trusts"
        yield _scene(title, "unpinned", server, setup.unpinned, accepted=True)
        yield _scene(title, "pinned", server, setup.pinned, accepted=False)
        server.use(setup.backup)
        title = "The server changed to its backup key"
        yield _scene(title, "pinned", server, setup.pinned, accepted=True)


def _scene(
    title: str, client: str, server: LabServer, context: ssl.SSLContext, *, accepted: bool
) -> Scene:
    before = len(server.received)
    error = _call(server.port, context)
    server.wait_for(before + 1)
    leaked = any(server.received[before:])
    if error is None:
        outcome = "accepted, and the request was sent"
    else:
        outcome = "refused, and no byte was sent" if not leaked else "refused TOO LATE"
    as_it_should = (error is None) == accepted and leaked == accepted
    return Scene(title, client, outcome, as_it_should, str(error or ""))


def _call(port: int, context: ssl.SSLContext) -> PinError | None:
    from http.client import HTTPSConnection

    from certpin.errors import PinError

    connection = HTTPSConnection(HOST, port, timeout=10, context=context)
    try:
        connection.request("GET", _SECRET)
        connection.getresponse().read()
    except PinError as exc:
        return exc
    finally:
        connection.close()
    return None


def _print_scene(scene: Scene, *, new: bool) -> None:
    fooled = scene.client == "unpinned"
    colour = "green" if scene.as_it_should and not fooled else "red"
    if new:
        click.secho(f"\n{scene.title}", bold=True)
    click.echo(f"  the {scene.client} client: ", nl=False)
    click.secho(scene.outcome, fg=colour)
    if fooled:
        click.echo("    The attacker reads the traffic, and neither side notices.")
    if not scene.as_it_should:
        click.secho("    This outcome is WRONG.", fg="red")
    for line in scene.detail.splitlines():
        click.echo(fold(f"    {line}", sys.stdout))
