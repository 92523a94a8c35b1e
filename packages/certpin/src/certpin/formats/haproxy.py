"""Export and import HAProxy's settings for connections to its backend servers.

See the HAProxy Configuration Manual, section 5.2 (server options).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.formats import _proxy
from certpin.formats._lines import bundle
from certpin.formats.format import File, Format
from certpin.formats.limits import NoWildcard

if TYPE_CHECKING:
    from certpin.formats.parsed import ParsedFile, Source
    from certpin.pins import PinSet

_BUNDLE = "haproxy-anchors.pem"
_SERVER = r"^[ \t]*+(?:default-)?server[ \t][^\n#]*?[ \t]"
_ANCHORS = re.compile(rf"{_SERVER}ca-file[ \t]++(\S++)", re.MULTILINE)
_NAME = re.compile(rf"{_SERVER}verifyhost[ \t]++(\S++)", re.MULTILINE)


def write(pins: PinSet) -> tuple[File, ...]:
    """Return HAProxy's ``server`` line for the host, and the file of its trust anchors."""
    [policy] = pins.policies
    name = policy.pattern.name
    # sni sets the requested and verified name; verifyhost sets the verified name without SNI.
    line = (
        f"default-server ssl verify required ca-file {_BUNDLE} sni str({name}) verifyhost {name} "
        "ssl-min-ver TLSv1.2\n"
    )
    text = _proxy.comments(pins, HAPROXY.name) + line
    return (File(HAPROXY.file, text), *bundle(policy, _BUNDLE))


def read(source: Source) -> ParsedFile:
    """Parse ``ca-file`` and ``verifyhost`` in a ``server`` line, and certpin's comments.

    Raises ``FormatError``.
    """
    return _proxy.read(source, _ANCHORS, _NAME)


HAPROXY = Format(
    name="haproxy",
    title="HAProxy (servers)",
    use="Add its line to the backend of the host, before the servers, and copy the anchors to the "
    "folder of `ca-base`.",
    file="haproxy-pins.cfg",
    limits=(
        *_proxy.limits("HAProxy"),
        NoWildcard("HAProxy verifies only the name in its line"),
    ),
    write=write,
    read=read,
    needs=("No server of that backend may have `verify none` or `no-ssl`.",),
    folder=True,
)
