"""The screen of ``certpin lab serve``: how to connect a device, and a live table of the results."""

from __future__ import annotations

import ipaddress
import socket
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, Self

import click

from certpin.cli.matrix import _COLOURS, _SHOULD
from certpin.cli.reply import fold, print_event, print_last
from certpin.lab.device.page import HOST
from certpin.lab.report.words import OUTCOMES, explain
from certpin.lab.verdict import Outcome
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certpin.lab.device.lab import DeviceLab, HostProgress
    from certpin.lab.runner import Result
    from certpin.x509 import Certificate


_ALL_ADDRESSES = "0.0.0.0"  # noqa: S104  # nothing is bound to it here
# Reserved for documentation (RFC 5737): nothing is sent there.
_FAR = ("192.0.2.1", 9)


def own_address() -> str:
    """The address of this machine in its network; empty where it has none. Nothing is sent."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(_FAR)
        address = str(sock.getsockname()[0])
        return "" if ipaddress.ip_address(address).is_loopback else address
    return ""


def reach(address: str) -> str:
    """What a device calls a lab that listens there."""
    return own_address() or address if address in {_ALL_ADDRESSES, "::"} else address


def phone_reaches(address: str) -> bool:
    """Return True if a phone can reach a lab that listens there, in some network."""
    there = ipaddress.ip_address(reach(address))
    return not (there.is_loopback or there.is_unspecified)


def how_to_listen(port: int = 0) -> str:
    """Say how to listen where a phone can reach the lab."""
    own = own_address()
    if not own:
        return (
            "Connect this machine to the network of the phone, Wi-Fi or the phone's own hotspot, "
            "and listen on its address there: --listen ADDRESS."
        )
    words = f"--listen {own} --port {port}" if port else f"--listen {own}"
    return f"For a phone in the same network: {words}"


def guide(address: str, port: int, hosts: Sequence[str], roots: Sequence[Certificate]) -> list[str]:
    """Return the instructions for the device. It must trust ``roots``."""
    there = reach(address)
    where = f"[{there}]:{port}" if ":" in there else f"{there}:{port}"
    own = len(roots) > 1  # R and R2; only R2 if the lab relays to real servers
    names, what = (_NAMES, "both roots") if own else (_NAMES[1:], "the root R2")
    return [
        f"The lab is an HTTP and SOCKS5 proxy at {where}. Under test: {', '.join(hosts)}.",
        *_reachable(address, port),
        "",
        "Bring the device in:",
        f"  1. Wi-Fi, this network, proxy: manual, {where}. Or give the app that proxy itself.",
        f"  2. In its browser, open http://{HOST}/ (or http://{where}/) and install {what}.",
        "     Compare SHA-256 fingerprints, as the way there is not protected:",
        *(f"       {name} {_fingerprint(root)}" for name, root in zip(names, roots, strict=True)),
        "     iOS: Settings, General, VPN & Device Management: install; then About, Certificate",
        "       Trust Settings: switch on what you installed.",
        "     Android: Settings, Security, Encryption & credentials, Install: CA certificate.",
        "       Apps for Android 7 and later do not trust what a user installed, unless their",
        '       network security config says so: <certificates src="user"/> in <debug-overrides>,',
        "       of a debuggable build. Or build the roots in: /roots.pem.",
        *(_OWN_PINS if own else _REAL_PINS),
        "  4. Use the app, again and again: each case takes a connection or two, and it moves on.",
        "An app that ignores the system's proxy (Flutter's dart:io, say) comes by --wireguard.",
        "",
        "A device has no exit status: what counts is the data that arrives. The lab cannot tell",
        "an app that reports an error after its data has gone (LEAK) from one that is content",
        "(ACCEPT).",
        "Warning: whoever has the lab's keys can read the traffic of a device that trusts it.",
        f"Remove {what}, and the proxy, when you are done.",
        "",
    ]


_NAMES = ("R ", "R2")
_OWN_PINS = (
    f"  3. Give the app the pins of the lab, if it is to be pinned: http://{HOST}/pins.toml",
)
_REAL_PINS = (
    "  3. Leave the app its own roots and pins: its real servers answer what is honest.",
    "     See that it trusts R2 too: else what it refuses says nothing of its pins.",
)


def _reachable(address: str, port: int) -> list[str]:
    """Say what to pass if only this machine reaches the lab; warn if every machine does."""
    if ipaddress.ip_address(address).is_loopback:
        return [f"Only this machine reaches it. {how_to_listen(port)}"]
    return ["Everybody who reaches this address can use it as a proxy, while the lab runs."]


def _fingerprint(root: Certificate) -> str:
    """As devices show it."""
    return root.sha256.hex(":").upper()


_EXPLAINED = {Outcome.WRONG, Outcome.UNDECIDED, Outcome.WARNING}


class Screen(Protocol):
    """Shows a session from its beginning to its end."""

    def begin(self) -> None:
        """The lab listens."""

    def result(self, host: str, result: Result) -> None:
        """Print the result of a case."""

    def refresh(self) -> None:
        """A moment passed."""

    def end(self, hosts: Sequence[HostProgress]) -> None:
        """It is over."""


@contextmanager
def screen(lab: DeviceLab, *, as_json: bool) -> Iterator[Screen]:
    """The screen that fits where the output goes."""
    if as_json:
        yield JsonScreen(lab)
    elif sys.stdout.isatty():
        with TableScreen(lab) as table:
            yield table
    else:
        yield LineScreen(lab)


class LineScreen:
    """One line a case, for a pipe."""

    def __init__(self, lab: DeviceLab) -> None:
        self._lab = lab

    def begin(self) -> None:
        """How to bring the device in."""
        click.echo("\n".join([*tunnel_lines(self._lab), *instructions(self._lab)]))
        sys.stdout.flush()

    def result(self, host: str, result: Result) -> None:
        """A line."""
        did = str(result.verdict or "-")
        name = result.case.name
        line = f"{host}  {name}  {did}  {OUTCOMES[result.outcome]}: {result.why}"
        click.echo(fold(line, sys.stdout))
        sys.stdout.flush()

    def refresh(self) -> None:
        """Nothing new."""

    def end(self, hosts: Sequence[HostProgress]) -> None:
        """The summary."""
        click.echo("\n".join(summary(hosts)))


class JsonScreen:
    """One JSON object a line, each with an ``event``."""

    def __init__(self, lab: DeviceLab) -> None:
        self._lab = lab

    def begin(self) -> None:
        """Where the lab is."""
        roots = [root.sha256.hex() for root in self._lab.roots]
        print_event(
            "begun",
            address=self._lab.address,
            port=self._lab.port,
            hosts=list(self._lab.schedule.hosts),
            roots=roots,
            wireguard=self._lab.peer_configuration(reach(self._lab.address)),
            notes=list(self._lab.notes),
        )

    def result(self, host: str, result: Result) -> None:
        """Print the result of a case."""
        print_event(
            "case",
            host=host,
            case=result.case.name,
            expected=result.expect.value,
            verdict=result.verdict.value if result.verdict else None,
            outcome=result.outcome.value,
            why=result.why,
        )

    def refresh(self) -> None:
        """Nothing new."""

    def end(self, hosts: Sequence[HostProgress]) -> None:
        """How far every host came."""
        print_last(event="ended", hosts=[_host_json(each) for each in hosts])


def _host_json(progress: HostProgress) -> dict[str, Any]:
    counts = dict.fromkeys(Outcome, 0)
    for result in progress.results:
        counts[result.outcome] += 1
    return {
        "host": progress.host,
        "controlled": progress.controlled,
        "finished": progress.finished,
        "cases": progress.cases,
        "settled": len(progress.results),
        "right": counts[Outcome.RIGHT],
        "wrong": counts[Outcome.WRONG],
        "warnings": counts[Outcome.WARNING],
        "undecided": counts[Outcome.UNDECIDED],
        "not_run": counts[Outcome.NOT_RUN],
    }


def instructions(lab: DeviceLab) -> list[str]:
    """How to bring the device in."""
    lines = [*lab.notes, *guide(lab.address, lab.port, lab.schedule.hosts, lab.roots)]
    return [fold(line, sys.stdout) for line in lines]


def tunnel_lines(lab: DeviceLab) -> list[str]:
    """The configuration of the device's end of the tunnel, where there is one."""
    configuration = lab.peer_configuration(reach(lab.address))
    if not configuration:
        return []
    return ["The device's WireGuard tunnel (it holds its private key):", "", configuration]


