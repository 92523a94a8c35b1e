"""A server uses another key than before, and nobody said so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.monitor.case import chain_details
from certpin_watch.monitor.rules.matching import expected_pins, leaf_pin
from certpin_watch.monitor.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.finding import Finding
    from certpin_watch.monitor.case import Case

ID = "key-changed"


def _look(case: Case) -> Iterator[Finding]:
    expected = expected_pins(case)
    for look, chain in case.verified:
        if look.before is None or case.now - look.changed > case.settings.changes:
            continue
        old, new = leaf_pin(look.before), leaf_pin(chain)
        # Where authorities alone are pinned, a new key with each renewal is as it should be.
        if old == new or new in expected or old not in expected:
            continue
        yield case.finding(
            ID,
            "warning",
            f"{look.where}: it uses another key ({new}), which no pin file and no journal names",
            f"certpin rotate status --file {case.file} {look.ways}",
            subject=f"{look.where} {new}",
            vantage=look.vantage,
            address=look.edge or look.address,
            since=int(look.changed.timestamp()),
            before=str(old),
            after=str(new),
            chain=chain_details(chain),
        )


RULE = Rule(
    ID,
    "a server uses another key than the pinned one that it had, and neither file nor journal "
    "names it",
    "Somebody renewed without keeping the key, or somebody else has a certificate for that name.",
    case=_look,
)
