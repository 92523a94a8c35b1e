"""The screen of ``certpin lab serve`` has a QR code only if a phone can reach its address."""

from __future__ import annotations

from typing import Any

import pytest

from certpin.cli.lab import screen
from certpin.cli.lab.screen import TableScreen

_OWN = "192.0.2.17"


class _Lab:
    """Replacement for a running lab, with only what the start screen reads."""

    def __init__(self, address: str) -> None:
        self.address = address

    def peer_configuration(self, address: str) -> str:
        return f"[Peer]\nEndpoint = {address}:51820\n"


def _printed(address: str, capsys: pytest.CaptureFixture[str]) -> str:
    lab: Any = _Lab(address)
    TableScreen(lab)._print_tunnel()
    return capsys.readouterr().out


@pytest.mark.parametrize("address", [_OWN, "2001:db8::7", "0.0.0.0", "::"])
def test_a_phone_that_reaches_the_lab_gets_a_qr_code(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(screen, "own_address", lambda: _OWN)
    out = _printed(address, capsys)
    assert "Scan this with the WireGuard app" in out
    assert "\N{FULL BLOCK}" in out


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_local_lab_shows_no_qr_code_and_names_the_option(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(screen, "own_address", lambda: _OWN)
    out = _printed(address, capsys)
    assert "\N{FULL BLOCK}" not in out
    assert f"no phone can reach {address}" in out
    assert f"--listen {_OWN}" in out


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_without_a_network_the_guide_explains_how_to_get_one(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(screen, "own_address", lambda: "")
    out = _printed(address, capsys)
    assert "\N{FULL BLOCK}" not in out
    assert "Connect this machine to the network of the phone" in out
    assert "--listen ADDRESS" in out
