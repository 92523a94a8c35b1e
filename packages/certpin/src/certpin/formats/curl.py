"""curl's configuration file (``curl --config FILE``, man curl: ``--pinnedpubkey``).

The pin of an authority is exported as a CA file, ``--cacert``, because ``--pinnedpubkey`` compares
only the leaf.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.errors import FormatError
from certpin.formats import _lines, _proxy
from certpin.formats.format import File, Format
from certpin.formats.header import is_exported
from certpin.formats.limits import (
    KeysOnly,
    LeafOrAnchors,
    NoCompromised,
    NoDebug,
    NoExpiry,
    NoReportOnly,
    NoReports,
    NoTransparency,
    OneHost,
)
from certpin.formats.parsed import pass_over

if TYPE_CHECKING:
    from certpin.formats.parsed import ParsedFile, Source
    from certpin.pins import PinSet

_BUNDLE = "curl-anchors.pem"
_NO_FOLDER = "/dev/null"  # it contains no file
_VERIFY = "no-insecure\n"  # curl reads ~/.curlrc, too
_CA_FILE = re.compile(r'^cacert = "([^"\r\n]++)"$', re.MULTILINE)
_INSECURE = re.compile(r"^[ \t]*+(?:-[A-Za-z]*k|(?:--)?(no-)?insecure(?=[\s=:]|$))", re.MULTILINE)
# Options before it have no effect on the URLs after it.
_NEXT = re.compile(r"^[ \t]*+(?:-:|(?:--)?next(?=[\s=:]|$))", re.MULTILINE)


def write(pins: PinSet) -> tuple[File, ...]:
    """Return a configuration file for one curl command, and the file of its trust anchors."""
    [policy] = pins.policies
    # By default, --location also follows redirects to http://.
    settings = {"proto": "=https"}
    if policy.match == "leaf":
        settings["pinnedpubkey"] = _lines.spelled(policy)
    if policy.trust:
        # Many builds also trust a folder, such as /etc/ssl/certs, in addition to --cacert.
        settings |= {"cacert": _BUNDLE, "capath": _NO_FOLDER}
    if policy.match == "leaf":
        text = _lines.lines(pins, CURL.name, settings)
    else:
        text = _proxy.comments(pins, CURL.name) + _lines.setting_lines(settings)
    return (File(CURL.file, text + _VERIFY), *_lines.bundle(policy, _BUNDLE))


def read(source: Source) -> ParsedFile:
    """Parse the settings ``pinnedpubkey`` and ``cacert``. Raises ``FormatError``.

    If the file has no pins, ``cacert`` is used only if certpin exported the file. In a file from
    elsewhere, ``cacert`` without pins is ignored, because curl may trust other roots too. A file
    with several sections (``next``) is refused, because each has the pins of another host. Warns if
    curl verifies no chain.
    """
    if separator := _NEXT.search(source.text):
        line = source.text.count("\n", 0, separator.start()) + 1
        raise FormatError(
            f"line {line}: the options after `next` are for other URLs than those before it",
            fix="import each section from a copy of the file without the others",
        )
    if any(not match[1] for match in list(_INSECURE.finditer(source.text))[-1:]):
        pass_over("insecure, so curl verifies no chain")
    found = _lines.read_lines(source, "pinnedpubkey", "cacert")
    if found.hosts or not is_exported(source.text):
        return found
    file = _CA_FILE.search(source.text)  # no setting names the host
    return _proxy.read(source, [_proxy.Connection("", file[1], 0)] if file else [])


CURL = Format(
    name="curl",
    title="curl",
    use="curl --disable --config curl-pins.conf https://HOST/ (in its folder if there are "
    "anchors).",
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
        LeafOrAnchors("--pinnedpubkey compares only the leaf's key"),
    ),
    write=write,
    read=read,
    needs=(
        "Use the file only for its host: curl checks the pins for every host that it calls.",
        "`--disable` must be the first option: otherwise curl also reads `~/.curlrc`.",
        "With a curl of GnuTLS, `ca-native` there would add the system's roots to the anchors.",
    ),
    folder=True,
)
