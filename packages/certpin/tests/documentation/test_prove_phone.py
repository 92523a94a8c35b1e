"""docs/guides/prove-phone.md: its lab starts, and its configuration for Android keeps the pins."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from certpin.cli.lab.serve import serve
from certpin.lab import Authority
from tests.documentation._blocks import blocks
from tests.documentation._scripts import run_with_hosts

if TYPE_CHECKING:
    from pathlib import Path

    import click

pytestmark = pytest.mark.timeout(300)

BLOCKS = blocks("guides/prove-phone.md")
COMMANDS = [block.text.strip() for block in BLOCKS if block.language == "sh"]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_are_valid(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pins.toml").touch()
    words = shlex.split(command)
    assert words[:3] == ["certpin", "lab", "serve"]
    context: click.Context = serve.make_context("serve", words[3:])
    assert context.params["hosts"] == ["api.bank.example"]


@pytest.mark.slow
@pytest.mark.peer("unshare", "ip", "curl")
def test_the_lab_relays_to_the_real_server_and_then_attacks(tmp_path: Path) -> None:
    """curl takes the place of a phone, with the real server's pin and the lab's root R2 as trusted.

    The lab's proxy first relays to the real server, then presents a rogue chain. curl refuses it.
    """
    root = Authority("Trusted Root")
    server = root.intermediate("Intermediate").issue("api.bank.example")
    key = str(server.pin).replace("sha256/", "sha256//")
    url = "https://api.bank.example/"
    script = f"""
    certpin add api.bank.example --match leaf --backup-key api.key
    ({COMMANDS[0]} --port 8080 --folder lab --case rogue-ca-in-store > lab.txt) &
    proxy=http://192.168.1.23:8080
    for i in $(seq 50); do
      curl -sS -x $proxy http://certpin.lab/roots.pem -o r2.pem && break; sleep 0.2
    done
    cat r2.pem .servers/trusted-roots.pem > device.pem
    for i in $(seq 10); do
      curl -sS -x $proxy --cacert device.pem --pinnedpubkey '{key}' {url} || true
    done
    wait $!
    """
    served = {"api.bank.example": server}
    done = run_with_hosts(script, tmp_path, root, served, address="192.168.1.23")
    lab = (tmp_path / "lab.txt").read_text("utf-8")
    assert done.returncode == 0, lab + done.stderr
    assert "rogue-ca-in-store  REJECT" in lab
    assert "proxy at 192.168.1.23:8080" in lab


def test_the_configuration_for_android_trusts_the_lab_without_overriding_the_pins() -> None:
    """In ``debug-overrides``, ``overridePins`` is true by default, and the pins have no effect."""
    [block] = [block for block in BLOCKS if block.language == "xml"]
    [debug] = ET.fromstring(block.text)
    assert debug.tag == "debug-overrides"
    [[certificates]] = debug
    assert certificates.attrib == {"src": "user", "overridePins": "false"}
