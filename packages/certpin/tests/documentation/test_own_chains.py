"""docs/guides/own-chains.md: its case file, with curl and from Python, and the exported chains."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.documentation._blocks import blocks, shell_script
from tests.documentation._scripts import run
from tests.lab._clients import request, trusting
from tests.lab.own._own import HOST, ROOT, SERVER

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab.target import Target

BLOCKS = {block.language: block.text for block in reversed(blocks("guides/own-chains.md"))}


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the case file of the page, and the files that it names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cases.toml").write_text(BLOCKS["toml"], encoding="utf-8")
    for name, certificate in zip(("server", "intermediate"), SERVER.chain, strict=True):
        (tmp_path / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "server.key").write_bytes(SERVER.key_pem)
    (tmp_path / "root.pem").write_bytes(ROOT.pem)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.peer("curl", "faketime")
def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    done = run(shell_script("guides/own-chains.md"), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The one attack did not get through." in done.stdout
    assert "could not be run" not in done.stdout
    assert json.loads((tmp_path / "attacks/index.json").read_text("utf-8"))["cases"]


def fetch(target: Target) -> str:
    return request(target, trusting(target))


def fetch_from_others(target: Target) -> str:
    """Act as a client that refuses the host of ``cases.toml`` and connects to every other host."""
    if target.host == HOST:
        raise ConnectionError(target.host)
    return fetch(target)


def test_the_program_of_the_page_finds_a_client_that_refuses() -> None:
    names: dict[str, Any] = {"fetch": fetch}
    exec(BLOCKS["python"], names)
    assert [result.case.name for result in names["run"].results][1:-1] == ["renewed", "expired"]
    with pytest.raises(AssertionError):
        exec(BLOCKS["python"], {"fetch": fetch_from_others})
