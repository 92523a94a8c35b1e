"""The fixture ``collector``: a running report collector for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.reports._collector import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running