def summary(hosts: Sequence[HostProgress]) -> list[str]:
    """Return the results: a line for each host, then the cases that need attention."""
    lines = [""]
    for progress in hosts:
        lines.append(_headline(progress))
        for result in progress.results:
            if result.outcome in _EXPLAINED:
                lines.append(f"  {result.case.name}")
                lines += [f"    {line}" for line in explain(result)]
    lines += ["", "Remove the lab's roots and its proxy from the device now."]
    return [fold(line, sys.stdout) for line in lines]


def _headline(progress: HostProgress) -> str:
    host = progress.host
    if progress.control is None:
        return f"{host}: nothing came. Nothing is proven."
    if not progress.controlled:
        see = "that it trusts the lab's roots, and has the lab's pins"
        if progress.real:
            see = "that it works without the lab, and that --upstream leads to its real server"
        return (
            f"{host}: the app never accepted the honest server ({progress.control.why}). "
            f"Nothing is proven: see {see}."
        )
    tried = [each for each in progress.results if each.outcome is not Outcome.NOT_RUN]
    wrong = sum(each.outcome is Outcome.WRONG for each in tried)
    left = progress.cases - len(progress.results)
    beside = f", {len(progress.results) - len(tried)} cannot be tried here" if tried else ""
    rest = f", {left} not played" if left else ""
    return f"{host}: {len(tried)} of {progress.cases} cases tried, {wrong} wrong{beside}{rest}"


