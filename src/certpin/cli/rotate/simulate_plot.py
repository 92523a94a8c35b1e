"""The picture of a simulation: clients locked out, the versions that they hold, and the steps.

Drawn on a canvas of its own, without pyplot: no display, no state that other code shares. The same
simulation makes the same SVG, by the same version of matplotlib.

Importing this loads matplotlib, which the extra ``simulate`` brings.
"""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, DateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

if TYPE_CHECKING:
    from datetime import datetime

    from matplotlib.axes import Axes

    from certpin.cli.rotate.simulate_views import Case
    from certpin.rotation.simulate import Hour
    from certpin.rotation.simulate_fleet import Fleet
    from certpin.rotation.simulate_script import Dated

# Okabe and Ito, "Color Universal Design" (2008): told apart with every kind of colour vision.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
_VERSIONS = (BLUE, ORANGE, GREEN, SKY, PURPLE, YELLOW)
_HATCHES = ("", "///", "...", "xx")  # where there are more versions than colours
_UNSAFE: dict[str, Any] = {"facecolor": "#E6E6E6", "edgecolor": "#B0B0B0", "hatch": "///", "lw": 0}
_BADGE: dict[str, Any] = {
    "ha": "center",
    "va": "bottom",
    "size": 8.5,
    "weight": "bold",
    "annotation_clip": False,
    "bbox": {"boxstyle": "round,pad=0.22", "facecolor": "white", "edgecolor": BLACK, "lw": 0.8},
}

_WIDE, _LEFT, _RIGHT = 11.0, 1.05, 1.75  # inches: the picture, and what is beside the axes
_UPPER, _LOWER, _GAP = 2.5, 1.7, 0.18
_TOP, _FOOT, _LINE = 1.15, 0.62, 0.19
_MILLIONS = 2_000_000  # clients from which on they are counted in millions
_POINTS = 400  # moments: more would be narrower than a line
_LEGEND = 20  # versions that a legend has room for
_LETTERS = 150  # that fit into the width there
_LISTED = 36  # steps that the list beneath has room for
_SHORT = timedelta(days=4)  # until there the hours stand beneath
_HOST = 60  # letters of a name
_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "certpin",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.4,
    "text.parse_math": False,  # a dollar in the name of a file is a dollar
}


def drawn(case: Case, fleet: Fleet, kind: str) -> bytes:
    """The picture as PNG or SVG, without the date on which it was made."""
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure = _figure(case, fleet)
        out = io.BytesIO()
        creator = f"certpin, matplotlib {mpl.__version__}"
        metadata = {"Date": None, "Creator": creator} if kind == "svg" else {"Software": creator}
        figure.savefig(out, format=kind, dpi=150, metadata=metadata)
    return out.getvalue()


def _figure(case: Case, fleet: Fleet) -> Figure:
    from certpin.cli.rotate.simulate_views import condensed, unsafe

    listed = _listed(case)
    columns = _columns(listed)
    rows = -(-len(listed) // columns)
    high = _TOP + _UPPER + _GAP + _LOWER + _FOOT + rows * _LINE
    figure = Figure(figsize=(_WIDE, high))
    FigureCanvasAgg(figure)
    wide = (_WIDE - _LEFT - _RIGHT) / _WIDE
    base = _FOOT + rows * _LINE
    lower = figure.add_axes((_LEFT / _WIDE, base / high, wide, _LOWER / high))
    above = (base + _LOWER + _GAP) / high
    upper = figure.add_axes((_LEFT / _WIDE, above, wide, _UPPER / high), sharex=lower)
    course = condensed(case.outcome.hours, _POINTS)
    course.append(replace(course[-1], at=case.end))
    _draw_lockouts(upper, case, course, unsafe(case, fleet.timing.adopt))
    _draw_versions(lower, case, course)
    _draw_steps(upper, lower, case)
    _write_title(figure, case, fleet, high)
    for at, line in enumerate(listed):
        column, row = divmod(at, rows)
        left = (0.3 + column * (_WIDE - 0.4) / columns) / _WIDE
        figure.text(left, (0.1 + (rows - row - 0.7) * _LINE) / high, line, size=8, va="center")
    return figure


def _draw_lockouts(
    axes: Axes, case: Case, course: list[Hour], zones: list[tuple[datetime, datetime]]
) -> None:
    times, out = [_day(each.at) for each in course], [each.locked_out for each in course]
    for begin, end in zones:
        axes.axvspan(_day(begin), _day(end), **_UNSAFE)
    axes.fill_between(times, out, step="post", color=VERMILLION, lw=0)
    # A line around it: what is as narrow as a pixel shall be seen too.
    line = [each or math.nan for each in out]
    axes.plot(times, line, drawstyle="steps-post", color=VERMILLION, lw=1)
    axes.set_ylim(0, max(out) * 1.08 or 1)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    unit = 1_000_000 if max(out) >= _MILLIONS else 1
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / unit:,.10g}"))
    axes.set_ylabel("clients locked out" if unit == 1 else "millions of clients locked out")
    axes.tick_params(labelbottom=False)
    if not any(out):
        axes.set_yticks([0])
        white = {"facecolor": "white", "edgecolor": "none"}
        axes.text(
            0.5,
            0.5,
            "nobody is locked out",
            transform=axes.transAxes,
            ha="center",
            size=12,
            bbox=white,
        )
    handles = [Patch(facecolor=VERMILLION, label="locked out")] if any(out) else []
    if zones:
        handles.append(Patch(**_UNSAFE, label="unsafe: before a\nstep's safe date"))
    _add_legend(axes, handles)


