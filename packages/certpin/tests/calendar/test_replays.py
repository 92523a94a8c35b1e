"""Eight known lock-outs: what ``certpin calendar`` and ``certpin lint`` would have reported before.

Each file in ``replays`` has the pins as they were, and announcements of that time. The data about
roots are those that certpin ships. Nothing that was published on the day or later is used.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import tomli

from certpin.calendar import list_events
from certpin.lint import lint, read_document
from certpin.pinfile import PinSet
from certpin.pins import HostPattern, HostPin, HostPolicy
from certpin.roots import load_data
from certpin.roots.records import read_announcement
from tests.lint import _examples

if TYPE_CHECKING:
    from certpin.calendar import CalendarEvent
    from certpin.roots import RootData

ROOT = Path(__file__).parents[4]
DAY = timedelta(days=1)
FOLDER = Path(__file__).with_name("replays")
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))
LEAST_DAYS = 30


@dataclass(frozen=True)
class Replay:
    """One known lock-out: its file in ``replays``, and the root data that existed before its day.

    Attributes:
        table: the parsed file: the day, the pin file, and the expected event.
        data: the root data.
    """

    table: dict[str, Any]
    data: RootData

    @property
    def day(self) -> date:
        day: date = self.table["day"]
        return day

    @property
    def listed_from(self) -> date:
        """The first day on which both the pin file and the announcement of the event existed."""
        day: date = max(self.table["expect"]["published"], self.table["pin_file"]["written"])
        return day

    def events(self, today: date, folder: Path) -> tuple[CalendarEvent, ...]:
        now = datetime.combine(today, time(12), UTC)
        return list_events(self.pins(folder), {}, self.data, now)

    def pins(self, folder: Path) -> PinSet:
        pin_file = self.table["pin_file"]
        if trust := pin_file.get("trust"):
            end = datetime.combine(trust["not_after"], time(17), UTC)
            made = _examples.make("Amazon RDS Root 2019 CA", end - 1826 * DAY, end)
            pem = ssl.DER_cert_to_PEM_cert(made.certificate.der)
            (folder / trust["file"]).write_text(pem)
        return PinSet.parse(pin_file["text"], path=folder / "pins.toml")

    def expected(self, today: date, folder: Path) -> list[CalendarEvent]:
        """Return the calendar's events on the day ``today`` that have the expected kind and date.

        ``folder`` is where the pin file's trust anchors are written.
        """
        wanted = self.table["expect"]
        return [
            each
            for each in self.events(today, folder)
            if (each.kind, each.day) == (wanted["kind"], wanted["date"])
        ]


@cache
def replay(name: str) -> Replay:
    table = tomli.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    shipped = load_data()
    added = tuple(map(read_announcement, table.get("announcement", ())))
    return Replay(table, replace(shipped, announcements=shipped.announcements + added))


FORETOLD = [name for name in NAMES if replay(name).table["foretold"]]
UNFORETOLD = [name for name in NAMES if name not in FORETOLD]


def test_there_are_eight_replays_with_sources() -> None:
    assert len(NAMES) == 8
    for name in NAMES:
        table = replay(name).table
        assert all(source.startswith("https://") for source in table["sources"])
        assert table["pin_file"]["written"] < table["day"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_day_or_later_is_used(name: str, tmp_path: Path) -> None:
    run = replay(name)
    for table in run.table.get("announcement", ()):
        assert table["published"] < run.day
        assert table["source"].startswith("https://")
    for today in (run.table["pin_file"]["written"], run.day - DAY):
        for event in run.events(today, tmp_path):
            assert event.published is None or event.published <= today
            assert event.source or event.published is None


@pytest.mark.parametrize("year", range(2014, 2031))
def test_no_year_knows_a_later_publication(year: int) -> None:
    """For all public roots: the calendar of a day uses no announcement from after that day."""
    # TrustKit's documentation has the pin of a real root, which no pin file may contain.
    roots = [pin for pin in load_data().roots if not pin.is_placeholder]
    pins = tuple(HostPin(pin, "root") for pin in roots)
    policy = HostPolicy(HostPattern.parse("api.example.com"), pins, match="ca")
    for day in (date(year, 1, 1), date(year, 6, 15)):
        now = datetime.combine(day, time(12), UTC)
        events = list_events(PinSet("all", 1, (policy,)), {}, load_data(), now)
        published = [each.published for each in events if each.published]
        assert all(each <= day for each in published)
        assert bool(published) == (day >= date(2014, 3, 10))  # the first release of certifi


@pytest.mark.medium
@pytest.mark.parametrize("name", FORETOLD)
def test_an_announced_event_is_listed_from_its_announcement_on(name: str, tmp_path: Path) -> None:
    run = replay(name)
    begin, end = run.listed_from, run.day - DAY
    days = [*(begin + number * 7 * DAY for number in range((end - begin).days // 7 + 1)), end]
    for today in days:
        assert run.expected(today, tmp_path), f"not listed on {today}"
    assert (run.day - begin).days >= LEAST_DAYS
    published = run.table["expect"]["published"]
    assert not run.expected(published - DAY, tmp_path)


@pytest.mark.parametrize("name", FORETOLD)
def test_the_listed_event_has_the_source_of_its_publication(name: str, tmp_path: Path) -> None:
    run = replay(name)
    for event in run.expected(run.day - DAY, tmp_path):
        assert event.published == run.table["expect"]["published"]
        assert event.source


@pytest.mark.parametrize("name", UNFORETOLD)
def test_what_was_not_announced_is_not_listed(name: str, tmp_path: Path) -> None:
    """The guide states that the calendar can't list such lock-outs before they happen."""
    run = replay(name)
    near = [
        each
        for each in run.events(run.day - DAY, tmp_path)
        if each.day is not None and abs(each.day - run.day) < LEAST_DAYS * DAY
    ]
    assert near == []


