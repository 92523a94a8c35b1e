"""``python -m certpin``: the same as ``certpin``."""

from __future__ import annotations

from certpin.cli.main import main

main()
