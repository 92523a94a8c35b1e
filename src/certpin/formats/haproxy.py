"""HAProxy as a client of its servers (Configuration Manual, section 5.2: server options)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.formats import _proxy
from certpin.formats._lines import bundle
from certpin.formats.format import File, Format
from certpin.formats.limits import NoWildcard

if TYPE_CHECKING:
    from certpin.formats.format import Reading, Source
    from certpin.pins import PinSet

_BUNDLE = "haproxy-anchors.pem"
_SERVER = r"^[ \t]*+(?:default-)?server[ \t][^\n#]*?[ \t]"
_ANCHORS = re.compile(rf"{_SERVER}ca-file[ \t]++(\S++)", re.MULTILINE)
_NAME = re.compile(rf"{_SERVER}verifyhost[ \t]++(\S++)", re.MULTILINE)


def write(pins: PinSet) -> tuple[File, ...]:
    """One line for the backend that calls the host, and the anchors beside it."""
    [policy] = pins.policies
    name = policy.pattern.name
    # sni chooses what is asked for and verified, verifyhost what is verified without it.
    line = (
        f"default-server ssl verify required ca-file {_BUNDLE} sni str({name}) verifyhost {name} "
        "ssl-min-ver TLSv1.2\n"
    )
    text = _proxy.comments(pins, HAPROXY.name) + line
    return (File(HAPROXY.file, text), *bundle(policy, _BUNDLE))


def read(source: Source) -> Reading:
    """Read ``ca-file`` and ``verifyhost`` of a server. Raises ``FormatError``."""
    return _proxy.read(source, _ANCHORS, _NAME)


HAPROXY = Format(
    name="haproxy",
    title="HAProxy (servers)",
    use="Put its line into the backend that calls the host, before its servers, and the anchors "
    "where `ca-base` says.",
    file="haproxy-pins.cfg",
    limits=(
        *_proxy.limits("HAProxy"),
        NoWildcard("HAProxy verifies the name of its line, and without one none"),
    ),
    write=write,
    read=read,
    needs=("No `verify none` and no `no-ssl` on a server of that backend.",),
    folder=True,
)