def _draw_versions(axes: Axes, case: Case, course: list[Hour]) -> None:
    numbers = sorted({number for hour in case.outcome.hours for number in hour.held})
    shares = [[each.held.get(one, 0) / case.outcome.clients for each in course] for one in numbers]
    bands = axes.stackplot([_day(each.at) for each in course], shares, step="post", lw=0)
    for at, band in enumerate(bands):
        band.set_facecolor(_VERSIONS[at % len(_VERSIONS)])
        band.set_hatch(_HATCHES[at // len(_VERSIONS) % len(_HATCHES)])
        band.set_edgecolor("white")
        band.set_label(f"version {numbers[at]}")
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("clients that\nhold a version")
    axes.set_xlim(_day(case.story.begin), _day(case.end))
    # Untyped in matplotlib itself.
    axes.xaxis.set_major_locator(AutoDateLocator(tz=UTC, minticks=4, maxticks=8))  # type: ignore[no-untyped-call]
    short = case.end - case.story.begin < _SHORT
    form = "%m-%d %H:%M" if short else "%Y-%m-%d"
    axes.xaxis.set_major_formatter(DateFormatter(form, tz=UTC))  # type: ignore[no-untyped-call]
    axes.set_xlabel("UTC")
    _add_legend(axes, list(reversed(bands))[:_LEGEND])


def _add_legend(axes: Axes, handles: list[Any]) -> None:
    """Beside the axes, so that it covers nothing; in two columns, and smaller, if it is long."""
    many = len(handles) > _LEGEND // 2
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.04),
        frameon=False,
        ncols=2 if many else 1,
        fontsize=6.5 if many else 8.5,
        columnspacing=0.8,
        handlelength=1.6,
    )


def _draw_steps(upper: Axes, lower: Axes, case: Case) -> None:
    """Lines through both, and their numbers above."""
    from certpin.cli.rotate.simulate_views import grouped

    begin, end = _day(case.story.begin), _day(case.end)
    places = [(_day(each.at), each.number) for each in case.seen]
    for at, _ in places:
        for axes in (upper, lower):
            axes.axvline(at, color=BLACK, lw=0.9, ls=(0, (4, 2)))
    room = (end - begin) / (_WIDE - _LEFT - _RIGHT)  # days in an inch
    for at, label in grouped(places, lambda text: (0.12 + 0.09 * len(text)) * room):
        upper.annotate(label, (at, 1.035), xycoords=("data", "axes fraction"), **_BADGE)


def _write_title(figure: Figure, case: Case, fleet: Fleet, high: float) -> None:
    from certpin.cli.rotate.simulate_views import percent_of
    from certpin.rotation import format_duration

    outcome = case.outcome
    share = percent_of(outcome.locked_out, outcome.clients)
    word = f"{outcome.locked_out:,} of {outcome.clients:,} clients are locked out ({share})"
    if not outcome.locked_out:
        word = f"None of {outcome.clients:,} clients is locked out"
    host = case.host if len(case.host) <= _HOST else f"{case.host[:_HOST]}…"
    adopt = format_duration(fleet.timing.adopt)
    how = f"{host}, simulated: every client has what was published within {adopt} (T_adopt)"
    left = 0.3 / _WIDE
    figure.text(left, 1 - 0.3 / high, word, size=13, weight="bold", va="center")
    figure.text(left, 1 - 0.56 / high, how, size=9, va="center", color="#444444")


def _listed(case: Case) -> list[str]:
    steps = case.seen
    if len(steps) > _LISTED:
        return [f"{len(steps)} steps that clients notice: the table of the command has them all"]
    return [_listing(case, each) for each in steps]


def _listing(case: Case, dated: Dated) -> str:
    from certpin.cli.rotate.simulate_views import _short

    safety, lockout = case.safety(dated.number), case.lockout(dated.number)
    act = "serve " + case.named(dated.step.pin) if dated.step.act == "serve" else case.words(dated)
    line = f"{dated.number}  {_short(dated.at)}  {act}"
    if safety and lockout:
        safe = f"safe from {_short(safety.guaranteed)}" if safety.guaranteed else "never safe"
        line = f"{line}: {safe}"
    return line if len(line) <= _LETTERS else f"{line[: _LETTERS - 1]}…"


def _columns(lines: list[str]) -> int:
    """Few lines have one column; many as many as the longest of them leaves room for."""
    if len(lines) <= 4:
        return 1
    return max(1, min(3, _LETTERS // max(map(len, lines))))


def _day(moment: datetime) -> float:
    """A moment as matplotlib counts them: in days."""
    return float(date2num(moment))  # type: ignore[no-untyped-call]  # as above
