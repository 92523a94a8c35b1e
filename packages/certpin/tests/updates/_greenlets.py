"""Program that forks under gevent while a ``PinUpdater`` checks for updates.

    python -m tests.updates._greenlets PINS ROOT URL CACHE

The child exits with 0 if its updater makes another check, in the only greenlet for updates.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

gevent: Any = import_module("gevent")
import_module("gevent.monkey").patch_all()

import gc  # noqa: E402  # gevent replaces modules before others import them
import os  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from datetime import timedelta  # noqa: E402
from pathlib import Path  # noqa: E402

import certpin  # noqa: E402
from certpin.updates import PinUpdater, Timing, UpdateSettings  # noqa: E402

_PATIENCE = 20.0  # seconds


def greenlets() -> int:
    """Return the number of greenlets that check for updates."""
    found = [each for each in gc.get_objects() if isinstance(each, gevent.Greenlet)]
    return len([each for each in found if "certpin-updates" in repr(each) and not each.dead])


def checks_again(updater: PinUpdater) -> bool:
    """Wait for another check, for some seconds at most. Return True if there was one."""
    before, until = updater.status.checked, time.monotonic() + _PATIENCE
    while updater.status.checked == before and time.monotonic() < until:
        time.sleep(0.01)
    return updater.status.checked != before


def main(pins: str, root: str, url: str, cache: str) -> None:
    soon = timedelta(milliseconds=20)
    updater = PinUpdater(
        pins=certpin.PinSet.load(pins),
        root=Path(root).read_bytes(),
        url=url,
        cache=cache,
        settings=UpdateSettings(Timing(interval=soon, urgent=soon)),
    )
    updater.start()
    for _ in range(20):
        subprocess.run([sys.executable, "-S", "-c", ""], check=True)
    while updater._current_check is not None:  # a child would share its connection
        time.sleep(0.001)
    child = os.fork()
    if child == 0:
        os._exit(0 if checks_again(updater) and greenlets() == 1 else 1)
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status) or not checks_again(updater))


if __name__ == "__main__":
    main(*sys.argv[1:])
