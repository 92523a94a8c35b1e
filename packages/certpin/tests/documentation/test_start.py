"""docs/start/: install.md, which-pin.md and do-you-need-pinning.md, followed by copy and paste."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from certpin.pinfile import PinSet
from certpin.pinfile.editor import PinFileEditor
from certpin.pins import HostPattern, HostPolicy
from certpin.providers import load_providers, root_pins
from tests._wheels import ROOT
from tests.documentation._blocks import shell_script
from tests.documentation._played import Served
from tests.documentation._reader import follow, play, prepare

if TYPE_CHECKING:
    from pathlib import Path

HOST = "api.bank.example"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.peer("unshare", "ip")]


def test_a_reader_installs_both_packages_from_a_clone(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    script = f"""\
python3 -m venv environment
. environment/bin/activate
ln -s {ROOT}/packages packages
{shell_script("start/install.md")}
certpin serve --help > serve.txt
"""
    reader = follow(tmp_path, prepare(tmp_path_factory), [], script)
    version, demo = reader.output.partition("{")[::2]
    assert "certpin, version " in version
    assert json.loads("{" + demo)["pinned_fooled"] == 0
    assert "Monitor" in (reader.folder / "serve.txt").read_text(encoding="utf-8")


def test_the_chain_is_shown(tmp_path: Path) -> None:
    reader = play(tmp_path, [Served((HOST,))], shell_script("start/which-pin.md"))
    assert "Issuing authority" in reader.output


def test_the_providers_are_listed_and_compared(tmp_path: Path) -> None:
    roots = root_pins([load_providers().providers["amazon"]], load_providers().edition)
    editor = PinFileEditor.new(tmp_path / "pins.toml", "bank", version=1)
    editor.add_host(HostPolicy(HostPattern.parse(HOST), roots, match="ca"))
    script = shell_script("guides/providers.md")
    reader = play(tmp_path, [], script, files={"pins.toml": editor.text})
    assert "cloudflare: Cloudflare, last change" in reader.output
    (policy,) = PinSet.load(reader.folder / "pins.toml").policies
    assert policy.provider_edition == load_providers().edition


def test_a_trial_refuses_nothing(tmp_path: Path) -> None:
    script = shell_script("start/do-you-need-pinning.md")
    reader = play(tmp_path, [Served((HOST,))], script)
    (policy,) = PinSet.load(reader.folder / "pins.toml").policies
    assert policy.mode == "report"
