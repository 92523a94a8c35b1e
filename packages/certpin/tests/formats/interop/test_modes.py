"""Report mode in real clients: pins that don't match refuse a server only in enforce mode."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from certpin.lab.attacks import CONTROL
from certpin.lab.lab import Lab
from certpin.lab.target import Exports
from tests.formats.interop import _programs
from tests.kit import NOBODY, NOBODY_ELSE, pin_set, policy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from certpin.lab.client import ClientUnderTest
    from certpin.pins import Mode

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("mode", ["enforce", "report"])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(_programs.go, id="go", marks=pytest.mark.peer("go")),
        pytest.param(_programs.node, id="node", marks=pytest.mark.peer("node")),
    ],
)
def test_unmatched_pins_refuse_only_in_enforce_mode(
    make: Callable[[], ClientUnderTest], mode: Mode, tmp_path: Path
) -> None:
    with Lab() as lab:
        stage = lab.case_server(CONTROL)
        target = stage.open()
        try:
            pins = pin_set(policy(lab.host, NOBODY, NOBODY_ELSE, match="leaf", mode=mode))
            exports = Exports(tmp_path, pins, lab.pki(lab.host))
            ending = make().run(replace(target, exports=exports))
        finally:
            connections = stage.close()
    assert ending.content == (mode == "report"), ending
    assert any(lab.canary.encode() in each.data for each in connections) == (mode == "report")
