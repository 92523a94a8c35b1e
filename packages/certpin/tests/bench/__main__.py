"""Run all measurements, or the named ones."""

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
    """Print one line for each figure, as soon as it is measured."""
    print(f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}, {platform.machine()}")
    for name in names or MEASUREMENTS:
        for figure in import_module(f"tests.bench.{name}").figures():
            print(figure, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
