"""The plot of ``certpin rotate simulate``: reproducible, and without overlapping text."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from certpin.cli.rotate.simulate_plot import _SETTINGS, _figure, draw
from certpin.cli.rotate.simulate_views import (
    HostSimulation,
    condensed,
    grouped_labels,
    unsafe_times,
)
from certpin.rotation import AdoptionDelays, Step, plan
from certpin.rotation.fleet import Fleet
from certpin.rotation.simulate import Hour, simulate
from certpin.rotation.simulate_script import DatedStep, build_script, dated_steps, moved_steps
from scripts import simulation_picture
from tests.bench.simulation import a_year
from tests.cli._simulating import FEW, NEXT, publish
from tests.rotation._situations import DAY, HOUR, NOW, TIMING, bundled, pin, sighting, version
from tests.rotation._situations import situation as known

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from certpin.rotation import Situation
    from tests.cli.conftest import Run

FLEET = Fleet(3000, TIMING)


def situation() -> Situation:
    out = version(1, {"served": "active", "spare": "published"}, ago=90 * DAY)
    return known(out.pins, out, seen=(sighting("served"),))


def of_plan(fleet: Fleet = FLEET, host: str = "api.bank.example", **moves: int) -> HostSimulation:
    """Return the simulation of the plan to the next key, for a host and its clients.

    ``moves`` moves steps of the plan by a number of days, as in ``step4=-5``.
    """
    steps = dated_steps(plan(situation(), pin("next")).steps, NOW)
    by = {int(number.removeprefix("step")): days * DAY for number, days in moves.items()}
    script = build_script(situation(), moved_steps(steps, by))
    return HostSimulation(host, script, simulate(script, fleet), {pin("next"): "$c.key$_{x}"})


def of_a_binary() -> HostSimulation:
    old = bundled(1, {"served": "active", "spare": "published"}, ago=90 * DAY)
    new = version(2, {"served": "active", "spare": "published"}, ago=80 * DAY)
    steps = [DatedStep(1, Step("stage", pin("next")), NOW), DatedStep(2, Step("publish"), NOW)]
    steps.append(DatedStep(3, Step("serve", pin("next")), NOW + 20 * DAY))
    script = build_script(known(new.pins, old, new, seen=(sighting("served"),)), steps)
    fleet = Fleet(3000, TIMING, binaries=((1, FLEET.stragglers * 20),))
    return HostSimulation("api.bank.example", script, simulate(script, fleet), {})


def of_a_year() -> HostSimulation:
    script = a_year()
    return HostSimulation("api.bank.example", script, simulate(script, FLEET), {})


SCENES = {
    "an early step": lambda: of_plan(step4=-5),
    "the plan": of_plan,
    "the old key goes first": lambda: of_plan(step6=-9, step7=-9),
    "a late publishing": lambda: of_plan(step2=3),
    "many clients": lambda: of_plan(Fleet(1_500_000, TIMING), step4=-5),
    "a long name": lambda: of_plan(host="x" * 60 + "." + "y" * 60 + ".bank.example", step4=-1),
    "a binary that is never updated": of_a_binary,
    "a year": of_a_year,
}


def figure(case: HostSimulation) -> Figure:
    with mpl.rc_context(_SETTINGS):
        made = _figure(case, FLEET)
        made.canvas.draw()
    return made


def texts(made: Figure) -> list[Text]:
    """Return all visible text of a plot. Tick labels outside their axes are not drawn."""
    found: list[Text] = []
    for text in made.findobj(Text):
        assert isinstance(text, Text)
        if text.get_text() and text.get_visible() and _drawn(made, text):
            found.append(text)
    return found


def _drawn(made: Figure, text: Text) -> bool:
    for axes in made.axes:
        low, high = sorted(axes.get_xlim())
        if text in axes.xaxis.get_ticklabels():
            return low <= text.get_position()[0] <= high and bool(axes is made.axes[0])
        low, high = sorted(axes.get_ylim())
        if text in axes.yaxis.get_ticklabels():
            return low <= text.get_position()[1] <= high
    return True


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(scene, marks=pytest.mark.slow) if at else scene
        for at, scene in enumerate(SCENES)
    ],
)
def test_no_text_overlaps_or_leaves_the_picture(scene: str) -> None:
    made = figure(SCENES[scene]())
    assert isinstance(made.canvas, FigureCanvasAgg)
    renderer = made.canvas.get_renderer()  # type: ignore[no-untyped-call]  # so in matplotlib
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts(made)]
    assert len(boxes) > 15
    for text, box in boxes:
        assert made.bbox.x0 <= box.x0 < box.x1 <= made.bbox.x1, text
        assert made.bbox.y0 <= box.y0 < box.y1 <= made.bbox.y1, text
    for (one, box), (other, beside) in itertools.combinations(boxes, 2):
        apart = box.x1 <= beside.x0 or beside.x1 <= box.x0 or box.y1 <= beside.y0
        assert apart or beside.y1 <= box.y0, f"{one!r} covers {other!r}"


@pytest.mark.slow
def test_the_picture_has_the_result() -> None:
    said = "\n".join(text.get_text() for text in texts(figure(of_plan(step4=-5))))
    case = of_plan(step4=-5)
    assert f"{case.outcome.locked_out:,} of 3,000 clients are locked out (" in said
    assert "api.bank.example, simulated: " in said
    assert "4  2027-03-06 12:00  serve $c.key$_{x}: safe from 2027-03-11 12:00" in said
    assert "clients locked out" in said
    assert "version 3" in said
    assert "no client is locked out" in "".join(t.get_text() for t in texts(figure(of_plan())))
    many = figure(of_plan(Fleet(3_000_000, TIMING), step6=-9, step7=-9))
    assert many.axes[1].get_ylabel() == "millions of clients locked out"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_same_simulation_makes_the_same_picture(kind: str) -> None:
    case = of_plan(step4=-5)
    assert draw(case, FLEET, kind) == draw(case, FLEET, kind)


@pytest.mark.medium
def test_a_picture_has_no_date_of_creation() -> None:
    svg = draw(of_plan(step4=-5), FLEET, "svg")
    assert b"dc:date" not in svg
    assert ET.fromstring(svg).tag.endswith("svg")


@pytest.mark.slow
def test_names_with_any_letters_are_drawn() -> None:
    case = of_plan(host="xn--bcher-kva.example", step4=-5)
    names = {pin("next"): "鍵 -- <&> $\\frac$.key\x1b"}
    svg = draw(HostSimulation(case.host, case.script, case.outcome, names), FLEET, "svg")
    assert ET.fromstring(svg).tag.endswith("svg")


def test_the_unsafe_zone_ends_with_the_safe_date() -> None:
    assert unsafe_times(of_plan(), TIMING.adopt) == [(NOW, NOW + 10 * DAY)]
    assert unsafe_times(of_plan(step4=-5), TIMING.adopt) == [(NOW, NOW + 10 * DAY)]
    # The publishing without the old key, and the key that is served, one after the other.
    early = unsafe_times(of_plan(step6=-9, step7=-9), TIMING.adopt)
    assert early == [(NOW, NOW + 10 * DAY)]
    case = of_a_binary()
    assert unsafe_times(case, TIMING.adopt) == [(NOW + 20 * DAY, case.end)]


def test_a_condensed_course_keeps_its_highest_moment() -> None:
    hours = [Hour(NOW + at * HOUR, 5 if at == 7 else at % 2, {1: at}) for at in range(10)]
    assert condensed(hours, 10) == hours
    short = condensed(hours, 4)
    assert [hour.locked_out for hour in short] == [1, 1, 5, 1]
    assert [hour.held[1] for hour in short] == [0, 3, 6, 9]


def test_labels_that_would_touch_are_merged() -> None:
    places = [(0.0, 2), (0.5, 3), (9.0, 7), (9.5, 8), (9.9, 9), (30.0, 1)]
    assert grouped_labels(places, lambda text: len(text) + 1) == [
        (0.0, "2,3"),
        (9.0, "7-9"),
        (30.0, "1"),
    ]


@pytest.mark.medium
def test_the_picture_of_the_documentation_is_current() -> None:
    """With the same matplotlib the files are equal. Another version may draw letters otherwise."""
    there, now = simulation_picture.TARGET.read_text("utf-8"), simulation_picture.text().decode()
    maker = f"matplotlib {mpl.__version__}"
    if f"{maker}<" in there:
        assert there == now, "make picture"
    words = re.compile("<!-- (.*) -->")
    assert sorted(words.findall(there)) == sorted(words.findall(now)), "make picture"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "begin"), [("p.svg", b"<?xml"), ("p.PNG", b"\x89PNG")])
def test_the_command_writes_the_picture_and_replaces_an_old_one(
    run: Run, name: str, begin: bytes
) -> None:
    publish(run)
    Path(name).write_bytes(b"old")
    done = run("rotate", "simulate", *FEW, "--to", str(NEXT), "--plot", name)
    assert (done.code, f"Drawn: {name}" in done.out) == (0, True)
    assert Path(name).read_bytes().startswith(begin)
    facts = run("rotate", "simulate", *FEW, "--to", str(NEXT), "--plot", name, "--json").json
    assert facts["picture"] == name


@pytest.mark.parametrize("name", ["picture.pdf", "picture", "no-such-folder/picture.svg"])
def test_an_unwritable_picture_is_refused_before_the_run(run: Run, name: str) -> None:
    publish(run)
    done = run("rotate", "simulate", *FEW, "--to", str(NEXT), "--plot", name)
    assert (done.code, done.out) == (2, "")


@pytest.mark.slow
def test_a_short_simulation_is_labelled_with_hours() -> None:
    none = timedelta(0)
    quick = AdoptionDelays(cdn=none, cache=none, poll=HOUR, opened=5 * HOUR, skew=none)
    out = version(1, {"served": "active", "spare": "published"}, ago=90 * DAY)
    now = known(out.pins, out, seen=(sighting("served"),), timing=quick)
    script = build_script(now, [DatedStep(1, Step("publish"), NOW)])
    made = figure(
        HostSimulation("api.bank.example", script, simulate(script, Fleet(50, quick)), {})
    )
    labels = [ticklabel.get_text() for ticklabel in made.axes[0].xaxis.get_ticklabels()]
    assert any(re.fullmatch(r"03-0\d \d\d:00", label) for label in labels)
