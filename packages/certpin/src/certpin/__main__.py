"""``python -m certpin``: runs the command ``certpin``."""

from __future__ import annotations

from certpin.cli.main import main

main()
