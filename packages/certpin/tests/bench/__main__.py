"""Run all benchmarks of this package, or those named as arguments."""

from __future__ import annotations

import platform
import ssl
import sys
from importlib import import_module

# A new measurement is one file with a function ``figures``, and one name here.
MEASUREMENTS = (
    *(
        "handshake",
        "loading",
        "lookup",
        "importing",
        "scan",
        "lab",
        "simulation",
        "renewals",
        "swaps",
        "checks",
    ),
    *("monitor", "collector", "pages"),
)


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all of them, and print one line for each figure.

    Args:
        names: modules of ``tests.bench``; all benchmarks if the list is empty.
    """
    print(f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}, {platform.machine()}")
    for name in names or MEASUREMENTS:
        for figure in import_module(f"tests.bench.{name}").figures():
            print(figure, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
