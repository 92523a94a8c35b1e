"""docs/start/: install.md, which-pin.md and do-you-need-pinning.md, followed by copy and paste."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from certpin.pinfile import PinSet
from certpin.pins import Pin
from tests import kit
from tests._wheels import ROOT
from tests.documentation._blocks import shell_script
from tests.documentation._played import Served
from tests.documentation._reader import follow, make_wheels, play

if TYPE_CHECKING:
    from pathlib import Path

HOST = "api.bank.example"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.peer("unshare", "ip")]


def test_a_reader_installs_both_packages_from_a_clone(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    script = f"""\
python3 -m venv environment
. environment/bin/activate
ln -s {ROOT}/packages packages
{shell_script("start/install.md")}
certpin serve --help > serve.txt
"""
    reader = follow(tmp_path, make_wheels(tmp_path / "wheels"), [], script)
    version, demo = reader.output.partition("{")[::2]
    assert "certpin, version " in version
    assert json.loads("{" + demo)["pinned_fooled"] == 0
    assert "Monitor" in (reader.folder / "serve.txt").read_text(encoding="utf-8")


def test_an_authority_is_pinned(tmp_path: Path) -> None:
    script = shell_script("start/which-pin.md")
    variables = {"SECOND_CA_PIN": str(kit.NOBODY)}
    reader = play(tmp_path, [Served((HOST,))], script, environment=variables)
    (policy,) = PinSet.load(reader.folder / "pins.toml").policies
    assert policy.match == "ca"
    assert [each.pin for each in policy.pins][1] == Pin.parse(str(kit.NOBODY))
    assert "Issuing authority" in reader.output


def test_a_trial_refuses_nothing(tmp_path: Path) -> None:
    script = shell_script("start/do-you-need-pinning.md")
    reader = play(tmp_path, [Served((HOST,))], script)
    (policy,) = PinSet.load(reader.folder / "pins.toml").policies
    assert policy.mode == "report"
