"""The second part of ``certpin demo``: all lab cases, for a client with pins and one without."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib import request

from certpin.cli.reply import table_console
from certpin.clients.stdlib import opener
from certpin.lab.attacks import CASES, CONTROL
from certpin.lab.case import Expect
from certpin.lab.client import Call
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.report.words import family_of
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome, Verdict
from certpin.pinfile import PinSet
from certpin.tls import PinnedSSLContext

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from certpin.lab.runner import Result
    from certpin.lab.target import Target

_TIMEOUT = 10  # seconds
_JOBS = 2
_STALL = 0.1  # seconds; these clients wait longer, so that a longer delay changes nothing
_RIGHT, _WRONG = "green", "bold red"


@dataclass(frozen=True)
class CaseComparison:
    """The results of one lab case for a client without pins and for a client with pins."""

    unpinned: Result
    pinned: Result

    @property
    def as_it_should(self) -> bool:
        """True if the client with pins reacted rightly to the case.

        It is also True if the case was not run, or if certpin does not judge the reaction. It is
        False for a wrong reaction, a warning or an undecided result.
        """
        return self.pinned.outcome in {Outcome.RIGHT, Outcome.TOLD, Outcome.NOT_RUN}


def compare(progress: Callable[[Result], None]) -> list[CaseComparison]:
    """Run a client without pins and a client with pins through all cases of the lab.

    Args:
        progress: a function that is called with each result.

    Returns:
        The results of both clients in each case. For both clients, the right reaction is that of a
        client that pins the leaf: so a client without pins that accepts an attack reacts wrongly.
    """
    results = []
    for client in (Call(_unpinned), Call(_pinned)):
        with Lab(style=Style.LEAF, stall=_STALL) as lab:
            run = prove(lab, client, CASES, jobs=_JOBS, progress=progress)
        results.append(run.results)
    return [CaseComparison(*pair) for pair in zip(*results, strict=True)]


def _unpinned(target: Target) -> str:
    """Make the HTTPS request of a lab case without pins, as most programs do; return the body.

    ``target`` has the URL, the proxy and the roots of the case.
    """
    context = ssl.create_default_context(cafile=target.ca)
    handlers = request.ProxyHandler(_proxies(target)), request.HTTPSHandler(context=context)
    return _read(request.build_opener(*handlers), target)


def _pinned(target: Target) -> str:
    """Make the HTTPS request of a lab case with certpin, which checks pins; return the body.

    If certpin refuses the server, its error comes out, and the lab counts that as a refusal.
    ``target`` has the URL, the proxy and the roots of the case.
    """
    context = PinnedSSLContext(PinSet.load(target.pins))
    context.load_verify_locations(target.ca)
    return _read(opener(context, proxies=_proxies(target)), target)


def _proxies(target: Target) -> dict[str, str]:
    return {"http": target.proxy, "https": target.proxy}


def _read(director: request.OpenerDirector, target: Target) -> str:
    with director.open(target.url, timeout=_TIMEOUT) as response:
        body: bytes = response.read()
        return body.decode()


def print_comparison(rows: Sequence[CaseComparison]) -> None:
    """Print a table of the cases, grouped by kind of attack, with the results of both clients."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading, width in (("The server presents", None), ("without pins", 18), ("certpin", 18)):
        table.add_column(heading, width=width, overflow="fold")
    for family in dict.fromkeys(family_of(row.pinned) for row in rows):
        table.add_row(Text(f"\n{family}", "bold"))
        for row in rows:
            if family_of(row.pinned) is family:
                cells = (Text(*_outcome_text(row.unpinned)), Text(*_outcome_text(row.pinned)))
                table.add_row(Text(f"  {row.pinned.case.presents}"), *cells)
    table_console(width=120).print(table)


def totals(rows: Sequence[CaseComparison]) -> dict[str, int]:
    """Return the numbers of attacks and legitimate changes in a run, and of those accepted.

    ``rows`` are the results of the two clients in each case. The keys are ``attacks`` and
    ``legitimate`` (numbers of cases), and for each client the attacks that it accepted and the
    changes that it accepted, such as ``pinned_fooled`` and ``pinned_works``. Cases that were not
    run, and the control case, are not counted.
    """
    tried = [row for row in rows if row.pinned.verdict and row.pinned.case is not CONTROL]
    attacks = [row for row in tried if row.pinned.expect is Expect.REJECT]
    changes = [row for row in tried if row.pinned.expect is Expect.ACCEPT]
    return {
        "attacks": len(attacks),
        "unpinned_fooled": sum(row.unpinned.outcome is Outcome.WRONG for row in attacks),
        "pinned_fooled": sum(row.pinned.outcome is Outcome.WRONG for row in attacks),
        "legitimate": len(changes),
        "unpinned_works": sum(row.unpinned.outcome is Outcome.RIGHT for row in changes),
        "pinned_works": sum(row.pinned.outcome is Outcome.RIGHT for row in changes),
    }


def comparison_json(row: CaseComparison) -> dict[str, Any]:
    """Return one case of the lab, with the results of both clients, as JSON."""
    return {
        "case": row.pinned.case.name,
        "presents": row.pinned.case.presents,
        "right": row.pinned.expect.value,
        "unpinned": row.unpinned.verdict.value if row.unpinned.verdict else None,
        "pinned": row.pinned.verdict.value if row.pinned.verdict else None,
        "as_it_should": row.as_it_should,
    }


def _outcome_text(result: Result) -> tuple[str, str]:
    """Return two texts for the table: a word for a client's reaction to a case, and its colour.

    ``result`` is the result of the client in the case.
    """
    if result.verdict is None:
        return "not tried", "dim"
    if result.verdict in {Verdict.INCONCLUSIVE, Verdict.FLAKY}:
        return str(result.verdict).lower(), "yellow"
    if result.verdict is Verdict.REJECT:
        return ("LOCKED OUT", _WRONG) if result.expect is Expect.ACCEPT else ("refused", _RIGHT)
    if result.expect is Expect.REJECT:
        return "SENT ITS DATA", _WRONG
    return ("works", _RIGHT) if result.expect is Expect.ACCEPT else ("accepted", "yellow")
