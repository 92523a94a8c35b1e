"""What ``certpin lint --live`` asks the servers: as ``certpin check`` does, from this machine."""

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


def ask(
    document: LintDocument, servers: ServerOptions, now: datetime, timeout: float
) -> LintDocument:
    """The document with what its hosts present. Raises ``click.UsageError``.

    A file that clients refuse names nobody to ask: it stays as it is, and that is said.
    """
    if document.pins is None:
        say("certpin: warning", f"{document.path}: no host was asked, since no client loads it")
        return document
    checkups = check_targets(servers.targets(document.pins), now, 0, timeout)
    return replace(document, live=tuple(map(_asked, checkups)))


def _asked(checkup: Checkup) -> LiveResult:
    pattern = str(checkup.policy.pattern)
    if checkup.observation is None:
        error = checkup.error.problem if checkup.error else "nobody answered"
        return LiveResult(pattern, checkup.host, error=error)
    seen = checkup.observation
    served = seen.served.certificates
    if seen.verified:
        return LiveResult(pattern, checkup.host, served, seen.verified.certificates)
    fix = checkup.fix or chain_fix(seen)
    return LiveResult(pattern, checkup.host, served, problem=checkup.findings[0], fix=fix)