STRUCTURES = [name for name in UNFORETOLD if "structure" in replay(name).table]


@pytest.mark.parametrize("name", STRUCTURES)
def test_lint_refuses_the_structure_on_the_day_of_writing(name: str, tmp_path: Path) -> None:
    assert "error" in _findings(name, tmp_path).values()


def _findings(name: str, folder: Path) -> dict[str, str]:
    """Return lint's findings on the day on which the pin file was written: severity by rule."""
    run = replay(name)
    pin_file = run.table["pin_file"]
    document = read_document(pin_file["text"], folder / "pins.toml")
    now = datetime.combine(pin_file["written"], time(12), UTC)
    return {each.rule: each.severity for each in lint(document, now).findings}


def test_the_trust_file_of_rds_is_listed_since_it_was_written(tmp_path: Path) -> None:
    run = replay("rds-2019")
    anchors = [each for each in run.events(date(2020, 3, 5), tmp_path) if each.kind == "anchor"]
    assert [each.day for each in anchors] == [run.day]


def test_the_removal_of_duos_roots_was_listed_three_years_before(tmp_path: Path) -> None:
    roots = [
        each for each in replay("duo").events(date(2024, 1, 1), tmp_path) if each.kind == "root"
    ]
    removed = {each.text.partition(" leaves")[0] for each in roots if each.day == date(2026, 4, 15)}
    assert len(removed) == 3


def test_the_guide_shows_the_days_of_each_replay() -> None:
    page = (ROOT / "docs/guides/calendar.md").read_text(encoding="utf-8")
    rows = {line.split(" | ")[0].strip("| "): line for line in page.splitlines() if line[:1] == "|"}
    for name in NAMES:
        run = replay(name)
        row = rows[run.table["event"]]
        assert f"{run.day}" in row
        if run.table["foretold"]:
            assert f"{(run.day - run.listed_from).days} days" in row
        elif "structure" in run.table:
            assert f"{(run.day - run.table['pin_file']['written']).days} days" in row
        else:
            assert "not foretold" in row
