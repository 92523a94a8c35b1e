"""The output of ``certpin lab serve``: how to connect a device, and a live table of the results."""

from __future__ import annotations

import ipaddress
import socket
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, Self

import click

from certpin.cli.prove_result import COLOURS, SHOULD
from certpin.cli.reply import fold, print_event, print_last, table_console
from certpin.lab.device.page import HOST
from certpin.lab.report.causes import cause_lines, find_causes
from certpin.lab.report.words import MORE_CASES, NO_ATTACK, OUTCOMES, explain
from certpin.lab.verdict import NEEDS_ATTENTION, Outcome
from certpin.pins.hosts import join_address
from certpin.support.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certpin.lab.device.lab import DeviceLab, HostProgress
    from certpin.lab.runner import Result
    from certpin.x509 import Certificate


_ALL_ADDRESSES = "0.0.0.0"  # noqa: S104  # nothing is bound to it here
# An address for documentation (RFC 5737), to find out the route. Nothing is sent to it.
_REMOTE = ("192.0.2.1", 9)


def own_address() -> str:
    """Return this machine's IP address in its network; empty without a network. Sends no packet."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(_REMOTE)
        address = str(sock.getsockname()[0])
        return "" if ipaddress.ip_address(address).is_loopback else address
    return ""


def device_address(address: str) -> str:
    """Return the address at which a device reaches a lab that listens on ``address``.

    If the lab listens on all addresses, it is this machine's address in its network. Any other
    address, also loopback, is returned unchanged; without a network, so is the one for all
    addresses. Addresses have no port.
    """
    return own_address() or address if address in {_ALL_ADDRESSES, "::"} else address


def phone_reaches(address: str) -> bool:
    """Return True if another device in the network can reach a lab that listens on ``address``.

    If not, the output has the ``--listen`` option for a phone instead of a QR code.
    """
    reached = ipaddress.ip_address(device_address(address))
    return not (reached.is_loopback or reached.is_unspecified)


def how_to_listen(port: int = 0) -> str:
    """Return a sentence with the ``--listen`` option that makes the lab reachable for a phone.

    If this machine has no network address, the sentence says how to get one.

    Args:
        port: the port to suggest; 0 to suggest no port.
    """
    own = own_address()
    if not own:
        return (
            "Connect this machine to the network of the phone, Wi-Fi or the phone's hotspot, and "
            "listen on its address in that network: --listen ADDRESS."
        )
    words = f"--listen {own} --port {port}" if port else f"--listen {own}"
    return f"For a phone in the same network: {words}"


def guide(address: str, port: int, hosts: Sequence[str], roots: Sequence[Certificate]) -> list[str]:
    """Return the lines of the instructions that connect a device to the lab: proxy, roots and pins.

    Args:
        address: the IP address on which the lab listens.
        port: the port of the lab's proxy.
        hosts: the hosts under test.
        roots: the root certificates that the device must trust.
    """
    reached = device_address(address)
    proxy = join_address(reached, port)
    lab_pins = len(roots) > 1  # R and R2; only R2 if the lab relays to real servers
    names, what = (_NAMES, "both roots") if lab_pins else (_NAMES[1:], "the root R2")
    return [
        f"The lab is an HTTP and SOCKS5 proxy at {proxy}. Under test: {', '.join(hosts)}.",
        *_reachable(address, port),
        "",
        "Connect the device:",
        f"  1. Wi-Fi, this network, proxy: manual, {proxy}. Or configure that proxy in the app.",
        f"  2. In its browser, open http://{HOST}/ (or http://{proxy}/) and install {what}.",
        "     Compare the SHA-256 fingerprints, because the download is not protected:",
        *(f"       {name} {_fingerprint(root)}" for name, root in zip(names, roots, strict=True)),
        "     iOS: Settings, General, VPN & Device Management: install; then About, Certificate",
        "       Trust Settings: switch on the roots that you installed.",
        "     Android: Settings, Security, Encryption & credentials, Install: CA certificate.",
        "       Apps for Android 7 and later trust roots that a user installed only if their",
        "       network security config says so in <debug-overrides>, in a debuggable build:",
        '       <certificates src="user" overridePins="false"/>. Without overridePins="false", the',
        "       pins are not checked at all. Or include the roots in the app: /roots.pem.",
        *(_LAB_PINS if lab_pins else _REAL_PINS),
        "  4. Use the app repeatedly: after one or two connections, the next case begins.",
        "For an app that ignores the system's proxy (Flutter's dart:io does), use --wireguard.",
        "",
        "A device has no exit status, so the lab judges the data that it receives. It can't",
        "distinguish an app that reports an error after it sent its data (LEAK) from an app that",
        "reports none (ACCEPT).",
        "Warning: anyone with the lab's keys can read the traffic of a device that trusts it.",
        f"Remove {what} and the proxy from the device when you are done.",
        "",
    ]


_NAMES = ("R ", "R2")
_LAB_PINS = (
    f"  3. If the app is to be pinned, give it the pins of the lab: http://{HOST}/pins.toml",
)
_REAL_PINS = (
    "  3. Leave the app its roots and pins: the honest server is its real server.",
    "     It must trust R2 too: otherwise its refusals prove nothing about its pins.",
)


def _reachable(address: str, port: int) -> list[str]:
    """Return a line that says whether only this machine can reach the lab, or others can too.

    In the first case, the line has the options with which the lab listens for a phone. In the
    second, it warns that other machines can use the lab as a proxy.

    Args:
        address: the IP address on which the lab listens.
        port: the port of the lab's proxy.
    """
    if ipaddress.ip_address(address).is_loopback:
        return [f"Only this machine reaches it. {how_to_listen(port)}"]
    return ["Every machine that reaches this address can use it as a proxy while the lab runs."]


def _fingerprint(root: Certificate) -> str:
    """Return the SHA-256 fingerprint of a root in the form in which devices show it."""
    return root.sha256.hex(":").upper()


class Screen(Protocol):
    """Protocol of the output of ``certpin lab serve``; the command calls the methods as it runs."""

    def begin(self) -> None:
        """Print how to connect a device. The lab is already listening."""

    def result(self, host: str, result: Result) -> None:
        """Print the result of a finished case of a host."""

    def refresh(self) -> None:
        """Update a live display of the running cases. The lab calls it several times a second."""

    def end(self, hosts: Sequence[HostProgress]) -> None:
        """Print the results of every host when the lab ends."""


@contextmanager
def screen(lab: DeviceLab, *, as_json: bool) -> Iterator[Screen]:
    """Context manager: the output of ``certpin lab serve`` for this run.

    The output is JSON, a live table on a terminal, or lines in a pipe. ``lab`` is the running lab.
    """
    if as_json:
        yield JsonScreen(lab)
    elif sys.stdout.isatty():
        with TableScreen(lab) as table:
            yield table
    else:
        yield LineScreen(lab)


class LineScreen:
    """The output of ``certpin lab serve`` for a pipe: one line for each finished case."""

    def __init__(self, lab: DeviceLab) -> None:
        self._lab = lab
        self._controls: dict[str, str] = {}  # by host, the latest printed state

    def begin(self) -> None:
        """Print how to connect the device."""
        click.echo("\n".join([*tunnel_lines(self._lab), *instructions(self._lab)]))
        sys.stdout.flush()

    def result(self, host: str, result: Result) -> None:
        """Print the result of a case as one line."""
        did = str(result.verdict or "-")
        name = result.case.name
        self._print(f"{host}  {name}  {did}  {OUTCOMES[result.outcome]}: {result.why}")

    def refresh(self) -> None:
        """Print a line for each host if the app's reaction to its honest server has changed.

        The honest server, which makes no attack, is the lab's control case. The line says whether
        the app accepts it.
        """
        for progress in self._lab.progress():
            state = _control(progress)
            if progress.control and state != self._controls.get(progress.host):
                self._controls[progress.host] = state
                self._print(f"{progress.host}  honest server  {state}")

    def _print(self, line: str) -> None:
        click.echo(fold(line, sys.stdout))
        sys.stdout.flush()

    def end(self, hosts: Sequence[HostProgress]) -> None:
        """Print the results of every host."""
        click.echo("\n".join(summary(hosts)))


class JsonScreen:
    """The output of ``certpin lab serve`` as JSON: one object a line.

    The key ``event`` of each object says what happened, such as ``begun``.
    """

    def __init__(self, lab: DeviceLab) -> None:
        self._lab = lab

    def begin(self) -> None:
        """Print the lab's address, the digests of its roots, and the WireGuard configuration."""
        roots = [root.sha256.hex() for root in self._lab.roots]
        print_event(
            "begun",
            address=self._lab.address,
            port=self._lab.port,
            hosts=list(self._lab.schedule.hosts),
            roots=roots,
            wireguard=self._lab.peer_configuration(device_address(self._lab.address)),
            notes=list(self._lab.notes),
        )

    def result(self, host: str, result: Result) -> None:
        """Print the result of a finished case of a host as one JSON line."""
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
        """Do nothing: this output has no live display."""

    def end(self, hosts: Sequence[HostProgress]) -> None:
        """Store the results of every host as the last JSON line, printed when the command ends."""
        print_last(event="ended", hosts=[_host_json(progress) for progress in hosts])


