"""Fixture ``browser``: a headless Chromium for the tests of web pages.

The conftest.py of the repository loads it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from scripts import peers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

# The last three turn off Chromium's background requests.
_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield one Chromium for all tests of a module.

    The module needs the marker ``peer("chromium-headless-shell")``.
    """
    with chromium() as found:
        yield found


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium without a window, and close it after the block.

    Debian's ``chromium-headless-shell`` needs 40 % less processor time than ``chromium``.
    """
    from playwright.sync_api import sync_playwright

    program = peers.by_name()["chromium-headless-shell"].find()
    assert program is not None
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        yield found
        found.close()
