"""The reference page of the metrics: tables from their declarations in hand-written Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.counters import COUNTED, MetricSpec
from certpin_watch.metrics import declared
from scripts.docs.markdown import code, fill, page, prose, table
from scripts.docs.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

_NOTES = ROOT / "docs/reference/metrics.notes.md"
_SECTIONS = {
    "probe results": declared.PROBE_RESULTS,
    "pin sets": declared.PIN_SETS,
    "service": (*declared.SERVICE, *COUNTED),
    "other exporters": declared.COMPATIBLE,
}


def metrics_page() -> dict[str, str]:
    """Return the text of the page of the metrics, by its path below ``docs``."""
    tables = {name: _metrics(specs) for name, specs in _SECTIONS.items()}
    text = fill(_NOTES.read_text(encoding="utf-8"), tables)
    return {"reference/metrics.md": page("Metrics", text)}


def every_metric() -> list[MetricSpec]:
    """Return the declarations of all metrics, in the order of the page of the metrics."""
    return [spec for specs in _SECTIONS.values() for spec in specs]


def _metrics(specs: Iterable[MetricSpec]) -> str:
    return table(("metric", "type", "labels", "meaning"), map(_row, specs))


def _row(spec: MetricSpec) -> tuple[str, ...]:
    # Prometheus shows a counter with this suffix.
    name = f"{spec.name}_total" if spec.kind == "counter" else spec.name
    return code(name), spec.kind, " ".join(map(code, spec.labels)), prose(spec.about)
