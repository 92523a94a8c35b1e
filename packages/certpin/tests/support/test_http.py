"""The function ``exchange``, which makes one small HTTP request."""

from __future__ import annotations

import pytest

from certpin.support.network import Deadline, exchange


def test_https_without_a_context_sends_nothing_in_clear_text() -> None:
    with pytest.raises(ValueError, match="https needs a context"):
        exchange("GET", "https://127.0.0.1:1/", Deadline(step=5, total=5), None)
