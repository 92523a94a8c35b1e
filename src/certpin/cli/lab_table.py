"""The live table of ``certpin lab serve``: a row for each host, and its findings below."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

import click

from certpin.cli.lab_guide import how_to_listen, phone_reaches, reach
from certpin.cli.lab_screen import instructions, summary
from certpin.cli.matrix import _COLOURS, _SHOULD
from certpin.cli.screen import fold
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.lab.run import Result
    from certpin.lab.serve.device import DeviceLab, Standing


class LiveTable:
    """A context manager. Settled cases scroll by above the table, which says what is on now."""

    def __init__(self, lab: DeviceLab) -> None:
        from rich.console import Console
        from rich.live import Live

        self._lab = lab
        self._console = Console()
        self._shown: list[Standing] = []
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
        self.look()

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
        from certpin.lab.qr import qr_text

        click.echo("Scan this with the WireGuard app of the device:")
        self._console.print(qr_text(configuration))

    def result(self, host: str, result: Result) -> None:
        """A case is settled."""
        self._row(
            host,
            result.case.name,
            _SHOULD[result.expect],
            str(result.verdict or "-"),
            str(result.outcome),
            result.why,
            style=_COLOURS[result.outcome],
        )

    def look(self) -> None:
        """Say what is on, where that changed."""
        standings = self._lab.standings()
        if standings != self._shown:
            self._shown = standings
            self._live.update(_table(standings), refresh=True)

    def end(self, standings: Sequence[Standing]) -> None:
        """The summary takes the place of the table."""
        self._live.stop()
        click.echo("\n".join(summary(standings)))

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


def _table(standings: Sequence[Standing]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table: Any = Table("host", "case that is on", "settled", "honest server", expand=True)
    for each in standings:
        table.add_row(
            Text(printable(each.host)),
            _playing(each),
            _settled(each),
            _control(each),
        )
    return table


def _playing(standing: Standing) -> str:
    if standing.finished:
        return "all played"
    return standing.playing or f"next: {standing.coming}"


def _settled(standing: Standing) -> str:
    doubt = f", {standing.in_doubt} to confirm" if standing.in_doubt else ""
    return f"{len(standing.results)} of {standing.cases}{doubt}"


def _control(standing: Standing) -> str:
    if standing.control is None:
        return "not called yet"
    if standing.control.why and not standing.controlled:
        fix = "does it work without the lab?" if standing.real else "does it trust the lab's roots?"
        return f"refused: {fix}"
    return "accepted"