class TableScreen:
    """A context manager. Settled cases scroll by above the table, which says what is on now."""

    def __init__(self, lab: DeviceLab) -> None:
        from rich.console import Console
        from rich.live import Live

        self._lab = lab
        self._console = Console()
        self._shown: list[HostProgress] = []
        self._live = Live(console=self._console, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()

    def begin(self) -> None:
        """How to bring the device in; then the table."""
        self._print_tunnel()
        click.echo("\n".join(instructions(self._lab)))
        self._live.start()
        self._row("host", "case", "should", "did", "", "what arrived", style="bold")
        self.refresh()

    def _print_tunnel(self) -> None:
        """Print the QR code of the tunnel, if a phone can reach the lab where it listens."""
        address = self._lab.address
        configuration = self._lab.peer_configuration(reach(address))
        if not configuration:
            return
        if not phone_reaches(address):
            problem = f"There is no QR code, as no phone can reach {address}."
            click.echo(fold(f"{problem} {how_to_listen()}", sys.stdout))
            return
        from certpin.lab.device.page import qr_text

        click.echo("Scan this with the WireGuard app of the device:")
        self._console.print(qr_text(configuration))

    def result(self, host: str, result: Result) -> None:
        """Print the result of a case."""
        self._row(
            host,
            result.case.name,
            _SHOULD[result.expect],
            str(result.verdict or "-"),
            str(result.outcome),
            result.why,
            style=_COLOURS[result.outcome],
        )

    def refresh(self) -> None:
        """Show the running cases, if they changed."""
        hosts = self._lab.progress()
        if hosts != self._shown:
            self._shown = hosts
            self._live.update(_table(hosts), refresh=True)

    def end(self, hosts: Sequence[HostProgress]) -> None:
        """Replace the table by the summary."""
        self._live.stop()
        click.echo("\n".join(summary(hosts)))

    def _row(self, *cells: str, style: str) -> None:
        from rich.table import Table
        from rich.text import Text

        grid: Any = Table.grid(padding=(0, 1), expand=True)
        for ratio in (4, 5, 2, 2, 2, 8):
            grid.add_column(ratio=ratio, overflow="fold")
        texts = [Text(printable(cell)) for cell in cells]
        texts[4].stylize(style)
        grid.add_row(*texts)
        self._console.print(grid)


def _table(hosts: Sequence[HostProgress]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table: Any = Table("host", "case that is on", "settled", "honest server", expand=True)
    for each in hosts:
        table.add_row(
            Text(printable(each.host)),
            _playing(each),
            _settled(each),
            _control(each),
        )
    return table


def _playing(progress: HostProgress) -> str:
    if progress.finished:
        return "all played"
    return progress.playing or f"next: {progress.coming}"


def _settled(progress: HostProgress) -> str:
    doubt = f", {progress.in_doubt} to confirm" if progress.in_doubt else ""
    return f"{len(progress.results)} of {progress.cases}{doubt}"


def _control(progress: HostProgress) -> str:
    if progress.control is None:
        return "not called yet"
    if progress.control.why and not progress.controlled:
        fix = "does it work without the lab?" if progress.real else "does it trust the lab's roots?"
        return f"refused: {fix}"
    return "accepted"
