"""wget's configuration file (``wget --config=FILE``, info wget: Wgetrc Commands)."""

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

_BUNDLE = "wget-anchors.pem"


def write(pins: PinSet) -> tuple[File, ...]:
    """The settings of one command, and the trust anchors beside them."""
    [policy] = pins.policies
    settings = {
        "check_certificate": "on",
        "secure_protocol": "TLSv1_2",  # or newer; by default it speaks TLS 1.0 (GnuTLS)
        "max_redirect": "0",  # it would follow one to http://
        "pinnedpubkey": _lines.spelled(policy),
    }
    if policy.trust:
        settings["ca_certificate"] = _BUNDLE
    text = _lines.lines(pins, WGET.name, settings, quote="")  # it takes quotes for a part of it
    return (File(WGET.file, text), *_lines.bundle(policy, _BUNDLE))


def read(source: Source) -> Reading:
    """Read ``pinnedpubkey`` and ``ca_certificate``. Raises ``FormatError``.

    wget takes names of settings without regard to case, dashes and underscores.
    """
    return _lines.read_lines(source, "pinned[-_]?pubkey", "ca[-_]?certificate")


WGET = Format(
    name="wget",
    title="wget",
    use="wget --config=wget-pins.conf https://HOST/ (in its folder, where there are anchors).",
    file="wget-pins.conf",
    limits=(
        NoCompromised("wget has no setting for keys to refuse"),
        NoDebug("wget has ca_certificate for that, and the pin still holds"),
        OneHost("the settings of wget are those of one command, whatever host it calls"),
        NoReportOnly("wget always refuses"),
        NoExpiry("wget knows no dates"),
        NoReports("wget sends nothing"),
        KeysOnly("pinnedpubkey compares keys"),
        LeafOnly("pinnedpubkey compares the server's own key"),
    ),
    write=write,
    read=read,
    needs=(
        "Call the host that the file is for: wget compares the pins with any host it calls.",
        "Redirects are not followed: wget would follow one to `http://`.",
        "`--config` takes the place of the user's own settings.",
        "wget trusts the anchors of `trust` beside the system's roots: the pin is what holds.",
    ),
    folder=True,
)