def _host_json(progress: HostProgress) -> dict[str, Any]:
    counts = dict.fromkeys(Outcome, 0)
    for result in progress.results:
        counts[result.outcome] += 1
    return {
        "host": progress.host,
        "controlled": progress.controlled,
        "accepts": progress.accepts,
        "finished": progress.finished,
        "cases": progress.cases,
        "settled": len(progress.results),
        "right": counts[Outcome.RIGHT],
        "wrong": counts[Outcome.WRONG],
        "warnings": counts[Outcome.WARNING],
        "undecided": counts[Outcome.UNDECIDED],
        "not_run": counts[Outcome.NOT_RUN],
        "clear_text": progress.clear_text,
        "credentials": list(progress.credentials),
    }


def instructions(lab: DeviceLab) -> list[str]:
    """Return lines that describe how to connect a device to the lab, folded to the terminal.

    The first lines are notes of this run, such as that a new root certificate must be installed.
    """
    lines = [*lab.notes, *guide(lab.address, lab.port, lab.schedule.hosts, lab.roots)]
    return [fold(line, sys.stdout) for line in lines]


def tunnel_lines(lab: DeviceLab) -> list[str]:
    """Return lines with the WireGuard configuration for the device; no lines without a tunnel."""
    configuration = lab.peer_configuration(device_address(lab.address))
    if not configuration:
        return []
    return ["The device's WireGuard configuration (with its private key):", "", configuration]


