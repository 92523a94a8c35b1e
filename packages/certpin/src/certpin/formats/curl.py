"""curl's configuration file (``curl --config FILE``, man curl: ``--pinnedpubkey``).

The pin of an authority is exported as a CA file, ``--cacert``, because ``--pinnedpubkey`` compares
only the leaf.
"""

from __future__ import annotations

import re
from dataclasses import replace
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
# A value in quotes ends at the second one, and another value at a space. curl ignores the rest of
# the line (man curl: --config). It does not know single quotes, which are read for mistaken files.
_VALUE = re.compile(r""""([^"\\]*+(?:\\.[^"\\]*+)*)"|'([^']*+)'|(\S++)""")
_LITERAL = re.compile(r"[^{}\[\]*]+")  # a host without the marks of curl's URL globs
# Options that a pin file can't contain, and that change which chains curl accepts.
_VALUES_LEFT_OUT = ("config", "crlfile", "proxy-pinnedpubkey")
_FLAGS_LEFT_OUT = ("ca-native", "cert-status")
# Short options can share one dash, up to the first that has a value: -4k, but not -ok.
_SHORT = r"-[^-\sAbcCdDeEFhHKmoPQrtTuUwxXyYz:]*"
_CONFIG = re.compile(rf"^[ \t]*+{_SHORT}K", re.MULTILINE)  # with its file or without
# Options before it have no effect on the URLs after it.
_NEXT = re.compile(rf"^[ \t]*+(?:{_SHORT}:|(?:--)?next(?=[\s=:]|$))", re.MULTILINE)
# curl replaces {{name}} in the value by a variable (man curl: --expand).
_COMPUTED = re.compile(r"^[ \t]*+(?:--)?expand-(pinnedpubkey|cacert)(?=[\s=:]|$)", re.MULTILINE)


def write(pins: PinSet) -> tuple[File, ...]:
    """Return a configuration file for one curl command, and the file of its trust anchors.

    ``pins`` is a pin set that ``project`` has reduced to the settings that this platform can
    express.
    """
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
    """Parse the settings ``pinnedpubkey`` and ``cacert``, and return the hosts' settings.

    The hosts are those of the option ``url``: curl checks the pins for each of them. ``cacert``
    without ``pinnedpubkey`` is used only if certpin exported the file. It is ignored in other
    files, because curl possibly trusts other roots too. Issues a ``FormatWarning`` if curl does not
    verify chains, and about options that make curl accept other chains. ``source`` is the
    configuration file.

    Raises:
        FormatError: a value is invalid; the file has several sections, separated by ``next``, each
            of which is for other URLs; curl computes pins or anchors (``expand-``); or the file was
            exported, and its comment names another host.
    """
    if separator := _NEXT.search(source.text):
        line = source.text.count("\n", 0, separator.start()) + 1
        raise FormatError(
            f"line {line}: the options after `next` are for other URLs than those before it",
            fix="import each section from a copy of the file without the others",
        )
    if computed := _COMPUTED.search(source.text):
        line = source.text.count("\n", 0, computed.start()) + 1
        raise FormatError(
            f"line {line}: curl computes the value of expand-{computed[1]}",
            fix=f"import a copy of the file with its value: {computed[1]} = …",
        )
    _report_left_out(source.text)
    found = _lines.read_lines(source, "pinnedpubkey", "cacert", _setting)
    if not found.hosts and is_exported(source.text):
        file = _setting(source.text, "cacert")
        connections = [_proxy.Connection("", file, 0)] if file else []
        found = _proxy.read(source, connections, names_host=False)
    return _of_hosts(found, _hosts(source.text))


def _of_hosts(found: ParsedFile, hosts: list[str]) -> ParsedFile:
    """Return the settings of a file for the hosts of its URLs.

    Args:
        found: the settings, with the host pattern of certpin's comment if there is one.
        hosts: the hosts of the URLs; empty if the file has no URL.

    Raises:
        FormatError: the comment names a pattern that does not cover one of the hosts.
    """
    for pattern in filter(None, (each.pattern for each in found.hosts)):
        for host in hosts:
            if not _proxy.is_name_of(pattern, host):
                raise FormatError(
                    f"the file is for {pattern}, but has a url of {host[:260]}",
                    fix="export it again; or remove certpin's comments, to import the settings",
                )
    if not hosts or any(each.pattern for each in found.hosts):
        return found
    settings = tuple(replace(each, pattern=host) for each in found.hosts for host in hosts)
    return replace(found, hosts=settings)


def _hosts(text: str) -> list[str]:
    """Return the hosts of the URLs in a file, in their order and without duplicates.

    ``text`` is the content of curl's configuration file. A URL is left out if its host is not
    known: curl makes several URLs of ``{a,b}`` and ``[1-9]``, and reads those of ``@FILE`` from a
    file.
    """
    from urllib.parse import urlsplit  # a large part of the import time of certpin

    found = []
    for value in _lines.values(text, "url"):
        url = _unquoted(value)
        try:
            host = urlsplit(url if "://" in url else f"//{url}").hostname or ""
        except ValueError:  # brackets that are not those of an IPv6 address
            continue
        if not url.startswith("@") and _LITERAL.fullmatch(host):
            found.append(host)
    return list(dict.fromkeys(found))


def _unquoted(value: str) -> str:
    """Return the value of an option that curl uses, from the text after the name of the option."""
    found = _VALUE.match(value)
    return next(filter(None, found.groups()), "") if found else value


def _setting(text: str, name: str) -> str | None:
    """Return the value of curl's option ``name``, without quotes; None if the file lacks it.

    ``text`` is the content of curl's configuration file.
    """
    value = _lines.last_value(text, name)
    return _unquoted(value) if value else value


def _is_on(text: str, name: str, *, short: str = "") -> bool:
    """Return True if a curl option without a value, such as ``insecure``, is on.

    If the option is repeated, the last one counts. The import warns about options that weaken the
    verification. ``text`` is the content of the file. ``name`` is the option, and ``short`` its
    letter, if it has one.
    """
    letter = f"{_SHORT}{short}|" if short else ""
    flag = rf"^[ \t]*+(?:{letter}(?:--)?(no-)?(?:expand-)?{name}(?=[\s=:]|$))"
    return re.findall(flag, text, re.MULTILINE)[-1:] == [""]


def _report_left_out(text: str) -> None:
    """Warn about options that make curl accept chains that the pin file does not allow.

    ``text`` is the content of curl's configuration file. Each warning is a ``FormatWarning``.
    """
    if _is_on(text, "insecure", short="k"):
        pass_over("insecure, so curl verifies no chain")
    for name in _VALUES_LEFT_OUT:
        if _setting(text, f"(?:expand-)?{name}") or (name == "config" and _CONFIG.search(text)):
            pass_over(name)
    for name in _FLAGS_LEFT_OUT:
        if _is_on(text, name):
            pass_over(name)
    folder = _setting(text, "(?:expand-)?capath")
    if folder not in {None, _NO_FOLDER}:
        pass_over("capath, so curl also trusts the authorities in a folder")
    elif folder is None and _setting(text, "cacert") and is_exported(text):
        pass_over(f"no capath = {_NO_FOLDER}, so many builds of curl also trust /etc/ssl/certs")


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
    settings=_lines.settings,
    refuses_bom=True,
    refuses_crlf=True,
    folder=True,
    in_working_folder=True,
)
