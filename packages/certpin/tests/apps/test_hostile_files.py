"""Hostile manifests, assets and configurations of an app: each result has a line of its file."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.apps.certificates import read_certificates_file
from certpin.apps.merge import draft_policies
from certpin.apps.model import FileFindings, SourceFile
from certpin.apps.platforms import read_apple, read_network_security
from certpin.apps.pubspec import read_pubspec
from certpin.errors import CertpinError, FormatError
from certpin.formats import FORMATS
from certpin.lab import Authority
from tests.apps._project import NOW
from tests.kit import pin_set, policy

if TYPE_CHECKING:
    from collections.abc import Callable

    Reader = Callable[[SourceFile], FileFindings]

PUBSPEC = (
    b"dependencies:\n  ssl_pinning_plugin: any\nflutter:\n  assets:\n    - path: a/\n    - b\n"
)


def _refuse(_name: str) -> NoReturn:
    raise FormatError("no such file")


def _exported(name: str) -> bytes:
    match = "leaf" if name == "apple" else "any"
    return FORMATS[name].export(pin_set(policy("a.example", match=match))).files[0].text.encode()


READERS: dict[str, tuple[bytes, Reader]] = {
    "pubspec": (PUBSPEC, lambda file: read_pubspec(file).findings),
    "android": (_exported("android"), lambda file: read_network_security(file, NOW, _refuse)),
    "trustkit": (
        _exported("trustkit-android"),
        lambda file: read_network_security(file, NOW, _refuse),
    ),
    "apple": (_exported("apple"), lambda file: read_apple(file, NOW, _refuse)),
    "pem": (
        Authority("Root").pem,
        lambda file: read_certificates_file(file, NOW, shipped=True),
    ),
    "der": (
        Authority("Root").certificate.der,
        lambda file: read_certificates_file(file, NOW, shipped=True),
    ),
}


@pytest.mark.medium
@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
def test_a_damaged_file_gives_results_with_lines_of_the_file(
    name: str, data: st.DataObject
) -> None:
    valid, reader = READERS[name]
    content = bytearray(valid)
    for _ in range(data.draw(st.integers(0, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = start + data.draw(st.integers(0, 20))
        content[start:end] = data.draw(st.binary(max_size=8))
    raw = bytes(content)
    found = reader(SourceFile("a/file", raw, raw.decode("utf-8", "replace")))
    places = [each.place for each in found.pins] + [each.place for each in found.certificates]
    places += [each.place for each in found.mistakes] + [each.place for each in found.dropped]
    places += [each.place for each in found.unread]
    lines = raw.count(b"\n") + raw.count(b"\r") + 1
    assert all(place.file == "a/file" and 1 <= place.line <= lines for place in places)
    assert all(unread.problem.isprintable() for unread in found.unread)
    with suppress(CertpinError):
        draft_policies(found, ["b.example"]).pin_set("", "report")


def test_the_valid_files_are_read() -> None:
    for valid, reader in READERS.values():
        found = reader(SourceFile("a/file", valid, valid.decode("utf-8", "replace")))
        assert found.unread == []
        assert found.pins or found.certificates or found.mistakes
