"""A bank for each test."""

from __future__ import annotations

import pytest

from tests.updates.wultra._bank import Bank


@pytest.fixture
def bank() -> Bank:
    return Bank()