def summary(hosts: Sequence[HostProgress]) -> list[str]:
    """Return the final lines of the output of ``certpin lab serve``.

    ``hosts`` are the results of each host. For each host, the lines have:

    - the number of cases that were run, and of those in which the client reacted wrongly;
    - the requests that the client sent without TLS although no attack had led to them;
    - the likely causes of its wrong reactions;
    - the cases with a warning or an undecided result.
    """
    lines = [""]
    for progress in hosts:
        lines.append(_headline(progress))
        lines += [f"  {line}" for line in _clear_text(progress)]
        lines += [f"  {line}" for line in cause_lines(find_causes(progress.results))]
        for result in progress.results:
            if result.outcome in NEEDS_ATTENTION and result.outcome is not Outcome.WRONG:
                lines.append(f"  {result.case.name}")
                lines += [f"    {line}" for line in explain(result)]
    lines += ["", "Now remove the lab's roots and its proxy from the device."]
    return [fold(line, sys.stdout) for line in lines]


def _clear_text(progress: HostProgress) -> list[str]:
    """Return a sentence about requests in clear text that belong to no attack; empty without any.

    Such requests change no verdict: each verdict is about a server that the app calls with TLS.
    ``progress`` has the results of one host.
    """
    if not progress.clear_text:
        return []
    sent = " and ".join(progress.credentials)
    what = f", with {sent}" if sent else ""
    requests = f"{counted(progress.clear_text, 'request')} to {progress.host}{what}"
    risk = "anyone in its network can read and change them"
    return [f"In clear text, without an attack, the app sent {requests}: {risk}."]


