"""The fixtures of the command line, for the commands of this package."""

from __future__ import annotations

from tests.cli.conftest import *  # noqa: F403  # the fixtures are found by their names here
