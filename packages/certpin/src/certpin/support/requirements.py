"""The packages that certpin and its extras (optional features) need, and the installed versions.

Only the standard library is used, because ``certpin doctor`` must run although a package is broken.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WATCH = "certpin-watch"
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)\s*(?:\[(?P<extras>[^\]]*)\])?\s*(?P<versions>[^;]*?)\s*(?:;(?P<marker>.*))?"
)
_CLAUSE = re.compile(r"\(*\s*(\w+)\s*(==|<=|>=|<|>)\s*['\"]([^'\"]*)['\"]\s*\)*")
_BOUND = re.compile(r"\s*(==|>=|<=|<|>)\s*([\w.!+-]+)\s*")


@dataclass(frozen=True)
class Requirement:
    """A package that certpin or one of its extras needs.

    Attributes:
        extra: the extra of certpin; empty for a package that certpin itself needs.
        package: the name of the package.
        bounds: the accepted versions, as in ``>=3.11``; empty for any.
        python: a condition such as ``Python >= 3.12``, if this Python does not meet it; else empty.
        extras: the extras of ``package`` to install with it, separated by commas.
    """

    extra: str
    package: str
    bounds: str
    python: str = ""
    extras: str = ""


def certpin_requirements() -> list[Requirement] | None:
    """Return the packages that certpin and its extras need; None if pip has not installed certpin.

    If an extra of certpin installs certpin-watch with an extra of certpin-watch, such as
    ``cluster``, the result includes the packages of that extra too.
    """
    try:
        needed = requirements(metadata.requires("certpin") or (), sys.version_info[:2])
    except metadata.PackageNotFoundError:
        return None
    return [*needed, *_of_extensions(needed)]


def requirements(
    lines: Iterable[str], python: tuple[int, int], *, extras: Iterable[str] | None = None
) -> list[Requirement]:
    """Parse the requirements in a package's metadata (``Requires-Dist``, PEP 508).

    Only the forms that certpin's metadata contains are supported, and a test parses all of them.
    The extra ``all`` is left out.

    Args:
        lines: the values of ``Requires-Dist``.
        python: the version of the running Python, such as ``(3, 12)``.
        extras: return only the requirements of these extras; None for all requirements, with and
            without an extra.
    """
    found = []
    for line in lines:
        parts = _REQUIREMENT.fullmatch(line.strip())
        if parts is None:
            continue
        extra, unmet = _conditions(parts["marker"] or "", python)
        if extra == "all" or (extras is not None and extra not in extras):
            continue
        name, bounds = parts["name"].lower(), parts["versions"].strip()
        found.append(Requirement(extra, name, bounds, unmet, parts["extras"] or ""))
    return found


def satisfies(version: str, bounds: str) -> bool:
    """Return True if a version is within bounds such as ``>=2.1,<3``.

    Only the numbers are compared: a pre-release is treated as its release. A bound of another form
    is ignored.
    """
    for bound in bounds.split(","):
        parts = _BOUND.fullmatch(bound)
        if parts is None:
            continue
        left, right = _padded(version, parts[2])
        met = {
            "==": left == right,
            ">=": left >= right,
            "<=": left <= right,
            "<": left < right,
            ">": left > right,
        }[parts[1]]
        if not met:
            return False
    return True


def installed_version(package: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _of_extensions(needed: Iterable[Requirement]) -> list[Requirement]:
    """Return the packages that extras of certpin need indirectly, through extras of certpin-watch.

    certpin-watch is the package of the monitoring service. Some extras of certpin install it
    together with some of its extras, which need more packages. ``needed`` are the direct
    requirements of certpin's extras. In the results, ``extra`` is the extra of certpin.
    """
    found: list[Requirement] = []
    for each in needed:
        if each.package != _WATCH or not each.extras:
            continue
        try:
            lines = metadata.requires(_WATCH) or ()
        except metadata.PackageNotFoundError:
            continue
        inner = requirements(lines, sys.version_info[:2], extras=each.extras.split(","))
        found += [Requirement(each.extra, one.package, one.bounds, one.python) for one in inner]
    return found


def _conditions(marker: str, python: tuple[int, int]) -> tuple[str, str]:
    """Return the extra in a requirement's marker, and the marker's condition on Python if unmet.

    The condition is a text such as ``Python >= 3.12``. It is empty if the marker has no condition
    on Python, or if ``python`` meets it. The extra is empty if the marker has none.
    """
    extra, unmet = "", ""
    for clause in marker.split(" and "):
        parts = _CLAUSE.fullmatch(clause.strip())
        if parts is None:
            continue
        name, comparison, value = parts.groups()
        if name == "extra":
            extra = value
        elif name == "python_version" and not satisfies(
            ".".join(map(str, python)), comparison + value
        ):
            unmet = f"Python {comparison} {value}"
    return extra, unmet


def _padded(*versions: str) -> list[tuple[int, ...]]:
    """Return versions as tuples of numbers of equal length, padded with zeros, to compare them."""
    numbers = [_numbers(version) for version in versions]
    longest = max(map(len, numbers))
    return [each + (0,) * (longest - len(each)) for each in numbers]


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"(?:\d+!)?(\d+(?:\.\d+)*)", version)
    return tuple(map(int, release[1].split("."))) if release else (0,)