def _headline(progress: HostProgress) -> str:
    host = progress.host
    if progress.control is None:
        return f"{host}: no connection. Nothing is proven."
    if not progress.controlled:
        check = "that it trusts the lab's roots, and has the lab's pins"
        if progress.real:
            check = "that it works without the lab, and that --upstream names its real server"
        return (
            f"{host}: the app never accepted the honest server ({progress.control.why}). "
            f"Nothing is proven: check {check}."
        )
    tried = progress.tried
    wrong = sum(result.outcome is Outcome.WRONG for result in tried)
    left = progress.cases - len(progress.results)
    skipped = f", {len(progress.results) - len(tried)} can't be tried here" if tried else ""
    rest = f", {left} not run" if left else ""
    found = f"{host}: {len(tried)} of {progress.cases} cases tried, {wrong} wrong{skipped}{rest}"
    if progress.accepts and not tried:
        return f"{found}. {NO_ATTACK}. {MORE_CASES}"
    if progress.accepts:
        return found
    return (
        f"{found}. The app no longer accepts the honest server ({progress.control.why}): its "
        "latest refusals prove nothing. Check that it works without the lab."
    )


class TableScreen:
    """The output of ``certpin lab serve`` on a terminal: a context manager with a live table.

    The table shows the running cases; the finished cases are printed above it.
    """

    def __init__(self, lab: DeviceLab) -> None:
        from rich.live import Live

        self._lab = lab
        self._console = table_console()
        self._shown: list[HostProgress] = []
        self._live = Live(console=self._console, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()

    def begin(self) -> None:
        """Print how to connect the device, then show the table."""
        self._print_tunnel()
        click.echo("\n".join(instructions(self._lab)))
        self._live.start()
        self._row("host", "case", "should", "did", "", "what arrived", style="bold")
        self.refresh()

    def _print_tunnel(self) -> None:
        """Print the QR code of the WireGuard tunnel, if a phone can reach the lab's address."""
        address = self._lab.address
        configuration = self._lab.peer_configuration(device_address(address))
        if not configuration:
            return
        if not phone_reaches(address):
            problem = f"There is no QR code, because no phone can reach {address}."
            click.echo(fold(f"{problem} {how_to_listen()}", sys.stdout))
            return
        from certpin.lab.device.page import qr_text

        click.echo("Scan this with the WireGuard app of the device:")
        self._console.print(qr_text(configuration))

    def result(self, host: str, result: Result) -> None:
        """Print the result of a case above the live table."""
        self._row(
            host,
            result.case.name,
            SHOULD[result.expect],
            str(result.verdict or "-"),
            str(result.outcome),
            result.why,
            style=COLOURS[result.outcome],
        )

    def refresh(self) -> None:
        """Show the running cases in the live table, if they changed."""
        hosts = self._lab.progress()
        if hosts != self._shown:
            self._shown = hosts
            self._live.update(_table(hosts), refresh=True)

    def end(self, hosts: Sequence[HostProgress]) -> None:
        """Replace the live table by the results of every host."""
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

    table: Any = Table("host", "running case", "finished", "honest server", expand=True)
    for progress in hosts:
        table.add_row(
            Text(printable(progress.host)),
            _running_case(progress),
            _finished_count(progress),
            _control(progress),
        )
    return table


def _running_case(progress: HostProgress) -> str:
    if progress.finished:
        return "all finished"
    return progress.playing or f"next: {progress.coming}"


def _finished_count(progress: HostProgress) -> str:
    doubt = f", {progress.in_doubt} to confirm" if progress.in_doubt else ""
    return f"{len(progress.results)} of {progress.cases}{doubt}"


def _control(progress: HostProgress) -> str:
    if progress.control is None:
        return "no connection yet"
    if progress.accepts:
        return "accepted"
    if progress.controlled:
        return "no longer accepted: does it work without the lab?"
    fix = "does it work without the lab?" if progress.real else "does it trust the lab's roots?"
    return f"refused: {fix}"
