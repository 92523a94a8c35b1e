"""Properties of every format: an export reports all omissions, and an import reads it back."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from certpin.errors import CertpinError, ConfigError, FormatError
from certpin.formats import FORMATS, ImportOptions, Source, project
from certpin.formats.limits import AnchorsOnly, OneHost
from certpin.formats.parsed import FormatWarning
from certpin.pins import HostServer
from certpin.pins.policy import meaning
from tests.formats._sets import DATES, KEYS, WHOLE, anchors, pin_sets
from tests.kit import pin_set, policy

if TYPE_CHECKING:
    from certpin.formats import Export, Format
    from certpin.pins import PinSet

pytestmark = pytest.mark.parametrize("chosen", FORMATS.values(), ids=FORMATS)
# Settings that no platform refuses: pins of both kinds, trust anchors, and a date.
PLAIN = pin_set(
    policy(
        "api.bank.example",
        *(*KEYS[:2], *WHOLE[:2]),
        match="leaf",
        trust=anchors()[1],
        expires=DATES[0],
    )
)
MANY = settings(
    max_examples=30, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)


def suitable(chosen: Format, data: st.DataObject) -> PinSet:
    """Draw a pin set for a format.

    It has one host if the format refuses more, because most sets would be refused.
    """
    one = any(isinstance(limit, OneHost) for limit in chosen.limits)
    return data.draw(pin_sets(most=1 if one else 4))


def exported(chosen: Format, pins: PinSet) -> Export:
    """Export a pin set to a format. Skip the example of the property if the export is refused."""
    try:
        return chosen.export(pins)
    except ConfigError:
        assume(False)
        raise


def read_back(chosen: Format, export: Export) -> PinSet:
    """Import the files of an export, and return the pin set."""
    first = export.files[0]
    files = {file.path: file.text.encode() for file in export.files}
    folder = first.path.rpartition("/")[0]
    return chosen.load(Source(first.text.encode(), lambda path: files[_join(folder, path)]))


def _join(folder: str, path: str) -> str:
    parts = folder.split("/") if folder else []
    for part in path.split("/"):
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def test_a_plain_set_is_exported_and_imported(chosen: Format) -> None:
    export = chosen.export(PLAIN)
    assert meaning(read_back(chosen, export)) == meaning(export.pins)
    assert export.files == chosen.export(PLAIN).files
    assert export.files[0].path == chosen.file


def test_no_export_contains_the_servers(chosen: Format) -> None:
    (plain,) = PLAIN.policies
    server = HostServer("internal.bank.example", 8443, "smtp", "machine-room")
    served = replace(PLAIN, policies=(replace(plain, servers=(server,)),))
    assert chosen.export(served).files == chosen.export(PLAIN).files


@pytest.mark.slow
@MANY
@given(data=st.data())
def test_an_export_is_repeatable_reports_all_changes_and_is_read_back(
    chosen: Format, data: st.DataObject
) -> None:
    pins = suitable(chosen, data)
    export = exported(chosen, pins)
    assert export.files == chosen.export(pins).files

    if not export.omissions:
        assert meaning(export.pins) == meaning(pins)
    again, omissions = project(export.pins, chosen.limits)
    assert meaning(again) == meaning(export.pins)
    # Without any pins, each policy is reported again.
    anchors_only = any(isinstance(limit, AnchorsOnly) for limit in chosen.limits)
    unchanged = {"pins"} if anchors_only else set()
    assert {omission.aspect for omission in omissions} <= unchanged

    found = read_back(chosen, export)
    assert meaning(found) == meaning(export.pins)
    assert (found.name or pins.policies[0].pattern.name, found.version) == (
        pins.name or found.name,
        pins.version,
    )


@pytest.mark.slow
@given(data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@example(b"\xff\xfe")
@example(b"{" * 100_000)
@example(b"[" * 100_000)
@example(b"<plist>" * 100_000)
@example(b"\0")
def test_junk_raises_only_typed_errors(chosen: Format, data: bytes) -> None:
    with suppress(CertpinError):
        chosen.load(Source(data, _nothing_beside), ImportOptions(host="api.bank.example"))


@pytest.mark.slow
@MANY
@given(data=st.data())
def test_damaged_files_raise_only_typed_errors(chosen: Format, data: st.DataObject) -> None:
    text = exported(chosen, suitable(chosen, data)).files[0].text
    place = data.draw(st.integers(0, len(text)))
    junk = data.draw(st.sampled_from(["", '"', "\\", "<", "{", "]", "\0", "é", "-->", "'''"]))
    cut = data.draw(st.integers(0, 9))
    damaged = (text[:place] + junk + text[place + cut :]).encode()
    with suppress(CertpinError), warnings.catch_warnings():
        warnings.simplefilter("ignore", FormatWarning)  # names the skipped settings
        chosen.load(Source(damaged, _nothing_beside), ImportOptions(host="api.bank.example"))


def test_huge_files_are_refused(chosen: Format) -> None:
    with pytest.raises(FormatError, match="bytes"):
        chosen.load(Source(bytes(17 * 1024 * 1024), _nothing_beside))


def _nothing_beside(path: str) -> bytes:
    raise FormatError(f"{path} is not there")
