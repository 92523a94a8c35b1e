"""The guide about the calendar: its commands run, with the pin file of a user.

Also: jobs that a page or an example recommends don't fail for healthy certificates.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests import kit
from tests.cli._pinfiles import write
from tests.documentation import _scripts
from tests.documentation._blocks import ROOT, shell_script

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.medium
def test_the_commands_of_the_calendar_guide_run(tmp_path: Path) -> None:
    write(kit.policy("api.bank.example"), path=str(tmp_path / "pins.toml"))
    done = _scripts.run(shell_script("guides/calendar.md"), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "pins.ics").read_bytes().startswith(b"BEGIN:VCALENDAR\r\n")


def test_daily_jobs_do_not_fail_for_healthy_certificates_of_47_days() -> None:
    """A client renews when a third of the lifetime is left: a job must not fail before that day."""
    texts = [
        file.read_text("utf-8")
        for folder in ("docs", "examples", "packages/certpin/man")
        for file in sorted((ROOT / folder).rglob("*"))
        if file.suffix in {".md", ".yml", ".1"} and "decisions" not in file.parts
    ]
    # groff writes a hyphen as \\-
    lines = [line.replace("\\-", "-") for text in texts for line in text.splitlines()]
    commands = [
        found
        for line in lines
        for found in re.findall(r"certpin (?:check|calendar)\b[^`\n]*--days (?:\d+)", line)
    ]
    days = [int(each.split()[-1]) for each in commands if "--offline" not in each]
    assert len(days) >= 7
    assert max(days) < 47 / 3
