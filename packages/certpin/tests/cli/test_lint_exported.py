"""``certpin lint --exported FILE``: reports where a file differs from a new export of the pins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli._pinfiles import write
from tests.formats._sets import KEYS
from tests.kit import policy

if TYPE_CHECKING:
    from tests.cli.conftest import Run

HOST, OTHER = "api.bank.example", "pay.bank.example"


@pytest.fixture(autouse=True)
def _exported(run: Run) -> None:
    write(policy(HOST, *KEYS[:2], match="leaf"), policy(OTHER, *KEYS[2:4], match="leaf"))
    run("export", "json", "--out", "pins.json")
    run("export", "curl", "--out", "curl", "--host", HOST)


def drifts(run: Run, exported: str) -> list[str]:
    """Return the messages of the findings of the rule ``drift`` for an exported file."""
    found = run("lint", "--exported", exported, "--json").json
    return [finding["message"] for finding in found["findings"] if finding["rule"] == "drift"]


@pytest.mark.parametrize("exported", ["json=pins.json", "curl=curl/curl-pins.conf", "curl=curl"])
def test_a_new_export_has_no_difference(run: Run, exported: str) -> None:
    assert drifts(run, exported) == []


def test_every_difference_is_described(run: Run) -> None:
    write(policy(HOST, KEYS[0], KEYS[5], mode="report"), policy("new.example", *KEYS[2:4]))
    text = Path("pins.toml").read_text().replace("version = 3", "version = 4")
    Path("pins.toml").write_text(text)
    where = r"pins.json \(json\) differs from the pin file: "
    expected = [
        "it has version 3, and the pin file has version 4",
        "new.example is missing",
        f"{OTHER} is not in the pin file, or can't be exported",
        f"{HOST}: {re.escape(str(KEYS[5]))} is missing",
        f"{HOST}: {re.escape(str(KEYS[1]))} is not in the pin file, or is no longer accepted",
        f"{HOST}: mode differs",
        f"{HOST}: match differs",
    ]
    found = drifts(run, "json=pins.json")
    assert len(found) == len(expected)
    assert all(map(re.fullmatch, [where + difference for difference in expected], found))


@pytest.mark.parametrize("exported", ["json=missing", "json=pins.toml", "curl=pins.json"])
def test_an_unreadable_export_is_a_finding(run: Run, exported: str) -> None:
    [message] = drifts(run, exported)
    assert "cannot be compared" in message


@pytest.mark.parametrize("exported", ["nothing", "nothing=x", "json="])
def test_an_invalid_option_is_reported(run: Run, exported: str) -> None:
    assert run("lint", "--exported", exported).code == 2
