"""Node.js: an ES module with an agent for ``node:https``, and the pin in ``checkServerIdentity``.

That function is called for chains that Node.js verified, and not for resumed sessions
(https://nodejs.org/api/tls.html). The rest of ``getPeerCertificate(true)`` begins with what the
server sent: so pins are compared with the server's own certificate alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.formats._program import Language, program
from certpin.formats.format import File, Format
from certpin.formats.limits import LeafOnly, NoDebug, NoReports
from certpin.formats.table import read_table

if TYPE_CHECKING:
    from certpin.pins import PinSet

_JAVASCRIPT = Language(
    row=("{", "}"), field="{}: ".format, list=("[", "]"), long=("`", "`"), indent="  "
)


def write(pins: PinSet) -> tuple[File, ...]:
    """A module that exports ``pinnedAgent``."""
    return (program(pins, NODE.name, NODE.file, "node.mjs", _JAVASCRIPT),)


NODE = Format(
    name="node",
    title="Node.js",
    use="Import it, and give every request of node:https `agent: pinnedAgent()`.",
    file="certpin-pins.mjs",
    limits=(
        NoDebug("a build for debugging gives its requests another agent"),
        NoReports("the module tells onFailure, and sends nothing itself"),
        LeafOnly("Node.js shows the server's own certificate of the chain that it verified"),
    ),
    write=write,
    read=read_table,
    needs=(
        "Node.js 18 or newer; requests through `node:https`. Its `fetch` takes no such agent.",
        "A library that follows redirects needs `refusingAgent()` for `http://`.",
    ),
)
