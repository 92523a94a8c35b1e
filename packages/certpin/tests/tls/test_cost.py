"""The cost of pinning in a handshake, counted in calls, because times depend on the machine."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import certpin
from certpin.lab.lab_server import server_context
from tests.tls._wire import Wire

if TYPE_CHECKING:
    from types import FrameType

    from tests.tls.conftest import World

_SOURCE = str(Path(certpin.__file__).parent / "tls")


def test_a_handshake_with_a_cached_chain_match_needs_few_calls(world: World) -> None:
    """The handshake makes at most 10 calls of certpin's functions.

    Each call costs more than its run time: its code isn't in the processor's cache.
    """
    context, server = world.context(), server_context(world.good)
    Wire(context, server).shake()
    calls: Counter[str] = Counter()

    def entered(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_SOURCE):
            calls[code.co_name] += 1

    sys.setprofile(entered)
    try:
        wire = Wire(context, server)
        wire.shake()
    finally:
        sys.setprofile(None)
    assert wire.client.pin_checked
    assert calls.total() - calls["pin_checked"] <= 10, calls
