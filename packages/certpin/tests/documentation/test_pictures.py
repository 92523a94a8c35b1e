"""The pictures of the README: their scripts run, and show commands and results that are real."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import click
import pytest

from certpin.cli.main import cli
from scripts import recording, report_picture
from scripts.private_network import in_private_network
from scripts.terminal_picture import Line, draw
from tests.documentation._blocks import FEW, ROOT
from tests.documentation._reader import require_network

if TYPE_CHECKING:
    from pathlib import Path

STEPS = (*recording.HONEST, *recording.ATTACKED, *recording.PROOF)
REFUSED = "api.bank.example refused: no certificate of its verified chain is pinned"


def _rows(svg: str) -> list[str]:
    """Return the text of each line of a terminal's picture."""
    found = ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}g")
    return [" ".join("".join(each.itertext()).split()) for each in found]


def _commands(rows: list[str]) -> list[str]:
    return [row.removeprefix("$").strip() for row in rows if row.startswith("$")]


@pytest.mark.parametrize("command_text", sorted({step.command for step in STEPS}))
def test_each_recorded_command_exists(command_text: str) -> None:
    words = shlex.split(command_text)
    if words[0] != "certpin":
        assert words[0] == "curl"
        return
    command = cli.get_command(click.Context(cli), words[1])
    assert command is not None
    options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    used = words[2 : words.index("--") if "--" in words else None]
    assert [word for word in used if word.startswith("-") and word not in options] == []


def test_the_picture_of_the_readme_shows_the_commands_of_the_script() -> None:
    rows = _rows(recording.TARGET.read_text(encoding="utf-8"))
    assert _commands(rows) == [step.command for step in STEPS]
    _require_results(rows)
    for picture in (recording.TARGET, report_picture.TARGET):
        path = picture.relative_to(ROOT).as_posix()
        assert f"({path})" in (ROOT / "README.md").read_text(encoding="utf-8")
        assert picture.stat().st_size < 150_000


def _require_results(rows: list[str]) -> None:
    text = "\n".join(rows)
    assert text.count("your balance is 1,234.56") == 2  # certpin get, and curl under attack
    assert text.count(REFUSED) == 1
    assert re.search(r"None of the \d+ attacks got through", text)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.peer("unshare", "ip", "curl")
def test_the_recording_can_be_made_again() -> None:
    require_network()
    words = [*in_private_network(recording.HOST), sys.executable, "-m", "scripts.recording"]
    done = subprocess.run(
        [*words, "--inside", *FEW.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = _rows(done.stdout)
    assert _commands(rows) == [step.command for step in STEPS]
    _require_results(rows)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.peer("chromium-headless-shell")
def test_the_report_can_be_photographed_again(tmp_path: Path) -> None:
    picture = tmp_path / "report.png"
    report = report_picture.write_report(
        tmp_path, "--case", "rogue-ca-in-store", "--case", "same-ca-new-key"
    )
    assert "attacks got through" in report.read_text(encoding="utf-8")
    report_picture.photograph(report, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_line_that_is_longer_than_the_terminal_is_wrapped() -> None:
    picture = draw([Line(0.0, "\x1b[1mab\x1b[0mcd"), Line(1.0, "")], 3, "title")
    assert _rows(picture) == ["abc", "d", ""]


def test_a_picture_keeps_colours_and_columns() -> None:
    picture = draw([Line(0.0, "  \x1b[32mgo\x1b[0m <&>")], 20, "title")
    namespace = "{http://www.w3.org/2000/svg}"
    (row,) = ET.fromstring(picture).iter(f"{namespace}g")
    found = {each.text: each.attrib for each in row}
    assert found["go"]["fill"] != found.get(" <&>", {}).get("fill")
    assert float(found[" <&>"]["x"]) - float(found["go"]["x"]) == pytest.approx(2 * 8.4, abs=0.1)
