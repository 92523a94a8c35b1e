"""curl's configuration file (``curl --config FILE``, man curl: ``--pinnedpubkey``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.formats import _lines
from certpin.formats.format import File, Format
from certpin.formats.limits import (
    KeysOnly,
    LeafOnly,
    NoCompromised,
    NoDebug,
    NoExpiry,
    NoReportOnly,
    NoReports,
    OneHost,
)

if TYPE_CHECKING:
    from certpin.formats.format import Reading, Source
    from certpin.pins import PinSet

_BUNDLE = "curl-anchors.pem"


def write(pins: PinSet) -> tuple[File, ...]:
    """The options of one command, and the trust anchors beside them."""
    [policy] = pins.policies
    # --location follows an answer to http:// unless it is told not to.
    settings = {"proto": "=https", "pinnedpubkey": _lines.spelled(policy)}
    if policy.trust:
        settings["cacert"] = _BUNDLE
    text = _lines.lines(pins, CURL.name, settings)
    return (File(CURL.file, text), *_lines.bundle(policy, _BUNDLE))


def read(source: Source) -> Reading:
    """Read ``pinnedpubkey`` and ``cacert``. Raises ``FormatError``."""
    return _lines.read_lines(source, "pinnedpubkey", "cacert")


CURL = Format(
    name="curl",
    title="curl",
    use="curl --config curl-pins.conf https://HOST/ (in its folder, where there are anchors).",
    file="curl-pins.conf",
    limits=(
        NoCompromised("curl has no option for keys to refuse"),
        NoDebug("curl has --cacert for that, and the pin still holds"),
        OneHost("the options of curl are those of one command, whatever host it calls"),
        NoReportOnly("curl always refuses"),
        NoExpiry("curl knows no dates"),
        NoReports("curl sends nothing"),
        KeysOnly("--pinnedpubkey compares keys"),
        LeafOnly("--pinnedpubkey compares the server's own key"),
    ),
    write=write,
    read=read,
    needs=("Call the host that the file is for: curl compares the pins with any host it calls.",),
    folder=True,
)
