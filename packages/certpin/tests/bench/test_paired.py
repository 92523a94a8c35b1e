"""A benchmark's ``Figure`` accepts a limit for a ratio, a count or a number of bytes only.

A limit on time or memory is refused, because these values depend on the machine.
"""

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
