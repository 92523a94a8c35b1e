"""Draw a simulation: the clients that are locked out, the versions that clients hold, the steps.

The picture is drawn without pyplot, so that it needs no display and changes no global state. The
same simulation makes the same SVG with the same version of matplotlib.

Importing this module loads matplotlib, which the extra ``simulate`` installs.
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

    from certpin.cli.rotate.simulate_views import HostSimulation
    from certpin.rotation.fleet import Fleet
    from certpin.rotation.simulate import Hour
    from certpin.rotation.simulate_script import DatedStep

# Okabe and Ito, "Color Universal Design" (2008): distinct with every kind of colour vision.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
_VERSIONS = (BLUE, ORANGE, GREEN, SKY, PURPLE, YELLOW)
_HATCHES = ("", "///", "...", "xx")  # if there are more versions than colours
_UNSAFE: dict[str, Any] = {"facecolor": "#E6E6E6", "edgecolor": "#B0B0B0", "hatch": "///", "lw": 0}
_BADGE: dict[str, Any] = {
    "ha": "center",
    "va": "bottom",
    "size": 8.5,
    "weight": "bold",
    "annotation_clip": False,
    "bbox": {"boxstyle": "round,pad=0.22", "facecolor": "white", "edgecolor": BLACK, "lw": 0.8},
}

_WIDE, _LEFT, _RIGHT = 11.0, 1.05, 1.75  # inches: the picture, and the margins of the axes
_UPPER, _LOWER, _GAP = 2.5, 1.7, 0.18
_TOP, _FOOT, _LINE = 1.15, 0.62, 0.19
_MILLIONS = 2_000_000  # from this many clients on, they are counted in millions
_MAX_POINTS = 400  # more would be narrower than a line
_MAX_LEGEND = 20  # versions
_MAX_LETTERS = 150  # of a line in the list beneath
_MAX_LISTED = 36  # steps in the list beneath
_SHORT = timedelta(days=4)  # a shorter time is labelled with hours
_MAX_HOST = 60  # letters of a name
_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "certpin",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.4,
    "text.parse_math": False,  # a dollar in the name of a file is a dollar
}


def draw(host: HostSimulation, fleet: Fleet, kind: str) -> bytes:
    """Return a picture of a simulated host as PNG or SVG, without a creation date.

    Args:
        host: the simulated host.
        fleet: the simulated clients.
        kind: ``png`` or ``svg``.
    """
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure = _figure(host, fleet)
        out = io.BytesIO()
        creator = f"certpin, matplotlib {mpl.__version__}"
        metadata = {"Date": None, "Creator": creator} if kind == "svg" else {"Software": creator}
        figure.savefig(out, format=kind, dpi=150, metadata=metadata)
    return out.getvalue()


def _figure(host: HostSimulation, fleet: Fleet) -> Figure:
    from certpin.cli.rotate.simulate_views import condensed, unsafe_times

    listed = _listed(host)
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
    course = condensed(host.outcome.hours, _MAX_POINTS)
    course.append(replace(course[-1], at=host.end))
    _draw_lockouts(upper, host, course, unsafe_times(host, fleet.timing.adopt))
    _draw_versions(lower, host, course)
    _draw_steps(upper, lower, host)
    _write_title(figure, host, fleet, high)
    for at, line in enumerate(listed):
        column, row = divmod(at, rows)
        left = (0.3 + column * (_WIDE - 0.4) / columns) / _WIDE
        figure.text(left, (0.1 + (rows - row - 0.7) * _LINE) / high, line, size=8, va="center")
    return figure


def _draw_lockouts(
    axes: Axes, host: HostSimulation, course: list[Hour], zones: list[tuple[datetime, datetime]]
) -> None:
    times, out = [_day(hour.at) for hour in course], [hour.locked_out for hour in course]
    for begin, end in zones:
        axes.axvspan(_day(begin), _day(end), **_UNSAFE)
    axes.fill_between(times, out, step="post", color=VERMILLION, lw=0)
    # With a line around it, so that even a lockout as narrow as a pixel is visible.
    line = [count or math.nan for count in out]
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
            "no client is locked out",
            transform=axes.transAxes,
            ha="center",
            size=12,
            bbox=white,
        )
    handles = [Patch(facecolor=VERMILLION, label="locked out")] if any(out) else []
    if zones:
        handles.append(Patch(**_UNSAFE, label="unsafe: before a\nstep's safe date"))
    _add_legend(axes, handles)


def _draw_versions(axes: Axes, host: HostSimulation, course: list[Hour]) -> None:
    numbers = sorted({number for hour in host.outcome.hours for number in hour.held})
    shares = [
        [hour.held.get(number, 0) / host.outcome.clients for hour in course] for number in numbers
    ]
    bands = axes.stackplot([_day(hour.at) for hour in course], shares, step="post", lw=0)
    for at, band in enumerate(bands):
        band.set_facecolor(_VERSIONS[at % len(_VERSIONS)])
        band.set_hatch(_HATCHES[at // len(_VERSIONS) % len(_HATCHES)])
        band.set_edgecolor("white")
        band.set_label(f"version {numbers[at]}")
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("clients that\nhold a version")
    axes.set_xlim(_day(host.script.begin), _day(host.end))
    # Untyped in matplotlib itself.
    axes.xaxis.set_major_locator(AutoDateLocator(tz=UTC, minticks=4, maxticks=8))  # type: ignore[no-untyped-call]
    short = host.end - host.script.begin < _SHORT
    form = "%m-%d %H:%M" if short else "%Y-%m-%d"
    axes.xaxis.set_major_formatter(DateFormatter(form, tz=UTC))  # type: ignore[no-untyped-call]
    axes.set_xlabel("UTC")
    _add_legend(axes, list(reversed(bands))[:_MAX_LEGEND])


def _add_legend(axes: Axes, handles: list[Any]) -> None:
    """Add a legend beside the axes: in two columns and a smaller font if it has many entries.

    ``handles`` are the drawn objects that the legend explains.
    """
    many = len(handles) > _MAX_LEGEND // 2
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


def _draw_steps(upper: Axes, lower: Axes, host: HostSimulation) -> None:
    """Draw each step as a vertical line through both axes, with the step's number above it.

    ``host`` is the simulated host. ``upper`` and ``lower`` are the axes of the two diagrams.
    """
    from certpin.cli.rotate.simulate_views import grouped_labels

    begin, end = _day(host.script.begin), _day(host.end)
    places = [(_day(dated.at), dated.number) for dated in host.shown]
    for at, _ in places:
        for axes in (upper, lower):
            axes.axvline(at, color=BLACK, lw=0.9, ls=(0, (4, 2)))
    room = (end - begin) / (_WIDE - _LEFT - _RIGHT)  # days in an inch
    for at, label in grouped_labels(places, lambda text: (0.12 + 0.09 * len(text)) * room):
        upper.annotate(label, (at, 1.035), xycoords=("data", "axes fraction"), **_BADGE)


def _write_title(figure: Figure, host: HostSimulation, fleet: Fleet, high: float) -> None:
    from certpin.cli.rotate.simulate_views import share_text
    from certpin.rotation import format_duration

    outcome = host.outcome
    share = share_text(outcome.locked_out, outcome.clients)
    word = f"{outcome.locked_out:,} of {outcome.clients:,} clients are locked out ({share})"
    if not outcome.locked_out:
        word = f"None of {outcome.clients:,} clients is locked out"
    name = host.host if len(host.host) <= _MAX_HOST else f"{host.host[:_MAX_HOST]}…"
    adopt = format_duration(fleet.timing.adopt)
    how = f"{name}, simulated: every client has a published version within {adopt} (T_adopt)"
    left = 0.3 / _WIDE
    figure.text(left, 1 - 0.3 / high, word, size=13, weight="bold", va="center")
    figure.text(left, 1 - 0.56 / high, how, size=9, va="center", color="#444444")


def _listed(host: HostSimulation) -> list[str]:
    steps = host.shown
    if len(steps) > _MAX_LISTED:
        return [f"{len(steps)} steps that clients notice: see the table of the command"]
    return [_listing(host, dated) for dated in steps]


def _listing(host: HostSimulation, dated: DatedStep) -> str:
    from certpin.cli.rotate.simulate_views import short_time

    safety, lockout = host.safety(dated.number), host.lockout(dated.number)
    act = (
        "serve " + host.pin_name(dated.step.pin)
        if dated.step.act == "serve"
        else host.step_text(dated)
    )
    line = f"{dated.number}  {short_time(dated.at)}  {act}"
    if safety and lockout:
        safe = f"safe from {short_time(safety.guaranteed)}" if safety.guaranteed else "never safe"
        line = f"{line}: {safe}"
    return line if len(line) <= _MAX_LETTERS else f"{line[: _MAX_LETTERS - 1]}…"


def _columns(lines: list[str]) -> int:
    """Return the number of columns, 1 to 3, for the list of steps below the picture.

    ``lines`` has a line for each step.
    """
    if len(lines) <= 4:
        return 1
    return max(1, min(3, _MAX_LETTERS // max(map(len, lines))))


def _day(moment: datetime) -> float:
    """Return a time as matplotlib's date number, in days."""
    return float(date2num(moment))  # type: ignore[no-untyped-call]  # as above
