"""App Transport Security of Apple's platforms: settings that weaken connections to pinned hosts.

https://developer.apple.com/documentation/bundleresources/information-property-list/
nsapptransportsecurity
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.formats.parsed import pass_over

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.formats.parsed import Found, Shape

_ALL = "NSAllowsArbitraryLoads"
_BELOW = "NSIncludesSubdomains"
# Since iOS 10 and macOS 10.12, which are older than pins, NSAllowsArbitraryLoads has no effect if
# one of these is present. None of them affects connections of URLSession to names in the DNS.
_NARROWER = {
    "NSAllowsArbitraryLoadsForMedia",
    "NSAllowsArbitraryLoadsInWebContent",
    "NSAllowsLocalNetworking",
}
# The values of an exception that allow nothing that App Transport Security forbids by default.
_STRICT: dict[str, tuple[object, ...]] = {
    _BELOW: (True, False),
    "NSExceptionAllowsInsecureHTTPLoads": (False,),
    "NSExceptionRequiresForwardSecrecy": (True,),
    "NSExceptionMinimumTLSVersion": ("TLSv1.2", "TLSv1.3"),
    "NSRequiresCertificateTransparency": (True, False),  # obsolete, and only ever stricter
}


def report_exceptions(root: Shape, found: Iterable[Found]) -> None:
    """Warn about the exceptions from App Transport Security in a property list.

    Each warning is a ``FormatWarning``. If an exception applies to no host with pins, or allows
    nothing, its warning is marked as unrelated to pins (``UnrelatedWarning``). With ``http://``, a
    host presents no certificate, and so no pin is checked.

    Args:
        root: the property list.
        found: the hosts with pins.

    Raises:
        FormatError: a part of the settings is not a mapping.
    """
    security = root.get("NSAppTransportSecurity")
    if not security:
        return
    patterns = [each.pattern.lower() for each in found]
    exceptions = security.get("NSExceptionDomains")
    domains = list(exceptions.entries()) if exceptions else []
    if exceptions and not domains:
        pass_over(exceptions.place, unrelated=True)
    for name, entry in domains:
        applies = any(_applies(name, entry, pattern) for pattern in patterns)
        settings = list(entry.entries())
        if not settings:
            pass_over(entry.place, unrelated=True)
        for key, value in settings:
            _report(value, weak=applies and not value.is_one_of(*_STRICT.get(key, ())))
    names = security.names()
    if _ALL in names and not names & _NARROWER:
        value = security.need(_ALL)
        excepted = all(
            any(_replaces(name, entry, pattern) for name, entry in domains) for pattern in patterns
        )
        _report(value, weak=not excepted and not value.is_one_of(False))


def _report(value: Shape, *, weak: bool) -> None:
    """Warn about an exception from App Transport Security, which the import skips.

    ``value`` is the exception in the property list. ``weak`` is True if it weakens connections to
    hosts with pins. The warning is a ``FormatWarning``; if ``weak`` is False, it is marked as
    unrelated to pins.
    """
    pass_over(f"{value.place}{', also for hosts with pins' if weak else ''}", unrelated=not weak)


def _applies(name: str, entry: Shape, pattern: str) -> bool:
    """Return True if an exception for the domain ``name`` may apply to a host with pins.

    The warning about the exception is then not marked as unrelated to pins. Apple documents that
    ``NSIncludesSubdomains`` covers names with one more label. Here it covers all names below, so
    that no exception is missed. ``entry`` has the settings of the exception, and ``pattern`` is the
    pattern of the host with pins.
    """
    name = name.lower().rstrip(".")
    host = pattern.lstrip("*.")
    flag = entry.get(_BELOW)
    below = flag is not None and not flag.is_one_of(False)
    return (
        host == name
        or (below and host.endswith(f".{name}"))
        or (host != pattern and name.endswith(f".{host}"))
    )


def _replaces(name: str, entry: Shape, pattern: str) -> bool:
    """Return True if an exception for the domain ``name`` certainly applies to a pattern's hosts.

    The setting ``NSAllowsArbitraryLoads`` for all domains then doesn't apply to these hosts, and
    can't weaken their connections. ``entry`` has the settings of the exception, and ``pattern`` is
    the host pattern with pins.
    """
    flag = entry.get(_BELOW)
    below = flag is not None and flag.is_one_of(True)
    return pattern == name or (
        below and not pattern.startswith("**.") and pattern.partition(".")[2] == name
    )
