"""What each rule of the alerts means, as the rules themselves say it."""

from __future__ import annotations

from functools import cache

from certpin_watch.alerts.rules import RULES as OF_REPORTS
from certpin_watch.monitor.rules import RULES as OF_PROBES
from certpin_watch.web.pages.words import started


def meaning(rule: str) -> tuple[str, ...]:
    """Sentences; none for a rule that nobody knows any more."""
    return _meanings().get(rule, ())


@cache
def _meanings() -> dict[str, tuple[str, ...]]:
    said: dict[str, tuple[str, ...]] = {
        rule.id: (f"{started(rule.summary)}.", rule.why) for rule in OF_PROBES
    }
    for name, rule in OF_REPORTS.items():
        # The first line of such a module is the name of the rule and what it finds.
        text = (rule.__doc__ or "").partition(": ")[2]
        said[name] = tuple(started(" ".join(part.split())) for part in text.split("\n\n") if part)
    return said
