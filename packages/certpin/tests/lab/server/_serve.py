"""Run ``certpin lab serve --wireguard`` with a device that reaches it only through the tunnel.

test_serve_tunnel.py starts this program with ``unshare``. It prints one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from certpin.pinfile import PinSet
from tests.lab._device import HOST, REFUSED, curl_until_confirmed
from tests.lab.server._network import Device, isolate

CURL = ("curl", "--max-time", "30")
SERVE = (sys.executable, "-m", "certpin.cli.main", "lab", "serve", "--host", HOST, "--json")
WORDS = ("--wireguard", "--wireguard-port", "0", "--case", "rogue-ca-in-store")


def scenario(folder: Path) -> dict[str, Any]:
    kept = str(folder / "kept")
    with subprocess.Popen(
        (*SERVE, *WORDS, "--folder", kept), stdout=subprocess.PIPE, encoding="utf-8"
    ) as lab:
        assert lab.stdout is not None
        begun = json.loads(lab.stdout.readline())
        device = Device(folder, begun["wireguard"])
        with device.up():
            statuses = use(device, folder)
            if REFUSED not in statuses or statuses[-1] != 0:
                lab.terminate()  # the lab would wait for more connections
            events = [json.loads(line) for line in lab.stdout]
    return {"statuses": statuses, "events": events, "code": lab.returncode}


def use(device: Device, folder: Path) -> list[int]:
    """Run curl on the device, with the pins and roots from the lab's page, until the lab has ended.

    Returns:
        the exit status of each call of curl
    """
    for name in ("roots.pem", "pins.toml"):
        page = f"http://certpin.lab/{name}"
        assert device.call(*CURL, "-sS", "-o", str(folder / name), page) == (0, "")
    return curl_until_confirmed(
        lambda *words: device.call(*CURL, *map(str, words))[0],
        PinSet.load(folder / "pins.toml"),
        folder / "roots.pem",
    )


if __name__ == "__main__":
    place = Path(sys.argv[1])
    isolate(place, {}, [])
    sys.stdout.write(json.dumps(scenario(place)))
