"""Run a client against servers with the user's own chains: ``certpin prove`` for Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab import runner
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.trial import as_client
from certpin.pins import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from certpin.lab.case import Case
    from certpin.lab.client import ClientUnderTest
    from certpin.lab.target import Target


def prove(  # noqa: PLR0913  # keywords, each of which is a setting of a run
    client: ClientUnderTest | Callable[[Target], object],
    cases: Iterable[Case],
    *,
    host: str = "api.bank.example",
    style: str = "leaf",
    protocol: str = "http",
    jobs: int = 1,
    repeat: int = 1,
    bound: float | None = None,
) -> runner.Run:
    """Run a client against cases in a new lab, as ``certpin prove --case-file`` does.

    The good control, a case with an honest server of the lab, comes first and last. If the client
    refuses it, nothing is proven: see ``Run.controlled``.

    Args:
        client: a ``Command``, or a function that takes a target (``url``, ``proxy``, ``address``,
            ``port``, ``ca``, ``pins``) and raises an exception to refuse the server. The clock of a
            function can't be set: a case with a time is then not run.
        cases: the cases, as ``load_cases`` returns them.
        host: the host of the good control. Each case in ``cases`` names its host itself.
        style: how the client is pinned: ``none``, ``leaf`` or ``ca``.
        protocol: the protocol of the client: ``http``, ``smtp``, ``imap`` and so on.
        jobs: the number of cases that run at the same time.
        repeat: the number of runs of each case. With 1, an unexpected verdict is tried again.
        bound: a share of the client's checks, such as 0.02 for 2 %. Attacks are repeated until the
            number of refusals shows, with 95 % confidence, that the client skips a smaller share.
            None repeats nothing.

    Returns:
        The results: first that of the good control, then one for each case, then again that of the
        good control.

    Raises:
        HostError: ``host`` is not a host.
        ValueError: there is no such style.
        LabError: the lab can't run on this machine.
    """
    with Lab(normalise(host), Style(style), protocol=protocol) as lab:
        return runner.prove(lab, as_client(client), cases, jobs=jobs, repeat=repeat, bound=bound)
