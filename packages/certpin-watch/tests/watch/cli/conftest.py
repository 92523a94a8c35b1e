"""Fixtures for tests of the commands of certpin-watch, imported from the tests of certpin's
commands.
"""

from __future__ import annotations

from tests.cli.conftest import *  # noqa: F403  # the fixtures are found by their names here
