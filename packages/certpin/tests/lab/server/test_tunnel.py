"""A device in a real WireGuard tunnel, with clients that have no proxy settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.record import FORBIDDEN

ROOT = Path(__file__).parents[5]
ALONE = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]

pytestmark = [
    pytest.mark.wireguard,
    pytest.mark.slow,
    pytest.mark.peer("wireguard-go", "wg", "ip", "curl"),
    pytest.mark.since_python("3.12"),
]


def unshare() -> list[str]:
    """Return a command prefix that starts a program in new namespaces with a usable TUN device.

    Skips the test where this is not permitted.
    """
    words = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), *ALONE]
    tun = "import os; os.close(os.open('/dev/net/tun', os.O_RDWR))"
    try:
        subprocess.run([*words, sys.executable, "-c", tun], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        problem = getattr(exc, "stderr", b"") or b""
        last = (problem.decode().splitlines() or [str(exc)])[-1]
        forbidden = "a network of a test's own, or a TUN device in it"
        pytest.skip(f"left out: {FORBIDDEN}{forbidden} ({last})")
    return words


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("tunnel")
    program = [sys.executable, "-W", "error", "-m", "tests.lab.server._tunnel", str(folder)]
    ran = subprocess.run(
        [*unshare(), *program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )
    assert ran.returncode == 0, ran.stderr
    report: dict[str, Any] = json.loads(ran.stdout)
    return report


@pytest.mark.parametrize("client", ["curl", "pinned curl", "app"])
def test_the_honest_server_is_accepted(found: dict[str, Any], client: str) -> None:
    met = found[f"control-good, {client}"]
    assert (met["status"], met["answered"], met["canary"]) == (0, True, True), met
    assert met["names"] == ["api.bank.example"]


def test_a_client_without_pins_accepts_the_rogue_root(found: dict[str, Any]) -> None:
    met = found["rogue-ca-in-store, curl"]
    assert (met["status"], met["answered"], met["canary"]) == (0, True, True), met


@pytest.mark.parametrize(
    ("client", "says"),
    [("pinned curl", "does not match pinned public key"), ("app", "PinMismatchError")],
)
def test_a_pinned_client_refuses_the_rogue_root(
    found: dict[str, Any], client: str, says: str
) -> None:
    met = found[f"rogue-ca-in-store, {client}"]
    assert met["status"] != 0
    assert says in met["output"]
    assert (met["answered"], met["canary"]) == (False, False)
    assert met["names"] == ["api.bank.example"]


@pytest.mark.parametrize("case", ["control-good", "rogue-ca-in-store"])
def test_name_in_the_hello_decides_if_an_address_was_called(
    found: dict[str, Any], case: str
) -> None:
    met = found[f"{case}, to an address"]
    assert (met["status"], met["answered"], met["names"]) == (0, True, ["api.bank.example"]), met


def test_a_host_that_is_not_under_test_passes_through_untouched(found: dict[str, Any]) -> None:
    assert found["real_chain"] is True
    assert found["seen"] == 0


def test_a_server_that_speaks_first_is_heard(found: dict[str, Any]) -> None:
    assert found["greeting"] == "b'SSH-2.0-real\\r\\n'\n"


def test_unknown_name_does_not_exist_in_the_tunnel(found: dict[str, Any]) -> None:
    assert found["nobody"] == 6  # curl: could not resolve host


def test_queries_to_another_resolver_are_answered(found: dict[str, Any]) -> None:
    assert "198.19.0.1" in found["another resolver"]


def test_quic_packets_are_dropped(found: dict[str, Any]) -> None:
    assert found["packets"] == 0
