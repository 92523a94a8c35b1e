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
    NoTransparency,
    OneHost,
)

if TYPE_CHECKING:
    from certpin.formats.format import ParsedFile, Source
    from certpin.pins import PinSet

_BUNDLE = "curl-anchors.pem"


def write(pins: PinSet) -> tuple[File, ...]:
    """Return a configuration file for one curl command, and the file of its trust anchors."""
    [policy] = pins.policies
    # By default, --location also follows redirects to http://.
    settings = {"proto": "=https", "pinnedpubkey": _lines.spelled(policy)}
    if policy.trust:
        settings["cacert"] = _BUNDLE
    text = _lines.lines(pins, CURL.name, settings)
    return (File(CURL.file, text), *_lines.bundle(policy, _BUNDLE))


def read(source: Source) -> ParsedFile:
    """Parse the settings ``pinnedpubkey`` and ``cacert``. Raises ``FormatError``."""
    return _lines.read_lines(source, "pinnedpubkey", "cacert")


CURL = Format(
    name="curl",
    title="curl",
    use="curl --config curl-pins.conf https://HOST/ (in its folder if there are anchors).",
    file="curl-pins.conf",
    limits=(
        NoCompromised("curl has no option to refuse keys"),
        NoDebug("curl has --cacert for that, and still checks the pins"),
        OneHost("the options of a curl command apply to every host that it calls"),
        NoReportOnly("curl always enforces"),
        NoExpiry("curl does not support expiry dates"),
        NoReports("curl sends no reports"),
        NoTransparency("curl checks no SCTs"),
        KeysOnly("--pinnedpubkey compares public keys only"),
        LeafOnly("--pinnedpubkey compares only the leaf's key"),
    ),
    write=write,
    read=read,
    needs=("Use the file only for its host: curl checks the pins for every host that it calls.",),
    folder=True,
)
