"""``certpin lab serve --wireguard`` with a real tunnel and an app that uses no proxy."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.lab._device import REFUSED
from tests.lab.server.test_tunnel import ROOT, unshare

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.wireguard
@pytest.mark.slow
@pytest.mark.peer("wireguard-go", "wg", "ip", "curl")
@pytest.mark.since_python("3.12")
def test_a_device_in_the_tunnel_goes_through_the_cases(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.lab.server._serve", str(tmp_path)]
    ran = subprocess.run(
        [*unshare(), *program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    statuses = found["statuses"]
    assert (statuses[0], statuses[-1], {*statuses}) == (0, 0, {0, REFUSED}), found
    case, ended = found["events"]
    assert (case["case"], case["verdict"], case["outcome"]) == (
        "rogue-ca-in-store",
        "REJECT",
        "right",
    )
    assert (found["code"], ended["hosts"][0]["finished"]) == (0, True)
