"""Connect to the servers for ``certpin lint --live``, as ``certpin check`` does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.cli.check import check_targets
from certpin.cli.reply import say
from certpin.cli.unverified import chain_fix
from certpin.lint import LintDocument, LiveResult

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.cli.servers import ServerOptions
    from certpin.probe.checkup import Checkup


def probe_hosts(
    document: LintDocument, servers: ServerOptions, now: datetime, timeout: float
) -> LintDocument:
    """Contact the hosts of a pin file, and return the document with the chains that they serve.

    If clients refuse the file, no host is contacted: the document is returned unchanged, with a
    warning on standard error.

    Args:
        document: the pin file.
        servers: the servers that the user named.
        now: the current time.
        timeout: seconds for each step of a connection.

    Raises:
        click.UsageError: an option names a host that is not contacted.
    """
    if document.pins is None:
        say(
            "certpin: warning",
            f"{document.path}: no host was contacted, because no client loads the file",
        )
        return document
    checkups = check_targets(servers.targets(document.pins), now, 0, timeout)
    return replace(document, live=tuple(map(_live_result, checkups)))


def _live_result(checkup: Checkup) -> LiveResult:
    pattern = str(checkup.policy.pattern)
    if checkup.observation is None:
        error = checkup.error.problem if checkup.error else "no answer"
        return LiveResult(pattern, checkup.host, error=error)
    observation = checkup.observation
    served = observation.served.certificates
    if observation.verified:
        return LiveResult(pattern, checkup.host, served, observation.verified.certificates)
    fix = checkup.fix or chain_fix(observation)
    return LiveResult(pattern, checkup.host, served, problem=checkup.findings[0], fix=fix)
