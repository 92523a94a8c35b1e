"""Node.js: an ES module with an agent for ``node:https`` that checks pins.

Node.js calls ``checkServerIdentity`` for chains that it verified, but not for resumed sessions
(https://nodejs.org/api/tls.html). Above the leaf, ``getPeerCertificate(true)`` returns the
certificates that the server sent, and not those of the verified chain. So pins are compared with
the leaf only.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from certpin.formats._languages import JAVASCRIPT
from certpin.formats._program import TableSyntax, program
from certpin.formats.code import read_table
from certpin.formats.format import File, Format
from certpin.formats.limits import LeafOnly, NoDebug, NoReports, NoTransparency

if TYPE_CHECKING:
    from certpin.pins import PinSet

_JAVASCRIPT = TableSyntax(
    row=("{", "}"), field="{}: ".format, list=("[", "]"), long=("`", "`"), indent="  "
)


def write(pins: PinSet) -> tuple[File, ...]:
    """Return an ES module that exports the function ``pinnedAgent``.

    The function returns an agent for ``node:https`` that checks the pins. ``pins`` is a pin set
    that ``project`` has reduced to the settings that this platform can express.
    """
    return (program(pins, NODE.name, NODE.file, "node.mjs", _JAVASCRIPT),)


NODE = Format(
    name="node",
    title="Node.js",
    use="Import it, and set `agent: pinnedAgent()` in every request of node:https.",
    file="certpin-pins.mjs",
    limits=(
        NoDebug("debug builds can use another agent"),
        NoReports("the module calls onFailure, and sends no reports itself"),
        NoTransparency("Node checks no SCTs"),
        LeafOnly("of the verified chain, Node.js exposes only the leaf"),
    ),
    write=write,
    read=partial(read_table, language=JAVASCRIPT),
    needs=(
        "Node.js 18 or newer, and requests through `node:https`. `fetch` does not support agents.",
        "Node.js 20.18 or 22.9 if `trust` has no root: an older one refuses every chain.",
        "A library that follows redirects also needs `refusingAgent()` for `http://`.",
    ),
)
