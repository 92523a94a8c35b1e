"""The guide about the calendar: its commands run, with the pin file of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import kit
from tests.cli._pinfiles import write
from tests.documentation import _scripts
from tests.documentation._blocks import shell_script

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.medium
def test_the_commands_of_the_calendar_guide_run(tmp_path: Path) -> None:
    write(kit.policy("api.bank.example"), path=str(tmp_path / "pins.toml"))
    done = _scripts.run(shell_script("guides/calendar.md"), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "pins.ics").read_bytes().startswith(b"BEGIN:VCALENDAR\r\n")
