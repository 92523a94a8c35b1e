"""Compare exported files with the pin file, for ``certpin lint --exported``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.group import unknown
from certpin.errors import CertpinError
from certpin.lint import ExportedFile
from certpin.pins.policy import meaning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certpin.formats import Format
    from certpin.pins import PinSet
    from certpin.pins.policy import PolicyMeaning


def gather_exports(named: Sequence[str], pins: PinSet | None) -> tuple[ExportedFile, ...] | None:
    """Compare each exported file that ``--exported`` names with the pin set.

    Args:
        named: the values of ``--exported``, each ``FORMAT=PATH``.
        pins: the pin set; None if clients refuse the pin file.

    Returns:
        One comparison for each file. None if no file is named, or the pin file can't be exported.

    Raises:
        click.UsageError: a value is not ``FORMAT=PATH``.
    """
    pairs = [_pair(text) for text in named]
    if not pairs or pins is None:
        return None
    return tuple(_compare(chosen, path, pins) for chosen, path in pairs)


def _pair(text: str) -> tuple[Format, str]:
    from certpin.formats import FORMATS

    name, equals, path = text.partition("=")
    if not equals or not path:
        raise click.UsageError(f"--exported {text!r} is not FORMAT=PATH")
    if name not in FORMATS:
        raise click.UsageError(unknown("format", name, list(FORMATS), "`certpin export --list`"))
    return FORMATS[name], path


def _compare(chosen: Format, path: str, pins: PinSet) -> ExportedFile:
    try:
        actual = _load(chosen, path)
        expected = _expected(chosen, pins, actual)
    except CertpinError as exc:
        return ExportedFile(chosen.name, path, problem=str(exc))
    return ExportedFile(chosen.name, path, differences=tuple(_differences(expected, actual)))


def _load(chosen: Format, path: str) -> PinSet:
    from certpin.cli.source import read_source

    folder = Path(path)
    return chosen.load(read_source(str(folder / chosen.file) if folder.is_dir() else path))


def _expected(chosen: Format, pins: PinSet, actual: PinSet) -> PinSet:
    """Return the pin set that the exported file would contain if it were exported now.

    If the format holds only one host, it is limited to the host of the existing file, ``actual``.
    """
    from certpin.formats import only
    from certpin.formats.limits import OneHost

    if any(isinstance(limit, OneHost) for limit in chosen.limits):
        pins = only(pins, [str(policy.pattern) for policy in actual.policies])
    return chosen.export(pins).pins


def _differences(expected: PinSet, actual: PinSet) -> Iterator[str]:
    if expected.version != actual.version:
        yield f"it has version {actual.version}, and the pin file has version {expected.version}"
    right, found = meaning(expected), meaning(actual)
    for host in right.policies.keys() - found.policies.keys():
        yield f"{host} is missing"
    for host in found.policies.keys() - right.policies.keys():
        yield f"{host} is not in the pin file, or can't be exported"
    for host in sorted(right.policies.keys() & found.policies.keys()):
        yield from _host_differences(host, right.policies[host], found.policies[host])
    if right.debug != found.debug:
        yield "its debug section differs"


def _host_differences(host: str, right: PolicyMeaning, found: PolicyMeaning) -> Iterator[str]:
    for pin in sorted(map(str, right.pins - found.pins)):
        yield f"{host}: {pin} is missing"
    for pin in sorted(map(str, found.pins - right.pins)):
        yield f"{host}: {pin} is not in the pin file, or is no longer accepted"
    for pin in sorted(map(str, right.compromised - found.compromised)):
        yield f"{host}: {pin} is compromised, and the exported file does not refuse it"
    for pin in sorted(map(str, found.compromised - right.compromised)):
        yield f"{host}: the exported file refuses {pin}, which is not compromised in the pin file"
    for name in right._replace(pins=found.pins, compromised=found.compromised).differing(found):
        yield f"{host}: {name} differs"
