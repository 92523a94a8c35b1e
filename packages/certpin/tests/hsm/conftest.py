"""A separate token for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers.softhsm import SoftHSM, softhsm

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def hsm(monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHSM]:
    with softhsm(monkeypatch) as made:
        yield made
