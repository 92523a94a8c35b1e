"""Program that forks under gevent while a ``PinUpdater`` checks for updates.

    python -m tests.updates._greenlets WHERE PINS ROOT URL CACHE

WHERE says where the updater's thread runs:

- ``same``: in a greenlet of the native thread that forks.
- ``other``: in a greenlet of another native thread, which the child doesn't have.
- ``late``: in a native thread, because the updater is started before gevent replaces threads.

The child exits with 0 if its updater makes another check, in the only greenlet for updates that can
run there.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

gevent: Any = import_module("gevent")
monkey: Any = import_module("gevent.monkey")
if sys.argv[1] != "late":
    monkey.patch_all()

import gc  # noqa: E402  # gevent replaces modules before others import them
import os  # noqa: E402
import subprocess  # noqa: E402
import time  # noqa: E402
from datetime import timedelta  # noqa: E402
from pathlib import Path  # noqa: E402

import certpin  # noqa: E402
from certpin.updates import PinUpdater, Timing, UpdateSettings  # noqa: E402

_PATIENCE = 20.0  # seconds
_USUAL = sys.getswitchinterval()


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


def start_in_another_native_thread(updater: PinUpdater) -> None:
    """Start the updater in a greenlet of a new native thread."""

    def work() -> None:
        updater.start()
        gevent.get_hub().join()  # runs the thread's greenlets

    monkey.get_original("_thread", "start_new_thread")(work, ())


def main(where: str, pins: str, root: str, url: str, cache: str) -> None:
    soon = timedelta(milliseconds=20)
    updater = PinUpdater(
        pins=certpin.PinSet.load(pins),
        root=Path(root).read_bytes(),
        url=url,
        cache=cache,
        settings=UpdateSettings(Timing(interval=soon, urgent=soon)),
    )
    if where == "other":
        start_in_another_native_thread(updater)
    else:
        updater.start()
    assert checks_again(updater)
    if where == "late":
        # Otherwise a thread of the updater could begin or end while gevent iterates over all
        # threads, and the dictionary of threads would change meanwhile.
        sys.setswitchinterval(_PATIENCE)
        monkey.patch_all()
        sys.setswitchinterval(_USUAL)
    running = 2 if where == "other" else 1  # one of the two has no thread in the child
    for _ in range(20):
        subprocess.run([sys.executable, "-S", "-c", ""], check=True)
    while updater._current_check is not None:  # a child would share its connection
        time.sleep(0.001)
    child = os.fork()
    if child == 0:
        os._exit(0 if checks_again(updater) and greenlets() == running else 1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status) or not checks_again(updater)
    # Without the end of the interpreter, which destroys the hub that another native thread runs.
    os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
