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
    NoTransparency,
    OneHost,
)
from certpin.formats.parsed import pass_over

if TYPE_CHECKING:
    from certpin.formats.parsed import ParsedFile, Source
    from certpin.pins import PinSet

_ON = {"on", "yes", "1"}
_BUNDLE = "wget-anchors.pem"


def write(pins: PinSet) -> tuple[File, ...]:
    """Return a configuration file for one wget command, and the file of its trust anchors.

    ``pins`` is a pin set that ``project`` has reduced to the settings that this platform can
    express.
    """
    [policy] = pins.policies
    settings = {
        "check_certificate": "on",
        "secure_protocol": "TLSv1_2",  # or newer; the default allows TLS 1.0 (GnuTLS)
        "max_redirect": "0",  # a redirect could lead to http://
        "pinnedpubkey": _lines.spelled(policy),
    }
    if policy.trust:
        settings["ca_certificate"] = _BUNDLE
    text = _lines.lines(pins, WGET.name, settings, quote="")  # not part of the value
    return (File(WGET.file, text), *_lines.bundle(policy, _BUNDLE))


def read(source: Source) -> ParsedFile:
    """Parse the settings ``pinnedpubkey`` and ``ca_certificate``. Raises ``FormatError``.

    ``source`` is the configuration file; the result has the settings of its host. wget ignores
    case, dashes and underscores in the names of settings. Issues a ``FormatWarning`` if wget
    verifies no chain, and about settings that change which chains it accepts.
    """
    checks = _setting(source.text, "check_certificate")
    if checks is not None and checks.lower() not in _ON:
        pass_over(f"check_certificate = {checks[:20]}, so wget verifies no chain")
    for name in ("crl_file", "ca_directory"):
        if _setting(source.text, name):
            pass_over(name)
    return _lines.read_lines(source, "pinnedpubkey", "ca_certificate", _setting)


def _setting(text: str, name: str) -> str | None:
    """Return the value of wget's setting ``name``, without quotes; None if the file lacks it.

    ``text`` is the content of wget's configuration file.
    """
    # wget compares names without their dashes and underscores, wherever these are.
    spelled = "".join(f"{letter}[-_]*+" for letter in name.replace("_", ""))
    value = _lines.last_value(text, f"[-_]*+{spelled}")
    return value.strip("\"'") if value else value


WGET = Format(
    name="wget",
    title="wget",
    use="wget --config=wget-pins.conf https://HOST/ (in its folder if there are anchors).",
    file="wget-pins.conf",
    limits=(
        NoCompromised("wget has no setting to refuse keys"),
        NoDebug("wget has ca_certificate for that, and still checks the pins"),
        OneHost("the settings of a wget command apply to every host that it calls"),
        NoReportOnly("wget always enforces"),
        NoExpiry("wget does not support expiry dates"),
        NoReports("wget sends no reports"),
        NoTransparency("wget checks no SCTs"),
        KeysOnly("pinnedpubkey compares public keys only"),
        LeafOnly(
            "pinnedpubkey compares only the leaf's key, and wget trusts the system's roots beside "
            "ca_certificate"
        ),
    ),
    write=write,
    read=read,
    needs=(
        "Use the file only for its host: wget checks the pins for every host that it calls.",
        "Redirects are not followed, because they can lead to `http://`.",
        "`--config` replaces the user's own settings.",
        "wget trusts the anchors of `trust` and the system's roots; only the pins restrict it.",
    ),
    settings=_lines.settings,
    refuses_bom=True,
    folder=True,
    in_working_folder=True,
)
