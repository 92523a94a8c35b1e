"""Exported files beside the pin file: what ``certpin lint --exported`` compares."""

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
    """Compare each ``FORMAT=PATH`` with the pin set. Raises ``click.UsageError``.

    ``None`` where none is named, or where clients refuse the pin file: then nothing is exported.
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
        there = _load(chosen, path)
        expected = _expected(chosen, pins, there)
    except CertpinError as exc:
        return ExportedFile(chosen.name, path, problem=str(exc))
    return ExportedFile(chosen.name, path, differences=tuple(_differences(expected, there)))


def _load(chosen: Format, path: str) -> PinSet:
    from certpin.cli.source import read_source

    folder = Path(path)
    return chosen.load(read_source(str(folder / chosen.file) if folder.is_dir() else path))


def _expected(chosen: Format, pins: PinSet, there: PinSet) -> PinSet:
    """What an export would hold now: of the same host, where the file is for one."""
    from certpin.formats import only
    from certpin.formats.limits import OneHost

    if any(isinstance(limit, OneHost) for limit in chosen.limits):
        pins = only(pins, [str(policy.pattern) for policy in there.policies])
    return chosen.export(pins).pins


def _differences(expected: PinSet, there: PinSet) -> Iterator[str]:
    if expected.version != there.version:
        yield f"it is of version {there.version}, and the pin file has {expected.version}"
    right, found = meaning(expected), meaning(there)
    for host in right.policies.keys() - found.policies.keys():
        yield f"{host} is missing"
    for host in found.policies.keys() - right.policies.keys():
        yield f"{host} is not in the pin file, or not exported from it"
    for host in sorted(right.policies.keys() & found.policies.keys()):
        yield from _of_host(host, right.policies[host], found.policies[host])
    if right.debug != found.debug:
        yield "its debug section is another"


def _of_host(host: str, right: PolicyMeaning, found: PolicyMeaning) -> Iterator[str]:
    for pin in sorted(map(str, right.pins - found.pins)):
        yield f"{host}: {pin} is missing"
    for pin in sorted(map(str, found.pins - right.pins)):
        yield f"{host}: {pin} is not in the pin file, or is no longer accepted"
    for pin in sorted(map(str, right.compromised - found.compromised)):
        yield f"{host}: {pin} is compromised, and is not refused there"
    for pin in sorted(map(str, found.compromised - right.compromised)):
        yield f"{host}: {pin} is refused there, and is not compromised in the pin file"
    for name in right._replace(pins=found.pins, compromised=found.compromised).differing(found):
        yield f"{host}: {name} is another"
