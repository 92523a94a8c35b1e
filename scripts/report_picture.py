"""Write docs/start/report.png: a screenshot of the report of ``certpin prove``.

The report is about a client that sends its request before it checks the pins.
"""

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
    "/usr/bin/chromium-headless-shell", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
    "--disable-background-networking", f"--window-size={_SIZE}",
)  # fmt: skip


def write_report(folder: Path, *options: str) -> Path:
    """Run ``certpin prove`` on the broken example client; return the path of its HTML report.

    Args:
        folder: the folder for the report.
        options: more options of ``certpin prove``.

    Raises:
        RuntimeError: ``certpin prove`` did not find the client's fault.
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
    """Write a screenshot of the top of an HTML file, as PNG, with Chromium."""
    words = [*_CHROMIUM, f"--screenshot={picture}", report.as_uri()]
    subprocess.run(words, check=True, capture_output=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        photograph(write_report(Path(name)), TARGET)
    sys.stdout.write(f"{TARGET.name}: photographed\n")
