"""Who is told of what: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import HostError
from certpin.pins import HostPattern
from certpin_watch.alerts.state import worse

if TYPE_CHECKING:
    from certpin_watch.alerts.settings import Tell
    from certpin_watch.alerts.state import Alert, What


def wants(tell: Tell, alert: Alert, what: What) -> bool:
    """Whether a service is told of this.

    What failed at a service is not told to that service. What is over is told where it was told
    that it is there: by the severity that it had then.
    """
    if alert.rule == "telling-fails" and alert.details.get("service") == tell.name:
        return False
    if what == "resolved" and not tell.resolved:
        return False
    severity = alert.peak if what == "resolved" else alert.severity
    return (
        not worse(tell.severity, severity)
        and (not tell.rules or alert.rule in tell.rules)
        and (not tell.hosts or any(covers(each, alert.host) for each in tell.hosts))
    )


def covers(pattern: str, host: str) -> bool:
    """A pattern covers itself, and each host that it would cover in a pin file."""
    if pattern == host:
        return True
    try:
        return bool(host) and HostPattern.parse(pattern).matches(host)
    except HostError:
        return False
