"""``Figure`` accepts a promised limit for ratios, counts and bytes, not for seconds or memory."""

from __future__ import annotations

import pytest

from tests.bench.paired import Figure


@pytest.mark.parametrize("unit", [" s", " ms", " µs", " MiB", " GiB"])
def test_no_promise_is_in_the_units_of_a_machine(unit: str) -> None:
    assert Figure("a wait", 7, unit).verdict == ""
    with pytest.raises(ValueError, match="nothing is promised in"):
        Figure("a wait", 7, unit, limit=8)


@pytest.mark.parametrize("unit", ["x", "", " B"])
def test_ratios_counts_and_bytes_are_promised(unit: str) -> None:
    assert Figure("one / another", 1.2, unit, limit=1).verdict == "NOT KEPT"
