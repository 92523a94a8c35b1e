"""Photograph docs/start/report.png: the report of `certpin prove` about a client that leaks."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs/start/report.png"
CLIENT = "examples/clients/broken/check_after_request.py"
_SIZE = "960,620"  # pixels
_CHROMIUM = (
    "/usr/bin/chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
    "--disable-background-networking", f"--window-size={_SIZE}",
)  # fmt: skip


def write_report(folder: Path, *options: str) -> Path:
    """Attack the client, and return the report. ``options`` are more options of ``prove``.

    Raises:
        RuntimeError: the run did not find the client's fault.

    """
    report = folder / "report.html"
    command = (
        sys.executable,
        "-m",
        "certpin",
        "prove",
        "--via",
        "port",
        "--html",
        str(report),
        *options,
        "--",
    )
    client = (sys.executable, str(ROOT / CLIENT))
    done = subprocess.run([*command, *client], capture_output=True, text=True, check=False)
    if done.returncode != 1:
        raise RuntimeError(f"expected exit status 1, not {done.returncode}: {done.stderr}")
    return report


def photograph(report: Path, picture: Path) -> None:
    """Write a picture of the top of an HTML file, as PNG."""
    words = [*_CHROMIUM, f"--screenshot={picture}", report.as_uri()]
    subprocess.run(words, check=True, capture_output=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        photograph(write_report(Path(name)), TARGET)
    sys.stdout.write(f"{TARGET.name}: photographed\n")
