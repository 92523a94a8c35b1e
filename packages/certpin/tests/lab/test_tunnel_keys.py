"""The WireGuard configuration of a device, as text and as a QR code."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from rich.console import Console

from certpin.lab.case import LabError
from certpin.lab.device.page import qr_lines, qr_text
from certpin.lab.device.tunnel import TunnelKeys

TEXT = "[Interface]\nPrivateKey = " + "A" * 43 + "=\nAddress = 198.18.0.2/32\nDNS = 198.18.0.53\n"
PIXELS = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}


def modules(lines: list[str]) -> list[list[int]]:
    return [[PIXELS[pixel][half] for pixel in line] for line in lines for half in (0, 1)]


def test_the_picture_is_the_code_with_its_quiet_zone() -> None:
    import segno

    drawn = modules(qr_lines(TEXT))
    code = [list(row) for row in segno.make_qr(TEXT, error="l", boost_error=False).matrix]
    size = len(code)
    assert [[*row[4 : 4 + size]] for row in drawn[4 : 4 + size]] == code
    edges = drawn[:4] + drawn[4 + size :]
    sides = [cell for row in drawn for cell in row[:4] + row[4 + size :]]
    assert len(edges) >= 8
    assert not any(cell for row in edges for cell in row)
    assert not any(sides)


def test_it_is_dark_on_light_whatever_the_terminals_colours() -> None:
    """The QR code is black on white, whatever the terminal's colours.

    The test compares styles, because rich caches the escape codes of the first terminal.
    """
    pieces = [piece for piece in Console(width=200).render(qr_text(TEXT)) if piece.text != "\n"]
    assert pieces
    for piece in pieces:
        style = piece.style
        assert style
        assert style.color
        assert style.bgcolor
        assert style.color.get_truecolor() == (0, 0, 0)
        assert style.bgcolor.get_truecolor() == (255, 255, 255)


def test_it_is_cut_and_never_wrapped_on_a_narrow_terminal() -> None:
    console = Console(force_terminal=True, width=20)
    with console.capture() as captured:
        console.print(qr_text(TEXT))
    assert len(captured.get().strip("\n").splitlines()) == len(qr_lines(TEXT))


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "segno", None)
    with pytest.raises(LabError, match=r"certpin\[wireguard\]"):
        qr_lines(TEXT)


@pytest.mark.since_python("3.12")
@pytest.mark.parametrize(
    ("host", "endpoint"),
    [("192.168.1.23", "192.168.1.23:51820"), ("fd00::1", "[fd00::1]:51820")],
)
def test_the_configuration_takes_all_traffic_into_the_tunnel(host: str, endpoint: str) -> None:
    keys = TunnelKeys.make(lambda _, make: make())
    text = keys.peer_configuration(host, 51820)
    assert f"Endpoint = {endpoint}\n" in text
    assert "AllowedIPs = 0.0.0.0/0, ::/0\n" in text
    assert keys.lab not in text
    assert f"PrivateKey = {keys.peer}\n" in text
    assert keys.lab not in repr(keys)
    assert keys.peer not in repr(keys)


@pytest.mark.slow
@pytest.mark.wireguard
@pytest.mark.peer("wg")
@pytest.mark.since_python("3.12")
def test_the_keys_are_those_of_wireguard() -> None:
    keys = TunnelKeys.make(lambda _, make: make())
    ran = subprocess.run(
        ["wg", "pubkey"], input=keys.peer, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == keys.peer_public
    public = re.search(r"PublicKey = (\S+)", keys.peer_configuration("192.0.2.1", 1))
    assert public
    assert public[1] != keys.peer_public
