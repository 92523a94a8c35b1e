"""The README: a reader in a clone installs certpin, and follows all three ways."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.documentation._blocks import ROOT, blocks, shell_script, with_few_cases
from tests.documentation._played import Served
from tests.documentation._reader import follow, prepare

if TYPE_CHECKING:
    from pathlib import Path

HOST = "api.bank.example"


def test_it_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) < 800


def test_the_readme_for_pypi_shows_the_same_client() -> None:
    (client,) = (each.text for each in blocks("README.md") if each.language == "python")
    text = (ROOT / "packages/certpin/README.md").read_text(encoding="utf-8")
    assert client in text


def test_its_client_is_the_one_that_five_minutes_attacks_with_all_cases() -> None:
    ours, theirs = (
        [re.sub(r"(?m) +#.*$", "", each.text) for each in blocks(page) if each.language == "python"]
        for page in ("README.md", "start/five-minutes.md")
    )
    assert ours == theirs


def test_each_named_extra_exists() -> None:
    text = (ROOT / "packages/certpin/pyproject.toml").read_text(encoding="utf-8")
    extras = set(tomllib.loads(text)["project"]["optional-dependencies"])
    for page in ("README.md", "packages/certpin/README.md", "docs/start/install.md"):
        named = re.findall(r"certpin\[([\w,]+)\]", (ROOT / page).read_text(encoding="utf-8"))
        assert named
        assert {extra for each in named for extra in each.split(",")} <= extras


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.peer("unshare", "ip")
def test_its_commands_work_in_a_clone(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine = prepare(tmp_path_factory)
    (client,) = (each.text for each in blocks("README.md") if each.language == "python")
    script = f"""\
python3 -m venv environment
. environment/bin/activate
ln -s {ROOT}/packages packages
{with_few_cases(shell_script("README.md"))}
CERTPIN_PINS=pins.toml python client.py https://{HOST}/
"""
    reader = follow(tmp_path, machine, [Served((HOST,))], script, client=client)
    assert reader.output.splitlines()[-1] == "200"
    assert "None of the 2 attacks got through" in reader.output
    for name in ("report.html", "lib/pinning", "app/src/main/res/xml", "Info.pins.plist"):
        assert (reader.folder / name).exists()
